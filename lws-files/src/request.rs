//! What is asked for: the parts of a request that decide which file is sent, and how much of it.
//!
//! Read once, into values of its own, so that it can wait while the request's bytes are gone.

use crate::coding::Said;
use crate::conditions::Reading;
use crate::{Accepted, Conditions, list};
use lws_proto::http::{HttpDate, Method};
use std::sync::Arc;

/// A request for a file.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: Method,
    /// Names joined by `/`, without `/` in front. `.` is the root without the `/` that its files are relative to.
    pub(crate) names: Arc<str>,
    /// The last segment of the path as the peer wrote it, where that is not the last of `names`.
    pub(crate) segment: Option<Box<str>>,
    pub(crate) query: Option<String>,
    pub(crate) accepted: Accepted,
    pub(crate) conditions: Conditions,
    pub(crate) wants: Wants,
    pub(crate) navigates: bool,
}

/// The form of errors that a client prefers: that of a browser, or that of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Wants {
    #[default]
    Html,
    Json,
}

impl Request {
    /// A request by GET or HEAD.
    ///
    /// `names` is the path below the mount, as [`normalize_path`](lws_proto::http::normalize_path) leaves it: `""` for the mount
    /// with `/` at its end and `"."` without. `path` is the whole path as the peer wrote it, and `query` what follows it: a
    /// redirect repeats their ends. `fields` are all field lines, and `now` is the date.
    ///
    /// ```
    /// use lws_files::Request;
    /// use lws_proto::http::{HttpDate, Method, normalize_path};
    ///
    /// let (path, now) = ("/static/a%20b.txt", HttpDate::from_unix(1_800_000_000));
    /// let names = normalize_path(path).and_then(|names| Some(names.strip_prefix("static/")?.to_owned()));
    /// let fields = [("accept-encoding", &b"gzip"[..]), ("range", b"bytes=0-9")];
    /// let request = Request::new(Method::Get, &names.unwrap_or_default(), path, None, fields, now);
    /// # let _ = request;
    /// ```
    #[must_use]
    pub fn new<'a>(
        method: Method,
        names: &str,
        path: &str,
        query: Option<&str>,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        now: HttpDate,
    ) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.as_bytes(), value));
        Self::of_octets(method, names, path, query, fields, now)
    }

    /// As [`new`](Self::new), with the names of fields as octets: [`Head::field_octets`](lws_proto::http::Head::field_octets).
    #[must_use]
    pub fn of_octets<'a>(
        method: Method,
        names: &str,
        path: &str,
        query: Option<&str>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        now: HttpDate,
    ) -> Self {
        let (mut said, mut reading, mut likes, mut mode) =
            (Said::default(), Reading::default(), Likes::default(), None);
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"accept") {
                list::members(value).filter_map(list::weighted).for_each(|range| likes.note(range));
            } else if name.eq_ignore_ascii_case(b"accept-encoding") {
                said.line(value);
            } else if name.eq_ignore_ascii_case(b"sec-fetch-mode") {
                mode = mode.or(Some(value));
            } else {
                reading.note(name, value, now);
            }
        }
        Self {
            method,
            names: names.into(),
            segment: Some(last_segment(path))
                .filter(|segment| *segment != last_segment(names))
                .map(Into::into),
            query: query.map(Into::into),
            accepted: said.accepted(),
            conditions: reading.conditions,
            wants: likes.wants(),
            navigates: navigates(method, mode, likes.names_html),
        }
    }

    /// The same place in another form, to which a directory without `/` at its end is redirected. It begins with `./`, so that
    /// no name is taken for a scheme or a server, and is relative, so that it holds behind a proxy too. RFC 3986 §4.2.
    pub(crate) fn with_slash(&self) -> String {
        let segment = self.segment.as_deref().unwrap_or_else(|| last_segment(&self.names));
        match &self.query {
            Some(query) => format!("./{segment}/?{query}"),
            None => format!("./{segment}/"),
        }
    }
}

/// What follows the last `/`.
fn last_segment(path: &str) -> &str {
    let slash = path.bytes().rposition(|byte| byte == b'/');
    slash.and_then(|slash| path.get(slash + 1..)).unwrap_or(path)
}

/// Whether a person goes somewhere, as opposed to a page that loads what it consists of.
fn navigates(method: Method, mode: Option<&[u8]>, names_html: bool) -> bool {
    let mode = mode.map(|mode| mode.eq_ignore_ascii_case(b"navigate"));
    // Browsers say so. Of others, who names HTML wants a page.
    matches!(method, Method::Get | Method::Head) && mode.unwrap_or(names_html)
}

/// What the ranges of `Accept` say of the types that are made here: for each the most specific range that has it, and its weight.
/// RFC 9110 §12.5.1.
#[derive(Default)]
struct Likes {
    html: (u8, u16),
    json: (u8, u16),
    problem: (u8, u16),
    /// Whether HTML is named, and not refused.
    names_html: bool,
}

impl Likes {
    fn note(&mut self, (range, weight): (&[u8], u16)) {
        let is = |other: &[u8]| range.eq_ignore_ascii_case(other);
        let more = |slot: &mut (u8, u16), rank| *slot = (*slot).max((rank, weight));
        if is(b"*/*") {
            [&mut self.html, &mut self.json, &mut self.problem].into_iter().for_each(|slot| more(slot, 1));
        } else if is(b"text/*") {
            more(&mut self.html, 2);
        } else if is(b"application/*") {
            more(&mut self.json, 2);
            more(&mut self.problem, 2);
        } else if is(b"text/html") {
            more(&mut self.html, 3);
            self.names_html |= weight > 0;
        } else if is(b"application/json") {
            more(&mut self.json, 3);
        } else if is(b"application/problem+json") {
            more(&mut self.problem, 3);
        }
    }

    fn wants(&self) -> Wants {
        let json = self.json.1.max(self.problem.1);
        if json > self.html.1 { Wants::Json } else { Wants::Html }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&'static str, &'static str)]) -> Request {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        Request::new(Method::Get, "a", "/x/a%3a", Some("q"), fields, HttpDate::from_unix(0))
    }

    #[test]
    fn who_likes_json_better_gets_json() {
        for (accept, wants) in [
            ("application/json", Wants::Json),
            ("application/problem+json", Wants::Json),
            ("application/json, text/html;q=0.9", Wants::Json),
            ("application/*, text/html;q=0.9", Wants::Json),
            ("text/html, application/json", Wants::Html),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Wants::Html),
            ("*/*", Wants::Html),
            ("application/json;q=0, */*", Wants::Html),
            ("", Wants::Html),
        ] {
            assert_eq!(request(&[("Accept", accept)]).wants, wants, "{accept}");
        }
    }

    #[test]
    fn only_who_goes_somewhere_navigates() {
        for (fields, expected) in [
            (&[("Accept", "text/html,*/*;q=0.8")][..], true),
            (&[("Accept", "text/html"), ("Sec-Fetch-Mode", "cors")], false),
            (&[("Accept", "*/*"), ("Sec-Fetch-Mode", "navigate")], true),
            (&[("Accept", "*/*")], false),
            (&[("Accept", "text/html;q=0")], false),
            (&[], false),
        ] {
            assert_eq!(request(fields).navigates, expected, "{fields:?}");
        }
    }

    #[test]
    fn a_redirect_is_relative_and_repeats_what_the_peer_wrote() {
        assert_eq!(request(&[]).with_slash(), "./a%3a/?q");
    }
}
