//! Encodes field lines into field blocks, with a policy of what to index. RFC 7541 §6.

use super::dynamic_table::{DynamicTable, Entry};
use super::ready::{ReadyLines, ReadyPart};
use super::{FIELD_OVERHEAD, NameId, TABLE_SIZE_DEFAULT, huffman, integer, static_table, words};
use alloc::vec::Vec;

/// How a field line is represented, and so whether the tables of both ends keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indexing {
    /// Chosen by the name of the field:
    ///
    /// - [`Never`](Self::Never): `authorization`, `proxy-authorization`, and a `cookie` of fewer than 20 octets, which could
    ///   be guessed;
    /// - [`Without`](Self::Without): `:path`, `age`, `content-length`, `content-range`, `etag`, `if-modified-since`,
    ///   `if-none-match`, `last-modified`, `location`, `set-cookie`, whose values hardly come again;
    /// - [`Index`](Self::Index): everything else.
    #[default]
    Auto,
    /// Put into the table, unless it would take more than three quarters of it. RFC 7541 §6.2.1.
    Index,
    /// Not put into the table: the value will not come again. RFC 7541 §6.2.2.
    Without,
    /// A secret: neither this encoder nor that of an intermediary may put it into a table. RFC 7541 §6.2.3 and
    /// §7.1.
    Never,
}

/// Below this a cookie is short enough to be guessed octet by octet. RFC 7541 §7.1.3.
const SHORT_COOKIE: usize = 20;
/// The longest string whose length is written in one octet. RFC 7541 §5.1.
const ONE_OCTET_LEN_MAX: usize = 126;
/// Longer names are not looked up.
const NAME_LEN_MAX: usize = 64;
/// How many entries of a chain are compared at most, the newest first.
const PROBES_MAX: usize = 8;
/// How many chains of entries there are: as many as a table of the default size has entries of usual length.
const BUCKETS: usize = 64;

/// The encoder of one connection.
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable<ChainLink>,
    /// How many entries were ever added, modulo 2³²: the number of the newest one.
    added: u32,
    /// The number of the newest entry of each chain.
    chains: [u32; BUCKETS],
    /// The encoder never uses more than this, whatever the peer allows.
    cap: usize,
    /// What the table's size has to become with the next block: the smallest that it must have had in between, and the
    /// last.
    pending: Option<(usize, usize)>,
}

/// What the encoder keeps for an entry, to find it again.
#[derive(Clone, Copy, Debug)]
struct ChainLink {
    /// Of name and value.
    hash: u32,
    name: NameId,
    /// The number of the next older entry of the chain. The chain ends with one that is evicted.
    next: u32,
}

/// A name in lower case, with its hash and its number among the well-known names.
#[derive(Clone, Copy)]
struct Name<'a> {
    id: NameId,
    octets: &'a [u8],
    hash: u32,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// The bytes of memory that its table holds.
    pub(crate) fn held(&self) -> usize {
        self.table.held()
    }

    /// An encoder that uses at most 4,096 octets of table. RFC 9113 §6.5.2.
    #[must_use]
    pub fn new() -> Self {
        Self::with_table_cap(TABLE_SIZE_DEFAULT)
    }

    /// An encoder that uses at most `cap` octets of table, however much the peer allows.
    #[must_use]
    pub fn with_table_cap(cap: usize) -> Self {
        let mut encoder = Self {
            table: DynamicTable::new(TABLE_SIZE_DEFAULT),
            added: 0,
            chains: [0; BUCKETS],
            cap,
            pending: None,
        };
        encoder.set_table_size_max(TABLE_SIZE_DEFAULT);
        encoder
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE. The next block begins with the size update, and with another one if
    /// the size was smaller in between. RFC 7541 §4.2.
    pub fn set_table_size_max(&mut self, table_size_max: usize) {
        let size = table_size_max.min(self.cap);
        let (smallest, now) = self.pending.unwrap_or((self.table.size_max(), self.table.size_max()));
        if size != now || smallest != now {
            self.pending = Some((smallest.min(size), size));
        }
    }

    /// The size of the dynamic table now, octets. RFC 7541 §4.1.
    #[must_use]
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Appends a field line to the block `out`; `name` may be in any case, and is sent in lower case.
    #[inline]
    pub fn encode(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], indexing: Indexing) {
        self.encode_as(out, NameId::in_any_case(name), name, value, indexing);
    }

    /// Appends a field line whose name is looked up already.
    #[inline]
    pub(crate) fn encode_as(
        &mut self,
        out: &mut Vec<u8>,
        id: NameId,
        name: &[u8],
        value: &[u8],
        indexing: Indexing,
    ) {
        debug_assert_eq!(id, NameId::in_any_case(name));
        if id != NameId::OTHER {
            self.encode_name(out, Name::known(id), value, indexing);
        } else if name.len() > NAME_LEN_MAX {
            self.encode_long_name(out, name, value, indexing);
        } else if words::fold(name, false, |found, word| found | words::has_upper_case(word)) {
            self.encode_upper_case(out, name, value, indexing);
        } else {
            self.encode_name(out, Name::other(name), value, indexing);
        }
    }

    /// Appends a field line with a well-known name, pseudo-header names included. [`NameId::OTHER`] is none: then nothing is
    /// written.
    #[inline]
    pub fn encode_known(&mut self, out: &mut Vec<u8>, name: NameId, value: &[u8], indexing: Indexing) {
        if name != NameId::OTHER {
            self.encode_name(out, Name::known(name), value, indexing);
        }
    }

    /// Appends `:status`, of which the last three digits count. RFC 9113 §8.3.2.
    #[inline]
    pub fn encode_status(&mut self, out: &mut Vec<u8>, status: u16) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digits = [100, 10, 1].map(|place| b'0' + (status / place % 10) as u8);
                return self.encode_known(out, NameId::STATUS, &digits, Indexing::Auto);
            }
        };
        self.begin(out);
        out.push(0x80 | index);
    }

    /// Appends the size updates that have to come before the first field line of a block. Every method that appends a
    /// field line does this itself; this one is for blocks that may have no line. RFC 7541 §4.2.
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if self.pending.is_some() {
            self.update_size(out);
        }
    }

    /// RFC 7541 §6.3.
    #[cold]
    fn update_size(&mut self, out: &mut Vec<u8>) {
        let Some((smallest, size)) = self.pending.take() else { return };
        if smallest < size.min(self.table.size_max()) {
            integer::encode::<5>(0x20, smallest, out);
        }
        integer::encode::<5>(0x20, size, out);
        self.table.set_size_max(smallest);
        self.table.set_size_max(size);
    }

    fn encode_name(&mut self, out: &mut Vec<u8>, name: Name<'_>, value: &[u8], indexing: Indexing) {
        self.begin(out);
        let indexing = if indexing == Indexing::Auto { policy(name.id, value) } else { indexing };
        if let Some(index) = static_index(name.id, value, indexing) {
            return integer::encode::<7>(0x80, index, out);
        }
        if indexing == Indexing::Index {
            return self.encode_indexing(out, name, value, hash(name.hash, value));
        }
        let pattern = if indexing == Indexing::Never { 0x10 } else { 0x00 };
        let index = self.name_index(name);
        integer::encode::<4>(pattern, index.unwrap_or(0), out);
        literal(index, name, value, out);
    }

    /// Appends field lines that were made ready: what [`encode_as`](Self::encode_as) would append for them one after the other.
    #[inline]
    pub(crate) fn encode_ready(&mut self, out: &mut Vec<u8>, lines: &ReadyLines) {
        for part in &lines.parts {
            self.begin(out);
            match *part {
                ReadyPart::Encoded { start, end } => out.extend_from_slice(lines.octets(start, end)),
                ReadyPart::Indexed { id, name_hash, hash, start, value, end } => {
                    let name = Name { id, octets: lines.octets(start, value), hash: name_hash };
                    self.encode_indexing(out, name, lines.octets(value, end), hash);
                }
            }
        }
    }

    /// An index of the dynamic table, or a literal that comes into it if it is not too large. `hash` is that of name and value.
    #[inline(always)]
    fn encode_indexing(&mut self, out: &mut Vec<u8>, name: Name<'_>, value: &[u8], hash: u32) {
        let same = |entry: &Entry<ChainLink>| {
            entry.tag.hash == hash && self.has_name(entry, name) && self.table.value(entry) == value
        };
        if let Some(index) = self.find(name, same) {
            return integer::encode::<7>(0x80, index, out);
        }
        let index = self.name_index(name);
        if name.octets.len() + value.len() + FIELD_OVERHEAD <= self.table.size_max() / 4 * 3 {
            integer::encode::<6>(0x40, index.unwrap_or(0), out);
            self.add(name, value, hash);
        } else {
            integer::encode::<4>(0x00, index.unwrap_or(0), out);
        }
        literal(index, name, value, out);
    }

    /// An index of either table where `name` stands.
    fn name_index(&self, name: Name<'_>) -> Option<usize> {
        name.id.static_index().or_else(|| self.find(name, |entry| self.has_name(entry, name)))
    }

    /// Whether an entry has `name`: well-known names are recognised by their numbers.
    #[inline]
    fn has_name(&self, entry: &Entry<ChainLink>, name: Name<'_>) -> bool {
        entry.tag.name == name.id && (name.id != NameId::OTHER || self.table.name(entry) == name.octets)
    }

    /// The index of the newest entry that `matches`, among those where `name` may be.
    #[inline]
    fn find(&self, name: Name<'_>, matches: impl Fn(&Entry<ChainLink>) -> bool) -> Option<usize> {
        let mut number = self.chains[name.chain()];
        for _ in 0..PROBES_MAX {
            let age = self.added.wrapping_sub(number) as usize;
            let entry = self.table.get(age)?;
            if matches(entry) {
                return Some(static_table::LEN + 1 + age);
            }
            number = entry.tag.next;
        }
        None
    }

    fn add(&mut self, name: Name<'_>, value: &[u8], hash: u32) {
        let chain = &mut self.chains[name.chain()];
        if self.table.insert(name.octets, value, ChainLink { hash, name: name.id, next: *chain }) {
            self.added = self.added.wrapping_add(1);
            *chain = self.added;
        }
    }

    /// A name that is not well known, and has to be brought into lower case first.
    fn encode_upper_case(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], indexing: Indexing) {
        let mut lower = [0; NAME_LEN_MAX];
        for (lower, octet) in lower.iter_mut().zip(name) {
            *lower = octet.to_ascii_lowercase();
        }
        self.encode_name(out, Name::other(lower.get(..name.len()).unwrap_or_default()), value, indexing);
    }

    /// A literal that is not indexed, with a name that is not looked up.
    #[cold]
    fn encode_long_name(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], indexing: Indexing) {
        self.begin(out);
        long_name(name, value, indexing, out);
    }
}

impl<'a> Name<'a> {
    #[inline]
    fn other(octets: &'a [u8]) -> Self {
        Self { id: NameId::OTHER, octets, hash: hash(0, octets) }
    }

    #[inline]
    fn known(id: NameId) -> Self {
        Self { id, octets: id.as_str().as_bytes(), hash: u32::from(id.number()) }
    }

    #[inline]
    fn chain(self) -> usize {
        self.hash as usize % BUCKETS
    }
}

/// The representation that [`Indexing::Auto`] chooses for a name.
#[inline]
fn policy(name: NameId, value: &[u8]) -> Indexing {
    match name {
        NameId::AUTHORIZATION | NameId::PROXY_AUTHORIZATION => Indexing::Never,
        NameId::COOKIE if value.len() < SHORT_COOKIE => Indexing::Never,
        NameId::PATH
        | NameId::AGE
        | NameId::CONTENT_LENGTH
        | NameId::CONTENT_RANGE
        | NameId::ETAG
        | NameId::IF_MODIFIED_SINCE
        | NameId::IF_NONE_MATCH
        | NameId::LAST_MODIFIED
        | NameId::LOCATION
        | NameId::SET_COOKIE => Indexing::Without,
        _ => Indexing::Index,
    }
}

/// The index of a field line that stands in the static table whole. What is there gives nothing away, but a secret stays a literal for
/// those who send it on.
#[inline]
fn static_index(name: NameId, value: &[u8], indexing: Indexing) -> Option<usize> {
    if indexing == Indexing::Never { None } else { static_table::find(name, value) }
}

/// Appends a field line for [`ReadyLines`], if its encoding does not depend on the dynamic table. Otherwise it is to be indexed: then these
/// are the hashes of its name, which is in lower case, and of name and value.
pub(super) fn encode_independent(
    out: &mut Vec<u8>,
    id: NameId,
    name: &[u8],
    value: &[u8],
) -> Option<(u32, u32)> {
    if id == NameId::OTHER && name.len() > NAME_LEN_MAX {
        long_name(name, value, Indexing::Auto, out);
        return None;
    }
    let name = if id == NameId::OTHER { Name::other(name) } else { Name::known(id) };
    let indexing = policy(id, value);
    if let Some(index) = static_index(id, value, indexing) {
        integer::encode::<7>(0x80, index, out);
        return None;
    }
    match id.static_index().filter(|_| indexing != Indexing::Index) {
        Some(index) => {
            integer::encode::<4>(if indexing == Indexing::Never { 0x10 } else { 0x00 }, index, out);
            string(value, out);
            None
        }
        // A name that is in no table is always indexed.
        None => Some((name.hash, hash(name.hash, value))),
    }
}

/// Appends the strings that follow the index of a literal: its value, and before that its name if the index is 0.
/// RFC 7541 §6.2.
#[inline]
fn literal(index: Option<usize>, name: Name<'_>, value: &[u8], out: &mut Vec<u8>) {
    if index.is_none() {
        string(name.octets, out);
    }
    string(value, out);
}

/// Appends a literal whose name stands in no table.
fn long_name(name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
    out.push(if indexing == Indexing::Never { 0x10 } else { 0x00 });
    integer::encode::<7>(0x00, name.len(), out);
    let start = out.len();
    out.extend_from_slice(name);
    out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
    string(value, out);
}

/// Appends a string literal, in the shorter of its two forms. RFC 7541 §5.2.
fn string(string: &[u8], out: &mut Vec<u8>) {
    if string.len() > ONE_OCTET_LEN_MAX {
        return long_string(string, out);
    }
    // What is not longer than the string has a length of one octet: it is encoded behind that, and only then is its length known.
    let at = out.len();
    out.push(string.len() as u8);
    huffman::encode(string, out);
    let len = out.len() - at - 1;
    if len < string.len() {
        if let Some(first) = out.get_mut(at) {
            *first = 0x80 | len as u8;
        }
    } else {
        out.truncate(at + 1);
        out.extend_from_slice(string);
    }
}

/// A string whose length may need several octets.
fn long_string(string: &[u8], out: &mut Vec<u8>) {
    let len = huffman::encoded_len(string);
    if len < string.len() {
        integer::encode::<7>(0x80, len, out);
        huffman::encode(string, out);
    } else {
        integer::encode::<7>(0x00, string.len(), out);
        out.extend_from_slice(string);
    }
}

/// A fast hash that is no defence against collisions: a peer that provokes them only gets literals, as a chain is
/// followed for at most [`PROBES_MAX`] steps.
#[inline]
fn hash(seed: u32, octets: &[u8]) -> u32 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let seeded = (u64::from(seed) << 32 | octets.len() as u64).wrapping_mul(MIX);
    let hash = words::fold(octets, seeded, |hash, word| (hash ^ word).wrapping_mul(MIX).rotate_left(29));
    (hash >> 32) as u32
}
