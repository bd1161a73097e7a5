//! A mesh: the same events, requests and output however what another process sends is cut.

use super::split_off_cuts;
use lws_broker::mesh::{Mesh, MeshOptions, MeshRequest, SocketName};
use lws_broker::{Broker, Bytes, Limits, Time, Topic};

/// Octets of another process, on a connection that it has made, and on one that was made to it.
pub fn mesh(input: &[u8]) {
    let (octets, cuts) = split_off_cuts(input);
    for accepted in [false, true] {
        let whole = run(accepted, octets, &[octets.len().max(1)]);
        assert_eq!(run(accepted, octets, &[1]), whole);
        let sizes: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) + 1).collect();
        if !sizes.is_empty() {
            assert_eq!(run(accepted, octets, &sizes), whole);
        }
    }
}

fn run(accepted: bool, octets: &[u8], sizes: &[usize]) -> (Vec<String>, Vec<u8>) {
    let limits = Limits { topics_max: 4, payload_bytes_max: 100, ..Limits::default() };
    let options = MeshOptions { peers_max: 2, peer_bytes_max: 300, limits, ..MeshOptions::default() };
    let name = SocketName::of_process(1, 1);
    let mut mesh = Mesh::new(Time::ZERO, name, options);
    for topic in ["a", "b"] {
        mesh.subscribe(Time::ZERO, &Topic::new(topic).expect("a name"));
    }
    mesh.found(Time::ZERO, ["other.sock"]);
    let request = std::iter::from_fn(|| mesh.poll_request()).last();
    let Some(MeshRequest::Connect { link, .. }) = request else { panic!("{request:?}") };
    let link = if accepted {
        mesh.accepted(Time::ZERO).expect("there is room")
    } else {
        mesh.connected(Time::ZERO, link);
        link
    };
    let (mut rest, mut sizes) = (octets, sizes.iter().cycle());
    while !rest.is_empty() {
        let (part, after) = rest.split_at(sizes.next().map_or(1, |size| *size).min(rest.len()));
        mesh.receive(Time::ZERO, link, part);
        rest = after;
    }
    // What it is subscribed to is sent to it, and no more waits than there may.
    mesh.leave(Time::ZERO);
    for topic in ["a", "b", "c"] {
        let _ = mesh.publish(Time::ZERO, &Topic::new(topic).expect("a name"), Bytes::from_static(b"hello"));
    }
    let output = mesh.transmit(link).to_vec();
    let requests = std::iter::from_fn(|| mesh.poll_request()).map(|request| format!("{request:?}"));
    let mut seen: Vec<_> = requests.collect();
    seen.extend(std::iter::from_fn(|| mesh.poll()).map(|event| format!("{event:?}")));
    (seen, output)
}
