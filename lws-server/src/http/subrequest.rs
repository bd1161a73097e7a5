//! Requests in the place of others that wait for their answers, and what a request gets that may go on.
//!
//! Knows no route. Which request waits, and how it goes on, is `app/subrequests.rs`.

use lws_proto::http::HeadBuf;
use std::sync::Arc;

/// Octets of names and values that one answer may give to a request.
const GRANTED_BYTES_MAX: usize = 16 << 10;

/// What becomes of the request that waits for the answer of another.
#[derive(Debug)]
pub(crate) enum Subrequest {
    /// A success is not sent to the peer: these fields of it go to the request, in place of its own.
    Asked(Arc<[String]>),
    /// The request goes on.
    Granted(Grant),
}

impl Subrequest {
    pub(crate) fn is_granted(&self) -> bool {
        matches!(self, Self::Granted(_))
    }

    /// Takes from a success what the request gets. `false` if that is too much.
    pub(super) fn grant<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> bool {
        let Self::Asked(copied) = self else { return false };
        let mut grant = copied.iter().fold(Grant::new(), |grant, name| grant.without(name));
        let mut room = GRANTED_BYTES_MAX;
        for (name, value) in fields {
            let (name, value) = (name.as_ref(), value.as_ref());
            let Some(name) = copied.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name)) else {
                continue;
            };
            let Some(left) = room.checked_sub(name.len() + value.len()) else { return false };
            room = left;
            grant.added.push((name.clone(), value.to_owned()));
        }
        *self = Self::Granted(grant);
        true
    }
}

/// What a request gets that may go on: fields in place of its own, by which its endpoint learns who has sent it.
///
/// ```
/// use lws_server::Grant;
///
/// let grant = Grant::new().field("Remote-User", "ann").without("Remote-Groups");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a decision takes it"]
pub struct Grant {
    /// The names of fields that the request does not keep.
    removed: Vec<String>,
    added: Vec<(String, Vec<u8>)>,
}

impl Grant {
    /// Nothing: the request goes on as it came.
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes all fields of this name, which a client could have made up.
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.removed.push(name.into());
        self
    }

    /// Puts a field in the place of all of its name. One that cannot be written, as it has a line break, has the request answered 500.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        let name = name.into();
        self.removed.push(name.clone());
        self.added.push((name, value.into()));
        self
    }

    /// Adds a field beside others of its name that were given.
    pub fn and_field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.added.push((name.into(), value.into()));
        self
    }

    /// The head of a request with these fields. `None` if one cannot be written.
    pub(crate) fn apply(&self, head: HeadBuf) -> Option<HeadBuf> {
        let Self { removed, added } = self;
        if removed.is_empty() && added.is_empty() {
            return Some(head);
        }
        let is_kept = |name: &str| !removed.iter().any(|removed| removed.eq_ignore_ascii_case(name));
        head.with_fields(is_kept, added.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_has_the_fields_that_were_asked_for_and_no_more_than_have_room() {
        let names: Arc<[String]> = ["Remote-User".to_owned(), "Remote-Groups".to_owned()].into();
        let mut subrequest = Subrequest::Asked(Arc::clone(&names));
        assert!(!subrequest.is_granted());
        assert!(subrequest.grant([("remote-user", "ann"), ("Server", "x")]));
        let Subrequest::Granted(grant) = &subrequest else { panic!("it is granted") };
        assert_eq!(grant.removed, ["Remote-User", "Remote-Groups"]);
        assert_eq!(grant.added, [("Remote-User".to_owned(), b"ann".to_vec())]);
        let long = "x".repeat(GRANTED_BYTES_MAX);
        assert!(!Subrequest::Asked(names).grant([("Remote-User", &long)]));
    }
}
