//! What is offered, answered and agreed on. RFC 7692 §7.1.

use super::*;
use crate::ws::extension;
use alloc::string::{String, ToString};
use alloc::vec;

/// The server's answer to a list of offers.
fn answer(deflate: &Deflate, offered: &str) -> Option<String> {
    let extensions: Vec<Arc<dyn Negotiate>> = vec![Arc::new(deflate.clone())];
    let agreed = extension::choose(offered, &extensions);
    agreed.iter().next().map(|(_, agreement)| agreement.parameters.to_string())
}

fn offer(deflate: &Deflate) -> Vec<String> {
    deflate.offers().iter().map(ToString::to_string).collect()
}

/// What a client makes of an answer: the parameters that hold.
fn agreed(deflate: &Deflate, answer: &str) -> Option<String> {
    let extensions: Vec<Arc<dyn Negotiate>> = vec![Arc::new(deflate.clone())];
    let list = ["permessage-deflate", answer].concat();
    let agreed = extension::agree(&list, &extensions).ok()?;
    agreed.iter().next().map(|(_, agreement)| agreement.parameters.to_string())
}

const NO_TAKEOVER_AT_ALL: &str = "; server_no_context_takeover; client_no_context_takeover";

fn takes_over() -> Deflate {
    Deflate::default().context_takeover(true)
}

#[test]
fn a_server_answers_what_it_can_keep() {
    let check = |deflate: &Deflate, offered: &str, expected: Option<&str>| {
        assert_eq!(answer(deflate, offered).as_deref(), expected, "{offered}");
    };
    let none = Deflate::default();
    check(&none, "permessage-deflate", Some(NO_TAKEOVER_AT_ALL));
    check(&none, "permessage-deflate; client_max_window_bits", Some(NO_TAKEOVER_AT_ALL));
    let all = takes_over();
    check(&all, "permessage-deflate", Some(""));
    check(&all, "permessage-deflate; server_no_context_takeover", Some("; server_no_context_takeover"));
    check(&all, "permessage-deflate; client_no_context_takeover", Some("; client_no_context_takeover"));
    for bits in 9..=15 {
        let offered = alloc::format!("permessage-deflate; server_max_window_bits={bits}");
        check(&all, &offered, Some(&offered["permessage-deflate".len()..]));
    }
    check(&all, "permessage-deflate; client_max_window_bits=15", Some(""));
    check(&all, "permessage-deflate; client_max_window_bits=8", Some("; client_max_window_bits=8"));
    let small = takes_over().server_max_window_bits(10).client_max_window_bits(11);
    check(&small, "permessage-deflate", Some("; server_max_window_bits=10"));
    check(
        &small,
        "permessage-deflate; client_max_window_bits",
        Some("; server_max_window_bits=10; client_max_window_bits=11"),
    );
    check(
        &small,
        "permessage-deflate; client_max_window_bits=10; server_max_window_bits=9",
        Some("; server_max_window_bits=9; client_max_window_bits=10"),
    );
    // A window of 256 bytes is accepted of the client, and never promised.
    check(&takes_over().server_max_window_bits(8), "permessage-deflate", Some("; server_max_window_bits=9"));
}

#[test]
fn an_offer_that_cannot_be_kept_leaves_the_next_one() {
    for offer in [
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; unknown",
        "permessage-bzip2",
    ] {
        assert_eq!(answer(&takes_over(), offer), None, "{offer}");
        let list = [offer, ", permessage-deflate; client_max_window_bits, permessage-deflate"].concat();
        assert_eq!(answer(&takes_over(), &list).as_deref(), Some(""), "{list}");
    }
}

#[test]
fn a_client_offers_what_it_wants_and_then_less() {
    assert_eq!(offer(&takes_over()), ["; client_max_window_bits"]);
    let none = [NO_TAKEOVER_AT_ALL, "; client_max_window_bits"].concat();
    assert_eq!(offer(&Deflate::default()), [none]);
    let small = takes_over().server_max_window_bits(10).client_max_window_bits(8);
    assert_eq!(
        offer(&small),
        ["; server_max_window_bits=10; client_max_window_bits=9", "; client_max_window_bits=9"]
    );
}

#[test]
fn a_client_agrees_to_answers_of_its_offers_only() {
    let check = |deflate: &Deflate, answer: &str, good: bool| {
        assert_eq!(agreed(deflate, answer).as_deref(), good.then_some(answer), "{answer}");
    };
    let all = takes_over();
    for answer in [
        "",
        "; server_no_context_takeover",
        "; client_no_context_takeover",
        "; client_max_window_bits=9",
        "; client_max_window_bits=15",
        "; server_max_window_bits=8",
        "; server_max_window_bits=15",
    ] {
        check(&all, answer, true);
    }
    for answer in [
        "; client_max_window_bits",
        "; client_max_window_bits=8",
        "; server_max_window_bits",
        "; server_max_window_bits=16",
        "; unknown",
        "; server_no_context_takeover; server_no_context_takeover",
    ] {
        check(&all, answer, false);
    }
    check(&Deflate::default(), "", false);
    check(&Deflate::default(), "; client_no_context_takeover", false);
    check(&Deflate::default(), "; server_no_context_takeover", true);
    let small = takes_over().server_max_window_bits(10).client_max_window_bits(11);
    check(&small, "; server_max_window_bits=10; client_max_window_bits=11", true);
    check(&small, "; server_max_window_bits=9", true);
    // The second offer.
    check(&small, "; client_max_window_bits=12", false);
    check(&small, "", true);
}
