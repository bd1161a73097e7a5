//! In place of spans, where the crate was built without `tracing`: nothing is kept, and nothing is done.

use crate::thread::access::AccessRecord;
use lws_loop_external::tls::Info;
use lws_loop_external::{ConnectionId, Peer};
use lws_proto::http::Head;
use lws_proto::{Cause, StreamKey};

#[derive(Debug, Default)]
pub(crate) struct Spans {}

impl Spans {
    #[inline(always)]
    pub(crate) fn opened(&self, _: u16, _: Option<ConnectionId>, _: impl FnOnce() -> Peer, _: &'static str) {}

    #[inline(always)]
    pub(crate) fn has(&self, _: Option<ConnectionId>) -> bool {
        false
    }

    #[inline(always)]
    pub(crate) fn secured(&self, _: Option<ConnectionId>, _: &Info) {}

    #[inline(always)]
    pub(crate) fn switched(&self, _: Option<ConnectionId>, _: &'static str) {}

    #[inline(always)]
    pub(crate) fn requested(&self, _: u16, _: Option<ConnectionId>, _: StreamKey, _: &Head<'_>) {}

    #[inline(always)]
    pub(crate) fn recorded(&self, _: &AccessRecord<'_>) {}

    #[inline(always)]
    pub(crate) fn ended(&self, _: Option<ConnectionId>, _: Cause) {}

    #[inline(always)]
    pub(crate) fn closed(&self, _: Option<ConnectionId>) {}
}
