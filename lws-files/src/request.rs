//! What is asked for: the parts of a request that decide which file is sent, and how much of it.
//!
//! Read once, into values of its own, so that it can wait while the request's bytes are gone.

use crate::{Accepted, Conditions, list};
use lws_proto::http::{HttpDate, Method};
use std::sync::Arc;

/// A request for a file.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: Method,
    /// Names joined by `/`, without `/` in front. `.` is the root without the `/` that its files are relative to.
    pub(crate) names: Arc<str>,
    /// The last segment of the path, as the peer wrote it.
    pub(crate) segment: String,
    pub(crate) query: Option<String>,
    pub(crate) accepted: Accepted,
    pub(crate) conditions: Conditions,
    pub(crate) wants: Wants,
    pub(crate) navigates: bool,
}

/// What a client would rather be told in: a person's browser, or a program.
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
        fields: impl IntoIterator<Item = (&'a str, &'a [u8]), IntoIter: Clone>,
        now: HttpDate,
    ) -> Self {
        let fields = fields.into_iter();
        let all = |called: &'static str| {
            let called =
                move |(name, value): (&'a str, &'a [u8])| name.eq_ignore_ascii_case(called).then_some(value);
            fields.clone().filter_map(called)
        };
        let html = weight(all("accept"), b"text/html");
        let json = weight(all("accept"), b"application/json")
            .max(weight(all("accept"), b"application/problem+json"));
        Self {
            method,
            names: names.into(),
            segment: path.rsplit('/').next().unwrap_or_default().into(),
            query: query.map(Into::into),
            accepted: Accepted::parse(all("accept-encoding")),
            conditions: Conditions::parse(fields.clone(), now),
            wants: if json > html { Wants::Json } else { Wants::Html },
            navigates: navigates(method, all("sec-fetch-mode").next(), names_html(all("accept"))),
        }
    }

    /// The same place in another form, to which a directory without `/` at its end is redirected. It begins with `./`, so that
    /// no name is taken for a scheme or a server, and is relative, so that it holds behind a proxy too. RFC 3986 §4.2.
    pub(crate) fn with_slash(&self) -> String {
        match &self.query {
            Some(query) => format!("./{}/?{query}", self.segment),
            None => format!("./{}/", self.segment),
        }
    }
}

/// Whether a person goes somewhere, as opposed to a page that loads what it consists of.
fn navigates(method: Method, mode: Option<&[u8]>, names_html: bool) -> bool {
    let mode = mode.map(|mode| mode.eq_ignore_ascii_case(b"navigate"));
    // Browsers say so. Of others, who names HTML wants a page.
    matches!(method, Method::Get | Method::Head) && mode.unwrap_or(names_html)
}

fn names_html<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> bool {
    values.any(|value| {
        list::members(value).any(|member| {
            list::weighted(member)
                .is_some_and(|(range, weight)| range.eq_ignore_ascii_case(b"text/html") && weight > 0)
        })
    })
}

/// The weight of a media type: that of the most specific range which has it. RFC 9110 §12.5.1.
fn weight<'a>(values: impl Iterator<Item = &'a [u8]>, media_type: &[u8]) -> u16 {
    let kind = media_type.split(|&byte| byte == b'/').next().unwrap_or_default();
    let members = values.flat_map(list::members).filter_map(list::weighted);
    let ranked = members.filter_map(|(range, weight)| {
        let is_kind = || range.strip_suffix(b"/*").is_some_and(|range| range.eq_ignore_ascii_case(kind));
        let rank = match range {
            range if range.eq_ignore_ascii_case(media_type) => 2,
            b"*/*" => 0,
            _ if is_kind() => 1,
            _ => return None,
        };
        Some((rank, weight))
    });
    ranked.max().map_or(0, |(_, weight)| weight)
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
