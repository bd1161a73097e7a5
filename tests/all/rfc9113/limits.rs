//! Every HTTP/2 row of [`Limits`](lws_proto::Limits) that its section does not test: at the limit, and one past it, with its name.

use super::*;
use lws_proto::http::Status;
use lws_proto::{Allowance, Deadline, Limit};
use std::time::Duration;
use tests::Seen;
use tests::endpoint::limits;
use tests::h2::{flag, frame, kind};

/// The connection ends with ENHANCE_YOUR_CALM over this limit.
fn calmed(reaction: &Reaction, limit: Limit) {
    let Some(SentFrame::GoAway { code, debug, .. }) = reaction.sent_frames.last() else {
        panic!("{limit:?}: {:?}", reaction.sent_frames)
    };
    assert_eq!((*code, &**debug), (code::ENHANCE_YOUR_CALM, limit.message()));
    assert!(reaction.delivered.fin && !reaction.lives());
}

/// The peer learns by a GOAWAY with ENHANCE_YOUR_CALM which streams are the last, over this limit, and no stream ends for it.
fn enhances_calm(reaction: &Reaction, limit: Limit) {
    let calm = |frame: &&SentFrame| matches!(frame, SentFrame::GoAway { code: code::ENHANCE_YOUR_CALM, debug, .. } if debug == limit.message());
    assert_eq!(reaction.sent_frames.iter().filter(calm).count(), 1, "{limit:?}: {:?}", reaction.sent_frames);
    assert!(!reaction.causes().contains(&Cause::Limit(limit)), "{:?}", reaction.causes());
}

/// An allowance of so many at once.
fn burst(burst: u32) -> Allowance {
    Allowance { burst, per_second: 1 }
}

#[test]
fn continuations_of_one_field_block() {
    let config = limits(|limits| limits.h2_continuations_max = 3);
    let block = h2::block(&h2::GET);
    let frames = |count: usize| {
        let mut frames = frame(kind::HEADERS, flag::END_STREAM, 1, &block);
        for at in 1..=count {
            frames.extend(frame(kind::CONTINUATION, u8::from(at == count) * flag::END_HEADERS, 1, b""));
        }
        frames
    };
    assert_eq!(served_with(&config, &[], frames(3)).status(1), Some(200));
    calmed(&served_with(&config, &[], frames(4)), Limit::Continuations);
}

#[test]
fn resets_by_the_peer_and_by_its_fault() {
    let config = limits(|limits| limits.h2_resets = burst(3));
    let reset = |stream| [h2::post(stream), h2::rst_stream(stream, code::CANCEL)].concat();
    // A peer that makes us reset is no better.
    let fault = |stream| [h2::post(stream), h2::window_update(stream, 0)].concat();
    for each in [&reset as &dyn Fn(u32) -> Vec<u8>, &fault] {
        let frames = |count: u32| -> Vec<u8> { (0..count).flat_map(|at| each(1 + at * 2)).collect() };
        let reaction = served_with(&config, &[], frames(3));
        assert!(reaction.lives(), "{:?}", reaction.sent_frames);
        enhances_calm(&served_with(&config, &[], frames(4)), Limit::Resets);
        let running = [h2::post(1), (1..5).flat_map(|at| each(1 + at * 2)).collect()].concat();
        let reaction = served_with(&config, &[], running);
        enhances_calm(&reaction, Limit::Resets);
        assert!(reaction.lives(), "{:?}", reaction.sent_frames);
    }
}

#[test]
fn frames_of_no_use() {
    let config = limits(|limits| limits.h2_glitches = burst(11));
    let empty = h2::data(1, b"", false);
    let check = |before: &[u8], each: &[u8], free: usize| {
        let frames = |count: usize| [before, &each.repeat(count)].concat();
        let reaction = served_with(&config, &[], frames(free + 11));
        assert!(
            reaction.lives() && h2::go_aways(&reaction.sent_frames).is_empty(),
            "{}: {:?}",
            each.escape_ascii(),
            reaction.sent_frames
        );
        enhances_calm(&served_with(&config, &[], frames(free + 12)), Limit::Glitches);
        // Once more, and the streams that run end, too.
        let again = [&h2::post(1), &frames(free + 12)[before.len()..], &each.repeat(100 + 11 + 1)].concat();
        calmed(&served_with(&config, &[], [again, h2::settings_ack().repeat(20)].concat()), Limit::Glitches);
    };
    for each in [h2::settings(&[]), h2::ping(true, [0; 8]), h2::settings_ack()] {
        check(&[], &each, 0);
    }
    check(&h2::post(1), &empty, 0);
    // Those of which some come with any traffic: a hundred at first, less the PING behind them, and four with a request.
    check(&h2::post(1), &h2::data(1, b"x", false), 103);
    for each in [
        h2::ping(false, [0; 8]),
        frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
        frame(99, 0, 1, b"x"),
        h2::priority_update(1, "u=1"),
        h2::window_update(0, 1),
    ] {
        check(&h2::post(1), &each, 103);
    }
    // Those for a stream that has ended count likewise, whatever they give.
    for increment in [1, 1 << 20] {
        let late = h2::window_update(1, increment);
        let updates = |count: usize| [h2::get(1), h2::post(3), late.repeat(count)].concat();
        assert!(h2::go_aways(&served_with(&config, &[], updates(107 + 11)).sent_frames).is_empty());
        enhances_calm(&served_with(&config, &[], updates(107 + 13)), Limit::Glitches);
    }
}

/// What was used up comes back with time.
#[test]
fn an_allowance_fills_up_again() {
    let config = limits(|limits| limits.h2_glitches = Allowance { burst: 5, per_second: 2 });
    let (mut server, mut reader) = server(&config, &[], Each::echo());
    // What a new connection and its request explain is free.
    server.receive(&[h2::post(1), h2::ping(false, [0; 8]).repeat(104 + 5)].concat(), Buffer::Lent);
    server.wait(Duration::from_secs(1));
    server.receive(&h2::ping(false, [0; 8]).repeat(2), Buffer::Lent);
    assert!(h2::go_aways(&reader.read(&server.take_sent())).is_empty());
    server.receive(&h2::ping(false, [0; 8]), Buffer::Lent);
    assert_eq!(h2::go_aways(&reader.read(&server.take_sent())), [(1, code::ENHANCE_YOUR_CALM)]);
    assert_eq!(server.connection.sent_away(), Some(Cause::Limit(Limit::Glitches)));
    // What runs comes to its end, and then the connection does.
    server.receive(&[h2::get(3), h2::data(1, b"x", true)].concat(), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!(h2::ended(&sent_frames, 1) && h2::answer(&sent_frames, 3).is_none(), "{sent_frames:?}");
    assert_eq!(server.seen.causes(), [Cause::Complete]);
    assert!(server.connection.interest().shutdown);
}

#[test]
fn entries_of_one_settings_frame() {
    let config = limits(|limits| limits.h2_settings_entries_max = 4);
    assert!(served_with(&config, &[], h2::settings(&[(99, 1); 4])).lives());
    calmed(&served_with(&config, &[], h2::settings(&[(99, 1); 5])), Limit::SettingsEntries);
}

/// A section past a limit is answered, and the connection goes on; one that is far past it is not decoded any further.
#[test]
fn field_sections() {
    let config = limits(|limits| (limits.head_bytes_max, limits.field_lines_max) = (1_000, 10));
    let with = |fields: &[(&str, &str)]| h2::headers(1, &[h2::GET.as_slice(), fields].concat(), true);
    // Each field counts its name, its value and 32 more. RFC 9113 §6.5.2.
    let size: usize = h2::GET.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    let value = |len: usize| "v".repeat(len);
    let fits = value(1_000 - size - 33);
    assert_eq!(served_with(&config, &[], with(&[("x", &fits)])).status(1), Some(200));
    let reaction = served_with(&config, &[], with(&[("x", &format!("{fits}v"))]));
    assert_eq!((reaction.status(1), reaction.lives()), (Some(431), true), "{:?}", reaction.sent_frames);
    // Cookie crumbs count each.
    assert_eq!(served_with(&config, &[], with(&[("cookie", "a"); 6])).status(1), Some(200));
    assert_eq!(served_with(&config, &[], with(&[("cookie", "a"); 7])).status(1), Some(431));
    let bomb = value(4_000);
    calmed(&served_with(&config, &[], with(&[("x", &bomb)])), Limit::FieldSection);
    // Trailers have a limit of their own.
    let config = limits(|limits| limits.trailer_bytes_max = 100);
    let trailers = |len| [h2::post(1), h2::headers(1, &[("x", &value(len))], true)].concat();
    assert_eq!(served_with(&config, &[], trailers(67)).status(1), Some(200));
    let reaction = served_with(&config, &[], trailers(68));
    assert_eq!(h2::reset(&reaction.sent_frames, 1), Some(code::ENHANCE_YOUR_CALM));
    assert_eq!(reaction.causes(), [Cause::Limit(Limit::TrailerBytes)]);
}

#[test]
fn targets_and_content() {
    let config = limits(|limits| (limits.target_bytes_max, limits.content_bytes_max) = (10, Some(10)));
    let target = |target: &'static str| {
        let mut fields = h2::GET;
        fields[3].1 = target;
        served_with(&config, &[], h2::headers(1, &fields, true)).status(1)
    };
    assert_eq!([target("/123456789"), target("/1234567890")], [Some(200), Some(414)]);
    let content = |len| served_with(&config, &[], [h2::post(1), h2::data(1, vec![b'x'; len], true)].concat());
    assert_eq!(content(10).status(1), Some(200));
    let past = content(11);
    assert_eq!((past.status(1), past.lives()), (Some(413), true));
    assert_eq!(past.causes(), [Cause::Limit(Limit::ContentBytes)]);
    assert_eq!(past.delivered.seen.contents(), []);
    let announced = h2::headers(1, &[h2::POST.as_slice(), &[("content-length", "11")]].concat(), false);
    assert_eq!(served_with(&config, &[], announced).status(1), Some(413));
}

/// Answers that the peer does not take: no more input is taken from there on, and nothing is closed until it has stalled.
#[test]
fn answers_to_control_frames_that_wait() {
    let config = limits(|limits| {
        limits.h2_control_frames_max = 10;
        limits.content_period = Duration::from_secs(1_000);
    });
    let (mut server, mut reader) = server(&config, &[], Each::echo());
    server.receive(&h2::post(1), Buffer::Lent);
    server.room = 0;
    server.receive(&h2::ping(false, [1; 8]).repeat(9), Buffer::Lent);
    assert!(server.connection.interest().read);
    server.receive(&h2::ping(false, [1; 8]).repeat(100), Buffer::Lent);
    assert!(!server.connection.interest().read, "choked");
    server.room = usize::MAX;
    server.settle();
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(
        sent_frames.iter().filter(|frame| matches!(frame, SentFrame::Ping { ack: true, .. })).count(),
        109
    );
    assert!(server.connection.interest().read);
    server.room = 0;
    server.receive(&h2::ping(false, [1; 8]).repeat(100), Buffer::Lent);
    server.wait(Duration::from_secs(31));
    assert_eq!(server.seen.causes(), [Cause::Timeout(lws_proto::Deadline::Stalled)]);
}

/// A peer that opens no window, or a byte at a time, holds a response for so long and no longer.
#[test]
fn a_response_makes_progress() {
    let config =
        limits(|limits| (limits.stalled_timeout, limits.stalled_bytes_min) = (Duration::from_secs(5), 100));
    for (step, stalls) in [(0, true), (10, true), (100, false)] {
        let app = tests::application::Answer { content: vec![0; 10_000].into(), ..Default::default() };
        let (mut server, _) = server(&config, &[(h2::setting::INITIAL_WINDOW_SIZE, 0)], app);
        server.receive(&h2::get(1), Buffer::Lent);
        for _ in 0..4 {
            server.wait(Duration::from_secs(4));
            if step > 0 && server.seen.causes().is_empty() {
                server.receive(&h2::window_update(1, step), Buffer::Lent);
            }
        }
        let expected: &[_] = if stalls { &[Cause::Timeout(lws_proto::Deadline::Stalled)] } else { &[] };
        assert_eq!(server.seen.causes(), expected, "{step}");
        assert!(!server.is_over() && server.connection.interest().read, "the connection goes on");
    }
}

/// A request head must come whole in its time, in however many frames.
#[test]
fn a_field_block_comes_in_time() {
    let (mut server, mut reader) = echo_server();
    server.receive(&frame(kind::HEADERS, 0, 1, &h2::block(&h2::GET)), Buffer::Lent);
    server.wait(Duration::from_secs(9));
    server.receive(&frame(kind::CONTINUATION, 0, 1, b""), Buffer::Lent);
    assert!(h2::go_aways(&reader.read(&server.take_sent())).is_empty());
    server.wait(Duration::from_secs(1));
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::go_aways(&sent_frames).len(), 1, "{sent_frames:?}");
    assert!(server.connection.interest().shutdown);
}

/// An idle connection is closed after `keep_alive_timeout`.
#[test]
fn an_idle_connection_is_closed() {
    let (mut server, mut reader) = echo_server();
    server.receive(&h2::get(1), Buffer::Lent);
    server.forget();
    server.wait(Duration::from_secs(59));
    assert!(server.sent.is_empty());
    // It still works, after its memory was given back.
    server.receive(&h2::get(3), Buffer::Lent);
    assert!(h2::ended(&reader.read(&server.take_sent()), 3));
    server.wait(Duration::from_secs(60));
    assert_eq!(h2::go_aways(&reader.read(&server.take_sent())), [(3, code::NO_ERROR)]);
    assert!(server.connection.interest().shutdown);
}

/// Each exchange of a peer that has ended its direction has a deadline of its own, and begins it anew by sending something.
#[test]
fn half_closed_timeout() {
    let second = Duration::from_secs(1);
    let (mut server, mut reader) = server(&defaults(), &[], Silent);
    server.receive(&[h2::get(1), h2::get(3), h2::get(5), h2::post(7)].concat(), Buffer::Lent);
    let [silent, fed, kept, _] = server.keys()[..] else { panic!("four streams") };
    server.receive_eof();
    assert_eq!(server.seen.count(|seen| *seen == Seen::PeerEnded), 3);
    // RFC 9113 §8.1: a request that is not whole.
    assert_eq!(server.seen.causes(), [Cause::Disconnected]);
    server.forget();
    server.connection.exchange(kept).expect("a stream").keep_half_closed(true);
    let permit = server.connection.exchange(fed).expect("a stream").permit().expect("a permit");
    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"x"), false).expect("a response");
    for turn in 0..20 {
        server.wait(5 * second);
        let gone = if turn == 0 { vec![] } else { vec![Cause::Timeout(Deadline::HalfClosed)] };
        assert_eq!(server.seen.causes(), gone);
        let permit = server.connection.exchange(fed).expect("a stream").permit().expect("a permit");
        permit.data(Payload::Static(b"x"), false).expect("content");
        server.settle();
    }
    assert_eq!(server.of(silent).causes(), [Cause::Timeout(Deadline::HalfClosed)]);
    assert_eq!(h2::reset(&reader.read(&server.take_sent()), 1), Some(code::INTERNAL_ERROR));
    server.wait(10 * second);
    assert_eq!(server.keys(), [kept]);
    server.wait(1_000 * second);
    assert!(
        !server.is_over(),
        "it waits for the application alone, and no PING asks a peer that cannot answer"
    );
    server.connection.stream(kept).expect("a stream").abort();
    server.settle();
    assert!(server.is_over());
}

/// The rate of a request's content is its exchange's to say.
#[test]
fn an_exchange_says_how_fast_its_content_must_come() {
    let (mut server, _) = server(&defaults(), &[], Silent);
    server.receive(&[h2::post(1), h2::post(3)].concat(), Buffer::Lent);
    let [patient, other] = server.keys()[..] else { panic!("two streams") };
    server.connection.exchange(patient).expect("a stream").expect_content(0);
    for _ in 0..20 {
        server.wait(Duration::from_secs(5));
        server.receive(&h2::ping(false, [0; 8]), Buffer::Lent);
    }
    assert_eq!(server.of(other).causes(), [Cause::Timeout(Deadline::Content)]);
    assert_eq!(server.of(patient).causes(), []);
}

/// Many windows that open by a little, of which none has stalled, are one slow peer.
#[test]
fn streams_that_crawl_together() {
    let run = |streams: u32, bytes_per_second: u32| {
        let app = tests::application::Answer { content: vec![0; 1 << 20].into(), ..Default::default() };
        let (mut server, _) = server(&defaults(), &[(h2::setting::INITIAL_WINDOW_SIZE, 0)], app);
        let ids: Vec<u32> = (0..streams).map(|n| 2 * n + 1).collect();
        // That of the connection is none of it.
        server.receive(&h2::window_update(0, 1 << 24), Buffer::Lent);
        ids.iter().for_each(|id| server.receive(&h2::get(*id), Buffer::Lent));
        for _ in 0..100 {
            server.wait(Duration::from_secs(1));
            if server.seen.causes().is_empty() {
                ids.iter().for_each(|id| {
                    server.receive(&h2::window_update(*id, bytes_per_second), Buffer::Lent);
                });
            }
        }
        let causes = server.seen.causes();
        (causes, server.connection.interest().shutdown || server.is_over())
    };
    assert_eq!(run(1, 55), (vec![], false), "one is above `stalled_bytes_min`");
    for streams in [2, 10, 50] {
        let (causes, over) = run(streams, 55);
        assert_eq!(causes, vec![Cause::Timeout(Deadline::Stalled); streams as usize]);
        assert!(over, "the connection ends");
    }
    assert_eq!(run(10, 140), (vec![], false));
    assert_eq!(run(2, 1 << 10), (vec![], false), "2 KiB/s");
}
