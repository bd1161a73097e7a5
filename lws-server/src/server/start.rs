//! From a description to services: the threads' mailboxes are made, listeners opened, sites served.

use crate::app::App;
use crate::files::shelf::Shelf;
use crate::id::RouteId;
use crate::publish::topics::Topics;
use crate::publish::watches::TopicWatches;
use crate::server::description::{DescribeThread, Description};
use crate::server::group::Group;
use crate::server::options::ServerOptions;
use crate::server::shard::{Plan, Shard};
use crate::server::stats::Counters;
use crate::server::{Server, ServerService};
use crate::site::Site;
use crate::site::install::PreparedSites;
use crate::site::served::invalid;
use crate::site::sites::Sites;
use crate::site::transition::{Bound, Changing};
use crate::thread::ThreadState;
use crate::thread::access::EntryPool;
use crate::thread::command::Command;
use crate::thread::drain::DrainWatchers;
use crate::thread::observers::{Observers, PeerAddresses};
use crate::thread::spans::Spans;
use crate::thread::timers::Timers;
use crate::thread::wakes::PendingWakes;
use lws_loop_external as external;
use lws_loop_external::{Address, CachedResolver, Driver, Shards, SystemResolver};
use lws_proto::{Config, Expect, HeldBytes, Time, WallClock};
use std::io;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
#[cfg(feature = "broker")]
use std::time::Duration;
use std::time::Instant;

/// A server of `count` threads, which listens and does not run yet. `describe` describes the other ones.
///
/// # Errors
/// The first thing that is wrong with the description, or what a listener met.
pub(crate) fn server(
    description: Description,
    count: u16,
    describe: Option<DescribeThread>,
) -> io::Result<Server> {
    let options = &description.options;
    let count = NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN);
    let mut shards = Shards::create(count, &options.driver_of(count.get()))?.into_iter();
    let Some(first) = shards.next() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let held = HeldBytes::new(options.held_bytes_max);
    let may_listen_nowhere = options.may_listen_nowhere;
    let group = Arc::new(Group::new(first.shards().clone(), options, held));
    let (service, plan) = first_service(description, first, &group, describe)?;
    // Mistakes in routes have come first: they are harder to find.
    if !may_listen_nowhere && plan.bound.iter().all(Vec::is_empty) {
        return Err(invalid("a server listens nowhere: `listen` says where".into()));
    }
    let plan = Arc::new(plan);
    let shard = |shard| Shard { shard, group: Arc::clone(&group), plan: Arc::clone(&plan) };
    Ok(Server { service, others: shards.map(shard).collect() })
}

impl Shard {
    /// Makes its handlers, and follows the first thread: on the thread that will host the service.
    ///
    /// # Errors
    /// The description is another than the first time, or its own listener met something.
    pub fn build(self) -> io::Result<ServerService> {
        let Self { shard, group, plan } = self;
        let describe = plan.describe.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
        let description = describe()?;
        if description.sites.len() != plan.sites.len() {
            return Err(invalid("the threads of a server have the same sites".into()));
        }
        let Description { sites, options, observers } = description;
        let app = app(&sites, options, observers, shard.index(), &group);
        let mut driver = Driver::sharded(app, shard);
        // Connections to one upstream after the other ask for the same name.
        driver.set_resolver(CachedResolver::new(SystemResolver::new()));
        driver.with(Time::ZERO, |app, cx| {
            let mut prepared = PreparedSites::default();
            for (site, first) in sites.into_iter().zip(&plan.sites) {
                app.nowhere(cx).prepare_too(&mut prepared, site, first)?;
            }
            let listeners = plan.bound.iter().map(|bound| bound.iter().map(|bound| bound.id).collect());
            let listeners: Vec<Vec<_>> = listeners.collect();
            app.nowhere(cx).commit(prepared, Some(&listeners), || {})
        })?;
        Ok(ServerService {
            driver,
            addresses: Vec::new(),
            sites: plan.sites.iter().map(|site| site.id).collect(),
        })
    }
}

/// The service of the first thread, and what the others follow.
fn first_service(
    description: Description,
    shard: external::DriverShard<Command>,
    group: &Arc<Group<Command>>,
    describe: Option<DescribeThread>,
) -> io::Result<(ServerService, Plan)> {
    let Description { sites, options, observers } = description;
    let orders: Vec<Vec<usize>> =
        sites.iter().map(|site| site.settings.listen.iter().map(|listen| listen.order).collect()).collect();
    #[cfg(feature = "broker")]
    let broker = options.broker.clone();
    let app = app(&sites, options, observers, shard.index(), group);
    let mut driver = Driver::sharded(app, shard);
    let (first, bound) = driver.with(Time::ZERO, |app, cx| {
        let mut prepared = PreparedSites::default();
        let mut first = Vec::new();
        for site in sites {
            first.push(app.nowhere(cx).prepare(&mut prepared, site, None)?);
        }
        let bound = app.nowhere(cx).commit(prepared, None, || {})?;
        // In the first turn, when there is a time.
        #[cfg(feature = "broker")]
        if let Some(broker) = broker {
            app.nowhere(cx).after(Duration::ZERO, move |cx| cx.start_broker(&broker));
        }
        Ok::<_, io::Error>((first, bound))
    })?;
    let addresses = addresses(&bound, &orders);
    let ids = first.iter().map(|site| site.id).collect();
    Ok((ServerService { driver, addresses, sites: ids }, Plan { describe, sites: first, bound }))
}

/// Where sites listen, in the order in which it was said.
fn addresses(bound: &[Vec<Bound>], orders: &[Vec<usize>]) -> Vec<Address> {
    let of_site = |(bound, orders): (&Vec<Bound>, &Vec<usize>)| {
        let ordered = |bound: &Bound| (orders.get(bound.place.listen).copied(), bound.place.address.clone());
        bound.iter().map(ordered).collect::<Vec<_>>()
    };
    let mut ordered: Vec<_> = bound.iter().zip(orders).flat_map(of_site).collect();
    // Stable: what the order does not tell apart stays as it is.
    ordered.sort_by_key(|(order, _)| *order);
    ordered.into_iter().map(|(_, address)| address).collect()
}

fn app(
    sites: &[Site],
    options: ServerOptions,
    mut observers: Observers,
    shard: u16,
    group: &Arc<Group<Command>>,
) -> App {
    let files_max = options.files_max(group.shards.count());
    let topics = Topics::new(observers.topic_backlog.take(), options.subscriptions_max);
    #[cfg(feature = "broker")]
    let topics = topics.shared_by(Arc::clone(group));
    let limits = sites.first().map(|site| site.settings.limits.clone()).unwrap_or_default();
    let (wall_clock, held) = (WallClock::default(), group.held.share());
    let outgoing = Arc::new(Config { limits, expect: Expect::Raw, wall_clock, held, ..Config::default() });
    let state = ThreadState {
        group: Arc::clone(group),
        shard,
        sites: Sites::new(options.listen, group.held.share()),
        changing: Changing::default(),
        inherited: options.inherited,
        topics,
        watches: TopicWatches::default(),
        timers: Timers::default(),
        wakes: PendingWakes::default(),
        drain_watchers: DrainWatchers::default(),
        shelf: Shelf::new(files_max),
        keeping: Vec::new(),
        peers: PeerAddresses::new(observers.want_peers() || group.peers.is_some()),
        observers,
        entries: EntryPool::default(),
        spans: Spans::default(),
        counters: Counters::default(),
        no_site: Rc::new(group.site_counters.counters_of_none(shard)),
        started: Instant::now(),
        unix_seconds: 0,
        calling: RouteId::NONE,
        #[cfg(feature = "client")]
        client: crate::client::Host::new(options.client, group.held.share()),
        #[cfg(feature = "broker")]
        broker: None,
        #[cfg(feature = "broker")]
        replayed: Default::default(),
        #[cfg(feature = "broker")]
        presences: Default::default(),
        outgoing,
    };
    App {
        state,
        #[cfg(feature = "record")]
        recorder: options.recorder,
    }
}
