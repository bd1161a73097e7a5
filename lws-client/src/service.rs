//! A client as a service of its own: for programs that have no other application, and for other threads.

use crate::client::Client;
use crate::options::Options;
use crate::pool::Link;
use lws_loop_external::{
    Accepted, Application, CachedResolver, ConnectError, Driver, DriverContext, DriverOptions, ListenerId,
    Peer, SystemResolver,
};
use lws_proto::{Connection, Event};
use std::io;

/// What other threads have done on the thread of a client.
pub type Task = Box<dyn FnOnce(&mut Client) + Send>;

/// An application of the driver that is a client and nothing else. [`driver`](Self::driver) makes a service of it, for any
/// loop.
///
/// ```no_run
/// use lws_client::{ClientApp, Options};
/// use lws_loop_poll::PollLoop;
///
/// let mut service = ClientApp::driver(Options::default())?;
/// let handle = service.handle();
/// // From whatever thread, for as long as the loop runs:
/// let _ = handle.send(Box::new(|client| {
///     let request = client.get("http://localhost:7681/").expect("a URL");
///     request.collect(1 << 20, |_, outcome| println!("{:?}", outcome.map(|response| response.status())));
/// }));
/// let mut poll_loop = PollLoop::new()?;
/// poll_loop.add(service)?;
/// poll_loop.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ClientApp {
    client: Client,
}

impl ClientApp {
    /// An application around a client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// A service with a client. What the system says of names is remembered for a while: [`CachedResolver`].
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn driver(options: Options) -> io::Result<Driver<Self>> {
        let mut driver = Driver::new(Self::new(Client::new(options)), DriverOptions::default())?;
        driver.set_resolver(CachedResolver::new(SystemResolver::new()));
        Ok(driver)
    }

    /// The client. What it is asked for is done with [`act`](Self::act).
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Does what the client was asked for.
    pub fn act(&mut self, cx: &mut DriverContext<'_, Self>) {
        let next = self.client.serve(cx);
        cx.set_timer(next);
    }
}

impl Application for ClientApp {
    type State = Link;
    type Message = Task;

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn connected(&mut self, cx: &mut DriverContext<'_, Self>, link: &mut Link, connection: &mut Connection) {
        self.client.on_connected(cx, *link, connection);
        self.act(cx);
    }

    fn connect_failed(&mut self, cx: &mut DriverContext<'_, Self>, link: Link, error: ConnectError) {
        self.client.on_connect_failed(cx, link, &error);
        self.act(cx);
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, link: &mut Link, event: Event<'_>) {
        self.client.on_event(cx, *link, event);
        self.act(cx);
    }

    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, link: Link) {
        self.client.on_closed(cx, link);
        self.act(cx);
    }

    fn woken(&mut self, cx: &mut DriverContext<'_, Self>, link: &mut Link, connection: &mut Connection) {
        self.client.on_woken(cx, *link, connection);
        self.act(cx);
    }

    fn message(&mut self, cx: &mut DriverContext<'_, Self>, task: Task) {
        task(&mut self.client);
        self.act(cx);
    }

    fn timer(&mut self, cx: &mut DriverContext<'_, Self>) {
        self.act(cx);
    }
}

#[cfg(feature = "run")]
pub use runtime::Runtime;

#[cfg(feature = "run")]
mod runtime {
    use super::{Client, ClientApp, Options, io};
    use crate::failure::Failure;
    use crate::request::Request;
    use crate::response::Response;
    use lws_loop_poll::{PollLoop, ServiceId};
    use std::cell::RefCell;
    use std::fmt;
    use std::rc::Rc;
    use std::time::Duration;

    /// A client with a loop of its own, for tools that may wait.
    ///
    /// ```no_run
    /// use lws_client::{Options, Runtime};
    ///
    /// let mut runtime = Runtime::new(Options::default())?;
    /// let response = runtime.fetch("https://example.org/")?;
    /// println!("{} {}", response.status(), response.text());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub struct Runtime {
        poll_loop: PollLoop<lws_loop_external::Driver<ClientApp>>,
        service: ServiceId,
    }

    /// Bytes of a response that [`Runtime::fetch`] takes.
    const FETCH_BYTES_MAX: usize = 64 << 20;

    impl Runtime {
        /// A client without connections.
        ///
        /// # Errors
        /// The system has no descriptor left.
        pub fn new(options: Options) -> io::Result<Self> {
            let mut poll_loop = PollLoop::new()?;
            let service = poll_loop.add(ClientApp::driver(options)?)?;
            Ok(Self { poll_loop, service })
        }

        /// Lends the client.
        pub fn with<R>(&mut self, call: impl FnOnce(&mut Client) -> R) -> R {
            let now = self.poll_loop.now();
            // The service is this loop's own and is never removed.
            let service = self.poll_loop.service_mut(self.service).expect("the service is in its loop");
            service.with(now, |app, cx| {
                let result = call(app.client());
                app.act(cx);
                result
            })
        }

        /// Runs until `done` says so: it is asked after each turn.
        ///
        /// # Errors
        /// The wait fails.
        pub fn run_until(&mut self, mut done: impl FnMut() -> bool) -> io::Result<()> {
            while !done() {
                self.turn(None)?;
            }
            Ok(())
        }

        /// Runs one turn, which sleeps for `timeout` at most.
        ///
        /// # Errors
        /// The wait fails.
        pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
            self.poll_loop.run_once(timeout).map(drop)
        }

        /// The response to a GET, redirects followed.
        ///
        /// # Errors
        /// A [`Failure`], or the URL is none, or the wait fails.
        pub fn fetch(&mut self, url: &str) -> io::Result<Response> {
            let request =
                self.with(|client| client.get(url).map(|request| request.follow_redirects().build()));
            let request = request.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            self.send(request, FETCH_BYTES_MAX)?.map_err(io::Error::from)
        }

        /// The response to a request, with up to `max` bytes of content.
        ///
        /// # Errors
        /// The wait fails. What becomes of the request is in the result.
        pub fn send(&mut self, request: Request, max: usize) -> io::Result<Result<Response, Failure>> {
            let outcome = Rc::new(RefCell::new(None));
            let slot = Rc::clone(&outcome);
            self.with(|client| {
                let done = move |_: &mut crate::Context<'_>, result| drop(slot.replace(Some(result)));
                client.collect(request, max, done)
            });
            loop {
                if let Some(result) = outcome.take() {
                    return Ok(result);
                }
                self.turn(None)?;
            }
        }
    }

    impl fmt::Debug for Runtime {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Runtime").finish_non_exhaustive()
        }
    }
}
