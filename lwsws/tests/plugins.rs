//! Plugins as the command line shows, checks and refuses them. How they serve is tried by `tests/peers/plugins.py`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use test_kit::free_port;

/// A folder of its own, with a configuration in it and the example of a plugin in C below it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, conf: &str) -> Self {
        let root = std::env::temp_dir().join(format!("lwsws-plugins-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("plugins")).expect("a folder");
        fs::set_permissions(root.join("plugins"), Permissions::from_mode(0o755)).expect("it is ours");
        fs::write(root.join("conf"), conf.replace("ROOT", &root.display().to_string())).expect("a file");
        Self(root)
    }

    fn compile_example(&self) {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let library = self.0.join("plugins/tally.so");
        let include = |folder: &str| format!("-I{}", workspace.join(folder).display());
        let status = Command::new("cc")
            .args(["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fPIC", "-shared", "-o"])
            .arg(&library)
            .args([include("lws-plugin/include"), include("lws-ffi/include")])
            .arg(workspace.join("lws-plugin/examples/tally.c"))
            .status();
        assert!(status.expect("a C compiler").success());
        fs::set_permissions(library, Permissions::from_mode(0o755)).expect("it is ours");
    }

    /// What the program answers to its configuration with these arguments: whether it is content, its output and its errors.
    fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_lwsws"))
            .arg("--config")
            .arg(&self.0)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    fn plugins(&self) -> String {
        self.0.join("plugins").display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A configuration with one host that has these protocols.
fn conf(global: &str, protocols: &str) -> String {
    let port = free_port();
    format!(
        "{{ \"global\": {{ {global} }}, \"vhosts\": [ {{ \"name\": \"a\", \"port\": {port}, \"ws-protocols\": [ {{ {protocols} }} ] }} ] }}"
    )
}

#[test]
fn help_test_and_print_say_which_protocols_there_are_and_where_they_are_from() {
    let folder = Folder::new("shown", &conf("", "\"tally\": {}, \"lws-status\": { \"update-ms\": 500 }"));
    folder.compile_example();
    let plugins = folder.plugins();
    let (success, out, err) = folder.run(&["--test", "--plugin-dir", &plugins]);
    assert!(success && err.is_empty(), "{out}{err}");
    for wanted in [
        format!("tally (websocket; {plugins}/tally.so)"),
        format!("shout (raw; {plugins}/tally.so)"),
        "lws-status (websocket; built in)".into(),
        "protocol-post-demo (http; built in)".into(),
    ] {
        assert!(out.contains(&wanted), "{wanted}\n{out}");
    }
    let (success, out, _) = folder.run(&["--print", "--plugin-dir", &plugins]);
    let printed: serde_json::Value = serde_json::from_str(&out).expect("it is JSON");
    let tally = printed["plugins"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "tally"));
    let tally = tally.expect("the plugin is there");
    assert!(success && tally["from"] == format!("{plugins}/tally.so") && tally["kinds"][0] == "websocket");
    let (success, out, _) = folder.run(&["--help"]);
    assert!(success && out.replace('\n', " ").contains("dumb-increment-protocol (websocket)"), "{out}");
}

#[test]
fn a_test_fails_for_protocols_and_options_that_there_are_not() {
    for (name, protocols, wanted) in [
        ("name", "\"taly\": {}", "there is no protocol \"taly\"; did you mean \"tally\"?"),
        (
            "option",
            "\"lws-status\": { \"update_ms\": 500 }",
            "protocol \"lws-status\": \"update_ms\": unknown option; did you mean \"update-ms\"?",
        ),
        ("twice", "\"tally\": {}, \"lws-echo\": {}, \"tally\": {}", "protocol \"tally\" stands there twice"),
        (
            "value",
            "\"dumb-increment-protocol\": { \"update-ms\": \"5s\" }",
            "protocol \"dumb-increment-protocol\": \"update-ms\": \"5s\" is no number",
        ),
    ] {
        let folder = Folder::new(name, &conf("\"plugin-dir\": \"ROOT/plugins\"", protocols));
        folder.compile_example();
        let (success, _, err) = folder.run(&["--test"]);
        assert!(!success && err.contains("conf:1:") && err.contains(wanted), "{name}: {err}");
    }
}

#[test]
fn a_start_fails_with_every_file_that_was_refused_and_with_options_that_a_plugin_refuses() {
    let folder = Folder::new("refused", &conf("\"plugin-dir\": \"ROOT/plugins\"", ""));
    folder.compile_example();
    fs::write(folder.0.join("plugins/broken.so"), "no library").expect("a file");
    fs::set_permissions(folder.0.join("plugins/tally.so"), Permissions::from_mode(0o757))
        .expect("it is ours");
    for arguments in [&["--test"][..], &["--print"], &[]] {
        let (success, _, err) = folder.run(arguments);
        assert!(!success && err.contains("plugins/broken.so: it cannot be loaded: "), "{err}");
        assert!(err.contains("plugins/tally.so: others than its owner may write to it (mode 757)"), "{err}");
    }
    let folder =
        Folder::new("site", &conf("\"plugin-dir\": \"ROOT/plugins\"", "\"tally\": { \"greeting\": \"\" }"));
    folder.compile_example();
    let (success, _, err) = folder.run(&[]);
    let wanted = format!(
        "protocol \"tally\" ({}/tally.so): \"greeting\" has 1 to 63 bytes (LWX_E_ARGUMENT)",
        folder.plugins()
    );
    assert!(!success && err.contains(&wanted), "{err}");
}

#[test]
fn a_configuration_is_explained_without_beginning_a_protocol() {
    let conf = conf("\"plugin-dir\": \"ROOT/plugins\"", "\"tally\": { \"greeting\": \"\" }");
    let port =
        conf.split("\"port\": ").nth(1).and_then(|rest| rest.split(',').next()).expect("a port").to_owned();
    let folder = Folder::new("explained", &conf);
    folder.compile_example();
    let (success, out, err) = folder.run(&["--explain", &format!("http://a:{port}/")]);
    assert!(success && !out.is_empty(), "{err}");
}
