//! Issuances with an authority in memory, which checks every signature, nonce and URL, and answers what a row says instead.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lws_acme::{
    AccountKey, CertificateId, CertificateKey, ChallengeKind, ExternalAccount, Failure, FailureKind,
    Issuance, Method, OrderRequest, RESPONSE_BYTES_MAX, RenewalCheck, RenewalInfo, RenewalStep, Request,
    Response, Step, Validation,
};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

const NOW: i64 = 1_764_547_200;
const CHAIN: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

/// A response that owns what it says.
#[derive(Clone, Debug, Default)]
struct Reply {
    status: u16,
    location: Option<String>,
    retry_after: Option<String>,
    body: Vec<u8>,
    /// Whether there is no `Replay-Nonce`.
    without_nonce: bool,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string().into_bytes(), ..Self::default() }
    }

    fn problem(status: u16, name: &str) -> Self {
        let kind = format!("urn:ietf:params:acme:error:{name}");
        Self::json(status, &json!({ "type": kind, "detail": "because" }))
    }

    fn located(self, url: &str) -> Self {
        Self { location: Some(url.to_owned()), ..self }
    }

    fn retry_after(self, text: &str) -> Self {
        Self { retry_after: Some(text.to_owned()), ..self }
    }
}

/// The authority. Its URLs end in what they are for.
#[derive(Default)]
struct Authority {
    nonces: BTreeSet<String>,
    nonces_given: u32,
    jwk: Value,
    challenged: BTreeSet<String>,
    finalized: bool,
    /// What is answered instead, the first that fits: to the URL that ends so, so many times.
    instead: Vec<(&'static str, usize, Reply)>,
    /// Requests, by the ends of their URLs.
    asked: Vec<String>,
    /// How often an authorization and the order are read before they are done.
    polls: usize,
    /// Whether it says when certificates are to be renewed.
    has_renewal_info: bool,
    /// What orders were said to replace.
    replaced: Vec<Value>,
    /// The binding of the account.
    binding: Value,
}

fn at(path: &str) -> String {
    format!("https://ca.example/{path}")
}

impl Authority {
    fn nonce(&mut self) -> String {
        self.nonces_given += 1;
        let nonce = format!("nonce-{}", self.nonces_given);
        self.nonces.insert(nonce.clone());
        nonce
    }

    /// Checks the signature of a request, and answers its payload.
    fn verify(&mut self, request: &Request) -> Value {
        let decode =
            |text: &Value| URL_SAFE_NO_PAD.decode(text.as_str().expect("a text")).expect("base64url");
        let jws: Value = serde_json::from_str(&request.body).expect("a JWS");
        let header: Value = serde_json::from_slice(&decode(&jws["protected"])).expect("a header");
        assert_eq!((&header["alg"], &header["url"]), (&json!("ES256"), &json!(request.url)));
        if request.url.ends_with("/account") {
            self.jwk = header["jwk"].clone();
            assert_eq!(header["kid"], Value::Null);
        } else {
            assert_eq!((&header["kid"], &header["jwk"]), (&json!(at("accounts/1")), &Value::Null));
        }
        let point = [&[4][..], &decode(&self.jwk["x"]), &decode(&self.jwk["y"])].concat();
        let text = |member: &str| jws[member].as_str().expect("a text").to_owned();
        let message = format!("{}.{}", text("protected"), text("payload"));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(message.as_bytes(), &decode(&jws["signature"]))
            .expect("a good signature");
        let nonce = header["nonce"].as_str().expect("a nonce");
        assert!(self.nonces.remove(nonce), "{nonce} is not good any more");
        match decode(&jws["payload"]) {
            empty if empty.is_empty() => Value::Null,
            payload => serde_json::from_slice(&payload).expect("JSON"),
        }
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let payload = match request.method {
            Method::Post => self.verify(request),
            _ => Value::Null,
        };
        let path =
            request.url.strip_prefix("https://ca.example/").expect("a URL of the authority").to_owned();
        self.asked.push(path.clone());
        match path.as_str() {
            "order" => self.replaced.push(payload["replaces"].clone()),
            "account" => self.binding = payload["externalAccountBinding"].clone(),
            _ => {}
        }
        let instead = self.instead.iter_mut().find(|(end, times, _)| path == *end && *times > 0);
        if let Some((_, times, reply)) = instead {
            *times -= 1;
            return reply.clone();
        }
        match path.as_str() {
            "directory" if self.has_renewal_info => {
                let mut reply = directory(&Value::Null);
                reply.body.pop();
                reply.body.extend_from_slice(br#","renewalInfo":"https://ca.example/renewal"}"#);
                reply
            }
            "directory" => directory(&json!({ "termsOfService": "https://ca.example/terms" })),
            "nonce" => Reply { status: 200, ..Reply::default() },
            "account" => {
                assert_eq!(payload["termsOfServiceAgreed"], true);
                assert_eq!(payload["contact"], json!(["mailto:admin@example.org"]));
                Reply::json(201, &json!({ "status": "valid" })).located(&at("accounts/1"))
            }
            "order" => {
                assert_eq!(payload["identifiers"][0], json!({ "type": "dns", "value": "a.example" }));
                self.order(201).located(&at("orders/1"))
            }
            "orders/1" => self.order(200),
            "finalize/1" => {
                assert!(!payload["csr"].as_str().expect("a CSR").is_empty());
                self.finalized = true;
                self.order(200)
            }
            "certificate/1" => Reply { status: 200, body: CHAIN.into(), ..Reply::default() },
            path => match path.split_once('/').expect("a path") {
                ("authorization", domain) => self.authorization(domain),
                ("challenge", domain) => {
                    assert_eq!(payload, json!({}));
                    self.challenged.insert(domain.to_owned());
                    Reply::json(200, &json!({ "status": "processing" }))
                }
                _ => panic!("{path}"),
            },
        }
    }

    fn take_poll(&mut self) -> bool {
        let more = self.polls > 0;
        self.polls = self.polls.saturating_sub(1);
        more
    }

    fn authorization(&mut self, domain: &str) -> Reply {
        let is_valid = self.challenged.contains(domain) && !self.take_poll();
        authorization(
            domain,
            if is_valid { "valid" } else { "pending" },
            &["dns-01", "http-01", "tls-alpn-01"],
        )
    }

    fn order(&mut self, status: u16) -> Reply {
        let is_ready = self.challenged.len() == 2;
        let is_issued = self.finalized && !self.take_poll();
        let word = match (self.finalized, is_issued) {
            (true, true) => "valid",
            (true, false) => "processing",
            (false, _) if is_ready => "ready",
            (false, _) => "pending",
        };
        Reply::json(status, &order(word))
    }
}

fn directory(meta: &Value) -> Reply {
    let (nonce, account, order) = (at("nonce"), at("account"), at("order"));
    Reply::json(200, &json!({ "newNonce": nonce, "newAccount": account, "newOrder": order, "meta": meta }))
}

fn order(status: &str) -> Value {
    json!({
        "status": status,
        "authorizations": [at("authorization/a.example"), at("authorization/b.example")],
        "finalize": at("finalize/1"),
        "certificate": (status == "valid").then(|| at("certificate/1")),
    })
}

fn authorization(domain: &str, status: &str, kinds: &[&str]) -> Reply {
    let challenge = |kind: &&str| {
        let error = (status == "invalid")
            .then(|| json!({ "type": "urn:ietf:params:acme:error:connection", "detail": "no route" }));
        json!({ "type": kind, "url": at(&format!("challenge/{domain}")), "token": format!("token-{}", &domain[..1]), "error": error })
    };
    let challenges: Vec<_> = kinds.iter().map(challenge).collect();
    let identifier = json!({ "type": "dns", "value": domain });
    Reply::json(200, &json!({ "identifier": identifier, "status": status, "challenges": challenges }))
}

fn wanted() -> OrderRequest {
    OrderRequest {
        directory: at("directory"),
        contacts: vec!["mailto:admin@example.org".into()],
        terms_agreed: true,
        domains: vec!["A.example".into(), "b.example".into()],
        challenge: ChallengeKind::Http01,
        external_account: None,
        replaces: None,
    }
}

/// What came of an issuance.
struct Outcome {
    result: Result<String, Failure>,
    published: Vec<Validation>,
    waits: Vec<Duration>,
}

fn run(authority: &mut Authority, wanted: OrderRequest, key: &AccountKey) -> Outcome {
    let csr = CertificateKey::generate().and_then(|key| key.request(&wanted.domains)).unwrap_or_default();
    let mut issuance = Issuance::new(wanted, key.clone(), csr);
    let (mut published, mut waits) = (Vec::new(), Vec::new());
    // Whatever an authority answers, it comes to an end.
    for _ in 0..2_000 {
        match issuance.step() {
            Step::Send(request) => {
                let request = request.clone();
                let reply = authority.answer(&request);
                let nonce =
                    (!reply.without_nonce && request.method != Method::Get).then(|| authority.nonce());
                let response = Response {
                    status: reply.status,
                    nonce: nonce.as_deref(),
                    location: reply.location.as_deref(),
                    retry_after: reply.retry_after.as_deref(),
                    body: &reply.body,
                };
                issuance.received(NOW, &response);
            }
            Step::Publish(validation) => {
                published.push(validation.clone());
                issuance.published();
            }
            Step::Wait(duration) => {
                waits.push(duration);
                issuance.waited();
            }
            Step::Done(chain) => return Outcome { result: Ok(chain.to_owned()), published, waits },
            Step::Failed(failure) => return Outcome { result: Err(failure.clone()), published, waits },
        }
    }
    panic!("the issuance has no end: {:?}", &authority.asked[authority.asked.len() - 10..]);
}

fn key() -> AccountKey {
    AccountKey::generate().expect("a key")
}

fn instead(instead: Vec<(&'static str, usize, Reply)>) -> Authority {
    Authority { instead, ..Authority::default() }
}

fn failure(authority: &mut Authority) -> Failure {
    run(authority, wanted(), &key()).result.expect_err("a failure")
}

/// What comes of an order if the authority answers this to the URL with this end, so many times.
fn answered(end: &'static str, times: usize, reply: Reply) -> Result<String, String> {
    let mut authority = instead(vec![(end, times, reply)]);
    run(&mut authority, wanted(), &key()).result.map_err(|failure| failure.to_string())
}

#[test]
fn an_order_of_two_domains_leads_to_a_certificate() {
    let (mut authority, key) = (Authority::default(), key());
    let outcome = run(&mut authority, wanted(), &key);
    assert_eq!(outcome.result.as_deref(), Ok(CHAIN));
    let published: Vec<_> = outcome.published.iter().map(|it| (&*it.domain, &*it.token)).collect();
    assert_eq!(published, [("a.example", "token-a"), ("b.example", "token-b")]);
    assert_eq!(outcome.published[0].key_authorization, key.key_authorization("token-a"));
    let asked = [
        "directory",
        "nonce",
        "account",
        "order",
        "authorization/a.example",
        "challenge/a.example",
        "authorization/a.example",
        "authorization/b.example",
        "challenge/b.example",
        "authorization/b.example",
        "orders/1",
        "finalize/1",
        "certificate/1",
    ];
    assert_eq!(authority.asked, asked);
}

#[test]
fn a_key_that_was_kept_is_the_same_account() {
    let key = key();
    let kept = AccountKey::from_pem(&key.to_pem()).expect("the key");
    assert_eq!(kept.key_authorization("t"), key.key_authorization("t"));
    assert!(AccountKey::from_pem("no key").is_err());
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key").serialize_pem();
    let why = AccountKey::from_pem(&other).expect_err("of another curve").to_string();
    assert!(why.contains("P-256"), "{why}");
}

#[test]
fn a_validation_by_tls_has_the_digest_in_a_critical_extension() {
    let outcome = run(
        &mut Authority::default(),
        OrderRequest { challenge: ChallengeKind::TlsAlpn01, ..wanted() },
        &key(),
    );
    let validation = &outcome.published[0];
    assert_eq!(validation.kind, ChallengeKind::TlsAlpn01);
    let (certificate, _) = validation.certificate().expect("a certificate");
    let digest = ring::digest::digest(&ring::digest::SHA256, validation.key_authorization.as_bytes());
    // id-pe-acmeIdentifier, critical, with an OCTET STRING in the OCTET STRING of the extension: RFC 8737 §3.
    let extension =
        [&b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff\x04\x22\x04\x20"[..], digest.as_ref()]
            .concat();
    assert!(certificate.windows(extension.len()).any(|window| window == extension));
}

#[test]
fn authorizations_and_orders_are_read_again_until_they_are_done() {
    let mut authority = Authority { polls: 5, ..Authority::default() };
    let outcome = run(&mut authority, wanted(), &key());
    assert!(outcome.result.is_ok());
    let seconds: Vec<_> = outcome.waits.iter().map(Duration::as_secs).collect();
    // All of the first authorization, then one of the second.
    assert_eq!(seconds, [1, 1, 1, 1, 2, 3, 1]);
}

#[test]
fn an_authority_that_is_never_done_is_given_up() {
    let check = |instead: Vec<(&'static str, usize, Reply)>, polls: usize| {
        let mut authority = Authority { instead, polls, ..Authority::default() };
        let outcome = run(&mut authority, wanted(), &key());
        assert_eq!(outcome.result.expect_err("too late").kind, FailureKind::TooLate);
        let waited: Duration = outcome.waits.iter().sum();
        assert!((500..=660).contains(&waited.as_secs()), "{waited:?}");
        assert!(outcome.waits.iter().all(|wait| (1..=60).contains(&wait.as_secs())));
    };
    let always = |end, status| (end, usize::MAX, Reply::json(200, &order(status)));
    check(Vec::new(), usize::MAX);
    check(vec![always("orders/1", "pending")], 0);
    check(vec![always("orders/1", "processing")], 0);
    // One that is ready again and again after it was finalized.
    check(vec![always("finalize/1", "ready"), always("orders/1", "ready")], 0);
}

#[test]
fn the_wait_is_as_long_as_the_authority_says_within_bounds() {
    let check = |text: &str, seconds: u64| {
        let challenge = Reply::json(200, &json!({})).retry_after(text);
        let pending = authorization("a.example", "pending", &["http-01"]);
        let instead = vec![("challenge/a.example", 1, challenge), ("authorization/a.example", 1, pending)];
        let mut authority = Authority { instead, ..Authority::default() };
        authority.challenged.insert("a.example".into());
        let outcome = run(&mut authority, wanted(), &key());
        assert_eq!(outcome.waits.first().map(Duration::as_secs), Some(seconds), "{text}");
    };
    check("7", 7);
    check("0", 1);
    check("9999999", 60);
    check("99999999999999999999999", 1);
    check("soon", 1);
    check("Mon, 01 Dec 2025 00:00:09 GMT", 9);
    check("Mon, 01 Dec 2024 00:00:09 GMT", 1);
}

#[test]
fn a_nonce_that_was_refused_is_replaced() {
    for times in [1, 5] {
        assert!(answered("account", times, Reply::problem(400, "badNonce")).is_ok(), "{times}");
        let without = Reply { without_nonce: true, ..Reply::problem(400, "badNonce") };
        assert!(answered("order", times, without).is_ok(), "{times}");
    }
    let why = answered("account", 6, Reply::problem(400, "badNonce")).expect_err("too many");
    assert_eq!(why, "account: the authority answered 400: badNonce: because");
    let none = Reply { status: 200, without_nonce: true, ..Reply::default() };
    let why = answered("nonce", 1, none).expect_err("no nonce");
    assert_eq!(why, "nonce: the authority's response is not ACME: there is no nonce");
}

#[test]
fn a_limit_says_when_to_come_again() {
    for (text, seconds) in [("3600", 3_600), ("Mon, 01 Dec 2025 02:00:00 GMT", 7_200)] {
        let limited = Reply::problem(429, "rateLimited").retry_after(text);
        let mut authority = instead(vec![("order", 1, limited)]);
        let failure = failure(&mut authority);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(seconds)));
        assert_eq!(failure.to_string(), "new order: the authority answered 429: rateLimited: because");
        let FailureKind::Refused { status: 429, problem } = failure.kind else { panic!("{failure:?}") };
        assert!(problem.is("rateLimited") && !problem.is("badNonce"));
    }
}

#[test]
fn each_error_ends_the_order_with_a_sentence() {
    let check = |end: &'static str, reply: Reply, expected: &str| {
        assert_eq!(answered(end, 1, reply), Err(expected.to_owned()), "{end}");
    };
    let ok = |body: Value| Reply::json(200, &body);
    let text = |status: u16, text: &str| Reply { status, body: text.into(), ..Reply::default() };
    let not_acme =
        |during: &str, what: &str| format!("{during}: the authority's response is not ACME: {what}");

    check("directory", text(502, "<html>"), "directory: the authority answered 502: it does not say why");
    check("directory", text(200, "{}"), &not_acme("directory", "newNonce is no https URL"));
    let plain = json!({ "newNonce": "http://ca.example/nonce", "newAccount": at("account"), "newOrder": at("order") });
    check("directory", ok(plain), &not_acme("directory", "newNonce is no https URL"));
    check(
        "directory",
        directory(&json!({ "externalAccountRequired": true })),
        "directory: the authority wants accounts to be bound to one of its own, and none is named",
    );
    let long = Reply { status: 200, body: vec![b' '; RESPONSE_BYTES_MAX + 1], ..Reply::default() };
    check("directory", long, &not_acme("directory", "more than 131072 bytes"));
    let most = Reply { status: 200, body: vec![b' '; RESPONSE_BYTES_MAX], ..Reply::default() };
    assert!(answered("directory", 1, most).expect_err("no JSON").contains("no JSON"));

    check("nonce", text(503, ""), "account: the authority answered 503: it does not say why");
    check(
        "account",
        Reply::problem(403, "userActionRequired"),
        "account: the authority answered 403: userActionRequired: because",
    );
    check("account", ok(json!({ "status": "valid" })), &not_acme("account", "the account is no https URL"));
    check(
        "account",
        ok(json!({ "status": "deactivated" })).located(&at("accounts/1")),
        "account: the account is deactivated: another key of an account is needed",
    );

    check(
        "order",
        Reply::problem(400, "rejectedIdentifier"),
        "new order: the authority answered 400: rejectedIdentifier: because",
    );
    check("order", ok(order("pending")), &not_acme("new order", "the order is no https URL"));
    check(
        "order",
        ok(json!({})).located(&at("orders/1")),
        &not_acme("new order", "the status of an order is unknown"),
    );
    let mut many = order("pending");
    many["authorizations"] = json!(vec![at("authorization/a.example"); 101]);
    check(
        "order",
        ok(many).located(&at("orders/1")),
        &not_acme("new order", "an order has too many authorizations"),
    );
    let mut given_up = order("invalid");
    given_up["error"] = json!({ "type": "urn:ietf:params:acme:error:caa", "detail": "no" });
    check(
        "order",
        ok(given_up.clone()).located(&at("orders/1")),
        "new order: the authority has given up the order: caa: no",
    );

    let kinds = &["http-01"];
    check(
        "authorization/a.example",
        authorization("a.example", "pending", &["dns-01", "tls-alpn-01"]),
        "authorization: the authority does not validate a.example by http-01, but by: dns-01, tls-alpn-01",
    );
    check(
        "authorization/a.example",
        authorization("other.example", "pending", kinds),
        &not_acme("authorization", "an authorization is for a domain that was not ordered"),
    );
    check(
        "authorization/a.example",
        authorization("a.example", "expired", &[]),
        "authorization: the authority could not validate a.example: it does not say why",
    );
    check(
        "authorization/a.example",
        ok(json!({ "status": "odd" })),
        &not_acme("authorization", "the status of an authorization is unknown"),
    );
    check(
        "authorization/a.example",
        ok(json!({ "status": "pending", "identifier": { "type": "ip", "value": "192.0.2.1" } })),
        &not_acme("authorization", "an authorization without a DNS name"),
    );
    check(
        "challenge/a.example",
        Reply::problem(400, "malformed"),
        "challenge: the authority answered 400: malformed: because",
    );

    check("orders/1", ok(given_up), "issuance: the authority has given up the order: caa: no");
    check(
        "finalize/1",
        Reply::problem(403, "badCSR"),
        "finalization: the authority answered 403: badCSR: because",
    );
    let mut without = order("valid");
    without["certificate"] = Value::Null;
    check("finalize/1", ok(without), &not_acme("finalization", "an order is valid and has no certificate"));
    check("certificate/1", text(200, ""), &not_acme("certificate", "the chain is not complete"));
    let with_key = format!("{CHAIN}-----BEGIN PRIVATE KEY-----\n");
    check(
        "certificate/1",
        text(200, &with_key),
        &not_acme("certificate", "the chain contains something else than certificates"),
    );
}

#[test]
fn a_domain_that_is_not_validated_is_named_with_the_reason() {
    let mut authority = instead(vec![
        ("authorization/a.example", 1, authorization("a.example", "pending", &["http-01"])),
        ("authorization/a.example", 1, authorization("a.example", "invalid", &["http-01"])),
    ]);
    let why = failure(&mut authority).to_string();
    assert_eq!(why, "validation: the authority could not validate a.example: connection: no route");
}

#[test]
fn an_order_that_is_further_than_expected_goes_on_from_there() {
    // Authorizations that are valid already, and an order that is.
    let mut authority = instead(vec![
        ("authorization/a.example", 1, authorization("a.example", "valid", &[])),
        ("authorization/b.example", 1, authorization("b.example", "valid", &[])),
        ("orders/1", 1, Reply::json(200, &order("ready"))),
    ]);
    let outcome = run(&mut authority, wanted(), &key());
    assert!(outcome.result.is_ok() && outcome.published.is_empty());
    for status in ["ready", "valid"] {
        let mut authority =
            instead(vec![("order", 1, Reply::json(201, &order(status)).located(&at("orders/1")))]);
        assert!(run(&mut authority, wanted(), &key()).result.is_ok(), "{status}");
    }
}

#[test]
fn what_cannot_be_ordered_is_not_asked_for() {
    let check = |change: &dyn Fn(&mut OrderRequest), expected: &str| {
        let mut request = wanted();
        change(&mut request);
        let mut authority = Authority::default();
        let why = run(&mut authority, request, &key()).result.expect_err(expected).to_string();
        assert!(why.contains(expected) && authority.asked.len() <= 1, "{why}: {:?}", authority.asked);
    };
    check(&|it| it.domains.clear(), "0 domains");
    check(&|it| it.domains = vec!["a.example".into(); 101], "101 domains");
    for wrong in ["*.example.org", "localhost", "192.0.2.1", "a..example", "-a.example", "a/../b.example", ""]
    {
        check(&|it| it.domains.push(wrong.into()), "no certificate can be ordered for");
    }
    check(&|it| it.directory = "http://ca.example/directory".into(), "is no https URL");
    // The terms are known when the directory was read.
    check(&|it| it.terms_agreed = false, "not agreed to: https://ca.example/terms");
}

#[test]
fn a_request_without_a_response_is_a_failure() {
    let mut issuance = Issuance::new(wanted(), key(), Vec::new());
    // Neither was asked for.
    issuance.published();
    issuance.waited();
    assert!(matches!(issuance.step(), Step::Send(request) if request.method == Method::Get));
    issuance.unanswered("no route to host");
    let Step::Failed(failure) = issuance.step() else { panic!("{issuance:?}") };
    assert_eq!(failure.to_string(), "directory: the authority was not reached: no route to host");
    // It has ended.
    issuance.received(NOW, &Response { status: 200, ..Response::default() });
    issuance.unanswered("again");
    assert!(matches!(issuance.step(), Step::Failed(failure) if failure.to_string().contains("no route")));
}

#[test]
fn an_account_is_bound_to_one_that_the_authority_knows() {
    let secret = URL_SAFE_NO_PAD.encode(b"a secret of the authority");
    for padding in ["", "=="] {
        let external = ExternalAccount::new("kid-1", &format!("{secret}{padding}")).expect("a key");
        assert!(!format!("{external:?}").contains(&secret));
        let meta = json!({ "externalAccountRequired": true });
        let mut authority = instead(vec![("directory", 1, directory(&meta))]);
        let key = key();
        let wanted = OrderRequest { external_account: Some(external), ..wanted() };
        assert!(run(&mut authority, wanted, &key).result.is_ok());
        let text = |member: &str| authority.binding[member].as_str().expect("a text");
        let decoded = |member: &str| URL_SAFE_NO_PAD.decode(text(member)).expect("base64url");
        let header: Value = serde_json::from_slice(&decoded("protected")).expect("a header");
        // RFC 8555 §7.3.4: a MAC algorithm, the key identifier, no nonce, and the URL of the request around it.
        assert_eq!(header, json!({ "alg": "HS256", "kid": "kid-1", "url": at("account") }));
        let payload: Value = serde_json::from_slice(&decoded("payload")).expect("a key");
        assert_eq!(payload, authority.jwk);
        let mac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"a secret of the authority");
        let message = format!("{}.{}", text("protected"), text("payload"));
        ring::hmac::verify(&mac, message.as_bytes(), &decoded("signature")).expect("a good signature");
    }
    // An account that needs none is not bound.
    let mut authority = Authority::default();
    assert!(run(&mut authority, wanted(), &key()).result.is_ok());
    assert_eq!(authority.binding, Value::Null);
    for (id, key) in [("", secret.as_str()), ("kid-1", ""), ("kid-1", "no base64!"), ("kid-1", "a+/b")] {
        let why = ExternalAccount::new(id, key).expect_err("no account").to_string();
        assert!(key.is_empty() || !why.contains(key), "{why}");
    }
}

/// The name of a certificate of this crate's own tests.
fn certificate_id() -> CertificateId {
    let issuer = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(["ca.example".to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(params, issuer);
    let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
    params.use_authority_key_identifier_extension = true;
    let key = rcgen::KeyPair::generate().expect("a key");
    CertificateId::of_pem(&params.signed_by(&key, &issuer).expect("a certificate").pem()).expect("its name")
}

#[test]
fn an_order_names_the_certificate_that_it_replaces_where_that_is_known_and_goes_on_without() {
    let id = certificate_id();
    let named = json!(id.to_string());
    let wanted = OrderRequest { replaces: Some(id), ..wanted() };
    // Whether the authority knows of renewals, what it says to the first order, and what orders name.
    for (has_renewal_info, refusal, expected) in [
        (true, None, vec![named.clone()]),
        (false, None, vec![Value::Null]),
        (true, Some((409, "alreadyReplaced")), vec![named.clone(), Value::Null]),
        (true, Some((400, "malformed")), vec![named.clone(), Value::Null]),
        (true, Some((403, "unauthorized")), vec![named.clone(), Value::Null]),
    ] {
        let refusal = refusal.map(|(status, name)| ("order", 1, Reply::problem(status, name)));
        let mut authority =
            Authority { has_renewal_info, instead: refusal.into_iter().collect(), ..Authority::default() };
        assert!(run(&mut authority, wanted.clone(), &key()).result.is_ok());
        assert_eq!(authority.replaced, expected);
    }
    // Other refusals stand.
    let limited = vec![("order", 1, Reply::problem(429, "rateLimited"))];
    let mut authority = Authority { has_renewal_info: true, instead: limited, ..Authority::default() };
    assert!(run(&mut authority, wanted, &key()).result.is_err());
    assert_eq!(authority.replaced, [named]);
}

/// Answers a check with these responses, one after the other; and says what was asked for.
fn check_renewal(replies: &[Reply]) -> (Vec<String>, Result<Option<RenewalInfo>, String>) {
    let mut check = RenewalCheck::new(&at("directory"), certificate_id());
    let mut asked = Vec::new();
    let mut replies = replies.iter();
    loop {
        match check.step() {
            RenewalStep::Send(request) => {
                assert_eq!((request.method, request.body.as_str()), (Method::Get, ""));
                asked.push(request.url.clone());
                let Some(reply) = replies.next() else {
                    check.unanswered("no route");
                    continue;
                };
                let retry_after = reply.retry_after.as_deref();
                let response =
                    Response { status: reply.status, retry_after, body: &reply.body, ..Response::default() };
                check.received(NOW, &response);
            }
            RenewalStep::Done(info) => return (asked, Ok(info.cloned())),
            RenewalStep::Failed(failure) => return (asked, Err(failure.to_string())),
        }
    }
}

#[test]
fn an_authority_says_when_a_certificate_is_to_be_renewed() {
    let known = || {
        let mut reply = directory(&Value::Null);
        reply.body.pop();
        reply.body.extend_from_slice(br#","renewalInfo":"https://ca.example/renewal"}"#);
        reply
    };
    let window = |start: &str, end: &str| {
        let window = json!({ "start": start, "end": end });
        Reply::json(200, &json!({ "suggestedWindow": window, "explanationURL": at("why") }))
    };
    let good = window("2025-01-02T04:00:00Z", "2025-01-03T04:00:00Z");
    for (retry_after, seconds) in [
        (None, 21_600),
        (Some("21600"), 21_600),
        (Some("1"), 60),
        (Some("9999999"), 86_400),
        (Some("soon"), 21_600),
    ] {
        let reply = Reply { retry_after: retry_after.map(str::to_owned), ..good.clone() };
        let (asked, info) = check_renewal(&[known(), reply]);
        assert!(asked[1].starts_with(&at("renewal/")) && asked[1].contains('.'), "{asked:?}");
        let info = info.expect("it is understood").expect("it is said");
        let start = info.start.duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs();
        assert_eq!((start, info.recheck.as_secs()), (1_735_790_400, seconds), "{retry_after:?}");
        assert_eq!(info.explanation, Some(at("why")));
    }
    assert_eq!(check_renewal(&[directory(&Value::Null)]).1, Ok(None));
    for (replies, expected) in [
        (vec![], "directory: the authority was not reached: no route"),
        (vec![known()], "renewal information: the authority was not reached: no route"),
        (
            vec![known(), Reply::problem(404, "malformed")],
            "renewal information: the authority answered 404: malformed",
        ),
        (
            vec![known(), window("2025-01-02T04:00:00Z", "2025-01-02T04:00:00Z")],
            "renewal information: the authority's response is not ACME: a window ends",
        ),
        (
            vec![known(), window("2025-01-02", "2025-01-03")],
            "renewal information: the authority's response is not ACME: \"start\" of a window is no time",
        ),
        (
            vec![known(), Reply { status: 200, body: b"x".to_vec(), ..Reply::default() }],
            "renewal information: the authority's response is not ACME: no JSON",
        ),
        (
            vec![
                known(),
                Reply { status: 200, body: vec![b' '; RESPONSE_BYTES_MAX + 1], ..Reply::default() },
            ],
            "renewal information: the authority's response is not ACME: more than",
        ),
    ] {
        let why = check_renewal(&replies).1.expect_err("a failure");
        assert!(why.starts_with(expected), "{why}\nin place of\n{expected}");
    }
}
