//! Requests that a library fails: each is answered or cut off, and closed once.

use crate::folder::Folder;
use lws_plugin::{Options, Registry, SiteFacts};
use lws_server::http::{Exchange, Handler, Request};
use lws_server::testing::{self, Response, Server};
use lws_server::{Context, Endpoint, Methods, Route, Takes};
use std::path::Path;
use std::time::Duration;

/// What a library has at a site, as the endpoint of a route.
struct OfSite(Box<dyn Endpoint>);

impl Endpoint for OfSite {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn Handler>> {
        self.0.request(cx, request, exchange, end)
    }
}

/// A server whose requests go to the library of `failing.c`.
fn server(folder: &Folder) -> Server {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/failing.c");
    folder.compile_file("failing.so", &source);
    let mut registry = Registry::new();
    assert_eq!(registry.load(&folder.0).expect("a folder"), []);
    let plugin = registry.find("failing").expect("it is there");
    let site = plugin.start(&SiteFacts::new("a"), &Options::default()).expect("it begins");
    let route = Route::new(Takes::Requests(Methods::Any), "/", OfSite(site.endpoint("/")));
    Server::new(lws_server::Server::builder().route(route)).expect("a server")
}

/// What comes of a request, once all its times have passed.
fn outcome(t: &Server, request: testing::Request) -> Response {
    let mut exchange = request.begin();
    t.pass(Duration::from_millis(20));
    exchange.response().expect("an end")
}

#[test]
fn a_request_that_a_library_fails_is_answered_500_or_cut_off_and_closed_once() {
    let folder = Folder::new("failing");
    let t = server(&folder);
    let mut closed = 0;
    // Path, content, status, whether the response is whole, and whether `closed` comes.
    for (path, content, status, is_complete, is_closed) in [
        // Before anything of a response: by `open`, by content, and by a response that is none when it is sent.
        ("/open", "", 500, true, false),
        ("/content", "a", 500, true, true),
        ("/long", "", 500, true, true),
        // Behind the head: what the peer has is not the whole, and it sees that.
        ("/half", "", 200, false, true),
        ("/short", "", 200, false, true),
        ("/leave", "", 200, false, true),
        ("/twice", "", 0, false, true),
        // And one that goes well.
        ("/", "a", 204, true, true),
    ] {
        for http2 in [false, true] {
            let request = if content.is_empty() { t.get(path) } else { t.post(path, content) };
            let response = outcome(&t, if http2 { request.http2() } else { request });
            let seen = (response.status(), response.is_complete());
            let is_cut = path == "/twice";
            assert!(seen == (status, is_complete) || is_cut && !seen.1, "{path} {http2}: {seen:?}");
            closed += u32::from(is_closed);
            let counted = t.get("/closed").send();
            assert_eq!(counted.text(), closed.to_string(), "{path} {http2}");
            // That one was closed, too.
            closed += 1;
        }
    }
}
