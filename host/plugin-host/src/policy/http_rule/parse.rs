//! From the text of a rule to the set that it means, with the place of what is wrong.

use super::{HostPattern, HttpRule, Methods, PathPrefix};
use crate::policy::{
    fault::{Fault, shown},
    host::{Host, Scheme, parse_port, split_port},
};
use piper_core::{codes, suggest};
use std::ops::Range;

/// Whether somebody said that a rule without a host is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyHost {
    /// `*` is refused.
    Refused,
    /// `*` is what is meant: `--i-know`, or a declaration, which gives nothing.
    Acknowledged,
}

/// What most rules have, for suggestions.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

const FORM: &str = "a rule is `[METHOD[,METHOD]] scheme://host[:port][/path-prefix]`, for instance `POST https://example.com/hooks`";

impl HttpRule {
    /// Reads a rule.
    ///
    /// # Errors
    ///
    /// When it is not of the form, or allows more than anybody can mean.
    pub fn parse(text: &str, any_host: AnyHost) -> Result<Self, Fault> {
        Reader { text, any_host }.rule()
    }
}

/// A rule's text; all places are in it.
struct Reader<'a> {
    text: &'a str,
    any_host: AnyHost,
}

impl<'a> Reader<'a> {
    fn rule(&self) -> Result<HttpRule, Fault> {
        let (methods, url) = match self.text.split_once(' ') {
            Some((methods, url)) if !methods.contains("://") => (self.methods(methods)?, url),
            _ => (Methods::Any, self.text),
        };
        if let Some(at) = url.find(|c: char| c.is_whitespace() || c.is_control()) {
            let at = self.place(url).start + at;
            let next = self.text.ceil_char_boundary(at + 1);
            return Err(self.bad("a rule has one space, behind its methods", at..next, "here"));
        }
        let (scheme, rest) = self.scheme(url)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if let Some((user, _)) = authority.rsplit_once('@') {
            return Err(self
                .bad(
                    "a rule names no user",
                    self.place(user),
                    "a user or a password",
                )
                .help("a plugin sends credentials as a secret: `[[permission.secret]]`"));
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None => scheme.default_port(),
            Some(port) => parse_port(port).ok_or_else(|| {
                self.bad(
                    format!("{} is not a port", shown(port)),
                    self.place(port),
                    "a number from 1 to 65535",
                )
            })?,
        };
        Ok(HttpRule {
            methods,
            scheme,
            host: self.host(host)?,
            port,
            path: self.path(path)?,
        })
    }

    fn methods(&self, list: &str) -> Result<Methods, Fault> {
        let mut methods = Vec::new();
        for method in list.split(',') {
            let upper = method.to_ascii_uppercase();
            if method == "CONNECT" {
                return Err(self
                    .bad(
                        "no plugin may open a tunnel",
                        self.place(method),
                        "not allowed",
                    )
                    .help("the host uses its own proxy by itself"));
            }
            let token = |text: &str| {
                !text.is_empty() && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'-' | b'_'))
            };
            if !token(method) {
                let fault = self.bad(
                    format!("{} is not a method", shown(method)),
                    self.place(method),
                    "capital letters",
                );
                return Err(match token(&upper) {
                    true => fault.help(format!("did you mean `{upper}`?")),
                    false => fault.help(FORM),
                });
            }
            // Methods of extensions are not refused, slips of the hand are.
            if !METHODS.contains(&method)
                && let Some(near) = suggest::closest(method, METHODS)
            {
                return Err(self
                    .bad(
                        format!("{} is not a method", shown(method)),
                        self.place(method),
                        format!("did you mean `{near}`?"),
                    )
                    .help(format!("methods: {}", METHODS.join(", "))));
            }
            methods.push(method.to_owned());
        }
        methods.sort();
        methods.dedup();
        Ok(Methods::Of(methods))
    }

    fn scheme(&self, url: &'a str) -> Result<(Scheme, &'a str), Fault> {
        let Some((scheme, rest)) = url.split_once("://") else {
            let fault = self.bad(
                format!("{} has no scheme", shown(url)),
                self.place(url),
                "neither `http://` nor `https://`",
            );
            return Err(match url {
                "*" => fault.help("every host is `https://*`"),
                _ if url.contains('.') && !url.starts_with('/') => {
                    fault.help(format!("did you mean `https://{url}`?"))
                }
                _ => fault.help(FORM),
            });
        };
        match Scheme::parse(scheme) {
            Some(known) => Ok((known, rest)),
            None => Err(self
                .bad(
                    format!("{} is not a scheme", shown(scheme)),
                    self.place(scheme),
                    "`http` or `https`",
                )
                .help(FORM)),
        }
    }

    fn host(&self, host: &str) -> Result<HostPattern, Fault> {
        if host == "*" {
            return match self.any_host {
                AnyHost::Acknowledged => Ok(HostPattern::Any),
                AnyHost::Refused => Err(Fault::new(
                    codes::RULE_TOO_WIDE,
                    "`*` lets the plugin send anything to anybody",
                    self.place(host),
                    "every host there is",
                )
                .help("name the hosts; if it must be, say `--i-know` to `piper plugin grant`, which writes `allow.any-host = true` beside the rule")),
            };
        }
        if let Some(suffix) = host.strip_prefix("*.") {
            return self.under(suffix);
        }
        match Host::parse(host) {
            Ok(host) => Ok(HostPattern::Only(host)),
            Err(_) if host.is_empty() => {
                let at = self.place(host);
                Err(self
                    .bad("a rule without a host", at, "a host belongs here")
                    .help(FORM))
            }
            Err(_) if host.contains('*') => Err(self
                .bad(
                    format!("{} is not a pattern of hosts", shown(host)),
                    self.place(host),
                    "`*` stands alone or as `*.` at the beginning",
                )
                .help("`*.example.com` means every host below `example.com`")),
            Err(_) => Err(self
                .bad(
                    format!("{} is not a host", shown(host)),
                    self.place(host),
                    "not a host",
                )
                .help("a host is a name, an IPv4 address or an IPv6 address in brackets")),
        }
    }

    fn under(&self, suffix: &str) -> Result<HostPattern, Fault> {
        let Ok(Host::Name(name)) = Host::parse(suffix) else {
            return Err(self
                .bad(
                    format!("`*.` stands before a name, not before {}", shown(suffix)),
                    self.place(suffix),
                    "not a name",
                )
                .help("a network of addresses cannot be named here; list the addresses"));
        };
        // Also true of a name that is not in the list and has no dot: nobody says who may register below it.
        if psl::suffix_str(&name).is_none_or(|public| public == name) {
            return Err(Fault::new(
                codes::RULE_TOO_WIDE,
                format!("anybody can register a host below `{name}`"),
                self.place(suffix),
                "a public suffix",
            )
            .help(format!(
                "name the owner too, as in `*.example.{name}`, or list the hosts"
            )));
        }
        Ok(HostPattern::Under(name))
    }

    fn path(&self, path: &str) -> Result<Option<PathPrefix>, Fault> {
        if let Some(at) = path.find(['?', '#']) {
            let what = match &path[at..=at] {
                "?" => "a query",
                _ => "a fragment",
            };
            return Err(self
                .bad(
                    format!("a rule has no {}", &what[2..]),
                    self.place(&path[at..]),
                    what,
                )
                .help("leave it out: the path limits the request, whatever its query"));
        }
        if path.is_empty() {
            return Ok(None);
        }
        let ends = path.bytes().any(|byte| byte == b'*');
        if ends {
            return Err(self
                .bad(
                    "a path has no patterns",
                    self.place(path),
                    "`*` stands for itself nowhere",
                )
                .help("a path is a prefix by itself: whatever follows it is allowed too"));
        }
        PathPrefix::parse(path).map_err(|error| {
            let message = error.to_string();
            let what = message.trim_start_matches("its path ");
            self.bad(
                format!(
                    "the path of a rule {}",
                    what.replacen("has", "cannot have", 1)
                ),
                self.place(path),
                "means different things to different servers",
            )
        })
    }

    fn bad(&self, message: impl Into<String>, at: Range<usize>, label: impl Into<String>) -> Fault {
        Fault::new(codes::BAD_HTTP_RULE, message, at, label)
    }

    /// Where a part of the text stands.
    fn place(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr().addr() - self.text.as_ptr().addr();
        start..start + part.len()
    }
}
