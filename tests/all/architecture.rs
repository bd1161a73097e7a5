//! Rules about the sources that the compiler does not check: which file may mention what. ARCHITECTURE.md says why.
//!
//! Files are named by folder and pattern, so that moving one within its crate breaks no rule. Every rule is tried on a bad
//! sample too, and has to find files that it applies to: a rule that cannot fail checks nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path from the root of the workspace, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn is_below(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "benches")
    }

    /// The lines without comments, numbered, up to the tests of the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        code.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the workspace, but what is built or belongs to others.
fn sources() -> Vec<Source> {
    let (mut found, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && !name.as_encoded_bytes().starts_with(b".") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let short = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                found.push(Source { path: short, text: fs::read_to_string(&path).expect("a source file") });
            }
        }
    }
    found
}

/// Whether a word stands in code by itself, and not as a part of a longer one.
fn has_word(code: &str, word: &str) -> bool {
    let joins = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (&code.as_bytes()[..at], &code.as_bytes()[at + word.len()..]);
        let opens = word.as_bytes().first().is_some_and(|first| joins(Some(first)));
        let closes = word.as_bytes().last().is_some_and(|last| joins(Some(last)));
        !(opens && joins(before.last()) || closes && joins(after.first()))
    })
}

/// Words that the code of some files does not contain.
struct Ban {
    rule: &'static str,
    applies: fn(&Source) -> bool,
    words: &'static [&'static str],
    /// A file to which the rule applies, and a line that breaks it.
    sample: (&'static str, &'static str),
}

impl Ban {
    fn broken_by<'a>(&self, sources: impl IntoIterator<Item = &'a Source>) -> Vec<String> {
        let mut found = Vec::new();
        for source in sources {
            for (number, code) in source.code() {
                if self.words.iter().any(|word| has_word(code, word)) {
                    found.push(format!("{}:{number}: {}", source.path, code.trim()));
                }
            }
        }
        found
    }
}

fn is_of(source: &Source, folder: &str) -> bool {
    source.is_below(folder) && !source.is_test()
}

/// The wire floor: bytes to typed items and back, without a state of a connection. The folders `hpack` and `http` are of it as a whole; of
/// the other protocols these files, wherever they are.
const WIRE: [(&str, &[&str]); 3] = [
    ("h1", &["chunked.rs", "compose.rs", "encode.rs", "facts.rs", "framing.rs", "head.rs"]),
    ("h2", &["error.rs", "frame.rs", "section.rs", "settings.rs"]),
    (
        "ws",
        &[
            "close.rs",
            "decoder.rs",
            "encoder.rs",
            "extension.rs",
            "frame.rs",
            "mask.rs",
            "negotiate.rs",
            "utf8.rs",
        ],
    ),
];

/// The state floor: small values and transitions, without bytes.
const STATE: [(&str, &[&str]); 1] =
    [("h2", &["bucket.rs", "conduct.rs", "line.rs", "state.rs", "window.rs"])];

fn is_on(floor: &[(&str, &[&str])], source: &Source) -> bool {
    let below = |protocol: &str| is_of(source, &format!("lws-proto/src/{protocol}"));
    floor.iter().any(|(protocol, names)| below(protocol) && names.contains(&source.name()))
}

fn is_wire(source: &Source) -> bool {
    is_of(source, "lws-proto/src/hpack") || is_of(source, "lws-proto/src/http") || is_on(&WIRE, source)
}

/// Whether a file is one of those of a connection in which protocols meet.
fn may_switch(source: &Source) -> bool {
    let meets = ["connection.rs", "connection/feed.rs", "connection/outbound.rs", "connection/dispatch.rs"];
    meets.iter().any(|file| source.path == format!("lws-proto/src/{file}"))
}

/// What every protocol writes through.
const BELOW_PROTOCOLS: [&str; 8] = [
    "buffer.rs",
    "channel.rs",
    "delivery.rs",
    "item.rs",
    "link.rs",
    "resources.rs",
    "stream.rs",
    "transmit.rs",
];

const BANS: [Ban; 17] = [
    Ban {
        rule: "the protocol of a connection is matched and replaced in named files",
        applies: |source| is_of(source, "lws-proto/src") && !may_switch(source),
        words: &[
            "Sending::Http1(",
            "Sending::Http2(",
            "Sending::Carried(",
            "Receiving::Http1(",
            "Receiving::Http2(",
        ],
        sample: (
            "lws-proto/src/handle/stream.rs",
            "let Sending::Http2(session) = &mut outbound.sender else {",
        ),
    },
    Ban {
        rule: "WebSockets and raw streams begin in named files",
        applies: |source| {
            let begins = ["connection/carried.rs", "connection/outbound.rs", "h2/session/tunnels.rs"];
            is_of(source, "lws-proto/src")
                && !begins.iter().any(|file| source.path == format!("lws-proto/src/{file}"))
        },
        words: &["carried::websocket(", "carried::raw(", "ws::Half::open(", "raw::Half::default("],
        sample: ("lws-proto/src/h1/reader.rs", "let halves = carried::websocket(opened, true, now);"),
    },
    Ban {
        rule: "links, channels and stream cores know no protocol",
        applies: |source| {
            is_of(source, "lws-proto/src/connection") && BELOW_PROTOCOLS.contains(&source.name())
        },
        words: &["h1::", "h2::", "raw::", "hpack::", "outbound::", "dispatch::", "carried::"],
        sample: ("lws-proto/src/connection/link.rs", "use crate::h2::Session;"),
    },
    Ban {
        rule: "the versions of HTTP know neither each other nor raw streams",
        applies: |source| is_of(source, "lws-proto/src/h1") || is_of(source, "lws-proto/src/h2"),
        words: &["crate::h1", "crate::raw", "h1::MessageReader", "h1::MessageWriter", "raw::ByteSender"],
        sample: ("lws-proto/src/h2/session/tunnels.rs", "use crate::raw::ByteSender;"),
    },
    Ban {
        rule: "the engine knows no socket, clock, thread, file or global variable",
        applies: |source| is_of(source, "lws-proto/src"),
        words: &[
            "std::net",
            "std::io",
            "std::time",
            "std::thread",
            "std::fs",
            "std::env",
            "std::process",
            "Instant",
            "SystemTime",
            "static mut",
            "thread_local!",
        ],
        sample: ("lws-proto/src/h2/session.rs", "let now = std::time::Instant::now();"),
    },
    Ban {
        rule: "the wire floor knows no connection",
        applies: is_wire,
        words: &[
            "crate::connection",
            "crate::dispatch",
            "crate::handle",
            "crate::stream",
            "crate::transmit",
            "crate::tx",
            "Tx",
            "StreamCore",
            "&mut Link",
            "&mut Output",
        ],
        sample: ("lws-proto/src/h1/chunked.rs", "fn chunk(link: &mut Link, len: usize) {"),
    },
    Ban {
        rule: "the state floor knows no bytes and no connection",
        applies: |source| is_on(&STATE, source),
        words: &[
            "crate::connection",
            "crate::transmit",
            "crate::tx",
            "Link",
            "Tx",
            "Output",
            "[u8]",
            "Vec<u8>",
            "Bytes",
        ],
        sample: ("lws-proto/src/h2/window.rs", "fn read(&mut self, frame: &[u8]) {"),
    },
    Ban {
        rule: "WebSocket and raw streams know no version of HTTP below them",
        applies: |source| {
            is_of(source, "lws-proto/src/ws")
                || source.path.ends_with("lws-proto/src/raw.rs")
                || is_of(source, "lws-proto/src/raw")
        },
        words: &["h1::", "h2::", "hpack::"],
        sample: ("lws-proto/src/ws/half.rs", "use crate::h2::Session;"),
    },
    Ban {
        rule: "HTTP/1.1 knows no HTTP/2",
        applies: |source| is_of(source, "lws-proto/src/h1"),
        words: &["crate::h2", "h2::FrameReader", "h2::Session", "hpack::"],
        sample: ("lws-proto/src/h1/session.rs", "fn upgrade(self) -> h2::Session {"),
    },
    Ban {
        rule: "header compression knows no protocol",
        applies: |source| is_of(source, "lws-proto/src/hpack"),
        words: &["h1::", "h2::", "ws::", "raw::"],
        sample: ("lws-proto/src/hpack/decoder.rs", "use crate::h2::frame;"),
    },
    Ban {
        rule: "the semantics of HTTP know no version of it",
        applies: |source| is_of(source, "lws-proto/src/http"),
        words: &["h1::", "h2::", "ws::", "raw::", "hpack::"],
        sample: ("lws-proto/src/http/head.rs", "use crate::hpack::Section;"),
    },
    Ban {
        rule: "TLS knows no socket",
        applies: |source| is_of(source, "lws-tls/src"),
        words: &["std::net", "TcpStream", "std::os::fd", "rustix", "libc::"],
        sample: ("lws-tls/src/server.rs", "use std::net::TcpStream;"),
    },
    Ban {
        rule: "the seam knows no TLS library and no HTTP server",
        applies: |source| is_of(source, "lws-loop-external/src"),
        words: &["rustls", "lws_tls", "lws_server", "lws_loop_poll"],
        sample: ("lws-loop-external/src/driver.rs", "use rustls::ServerConnection;"),
    },
    Ban {
        rule: "records are made without a socket",
        applies: |source| is_of(source, "lws-record/src"),
        words: &["TcpStream", "TcpListener", "UdpSocket", "rustix", "lws_loop_external"],
        sample: ("lws-record/src/replay.rs", "use std::net::TcpStream;"),
    },
    Ban {
        rule: "no call waits: only the resolver's threads and a program that runs threads of its own may",
        applies: |source| {
            // In `remote.rs` it is the program's own thread that waits, for an exchange that it sends content to.
            let waits = ["resolver.rs", "system.rs", "threads.rs", "pool.rs", "remote.rs"];
            let folders =
                ["lws-proto", "lws-loop-external", "lws-loop-uring", "lws-loop-uv", "lws-server", "lws-tls"];
            folders.iter().any(|folder| is_of(source, &format!("{folder}/src")))
                && !waits.contains(&source.name())
        },
        words: &[
            "thread::sleep",
            "thread::park",
            "Condvar",
            ".recv()",
            ".join().expect",
            "recv_timeout",
            "wait_timeout",
        ],
        sample: ("lws-server/src/app.rs", "let answer = receiver.recv();"),
    },
    Ban {
        rule: "`unsafe` is in a file `sys.rs` only",
        applies: |source| source.name() != "sys.rs" && !source.path.ends_with("all/architecture.rs"),
        words: &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"],
        sample: ("lws-server/src/app.rs", "let first = unsafe { bytes.get_unchecked(0) };"),
    },
    Ban {
        rule: "a permit is not copied",
        applies: |source| is_of(source, "lws-proto/src"),
        words: &["Clone for Writable", "Copy for Writable", "Clone for Sent", "Copy for Sent"],
        sample: ("lws-proto/src/handle/permit.rs", "impl Clone for Writable<'_> {"),
    },
];

#[test]
fn no_file_mentions_what_it_must_not_know() {
    let sources = sources();
    let mut found = Vec::new();
    for ban in &BANS {
        let concerned: Vec<_> = sources.iter().filter(|source| (ban.applies)(source)).collect();
        assert!(!concerned.is_empty(), "{}: there is no such file", ban.rule);
        found.extend(ban.broken_by(concerned).into_iter().map(|line| format!("{}: {line}", ban.rule)));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_of_these_rules_can_be_broken() {
    for ban in &BANS {
        let (rule, (path, line)) = (ban.rule, ban.sample);
        let bad = Source::new(path, &format!("//! A file.\n\n{line}\n"));
        assert!((ban.applies)(&bad), "{rule}: it applies to {path}");
        assert_eq!(ban.broken_by([&bad]).len(), 1, "{rule}: {line}");
        // What a comment or a test of the file says is not meant.
        let good = Source::new(path, &format!("// {line}\n#[cfg(test)]\nmod tests {{\n    {line}\n}}\n"));
        assert_eq!(ban.broken_by([&good]), [""; 0], "{rule}: {line}");
    }
}

#[test]
fn a_word_is_not_a_part_of_another() {
    assert!(has_word("fn f(link: &mut Link)", "Link") && !has_word("enum LinkEnd {}", "Link"));
    assert!(has_word("use crate::h1::head;", "h1::") && !has_word("use crate::oh1::head;", "h1::"));
    assert!(has_word("x: &[u8],", "[u8]") && has_word("unsafe {", "unsafe {"));
}

#[test]
fn every_file_of_the_lower_floors_is_there() {
    let sources = sources();
    for (floor, names) in WIRE.iter().chain(&STATE) {
        for name in *names {
            let folder = format!("lws-proto/src/{floor}");
            let found = sources.iter().any(|source| is_of(source, &folder) && source.name() == *name);
            assert!(found, "{floor}/{name} has another name now: its floor has to list that");
        }
    }
}

#[test]
fn the_engine_has_no_unsafe_and_no_standard_library() {
    let lib = fs::read_to_string(root().join("lws-proto/src/lib.rs")).expect("lib.rs");
    assert!(lib.contains("#![no_std]") && lib.contains("#![forbid(unsafe_code)]"));
}

/// Lines that cite an RFC in another form than `RFC 6455 §5.2`.
fn cited_otherwise(source: &Source) -> Vec<String> {
    let is_other = |line: &str| {
        let Some((_, comment)) = line.split_once("//") else { return false };
        let glued =
            |at: usize| comment[at + 3..].starts_with(|next: char| next.is_ascii_digit() || next == '-');
        comment.match_indices("RFC").any(|(at, _)| glued(at))
            || comment.contains("rfc ") && !comment.contains("://")
            || comment.contains("Section ")
            || comment.split("RFC ").skip(1).any(|rest| {
                let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
                rest.starts_with(", §") || rest.starts_with(", section") || rest.starts_with(" section")
            })
    };
    let lines = source.text.lines().enumerate().filter(|(_, line)| is_other(line));
    lines.map(|(index, line)| format!("{}:{}: {}", source.path, index + 1, line.trim())).collect()
}

#[test]
fn rfcs_are_cited_in_one_form() {
    // The tests of the RFCs quote them, with the citations that those have.
    let sources = sources();
    let found = sources.iter().filter(|source| !source.is_below("tests")).flat_map(cited_otherwise);
    let found: Vec<_> = found.collect();
    assert!(found.is_empty(), "`RFC 6455 §5.2` is the form:\n{}", found.join("\n"));
    for bad in [
        "RFC6455",
        "RFC-6455",
        "rfc 6455",
        "Section 5.2 says so",
        "RFC 6455, §5",
        "RFC 6455, section 5",
        "RFC 6455 section 5",
    ] {
        assert_eq!(cited_otherwise(&Source::new("a.rs", &format!("/// {bad}"))).len(), 1, "{bad}");
    }
    for good in ["RFC 6455 §5.2", "RFC 6455 and RFC 7692", "RFC 6455, which is older", "RFC 7541 §3 and §6"]
    {
        assert_eq!(cited_otherwise(&Source::new("a.rs", &format!("/// {good}"))), [""; 0], "{good}");
    }
}

/// The crates of the workspace that a manifest depends on, for others to use: not for tests.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut counts = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            counts = matches!(line, "[dependencies]" | "[build-dependencies]")
                || line.starts_with("[target.") && line.ends_with(".dependencies]");
        } else if counts && let Some((name, _)) = line.split_once(['.', ' ', '=']) {
            found.push(name);
        }
    }
    found
}

/// From the bottom to the top. A crate depends on those above its own line only.
const FLOORS: [&[&str]; 7] = [
    &["lws-proto"],
    &["lws-record", "lws-broker", "lws-files", "lws-config", "lws-acme", "lws-loop-external"],
    &["lws-loop-poll", "lws-loop-uring", "lws-loop-uv", "lws-tls"],
    &["lws-loop-conformance", "lws-client"],
    &["lws-server"],
    &["lws-simulation", "lws-proxy", "lws-cgi", "lws-plugin"],
    &["lwsws", "lws-ffi"],
];

fn points_down(name: &str, manifest: &str) -> bool {
    let below = FLOORS.iter().take_while(|floor| !floor.contains(&name)).copied();
    let below: Vec<_> = below.flatten().copied().collect();
    let ours = |name: &&str| FLOORS.iter().any(|floor| floor.contains(name));
    dependencies(manifest).iter().filter(|name| ours(name)).all(|name| below.contains(name))
}

#[test]
fn arrows_point_down_only() {
    for name in FLOORS.into_iter().flatten() {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("a manifest");
        assert!(points_down(name, &manifest), "{name} depends on a crate that is not below it");
    }
    assert!(!points_down("lws-proto", "[dependencies]\nlws-server = { workspace = true }\n"));
    assert!(!points_down(
        "lws-loop-poll",
        "[dependencies]\nmio.workspace = true\nlws-tls.workspace = true\n"
    ));
    assert!(points_down(
        "lws-loop-poll",
        "[dependencies]\nlws-proto.workspace = true\n[dev-dependencies]\nlws-tls = {}\n"
    ));
}

/// A test crate that depends on the crate whose tests need it could not be packaged, nor be built alone.
#[test]
fn no_crate_needs_itself_for_its_tests() {
    let sections = |name: &str| {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("a manifest");
        let (normal, tests) = manifest.split_once("[dev-dependencies]").unwrap_or((&manifest, ""));
        let own = |text: &str| -> Vec<String> { dependencies(text).into_iter().map(str::to_owned).collect() };
        (own(normal), own(&format!("[dependencies]{tests}")))
    };
    let is_ours = |name: &String| root().join(name).join("Cargo.toml").exists();
    for name in FLOORS.into_iter().flatten() {
        let (mut seen, mut todo) = (Vec::new(), sections(name).1);
        while let Some(next) = todo.pop() {
            if is_ours(&next) && !seen.contains(&next) {
                todo.extend(sections(&next).0);
                seen.push(next);
            }
        }
        assert!(!seen.iter().any(|seen| seen == name), "the tests of {name} need {seen:?}, and those {name}");
    }
}

/// The public calls of the types that an application holds that change something and are not noted.
fn not_noted(source: &Source) -> Vec<String> {
    const HANDLES: [&str; 11] = [
        "Connection",
        "Stream",
        "Writable",
        "Sent",
        "WriteTicket",
        "Exchange",
        "ExchangePermit",
        "WebSocket",
        "WebSocketPermit",
        "RawStream",
        "RawPermit",
    ];
    // Those that change nothing by themselves, that end in another one, that only lend or count memory, or that a recorded connection
    // refuses.
    const OTHERS: [&str; 22] = [
        "index",
        "reborrow",
        "stream",
        "exchange",
        "websocket",
        "raw_stream",
        "by_protocol",
        "into_any",
        "into_exchange",
        "into_websocket",
        "into_raw",
        "permit",
        "into_stream",
        "text",
        "recv_buf",
        "lend",
        "reclaim",
        "record",
        "commit",
        "set_held_outside",
        "send_regions",
        "region",
    ];
    const NOTES: [&str; 6] = [
        "note!(",
        "command!(",
        "crate::record::",
        "self.note_sent(",
        "self.connection.transmit(",
        "self.respond_prepared(",
    ];
    const CHANGES: [&str; 5] = ["self,", "self)", "mut self", "&mut self", "&'c mut self"];
    let mut found = Vec::new();
    for block in source.text.split("\nimpl").skip(1) {
        let block = block.split("\n}\n").next().unwrap_or_default();
        let head = block.split('{').next().unwrap_or_default();
        let generic = head.strip_prefix('<').and_then(|rest| rest.split_once("> "));
        let of = generic.map_or(head, |(_, of)| of).trim();
        let name = of.split(['<', ' ']).next().unwrap_or_default();
        if of.contains(" for ") || !HANDLES.contains(&name) {
            continue;
        }
        for function in block.split("\n    pub fn ").skip(1) {
            let body = function.split("\n    }\n").next().unwrap_or_default();
            let head = body.split('{').next().unwrap_or_default();
            let name = head.split(['(', '<']).next().unwrap_or_default();
            let parameters = head.split_once('(').map_or("", |(_, rest)| rest).trim_start();
            let is_noted = NOTES.iter().any(|note| body.contains(note)) || OTHERS.contains(&name);
            if CHANGES.iter().any(|receiver| parameters.starts_with(receiver)) && !is_noted {
                found.push(format!("{}: {name}", source.path));
            }
        }
    }
    found
}

/// The feature `record` of the engine: a call that is not noted makes every record wrong that holds it.
#[test]
fn every_call_that_changes_a_connection_is_noted() {
    let sources = sources();
    let engine = || sources.iter().filter(|source| is_of(source, "lws-proto/src"));
    assert!(engine().any(|source| source.text.contains("impl Connection {")), "there are calls");
    let found: Vec<_> = engine().flat_map(not_noted).collect();
    assert!(found.is_empty(), "`command!` in it, and a `Command` in lws-record:\n{}", found.join("\n"));
    let bad =
        "\nimpl<'a> Stream<'a> {\n    pub fn pause(&mut self) {\n        self.paused = true;\n    }\n}\n";
    assert_eq!(not_noted(&Source::new("a.rs", bad)), ["a.rs: pause"]);
    let any = bad.replace("impl<'a> Stream<'a>", "impl<'a, P> Stream<'a, P>");
    assert_eq!(not_noted(&Source::new("a.rs", &any)), ["a.rs: pause"]);
    let good = bad.replace("self.paused", "command!(self.tx, Pause);\n        self.paused");
    assert_eq!(not_noted(&Source::new("a.rs", &good)), [""; 0]);
}

/// The crates whose names meet in one program, from the engine to the server.
const SIDE_BY_SIDE: [&str; 3] = ["lws-proto", "lws-loop-external", "lws-server"];

/// Names at the front of two of these crates, and why. What stands in a module is written with that, as in `http::Request`.
const SAME_NAMES: [(&str, &str); 2] = [
    (
        "Interest",
        "of a connection in its transport, and of a descriptor in its readiness: one is made from the other",
    ),
    ("Route", "of a datagram, which `lws-server` has in its module `datagrams`, and of a site"),
];

/// The types at the front of a crate, by the text of its `lib.rs`; but not those of another crate of ours.
fn front(text: &str) -> BTreeSet<&str> {
    let exports = text.split("\npub use ").skip(1).filter(|export| !export.starts_with("lws_"));
    let paths =
        exports.flat_map(|export| export.split(';').next().unwrap_or_default().split([',', '{', '}']));
    let names = paths.filter_map(|path| path.trim().rsplit("::").next());
    names.filter(|name| name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase)).collect()
}

/// The names that stand at the front of two crates.
fn shared<'a>(fronts: &[BTreeSet<&'a str>]) -> Vec<&'a str> {
    let all: BTreeSet<&str> = fronts.iter().flatten().copied().collect();
    let twice = |name: &&str| fronts.iter().filter(|front| front.contains(name)).count() > 1;
    all.into_iter().filter(twice).collect()
}

/// A name says which type is meant, without its crate.
#[test]
fn a_name_at_the_front_of_a_crate_is_of_that_crate_alone() {
    let text = |name: &str| fs::read_to_string(root().join(name).join("src/lib.rs")).expect("a crate");
    let texts = SIDE_BY_SIDE.map(text);
    let fronts = texts.each_ref().map(|text| front(text));
    assert!(fronts.iter().all(|front| front.len() > 10), "every front has its names");
    assert_eq!(shared(&fronts), SAME_NAMES.map(|(name, _)| name));
    let [one, other] =
        ["\npub use a::{Handle, b::Shard};\n", "\npub use lws_a::Shard;\npub use c::Handle;\n"];
    assert_eq!(shared(&[front(one), front(other)]), ["Handle"]);
}

/// Words of daily life that this project used in place of the field's. A comment says what is delivered, received or reported, and to which
/// part of a program; who searches for the field's word then finds it.
const PRIVATE_WORDS: [&str; 4] = ["told", "heard", "nobody", "whoever"];

/// Comments with such a word, by file and line. The strings and the code of a line are not looked at.
fn private_words(source: &Source) -> Vec<String> {
    let lines = source.text.lines().enumerate().filter(|(_, line)| {
        // `://` is a URL, be it in a string or not.
        let comment =
            line.find("//").filter(|at| !line[..*at].ends_with(':')).map(|at| line[at..].to_lowercase());
        comment.is_some_and(|comment| PRIVATE_WORDS.iter().any(|word| has_word(&comment, word)))
    });
    lines.map(|(index, line)| format!("{}:{}: {}", source.path, index + 1, line.trim())).collect()
}

#[test]
fn comments_use_the_words_of_the_field() {
    let sources = sources();
    let found: Vec<_> =
        sources.iter().filter(|source| source.name() != "architecture.rs").flat_map(private_words).collect();
    assert!(found.is_empty(), "delivered, received, reported, no one:\n{}", found.join("\n"));
    for bad in ["/// The handler is told of the end.", "let a = 1; // Nobody reads it.", "//! Whoever asks."]
    {
        assert_eq!(private_words(&Source::new("a.rs", bad)).len(), 1, "{bad}");
    }
    for good in
        ["let told = \"nobody\";", "/// A toldo and an unheard one.", "let url = \"https://nobody.example\";"]
    {
        assert_eq!(private_words(&Source::new("a.rs", good)), [""; 0], "{good}");
    }
}

/// Names that several types of one crate share, and why each is read with what stands before it.
const SHARED_TYPE_NAMES: [(&str, &str, &str); 24] = [
    ("lws-client", "Context", "of a reply and of a WebSocket: `lws_client::Context`, `ws::Context`"),
    ("lws-client", "Decoder", "one with the feature `decompress`, and one without"),
    ("lws-files", "Listed", "an entity tag of a list, and an entry of a directory"),
    ("lws-loop-poll", "Signals", "one with the feature `signals`, and one without"),
    (
        "lws-proto",
        "Decoder",
        "of field sections, and of the messages of an extension: `hpack::Decoder`, `ws::Decoder`",
    ),
    ("lws-proto", "Encoder", "as `Decoder`"),
    ("lws-proto", "FrameHeader", "of HTTP/2 and of WebSocket"),
    ("lws-proto", "Malformed", "of a header of the PROXY protocol, and of an offer of an extension"),
    ("lws-proto", "Version", "of HTTP and of the PROXY protocol: `http::Version`, `proxy_protocol::Version`"),
    ("lws-proto", "Half", "of a raw stream and of a WebSocket: `raw::Half`, `ws::Half`"),
    ("lws-server", "Handler", "one of each protocol, in its module: `ws::Handler`, `raw::Handler`"),
    ("lws-server", "Exchange", "an exchange, and one of a test: `testing::Exchange`"),
    (
        "lws-server",
        "Event",
        "of a form, of a stream of events, of TLS: `multipart::Event`, `sse::Event`, `tls::Event`",
    ),
    ("lws-server", "Request", "a request, and one of a test: `testing::Request`"),
    ("lws-server", "Response", "as `Request`"),
    ("lws-server", "Server", "as `Request`"),
    ("lws-server", "Client", "what a proxy says of the client, and one of a test"),
    ("lws-server", "Deferred", "the public handler, and what waits for it on a thread"),
    ("lws-server", "Host", "of the client in a server, and of a test"),
    ("lws-server", "Outbox", "the messages of a handler, and of the client in a server"),
    ("lws-server", "Step", "of resolving a request, and of changing sites"),
    ("lws-server", "Spans", "one with the feature `tracing`, and one without"),
    ("lwsws", "Orders", "one with the feature `acme`, and one without"),
    ("lwsws", "Sharing", "one with the feature `broker`, and one without"),
];

/// The names of types that a crate declares more than once, outside of its tests.
fn types_of_one_name<'a>(sources: impl IntoIterator<Item = &'a Source>) -> BTreeSet<String> {
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for source in sources {
        for (_, code) in source.code() {
            let words: Vec<&str> =
                code.split_whitespace().skip_while(|word| word.starts_with("pub")).collect();
            let words = words.strip_prefix(&["in"]).unwrap_or(&words);
            if let [kind, name, ..] = words
                && ["struct", "enum", "trait", "union"].contains(kind)
            {
                let name: String =
                    name.chars().take_while(|part| part.is_alphanumeric() || *part == '_').collect();
                if !seen.insert(name.clone()) {
                    twice.insert(name);
                }
            }
        }
    }
    twice
}

/// `State` in ten files is ten things to tell apart: each type has the name of what it is.
#[test]
fn a_name_is_that_of_one_type() {
    let sources = sources();
    let crates = FLOORS.into_iter().flatten().copied();
    let mut found = Vec::new();
    for name in crates {
        let own = sources.iter().filter(|source| is_of(source, &format!("{name}/src")));
        let allowed =
            |twice: &String| SHARED_TYPE_NAMES.iter().any(|(of, shared, _)| *of == name && shared == twice);
        found.extend(
            types_of_one_name(own)
                .into_iter()
                .filter(|twice| !allowed(twice))
                .map(|it| format!("{name}: {it}")),
        );
    }
    assert!(found.is_empty(), "each of these names is used for several types:\n{}", found.join("\n"));
    let [one, other] = [
        Source::new("lws-server/src/a.rs", "pub(crate) enum State {\n}\nstruct Own;\n"),
        Source::new("lws-server/src/b.rs", "struct State<T> {\n}\nstruct Other;\n"),
    ];
    assert_eq!(types_of_one_name([&one, &other]).into_iter().collect::<Vec<_>>(), ["State"]);
}

/// The fields of `Limits` that no test names.
fn untested<'a>(limits: &'a str, tests: &[&Source]) -> Vec<&'a str> {
    let fields = limits.split("pub struct Limits {").nth(1).and_then(|rest| rest.split("\n}\n").next());
    let fields = fields.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("    pub "));
    let names = fields.filter_map(|field| field.split(':').next());
    names.filter(|name| !tests.iter().any(|test| has_word(&test.text, name))).collect()
}

#[test]
fn every_limit_has_a_test() {
    let sources = sources();
    let limits = sources
        .iter()
        .find(|source| is_of(source, "lws-proto/src") && source.text.contains("pub struct Limits {"));
    let limits = limits.expect("the limits");
    let is_test = |source: &&Source| source.is_test() || source.text.contains("#[cfg(test)]\nmod tests {");
    let tests: Vec<_> = sources.iter().filter(is_test).filter(|source| source.path != limits.path).collect();
    assert_eq!(untested(&limits.text, &tests), [""; 0], "limits that no test names");
    let bad = "pub struct Limits {\n    /// So many.\n    pub others_max: usize,\n}\n";
    assert_eq!(untested(bad, &[&Source::new("tests/a.rs", "the_others_max_are_here")]), ["others_max"]);
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
