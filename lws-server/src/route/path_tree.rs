//! Which route a path belongs to: a tree of segments, walked once per request.
//!
//! Knows paths; what stands behind a route is the caller's.

use lws_proto::http::{Head, normal_path};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

/// Routes by their patterns.
///
/// A pattern is an absolute path of literal segments, `{name}` for one segment that is not empty, and `{*name}` as the last
/// one for the rest of the path. A pattern of literal segments alone stands for everything below it too; one with a
/// parameter stands for exactly its segments, unless it ends with `{*name}`. At the first segment where two routes differ a literal
/// wins over a parameter, and a parameter over what stands for everything below.
pub(crate) struct PathTree<T> {
    /// By number, in the order in which they were described.
    routes: Vec<(Pattern, T)>,
    /// The root is the first.
    nodes: Vec<Node>,
    /// Patterns of literal segments alone with their numbers, compared with the whole path before the tree is walked; none if there
    /// are more than a few. A path that is written out as a pattern belongs to that route, whatever others there are.
    whole: Vec<(Box<str>, usize)>,
    literal_routes: usize,
}

/// A prefix of one or several patterns.
#[derive(Default)]
struct Node {
    literals: Literals,
    /// The node behind a segment that is a parameter.
    parameter: Option<usize>,
    /// The route whose pattern ends here.
    route: Option<usize>,
    /// The route whose pattern goes on with `{*name}` here.
    rest: Option<usize>,
    /// Whether a parameter stands before it, so that its route is for this path alone.
    exact: bool,
    /// Whether its route says that it is for this path alone, which those below it need not.
    alone: bool,
}

impl Node {
    /// The route for what lies below and has none of its own.
    fn below(&self) -> Option<usize> {
        self.rest.or(self.route.filter(|_| !self.exact && !self.alone))
    }
}

/// The nodes behind literal segments.
enum Literals {
    /// Few are compared one after the other, which is faster than hashing.
    Few(Vec<(Box<str>, usize)>),
    Many(HashMap<Box<str>, usize>),
}

/// How many literal segments behind one node are compared one after the other.
const FEW: usize = 8;

/// The pattern of a route, in normal form: without a `/` at its end, so that the root is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Rc<str>);

/// What one segment of a pattern stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment<'a> {
    Literal(&'a str),
    Parameter(&'a str),
    Rest(&'a str),
}

/// Why a path cannot be a route.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// It is no absolute path in normal form: it does not begin with `/`, or has escapes, dot segments or empty segments.
    NotNormal,
    /// A segment looks like a pattern and is neither `{name}` nor `{*name}`, with a name of letters, digits and `_`.
    NotAParameter,
    /// Something follows `{*name}`.
    AfterRest,
    /// A name stands in the pattern twice.
    NameTwice,
    /// Another route matches the same paths, with other names for its parameters.
    Conflict(Pattern),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNormal => {
                f.write_str("it is not an absolute path without escapes, empty segments and dot segments")
            }
            Self::NotAParameter => {
                f.write_str("a pattern has {name} for a whole segment, and {*name} for the rest")
            }
            Self::AfterRest => {
                f.write_str("{*name} stands for the rest of the path, so nothing can follow it")
            }
            Self::NameTwice => f.write_str("two parameters have the same name"),
            Self::Conflict(other) => write!(f, "it matches the same paths as {}", other.as_str()),
        }
    }
}

impl Pattern {
    /// # Errors
    /// It is none.
    fn parse(path: &str) -> Result<Self, RouteError> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.contains(['<', '>', '?', '#']) {
            return Err(RouteError::NotAParameter);
        }
        if !path.is_empty() && normal_path(path).as_deref() != Some(path) {
            return Err(RouteError::NotNormal);
        }
        let mut names = Vec::new();
        let mut rest = false;
        for segment in segments(path) {
            if rest {
                return Err(RouteError::AfterRest);
            }
            let segment = Segment::parse(segment)?;
            rest = matches!(segment, Segment::Rest(_));
            if let Segment::Parameter(name) | Segment::Rest(name) = segment {
                if names.contains(&name) {
                    return Err(RouteError::NameTwice);
                }
                names.push(name);
            }
        }
        Ok(Self(path.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        // Parsed before, so that none is left out.
        segments(&self.0).filter_map(|segment| Segment::parse(segment).ok())
    }

    /// What the parameter `name` stands for in `path`, which this pattern has matched.
    pub(crate) fn parameter<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        let mut left = path.strip_prefix('/').unwrap_or(path);
        for segment in self.segments() {
            match segment {
                Segment::Rest(known) => return (known == name).then_some(left),
                Segment::Parameter(known) if known == name => return left.split('/').next(),
                Segment::Parameter(_) | Segment::Literal(_) => {
                    left = left.split_once('/').map_or("", |(_, left)| left);
                }
            }
        }
        None
    }
}

/// The segments of a path, without the empty one before the first `/`.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}

impl<'a> Segment<'a> {
    fn parse(segment: &'a str) -> Result<Self, RouteError> {
        // What stands for other text in other libraries would match nothing but itself here.
        if !segment.contains(['{', '}', '*']) && !segment.starts_with(':') {
            return Ok(Self::Literal(segment));
        }
        let inner = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        let inner = inner.ok_or(RouteError::NotAParameter)?;
        let (name, rest) = match inner.strip_prefix('*') {
            Some(name) => (name, true),
            None => (inner, false),
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(RouteError::NotAParameter);
        }
        Ok(if rest { Self::Rest(name) } else { Self::Parameter(name) })
    }
}

impl Default for Literals {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Literals {
    #[inline]
    fn find(&self, segment: &str) -> Option<usize> {
        match self {
            Self::Few(few) => few.iter().find(|(known, _)| **known == *segment).map(|(_, node)| *node),
            Self::Many(many) => many.get(segment).copied(),
        }
    }

    fn insert(&mut self, segment: &str, node: usize) {
        match self {
            Self::Few(few) if few.len() < FEW => few.push((segment.into(), node)),
            Self::Few(few) => {
                let mut many: HashMap<_, _> = std::mem::take(few).into_iter().collect();
                many.insert(segment.into(), node);
                *self = Self::Many(many);
            }
            Self::Many(many) => {
                many.insert(segment.into(), node);
            }
        }
    }
}

impl<T> Default for PathTree<T> {
    fn default() -> Self {
        Self { routes: Vec::new(), nodes: vec![Node::default()], whole: Vec::new(), literal_routes: 0 }
    }
}

impl<T> PathTree<T> {
    /// The route of `path`, made by `make` if there is none yet.
    ///
    /// # Errors
    /// It cannot be a route.
    pub(crate) fn entry(&mut self, path: &str, make: impl FnOnce() -> T) -> Result<&mut T, RouteError> {
        let pattern = Pattern::parse(path)?;
        let mut node = 0;
        let mut rest = false;
        for segment in pattern.segments() {
            match segment {
                Segment::Literal(name) => node = self.literal(node, name),
                Segment::Parameter(_) => node = self.parameter(node),
                Segment::Rest(_) => rest = true,
            }
        }
        let Node { route, rest: remainder, .. } = &mut self.nodes[node];
        let number = *if rest { remainder } else { route }.get_or_insert(self.routes.len());
        if number == self.routes.len() {
            self.note_whole(&pattern, number);
            self.routes.push((pattern, make()));
        } else if self.routes[number].0 != pattern {
            return Err(RouteError::Conflict(self.routes[number].0.clone()));
        }
        Ok(&mut self.routes[number].1)
    }

    /// Has the route whose pattern is `path` stand for its own path alone, and not for what lies below it.
    pub(crate) fn end_at(&mut self, path: &str) {
        let mut node = 0;
        for segment in Pattern::parse(path).iter().flat_map(Pattern::segments) {
            let next = match segment {
                Segment::Literal(name) => self.nodes[node].literals.find(name),
                Segment::Parameter(_) => self.nodes[node].parameter,
                Segment::Rest(_) => None,
            };
            let Some(next) = next else { return };
            node = next;
        }
        self.nodes[node].alone = true;
    }

    /// Has a pattern compared with whole paths, if it can be and there are few.
    fn note_whole(&mut self, pattern: &Pattern, number: usize) {
        if !pattern.segments().all(|segment| matches!(segment, Segment::Literal(_))) {
            return;
        }
        self.literal_routes += 1;
        if self.literal_routes > FEW {
            self.whole.clear();
        } else {
            let path = if pattern.as_str().is_empty() { "/" } else { pattern.as_str() };
            self.whole.push((path.into(), number));
        }
    }

    /// The node behind a literal segment.
    fn literal(&mut self, node: usize, name: &str) -> usize {
        if let Some(next) = self.nodes[node].literals.find(name) {
            return next;
        }
        let next = self.nodes.len();
        let exact = self.nodes[node].exact;
        self.nodes[node].literals.insert(name, next);
        self.nodes.push(Node { exact, ..Node::default() });
        next
    }

    /// The node behind a segment that is a parameter.
    fn parameter(&mut self, node: usize) -> usize {
        if let Some(next) = self.nodes[node].parameter {
            return next;
        }
        let next = self.nodes.len();
        self.nodes[node].parameter = Some(next);
        self.nodes.push(Node { exact: true, ..Node::default() });
        next
    }

    /// The number of the route that `path`, which begins with `/`, belongs to.
    #[inline]
    pub(crate) fn find(&self, path: &str) -> Option<usize> {
        match self.find_whole(path.as_bytes()).map(|(_, number)| number) {
            Some(number) => Some(number),
            None => self.find_below(0, path.strip_prefix('/')?),
        }
    }

    /// The number of the route that is written out as `path`, of the few that are compared so. Such a path is in normal form.
    #[inline]
    pub(crate) fn find_whole(&self, path: &[u8]) -> Option<(&str, usize)> {
        let found = self.whole.iter().find(|(known, _)| known.as_bytes() == path);
        found.map(|(known, number)| (&**known, *number))
    }

    /// The route that `path` leads to from a node. Each node is visited once at the most, as only one path leads to it.
    fn find_below(&self, node: usize, path: &str) -> Option<usize> {
        let node = &self.nodes[node];
        if path.is_empty() {
            return node.route.or(node.rest);
        }
        // By hand: segments are too short for the search of the standard library to pay.
        let end = path.bytes().position(|byte| byte == b'/');
        let (segment, left) = end.map_or((path, ""), |end| (&path[..end], &path[end + 1..]));
        let literal = node.literals.find(segment).and_then(|next| self.find_below(next, left));
        literal.or_else(|| self.find_elsewhere(node, segment, left))
    }

    /// The route that a path leads to whose next segment is no literal that is known.
    fn find_elsewhere(&self, node: &Node, segment: &str, left: &str) -> Option<usize> {
        let parameter = node.parameter.filter(|_| !segment.is_empty());
        parameter.and_then(|next| self.find_below(next, left)).or(node.below())
    }

    /// A route by its number, and its pattern.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<(&Pattern, &T)> {
        self.routes.get(index).map(|(pattern, route)| (pattern, route))
    }

    /// How many routes there are.
    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The routes and their patterns, by their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.routes.iter().map(|(pattern, route)| (pattern.as_str(), route))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&'static str]) -> PathTree<&'static str> {
        let mut table = PathTree::default();
        for path in paths {
            assert!(table.entry(path, || *path).is_ok(), "{path}");
        }
        table
    }

    fn check(paths: &[&'static str], found: &[(&str, Option<&str>)]) {
        let table = table(paths);
        for (path, route) in found {
            assert_eq!(
                table.find(path).and_then(|index| table.get(index)).map(|(_, route)| *route),
                *route,
                "{path}"
            );
        }
    }

    #[test]
    fn the_longest_literal_route_that_ends_with_a_segment_wins() {
        check(
            &["/", "/a", "/a/b/", "/hello"],
            &[
                ("/", Some("/")),
                ("/x", Some("/")),
                ("/a", Some("/a")),
                ("/a/", Some("/a")),
                ("/ab", Some("/")),
                ("/a/c", Some("/a")),
                ("/a/b", Some("/a/b/")),
                ("/a/b/c", Some("/a/b/")),
                ("/a/bc", Some("/a")),
                ("/hell", Some("/")),
                ("/hello/you", Some("/hello")),
            ],
        );
    }

    #[test]
    fn a_route_for_its_path_alone_leaves_what_lies_below_to_others() {
        let mut table = table(&["/", "/a", "/a/b"]);
        table.end_at("/a/");
        let found = |path| table.find(path).and_then(|index| table.get(index)).map(|(_, route)| *route);
        for (path, route) in
            [("/a", "/a"), ("/a/", "/a"), ("/a/c", "/"), ("/a/b", "/a/b"), ("/a/b/c", "/a/b"), ("/x", "/")]
        {
            assert_eq!(found(path), Some(route), "{path}");
        }
    }

    #[test]
    fn without_a_root_some_paths_have_no_route() {
        check(&["/a"], &[("/b", None), ("", None), ("/", None)]);
    }

    #[test]
    fn a_parameter_is_one_segment_that_is_not_empty_and_nothing_below() {
        check(
            &["/items/{id}", "/items/{id}/parts/{part}"],
            &[
                ("/items", None),
                ("/items/", None),
                ("/items/7", Some("/items/{id}")),
                ("/items/7/", Some("/items/{id}")),
                ("/items/7/x", None),
                ("/items/7/parts", None),
                ("/items/7/parts/x", Some("/items/{id}/parts/{part}")),
                ("/items/7/parts/x/y", None),
            ],
        );
    }

    #[test]
    fn a_literal_wins_over_a_parameter_and_a_parameter_over_what_is_below() {
        check(
            &["/", "/a/{x}", "/a/b", "/a/{x}/c", "/f/{*rest}", "/f", "/f/{one}"],
            &[
                ("/a/b", Some("/a/b")),
                ("/a/b/z", Some("/a/b")),
                ("/a/q", Some("/a/{x}")),
                ("/a/q/c", Some("/a/{x}/c")),
                ("/a/q/d", Some("/")),
                ("/a", Some("/")),
                ("/f", Some("/f")),
                ("/f/1", Some("/f/{one}")),
                ("/f/1/2", Some("/f/{*rest}")),
            ],
        );
        // The literal is one that leads nowhere: what it hides is found all the same.
        check(&["/a/b/c", "/a/{x}/d"], &[("/a/b/d", Some("/a/{x}/d")), ("/a/b/c", Some("/a/b/c"))]);
    }

    #[test]
    fn parameters_are_what_the_path_says() {
        let table = table(&["/items/{id}/parts/{*rest}", "/plain"]);
        for (path, name, value) in [
            ("/items/7/parts/a/b", "id", Some("7")),
            ("/items/7/parts/a/b", "rest", Some("a/b")),
            ("/items/7/parts", "rest", Some("")),
            ("/items/7/parts", "other", None),
            ("/plain/x", "id", None),
        ] {
            let index = table.find(path).unwrap_or(usize::MAX);
            let found = table.get(index).and_then(|(pattern, _)| pattern.parameter(name, path));
            assert_eq!(found, value, "{path} {name}");
        }
    }

    #[test]
    fn a_route_is_an_absolute_path_in_normal_form() {
        for path in ["a", "/a//b", "/a/../b", "/./a", "/%41", "/a%2fb", "/a\\b", "/a%", "/a\nb"] {
            assert_eq!(PathTree::default().entry(path, || ()), Err(RouteError::NotNormal), "{path:?}");
        }
        for path in ["/a%2Fb", "/a b", "/\u{e9}", "/100%25", "/a:b", "/a;b=c", "/@a", "/(a)", "/~a", "/a+b"] {
            assert!(PathTree::default().entry(path, || ()).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn a_parameter_is_a_whole_segment_with_a_name() {
        for path in [
            "/a{b}",
            "/{}",
            "/{a b}",
            "/{a",
            "/a}",
            "/{*}",
            "/{{a}}",
            "/x{*y}",
            "/*",
            "/a/*",
            "/a/*rest",
            "/a*",
            "/a/{id:[0-9]+}/b",
            "/:id",
            "/a/:id",
            "/<id>",
            "/a?b",
            "/a#b",
        ] {
            assert_eq!(PathTree::default().entry(path, || ()), Err(RouteError::NotAParameter), "{path:?}");
        }
        assert_eq!(PathTree::default().entry("/{*a}/b", || ()), Err(RouteError::AfterRest));
        assert_eq!(PathTree::default().entry("/{a}/{a}", || ()), Err(RouteError::NameTwice));
    }

    #[test]
    fn two_names_for_one_parameter_are_a_conflict() {
        for (first, second) in [("/{a}", "/{b}"), ("/x/{*a}", "/x/{*b}"), ("/{a}/x", "/{b}/x")] {
            let mut table = table(&[first]);
            let conflict = RouteError::Conflict(Pattern(first.into()));
            assert_eq!(table.entry(second, || ""), Err(conflict), "{second}");
        }
    }

    #[test]
    fn a_route_is_made_once() {
        let mut table = table(&["/a"]);
        assert_eq!(table.entry("/a/", || "again"), Ok(&mut "/a"));
        assert!(table.iter().map(|(path, _)| path).eq(["/a"]));
    }

    #[test]
    fn a_path_that_is_written_out_is_found_whole_and_by_the_tree() {
        let paths = ["/", "/a", "/a/b", "/{x}", "/{*rest}", "/a/{y}"];
        let mut few = table(&paths);
        assert_eq!(few.whole.len(), 3);
        let found = |table: &PathTree<&'static str>, path| {
            table.find(path).and_then(|index| table.get(index)).map(|(_, route)| *route)
        };
        for more in ["/1", "/2", "/3", "/4", "/5", "/6"] {
            for (path, route) in
                [("/", "/"), ("/a", "/a"), ("/a/b", "/a/b"), ("/c", "/{x}"), ("/a/c", "/a/{y}")]
            {
                assert_eq!(found(&few, path), Some(route), "{path}");
            }
            assert!(few.entry(more, || more).is_ok());
            assert_eq!(found(&few, more), Some(more));
        }
        assert_eq!(few.whole.len(), 0, "more than a few");
    }

    #[test]
    fn many_routes_are_found_like_few() {
        let mut table = PathTree::default();
        for number in 0..10_000 {
            assert!(table.entry(&format!("/r{number}/{{id}}"), || number).is_ok());
        }
        for number in [0, 7, 8, 9, 9_999] {
            let found = table.find(&format!("/r{number}/x")).and_then(|index| table.get(index));
            assert_eq!(found.map(|(_, route)| *route), Some(number));
        }
        assert_eq!(table.find("/r10000/x"), None);
    }
}
