//! Digest access authentication. RFC 7616. Pure, but for the random octets of a client nonce.

use crate::Fields;
use crate::request::Request;
use lws_loop_external::SystemEntropy;
use lws_proto::Entropy;
use md5::{Digest as _, Md5};
use sha2::Sha256;
use std::fmt::Write as _;

/// User and password. They are never sent, and not used behind a redirect to another origin.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// User and password.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned() }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The challenge of a server, and how often it was answered.
#[derive(Debug, Default)]
pub(crate) struct DigestState {
    challenge: Option<Challenge>,
    client_nonce: String,
    answers: u32,
}

/// Answers to one request: one, and one more where the nonce was too old.
const ANSWERS_MAX: u32 = 2;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// The algorithm as the server wrote it, to be repeated.
    algorithm_text: Option<String>,
    session: bool,
    /// The server wants the request counted: RFC 7616 §3.3. Without it it is that of RFC 2069.
    quality: bool,
    stale: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    #[default]
    Md5,
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        let bytes = match self {
            Self::Md5 => Md5::digest(text).to_vec(),
            Self::Sha256 => Sha256::digest(text).to_vec(),
        };
        hexadecimal(&bytes)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl DigestState {
    /// Whether a 401 asks for something that can be answered, and was not answered in vain.
    pub(crate) fn is_challenged(&mut self, has_credentials: bool, fields: &Fields) -> bool {
        if !has_credentials || self.answers >= ANSWERS_MAX {
            return false;
        }
        // The strongest that is offered. RFC 7616 §3.7.
        let challenges = fields.get_all("www-authenticate").filter_map(|it| std::str::from_utf8(it).ok());
        let best = challenges.flat_map(parse).max_by_key(|challenge| challenge.algorithm);
        let Some(challenge) = best else { return false };
        if self.answers > 0 && !challenge.stale {
            return false;
        }
        let mut nonce = [0; 16];
        let Ok(mut entropy) = SystemEntropy::new() else { return false };
        entropy.fill(&mut nonce);
        self.client_nonce = hexadecimal(&nonce);
        self.answers += 1;
        self.challenge = Some(challenge);
        true
    }

    /// Adds the answer to a request.
    pub(crate) fn authorize(
        &self,
        credentials: Option<&Credentials>,
        request: &Request,
        fields: &mut Fields,
    ) {
        let (Some(challenge), Some(credentials)) = (&self.challenge, credentials) else { return };
        let answer =
            challenge.answer(credentials, &request.method, &request.url.target(), &self.client_nonce);
        fields.set("authorization", answer);
    }
}

impl Challenge {
    /// The value of `Authorization`. RFC 7616 §3.4.
    fn answer(&self, credentials: &Credentials, method: &str, target: &str, client_nonce: &str) -> String {
        const COUNT: &str = "00000001";
        let Self { realm, nonce, .. } = self;
        let hash = |text: String| self.algorithm.hash(&text);
        let mut secret = hash(format!("{}:{realm}:{}", credentials.user, credentials.password));
        if self.session {
            secret = hash(format!("{secret}:{nonce}:{client_nonce}"));
        }
        let what = hash(format!("{method}:{target}"));
        let response = if self.quality {
            hash(format!("{secret}:{nonce}:{COUNT}:{client_nonce}:auth:{what}"))
        } else {
            hash(format!("{secret}:{nonce}:{what}"))
        };
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let mut answer = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{target}\", response=\"{response}\"",
            quoted(&credentials.user),
            quoted(realm),
            quoted(nonce),
        );
        if let Some(algorithm) = &self.algorithm_text {
            answer.push_str(&format!(", algorithm={algorithm}"));
        }
        if let Some(opaque) = &self.opaque {
            answer.push_str(&format!(", opaque=\"{}\"", quoted(opaque)));
        }
        if self.quality {
            answer.push_str(&format!(", qop=auth, nc={COUNT}, cnonce=\"{client_nonce}\""));
        }
        answer
    }
}

/// The Digest challenges of one field that can be answered. RFC 9110 §11.6.1.
fn parse(value: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut current: Option<Vec<(String, String)>> = None;
    for (scheme, name, value) in parameters(value) {
        if let Some(scheme) = scheme {
            challenges.extend(current.take().and_then(|list| Challenge::of(&list)));
            current = scheme.eq_ignore_ascii_case("digest").then(Vec::new);
        }
        if let Some(list) = &mut current {
            list.push((name, value));
        }
    }
    challenges.extend(current.and_then(|list| Challenge::of(&list)));
    challenges
}

impl Challenge {
    fn of(parameters: &[(String, String)]) -> Option<Self> {
        let get = |name: &str| {
            let found = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        let algorithm_text = get("algorithm");
        let text = algorithm_text.as_deref().unwrap_or("MD5").to_ascii_uppercase();
        let (text, session) = text.strip_suffix("-SESS").map_or((text.as_str(), false), |text| (text, true));
        let algorithm = match text {
            "MD5" => Algorithm::Md5,
            "SHA-256" => Algorithm::Sha256,
            _ => return None,
        };
        let qualities = get("qop");
        let quality = qualities.as_ref().is_some_and(|list| list.split(',').any(|it| it.trim() == "auth"));
        if qualities.is_some() && !quality {
            // Only what covers the content as well is offered.
            return None;
        }
        let stale = get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        let opaque = get("opaque");
        let (realm, nonce) = (get("realm")?, get("nonce")?);
        Some(Self { realm, nonce, opaque, algorithm, algorithm_text, session, quality, stale })
    }
}

/// The parameters of a list of challenges, the first one of each with its scheme.
fn parameters(text: &str) -> Vec<(Option<String>, String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut scheme = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(['=', ' ', '\t', ',']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if word.is_empty() {
            return found;
        }
        let Some(value) = behind.trim_start_matches([' ', '\t']).strip_prefix('=') else {
            // A word without a value begins a challenge.
            scheme = Some(word.to_owned());
            rest = behind;
            continue;
        };
        let (value, behind) = take_value(value.trim_start_matches([' ', '\t']));
        found.push((scheme.take(), word.to_owned(), value));
        rest = behind;
    }
}

/// A token or quoted string, and what is behind it. RFC 9110 §5.6.4.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 §3.9.1.
    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        let md5 = r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5,
            nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            .replace('\n', "");
        let sha = md5.replace("MD5", "SHA-256");
        let credentials = Credentials::new("Mufasa", "Circle of Life");
        let client_nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (text, response) in [
            (md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (sha, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let [challenge] = &parse(&text)[..] else { panic!("one challenge") };
            let answer = challenge.answer(&credentials, "GET", "/dir/index.html", client_nonce);
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(answer.contains("opaque=\"FQhe/") && answer.contains("nc=00000001"), "{answer}");
        }
    }

    #[test]
    fn challenges_are_found_among_others() {
        let list = r#"Basic realm="a, b", Digest realm="x\"y", nonce=n, Digest realm="z", nonce="m", algorithm=SHA-512-256, Bearer"#;
        let found = parse(list);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].realm.as_str(), found[0].nonce.as_str(), found[0].quality),
            ("x\"y", "n", false)
        );
        for none in
            ["", ",", "Digest", "Digest realm=\"", "Basic x=y", "Digest realm=a, nonce=b, qop=auth-int"]
        {
            assert_eq!(parse(none), [], "{none}");
        }
    }

    #[test]
    fn a_wrong_password_is_tried_once_and_an_old_nonce_once_more() {
        let request = Request::new("GET", "http://a/".parse().expect("a URL"));
        let mut fields = Fields::new();
        fields.add("www-authenticate", "Digest realm=a, nonce=b, qop=auth");
        let mut state = DigestState::default();
        assert!(!state.is_challenged(false, &fields), "nobody gave credentials");
        assert!(state.is_challenged(true, &fields));
        assert!(!state.is_challenged(true, &fields), "it was wrong");
        fields.set("www-authenticate", "Digest realm=a, nonce=c, qop=auth, stale=true");
        assert!(state.is_challenged(true, &fields));
        assert!(!state.is_challenged(true, &fields));
        let mut sent = Fields::new();
        state.authorize(Some(&Credentials::new("u", "p")), &request, &mut sent);
        assert!(sent.text("authorization").is_some_and(|it| it.contains("nonce=\"c\"")));
    }
}
