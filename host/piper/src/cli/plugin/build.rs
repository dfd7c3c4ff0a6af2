//! `piper plugin build`: runs the language's own build, and makes the component complete.
//!
//! The toolchain is the author's; piper calls it and puts the manifest and the schemas into what comes out, unless they are there already.

use super::{
    CliError, GlobalArgs,
    check::{self, MANIFEST},
};
use crate::{
    plugins::{
        component::{Component, Origin},
        files::{self, Authority},
        settings, shown,
    },
    ui::{Ui, sanitize::words},
};
use anyhow::{Context, anyhow};
use clap::Args;
use piper_core::{codes, id::PluginName, problem::Problem};
use piper_engine::process::tool;
use piper_plugin_host::{load, policy::manifest::Manifest};
use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Build the plugin of this folder into one complete file
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Where the component goes [default: NAME.wasm beside the manifest]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The target that plugins in Rust are built for.
const TARGET: &str = "wasm32-wasip2";

/// What JavaScript's build leaves.
const FROM_NPM: &str = "plugin.wasm";

/// The sections that are put into a component.
const SECTIONS: [&str; 3] = [
    "piper:manifest",
    "piper:config-schema",
    "piper:options-schema",
];

/// The largest file that is put into a component, in bytes.
const LARGEST_SECTION: usize = 1 << 20;

pub(super) fn run(args: &BuildArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let folder = global
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from("."));
    let source =
        files::read_text(&folder.join(MANIFEST), Authority::Anybody)?.ok_or_else(|| {
            Problem::error(
                codes::UNREADABLE,
                format!("there is no {MANIFEST} in `{}`", shown(&folder)),
            )
            .help("`piper plugin new` begins a plugin; -C DIR names another folder")
        })?;
    let loaded = check::read_manifest(&source);
    let problems = super::errors(loaded.problems);
    let Some(manifest) = loaded.manifest.filter(|_| problems.is_empty()) else {
        return Err(CliError::Problems(problems));
    };
    let is_there = |name: &str| folder.join(name).exists();
    let built = if is_there("Cargo.toml") {
        cargo(&folder, ui)?
    } else if is_there("package.json") {
        // Nothing of JavaScript's build makes schemas, and it takes long: what is wrong with them is said before it.
        schemas(&folder, &manifest)?;
        npm(&folder, ui)?
    } else {
        let problem = Problem::error(
            codes::UNREADABLE,
            format!(
                "`{}` has neither a Cargo.toml nor a package.json",
                shown(&folder)
            ),
        );
        return Err(problem
            .help(
                "build the component with its own toolchain; piper plugin check says what it lacks",
            )
            .into());
    };
    let bytes = files::read(&built, u64::MAX - 1, Authority::Anybody)?.ok_or_else(|| {
        anyhow!(
            "the build said that it went well, and there is no `{}`",
            shown(&built)
        )
    })?;
    let bytes = complete(&folder, &manifest, &source.text, bytes)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| folder.join(format!("{}.wasm", manifest.name)));
    files::write(&out, &bytes, 0o644)?;
    let component = Component::new(None, Origin::File, shown(&out), bytes);
    check::component_of(&component, ui)
}

/// Builds with Cargo, and says where the component is.
fn cargo(folder: &Path, ui: &Ui) -> Result<PathBuf, CliError> {
    run_visibly(
        folder,
        "cargo",
        &["build", "--release", "--target", TARGET],
        ui,
    )?;
    let args = ["metadata", "--no-deps", "--format-version=1"].map(OsStr::new);
    let output =
        tool::run("cargo", &args, folder, &[], tool::PLENTY).context("cannot start cargo")?;
    if !output.success {
        let said = output.stderr.lines().map(|line| words(line).into_owned());
        let problem = Problem::error(
            codes::NOT_LOADABLE,
            "`cargo metadata` failed, which says where the component is",
        );
        return Err(said.fold(problem, Problem::help).into());
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
    let manifest =
        std::fs::canonicalize(folder.join("Cargo.toml")).context("cannot find Cargo.toml")?;
    artifact(&metadata, &manifest).ok_or_else(|| {
        let problem = Problem::error(
            codes::NOT_LOADABLE,
            format!("`{}` builds no component", shown(&manifest)),
        );
        problem
            .help("write `[lib]` and `crate-type = [\"cdylib\"]` into it")
            .into()
    })
}

/// The file of the `cdylib` of the package with this manifest.
fn artifact(metadata: &Value, manifest: &Path) -> Option<PathBuf> {
    let packages = metadata["packages"].as_array()?;
    let package = packages.iter().find(|package| {
        package["manifest_path"]
            .as_str()
            .is_some_and(|path| Path::new(path) == manifest)
    })?;
    let is_cdylib = |target: &&Value| {
        target["crate_types"]
            .as_array()
            .is_some_and(|types| types.iter().any(|word| word == "cdylib"))
    };
    let target = package["targets"].as_array()?.iter().find(is_cdylib)?;
    let file = format!("{}.wasm", target["name"].as_str()?.replace('-', "_"));
    let folder = Path::new(metadata["target_directory"].as_str()?);
    Some(folder.join(TARGET).join("release").join(file))
}

fn npm(folder: &Path, ui: &Ui) -> Result<PathBuf, CliError> {
    if !folder.join("node_modules").exists() {
        run_visibly(folder, "npm", &["install", "--no-audit", "--no-fund"], ui)?;
    }
    run_visibly(folder, "npm", &["run", "build"], ui)?;
    Ok(folder.join(FROM_NPM))
}

/// Runs the author's own tool before his eyes: its words are talk, so they go to standard error.
#[expect(
    clippy::disallowed_methods,
    reason = "the tool runs in the foreground of the terminal and must get its signals, which a session of its own would keep from it"
)]
fn run_visibly(folder: &Path, program: &str, args: &[&str], ui: &Ui) -> Result<(), CliError> {
    ui.say(&format!("$ {program} {}", args.join(" ")));
    let status = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CliError::from(
                Problem::error(codes::UNREADABLE, format!("`{program}` is not on the PATH"))
                    .help("install it: the plugin is built with it"),
            ),
            _ => CliError::Failed(
                anyhow::Error::new(error).context(format!("cannot start {program}")),
            ),
        })?;
    match status.success() {
        true => Ok(()),
        false => Err(Problem::error(
            codes::NOT_LOADABLE,
            format!("`{program} {}` failed", args.join(" ")),
        )
        .help("what is wrong stands above")
        .into()),
    }
}

/// Puts the manifest and the schemas into a component that does not have them.
fn complete(
    folder: &Path,
    manifest: &Manifest,
    text: &str,
    mut bytes: Vec<u8>,
) -> Result<Vec<u8>, CliError> {
    let known = load::describe(&bytes)
        .map_err(|error| Problem::error(codes::NOT_LOADABLE, error.to_string()))?;
    // A macro of the SDK has put in all that there is.
    if known.manifest.as_deref() == Some(text) {
        return Ok(bytes);
    }
    let mut sections = vec![("piper:manifest", text.to_owned())];
    sections.extend(schemas(folder, manifest)?);
    // What another build left there would be a second one of its name.
    without(&mut bytes, &SECTIONS);
    for (name, content) in sections {
        append(&mut bytes, name, content.as_bytes());
    }
    Ok(bytes)
}

/// The schemas that the manifest names, each with its section.
fn schemas(folder: &Path, manifest: &Manifest) -> Result<Vec<(&'static str, String)>, CliError> {
    let mut sections = Vec::new();
    if let Some(schema) = &manifest.config_schema {
        let schema = read_schema(folder, &schema.to_string())?;
        sections.push(("piper:config-schema", schema.to_string()));
    }
    let options = options_schemas(folder, manifest)?;
    if !options.is_empty() {
        sections.push(("piper:options-schema", Value::Object(options).to_string()));
    }
    Ok(sections)
}

/// The schemas of all options, by kind and name.
fn options_schemas(
    folder: &Path,
    manifest: &Manifest,
) -> Result<serde_json::Map<String, Value>, CliError> {
    let mut kinds = serde_json::Map::new();
    for (kind, name, schema) in manifest.option_schemas() {
        let schema = read_schema(folder, &schema.to_string())?;
        let name = name.map_or("", PluginName::as_str);
        kinds.entry(kind).or_insert_with(|| json!({}))[name] = schema;
    }
    Ok(kinds)
}

fn read_schema(folder: &Path, name: &str) -> Result<Value, CliError> {
    let path = folder.join(name);
    let wrong = |why: String| {
        Problem::error(
            codes::UNREADABLE,
            format!("`{}`: {why}", words(&shown(&path))),
        )
        .help(format!("{MANIFEST} names it as a JSON schema"))
    };
    let bytes = files::read(&path, LARGEST_SECTION as u64, Authority::Anybody)?
        .ok_or_else(|| wrong("there is no such file".to_owned()))?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("it is not JSON: {error}")))?;
    if !value.is_object() {
        return Err(wrong("it is not a JSON object".to_owned()).into());
    }
    if settings::is_by_kind(&value) {
        let why = "it has schemas by kind, which `piper plugin build` makes of the manifest";
        return Err(wrong(why.to_owned())
            .help("write the schema itself into it: {\"type\": \"object\", …}")
            .into());
    }
    Ok(value)
}

/// Takes sections of these names out of the component's own level.
fn without(component: &mut Vec<u8>, names: &[&str]) {
    /// The magic number and the version.
    const HEAD: usize = 8;
    let mut at = HEAD;
    // What is no component is left as it is: whoever loads it says so.
    while let Some((content, length)) = component.get(at + 1..).and_then(read_leb128) {
        let (begin, end) = (at + 1 + content, at + 1 + content + length);
        let Some(section) = component.get(begin..end) else {
            return;
        };
        let name = read_leb128(section).and_then(|(name, length)| section.get(name..name + length));
        let is_one = |wanted: &&str| name == Some(wanted.as_bytes());
        if component[at] == 0 && names.iter().any(is_one) {
            component.drain(at..end);
        } else {
            at = end;
        }
    }
}

/// A number as WebAssembly writes it: how many bytes it has, and which it is.
fn read_leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    let digits = bytes[..length].iter().rev();
    let number = digits.fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f));
    Some((length, number))
}

/// Appends a custom section; at the component's own level, it wins over those of its parts.
fn append(component: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut named = Vec::new();
    leb128(&mut named, name.len());
    named.extend_from_slice(name.as_bytes());
    named.extend_from_slice(content);
    component.push(0);
    leb128(component, named.len());
    component.extend_from_slice(&named);
}

/// A number as WebAssembly writes it.
fn leb128(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use piper_core::problem::Severity;
    use piper_plugin_host::policy::manifest;
    use serde_json::json;
    use test_case::test_case;

    #[test_case(0, &[0])]
    #[test_case(127, &[0x7f])]
    #[test_case(128, &[0x80, 1])]
    #[test_case(624_485, &[0xe5, 0x8e, 0x26])]
    fn a_number_is_written_as_webassembly_does(number: usize, expected: &[u8]) {
        let mut out = Vec::new();
        leb128(&mut out, number);
        assert_eq!(out, expected);
    }

    #[test]
    fn a_section_that_was_there_is_replaced() {
        let empty = b"\0asm\x0d\0\x01\0".to_vec();
        let mut component = empty.clone();
        append(&mut component, "acme:own", &[b'x'; 300]);
        let mut expected = component.clone();
        append(&mut component, "piper:manifest", &[b'a'; 200]);
        append(&mut component, "acme:more", b"");
        append(&mut component, "piper:manifest", b"b");
        append(&mut expected, "acme:more", b"");
        without(&mut component, &SECTIONS);
        assert_eq!(component, expected);
        for damaged in [&b""[..], b"\0asm", &expected[..expected.len() - 1]] {
            let mut same = damaged.to_vec();
            without(&mut same, &SECTIONS);
            assert_eq!(same, damaged);
        }
    }

    #[test]
    fn a_section_is_found_again() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        append(&mut component, "piper:manifest", b"manifest = 1\n");
        assert_eq!(
            component[8..11],
            [0, 28, 14],
            "id, size, length of the name"
        );
        assert!(component.ends_with(b"piper:manifestmanifest = 1\n"));
    }

    #[test]
    fn the_component_of_a_workspaces_member_lies_in_its_target_folder() {
        let metadata = json!({
            "target_directory": "/w/target",
            "packages": [
                { "manifest_path": "/w/other/Cargo.toml", "targets": [] },
                { "manifest_path": "/w/my/Cargo.toml", "targets": [
                    { "name": "build-script-build", "crate_types": ["bin"] },
                    { "name": "my-plugin", "crate_types": ["cdylib"] },
                ] },
            ],
        });
        let found = artifact(&metadata, Path::new("/w/my/Cargo.toml"));
        assert_eq!(
            found,
            Some(PathBuf::from(
                "/w/target/wasm32-wasip2/release/my_plugin.wasm"
            ))
        );
        assert_eq!(artifact(&metadata, Path::new("/w/other/Cargo.toml")), None);
    }

    #[test]
    fn schemas_of_options_stand_by_kind_and_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json"), "{\"type\": \"object\"}").unwrap();
        let text = "manifest = 1\nname = \"a\"\nversion = \"1.0.0\"\n[[step]]\nname = \"one\"\nrole = \"runner\"\nschema = \"a.json\"\n[[notifier]]\n";
        let loaded = manifest::load(&std::sync::Arc::new(piper_core::problem::Source {
            path: "m".into(),
            text: text.to_owned(),
        }));
        let manifest = loaded.manifest.unwrap();
        assert!(
            loaded
                .problems
                .iter()
                .all(|problem| problem.severity == Severity::Warning)
        );
        let schemas = options_schemas(folder.path(), &manifest).unwrap();
        let expected = json!({ "step-runner": { "one": { "type": "object" } } });
        assert_eq!(Value::Object(schemas), expected);
        std::fs::write(folder.path().join("a.json"), expected.to_string()).unwrap();
        let Err(CliError::Problems(problems)) = options_schemas(folder.path(), &manifest) else {
            panic!("it would be by kind twice");
        };
        assert!(problems[0].message.contains("has schemas by kind"));
    }
}
