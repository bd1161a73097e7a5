//! Whole configurations: those of programs that are in use, in their structure, and what is wrong with others.

use lws_config::{
    Account, AcmeChallenge, Change, Config, Listen, Options, Origin, Plan, Report, Severity, Upstream,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configurations").join(name)
}

/// A configuration that is taken without a doubt but those of `doubts`, in their order.
fn read(name: &str, doubts: &[&str]) -> Config {
    let (config, report) = Config::read(&folder(name), &Options::default());
    assert!(!report.fails_check(), "{report}");
    let messages: Vec<&str> = report.findings().iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(messages.len(), doubts.len(), "{report}");
    for (message, doubt) in messages.iter().zip(doubts) {
        assert!(message.contains(doubt), "{message}");
    }
    config
}

fn text(text: &str) -> (Config, Report) {
    Config::from_texts([("conf", text)], &Options::default())
}

/// A file with one host that has these members besides what it needs.
fn host(members: &str) -> String {
    format!(r#"{{ "vhosts": [ {{ "name": "a", "port": 1, {members} }} ] }}"#)
}

fn mount(members: &str) -> String {
    host(&format!(r#""mounts": [ {{ {members} }} ]"#))
}

#[test]
fn a_house_of_sensors() {
    let config = read("sensors", &["belongs to a virtual host", "does nothing with it"]);
    assert_eq!(config.global.user, Some(Account::Id(48)));
    assert_eq!(config.global.threads, Some(1));
    assert!(config.global.tls);
    let [vhost] = &config.vhosts[..] else { panic!("one host") };
    assert_eq!(vhost.listen, Listen::Tcp { port: 8084, interface: None });
    assert_eq!(vhost.keep_alive_timeout, Some(Duration::from_secs(5)));
    let cache = &vhost.mounts[0].cache;
    assert_eq!(
        (cache.max_age, cache.reuse, cache.revalidate, cache.no_store, cache.shared),
        (Some(Duration::from_secs(60)), true, true, false, false)
    );
    assert_eq!(vhost.mounts[0].origin, Origin::Files("/usr/share/house/".into()));
    let names: Vec<&str> = vhost.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
    assert_eq!(names, ["temperature", "humidity", "pressure"]);
}

#[test]
fn numbers_where_text_is_usual_and_a_host_that_is_an_address() {
    let config = read("internal", &["belongs to a virtual host"]);
    assert_eq!((config.global.user, config.global.tls), (Some(Account::Id(1000)), false));
    assert_eq!(config.vhosts[0].listen, Listen::Tcp { port: 7681, interface: Some("127.0.0.1".to_owned()) });
    assert_eq!(config.vhosts[0].mounts[0].origin, Origin::Protocol("pages".to_owned()));
    assert_eq!(config.vhosts[0].mounts[0].fallback_protocol, None);
}

#[test]
fn two_origins_of_one_mount() {
    let config = read("builder", &[]);
    let vhost = &config.vhosts[0];
    assert_eq!(vhost.mounts[0].origin, Origin::Files("/usr/share/builder/assets".into()));
    assert_eq!(vhost.mounts[0].fallback_protocol.as_deref(), Some("web"));
    assert_eq!(vhost.mounts[0].media_types[1], (".map".to_owned(), "application/json".to_owned()));
    assert_eq!(vhost.headers.len(), 4);
    assert!(vhost.websockets_need_protocol && vhost.plain_text.allowed && vhost.client_tls.is_some());
    assert!(vhost.tls.as_ref().is_some_and(|tls| tls.authorities.is_none() && !tls.client_certificate));
}

#[test]
fn a_unix_socket_without_a_port() {
    let config = read("unixskt", &[]);
    assert_eq!(config.global.user, Some(Account::Name("builder".to_owned())));
    assert_eq!(config.global.descriptors, Some(5_000));
    let listen = Listen::Unix { path: "/run/web.sock".into(), owner: Some("builder:www".to_owned()) };
    assert_eq!(config.vhosts[0].listen, listen);
    assert_eq!(config.vhosts[0].mounts[0].origin, Origin::Files("/usr/share/web".into()));
}

#[test]
fn hosts_of_several_files_and_mounts_within_each_other() {
    let config = read("git", &[]);
    let listens: Vec<&Listen> = config.vhosts.iter().map(|vhost| &vhost.listen).collect();
    assert_eq!(listens[0], &Listen::Tcp { port: 443, interface: None });
    assert_eq!(listens[1], &Listen::Unix { path: "/run/git.sock".into(), owner: None });
    let paths: Vec<&str> = config.vhosts[0].mounts.iter().map(|mount| mount.path.as_str()).collect();
    assert_eq!(paths, ["/git", "/git/_assets", "/git/avatar"]);
    assert_eq!(config.vhosts[0].protocols.len(), 2);
}

#[test]
fn every_kind_of_origin() {
    let config = read("example", &["does nothing with it"]);
    let mounts = &config.vhosts[0].mounts;
    assert_eq!(mounts[0].origin, Origin::Files("/usr/share/test".into()));
    assert_eq!(mounts[1].origin, Origin::Cgi("/usr/lib/program".into()));
    assert_eq!(mounts[1].options, [("ROOT".to_owned(), "/srv/repositories".to_owned())]);
    assert_eq!(mounts[3].origin, Origin::Redirect { location: "https://example.com/there".to_owned() });
    let upstream = Upstream::Authority("127.0.0.1:8080".to_owned());
    assert_eq!(mounts[4].origin, Origin::Proxy { tls: false, upstream, path: "/base".to_owned() });
    let protocols = &config.vhosts[0].protocols;
    assert!(protocols[1].is_default && protocols[4].is_raw && !protocols[0].is_default);
}

/// What is wrong, with its place, in each of these texts.
#[test]
fn errors_say_where_they_are_and_what_to_do() {
    for (written, wanted) in [
        ("{ \"vhosts\": [ { \"name\": \"a\" } ] }", "conf:1:15 /vhosts/0: a virtual host without \"port\""),
        ("{ \"vhosts\": [ { \"port\": 1 } ] }", "conf:1:15 /vhosts/0: a virtual host without \"name\""),
        ("{}", "there is no virtual host in any file"),
        ("", "there is no virtual host in any file"),
        ("{ \"vhosts\": [ ", "conf:1:13: "),
        (&host("\"mounts\": [ { }, ]"), "/vhosts/0/mounts/0: a mount without \"mountpoint\""),
        (
            &mount("\"mountpoint\": \"/\", \"origin\": \"/var/www\""),
            "/vhosts/0/mounts/0/origin: \"/var/www\" has no scheme",
        ),
        (&mount("\"mountpoint\": \"/\" \"origin\": \"file:///\""), "conf:1:"),
        (&mount("\"mountpoint\": \"x\", \"origin\": \"file:///\""), "does not begin with a slash"),
        (
            &mount("\"mountpoint\": \"/\", \"orgin\": \"file:///\""),
            "/orgin: unknown key; did you mean \"origin\"?",
        ),
        (&host("\"keepalive-timeout\": 4"), "did you mean \"keepalive_timeout\"?"),
        (&host("\"mounts\": []},{\"port\": \"44x\", \"name\": \"b\""), "/vhosts/1/port: \"44x\" is no port"),
        (&host("\"fo-listen-queue\": \"some\""), "\"some\" is no number"),
        (&host("\"keepalive_timeout\": 100000"), "100000 is not between 0 and 86400"),
        (&host("\"headers\": 1"), "an object is wanted here"),
        (&host("\"mounts\": {}"), "an array is wanted here"),
        (&host("\"name\": []"), "a text is wanted here"),
        (&host("\"host-ssl-cert\": \"/c\""), "\"host-ssl-cert\" without \"host-ssl-key\""),
        (&host("\"host-ssl-cert\": \"/c\", \"host-ssl-key\": \"/k\""), "\"init-ssl\" is off"),
        (&host("\"mounts\": [],"), "a comma behind the last member of an object"),
        ("{ \"vhosts\": [ { \"name\": \"a\", \"unix-socket\": 1 } ] }", "without the path of the socket"),
        ("{ \"global\": { \"allow-early-data\": 1 } }", "cannot be had"),
        ("{ \"globl\": {} }", "did you mean \"global\"?"),
        ("{ \"global\": { \"reject-service-keywords\": { \"bot\": \"no\" } } }", "status code"),
    ] {
        let (_, report) = text(written);
        assert!(report.fails_check(), "{written}");
        let report = report.to_string();
        assert!(report.contains(wanted), "{written}\n{report}");
    }
}

/// What is taken, but with a word.
#[test]
fn doubts_are_said() {
    for (written, wanted) in [
        (host("\"keepalive_timeout\": \"10s\""), "only 10 of \"10s\" counts"),
        (host("\"sts\": \"perhaps\""), "means off"),
        (host("\"client-cert-required\": 0"), "on whatever its value is"),
        (host("\"access-log\": \"/a\", \"access-log\": \"/b\""), "stands here twice; the last one counts"),
        (host("\"ssl-option-set\": 1, \"ssl-option-set\": 2"), "OpenSSL"),
        (host("\"unix-socket-perms\": \"a:b\""), "no effect without"),
        (host("\"client-ssl-ca\": \"/ca\""), "without \"enable-client-ssl\""),
        (host("\"sts\": 1") + " trailing", "is not read"),
        (mount("\"mountpoint\": \"/\", \"origin\": \"callback://p\""), "\"p\" is not among"),
        (
            mount("\"mountpoint\": \"/\", \"origin\": \"file:///\", \"basic-auth\": \"/p\""),
            "reads the passwords",
        ),
        (
            host(
                r#""mounts": [ {"mountpoint": "/a", "origin": "file:///"}, {"mountpoint": "/a/", "origin": "file:///b"} ]"#,
            ),
            "nothing reaches this mount",
        ),
    ] {
        let (_, report) = text(&written);
        assert!(!report.fails_check() && !report.findings().is_empty(), "{written}\n{report}");
        let said = report.to_string();
        assert!(said.contains(wanted) && said.contains("warning: "), "{written}\n{said}");
    }
}

#[test]
fn switches_and_numbers_mean_what_they_mean_in_libwebsockets() {
    for (value, on) in [
        ("\"on\"", true),
        ("\"YES\"", true),
        ("\"True\"", true),
        ("true", true),
        ("1", true),
        ("\"10\"", true),
        ("\"1x\"", true),
        ("\"off\"", false),
        ("\"no\"", false),
        ("0", false),
        ("\"0\"", false),
        ("false", false),
        ("null", false),
        ("\"00\"", false),
    ] {
        let (config, _) = text(&host(&format!("\"sts\": {value}")));
        assert_eq!(config.vhosts[0].strict_transport_security, on, "{value}");
    }
}

#[test]
fn all_errors_of_all_files_are_found_at_once() {
    let texts = [
        ("conf", "{ \"global\": { \"uid\": \"x\" } }"),
        ("conf.d/a", "{ \"vhosts\": ["),
        ("conf.d/b", "{ \"vhosts\": [ { \"name\": \"b\", \"port\": \"eighty\" } ] }"),
        ("conf.d/c", "{ \"vhosts\": [ { \"name\": \"c\", \"port\": 80 } ] }"),
    ];
    let (config, report) = Config::from_texts(texts, &Options::default());
    let files: Vec<String> = report
        .findings()
        .iter()
        .filter_map(|finding| finding.location.as_ref())
        .map(|location| location.file.display().to_string())
        .collect();
    assert_eq!(files, ["conf", "conf.d/a", "conf.d/b"], "{report}");
    assert_eq!(config.vhosts.len(), 1, "what is right is there all the same");
}

#[test]
fn two_hosts_of_one_name_and_port_are_an_error_and_those_of_different_ones_are_not() {
    let hosts = |first: &str, second: &str| format!("{{ \"vhosts\": [ {{ {first} }}, {{ {second} }} ] }}");
    for (first, second, wrong) in [
        ("\"name\": \"a\", \"port\": 80", "\"name\": \"A\", \"port\": 80", true),
        ("\"name\": \"a\", \"port\": 80", "\"name\": \"a\", \"port\": 81", false),
        ("\"name\": \"a\", \"port\": 80", "\"name\": \"b\", \"port\": 80", false),
        ("\"name\": \"a\", \"port\": 80, \"interface\": \"lo\"", "\"name\": \"a\", \"port\": 80", false),
    ] {
        let (_, report) = text(&hosts(first, second));
        assert_eq!(report.has_errors(), wrong, "{first} | {second}\n{report}");
    }
}

#[test]
fn nothing_that_a_file_may_hold_makes_the_reader_fail() {
    let deep = format!("{{ \"vhosts\": {}{} }}", "[".repeat(200), "]".repeat(200));
    let many = format!("{{ \"vhosts\": [ {} ] }}", "{},".repeat(5_000));
    for written in [
        deep.as_str(),
        many.as_str(),
        "\u{0}",
        "\"",
        "#",
        "{\"\\ud800\":1}",
        "[1]",
        "1",
        "{\"vhosts\":[{\"a\":\"\u{feff}\"}]}",
    ] {
        let (_, report) = text(written);
        assert!(report.has_errors(), "{}", &written[..written.len().min(60)]);
        assert!(report.findings().len() <= Report::FINDINGS_MAX);
    }
    let (_, report) = text(&many);
    assert!(report.omitted() > 0);
}

#[test]
fn a_folder_is_read_in_the_order_of_names_with_links_and_without_backups() {
    let root = std::env::temp_dir().join(format!("lws-config-{}", std::process::id()));
    fs::create_dir_all(root.join("conf.d/below")).expect("a folder");
    let vhost = |name: &str| format!("{{ \"vhosts\": [ {{ \"name\": \"{name}\", \"port\": 80 }} ] }}");
    fs::write(root.join("conf"), "{}").expect("a file");
    for name in ["b", "a", "c~", "d.bak"] {
        fs::write(root.join("conf.d").join(name), vhost(name)).expect("a file");
    }
    fs::write(root.join("elsewhere"), vhost("linked")).expect("a file");
    std::os::unix::fs::symlink(root.join("elsewhere"), root.join("conf.d/0")).expect("a link");
    let (config, report) = Config::read(&root, &Options::default());
    let names: Vec<&str> = config.vhosts.iter().map(|vhost| vhost.name.as_str()).collect();
    assert_eq!(names, ["linked", "a", "b", "d.bak"]);
    assert_eq!(report.findings().len(), 1, "{report}");
    assert!(report.to_string().contains("d.bak:1:1: warning: read although"), "{report}");

    std::os::unix::fs::symlink(root.join("nowhere"), root.join("conf.d/e")).expect("a link");
    let (_, report) = Config::read(&root, &Options::default());
    assert!(
        report.has_errors() && report.to_string().contains("/conf.d/e:1:1: cannot be read: "),
        "{report}"
    );
    fs::remove_file(root.join("conf")).expect("it was there");
    let (_, report) = Config::read(&root, &Options::default());
    assert!(report.to_string().contains("/conf:1:1: cannot be read: "), "{report}");
    fs::remove_dir_all(root).expect("it was there");
}

#[test]
fn a_plan_names_what_changes_and_nothing_else() {
    let before = read("builder", &[]);
    assert!(Plan::between(&before, &before).is_empty());
    // The same, further down in its file.
    let (moved, _) = Config::from_texts(
        ["conf", "conf.d/example.org"].map(|name| {
            (name, format!("\n\n{}", fs::read_to_string(folder("builder").join(name)).expect("a file")))
        }),
        &Options::default(),
    );
    assert!(Plan::between(&before, &moved).is_empty());

    let mut after = before.clone();
    after.global.threads = Some(4);
    after.global.server = None;
    after.vhosts[0].headers.clear();
    after.vhosts[0].mounts[0].index = None;
    after.vhosts[0].mounts[1].path = "/new".to_owned();
    let mut added = after.vhosts[0].clone();
    added.name = "other".to_owned();
    after.vhosts.push(added);
    let plan = Plan::between(&before, &after);
    assert!(plan.needs_restart());
    assert_eq!(
        plan.to_string(),
        "~ global server\n! global threads: needs a restart\n~ example.org port 4444: headers\n    + /new\n    - /builder/browse\n    ~ /builder\n+ other port 4444\n"
    );
    let back = Plan::between(&after, &before);
    assert!(back.changes.contains(&Change::Removed { host: "other port 4444".to_owned() }), "{back}");
}

#[test]
fn what_is_printed_is_whole_but_for_secrets() {
    let json = read("builder", &[]).to_json();
    assert!(json.contains("/srv/builder") && json.contains("(redacted)"), "{json}");
    assert!(!json.contains("s3cr3t"), "{json}");
}

#[test]
fn the_schema_names_every_key_with_its_meaning() {
    let schema = lws_config::schema();
    for wanted in [
        "\"vhosts\"",
        "\"disable-no-protocol-ws-upgrades\"",
        "\"interceptor-path\"",
        "seconds that a program may take",
        "\"deprecated\": true",
    ] {
        assert!(schema.contains(wanted), "{wanted}");
    }
    assert!(!schema.contains("\"description\": \"\""));
}

#[test]
fn severities_are_in_order() {
    assert!(Severity::Warning < Severity::UnknownKey && Severity::UnknownKey < Severity::Error);
}

/// A file with one host whose certificates are ordered with these members of `acme` besides what it needs.
fn ordered(members: &str) -> String {
    let needed = r#""directory": "https://ca.example/directory", "state-directory": "/var/lib/lwsws", "terms-agreed": 1"#;
    let acme = format!(r#""acme": {{ {needed} {members} }}"#);
    format!(
        r#"{{ "global": {{ "init-ssl": 1 }}, "vhosts": [ {{ "name": "A.example", "port": 443, {acme} }} ] }}"#
    )
}

#[test]
fn a_host_may_order_its_certificates() {
    let (config, report) = text(&ordered(""));
    assert!(!report.fails_check(), "{report}");
    let acme = config.vhosts[0].acme.as_ref().expect("an order");
    assert_eq!(
        (&*acme.directory, acme.challenge),
        ("https://ca.example/directory", AcmeChallenge::TlsAlpn01)
    );
    assert_eq!((&acme.domains[..], acme.terms_agreed), (&["a.example".to_owned()][..], true));
    assert_eq!((&acme.contacts[..], &acme.directory_authorities), (&[][..], &None));
    let file = PathBuf::from("/var/lib/lwsws/a.example.pem");
    assert_eq!(acme.certificate_file(), file);
    let tls = config.vhosts[0].tls.as_ref().expect("TLS");
    assert_eq!((&tls.certificates, &tls.key), (&file, &file));

    let all = r#", "challenge": "http-01", "contact": ["mailto:a@a.example", "tel:1"],
        "domains": ["www.a.example", "a.example"], "directory-ca": "/etc/ca.pem""#;
    let (config, report) = text(&ordered(all));
    assert!(!report.fails_check(), "{report}");
    let acme = config.vhosts[0].acme.as_ref().expect("an order");
    assert_eq!((acme.challenge, acme.domains.len()), (AcmeChallenge::Http01, 2));
    assert_eq!((acme.contacts.len(), acme.directory_authorities.is_some()), (2, true));
    assert_eq!(acme.certificate_file(), PathBuf::from("/var/lib/lwsws/www.a.example.pem"));
    assert!(config.to_json().contains("\"http-01\"") && lws_config::schema().contains("state-directory"));
}

#[test]
fn the_key_of_an_external_account_is_read_and_never_shown() {
    let external =
        |key: &str| ordered(&format!(r#", "external-account-id": "kid-1", "external-account-key": "{key}""#));
    for key in ["bm90IGZvciBldmVyeWJvZHkg", "bm90LWZvcl9ldmVyeWJvZHk=", "bm90LWZvcl9ldmVyeWJvZHk"] {
        let (config, report) = text(&external(key));
        assert!(!report.fails_check(), "{report}");
        let account = config.vhosts[0].acme.as_ref().and_then(|acme| acme.external_account.as_ref());
        let account = account.expect("an account");
        assert_eq!((&*account.key_id, account.hmac_key.reveal()), ("kid-1", key));
        let shown = config.to_json();
        assert!(shown.contains("kid-1") && !shown.contains(key), "{shown}");
        assert!(!format!("{config:?}").contains(key));
    }
    for key in ["a+b/", "two words", "abcde", "="] {
        let (_, report) = text(&external(key));
        let said = report.to_string();
        assert!(report.has_errors() && said.contains("no key in base64url") && !said.contains(key), "{said}");
    }
    for half in [r#", "external-account-id": "a""#, r#", "external-account-key": "YWJj""#] {
        let (_, report) = text(&ordered(half));
        assert!(report.has_errors() && report.to_string().contains("go together"), "{report}");
    }
}

#[test]
fn what_no_certificate_can_be_ordered_with_is_an_error() {
    let domain = |domain: &str| ordered(&format!(", \"domains\": \"{domain}\""));
    let plugin =
        |options: &str| host(&format!(r#""ws-protocols": [ {{ "lws-acme-client": {{ {options} }} }} ]"#));
    let plain = "\"http://ca.example/\" is no https URL";
    for (written, wanted) in [
        (host("\"acme\": { }"), "/vhosts/0: \"acme\" without the \"directory\" of an authority"),
        (host("\"acme\": { }"), "/vhosts/0: \"acme\" without a \"state-directory\""),
        (ordered("").replace("https://ca.example/directory", "http://ca.example/"), plain),
        (
            ordered(", \"challenge\": \"dns-01\""),
            "\"dns-01\" is no challenge that can be had, which are tls-alpn-01",
        ),
        (ordered(", \"contact\": \"a@a.example\""), "is \"mailto:a@a.example\" meant?"),
        (ordered("").replace("A.example", "localhost"), "for \"localhost\": it has no dot"),
        (domain("*.a.example"), "for \"*.a.example\": a wildcard is validated in the DNS"),
        (domain("192.0.2.1"), "it is an address"),
        (domain("2001:db8::1"), "it is an address"),
        (domain("a..example"), "it is no name of the DNS"),
        (domain("ä.example"), "is written as xn--"),
        (domain("../../etc/a.b"), "it is no name of the DNS"),
        (ordered(&format!(", \"domains\": [ {} \"a.b\" ]", "\"a.b\",".repeat(100))), "more than 100 domains"),
        (
            ordered("").replace("\"acme\"", "\"host-ssl-cert\": \"a\", \"host-ssl-key\": \"b\", \"acme\""),
            "\"host-ssl-cert\" and \"host-ssl-key\" cannot stand beside \"acme\"",
        ),
        (plugin(""), "\"lws-acme-client\" is no protocol here: say \"acme\" in the virtual host"),
        (
            plugin(r#""email": "a@b", "directory-url": "x", "country": "NL", "cert-path": "/c", "odd": "1""#),
            "\"email\" is \"contact\", with mailto: before it, \"directory-url\" is \"directory\", \"country\" is left out",
        ),
    ] {
        let (_, report) = text(&written);
        assert!(report.has_errors() && report.to_string().contains(wanted), "{written}\n{report}");
    }
    let (_, report) = text(&ordered("").replace("\"terms-agreed\": 1", "\"terms-agreed\": 0"));
    assert!(!report.has_errors() && report.to_string().contains("terms of service"), "{report}");
}

#[test]
fn two_hosts_may_share_a_certificate_and_may_not_share_its_file() {
    let hosts = |second: &str| {
        let first = ordered("");
        let other = ordered(second).replace("443", "8443");
        let (_, other) = other.split_once("\"vhosts\": [").expect("hosts");
        first.strip_suffix("] }").expect("an end").to_owned() + "," + other
    };
    let (_, report) = text(&hosts(""));
    assert!(!report.fails_check(), "{report}");
    for second in [", \"domains\": [\"a.example\", \"b.example\"]", ", \"challenge\": \"http-01\""] {
        let (_, report) = text(&hosts(second));
        assert!(report.to_string().contains("is that of another host, whose \"acme\" differs"), "{report}");
    }
}
