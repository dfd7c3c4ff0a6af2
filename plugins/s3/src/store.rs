//! Requests to the bucket: signed, sent, judged, and sent again if that is worth it.

use crate::{
    Config,
    sign::{self, Unsigned},
};
use piper_plugin::{control, prelude::*};
use std::time::Duration;

/// How often a request is sent at most.
const ATTEMPTS: u32 = 5;
/// How long to wait before the second attempt; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(500);

/// What is sent and where an answer goes.
#[derive(Debug, Clone, Default)]
pub(crate) enum Content {
    #[default]
    Nothing,
    Text(String),
    /// A part of a file.
    Part {
        path: String,
        offset: u64,
        length: u64,
    },
    /// The answer goes to this file.
    SaveTo(String),
}

/// A request to the bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) method: &'static str,
    pub(crate) key: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) content: Content,
    pub(crate) content_md5: Option<String>,
    pub(crate) content_type: Option<String>,
}

impl Wanted {
    /// Signs it, for one attempt.
    fn request(&self, config: &Config) -> Result<http::Request> {
        let query: Vec<_> = self
            .query
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let url = sign::url(
            config,
            &Unsigned {
                method: self.method,
                key: &self.key,
                query: &query,
                content_md5: self.content_md5.as_deref(),
            },
        )?;
        let mut request = http::Request::new(self.method, url);
        if let Some(md5) = &self.content_md5 {
            request = request.header("content-md5", md5);
        }
        if let Some(kind) = &self.content_type {
            request = request.header("content-type", kind);
        }
        Ok(match &self.content {
            Content::Nothing => request,
            Content::Text(text) => request.text(text),
            Content::Part {
                path,
                offset,
                length,
            } => request.file_part(path, *offset, *length),
            Content::SaveTo(path) => request.save_to(path),
        })
    }

    /// Sends it without waiting.
    pub(crate) fn start(self, config: &Config) -> UnderWay {
        let exchange = self.request(config).and_then(http::Request::start);
        UnderWay {
            wanted: self,
            exchange,
        }
    }

    /// Sends it, as often as it takes.
    pub(crate) fn send(self, config: &Config) -> Result<http::Response> {
        self.start(config).finish(config)
    }

    /// Sends it once, when there may be little time left.
    pub(crate) fn send_once(&self, config: &Config) -> Result<http::Response> {
        judge(self.request(config)?.send()?)
    }
}

/// A request whose answer is awaited.
pub(crate) struct UnderWay {
    wanted: Wanted,
    exchange: Result<http::Exchange>,
}

impl UnderWay {
    /// Waits for the answer, and sends the request again if it was none.
    pub(crate) fn finish(self, config: &Config) -> Result<http::Response> {
        let Self { wanted, exchange } = self;
        let place = format!("{} {}", wanted.method, wanted.key);
        let first = exchange.and_then(http::Exchange::wait).and_then(judge);
        persist(&wanted, config, first).map_err(|failure| failure.while_doing(place))
    }
}

/// Sends a request again while that is worth it.
fn persist(
    wanted: &Wanted,
    config: &Config,
    mut answer: Result<http::Response>,
) -> Result<http::Response> {
    for attempt in 1..ATTEMPTS {
        match answer {
            Err(failure) if failure.is_transient() => {
                info!("sending again: {failure}"; attempt);
                let pause = PAUSE * 2_u32.pow(attempt - 1);
                control::sleep(failure.retry_after.unwrap_or_default().max(pause))?;
                answer = wanted.send_once(config);
            }
            other => return other,
        }
    }
    answer
}

/// A success, or a failure in the store's own words.
fn judge(response: http::Response) -> Result<http::Response> {
    let text = String::from_utf8_lossy(&response.body).into_owned();
    let code = element(&text, "Code").unwrap_or_default();
    let said = element(&text, "Message");
    // The end of a multipart upload is answered with 200 before it is tried.
    let is_error = response.is_success() && text.contains("<Error>");
    let mut failure = match response.ok() {
        Ok(response) if !is_error => return Ok(response),
        Ok(_) => Failure::transient("s3.error", "the store could not do it"),
        Err(failure) => failure,
    };
    if let Some(said) = said {
        failure.message = format!("the store says {code}: {said}");
    }
    if matches!(
        code.as_str(),
        "RequestTimeout" | "SlowDown" | "InternalError" | "BadDigest"
    ) {
        failure.kind = FailureKind::Transient;
    }
    let help = match code.as_str() {
        "SignatureDoesNotMatch" => "is the secret `secret-key` the one of `access-key`?",
        "InvalidAccessKeyId" => "the store does not know `access-key`",
        "AuthorizationQueryParametersError" | "AuthorizationHeaderMalformed" => {
            "is `region` the bucket's?"
        }
        "PermanentRedirect" | "TemporaryRedirect" => {
            "the bucket is elsewhere: mend `url` and `region`"
        }
        "RequestTimeTooSkewed" => "the clock of this machine is wrong",
        "AccessDenied" => "the access key may not do this with the bucket",
        _ => return Err(failure),
    };
    Err(failure.help(help))
}

/// The text of the first element of a name. The answers of stores are flat, and none has attributes where it matters.
pub(crate) fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).next()
}

/// The texts of all elements of a name.
pub(crate) fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&begin)?;
        let (text, after) = after.split_once(&end)?;
        rest = after;
        Some(unescaped(text))
    })
}

/// A text with its five entities, and characters by their numbers.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('&');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(';').unwrap_or(("", part));
        let c = match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => number(name),
        };
        match c {
            Some(c) => whole.push(c),
            None => {
                whole.push('&');
                whole.push_str(part);
                continue;
            }
        }
        whole.push_str(rest);
    }
    whole
}

fn number(name: &str) -> Option<char> {
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}

#[cfg(test)]
mod tests;
