//! The parts that all examples share: an echo service for any TCP client, and the program's own work, standard
//! input and a timer.

use lws_loop_external::{
    Accepted, Address, Application, Driver, DriverContext, DriverHandle, DriverOptions, ListenOptions,
    ListenerId, Peer,
};
use lws_proto::{Config, Event, Expect, Payload, Time};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The interval of the program's own timer.
pub(crate) const TICK: Duration = Duration::from_millis(50);
/// The time that open connections get to finish when the program ends.
const DRAIN: Duration = Duration::from_secs(2);

pub(crate) struct Echo(Arc<Config>);

impl Application for Echo {
    type State = ();
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        Some(Accepted { config: Arc::clone(&self.0), state: () })
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: Event<'_>) {
        if let Event::Raw { stream, chunk, end } = event
            && let Ok(permit) = stream.permit()
            && let Ok(sent) = permit.data(Payload::Copy(chunk), end)
        {
            sent.throttle();
        }
    }

    /// The program asks the service to end.
    fn message(&mut self, cx: &mut DriverContext<'_, Self>, (): ()) {
        cx.drain(DRAIN);
    }
}

/// Listens on the address of the first argument.
pub(crate) fn service() -> io::Result<Driver<Echo>> {
    let config = Config { expect: Expect::Raw, ..Config::default() };
    let mut service = Driver::new(Echo(config.into()), DriverOptions::default())?;
    let address: Address = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:7681").parse()?;
    let address = service.with(Time::ZERO, |_, cx| {
        let id = cx.listen(&address, &ListenOptions::default())?;
        cx.listening_on(id)
    })?;
    println!("listening on {address}");
    Ok(service)
}

/// Reads standard input once. Returns false at its end, when it also asks the service to end.
pub(crate) fn own_input(echo: &DriverHandle<()>) -> io::Result<bool> {
    let n = rustix::io::read(io::stdin(), &mut [0; 4_096])?;
    println!("own input: {n} bytes");
    if n == 0 {
        // It fails only if the service has ended already.
        let _ = echo.send(());
    }
    Ok(n > 0)
}

/// The program's own work at each tick.
pub(crate) fn tick() {
    println!("tick");
}
