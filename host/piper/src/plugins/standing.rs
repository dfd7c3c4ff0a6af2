//! How a plugin stands here: what it asks for, what of it is granted, what it may do at last.
//!
//! The rules are [`policy::grant`]'s; here is only which grant holds for which plugin.

use super::{
    catalogue::Catalogue,
    component::{Component, Origin},
    shown,
};
use piper_core::{codes, problem::Problem};
use piper_plugin_host::policy::{
    self,
    grant::{Difference, Effective, Origins, PluginGrant},
    http_rule::TemplateError,
    manifest::Manifest,
};
use serde_json::{Map, Value};

/// What a plugin asks for, and what it gets.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What it may do.
    pub effective: Effective,
    /// What it lacks, and what it was granted and does not ask for.
    pub difference: Difference,
    /// The grant that holds; that of any plugin of a project included.
    pub grant: PluginGrant,
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
        let written = component
            .name
            .as_ref()
            .and_then(|name| self.grant(name))
            .filter(|grant| {
                // A grant without a digest is for the operator's own plugin: any repository could call one by its name.
                component.origin != Origin::Project
                    || (grant.digest.is_some() && grant.source.is_none())
            });
        let origins = match component.origin {
            Origin::Project => Origins::Project {
                digest: component.digest,
                ceiling: &self.grants.project_plugins,
            },
            Origin::File | Origin::Operator | Origin::Builtin => Origins::Operator,
        };
        let mut grant = written.cloned().unwrap_or_else(|| PluginGrant {
            config: Value::Object(Map::new()),
            ..PluginGrant::default()
        });
        let unfit = |error: TemplateError| self.unfit(component, &error);
        let effective = Effective::new(manifest, written, origins, None).map_err(unfit)?;
        if component.origin == Origin::Project {
            grant.allow = grant.allow.union(&self.grants.project_plugins);
        }
        let mut difference =
            Difference::new(manifest, &grant, Some(component.digest)).map_err(unfit)?;
        // What is allowed to all plugins of a project is no grant of this one that it does not need.
        let own = written.map(|grant| grant.allow.clone()).unwrap_or_default();
        if component.origin == Origin::Project {
            let everybodys = policy::grant::Difference::new(
                manifest,
                &PluginGrant {
                    allow: own,
                    ..grant.clone()
                },
                None,
            );
            difference.unused = everybodys.map_err(unfit)?.unused;
        }
        Ok(Standing {
            effective,
            difference,
            grant,
        })
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
