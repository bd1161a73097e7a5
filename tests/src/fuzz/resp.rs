//! RESP3: the same values however the input is cut, within the limits, and those that another parser reads; and the sessions that ask
//! sentinels and nodes of a cluster, and those of topics with history, which report the same however it is cut.

use super::split_off_cuts;
use lws_broker::redis::{Redis, RedisOptions, RespError, RespLimits, RespParser, RespValue};
use lws_broker::{Limits, Protocol, SessionEvent, Time, Topic};
use redis::Value;

/// Octets of a Redis server.
pub fn resp(input: &[u8]) {
    let limits = RespLimits {
        line_bytes_max: 64,
        bulk_bytes_max: 200,
        value_bytes_max: 400,
        elements_max: 50,
        depth_max: 4,
    };
    let (octets, cuts) = split_off_cuts(input);
    let whole = read(octets, &[octets.len().max(1)], &limits);
    let one_by_one = read(octets, &[1], &limits);
    assert_eq!(values(&whole.0), values(&one_by_one.0));
    assert_eq!(whole.1, one_by_one.1);
    let sizes: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) + 1).collect();
    if !sizes.is_empty() {
        assert_eq!(values(&read(octets, &sizes, &limits).0), values(&whole.0));
    }
    for url in ["redis+sentinel://a/main", "redis+cluster://a", "redis://a?history=9"] {
        let whole = session(url, octets, &[octets.len().max(1)], &limits);
        assert_eq!(session(url, octets, &[1], &limits), whole, "{url}");
    }
    let mut from = 0;
    for (value, to) in one_by_one.0 {
        compare(&octets[from..to], &value);
        from = to;
    }
}

/// What a session reports of what comes behind its greeting.
fn session(url: &str, octets: &[u8], sizes: &[usize], limits: &RespLimits) -> Vec<String> {
    let options = RedisOptions { limits: limits.clone(), ..RedisOptions::from_url(url).expect("a URL") };
    let mut redis = Redis::new(options, &Limits::default());
    redis.endpoint();
    let mut session = redis.session(Time::ZERO);
    session.receive(Time::ZERO, b"%0\r\n");
    if session.features().history {
        session.receive(Time::ZERO, b"+master_replid2:0\r\n+p\r\n+h\r\n");
        let topic = Topic::new("a").expect("a name");
        session.subscribe(std::slice::from_ref(&topic));
        session.recover(&topic, None);
    }
    let (mut seen, mut rest, mut sizes) = (Vec::new(), octets, sizes.iter().cycle());
    loop {
        while let Some(event) = session.poll() {
            let is_over = matches!(event, SessionEvent::Failed(_) | SessionEvent::Over);
            seen.push(format!("{event:?}"));
            if is_over {
                assert_eq!(session.poll(), None, "it is over");
                return seen;
            }
        }
        if rest.is_empty() {
            return seen;
        }
        let (part, after) = rest.split_at(sizes.next().map_or(1, |size| *size).min(rest.len()));
        session.receive(Time::ZERO, part);
        rest = after;
    }
}

type Found = (Vec<(RespValue, usize)>, Option<RespError>);

/// The values, each with the number of octets that had been fed when it was complete.
fn read(octets: &[u8], sizes: &[usize], limits: &RespLimits) -> Found {
    let mut parser = RespParser::new(limits.clone());
    let (mut found, mut fed, mut sizes) = (Vec::new(), 0, sizes.iter().cycle());
    while fed < octets.len() {
        let to = (fed + sizes.next().copied().unwrap_or(1)).min(octets.len());
        parser.feed(&octets[fed..to]);
        fed = to;
        loop {
            match parser.next() {
                Ok(Some(value)) => found.push((value, fed)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.next(), Err(error), "an error stays");
                    return (found, Some(error));
                }
            }
        }
    }
    (found, None)
}

fn values(found: &[(RespValue, usize)]) -> Vec<String> {
    // As text, in which one NaN is the other.
    found.iter().map(|(value, _)| format!("{value:?}")).collect()
}

/// The other parser reads what we accept; but that its lines are UTF-8, a push begins with a text, and few attributes follow each other.
fn compare(octets: &[u8], ours: &RespValue) {
    match redis::parse_redis_value(octets) {
        Ok(theirs) => assert!(is_same(ours, &theirs), "{ours:?}\n{theirs:?}"),
        Err(error) => {
            let stricter = std::str::from_utf8(octets).is_err()
                || octets.iter().filter(|octet| **octet == b'|').count() > 50
                || matches!(ours, RespValue::Push(parts) if parts.first().is_none_or(|kind| kind.octets().is_none()))
                || octets.contains(&b'|') && octets.contains(&b'>');
            assert!(stricter, "{ours:?}: {error}");
        }
    }
}

fn is_same(ours: &RespValue, theirs: &Value) -> bool {
    let all = |ours: &[RespValue], theirs: &[Value]| {
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
    };
    match (ours, theirs) {
        (ours, Value::Attribute { data, .. }) => is_same(ours, data),
        (RespValue::Simple(text), Value::Okay) => &text[..] == b"OK",
        (RespValue::Simple(text), Value::SimpleString(other)) => text == other,
        (RespValue::Error(_), Value::ServerError(_)) | (RespValue::Null, Value::Nil) => true,
        (RespValue::Integer(number), Value::Int(other)) => number == other,
        (RespValue::Bulk(octets), Value::BulkString(other)) => octets == other,
        (RespValue::Boolean(truth), Value::Boolean(other)) => truth == other,
        (RespValue::Double(number), Value::Double(other)) => {
            number == other || number.is_nan() && other.is_nan()
        }
        (RespValue::BigNumber(digits), Value::BigNumber(other)) => digits == other,
        (RespValue::Verbatim(_), Value::VerbatimString { .. }) => true,
        (RespValue::Array(ours), Value::Array(theirs)) | (RespValue::Set(ours), Value::Set(theirs)) => {
            all(ours, theirs)
        }
        (RespValue::Map(ours), Value::Map(theirs)) => {
            let pairs = ours.iter().zip(theirs);
            ours.len() == theirs.len()
                && pairs.into_iter().all(|(a, b)| is_same(&a.0, &b.0) && is_same(&a.1, &b.1))
        }
        (RespValue::Push(ours), Value::Push { data, .. }) => ours.is_empty() || all(&ours[1..], data),
        _ => false,
    }
}
