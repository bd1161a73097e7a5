//! WebSockets in memory: open, lost, back again, given up.

use crate::memory::{Acts, Direction, Fault, Plan, World};
use lws_client::ws::{
    CallError, Context, GaveUp, Handler, Lost, Message, Opened, ReconnectRules, SendError, SocketId, WhenLost,
};
use lws_client::{Options, Versions};
use lws_proto::http::Status;
use lws_proto::ws::{Accept, CloseCode};
use lws_proto::{Bytes, Control, Event, MessageKind, Payload};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A server that sends messages back, but closes with the code that a message is, and drops at `drop`. `refusal` answers
/// opening handshakes instead.
fn echo(refusal: Option<(u16, &'static str)>) -> impl FnMut(&mut Acts, &str, Event<'_>) + 'static {
    move |acts, _, event| match event {
        Event::Request { stream, head, .. } => {
            acts.heads.push(format!("{} {}", head.method_name(), head.target()));
            match refusal {
                Some((status, after)) => {
                    let status = Status::new(status).expect("a status");
                    let content = Payload::Static(b"go away");
                    let permit = stream.permit().expect("a permit");
                    permit.respond(status, [("retry-after", after)], content, true).expect("an answer");
                }
                None => {
                    stream.accept_websocket(&head, &Accept::new().protocol("v1")).expect("accepted");
                }
            }
        }
        Event::Message { stream, chunk, kind, end, .. } => {
            let text = String::from_utf8_lossy(chunk).into_owned();
            acts.done.push(text.clone());
            if text == "drop" {
                stream.abort();
            } else if let Some(code) = text.parse().ok().and_then(CloseCode::new) {
                stream.close(code, "as asked").expect("closed");
            } else if let Ok(permit) = stream.permit() {
                permit.message(kind, Payload::Copy(chunk), end).expect("sent");
            }
        }
        _ => {}
    }
}

struct Notes(Rc<RefCell<Vec<String>>>);

impl Handler for Notes {
    fn connecting(&mut self, _: &mut Context<'_>, attempt: u32) {
        self.note(format!("connecting {attempt}"));
    }

    fn open(&mut self, _: &mut Context<'_>, opened: &Opened) {
        self.note(format!("open {} {:?}", opened.resumed, opened.protocol));
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) {
        let text = String::from_utf8_lossy(message.bytes).into_owned();
        if let Some(call) = text.strip_prefix("call ").and_then(|text| text.parse().ok()) {
            self.note(format!("answered {}", cx.answered(call)));
        } else {
            self.note(text);
        }
    }

    fn control(&mut self, _: &mut Context<'_>, control: Control<'_>) {
        // Those of the engine's own have other payloads.
        if let Control::Pong(b"asked") = control {
            self.note("pong".to_owned());
        }
    }

    fn call_failed(&mut self, _: &mut Context<'_>, id: u64, error: CallError) {
        self.note(format!("call {id} {error:?}"));
    }

    fn lost(&mut self, cx: &mut Context<'_>, lost: &Lost) {
        let seconds = (lost.retry_at - cx.client().now()).as_secs();
        self.note(format!("lost, again in {seconds}, {} gone", lost.messages_lost));
    }

    fn gave_up(self: Box<Self>, _: &mut Context<'_>, why: GaveUp) {
        self.note(match why {
            GaveUp::Closed { code } => format!("closed {code}"),
            GaveUp::Cancelled => "cancelled".to_owned(),
            GaveUp::Failed { refusal: Some(refusal), .. } => {
                format!("refused {} {}", refusal.head.status.code(), String::from_utf8_lossy(&refusal.body))
            }
            GaveUp::Failed { failure, .. } => format!("failed {failure}"),
            _ => "otherwise".to_owned(),
        });
    }
}

impl Notes {
    fn note(&self, text: String) {
        self.0.borrow_mut().push(text);
    }
}

struct Bench {
    world: World,
    socket: SocketId,
    notes: Rc<RefCell<Vec<String>>>,
}

impl Bench {
    fn new(refusal: Option<(u16, &'static str)>, versions: Versions) -> Self {
        let mut world = World::new(Options::default(), echo(refusal));
        let notes = Rc::new(RefCell::new(Vec::new()));
        let mut rules = ReconnectRules::default();
        rules.policy.jitter_percent = 0;
        let builder = world.client.websocket("ws://a/chat").expect("a URL").protocol("v1").reconnect(rules);
        let builder = builder.options(|options| options.versions = versions);
        let socket = builder.start(Notes(Rc::clone(&notes)));
        Self { world, socket, notes }
    }

    fn send(&mut self, text: &str) {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        self.world.client.send(self.socket, MessageKind::Text, payload, WhenLost::Fail).expect("it is taken");
    }

    /// Runs for a time, and says what was noted meanwhile.
    fn notes(&mut self, time: Duration) -> Vec<String> {
        self.world.run_for(time);
        self.notes.borrow_mut().drain(..).collect()
    }
}

const OPEN: [&str; 2] = ["connecting 1", "open false Some(\"v1\")"];

#[test]
fn a_websocket_opens_over_either_version_and_says_what_it_is_sent() {
    for versions in [Versions::Any, Versions::Http2] {
        let mut it = Bench::new(None, versions);
        assert_eq!(it.notes(SECOND), OPEN, "{versions:?}");
        it.send("one");
        it.send("two");
        assert_eq!(it.notes(SECOND), ["one", "two"]);
        it.world.client.close(it.socket, CloseCode::NORMAL, "done");
        assert_eq!(it.notes(SECOND), ["closed 1000"]);
        assert_eq!(
            it.world.client.send(it.socket, MessageKind::Text, Bytes::new(), WhenLost::Keep),
            Err(SendError::Gone)
        );
        it.world.run_for(100 * SECOND);
        assert_eq!((it.world.client.connections(), it.world.client.requests()), (0, 0));
        assert_eq!(it.world.client.next_timeout(), None);
    }
}

#[test]
fn one_that_is_lost_comes_back_later_and_later() {
    let mut it = Bench::new(None, Versions::Any);
    assert_eq!(it.notes(SECOND), OPEN);
    it.send("drop");
    assert_eq!(it.notes(SECOND / 2), ["lost, again in 1, 0 gone"]);
    let refused = it.world.client.send(it.socket, MessageKind::Text, "no".into(), WhenLost::Fail);
    assert_eq!(refused, Err(SendError::NotOpen));
    it.world.client.send(it.socket, MessageKind::Text, "kept".into(), WhenLost::Keep).expect("it waits");
    assert_eq!(it.notes(SECOND), ["connecting 2", "open true Some(\"v1\")", "kept"]);
    it.send("1012");
    assert_eq!(it.notes(4 * SECOND), ["lost, again in 5, 0 gone"]);
    it.world.refuses = true;
    assert_eq!(it.notes(2 * SECOND), ["connecting 3", "lost, again in 4, 0 gone"]);
    it.world.refuses = false;
    it.world.client.reconnect_now(it.socket);
    assert_eq!(it.notes(70 * SECOND), ["connecting 4", "open true Some(\"v1\")"]);
    it.send("drop");
    assert_eq!(it.notes(SECOND / 2)[..1], ["lost, again in 0, 0 gone"], "it was stable");
}

#[test]
fn one_that_is_closed_for_good_stays_closed() {
    for code in ["1000", "1008", "4401"] {
        let mut it = Bench::new(None, Versions::Any);
        assert_eq!(it.notes(SECOND), OPEN);
        it.send(code);
        let notes = it.notes(100 * SECOND);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("failed body: closed by the peer"), "{notes:?}");
    }
}

#[test]
fn a_refusal_is_final_or_says_when_to_come_again() {
    let mut it = Bench::new(Some((403, "0")), Versions::Any);
    assert_eq!(it.notes(100 * SECOND), ["connecting 1", "refused 403 go away"]);
    let mut it = Bench::new(Some((503, "20")), Versions::Any);
    assert_eq!(it.notes(10 * SECOND), ["connecting 1", "lost, again in 20, 0 gone"]);
    it.world.client.close(it.socket, CloseCode::NORMAL, "");
    assert_eq!(it.notes(100 * SECOND), ["cancelled"]);
}

#[test]
fn a_redirect_of_an_opening_handshake_is_followed_only_when_asked() {
    for follow in [false, true] {
        let mut echo = echo(None);
        let mut world = World::new(
            Options::default(),
            move |acts: &mut Acts, place: &str, event: Event<'_>| match event {
                Event::Request { stream, head, .. } if head.target() == "/chat" => {
                    let fields = [("location", "http://b/there")];
                    let permit = stream.permit().expect("a permit");
                    permit.respond(Status::FOUND, fields, Payload::Static(b""), true).expect("an answer");
                }
                Event::Request { ref head, .. } => {
                    acts.done.push(format!("{place} {:?}", head.get("authorization").is_some()));
                    echo(acts, place, event);
                }
                event => echo(acts, place, event),
            },
        );
        let notes = Rc::new(RefCell::new(Vec::new()));
        let builder = world.client.websocket("ws://a/chat").expect("a URL").protocol("v1");
        let builder = builder.field("authorization", "secret").options(|options| {
            options.redirects.hops_max = u32::from(follow);
        });
        builder.start(Notes(Rc::clone(&notes)));
        world.run_for(SECOND);
        if follow {
            assert_eq!(notes.borrow()[1..], ["connecting 2", "open false Some(\"v1\")"]);
            assert_eq!(world.acts.done, ["b:80 false"], "credentials stay behind");
        } else {
            assert_eq!(notes.borrow()[1..], ["refused 302 "]);
        }
    }
}

#[test]
fn a_call_is_answered_or_fails_once() {
    let mut it = Bench::new(None, Versions::Any);
    assert_eq!(it.notes(SECOND), OPEN);
    let call = |it: &mut Bench, id: u64, text: &'static str, again| {
        let message = (MessageKind::Text, Bytes::from_static(text.as_bytes()));
        it.world.client.call(it.socket, id, message, 3 * SECOND, again).expect("it is taken");
    };
    call(&mut it, 1, "call 1", false);
    call(&mut it, 2, "no answer", false);
    assert_eq!(it.notes(4 * SECOND), ["answered true", "no answer", "call 2 TimedOut"]);
    call(&mut it, 3, "drop", false);
    assert_eq!(it.notes(SECOND / 2), ["call 3 Lost", "lost, again in 1, 0 gone"]);
    call(&mut it, 4, "call 4", true);
    assert_eq!(it.notes(2 * SECOND), ["connecting 2", "open true Some(\"v1\")", "answered true"]);
}

#[test]
fn a_ping_of_the_application_is_answered_while_it_is_open() {
    for versions in [Versions::Any, Versions::Http2] {
        let mut it = Bench::new(None, versions);
        let ping = |it: &mut Bench| it.world.client.ping(it.socket, b"asked");
        assert_eq!(ping(&mut it), Err(SendError::NotOpen));
        assert_eq!(it.notes(SECOND), OPEN);
        assert_eq!(ping(&mut it), Ok(()));
        assert_eq!(it.notes(SECOND), ["pong"], "{versions:?}");
        it.world.client.close(it.socket, CloseCode::NORMAL, "");
        assert_eq!(ping(&mut it), Err(SendError::Gone));
    }
}

#[test]
fn a_machine_that_has_slept_asks_at_once_whether_the_server_is_there() {
    for there in [true, false] {
        let mut it = Bench::new(None, Versions::Any);
        it.world.unix_seconds = Some(1_000);
        assert_eq!(it.notes(SECOND), OPEN);
        it.world.unix_seconds = Some(1_000 + 3_600);
        if !there {
            it.world.plan(Plan { fault: Fault::Stall, direction: Direction::ToServer, after: 0 });
        }
        let notes = it.notes(5 * SECOND);
        if there {
            assert!(notes.is_empty(), "{notes:?}");
            it.world.plan(Plan { fault: Fault::Stall, direction: Direction::ToServer, after: 0 });
            let notes = it.notes(25 * SECOND);
            assert!(notes.is_empty(), "it has its usual time again: {notes:?}");
        } else {
            assert!(notes[0].starts_with("lost"), "{notes:?}");
        }
    }
}

/// Counts its end, and sends one message when it is open.
struct Once(Rc<RefCell<(usize, usize)>>);

impl Handler for Once {
    fn open(&mut self, cx: &mut Context<'_>, _: &Opened) {
        cx.send(MessageKind::Text, "act").expect("it is taken");
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) {
        assert_eq!(message.bytes, b"act");
        self.0.borrow_mut().1 += 1;
        cx.close(CloseCode::NORMAL, "");
    }

    fn gave_up(self: Box<Self>, _: &mut Context<'_>, _: GaveUp) {
        self.0.borrow_mut().0 += 1;
    }
}

#[test]
fn whatever_goes_wrong_a_websocket_ends_once_and_says_nothing_twice() {
    let run = |versions, plan: Option<Plan>| {
        let mut world = World::new(Options::default(), echo(None));
        let finished = Rc::new(RefCell::new((0, 0)));
        let builder =
            world.client.websocket("ws://a/chat").expect("a URL").reconnect(ReconnectRules::never());
        let builder = builder.protocol("v1").options(|options| options.versions = versions);
        builder.start(Once(Rc::clone(&finished)));
        if let Some(plan) = plan {
            world.plan(plan);
        }
        world.run_for(200 * SECOND);
        let (ends, messages) = *finished.borrow();
        assert_eq!(ends, 1, "{versions:?} {plan:?}");
        assert!(messages <= 1 && world.acts.done.len() <= 1, "{versions:?} {plan:?}");
        assert_eq!((world.client.requests(), world.client.connections()), (0, 0), "{versions:?} {plan:?}");
        (world.moved, messages)
    };
    for versions in [Versions::Any, Versions::Http2] {
        let ((to_server, to_client), messages) = run(versions, None);
        assert_eq!(messages, 1, "{versions:?}");
        for fault in [Fault::Cut, Fault::Reset, Fault::Stall, Fault::Close] {
            for after in 0..=to_server {
                run(versions, Some(Plan { fault, direction: Direction::ToServer, after }));
            }
            for after in 0..=to_client {
                run(versions, Some(Plan { fault, direction: Direction::ToClient, after }));
            }
        }
    }
}
