//! Commands as octets: arrays of bulk strings.

use bytes::{BufMut, BytesMut};

/// Writes one command.
pub(super) fn write(output: &mut BytesMut, words: &[&[u8]]) {
    let bytes: usize = words.iter().map(|word| word.len() + 16).sum();
    output.reserve(bytes + 16);
    number(output, b'*', words.len());
    for word in words {
        number(output, b'$', word.len());
        output.put_slice(word);
        output.put_slice(b"\r\n");
    }
}

/// Writes the command that begins a connection: RESP3, and who we are.
pub(super) fn hello(output: &mut BytesMut, user: Option<&str>, password: Option<&str>, client_name: &str) {
    let mut words: Vec<&[u8]> = vec![b"HELLO", b"3"];
    if user.is_some() || password.is_some() {
        let (user, password) = (user.unwrap_or("default"), password.unwrap_or_default());
        words.extend([&b"AUTH"[..], user.as_bytes(), password.as_bytes()]);
    }
    if !client_name.is_empty() {
        words.extend([&b"SETNAME"[..], client_name.as_bytes()]);
    }
    write(output, &words);
}

fn number(output: &mut BytesMut, kind: u8, number: usize) {
    output.put_u8(kind);
    output.put_slice(number.to_string().as_bytes());
    output.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut output = BytesMut::new();
        write(&mut output, &[b"PUBLISH", b"", b"a\r\nb"]);
        assert_eq!(&output[..], b"*3\r\n$7\r\nPUBLISH\r\n$0\r\n\r\n$4\r\na\r\nb\r\n");
    }
}
