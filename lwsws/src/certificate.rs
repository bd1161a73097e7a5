//! A certificate for trying out: made anew with each start, and trusted by nobody.

use lws_server::tls::Identity;
use rcgen::{CertificateParams, DnType, KeyPair};
use std::io;
use std::net::IpAddr;

/// A certificate for `localhost` and `address`, signed by itself.
pub(crate) fn self_signed(address: IpAddr) -> io::Result<Identity> {
    let names = vec!["localhost".to_owned(), IpAddr::from([127, 0, 0, 1]).to_string(), address.to_string()];
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, "lwsws self-signed");
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok(Identity::pem(certificate.pem(), key.serialize_pem()))
}
