//! Plugins as this machine and this project have them: where each comes from, which one it is, what was granted to it.
//!
//! Loading and calling is `piper-plugin-host`'s, and whether something is allowed is its `policy`'s; here are the files and folders that
//! both need. Nothing here starts the engine of WebAssembly: that happens with the first [`Host::load`], so a command
//! without plugins pays nothing for them.
//!
//! ```text
//!   piper.lock          the project's: name, source, digest ──┐
//!   plugins.toml        the operator's: the same, and grants ─┼──▶ Catalogue ──▶ Component (bytes, digest checked) ──▶ Plugin
//!   piper_builtin_plugins (carried in the program) ───────────────┘
//! ```

mod annotation;
pub mod catalogue;
pub(crate) mod change;
mod committed;
pub mod component;
pub(crate) mod fetch;
pub mod files;
pub mod limits;
pub mod pipeline;
pub(crate) mod reads;
pub mod rules;
mod runner;
pub(crate) mod settings;
pub mod standing;
pub(crate) mod state;
pub(crate) mod talk;
mod turn;
pub(crate) mod used;

use crate::history::base;
use piper_core::problem::Problem;
use piper_plugin_host::{Host, HostOptions, policy::limit::Limit};
use std::{
    env, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a call that is over may still hold files: what was begun is finished, and nothing else of the build meets it half done.
const FINISHING: Duration = Duration::from_secs(1);

/// Where the operator keeps what concerns plugins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The file of grants.
    pub grants: Option<PathBuf>,
    /// The folder of compiled and of fetched components.
    pub cache: Option<PathBuf>,
    /// The folder of what plugins keep from call to call.
    pub state: Option<PathBuf>,
    /// The folder of the folders that plugins see as `/cache`.
    pub plugin_cache: Option<PathBuf>,
}

impl Places {
    /// By the rules of the XDG base directories; nothing is looked at yet. Without a home folder there are none.
    pub fn find() -> Self {
        let below = |variable: &str, fallback: &str| {
            let base = base(env::var_os(variable), env::home_dir(), fallback)?;
            Some(base.join("piper"))
        };
        Self {
            grants: below("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("plugins.toml")),
            cache: below("XDG_CACHE_HOME", ".cache").map(|folder| folder.join("plugins")),
            state: below("XDG_STATE_HOME", ".local/state").map(|folder| folder.join("plugins")),
            plugin_cache: below("XDG_CACHE_HOME", ".cache")
                .map(|folder| folder.join("plugin-cache")),
        }
    }
}

/// From how many steps of plugins on room is made for all of their instances at once: it costs as much as some twenty of them gain.
const MANY: usize = 20;

/// What loads plugins for whoever looks at them: with a pool, which knows of each whether an instance of it can be made. Costs nothing
/// until the first is loaded. How large each may be was checked when it was read.
pub fn host(places: &Places) -> Host {
    host_of(places, MANY)
}

/// What loads plugins and calls them about as often as this.
pub(crate) fn host_of(places: &Places, calls: usize) -> Host {
    Host::new(HostOptions {
        cache: places.cache.clone(),
        component_bytes: Limit::ComponentSize.row().most(),
        has_pool: calls >= MANY,
    })
}

/// Why a plugin cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that a person wrote or chose is wrong.
    #[error("{} problems, of which the first: {}", .0.len(), .0.first().map_or("none", |problem| problem.message.as_str()))]
    Problems(Vec<Problem>),
    /// A server does not give it.
    #[error("cannot fetch `{url}`: {message}")]
    Fetch {
        /// From where.
        url: String,
        /// What is the matter.
        message: String,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The machine cannot run plugins, or not keep them.
    #[error("plugins cannot be loaded here: {0}")]
    Machine(String),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problems(vec![problem])
    }
}

/// Waits for a call of a plugin. The only place of piper that knows that calls are futures.
///
/// The limits of a call bound this, too: what it left in the system's hands, such as a look-up of a name that no server answers or
/// a file of a dead network disk, cannot be called back, and is left behind.
///
/// # Errors
///
/// When the system has no room for what waiting takes.
pub fn wait<T>(call: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let told = runtime.block_on(call);
    // Dropping it would wait for its threads without end.
    runtime.shutdown_timeout(FINISHING);
    Ok(told)
}

/// A path as it is shown: relative to the working directory if it is below it.
pub(crate) fn shown(path: &Path) -> String {
    let here = env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below
        .filter(|below| !below.as_os_str().is_empty())
        .unwrap_or_else(|| path.to_owned())
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tokio::{sync::oneshot, task::spawn_blocking};

    /// A call that ends while `work` is under way.
    async fn leaving(work: impl FnOnce() + Send + 'static) {
        let (begins, begun) = oneshot::channel();
        drop(spawn_blocking(move || {
            let _ = begins.send(());
            work();
        }));
        begun.await.unwrap();
    }

    #[test]
    fn a_call_is_over_though_the_system_does_not_answer() {
        let (answer, answered) = mpsc::channel();
        // As long as a resolver may take whose servers are all silent; the sender is dropped with this test.
        let silent = Duration::from_secs(30);
        wait(leaving(move || {
            let _ = answered.recv_timeout(silent);
        }))
        .unwrap();
        let still_asks = answer.send(()).is_ok();
        assert!(still_asks, "it was waited for");
    }

    #[test]
    fn what_a_call_was_about_to_finish_is_finished_when_it_is_over() {
        let (finish, finished) = mpsc::channel();
        wait(leaving(move || {
            std::thread::sleep(FINISHING / 20);
            finish.send(()).unwrap();
        }))
        .unwrap();
        assert_eq!(finished.try_recv(), Ok(()));
    }
}
