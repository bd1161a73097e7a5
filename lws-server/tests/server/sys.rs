//! A service that changes threads.

use lws_loop_external::AssertSend;

/// Lets a service go to another thread, in which the test lets nothing behind.
pub(crate) fn leaving<S>(service: S) -> AssertSend<S> {
    // SAFETY: the only callers are tests whose handlers share no more than an `Rc` that the description has made, and that lives
    // in the service.
    unsafe { AssertSend::new(service) }
}
