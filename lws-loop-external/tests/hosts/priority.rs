//! GLib: who comes first.

use super::by_hand::service;
use lws_loop_external::Clock;
use lws_loop_external::hosts::OnGlib;
use lws_loop_external::hosts::glib::MainContext;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// A source of the program is ready all the time. Whether the service is served meanwhile.
fn is_served(priority: Option<i32>) -> bool {
    let context = MainContext::new().expect("a context");
    let (service, address) = service(Clock::new());
    let on_glib = match priority {
        None => OnGlib::new(service, &context),
        Some(priority) => OnGlib::with_priority(service, &context, priority),
    };
    let on_glib = on_glib.expect("descriptors");
    let connections = || on_glib.with(|service| service.stats().connections).expect("not in a call");
    // The first dispatch is over.
    while context.iteration(false) {}
    let (mut own, mut other) = UnixStream::pair().expect("two descriptors");
    other.write_all(b"x").expect("room");
    let calls = Rc::new(Cell::new(0));
    let count = Rc::clone(&calls);
    let watch = context.watch(own.as_fd(), move || count.set(count.get() + 1)).expect("a source");
    let _client = TcpStream::connect(address).expect("a connection");
    for _ in 0..200 {
        context.iteration(false);
    }
    assert!(calls.get() >= 100, "the program's source was called {} times", calls.get());
    let served = connections() == 1;
    drop(watch);
    own.read_exact(&mut [0]).expect("what was sent");
    while connections() == 0 {
        context.iteration(true);
    }
    served
}

#[test]
fn a_service_comes_behind_what_the_program_waits_for_unless_it_is_given_another_priority() {
    assert!(!is_served(None), "behind it: 200, as idle work");
    assert!(!is_served(Some(1)));
    assert!(is_served(Some(0)), "in turn with it");
}
