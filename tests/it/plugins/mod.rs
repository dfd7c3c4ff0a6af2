//! `piper plugin …`, with real components.

mod author;
mod calls;
mod conformance;
mod facts;
mod folders;
mod grants;
mod look;
mod notifiers;
mod pipelines;
mod remote;

use crate::support::{Call, TestEnv, guests};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    sync::OnceLock,
};

/// A manifest for the guest that is every kind.
pub(super) const MANIFEST: &str = r#"manifest = 1
name = "odd"
version = "1.4.0"
license = "MIT"
description = "Is everything"
[[step]]
name = "plan"
role = "planner"
[[step]]
name = "run"
role = "runner"
[[trigger]]
[[notifier]]
[[webhook]]
verify = "plugin"
[log-sink]
[[permission.http]]
to = "POST {config.url}/_bulk"
why = "send log batches"
[[permission.secret]]
name = "api-key"
use = { header = "authorization" }
why = "authenticate"
[[permission.files]]
workspace = "write"
why = "write what it made"
[[permission.state]]
why = "remember"
optional = true
"#;

/// The component that is every kind, with this manifest.
pub(super) fn component(manifest: &str) -> Vec<u8> {
    guests::with_section(guests::odd(), "piper:manifest", manifest)
}

/// A project with the component that is every kind, as `odd.wasm`.
pub(super) fn project() -> TestEnv {
    let env = TestEnv::new("[steps]\na = 'true'\n");
    env.write("odd.wasm", component(MANIFEST));
    env
}

/// A call of `piper plugin`.
pub(super) fn plugin(env: &TestEnv, args: &[&str]) -> Call {
    cached(env.call(&["plugin"]).args(args))
}

/// A call for which compiled components are kept from test to test: compiling is what takes long.
pub(super) fn cached(call: Call) -> Call {
    static CACHE: OnceLock<std::path::PathBuf> = OnceLock::new();
    let cache = CACHE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache");
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.unwrap();
        folder
    });
    call.env("XDG_CACHE_HOME", cache)
}

/// The operator's file.
pub(super) fn grants(env: &TestEnv) -> std::path::PathBuf {
    env.beside("config").join("piper/plugins.toml")
}

/// Writes the operator's file.
pub(super) fn write_grants(env: &TestEnv, text: &str) {
    let file = grants(env);
    let folder = file.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(&file, text).unwrap();
    // As piper makes them, whatever the umask of whoever runs the tests.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}
