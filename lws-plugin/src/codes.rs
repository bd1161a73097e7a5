//! The numbers of the C interface, as `lwx_base.h` has them.

/// A pointer is NULL that must not be.
pub(crate) const E_NULL: i32 = -1;
/// An argument has a value that it cannot have.
pub(crate) const E_ARGUMENT: i32 = -2;
/// The key is of no session that is called now.
pub(crate) const E_STALE: i32 = -4;
/// No permit to write.
pub(crate) const E_AGAIN: i32 = -5;
/// Not now.
pub(crate) const E_STATE: i32 = -6;
/// A text, close code or reason that cannot be written.
pub(crate) const E_FIELD: i32 = -8;
/// A defect of the server.
pub(crate) const E_PANIC: i32 = -13;
/// A limit is reached.
pub(crate) const E_LIMIT: i32 = -15;

/// The last bytes.
pub(crate) const END: u32 = 1;
/// A text message.
pub(crate) const TEXT: u32 = 4;

/// The names of all codes, from -1 down.
const NAMES: [&str; 17] = [
    "NULL",
    "ARGUMENT",
    "SIZE",
    "STALE",
    "AGAIN",
    "STATE",
    "PROTOCOL",
    "FIELD",
    "LENGTH",
    "RECURSIVE",
    "THREAD",
    "FORKED",
    "PANIC",
    "SYSTEM",
    "LIMIT",
    "UNSUPPORTED",
    "GONE",
];

/// A code as a person who writes a plugin knows it.
pub(crate) fn name(code: i32) -> String {
    let index =
        code.checked_neg().and_then(|code| usize::try_from(code).ok()).and_then(|code| code.checked_sub(1));
    index.and_then(|index| NAMES.get(index)).map_or_else(|| code.to_string(), |name| format!("LWX_E_{name}"))
}

/// Why a session has ended.
pub(crate) fn cause(cause: &lws_server::Cause) -> i32 {
    use lws_server::Cause;
    match cause {
        Cause::Complete => 1,
        Cause::Closed { .. } => 2,
        Cause::Violation(_) => 3,
        Cause::Limit(_) => 4,
        Cause::Timeout(_) => 5,
        Cause::Handshake(_) => 6,
        Cause::Reset(_) => 7,
        Cause::Refused => 8,
        Cause::Disconnected => 9,
        Cause::Truncated => 10,
        Cause::Aborted => CAUSE_ABORTED,
        // What a later version of the engine has.
        _ => 12,
    }
}

/// This side gave up.
pub(crate) const CAUSE_ABORTED: i32 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_the_name_of_the_header() {
        for (code, expected) in [
            (E_NULL, "LWX_E_NULL"),
            (E_ARGUMENT, "LWX_E_ARGUMENT"),
            (E_FIELD, "LWX_E_FIELD"),
            (E_PANIC, "LWX_E_PANIC"),
            (E_LIMIT, "LWX_E_LIMIT"),
            (-17, "LWX_E_GONE"),
            (-18, "-18"),
            (i32::MIN, "-2147483648"),
        ] {
            assert_eq!(name(code), expected, "{code}");
        }
    }
}
