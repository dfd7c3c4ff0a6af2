//! `piper plugin new`: a plugin that builds, and whose tests pass, before anything is written.
//!
//! What is generated is text with a few names filled in. Nothing is downloaded and nothing is run.

use super::{CliError, GlobalArgs};
use crate::{
    exit_code,
    plugins::{files, shown},
    ui::{OutputFormat, Ui},
};
use anyhow::Context;
use clap::{Args, ValueEnum, builder::PossibleValuesParser};
use piper_core::{codes, id::PluginName, problem::Problem};
use serde_json::json;
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Begin a plugin, in a folder of its own
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Its name, and that of its folder
    #[arg(value_name = "NAME")]
    plugin: String,
    /// What it is: step-runner, step-planner, notifier, log-sink, log-reader, trigger-poll or trigger-webhook
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS.map(|kind| kind.name)), hide_possible_values = true)]
    kind: String,
    /// In which language: rust or js
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "LANG",
        hide_possible_values = true
    )]
    lang: Language,
    /// A checkout's folder plugin-sdk, for Rust [default: the one above, or a copy of piper's own beside the plugin]
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// The languages that there is a beginning for; any other with a component toolchain will do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Language {
    #[default]
    Rust,
    Js,
}

/// What is different for each kind.
struct Template {
    name: &'static str,
    rust: &'static str,
    /// What stands in its manifest.
    manifest: &'static str,
    js: JavaScript,
}

/// What JavaScript has beside the manifest. In Rust, schemas are made of the types of settings.
struct JavaScript {
    /// The world of the contract that it is built for.
    world: &'static str,
    plugin: &'static str,
    /// What knows nothing of piper: the file's name, it, and its test.
    module: (&'static str, &'static str, &'static str),
    schema: Schema,
}

/// The schema of what is said to a plugin.
enum Schema {
    /// By the operator, to the plugin.
    Config(&'static str),
    /// By whoever uses what stands in the manifest's first table.
    Options(&'static str),
}

/// The part of a template that is in JavaScript.
macro_rules! javascript {
    ($kind:literal, $world:literal, $module:literal, $schema:ident($file:literal)) => {
        JavaScript {
            world: $world,
            plugin: include_str!(concat!("js/", $kind, ".js")),
            module: (
                $module,
                include_str!(concat!("js/", $module, ".js")),
                include_str!(concat!("js/", $module, ".test.js")),
            ),
            schema: Schema::$schema(include_str!(concat!("js/", $file, ".schema.json"))),
        }
    };
}

const KINDS: [Template; 7] = [
    Template {
        name: "step-runner",
        rust: include_str!("rust/step-runner.rs"),
        manifest: "[[step]]\nrole = \"runner\"\n",
        js: javascript!(
            "step-runner",
            "piper:step/step-runner-plugin@0.1.0",
            "greeting",
            Options("greeting")
        ),
    },
    Template {
        name: "step-planner",
        rust: include_str!("rust/step-planner.rs"),
        manifest: "[[step]]\nrole = \"planner\"\n",
        js: javascript!(
            "step-planner",
            "piper:step/step-planner-plugin@0.1.0",
            "greeting",
            Options("greeting")
        ),
    },
    Template {
        name: "notifier",
        rust: include_str!("rust/notifier.rs"),
        manifest: "[[notifier]]\nevents = [\"build.finished\"]\n\n[[permission.http]]\nto = \"POST {config.url}\"\nwhy = \"post the message\"\n",
        js: javascript!(
            "notifier",
            "piper:notify/notifier-plugin@0.1.0-draft.1",
            "message",
            Config("server")
        ),
    },
    Template {
        name: "log-sink",
        rust: include_str!("rust/log-sink.rs"),
        manifest: "[log-sink]\norder = \"none\"\nin-flight = 2\n\n[[permission.http]]\nto = \"POST {config.url}\"\nwhy = \"ship the lines\"\n",
        js: javascript!(
            "log-sink",
            "piper:logs/log-sink-plugin@0.1.0-draft.1",
            "lines",
            Config("server")
        ),
    },
    Template {
        name: "log-reader",
        rust: include_str!("rust/log-reader.rs"),
        manifest: "[[permission.http]]\nto = \"GET {config.url}\"\nwhy = \"read the lines\"\n",
        js: javascript!(
            "log-reader",
            "piper:logs/log-reader-plugin@0.1.0-draft.1",
            "page",
            Config("server")
        ),
    },
    Template {
        name: "trigger-poll",
        rust: include_str!("rust/trigger-poll.rs"),
        manifest: "[[trigger]]\n\n[[permission.vcs]]\nwhy = \"see which branches moved\"\n",
        js: javascript!(
            "trigger-poll",
            "piper:trigger/trigger-poll-plugin@0.1.0-draft.1",
            "moves",
            Options("moves")
        ),
    },
    Template {
        name: "trigger-webhook",
        rust: include_str!("rust/trigger-webhook.rs"),
        manifest: "[[webhook]]\nverify = { hmac = \"sha256\", header = \"x-forge-signature\", secret = \"webhook\" }\n\n[[permission.secret]]\nname = \"webhook\"\nuse = { verify = true }\nwhy = \"know that the forge sent it\"\n",
        js: javascript!(
            "trigger-webhook",
            "piper:trigger/trigger-webhook-plugin@0.1.0-draft.1",
            "push",
            Options("push")
        ),
    },
];

/// Where a plugin's own copy of the SDK is.
const CARRIED: &str = "piper-plugin-sdk";

/// The files of the SDK, which are a part of piper: a plugin needs no registry and no repository to begin with.
const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The toolchain for JavaScript, in a version that was tried.
const COMPONENTIZE: &str = "0.23.0";

pub(super) fn run(args: &NewArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let name = PluginName::parse(&args.plugin).map_err(|error| {
        Problem::error(codes::BAD_NAME, error.to_string())
            .help("it becomes the name of a folder and of a package")
    })?;
    let parent = global.directory.clone().unwrap_or_default();
    let folder = parent.join(name.as_str());
    if fs::symlink_metadata(&folder).is_ok() {
        let problem = Problem::error(
            codes::FILE_EXISTS,
            format!("`{}` exists already", shown(&folder)),
        );
        return Err(problem
            .help("choose another name, or another folder with -C DIR")
            .into());
    }
    let template = KINDS
        .iter()
        .find(|kind| kind.name == args.kind)
        .expect("the parser takes these only");
    let made = match args.lang {
        Language::Rust => rust(template, &name, sdk(args, &folder)?.as_deref()),
        Language::Js => js(template, &name),
    };
    for (file, text) in &made {
        files::write(&folder.join(file), text.as_bytes(), 0o644)?;
    }
    if ui.format == OutputFormat::Json {
        let names: Vec<&str> = made.iter().map(|(file, _)| file.as_str()).collect();
        ui.print(&json!({ "v": 1, "type": "plugin.begun", "name": name.as_str(), "folder": folder.to_string_lossy(), "files": names }).to_string())?;
        return Ok(exit_code::SUCCESS);
    }
    let test = match args.lang {
        Language::Rust => "cargo test",
        Language::Js => "npm install && npm test",
    };
    ui.say(&format!("wrote {}; next:", shown(&folder)));
    ui.say(&format!(
        "  cd {}\n  {test}\n  piper plugin build\n  piper plugin test ./{name}.wasm",
        shown(&folder)
    ));
    Ok(exit_code::SUCCESS)
}

type Made = Vec<(String, String)>;

fn manifest(template: &Template, name: &PluginName, more: &str) -> String {
    format!(
        "# What the plugin is, and what it asks for; it ends up inside the component.\nmanifest = 1\nname = \"{name}\"\nversion = \"0.1.0\"\ndescription = \"A {} that was just begun\"\n{more}\n{}",
        template.name, template.manifest
    )
}

/// A plugin in Rust; without an SDK around, with its own copy of it.
fn rust(template: &Template, name: &PluginName, sdk: Option<&str>) -> Made {
    let package = name.as_str().to_lowercase();
    // A package's name begins with a letter.
    let package = match package.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        true => package,
        false => format!("plugin-{package}"),
    };
    let (sdk, carried) = match sdk {
        Some(path) => (path, &[][..]),
        None => (CARRIED, SDK),
    };
    let alone = match carried.is_empty() {
        true => String::new(),
        false => format!("exclude = [\"{CARRIED}\"]\n"),
    };
    let sdk = serde_json::Value::from(sdk);
    let cargo = format!(
        "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n[dependencies]\npiper-plugin-sdk = {{ path = {sdk} }}\n\n[profile.release]\nopt-level = \"s\"\nlto = true\n\n# Not a part of the workspace of a folder above.\n[workspace]\n{alone}"
    );
    let toolchain = "[toolchain]\nchannel = \"stable\"\ntargets = [\"wasm32-wasip2\"]\n";
    let mut made = vec![
        ("Cargo.toml".to_owned(), cargo),
        ("rust-toolchain.toml".to_owned(), toolchain.to_owned()),
        ("piper-plugin.toml".to_owned(), manifest(template, name, "")),
        ("src/lib.rs".to_owned(), template.rust.to_owned()),
        (".gitignore".to_owned(), "/target\n".to_owned()),
    ];
    made.extend(
        carried
            .iter()
            .map(|(file, text)| (format!("{CARRIED}/{file}"), (*text).to_owned())),
    );
    made
}

fn js(template: &Template, name: &PluginName) -> Made {
    let js = &template.js;
    let package = json!({
        "name": name.as_str().to_lowercase(),
        "version": "0.1.0",
        "private": true,
        "type": "module",
        "scripts": { "build": format!("node build.mjs {}", js.world), "test": "node --test" },
        "devDependencies": { "@bytecodealliance/componentize-js": COMPONENTIZE },
    });
    let (manifest, schema) = match js.schema {
        Schema::Config(schema) => {
            let line = "config-schema = \"config.schema.json\"\n";
            let text = manifest(template, name, line);
            (text, ("config.schema.json", schema))
        }
        Schema::Options(schema) => {
            let text = manifest(template, name, "");
            let line = "]]\nschema = \"options.schema.json\"\n";
            let text = text.replacen("]]\n", line, 1);
            (text, ("options.schema.json", schema))
        }
    };
    let (module, text, test) = js.module;
    let mut made: Made = [
        ("package.json", format!("{package:#}\n").as_str()),
        ("piper-plugin.toml", &manifest),
        schema,
        ("plugin.js", js.plugin),
        (&format!("{module}.js"), text),
        (&format!("{module}.test.js"), test),
        (
            "piper.js",
            include_str!("../../../../../../plugin-sdk/js/piper.js"),
        ),
        ("build.mjs", include_str!("js/build.mjs")),
        (".gitignore", "/node_modules\n/plugin.wasm\n"),
    ]
    .map(|(file, text)| (file.to_owned(), text.to_owned()))
    .into();
    // The contract, which it is built against.
    made.extend(SDK.iter().filter_map(|(file, text)| {
        let file = file.strip_prefix("wit/v0.1/")?;
        Some((format!("wit/{file}"), (*text).to_owned()))
    }));
    made
}

/// Where the SDK is, as Cargo takes it: a folder that was named, or the one of the checkout around; `None` if there is neither.
fn sdk(args: &NewArgs, folder: &Path) -> Result<Option<String>, CliError> {
    let is_sdk = |path: &Path| {
        fs::read_to_string(path.join("Cargo.toml"))
            .is_ok_and(|text| text.contains("name = \"piper-plugin-sdk\""))
    };
    let whole = std::path::absolute(folder).context("cannot find the working directory")?;
    if let Some(named) = &args.sdk {
        if !is_sdk(named) {
            let problem = Problem::error(
                codes::UNREADABLE,
                format!("`{}` is not the SDK of plugins", named.display()),
            );
            return Err(problem
                .help("name the folder plugin-sdk of a checkout of piper")
                .into());
        }
        let named = fs::canonicalize(named).context("cannot find the SDK")?;
        return Ok(Some(named.to_string_lossy().into_owned()));
    }
    let around = whole
        .ancestors()
        .skip(1)
        .find(|above| is_sdk(&above.join("plugin-sdk")));
    Ok(around.map(|root| {
        let below = whole.strip_prefix(root).unwrap_or(&whole);
        let depth = below
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .count();
        format!("{}plugin-sdk", "../".repeat(depth))
    }))
}

#[cfg(test)]
mod tests;
