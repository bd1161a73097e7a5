//! One event, and how it is written. HTML Living Standard §9.2.

/// An event for the listeners of an `EventSource`.
///
/// ```
/// use lws_server::sse::Event;
///
/// let price = Event::new("17.5").named("price");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it is to be published"]
pub struct Event {
    name: String,
    data: String,
}

impl Event {
    /// An event called `message`, which is what `onmessage` gets. Line breaks in `data` arrive as `\n`, however they are written here.
    pub fn new(data: impl Into<String>) -> Self {
        Self { name: String::new(), data: data.into() }
    }

    /// Gives it another name, for `addEventListener`. Line breaks are left out of it.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self.name.retain(|char| !matches!(char, '\r' | '\n'));
        self
    }

    /// Writes it, with an identifier if it has one, which has no line break.
    pub(super) fn write(&self, id: Option<&str>, out: &mut Vec<u8>) {
        if let Some(id) = id {
            line(out, "id", id);
        }
        if !self.name.is_empty() {
            line(out, "event", &self.name);
        }
        let mut rest = &*self.data;
        while let Some(at) = rest.find(['\r', '\n']) {
            line(out, "data", &rest[..at]);
            rest = &rest[at..];
            rest = rest.strip_prefix("\r\n").unwrap_or_else(|| &rest[1..]);
        }
        line(out, "data", rest);
        out.push(b'\n');
    }
}

fn line(out: &mut Vec<u8>, field: &str, value: &str) {
    for part in [field, ": ", value, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_line_by_line() {
        let check = |event: Event, id: Option<&str>, expected: &str| {
            let mut out = Vec::new();
            event.write(id, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        check(Event::new("a"), None, "data: a\n\n");
        check(Event::new(""), Some("1"), "id: 1\ndata: \n\n");
        check(Event::new("a\nb\rc\r\nd\n"), None, "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
        check(Event::new("x").named("a\r\nid: 7"), Some("1"), "id: 1\nevent: aid: 7\ndata: x\n\n");
    }
}
