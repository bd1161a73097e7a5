//! What SIGHUP does: the configuration is read again, or only the certificates where there is none.

use crate::certificate;
use crate::configuration::Reloader;
use crate::log::Log;
use lws_server::tls;

/// What there is to be read again.
pub(crate) enum Reload {
    Configuration(Box<Reloader>),
    Certificates(tls::Server),
}

impl Reload {
    /// Reads it, and says in the log what was done, or in one line of standard error why nothing was.
    pub(crate) fn run(&mut self, log: Option<&Log>) {
        let say = |line: String| log.iter().for_each(|log| log.line(line.clone()));
        match self {
            Self::Configuration(reloader) => match reloader.reload() {
                Ok(done) => {
                    let hosts = reloader.config().vhosts.len();
                    say(format!("lwsws: the configuration was read again: {hosts} virtual hosts"));
                    done.into_iter().for_each(|line| say(format!("lwsws: {line}")));
                    reloader.tls().for_each(certificate::complain_of_times);
                }
                Err(error) => {
                    eprintln!("lwsws: nothing was reloaded, and everything goes on as it was: {error}")
                }
            },
            Self::Certificates(tls) => match tls.reload() {
                Ok(()) => {
                    say("certificates were read again".into());
                    certificate::complain_of_times(tls);
                }
                Err(error) => eprintln!("lwsws: the certificates stay as they are: {error}"),
            },
        }
    }
}
