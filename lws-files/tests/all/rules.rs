//! What a name leads to: one test for each rule.

use crate::support::{Scratch, ask, date, find, get, request};
use lws_files::{CachePolicy, Directory, Files, Memory, Options};
use lws_proto::Time;
use lws_proto::http::Method;

const NAVIGATION: (&str, &str) = ("Accept", "text/html,*/*;q=0.8");

fn memory(options: Options) -> Files {
    let files = Memory::new()
        .file("index.html", "root")
        .file("a.txt", "a")
        .file("sub/index.html", "sub")
        .file("empty/x/y", "y")
        .file(".hidden", "hidden")
        .file(".git/config", "config")
        .file(".well-known/security.txt", "security")
        .file("sub/.well-known/x", "x")
        .file("404.html", "nothing here")
        .file("app.3f2a9c1b.js", "js");
    Files::new(files, options)
}

#[test]
fn a_directory_is_its_index_and_without_its_slash_a_relative_redirect() {
    let files = memory(Options::default());
    assert_eq!(get(&files, "/", &[]), (200, "root".into()));
    assert_eq!(get(&files, "/sub/", &[]), (200, "sub".into()));
    for (path, location) in [("/sub", "./sub/"), ("/sub?a=b", "./sub/?a=b"), ("//x/../s%75b", "./s%75b/")] {
        let response = ask(&files, Method::Get, path, &[]);
        assert_eq!((response.status.code(), response.get("Location")), (301, Some(location)), "{path}");
    }
    assert_eq!(get(&files, "/empty/", &[]).0, 404);
    assert_eq!(get(&files, "/a.txt/", &[]).0, 404);
    // The mount itself, as the server names it without its slash.
    let request = lws_files::Request::new(Method::Get, ".", "/mount", None, [], date());
    let response = files.respond(&request, &find(&files, &request, Time::ZERO), date(), &mut || 0);
    assert_eq!(response.get("Location"), Some("./mount/"));
}

#[test]
fn names_with_a_dot_in_front_are_hidden_but_for_well_known_at_the_root() {
    let files = memory(Options::default());
    for path in ["/.hidden", "/.git/config", "/.git/", "/.git", "/sub/.well-known/x"] {
        assert_eq!(get(&files, path, &[]).0, 404, "{path}");
    }
    assert_eq!(get(&files, "/.well-known/security.txt", &[]), (200, "security".into()));
    let files = memory(Options { hidden: true, ..Options::default() });
    assert_eq!(get(&files, "/.git/config", &[]), (200, "config".into()));
}

#[test]
fn the_fallback_is_for_who_goes_somewhere_and_never_for_a_missing_script() {
    let files = memory(Options { fallback: Some("index.html".into()), ..Options::default() });
    let response = ask(&files, Method::Get, "/some/where", &[NAVIGATION]);
    assert_eq!((response.status.code(), response.get("Cache-Control")), (200, Some("no-cache")));
    assert_eq!(get(&files, "/some/where", &[NAVIGATION]).1, "root");
    // A cache between must not give the one to who wants the other.
    let missing = ask(&files, Method::Get, "/some/where", &[]);
    let vary = Some("Accept, Sec-Fetch-Mode");
    assert_eq!((response.get("Vary"), missing.get("Vary")), (vary, vary));
    for (path, fields) in [
        ("/some/app.js", &[NAVIGATION][..]),
        ("/some/where", &[("Accept", "*/*")]),
        ("/some/where", &[NAVIGATION, ("Sec-Fetch-Mode", "no-cors")]),
        ("/some/where", &[]),
    ] {
        assert_eq!(get(&files, path, fields).0, 404, "{path} {fields:?}");
    }
}

#[test]
fn an_error_document_keeps_the_status_and_has_no_conditions() {
    let files = memory(Options { not_found: Some("404.html".into()), ..Options::default() });
    let fields = [("Range", "bytes=0-1"), ("If-None-Match", "*")];
    let response = ask(&files, Method::Get, "/none", &fields);
    assert_eq!((response.status.code(), response.length), (404, Some(12)));
    assert!(response.get("ETag").is_none() && response.get("Accept-Ranges").is_none());
    assert_eq!(get(&files, "/none", &fields).1, "nothing here");
}

#[test]
fn errors_are_sent_as_a_page_or_as_problem_details() {
    let files = memory(Options::default());
    let (status, page) = get(&files, "/none", &[NAVIGATION]);
    assert!(status == 404 && page.contains("href=\"/error.css\"") && page.contains("<h1>404</h1>"));
    let response = ask(&files, Method::Get, "/none", &[("Accept", "application/json")]);
    assert_eq!(response.get("Content-Type"), Some("application/problem+json"));
}

#[test]
fn other_methods_are_not_allowed() {
    let files = memory(Options::default());
    for method in [Method::Post, Method::Put, Method::Delete, Method::Options] {
        let response = ask(&files, method, "/a.txt", &[]);
        assert_eq!((response.status.code(), response.get("Allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[test]
fn a_listing_is_a_page_or_json_and_has_nothing_hidden() {
    let files = memory(Options { listing: true, index: Vec::new(), ..Options::default() });
    let page = ask(&files, Method::Get, "/", &[NAVIGATION]);
    assert_eq!((page.get("Vary"), page.get("Cache-Control")), (Some("Accept"), Some("no-cache")));
    assert!(
        page.get("Content-Security-Policy").is_some_and(|policy| policy.starts_with("default-src 'none';"))
    );
    let (_, html) = get(&files, "/", &[NAVIGATION]);
    assert!(
        html.contains("href=\"./a.txt\"")
            && html.contains("href=\"./sub/\"")
            && html.contains("./.well-known/")
    );
    assert!(!html.contains(".hidden") && !html.contains(".git") && !html.contains("Parent"));
    let (_, json) = get(&files, "/empty/?order=desc", &[("Accept", "application/json")]);
    assert_eq!(json, "{\"entries\":[\n{\"name\":\"x\",\"type\":\"directory\"}\n],\"truncated\":false}\n");
    let (_, html) = get(&files, "/empty/x/", &[]);
    assert!(html.contains("href=\"../\"") && html.contains("Index of /empty/x/"));
    assert_eq!(get(&files, "/none/", &[]).0, 404);
    let never = memory(Options { listing: true, index: Vec::new(), ..Options::default() });
    assert!(never.find(&request(Method::Get, "/", &[]), Time::ZERO, date()).is_none(), "never on a loop");
}

#[test]
fn names_with_a_hash_are_immutable() {
    let files = memory(Options { cache_control: CachePolicy::of_build(), ..Options::default() });
    for (path, expected) in [
        ("/", "no-cache"),
        ("/a.txt", "no-cache"),
        ("/app.3f2a9c1b.js", "public, max-age=31536000, immutable"),
    ] {
        assert_eq!(ask(&files, Method::Get, path, &[]).get("Cache-Control"), Some(expected), "{path}");
    }
}

#[test]
fn fields_of_the_application_are_on_200_206_and_304() {
    let fields = vec![("X-Own".into(), "yes".into())];
    let files = memory(Options { fields, ..Options::default() });
    let etag = ask(&files, Method::Get, "/a.txt", &[]).get("ETag").expect("a tag").to_owned();
    for (fields, status) in
        [(&[][..], 200), (&[("Range", "bytes=0-0")], 206), (&[("If-None-Match", &*etag)], 304)]
    {
        let response = ask(&files, Method::Get, "/a.txt", fields);
        assert_eq!((response.status.code(), response.get("X-Own")), (status, Some("yes")));
    }
}

#[test]
fn an_unknown_type_is_not_guessed() {
    let files = Files::new(Memory::new().file("x.unknown", "<script>"), Options::default());
    let response = ask(&files, Method::Get, "/x.unknown", &[]);
    assert_eq!(response.get("Content-Type"), Some("application/octet-stream"));
    assert_eq!(response.get("X-Content-Type-Options"), Some("nosniff"));
}

#[cfg(feature = "gzip")]
#[test]
fn past_the_limit_of_streams_a_file_is_sent_as_it_is() {
    let scratch = Scratch::new("streams");
    scratch.write("a.txt", "text ".repeat(20_000));
    let compression = Some(lws_files::Compression { streams_max: 2, ..Default::default() });
    let directory = Directory::open(scratch.path()).expect("it is there");
    let files = Files::new(directory, Options { compression, ..Options::default() });
    let gzip = [("Accept-Encoding", "gzip")];
    let ask = || ask(&files, Method::Get, "/a.txt", &gzip);
    let mut running: Vec<_> = (0..2).map(|_| ask()).collect();
    assert!(running.iter().all(|response| response.get("Content-Encoding") == Some("gzip")));
    let plain = ask();
    assert_eq!((plain.get("Content-Encoding"), plain.get("Vary")), (None, Some("Accept-Encoding")));
    running.pop();
    assert_eq!(ask().get("Content-Encoding"), Some("gzip"));
}

#[test]
fn a_file_that_was_replaced_is_noticed_after_a_second() {
    let scratch = Scratch::new("replaced");
    scratch.write("a.txt", "old");
    let files = Files::new(Directory::open(scratch.path()).expect("it is there"), Options::default());
    let request = request(Method::Get, "/a.txt", &[]);
    let length = |now| {
        let found = find(&files, &request, Time::from_micros(now));
        files.respond(&request, &found, date(), &mut || 0).length
    };
    assert_eq!(length(0), Some(3));
    scratch.write("new", "longer");
    std::fs::rename(scratch.path().join("new"), scratch.path().join("a.txt")).expect("ours");
    assert_eq!(length(999_999), Some(3), "believed");
    assert_eq!(length(1_000_000), Some(6), "looked at again");
    files.clear();
    assert_eq!(length(1_000_000), Some(6));
}
