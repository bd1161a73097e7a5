//! What a server of NATS sends, the wire floor: octets to operations. Knows no connection.
//!
//! A control line ends with CR LF; `MSG` and `HMSG` have a payload behind it, whose length the line says. However the input is cut, the
//! operations are the same. An operation that lies in the input as a whole is lent from there; of one that is cut by its end the beginning
//! is kept, which the bounds below limit.

use std::fmt;

/// The longest control line in octets, CR LF included. That of a server is 4096 by default.
pub(super) const CONTROL_LINE_BYTES_MAX: usize = 4_096;
/// The longest `INFO` line in octets, which names the servers of a cluster.
pub(super) const INFO_BYTES_MAX: usize = 64 << 10;
/// The version line that begins each header section.
const HEADER_VERSION: &[u8] = b"NATS/1.0";

/// What is not the protocol of NATS, or more of it than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(super) enum WireViolation {
    /// A control line is longer than [`CONTROL_LINE_BYTES_MAX`], or `INFO` than [`INFO_BYTES_MAX`].
    ControlLineTooLong,
    /// A control line does not end with CR LF.
    LineEnd,
    /// An operation that no server sends.
    UnknownOperation,
    /// The arguments of an operation are not those that it has.
    Arguments,
    /// No CR LF follows a payload.
    PayloadEnd,
    /// The header section of a message is longer than the message, or is none.
    Headers,
    /// What `INFO` says is no JSON object, or has a member of another type.
    Info,
    /// What JetStream answers is no JSON object, or lacks a member.
    Stream,
}

impl WireViolation {
    /// The rule that was broken.
    #[must_use]
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::ControlLineTooLong => "a control line has 4096 octets at the most, and INFO 64 KiB",
            Self::LineEnd => "a control line ends with CR LF: is this a server of NATS?",
            Self::UnknownOperation => {
                "a server sends INFO, MSG, HMSG, PING, PONG, +OK and -ERR: is this a server of NATS?"
            }
            Self::Arguments => "an operation has its own arguments and no others",
            Self::PayloadEnd => "CR LF follows a payload",
            Self::Headers => {
                "a header section is a part of its message, begins with NATS/1.0 and ends with an empty line"
            }
            Self::Info => "INFO is a JSON object with members of known types",
            Self::Stream => "an answer of JetStream is a JSON object with members of known types",
        }
    }
}

impl fmt::Display for WireViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule())
    }
}

impl std::error::Error for WireViolation {}

/// A message of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery<'a> {
    /// The subject that it was published to.
    pub(super) subject: &'a [u8],
    /// The number of the subscription, which its `SUB` has chosen.
    pub(super) subscription: u64,
    /// Where an answer is expected.
    pub(super) reply_to: Option<&'a [u8]>,
    /// The header section with its version line and the empty line at its end. Empty if the message has none.
    pub(super) headers: &'a [u8],
    /// The payload.
    pub(super) payload: &'a [u8],
}

/// What a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    /// `INFO`, with the JSON of what the server says of itself.
    Info(&'a [u8]),
    /// `MSG` or `HMSG`.
    Message(Delivery<'a>),
    /// `MSG` or `HMSG` whose header section and payload are longer than the limit. They are passed over.
    TooLarge {
        /// The subject that it was published to.
        subject: &'a [u8],
        /// The number of the subscription.
        subscription: u64,
    },
    /// `PING`: a `PONG` is expected.
    Ping,
    /// `PONG`: everything before the `PING` that it answers has been read.
    Pong,
    /// `+OK`, which a connection that is not verbose does not get.
    Ok,
    /// `-ERR`, with the text behind it: see [`Complaint`](super::Complaint).
    Error(&'a [u8]),
}

/// Reads the operations of a server.
#[derive(Debug)]
pub(super) struct OperationReader {
    /// The longest payload with its header section.
    payload_bytes_max: usize,
    /// The beginning of an operation that is cut by the end of the input; the last one lent stays until the next call.
    held: Vec<u8>,
    progress: Progress,
    /// Octets that are passed over: the rest of a message that is too large.
    skip: usize,
}

/// How much is known of the operation in `held`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Its control line is not complete.
    Line,
    /// It has so many octets in all.
    Extent(usize),
    /// It has been lent.
    Lent,
}

const CRLF: &[u8] = b"\r\n";

/// Above this capacity a buffer is given back when it is empty.
const KEPT_BYTES: usize = 16 << 10;

impl OperationReader {
    /// Takes messages of up to this many octets, their header sections included.
    #[must_use]
    pub(super) fn new(payload_bytes_max: usize) -> Self {
        Self { payload_bytes_max, held: Vec::new(), progress: Progress::Line, skip: 0 }
    }

    /// The octets of an incomplete operation that are kept.
    #[cfg(test)]
    fn held_bytes(&self) -> usize {
        if self.progress == Progress::Lent { 0 } else { self.held.len() }
    }

    /// Takes the next operation from the front of `input`. `None` if more is needed; all of the input has then been taken.
    ///
    /// # Errors
    /// The input is not that of a server of NATS. There is nothing that can be read behind it.
    pub(super) fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Operation<'a>>, WireViolation> {
        if self.progress == Progress::Lent {
            self.held.clear();
            self.held.shrink_to(KEPT_BYTES);
            self.progress = Progress::Line;
        }
        let skipped = self.skip.min(input.len());
        self.skip -= skipped;
        *input = &input[skipped..];
        if self.held.is_empty()
            && let Some(extent) = self.extent(input, 0)?
            && let Some((operation, rest)) = input.split_at_checked(extent.len)
        {
            *input = rest;
            self.skip = extent.skip;
            return parse(operation).map(Some);
        }
        while self.progress != Progress::Lent {
            if input.is_empty() {
                return Ok(None);
            }
            self.hold(input)?;
        }
        parse(&self.held).map(Some)
    }

    /// Takes what the operation needs next: the rest of its line, or of its payload, or as much of that as is there.
    fn hold(&mut self, input: &mut &[u8]) -> Result<(), WireViolation> {
        let held = self.held.len();
        let needed = match self.progress {
            Progress::Extent(len) => len - held,
            // One octet past the bound is enough to see that it is exceeded.
            Progress::Line | Progress::Lent => line_feed(input).map_or(INFO_BYTES_MAX + 1, |at| at + 1),
        };
        let (part, rest) = input.split_at(needed.min(input.len()));
        self.held.extend_from_slice(part);
        *input = rest;
        if self.progress == Progress::Line
            && let Some(extent) = self.extent(&self.held, held)?
        {
            self.held.reserve_exact(extent.len - self.held.len());
            self.progress = Progress::Extent(extent.len);
            self.skip = extent.skip;
        }
        if self.progress == Progress::Extent(self.held.len()) {
            self.progress = Progress::Lent;
        }
        Ok(())
    }

    /// The extent of the operation that `bytes` begin with, once its control line is there. No line feed is in the first `searched`.
    fn extent(&self, bytes: &[u8], searched: usize) -> Result<Option<Extent>, WireViolation> {
        let end = line_feed(&bytes[searched..]).map(|at| searched + at + 1);
        let is_info = bytes.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"INFO"));
        let line_max = if is_info { INFO_BYTES_MAX } else { CONTROL_LINE_BYTES_MAX };
        if end.unwrap_or(bytes.len()) > line_max {
            return Err(WireViolation::ControlLineTooLong);
        }
        let Some(end) = end else { return Ok(None) };
        let content =
            ControlLine::parse(&bytes[..end])?.payload_bytes().map(|total| total.saturating_add(CRLF.len()));
        Ok(Some(match content {
            None => Extent { len: end, skip: 0 },
            Some(content) if content > self.payload_bytes_max.saturating_add(CRLF.len()) => {
                Extent { len: end, skip: content }
            }
            Some(content) => Extent { len: end + content, skip: 0 },
        }))
    }
}

/// The octets of an operation.
struct Extent {
    /// Those that are lent.
    len: usize,
    /// Those behind them that are passed over.
    skip: usize,
}

fn line_feed(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|octet| *octet == b'\n')
}

/// One whole operation.
fn parse(operation: &[u8]) -> Result<Operation<'_>, WireViolation> {
    let end = line_feed(operation).map_or(operation.len(), |at| at + 1);
    let (line, content) = operation.split_at(end);
    Ok(match ControlLine::parse(line)? {
        ControlLine::Info(json) => Operation::Info(json),
        ControlLine::Ping => Operation::Ping,
        ControlLine::Pong => Operation::Pong,
        ControlLine::Ok => Operation::Ok,
        ControlLine::Error(text) => Operation::Error(text),
        // The end of a payload is always there, but where all of it is passed over.
        ControlLine::Message { subject, subscription, .. } if content.is_empty() => {
            Operation::TooLarge { subject, subscription }
        }
        ControlLine::Message { subject, subscription, reply_to, header_bytes, .. } => {
            let content = content.strip_suffix(CRLF).ok_or(WireViolation::PayloadEnd)?;
            let (headers, payload) = content.split_at(header_bytes);
            let is_section =
                headers.is_empty() || headers.starts_with(HEADER_VERSION) && headers.ends_with(b"\r\n\r\n");
            if !is_section {
                return Err(WireViolation::Headers);
            }
            Operation::Message(Delivery { subject, subscription, reply_to, headers, payload })
        }
    })
}

/// What a control line says.
enum ControlLine<'a> {
    Info(&'a [u8]),
    Message {
        subject: &'a [u8],
        subscription: u64,
        reply_to: Option<&'a [u8]>,
        /// At most `total_bytes`.
        header_bytes: usize,
        /// Of the header section and the payload.
        total_bytes: usize,
    },
    Ping,
    Pong,
    Ok,
    Error(&'a [u8]),
}

impl<'a> ControlLine<'a> {
    /// Reads a line with its end. Names of operations are the same in upper and lower case, and any number of spaces and tabs separates
    /// arguments.
    fn parse(line: &'a [u8]) -> Result<Self, WireViolation> {
        let line = line.strip_suffix(CRLF).ok_or(WireViolation::LineEnd)?;
        let end = line.iter().position(|octet| is_blank(*octet)).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let bare = |operation: Self| {
            if rest.trim_ascii().is_empty() { Ok(operation) } else { Err(WireViolation::Arguments) }
        };
        match () {
            () if is("MSG") => Self::message(rest, false),
            () if is("HMSG") => Self::message(rest, true),
            () if is("PING") => bare(Self::Ping),
            () if is("PONG") => bare(Self::Pong),
            () if is("+OK") => bare(Self::Ok),
            () if is("INFO") => Ok(Self::Info(rest.trim_ascii())),
            () if is("-ERR") => Ok(Self::Error(rest.trim_ascii())),
            () => Err(WireViolation::UnknownOperation),
        }
    }

    /// `subject sid [reply-to] #bytes`, and with headers `subject sid [reply-to] #header-bytes #total-bytes`.
    fn message(arguments: &'a [u8], with_headers: bool) -> Result<Self, WireViolation> {
        let mut words = [&arguments[..0]; 5];
        let mut count = 0;
        for word in arguments.split(|octet| is_blank(*octet)).filter(|word| !word.is_empty()) {
            *words.get_mut(count).ok_or(WireViolation::Arguments)? = word;
            count += 1;
        }
        let (subject, subscription, reply_to, header_bytes, total_bytes) =
            match (with_headers, &words[..count]) {
                (false, [subject, sid, total]) => (subject, sid, None, None, total),
                (false, [subject, sid, reply_to, total]) => (subject, sid, Some(*reply_to), None, total),
                (true, [subject, sid, headers, total]) => (subject, sid, None, Some(headers), total),
                (true, [subject, sid, reply_to, headers, total]) => {
                    (subject, sid, Some(*reply_to), Some(headers), total)
                }
                _ => return Err(WireViolation::Arguments),
            };
        let size = |digits: &[u8]| {
            number(digits).and_then(|it| usize::try_from(it).ok()).ok_or(WireViolation::Arguments)
        };
        let total_bytes = size(total_bytes)?;
        let header_bytes = header_bytes.map_or(Ok(0), |digits| size(digits))?;
        if header_bytes > total_bytes || with_headers && header_bytes == 0 {
            return Err(WireViolation::Headers);
        }
        let subscription = number(subscription).ok_or(WireViolation::Arguments)?;
        Ok(Self::Message { subject, subscription, reply_to, header_bytes, total_bytes })
    }

    /// The octets of the payload behind it, with the header section. `None` if it has none.
    fn payload_bytes(&self) -> Option<usize> {
        match self {
            Self::Message { total_bytes, .. } => Some(*total_bytes),
            _ => None,
        }
    }
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Digits and nothing else; no more of them than surely fit.
fn number(digits: &[u8]) -> Option<u64> {
    if !(1..=18).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| Some(number * 10 + u64::from(char::from(digit).to_digit(10)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD_MAX: usize = 32;

    /// What is read from parts of the input, as text, up to a violation.
    fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Option<WireViolation>) {
        let (mut reader, mut seen) = (OperationReader::new(PAYLOAD_MAX), Vec::new());
        for mut part in parts {
            loop {
                match reader.next(&mut part) {
                    Ok(Some(operation)) => seen.push(format!("{operation:?}")),
                    Ok(None) => break assert!(part.is_empty(), "all of it is taken"),
                    Err(violation) => return (seen, Some(violation)),
                }
            }
        }
        (seen, None)
    }

    /// Reads `input` as a whole, in two parts cut at every octet, and octet by octet: all come to the same.
    fn check(input: &[u8], expected: &[Operation<'_>], violation: Option<WireViolation>) {
        let expected = (expected.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>(), violation);
        let text = String::from_utf8_lossy(&input[..input.len().min(80)]);
        assert_eq!(read([input]), expected, "{text:?}");
        assert_eq!(read(input.chunks(1)), expected, "{text:?} octet by octet");
        for cut in 0..input.len() {
            let (front, back) = input.split_at(cut);
            assert_eq!(read([front, back]), expected, "{text:?} cut at {cut}");
        }
    }

    fn message(subject: &'static str, subscription: u64, payload: &'static str) -> Operation<'static> {
        let (subject, payload) = (subject.as_bytes(), payload.as_bytes());
        Operation::Message(Delivery { subject, subscription, reply_to: None, headers: b"", payload })
    }

    #[test]
    fn operations_are_read_however_they_are_cut() {
        check(
            b"INFO {\"a\":1} \r\nPING\r\nPONG\r\n+OK\r\n-ERR 'Slow Consumer'\r\n",
            &[
                Operation::Info(b"{\"a\":1}"),
                Operation::Ping,
                Operation::Pong,
                Operation::Ok,
                Operation::Error(b"'Slow Consumer'"),
            ],
            None,
        );
        check(
            b"MSG a.b 7 5\r\nhello\r\nmsg\ta.b \t7  0 \r\n\r\nMSG a 8 4\r\n\r\nMS\r\n",
            &[message("a.b", 7, "hello"), message("a.b", 7, ""), message("a", 8, "\r\nMS")],
            None,
        );
        let answered = Delivery {
            subject: b"a",
            subscription: 1,
            reply_to: Some(b"_INBOX.1"),
            headers: b"NATS/1.0\r\nA: 1\r\n\r\n",
            payload: b"ab",
        };
        check(
            b"HMSG a 1 _INBOX.1 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nab\r\nPING\r\n",
            &[Operation::Message(answered), Operation::Ping],
            None,
        );
        let empty = Delivery { reply_to: None, headers: b"NATS/1.0 503\r\n\r\n", payload: b"", ..answered };
        check(b"HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", &[Operation::Message(empty)], None);
    }

    #[test]
    fn what_no_server_sends_ends_it() {
        let check = |input: &str, violation| {
            check(&[b"PING\r\n", input.as_bytes()].concat(), &[Operation::Ping], Some(violation));
        };
        for input in ["PUB a 1\r\n", "\r\n", " PING\r\n", "HTTP/1.1 400 Bad Request\r\n", "MSGa 1 1\r\n"] {
            check(input, WireViolation::UnknownOperation);
        }
        for input in ["PING\n", "MSG a 1 2\n", "\n"] {
            check(input, WireViolation::LineEnd);
        }
        for input in [
            "MSG a 1\r\n",
            "MSG a 1 b c 2\r\n",
            "MSG a b 1\r\n",
            "MSG a 1 -1\r\n",
            "MSG a 1 +1\r\n",
            "PING 1\r\n",
        ] {
            check(input, WireViolation::Arguments);
        }
        for input in ["HMSG a 1 2\r\n", "HMSG a 1 b 1 2 3\r\n", "MSG a 1 9999999999999999999\r\n"] {
            check(input, WireViolation::Arguments);
        }
        for input in [
            "HMSG a 1 3 2\r\n",
            "HMSG a 1 0 2\r\n",
            "HMSG a 1 4 4\r\n\r\n\r\n\r\n",
            "HMSG a 1 8 8\r\nNATS/1.0\r\n",
        ] {
            check(input, WireViolation::Headers);
        }
        for input in ["MSG a 1 2\r\nabc\r\n", "MSG a 1 2\r\nab\n\n"] {
            check(input, WireViolation::PayloadEnd);
        }
    }

    #[test]
    fn payloads_have_a_bound_and_what_is_larger_is_passed_over() {
        let of = |len: usize| format!("MSG a 7 {len}\r\n{}\r\n", "x".repeat(len)).into_bytes();
        let whole = Box::leak("x".repeat(PAYLOAD_MAX).into_boxed_str());
        check(&of(PAYLOAD_MAX), &[message("a", 7, whole)], None);
        let larger = [&of(PAYLOAD_MAX + 1)[..], b"PING\r\n"].concat();
        check(&larger, &[Operation::TooLarge { subject: b"a", subscription: 7 }, Operation::Ping], None);
        let with_headers = format!("HMSG a 7 b 12 33\r\n{}\r\nPONG\r\n", "\n".repeat(33));
        check(
            with_headers.as_bytes(),
            &[Operation::TooLarge { subject: b"a", subscription: 7 }, Operation::Pong],
            None,
        );
        let mut reader = OperationReader::new(PAYLOAD_MAX);
        let mut input = &larger[..larger.len() - 8];
        assert_eq!(reader.next(&mut input), Ok(Some(Operation::TooLarge { subject: b"a", subscription: 7 })));
        assert_eq!(reader.next(&mut input), Ok(None));
        assert_eq!(reader.held_bytes(), 0);
    }

    #[test]
    fn control_lines_have_a_bound_also_where_they_do_not_end() {
        let check = |name: &str, max: usize| {
            let line = |len: usize| format!("{name} {}", "a".repeat(len - name.len() - 1)).into_bytes();
            let whole = [&line(max - 2)[..], b"\r\n"].concat();
            assert_eq!(read([&whole[..]]).1, None, "{name}");
            let longer = [&line(max - 1)[..], b"\r\n"].concat();
            for parts in [vec![&longer[..]], vec![&longer[..max], &longer[max..]], vec![&line(max + 1)[..]]] {
                assert_eq!(read(parts), (vec![], Some(WireViolation::ControlLineTooLong)), "{name}");
            }
            let mut reader = OperationReader::new(PAYLOAD_MAX);
            assert_eq!(reader.next(&mut &line(max)[..]), Ok(None), "{name}");
            assert_eq!(reader.held_bytes(), max);
        };
        check("-ERR", CONTROL_LINE_BYTES_MAX);
        check("INFO", INFO_BYTES_MAX);
    }
}
