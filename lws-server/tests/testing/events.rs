//! Server-sent events.

use crate::test;
use lws_server::sse::{Channel, Event, Lag, Options};
use lws_server::testing::{Exchange, Server as Test};
use std::time::Duration;

fn options() -> Options {
    let mut options = Options::default();
    "e".clone_into(&mut options.epoch);
    options
}

fn serve(options: Options) -> (Test, Channel) {
    let channel = Channel::new(options);
    let feed = channel.clone();
    (test(move |server| server.get("/", move |request| feed.subscribe(request))), channel)
}

/// What has come since the last look, without the time to come back.
fn read(t: &Test, exchange: &Exchange) -> String {
    t.settle();
    let text = String::from_utf8(exchange.take_content()).expect("text");
    let lines = text.split_inclusive("\n\n").filter(|event| !event.starts_with("retry: "));
    lines.collect()
}

#[test]
fn whoever_listens_gets_each_event_once() {
    let (t, channel) = serve(options());
    channel.publish(&Event::new("before"));
    let listeners = [t.get("/").begin(), t.get("/").http2().begin()];
    assert_eq!(channel.listeners(), 2);
    assert_eq!(channel.publish(&Event::new("a\nb").named("news")), "e-2");
    channel.publish(&Event::new("c"));
    for listener in &listeners {
        assert_eq!(listener.status(), 200);
        assert_eq!(read(&t, listener), "id: e-2\nevent: news\ndata: a\ndata: b\n\nid: e-3\ndata: c\n\n");
    }
    drop(listeners);
    assert_eq!(channel.listeners(), 0);
    channel.publish(&Event::new("to nobody"));
    t.settle();
}

#[test]
fn the_head_keeps_proxies_from_holding_back() {
    let (t, channel) = serve(options());
    let mut listener = t.get("/").begin();
    channel.end();
    let response = listener.response().expect("it has ended");
    assert_eq!(response.field("Content-Type").as_deref(), Some("text/event-stream"));
    assert_eq!(response.field("Cache-Control").as_deref(), Some("no-cache"));
    assert_eq!(response.field("X-Accel-Buffering").as_deref(), Some("no"));
    assert!(response.is_complete() && response.text().starts_with("retry: "));
    assert_eq!(t.get("/").send().status(), 204, "with which clients come no more");
    let head = t.request("HEAD", "/").send();
    assert_eq!((head.status(), head.content()), (204, &b""[..]));
}

#[test]
fn who_comes_back_gets_what_was_missed() {
    let mut kept = options();
    kept.events_max = 3;
    let (t, channel) = serve(kept);
    for text in ["1", "2", "3", "4", "5"] {
        channel.publish(&Event::new(text));
    }
    let check = |id: &str, expected: &str| {
        let listener = t.get("/").field("Last-Event-ID", id).begin();
        let text = read(&t, &listener);
        let data: Vec<_> = text.split("\n\n").filter(|event| !event.is_empty()).collect();
        let short =
            |event: &&str| event.lines().last().map(|line| line.trim_start_matches("data: ").to_owned());
        let named =
            |event: &&str| if event.contains("resync") { Some("resync".to_owned()) } else { short(event) };
        assert_eq!(data.iter().filter_map(named).collect::<Vec<_>>().join(" "), expected, "{id}");
    };
    check("e-5", "");
    check("e-4", "5");
    check("e-2", "3 4 5");
    check("e-1", "resync 3 4 5");
    check("other-4", "resync 3 4 5");
    check("e-6", "resync 3 4 5");
    check("nonsense", "resync 3 4 5");
    check("", "");
}

#[test]
fn a_silent_stream_has_a_heartbeat() {
    let (t, channel) = serve(options());
    let listener = t.get("/").begin();
    assert_eq!(read(&t, &listener), "");
    t.pass(Duration::from_millis(19_999));
    assert_eq!(read(&t, &listener), "");
    t.pass(Duration::from_millis(1));
    assert_eq!(read(&t, &listener), ":\n\n");
    channel.publish(&Event::new("a"));
    t.pass(Duration::from_secs(20));
    assert_eq!(read(&t, &listener), "id: e-1\ndata: a\n\n");
    t.pass(Duration::from_secs(3_600));
    assert_eq!(read(&t, &listener).matches(":\n\n").count(), 180, "and no deadline ends it");
}

#[test]
fn a_slow_client_loses_the_oldest_events_or_its_stream() {
    for lag in [Lag::Resync, Lag::End] {
        let mut few = options();
        (few.events_max, few.lag) = (4, lag);
        let (t, channel) = serve(few);
        let mut listener = t.get("/").begin();
        listener.pause(true);
        for _ in 0..100 {
            channel.publish(&Event::new("x".repeat(10_000)));
            t.settle();
        }
        listener.pause(false);
        let text = read(&t, &listener);
        match lag {
            Lag::Resync => {
                assert_eq!(text.matches("event: resync").count(), 1);
                assert!(text.contains("id: e-100\n") && !text.contains("id: e-90\n"));
                assert!(listener.response().is_none());
            }
            Lag::End => {
                assert!(!text.contains("id: e-100\n"));
                assert!(listener.response().is_some_and(|response| response.is_complete()));
            }
        }
    }
}

#[test]
fn a_server_that_drains_ends_its_streams_in_order() {
    let (t, channel) = serve(options());
    let mut listeners = [t.get("/").begin(), t.get("/").http2().begin()];
    channel.publish(&Event::new("last"));
    t.handle().drain();
    t.settle();
    for listener in &mut listeners {
        let response = listener.response().expect("its stream has ended");
        assert!(response.is_complete(), "{response:?}");
        assert!(
            response.text().contains("data: last\n\n") && response.text().matches("retry: ").count() == 2
        );
    }
}

#[test]
fn clients_come_back_at_different_times() {
    let (t, _) = serve(options());
    let retry = |exchange: &Exchange| {
        let text = String::from_utf8(exchange.take_content()).expect("text");
        let retry = text.strip_prefix("retry: ").and_then(|rest| rest.split('\n').next());
        retry.and_then(|retry| retry.parse::<u32>().ok()).expect("a time")
    };
    let times: Vec<_> = (0..20).map(|_| retry(&t.get("/").begin())).collect();
    assert!(times.iter().all(|time| (2_250..=3_750).contains(time)), "{times:?}");
    assert!(times.iter().max() > times.iter().min().map(|min| min + 300).as_ref(), "{times:?}");
}

#[test]
fn an_epoch_cannot_begin_a_line_of_an_event() {
    let mut broken = options();
    "e\r\ndata: forged\n \0f".clone_into(&mut broken.epoch);
    let (t, channel) = serve(broken);
    let listener = t.get("/").begin();
    assert_eq!(channel.publish(&Event::new("a")), "edata:forgedf-1");
    assert_eq!(read(&t, &listener), "id: edata:forgedf-1\ndata: a\n\n");
    let again = t.get("/").field("Last-Event-ID", "edata:forgedf-1").begin();
    channel.publish(&Event::new("b"));
    assert_eq!(read(&t, &again), "id: edata:forgedf-2\ndata: b\n\n");
}
