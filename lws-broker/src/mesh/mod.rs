//! Topics that processes on one machine share without a broker: each connects to each other by a Unix socket. Does no I/O.
//!
//! The sockets of a mesh are in one folder, which only the user of the processes may enter (mode 0700): who can enter it is trusted. Each
//! process listens on a socket there with a [name](SocketName) of its own and connects to all others; on the connection that it has made it
//! subscribes, and receives what is published. So each two processes have two connections, and a message is sent only to those that are
//! subscribed to its topic. A [`Mesh`] decides all of that; the program's own loop does what its [requests](MeshRequest) say and carries
//! octets.
//!
//! Delivery is at most once, in the order of each publisher. There is a gap in all topics when the connection to a process ends, and where
//! a process had to drop messages as this one reads too slowly. A process that ends in order [leaves](Mesh::leave) first: then nothing is
//! lost and there is no gap, so that a rolling restart goes unnoticed. One that begins publishes when those that were there already have
//! subscribed to it.

mod frame;
mod group;
mod name;
mod sink;
mod source;
mod topics;

pub use group::{ConnectError, LinkId, Mesh, MeshOptions, MeshRequest};
pub use name::{NotASocketName, SocketName};
