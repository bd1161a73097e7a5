//! Services as C calls them: what is refused, from where, and what keys and pointers of the program come to.

use lwx::error::Error;
use lwx::service::handlers::{Closed, Handler};
use lwx::service::host::*;
use lwx::service::links::*;
use lwx::service::plan::*;
use lwx::service::poster::*;
use lwx::service::sites::*;
use lwx::service::streams::*;
use lwx::service::*;
use lwx::sys::{Counted, Given, In, InOut, Out, Ref, User, zeroed};
use lwx::types::{END, Key, Str};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

const OK: i32 = 0;
const NULL: i32 = Error::Null as i32;

fn service() -> Counted<Service> {
    let mut service = Counted::null();
    assert_eq!(lwx_service_new(In::null(), Out::from(&mut service)), OK);
    service
}

fn handler() -> Handler<'static> {
    Handler { size: size_of::<Handler<'_>>(), ..zeroed() }
}

/// A service that listens and is started, with a handler at `/`, and where it is.
fn started(handler: &Handler<'_>) -> (Counted<Service>, String) {
    let service = service();
    let it = service.lend();
    assert_eq!(lwx_listen(it, In::c_text(c"127.0.0.1:0"), In::null(), Out::null()), OK);
    assert_eq!(lwx_route(it, 0, In::c_text(c"/"), In::from(handler)), OK);
    assert_eq!(lwx_service_start(it), OK);
    let mut address = [0; 64];
    assert_eq!(lwx_service_address(it, 0, Out::from(&mut address[0]), 1), Error::Length as i32);
    assert_eq!(lwx_service_address(it, 0, Out::start(&mut address), 64), OK);
    let end = address.iter().position(|byte| *byte == 0).expect("its end");
    (service, String::from_utf8_lossy(&address[..end]).into_owned())
}

/// Dispatches until something has come.
fn run_until(service: Ref<'_, Service>, done: impl Fn() -> bool) {
    for turn in 0..10_000 {
        if done() {
            return;
        }
        // Whatever time there is, something is done in it.
        let code = if turn % 2 == 0 {
            lwx_service_dispatch(service)
        } else {
            lwx_service_dispatch_within(service, turn % 7)
        };
        assert!(code >= 0);
        std::thread::yield_now();
    }
    panic!("it does not come");
}

#[test]
fn every_function_answers_null_for_no_service() {
    let none = Ref::null();
    let (text, mut key, mut size) = (In::c_text(c"a"), 0, 0);
    let codes = [
        lwx_listen(none, text, In::null(), Out::null()),
        lwx_route(none, 0, text, In::from(&handler())),
        lwx_raw_fallback(none, In::from(&handler())),
        lwx_files(none, text, text, In::null()),
        lwx_service_start(none),
        lwx_service_address(none, 0, Out::null(), 0),
        lwx_tls_reload(none, 0),
        lwx_service_fd(none),
        lwx_service_deadline(none, Out::null()),
        lwx_service_dispatch(none),
        lwx_service_dispatch_within(none, 1_000),
        lwx_service_run(none),
        lwx_service_set_host(none, In::null()),
        lwx_service_ready(none, 0, 0),
        lwx_service_pollfd(none, InOut::null()),
        lwx_service_detach_uv(none, None, User::NULL),
        lwx_service_leave_thread(none),
        lwx_service_enter_thread(none),
        lwx_service_drain(none),
        lwx_service_stop(none),
        lwx_service_get_stats(none, Out::null()),
        lwx_get_request(none, 1, Out::null()),
        lwx_get_field(none, 1, text, 0, Out::null()),
        lwx_get_parameter(none, 1, text, Out::null()),
        lwx_get_peer(none, 1, Out::null(), 0),
        lwx_respond(none, 1, 200, In::null(), 0, In::null(), 0, END),
        lwx_write(none, 1, In::null(), 0, 0),
        lwx_budget(none, 1, Out::from(&mut size)),
        lwx_want_write(none, 1),
        lwx_pause(none, 1),
        lwx_resume(none, 1),
        lwx_set_timer(none, 1, 0),
        lwx_wake(none, 1),
        lwx_close(none, 1, 0, In::null(), 0),
        lwx_abort(none, 1),
        lwx_set_user(none, 1, User::NULL, None),
        lwx_get_user(none, 1, Out::null()),
        lwx_subscribe(none, 1, text),
        lwx_unsubscribe(none, 1, text),
        lwx_publish(none, text, In::null(), 0, 0),
        lwx_timer_set(none, 0, None, User::NULL, None, Out::from(&mut key)),
        lwx_timer_cancel(none, 1),
        lwx_udp_bind(none, text, In::null(), Out::from(&mut key), Out::null(), 0),
        lwx_udp_send(none, 1, In::null(), In::null(), 0),
        lwx_poster_new(none, Out::null()),
    ];
    assert_eq!(codes, [NULL; 45]);
    let poster = Ref::null();
    assert_eq!(lwx_poster_post(poster, None, User::NULL, None), NULL);
    assert_eq!(lwx_poster_publish(poster, text, In::null(), 0, 0), NULL);
    assert_eq!(lwx_poster_stop(poster), NULL);
    assert_eq!(lwx_service_timeout_ms(none), 0);
    lwx_service_free(Counted::null());
    lwx_poster_free(Given::null());
}

#[test]
fn what_is_described_is_described_before_the_start() {
    let state = Error::State as i32;
    let service = service();
    let it = service.lend();
    assert_eq!(lwx_service_dispatch(it), state);
    assert_eq!(lwx_service_fd(it), state);
    assert_eq!(lwx_service_drain(it), state);
    assert_eq!(lwx_route(it, 7, In::c_text(c"/"), In::from(&handler())), Error::Argument as i32);
    assert_eq!(lwx_route(it, 0, In::c_text(c"/"), In::null()), NULL);
    assert_eq!(lwx_files(it, In::c_text(c"/"), In::c_text(c"/nowhere"), In::null()), Error::System as i32);
    assert_eq!(lwx_listen(it, In::c_text(c"127.0.0.1:0"), In::null(), Out::null()), OK);
    assert_eq!(lwx_service_start(it), OK);
    assert_eq!(lwx_service_start(it), state);
    assert_eq!(lwx_listen(it, In::c_text(c"127.0.0.1:0"), In::null(), Out::null()), state);
    assert!(lwx_service_fd(it) >= 0);
    assert_eq!(lwx_service_ready(it, 0, 0), state, "it has one descriptor");
    lwx_service_free(service);

    let bad = self::service();
    assert_eq!(lwx_listen(bad.lend(), In::c_text(c"nonsense"), In::null(), Out::null()), OK);
    assert_eq!(lwx_service_start(bad.lend()), Error::System as i32);
    lwx_service_free(bad);
}

#[test]
fn another_thread_is_refused() {
    let (service, _) = started(&handler());
    let lent = lwx::sys::Shared::new(&service);
    let code = std::thread::spawn(move || lwx_service_dispatch(lent.get())).join().expect("no panic");
    assert_eq!(code, Error::Thread as i32);
    lwx_service_free(service);
}

extern "C" fn on_posted(_: Ref<'_, Service>, _: User) {
    POSTED.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn on_moved_request(service: Ref<'_, Service>, key: Key, _: u32, _: User) {
    assert_eq!(lwx_service_leave_thread(service), Error::Recursive as i32);
    assert_eq!(lwx_respond(service, key, 200, In::null(), 0, In::start(b"hi"), 2, END), OK);
    ANSWERED.fetch_add(1, Ordering::Relaxed);
}

static POSTED: AtomicUsize = AtomicUsize::new(0);
static ANSWERED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_service_moves_to_another_thread_once_its_own_has_left_it() {
    let thread = Error::Thread as i32;
    let handler = Handler { request: Some(on_moved_request), ..handler() };
    let (service, address) = started(&handler);
    let it = service.lend();
    let mut poster = Given::null();
    assert_eq!(lwx_poster_new(it, Out::from(&mut poster)), OK);
    assert_eq!(lwx_service_enter_thread(it), thread, "it has one");
    assert_eq!(lwx_service_leave_thread(it), OK);
    assert_eq!([lwx_service_dispatch(it), lwx_service_leave_thread(it)], [thread; 2], "it has none");
    assert_eq!(lwx_poster_post(poster.lend(), Some(on_posted), User::NULL, None), OK);
    let lent = lwx::sys::Shared::new(&service);
    let serve = move || {
        let it = lent.get();
        assert_eq!(lwx_service_enter_thread(it), OK);
        let mut peer = TcpStream::connect(address).expect("a connection");
        peer.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
        run_until(it, || ANSWERED.load(Ordering::Relaxed) == 1);
        run_until(it, || POSTED.load(Ordering::Relaxed) == 1);
        assert_eq!(lwx_service_leave_thread(it), OK);
    };
    std::thread::spawn(serve).join().expect("no panic");
    assert_eq!(lwx_service_dispatch(it), thread);
    assert_eq!(lwx_service_enter_thread(it), OK);
    assert_eq!(lwx_service_dispatch(it), 1);
    lwx_poster_free(poster);
    lwx_service_free(service);
}

thread_local! {
    static SEEN: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) };
    static KEYS: RefCell<Vec<Key>> = const { RefCell::new(Vec::new()) };
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_drop(_: User) {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn on_request(service: Ref<'_, Service>, key: Key, _: u32, _: User) {
    let mut info = RequestInfo { size: size_of::<RequestInfo>(), ..zeroed() };
    let mut budget = 0;
    let seen = [
        lwx_get_request(service, key, Out::from(&mut info)),
        lwx_get_request(service, key + 1, Out::from(&mut info)),
        lwx_service_dispatch(service),
        lwx_service_run(service),
        lwx_service_start(service),
        lwx_budget(service, key, Out::from(&mut budget)),
        lwx_write(service, key, In::start(b"early"), 5, 0),
        lwx_respond(service, key, 7, In::null(), 0, In::null(), 0, END),
        lwx_respond(service, key, 200, In::null(), 0, In::start(b"hi"), 2, END),
        lwx_respond(service, key, 200, In::null(), 0, In::start(b"hi"), 2, END),
        lwx_set_user(service, key, User::NULL, Some(count_drop)),
    ];
    assert!(budget > 0);
    SEEN.with_borrow_mut(|all| all.extend(seen));
    KEYS.with_borrow_mut(|all| all.push(key));
}

extern "C" fn on_closed(service: Ref<'_, Service>, key: Key, _: In<'_, Closed>, _: User) {
    let seen = [lwx_write(service, key, In::null(), 0, END), lwx_want_write(service, key)];
    SEEN.with_borrow_mut(|all| all.extend(seen));
}

#[test]
fn a_callback_may_use_what_it_is_lent_and_nothing_that_drives_the_service() {
    let handler = Handler { request: Some(on_request), closed: Some(on_closed), ..handler() };
    let (service, address) = started(&handler);
    let it = service.lend();
    let mut peer = TcpStream::connect(address).expect("a connection");
    peer.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
    run_until(it, || SEEN.with_borrow(|seen| seen.len() == 13));
    let (state, recursive) = (Error::State as i32, Error::Recursive as i32);
    SEEN.with_borrow(|seen| {
        assert_eq!(seen[..5], [OK, state, recursive, recursive, state]);
        // Content before the head; no status; the response; a second one.
        assert_eq!(seen[5..11], [OK, state, Error::Field as i32, OK, state, OK]);
        assert_eq!(seen[11], Error::Again as i32, "nothing can be written at the end");
    });
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1, "the stream's pointer was dropped with it");
    let key = KEYS.with_borrow(|keys| keys[0]);
    let stale = Error::Stale as i32;
    for key in [key, 0, 77, u64::MAX] {
        assert_eq!(lwx_write(it, key, In::null(), 0, END), stale);
        assert_eq!(lwx_want_write(it, key), stale);
        assert_eq!(lwx_pause(it, key), stale);
        assert_eq!(lwx_close(it, key, 1000, In::null(), 0), stale);
        assert_eq!(lwx_set_user(it, key, User::NULL, None), stale);
        assert_eq!(lwx_timer_cancel(it, key), stale);
    }
    let mut text = Str::EMPTY;
    assert_eq!(lwx_get_field(it, key, In::c_text(c"host"), 0, Out::from(&mut text)), Error::State as i32);
    let mut answer = [0; 512];
    let size = peer.read(&mut answer).expect("an answer");
    assert!(answer[..size].ends_with(b"\r\n\r\nhi"));
    lwx_service_free(service);
}

extern "C" fn free_service(_: Ref<'_, Service>, _: Key, _: u32, _: User) {
    SERVICE.with_borrow_mut(|service| lwx_service_free(service.take().expect("it is there")));
}

thread_local! {
    static SERVICE: RefCell<Option<Counted<Service>>> = const { RefCell::new(None) };
}

#[test]
fn a_callback_may_free_the_service_that_calls_it() {
    let handler = Handler { request: Some(free_service), ..handler() };
    let (service, address) = started(&handler);
    let again = service.again();
    SERVICE.set(Some(service));
    let mut peer = TcpStream::connect(address).expect("a connection");
    peer.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
    let mut code = 1;
    for _ in 0..10_000 {
        code = lwx_service_dispatch(again.lend());
        if code <= 0 {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(code, 0, "that dispatch is the last one");
    assert_eq!(lwx_service_dispatch(again.lend()), Error::Gone as i32);
    assert_eq!(peer.read(&mut [0; 16]).unwrap_or(0), 0, "the connection is cut off");
    drop(again.take());
}

/// What a request of `target` is answered with.
fn ask(service: Ref<'_, Service>, address: &str, target: &str) -> String {
    let mut peer = TcpStream::connect(address).expect("a connection");
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    peer.write_all(request.as_bytes()).expect("a request");
    peer.set_nonblocking(true).expect("a socket");
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    for _ in 0..10_000 {
        assert!(lwx_service_dispatch(service) >= 0);
        match peer.read(&mut piece) {
            Ok(0) => return String::from_utf8(answer).expect("text"),
            Ok(size) => answer.extend_from_slice(&piece[..size]),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
    }
    panic!("no answer to {target}");
}

extern "C" fn on_page(service: Ref<'_, Service>, key: Key, _: u32, _: User) {
    assert_eq!(lwx_respond(service, key, 200, In::null(), 0, In::start(b"a page"), 6, END), OK);
}

fn address_of(service: Ref<'_, Service>) -> String {
    let mut address = [0; 64];
    assert_eq!(lwx_service_address(service, 0, Out::start(&mut address), 64), OK);
    let end = address.iter().position(|byte| *byte == 0).expect("its end");
    String::from_utf8_lossy(&address[..end]).into_owned()
}

#[test]
fn sites_of_a_configuration_are_served_with_handlers_of_the_program() {
    let folder = std::env::temp_dir().join(format!("lwx-sites-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("index.html"), "a file").expect("a file");
    let json = format!(
        r#"{{ "vhosts": [ {{ "name": "localhost", "port": "0", "interface": "127.0.0.1", "mounts": [
            {{ "mountpoint": "/", "origin": "file://{}", "default": "index.html" }},
            {{ "mountpoint": "/page", "origin": "callback://page" }},
            {{ "mountpoint": "/old", "origin": ">https://localhost/new" }} ] }} ] }}"#,
        folder.display()
    );
    let json = std::ffi::CString::new(json).expect("no NUL");
    let service = service();
    let it = service.lend();
    assert_eq!(lwx_sites(it, In::c_text(&json)), OK);
    let page = Handler { request: Some(on_page), ..handler() };
    assert_eq!(lwx_protocol(it, In::c_text(c"page"), In::from(&page)), OK);
    assert_eq!(lwx_service_start(it), OK);
    let address = address_of(it);
    for (target, expected) in [("/", "\r\n\r\na file"), ("/page", "\r\n\r\na page")] {
        let answer = ask(it, &address, target);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(expected), "{target}: {answer}");
    }
    let moved = ask(it, &address, "/old");
    assert!(moved.starts_with("HTTP/1.1 301 ") && moved.contains("https://localhost/new"), "{moved}");
    lwx_service_free(service);
    std::fs::remove_dir_all(&folder).expect("the folder is there");
}

#[test]
fn what_of_a_configuration_cannot_be_served_is_refused() {
    let host = |mounts: &str| {
        format!(r#"{{ "vhosts": [ {{ "name": "a", "port": "0", "interface": "127.0.0.1", {mounts} }} ] }}"#)
    };
    let mount =
        |origin: &str| host(&format!(r#""mounts": [ {{ "mountpoint": "/", "origin": "{origin}" }} ]"#));
    for (json, expected) in [
        ("nonsense".to_owned(), Error::Argument),
        (host(r#""moutns": []"#), Error::Argument),
        (mount("cgi:///bin/true"), Error::Unsupported),
        (mount("http://127.0.0.1:1/"), Error::Unsupported),
        (mount("file:///nowhere/at/all"), Error::System),
        (host(r#""onlyraw": "1""#), Error::Unsupported),
        (
            mount("file:///tmp").replacen('{', r#"{ "global": { "count-threads": "2" },"#, 1),
            Error::Unsupported,
        ),
    ] {
        let service = service();
        let text = std::ffi::CString::new(json.clone()).expect("no NUL");
        assert_eq!(lwx_sites(service.lend(), In::c_text(&text)), expected as i32, "{json}");
        lwx_service_free(service);
    }
    let service = service();
    let json = std::ffi::CString::new(mount("callback://unknown")).expect("no NUL");
    assert_eq!(lwx_sites(service.lend(), In::c_text(&json)), OK);
    assert_eq!(lwx_service_start(service.lend()), Error::Unsupported as i32, "no handler has that name");
    lwx_service_free(service);
}

static LINES: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_line(_: User, level: i32, line: Str) {
    assert!(level == 3 && line.size > 0);
    LINES.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_log_has_a_line_for_each_request_where_it_is_wanted() {
    for (log_level, lines) in [(3, 1), (2, 0)] {
        LINES.store(0, Ordering::Relaxed);
        let size = size_of::<ServiceOptions>();
        let options = ServiceOptions { size, log: Some(on_line), log_level, ..zeroed() };
        let mut service = Counted::null();
        assert_eq!(lwx_service_new(In::from(&options), Out::from(&mut service)), OK);
        let it = service.lend();
        let page = Handler { request: Some(on_page), ..handler() };
        assert_eq!(lwx_listen(it, In::c_text(c"127.0.0.1:0"), In::null(), Out::null()), OK);
        assert_eq!(lwx_route(it, 0, In::c_text(c"/"), In::from(&page)), OK);
        assert_eq!(lwx_service_start(it), OK);
        let address = address_of(it);
        assert!(ask(it, &address, "/").ends_with("a page"));
        lwx_service_free(service);
        assert_eq!(LINES.load(Ordering::Relaxed), lines, "level {log_level}");
    }
}

#[test]
fn a_struct_of_the_first_version_is_taken_and_a_shorter_one_refused() {
    let first = std::mem::offset_of!(Handler<'_>, response);
    for (size, expected) in [(first, OK), (first - 1, Error::Size as i32), (size_of::<Handler<'_>>(), OK)] {
        let service = service();
        let handler = Handler { size, request: Some(on_page), ..zeroed() };
        assert_eq!(lwx_route(service.lend(), 0, In::c_text(c"/"), In::from(&handler)), expected, "{size}");
        lwx_service_free(service);
    }
}

extern "C" fn count_call(_: Ref<'_, Service>, _: User) {
    CALLED.with_borrow_mut(|called| *called += 1);
}

extern "C" fn count_posted_drop(_: User) {
    POSTED_DROPPED.with_borrow_mut(|dropped| *dropped += 1);
}

thread_local! {
    static CALLED: RefCell<usize> = const { RefCell::new(0) };
    static POSTED_DROPPED: RefCell<usize> = const { RefCell::new(0) };
}

#[test]
fn a_service_with_too_many_calls_waiting_says_so_and_takes_more_later() {
    let (service, _) = started(&handler());
    let mut poster = Given::null();
    assert_eq!(lwx_poster_new(service.lend(), Out::from(&mut poster)), OK);
    let post = || lwx_poster_post(poster.lend(), Some(count_call), User::NULL, Some(count_posted_drop));
    let taken = (0..100_000).take_while(|_| post() == OK).count();
    assert_eq!(taken, 65_536);
    assert_eq!(post(), Error::Limit as i32);
    assert_eq!(POSTED_DROPPED.with_borrow(|dropped| *dropped), 2, "those that were not taken");
    run_until(service.lend(), || CALLED.with_borrow(|called| *called) == taken);
    assert_eq!(post(), OK);
    lwx_service_free(service);
    assert_eq!(post(), Error::Gone as i32);
    lwx_poster_free(poster);
}
