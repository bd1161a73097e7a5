//! How exchanges end, seen from the other end of a connection: what is incomplete looks so, and what has no content makes none.

use crate::common::{Running, serve};
use lws_server::http::{Exchange, Handler, Permit, Status};
use lws_server::{Context, Payload};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// An answer without an end, of which it notes every permit and the cause of its end.
struct Endless {
    notes: Sender<String>,
}

impl Handler for Endless {
    fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        let Ok(permit) = exchange.permit() else { return };
        let begun = permit.respond(Status::OK, [("X-Endless", "yes")], Payload::Static(b""), false);
        begun.expect("a response is due").again();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        let _ = self.notes.send("permit".into());
        permit.data(Payload::Static(&[b'x'; 1_000]), false).expect("content is due").again();
    }

    fn close(&mut self, _: &mut Context<'_>, cause: lws_server::Cause) {
        let _ = self.notes.send(cause.name().into());
    }
}

#[test]
fn a_streaming_handler_is_not_asked_for_content_that_head_does_not_want() {
    let (notes, noted) = channel();
    let (records, recorded) = channel();
    let server = serve(|builder| {
        builder
            .get("/", move |_| Endless { notes: notes.clone() })
            .get("/page", |_| lws_server::http::Response::text("page"))
            .access_log(move |record| {
                let _ = records.send((record.status, record.bytes, record.cause));
            })
    });
    for target in ["/", "/page"] {
        let answer = server.request("HEAD", target, "");
        assert_eq!((answer.status, answer.content.len()), (200, 0), "{target}");
        let record = recorded.recv_timeout(Duration::from_secs(10)).expect("a record");
        assert_eq!(record, (200, 0, "complete"), "{target}");
    }
    assert_eq!(noted.recv_timeout(Duration::from_secs(10)).as_deref(), Ok("complete"));
    drop(server);
    assert!(noted.recv().is_err(), "nothing else was reported");
}

/// Gives the exchange up in the middle of its answer.
struct GivesUp;

impl Handler for GivesUp {
    fn open(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        let Ok(permit) = exchange.permit() else { return };
        let begun = permit.respond(Status::OK, [("X-Half", "yes")], Payload::Static(b"half"), false);
        begun
            .expect("a response is due")
            .into_exchange()
            .set_timeout(Some(cx.now() + Duration::from_millis(20)));
    }

    fn timer(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        exchange.abort();
    }
}

/// How the answer to a request ends for the peer: `None` is in order.
fn end(server: &Running, request: &str, after_head: impl FnOnce()) -> (usize, Option<ErrorKind>) {
    let mut peer = server.connect();
    peer.send(request);
    peer.head();
    after_head();
    let mut rest = Vec::new();
    let ended = peer.0.read_to_end(&mut rest);
    (rest.len(), ended.err().map(|error| error.kind()))
}

#[test]
fn a_peer_does_not_see_an_end_where_an_answer_was_given_up() {
    let server = serve(|builder| builder.get("/", |_| GivesUp));
    for request in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"]
    {
        let (_, ended) = end(&server, request, || ());
        assert_eq!(ended, Some(ErrorKind::ConnectionReset), "{request:?}");
    }
}

#[test]
fn a_peer_does_not_see_an_end_where_a_file_became_shorter() {
    const LEN: u64 = 64 << 20;
    let folder = std::env::temp_dir().join(format!("lws-ends-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = File::create(folder.join("data.bin")).expect("a file");
    file.set_len(LEN).expect("room for nothing");
    let root = folder.clone();
    let server = serve(move |builder| builder.files("/", root));
    let (len, ended) = end(&server, "GET /data.bin HTTP/1.1\r\nHost: localhost\r\n\r\n", || {
        file.set_len(1_000).expect("it becomes shorter");
    });
    assert_eq!(ended, Some(ErrorKind::ConnectionReset), "after {len} bytes");
    assert!((len as u64) < LEN);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
