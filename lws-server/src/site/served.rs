//! A site as it is served: checked, and with its routes in a tree.
//!
//! Knows no listener and no connection.

use crate::http::FieldLine;
use crate::id::{RouteId, SiteId};
use crate::layer::Cors;
use crate::metrics::{SiteCounters, ThreadCounters};
use crate::route::endpoint::Endpoint;
use crate::route::guard::Guards;
use crate::route::methods::Methods;
use crate::route::path_tree::{PathTree, Pattern};
use crate::route::{Route, RouteOptions, Takes};
use crate::site::hosts::HostNames;
use crate::site::origins::OriginGuard;
use crate::site::{Site, SiteSettings, Speaks};
use crate::tls::Plain;
use crate::ws::{Backlog, Deflate};
use lws_proto::http::Head;
use lws_proto::ws::is_opening;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// A site of one thread.
pub(crate) struct ServedSite {
    pub(crate) id: SiteId,
    /// The numbers of its routes, by their indices.
    pub(crate) routes: Arc<[RouteId]>,
    /// What this thread counts of it, and of the sites whose place it has taken.
    pub(crate) counters: ThreadCounters,
    pub(crate) names: HostNames,
    pub(crate) settings: SiteSettings,
    pub(crate) raw: Option<Rc<dyn Endpoint>>,
    paths: PathTree<ServedPath>,
    /// Field lines of the responses to requests that have no route, without TLS and with it.
    fields: [FieldLines; 2],
}

/// What stands at one path.
#[derive(Default)]
pub(crate) struct ServedPath {
    /// What takes opening handshakes.
    pub(crate) upgrade: Option<Served>,
    /// Whether it is for this path alone, as all that stands here says.
    exact: Option<bool>,
    /// What takes requests, by their methods, of which no two are the same.
    pub(crate) requests: Vec<(Methods, Served)>,
}

/// An endpoint, and what holds for the requests that it gets.
pub(crate) struct Served {
    pub(crate) endpoint: Rc<dyn Endpoint>,
    /// Field lines of every response, those of the site and its own: without TLS and with it.
    fields: [FieldLines; 2],
    pub(crate) terms: Terms,
}

/// The options of a route, whatever they came from.
pub(crate) struct Terms {
    pub(crate) content_bytes_max: usize,
    pub(crate) content_bytes_min: Option<usize>,
    pub(crate) keep_half_closed: bool,
    /// Who is asked before the endpoint is.
    pub(crate) guards: Guards,
    backlog: Backlog,
    /// `None` lets pages of every origin ask.
    origins: Option<OriginGuard>,
    /// What a preflight is answered.
    pub(crate) cors: Option<Cors>,
}

/// Bytes of content that are gathered for a plain function, unless its route says otherwise.
const CONTENT_BYTES_MAX: usize = 1 << 20;

/// What libwebsockets sends, without a field that browsers have dropped. RFC 9110 §5.
const BEST_PRACTICES: [(&str, &str); 4] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; img-src 'self' data:; script-src 'self'; font-src 'self'; style-src 'self'; \
         connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "deny"),
    ("Referrer-Policy", "no-referrer"),
];

impl Terms {
    fn new(options: RouteOptions) -> io::Result<Self> {
        let origins = OriginGuard::new(options.origins.as_ref())
            .map_err(|origin| invalid(format!("not an origin: {origin}")))?;
        Ok(Self {
            content_bytes_max: options.content_bytes_max.unwrap_or(CONTENT_BYTES_MAX),
            content_bytes_min: options.content_bytes_min,
            keep_half_closed: options.keep_half_closed.unwrap_or(false),
            guards: Guards::new([options.interceptor.as_ref(), options.authentication.as_ref()]),
            backlog: options.backlog.unwrap_or_default(),
            origins,
            cors: options.cors,
        })
    }
}

/// Field lines, if there are any.
pub(crate) type FieldLines = Option<Rc<[FieldLine]>>;

impl ServedPath {
    /// Who is asked before it is said which methods are there.
    pub(crate) fn guards(&self) -> Option<&Guards> {
        let served = self.requests.first().map(|(_, served)| served).or(self.upgrade.as_ref());
        served.map(|served| &served.terms.guards)
    }
}

impl Served {
    /// Field lines of every response.
    #[inline]
    pub(crate) fn fields(&self, secure: bool) -> FieldLines {
        self.fields[usize::from(secure)].clone()
    }

    /// Whether a request may be answered by an endpoint for requests. One that opens a WebSocket may be passed on as such, whatever its
    /// method. `secure` says whether it came by TLS.
    #[inline]
    pub(crate) fn permits_request(&self, head: &Head<'_>, secure: bool) -> bool {
        self.terms.origins.as_ref().is_none_or(|origins| {
            origins.permits_request(head, secure)
                && (!is_opening(head) || origins.permits_opening(head, secure))
        })
    }

    /// Whether an opening handshake may be accepted.
    #[inline]
    pub(crate) fn permits_opening(&self, head: &Head<'_>, secure: bool) -> bool {
        self.terms.origins.as_ref().is_none_or(|origins| origins.permits_opening(head, secure))
    }
}

impl ServedSite {
    /// Checks a site. It has no number yet. `apart` says that its WebSockets share nothing to compress with those of other threads.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(crate) fn new(site: Site, apart: bool) -> io::Result<Self> {
        let Site { mut settings, routes, raw } = site;
        settings.deflate = settings.deflate.map(|deflate| if apart { deflate.apart() } else { deflate });
        for listen in settings.listen.iter_mut().filter(|listen| listen.speaks == Speaks::Raw) {
            // A refusal needs HTTP, which a raw listener does not speak.
            listen.tls = listen.tls.take().map(|tls| match tls.plain {
                Plain::Serve => tls,
                Plain::Refuse | Plain::Redirect | Plain::Close => tls.plain(Plain::Close),
            });
        }
        settings.limits.validate().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let names = HostNames::new(&settings.names.listed, settings.names.any)
            .map_err(|name| invalid(format!("not a host name: {name}")))?;
        // Wrong defaults are an error whether or not a route needs them.
        Terms::new(settings.route_defaults.clone())?;
        let fields = [fields_of(&settings, false)?, fields_of(&settings, true)?];
        let mut paths = PathTree::default();
        for route in routes {
            add(&mut paths, route, &settings.route_defaults, &fields)?;
        }
        let (id, routes, counters) = (SiteId(0), Arc::default(), Rc::default());
        Ok(Self { id, routes, counters, names, settings, raw, paths, fields })
    }

    /// Gives it its numbers, which are the same on all threads.
    pub(crate) fn numbered(mut self, id: SiteId, routes: Arc<[RouteId]>) -> Self {
        debug_assert_eq!(routes.len(), self.paths.len(), "each route has a number");
        (self.id, self.routes) = (id, routes);
        self
    }

    /// Gives it the counters of its thread.
    pub(crate) fn counted(mut self, counters: Arc<SiteCounters>) -> Self {
        self.counters = Rc::new(counters);
        self
    }

    /// What it is called in metrics and logs: its first name.
    pub(crate) fn label(&self) -> &str {
        self.settings.names.listed.first().map_or(UNNAMED, String::as_str)
    }

    /// The paths of its routes, by their numbers.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|(path, _)| path)
    }

    /// The routes by their numbers, each with the backlog of its WebSockets.
    pub(crate) fn backlogs(&self) -> impl Iterator<Item = (RouteId, Backlog)> {
        let backlog = |path: &ServedPath| path.upgrade.as_ref().map(|served| served.terms.backlog);
        let backlogs = self.paths.iter().map(move |(_, path)| backlog(path).unwrap_or_default());
        self.routes.iter().copied().zip(backlogs)
    }

    /// The route of a path in normal form.
    #[inline]
    pub(crate) fn find(&self, path: &str) -> Option<(RouteId, &Pattern, &ServedPath)> {
        self.at(self.paths.find(path)?)
    }

    /// The route that is written out as a target, of the few that are compared so. The target is a path in normal form then.
    #[inline]
    pub(crate) fn find_whole(&self, target: &[u8]) -> Option<(&str, (RouteId, &Pattern, &ServedPath))> {
        let (path, index) = self.paths.find_whole(target)?;
        Some((path, self.at(index)?))
    }

    #[inline]
    fn at(&self, index: usize) -> Option<(RouteId, &Pattern, &ServedPath)> {
        let (pattern, served) = self.paths.get(index)?;
        Some((*self.routes.get(index)?, pattern, served))
    }

    /// The field lines of the responses to requests that have no route.
    #[inline]
    pub(crate) fn fields(&self, secure: bool) -> FieldLines {
        self.fields[usize::from(secure)].clone()
    }

    /// The compression of its WebSockets.
    pub(crate) fn deflate(&self) -> Option<&Deflate> {
        self.settings.deflate.as_ref()
    }

    /// Whether it listens for raw streams alone, so that no request is for it.
    pub(crate) fn is_raw_only(&self) -> bool {
        let listen = &self.settings.listen;
        self.paths.is_empty() && !listen.is_empty() && listen.iter().all(|it| it.speaks == Speaks::Raw)
    }
}

/// What a site without a name is called.
const UNNAMED: &str = "_";

/// More routes than anybody writes down, and few enough that numbers do not run out.
const ROUTES_MAX: usize = 1 << 20;

fn add(
    paths: &mut PathTree<ServedPath>,
    route: Route,
    defaults: &RouteOptions,
    of_site: &[FieldLines; 2],
) -> io::Result<()> {
    let Route { path, takes, endpoint, exact, options } = route;
    let options = options.or(defaults);
    let own = checked(&options.fields)?;
    let fields = of_site.each_ref().map(|of_site| with_own(of_site, own));
    let mut terms = Terms::new(options)?;
    if endpoint.precedes_guards() {
        terms.guards = Guards::default();
    }
    let served = Served { endpoint, fields, terms };
    if paths.len() >= ROUTES_MAX {
        return Err(invalid(format!("more than {ROUTES_MAX} routes")));
    }
    let place = paths.entry(&path, ServedPath::default);
    let place = place.map_err(|why| invalid(format!("not a route: {path}: {why}")))?;
    if place.exact.is_some_and(|known| known != exact) {
        return Err(invalid(format!("for its path alone, and for what lies below it: {path}")));
    }
    place.exact = Some(exact);
    // Two endpoints for one thing are a mistake: which one should answer?
    let doubled = match takes {
        Takes::Upgrades => place.upgrade.replace(served).is_some(),
        Takes::Requests(methods) => {
            let doubled = place.requests.iter().any(|(known, _)| known.overlap(&methods));
            place.requests.push((methods, served));
            doubled
        }
    };
    if doubled {
        return Err(invalid(format!("served twice: {path}")));
    }
    if exact {
        paths.end_at(&path);
    }
    Ok(())
}

/// The field lines of a site and of one of its routes: of two with one name that of the route.
fn with_own(of_site: &FieldLines, own: &[FieldLine]) -> FieldLines {
    if own.is_empty() {
        return of_site.clone();
    }
    let is_said = |(name, _): &&FieldLine| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let of_site = of_site.iter().flat_map(|fields| fields.iter()).filter(|line| !is_said(line));
    Some(of_site.chain(own).cloned().collect())
}

/// Whether a field line can be written. RFC 9110 §5.
pub(crate) fn can_be_written(name: &str, value: &str) -> bool {
    let marks = b"!#$%&'*+-.^_`|~";
    let is_token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte));
    !name.is_empty() && is_token && !value.chars().any(|char| char.is_control() && char != '\t')
}

/// Field lines that can be written, and that do not frame content.
///
/// # Errors
/// The first one that cannot. Without this every response would become a 500.
fn checked(fields: &[FieldLine]) -> io::Result<&[FieldLine]> {
    let frames = |name: &str| {
        ["content-length", "transfer-encoding", "connection"].iter().any(|it| name.eq_ignore_ascii_case(it))
    };
    match fields.iter().find(|(name, value)| !can_be_written(name, value) || frames(name)) {
        Some((name, value)) => Err(invalid(format!("not a field of every response: {name:?}: {value:?}"))),
        None => Ok(fields),
    }
}

/// The field lines of every response, by TLS or not.
fn fields_of(settings: &SiteSettings, secure: bool) -> io::Result<FieldLines> {
    let mut fields = Vec::new();
    if settings.security_best_practices {
        fields.extend(BEST_PRACTICES.map(|(name, value)| (name.into(), value.into())));
    }
    fields.extend_from_slice(checked(&settings.fields)?);
    // RFC 6797 §7.2: "MUST NOT include the STS header field in HTTP responses conveyed over non-secure transport".
    if let (true, Some(max_age)) = (secure, settings.strict_transport_security) {
        let value = format!("max-age={}; includeSubDomains", max_age.as_secs());
        fields.push(("Strict-Transport-Security".into(), value.into()));
    }
    Ok((!fields.is_empty()).then(|| fields.into()))
}

/// A mistake in a description.
pub(crate) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
