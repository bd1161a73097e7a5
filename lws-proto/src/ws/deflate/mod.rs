//! permessage-deflate: compressed messages. RFC 7692.
//!
//! Says what is wanted; `negotiate` what is agreed on, `encoder` and `decoder` what becomes of messages. Knows messages
//! and no frames, so that it is the same over every transport of them.

mod decoder;
mod encoder;
mod negotiate;
mod pool;

use super::OptionError;
use alloc::sync::Arc;
use core::ops::RangeInclusive;
use pool::Pool;

/// The registered name. RFC 7692 §9.1.
const NAME: &str = "permessage-deflate";

/// Base-two logarithms of an LZ77 window. RFC 7692 §7.1.2.1.
const WINDOW_BITS: RangeInclusive<u8> = 8..=15;

/// The smallest window that we compress with: zlib has none of 256 bytes.
const OWN_WINDOW_BITS_MIN: u8 = 9;

/// Buffers as libwebsockets counts them, in base-two logarithms: 1 KiB to 1 MiB.
const BUFFER_BITS: RangeInclusive<u8> = 10..=20;

/// permessage-deflate as one side wants it. RFC 7692.
///
/// The default keeps nothing between messages: an idle WebSocket costs a few dozen bytes, and one compressor serves all of
/// a thread. Clones share their contexts: make one for each thread, and clone it for everything there.
///
/// ```
/// use lws_proto::ws::{Accept, Deflate};
///
/// let deflate = Deflate::default().level(6).context_takeover(true);
/// let accept = Accept::new().deflate(&deflate);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Deflate {
    settings: DeflateSettings,
    pool: Arc<Pool>,
}

/// What is wanted, and what compression costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeflateSettings {
    /// Server first, then client: whether that side's messages may refer to earlier ones.
    takeover: [bool; 2],
    /// Server first, then client: the largest window of that side's compressor.
    window_bits: [u8; 2],
    level: u8,
    mem_level: u8,
    threshold: usize,
    /// What a decoder makes at a time, and an encoder asks for at a time.
    rx_buf_bits: u8,
    tx_buf_bits: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        let settings = DeflateSettings {
            takeover: [false; 2],
            window_bits: [15; 2],
            level: 1,
            mem_level: 8,
            threshold: 256,
            rx_buf_bits: 14,
            tx_buf_bits: 12,
        };
        Self { settings, pool: Arc::new(Pool::default()) }
    }
}

impl Deflate {
    /// These settings with contexts of their own: for another thread.
    pub fn apart(&self) -> Self {
        Self { settings: self.settings, pool: Arc::new(Pool::default()) }
    }

    /// Whether messages may refer to those before them, in both directions. Small messages that are alike then shrink much
    /// more, and each WebSocket keeps its contexts while it is open. Default no. RFC 7692 §7.1.1.
    pub fn context_takeover(self, takeover: bool) -> Self {
        self.server_context_takeover(takeover).client_context_takeover(takeover)
    }

    /// Whether what the server sends may refer to its earlier messages. RFC 7692 §7.1.1.1.
    #[doc(alias = "server_no_context_takeover")]
    pub fn server_context_takeover(mut self, takeover: bool) -> Self {
        self.settings.takeover[0] = takeover;
        self
    }

    /// Whether what the client sends may refer to its earlier messages. RFC 7692 §7.1.1.2.
    #[doc(alias = "client_no_context_takeover")]
    pub fn client_context_takeover(mut self, takeover: bool) -> Self {
        self.settings.takeover[1] = takeover;
        self
    }

    /// The largest window of the server's compressor, in base-two logarithms of bytes: 8 to 15, to which other values are
    /// moved. This side compresses with no less than 9. Default 15. RFC 7692 §7.1.2.1.
    pub fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.settings.window_bits[0] = clamp(bits, WINDOW_BITS);
        self
    }

    /// The largest window of the client's compressor, in base-two logarithms of bytes. It binds only a client that offers the
    /// parameter, as all browsers do. RFC 7692 §7.1.2.2.
    pub fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.settings.window_bits[1] = clamp(bits, WINDOW_BITS);
        self
    }

    /// How hard the compressor tries: 1, the default, is fastest, 9 smallest, 0 does not compress at all.
    #[doc(alias = "compression_level")]
    pub fn level(mut self, level: u8) -> Self {
        self.settings.level = level.min(9);
        self
    }

    /// How much memory the compressor takes for symbols, 1 to 9, default 8: less is a few KiB smaller for each step, and
    /// makes blocks shorter.
    pub fn mem_level(mut self, mem_level: u8) -> Self {
        self.settings.mem_level = clamp(mem_level, 1..=9);
        self
    }

    /// The size from which on a message is compressed, in bytes. Default 256: below, little is won. A message that is
    /// sent in parts is compressed whatever its size.
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.settings.threshold = bytes;
        self
    }

    /// How much of a message is inflated at a time, in base-two logarithms of bytes: 10 to 20, default 14. A streamed message
    /// comes in parts of that size; the buffer is shared by all WebSockets.
    pub fn rx_buf_size(mut self, bits: u8) -> Self {
        self.settings.rx_buf_bits = clamp(bits, BUFFER_BITS);
        self
    }

    /// By how much the transmit buffer grows at a time while a message is compressed into it, in base-two logarithms of
    /// bytes: 10 to 20, default 12.
    pub fn tx_buf_size(mut self, bits: u8) -> Self {
        self.settings.tx_buf_bits = clamp(bits, BUFFER_BITS);
        self
    }

    /// Every option as [`set_option`](Self::set_option) takes it: `name=value`, with a comma between two.
    #[cfg(feature = "record")]
    pub(crate) fn options(&self) -> alloc::string::String {
        let DeflateSettings { takeover, window_bits, level, mem_level, threshold, rx_buf_bits, tx_buf_bits } =
            self.settings;
        let [server, client] = takeover.map(|takeover| u8::from(!takeover));
        let [server_bits, client_bits] = window_bits;
        alloc::format!(
            "server_no_context_takeover={server},client_no_context_takeover={client},\
             server_max_window_bits={server_bits},client_max_window_bits={client_bits},\
             compression_level={level},mem_level={mem_level},rx_buf_size={rx_buf_bits},\
             tx_buf_size={tx_buf_bits},threshold={threshold}"
        )
    }

    /// Sets an option by its name, as text: those of libwebsockets, which are the parameters of RFC 7692 §7.1 with
    /// `compression_level`, `mem_level`, `rx_buf_size` and `tx_buf_size`; and `threshold`. Takeovers are off with `1` and on
    /// with `0`, as their names say.
    ///
    /// ```
    /// use lws_proto::ws::{Deflate, OptionError};
    ///
    /// let mut deflate = Deflate::default();
    /// assert_eq!(deflate.set_option("compression_level", "6"), Ok(()));
    /// assert_eq!(deflate.set_option("compression_level", "10"), Err(OptionError::Value));
    /// assert_eq!(deflate.set_option("level_of_compression", "6"), Err(OptionError::Unknown));
    /// ```
    ///
    /// # Errors
    /// There is no such option, or it does not take that value.
    #[doc(alias = "lws_set_extension_option")]
    pub fn set_option(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        let settings = &mut self.settings;
        match name {
            "server_no_context_takeover" => settings.takeover[0] = !flag(value)?,
            "client_no_context_takeover" => settings.takeover[1] = !flag(value)?,
            "server_max_window_bits" => settings.window_bits[0] = number(value, WINDOW_BITS)?,
            "client_max_window_bits" => settings.window_bits[1] = number(value, WINDOW_BITS)?,
            "compression_level" => settings.level = number(value, 0..=9)?,
            "mem_level" => settings.mem_level = number(value, 1..=9)?,
            "rx_buf_size" => settings.rx_buf_bits = number(value, BUFFER_BITS)?,
            "tx_buf_size" => settings.tx_buf_bits = number(value, BUFFER_BITS)?,
            "threshold" => settings.threshold = value.parse().map_err(|_| OptionError::Value)?,
            _ => return Err(OptionError::Unknown),
        }
        Ok(())
    }
}

fn clamp(value: u8, range: RangeInclusive<u8>) -> u8 {
    value.clamp(*range.start(), *range.end())
}

/// A whole number without sign, space or leading zero.
fn number(value: &str, range: RangeInclusive<u8>) -> Result<u8, OptionError> {
    let canonical =
        value.bytes().all(|byte| byte.is_ascii_digit()) && (value.len() == 1 || !value.starts_with('0'));
    let number = value.parse().ok().filter(|number| canonical && range.contains(number));
    number.ok_or(OptionError::Value)
}

fn flag(value: &str) -> Result<bool, OptionError> {
    Ok(number(value, 0..=1)? == 1)
}
