//! From a description to services: the threads' mailboxes are made, listeners opened, sites served.

use crate::app::App;
use crate::files::shelf::Shelf;
use crate::id::RouteId;
use crate::publish::topics::Topics;
use crate::server::description::{DescribeThread, Description};
use crate::server::group::Group;
use crate::server::options::ServerOptions;
use crate::server::shard::{Plan, Shard};
use crate::server::stats::Counters;
use crate::server::{Server, ServerService};
use crate::site::Site;
use crate::site::addition::Bound;
use crate::site::served::invalid;
use crate::site::sites::Sites;
use crate::thread::ThreadState;
use crate::thread::command::{Command, Followed};
use crate::thread::drain::DrainWatchers;
use crate::thread::observers::{Observers, PeerAddresses};
use crate::thread::timers::Timers;
use crate::thread::wakes::PendingWakes;
use lws_loop_external as external;
use lws_loop_external::{Address, Driver, Shards};
use lws_proto::{Config, Expect, HeldBytes, Time, WallClock};
use std::io;
use std::num::NonZeroU16;
use std::sync::Arc;
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
    let group = Arc::new(Group::new(first.shards().clone(), options, held));
    let (service, sites) = service(description, first, &group, None)?;
    // Mistakes in routes have come first: they are harder to find.
    if sites.iter().all(|site| site.bound.is_empty()) {
        return Err(invalid("a server listens nowhere: `listen` says where".into()));
    }
    let plan = Arc::new(Plan { describe, sites });
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
        Ok(service(description, shard, &group, Some(&plan.sites))?.0)
    }
}

/// The service of one thread, and its sites for those that follow.
fn service(
    description: Description,
    shard: external::DriverShard<Command>,
    group: &Arc<Group<Command>>,
    followed: Option<&[Followed]>,
) -> io::Result<(ServerService, Vec<Followed>)> {
    let Description { sites, options, observers } = description;
    let orders: Vec<Vec<usize>> =
        sites.iter().map(|site| site.settings.listen.iter().map(|listen| listen.order).collect()).collect();
    let app = app(&sites, options, observers, shard.index(), group);
    let mut driver = Driver::sharded(app, shard);
    let mut served = Vec::new();
    for (index, site) in sites.into_iter().enumerate() {
        let first = followed.and_then(|followed| followed.get(index));
        served.push(driver.with(Time::ZERO, |app, cx| app.nowhere(cx).install(site, first))?);
    }
    let addresses = addresses(&served, &orders);
    Ok((ServerService { driver, addresses }, served))
}

/// Where sites listen, in the order in which it was said.
fn addresses(served: &[Followed], orders: &[Vec<usize>]) -> Vec<Address> {
    let of_site = |(site, orders): (&Followed, &Vec<usize>)| {
        let ordered = |bound: &Bound| (orders.get(bound.listen).copied(), bound.address.clone());
        site.bound.iter().map(ordered).collect::<Vec<_>>()
    };
    let mut ordered: Vec<_> = served.iter().zip(orders).flat_map(of_site).collect();
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
    let limits = sites.first().map(|site| site.settings.limits.clone()).unwrap_or_default();
    let (wall_clock, held) = (WallClock::default(), group.held.share());
    let outgoing = Arc::new(Config { limits, expect: Expect::Raw, wall_clock, held, ..Config::default() });
    let state = ThreadState {
        group: Arc::clone(group),
        shard,
        sites: Sites::new(options.listen, group.held.share()),
        topics,
        timers: Timers::default(),
        wakes: PendingWakes::default(),
        drain_watchers: DrainWatchers::default(),
        shelf: Shelf::new(files_max),
        peers: PeerAddresses::new(observers.want_peers() || group.peers.is_some()),
        observers,
        counters: Counters::default(),
        started: Instant::now(),
        unix_seconds: 0,
        calling: RouteId::NONE,
        #[cfg(feature = "client")]
        client: crate::client::Host::new(options.client, group.held.share()),
        outgoing,
    };
    App {
        state,
        #[cfg(feature = "record")]
        recorder: options.recorder,
    }
}
