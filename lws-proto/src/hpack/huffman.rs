//! The Huffman code for string literals. RFC 7541 §5.2 and Appendix B.
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and longer ones follow
//! shorter ones. So the lengths of Appendix B determine every code, and all tables are made from them at compile
//! time.

use super::DecodeError;
use alloc::vec::Vec;

/// Bits of the code of each octet, and of EOS. RFC 7541 Appendix B.
static LENGTHS: [u8; 257] = CODE_LENGTHS;

#[rustfmt::skip]
const CODE_LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The symbol that no string may hold.
const EOS: usize = 256;
/// The longest code, that of EOS.
const BITS_MAX: u32 = 30;
/// How many bits of input the decoder looks up at once. Two symbols of six bits, which most are, fit.
const LOOKUP_BITS: u32 = 12;

/// A code and its length.
#[derive(Clone, Copy)]
struct Code {
    bits: u32,
    len: u8,
}

/// The code of each octet, and of EOS.
static CODES: [Code; 257] = codes();

const fn codes() -> [Code; 257] {
    let mut codes = [Code { bits: 0, len: 0 }; 257];
    let mut next = 0;
    let mut len = 1;
    while len <= BITS_MAX {
        next <<= 1;
        let mut symbol = 0;
        while symbol < codes.len() {
            if CODE_LENGTHS[symbol] as u32 == len {
                codes[symbol] = Code { bits: next, len: len as u8 };
                next += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    codes
}

/// The symbols whose codes are at the front of [`LOOKUP_BITS`] bits: up to two.
#[derive(Clone, Copy)]
struct Lookup {
    symbols: [u8; 2],
    /// The bits of all of them. 0 if the first has more than there are.
    len: u8,
    /// The bits of the first.
    first_len: u8,
}

impl Lookup {
    const NONE: Self = Self { symbols: [0; 2], len: 0, first_len: 0 };

    /// How many symbols there are, if there are any.
    #[inline]
    fn count(self) -> usize {
        1 + usize::from(self.len != self.first_len)
    }
}

static LOOKUP: [Lookup; 1 << LOOKUP_BITS] = lookup();

const fn lookup() -> [Lookup; 1 << LOOKUP_BITS] {
    let codes = codes();
    let mut table = [Lookup::NONE; 1 << LOOKUP_BITS];
    let mut first = 0;
    while first < EOS {
        let code = codes[first];
        if code.len as u32 <= LOOKUP_BITS {
            let rest = LOOKUP_BITS - code.len as u32;
            let mut at = (code.bits << rest) as usize;
            let end = at + (1 << rest);
            while at < end {
                table[at] = Lookup { symbols: [first as u8, 0], len: code.len, first_len: code.len };
                at += 1;
            }
            let mut second = 0;
            while second < EOS {
                let next = codes[second];
                if next.len as u32 <= rest {
                    let rest = rest - next.len as u32;
                    let len = code.len + next.len;
                    let mut at = ((code.bits << next.len | next.bits) << rest) as usize;
                    let end = at + (1 << rest);
                    while at < end {
                        table[at] = Lookup { symbols: [first as u8, second as u8], len, first_len: code.len };
                        at += 1;
                    }
                }
                second += 1;
            }
        }
        first += 1;
    }
    table
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct Long {
    /// The first of them.
    code: u32,
    /// The first code behind them, at the top of 32 bits. Codes of this length, and of shorter ones, are below.
    end: u32,
    /// Where the symbol of the first stands in [`LONG_SYMBOLS`].
    symbol: u16,
}

/// The codes that have more than [`LOOKUP_BITS`], by length.
static LONG: [Long; (BITS_MAX - LOOKUP_BITS) as usize] = long().0;
/// Their symbols, in the order of the codes.
static LONG_SYMBOLS: [u16; 257] = long().1;

const fn long() -> ([Long; (BITS_MAX - LOOKUP_BITS) as usize], [u16; 257]) {
    let codes = codes();
    let mut table = [Long { code: 0, end: 0, symbol: 0 }; (BITS_MAX - LOOKUP_BITS) as usize];
    let mut symbols = [0; 257];
    let mut count = 0;
    let mut end = 0;
    let mut row = 0;
    while row < table.len() {
        let len = LOOKUP_BITS + 1 + row as u32;
        table[row].symbol = count as u16;
        let mut symbol = 0;
        while symbol < codes.len() {
            let code = codes[symbol];
            if code.len as u32 == len {
                if table[row].symbol == count as u16 {
                    table[row].code = code.bits;
                }
                // The very last code ends where 32 bits do.
                end = ((code.bits as u64 + 1) << (32 - len)) as u32;
                if end == 0 {
                    end = u32::MAX;
                }
                symbols[count] = symbol as u16;
                count += 1;
            }
            symbol += 1;
        }
        table[row].end = end;
        row += 1;
    }
    (table, symbols)
}

/// The symbol whose code stands at the top of `bits`, which has more than [`LOOKUP_BITS`], and the length of the code.
fn decode_long(bits: u64) -> (usize, u32) {
    let top = (bits >> 32) as u32;
    for (row, len) in LONG.iter().zip(LOOKUP_BITS + 1..) {
        if top < row.end {
            let at = (top >> (32 - len)) - row.code + u32::from(row.symbol);
            return (usize::from(LONG_SYMBOLS[at as usize]), len);
        }
    }
    (EOS, BITS_MAX)
}

/// Decodes `input` and appends the string to `out`.
///
/// # Errors
/// For an EOS, and for what is behind the last symbol if it is not a beginning of EOS, or more than seven bits of it. Some
/// of the string may have been appended then.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let start = out.len();
    // No code has less than five bits; and symbols are written in pairs.
    out.resize(start + input.len() * 8 / 5 + 2, 0);
    let result = decode_into(input, out.get_mut(start..).unwrap_or_default());
    out.truncate(start + *result.as_ref().unwrap_or(&0));
    result.map(|_| ())
}

/// The next bits of a string.
#[derive(Clone, Copy)]
struct Window {
    /// At the top. What is below those that are counted is right, too, or zero.
    bits: u64,
    /// How many there are.
    count: u32,
}

impl Window {
    #[inline]
    fn lookup(self) -> Lookup {
        LOOKUP[(self.bits >> (64 - LOOKUP_BITS)) as usize]
    }

    #[inline]
    fn skip(&mut self, len: u32) {
        self.bits <<= len;
        self.count -= len;
    }

    /// Fills up from eight octets, of which `input` keeps what is not needed.
    #[inline]
    fn fill_from_word(&mut self, word: [u8; 8], input: &mut &[u8]) {
        self.bits |= u64::from_be_bytes(word) >> self.count;
        *input = input.get((63 - self.count as usize) / 8..).unwrap_or_default();
        self.count |= 56;
    }

    #[inline]
    fn fill_from_octets(&mut self, input: &mut &[u8]) {
        while self.count <= 56
            && let Some((octet, rest)) = input.split_first()
        {
            self.bits |= u64::from(*octet) << (56 - self.count);
            self.count += 8;
            *input = rest;
        }
    }

    /// The symbol at the front where no more octets come, or a long one: it and its bits, or nothing but padding.
    #[inline]
    fn last(self) -> Result<Option<(u8, u32)>, DecodeError> {
        // Behind the end everything is as if EOS went on.
        let padded = Self { bits: self.bits | u64::MAX.checked_shr(self.count).unwrap_or(0), ..self };
        if self.count < 8 && padded.bits == u64::MAX {
            return Ok(None);
        }
        let found = padded.lookup();
        let (symbol, len) = if found.len == 0 {
            decode_long(padded.bits)
        } else {
            (usize::from(found.symbols[0]), u32::from(found.first_len))
        };
        if len > self.count {
            return Err(DecodeError::HuffmanPadding);
        }
        symbol_octet(symbol).map(|octet| Some((octet, len)))
    }
}

/// Decodes into `out`, which has room for the longest possible string and one octet more, and returns the length of
/// the string.
#[inline]
fn decode_into(mut input: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let mut written = 0;
    let mut window = Window { bits: 0, count: 0 };
    'words: while let Some(word) = input.first_chunk::<8>() {
        window.fill_from_word(*word, &mut input);
        // Four looks need no more than 48 of at least 56 bits.
        for _ in 0..4 {
            let found = window.lookup();
            if found.len != 0 {
                put(out, &mut written, found.symbols, found.count());
                window.skip(found.len.into());
            } else if window.count < BITS_MAX {
                continue 'words;
            } else {
                let (symbol, len) = decode_long(window.bits);
                put(out, &mut written, [symbol_octet(symbol)?, 0], 1);
                window.skip(len);
                continue 'words;
            }
        }
    }
    loop {
        window.fill_from_octets(&mut input);
        while window.count >= LOOKUP_BITS {
            let found = window.lookup();
            if found.len == 0 {
                break;
            }
            put(out, &mut written, found.symbols, found.count());
            window.skip(found.len.into());
        }
        if window.count < BITS_MAX && !input.is_empty() {
            continue;
        }
        let Some((octet, len)) = window.last()? else { return Ok(written) };
        put(out, &mut written, [octet, 0], 1);
        window.skip(len);
    }
}

#[inline]
fn symbol_octet(symbol: usize) -> Result<u8, DecodeError> {
    u8::try_from(symbol).map_err(|_| DecodeError::HuffmanEos)
}

/// Writes both octets, of which only `count` are part of the string: the next write overwrites the other one.
#[inline]
fn put(out: &mut [u8], written: &mut usize, octets: [u8; 2], count: usize) {
    if let Some(two) = out.get_mut(*written..*written + 2) {
        two.copy_from_slice(&octets);
    }
    *written += count;
}

/// How many octets `string` has when encoded.
#[inline]
pub(super) fn encoded_len(string: &[u8]) -> usize {
    let bits: usize = string.iter().map(|&octet| usize::from(LENGTHS[usize::from(octet)])).sum();
    bits.div_ceil(8)
}

/// How many bits the code of an octet has.
#[cfg(feature = "record")]
pub(super) fn code_length(octet: u8) -> u8 {
    LENGTHS[usize::from(octet)]
}

/// Appends `string`, encoded.
pub(super) fn encode(string: &[u8], out: &mut Vec<u8>) {
    // Fewer than 32 bits wait at the bottom, so the longest code fits.
    let mut bits = 0u64;
    let mut count = 0;
    for &octet in string {
        let code = CODES[usize::from(octet)];
        bits = bits << code.len | u64::from(code.bits);
        count += u32::from(code.len);
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    // The most significant bits of EOS pad the last octet.
    let octets = count.div_ceil(8);
    let padding = octets * 8 - count;
    bits = bits << padding | ((1 << padding) - 1);
    let last = (bits << (32 - octets * 8)) as u32;
    out.extend_from_slice(last.to_be_bytes().get(..octets as usize).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn encoded(string: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        encode(string, &mut out);
        assert_eq!(out.len(), encoded_len(string));
        out
    }

    fn decoded(input: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut out = vec![b'<'];
        decode(input, &mut out)?;
        assert_eq!(out.remove(0), b'<');
        Ok(out)
    }

    #[test]
    fn codes_are_those_of_appendix_b() {
        let check = |symbol: usize, bits, len| {
            let code = CODES[symbol];
            assert_eq!((code.bits, code.len), (bits, len), "{symbol}");
        };
        // The first and the last of each length, and some in between.
        check(b'0'.into(), 0x0, 5);
        check(b't'.into(), 0x9, 5);
        check(b' '.into(), 0x14, 6);
        check(b'u'.into(), 0x2d, 6);
        check(b':'.into(), 0x5c, 7);
        check(b'z'.into(), 0x7b, 7);
        check(b'&'.into(), 0xf8, 8);
        check(b'Z'.into(), 0xfd, 8);
        check(b'!'.into(), 0x3f8, 10);
        check(b'?'.into(), 0x3fc, 10);
        check(b'\''.into(), 0x7fa, 11);
        check(b'|'.into(), 0x7fc, 11);
        check(b'#'.into(), 0xffa, 12);
        check(b'>'.into(), 0xffb, 12);
        check(0, 0x1ff8, 13);
        check(b'~'.into(), 0x1ffd, 13);
        check(b'^'.into(), 0x3ffc, 14);
        check(b'}'.into(), 0x3ffd, 14);
        check(b'<'.into(), 0x7ffc, 15);
        check(b'{'.into(), 0x7ffe, 15);
        check(b'\\'.into(), 0x7fff0, 19);
        check(0x80, 0xfffe6, 20);
        check(0x99, 0x1fffdc, 21);
        check(0x81, 0x3fffd2, 22);
        check(1, 0x7fffd8, 23);
        check(9, 0xffffea, 24);
        check(0xc7, 0x1ffffec, 25);
        check(0xc0, 0x3ffffe0, 26);
        check(0xcb, 0x7ffffde, 27);
        check(2, 0xfffffe2, 28);
        check(0xf9, 0xffffffe, 28);
        check(10, 0x3ffffffc, 30);
        check(22, 0x3ffffffe, 30);
        check(EOS, 0x3fffffff, 30);
    }

    #[test]
    fn every_octet_survives_wherever_it_stands() {
        for octet in 0..=u8::MAX {
            for len in 1..24 {
                for (at, filler) in (0..len).flat_map(|at| [(at, b'a'), (at, b'X'), (at, 0xf9)]) {
                    let mut string = vec![filler; len];
                    string[at] = octet;
                    assert_eq!(decoded(&encoded(&string)), Ok(string));
                }
            }
        }
    }

    #[test]
    fn every_pair_of_octets_survives() {
        for pair in 0..=u16::MAX {
            let string = pair.to_be_bytes();
            assert_eq!(decoded(&encoded(&string)).as_deref(), Ok(&string[..]));
        }
    }

    #[test]
    fn padding_is_a_short_beginning_of_eos() {
        let check = |input: &[u8], outcome: Result<&[u8], DecodeError>| {
            assert_eq!(decoded(input).as_deref(), outcome.as_ref().map(|string| *string), "{input:x?}");
            // The same behind more than one word of good symbols.
            let behind = [&encoded(&[b'0'; 24])[..], input].concat();
            let expected = outcome.map(|string| [&[b'0'; 24][..], string].concat());
            assert_eq!(decoded(&behind), expected, "{behind:x?}");
        };
        check(&[], Ok(b""));
        check(&[0b0000_0111], Ok(b"0"));
        check(&[0b0000_0110], Err(DecodeError::HuffmanPadding));
        check(&[0b0000_0000], Err(DecodeError::HuffmanPadding));
        check(&[0b1111_1000], Ok(b"&"));
        check(&[0xff], Err(DecodeError::HuffmanPadding));
        check(&[0b0000_0111, 0xff], Err(DecodeError::HuffmanPadding));
        check(&[0xff, 0xff, 0xff], Err(DecodeError::HuffmanPadding));
        check(&[0xff, 0xff, 0xff, 0xff], Err(DecodeError::HuffmanEos));
        check(&[0xff, 0xff, 0xff, 0xfc], Err(DecodeError::HuffmanEos));
        check(&[0b0000_0111, 0xff, 0xff, 0xff, 0xff, 0x00], Err(DecodeError::HuffmanEos));
    }
}
