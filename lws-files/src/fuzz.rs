//! Bodies of fuzz targets. Each takes whatever bytes there are, and panics if something that always holds does not.

use crate::{
    Accepted, Coding, Conditions, Decision, EntityTag, Files, Htpasswd, Memory, Options, RangeSet,
    Representation, Request, Satisfied, ZipLimits,
};
use lws_proto::Time;
use lws_proto::http::{HttpDate, Method, Status, normalize_path};

/// A zip archive: whatever is taken lies inside of the file, and no two members share a byte or a name.
pub fn archive(bytes: &[u8]) {
    let Ok(mut members) = crate::zip::extents_of(bytes, &ZipLimits::default()) else { return };
    members.sort_by_key(|member| member.1);
    for pair in members.windows(2) {
        assert!(pair[0].1 + pair[0].2 <= pair[1].1, "members overlap");
        assert_ne!(pair[0].0, pair[1].0, "a name is there twice");
    }
    for (name, data, len) in &members {
        assert!(data + len <= bytes.len() as u64, "a member reaches past the end");
        assert!(!name.is_empty() && crate::vfs::is_downward(name), "a name leads elsewhere");
    }
}

/// The fields of a request, one in a line: what is decided fits what was asked.
pub fn conditions(bytes: &[u8]) {
    let now = HttpDate::from_unix(1_800_000_000);
    let names =
        ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];
    let fields = bytes.split(|&byte| byte == b'\n').take(64).filter_map(|line| {
        let (&at, value) = line.split_first()?;
        Some((*names.get(usize::from(at) % names.len())?, value))
    });
    let conditions = Conditions::parse(fields, now);
    for (len, ranges) in [(Some(0), true), (Some(1000), true), (Some(u64::MAX), true), (None, false)] {
        let tag = EntityTag::strong("v1");
        let representation =
            Representation { len, tag, modified: Some(now), coding: Coding::Identity, ranges };
        let decide = |method| conditions.decide(method, &Accepted::IDENTITY, &representation, now);
        let is_part = |decision: &Decision| matches!(decision, Decision::Part(_) | Decision::Parts(_));
        assert!(!is_part(&decide(Method::Head)), "HEAD has no parts");
        let decision = decide(Method::Get);
        assert!(ranges || !is_part(&decision), "what cannot be read from any position has no parts");
    }
}

/// A `Range` field: the parts lie inside, do not touch, and together are no longer than the whole.
pub fn ranges(value: &[u8]) {
    let Some(ranges) = RangeSet::parse(value) else { return };
    for len in [0, 1, 1000, 1 << 40, u64::MAX] {
        let Satisfied::Parts(mut parts) = ranges.satisfy(len) else { continue };
        assert!(!parts.is_empty() && parts.len() <= crate::RANGES_MAX);
        parts.sort_by_key(|part| part.first);
        assert!(parts.iter().all(|part| part.len > 0 && part.last() < len), "a part reaches past the end");
        assert!(parts.windows(2).all(|pair| pair[0].end() < pair[1].first), "parts touch");
    }
}

/// An `Accept-Encoding` field: no coding twice, and what was refused is refused.
pub fn accept_encoding(value: &[u8]) {
    let accepted = Accepted::parse([value]);
    let order: Vec<_> = accepted.iter().collect();
    assert!(order.iter().enumerate().all(|(at, coding)| !order[..at].contains(coding)));
    assert_eq!(accepted.choose(|_| true), order.first().copied());
}

/// The path of a request: it leads downwards or nowhere, and to nothing that is hidden.
pub fn paths(path: &[u8]) {
    let Some(names) = std::str::from_utf8(path).ok().and_then(normalize_path) else { return };
    assert!(
        crate::vfs::is_downward(names.strip_suffix('/').unwrap_or(&names)),
        "it leads elsewhere: {names}"
    );
    let memory = Memory::new().file("a/b", "seen").file(".a/b", "hidden").file("a/.b", "hidden");
    let files = Files::new(memory, Options::default());
    let date = HttpDate::from_unix(1_800_000_000);
    let request = Request::new(Method::Get, &names, "/", None, [], date);
    let Some(found) = files.find(&request, Time::ZERO, date) else { panic!("memory never waits") };
    let response = files.respond(&request, &found, date, &mut || 0);
    if response.status == Status::OK {
        assert_eq!((&*names, response.length), ("a/b", Some(4)), "something else was found");
    }
}

/// A file of users and passwords: each finding is about a line that is there, and what a line costs was checked.
pub fn passwords(file: &[u8]) {
    let users = Htpasswd::parse(file);
    let lines = file.split(|byte| *byte == b'\n').count();
    let mut last = 0;
    for (line, _) in users.problems() {
        assert!((last..=lines).contains(line) && *line > 0, "line {line} of {lines}");
        last = *line;
    }
    assert!(users.len() <= lines);
}
