//! The pages of a host for errors: files of its mounts, by the paths that requests have for them.

use super::remarks::Remark;
use lws_config::{ErrorCodes, Mount, Vhost};
use lws_server::files::{ErrorDocuments, Files};
use lws_server::http::Status;
use std::io;

/// What a host sends with its errors.
#[derive(Default)]
pub(super) struct Documents {
    documents: Option<ErrorDocuments>,
    /// Why others that it names are not sent.
    missing: Vec<Remark>,
}

impl Documents {
    /// Reads the pages of a host, of mounts and files that `find` gives for a path. One that cannot be read is left out: a page that
    /// is missing is no reason to serve nothing.
    pub(super) fn read<'a>(vhost: &Vhost, find: impl Fn(&str) -> Option<(&'a Mount, Files)>) -> Self {
        let mut read = Self::default();
        for (key, codes, page) in pages(vhost) {
            let documents = read.documents.clone().unwrap_or_default();
            let added = match find(page) {
                Some((mount, files)) => add(documents, codes, &files, below(page, mount)),
                None => Err(io::Error::other("it is below no mount of files")),
            };
            match added {
                Ok(documents) => read.documents = Some(documents),
                Err(error) => {
                    let message = format!("{key}: the page {page} is not sent: {error}");
                    read.missing.push(Remark::error(&vhost.location, message));
                }
            }
        }
        read
    }

    pub(super) fn documents(&self) -> Option<&ErrorDocuments> {
        self.documents.as_ref()
    }

    /// Which pages are not sent, and why.
    pub(super) fn missing(&self) -> &[Remark] {
        &self.missing
    }
}

/// The pages that a host names, with the keys that name them.
fn pages(vhost: &Vhost) -> impl Iterator<Item = (&'static str, ErrorCodes, &str)> {
    let not_found = vhost.not_found_page.as_deref();
    let not_found = not_found.map(|page| ("error-document-404", ErrorCodes::One(404), page));
    let others = vhost.error_pages.iter().map(|(codes, page)| ("error-documents", *codes, page.as_str()));
    not_found.into_iter().chain(others)
}

fn add(
    documents: ErrorDocuments,
    codes: ErrorCodes,
    files: &Files,
    name: &str,
) -> io::Result<ErrorDocuments> {
    match codes {
        ErrorCodes::One(code) => match Status::new(code) {
            Some(status) => documents.status(status, files, name),
            None => Err(io::Error::other(format!("{code} is no status code"))),
        },
        ErrorCodes::ClientErrors => documents.client_errors(files, name),
        ErrorCodes::ServerErrors => documents.server_errors(files, name),
    }
}

/// The rest of a path behind that of the mount that it is below.
fn below<'p>(path: &'p str, mount: &Mount) -> &'p str {
    path.strip_prefix(mount.path.trim_end_matches('/')).unwrap_or(path).trim_start_matches('/')
}
