//! Libraries that are loaded, and those that are refused: each by its path and the reason.

mod folder;
mod requests;

use folder::Folder;
use lws_plugin::{
    NameTaken, Options, Plugin, PluginSource, Registry, SessionKind, SiteFacts, SiteProtocol, StartError,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// The text of a library whose one protocol has these values, with `rest` behind the table of the plugin.
fn library(plugin: &str, protocol: &str) -> String {
    format!(
        "#include \"lwx_plugin.h\"\n\
         static int32_t init(const lwx_plugin_site *site, void **user, char *error) {{\n\
           (void)site; (void)error; *user = NULL; return 0;\n\
         }}\n\
         static void destroy(void *user) {{ (void)user; }}\n\
         static int32_t message(lwx_key key, void *user, const void *data, size_t size, uint32_t flags) {{\n\
           (void)key; (void)user; (void)data; (void)size; (void)flags; return 0;\n\
         }}\n\
         struct longer {{ lwx_plugin_protocol known; uint64_t more; }};\n\
         static const struct longer one = {{ {{ {protocol} }}, 0 }};\n\
         static const struct longer two = {{ {{ sizeof(struct longer), \"second\", LWX_PLUGIN_RAW, 0, init, destroy, NULL, message,\n\
           NULL, NULL, NULL }}, 1 }};\n\
         static const lwx_plugin_protocol *const protocols[] = {{ &one.known, &one.known, &two.known, NULL }};\n\
         static const lwx_plugin plugin = {{ {plugin} }};\n\
         LWX_PLUGIN_EXPORT const lwx_plugin *lwx_plugin_entry(const lwx_plugin_host *host) {{\n\
           return host->abi == LWX_PLUGIN_ABI && protocols[0] == &one.known && two.more ? &plugin : NULL;\n\
         }}\n"
    )
}

const PLUGIN: &str = "sizeof plugin, LWX_PLUGIN_ABI, 1, protocols";
const PROTOCOL: &str =
    "sizeof one.known, \"first\", LWX_PLUGIN_RAW, 0, init, destroy, NULL, message, NULL, NULL, NULL";

/// A plugin that is a part of the program.
struct BuiltIn(&'static str);

impl Plugin for BuiltIn {
    fn name(&self) -> &str {
        self.0
    }

    fn kinds(&self) -> &[SessionKind] {
        &[SessionKind::WebSocket]
    }

    fn start(&self, _: &SiteFacts<'_>, _: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        panic!("a plugin that panics");
    }
}

fn names(registry: &Registry) -> Vec<&str> {
    registry.iter().map(|registered| registered.plugin().name()).collect()
}

#[test]
fn the_example_is_loaded_with_its_protocols_and_says_what_is_wrong_with_a_site() {
    let folder = Folder::new("example");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tally.c");
    let path = folder.compile_file("tally.so", &example);
    fs::write(folder.path("README"), "not a plugin by its name").expect("a file");
    let mut registry = Registry::new();
    assert_eq!(registry.load(&folder.0).expect("a folder"), []);
    assert_eq!(names(&registry), ["shout", "tally"]);
    let tally = registry.find("tally").expect("it is there");
    assert_eq!(tally.source(), &PluginSource::File(path));
    assert_eq!(tally.plugin().kinds(), [SessionKind::WebSocket]);
    let start = |options: &str| {
        let options = Options::from_json(options).expect("an object");
        tally.start(&SiteFacts::new("a"), &options).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(start(r#"{ "greeting": "hello", "other": [1, { "a": 2 }] }"#), Ok(()));
    assert_eq!(start(r#"{ "greeting": "" }"#), Err("\"greeting\" has 1 to 63 bytes (LWX_E_ARGUMENT)".into()));
}

#[test]
fn a_plugin_of_the_first_header_is_loaded_and_begins_sites() {
    let folder = Folder::new("first");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tally.c");
    // The header as it was before requests: a plugin that was compiled then has these structs for ever.
    folder.compile_with("tests/first", "tally.so", &example);
    let mut registry = Registry::new();
    assert_eq!(registry.load(&folder.0).expect("a folder"), []);
    let options = Options::from_json(r#"{ "greeting": "hello" }"#).expect("an object");
    let started = registry.find("tally").expect("it is there").start(&SiteFacts::new("a"), &options);
    assert!(started.is_ok());
}

#[test]
fn what_is_no_plugin_of_this_version_is_refused_with_its_path_and_the_reason() {
    let folder = Folder::new("refused");
    let rows = [
        ("a-text.so", None, "it cannot be loaded: ROOT/a-text.so: "),
        ("b-none.so", Some("int nothing_of_ours;\n".into()), "it is no plugin: it has no lwx_plugin_entry"),
        (
            "c-null.so",
            Some(library(PLUGIN, PROTOCOL).replace("? &plugin : NULL", "? NULL : NULL")),
            "it is no plugin: lwx_plugin_entry has answered NULL",
        ),
        (
            "d-version.so",
            Some(library("sizeof plugin, 2, 1, protocols", PROTOCOL)),
            "it is made for version 2 of the interface, and this server has 1",
        ),
        (
            "e-small.so",
            Some(library("sizeof plugin - 1, LWX_PLUGIN_ABI, 1, protocols", PROTOCOL)),
            "its lwx_plugin has 23 bytes, which is no size",
        ),
        (
            "f-empty.so",
            Some(library("sizeof plugin, LWX_PLUGIN_ABI, 0, protocols", PROTOCOL)),
            "it is no plugin: it has no protocols",
        ),
        (
            "g-no-protocol.so",
            Some(
                library("sizeof plugin, LWX_PLUGIN_ABI, 1, protocols", PROTOCOL)
                    .replace("{ &one.known, &one.known,", "{ NULL, &one.known,")
                    .replace("protocols[0] == &one.known &&", ""),
            ),
            "its protocol 0 is NULL",
        ),
        (
            "h-protocol-size.so",
            Some(library(PLUGIN, &PROTOCOL.replace("sizeof one.known", "8"))),
            "its lwx_plugin_protocol has 8 bytes",
        ),
        (
            "i-no-name.so",
            Some(library(PLUGIN, &PROTOCOL.replace("\"first\"", "NULL"))),
            "its protocol 0 has no name",
        ),
        (
            "j-name.so",
            Some(library(PLUGIN, &PROTOCOL.replace("first", "first of all"))),
            "its protocol 0 has a name that is no token",
        ),
        (
            "k-kind.so",
            Some(library(PLUGIN, &PROTOCOL.replace("LWX_PLUGIN_RAW", "64u"))),
            "its protocol 0 is for no kind of connection that this server knows",
        ),
        (
            "l-flags.so",
            Some(library(PLUGIN, &PROTOCOL.replace("LWX_PLUGIN_RAW, 0", "LWX_PLUGIN_RAW, 2u"))),
            "its protocol 0 has flags that this server does not know",
        ),
        (
            "m-init.so",
            Some(library(PLUGIN, &PROTOCOL.replace("0, init, destroy", "0, NULL, destroy"))),
            "its protocol 0 has no site_init or no site_destroy",
        ),
        (
            "n-message.so",
            Some(library(PLUGIN, &PROTOCOL.replace("NULL, message", "NULL, NULL"))),
            "its protocol 0 has no message",
        ),
        (
            "n-open.so",
            Some(library(PLUGIN, &PROTOCOL.replace("LWX_PLUGIN_RAW", "LWX_PLUGIN_HTTP"))),
            "its protocol 0 is for requests and has no open",
        ),
        // What is longer may have nothing set that this version does not know: of two protocols the second does.
        (
            "o-longer.so",
            Some(
                library("sizeof plugin, LWX_PLUGIN_ABI, 2, protocols", PROTOCOL)
                    .replace("{ &one.known, &one.known, &two.known,", "{ &one.known, &two.known,"),
            ),
            "its lwx_plugin_protocol has ",
        ),
        (
            "p-twice.so",
            Some(library("sizeof plugin, LWX_PLUGIN_ABI, 2, protocols", PROTOCOL)),
            "there is a protocol \"first\" already: ",
        ),
        (
            "q-built-in.so",
            Some(library(PLUGIN, &PROTOCOL.replace("first", "mine"))),
            "there is a protocol \"mine\" already: built in",
        ),
    ];
    for (file, text, _) in &rows {
        match text {
            Some(text) => drop(folder.compile(file, text)),
            None => fs::write(folder.path(file), "no library").expect("a file"),
        }
    }
    fs::create_dir(folder.path("r-folder.so")).expect("a folder");
    std::os::unix::fs::symlink("nowhere", folder.path("s-link.so")).expect("a link");
    let writable = folder.compile("t-writable.so", &library(PLUGIN, PROTOCOL));
    fs::set_permissions(&writable, Permissions::from_mode(0o777)).expect("it is ours");

    let mut registry = Registry::new();
    registry.add(BuiltIn("mine")).expect("the first of its name");
    let refusals = registry.load(&folder.0).expect("a folder");
    let mut expected: Vec<_> = rows.iter().map(|(file, _, reason)| (*file, *reason)).collect();
    expected.extend([
        ("r-folder.so", "it is no regular file"),
        ("s-link.so", "it cannot be read: "),
        ("t-writable.so", "others than its owner may write to it (mode 777)"),
    ]);
    assert_eq!(refusals.len(), expected.len(), "{refusals:#?}");
    for (refusal, (file, reason)) in refusals.iter().zip(expected) {
        let reason = reason.replace("ROOT", &folder.0.display().to_string());
        let wanted = format!("{}: {reason}", folder.path(file).display());
        assert!(refusal.to_string().starts_with(&wanted), "{refusal}\nin place of\n{wanted}");
    }
    assert_eq!(names(&registry), ["mine"], "of a file that is refused there is nothing");
}

#[test]
fn a_longer_table_of_which_nothing_is_set_is_that_of_a_later_header_and_fine() {
    let folder = Folder::new("later");
    folder.compile("later.so", &library(PLUGIN, &PROTOCOL.replace("sizeof one.known", "sizeof one")));
    let mut registry = Registry::new();
    assert_eq!(registry.load(&folder.0).expect("a folder"), []);
    assert_eq!(names(&registry), ["first"]);
}

#[test]
fn a_folder_that_others_may_write_in_or_that_is_not_there_is_no_folder_of_plugins() {
    let folder = Folder::new("open");
    fs::set_permissions(&folder.0, Permissions::from_mode(0o777)).expect("it is ours");
    let mut registry = Registry::new();
    for (path, reason) in [
        (folder.0.clone(), "others than its owner may write to it (mode 777)"),
        (folder.path("none"), "No such file or directory"),
    ] {
        let error = registry.load(&path).expect_err("it is refused").to_string();
        assert!(error.starts_with(&format!("{}: {reason}", path.display())), "{error}");
    }
}

#[test]
fn a_name_is_taken_once_and_a_panic_of_a_plugin_is_an_error() {
    let mut registry = Registry::new();
    assert_eq!(registry.add(BuiltIn("mine")), Ok(()));
    let taken = NameTaken { name: "mine".into(), by: PluginSource::BuiltIn };
    assert_eq!(registry.add(BuiltIn("mine")), Err(taken));
    let started =
        registry.find("mine").expect("it is there").start(&SiteFacts::new("a"), &Options::default());
    assert_eq!(started.err(), Some(StartError::Panicked));
    assert_eq!(
        registry.find("mime").expect_err("another name").to_string(),
        "there is no protocol \"mime\"; did you mean \"mine\"?"
    );
}
