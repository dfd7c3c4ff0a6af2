//! How a plugin stands here: what it asks for, what of it is granted, what it may do at last.
//!
//! The rules are [`grant`](piper_plugin_host::policy::grant)'s; here is only which grant holds for which plugin.

use super::{
    catalogue::Catalogue,
    component::{Component, Origin},
    shown,
};
use piper_core::{codes, problem::Problem};
use piper_plugin_host::policy::{
    exec::ArgvRule,
    grant::{Difference, Effective, Origins, PluginGrant},
    http_rule::TemplateError,
    manifest::Manifest,
    source::PluginDigest,
};
use serde_json::{Map, Value};

/// What a plugin asks for, and what it gets.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What it may do.
    pub effective: Effective,
    /// Which commands it may start; `effective` decides, by files and not by words.
    pub commands: Vec<ArgvRule>,
    /// What it lacks, and what it was granted and does not ask for.
    pub difference: Difference,
    /// The grant that holds; without one, one that gives nothing.
    pub grant: PluginGrant,
    /// What is written under its name and was given to another; nothing of it holds.
    pub other: Option<PluginGrant>,
    /// A configuration or limits are written under its name, and nobody has said yet that they are this plugin's.
    pub waits: bool,
}

impl Standing {
    /// The table of the operator's file in which something can be written about the plugin so that it holds; `None` if it has no name.
    pub(crate) fn table(&self, component: &Component, file: &str) -> Option<String> {
        let name = component.name.as_ref()?;
        let digest = component.digest;
        // What is written of a name alone is no word about what some repository calls so.
        let beside = match self.grant.given_to() != Some(digest) {
            true if component.origin == Origin::Project => {
                format!(", beside `digest = \"{digest}\"`")
            }
            true | false => String::new(),
        };
        Some(format!("`[plugins.{name}]` of {file}{beside}"))
    }
}

/// Whether what is written under its name was given to this component.
fn holds(component: &Component, grant: &PluginGrant) -> bool {
    let is_given = |digest: PluginDigest| digest == component.digest;
    match component.origin {
        // Any repository could call its plugin by this name: what is its operator's holds for one digest.
        Origin::Project => grant.given_to().is_some_and(is_given),
        // One of piper's own changes with each release, which the operator installed.
        Origin::File | Origin::Operator | Origin::Builtin => grant.given_to().is_none_or(is_given),
    }
}

/// Whether what is written under its name is about another plugin, which the operator added for himself. The same bytes under the
/// same name are no other: any project could name the operator's own instead.
pub(crate) fn is_anothers(component: &Component, grant: &PluginGrant) -> bool {
    component.origin == Origin::Project
        && grant.source.is_some()
        && grant.digest != Some(component.digest)
}

impl Catalogue {
    /// How a component with this manifest stands.
    ///
    /// # Errors
    ///
    /// When the operator's configuration of it does not fit what it declares.
    pub fn standing(
        &self,
        component: &Component,
        manifest: &Manifest,
    ) -> Result<Standing, Box<Problem>> {
        let written = component.name.as_ref().and_then(|name| self.grant(name));
        let is_project = component.origin == Origin::Project;
        let written = written.filter(|grant| !is_anothers(component, grant));
        let (held, other) = match written {
            Some(grant) if holds(component, grant) => (Some(grant), None),
            // Configuration may be written before anything is granted; it is nobody else's then.
            Some(grant) if grant.given_to().is_none() && !grant.gives() => (None, None),
            other => (None, other),
        };
        let origins = match component.origin {
            Origin::Project => Origins::Project {
                digest: component.digest,
                ceiling: &self.grants.project_plugins,
            },
            Origin::File | Origin::Operator | Origin::Builtin => Origins::Operator,
        };
        let unfit = |error: TemplateError| self.unfit(component, &error);
        // What is a part of piper may at least what any repository's plugin may.
        let builtin = (component.origin == Origin::Builtin)
            .then(|| self.with_ceiling(held.cloned().unwrap_or_else(nothing)));
        let effective =
            Effective::new(manifest, builtin.as_ref().or(held), origins).map_err(unfit)?;
        // What a new digest lacks is said beside what the old one had, and with the configuration that is meant for it.
        let compared = match written {
            Some(grant) if is_project && grant.given_to().is_none() => PluginGrant {
                config: grant.config.clone(),
                ..nothing()
            },
            // One of piper's own is not another version of some repository's plugin that has its name.
            Some(_) if other.is_some() && component.origin == Origin::Builtin => nothing(),
            Some(grant) => grant.clone(),
            None => nothing(),
        };
        let difference = self
            .difference(component, manifest, compared)
            .map_err(unfit)?;
        let ceiling = is_project.then_some(&self.grants.project_plugins.exec);
        let given = held
            .map(|grant| &grant.allow.exec)
            .into_iter()
            .chain(ceiling)
            .flatten();
        let commands = given.flat_map(|rule| {
            let asked = manifest.permissions.exec.iter();
            asked.filter_map(|asked| asked.what.intersection(rule))
        });
        Ok(Standing {
            effective,
            commands: commands.collect(),
            difference,
            grant: held.cloned().unwrap_or_else(nothing),
            other: other.cloned(),
            waits: held.is_none()
                && other.is_none()
                && written.is_some_and(|written| {
                    let nothing = nothing();
                    written.config != nothing.config || written.limits != nothing.limits
                }),
        })
    }

    /// What would be missing if a component had this grant.
    ///
    /// # Errors
    ///
    /// When its configuration does not fit what the component declares.
    pub fn lacking(
        &self,
        component: &Component,
        manifest: &Manifest,
        grant: PluginGrant,
    ) -> Result<Difference, Box<Problem>> {
        self.difference(component, manifest, grant)
            .map_err(|error| self.unfit(component, &error))
    }

    /// What is missing beyond what all plugins of a project may do, and what this one was granted itself and does not ask for.
    fn difference(
        &self,
        component: &Component,
        manifest: &Manifest,
        grant: PluginGrant,
    ) -> Result<Difference, TemplateError> {
        let own = Difference::new(manifest, &grant, Some(component.digest))?;
        match component.origin {
            Origin::File | Origin::Operator => Ok(own),
            Origin::Project | Origin::Builtin => Ok(Difference {
                unused: own.unused,
                ..Difference::new(manifest, &self.with_ceiling(grant), Some(component.digest))?
            }),
        }
    }

    /// A grant, and what is granted to all plugins of repositories.
    fn with_ceiling(&self, grant: PluginGrant) -> PluginGrant {
        PluginGrant {
            allow: grant.allow.union(&self.grants.project_plugins),
            ..grant
        }
    }

    fn unfit(&self, component: &Component, error: &TemplateError) -> Box<Problem> {
        let title = component.title();
        let file = self
            .places
            .grants
            .as_deref()
            .map_or_else(|| "plugins.toml".to_owned(), shown);
        let message = format!("plugin `{title}` cannot be used as it is configured: {error}");
        let problem = Problem::error(codes::BAD_TEMPLATE, message);
        Box::new(problem.help(format!("change `config` in `[plugins.{title}]` of {file}")))
    }
}

/// The grant of a plugin that has none.
pub(crate) fn nothing() -> PluginGrant {
    PluginGrant {
        config: Value::Object(Map::new()),
        ..PluginGrant::default()
    }
}
