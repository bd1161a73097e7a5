//! Requests in memory: the pool, redirects, retries, content both ways.

use crate::memory::{Acts, Direction, Fault, Outcomes, Plan, World, echo, respond_with};
use lws_client::{
    Cause, Client, Context, Deadline, Expect, Failure, Fields, Options, Override, Phase, Reply, Request,
    RequestId, ResponseHead, RetryRules, Timings, Upload, Versions,
};
use lws_loop_external::Address;
use lws_proto::http::Status;
use lws_proto::{Config, Event, Payload};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// No fields.
const NONE: [(&str, &str); 0] = [];
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_connection_is_used_again_and_ends_when_it_has_been_idle() {
    let mut world = World::new(Options::default(), echo());
    for n in 0..3 {
        let response = world.get("http://a/x").expect("a response");
        assert_eq!((response.status(), response.text().as_ref()), (200, "GET /x done"));
        assert_eq!(response.timings.connects, u32::from(n == 0));
    }
    assert_eq!((world.connects, world.client.stats().reused_total), (1, 2));
    world.get("http://b/x").expect("a response");
    assert_eq!((world.connects, world.connections()), (2, 2));
    world.run_for(61 * SECOND);
    assert_eq!((world.connections(), world.client.connections()), (0, 0));
    assert_eq!(world.client.next_timeout(), None, "nothing is waited for");
}

#[test]
fn the_servers_hint_is_honoured_and_so_is_its_close() {
    let hint = respond_with(|_| (200, vec![("x", "y".into())], String::new()));
    let mut world = World::new(Options::default(), hint);
    // Connection-specific fields are the engine's own: the server closes as it would say.
    world.get("http://a/").expect("a response");
    world.close_servers();
    world.run_for(SECOND);
    assert_eq!(world.connections(), 0, "a connection that the server has closed is not kept");
    world.post("http://a/", "content").expect("a response");
    assert_eq!(world.connects, 2);
}

#[test]
fn requests_at_one_time_have_connections_of_their_own_or_share_one() {
    for (versions, connections) in [(Versions::Http1, 6), (Versions::Http2, 1)] {
        let mut options = Options::default();
        options.request.versions = versions;
        let mut world = World::new(options, echo());
        let outcomes = Outcomes::default();
        for n in 0..50 {
            let url = format!("http://a/{n}");
            world.client.get(&url).expect("a URL").collect(1 << 20, outcomes.sink());
        }
        let finished = outcomes.clone();
        world.run_until(move || finished.len() == 50);
        let texts: Vec<_> =
            outcomes.all().into_iter().map(|it| it.expect("a response").text().into_owned()).collect();
        assert_eq!(texts.len(), 50);
        assert!(texts.contains(&"GET /49 done".to_owned()));
        assert_eq!(world.connects, connections, "{versions:?}");
    }
}

#[test]
fn redirects_are_followed_and_credentials_left_behind_for_good() {
    let serve = respond_with(|line| match line {
        "GET /a" => (302, vec![("location", "http://b/b".into())], String::new()),
        "GET /b" => (302, vec![("location", "http://a/c".into())], String::new()),
        _ => (200, vec![], "there".into()),
    });
    let mut world = World::new(Options::default(), serve);
    let response = world
        .outcome(|client, outcomes| {
            let request = client.get("http://a/a#part").expect("a URL").follow_redirects().bearer("secret");
            request.field("accept", "*/*").collect(1 << 20, outcomes.sink());
        })
        .expect("a response");
    assert_eq!((response.head.url.as_str(), response.timings.redirects), ("http://a/c#part", 2));
    let heads = &world.acts.heads;
    assert!(heads[0].contains("authorization: Bearer secret"), "{heads:?}");
    assert!(!heads[1].contains("authorization") && !heads[2].contains("authorization"), "{heads:?}");
    assert!(heads.iter().all(|head| head.contains("accept: */*")), "{heads:?}");
}

#[test]
fn a_redirect_in_a_circle_ends_and_none_is_followed_unasked() {
    let serve = || respond_with(|_| (307, vec![("location", "/again".into())], String::new()));
    let mut world = World::new(Options::default(), serve());
    let failure = world.outcome(|client, outcomes| {
        client.get("http://a/").expect("a URL").follow_redirects().collect(1 << 20, outcomes.sink());
    });
    let failure = failure.expect_err("a circle");
    assert!(matches!(failure.cause, Cause::Redirect(lws_client::RedirectError::TooMany)), "{failure}");
    assert_eq!((world.acts.done.len(), world.connects), (11, 1));
    let mut world = World::new(Options::default(), serve());
    assert_eq!(world.get("http://a/").expect("a response").status(), 307);
}

#[test]
fn a_little_unwanted_content_is_read_for_the_sake_of_the_connection() {
    for (length, connects) in [(10_000, 1), (200_000, 2)] {
        let serve = respond_with(move |line| match line {
            "GET /a" => (302, vec![("location", "/b".into())], "x".repeat(length)),
            _ => (200, vec![], "there".into()),
        });
        let mut world = World::new(Options::default(), serve);
        let response = world.outcome(|client, outcomes| {
            client.get("http://a/a").expect("a URL").follow_redirects().collect(1 << 20, outcomes.sink());
        });
        assert_eq!(response.expect("a response").text(), "there");
        assert_eq!(world.connects, connects, "{length}");
        world.run_for(SECOND);
        assert_eq!(world.connections(), 1, "{length}");
    }
}

#[test]
fn a_misdirected_request_is_sent_once_more_on_a_connection_of_its_own() {
    for always in [false, true] {
        let mut asked = 0;
        let serve = respond_with(move |_| {
            asked += 1;
            if asked == 2 || always && asked > 1 {
                (421, vec![], String::new())
            } else {
                (200, vec![], String::new())
            }
        });
        let mut world = World::new(Options::default(), serve);
        world.get("http://a/").expect("a response");
        let response = world.post("http://a/", "content").expect("a response");
        assert_eq!(response.status(), if always { 421 } else { 200 });
        assert_eq!((world.acts.done.len(), world.connects), (3, 2));
    }
}

#[test]
fn a_status_is_asked_again_when_that_is_wanted_and_not_before_its_time() {
    let mut asked = 0;
    let serve = respond_with(move |_| {
        asked += 1;
        let fields = vec![("retry-after", "7".to_owned())];
        if asked < 3 { (503, fields, String::new()) } else { (200, vec![], String::new()) }
    });
    let mut world = World::new(Options::default(), serve);
    let begun = world.now;
    let response = world.outcome(|client, outcomes| {
        let request = client.get("http://a/").expect("a URL");
        request
            .options(|options| options.retry = RetryRules::with_statuses())
            .collect(1 << 20, outcomes.sink());
    });
    let response = response.expect("a response");
    assert_eq!((response.status(), response.timings.retries), (200, 2));
    assert_eq!(world.now - begun, 14 * SECOND);
}

#[test]
fn a_post_that_may_have_acted_is_not_sent_again_and_a_get_is() {
    for post in [true, false] {
        let mut world = World::new(Options::default(), echo());
        world.get("http://a/").expect("a response");
        world.plan(Plan { fault: Fault::Cut, direction: Direction::ToClient, after: 0 });
        let outcome = if post { world.post("http://a/act", "x") } else { world.get("http://a/act") };
        let acts = world.acts.done.iter().filter(|act| act.contains("/act")).count();
        if post {
            let failure = outcome.expect_err("it may have acted");
            assert_eq!(
                (failure.phase, failure.retryable, failure.bytes_sent, acts),
                (Phase::Head, false, 1, 1)
            );
        } else {
            assert_eq!((outcome.expect("a response").timings.retries, acts), (1, 2));
        }
    }
}

#[test]
fn silence_is_bounded_and_so_is_the_whole_time() {
    let stall = Plan { fault: Fault::Stall, direction: Direction::ToServer, after: 10 };
    let mut world = World::new(Options::default(), echo());
    world.plan(stall);
    let begun = world.now;
    let failure = world.get("http://a/").expect_err("silence");
    assert_eq!((failure.kind(), world.now - begun), (std::io::ErrorKind::TimedOut, 60 * SECOND));
    world.plan(stall);
    let begun = world.now;
    let failure = world.outcome(|client, outcomes| {
        client.get("http://a/").expect("a URL").timeout(5 * SECOND).collect(1 << 20, outcomes.sink());
    });
    let failure = failure.expect_err("silence");
    assert_eq!((&failure.cause, failure.phase), (&Cause::TimedOut(Deadline::Total), Phase::Head));
    assert_eq!(world.now - begun, 5 * SECOND);
    world.plan(stall);
    let failure = world.outcome(|client, outcomes| {
        let request = client.get("http://a/").expect("a URL");
        let request = request.options(|options| options.first_byte_timeout = Some(2 * SECOND));
        request.collect(1 << 20, outcomes.sink());
    });
    assert_eq!(failure.expect_err("silence").cause, Cause::TimedOut(Deadline::FirstByte));
    world.run_for(61 * SECOND);
    assert_eq!(world.connections(), 0, "what was given up is closed");
}

#[test]
fn a_place_that_refuses_fails_all_who_wait_for_it() {
    let mut world = World::new(Options::default(), echo());
    world.refuses = true;
    let outcomes = Outcomes::default();
    for _ in 0..20 {
        world.client.get("http://a/").expect("a URL").collect(1 << 20, outcomes.sink());
    }
    world.run_for(SECOND);
    let failures: Vec<_> = outcomes.all().into_iter().map(|it| it.expect_err("refused")).collect();
    assert_eq!(failures.len(), 20);
    assert!(failures.iter().all(|failure| failure.phase == Phase::Tcp && failure.retryable));
    assert!(world.connects <= 6, "{}", world.connects);
}

/// Begins twenty requests, of which the first has a sink that panics, and runs until the ends of all others are delivered.
fn all_but_one_that_panics(world: &mut World) -> Vec<Result<lws_client::Response, Failure>> {
    let outcomes = Outcomes::default();
    world.client.get("http://a/panics").expect("a URL").collect(1 << 20, |_, _| panic!("as it should"));
    for n in 1..20 {
        world.client.get(&format!("http://a/{n}")).expect("a URL").collect(1 << 20, outcomes.sink());
    }
    let told = outcomes.clone();
    let mut run = || world.run_until(|| told.len() == 19);
    // As a host does that catches panics.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut run));
    assert!(panicked.is_err(), "the first one has panicked");
    if told.len() < 19 {
        run();
    }
    outcomes.all()
}

#[test]
fn a_reply_that_panics_takes_no_other_outcome_along() {
    let mut world = World::new(Options::default(), echo());
    world.refuses = true;
    let failures = all_but_one_that_panics(&mut world);
    assert!(failures.iter().all(|it| it.as_ref().is_err_and(|failure| failure.phase == Phase::Tcp)));
    // All on one connection, which is cut.
    let mut options = Options::default();
    options.request.versions = Versions::Http2;
    let mut world = World::new(options, echo());
    world.plan(Plan { fault: Fault::Reset, direction: Direction::ToClient, after: 30 });
    let outcomes = all_but_one_that_panics(&mut world);
    assert_eq!(outcomes.len(), 19);
    assert_eq!(world.client.requests(), 0);
}

#[test]
fn what_the_client_says_of_requests_holds_for_all_that_say_nothing_else() {
    let mut options = Options::default();
    options.request.timeout = Some(3 * SECOND);
    let silent = || |_: &mut Acts, _: &str, _: Event<'_>| {};
    let described = || Request::new("GET", "http://a/".parse().expect("a URL"));
    let mut world = World::new(options, silent());
    let failure = world.outcome(|client, outcomes| {
        client.collect(described(), 100, outcomes.sink());
    });
    assert_eq!(failure.expect_err("silence").cause, Cause::TimedOut(Deadline::Total));
    let begun = world.now;
    let failure = world.outcome(|client, outcomes| {
        let mut request = described();
        let mut own = client.options().request.clone();
        own.timeout = Some(SECOND);
        request.options = Some(own);
        client.collect(request, 100, outcomes.sink());
    });
    assert_eq!(failure.expect_err("silence").cause, Cause::TimedOut(Deadline::Total));
    assert_eq!(world.now - begun, SECOND);
}

#[test]
fn content_over_the_most_is_given_up_and_so_is_a_request_that_is_cancelled() {
    let mut world = World::new(Options::default(), respond_with(|_| (200, vec![], "x".repeat(100_000))));
    let failure = world.outcome(|client, outcomes| {
        client.get("http://a/").expect("a URL").collect(99_999, outcomes.sink());
    });
    assert_eq!(failure.expect_err("too much").cause, Cause::TooLarge { max: 99_999 });
    let failure = world.outcome(|client, outcomes| {
        let id = client.get("http://a/").expect("a URL").collect(1 << 20, outcomes.sink());
        client.cancel(id);
        client.cancel(id);
    });
    assert_eq!(failure.expect_err("cancelled").cause, Cause::Cancelled);
    assert_eq!(world.get("http://a/").expect("a response").body.len(), 100_000);
}

#[test]
fn an_override_goes_elsewhere_and_the_host_stays() {
    let mut options = Options::default();
    let addresses = vec![Address::Tcp(([127, 0, 0, 9], 99).into())];
    options.resolve.push(Override { host: "a".into(), port: 0, addresses });
    options.user_agent = Some("tests".into());
    let mut world = World::new(options, echo());
    world.get("http://a:81/x").expect("a response");
    assert_eq!(world.acts.done, ["127.0.0.9:99 GET /x"]);
    assert_eq!(world.acts.heads, ["GET /x | host: a:81 | user-agent: tests"]);
}

#[test]
fn a_plain_proxy_is_asked_for_the_whole_url() {
    let mut options = Options::default();
    options.proxies = lws_client::ProxyRules::all("http://u:p@proxy:3128".parse().expect("a proxy"));
    options.proxies.except = lws_client::Exceptions::parse("direct");
    let mut world = World::new(options, echo());
    world.get("http://a/x").expect("a response");
    world.get("http://direct/x").expect("a response");
    assert_eq!(world.acts.done, ["proxy:3128 GET http://a/x", "direct:80 GET /x"]);
    let heads = &world.acts.heads;
    assert!(heads[0].contains("host: a | proxy-authorization: Basic dTpw"), "{heads:?}");
    assert!(!heads[1].contains("proxy-authorization"), "{heads:?}");
}

#[test]
fn a_reply_asks_for_more_and_is_never_called_inside_of_itself() {
    let mut world = World::new(Options::default(), echo());
    let outcomes = Outcomes::default();
    let sink = outcomes.sink();
    world.client.get("http://a/first").expect("a URL").collect(1 << 20, move |cx, outcome| {
        assert_eq!(outcome.expect("a response").text(), "GET /first done");
        let now = cx.now();
        cx.client().get("http://a/second").expect("a URL").collect(1 << 20, sink);
        cx.client().settle(now, None);
    });
    let finished = outcomes.clone();
    world.run_until(move || finished.len() > 0);
    assert_eq!(outcomes.only().expect("a response").text(), "GET /second done");
    assert_eq!(world.connects, 1);
}

#[test]
fn what_is_shut_down_ends_once_and_leaves_nothing() {
    let mut world = World::new(Options::default(), echo());
    world.get("http://a/").expect("a response");
    world.plan(Plan { fault: Fault::Stall, direction: Direction::ToServer, after: 5 });
    let outcomes = Outcomes::default();
    for url in ["http://a/1", "http://a/2", "http://b/3"] {
        world.client.get(url).expect("a URL").collect(1 << 20, outcomes.sink());
    }
    world.turn();
    world.client.shut_down();
    world.run_for(SECOND);
    assert_eq!(outcomes.all().len(), 3);
    assert_eq!((world.client.requests(), world.client.connections(), world.connections()), (0, 0, 0));
    assert_eq!(world.client.next_timeout(), None);
}

/// The calls that a reply has received.
#[derive(Default)]
struct Seen {
    events: Vec<String>,
    content: Vec<u8>,
    outcome: Option<Result<Timings, Failure>>,
}

struct Streaming {
    seen: Rc<RefCell<Seen>>,
    /// Parts that are still to be sent.
    parts: usize,
    pauses: bool,
}

impl Reply for Streaming {
    fn interim(&mut self, _: &mut Context<'_>, head: &ResponseHead) {
        self.seen.borrow_mut().events.push(format!("interim {}", head.status.code()));
    }

    fn head(&mut self, cx: &mut Context<'_>, head: ResponseHead) {
        self.seen.borrow_mut().events.push(format!("head {}", head.status.code()));
        if self.pauses {
            cx.pause();
        }
    }

    fn body(&mut self, _: &mut Context<'_>, chunk: &mut [u8]) {
        self.seen.borrow_mut().content.extend_from_slice(chunk);
    }

    fn trailers(&mut self, _: &mut Context<'_>, fields: Fields) {
        self.seen.borrow_mut().events.push(format!("trailers {}", fields.len()));
    }

    fn writable(&mut self, _: &mut Context<'_>, upload: Upload<'_>) {
        self.parts -= 1;
        upload.send(Payload::Static(b"part"), self.parts == 0).expect("it is sent");
    }

    fn end(self: Box<Self>, _: &mut Context<'_>, outcome: Result<Timings, Failure>) {
        let before = self.seen.borrow_mut().outcome.replace(outcome);
        assert!(before.is_none(), "exactly one outcome");
    }
}

fn stream(
    client: &mut Client,
    url: &str,
    parts: usize,
    length: Option<u64>,
    pauses: bool,
    expect: Expect,
) -> (RequestId, Rc<RefCell<Seen>>) {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let reply = Streaming { seen: Rc::clone(&seen), parts, pauses };
    let request = client.post(url).expect("a URL").options(|options| options.expect = expect);
    let request = if parts > 0 { request.stream(length) } else { request };
    (request.start(reply), seen)
}

#[test]
fn content_is_sent_as_it_can_be_and_waits_for_100_if_it_is_long() {
    for versions in [Versions::Http1, Versions::Http2] {
        let mut options = Options::default();
        options.request.versions = versions;
        let mut world = World::new(options, echo());
        for (length, expect, waits) in [
            (None, Expect::Auto, true),
            (Some(12), Expect::Auto, false),
            (Some(12), Expect::Always, true),
            (None, Expect::Never, false),
        ] {
            world.acts.heads.clear();
            let (_, seen) = stream(&mut world.client, "http://a/up", 3, length, false, expect);
            world.run_until(|| seen.borrow().outcome.is_some());
            let seen = seen.take();
            let timings = seen.outcome.expect("an outcome").expect("a response");
            assert_eq!((timings.bytes_sent, timings.bytes_received), (12, 13));
            assert_eq!(seen.content, b"POST /up done");
            assert_eq!(world.acts.heads[0].contains("expect: 100-continue"), waits, "{versions:?}");
            let events: &[&str] = if waits { &["interim 100", "head 200"] } else { &["head 200"] };
            assert_eq!(seen.events, events, "{versions:?} {length:?} {expect:?}");
        }
    }
}

#[test]
fn a_server_that_wants_no_expectation_is_asked_without() {
    let mut asked = 0;
    let mut world = World::new(Options::default(), move |acts: &mut Acts, _: &str, event: Event<'_>| {
        let (stream, first) = match event {
            Event::Request { stream, head, .. } => {
                acts.heads.push(format!("{}", head.get("expect").is_some()));
                asked += 1;
                (stream, asked == 1)
            }
            Event::Body { stream, end: true, .. } => (stream, true),
            _ => return,
        };
        if first && let Ok(permit) = stream.permit() {
            let status = if asked == 1 { Status::EXPECTATION_FAILED } else { Status::OK };
            permit.respond(status, NONE, Payload::Static(b""), true).expect("an answer");
        }
    });
    let (_, seen) = stream(&mut world.client, "http://a/up", 1, Some(4), false, Expect::Always);
    world.run_until(|| seen.borrow().outcome.is_some());
    let seen = seen.take();
    assert_eq!(
        (seen.events, world.acts.heads),
        (vec!["head 200".to_owned()], vec!["true".to_owned(), "false".to_owned()])
    );
    assert_eq!(seen.outcome.expect("an outcome").expect("a response").bytes_sent, 4);
}

#[test]
fn an_answer_that_waits_for_content_gets_it_although_there_was_no_100() {
    for versions in [Versions::Http1, Versions::Http2] {
        let mut options = Options::default();
        options.request.versions = versions;
        // As hyper does it: what is asked to come back is answered before any of it has come.
        let mut world = World::new(options, |_: &mut Acts, _: &str, event: Event<'_>| match event {
            Event::Request { stream, .. } => {
                let Ok(permit) = stream.permit() else { panic!("no permit for a head") };
                permit.respond(Status::OK, NONE, Payload::Static(b"a"), false).expect("an answer");
            }
            Event::Body { stream, end: true, .. } => {
                let Ok(permit) = stream.permit() else { panic!("no permit for content") };
                permit.data(Payload::Static(b"z"), true).expect("its end");
            }
            _ => {}
        });
        let (_, seen) = stream(&mut world.client, "http://a/up", 1, Some(4), false, Expect::Always);
        world.run_until(|| seen.borrow().outcome.is_some());
        let seen = seen.take();
        assert_eq!(
            (seen.events, seen.content),
            (vec!["head 200".to_owned()], b"az".to_vec()),
            "{versions:?}"
        );
        let timings = seen.outcome.expect("an outcome").expect("a response");
        assert_eq!(timings.bytes_sent, 4, "{versions:?}");
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_is_the_answer() {
    for versions in [Versions::Http1, Versions::Http2] {
        let mut options = Options::default();
        options.request.versions = versions;
        let mut world = World::new(options, |_: &mut Acts, _: &str, event: Event<'_>| {
            if let Event::Request { stream, .. } = event
                && let Ok(permit) = stream.permit()
            {
                permit
                    .respond(Status::CONTENT_TOO_LARGE, NONE, Payload::Static(b"no"), true)
                    .expect("an answer");
            }
        });
        let (_, seen) = stream(&mut world.client, "http://a/up", 1_000, Some(4_000), false, Expect::Never);
        world.run_until(|| seen.borrow().outcome.is_some());
        let seen = seen.take();
        assert_eq!(
            (seen.events, seen.content),
            (vec!["head 413".to_owned()], b"no".to_vec()),
            "{versions:?}"
        );
        assert!(seen.outcome.is_some_and(|outcome| outcome.is_ok()), "{versions:?}");
        world.run_for(70 * SECOND);
        assert_eq!((world.connections(), world.client.connections()), (0, 0), "{versions:?}");
    }
}

#[test]
fn a_server_that_takes_few_streams_is_sent_the_others_when_it_can() {
    let mut options = Options::default();
    options.request.versions = Versions::Http2;
    let mut world = World::new(options, echo());
    let mut config = Config::default();
    config.limits.h2_streams_max = 3;
    world.server_config = config.into();
    world.get("http://a/first").expect("a response");
    let outcomes = Outcomes::default();
    for n in 0..250 {
        world.client.get(&format!("http://a/{n}")).expect("a URL").collect(1 << 20, outcomes.sink());
    }
    let finished = outcomes.clone();
    world.run_until(move || finished.len() == 250);
    assert!(outcomes.all().iter().all(Result::is_ok));
    assert!(world.connects <= 3, "{}", world.connects);
}

#[test]
fn paused_content_waits_for_the_application() {
    let mut world = World::new(Options::default(), respond_with(|_| (200, vec![], "x".repeat(300_000))));
    let (id, seen) = stream(&mut world.client, "http://a/", 0, None, true, Expect::Auto);
    world.run_for(SECOND);
    assert_eq!(seen.borrow().events, ["head 200"]);
    let before = seen.borrow().content.len();
    assert!(before < 300_000 && seen.borrow().outcome.is_none(), "{before}");
    world.client.resume(id);
    world.run_until(|| seen.borrow().outcome.is_some());
    assert_eq!(seen.borrow().content.len(), 300_000);
}

#[cfg(feature = "decompress")]
#[test]
fn compressed_content_is_asked_for_and_taken_apart_even_where_it_pauses() {
    let content = "many words, many words, many words. ".repeat(5_000);
    let mut deflate = zlib_rs::Deflate::new(6, true, 15);
    let mut compressed = vec![0; 64 << 10];
    deflate.compress(content.as_bytes(), &mut compressed, zlib_rs::DeflateFlush::Finish).expect("compressed");
    compressed.truncate(usize::try_from(deflate.total_out()).expect("a length"));
    let mut options = Options::default();
    options.request.decompress = true;
    options.limits.decoded_ratio_max = 1_000;
    let mut world = World::new(options, move |_, _, event| {
        let Event::Request { stream, head, .. } = event else { return };
        assert_eq!(head.get("accept-encoding"), Some(&b"gzip, deflate"[..]));
        let permit = stream.permit().expect("a permit");
        let fields = [("content-encoding", "deflate")];
        permit.respond(Status::OK, fields, Payload::Own(compressed.clone().into()), true).expect("an answer");
    });
    let response = world.get("http://a/").expect("a response");
    assert_eq!(response.text(), content);
    assert_eq!(response.head.decoded.as_deref(), Some(&b"deflate"[..]));
    assert_eq!((response.head.content_length(), response.head.fields.has("content-encoding")), (None, false));
    let (id, seen) = {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let reply = Streaming { seen: Rc::clone(&seen), parts: 0, pauses: true };
        (world.client.get("http://a/").expect("a URL").start(reply), seen)
    };
    world.run_for(SECOND);
    assert!(seen.borrow().content.is_empty() && seen.borrow().outcome.is_none());
    world.client.resume(id);
    world.run_until(|| seen.borrow().outcome.is_some());
    assert_eq!(seen.borrow().content.len(), content.len());
}
