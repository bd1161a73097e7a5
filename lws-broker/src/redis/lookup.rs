//! A connection that asks where the topics are, and ends: a sentinel for a master, or a node of a cluster for the one that has a slot.

#[cfg(test)]
mod tests;

use super::parser::RespParser;
use super::session::fault;
use super::value::RespValue;
use super::{RedisOptions, RedisServers, Sentinels, command, slot};
use crate::{Bytes, Cause, Endpoint, Features, Receipt, Session, SessionEvent, Time, Topic};
use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::rc::Rc;

/// What a person can do about a sentinel that wants another password.
const SENTINEL_PASSWORD: &str = "sentinels have users and passwords of their own: name them, as in \
     redis+sentinel://host/master?sentinel-user=name&sentinel-password=secret";
const NO_SENTINEL: &str = "this is no sentinel: its port is 26379 by default";
const UNKNOWN_MASTER: &str = "the sentinels watch others: see SENTINEL MASTERS for their names";
const UNCOVERED: &str = "no node of the cluster has the slot of the topics: see CLUSTER INFO";
const NO_CLUSTER: &str = "this server belongs to no cluster: name it as redis://host";

/// One connection that asks.
pub(super) struct LookupSession {
    options: Rc<RedisOptions>,
    /// The server that is asked.
    here: Endpoint,
    parser: RespParser,
    output: BytesMut,
    progress: LookupProgress,
    events: VecDeque<SessionEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookupProgress {
    /// The answer to `HELLO` is owed.
    Greeting,
    /// That to the question is.
    Asked,
    Over,
}

impl LookupSession {
    pub(super) fn new(options: Rc<RedisOptions>, here: Endpoint) -> Self {
        let mut output = BytesMut::new();
        let (user, password) = match &options.servers {
            RedisServers::Sentinel(Sentinels { user, password, .. }) => (user, password),
            _ => (&options.user, &options.password),
        };
        command::hello(&mut output, user.as_deref(), password.as_deref(), &options.client_name);
        match &options.servers {
            RedisServers::Sentinel(Sentinels { master, .. }) => {
                command::write(&mut output, &[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", master.as_bytes()]);
            }
            _ => command::write(&mut output, &[b"CLUSTER", b"SLOTS"]),
        }
        let parser = RespParser::new(options.limits.clone());
        let progress = LookupProgress::Greeting;
        Self { options, here, parser, output, progress, events: VecDeque::new() }
    }

    fn on_value(&mut self, value: &RespValue) -> Result<(), Cause> {
        match (self.progress, value) {
            (_, RespValue::Push(_)) => Ok(()),
            (_, RespValue::Error(error)) => Err(self.refusal(error)),
            (LookupProgress::Greeting, _) => {
                self.progress = LookupProgress::Asked;
                Ok(())
            }
            (LookupProgress::Asked, _) => {
                self.progress = LookupProgress::Over;
                let there = self.found(value)?;
                self.events.extend([SessionEvent::Directed(there), SessionEvent::Over]);
                Ok(())
            }
            (LookupProgress::Over, _) => Ok(()),
        }
    }

    /// Where the topics are, by the answer to the question.
    fn found(&mut self, answer: &RespValue) -> Result<Endpoint, Cause> {
        match &self.options.servers {
            RedisServers::Sentinel(Sentinels { master, .. }) => match answer {
                RespValue::Null => Err(refused(format!("no master {master}"), UNKNOWN_MASTER)),
                answer => {
                    address(answer, &self.here).ok_or(Cause::Violation("a master is a host and a port"))
                }
            },
            _ => {
                // Without a hash tag topics are in all slots: the node that has the first one is as good as others.
                let wanted = slot::hash_tag(&self.options.prefix).map_or(0, slot::slot);
                let nodes = slot::nodes(answer, wanted, &self.here)
                    .ok_or(Cause::Violation("an answer to CLUSTER SLOTS of another form"))?;
                self.events.push_back(SessionEvent::Endpoints(nodes.all));
                nodes.master.ok_or_else(|| refused(format!("no node has slot {wanted}"), UNCOVERED))
            }
        }
    }

    /// An error of the server. A sentinel has other reasons for its errors than a server with topics.
    fn refusal(&self, error: &[u8]) -> Cause {
        let begins = |code: &str| error.starts_with(code.as_bytes());
        let is_sentinel = matches!(self.options.servers, RedisServers::Sentinel(_));
        let advice = match self.progress {
            LookupProgress::Greeting if is_sentinel && (begins("NOAUTH") || begins("WRONGPASS")) => {
                SENTINEL_PASSWORD
            }
            LookupProgress::Asked if is_sentinel && begins("ERR unknown command") => NO_SENTINEL,
            LookupProgress::Asked if begins("ERR This instance has cluster support disabled") => NO_CLUSTER,
            _ => return super::advice::judge(error).1,
        };
        refused(Cause::words(error), advice)
    }
}

/// A host and a port as two texts.
fn address(answer: &RespValue, here: &Endpoint) -> Option<Endpoint> {
    let RespValue::Array(parts) = answer else { return None };
    let [host, port] = &parts[..] else { return None };
    let port = std::str::from_utf8(port.octets()?).ok()?.parse().ok()?;
    let host = host.octets().filter(|host| !host.is_empty())?;
    slot::endpoint(host, port, here)
}

fn refused(error: String, advice: &'static str) -> Cause {
    Cause::Refused { error, advice }
}

/// It is over before anything is subscribed to or published.
impl Session for LookupSession {
    fn features(&self) -> Features {
        Features { echo: false, history: false, payload_bytes_max: 0 }
    }

    fn receive(&mut self, _now: Time, octets: &[u8]) {
        self.parser.feed(octets);
        while self.progress != LookupProgress::Over {
            let outcome = match self.parser.next() {
                Ok(Some(value)) => self.on_value(&value),
                Ok(None) => return,
                Err(error) => Err(fault(error)),
            };
            if let Err(cause) = outcome {
                self.progress = LookupProgress::Over;
                self.events.push_back(SessionEvent::Failed(cause));
            }
        }
    }

    fn transmit(&self) -> &[u8] {
        &self.output
    }

    fn transmitted(&mut self, count: usize) {
        self.output.advance(count.min(self.output.len()));
    }

    fn subscribe(&mut self, _topics: &[Topic]) {}

    fn unsubscribe(&mut self, _topics: &[Topic]) {}

    fn can_publish(&self) -> bool {
        false
    }

    fn publish(&mut self, _receipt: Receipt, _topic: &Topic, _payload: &Bytes) {}

    fn ping(&mut self) {}

    fn poll(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }
}
