//! What a client expects before it sends content. RFC 9110 §10.1.1.

use super::*;

/// "A server that receives an Expect field value containing a member other than 100-continue MAY respond with a 417 (Expectation Failed) status
/// code".
#[test]
fn an_unknown_expectation_is_417() {
    for expect in ["x", "100-continue, x", ""] {
        let fields = [h2::POST.as_slice(), &[("expect", expect)]].concat();
        let frames = [h2::headers(1, &fields, false), h2::data(1, "hello world", true), h2::get(3)].concat();
        let reaction = served(frames);
        assert_eq!((reaction.status(1), reaction.status(3)), (Some(417), Some(200)), "{expect:?}");
        assert!(reaction.lives() && reaction.causes().contains(&Cause::Violation(Violation::Expectation)));
    }
}
