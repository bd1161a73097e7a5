//! How the files of a directory or an archive are served: what the command line says of them.

use clap::Args;
use lws_server::Gate;
use lws_server::auth::{Basic, Htpasswd};
use lws_server::files::{CacheControl, CachePolicy, Compression, Files};
use std::io;
use std::path::{Path, PathBuf};

/// What is said of the files.
#[derive(Debug, Args)]
pub(crate) struct FilesArguments {
    /// Serve what is in this zip archive, without unpacking it
    #[arg(long, value_name = "FILE", conflicts_with = "directory")]
    zip: Option<PathBuf>,

    /// List directories that have no index.html
    #[arg(long)]
    listing: bool,

    /// Send index.html to browsers that go to a path where there is no file: for applications with paths of their own
    #[arg(long)]
    spa: bool,

    /// Let in only the users in this file, as htpasswd -B writes it
    #[arg(long, value_name = "FILE")]
    auth: Option<PathBuf>,

    /// Let pages of every origin read the files
    #[arg(long)]
    cors: bool,

    /// How long caches may keep the files: seconds, no-cache, no-store, immutable; or build, which keeps names with a hash in them and has
    /// all others asked for each time
    #[arg(long, value_name = "HOW", value_parser = cache_policy)]
    cache: Option<CachePolicy>,
}

impl FilesArguments {
    /// The files of the directory or the archive; `None` if neither was named.
    ///
    /// # Errors
    /// It cannot be opened, or the archive is refused.
    pub(crate) fn files(&self, directory: Option<&Path>) -> io::Result<Option<Files>> {
        let files = match (&self.zip, directory) {
            (Some(archive), _) => Files::zip(archive)?,
            (None, Some(directory)) => Files::directory(directory)?,
            (None, None) => return Ok(None),
        };
        let mut files = files.listing(self.listing).not_found("404.html").compression(Compression::default());
        if self.spa {
            files = files.fallback("index.html");
        }
        if self.cors {
            // Credentials are never sent to `*`, so that nothing that is somebody's own is given away.
            files = files
                .field("Access-Control-Allow-Origin", "*")
                .field("Cross-Origin-Resource-Policy", "cross-origin");
        }
        if let Some(policy) = self.cache {
            files = files.cache_control(policy);
        }
        Ok(Some(files))
    }

    /// The archive, if one is served.
    pub(crate) fn archive(&self) -> Option<&Path> {
        self.zip.as_deref()
    }

    /// Who is let in, if not everybody. Lines of the file that let no user in are named.
    ///
    /// # Errors
    /// It cannot be read, or no line of it lets a user in.
    pub(crate) fn gate(&self) -> io::Result<Option<Gate>> {
        self.auth.as_deref().map(|path| Ok(passwords(path, "lwsws")?.gate())).transpose()
    }
}

/// The guard of a file of passwords. What is wrong with its lines is written to standard error.
pub(crate) fn passwords(path: &Path, realm: &str) -> io::Result<Basic> {
    let users = Htpasswd::read(path)?;
    for (line, problem) in users.problems() {
        eprintln!("lwsws: {}:{line}: {problem}", path.display());
    }
    if users.is_empty() {
        return Err(io::Error::other(format!("{}: it lets nobody in", path.display())));
    }
    Basic::new(users, realm)
}

fn cache_policy(how: &str) -> Result<CachePolicy, String> {
    Ok(match how {
        "no-cache" => CacheControl::NoCache.into(),
        "no-store" => CacheControl::NoStore.into(),
        "immutable" => CacheControl::Immutable.into(),
        "build" => CachePolicy::of_build(),
        seconds => {
            let seconds = seconds
                .parse()
                .map_err(|_| "neither seconds nor one of no-cache, no-store, immutable, build".to_owned())?;
            CacheControl::MaxAge { seconds, shared: true, revalidate: false }.into()
        }
    })
}
