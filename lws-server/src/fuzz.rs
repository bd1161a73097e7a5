//! Bodies of fuzz targets: what helpers make of whatever a peer writes. Each panics if something that always holds does not.

use crate::heads::look_at;
use crate::http::multipart::{Event, Limits, Multipart};
use crate::http::{Credentials, MediaType, Pairs, Rejection, Request, Routed};
#[cfg(feature = "proxies")]
use crate::{Peer, http::TrustedProxies};

/// A refusal is a 4xx with a reason.
fn check(rejection: &Rejection) {
    assert!((400..500).contains(&rejection.status().code()), "{rejection}");
    assert!(!rejection.reason().is_empty());
}

/// A query or a simple form: each pair is there once, and what has no escapes stays as it is.
pub fn pairs(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    match Pairs::parse(&text) {
        Ok(pairs) => {
            let pieces: Vec<_> = text.split('&').filter(|piece| !piece.is_empty()).collect();
            assert_eq!(pairs.iter().len(), pieces.len());
            for ((name, value), piece) in pairs.iter().zip(pieces) {
                assert!(name.len() + value.len() <= piece.len());
                if !piece.contains(['%', '+']) {
                    assert_eq!((name, value), piece.split_once('=').unwrap_or((piece, "")));
                }
                assert!(pairs.all(name).any(|known| known == value));
            }
        }
        Err(rejection) => check(&rejection),
    }
}

/// A form with files, cut by the last octets: the same is read however it is cut, within its limits.
pub fn multipart(octets: &[u8]) {
    let (form, cuts) = octets.split_at(octets.len().saturating_sub(3));
    let whole = read_form(form, &[form.len()]);
    let sizes: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) + 1).collect();
    for sizes in [&[1][..], &sizes] {
        if !sizes.is_empty() {
            assert_eq!(read_form(form, sizes), whole, "{sizes:?}");
        }
    }
}

/// What is read of a form in pieces of these sizes, in turn, with the content of a part as one.
fn read_form(form: &[u8], sizes: &[usize]) -> Result<Vec<String>, u16> {
    let mut limits = Limits::default();
    (limits.parts_max, limits.head_bytes_max, limits.part_bytes_max) = (4, 200, 300);
    let mut multipart = Multipart::new("x", limits).map_err(|rejection| rejection.status().code())?;
    let (mut seen, mut content) = (Vec::new(), Vec::new());
    let (mut rest, mut fed) = (form, Ok(()));
    for size in sizes.iter().cycle() {
        if rest.is_empty() || fed.is_err() {
            break;
        }
        let (piece, left) = rest.split_at((*size).clamp(1, rest.len()));
        rest = left;
        fed = multipart.feed(piece, |event| {
            match event {
                Event::Part(head) => seen.push(format!("{head:?}")),
                Event::Content(octets) => content.extend_from_slice(octets),
                Event::PartEnd => seen.push(format!("{:?}", std::mem::take(&mut content))),
            }
            assert!(content.len() <= 300 && seen.len() <= 8);
            Ok(())
        });
    }
    fed.and_then(|()| multipart.finish()).map(|()| seen).map_err(|rejection| {
        check(&rejection);
        rejection.status().code()
    })
}

/// Field lines of a request, one in a line, the name chosen by the first octet: every helper that reads one answers with a value or a
/// refusal.
pub fn fields(octets: &[u8]) {
    const NAMES: [&str; 11] = [
        "Accept",
        "Accept-Language",
        "Accept-Encoding",
        "Authorization",
        "Content-Type",
        "Cookie",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Request-Id",
        "Sec-WebSocket-Protocol",
    ];
    let mut head = b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n".to_vec();
    for line in octets.split(|octet| *octet == b'\n').take(20) {
        let Some((choice, value)) = line.split_first() else { continue };
        head.extend_from_slice(NAMES[usize::from(*choice) % NAMES.len()].as_bytes());
        head.extend_from_slice(b": ");
        head.extend(value.iter().filter(|octet| !matches!(octet, 0 | b'\r')));
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    look_at(head, |head| {
        let routed = Routed { path: "/a", pattern: None, content_bytes_max: 0 };
        read_fields(&Request::lent(*head, routed, false, None));
    });
}

fn read_fields(request: &Request<'_>) {
    let offered = ["text/html", "application/json"];
    let preferred = request.preferred_type(&offered);
    assert!(preferred.is_none_or(|kind| offered.contains(&kind)));
    let _ = request.preferred_language(&["en", "de-AT"]);
    for refused in [request.credentials().err(), request.media_type().err()].iter().flatten() {
        check(refused);
    }
    if let Some(text) = request.text("Authorization")
        && let Err(rejection) = Credentials::parse(text)
    {
        check(&rejection);
    }
    if let Some(media_type) = request.text("Content-Type").and_then(MediaType::parse) {
        assert!(media_type.essence().split('/').count() == 2);
        let _ = (media_type.parameter("charset"), media_type.parameter("boundary"));
    }
    assert!(request.protocols().all(|name| !name.is_empty()));
    #[cfg(feature = "cookies")]
    if let Err(rejection) = request.cookies() {
        check(&rejection);
    }
    #[cfg(feature = "proxies")]
    if let Ok(proxies) = TrustedProxies::new(["10.0.0.0/8"]) {
        let proxy = Peer::Tcp(([10, 0, 0, 1], 80).into());
        let _ = proxies.client(proxy, request);
        // A peer that is not trusted is who it is, whatever it writes.
        let stranger = ([192, 0, 2, 1], 80).into();
        let client = proxies.client(Peer::Tcp(stranger), request);
        assert_eq!((client.address, client.secure, client.host), (Some(stranger.ip()), None, None));
    }
}
