//! Whatever a peer writes, each helper answers with a value or a 4xx, and the same however its input is cut.

use crate::test;
use lws_server::http::multipart::{Event, Limits, Multipart};
use lws_server::http::{Credentials, MediaType, Pairs, Rejection, Request, Response};

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % end.max(1)
    }

    /// Some of these words, and an octet of any value at times.
    fn sentence(&mut self, words: &[&str]) -> Vec<u8> {
        let mut sentence = Vec::new();
        for _ in 0..self.below(24) {
            match self.below(12) {
                0 => sentence.push(self.0.to_le_bytes()[0]),
                _ => sentence.extend_from_slice(words[self.below(words.len())].as_bytes()),
            }
        }
        sentence
    }

    fn text(&mut self, words: &[&str]) -> String {
        String::from_utf8_lossy(&self.sentence(words)).into_owned()
    }
}

const ROUNDS: usize = 20_000;

fn is_refusal(rejection: &Rejection) -> bool {
    (400..500).contains(&rejection.status().code()) && !rejection.reason().is_empty()
}

#[test]
fn pairs_media_types_and_credentials_are_values_or_refusals() {
    let mut numbers = Numbers(1);
    for _ in 0..ROUNDS {
        let text = numbers.text(&["a", "=", "&", "%", "%4", "%41", "%ff", "+", "ö", ";", "%c3%b6"]);
        match Pairs::parse(&text) {
            Ok(pairs) => assert!(pairs.iter().len() <= text.split('&').count(), "{text}"),
            Err(rejection) => assert!(is_refusal(&rejection), "{text}"),
        }
        let text =
            numbers.text(&["text", "/", "plain", ";", "charset", "=", "\"", "\\", " ", "*", "ö", "boundary"]);
        if let Some(media_type) = MediaType::parse(&text) {
            assert!(media_type.essence().split('/').count() == 2, "{text}");
            let _ = (media_type.parameter("charset"), media_type.parameter("boundary"));
        }
        let text = numbers.text(&["Basic", "Bearer", " ", "YTpi", "YQ==", "=", "Og==", "/", "ö", "a.b"]);
        if let Err(rejection) = Credentials::parse(&text) {
            assert!(is_refusal(&rejection), "{text}");
        }
    }
}

/// What is read of a form in pieces of these sizes, in turn, with the content of a part as one.
fn read(form: &[u8], sizes: &[usize]) -> Result<Vec<String>, u16> {
    let mut seen = Vec::new();
    let mut content = Vec::new();
    let mut multipart =
        Multipart::new("x", Limits::default()).map_err(|rejection| rejection.status().code())?;
    let (mut rest, mut turn) = (form, 0);
    let mut fed = Ok(());
    while !rest.is_empty() && fed.is_ok() {
        let (piece, left) = rest.split_at(sizes[turn % sizes.len()].clamp(1, rest.len()));
        (rest, turn) = (left, turn + 1);
        fed = multipart.feed(piece, |event| {
            match event {
                Event::Part(head) => seen.push(format!("{head:?}")),
                Event::Content(bytes) => content.extend_from_slice(bytes),
                Event::PartEnd => seen.push(format!("{:?}", std::mem::take(&mut content))),
            }
            Ok(())
        });
    }
    match fed.and_then(|()| multipart.finish()) {
        Ok(()) => Ok(seen),
        Err(rejection) => {
            assert!(is_refusal(&rejection));
            Err(rejection.status().code())
        }
    }
}

#[test]
fn a_form_is_the_same_however_it_is_cut() {
    let mut numbers = Numbers(2);
    let words = [
        "--x",
        "\r\n",
        "\r\n--x\r\n",
        "--",
        "\r",
        "-",
        "Content-Disposition: form-data; name=\"a\"",
        "; filename=\"b\\\"%22",
        "Content-Type: text/plain",
        "\r\n\r\n",
        "content",
    ];
    let mut whole = 0;
    for _ in 0..ROUNDS {
        let mut form = numbers.sentence(&words);
        // Most sentences are no form: half of them begin and end as one.
        if numbers.below(2) == 0 {
            let head = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
            form = [head, &form[..], b"\r\n--x--"].concat();
        }
        let expected = read(&form, &[form.len()]);
        whole += usize::from(expected.is_ok());
        let sizes = [1 + numbers.below(5), 1 + numbers.below(40)];
        for sizes in [&[1][..], &sizes] {
            assert_eq!(read(&form, sizes), expected, "{sizes:?} of {}", String::from_utf8_lossy(&form));
        }
    }
    assert!((ROUNDS / 20..ROUNDS).contains(&whole), "forms of both kinds were tried: {whole}");
}

#[test]
fn fields_of_all_kinds_are_answered() {
    let t = test(|server| {
        server.get("/", |request: &Request<'_>| -> Result<Response, Rejection> {
            let kind = request.preferred_type(&["text/html", "application/json"]).unwrap_or("none");
            let language = request.preferred_language(&["en", "de-AT"]).unwrap_or("none");
            let (_, _) = (request.credentials()?, request.media_type()?);
            #[cfg(feature = "cookies")]
            let _ = (request.cookies()?, request.cookie("a"));
            Ok(Response::text(format!("{kind} {language}")))
        })
    });
    let mut numbers = Numbers(3);
    let words =
        ["*/*", "text/*", ";q=", "0.", "1", ",", " ", "a=b", "\"", "\\", "de", "-", "Basic ", "=", "\u{f6}"];
    for _ in 0..ROUNDS / 20 {
        let mut request = t.get("/");
        for name in ["Accept", "Accept-Language", "Authorization", "Cookie", "Content-Type"] {
            if numbers.below(2) == 0 {
                let value = numbers.text(&words).replace(|char: char| char.is_control(), "");
                request = request.field(name, value);
            }
        }
        let status = request.send().status();
        assert!(matches!(status, 200 | 400), "{status}");
    }
}

/// The kept inputs of the fuzz targets.
#[cfg(feature = "fuzz")]
#[test]
fn every_kept_input_passes() {
    use std::path::Path;

    /// A corpus, and the body of its target.
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 3] = [
        ("query_pairs", lws_server::fuzz::pairs),
        ("form_parts", lws_server::fuzz::multipart),
        ("request_fields", lws_server::fuzz::fields),
    ];
    for (name, body) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let entries = std::fs::read_dir(&folder).expect("it has a corpus");
        let inputs: Vec<_> = entries.map(|entry| entry.expect("an entry of the folder").path()).collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for path in inputs {
            body(&std::fs::read(path).expect("a kept input"));
        }
    }
}
