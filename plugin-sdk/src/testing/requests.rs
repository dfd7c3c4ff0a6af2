//! The fake's side of HTTP: what of a request the host's gate would refuse, and the answer that the test has written down.
//!
//! `tests/requests.json` has cases that this and the host must judge alike.

use super::{
    effects::{BODY, denied},
    placeholders::{Place, has_trace},
    world::{Answer, Request, World},
};
use crate::{
    failure::{Failure, Result},
    host::{RawBody, RawRequest, RawResponse},
};

/// How many bytes the headers of a request may have, names and values.
const HEADERS: usize = 16 << 10;
/// The largest body in which placeholders are replaced.
const FILLED_BODY: usize = 1 << 20;
/// The longest method.
const LONGEST_METHOD: usize = 32;
/// Headers that are the host's, besides all that begin with `x-forwarded-`.
const RESERVED: [&str; 14] = [
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

/// A URL in its parts.
struct Url<'a> {
    origin: &'a str,
    path: &'a str,
    /// With its `?`, or empty.
    query: &'a str,
}

impl World {
    /// Checks a request, keeps it, and answers it.
    pub(super) fn exchange(&mut self, raw: RawRequest) -> Result<RawResponse> {
        let request = self.checked(&raw)?;
        let full = format!("{} {}", request.method, request.url);
        let bare = full.split('?').next().unwrap_or_default().to_owned();
        let key = if self.answers.contains_key(&full) {
            full
        } else {
            bare
        };
        let Some(answers) = self.answers.get_mut(&key) else {
            let known: Vec<_> = self.answers.keys().map(String::as_str).collect();
            return Err(denied(
                "policy.http-host",
                format!("the test has no answer to `{key}`, only to {known:?}; see `Fake::answer`"),
            ));
        };
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().expect("there is always one"),
        };
        self.requests.push(request);
        let Answer {
            status,
            headers,
            mut body,
        } = answer?;
        if let Some(path) = raw.save_to
            && (200..300).contains(&status)
        {
            self.write_file(&path, 0, &std::mem::take(&mut body))?;
        }
        if body.len() > BODY {
            return Err(Failure::permanent(
                "limit.body",
                "the answer has more than 16 MiB; save it to a file",
            ));
        }
        Ok(RawResponse {
            status,
            headers,
            body,
        })
    }

    fn checked(&self, raw: &RawRequest) -> Result<Request> {
        let (body, is_in_memory) = self.body(&raw.body)?;
        check_headers(raw, body.len())?;
        check_method(&raw.method)?;
        let url = url(&raw.url)?;
        for (name, value) in &raw.headers {
            check_header(name, value)?;
        }
        let mut headers = Vec::new();
        for (name, value) in &raw.headers {
            self.has_none("the name of a header", name.as_bytes())?;
            let name = name.to_lowercase();
            let value = self.filled(Place::Header(&name), value, url.origin)?;
            headers.push((name, value));
        }
        self.has_none("the query", url.query.as_bytes())?;
        let path = self.filled(Place::Path, url.path, url.origin)?;
        let body = match is_in_memory {
            true => self.filled_body(&headers, body, url.origin)?,
            // What is in files is looked at by nobody.
            false => body,
        };
        Ok(Request {
            method: raw.method.clone(),
            url: [url.origin, &path, url.query].concat(),
            headers,
            body,
            is_gzip: raw.gzip,
        })
    }

    /// The bytes of a body, and whether they are the plugin's own.
    fn body(&self, raw: &RawBody) -> Result<(Vec<u8>, bool)> {
        let bytes = match raw {
            RawBody::Empty => Vec::new(),
            RawBody::Text(text) => text.clone().into_bytes(),
            RawBody::Bytes(bytes) => bytes.clone(),
            RawBody::File {
                path,
                offset,
                length,
            } => return Ok((self.part(path, *offset, *length)?, false)),
        };
        match bytes.len() > BODY {
            true => Err(Failure::permanent(
                "limit.body",
                "the body has more than 16 MiB; send it from a file",
            )),
            false => Ok((bytes, true)),
        }
    }

    /// A body with the values of its placeholders, which it may have if it is JSON or a form.
    fn filled_body(
        &self,
        headers: &[(String, String)],
        body: Vec<u8>,
        origin: &str,
    ) -> Result<Vec<u8>> {
        if !has_trace(&body) {
            return Ok(body);
        }
        match (body_kind(headers), str::from_utf8(&body)) {
            (Some(place), Ok(text)) if body.len() <= FILLED_BODY => {
                self.filled(place, text, origin).map(String::into_bytes)
            }
            _ => self
                .has_none(
                    "a body that is neither JSON nor a form of at most 1 MiB",
                    &body,
                )
                .map(|()| body),
        }
    }
}

fn check_headers(raw: &RawRequest, body: usize) -> Result<()> {
    let wrong = |message: &str| Err(Failure::invalid("http.invalid-header", message));
    let own = |wanted: &str| {
        let named = raw.headers.iter();
        let named = named.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    match own("content-length")[..] {
        [] => {}
        [length] if length.parse() == Ok(body) && !raw.gzip => {}
        _ => return wrong("`content-length` is not the length of the body; leave it out"),
    }
    if raw.gzip && !own("content-encoding").is_empty() {
        let message = "the body is to be compressed, and is compressed already";
        return Err(Failure::invalid("http.request", message));
    }
    let sizes = raw.headers.iter();
    let size: usize = sizes.map(|(name, value)| name.len() + value.len()).sum();
    match size > HEADERS {
        true => Err(Failure::permanent(
            "limit.headers",
            "the headers of the request have more than 16 KiB",
        )),
        false => Ok(()),
    }
}

fn check_method(method: &str) -> Result<()> {
    if method.is_empty() || method.len() > LONGEST_METHOD || !method.chars().all(is_token) {
        return Err(Failure::invalid(
            "http.invalid-method",
            format_args!("`{method}` is not a method"),
        ));
    }
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(denied(
            "policy.http-host",
            "no plugin may open a tunnel".into(),
        ));
    }
    Ok(())
}

fn url(text: &str) -> Result<Url<'_>> {
    let wrong = |why: &str| {
        let message = format_args!("`{text}` {why}");
        Err(Failure::invalid("http.invalid-uri", message))
    };
    let Some((scheme @ ("http" | "https"), rest)) = text.split_once("://") else {
        return wrong("is no absolute URL of http or https");
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path_and_query) = rest.split_at(end);
    if host.is_empty()
        || host.contains(|c: char| !c.is_ascii_alphanumeric() && !"-._:[]".contains(c))
    {
        return wrong("has no host with a port");
    }
    let is_sendable = |c: char| c.is_ascii_graphic() && !"\"#<>\\^`{|}".contains(c);
    if !path_and_query.chars().all(is_sendable) {
        return wrong("has a fragment, or characters that must be encoded");
    }
    let query = path_and_query.find('?').unwrap_or(path_and_query.len());
    let (path, query) = path_and_query.split_at(query);
    Ok(Url {
        origin: &text[..scheme.len() + "://".len() + host.len()],
        path,
        query,
    })
}

fn check_header(name: &str, value: &str) -> Result<()> {
    let is_forbidden = |c: char| c.is_ascii_control() && c != '\t';
    if name.is_empty() || !name.chars().all(is_token) || value.contains(is_forbidden) {
        return Err(Failure::invalid(
            "http.invalid-header",
            format_args!("`{name}` is no header, or its value has control characters"),
        ));
    }
    let name = name.to_ascii_lowercase();
    if RESERVED.contains(&name.as_str()) || name.starts_with("x-forwarded-") {
        return Err(denied(
            "policy.http-header",
            format!("the header `{name}` is the host's"),
        ));
    }
    if matches!(name.as_str(), "authorization" | "cookie") && !has_trace(value.as_bytes()) {
        return Err(denied(
            "policy.http-header",
            format!("`{name}` takes placeholders of secrets only; see `piper_plugin::secrets`"),
        ));
    }
    Ok(())
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// How a value is written into a body of this type.
fn body_kind(headers: &[(String, String)]) -> Option<Place<'static>> {
    let mut types = headers.iter().filter(|(name, _)| name == "content-type");
    let (Some((_, value)), None) = (types.next(), types.next()) else {
        return None;
    };
    let kind = value.split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-www-form-urlencoded" => Some(Place::Form),
        "application/json" => Some(Place::Json),
        _ if kind.starts_with("application/") && kind.ends_with("+json") => Some(Place::Json),
        _ => None,
    }
}
