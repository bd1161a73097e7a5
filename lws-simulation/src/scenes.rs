//! Runs with one subject each, with so few faults that the outcome can be predicted.

use crate::hostile::frame;
use crate::plan::{
    Ask, Client, Delivery, Ends, Exchange, Framing, List, Peer, Plan, Reading, Speaks, Step, list, octets,
};
use crate::random::Random;
use crate::weather::Weather;

fn fair(seed: u64, random: &mut Random) -> Plan {
    let deliveries = [Delivery::Level, Delivery::Edge, Delivery::OneShot];
    let latency = random.magnitude(20, 40_000) as u32;
    Plan {
        weather: Weather { latency, ..Weather::CALM },
        delivery: *random.pick(&deliveries).unwrap_or(&Delivery::Level),
        lets_go_late: random.chance(300),
        ..Plan::calm(seed)
    }
}

fn exchange(begins: u64, asks: Ask, reads: Reading, urgency: u64) -> Exchange {
    Exchange { begins: begins as u32, asks, reads, urgency: urgency as u8 }
}

/// The preface of HTTP/2 with a window for each stream, and an acknowledgement.
fn preface(window: u32) -> Step {
    let mut settings = vec![0, 4];
    settings.extend(window.to_be_bytes());
    let said = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*frame(4, 0, 0, &settings), &frame(4, 1, 0, b"")];
    Step::Says(octets(said.concat()))
}

/// Large downloads on one connection, with small requests beside them.
pub(crate) fn share(seed: u64, random: &mut Random) -> Plan {
    let mut plan = fair(seed, random);
    if random.chance(400) {
        // A peer whose streams have the largest window, and whose connection has a small one.
        let small = if random.chance(500) { "/hello" } else { "/files/1000" };
        let large = if random.chance(500) { "/files/3000000" } else { "/bytes?n=3000000" };
        let mut steps = vec![preface(0x7fff_ffff), Step::Grants(false)];
        for target in [large, small, large, small, small] {
            steps.push(Step::Requests(octets(target), 1, 1, 1));
            steps.push(Step::Waits(random.between(1, 200) as u32));
        }
        steps.push(Step::Stays);
        plan.peers = list([Peer { begins: 1, tls: false, honest: true, steps: steps.into_iter().collect() }]);
        return plan;
    }
    let mut exchanges = Vec::new();
    for _ in 0..random.between(1, 4) {
        let size = random.magnitude(1 << 18, 3 << 20) as u32;
        let asks = match random.chance(500) {
            true => Ask::Bytes(size, Framing::Length, Ends::Whole),
            false => Ask::File(size),
        };
        let reads = match random.below(6) {
            0 => Reading::Stops(random.below(100_000) as u32),
            1 => Reading::Slow(random.between(20_000, 60_000) as u32, random.between(1, 40) as u32),
            _ => Reading::Steady,
        };
        exchanges.push(exchange(random.below(200), asks, reads, random.between(3, 7)));
    }
    for _ in 0..random.between(1, 5) {
        let asks = match random.below(4) {
            0 => Ask::Echo(random.between(1, 1_000) as u32, 1_000, 0),
            1 => Ask::Collect(random.between(1, 1_000) as u32),
            2 => Ask::File(1_000),
            _ => Ask::Hello,
        };
        exchanges.push(exchange(random.between(200, 800), asks, Reading::Steady, random.below(4)));
    }
    exchanges.sort_by_key(|exchange| exchange.begins);
    let speaks = if random.chance(300) { Speaks::Http2Tls } else { Speaks::Http2 };
    plan.clients = list([Client { begins: 1, speaks, exchanges: exchanges.into_iter().collect(), keeps: 0 }]);
    plan
}

/// Clients that are slow, and finish.
pub(crate) fn patience(seed: u64, random: &mut Random) -> Plan {
    let mut plan = fair(seed, random);
    plan.weather.send_bytes = random.magnitude(64 << 10, 4 << 20) as u32;
    plan.weather.receive_bytes = random.magnitude(16 << 10, 256 << 10) as u32;
    let speaks = [Speaks::Http1, Speaks::Http2, Speaks::Http1Tls, Speaks::Http2Tls];
    let clients = random.between(1, 2);
    let client = |random: &mut Random| {
        let size = random.magnitude(100_000, 3_000_000);
        // A slow rate, at which the download still ends within minutes.
        let rate = random.magnitude(4_096.max(size / 400), 100_000);
        let pause = random.magnitude(1, 2_000);
        let reads = Reading::Slow((rate * pause / 1_000).max(1) as u32, pause as u32);
        let asks = match random.below(4) {
            0 => Ask::File(size as u32),
            1 => Ask::Push((size / 20_000).max(1) as u32, 20_000),
            _ => Ask::Bytes(size as u32, Framing::Length, Ends::Whole),
        };
        Client {
            begins: random.below(100) as u32,
            speaks: *random.pick(&speaks).unwrap_or(&Speaks::Http1),
            exchanges: list([exchange(0, asks, reads, 3)]),
            keeps: 0,
        }
    };
    plan.clients = (0..clients).map(|_| client(random)).collect::<List<_>>();
    plan
}

/// A front end with many small requests, which answers the DATA frames with as many small WINDOW_UPDATE frames.
pub(crate) fn proxy(seed: u64, random: &mut Random) -> Plan {
    let mut plan = fair(seed, random);
    plan.weather.latency = random.magnitude(20, 1_000) as u32;
    let count = random.magnitude(100, 3_000) as u32;
    let requests =
        Step::Requests(octets("/hello"), count, random.between(1, 20) as u32, random.between(1, 5) as u32);
    let grants = Step::Grants(random.chance(700));
    let steps = list([preface(65_535), grants, requests, Step::Waits(2_000), Step::Finishes, Step::Stays]);
    plan.peers = list([Peer { begins: 1, tls: false, honest: true, steps }]);
    plan
}
