//! What a component's sections say, before anything of it is compiled.

use super::{Error, quoted};
use crate::{engine::accepted, kind::Kind, linker::track};
use std::collections::BTreeSet;
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

/// The section with the manifest, as TOML.
const MANIFEST: &str = "piper:manifest";
/// The section with the JSON schema of the configuration.
const CONFIG_SCHEMA: &str = "piper:config-schema";
/// The section with the JSON schemas of the options: `{KIND: {NAME: schema}}`.
const OPTIONS_SCHEMA: &str = "piper:options-schema";

/// What plugins may not use, by the names that their authors know.
const REFUSED: [(WasmFeatures, &str); 15] = [
    (WasmFeatures::THREADS, "threads"),
    (
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        "shared-everything threads",
    ),
    (WasmFeatures::MEMORY64, "64-bit memories (memory64)"),
    (WasmFeatures::GC, "garbage collection (gc)"),
    (
        WasmFeatures::GC_TYPES,
        "references to things of the host (externref)",
    ),
    (
        WasmFeatures::FUNCTION_REFERENCES,
        "typed function references",
    ),
    (WasmFeatures::EXCEPTIONS, "exceptions"),
    (WasmFeatures::LEGACY_EXCEPTIONS, "legacy exceptions"),
    (WasmFeatures::RELAXED_SIMD, "relaxed SIMD"),
    (WasmFeatures::STACK_SWITCHING, "stack switching"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes"),
    (
        WasmFeatures::CM_ASYNC,
        "asynchronous functions of the component model (async, streams, futures)",
    ),
    (
        WasmFeatures::CM_ERROR_CONTEXT,
        "error contexts of the component model",
    ),
    (WasmFeatures::CM_VALUES, "values of the component model"),
];

/// What a component says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// What it can be; at least one.
    pub kinds: Vec<Kind>,
    /// Its manifest, as its author wrote it.
    pub manifest: Option<String>,
    /// The JSON schema of its configuration.
    pub config_schema: Option<String>,
    /// The JSON schemas of its options, by kind and by name: `{KIND: {NAME: schema}}`; the name may be empty if there is one only.
    pub options_schema: Option<String>,
    /// The interfaces that it imports.
    pub(crate) imports: Vec<String>,
    /// What it exports besides its kinds.
    pub(crate) unknown_exports: Vec<String>,
}

impl Description {
    pub(super) fn parse(component: &[u8]) -> Result<Self, Error> {
        let mut parsed = Self::default();
        let mut manifest = Section::new(MANIFEST);
        let mut config = Section::new(CONFIG_SCHEMA);
        let mut options = Section::new(OPTIONS_SCHEMA);
        let mut exports = Vec::new();
        let mut depth = 0;
        if !component.starts_with(b"\0asm") {
            return Err(Error::NotWasm);
        }
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(damaged)? {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } if depth == 0 => return Err(Error::CoreModule),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) if depth > 0 => depth -= 1,
                Payload::CustomSection(section) => {
                    manifest.see(section.name(), section.data(), depth);
                    config.see(section.name(), section.data(), depth);
                    options.see(section.name(), section.data(), depth);
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        parsed
                            .imports
                            .push(import.map_err(damaged)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        exports.push(export.map_err(damaged)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        for export in exports {
            match Kind::ALL
                .into_iter()
                .find(|kind| fits(kind.interface(), &export))
            {
                Some(kind) if !parsed.kinds.contains(&kind) => parsed.kinds.push(kind),
                _ => parsed.unknown_exports.push(export),
            }
        }
        // A check of configurations is only ever beside something to configure.
        if parsed.kinds.iter().all(|kind| *kind == Kind::ConfigCheck) {
            return Err(Error::NoKind {
                exports: parsed.unknown_exports,
            });
        }
        parsed.kinds.sort_unstable();
        parsed.manifest = manifest.text()?;
        parsed.config_schema = config.text()?;
        parsed.options_schema = options.text()?;
        Ok(parsed)
    }
}

fn damaged(error: wasmparser::BinaryReaderError) -> Error {
    Error::Damaged(error.to_string())
}

/// A custom section that may be in the component and in its parts.
struct Section<'a> {
    name: &'static str,
    own: BTreeSet<&'a [u8]>,
    nested: BTreeSet<&'a [u8]>,
}

impl<'a> Section<'a> {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            own: BTreeSet::new(),
            nested: BTreeSet::new(),
        }
    }

    fn see(&mut self, name: &str, data: &'a [u8], depth: u32) {
        if name != self.name {
            return;
        }
        let level = if depth == 0 {
            &mut self.own
        } else {
            &mut self.nested
        };
        level.insert(data);
    }

    /// The component's own; or the one that all its parts agree on, which is where compilers put it.
    fn text(self) -> Result<Option<String>, Error> {
        let (level, place) = match self.own.is_empty() {
            false => (self.own, "itself"),
            true => (self.nested, "its parts, and none of its own"),
        };
        let count = level.len();
        let mut level = level.into_iter();
        match (level.next(), level.next()) {
            (None, _) => Ok(None),
            (Some(only), None) => match std::str::from_utf8(only) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(Error::SectionText(self.name)),
            },
            (Some(_), Some(_)) => Err(Error::Sections {
                name: self.name,
                count,
                place,
            }),
        }
    }
}

/// Whether an export has the interface that this host calls: released ones serve their whole track, drafts only themselves.
fn fits(interface: &str, export: &str) -> bool {
    track(interface) == track(export)
}

/// Refuses what plugins may not use, by name.
pub(super) fn check_features(component: &[u8]) -> Result<(), Error> {
    if validate(component, accepted()).is_ok() {
        return Ok(());
    }
    let everything = REFUSED
        .iter()
        .fold(accepted(), |all, (feature, _)| all | *feature);
    validate(component, everything).map_err(Error::Damaged)?;
    // With all of it, it is fine: the first that cannot be taken away again is what it uses. Others may only come with that one.
    let mut needed = everything;
    for (feature, name) in REFUSED {
        match validate(component, needed - feature) {
            Ok(()) => needed -= feature,
            Err(_) => return Err(Error::Feature(name)),
        }
    }
    Err(Error::Feature("features of WebAssembly"))
}

fn validate(component: &[u8], features: WasmFeatures) -> Result<(), String> {
    Validator::new_with_features(features)
        .validate_all(component)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Why no export makes the component a plugin, with both versions if it is one for another piper.
pub(super) fn no_kind(exports: &[String]) -> String {
    let name = |interface: &str| interface.split_once('@').map(|(name, _)| name.to_owned());
    let others: Vec<_> = exports
        .iter()
        .filter_map(|export| {
            let kind = Kind::ALL
                .into_iter()
                .find(|kind| name(kind.interface()) == name(export) && name(export).is_some())?;
            Some(format!(
                "it exports `{export}`, this piper has `{}`",
                kind.interface()
            ))
        })
        .collect();
    if !others.is_empty() {
        return format!(
            "{}; build it against the contract of this piper, or use another piper",
            others.join(", ")
        );
    }
    let kinds: Vec<_> = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::ConfigCheck)
        .map(|kind| kind.interface().to_owned())
        .collect();
    match exports {
        [] => format!(
            "it exports no interface, and a plugin exports one of {}",
            quoted(&kinds)
        ),
        exports => format!(
            "it exports {}, and a plugin exports one of {}",
            quoted(exports),
            quoted(&kinds)
        ),
    }
}
