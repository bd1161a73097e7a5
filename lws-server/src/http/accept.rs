//! What a client would rather have: `Accept` and `Accept-Language`. RFC 9110 §12.5.

use super::Request;

/// Members of one list that count; a peer has no reason to write more.
const MEMBERS_MAX: usize = 64;

impl Request<'_> {
    /// The one of `offered` media types that the client would rather have, by its `Accept`; of those that it likes as much the first
    /// one, and the first one if it does not say. `None` if it wants none of them, which is a 406. RFC 9110 §12.5.1.
    ///
    /// ```
    /// use lws_server::http::{Request, Response, Status};
    ///
    /// fn page(request: &Request<'_>) -> Response {
    ///     match request.preferred_type(&["text/html", "application/json"]) {
    ///         Some("text/html") => Response::html("<p>7</p>").field("Vary", "Accept"),
    ///         Some(_) => Response::json("7").field("Vary", "Accept"),
    ///         None => Response::error(Status::NOT_ACCEPTABLE),
    ///     }
    /// }
    /// # let _ = lws_server::Server::builder().get("/", page);
    /// ```
    #[must_use]
    pub fn preferred_type<'o>(&self, offered: &[&'o str]) -> Option<&'o str> {
        let wishes: Vec<_> = self.wishes("Accept");
        best(&wishes, offered, matches_type)
    }

    /// The one of `offered` languages, such as `en` and `de-AT`, that the client would rather have, by its `Accept-Language`; of those
    /// that it likes as much the first one, and the first one if it does not say. `None` if it wants none of them: most servers
    /// answer in a language of their choice then. RFC 9110 §12.5.4, and RFC 4647 §3.3.1 for what a range stands for.
    #[must_use]
    pub fn preferred_language<'o>(&self, offered: &[&'o str]) -> Option<&'o str> {
        let wishes: Vec<_> = self.wishes("Accept-Language");
        best(&wishes, offered, matches_language)
    }

    /// The members of a list with their weights. A member that is malformed is left out, as it says nothing.
    fn wishes(&self, name: &str) -> Vec<(&str, u16)> {
        wishes_of(self.get_all(name).filter_map(|line| std::str::from_utf8(line).ok()))
    }
}

/// The members of the lines of a list, with their weights.
pub(super) fn wishes_of<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<(&'l str, u16)> {
    lines.flat_map(|line| line.split(',')).take(MEMBERS_MAX).filter_map(wish).collect()
}

/// A member and its weight in thousandths. RFC 9110 §12.4.2.
fn wish(member: &str) -> Option<(&str, u16)> {
    let mut pieces = member.split(';').map(|piece| piece.trim_matches([' ', '\t']));
    let range = pieces.next().filter(|range| !range.is_empty())?;
    let weight = pieces.find_map(|piece| piece.strip_prefix("q=").or_else(|| piece.strip_prefix("Q=")));
    Some((range, weight.map_or(Some(1_000), thousandths)?))
}

fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1_000),
        _ => None,
    }
}

/// The offered one with the greatest weight. What is more specific decides over what is less. RFC 9110 §12.5.1.
pub(super) fn best<'o>(
    wishes: &[(&str, u16)],
    offered: &[&'o str],
    matches: impl Fn(&str, &str) -> Option<usize>,
) -> Option<&'o str> {
    if wishes.is_empty() {
        return offered.first().copied();
    }
    let weight = |offer: &str| {
        let matching = wishes.iter().filter_map(|(range, weight)| Some((matches(range, offer)?, *weight)));
        matching.max_by_key(|(specific, _)| *specific).map_or(0, |(_, weight)| weight)
    };
    let mut found: Option<(&'o str, u16)> = None;
    for offer in offered {
        let weight = weight(offer);
        if weight > found.map_or(0, |(_, weight)| weight) {
            found = Some((offer, weight));
        }
    }
    found.map(|(offer, _)| offer)
}

/// How specific a range is that stands for a media type.
pub(super) fn matches_type(range: &str, offer: &str) -> Option<usize> {
    let offer = offer.split(';').next().unwrap_or_default().trim_end();
    if range.eq_ignore_ascii_case(offer) {
        return Some(2);
    }
    let (kind, subtype) = range.split_once('/')?;
    match (kind, subtype) {
        ("*", "*") => Some(0),
        (kind, "*") if offer.split('/').next().is_some_and(|it| it.eq_ignore_ascii_case(kind)) => Some(1),
        _ => None,
    }
}

/// How specific a range is that stands for a language: it is a prefix of the tag, up to one of its hyphens.
fn matches_language(range: &str, offer: &str) -> Option<usize> {
    if range == "*" {
        return Some(0);
    }
    let is_prefix = offer.get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range));
    (is_prefix && matches!(offer.as_bytes().get(range.len()), None | Some(b'-'))).then_some(range.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(list: &str) -> Vec<(&str, u16)> {
        list.split(',').filter_map(wish).collect()
    }

    #[test]
    fn the_type_with_the_greatest_weight_is_chosen() {
        let check = |accept: &str, expected: Option<&str>| {
            let offered = ["text/html", "application/json", "text/plain; charset=utf-8"];
            assert_eq!(best(&wishes(accept), &offered, matches_type), expected, "{accept}");
        };
        check("", Some("text/html"));
        check("*/*", Some("text/html"));
        check("application/json", Some("application/json"));
        check("APPLICATION/JSON;q=0.9, text/*;q=0.1", Some("application/json"));
        check("text/*, text/html;q=0.5", Some("text/plain; charset=utf-8"));
        check("*/*;q=0.1, text/html;q=0", Some("application/json"));
        check("image/png", None);
        check("text/html;q=0", None);
        check("text/html;q=2, application/json;q=0.001", Some("application/json"));
        check("application/json;q=1.000", Some("application/json"));
    }

    #[test]
    fn a_language_range_is_a_prefix() {
        let check = |accept: &str, expected: Option<&str>| {
            assert_eq!(
                best(&wishes(accept), &["en-GB", "de", "pt-BR"], matches_language),
                expected,
                "{accept}"
            );
        };
        check("", Some("en-GB"));
        check("de-AT, de;q=0.5", Some("de"));
        check("en;q=0.3, DE;q=0.4", Some("de"));
        check("p, pt-b", None);
        check("fr, *;q=0.1", Some("en-GB"));
        check("*, en;q=0", Some("de"));
    }
}
