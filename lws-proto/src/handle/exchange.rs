//! An exchange of HTTP, whatever the version: a request and its response.

use super::{RawStream, Sent, Stream, WebSocket, Writable, spoken};
use crate::connection::link::Link;
use crate::connection::outbound::LentExchange;
use crate::http::{Head, Status};
use crate::payload::Payload;
use crate::prepared_fields::{PreparedFields, ResponseFields};
use crate::{Misuse, Region, ws};

/// An exchange of HTTP, for as long as an event or a look-up lends it. What only other protocols can do does not compile:
///
/// ```compile_fail,E0599
/// # use lws_proto::{Exchange, ws::CloseCode};
/// fn close(exchange: Exchange<'_>) {
///     let _ = exchange.close(CloseCode::NORMAL, "");
/// }
/// ```
///
/// One that has ended meanwhile answers every call with [`Misuse::UnknownStream`].
pub type Exchange<'a> = Stream<'a, spoken::Http>;

impl<'a> Exchange<'a> {
    /// Sends an interim response, such as 103 Early Hints, before the final one. RFC 9110 §15.2.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no server's exchange, its response has begun, or `status` is not 1xx (or is 101).
    pub fn interim<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        #[cfg(feature = "record")]
        let fields = crate::record::SentFields::new(self.outbound.tape(), fields);
        command!(self.outbound, Command::Interim(status, fields.kept().into()));
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, channel, _)) if channel.has_stream() => {
                sender.interim(&mut channel.link.out, status, fields)
            }
            Some(LentExchange::Http2(session, link, _)) => session.interim(link, status, fields),
            _ => Err(Misuse::UnknownStream),
        }
    }

    /// Lets the connection end with this exchange: the response will say `Connection: close`. Over HTTP/2 the peer is asked
    /// to begin no more, and those that have begun are the last ones.
    pub fn last_exchange(&mut self) {
        command!(self.outbound, Command::LastExchange);
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, ..)) => sender.last_exchange(),
            Some(LentExchange::Http2(session, link, _)) => session.announce_end(link),
            None => {}
        }
    }

    /// Lets an exchange go on although its peer has ended its direction, however long it sends nothing; or not, which is how each
    /// begins: see [`Limits::half_closed_timeout`](crate::Limits::half_closed_timeout). What is kept waits for the
    /// application alone, which should have a deadline of its own.
    pub fn keep_half_closed(&mut self, keep: bool) {
        command!(self.outbound, Command::KeepHalfClosed(keep));
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, ..)) => sender.keep_half_closed(keep),
            Some(LentExchange::Http2(session, link, _)) => session.keep_half_closed(keep, link.now),
            None => {}
        }
    }

    /// Limits the content of the request or response that is being received, in place of
    /// [`Limits::content_bytes_max`](crate::Limits::content_bytes_max). Past it a request is answered 413.
    pub fn limit_content(&mut self, bytes: u64) {
        command!(self.outbound, Command::LimitContent(bytes));
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, ..)) => sender.limit_content(bytes),
            Some(LentExchange::Http2(session, _, _)) => session.limit_content(bytes),
            None => {}
        }
    }

    /// How many bytes of the content of this request its peer must deliver in each
    /// [`Limits::content_period`](crate::Limits::content_period), in place of
    /// [`Limits::content_bytes_min`](crate::Limits::content_bytes_min). 0 lets it take its time, as for an upload that a person types:
    /// the exchange then waits for the application, which should have a deadline of its own.
    pub fn expect_content(&mut self, bytes: usize) {
        command!(self.outbound, Command::ExpectContent(bytes));
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, ..)) => sender.expect_content(bytes),
            Some(LentExchange::Http2(session, _, _)) => session.expect_content(bytes),
            None => {}
        }
    }

    /// Accepts the WebSocket opening handshake that `head` asks for: 101 is queued, and the stream speaks WebSocket
    /// from here on. RFC 6455 §4.2.2. [`Event::Established`](crate::Event::Established) follows.
    ///
    /// # Errors
    /// [`Misuse::NotAnOpening`] if the request breaks a rule of RFC 6455 §4.2.1: it has then been answered with 400 or
    /// 426. Any other misuse changes nothing.
    pub fn accept_websocket(self, head: &Head<'_>, accept: &ws::Accept<'_>) -> Result<WebSocket<'a>, Misuse> {
        note!(
            self.outbound,
            match accept.command() {
                Some(command) => Note::Command(self.outbound.key(), command),
                None => Note::Unsupported("an extension of the application".into()),
            }
        );
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, channel, _)) => {
                let opened = crate::h1::accept_websocket(sender, channel, head, accept)?;
                channel.link.last_received = channel.link.now;
                self.outbound.begin_websocket(opened, false);
            }
            Some(LentExchange::Http2(session, link, resources)) => {
                session.accept_websocket(link, resources, head, accept)?;
            }
            None => return Err(Misuse::UnknownStream),
        }
        Ok(WebSocket::new(self.outbound))
    }

    /// Accepts a CONNECT request: 200 is queued, and the stream is raw from here on. RFC 9110 §9.3.6.
    ///
    /// # Errors
    /// [`Misuse`] if the request is another one or has been answered.
    pub fn accept_tunnel(self) -> Result<RawStream<'a>, Misuse> {
        command!(self.outbound, Command::AcceptTunnel);
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, channel, _)) => {
                crate::h1::accept_tunnel(sender, channel)?;
                self.outbound.begin_raw(false);
            }
            Some(LentExchange::Http2(session, link, resources)) => session.accept_tunnel(link, resources)?,
            None => return Err(Misuse::UnknownStream),
        }
        Ok(RawStream::new(self.outbound))
    }
}

/// The permit to write once on an exchange. See [`Writable`].
pub type ExchangePermit<'a> = Writable<'a, spoken::Http>;

impl<'a> ExchangePermit<'a> {
    /// Sends the head of the final response, and content with it. RFC 9112 §4.
    ///
    /// The framing is chosen here: `Content-Length` if `end`, or as the fields say; otherwise chunked, or up to the
    /// close of the connection for HTTP/1.0.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[doc(alias = "lws_add_http_common_headers")]
    #[doc(alias = "lws_finalize_http_header")]
    #[inline]
    pub fn respond<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
        content: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'a, spoken::Http>, Misuse> {
        self.respond_prepared(status, &[], fields, content, end)
    }

    /// As [`respond`](Self::respond), with field lines that were checked and made ready before: these come first, then `fields`.
    ///
    /// ```
    /// use lws_proto::{ExchangePermit, Misuse, Payload, PreparedFields, http::Status};
    ///
    /// fn page(permit: ExchangePermit<'_>, always: &PreparedFields, page: &[u8]) -> Result<(), Misuse> {
    ///     permit.respond_prepared(Status::OK, &[always], [("X-Page", "1")], Payload::Copy(page), true)?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`respond`](Self::respond); prepared fields have none.
    #[inline]
    pub fn respond_prepared<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        status: Status,
        prepared: &[&PreparedFields],
        fields: impl IntoIterator<Item = (N, V)>,
        content: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'a, spoken::Http>, Misuse> {
        #[cfg(feature = "record")]
        let fields = crate::record::SentFields::new(self.outbound.tape(), fields);
        command!(
            self.outbound,
            Command::Respond {
                status,
                fields: crate::record::with_prepared(prepared, fields.kept()).into(),
                content: content.as_ref().into(),
                end
            }
        );
        let fields = ResponseFields { prepared, others: fields };
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, channel, _)) => {
                let Link { out, config, .. } = &mut channel.link;
                sender.respond(out, config, status, fields, content, end)?;
            }
            Some(LentExchange::Http2(session, link, resources)) => {
                session.respond(link, resources, (status, fields), content, end)?;
            }
            None => return Err(Misuse::UnknownStream),
        }
        Ok(Sent::new(self.outbound))
    }

    /// Ends a chunked message with a trailer section. RFC 9112 §7.1.2.
    ///
    /// # Errors
    /// [`Misuse`] if the message is not chunked; nothing has been sent then.
    pub fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Sent<'a, spoken::Http>, Misuse> {
        #[cfg(feature = "record")]
        let fields = crate::record::SentFields::new(self.outbound.tape(), fields);
        command!(self.outbound, Command::Trailers(fields.kept().into()));
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, channel, _)) => {
                sender.trailers(&mut channel.link.out, fields)?;
            }
            Some(LentExchange::Http2(session, link, resources)) => {
                session.trailers(link, resources, fields)?
            }
            None => return Err(Misuse::UnknownStream),
        }
        Ok(Sent::new(self.outbound))
    }

    /// Sends content of a response or request.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[doc(alias = "lws_write")]
    #[inline]
    pub fn data(self, content: Payload<'_>, end: bool) -> Result<Sent<'a, spoken::Http>, Misuse> {
        command!(self.outbound, Command::Data(content.as_ref().into(), end));
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, channel, _)) => {
                sender.data(&mut channel.link.out, content, end)?;
            }
            Some(LentExchange::Http2(session, link, resources)) => {
                session.data(link, resources, content, end)?;
            }
            None => return Err(Misuse::UnknownStream),
        }
        Ok(Sent::new(self.outbound))
    }

    /// Whether content may be a [`Region`], which is how large files cost least: over HTTP/1.1, with a length that was said, where the
    /// driver sends regions.
    #[must_use]
    pub fn takes_region(&self) -> bool {
        self.outbound.takes_region()
    }

    /// Sends content that the driver takes from where it is.
    ///
    /// If it turns out to be shorter than it says, the connection ends by a reset, so that the peer does not take it for complete.
    ///
    /// # Errors
    /// [`Misuse`]: [`takes_region`](Self::takes_region) says no, or the content would not have the length that was said.
    pub fn region(self, region: Region, end: bool) -> Result<Sent<'a, spoken::Http>, Misuse> {
        if !self.takes_region() {
            return Err(Misuse::WrongState);
        }
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, channel, _)) => {
                sender.region(&mut channel.link.out, region, end)?;
            }
            Some(LentExchange::Http2(..)) => return Err(Misuse::WrongState),
            None => return Err(Misuse::UnknownStream),
        }
        Ok(Sent::new(self.outbound))
    }

    /// Sends content that `fill` writes in place: up to `max` bytes, of which it returns how many it wrote and whether
    /// they are the last.
    ///
    /// # Errors
    /// [`Misuse`]; `fill` has not been called then.
    pub fn fill(
        self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, bool),
    ) -> Result<Sent<'a, spoken::Http>, Misuse> {
        #[cfg(feature = "record")]
        let fill = crate::record::filling(self.outbound.noted(), max, fill);
        match self.outbound.exchange() {
            Some(LentExchange::Http1(sender, channel, _)) => {
                sender.fill(&mut channel.link.out, max, fill)?;
            }
            Some(LentExchange::Http2(session, link, resources)) => {
                session.fill(link, resources, max, fill)?;
            }
            None => return Err(Misuse::UnknownStream),
        }
        Ok(Sent::new(self.outbound))
    }
}
