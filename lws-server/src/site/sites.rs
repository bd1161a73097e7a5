//! The sites of one thread and the listeners that lead to them.
//!
//! Opens no socket: `install.rs` does, before it adds a site here.

use crate::http::FieldLine;
use crate::id::SiteId;
use crate::route::endpoint::Endpoint;
use crate::site::addition::Bound;
use crate::site::hosts::{self, Arrival, HostTable, NameTwice};
use crate::site::served::{ServedSite, invalid};
use crate::site::{SiteSettings, Speaks};
use crate::tls::{self, Info, Plain};
use lws_loop_external::{Address, ListenOptions, ListenerId};
use lws_proto::http::Head;
use lws_proto::{Config, Expect, HeldBytes, WallClock};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// The sites of a thread.
pub(crate) struct Sites {
    /// In the order in which they were added.
    served: Vec<Rc<ServedSite>>,
    /// An index is used again when neither the listener nor a connection of it is left.
    listeners: Vec<Option<Listener>>,
    /// Those of listeners that do not say otherwise.
    pub(crate) listen_options: ListenOptions,
    held: HeldBytes,
}

/// A listener of the server.
pub(crate) struct Listener {
    id: ListenerId,
    /// What a site has asked for, by which others find it.
    asked: Address,
    /// What the system gave.
    address: Address,
    /// Whether this thread has opened it; otherwise the first one has, and hands its connections over.
    own: bool,
    /// Whether it still accepts connections.
    open: bool,
    /// The sites that listen here. The last one that is removed closes it.
    users: Vec<SiteId>,
    /// The sites that are served here.
    sites: HostTable<Rc<ServedSite>>,
    connections: usize,
    pub(crate) config: Arc<Config>,
    pub(crate) speaks: Speaks,
    pub(crate) raw: Option<Rc<dyn Endpoint>>,
    pub(crate) tls: Option<tls::Listen>,
    /// Only this machine reaches it.
    local: bool,
    /// Field lines of the responses to requests for no site, without TLS and with it.
    fields: [Option<Rc<[FieldLine]>>; 2],
}

impl Listener {
    /// The site that a request is for, and by what it has come.
    #[inline]
    pub(crate) fn site(
        &self,
        head: &Head<'_>,
        target: &str,
        tls: Option<&Info>,
    ) -> (Option<&Rc<ServedSite>>, Arrival) {
        let arrival = Arrival { secure: tls.is_some(), local: self.local };
        let site = self.sites.find(head, target, arrival);
        (site.filter(|_| tls.is_none_or(|info| self.is_of_host(info, head))), arrival)
    }

    /// The site that has the name which a request is for, if its connection was made for that, too.
    pub(crate) fn site_named(&self, head: &Head<'_>, secure: bool) -> (Option<&Rc<ServedSite>>, Arrival) {
        let arrival = Arrival { secure, local: self.local };
        (self.sites.find(head, head.target(), arrival), arrival)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether a request is for the host that its connection was made for: that of a client which asked for no name was made
    /// for the default one. RFC 9110 §7.4.
    fn is_of_host(&self, info: &Info, head: &Head<'_>) -> bool {
        let Some(authority) = head.authority() else { return true };
        let (asked, host) = (info.server_name.as_deref(), authority.host());
        asked.is_some_and(|name| host.eq_ignore_ascii_case(name))
            || self.tls.as_ref().is_some_and(|listen| listen.tls.provider.same_host(asked, host))
    }

    /// Field lines of the responses to requests for no site.
    pub(crate) fn fields(&self, secure: bool) -> Option<Rc<[FieldLine]>> {
        self.fields[usize::from(secure)].clone()
    }

    /// What becomes of peers without TLS.
    pub(crate) fn plain(&self) -> Plain {
        self.tls.as_ref().map_or_else(Plain::default, |listen| listen.plain)
    }
}

impl Sites {
    pub(crate) fn new(listen_options: ListenOptions, held: HeldBytes) -> Self {
        Self { served: Vec::new(), listeners: Vec::new(), listen_options, held }
    }

    #[inline]
    pub(crate) fn listener(&self, index: u16) -> Option<&Listener> {
        self.listeners.get(usize::from(index))?.as_ref()
    }

    /// The listeners at which requests come in.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().flatten().filter(|listener| listener.open && listener.speaks == Speaks::Http)
    }

    /// The index of a listener that accepts connections. One more connection of it is counted.
    pub(crate) fn accept(&mut self, id: ListenerId) -> Option<(u16, &Listener)> {
        let is = |listener: &Option<Listener>| listener.as_ref().is_some_and(|it| it.id == id && it.open);
        let index = self.listeners.iter().position(is)?;
        let listener = self.listeners[index].as_mut()?;
        listener.connections += 1;
        Some((u16::try_from(index).ok()?, listener))
    }

    /// A connection of a listener is over.
    pub(crate) fn disconnected(&mut self, index: u16) {
        if let Some(place) = self.listeners.get_mut(usize::from(index)) {
            if let Some(listener) = place {
                listener.connections = listener.connections.saturating_sub(1);
            }
            free_unused(place);
        }
    }

    /// A new second of the wall clock has begun.
    pub(crate) fn clock(&self, unix_seconds: u32) {
        for listener in self.listeners.iter().flatten() {
            listener.config.wall_clock.set(unix_seconds);
        }
    }

    /// The listener that another site has opened at an address, and where that is.
    ///
    /// # Errors
    /// What is to be spoken there is not what the other site wants.
    pub(crate) fn shared(
        &self,
        asked: &Address,
        speaks: Speaks,
        tls: bool,
    ) -> io::Result<Option<(ListenerId, Address)>> {
        let Some(listener) = self.open_at(asked) else { return Ok(None) };
        if listener.speaks != speaks || listener.tls.is_some() != tls || speaks == Speaks::Raw {
            return Err(invalid("another site listens there for something else".into()));
        }
        Ok(Some((listener.id, listener.address.clone())))
    }

    /// The listener for which another site has asked by this address.
    pub(crate) fn asked_for(&self, asked: &Address) -> Option<ListenerId> {
        self.open_at(asked).map(|listener| listener.id)
    }

    /// The open listener for which a site has asked by this address. Port 0 is another one each time.
    fn open_at(&self, asked: &Address) -> Option<&Listener> {
        if matches!(asked, Address::Tcp(address) if address.port() == 0) {
            return None;
        }
        self.listeners.iter().flatten().find(|listener| listener.open && listener.asked == *asked)
    }

    /// Adds the use of a listener by a site; `own` says that this thread has just opened it.
    ///
    /// # Errors
    /// There are as many listeners as there can be.
    pub(crate) fn use_listener(
        &mut self,
        site: &ServedSite,
        bound: &Bound,
        own: bool,
        unix_seconds: u32,
    ) -> io::Result<()> {
        let same = |listener: &&mut Listener| listener.id == bound.id && listener.open;
        if let Some(listener) = self.listeners.iter_mut().flatten().find(same) {
            if !listener.users.contains(&site.id) {
                listener.users.push(site.id);
            }
            return Ok(());
        }
        let listener = self.describe(site, bound, own)?;
        listener.config.wall_clock.set(unix_seconds);
        match self.listeners.iter().position(Option::is_none) {
            Some(free) => self.listeners[free] = Some(listener),
            // The last index stands for no listener.
            None if self.listeners.len() < usize::from(u16::MAX) => self.listeners.push(Some(listener)),
            None => return Err(invalid("too many listeners".into())),
        }
        Ok(())
    }

    fn describe(&self, site: &ServedSite, bound: &Bound, own: bool) -> io::Result<Listener> {
        let settings = &site.settings;
        let gone = || invalid("the threads of a server have the same listeners".into());
        let listen = settings.listen.get(bound.listen).ok_or_else(gone)?;
        let expect = match (listen.speaks, &site.raw) {
            (Speaks::Raw, _) => Expect::Raw,
            (Speaks::Http, Some(_)) => Expect::HttpOrRaw,
            (Speaks::Http, None) => Expect::Http,
        };
        Ok(Listener {
            id: bound.id,
            asked: bound.asked.clone(),
            address: bound.address.clone(),
            own,
            open: true,
            users: vec![site.id],
            sites: HostTable::empty(),
            connections: 0,
            config: Arc::new(self.config(settings, expect)),
            speaks: listen.speaks,
            raw: site.raw.clone(),
            tls: listen.tls.clone(),
            local: hosts::is_local(&bound.address),
            fields: [site.fields(false), site.fields(true)],
        })
    }

    /// What the engine is to do on connections of a site's listeners.
    fn config(&self, settings: &SiteSettings, expect: Expect) -> Config {
        let SiteSettings { limits, versions, upgrade_to_http2, .. } = settings.clone();
        let (wall_clock, held) = (WallClock::default(), self.held.share());
        Config { limits, expect, versions, upgrade_to_http2, wall_clock, held }
    }

    /// Serves a site, whose listeners have been added.
    ///
    /// # Errors
    /// Another site has one of its names. Nothing has changed then.
    pub(crate) fn serve(&mut self, site: Rc<ServedSite>) -> io::Result<()> {
        self.served.push(site);
        let result = self.name_sites();
        if result.is_err() {
            self.served.pop();
        }
        result
    }

    /// Makes the tables of all listeners anew.
    fn name_sites(&mut self) -> io::Result<()> {
        let listeners = self.listeners.iter().map(Option::as_ref);
        let tables: Vec<_> = listeners
            .map(|listener| listener.map(|listener| self.table(listener)).transpose())
            .collect::<Result<_, _>>()
            .map_err(|NameTwice(name)| match name {
                Some(name) => invalid(format!("two sites of one listener are called {name}")),
                None => invalid("two sites of one listener have no name".into()),
            })?;
        for (listener, table) in self.listeners.iter_mut().zip(tables) {
            if let (Some(listener), Some(table)) = (listener, table) {
                listener.sites = table;
            }
        }
        Ok(())
    }

    /// The sites that are served at a listener: those that listen there, and those that listen nowhere.
    fn table(&self, listener: &Listener) -> Result<HostTable<Rc<ServedSite>>, NameTwice> {
        let is_served = |site: &&Rc<ServedSite>| {
            let listens = listener.users.contains(&site.id) || site.settings.listen.is_empty();
            listens && listener.speaks == Speaks::Http && !site.is_raw_only()
        };
        let sites = self.served.iter().filter(is_served);
        HostTable::new(sites.map(|site| (Rc::clone(site), &site.names)))
    }

    /// Takes a site away, and answers with it the listeners that are to be closed, as no other site uses them. Connections of
    /// theirs go on.
    pub(crate) fn remove(&mut self, id: SiteId) -> (Option<Rc<ServedSite>>, Vec<ListenerId>) {
        let index = self.served.iter().position(|site| site.id == id);
        let site = index.map(|index| self.served.remove(index));
        let mut closing = Vec::new();
        for place in &mut self.listeners {
            if let Some(listener) = place.as_mut().filter(|listener| listener.users.contains(&id)) {
                listener.users.retain(|user| *user != id);
                if listener.users.is_empty() {
                    listener.open = false;
                    closing.extend(Some(listener.id).filter(|_| listener.own));
                }
            }
            free_unused(place);
        }
        // Removing a site cannot make two of the others share a name.
        let named = self.name_sites();
        debug_assert!(named.is_ok());
        (site, closing)
    }
}

/// Frees the index of a listener that neither accepts connections nor has any.
fn free_unused(place: &mut Option<Listener>) {
    if place.as_ref().is_some_and(|listener| !listener.open && listener.connections == 0) {
        *place = None;
    }
}
