//! What the engine promises, each promise with its sentence: the RFCs by section, the contract, limits and deadlines,
//! and comparisons with parsers that others wrote.

mod abuse;
mod architecture;
mod client_ends;
mod conduct;
mod contract;
mod deadlines;
mod differential;
mod ends;
mod held;
mod limits;
mod memory;
mod pairs;
mod pairs_h2;
mod parsers;
mod quirks;
mod raw;
mod replay;
mod rfc6455;
mod rfc7540;
mod rfc7541;
mod rfc7692;
mod rfc8441;
mod rfc9110;
mod rfc9112;
mod rfc9113;
mod rfc9218;
mod sharing;
mod support;
mod tls;
mod violations;
