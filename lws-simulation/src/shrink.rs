//! Shrinks a plan as long as it fails in the same way: fewer clients and peers, fewer exchanges and steps, fewer
//! faults.

use crate::plan::{Delivery, List, Plan};
use crate::weather::Weather;

/// The smallest failing plan that is found from `plan` within `runs` runs.
pub(crate) fn shrink(plan: &Plan, runs: u32, fails: &dyn Fn(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut left = runs;
    loop {
        let smaller = candidates(&best).into_iter().find(|candidate| {
            if left == 0 || *candidate == best {
                return false;
            }
            left -= 1;
            fails(candidate)
        });
        match smaller {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

fn remove<T>(list: &mut List<T>, at: usize) {
    list.inner().remove(at);
}

/// The plans that are a step smaller, with the greatest steps first.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut candidate = plan.clone();
        change(&mut candidate);
        found.push(candidate);
    };
    with(&|plan| plan.weather = Weather::CALM);
    for at in 0..plan.peers.len() {
        with(&|plan| remove(&mut plan.peers, at));
    }
    for at in 0..plan.clients.len() {
        with(&|plan| remove(&mut plan.clients, at));
    }
    with(&|plan| plan.limits = Default::default());
    for at in 0..plan.limits.len() {
        with(&|plan| remove(&mut plan.limits, at));
    }
    for (client, exchanges) in plan.clients.iter().map(|client| client.exchanges.len()).enumerate() {
        for at in 0..exchanges {
            with(&|plan| remove(&mut plan.clients.inner()[client].exchanges, at));
        }
        with(&|plan| plan.clients.inner()[client].keeps = 0);
    }
    for (peer, steps) in plan.peers.iter().map(|peer| peer.steps.len()).enumerate() {
        for at in 0..steps {
            with(&|plan| remove(&mut plan.peers.inner()[peer].steps, at));
        }
    }
    with(&|plan| plan.delivery = Delivery::Level);
    with(&|plan| plan.lets_go_late = false);
    with(&|plan| plan.drains = None);
    with(&|plan| plan.posts = 0);
    let calm = Weather::CALM;
    with(&|plan| plan.weather.short_reads = 0);
    with(&|plan| plan.weather.short_writes = 0);
    with(&|plan| plan.weather.would_block = 0);
    with(&|plan| plan.weather.interrupts = 0);
    with(&|plan| plan.weather.exhausted = 0);
    with(&|plan| plan.weather.aborted = 0);
    with(&|plan| plan.weather.unreachable = 0);
    with(&|plan| plan.weather.resets = 0);
    with(&|plan| plan.weather.late = 0);
    with(&|plan| plan.weather.spurious = 0);
    with(&|plan| plan.weather.descriptors_max = calm.descriptors_max);
    with(&|plan| plan.weather.send_bytes = calm.send_bytes);
    with(&|plan| plan.weather.receive_bytes = calm.receive_bytes);
    with(&|plan| plan.weather.segment_bytes = calm.segment_bytes);
    with(&|plan| plan.weather.latency = calm.latency);
    with(&|plan| plan.weather.rate = calm.rate);
    with(&|plan| plan.weather.oversleep = calm.oversleep);
    found
}
