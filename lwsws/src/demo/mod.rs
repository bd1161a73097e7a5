//! The demo: its pages, and the WebSockets behind them. The messages of each are described in `pages/README.md`.

mod board;
mod counter;
mod mirror;
mod status;

use board::Board;
use counter::Counter;
use lws_server::Builder;
use lws_server::files::{Asset, Files};
use lws_server::ws::{Accepted, Handler};
use mirror::Mirror;
use status::Status;
use std::sync::{Arc, Mutex};

static PAGES: &[Asset] = &[
    Asset { path: "index.html", content: include_bytes!("../../pages/index.html") },
    Asset { path: "demo.css", content: include_bytes!("../../pages/demo.css") },
    Asset { path: "demo.js", content: include_bytes!("../../pages/demo.js") },
    Asset { path: "board.js", content: include_bytes!("../../pages/board.js") },
    Asset { path: "dim.js", content: include_bytes!("../../pages/dim.js") },
    Asset { path: "favicon.svg", content: include_bytes!("../../pages/favicon.svg") },
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
        let demo = self.clone();
        builder
            .ws("/demo/counter", |request| {
                Accepted::new(Self::counter()).protocol(request.select_protocol(&["lws-counter"]))
            })
            .ws("/demo/mirror", move |request| {
                Accepted::new(demo.mirror()).protocol(request.select_protocol(&["lws-mirror"]))
            })
            .ws("/demo/status", |request| {
                Accepted::new(Self::status()).protocol(request.select_protocol(&["lws-status"]))
            })
    }

    /// Counts, and tells the count.
    pub(crate) fn counter() -> impl Handler {
        Counter::default()
    }

    /// One who draws on the board.
    pub(crate) fn mirror(&self) -> impl Handler + use<> {
        Mirror::new(Arc::clone(&self.board))
    }

    /// Tells what goes on in the server.
    pub(crate) fn status() -> impl Handler {
        Status::default()
    }
}
