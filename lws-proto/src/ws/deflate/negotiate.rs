//! The four parameters, in both roles. RFC 7692 §7.1.
//!
//! Knows parameters and settings, and no message.

use super::decoder::Decoder;
use super::encoder::Encoder;
use super::{Deflate, NAME, OWN_WINDOW_BITS_MIN, WINDOW_BITS, number};
use crate::ws::{Agreement, Codec, Negotiate, Parameters, ReservedBits};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The parameters of an offer or answer, server first and then client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Terms {
    no_takeover: [bool; 2],
    window_bits: [Option<Bits>; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bits {
    /// The parameter without a value: any.
    Any,
    Max(u8),
}

const NO_TAKEOVER: [&str; 2] = ["server_no_context_takeover", "client_no_context_takeover"];
const MAX_WINDOW_BITS: [&str; 2] = ["server_max_window_bits", "client_max_window_bits"];
const SERVER: usize = 0;
const CLIENT: usize = 1;

impl Bits {
    fn max(self) -> u8 {
        match self {
            Self::Any => *WINDOW_BITS.end(),
            Self::Max(bits) => bits,
        }
    }
}

impl Terms {
    /// RFC 7692 §7: an offer or answer with an unknown parameter, one that is there twice, or an invalid value is declined.
    fn parse(parameters: &Parameters<'_>) -> Option<Self> {
        let mut terms = Self::default();
        for parameter in parameters.iter() {
            let value = parameter.value.as_deref();
            if let Some(side) = NO_TAKEOVER.iter().position(|name| *name == parameter.name) {
                if value.is_some() || core::mem::replace(&mut terms.no_takeover[side], true) {
                    return None;
                }
            } else if let Some(side) = MAX_WINDOW_BITS.iter().position(|name| *name == parameter.name) {
                let bits = match value {
                    // RFC 7692 §7.1.2.1: "A decimal integer value without leading zeroes between 8 to 15".
                    Some(value) => Bits::Max(number(value, WINDOW_BITS).ok()?),
                    None if side == CLIENT => Bits::Any,
                    None => return None,
                };
                if terms.window_bits[side].replace(bits).is_some() {
                    return None;
                }
            } else {
                return None;
            }
        }
        Some(terms)
    }

    fn write(&self) -> Parameters<'static> {
        let mut parameters = Parameters::new();
        for side in [SERVER, CLIENT] {
            if self.no_takeover[side] {
                parameters = parameters.flag(NO_TAKEOVER[side]);
            }
            parameters = match self.window_bits[side] {
                Some(Bits::Max(bits)) => parameters.value(MAX_WINDOW_BITS[side], bits),
                Some(Bits::Any) => parameters.flag(MAX_WINDOW_BITS[side]),
                None => parameters,
            };
        }
        parameters
    }

    /// Whether a server may answer this offer so. RFC 7692 §7.1.
    fn allows(&self, answer: &Self) -> bool {
        let takeover = answer.no_takeover[SERVER] || !self.no_takeover[SERVER];
        let server_bits = match (self.window_bits[SERVER], answer.window_bits[SERVER]) {
            (Some(offered), answer) => answer.is_some_and(|answer| answer.max() <= offered.max()),
            (None, _) => true,
        };
        let client_bits = match (self.window_bits[CLIENT], answer.window_bits[CLIENT]) {
            // RFC 7692 §7.1.2.2: without the parameter in the offer "the server MUST NOT include" it.
            (None, answer) => answer.is_none(),
            (Some(_), None) => true,
            // In an answer it has a value.
            (Some(_), Some(Bits::Any)) => false,
            (Some(offered), Some(Bits::Max(bits))) => bits <= offered.max(),
        };
        takeover && server_bits && client_bits
    }

    fn agreement(&self) -> Agreement {
        Agreement { parameters: self.write(), reserved_bits: ReservedBits::RSV1 }
    }
}

impl Deflate {
    /// What a client offers at best, and then without asking for a window that few servers can give.
    fn terms_offered(&self) -> Vec<Terms> {
        let settings = &self.settings;
        let full = *WINDOW_BITS.end();
        let own = settings.window_bits[CLIENT].max(OWN_WINDOW_BITS_MIN);
        let server_bits = settings.window_bits[SERVER];
        let best = Terms {
            no_takeover: settings.takeover.map(|takeover| !takeover),
            window_bits: [
                (server_bits < full).then_some(Bits::Max(server_bits)),
                Some(if own < full { Bits::Max(own) } else { Bits::Any }),
            ],
        };
        let mut offers = alloc::vec![best];
        if server_bits < full {
            offers.push(Terms { window_bits: [None, best.window_bits[CLIENT]], ..best });
        }
        offers
    }

    /// A server's answer to one offer. RFC 7692 §5.1.
    fn answer(&self, offer: Terms) -> Option<Terms> {
        let settings = &self.settings;
        let full = *WINDOW_BITS.end();
        let mut answer = Terms::default();
        for side in [SERVER, CLIENT] {
            // What the client says of itself is a hint; we hold it to it, as then nothing has to be kept for it.
            answer.no_takeover[side] = offer.no_takeover[side] || !settings.takeover[side];
        }
        let own = settings.window_bits[SERVER].max(OWN_WINDOW_BITS_MIN);
        let bits = own.min(offer.window_bits[SERVER].map_or(full, Bits::max));
        if bits < OWN_WINDOW_BITS_MIN {
            // We could not keep it.
            return None;
        }
        if offer.window_bits[SERVER].is_some() || bits < full {
            answer.window_bits[SERVER] = Some(Bits::Max(bits));
        }
        if let Some(offered) = offer.window_bits[CLIENT] {
            let bits = settings.window_bits[CLIENT].min(offered.max());
            answer.window_bits[CLIENT] = (bits < full).then_some(Bits::Max(bits));
        }
        Some(answer)
    }
}

impl Negotiate for Deflate {
    fn name(&self) -> &str {
        NAME
    }

    fn offers(&self) -> Vec<Parameters<'static>> {
        self.terms_offered().iter().map(Terms::write).collect()
    }

    fn accept(&self, offer: &Parameters<'_>) -> Option<Agreement> {
        Some(self.answer(Terms::parse(offer)?)?.agreement())
    }

    fn agree(&self, answer: &Parameters<'_>) -> Option<Agreement> {
        let answer = Terms::parse(answer)?;
        let own = answer.window_bits[CLIENT].map_or(OWN_WINDOW_BITS_MIN, Bits::max);
        let offered = self.terms_offered().iter().any(|offer| offer.allows(&answer));
        (offered && own >= OWN_WINDOW_BITS_MIN).then(|| answer.agreement())
    }

    fn codec(&self, agreement: &Agreement, is_client: bool) -> Option<Codec> {
        let terms = Terms::parse(&agreement.parameters)?;
        let (own, peer) = if is_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let settings = &self.settings;
        let window_bits = terms.window_bits[own].map_or(settings.window_bits[own], Bits::max);
        let takeover = !terms.no_takeover[own] && settings.takeover[own];
        let encoder =
            Encoder::new(Arc::clone(&self.pool), settings, window_bits.max(OWN_WINDOW_BITS_MIN), takeover);
        let decoder = Decoder::new(Arc::clone(&self.pool), settings, !terms.no_takeover[peer]);
        Some(Codec { encoder: Box::new(encoder), decoder: Box::new(decoder) })
    }
}

#[cfg(test)]
mod tests;
