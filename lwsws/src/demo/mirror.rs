//! `/demo/mirror`: a drawing board that everybody shares.

use super::board::Board;
use lws_server::ws::{CloseCode, Handler, Message};
use lws_server::{Context, MessageKind, Payload, WebSocket, WebSocketPermit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One who looks at the board, and where they are. What is sent is read from the board when the peer can take it, so that
/// a slow one costs nothing but its place.
pub(super) struct Mirror {
    /// One for all threads, as there is one order; what is done under the lock is short.
    board: Arc<Mutex<Board>>,
    next: u64,
}

impl Mirror {
    pub(super) fn new(board: Arc<Mutex<Board>>) -> Self {
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
