//! The test harness: engines in memory, every way to deliver bytes, a link between two of them, simulated time.
//!
//! Knows the public interface of the engine and nothing of its inside. What is here decides no rule of a protocol: it
//! writes down what the engine says ([`Seen`]), checks the contract on the way ([`Endpoint`]) and reads what is sent
//! with a parser of its own ([`wire`]).

pub mod application;
pub mod deflate;
pub mod delivery;
pub mod endpoint;
pub mod fuzz;
pub mod h2;
pub mod hpack;
pub mod pair;
pub mod random;
pub mod sys;
pub mod tls;
pub mod transcript;
pub mod transport;
pub mod wire;

pub use application::Application;
pub use delivery::{Delivered, deliver, deliver_seen, deliver_to_end};
pub use endpoint::Endpoint;
pub use pair::Pair;
pub use random::Random;
pub use transcript::{Octets, Seen, Transcript};
