//! The requests of a load, written once before it and sent round and round.

use super::{Plan, Traffic, http, ws};

/// No deck is larger than this, however large its messages are.
const DECK_BYTES_MAX: usize = 64 << 20;
/// Different messages, so that nothing on the way can be remembered.
const MESSAGES_MIN: usize = 16;

/// Requests in a row; after the last comes the first again.
pub(crate) struct Deck {
    bytes: Vec<u8>,
    /// The length of each request.
    lengths: Vec<usize>,
    /// The payload of the first request: what its echo must be.
    first: Vec<u8>,
}

impl Deck {
    pub(crate) fn of(plan: &Plan) -> Self {
        let count = plan.depth.max(MESSAGES_MIN).min((DECK_BYTES_MAX / plan.size.max(1)).max(2));
        let mut deck = Self { bytes: Vec::new(), lengths: Vec::new(), first: Vec::new() };
        let mut seed = 12_345;
        for index in 0..count {
            let start = deck.bytes.len();
            let payload = payload(&mut seed, plan.size);
            match &plan.traffic {
                Traffic::Raw => deck.bytes.extend_from_slice(&payload),
                Traffic::WebSocket { .. } => {
                    ws::frame(&mut deck.bytes, &payload, next(&mut seed).to_be_bytes())
                }
                Traffic::Http { path, .. } => http::request(&mut deck.bytes, path, plan.port),
            }
            deck.lengths.push(deck.bytes.len() - start);
            if index == 0 {
                deck.first = payload;
            }
        }
        deck
    }

    /// All requests.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The payload of the first request.
    pub(crate) fn first(&self) -> &[u8] {
        &self.first
    }

    /// The length of request `index` and the index after it.
    pub(crate) fn step(&self, index: usize) -> (usize, usize) {
        let next = if index + 1 == self.lengths.len() { 0 } else { index + 1 };
        (self.lengths[index], next)
    }
}

/// Text like what applications send, so that a compressing server has something to do.
fn payload(seed: &mut u32, size: usize) -> Vec<u8> {
    let mut text = String::with_capacity(size + 128);
    while text.len() < size {
        let x = next(seed);
        let side = if x & 512 == 0 { "sell" } else { "buy" };
        text += &format!(
            "{{\"id\":{},\"user\":\"u{}\",\"ts\":17{x},\"px\":{}.{:02},\"side\":\"{side}\"}},",
            x >> 20,
            (x >> 8) & 4095,
            (x >> 16) & 1023,
            x % 100,
        );
    }
    text.truncate(size);
    text.into_bytes()
}

/// A linear congruential generator: the same deck in every run.
fn next(seed: &mut u32) -> u32 {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *seed
}
