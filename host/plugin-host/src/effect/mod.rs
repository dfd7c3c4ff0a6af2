//! The effects that a grant opens, each bound to one configured plugin.
//!
//! ```text
//!   Effects (one a process: names looked up, certificates, the clock)
//!     └─ bind ─▶ Binding (one a configured plugin: what it may do, its secrets, its connections, its state)
//!                  └─ services ─▶ Services (one an instance: its placeholders, its folders)
//! ```
//!
//! Whether something may be done is decided by [`policy`](crate::policy), how often by the imports. Here it is done, and bounded.

pub mod exec;
pub mod files;
pub mod http;
pub mod secrets;
pub mod state;

use self::{
    exec::{Attending, Children, Commands},
    files::{Folders, Places, Quotas},
    http::{Egress, Network, Resolve, Sender, SystemResolver, Trust},
    secrets::{Held, Values},
};
use crate::{
    failure::{Failure, FailureKind},
    limits::Limits,
    policy::{grant::Effective, state::StateStore},
    service::{Services, StepContext},
};
use piper_core::{id::PluginName, time::Now};
use std::{ffi::OsString, fmt::Display, path::PathBuf, sync::Arc, time::Duration};

/// With what the effects of a process are made.
#[derive(Clone)]
pub struct EffectOptions {
    /// Finds the addresses of names.
    pub resolver: Arc<dyn Resolve>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// What time it is.
    pub now: fn() -> Now,
    /// Where granted commands are found: the operator's `PATH`, not a step's, which a repository may set.
    pub path: OsString,
}

impl EffectOptions {
    /// The system's resolver and authorities, this clock, and the `PATH` of this process.
    pub fn new(now: fn() -> Now) -> Self {
        Self {
            resolver: Arc::new(SystemResolver),
            trust: Trust::default(),
            now,
            path: std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()),
        }
    }
}

/// What the effects of all plugins share. Cheap to clone.
#[derive(Clone)]
pub struct Effects {
    network: Arc<Network>,
    quotas: Quotas,
    now: fn() -> Now,
    path: OsString,
}

/// A plugin as it is configured.
#[derive(Clone)]
pub struct Configured {
    /// The operator's name for it.
    pub name: PluginName,
    /// Its version, which servers are told.
    pub version: String,
    /// What it may do.
    pub effective: Effective,
    /// What it may use up.
    pub limits: Limits,
    /// The values of its secrets.
    pub secrets: Values,
    /// Where its state is kept.
    pub state: Option<Arc<dyn StateStore>>,
}

/// Where and for what an instance runs.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Its folders.
    pub places: Places,
    /// The folders of which a repository says what is in them, beside the workspace: no program in there is a granted one.
    pub repository: Vec<PathBuf>,
    /// The environment of its commands, all of it but `PATH`.
    pub environment: Vec<(OsString, OsString)>,
    /// The step that it is.
    pub step: Option<Arc<dyn StepContext>>,
    /// Who else reaps children here.
    pub children: Option<Arc<dyn Children>>,
    /// How long its commands have to end when they are asked to: the step's grace period, or two seconds.
    pub grace: Option<Duration>,
}

impl Effects {
    /// Prepares them; opens and reads nothing yet.
    pub fn new(options: EffectOptions) -> Self {
        Self {
            network: Arc::new(Network::new(options.resolver, options.trust)),
            quotas: Quotas::default(),
            now: options.now,
            path: options.path,
        }
    }

    /// Binds them to a plugin.
    pub fn bind(&self, plugin: Configured) -> Binding {
        let effective = Arc::new(plugin.effective);
        Binding {
            network: Arc::clone(&self.network),
            quotas: self.quotas.clone(),
            now: self.now,
            path: self.path.clone(),
            sender: Arc::new(Sender::new(
                plugin.name.as_str().to_owned(),
                plugin.version,
                Arc::clone(&effective),
                plugin.limits.capped(),
            )),
            name: plugin.name,
            effective,
            secrets: plugin.secrets,
            state: plugin.state,
        }
    }
}

/// The effects of one configured plugin. Cheap to clone.
#[derive(Clone)]
pub struct Binding {
    network: Arc<Network>,
    quotas: Quotas,
    now: fn() -> Now,
    path: OsString,
    sender: Arc<Sender>,
    name: PluginName,
    effective: Arc<Effective>,
    secrets: Values,
    state: Option<Arc<dyn StateStore>>,
}

impl Binding {
    /// The effects for one instance: never for two, because placeholders are an instance's own.
    ///
    /// # Errors
    ///
    /// When a folder cannot be opened that the plugin may use.
    pub fn services(&self, around: Surroundings) -> std::io::Result<Services> {
        let secrets = Arc::new(Held::new(&self.secrets));
        let files = Folders::open(&around.places, self.effective.files, &self.quotas)?;
        let egress = Egress {
            network: Arc::clone(&self.network),
            sender: Arc::clone(&self.sender),
            secrets: Arc::clone(&secrets),
            files: files.clone(),
        };
        let workspace = around.places.workspace;
        let commands = Commands {
            plugin: self.name.clone(),
            effective: Arc::clone(&self.effective),
            files: files.clone(),
            repository: around
                .repository
                .into_iter()
                .chain(workspace.clone())
                .collect(),
            workspace,
            environment: around.environment,
            path: self.path.clone(),
            step: around.step.clone(),
            secrets: Arc::clone(&secrets),
            children: around.children,
            grace: around.grace.unwrap_or(exec::GRACE),
            attending: Attending::default(),
        };
        let state = self.state.as_ref().filter(|_| self.effective.state);
        Ok(Services {
            http: Some(Arc::new(egress)),
            files: files.map(|files| Arc::new(files) as _),
            secrets: Some(secrets),
            state: state.map(|state| {
                Arc::new(state::Own {
                    plugin: self.name.clone(),
                    store: Arc::clone(state),
                    now: self.now,
                }) as _
            }),
            exec: Some(Arc::new(commands)),
            step: around.step,
            ..Services::default()
        })
    }
}

/// Does what may block on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(broken(&error)))
}

/// A mistake of ours.
pub(crate) fn broken(error: &dyn Display) -> Failure {
    Failure::new(
        FailureKind::Permanent,
        "host.broken",
        format!("piper made a mistake: {error}"),
    )
}

#[cfg(test)]
pub(crate) mod tests;
