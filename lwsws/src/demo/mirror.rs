//! `/demo/mirror`: a drawing board that everybody shares.

use super::board::Board;
use lws_server::ws::{CloseCode, Handler, Message};
use lws_server::{Context, MessageKind, Payload, Stream, Writable};
use std::cell::RefCell;
use std::rc::Rc;

/// One who looks at the board, and where they are. What is sent is read from the board when the peer can take it, so that
/// a slow one costs nothing but its place.
pub(super) struct Mirror {
    board: Rc<RefCell<Board>>,
    next: u64,
}

impl Mirror {
    pub(super) fn new(board: Rc<RefCell<Board>>) -> Self {
        let next = board.borrow().beginning();
        Self { board, next }
    }
}

impl Handler for Mirror {
    fn open(&mut self, _: &mut Context<'_>, mut stream: Stream<'_>) {
        stream.want_write();
    }

    fn message(&mut self, cx: &mut Context<'_>, _: Stream<'_>, message: Message<'_>) {
        if message.text().is_some_and(|text| self.board.borrow_mut().take(text)) {
            cx.want_write_all();
        }
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Writable<'_>) {
        match self.board.borrow().read(self.next) {
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
