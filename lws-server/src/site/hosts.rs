//! Which site a request is for: the names that the sites of a listener answer for. RFC 9110 §7.4.
//!
//! A server that only this machine reaches is reached by every page in a browser on it, too: one whose name is made to mean a
//! loopback address asks as if it had come from there ("DNS rebinding"). So a local listener answers for local names only, and
//! for those that its sites were given. With TLS the certificate keeps such a page out, before it can ask.

use lws_loop_external::Address;
use lws_proto::http::{Authority, Head, Target};
use std::cell::Cell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The sites of one listener, by the names that they answer for.
pub(crate) struct HostTable<T> {
    sites: Vec<T>,
    /// Names in lower case and without their last dot, each with the index of its site.
    exact: HashMap<Box<str>, usize>,
    /// The parents that `*.` stands before.
    below: HashMap<Box<str>, usize>,
    default: Option<DefaultSite>,
    /// The site whose names come first in their [order](HostNames::order).
    first: Option<usize>,
    /// The names that almost every request has, as they are written in `Host`: compared before anything is parsed.
    verbatim: Vec<Verbatim>,
    /// The one of them that was asked for last, which the next request mostly asks for, too.
    recent: Cell<usize>,
}

/// The site of names that no other one has.
#[derive(Clone, Copy, Debug)]
struct DefaultSite {
    index: usize,
    /// It was given every name, at listeners too that only this machine reaches.
    any: bool,
}

struct Verbatim {
    name: Box<str>,
    index: usize,
    /// Whether it is a name of this machine, which counts only where the request needs a name.
    local: bool,
}

/// How many names are compared as they are written.
const VERBATIM_MAX: usize = 8;

/// What browsers and tools write for this machine. Other spellings mean it, too: [`is_local_name`].
const LOCAL_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// By what a request has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// By TLS.
    pub(crate) secure: bool,
    /// By a listener that only this machine reaches.
    pub(crate) local: bool,
}

impl Arrival {
    /// Whether a page could have made its own name mean this listener, and be believed by a browser.
    fn needs_a_name(self) -> bool {
        self.local && !self.secure
    }
}

/// The names of one site in normal form.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostNames {
    exact: Vec<Box<str>>,
    below: Vec<Box<str>>,
    any: bool,
}

impl HostNames {
    /// # Errors
    /// The first one that is neither a host name without a port, an IP address as it stands in a URI, nor `*.` and a name.
    pub(crate) fn new(listed: &[String], any: bool) -> Result<Self, &str> {
        let mut names = Self { any, ..Self::default() };
        for name in listed {
            let (parent, list) = match name.strip_prefix("*.") {
                Some(parent) => (parent, &mut names.below),
                None => (name.as_str(), &mut names.exact),
            };
            let authority = Authority::parse(parent).filter(|authority| authority.port().is_none());
            let host = authority.map(|authority| normal(authority.host()));
            // An asterisk elsewhere is allowed in a host, and would stand for nothing but itself.
            let host = host.filter(|host| !host.is_empty() && !host.contains('*')).ok_or(name.as_str())?;
            list.push(host.to_ascii_lowercase().into());
        }
        Ok(names)
    }

    /// The order of the sites of one listener, whenever they came there: the default one is before all others, which stand in the
    /// alphabetical order of their first names.
    pub(crate) fn order(&self) -> (bool, Option<&str>) {
        let first = self.exact.iter().chain(&self.below).min();
        (!self.is_default(), first.map(|name| &**name))
    }

    /// Whether it answers for names that no other site has.
    fn is_default(&self) -> bool {
        self.any || self.exact.is_empty() && self.below.is_empty()
    }
}

/// Two sites of one listener have the same name, or two of them have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameTwice(pub(crate) Option<Box<str>>);

impl<T> HostTable<T> {
    /// No sites.
    pub(crate) fn empty() -> Self {
        let (exact, below, recent) = (HashMap::new(), HashMap::new(), Cell::new(0));
        Self { sites: Vec::new(), exact, below, default: None, first: None, verbatim: Vec::new(), recent }
    }

    /// # Errors
    /// A request could be for two of the sites.
    pub(crate) fn new<'n>(sites: impl Iterator<Item = (T, &'n HostNames)>) -> Result<Self, NameTwice> {
        let mut table = Self::empty();
        let mut named = Vec::new();
        let mut first: Option<(usize, &HostNames)> = None;
        for (index, (site, names)) in sites.enumerate() {
            if first.is_none_or(|(_, other)| names.order() < other.order()) {
                first = Some((index, names));
            }
            table.sites.push(site);
            for (list, map) in [(&names.exact, &mut table.exact), (&names.below, &mut table.below)] {
                for name in list {
                    if map.insert(name.clone(), index).is_some_and(|other| other != index) {
                        return Err(NameTwice(Some(name.clone())));
                    }
                }
            }
            named.extend(names.exact.iter().map(|name| Verbatim { name: name.clone(), index, local: false }));
            if names.is_default() && table.default.replace(DefaultSite { index, any: names.any }).is_some() {
                return Err(NameTwice(None));
            }
        }
        table.first = first.map(|(index, _)| index);
        table.verbatim = table.local_names().chain(named).take(VERBATIM_MAX).collect();
        Ok(table)
    }

    /// The names of this machine that no site has for itself.
    fn local_names(&self) -> impl Iterator<Item = Verbatim> + use<T> {
        let free = LOCAL_NAMES.map(|name| Some(name).filter(|name| !self.exact.contains_key(*name)));
        let verbatim = |name: &str, index| Verbatim { name: name.into(), index, local: true };
        let index = self.local_site();
        free.into_iter().flatten().filter_map(move |name| index.map(|index| verbatim(name, index)))
    }

    /// The site that a request is for; `None` if it was meant for another server, or for a scheme that is not spoken here.
    #[inline]
    pub(crate) fn find(&self, head: &Head<'_>, arrival: Arrival) -> Option<&T> {
        let index = match self.find_unparsed(head, arrival) {
            Some(index) => index,
            None => self.find_parsed(head, arrival)?,
        };
        self.sites.get(index)
    }

    /// Finds a site without the parser, as it can for almost every request.
    #[inline]
    fn find_unparsed(&self, head: &Head<'_>, arrival: Arrival) -> Option<usize> {
        if head.target_bytes().first() != Some(&b'/') {
            return None;
        }
        if let Some(sole) = self.default.filter(|_| self.exact.is_empty() && self.below.is_empty())
            && (sole.any || !arrival.needs_a_name())
        {
            return Some(sole.index);
        }
        // The engine has checked that it is an authority, so that a name with nothing or a port behind it is the whole host.
        let field = head.host()?;
        let is_whole_host = |name: &str| match field.split_at_checked(name.len()) {
            Some((host, rest)) => host == name.as_bytes() && matches!(rest, [] | [b':', ..]),
            None => false,
        };
        let counts = |known: &Verbatim| !known.local || self.default.is_some() || arrival.needs_a_name();
        let is_meant = |known: &Verbatim| counts(known) && is_whole_host(&known.name);
        if let Some(recent) = self.verbatim.get(self.recent.get()).filter(|known| is_meant(known)) {
            return Some(recent.index);
        }
        let found = self.verbatim.iter().position(is_meant)?;
        self.recent.set(found);
        self.verbatim.get(found).map(|known| known.index)
    }

    #[cold]
    fn find_parsed(&self, head: &Head<'_>, arrival: Arrival) -> Option<usize> {
        if let Some(Target::Absolute { scheme, .. }) = head.parsed_target()
            && !scheme.eq_ignore_ascii_case(if arrival.secure { "https" } else { "http" })
        {
            return None;
        }
        // A request of HTTP/1.0 may say nothing of a name; the engine has refused it in later versions. No browser leaves it out.
        let Some(authority) = head.authority() else { return self.local_site() };
        let host = normal(authority.host()).to_ascii_lowercase();
        let parents = || host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        let named = self.exact.get(&*host).or_else(|| parents().find_map(|parent| self.below.get(parent)));
        named.copied().or_else(|| {
            let default = self.default.filter(|default| default.any || !arrival.needs_a_name());
            let local = || self.local_site().filter(|_| arrival.needs_a_name() && is_local_name(&host));
            default.map(|default| default.index).or_else(local)
        })
    }

    /// The site that answers for this machine: the default one, or else the one whose names come first.
    fn local_site(&self) -> Option<usize> {
        self.default.map(|default| default.index).or(self.first)
    }
}

/// A name may end with the dot of the root. RFC 3986 §3.2.2.
fn normal(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether a name can only mean this machine: `localhost`, or a loopback address. RFC 6761 §6.3.
fn is_local_name(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match literal {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok_and(|address| is_loopback(address.into())),
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<Ipv4Addr>().is_ok_and(|address| is_loopback(address.into()))
        }
    }
}

/// Whether only this machine reaches `address`. That of all interfaces is not local: others come by it, too.
pub(crate) fn is_local(address: &Address) -> bool {
    match address {
        Address::Tcp(address) => is_loopback(address.ip()),
        _ => true,
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads;

    #[test]
    fn a_local_name_means_this_machine_whatever_a_name_server_says() {
        for name in
            ["localhost", "LocalHost", "127.0.0.1", "127.8.9.10", "[::1]", "[0:0::1]", "[::ffff:127.0.0.1]"]
        {
            assert!(is_local_name(name), "{name}");
        }
        for name in [
            "",
            "example.com",
            "localhost.example.com",
            "a.localhost",
            "0.0.0.0",
            "[::]",
            "128.0.0.1",
            "127.0.0.1.nip.io",
            "::1",
            "[::1",
            "127.1",
            "10.0.0.1",
            "[::ffff:0.0.0.0]",
            "[fe80::1]",
        ] {
            assert!(!is_local_name(name), "{name}");
        }
    }

    /// Which of the sites with these names a request with this `Host` is for.
    fn site_of(sites: &[(&[&str], bool)], host: &str, arrival: Arrival) -> Option<usize> {
        let names = |(listed, any): &(&[&str], bool)| {
            let listed: Vec<_> = listed.iter().map(|name| String::from(*name)).collect();
            HostNames::new(&listed, *any).expect("names")
        };
        let names: Vec<_> = sites.iter().map(names).collect();
        let table = HostTable::new(names.iter().enumerate()).unwrap_or_else(|twice| panic!("{twice:?}"));
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        heads::with_head(&request, |head| table.find(head, arrival).copied())
    }

    #[test]
    fn the_name_of_the_request_before_says_nothing_of_the_next_one() {
        let names: Vec<_> = ["a.example", "b.example"]
            .map(|name| HostNames::new(&[name.to_owned()], false).expect("names"))
            .into_iter()
            .collect();
        let table = HostTable::new(names.iter().enumerate()).unwrap_or_else(|twice| panic!("{twice:?}"));
        for (host, site) in [
            ("b.example", Some(1)),
            ("b.example:80", Some(1)),
            ("a.example", Some(0)),
            ("b.example.evil", None),
            ("b.example", Some(1)),
            ("b.exampl", None),
            ("A.example", Some(0)),
        ] {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let found = heads::with_head(&request, |head| table.find(head, OPEN).copied());
            assert_eq!(found, site, "{host}");
        }
    }

    const OPEN: Arrival = Arrival { secure: false, local: false };
    const LOCAL: Arrival = Arrival { secure: false, local: true };

    #[test]
    fn an_exact_name_wins_over_a_parent_and_a_parent_over_the_default() {
        let sites: [(&[&str], bool); 4] = [
            (&[], false),
            (&["a.example", "*.a.example"], false),
            (&["b.a.example"], false),
            (&["*.b.a.example"], false),
        ];
        for (host, site) in [
            ("a.example", 1),
            ("A.Example.:80", 1),
            ("b.a.example", 2),
            ("b.a.example:1", 2),
            ("c.a.example", 1),
            ("d.c.a.example", 1),
            ("c.b.a.example", 3),
            ("xa.example", 0),
            ("elsewhere", 0),
            ("localhost", 0),
        ] {
            assert_eq!(site_of(&sites, host, OPEN), Some(site), "{host}");
        }
    }

    #[test]
    fn names_that_no_site_has_are_for_the_default_one_or_for_none() {
        let named: [(&[&str], bool); 2] = [(&["a.example"], false), (&["b.example"], false)];
        let any: [(&[&str], bool); 2] = [(&["a.example"], false), (&["b.example"], true)];
        for (sites, host, arrival, site) in [
            (&named, "c.example", OPEN, None),
            (&named, "localhost", OPEN, None),
            (&named, "localhost", LOCAL, Some(0)),
            (&named, "127.9.9.9", LOCAL, Some(0)),
            (&named, "c.example", LOCAL, None),
            (&named, "b.example", LOCAL, Some(1)),
            (&any, "c.example", LOCAL, Some(1)),
            (&any, "c.example", OPEN, Some(1)),
            (&any, "localhost", OPEN, Some(1)),
        ] {
            assert_eq!(site_of(sites, host, arrival), site, "{host} {arrival:?}");
        }
    }

    #[test]
    fn two_sites_of_one_name_are_refused() {
        let names = |listed: &[&str]| {
            let listed: Vec<_> = listed.iter().map(|name| String::from(*name)).collect();
            HostNames::new(&listed, false).map_err(String::from)
        };
        let refused = |one: &[&str], other: &[&str]| {
            let names = [names(one).expect("names"), names(other).expect("names")];
            HostTable::new(names.iter().enumerate()).err()
        };
        assert_eq!(refused(&["a"], &["b", "A."]), Some(NameTwice(Some("a".into()))));
        assert_eq!(refused(&["*.a"], &["*.a"]), Some(NameTwice(Some("a".into()))));
        assert_eq!(refused(&[], &[]), Some(NameTwice(None)));
        assert_eq!(refused(&["a"], &["*.a"]), None);
        for name in ["a:80", "http://a", "a/b", "*", "*.", "a b"] {
            assert!(names(&[name]).is_err(), "{name}");
        }
    }

    #[test]
    fn an_address_is_local_if_no_other_machine_reaches_it() {
        for (address, local) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("unix:/run/x", true),
            ("unix:@x", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(is_local(&address.parse().expect("an address")), local, "{address}");
        }
    }
}
