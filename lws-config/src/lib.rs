//! The configuration files of libwebsockets' server `lwsws`, read as they are: every error of every file at once, each with its
//! file, line, column and JSON pointer.
//!
//! A configuration is a folder with a file `conf` and perhaps files in `conf.d`. Each holds one JSON object with `global` and
//! `vhosts`, comments from `#` to the end of a line, and perhaps a comma behind the last element of an array. Where text is meant,
//! a number or `true` does as well. What is read is plain data ([`Config`]); what to do with it is the caller's.
//!
//! ```
//! use lws_config::{Config, Options, Origin};
//!
//! let text = r#"{   # one site, files only
//!   "vhosts": [ { "name": "localhost", "port": "7681", "mounts": [
//!     { "mountpoint": "/", "origin": "file:///var/www", "defualt": "index.html" },
//!   ] } ]
//! }"#;
//! let (config, report) = Config::from_texts([("conf", text)], &Options::default());
//! assert_eq!(config.vhosts[0].mounts[0].origin, Origin::Files("/var/www".into()));
//! assert_eq!(
//!     report.to_string(),
//!     "conf:3:55 /vhosts/0/mounts/0/defualt: unknown key; did you mean \"default\"?\n"
//! );
//! ```
//!
//! What differs from libwebsockets, on purpose: a file with an error never makes those behind it be passed over, symbolic links in
//! `conf.d` are read, names are ordered by their octets and not by the language of the system, and keys without effect are named.

mod check;
mod diff;
mod files;
mod keys;
mod model;
mod print;
mod report;
mod scalar;
mod schema;
mod source;
mod tree;

pub use diff::{Change, Fate, Plan};
pub use model::{
    AcceptAs, Account, Acme, AcmeChallenge, Cache, Cgi, ClientTls, Config, ErrorCodes, ExternalAccount,
    Global, Listen, LogRules, Mount, Numbers, OptionValue, Origin, Peers, PlainText, Protocol,
    RejectedUserAgent, Secret, Sessions, Tls, Upstream, Vhost,
};
pub use report::{Finding, Location, Report, Severity};
pub use scalar::Options;
pub use schema::schema;

use keys::{read_object, unknown};
use scalar::Reader;
use source::Source;
use std::path::{Path, PathBuf};
use tree::Cursor;

impl Config {
    /// Reads the folder of a configuration.
    ///
    /// What could be understood is returned beside the findings; a program that serves it checks
    /// [`Report::has_errors`] first.
    #[must_use]
    pub fn read(directory: &Path, options: &Options) -> (Self, Report) {
        let mut report = Report::default();
        let texts = files::read(directory, &mut report);
        let config = Self::from_sources(texts, options, &mut report);
        (config, report)
    }

    /// Reads texts as if they were files of these names, in this order.
    #[must_use]
    pub fn from_texts<N: Into<PathBuf>, T: AsRef<str>>(
        texts: impl IntoIterator<Item = (N, T)>,
        options: &Options,
    ) -> (Self, Report) {
        let mut report = Report::default();
        let config = Self::from_sources(texts, options, &mut report);
        (config, report)
    }

    fn from_sources<N: Into<PathBuf>, T: AsRef<str>>(
        texts: impl IntoIterator<Item = (N, T)>,
        options: &Options,
        report: &mut Report,
    ) -> Self {
        let mut config = Self::default();
        for (name, text) in texts {
            let source = Source::new(name, text.as_ref());
            if let Some(root) = tree::parse(&source, report) {
                config.add(&Cursor::root(&source, &root), options, report);
            }
        }
        check::check(&config, report);
        config
    }

    /// What one file says. `global` and `vhosts` may stand in any.
    fn add(&mut self, root: &Cursor<'_>, options: &Options, report: &mut Report) {
        root.each_member(report, |member, report| {
            let reader = &mut Reader { options, report };
            match member.name() {
                "global" => read_object(&mut self.global, member, keys::global::KEYS, reader),
                "vhosts" => keys::vhost::read(&mut self.vhosts, member, reader),
                name => {
                    let message = unknown(name, TOP);
                    report.add(Severity::UnknownKey, Some(member.name_location()), message);
                }
            }
        });
    }
}

/// The keys of a file, for those that are none.
static TOP: &[keys::Key<()>] = &[keys::Key::ignored("global", ""), keys::Key::ignored("vhosts", "")];
