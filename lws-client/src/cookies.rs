//! Cookies. RFC 6265. The client knows this trait; a jar that also knows the public suffixes comes with the feature `cookies`.

use crate::url::Url;

/// Keeps cookies.
pub trait CookieJar {
    /// The value of `Cookie` for a request, if there is any. `unix_seconds` is the wall clock, if it is known.
    fn cookies(&self, url: &Url, unix_seconds: Option<u32>) -> Option<String>;

    /// A response has this `Set-Cookie`.
    fn store(&mut self, url: &Url, set_cookie: &[u8], unix_seconds: Option<u32>);
}

#[cfg(feature = "cookies")]
pub use store::MemoryJar;

#[cfg(feature = "cookies")]
mod store {
    use super::{CookieJar, Url};
    use cookie_store::{CookieStore, RawCookie};

    /// A jar in memory, with the rules of RFC 6265bis and the list of public suffixes.
    ///
    /// ```
    /// use lws_client::{CookieJar, MemoryJar, Url};
    ///
    /// let mut jar = MemoryJar::default();
    /// let url: Url = "https://www.example.co.uk/".parse()?;
    /// jar.store(&url, b"id=1; Domain=example.co.uk", None);
    /// jar.store(&url, b"for-all=1; Domain=co.uk", None);
    /// assert_eq!(jar.cookies(&url, None).as_deref(), Some("id=1"));
    /// # Ok::<(), lws_client::UrlError>(())
    /// ```
    #[derive(Debug, Default)]
    pub struct MemoryJar {
        store: CookieStore,
    }

    /// Bytes of name and value of one cookie. RFC 6265bis §5.6.
    const COOKIE_BYTES_MAX: usize = 4_096;
    /// Cookies of one domain, as browsers have.
    const PER_DOMAIN_MAX: usize = 180;
    /// Cookies in all.
    const COOKIES_MAX: usize = 3_000;
    /// Bytes of one `Cookie` field: servers take heads of 8 KiB.
    const FIELD_BYTES_MAX: usize = 8 << 10;

    impl CookieJar for MemoryJar {
        fn cookies(&self, url: &Url, _: Option<u32>) -> Option<String> {
            let mut text = String::new();
            for (name, value) in self.store.get_request_values(url.inner()) {
                if text.len() + name.len() + value.len() + 3 > FIELD_BYTES_MAX {
                    break;
                }
                if !text.is_empty() {
                    text.push_str("; ");
                }
                text.push_str(name);
                text.push('=');
                text.push_str(value);
            }
            (!text.is_empty()).then_some(text)
        }

        fn store(&mut self, url: &Url, set_cookie: &[u8], _: Option<u32>) {
            let Ok(text) = std::str::from_utf8(set_cookie) else { return };
            let Ok(cookie) = RawCookie::parse(text.to_owned()) else { return };
            if cookie.name().len() + cookie.value().len() > COOKIE_BYTES_MAX || !is_allowed(url, &cookie) {
                return;
            }
            let domain = cookie.domain().unwrap_or(url.name()).trim_start_matches('.').to_ascii_lowercase();
            let of_domain =
                self.store.iter_any().filter(|known| known.domain().is_none_or(|it| it == domain)).count();
            if of_domain >= PER_DOMAIN_MAX || self.store.iter_any().count() >= COOKIES_MAX {
                return;
            }
            // What the store does not take is a cookie that breaks a rule: RFC 6265 §5.3 has it ignored.
            let _ = self.store.insert_raw(&cookie, url.inner());
        }
    }

    /// Whether a host may set this cookie at all.
    fn is_allowed(url: &Url, cookie: &RawCookie<'_>) -> bool {
        let secure = cookie.secure() == Some(true);
        // RFC 6265bis §4.1.3.
        let lower = cookie.name().to_ascii_lowercase();
        if lower.starts_with("__host-") {
            return secure && url.is_secure() && cookie.domain().is_none() && cookie.path() == Some("/");
        }
        if (lower.starts_with("__secure-") || secure) && !(secure && url.is_secure()) {
            return false;
        }
        let Some(domain) = cookie.domain() else { return true };
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        // RFC 6265 §5.3: a cookie for a public suffix is rejected, unless the suffix is the host itself.
        domain == url.name() || psl::suffix_str(&domain).is_none_or(|suffix| suffix != domain)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_cookie_goes_where_it_may_and_nowhere_else() {
            let url = |text: &str| text.parse::<Url>().expect("a URL");
            let mut jar = MemoryJar::default();
            let www = url("https://www.example.org/a/b");
            for cookie in [
                "host=1",
                "all=2; Domain=example.org; Path=/",
                "suffix=3; Domain=org",
                "other=4; Domain=example.com",
                "secure=5; Secure; Path=/",
                "__Host-x=6; Path=/; Secure",
                "__Host-y=7; Path=/",
                "path=8; Path=/z",
            ] {
                jar.store(&www, cookie.as_bytes(), None);
            }
            let sent = |text: &str| {
                let mut cookies: Vec<_> = jar
                    .cookies(&url(text), None)
                    .map(|text| text.split("; ").map(str::to_owned).collect())
                    .unwrap_or_default();
                cookies.sort();
                cookies.join(" ")
            };
            assert_eq!(sent("https://www.example.org/a/c"), "__Host-x=6 all=2 host=1 secure=5");
            assert_eq!(sent("http://www.example.org/a/c"), "all=2 host=1");
            assert_eq!(sent("https://b.example.org/"), "all=2");
            assert_eq!(sent("https://www.example.org/z"), "__Host-x=6 all=2 path=8 secure=5");
            assert_eq!(sent("https://example.com/"), "");
            jar.store(&url("http://www.example.org/"), b"plain=1; Secure", None);
            assert!(!jar.cookies(&www, None).expect("cookies").contains("plain"));
        }

        #[test]
        fn a_jar_has_so_many_cookies_of_so_many_bytes() {
            let mut jar = MemoryJar::default();
            let url: Url = "http://a.example/".parse().expect("a URL");
            jar.store(&url, format!("long={}", "x".repeat(COOKIE_BYTES_MAX)).as_bytes(), None);
            assert_eq!(jar.cookies(&url, None), None);
            for n in 0..1_000 {
                jar.store(&url, format!("c{n}=1").as_bytes(), None);
            }
            assert_eq!(jar.store.iter_any().count(), PER_DOMAIN_MAX);
        }
    }
}
