//! What other threads may do: the three calls that any thread may make.

use crate::error::Error;
use crate::guard::{guard, guard_free};
use crate::service::call::{Call, Lent};
use crate::service::streams::{broadcast, publish_result};
use crate::service::table::{DropUser, UserData};
use crate::service::{Service, enter};
use crate::sys::{Given, In, Out, Process, Ref, User};
use lws_server::{Handle, PostError};
use std::ffi::c_char;
use std::fmt;

/// `lwx_poster`
pub struct Poster {
    handle: Handle,
    number: u64,
    process: Process,
}

impl Poster {
    /// Reaches the service, but from a child, by fork(2), of its process: that has a copy of it which nothing serves.
    fn handle(&self) -> Result<&Handle, Error> {
        if self.process == Process::current() { Ok(&self.handle) } else { Err(Error::Forked) }
    }
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poster").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What is called on the thread of the service.
pub type PostedCall = extern "C" fn(service: Ref<'_, Service>, user: User);

// The interface, in the order of the header.

/// `lwx_poster_new`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_poster_new(service: Ref<'_, Service>, out: Out<'_, Given<Poster>>) -> i32 {
    enter(service, |service| {
        out.put(Given::null())?;
        out.put(Given::new(Poster {
            handle: service.handle()?.clone(),
            number: service.number,
            process: Process::current(),
        }))
    })
}

/// `lwx_poster_free`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_poster_free(poster: Given<Poster>) {
    guard_free(|| drop(poster.take()));
}

/// `lwx_poster_post`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_poster_post(
    poster: Ref<'_, Poster>,
    call: Option<PostedCall>,
    user: User,
    drop_user: Option<DropUser>,
) -> i32 {
    let user = UserData::new(user, drop_user);
    guard(|| {
        let (poster, call) = (poster.get()?, call.ok_or(Error::Null)?);
        let number = poster.number;
        let posted = poster.handle()?.try_post(move |cx| {
            let Some(service) = Service::find(number) else { return };
            let mut lent = Call { cx, key: 0, lent: Lent::Nothing };
            service.call_out(&mut lent, |service| call(service, user.get()));
        });
        posted.map_err(|error| match error {
            PostError::Gone => Error::Gone,
            _ => Error::Limit,
        })
    })
}

/// `lwx_poster_publish`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_poster_publish(
    poster: Ref<'_, Poster>,
    topic: In<'_, c_char>,
    bytes: In<'_, u8>,
    size: usize,
    flags: u32,
) -> i32 {
    guard(|| {
        let message = broadcast(bytes.slice(size)?, flags)?;
        publish_result(poster.get()?.handle()?.publish_topic(topic.text()?, &message))
    })
}

/// `lwx_poster_stop`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_poster_stop(poster: Ref<'_, Poster>) -> i32 {
    guard(|| if poster.get()?.handle()?.stop() { Ok(()) } else { Err(Error::Gone) })
}
