//! Secrets of one instance of a plugin, which never sees them: it handles placeholders, and the host puts the values in while sending.
//!
//! A placeholder is `piper-secret-` and 128 random bits in hex. It means something to the host alone, while the instance lives that
//! asked for it, towards the origins that the operator named, and in the places that he granted ([`substitute`](Secrets::substitute)).
//! Anywhere else it is worthless, so one that is found elsewhere is a mistake of the plugin and not a leak; it is refused because a
//! request with a placeholder in the place of a value would only fail later and stranger.
//!
//! Nothing here reads a file or a variable, draws random numbers or sends: values and randomness come in as arguments. No value is
//! ever a part of an error or of what `Debug` prints.

mod keys;
mod place;
mod substitute;

#[cfg(test)]
pub(crate) use keys::to_base64;
pub use place::{PREFIX, has_placeholder};
pub use substitute::{Outgoing, Substituted};

use self::place::Scanner;
use super::{
    fault::shown,
    grant::EffectiveSecret,
    host::Origin,
    manifest::{Encoding, SecretUse},
};
use piper_core::log::mask::{Masker, TooShort};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

/// The code of what is not declared or not granted: to the plugin, there is no such secret.
pub const SECRET: &str = "policy.secret";
/// The code of what is granted, but not for this use, this place or this origin.
pub const SECRET_USE: &str = "policy.secret-use";

/// What cannot be done with a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The plugin has no secret of this name.
    #[error("the secret {0} is not granted")]
    NotGranted(String),
    /// It has, but not for this.
    #[error("the secret {name} is not for this use: {wanted}")]
    NotForThis {
        /// Which secret.
        name: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// The operator did not name this origin for it.
    #[error("the secret {name} does not go to {origin}")]
    Audience {
        /// Which secret.
        name: String,
        /// Where it was to go.
        origin: Origin,
    },
    /// Something that looks like a placeholder stands where none is replaced.
    #[error("a placeholder of a secret, or a part of one, stands in {0}")]
    Misplaced(&'static str),
    /// A placeholder that this instance was not given.
    #[error("a placeholder that this instance was not given stands in {0}")]
    Unknown(&'static str),
    /// Its source has no value.
    #[error("the secret {0} has no value: its source is empty or not there")]
    Unset(String),
    /// Its value is not as the grant says, or cannot stand where it was put.
    #[error("the secret {name} {why}")]
    Malformed {
        /// Which secret.
        name: String,
        /// What is wrong with it; never the value.
        why: &'static str,
    },
    /// The call makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
}

impl SecretError {
    /// The stable code of the failure that the plugin gets.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotGranted(_) => SECRET,
            Self::NotForThis { .. }
            | Self::Audience { .. }
            | Self::Misplaced(_)
            | Self::Unknown(_) => SECRET_USE,
            Self::Unset(_) => "secret.unset",
            Self::Malformed { .. } => "secret.malformed",
            Self::Invalid(_) => "secret.invalid",
        }
    }
}

/// A secret with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Bound {
    value: Vec<u8>,
    to: Vec<Origin>,
    uses: SecretUse,
}

impl Bound {
    /// Makes the value of what its source holds: a line end is taken from its end, `strip` from its beginning, and the rest decoded.
    ///
    /// # Errors
    ///
    /// When the source is empty or holds something else than the grant says.
    pub fn new(name: &str, secret: &EffectiveSecret, held: &[u8]) -> Result<Self, SecretError> {
        let grant = &secret.grant;
        let malformed = |why| SecretError::Malformed {
            name: shown(name),
            why,
        };
        let mut value = held;
        while let [rest @ .., b'\r' | b'\n'] = value {
            value = rest;
        }
        if value.is_empty() {
            return Err(SecretError::Unset(shown(name)));
        }
        if let Some(strip) = &grant.strip {
            let stripped = value.strip_prefix(strip.as_bytes());
            value = stripped.ok_or_else(|| malformed("does not begin with what `strip` says"))?;
        }
        let value = match grant.decode {
            None => Some(value.to_vec()),
            Some(Encoding::Hex) => keys::from_hex(value),
            Some(Encoding::Base64) => keys::from_base64(value),
        };
        let value = value.ok_or_else(|| malformed("is not written as `decode` says"))?;
        if value.is_empty() {
            return Err(SecretError::Unset(shown(name)));
        }
        Ok(Self {
            value,
            to: grant.to.clone(),
            uses: secret.uses.clone(),
        })
    }
}

impl Bound {
    /// What is to be hidden wherever it is shown.
    pub(crate) fn to_hide(&self) -> &[u8] {
        &self.value
    }
}

/// What a placeholder stands for.
#[derive(Clone)]
struct Meaning {
    /// The plugin's name for it, for messages.
    name: String,
    value: Vec<u8>,
    to: Vec<Origin>,
    uses: Sent,
    /// Whether nothing may stand beside it.
    whole: bool,
}

/// Where in a request a placeholder may stand.
#[derive(Clone)]
enum Sent {
    /// Where it was granted.
    As(SecretUse),
    /// In any header: it stands for a token that was just received, the server's own.
    InHeaders,
}

/// The secrets of one instance, and the placeholders that it was given.
pub struct Secrets {
    bound: BTreeMap<String, Bound>,
    placeholders: HashMap<String, Meaning>,
    /// What the plugin brought itself.
    adopted: Vec<Vec<u8>>,
    scanner: Scanner,
}

/// How many placeholders an instance may have: each costs memory, and time in each request.
const MOST_PLACEHOLDERS: usize = 256;

/// The longest token that can be adopted; no server takes a longer header.
const MAX_ADOPTED: usize = 16 * 1024;
/// How long all of them may be together, and how long those together that are hidden in every encoding, the first ones: what hides them
/// is the host's memory, and each of their bytes is some fifty there.
const ALL_ADOPTED: usize = 32 * 1024;
const ENCODED_ADOPTED: usize = 2 * 1024;

impl Secrets {
    /// The secrets of a fresh instance, by the plugin's names for them.
    pub fn new(bound: BTreeMap<String, Bound>) -> Self {
        Self {
            bound,
            placeholders: HashMap::new(),
            adopted: Vec::new(),
            scanner: Scanner::new(),
        }
    }

    /// A placeholder for a secret; `random` is drawn by the caller, anew for each call.
    ///
    /// # Errors
    ///
    /// When the secret is not granted, or not to be sent.
    pub fn placeholder(&mut self, name: &str, random: u128) -> Result<String, SecretError> {
        let bound = self.bound(name)?;
        if !bound.uses.is_sent() {
            return Err(not_for(name, "to be sent"));
        }
        let meaning = Meaning {
            name: shown(name),
            value: bound.value.clone(),
            to: bound.to.clone(),
            uses: Sent::As(bound.uses.clone()),
            whole: false,
        };
        self.register(meaning, random)
    }

    /// A placeholder for the whole value of a basic `authorization` header.
    ///
    /// # Errors
    ///
    /// When the secret is not granted for that header, or the user is no user.
    pub fn basic(
        &mut self,
        user: &str,
        password: &str,
        random: u128,
    ) -> Result<String, SecretError> {
        let bound = self.bound(password)?;
        if !bound
            .uses
            .headers
            .iter()
            .any(|header| header == AUTHORIZATION)
        {
            return Err(not_for(password, "the header authorization"));
        }
        if user.contains(|c: char| c == ':' || c.is_control()) || user.len() > MAX_ADOPTED {
            return Err(SecretError::Invalid(
                "a user has neither a colon nor control characters",
            ));
        }
        let pair = [user.as_bytes(), b":", &bound.value].concat();
        let meaning = Meaning {
            name: shown(password),
            value: format!("Basic {}", keys::to_base64(&pair)).into_bytes(),
            to: bound.to.clone(),
            uses: Sent::As(SecretUse {
                headers: vec![AUTHORIZATION.to_owned()],
                ..SecretUse::default()
            }),
            whole: true,
        };
        self.register(meaning, random)
    }

    /// A placeholder for a token that the plugin received: masked from now on, and bound to one origin.
    ///
    /// # Errors
    ///
    /// When it is no token or `to` no origin.
    pub fn adopt(&mut self, value: &str, to: &str, random: u128) -> Result<String, SecretError> {
        let origin = Origin::parse(to).map_err(|_| {
            SecretError::Invalid("a token is adopted for an origin: `https://host[:port]`")
        })?;
        if value.is_empty() || value.len() > MAX_ADOPTED || value.contains(char::is_control) {
            return Err(SecretError::Invalid(
                "a token is text without control characters, at most 16 KiB",
            ));
        }
        let meaning = Meaning {
            name: "adopted".to_owned(),
            value: value.as_bytes().to_vec(),
            to: vec![origin],
            uses: Sent::InHeaders,
            whole: false,
        };
        let is_known = self.adopted.iter().any(|known| known == value.as_bytes());
        let known: usize = self.adopted.iter().map(Vec::len).sum();
        if !is_known && known + value.len() > ALL_ADOPTED {
            return Err(SecretError::Invalid(
                "the tokens that one instance adopts have at most 32 KiB together",
            ));
        }
        let placeholder = self.register(meaning, random)?;
        if !is_known {
            self.adopted.push(value.as_bytes().to_vec());
        }
        Ok(placeholder)
    }

    /// The value itself.
    ///
    /// # Errors
    ///
    /// When that was not granted, or the value is no text.
    pub fn reveal(&self, name: &str) -> Result<String, SecretError> {
        let bound = self.bound(name)?;
        if !bound.uses.reveal {
            return Err(not_for(name, "reveal"));
        }
        String::from_utf8(bound.value.clone()).map_err(|_| SecretError::Malformed {
            name: shown(name),
            why: "is not text",
        })
    }

    /// What hides all values, adopted ones too, in whatever the plugin says; with those that are too short to be hidden. Many or long
    /// adopted ones are hidden as they are and in JSON only.
    pub fn masker(&self) -> (Masker, Vec<TooShort>) {
        let bound = self
            .bound
            .iter()
            .map(|(name, bound)| (name.as_str(), &bound.value));
        let mut sum = 0;
        let (encoded, plain): (Vec<&Vec<u8>>, Vec<&Vec<u8>>) =
            self.adopted.iter().partition(|value| {
                sum += value.len();
                sum <= ENCODED_ADOPTED
            });
        let encoded = encoded.into_iter().map(|value| ("adopted", value));
        let plain: Vec<&[u8]> = plain.into_iter().map(Vec::as_slice).collect();
        Masker::with_plain(&bound.chain(encoded).collect::<Vec<_>>(), &plain)
    }

    fn bound(&self, name: &str) -> Result<&Bound, SecretError> {
        self.bound
            .get(name)
            .ok_or_else(|| SecretError::NotGranted(shown(name)))
    }

    fn register(&mut self, meaning: Meaning, random: u128) -> Result<String, SecretError> {
        if self.placeholders.len() >= MOST_PLACEHOLDERS {
            return Err(SecretError::Invalid(
                "the instance has 256 placeholders already: keep and reuse them",
            ));
        }
        let placeholder = format!("{PREFIX}{random:032x}");
        self.placeholders.insert(placeholder.clone(), meaning);
        self.scanner.add(&placeholder);
        Ok(placeholder)
    }
}

const AUTHORIZATION: &str = "authorization";

fn not_for(name: &str, wanted: &'static str) -> SecretError {
    SecretError::NotForThis {
        name: shown(name),
        wanted,
    }
}

/// Names only.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("names", &self.bound.keys())
            .field("placeholders", &self.placeholders.len())
            .finish_non_exhaustive()
    }
}

/// No value.
impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("to", &self.to)
            .field("uses", &self.uses)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
