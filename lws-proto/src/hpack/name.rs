//! Names of fields by number: those of the static table, and others that HTTP/2 treats in a way of their own.

use super::words::is_in_any_case;
use core::fmt;

/// A name as a small number: a well-known name, or [`NameId::OTHER`].
///
/// Names of the static table (RFC 7541 Appendix A) and the few others that HTTP/2 has rules for are well known, and have a
/// constant here. Names are compared in lower case, the only one that HTTP/2 knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameId(u8);

/// Defines the constants and [`NAMES`], in which each name stands at its number.
macro_rules! names {
    ($($constant:ident = $id:literal $name:literal,)*) => {
        impl NameId {
            $(#[doc = concat!("`", $name, "`.")] pub const $constant: Self = Self($id);)*
        }

        /// Names by number; empty where a number names nothing.
        const NAMES: [&str; IDS] = {
            let mut names = [""; IDS];
            $(names[$id] = $name;)*
            names
        };

        const IDS: usize = {
            let mut ids = 1;
            $(if $id >= ids { ids = $id + 1; })*
            ids
        };
    };
}

// A name of the static table has the first index under which it stands there.
names! {
    AUTHORITY = 1 ":authority",
    METHOD = 2 ":method",
    PATH = 4 ":path",
    SCHEME = 6 ":scheme",
    STATUS = 8 ":status",
    ACCEPT_CHARSET = 15 "accept-charset",
    ACCEPT_ENCODING = 16 "accept-encoding",
    ACCEPT_LANGUAGE = 17 "accept-language",
    ACCEPT_RANGES = 18 "accept-ranges",
    ACCEPT = 19 "accept",
    ACCESS_CONTROL_ALLOW_ORIGIN = 20 "access-control-allow-origin",
    AGE = 21 "age",
    ALLOW = 22 "allow",
    AUTHORIZATION = 23 "authorization",
    CACHE_CONTROL = 24 "cache-control",
    CONTENT_DISPOSITION = 25 "content-disposition",
    CONTENT_ENCODING = 26 "content-encoding",
    CONTENT_LANGUAGE = 27 "content-language",
    CONTENT_LENGTH = 28 "content-length",
    CONTENT_LOCATION = 29 "content-location",
    CONTENT_RANGE = 30 "content-range",
    CONTENT_TYPE = 31 "content-type",
    COOKIE = 32 "cookie",
    DATE = 33 "date",
    ETAG = 34 "etag",
    EXPECT = 35 "expect",
    EXPIRES = 36 "expires",
    FROM = 37 "from",
    HOST = 38 "host",
    IF_MATCH = 39 "if-match",
    IF_MODIFIED_SINCE = 40 "if-modified-since",
    IF_NONE_MATCH = 41 "if-none-match",
    IF_RANGE = 42 "if-range",
    IF_UNMODIFIED_SINCE = 43 "if-unmodified-since",
    LAST_MODIFIED = 44 "last-modified",
    LINK = 45 "link",
    LOCATION = 46 "location",
    MAX_FORWARDS = 47 "max-forwards",
    PROXY_AUTHENTICATE = 48 "proxy-authenticate",
    PROXY_AUTHORIZATION = 49 "proxy-authorization",
    RANGE = 50 "range",
    REFERER = 51 "referer",
    REFRESH = 52 "refresh",
    RETRY_AFTER = 53 "retry-after",
    SERVER = 54 "server",
    SET_COOKIE = 55 "set-cookie",
    STRICT_TRANSPORT_SECURITY = 56 "strict-transport-security",
    TRANSFER_ENCODING = 57 "transfer-encoding",
    USER_AGENT = 58 "user-agent",
    VARY = 59 "vary",
    VIA = 60 "via",
    WWW_AUTHENTICATE = 61 "www-authenticate",
    PROTOCOL = 62 ":protocol",
    CONNECTION = 63 "connection",
    KEEP_ALIVE = 64 "keep-alive",
    ORIGIN = 65 "origin",
    PRIORITY = 66 "priority",
    PROXY_CONNECTION = 67 "proxy-connection",
    SEC_WEBSOCKET_EXTENSIONS = 68 "sec-websocket-extensions",
    SEC_WEBSOCKET_PROTOCOL = 69 "sec-websocket-protocol",
    SEC_WEBSOCKET_VERSION = 70 "sec-websocket-version",
    TE = 71 "te",
    TRAILER = 72 "trailer",
    UPGRADE = 73 "upgrade",
}

impl NameId {
    /// Any name that is not well known.
    pub const OTHER: Self = Self(0);

    /// The number of `name`, which is in lower case.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let Some(slot) = slot(name) else { return Self::OTHER };
        let id = Self(SLOTS[slot]);
        if id.as_str().as_bytes() == name { id } else { Self::OTHER }
    }

    /// The number of `name`, in whatever case.
    #[inline]
    pub(crate) fn in_any_case(name: &[u8]) -> Self {
        // The octets of well-known names that are no letters have this bit too.
        let Some(slot) = slot_of(name, 0x20) else { return Self::OTHER };
        let id = Self(SLOTS[slot]);
        if is_in_any_case(name, id.as_str().as_bytes()) { id } else { Self::OTHER }
    }

    /// The name that stands at an index of the static table for the first time.
    pub(super) const fn first_at(static_index: usize) -> Self {
        Self(static_index as u8)
    }

    /// The name; empty for [`NameId::OTHER`].
    #[inline]
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES_AT.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// Whether it is that of a pseudo-header field. RFC 9113 §8.3, RFC 8441 §4.
    #[inline]
    #[must_use]
    pub const fn is_pseudo(self) -> bool {
        matches!(
            self,
            Self::AUTHORITY | Self::METHOD | Self::PATH | Self::SCHEME | Self::STATUS | Self::PROTOCOL
        )
    }

    /// The first index under which it stands in the static table.
    #[inline]
    pub(super) fn static_index(self) -> Option<usize> {
        let id = usize::from(self.0);
        (1..=super::static_table::LEN).contains(&id).then_some(id)
    }

    /// A number below 128.
    #[inline]
    pub(super) fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for NameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::OTHER { "OTHER" } else { self.as_str() })
    }
}

static NAMES_AT: [&str; IDS] = NAMES;

/// Where a name stands in [`SLOTS`]: its length, first, middle and last octet, mixed so that no two well-known names fall
/// together.
#[inline]
const fn slot(name: &[u8]) -> Option<usize> {
    slot_of(name, 0)
}

/// [`slot`] of a name in which `bit` is set in every octet.
#[inline]
const fn slot_of(name: &[u8], bit: u8) -> Option<usize> {
    let ([first, ..], [.., last]) = (name, name) else { return None };
    let key = u32::from_le_bytes([name.len() as u8, *first | bit, name[name.len() / 2] | bit, *last | bit]);
    Some((key.wrapping_mul(MIX) >> 24) as usize)
}

/// Found by trying.
const MIX: u32 = 0x1778_8b95;

/// The number of the only well-known name that may stand in each slot.
static SLOTS: [u8; 256] = {
    let mut slots = [0; 256];
    let mut id = 1;
    while id < IDS {
        if let Some(slot) = slot(NAMES[id].as_bytes()) {
            assert!(slots[slot] == 0, "two names fall together: try another MIX");
            slots[slot] = id as u8;
        }
        id += 1;
    }
    slots
};

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn every_well_known_name_has_its_number_and_no_other_has_one() {
        for (id, name) in NAMES.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            assert_eq!(usize::from(NameId::of(name.as_bytes()).0), id, "{name}");
            assert_eq!(NameId::of(name.as_bytes()).as_str(), *name);
            let mixed: String = name
                .chars()
                .enumerate()
                .map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c })
                .collect();
            for written in [name, &*name.to_uppercase(), &*mixed] {
                assert_eq!(usize::from(NameId::in_any_case(written.as_bytes()).0), id, "{written}");
            }
            for other in
                [name.to_uppercase(), [name, "x"].concat(), name[1..].into(), ["x", &name[1..]].concat()]
            {
                let found = NameId::of(other.as_bytes());
                assert!(found == NameId::OTHER || found.as_str() == other, "{other}");
                let found = NameId::in_any_case(other.as_bytes());
                assert!(found == NameId::OTHER || found.as_str() == other.to_lowercase(), "{other}");
            }
        }
        // A carriage return differs from a hyphen in the bit that tells cases apart.
        for other in [&b""[..], b"x", b":", b":unknown", b"x-request-id", b"content\rtype", &[0xff; 300]] {
            assert_eq!(NameId::of(other), NameId::OTHER);
            assert_eq!(NameId::in_any_case(other), NameId::OTHER);
        }
        assert_eq!(NameId::OTHER.as_str(), "");
    }

    #[test]
    fn pseudo_names_are_those_with_a_colon() {
        for (id, name) in NAMES.iter().enumerate() {
            assert_eq!(NameId(id as u8).is_pseudo(), name.starts_with(':'), "{name}");
        }
    }
}
