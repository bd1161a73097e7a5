//! The borders of TLS records: ciphertext cut anywhere, with little room for plaintext, and damaged anywhere.

use crate::tls::{Authority, Link};
use lws_loop_external::tls::Provider;
use lws_proto::Time;
use lws_tls::{Client, Server};
use std::sync::{Arc, OnceLock};

/// Certificates take longer than everything else: they are made once.
fn providers() -> &'static (Arc<dyn Provider>, Server) {
    static PROVIDERS: OnceLock<(Arc<dyn Provider>, Server)> = OnceLock::new();
    PROVIDERS.get_or_init(|| {
        let authority = Authority::new("root");
        let client =
            Client::builder().roots(authority.roots()).build().and_then(|client| client.to("a.example"));
        (client.expect("a client"), authority.issue(&["a.example"]).server())
    })
}

/// The input says how long the messages are, how they are cut on their way, and which octet of the way is another.
pub fn records(input: &[u8]) {
    let [room, damage_at, damage, rest @ ..] = input else { return };
    let (client, server) = providers();
    let mut link = Link::established(&**client, server);
    let (lengths, cuts) = rest.split_at(rest.len() / 2);
    let mut sent = Vec::new();
    for (at, length) in lengths.iter().take(64).enumerate() {
        let message = vec![at as u8; usize::from(*length) * usize::from(*length)];
        let (head, tail) = message.split_at(message.len() / 3);
        link.client.seal(Time::from_micros(at as u64 * 100_000), &[head, tail]);
        sent.extend_from_slice(&message);
    }
    link.client.close();
    let mut way = std::mem::take(&mut link.client.out);
    let place = usize::from(*damage_at) * way.len() / 256;
    let damaged = *damage != 0;
    way[place] ^= damage;

    link.server.room = 1 + usize::from(*room) * 7;
    let mut rest = &way[..];
    for cut in cuts.iter().cycle() {
        let (piece, after) = rest.split_at(rest.len().min(1 + usize::from(*cut) * usize::from(*cut)));
        link.server.receive(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    link.server.receive(rest);
    assert!(sent.starts_with(&link.server.plaintext), "what was opened is what was sealed");
    if damaged {
        // A length that has grown waits for bytes that never come: then there is no end either. And the version of a record
        // is ignored, RFC 8446 §5.1: then everything is there.
        let whole = link.server.closed && link.server.plaintext.len() == sent.len();
        let seen = link.server.failure.is_some() || !link.server.closed;
        assert!(seen || whole, "damage at {place} was not seen");
    } else {
        assert_eq!(link.server.failure, None);
        assert_eq!(link.server.plaintext.len(), sent.len(), "all of it");
        assert!(link.server.closed, "and its end");
    }
}
