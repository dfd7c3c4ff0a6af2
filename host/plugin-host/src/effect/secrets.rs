//! Secrets of one instance: reads their sources, draws the placeholders' chance, and signs.
//!
//! What may be done with a secret is decided by [`policy::secrets`](crate::policy::secrets). No value leaves this module but through
//! `substitute` and `reveal`, and through `to_hide` for what keeps them out of a build's output.

use super::blocking;
use crate::{
    failure::{Failure, FailureKind},
    policy::{
        grant::{Effective, SecretSource},
        secrets::{self, Bound, Outgoing, SecretError, Substituted},
    },
    service::{Answer, Secrets},
};
use piper_core::log::mask::Masker;
use ring::{
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The longest value: a key with all its certificates has less.
const LONGEST: u64 = 64 * 1024;

/// The values of a plugin's secrets, and what is wrong with those that have none. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Values(Arc<BTreeMap<String, Result<Bound, SecretError>>>);

impl Values {
    /// Reads them from where the operator said; `variable` looks a variable of piper's environment up. One that is not there is missed
    /// when it is used.
    pub fn read(effective: &Effective, variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |source: &SecretSource| match source {
            SecretSource::Env(name) => variable(name).map(String::into_bytes),
            SecretSource::File(path) => read_file(path),
        };
        let values = effective.secrets.iter().map(|(name, secret)| {
            let held = read(&secret.grant.from).unwrap_or_default();
            (name.clone(), Bound::new(name, secret, &held))
        });
        Self(Arc::new(values.collect()))
    }

    /// Name and value of each that has one: for a [`Masker`] of what others print, and for nothing else. A plugin can write what a
    /// server echoed into a file, and the next step can show that file.
    pub fn to_hide(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let held = self.0.iter();
        held.filter_map(|(name, value)| Some((name.as_str(), value.as_ref().ok()?.to_hide())))
    }
}

fn read_file(path: &str) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let file = File::open(path).ok()?;
    file.take(LONGEST + 1).read_to_end(&mut value).ok()?;
    (value.len() as u64 <= LONGEST).then_some(value)
}

/// The secrets of one instance.
pub(crate) struct Held {
    inner: Mutex<Inner>,
    unset: BTreeMap<String, SecretError>,
}

struct Inner {
    secrets: secrets::Secrets,
    /// What hides them, once somebody asked for it.
    masker: Option<Arc<Masker>>,
}

impl Held {
    pub(crate) fn new(values: &Values) -> Self {
        let mut bound = BTreeMap::new();
        let mut unset = BTreeMap::new();
        for (name, value) in &*values.0 {
            match value {
                Ok(value) => drop(bound.insert(name.clone(), value.clone())),
                Err(error) => drop(unset.insert(name.clone(), error.clone())),
            }
        }
        Self {
            inner: Mutex::new(Inner {
                secrets: secrets::Secrets::new(bound),
                masker: None,
            }),
            unset,
        }
    }

    /// Nothing panics while it holds the lock.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn substitute(&self, request: &Outgoing<'_>) -> Result<Substituted, Failure> {
        Ok(self.inner().secrets.substitute(request)?)
    }

    pub(crate) fn has_trace(&self, text: &[u8]) -> bool {
        self.inner().secrets.has_trace(text)
    }

    /// What to do with the secret of this name.
    fn with<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut secrets::Secrets) -> Result<T, SecretError>,
    ) -> Answer<'static, T>
    where
        T: Send + 'static,
    {
        let done = match self.unset.get(name) {
            Some(error) => Err(error.clone()),
            None => act(&mut self.inner().secrets),
        };
        Box::pin(async { Ok(done?) })
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        let kind = match error.code() {
            secrets::SECRET | secrets::SECRET_USE => FailureKind::Denied,
            _ => FailureKind::Invalid,
        };
        Self::new(kind, error.code(), error.to_string())
    }
}

/// 128 bits that nobody can guess.
pub(super) fn random() -> Result<u128, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::transient(
            "host.random",
            format!("the system gives no random bits: {error}"),
        )
    })?;
    Ok(u128::from_le_bytes(bytes))
}

/// Signs as JSON web tokens want it.
fn sign(algorithm: &str, key: &[u8], message: &[u8]) -> Result<Vec<u8>, Failure> {
    let no_key = || {
        let message = "the secret is no private key for this algorithm: PEM, PKCS #8 (`openssl pkcs8 -topk8 -nocrypt`)";
        Failure::invalid("secret.malformed", message)
    };
    let failed = |_| Failure::invalid("secret.malformed", "the private key cannot sign");
    let key = PrivatePkcs8KeyDer::from_pem_slice(key).map_err(|_| no_key())?;
    let key = key.secret_pkcs8_der();
    let chance = SystemRandom::new();
    Ok(match algorithm {
        "RS256" => {
            let pair = RsaKeyPair::from_pkcs8(key).map_err(|_| no_key())?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(
                &signature::RSA_PKCS1_SHA256,
                &chance,
                message,
                &mut signature,
            )
            .map_err(failed)?;
            signature
        }
        "ES256" => {
            let kind = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = EcdsaKeyPair::from_pkcs8(kind, key, &chance).map_err(|_| no_key())?;
            pair.sign(&chance, message)
                .map_err(failed)?
                .as_ref()
                .to_vec()
        }
        "EdDSA" => {
            // OpenSSL writes keys of the first version, without the public half.
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).map_err(|_| no_key())?;
            pair.sign(message).as_ref().to_vec()
        }
        _ => {
            let message = "an algorithm is `RS256`, `ES256` or `EdDSA`";
            return Err(Failure::invalid("secret.invalid", message));
        }
    })
}

impl Secrets for Held {
    fn placeholder(&self, name: String) -> Answer<'_, String> {
        match random() {
            Ok(random) => self.with(&name, |secrets| secrets.placeholder(&name, random)),
            Err(failure) => Box::pin(async { Err(failure) }),
        }
    }

    fn basic(&self, user: String, password: String) -> Answer<'_, String> {
        match random() {
            Ok(random) => self.with(&password, |secrets| secrets.basic(&user, &password, random)),
            Err(failure) => Box::pin(async { Err(failure) }),
        }
    }

    fn adopt(&self, value: String, to: String) -> Answer<'_, String> {
        Box::pin(async move {
            let random = random()?;
            let mut inner = self.inner();
            let placeholder = inner.secrets.adopt(&value, &to, random)?;
            inner.masker = None;
            Ok(placeholder)
        })
    }

    fn hmac(
        &self,
        name: String,
        algorithm: String,
        key_prefix: String,
        messages: Vec<Vec<u8>>,
    ) -> Answer<'_, Vec<u8>> {
        self.with(&name, |secrets| {
            secrets.hmac(&name, &algorithm, &key_prefix, &messages)
        })
    }

    fn sign(&self, name: String, algorithm: String, message: Vec<u8>) -> Answer<'_, Vec<u8>> {
        let key = self.with(&name, |secrets| {
            secrets.signing_key(&name).map(<[u8]>::to_vec)
        });
        Box::pin(async move {
            let key = key.await?;
            // RSA takes a millisecond or more.
            blocking(move || sign(&algorithm, &key, &message)).await
        })
    }

    fn verify_hmac(
        &self,
        name: String,
        algorithm: String,
        message: Vec<u8>,
        tag: Vec<u8>,
    ) -> Answer<'_, bool> {
        self.with(&name, |secrets| {
            secrets.verify_hmac(&name, &algorithm, &message, &tag)
        })
    }

    fn equals(&self, name: String, candidate: Vec<u8>) -> Answer<'_, bool> {
        self.with(&name, |secrets| secrets.equals(&name, &candidate))
    }

    fn reveal(&self, name: String) -> Answer<'_, String> {
        self.with(&name, |secrets| secrets.reveal(&name))
    }

    fn masker(&self) -> Arc<Masker> {
        let Inner { secrets, masker } = &mut *self.inner();
        Arc::clone(masker.get_or_insert_with(|| Arc::new(secrets.masker().0)))
    }
}

#[cfg(test)]
mod tests;
