//! The options of a client of a broker, and its limits.

use std::time::Duration;

/// How a [`Remote`](crate::Remote) broker is used. The defaults are for one that is near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a subscription stays after its last subscriber has gone, so that one that comes back finds it. Default 10 s; 5 to 30 s
    /// are usual. With zero it ends at once, or 0.1 s after its confirmation at the latest.
    pub linger: Duration,
    /// Topics in one command. Default 512, so that a command and its answers are some ten KiB. From 1 on; zero counts as 1.
    pub batch_topics_max: usize,
    /// The least delay before a connection is tried again. Default 0.5 s.
    pub retry_min: Duration,
    /// The longest delay. Default 20 s. Each delay is chosen at random between the least and twice the bound of the one before ("full
    /// jitter"), so that a thousand processes do not come back in step.
    pub retry_max: Duration,
    /// How long a connection must have lasted for the delays to begin again. Default 10 s.
    pub stable_after: Duration,
    /// From the beginning of a connection to the end of the greeting, at most. Default 10 s.
    pub connect_timeout: Duration,
    /// How long an answer may take before the connection counts as dead. Default 10 s. More than a round trip: with zero no connection
    /// lasts.
    pub answer_timeout: Duration,
    /// After this time without a word of the broker it is asked for one. Default 25 s. A second or more: with zero it is asked without
    /// pause.
    pub ping_interval: Duration,
    /// How often the position of a topic is compared with the broker's if no message came meanwhile, so that a loss is found that nothing
    /// else shows. Of brokers with history. Default 40 s; `None` is never. At most [`batch_topics_max`](Self::batch_topics_max) topics are
    /// compared in a second, so that with many it takes longer. A second or more: with zero they are compared without pause.
    pub position_check: Option<Duration>,
    /// What may be kept.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(10),
            batch_topics_max: 512,
            retry_min: Duration::from_millis(500),
            retry_max: Duration::from_secs(20),
            stable_after: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(25),
            position_check: Some(Duration::from_secs(40)),
            limits: Limits::default(),
        }
    }
}

/// What a client of a broker keeps, at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Topics that are subscribed to or linger. Default 1,000,000, at some 200 octets each. Further ones are
    /// [refused](crate::Event::Refused).
    pub topics_max: usize,
    /// Octets of a payload. Default 1 MiB, which is also what NATS takes.
    pub payload_bytes_max: usize,
    /// Publications that wait for the broker, be it slow or away. Default 4,096. Further ones are [`Full`](crate::Full).
    pub publish_messages_max: usize,
    /// Octets of them. Default 4 MiB.
    pub publish_bytes_max: usize,
    /// Messages of one topic that are recovered at once, and that may come live meanwhile. Default 512. With more there is a
    /// [`Gap`](crate::Event::Gap).
    pub recovery_messages_max: usize,
    /// Octets of messages that come live while history is awaited, of all topics, at some 60 for each beside its payload. Default 16 MiB.
    /// With more there is a gap.
    pub recovery_bytes_max: usize,
    /// Events that wait for the application before no more is read from the broker. Default 8,192. The octets that were received by then
    /// are still taken.
    pub events_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            topics_max: 1_000_000,
            payload_bytes_max: 1 << 20,
            publish_messages_max: 4_096,
            publish_bytes_max: 4 << 20,
            recovery_messages_max: 512,
            recovery_bytes_max: 16 << 20,
            events_max: 8_192,
        }
    }
}
