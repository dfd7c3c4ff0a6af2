//! Compiles the plugins beside this crate, all in one nested `cargo build`, and writes the table of them.
//!
//! `PIPER_BUILTIN_PLUGINS=/folder` takes `NAME.wasm` from there instead: for packagers, and for machines without the target.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script starts cargo, and waits for it"
)]

use sha2::{Digest, Sha256};
use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-wasip2";
/// The profile of the workspace that makes components small.
const PROFILE: &str = "plugin";
const FOLDER: &str = "PIPER_BUILTIN_PLUGINS";

fn main() {
    let plugins = path("CARGO_MANIFEST_DIR").join("..");
    let plugins = plugins.canonicalize().expect("this crate is in a folder");
    let names = names(&plugins);
    println!("cargo::rerun-if-env-changed={FOLDER}");
    let components = match env::var_os(FOLDER) {
        Some(folder) => given(folder.into(), &names),
        None => built(&plugins, &names),
    };
    let mut table = String::from("[\n");
    for name in &names {
        let component = components.file(name);
        let bytes = fs::read(&component).unwrap_or_else(|error| {
            panic!(
                "{}: {error}; without {FOLDER} it would be compiled here",
                component.display()
            )
        });
        let manifest = plugins.join(name).join("piper-plugin.toml");
        watch(&manifest);
        let _ = writeln!(
            table,
            "    Builtin {{ name: {name:?}, component: include_bytes!({component:?}), digest: {:?}, manifest: include_str!({manifest:?}) }},",
            <[u8; 32]>::from(Sha256::digest(&bytes)),
        );
    }
    table.push(']');
    fs::write(path("OUT_DIR").join("table.rs"), table).expect("OUT_DIR can be written");
}

fn path(variable: &str) -> PathBuf {
    env::var_os(variable).expect("cargo sets it").into()
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// The folders with a manifest, sorted. A new one is noticed because it must be named in the workspace's `Cargo.toml`.
fn names(plugins: &Path) -> Vec<String> {
    let entries = fs::read_dir(plugins).expect("the folder of plugins can be read");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("it can be listed"))
        .filter(|entry| entry.path().join("piper-plugin.toml").is_file())
        .map(|entry| {
            let name = entry.file_name().into_string();
            name.expect("a plugin's name is ASCII")
        })
        .collect();
    names.sort();
    names
}

/// Where the components are, as `NAME.wasm`.
struct Folder(PathBuf);

impl Folder {
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.wasm"))
    }
}

/// Components that somebody else compiled.
fn given(folder: PathBuf, names: &[String]) -> Folder {
    let folder = Folder(folder);
    // Not what is made here: that is always newer than the last run, which made it.
    names.iter().for_each(|name| watch(&folder.file(name)));
    folder
}

fn built(plugins: &Path, names: &[String]) -> Folder {
    let workspace = plugins.parent().expect("the plugins are in a workspace");
    let out = path("OUT_DIR");
    // A folder of its own: the cargo that runs this holds the lock of the one that it was told of.
    let target = out.join("wasm");
    add_target();
    let mut cargo = Command::new(path("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--locked",
        "--target",
        TARGET,
        "--profile",
        PROFILE,
    ]);
    for name in names {
        cargo.args(["--package", &package(name)]);
    }
    // What the cargo around this was told is about piper, not about plugins.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_about_piper) {
            cargo.env_remove(&name);
        }
    }
    let home = env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    // Panics name files. The same sources make the same component wherever they are compiled, and it names nobody's home.
    let flags = [(workspace, "/piper"), (home.as_path(), "/cargo")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(workspace);
    let status = cargo.status().expect("cargo can be started again");
    assert!(
        status.success(),
        "the built-in plugins do not compile: {cargo:?}"
    );

    watch(&workspace.join("Cargo.toml"));
    watch(&workspace.join("Cargo.lock"));
    let made = target.join(TARGET).join(PROFILE);
    for name in names {
        watch(&plugins.join(name).join("Cargo.toml"));
        let artifact = made.join(package(name).replace('-', "_"));
        sources(&artifact.with_extension("d"))
            .iter()
            .for_each(|source| watch(source));
        fs::copy(
            artifact.with_extension("wasm"),
            out.join(format!("{name}.wasm")),
        )
        .expect("cargo made the component");
    }
    Folder(out)
}

fn package(name: &str) -> String {
    format!("piper-plugin-{name}")
}

fn is_about_piper(variable: &str) -> bool {
    const NAMES: [&str; 5] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ];
    const PREFIXES: [&str; 3] = ["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_"];
    NAMES.contains(&variable) || PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

/// The files that an artifact was made of, from what cargo wrote beside it: `artifact: file file`, with `\ ` for a space.
fn sources(list: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(list).expect("cargo says what it compiled");
    let (_, files) = text.split_once(": ").unwrap_or_default();
    files
        .trim_end()
        .replace("\\ ", "\0")
        .split(' ')
        .filter(|file| !file.is_empty())
        .map(|file| file.replace('\0', " ").into())
        .collect()
}

/// Makes sure of the standard library for the target. A fresh machine needs no other command than cargo's.
fn add_target() {
    let sysroot = Command::new(path("RUSTC"))
        .args(["--print", "sysroot"])
        .output()
        .expect("rustc can be started");
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return;
    }
    println!("cargo::warning=adding the target {TARGET}, for the built-in plugins");
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "the built-in plugins are compiled for {TARGET}, which this toolchain does not have: run `rustup target add {TARGET}`, \
         or set {FOLDER} to a folder with the compiled plugins"
    );
}
