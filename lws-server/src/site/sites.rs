//! The sites of one thread and the listeners that lead to them.
//!
//! Opens no socket: `install.rs` does, before it adds a site here.

#[cfg(feature = "proxies")]
use crate::Peer;
use crate::http::{ErrorRenderer, FieldLine};
use crate::id::SiteId;
use crate::route::endpoint::Endpoint;
use crate::site::hosts::{self, Arrival, HostTable, NameTwice};
use crate::site::install::is_any_port;
#[cfg(feature = "proxies")]
use crate::site::proxy_protocol::ProxyProtocol;
use crate::site::served::{ServedSite, invalid};
use crate::site::transition::{Bound, Place};
use crate::site::{Bind, SiteSettings, Speaks};
use crate::tls::{self, Info, Plain};
use lws_loop_external::{Address, ListenOptions, ListenerId};
use lws_proto::http::Head;
use lws_proto::{Config, Expect, HeldBytes, RenderRefusal, WallClock};
use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Weak};
#[cfg(feature = "proxies")]
use std::time::Duration;

/// The index of a listener, and which of its sites a request is for.
type ListenerTable = (usize, HostTable<Rc<ServedSite>>);

/// The sites of a thread.
pub(crate) struct Sites {
    /// In the order in which they were added.
    served: Vec<Rc<ServedSite>>,
    /// An index is used again when neither the listener nor a connection of it is left.
    listeners: Vec<Option<Listener>>,
    /// Those of listeners that do not say otherwise.
    pub(crate) listen_options: ListenOptions,
    held: HeldBytes,
    /// Configurations of listeners that have another one now, for connections that have them still.
    earlier: Vec<Weak<Config>>,
}

/// Sites that are to be served in place of those of their numbers or beside the others, sites that are to go, and which listeners were
/// opened or joined for that.
pub(crate) struct SiteExchange {
    pub(crate) come: Vec<Rc<ServedSite>>,
    go: Vec<SiteId>,
    /// All of these sites.
    changed: HashSet<SiteId>,
    /// The listeners of the sites that come, each with its index among those that the site describes.
    uses: HashMap<(SiteId, ListenerId), usize>,
    /// Those of these uses that are new.
    joined: HashSet<(SiteId, ListenerId)>,
}

/// What an exchange of sites leaves to be done.
pub(crate) struct Exchanged {
    /// The sites that are served no more.
    pub(crate) gone: Vec<Rc<ServedSite>>,
    /// Listeners that are to be closed, as no site uses them any more. Connections of theirs go on.
    pub(crate) closing: Vec<ListenerId>,
}

/// A listener that another site may share.
pub(crate) struct Shareable {
    /// What the system gave.
    pub(crate) address: Address,
    pub(crate) speaks: Speaks,
    pub(crate) tls: bool,
}

impl Shareable {
    /// The address of the listener.
    ///
    /// # Errors
    /// What is to be spoken there is not what the other site wants.
    pub(crate) fn share(self, bind: &Bind) -> io::Result<Address> {
        if self.speaks != bind.speaks || self.tls != bind.tls.is_some() || bind.speaks == Speaks::Raw {
            return Err(invalid("another site listens there for something else".into()));
        }
        Ok(self.address)
    }
}

impl SiteExchange {
    pub(crate) fn new(come: impl Iterator<Item = Rc<ServedSite>>, go: Vec<SiteId>) -> Self {
        let come: Vec<_> = come.collect();
        let changed = come.iter().map(|site| site.id).chain(go.iter().copied()).collect();
        Self { come, go, changed, uses: HashMap::new(), joined: HashSet::new() }
    }

    /// Whether a site that uses a listener uses it afterwards.
    fn keeps(&self, site: SiteId, listener: ListenerId) -> bool {
        !self.changed.contains(&site) || self.uses.contains_key(&(site, listener))
    }

    /// Whether one of the sites is, or was, served at all listeners, as it listens nowhere.
    fn is_everywhere(&self, served: &[Rc<ServedSite>]) -> bool {
        let was_there = served.iter().filter(|site| self.changed.contains(&site.id));
        was_there.chain(&self.come).any(|site| site.settings.listen.is_empty())
    }
}

/// A site that listens at a listener.
#[derive(Clone, Copy)]
struct User {
    site: SiteId,
    /// Which of the listeners that the site describes.
    listen: usize,
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
    users: Vec<User>,
    /// The one of them whose settings hold for its connections: see [`leader`].
    leader: SiteId,
    /// The sites that are served here.
    sites: HostTable<Rc<ServedSite>>,
    connections: usize,
    /// Connections that were accepted since it was opened.
    accepted: u64,
    pub(crate) config: Arc<Config>,
    pub(crate) speaks: Speaks,
    pub(crate) raw: Option<Rc<dyn Endpoint>>,
    pub(crate) tls: Option<tls::Listen>,
    /// Only this machine reaches it.
    local: bool,
    /// Field lines of the responses to requests for no site, without TLS and with it.
    fields: [Option<Rc<[FieldLine]>>; 2],
    /// What renders the errors of requests for no site.
    pub(crate) errors: Option<ErrorRenderer>,
    #[cfg(feature = "proxies")]
    proxy_protocol: Option<ProxyProtocol>,
}

impl Listener {
    /// The site that a request is for, and by what it has come.
    #[inline]
    pub(crate) fn site(&self, head: &Head<'_>, tls: Option<&Info>) -> (Option<&Rc<ServedSite>>, Arrival) {
        let arrival = Arrival { secure: tls.is_some(), local: self.local };
        let site = self.sites.find(head, arrival);
        (site.filter(|_| tls.is_none_or(|info| self.is_of_host(info, head))), arrival)
    }

    /// The site that has the name which a request is for, if its connection was made for that, too.
    pub(crate) fn site_named(&self, head: &Head<'_>, secure: bool) -> (Option<&Rc<ServedSite>>, Arrival) {
        let arrival = Arrival { secure, local: self.local };
        (self.sites.find(head, arrival), arrival)
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

    /// Does for connections from now on what another description of it says. What the driver has of TLS stays as it is.
    fn follow(&mut self, anew: Listener) {
        anew.config.wall_clock.set(self.config.wall_clock.get().unwrap_or_default());
        (self.config, self.raw, self.fields) = (anew.config, anew.raw, anew.fields);
        self.errors = anew.errors;
        #[cfg(feature = "proxies")]
        {
            self.proxy_protocol = anew.proxy_protocol;
        }
        self.leader = anew.leader;
        if let (Some(tls), Some(anew)) = (&mut self.tls, anew.tls) {
            tls.plain = anew.plain;
        }
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
        Self { served: Vec::new(), listeners: Vec::new(), listen_options, held, earlier: Vec::new() }
    }

    #[inline]
    pub(crate) fn listener(&self, index: u16) -> Option<&Listener> {
        self.listeners.get(usize::from(index))?.as_ref()
    }

    /// The listeners at which requests come in.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().flatten().filter(|listener| listener.open && listener.speaks == Speaks::Http)
    }

    /// Whether some peers of a listener stand for others.
    #[cfg(feature = "proxies")]
    pub(crate) fn has_proxies(&self, id: ListenerId) -> bool {
        let mut listeners = self.listeners.iter().flatten();
        listeners.any(|listener| listener.id == id && listener.proxy_protocol.is_some())
    }

    /// How long a peer of a listener has to say whom it stands for, if it has to.
    #[cfg(feature = "proxies")]
    pub(crate) fn proxy_header_timeout(&self, id: ListenerId, peer: &Peer) -> Option<Duration> {
        let listener = self.listeners.iter().flatten().find(|listener| listener.id == id)?;
        listener.proxy_protocol.as_ref()?.timeout_of(peer)
    }

    /// What there is to say of each listener: its address, its connections, and how many it has accepted.
    pub(crate) fn listener_metrics<T>(&self, say: impl Fn(&Address, usize, u64) -> T) -> Vec<T> {
        let listeners = self.listeners.iter().flatten();
        listeners.map(|listener| say(&listener.address, listener.connections, listener.accepted)).collect()
    }

    /// The index of a listener that accepts connections. One more connection of it is counted.
    pub(crate) fn accept(&mut self, id: ListenerId) -> Option<(u16, &Listener)> {
        let is = |listener: &Option<Listener>| listener.as_ref().is_some_and(|it| it.id == id && it.open);
        let index = self.listeners.iter().position(is)?;
        let listener = self.listeners[index].as_mut()?;
        listener.connections += 1;
        listener.accepted += 1;
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
    pub(crate) fn clock(&mut self, unix_seconds: u32) {
        for listener in self.listeners.iter().flatten() {
            listener.config.wall_clock.set(unix_seconds);
        }
        self.earlier.retain(|config| {
            let config = config.upgrade();
            config.iter().for_each(|config| config.wall_clock.set(unix_seconds));
            config.is_some()
        });
    }

    /// The open listener for which a site has asked by this address. Port 0 is another one each time.
    pub(crate) fn open_at(&self, asked: &Address) -> Option<Shareable> {
        self.asked(asked).map(|listener| Shareable {
            address: listener.address.clone(),
            speaks: listener.speaks,
            tls: listener.tls.is_some(),
        })
    }

    /// The listener for which another site has asked by this address.
    pub(crate) fn asked_for(&self, asked: &Address) -> Option<ListenerId> {
        self.asked(asked).map(|listener| listener.id)
    }

    fn asked(&self, asked: &Address) -> Option<&Listener> {
        if is_any_port(asked) {
            return None;
        }
        self.listeners.iter().flatten().find(|listener| listener.open && listener.asked == *asked)
    }

    /// The listeners that this thread has opened, each with its address.
    pub(crate) fn own_listeners(&self) -> impl Iterator<Item = (ListenerId, &Address)> {
        let own = self.listeners.iter().flatten().filter(|listener| listener.own && listener.open);
        own.map(|listener| (listener.id, &listener.address))
    }

    /// Adds the use of a listener by a site; `own` says that this thread has just opened it.
    ///
    /// # Errors
    /// There are as many listeners as there can be.
    pub(crate) fn use_listener(
        &mut self,
        exchange: &mut SiteExchange,
        site: &ServedSite,
        bound: &Bound,
        own: bool,
        unix_seconds: u32,
    ) -> io::Result<()> {
        let (used, same) =
            ((site.id, bound.id), |listener: &&mut Listener| listener.id == bound.id && listener.open);
        if let Some(listener) = self.listeners.iter_mut().flatten().find(same) {
            if !listener.users.iter().any(|user| user.site == site.id) {
                listener.users.push(User { site: site.id, listen: bound.place.listen });
                exchange.joined.insert(used);
            }
            exchange.uses.insert(used, bound.place.listen);
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
        exchange.uses.insert(used, bound.place.listen);
        exchange.joined.insert(used);
        Ok(())
    }

    /// Takes back what was opened and joined for an exchange that has failed, and answers which listeners are to be closed.
    pub(crate) fn take_back(&mut self, exchange: &SiteExchange) -> Vec<ListenerId> {
        self.drop_uses(|site, listener| !exchange.joined.contains(&(site, listener)))
    }

    /// Keeps of the uses of listeners those that `keeps` says, and answers which listeners are to be closed, as nothing uses them.
    fn drop_uses(&mut self, keeps: impl Fn(SiteId, ListenerId) -> bool) -> Vec<ListenerId> {
        let mut closing = Vec::new();
        for place in &mut self.listeners {
            if let Some(listener) = place.as_mut().filter(|listener| listener.open) {
                let id = listener.id;
                listener.users.retain(|user| keeps(user.site, id));
                if listener.users.is_empty() {
                    listener.open = false;
                    closing.extend(Some(id).filter(|_| listener.own));
                }
            }
            free_unused(place);
        }
        closing
    }

    fn describe(&self, site: &ServedSite, bound: &Bound, own: bool) -> io::Result<Listener> {
        let settings = &site.settings;
        let gone = || invalid("the threads of a server have the same listeners".into());
        let listen = settings.listen.get(bound.place.listen).ok_or_else(gone)?;
        let expect = match (listen.speaks, &site.raw) {
            (Speaks::Raw, _) => Expect::Raw,
            (Speaks::Http, Some(_)) => Expect::HttpOrRaw,
            (Speaks::Http, None) => Expect::Http,
        };
        Ok(Listener {
            id: bound.id,
            asked: bound.place.asked.clone(),
            address: bound.place.address.clone(),
            own,
            open: true,
            users: vec![User { site: site.id, listen: bound.place.listen }],
            leader: site.id,
            sites: HostTable::empty(),
            connections: 0,
            accepted: 0,
            config: Arc::new(self.config(settings, expect)),
            speaks: listen.speaks,
            raw: site.raw.clone(),
            tls: listen.tls.clone(),
            local: hosts::is_local(&bound.place.address),
            fields: [site.fields(false), site.fields(true)],
            errors: settings.errors.clone(),
            #[cfg(feature = "proxies")]
            proxy_protocol: settings.proxy_protocol.clone(),
        })
    }

    /// What the engine is to do on connections of a site's listeners.
    fn config(&self, settings: &SiteSettings, expect: Expect) -> Config {
        let SiteSettings { limits, versions, upgrade_to_http2, errors, .. } = settings.clone();
        let (wall_clock, held) = (WallClock::default(), self.held.share());
        let refusals = errors.map(|errors| Arc::new(errors) as Arc<dyn RenderRefusal>);
        Config { limits, expect, versions, upgrade_to_http2, wall_clock, held, refusals }
    }

    /// Serves the sites that come, whose listeners have been added, in place of those of their numbers or behind all others, and no
    /// more those that go. `accepted` is called before anything changes, once it is sure that it will.
    ///
    /// # Errors
    /// Two sites would have one name. Nothing has changed then but that the uses of listeners are to be taken back.
    pub(crate) fn exchange(
        &mut self,
        exchange: &SiteExchange,
        accepted: impl FnOnce(),
    ) -> io::Result<Exchanged> {
        let (served, gone) = self.exchanged(exchange);
        let tables = self.tables(exchange, &served).map_err(|NameTwice(name)| match name {
            Some(name) => invalid(format!("two sites of one listener are called {name}")),
            None => invalid("two sites of one listener have no name".into()),
        })?;
        accepted();
        self.served = served;
        for (index, table) in tables {
            if let Some(Some(listener)) = self.listeners.get_mut(index) {
                listener.sites = table;
            }
        }
        let closing = self.drop_uses(|site, listener| exchange.keeps(site, listener));
        self.describe_anew(exchange);
        Ok(Exchanged { gone, closing })
    }

    /// The sites after an exchange, and those that are not among them any more.
    fn exchanged(&self, exchange: &SiteExchange) -> (Vec<Rc<ServedSite>>, Vec<Rc<ServedSite>>) {
        let come = by_id(&exchange.come);
        let (mut served, mut gone) = (Vec::with_capacity(self.served.len() + come.len()), Vec::new());
        for site in &self.served {
            match come.get(&site.id) {
                _ if exchange.go.contains(&site.id) => gone.push(Rc::clone(site)),
                Some(other) => {
                    served.push(Rc::clone(other));
                    gone.push(Rc::clone(site));
                }
                None => served.push(Rc::clone(site)),
            }
        }
        let is_there: HashSet<SiteId> = gone.iter().map(|site| site.id).collect();
        served.extend(exchange.come.iter().filter(|site| !is_there.contains(&site.id)).cloned());
        (served, gone)
    }

    /// The tables of the listeners that an exchange touches, by their indices.
    fn tables(
        &self,
        exchange: &SiteExchange,
        served: &[Rc<ServedSite>],
    ) -> Result<Vec<ListenerTable>, NameTwice> {
        let listeners = self.listeners.iter().enumerate();
        let listeners = listeners.filter_map(|(index, listener)| listener.as_ref().map(|it| (index, it)));
        let everywhere = exchange.is_everywhere(&self.served);
        let is_user = |user: &User| exchange.changed.contains(&user.site);
        let touched = listeners.filter(|(_, listener)| everywhere || listener.users.iter().any(is_user));
        touched
            .map(|(index, listener)| {
                let users = listener.users.iter().map(|user| user.site);
                let users: HashSet<SiteId> = users.filter(|id| exchange.keeps(*id, listener.id)).collect();
                table(listener, &users, served).map(|table| (index, table))
            })
            .collect()
    }

    /// Has the listeners do from now on what their leaders say, where those have changed or are others now.
    fn describe_anew(&mut self, exchange: &SiteExchange) {
        let served: HashMap<SiteId, Rc<ServedSite>> =
            self.served.iter().map(|site| (site.id, Rc::clone(site))).collect();
        for index in 0..self.listeners.len() {
            let Some(Some(listener)) = self.listeners.get_mut(index) else { continue };
            let id = listener.id;
            for user in &mut listener.users {
                user.listen = exchange.uses.get(&(user.site, id)).copied().unwrap_or(user.listen);
            }
            let Some((leader, site)) = leader(&listener.users, &served) else { continue };
            if leader.site == listener.leader && !exchange.changed.contains(&leader.site) {
                continue;
            }
            let (asked, address) = (listener.asked.clone(), listener.address.clone());
            let bound = Bound { place: Place { listen: leader.listen, asked, address }, id };
            let own = listener.own;
            let Ok(anew) = self.describe(site, &bound, own) else { continue };
            if let Some(Some(listener)) = self.listeners.get_mut(index) {
                self.earlier.push(Arc::downgrade(&listener.config));
                listener.follow(anew);
            }
        }
    }
}

/// The site whose settings hold for the connections of a listener: the default one, or else the one with the name that comes first in the
/// alphabet. It is the same one in whatever order the sites came, so that a server which has changed its sites step by step does
/// what one does that begins with them.
fn leader<'s>(
    users: &[User],
    served: &'s HashMap<SiteId, Rc<ServedSite>>,
) -> Option<(User, &'s Rc<ServedSite>)> {
    let users = users.iter().filter_map(|user| Some((*user, served.get(&user.site)?)));
    users.min_by(|(_, one), (_, other)| one.names.order().cmp(&other.names.order()))
}

/// Sites by their numbers.
fn by_id(sites: &[Rc<ServedSite>]) -> HashMap<SiteId, &Rc<ServedSite>> {
    sites.iter().map(|site| (site.id, site)).collect()
}

/// The sites that are served at a listener: those that listen there, and those that listen nowhere.
fn table(
    listener: &Listener,
    users: &HashSet<SiteId>,
    served: &[Rc<ServedSite>],
) -> Result<HostTable<Rc<ServedSite>>, NameTwice> {
    let is_served = |site: &&Rc<ServedSite>| {
        let listens = users.contains(&site.id) || site.settings.listen.is_empty();
        listens && listener.speaks == Speaks::Http && !site.is_raw_only()
    };
    let sites = served.iter().filter(is_served);
    HostTable::new(sites.map(|site| (Rc::clone(site), &site.names)))
}

/// Frees the index of a listener that neither accepts connections nor has any.
fn free_unused(place: &mut Option<Listener>) {
    if place.as_ref().is_some_and(|listener| !listener.open && listener.connections == 0) {
        *place = None;
    }
}
