//! A self-signed certificate for trying out, made anew with each start; and what is said of one that is not good
//! today.

use lws_server::tls::{Identity, Server};
use rcgen::{CertificateParams, DnType, KeyPair};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

/// A certificate for this machine's own names and for `address`, signed by itself.
pub(crate) fn self_signed(address: IpAddr) -> io::Result<Identity> {
    for_names(names(address))
}

/// A certificate for domains that have none yet, signed by itself.
#[cfg(feature = "acme")]
pub(crate) fn temporary(domains: &[String]) -> io::Result<Identity> {
    for_names(domains.to_vec())
}

fn for_names(names: Vec<String>) -> io::Result<Identity> {
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, "lwsws self-signed");
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok(Identity::pem(certificate.pem(), key.serialize_pem()))
}

/// The names of a certificate for a server on `address`, each once. The address of all interfaces is no name.
fn names(address: IpAddr) -> Vec<String> {
    let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let address = address.to_canonical();
    if !addresses.contains(&address) && !address.is_unspecified() {
        addresses.push(address);
    }
    let addresses = addresses.iter().map(IpAddr::to_string);
    std::iter::once("localhost".to_owned()).chain(addresses).collect()
}

/// Says so if peers will refuse a certificate for its time. It is served all the same.
pub(crate) fn complain_of_times(server: &Server) {
    let now = SystemTime::now();
    for certificate in server.certificates() {
        let subject = &certificate.subject;
        if let Ok(past) = now.duration_since(certificate.not_after)
            && !past.is_zero()
        {
            eprintln!("lwsws: the certificate of {subject} has expired {} ago", days(past));
        } else if let Ok(left) = certificate.not_before.duration_since(now)
            && !left.is_zero()
        {
            eprintln!("lwsws: the certificate of {subject} is not valid yet, but in {}", days(left));
        }
    }
}

fn days(duration: Duration) -> String {
    match duration.as_secs() / 86_400 {
        0 => "less than a day".into(),
        1 => "1 day".into(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_each_address_once() {
        let local = ["localhost", "127.0.0.1", "::1"];
        for address in ["127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"] {
            assert_eq!(names(address.parse().expect("an address")), local, "{address}");
        }
        let named = names(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(named, ["localhost", "127.0.0.1", "::1", "192.0.2.1"]);
    }
}
