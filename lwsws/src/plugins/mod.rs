//! The protocols that this program brings with it, as plugins: sites ask for them by name in `ws-protocols`.

mod board;
// The pages of the demo have these three as well, as handlers without a plugin.
#[cfg_attr(not(feature = "demo-plugins"), allow(dead_code))]
mod counter;
#[cfg_attr(not(feature = "demo-plugins"), allow(dead_code))]
mod mirror;
#[cfg_attr(not(feature = "demo-plugins"), allow(dead_code))]
mod pace;
#[cfg(feature = "demo-plugins")]
mod post;
#[cfg(feature = "demo-plugins")]
mod raw_test;
#[cfg_attr(not(feature = "broker"), allow(dead_code))]
mod shared;
#[cfg_attr(not(feature = "demo-plugins"), allow(dead_code))]
mod status;

pub(crate) use counter::{Count, Counter};
pub(crate) use mirror::{Mirror, MirroredBoard};
pub(crate) use shared::{SharedState, State};
pub(crate) use status::StatusReport;

use crate::broker::Sharing;
use crate::echo;
use lws_plugin::{
    NameTaken, Options, Plugin, Registered, Registry, SessionKind, SiteFacts, SiteProtocol, StartError,
    websockets,
};
use lws_server::Endpoint;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The plugins that are built in, which share states with other processes perhaps, and those of these folders.
///
/// # Errors
/// A file was refused, or a folder cannot be read: all of them, a line for each.
pub(crate) fn registry(folders: &[PathBuf], sharing: &Sharing) -> io::Result<Registry> {
    let mut registry = built_in(sharing);
    let refusals = load(&mut registry, folders);
    if refusals.is_empty() { Ok(registry) } else { Err(io::Error::other(refusals.join("\nlwsws: "))) }
}

/// The plugins that are built in.
fn built_in(sharing: &Sharing) -> Registry {
    let mut registry = Registry::new();
    let added = add_built_in(&mut registry, sharing);
    debug_assert_eq!(added, Ok(()), "each has a name of its own");
    registry
}

fn add_built_in(
    registry: &mut Registry,
    #[cfg_attr(not(feature = "demo-plugins"), allow(unused_variables))] sharing: &Sharing,
) -> Result<(), NameTaken> {
    registry.add(EchoPlugin)?;
    #[cfg(feature = "demo-plugins")]
    {
        registry.add(counter::CounterPlugin { sharing: sharing.clone() })?;
        registry.add(mirror::MirrorPlugin { sharing: sharing.clone() })?;
        registry.add(post::PostPlugin)?;
        registry.add(raw_test::RawTestPlugin)?;
        registry.add(status::StatusPlugin)?;
    }
    Ok(())
}

#[cfg(feature = "load-plugins")]
fn load(registry: &mut Registry, folders: &[PathBuf]) -> Vec<String> {
    let mut refusals = Vec::new();
    for folder in folders {
        match registry.load(folder) {
            Ok(refused) => refusals.extend(refused.iter().map(ToString::to_string)),
            Err(error) => refusals.push(error.to_string()),
        }
    }
    refusals
}

#[cfg(not(feature = "load-plugins"))]
fn load(_: &mut Registry, folders: &[PathBuf]) -> Vec<String> {
    let refused =
        |folder: &PathBuf| format!("{}: this program was built without load-plugins", folder.display());
    folders.iter().map(refused).collect()
}

/// The plugins in words, with where they are from: `tally (websocket; /usr/lib/lwsws/tally.so), ...`.
pub(crate) fn names(registry: &Registry) -> String {
    let name = |registered: &Registered| {
        let plugin = registered.plugin();
        format!("{} ({}; {})", plugin.name(), kinds(plugin), registered.source())
    };
    registry.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The plugins that are built in, in words: `lws-echo (websocket), ...`.
pub(crate) fn built_in_names() -> String {
    let name = |registered: &Registered| {
        let plugin = registered.plugin();
        format!("{} ({})", plugin.name(), kinds(plugin))
    };
    built_in(&Sharing::none()).iter().map(name).collect::<Vec<_>>().join(", ")
}

fn kinds(plugin: &dyn Plugin) -> String {
    plugin.kinds().iter().map(SessionKind::to_string).collect::<Vec<_>>().join(" and ")
}

/// The plugins as JSON, for a person or a program that looks at a configuration.
pub(crate) fn to_json(registry: &Registry) -> serde_json::Value {
    let plugins = registry.iter().map(|registered| {
        let plugin = registered.plugin();
        let kinds: Vec<_> = plugin.kinds().iter().map(SessionKind::to_string).collect();
        serde_json::json!({
            "name": plugin.name(),
            "summary": plugin.summary(),
            "kinds": kinds,
            "options": plugin.option_names(),
            "from": registered.source().to_string(),
        })
    });
    plugins.collect()
}

/// `lws-echo`: messages are sent back as they come.
struct EchoPlugin;

impl Plugin for EchoPlugin {
    fn name(&self) -> &str {
        "lws-echo"
    }

    fn kinds(&self) -> &[SessionKind] {
        &[SessionKind::WebSocket]
    }

    fn summary(&self) -> &str {
        "messages come back"
    }

    fn option_names(&self) -> Option<&[&str]> {
        Some(&[])
    }

    fn start(&self, _: &SiteFacts<'_>, _: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        Ok(Arc::new(Echoes))
    }
}

struct Echoes;

impl SiteProtocol for Echoes {
    fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
        websockets(echo::websockets())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_that_is_built_in_is_found_by_its_name_and_begins_without_options() {
        let registry = built_in(&Sharing::none());
        let mut names: Vec<_> = registry.iter().map(|registered| registered.plugin().name()).collect();
        names.sort_unstable();
        let expected = [
            "dumb-increment-protocol",
            "lws-echo",
            "lws-mirror-protocol",
            "lws-status",
            "protocol-post-demo",
            "raw-test",
        ];
        assert_eq!(names, expected);
        for name in expected {
            let registered = registry.find(name).expect("it is there");
            assert!(registered.start(&SiteFacts::new("a"), &Options::default()).is_ok(), "{name}");
        }
    }

    #[test]
    fn options_are_checked_and_named() {
        let registry = built_in(&Sharing::none());
        for (name, options, expected) in [
            (
                "dumb-increment-protocol",
                r#"{"update-ms": "5"}"#,
                "\"update-ms\": 5 is not within 10 to 3600000",
            ),
            ("lws-status", r#"{"update-ms": "fast"}"#, "\"update-ms\": \"fast\" is no number"),
            (
                "protocol-post-demo",
                r#"{"content-bytes-max": 0}"#,
                "\"content-bytes-max\": 0 is not within 1 to 1073741824",
            ),
        ] {
            let options = Options::from_json(options).expect("an object");
            let registered = registry.find(name).expect("it is there");
            let error = registered.start(&SiteFacts::new("a"), &options).err().expect("it is refused");
            assert_eq!(error.to_string(), expected, "{name}");
        }
    }
}
