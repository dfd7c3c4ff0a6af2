//! Builds plugins as their READMEs say, each with the toolchain of its language.
//!
//! What is not Rust needs npm or Python and the registries: where those are missing, it says SKIPPED, unless `PIPER_TEST_ALL` is set.

use piper_plugin_host::{Host, HostOptions, Plugin};
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/plugins")
        .join(name)
}

/// Where tests may build: not the target folder itself, because the cargo that runs them may hold its lock.
fn scratch() -> PathBuf {
    let test = env::current_exe().expect("a test has a file");
    test.ancestors()
        .nth(3)
        .expect("tests lie in target/PROFILE/deps")
        .join("examples")
}

#[expect(
    clippy::disallowed_methods,
    reason = "no step of a build: the test waits for it"
)]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    // They may be told what the cargo around this test was told.
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} ended with {}: {said}", output.status))
}

/// A crate of this workspace as a component.
pub(crate) fn rust(package: &str, folder: &Path) -> Vec<u8> {
    let target = scratch();
    let built = run(command(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--target",
            "wasm32-wasip2",
            "-p",
            package,
        ])
        // What is called is the plugin; the workspace's own setting is for the program that goes to users, and takes minutes.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(folder));
    built.expect("Rust builds it; is the target there? `rustup target add wasm32-wasip2`");
    let file = format!("wasm32-wasip2/release/{}.wasm", package.replace('-', "_"));
    fs::read(target.join(file)).expect("it was built")
}

/// A component, by a host of its own.
pub(crate) fn loaded(component: &[u8]) -> Plugin {
    Host::new(HostOptions::default())
        .load(component)
        .expect("it is a plugin")
}

/// Builds in a copy, so that nothing is left in the checkout, and two tests do not meet.
fn copied(name: &str) -> PathBuf {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk");
    let root = scratch();
    for (from, to) in [
        (example(name), root.join("examples/plugins").join(name)),
        (sdk.join("js"), root.join("plugin-sdk/js")),
        (sdk.join("python"), root.join("plugin-sdk/python")),
    ] {
        fs::create_dir_all(&to).expect("the target folder can be written");
        for entry in fs::read_dir(&from).expect("it is there") {
            let path = entry.expect("it can be listed").path();
            // Not what somebody may have built there before.
            if path.is_file() && path.extension().is_none_or(|extension| extension != "wasm") {
                fs::copy(&path, to.join(path.file_name().expect("a file has a name")))
                    .expect("it can be copied");
            }
        }
    }
    let wit = root.join("plugin-sdk/wit");
    if !wit.exists() {
        let _ =
            std::os::unix::fs::symlink(sdk.canonicalize().expect("it is there").join("wit"), wit);
    }
    root.join("examples/plugins").join(name)
}

fn javascript(name: &str) -> Result<Vec<u8>, String> {
    let folder = copied(name);
    run(command("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(&folder))?;
    run(command("npm").args(["run", "build"]).current_dir(&folder)).expect("JavaScript builds it");
    Ok(fs::read(folder.join("plugin.wasm")).expect("it was built"))
}

fn python(name: &str) -> Result<Vec<u8>, String> {
    let folder = copied(name);
    let python = folder.join(".venv/bin/python");
    run(command("python3")
        .args(["-m", "venv", ".venv"])
        .current_dir(&folder))?;
    run(command(&python)
        .args(["-m", "pip", "install", "--quiet", "-r", "requirements.txt"])
        .current_dir(&folder))?;
    let world = "piper:step/step-runner-plugin@0.1.0";
    let build = "../../../plugin-sdk/python/build.py";
    run(command(&python).args([build, world]).current_dir(&folder)).expect("Python builds it");
    Ok(fs::read(folder.join("plugin.wasm")).expect("it was built"))
}

/// The plugin, or nothing if its toolchain is not to be had here.
pub(crate) fn load(name: &str) -> Option<Plugin> {
    Some(loaded(&component(name)?))
}

/// The component of an example, or nothing if its toolchain is not to be had here.
pub(crate) fn component(name: &str) -> Option<Vec<u8>> {
    let built = match name.split('-').next() {
        Some("js") => javascript(name),
        Some("python") => python(name),
        _ => Ok(rust(name, &example(name))),
    };
    match built {
        Ok(component) => Some(component),
        Err(why) if env::var_os("PIPER_TEST_ALL").is_some() => panic!("{why}"),
        Err(why) => {
            // Past the test harness, which keeps what a passing test prints to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: {why}");
            None
        }
    }
}
