//! One order from its directory to its certificate. RFC 8555 §7.
//!
//! Each response either leads to the next stage, or to the same stage again after a wait, or ends the issuance. Authorizations are
//! taken one after the other. Knows no transport: what is to be sent is said, and what came is handed in.

use crate::failure::{Failure, FailureKind, Problem};
use crate::jws::{Signer, base64url, binding, signed};
use crate::key::{AccountKey, ExternalAccount};
use crate::renewal::CertificateId;
use crate::wire::{
    Authorization, AuthorizationStatus, ChallengeKind, Directory, Order, OrderStatus, Validation, chain,
    json, token, url,
};
use crate::{DOMAINS_MAX, RESPONSE_BYTES_MAX, is_domain};
use lws_proto::http::HttpDate;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Requests that are sent again because their nonce was not good, in a row. RFC 8555 §6.5: "the client SHOULD retry"; an authority of
/// several machines may refuse more than one.
const NONCE_RETRIES_MAX: u32 = 5;
/// The shortest and the longest wait before a resource is read again.
const POLL_MIN: Duration = Duration::from_secs(1);
const POLL_MAX: Duration = Duration::from_secs(60);
/// How long one stage may wait in all: validation and issuance take seconds, and under load minutes.
const STAGE_WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// What is ordered, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRequest {
    /// The URL of the authority's directory: `https`.
    pub directory: String,
    /// Where the authority may reach the holder of the account: `mailto:admin@example.org`. May be empty.
    pub contacts: Vec<String>,
    /// Whether the authority's terms of service are agreed to, if it has any.
    pub terms_agreed: bool,
    /// The domains of the certificate, 1 to [`DOMAINS_MAX`], each of which [`is_domain`].
    pub domains: Vec<String>,
    /// How they are validated.
    pub challenge: ChallengeKind,
    /// The account that a new one is bound to, where the authority wants that. RFC 8555 §7.3.4.
    pub external_account: Option<ExternalAccount>,
    /// The certificate that the new one takes the place of, if it is of the same authority. RFC 9773 §5.
    pub replaces: Option<CertificateId>,
}

/// A request to the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Where it goes: `https`.
    pub url: String,
    /// Its content, of the media type `application/jose+json`. Only that of a POST is not empty.
    pub body: String,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of RFC 9110 §9.3")]
pub enum Method {
    Get,
    Head,
    Post,
}

/// The response to a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The field `Replay-Nonce`. RFC 8555 §6.5.1.
    pub nonce: Option<&'a str>,
    /// The field `Location`.
    pub location: Option<&'a str>,
    /// The field `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// The content, of which [`RESPONSE_BYTES_MAX`] are taken.
    pub body: &'a [u8],
}

/// What an issuance waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A request is to be sent. Its outcome goes to [`Issuance::received`] or [`Issuance::unanswered`].
    Send(&'a Request),
    /// The authority is going to ask for this, from now until the next such step or the end. Call [`Issuance::published`] once it
    /// would be answered.
    Publish(&'a Validation),
    /// Time is to pass before [`Issuance::waited`] is called.
    Wait(Duration),
    /// The certificate is there: the chain as PEM, the end entity's first, and nothing else.
    Done(&'a str),
    /// There will be none.
    Failed(&'a Failure),
}

/// An order on its way to a certificate.
pub struct Issuance {
    request: OrderRequest,
    key: AccountKey,
    /// The request for the certificate, as DER.
    csr: Vec<u8>,
    session: Session,
    stage: Stage,
    next: Next,
    /// How long the stage has waited.
    waited: Duration,
}

/// What is known of the authority.
#[derive(Default)]
struct Session {
    directory: Option<Directory>,
    /// The URL of the account.
    account: Option<String>,
    /// One that was not used yet.
    nonce: Option<String>,
    /// Requests that were refused for their nonce, in a row.
    refused_nonces: u32,
}

/// What the response is going to be that is waited for.
enum Stage {
    Directory,
    Account,
    NewOrder,
    /// The first of the authorizations that are left.
    Authorization(Placed),
    /// The authority is asked to validate.
    Challenge(Placed, Challenged),
    /// The same authorization once more: whether it is valid.
    Validated(Placed, Challenged),
    Finalize(Placed),
    /// The order once more: whether the certificate is issued.
    Issued(Placed),
    Certificate {
        url: String,
    },
    Ended,
}

/// An order that the authority has.
struct Placed {
    url: String,
    finalize: String,
    /// Authorizations that have not been found valid.
    left: VecDeque<String>,
    /// Whether the request for the certificate was sent.
    is_finalized: bool,
}

/// Where a response leads.
enum Move {
    /// To a stage whose request is sent at once.
    Now(Stage),
    /// To a stage whose request is sent when the answer to its challenge is published.
    Published(Stage),
    /// To a stage whose request is sent after a wait.
    Later(Stage),
    /// To the end, with a chain.
    Done(String),
}

/// A challenge that is answered.
struct Challenged {
    url: String,
    validation: Validation,
}

/// What the caller is asked for.
enum Next {
    Send(Request),
    Publish,
    Wait(Duration),
    Done(String),
    Failed(Failure),
}

impl OrderRequest {
    fn check(&self) -> Result<(), FailureKind> {
        url(Some(&self.directory), "the URL of the directory")?;
        if let Some(domain) = self.domains.iter().find(|domain| !is_domain(domain)) {
            let domain = domain.escape_debug();
            return Err(FailureKind::Unsupported(format!("no certificate can be ordered for \"{domain}\"")));
        }
        let count = self.domains.len();
        if !(1..=DOMAINS_MAX).contains(&count) {
            return Err(FailureKind::Unsupported(format!(
                "{count} domains: 1 to {DOMAINS_MAX} can be ordered"
            )));
        }
        Ok(())
    }
}

impl Stage {
    /// What is done in it, for a person.
    fn name(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Account => "account",
            Self::NewOrder => "new order",
            Self::Authorization(_) => "authorization",
            Self::Challenge(..) => "challenge",
            Self::Validated(..) => "validation",
            Self::Finalize(_) => "finalization",
            Self::Issued(_) => "issuance",
            Self::Certificate { .. } => "certificate",
            Self::Ended => "end",
        }
    }
}

impl Issuance {
    /// An order that is begun with the directory. `csr` is the request for a certificate of the same domains, as DER: see
    /// [`CertificateKey::request`](crate::CertificateKey::request).
    #[must_use]
    pub fn new(request: OrderRequest, key: AccountKey, csr: Vec<u8>) -> Self {
        let mut issuance = Self {
            request,
            key,
            csr,
            session: Session::default(),
            stage: Stage::Directory,
            next: Next::Wait(Duration::ZERO),
            waited: Duration::ZERO,
        };
        issuance.begin();
        issuance
    }

    fn begin(&mut self) {
        match self.request.check() {
            Ok(()) => self.ask(),
            Err(why) => self.fail("order", why, None),
        }
    }

    /// What is to be done now. It changes with the calls below, and with nothing else.
    #[must_use]
    pub fn step(&self) -> Step<'_> {
        match (&self.next, &self.stage) {
            (Next::Send(request), _) => Step::Send(request),
            (Next::Publish, Stage::Challenge(_, challenged)) => Step::Publish(&challenged.validation),
            // There is a validation as long as there is something to publish.
            (Next::Publish, _) => Step::Wait(Duration::ZERO),
            (Next::Wait(duration), _) => Step::Wait(*duration),
            (Next::Done(chain), _) => Step::Done(chain),
            (Next::Failed(failure), _) => Step::Failed(failure),
        }
    }

    /// Takes the response to the request of [`Step::Send`]. `unix_seconds` is the time, for dates in `Retry-After`. Without such a
    /// request nothing happens.
    pub fn received(&mut self, unix_seconds: i64, response: &Response<'_>) {
        let Next::Send(request) = &self.next else { return };
        let asked_nonce = request.method == Method::Head;
        let retry_after = response.retry_after.and_then(|text| retry_after(text, unix_seconds));
        if let Some(nonce) = token(response.nonce) {
            self.session.nonce = Some(nonce);
        }
        if response.body.len() > RESPONSE_BYTES_MAX {
            let what = format!("more than {RESPONSE_BYTES_MAX} bytes");
            return self.fail(self.stage.name(), FailureKind::Malformed(what), retry_after);
        }
        if !(200..300).contains(&response.status) {
            return self.refused(response, retry_after);
        }
        if asked_nonce {
            return match self.session.nonce {
                Some(_) => self.ask(),
                None => {
                    self.fail("nonce", FailureKind::Malformed("there is no nonce".into()), retry_after);
                }
            };
        }
        self.session.refused_nonces = 0;
        let during = self.stage.name();
        let outcome = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Directory => self.on_directory(response),
            Stage::Account => self.on_account(response),
            Stage::NewOrder => on_new_order(response),
            Stage::Authorization(placed) => self.on_authorization(placed, response),
            // Whatever the challenge says of itself: the authorization is what counts.
            Stage::Challenge(placed, challenged) => Ok(Move::Later(Stage::Validated(placed, challenged))),
            Stage::Validated(placed, challenged) => on_validated(placed, challenged, response),
            Stage::Finalize(placed) => on_order(Placed { is_finalized: true, ..placed }, response),
            Stage::Issued(placed) => on_order(placed, response),
            Stage::Certificate { .. } => chain(response.body).map(Move::Done),
            Stage::Ended => return,
        };
        match outcome {
            Ok(to) => self.go(to, during, retry_after),
            Err(why) => self.fail(during, why, retry_after),
        }
    }

    /// The request of [`Step::Send`] got no response, for this reason. Without such a request nothing happens.
    pub fn unanswered(&mut self, why: impl fmt::Display) {
        if matches!(self.next, Next::Send(_)) {
            self.fail(self.stage.name(), FailureKind::Unanswered(why.to_string()), None);
        }
    }

    /// What [`Step::Publish`] names would be answered now.
    pub fn published(&mut self) {
        if matches!(self.next, Next::Publish) {
            self.ask();
        }
    }

    /// The time of [`Step::Wait`] has passed.
    pub fn waited(&mut self) {
        if matches!(self.next, Next::Wait(_)) {
            self.ask();
        }
    }

    fn go(&mut self, to: Move, during: &'static str, retry_after: Option<Duration>) {
        match to {
            Move::Now(stage) => {
                self.stage = stage;
                self.waited = Duration::ZERO;
                self.ask();
            }
            Move::Published(stage) => {
                self.stage = stage;
                self.waited = Duration::ZERO;
                self.next = Next::Publish;
            }
            Move::Later(stage) => {
                self.stage = stage;
                // The longer it has taken, the longer it is going to take.
                let wait = retry_after.unwrap_or(self.waited / 2).clamp(POLL_MIN, POLL_MAX);
                self.waited += wait;
                match self.waited > STAGE_WAIT_MAX {
                    true => self.fail(during, FailureKind::TooLate, retry_after),
                    false => self.next = Next::Wait(wait),
                }
            }
            Move::Done(chain) => self.next = Next::Done(chain),
        }
    }

    fn fail(&mut self, during: &'static str, kind: FailureKind, retry_after: Option<Duration>) {
        self.stage = Stage::Ended;
        self.next = Next::Failed(Failure { during, kind, retry_after });
    }

    fn refused(&mut self, response: &Response<'_>, retry_after: Option<Duration>) {
        let problem = Problem::parse(response.body);
        if problem.is("badNonce") && self.session.refused_nonces < NONCE_RETRIES_MAX {
            // The response has brought the next nonce: RFC 8555 §6.5. If it has not, one is asked for.
            self.session.refused_nonces += 1;
            return self.ask();
        }
        // A refused `replaces` must not prevent the renewal: the order is placed once more without it. Authorities say "unauthorized" where
        // another account has ordered the certificate before.
        let is_about_it =
            ["alreadyReplaced", "malformed", "unauthorized"].iter().any(|name| problem.is(name));
        if is_about_it && matches!(self.stage, Stage::NewOrder) && self.request.replaces.take().is_some() {
            return self.ask();
        }
        let status = response.status;
        self.fail(self.stage.name(), FailureKind::Refused { status, problem }, retry_after);
    }

    /// Asks for what the stage waits for, or first for a nonce.
    fn ask(&mut self) {
        match self.next_request() {
            Ok(request) => self.next = Next::Send(request),
            Err(why) => self.fail(self.stage.name(), why, None),
        }
    }

    fn next_request(&mut self) -> Result<Request, FailureKind> {
        let Some(directory) = &self.session.directory else {
            return Ok(unsigned(Method::Get, &self.request.directory));
        };
        let Some(nonce) = self.session.nonce.take() else {
            return Ok(unsigned(Method::Head, &directory.new_nonce));
        };
        let (url, payload) = match &self.stage {
            // Neither is entered once there is a directory.
            Stage::Directory | Stage::Ended => return Ok(unsigned(Method::Get, &self.request.directory)),
            Stage::Account => (&directory.new_account, self.account_payload(directory).to_string()),
            Stage::NewOrder => (&directory.new_order, self.order_payload(directory).to_string()),
            Stage::Challenge(_, challenged) => (&challenged.url, "{}".to_owned()),
            Stage::Finalize(placed) => (&placed.finalize, json!({ "csr": base64url(&self.csr) }).to_string()),
            Stage::Authorization(placed) | Stage::Validated(placed, _) => {
                (placed.left.front().unwrap_or(&placed.url), String::new())
            }
            Stage::Issued(placed) => (&placed.url, String::new()),
            Stage::Certificate { url } => (url, String::new()),
        };
        let signer = self.session.account.as_deref().map_or(Signer::Key, Signer::Account);
        let body = signed(&self.key, &signer, &nonce, url, &payload);
        let body = body.map_err(|error| FailureKind::Key(error.to_string()))?;
        Ok(Request { method: Method::Post, url: url.clone(), body })
    }

    /// RFC 8555 §7.3. A key that has an account already gets the one that it has.
    fn account_payload(&self, directory: &Directory) -> Value {
        let mut payload =
            json!({ "termsOfServiceAgreed": self.request.terms_agreed, "contact": self.request.contacts });
        if let Some(external) = &self.request.external_account {
            payload["externalAccountBinding"] = binding(&self.key, external, &directory.new_account);
        }
        payload
    }

    /// RFC 8555 §7.4.
    fn order_payload(&self, directory: &Directory) -> Value {
        let identifier = |domain: &String| json!({ "type": "dns", "value": domain.to_ascii_lowercase() });
        let identifiers: Vec<_> = self.request.domains.iter().map(identifier).collect();
        let mut payload = json!({ "identifiers": identifiers });
        // An authority without renewal information does not know the member.
        if let (Some(replaced), Some(_)) = (&self.request.replaces, &directory.renewal_info) {
            payload["replaces"] = replaced.to_string().into();
        }
        payload
    }

    fn on_directory(&mut self, response: &Response<'_>) -> Result<Move, FailureKind> {
        let directory = Directory::parse(response.body)?;
        if directory.needs_external_account && self.request.external_account.is_none() {
            let why = "the authority wants accounts to be bound to one of its own, and none is named";
            return Err(FailureKind::Unsupported(why.into()));
        }
        if let Some(terms) = &directory.terms
            && !self.request.terms_agreed
        {
            return Err(FailureKind::TermsNotAgreed(terms.clone()));
        }
        self.session.directory = Some(directory);
        Ok(Move::Now(Stage::Account))
    }

    fn on_account(&mut self, response: &Response<'_>) -> Result<Move, FailureKind> {
        let account = url(response.location, "the account")?;
        if let Some(status @ ("deactivated" | "revoked")) = json(response.body)?["status"].as_str() {
            let why = format!("the account is {status}: another key of an account is needed");
            return Err(FailureKind::Unsupported(why));
        }
        self.session.account = Some(account);
        Ok(Move::Now(Stage::NewOrder))
    }

    fn on_authorization(&mut self, mut placed: Placed, response: &Response<'_>) -> Result<Move, FailureKind> {
        let authorization = Authorization::parse(response.body)?;
        let domain = &authorization.domain;
        // Nothing is published for names that were not ordered.
        if !self.request.domains.iter().any(|ours| ours.eq_ignore_ascii_case(domain)) {
            return Err(FailureKind::Malformed(
                "an authorization is for a domain that was not ordered".into(),
            ));
        }
        match authorization.status {
            AuthorizationStatus::Valid => {
                placed.left.pop_front();
                Ok(Move::Now(placed.next_stage()))
            }
            AuthorizationStatus::Over => Err(not_valid(&authorization)),
            AuthorizationStatus::Pending => {
                let challenge = authorization.challenge(self.request.challenge)?;
                let validation = challenge.validation(self.request.challenge, domain, &self.key);
                let challenged = Challenged { url: challenge.url.clone(), validation };
                Ok(Move::Published(Stage::Challenge(placed, challenged)))
            }
        }
    }
}

impl Placed {
    /// The next authorization, or the order once more, which is ready then.
    fn next_stage(self) -> Stage {
        if self.left.is_empty() { Stage::Issued(self) } else { Stage::Authorization(self) }
    }
}

fn on_new_order(response: &Response<'_>) -> Result<Move, FailureKind> {
    let order = Order::parse(response.body)?;
    let url = url(response.location, "the order")?;
    let left = match order.status {
        OrderStatus::Pending => order.authorizations.iter().cloned().collect(),
        _ => VecDeque::new(),
    };
    let placed = Placed { url, finalize: order.finalize.clone(), left, is_finalized: false };
    match placed.left.is_empty() {
        true => advance(placed, order),
        false => Ok(Move::Now(Stage::Authorization(placed))),
    }
}

fn on_validated(
    mut placed: Placed,
    challenged: Challenged,
    response: &Response<'_>,
) -> Result<Move, FailureKind> {
    let authorization = Authorization::parse(response.body)?;
    match authorization.status {
        AuthorizationStatus::Pending => Ok(Move::Later(Stage::Validated(placed, challenged))),
        AuthorizationStatus::Over => Err(not_valid(&authorization)),
        AuthorizationStatus::Valid => {
            placed.left.pop_front();
            Ok(Move::Now(placed.next_stage()))
        }
    }
}

fn on_order(placed: Placed, response: &Response<'_>) -> Result<Move, FailureKind> {
    advance(placed, Order::parse(response.body)?)
}

/// What follows on the status of an order without authorizations that are left. RFC 8555 §7.4.
fn advance(placed: Placed, order: Order) -> Result<Move, FailureKind> {
    match order.status {
        OrderStatus::Ready if !placed.is_finalized => Ok(Move::Now(Stage::Finalize(placed))),
        // Valid authorizations take a moment to make an order ready, and a finalized order to be processed.
        OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => {
            Ok(Move::Later(Stage::Issued(placed)))
        }
        OrderStatus::Invalid => Err(FailureKind::Invalid { domain: String::new(), problem: order.error }),
        OrderStatus::Valid => match order.certificate {
            Some(url) => Ok(Move::Now(Stage::Certificate { url })),
            None => Err(FailureKind::Malformed("an order is valid and has no certificate".into())),
        },
    }
}

fn not_valid(authorization: &Authorization) -> FailureKind {
    FailureKind::Invalid { domain: authorization.domain.clone(), problem: authorization.error() }
}

pub(crate) fn unsigned(method: Method, url: &str) -> Request {
    Request { method, url: url.to_owned(), body: String::new() }
}

/// A `Retry-After` field: seconds, or a date. RFC 9110 §10.2.3.
pub(crate) fn retry_after(text: &str, unix_seconds: i64) -> Option<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let at = HttpDate::parse(text.as_bytes(), HttpDate::from_unix(unix_seconds))?;
    Some(Duration::from_secs(u64::try_from(at.unix_seconds() - unix_seconds).unwrap_or_default()))
}

impl fmt::Debug for Issuance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains = &self.request.domains;
        f.debug_struct("Issuance")
            .field("domains", domains)
            .field("during", &self.stage.name())
            .finish_non_exhaustive()
    }
}
