//! Using extended CONNECT to bootstrap the WebSocket Protocol. RFC 8441 §5.

use super::*;

/// RFC 8441 §5: "The WebSocket Protocol ... from [RFC6455] uses this TCP connection as if it were ... the HTTP/2 stream": frames in DATA, masked by the client.
#[test]
fn messages_go_both_ways_in_data_frames() {
    let messages = [masked(TEXT, b"hello"), masked(BINARY, &[0; 200]), masked(PING, b"x")].concat();
    let mut frames = opening(1, &[]);
    // Frames of the two protocols have nothing to do with each other.
    messages.chunks(7).for_each(|part| frames.extend(h2::data(1, part, false)));
    let reaction = served(&frames);
    let echoes = wire::frames(&bytes_on(&reaction.sent_frames, 1)).expect("frames");
    let found: Vec<_> =
        echoes.iter().map(|frame| (frame.first, frame.key.is_some(), frame.payload.0.len())).collect();
    assert_eq!(found, [(TEXT, false, 5), (BINARY, false, 200), (PONG, false, 1)]);
    assert!(reaction.lives());
    assert!(
        reaction
            .delivered
            .seen
            .0
            .contains(&Seen::Established { protocol: Protocol::WebSocket, fields: None })
    );
}

/// RFC 8441 §5: "Implementations using this extended CONNECT ... do not use the Sec-WebSocket-Key and Sec-WebSocket-Accept header fields" (§5: "... the
/// Sec-WebSocket-Key ... processing ... is superseded by the :protocol pseudo-header field").
#[test]
fn there_is_no_key_and_no_accept() {
    let reaction = served(&opening(1, &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]));
    let Some(SentFrame::Headers { fields, end: false, .. }) =
        h2::on(&reaction.sent_frames, 1).into_iter().next()
    else {
        panic!("{:?}", reaction.sent_frames)
    };
    assert_eq!(fields[0], (":status", "200").into());
    for name in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!fields.iter().any(|field| field.name == name.as_bytes()), "{fields:?}");
    }
}

/// The version is still 13: RFC 6455 §4.4.
#[test]
fn another_version_is_answered_which_one_is_spoken() {
    let mut fields = WEBSOCKET;
    fields[5].1 = "12";
    let reaction = served(&h2::headers(1, &fields, false));
    assert_eq!(reaction.status(1), Some(426), "{:?}", reaction.sent_frames);
    assert!(reaction.lives());
    assert_eq!(reaction.causes(), [Cause::Violation(Violation::OpeningVersion)]);
}

/// Subprotocols and extensions are agreed on as in HTTP/1.1.
#[test]
fn a_subprotocol_is_chosen() {
    let app = || Each::of(|| Echo::new(false).speaking("chat"));
    let reaction = served_by(app, &opening(1, &[("sec-websocket-protocol", "superchat, chat")]));
    let Some(SentFrame::Headers { fields, .. }) = h2::on(&reaction.sent_frames, 1).into_iter().next() else {
        panic!("{:?}", reaction.sent_frames)
    };
    assert!(fields.contains(&("sec-websocket-protocol", "chat").into()), "{fields:?}");
}

/// A field without a value is no offer.
#[test]
fn a_field_without_a_value_offers_nothing() {
    for name in ["sec-websocket-protocol", "sec-websocket-extensions"] {
        let reaction = served(&opening(1, &[(name, "")]));
        assert_eq!(reaction.status(1), Some(200), "{name}: {:?}", reaction.sent_frames);
    }
}

#[test]
fn messages_are_compressed_where_both_agree() {
    let deflate = Deflate::default();
    let app = || {
        let deflate = deflate.clone();
        Each::of(move || Echo::new(false).deflating(&deflate))
    };
    let message = b"again and again and again and again".repeat(20);
    let compressed = tests::deflate::compressed(&message);
    let frames = [
        opening(1, &[("sec-websocket-extensions", "permessage-deflate")]),
        h2::data(1, masked(TEXT | tests::deflate::RSV1, &compressed), false),
    ];
    let reaction = served_by(app, &frames.concat());
    let sent = tests::deflate::sent_messages(&bytes_on(&reaction.sent_frames, 1)).expect("messages");
    let [(true, payload)] = &sent[..] else { panic!("{sent:?}") };
    let found = tests::deflate::Decompressor::new(15).message(payload);
    assert_eq!(found.as_deref(), Some(&message[..]));
}

/// The same of a client, which offers it.
#[test]
fn a_client_compresses_where_the_server_agrees() {
    let deflate = Deflate::default();
    let connect = Connect::new("a", "/chat").deflate(&deflate);
    let mut client = asking(&defaults(), &connect, Silent);
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let answer = [(":status", "200"), ("sec-websocket-extensions", agreed)];
    client.receive(&[allows(), h2::headers(1, &answer, false)].concat(), Buffer::Lent);
    let mut reader = Reader::default();
    let asked = reader.read(&client.take_sent());
    let offers = asked.iter().any(|frame| {
        let SentFrame::Headers { fields, .. } = frame else { return false };
        fields.iter().any(|field| {
            field.name == b"sec-websocket-extensions" && field.value.starts_with(b"permessage-deflate")
        })
    });
    assert!(offers, "{asked:?}");

    let message = b"again and again and again and again".repeat(20);
    let frame = plain(TEXT | tests::deflate::RSV1, &tests::deflate::compressed(&message));
    client.receive(&h2::data(1, frame, false), Buffer::Lent);
    assert_eq!(client.seen.contents(), [message[..].into()], "{:?}", client.seen);
    let permit = client.connection.websocket(client.key()).expect("the stream").permit().expect("a permit");
    permit.message(MessageKind::Text, Payload::Copy(&message), true).expect("a message").again();
    client.settle();
    let mut sent = Vec::new();
    for frame in reader.read(&client.take_sent()) {
        if let SentFrame::Data { stream: 1, content, .. } = frame {
            sent.extend_from_slice(&content.0);
        }
    }
    let sent = tests::deflate::sent_messages(&sent).expect("messages");
    let [(true, payload)] = &sent[..] else { panic!("{sent:?}") };
    let found = tests::deflate::Decompressor::new(15).message(payload);
    assert_eq!(found.as_deref(), Some(&message[..]));
}

/// RFC 8441 §5: "an orderly TCP-level closure is represented as an END_STREAM flag": the closing handshake, then the end of both directions.
#[test]
fn a_closing_handshake_ends_the_stream_in_order() {
    let close = masked(CLOSE, &close_payload(1000, "bye"));
    for end in [false, true] {
        let reaction = served(&[opening(1, &[]), h2::data(1, &close, end)].concat());
        let echoes = wire::frames(&bytes_on(&reaction.sent_frames, 1)).expect("frames");
        assert_eq!(echoes.iter().map(|frame| frame.first).collect::<Vec<_>>(), [CLOSE]);
        assert!(h2::ended(&reaction.sent_frames, 1) && reaction.lives(), "{:?}", reaction.sent_frames);
        assert_eq!(reaction.causes(), [Cause::Closed { code: CloseCode::NORMAL, by_peer: true }]);
        assert_eq!(h2::reset(&reaction.sent_frames, 1), None);
    }
}

/// RFC 8441 §5: "RST exceptions are represented with the RST_STREAM frame with the CANCEL error code."
#[test]
fn a_websocket_that_is_cut_is_reset_with_cancel() {
    let abort = |event: Event<'_>| match event {
        Event::Request { stream, head, .. } => {
            stream.accept_websocket(&head, &lws_proto::ws::Accept::new()).expect("an opening");
        }
        Event::Message { stream, .. } => stream.abort(),
        _ => {}
    };
    let reaction = served_by(|| abort, &[opening(1, &[]), h2::data(1, masked(TEXT, b"x"), false)].concat());
    assert_eq!(h2::reset(&reaction.sent_frames, 1), Some(code::CANCEL), "{:?}", reaction.sent_frames);
    assert_eq!(reaction.causes(), [Cause::Aborted]);
    assert!(reaction.lives());
    for (code, cause) in [(8, ErrorCode::CANCEL), (0, ErrorCode::NO_ERROR), (2, ErrorCode::INTERNAL_ERROR)] {
        let reaction = served(&[opening(1, &[]), h2::rst_stream(1, code)].concat());
        assert_eq!(reaction.causes(), [Cause::Reset(cause)]);
    }
    // An end without a closing handshake: close code 1006.
    let reaction = served(&[opening(1, &[]), h2::data(1, b"", true)].concat());
    assert_eq!(reaction.causes(), [Cause::Disconnected]);
    assert!(reaction.lives());
}

/// A fault of the WebSocket ends that, with its close code, and nothing else on the connection.
#[test]
fn a_fault_of_one_websocket_affects_no_other() {
    let frames = [
        opening(1, &[]),
        opening(3, &[]),
        h2::data(1, masked(TEXT, b"\xff"), false),
        h2::data(3, masked(TEXT, b"fine"), false),
        h2::get(5),
    ];
    let reaction = served(&frames.concat());
    assert!(reaction.lives());
    let failed = wire::frames(&bytes_on(&reaction.sent_frames, 1)).expect("frames");
    assert_eq!(failed[0].first, CLOSE);
    assert_eq!(failed[0].payload.0[..2], 1007u16.to_be_bytes());
    assert_eq!(bytes_on(&reaction.sent_frames, 3), plain(TEXT, b"fine"));
    assert_eq!(reaction.status(5), Some(200));
    assert!(reaction.causes().contains(&Cause::Violation(Violation::Utf8)));
}

/// Several WebSockets and requests share one connection, and each has its own messages.
#[test]
fn many_websockets_share_a_connection() {
    let ids: Vec<u32> = (1..40).step_by(2).collect();
    let mut frames = Vec::new();
    ids.iter().for_each(|id| frames.extend(opening(*id, &[])));
    for round in 0..3 {
        for id in &ids {
            let message = masked(TEXT, format!("{round} of {id}").as_bytes());
            let (first, rest) = message.split_at(4);
            frames.extend(h2::data(*id, first, false));
            frames.extend(h2::data(*id, rest, false));
        }
    }
    let reaction = served(&frames);
    for id in ids {
        let expected: Vec<u8> =
            (0..3).flat_map(|round| plain(TEXT, format!("{round} of {id}").as_bytes())).collect();
        assert_eq!(bytes_on(&reaction.sent_frames, id), expected);
    }
}

/// Flow control is back pressure: what the peer gives no window for waits, no permit is given meanwhile, and others go on.
#[test]
fn a_websocket_without_a_window_holds_up_no_other() {
    let (mut server, mut reader) = server(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 10)], Each::echo());
    server.receive(&[opening(1, &[]), h2::data(1, masked(BINARY, &[7; 100]), false)].concat(), Buffer::Lent);
    let key = server.key();
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(bytes_on(&sent_frames, 1).len(), 10);
    server.receive(&[h2::get(3), h2::window_update(3, 1_000)].concat(), Buffer::Lent);
    assert!(h2::ended(&reader.read(&server.take_sent()), 3));
    server.receive(&h2::window_update(1, 1_000), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    let rest: usize = sent_frames
        .iter()
        .map(|frame| match frame {
            SentFrame::Data { stream: 1, content, .. } => content.0.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(rest, 92, "102 bytes of a frame, of which 10 had gone");
    assert!(server.of(key).causes().is_empty());
}

/// A paused WebSocket gets no window, and its messages wait.
#[test]
fn a_paused_websocket_gets_no_window() {
    let config = limits(|limits| (limits.h2_stream_window, limits.h2_stream_window_max) = (1_000, 1_000));
    let app = |event: Event<'_>| {
        if let Event::Request { stream, head, .. } = event {
            stream.accept_websocket(&head, &lws_proto::ws::Accept::new()).expect("an opening").pause();
        }
    };
    let (mut server, mut reader) = server(&config, &[], app);
    server.receive(&opening(1, &[]), Buffer::Lent);
    let key = server.key();
    let message = masked(BINARY, &[1; 492]);
    assert_eq!(message.len(), 500);
    server.receive(&[h2::data(1, &message, false), h2::data(1, &message, false)].concat(), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!(
        !sent_frames.iter().any(|frame| matches!(frame, SentFrame::WindowUpdate { stream: 1, .. })),
        "{sent_frames:?}"
    );
    assert_eq!(server.of(key).contents(), []);
    server.connection.stream(key).expect("the stream").resume();
    server.settle();
    assert_eq!(server.of(key).contents().len(), 2);
    let sent_frames = reader.read(&server.take_sent());
    assert!(
        sent_frames.iter().any(|frame| matches!(frame, SentFrame::WindowUpdate { stream: 1, .. })),
        "{sent_frames:?}"
    );
}

/// A client's frames are masked here as well, as RFC 8441 does not lift that rule, and a server's are not.
#[test]
fn a_client_masks_its_frames() {
    let mut client = open_client(&defaults(), Silent);
    let mut reader = Reader::default();
    client.receive(&h2::data(1, plain(TEXT, b"hello"), false), Buffer::Lent);
    assert_eq!(client.seen.contents(), ["hello".into()]);
    let key = client.key();
    let permit = client.connection.websocket(key).expect("the stream").permit().expect("a permit");
    permit.message(MessageKind::Text, Payload::Static(b"hello"), true).expect("a message").throttle();
    client.settle();
    let sent_frames = reader.read(&client.take_sent());
    let bytes: Vec<u8> = sent_frames
        .iter()
        .filter_map(|frame| match frame {
            SentFrame::Data { content, .. } => Some(content.0.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    let frames = wire::frames(&bytes).expect("frames");
    assert_eq!((frames[0].first, frames[0].key.is_some(), &frames[0].payload), (TEXT, true, &"hello".into()));
    client.receive(&h2::data(1, masked(TEXT, b"x"), false), Buffer::Lent);
    assert_eq!(client.seen.causes(), [Cause::Violation(Violation::Masking)]);
}

/// The permit carries what the windows take: the stream's and the connection's, one frame, and the queue.
#[test]
fn a_permit_knows_the_windows() {
    let budget = |settings: &[(u16, u32)], frames: &[u8]| {
        let (mut server, _) = server(&defaults(), settings, Each::echo());
        server.receive(&[&opening(1, &[]), frames].concat(), Buffer::Lent);
        let budget = server.stream().permit().map(|permit| permit.budget());
        budget.ok()
    };
    let window = |size| [(setting::INITIAL_WINDOW_SIZE, size)];
    assert_eq!(budget(&window(100), &[]), Some(100), "of the stream");
    assert_eq!(budget(&window(100), &h2::window_update(1, 23)), Some(123));
    assert_eq!(budget(&window(1 << 20), &[]), Some(16_384), "one frame");
    // A message that the window has taken in part fills the queue.
    assert_eq!(budget(&window(100), &h2::data(1, masked(BINARY, &[7; 100]), false)), None);
    assert_eq!(budget(&window(100), &h2::data(1, masked(BINARY, &[7; 90]), false)), Some(8));
    // Most of the window of the connection, used up on another stream.
    let post =
        [h2::post(3), h2::data(3, vec![0; 16_384], false).repeat(3), h2::data(3, vec![0; 16_000], true)];
    assert_eq!(budget(&window(1 << 20), &post.concat()), Some(65_535 - 3 * 16_384 - 16_000));
}

/// An application that answers each message and throttles needs no queue, however narrow the window is.
#[test]
fn a_throttled_echo_loses_nothing_to_narrow_windows() {
    let app = |event: Event<'_>| match event {
        Event::Request { stream, head, .. } => {
            stream.accept_websocket(&head, &lws_proto::ws::Accept::new()).expect("an opening");
        }
        Event::Message { stream, kind, chunk, end, .. } => {
            let permit = stream.permit().expect("a permit");
            permit.message(kind, Payload::Copy(chunk), end).expect("a message").throttle();
        }
        _ => {}
    };
    let messages: Vec<u8> = (0..50).flat_map(|at| masked(BINARY, &[at; 60])).collect();
    let echoes: Vec<u8> = (0..50).flat_map(|at| plain(BINARY, &[at; 60])).collect();
    for initial in [0, 1, 61, 100] {
        for (stream_by, connection_by) in [(7, 1_000), (100, 100), (1_000, 7), (63, 0)] {
            let settings = [(setting::INITIAL_WINDOW_SIZE, initial)];
            let (mut server, mut reader) = server(&defaults(), &settings, app);
            server.receive(&opening(1, &[]), Buffer::Lent);
            messages.chunks(100).for_each(|part| server.receive(&h2::data(1, part, false), Buffer::Lent));
            let mut sent = bytes_on(&reader.read(&server.take_sent()), 1);
            assert!(sent.len() <= initial as usize);
            for _ in 0..1_000 {
                let more = |stream, by| if by > 0 { h2::window_update(stream, by) } else { Vec::new() };
                server.receive(&[more(1, stream_by), more(0, connection_by)].concat(), Buffer::Lent);
                let sent_frames = reader.read(&server.take_sent());
                for frame in sent_frames {
                    if let SentFrame::Data { stream: 1, content, .. } = frame {
                        sent.extend_from_slice(&content.0);
                    }
                }
            }
            assert_eq!(sent, echoes, "{initial}, then {stream_by} and {connection_by} at a time");
        }
    }
}

/// A permit that is asked for comes when the window is open, and a peer that opens none ends the WebSocket in the end.
#[test]
fn a_permit_waits_for_the_window() {
    let permits = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = std::rc::Rc::clone(&permits);
    let app = move |event: Event<'_>| match event {
        Event::Request { stream, head, .. } => {
            stream.accept_websocket(&head, &lws_proto::ws::Accept::new()).expect("an opening").want_write();
        }
        Event::Writable(permit) => {
            counted.set(counted.get() + 1);
            let budget = permit.budget() - 2;
            permit
                .into_websocket()
                .expect("a WebSocket")
                .message(MessageKind::Binary, Payload::Copy(&vec![0; budget]), true)
                .expect("a message")
                .again();
        }
        _ => {}
    };
    let (mut server, mut reader) = server(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 0)], app);
    server.receive(&opening(1, &[]), Buffer::Lent);
    assert_eq!(permits.get(), 0);
    server.receive(&h2::window_update(1, 10), Buffer::Lent);
    assert_eq!((permits.get(), bytes_on(&reader.read(&server.take_sent()), 1).len()), (1, 10));
    // A few bytes are no progress.
    for _ in 0..29 {
        server.wait(std::time::Duration::from_secs(1));
        server.receive(&h2::window_update(1, 10), Buffer::Lent);
    }
    assert_eq!((permits.get(), server.seen.causes()), (30, vec![]));
    server.forget();
    server.wait(std::time::Duration::from_secs(31));
    assert_eq!(server.seen.causes(), [Cause::Timeout(lws_proto::Deadline::Stalled)]);
    assert_eq!(h2::reset(&reader.read(&server.take_sent()), 1), Some(code::ENHANCE_YOUR_CALM));
}
