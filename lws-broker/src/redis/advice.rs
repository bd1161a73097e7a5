//! What a person can do about an error of the server, and what it means for the connection.

use crate::Cause;

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Only for the command that it answers.
    Command,
    /// For everything on this connection: another one may do better, later or elsewhere.
    Connection,
}

const OTHER: &str = "see the log of the server";

/// The first words of errors, what they mean, and what a person can do.
const ERRORS: [(&str, Severity, &str); 18] = [
    ("NOAUTH", Severity::Connection, "the server wants a password: name one, as in redis://:password@host"),
    ("WRONGPASS", Severity::Connection, "the user or the password is wrong, or the user is disabled"),
    (
        "NOPERM",
        Severity::Command,
        "the ACL of the user lacks this command, channel or key: ACL SETUSER with +@pubsub +@connection &prefix* \
         and, for history, ~prefix* +@scripting +@stream +@hash +@keyspace +time +info",
    ),
    ("DENIED", Severity::Connection, "the server is in protected mode: set a password or bind it elsewhere"),
    (
        "LOADING",
        Severity::Connection,
        "the server is reading its data from disk: it is tried again by itself",
    ),
    (
        "READONLY",
        Severity::Connection,
        "this server is a replica: name the primary or its sentinels, or fail over to it",
    ),
    ("MASTERDOWN", Severity::Connection, "the replica has lost its primary: it is tried again by itself"),
    (
        "MOVED",
        Severity::Connection,
        "this topic belongs to another node of a cluster, which is tried next: if it happens again and \
         again, topics lie in several slots, and the prefix needs a hash tag, as in {lws}/",
    ),
    (
        "ASK",
        Severity::Connection,
        "the slot of this topic is moving to another node: it is tried again by itself",
    ),
    (
        "CROSSSLOT",
        Severity::Connection,
        "topics lie in several slots of a cluster: give the prefix a hash tag, as in {lws}/",
    ),
    ("CLUSTERDOWN", Severity::Connection, "the cluster does not cover all slots: see CLUSTER INFO"),
    (
        "NOSCRIPT",
        Severity::Connection,
        "the server has forgotten its scripts: they are loaded again by itself",
    ),
    ("OOM", Severity::Command, "the server has used up maxmemory: raise it, or keep less history"),
    ("NOREPLICAS", Severity::Command, "too few replicas are connected for min-replicas-to-write"),
    ("BUSY", Severity::Command, "a script runs too long on the server: see SCRIPT KILL"),
    ("NOPROTO", Severity::Connection, "the server does not speak RESP3: Redis 6 or later is needed"),
    (
        "ERR unknown command",
        Severity::Connection,
        "the server is too old or has renamed a command: Redis 6 or later is needed, 7 for sharded topics",
    ),
    (
        "ERR max number of clients",
        Severity::Connection,
        "the server has as many clients as maxclients allows",
    ),
];

/// Judges an error of the server.
pub(super) fn judge(error: &[u8]) -> (Severity, Cause) {
    let known = ERRORS.iter().find(|(first, ..)| {
        error
            .strip_prefix(first.as_bytes())
            .is_some_and(|rest| rest.first().is_none_or(|next| !next.is_ascii_alphanumeric()))
    });
    let (severity, advice) =
        known.map_or((Severity::Command, OTHER), |(_, severity, advice)| (*severity, *advice));
    (severity, Cause::Refused { error: Cause::words(error), advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_its_first_words() {
        for (error, severity, says) in [
            ("NOAUTH Authentication required.", Severity::Connection, "password"),
            ("MOVED 3999 127.0.0.1:6381", Severity::Connection, "cluster"),
            ("LOADING Redis is loading the dataset in memory", Severity::Connection, "disk"),
            ("READONLY You can't write against a read only replica.", Severity::Connection, "replica"),
            ("ERR unknown command 'HELLO', with args", Severity::Connection, "Redis 6"),
            ("ERR wrong number of arguments", Severity::Command, OTHER),
            ("NOAUTHX", Severity::Command, OTHER),
            ("OOM", Severity::Command, "maxmemory"),
        ] {
            let (judged, cause) = judge(error.as_bytes());
            assert_eq!(judged, severity, "{error}");
            let text = cause.to_string();
            assert!(text.contains(says) && text.contains(error), "{text}");
        }
    }
}
