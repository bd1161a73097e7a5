//! `protocol-post-demo`: a form, and a page that says what was sent with it.

use lws_plugin::{OptionError, Options, Plugin, SessionKind, SiteFacts, SiteProtocol, StartError};
use lws_server::http::multipart::{Event, Limits, Multipart};
use lws_server::http::{
    Answer, Exchange, Handler, Method, Pairs, Permit, Rejection, Request, Response, Status,
};
use lws_server::{Context, Endpoint};
use std::fmt::Write as _;
use std::sync::Arc;

/// The option that says how many bytes a form may have.
const CONTENT_OPTION: &str = "content-bytes-max";
const CONTENT_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a simple form, which are held until it is complete.
const PAIRS_BYTES_MAX: usize = 64 << 10;
/// Bytes of a value that are shown.
const SHOWN_BYTES_MAX: usize = 256;

const FORM: &str = "<!doctype html>\n<meta charset=\"utf-8\">\n<title>A form</title>\n\
    <form method=\"post\" enctype=\"multipart/form-data\">\n\
    <p><label>Text <input name=\"text\"></label>\n<p><label>File <input type=\"file\" name=\"file\"></label>\n\
    <p><button name=\"send\" value=\"yes\">Send</button>\n</form>\n";

pub(super) struct PostPlugin;

impl Plugin for PostPlugin {
    fn name(&self) -> &str {
        "protocol-post-demo"
    }

    fn kinds(&self) -> &[SessionKind] {
        &[SessionKind::Http]
    }

    fn summary(&self) -> &str {
        "a form, and what was sent with it"
    }

    fn option_names(&self) -> Option<&[&str]> {
        Some(&[CONTENT_OPTION])
    }

    fn check(&self, options: &Options) -> Result<(), OptionError> {
        content_bytes_max(options).map(|_| ())
    }

    fn start(&self, _: &SiteFacts<'_>, options: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        Ok(Arc::new(Forms { content_bytes_max: content_bytes_max(options)? }))
    }
}

fn content_bytes_max(options: &Options) -> Result<u64, OptionError> {
    Ok(options.number(CONTENT_OPTION, 1..=1 << 30)?.unwrap_or(CONTENT_BYTES_MAX))
}

/// The forms of a site.
#[derive(Clone, Copy)]
struct Forms {
    content_bytes_max: u64,
}

impl SiteProtocol for Forms {
    fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
        Box::new(*self)
    }
}

impl Endpoint for Forms {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn Handler>> {
        match request.method() {
            Method::Get | Method::Head => Response::html(FORM).answer(cx, exchange, end),
            Method::Post => Submission::begin(request, self.content_bytes_max).answer(cx, exchange, end),
            _ => {
                let refusal = Response::error(Status::METHOD_NOT_ALLOWED).field("Allow", "GET, HEAD, POST");
                refusal.answer(cx, exchange, end)
            }
        }
    }
}

/// A form that is being read. Nothing of its files is kept.
struct Submission {
    form: FormReader,
    content_bytes_max: u64,
    rows: Vec<FormRow>,
    response: Option<Response>,
}

enum FormReader {
    Multipart(Multipart),
    Pairs(Vec<u8>),
    /// It has been read or refused: what still comes is passed over.
    Over,
}

/// A field of a form.
struct FormRow {
    name: String,
    file: Option<String>,
    /// The first bytes of the value.
    shown: Vec<u8>,
    bytes: u64,
}

impl FormRow {
    fn take(&mut self, content: &[u8]) {
        let room = SHOWN_BYTES_MAX.saturating_sub(self.shown.len()).min(content.len());
        if self.file.is_none() {
            self.shown.extend_from_slice(&content[..room]);
        }
        self.bytes += content.len() as u64;
    }
}

impl Submission {
    fn begin(request: &Request<'_>, content_bytes_max: u64) -> Result<Self, Rejection> {
        let media_type = request.media_type()?;
        let is_pairs =
            media_type.is_some_and(|media_type| media_type.is("application/x-www-form-urlencoded"));
        let form = match is_pairs {
            true => FormReader::Pairs(Vec::new()),
            false => FormReader::Multipart(request.multipart(Limits::default())?),
        };
        Ok(Self { form, content_bytes_max, rows: Vec::new(), response: None })
    }

    fn read(&mut self, chunk: &[u8]) -> Result<(), Rejection> {
        let rows = &mut self.rows;
        match &mut self.form {
            FormReader::Multipart(form) => form.feed(chunk, |event| {
                match event {
                    Event::Part(head) => {
                        rows.push(FormRow {
                            name: head.name,
                            file: head.file_name,
                            shown: Vec::new(),
                            bytes: 0,
                        });
                    }
                    Event::Content(content) => {
                        rows.iter_mut().last().into_iter().for_each(|row| row.take(content))
                    }
                    Event::PartEnd => {}
                }
                Ok(())
            }),
            FormReader::Pairs(text) if text.len() + chunk.len() > PAIRS_BYTES_MAX => {
                Err(Rejection::new(Status::CONTENT_TOO_LARGE, "a form of this kind has up to 64 KiB"))
            }
            FormReader::Pairs(text) => {
                text.extend_from_slice(chunk);
                Ok(())
            }
            FormReader::Over => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<Response, Rejection> {
        match std::mem::replace(&mut self.form, FormReader::Over) {
            FormReader::Multipart(form) => form.finish()?,
            FormReader::Pairs(text) => {
                let text = std::str::from_utf8(&text);
                let text = text.map_err(|_| Rejection::bad_request("the form is not UTF-8"))?;
                for (name, value) in Pairs::parse(text)?.iter() {
                    let mut row = FormRow { name: name.to_owned(), file: None, shown: Vec::new(), bytes: 0 };
                    row.take(value.as_bytes());
                    self.rows.push(row);
                }
            }
            FormReader::Over => {}
        }
        Ok(Response::html(page(&self.rows)))
    }
}

impl Handler for Submission {
    fn open(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>, end: bool) {
        // Past it the engine answers 413.
        exchange.limit_content(self.content_bytes_max);
        if end {
            self.response = Some(self.finish().unwrap_or_else(Response::from));
            exchange.want_write();
        }
    }

    fn content(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        if matches!(self.form, FormReader::Over) {
            return;
        }
        let read = self.read(chunk);
        self.response = match read.and_then(|()| if end { self.finish().map(Some) } else { Ok(None) }) {
            Ok(None) => return,
            Ok(response) => response,
            Err(rejection) => {
                self.form = FormReader::Over;
                exchange.last_exchange();
                Some(rejection.into())
            }
        };
        exchange.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        if let Some(response) = self.response.take() {
            permit.reply(response);
        }
    }
}

/// The page that says what was sent. What the peer has written is shown as text, whatever it is.
fn page(rows: &[FormRow]) -> String {
    let mut page = "<!doctype html>\n<meta charset=\"utf-8\">\n<title>What was sent</title>\n<table>\n\
        <tr><th>name<th>bytes<th>file<th>value\n"
        .to_owned();
    for row in rows {
        let shown = String::from_utf8_lossy(&row.shown);
        let file = row.file.as_deref().unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}",
            escaped(&row.name),
            row.bytes,
            escaped(file),
            escaped(&shown)
        );
    }
    page.push_str("</table>\n");
    page
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
