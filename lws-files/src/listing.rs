//! Directories as documents: a page for people, JSON for programs.
//!
//! Reads no directory: names in, bytes out.

use crate::page::{Page, push_html, push_json, push_segment};
use crate::request::Wants;
use crate::vfs::Listed;
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Names in one listing. Past them it says that there are more.
pub const LISTED_MAX: usize = 10_000;

/// What a listing is sorted by. Directories come first, and names decide among equals, so that the order is always the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sort {
    key: SortKey,
    descending: bool,
}

impl Sort {
    /// A number below 8, another one for each.
    pub(crate) fn bits(self) -> u32 {
        (self.key as u32) << 1 | u32::from(self.descending)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SortKey {
    #[default]
    Name,
    Size,
    Modified,
}

impl SortKey {
    const ALL: [Self; 3] = [Self::Name, Self::Size, Self::Modified];

    const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Modified => "modified",
        }
    }

    const fn heading(self) -> &'static str {
        match self {
            Self::Name => "Name",
            Self::Size => "Size",
            Self::Modified => "Last modified",
        }
    }
}

impl Sort {
    /// Reads `sort=name|size|modified` and `order=desc` in a query. What it does not know changes nothing.
    pub(crate) fn of_query(query: Option<&str>) -> Self {
        let mut sort = Self::default();
        for pair in query.unwrap_or_default().split('&') {
            match pair.split_once('=') {
                Some(("sort", word)) => {
                    sort.key = SortKey::ALL.into_iter().find(|key| key.word() == word).unwrap_or_default();
                }
                Some(("order", word)) => sort.descending = word == "desc",
                _ => {}
            }
        }
        sort
    }

    fn compare(self, a: &Listed, b: &Listed) -> Ordering {
        let order = match self.key {
            SortKey::Name => a.name.cmp(&b.name),
            SortKey::Size => a.len.cmp(&b.len),
            SortKey::Modified => a.modified.cmp(&b.modified),
        };
        let order = if self.descending { order.reverse() } else { order };
        b.directory.cmp(&a.directory).then(order).then_with(|| a.name.cmp(&b.name))
    }
}

/// The style of the page. It stands in the page, and [`CONTENT_SECURITY_POLICY`] has its hash: nothing else of a page that a file
/// name gets into can style or run anything. A phone has no room for dates beside names.
const STYLE: &str = ":root{color-scheme:light dark;background:Canvas;color:CanvasText}\
body{font:1rem/1.6 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\
h1{font-size:1.3rem;overflow-wrap:anywhere}table{width:100%;border-collapse:collapse}th,td{text-align:left;padding:.3rem .5rem}\
td:first-child{overflow-wrap:anywhere}th+th,td+td{white-space:nowrap}tbody tr:nth-child(odd){background:#8881}\
a{display:inline-block;padding:.1rem 0}@media(max-width:40rem){th:nth-child(3),td:nth-child(3){display:none}}";

/// What a listing may do in a browser: nothing but show the style that it has.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'sha256-MYREy40VQ+WquKLoiEBz8b6lE2aXrH5bDbgQvvUfrms='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Makes the document for the directory `names`, of which `more` says that not all are listed.
pub(crate) fn document(names: &str, mut listed: Vec<Listed>, more: bool, sort: Sort, wants: Wants) -> Page {
    listed.sort_by(|a, b| sort.compare(a, b));
    match wants {
        Wants::Html => {
            let bytes = html(names, &listed, more, sort).into();
            Page { content_type: "text/html; charset=utf-8", bytes }
        }
        Wants::Json => Page { content_type: "application/json", bytes: json(&listed, more).into() },
    }
}

fn json(listed: &[Listed], more: bool) -> String {
    let mut out = String::from("{\"entries\":[");
    for (at, entry) in listed.iter().enumerate() {
        out.push_str(if at == 0 { "\n{\"name\":\"" } else { ",\n{\"name\":\"" });
        push_json(&entry.name, &mut out);
        let kind = if entry.directory { "directory" } else { "file" };
        let _ = write!(out, "\",\"type\":\"{kind}\"");
        if !entry.directory {
            let _ = write!(out, ",\"size\":{}", entry.len);
        }
        if let Some(modified) = entry.modified {
            let _ = write!(out, ",\"modified\":{}", modified.unix_seconds());
        }
        out.push('}');
    }
    let _ = writeln!(out, "\n],\"truncated\":{more}}}");
    out
}

fn html(names: &str, listed: &[Listed], more: bool, sort: Sort) -> String {
    let mut title = String::from("/");
    push_html(names, &mut title);
    if !names.is_empty() {
        title.push('/');
    }
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Index of {title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Index of {title}</h1>\n<table>\n<thead>\n<tr>"
    );
    headings(sort, &mut out);
    out.push_str("</tr>\n</thead>\n<tbody>\n");
    if !names.is_empty() {
        out.push_str("<tr><td><a href=\"../\">Parent directory</a></td><td></td><td></td></tr>\n");
    }
    listed.iter().for_each(|entry| row(entry, &mut out));
    out.push_str("</tbody>\n</table>\n");
    if more {
        let _ = writeln!(out, "<p>There are more than {} entries; these are some of them.</p>", listed.len());
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn headings(sort: Sort, out: &mut String) {
    for key in SortKey::ALL {
        let is_key = key == sort.key;
        // The one that it is sorted by turns the order around.
        let (order, state) = match (is_key, sort.descending) {
            (true, false) => ("desc", " aria-sort=\"ascending\""),
            (true, true) => ("asc", " aria-sort=\"descending\""),
            (false, _) => ("asc", ""),
        };
        let (word, heading) = (key.word(), key.heading());
        let _ = write!(
            out,
            "<th scope=\"col\"{state}><a href=\"?sort={word}&amp;order={order}\">{heading}</a></th>"
        );
    }
}

fn row(entry: &Listed, out: &mut String) {
    let slash = if entry.directory { "/" } else { "" };
    // With `./` in front: a name with `:` in it would be a scheme. RFC 3986 §4.2.
    out.push_str("<tr><td><a href=\"./");
    push_segment(&entry.name, out);
    let _ = write!(out, "{slash}\">");
    push_html(&entry.name, out);
    let _ = write!(out, "{slash}</a></td><td>");
    if !entry.directory {
        size(entry.len, out);
    }
    out.push_str("</td><td>");
    if let Some(modified) = entry.modified {
        let _ = write!(out, "{modified}");
    }
    out.push_str("</td></tr>\n");
}

fn size(bytes: u64, out: &mut String) {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = bytes.checked_ilog2().unwrap_or(0) / 10;
    let _ = match units.get((power as usize).wrapping_sub(1)) {
        None => write!(out, "{bytes} B"),
        Some(unit) => write!(out, "{:.1} {unit}", bytes as f64 / 2_f64.powi(10 * power as i32)),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_proto::http::HttpDate;

    fn listed(name: &str, directory: bool, len: u64, modified: i64) -> Listed {
        Listed { name: name.into(), directory, len, modified: Some(HttpDate::from_unix(modified)) }
    }

    fn some() -> Vec<Listed> {
        vec![
            listed("b", false, 10, 300),
            listed("a", false, 10, 100),
            listed("dir", true, 0, 50),
            listed("c", false, 5, 200),
        ]
    }

    fn order(query: &str) -> String {
        let sort = Sort::of_query(Some(query));
        let mut listed = some();
        listed.sort_by(|a, b| sort.compare(a, b));
        listed.into_iter().map(|entry| entry.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn directories_come_first_and_names_decide_among_equals() {
        for (query, expected) in [
            ("", "dir a b c"),
            ("order=desc", "dir c b a"),
            ("sort=size", "dir c a b"),
            ("sort=size&order=desc", "dir a b c"),
            ("sort=modified", "dir a c b"),
            ("sort=nonsense&order=up&x", "dir a b c"),
        ] {
            assert_eq!(order(query), expected, "{query}");
        }
    }

    #[test]
    fn a_name_is_data_wherever_it_stands() {
        let evil = "<script>alert('x')</script>\"&: #?";
        let page = document(
            "a<b",
            vec![listed(evil, false, 1, 1), listed("javascript:x", true, 0, 1)],
            true,
            Sort::default(),
            Wants::Html,
        );
        let html = String::from_utf8(page.bytes.to_vec()).expect("text");
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{html}");
        assert!(
            html.contains("href=\"./%3Cscript%3Ealert%28%27x%27%29%3C%2Fscript%3E%22%26%3A%20%23%3F\""),
            "{html}"
        );
        assert!(html.contains("href=\"./javascript%3Ax/\">javascript:x/</a>"), "{html}");
        assert!(html.contains("Index of /a&lt;b/") && html.contains("more than 2 entries"), "{html}");
        let page = document("", vec![listed(evil, false, 1, 1)], false, Sort::default(), Wants::Json);
        assert_eq!(
            page.bytes,
            "{\"entries\":[\n{\"name\":\"\\u003cscript>alert('x')\\u003c/script>\\\"&: #?\",\"type\":\"file\",\
             \"size\":1,\"modified\":1}\n],\"truncated\":false}\n"
        );
    }

    #[test]
    fn sizes_are_read_at_a_glance() {
        for (bytes, expected) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (u64::MAX, "16.0 EiB")]
        {
            let mut out = String::new();
            size(bytes, &mut out);
            assert_eq!(out, expected);
        }
    }

    /// After a change of the style, the failing test prints the new hash.
    #[test]
    fn the_policy_names_the_hash_of_the_style() {
        let output = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$1\" | openssl dgst -sha256 -binary | openssl base64", "sh", STYLE])
            .output();
        let Some(output) = output.ok().filter(|output| output.status.success()) else { return };
        let hash = String::from_utf8(output.stdout).expect("base 64");
        assert!(CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{}'", hash.trim())), "{hash}");
    }
}
