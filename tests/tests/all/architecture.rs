//! The walls of the house, as a test: reads the sources and fails on a mention that has no business where it stands.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below `folder`, with its path from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                found.push((name, fs::read_to_string(&path).expect("a source file")));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// The lines of the files below `folder` that hold one of `words`, comments and tests left out.
fn mentions(folder: &str, words: &[&str], except: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources(folder) {
        if except.iter().any(|except| name.ends_with(except)) || name.ends_with("tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

fn check(rule: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn the_engine_knows_no_socket_clock_thread_file_or_global() {
    let words =
        ["std::net", "std::io", "std::time", "std::thread", "std::fs", "Instant", "SystemTime", "static mut"];
    check("a world outside in the engine", mentions("lws-proto/src", &words, &[]));
}

#[test]
fn the_engine_has_no_unsafe_and_no_standard_library() {
    let lib = fs::read_to_string(root().join("lws-proto/src/lib.rs")).expect("lib.rs");
    assert!(lib.contains("#![no_std]") && lib.contains("#![forbid(unsafe_code)]"));
}

/// Which modules of the engine may name which protocols, by the way in which a module is named in code.
#[test]
fn a_protocol_names_another_one_only_where_one_leads_to_the_other() {
    let allowed: [(&str, &[&str]); 7] = [
        ("lws-proto/src/http", &[]),
        ("lws-proto/src/hpack", &[]),
        ("lws-proto/src/ws", &[]),
        // A request may be an opening handshake, and its answer is written by either version.
        ("lws-proto/src/h1", &["ws::"]),
        // Streams carry WebSockets and bytes, which the connection knows how to carry.
        ("lws-proto/src/h2", &["ws::", "hpack::"]),
        ("lws-proto/src/connection", &["h1::", "h2::", "ws::", "raw::"]),
        ("lws-proto/src/handle", &["h1::", "ws::"]),
    ];
    for (folder, may_name) in allowed {
        let own = folder.rsplit('/').next().unwrap_or_default();
        let protocols = ["h1", "h2", "ws", "raw", "hpack"];
        let foreign: Vec<String> = protocols
            .into_iter()
            .filter(|name| *name != own)
            .map(|name| format!("{name}::"))
            .filter(|name| !may_name.contains(&name.as_str()))
            .flat_map(|name| {
                [format!("crate::{name}"), format!("(\"{name}"), format!(" {name}"), format!("<{name}")]
            })
            .collect();
        let foreign: Vec<&str> = foreign.iter().map(String::as_str).collect();
        check(&format!("a protocol that {folder} has no business with"), mentions(folder, &foreign, &[]));
    }
}

/// A switch replaces the half that sends: every place where that happens is one of these.
#[test]
fn protocols_are_switched_in_named_places() {
    let places = ["connection.rs", "connection/outbound.rs", "connection/dispatch.rs"];
    let switches = ["Sending::Http1(", "Sending::Http2(", "Sending::Carried("];
    check("a switch of protocols", mentions("lws-proto/src", &switches, &places));
    let makers = ["carried::websocket(", "carried::raw("];
    let places = ["connection/outbound.rs", "h2/session/tunnels.rs"];
    check("a WebSocket or raw stream that begins", mentions("lws-proto/src", &makers, &places));
    let halves = ["ws::Half::open(", "raw::Half::default("];
    check("the halves of one", mentions("lws-proto/src", &halves, &["connection/carried.rs"]));
    // The names above are those that the code uses: otherwise nothing has been checked.
    for (words, folder) in [
        (&switches[..], "lws-proto/src/connection"),
        (&makers[..], "lws-proto/src"),
        (&halves[..], "lws-proto/src"),
    ] {
        assert!(!mentions(folder, words, &[]).is_empty(), "nothing is called {words:?}");
    }
}

/// What every protocol writes through knows none of them.
#[test]
fn links_and_streams_know_no_protocol() {
    for file in
        ["link.rs", "channel.rs", "stream.rs", "delivery.rs", "transmit.rs", "buffer.rs", "resources.rs"]
    {
        let path = root().join("lws-proto/src/connection").join(file);
        let text = fs::read_to_string(path).expect(file);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for protocol in ["h1::", "h2::", "ws::", "raw::", "hpack::", "outbound::", "dispatch::", "carried::"]
        {
            let named = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let named: Vec<&str> = named.filter(|line| line.contains(protocol)).collect();
            assert!(named.is_empty(), "{file} knows {protocol} {named:?}");
        }
    }
}

#[test]
fn the_wire_floors_know_no_connection() {
    for file in [
        "ws/frame.rs",
        "ws/mask.rs",
        "ws/utf8.rs",
        "ws/close.rs",
        "h1/head.rs",
        "h1/chunked.rs",
        "h1/encode.rs",
        "h2/frame.rs",
        "h2/settings.rs",
        "hpack/decoder.rs",
        "hpack/encoder.rs",
        "hpack/huffman.rs",
        "hpack/integer.rs",
        "hpack/strings.rs",
    ] {
        let text = fs::read_to_string(root().join("lws-proto/src").join(file)).expect(file);
        assert!(!text.contains("crate::connection"), "{file} knows a connection");
    }
}

#[test]
fn tls_knows_no_socket() {
    check(
        "a socket in TLS",
        mentions("lws-tls/src", &["std::net", "TcpStream", "std::os::fd", "rustix"], &[]),
    );
}

#[test]
fn unsafe_stands_in_sys_rs_only() {
    for folder in [
        "lws-loop-external",
        "lws-loop-poll",
        "lws-loop-uv",
        "lws-loop-conformance",
        "lws-server",
        "lws-tls",
        "lws-record",
        "lwsws",
        "benches",
        "tests/src",
    ] {
        let found = mentions(folder, &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"], &["sys.rs"]);
        check("unsafe outside sys.rs", found);
    }
}

#[test]
fn rfcs_are_cited_in_one_form() {
    let forms = [
        "RFC6455",
        "RFC7541",
        "RFC9110",
        "RFC9112",
        "rfc 6455",
        "RFC-",
        "Section ",
        "section 5.",
        "RFC 6455, ",
        "RFC 7541, ",
        "RFC 9112, ",
    ];
    let folders = [
        "lws-proto",
        "lws-loop-external",
        "lws-loop-poll",
        "lws-loop-uv",
        "lws-tls",
        "lws-record",
        "lws-server",
        "lwsws",
    ];
    for folder in folders {
        for (name, text) in sources(folder) {
            for (number, line) in text.lines().enumerate() {
                let cites = forms.iter().any(|form| line.contains(form)) && line.contains("//");
                assert!(!cites, "{name}:{}: {}", number + 1, line.trim());
            }
        }
    }
}

#[test]
fn arrows_point_down_only() {
    let depends = |folder: &str, on: &[&str]| {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for crate_name in on {
            assert!(!dependencies.contains(&format!("\n{crate_name}")), "{folder} depends on {crate_name}");
        }
    };
    depends("lws-proto", &["lws-loop-external", "lws-loop-poll", "lws-server", "mio", "rustix", "socket2"]);
    depends("lws-loop-external", &["lws-loop-poll", "lws-server", "lws-tls", "rustls"]);
    depends("lws-record", &["lws-loop-external", "lws-loop-poll", "lws-server", "lws-tls", "rustix"]);
    depends("lws-tls", &["lws-loop-poll", "lws-server", "mio", "rustix"]);
    depends("lws-loop-poll", &["lws-server"]);
    depends("lws-loop-uv", &["lws-loop-poll", "lws-server", "mio"]);
    depends("lws-loop-conformance", &["lws-loop-poll", "lws-server", "mio"]);
}

/// The feature `record` of the engine: a call that is not noted makes every record wrong that holds it.
#[test]
fn every_call_that_changes_a_connection_is_noted() {
    // Those that change nothing by themselves, that end in another one, or that only lend or count memory.
    let others = [
        "index",
        "permit",
        "into_stream",
        "into_writable",
        "into_exchange",
        "into_websocket",
        "into_raw",
        "stream",
        "text",
        "recv_buf",
        "lend",
        "reclaim",
        "record",
        "commit",
        "set_held_outside",
    ];
    let mut found = Vec::new();
    let files = [
        "handle/stream.rs",
        "handle/permit.rs",
        "handle/exchange.rs",
        "handle/websocket.rs",
        "handle/raw_stream.rs",
        "connection.rs",
        "connection/feed.rs",
    ];
    let mut calls = 0;
    for file in files {
        let text = fs::read_to_string(root().join("lws-proto/src").join(file)).expect(file);
        for function in text.split("\n    pub fn ").skip(1) {
            let body = function.split("\n    }\n").next().unwrap_or_default();
            let head = body.split('{').next().unwrap_or_default();
            let name = head.split(['(', '<']).next().unwrap_or_default();
            let parameters = head.split_once('(').map_or("", |(_, rest)| rest).trim_start();
            let changes = ["self,", "self)", "mut self", "&mut self", "&'c mut self"];
            let notes = [
                "::new(self.outbound).",
                "note!(",
                "command!(",
                "crate::record::",
                "self.note_sent(",
                "self.connection.transmit(",
            ];
            let is_noted = notes.iter().any(|note| body.contains(note)) || others.contains(&name);
            let does_change = changes.iter().any(|receiver| parameters.starts_with(receiver));
            calls += usize::from(does_change);
            if does_change && !is_noted {
                found.push(format!("{file}: {name}"));
            }
        }
    }
    assert!(calls > 40, "only {calls} calls were found that change a connection");
    check("a call that is not noted: `command!` in it, and a `Command` in lws-record", found);
}

#[test]
fn the_loops_of_others_are_there_for_those_who_ask_for_them() {
    let manifest = fs::read_to_string(root().join("lws-loop-external/Cargo.toml")).expect("a manifest");
    assert!(!manifest.contains("\ndefault = "), "a feature is on by default");
    let (_, dependencies) = manifest.split_once("\n[dependencies]").expect("dependencies");
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    for name in ["async-io", "calloop", "mio", "polling", "tokio"] {
        let line = dependencies.lines().find(|line| line.starts_with(&format!("{name} = ")));
        assert!(line.is_some_and(|line| line.contains("optional = true")), "{name} is always there");
    }
}
