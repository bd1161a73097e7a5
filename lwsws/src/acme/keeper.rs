//! The thread that orders certificates, renews them, and waits in between. Authorities may take minutes, and disks seconds: nothing else
//! waits for it.

use super::authority::AuthorityClient;
use super::{Order, OrderBook, store};
use crate::log::Log;
use lws_acme::{
    Backoff, CertificateKey, ChallengeKind, ExternalAccount, Issuance, KeyError, OrderRequest, RenewalCheck,
    RenewalInfo, RenewalStep, Step, Validation, latest_renewal, renewal,
};
use lws_config::{Acme, AcmeChallenge};
use lws_server::tls::{self, Identity};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

/// The longest sleep: the clock of the machine may be set, or stand still while it sleeps.
const SLEEP_MAX: Duration = Duration::from_secs(60 * 60);
/// The shortest time from one certificate to the next: an authority may issue some that are to be renewed at once.
const RENEWAL_PAUSE_MIN: Duration = Duration::from_secs(60 * 60);
/// Until an authority is asked again that says nothing about renewals: it may be of a later version then.
const RECHECK_WITHOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Orders and renews what is wanted, for ever.
pub(super) fn keep(book: &OrderBook, log: Option<Log>) {
    let mut keeper = Keeper { book, log, plans: HashMap::new() };
    loop {
        let (orders, changes) = book.orders();
        match keeper.next(&orders) {
            Some((order, Job::Order, Duration::ZERO)) => keeper.attend(order),
            Some((order, Job::Ask, Duration::ZERO)) => keeper.ask(order),
            Some((.., sleep)) => book.wait(changes, sleep.min(SLEEP_MAX)),
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

/// When a certificate is ordered, and when its authority is asked about that.
struct Plan {
    acme: Acme,
    due: SystemTime,
    /// Whatever the authority suggests, it is not ordered before.
    earliest: SystemTime,
    backoff: Backoff,
    check: SystemTime,
    /// Of checks that failed.
    check_backoff: Backoff,
    /// The part of a window at which it is renewed: the same at each check, so that the moment moves with the window only.
    chance: u32,
}

/// What there is to do about a certificate.
#[derive(Clone, Copy)]
enum Job {
    Order,
    /// Ask when it is to be renewed.
    Ask,
}

/// Why a certificate was not issued or a question not answered, for a person.
struct AttemptFailure {
    why: String,
    /// How long the authority asks to wait.
    retry_after: Option<Duration>,
}

impl<E: fmt::Display> From<E> for AttemptFailure {
    fn from(error: E) -> Self {
        Self { why: error.to_string(), retry_after: None }
    }
}

impl Keeper<'_> {
    /// What is to be done first, and how long until then.
    fn next<'o>(&mut self, orders: &'o [Order]) -> Option<(&'o Order, Job, Duration)> {
        let is_wanted = |file: &PathBuf| orders.iter().any(|order| order.acme.certificate_file() == *file);
        self.plans.retain(|file, _| is_wanted(file));
        let now = SystemTime::now();
        let next = orders.iter().map(|order| {
            let (job, at) = self.plan(order, now).next();
            (order, job, at.duration_since(now).unwrap_or_default())
        });
        // A question waits for an authority that may not answer, so that what is due comes before it.
        next.min_by_key(|(_, job, sleep)| (*sleep, matches!(job, Job::Ask)))
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
        let line = match result.and_then(|identity| Ok(order.slot.replace(&identity)?)) {
            Ok(()) => {
                let wait = plan.renewed(order, now);
                format!("the certificate for {names} is presented now, and renewed in {}", span(wait))
            }
            Err(AttemptFailure { why, retry_after }) => {
                let wait = plan.failed(now, retry_after);
                let next = span(wait);
                format!("there is no new certificate for {names}: {why}; next attempt in {next}")
            }
        };
        self.say(format_args!("{line}"));
    }

    /// Asks the authority when a certificate is to be renewed, and plans by what it says. RFC 9773 §4.2.
    fn ask(&mut self, order: &Order) {
        let names = order.acme.domains.join(", ");
        let said = panic::catch_unwind(|| suggestion(&order.acme));
        let said = said.unwrap_or_else(|_| Err("asking has panicked".into()));
        let now = SystemTime::now();
        let plan = self.plan(order, now);
        let line = match said {
            Ok(info) => plan.suggested(order, now, info.as_ref()).map(|at| {
                let why = info.and_then(|info| info.explanation).map(|url| format!("; why: {url}"));
                let wait = span(at.duration_since(now).unwrap_or_default());
                format!(
                    "the authority suggests to renew the certificate for {names} in {wait}{}",
                    why.unwrap_or_default()
                )
            }),
            Err(AttemptFailure { why, retry_after }) => plan.unanswered(now, retry_after).then(|| {
                format!("the authority does not say when to renew the certificate for {names}: {why}")
            }),
        };
        if let Some(line) = line {
            self.say(format_args!("{line}"));
        }
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
        Self {
            acme: order.acme.clone(),
            due,
            earliest: now,
            backoff: Backoff::default(),
            check: now,
            check_backoff: Backoff::default(),
            chance: chance(),
        }
    }

    /// What comes first. One that is due is not asked about.
    fn next(&self) -> (Job, SystemTime) {
        if self.due <= self.check { (Job::Order, self.due) } else { (Job::Ask, self.check) }
    }

    /// A new certificate is presented. Answers the time until it is renewed.
    fn renewed(&mut self, order: &Order, now: SystemTime) -> Duration {
        self.backoff.succeeded();
        self.chance = chance();
        self.earliest = now + RENEWAL_PAUSE_MIN;
        self.due = due_of(order).unwrap_or(now).max(self.earliest);
        self.check = now;
        self.due.duration_since(now).unwrap_or_default()
    }

    /// It was not issued. Answers the time until the next attempt.
    fn failed(&mut self, now: SystemTime, retry_after: Option<Duration>) -> Duration {
        let wait = self.backoff.failed(retry_after, chance());
        self.earliest = now + wait;
        self.due = self.earliest;
        // Until then it does not matter what the authority suggests.
        self.check = self.check.max(self.earliest);
        wait
    }

    /// The authority has answered. Says the moment of the renewal if that is another one than before.
    fn suggested(
        &mut self,
        order: &Order,
        now: SystemTime,
        info: Option<&RenewalInfo>,
    ) -> Option<SystemTime> {
        self.check_backoff.succeeded();
        self.check = now + info.map_or(RECHECK_WITHOUT, |info| info.recheck);
        let shown = order.slot.certificate()?;
        let latest = latest_renewal(shown.not_before, shown.not_after);
        let due = info?.moment(self.chance).min(latest).max(self.earliest);
        let moved = due != self.due;
        self.due = due;
        moved.then_some(due)
    }

    /// The authority has not answered: what was planned stands. Says whether that is the first time in a row.
    fn unanswered(&mut self, now: SystemTime, retry_after: Option<Duration>) -> bool {
        let is_first = self.check_backoff == Backoff::default();
        let retry_after = retry_after.map(|wait| wait.min(RECHECK_WITHOUT));
        self.check = now + self.check_backoff.failed(retry_after, chance());
        is_first
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
fn issue(acme: &Acme, book: &OrderBook) -> Result<Identity, AttemptFailure> {
    store::check(acme)?;
    let account = store::account_key(acme)?;
    let key = CertificateKey::generate()?;
    let csr = key.request(&acme.domains)?;
    let mut issuance = Issuance::new(order_of(acme)?, account, csr);
    let mut client = AuthorityClient::new(acme.directory_authorities.as_deref())?;
    let mut published = Published { book, validation: None };
    let chain = loop {
        match issuance.step() {
            Step::Send(request) => {
                let request = request.clone();
                client.send(&request, |outcome| match outcome {
                    Ok((unix_seconds, response)) => issuance.received(unix_seconds, response),
                    Err(why) => issuance.unanswered(why),
                });
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
                return Err(AttemptFailure { why: failure.to_string(), retry_after: failure.retry_after });
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

fn order_of(acme: &Acme) -> Result<OrderRequest, KeyError> {
    let external = acme.external_account.as_ref();
    let external =
        external.map(|account| ExternalAccount::new(account.key_id.clone(), account.hmac_key.reveal()));
    Ok(OrderRequest {
        directory: acme.directory.clone(),
        contacts: acme.contacts.clone(),
        terms_agreed: acme.terms_agreed,
        domains: acme.domains.clone(),
        challenge: match acme.challenge {
            AcmeChallenge::Http01 => ChallengeKind::Http01,
            _ => ChallengeKind::TlsAlpn01,
        },
        external_account: external.transpose()?,
        replaces: store::kept_id(acme),
    })
}

/// What the authority says about the renewal of the certificate that is kept; nothing about one that it could not know.
fn suggestion(acme: &Acme) -> Result<Option<RenewalInfo>, AttemptFailure> {
    let Some(certificate) = store::kept_id(acme) else { return Ok(None) };
    let mut check = RenewalCheck::new(&acme.directory, certificate);
    let mut client = AuthorityClient::new(acme.directory_authorities.as_deref())?;
    loop {
        match check.step() {
            RenewalStep::Send(request) => {
                let request = request.clone();
                client.send(&request, |outcome| match outcome {
                    Ok((unix_seconds, response)) => check.received(unix_seconds, response),
                    Err(why) => check.unanswered(why),
                });
            }
            RenewalStep::Done(info) => return Ok(info.cloned()),
            RenewalStep::Failed(failure) => {
                return Err(AttemptFailure { why: failure.to_string(), retry_after: failure.retry_after });
            }
        }
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
