//! Limits that an engine alone and a service have in common: zero is the library's own.

use crate::error::{self, Error};
use lws_proto::Limits;
use std::time::Duration;

/// The members of options that bound what a peer can make grow, and how long it may take. The headers have them as members of the options
/// themselves.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LimitOptions {
    /// The most bytes of a request or response head.
    pub head_bytes_max: u64,
    /// The most bytes of content.
    pub content_bytes_max: u64,
    /// The most bytes of a message that comes whole.
    pub message_bytes_max: u64,
    /// The most bytes that wait to be sent before there are no more permits.
    pub send_queue_bytes_max: u64,
    /// How long a head may take.
    pub head_timeout_us: u64,
    /// How long a connection may be without a request.
    pub keep_alive_timeout_us: u64,
    /// How long a peer may be silent before it is sent a Ping.
    pub ping_interval_us: u64,
}

impl LimitOptions {
    pub(crate) fn limits(&self) -> Result<Limits, Error> {
        let mut limits = Limits::default();
        set_size(&mut limits.head_bytes_max, self.head_bytes_max)?;
        set_size(&mut limits.message_bytes_max, self.message_bytes_max)?;
        set_size(&mut limits.send_queue_bytes_max, self.send_queue_bytes_max)?;
        if self.content_bytes_max != 0 {
            limits.content_bytes_max = Some(self.content_bytes_max);
        }
        set_time(&mut limits.head_timeout, self.head_timeout_us);
        set_time(&mut limits.keep_alive_timeout, self.keep_alive_timeout_us);
        set_time(&mut limits.ping_interval, self.ping_interval_us);
        limits.validate().map_err(|error| error::argument(&error))?;
        Ok(limits)
    }
}

pub(crate) fn set_size(limit: &mut usize, bytes: u64) -> Result<(), Error> {
    if bytes != 0 {
        *limit = usize::try_from(bytes).map_err(|_| Error::Argument)?;
    }
    Ok(())
}

fn set_time(limit: &mut Duration, micros: u64) {
    if micros != 0 {
        *limit = Duration::from_micros(micros);
    }
}
