//! The upgrade from HTTP/1.1 to HTTP/2. RFC 7540 §3.2, which RFC 9113 deprecates and clients still use.

use super::session::Session;
use super::settings::{INITIAL_WINDOW, Settings};
use super::state::State;
use super::streams;
use super::window::SendWindow;
use crate::Config;
use crate::connection::link::Link;
use crate::http::{Head, Method};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The content that is sent before the client's preface. curl takes 32 KiB behind the head of the 101, with heads.
const UNHEARD_BYTES_MAX: u32 = 16 << 10;

/// Bytes of the settings in a request: forty of them, with the slack that decoding wants.
const PAYLOAD_BYTES_MAX: usize = 243;

/// The client's settings in a request for the upgrade.
#[derive(Debug)]
pub(crate) struct Upgrade {
    settings: Settings,
    /// The smallest table size among the settings, which may differ from the last one.
    smallest_table: u32,
}

/// The upgrade that a request of HTTP/1.1 asks for. An invalid request for it is ignored and answered in HTTP/1.1, and
/// so is every one if [`Config::upgrade_to_http2`] is off.
///
/// "A server MUST NOT upgrade the connection to HTTP/2 if this header field is not present or if more than one is
/// present."
pub(crate) fn asks_for_upgrade(head: &Head<'_>, config: &Config) -> Option<Upgrade> {
    let named = config.upgrade_to_http2
        && head.has_token("upgrade", "h2c")
        && head.has_token("connection", "upgrade")
        && head.has_token("connection", "http2-settings");
    let mut values = head.get_all("http2-settings");
    let value = values.next().filter(|_| named)?;
    if values.next().is_some() {
        return None;
    }
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let len = URL_SAFE_NO_PAD.decode_slice(value, &mut payload).ok()?;
    let payload = &payload[..len];
    let mut settings = Settings::default();
    if !len.is_multiple_of(6) {
        return None;
    }
    let smallest_table = settings.apply(payload, config.limits.h2_settings_entries_max, false).ok()?;
    Some(Upgrade { settings, smallest_table })
}

impl Session {
    /// The session of an upgraded connection: its first stream is the request, is lent, and keeps the `generation`
    /// of its key.
    pub(crate) fn upgraded(upgrade: &Upgrade, (method, generation): (Method, u32), link: &mut Link) -> Self {
        link.out.buffer().extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        );
        let mut session = Self::new(false, &link.config, link.now);
        session.begin(link);
        let Upgrade { settings, smallest_table } = *upgrade;
        session.settings.peer = settings;
        session.fields.apply_settings(smallest_table, settings.header_table_size, settings.max_frame_size);
        session.flow.send = SendWindow::new(UNHEARD_BYTES_MAX);
        session.flow.deferred = INITIAL_WINDOW - UNHEARD_BYTES_MAX;
        let mut stream = session.new_stream(1, link.now);
        stream.state = State::HalfClosedRemote;
        stream.method = method;
        stream.set(streams::DELIVERED);
        session.incoming.last_id = 1;
        session.streams.generation_base = generation.wrapping_sub(1);
        let slot = session.streams.insert(stream);
        session.lend(slot);
        session
    }
}
