//! Answers and content from other threads.

use crate::test;
use lws_server::http::{Promise, Request, Response, SendError, Sender, Status};
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

/// What a factory has put aside for the test to use.
type Kept<T> = Rc<RefCell<Vec<T>>>;

/// A server that has its answers deferred, and the promises.
fn deferring(within: Duration) -> (lws_server::testing::Server, Kept<Promise>) {
    let kept = Kept::default();
    let promises = Rc::clone(&kept);
    let t = test(move |server| {
        server.post_with("/", move |cx, request| {
            assert_eq!(request.content(), b"question", "the content is there");
            let (promise, deferred) = cx.defer();
            promises.borrow_mut().push(promise);
            deferred.within(within)
        })
    });
    (t, kept)
}

#[test]
fn another_thread_answers() {
    let t = test(|server| {
        server.get_with("/", |cx, _| {
            let (promise, deferred) = cx.defer();
            std::thread::spawn(move || promise.answer(Response::text("from afar")));
            deferred
        })
    });
    for http2 in [false, true] {
        let request = t.get("/");
        let response = if http2 { request.http2() } else { request }.send();
        assert_eq!((response.status(), response.text()), (200, "from afar"));
    }
}

#[test]
fn what_waits_is_done_by_the_pool() {
    let t = test(|server| {
        let server = server.work(lws_server::files::PoolOptions { threads_max: 1, queued_max: 1 });
        server
            .get_with("/count", |cx, request| {
                let end: u64 = request.query().and_then(|text| text.parse().ok()).unwrap_or(0);
                cx.work(move || Response::text((1..=end).sum::<u64>().to_string()))
            })
            .get_with("/wait", |cx, _| {
                cx.work(|| {
                    let (sender, receiver) = std::sync::mpsc::channel::<()>();
                    let _ = receiver.recv_timeout(Duration::from_millis(300));
                    drop(sender);
                    Response::text("at last")
                })
            })
            .get_with("/panic", |cx, _| cx.work(|| -> Response { panic!("on purpose") }))
    });
    assert_eq!(t.get("/count?100").send().text(), "5050");
    assert_eq!(t.get("/panic").send().status(), 500);
    // One is done, one waits, and what is more is refused.
    let mut begun: Vec<_> = (0..4).map(|_| t.get("/wait").begin()).collect();
    let mut statuses = Vec::new();
    while !begun.is_empty() {
        begun.retain_mut(|exchange| match exchange.response() {
            Some(response) => {
                statuses.push(response.status());
                false
            }
            None => true,
        });
        std::thread::yield_now();
    }
    assert!(statuses.starts_with(&[503, 503]) && statuses.ends_with(&[200]), "{statuses:?}");
    assert_eq!(t.get("/count?1").send().text(), "1");
}

#[test]
fn a_promise_that_is_dropped_answers_500() {
    let (t, kept) = deferring(Duration::from_secs(60));
    let mut exchange = t.post("/", "question").begin();
    assert!(exchange.response().is_none() && kept.borrow()[0].is_wanted());
    kept.borrow_mut().clear();
    assert_eq!(exchange.response().map(|response| response.status()), Some(500));
}

#[test]
fn an_answer_that_does_not_come_in_time_is_503() {
    let (t, kept) = deferring(Duration::from_secs(2));
    let mut exchange = t.post("/", "question").begin();
    t.pass(Duration::from_millis(1_999));
    assert!(exchange.response().is_none());
    t.pass(Duration::from_millis(1));
    assert_eq!(exchange.response().map(|response| response.status()), Some(503));
    let late = kept.borrow_mut().remove(0);
    assert!(!late.is_wanted());
    assert!(late.answer(Response::text("too late")).is_err());
}

#[test]
fn work_for_a_peer_that_has_left_can_stop() {
    let (t, kept) = deferring(Duration::from_secs(60));
    drop(t.post("/", "question").begin());
    assert!(!kept.borrow()[0].is_wanted());
    let promise = kept.borrow_mut().remove(0);
    assert!(promise.answer(Response::text("to nobody")).is_err());
}

#[test]
fn an_iterator_is_asked_as_the_peer_reads() {
    let made = Rc::new(RefCell::new(0_u64));
    let count = Rc::clone(&made);
    let t = test(move |server| {
        server.get("/", move |_| {
            let count = Rc::clone(&count);
            let pieces = std::iter::repeat_with(move || {
                *count.borrow_mut() += 1_000;
                vec![b'x'; 1_000]
            });
            Response::ok("text/plain", "").into_streamed(pieces)
        })
    });
    let exchange = t.get("/").begin_paused();
    let held = *made.borrow();
    assert!(
        (1_000..1_000_000).contains(&held),
        "it is without an end, and no more than fits was made: {held}"
    );
    drop(exchange);
    assert_eq!(t.request("HEAD", "/").send().status(), 200);
    assert_eq!(*made.borrow(), held, "HEAD asks for no content");
}

#[test]
fn content_of_an_iterator_and_of_a_reader_is_whole() {
    let t = test(|server| {
        let lines = |_: &Request<'_>| {
            Response::ok("text/plain", "").into_streamed((0..30_000).map(|n| format!("{n}\n")))
        };
        let zeros = |_: &Request<'_>| {
            Response::ok("text/plain", "").into_read(std::io::Read::take(std::io::repeat(b'0'), 200_000))
        };
        let short = |_: &Request<'_>| {
            Response::ok("text/plain", "").field("Content-Length", "10").into_streamed(["short"])
        };
        server.get("/lines", lines).get("/zeros", zeros).get("/short", short)
    });
    let lines: String = (0..30_000).map(|n| format!("{n}\n")).collect();
    for http2 in [false, true] {
        let get = |target| if http2 { t.get(target).http2() } else { t.get(target) };
        assert!(get("/lines").send().text() == lines, "30,000 pieces come as they were made");
        let zeros = get("/zeros").send();
        assert_eq!((zeros.is_complete(), zeros.content().len()), (true, 200_000));
        let short = get("/short").send();
        assert!(!short.is_complete(), "less than was said is no success: {short:?}");
    }
}

/// A server whose content comes from the senders.
fn channelled(pieces: usize) -> (lws_server::testing::Server, Kept<Sender>) {
    let kept = Kept::default();
    let senders = Rc::clone(&kept);
    let t = test(move |server| {
        server.get("/", move |_| {
            let (sender, streamed) = Response::new(Status::OK).into_channel(pieces);
            senders.borrow_mut().push(sender);
            streamed
        })
    });
    (t, kept)
}

#[test]
fn another_thread_sends_content_piece_by_piece() {
    let t = test(|server| {
        server.get("/", |_| {
            let (mut sender, streamed) = Response::new(Status::OK).into_channel(2);
            std::thread::spawn(move || {
                for number in 0..1_000 {
                    if write!(sender, "{number:04}").is_err() {
                        return;
                    }
                }
                sender.finish();
            });
            streamed
        })
    });
    let response = t.get("/").send();
    assert_eq!((response.is_complete(), response.content().len()), (true, 4_000));
    assert!(response.text().starts_with("00000001") && response.text().ends_with("0999"));
}

#[test]
fn a_channel_that_is_full_says_so_and_one_that_is_dropped_cuts_the_response_off() {
    let (t, kept) = channelled(2);
    let mut exchange = t.get("/").begin();
    exchange.pause(true);
    let sender = kept.borrow_mut().remove(0);
    let mut sent = 0;
    while sender.try_send(vec![b'x'; 10_000]).is_ok() {
        sent += 1;
        t.settle();
        assert!(sent < 100, "a peer that reads nothing takes no more than fits");
    }
    assert!(matches!(sender.try_send("more"), Err(SendError::Full(piece)) if piece == "more"));
    exchange.pause(false);
    t.settle();
    assert_eq!(sender.try_send("more"), Ok(()));
    drop(sender);
    let response = exchange.response().expect("it is over");
    assert!(!response.is_complete() && response.status() == 200);
}

#[test]
fn a_channel_learns_that_the_peer_has_left() {
    let (t, kept) = channelled(1);
    drop(t.get("/").begin());
    let sender = kept.borrow_mut().remove(0);
    assert!(!sender.is_wanted());
    assert!(matches!(sender.send("nobody"), Err(SendError::Over(_))));
}
