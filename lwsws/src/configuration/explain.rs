//! What would be done with a request, by the configuration alone: nothing is bound, so that it can be asked beside a server that runs.

use super::print;
use super::sites::Prepared;
use lws_config::Config;
use lws_plugin::Registry;
use lws_server::http::Method;
use lws_server::{Address, Builder, Explanation, Limits, ListeningSocket, Server, Site, Time};
use std::collections::BTreeSet;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

/// Prints what would be done with a request for an address, at each listener where it could come in.
pub(super) fn explain(config: Config, registry: Arc<Registry>, uri: &str) -> ExitCode {
    match Prepared::looked_at(config, registry).and_then(|prepared| explanations(&prepared, uri)) {
        Ok(explanations) if explanations.is_empty() => {
            eprintln!(
                "lwsws: {uri}: no listener takes requests for it; http:// or https:// is wanted, and a host"
            );
            ExitCode::FAILURE
        }
        Ok(explanations) => {
            let texts: Vec<_> = explanations.iter().map(|explanation| format!("{explanation}\n")).collect();
            print(&texts.join("\n"))
        }
        Err(error) => {
            eprintln!("lwsws: {error}");
            ExitCode::FAILURE
        }
    }
}

fn explanations(prepared: &Prepared, uri: &str) -> io::Result<Vec<Explanation>> {
    let sites = prepared.sites(&Limits::default());
    let sockets = addresses(&sites).into_iter().map(|address| ListeningSocket::unbound(&address));
    let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
    let server =
        sites.into_iter().fold(Server::builder().listening_sockets(sockets), Builder::site).build()?;
    Ok(server.into_service().with(Time::ZERO, |cx| cx.explain(Method::Get, uri)))
}

/// Where sites listen.
fn addresses(sites: &[Site]) -> Vec<Address> {
    let texts: BTreeSet<&str> =
        sites.iter().flat_map(|site| &site.settings.listen).map(|listen| listen.address.as_str()).collect();
    texts.into_iter().filter_map(|text| text.parse().ok()).collect()
}
