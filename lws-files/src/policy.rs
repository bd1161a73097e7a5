//! How long caches may keep what. RFC 9111 §5.2.
//!
//! Plain data: names in, the value of a field out.

use std::borrow::Cow;

/// What `Cache-Control` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheControl {
    /// Nothing: caches decide by `Last-Modified`. RFC 9111 §4.2.2.
    #[default]
    Unsaid,
    /// Never kept.
    NoStore,
    /// Kept, and asked for again each time: 304 as long as it is the same.
    NoCache,
    /// Believed for so long.
    MaxAge {
        /// Seconds.
        seconds: u32,
        /// Whether caches that several people share may keep it.
        shared: bool,
        /// Whether it is never used past its time, even if the server cannot be reached.
        revalidate: bool,
    },
    /// Never asked for again: the name changes with the content. RFC 8246.
    Immutable,
}

impl CacheControl {
    /// What libwebsockets' mounts say by `cache_max_age` and four booleans.
    ///
    /// ```
    /// use lws_files::CacheControl;
    ///
    /// let control = CacheControl::of_mount(3600, false, true, true, false);
    /// assert_eq!(control.value().as_deref(), Some("must-revalidate, private, max-age=3600"));
    /// ```
    #[doc(alias = "cache_max_age")]
    #[must_use]
    pub fn of_mount(max_age: u32, no: bool, reusable: bool, revalidate: bool, intermediaries: bool) -> Self {
        match (no, max_age, reusable) {
            (true, _, _) => Self::NoCache,
            (false, 1.., true) => Self::MaxAge { seconds: max_age, shared: intermediaries, revalidate },
            (false, _, _) => Self::NoStore,
        }
    }

    /// The value of the field; `None` if it is not sent.
    #[must_use]
    pub fn value(self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Unsaid => return None,
            Self::NoStore => "no-store".into(),
            Self::NoCache => "no-cache".into(),
            Self::Immutable => "public, max-age=31536000, immutable".into(),
            Self::MaxAge { seconds, shared, revalidate } => {
                let again = if revalidate { "must-revalidate, " } else { "" };
                let whose = if shared { "public" } else { "private" };
                format!("{again}{whose}, max-age={seconds}").into()
            }
        })
    }
}

/// What is said of which file.
///
/// The shape that most sites want is [`CachePolicy::of_build`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachePolicy {
    /// What is said of files for which nothing else is said.
    pub default: CacheControl,
    /// What is said of HTML, if not that: it names the other files, and is to be the newest.
    pub html: Option<CacheControl>,
    /// What is said of names with a hash of the content in them, as [`is_hashed_name`] recognises them, if not that.
    pub hashed: Option<CacheControl>,
}

impl CachePolicy {
    /// What suits the output of a build: names with hashes are kept for ever, HTML is asked for each time, and so is the rest.
    #[must_use]
    pub const fn of_build() -> Self {
        let asked = CacheControl::NoCache;
        Self { default: asked, html: Some(asked), hashed: Some(CacheControl::Immutable) }
    }

    /// What is said of the file `names` of type `content_type`.
    #[must_use]
    pub fn of(&self, names: &str, content_type: Option<&str>) -> CacheControl {
        let is_html = content_type.is_some_and(|kind| kind.starts_with("text/html"));
        match (self.html, self.hashed) {
            (Some(html), _) if is_html => html,
            (_, Some(hashed)) if is_hashed_name(names) => hashed,
            _ => self.default,
        }
    }
}

impl From<CacheControl> for CachePolicy {
    fn from(default: CacheControl) -> Self {
        Self { default, ..Self::default() }
    }
}

/// Whether a name has a hash of the content in it, as build tools write it: `main.3f2a9c1b.js`, `index-DiwrgTd4.css`,
/// `app-5KXQ3N7B.js`.
///
/// It errs towards no: a name that is taken for one wrongly is not asked for again in a year.
#[must_use]
pub fn is_hashed_name(names: &str) -> bool {
    let name = names.rsplit('/').next().unwrap_or_default();
    // What is asked for is the name without `.map`, and the hash is the same.
    let name = name.strip_suffix(".map").unwrap_or(name);
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    let start = stem.rfind(['.', '-']).map(|at| at + 1);
    start.is_some_and(|start| is_hash(&stem.as_bytes()[start..]))
}

fn is_hash(token: &[u8]) -> bool {
    let count = |test: fn(&u8) -> bool| token.iter().filter(|byte| test(byte)).count();
    let digits = count(u8::is_ascii_digit);
    let (upper, lower) = (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    let hex = token.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match token.len() {
        // Eight of base 64 (rollup, Vite), or of base 32 (esbuild).
        8 if digits + upper + lower == 8 && digits > 0 && upper > 1 && (lower > 1 || lower == 0) => true,
        // Digits alone are a date or a version.
        8.. => hex && digits > 1 && lower > 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_booleans_of_a_mount_say_what_they_said() {
        for (max_age, no, reusable, revalidate, intermediaries, expected) in [
            (60, true, true, true, true, "no-cache"),
            (60, false, true, false, true, "public, max-age=60"),
            (60, false, true, false, false, "private, max-age=60"),
            (60, false, true, true, true, "must-revalidate, public, max-age=60"),
            (60, false, false, true, true, "no-store"),
            (0, false, true, true, true, "no-store"),
        ] {
            let control = CacheControl::of_mount(max_age, no, reusable, revalidate, intermediaries);
            assert_eq!(control.value().as_deref(), Some(expected));
        }
        assert_eq!(CacheControl::Unsaid.value(), None);
    }

    #[test]
    fn a_hash_is_recognised_and_a_word_a_date_or_a_version_is_not() {
        for name in [
            "main.3f2a9c1b.js",
            "a/b/index-DiwrgTd4.css",
            "app-5KXQ3N7B.js",
            "x.0123456789abcdef0123.woff2",
            "main.3f2a9c1b.js.map",
        ] {
            assert!(is_hashed_name(name), "{name}");
        }
        for name in [
            "index.html",
            "jquery-bootstrap.js",
            "report-20240101.pdf",
            "photo.20240101.jpg",
            "lib-1.2.3.js",
            "decade.js",
            "a-defaced.css",
            "MyWidget2.js",
            "main.3f2a9c1.js",
            "3f2a9c1b.js",
            "3f2a9c1b",
            "a-MyWidget.js",
            "",
        ] {
            assert!(!is_hashed_name(name), "{name}");
        }
    }

    #[test]
    fn html_comes_before_hashes_and_both_before_the_rest() {
        let policy = CachePolicy::of_build();
        for (names, kind, expected) in [
            ("a.3f2a9c1b.html", "text/html; charset=utf-8", CacheControl::NoCache),
            ("a.3f2a9c1b.js", "text/javascript", CacheControl::Immutable),
            ("a.js", "text/javascript", CacheControl::NoCache),
        ] {
            assert_eq!(policy.of(names, Some(kind)), expected, "{names}");
        }
        let policy = CachePolicy::from(CacheControl::NoStore);
        assert_eq!(policy.of("a.3f2a9c1b.js", None), CacheControl::NoStore);
    }
}
