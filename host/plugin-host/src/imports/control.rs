//! `control`: always granted.

use super::Answered;
use crate::{instance::Sandbox, wit::v0_1::piper::base::control::Host};
use std::time::Duration;
use wasmtime::Result;

/// Every signature that is released; what this host has.
const RELEASED: &str = include_str!("../../../../plugin-sdk/wit/released/0.1.0.txt");

impl Host for Sandbox {
    fn cancelled(&mut self) -> Result<bool> {
        Ok(self.brake.is_stopped())
    }

    fn remaining_ms(&mut self) -> Result<u32> {
        Ok(u32::try_from(self.brake.remaining().as_millis()).unwrap_or(u32::MAX))
    }

    async fn sleep_ms(&mut self, ms: u32) -> Answered<()> {
        let brake = self.brake.clone();
        let slept = brake.sleep(Duration::from_millis(ms.into())).await;
        Ok(self.told.answer(slept))
    }

    fn supports(&mut self, feature: String) -> Result<bool> {
        Ok(supports(&feature))
    }
}

/// Whether a released interface, function or method has this name, methods without their brackets.
fn supports(feature: &str) -> bool {
    RELEASED.lines().any(|line| {
        let name = line.split(" = ").next().unwrap_or_default();
        let plain = name.replace("[method]", "").replace("[constructor]", "");
        name == feature || plain == feature
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("piper:base/http", true; "an interface")]
    #[test_case("piper:base/state.put", true; "a function")]
    #[test_case("piper:base/http.request.gzip", true; "a method")]
    #[test_case("piper:base/http.[method]request.gzip", true; "a method as it is linked")]
    #[test_case("piper:base/http.request.http3", false; "a later method")]
    #[test_case("", false; "nothing")]
    #[test_case("# Written", false; "a comment")]
    fn what_is_released_is_supported(feature: &str, expected: bool) {
        assert_eq!(supports(feature), expected);
    }
}
