//! A service whose application is `Send` moves to another thread, alone and with its host. That it may is checked when this is compiled.

use lws_loop_external::hosts::{OnPoll, poll};
use lws_loop_external::{
    Accepted, Address, Application, Clock, Driver, DriverContext, DriverOptions, ListenOptions, ListenerId,
    Peer,
};
use lws_proto::{Config, Event, Expect, Payload};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

/// Echoes, and counts in each connection.
struct Echo(Arc<Config>);

impl Application for Echo {
    type State = usize;
    type Message = String;

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        Some(Accepted { config: Arc::clone(&self.0), state: 0 })
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, bytes: &mut usize, event: Event<'_>) {
        if let Event::Raw { stream, chunk, end } = event
            && let Ok(permit) = stream.permit()
        {
            *bytes += chunk.len();
            permit.data(Payload::Copy(chunk), end).expect("an open stream").throttle();
        }
    }
}

fn moves<T: Send>(_: T) {}

/// Serves until so many bytes have been sent, in a loop of this thread, and gives the service back.
fn serve(service: Driver<Echo>, clock: Clock, bytes: u64) -> Driver<Echo> {
    let mut fds = Vec::new();
    let mut on_poll = OnPoll::new(service);
    while on_poll.service().stats().sent_bytes_total < bytes {
        let wait = on_poll.settle(&mut fds, clock.now());
        poll(&mut fds, wait.timeout(clock.now())).expect("a wait");
        for fd in &mut fds {
            on_poll.service_fd(fd, clock.now());
        }
    }
    on_poll.detach(&mut fds)
}

#[test]
fn a_service_goes_on_in_another_thread_with_its_connections() {
    let clock = Clock::new();
    let config = Config { expect: Expect::Raw, ..Config::default() };
    let mut service = Driver::new(Echo(config.into()), DriverOptions::default()).expect("descriptors");
    let address = service.with(clock.now(), |_, cx| {
        let id = cx.listen(&Address::Tcp(([127, 0, 0, 1], 0).into()), &ListenOptions::default())?;
        cx.listening_on(id)
    });
    let Ok(Address::Tcp(address)) = address else { panic!("not of TCP: {address:?}") };
    let mut client = TcpStream::connect(address).expect("a connection");
    let mut bytes = 0;
    for round in 0..4 {
        client.write_all(b"hello").expect("room");
        bytes += 5;
        service = thread::spawn(move || serve(service, clock, bytes)).join().expect("no panic");
        let mut echoed = [0; 5];
        client.read_exact(&mut echoed).expect("the echo");
        assert_eq!(&echoed, b"hello", "in round {round}");
    }
    assert_eq!(service.stats().accepted_total, 1, "the one connection went along");
}

/// Never called: it compiles if the hosts move with their services.
#[allow(dead_code)]
fn hosts_move(service: fn() -> Driver<Echo>) {
    moves(service());
    moves(OnPoll::new(service()));
    #[cfg(feature = "mio")]
    {
        use lws_loop_external::OneDescriptor;
        use lws_loop_external::hosts::OnMio;
        moves(OnMio::new(service(), 1));
        moves(OneDescriptor::new(service()).expect("descriptors"));
    }
    #[cfg(feature = "polling")]
    {
        use lws_loop_external::Trigger;
        use lws_loop_external::hosts::OnPolling;
        let poller = Arc::new(polling::Poller::new().expect("descriptors"));
        moves(OnPolling::new(service(), poller, Trigger::Edge, 1).expect("the mode"));
    }
    #[cfg(feature = "tokio")]
    moves(async move { lws_loop_external::hosts::OnTokio::new(service())?.run().await });
    #[cfg(feature = "async-io")]
    moves(async move { lws_loop_external::hosts::OnAsyncIo::new(service())?.run().await });
}
