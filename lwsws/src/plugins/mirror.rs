//! `lws-mirror-protocol`: a drawing board that all its WebSockets share.

use super::board::{self, Board};
use super::shared::SharedState;
use crate::broker::Sharing;
use lws_plugin::{Options, Plugin, SessionKind, SiteFacts, SiteProtocol, StartError, websockets};
use lws_server::ws::{Accepted, CloseCode, Handler, Message, Prepared};
use lws_server::{Context, Endpoint, MessageKind, Payload, WebSocket, WebSocketPermit};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub(super) struct MirrorPlugin {
    pub(super) sharing: Sharing,
}

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

    fn start(&self, site: &SiteFacts<'_>, _: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        Ok(Arc::new(Boards::new(site.name, &self.sharing)))
    }
}

/// A board, and what has every process draw the same.
#[derive(Clone)]
pub(crate) enum MirroredBoard {
    /// That of this process. One for all threads, as there is one order; what is done under the lock is short.
    Own(Arc<Mutex<Board>>),
    /// That of several processes.
    Shared(Arc<SharedState<Board>>),
}

impl MirroredBoard {
    /// The board of this name.
    pub(crate) fn new(name: &str, sharing: &Sharing) -> Self {
        sharing.share(name, Board::default).map_or_else(|| Self::Own(Arc::default()), Self::Shared)
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        match self {
            // A panic elsewhere leaves at most one command out.
            Self::Own(board) => board.lock().unwrap_or_else(PoisonError::into_inner),
            Self::Shared(board) => board.state(),
        }
    }

    fn downgrade(&self) -> WeakBoard {
        match self {
            Self::Own(board) => WeakBoard::Own(Arc::downgrade(board)),
            Self::Shared(board) => WeakBoard::Shared(Arc::downgrade(board)),
        }
    }
}

/// A board for as long as something is served there.
enum WeakBoard {
    Own(Weak<Mutex<Board>>),
    Shared(Weak<SharedState<Board>>),
}

impl WeakBoard {
    fn upgrade(&self) -> Option<MirroredBoard> {
        match self {
            Self::Own(board) => board.upgrade().map(MirroredBoard::Own),
            Self::Shared(board) => board.upgrade().map(MirroredBoard::Shared),
        }
    }
}

/// The boards of a site by the paths of its mounts, as long as something is served there.
struct Boards {
    site: String,
    sharing: Sharing,
    by_path: Mutex<HashMap<String, WeakBoard>>,
}

impl Boards {
    fn new(site: &str, sharing: &Sharing) -> Self {
        Self { site: site.to_owned(), sharing: sharing.clone(), by_path: Mutex::default() }
    }

    /// The board of a mount, which all threads share.
    fn at(&self, path: &str) -> MirroredBoard {
        let mut boards = self.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        boards.retain(|_, board| board.upgrade().is_some());
        if let Some(board) = boards.get(path).and_then(WeakBoard::upgrade) {
            return board;
        }
        let board = MirroredBoard::new(&format!("board/{}{path}", self.site), &self.sharing);
        boards.insert(path.to_owned(), board.downgrade());
        board
    }
}

impl SiteProtocol for Boards {
    fn endpoint(&self, path: &str) -> Box<dyn Endpoint> {
        let board = self.at(path);
        websockets(move |_| Accepted::new(Mirror::new(board.clone())))
    }
}

/// One who looks at the board, and where they are. What is sent is read from the board when the peer can take it, so that
/// a slow one costs nothing but its place.
pub(crate) struct Mirror {
    board: MirroredBoard,
    next: u64,
}

impl Mirror {
    pub(crate) fn new(board: MirroredBoard) -> Self {
        let next = board.lock().beginning();
        Self { board, next }
    }
}

impl Handler for Mirror {
    fn open(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        if let MirroredBoard::Shared(board) = &self.board {
            board.show(cx);
        }
        stream.want_write();
    }

    fn message(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, message: Message<'_>) {
        let Some(text) = message.text() else { return };
        match &self.board {
            MirroredBoard::Own(_) if self.board.lock().take(text) => cx.want_write_all(),
            MirroredBoard::Own(_) => {}
            // It is drawn when it comes back, in the order in which all draw it.
            MirroredBoard::Shared(board) => {
                if let Some(commands) = board::valid(text) {
                    board.publish(cx, commands);
                }
            }
        }
    }

    /// Something was drawn elsewhere.
    fn published(&mut self, cx: &mut Context<'_>, _: &Prepared) -> bool {
        cx.id().into_iter().for_each(|id| cx.want_write(id));
        false
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        let read = self.board.lock().read(self.next);
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

    fn is_same(one: &MirroredBoard, other: &MirroredBoard) -> bool {
        matches!((one, other), (MirroredBoard::Own(one), MirroredBoard::Own(other)) if Arc::ptr_eq(one, other))
    }

    #[test]
    fn each_mount_has_a_board_for_as_long_as_something_is_served_there() {
        let boards = Boards::new("a", &Sharing::none());
        let (a, b) = (boards.at("/a"), boards.at("/b"));
        assert!(is_same(&a, &boards.at("/a")) && !is_same(&a, &b));
        drop((a, b));
        let _c = boards.at("/c");
        assert_eq!(boards.by_path.lock().expect("no test has panicked").len(), 1);
    }
}
