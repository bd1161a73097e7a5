//! The first octets of a connection as a header of the PROXY protocol.

use lws_proto::proxy_protocol::{Parsed, V2_BYTES_MAX, Version, parse, write};

/// Octets as a header: no octet of the content behind it is asked for, and what was read is the same when it is written again.
pub fn proxy_lines(input: &[u8]) {
    let whole = parse(input);
    if let Ok(Parsed::Header(header)) = whole {
        assert!(header.len <= input.len() && header.len <= V2_BYTES_MAX);
        for (_, value) in header.additions() {
            assert!(value.len() < header.len);
        }
        for version in [Version::V1, Version::V2] {
            let mut written = Vec::new();
            write(version, header.addresses.as_ref(), &mut written);
            let Ok(Parsed::Header(again)) = parse(&written) else { panic!("what is written is a header") };
            let ends = |ends: Option<lws_proto::proxy_protocol::Addresses>| {
                ends.map(|it| [it.source, it.destination].map(|end| (end.ip().to_canonical(), end.port())))
            };
            assert_eq!((ends(again.addresses), again.len), (ends(header.addresses), written.len()));
        }
    }
    // Read as a socket is: what is asked for belongs to the header.
    let mut held = 0;
    loop {
        match parse(&input[..held]) {
            Ok(Parsed::Incomplete(least)) => {
                assert!(least > 0 && held + least <= V2_BYTES_MAX);
                held += least;
                if held > input.len() {
                    assert!(!matches!(whole, Ok(Parsed::Header(_))), "more is asked for than there is");
                    return;
                }
            }
            Ok(Parsed::Header(header)) => {
                assert_eq!(header.len, held, "octets of the content were read");
                assert_eq!(whole, parse(&input[..held]));
                return;
            }
            Err(malformed) => {
                assert!(whole.is_err(), "{malformed}");
                return;
            }
        }
    }
}
