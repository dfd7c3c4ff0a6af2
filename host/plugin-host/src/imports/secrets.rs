//! `secrets`.

use super::{Answered, ask};
use crate::{failure::Failure, instance::Sandbox, wit::v0_1::piper::base::secrets::Host};

impl Host for Sandbox {
    async fn placeholder(&mut self, name: String) -> Answered<String> {
        ask!(self, secrets, "policy.secret", "secrets", |secrets| secrets
            .placeholder(name))
    }

    async fn basic(&mut self, user: String, password: String) -> Answered<String> {
        ask!(self, secrets, "policy.secret", "secrets", |secrets| secrets
            .basic(user, password))
    }

    async fn adopt(&mut self, value: String, to: String) -> Answered<String> {
        ask!(self, secrets, "policy.secret", "secrets", |secrets| secrets
            .adopt(value, to))
    }

    async fn hmac(
        &mut self,
        name: String,
        algorithm: String,
        key_prefix: String,
        messages: Vec<Vec<u8>>,
    ) -> Answered<Vec<u8>> {
        if messages.is_empty() {
            let message =
                "`hmac` needs a message: without one, the answer would be the secret itself";
            let refused = Failure::invalid("secret.no-message", message);
            return Ok(self.told.answer(Err(refused)));
        }
        ask!(self, secrets, "policy.secret", "secrets", |secrets| {
            secrets.hmac(name, algorithm, key_prefix, messages)
        })
    }

    async fn sign(
        &mut self,
        name: String,
        algorithm: String,
        message: Vec<u8>,
    ) -> Answered<Vec<u8>> {
        ask!(self, secrets, "policy.secret", "secrets", |secrets| secrets
            .sign(name, algorithm, message))
    }

    async fn verify_hmac(
        &mut self,
        name: String,
        algorithm: String,
        message: Vec<u8>,
        tag: Vec<u8>,
    ) -> Answered<bool> {
        ask!(self, secrets, "policy.secret", "secrets", |secrets| {
            secrets.verify_hmac(name, algorithm, message, tag)
        })
    }

    async fn equals(&mut self, name: String, candidate: Vec<u8>) -> Answered<bool> {
        ask!(self, secrets, "policy.secret", "secrets", |secrets| secrets
            .equals(name, candidate))
    }

    async fn reveal(&mut self, name: String) -> Answered<String> {
        ask!(self, secrets, "policy.secret", "secrets", |secrets| secrets
            .reveal(name))
    }
}
