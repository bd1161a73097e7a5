//! Faults that were reported by others, each as the smallest run that showed it: one plan for which no oracle may have
//! a finding.

use lws_simulation::plan::*;
use lws_simulation::{Plan, Weather};

fn check(plan: &Plan) {
    plan.run().unwrap_or_else(|failure| panic!("{failure}"));
}

fn exchange(begins: u32, asks: Ask) -> Exchange {
    Exchange { begins, asks, reads: Reading::Steady, urgency: 3 }
}

fn client<const N: usize>(speaks: Speaks, exchanges: [Exchange; N]) -> Client {
    Client { begins: 1, speaks, exchanges: list(exchanges), keeps: 0 }
}

fn of_clients<const N: usize>(clients: [Client; N]) -> Plan {
    Plan { clients: list(clients), ..Plan::calm(1) }
}

fn of_peer<const N: usize>(honest: bool, steps: [Step; N]) -> Plan {
    Plan { peers: list([Peer { begins: 1, tls: false, honest, steps: list(steps) }]), ..Plan::calm(1) }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn window_update(stream: u32, increment: u32) -> Step {
    Step::Says(octets(frame(8, 0, stream, &increment.to_be_bytes())))
}

/// The preface, SETTINGS with a window for each stream, and an acknowledgement.
fn preface(window: u32) -> Step {
    let settings = [&[0, 4], &window.to_be_bytes()[..]].concat();
    let said = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*frame(4, 0, 0, &settings), &frame(4, 1, 0, b"")];
    Step::Says(octets(said.concat()))
}

fn asks(target: &str) -> Step {
    Step::Requests(octets(target), 1, 1, 1)
}

const ALL: [Speaks; 4] = [Speaks::Http1, Speaks::Http2, Speaks::Http1Tls, Speaks::Http2Tls];
const DELIVERIES: [Delivery; 3] = [Delivery::Level, Delivery::Edge, Delivery::OneShot];

// Windows and fairness.

#[test]
fn a_file_waits_for_the_window_of_the_connection() {
    check(&of_peer(
        false,
        [
            preface(65_535),
            asks("/files/3000000"),
            Step::Waits(200),
            asks("/files/1000"),
            Step::Waits(1_000),
            window_update(0, 4_000_000),
            window_update(1, 3_000_000),
            Step::Waits(1_000),
            Step::Finishes,
            Step::Stays,
        ],
    ));
}

#[test]
fn small_responses_come_beside_a_download_that_takes_the_whole_window() {
    for (large, small) in
        [("/files/3000000", "/hello"), ("/bytes?n=3000000", "/files/1000"), ("/files/3000000", "/files/1000")]
    {
        let steps = [
            preface(0x7fff_ffff),
            Step::Grants(false),
            asks(large),
            Step::Waits(300),
            asks(small),
            asks(large),
            Step::Waits(300),
            asks(small),
            Step::Waits(30_000),
            Step::Finishes,
            Step::Stays,
        ];
        let plan = of_peer(true, steps);
        check(&Plan { weather: Weather { latency: 10_000, ..Weather::CALM }, ..plan });
    }
}

#[test]
fn a_front_end_that_gives_back_little_by_little_is_served() {
    for streams in [false, true] {
        let requests = Step::Requests(octets("/hello"), 2_500, 20, 2);
        let steps = [
            preface(65_535),
            Step::Grants(streams),
            requests,
            Step::Waits(1_000),
            Step::Finishes,
            Step::Stays,
        ];
        check(&of_peer(true, steps));
    }
}

// Ends.

#[test]
fn a_response_that_is_cut_is_no_success_for_any_client() {
    for speaks in ALL {
        for framing in [Framing::Length, Framing::Streamed] {
            check(&of_clients([client(
                speaks,
                [exchange(0, Ask::Bytes(100_000, framing, Ends::Aborts(50_000)))],
            )]));
        }
    }
}

#[test]
fn a_handler_is_not_asked_for_content_of_a_response_to_head() {
    for speaks in ALL {
        check(&of_clients([client(speaks, [exchange(0, Ask::Head(1_000_000)), exchange(0, Ask::Hello)])]));
    }
}

#[test]
fn a_websocket_over_http2_that_has_ended_on_both_sides_is_not_reset() {
    let mut block =
        b"\x86\x04\x14/push?n=20&size=9000\x01\x01a\x02\x07CONNECT\x00\x09:protocol\x09websocket".to_vec();
    block.extend(b"\x00\x15sec-websocket-version\x0213");
    let close = b"\x88\x82\x01\x02\x03\x04\x02\xea";
    let one = [frame(1, 4, 1, &block), frame(0, 1, 1, close)].concat();
    let two = [frame(1, 4, 1, &block), frame(0, 0, 1, close), frame(0, 1, 1, b"")].concat();
    for said in [one, two] {
        let steps =
            [preface(65_535), Step::Says(octets(said)), Step::Waits(500), Step::Finishes, Step::Stays];
        check(&of_peer(false, steps));
    }
}

// Peers that have vanished.

#[test]
fn a_websocket_opening_with_content_is_answered_and_ends() {
    for content in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let opening = format!(
            "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{content}\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        for sent in ["", "\x01\x02\x03\x04\x05", "5\r\nhello\r\n0\r\n\r\nmore"] {
            let said = || Step::Says(octets(format!("{opening}{sent}")));
            check(&of_peer(false, [said(), Step::Stays]));
            check(&of_peer(false, [said()]));
        }
    }
}

#[test]
fn a_peer_that_leaves_a_silent_exchange_is_noticed() {
    let request = || Step::Says(octets("GET /silence HTTP/1.1\r\nHost: a\r\n\r\n"));
    for delivery in DELIVERIES {
        for plan in [
            of_peer(false, [request(), Step::Waits(100)]),
            of_peer(false, [request(), Step::Waits(100), Step::Resets]),
            of_peer(false, [request(), Step::Finishes, Step::Stays]),
            of_peer(false, [preface(65_535), asks("/silence"), Step::Waits(100)]),
            of_peer(false, [preface(65_535), asks("/silence"), Step::Finishes, Step::Stays]),
            of_peer(
                false,
                [preface(65_535), asks("/files/3000000"), Step::Waits(100), Step::Finishes, Step::Stays],
            ),
        ] {
            check(&Plan { delivery, ..plan });
        }
    }
}

#[test]
fn a_reset_ends_a_connection_that_takes_no_input() {
    for delivery in DELIVERIES {
        let head = Step::Says(octets("POST /silence HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"));
        let content = Step::Says(octets(vec![b'x'; 60_000]));
        let steps = [head, content, Step::Waits(500), Step::Resets];
        check(&Plan { delivery, ..of_peer(false, steps) });
    }
}

// Peers that are slow.

#[test]
fn a_client_that_goes_on_reading_is_served_to_the_end() {
    for speaks in ALL {
        for asks in [Ask::Bytes(7_000_000, Framing::Length, Ends::Whole), Ask::Push(350, 20_000)] {
            let mut plan = of_clients([client(speaks, [exchange(0, asks)])]);
            plan.clients = plan
                .clients
                .iter()
                .cloned()
                .map(|mut client| {
                    let slow = |exchange: &Exchange| Exchange {
                        reads: Reading::Slow(5_000, 200),
                        ..exchange.clone()
                    };
                    client.exchanges = client.exchanges.iter().map(slow).collect();
                    client
                })
                .collect();
            plan.weather.send_bytes = 4 << 20;
            plan.weather.receive_bytes = 64 << 10;
            check(&plan);
        }
    }
}

// Clients.

#[test]
fn a_client_waits_for_no_server_without_an_end() {
    for speaks in ALL {
        for framing in [Framing::Length, Framing::Streamed] {
            check(&of_clients([client(
                speaks,
                [exchange(0, Ask::Bytes(50_000, framing, Ends::Stalls(20_000)))],
            )]));
        }
        check(&of_clients([client(speaks, [exchange(0, Ask::Refused(50_000, Ends::Stalls(20_000)))])]));
        check(&of_clients([client(speaks, [exchange(0, Ask::Silence)])]));
        let vanishes = Exchange { reads: Reading::Vanishes(1_000), ..exchange(0, Ask::File(70_000)) };
        check(&of_clients([client(speaks, [vanishes])]));
    }
}

// The mailbox, and draining.

#[test]
fn many_messages_are_delivered_in_turns() {
    check(&Plan { posts: 40_000, ..of_clients([client(Speaks::Http1, [exchange(900, Ask::Hello)])]) });
}

#[test]
fn a_message_that_was_accepted_is_delivered() {
    check(&Plan { posts: 3, ..Plan::calm(1) });
}

#[test]
fn a_peer_that_has_reset_is_not_reported_as_one_of_this_machine() {
    for seed in 0..20 {
        let request = Step::Says(octets("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
        let plan = of_peer(false, [request, Step::Waits(20), Step::Resets]);
        // The peer resets while accepting is paused.
        check(&Plan { seed, weather: Weather { exhausted: 600, ..Weather::CALM }, ..plan });
    }
}

#[test]
fn what_lies_in_a_socket_is_answered_before_a_drain_ends() {
    for seed in 0..20 {
        let request = || Step::Says(octets("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
        let peer = |begins| Peer {
            begins,
            tls: false,
            honest: false,
            steps: list([Step::Waits(1), request(), Step::Stays]),
        };
        let weather = Weather { late: 700, ..Weather::CALM };
        check(&Plan {
            seed,
            weather,
            peers: (0..30).map(peer).collect(),
            drains: Some(25),
            ..Plan::calm(seed)
        });
    }
}
