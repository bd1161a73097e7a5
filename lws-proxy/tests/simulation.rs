//! Client, proxy and upstream in a simulated world, all ours, on one thread: whatever goes wrong between them, every exchange ends, nothing
//! is left behind, and no client takes for whole what is not.

use lws_proto::{Cause, Payload};
use lws_proxy::{Proxy, client_options};
use lws_server::http::{self, Exchange as Served, Permit, Request, Response, Status};
use lws_server::ws::{self, Message};
use lws_server::{Builder, Context, Sent, WebSocket};
use lws_simulation::plan::{Ask, Client, Delivery, Exchange, Peer, Reading, Speaks, Step, list, octets};
use lws_simulation::{ExchangeResult, Outcome, Plan, Random, Weather};
use std::time::Duration;

/// Seeds of a test run.
const SEEDS: u64 = 150;

/// Octets that a target asks for: its query.
fn count(query: Option<&str>) -> usize {
    query.and_then(|query| query.parse().ok()).unwrap_or(0)
}

/// Says more than it sends, or does not say how much, and ends the connection when some of it has left.
struct Cut {
    with_length: bool,
    pieces: u8,
}

impl http::Handler for Cut {
    fn open(&mut self, _: &mut Context<'_>, mut exchange: Served<'_>, _: bool) {
        exchange.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        let piece = Payload::Static(&[b'x'; 3_000]);
        self.pieces += 1;
        let sent = match self.pieces {
            1 => {
                let length = self.with_length.then_some(("Content-Length", "1000000"));
                permit.respond(Status::OK, length, piece, false)
            }
            2..=5 => permit.data(piece, false),
            _ => return permit.into_exchange().abort(),
        };
        if let Ok(spent) = sent {
            spent.again();
        }
    }
}

/// Answers when some time has passed.
struct Late;

impl http::Handler for Late {
    fn open(&mut self, cx: &mut Context<'_>, mut exchange: Served<'_>, _: bool) {
        exchange.set_timeout(Some(cx.now() + Duration::from_millis(700)));
    }

    fn timer(&mut self, _: &mut Context<'_>, exchange: Served<'_>) {
        // One that has no room is one whose client is gone.
        if let Err((exchange, _)) = exchange.reply(Response::text("late")) {
            exchange.abort();
        }
    }
}

struct Echo;

impl ws::Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
        }
    }
}

/// Upstreams below `/up`, and proxies to them over both versions of HTTP.
fn describe(server: Builder) -> Builder {
    let upstream = |text: &str| text.parse().expect("an upstream");
    // No server listens at the second one.
    let http1 = Proxy::new(upstream("http://10.0.0.1/up")).and(upstream("http://10.0.0.1:9/up"));
    let http2 = Proxy::new(upstream("h2c://10.0.0.1/up"));
    server
        .any_host()
        .client_options(client_options())
        .http("/up/whole", |request: &Request<'_>| {
            Response::ok("application/octet-stream", vec![b'x'; count(request.query())])
        })
        .http("/up/echo", |request: &Request<'_>| Response::ok("text/plain", request.content().to_vec()))
        .get("/up/cut", |request: &Request<'_>| Cut { with_length: count(request.query()) > 0, pieces: 0 })
        .get("/up/late", |_: &Request<'_>| Late)
        .ws("/up/ws", |_: &Request<'_>| ws::Accepted::new(Echo).streamed())
        .route(http1.route("/h1"))
        .route(http2.route("/h2"))
}

/// What is asked for.
fn draw_target(random: &mut Random) -> String {
    let proxy = if random.chance(500) { "/h1" } else { "/h2" };
    let size = random.magnitude(1, 300_000);
    match random.below(8) {
        0 => format!("{proxy}/cut?0"),
        1 => format!("{proxy}/cut?1"),
        2 => format!("{proxy}/late"),
        _ => format!("{proxy}/whole?{size}"),
    }
}

/// The octets of a whole answer; `None` if there is none.
fn whole(target: &str) -> Option<usize> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path.rsplit('/').next() {
        Some("whole") => Some(count(Some(query))),
        Some("late") => Some(4),
        _ => None,
    }
}

fn draw_reading(random: &mut Random) -> Reading {
    let some = random.magnitude(1, 100_000) as u32;
    match random.below(10) {
        0 => Reading::Slow(some.max(6_000), random.magnitude(1, 300) as u32),
        1 => Reading::Leaves(some),
        2 => Reading::Vanishes(some),
        _ => Reading::Steady,
    }
}

/// A peer that posts through a proxy, or opens a WebSocket there and sends messages, and then stays, finishes or is gone.
fn draw_peer(random: &mut Random) -> Peer {
    let proxy = if random.chance(500) { "/h1" } else { "/h2" };
    let size = random.magnitude(1, 200_000) as usize;
    let (head, content) = if random.chance(500) {
        let head = format!("POST {proxy}/echo HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        (head, vec![b'x'; size])
    } else {
        let head = format!(
            "GET {proxy}/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let message = [&[0x82, 0xfe, 0x03, 0xe8, 0, 0, 0, 0][..], &[b'x'; 1_000]].concat();
        (head, message.repeat(size / 1_000))
    };
    let end = match random.below(5) {
        0 => Step::Vanishes,
        1 => Step::Resets,
        2 => Step::Finishes,
        // A Close with code 1000.
        _ => Step::Says(octets([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])),
    };
    let slow = if random.chance(300) { Step::Reads(20_000) } else { Step::Waits(1) };
    let steps = list([
        Step::Says(octets(head)),
        Step::Waits(random.magnitude(1, 500) as u32),
        slow,
        Step::Says(octets(content)),
        Step::Waits(random.magnitude(1, 5_000) as u32),
        end,
        Step::Waits(500),
    ]);
    Peer { begins: random.magnitude(1, 2_000) as u32, tls: false, honest: false, steps }
}

fn draw(seed: u64) -> (Plan, Vec<String>) {
    let mut random = Random::new(seed ^ 0x7072_6f78);
    let weather = if random.chance(100) { Weather::CALM } else { Weather::draw(&mut random) };
    let deliveries = [Delivery::Level, Delivery::Edge, Delivery::OneShot];
    let mut targets = Vec::new();
    let clients = (0..random.between(1, 4)).map(|_| {
        let mut exchange = |_| {
            let target = draw_target(&mut random);
            let asks = Ask::Get(octets(&target));
            targets.push(target);
            Exchange {
                begins: random.magnitude(1, 2_000) as u32,
                asks,
                reads: draw_reading(&mut random),
                urgency: 3,
            }
        };
        let exchanges = (0..3).map(&mut exchange).collect();
        let speaks = if random.chance(500) { Speaks::Http1 } else { Speaks::Http2 };
        Client { begins: random.magnitude(1, 2_000) as u32, speaks, exchanges, keeps: 0 }
    });
    let clients = clients.collect();
    let plan = Plan {
        weather,
        delivery: *random.pick(&deliveries).expect("one of three"),
        lets_go_late: random.chance(400),
        clients,
        peers: (0..random.between(0, 3)).map(|_| draw_peer(&mut random)).collect(),
        drains: random.chance(150).then(|| random.magnitude(1, 10_000) as u32),
        ..Plan::calm(seed)
    };
    (plan, targets)
}

fn run(plan: &Plan) -> Outcome {
    plan.run_with(&describe).unwrap_or_else(|failure| panic!("{failure}"))
}

/// What a client takes for a whole answer is one.
fn check_truth(seed: u64, target: &str, result: &ExchangeResult) {
    if (result.status, result.cause) == (200, Some(Cause::Complete)) {
        let octets = usize::try_from(result.octets).ok();
        assert!(whole(target).is_some() && octets == whole(target), "seed {seed}: {target}: {result:?}");
    }
}

#[test]
fn whatever_goes_wrong_every_exchange_through_a_proxy_ends_and_says_the_truth() {
    for seed in 0..SEEDS {
        let (plan, targets) = draw(seed);
        let outcome = run(&plan);
        assert_eq!(outcome.exchanges.len(), targets.len());
        for (target, result) in targets.iter().zip(&outcome.exchanges) {
            check_truth(seed, target, result);
        }
    }
}

#[test]
fn where_nothing_goes_wrong_everything_is_answered() {
    let targets =
        ["/h1/whole?100000", "/h2/whole?300000", "/h1/late", "/h2/late", "/h2/whole?1", "/h1/whole?7"];
    for (seed, speaks) in [Speaks::Http1, Speaks::Http2].into_iter().enumerate() {
        let exchange = |target: &&str| Exchange {
            begins: 1,
            asks: Ask::Get(octets(target)),
            reads: Reading::Steady,
            urgency: 3,
        };
        let exchanges = targets.iter().map(exchange).collect();
        let clients = list([Client { begins: 1, speaks, exchanges, keeps: 0 }]);
        let outcome = run(&Plan { clients, ..Plan::calm(seed as u64) });
        for (target, result) in targets.iter().zip(&outcome.exchanges) {
            assert_eq!((result.status, result.cause), (200, Some(Cause::Complete)), "{speaks:?} {target}");
            check_truth(seed as u64, target, result);
        }
    }
}
