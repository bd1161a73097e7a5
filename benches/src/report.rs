//! Figures as text. Knows no measurement.

use std::fmt::Write;

use crate::client::{Outcome, Plan, Traffic};

/// A number with its thousands set apart: `309,120`.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A byte count as people name it: `20 B`, `16 KiB`, `1 MiB`.
pub fn bytes(count: usize) -> String {
    match count {
        count if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 && count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        count => format!("{count} B"),
    }
}

/// What a single run has measured, over several lines.
pub fn run(plan: &Plan, outcome: &Outcome) -> String {
    let what = match &plan.traffic {
        Traffic::Raw => format!("raw echo of {}", bytes(plan.size)),
        Traffic::WebSocket { path } => format!("WebSocket echo of {} at {path}", bytes(plan.size)),
        Traffic::Http { path, .. } => format!("HTTP/1.1 GET {path}"),
    };
    let microseconds = |share| outcome.latency.quantile(share) as f64 / 1e3;
    let per = |calls: u64| outcome.messages as f64 / calls.max(1) as f64;
    let mut text = format!("{what}, {} connections, depth {}\n", plan.connections, plan.depth);
    let mut line = |name: &str, value: String| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    line(
        "messages",
        format!("{} in {:.2} s", grouped(outcome.messages as f64), outcome.elapsed.as_secs_f64()),
    );
    line("rate", format!("{} messages/s", grouped(outcome.rate())));
    line(
        "latency",
        format!(
            "p50 {:.1} µs, p99 {:.1} µs, p99.9 {:.1} µs",
            microseconds(0.5),
            microseconds(0.99),
            microseconds(0.999)
        ),
    );
    match outcome.server_ns().zip(outcome.server_busy()) {
        Some((ns, busy)) => {
            line("server", format!("{} ns of CPU per message, {:.0} % busy", grouped(ns), busy * 100.0));
        }
        None => line("server", "not measured: give its process id with --pid".into()),
    }
    line(
        "client",
        format!(
            "{:.0} % busy; {:.2} messages per write, {:.2} per read",
            outcome.client_busy() * 100.0,
            per(outcome.calls.writes),
            per(outcome.calls.reads)
        ),
    );
    line(
        "checked",
        format!(
            "first reply of {} of {} connections byte by byte; bad {}, fragments {}, reopened {}",
            outcome.tally.verified.min(plan.connections as u64),
            plan.connections,
            outcome.tally.bad,
            outcome.tally.fragments,
            outcome.tally.reopened
        ),
    );
    text
}

/// Rows under headings, each column as wide as its widest entry, in Markdown.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let entries = rows.iter().filter_map(|row| row.get(column)).map(|entry| entry.chars().count());
            entries.chain([heading.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |entries: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> =
            entries.zip(&widths).map(|(entry, &width)| format!(" {entry:<width$} ")).collect();
        format!("|{}|\n", cells.join("|"))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let mut text = line(&mut headings.iter().map(|heading| heading.to_string()));
    text += &format!("|{}|\n", rule.join("|"));
    for row in rows {
        text += &line(&mut row.iter().cloned());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0.0, "0"), (999.4, "999"), (1_000.0, "1,000"), (-1_234_567.0, "-1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn byte_counts_have_the_largest_whole_unit() {
        for (count, text) in [(20, "20 B"), (1000, "1000 B"), (16_384, "16 KiB"), (1 << 20, "1 MiB")] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn a_table_is_as_wide_as_its_widest_entries() {
        let text = table(&["a", "long"], &[vec!["µµµ".into(), "x".into()]]);
        assert_eq!(text, "| a   | long |\n|-----|------|\n| µµµ | x    |\n");
    }
}
