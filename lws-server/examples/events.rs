//! A count that every page sees, however often its stream is lost: `cargo run -p lws-server --example events -- 127.0.0.1:7681`.

use lws_server::http::Response;
use lws_server::{Server, sse};
use std::thread;
use std::time::Duration;

const PAGE: &str = r"<!doctype html><title>events</title><p id=count>-<script>
const seen = [], opened = [], resynced = [];
const source = new EventSource('/events');
source.onopen = () => opened.push(seen.length);
source.onmessage = (event) => { seen.push(Number(event.data)); count.textContent = event.data; };
source.addEventListener('resync', () => resynced.push(seen.length));
</script>";

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let mut options = sse::Options::default();
    options.retry = Duration::from_millis(200);
    let channel = sse::Channel::new(options);

    // Any thread publishes; none waits for those who listen.
    let source = channel.clone();
    thread::spawn(move || {
        for count in 1_u64.. {
            source.publish(&sse::Event::new(count.to_string()));
            thread::sleep(Duration::from_millis(10));
        }
    });

    Server::builder()
        .listen(&address)
        .get("/", |_| Response::html(PAGE))
        .get("/events", move |request| channel.subscribe(request))
        .build()?
        .run()
}
