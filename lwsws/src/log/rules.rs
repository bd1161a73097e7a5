//! Which requests are logged, and how a record becomes a line.

use clap::ValueEnum;
use lws_config::LogRules;
use lws_server::AccessRecord;
use std::borrow::Cow;
use std::cell::Cell;

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The combined log format, with the duration and the cause behind it
    #[default]
    Combined,
    /// A JSON object in each line
    Json,
}

impl Format {
    /// What is no request as a line.
    pub(super) fn message<'m>(self, message: &'m str) -> Cow<'m, str> {
        match self {
            Self::Combined => message.into(),
            Self::Json => json_message(message).into(),
        }
    }
}

/// What of the requests is logged, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) format: Format,
    /// Paths below which nothing that went well is logged: those that balancers ask every second.
    pub(crate) skipped: Vec<String>,
    /// Of what went well every so many-th is logged; 0 and 1 are all.
    pub(crate) sample: u32,
}

/// The rules on one thread.
pub(crate) struct Chosen {
    rules: Rules,
    /// How many went well that were not logged since the last one that was.
    passed_over: Cell<u32>,
}

impl Rules {
    /// Those of a configuration.
    pub(crate) fn of_configuration(rules: &LogRules) -> Self {
        let is_json = rules.format.as_deref() == Some("json");
        Self {
            format: if is_json { Format::Json } else { Format::Combined },
            skipped: rules.skipped.clone(),
            sample: rules.sample.unwrap_or_default(),
        }
    }

    /// The rules for a thread.
    pub(crate) fn on_thread(&self) -> Chosen {
        // The first one is logged.
        let passed_over = Cell::new(self.sample.saturating_sub(1));
        Chosen { rules: self.clone(), passed_over }
    }
}

impl Chosen {
    /// Appends the line of a record to `lines`, without its end, if it is to be logged.
    pub(crate) fn append(&self, record: &AccessRecord<'_>, lines: &mut Vec<u8>) {
        if !self.wants(record.target, record.status, record.cause) {
            return;
        }
        match self.rules.format {
            Format::Combined => record.append_combined(lines),
            Format::Json => record.append_json(lines),
        }
    }

    /// Whether a request is logged. One that did not go well always is.
    fn wants(&self, target: &str, status: u16, cause: &str) -> bool {
        let went_well = (100..400).contains(&status)
            && ["complete", "websocket", "closed", "closed_by_peer"].contains(&cause);
        !went_well || (!self.is_skipped(target) && self.is_sampled())
    }

    fn is_skipped(&self, target: &str) -> bool {
        if self.rules.skipped.is_empty() {
            return false;
        }
        let path = target.split(['?', '#']).next().unwrap_or_default();
        self.rules.skipped.iter().any(|skipped| {
            let rest = path.strip_prefix(skipped.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn is_sampled(&self) -> bool {
        let passed_over = self.passed_over.get().saturating_add(1);
        let is_next = passed_over >= self.rules.sample;
        self.passed_over.set(if is_next { 0 } else { passed_over });
        is_next
    }
}

/// What is no request, as an object in one line. RFC 8259 §7.
fn json_message(message: &str) -> String {
    let mut line = String::with_capacity(message.len() + 16);
    line.push_str("{\"message\":\"");
    for char in message.chars() {
        match char {
            '"' | '\\' => line.extend(['\\', char]),
            char if char.is_control() => line.extend(format!("\\u{:04x}", u32::from(char)).chars()),
            char => line.push(char),
        }
    }
    line.push_str("\"}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(skipped: &[&str], sample: u32) -> Chosen {
        let skipped = skipped.iter().map(|path| (*path).to_owned()).collect();
        Rules { format: Format::Combined, skipped, sample }.on_thread()
    }

    #[test]
    fn a_path_is_skipped_with_what_is_below_it_unless_something_went_wrong() {
        let chosen = chosen(&["/healthz", "/probe/"], 0);
        for (target, status, cause, wanted) in [
            ("/healthz", 200, "complete", false),
            ("/healthz?from=here", 200, "complete", false),
            ("/healthz/deep", 304, "complete", false),
            ("/probe", 200, "complete", false),
            ("/healthzone", 200, "complete", true),
            ("/", 200, "complete", true),
            ("/healthz", 503, "complete", true),
            ("/healthz", 200, "disconnected", true),
            ("/healthz", 0, "head_timeout", true),
        ] {
            assert_eq!(chosen.wants(target, status, cause), wanted, "{target} {status} {cause}");
        }
    }

    #[test]
    fn what_is_no_request_is_an_object_too() {
        assert_eq!(json_message("a \"b\"\n\\\u{9b}"), r#"{"message":"a \"b\"\u000a\\\u009b"}"#);
    }

    #[test]
    fn of_what_went_well_every_so_many_th_is_logged_and_the_first() {
        let chosen = chosen(&[], 3);
        let wanted: Vec<_> = (0..7).map(|_| chosen.wants("/", 200, "complete")).collect();
        assert_eq!(wanted, [true, false, false, true, false, false, true]);
        assert!(chosen.wants("/", 500, "complete"));
    }
}
