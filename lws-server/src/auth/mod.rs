//! Who may come in: guards for routes and sites.
//!
//! * [`Basic`]: names and passwords of an htpasswd file, with the feature `passwords`.
//! * [`Bearer`]: a token, which the application knows. RFC 6750.
//! * [`Sessions`]: a session that a cookie names, and what it may do; with the feature `cookies`.
//! * [`ForwardAuth`]: another route of the site, or another server, is asked.
//!
//! Whatever else decides is a [`Guard`](crate::Guard) of the application.

#[cfg(feature = "passwords")]
mod basic;
mod bearer;
mod forward;
#[cfg(feature = "cookies")]
mod sessions;

#[cfg(feature = "passwords")]
pub use basic::Basic;
pub use bearer::Bearer;
pub use forward::ForwardAuth;
#[cfg(feature = "passwords")]
pub use lws_files::{HTPASSWD_BYTES_MAX, Htpasswd, PASSWORD_BYTES_MAX, PasswordLimits, Passwords, Problem};
#[cfg(feature = "cookies")]
pub use sessions::{Session, Sessions};

use crate::Context;
use crate::http::subrequest::Grant;
use crate::route::guard::Admission;

/// Lets a request go on with what it gets.
fn admit_with(cx: &Context<'_>, grant: Grant) -> Admission {
    if grant == Grant::new() {
        return Admission::Granted;
    }
    let (admission, decision) = Admission::later(cx);
    if let Some(decision) = decision {
        decision.grant_with(grant);
    }
    admission
}

/// A text in quotes, as a challenge has it. RFC 9110 §5.6.4.
fn quoted(text: &str) -> String {
    let escape = |char| match char {
        '"' | '\\' => ['\\', char],
        // It could not be written.
        char if char.is_control() => ['\0', ' '],
        char => ['\0', char],
    };
    let escaped: String = text.chars().flat_map(escape).filter(|char| *char != '\0').collect();
    format!("\"{escaped}\"")
}
