//! The objects in `mounts`.

use super::global::SECONDS_MAX;
use super::{Key, Shape, read_object};
use crate::model::{Cache, Cgi, Mount, Origin, Upstream};
use crate::scalar::Reader;
use crate::tree::Cursor;
use std::path::PathBuf;
use std::time::Duration;

/// A mount as far as it has been read.
#[derive(Debug, Default)]
pub(crate) struct MountDraft {
    path: Option<String>,
    origin: Option<Origin>,
    /// Whether an `origin` stood there that could not be read, and was reported.
    origin_is_wrong: bool,
    fallback_protocol: Option<String>,
    index: Option<String>,
    cache: Cache,
    exact: bool,
    append_path: bool,
    no_websockets: bool,
    session_bits: u32,
    basic_auth: Option<PathBuf>,
    interceptor: Option<String>,
    media_types: Vec<(String, String)>,
    interpreters: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    keep_alive_timeout: Option<Duration>,
    options: Vec<(String, String)>,
    cgi: Cgi,
}

pub(crate) static KEYS: &[Key<MountDraft>] = &[
    Key::read(
        "mountpoint",
        Shape::Text,
        "the path of the site below which this lies",
        |mount, at, reader| {
            mount.path = reader.text(at);
        },
    ),
    Key::read(
        "origin",
        Shape::Text,
        "where requests lead: file:// http:// https:// >http:// >https:// cgi:// callback://",
        read_origin,
    )
    .repeatable(),
    Key::ignored(
        "protocol",
        "libwebsockets does not read it, either; a second origin of callback:// names a protocol",
    ),
    Key::read("default", Shape::Text, "the file of a folder", |mount, at, reader| {
        mount.index = reader.text(at)
    }),
    Key::read("auth-mask", Shape::Number, "bits of what a session must be allowed", |mount, at, reader| {
        mount.session_bits = reader.count(at, u32::MAX.into()).unwrap_or_default();
    }),
    Key::read("cgi-timeout", Shape::Number, "seconds that a program may take", |mount, at, reader| {
        mount.cgi.timeout = reader.count(at, SECONDS_MAX).map(Duration::from_secs);
    }),
    Key::read("cgi-env", Shape::Pairs, "environment of a program", |mount, at, reader| {
        reader.pairs(at, &mut mount.options);
    }),
    Key::read(
        "cgi-chroot",
        Shape::Text,
        "what a program sees as the root of the file system",
        |mount, at, reader| {
            mount.cgi.root = reader.path(at);
        },
    ),
    Key::read("cgi-chdir", Shape::Text, "where a program runs", |mount, at, reader| {
        mount.cgi.directory = reader.path(at);
    }),
    Key::read("cache-max-age", Shape::Number, "seconds that a response may be used", |mount, at, reader| {
        mount.cache.max_age = reader.count(at, i64::from(u32::MAX)).map(Duration::from_secs);
    }),
    Key::read("cache-reuse", Shape::Switch, "a response may be used again", |mount, at, reader| {
        mount.cache.reuse = reader.switch(at).unwrap_or_default();
    }),
    Key::read("cache-revalidate", Shape::Switch, "it must be asked for again before", |mount, at, reader| {
        mount.cache.revalidate = reader.switch(at).unwrap_or_default();
    }),
    Key::read("cache-no", Shape::Switch, "nothing may be kept", |mount, at, reader| {
        mount.cache.no_store = reader.switch(at).unwrap_or_default();
    }),
    Key::read("cache-intermediaries", Shape::Switch, "shared caches may keep it", |mount, at, reader| {
        mount.cache.shared = reader.switch(at).unwrap_or_default();
    }),
    Key::read(
        "exact-match",
        Shape::Switch,
        "the path itself is meant, and none below it",
        |mount, at, reader| {
            mount.exact = reader.switch(at).unwrap_or_default();
        },
    ),
    Key::read(
        "append-path",
        Shape::Switch,
        "a redirect goes on with the rest of the path",
        |mount, at, reader| {
            mount.append_path = reader.switch(at).unwrap_or_default();
        },
    ),
    Key::read("no-ws-upgrades", Shape::Switch, "WebSockets are refused here", |mount, at, reader| {
        mount.no_websockets = reader.switch(at).unwrap_or_default();
    }),
    Key::read("basic-auth", Shape::Text, "the file of users and passwords", |mount, at, reader| {
        mount.basic_auth = reader.path(at);
    }),
    Key::read("extra-mimetypes", Shape::Pairs, "media types by ends of names", |mount, at, reader| {
        reader.pairs(at, &mut mount.media_types);
    }),
    Key::read(
        "interpret",
        Shape::Pairs,
        "protocols that files go through, by ends of names",
        |mount, at, reader| {
            reader.pairs(at, &mut mount.interpreters);
        },
    ),
    Key::read("headers", Shape::Pairs, "fields of every response", |mount, at, reader| {
        reader.pairs(at, &mut mount.headers);
    }),
    Key::read("keepalive-timeout", Shape::Number, "seconds a connection may be idle", |mount, at, reader| {
        mount.keep_alive_timeout = reader.count(at, SECONDS_MAX).map(Duration::from_secs);
    }),
    Key::read(
        "interceptor-path",
        Shape::Text,
        "path of the mount that is asked first",
        |mount, at, reader| {
            mount.interceptor = reader.name(at);
        },
    ),
    Key::read("pmo", Shape::Pairs, "options of the protocol", |mount, at, reader| {
        reader.pairs(at, &mut mount.options);
    }),
    Key::refused("captcha-path", "it is interceptor-path in libwebsockets today"),
];

fn read_origin(mount: &mut MountDraft, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    match reader.text(at).map(|text| origin(&text)) {
        Some(Ok(origin)) => mount.lead_to(origin),
        Some(Err(reason)) => {
            mount.origin_is_wrong = true;
            reader.report.error(at, reason);
        }
        None => mount.origin_is_wrong = true,
    }
}

impl MountDraft {
    /// The first origin counts. One with `callback://` names the protocol that hears of everything, wherever it stands.
    fn lead_to(&mut self, origin: Origin) {
        if let Origin::Protocol(name) = &origin {
            self.fallback_protocol = Some(name.clone());
        }
        self.origin.get_or_insert(origin);
    }

    fn finish(self, at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<Mount> {
        let path = match self.path {
            None => {
                reader.report.error(at, "a mount without \"mountpoint\"");
                None
            }
            Some(path) if !path.starts_with('/') => {
                reader.report.error(at, format!("the mountpoint \"{path}\" does not begin with a slash"));
                None
            }
            Some(path) => Some(path),
        };
        if self.origin.is_none() && !self.origin_is_wrong {
            reader.report.error(at, "a mount without \"origin\"");
        }
        let origin = self.origin?;
        let fallback_protocol = self.fallback_protocol.filter(|_| !matches!(origin, Origin::Protocol(_)));
        Some(Mount {
            location: at.location(),
            path: path?,
            origin,
            fallback_protocol,
            index: self.index,
            cache: self.cache,
            exact: self.exact,
            append_path: self.append_path,
            no_websockets: self.no_websockets,
            session_bits: self.session_bits,
            basic_auth: self.basic_auth,
            interceptor: self.interceptor,
            media_types: self.media_types,
            interpreters: self.interpreters,
            headers: self.headers,
            keep_alive_timeout: self.keep_alive_timeout,
            options: self.options,
            cgi: self.cgi,
        })
    }
}

/// Reads the array of mounts.
pub(super) fn read(mounts: &mut Vec<Mount>, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let options = reader.options;
    at.each_element(reader.report, |element, report| {
        let reader = &mut Reader { options, report };
        let mut draft = MountDraft::default();
        read_object(&mut draft, element, KEYS, reader);
        mounts.extend(draft.finish(element, reader));
    });
}

/// What an origin means, or what is wrong with it.
fn origin(text: &str) -> Result<Origin, String> {
    let after = |scheme: &str| text.strip_prefix(scheme);
    let some = |rest: &str, what: &str| {
        if rest.is_empty() { Err(format!("\"{text}\" names no {what}")) } else { Ok(rest.to_owned()) }
    };
    if let Some(path) = after("file://") {
        return Ok(Origin::Files(some(path, "folder")?.into()));
    }
    if let Some(path) = after("cgi://") {
        return Ok(Origin::Cgi(some(path, "program")?.into()));
    }
    if let Some(name) = after("callback://") {
        return Ok(Origin::Protocol(some(name, "protocol")?));
    }
    if let Some(location) =
        after(">").filter(|rest| rest.starts_with("http://") || rest.starts_with("https://"))
    {
        some(location.split_once("://").map_or("", |(_, rest)| rest), "address")?;
        return Ok(Origin::Redirect { location: location.to_owned() });
    }
    for (scheme, tls) in [("http://", false), ("https://", true)] {
        if let Some(rest) = after(scheme) {
            let (upstream, path) = upstream(rest).ok_or_else(|| format!("\"{text}\" names no server"))?;
            return Ok(Origin::Proxy { tls, upstream, path });
        }
    }
    if after("gzip://").is_some() {
        return Err(
            "gzip:// is reserved in libwebsockets and serves nothing there; file:// reads from archives"
                .to_owned(),
        );
    }
    let folder =
        if text.starts_with('/') { format!("; \"file://{text}\" is a folder") } else { String::new() };
    Err(format!("\"{text}\" has no scheme of file, http, https, >http, >https, cgi or callback{folder}"))
}

/// The server and the path of what stands behind `http://`: `example.com:80/path`, or `+/run/socket:/path`.
fn upstream(rest: &str) -> Option<(Upstream, String)> {
    if let Some(socket) = rest.strip_prefix('+') {
        let (socket, path) = socket.split_once(':').unwrap_or((socket, "/"));
        return (!socket.is_empty()).then(|| (Upstream::Unix(socket.into()), path.to_owned()));
    }
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    (!authority.is_empty()).then(|| (Upstream::Authority(authority.to_owned()), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_leads_where_it_says() {
        let proxy = |tls, upstream, path: &str| Origin::Proxy { tls, upstream, path: path.to_owned() };
        let server = |name: &str| Upstream::Authority(name.to_owned());
        for (text, wanted) in [
            ("file:///var/www", Origin::Files("/var/www".into())),
            ("cgi:///usr/bin/x", Origin::Cgi("/usr/bin/x".into())),
            ("callback://p", Origin::Protocol("p".to_owned())),
            (">https://a/b", Origin::Redirect { location: "https://a/b".to_owned() }),
            ("http://a", proxy(false, server("a"), "/")),
            ("https://a:81/b/c", proxy(true, server("a:81"), "/b/c")),
            ("http://+/run/s:/b", proxy(false, Upstream::Unix("/run/s".into()), "/b")),
            ("http://+/run/s", proxy(false, Upstream::Unix("/run/s".into()), "/")),
        ] {
            assert_eq!(origin(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn an_origin_that_means_nothing_says_so() {
        for (text, wanted) in [
            ("/var/www", "\"file:///var/www\" is a folder"),
            ("ftp://x", "has no scheme of"),
            ("gzip:///x.zip", "reserved"),
            ("file://", "names no folder"),
            ("http:///x", "names no server"),
            ("http://+", "names no server"),
            (">http://", "names no address"),
            ("callback://", "names no protocol"),
        ] {
            let said = origin(text).expect_err(text);
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }
}
