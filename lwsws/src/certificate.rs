//! A certificate for trying out, made anew with each start and trusted by nobody; and what is said of one that is not good
//! today.

use lws_server::tls::{Identity, Server};
use rcgen::{CertificateParams, DnType, KeyPair};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// A certificate for `localhost` and `address`, signed by itself.
pub(crate) fn self_signed(address: IpAddr) -> io::Result<Identity> {
    let names = vec!["localhost".to_owned(), IpAddr::from([127, 0, 0, 1]).to_string(), address.to_string()];
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, "lwsws self-signed");
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok(Identity::pem(certificate.pem(), key.serialize_pem()))
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
