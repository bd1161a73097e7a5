//! The engine as C calls it: what is refused, and what is done.

use lwx::base::lwx_strerror;
use lwx::engine::*;
use lwx::error::Error;
use lwx::limits::LimitOptions;
use lwx::sys::{Given, In, Out, Ref, zeroed};
use lwx::types::{END, InField, Str, TEXT};

const OK: i32 = 0;

fn options(role: i32) -> ConnOptions {
    ConnOptions { size: size_of::<ConnOptions>(), role, ..zeroed() }
}

fn limited(limits: LimitOptions, role: i32) -> ConnOptions {
    ConnOptions { limits, ..options(role) }
}

fn server() -> Given<Conn> {
    let mut conn = Given::null();
    assert_eq!(lwx_conn_new(In::null(), 0, Out::from(&mut conn)), OK);
    conn
}

fn receive(conn: Ref<'_, Conn>, bytes: &[u8]) {
    let mut taken = 0;
    assert_eq!(lwx_conn_receive(conn, 0, In::start(bytes), bytes.len(), Out::from(&mut taken)), OK);
    assert_eq!(taken, bytes.len());
}

fn next(conn: Ref<'_, Conn>) -> Option<ConnEvent> {
    let mut event = ConnEvent { size: size_of::<ConnEvent>(), ..lwx::sys::zeroed() };
    match lwx_conn_next_event(conn, Out::from(&mut event)) {
        1 => Some(event),
        0 => None,
        code => panic!("{code}"),
    }
}

fn respond(conn: Ref<'_, Conn>, key: u64, status: u32, content: &[u8]) -> i32 {
    lwx_conn_respond(conn, key, status, In::null(), 0, In::start(content), content.len(), END)
}

fn write(conn: Ref<'_, Conn>, key: u64, bytes: &[u8], flags: u32) -> i32 {
    lwx_conn_write(conn, key, In::start(bytes), bytes.len(), flags)
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const OPENING: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn every_function_answers_null_for_no_connection() {
    let none = Ref::null();
    let null = Error::Null as i32;
    let (mut size, mut key, mut text) = (7, 7, Str::EMPTY);
    assert_eq!(lwx_conn_new(In::null(), 0, Out::null()), null);
    assert_eq!(lwx_conn_receive(none, 0, In::null(), 0, Out::from(&mut size)), null);
    assert_eq!(lwx_conn_received_end(none, 0, 0), null);
    assert_eq!(lwx_conn_next_event(none, Out::null()), null);
    assert_eq!(lwx_conn_transmit(none, 0, Out::from(&mut text)), null);
    assert_eq!(lwx_conn_transmitted(none, 0, 0), null);
    assert_eq!(lwx_conn_get_interest(none, Out::null()), null);
    assert_eq!(lwx_conn_handle_timeout(none, 0), null);
    assert_eq!(lwx_conn_request(none, 0, In::null(), Out::from(&mut key)), null);
    assert_eq!(lwx_conn_connect_websocket(none, 0, In::null(), Out::from(&mut key)), null);
    assert_eq!(lwx_conn_accept_websocket(none, 1, In::null(), In::null(), 0), null);
    assert_eq!(respond(none, 1, 200, b""), null);
    assert_eq!(write(none, 1, b"", 0), null);
    assert_eq!(lwx_conn_budget(none, 1, Out::from(&mut size)), null);
    assert_eq!(lwx_conn_want_write(none, 1), null);
    assert_eq!(lwx_conn_pause(none, 1), null);
    assert_eq!(lwx_conn_resume(none, 1), null);
    assert_eq!(lwx_conn_set_timer(none, 1, 0), null);
    assert_eq!(lwx_conn_close(none, 1, 0, In::null(), 0), null);
    assert_eq!(lwx_conn_abort(none, 1), null);
    assert_eq!(lwx_conn_drain(none, 0), null);
    lwx_conn_free(Given::null());
    assert_eq!((size, key), (7, 7), "nothing was written");
}

#[test]
fn null_where_there_must_be_something_does_nothing() {
    let conn = server();
    let (conn_ref, null) = (conn.lend(), Error::Null as i32);
    let mut taken = 0;
    assert_eq!(lwx_conn_receive(conn_ref, 0, In::null(), 1, Out::from(&mut taken)), null);
    assert_eq!(lwx_conn_receive(conn_ref, 0, In::start(GET), GET.len(), Out::null()), null);
    assert_eq!(lwx_conn_next_event(conn_ref, Out::null()), null);
    assert_eq!(lwx_conn_transmit(conn_ref, 0, Out::null()), null);
    assert_eq!(lwx_conn_get_interest(conn_ref, Out::null()), null);
    receive(conn_ref, GET);
    let key = next(conn_ref).expect("a request").key;
    assert_eq!(lwx_conn_respond(conn_ref, key, 200, In::null(), 1, In::null(), 0, END), null);
    assert_eq!(lwx_conn_respond(conn_ref, key, 200, In::null(), 0, In::null(), 1, END), null);
    assert_eq!(lwx_conn_budget(conn_ref, key, Out::null()), null);
    assert_eq!(respond(conn_ref, key, 200, b"there is still a permit"), OK);
    lwx_conn_free(conn);
}

#[test]
fn a_key_of_what_has_gone_finds_nothing() {
    let conn = server();
    let conn_ref = conn.lend();
    receive(conn_ref, GET);
    let key = next(conn_ref).expect("a request").key;
    assert_eq!(respond(conn_ref, key, 200, b""), OK);
    let closed = next(conn_ref).expect("its end");
    assert_eq!((closed.key, closed.kind, closed.cause), (key, 15, 1));
    let stale = Error::Stale as i32;
    for key in [key, 0, 1, u64::MAX] {
        assert_eq!(respond(conn_ref, key, 200, b""), stale, "{key}");
        assert_eq!(write(conn_ref, key, b"", 0), stale);
        assert_eq!(lwx_conn_want_write(conn_ref, key), stale);
        assert_eq!(lwx_conn_abort(conn_ref, key), stale);
        assert_eq!(lwx_conn_set_timer(conn_ref, key, 1), stale);
    }
    receive(conn_ref, GET);
    assert_ne!(next(conn_ref).expect("the next request").key, key, "its place is used again");
    lwx_conn_free(conn);
}

#[test]
fn a_struct_of_another_version_is_taken_as_far_as_it_is_understood() {
    #[repr(C)]
    struct Newer {
        known: ConnOptions,
        added: u64,
    }
    let make = |options: &ConnOptions| {
        let mut conn = Given::null();
        let code = lwx_conn_new(In::from(options), 0, Out::from(&mut conn));
        lwx_conn_free(conn);
        code
    };
    assert_eq!(make(&options(0)), OK);
    let mut newer = Newer { known: options(0), added: 0 };
    newer.known.size = size_of::<Newer>();
    let mut made = Given::null();
    assert_eq!(lwx_conn_new(In::of_larger(&newer), 0, Out::from(&mut made)), OK, "nothing new is set");
    lwx_conn_free(made);
    newer.added = 1;
    let mut made = Given::null();
    assert_eq!(lwx_conn_new(In::of_larger(&newer), 0, Out::from(&mut made)), Error::Size as i32);
    lwx_conn_free(made);
    for size in [0, 8, size_of::<ConnOptions>() - 1, usize::MAX] {
        assert_eq!(make(&ConnOptions { size, ..options(0) }), Error::Size as i32, "{size}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let check = |options: ConnOptions, expected: Error| {
        let mut conn = Given::null();
        assert_eq!(lwx_conn_new(In::from(&options), 0, Out::from(&mut conn)), expected as i32);
        assert!(conn.take().is_none());
    };
    check(options(-1), Error::Argument);
    check(options(7), Error::Argument);
    check(ConnOptions { flags: 1 << 31, ..options(0) }, Error::Argument);
    check(options(4), Error::Null);
    check(limited(LimitOptions { head_bytes_max: u64::MAX >> 1, ..zeroed() }, 0), Error::Argument);
}

#[test]
fn a_websocket_is_accepted_while_its_request_is_the_last_event() {
    let conn = server();
    let conn_ref = conn.lend();
    receive(conn_ref, OPENING);
    let request = next(conn_ref).expect("a request");
    assert_eq!(request.flags & (16 | END), 16 | END, "an opening handshake");
    let accept = |key| lwx_conn_accept_websocket(conn_ref, key, In::null(), In::null(), 0);
    assert_eq!(accept(request.key), OK);
    assert_eq!(accept(request.key), Error::State as i32, "twice");
    assert_eq!(next(conn_ref).expect("it is established").kind, 5);
    assert_eq!(respond(conn_ref, request.key, 200, b""), Error::Protocol as i32);
    assert_eq!(write(conn_ref, request.key, b"\xff", TEXT | END), Error::Field as i32, "not UTF-8");
    assert_eq!(write(conn_ref, request.key, &[0; 126], 8), Error::Length as i32, "a Ping");
    assert_eq!(write(conn_ref, request.key, b"hello", TEXT | END), OK);
    assert_eq!(lwx_conn_close(conn_ref, request.key, 1006, In::null(), 0), Error::Field as i32);
    assert_eq!(lwx_conn_close(conn_ref, request.key, 4000, In::start(b"bye"), 3), OK);
    lwx_conn_free(conn);

    let conn = server();
    let conn_ref = conn.lend();
    receive(conn_ref, OPENING);
    let request = next(conn_ref).expect("a request");
    assert_eq!(lwx_conn_handle_timeout(conn_ref, 0), OK);
    let late = lwx_conn_accept_websocket(conn_ref, request.key, In::null(), In::null(), 0);
    assert_eq!(late, Error::State as i32, "the request is not lent any more");
    lwx_conn_free(conn);
}

#[test]
fn a_write_without_a_permit_takes_nothing() {
    let mut conn = Given::null();
    let few = limited(LimitOptions { send_queue_bytes_max: 1024, ..zeroed() }, 3);
    assert_eq!(lwx_conn_new(In::from(&few), 0, Out::from(&mut conn)), OK);
    let conn_ref = conn.lend();
    let key = next(conn_ref).expect("a raw stream").key;
    assert_eq!(write(conn_ref, key, &[b'a'; 4096], 0), OK);
    let mut budget = 7;
    assert_eq!(lwx_conn_budget(conn_ref, key, Out::from(&mut budget)), OK);
    assert_eq!(budget, 0);
    assert_eq!(write(conn_ref, key, b"b", 0), Error::Again as i32);
    assert_eq!(lwx_conn_want_write(conn_ref, key), OK);
    assert!(next(conn_ref).is_none());
    let mut sent = 0;
    loop {
        let mut bytes = Str::EMPTY;
        if lwx_conn_transmit(conn_ref, 0, Out::from(&mut bytes)) == 0 {
            break;
        }
        assert_eq!(lwx_conn_transmitted(conn_ref, 0, bytes.size + 1), Error::Length as i32);
        assert_eq!(lwx_conn_transmitted(conn_ref, 0, bytes.size), OK);
        sent += bytes.size;
    }
    assert_eq!(sent, 4096, "what was refused was not taken");
    let writable = next(conn_ref).expect("a permit");
    assert!(writable.kind == 12 && writable.remaining > 0);
    assert_eq!(write(conn_ref, key, b"b", END), OK);
    lwx_conn_free(conn);
}

#[test]
fn fields_of_responses_are_checked() {
    let conn = server();
    let conn_ref = conn.lend();
    receive(conn_ref, GET);
    let key = next(conn_ref).expect("a request").key;
    for (name, value) in [("X", "a\r\nb"), ("a b", "c"), ("Transfer-Encoding", "chunked")] {
        let line = InField { name: name.into(), value: value.into() };
        let code = lwx_conn_respond(conn_ref, key, 200, In::from(&line), 1, In::null(), 0, END);
        assert_eq!(code, Error::Field as i32, "{name}");
    }
    assert_eq!(respond(conn_ref, key, 42, b""), Error::Field as i32);
    assert_eq!(respond(conn_ref, key, 70_000, b""), Error::Field as i32);
    assert_eq!(respond(conn_ref, key, 200, b"hi"), OK);
    assert_eq!(respond(conn_ref, key, 200, b"hi"), Error::State as i32, "a second response");
    lwx_conn_free(conn);
}

#[test]
fn every_code_has_its_text() {
    for error in Error::ALL {
        assert!(Error::text_of(error as i32) == error.text() && !lwx_strerror(error as i32).is_null());
    }
    assert_eq!(
        (Error::text_of(0), Error::text_of(1), Error::text_of(-99)),
        (c"no error", c"no error", c"unknown error")
    );
}
