//! SOCKS 5 as a client speaks it. RFC 1928, RFC 1929. Octets in, octets out: knows no socket.

use std::fmt;
use std::net::IpAddr;

/// What a SOCKS proxy did in place of what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocksError {
    /// It does not speak SOCKS 5.
    Version,
    /// It takes neither no authentication nor user and password.
    Method,
    /// It refused user and password.
    Credentials,
    /// It made no connection, and says why. RFC 1928 §6.
    Refused(u8),
    /// It answered something that is no answer.
    Malformed,
    /// The name, user or password has more than 255 octets.
    TooLong,
}

impl fmt::Display for SocksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "the proxy does not speak SOCKS 5",
            Self::Method => "the SOCKS proxy wants another authentication",
            Self::Credentials => "the SOCKS proxy refused user and password",
            Self::Malformed => "the SOCKS proxy answered nonsense",
            Self::TooLong => "a name, user or password is too long for SOCKS",
            Self::Refused(2) => "the SOCKS proxy does not allow it",
            Self::Refused(3) => "the SOCKS proxy says that the network is unreachable",
            Self::Refused(4) => "the SOCKS proxy says that the host is unreachable",
            Self::Refused(5) => "the SOCKS proxy says that the connection was refused",
            Self::Refused(6) => "the SOCKS proxy says that the time to live has expired",
            Self::Refused(_) => "the SOCKS proxy made no connection",
        })
    }
}

impl std::error::Error for SocksError {}

/// Asks a proxy for a connection.
#[derive(Debug)]
pub(crate) struct Socks5 {
    state: SocksState,
    /// Octets of an answer that is not complete: 262 at most.
    kept: Vec<u8>,
    request: Vec<u8>,
    credentials: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocksState {
    Method,
    Credentials,
    Reply,
    Done,
}

/// What came of some octets of the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many of them were its own; what is behind them belongs to the tunnel.
    pub(crate) taken: usize,
    /// What to send in answer.
    pub(crate) send: Vec<u8>,
    /// The tunnel is there.
    pub(crate) done: bool,
}

const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;

impl Socks5 {
    /// Asks for `host`, a name or an address without brackets. Returns the first octets to send, too.
    pub(crate) fn new(
        host: &str,
        port: u16,
        credentials: Option<&(String, String)>,
    ) -> Result<(Self, Vec<u8>), SocksError> {
        let mut request = vec![5, 1, 0];
        match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => {
                request.push(1);
                request.extend(address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(4);
                request.extend(address.octets());
            }
            Err(_) => {
                request.push(3);
                put_counted(&mut request, host)?;
            }
        }
        request.extend(port.to_be_bytes());
        let mut greeting = vec![5, 1, NO_AUTHENTICATION];
        let credentials = match credentials {
            None => None,
            Some((user, password)) => {
                greeting = vec![5, 2, NO_AUTHENTICATION, USER_AND_PASSWORD];
                let mut message = vec![1];
                put_counted(&mut message, user)?;
                put_counted(&mut message, password)?;
                Some(message)
            }
        };
        Ok((Self { state: SocksState::Method, kept: Vec::new(), request, credentials }, greeting))
    }

    /// Takes octets of the proxy.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Progress, SocksError> {
        let mut progress = Progress { taken: 0, send: Vec::new(), done: false };
        while self.state != SocksState::Done {
            let Some(wanted) = self.wanted()?.checked_sub(self.kept.len()) else { break };
            if wanted > 0 {
                let rest = &bytes[progress.taken..];
                let part = &rest[..wanted.min(rest.len())];
                self.kept.extend_from_slice(part);
                progress.taken += part.len();
                if part.len() < wanted {
                    break;
                }
                continue;
            }
            self.step(&mut progress.send)?;
        }
        progress.done = self.state == SocksState::Done;
        Ok(progress)
    }

    /// How many octets the answer has, as far as those that are there tell.
    fn wanted(&self) -> Result<usize, SocksError> {
        if self.state != SocksState::Reply {
            return Ok(2);
        }
        // RFC 1928 §6: VER REP RSV ATYP BND.ADDR BND.PORT
        Ok(match *self.kept.as_slice() {
            [_, _, _, 1, ..] => 4 + 4 + 2,
            [_, _, _, 4, ..] => 4 + 16 + 2,
            [_, _, _, 3, len, ..] => 4 + 1 + usize::from(len) + 2,
            [_, _, _, 3] => 5,
            [_, _, _, _, ..] => return Err(SocksError::Malformed),
            // Some proxies say no more than this when they refuse.
            [5, reply @ 1..=255] => return Err(SocksError::Refused(reply)),
            _ => 4.min(self.kept.len() + 1).max(2),
        })
    }

    /// An answer is complete.
    fn step(&mut self, send: &mut Vec<u8>) -> Result<(), SocksError> {
        let answer = std::mem::take(&mut self.kept);
        let (Some(&version), Some(&code)) = (answer.first(), answer.get(1)) else {
            return Err(SocksError::Malformed);
        };
        self.state = match self.state {
            SocksState::Method if version != 5 => return Err(SocksError::Version),
            SocksState::Method => match (code, &self.credentials) {
                (NO_AUTHENTICATION, _) => {
                    send.extend_from_slice(&self.request);
                    SocksState::Reply
                }
                (USER_AND_PASSWORD, Some(message)) => {
                    send.extend_from_slice(message);
                    SocksState::Credentials
                }
                _ => return Err(SocksError::Method),
            },
            // RFC 1929 §2: zero is success.
            SocksState::Credentials if code != 0 => return Err(SocksError::Credentials),
            SocksState::Credentials => {
                send.extend_from_slice(&self.request);
                SocksState::Reply
            }
            SocksState::Reply if version != 5 => return Err(SocksError::Version),
            SocksState::Reply if code != 0 => return Err(SocksError::Refused(code)),
            SocksState::Reply | SocksState::Done => SocksState::Done,
        };
        Ok(())
    }
}

fn put_counted(out: &mut Vec<u8>, text: &str) -> Result<(), SocksError> {
    out.push(u8::try_from(text.len()).map_err(|_| SocksError::TooLong)?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `answers` in pieces of `step` octets; what was sent, and what was left for the tunnel.
    fn talk(mut socks: Socks5, answers: &[u8], step: usize) -> Result<(Vec<u8>, usize), SocksError> {
        let mut sent = Vec::new();
        let mut at = 0;
        for part in answers.chunks(step) {
            let progress = socks.receive(part)?;
            sent.extend(progress.send);
            at += progress.taken;
            if progress.done {
                return Ok((sent, answers.len() - at));
            }
            assert_eq!(progress.taken, part.len(), "what is taken is all while it is not done");
        }
        panic!("not done after {at}")
    }

    #[test]
    fn a_tunnel_is_made_however_the_answers_are_cut() {
        let name = [&[5, 0][..], &[5, 0, 0, 3, 1, b'x', 0, 80], b"tunnel"].concat();
        let v4 = [&[5, 0][..], &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0], b"tunnel"].concat();
        let v6 = [&[5, 0][..], &[5, 0, 0, 4], &[0; 18], b"tunnel"].concat();
        for answers in [name, v4, v6] {
            for step in 1..=answers.len() {
                let (socks, greeting) = Socks5::new("a.test", 443, None).expect("a request");
                assert_eq!(greeting, [5, 1, 0]);
                let (sent, left) = talk(socks, &answers, step).expect("a tunnel");
                assert_eq!(sent, b"\x05\x01\x00\x03\x06a.test\x01\xbb");
                assert_eq!(left, 6, "by {step}");
            }
        }
    }

    #[test]
    fn user_and_password_are_given_when_asked_for() {
        let credentials = ("u".to_owned(), "pw".to_owned());
        let (socks, greeting) = Socks5::new("::1", 80, Some(&credentials)).expect("a request");
        assert_eq!(greeting, [5, 2, 0, 2]);
        let answers = [&[5, 2, 1, 0][..], &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        let (sent, left) = talk(socks, &answers, 3).expect("a tunnel");
        let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(sent, [b"\x01\x01u\x02pw\x05\x01\x00\x04", &address[..], &[0, 80]].concat());
        assert_eq!(left, 0);
    }

    #[test]
    fn a_proxy_that_does_something_else_is_an_error() {
        let check = |answers: &[u8], expected| {
            let credentials = ("u".to_owned(), "p".to_owned());
            let (socks, _) = Socks5::new("192.0.2.1", 80, Some(&credentials)).expect("a request");
            assert_eq!(talk(socks, answers, 1), Err(expected), "{answers:?}");
        };
        check(b"HTTP/1.1 400", SocksError::Version);
        check(&[5, 255], SocksError::Method);
        check(&[5, 1], SocksError::Method);
        check(&[5, 2, 1, 1], SocksError::Credentials);
        check(&[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0], SocksError::Refused(5));
        check(&[5, 0, 5, 2], SocksError::Refused(2));
        check(&[5, 0, 5, 0, 0, 9], SocksError::Malformed);
        check(&[5, 0, 4, 0, 0, 1, 0, 0, 0, 0, 0, 0], SocksError::Version);
        assert!(matches!(Socks5::new(&"x".repeat(256), 1, None), Err(SocksError::TooLong)));
    }
}
