//! Programs of all kinds behind one server: repositories of git at `/git`, a folder of CGI programs at `/cgi-bin`, PHP at `/php`, and the
//! same folder once more by a server of FastCGI at `/wrapped`.
//!
//! `cargo run -p lws-cgi --example gateways -- 127.0.0.1:7681 REPOSITORIES PROGRAMS PHP-SOCKET PHP-FILES WRAP-SOCKET`

use lws_cgi::{Cgi, FastCgi, WithoutLength};
use lws_server::Server;
use std::io;
use std::path::PathBuf;

/// Where git has the program that answers for its repositories.
const GIT: &str = "/usr/lib/git-core/git-http-backend";

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next =
        || arguments.next().ok_or_else(|| io::Error::other("an argument is missing: see the source"));
    let (address, repositories, programs) = (next()?, next()?, PathBuf::from(next()?));
    let (php_socket, php_files, wrap_socket) = (next()?, next()?, next()?);

    let git = Cgi::program(GIT)?
        .variable("GIT_PROJECT_ROOT", repositories)
        .variable("GIT_HTTP_EXPORT_ALL", "1")
        // A client that pushes needs a name; a server for others asks for a password, and says `authenticated`.
        .variable("REMOTE_USER", "anyone")
        // What is pushed may be long, and comes in chunks.
        .without_length(WithoutLength::Stream);
    let php = FastCgi::new(PathBuf::from(php_socket)).scripts(php_files, ".php").keep(2);
    let wrapped = FastCgi::new(PathBuf::from(wrap_socket)).scripts(&programs, ".sh");
    Server::builder()
        .listen(&address)
        .route(git.at("/git"))
        .route(Cgi::folder(programs)?.at("/cgi-bin"))
        .route(php.at("/php"))
        .route(wrapped.at("/wrapped"))
        .build()?
        .run()
}
