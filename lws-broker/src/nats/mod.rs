//! NATS: topics are subjects. Its core delivers at most once; with JetStream what was missed is recovered. Does no I/O.
//!
//! [`Nats`] is the [`Protocol`](crate::Protocol) for [`Remote`](crate::Remote). The server speaks first; TLS begins behind its first line
//! where it is switched on. A connection does not receive what it has published itself, unless `echo` is switched on. Each topic has a
//! [subject](SubjectPrefix) of its own, so that permissions of the server can name branches of topics. A server that finds us too slow
//! (`max_pending`, `write_deadline`) ends the connection, so that a gap in all topics is reported. The servers of a cluster are learnt
//! from it.
//!
//! With [`NatsOptions::history`] all topics of a prefix are stored in one stream of JetStream, of NATS 2.9 or later. The server publishes
//! each message once more when it is stored, with its place in the stream and that of the message before it in its topic: so all processes
//! receive the messages of a topic in one order, a loss is noticed with the next message, and what was lost is read from the stream.
//!
//! Not supported: NKEYs and JWT; a subscription with wildcards. Without history, messages between the servers of a cluster can be lost
//! unnoticed by clients: use one server, or a cluster whose routes keep up.

mod command;
mod complaint;
mod history;
mod info;
mod operation;
mod protocol;
mod session;
mod stream;
mod subject;
mod url;

pub use complaint::Complaint;
pub use info::Credentials;
pub use protocol::{Nats, NatsOptions, NoServer, Tls};
pub use stream::StreamOptions;
pub use subject::{NotAPrefix, SubjectPrefix};
pub use url::NatsUrlError;

use protocol::server_endpoints;
