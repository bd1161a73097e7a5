//! Content types by the extension of a name. RFC 9110 §8.3.

/// Extensions in lower case and their media types, in order.
const TYPES: &[(&str, &str)] = &[
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apng", "image/apng"),
    ("atom", "application/atom+xml"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain; charset=utf-8"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("h", "text/plain; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("log", "text/plain; charset=utf-8"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("rs", "text/plain; charset=utf-8"),
    ("rss", "application/rss+xml"),
    ("sh", "text/plain; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xml", "application/xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// The type of content about which nothing else is known.
const UNKNOWN: &str = "application/octet-stream";

/// The content types of a mount: a table of its own before the built-in one.
///
/// ```
/// use lws_files::Types;
///
/// let types = Types::new().add("md", "text/plain; charset=utf-8").add("*", "");
/// assert_eq!(types.of("a/README.md"), Some("text/plain; charset=utf-8"));
/// assert_eq!(types.of("a/page.html"), Some("text/html; charset=utf-8"));
/// assert_eq!(types.of("a/unknown"), None);
/// ```
#[doc(alias = "extra_mimetypes")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Types {
    /// Extensions in lower case, and their types; those that were added later come first.
    extra: Vec<(String, String)>,
    fallback: Option<String>,
}

impl Types {
    /// The built-in table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type for names that end with a dot and `extension`, in whatever case. The extension `*` is for all that no table has,
    /// and an empty type sends no `Content-Type`.
    pub fn add(mut self, extension: &str, content_type: impl Into<String>) -> Self {
        let content_type = content_type.into();
        match extension {
            "*" => self.fallback = Some(content_type),
            _ => self.extra.insert(0, (extension.trim_start_matches('.').to_ascii_lowercase(), content_type)),
        }
        self
    }

    /// The content type of a file called `name`, by what follows the last dot of its last segment; nothing looks into the file.
    /// `None` if none is to be sent.
    #[doc(alias = "lws_get_mimetype")]
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&str> {
        let content_type = self.known(name).or(self.fallback.as_deref()).unwrap_or(UNKNOWN);
        (!content_type.is_empty()).then_some(content_type)
    }

    fn known(&self, name: &str) -> Option<&str> {
        let last = name.rsplit('/').next().unwrap_or_default();
        let (_, extension) = last.rsplit_once('.')?;
        let extension = extension.to_ascii_lowercase();
        let extra = || self.extra.iter().find(|(known, _)| *known == extension);
        let built_in = || TYPES.binary_search_by(|(known, _)| (*known).cmp(&extension)).ok();
        extra().map(|(_, known)| known.as_str()).or_else(|| built_in().map(|at| TYPES[at].1))
    }
}

/// Whether content of this type becomes much shorter when it is compressed: text, and what is written like it.
#[must_use]
pub fn is_compressible(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim_ascii();
    let is = |other: &&str| essence.eq_ignore_ascii_case(other);
    let starts = essence.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case("text/"));
    let ends = essence.rsplit_once('+').map(|(_, suffix)| suffix);
    starts
        || ends.is_some_and(|suffix| ["json", "xml"].iter().any(|other| suffix.eq_ignore_ascii_case(other)))
        || [
            "application/javascript",
            "application/json",
            "application/toml",
            "application/vnd.apple.mpegurl",
            "application/vnd.ms-fontobject",
            "application/wasm",
            "application/xml",
            "application/yaml",
            "font/otf",
            "font/ttf",
            "image/bmp",
            "image/vnd.microsoft.icon",
        ]
        .iter()
        .any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(TYPES.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn the_last_extension_decides_in_any_case() {
        let types = Types::new();
        for (name, expected) in [
            ("a/b.html", "text/html; charset=utf-8"),
            ("A.JPEG", "image/jpeg"),
            ("x.tar.gz", "application/gzip"),
            ("x.html/y", UNKNOWN),
            ("x.", UNKNOWN),
            ("x", UNKNOWN),
            ("x.nosuch", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(types.of(name), Some(expected), "{name}");
        }
    }

    #[test]
    fn the_table_of_a_mount_comes_first() {
        let types = Types::new().add(".HTML", "a/b").add("html", "c/d").add("new", "").add("*", "e/f");
        for (name, expected) in [
            ("x.html", Some("c/d")),
            ("x.new", None),
            ("x.css", Some("text/css; charset=utf-8")),
            ("x.unknown", Some("e/f")),
            ("x", Some("e/f")),
        ] {
            assert_eq!(types.of(name), expected, "{name}");
        }
    }

    #[test]
    fn text_is_compressed_and_pictures_are_not() {
        for kind in [
            "text/html; charset=utf-8",
            "TEXT/plain",
            "image/svg+xml",
            "application/ld+json",
            "application/wasm",
        ] {
            assert!(is_compressible(kind), "{kind}");
        }
        for kind in
            ["image/png", "video/mp4", "application/zip", "application/octet-stream", "", "font/woff2"]
        {
            assert!(!is_compressible(kind), "{kind}");
        }
    }
}
