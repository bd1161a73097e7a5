//! What a server counts, as a collector reads it.

use crate::test;
use lws_server::metrics::{self, Exposition, Format};
use lws_server::testing::Server;
use lws_server::ws::{Handler, Message};
use lws_server::{Builder, Context, Payload, Route, Site, WebSocket, http::Response};
use std::sync::mpsc::channel;

struct Echo;

impl Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ = permit.message(message.kind, Payload::Copy(message.chunk), message.end);
        }
    }
}

fn serve(describe: impl FnOnce(Builder) -> Builder) -> Server {
    test(|server| describe(server.get("/", |_| Response::text("hello")).ws("/echo", |_| Echo)))
}

/// The metrics as text, without what is declared.
fn samples(server: &Server) -> Vec<String> {
    let (send, receive) = channel();
    server.handle().gather_metrics(move |metrics| send.send(metrics).expect("the test waits"));
    server.settle();
    let mut text = Exposition::new(Format::OpenMetrics);
    receive.try_recv().expect("every thread has answered").write(&mut text);
    text.finish().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn check(server: &Server, expected: &[&str]) {
    let samples = samples(server);
    for line in expected {
        assert!(samples.iter().any(|sample| sample == line), "{line} in {samples:#?}");
    }
}

#[test]
fn requests_are_counted_by_what_they_were() {
    let server = serve(|builder| builder);
    let _ = server.get("/").send();
    let _ = server.get("/").http2().send();
    let _ = server.request("BREW", "/").send();
    let _ = server.request("DELETE", "/").send();
    check(
        &server,
        &[
            "lws_requests_total{host=\"_\",proto=\"1.1\",method=\"GET\",code_class=\"2xx\"} 1",
            "lws_requests_total{host=\"_\",proto=\"2\",method=\"GET\",code_class=\"2xx\"} 1",
            "lws_requests_total{host=\"_\",proto=\"1.1\",method=\"other\",code_class=\"5xx\"} 1",
            "lws_requests_total{host=\"_\",proto=\"1.1\",method=\"DELETE\",code_class=\"4xx\"} 1",
            "lws_request_duration_seconds_count{host=\"_\"} 4",
            "lws_requests_in_flight 0",
        ],
    );
}

#[test]
fn sites_are_counted_apart_and_those_of_one_name_together() {
    let site = |name: &str, path: &'static str| {
        let mut site = Site::new();
        site.settings.names = [name].into();
        site.routes.push(Route::get(path, |_| Response::text("here")));
        site
    };
    let server = serve(|builder| builder.site(site("wiki.example", "/")).site(site("shop.example", "/")));
    for host in ["wiki.example", "wiki.example", "shop.example", "nowhere.example"] {
        let _ = server.get("/").host(host).send();
    }
    let sample = |host: &str, class: &str, count: u32| {
        format!(
            "lws_requests_total{{host=\"{host}\",proto=\"1.1\",method=\"GET\",code_class=\"{class}\"}} {count}"
        )
    };
    check(&server, &[&sample("wiki.example", "2xx", 2), &sample("shop.example", "2xx", 1)]);
}

#[test]
fn messages_are_counted_in_both_directions() {
    let server = serve(|builder| builder);
    let peer = server.ws("/echo").connect();
    peer.send("one");
    peer.send("two");
    server.settle();
    check(
        &server,
        &[
            "lws_websockets{host=\"_\"} 1",
            "lws_ws_messages_total{host=\"_\",direction=\"in\",kind=\"text\"} 2",
            "lws_ws_messages_total{host=\"_\",direction=\"out\",kind=\"text\"} 2",
            "lws_ws_messages_total{host=\"_\",direction=\"in\",kind=\"binary\"} 0",
        ],
    );
    drop(peer);
    server.settle();
    check(&server, &["lws_websockets{host=\"_\"} 0"]);
}

#[test]
fn a_route_answers_with_metrics_in_the_format_that_is_asked_for() {
    let server = serve(|builder| builder.route(Route::get_with("/metrics", metrics::endpoint)));
    let accept = "application/openmetrics-text; version=1.0.0";
    let response = server.get("/metrics").field("Accept", accept).send();
    assert_eq!(response.status(), 200);
    assert!(response.text().ends_with("# EOF\n"));
    let response = server.get("/metrics").send();
    assert!(response.text().contains("# TYPE lws_requests_total counter\n"));
}
