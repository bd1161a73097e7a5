//! What is offered, chosen and agreed on. RFC 6455 §9.

use super::*;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;

/// Takes offers whose parameters are all `known`, and claims `bits`.
#[derive(Debug)]
struct Plain {
    name: &'static str,
    known: &'static [&'static str],
    bits: ReservedBits,
}

impl Plain {
    fn take(&self, parameters: &Parameters<'_>) -> Option<Agreement> {
        let known = parameters.iter().all(|parameter| self.known.contains(&parameter.name));
        let parameters = Parameters { text: Cow::Owned(parameters.to_string()) };
        known.then_some(Agreement { parameters, reserved_bits: self.bits })
    }
}

impl Negotiate for Plain {
    fn name(&self) -> &str {
        self.name
    }

    /// The last known parameter, then none: a fall-back.
    fn offers(&self) -> Vec<Parameters<'static>> {
        match self.known {
            [] => Vec::new(),
            [.., last] => vec![Parameters::new().value(last, 1), Parameters::new()],
        }
    }

    fn accept(&self, offer: &Parameters<'_>) -> Option<Agreement> {
        self.take(offer)
    }

    fn agree(&self, answer: &Parameters<'_>) -> Option<Agreement> {
        self.take(answer)
    }
}

/// `x` and `z` want RSV1, `y` wants RSV2, `quiet` offers nothing.
pub(in crate::ws) fn known() -> Vec<Arc<dyn Negotiate>> {
    vec![
        Arc::new(Plain { name: "x", known: &["a", "b"], bits: ReservedBits::RSV1 }),
        Arc::new(Plain { name: "y", known: &["a"], bits: ReservedBits::RSV2 }),
        Arc::new(Plain { name: "z", known: &["a"], bits: ReservedBits::RSV1 }),
        Arc::new(Plain { name: "quiet", known: &[], bits: ReservedBits::NONE }),
    ]
}

/// `list` as we would write it.
fn rewritten(list: &str) -> Option<String> {
    check(list).ok()?;
    let members: Vec<_> = parse(list).map_while(Result::ok).map(|offer| offer.to_string()).collect();
    Some(members.join(", "))
}

const LISTS: [(&str, &str); 12] = [
    ("foo", "foo"),
    ("bar; baz=2", "bar; baz=2"),
    ("foo, bar; baz=2", "foo, bar; baz=2"),
    ("deflate-stream", "deflate-stream"),
    (
        "mux; max-channels=4; flow-control, deflate-stream",
        "mux; max-channels=4; flow-control, deflate-stream",
    ),
    ("private-extension", "private-extension"),
    ("a;b=\"c\"", "a; b=c"),
    ("a;b=\"\\c\\d\";e", "a; b=cd; e"),
    ("\t, ,a ;\tb = c ,, d\t,", "a; b=c, d"),
    ("a;b;b;b=1", "a; b; b; b=1"),
    (
        "permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate",
        "permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate",
    ),
    ("!#$%&'*+-.^_`|~09AZaz;x=!", "!#$%&'*+-.^_`|~09AZaz; x=!"),
];

#[test]
fn a_list_means_the_same_however_it_is_written() {
    for (list, expected) in LISTS {
        assert_eq!(rewritten(list).as_deref(), Some(expected), "{list:?}");
        assert_eq!(rewritten(expected).as_deref(), Some(expected), "{list:?}");
    }
}

#[test]
fn what_is_not_of_the_grammar_is_malformed() {
    for list in [
        "",
        " ",
        ",",
        ", ,",
        ";",
        "=",
        "a;",
        "a;;b",
        "a; ;b",
        "a;=b",
        "a;b=",
        "a;b= ",
        "a b",
        "a;b c",
        "a;b=c d",
        "a=b",
        "a;b=c=d",
        "a;b=\"",
        "a;b=\"\"",
        "a;b=\"c",
        "a;b=\"c\\\"",
        "a;b=\"c\\\\\"",
        "a;b=\"c d\"",
        "a;b=\"c,d\"",
        "a;b=\"c;d\"",
        "a;b=\"c\"d",
        "a;b=\"\\\"\"",
        "\"a\"",
        "a;\"b\"",
        "a;b=c\"d\"",
        "a\r\nb",
        "a\u{a0};b",
        "é",
        "a;b=é",
        "a;b=\"é\"",
        "a\0",
        "a,b;",
        "a,(",
        "a\u{b}",
        "a;b='c d'",
    ] {
        assert_eq!(rewritten(list), None, "{list:?}");
    }
}

#[test]
fn a_cut_list_is_malformed_or_a_shorter_one() {
    for (list, _) in LISTS {
        for cut in 0..list.len() {
            let cut = &list[..cut];
            if let Some(again) = rewritten(cut) {
                assert_eq!(rewritten(&again).as_ref(), Some(&again), "{cut:?}");
            }
        }
    }
}

#[test]
fn a_list_with_any_other_byte_is_malformed_or_read_the_same_twice() {
    for (list, _) in LISTS {
        for at in 0..list.len() {
            for byte in 0..0x80 {
                let mut mutated = list.as_bytes().to_vec();
                mutated[at] = byte;
                let mutated = String::from_utf8(mutated).unwrap_or_default();
                if let Some(again) = rewritten(&mutated) {
                    assert!(again.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{mutated:?}");
                    assert!(!again.contains('"'), "{mutated:?}");
                    assert_eq!(rewritten(&again).as_ref(), Some(&again), "{mutated:?}");
                }
            }
        }
    }
}

#[test]
fn extensions_and_parameters_are_counted() {
    for (count, fits) in [(EXTENSIONS_MAX, true), (EXTENSIONS_MAX + 1, false)] {
        assert_eq!(rewritten(&vec!["a"; count].join(",")).is_some(), fits, "{count}");
    }
    for (count, fits) in [(PARAMETERS_MAX, true), (PARAMETERS_MAX + 1, false)] {
        assert_eq!(rewritten(&format!("a{}", ";b=1".repeat(count))).is_some(), fits, "{count}");
    }
}

#[test]
fn parameters_are_equal_if_they_mean_the_same() {
    let check = |a: &'static str, b: &'static str, same: bool| {
        let [a, b] = [a, b].map(|text| Parameters { text: Cow::Borrowed(text) });
        assert_eq!(a == b, same, "{a:?} {b:?}");
    };
    check("", "", true);
    check(";a=b", " ; a = \"b\"", true);
    check(";a", ";b", false);
    check(";a", ";a=a", false);
    check(";a;b", ";b;a", false);
    assert_eq!(Parameters::new().value("a", 15), Parameters { text: Cow::Borrowed(";a=15") });
    assert!(Parameters::new().is_empty());
    assert_eq!(format!("{:?}", Parameters::new().flag("a")), "[Parameter { name: \"a\", value: None }]");
}

#[test]
fn a_server_takes_the_first_offer_it_can_of_each_extension() {
    let check = |offered: &str, expected: Option<&str>, bits: u8| {
        assert!(super::check(offered).is_ok(), "{offered:?}");
        let agreed = choose(offered, &known());
        assert_eq!(agreed.answer(), Ok(expected.map(String::from)), "{offered:?}");
        assert_eq!(agreed.reserved_bits().bits(), bits, "{offered:?}");
        assert_eq!(choose(offered, &[]).answer(), Ok(None), "{offered:?}");
    };
    check("x", Some("x"), 0x40);
    check("x; a=1", Some("x; a=1"), 0x40);
    // A fall-back: what the first offer asks for is unknown.
    check("x; c, x; b=\"2\", x; a", Some("x; b=2"), 0x40);
    check("x; c", None, 0);
    check("unknown, other; a=1", None, 0);
    check("unknown, x", Some("x"), 0x40);
    // The client's order is the order of the answer.
    check("y, x", Some("y, x"), 0x60);
    check("x, y", Some("x, y"), 0x60);
    // Both want RSV1: the first has it.
    check("x, z", Some("x"), 0x40);
    check("z, x", Some("z"), 0x40);
    check("z; c, x", Some("x"), 0x40);
    check("X", None, 0);
    check("quiet, x", Some("quiet, x"), 0x40);
}

#[test]
fn a_client_takes_only_what_it_offered_and_understands() {
    let check = |answer: &str, expected: Option<u8>| {
        let agreed = agree(answer, &known()).ok().map(|agreed| agreed.reserved_bits().bits());
        assert_eq!(agreed, expected, "{answer:?}");
    };
    check("x", Some(0x40));
    check("x; b=2, y", Some(0x60));
    check("", None);
    check("x;", None);
    check("unknown", None);
    check("x, unknown", None);
    check("x; c", None);
    check("x, x", None);
    check("x, z", None);
    check("quiet", None);
    assert!(agree("x", &[]).is_err());
}

#[test]
fn a_client_offers_in_its_order_with_fall_backs() {
    assert_eq!(offer(&known()), Ok(Some("x; b=1, x, y; a=1, y, z; a=1, z".into())));
    assert_eq!(offer(&known()[3..]), Ok(None));
    assert_eq!(offer(&[]), Ok(None));
}

#[test]
fn what_our_own_side_writes_badly_is_not_sent() {
    for name in ["", "a b", "a,b", "a\r\nb"] {
        let named: Arc<dyn Negotiate> =
            Arc::new(Plain { name: "x", known: &["a"], bits: ReservedBits::NONE });
        for parameters in [Parameters::new().flag(name), Parameters::new().value("a", name)] {
            let agreement = Agreement { parameters, reserved_bits: ReservedBits::NONE };
            let mut extensions = Extensions::default();
            assert!(extensions.push(&named, agreement));
            assert_eq!(extensions.answer(), Err(Malformed), "{name:?}");
        }
    }
    let unnamed: Arc<dyn Negotiate> =
        Arc::new(Plain { name: "x y", known: &["a"], bits: ReservedBits::NONE });
    assert_eq!(offer(&[unnamed]), Err(Malformed));
}
