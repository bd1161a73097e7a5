//! Responses that send a client elsewhere. RFC 9110 §15.4.

use super::{Response, Status};

impl Response {
    /// Sends the client to `location`, an absolute address or an absolute path, with this status code: 301, 302, 303, 307 or 308.
    ///
    /// What a peer has a say in must not begin the address: `//evil.example` and `https:evil.example` are other servers. A path that
    /// is put together begins with a `/` and something other than `/` or `\`, which browsers take for one. What is no address, as it has a space or line break, becomes a 500, and so does another
    /// status code.
    pub fn redirect(status: Status, location: impl Into<String>) -> Self {
        let location = location.into();
        let is_written = location.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        // 300 has no one address to go to, and 304 is about what the client has already.
        let sends_elsewhere = matches!(status.code(), 301 | 302 | 303 | 307 | 308);
        if !sends_elsewhere || !is_written {
            return Self::error(Status::INTERNAL_SERVER_ERROR);
        }
        Self::new(status).field("Location", location)
    }

    /// Sends the client to `location` by GET, whatever it has asked with: the answer to a form that was accepted. 303.
    pub fn see_other(location: impl Into<String>) -> Self {
        Self::redirect(Status::SEE_OTHER, location)
    }

    /// 201: what was asked for has been made, and is at `location`. RFC 9110 §15.3.2.
    pub fn created(location: impl Into<String>) -> Self {
        Self::new(Status::CREATED).field("Location", location.into())
    }
}
