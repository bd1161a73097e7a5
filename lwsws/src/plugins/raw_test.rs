//! `raw-test`: a raw stream whose bytes come back.

use lws_plugin::{Options, Plugin, SessionKind, SiteFacts, SiteProtocol, StartError, raw_streams};
use lws_server::raw::Handler;
use lws_server::{Context, Endpoint, Payload, RawPermit, RawStream};
use std::sync::Arc;

pub(super) struct RawTestPlugin;

impl Plugin for RawTestPlugin {
    fn name(&self) -> &str {
        "raw-test"
    }

    fn kinds(&self) -> &[SessionKind] {
        &[SessionKind::Raw]
    }

    fn summary(&self) -> &str {
        "bytes come back"
    }

    fn option_names(&self) -> Option<&[&str]> {
        Some(&[])
    }

    fn start(&self, _: &SiteFacts<'_>, _: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        Ok(Arc::new(RawTests))
    }
}

struct RawTests;

impl SiteProtocol for RawTests {
    fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
        raw_streams(RawEcho::default)
    }
}

/// Sends bytes back. It holds those of one read at most: no more is taken from a peer that does not read.
#[derive(Default)]
struct RawEcho(Option<(Vec<u8>, bool)>);

impl Handler for RawEcho {
    fn chunk(&mut self, _: &mut Context<'_>, stream: RawStream<'_>, chunk: &mut [u8], end: bool) {
        match stream.permit() {
            Ok(permit) => {
                let _ = permit.data(Payload::Copy(chunk), end);
            }
            Err(mut stream) => {
                // A stream that is paused may still get what was read already, once.
                let (held, ended) = self.0.get_or_insert_default();
                held.extend_from_slice(chunk);
                *ended |= end;
                stream.pause();
                stream.want_write();
            }
        }
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: RawPermit<'_>) {
        let Some((held, end)) = self.0.take() else { return };
        if let Ok(sent) = permit.data(Payload::Own(held.into()), end) {
            sent.into_stream().resume();
        }
    }
}
