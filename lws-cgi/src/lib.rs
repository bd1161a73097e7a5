//! Programs that answer requests, as endpoints of `lws-server`: [`Cgi`] starts one for each request (RFC 3875),
//! [`FastCgi`] asks a server that has some running.
//!
//! A script is a link on the loop of its server: nothing waits for it, on any loop. What a client sends is read when the script has
//! taken what came before, and what a script writes is read when the client can take it, so that neither is buffered. Everything that
//! a script may take has a limit or a deadline ([`Limits`]), and what is not answered as a whole does not look whole ([`Failure`]).

mod allowance;
mod backend;
mod cgi;
mod chunks;
mod failure;
mod fastcgi;
mod gateway;
mod head;
mod limits;
mod messages;
mod meta;
mod place;
mod relay;
mod report;

pub use cgi::Cgi;
pub use failure::{Exit, Failure, Notice};
pub use fastcgi::FastCgi;
pub use gateway::Gateway;
pub use head::HeadFault;
pub use limits::{Limits, WithoutLength};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
