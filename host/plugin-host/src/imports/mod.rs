//! The imports of the contract, as each instance sees them: whether it was granted, how often it was called, and when to stop waiting.
//!
//! No effects here: those are [`service`](crate::service)s.

mod builds;
mod control;
pub(crate) mod exec;
mod files;
pub(crate) mod held;
pub(crate) mod http;
mod log;
pub(crate) mod requests;
mod secrets;
mod state;
mod step;
pub(crate) mod told;
pub(crate) mod wasi_http;

use crate::{failure::Failure, instance::Sandbox, wit::v0_1::types};
use std::sync::Arc;
use wasmtime::Result;

/// What an import answers.
type Answered<T> = Result<Result<T, types::Failure>>;

impl types::Host for Sandbox {}
impl crate::wit::v0_1::trigger_types::Host for Sandbox {}
impl crate::wit::v0_1::log_types::Host for Sandbox {}

/// A service, if it was granted.
fn granted<T: ?Sized>(
    service: Option<&Arc<T>>,
    code: &str,
    what: &str,
) -> std::result::Result<Arc<T>, Failure> {
    service.cloned().ok_or_else(|| {
        Failure::denied(
            code,
            format!("this plugin was not granted {what}: its manifest must ask for it, and `piper plugin grant` gives it"),
        )
    })
}

/// Waits for a granted service, but not beyond the moment in which the call is stopped.
macro_rules! ask {
    ($sandbox:expr, $service:ident, $code:literal, $what:literal, |$granted:ident| $effect:expr) => {{
        let brake = $sandbox.brake.clone();
        let service = $crate::imports::granted($sandbox.services.$service.as_ref(), $code, $what);
        let answer = match service {
            Ok($granted) => brake.wait($effect).await,
            Err(failure) => Err(failure),
        };
        Ok($sandbox.told.answer(answer))
    }};
}
use ask;
