//! Puts values in the place of placeholders, in a request that the gate let pass.
//!
//! Everything that is sent is looked at: what is a known placeholder in a granted place towards a granted origin is replaced, and what
//! is anything else of a placeholder refuses the whole request.

use super::{Meaning, SecretError, Secrets, Sent, place};
use crate::policy::host::Origin;
use std::borrow::Cow;

/// A request that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where to, as the gate understood it.
    pub origin: &'a Origin,
    /// The path and the query as they are sent.
    pub path_and_query: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body, if it is in memory. One that streams is never filled in; [`Secrets::has_trace`] looks at its pieces.
    pub body: Option<&'a [u8]>,
}

/// A request with its values.
#[derive(Clone, PartialEq, Eq)]
pub struct Substituted {
    /// The path and the query.
    pub path_and_query: String,
    /// The values of the headers, in order.
    pub headers: Vec<Vec<u8>>,
    /// The body, if it was changed.
    pub body: Option<Vec<u8>>,
}

/// The largest body in which placeholders are replaced.
const MAX_BODY: usize = 1 << 20;

const HEADER: &str = "a header";
const PATH: &str = "the path";
const QUERY: &str = "the query";
const BODY: &str = "the body";

/// How a value is written into a body.
#[derive(Clone, Copy)]
enum BodyKind {
    Json,
    Form,
}

impl Secrets {
    /// Fills in the values.
    ///
    /// # Errors
    ///
    /// When a placeholder, or a part of one, stands where none is replaced, or would go to an origin that the operator did not name.
    pub fn substitute(&self, request: &Outgoing<'_>) -> Result<Substituted, SecretError> {
        let mut headers = Vec::with_capacity(request.headers.len());
        for (name, value) in request.headers {
            if self.has_trace(name.as_bytes()) {
                return Err(SecretError::Misplaced("the name of a header"));
            }
            headers.push(self.header(name, value, request.origin)?);
        }
        let (path, query) = match request.path_and_query.find('?') {
            Some(at) => request.path_and_query.split_at(at),
            None => (request.path_and_query, ""),
        };
        if self.has_trace(query.as_bytes()) {
            return Err(SecretError::Misplaced(QUERY));
        }
        let path = self.path(path, request.origin)?;
        let body = match request.body {
            Some(body) => self.body(body, request)?,
            None => None,
        };
        Ok(Substituted {
            path_and_query: path + query,
            headers,
            body,
        })
    }

    /// Whether a placeholder or a part of one is in the text. Pieces of a stream are given with the last 512 bytes before them.
    pub fn has_trace(&self, text: &[u8]) -> bool {
        self.scanner.finds_in(text)
    }

    fn header(&self, name: &str, value: &[u8], origin: &Origin) -> Result<Vec<u8>, SecretError> {
        let name = name.to_ascii_lowercase();
        self.replace(value, origin, HEADER, |meaning| {
            if matches!(&meaning.uses, Sent::As(uses) if !uses.headers.contains(&name)) {
                return Err(not_for(meaning, "this header"));
            }
            if meaning.whole && value.len() != place::PREFIX.len() + place::DIGITS {
                return Err(not_for(meaning, "a part of a header"));
            }
            // Whatever the operator's file holds, it must not end the header.
            if meaning
                .value
                .iter()
                .any(|byte| byte.is_ascii_control() && *byte != b'\t')
            {
                return Err(malformed(
                    meaning,
                    "has control characters, which no header can hold",
                ));
            }
            Ok(Cow::Borrowed(&meaning.value))
        })
        .map(|replaced| replaced.unwrap_or_else(|| value.to_vec()))
    }

    fn path(&self, path: &str, origin: &Origin) -> Result<String, SecretError> {
        let replaced = self.replace(path.as_bytes(), origin, PATH, |meaning| {
            if !matches!(&meaning.uses, Sent::As(uses) if uses.path) {
                return Err(not_for(meaning, PATH));
            }
            // The secret of a Slack webhook has slashes, which part it; but it must not lead up and out of the granted path.
            if meaning
                .value
                .split(|byte| *byte == b'/')
                .any(|part| matches!(part, b"." | b".."))
            {
                return Err(malformed(meaning, "has a `..`, which no path can hold"));
            }
            Ok(percent_encoded(&meaning.value, b"-._~/:@!$&'()*+,;=").into())
        })?;
        Ok(match replaced {
            Some(bytes) => {
                String::from_utf8(bytes).expect("the path was text, and the values are encoded")
            }
            None => path.to_owned(),
        })
    }

    fn body(&self, body: &[u8], request: &Outgoing<'_>) -> Result<Option<Vec<u8>>, SecretError> {
        let kind = body_kind(request.headers);
        if kind.is_none() || body.len() > MAX_BODY {
            return match self.has_trace(body) {
                true => Err(SecretError::Misplaced(
                    "a body that is neither JSON nor a form of at most 1 MiB",
                )),
                false => Ok(None),
            };
        }
        self.replace(body, request.origin, BODY, |meaning| {
            if !matches!(&meaning.uses, Sent::As(uses) if uses.body) {
                return Err(not_for(meaning, BODY));
            }
            match kind {
                Some(BodyKind::Form) => Ok(percent_encoded(&meaning.value, b"-._~").into()),
                _ => {
                    let text = str::from_utf8(&meaning.value)
                        .map_err(|_| malformed(meaning, "is not text, which JSON needs"))?;
                    let quoted = serde_json::Value::from(text).to_string();
                    Ok(quoted.as_bytes()[1..quoted.len() - 1].to_vec().into())
                }
            }
        })
    }

    /// Replaces each placeholder in a text by what `value` makes of its meaning; nothing if there is none.
    fn replace<'m>(
        &'m self,
        text: &[u8],
        origin: &Origin,
        place: &'static str,
        value: impl Fn(&'m Meaning) -> Result<Cow<'m, [u8]>, SecretError>,
    ) -> Result<Option<Vec<u8>>, SecretError> {
        let mut replaced = Vec::new();
        let mut rest = Vec::new();
        let mut written = 0;
        for at in place::find(text) {
            let placeholder = str::from_utf8(&text[at.clone()]).expect("a placeholder is ASCII");
            let Some(meaning) = self.placeholders.get(placeholder) else {
                return Err(SecretError::Unknown(place));
            };
            if !meaning.to.contains(origin) {
                return Err(SecretError::Audience {
                    name: meaning.name.clone(),
                    origin: origin.clone(),
                });
            }
            replaced.extend_from_slice(&text[written..at.start]);
            // A separator, so that what stands on both sides does not become a trace that was none.
            rest.extend_from_slice(&text[written..at.start]);
            rest.push(0);
            replaced.extend_from_slice(&value(meaning)?);
            written = at.end;
        }
        rest.extend_from_slice(&text[written..]);
        if self.has_trace(&rest) {
            return Err(SecretError::Misplaced(place));
        }
        replaced.extend_from_slice(&text[written..]);
        Ok((written > 0).then_some(replaced))
    }
}

fn body_kind(headers: &[(&str, &[u8])]) -> Option<BodyKind> {
    let mut types = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let (Some((_, value)), None) = (types.next(), types.next()) else {
        return None;
    };
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii().to_ascii_lowercase();
    match kind.as_slice() {
        b"application/x-www-form-urlencoded" => Some(BodyKind::Form),
        b"application/json" => Some(BodyKind::Json),
        _ if kind.starts_with(b"application/") && kind.ends_with(b"+json") => Some(BodyKind::Json),
        _ => None,
    }
}

fn percent_encoded(bytes: &[u8], kept: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || kept.contains(byte) {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}

fn not_for(meaning: &Meaning, wanted: &'static str) -> SecretError {
    SecretError::NotForThis {
        name: meaning.name.clone(),
        wanted,
    }
}

fn malformed(meaning: &Meaning, why: &'static str) -> SecretError {
    SecretError::Malformed {
        name: meaning.name.clone(),
        why,
    }
}

/// No values.
impl std::fmt::Debug for Substituted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Substituted").finish_non_exhaustive()
    }
}
