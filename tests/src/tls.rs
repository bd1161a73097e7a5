//! TLS in memory: certificates made on the spot, and two sessions with nothing but their bytes between them.
//!
//! Knows the session seam and what makes sessions; no engine and no socket.

use lws_loop_external::tls::{Failure, Info, Provider, Session};
use lws_proto::Time;
use lws_tls::{Host, Identity, Roots, Server};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SignatureAlgorithm};

/// A root that issues certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A root of this name.
    ///
    /// # Panics
    /// No key can be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The root for those who shall trust it.
    #[must_use]
    pub fn roots(&self) -> Roots {
        Roots::pem(self.pem.clone())
    }

    /// The root's certificate.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names, of which the first is its common name.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(&rcgen::PKCS_ECDSA_P256_SHA256, names, |_| {})
    }

    /// The same with a kind of key, and whatever else is to be special about it.
    ///
    /// # Panics
    /// A name is none, or no key can be made.
    #[must_use]
    pub fn issue_with(
        &self,
        algorithm: &'static SignatureAlgorithm,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let owned: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(owned).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or_default());
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { pem: certificate.pem(), der: certificate.der().to_vec(), key: key.serialize_pem() }
    }
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub pem: String,
    /// The same as DER.
    pub der: Vec<u8>,
    /// The key as PEM.
    pub key: String,
}

impl Issued {
    /// Both together.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::pem(self.pem.as_bytes(), self.key.as_bytes())
    }

    /// A server with nothing but this.
    ///
    /// # Panics
    /// They do not belong together.
    #[must_use]
    pub fn server(&self) -> Server {
        Server::builder().default_host(Host::new(self.identity())).build().expect("a server")
    }
}

/// One session, and what came of it.
pub struct Side {
    /// The session.
    pub session: Box<dyn Session>,
    /// What waits to be sent.
    pub out: Vec<u8>,
    /// What was opened.
    pub plaintext: Vec<u8>,
    /// Whether the peer has ended its direction.
    pub closed: bool,
    /// Why it is over.
    pub failure: Option<Failure>,
    /// How much plaintext has room at a time.
    pub room: usize,
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl Side {
    /// A session of `provider` that has not begun.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn new(provider: &dyn Provider) -> Self {
        let session = provider.session().expect("a session");
        Self { session, out: Vec::new(), plaintext: Vec::new(), closed: false, failure: None, room: 32 << 10 }
    }

    /// Hands bytes of the peer to the session, until it wants no more calls.
    ///
    /// # Panics
    /// The session breaks its contract.
    pub fn receive(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut at = 0;
        let mut room = vec![0; self.room];
        loop {
            if self.failure.is_some() {
                return;
            }
            let opened = match self.session.open(&mut bytes[at..], &mut room, &mut self.out) {
                Ok(opened) => opened,
                Err(failure) => {
                    self.failure = Some(failure);
                    return;
                }
            };
            assert!(!self.closed || opened.filled == 0, "plaintext after the end");
            self.plaintext.extend_from_slice(&room[..opened.filled]);
            self.closed |= opened.closed && !opened.more;
            at += opened.taken;
            assert!(at <= bytes.len() && opened.filled <= room.len());
            if at == bytes.len() && !opened.more {
                return;
            }
            assert!(opened.taken > 0 || opened.filled > 0, "stuck with {} bytes left", bytes.len() - at);
        }
    }

    /// Seals `plaintext`, which is handed over in pieces.
    ///
    /// # Panics
    /// The session takes nothing any more.
    pub fn seal(&mut self, now: Time, plaintext: &[&[u8]]) {
        let mut rest: Vec<u8> = plaintext.concat();
        let mut pieces: Vec<&[u8]> = plaintext.to_vec();
        loop {
            let sealed = self.session.seal(now, &pieces, &mut self.out);
            assert!(sealed > 0 || rest.is_empty(), "nothing was sealed");
            rest.drain(..sealed);
            if rest.is_empty() {
                return;
            }
            pieces = vec![&rest];
        }
    }

    /// Ends this direction.
    pub fn close(&mut self) {
        self.session.close(&mut self.out);
    }
}

/// A client and a server.
#[derive(Debug)]
pub struct Link {
    /// The side that begins.
    pub client: Side,
    /// The other one.
    pub server: Side,
}

impl Link {
    /// Two sessions that have not begun.
    #[must_use]
    pub fn new(client: &dyn Provider, server: &dyn Provider) -> Self {
        Self { client: Side::new(client), server: Side::new(server) }
    }

    /// Two sessions that are past their handshake.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn established(client: &dyn Provider, server: &dyn Provider) -> Self {
        let mut link = Self::new(client, server);
        link.shake(usize::MAX);
        assert_eq!((&link.client.failure, &link.server.failure), (&None, &None));
        link
    }

    /// Lets both go on, with pieces of at most `cut` bytes, until neither has anything to say. Answers what both have
    /// agreed on, if the handshake is done.
    pub fn shake(&mut self, cut: usize) -> Option<(Info, Info)> {
        self.client.receive(&[]);
        loop {
            for piece in std::mem::take(&mut self.client.out).chunks(cut.max(1)) {
                self.server.receive(piece);
            }
            for piece in std::mem::take(&mut self.server.out).chunks(cut.max(1)) {
                self.client.receive(piece);
            }
            if self.client.out.is_empty() {
                break;
            }
        }
        let done = |side: &Side| !side.session.is_handshaking() && side.failure.is_none();
        (done(&self.client) && done(&self.server))
            .then(|| (self.client.session.info(), self.server.session.info()))
    }
}
