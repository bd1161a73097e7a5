//! A handler that runs its host's loop again, as a dialog does: the service is in a call, the loop has nothing to do for it and sleeps.

use super::by_hand::{Echo, service};
use lws_loop_external::hosts::{OnCallbacks, Watch};
use lws_loop_external::{Clock, Driver};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long the dialog is open.
const DIALOG: Duration = Duration::from_millis(80);
/// Turns that the inner loop has with a timer of its own every 10 ms, and some more that come of nothing. A loop that spins has many thousands.
const TURNS_MAX: usize = 200;

/// `host` makes a host on a loop; `turn` lets that wait once.
fn check<W: Watch>(
    host: impl FnOnce(Driver<Echo>) -> OnCallbacks<Driver<Echo>, W>,
    turn: impl Fn() + 'static,
) {
    let (service, address) = service(Clock::new());
    let hosted = host(service);
    let turn = Rc::new(turn);
    let inner = Rc::clone(&turn);
    let turns = Rc::new(Cell::new(None));
    let noted = Rc::clone(&turns);
    let other = Cell::new(None);
    let set = hosted.with(|service| {
        service.application_mut().on_event = Box::new(move || {
            if noted.get().is_some() {
                return;
            }
            // There is something to do for the service all the while.
            other.set(TcpStream::connect(address).ok());
            let (begin, mut count) = (Instant::now(), 0);
            while begin.elapsed() < DIALOG {
                inner();
                count += 1;
            }
            noted.set(Some(count));
        });
    });
    assert_eq!(set, Some(()));
    let mut client = TcpStream::connect(address).expect("a connection");
    while turns.get().is_none() {
        turn();
    }
    let count = turns.get().unwrap_or_default();
    assert!(count < TURNS_MAX, "the loop inside the handler had {count} turns");
    // And outside it goes on, with what has come meanwhile.
    while hosted.with(|service| service.stats().connections) != Some(2) {
        turn();
    }
    client.set_nonblocking(true).expect("a socket");
    client.write_all(b"hello").expect("room");
    let mut echoed = [0; 5];
    while client.read_exact(&mut echoed).is_err() {
        turn();
    }
    assert_eq!(&echoed, b"hello");
}

#[cfg(feature = "glib")]
#[test]
fn glib_sleeps_inside_a_handler() {
    use lws_loop_external::hosts::OnGlib;
    use lws_loop_external::hosts::glib::MainContext;
    let context = Rc::new(MainContext::new().expect("a context"));
    let _tick = context.every(Duration::from_millis(10), || {}).expect("a timer");
    let at = Rc::clone(&context);
    check(
        |service| OnGlib::new(service, &context).expect("descriptors"),
        move || {
            at.iteration(true);
        },
    );
}

#[cfg(feature = "libev")]
#[test]
fn libev_sleeps_inside_a_handler() {
    use lws_loop_external::hosts::OnLibev;
    use lws_loop_external::hosts::libev::Loop;
    let ev_loop = Rc::new(Loop::new().expect("a loop"));
    let _tick = ev_loop.every(Duration::from_millis(10), || {});
    let at = Rc::clone(&ev_loop);
    check(|service| OnLibev::new(service, &ev_loop).expect("descriptors"), move || at.run_once());
}
