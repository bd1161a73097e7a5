//! Authentication: Basic credentials (RFC 7617), password files, and the cost of wrong guesses.
//!
//! What was right lately is known at once; everything else is hashed on a pool of its own, so that no loop waits for it and no flood of
//! guesses takes more than its threads.

mod htpasswd;

pub use htpasswd::{HTPASSWD_BYTES_MAX, Htpasswd, PASSWORD_BYTES_MAX, Problem};

use crate::cache::{Cache, Cost};
use crate::flights::Flights;
use crate::pool::{Panicked, Pool, PoolOptions, Refusal};
use crate::{CacheLimits, Ticket};
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lws_proto::Time;
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A user and a password, as a request brings them. RFC 7617 §2.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user()).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the value of `Authorization`. `None` if it has another scheme, or breaks the grammar of this one.
    ///
    /// ```
    /// use lws_files::Credentials;
    ///
    /// let credentials = Credentials::parse(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").expect("from the RFC");
    /// assert_eq!(credentials.user(), "Aladdin");
    /// ```
    #[must_use]
    pub fn parse(authorization: &[u8]) -> Option<Self> {
        let (scheme, rest) = authorization.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let pair = base64::engine::general_purpose::STANDARD.decode(rest.trim_ascii()).ok()?;
        // "The user-id and password MUST NOT contain any control characters".
        if pair.iter().any(u8::is_ascii_control) {
            return None;
        }
        let colon = pair.iter().position(|&byte| byte == b':')?;
        let (user, password) = (pair[..colon].to_vec(), pair[colon + 1..].to_vec());
        (password.len() <= PASSWORD_BYTES_MAX).then_some(Self { user, password })
    }

    /// The user, with what is no UTF-8 replaced.
    #[must_use]
    pub fn user(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.user)
    }
}

/// The value of `WWW-Authenticate` that asks for credentials. RFC 7617 §2.
#[must_use]
pub fn challenge(realm: &str) -> String {
    let mut value = String::from("Basic realm=\"");
    for char in realm.chars().filter(|char| !char.is_control()) {
        if matches!(char, '"' | '\\') {
            value.push('\\');
        }
        value.push(char);
    }
    value.push_str("\", charset=\"UTF-8\"");
    value
}

/// What guesses may cost, and how long a right one is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordLimits {
    /// How long a password that was right is believed. Default one minute; five at most make sense.
    pub believed: Duration,
    /// Passwords that were right lately. Default 1000.
    pub believed_max: usize,
    /// Guesses in a minute that may be wrong, from one IPv4 address or one /64 of IPv6. Default 10.
    pub wrong_per_minute: u32,
    /// Networks whose wrong guesses are counted. Past it those that guessed first are forgotten. Default 10,000.
    pub networks_max: usize,
}

impl Default for PasswordLimits {
    fn default() -> Self {
        Self {
            believed: Duration::from_secs(60),
            believed_max: 1000,
            wrong_per_minute: 10,
            networks_max: 10_000,
        }
    }
}

/// What can be said of credentials at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They were right a moment ago.
    Accepted,
    /// The client has guessed wrong too often: 429, without any work.
    TooManyFailures,
    /// They have to be verified, by [`Passwords::verify`].
    Unknown,
}

/// Lets users in. A clone shares everything.
///
/// The loop asks [`Passwords::check`] first, and for [`Verdict::Unknown`] has them verified on a pool. No password is kept: what is
/// believed is named by an HMAC, whose key is made anew by each process.
#[derive(Clone, Debug)]
pub struct Passwords(Arc<SharedPasswords>);

/// Names credentials without telling them.
type Name = [u8; 32];

struct SharedPasswords {
    users: Mutex<Arc<Htpasswd>>,
    secret: [u8; 32],
    believed: Cache<Name, ()>,
    flights: Flights<Name, bool>,
    failures: Mutex<Failures>,
}

impl fmt::Debug for SharedPasswords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

/// Nothing that can panic runs while these are held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Passwords {
    /// A pool for hashes: two threads, so that the rest of the machine goes on, and a short queue.
    pub const POOL: PoolOptions = PoolOptions { threads_max: 2, queued_max: 32 };

    /// Those of `users`.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn new(users: Htpasswd, limits: PasswordLimits) -> io::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        // The cache counts bytes, and an eighth of them is what one entry may have.
        let bytes_max = limits.believed_max.max(8) * crate::cache::ENTRY_BYTES;
        let fresh = limits.believed;
        let believed = Cache::new(CacheLimits { bytes_max, descriptors_max: 0, fresh, idle: fresh });
        let failures = Mutex::new(Failures::new(limits.wrong_per_minute, limits.networks_max));
        let (users, flights) = (Mutex::new(Arc::new(users)), Flights::default());
        Ok(Self(Arc::new(SharedPasswords { users, secret, believed, flights, failures })))
    }

    /// Replaces the users, and forgets the verified credentials.
    pub fn replace(&self, users: Htpasswd) {
        *lock(&self.0.users) = Arc::new(users);
        self.0.believed.clear();
    }

    /// What can be said without hashing.
    #[must_use]
    pub fn check(&self, credentials: &Credentials, address: IpAddr, now: Time) -> Verdict {
        if self.0.believed.get(&self.0.name(credentials), now).is_some() {
            return Verdict::Accepted;
        }
        match lock(&self.0.failures).is_exhausted(address, now) {
            true => Verdict::TooManyFailures,
            false => Verdict::Unknown,
        }
    }

    /// Has credentials verified on `pool`, and `deliver` called there with whether they are right. Those who bring the same at the same
    /// time have it done once.
    ///
    /// # Errors
    /// The pool takes no more: 503.
    pub fn verify(
        &self,
        credentials: Credentials,
        address: IpAddr,
        now: Time,
        pool: &Pool,
        deliver: impl FnOnce(bool) + Send + 'static,
    ) -> Result<Ticket, Refusal> {
        let name = self.0.name(&credentials);
        let worker = Arc::clone(&self.0);
        let work = move || {
            let right = worker.verify(&credentials, name, now);
            if right {
                lock(&worker.failures).forgive(address);
            }
            right
        };
        let deliver = move |right: Result<bool, Panicked>| deliver(right.unwrap_or(false));
        // Charged before it is known to be wrong, and given back if it is right: else a hundred guesses at once would be one.
        lock(&self.0.failures).charge(address, now);
        let joined = self.0.flights.join(name, pool, work, deliver);
        if !matches!(joined, Ok((_, true))) {
            // The same guess as another one at the same time is one guess, and a page may ask for much at once.
            lock(&self.0.failures).forgive(address);
        }
        joined.map(|(ticket, _)| ticket)
    }

    /// Stops waiting for a verdict.
    pub fn cancel(&self, ticket: Ticket) {
        self.0.flights.cancel(ticket);
    }
}

impl SharedPasswords {
    fn verify(&self, credentials: &Credentials, name: Name, now: Time) -> bool {
        let users = Arc::clone(&lock(&self.users));
        let right = users.verify(&credentials.user, &credentials.password);
        // Others may have taken the place of these users meanwhile.
        let current = lock(&self.users);
        if right && Arc::ptr_eq(&users, &current) {
            self.believed.put(name, (), Cost::default(), now);
        }
        right
    }

    fn name(&self, credentials: &Credentials) -> Name {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else {
            // A key of HMAC may have any length.
            return [0; 32];
        };
        // With the length in front no two pairs make the same bytes.
        mac.update(&(credentials.user.len() as u64).to_le_bytes());
        mac.update(&credentials.user);
        mac.update(&credentials.password);
        mac.finalize().into_bytes().into()
    }
}

/// Wrong guesses by network.
#[derive(Debug)]
struct Failures {
    per_minute: u32,
    networks_max: usize,
    by_network: HashMap<[u8; 8], Window>,
}

/// The guesses of one network in one minute.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Time,
    wrong: u32,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Failures {
    fn new(per_minute: u32, networks_max: usize) -> Self {
        Self { per_minute, networks_max: networks_max.max(1), by_network: HashMap::new() }
    }

    fn is_exhausted(&self, address: IpAddr, now: Time) -> bool {
        let window = self.by_network.get(&network(address));
        window.is_some_and(|window| now - window.began < MINUTE && window.wrong >= self.per_minute)
    }

    fn charge(&mut self, address: IpAddr, now: Time) {
        let network = network(address);
        if !self.by_network.contains_key(&network) && self.by_network.len() >= self.networks_max {
            self.make_room(now);
        }
        let window = self.by_network.entry(network).or_insert(Window { began: now, wrong: 0 });
        if now - window.began >= MINUTE {
            *window = Window { began: now, wrong: 0 };
        }
        window.wrong = window.wrong.saturating_add(1);
    }

    fn forgive(&mut self, address: IpAddr) {
        if let Some(window) = self.by_network.get_mut(&network(address)) {
            window.wrong = window.wrong.saturating_sub(1);
        }
    }

    /// Forgets those whose minute is over, or else the half that began first: so that each place is paid for once.
    fn make_room(&mut self, now: Time) {
        self.by_network.retain(|_, window| now - window.began < MINUTE);
        if self.by_network.len() < self.networks_max {
            return;
        }
        let mut times: Vec<Time> = self.by_network.values().map(|window| window.began).collect();
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or(now);
        self.by_network.retain(|_, window| window.began > median);
    }
}

/// What is counted together: an IPv4 address, or the /64 that a customer has of IPv6.
fn network(address: IpAddr) -> [u8; 8] {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [0, 0, 0, 0, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let mut network = [0; 8];
            network.copy_from_slice(&address.octets()[..8]);
            network
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const ANN: &[u8] = b"ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    const SECOND: u64 = 1_000_000;

    fn credentials(pair: &str) -> Credentials {
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Credentials::parse(format!("basic {encoded}").as_bytes()).expect("they are")
    }

    fn verify(passwords: &Passwords, pair: &str, address: IpAddr, now: Time, pool: &Pool) -> bool {
        let (sender, results) = mpsc::channel();
        let deliver = move |right| sender.send(right).expect("the test waits");
        passwords.verify(credentials(pair), address, now, pool, deliver).expect("there is room");
        results.recv().expect("it comes")
    }

    #[test]
    fn credentials_are_read_by_the_grammar() {
        for authorization in
            ["Basic ", "Basic !", "Basic YQ==", "Bearer YTpi", "Basic YTpi\u{e9}", "Basic YTphCg==", ""]
        {
            assert_eq!(Credentials::parse(authorization.as_bytes()), None, "{authorization}");
        }
        let pair = credentials("ann:a:b");
        assert_eq!((pair.user(), &pair.password[..]), ("ann".into(), &b"a:b"[..]));
        assert_eq!(format!("{pair:?}"), "Credentials { user: \"ann\", .. }");
        assert_eq!(challenge("a \"b\"\n\\"), "Basic realm=\"a \\\"b\\\"\\\\\", charset=\"UTF-8\"");
    }

    #[test]
    fn a_right_password_is_believed_for_a_while_and_a_replaced_file_has_no_cached_password() {
        let passwords =
            Passwords::new(Htpasswd::parse(ANN), PasswordLimits::default()).expect("random bytes");
        let pool = Pool::new("passwords", Passwords::POOL);
        let address = IpAddr::from([192, 0, 2, 1]);
        let right = credentials("ann:secret");
        assert_eq!(passwords.check(&right, address, Time::ZERO), Verdict::Unknown);
        assert!(verify(&passwords, "ann:secret", address, Time::ZERO, &pool));
        assert_eq!(passwords.check(&right, address, Time::from_micros(59 * SECOND)), Verdict::Accepted);
        assert_eq!(passwords.check(&right, address, Time::from_micros(60 * SECOND)), Verdict::Unknown);
        assert!(verify(&passwords, "ann:secret", address, Time::ZERO, &pool));
        passwords.replace(Htpasswd::parse(b""));
        assert_eq!(passwords.check(&right, address, Time::ZERO), Verdict::Unknown);
        assert!(!verify(&passwords, "ann:secret", address, Time::ZERO, &pool));
    }

    #[test]
    fn wrong_guesses_are_counted_by_network_and_right_ones_are_not() {
        let passwords =
            Passwords::new(Htpasswd::parse(ANN), PasswordLimits::default()).expect("random bytes");
        let pool = Pool::new("passwords", Passwords::POOL);
        let address: IpAddr = "2001:db8::1".parse().expect("an address");
        let (neighbour, other): (IpAddr, IpAddr) =
            ("2001:db8::ffff".parse().expect("an address"), "2001:db8:0:1::1".parse().expect("an address"));
        let unknown = credentials("ann:guess");
        for n in 0..10 {
            assert_eq!(passwords.check(&unknown, address, Time::ZERO), Verdict::Unknown, "{n}");
            assert!(!verify(&passwords, &format!("ann:guess{n}"), address, Time::ZERO, &pool));
            assert!(verify(&passwords, "ann:secret", address, Time::ZERO, &pool), "it costs nothing");
        }
        assert_eq!(passwords.check(&unknown, address, Time::ZERO), Verdict::TooManyFailures);
        assert_eq!(passwords.check(&unknown, neighbour, Time::ZERO), Verdict::TooManyFailures);
        assert_eq!(passwords.check(&unknown, other, Time::ZERO), Verdict::Unknown);
        assert_eq!(passwords.check(&credentials("ann:secret"), address, Time::ZERO), Verdict::Accepted);
        assert_eq!(passwords.check(&unknown, address, Time::from_micros(60 * SECOND)), Verdict::Unknown);
    }

    #[test]
    fn networks_are_forgotten_past_the_limit() {
        let mut failures = Failures::new(1, 4);
        let address = |n: u8| IpAddr::from([192, 0, 2, n]);
        for n in 0..4 {
            failures.charge(address(n), Time::from_micros(n.into()));
        }
        let exhausted = |failures: &Failures, n| failures.is_exhausted(address(n), Time::from_micros(9));
        assert!((0..4).all(|n| exhausted(&failures, n)), "at the limit");
        failures.charge(address(4), Time::from_micros(9));
        assert!(exhausted(&failures, 4) && exhausted(&failures, 3) && !exhausted(&failures, 0));
        assert!(failures.by_network.len() <= 4);
    }

    #[test]
    fn the_same_credentials_many_times_at_once_are_one_guess() {
        let passwords =
            Passwords::new(Htpasswd::parse(ANN), PasswordLimits::default()).expect("random bytes");
        let pool = Pool::new("test", PoolOptions { threads_max: 1, queued_max: 4 });
        let address = IpAddr::from([192, 0, 2, 1]);
        // Nothing is hashed before all have asked.
        let (go, gone) = mpsc::channel::<()>();
        let slot = pool.reserve().expect("there is room");
        slot.call(move || gone.recv(), |_| ());
        let (sender, results) = mpsc::channel();
        for _ in 0..15 {
            let pair = credentials("ann:secret");
            assert_eq!(passwords.check(&pair, address, Time::ZERO), Verdict::Unknown, "none is refused");
            let sender = sender.clone();
            let deliver = move |right| sender.send(right).expect("the test waits");
            passwords.verify(pair, address, Time::ZERO, &pool, deliver).expect("there is room");
        }
        go.send(()).expect("it waits");
        assert!(results.iter().take(15).all(|right| right));
    }
}
