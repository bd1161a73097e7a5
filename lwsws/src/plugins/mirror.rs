//! `lws-mirror-protocol`: a drawing board that all its WebSockets share.

use super::board::Board;
use lws_plugin::{Options, Plugin, SessionKind, SiteFacts, SiteProtocol, StartError, websockets};
use lws_server::ws::{Accepted, CloseCode, Handler, Message};
use lws_server::{Context, Endpoint, MessageKind, Payload, WebSocket, WebSocketPermit};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub(super) struct MirrorPlugin;

impl Plugin for MirrorPlugin {
    fn name(&self) -> &str {
        "lws-mirror-protocol"
    }

    fn kinds(&self) -> &[SessionKind] {
        &[SessionKind::WebSocket]
    }

    fn summary(&self) -> &str {
        "a drawing board for each mount"
    }

    fn option_names(&self) -> Option<&[&str]> {
        Some(&[])
    }

    fn start(&self, _: &SiteFacts<'_>, _: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        Ok(Arc::new(Boards::default()))
    }
}

/// The boards of a site by the paths of its mounts, as long as something is served there.
#[derive(Default)]
struct Boards(Mutex<HashMap<String, Weak<Mutex<Board>>>>);

impl Boards {
    /// The board of a mount, which all threads share.
    fn at(&self, path: &str) -> Arc<Mutex<Board>> {
        let mut boards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        boards.retain(|_, board| board.strong_count() > 0);
        if let Some(board) = boards.get(path).and_then(Weak::upgrade) {
            return board;
        }
        let board = Arc::default();
        boards.insert(path.to_owned(), Arc::downgrade(&board));
        board
    }
}

impl SiteProtocol for Boards {
    fn endpoint(&self, path: &str) -> Box<dyn Endpoint> {
        let board = self.at(path);
        websockets(move |_| Accepted::new(Mirror::new(Arc::clone(&board))))
    }
}

/// One who looks at the board, and where they are. What is sent is read from the board when the peer can take it, so that
/// a slow one costs nothing but its place.
pub(crate) struct Mirror {
    /// One for all threads, as there is one order; what is done under the lock is short.
    board: Arc<Mutex<Board>>,
    next: u64,
}

impl Mirror {
    pub(crate) fn new(board: Arc<Mutex<Board>>) -> Self {
        let next = lock(&board).beginning();
        Self { board, next }
    }
}

/// A panic elsewhere leaves at most one command out.
fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handler for Mirror {
    fn open(&mut self, _: &mut Context<'_>, mut stream: WebSocket<'_>) {
        stream.want_write();
    }

    fn message(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, message: Message<'_>) {
        if message.text().is_some_and(|text| lock(&self.board).take(text)) {
            cx.want_write_all();
        }
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        let read = lock(&self.board).read(self.next);
        match read {
            Ok(Some((batch, next))) => {
                self.next = next;
                if let Ok(sent) =
                    permit.message(MessageKind::Text, Payload::Own(batch.into_bytes().into()), true)
                {
                    sent.again();
                }
            }
            Ok(None) => {}
            Err(_) => {
                let _ = permit
                    .into_stream()
                    .close(CloseCode::TRY_AGAIN_LATER, "too slow: come back for the board");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mount_has_a_board_for_as_long_as_something_is_served_there() {
        let boards = Boards::default();
        let (a, b) = (boards.at("/a"), boards.at("/b"));
        assert!(Arc::ptr_eq(&a, &boards.at("/a")) && !Arc::ptr_eq(&a, &b));
        drop((a, b));
        let _c = boards.at("/c");
        assert_eq!(boards.0.lock().expect("no test has panicked").len(), 1);
    }
}
