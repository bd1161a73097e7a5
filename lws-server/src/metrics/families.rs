//! The metrics of a server by name. Operators write these names into rules: one that is there stays.

use super::site::{DURATIONS, KINDS, SiteSums};
use super::thread::{ListenerMetrics, TLS_VERSIONS, ThreadMetrics};
use super::{Exposition, Kind, Metrics};
use lws_loop_external::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What the sites of each name have counted.
type Sites = BTreeMap<Arc<str>, SiteSums>;

pub(super) fn write(metrics: &Metrics, text: &mut Exposition) {
    let threads = &metrics.threads;
    connections(threads, text);
    bytes(threads, text);
    ends(threads, text);
    let sites = sum_sites(metrics);
    requests(threads, &sites, text);
    websockets(&sites, threads, text);
    tls(threads, text);
    loops(threads, text);
    held(metrics, text);
}

fn sum_sites(metrics: &Metrics) -> Sites {
    let mut sums = Sites::new();
    for (label, counters) in metrics.group.site_counters.all() {
        let sum = sums.entry(label).or_default();
        counters.iter().for_each(|counters| counters.add_to(sum));
    }
    sums
}

fn sum(threads: &[ThreadMetrics], of: impl Fn(&ThreadMetrics) -> u64) -> u64 {
    threads.iter().map(of).fold(0, u64::wrapping_add)
}

/// A family of one sample without labels.
fn one(text: &mut Exposition, name: &'static str, kind: Kind, help: &str, value: u64) {
    text.family(name, kind, help).sample(&[], value);
}

fn connections(threads: &[ThreadMetrics], text: &mut Exposition) {
    let mut listeners: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for ListenerMetrics { address, connections, accepted } in threads.iter().flat_map(|it| &it.listeners) {
        let of_address = listeners.entry(address).or_default();
        *of_address = (of_address.0 + *connections as u64, of_address.1 + accepted);
    }
    let mut open =
        text.family("lws_connections", Kind::Gauge, "Connections that are open, by their listener.");
    for (address, (connections, _)) in &listeners {
        open.sample(&[("listener", address)], *connections);
    }
    let mut accepted = text.family("lws_accepted", Kind::Counter, "Connections that were accepted.");
    for (address, (_, count)) in &listeners {
        accepted.sample(&[("listener", address)], *count);
    }
    let full = sum(threads, |it| it.driver.accept_pauses_full_total);
    let pauses = sum(threads, |it| it.driver.accept_pauses_total);
    text.family(
        "lws_accept_pauses",
        Kind::Counter,
        "How often a listener paused, as nothing was left to accept with.",
    )
    .sample(&[("reason", "connections")], full)
    .sample(&[("reason", "descriptors")], pauses.saturating_sub(full));
    let gave_way = sum(threads, |it| it.driver.idle_gave_way_total);
    let help = "Idle connections that were closed as others waited for a place.";
    one(text, "lws_idle_gave_way", Kind::Counter, help, gave_way);
    let made = sum(threads, |it| it.driver.connected_total);
    let failed = sum(threads, |it| it.driver.connect_failed_total);
    text.family(
        "lws_outgoing",
        Kind::Counter,
        "Outgoing connections that were made, and that could not be made.",
    )
    .sample(&[("result", "connected")], made)
    .sample(&[("result", "failed")], failed);
}

fn bytes(threads: &[ThreadMetrics], text: &mut Exposition) {
    text.family("lws_bytes", Kind::Counter, "Octets received from peers and sent to them.")
        .sample(&[("direction", "in")], sum(threads, |it| it.driver.received_bytes_total))
        .sample(&[("direction", "out")], sum(threads, |it| it.driver.sent_bytes_total));
}

/// Counts by the names of their causes, of all threads.
fn by_cause<'a>(
    threads: &'a [ThreadMetrics],
    of: impl Fn(&'a ThreadMetrics) -> Vec<(&'static str, u64)>,
) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for (cause, count) in threads.iter().flat_map(of) {
        *counts.entry(cause).or_default() += count;
    }
    counts
}

fn ends(threads: &[ThreadMetrics], text: &mut Exposition) {
    let closed = by_cause(threads, |it| it.driver.closed_total().collect());
    let help = "Streams that have ended (exchanges, WebSockets, raw streams), by cause.";
    let mut family = text.family("lws_closed", Kind::Counter, help);
    for (cause, count) in closed {
        family.sample(&[("cause", cause)], count);
    }
    let sent_away = by_cause(threads, |it| it.driver.sent_away_total().collect());
    let help = "Connections whose HTTP/2 peer was sent a GOAWAY for what it did.";
    let mut family = text.family("lws_h2_sent_away", Kind::Counter, help);
    for (cause, count) in sent_away {
        family.sample(&[("cause", cause)], count);
    }
    let panics = sum(threads, |it| it.counters.panics);
    one(text, "lws_panics", Kind::Counter, "Panics of handlers that were caught.", panics);
}

fn requests(threads: &[ThreadMetrics], sites: &Sites, text: &mut Exposition) {
    let help = "Requests that were answered, by site, version, method and class of status.";
    let mut family = text.family("lws_requests", Kind::Counter, help);
    for (host, sums) in sites {
        for ([proto, method, class], count) in sums.requests() {
            let labels = [("host", &**host), ("proto", proto), ("method", method), ("code_class", class)];
            family.sample(&labels, count);
        }
    }
    let in_flight = sum(threads, |it| it.counters.in_flight);
    let help = "Requests that are being answered.";
    one(text, "lws_requests_in_flight", Kind::Gauge, help, in_flight);
    let help = "From the head of a request to the end of its exchange, by the clock of the loop: what is over in the turn that \
                begins it counts as zero.";
    let mut family = text.family("lws_request_duration_seconds", Kind::Histogram, help);
    for (host, sums) in sites {
        let bounds = DURATIONS.map(Duration::from_micros);
        let sum = Duration::from_micros(sums.duration_micros);
        family.histogram(&[("host", host)], bounds, &sums.durations, sum);
    }
    let help = "Octets of content of responses.";
    let mut family = text.family("lws_response_content_bytes", Kind::Counter, help);
    for (host, sums) in sites {
        family.sample(&[("host", host)], sums.content_bytes);
    }
}

fn websockets(sites: &Sites, threads: &[ThreadMetrics], text: &mut Exposition) {
    let mut family = text.family("lws_websockets", Kind::Gauge, "WebSockets that are open, by site.");
    for (host, sums) in sites {
        family.sample(&[("host", host)], sums.websockets);
    }
    let help = "WebSocket messages, by site, direction and kind.";
    let mut family = text.family("lws_ws_messages", Kind::Counter, help);
    for (host, sums) in sites {
        for (direction, counts) in [("in", sums.received), ("out", sums.sent)] {
            for (kind, count) in KINDS.iter().zip(counts) {
                family.sample(&[("host", host), ("direction", direction), ("kind", kind)], count);
            }
        }
    }
    let help = "Published messages that a WebSocket was too slow for, counted for each.";
    one(text, "lws_publish_lost", Kind::Counter, help, sum(threads, |it| it.counters.lost));
}

fn tls(threads: &[ThreadMetrics], text: &mut Exposition) {
    let help =
        "TLS handshakes of accepted connections that are done, and sessions that failed, by what went wrong.";
    let mut family = text.family("lws_tls_handshakes", Kind::Counter, help);
    for (index, version) in TLS_VERSIONS.iter().enumerate() {
        for (resumed, is_resumed) in [("false", false), ("true", true)] {
            let count = sum(threads, |it| {
                let of_version = it.counters.tls_handshakes[index];
                if is_resumed { of_version.resumed } else { of_version.full }
            });
            family.sample(&[("version", version), ("resumed", resumed), ("result", "ok")], count);
        }
    }
    for (result, count) in by_cause(threads, |it| it.driver.tls_failed_total().collect()) {
        family.sample(&[("version", "unknown"), ("resumed", "false"), ("result", result)], count);
    }
    text.family("lws_tls_waiting", Kind::Gauge, "Accepted connections with TLS whose handshake is not done.")
        .sample(&[("phase", "silent")], sum(threads, |it| it.driver.tls_silent as u64))
        .sample(&[("phase", "queued")], sum(threads, |it| it.driver.tls_queued as u64))
        .sample(&[("phase", "handshake")], sum(threads, |it| it.driver.tls_handshakes as u64));
}

fn loops(threads: &[ThreadMetrics], text: &mut Exposition) {
    let mut by_thread = |name, help, of: fn(&ThreadMetrics) -> &Histogram| {
        let mut family = text.family(name, Kind::Histogram, help);
        for metrics in threads {
            let (thread, times) = (metrics.thread.to_string(), of(metrics));
            family.histogram(&[("thread", &thread)], Histogram::BOUNDS, times.counts(), times.sum());
        }
    };
    let help =
        "What turns of the loop took: what is beyond the time of a turn is a handler that works for long.";
    by_thread("lws_loop_turn_seconds", help, |it| &it.driver.turn_time);
    let help = "How late the loop began turns for which it had set a moment.";
    by_thread("lws_loop_lag_seconds", help, |it| &it.driver.lag);
}

fn held(metrics: &Metrics, text: &mut Exposition) {
    let held = &metrics.group.held;
    let help = "Octets that are held for peers, as the threads have taken them from the budget.";
    one(text, "lws_held_bytes", Kind::Gauge, help, held.held() as u64);
    let help = "Octets that may be held for peers.";
    one(text, "lws_held_bytes_max", Kind::Gauge, help, held.bytes_max() as u64);
    let draining = u64::from(metrics.group.shards.draining().is_some());
    one(text, "lws_draining", Kind::Gauge, "Whether the server drains.", draining);
}
