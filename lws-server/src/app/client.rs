//! The thread's client below the application: its connections' events in, what handlers asked it for out.

use super::{App, Lent};
use crate::client::host::Note;
use crate::id::RouteId;
use lws_client::{Client, Link};

/// How often what was delivered may ask for something that is delivered at once, before the loop gets its turn.
const ROUNDS_MAX: usize = 16;

impl App {
    /// Hands something on to the client that one of its connections is about. A reply that panics ends its request, and the connection.
    pub(super) fn call_client(
        &mut self,
        cx: &mut Lent<'_>,
        link: Link,
        call: impl FnOnce(&mut Client, &mut Lent<'_>, Link),
    ) {
        self.state.calling = RouteId::NONE;
        let called = self.guard(cx, |app, cx| {
            if let Some(client) = app.state.client.client() {
                call(client, cx, link);
            }
        });
        if let (None, Some(id)) = (called, cx.connection()) {
            cx.abort(id);
        }
        self.serve_client_now(cx);
    }

    /// Does what the client was asked for, if anything. To be called where a handler may have asked.
    #[inline]
    pub(crate) fn serve_client(&mut self, cx: &mut Lent<'_>) {
        if self.state.client.has_work() {
            self.serve_client_now(cx);
        }
    }

    /// Does what is due and what was asked for, and delivers what came of it.
    #[cold]
    pub(super) fn serve_client_now(&mut self, cx: &mut Lent<'_>) {
        for _ in 0..ROUNDS_MAX {
            for note in self.state.client.begin_service() {
                self.on_note(cx, note);
            }
            // Each panic ends one reply, so that this comes to an end.
            while self.guard(cx, |app, cx| app.serve_once(cx)).is_none() {}
            if !self.state.client.has_work() {
                break;
            }
        }
        let soon = self.state.client.has_work().then(|| cx.now());
        cx.set_timer(soon.or_else(|| self.state.next_timer()));
    }

    fn serve_once(&mut self, cx: &mut Lent<'_>) {
        self.state.calling = RouteId::NONE;
        if let Some(client) = self.state.client.client() {
            client.serve(cx);
        }
    }

    fn on_note(&mut self, cx: &mut Lent<'_>, note: Note) {
        match note {
            Note::Cancel(id) => {
                if let Some(client) = self.state.client.client() {
                    client.cancel(id);
                }
            }
            Note::Wake(id) => self.nowhere(cx).wake(id),
            Note::Call(delivery) => drop(self.guard(cx, |app, cx| delivery(&mut app.nowhere(cx)))),
        }
    }
}
