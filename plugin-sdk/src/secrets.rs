//! Secrets by name. Their values do not come here: the plugin handles placeholders, and the host puts the values in while it sends a
//! request to the audience that the operator named, and nowhere else.
//!
//! [`Request::bearer`](crate::http::Request::bearer) and [`Request::basic`](crate::http::Request::basic) do the usual in one word.

use crate::{failure::Result, host};

/// How a message is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hmac {
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
    /// HMAC-SHA-1, for services that still want it.
    Sha1,
}

impl Hmac {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Sha1 => "sha1",
        }
    }
}

/// How a message is signed with a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// RSA, PKCS #1, SHA-256.
    Rs256,
    /// ECDSA on P-256, SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Text that stands for a secret in a request: in the header that the manifest names, in the path, or in a body that is JSON or a form,
/// whichever is granted. Worthless anywhere else.
///
/// # Errors
///
/// `policy.secret`: not declared or not granted. `policy.secret-use`: granted, but not for this. `secret.unset`: its source has no value.
pub fn placeholder(name: &str) -> Result<String> {
    host::secret_placeholder(name)
}

/// A placeholder for the whole value of a basic `authorization` header.
///
/// # Errors
///
/// See [`placeholder`]; likewise for all that follow.
pub fn basic(user: &str, password: &str) -> Result<String> {
    host::secret_basic(user, password)
}

/// Hands over a token that was just received: masked from now on, and a placeholder for it that counts only towards the origin `to`.
///
/// # Errors
///
/// When `to` is no origin (`https://host[:port]`).
pub fn adopt(value: &str, to: &str) -> Result<String> {
    host::secret_adopt(value, to)
}

/// The HMAC of a message.
///
/// # Errors
///
/// See [`placeholder`].
pub fn hmac(name: &str, how: Hmac, message: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    host::secret_hmac(name, how.name(), "", &[message.as_ref().to_vec()])
}

/// A chain of HMACs: the first key is `key_prefix` and the secret, each further key the HMAC of a message under the one before. AWS
/// Signature Version 4 makes its signing key like this, with the prefix `AWS4` and four messages.
///
/// # Errors
///
/// See [`placeholder`]; without messages it is `invalid`, because it would give the secret away.
pub fn hmac_chain<M: AsRef<[u8]>>(
    name: &str,
    how: Hmac,
    key_prefix: &str,
    messages: impl IntoIterator<Item = M>,
) -> Result<Vec<u8>> {
    let messages: Vec<_> = messages
        .into_iter()
        .map(|message| message.as_ref().to_vec())
        .collect();
    host::secret_hmac(name, how.name(), key_prefix, &messages)
}

/// Signs with a private key.
///
/// # Errors
///
/// See [`placeholder`]; and when the secret is no key for this.
pub fn sign(name: &str, how: Signature, message: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    let algorithm = match how {
        Signature::Rs256 => "RS256",
        Signature::Es256 => "ES256",
        Signature::EdDsa => "EdDSA",
    };
    host::secret_sign(name, algorithm, message.as_ref())
}

/// Whether `tag` is the HMAC of the message; in constant time.
///
/// # Errors
///
/// See [`placeholder`].
pub fn verify_hmac(
    name: &str,
    how: Hmac,
    message: impl AsRef<[u8]>,
    tag: impl AsRef<[u8]>,
) -> Result<bool> {
    host::secret_verify_hmac(name, how.name(), message.as_ref(), tag.as_ref())
}

/// Whether the candidate is the secret; in constant time.
///
/// # Errors
///
/// See [`placeholder`].
pub fn equals(name: &str, candidate: impl AsRef<[u8]>) -> Result<bool> {
    host::secret_equals(name, candidate.as_ref())
}

/// The value itself, for protocols that nothing above serves: a separate, loud permission.
///
/// # Errors
///
/// See [`placeholder`].
pub fn reveal(name: &str) -> Result<String> {
    host::secret_reveal(name)
}
