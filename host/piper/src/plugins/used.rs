//! A plugin as one place of the project file uses it: which component that is, which of its types is meant, and whether its options are
//! what its author takes. Nothing of it is compiled or called here.
//!
//! What holds wherever it is used is [`Found`] once: its bytes are read, digested and understood for the first step, not for each.

use super::{
    Error,
    catalogue::Catalogue,
    component::{Component, Origin},
    settings::{self, Mistake, Schema},
    standing::Standing,
};
use crate::cli::project::LoadedProject;
use piper_core::{
    codes,
    id::PluginName,
    pipeline::{self, Located},
    plan::PluginCall,
    plugin::PluginRef,
    problem::{Problem, Severity, Span},
    project as value, suggest,
};
use piper_plugin_host::{
    kind::{Call, Kind},
    load::Description,
    policy::{
        files::Patterns,
        manifest::{Manifest, Role},
        source::{PluginDigest, PluginSource},
    },
};
use serde_json::{Map, Value, json};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// The place of the project file at which a plugin is used: a table with `uses` and `with`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) loaded: &'a LoadedProject,
    /// The table, as a JSON pointer.
    pub(crate) table: &'a str,
}

impl Place<'_> {
    /// Shows a problem at the `uses`, unless it is about a file of its own.
    pub(crate) fn uses(&self, problem: Problem) -> Problem {
        if problem.at.is_some() {
            return problem;
        }
        self.loaded
            .at(problem, &format!("{}/uses", self.table), "used here")
    }

    pub(crate) fn all(&self, error: Error) -> Vec<Problem> {
        let problems = match error {
            Error::Problems(problems) => problems,
            other => vec![Problem::error(codes::NOT_LOADABLE, other.to_string())],
        };
        problems
            .into_iter()
            .map(|problem| self.uses(problem))
            .collect()
    }

    /// Shows a mistake in the plugin's options at its own place below `with`.
    pub(crate) fn with(&self, title: &str, mistake: Mistake) -> Problem {
        let message = match mistake.pointer.as_str() {
            "" => format!("the options of `{title}`{}", mistake.message),
            pointer => format!(
                "the option `{}` of `{title}`{}",
                readable(pointer),
                mistake.message
            ),
        };
        let mut problem = Problem::error(codes::BAD_OPTIONS, message);
        problem.help.extend(mistake.help);
        let pointer = format!("{}/with{}", self.table, mistake.pointer);
        match pipeline::locate(&self.loaded.source, &pointer) {
            Some(Located {
                key: Some(key),
                whole: true,
                ..
            }) if mistake.is_name => problem.at(key, ""),
            Some(found) => problem.at(found.value, ""),
            None => problem,
        }
    }
}

impl Place<'_> {
    /// Tells of a mistake in the plugin's own configuration, which stands in `[plugins]` or in the operator's file.
    pub(crate) fn config(&self, used: &Used, mistake: Mistake) -> Problem {
        let title = used.title();
        let at = match mistake.pointer.as_str() {
            "" => String::new(),
            pointer => format!(", `{}`", readable(pointer)),
        };
        let message = format!("the configuration of `{title}`{at}{}", mistake.message);
        let mut problem = Problem::error(codes::BAD_OPTIONS, message);
        problem.help.extend(mistake.help);
        let file = match used.found.component.origin {
            Origin::Project => "`[plugins]` of piper.toml, or in your plugins.toml",
            Origin::File | Origin::Operator | Origin::Builtin => "your plugins.toml",
        };
        if used.found.standing.waits {
            problem.help.push(format!(
                "the `config` in your plugins.toml holds as soon as you say that this is the plugin it is for: `piper plugin grant {title}`"
            ));
        }
        if used.found.standing.other.is_some() {
            problem.help.push(format!(
                "the `config` in your plugins.toml is that of another plugin of this name, or of this one before it was built anew: `piper plugin grant {title} --keep` gives it that"
            ));
        }
        let problem = problem.help(format!("it stands as `config` of `{title}` in {file}"));
        match self.written(used, &mistake.pointer) {
            Some(at) => problem.at(at, ""),
            None => self.uses(problem),
        }
    }

    /// Where the project says this of the configuration, if it does and the operator says nothing else.
    fn written(&self, used: &Used, pointer: &str) -> Option<Span> {
        let name = used.declared.as_ref()?;
        let key = pointer.split('/').nth(1)?;
        if used.found.standing.grant.config.get(key).is_some() {
            return None;
        }
        let pointer = format!("/plugins/{name}/config{pointer}");
        let found = pipeline::locate(&self.loaded.source, &pointer)?;
        found.whole.then_some(found.value)
    }
}

/// The pointer into one part of `{config, options}`, if that is what a pointer into both is about.
pub(crate) fn into_part<'p>(pointer: &'p str, part: &str) -> Option<&'p str> {
    let rest = pointer.strip_prefix('/')?.strip_prefix(part)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// A pointer for people: `files[0].name`.
pub(crate) fn readable(pointer: &str) -> String {
    let mut text = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        match part.parse::<usize>() {
            Ok(place) => text.push_str(&format!("[{place}]")),
            Err(_) if text.is_empty() => text.push_str(&part),
            Err(_) => text.push_str(&format!(".{part}")),
        }
    }
    text
}

/// A schema that was made ready, or why it cannot be.
type Ready = Result<Rc<Schema>, String>;

/// A plugin that the project means, wherever it uses it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) component: Component,
    pub(crate) manifest: Manifest,
    pub(crate) standing: Standing,
    /// The project's lock pins it by other names than the one that the project gives it here.
    is_alias: bool,
    kinds: Vec<Kind>,
    /// Of the configuration.
    config_schema: Option<Result<Value, String>>,
    /// Of the options, by kind and name.
    options_schemas: Option<Result<Value, String>>,
    /// Those that were made ready, by kind and name; the configuration's has neither.
    ready: RefCell<BTreeMap<(Option<Kind>, String), Ready>>,
}

impl Found {
    /// Finds the plugin that a call means.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub(crate) fn new(catalogue: &Catalogue, call: &PluginCall) -> Result<Self, Error> {
        let component = component(catalogue, call)?;
        let description = component.describe()?.clone();
        let manifest = manifest(&component, &description)?;
        let standing = catalogue
            .standing(&component, &manifest)
            .map_err(|problem| Error::from(*problem))?;
        let is_alias =
            component.origin == Origin::Project && !catalogue.is_pinned_by_name(&component);
        let parsed = |text: String| serde_json::from_str(&text).map_err(|error| error.to_string());
        Ok(Self {
            component,
            manifest,
            standing,
            is_alias,
            kinds: description.kinds,
            config_schema: description.config_schema.map(parsed),
            options_schemas: description
                .options_schema
                .map(|text| settings::schemas(&text)),
            ready: RefCell::default(),
        })
    }

    /// A schema, made ready the first time.
    fn schema(&self, kind: Option<Kind>, name: &str, text: &Value) -> Ready {
        let mut ready = self.ready.borrow_mut();
        let entry = ready.entry((kind, name.to_owned()));
        entry
            .or_insert_with(|| Schema::new(text).map(Rc::new))
            .clone()
    }

    /// What the project calls the plugin that a call means, and where that is from: the same for the same plugin. Two names for one
    /// file are two plugins, each with its own grant and configuration.
    pub(crate) fn key(call: &PluginCall) -> Key {
        (called(call).cloned(), source(call).to_string())
    }
}

/// See [`Found::key`].
pub(crate) type Key = (Option<PluginName>, String);

/// A plugin as it is used.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) found: Rc<Found>,
    /// As what it is used.
    pub(crate) kind: Kind,
    /// Which of its types that is; empty if it has one only.
    pub(crate) name: String,
    /// What a planner reads.
    pub(crate) reads: Option<Patterns>,
    /// What it is called in `[plugins]`, if that says something of it.
    declared: Option<PluginName>,
    /// The plugin's configuration, whole.
    pub(crate) config: Value,
    /// The options of this use, whole.
    pub(crate) options: Value,
    /// Those of them that are known only when a build is planned, as JSON pointers.
    open: Vec<String>,
}

/// A call of a plugin as it is used: all but what is said of the build at hand.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// Without its facts.
    call: Call,
    common: Map<String, Value>,
}

impl Draft {
    /// The call with these facts, and with those that every call has.
    pub(super) fn call(&self, mut facts: Value) -> Call {
        for (name, fact) in &self.common {
            facts[name] = fact.clone();
        }
        Call {
            facts: facts.to_string(),
            ..self.call.clone()
        }
    }
}

/// The facts of every call: which plugin is called, and by which piper.
pub(crate) fn common_facts(manifest: &Manifest) -> Map<String, Value> {
    let plugin = json!({ "name": manifest.name.as_str(), "version": manifest.version });
    let piper = json!({ "version": env!("CARGO_PKG_VERSION") });
    Map::from_iter([("plugin".to_owned(), plugin), ("piper".to_owned(), piper)])
}

/// One of the things that a plugin can be used as.
struct Type<'m> {
    name: Option<&'m PluginName>,
    kind: Kind,
    reads: Option<&'m Patterns>,
}

/// As what a place uses plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// As a type of step.
    Step,
    /// To tell somebody.
    Notify,
}

impl Purpose {
    fn types(self, manifest: &Manifest) -> Vec<Type<'_>> {
        match self {
            Self::Step => manifest
                .steps
                .iter()
                .map(|step| Type {
                    name: step.name.as_ref(),
                    kind: match step.role {
                        Role::Planner => Kind::StepPlanner,
                        Role::Runner => Kind::StepRunner,
                    },
                    reads: step.reads.as_ref(),
                })
                .collect(),
            Self::Notify => manifest
                .notifiers
                .iter()
                .map(|notifier| Type {
                    name: notifier.name.as_ref(),
                    kind: Kind::Notifier,
                    reads: None,
                })
                .collect(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Step => "type of step",
            Self::Notify => "notifier",
        }
    }
}

impl Used {
    /// Holds what the project says to a plugin against what it takes.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, each at its place.
    pub(crate) fn new(
        found: Rc<Found>,
        place: Place<'_>,
        call: &PluginCall,
        purpose: Purpose,
        open: &[(String, value::Value)],
    ) -> Result<Self, Vec<Problem>> {
        let title = found.component.title();
        let meant = meant(title, &found.manifest, call, purpose)
            .map_err(|problem| vec![place.uses(*problem)])?;
        let (kind, name) = (
            meant.kind,
            meant.name.map_or("", PluginName::as_str).to_owned(),
        );
        if !found.kinds.contains(&kind) {
            let message =
                format!("the manifest of `{title}` says that it is a {kind}, and it is none");
            let problem = Problem::error(codes::NOT_LOADABLE, message);
            return Err(vec![place.uses(
                problem.help("`piper plugin check` says what its author has to mend"),
            )]);
        }
        let reads = meant.reads.cloned();
        let mut used = Self {
            declared: called(call).filter(|_| call.declared.is_some()).cloned(),
            config: config(call, &found.standing),
            options: call.with.clone(),
            open: open.iter().map(|(pointer, _)| pointer.clone()).collect(),
            found,
            kind,
            name,
            reads,
        };
        let problems = used.check(place);
        if problems.is_empty() {
            Ok(used)
        } else {
            Err(problems)
        }
    }

    /// What messages call it.
    pub(crate) fn title(&self) -> &str {
        self.found.component.title()
    }

    /// The operator's name for it; its own, if it has none.
    pub(crate) fn plugin_name(&self) -> &PluginName {
        let name = self.found.component.name.as_ref();
        name.unwrap_or(&self.found.manifest.name)
    }

    /// The kinds of events that it wants as a notifier; all if there are none.
    pub(crate) fn events(&self) -> Vec<String> {
        let named = |name: Option<&PluginName>| name.map_or("", PluginName::as_str) == self.name;
        let mut notifiers = self.found.manifest.notifiers.iter();
        let meant = notifiers.find(|notifier| named(notifier.name.as_ref()));
        meant.map_or_else(Vec::new, |notifier| notifier.events.clone())
    }

    /// How it is called here.
    pub(super) fn draft(&self) -> Draft {
        Draft {
            call: Call {
                name: self.name.clone(),
                config: self.config.to_string(),
                options: self.options.to_string(),
                ..Call::default()
            },
            common: common_facts(&self.found.manifest),
        }
    }

    /// What it lacks to be called.
    pub(crate) fn lacks(&self) -> Option<Problem> {
        let name = self.plugin_name();
        let problem = self.found.standing.difference.problem(name)?;
        if !self.found.is_alias {
            return Some(problem);
        }
        let source = &self.found.component.source;
        Some(problem.help(format!(
            "before that, pin it by this name, because what is granted to another name is not this one's: piper plugin add --name {name} {source}"
        )))
    }

    /// Holds configuration and options against their schemas, and fills defaults in.
    fn check(&mut self, place: Place<'_>) -> Vec<Problem> {
        let found = Rc::clone(&self.found);
        let title = found.component.title();
        let broken = |what: &str, why: &str| {
            let message = format!("the schema of the {what} of `{title}` cannot be used: {why}");
            let problem = Problem::error(codes::NOT_LOADABLE, message);
            vec![place.uses(problem.help("`piper plugin check` says what its author has to mend"))]
        };
        let mut problems = Vec::new();
        if let Some(schema) = &found.config_schema {
            let text = schema.as_ref().map_err(Clone::clone);
            match text.and_then(|text| found.schema(None, "", text)) {
                Ok(schema) => problems.extend(
                    schema
                        .check(&mut self.config)
                        .into_iter()
                        .map(|mistake| place.config(self, mistake)),
                ),
                Err(why) => return broken("configuration", &why),
            }
        }
        let schemas = match &found.options_schemas {
            None => &Value::Null,
            Some(Ok(schemas)) => schemas,
            Some(Err(why)) => return broken("options", why),
        };
        if let Some(text) = settings::of(schemas, self.kind.name(), &self.name) {
            match found.schema(Some(self.kind), &self.name, text) {
                Ok(schema) => problems.extend(
                    schema
                        .check(&mut self.options)
                        .into_iter()
                        .filter(|mistake| !self.open.contains(&mistake.pointer))
                        .map(|mistake| place.with(title, mistake)),
                ),
                Err(why) => return broken("options", &why),
            }
        }
        problems
    }
}

/// The name by which a call means its plugin, if it is one.
fn called(call: &PluginCall) -> Option<&PluginName> {
    match &call.uses.plugin {
        PluginRef::Named(name) => Some(name),
        PluginRef::Path(_) | PluginRef::Url(_) | PluginRef::Own => None,
    }
}

/// What the project names the plugin by at last: what `[plugins]` says of the name, or the name.
fn source(call: &PluginCall) -> &PluginRef {
    let declared = call.declared.as_ref();
    declared.map_or(&call.uses.plugin, |declared| &declared.source)
}

/// The digest of the component that is probably meant, before it is looked for.
pub(super) fn digest(catalogue: &Catalogue, call: &PluginCall) -> Option<PluginDigest> {
    match source(call) {
        PluginRef::Named(name) => catalogue.digest(name),
        PluginRef::Path(_) | PluginRef::Url(_) | PluginRef::Own => None,
    }
}

/// The component that is meant: what the project names is pinned by its lock, a name is looked up everywhere.
fn component(catalogue: &Catalogue, call: &PluginCall) -> Result<Component, Error> {
    match source(call) {
        PluginRef::Named(name) => catalogue.find(name.as_str()),
        PluginRef::Path(text) | PluginRef::Url(text) => {
            let source = PluginSource::parse(text).map_err(|fault| fault.into_problem())?;
            catalogue.pinned(&source, called(call))
        }
        // A planner's answer names it, and it is replaced by the planner's own name there.
        PluginRef::Own => Err(Problem::error(codes::UNKNOWN_PLUGIN, "`self` is no plugin").into()),
    }
}

fn manifest(component: &Component, description: &Description) -> Result<Manifest, Error> {
    let title = component.title();
    let Some(text) = &description.manifest else {
        let message = format!("`{title}` has no manifest, so nothing says what it is");
        return Err(Problem::error(codes::NOT_LOADABLE, message)
            .help("`piper plugin build` puts it into the component")
            .into());
    };
    let loaded = component.read_manifest(text.clone());
    loaded.manifest.ok_or_else(|| {
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        Error::Problems(loaded.problems.into_iter().filter(is_error).collect())
    })
}

/// The type that the project means.
fn meant<'m>(
    title: &str,
    manifest: &'m Manifest,
    call: &PluginCall,
    purpose: Purpose,
) -> Result<Type<'m>, Box<Problem>> {
    let mut types = purpose.types(manifest);
    let words = purpose.words();
    let names: Vec<&str> = types
        .iter()
        .filter_map(|one| one.name.map(PluginName::as_str))
        .collect();
    let refuse = |message: String, help: String| {
        Err(Box::new(
            Problem::error(codes::UNKNOWN_PLUGIN, message).help(help),
        ))
    };
    let place = match &call.uses.r#type {
        None if types.len() == 1 => Some(0),
        None if types.is_empty() => {
            return refuse(
                format!("the plugin `{title}` has no {words}"),
                format!("`piper plugin inspect {title}` shows what it is"),
            );
        }
        None => {
            return refuse(
                format!("the plugin `{title}` has more than one {words}"),
                format!(
                    "say which: `{title}/{}`",
                    names.join(&format!("`, `{title}/"))
                ),
            );
        }
        Some(wanted) => types.iter().position(|one| {
            one.name
                .is_some_and(|name| name.as_str() == wanted.as_str())
        }),
    };
    match (place, &call.uses.r#type) {
        (Some(place), _) => Ok(types.swap_remove(place)),
        (None, wanted) => {
            let wanted = wanted
                .as_ref()
                .map_or_else(String::new, ToString::to_string);
            let help = match suggest::closest(&wanted, names.iter().copied()) {
                Some(near) => format!("did you mean `{title}/{near}`?"),
                None if names.is_empty() => format!("write `{title}` alone"),
                None => format!("it has `{}`", names.join("`, `")),
            };
            refuse(
                format!("the plugin `{title}` has no {words} `{wanted}`"),
                help,
            )
        }
    }
}

/// What the project says, and where the operator says something else, that.
fn config(call: &PluginCall, standing: &Standing) -> Value {
    let mut config: Map<String, Value> = call
        .declared
        .as_ref()
        .map_or_else(Map::new, |declared| declared.config.clone());
    if let Value::Object(own) = &standing.grant.config {
        config.extend(own.clone());
    }
    Value::Object(config)
}
