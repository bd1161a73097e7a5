//! What all handlers of a server share: counters, the access log, and who else is on their route.
//!
//! Knows no event and no connection, only their names.

use crate::access::AccessLog;
use crate::context::StreamId;
use crate::hosts::Hosts;
use crate::http::{self, FieldLine};
use crate::route::{Methods, Table};
use crate::stats::Counters;
use crate::ws;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What handlers reach through their context, and the routes that they hang on.
pub(crate) struct Shared {
    pub(crate) routes: Rc<Table<Route>>,
    /// The open WebSockets of each route.
    members: Vec<Members>,
    pub(crate) counters: Counters,
    pub(crate) started: Instant,
    pub(crate) unix_seconds: u32,
    pub(crate) drain_timeout: Duration,
    pub(crate) log: Option<AccessLog>,
    /// What every WebSocket may agree on.
    pub(crate) deflate: Option<crate::ws::Deflate>,
    pub(crate) hosts: Hosts,
    /// Field lines of every response, without TLS and with it.
    pub(crate) always: [Option<Rc<[FieldLine]>>; 2],
}

/// What is at one path.
#[derive(Default)]
pub(crate) struct Route {
    pub(crate) websocket: Option<ws::Factory>,
    pub(crate) endpoints: Vec<(Methods, Box<dyn http::Endpoint>)>,
}

impl Shared {
    pub(crate) fn new(
        routes: Table<Route>,
        hosts: Hosts,
        drain_timeout: Duration,
        log: Option<AccessLog>,
    ) -> Self {
        let members = (0..routes.len()).map(|_| Members::default()).collect();
        let routes = Rc::new(routes);
        let counters = Counters::default();
        Self {
            routes,
            members,
            counters,
            started: Instant::now(),
            unix_seconds: 0,
            drain_timeout,
            log,
            deflate: None,
            hosts,
            always: [None, None],
        }
    }

    /// The number of the route called `path`.
    pub(crate) fn route_named(&self, path: &str) -> Option<u32> {
        self.routes.named(path).and_then(|index| u32::try_from(index).ok())
    }

    /// The open WebSockets of `route`.
    pub(crate) fn members(&self, route: u32) -> impl Iterator<Item = StreamId> {
        let members = usize::try_from(route).ok().and_then(|route| self.members.get(route));
        members.into_iter().flat_map(|members| members.places.iter().flatten().copied())
    }

    /// A WebSocket of `route` was established. Answers its place.
    pub(crate) fn join(&mut self, route: u32, id: StreamId) -> Option<u32> {
        let members = self.members.get_mut(usize::try_from(route).ok()?)?;
        let place = members.free.pop().unwrap_or(members.places.len());
        match members.places.get_mut(place) {
            Some(free) => *free = Some(id),
            None => members.places.push(Some(id)),
        }
        u32::try_from(place).ok()
    }

    /// The WebSocket at `place` is over.
    pub(crate) fn leave(&mut self, route: u32, place: u32) {
        let place = place as usize;
        let Some(members) = self.members.get_mut(route as usize) else { return };
        if members.places.get_mut(place).and_then(Option::take).is_some() {
            members.free.push(place);
        }
    }
}

/// Streams in places that do not move.
#[derive(Default)]
struct Members {
    places: Vec<Option<StreamId>>,
    free: Vec<usize>,
}
