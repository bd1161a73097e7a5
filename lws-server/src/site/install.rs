//! Sites that come and go on one thread: listeners are opened and closed, routes get their logs.

use crate::Context;
use crate::id::SiteId;
use crate::site::addition::Bound;
use crate::site::served::{ServedSite, invalid};
use crate::site::{Bind, Site};
use crate::thread::command::Followed;
use lws_loop_external::{Address, ListenOptions};
use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::rc::Rc;

impl Context<'_> {
    /// Adds a site to the server that the call is on, which has one thread: from now on requests for its names are its own. For a server
    /// with several threads there is [`Handle::add_site`](crate::Handle::add_site).
    ///
    /// An address that is a name is looked up here, which takes the time that it takes.
    ///
    /// # Errors
    /// The first thing that is wrong with the site, or what a listener met: nothing has changed then. Or the server has several
    /// threads.
    pub fn add_site(&mut self, site: Site) -> io::Result<SiteId> {
        if self.state.group.shards.count() > 1 {
            return Err(invalid("a site of several threads is added by `Handle::add_site`".into()));
        }
        self.install(site, None).map(|followed| followed.id)
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

    /// Serves a site on this thread: as the first one, or as one that follows the first.
    ///
    /// # Errors
    /// Those of [`add_site`](Self::add_site); or the site of this thread is another than that of the first.
    pub(crate) fn install(&mut self, site: Site, followed: Option<&Followed>) -> io::Result<Followed> {
        let group = &self.state.group;
        let site = ServedSite::new(site, group.shards.count() > 1)?;
        let (id, first_route) = match followed {
            None => {
                group.register(site.paths()).ok_or_else(|| invalid("no route numbers are left".into()))?
            }
            Some(followed) if group.has_paths(followed.id, site.paths()) => {
                (followed.id, followed.first_route)
            }
            Some(_) => return Err(invalid("the threads of a server have the same routes".into())),
        };
        let site = Rc::new(site.numbered(id, first_route));
        let opened = match followed {
            None => self.listen(&site),
            Some(followed) => self.listen_too(&site, &followed.bound),
        };
        let served = opened.and_then(|bound| self.state.sites.serve(Rc::clone(&site)).map(|()| bound));
        let bound = served.inspect_err(|_| {
            self.close_listeners(id);
            if followed.is_none() {
                self.state.group.unregister(id);
            }
        })?;
        for (route, backlog) in site.backlogs() {
            self.state.topics.add_route(route, backlog);
        }
        Ok(Followed { id, first_route, bound: bound.into() })
    }

    /// Takes a site away on this thread.
    pub(crate) fn uninstall(&mut self, id: SiteId) {
        let Some(site) = self.close_listeners(id) else { return };
        for (route, _) in site.backlogs() {
            for member in self.state.topics.members(route) {
                self.driver.send_away(member.connection, member.key);
            }
            self.state.topics.remove_route(route);
        }
    }

    fn close_listeners(&mut self, id: SiteId) -> Option<Rc<ServedSite>> {
        let (site, closing) = self.state.sites.remove(id);
        closing.into_iter().for_each(|listener| self.driver.unlisten(listener));
        site
    }

    /// Opens the listeners of a site, or shares those that other sites have opened. Answers those that it has opened.
    fn listen(&mut self, site: &ServedSite) -> io::Result<Vec<Bound>> {
        let mut bound = Vec::new();
        for (index, listen) in site.settings.listen.iter().enumerate() {
            let mut missing = None;
            let mut any = false;
            for asked in resolve(&listen.address)? {
                match self.listen_at(site, index, listen, asked.clone()) {
                    Ok(opened) => {
                        any = true;
                        bound.push(opened);
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
        Ok(bound)
    }

    fn listen_at(
        &mut self,
        site: &ServedSite,
        listen_index: usize,
        listen: &Bind,
        asked: Address,
    ) -> io::Result<Bound> {
        let sites = &self.state.sites;
        let (bound, own) = match sites.shared(&asked, listen.speaks, listen.tls.is_some())? {
            Some((id, address)) => (Bound { listen: listen_index, id, asked, address }, false),
            None => {
                let (id, address) = self.driver.listen(&asked, &self.options(listen))?;
                (Bound { listen: listen_index, id, asked, address }, true)
            }
        };
        self.add_listener(site, &bound, own)?;
        Ok(bound)
    }

    /// Listens where the first thread does: by itself, or by way of the connections that the first thread hands over.
    fn listen_too(&mut self, site: &ServedSite, first: &[Bound]) -> io::Result<Vec<Bound>> {
        let mut bound = Vec::new();
        for first in first {
            let listen = site.settings.listen.get(first.listen);
            let listen =
                listen.ok_or_else(|| invalid("the threads of a server have the same listeners".into()))?;
            let options = self.options(listen);
            let mut own = options.reuse_port && matches!(first.address, Address::Tcp(_));
            let mut here = first.clone();
            if let Some(id) = self.state.sites.asked_for(&first.asked) {
                (here.id, own) = (id, false);
            } else if own {
                let listening = self.driver.listen(&first.address, &options);
                here.id = listening.map_err(|error| named(&first.address, &error))?.0;
            }
            self.add_listener(site, &here, own)?;
            bound.push(here);
        }
        Ok(bound)
    }

    fn add_listener(&mut self, site: &ServedSite, bound: &Bound, own: bool) -> io::Result<()> {
        let added = self.state.sites.use_listener(site, bound, own, self.state.unix_seconds);
        if added.is_err() && own {
            self.driver.unlisten(bound.id);
        }
        added
    }

    fn options(&self, listen: &Bind) -> ListenOptions {
        let options = listen.options.as_ref().unwrap_or(&self.state.sites.listen_options);
        ListenOptions { tls: listen.tls.as_ref().map(|listen| listen.tls.clone()), ..options.clone() }
    }
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
