//! The call's own clock and brake. Always granted.
//!
//! Once a call is cancelled or its time is nearly over, whatever waits ends with `cancelled`. A grace period follows, in which new requests
//! are allowed: abort the upload, then return.

use crate::{failure::Result, host};
use std::time::Duration;

/// Whether the call is being stopped. Worth asking between pieces of work.
pub fn cancelled() -> bool {
    host::cancelled()
}

/// How long it is until the plugin is dropped, grace period included.
pub fn remaining() -> Duration {
    host::remaining()
}

/// Waits.
///
/// # Errors
///
/// `cancelled`, as soon as the call is stopped.
pub fn sleep(time: Duration) -> Result<()> {
    host::sleep(time)
}

/// Whether this host can do something: a function by its full name, such as `piper:base/http.request.gzip`.
pub fn supports(feature: &str) -> bool {
    host::supports(feature)
}
