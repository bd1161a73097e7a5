//! Metrics as text: OpenMetrics 1.0, and the format of Prometheus before it. Knows no counter.

use std::fmt::Write as _;
use std::time::Duration;

/// How metrics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    #[default]
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
}

impl Format {
    /// What a client asks for by its `Accept`: OpenMetrics if it names that, and otherwise what every collector reads.
    #[must_use]
    pub fn of_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The `Content-Type`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows. Its samples end with `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many were how large.
    Histogram,
    /// Labels that say something, with the value 1. Its sample ends with `_info`.
    Info,
}

/// A text of metrics, family by family.
///
/// ```
/// use lws_server::metrics::{Exposition, Format, Kind};
///
/// let mut text = Exposition::new(Format::OpenMetrics);
/// text.family("jobs", Kind::Counter, "Jobs that were done.").sample(&[("queue", "mail")], 7);
/// assert_eq!(
///     text.finish(),
///     "# TYPE jobs counter\n# HELP jobs Jobs that were done.\njobs_total{queue=\"mail\"} 7\n# EOF\n"
/// );
/// ```
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    text: String,
}

impl Exposition {
    /// An empty one.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Begins a family, whose samples follow. `name` has no ending that comes of its kind.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let suffix = match kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        // The older format names what it declares as the samples are named, and has no information.
        let (declared, word) = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Info) => ("", "info"),
            (Format::Prometheus, Kind::Info) => (suffix, "gauge"),
            (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
            (Format::Prometheus, Kind::Counter) => (suffix, "counter"),
            (_, Kind::Gauge) => ("", "gauge"),
            (_, Kind::Histogram) => ("", "histogram"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# TYPE {name}{declared} {word}");
        let _ = write!(self.text, "# HELP {name}{declared} ");
        escape(&mut self.text, help);
        self.text.push('\n');
        Family { name, suffix, text: &mut self.text }
    }

    /// The text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// A family that was begun.
#[derive(Debug)]
pub struct Family<'a> {
    name: &'static str,
    suffix: &'static str,
    text: &'a mut String,
}

impl Family<'_> {
    /// Adds a sample. No two of a family have the same labels.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        self.begin(self.suffix, labels, None);
        let _ = writeln!(self.text, " {value}");
        self
    }

    /// Adds a sample that is a time: its value is in seconds.
    pub fn seconds(&mut self, labels: &[(&str, &str)], value: Duration) -> &mut Self {
        self.begin(self.suffix, labels, None);
        let _ = writeln!(self.text, " {}", decimal(value));
        self
    }

    /// Adds a histogram of times. `counts` has one number more than there are `bounds`: that of what lies beyond the last.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        bounds: impl IntoIterator<Item = Duration>,
        counts: &[u64],
        sum: Duration,
    ) -> &mut Self {
        let (mut cumulated, mut counts) = (0_u64, counts.iter());
        for bound in bounds {
            cumulated = cumulated.saturating_add(counts.next().copied().unwrap_or_default());
            self.begin("_bucket", labels, Some(&decimal(bound)));
            let _ = writeln!(self.text, " {cumulated}");
        }
        let count = counts.fold(cumulated, |sum, count| sum.saturating_add(*count));
        self.begin("_bucket", labels, Some("+Inf"));
        let _ = writeln!(self.text, " {count}");
        self.begin("_count", labels, None);
        let _ = writeln!(self.text, " {count}");
        self.begin("_sum", labels, None);
        let _ = writeln!(self.text, " {}", decimal(sum));
        self
    }

    fn begin(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let bound = bound.map(|bound| ("le", bound));
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            let _ = write!(self.text, "{separator}{name}=\"");
            escape(self.text, value);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
    }
}

/// Backslashes, quotes and line ends, each behind a backslash.
fn escape(text: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            char => text.push(char),
        }
    }
}

/// Seconds with a point, as OpenMetrics writes bounds.
fn decimal(time: Duration) -> String {
    let text = time.as_secs_f64().to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: impl Fn(&mut Exposition)) -> [String; 2] {
        [Format::OpenMetrics, Format::Prometheus].map(|format| {
            let mut text = Exposition::new(format);
            write(&mut text);
            text.finish()
        })
    }

    #[test]
    fn a_counter_is_declared_without_its_ending_in_openmetrics_and_with_it_before() {
        let [open, plain] = both(|text| {
            text.family("a", Kind::Counter, "b\"c").sample(&[("l", "x\n\"\\")], 1).sample(&[], 2);
        });
        let samples = "a_total{l=\"x\\n\\\"\\\\\"} 1\na_total 2\n";
        assert_eq!(open, format!("# TYPE a counter\n# HELP a b\\\"c\n{samples}# EOF\n"));
        assert_eq!(plain, format!("# TYPE a_total counter\n# HELP a_total b\\\"c\n{samples}"));
    }

    #[test]
    fn buckets_cumulate_and_the_last_is_all() {
        let [open, _] = both(|text| {
            let bounds = [Duration::from_micros(50), Duration::from_secs(1)];
            text.family("t_seconds", Kind::Histogram, "h").histogram(
                &[("x", "y")],
                bounds,
                &[1, 2, 3],
                Duration::from_millis(1_500),
            );
        });
        assert_eq!(
            open,
            "# TYPE t_seconds histogram\n# HELP t_seconds h\nt_seconds_bucket{x=\"y\",le=\"0.00005\"} 1\n\
             t_seconds_bucket{x=\"y\",le=\"1.0\"} 3\nt_seconds_bucket{x=\"y\",le=\"+Inf\"} 6\n\
             t_seconds_count{x=\"y\"} 6\nt_seconds_sum{x=\"y\"} 1.5\n# EOF\n"
        );
    }

    #[test]
    fn an_older_collector_gets_the_older_format() {
        for (accept, format) in [
            ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", Format::OpenMetrics),
            ("text/plain", Format::Prometheus),
            ("", Format::Prometheus),
        ] {
            assert_eq!(Format::of_accept(accept), format, "{accept}");
        }
    }
}
