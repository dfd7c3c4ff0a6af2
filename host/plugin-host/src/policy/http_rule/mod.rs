//! Rules that say which HTTP requests a plugin may send: `[METHOD[,METHOD]] scheme://host[:port][/path-prefix]`.
//!
//! A rule is a set of requests, and everything here is a question about such sets: is a request in it, what do two have in common,
//! does one hold all of another. Which addresses a host may have is not asked here: that is for [`egress`](super::egress).
//!
//! The path is limited as defence in depth, not as a boundary: which file or function a server finds behind a path is the server's
//! own affair, and no rule knows its rewrites. The host, the port and the scheme are boundaries.

mod parse;
mod path;
mod template;

pub use parse::AnyHost;
pub use path::{AmbiguousPath, PathPrefix};
pub use template::{HttpTemplate, TemplateError};

use super::host::{Host, Scheme};
use std::fmt;

/// A set of HTTP requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpRule {
    methods: Methods,
    scheme: Scheme,
    host: HostPattern,
    port: u16,
    path: Option<PathPrefix>,
}

/// Which methods; sorted, each once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Methods {
    Any,
    Of(Vec<String>),
}

/// Which hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Every host there is.
    Any,
    /// Every host whose name ends with a dot and this name.
    Under(String),
    /// This host.
    Only(Host),
}

/// What a rule looks at in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Its method, in the case in which it is sent.
    pub method: &'a str,
    /// With or without TLS.
    pub scheme: Scheme,
    /// The host.
    pub host: &'a Host,
    /// The port.
    pub port: u16,
    /// The path as it is sent, without the query.
    pub path: &'a str,
}

/// Why no rule lets a request pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMatch {
    /// No rule names the scheme, the host and the port.
    #[error("no rule names its origin")]
    Origin,
    /// Rules name the origin, but not with this method.
    #[error("no rule for its origin has its method")]
    Method,
    /// Rules name the origin and the method, but not this path.
    #[error("no rule for its origin and method has its path")]
    Path,
    /// The path may mean something else to the server than to a rule.
    #[error(transparent)]
    Ambiguous(AmbiguousPath),
}

impl HttpRule {
    /// Whether the request is in the set.
    ///
    /// # Errors
    ///
    /// Says what keeps it out.
    pub fn matches(&self, request: &Request<'_>) -> Result<(), NoMatch> {
        if self.scheme != request.scheme
            || self.port != request.port
            || !self.host.matches(request.host)
        {
            return Err(NoMatch::Origin);
        }
        if !self.methods.contains(request.method) {
            return Err(NoMatch::Method);
        }
        match &self.path {
            None => Ok(()),
            Some(prefix) => match prefix.matches(request.path) {
                Ok(true) => Ok(()),
                Ok(false) => Err(NoMatch::Path),
                Err(ambiguous) => Err(NoMatch::Ambiguous(ambiguous)),
            },
        }
    }

    /// The requests that are in both sets; nothing if none is.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.scheme != other.scheme || self.port != other.port {
            return None;
        }
        let path = match (&self.path, &other.path) {
            (None, path) | (path, None) => path.clone(),
            (Some(one), Some(two)) if one.covers(two) => Some(two.clone()),
            (Some(one), Some(two)) if two.covers(one) => Some(one.clone()),
            (Some(_), Some(_)) => return None,
        };
        Some(Self {
            methods: self.methods.intersection(&other.methods)?,
            scheme: self.scheme,
            host: self.host.intersection(&other.host)?.clone(),
            port: self.port,
            path,
        })
    }

    /// Whether every request of `other` is in this set.
    pub fn covers(&self, other: &Self) -> bool {
        self.intersection(other).as_ref() == Some(other)
    }

    /// Whether it names no host, and so reaches everybody.
    pub fn is_any_host(&self) -> bool {
        self.host == HostPattern::Any
    }

    /// With or without TLS.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Which hosts it names.
    pub fn host(&self) -> &HostPattern {
        &self.host
    }
}

/// What is both in one of `these` and in one of `those`, without repetition.
pub fn intersection(these: &[HttpRule], those: &[HttpRule]) -> Vec<HttpRule> {
    let mut common: Vec<HttpRule> = Vec::new();
    for rule in these
        .iter()
        .flat_map(|one| those.iter().filter_map(|two| one.intersection(two)))
    {
        if common.iter().any(|known| known.covers(&rule)) {
            continue;
        }
        common.retain(|known| !rule.covers(known));
        common.push(rule);
    }
    common
}

/// Whether a request is in one of the sets.
///
/// # Errors
///
/// Says what came nearest: whoever has a rule for the origin wants to hear of the method.
pub fn matches(rules: &[HttpRule], request: &Request<'_>) -> Result<(), NoMatch> {
    let mut nearest = NoMatch::Origin;
    for rule in rules {
        let Err(why) = rule.matches(request) else {
            return Ok(());
        };
        if why.nearness() > nearest.nearness() {
            nearest = why;
        }
    }
    Err(nearest)
}

impl NoMatch {
    fn nearness(self) -> u8 {
        match self {
            Self::Origin => 0,
            Self::Method => 1,
            Self::Path => 2,
            Self::Ambiguous(_) => 3,
        }
    }
}

impl Methods {
    fn contains(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(methods) => methods.iter().any(|known| known == method),
        }
    }

    fn intersection(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, methods) | (methods, Self::Any) => Some(methods.clone()),
            (Self::Of(one), Self::Of(two)) => {
                let common: Vec<String> = one.iter().filter(|m| two.contains(m)).cloned().collect();
                (!common.is_empty()).then_some(Self::Of(common))
            }
        }
    }
}

impl HostPattern {
    /// Whether the host is meant.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Only(only), host) => only == host,
            (Self::Under(suffix), Host::Name(name)) => is_under(name, suffix),
            (Self::Under(_), Host::V4(_) | Host::V6(_)) => false,
        }
    }

    fn intersection<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        match (self, other) {
            (Self::Any, pattern) | (pattern, Self::Any) => Some(pattern),
            (Self::Only(host), pattern) if pattern.matches(host) => Some(self),
            (pattern, Self::Only(host)) if pattern.matches(host) => Some(other),
            (Self::Only(_), _) | (_, Self::Only(_)) => None,
            (Self::Under(one), Self::Under(two)) if one == two || is_under(one, two) => Some(self),
            (Self::Under(one), Self::Under(two)) if is_under(two, one) => Some(other),
            (Self::Under(_), Self::Under(_)) => None,
        }
    }
}

fn is_under(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .is_some_and(|before| before.len() > 1 && before.ends_with('.'))
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Methods::Of(methods) = &self.methods {
            write!(f, "{} ", methods.join(","))?;
        }
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        self.path.as_ref().map_or(Ok(()), |path| path.fmt(f))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Under(suffix) => write!(f, "*.{suffix}"),
            Self::Only(host) => host.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
