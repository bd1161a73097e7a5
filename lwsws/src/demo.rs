//! The demo: its pages, and the WebSockets behind them. The messages of each are described in `pages/README.md`.

use crate::broker::Sharing;
use crate::plugins::{Count, Counter, Mirror, MirroredBoard, SharedState, StatusReport};
use lws_server::Builder;
use lws_server::files::{Asset, Files};
use lws_server::ws::Accepted;
use std::sync::Arc;

static PAGES: &[Asset] = &[
    Asset { path: "index.html", content: include_bytes!("../pages/index.html") },
    Asset { path: "demo.css", content: include_bytes!("../pages/demo.css") },
    Asset { path: "demo.js", content: include_bytes!("../pages/demo.js") },
    Asset { path: "board.js", content: include_bytes!("../pages/board.js") },
    Asset { path: "dim.js", content: include_bytes!("../pages/dim.js") },
    Asset { path: "favicon.svg", content: include_bytes!("../pages/favicon.svg") },
];

pub(crate) fn pages() -> Files {
    Files::assets(PAGES)
        .field("Cache-Control", "no-cache")
        .field("Content-Security-Policy", "default-src 'self'")
}

/// What the WebSockets of all threads have in common, and those of other processes if something is shared with them.
#[derive(Clone)]
pub(crate) struct Demo {
    board: MirroredBoard,
    /// One count for all; otherwise each WebSocket has its own.
    count: Option<Arc<SharedState<Count>>>,
}

impl Demo {
    pub(crate) fn new(sharing: &Sharing) -> Self {
        Self { board: MirroredBoard::new("board", sharing), count: Counter::shared(sharing) }
    }

    /// The demo's own paths.
    pub(crate) fn websockets(&self, builder: Builder) -> Builder {
        let Self { board, count } = self.clone();
        builder
            .ws("/demo/counter", move |request| {
                let counter = Counter::showing(count.clone());
                Accepted::new(counter).protocol(request.select_protocol(&["lws-counter"]))
            })
            .ws("/demo/mirror", move |request| {
                let mirror = Mirror::new(board.clone());
                Accepted::new(mirror).protocol(request.select_protocol(&["lws-mirror"]))
            })
            .ws("/demo/status", |request| {
                Accepted::new(StatusReport::default()).protocol(request.select_protocol(&["lws-status"]))
            })
    }
}
