//! Requests and responses: what a factory reads of the one and says with the other.

use crate::test;
use lws_server::http::{Pairs, Rejection, Request, Response, Status};

#[test]
fn a_query_and_a_form_are_pairs() {
    fn add(pairs: &Pairs<'_>) -> Result<Response, Rejection> {
        let (a, b): (u32, u32) = (pairs.require("a")?, pairs.parse_value("b")?.unwrap_or(0));
        Ok(Response::text((u64::from(a) + u64::from(b)).to_string()))
    }
    let t = test(|server| {
        server
            .get("/add", |request: &Request<'_>| add(&request.query_pairs()?))
            .post("/add", |request: &Request<'_>| add(&request.form()?))
    });
    let check = |response: lws_server::testing::Response, status: u16, text: &str| {
        assert_eq!((response.status(), response.text()), (status, text));
    };
    check(t.get("/add?a=1&b=2").send(), 200, "3");
    check(t.get("/add?a=%31").send(), 200, "1");
    check(t.get("/add").send(), 400, "a: it is missing\n");
    check(t.get("/add?a=x").send(), 400, "a: invalid digit found in string\n");
    check(t.get("/add?a=%").send(), 400, "an escape is not % and two hexadecimal digits\n");
    check(t.request("POST", "/add").form("a=1&b=2").send(), 200, "3");
    check(t.post("/add", "a=1").send(), 415, "the content is to be application/x-www-form-urlencoded\n");
    check(t.request("POST", "/add").form(vec![b'a', b'=', 0xff]).send(), 400, "the form is no UTF-8\n");
    check(t.request("POST", "/add").form("a&".repeat(1_001)).send(), 413, "more than 1000 pairs\n");
}

#[test]
fn a_form_with_files_is_read() {
    let t = test(|server| {
        server.post("/", |request: &Request<'_>| -> Result<Response, Rejection> {
            let parts = request.parts()?;
            let shown = |part: &lws_server::http::multipart::Part| {
                format!("{} {:?} {}", part.head.name, part.head.file_name, part.content.len())
            };
            Ok(Response::text(parts.iter().map(shown).collect::<Vec<_>>().join("\n")))
        })
    });
    let form = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; \
                name=\"f\"; filename=\"f.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n";
    let post = |kind: &str| t.post("/", form).field("Content-Type", kind).send();
    assert_eq!(post("multipart/form-data; boundary=x").text(), "a None 1\nf Some(\"f.txt\") 5");
    assert_eq!(post("multipart/form-data; boundary=y").status(), 400);
    assert_eq!(post("multipart/form-data").status(), 400);
    assert_eq!(post("multipart/mixed; boundary=x").status(), 415);
    assert_eq!(post("multipart/form-data; boundary=").status(), 400);
}

#[test]
fn a_client_is_answered_in_its_type_and_language() {
    let t = test(|server| {
        server.get("/", |request| {
            let language = request.preferred_language(&["en", "de"]).unwrap_or("en");
            match request.preferred_type(&["text/html", "application/json"]) {
                Some("text/html") => Response::html(format!("<p>{language}")),
                Some(_) => Response::json(format!("\"{language}\"")),
                None => Response::error(Status::NOT_ACCEPTABLE),
            }
        })
    });
    let get = |accept: &str, language: &str| {
        t.get("/").field("Accept", accept).field("Accept-Language", language).send().text().to_owned()
    };
    assert_eq!(get("*/*", "fr"), "<p>en");
    assert_eq!(get("application/json", "de-AT,de;q=0.9,en;q=0.8"), "\"de\"");
    assert_eq!(t.get("/").field("Accept", "image/png").send().status(), 406);
}

#[test]
fn a_redirect_is_an_address_or_a_500() {
    let t = test(|server| {
        server.post("/form", |_| Response::see_other("/done")).get("/to", |request| {
            Response::redirect(Status::FOUND, request.query().unwrap_or_default().replace("%0D", "\r\n"))
        })
    });
    let done = t.post("/form", "").send();
    assert_eq!((done.status(), done.field("Location").as_deref()), (303, Some("/done")));
    assert_eq!(t.get("/to?/there").send().status(), 302);
    assert_eq!(t.get("/to?/there%0DX:y").send().status(), 500);
}

#[test]
fn a_status_that_leads_nowhere_is_no_redirect() {
    let t = test(|server| {
        server.get("/{code}", |request| {
            let code = request.parameter("code").and_then(|code| code.parse().ok());
            let status = code.and_then(Status::new).unwrap_or(Status::NOT_FOUND);
            Response::redirect(status, "/there")
        })
    });
    for code in [301, 302, 303, 307, 308] {
        let sent = t.get(&format!("/{code}")).send();
        assert_eq!((sent.status(), sent.field("Location").as_deref()), (code, Some("/there")));
    }
    for code in [200, 300, 304, 305, 306, 399, 404] {
        let sent = t.get(&format!("/{code}")).send();
        assert_eq!((sent.status(), sent.field("Location")), (500, None), "{code}");
    }
}

#[test]
fn a_factory_sees_the_context() {
    let t = test(|server| {
        let peer =
            |cx: &mut lws_server::Context<'_>, _: &Request<'_>| Response::text(format!("{:?}", cx.peer()));
        server.get_with("/", peer).post_with("/", peer)
    });
    let from = "203.0.113.9:4711".parse().expect("an address");
    assert_eq!(t.get("/").from(from).send().text(), "Tcp(203.0.113.9:4711)");
    assert_eq!(t.post("/", "x").from(from).send().text(), "Tcp(203.0.113.9:4711)");
}

#[cfg(feature = "json")]
#[test]
fn json_goes_in_and_out() {
    use lws_server::http::Problem;
    use std::collections::BTreeMap;

    let t = test(|server| {
        server.post("/", |request: &Request<'_>| -> Result<Response, Problem> {
            let numbers: BTreeMap<String, u32> = request.json()?;
            let sum: u32 = numbers.values().sum();
            if sum == 0 {
                return Err(Problem::new(Status::CONFLICT).detail("nothing to add").member("sum", 0));
            }
            Ok(Response::to_json(&BTreeMap::from([("sum", sum)])))
        })
    });
    let post = |json: &str| t.request("POST", "/").json(json).send();
    let sum = post("{\"a\":1,\"b\":2}");
    assert_eq!((sum.text(), sum.field("Content-Type").as_deref()), ("{\"sum\":3}", Some("application/json")));
    let check = |response: lws_server::testing::Response, status: u16, detail: &str| {
        assert_eq!(response.field("Content-Type").as_deref(), Some("application/problem+json"));
        assert!(response.status() == status && response.text().contains(detail), "{response:?}");
    };
    check(post("{"), 400, "EOF while parsing");
    check(post("[1]"), 422, "invalid type: sequence, expected a map at line 1 column 0");
    check(post("{}"), 409, "\"sum\":0");
    check(t.post("/", "{}").send(), 415, "application/json");
}

#[cfg(feature = "signed-cookies")]
#[test]
fn cookies_go_in_and_out_and_a_signature_is_checked() {
    use lws_server::http::{Cookie, CookieSigner};

    let signer = CookieSigner::new(&[7; 32]).expect("a secret");
    assert!(CookieSigner::new(&[7; 31]).is_none());
    let t = test(|server| {
        server
            .get("/user", move |request: &Request<'_>| match signer.verify(request, "user") {
                Some(user) => Response::text(user.to_owned()),
                None => {
                    Response::text("").cookie(signer.sign(Cookie::build(("user", "anna")).http_only(true)))
                }
            })
            .get("/all", |request: &Request<'_>| -> Result<Response, Rejection> {
                let cookies = request.cookies()?;
                let shown = cookies.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value()));
                Ok(Response::text(shown.collect::<Vec<_>>().join("|")))
            })
            .get("/forget", |_| Response::text("").forget_cookie("user", "/"))
    });
    let set = t.get("/user").send().field("Set-Cookie").expect("a cookie");
    let (pair, attributes) = set.split_once("; ").expect("attributes");
    assert!(attributes.contains("HttpOnly"), "{set}");
    assert_eq!(t.get("/user").field("Cookie", format!("a=b; {pair}")).send().text(), "anna");
    for forged in
        [pair.replace("anna", "otto"), pair.replace("user", "other"), "user=anna".into(), "user=.".into()]
    {
        assert_eq!(t.get("/user").field("Cookie", forged.clone()).send().text(), "", "{forged}");
    }
    assert_eq!(
        t.get("/all").field("Cookie", "a=1;b = \"2\"; c=").field("Cookie", "d=4=5").send().text(),
        "a=1|b=2|c=|d=4=5"
    );
    for malformed in ["a", "a=1; b", "=1"] {
        assert_eq!(t.get("/all").field("Cookie", malformed).send().status(), 400, "{malformed}");
    }
    assert_eq!(t.get("/all").field("Cookie", "a=1;".repeat(201)).send().status(), 400);
    let forgotten = t.get("/forget").send().field("Set-Cookie").expect("a cookie");
    assert!(forgotten.starts_with("user=;") && forgotten.contains("Max-Age=0"), "{forgotten}");
}
