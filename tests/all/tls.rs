//! TLS between our own two sides, in memory: what is agreed on, what is refused and why, however the bytes are cut.

use lws_loop_external::tls::{Alert, CertificateFault, Info, Provider, Reason};
use lws_proto::Time;
use lws_tls::{
    CertificateSlot, Client, ClientBuilder, ClientCertificates, ConfigError, Host, Identity, KeyLog, Pin,
    Resumption, Roots, Server, UnknownName, Validations,
};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tests::tls::{Authority, Issued, Link};

/// A root, and a certificate of it for `a.example`.
fn issued() -> (Authority, Issued) {
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example"]);
    (authority, issued)
}

fn client(authority: &Authority) -> ClientBuilder {
    Client::builder().roots(authority.roots())
}

fn to(client: ClientBuilder, name: &str) -> Arc<dyn Provider> {
    client.build().expect("a client").to(name).expect("a name")
}

fn host(host: Host) -> Server {
    Server::builder().default_host(host).build().expect("a server")
}

#[track_caller]
fn agreed(client: &dyn Provider, server: &dyn Provider) -> (Info, Info) {
    let mut link = Link::new(client, server);
    let infos = link.shake(usize::MAX);
    infos.unwrap_or_else(|| panic!("{:?}, {:?}", link.client.failure, link.server.failure))
}

/// Why each side says that a handshake failed.
#[track_caller]
fn failed(client: &dyn Provider, server: &dyn Provider) -> (Option<Reason>, Option<Reason>) {
    let mut link = Link::new(client, server);
    assert_eq!(link.shake(usize::MAX), None);
    (link.client.failure.map(|it| it.reason), link.server.failure.map(|it| it.reason))
}

#[test]
fn every_cut_of_handshake_and_records_gives_the_same() {
    let (authority, issued) = issued();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let server = host(Host::new(issued.identity()).versions(&[version]));
        let client = to(client(&authority), "a.example");
        for cut in [1, 2, 3, 4, 5, 6, 7, 13, 64, 255, 256, 1_000, usize::MAX] {
            let mut link = Link::new(&*client, &server);
            link.client.room = cut.min(40_000);
            let infos = link.shake(cut);
            let (ours, theirs) =
                infos.unwrap_or_else(|| panic!("{version} {cut}: {:?}", link.server.failure));
            assert_eq!((ours.version, theirs.version), (version, version));
            let long = vec![7; 40_000];
            link.server.seal(Time::ZERO, &[b"hello", &long, b"bye"]);
            link.server.close();
            for piece in std::mem::take(&mut link.server.out).chunks(cut) {
                link.client.receive(piece);
            }
            assert_eq!(link.client.plaintext, [&b"hello"[..], &long, b"bye"].concat(), "{version} {cut}");
            assert!(link.client.closed && link.client.failure.is_none());
        }
    }
}

#[test]
fn every_pair_of_cuts_of_a_short_exchange_gives_the_same() {
    let (authority, issued) = issued();
    let (client, server) = (to(client(&authority), "a.example"), issued.server());
    let mut link = Link::established(&*client, &server);
    let mut expected = Vec::new();
    // Records of one session follow each other: each cut has the next ones.
    for first in 0..120 {
        link.client.seal(Time::ZERO, &[b"one"]);
        link.client.seal(Time::ZERO, &[b"", b"tw", b"o"]);
        let way = std::mem::take(&mut link.client.out);
        expected.extend_from_slice(b"onetwo");
        let (one, rest) = way.split_at(first.min(way.len()));
        let (two, three) = rest.split_at(rest.len() / 2);
        for piece in [one, two, three] {
            link.server.receive(piece);
        }
        assert_eq!(link.server.plaintext, expected, "cut at {first}");
    }
}

#[test]
fn keys_of_every_kind_are_taken_from_pem_and_der() {
    let authority = Authority::new("root");
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let issued = authority.issue_with(algorithm, &["a.example"], |_| {});
        let key = rcgen::KeyPair::from_pem(&issued.key).expect("a key").serialize_der();
        for identity in [issued.identity(), Identity::der([issued.der.clone()], key)] {
            for version in ["TLSv1.2", "TLSv1.3"] {
                let server = host(Host::new(identity.clone()).versions(&[version]));
                agreed(&*to(client(&authority), "a.example"), &server);
            }
        }
    }
}

#[test]
fn both_sides_learn_what_was_agreed_on() {
    let (authority, issued) = issued();
    let server = Server::builder()
        .default_host(
            Host::new(issued.identity())
                .cipher_suites(&["TLS_CHACHA20_POLY1305_SHA256"])
                .groups(&["secp384r1"])
                .alpn(&["b", "a"]),
        )
        .build()
        .expect("a server");
    let client = to(client(&authority).alpn(&["a", "b"]), "A.example");
    let (ours, theirs) = agreed(&*client, &server);
    for info in [&ours, &theirs] {
        assert_eq!(
            (info.version, info.cipher_suite, info.group, info.resumed),
            ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", "secp384r1", false)
        );
        assert_eq!(info.server_name.as_deref(), Some("a.example"));
        assert_eq!(info.alpn.as_deref(), Some(&b"b"[..]), "the server prefers");
    }
    assert_eq!((ours.subject.as_deref(), theirs.subject.as_deref()), (Some("CN=a.example"), None));
    assert_eq!(ours.certificate.as_deref(), Some(&issued.der[..]));
    assert_eq!(theirs.to_string(), "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256 secp384r1 name=a.example alpn=b");
}

#[test]
fn a_client_says_which_certificate_is_not_good_and_why() {
    let (authority, issued) = issued();
    let other = Authority::new("other");
    let year = |year| {
        move |params: &mut rcgen::CertificateParams| {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(year, 1, 1), rcgen::date_time_ymd(year, 12, 31));
        }
    };
    let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
    let check = |client: ClientBuilder, issued: &Issued, expected: CertificateFault, alert: u8| {
        let client = to(client, "a.example");
        let (ours, theirs) = failed(&*client, &issued.server());
        let subject = if matches!(expected, CertificateFault::WrongName { .. }) {
            "CN=b.example"
        } else {
            "CN=a.example"
        };
        assert_eq!(ours, Some(Reason::Certificate { subject: subject.into(), fault: expected }));
        assert_eq!(theirs, Some(Reason::AlertReceived(Alert(alert))));
    };
    check(Client::builder().roots(other.roots()), &issued, CertificateFault::UnknownIssuer, 48);
    let old = authority.issue_with(ecdsa, &["a.example"], year(2001));
    check(client(&authority), &old, CertificateFault::Expired, 45);
    let early = authority.issue_with(ecdsa, &["a.example"], year(2999));
    check(client(&authority), &early, CertificateFault::NotYetValid, 45);
    let presented = Box::new(["DnsName(\"b.example\")".to_owned()]);
    let wrong = CertificateFault::WrongName { expected: "a.example".into(), presented };
    check(client(&authority), &authority.issue(&["b.example"]), wrong, 42);
    let pins = Client::builder().pins([Pin::Certificate(old.der), Pin::Sha256([7; 32])]);
    check(pins, &issued, CertificateFault::NotPinned, 49);
    let purpose = authority.issue_with(ecdsa, &["a.example"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    check(client(&authority), &purpose, CertificateFault::Purpose, 43);
}

#[test]
fn a_pinned_certificate_or_no_check_at_all_needs_no_root_and_no_name() {
    let (_, issued) = issued();
    let server = issued.server();
    let hash = rcgen_sha256(&issued.der);
    for client in [
        Client::builder().pins([Pin::Certificate(issued.der.clone())]),
        Client::builder().pins([Pin::Sha256(hash)]),
        Client::builder().danger_accept_any_certificate(),
    ] {
        agreed(&*to(client, "192.0.2.1"), &server);
    }
}

/// By another implementation than the one that is tested would be better; by the same provider has to do.
fn rcgen_sha256(bytes: &[u8]) -> [u8; 32] {
    use lws_tls::rustls::crypto::{hash::HashAlgorithm, ring};
    let suites = ring::default_provider().cipher_suites;
    let hash = suites.iter().filter_map(|suite| suite.tls13()).map(|suite| suite.common.hash_provider);
    let hash = hash.into_iter().find(|hash| hash.algorithm() == HashAlgorithm::SHA256).expect("SHA-256");
    hash.hash(bytes).as_ref().try_into().expect("32 bytes")
}

#[test]
fn an_exact_name_comes_first_then_the_nearest_parent_then_the_default() {
    let authority = Authority::new("root");
    let named = |name: &str| Host::new(authority.issue(&[name]).identity());
    let server = |policy| {
        Server::builder()
            .default_host(named("default"))
            .host("a.example", named("exact"))
            .host("*.example", named("below"))
            .host("*.b.example", named("nearer"))
            .unknown_name(policy)
            .build()
            .expect("a server")
    };
    let any = || Client::builder().danger_accept_any_certificate();
    let served = |server: &Server, name: &str| {
        let (ours, _) = agreed(&*to(any(), name), server);
        ours.subject.expect("a subject").to_string()
    };
    let lenient = server(UnknownName::Default);
    let strict = server(UnknownName::Refuse);
    for (name, expected) in [
        ("a.example", "CN=exact"),
        ("A.EXAMPLE", "CN=exact"),
        ("x.a.example", "CN=below"),
        ("b.example", "CN=below"),
        ("c.b.example", "CN=nearer"),
        ("d.c.b.example", "CN=nearer"),
    ] {
        assert_eq!(served(&lenient, name), expected, "{name}");
        assert_eq!(served(&strict, name), expected, "{name}");
    }
    for (name, default) in [("example", true), ("other", true), ("192.0.2.1", false)] {
        assert_eq!(served(&lenient, name), "CN=default");
        if default {
            let (ours, theirs) = failed(&*to(any(), name), &strict);
            assert_eq!(ours, Some(Reason::AlertReceived(Alert(112))), "{name}");
            assert_eq!(theirs, Some(Reason::UnknownName(Some(name.into()))));
        } else {
            assert_eq!(served(&strict, name), "CN=default", "no name at all");
        }
    }
    for (asked, host, same) in [
        (Some("x.example"), "y.example", [true, true]),
        (Some("a.example"), "x.example", [false, false]),
        (Some("a.example"), "A.example.", [true, true]),
        (Some("nowhere"), "nowhere", [true, false]),
        (Some("a.example"), "192.0.2.1", [false, false]),
        (None, "a.example", [false, false]),
        (None, "nowhere", [true, false]),
        (None, "192.0.2.1", [true, true]),
        (None, "[2001:db8::1]", [true, true]),
    ] {
        let found = [&lenient, &strict].map(|server| server.same_host(asked, host));
        assert_eq!(found, same, "{host} on a connection for {asked:?}");
    }
}

#[test]
fn a_client_certificate_is_required_or_requested_and_its_subject_seen() {
    let (authority, issued) = issued();
    let alice = authority.issue(&["alice"]);
    let mallory = Authority::new("root").issue(&["mallory"]);
    let server = |clients| host(Host::new(issued.identity()).client_certificates(clients));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let client = |identity: Option<&Issued>| {
            let builder = client(&authority).versions(&[version]);
            to(identity.into_iter().fold(builder, |it, issued| it.identity(issued.identity())), "a.example")
        };
        let required = server(ClientCertificates::Require(authority.roots()));
        let requested = server(ClientCertificates::Request(authority.roots()));
        for server in [&required, &requested] {
            let (_, theirs) = agreed(&*client(Some(&alice)), server);
            assert_eq!(theirs.subject.as_deref(), Some("CN=alice"));
            let (_, theirs) = failed(&*client(Some(&mallory)), server);
            let Some(Reason::Certificate { subject, .. }) = theirs else { panic!("{theirs:?}") };
            assert_eq!(&*subject, "CN=mallory");
        }
        let (_, theirs) = failed(&*client(None), &required);
        assert_eq!(theirs, Some(Reason::NoCertificate));
        let (_, theirs) = agreed(&*client(None), &requested);
        assert_eq!(theirs.subject, None);
    }
}

#[test]
fn a_resumed_client_is_known_by_its_certificate_until_the_trusted_roots_are_read_again() {
    let (authority, issued) = issued();
    let alice = authority.issue(&["alice"]);
    let roots = std::env::temp_dir().join(format!("lws-tls-roots-{}.pem", std::process::id()));
    for version in ["TLSv1.2", "TLSv1.3"] {
        for resumption in [Resumption::Tickets, Resumption::Cache(8)] {
            std::fs::write(&roots, authority.pem()).expect("a file");
            let required = ClientCertificates::Require(Roots::file(&roots));
            let server =
                host(Host::new(issued.identity()).client_certificates(required).resumption(resumption));
            let client = to(client(&authority).identity(alice.identity()).versions(&[version]), "a.example");
            agreed(&*client, &server);
            let (_, again) = agreed(&*client, &server);
            assert_eq!((again.resumed, again.subject.as_deref()), (true, Some("CN=alice")));
            server.reload().expect("the same again");
            assert!(!agreed(&*client, &server).1.resumed, "{version} {resumption:?}");
            std::fs::write(&roots, Authority::new("another").pem()).expect("a file");
            server.reload().expect("other roots");
            let (_, theirs) = failed(&*client, &server);
            assert!(
                matches!(theirs, Some(Reason::Certificate { .. })),
                "{version} {resumption:?}: {theirs:?}"
            );
        }
    }
    std::fs::remove_file(&roots).expect("a file");
}

#[test]
fn a_client_keeps_sessions_of_as_many_servers_as_configured() {
    let (authority, issued) = issued();
    let server = issued.server();
    let names: Vec<_> = (0..10).map(|number| format!("{number}.example")).collect();
    let client = Client::builder().pins([Pin::Certificate(issued.der.clone())]).sessions_max(names.len() - 1);
    drop(authority);
    let client = client.build().expect("a client");
    let resumed = |name: &String| agreed(&*client.to(name).expect("a name"), &server).0.resumed;
    for name in &names[1..] {
        assert!(!resumed(name));
    }
    for name in &names[1..] {
        assert!(resumed(name), "{name}");
    }
    assert!(!resumed(&names[0]));
    assert!(!resumed(&names[1]), "the oldest went");
}

#[test]
fn what_both_sides_do_not_have_in_common_is_reported() {
    let (authority, issued) = issued();
    let check = |client: ClientBuilder, server: Host, expected: &str, alert: u8| {
        let (ours, theirs) = failed(&*to(client, "a.example"), &host(server));
        assert_eq!(theirs.as_ref().map(Reason::name), Some(expected), "{theirs:?}");
        assert_eq!(ours, Some(Reason::AlertReceived(Alert(alert))));
    };
    let server = || Host::new(issued.identity());
    let client = || client(&authority);
    check(client().versions(&["TLSv1.2"]), server().versions(&["TLSv1.3"]), "tls_incompatible", 70);
    check(
        client().cipher_suites(&["TLS_AES_128_GCM_SHA256"]).versions(&["TLSv1.3"]),
        server().cipher_suites(&["TLS_AES_256_GCM_SHA384"]).versions(&["TLSv1.3"]),
        "tls_incompatible",
        40,
    );
    check(client().groups(&["x25519"]), server().groups(&["secp256r1"]), "tls_incompatible", 40);
    check(client().alpn(&["x"]), server().alpn(&["y"]), "tls_no_protocol", 120);
}

#[test]
fn sessions_are_resumed_with_tickets_and_a_cache_and_not_at_all() {
    let (authority, issued) = issued();
    for version in ["TLSv1.2", "TLSv1.3"] {
        for (resumption, resumed) in
            [(Resumption::Tickets, true), (Resumption::Cache(8), true), (Resumption::Off, false)]
        {
            let server = host(Host::new(issued.identity()).resumption(resumption).versions(&[version]));
            let client = to(client(&authority), "a.example");
            let (first, _) = agreed(&*client, &server);
            let (_, again) = agreed(&*client, &server);
            assert!(!first.resumed);
            assert_eq!(again.resumed, resumed, "{version} {resumption:?}");
            server.reload().expect("the same again");
            let (_, reloaded) = agreed(&*client, &server);
            assert_eq!(reloaded.resumed, resumed, "{version} {resumption:?}, after a reload");
        }
        let server = issued.server();
        let client = to(client(&authority).sessions_max(0).versions(&[version]), "a.example");
        agreed(&*client, &server);
        assert!(!agreed(&*client, &server).1.resumed, "a client that keeps none");
    }
}

#[test]
fn an_ocsp_staple_reaches_the_client_as_it_is() {
    #[derive(Debug)]
    struct Seen(Arc<Mutex<Vec<u8>>>);
    use lws_tls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use lws_tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use lws_tls::rustls::{self, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
    impl ServerCertVerifier for Seen {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            ocsp: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            self.0.lock().expect("a lock").extend_from_slice(ocsp);
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ECDSA_NISTP256_SHA256]
        }
    }
    let (_, issued) = issued();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Seen(Arc::clone(&seen))))
        .with_no_client_auth();
    let client = Client::ready(Arc::new(config)).to("a.example").expect("a name");
    agreed(&*client, &host(Host::new(issued.identity().ocsp_staple(*b"a response"))));
    assert_eq!(*seen.lock().expect("a lock"), b"a response");
}

#[test]
fn secrets_go_to_the_sink_that_was_asked_for() {
    let (authority, issued) = issued();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let log = KeyLog::sink(move |line| sink.lock().expect("a lock").push(line.to_owned()));
    let server = Server::builder().default_host(Host::new(issued.identity())).key_log(log).build();
    agreed(&*to(client(&authority), "a.example"), &server.expect("a server"));
    let lines = lines.lock().expect("a lock");
    let labels: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET"] {
        assert!(labels.contains(&label), "{labels:?}");
    }
    let fields: Vec<_> = lines[0].split(' ').map(str::len).collect();
    assert_eq!((fields.len(), fields[1]), (3, 64), "{}", lines[0]);
}

#[test]
fn new_certificates_are_used_from_then_on_and_a_bad_pair_changes_nothing() {
    let authority = Authority::new("root");
    let (old, new) = (authority.issue(&["old"]), authority.issue(&["new"]));
    let folder = std::env::temp_dir().join(format!("lws-tls-reload-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let write = |pem: &str, key_pem: &str| {
        std::fs::write(&certificate, pem).expect("a file");
        std::fs::write(&key, key_pem).expect("a file");
    };
    write(&old.pem, &old.key);
    let server = Server::from_files(&certificate, &key).expect("a server");
    let any = || to(Client::builder().danger_accept_any_certificate(), "a.example");
    let served = || {
        let subject = agreed(&*any(), &server).0.subject.expect("a subject").to_string();
        let reported: Vec<_> = server.certificates().into_iter().map(|it| it.subject.to_string()).collect();
        assert_eq!(reported, [&*subject]);
        subject
    };
    assert_eq!(served(), "CN=old");
    let mut before = Link::established(&*any(), &server);

    for (pem, key_pem, expected) in [
        (&*new.pem, &*old.key, "cert.pem: the private key belongs to another certificate"),
        ("", &*old.key, "cert.pem: there is no certificate in it"),
        (&*new.pem, "", "key.pem: there is no private key in it"),
        (&*new.pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cert.pem: "),
    ] {
        write(pem, key_pem);
        let error = server.reload().expect_err("a bad pair").to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(served(), "CN=old", "{error}");
    }
    std::fs::remove_file(&key).expect("a file");
    assert!(matches!(server.reload(), Err(ConfigError::Read { .. })));
    assert_eq!(served(), "CN=old");

    write(&new.pem, &new.key);
    server.reload().expect("a good pair");
    assert_eq!(served(), "CN=new");
    before.client.seal(Time::ZERO, &[b"still there"]);
    let way = std::mem::take(&mut before.client.out);
    before.server.receive(&way);
    assert_eq!(before.server.plaintext, b"still there");
    std::fs::remove_dir_all(&folder).expect("a folder");
}

#[test]
fn a_server_says_until_when_its_certificates_are_good() {
    let authority = Authority::new("root");
    let old = authority.issue_with(&rcgen::PKCS_ED25519, &["b.example"], |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2001, 9, 9));
    });
    let server = Server::builder()
        .default_host(Host::new(authority.issue(&["a.example"]).identity()))
        .host("*.B.example", Host::new(old.identity()))
        .build()
        .expect("an expired certificate is served all the same");
    let [default, below] = &server.certificates()[..] else { panic!("two hosts") };
    assert_eq!((default.host.as_deref(), &*default.subject), (None, "CN=a.example"));
    assert!(default.not_before < SystemTime::now() && SystemTime::now() < default.not_after);
    assert_eq!((below.host.as_deref(), &*below.subject), (Some("*.b.example"), "CN=b.example"));
    let last = below.not_after.duration_since(SystemTime::UNIX_EPOCH).expect("behind 1970");
    assert_eq!(last.as_secs(), 999_993_600);
}

#[test]
fn what_cannot_be_configured_is_reported_before_anything_is_served() {
    let (authority, issued) = issued();
    let check = |error: Option<ConfigError>, expected: &str| {
        let error = error.expect("an error").to_string();
        assert!(error.contains(expected), "{error}");
    };
    let build = |host| Server::builder().default_host(host).build().err();
    check(Server::builder().build().err(), "needs a host");
    check(build(Host::new(issued.identity()).versions(&["SSLv3"])), "unknown version SSLv3");
    check(build(Host::new(issued.identity()).cipher_suites(&["NULL"])), "unknown cipher suite NULL");
    check(build(Host::new(issued.identity()).groups(&["p-1"])), "unknown group p-1");
    check(
        build(Host::new(issued.identity()).versions(&["TLSv1.2"]).cipher_suites(&["TLS_AES_128_GCM_SHA256"])),
        "no usable cipher suites",
    );
    check(build(Host::new(Identity::files("/nowhere", "/nowhere"))), "/nowhere: No such file");
    check(build(Host::new(Identity::pem("", ""))), "there is no certificate");
    check(build(Host::new(Identity::files("/dev/zero", "/dev/zero"))), "/dev/zero: more than 1048576 bytes");
    check(build(Host::new(Identity::files("/", "/"))), "/: Is a directory");
    let pem = |key: &str| build(Host::new(Identity::pem(&*issued.pem, key)));
    for key in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\r\nAAAA\r\n-----END ENCRYPTED PRIVATE KEY-----\r\n",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n",
    ] {
        check(pem(key), "the key in memory: the private key is encrypted; `openssl pkey -in");
    }
    check(pem("-----BEGIN PRIVATE KEY-----\nAAAA\n"), "there is no -----END PRIVATE KEY-----");
    check(pem("-----BEGIN PRIVATE KEY\n"), "a section begins with -----BEGIN PRIVATE KEY");
    check(pem(&authority.issue(&["b.example"]).key), "the private key belongs to another certificate");
    check(build(Host::new(Identity::pem(&*issued.der, &*issued.key))), "this is DER and not PEM");
    let key = rcgen::KeyPair::from_pem(&issued.key).expect("a key").serialize_der();
    check(build(Host::new(Identity::der([b"no".to_vec()], key))), "the certificate in memory: ");
    check(build(Host::new(Identity::der([issued.der.clone()], b"no"))), "the key in memory: ");
    let require = ClientCertificates::Require(Roots::default());
    check(build(Host::new(issued.identity()).client_certificates(require)), "there is no root");
    let host = || Host::new(issued.identity());
    check(Server::builder().host("no name", host()).build().err(), "no such server name: no name");
    check(Server::builder().host("a.b", host()).host("A.b", host()).build().err(), "two hosts with one name");
    check(client(&authority).build().expect("a client").to("no name").err(), "no such server name: no name");
    check(Client::builder().roots(Roots::pem("nothing")).build().err(), "there is no root");
}

#[test]
fn what_is_no_tls_and_what_breaks_its_rules_is_distinguished() {
    let (authority, issued) = issued();
    let server = issued.server();
    let mut link = Link::new(&*to(client(&authority), "a.example"), &server);
    link.server.receive(b"GET / HTTP/1.1\r\n\r\n");
    let failure = link.server.failure.expect("a failure");
    assert_eq!(failure.reason, Reason::NotTls);

    let mut link = Link::established(&*to(client(&authority), "a.example"), &server);
    link.client.seal(Time::ZERO, &[b"hello"]);
    let mut way = std::mem::take(&mut link.client.out);
    *way.last_mut().expect("bytes") ^= 1;
    link.server.receive(&way);
    let failure = link.server.failure.take().expect("a failure");
    assert!(matches!(failure.reason, Reason::Violation(_)), "{failure}");
    assert_eq!(failure.sent, Some(Alert(20)));
    let way = std::mem::take(&mut link.server.out);
    link.client.receive(&way);
    let failure = link.client.failure.expect("a failure");
    assert_eq!(failure.reason, Reason::AlertReceived(Alert(20)));
    assert_eq!(failure.name(), "tls_alert_received");
    assert_eq!(link.server.session.seal(Time::ZERO, &[b"x"], &mut Vec::new()), 0, "it is over");
}

#[test]
fn a_certificate_in_a_slot_is_replaced_without_a_reload() {
    let authority = Authority::new("root");
    let [first, second] = [1, 2].map(|_| authority.issue(&["a.example"]));
    let slot = CertificateSlot::new(&first.identity()).expect("a certificate");
    let server = Server::builder()
        .default_host(Host::new(authority.issue(&["default.example"]).identity()))
        .host("a.example", Host::new(Identity::slot(&slot)))
        .build()
        .expect("a server");
    let client = to(client(&authority), "a.example");
    let shown = |client: &dyn Provider| agreed(client, &server).0.certificate;
    assert_eq!(shown(&*client).as_deref(), Some(&first.der[..]));
    // What does not belong together changes nothing.
    let wrong = Identity::pem(&*second.pem, &*first.key);
    assert!(matches!(slot.replace(&wrong), Err(ConfigError::KeyMismatch { .. })));
    assert!(CertificateSlot::new(&wrong).is_err());
    // A session that began before is resumed; a new client gets the new certificate.
    slot.replace(&second.identity()).expect("a certificate");
    assert!(agreed(&*client, &server).1.resumed);
    let new = to(self::client(&authority), "a.example");
    assert_eq!(shown(&*new).as_deref(), Some(&second.der[..]));
    // It stays when everything is read again.
    server.reload().expect("the same");
    let new = to(self::client(&authority), "a.example");
    assert_eq!(shown(&*new).as_deref(), Some(&second.der[..]));
    let other = authority.issue_with(&rcgen::PKCS_ED25519, &["a.example"], |params| {
        params.not_after = rcgen::date_time_ymd(2031, 1, 1);
    });
    slot.replace(&other.identity()).expect("a certificate");
    let shown = server.certificates();
    let names: Vec<_> = shown.iter().map(|certificate| certificate.host.as_deref()).collect();
    assert_eq!(names, [None, Some("a.example")]);
    let end = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_924_992_000);
    assert_eq!(shown[1].not_after, end);
    assert_eq!(slot.certificate().map(|it| it.not_after), Some(shown[1].not_after));
}

#[test]
fn who_validates_a_name_gets_its_own_certificate_and_nothing_else() {
    let (authority, issued) = issued();
    let proof = authority.issue(&["proof.example"]);
    let key = rcgen::KeyPair::from_pem(&proof.key).expect("a key").serialize_der();
    let validations = Validations::default();
    let server =
        Server::builder().default_host(Host::new(issued.identity())).validations(&validations).build();
    let server = server.expect("a server");
    let client =
        |name: &str, alpn: &[&str]| to(Client::builder().danger_accept_any_certificate().alpn(alpn), name);
    let validating = || client("A.example", &["acme-tls/1"]);
    assert_eq!(failed(&*validating(), &server).1, Some(Reason::NoProtocol), "nothing to be validated");
    assert!(validations.insert("a.example", proof.der.clone(), b"no key".to_vec()).is_err());
    validations.insert("a.EXAMPLE", proof.der.clone(), key).expect("a key");

    let mut link = Link::established(&*validating(), &server);
    let info = link.client.session.info();
    assert_eq!(info.certificate.as_deref(), Some(&proof.der[..]));
    assert_eq!(info.alpn.as_deref(), Some(&b"acme-tls/1"[..]));
    assert!(link.server.closed, "nothing more is expected");
    link.client.seal(Time::ZERO, &[b"GET / HTTP/1.1\r\n\r\n"]);
    let way = std::mem::take(&mut link.client.out);
    link.server.receive(&way);
    assert!(link.server.plaintext.is_empty() && link.server.failure.is_none());

    // All others are served as ever.
    let shown = |name: &str, alpn: &[&str]| agreed(&*client(name, alpn), &server).0.certificate;
    assert_eq!(shown("a.example", &["http/1.1"]).as_deref(), Some(&issued.der[..]));
    assert_eq!(shown("a.example", &["acme-tls/1", "http/1.1"]).as_deref(), Some(&issued.der[..]));
    let refused = failed(&*client("b.example", &["acme-tls/1"]), &server);
    assert_eq!(refused.1, Some(Reason::NoProtocol));
    // New hosts present it, too, until it is taken away.
    Server::builder()
        .default_host(Host::new(issued.identity()))
        .validations(&validations)
        .prepare(&server)
        .expect("hosts")
        .apply();
    agreed(&*validating(), &server);
    validations.remove("A.example");
    assert_eq!(failed(&*validating(), &server).1, Some(Reason::NoProtocol));
}
