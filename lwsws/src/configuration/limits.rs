//! The numbers of a configuration, in the places of the server that they bound.

use lws_config::{Config, Global, Numbers, Vhost};
use lws_server::{DriverOptions, Limits, OutOfRange, PeerLimits};
use std::io;
use std::time::Duration;

/// A value that a number sets.
trait Settable {
    fn set(&mut self, number: u64);
}

impl Settable for usize {
    fn set(&mut self, number: u64) {
        *self = Self::try_from(number).unwrap_or(Self::MAX);
    }
}

impl Settable for u32 {
    fn set(&mut self, number: u64) {
        *self = Self::try_from(number).unwrap_or(Self::MAX);
    }
}

impl Settable for u64 {
    fn set(&mut self, number: u64) {
        *self = number;
    }
}

/// Milliseconds.
impl Settable for Duration {
    fn set(&mut self, number: u64) {
        *self = Self::from_millis(number);
    }
}

/// Zero is no limit.
impl<T: Settable + Default> Settable for Option<T> {
    fn set(&mut self, number: u64) {
        *self = (number > 0).then(|| {
            let mut value = T::default();
            value.set(number);
            value
        });
    }
}

/// Takes numbers over into limits, by the names of their keys. Every limit has one: this does not compile otherwise.
macro_rules! take_over {
    ($numbers:expr, $limits:expr, { $($field:ident: $name:literal,)* }, { $($allowance:ident: $burst:literal, $rate:literal,)* }) => {
        let Limits { $($field,)* $($allowance,)* } = $limits;
        for (name, number) in $numbers.iter() {
            match name {
                $($name => $field.set(number),)*
                $($burst => $allowance.burst.set(number), $rate => $allowance.per_second.set(number),)*
                _ => debug_assert!(false, "{name} has no limit"),
            }
        }
    };
}

/// What `numbers` say, in place of what `limits` said before.
fn apply(numbers: &Numbers, limits: &mut Limits) {
    take_over!(numbers, limits, {
        head_bytes_max: "head-bytes-max",
        target_bytes_max: "target-bytes-max",
        field_lines_max: "field-lines-max",
        head_timeout: "head-timeout-ms",
        content_bytes_min: "content-bytes-min",
        content_period: "content-period-ms",
        content_bytes_max: "content-bytes-max",
        chunk_extension_bytes_max: "chunk-extension-bytes-max",
        trailer_bytes_max: "trailer-bytes-max",
        discard_bytes_max: "discard-bytes-max",
        keep_alive_timeout: "keep-alive-timeout-ms",
        keep_alive_requests_max: "keep-alive-requests-max",
        response_timeout: "response-timeout-ms",
        between_bytes_timeout: "between-bytes-timeout-ms",
        held_bytes_max: "held-bytes-max",
        look_ahead_bytes_max: "look-ahead-bytes-max",
        send_queue_bytes_max: "send-queue-bytes-max",
        stalled_timeout: "stalled-timeout-ms",
        stalled_bytes_min: "stalled-bytes-min",
        stalled_grace_max: "stalled-grace-max-ms",
        message_bytes_max: "message-bytes-max",
        message_fragments_max: "message-fragments-max",
        inflate_ratio_max: "inflate-ratio-max",
        ping_interval: "ping-interval-ms",
        dead_peer_timeout: "dead-peer-timeout-ms",
        pongs_per_second_max: "pongs-per-second-max",
        close_timeout: "close-timeout-ms",
        linger_timeout: "linger-timeout-ms",
        half_closed_timeout: "half-closed-timeout-ms",
        h2_streams_max: "h2-streams-max",
        h2_stream_window: "h2-stream-window",
        h2_stream_window_max: "h2-stream-window-max",
        h2_connection_window: "h2-connection-window",
        h2_table_bytes_max: "h2-table-bytes-max",
        h2_continuations_max: "h2-continuations-max",
        h2_settings_entries_max: "h2-settings-entries-max",
        h2_control_frames_max: "h2-control-frames-max",
        h2_settings_timeout: "h2-settings-timeout-ms",
        h2_waiting_bytes_min: "h2-waiting-bytes-min",
        h2_requests_queued_max: "h2-requests-queued-max",
    }, {
        h2_resets: "h2-resets-burst", "h2-resets-per-second",
        h2_glitches: "h2-glitches-burst", "h2-glitches-per-second",
    });
}

/// What peers may have of connections of a host: as the command line says, then `global`, then the host.
pub(super) fn of_host(base: &Limits, global: &Global, vhost: &Vhost) -> Limits {
    let mut limits = base.clone();
    if let Some(timeout) = vhost.keep_alive_timeout {
        limits.keep_alive_timeout = timeout;
    }
    apply(&global.limits, &mut limits);
    apply(&vhost.limits, &mut limits);
    limits
}

/// # Errors
/// A number of the configuration is out of its range: which one, and where.
pub(super) fn check(config: &Config, base: &Limits) -> io::Result<()> {
    let wrong = |error: OutOfRange| io::Error::other(error.to_string());
    for vhost in &config.vhosts {
        let checked = of_host(base, &config.global, vhost).validate();
        checked.map_err(|error| io::Error::other(format!("{}: limits: {error}", vhost.location)))?;
    }
    driver_options(DriverOptions::default(), &config.global).validate().map_err(wrong)
}

/// Sizes and budgets of each thread's service.
pub(crate) fn driver_options(mut options: DriverOptions, global: &Global) -> DriverOptions {
    options.measures_turns |= global.admin.is_some();
    for (name, number) in global.budgets.iter() {
        match name {
            "turn-time-us" => {
                options.turn.time = if number == 0 { Duration::MAX } else { Duration::from_micros(number) };
            }
            "turn-bytes-max" => options.turn.bytes.set(number),
            "receive-buffer-bytes" => options.receive_buffer_bytes.set(number),
            "read-bytes-per-turn" => options.read_bytes_per_turn.set(number),
            "write-bytes-per-turn" => options.write_bytes_per_turn.set(number),
            "events-per-turn" => options.events_per_turn.set(number),
            "accepts-per-turn" => options.accepts_per_turn.set(number),
            "tls-handshakes-max" => options.tls_handshakes_max.set(number),
            "tls-handshakes-per-network-max" => options.tls_handshakes_per_network_max.set(number),
            "tls-silent-max" => options.tls_silent_max.set(number),
            "tls-steps-per-turn" => options.tls_steps_per_turn.set(number),
            // The others are the server's: `Served::budget`.
            _ => {}
        }
    }
    options
}

/// What one peer may have.
pub(super) fn peers(global: &Global) -> PeerLimits {
    let mut limits = PeerLimits {
        connections_max: global.connections_per_address,
        requests_max: global.requests_per_address,
        trusted: global.peers.trusted.clone(),
        ..PeerLimits::default()
    };
    for (name, number) in global.peers.numbers.iter() {
        match name {
            "connections-max" => limits.connections_max.set(number),
            "new-connections-per-second" => limits.new_connections_per_second.set(number),
            "requests-max" => limits.requests_max.set(number),
            "waiting-requests-max" => limits.waiting_requests_max.set(number),
            _ => debug_assert!(false, "{name} has no limit"),
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_config::Options;

    fn config(global: &str, vhost: &str) -> Config {
        let text = format!(
            "{{ \"global\": {{ {global} }}, \"vhosts\": [ {{ \"name\": \"a\", \"port\": 80{vhost} }} ] }}"
        );
        let (config, report) = Config::from_texts([("conf", text)], &Options::default());
        assert!(!report.has_errors(), "{report}");
        config
    }

    #[test]
    fn every_key_of_limits_sets_a_limit() {
        for name in Numbers::limits() {
            let config = config(&format!("\"limits\": {{ \"{name}\": 77 }}"), "");
            let limits = of_host(&Limits::default(), &config.global, &config.vhosts[0]);
            let (before, after) = (format!("{:?}", Limits::default()), format!("{limits:?}"));
            // The keep-alive timeout of a host is 5 s where the host says nothing.
            let same = "keep_alive_timeout";
            assert!(before != after || name.contains("keep-alive-timeout"), "{name} {same}");
            assert!(after.contains("77") || name == "keep-alive-timeout-ms", "{name}: {after}");
        }
    }

    /// The lines of `Debug` that hold a value: with each field its name.
    fn values(limits: &Limits) -> Vec<String> {
        let text = format!("{limits:#?}");
        let lines = text.lines().map(str::trim).filter(|line| !line.ends_with(['{', '(', '}', ')']));
        let is_value = |line: &&str| line.contains("None") || line.bytes().any(|byte| byte.is_ascii_digit());
        lines.filter(is_value).map(str::to_owned).collect()
    }

    #[test]
    fn every_field_of_limits_has_a_key() {
        let keys: Vec<_> = Numbers::limits().map(|name| format!("\"{name}\": 77")).collect();
        let config = config("", &format!(", \"limits\": {{ {} }}", keys.join(", ")));
        let base = Limits::default();
        let changed = values(&of_host(&base, &config.global, &config.vhosts[0]));
        let before = values(&base);
        assert_eq!(changed.len(), before.len(), "{changed:#?}");
        for (changed, before) in changed.iter().zip(before) {
            assert!(*changed != before && changed.contains("77"), "no key sets it: {before}");
        }
        // A field that `values` does not see would have passed, too.
        assert!(changed.len() >= keys.len(), "{} values of {} keys", changed.len(), keys.len());
    }

    #[test]
    fn a_host_has_the_last_word() {
        let config = config(
            "\"limits\": { \"head-bytes-max\": 4096, \"message-bytes-max\": \"9000\", \"content-bytes-max\": 0 }",
            ", \"limits\": { \"head-bytes-max\": 8192, \"keep-alive-timeout-ms\": 1500 }",
        );
        let limits = of_host(&Limits::default(), &config.global, &config.vhosts[0]);
        assert_eq!((limits.head_bytes_max, limits.message_bytes_max), (8_192, 9_000));
        assert_eq!(
            (limits.content_bytes_max, limits.keep_alive_timeout),
            (None, Duration::from_millis(1_500))
        );
    }

    #[test]
    fn what_is_out_of_range_is_named_with_its_place() {
        let config = config("", ", \"limits\": { \"field-lines-max\": 100000 }");
        let error = check(&config, &Limits::default()).expect_err("out of range").to_string();
        assert!(error.starts_with("conf:1:") && error.contains("field_lines_max"), "{error}");
    }

    #[test]
    fn budgets_and_rules_for_peers_are_taken_over() {
        let config = config(
            "\"ip-limit-wsi\": 3, \"budgets\": { \"turn-time-us\": 0, \"accepts-per-turn\": 7 }, \
             \"peers\": { \"requests-max\": 5, \"trusted\": [ \"10.0.0.1\" ] }",
            "",
        );
        let options = driver_options(DriverOptions::default(), &config.global);
        assert_eq!((options.turn.time, options.accepts_per_turn), (Duration::MAX, 7));
        let peers = peers(&config.global);
        assert_eq!((peers.connections_max, peers.requests_max), (Some(3), Some(5)));
        assert_eq!(peers.trusted, ["10.0.0.1".parse::<std::net::IpAddr>().expect("an address")]);
    }
}
