//! What a script may take.

use std::time::Duration;

/// Limits and deadlines of the scripts behind one endpoint, on each thread of the server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Requests that are with scripts at once: processes of CGI, connections of FastCGI. A further one is answered 503. Default: 32.
    pub running_max: usize,
    /// How long a script may take up to the end of its header; past it the client gets 504. The time stands still while content of the
    /// request is awaited from the client, which has deadlines of its own. Default: 30 s.
    pub head_timeout: Duration,
    /// How long a script may take up to its end. Past it a process is ended, and a response that has begun is cut. The time stands still
    /// as that of [`head_timeout`](Self::head_timeout) does. Default: 60 s.
    pub time_max: Duration,
    /// From SIGTERM to SIGKILL. Default: 2 s.
    pub term_grace: Duration,
    /// How long the output of a process may go on once it has ended, as processes that it has started may hold it open; and how long a
    /// process may go on once its output has ended before its answer counts as whole. Default: 1 s.
    pub exit_grace: Duration,
    /// Octets of the header of an answer; more are answered 502. Default: 16 KiB.
    pub head_bytes_max: usize,
    /// Octets of content of an answer; the response is cut there. Default: none.
    pub output_bytes_max: Option<u64>,
    /// Octets of messages, on standard error, that are logged of one request. What comes behind them is read and dropped, so that the
    /// script goes on. Default: 64 KiB.
    pub message_bytes_max: usize,
    /// Processor time of a process, in whole seconds: `RLIMIT_CPU`, on Linux. Default: none.
    pub processor_time_max: Option<Duration>,
    /// Bytes of address space of a process: `RLIMIT_AS`, on Linux. Default: none.
    pub memory_bytes_max: Option<u64>,
    /// Descriptors of a process: `RLIMIT_NOFILE`, on Linux. Default: none.
    pub descriptors_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running_max: 32,
            head_timeout: Duration::from_secs(30),
            time_max: Duration::from_secs(60),
            term_grace: Duration::from_secs(2),
            exit_grace: Duration::from_secs(1),
            head_bytes_max: 16 << 10,
            output_bytes_max: None,
            message_bytes_max: 64 << 10,
            processor_time_max: None,
            memory_bytes_max: None,
            descriptors_max: None,
        }
    }
}

/// What is done with a request whose content has no length yet, as with the chunked coding. A script expects `CONTENT_LENGTH`, and most
/// take a request without it for one without content. RFC 3875 §4.1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutLength {
    /// Its content is gathered, up to so many bytes, before the script starts; past them it is answered 413.
    Gather(usize),
    /// The script starts without `CONTENT_LENGTH`, and reads up to the end. Git's programs do so.
    Stream,
    /// It is answered 411.
    Refuse,
}

impl Default for WithoutLength {
    /// Gathers 1 MiB.
    fn default() -> Self {
        Self::Gather(1 << 20)
    }
}
