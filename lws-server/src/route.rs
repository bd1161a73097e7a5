//! Which route a path belongs to: the longest that ends where a segment of the path ends.
//!
//! Knows paths and methods; what stands behind a route is the caller's.

use lws_proto::http::{Head, Method, normalize_path};
use std::borrow::Cow;

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
    /// The route of `path`, made by `make` if there is none yet. `None` if `path` is no absolute path as
    /// [`normalize_path`] would leave it.
    pub(crate) fn entry(&mut self, path: &str, make: impl FnOnce() -> T) -> Option<&mut T> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let normal = path.is_empty()
            || path.strip_prefix('/').is_some_and(|names| normalize_path(path).as_deref() == Some(names));
        if !normal {
            return None;
        }
        let at = match self.routes.iter().position(|(known, _)| **known == *path) {
            Some(at) => at,
            None => {
                let at = self.routes.partition_point(|(known, _)| known.len() >= path.len());
                self.routes.insert(at, (path.into(), make()));
                at
            }
        };
        Some(&mut self.routes[at].1)
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

/// The path of a request as routes see it: escapes decoded, dot segments and empty ones resolved. `target` is that of `head`. `None` if
/// that leaves the root, or cannot be done; empty for a target that has no path. Almost every path is lent as it came.
#[inline]
pub(crate) fn path_of<'a>(head: &Head<'a>, target: &'a str) -> Option<Cow<'a, str>> {
    if !target.starts_with('/') {
        return path_of_other_form(head);
    }
    let mut last = 0;
    for (at, byte) in target.bytes().enumerate() {
        match byte {
            b'?' => return Some(Cow::Borrowed(&target[..at])),
            b'%' => return normal(head.path()),
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
    let mut names = normalize_path(path)?;
    names.insert(0, '/');
    Some(Cow::Owned(names))
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

/// The value of `Allow` for a resource that answers `methods`, and OPTIONS. RFC 9110 §10.2.1.
pub(crate) fn allow<'a>(methods: impl Iterator<Item = &'a Methods>) -> String {
    let mut value = String::new();
    let listed = methods.flat_map(|methods| match methods {
        Methods::These(methods) => methods,
        Methods::Any => [].as_slice(),
    });
    for method in listed {
        value.push_str(method.token());
        value.push_str(", ");
    }
    value.push_str(Method::Options.token());
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&'static str]) -> Table<&'static str> {
        let mut table = Table::default();
        for path in paths {
            assert!(table.entry(path, || *path).is_some(), "{path}");
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
        for path in ["a", "/a//b", "/a/../b", "/./a", "/%41", "*"] {
            assert!(Table::default().entry(path, || ()).is_none(), "{path}");
        }
    }

    #[test]
    fn a_route_is_made_once() {
        let mut table = table(&["/a"]);
        assert_eq!(table.entry("/a/", || "again"), Some(&mut "/a"));
        assert!(table.iter().map(|(path, _)| path).eq(["/a"]));
    }
}
