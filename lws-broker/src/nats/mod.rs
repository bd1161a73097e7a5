//! NATS, its core: topics are subjects, and delivery is at most once. Does no I/O.
//!
//! [`Nats`] is the [`Protocol`](crate::Protocol) for [`Remote`](crate::Remote). The server speaks first; TLS begins behind its first line
//! where it is switched on. A connection does not receive what it has published itself, unless `echo` is switched on. Each topic has a
//! [subject](SubjectPrefix) of its own, so that permissions of the server can name branches of topics. A server that finds us too slow
//! (`max_pending`, `write_deadline`) ends the connection, so that a gap in all topics is reported. The servers of a cluster are learnt
//! from it.
//!
//! Not supported: JetStream and so history; NKEYs and JWT; a subscription with wildcards. Between the servers of a cluster, messages can be
//! lost unnoticed by clients: use one server, or a cluster whose routes keep up.

mod command;
mod complaint;
mod info;
mod operation;
mod protocol;
mod session;
mod subject;

pub use complaint::Complaint;
pub use info::Credentials;
pub use protocol::{Nats, NatsOptions, NoServer, Tls};
pub use subject::{NotAPrefix, SubjectPrefix};

use protocol::server_endpoints;
