//! Negotiation of extensions: offers, agreements, and the reserved bits that an agreement claims. RFC 6455 §9.
//!
//! This module knows no extension by name, no field section and no frame.
//!
//! An agreed extension affects frames as follows:
//!
//! - It is an [`Agreement`], which claims reserved bits. The frame decoder gets the union of all claims as one byte
//!   and refuses every other bit; so it never calls an extension, and without extensions it costs nothing.
//! - A claimed bit belongs to a whole message: it may be set on the first frame of a data message, never on a
//!   continuation or a control frame.
//! - [`Extensions`] are in the order of the server's answer. What is sent passes them from first to last, what is
//!   received from last to first. RFC 6455 §9.1.

use super::Codec;
use crate::http::{is_tchar, is_token};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// Extensions in one offer or answer. Browsers send one, with a fall-back two.
const EXTENSIONS_MAX: usize = 32;

/// Parameters of one extension. permessage-deflate has four.
const PARAMETERS_MAX: usize = 16;

/// A set of the reserved bits RSV1, RSV2 and RSV3, where they stand in the first byte of a frame. RFC 6455 §5.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReservedBits(u8);

impl ReservedBits {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// RSV1.
    pub const RSV1: Self = Self(0x40);
    /// RSV2.
    pub const RSV2: Self = Self(0x20);
    /// RSV3.
    pub const RSV3: Self = Self(0x10);

    /// Whether there is no bit.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of the first byte of a frame.
    pub(crate) const fn of_frame(first_byte: u8) -> Self {
        Self(first_byte & 0x70)
    }

    /// Where they stand in the first byte of a frame.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a bit is in both.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The field value is not an `extension-list`. RFC 6455 §9.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The parameters of one extension, in order: `*( ";" extension-param )`. RFC 6455 §9.1.
///
/// A name may come twice: what that means is for the extension to say.
///
/// ```
/// use lws_proto::ws::Parameters;
///
/// let parameters = Parameters::new().flag("server_no_context_takeover").value("client_max_window_bits", 10);
/// assert_eq!(parameters.to_string(), "; server_no_context_takeover; client_max_window_bits=10");
/// assert_eq!(parameters.iter().count(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Parameters<'a> {
    /// As a peer wrote them, and then of the grammar; or as the methods below put them together.
    text: Cow<'a, str>,
}

impl<'a> Parameters<'a> {
    /// No parameters.
    #[must_use]
    pub const fn new() -> Self {
        Self { text: Cow::Borrowed("") }
    }

    /// Appends a parameter without a value. `name` must be a token.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        let text = self.text.to_mut();
        text.push_str("; ");
        text.push_str(name);
        self
    }

    /// Appends a parameter with a value. Both must be tokens.
    #[must_use]
    pub fn value(self, name: &str, value: impl fmt::Display) -> Self {
        let mut parameters = self.flag(name);
        let text = parameters.text.to_mut();
        text.push('=');
        // Writing to a string fails only if `value` does not want to be shown.
        if fmt::write(text, format_args!("{value}")).is_err() {
            text.push('"');
        }
        parameters
    }

    /// The parameters.
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'_>> {
        let mut scanner = Scanner { rest: &self.text };
        core::iter::from_fn(move || scanner.parameter().ok().flatten())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Whether they are of the grammar, which those that a peer wrote always are.
    fn is_well_formed(&self) -> bool {
        let mut scanner = Scanner { rest: &self.text };
        loop {
            match scanner.parameter() {
                Ok(Some(_)) => {}
                Ok(None) => return scanner.rest.is_empty(),
                Err(Malformed) => return false,
            }
        }
    }

    /// A copy that does not borrow from what the parameters were parsed from.
    #[must_use]
    pub fn into_owned(self) -> Parameters<'static> {
        Parameters { text: Cow::Owned(self.text.into_owned()) }
    }
}

impl PartialEq<Parameters<'_>> for Parameters<'_> {
    fn eq(&self, other: &Parameters<'_>) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Display for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|parameter| write!(f, "; {parameter}"))
    }
}

impl fmt::Debug for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One parameter of an extension. RFC 6455 §9.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// A token.
    pub name: &'a str,
    /// A token too, whether it was quoted or not.
    pub value: Option<Cow<'a, str>>,
}

impl fmt::Display for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(self.name),
        }
    }
}

/// One extension of an offer or answer. RFC 6455 §9.1.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtensionOffer<'a> {
    /// A token, as IANA registers it.
    pub name: &'a str,
    /// Its parameters.
    pub parameters: Parameters<'a>,
}

impl fmt::Display for ExtensionOffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.parameters)
    }
}

/// The extensions of a field value, up to the first that is malformed.
pub(super) fn parse(list: &str) -> impl Iterator<Item = Result<ExtensionOffer<'_>, Malformed>> {
    let mut scanner = Scanner { rest: list };
    let mut left = EXTENSIONS_MAX;
    core::iter::from_fn(move || {
        let item = scanner.extension()?;
        let item = if left == 0 { Err(Malformed) } else { item };
        left = left.saturating_sub(1);
        if item.is_err() {
            scanner.rest = "";
        }
        Some(item)
    })
}

/// Whether `list` is `1#extension`, and bounded.
pub(super) fn check(list: &str) -> Result<(), Malformed> {
    let mut count = 0;
    for extension in parse(list) {
        extension?;
        count += 1;
    }
    if count > 0 { Ok(()) } else { Err(Malformed) }
}

/// Reads the grammar from the front of `rest`.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// The next extension; `None` at the end. Empty list members are passed over. RFC 9110 §5.6.1.
    fn extension(&mut self) -> Option<Result<ExtensionOffer<'a>, Malformed>> {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
        if self.rest.is_empty() { None } else { Some(self.whole_extension()) }
    }

    fn whole_extension(&mut self) -> Result<ExtensionOffer<'a>, Malformed> {
        let name = self.token()?;
        let start = self.rest;
        let mut count = 0;
        while self.parameter()?.is_some() {
            count += 1;
        }
        let text = &start[..start.len() - self.rest.len()];
        self.white_space();
        if count > PARAMETERS_MAX || !(self.rest.is_empty() || self.rest.starts_with(',')) {
            return Err(Malformed);
        }
        Ok(ExtensionOffer { name, parameters: Parameters { text: Cow::Borrowed(text) } })
    }

    /// `";" token [ "=" ( token | quoted-string ) ]`, or `None` if there is no semicolon.
    fn parameter(&mut self) -> Result<Option<Parameter<'a>>, Malformed> {
        if !self.separator(';') {
            return Ok(None);
        }
        let name = self.token()?;
        let value = if self.separator('=') { Some(self.token_or_quoted()?) } else { None };
        Ok(Some(Parameter { name, value }))
    }

    fn white_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// Takes `separator` with the white space around it, which the grammar of RFC 6455 implies. RFC 2616 §2.1.
    fn separator(&mut self, separator: char) -> bool {
        let Some(rest) = self.rest.trim_start_matches([' ', '\t']).strip_prefix(separator) else {
            return false;
        };
        self.rest = rest;
        self.white_space();
        true
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        let len = self.rest.bytes().take_while(|&byte| is_tchar(byte)).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    fn token_or_quoted(&mut self) -> Result<Cow<'a, str>, Malformed> {
        match self.rest.strip_prefix('"') {
            Some(quoted) => self.quoted(quoted),
            None => self.token().map(Cow::Borrowed),
        }
    }

    /// What follows the opening quote. "the value after quoted-string unescaping MUST conform to the 'token' ABNF":
    /// so neither a quote nor a backslash is ever the escaped one, and the first quote ends it.
    fn quoted(&mut self, quoted: &'a str) -> Result<Cow<'a, str>, Malformed> {
        let (raw, rest) = quoted.split_once('"').ok_or(Malformed)?;
        let mut value = Cow::Borrowed(raw);
        if raw.contains('\\') {
            if raw.contains("\\\\") || raw.ends_with('\\') {
                return Err(Malformed);
            }
            value.to_mut().retain(|char| char != '\\');
        }
        self.rest = rest;
        if is_token(value.as_bytes()) { Ok(value) } else { Err(Malformed) }
    }
}

/// An extension, as far as the opening handshake needs to know it. RFC 6455 §9.1.
///
/// Each method answers for one offer: several offers of one name are fall-backs, tried in the client's order.
pub trait Negotiate: fmt::Debug + Send + Sync {
    /// Its registered name, a token.
    fn name(&self) -> &str;

    /// A client's offers, the best first. None keeps it out of the request.
    fn offers(&self) -> Vec<Parameters<'static>>;

    /// A server's answer to one offer; `None` declines it, as it must if a parameter is unknown or makes no sense.
    fn accept(&self, offer: &Parameters<'_>) -> Option<Agreement>;

    /// What a client makes of the server's answer, whose parameters it takes over; `None` fails the handshake, as it
    /// must if the answer fits none of the offers.
    fn agree(&self, answer: &Parameters<'_>) -> Option<Agreement>;

    /// What the agreement means for messages, on the side of the client or the server. `None` leaves them as they are: what
    /// the reserved bits mean is then for the application to know.
    fn codec(&self, agreement: &Agreement, is_client: bool) -> Option<Codec> {
        let _ = (agreement, is_client);
        None
    }
}

/// What both sides have agreed on for one extension.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// The parameters of the server's answer.
    pub parameters: Parameters<'static>,
    /// The bits that have a meaning from now on.
    pub reserved_bits: ReservedBits,
}

/// The extensions in use on one WebSocket, in the order of the server's answer. RFC 6455 §9.1.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    /// Invariant: no name and no reserved bit is there twice.
    agreed: Vec<(Arc<dyn Negotiate>, Agreement)>,
}

impl Extensions {
    /// The reserved bits that have a meaning.
    #[must_use]
    pub fn reserved_bits(&self) -> ReservedBits {
        self.agreed
            .iter()
            .fold(ReservedBits::NONE, |bits, (_, agreement)| bits.union(agreement.reserved_bits))
    }

    /// Each name with what was agreed on.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Agreement)> {
        self.agreed.iter().map(|(extension, agreement)| (extension.name(), agreement))
    }

    /// What all of them together do to messages.
    pub(super) fn codec(&self, is_client: bool) -> Option<Codec> {
        let codecs =
            self.agreed.iter().filter_map(|(extension, agreement)| extension.codec(agreement, is_client));
        codecs.reduce(Codec::then)
    }

    fn has(&self, name: &str) -> bool {
        self.iter().any(|(agreed, _)| agreed == name)
    }

    /// Adds one, unless a bit that it claims is taken.
    fn push(&mut self, extension: &Arc<dyn Negotiate>, agreement: Agreement) -> bool {
        let free = !self.reserved_bits().intersects(agreement.reserved_bits);
        if free {
            self.agreed.push((Arc::clone(extension), agreement));
        }
        free
    }

    /// The field value of the answer, `None` if no extension is in use.
    pub(super) fn answer(&self) -> Result<Option<String>, Malformed> {
        write_list(self.iter().map(|(name, agreement)| (name, &agreement.parameters)))
    }
}

/// What a server makes of a checked offer: for each of its `extensions` the first offer that it takes, in the client's
/// order of preference. What is unknown, or wants a bit that is taken, is declined. RFC 6455 §9.1.
pub(super) fn choose(offered: &str, extensions: &[Arc<dyn Negotiate>]) -> Extensions {
    let mut agreed = Extensions::default();
    if extensions.is_empty() {
        return agreed;
    }
    for offer in parse(offered).map_while(Result::ok) {
        let known = extensions.iter().find(|extension| extension.name() == offer.name);
        let Some(extension) = known.filter(|_| !agreed.has(offer.name)) else { continue };
        if let Some(agreement) = extension.accept(&offer.parameters) {
            agreed.push(extension, agreement);
        }
    }
    agreed
}

/// What a client makes of the server's answer. RFC 6455 §4.1: "the use of an extension that was not present in the
/// client's handshake" fails it.
pub(super) fn agree(answer: &str, extensions: &[Arc<dyn Negotiate>]) -> Result<Extensions, Malformed> {
    check(answer)?;
    let mut agreed = Extensions::default();
    for answer in parse(answer) {
        let answer = answer?;
        let known = extensions.iter().find(|extension| extension.name() == answer.name).ok_or(Malformed)?;
        if known.offers().is_empty() || agreed.has(answer.name) {
            return Err(Malformed);
        }
        let agreement = known.agree(&answer.parameters).ok_or(Malformed)?;
        if !agreed.push(known, agreement) {
            return Err(Malformed);
        }
    }
    Ok(agreed)
}

/// The field value with which a client offers `extensions`, `None` if there is nothing to offer.
pub(super) fn offer(extensions: &[Arc<dyn Negotiate>]) -> Result<Option<String>, Malformed> {
    let offers: Vec<_> = extensions.iter().map(|extension| (extension.name(), extension.offers())).collect();
    write_list(offers.iter().flat_map(|(name, offers)| offers.iter().map(|parameters| (*name, parameters))))
}

/// A list of what our own side wrote, which may not be of the grammar.
fn write_list<'e>(
    list: impl Iterator<Item = (&'e str, &'e Parameters<'static>)>,
) -> Result<Option<String>, Malformed> {
    let mut text = String::new();
    for (name, parameters) in list {
        if !is_token(name.as_bytes()) || !parameters.is_well_formed() {
            return Err(Malformed);
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push_str(&parameters.text);
    }
    Ok(if text.is_empty() { None } else { Some(text) })
}

#[cfg(test)]
pub(super) mod tests;
