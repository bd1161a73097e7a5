//! Counts what a form brings, file by file, as it comes: `cargo run -p lws-server --example upload -- 127.0.0.1:7681`, then
//! `curl -F file=@Cargo.toml http://127.0.0.1:7681/`.

use lws_server::http::multipart::{Event, Limits, Multipart};
use lws_server::http::{Exchange, Handler, Permit, Rejection, Request, Response};
use lws_server::{Context, Server};
use std::fmt::Write;

/// A form that is being read: nothing of its files is kept.
struct Upload {
    /// Until its end.
    form: Option<Multipart>,
    seen: String,
    bytes: u64,
    /// It has been read, or refused: what still comes is passed over.
    over: bool,
    response: Option<Response>,
}

impl Upload {
    fn new(request: &Request<'_>) -> Result<Self, Rejection> {
        let form = request.multipart(Limits::default())?;
        Ok(Self { form: Some(form), seen: String::new(), bytes: 0, over: false, response: None })
    }

    fn read(&mut self, chunk: &[u8]) -> Result<(), Rejection> {
        let Self { form: Some(form), seen, bytes, .. } = self else { return Ok(()) };
        form.feed(chunk, |event| {
            match event {
                Event::Part(head) => {
                    let name = head.file_name.unwrap_or(head.name);
                    // Writing to a string does not fail.
                    let _ = write!(seen, "{}", name.escape_debug());
                    *bytes = 0;
                }
                Event::Content(octets) => *bytes += octets.len() as u64,
                Event::PartEnd => {
                    let _ = writeln!(seen, " {bytes}");
                }
            }
            Ok(())
        })
    }
}

impl Handler for Upload {
    fn open(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) {
        exchange.limit_content(1 << 30);
    }

    fn content(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        if self.over {
            return;
        }
        let read = self
            .read(chunk)
            .and_then(|()| if end { self.form.take().map_or(Ok(()), Multipart::finish) } else { Ok(()) });
        self.response = match read {
            Ok(()) if !end => return,
            Ok(()) => Some(Response::text(std::mem::take(&mut self.seen))),
            Err(rejection) => {
                exchange.last_exchange();
                Some(rejection.into())
            }
        };
        self.over = true;
        exchange.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        if let Some(response) = self.response.take() {
            permit.reply(response);
        }
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    Server::builder().listen(&address).post("/", Upload::new).build()?.run()
}
