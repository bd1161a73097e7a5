//! Closing from inside callbacks: this connection, another one, the listener. Each end is reported once.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Role, Script, Side, run_script};
use crate::setup::Setup;
use crate::watchdog::Watchdog;
use lws_loop_external::{ConnectionId, ListenerId};
use lws_proto::{Cause, Stream};
use std::io;
use std::time::Duration;

pub(super) fn a_callback_closes_its_own_connection_another_or_the_listener<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        for way in [Way::AbortStream, Way::AbortOwn, Way::CloseOwn, Way::AbortOther, Way::CloseOther] {
            for from in [From::Content, From::Open] {
                run_script(watchdog, host, setup, Closing::new(way, from))
                    .map_err(|what| format!("{way:?} from {from:?}: {what}"))?;
            }
        }
        run_script(watchdog, host, setup, Unlisten::new(setup)).map(drop)
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    AbortStream,
    AbortOwn,
    CloseOwn,
    AbortOther,
    CloseOther,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Open,
    Content,
}

/// Client 0 is closed, in one of several ways, by itself or by client 1.
struct Closing {
    way: Way,
    from: From,
    first: Option<ConnectionId>,
    over: usize,
    gone: usize,
    answers: usize,
}

impl Closing {
    fn new(way: Way, from: From) -> Self {
        Self { way, from, first: None, over: 0, gone: 0, answers: 0 }
    }

    fn close(&mut self, bench: &mut Bench<'_, '_, Self>, id: ConnectionId, stream: Stream<'_>) {
        let Some(first) = self.first else { return bench.fail("the first client is not there") };
        match self.way {
            Way::AbortStream => stream.abort(),
            Way::AbortOwn | Way::AbortOther => bench.cx.abort(first),
            Way::CloseOwn | Way::CloseOther => bench.cx.close(first),
        }
        let own = !matches!(self.way, Way::AbortOther | Way::CloseOther);
        bench.expect(own == (id == first), || "a connection has another's name".to_owned());
        // Closing a connection that is closing already has no effect.
        bench.cx.close(first);
        bench.cx.abort(first);
        bench.cx.wake(first);
    }

    /// The client that closes.
    fn acts(&self, role: Role) -> bool {
        let other = matches!(self.way, Way::AbortOther | Way::CloseOther);
        role == Role::Client(usize::from(other))
    }
}

impl Script for Closing {
    /// The number of times that the end was reported.
    type Data = usize;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            bench.connect(0);
        }
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<usize>, stream: Stream<'_>) {
        if side.role == Role::Client(0) {
            self.first = Some(side.id);
            bench.connect(1);
        }
        if self.from == From::Open && self.acts(side.role) {
            return self.close(bench, side.id, stream);
        }
        if !side.is_server() {
            bench.say(stream, b"hello");
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<usize>,
        stream: Stream<'_>,
        chunk: &[u8],
    ) {
        if side.is_server() {
            return bench.say(stream, chunk);
        }
        self.answers += 1;
        if self.from == From::Content && self.acts(side.role) {
            self.close(bench, side.id, stream);
        } else if side.role == Role::Client(1) && self.gone >= 2 {
            bench.finish();
        }
    }

    fn over(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<usize>, _: Cause) {
        side.data += 1;
        let times = side.data;
        bench.expect(times == 1, || format!("the end was reported {times} times"));
        self.over += 1;
    }

    fn gone(&mut self, bench: &mut Bench<'_, '_, Self>, side: Side<usize>) {
        bench.expect(side.role != Role::Client(1) || bench.is_over(), || {
            "a connection ended that was not closed".to_owned()
        });
        self.gone += 1;
        // Both ends of the first connection have ended, and the second connection still works.
        if self.gone == 2 {
            bench.cx.set_timer(Some(bench.now()));
        }
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        bench.finish();
    }

    fn progress(&self) -> String {
        format!("{} answers, {} ends reported and {} connections gone", self.answers, self.over, self.gone)
    }
}

/// The listener is closed in the callback of a connection that it has accepted. The connection stays open.
struct Unlisten {
    listener: Option<ListenerId>,
    answers: usize,
    refused: bool,
    setup: Setup,
}

impl Unlisten {
    fn new(setup: Setup) -> Self {
        Self { listener: None, answers: 0, refused: false, setup }
    }
}

impl Script for Unlisten {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        self.listener = bench.listen();
        bench.connect(0);
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<()>, stream: Stream<'_>) {
        if side.is_server() {
            if let Some(listener) = self.listener.take() {
                bench.cx.unlisten(listener);
                bench.cx.unlisten(listener);
            }
        } else {
            bench.say(stream, b"hello");
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<()>,
        stream: Stream<'_>,
        chunk: &[u8],
    ) {
        if side.is_server() {
            return bench.say(stream, chunk);
        }
        self.answers += 1;
        if self.answers == 1 {
            // The host may take some time to let go of the listener.
            bench.cx.set_timer(Some(bench.now() + Duration::from_millis(20)));
        } else {
            bench.expect(self.refused, || "the listener still accepts".to_owned());
            bench.finish();
        }
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        let Some(address) = bench.common.address.clone() else { return };
        let options = self.setup.connect_options();
        // For a Unix socket connecting fails at once, as its file was removed.
        match bench.try_connect(1, &address, &options) {
            Ok(_) => {}
            Err(_) => self.gone_for_good(bench),
        }
    }

    fn refused(&mut self, bench: &mut Bench<'_, '_, Self>, _: Side<()>, error: io::Error) {
        let kind = error.kind();
        // The file of a Unix socket is removed with its listener.
        let expected = matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
        bench.expect(expected, || format!("refused with {kind:?}"));
        self.gone_for_good(bench);
    }

    fn woken(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<()>,
        connection: &mut lws_proto::Connection,
    ) {
        match side.key.and_then(|key| connection.stream(key)) {
            Some(stream) => bench.say(stream, b"again"),
            None => bench.fail("the connection has gone with its listener"),
        }
    }

    fn progress(&self) -> String {
        format!("{} of 2 answers", self.answers)
    }
}

impl Unlisten {
    fn gone_for_good(&mut self, bench: &mut Bench<'_, '_, Self>) {
        self.refused = true;
        for id in bench.common.clients() {
            bench.cx.wake(id);
        }
    }
}
