//! The static table. RFC 7541 §2.3.1 and Appendix A.

use super::NameId;

/// How many entries there are. Indices begin with 1, and those of the dynamic table follow. RFC 7541 §2.3.3.
pub(super) const LEN: usize = 61;

/// Names and values, in the order of their indices.
const FIELDS: [(&str, &str); LEN] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// An entry: where its name, and its value right behind, stand in [`OCTETS`].
#[derive(Clone, Copy)]
pub(super) struct StaticEntry {
    start: u16,
    pub(super) name_len: u8,
    pub(super) value_len: u8,
    pub(super) name: NameId,
}

impl StaticEntry {
    /// Its name and value, one behind the other.
    #[inline]
    pub(super) fn octets(&self) -> &'static [u8] {
        let start = usize::from(self.start);
        OCTETS
            .get(start..start + usize::from(self.name_len) + usize::from(self.value_len))
            .unwrap_or_default()
    }

    #[inline]
    fn value(&self) -> &'static [u8] {
        self.octets().get(usize::from(self.name_len)..).unwrap_or_default()
    }
}

/// The entry with an index from 1 to [`LEN`].
#[inline]
pub(super) fn get(index: usize) -> Option<&'static StaticEntry> {
    ENTRIES.get(index.wrapping_sub(1))
}

/// The index of a field line that stands in the table whole.
#[inline]
pub(super) fn find(name: NameId, value: &[u8]) -> Option<usize> {
    // What has values worth a look: `:method` to `:status` and `accept-encoding`. Entries without a value do not count,
    // as hardly anybody sends empty values.
    let first = name.static_index()?;
    if first > LAST_WITH_VALUE {
        return None;
    }
    let mut index = first;
    while let Some(entry) = get(index).filter(|entry| entry.name == name) {
        if !value.is_empty() && entry.value() == value {
            return Some(index);
        }
        index += 1;
    }
    None
}

/// `accept-encoding: gzip, deflate`.
const LAST_WITH_VALUE: usize = 16;

const OCTETS_LEN: usize = {
    let mut len = 0;
    let mut at = 0;
    while at < LEN {
        len += FIELDS[at].0.len() + FIELDS[at].1.len();
        at += 1;
    }
    len
};

static OCTETS: [u8; OCTETS_LEN] = {
    let mut octets = [0; OCTETS_LEN];
    let mut start = 0;
    let mut at = 0;
    while at < LEN {
        let (name, value) = FIELDS[at];
        start = copy(name.as_bytes(), &mut octets, start);
        start = copy(value.as_bytes(), &mut octets, start);
        at += 1;
    }
    octets
};

const fn copy(from: &[u8], to: &mut [u8], start: usize) -> usize {
    let mut at = 0;
    while at < from.len() {
        to[start + at] = from[at];
        at += 1;
    }
    start + from.len()
}

static ENTRIES: [StaticEntry; LEN] = {
    let mut entries = [StaticEntry { start: 0, name_len: 0, value_len: 0, name: NameId::OTHER }; LEN];
    let mut start = 0;
    let mut at = 0;
    while at < LEN {
        let (name, value) = FIELDS[at];
        // Entries of one name follow each other.
        let name_id = if at > 0 && same(FIELDS[at - 1].0, name) {
            entries[at - 1].name
        } else {
            NameId::first_at(at + 1)
        };
        entries[at] =
            StaticEntry { start, name_len: name.len() as u8, value_len: value.len() as u8, name: name_id };
        start += (name.len() + value.len()) as u16;
        at += 1;
    }
    entries
};

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_by_its_name_and_value() {
        for (at, (name, value)) in FIELDS.iter().enumerate() {
            let entry = get(at + 1).expect("an entry");
            assert_eq!(entry.octets(), [name.as_bytes(), value.as_bytes()].concat());
            let id = NameId::of(name.as_bytes());
            assert_eq!(id.as_str(), *name);
            let first = FIELDS.iter().position(|(other, _)| other == name).map(|at| at + 1);
            assert_eq!(id.static_index(), first, "{name}");
            let expected = (!value.is_empty()).then_some(at + 1);
            assert_eq!(find(id, value.as_bytes()), expected, "{name}: {value}");
            assert_eq!(find(id, b"another"), None);
        }
        assert!(get(0).is_none() && get(LEN + 1).is_none());
    }
}
