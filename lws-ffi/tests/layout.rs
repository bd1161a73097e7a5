//! The structs of the headers and those of Rust are the same: a C compiler says where each member is.

use lwx::engine::{ConnEvent, ConnInterest, ConnOptions, ConnRequest};
use lwx::error::Error;
use lwx::service::ServiceStats;
use lwx::service::client::ConnectOptions;
use lwx::service::handlers::{Closed, Handler, ResponseInfo};
use lwx::service::host::HostCallbacks;
use lwx::service::links::UdpCallbacks;
use lwx::service::plan::{FilesOptions, ListenOptions, ServiceOptions};
use lwx::service::streams::RequestInfo;
use lwx::types::{Field, InField, InStr, Str};
use std::fmt::Write;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

/// One line of C for each assertion about a struct: its size, and the offset and size of each member.
macro_rules! layout {
    ($out:ident, $c:literal, $rust:ty, $($($member:ident).+ $(as $other:literal)?),*) => {
        writeln!($out, "SAME(sizeof({}), {});", $c, size_of::<$rust>()).expect("a line");
        $(
            let name = [$($other,)? stringify!($($member).+)][0];
            writeln!($out, "SAME(offsetof({}, {name}), {});", $c, offset_of!($rust, $($member).+)).expect("a line");
        )*
    };
}

fn assertions() -> String {
    let mut out = String::new();
    layout!(out, "lwx_str", Str, data, size);
    layout!(out, "lwx_str", InStr<'_>, data, size);
    layout!(out, "lwx_field", Field, name, value);
    layout!(out, "lwx_field", InField<'_>, name, value);
    layout!(
        out,
        "lwx_conn_options",
        ConnOptions,
        size,
        role,
        flags,
        fill_random,
        user,
        limits.head_bytes_max as "head_bytes_max",
        limits.content_bytes_max as "content_bytes_max",
        limits.message_bytes_max as "message_bytes_max",
        limits.send_queue_bytes_max as "send_queue_bytes_max",
        limits.head_timeout_us as "head_timeout_us",
        limits.keep_alive_timeout_us as "keep_alive_timeout_us",
        limits.ping_interval_us as "ping_interval_us",
        unix_seconds
    );
    layout!(
        out,
        "lwx_conn_event",
        ConnEvent,
        size,
        key,
        kind,
        flags,
        data,
        remaining,
        method,
        target,
        fields,
        field_count,
        status,
        version,
        cause,
        code
    );
    layout!(out, "lwx_conn_interest", ConnInterest, size, flags, reserved, deadline_us);
    layout!(
        out,
        "lwx_conn_request_options",
        ConnRequest<'_>,
        size,
        method,
        target,
        host,
        protocols,
        fields,
        field_count,
        content,
        content_size,
        flags,
        reserved
    );
    layout!(out, "lwx_closed", Closed, size, cause, code, name, detail);
    layout!(out, "lwx_response", ResponseInfo, size, status, version, fields, field_count, url);
    layout!(
        out,
        "lwx_connect_options",
        ConnectOptions<'_>,
        size,
        flags,
        reserved,
        method,
        protocols,
        fields,
        field_count,
        content,
        content_size,
        tls_roots,
        connect_to,
        timeout_us
    );
    layout!(
        out,
        "lwx_handler",
        Handler<'_>,
        size,
        flags,
        reserved,
        protocols,
        user,
        drop,
        accept,
        request,
        open,
        data,
        writable,
        timer,
        wake,
        control,
        closed,
        response,
        lost
    );
    layout!(out, "lwx_host", HostCallbacks, size, add, modify, remove, user);
    layout!(out, "lwx_udp_handler", UdpCallbacks, size, user, drop, datagram, writable);
    layout!(out, "lwx_files_options", FilesOptions<'_>, size, index, cache_control, flags, reserved);
    layout!(out, "lwx_listen_options", ListenOptions<'_>, size, tls_certificate, tls_key, raw);
    layout!(
        out,
        "lwx_service_options",
        ServiceOptions,
        size,
        flags,
        reserved,
        connections_max,
        held_bytes_max,
        limits.head_bytes_max as "head_bytes_max",
        limits.content_bytes_max as "content_bytes_max",
        limits.message_bytes_max as "message_bytes_max",
        limits.send_queue_bytes_max as "send_queue_bytes_max",
        limits.head_timeout_us as "head_timeout_us",
        limits.keep_alive_timeout_us as "keep_alive_timeout_us",
        limits.ping_interval_us as "ping_interval_us",
        drain_timeout_us,
        log,
        log_user,
        log_drop,
        log_level,
        reserved_end
    );
    layout!(out, "lwx_service_stats", ServiceStats, size, connections, websockets, requests, messages);
    layout!(out, "lwx_request", RequestInfo, size, method, target, path, query, version, has_content);
    for error in Error::ALL {
        let name = format!("{error:?}").to_uppercase();
        writeln!(out, "SAME(LWX_E_{name}, {});", error as i32).expect("a line");
    }
    out
}

/// Compiles assertions, and says whether they hold.
fn holds(assertions: &str) -> bool {
    let source = format!(
        "#include <lwx_engine.h>\n#include <lwx.h>\n\
         #define JOIN_(a, b) a##b\n#define JOIN(a, b) JOIN_(a, b)\n\
         #define SAME(a, b) typedef char JOIN(same_, __COUNTER__)[(a) == (b) ? 1 : -1]\n{assertions}"
    );
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let file = std::env::temp_dir().join(format!("lwx-layout-{}-{}.c", std::process::id(), assertions.len()));
    std::fs::write(&file, source).expect("a source file");
    let compiler = std::env::var("CC").unwrap_or("cc".into());
    let compiled = Command::new(compiler)
        .args(["-std=c99", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(include)
        .arg(&file)
        .output()
        .expect("a C compiler");
    std::fs::remove_file(&file).expect("the file is there");
    if !compiled.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&compiled.stderr));
    }
    compiled.status.success()
}

#[test]
fn the_header_and_the_library_have_the_same_structs_and_numbers() {
    assert!(holds(&assertions()));
}

#[test]
fn a_difference_is_found() {
    let assertions = assertions();
    let first = assertions.lines().next().expect("a line");
    assert!(!holds(&first.replace(");", " + 1);")));
}
