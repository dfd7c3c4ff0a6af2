//! Steps that a plugin runs: the host of their tasks, and what such a step may tell its build.
//!
//! A try is a thread with one instance of the plugin. What it prints goes into the step's pipes as a process's words would, so that all
//! that the engine does with them (times, masking, the log) is the same.

use super::{annotation, limits::Subject, used::Draft};
use crate::{exec::Asides, ui::text::pointed};
use piper_core::{build::Fault, plan::PlannedStep};
use piper_engine::{
    environment::Vars,
    process::reaper,
    task::{Job, NotStarted, Task, TaskEnd, TaskHost, ThreadTask},
};
use piper_plugin_host::{
    CallError, Cancel, Failure, FailureKind, Invocation, Limits, Plugin,
    effect::{
        Binding, Surroundings,
        exec::Children,
        files::{Cache, Places},
    },
    kind::{Status, Verdict},
    log::{Level, Line, Receiver},
    policy::{
        files::FilesRule,
        limit::{Limit, Reached},
    },
    service::StepContext,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Runs the steps of one plan that are plugins.
#[derive(Debug)]
pub(super) struct Runner {
    /// By the steps' labels.
    pub(super) steps: BTreeMap<String, Arc<Prepared>>,
    /// The project's folder, which a fresh copy of HEAD is not.
    pub(super) project: PathBuf,
    /// What every step is told of its build.
    pub(super) about: Value,
    /// Where they tell what they point at.
    pub(super) asides: Asides,
}

/// A step that is ready to be run.
pub(super) struct Prepared {
    pub(super) subject: Subject,
    pub(super) plugin: Plugin,
    pub(super) binding: Binding,
    pub(super) limits: Limits,
    pub(super) draft: Draft,
    /// Which folders were granted to it.
    pub(super) files: FilesRule,
    /// What it sees as `/cache`, if that was granted.
    pub(super) cache: Option<PathBuf>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

impl TaskHost for Runner {
    fn start(&self, job: Job<'_>) -> Result<Box<dyn Task>, NotStarted> {
        let not_started = |why: String| NotStarted {
            why,
            fault: Fault::Machine,
        };
        let prepared = self.steps.get(&job.step.label).cloned();
        let prepared =
            prepared.ok_or_else(|| not_started("its plugin was not made ready".to_owned()))?;
        let facts = facts(&self.about, job.step, job.r#try, job.vars);
        let of_step = |kind| of_step(job.vars, kind, job.step);
        let (reports, out) = (of_step("reports"), of_step("out"));
        if job.r#try > 1 {
            for folder in [&reports, &out].into_iter().flatten() {
                without(folder).map_err(|error| not_started(error.to_string()))?;
            }
        }
        let said = Arc::new(Said {
            streams: [job.stdout, job.stderr].map(|pipe| Mutex::new(File::from(pipe))),
            outputs: job.outputs,
            reports,
            step: job.step.label.clone(),
            workspace: annotation::Workspace {
                top: job.workspace.to_owned(),
                below: job.step.cwd.clone(),
            },
            r#try: job.r#try,
            asides: self.asides.clone(),
        });
        let places = prepared.places(job.cwd, out);
        let places =
            places.map_err(|error| not_started(format!("its folder cannot be made: {error}")))?;
        let around = Surroundings {
            places,
            repository: vec![self.project.clone(), job.workspace.to_owned()],
            environment: job
                .vars
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            step: Some(said.clone()),
            children: Some(Arc::new(OfEngine)),
            grace: Some(job.step.grace),
        };
        let cancel = Cancel::new();
        let asked = cancel.clone();
        let work = move || prepared.run(around, said, cancel, facts);
        match ThreadTask::start("plugin", move || asked.cancel(), work) {
            Ok(task) => Ok(Box::new(task)),
            Err(error) => Err(not_started(format!("no thread for its plugin: {error}"))),
        }
    }
}

impl Prepared {
    /// Its folders, of which those that are its own are made: `/out` beside the artifacts of the build, `/cache` for this user alone.
    fn places(&self, workspace: &Path, out: Option<PathBuf>) -> io::Result<Places> {
        let out = out.filter(|_| self.files.out);
        if let Some(out) = &out {
            fs::create_dir_all(out).map_err(|error| {
                io::Error::other(format!("{}, as its `/out`: {error}", out.display()))
            })?;
        }
        let cache = self.cache.clone().filter(|_| self.files.cache);
        if let Some(cache) = &cache {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(cache)
                .map_err(|error| {
                    io::Error::other(format!("{}, as its `/cache`: {error}", cache.display()))
                })?;
        }
        Ok(Places {
            workspace: Some(workspace.to_owned()),
            out,
            cache: cache.map(|path| Cache {
                path,
                quota: self.limits.cache as u64,
            }),
        })
    }

    fn run(&self, around: Surroundings, said: Arc<Said>, cancel: Cancel, facts: Value) -> TaskEnd {
        let services = match self.binding.services(around) {
            Ok(services) => services,
            Err(error) => return errored(format!("its folder cannot be opened: {error}"), false),
        };
        let invocation = Invocation {
            limits: self.limits.clone(),
            services,
            log: Arc::clone(&said) as Arc<dyn Receiver>,
            cancel,
        };
        match super::wait(self.plugin.run(&invocation, self.draft.call(facts))) {
            Ok(Ok(verdict)) => {
                if verdict.status == Status::Passed && !verdict.message.is_empty() {
                    said.print(false, format!("{}\n", verdict.message).into_bytes());
                }
                ended(verdict)
            }
            Ok(Err(error)) => {
                if let CallError::Failed(failure) = &error
                    && let Some(stack) = failure.detail("stack")
                {
                    said.print(true, format!("{stack}\n").into_bytes());
                }
                self.broke(&error)
            }
            Err(error) => errored(format!("cannot wait for a plugin: {error}"), true),
        }
    }

    /// What a failure means for the step: the contract's `step-runner` says so.
    fn broke(&self, error: &CallError) -> TaskEnd {
        let title = &self.subject.title;
        match error {
            CallError::Failed(failure) => {
                let of_plugin = |limit: &Reached| limit.limit != Limit::Wall;
                let failure = Failure {
                    limit: failure.limit.filter(of_plugin),
                    ..failure.clone()
                };
                let why = self.subject.failed("run", &failure);
                match failure.kind {
                    FailureKind::Invalid => TaskEnd::Failed(why),
                    FailureKind::Transient => errored(why, true),
                    FailureKind::Permanent | FailureKind::Denied | FailureKind::Cancelled => {
                        errored(why, false)
                    }
                }
            }
            // A step's time is its own, which no limit of its plugin changes.
            CallError::Crashed(crash) if crash.code == "limit.time" => {
                let why = format!(
                    "plugin `{title}`: its `run` ended: {}; the step's `timeout` allows more",
                    crash.message
                );
                errored(why, true)
            }
            CallError::Crashed(crash) => {
                let why = self.subject.story(crash);
                errored(why, crash.kind() == FailureKind::Transient)
            }
        }
    }
}

fn ended(verdict: Verdict) -> TaskEnd {
    match verdict.status {
        Status::Passed => TaskEnd::Passed,
        Status::Failed => TaskEnd::Failed(verdict.message),
        Status::Skipped => TaskEnd::Skipped(verdict.message),
    }
}

fn errored(why: String, passing: bool) -> TaskEnd {
    TaskEnd::Errored { why, passing }
}

fn facts(about: &Value, step: &PlannedStep, r#try: u32, vars: &Vars) -> Value {
    let var = |name: &str| {
        vars.get(OsStr::new(name))
            .map(|value| value.to_string_lossy().into_owned())
    };
    json!({
        "build": {
            "id": var("PIPER_BUILD"),
            "project": about["project"],
            "revision": var("PIPER_REVISION"),
        },
        "step": { "path": step.label },
        "try": r#try,
        "params": about["params"],
    })
}

/// A step's own folder of this kind, beside the artifacts of its build.
fn of_step(vars: &Vars, kind: &str, step: &PlannedStep) -> Option<PathBuf> {
    let artifacts = vars.get(OsStr::new("PIPER_ARTIFACTS"))?;
    Some(
        PathBuf::from(artifacts)
            .join(kind)
            .join(folder(&step.label)),
    )
}

/// A label as the name of a folder: another one for each label, and none that is a path, whatever a cell's values are.
fn folder(label: &str) -> String {
    label.replace('%', "%25").replace('/', "%2F")
}

/// Takes away what an earlier try left in a folder.
fn without(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io::Error::other(format!(
            "what an earlier try left in {}: {error}",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// The engine adopts and reaps what steps leave behind; what a plugin started is waited for by the plugin.
struct OfEngine;

impl Children for OfEngine {
    fn start(&self, start: &mut dyn FnMut() -> Option<u32>) {
        reaper::keep(start);
    }

    fn let_go(&self, pid: u32) {
        reaper::let_go(pid);
    }
}

/// What a running step tells its build.
struct Said {
    /// Standard output and standard error.
    streams: [Mutex<File>; 2],
    outputs: PathBuf,
    reports: Option<PathBuf>,
    step: String,
    workspace: annotation::Workspace,
    r#try: u32,
    asides: Asides,
}

impl Said {
    fn write(&self, is_stderr: bool, bytes: &[u8]) {
        let mut stream = self.streams[usize::from(is_stderr)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Nobody reads any more when the build let go of the step.
        let _ = stream.write_all(bytes);
    }

    fn keep(&self, kind: &str, items: &[Value]) -> io::Result<()> {
        let Some(folder) = &self.reports else {
            return Ok(());
        };
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join(format!("{kind}.ndjson")))?;
        let mut text = String::new();
        for item in items {
            text.push_str(&item.to_string());
            text.push('\n');
        }
        file.write_all(text.as_bytes())
    }
}

impl StepContext for Said {
    fn print(&self, is_stderr: bool, bytes: Vec<u8>) {
        self.write(is_stderr, &bytes);
    }

    fn set_output(&self, name: String, value: String) -> Result<(), Failure> {
        fs::write(self.outputs.join(name), value)
            .map_err(|error| Failure::transient("host.outputs", error.to_string()))
    }

    fn report(&self, kind: String, items: Vec<String>) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::transient("host.reports", error.to_string());
        let read: Result<Vec<Value>, _> = items
            .iter()
            .map(|item| serde_json::from_str(item))
            .collect();
        let mut items = read.map_err(|error| failed(error.into()))?;
        if kind == "annotation" {
            let (step, r#try) = (&self.step, self.r#try);
            for item in &mut items {
                let place = annotation::place(&self.workspace, item);
                for why in place.into_iter().chain(annotation::level(item)) {
                    self.write(true, format!("warning: {why}\n").as_bytes());
                }
                if let Some(annotation) = annotation::read(step, r#try, item) {
                    self.write(true, format!("{}\n", pointed(&annotation)).as_bytes());
                    self.asides.annotate(annotation);
                }
            }
        }
        self.keep(&kind, &items).map_err(failed)
    }
}

impl Receiver for Said {
    fn is_enabled(&self, level: Level) -> bool {
        level >= Level::Info
    }

    fn line(&self, line: Line) {
        let level = match line.level {
            Level::Trace | Level::Debug | Level::Info => "",
            Level::Warn => "warning: ",
            Level::Error => "error: ",
        };
        let fields = line.fields.iter();
        let fields: String = fields
            .map(|(name, value)| format!(" {name}={value}"))
            .collect();
        self.write(
            true,
            format!("{level}{}{fields}\n", line.message).as_bytes(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_label_has_a_folder_of_its_own() {
        let labels = ["a", "a/b", "a+b", "a[v=x/y]", "a%2Fb", "a%252Fb"];
        let folders: BTreeSet<String> = labels.iter().map(|label| folder(label)).collect();
        assert_eq!(folders.len(), labels.len());
        assert!(folders.iter().all(|folder| !folder.contains('/')));
    }
}
