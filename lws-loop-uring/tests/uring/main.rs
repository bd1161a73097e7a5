//! What the loop on io_uring guarantees to its services, its program and the kernel.

mod conformance;
mod descriptors;
mod uring_loop;
