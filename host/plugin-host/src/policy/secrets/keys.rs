//! What is computed with a secret without giving it away: HMACs, comparisons, and the encodings that this needs.
//!
//! Comparisons take the same time for every candidate of the same length, and say nothing of the secret's length.

use super::{SecretError, Secrets, not_for};
use crate::policy::manifest::Digest;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// How many messages a chain of HMACs may have; SigV4 has four.
const MOST_MESSAGES: usize = 16;

impl Secrets {
    /// `key-prefix` and the secret as a key; then, for each message, the HMAC under the last key as the next one. Returns the last.
    ///
    /// # Errors
    ///
    /// When the secret is not granted for that, the algorithm is not known, or there is no message: the key would come out.
    pub fn hmac<M: AsRef<[u8]>>(
        &self,
        name: &str,
        algorithm: &str,
        key_prefix: &str,
        messages: &[M],
    ) -> Result<Vec<u8>, SecretError> {
        let bound = self.bound(name)?;
        if !bound.uses.hmac {
            return Err(not_for(name, "hmac"));
        }
        let digest = digest(algorithm)?;
        if messages.is_empty() || messages.len() > MOST_MESSAGES {
            return Err(SecretError::Invalid(
                "an HMAC is of one message, or of a chain of up to 16",
            ));
        }
        let key = [key_prefix.as_bytes(), &bound.value].concat();
        Ok(messages
            .iter()
            .fold(key, |key, message| mac(digest, &key, message.as_ref())))
    }

    /// The private key, for whoever signs with it.
    ///
    /// # Errors
    ///
    /// When the secret is not granted for that.
    pub(crate) fn signing_key(&self, name: &str) -> Result<&[u8], SecretError> {
        let bound = self.bound(name)?;
        match bound.uses.sign {
            true => Ok(&bound.value),
            false => Err(not_for(name, "sign")),
        }
    }

    /// Whether `tag` is the HMAC of the message under the secret.
    ///
    /// # Errors
    ///
    /// When the secret is not granted for that, or the algorithm is not known.
    pub fn verify_hmac(
        &self,
        name: &str,
        algorithm: &str,
        message: &[u8],
        tag: &[u8],
    ) -> Result<bool, SecretError> {
        let bound = self.bound(name)?;
        if !bound.uses.verify {
            return Err(not_for(name, "verify"));
        }
        let own = mac(digest(algorithm)?, &bound.value, message);
        // Tags have a known length, so that comparing it first gives nothing away.
        Ok(own.ct_eq(tag).into())
    }

    /// Whether the candidate is the secret.
    ///
    /// # Errors
    ///
    /// When the secret is not granted for that.
    pub fn equals(&self, name: &str, candidate: &[u8]) -> Result<bool, SecretError> {
        let bound = self.bound(name)?;
        if !bound.uses.verify {
            return Err(not_for(name, "verify"));
        }
        // Digests are of the same length whatever the secret's is.
        Ok(Sha256::digest(&bound.value)
            .ct_eq(&Sha256::digest(candidate))
            .into())
    }
}

fn digest(algorithm: &str) -> Result<Digest, SecretError> {
    Digest::parse(algorithm).ok_or(SecretError::Invalid(
        "an algorithm is `sha256`, `sha512` or `sha1`",
    ))
}

fn mac(digest: Digest, key: &[u8], message: &[u8]) -> Vec<u8> {
    match digest {
        Digest::Sha1 => finish(Hmac::<Sha1>::new_from_slice(key), message),
        Digest::Sha256 => finish(Hmac::<Sha256>::new_from_slice(key), message),
        Digest::Sha512 => finish(Hmac::<Sha512>::new_from_slice(key), message),
    }
}

fn finish<M: Mac>(mac: Result<M, hmac::digest::InvalidLength>, message: &[u8]) -> Vec<u8> {
    let mut mac = mac.expect("an HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | usize::from(*group.get(at).unwrap_or(&0))
        });
        for at in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * at) & 63];
            text.push(if at <= group.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

/// Bytes of base64 in either alphabet, with or without padding; nothing if it is none.
pub(super) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let letters = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    let is_padded = letters.len() < text.len();
    if letters.len() % 4 == 1 || (is_padded && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for letter in letters {
        let letter = match letter {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        };
        bits = bits << 6 | LETTERS.iter().position(|known| *known == letter)? as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    // Bits that are left over are zero in what an encoder writes.
    (bits == 0).then_some(bytes)
}

/// Bytes of hex digits; nothing if it is none.
pub(super) fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    text.len().is_multiple_of(2).then(|| {
        text.chunks(2)
            .map(|pair| Some((digit(&pair[0])? << 4 | digit(&pair[1])?) as u8))
            .collect()
    })?
}
