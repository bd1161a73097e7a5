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
//!
//! ```
//! use lws_broker::mesh::{Mesh, MeshOptions, MeshRequest, SocketName};
//! use lws_broker::{Broker, Bytes, Time, Topic};
//!
//! let (now, room) = (Time::ZERO, Topic::new("room/a")?);
//! let mut mesh = Mesh::new(now, SocketName::of_process(4711, 7), MeshOptions::default());
//! mesh.subscribe(now, &room);
//! mesh.publish(now, &room, Bytes::from("hello"))?;
//! assert_eq!(mesh.poll_request(), Some(MeshRequest::Scan));
//! // The folder has its own socket, and that of another process.
//! mesh.found(now, ["4711-0000000000000007.sock", "4712-0000000000000008.sock"]);
//! let Some(MeshRequest::Connect { link, name }) = mesh.poll_request() else { panic!("there is another process") };
//! assert_eq!(name.as_str(), "4712-0000000000000008.sock");
//! // Here the loop connects; it sends what is shown, and hands in what comes: `receive`.
//! mesh.connected(now, link);
//! let count = mesh.transmit(link).len();
//! mesh.transmitted(link, count);
//! # assert!(count > 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod frame;
mod group;
mod name;
mod sink;
mod source;
mod topics;

pub use group::{ConnectError, LinkId, Mesh, MeshOptions, MeshRequest};
pub use name::{NotASocketName, SocketName};
