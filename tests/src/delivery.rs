//! Every way to deliver the same bytes. However they are cut, in whosever buffer they come and however little of the
//! answer the transport takes at a time, the engine must say and send the same.

use crate::application::Application;
use crate::endpoint::{Buffer, Endpoint};
use crate::random::Random;
use crate::transcript::{Octets, Transcript};
use std::fmt;

/// What came of delivering some bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// The events of the engine.
    pub seen: Transcript,
    /// The events of each stream, in the order of their first events.
    pub streams: Vec<Transcript>,
    /// What it sent.
    pub sent: Octets,
    /// Whether it wants more.
    pub reads: bool,
    /// Whether FIN is to follow.
    pub fin: bool,
    /// Whether the transport is to be closed.
    pub over: bool,
}

impl Delivered {
    /// What has come of it so far.
    #[must_use]
    pub fn of<A: Application>(endpoint: &Endpoint<A>) -> Self {
        let interest = endpoint.connection.interest();
        Self {
            seen: endpoint.seen.clone(),
            streams: endpoint.streams.iter().map(|(_, transcript)| transcript.clone()).collect(),
            sent: Octets(endpoint.sent.clone()),
            reads: interest.read,
            fin: interest.shutdown,
            over: interest.close,
        }
    }
}

/// Up to this length an input is delivered in every two parts.
const TWO_PARTS_MAX: usize = 400;
/// Up to this length an input is delivered byte by byte.
const BYTE_BY_BYTE_MAX: usize = 40_000;
/// How often an input is cut at random.
const RANDOM_CUTS: u64 = 6;

/// Delivers `input` in every way to endpoints that `make` makes, and returns what came of it: the same each time.
pub fn deliver<A: Application>(make: impl Fn() -> Endpoint<A>, input: &[u8]) -> Delivered {
    deliver_to_end(make, input, false)
}

/// The same, and then the peer sends no more if `eof`.
pub fn deliver_to_end<A: Application>(make: impl Fn() -> Endpoint<A>, input: &[u8], eof: bool) -> Delivered {
    deliver_seen(make, input, eof, Delivered::clone)
}

/// The same, where only what `view` shows of it has to be the same. Returns what came of the whole input.
pub fn deliver_seen<A: Application, T: PartialEq + fmt::Debug>(
    make: impl Fn() -> Endpoint<A>,
    input: &[u8],
    eof: bool,
    view: impl Fn(&Delivered) -> T,
) -> Delivered {
    let run =
        |name: &str, cuts: &mut dyn FnMut(usize) -> usize, buffer: &dyn Fn(usize) -> Buffer, step: usize| {
            let mut endpoint = make();
            endpoint.step = step;
            let mut at = 0;
            let mut part = 0;
            while at < input.len() {
                let len = cuts(at).clamp(1, input.len() - at);
                endpoint.receive(&input[at..at + len], buffer(part));
                at += len;
                part += 1;
            }
            if eof {
                endpoint.receive_eof();
            }
            (name.to_owned(), Delivered::of(&endpoint))
        };
    let lent = |_: usize| Buffer::Lent;
    let own = |_: usize| Buffer::Own;
    let either = |part: usize| if part.is_multiple_of(2) { Buffer::Lent } else { Buffer::Own };

    let (_, whole) = run("whole", &mut |_| usize::MAX, &lent, usize::MAX);
    let expected = view(&whole);
    let check = |(name, found): (String, Delivered)| {
        let shown = Octets(input.to_vec());
        assert_eq!(view(&found), expected, "delivered {name}, not whole (right): {shown:?}");
    };
    check(run("whole in the engine's buffer", &mut |_| usize::MAX, &own, usize::MAX));
    check(run("whole, with a transport that takes single bytes", &mut |_| usize::MAX, &lent, 1));
    if input.len() <= BYTE_BY_BYTE_MAX {
        check(run("byte by byte", &mut |_| 1, &lent, usize::MAX));
        check(run("byte by byte in the engine's buffer", &mut |_| 1, &own, usize::MAX));
        check(run("byte by byte in alternating buffers, and out too", &mut |_| 1, &either, 1));
    }
    if input.len() <= TWO_PARTS_MAX {
        for cut in 1..input.len() {
            let name = format!("cut at {cut}");
            let mut two = |at: usize| if at == 0 { cut } else { usize::MAX };
            check(run(&name, &mut two, &lent, usize::MAX));
            check(run(&name, &mut two, &either, 7));
        }
    }
    for seed in 0..RANDOM_CUTS {
        let mut random = Random::new(seed);
        let longest = [3, 20, 300, 5_000][seed as usize % 4];
        let mut cuts = |_: usize| 1 + random.below(longest);
        check(run(&format!("in random parts, seed {seed}"), &mut cuts, &either, 1 + seed as usize * 11));
    }
    whole
}
