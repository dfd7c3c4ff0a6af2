//! Builds guests for tests and benches, here and of the whole program; included by each.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Builds a package of `tests/guests`, and says where the component is.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo is not a step of a build; the test waits for it"
)]
pub(crate) fn guest(package: &str) -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests");
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
            "--package",
            package,
        ])
        .current_dir(crate_folder)
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
    let file = format!("wasm32-wasip2/release/{}.wasm", package.replace('-', "_"));
    target.join(file)
}
