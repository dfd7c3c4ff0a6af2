//! How the programs are linked, and the SDK of plugins that they carry.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    link_at_fixed_addresses();
    carry_sdk();
}

/// A program that may lie anywhere has a pointer to mend for each of its tables when it starts: 37,000, most of them WebAssembly's, on 200 pages
/// that it then has for itself. That is a fifth of what a build of one step takes. Heap, stack and libraries still lie where nobody knows.
fn link_at_fixed_addresses() {
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}

/// Writes the table of the SDK's files for `piper plugin new`: whoever has piper can write plugins for it, without a registry or a checkout.
fn carry_sdk() {
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    let root = root.canonicalize().expect("this crate is in a workspace");
    let sdk = root.join("plugin-sdk");
    let mut files = vec![root.join("LICENSE"), sdk.join("README.md")];
    for folder in ["src", "macros/src", "wit/v0.1"] {
        files_below(&sdk.join(folder), &mut files);
    }
    let mut table = String::from("&[\n");
    for file in files {
        watch(&file);
        let name = file.strip_prefix(&sdk).unwrap_or(Path::new("LICENSE"));
        let _ = writeln!(
            table,
            "({:?}, include_str!({file:?})),",
            name.to_str().expect("its files have plain names")
        );
    }
    let workspace = Workspace::read(&root.join("Cargo.toml"));
    for name in ["Cargo.toml", "macros/Cargo.toml"] {
        let _ = writeln!(
            table,
            "({name:?}, {:?}),",
            workspace.flatten(&sdk.join(name))
        );
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("sdk.rs"), table).expect("OUT_DIR can be written");
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    watch(folder);
    let entries = fs::read_dir(folder).expect("the SDK's folders can be read");
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| entry.expect("they can be listed").path())
        .collect();
    entries.sort();
    for entry in entries {
        match entry.is_dir() {
            true => files_below(&entry, files),
            false => files.push(entry),
        }
    }
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// What members of the workspace inherit, by `section.key`: each on a line of its own.
struct Workspace(BTreeMap<String, String>);

impl Workspace {
    fn read(manifest: &Path) -> Self {
        watch(manifest);
        let text = fs::read_to_string(manifest).expect("the workspace has a manifest");
        let mut values = BTreeMap::new();
        let mut section = String::new();
        for line in text.lines() {
            if let Some(name) = section_of(line) {
                section = name.to_owned();
            } else if let Some((key, value)) = line.split_once(" = ") {
                values.insert(format!("{section}.{key}"), value.to_owned());
            }
        }
        Self(values)
    }

    /// A member's manifest as it would be alone, without what only our own tests and lints need.
    fn flatten(&self, manifest: &Path) -> String {
        watch(manifest);
        let text = fs::read_to_string(manifest).expect("the SDK has manifests");
        let (mut flat, mut section) = (String::new(), "");
        for line in text.lines() {
            section = section_of(line).unwrap_or(section);
            if matches!(section, "lints" | "dev-dependencies") {
                continue;
            }
            let Some(key) = line.strip_suffix(".workspace = true") else {
                flat.push_str(line);
                flat.push('\n');
                continue;
            };
            let inherited = match section {
                "package" => "workspace.package",
                _ => "workspace.dependencies",
            };
            let value = &self.0[&format!("{inherited}.{key}")];
            let _ = writeln!(flat, "{key} = {}", value.replace("\"plugin-sdk/", "\""));
        }
        flat
    }
}

fn section_of(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.strip_suffix(']')
}
