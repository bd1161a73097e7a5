//! The demo: its pages, and the WebSockets behind them. The messages of each are described in `pages/README.md`.

use crate::plugins::{Board, Counter, Mirror, StatusReport};
use lws_server::Builder;
use lws_server::files::{Asset, Files};
use lws_server::ws::Accepted;
use std::sync::{Arc, Mutex};

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

/// What the WebSockets of all threads have in common.
#[derive(Clone, Default)]
pub(crate) struct Demo {
    board: Arc<Mutex<Board>>,
}

impl Demo {
    /// The demo's own paths.
    pub(crate) fn websockets(&self, builder: Builder) -> Builder {
        let board = Arc::clone(&self.board);
        builder
            .ws("/demo/counter", |request| {
                Accepted::new(Counter::default()).protocol(request.select_protocol(&["lws-counter"]))
            })
            .ws("/demo/mirror", move |request| {
                let mirror = Mirror::new(Arc::clone(&board));
                Accepted::new(mirror).protocol(request.select_protocol(&["lws-mirror"]))
            })
            .ws("/demo/status", |request| {
                Accepted::new(StatusReport::default()).protocol(request.select_protocol(&["lws-status"]))
            })
    }
}
