//! The files of a state directory: keys of accounts, and certificates with their keys. Only the server's user may read them, and a
//! file is replaced as a whole or not at all.

use lws_acme::{AccountKey, CertificateId, KeyError};
use lws_config::Acme;
use lws_server::tls::{CertificateSlot, Identity};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes: a chain and a key have a few KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Characters of the name of a file that stand for a URL.
const URL_CHARS_MAX: usize = 120;

/// A certificate that was kept.
pub(super) struct Kept {
    pub(super) slot: CertificateSlot,
    /// Whether it is of the authority and for the domains that are ordered now.
    pub(super) is_as_ordered: bool,
}

/// The certificate that is kept for an order. `None` if there is none yet.
///
/// # Errors
/// There is something that cannot be read, or is no certificate with its key.
pub(super) fn load(acme: &Acme) -> io::Result<Option<Kept>> {
    let Some(text) = read(&acme.certificate_file())? else { return Ok(None) };
    let slot =
        CertificateSlot::new(&Identity::pem(text.as_bytes(), text.as_bytes())).map_err(io::Error::other)?;
    Ok(Some(Kept { slot, is_as_ordered: text.starts_with(&heading(acme)) }))
}

/// The name by which the authority knows the certificate that is kept for an order. `None` if there is none of this order, or if it does
/// not name the key that has signed it.
pub(super) fn kept_id(acme: &Acme) -> Option<CertificateId> {
    let text = read(&acme.certificate_file()).ok()??;
    text.starts_with(&heading(acme)).then(|| CertificateId::of_pem(&text).ok())?
}

/// Keeps a certificate and its key, both as PEM, in one file, so that a reader has what belongs together.
///
/// # Errors
/// It cannot be written. What was kept before still is.
pub(super) fn keep(acme: &Acme, key: &str, chain: &str) -> io::Result<()> {
    write(&acme.certificate_file(), &format!("{}{key}{chain}", heading(acme)))
}

/// Whether a certificate could be kept: none is ordered that could not.
///
/// # Errors
/// It could not.
pub(super) fn check(acme: &Acme) -> io::Result<()> {
    let file = begin(&acme.certificate_file())?;
    fs::remove_file(file.path)
}

/// The key of the account, which is made if there is none.
///
/// # Errors
/// It cannot be read or kept, or is no key.
pub(super) fn account_key(acme: &Acme) -> io::Result<AccountKey> {
    let path = acme.state_directory.join(account_file(&acme.directory));
    let named = |error: KeyError| io::Error::other(format!("{}: {error}", path.display()));
    if let Some(pem) = read(&path)? {
        return AccountKey::from_pem(&pem).map_err(named);
    }
    let key = AccountKey::generate().map_err(named)?;
    write(&path, &key.to_pem())?;
    Ok(key)
}

/// The name of the file of an account at the authority with this directory.
fn account_file(directory: &str) -> String {
    let url = directory.strip_prefix("https://").unwrap_or(directory);
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    format!("account-{}.key", url.chars().take(URL_CHARS_MAX).map(plain).collect::<String>())
}

/// What stands before the sections of PEM, where RFC 7468 §2 allows words: what was ordered.
fn heading(acme: &Acme) -> String {
    format!("Directory: {}\nDomains: {}\n", acme.directory, acme.domains.join(", "))
}

fn read(path: &Path) -> io::Result<Option<String>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(error)),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(named)?;
    Ok(Some(text))
}

/// A file that takes the place of another one when it is whole.
struct Beginning {
    path: PathBuf,
    file: File,
}

fn begin(path: &Path) -> io::Result<Beginning> {
    let named =
        |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let folder = path.parent().unwrap_or(Path::new("."));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| named(folder, error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let path = folder.join(format!(".{name}.new"));
    // One that a killed server has left.
    let _ = fs::remove_file(&path);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(|error| named(&path, error))?;
    Ok(Beginning { path, file })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let Beginning { path: beginning, mut file } = begin(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = written.and_then(|()| fs::rename(&beginning, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&beginning);
        return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
    }
    // The name is there only when its folder is on the disk, too. Not every file system can say so.
    let _ = File::open(path.parent().unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_config::{Config, Options};
    use std::os::unix::fs::PermissionsExt;

    fn acme(folder: &Path, domains: &str) -> Acme {
        let folder = folder.display();
        let text = format!(
            r#"{{ "global": {{ "init-ssl": 1 }}, "vhosts": [ {{ "name": "a.example", "port": 443, "acme": {{ "directory":
            "https://ca.example:14000/dir?x", "state-directory": "{folder}/state", "domains": [{domains}], "terms-agreed": 1 }} }} ] }}"#
        );
        let (config, report) = Config::from_texts([("conf", text)], &Options::default());
        assert!(!report.has_errors(), "{report}");
        config.vhosts[0].acme.clone().expect("an order")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_read_again_and_only_the_server_may_read_it() -> io::Result<()> {
        let folder = std::env::temp_dir().join(format!("lwsws-acme-{}", std::process::id()));
        let acme = acme(&folder, "");
        assert!(load(&acme)?.is_none() && !acme.state_directory.exists());
        check(&acme)?;
        let key = account_key(&acme)?;
        assert_eq!(account_key(&acme)?.to_pem(), key.to_pem());
        let account = acme.state_directory.join("account-ca.example_14000_dir_x.key");
        assert_eq!((mode(&account), mode(&acme.state_directory)), (0o600, 0o700));

        let issued =
            rcgen::generate_simple_self_signed(["a.example".to_owned()]).map_err(io::Error::other)?;
        let (chain, pem) = (issued.cert.pem(), issued.signing_key.serialize_pem());
        // A file that was left by a server that was killed is no obstacle.
        fs::write(acme.state_directory.join(".a.example.pem.new"), "half")?;
        keep(&acme, &pem, &chain)?;
        assert_eq!(mode(&acme.certificate_file()), 0o600);
        assert!(load(&acme)?.is_some_and(|kept| kept.is_as_ordered));
        // Of another order it is presented until there is a better one.
        let other = self::acme(&folder, r#""a.example", "b.example""#);
        assert!(load(&other)?.is_some_and(|kept| !kept.is_as_ordered));
        let names: Vec<_> =
            fs::read_dir(&acme.state_directory)?.map(|entry| entry.map(|it| it.file_name())).collect();
        assert_eq!(names.len(), 2, "{names:?}");

        keep(&acme, "", &chain)?;
        assert!(load(&acme).err().is_some_and(|error| error.to_string().contains("private key")));
        fs::write(&account, "no key")?;
        assert!(
            account_key(&acme).err().is_some_and(|error| error.to_string().contains("account-ca.example"))
        );
        fs::remove_dir_all(&folder)?;
        fs::write(&folder, "a file")?;
        let error = check(&acme).expect_err("no folder").to_string();
        assert!(error.contains("/state: "), "{error}");
        fs::remove_file(&folder)
    }
}
