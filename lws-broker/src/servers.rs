//! Servers that are used in turn: those that were named, and those that they name themselves. Knows no protocol.

use crate::Endpoint;
use std::fmt;

/// The most servers of each kind that are kept.
pub(crate) const SERVERS_MAX: usize = 64;

/// Servers of which any may answer, used in turn. At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerList {
    /// Those that were named. Invariant: 1 to [`SERVERS_MAX`].
    named: Vec<Endpoint>,
    /// Those that a server has named last, without the ones above.
    learnt: Vec<Endpoint>,
    next: usize,
}

/// No server was named, or more than 64 were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAServerList;

impl fmt::Display for NotAServerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "servers that are used in turn are 1 to {SERVERS_MAX}")
    }
}

impl std::error::Error for NotAServerList {}

impl ServerList {
    /// Servers by their addresses.
    ///
    /// # Errors
    /// There is none, or there are more than 64.
    pub fn new(named: Vec<Endpoint>) -> Result<Self, NotAServerList> {
        let valid = (1..=SERVERS_MAX).contains(&named.len());
        if valid { Ok(Self { named, learnt: Vec::new(), next: 0 }) } else { Err(NotAServerList) }
    }

    /// The servers that were named.
    #[must_use]
    pub fn named(&self) -> &[Endpoint] {
        &self.named
    }

    /// How many are used in turn.
    pub(crate) fn count(&self) -> usize {
        self.named.len() + self.learnt.len()
    }

    /// The next one in turn.
    pub(crate) fn next(&mut self) -> Endpoint {
        let index = self.next % self.count();
        self.next = index + 1;
        let endpoint = self.named.get(index).or_else(|| self.learnt.get(index - self.named.len()));
        // `index` is below the sum of both lengths.
        endpoint.unwrap_or(&self.named[0]).clone()
    }

    /// What a server names takes the place of what was learnt before.
    pub(crate) fn learn(&mut self, mut endpoints: Vec<Endpoint>) {
        endpoints.retain(|endpoint| !self.named.contains(endpoint));
        endpoints.truncate(SERVERS_MAX);
        self.learnt = endpoints;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(names: &[&str]) -> Vec<Endpoint> {
        names.iter().map(|name| Endpoint::Unix(name.into())).collect()
    }

    #[test]
    fn servers_are_used_in_turn_and_what_they_name_comes_behind_those_that_were_named() {
        let mut list = ServerList::new(servers(&["a", "b"])).expect("two");
        let take = |list: &mut ServerList, count: usize| (0..count).map(|_| list.next()).collect::<Vec<_>>();
        assert_eq!(take(&mut list, 3), servers(&["a", "b", "a"]));
        list.learn(servers(&["b", "c"]));
        assert_eq!(take(&mut list, 4), servers(&["b", "c", "a", "b"]));
        list.learn(Vec::new());
        assert_eq!(take(&mut list, 2), servers(&["a", "b"]));
    }

    #[test]
    fn a_list_has_a_server_and_a_bound() {
        let many = |count: usize| vec![Endpoint::Unix("a".into()); count];
        for (count, valid) in [(0, false), (1, true), (SERVERS_MAX, true), (SERVERS_MAX + 1, false)] {
            assert_eq!(ServerList::new(many(count)).is_ok(), valid, "{count}");
        }
        let mut list = ServerList::new(servers(&["b"])).expect("one");
        list.learn(many(SERVERS_MAX + 1));
        assert_eq!(list.count(), 1 + SERVERS_MAX);
    }
}
