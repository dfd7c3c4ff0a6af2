//! Components for tests: `tests/guests` built once, and what can be put into a component from outside.
//!
//! Knows nothing of any host.

#[path = "../../../host/plugin-host/src/tests/build.rs"]
mod build;

use std::{fs, sync::OnceLock};

/// The component that is every kind, and does what the first word of a call's name says. It has no manifest.
pub(crate) fn odd() -> &'static [u8] {
    static ODD: OnceLock<Vec<u8>> = OnceLock::new();
    ODD.get_or_init(|| fs::read(build::guest("piper-test-guests")).expect("the guest was built"))
}

/// The component with a custom section more, at its own level.
pub(crate) fn with_section(component: &[u8], name: &str, content: &str) -> Vec<u8> {
    let number = |mut number: usize| {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let named = [&number(name.len()), name.as_bytes(), content.as_bytes()].concat();
    [component, &[0], &number(named.len()), &named].concat()
}
