//! Components for tests: `tests/guests` built once, and what can be put into a component from outside.
//!
//! Knows nothing of any host, so that the unit tests of others can share this file.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The component that is every kind, and does what the first word of a call's name says. It has no manifest.
pub(crate) fn odd() -> &'static [u8] {
    static ODD: OnceLock<Vec<u8>> = OnceLock::new();
    ODD.get_or_init(|| fs::read(build_guests()).expect("the guest was built"))
}

fn build_guests() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests");
    // Not the target folder itself: the cargo that runs this test may hold its lock.
    let test = env::current_exe().expect("a test has a file");
    let target = test
        .ancestors()
        .nth(3)
        .expect("tests lie in target/PROFILE/deps")
        .join("guests");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--target",
            "wasm32-wasip2",
        ])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", &target);
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    let built = cargo.status().expect("cargo can be run");
    assert!(
        built.success(),
        "the guests do not build; is the target there? `rustup target add wasm32-wasip2`"
    );
    target.join("wasm32-wasip2/release/piper_test_guests.wasm")
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
