//! Files of users and hashed passwords, as `htpasswd` writes them.
//!
//! Verifies, and knows no requests. To verify takes as long as the hash was made to: it is work for a [`Pool`](crate::Pool).

use argon2::PasswordVerifier as _;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Bytes of a file. Past it, it is no file of passwords.
pub const HTPASSWD_BYTES_MAX: usize = 4 << 20;

/// Bytes of a password. The work of some hashes grows with it.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// What bcrypt looks at. A longer password would be cut off silently, and is refused instead.
const BCRYPT_BYTES_MAX: usize = 72;

/// What one hash may cost, so that a line of a file is no denial of service: bcrypt 2^15 (2 s), argon2 128 MiB, 8 rounds and 4
/// lanes, SHA-crypt a million rounds.
mod cost {
    pub(super) const BCRYPT_MAX: u32 = 15;
    pub(super) const ARGON2_KIB_MAX: u32 = 128 << 10;
    pub(super) const ARGON2_ROUNDS_MAX: u32 = 8;
    pub(super) const ARGON2_LANES_MAX: u32 = 4;
    pub(super) const SHA_ROUNDS_MAX: u32 = 1_000_000;
    /// Below it a stolen file is read quickly. It is what `htpasswd -B` makes if nothing else is said.
    pub(super) const BCRYPT_GOOD: u32 = 10;
}

/// A hashed password of a form that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hash {
    /// `$2a$`, `$2b$`, `$2y$`
    Bcrypt(Box<str>),
    /// `$argon2id$`, `$argon2i$`, `$argon2d$`
    Argon2(Box<str>),
    /// `$5$`, `$6$`
    ShaCrypt(Box<str>),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Not `user:hash`.
    Malformed,
    /// The user is there already. The first line counts.
    Duplicate,
    /// The form of the hash, whose name this is, is too weak and admits no user.
    Weak(&'static str),
    /// It would cost more than one hash may.
    TooCostly,
    /// It costs so little that a stolen file would be read quickly. It is accepted.
    Cheap,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a user, a colon and a hash"),
            Self::Duplicate => f.write_str("the user is there already"),
            Self::Weak(form) => write!(f, "{form} is too weak, and refused: use bcrypt, argon2 or SHA-crypt"),
            Self::TooCostly => f.write_str("the hash costs too much, and is refused"),
            Self::Cheap => f.write_str("the hash costs so little that a stolen file is read quickly"),
        }
    }
}

/// Users and their hashed passwords.
///
/// ```
/// use lws_files::{Htpasswd, Problem};
///
/// let file = "# users\nann:$2y$12$.....................................................\nbob:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n";
/// let users = Htpasswd::parse(file.as_bytes());
/// assert!(users.problems().iter().any(|(line, problem)| (*line, *problem) == (3, Problem::Weak("SHA-1"))));
/// ```
#[derive(Debug, Default)]
pub struct Htpasswd {
    users: HashMap<Box<[u8]>, Hash>,
    /// What is verified for users that there are not, so that those take as long: the first hash of the file.
    decoy: Option<Hash>,
    problems: Vec<(usize, Problem)>,
}

impl Htpasswd {
    /// Reads a file. Lines with problems are left out, unless the problem says otherwise.
    #[must_use]
    pub fn parse(file: &[u8]) -> Self {
        let mut users = Self::default();
        let file = &file[..file.len().min(HTPASSWD_BYTES_MAX)];
        for (at, line) in file.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.trim_ascii().is_empty() && !line.starts_with(b"#") {
                users.add(at + 1, line);
            }
        }
        users
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is larger than any file of passwords; with its name in the message.
    pub fn read(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let mut file = Vec::new();
        let most = HTPASSWD_BYTES_MAX as u64 + 1;
        let read = File::open(path).and_then(|opened| opened.take(most).read_to_end(&mut file));
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        read.map_err(named)?;
        if file.len() > HTPASSWD_BYTES_MAX {
            return Err(named(io::Error::new(io::ErrorKind::FileTooLarge, "not a file of passwords")));
        }
        Ok(Self::parse(&file))
    }

    fn add(&mut self, number: usize, line: &[u8]) {
        let mut fields = line.splitn(3, |&byte| byte == b':');
        let (user, hash) = (fields.next().unwrap_or_default(), fields.next());
        let hash = hash.and_then(|hash| str::from_utf8(hash).ok()).filter(|_| !user.is_empty());
        let read = hash.ok_or(Problem::Malformed).and_then(Hash::parse);
        match read {
            Ok(_) if self.users.contains_key(user) => self.problems.push((number, Problem::Duplicate)),
            Ok(hash) => {
                if hash.is_cheap() {
                    self.problems.push((number, Problem::Cheap));
                }
                self.decoy.get_or_insert_with(|| hash.clone());
                self.users.insert(user.into(), hash);
            }
            Err(problem) => self.problems.push((number, problem)),
        }
    }

    /// What is wrong, by the numbers of the lines.
    #[must_use]
    pub fn problems(&self) -> &[(usize, Problem)] {
        &self.problems
    }

    /// How many users there are who may be let in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether this is the password of the user. It takes long, also for a user that there is not.
    #[must_use]
    pub fn verify(&self, user: &[u8], password: &[u8]) -> bool {
        if password.len() > PASSWORD_BYTES_MAX || password.contains(&0) {
            return false;
        }
        match (self.users.get(user), &self.decoy) {
            (Some(hash), _) => hash.verify(password),
            (None, Some(decoy)) => {
                // The result is not used: the work keeps the time from revealing that the user does not exist.
                let _ = std::hint::black_box(decoy.verify(password));
                false
            }
            (None, None) => false,
        }
    }
}

impl Hash {
    fn parse(hash: &str) -> Result<Self, Problem> {
        let mut fields = hash.strip_prefix('$').unwrap_or_default().split('$');
        let (form, parameters) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        match form {
            "2a" | "2b" | "2y" => Self::parse_bcrypt(hash, parameters),
            "argon2id" | "argon2i" | "argon2d" => Self::parse_argon2(hash),
            "5" | "6" => Self::parse_sha_crypt(hash, parameters),
            "apr1" | "1" => Err(Problem::Weak("MD5")),
            "2x" => Err(Problem::Weak("broken bcrypt")),
            "" if hash.starts_with("{SHA}") => Err(Problem::Weak("SHA-1")),
            "" if hash.starts_with("{SSHA}") => Err(Problem::Weak("salted SHA-1")),
            "" if hash.is_empty() => Err(Problem::Malformed),
            // crypt(3) has 13 characters. Everything else is a password as it is.
            "" if hash.len() == 13 => Err(Problem::Weak("DES or plain text")),
            "" => Err(Problem::Weak("plain text")),
            _ => Err(Problem::Weak("an unknown form")),
        }
    }

    fn parse_bcrypt(hash: &str, cost: &str) -> Result<Self, Problem> {
        let cost: u32 = Some(cost)
            .filter(|cost| cost.len() == 2)
            .and_then(|cost| cost.parse().ok())
            .ok_or(Problem::Malformed)?;
        match (hash.len(), cost) {
            (60, 4..=cost::BCRYPT_MAX) => Ok(Self::Bcrypt(hash.into())),
            (60, _) => Err(Problem::TooCostly),
            _ => Err(Problem::Malformed),
        }
    }

    fn parse_argon2(hash: &str) -> Result<Self, Problem> {
        let parsed = argon2::PasswordHash::new(hash).map_err(|_| Problem::Malformed)?;
        let parameters = argon2::Params::try_from(&parsed).map_err(|_| Problem::Malformed)?;
        let fits = parameters.m_cost() <= cost::ARGON2_KIB_MAX
            && parameters.t_cost() <= cost::ARGON2_ROUNDS_MAX
            && parameters.p_cost() <= cost::ARGON2_LANES_MAX;
        if fits { Ok(Self::Argon2(hash.into())) } else { Err(Problem::TooCostly) }
    }

    fn parse_sha_crypt(hash: &str, parameters: &str) -> Result<Self, Problem> {
        let rounds = parameters.strip_prefix("rounds=").map(str::parse::<u32>);
        match rounds {
            Some(Err(_)) => Err(Problem::Malformed),
            Some(Ok(cost::SHA_ROUNDS_MAX..)) => Err(Problem::TooCostly),
            _ if hash.split('$').count() < 4 => Err(Problem::Malformed),
            _ => Ok(Self::ShaCrypt(hash.into())),
        }
    }

    fn is_cheap(&self) -> bool {
        match self {
            Self::Bcrypt(hash) => hash[4..6].parse::<u32>().is_ok_and(|cost| cost < cost::BCRYPT_GOOD),
            Self::Argon2(_) | Self::ShaCrypt(_) => false,
        }
    }

    fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => {
                password.len() <= BCRYPT_BYTES_MAX && bcrypt::verify(password, hash).unwrap_or(false)
            }
            Self::Argon2(hash) => argon2::Argon2::default().verify_password(password, &**hash).is_ok(),
            Self::ShaCrypt(hash) => sha_crypt::PasswordVerifier::verify_password(
                &sha_crypt::ShaCrypt::default(),
                password,
                &**hash,
            )
            .is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA_512: &str =
        "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.";
    const SHA_512_ROUNDS: &str = "$6$rounds=1000$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPlAKmFFlrjEwSXGo2kgY5hR2.peKEg2VGUqIJJu1";
    const SHA_256: &str = "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.";
    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

    fn argon2() -> String {
        use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
        let parameters = Params::new(64, 1, 1, None).expect("small");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        argon2.hash_password_with_salt(b"secret", b"saltsalt").expect("a hash").to_string()
    }

    #[test]
    fn the_hashes_of_others_are_verified() {
        let argon2 = argon2();
        for hash in [SHA_512, SHA_512_ROUNDS, SHA_256, BCRYPT, &BCRYPT.replace("$2b$", "$2y$"), &argon2] {
            let users = Htpasswd::parse(format!("ann:{hash}:comment\r\n").as_bytes());
            assert_eq!(users.len(), 1, "{hash} {:?}", users.problems());
            assert!(users.verify(b"ann", b"secret"), "{hash}");
            for (user, password) in [("ann", "Secret"), ("ann", ""), ("bob", "secret"), ("", "secret")] {
                assert!(!users.verify(user.as_bytes(), password.as_bytes()), "{hash} {user} {password}");
            }
        }
    }

    #[test]
    fn weak_and_costly_forms_are_named_by_their_lines_and_admit_no_user() {
        let costly = argon2().replace("m=64", "m=4194304");
        for (line, problem) in [
            ("ann:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", Problem::Weak("MD5")),
            ("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", Problem::Weak("SHA-1")),
            ("ann:rqXexS6ZhobKA", Problem::Weak("DES or plain text")),
            ("ann:secret", Problem::Weak("plain text")),
            ("ann:$7$abc", Problem::Weak("an unknown form")),
            ("ann", Problem::Malformed),
            ("ann:", Problem::Malformed),
            (":secret", Problem::Malformed),
            ("ann:$2b$04$short", Problem::Malformed),
            ("ann:$6$", Problem::Malformed),
            ("ann:$argon2id$v=19$m=x", Problem::Malformed),
            (&format!("ann:{}", BCRYPT.replace("$04$", "$31$")), Problem::TooCostly),
            (&format!("ann:{}", SHA_512_ROUNDS.replace("1000", "999999999")), Problem::TooCostly),
            (&format!("ann:{costly}"), Problem::TooCostly),
        ] {
            let users = Htpasswd::parse(format!("# comment\n\n{line}\n").as_bytes());
            assert_eq!(users.problems(), [(3, problem)], "{line}");
            assert!(users.is_empty() && !users.verify(b"ann", b"secret"), "{line}");
        }
        let users = Htpasswd::parse(format!("ann:{SHA_256}\nann:{SHA_512}\nbob:{BCRYPT}").as_bytes());
        assert_eq!(users.problems(), [(2, Problem::Duplicate), (3, Problem::Cheap)]);
        assert!(users.verify(b"bob", b"secret"), "cheap ones are accepted");
    }

    #[test]
    fn what_a_hash_would_cut_off_is_refused() {
        let password = "p".repeat(BCRYPT_BYTES_MAX);
        let hash = bcrypt::hash(&password, 4).expect("a hash");
        let users = Htpasswd::parse(format!("ann:{hash}\nbob:{SHA_256}").as_bytes());
        assert!(users.verify(b"ann", password.as_bytes()));
        assert!(!users.verify(b"ann", format!("{password}x").as_bytes()));
        assert!(!users.verify(b"bob", b"secret\0"));
        assert!(!users.verify(b"bob", &[b'x'; PASSWORD_BYTES_MAX + 1]));
    }
}
