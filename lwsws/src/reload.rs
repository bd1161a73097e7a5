//! What SIGHUP does: the configuration is read again, or only the certificates where there is none.

use crate::certificate;
use crate::configuration::Reloader;
use crate::log::Log;
use lws_server::tls;
use std::io;

/// What there is to be read again.
pub(crate) enum Reload {
    Configuration(Box<Reloader>),
    Certificates(tls::Server),
    /// Neither: who asks is answered all the same.
    Nothing,
}

impl Reload {
    /// Reads it, and says in the log what was done, or in one line of standard error why nothing was. Answers how things stand, in a
    /// few words.
    ///
    /// # Errors
    /// Nothing has changed, for the reason that is answered.
    pub(crate) fn run(&mut self, log: Option<&Log>) -> Result<String, String> {
        let say = |line: String| log.iter().for_each(|log| log.line(line.clone()));
        let result = match self {
            Self::Configuration(reloader) => reloader.reload().map(|done| {
                let hosts = reloader.hosts();
                say(format!("lwsws: the configuration was read again: {hosts}"));
                done.into_iter().for_each(|line| say(format!("lwsws: {line}")));
                reloader.tls().for_each(certificate::complain_of_times);
                reloader.keep_certificates(log);
                format!("{hosts}, reloaded")
            }),
            Self::Certificates(tls) => tls.reload().map_err(io::Error::other).map(|()| {
                say("certificates were read again".into());
                certificate::complain_of_times(tls);
                "certificates reloaded".into()
            }),
            Self::Nothing => {
                Ok("there is nothing to read again: neither a configuration nor certificates".into())
            }
        };
        result.map_err(|error| {
            let failed = match self {
                Self::Configuration(_) => {
                    format!("nothing was reloaded, and everything goes on as it was: {error}")
                }
                Self::Certificates(_) | Self::Nothing => {
                    format!("the certificates stay as they are: {error}")
                }
            };
            eprintln!("lwsws: {failed}");
            // In the background there is no standard error.
            say(format!("lwsws: {failed}").replace('\n', " "));
            failed
        })
    }
}
