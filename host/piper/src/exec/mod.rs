//! `piper exec`: joins a plan, the engine, the record and the screen.
//!
//! This is the laptop's place where the crates meet. What a step is, when it runs and how it ends is decided elsewhere.

mod asides;
mod conditions;
mod error;
mod hidden;
mod screen;
mod telling;
mod workspace;

use crate::{
    history::{LocalRecorder, Place},
    ui::{
        Ui,
        lines::Sharing,
        output,
        reporter::{Reporter, Setup, StepSetup},
    },
};
use anyhow::Context as _;
use piper_core::{
    codes,
    id::{BuildId, StepIx},
    log::mask::Masker,
    plan::{Plan, cell_text},
    problem::Problem,
    project::VersionSource,
    record::{BuildSummary, Recorder as _},
    time::Timestamp,
    wire::{
        path::to_text,
        v1::{self, Outcome},
    },
};
use piper_engine::{
    clock::Clock,
    environment::{Environment, Vars},
    git::Repository,
    logs::{self, LogOptions, Need},
    runner::{self, Listener as _, Order, Report},
    secrets::Secrets,
    signals::Signals,
    task::TaskHost,
};
use screen::Screen;
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use asides::Asides;
pub use error::Error;
pub use hidden::Hidden;
pub use telling::Telling;
use telling::Told;
pub use workspace::{Origin as WorkspaceOrigin, Workspace};

/// How often it is looked whether somebody interrupts what is still being shown.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the rest of an interrupted build is shown.
const BACKLOG: Duration = Duration::from_millis(100);
/// How long whoever interrupted a build waits for the end of it to be read.
const STALLED: Duration = Duration::from_secs(2);
/// How long a terminal may be behind a build that is over.
const BACKLOG_ON_TERMINAL: Duration = Duration::from_secs(1);

/// How to run, beside what.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many cores steps may take together.
    pub jobs: u32,
    /// Pass the whole environment on.
    pub pass_env_all: bool,
    /// Where secrets are, beside the environment.
    pub secrets: Secrets,
    /// The copy of a build that is not done is kept, also when piper is killed.
    pub keep: bool,
}

/// What carries out the steps of a build that are plugins.
#[derive(Debug)]
pub struct Tasks {
    /// Who runs them.
    pub host: Arc<dyn TaskHost>,
    /// Where they tell what is no control event.
    pub asides: Asides,
    /// Their secrets.
    pub hidden: Hidden,
}

/// Runs builds one after another.
#[derive(Debug)]
pub struct Runner<'a> {
    ui: &'a Ui,
    signals: &'a Signals,
    options: Options,
    recorder: LocalRecorder,
    caller: Vars,
    invoked_from: PathBuf,
}

impl<'a> Runner<'a> {
    /// Prepares to run.
    ///
    /// # Errors
    ///
    /// When the working directory is gone.
    pub fn new(ui: &'a Ui, signals: &'a Signals, options: Options) -> anyhow::Result<Self> {
        let invoked_from =
            std::env::current_dir().context("could not find out the working directory")?;
        Ok(Self {
            ui,
            signals,
            options,
            recorder: LocalRecorder::new(),
            caller: std::env::vars_os().collect(),
            invoked_from,
        })
    }

    /// The values of the secrets that a plan's steps name.
    ///
    /// # Errors
    ///
    /// Every secret that is nowhere to be found.
    pub fn secrets(&self, plan: &Plan) -> Result<Secrets, Vec<Problem>> {
        let names: BTreeSet<&String> = plan.steps.iter().flat_map(|step| &step.secrets).collect();
        let (mut found, mut missing) = (Secrets::new(), Vec::new());
        for name in names {
            let value = self
                .options
                .secrets
                .get(name)
                .or_else(|| self.caller.get(std::ffi::OsStr::new(name)));
            match value {
                Some(value) => _ = found.insert(name.clone(), value.clone()),
                None => missing.push(
                    Problem::error(codes::SECRET_MISSING, format!("there is no value for the secret `{name}`"))
                        .help(format!("set it in your environment (`{name}=… piper exec`), or name a file of `NAME=VALUE` lines that only you can read with `--secrets FILE`")),
                ),
            }
        }
        if missing.is_empty() {
            Ok(found)
        } else {
            Err(missing)
        }
    }

    /// Runs one build to its end, in `workspace`, which goes with it unless it is to be kept; `telling` says who hears of it.
    ///
    /// # Errors
    ///
    /// When it could not even begin.
    pub fn run(
        &mut self,
        plan: Plan,
        secrets: Secrets,
        (tasks, telling): (Option<Tasks>, Option<Telling>),
        workspace: Workspace,
    ) -> Result<Report, Error> {
        let clock = Clock::start();
        let mut order = self.order(plan, secrets, &workspace)?;
        let (mut asides, mut hidden) = (Asides::default(), Hidden::default());
        if let Some(tasks) = tasks {
            (asides, hidden) = (tasks.asides, tasks.hidden);
            order.tasks = Some(tasks.host);
        }
        if let Some(telling) = &telling {
            hidden.extend(&telling.hidden);
        }
        let summary = summary(&order, &workspace, clock.now().wall);
        let file = self.recorder.begin(&summary);
        let folders = Folders::make(&summary, file.as_deref())?;
        let kept = file.clone();
        order.artifacts = folders.artifacts.clone();
        order.cache = folders.cache.clone();
        let masker = self.masker(&order, &hidden, &asides);
        let (writer, log) = logs::start(LogOptions {
            file,
            build: order.id,
            attempt: order.attempt,
            masker: Some(masker.clone()),
            warn: asides.sink(),
        });
        let (ui, setup) = (*self.ui, self.reporter_setup(&order));
        let opened = clock.now().wall;
        let reporter = move || Reporter::of_process(&ui, setup, opened);
        let reader = log.reader(Need::Required);
        let told = (asides.clone(), masker);
        let mut screen = Screen::new(reporter, log.clone(), reader, order.id, clock, told);
        let about = self.about(&order, &summary);
        screen.tell(clock.now(), v1::Event::BuildStarted(Box::new(about)));
        let told = telling.map(|telling| Told::begin(telling, &order, &summary));

        let mut report = match runner::run(&order, writer, clock, self.signals, &mut screen) {
            Ok(report) => report,
            Err(error) => screen.give_up(&error),
        };
        log.finish();
        // While signals are held back, and before a second one is meant: a copy would stay for ever.
        let kept_copy = if self.options.keep && report.outcome != Outcome::Succeeded {
            workspace.keep()
        } else {
            if let Err(error) = workspace.remove() {
                asides.warn(error.to_string());
            }
            None
        };
        let is_shown = self.see_through(&screen, &mut report);
        // All is recorded, so whoever cannot wait for a slow terminal may go.
        self.signals.let_go();
        let shown = match is_shown {
            true => screen
                .join()
                .context("could not show the build, which is done"),
            // Its thread waits for somebody who does not read, and ends with the process.
            false => Ok(()),
        };
        if !is_shown && output::has_room(io::stderr()) {
            self.ui.warn(&format!(
                "nobody reads what is printed here, so the rest is left out; all of it is in `piper logs {}`",
                order.id.short()
            ));
        }
        folders.tidy();
        let trouble = self.recorder.end(order.id, clock.now().wall);
        if let Some(told) = told {
            let (kept, at) = (kept.as_deref(), clock.now().wall);
            for warning in told.end(&summary, report.outcome, kept, at, ui) {
                asides.warn(warning);
            }
        }
        self.signals.take_back();
        let late = asides.take().into_iter().filter_map(|aside| {
            let v1::Event::Warning { message } = aside else {
                return None;
            };
            Some(message)
        });
        for warning in late.chain(trouble) {
            self.ui.warn(&warning);
        }
        if let Some(copy) = kept_copy {
            self.ui
                .say(&format!("the workspace is kept in {}", copy.display()));
        }
        Ok(shown.map(|()| report)?)
    }

    /// What hides the secrets of a build; warns of those that it cannot hide.
    fn masker(&self, order: &Order, hidden: &Hidden, asides: &Asides) -> Masker {
        let of_steps = order.secrets.iter();
        let of_steps = of_steps.map(|(name, value)| (name.as_str(), value.as_encoded_bytes()));
        let (masker, too_short) = Masker::new(&of_steps.chain(hidden.iter()).collect::<Vec<_>>());
        for secret in too_short {
            let name = secret.name;
            if !order.secrets.contains_key(&name) {
                asides.warn(format!(
                    "the secret {name} is too short to be hidden in the log; use a longer one"
                ));
                continue;
            }
            let whence = match self.options.secrets.contains_key(&name) {
                true => "the file of `--secrets`",
                false => "your environment",
            };
            asides.warn(match order.secrets[&name].is_empty() {
                true => format!("the secret {name} is empty in {whence}"),
                false => format!("the secret {name} is too short to be hidden in the log"),
            });
        }
        masker
    }

    /// Waits until all is shown. Whoever interrupts a flood does not want to see the rest of it, nor does whoever looks at a terminal
    /// when the step is long over. `false` if whoever interrupted the build would have to wait for somebody who reads nothing.
    fn see_through(&self, screen: &Screen, report: &mut Report) -> bool {
        let (mut waited, mut interrupted_for) = (Duration::ZERO, Duration::ZERO);
        while !screen.is_shown_within(LOOK_EVERY) {
            waited += LOOK_EVERY;
            if report.signal.is_some() {
                interrupted_for += LOOK_EVERY;
            }
            let interrupted = match self.signals.take() {
                Some(libc::SIGWINCH) | None => report.signal.is_some() && waited >= BACKLOG,
                Some(libc::SIGTSTP) => {
                    self.signals.stop_here();
                    false
                }
                // The second one is meant.
                Some(signal) if report.signal.is_some() => {
                    self.signals.die_of(signal);
                    true
                }
                Some(signal) => {
                    report.signal = Some(signal);
                    true
                }
            };
            if interrupted || self.ui.out.terminal && waited >= BACKLOG_ON_TERMINAL {
                screen.skip_backlog();
            }
            if interrupted_for >= STALLED {
                return false;
            }
        }
        true
    }

    /// All that the engine needs but the folders, which belong to the record.
    fn order(&self, plan: Plan, secrets: Secrets, workspace: &Workspace) -> Result<Order, Error> {
        let repository = Repository::find(&workspace.path);
        let head = repository
            .as_ref()
            .map(Repository::head)
            .unwrap_or_default();
        let mut environment = Environment::new(self.caller.clone(), self.options.pass_env_all);
        environment.set_params(&plan);
        Ok(Order {
            id: BuildId::from_random(random()),
            attempt: 1,
            workspace: workspace.path.clone(),
            copy: workspace
                .copy()
                .filter(|_| !self.options.keep)
                .map(Path::to_owned),
            invoked_from: self.invoked_from.clone(),
            environment,
            jobs: self.options.jobs,
            unmet: conditions::unmet(&plan, &head, repository.as_ref(), &workspace.path)?,
            version: version(&plan, repository.as_ref())?,
            revision: head.commit,
            secrets,
            artifacts: PathBuf::new(),
            cache: PathBuf::new(),
            tasks: None,
            trace: format!("{:032x}", random() | 1),
            plan: Arc::new(plan),
        })
    }

    fn reporter_setup(&self, order: &Order) -> Setup {
        let steps = order.plan.steps.iter().map(|step| StepSetup {
            tty: step.tty,
            color: step.color,
            tries: step.retry.max + 1,
            survivors: step.survivors,
        });
        let alone = order.jobs == 1 || is_sequence(&order.plan);
        Setup {
            build: order.id,
            attempt: order.attempt,
            sharing: if alone {
                Sharing::Alone
            } else {
                Sharing::Labelled
            },
            piper: env!("CARGO_PKG_VERSION").to_owned(),
            steps: steps.collect(),
        }
    }

    fn about(&self, order: &Order, summary: &BuildSummary) -> v1::BuildStarted {
        let plan = &order.plan;
        let steps = plan
            .steps
            .iter()
            .enumerate()
            .map(|(place, step)| v1::PlannedStep {
                step: step.label.clone(),
                command: step.command.one_line().into_owned(),
                // A step that waits for everything before it says only what is nearest: a list of all would be quadratic.
                waits_for: match step.waits_for_all_before {
                    Some(bound) if bound.0 > 0 => vec![bound.0 - 1],
                    _ => step
                        .waits_for
                        .iter()
                        .map(|need| need.0)
                        .filter(|need| (*need as usize) < place)
                        .collect(),
                },
            });
        v1::BuildStarted {
            piper: env!("CARGO_PKG_VERSION").to_owned(),
            project: plan.project.clone(),
            root: to_text(&summary.root).into_owned(),
            target: summary.target.clone(),
            target_is_step: matches!(plan.target, piper_core::plan::Target::Step(_)),
            cell: plan
                .cell
                .iter()
                .map(|(axis, value)| (axis.to_string(), value.clone()))
                .collect(),
            environment: summary.environment.clone(),
            revision: order.revision.clone(),
            version: order.version.clone(),
            params: plan
                .params
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
            steps: steps.collect(),
            jobs: order.jobs,
            pass_env_all: self.options.pass_env_all,
        }
    }
}

/// What the history lists of a build that begins.
fn summary(order: &Order, workspace: &Workspace, created: Timestamp) -> BuildSummary {
    let plan = &order.plan;
    BuildSummary {
        id: order.id,
        root: workspace.root.clone(),
        project: plan.project.clone(),
        target: plan.target.name().to_owned(),
        cell: cell_text(&plan.cell),
        environment: plan.environment.0.as_str().to_owned(),
        revision: order.revision.clone(),
        version: order.version.clone(),
        created,
        end: None,
    }
}

/// Random bits. Without a source of them the build gets the clock's: ids are names, not secrets.
fn random() -> u128 {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_ne_bytes(bytes),
        Err(_) => u128::from(piper_engine::clock::wall().0) * u128::from(std::process::id()),
    }
}

/// Whether at most one step can run at a time: each waits for the one before it.
fn is_sequence(plan: &Plan) -> bool {
    (1..).zip(plan.steps.iter().skip(1)).all(|(place, step)| {
        step.waits_for_all_before == Some(StepIx(place))
            || step.waits_for.contains(&StepIx(place - 1))
    })
}

fn version(plan: &Plan, repository: Option<&Repository>) -> Result<Option<String>, Error> {
    let args = match &plan.version {
        None => return Ok(None),
        Some(VersionSource::Static(version)) => return Ok(Some(version.clone())),
        Some(VersionSource::GitDescribe(args)) => args,
    };
    let pointer = || "/project/version".to_owned();
    let otherwise = "or write the version itself: version = \"0.1.0\"";
    let Some(repository) = repository else {
        let message = "`version` asks `git describe`, but the project is in no git repository";
        let help = "run `git init`, commit the project and tag it: git tag v0.1.0";
        return Err(Error::unanswered(
            message.to_owned(),
            pointer(),
            &[help, otherwise],
        ));
    };
    let version = repository.describe(args).map_err(|error| {
        let question = format!("`version` asks `git describe {}`", args.join(" "));
        let tag = "tag a commit that leads here (git tag v0.1.0), or let git name the commit where there is no tag: { git-describe = \"--tags --always\" }";
        Error::of_git(error, question.trim_end(), pointer(), &[tag, otherwise])
    })?;
    Ok(Some(version))
}

/// The folders that outlive a build.
#[derive(Debug)]
struct Folders {
    artifacts: PathBuf,
    cache: PathBuf,
    /// Those of them that are not where they belong, because nothing can be written there.
    temporary: Vec<PathBuf>,
}

impl Folders {
    fn make(build: &BuildSummary, file: Option<&Path>) -> anyhow::Result<Self> {
        let mut temporary = Vec::new();
        // A read-only home or a full disk must not keep a build from running.
        let mut make = |wanted: Option<PathBuf>, name: &str| -> anyhow::Result<PathBuf> {
            if let Some(folder) = wanted.filter(|folder| fs::create_dir_all(folder).is_ok()) {
                return Ok(folder);
            }
            let folder = std::env::temp_dir().join(format!("piper-{}-{name}", build.id));
            // Others can write there, too: only a new folder is surely ours, and nobody else is to look into it.
            fs::DirBuilder::new()
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("could not make the folder {}", folder.display()))?;
            temporary.push(folder.clone());
            Ok(folder)
        };
        let artifacts = make(file.map(Place::artifacts), "artifacts")?;
        let cache = make(Some(cache_folder(build)), "cache")?;
        Ok(Self {
            artifacts,
            cache,
            temporary,
        })
    }

    /// Removes the folders of this build that nothing was put into; others stay, because they are not empty.
    fn tidy(&self) {
        for folder in self.temporary.iter().chain([&self.artifacts]) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// `$PIPER_CACHE`: one folder a project, by its name for people and by its root to tell it from others.
fn cache_folder(build: &BuildSummary) -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        // A relative one would be another folder in each step's.
        .filter(|path| path.is_absolute())
        .unwrap_or_else(std::env::temp_dir);
    let root = crc32fast::hash(build.root.as_os_str().as_encoded_bytes());
    let name: String = build
        .project
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '_' })
        .collect();
    base.join("piper").join(format!("{name}-{root:08x}"))
}

/// The exit status for an outcome.
pub fn exit_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Succeeded => crate::exit_code::SUCCESS,
        Outcome::Failed => crate::exit_code::BUILD_FAILED,
        Outcome::Errored => crate::exit_code::ERRORED,
        Outcome::Cancelled => crate::exit_code::CANCELLED,
    }
}
