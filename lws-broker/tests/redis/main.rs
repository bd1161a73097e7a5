//! A real Redis server, and several processes of ours in one: what becomes of messages when it is killed, stopped, restarted and cuts
//! connections off. The oracle judges what each subscriber received.
//!
//! Without `redis-server` in the path the tests pass without a check; `LWS_BROKERS=required` makes that an error.

mod client;
mod cluster;
mod failures;
mod refusals;
mod sentinel;
mod server;
mod topics;
