//! The name of a process in its mesh: that of its socket.

use std::fmt;

/// Octets of a name, at most. With a folder before it, it has to fit into the 108 octets of a Unix socket's address.
const NAME_BYTES_MAX: usize = 48;
/// How a name ends, so that other files of the folder are left alone.
const SUFFIX: &str = ".sock";

/// The name of the socket that a process listens on, in the folder of its mesh: letters, digits, `-` and `_`, and `.sock` at its end.
///
/// Each start of a process has a name of its own, with a random number in it: a socket without a listener is then one that no process will
/// ever listen on again, and is removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketName(
    /// Invariant: as above, so that it leads to no other folder.
    Box<str>,
);

/// No socket of a mesh has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASocketName;

impl SocketName {
    /// The name of a process with this number of the system and a random number: `4711-0123456789abcdef.sock`.
    #[must_use]
    pub fn of_process(id: u32, random: u64) -> Self {
        Self(format!("{id}-{random:016x}{SUFFIX}").into())
    }

    /// Checks the name of a file.
    ///
    /// # Errors
    /// It is that of no socket of a mesh.
    pub fn parse(name: &str) -> Result<Self, NotASocketName> {
        let stem = name.strip_suffix(SUFFIX).ok_or(NotASocketName)?;
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let valid = name.len() <= NAME_BYTES_MAX && !stem.is_empty() && stem.bytes().all(allowed);
        if valid { Ok(Self(name.into())) } else { Err(NotASocketName) }
    }

    /// The name of the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NotASocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a socket of a mesh is called with up to {NAME_BYTES_MAX} letters, digits, `-` and `_`, and `{SUFFIX}` at the end"
        )
    }
}

impl std::error::Error for NotASocketName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_other_folder() {
        let longest = format!("{}.sock", "a".repeat(43));
        for good in ["a.sock", "4711-0123456789abcdef.sock", "A_b.sock", &longest] {
            assert_eq!(SocketName::parse(good).map(|name| name.to_string()), Ok(good.to_owned()));
        }
        let longer = format!("a{longest}");
        for bad in [
            "",
            ".sock",
            "a",
            "a.sock.new",
            "../a.sock",
            "a/b.sock",
            "a.b.sock",
            "ä.sock",
            "a .sock",
            "\0.sock",
            &longer,
        ] {
            assert_eq!(SocketName::parse(bad), Err(NotASocketName), "{bad:?}");
        }
        assert_eq!(SocketName::of_process(7, 255).as_str(), "7-00000000000000ff.sock");
        assert!(SocketName::parse(SocketName::of_process(u32::MAX, u64::MAX).as_str()).is_ok());
    }
}
