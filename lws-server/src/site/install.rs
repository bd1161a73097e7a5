//! Sites that come, change and go on one thread: prepared first, with everything that can fail, and then served all at once.

use crate::Context;
use crate::id::{RouteId, SiteId};
use crate::site::served::{ServedSite, invalid};
use crate::site::sites::{Shareable, SiteExchange};
use crate::site::transition::{Bound, FirstSite, Place};
use crate::site::{Bind, Site};
use crate::ws::Backlog;
use lws_loop_external::{Address, ListenOptions, ListenerId, ListeningSocket};
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::rc::Rc;
use std::sync::Arc;

/// What is ready to happen to the sites of a thread, and has not happened yet. Dropping it leaves everything as it was, but for the
/// numbers of sites that were to come.
#[derive(Default)]
pub(crate) struct PreparedSites {
    come: Vec<PreparedSite>,
    go: Vec<SiteId>,
}

/// A site that is to be served on this thread: a new one, or one in the place of another of its number.
struct PreparedSite {
    site: Rc<ServedSite>,
    places: Vec<(Place, OpenedListener)>,
}

/// How a thread comes to a listener.
enum OpenedListener {
    /// It is open here already, or will be by a site before this one.
    Shared,
    /// It was bound for this site.
    Own(ListeningSocket),
    /// The first thread accepts its connections, and hands some of them over.
    Elsewhere,
}

impl PreparedSites {
    /// A site is to go.
    pub(crate) fn remove(&mut self, id: SiteId) {
        self.go.push(id);
    }

    /// What those who follow this thread need of the site that was prepared last.
    fn last(&self) -> Option<FirstSite> {
        let prepared = self.come.last()?;
        let places = prepared.places.iter().map(|(place, _)| place.clone());
        Some(FirstSite {
            id: prepared.site.id,
            routes: Arc::clone(&prepared.site.routes),
            paths: prepared.site.paths().map(Into::into).collect(),
            places: places.collect(),
        })
    }

    /// The listener that a site before has bound at an address.
    fn bound_at(&self, asked: &Address) -> Option<Shareable> {
        if is_any_port(asked) {
            return None;
        }
        let places = self.come.iter().flat_map(|prepared| {
            prepared.places.iter().map(move |(place, opening)| (&prepared.site, place, opening))
        });
        let (site, place, _) =
            places.rev().find(|(_, place, opening)| place.asked == *asked && !opening.is_shared())?;
        let bind = site.settings.listen.get(place.listen)?;
        Some(Shareable { address: place.address.clone(), speaks: bind.speaks, tls: bind.tls.is_some() })
    }
}

impl OpenedListener {
    fn is_shared(&self) -> bool {
        matches!(self, Self::Shared)
    }
}

impl Context<'_> {
    /// Adds a site to the server that the call is on, which has one thread: from now on requests for its names are its own. For a server
    /// with several threads there is [`Handle::add_site`](crate::Handle::add_site).
    ///
    /// An address that is a name is looked up here, which takes the time that it takes.
    ///
    /// # Errors
    /// The first thing that is wrong with the site, or what a listener met: nothing has changed then. Or the server has several
    /// threads, or its sites are being changed.
    pub fn add_site(&mut self, site: Site) -> io::Result<SiteId> {
        if self.state.group.shards.count() > 1 {
            return Err(invalid("a site of several threads is added by `Handle::add_site`".into()));
        }
        if self.state.changing.is_busy() {
            let busy = "the sites are being changed: `Handle::add_site` waits for it";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, busy));
        }
        let mut prepared = PreparedSites::default();
        let first = self.prepare(&mut prepared, site, None)?;
        match self.commit(prepared, None, || {}) {
            Ok(_) => Ok(first.id),
            Err(error) => {
                self.state.group.unregister(first.id);
                Err(error)
            }
        }
    }

    /// Removes a site on all threads: its listeners close unless other sites listen there, its WebSockets get close code 1001, and
    /// exchanges that run come to their end. Requests for its names are answered as if it had never been. Answers whether it was
    /// there.
    pub fn remove_site(&mut self, id: SiteId) -> bool {
        let was_there = self.state.group.unregister(id);
        if was_there {
            self.state.group.remove_site(id, Some(self.state.shard));
            self.uninstall(id);
        }
        was_there
    }

    /// Prepares a site on the first thread: checks it, gives it its numbers and binds what it listens on. It takes the place of
    /// the site `replaces`, if there is one.
    ///
    /// # Errors
    /// Those of [`add_site`](Self::add_site).
    pub(crate) fn prepare(
        &mut self,
        prepared: &mut PreparedSites,
        site: Site,
        replaces: Option<SiteId>,
    ) -> io::Result<FirstSite> {
        let group = Arc::clone(&self.state.group);
        let site = ServedSite::new(site, group.shards.count() > 1)?;
        let places = self.bind(prepared, &site)?;
        let numbers = match replaces {
            None => group.register(site.paths()),
            Some(id) if group.has_site(id) => group.renumber(id, site.paths()).map(|routes| (id, routes)),
            Some(_) => return Err(invalid("the site that is to be replaced is not there".into())),
        };
        let (id, routes) = numbers.ok_or_else(|| invalid("no route numbers are left".into()))?;
        let counters = group.site_counters.counters(id, self.state.shard);
        let site = Rc::new(site.numbered(id, routes).counted(counters));
        prepared.come.push(PreparedSite { site, places });
        prepared.last().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Prepares a site on a thread that follows the first.
    ///
    /// # Errors
    /// The site of this thread is another than that of the first, or its own listener met something.
    pub(crate) fn prepare_too(
        &mut self,
        prepared: &mut PreparedSites,
        site: Site,
        first: &FirstSite,
    ) -> io::Result<()> {
        let site = ServedSite::new(site, self.state.group.shards.count() > 1)?;
        if !site.paths().eq(first.paths.iter().map(|path| &**path)) {
            return Err(invalid("the threads of a server have the same routes".into()));
        }
        let mut places = Vec::new();
        for place in &first.places {
            let gone = || invalid("the threads of a server have the same listeners".into());
            let bind = site.settings.listen.get(place.listen).ok_or_else(gone)?;
            places.push((place.clone(), self.opening_too(prepared, bind, place)?));
        }
        let counters = self.state.group.site_counters.counters(first.id, self.state.shard);
        let site = Rc::new(site.numbered(first.id, Arc::clone(&first.routes)).counted(counters));
        prepared.come.push(PreparedSite { site, places });
        Ok(())
    }

    /// How this thread, which is not the first, comes to a listener.
    fn opening_too(
        &self,
        prepared: &PreparedSites,
        bind: &Bind,
        place: &Place,
    ) -> io::Result<OpenedListener> {
        let is_open =
            self.state.sites.open_at(&place.asked).is_some() || prepared.bound_at(&place.asked).is_some();
        let options = self.options(bind);
        if is_open {
            Ok(OpenedListener::Shared)
        } else if options.reuse_port && matches!(place.address, Address::Tcp(_)) {
            self.socket(&place.address, &options).map(OpenedListener::Own)
        } else {
            Ok(OpenedListener::Elsewhere)
        }
    }

    /// Serves what was prepared: all of it from now on, or nothing. `listeners` are those of the first thread, by site and place,
    /// for a thread that follows it. `accepted` is called when nothing can fail any more, before anything has changed for a request.
    ///
    /// A site that was removed since it was prepared is not served: the first thread refuses the whole, and those that follow leave
    /// it out.
    ///
    /// # Errors
    /// Two sites have one name, there are too many listeners, a site has been removed meanwhile, or the server is ending. Nothing has
    /// changed then.
    pub(crate) fn commit(
        &mut self,
        prepared: PreparedSites,
        listeners: Option<&[Vec<ListenerId>]>,
        accepted: impl FnOnce(),
    ) -> io::Result<Vec<Vec<Bound>>> {
        self.see_to_removals();
        let PreparedSites { come, go } = prepared;
        let group = Arc::clone(&self.state.group);
        let mut come: Vec<_> = come.into_iter().enumerate().collect();
        let count = come.len();
        come.retain(|(_, prepared)| group.has_site(prepared.site.id));
        if come.len() < count && listeners.is_none() {
            return Err(invalid("a site that is to be replaced has been removed meanwhile".into()));
        }
        let mut exchange = SiteExchange::new(come.iter().map(|(_, prepared)| Rc::clone(&prepared.site)), go);
        let mut bound = Vec::new();
        for (index, prepared) in come {
            let elsewhere = listeners.and_then(|listeners| listeners.get(index)).map(Vec::as_slice);
            match self.open(&mut exchange, prepared, elsewhere.unwrap_or_default()) {
                Ok(opened) => bound.push(opened),
                Err(error) => {
                    self.give_up(&exchange);
                    return Err(error);
                }
            }
        }
        let exchanged = match self.state.sites.exchange(&exchange, accepted) {
            Ok(exchanged) => exchanged,
            Err(error) => {
                self.give_up(&exchange);
                return Err(error);
            }
        };
        for listener in exchanged.closing {
            self.driver.unlisten(listener);
        }
        for site in &exchange.come {
            self.state.group.site_counters.name(site.id, site.label());
        }
        self.exchange_routes(&exchanged.gone, &exchange.come);
        Ok(bound)
    }

    /// Takes back the listeners that were opened for an exchange which has failed.
    fn give_up(&mut self, exchange: &SiteExchange) {
        for listener in self.state.sites.take_back(exchange) {
            self.driver.unlisten(listener);
        }
    }

    /// Takes away the sites that other threads have removed.
    pub(crate) fn see_to_removals(&mut self) {
        let group = Arc::clone(&self.state.group);
        for site in group.take_removed(self.state.shard) {
            self.uninstall(site);
        }
    }

    /// Takes a site away on this thread.
    pub(crate) fn uninstall(&mut self, id: SiteId) {
        let removal = PreparedSites { come: Vec::new(), go: vec![id] };
        let removed = self.commit(removal, None, || {});
        debug_assert!(removed.is_ok(), "removing a site cannot make two of the others share a name");
    }

    /// Begins what is published on routes that are new, and ends it on those that no site has any more, with their WebSockets.
    fn exchange_routes(&mut self, gone: &[Rc<ServedSite>], come: &[Rc<ServedSite>]) {
        let backlogs = |sites: &[Rc<ServedSite>]| -> Vec<(RouteId, Backlog)> {
            sites.iter().flat_map(|site| site.backlogs()).collect()
        };
        let (before, after) = (backlogs(gone), backlogs(come));
        let stays: HashSet<RouteId> = after.iter().map(|(route, _)| *route).collect();
        let was_there: HashSet<RouteId> = before.iter().map(|(route, _)| *route).collect();
        for (route, _) in before.iter().filter(|(route, _)| !stays.contains(route)) {
            for member in self.state.topics.members(*route) {
                self.driver.send_away(member.connection, member.key);
            }
            self.state.topics.remove_route(*route);
        }
        for (route, backlog) in after.into_iter().filter(|(route, _)| !was_there.contains(route)) {
            self.state.topics.add_route(route, backlog);
        }
    }

    // Listeners.

    /// Binds what a site listens on, or finds that it is bound already.
    fn bind(&self, prepared: &PreparedSites, site: &ServedSite) -> io::Result<Vec<(Place, OpenedListener)>> {
        let mut places = Vec::new();
        for (index, bind) in site.settings.listen.iter().enumerate() {
            let mut missing = None;
            let mut any = false;
            for asked in resolve(&bind.address)? {
                match self.bind_at(prepared, bind, &asked) {
                    Ok((address, opening)) => {
                        any = true;
                        places.push((Place { listen: index, asked, address }, opening));
                    }
                    // `localhost` may have an IPv6 address where there is no IPv6.
                    Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                        missing = Some(named(&asked, &error));
                    }
                    Err(error) => return Err(named(&asked, &error)),
                }
            }
            if let Some(error) = missing.filter(|_| !any) {
                return Err(error);
            }
        }
        Ok(places)
    }

    fn bind_at(
        &self,
        prepared: &PreparedSites,
        bind: &Bind,
        asked: &Address,
    ) -> io::Result<(Address, OpenedListener)> {
        let open = self.state.sites.open_at(asked).or_else(|| prepared.bound_at(asked));
        if let Some(open) = open {
            return open.share(bind).map(|address| (address, OpenedListener::Shared));
        }
        let socket = self.socket(asked, &self.options(bind))?;
        Ok((socket.address().clone(), OpenedListener::Own(socket)))
    }

    /// The socket for an address: one that the program was given, or one that is bound now.
    fn socket(&self, address: &Address, options: &ListenOptions) -> io::Result<ListeningSocket> {
        match self.state.inherited.take(address) {
            Some(socket) => Ok(socket),
            None => ListeningSocket::bind(address, options),
        }
    }

    /// Opens the listeners of a site that was prepared. `elsewhere` are those of the first thread.
    fn open(
        &mut self,
        exchange: &mut SiteExchange,
        prepared: PreparedSite,
        elsewhere: &[ListenerId],
    ) -> io::Result<Vec<Bound>> {
        let PreparedSite { site, places } = prepared;
        let mut bound = Vec::new();
        for (index, (place, opening)) in places.into_iter().enumerate() {
            let bind = site.settings.listen.get(place.listen).ok_or(io::ErrorKind::NotFound)?;
            let (id, own) = match opening {
                OpenedListener::Shared => (self.state.sites.asked_for(&place.asked), false),
                OpenedListener::Own(socket) => {
                    (Some(self.driver.listen_on(socket, &self.options(bind))?), true)
                }
                OpenedListener::Elsewhere => (elsewhere.get(index).copied(), false),
            };
            let id = id.ok_or_else(|| invalid(format!("{}: the listener has gone", place.address)))?;
            let opened = Bound { place, id };
            let seconds = self.state.unix_seconds;
            let added = self.state.sites.use_listener(exchange, &site, &opened, own, seconds);
            if added.is_err() && own {
                self.driver.unlisten(id);
            }
            added?;
            bound.push(opened);
        }
        Ok(bound)
    }

    fn options(&self, bind: &Bind) -> ListenOptions {
        let options = bind.options.as_ref().unwrap_or(&self.state.sites.listen_options);
        ListenOptions { tls: bind.tls.as_ref().map(|listen| listen.tls.clone()), ..options.clone() }
    }
}

/// Whether the system chooses the port, which is another one each time.
pub(crate) fn is_any_port(address: &Address) -> bool {
    matches!(address, Address::Tcp(address) if address.port() == 0)
}

/// All that `address` means: a name may stand for several addresses.
fn resolve(address: &str) -> io::Result<Vec<Address>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let resolved = address.to_socket_addrs();
    Ok(resolved.map_err(|error| named(address, &error))?.map(Address::Tcp).collect())
}

/// An error that says whose it is.
fn named(address: impl fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}
