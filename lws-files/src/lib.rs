//! Files over HTTP, without waiting for a disk.
//!
//! Everything between "a normalised path below a mount, with these request fields" and "status, fields, and a body of bytes, regions or
//! readers": content negotiation, conditions, ranges, entity tags, directories, archives, listings, error pages, cache policies,
//! compression on the way, and passwords. There is no socket, no loop and no clock in it. Who serves does the following:
//!
//! 1. [`Request::new`] reads a request once, into values of its own.
//! 2. [`Files::find`] says what it is for, or `None` if that would have to be waited for; then [`Files::fetch`] has it done by a
//!    [`Pool`], and a closure gets the result, to put it into the mailbox of the loop.
//! 3. [`Files::respond`] makes the [`Response`]. This is pure: nothing is opened.
//! 4. [`Body::read`] gives the bytes as the peer takes them, or says that it would have to wait; then [`Body::fetch`] takes the body to
//!    the pool and back. [`Body::region`] is for transports that send from a descriptor.
//!
//! ```
//! use lws_files::{Directory, Files, Options, Pool, PoolOptions, Progress, Request};
//! use lws_proto::Time;
//! use lws_proto::http::{HttpDate, Method, normalize_path};
//! use std::sync::mpsc;
//!
//! let files = Files::new(Directory::open(env!("CARGO_MANIFEST_DIR"))?, Options::default());
//! let pool = Pool::new("disk", PoolOptions::default());
//! // The mailbox of a loop, which the closures of the pool post to.
//! let (mailbox, letters) = mpsc::channel();
//!
//! let (now, date) = (Time::ZERO, HttpDate::from_unix(1_800_000_000));
//! let names = normalize_path("/src/lib.rs").ok_or("a path that leads nowhere")?;
//! let request = Request::new(Method::Get, &names, "/src/lib.rs", None, [("accept", &b"*/*"[..])], date);
//! let found = match files.find(&request, now, date) {
//!     Some(found) => found,
//!     None => {
//!         files.fetch(&request, now, date, &pool, move |found| drop(mailbox.send(found).err()))?;
//!         letters.recv()?
//!     }
//! };
//! let mut response = files.respond(&request, &found, date, &mut || 4);
//! assert_eq!(response.get("Content-Type"), Some("text/plain; charset=utf-8"));
//! let mut out = [0; 36];
//! while response.body.read(&mut out)? == Progress::WouldBlock {
//!     let (mailbox, letters) = mpsc::channel();
//!     response.body.fetch(pool.reserve()?, move |body| drop(mailbox.send(body).err()));
//!     response.body = letters.recv()?.ok_or("the tree behind it panicked")?;
//! }
//! assert_eq!(&out, b"//! Files over HTTP, without waiting");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who waits
//!
//! An argument of a lookup and a read, [`Wait`], says whether they may wait. On a loop they may not. On Linux
//! [`Directory`] then resolves names from the cache of the kernel (`RESOLVE_CACHED`) and reads from its page cache
//! (`RWF_NOWAIT`), so that hot files cost no thread; a tree of another kind answers [`Opened::WouldBlock`], and is
//! asked again on a thread of the [`Pool`]. However many want the same at the same time, it is looked for once. When a
//! disk hangs, the threads and the queue of its pool fill, and further requests are refused at once ([`Refusal`]);
//! nothing else is concerned.
//!
//! # What is bounded
//!
//! | what | by |
//! |---|---|
//! | threads and waiting jobs of a pool | [`PoolOptions`] |
//! | those who wait for one result | [`WAITERS_MAX`] |
//! | what is kept of files | [`CacheLimits`] |
//! | what is fetched ahead of a body | [`FETCH_BYTES`] |
//! | ranges of a request | [`RANGES_MAX`] |
//! | responses that are compressed on the way | [`Compression`] |
//! | names in a listing | [`LISTED_MAX`] |
//! | members and directory of an archive | `ZipLimits` |
//! | users, passwords, hashes, guesses | `PasswordLimits`, `HTPASSWD_BYTES_MAX`, `PASSWORD_BYTES_MAX` |
//!
//! # Features
//!
//! `gzip` (default), `brotli` and `zstd`: compression on the way; precompressed files need none of them. `zip` (default): archives.
//! `passwords`: htpasswd files. `fuzz`: bodies of fuzz targets.
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
pub use files::{Document, Files, Found, Options};
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
pub use types::{Types, is_compressible};
pub use validator::EntityTag;
pub use vfs::{Chain, Directory, Entry, Fault, Links, Listed, Listing, Lookup, Memory, Opened, Vfs};
#[cfg(feature = "zip")]
pub use zip::{Zip, ZipError, ZipLimits};
