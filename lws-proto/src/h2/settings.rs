//! SETTINGS of both sides. RFC 9113 §6.5, RFC 8441 §3, RFC 9218 §2.1.

use super::error::Fault;
use super::frame::{self, FrameKind, MAX_31_BITS};
use crate::{Limit, Violation};
use alloc::vec::Vec;

/// The window of a stream, and of the connection, until SETTINGS or WINDOW_UPDATE say otherwise. RFC 9113 §6.9.2.
pub(crate) const INITIAL_WINDOW: u32 = 65_535;

/// The largest frame that needs no SETTINGS. RFC 9113 §4.2.
pub(crate) const MIN_MAX_FRAME_SIZE: u32 = 16_384;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
const NO_RFC7540_PRIORITIES: u16 = 9;

/// The settings of one side. RFC 9113 §6.5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) header_table_size: u32,
    pub(crate) enable_push: bool,
    /// `None` is no limit.
    pub(crate) max_concurrent_streams: Option<u32>,
    pub(crate) initial_window_size: u32,
    pub(crate) max_frame_size: u32,
    pub(crate) max_header_list_size: Option<u32>,
    /// RFC 8441 §3.
    pub(crate) enable_connect_protocol: bool,
    /// RFC 9218 §2.1.
    pub(crate) no_rfc7540_priorities: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_table_size: 4_096,
            enable_push: true,
            max_concurrent_streams: None,
            initial_window_size: INITIAL_WINDOW,
            max_frame_size: MIN_MAX_FRAME_SIZE,
            max_header_list_size: None,
            enable_connect_protocol: false,
            no_rfc7540_priorities: false,
        }
    }
}

impl Settings {
    /// Takes in a SETTINGS payload, whose values are "processed in the order in which they appear".
    ///
    /// `from_server` is whether a server has sent it, which may not enable push. Returns the smallest SETTINGS_HEADER_TABLE_SIZE on
    /// the way, of which an encoder has to tell even if the last is larger. RFC 7541 §4.2.
    pub(crate) fn apply(
        &mut self,
        payload: &[u8],
        entries_max: usize,
        from_server: bool,
    ) -> Result<u32, Fault> {
        if payload.len() / 6 > entries_max {
            return Err(Fault::limit(Limit::SettingsEntries));
        }
        let mut smallest_table = self.header_table_size;
        for entry in payload.as_chunks::<6>().0 {
            let [a, b, value @ ..] = *entry;
            self.set(u16::from_be_bytes([a, b]), u32::from_be_bytes(value), from_server)?;
            smallest_table = smallest_table.min(self.header_table_size);
        }
        Ok(smallest_table)
    }

    fn set(&mut self, name: u16, value: u32, from_server: bool) -> Result<(), Fault> {
        let wrong = Err(Fault::connection(Violation::Setting));
        match name {
            HEADER_TABLE_SIZE => self.header_table_size = value,
            ENABLE_PUSH if value > 1 || from_server && value == 1 => return wrong,
            ENABLE_PUSH => self.enable_push = value == 1,
            MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = Some(value),
            INITIAL_WINDOW_SIZE if value > MAX_31_BITS => {
                return Err(Fault::connection(Violation::InitialWindow));
            }
            INITIAL_WINDOW_SIZE => self.initial_window_size = value,
            MAX_FRAME_SIZE if !(MIN_MAX_FRAME_SIZE..1 << 24).contains(&value) => return wrong,
            MAX_FRAME_SIZE => self.max_frame_size = value,
            MAX_HEADER_LIST_SIZE => self.max_header_list_size = Some(value),
            // RFC 8441 §3: "A sender MUST NOT send ... with the value of 0 after previously sending a value of 1."
            ENABLE_CONNECT_PROTOCOL if value > 1 || self.enable_connect_protocol && value == 0 => {
                return wrong;
            }
            ENABLE_CONNECT_PROTOCOL => self.enable_connect_protocol = value == 1,
            NO_RFC7540_PRIORITIES if value > 1 => return wrong,
            NO_RFC7540_PRIORITIES => self.no_rfc7540_priorities = value == 1,
            // "An endpoint that receives a SETTINGS frame with any unknown or unsupported identifier MUST ignore that
            // setting."
            _ => {}
        }
        Ok(())
    }

    /// Writes a SETTINGS frame with the settings that differ from the initial values.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let initial = Self::default();
        let start = frame::begin(out, FrameKind::Settings, 0, 0);
        let mut entry = |name: u16, value: u32| {
            out.extend_from_slice(&name.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        };
        if self.header_table_size != initial.header_table_size {
            entry(HEADER_TABLE_SIZE, self.header_table_size);
        }
        if !self.enable_push {
            entry(ENABLE_PUSH, 0);
        }
        if let Some(streams) = self.max_concurrent_streams {
            entry(MAX_CONCURRENT_STREAMS, streams);
        }
        if self.initial_window_size != initial.initial_window_size {
            entry(INITIAL_WINDOW_SIZE, self.initial_window_size);
        }
        if self.max_frame_size != initial.max_frame_size {
            entry(MAX_FRAME_SIZE, self.max_frame_size);
        }
        if let Some(size) = self.max_header_list_size {
            entry(MAX_HEADER_LIST_SIZE, size);
        }
        if self.enable_connect_protocol {
            entry(ENABLE_CONNECT_PROTOCOL, 1);
        }
        if self.no_rfc7540_priorities {
            entry(NO_RFC7540_PRIORITIES, 1);
        }
        frame::end(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: u16, value: u32) -> Vec<u8> {
        [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let ours = Settings {
            header_table_size: 0,
            enable_push: false,
            max_concurrent_streams: Some(100),
            initial_window_size: 1 << 20,
            max_frame_size: 1 << 15,
            max_header_list_size: Some(16_384),
            enable_connect_protocol: true,
            no_rfc7540_priorities: true,
        };
        let mut out = Vec::new();
        ours.write(&mut out);
        let mut read = Settings::default();
        assert!(read.apply(&out[frame::HEADER_BYTES..], 32, false).is_ok());
        assert_eq!(read, ours);
        out.clear();
        Settings::default().write(&mut out);
        assert_eq!(out, [0, 0, 0, 4, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn values_out_of_range_are_refused_with_their_own_code() {
        let check = |name, value, from_server, expected: Result<(), Violation>| {
            let mut settings = Settings::default();
            let found = settings.apply(&entry(name, value), 32, from_server).map(drop);
            assert_eq!(found, expected.map_err(Fault::connection), "{name} {value} {from_server}");
        };
        check(ENABLE_PUSH, 1, false, Ok(()));
        check(ENABLE_PUSH, 1, true, Err(Violation::Setting));
        check(ENABLE_PUSH, 0, true, Ok(()));
        check(ENABLE_PUSH, 2, false, Err(Violation::Setting));
        check(INITIAL_WINDOW_SIZE, MAX_31_BITS, false, Ok(()));
        check(INITIAL_WINDOW_SIZE, MAX_31_BITS + 1, false, Err(Violation::InitialWindow));
        check(MAX_FRAME_SIZE, 16_383, false, Err(Violation::Setting));
        check(MAX_FRAME_SIZE, 16_384, false, Ok(()));
        check(MAX_FRAME_SIZE, (1 << 24) - 1, false, Ok(()));
        check(MAX_FRAME_SIZE, 1 << 24, false, Err(Violation::Setting));
        check(ENABLE_CONNECT_PROTOCOL, 2, true, Err(Violation::Setting));
        check(NO_RFC7540_PRIORITIES, 2, true, Err(Violation::Setting));
        check(0x7777, u32::MAX, true, Ok(()));
    }

    #[test]
    fn extended_connect_is_not_taken_back() {
        let mut settings = Settings::default();
        assert!(settings.apply(&entry(ENABLE_CONNECT_PROTOCOL, 1), 32, true).is_ok());
        let taken_back = settings.apply(&entry(ENABLE_CONNECT_PROTOCOL, 0), 32, true).map(drop);
        assert_eq!(taken_back, Err(Fault::connection(Violation::Setting)));
    }

    #[test]
    fn a_frame_has_so_many_entries_and_no_more() {
        let entries = entry(0x7777, 0).repeat(32);
        assert!(Settings::default().apply(&entries, 32, false).is_ok());
        let entries = entry(0x7777, 0).repeat(33);
        let expected = Err(Fault::limit(Limit::SettingsEntries));
        assert_eq!(Settings::default().apply(&entries, 32, false).map(drop), expected);
    }
}
