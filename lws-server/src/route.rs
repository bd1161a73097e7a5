//! Which route a path belongs to: the longest that ends where a segment of the path ends.
//!
//! Knows paths and methods; what stands behind a route is the caller's.

use lws_proto::http::{Head, Method, normal_path};
use std::borrow::Cow;
use std::fmt;

/// Why a path is none for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotARoute {
    /// It is not absolute, or another path is its normal form.
    NotNormal,
    /// It looks like the pattern of another library, and would match nothing but itself.
    Pattern,
}

impl fmt::Display for NotARoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotNormal => "not a path for a route",
            Self::Pattern => "a route is a path and everything below it, not a pattern",
        })
    }
}

/// Whether a path has what stands for other text in the routes of other libraries: `*`, `{name}`, `<name>`, `:name`, or a
/// query. A name that begins with a colon or has one of these characters in it is rare, and can be served below its parent.
fn looks_like_a_pattern(path: &str) -> bool {
    path.contains(['*', '{', '}', '<', '>', '?', '#']) || path.split('/').any(|name| name.starts_with(':'))
}

/// Routes by path, the longest first.
pub(crate) struct Table<T> {
    /// Invariant: paths are unique, begin with `/`, and have no `/` at their end; the root is empty.
    routes: Vec<(Box<str>, T)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { routes: Vec::new() }
    }
}

impl<T> Table<T> {
    /// The route of `path`, made by `make` if there is none yet.
    ///
    /// # Errors
    /// It is no absolute path in normal form, or looks like a pattern.
    pub(crate) fn entry(&mut self, path: &str, make: impl FnOnce() -> T) -> Result<&mut T, NotARoute> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if looks_like_a_pattern(path) {
            return Err(NotARoute::Pattern);
        }
        if !path.is_empty() && normal_path(path).as_deref() != Some(path) {
            return Err(NotARoute::NotNormal);
        }
        let at = match self.routes.iter().position(|(known, _)| **known == *path) {
            Some(at) => at,
            None => {
                let at = self.routes.partition_point(|(known, _)| known.len() >= path.len());
                self.routes.insert(at, (path.into(), make()));
                at
            }
        };
        Ok(&mut self.routes[at].1)
    }

    /// The longest route that `path`, which begins with `/`, is or lies below.
    #[inline]
    pub(crate) fn find(&self, path: &str) -> Option<usize> {
        self.routes.iter().position(|(route, _)| {
            // The boundary first: it rules most routes out by one look.
            matches!(path.as_bytes().get(route.len()), None | Some(b'/')) && path.starts_with(&**route)
        })
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.routes.get(index).map(|(_, route)| route)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The routes and what they are called, by their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.routes.iter().map(|(path, route)| (&**path, route))
    }
}

/// The path of a request in normal form, as routes and handlers see it. `target` is that of `head`. `None` if it has none; empty
/// for a target that has no path. Almost every path is lent as it came.
#[inline]
pub(crate) fn path_of<'a>(head: &Head<'a>, target: &'a str) -> Option<Cow<'a, str>> {
    if !target.starts_with('/') {
        return path_of_other_form(head);
    }
    let mut last = 0;
    for (at, byte) in target.bytes().enumerate() {
        match byte {
            b'?' => return Some(Cow::Borrowed(&target[..at])),
            b'%' | b'\\' => return normal(head.path()),
            b'/' | b'.' if last == b'/' => return normal(head.path()),
            _ => last = byte,
        }
    }
    Some(Cow::Borrowed(target))
}

/// The absolute form has a path; those of CONNECT and `OPTIONS *` have none.
#[cold]
fn path_of_other_form<'a>(head: &Head<'a>) -> Option<Cow<'a, str>> {
    match head.path() {
        "" => Some(Cow::Borrowed("")),
        path => normal(path),
    }
}

#[cold]
fn normal(path: &str) -> Option<Cow<'static, str>> {
    normal_path(path).map(Cow::Owned)
}

/// The methods that a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Methods {
    Any,
    These(&'static [Method]),
}

impl Methods {
    #[inline]
    pub(crate) fn allow(self, method: Method) -> bool {
        match self {
            Self::Any => true,
            Self::These(methods) => methods.contains(&method),
        }
    }

    /// Whether a request could be for either.
    pub(crate) fn overlap(self, other: Self) -> bool {
        match (self, other) {
            (Self::These(methods), other) | (other, Self::These(methods)) => {
                methods.iter().any(|&method| other.allow(method))
            }
            (Self::Any, Self::Any) => true,
        }
    }
}

/// The value of `Allow` for a resource that answers `methods`, and OPTIONS: each once, in that order. RFC 9110 §10.2.1.
pub(crate) fn allow<'a>(methods: impl Iterator<Item = &'a Methods>) -> String {
    let listed = methods.flat_map(|methods| match methods {
        Methods::These(methods) => methods,
        Methods::Any => [].as_slice(),
    });
    let mut tokens: Vec<&str> = Vec::new();
    for method in listed.chain([&Method::Options]) {
        let token = method.token();
        // A method without a name of its own cannot be listed.
        if !token.is_empty() && !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&'static str]) -> Table<&'static str> {
        let mut table = Table::default();
        for path in paths {
            assert!(table.entry(path, || *path).is_ok(), "{path}");
        }
        table
    }

    #[test]
    fn the_longest_route_that_ends_with_a_segment_wins() {
        let table = table(&["/", "/a", "/a/b/", "/hello"]);
        for (path, route) in [
            ("/", "/"),
            ("/x", "/"),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/ab", "/"),
            ("/a/c", "/a"),
            ("/a/b", "/a/b/"),
            ("/a/b/c", "/a/b/"),
            ("/a/bc", "/a"),
            ("/hell", "/"),
            ("/hello/you", "/hello"),
        ] {
            assert_eq!(table.find(path).and_then(|index| table.get(index)), Some(&route), "{path}");
        }
    }

    #[test]
    fn without_a_root_some_paths_have_no_route() {
        let table = table(&["/a"]);
        assert_eq!(table.find("/b"), None);
        assert_eq!(table.find(""), None);
    }

    #[test]
    fn a_route_is_an_absolute_path_in_normal_form() {
        for path in ["a", "/a//b", "/a/../b", "/./a", "/%41", "/a%2fb", "/a\\b", "/a%", "/a\nb"] {
            assert_eq!(Table::default().entry(path, || ()), Err(NotARoute::NotNormal), "{path:?}");
        }
        for path in ["/a%2Fb", "/a b", "/\u{e9}", "/100%25", "/a:b", "/a;b=c", "/@a", "/(a)", "/~a", "/a+b"] {
            assert!(Table::default().entry(path, || ()).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn a_route_is_no_pattern() {
        for path in [
            "*",
            "/*",
            "/a/*",
            "/a/*rest",
            "/a*",
            "/{id}",
            "/a/{id:[0-9]+}/b",
            "/:id",
            "/a/:id",
            "/<id>",
            "/a?b",
            "/a#b",
        ] {
            assert_eq!(Table::default().entry(path, || ()), Err(NotARoute::Pattern), "{path:?}");
        }
    }

    #[test]
    fn a_method_is_allowed_once() {
        let methods = [
            Methods::These(&[Method::Get, Method::Head]),
            Methods::These(&[Method::Query, Method::Get, Method::Options, Method::Other]),
        ];
        assert_eq!(allow(methods.iter()), "GET, HEAD, QUERY, OPTIONS");
        assert_eq!(allow([].iter()), "OPTIONS");
    }

    #[test]
    fn a_route_is_made_once() {
        let mut table = table(&["/a"]);
        assert_eq!(table.entry("/a/", || "again"), Ok(&mut "/a"));
        assert!(table.iter().map(|(path, _)| path).eq(["/a"]));
    }
}
