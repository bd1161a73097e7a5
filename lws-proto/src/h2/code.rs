//! Error codes. RFC 9113 §7.

use core::fmt;

/// The reason in a RST_STREAM or GOAWAY frame. RFC 9113 §7.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(u32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// What RFC 9113 calls it; `UNKNOWN` if it does not.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self.0 { $($code => $text,)* _ => "UNKNOWN" }
            }
        }
    };
}

codes! {
    /// No error: an end that was meant.
    NO_ERROR = 0, "NO_ERROR";
    /// A rule was broken that has no code of its own.
    PROTOCOL_ERROR = 1, "PROTOCOL_ERROR";
    /// The sender's own fault.
    INTERNAL_ERROR = 2, "INTERNAL_ERROR";
    /// More was sent than a window allowed.
    FLOW_CONTROL_ERROR = 3, "FLOW_CONTROL_ERROR";
    /// SETTINGS were not acknowledged in time.
    SETTINGS_TIMEOUT = 4, "SETTINGS_TIMEOUT";
    /// A frame for a stream that is half-closed or closed.
    STREAM_CLOSED = 5, "STREAM_CLOSED";
    /// A frame of a wrong size.
    FRAME_SIZE_ERROR = 6, "FRAME_SIZE_ERROR";
    /// The stream was not processed at all: the request may be sent again.
    REFUSED_STREAM = 7, "REFUSED_STREAM";
    /// The stream is not wanted any more.
    CANCEL = 8, "CANCEL";
    /// The field compression state cannot be kept.
    COMPRESSION_ERROR = 9, "COMPRESSION_ERROR";
    /// The connection behind a CONNECT request was reset or closed abnormally.
    CONNECT_ERROR = 10, "CONNECT_ERROR";
    /// The peer does what might be an attack.
    ENHANCE_YOUR_CALM = 11, "ENHANCE_YOUR_CALM";
    /// The transport does not meet the minimum of security.
    INADEQUATE_SECURITY = 12, "INADEQUATE_SECURITY";
    /// HTTP/1.1 is wanted instead.
    HTTP_1_1_REQUIRED = 13, "HTTP_1_1_REQUIRED";
}

impl ErrorCode {
    /// The code `code`; unknown ones are no error. RFC 9113 §7.
    #[must_use]
    pub const fn new(code: u32) -> Self {
        Self(code)
    }

    /// Whether RFC 9113 has a name for it.
    pub(crate) fn is_known(self) -> bool {
        self.name() != "UNKNOWN"
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "UNKNOWN" => write!(f, "error code {:#x}", self.0),
            name => f.write_str(name),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
