use super::*;
use alloc::format;
use alloc::string::ToString;

/// A header of version 2.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let len = u16::try_from(block.len()).expect("a short block").to_be_bytes();
    [&V2_BEGINNING[..], &[command, family], &len, block].concat()
}

/// Reads a header as a socket would be read: never more than belongs to it for certain.
fn read(connection: &[u8]) -> Result<(Option<Addresses>, usize), Malformed> {
    let mut held = 0;
    loop {
        match parse(&connection[..held])? {
            Parsed::Header(header) => return Ok((header.addresses, header.len)),
            Parsed::Incomplete(least) => {
                assert!(least > 0);
                held += least;
                assert!(held <= connection.len(), "more is read than there is");
            }
        }
    }
}

/// A header is the same whole, cut anywhere, and with content behind it, of which nothing is read.
fn check(header: &[u8], expected: Option<(&str, &str)>) {
    let expected = expected.map(|(source, destination)| Addresses {
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
    });
    for cut in 0..header.len() {
        match parse(&header[..cut]) {
            Ok(Parsed::Incomplete(least)) => {
                assert!((1..=header.len() - cut).contains(&least), "{cut}: {least}")
            }
            other => panic!("{cut} bytes: {other:?}"),
        }
    }
    let connection = [header, b"GET / HTTP/1.1\r\n\r\n"].concat();
    let Ok(Parsed::Header(parsed)) = parse(&connection) else { panic!("{:?}", parse(&connection)) };
    assert_eq!((parsed.addresses, parsed.len), (expected, header.len()));
    assert_eq!(read(&connection), Ok((expected, header.len())));
}

#[test]
fn a_line_is_read() {
    check(b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n", Some(("1.2.3.4:9", "5.6.7.8:10")));
    check(b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", Some(("0.0.0.0:0", "0.0.0.0:0")));
    check(
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        Some(("255.255.255.255:65535", "255.255.255.255:65535")),
    );
    check(b"PROXY TCP6 :: :: 0 0\r\n", Some(("[::]:0", "[::]:0")));
    check(b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n", Some(("[2001:db8::1]:4711", "[::1]:443")));
    check(b"PROXY UNKNOWN\r\n", None);
    check(b"PROXY UNKNOWN whatever there is\r\n", None);
    check(format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 16)).as_bytes(), None);
}

#[test]
fn octets_are_read() {
    let ends = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10];
    check(&v2(0x21, 0x11, &ends), Some(("1.2.3.4:9", "5.6.7.8:10")));
    let mut block = [0; 36];
    (block[15], block[31], block[33], block[35]) = (1, 2, 80, 90);
    check(&v2(0x21, 0x21, &block), Some(("[::1]:80", "[::2]:90")));
    // Datagrams, Unix sockets, nothing in particular, and the proxy itself.
    check(&v2(0x21, 0x12, &ends), None);
    check(&v2(0x21, 0x31, &[0; 216]), None);
    check(&v2(0x21, 0x00, &[]), None);
    check(&v2(0x20, 0x00, &[]), None);
    check(&v2(0x20, 0x11, &[7; 3]), None);
    check(&v2(0x21, 0x00, &[0xee; 0][..]), None);
}

#[test]
fn additions_are_read_and_the_checksum_is_checked() {
    let ends = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10];
    let additions = [&ends[..], &[0x02, 0, 3], b"a.b", &[0xe0, 0, 0]].concat();
    let header = v2(0x21, 0x11, &additions);
    let Ok(Parsed::Header(parsed)) = parse(&header) else { panic!("it is complete") };
    assert_eq!(parsed.additions().collect::<Vec<_>>(), [(0x02, &b"a.b"[..]), (0xe0, b"")]);

    let with_checksum = |checksum: u32| {
        let checksum = checksum.to_be_bytes();
        v2(0x21, 0x11, &[&ends[..], &[CRC32C, 0, 4], &checksum, &[0x02, 0, 1, b'a']].concat())
    };
    // RFC 3720 §B.4 has the checksum of 32 octets of zero.
    assert_eq!(crc32c(&[0; 20], &[0; 8]), 0x8a91_36aa);
    let zeroed = with_checksum(0);
    let (before, behind) = zeroed.split_at(16 + 12 + 3);
    let right = crc32c(before, &behind[4..]);
    check(&with_checksum(right), Some(("1.2.3.4:9", "5.6.7.8:10")));
    assert_eq!(parse(&with_checksum(right ^ 1)), Err(Malformed::Checksum));
}

#[test]
fn what_is_no_header_is_refused() {
    for line in [
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 10 11\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 09 10\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +9 10\r\n",
        "PROXY TCP4 1.2.3.4  5.6.7.8 9 10\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 9 10\r\n",
        "PROXY TCP4 01.2.3.4 5.6.7.8 9 10\r\n",
        "PROXY TCP4 ::1 ::2 9 10\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 9 10\r\n",
        "PROXY TCP5 1.2.3.4 5.6.7.8 9 10\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4 1.2.3.4\r5.6.7.8 9 10\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(Malformed::Line), "{line:?}");
    }
    for (bytes, why) in [
        (b"GET / HTTP/1.1\r\n".to_vec(), Malformed::Signature),
        (b"PROXX".to_vec(), Malformed::Signature),
        (b"\r\n\r\n\0\r\nQUIX".to_vec(), Malformed::Signature),
        (format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 15)).into_bytes(), Malformed::TooLong),
        (v2(0x11, 0x11, &[0; 12]), Malformed::Octets),
        (v2(0x22, 0x11, &[0; 12]), Malformed::Octets),
        (v2(0x21, 0x41, &[0; 12]), Malformed::Octets),
        (v2(0x21, 0x13, &[0; 12]), Malformed::Octets),
        (v2(0x21, 0x11, &[0; 11]), Malformed::Octets),
        (v2(0x21, 0x21, &[0; 35]), Malformed::Octets),
        (v2(0x21, 0x31, &[0; 215]), Malformed::Octets),
        (v2(0x21, 0x11, &[0; 14]), Malformed::Octets),
        (v2(0x21, 0x11, &[0; V2_BYTES_MAX - 15]), Malformed::TooLong),
        (v2(0x21, 0x11, &[&[0; 12][..], &[CRC32C, 0, 3, 0, 0, 0]].concat()), Malformed::Octets),
    ] {
        assert_eq!(parse(&bytes), Err(why), "{bytes:?}");
    }
}

#[test]
fn what_is_written_is_read() {
    for (source, destination, line) in [
        ("1.2.3.4:5", "6.7.8.9:10", "TCP4 1.2.3.4 6.7.8.9 5 10"),
        ("[::1]:5", "[2001:db8::2]:65535", "TCP6 ::1 2001:db8::2 5 65535"),
        ("[::ffff:1.2.3.4]:5", "6.7.8.9:10", "TCP4 1.2.3.4 6.7.8.9 5 10"),
        ("1.2.3.4:5", "[::1]:10", "TCP6 ::ffff:1.2.3.4 ::1 5 10"),
    ] {
        let ends = Addresses {
            source: source.parse().expect(source),
            destination: destination.parse().expect(source),
        };
        let expected = of_one_family(&ends);
        for version in [Version::V1, Version::V2] {
            let mut written = Vec::new();
            write(version, Some(&ends), &mut written);
            assert_eq!(read(&written), Ok((Some(expected), written.len())), "{version:?} {source}");
            if version == Version::V1 {
                assert_eq!(
                    core::str::from_utf8(&written).map(ToString::to_string),
                    Ok(format!("PROXY {line}\r\n"))
                );
            }
            written.clear();
            write(version, None, &mut written);
            assert_eq!(read(&written), Ok((None, written.len())));
        }
    }
}
