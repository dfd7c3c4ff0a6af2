//! HTTP through the host's egress gate: what the operator granted and nothing else.
//!
//! ```
//! use piper_plugin::{http, testing::Fake};
//! use serde_json::json;
//!
//! # let fake = Fake::new();
//! # fake.answer("POST https://chat.example/hook", 200, "{\"id\": 7}");
//! # fake.secret("token", "hunter2");
//! let answer = http::post("https://chat.example/hook")
//!     .bearer("token")
//!     .json(&json!({"text": "hello"}))
//!     .send()?
//!     .ok()?;
//! let id = answer.json::<serde_json::Value>()?["id"].as_u64();
//! # assert_eq!(id, Some(7));
//! # Ok::<(), piper_plugin::Failure>(())
//! ```
//!
//! Mistakes in a part of a request are kept and answered when it is sent. A status code is never a failure until [`Response::ok`] is asked.
//! Redirects are returned, not followed. Bodies in memory are at most 16 MiB; those in files ([`Request::file`], [`Request::save_to`]) may
//! be of any size and never pass through the plugin.

use crate::{
    encode,
    failure::{Failure, FailureKind, Result},
    host::{self, HttpExchange, RawBody, RawRequest, RawResponse},
    secrets,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::VecDeque, fmt::Write, time::Duration};

/// How much of an answer's body is told in a failure.
const TOLD: usize = 300;

/// Begins a GET request.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// Begins a POST request.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// Begins a PUT request.
pub fn put(url: impl Into<String>) -> Request {
    Request::new("PUT", url)
}

/// Begins a PATCH request.
pub fn patch(url: impl Into<String>) -> Request {
    Request::new("PATCH", url)
}

/// Begins a DELETE request.
pub fn delete(url: impl Into<String>) -> Request {
    Request::new("DELETE", url)
}

/// Sends requests, at most `at_once` of them under way, and returns the answers in the order of the requests.
pub fn send_all(
    requests: impl IntoIterator<Item = Request>,
    at_once: usize,
) -> Vec<Result<Response>> {
    let mut answers = Vec::new();
    let mut under_way = VecDeque::new();
    for request in requests {
        if under_way.len() >= at_once.max(1)
            && let Some(exchange) = under_way.pop_front()
        {
            answers.push(wait(exchange));
        }
        under_way.push_back(request.start());
    }
    answers.extend(under_way.into_iter().map(wait));
    answers
}

fn wait(exchange: Result<Exchange>) -> Result<Response> {
    exchange?.wait()
}

/// A request being put together.
#[derive(Debug, Clone)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    raw: RawRequest,
    mistake: Option<Failure>,
}

impl Request {
    /// Begins a request; the URL is absolute, without user name, password and fragment.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            raw: RawRequest {
                method: method.into(),
                url: url.into(),
                headers: Vec::new(),
                body: RawBody::Empty,
                gzip: false,
                save_to: None,
                timeout: None,
            },
            mistake: None,
        }
    }

    /// Adds a header; a repeated name is sent repeatedly. A plugin's `user-agent` stands behind the host's own.
    ///
    /// The host refuses with `policy.http-header` what is its own (`host`, `connection`, `forwarded` and the like), and `authorization` and
    /// `cookie` with a value that the plugin knows: see [`bearer`](Self::bearer), [`basic`](Self::basic) and [`secrets`].
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.raw.headers.push((name.into(), value.into()));
        self
    }

    /// Adds `name=value` to the URL's query, encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let mark = if self.raw.url.contains('?') { '&' } else { '?' };
        self.raw.url.push(mark);
        self.raw.url.push_str(&encode::percent(name));
        self.raw.url.push('=');
        self.raw.url.push_str(&encode::percent(value));
        self
    }

    /// Authorizes with a secret as a bearer token.
    pub fn bearer(self, secret: &str) -> Self {
        match secrets::placeholder(secret) {
            Ok(placeholder) => self.header("authorization", format!("Bearer {placeholder}")),
            Err(failure) => self.refuse(failure),
        }
    }

    /// Authorizes with a name and a secret as the password.
    pub fn basic(self, user: &str, password: &str) -> Self {
        match secrets::basic(user, password) {
            Ok(value) => self.header("authorization", value),
            Err(failure) => self.refuse(failure),
        }
    }

    /// A value as JSON as the body, with its content type.
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => self.header("content-type", "application/json").text(text),
            Err(error) => self.refuse(error.into()),
        }
    }

    /// Names and values as the body, as a browser sends a form.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in fields {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(&encode::percent(name));
            text.push('=');
            text.push_str(&encode::percent(value));
        }
        self.header("content-type", "application/x-www-form-urlencoded")
            .text(text)
    }

    /// A text as the body.
    pub fn text(self, body: impl Into<String>) -> Self {
        self.body(RawBody::Text(body.into()))
    }

    /// Bytes as the body.
    pub fn bytes(self, body: impl Into<Vec<u8>>) -> Self {
        self.body(RawBody::Bytes(body.into()))
    }

    /// A file as the body. Needs a grant to read files.
    pub fn file(self, path: impl Into<String>) -> Self {
        self.body(RawBody::File {
            path: path.into(),
            offset: 0,
            length: None,
        })
    }

    /// A part of a file as the body.
    pub fn file_part(self, path: impl Into<String>, offset: u64, length: u64) -> Self {
        self.body(RawBody::File {
            path: path.into(),
            offset,
            length: Some(length),
        })
    }

    fn body(mut self, body: RawBody) -> Self {
        if !matches!(self.raw.body, RawBody::Empty) {
            return self.refuse(Failure::invalid(
                "http.request",
                "the request has two bodies",
            ));
        }
        self.raw.body = body;
        self
    }

    /// Lets the host compress the body.
    pub fn gzip(mut self) -> Self {
        self.raw.gzip = true;
        self
    }

    /// A good answer's body goes into this file. Needs a grant to write files.
    pub fn save_to(mut self, path: impl Into<String>) -> Self {
        self.raw.save_to = Some(path.into());
        self
    }

    /// An end to the whole exchange; never later than the grant's own limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.raw.timeout = Some(timeout);
        self
    }

    /// The first mistake is the one that is told.
    fn refuse(mut self, failure: Failure) -> Self {
        self.mistake.get_or_insert(failure);
        self
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Errors
    ///
    /// When a part of it is wrong (`http.request`, `http.invalid-uri` and the like), it is not granted (`policy.http-host`,
    /// `policy.secret-use` and the like), or there is no answer (`http.connect`, `http.timeout` and the like).
    pub fn send(self) -> Result<Response> {
        let place = self.place();
        match self.mistake {
            Some(failure) => Err(failure),
            None => Ok(Response::new(place, host::http_send(self.raw)?)),
        }
    }

    /// Sends it without waiting, so that several are under way.
    ///
    /// # Errors
    ///
    /// When a part of it is wrong, it is not granted, or too many are under way (8 unless the operator says otherwise).
    pub fn start(self) -> Result<Exchange> {
        let place = self.place();
        match self.mistake {
            Some(failure) => Err(failure),
            None => Ok(Exchange {
                place,
                raw: host::http_start(self.raw)?,
            }),
        }
    }

    /// Method and URL for messages, without the query: some services want secrets there.
    fn place(&self) -> String {
        let url = self.raw.url.split('?').next().unwrap_or_default();
        format!("{} {url}", self.raw.method)
    }
}

/// A request under way. Dropping it abandons the request, which may have been carried out.
pub struct Exchange {
    place: String,
    raw: HttpExchange,
}

impl Exchange {
    /// Whether the answer is there.
    pub fn is_ready(&self) -> bool {
        self.raw.is_ready()
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn wait(mut self) -> Result<Response> {
        Ok(Response::new(self.place, self.raw.wait()?))
    }
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Response {
    place: String,
    /// The status.
    pub status: u16,
    /// In the server's order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body; empty if it went to a file.
    pub body: Vec<u8>,
}

impl Response {
    fn new(place: String, raw: RawResponse) -> Self {
        Self {
            place,
            status: raw.status,
            headers: raw.headers,
            body: raw.body,
        }
    }

    /// The first header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(has, _)| has == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The response if it is a success, else a failure `http.STATUS`: transient for 408, 425, 429 and 500 to 599 but 501 and 505, after as
    /// long as `retry-after` says; permanent for all others.
    ///
    /// # Errors
    ///
    /// When the status is not one of 200 to 299.
    pub fn ok(self) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let kind = match self.status {
            501 | 505 => FailureKind::Permanent,
            408 | 425 | 429 | 500..600 => FailureKind::Transient,
            _ => FailureKind::Permanent,
        };
        let mut message = format!("{} answered {}", self.place, self.status);
        let said = self.body.get(..TOLD).unwrap_or(&self.body);
        let said = String::from_utf8_lossy(said);
        if !said.trim().is_empty() {
            let _ = write!(
                message,
                ": {}",
                said.split_whitespace().collect::<Vec<_>>().join(" ")
            );
        }
        let mut failure = Failure::new(kind, format!("http.{}", self.status), message);
        let wait = self
            .header("retry-after")
            .and_then(|value| value.trim().parse().ok());
        failure.retry_after = wait.map(Duration::from_secs);
        Err(failure)
    }

    /// The body as a text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.body).map_err(|error| {
            Failure::from(error).while_doing(format_args!("{} answered no text", self.place))
        })
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// When it is not, or is something else than expected.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::from(error).while_doing(format_args!(
                "{} answered another JSON than expected",
                self.place
            ))
        })
    }
}
