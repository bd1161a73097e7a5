//! The methods of a route, and the field that lists them.

use lws_proto::http::{Method, is_registered_method};
use std::borrow::Cow;

/// The methods that a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Every method.
    Any,
    /// These.
    Only(Cow<'static, [Method]>),
}

impl Methods {
    /// GET and HEAD.
    pub const GET: Self = Self::Only(Cow::Borrowed(&[Method::Get, Method::Head]));
    /// POST.
    pub const POST: Self = Self::Only(Cow::Borrowed(&[Method::Post]));

    #[inline]
    pub(crate) fn allow(&self, method: Method) -> bool {
        match self {
            Self::Any => true,
            Self::Only(methods) => methods.contains(&method),
        }
    }

    /// Whether a method of this name, a token, is among them.
    pub(crate) fn allow_named(&self, name: &str) -> bool {
        match self {
            Self::Any => is_registered_method(name),
            Self::Only(methods) => methods.iter().any(|method| method.token() == name),
        }
    }

    /// Whether a request could be for either.
    pub(crate) fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(methods), other) | (other, Self::Only(methods)) => {
                methods.iter().any(|&method| other.allow(method))
            }
            (Self::Any, Self::Any) => true,
        }
    }

    fn listed(&self) -> &[Method] {
        match self {
            Self::Any => &[],
            Self::Only(methods) => methods,
        }
    }
}

impl From<&'static [Method]> for Methods {
    fn from(methods: &'static [Method]) -> Self {
        Self::Only(Cow::Borrowed(methods))
    }
}

impl<const COUNT: usize> From<&'static [Method; COUNT]> for Methods {
    fn from(methods: &'static [Method; COUNT]) -> Self {
        Self::Only(Cow::Borrowed(methods))
    }
}

impl From<Vec<Method>> for Methods {
    fn from(methods: Vec<Method>) -> Self {
        Self::Only(Cow::Owned(methods))
    }
}

/// The value of `Allow` for a resource that answers `methods`, and OPTIONS: each once, in that order. RFC 9110 §10.2.1.
pub(crate) fn allow<'a>(methods: impl Iterator<Item = &'a Methods>) -> String {
    let mut tokens: Vec<&str> = Vec::new();
    for method in methods.flat_map(Methods::listed).chain([&Method::Options]) {
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

    #[test]
    fn a_method_is_allowed_once() {
        let methods =
            [Methods::GET, Methods::from(vec![Method::Query, Method::Get, Method::Options, Method::Other])];
        assert_eq!(allow(methods.iter()), "GET, HEAD, QUERY, OPTIONS");
        assert_eq!(allow([].iter()), "OPTIONS");
    }
}
