//! The semantics that every version of HTTP shares. RFC 9110.

mod chars;
mod date;
mod head;
mod message;
mod method;
mod path;
mod status;
mod target;

pub(crate) use chars::{
    is_field_byte, is_field_value, is_tchar, is_token, is_visible_ascii, may_have_control, trim_ows,
};
pub use date::HttpDate;
pub(crate) use head::{FieldSpan, StartLine};
pub use head::{Head, HeadBuf, Version};
pub(crate) use message::{
    BodyFraming, ContentLength, Expectation, ExplicitFields, TrailerField, check_length, frame_request,
    frame_response, is_called, is_forbidden_trailer, received_trailer, write_decimal,
};
pub use message::{Request, Scheme};
pub use method::{Method, is_registered_method};
pub use path::{escape_path, normal_path, normalize_path};
pub(crate) use status::with_registered_statuses;
pub use status::{NotAStatus, Status};
pub(crate) use target::is_scheme;
pub use target::{Authority, Target};
