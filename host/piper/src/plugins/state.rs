//! Where plugins keep what they remember from call to call, and whose it is.
//!
//! The form of the files is [`FileState`]'s. Here is which folder a plugin's is in, and what happens when another plugin gets its name.

use super::standing::Standing;
use piper_core::{id::PluginName, time::Now};
use piper_plugin_host::{
    Limits,
    effect::state::FileState,
    policy::{
        source::PluginDigest,
        state::{Entry, Put, StateError, StateLimits, StateStore},
    },
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The state of a plugin that may keep one.
pub(super) fn of(
    folder: Option<&Path>,
    standing: &Standing,
    digest: PluginDigest,
) -> Arc<dyn StateStore> {
    let opened = match folder {
        Some(folder) => FileState::open(own(folder, standing, digest), limits(standing))
            .map_err(|error| format!("cannot use `{}`: {error}", folder.display())),
        None => Err("there is no home folder: set HOME or XDG_STATE_HOME".to_owned()),
    };
    match opened {
        Ok(store) => Arc::new(store),
        // A call that keeps something fails then, and says why; the build need not.
        Err(why) => Arc::new(Unavailable(why)),
    }
}

/// A grant is by name, and so is what goes with it. What all plugins of repositories may do was granted to none of them by name: each
/// keeps its own, or one repository would read what the plugin of another remembers.
fn own(folder: &Path, standing: &Standing, digest: PluginDigest) -> PathBuf {
    if standing.grant.allow.state {
        return folder.to_owned();
    }
    let digits = digest.to_string().replace(':', "-");
    folder.join("by-digest").join(digits)
}

fn limits(standing: &Standing) -> StateLimits {
    Limits::default().set(&standing.grant.limits).of_state()
}

/// Takes what a plugin of this name kept so far out of the way of the next one, and says where it is now; `None` if there was nothing.
///
/// # Errors
///
/// When it cannot be moved.
pub(crate) fn set_aside(folder: &Path, name: &PluginName) -> io::Result<Option<PathBuf>> {
    let kept = folder.join(format!("{name}.state"));
    // No name of a plugin has a dot, so this is no plugin's.
    let aside = (1_u32..)
        .map(|number| folder.join(format!("{name}.state.{number}")))
        .find(|aside| fs::symlink_metadata(aside).is_err())
        .expect("a folder has fewer files than there are numbers");
    match fs::rename(&kept, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A store that cannot be had, and why.
struct Unavailable(String);

impl Unavailable {
    fn answer<T>(&self) -> Result<T, StateError> {
        Err(StateError::Unavailable(self.0.clone().into()))
    }
}

impl StateStore for Unavailable {
    fn get(&self, _: &PluginName, _: &str, _: Now) -> Result<Option<Entry>, StateError> {
        self.answer()
    }

    fn put(&self, _: &PluginName, _: Put<'_>, _: Now) -> Result<u64, StateError> {
        self.answer()
    }

    fn delete(&self, _: &PluginName, _: &str, _: Option<u64>, _: Now) -> Result<(), StateError> {
        self.answer()
    }

    fn keys(
        &self,
        _: &PluginName,
        _: &str,
        _: Option<&str>,
        _: u32,
        _: Now,
    ) -> Result<Vec<String>, StateError> {
        self.answer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use piper_core::time::{Monotonic, Timestamp};
    use piper_plugin_host::policy::{
        grant::{self, Allow, Effective, PluginGrant},
        limit::Limit,
    };

    fn standing(by_name: bool, limit: Option<u64>) -> Standing {
        Standing {
            effective: Effective::default(),
            commands: Vec::new(),
            difference: Default::default(),
            other: None,
            waits: false,
            grant: PluginGrant {
                allow: Allow {
                    state: by_name,
                    ..Allow::default()
                },
                limits: limit.map_or_else(grant::Limits::default, |bytes| {
                    grant::Limits::default().with(Limit::State, bytes)
                }),
                ..PluginGrant::default()
            },
        }
    }

    fn now() -> Now {
        Now {
            wall: Timestamp(1),
            mono: Monotonic(std::time::Duration::ZERO),
        }
    }

    fn put(store: &dyn StateStore, value: &[u8]) -> Result<u64, StateError> {
        let put = Put {
            key: "k",
            value,
            expect: None,
            ttl: None,
        };
        store.put(&name(), put, now())
    }

    fn name() -> PluginName {
        PluginName::parse("es").unwrap()
    }

    const DIGEST: PluginDigest = PluginDigest([7; 32]);

    #[test]
    fn a_folder_that_cannot_be_used_has_a_code_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        fs::write(&file, "").unwrap();
        for place in [Some(file.as_path()), None] {
            let store = of(place, &standing(true, None), DIGEST);
            let error = put(&*store, b"x").unwrap_err();
            assert_eq!(error.code(), "state.unavailable");
        }
    }

    #[test]
    fn the_operators_limit_holds() {
        let folder = tempfile::tempdir().unwrap();
        let store = of(Some(folder.path()), &standing(true, Some(100)), DIGEST);
        assert!(put(&*store, &[0; 50]).is_ok());
        let error = put(&*store, &[0; 200]).unwrap_err();
        assert_eq!(error.code(), "quota.state");
    }

    #[test]
    fn what_all_repositories_plugins_may_keep_is_each_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let value = |digest| {
            let store = of(Some(folder.path()), &standing(false, None), digest);
            let found = store.get(&name(), "k", now()).unwrap();
            put(&*store, b"x").unwrap();
            found.is_some()
        };
        assert!(!value(DIGEST));
        assert!(value(DIGEST));
        assert!(!value(PluginDigest([8; 32])), "another one of this name");
    }

    #[test]
    fn what_is_set_aside_is_kept_and_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(set_aside(folder.path(), &name()).unwrap(), None);
        for number in 1..3 {
            fs::write(folder.path().join("es.state"), "x").unwrap();
            let aside = set_aside(folder.path(), &name()).unwrap().unwrap();
            assert_eq!(aside, folder.path().join(format!("es.state.{number}")));
            assert!(aside.exists() && !folder.path().join("es.state").exists());
        }
        let missing = folder.path().join("missing");
        assert_eq!(set_aside(&missing, &name()).unwrap(), None);
    }
}
