//! Requests of a test.

use super::client::Outgoing;
use super::response::Response;
use super::world::{ClientIndex, World};
use lws_proto::Bytes;
use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

/// A request that has not been sent, on a connection of its own.
#[must_use = "nothing is sent before `send` or `begin`"]
pub struct Request {
    world: Rc<RefCell<World>>,
    method: String,
    target: String,
    host: String,
    fields: Vec<(String, String)>,
    content: Option<Vec<u8>>,
    http2: bool,
    from: Option<SocketAddr>,
    paused: bool,
}

impl Request {
    pub(super) fn new(world: Rc<RefCell<World>>, method: &str, target: &str) -> Self {
        Self {
            world,
            method: method.to_owned(),
            target: target.to_owned(),
            host: "localhost".to_owned(),
            fields: Vec::new(),
            content: None,
            http2: false,
            from: None,
            paused: false,
        }
    }

    /// The name that it is for. Default `localhost`.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Adds a field line.
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the content, which is sent with its length.
    pub fn content(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.content = Some(content.into());
        self
    }

    /// Sets the content, and says that it is JSON.
    pub fn json(self, content: impl Into<Vec<u8>>) -> Self {
        self.field("Content-Type", "application/json").content(content)
    }

    /// Sets the content, and says that it is a form: `a=1&b=2`.
    pub fn form(self, content: impl Into<Vec<u8>>) -> Self {
        self.field("Content-Type", "application/x-www-form-urlencoded").content(content)
    }

    /// Sends it over HTTP/2.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// The address that its connection comes from.
    pub fn from(mut self, address: SocketAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// Sends it, and waits until the response is there. The clock of the test stands still meanwhile; what other threads do is waited for.
    ///
    /// # Panics
    /// The response does not come: its handler waits for something that [`begin`](Self::begin) lets a test do.
    #[track_caller]
    pub fn send(self) -> Response {
        let what = format!("{} {}", self.method, self.target);
        let mut exchange = self.begin();
        match exchange.wait() {
            Some(response) => response,
            None => panic!("{what} is not answered{}", exchange.state()),
        }
    }

    /// Sends it and lets happen what follows, whether it is answered or not.
    ///
    /// # Panics
    /// It cannot be written: a field with a line break, for instance. Or nothing listens any more.
    #[track_caller]
    pub fn begin(self) -> Exchange {
        let content = self.content.clone();
        let exchange = self.begin_with(content.as_ref().map(Vec::len), content.is_some());
        if let Some(content) = content {
            exchange.push(content, true);
        }
        exchange
    }

    /// As [`begin`](Self::begin), with a client that reads nothing: see [`Exchange::pause`].
    ///
    /// # Panics
    /// As [`begin`](Self::begin).
    #[track_caller]
    pub fn begin_paused(mut self) -> Exchange {
        self.paused = true;
        self.begin()
    }

    /// Sends its head, whose content follows piece by piece with [`Exchange::push`].
    ///
    /// # Panics
    /// As [`begin`](Self::begin).
    #[track_caller]
    pub fn begin_streamed(self) -> Exchange {
        self.begin_with(None, true)
    }

    #[track_caller]
    fn begin_with(mut self, length: Option<usize>, has_content: bool) -> Exchange {
        if let Some(length) = length {
            self.fields.push(("Content-Length".to_owned(), length.to_string()));
        }
        let mut world = self.world.borrow_mut();
        let now = world.now();
        let mut client = world.connect(self.http2, self.from).expect("the server listens");
        let line = lws_proto::Request { method: &self.method, target: &self.target, host: &self.host };
        if let Err(misuse) = client.request(now, &line, &self.fields, !has_content) {
            panic!("{} {} cannot be written: {misuse}", self.method, self.target);
        }
        client.paused = self.paused;
        let client = world.add(client);
        drop(world);
        Exchange { world: self.world, client: Some(client) }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, host, fields, .. } = self;
        let mut debug = f.debug_struct("Request");
        debug.field("method", method).field("target", target).field("host", host).field("fields", fields);
        debug.finish_non_exhaustive()
    }
}

/// A request that was sent. When it is dropped its client leaves.
#[must_use = "its client leaves when it is dropped"]
pub struct Exchange {
    world: Rc<RefCell<World>>,
    client: Option<ClientIndex>,
}

impl Exchange {
    fn client(&self) -> ClientIndex {
        self.client.expect("it is there until the response has been taken")
    }

    /// Sends a piece of the content, which ends with it if `end`.
    pub fn push(&self, content: impl Into<Vec<u8>>, end: bool) {
        let content = Bytes::from(content.into());
        let mut world = self.world.borrow_mut();
        world.with_client(self.client(), |client, _| client.send(Outgoing::Content(content, end)));
    }

    /// The response, if all of it is there.
    pub fn response(&mut self) -> Option<Response> {
        let is_over = self.world.borrow_mut().settle_now(self.client());
        is_over.then(|| self.take())
    }

    /// The response, once other threads have done their part, and `None` if there is none even then.
    fn wait(&mut self) -> Option<Response> {
        let there = self.world.borrow_mut().settle_until(self.client(), |client| client.is_over());
        there.then(|| self.take())
    }

    fn take(&mut self) -> Response {
        let client = self.client();
        self.client = None;
        Response::new(self.world.borrow_mut().remove(client))
    }

    /// The status code of the response; 0 as long as none has come.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.world.borrow_mut().record(self.client()).status
    }

    /// Takes what has come of the content of the response since the last call.
    #[must_use]
    pub fn take_content(&self) -> Vec<u8> {
        std::mem::take(&mut self.world.borrow_mut().record(self.client()).content)
    }

    /// Reads nothing from now on, so that the connection fills up; or reads again.
    pub fn pause(&self, paused: bool) {
        self.world.borrow_mut().with_client(self.client(), |client, _| client.paused = paused);
    }

    /// Ends the direction of the client, which reads on.
    pub fn finish(&self) {
        self.world.borrow_mut().with_client(self.client(), |client, memory| client.finish(memory));
    }

    fn state(&self) -> String {
        let world = self.world.borrow();
        match world.next_deadline() {
            Some(wait) => format!(": all is quiet for {wait:?}; `begin` and `pass` let that time pass"),
            None => ", and nothing is left that could answer it".to_owned(),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let (Some(client), Ok(mut world)) = (self.client.take(), self.world.try_borrow_mut()) {
            world.remove(client);
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("client", &self.client).finish_non_exhaustive()
    }
}
