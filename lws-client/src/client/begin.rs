//! Sending a request on its connection: the call to the engine, and the fields of the request.

use super::exchange::{Job, Stage};
use super::links::{LinkRecord, StreamUse};
use super::{Action, Client, Due, RequestId};
use crate::failure::{Cause, Failure, Phase};
use crate::options::{Expect, Options, Versions};
use crate::pool::{After, Key, Link};
use crate::proxy::ProxyKind;
use crate::request::Body;
use lws_loop_external::{Address, ConnectOptions, Speak, Target};
use lws_proto::http::Request as EngineRequest;
use lws_proto::{Connection, Misuse, Payload};
use std::net::SocketAddr;
use std::sync::Arc;

/// How the content of a request is sent.
struct Outgoing {
    /// `None` are those of the request as they are.
    fields: Option<crate::Fields>,
    content: Option<bytes::Bytes>,
    /// Whether no content follows.
    end: bool,
    /// Whether the content waits for a 100 response.
    expects: bool,
}

/// The fields of a request, copied where something is added to them.
struct Composed<'a> {
    given: &'a crate::Fields,
    changed: Option<crate::Fields>,
}

impl Composed<'_> {
    fn has(&self, name: &str) -> bool {
        self.changed.as_ref().unwrap_or(self.given).has(name)
    }

    fn change(&mut self) -> &mut crate::Fields {
        self.changed.get_or_insert_with(|| self.given.clone())
    }
}

impl Client {
    // Connections.

    /// Begins a connection that the pool wants.
    pub(super) fn open(&mut self, link: Link) {
        let Some(key) = self.pool.key(link) else { return };
        let mut lenders = Vec::new();
        if self.options.coalesce && !self.pool.is_reserved(link) {
            lenders = self.lenders(&key);
        }
        let is_at = |peer: &SocketAddr| key.addresses.contains(&Address::Tcp(*peer));
        if let Some((lender, _)) = lenders.iter().find(|(_, peer)| is_at(peer)) {
            return self.pool.lend(link, *lender);
        }
        self.connect(link, key, lenders.into_iter().map(|(_, peer)| peer).collect());
    }

    /// Begins a connection in whose place no other one may serve.
    pub(super) fn connect_alone(&mut self, link: Link) {
        if let Some(key) = self.pool.key(link) {
            self.connect(link, key, Vec::new());
        }
    }

    /// Begins a connection, unless the host turns out to be at one of these addresses.
    fn connect(&mut self, link: Link, key: Arc<Key>, shared_with: Vec<SocketAddr>) {
        // Where its name leads says whether one is begun that may turn out to be shared.
        let counted = shared_with.is_empty();
        self.stats.connects_total += u64::from(counted);
        let options = match connect_options(&key, &self.options) {
            Ok(options) => ConnectOptions { shared_with, ..options },
            Err(text) => {
                self.links.insert(link.name(), LinkRecord::new(key, self.now, counted));
                let cause = Cause::Connect(std::io::ErrorKind::InvalidInput, text.into());
                return self.not_connected(link, &Failure::new(Phase::Tls, cause));
            }
        };
        let target = target_of(&key);
        self.links.insert(link.name(), LinkRecord::new(key, self.now, counted));
        let config = Arc::clone(&self.config);
        self.act(Action::Connect { link, target, config, options: Box::new(options) });
    }

    /// Assigns a connection to a request, which begins when the connection is lent.
    pub(super) fn assign(&mut self, link: Link, id: RequestId) {
        let (now, reused) = (self.now, self.pool.is_reused(link));
        let Some(exchange) = self.exchanges.get_mut(id.0) else {
            // The request was cancelled at the same moment.
            return self.pool.release(now, link, After::Keep { hint: None });
        };
        let Some(record) = self.links.get_mut(link.name()) else { return };
        exchange.stage = Stage::Assigned(link);
        exchange.reused = reused;
        exchange.address = record.address.clone();
        let since = now - exchange.begun;
        exchange.timings.queue = if reused { since } else { record.begun - exchange.begun };
        exchange.timings.connect = since;
        exchange.timings.connects += u32::from(!reused);
        record.assigned.push(id);
        self.wake(link);
    }

    // Requests.

    /// Begins a request on its connection.
    pub(super) fn begin_on(&mut self, link: Link, id: RequestId, connection: &mut Connection) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else {
            return self.pool.release(self.now, link, After::Keep { hint: None });
        };
        exchange.tries += 1;
        let begun = match exchange.job {
            Job::Reply(_) => self.send_request(link, id, connection),
            Job::Socket(socket) => self.send_handshake(id, socket, connection),
        };
        match begun {
            Ok(stream) => self.note_begun(link, id, stream),
            Err(misuse) => self.not_begun(link, id, misuse),
        }
    }

    fn note_begun(&mut self, link: Link, id: RequestId, stream: lws_proto::StreamKey) {
        let now = self.now;
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        exchange.stage = Stage::Running { link, stream, phase: Phase::Head };
        exchange.timings.pretransfer = now - exchange.begun;
        self.stats.reused_total += u64::from(exchange.reused);
        if let Some(timeout) = exchange.options.first_byte_timeout {
            self.due.set(Due::FirstByte(id), now + timeout);
        }
        let used = match exchange.job {
            Job::Reply(_) => StreamUse::Exchange(id),
            Job::Socket(socket) => StreamUse::Handshake(id, socket),
        };
        if let Some(record) = self.links.get_mut(link.name()) {
            record.add(stream, used);
        }
    }

    /// Handles a request that the engine has refused, so that nothing of it was sent.
    fn not_begun(&mut self, link: Link, id: RequestId, misuse: Misuse) {
        let now = self.now;
        match misuse {
            Misuse::QueueFull => {
                self.pool.release(now, link, After::Keep { hint: None });
                self.pool.is_full(link);
                self.unsent(id);
            }
            // The connection is ending, and its event has not come yet.
            Misuse::WrongState | Misuse::NotOffered | Misuse::UnknownStream => {
                self.pool.release(now, link, After::Retire);
                self.unsent(id);
            }
            misuse => {
                self.pool.release(now, link, After::Keep { hint: None });
                self.finish(id, Err(Failure::new(Phase::Send, Cause::Request(misuse))));
            }
        }
    }

    fn send_request(
        &mut self,
        link: Link,
        id: RequestId,
        connection: &mut Connection,
    ) -> Result<lws_proto::StreamKey, Misuse> {
        let now = self.now;
        let outgoing = self.compose(link, id);
        let absolute = self.links.get(link.name()).is_some_and(|record| record.key.is_absolute_form());
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return Err(Misuse::UnknownStream) };
        let request = &exchange.request;
        let url = &request.url;
        let target = match &request.target {
            _ if absolute => url.absolute_form(),
            Some(target) => target.clone(),
            None => url.target(),
        };
        let host = request.host.clone().unwrap_or_else(|| url.authority());
        let line = EngineRequest { method: &exchange.request.method, target: &target, host: &host };
        let Outgoing { fields, content, end, expects } = outgoing;
        let len = content.as_ref().map_or(0, bytes::Bytes::len);
        let payload = content.map_or(Payload::Static(b""), Payload::Own);
        let fields = fields.as_ref().unwrap_or(&request.fields);
        let sent = connection.request(now, &line, fields.iter(), payload, end)?;
        exchange.upload.bytes = len as u64;
        exchange.upload.ended = end;
        let key = sent.key();
        if expects {
            self.due.set(Due::Continue(id), now + self.options.limits.continue_timeout);
        } else if !end {
            sent.again();
        }
        Ok(key)
    }

    /// Composes the fields of a request, from those of the application and the client's own.
    fn compose(&mut self, link: Link, id: RequestId) -> Outgoing {
        let key = self.links.get(link.name()).map(|record| Arc::clone(&record.key));
        let options = Arc::clone(&self.options);
        let unix_seconds = self.unix_seconds;
        let Some(exchange) = self.exchanges.get(id.0) else {
            return Outgoing { fields: None, content: None, end: true, expects: false };
        };
        let request = &exchange.request;
        let mut fields = Composed { given: &request.fields, changed: None };
        if let (Some(agent), false) = (&options.user_agent, fields.has("user-agent")) {
            fields.change().add("user-agent", agent);
        }
        // Ranges count octets of the encoded content, so no coding is accepted for them: RFC 9110 §14.1.
        let plain = fields.has("accept-encoding") || fields.has("range");
        if cfg!(feature = "decompress") && exchange.options.decompress && !plain {
            fields.change().add("accept-encoding", crate::decode::ACCEPTED);
        }
        if let Some(jar) = &self.jar
            && let Some(cookies) = jar.cookies(&request.url, unix_seconds)
        {
            fields.change().add("cookie", cookies);
        }
        #[cfg(feature = "digest")]
        if exchange.options.digest.is_some() {
            exchange.digest.authorize(exchange.options.digest.as_ref(), request, fields.change());
        }
        if let Some(key) = &key
            && key.is_absolute_form()
            && let Some(authorization) = key.proxy.as_ref().and_then(crate::Proxy::authorization)
        {
            fields.change().set("proxy-authorization", authorization);
        }
        let expects = exchange.expects(&options);
        if expects {
            fields.change().set("expect", "100-continue");
        }
        let (content, end) = match &request.body {
            Body::Empty => (None, true),
            Body::Bytes(bytes) if !expects => (Some(bytes.clone()), true),
            Body::Bytes(_) | Body::Stream { .. } => (None, false),
        };
        if let (false, Some(length)) = (end, request.body.length()) {
            fields.change().set("content-length", length.to_string());
        }
        Outgoing { fields: fields.changed, content, end, expects }
    }
}

impl super::Exchange {
    /// Whether content waits for 100.
    fn expects(&self, options: &Options) -> bool {
        let empty = matches!(self.request.body, Body::Empty);
        if empty || self.without_expect {
            return false;
        }
        match self.options.expect {
            Expect::Always => true,
            Expect::Never => false,
            Expect::Auto => {
                self.request.body.length().is_none_or(|length| length >= options.limits.expect_bytes_min)
            }
        }
    }
}

/// The target of a connection: an override of the host, the proxy, or the host itself.
fn target_of(key: &Key) -> Target {
    match &key.proxy {
        Some(proxy) => (proxy.host.as_str(), proxy.port).into(),
        None if !key.addresses.is_empty() => Target::Addresses(key.addresses.clone()),
        None => (plain_host(&key.origin.host), key.origin.port).into(),
    }
}

/// A host without the brackets of an IPv6 address.
pub(super) fn plain_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn connect_options(key: &Key, options: &Options) -> Result<ConnectOptions, String> {
    let mut connect = options.connect.clone();
    connect.bind = key.bind;
    connect.bind_device.clone_from(&key.bind_device);
    if key.addresses.iter().any(|address| !matches!(address, Address::Tcp(_))) {
        // Binding to an address or an interface is for TCP only.
        (connect.bind, connect.bind_device) = (None, None);
    }
    let proxy = key.proxy.as_ref().map(|proxy| (proxy.kind, proxy));
    (connect.speak, connect.tls) = match proxy {
        Some((ProxyKind::Socks5, _)) => (Speak::Raw, None),
        Some((ProxyKind::Http, proxy)) => {
            let tls = proxy.tls.as_ref();
            let provider = tls.map(|tls| tls.provider(&proxy.host, &["http/1.1"])).transpose()?;
            (Speak::Http, provider)
        }
        None => {
            let tls = key.tls.as_ref();
            let host = plain_host(&key.origin.host);
            let provider = tls.map(|tls| tls.provider(host, key.alpn())).transpose()?;
            (if key.versions == Versions::Http2 { Speak::Http2 } else { Speak::Http }, provider)
        }
    };
    Ok(connect)
}
