//! The thread that orders certificates, renews them, and waits in between. Authorities may take minutes, and disks seconds: nothing else
//! waits for it.

use super::{Order, OrderBook, store};
use crate::log::Log;
use lws_acme::{
    Backoff, CertificateKey, ChallengeKind, Issuance, Method, OrderRequest, RESPONSE_BYTES_MAX, Response,
    Step, Validation, renewal,
};
use lws_client::{Body, Options, Runtime, Tls};
use lws_config::{Acme, AcmeChallenge};
use lws_server::tls::{self, Identity, Roots};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

/// How long a request to an authority may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest sleep: the clock of the machine may be set, or stand still while it sleeps.
const SLEEP_MAX: Duration = Duration::from_secs(60 * 60);
/// The shortest time from one certificate to the next: an authority may issue some that are to be renewed at once.
const RENEWAL_PAUSE_MIN: Duration = Duration::from_secs(60 * 60);

/// Orders and renews what is wanted, for ever.
pub(super) fn keep(book: &OrderBook, log: Option<Log>) {
    let mut keeper = Keeper { book, log, plans: HashMap::new() };
    loop {
        let (orders, changes) = book.orders();
        match keeper.next(&orders) {
            Some((order, sleep)) if sleep.is_zero() => keeper.attend(order),
            Some((_, sleep)) => book.wait(changes, sleep.min(SLEEP_MAX)),
            None => book.wait(changes, SLEEP_MAX),
        }
    }
}

struct Keeper<'a> {
    book: &'a OrderBook,
    log: Option<Log>,
    /// By the files of the certificates.
    plans: HashMap<PathBuf, Plan>,
}

/// When a certificate is ordered.
struct Plan {
    acme: Acme,
    due: SystemTime,
    backoff: Backoff,
}

/// Why a certificate was not issued, for a person.
struct NotIssued {
    why: String,
    /// How long the authority asks to wait.
    retry_after: Option<Duration>,
}

impl<E: fmt::Display> From<E> for NotIssued {
    fn from(error: E) -> Self {
        Self { why: error.to_string(), retry_after: None }
    }
}

impl Keeper<'_> {
    /// The order that is due first, and how long until then.
    fn next<'o>(&mut self, orders: &'o [Order]) -> Option<(&'o Order, Duration)> {
        let is_wanted = |file: &PathBuf| orders.iter().any(|order| order.acme.certificate_file() == *file);
        self.plans.retain(|file, _| is_wanted(file));
        let now = SystemTime::now();
        let sleep = |due: SystemTime| due.duration_since(now).unwrap_or_default();
        let plans = orders.iter().map(|order| (order, sleep(self.plan(order, now).due)));
        plans.min_by_key(|(_, sleep)| *sleep)
    }

    fn plan(&mut self, order: &Order, now: SystemTime) -> &mut Plan {
        let plan = self.plans.entry(order.acme.certificate_file()).or_insert_with(|| Plan::new(order, now));
        if plan.acme != order.acme {
            *plan = Plan::new(order, now);
        }
        plan
    }

    /// Orders a certificate, and plans the next time.
    fn attend(&mut self, order: &Order) {
        let names = order.acme.domains.join(", ");
        self.say(format_args!("a certificate for {names} is being ordered at {}", order.acme.directory));
        // A fault in it costs one attempt, and not all that are to come.
        let issued = panic::catch_unwind(AssertUnwindSafe(|| issue(&order.acme, self.book)));
        let result = issued.unwrap_or_else(|_| Err("ordering it has panicked".into()));
        let now = SystemTime::now();
        let plan = self.plan(order, now);
        let wait = match result.and_then(|identity| Ok(order.slot.replace(&identity)?)) {
            Ok(()) => {
                plan.backoff.succeeded();
                let due = due_of(order).unwrap_or(now).max(now + RENEWAL_PAUSE_MIN);
                let wait = due.duration_since(now).unwrap_or_default();
                (wait, format!("the certificate for {names} is presented now, and renewed in {}", span(wait)))
            }
            Err(NotIssued { why, retry_after }) => {
                let wait = plan.backoff.failed(retry_after, chance());
                (
                    wait,
                    format!("there is no new certificate for {names}: {why}; next attempt in {}", span(wait)),
                )
            }
        };
        let (wait, line) = wait;
        plan.due = now + wait;
        self.say(format_args!("{line}"));
    }

    fn say(&self, line: fmt::Arguments<'_>) {
        match &self.log {
            Some(log) => log.line(format!("lwsws: {line}")),
            None => eprintln!("lwsws: {line}"),
        }
    }
}

impl Plan {
    fn new(order: &Order, now: SystemTime) -> Self {
        let due = if order.is_missing { now } else { due_of(order).unwrap_or(now) };
        Self { acme: order.acme.clone(), due, backoff: Backoff::default() }
    }
}

/// When what is presented is to be renewed. `None` if its times cannot be read.
fn due_of(order: &Order) -> Option<SystemTime> {
    let shown = order.slot.certificate()?;
    Some(renewal(shown.not_before, shown.not_after, chance()))
}

/// A number by chance, for times that are to differ from machine to machine. It protects nothing.
fn chance() -> u32 {
    u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default()
}

/// A span of time for a person.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds @ ..7_200 => format!("{} minutes", seconds / 60),
        seconds @ ..172_800 => format!("{} hours", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Orders one certificate, and keeps it.
fn issue(acme: &Acme, book: &OrderBook) -> Result<Identity, NotIssued> {
    store::check(acme)?;
    let account = store::account_key(acme)?;
    let key = CertificateKey::generate()?;
    let csr = key.request(&acme.domains)?;
    let mut issuance = Issuance::new(order_of(acme), account, csr);
    let mut client = Runtime::new(options(acme.directory_authorities.as_deref()))?;
    let mut published = Published { book, validation: None };
    let chain = loop {
        match issuance.step() {
            Step::Send(request) => {
                let request = request.clone();
                send(&mut client, &request, &mut issuance);
            }
            Step::Publish(validation) => {
                published.replace(validation)?;
                issuance.published();
            }
            Step::Wait(duration) => {
                thread::sleep(duration);
                issuance.waited();
            }
            Step::Done(chain) => break chain.to_owned(),
            Step::Failed(failure) => {
                return Err(NotIssued { why: failure.to_string(), retry_after: failure.retry_after });
            }
        }
    };
    let pem = key.to_pem();
    let identity = Identity::pem(chain.as_bytes(), pem.as_bytes());
    // What cannot be presented does not take the place of what can.
    tls::CertificateSlot::new(&identity)?;
    store::keep(acme, &pem, &chain)?;
    Ok(identity)
}

fn order_of(acme: &Acme) -> OrderRequest {
    OrderRequest {
        directory: acme.directory.clone(),
        contacts: acme.contacts.clone(),
        terms_agreed: acme.terms_agreed,
        domains: acme.domains.clone(),
        challenge: match acme.challenge {
            AcmeChallenge::Http01 => ChallengeKind::Http01,
            _ => ChallengeKind::TlsAlpn01,
        },
    }
}

/// The options of a client of an authority, whose certificate these roots vouch for, or those of the system.
fn options(roots: Option<&Path>) -> Options {
    let mut options = Options::default();
    // RFC 8555 §6.1: "ACME clients MUST send a User-Agent header field".
    options.user_agent = Some(concat!("lwsws/", env!("CARGO_PKG_VERSION")).to_owned());
    options.request.timeout = Some(REQUEST_TIMEOUT);
    if let Some(roots) = roots {
        let roots = Roots::file(roots);
        options.tls = Tls::rustls(move |alpn| tls::Client::builder().roots(roots.clone()).alpn(alpn).build());
    }
    options
}

/// Sends a request, and hands in what comes of it.
fn send(client: &mut Runtime, request: &lws_acme::Request, issuance: &mut Issuance) {
    let url = match request.url.parse() {
        Ok(url) => url,
        Err(error) => return issuance.unanswered(format_args!("{}: {error}", request.url)),
    };
    let method = match request.method {
        Method::Head => "HEAD",
        Method::Post => "POST",
        _ => "GET",
    };
    let mut sent = lws_client::Request::new(method, url);
    if request.method == Method::Post {
        sent.fields.add("content-type", "application/jose+json");
        sent.body = Body::Bytes(request.body.clone().into());
    }
    match client.send(sent, RESPONSE_BYTES_MAX) {
        Ok(Ok(response)) => {
            let fields = &response.head.fields;
            let unix_seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let taken = Response {
                status: response.status(),
                nonce: fields.text("replay-nonce"),
                location: fields.text("location"),
                retry_after: fields.text("retry-after"),
                body: &response.body,
            };
            issuance.received(i64::try_from(unix_seconds.as_secs()).unwrap_or(i64::MAX), &taken);
        }
        Ok(Err(failure)) => issuance.unanswered(failure),
        Err(error) => issuance.unanswered(error),
    }
}

/// What authorities may ask for at the moment. It is withdrawn when this goes.
struct Published<'a> {
    book: &'a OrderBook,
    validation: Option<Validation>,
}

impl Published<'_> {
    fn replace(&mut self, validation: &Validation) -> io::Result<()> {
        self.withdraw();
        self.validation = Some(validation.clone());
        if validation.kind == ChallengeKind::Http01 {
            self.book.tokens.insert(&validation.token, &validation.key_authorization);
            return Ok(());
        }
        let (certificate, key) = validation.certificate().map_err(io::Error::other)?;
        let validations = &self.book.validations;
        validations.insert(&validation.domain, certificate, key).map_err(io::Error::other)
    }

    fn withdraw(&mut self) {
        if let Some(validation) = self.validation.take() {
            self.book.tokens.remove(&validation.token);
            self.book.validations.remove(&validation.domain);
        }
    }
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}
