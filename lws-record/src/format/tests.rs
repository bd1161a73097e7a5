use super::*;

fn fields() -> Fields<'static> {
    vec![(b"name".to_vec(), b"value".to_vec()), (Vec::new(), Vec::new())].into()
}

/// One of each kind, with values that need several octets.
fn all() -> Vec<Note<'static>> {
    let (now, key) = (Time::from_micros(u64::MAX), StreamKey::from_parts(7, u32::MAX));
    let octets = || Cow::from(vec![0u8, 255, 10]);
    let mut notes: Vec<Note<'static>> =
        ROLES.map(|role| Note::Begin { role, now, config: "limits".into() }).into_iter().collect();
    notes.extend([
        Note::Spread(255),
        Note::Date(None),
        Note::Date(Some(u32::MAX)),
        Note::Received { now, own: true, bytes: octets() },
        Note::Received { now, own: false, bytes: Cow::from(Vec::new()) },
        Note::Event,
        Note::FeedEnd,
        Note::Transmit(now),
        Note::Took(now, 300),
        Note::Eof(now),
        Note::Truncation(now),
        Note::Failed(now),
        Note::Timeout(now),
        Note::Delivered(now, 4 << 20),
        Note::Select(key),
        Note::Redeem(key),
        Note::Drain(now),
        Note::Retire(now),
        Note::Abort,
        Note::Chance(octets()),
        Note::Request {
            now,
            line: ["GET".into(), "/".into(), "host".into()],
            fields: fields(),
            content: octets(),
            end: true,
        },
        Note::Unsupported("this".into()),
    ]);
    let status = Status::new(599).expect("a status");
    let code = CloseCode::new(4_999).expect("a code");
    notes.extend(
        [
            Command::WantWrite,
            Command::Pause,
            Command::Resume,
            Command::SetTimeout(None),
            Command::SetTimeout(Some(now)),
            Command::ConfirmLiveness(now),
            Command::SetLiveness(None),
            Command::SetLiveness(Some([Duration::MAX, Duration::new(1, 999_999_999)])),
            Command::TryQueue(MessageKind::Text, octets()),
            Command::SetExtensionOption(["a".into(), "b".into(), "c".into()]),
            Command::Interim(status, fields()),
            Command::LastExchange,
            Command::LimitContent(u64::MAX),
            Command::Hold(usize::MAX),
            Command::LetGo(0),
            Command::KeepHalfClosed(true),
            Command::ExpectContent(0),
            Command::AcceptWebSocket {
                protocol: Some("chat".into()),
                fields: fields(),
                streamed: true,
                deflate: Some("threshold=0".into()),
            },
            Command::AcceptWebSocket {
                protocol: None,
                fields: Vec::new().into(),
                streamed: false,
                deflate: None,
            },
            Command::AcceptTunnel,
            Command::Close(code, "reason".into()),
            Command::AbortStream,
            Command::Respond { status, fields: fields(), content: octets(), end: false },
            Command::Data(octets(), true),
            Command::Trailers(fields()),
            Command::Fill { room: 70_000, content: octets(), end: false },
            Command::Message { kind: MessageKind::Binary, payload: octets(), end: true, compress: false },
            Command::Prepared(MessageKind::Text, octets()),
            Command::Ping(octets()),
            Command::Ticket,
            Command::Again,
            Command::Throttle,
        ]
        .map(|command| Note::Command(key, command)),
    );
    notes
}

fn written(notes: &[Note<'static>]) -> Vec<u8> {
    let mut octets = begin();
    for note in notes {
        write(&mut octets, &Entry::Note(note.clone()));
    }
    octets
}

#[test]
fn what_is_written_is_read() {
    let notes = all();
    let record = Record::read(&written(&notes)).expect("a record");
    assert_eq!(record.notes().cloned().collect::<Vec<_>>(), notes);
    assert!(record.is_complete());
    assert_eq!(record.received(), [0, 255, 10]);
    assert_eq!(record.corpus_entry(), [0, 255, 10, 0, 0, 0, 0]);
    assert_eq!(record.config(), Some("limits"));
}

#[test]
fn a_lost_tail_loses_the_last_entry_and_no_more() {
    let notes = [Note::Event, Note::Abort, Note::Event];
    let octets = written(&notes);
    for cut in begin().len()..octets.len() {
        let record = Record::read(&octets[..cut]).expect("a record");
        let whole = (cut - begin().len()) / 5;
        assert_eq!(record.notes().count(), whole, "{cut}");
        assert_eq!(record.is_complete(), (cut - begin().len()).is_multiple_of(5), "{cut}");
    }
}

#[test]
fn what_is_no_record_is_said_to_be_none() {
    for octets in [&b""[..], b"LWSREC", b"lwsrec\x01", b"\x00\x00\x00\x00"] {
        assert_eq!(Record::read(octets), Err(Unreadable::NoRecord), "{}", octets.escape_ascii());
    }
    assert_eq!(Record::read(b"LWSREC\x02"), Err(Unreadable::Version(2)));
    let entry = |octets: &[u8]| {
        let len = u32::try_from(octets.len()).expect("a short entry").to_le_bytes();
        Record::read(&[&begin()[..], &len, octets].concat())
    };
    for octets in [&b""[..], b"\xff", b"\x03\x00", b"\x02\x00\x02\x00", b"\x11\xff", b"\x05", b"\x12\x01\xff"]
    {
        assert_eq!(entry(octets), Err(Unreadable::Entry(0)), "{}", octets.escape_ascii());
    }
    assert_eq!(Record::read(&[&begin()[..], &u32::MAX.to_le_bytes()].concat()), Err(Unreadable::Entry(0)));
}

#[test]
fn octets_that_were_changed_are_read_or_refused() {
    let octets = written(&all());
    for at in 0..octets.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = octets.clone();
            changed[at] ^= change;
            let _ = Record::read(&changed);
        }
    }
}
