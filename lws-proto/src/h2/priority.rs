//! Priority signals: which response the client would like first. RFC 9218.

/// The priority of a response: its urgency, and whether it is incremental. RFC 9218 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Priority {
    /// 0 is the most urgent, 7 the least.
    pub(crate) urgency: u8,
    /// Whether it shares bandwidth with others of the same urgency. That is also the default without a signal.
    pub(crate) incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: true }
    }
}

impl Priority {
    /// The value of the `Priority` field or of a PRIORITY_UPDATE frame: a dictionary, of which `u` and `i` count. What is
    /// malformed counts as not said. RFC 9218 §4 and §5, RFC 8941 §3.2.
    pub(crate) fn parse(value: &[u8]) -> Self {
        let mut priority = Self { incremental: false, ..Self::default() };
        for member in value.split(|&byte| byte == b',').map(crate::http::trim_ows) {
            let (member, _parameters) = split_at(member, b';');
            match member {
                [b'u', b'=', urgency @ b'0'..=b'7'] => priority.urgency = urgency - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

fn split_at(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&byte| byte == separator) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgency_and_incremental_are_read_and_the_rest_is_ignored() {
        let check = |value: &str, urgency, incremental| {
            assert_eq!(Priority::parse(value.as_bytes()), Priority { urgency, incremental }, "{value}");
        };
        check("", 3, false);
        check("u=0", 0, false);
        check("u=7, i", 7, true);
        check("i=?1,u=5", 5, true);
        check("u=1, i, i=?0", 1, false);
        check("u=8", 3, false);
        check("u=-1", 3, false);
        check("u=2;x=1, i;y", 2, true);
        check("u=1, u=4", 4, false);
        check("foo=bar, (a b), u=6", 6, false);
    }
}
