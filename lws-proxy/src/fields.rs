//! Which fields go on to the other side, and which are made anew: RFC 9110 §7.6, RFC 7239.
//!
//! Pure functions of field lines. What `Connection` names is looked at before anything is added, so that no client can have our own fields
//! removed; and fields that matter to the next recipient may not be named there at all.

use crate::Refusal;
use ipnet::IpNet;
use lws_server::client::Fields;
use lws_server::http::{Status, Version};
use std::borrow::Cow;
use std::io::Write as _;
use std::net::IpAddr;

/// Which `Host` an upstream receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostRule {
    /// That of the client's request.
    #[default]
    Client,
    /// The upstream's own, as its URL says.
    Upstream,
}

/// The options of a proxy about fields.
#[derive(Debug)]
pub(crate) struct Rules {
    /// What this proxy is called in `Via`.
    pub(crate) name: String,
    via: Via,
    pub(crate) host: HostRule,
    pub(crate) trusted: Vec<IpNet>,
}

/// What this proxy adds to `Via`, for each version that a message has come with.
#[derive(Debug)]
struct Via {
    http10: String,
    http11: String,
    http2: String,
}

impl Via {
    fn of(name: &str) -> Self {
        Self { http10: format!("1.0 {name}"), http11: format!("1.1 {name}"), http2: format!("2 {name}") }
    }
}

impl Rules {
    /// Has the proxy be called something else.
    pub(crate) fn set_name(&mut self, name: String) {
        self.via = Via::of(&name);
        self.name = name;
    }
}

impl Default for Rules {
    fn default() -> Self {
        let name = "lws".to_owned();
        Self { via: Via::of(&name), name, host: HostRule::default(), trusted: Vec::new() }
    }
}

/// How a request has come here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// `None` of a peer on a Unix socket.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) secure: bool,
    pub(crate) version: Version,
}

/// Fields of one connection, whether or not `Connection` names them. RFC 9110 §7.6.1.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "alt-svc",
];

/// Fields that `Connection` must not name: removing them would change the decisions of the next recipient.
const NEVER_NAMED: [&str; 14] = [
    "content-length",
    "host",
    "transfer-encoding",
    "authorization",
    "cookie",
    "set-cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "via",
    "content-type",
];

/// What is said about where a request is from: ours alone to say, but for trusted peers.
const ORIGIN: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
];

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether a message's `Connection` has listed a name, among `named`.
fn is_named(name: &str, named: &[&[u8]]) -> bool {
    named.iter().any(|known| known.eq_ignore_ascii_case(name.as_bytes()))
}

/// The fields of a request for an upstream. `Host` and what frames the content are not among them.
///
/// # Errors
/// Why the request goes no further.
pub(crate) fn of_request(received: &Fields, arrival: Arrival, rules: &Rules) -> Result<Fields, Refusal> {
    let named: Vec<&[u8]> = received.list("connection").collect();
    if NEVER_NAMED.iter().any(|name| is_named(name, &named)) {
        return Err(Refusal::Fields);
    }
    if has_passed(received, &rules.name) {
        return Err(Refusal::Loop);
    }
    let trusts = arrival.peer.is_some_and(|peer| rules.trusted.iter().any(|network| network.contains(&peer)));
    let mut sent = Fields::new();
    for (name, value) in received.iter() {
        let ours = is_one_of(name, &["host", "content-length", "expect", "cookie", "via"])
            || is_one_of(name, &ORIGIN)
            // An underscore is a hyphen to some that read the fields as variables.
            || name.contains('_');
        if !ours && !is_one_of(name, &HOP_BY_HOP) && !is_named(name, &named) {
            sent.add(name, value);
        }
    }
    // RFC 9113 §8.2.3: cookie crumbs of HTTP/2 are joined into one line for other versions.
    if let Some(cookie) = joined(received, "cookie", b"; ") {
        sent.add("cookie", cookie);
    }
    sent.add("via", via(received, arrival.version, rules));
    add_origin(&mut sent, received, arrival, trusts);
    Ok(sent)
}

/// Adds what can be said to an upstream over HTTP/2 alone, where a field that lists what the client takes needs no `Connection`.
pub(crate) fn add_for_http2(sent: &mut Fields, takes_trailers: bool) {
    if takes_trailers {
        sent.add("te", "trailers");
    }
}

/// Whether a message has come through a proxy of this name. RFC 9110 §7.6.3.
fn has_passed(received: &Fields, name: &str) -> bool {
    received.list("via").any(|member| {
        let mut words = member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// The values of all lines of a name as one. Nearly always there is one line, which is not copied.
fn joined<'a>(fields: &'a Fields, name: &str, between: &[u8]) -> Option<Cow<'a, [u8]>> {
    let mut values = fields.get_all(name);
    let mut all = Cow::Borrowed(values.next()?);
    for value in values {
        let all = all.to_mut();
        all.extend_from_slice(between);
        all.extend_from_slice(value);
    }
    Some(all)
}

/// The value of `Via`: those through which a message has come before, and this proxy. RFC 9110 §7.6.3.
fn via<'a>(received: &Fields, version: Version, rules: &'a Rules) -> Cow<'a, [u8]> {
    let ours = match version {
        Version::Http10 => &rules.via.http10,
        Version::Http11 => &rules.via.http11,
        Version::Http2 => &rules.via.http2,
    };
    match joined(received, "via", b", ") {
        None => Cow::Borrowed(ours.as_bytes()),
        Some(before) => Cow::Owned([&before, &b", "[..], ours.as_bytes()].concat()),
    }
}

/// Adds the client of a request: after the values of trusted peers, and otherwise in place of the existing values.
fn add_origin(sent: &mut Fields, received: &Fields, arrival: Arrival, trusts: bool) {
    let Arrival { peer, secure, .. } = arrival;
    let proto = if secure { "https" } else { "http" };
    let host = received.get("host").unwrap_or_default();
    let before = |name: &str| if trusts { joined(received, name, b", ") } else { None };
    let begin = |text: &mut Vec<u8>, name: &str| {
        text.clear();
        if let Some(before) = before(name) {
            text.extend_from_slice(&before);
            text.extend_from_slice(b", ");
        }
    };
    // Room for an element of `Forwarded` with a usual name.
    let mut text = Vec::with_capacity(128);
    if let Some(peer) = peer {
        begin(&mut text, "x-forwarded-for");
        push_address(&mut text, peer);
        sent.add("x-forwarded-for", &text);
    }
    // What the client has asked for is known to the first proxy alone.
    sent.add("x-forwarded-proto", before("x-forwarded-proto").unwrap_or(Cow::Borrowed(proto.as_bytes())));
    sent.add("x-forwarded-host", before("x-forwarded-host").unwrap_or(Cow::Borrowed(host)));
    if let Some(port) = before("x-forwarded-port") {
        sent.add("x-forwarded-port", port);
    }
    begin(&mut text, "forwarded");
    push_element(&mut text, peer, proto, host);
    sent.add("forwarded", &text);
}

/// Writes one element of `Forwarded`. RFC 7239 §4.
fn push_element(text: &mut Vec<u8>, peer: Option<IpAddr>, proto: &str, host: &[u8]) {
    text.extend_from_slice(b"for=");
    match peer {
        // RFC 7239 §6: "an IPv6 address MUST be enclosed in square brackets" and quoted.
        Some(peer @ IpAddr::V6(_)) => {
            text.extend_from_slice(b"\"[");
            push_address(text, peer);
            text.extend_from_slice(b"]\"");
        }
        Some(peer) => push_address(text, peer),
        None => text.extend_from_slice(b"unknown"),
    }
    text.extend_from_slice(b";proto=");
    text.extend_from_slice(proto.as_bytes());
    // The engine lets no quote and no backslash into a `Host`.
    if !host.is_empty() && !host.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        text.extend_from_slice(b";host=\"");
        text.extend_from_slice(host);
        text.push(b'"');
    }
}

/// Writes an address. Of version 4 without the machinery of formats, which costs several times the rest of the field.
fn push_address(text: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // To memory nothing fails.
        let _ = write!(text, "{address}");
        return;
    };
    for (n, octet) in address.octets().into_iter().enumerate() {
        if n > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
}

/// The fields of a response for the client, made as they are written: nothing of them is kept a second time.
pub(crate) fn of_response<'a>(
    received: &'a Fields,
    status: Status,
    version: Version,
    rules: &'a Rules,
) -> impl Iterator<Item = (&'a str, Cow<'a, [u8]>)> {
    let named: Vec<&[u8]> = received.list("connection").collect();
    let has_length =
        !(status.is_interim() || status == Status::NO_CONTENT || status == Status::RESET_CONTENT);
    let via = (!status.is_interim()).then(|| ("via", via(received, version, rules)));
    let lines = received.iter().filter(move |(name, _)| {
        let hop = is_one_of(name, &HOP_BY_HOP)
            || is_one_of(name, &["via", "host"])
            || is_named(name, &named) && !is_one_of(name, &NEVER_NAMED);
        // RFC 9110 §8.6: there is no length where there is no content.
        !hop && (has_length || !name.eq_ignore_ascii_case("content-length"))
    });
    lines.map(|(name, value)| (name, Cow::Borrowed(value))).chain(via)
}

/// The fields of a trailer section. Fields that frame or route a message, or identify its client, are not allowed
/// there. RFC 9110 §6.5.1.
pub(crate) fn of_trailers(received: &Fields) -> Fields {
    let wanted = |name: &&str| !is_one_of(name, &HOP_BY_HOP) && !is_one_of(name, &NEVER_NAMED);
    received.iter().filter(|(name, _)| wanted(name)).collect()
}

/// Whether what a request says may make its connection that of one client: NTLM and Negotiate authenticate connections.
pub(crate) fn binds_connection(fields: &Fields) -> bool {
    fields.get_all("authorization").any(|value| {
        let scheme = value.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVAL: Arrival = Arrival {
        peer: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
        secure: false,
        version: Version::Http11,
    };

    fn fields(lines: &[(&str, &str)]) -> Fields {
        lines.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
    }

    fn sent(lines: &[(&str, &str)]) -> Fields {
        of_request(&fields(lines), ARRIVAL, &Rules::default()).expect("it is passed on")
    }

    fn names(fields: &Fields) -> Vec<String> {
        let mut names: Vec<_> = fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names
    }

    /// What is added to every request.
    const ADDED: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

    #[test]
    fn fields_of_one_hop_stay_on_it() {
        let sent = sent(&[
            ("Host", "a.example"),
            ("Connection", "close, X-Mine"),
            ("X-Mine", "1"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", "Basic eA=="),
            ("Content-Length", "5"),
            ("Expect", "100-continue"),
            ("X_Real_IP", "1.1.1.1"),
        ]);
        assert_eq!(names(&sent), ADDED);
    }

    #[test]
    fn connection_names_nothing_that_others_decide_by() {
        for name in NEVER_NAMED.into_iter().chain(["Content-Length", "X-FORWARDED-FOR"]) {
            let lines = [("Host", "a"), ("Connection", name), (name, "1")];
            let refused = of_request(&fields(&lines), ARRIVAL, &Rules::default());
            assert_eq!(refused.err(), Some(Refusal::Fields), "{name}");
        }
        for name in ADDED.into_iter().chain(["x-real-ip"]) {
            let lines = [("Host", "a"), ("Connection", "close, x"), ("Connection", name)];
            assert!(
                of_request(&fields(&lines), ARRIVAL, &Rules::default()).is_err(),
                "{name}, in a second line"
            );
        }
    }

    #[test]
    fn whom_a_request_is_from_is_ours_to_say() {
        let lines = [
            ("Host", "a.example"),
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-For", "198.51.100.1"),
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", "for=203.0.113.9"),
            ("X-Real-IP", "203.0.113.9"),
        ];
        let untrusted = sent(&lines);
        assert_eq!(untrusted.text("x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(untrusted.text("x-forwarded-proto"), Some("http"));
        assert_eq!(untrusted.text("forwarded"), Some("for=192.0.2.7;proto=http;host=\"a.example\""));
        assert!(!untrusted.has("x-real-ip"));

        let rules = Rules { trusted: vec!["192.0.2.0/24".parse().expect("a network")], ..Rules::default() };
        let trusted = of_request(&fields(&lines), ARRIVAL, &rules).expect("it is passed on");
        assert_eq!(trusted.text("x-forwarded-for"), Some("203.0.113.9, 198.51.100.1, 192.0.2.7"));
        assert_eq!(trusted.text("x-forwarded-proto"), Some("https"));
        assert_eq!(
            trusted.text("forwarded"),
            Some("for=203.0.113.9, for=192.0.2.7;proto=http;host=\"a.example\"")
        );
        let v6 = Arrival { peer: "2001:db8::1".parse().ok(), secure: true, ..ARRIVAL };
        let sent = of_request(&fields(&[]), v6, &rules).expect("it is passed on");
        assert_eq!(sent.text("forwarded"), Some("for=\"[2001:db8::1]\";proto=https"));
        let local = Arrival { peer: None, ..ARRIVAL };
        let sent =
            of_request(&fields(&[("X-Forwarded-For", "1.2.3.4")]), local, &rules).expect("it is passed on");
        assert_eq!(
            (sent.text("forwarded"), sent.has("x-forwarded-for")),
            (Some("for=unknown;proto=http"), false)
        );
    }

    #[test]
    fn a_request_that_was_here_before_goes_no_further() {
        assert_eq!(sent(&[("Via", "1.0 other")]).text("via"), Some("1.0 other, 1.1 lws"));
        for via in ["1.1 lws", "1.0 a, 2 LWS (comment), 1.1 b"] {
            let refused = of_request(&fields(&[("Via", via)]), ARRIVAL, &Rules::default());
            assert_eq!(refused.err(), Some(Refusal::Loop), "{via}");
        }
    }

    #[test]
    fn crumbs_are_joined_and_trailers_are_asked_for_where_they_can_be() {
        let lines = [("Cookie", "a=1"), ("Cookie", "b=2"), ("TE", "trailers")];
        let over_http1 = sent(&lines);
        assert_eq!(over_http1.get_all("cookie").collect::<Vec<_>>(), [b"a=1; b=2"]);
        assert!(!over_http1.has("te"));
        let mut over_http2 = over_http1.clone();
        add_for_http2(&mut over_http2, true);
        assert_eq!(over_http2.text("te"), Some("trailers"));
    }

    #[test]
    fn a_response_keeps_what_is_its_own() {
        let received = fields(&[
            ("Date", "Sun, 29 Nov 2026 12:00:00 GMT"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Connection", "keep-alive, X-Mine, Content-Length"),
            ("X-Mine", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Alt-Svc", "h3=\":443\""),
            ("Content-Length", "5"),
            ("Via", "1.1 inner"),
        ]);
        let rules = Rules::default();
        let of = |status| -> Fields {
            let mut sent = Fields::new();
            of_response(&received, status, Version::Http11, &rules)
                .for_each(|(name, value)| sent.add(name, value));
            sent
        };
        assert_eq!(names(&of(Status::OK)), ["content-length", "date", "set-cookie", "set-cookie", "via"]);
        assert_eq!(of(Status::OK).text("via"), Some("1.1 inner, 1.1 lws"));
        assert_eq!(names(&of(Status::NO_CONTENT)), ["date", "set-cookie", "set-cookie", "via"]);
    }

    #[test]
    fn trailers_frame_and_route_nothing() {
        let received = fields(&[("Grpc-Status", "0"), ("Content-Length", "5"), ("Host", "b"), ("Via", "x")]);
        assert_eq!(names(&of_trailers(&received)), ["grpc-status"]);
    }

    #[test]
    fn some_credentials_are_those_of_a_connection() {
        for (value, binds) in
            [("NTLM TlRM", true), ("negotiate YII", true), ("Basic eA==", false), ("Bearer negotiate", false)]
        {
            assert_eq!(binds_connection(&fields(&[("Authorization", value)])), binds, "{value}");
        }
    }
}
