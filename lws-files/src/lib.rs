//! Files over HTTP, without waiting for a disk.
#![forbid(unsafe_code)]

mod cache;
mod coding;
mod compress;
mod conditions;
mod content;
mod files;
mod flights;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod list;
mod listing;
mod multipart;
mod page;
#[cfg(feature = "passwords")]
mod passwords;
mod policy;
mod pool;
mod range;
mod request;
mod response;
mod types;
mod validator;
mod vfs;
#[cfg(feature = "zip")]
mod zip;

pub use cache::CacheLimits;
pub use coding::{Accepted, Coding};
pub use compress::{Compression, Encoder};
pub use conditions::{Conditions, Decision, Representation};
pub use content::{Body, Content, FETCH_BYTES, Piece, Progress, ReadAt, Region, Sequential, Stream, Wait};
pub use files::{Files, Found, Options};
pub use flights::{Ticket, WAITERS_MAX};
pub use listing::LISTED_MAX;
pub use page::{Page, error_page};
#[cfg(feature = "passwords")]
pub use passwords::{
    Credentials, HTPASSWD_BYTES_MAX, Htpasswd, PASSWORD_BYTES_MAX, PasswordLimits, Passwords, Problem,
    Verdict, challenge,
};
pub use policy::{CacheControl, CachePolicy, is_hashed_name};
pub use pool::{Panicked, Pool, PoolCounts, PoolOptions, Refusal, Slot};
pub use range::{Part, RANGES_MAX, RangeSet, Satisfied};
pub use request::Request;
pub use response::{Field, Response};
pub use types::Types;
pub use validator::EntityTag;
pub use vfs::{Chain, Directory, Entry, Fault, Links, Listed, Listing, Lookup, Memory, Opened, Vfs};
#[cfg(feature = "zip")]
pub use zip::{Zip, ZipError, ZipLimits};
