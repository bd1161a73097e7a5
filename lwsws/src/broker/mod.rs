//! What processes share: a broker by its URL, and the states that stand behind its topics.

use crate::log::Log;
use crate::plugins::{SharedState, State};
use lws_server::broker::{BrokerOptions, Event};
use lws_server::{Builder, Context};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What all topics of this program that are shared begin with.
const PREFIX: &str = "lwsws/";

/// The states that processes share, if a broker was named.
#[derive(Clone)]
pub(crate) struct Sharing(Option<Arc<BrokerStates>>);

struct BrokerStates {
    options: BrokerOptions,
    /// By topic.
    states: Mutex<HashMap<String, Box<dyn FollowedState>>>,
}

/// A state that is there as long as something is served that shows it. Each call answers whether it is.
trait FollowedState: Send {
    /// It keeps up with other processes from now on.
    fn keep(&self, cx: &mut Context<'_>) -> bool;

    /// It asks for what it may have missed.
    fn ask(&self, cx: &mut Context<'_>) -> bool;
}

impl<S: State> FollowedState for Weak<SharedState<S>> {
    fn keep(&self, cx: &mut Context<'_>) -> bool {
        self.upgrade().map(|shared| shared.keep(cx)).is_some()
    }

    fn ask(&self, cx: &mut Context<'_>) -> bool {
        self.upgrade().map(|shared| shared.ask(cx)).is_some()
    }
}

impl Sharing {
    /// Nothing is shared.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// By the broker of a URL, if there is one.
    ///
    /// # Errors
    /// No broker has this URL.
    pub(crate) fn by(url: Option<&str>) -> io::Result<Self> {
        let Some(url) = url else { return Ok(Self::none()) };
        let options = BrokerOptions::from_url(PREFIX, url);
        let options = options.map_err(|error| io::Error::other(format!("the broker: {error}")))?;
        Ok(Self(Some(Arc::new(BrokerStates { options, states: Mutex::default() }))))
    }

    /// Has a server share its topics. What becomes of the broker is logged.
    pub(crate) fn connect(&self, builder: Builder, log: Option<&Log>) -> Builder {
        let Some(states) = &self.0 else { return builder };
        let (states, log) = (Arc::clone(states), log.cloned());
        let options = states.options.clone().on_event(move |cx, event| {
            if let Some(word) = word(event) {
                log.iter().for_each(|log| log.line(format!("lwsws: the broker: {word}")));
            }
            match event {
                // Before someone looks: another process may end that has what was drawn.
                Event::Up => states.lock().retain(|_, state| state.keep(cx)),
                Event::Subscribed { topic } | Event::Gap { topic } => states.ask(cx, topic.as_str()),
                _ => {}
            }
        });
        builder.broker(options)
    }

    /// A state that processes share, by its name; `None` if there is no broker.
    pub(crate) fn share<S: State>(
        &self,
        name: &str,
        state: impl FnOnce() -> S,
    ) -> Option<Arc<SharedState<S>>> {
        let states = self.0.as_ref()?;
        let shared = Arc::new(SharedState::new(format!("{PREFIX}{name}"), state()));
        states.lock().insert(shared.topic().to_owned(), Box::new(Arc::downgrade(&shared)));
        Some(shared)
    }
}

impl BrokerStates {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Box<dyn FollowedState>>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages to a topic may be missing.
    fn ask(&self, cx: &mut Context<'_>, topic: &str) {
        let mut states = self.lock();
        if states.get(topic).is_some_and(|state| !state.ask(cx)) {
            states.remove(topic);
        }
    }
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sharing").field(&self.0.is_some()).finish()
    }
}

/// What a person wants to know of.
fn word(event: &Event) -> Option<String> {
    match event {
        Event::Up => Some("it is there".to_owned()),
        Event::Down { cause, .. } => Some(cause.to_string()),
        Event::Refused { topic, cause, .. } => Some(format!("{topic}: {cause}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_by_its_url() {
        assert!(Sharing::by(None).is_ok_and(|sharing| sharing.0.is_none()));
        assert!(Sharing::by(Some("mesh:/run/lws")).is_ok_and(|sharing| sharing.0.is_some()));
        let error = Sharing::by(Some("http://db.example")).expect_err("no broker").to_string();
        assert!(error.starts_with("the broker: a broker is redis://"), "{error}");
    }
}
