//! Status codes. RFC 9110 §15.

use core::fmt;

/// A status code, 100 to 999. RFC 9110 §15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

impl Status {
    /// The status code `code`, or `None` if it does not have three digits.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code <= 999 { Some(Self(code)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether a final response is still to come: 1xx. RFC 9110 §15.2.
    #[must_use]
    pub const fn is_interim(self) -> bool {
        self.0 < 200
    }

    /// 2xx. RFC 9110 §15.3.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 200 && self.0 < 300
    }

    /// 3xx. RFC 9110 §15.4.
    #[must_use]
    pub const fn is_redirect(self) -> bool {
        self.0 >= 300 && self.0 < 400
    }

    /// 4xx and 5xx. RFC 9110 §15.5 and §15.6.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 >= 400 && self.0 < 600
    }

    /// Whether a response with it never has content: 1xx, 204 and 304. RFC 9110 §6.4.1.
    #[must_use]
    pub const fn is_without_content(self) -> bool {
        self.0 < 200 || self.0 == 204 || self.0 == 304
    }
}

/// Hands every registered status code, with its name, reason phrase and reference, to another macro.
macro_rules! with_registered_statuses {
    ($macro:ident) => {
        $macro! {
            100 CONTINUE "Continue" "RFC 9110 §15.2.1";
            101 SWITCHING_PROTOCOLS "Switching Protocols" "RFC 9110 §15.2.2";
            102 PROCESSING "Processing" "RFC 2518 §10.1";
            103 EARLY_HINTS "Early Hints" "RFC 8297 §2";
            200 OK "OK" "RFC 9110 §15.3.1";
            201 CREATED "Created" "RFC 9110 §15.3.2";
            202 ACCEPTED "Accepted" "RFC 9110 §15.3.3";
            203 NON_AUTHORITATIVE_INFORMATION "Non-Authoritative Information" "RFC 9110 §15.3.4";
            204 NO_CONTENT "No Content" "RFC 9110 §15.3.5";
            205 RESET_CONTENT "Reset Content" "RFC 9110 §15.3.6";
            206 PARTIAL_CONTENT "Partial Content" "RFC 9110 §15.3.7";
            207 MULTI_STATUS "Multi-Status" "RFC 4918 §11.1";
            208 ALREADY_REPORTED "Already Reported" "RFC 5842 §7.1";
            226 IM_USED "IM Used" "RFC 3229 §10.4.1";
            300 MULTIPLE_CHOICES "Multiple Choices" "RFC 9110 §15.4.1";
            301 MOVED_PERMANENTLY "Moved Permanently" "RFC 9110 §15.4.2";
            302 FOUND "Found" "RFC 9110 §15.4.3";
            303 SEE_OTHER "See Other" "RFC 9110 §15.4.4";
            304 NOT_MODIFIED "Not Modified" "RFC 9110 §15.4.5";
            305 USE_PROXY "Use Proxy" "RFC 9110 §15.4.6";
            307 TEMPORARY_REDIRECT "Temporary Redirect" "RFC 9110 §15.4.8";
            308 PERMANENT_REDIRECT "Permanent Redirect" "RFC 9110 §15.4.9";
            400 BAD_REQUEST "Bad Request" "RFC 9110 §15.5.1";
            401 UNAUTHORIZED "Unauthorized" "RFC 9110 §15.5.2";
            402 PAYMENT_REQUIRED "Payment Required" "RFC 9110 §15.5.3";
            403 FORBIDDEN "Forbidden" "RFC 9110 §15.5.4";
            404 NOT_FOUND "Not Found" "RFC 9110 §15.5.5";
            405 METHOD_NOT_ALLOWED "Method Not Allowed" "RFC 9110 §15.5.6";
            406 NOT_ACCEPTABLE "Not Acceptable" "RFC 9110 §15.5.7";
            407 PROXY_AUTHENTICATION_REQUIRED "Proxy Authentication Required" "RFC 9110 §15.5.8";
            408 REQUEST_TIMEOUT "Request Timeout" "RFC 9110 §15.5.9";
            409 CONFLICT "Conflict" "RFC 9110 §15.5.10";
            410 GONE "Gone" "RFC 9110 §15.5.11";
            411 LENGTH_REQUIRED "Length Required" "RFC 9110 §15.5.12";
            412 PRECONDITION_FAILED "Precondition Failed" "RFC 9110 §15.5.13";
            413 CONTENT_TOO_LARGE "Content Too Large" "RFC 9110 §15.5.14";
            414 URI_TOO_LONG "URI Too Long" "RFC 9110 §15.5.15";
            415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type" "RFC 9110 §15.5.16";
            416 RANGE_NOT_SATISFIABLE "Range Not Satisfiable" "RFC 9110 §15.5.17";
            417 EXPECTATION_FAILED "Expectation Failed" "RFC 9110 §15.5.18";
            421 MISDIRECTED_REQUEST "Misdirected Request" "RFC 9110 §15.5.20";
            422 UNPROCESSABLE_CONTENT "Unprocessable Content" "RFC 9110 §15.5.21";
            423 LOCKED "Locked" "RFC 4918 §11.3";
            424 FAILED_DEPENDENCY "Failed Dependency" "RFC 4918 §11.4";
            425 TOO_EARLY "Too Early" "RFC 8470 §5.2";
            426 UPGRADE_REQUIRED "Upgrade Required" "RFC 9110 §15.5.22";
            428 PRECONDITION_REQUIRED "Precondition Required" "RFC 6585 §3";
            429 TOO_MANY_REQUESTS "Too Many Requests" "RFC 6585 §4";
            431 REQUEST_HEADER_FIELDS_TOO_LARGE "Request Header Fields Too Large" "RFC 6585 §5";
            451 UNAVAILABLE_FOR_LEGAL_REASONS "Unavailable For Legal Reasons" "RFC 7725 §3";
            500 INTERNAL_SERVER_ERROR "Internal Server Error" "RFC 9110 §15.6.1";
            501 NOT_IMPLEMENTED "Not Implemented" "RFC 9110 §15.6.2";
            502 BAD_GATEWAY "Bad Gateway" "RFC 9110 §15.6.3";
            503 SERVICE_UNAVAILABLE "Service Unavailable" "RFC 9110 §15.6.4";
            504 GATEWAY_TIMEOUT "Gateway Timeout" "RFC 9110 §15.6.5";
            505 HTTP_VERSION_NOT_SUPPORTED "HTTP Version Not Supported" "RFC 9110 §15.6.6";
            506 VARIANT_ALSO_NEGOTIATES "Variant Also Negotiates" "RFC 2295 §8.1";
            507 INSUFFICIENT_STORAGE "Insufficient Storage" "RFC 4918 §11.5";
            508 LOOP_DETECTED "Loop Detected" "RFC 5842 §7.2";
            511 NETWORK_AUTHENTICATION_REQUIRED "Network Authentication Required" "RFC 6585 §6";
        }
    };
}
pub(crate) use with_registered_statuses;

/// Declares the registered codes.
macro_rules! registered {
    ($($code:literal $name:ident $reason:literal $reference:literal;)*) => {
        impl Status {
            $(
                #[doc = concat!(stringify!($code), " ", $reason, ". ", $reference, ".")]
                pub const $name: Self = Self($code);
            )*

            /// The registered reason phrase; empty for a code that is not registered. RFC 9110 §15.1.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

with_registered_statuses!(registered);

impl From<Status> for u16 {
    fn from(status: Status) -> Self {
        status.0
    }
}

/// The number has not three digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAStatus;

impl fmt::Display for NotAStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status code has three digits")
    }
}

impl core::error::Error for NotAStatus {}

impl TryFrom<u16> for Status {
    type Error = NotAStatus;

    fn try_from(code: u16) -> Result<Self, NotAStatus> {
        Self::new(code).ok_or(NotAStatus)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_code_has_three_digits() {
        for code in [0, 20, 99, 1000, u16::MAX] {
            assert_eq!(Status::try_from(code), Err(NotAStatus), "{code}");
        }
        for code in [100, 299, 999] {
            assert_eq!(Status::new(code).map(u16::from), Some(code));
        }
    }

    #[test]
    fn reasons_are_the_registered_ones_and_otherwise_empty() {
        for (code, reason) in
            [(100, "Continue"), (200, "OK"), (404, "Not Found"), (418, ""), (299, ""), (599, "")]
        {
            assert_eq!(Status::new(code).map(Status::reason), Some(reason), "{code}");
        }
    }

    #[test]
    fn some_codes_never_have_content() {
        for (code, without) in
            [(100, true), (199, true), (200, false), (204, true), (205, false), (304, true)]
        {
            assert_eq!(Status::new(code).map(Status::is_without_content), Some(without), "{code}");
        }
    }
}
