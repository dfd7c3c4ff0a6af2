//! Changes to the two small files about plugins, by the commands that decide something: the operator's grants and the project's lock.
//!
//! What others wrote since this command read a file stays, and a command that decided by what is not there any more is refused.

use super::{
    Error,
    catalogue::{Catalogue, LOCK_NAME},
    files::{self, Authority},
    shown, state,
    turn::Turn,
};
use piper_core::{
    codes,
    id::PluginName,
    problem::{Problem, Source},
};
use piper_plugin_host::policy::{
    grant::{self, Change, Grants, PluginGrant},
    lock::{self, Lock, Locked},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What becomes of what a plugin of the same name kept from call to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It stays where it is.
    Stays,
    /// It is put where no plugin finds it.
    SetAside,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Into which file.
    pub(crate) file: PathBuf,
    /// Where that is now what a plugin of the same name kept.
    pub(crate) aside: Option<PathBuf>,
}

impl Catalogue {
    /// What would be written of a plugin after these changes, as far as is known before its turn.
    ///
    /// # Errors
    ///
    /// When the file is none, or would be wrong then.
    pub(crate) fn preview(
        &self,
        name: &PluginName,
        changes: &[Change],
    ) -> Result<PluginGrant, Error> {
        let (_, mut grants) = edited(&self.grants_place()?, self.grants_text(), name, changes)?;
        Ok(grants.plugins.remove(name).unwrap_or_default())
    }

    /// Writes what the operator decided of a plugin, unless what is written of it changed since this catalogue was opened.
    ///
    /// # Errors
    ///
    /// When it changed, the file would be wrong then, or cannot be written.
    pub(crate) fn change(
        &mut self,
        name: &PluginName,
        changes: &[Change],
        kept: Kept,
    ) -> Result<Written, Error> {
        let file = self.grants_place()?;
        let _turn = turn(&file, 0o600)?;
        let text = files::read_text(&file, Authority::Operator).map_err(|problem| *problem)?;
        let text = text.as_ref().map_or("", |source| source.text.as_str());
        if loaded(&file, text)?.plugins.get(name) != self.grant(name) {
            let message = format!(
                "`[plugins.{name}]` of {} changed meanwhile, so nothing was written",
                shown(&file)
            );
            let problem = Problem::error(codes::NOT_GRANTED, message);
            return Err(problem
                .help("look again at what would hold: say the same once more")
                .into());
        }
        let (text, grants) = edited(&file, text, name, changes)?;
        let aside = match (&self.places.state, kept) {
            (Some(folder), Kept::SetAside) => {
                state::set_aside(folder, name).map_err(|source| Error::Write {
                    path: folder.clone(),
                    source,
                })?
            }
            (_, Kept::Stays) | (None, Kept::SetAside) => None,
        };
        files::write(&file, text.as_bytes(), 0o600)?;
        self.grants = grants;
        Ok(Written { file, aside })
    }

    /// Pins a plugin for the project.
    ///
    /// # Errors
    ///
    /// When the file is wrong, or cannot be written.
    pub(crate) fn pin(&mut self, name: &PluginName, locked: Locked) -> Result<PathBuf, Error> {
        let root = self.root.as_deref();
        let file = root
            .expect("a project was found, or nothing is added to it")
            .join(LOCK_NAME);
        let _turn = turn(&file, 0o644)?;
        let text = files::read_text(&file, Authority::Anybody).map_err(|problem| *problem)?;
        let mut now = match text.as_ref().map(lock::load) {
            None => Lock::default(),
            Some((Some(lock), _)) => lock,
            Some((None, problems)) => return Err(Error::Problems(problems)),
        };
        now.plugins.insert(name.clone(), locked);
        files::write(&file, now.to_string().as_bytes(), 0o644)?;
        self.lock = now;
        Ok(file)
    }

    fn grants_place(&self) -> Result<PathBuf, Error> {
        self.places.grants.clone().ok_or_else(|| {
            let message = "there is no home folder to keep grants in";
            let problem = Problem::error(codes::UNREADABLE, message);
            problem.help("set HOME or XDG_CONFIG_HOME").into()
        })
    }
}

/// The turn to change this file, which is made with this mode if it is not there. What others left who were killed in theirs is removed.
fn turn(file: &Path, mode: u32) -> Result<Turn, Error> {
    // Two links to one file are one turn, and drafts lie beside what is replaced.
    let place = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = place.parent().unwrap_or(Path::new("."));
    let turn = files::make_folder(folder, mode)
        .and_then(|()| Turn::take(&place))
        .map_err(|source| Error::Write {
            path: file.to_owned(),
            source,
        })?;
    files::sweep(&place);
    Ok(turn)
}

fn loaded(file: &Path, text: &str) -> Result<Grants, Error> {
    let source = Arc::new(Source {
        path: file.to_owned(),
        text: text.to_owned(),
    });
    let (grants, problems) = grant::load(&source);
    grants.ok_or(Error::Problems(problems))
}

/// The text after these changes, and what it says then.
fn edited(
    file: &Path,
    text: &str,
    name: &PluginName,
    changes: &[Change],
) -> Result<(String, Grants), Error> {
    let text = grant::change(text, name, changes).map_err(|error| {
        let message = format!("cannot change `{}`: {error}", shown(file));
        Problem::error(codes::UNREADABLE, message).help("mend the file by hand")
    })?;
    let grants = loaded(file, &text)?;
    Ok((text, grants))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Places;
    use piper_plugin_host::policy::source::{PluginDigest, PluginSource};
    use std::{os::unix::fs::symlink, thread};

    fn name(text: &str) -> PluginName {
        PluginName::parse(text).unwrap()
    }

    fn open(folder: &Path) -> Catalogue {
        let places = Places {
            grants: Some(folder.join("config/plugins.toml")),
            cache: None,
            plugin_cache: None,
            state: Some(folder.join("state")),
        };
        Catalogue::open(places, Some(folder.to_owned())).unwrap()
    }

    fn text(folder: &Path) -> String {
        fs::read_to_string(folder.join("config/plugins.toml")).unwrap()
    }

    #[test]
    fn what_others_granted_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<PluginName> = (0..8).map(|number| name(&format!("p{number}"))).collect();
        thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| {
                    let mut catalogue = open(folder.path());
                    catalogue
                        .change(name, &[Change::State], Kept::Stays)
                        .unwrap();
                    let locked = Locked {
                        source: PluginSource::parse("a.wasm").unwrap(),
                        digest: PluginDigest([7; 32]),
                    };
                    catalogue.pin(name, locked).unwrap();
                });
            }
        });
        let catalogue = open(folder.path());
        for name in &names {
            assert!(catalogue.grant(name).unwrap().allow.state);
            assert!(catalogue.lock.plugins.contains_key(name));
        }
    }

    #[test]
    fn a_decision_about_what_is_not_there_any_more_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (es, other) = (name("es"), name("other"));
        let mut first = open(folder.path());
        first.change(&es, &[Change::State], Kept::Stays).unwrap();
        let mut asked = open(folder.path());
        let revoked = "[plugins.es]\n";
        fs::write(folder.path().join("config/plugins.toml"), revoked).unwrap();
        let error = asked
            .change(&es, &[Change::State], Kept::Stays)
            .unwrap_err();
        assert!(error.to_string().contains("changed meanwhile"), "{error}");
        assert_eq!(text(folder.path()), revoked);
        asked.change(&other, &[Change::State], Kept::Stays).unwrap();
        assert_eq!(
            text(folder.path()),
            "[plugins.es]\n\n[plugins.other]\nallow.state = true\n"
        );
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_by_the_next_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&config).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        let real = elsewhere.join("real.toml");
        fs::write(&real, "").unwrap();
        symlink(&real, config.join("plugins.toml")).unwrap();
        let drafts = [
            elsewhere.join(".real.toml.piper-a1B2c3"),
            folder.path().join(".piper.lock.piper-a1B2c3"),
        ];
        let others = [
            elsewhere.join(".other.toml.piper-a1B2c3"),
            folder.path().join(".piper-config"),
            folder.path().join("piper.lock.piper-a1B2c3"),
        ];
        for file in drafts.iter().chain(&others) {
            fs::write(file, "half").unwrap();
        }
        let mut catalogue = open(folder.path());
        let es = name("es");
        catalogue
            .change(&es, &[Change::State], Kept::Stays)
            .unwrap();
        let locked = Locked {
            source: PluginSource::parse("a.wasm").unwrap(),
            digest: PluginDigest([7; 32]),
        };
        catalogue.pin(&es, locked).unwrap();
        assert!(fs::read_to_string(&real).unwrap().contains("es"));
        assert!(drafts.iter().all(|draft| !draft.exists()), "{drafts:?}");
        assert!(others.iter().all(|other| other.exists()), "{others:?}");
    }

    #[test]
    fn what_would_be_wrong_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut catalogue = open(folder.path());
        catalogue.places.grants = None;
        let error = catalogue
            .change(&name("es"), &[Change::State], Kept::Stays)
            .unwrap_err();
        assert!(error.to_string().contains("no home folder"), "{error}");
    }
}
