//! Asynchronous functions as handlers.

use crate::test;
use lws_server::http::{Async, OwnedRequest, Rejection, Response};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

/// What a future waits for, and a test or another thread gives.
#[derive(Clone, Default)]
struct Gift(Arc<Mutex<(Option<String>, Option<Waker>)>>);

impl Gift {
    fn give(&self, text: &str) {
        let mut inner = self.0.lock().expect("nobody panics");
        inner.0 = Some(text.to_owned());
        inner.1.take().into_iter().for_each(Waker::wake);
    }

    async fn wait(&self) -> String {
        poll_fn(|cx| {
            let mut inner = self.0.lock().expect("nobody panics");
            inner.1 = Some(cx.waker().clone());
            inner.0.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

async fn double(request: OwnedRequest) -> Result<Response, Rejection> {
    let number: u32 = request.as_request().query_pairs()?.require("number")?;
    Ok(Response::text((u64::from(number) * 2).to_string()))
}

#[test]
fn an_asynchronous_function_is_a_handler() {
    let t = test(|server| {
        server
            .get_async("/double", double)
            .post_async("/len", |request| async move {
                Response::text(format!("{} {}", request.peer(), request.into_content().len()))
            })
            .get_async("/lines", |_| async { Response::text("").into_streamed(["a", "b"]) })
    });
    for http2 in [false, true] {
        let version = |request: lws_server::testing::Request| if http2 { request.http2() } else { request };
        assert_eq!(version(t.get("/double?number=21")).send().text(), "42");
        assert_eq!(version(t.get("/double")).send().status(), 400);
        let from = "203.0.113.9:4711".parse().expect("an address");
        assert_eq!(version(t.post("/len", "12345").from(from)).send().text(), "203.0.113.9:4711 5");
        assert_eq!(version(t.get("/lines")).send().text(), "ab");
    }
}

#[test]
fn a_future_goes_on_when_it_was_woken_here_or_elsewhere() {
    let gift = Gift::default();
    let given = gift.clone();
    let t = test(|server| {
        server.get_async("/", move |_| {
            let gift = given.clone();
            async move { Response::text(format!("{} {}", gift.wait().await, gift.wait().await)) }
        })
    });
    let mut exchange = t.get("/").begin();
    t.settle();
    assert_eq!(exchange.status(), 0, "it waits");
    gift.give("one");
    t.settle();
    let elsewhere = gift.clone();
    thread::spawn(move || elsewhere.give("two")).join().expect("it gives");
    t.settle();
    assert_eq!(exchange.response().expect("it is complete").text(), "one two");
}

/// Counts what there is of it.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[test]
fn a_future_that_takes_too_long_or_whose_peer_has_left_is_dropped() {
    let there = Rc::new(Cell::new(0));
    let count = Rc::clone(&there);
    let t = test(|server| {
        server.get("/", move |_| {
            count.set(count.get() + 1);
            let counted = Counted(Rc::clone(&count));
            Async::new(async move {
                let _counted = counted;
                std::future::pending::<Response>().await
            })
            .within(Duration::from_secs(7))
        })
    });
    let mut late = t.get("/").begin();
    t.pass(Duration::from_secs(6));
    assert_eq!((late.status(), there.get()), (0, 1));
    t.pass(Duration::from_secs(1));
    assert_eq!(late.response().map(|response| response.status()), Some(503));
    assert_eq!(there.get(), 0);
    let leaves = t.get("/").begin();
    t.settle();
    assert_eq!(there.get(), 1);
    drop(leaves);
    t.settle();
    assert_eq!(there.get(), 0);
}

#[test]
fn a_future_that_panics_is_a_500() {
    let t = test(|server| {
        server.get_async("/", |request: OwnedRequest| async move {
            assert!(request.as_request().query().is_none(), "on purpose");
            Response::text("fine")
        })
    });
    assert_eq!(t.get("/?x").send().status(), 500);
    assert_eq!(t.get("/").send().text(), "fine");
}
