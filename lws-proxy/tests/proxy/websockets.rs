//! WebSockets through the proxy: the handshake, messages of every length, ends from either side.

use crate::common::{Answer, Peer, Running, answering, front, serve};
use lws_proxy::Proxy;
use lws_server::http::{Request, Response, Status};
use lws_server::ws::{Accepted, CloseCode, Deflate, Handler, Message};
use lws_server::{Context, Payload, Sent, WebSocket};
use std::io::Read;
use std::time::Duration;

/// Sends back what it receives, in the same parts; closes with 4002 or is gone when it is asked to.
struct Echo;

impl Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if message.text() == Some("close") {
            return stream.close(CloseCode::new(4002).expect("a code"), "as asked").expect("it is open");
        }
        if message.text() == Some("abort") {
            return stream.abort();
        }
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
        }
    }
}

fn echo() -> Running {
    serve(|builder| {
        builder.any_host().ws("/echo", |request: &Request<'_>| {
            if request.get("x-refuse").is_some() {
                return Err(Response::text("not you").status(Status::FORBIDDEN).field("X-Why", "because"));
            }
            let protocol = request.select_protocol(&["second"]);
            Ok(Accepted::new(Echo).protocol(protocol).streamed().field("Set-Cookie", "a=1"))
        })
    })
}

impl Running {
    fn open(&self, target: &str, fields: &str) -> (Peer, Answer) {
        let mut peer = self.connect();
        peer.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
        ));
        let head = peer.head();
        (peer, Answer::parse(head.as_bytes()))
    }
}

impl Peer {
    /// A final frame whose mask is zero.
    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            len @ ..126 => frame.push(0x80 | len as u8),
            len @ ..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.send(frame);
    }

    fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("so many bytes come");
        bytes
    }

    /// A whole message, of however many frames: its opcode and payload.
    fn message(&mut self) -> (u8, Vec<u8>) {
        let (mut opcode, mut message) = (0, Vec::new());
        loop {
            let head = self.exactly(2);
            let len = match head[1] {
                126 => u64::from(u16::from_be_bytes(self.exactly(2).try_into().expect("two"))),
                127 => u64::from_be_bytes(self.exactly(8).try_into().expect("eight")),
                len => u64::from(len),
            };
            if head[0] & 0xf != 0 {
                opcode = head[0] & 0xf;
            }
            message.extend(self.exactly(usize::try_from(len).expect("a length")));
            if head[0] & 0x80 != 0 {
                return (opcode, message);
            }
        }
    }
}

#[test]
fn messages_go_both_ways_over_either_version_to_the_upstream() {
    let there = echo();
    for scheme in ["http", "h2c"] {
        let here = front(&[format!("{scheme}://{}", there.address)]);
        let (mut peer, answer) = here.open("/echo", "Sec-WebSocket-Protocol: first, second\r\n");
        assert_eq!(answer.status, 101, "{scheme}: {}", answer.head);
        assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{scheme}");
        assert_eq!(answer.field("sec-websocket-protocol"), Some("second"), "{scheme}");
        assert_eq!(answer.field("set-cookie"), Some("a=1"), "{scheme}");
        for len in [0, 1, 125, 126, 70_000, 1_000_000] {
            let message: Vec<u8> = (0..len).map(|index: usize| (index % 251) as u8).collect();
            let mut writer = Peer(peer.0.try_clone().expect("a second handle"));
            let got = std::thread::scope(|scope| {
                scope.spawn(|| writer.frame(2, &message));
                peer.message()
            });
            assert!(got == (2, message), "{scheme}: {len} bytes come back");
        }
        peer.frame(1, b"close");
        assert_eq!(
            peer.message(),
            (8, b"\x0f\xa2as asked".to_vec()),
            "{scheme}: the upstream's code and reason"
        );
    }
}

#[test]
fn messages_are_compressed_before_the_proxy_where_its_site_does_that() {
    let there = echo();
    let upstream = format!("http://{}", there.address);
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let plain = front(std::slice::from_ref(&upstream));
    assert_eq!(plain.open("/echo", offer).1.field("sec-websocket-extensions"), None);

    let here = serve(move |builder| {
        let proxy = Proxy::new(upstream.parse().expect("an upstream"));
        builder.any_host().deflate(Deflate::default()).route(proxy.route("/"))
    });
    assert_eq!(here.open("/echo", "").1.field("sec-websocket-extensions"), None, "nobody offers it");
    let (mut peer, answer) = here.open("/echo", offer);
    let agreed = answer.field("sec-websocket-extensions").unwrap_or_default().to_owned();
    assert!(agreed.starts_with("permessage-deflate"), "{}", answer.head);
    // RFC 7692 §7.2.3.1: "Hello", whose answer is too short to be compressed.
    peer.send([0xc1, 0x87, 0, 0, 0, 0, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(peer.message(), (1, b"Hello".to_vec()));
}

#[test]
fn a_refusal_is_the_upstreams_own_and_the_last_of_its_connection() {
    let there = echo();
    let here = front(&[format!("http://{}", there.address)]);
    let (mut peer, answer) = here.open("/echo", "X-Refuse: 1\r\n");
    assert_eq!((answer.status, answer.field("x-why")), (403, Some("because")));
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(peer.rest(), b"not you");
    let (_, answer) = here.open("/none", "");
    assert_eq!(answer.status, 404);
    let refused = front(&["http://127.0.0.1:1".to_owned()]);
    assert_eq!(refused.open("/", "").1.status, 502);
}

#[test]
fn an_upstream_that_accepts_wrongly_has_not_accepted() {
    for accept in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
    ] {
        // The key is made anew, so that the answer to the client's is the answer to another one.
        let upstream = answering(accept, false);
        let (_, answer) = front(&[upstream.url()]).open("/", "");
        assert_eq!(answer.status, 502, "{accept}");
        assert!(!upstream.heads()[0].1.contains("dGhlIHNhbXBsZSBub25jZQ=="));
    }
}

#[test]
fn an_upstream_that_answers_as_if_it_had_accepted_is_a_bad_gateway() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let upstream = answering(answer, false);
        let (_, got) = front(&[upstream.url()]).open("/", "");
        assert_eq!(got.status, 502, "{answer}: {}", got.head);
        assert_eq!(got.field("proxy-status"), Some("lws; error=http_protocol_error"), "{answer}");
    }
}

/// Never reads, or writes without end, and says how it has ended.
struct OneWay {
    writes: bool,
    ended: std::sync::mpsc::Sender<lws_server::Cause>,
}

impl Handler for OneWay {
    fn open(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        if self.writes {
            return stream.want_write();
        }
        stream.pause();
        stream.set_timeout(Some(cx.now() + Duration::from_millis(300)));
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: lws_server::WebSocketPermit<'_>) {
        let part = Payload::Own(vec![b'x'; 32 << 10].into());
        if let Ok(sent) = permit.message(lws_server::MessageKind::Binary, part, true) {
            sent.again();
        }
    }

    fn timer(&mut self, _: &mut Context<'_>, mut stream: WebSocket<'_>) {
        // Its Close leaves, and what the other side has sent meanwhile is not waited for.
        stream.resume();
        let _ = stream.close(CloseCode::new(4003).expect("a code"), "enough");
    }

    fn close(&mut self, _: &mut Context<'_>, cause: lws_server::Cause) {
        let _ = self.ended.send(cause);
    }
}

fn one_way(writes: bool) -> (Running, std::sync::mpsc::Receiver<lws_server::Cause>) {
    let (ended, ends) = std::sync::mpsc::channel();
    let there = serve(move |builder| {
        builder
            .any_host()
            .ws("/", move |_: &Request<'_>| Accepted::new(OneWay { writes, ended: ended.clone() }).streamed())
    });
    (there, ends)
}

#[test]
fn a_close_is_read_although_messages_wait_on_either_side() {
    // The upstream writes, and is paused as the client does not read: then the client closes.
    let (there, ends) = one_way(true);
    let here = front(&[format!("http://{}", there.address)]);
    let (mut peer, answer) = here.open("/", "");
    assert_eq!(answer.status, 101);
    std::thread::sleep(Duration::from_millis(300));
    peer.frame(8, b"\x0f\xa1enough");
    let cause = ends.recv_timeout(test_kit::PATIENCE).expect("the upstream's side ends");
    assert!(matches!(cause, lws_server::Cause::Closed { .. }), "{cause:?}");
    // The client writes, and is paused as the upstream does not read: then the upstream closes.
    let (there, ends) = one_way(false);
    let here = front(&[format!("http://{}", there.address)]);
    let (mut peer, answer) = here.open("/", "");
    assert_eq!(answer.status, 101);
    let mut writer = Peer(peer.0.try_clone().expect("a second handle"));
    let flood = std::thread::spawn(move || {
        let frame = [&[0x82, 0xfe, 0x80, 0, 0, 0, 0, 0][..], &[b'y'; 32 << 10]].concat();
        // Until the proxy closes.
        while std::io::Write::write_all(&mut writer.0, &frame).is_ok() {}
    });
    let (opcode, payload) = peer.message();
    assert_eq!((opcode, &payload[..2]), (8, &4003_u16.to_be_bytes()[..]));
    let cause = ends.recv_timeout(test_kit::PATIENCE).expect("the upstream's side ends");
    assert!(matches!(cause, lws_server::Cause::Closed { .. }), "{cause:?}");
    drop(peer);
    drop(here);
    flood.join().expect("the flood ends");
}

#[test]
fn ends_are_carried_from_either_side() {
    let there = echo();
    let here = front(&[format!("http://{}", there.address)]);
    // The client closes: the answer carries its code.
    let (mut peer, _) = here.open("/echo", "");
    peer.frame(8, b"\x0f\xa1enough");
    assert_eq!(&peer.message().1[..2], b"\x0f\xa1");
    assert!(peer.rest().is_empty());
    // The upstream is gone without a word: the client gets a code that says so.
    let (mut peer, _) = here.open("/echo", "");
    peer.frame(1, b"hello");
    assert_eq!(peer.message(), (1, b"hello".to_vec()));
    peer.frame(1, b"abort");
    let (opcode, payload) = peer.message();
    assert_eq!((opcode, &payload[..2]), (8, &1014_u16.to_be_bytes()[..]));
    // A drain of the proxy says 1001 between messages.
    let there = echo();
    let here = front(&[format!("http://{}", there.address)]);
    let (mut peer, _) = here.open("/echo", "");
    here.handle.drain();
    let (opcode, payload) = peer.message();
    assert_eq!((opcode, &payload[..2]), (8, &1001_u16.to_be_bytes()[..]));
}
