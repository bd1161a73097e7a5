//! The object `global`.

use super::{Key, Shape, limits, read_object};
use crate::model::{Account, Global, RejectedUserAgent};
use crate::report::Report;
use crate::scalar::Reader;
use crate::tree::{Cursor, Value};
use std::time::Duration;

/// Folders of plugins.
const PLUGIN_DIRECTORIES_MAX: usize = 9;
/// A day is more than any of these times needs.
pub(super) const SECONDS_MAX: i64 = 86_400;

const QUIC: &str = "QUIC is not spoken";

pub(crate) static KEYS: &[Key<Global>] = &[
    Key::read("uid", Shape::Number, "number of the user to become", |global, at, reader| {
        global.user = reader.count(at, u32::MAX.into()).map(Account::Id).or(global.user.take());
    }),
    Key::read("gid", Shape::Number, "number of the group to become", |global, at, reader| {
        global.group = reader.count(at, u32::MAX.into()).map(Account::Id).or(global.group.take());
    }),
    Key::read("username", Shape::Text, "name of the user to become", |global, at, reader| {
        global.user = reader.name(at).map(Account::Name).or(global.user.take());
    }),
    Key::read("groupname", Shape::Text, "name of the group to become", |global, at, reader| {
        global.group = reader.name(at).map(Account::Name).or(global.group.take());
    }),
    Key::read("count-threads", Shape::Number, "threads that serve", |global, at, reader| {
        global.threads = reader.count(at, 1_024);
    }),
    Key::read(
        "count-async-threads",
        Shape::Number,
        "threads for work that would make a loop wait",
        |global, at, reader| {
            global.blocking_threads = reader.count(at, 1_024);
        },
    ),
    Key::read("init-ssl", Shape::Switch, "whether TLS is wanted at all", |global, at, reader| {
        global.tls = reader.switch(at).unwrap_or_default();
    }),
    Key::read("server-string", Shape::Text, "the Server field of responses", |global, at, reader| {
        global.server = reader.text(at);
    }),
    Key::read("plugin-dir", Shape::Text, "where plugins are looked for", plugin_directory).repeatable(),
    Key::ignored("ws-pingpong-secs", "libwebsockets takes it and does nothing with it, either"),
    Key::read("timeout-secs", Shape::Number, "seconds that a peer may take", |global, at, reader| {
        global.timeout = reader.count(at, SECONDS_MAX).map(Duration::from_secs);
    }),
    Key::read(
        "reject-service-keywords",
        Shape::Pairs,
        "answers by a part of the User-Agent, such as {\"bot\": \"403 Forbidden\"}",
        rejected_user_agents,
    ),
    Key::read(
        "default-alpn",
        Shape::Text,
        "what TLS offers by default, such as h2,http/1.1",
        |global, at, reader| {
            global.alpn = reader.text(at).map(|text| protocol_names(&text));
        },
    ),
    Key::read(
        "ip-limit-ah",
        Shape::Number,
        "requests of one address that are served at a time",
        |global, at, reader| {
            global.requests_per_address = reader.count(at, u32::MAX.into()).filter(|limit| *limit > 0);
        },
    ),
    Key::read("ip-limit-wsi", Shape::Number, "connections of one address", |global, at, reader| {
        global.connections_per_address = reader.count(at, u32::MAX.into()).filter(|limit| *limit > 0);
    }),
    Key::read("rlimit-nofile", Shape::Number, "descriptors of the process", |global, at, reader| {
        global.descriptors = reader.count(at, i64::MAX);
    }),
    Key::read(
        "admin",
        Shape::Text,
        "where operators come: a path for a Unix socket, or a loopback address with its port",
        |global, at, reader| {
            global.admin = reader.name(at);
        },
    ),
    Key::read(
        "drain-delay",
        Shape::Number,
        "seconds between the first no of /readyz and the closing of the listeners",
        |global, at, reader| {
            global.drain_delay = reader.count(at, SECONDS_MAX).map(Duration::from_secs);
        },
    ),
    Key::read("log-format", Shape::Text, "combined or json", |global, at, reader| {
        let format = reader.name(at);
        if format.as_deref().is_some_and(|format| !["combined", "json"].contains(&format)) {
            reader.report.error(at, "\"log-format\" is \"combined\" or \"json\"");
        }
        global.log.format = format;
    }),
    Key::read(
        "log-skip",
        Shape::Texts,
        "paths below which nothing that went well is logged",
        |global, at, reader| reader.texts(at, &mut global.log.skipped),
    ),
    Key::read("log-sample", Shape::Number, "log every so many-th of what went well", |global, at, reader| {
        global.log.sample = reader.count(at, u32::MAX.into());
    }),
    Key::read("limits", Shape::Limits, "what a peer may have of a connection", |global, at, reader| {
        read_object(&mut global.limits, at, limits::LIMITS, reader);
    }),
    Key::read(
        "budgets",
        Shape::Budgets,
        "what the server gives to all peers together",
        |global, at, reader| {
            read_object(&mut global.budgets, at, limits::BUDGETS, reader);
        },
    ),
    Key::read("peers", Shape::Peers, "what one address may have", |global, at, reader| {
        read_object(&mut global.peers, at, limits::PEERS, reader);
    }),
    Key::read(
        "keep-capabilities",
        Shape::Text,
        "what the process may still do as another user: net-bind-service, net-raw",
        kept_capabilities,
    ),
    Key::read("loop", Shape::Text, "loop to run on, if it is built in", |global, at, reader| {
        global.event_loop = reader.name(at);
    }),
    Key::read(
        "broker",
        Shape::Text,
        "URL of what processes share topics by: redis://HOST, rediss://HOST, redis+unix:///SOCKET, nats://HOST:PORT or mesh:/FOLDER",
        |global, at, reader| {
            global.broker = reader.name(at);
        },
    ),
    Key::ignored("interface", "it belongs to a virtual host; libwebsockets knows it in no version here"),
    Key::ignored("cpd-bypass", "there is no detection of captive portals to pass by"),
    Key::refused("allow-early-data", "early data of TLS can be replayed, and is never taken"),
    Key::ignored("quic-pad-crypto", QUIC),
    Key::ignored("quic-only-latest", QUIC),
    Key::ignored("quic-early-key-update", QUIC),
];

/// Capabilities that a server has a use for.
const CAPABILITIES: [&str; 2] = ["net-bind-service", "net-raw"];

fn kept_capabilities(global: &mut Global, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let names = reader.text(at).map(|text| protocol_names(&text)).unwrap_or_default();
    match names.iter().find(|name| !CAPABILITIES.contains(&name.as_str())) {
        None => global.kept_capabilities = names,
        Some(name) => {
            let known = CAPABILITIES.join(" and ");
            reader.report.error(at, format!("no capability \"{name}\" can be kept: there are {known}"));
        }
    }
}

fn plugin_directory(global: &mut Global, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let Some(path) = reader.path(at) else { return };
    if global.plugin_directories.len() == PLUGIN_DIRECTORIES_MAX {
        reader.report.error(at, format!("more than {PLUGIN_DIRECTORIES_MAX} folders of plugins"));
    } else {
        global.plugin_directories.push(path);
    }
}

/// The names of a list such as `h2,http/1.1`.
pub(super) fn protocol_names(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn rejected_user_agents(global: &mut Global, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let options = reader.options;
    let mut rule = |member: &Cursor<'_>, report: &mut Report| {
        let Some(answer) = Reader { options, report }.text(member) else { return };
        let (status, text) = answer.split_once(' ').unwrap_or((&answer, ""));
        match status.parse() {
            Ok(status @ 400..600) => global.rejected_user_agents.push(RejectedUserAgent {
                contains: member.name().to_owned(),
                status,
                text: text.trim().to_owned(),
            }),
            _ => {
                report.error(member, format!("\"{answer}\" does not begin with a status code of 400 to 599"))
            }
        }
    };
    match at.value() {
        Value::Array(_) => {
            at.each_element(reader.report, |object, report| object.each_member(report, &mut rule))
        }
        _ => at.each_member(reader.report, rule),
    }
}
