//! RFC 6455 §8.1: UTF-8, checked as it comes.

use crate::support::{Role, defaults, fails, sent};
use lws_proto::{Cause, Violation};
use tests::application::Echo;
use tests::endpoint::Buffer;
use tests::wire::{ENDS, GOES_ON, PING, TEXT, TEXT_BEGINS};

/// Texts of RFC 3629 and of its corners.
const VALID: &[&str] = &[
    "",
    "plain",
    "κόσμε",
    "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
    "\u{d7ff}\u{e000}\u{fffd}\u{feff}",
    "a text that is longer than any block a vector unit takes at a time, with é and 𐍈 at its end: é𐍈",
];

/// What stands in front, what is wrong and at which byte it becomes so.
const INVALID: &[(&[u8], usize)] = &[
    (b"\x80", 0),
    (b"\xbf", 0),
    (b"\xc0\x80", 0),
    (b"\xc1\xbf", 0),
    (b"\xc3\x28", 1),
    (b"\xe0\x80\x80", 1),
    (b"\xe0\x9f\xbf", 1),
    (b"\xe2\x28\xa1", 1),
    (b"\xe2\x82\x28", 2),
    (b"\xed\xa0\x80", 1),
    (b"\xed\xbf\xbf", 1),
    (b"\xf0\x80\x80\x80", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    (b"\xf0\x90\x28\xbc", 2),
    (b"\xf0\x90\x8c\x28", 3),
    (b"\xf4\x90\x80\x80", 1),
    (b"\xf5\x80\x80\x80", 0),
    (b"\xfe", 0),
    (b"\xff", 0),
];

#[test]
fn a_text_may_be_cut_between_frames_at_any_byte() {
    // RFC 6455 §5.6: "Note that a particular text frame might include a partial UTF-8 sequence; however, the whole message MUST
    // contain valid UTF-8."
    for role in Role::BOTH {
        for text in VALID {
            for cut in 0..=text.len() {
                let (begin, end) = text.as_bytes().split_at(cut);
                let input =
                    [role.incoming(TEXT_BEGINS, begin), role.incoming(PING, b""), role.incoming(ENDS, end)];
                let mut endpoint = role.websocket(&defaults(), false, Echo::default());
                endpoint.receive(&input.concat(), Buffer::Lent);
                assert_eq!(endpoint.seen.contents(), [(*text).into()], "{text:?} cut at {cut}");
            }
            assert_eq!(role.echoes(&role.incoming(TEXT, text.as_bytes())), [sent(TEXT, text)]);
        }
    }
}

#[test]
fn a_text_that_is_not_utf8_fails_the_connection() {
    // RFC 6455 §8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is not, in fact, a
    // valid UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_."
    for role in Role::BOTH {
        for (bad, _) in INVALID {
            for before in ["", "é", "sixty-four bytes and more, so that whatever looks at blocks has one: 𐍈"]
            {
                let text = [before.as_bytes(), bad, b"after"].concat();
                fails(role, &role.incoming(TEXT, &text), 1007, Cause::Violation(Violation::Utf8));
            }
        }
        // A message may not end inside a character.
        for text in [&b"\xce"[..], b"ok\xe2\x82", b"\xf0\x90\x8d"] {
            fails(role, &role.incoming(TEXT, text), 1007, Cause::Violation(Violation::Utf8));
            let input = [role.incoming(TEXT_BEGINS, text), role.incoming(ENDS, b"")].concat();
            fails(role, &input, 1007, Cause::Violation(Violation::Utf8));
        }
    }
}

#[test]
fn it_fails_at_the_first_byte_that_cannot_be() {
    // Ours: the check does not wait for the end of a frame or message.
    for role in Role::BOTH {
        for (bad, at) in INVALID {
            for streamed in [false, true] {
                let mut endpoint = role.websocket(&defaults(), streamed, Echo::new(streamed));
                let input = role.incoming(TEXT_BEGINS, &[bad, &[b'x'; 20][..]].concat());
                let header = input.len() - bad.len() - 20;
                for byte in &input[..header + at] {
                    endpoint.receive(&[*byte], Buffer::Lent);
                }
                assert_eq!(endpoint.seen.causes(), [], "{}", bad.escape_ascii());
                endpoint.receive(&input[header + at..=header + at], Buffer::Lent);
                assert_eq!(
                    endpoint.seen.causes(),
                    [Cause::Violation(Violation::Utf8)],
                    "{}",
                    bad.escape_ascii()
                );
            }
        }
    }
}

#[test]
fn what_was_valid_before_the_bad_byte_comes_however_it_was_cut() {
    // Chunking changes nothing: a streamed text is delivered up to the invalid character.
    for role in Role::BOTH {
        let input = [role.incoming(TEXT_BEGINS, b"first "), role.incoming(GOES_ON, b"good\xffbad")].concat();
        fails(role, &input, 1007, Cause::Violation(Violation::Utf8));
    }
}

#[test]
fn binary_messages_are_not_text() {
    for role in Role::BOTH {
        for (bad, _) in INVALID {
            assert_eq!(role.echoes(&role.incoming(0x82, bad)), [sent(0x82, bad)]);
        }
    }
}
