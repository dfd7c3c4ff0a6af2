//! The egress gate: what a plugin may send, and to which addresses.
//!
//! Two questions with a name resolution between them, since a name that nobody granted must not even be looked up (a look-up tells
//! the name to strangers): [`admit`] knows the request and the grant, [`Admitted::vet`] the addresses. [`decide`] asks both. Nothing
//! here resolves, connects or sends, and secrets are put in elsewhere ([`secrets`](super::secrets)) after this said yes.
//!
//! Whoever sends must use the rebuilt [`Admitted::uri`] and connect to the vetted addresses only, not resolve again.

use super::{
    command,
    fault::shown,
    host::{Host, Origin, Scheme},
    http_rule::{self, HttpRule, NoMatch},
    network::{Blocked, Network, blocked},
};
use std::{fmt, net::IpAddr};

/// A request as a plugin wants it sent. Nothing of it is believed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, in the case in which it is sent.
    pub method: &'a str,
    /// Where to.
    pub uri: Uri<'a>,
    /// Names and values, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// The parts of a URL as they were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    /// Before `://`.
    pub scheme: &'a str,
    /// The host, perhaps with a port.
    pub authority: &'a str,
    /// What follows, the query included; it may be empty.
    pub path_and_query: &'a str,
}

impl<'a> Uri<'a> {
    /// Parts a URL.
    ///
    /// # Errors
    ///
    /// When it has no scheme, or a fragment, which is never sent.
    pub fn split(url: &'a str) -> Result<Self, Refusal> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Refusal::invalid(
                "uri",
                format!("{} is not a URL", shown(url)),
            ));
        };
        if rest.contains('#') {
            return Err(Refusal::invalid(
                "uri",
                format!("{} has a fragment", shown(url)),
            ));
        }
        let (authority, path_and_query) =
            rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        Ok(Self {
            scheme,
            authority,
            path_and_query,
        })
    }
}

/// What the gate knows of a plugin.
#[derive(Debug, Clone, Copy)]
pub struct EgressGrant<'a> {
    /// The plugin's name in the operator's file.
    pub plugin: &'a str,
    /// What it may send: the effective rules.
    pub http: &'a [HttpRule],
    /// Networks that it may reach although they are not the world's.
    pub private_networks: &'a [Network],
    /// Whether it knows values of secrets, and so may write credentials itself.
    pub reveals_secrets: bool,
}

/// A request that may be sent, if its host has an address that may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The origin: what to resolve, what TLS is made for, what secrets are bound to.
    pub origin: Origin,
    /// The URI to send, rebuilt from what was understood.
    pub uri: String,
}

/// A request that may be sent to these addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// What to send.
    pub request: Admitted,
    /// Where to: not empty, in the order of the resolver, each once.
    pub addresses: Vec<IpAddr>,
}

/// A request that is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the plugin is told that it may do about it.
    pub kind: RefusalKind,
    /// The stable code of the failure.
    pub code: &'static str,
    /// What is wrong, for the operator, in one line.
    pub message: String,
    /// The command that would allow it, if one can.
    pub command: Option<String>,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The policy said no.
    Denied,
    /// It is no request.
    Invalid,
}

/// The host, the port, the method or the path is not granted.
pub const HTTP_HOST: &str = "policy.http-host";
/// The host is granted, but all of its addresses are inside.
pub const HTTP_ADDRESS: &str = "policy.http-address";
/// A header that a plugin does not set.
pub const HTTP_HEADER: &str = "policy.http-header";

impl Refusal {
    fn denied(code: &'static str, message: String, command: Option<String>) -> Self {
        Self {
            kind: RefusalKind::Denied,
            code,
            message,
            command,
        }
    }

    /// `what` is the part of the request that is malformed.
    fn invalid(what: &str, message: String) -> Self {
        let code = match what {
            "uri" => "http.invalid-uri",
            "method" => "http.invalid-method",
            _ => "http.invalid-header",
        };
        Self {
            kind: RefusalKind::Invalid,
            code,
            message,
            command: None,
        }
    }
}

impl fmt::Display for Refusal {
    /// The message, and the command that would allow it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.command {
            // What the manifest does not ask for, no grant gives.
            Some(command) if self.code == HTTP_HOST => {
                write!(
                    f,
                    "; if its manifest asks for that, this allows it: {command}"
                )
            }
            Some(command) => write!(f, "; to allow it: {command}"),
            None => Ok(()),
        }
    }
}

/// Decides on a request whose host has these addresses.
///
/// # Errors
///
/// When it is not sent.
pub fn decide(
    request: &Request<'_>,
    grant: &EgressGrant<'_>,
    resolved: &[IpAddr],
) -> Result<Allowed, Refusal> {
    admit(request, grant)?.vet(grant, resolved)
}

/// Decides on a request by all but its addresses.
///
/// # Errors
///
/// When it is malformed, when no rule names it, or when it has a header that a plugin does not set.
pub fn admit(request: &Request<'_>, grant: &EgressGrant<'_>) -> Result<Admitted, Refusal> {
    check_method(request.method)?;
    let origin = origin(&request.uri)?;
    let (path, query) = path(request.uri.path_and_query)?;
    let matched = http_rule::matches(
        grant.http,
        &http_rule::Request {
            method: request.method,
            scheme: origin.scheme,
            host: &origin.host,
            port: origin.port,
            path,
        },
    );
    if let Err(why) = matched {
        return Err(not_granted(request.method, &origin, why, grant));
    }
    for (name, value) in request.headers {
        check_header(name, value, grant)?;
    }
    let uri = format!("{origin}{path}{query}");
    Ok(Admitted { origin, uri })
}

impl Admitted {
    /// Decides by the addresses of the host. If the host is an address itself, that one counts and no other.
    ///
    /// # Errors
    ///
    /// When none of them may be reached.
    pub fn vet(self, grant: &EgressGrant<'_>, resolved: &[IpAddr]) -> Result<Allowed, Refusal> {
        let own = self.origin.host.address();
        let candidates = own.as_ref().map_or(resolved, std::slice::from_ref);
        let mut addresses = Vec::new();
        let mut refused = None;
        for address in candidates.iter().map(IpAddr::to_canonical) {
            match blocked(address, grant.private_networks) {
                None if !addresses.contains(&address) => addresses.push(address),
                None => {}
                Some(why) => refused = refused.or(Some((address, why))),
            }
        }
        if !addresses.is_empty() {
            return Ok(Allowed {
                request: self,
                addresses,
            });
        }
        Err(match refused {
            Some((address, why)) => out_of_reach(&self.origin, address, why, grant),
            None => Refusal::denied(
                HTTP_ADDRESS,
                format!("`{}` has no address", self.origin.host),
                None,
            ),
        })
    }
}

fn not_granted(method: &str, origin: &Origin, why: NoMatch, grant: &EgressGrant<'_>) -> Refusal {
    let rule = format!("{method} {origin}");
    let message = format!("plugin `{}` may not send `{rule}`: {why}", grant.plugin);
    // A rule without a path would allow more than what was asked for, and a path with two meanings is no rule.
    let command = match why {
        NoMatch::Ambiguous(_) => None,
        NoMatch::Origin | NoMatch::Method | NoMatch::Path => {
            Some(command::grant(grant.plugin, "--http", &rule))
        }
    };
    Refusal::denied(HTTP_HOST, message, command)
}

fn out_of_reach(
    origin: &Origin,
    address: IpAddr,
    why: Blocked,
    grant: &EgressGrant<'_>,
) -> Refusal {
    let message = match origin.host {
        Host::Name(_) => format!(
            "plugin `{}` may not reach `{}` at {address}, which is {why}",
            grant.plugin, origin.host
        ),
        Host::V4(_) | Host::V6(_) => format!(
            "plugin `{}` may not reach {address}, which is {why}",
            grant.plugin
        ),
    };
    let command = why.can_be_allowed().then(|| {
        let network = Network::only(address).to_string();
        command::grant(grant.plugin, "--private-network", &network)
    });
    Refusal::denied(HTTP_ADDRESS, message, command)
}

fn check_method(method: &str) -> Result<(), Refusal> {
    if method.is_empty() || method.len() > 32 || !method.bytes().all(is_token) {
        let message = format!("{} is not a method", shown(method));
        return Err(Refusal::invalid("method", message));
    }
    if method.eq_ignore_ascii_case("CONNECT") {
        let message = "no plugin may open a tunnel".to_owned();
        return Err(Refusal::denied(HTTP_HOST, message, None));
    }
    Ok(())
}

fn origin(uri: &Uri<'_>) -> Result<Origin, Refusal> {
    let Some(scheme) = Scheme::parse(uri.scheme) else {
        let message = format!("{} is neither `http` nor `https`", shown(uri.scheme));
        return Err(Refusal::invalid("uri", message));
    };
    Origin::of(scheme, uri.authority).ok_or_else(|| {
        let message = format!("{} is not a host with a port", shown(uri.authority));
        Refusal::invalid("uri", message)
    })
}

/// Parts the path and the query, which keeps its `?`.
fn path(path_and_query: &str) -> Result<(&str, &str), Refusal> {
    // What browsers encode before they send it. A space or a line end would forge a request line.
    let sendable = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
    if !path_and_query.bytes().all(sendable) {
        let message = format!(
            "{} has characters that must be encoded",
            shown(path_and_query)
        );
        return Err(Refusal::invalid("uri", message));
    }
    let (path, query) =
        path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()));
    match path {
        "" => Ok(("/", query)),
        _ if path.starts_with('/') => Ok((path, query)),
        _ => {
            let message = format!("the path {} does not begin with `/`", shown(path));
            Err(Refusal::invalid("uri", message))
        }
    }
}

/// Headers that belong to the connection, or that say to a server who asks and from where.
const RESERVED_HEADERS: [&str; 14] = [
    "connection",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
];

const RESERVED_PREFIX: &str = "x-forwarded-";

/// Headers whose value is a credential, which a plugin does not know.
const CREDENTIALS: [&str; 2] = ["authorization", "cookie"];

/// Whether plugins may not set this header.
pub fn is_reserved_header(name: &str) -> bool {
    let begins = name
        .get(..RESERVED_PREFIX.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(RESERVED_PREFIX));
    begins
        || RESERVED_HEADERS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
}

fn check_header(name: &str, value: &[u8], grant: &EgressGrant<'_>) -> Result<(), Refusal> {
    if name.is_empty() || !name.bytes().all(is_token) {
        let message = format!("{} is not the name of a header", shown(name));
        return Err(Refusal::invalid("header", message));
    }
    // Control characters end a header to some reader or other; a tab does not.
    if value
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        let message = format!("the value of the header `{name}` has control characters");
        return Err(Refusal::invalid("header", message));
    }
    if is_reserved_header(name) {
        let message = format!("plugin `{}` may not set the header `{name}`", grant.plugin);
        return Err(Refusal::denied(HTTP_HEADER, message, None));
    }
    let is_credential = CREDENTIALS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name));
    if is_credential && !grant.reveals_secrets && !super::secrets::has_placeholder(value) {
        let message = format!(
            "plugin `{}` may not set the header `{name}` to a value that it knows: use a secret's placeholder",
            grant.plugin
        );
        return Err(Refusal::denied(HTTP_HEADER, message, None));
    }
    Ok(())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a server is told of who asks: piper, the plugin, and what the plugin says of itself.
pub fn user_agent(piper: &str, plugin: &str, version: &str, own: Option<&str>) -> String {
    // A parenthesis would end the comment in which the plugin's name stands.
    let plain = |text: &str| {
        text.replace(
            |c: char| !c.is_ascii_alphanumeric() && !"-_.+".contains(c),
            "-",
        )
    };
    let mut agent = format!(
        "piper/{} ({}/{})",
        plain(piper),
        plain(plugin),
        plain(version)
    );
    if let Some(own) = own.map(str::trim).filter(|own| !own.is_empty()) {
        agent.push(' ');
        agent.push_str(own);
    }
    agent
}

#[cfg(test)]
pub(crate) mod tests;
