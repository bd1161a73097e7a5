//! What tells the data of a replica that was promoted from the data of the primary before it. Knows no connection.
//!
//! A replica may lack the last messages of its primary. When it is promoted it counts on from where it is: another message has an offset
//! that was used, and a subscriber who has had the first would take the second for one that it knows. So a stream begins anew, with another
//! epoch, where a promoted server finds it: each promotion gives the server another identifier (`master_replid`), and it remembers that of
//! its primary as `master_replid2`. A server that was never promoted, or has forgotten it, changes no epoch.

/// The lineage, from what `INFO replication` says. Empty if the server was not promoted.
pub(super) fn parse(info: &[u8]) -> String {
    let text = String::from_utf8_lossy(info);
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let before = of("master_replid2");
    if before.bytes().all(|digit| digit == b'0') { String::new() } else { of("master_replid") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_promoted_has_a_lineage() {
        let (own, none) = ("8f".repeat(20), "0".repeat(40));
        for (info, expected) in [
            (format!("# Replication\r\nrole:master\r\nmaster_replid:{own}\r\nmaster_replid2:{none}\r\n"), ""),
            (
                format!(
                    "role:master\r\nmaster_replid:{own}\r\nmaster_replid2:1a\r\nsecond_repl_offset:7\r\n"
                ),
                &own,
            ),
            (format!("role:master\r\nmaster_replid:{own}\r\n"), ""),
            (String::new(), ""),
        ] {
            assert_eq!(parse(info.as_bytes()), expected, "{info}");
        }
        assert_eq!(parse(b"\xff\n"), "");
    }
}
