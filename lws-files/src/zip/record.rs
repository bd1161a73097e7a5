//! The records of a zip archive: bytes to typed items. APPNOTE.TXT 6.3.10, by the numbers of its sections.
//!
//! Knows no file and no other record.

use super::ZipError;

/// Reads little-endian numbers from the front of bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], ZipError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(ZipError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ZipError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ZipError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ZipError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ZipError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ZipError> {
        self.array().map(u64::from_le_bytes)
    }

    fn signature(&mut self, expected: u32) -> Result<(), ZipError> {
        if self.u32()? == expected { Ok(()) } else { Err(ZipError::Truncated) }
    }
}

/// Where the central directory is, and how much is in it. §4.3.16 and §4.3.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
    /// Whether the real values may be in the ZIP64 record.
    pub(super) is_saturated: bool,
}

impl End {
    pub(super) const SIGNATURE: [u8; 4] = *b"PK\x05\x06";
    pub(super) const LEN: usize = 22;

    /// Reads the record, whose comment reaches to the end of `bytes` if it is one.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, ZipError> {
        let mut reader = Reader(bytes);
        reader.signature(u32::from_le_bytes(Self::SIGNATURE))?;
        let (disk, first_disk) = (reader.u16()?, reader.u16()?);
        let (here, entries) = (reader.u16()?, reader.u16()?);
        let (size, offset) = (reader.u32()?, reader.u32()?);
        if usize::from(reader.u16()?) != reader.0.len() {
            return Ok(None);
        }
        let is_saturated =
            [disk, first_disk, here, entries].contains(&u16::MAX) || [size, offset].contains(&u32::MAX);
        let one_disk = disk == first_disk && here == entries && (disk == 0 || disk == u16::MAX);
        if !one_disk {
            return Err(ZipError::MultiDisk);
        }
        Ok(Some(Self { entries: entries.into(), size: size.into(), offset: offset.into(), is_saturated }))
    }

    /// The ZIP64 record, §4.3.14, which says how long it is.
    pub(super) fn parse_zip64(bytes: &[u8]) -> Result<Self, ZipError> {
        let mut reader = Reader(bytes);
        reader.signature(0x0606_4b50).map_err(|_| ZipError::Zip64)?;
        if reader.u64()? != bytes.len() as u64 - 12 {
            return Err(ZipError::Zip64);
        }
        let (_made_by, _needed) = (reader.u16()?, reader.u16()?);
        let (disk, first_disk) = (reader.u32()?, reader.u32()?);
        let (here, entries) = (reader.u64()?, reader.u64()?);
        if disk != 0 || first_disk != 0 || here != entries {
            return Err(ZipError::MultiDisk);
        }
        Ok(Self { entries, size: reader.u64()?, offset: reader.u64()?, is_saturated: false })
    }
}

/// Where the ZIP64 record is. §4.3.15.
pub(super) const LOCATOR_LEN: u64 = 20;

/// The position of the ZIP64 record as the locator says it; `None` if this is no locator.
pub(super) fn parse_locator(bytes: &[u8]) -> Result<Option<u64>, ZipError> {
    let mut reader = Reader(bytes);
    if reader.u32()? != 0x0706_4b50 {
        return Ok(None);
    }
    let (disk, offset, disks) = (reader.u32()?, reader.u64()?, reader.u32()?);
    if disk != 0 || disks > 1 {
        return Err(ZipError::MultiDisk);
    }
    Ok(Some(offset))
}

/// Bits of the general purpose flag. §4.4.4.
pub(super) mod flags {
    /// Encrypted, encrypted strongly, or with masked headers.
    pub(in crate::zip) const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
    /// Sizes and checksum follow the data, and are zero in the local header.
    pub(in crate::zip) const DESCRIPTOR: u16 = 1 << 3;
    /// The name is UTF-8.
    pub(in crate::zip) const UTF8: u16 = 1 << 11;
}

/// A header in the central directory. §4.3.12.
#[derive(Clone, Copy, Debug)]
pub(super) struct Central<'a> {
    pub(super) made_by: u16,
    pub(super) flags: u16,
    pub(super) method: u16,
    /// MS-DOS: two seconds, minutes and hours in 5, 6 and 5 bits.
    pub(super) time: u16,
    /// MS-DOS: day, month and years since 1980 in 5, 4 and 7 bits.
    pub(super) date: u16,
    pub(super) crc: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    pub(super) attributes: u32,
    pub(super) offset: u64,
    pub(super) name: &'a [u8],
    pub(super) extra: &'a [u8],
}

impl<'a> Central<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, ZipError> {
        reader.signature(0x0201_4b50)?;
        let (made_by, _needed, flags, method) = (reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?);
        let (time, date, crc) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let (compressed, size) = (reader.u32()?, reader.u32()?);
        let (name_len, extra_len, comment_len) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let (disk, _internal, attributes, offset) =
            (reader.u16()?, reader.u16()?, reader.u32()?, reader.u32()?);
        let (name, extra) = (reader.bytes(name_len.into())?, reader.bytes(extra_len.into())?);
        reader.bytes(comment_len.into())?;
        let wide = [u64::from(size), u64::from(compressed), u64::from(offset)];
        let [size, compressed, offset] = widen(wide, disk, extra)?;
        Ok(Self {
            made_by,
            flags,
            method,
            time,
            date,
            crc,
            compressed,
            size,
            attributes,
            offset,
            name,
            extra,
        })
    }
}

/// The values of a header, those that are saturated taken from its extra field 1. §4.5.3: it has these and no others, in this order.
fn widen(mut values: [u64; 3], disk: u16, extra: &[u8]) -> Result<[u64; 3], ZipError> {
    const SATURATED: u64 = u32::MAX as u64;
    if disk != 0 && disk != u16::MAX {
        return Err(ZipError::MultiDisk);
    }
    if disk == 0 && !values.contains(&SATURATED) {
        return Ok(values);
    }
    let mut reader = Reader(extra_field(extra, 1).ok_or(ZipError::Zip64)?);
    for value in values.iter_mut().filter(|value| **value == SATURATED) {
        *value = reader.u64().map_err(|_| ZipError::Zip64)?;
    }
    if disk == u16::MAX && reader.u32().map_err(|_| ZipError::Zip64)? != 0 {
        return Err(ZipError::MultiDisk);
    }
    if reader.0.is_empty() { Ok(values) } else { Err(ZipError::Zip64) }
}

/// The first extra field called `id`. §4.5.1. What is cut off is none.
pub(super) fn extra_field(extra: &[u8], id: u16) -> Option<&[u8]> {
    let mut reader = Reader(extra);
    loop {
        let (this, len) = (reader.u16().ok()?, reader.u16().ok()?);
        let data = reader.bytes(len.into()).ok()?;
        if this == id {
            return Some(data);
        }
    }
}

/// The header before the data of a member. §4.3.7. Its lengths say where the data begins, and nothing else that it says is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) compressed: u32,
    pub(super) size: u32,
    pub(super) name_len: u16,
    pub(super) extra_len: u16,
}

impl Local {
    pub(super) const LEN: usize = 30;

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ZipError> {
        let mut reader = Reader(bytes);
        reader.signature(0x0403_4b50)?;
        let (_needed, flags, method) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let _time_and_date = reader.u32()?;
        let (crc, compressed, size) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (name_len, extra_len) = (reader.u16()?, reader.u16()?);
        Ok(Self { flags, method, crc, compressed, size, name_len, extra_len })
    }
}
