//! The fake's secrets: for what each is granted, and what a request's placeholders stand for.
//!
//! Judges as the host does. It finds placeholders that are written out; the host finds some that are encoded or cut in halves, too.

use super::{digest, world::World};
use crate::{
    encode,
    failure::{Failure, FailureKind, Result},
};
use serde_json::Value;

/// What a secret is granted for: the words of `use` in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretUse {
    /// In the value of this header, whose name is in lower case.
    Header(&'static str),
    /// In the value of any header.
    AnyHeader,
    /// In the path of a URL.
    Path,
    /// In a body that is JSON or a form.
    Body,
    /// As the key of HMACs.
    Hmac,
    /// As the key of signatures.
    Sign,
    /// To verify what somebody sent.
    Verify,
    /// The value itself.
    Reveal,
}

/// A secret that the test granted.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    pub(super) value: String,
    pub(super) uses: Vec<SecretUse>,
}

/// A placeholder and what it stands for.
#[derive(Debug)]
pub(super) struct Placeholder {
    text: String,
    stands_for: Secret,
    /// The origin that it is for, if there is one.
    to: Option<String>,
    /// Nothing may stand beside it.
    is_whole: bool,
}

const PREFIX: &str = "piper-secret-";

/// What every path may have beside letters and digits.
const IN_PATHS: &str = "-._~/:@!$&'()*+,;=";

fn refused(message: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Denied, "policy.secret-use", message)
}

fn malformed(message: &str) -> Failure {
    Failure::invalid("secret.malformed", message)
}

/// Whether a placeholder, or what looks like one, is in the text.
pub(super) fn has_trace(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    let mut windows = text.windows(PREFIX.len());
    windows.any(|window| window == PREFIX.as_bytes())
}

/// What a placeholder may stand in.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Header(&'a str),
    Path,
    Json,
    Form,
}

impl Place<'_> {
    fn is_granted(self, uses: &[SecretUse]) -> bool {
        uses.iter().any(|granted| match (self, granted) {
            (Self::Header(_), SecretUse::AnyHeader) | (Self::Path, SecretUse::Path) => true,
            (Self::Header(name), SecretUse::Header(granted)) => name == *granted,
            (Self::Json | Self::Form, SecretUse::Body) => true,
            _ => false,
        })
    }

    /// The value as it is written here.
    fn write(self, value: &str) -> Result<String> {
        match self {
            Self::Header(_) if value.contains(|c: char| c.is_ascii_control() && c != '\t') => Err(
                malformed("the secret has control characters, which no header can hold"),
            ),
            Self::Header(_) => Ok(value.to_owned()),
            Self::Path if value.split('/').any(|part| matches!(part, "." | "..")) => {
                Err(malformed("the secret has a `..`, which no path can hold"))
            }
            Self::Path => {
                let encoded = value.chars().map(|c| match IN_PATHS.contains(c) {
                    true => c.to_string(),
                    false => encode::percent(c.encode_utf8(&mut [0; 4])),
                });
                Ok(encoded.collect())
            }
            Self::Json => {
                let quoted = Value::from(value).to_string();
                Ok(quoted[1..quoted.len() - 1].to_owned())
            }
            Self::Form => Ok(encode::percent(value)),
        }
    }
}

impl World {
    /// The value of a secret that is granted for one of these uses.
    fn secret_for(&self, name: &str, is_fit: impl Fn(&SecretUse) -> bool) -> Result<&Secret> {
        let secret = self.secrets.get(name).ok_or_else(|| {
            Failure::new(
                FailureKind::Denied,
                "policy.secret",
                format_args!("the secret `{name}` is not granted; see `Fake::secret`"),
            )
        })?;
        match secret.uses.iter().any(is_fit) {
            true => Ok(secret),
            false => Err(refused(format_args!(
                "the secret `{name}` is granted for {:?} and not for this; see `Fake::secret_for`",
                secret.uses
            ))),
        }
    }

    /// A new text that stands for something.
    fn stand_in(&mut self, stands_for: Secret, to: Option<String>, is_whole: bool) -> String {
        let text = format!("{PREFIX}{:032x}", self.placeholders.len() + 1);
        self.placeholders.push(Placeholder {
            text: text.clone(),
            stands_for,
            to,
            is_whole,
        });
        text
    }

    pub(super) fn placeholder(&mut self, name: &str) -> Result<String> {
        let is_sent = |granted: &SecretUse| {
            let place = [Place::Path, Place::Json];
            matches!(granted, SecretUse::Header(_) | SecretUse::AnyHeader)
                || place.iter().any(|place| place.is_granted(&[*granted]))
        };
        let secret = self.secret_for(name, is_sent)?.clone();
        Ok(self.stand_in(secret, None, false))
    }

    pub(super) fn basic(&mut self, user: &str, password: &str) -> Result<String> {
        let header = Place::Header("authorization");
        let secret = self.secret_for(password, |granted| header.is_granted(&[*granted]))?;
        // Readable in a test, where the real one is base64.
        let value = format!("Basic {user}:{}", secret.value);
        if user.contains(|c: char| c == ':' || c.is_control()) {
            let message = "a user has neither a colon nor control characters";
            return Err(Failure::invalid("secret.invalid", message));
        }
        let uses = vec![SecretUse::Header("authorization")];
        Ok(self.stand_in(Secret { value, uses }, None, true))
    }

    pub(super) fn adopt(&mut self, value: &str, to: &str) -> Result<String> {
        let host = to
            .strip_prefix("https://")
            .or_else(|| to.strip_prefix("http://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', '@', '?', '#'])) {
            let message = format_args!("`{to}` is no origin");
            return Err(Failure::invalid("secret.invalid", message));
        }
        if value.is_empty() || value.contains(char::is_control) {
            let message = "a token is text without control characters";
            return Err(Failure::invalid("secret.invalid", message));
        }
        let token = Secret {
            value: value.to_owned(),
            uses: vec![SecretUse::AnyHeader],
        };
        Ok(self.stand_in(token, Some(to.to_owned()), false))
    }

    pub(super) fn hmac(
        &self,
        name: &str,
        algorithm: &str,
        prefix: &str,
        messages: &[Vec<u8>],
    ) -> Result<Vec<u8>> {
        if messages.is_empty() {
            return Err(Failure::invalid(
                "secret.no-message",
                "without a message this would be the secret",
            ));
        }
        let secret = self.secret_for(name, |granted| *granted == SecretUse::Hmac)?;
        chain(secret, algorithm, prefix, messages)
    }

    /// A signature that says which key signed what, and that nothing can verify.
    pub(super) fn sign(&self, name: &str, algorithm: &str, message: &[u8]) -> Result<Vec<u8>> {
        let secret = self.secret_for(name, |granted| *granted == SecretUse::Sign)?;
        chain(secret, "sha256", algorithm, &[message.to_vec()])
    }

    pub(super) fn verify_hmac(
        &self,
        name: &str,
        algorithm: &str,
        message: &[u8],
        tag: &[u8],
    ) -> Result<bool> {
        let secret = self.secret_for(name, |granted| *granted == SecretUse::Verify)?;
        Ok(chain(secret, algorithm, "", &[message.to_vec()])? == tag)
    }

    pub(super) fn equals(&self, name: &str, candidate: &[u8]) -> Result<bool> {
        let secret = self.secret_for(name, |granted| *granted == SecretUse::Verify)?;
        Ok(secret.value.as_bytes() == candidate)
    }

    pub(super) fn reveal(&self, name: &str) -> Result<String> {
        let secret = self.secret_for(name, |granted| *granted == SecretUse::Reveal)?;
        Ok(secret.value.clone())
    }

    /// A text of a request to `origin` with the values of its placeholders.
    pub(super) fn filled(&self, place: Place<'_>, text: &str, origin: &str) -> Result<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(PREFIX) {
            let (before, after) = rest.split_at(at);
            let known = self
                .placeholders
                .iter()
                .find(|known| after.starts_with(&known.text));
            let Placeholder {
                text: own,
                stands_for,
                to,
                is_whole,
            } = known.ok_or_else(|| refused("this is no placeholder that the plugin was given"))?;
            if to.as_ref().is_some_and(|to| to != origin) {
                return Err(refused(format_args!("this token is not for {origin}")));
            }
            if !place.is_granted(&stands_for.uses) || *is_whole && own != text {
                return Err(refused(format_args!(
                    "this secret is granted for {:?} and not for this place; see `Fake::secret_for`",
                    stands_for.uses
                )));
            }
            filled.push_str(before);
            filled.push_str(&place.write(&stands_for.value)?);
            rest = &after[own.len()..];
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Refuses a placeholder where none is replaced.
    pub(super) fn has_none(&self, what: &str, text: &[u8]) -> Result<()> {
        match has_trace(text) {
            true => Err(refused(format_args!("a placeholder stands in {what}"))),
            false => Ok(()),
        }
    }
}

fn chain(secret: &Secret, algorithm: &str, prefix: &str, messages: &[Vec<u8>]) -> Result<Vec<u8>> {
    let key = [prefix.as_bytes(), secret.value.as_bytes()].concat();
    messages
        .iter()
        .try_fold(key, |key, message| digest::hmac(algorithm, &key, message))
}
