//! Configurations of libwebsockets' lwsws as this program reads, tests, compares and serves them.

use lws_server::http::{Cookie, CookieSigner};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use test_kit::free_port;

/// A folder of its own, with a configuration in it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("lwsws-configuration-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("conf.d")).expect("a folder");
        let folder = Self(root);
        for (file, text) in files {
            folder.write(file, text);
        }
        folder
    }

    /// Writes a file. `ROOT` in it is the folder.
    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder");
        fs::write(path, text.replace("ROOT", &self.0.display().to_string())).expect("a file");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lwsws"));
    command
        .arg("--config")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn said(output: &Output) -> (bool, String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// The program while it serves.
struct Serving(Child);

impl Serving {
    fn start(folder: &Folder) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lwsws"))
            .arg("--config")
            .arg(&folder.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut greeting = String::new();
        BufReader::new(child.stdout.as_mut().expect("its output is ours"))
            .read_line(&mut greeting)
            .expect("it greets");
        assert!(greeting.contains(" virtual host"), "{greeting}");
        Self(child)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is answered to a request.
fn ask(port: u16, host: &str, target: &str, fields: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout is set");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    let mut octets = [0; 4_096];
    // The head is enough of what goes on.
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") || fields.contains("close") {
        match stream.read(&mut octets).expect("it answers") {
            0 => break,
            n => answer.extend_from_slice(&octets[..n]),
        }
    }
    // A WebSocket may have sent its first message already.
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_configuration_with_mistakes_fails_its_test_with_all_of_them() {
    let folder = Folder::new(
        "mistakes",
        &[
            ("conf", "{ \"global\": { \"uid\": \"x\" } }"),
            ("conf.d/a", "{ \"vhosts\": [ { \"nmae\": \"a\", \"port\": 80 } ] }"),
        ],
    );
    for arguments in [&["--test"][..], &["--print"], &[]] {
        let (success, out, err) = said(&run(&folder.0, arguments));
        assert!(!success && out.is_empty(), "{out}");
        assert!(err.contains("conf:1:22 /global/uid: \"x\" is no number"), "{err}");
        assert!(err.contains("conf.d/a:1:17 /vhosts/0/nmae: unknown key; did you mean \"name\"?"), "{err}");
    }
}

#[test]
fn an_unknown_key_fails_a_test_but_no_start() {
    let port = free_port();
    let conf = format!("{{ \"later\": 1, \"vhosts\": [ {{ \"name\": \"localhost\", \"port\": {port} }} ] }}");
    let folder = Folder::new("unknown", &[("conf", &conf)]);
    let (success, _, err) = said(&run(&folder.0, &["--test"]));
    assert!(!success && err.contains("unknown key"), "{err}");
    let _serving = Serving::start(&folder);
    assert!(ask(port, "localhost", "/", "Connection: close\r\n").starts_with("HTTP/1.1 404 "));
}

#[test]
fn what_is_right_is_counted_printed_and_compared() {
    let host = |port: u16| format!("{{ \"vhosts\": [ {{ \"name\": \"a\", \"port\": {port} }} ] }}");
    let (one, two) = (Folder::new("one", &[("conf", &host(80))]), Folder::new("two", &[("conf", &host(81))]));
    let (success, out, err) = said(&run(&one.0, &["--test"]));
    assert!(success && out.ends_with(": 1 virtual host and 0 mounts\n") && err.is_empty(), "{out}{err}");
    let (success, out, _) = said(&run(&one.0, &["--print"]));
    assert!(success && out.contains("\"port\": 80"), "{out}");
    let (success, out, _) = said(&run(&two.0, &["--diff", &one.0.display().to_string()]));
    assert!(success && out == "- a port 80\n+ a port 81\n", "{out}");
}

const CLOSE: &str = "Connection: close\r\n";

#[test]
fn hosts_mounts_redirects_and_protocols_are_served() {
    let port = free_port();
    let conf = r#"{ "vhosts": [
        { "name": "localhost", "port": PORT, "keepalive_timeout": 20, "error-document-404": "/missing.html",
          "headers": { "X-Of-Host": "1", "X-Of-Mount": "1" }, "mounts": [
            { "mountpoint": "/", "origin": "file://ROOT/www", "default": "start.html", "cache-max-age": 60, "cache-reuse": 1,
              "extra-mimetypes": { ".odd": "text/odd" } },
            { "mountpoint": "/old", "origin": ">https://example.com/new", "append-path": "on" },
            { "mountpoint": "/program", "origin": "cgi://ROOT/program", "cgi-timeout": 5,
              "cgi-env": [ { "MINE": "yes" } ] },
            { "mountpoint": "/confined", "origin": "cgi://ROOT/program", "cgi-chroot": "ROOT" },
            { "mountpoint": "/private", "origin": "file://ROOT/www", "basic-auth": "ROOT/users" },
            { "mountpoint": "/archive", "origin": "file://ROOT/site.zip", "headers": { "X-Of-Mount": "2" } },
            { "mountpoint": "/quiet", "origin": "file://ROOT/www", "no-ws-upgrades": 1 },
        ], "ws-protocols": [ { "lws-mirror-protocol": {}, "dumb-increment-protocol": { "default": "1" },
            "lws-status": { "basic-auth": "ROOT/users" } } ] },
        { "name": "other.example", "port": PORT, "mounts": [ { "mountpoint": "/", "origin": ">http://there.example/" } ] }
    ] }"#
        .replace("PORT", &port.to_string());
    let folder = Folder::new(
        "served",
        &[
            ("conf", "{ \"global\": { \"count-threads\": 2 } }"),
            ("conf.d/hosts", &conf),
            ("www/start.html", "<h1>start</h1>"),
            ("www/x", "private"),
            ("www/private/x", "below"),
            (
                "program",
                "#!/bin/sh\nprintf 'Content-Type: a/b\n\n%s %s %s' \"$SCRIPT_NAME\" \"$PATH_INFO\" \"$MINE\"\n",
            ),
            ("www/a.odd", "odd"),
            ("www/missing.html", "<h1>missing</h1>"),
            ("users", "ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"),
        ],
    );
    fs::set_permissions(folder.0.join("program"), fs::Permissions::from_mode(0o755))
        .expect("it can be executed");
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/site.zip");
    fs::copy(archive, folder.0.join("site.zip")).expect("a file");
    let _serving = Serving::start(&folder);
    let password = format!("{CLOSE}Authorization: Basic YW5uOnNlY3JldA==\r\n");
    let opening = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let asking = |name: &str| format!("{opening}Sec-WebSocket-Protocol: {name}\r\n");
    let close = CLOSE.to_owned();
    for (host, target, fields, wanted) in [
        (
            "localhost",
            "/",
            &close,
            &["HTTP/1.1 200 ", "Cache-Control: private, max-age=60", "<h1>start</h1>"][..],
        ),
        ("nobody.example", "/", &close, &["HTTP/1.1 200 ", "<h1>start</h1>"]),
        ("localhost", "/old/a?b", &close, &["HTTP/1.1 301 ", "Location: https://example.com/new/a?b\r\n"]),
        ("other.example", "/old/a", &close, &["HTTP/1.1 301 ", "Location: http://there.example/\r\n"]),
        ("localhost", "/program/x?y", &close, &["HTTP/1.1 200 ", "/program /x yes"]),
        ("localhost", "/confined", &close, &["HTTP/1.1 404 "]),
        ("localhost", "/private/x", &close, &["HTTP/1.1 401 ", "WWW-Authenticate: Basic realm=\"/private\""]),
        ("localhost", "/private/x", &password, &["HTTP/1.1 200 ", "\r\n\r\nprivate"]),
        ("localhost", "/a.odd", &close, &["Content-Type: text/odd\r\n", "X-Of-Host: 1", "X-Of-Mount: 1"]),
        ("localhost", "/none", &close, &["HTTP/1.1 404 ", "<h1>missing</h1>", "X-Of-Host: 1"]),
        (
            "localhost",
            "/archive/",
            &close,
            &["HTTP/1.1 200 ", "from the archive", "X-Of-Host: 1", "X-Of-Mount: 2"],
        ),
        ("localhost", "/", &opening.to_owned(), &["HTTP/1.1 101 "]),
        (
            "localhost",
            "/old",
            &asking("lws-mirror-protocol"),
            &["HTTP/1.1 101 ", "Sec-WebSocket-Protocol: lws-mirror-protocol"],
        ),
        ("localhost", "/quiet/x", &opening.to_owned(), &["HTTP/1.1 403 "]),
        ("localhost", "/private/x", &opening.to_owned(), &["HTTP/1.1 401 "]),
        ("other.example", "/", &asking("lws-mirror-protocol"), &["HTTP/1.1 301 "]),
    ] {
        let answer = ask(port, host, target, fields);
        for wanted in wanted {
            assert!(answer.contains(wanted), "{host}{target} {fields}\n{answer}");
        }
    }
}

#[test]
fn mounts_and_protocols_let_in_whom_they_say_and_no_further_than_they_say() {
    let port = free_port();
    let conf = r#"{ "vhosts": [ { "name": "localhost", "port": PORT, "mounts": [
            { "mountpoint": "/", "origin": "file://ROOT/www" },
            { "mountpoint": "/only", "origin": "file://ROOT/only", "exact-match": 1, "default": "x" },
            { "mountpoint": "/decides", "origin": "cgi://ROOT/decides" },
            { "mountpoint": "/asked", "origin": "file://ROOT/www", "interceptor-path": "/decides" },
            { "mountpoint": "/undecided", "origin": "file://ROOT/www", "interceptor-path": "/" },
            { "mountpoint": "/nobody", "origin": "file://ROOT/www", "interceptor-path": "/decides", "auth-mask": 1 },
            { "mountpoint": "/both", "origin": "file://ROOT/www", "interceptor-path": "/decides", "basic-auth": "ROOT/users" },
        ], "ws-protocols": [ { "lws-mirror-protocol": {}, "lws-status": { "basic-auth": "ROOT/users" } } ] } ] }"#
        .replace("PORT", &port.to_string());
    let decides = "#!/bin/sh\ncase \"$HTTP_COOKIE $HTTP_X_FORWARDED_URI\" in\n\
                   in=1*) printf 'Content-Type: a/b\\n\\nyes';;\n\
                   *) printf 'Status: 302\\nLocation: http://login.example%s\\n\\n' \"$HTTP_X_FORWARDED_URI\";;\nesac\n";
    let folder = Folder::new(
        "guarded",
        &[
            ("conf", "{ \"global\": {} }"),
            ("conf.d/hosts", &conf),
            ("www/x", "file"),
            ("www/only/x", "below"),
            ("only/x", "the path itself"),
            ("decides", decides),
            ("users", "ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"),
        ],
    );
    fs::set_permissions(folder.0.join("decides"), fs::Permissions::from_mode(0o755))
        .expect("it can be executed");
    let _serving = Serving::start(&folder);
    const PASSWORD: &str = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
    const COOKIE: &str = "Cookie: in=1\r\n";
    let opening = |protocol: &str, fields: &str| {
        format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n{fields}"
        )
    };
    let closing = |fields: &str| format!("{CLOSE}{fields}");
    for (target, fields, wanted) in [
        ("/only/", closing(""), &["HTTP/1.1 200 ", "the path itself"][..]),
        ("/only/x", closing(""), &["HTTP/1.1 200 ", "below"]),
        ("/asked/x?q", closing(""), &["HTTP/1.1 302 ", "Location: http://login.example/asked/x?q\r\n"]),
        ("/asked/x", closing(COOKIE), &["HTTP/1.1 200 ", "\r\n\r\nfile"]),
        ("/undecided/x", closing(COOKIE), &["HTTP/1.1 404 "]),
        ("/nobody/x", closing(COOKIE), &["HTTP/1.1 404 "]),
        ("/both/x", closing(PASSWORD), &["HTTP/1.1 302 "]),
        ("/both/x", closing(COOKIE), &["HTTP/1.1 401 "]),
        ("/both/x", format!("{CLOSE}{COOKIE}{PASSWORD}"), &["HTTP/1.1 200 "]),
        ("/", opening("lws-mirror-protocol", ""), &["HTTP/1.1 101 "]),
        ("/", opening("lws-status", ""), &["HTTP/1.1 401 ", "WWW-Authenticate: Basic realm="]),
        ("/", opening("lws-status", PASSWORD), &["HTTP/1.1 101 "]),
        ("/asked/", opening("lws-mirror-protocol", ""), &["HTTP/1.1 302 "]),
        ("/asked/", opening("lws-mirror-protocol", COOKIE), &["HTTP/1.1 101 "]),
        ("/undecided/", opening("lws-mirror-protocol", COOKIE), &["HTTP/1.1 403 "]),
        ("/both/", opening("lws-status", COOKIE), &["HTTP/1.1 401 "]),
        ("/both/", opening("lws-status", &format!("{COOKIE}{PASSWORD}")), &["HTTP/1.1 101 "]),
    ] {
        let answer = ask(port, "localhost", target, &fields);
        for wanted in wanted {
            assert!(answer.contains(wanted), "{target} {fields}\n{answer}");
        }
    }
    let (_, _, err) = said(&run(&folder.0, &["--test"]));
    assert!(err.lines().all(|line| line.is_empty() || line.contains("without TLS")), "{err}");
}

#[test]
fn pages_for_errors_are_those_of_the_host_wherever_the_error_came_about() {
    let port = free_port();
    let conf = r#"{ "vhosts": [ { "name": "localhost", "port": PORT, "error-document-404": "/errors/404.html",
          "error-documents": { "4xx": "/errors/4xx.html", "502": "/errors/502.html", "503": "/errors/none.html" },
          "headers": { "X-Of-Host": "1" }, "mounts": [
            { "mountpoint": "/errors", "origin": "file://ROOT/errors" },
            { "mountpoint": "/files", "origin": "file://ROOT/www" },
            { "mountpoint": "/program", "origin": "cgi://ROOT/program" },
            { "mountpoint": "/down", "origin": "http://+/ROOT/no.socket:/" },
            { "mountpoint": "/private", "origin": "file://ROOT/www", "basic-auth": "ROOT/users" },
        ] } ] }"#
        .replace("PORT", &port.to_string());
    let folder = Folder::new(
        "documents",
        &[
            ("conf", "{ \"global\": {} }"),
            ("conf.d/hosts", &conf),
            ("errors/404.html", "<h1>not here</h1>"),
            ("errors/4xx.html", "<h1>not so</h1>"),
            ("errors/502.html", "<h1>down</h1>"),
            ("www/x", "file"),
            ("program", "#!/bin/sh\nprintf 'Status: 404\\nContent-Type: a/b\\n\\nof the program'\n"),
            ("users", "ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"),
        ],
    );
    fs::set_permissions(folder.0.join("program"), fs::Permissions::from_mode(0o755))
        .expect("it can be executed");
    let _serving = Serving::start(&folder);
    let json = format!("{CLOSE}Accept: application/json\r\n");
    let close = CLOSE.to_owned();
    let page = "Content-Type: text/html";
    for (target, fields, wanted) in [
        ("/nowhere", &close, &["HTTP/1.1 404 ", page, "<h1>not here</h1>", "X-Of-Host: 1"][..]),
        ("/files/none", &close, &["HTTP/1.1 404 ", page, "<h1>not here</h1>", "X-Of-Host: 1"]),
        ("/nowhere", &json, &["HTTP/1.1 404 ", "application/problem+json", "{\"status\":404"]),
        ("/files/none", &json, &["HTTP/1.1 404 ", "application/problem+json", "{\"status\":404"]),
        ("/private/x", &close, &["HTTP/1.1 401 ", "WWW-Authenticate: ", "<h1>not so</h1>"]),
        ("/down/x", &close, &["HTTP/1.1 502 ", "<h1>down</h1>"]),
        ("/program", &close, &["HTTP/1.1 404 ", "of the program"]),
        ("/errors/404.html", &close, &["HTTP/1.1 200 ", "<h1>not here</h1>"]),
    ] {
        let answer = ask(port, "localhost", target, fields);
        for wanted in wanted {
            assert!(answer.contains(wanted), "{target} {fields}\n{answer}");
        }
    }
}

#[test]
fn a_page_for_errors_that_means_nothing_says_so() {
    for (pages, wanted) in [
        (r#"{ "200": "/x" }"#, "\"200\" is neither a status code of 400 to 599 nor 4xx or 5xx"),
        (r#"{ "+44": "/x" }"#, "\"+44\" is neither"),
        (r#"{ "404": "x" }"#, "the page \"x\" for 404 does not begin with a slash"),
    ] {
        let conf = format!(r#"{{ "vhosts": [ {{ "name": "a", "port": 1, "error-documents": {pages} }} ] }}"#);
        let folder = Folder::new("pages", &[("conf", &conf)]);
        let (success, _, err) = said(&run(&folder.0, &["--test"]));
        assert!(!success && err.contains(wanted), "{err}");
    }
}

#[test]
fn a_mount_with_auth_mask_lets_in_sessions_that_have_all_its_rights() {
    let port = free_port();
    let conf = r#"{ "vhosts": [ { "name": "localhost", "port": PORT, "session-key": "ROOT/key", "session-login": "/login", "mounts": [
            { "mountpoint": "/", "origin": "file://ROOT/www" },
            { "mountpoint": "/admin", "origin": "file://ROOT/www", "auth-mask": 3 },
            { "mountpoint": "/both", "origin": "file://ROOT/www", "auth-mask": "1", "basic-auth": "ROOT/users" },
        ], "ws-protocols": [ { "lws-mirror-protocol": {} } ] } ] }"#
        .replace("PORT", &port.to_string());
    let secret = "0123456789abcdef0123456789abcdef";
    let folder = Folder::new(
        "sessions",
        &[
            ("conf", "{ \"global\": {} }"),
            ("conf.d/hosts", &conf),
            ("www/x", "file"),
            ("key", &format!("{secret}\n")),
            ("users", "ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"),
        ],
    );
    let _serving = Serving::start(&folder);
    let cookie = |secret: &str, value: &str| {
        let signer = CookieSigner::new(secret.as_bytes()).expect("it is long enough");
        format!("Cookie: a=b; {}\r\n", signer.sign(Cookie::new("session", value.to_owned())))
    };
    let (all, some) = (cookie(secret, "an:na:7:4000000000"), cookie(secret, "anna:1:4000000000"));
    let (over, forged) =
        (cookie(secret, "anna:7:1000000000"), cookie(&secret.replace('0', "1"), "anna:7:4000000000"));
    const PASSWORD: &str = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
    let opening = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: lws-mirror-protocol\r\n";
    let challenge = "WWW-Authenticate: Cookie cookie-name=\"session\"";
    let browser = "Accept: text/html\r\n";
    for (target, fields, wanted) in [
        ("/x", String::new(), &["HTTP/1.1 200 ", "\r\n\r\nfile"][..]),
        ("/admin/x", String::new(), &["HTTP/1.1 401 ", challenge]),
        ("/admin/x", browser.to_owned(), &["HTTP/1.1 303 ", "Location: /login\r\n"]),
        ("/admin/x", all.clone(), &["HTTP/1.1 200 ", "\r\n\r\nfile"]),
        ("/admin/x", some.clone(), &["HTTP/1.1 403 "]),
        ("/admin/x", over, &["HTTP/1.1 401 "]),
        ("/admin/x", forged, &["HTTP/1.1 401 "]),
        ("/admin/x", "Cookie: session=anna:7:4000000000\r\n".to_owned(), &["HTTP/1.1 401 "]),
        ("/admin/x", cookie(secret, "7:4000000000"), &["HTTP/1.1 401 "]),
        ("/both/x", all.clone(), &["HTTP/1.1 401 ", "WWW-Authenticate: Basic "]),
        ("/both/x", PASSWORD.to_owned(), &["HTTP/1.1 401 ", challenge]),
        ("/both/x", format!("{some}{PASSWORD}"), &["HTTP/1.1 200 "]),
    ] {
        let answer = ask(port, "localhost", target, &format!("{CLOSE}{fields}"));
        for wanted in wanted {
            assert!(answer.contains(wanted), "{target} {fields}\n{answer}");
        }
    }
    for (target, fields, wanted) in [
        ("/admin/", String::new(), "HTTP/1.1 401 "),
        ("/admin/", some, "HTTP/1.1 403 "),
        ("/admin/", all.clone(), "HTTP/1.1 101 "),
        ("/admin/", format!("{all}Origin: http://elsewhere.example\r\n"), "HTTP/1.1 403 "),
        ("/admin/", format!("{all}Origin: http://localhost:{port}\r\n"), "HTTP/1.1 101 "),
    ] {
        let host = format!("localhost:{port}");
        let answer = ask(port, &host, target, &format!("{opening}{fields}"));
        assert!(answer.starts_with(wanted), "{target} {fields}\n{answer}");
    }
}

#[test]
fn a_session_key_that_cannot_be_used_stops_the_start_with_its_place() {
    for (key, wanted) in
        [("too short\n", "key: a session-key has 32 octets at least"), ("", "has 32 octets at least")]
    {
        let conf = r#"{ "vhosts": [ { "name": "a", "port": 1, "session-key": "ROOT/key" } ] }"#;
        let folder = Folder::new("session-key", &[("conf", conf), ("key", key)]);
        let (success, _, err) = said(&run(&folder.0, &[]));
        assert!(!success && err.contains("conf:1:") && err.contains(wanted), "{err}");
    }
}

#[test]
fn a_folder_that_is_not_there_stops_the_start_with_its_place() {
    let conf = r#"{ "vhosts": [ { "name": "a", "port": 1, "mounts": [ { "mountpoint": "/", "origin": "file://ROOT/no" } ] } ] }"#;
    let folder = Folder::new("missing", &[("conf", conf)]);
    let (success, _, err) = said(&run(&folder.0, &[]));
    assert!(
        !success && err.contains("conf:1:53 /vhosts/0/mounts/0: ") && err.contains("No such file"),
        "{err}"
    );
}

/// As root it becomes the user; as anybody else it says that it may not.
#[test]
fn it_becomes_the_user_that_the_configuration_names() {
    let port = free_port();
    let host = format!("\"vhosts\": [ {{ \"name\": \"a\", \"port\": {port} }} ]");
    let folder = Folder::new(
        "user",
        &[("conf", &format!("{{ \"global\": {{ \"uid\": 65534, \"gid\": 65534 }}, {host} }}"))],
    );
    let own = fs::read_to_string("/proc/self/status").expect("this is Linux");
    if own.lines().any(|line| line.starts_with("Uid:\t0\t0\t0\t")) {
        let serving = Serving::start(&folder);
        let tasks = fs::read_dir(format!("/proc/{}/task", serving.0.id())).expect("it runs");
        for task in tasks.flatten() {
            let status = fs::read_to_string(task.path().join("status")).expect("it runs");
            for wanted in [
                "Uid:\t65534\t65534\t65534\t65534\n",
                "Gid:\t65534\t65534\t65534\t65534\n",
                "Groups:\t65534 \n",
                "CapPrm:\t0000000000000000\n",
            ] {
                assert!(status.contains(wanted), "{status}");
            }
        }
        assert!(ask(port, "a", "/", "Connection: close\r\n").starts_with("HTTP/1.1 404 "));
    } else {
        let (success, _, err) = said(&run(&folder.0, &[]));
        assert!(!success && err.contains("cannot become "), "{err}");
    }
    let keep = "\"keep-capabilities\": \"net-bind-service, net-raw\"";
    folder.write("conf", &format!("{{ \"global\": {{ \"uid\": 65534, \"gid\": 65534, {keep} }}, {host} }}"));
    if own.lines().any(|line| line.starts_with("Uid:\t0\t0\t0\t")) {
        let serving = Serving::start(&folder);
        // The threads that serve have what is named, and nothing that others could get.
        let status = fs::read_to_string(format!("/proc/{}/status", serving.0.id())).expect("it runs");
        for wanted in [
            "CapPrm:\t0000000000002400\n",
            "CapEff:\t0000000000002400\n",
            "CapInh:\t0000000000000000\n",
            "CapAmb:\t0000000000000000\n",
        ] {
            assert!(status.contains(wanted), "{status}");
        }
    }
    folder.write(
        "conf",
        &format!("{{ \"global\": {{ \"uid\": 1, \"keep-capabilities\": \"sys-admin\" }}, {host} }}"),
    );
    let (success, _, err) = said(&run(&folder.0, &[]));
    assert!(!success && err.contains("no capability \"sys-admin\" can be kept"), "{err}");
    folder.write("conf", &format!("{{ \"global\": {{ \"username\": \"nobody of this name\" }}, {host} }}"));
    let (success, _, err) = said(&run(&folder.0, &[]));
    assert!(!success && err == "lwsws: there is no user \"nobody of this name\"\n", "{err}");
}

#[test]
fn a_host_of_raw_connections_answers_no_request_with_its_files() {
    let port = free_port();
    let conf = r#"{ "vhosts": [ { "name": "localhost", "port": PORT, "onlyraw": 1, "mounts": [ { "mountpoint": "/", "origin": "file://ROOT/www" } ] } ] }"#
        .replace("PORT", &port.to_string());
    let folder = Folder::new("raw", &[("conf", &conf), ("www/index.html", "<h1>start</h1>")]);
    let _serving = Serving::start(&folder);
    let answer = ask(port, "localhost", "/", "Connection: close\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 ") && !answer.contains("start"), "{answer}");
}

#[test]
fn a_mount_that_leads_to_another_server_is_answered_by_it() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let (port, there) = (free_port(), upstream.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for stream in upstream.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = vec![0; 4_096];
            let count = stream.read(&mut head).expect("a request");
            let line = String::from_utf8_lossy(&head[..count]).lines().next().unwrap_or_default().to_owned();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
            stream.write_all(answer.as_bytes()).expect("the proxy reads");
        }
    });
    let conf = format!(
        "{{ \"vhosts\": [ {{ \"name\": \"localhost\", \"port\": {port}, \"mounts\": [ \
         {{ \"mountpoint\": \"/api\", \"origin\": \"http://{there}/v1\" }}, \
         {{ \"mountpoint\": \"/none\", \"origin\": \"https://+/run/none\" }} ] }} ] }}"
    );
    let folder = Folder::new("proxy", &[("conf", &conf)]);
    let _serving = Serving::start(&folder);
    let answer = ask(port, "localhost", "/api/x?y", "Connection: close\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("GET /v1/x?y HTTP/1.1"), "{answer}");
    assert!(ask(port, "localhost", "/none", "Connection: close\r\n").starts_with("HTTP/1.1 404 "));
}

impl Serving {
    /// Has the configuration read again.
    fn reload(&self) {
        let sent = Command::new("kill").args(["-s", "HUP", &self.0.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// A line of its log that has one of these words.
    fn wait_for(&mut self, words: &str) -> String {
        let mut lines = BufReader::with_capacity(1, self.0.stdout.as_mut().expect("its output is ours"));
        loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("it runs") > 0, "{words}");
            if line.contains(words) {
                return line;
            }
        }
    }
}

/// A text message of a few octets to a server, and the one that comes back.
fn echo(socket: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend(text.as_bytes());
    socket.write_all(&frame).expect("it reads");
    let mut answer = vec![0; text.len() + 2];
    socket.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer[2..], text.as_bytes());
}

fn open_websocket(port: u16) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout is set");
    let opening = "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: lws-echo\r\n\r\n";
    socket.write_all(opening.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut one = [0];
        socket.read_exact(&mut one).expect("it answers");
        answer.extend(one);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
    socket
}

#[test]
fn a_reload_changes_what_has_changed_and_cuts_nothing() {
    let (port, other) = (free_port(), free_port());
    let stays = r#"{ "vhosts": [ { "name": "localhost", "port": PORT, "mounts": [
        { "mountpoint": "/", "origin": "file://ROOT/www" } ], "ws-protocols": [ { "lws-echo": {} } ] } ] }"#
        .replace("PORT", &port.to_string());
    let changes = |location: &str| {
        r#"{ "vhosts": [ { "name": "moving.example", "port": PORT, "mounts": [ { "mountpoint": "/", "origin": ">http://AT/" } ] } ] }"#
            .replace("PORT", &port.to_string())
            .replace("AT", location)
    };
    let folder = Folder::new(
        "reload",
        &[
            ("conf", "{ \"global\": { \"count-threads\": 2 } }"),
            ("conf.d/a", &stays),
            ("conf.d/b", &changes("first.example")),
            ("www/index.html", "<h1>start</h1>"),
        ],
    );
    let mut serving = Serving::start(&folder);
    let mut sockets: Vec<_> = (0..4).map(|_| open_websocket(port)).collect();
    let close = "Connection: close\r\n";
    for round in 0..20 {
        let location = format!("round-{round}.example");
        folder.write("conf.d/b", &changes(&location));
        serving.reload();
        serving.wait_for("~ moving.example");
        assert!(ask(port, "moving.example", "/", close).contains(&format!("Location: http://{location}/")));
        sockets.iter_mut().for_each(|socket| echo(socket, &location));
    }
    // A host comes, with a listener of its own, and another goes.
    let comes = format!("{{ \"vhosts\": [ {{ \"name\": \"new.example\", \"port\": {other} }} ] }}");
    folder.write("conf.d/b", &comes);
    serving.reload();
    serving.wait_for("+ new.example");
    assert!(ask(other, "new.example", "/", close).starts_with("HTTP/1.1 404 "));
    assert!(ask(port, "moving.example", "/", close).contains("start"), "the first host has every other name");
    // Broken ones change nothing: text that is no configuration, a folder that is not there, a port that is taken.
    let taken = TcpListener::bind("[::]:0").expect("a port is free");
    let at = taken.local_addr().expect("it is bound").port();
    for broken in [
        "{ \"vhosts\": [ ".to_owned(),
        stays.replace("localhost", "broken.example").replace("/www", "/no"),
        comes.replace(&other.to_string(), &at.to_string()),
    ] {
        folder.write("conf.d/c", &broken);
        serving.reload();
        assert!(ask(other, "new.example", "/", close).starts_with("HTTP/1.1 404 "));
        sockets.iter_mut().for_each(|socket| echo(socket, "still here"));
    }
    fs::remove_file(folder.0.join("conf.d/c")).expect("it is there");
    folder.write("conf.d/b", "{}");
    serving.reload();
    serving.wait_for("- new.example");
    assert!(TcpStream::connect(("127.0.0.1", other)).is_err(), "nothing listens there any more");
    sockets.iter_mut().for_each(|socket| echo(socket, "still here"));
}

/// The hash of "secret", and of "changed", with a cheap bcrypt.
const USERS: [&str; 2] = [
    "ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n",
    "bob:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n",
];

#[test]
fn a_reload_opens_folders_and_passwords_again_though_the_configuration_is_equal() {
    let port = free_port();
    let conf = r#"{ "vhosts": [ { "name": "localhost", "port": PORT, "mounts": [
        { "mountpoint": "/", "origin": "file://ROOT/current" },
        { "mountpoint": "/private", "origin": "file://ROOT/current", "basic-auth": "ROOT/users" } ],
        "ws-protocols": [ { "lws-echo": {} } ] } ] }"#
        .replace("PORT", &port.to_string());
    let folder = Folder::new(
        "again",
        &[("conf", &conf), ("one/index.html", "one"), ("two/index.html", "two"), ("users", USERS[0])],
    );
    let link = |to: &str| {
        let _ = fs::remove_file(folder.0.join("current"));
        std::os::unix::fs::symlink(folder.0.join(to), folder.0.join("current")).expect("a link");
    };
    link("one");
    let mut serving = Serving::start(&folder);
    let mut socket = open_websocket(port);
    let password = |user: &str| {
        let credentials = if user == "ann" { "YW5uOnNlY3JldA==" } else { "Ym9iOnNlY3JldA==" };
        let answer =
            ask(port, "localhost", "/private/", &format!("{CLOSE}Authorization: Basic {credentials}\r\n"));
        answer.starts_with("HTTP/1.1 200 ")
    };
    assert!(ask(port, "localhost", "/", CLOSE).ends_with("one"));
    assert!(password("ann") && !password("bob"));
    link("two");
    folder.write("users", USERS[1]);
    serving.reload();
    serving.wait_for("~ localhost: its folders and passwords were opened again");
    assert!(ask(port, "localhost", "/", CLOSE).ends_with("two"));
    assert!(password("bob") && !password("ann"));
    echo(&mut socket, "still here");
}
