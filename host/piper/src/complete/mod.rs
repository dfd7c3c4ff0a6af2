//! What could stand where the cursor is.
//!
//! The shells' scripts only hand over the words and take the answers; all knowledge is here. Flags, subcommands and fixed values come
//! from the command line's own description; names come from the project at hand. Nothing here reports an error: a shell has
//! nowhere to show one, and half a line is always wrong.

mod bash;
mod quotes;

use crate::{
    cli::{graph::structure, project::LoadedProject, request::param},
    history::{LocalHistory, Place},
    ui::sanitize,
};
use clap::{Arg, Command};
use piper_core::{
    codes::CODES,
    plan::{cell_text, cells, declared_params},
    project::Matrix,
    record::{BuildSummary, Filter, History as _},
};
use piper_engine::clock;
use quotes::{Quoting, Typed};
use std::{borrow::Cow, path::Path};

#[cfg(test)]
mod tests;

/// The shells that can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// For `~/.bashrc`: `eval "$(piper completions bash)"`
    Bash,
    /// For `~/.zshrc`, after `compinit`: `eval "$(piper completions zsh)"`
    Zsh,
    /// For `~/.config/fish/config.fish`: `piper completions fish | source`
    Fish,
}

impl Shell {
    /// The script that teaches the shell to ask.
    pub fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("piper.bash"),
            Self::Zsh => include_str!("piper.zsh"),
            Self::Fish => include_str!("piper.fish"),
        }
    }
}

/// One thing that could stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The whole word. One that ends in `=` is not finished.
    pub value: String,
    /// What it is, for shells that show it.
    pub about: String,
}

/// What a word can be completed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One of these.
    Candidates(Vec<Candidate>),
    /// The name of a file, which the shell knows better.
    Files,
}

/// The plugins that can be named in a folder: name, and who says so.
pub type NamedPlugins<'a> = &'a dyn Fn(Option<&Path>) -> Vec<(String, String)>;

/// Where names come from. Each is asked only if it matters for the word at hand.
pub struct World<'a> {
    /// The project of a folder (`-C`), or of the working directory.
    pub project: &'a dyn Fn(Option<&Path>) -> Option<LoadedProject>,
    /// The newest builds of the project at a root: id, and what it was.
    pub builds: &'a dyn Fn(&Path) -> Vec<(String, String)>,
    /// The labels of the steps of the build at an address, in the project of a folder (`-C`) or of the working directory.
    pub recorded: &'a dyn Fn(Option<&Path>, &str) -> Vec<String>,
    /// The plugins that can be named in a folder (`-C`) or in the working directory.
    pub plugins: NamedPlugins<'a>,
}

/// The newest builds of the project at `root`, newest first: id, and what it was.
pub fn recent_builds(root: &Path) -> Vec<(String, String)> {
    let filter = Filter {
        root: Some(root.to_owned()),
        limit: Some(RECENT),
        ..Filter::default()
    };
    // A history that cannot be read completes nothing; the command itself will say what is the matter.
    let history = Place::find()
        .ok()
        .and_then(|place| LocalHistory::open(place, clock::wall()).ok());
    let builds = history
        .and_then(|history| history.list(&filter).ok())
        .unwrap_or_default();
    let about = |build: &BuildSummary| {
        let outcome = build
            .end
            .as_ref()
            .map_or("running", |end| end.outcome.as_str());
        format!("{} {outcome}", build.target)
    };
    builds
        .iter()
        .map(|build| (build.id.short().to_owned(), about(build)))
        .collect()
}

/// How many builds are offered: more than fit on a screen help nobody.
const RECENT: usize = 20;

/// Completes the last of `words`, which are those after the program's name. `cli` is built.
pub fn answer(cli: &Command, words: &[String], world: &World<'_>) -> Answer {
    let (current, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let line = Line::read(cli, before);
    if line.after_dashes {
        return Answer::Files;
    }
    let found = if let Some(arg) = line.awaits {
        line.values(arg, current, world)
    } else if let Some((arg, Some(value))) = valued_flag(line.command, current) {
        let flag = &current[..current.len() - value.len()];
        match line.values(arg, value, world) {
            Answer::Files => Answer::Files,
            Answer::Candidates(values) => Answer::Candidates(
                values
                    .into_iter()
                    .map(|Candidate { value, about }| Candidate {
                        value: format!("{flag}{value}"),
                        about,
                    })
                    .collect(),
            ),
        }
    } else if current.starts_with('-') {
        flags(line.command)
    } else if line.command.has_subcommands() {
        subcommands(line.command)
    } else {
        match line.positional() {
            Some(arg) => line.values(arg, current, world),
            None => Answer::Candidates(Vec::new()),
        }
    };
    match found {
        Answer::Files => Answer::Files,
        Answer::Candidates(mut candidates) => {
            // What a name may contain, a shell can take; a value from a file may be anything.
            candidates.retain(|candidate| {
                candidate.value.starts_with(current)
                    && matches!(sanitize::words(&candidate.value), Cow::Borrowed(_))
            });
            Answer::Candidates(candidates)
        }
    }
}

/// What the words before the cursor say.
struct Line<'a> {
    command: &'a Command,
    directory: Option<&'a Path>,
    /// A flag that still needs its value.
    awaits: Option<&'a Arg>,
    positionals: Vec<&'a str>,
    after_dashes: bool,
}

impl<'a> Line<'a> {
    fn read(cli: &'a Command, words: &'a [String]) -> Self {
        let mut line = Self {
            command: cli,
            directory: None,
            awaits: None,
            positionals: Vec::new(),
            after_dashes: false,
        };
        for word in words {
            if let Some(arg) = line.awaits.take() {
                line.take(arg, word);
            } else if word == "--" {
                line.after_dashes = true;
                return line;
            } else if word.starts_with('-') && word.len() > 1 {
                match valued_flag(line.command, word) {
                    Some((arg, Some(value))) => line.take(arg, value),
                    Some((arg, None)) => line.awaits = Some(arg),
                    None => {}
                }
            } else if let Some(command) = line.command.find_subcommand(word) {
                line.command = command;
            } else {
                line.positionals.push(word);
            }
        }
        line
    }

    fn take(&mut self, arg: &Arg, value: &'a str) {
        if arg.get_id() == "directory" {
            self.directory = Some(Path::new(value));
        }
    }

    /// The positional argument at the cursor.
    fn positional(&self) -> Option<&'a Arg> {
        let mut positionals = self
            .command
            .get_positionals()
            .filter(|arg| !arg.is_last_set());
        let at = self.positionals.len();
        let mut last = None;
        for (place, arg) in positionals.by_ref().enumerate() {
            last = Some(arg);
            if place == at {
                return last;
            }
        }
        last.filter(|arg| {
            arg.get_num_args()
                .is_some_and(|count| count.max_values() > 1)
        })
    }

    /// What an argument can be. The names of the arguments are those that the commands share.
    fn values(&self, arg: &Arg, current: &str, world: &World<'_>) -> Answer {
        let fixed = arg.get_possible_values();
        if !fixed.is_empty() {
            let shown = fixed.iter().filter(|value| !value.is_hide_set());
            let shown = shown.map(|value| {
                candidate(value.get_name(), value.get_help().map(ToString::to_string))
            });
            return Answer::Candidates(shown.collect());
        }
        let project = || (world.project)(self.directory);
        Answer::Candidates(match arg.get_id().as_str() {
            "directory" | "secrets" | "file" | "source" | "out" | "sdk" => return Answer::Files,
            "plugin" if self.command.get_name() == "new" => Vec::new(),
            "plugin" => {
                let plugins = (world.plugins)(self.directory);
                let names = plugins
                    .into_iter()
                    .filter(|(name, _)| name.starts_with(current));
                let found: Vec<Candidate> = names
                    .map(|(name, about)| candidate(&name, Some(about)))
                    .collect();
                // A file is as good, unless something is granted to it.
                if found.is_empty() && self.command.get_name() != "grant" {
                    return Answer::Files;
                }
                found
            }
            "words" => project()
                .map(|project| self.request(&project, current))
                .unwrap_or_default(),
            "name" | "pipeline" => project()
                .map(|project| targets(&project))
                .unwrap_or_default(),
            "step" if self.command.get_name() == "logs" => {
                let address = self.positionals.first().copied().unwrap_or("@");
                recorded((world.recorded)(self.directory, address))
            }
            "address" if current.contains('/') => {
                let build = current.split_once('/').map_or("", |(build, _)| build);
                let steps = recorded((world.recorded)(self.directory, build));
                let of_build =
                    |step: Candidate| candidate(&format!("{build}/{}", step.value), None);
                steps.into_iter().map(of_build).collect()
            }
            "step" | "from_step" => project()
                .map(|project| steps(&project, self.target()))
                .unwrap_or_default(),
            "build" | "address" => project()
                .map(|project| builds(&project, world))
                .unwrap_or_default(),
            "code" => CODES
                .iter()
                .map(|(code, title, _)| candidate(&code.to_string(), Some((*title).to_owned())))
                .collect(),
            _ => Vec::new(),
        })
    }

    /// The pipeline or step that was named, if one was.
    fn target(&self) -> Option<&'a str> {
        self.positionals
            .iter()
            .copied()
            .find(|word| param(word).is_none())
    }

    /// The words of `exec`, `plan` and `export`: a name, an environment, parameters.
    fn request(&self, loaded: &LoadedProject, current: &str) -> Vec<Candidate> {
        let project = &loaded.project;
        let target = self.target().map(base);
        let pipeline = project.pipelines.get(target.unwrap_or("build"));
        let params = declared_params(project, pipeline);
        if let Some((name, _)) = param(current) {
            let Some((_, param)) = params.iter().find(|(own, _)| own.as_str() == name) else {
                return Vec::new();
            };
            let default = param.default.as_deref();
            let mut values: Vec<&str> = param.choices.iter().map(String::as_str).collect();
            if values.is_empty() {
                values.extend(default);
            }
            let about = |value: &str| (Some(value) == default).then(|| "default".to_owned());
            return values
                .into_iter()
                .map(|value| candidate(&format!("{name}={value}"), about(value)))
                .collect();
        }
        let names = self
            .positionals
            .iter()
            .filter(|word| param(word).is_none())
            .count();
        let mut found = match names {
            0 if current.contains('[') => target_cells(loaded, base(current)),
            0 => targets(loaded),
            1 => environments(loaded),
            _ => Vec::new(),
        };
        let given = |name: &str| {
            let own = |word: &&str| word.split_once('=').is_some_and(|(own, _)| own == name);
            self.positionals.iter().any(own)
        };
        found.extend(
            params
                .into_iter()
                .filter(|(name, _)| !given(name.as_str()))
                .map(|(name, param)| candidate(&format!("{name}="), param.about.clone())),
        );
        found
    }
}

fn candidate(value: &str, about: Option<String>) -> Candidate {
    let about = about.unwrap_or_default();
    let line = about.trim().lines().next().unwrap_or_default();
    Candidate {
        value: value.to_owned(),
        about: sanitize::words(line).into_owned(),
    }
}

/// The flag in a word that takes a value, and the value if it stands in the same word: `--flag=value`, `-fvalue`, `-f=value`,
/// also behind short flags without one.
fn valued_flag<'a, 'w>(command: &'a Command, word: &'w str) -> Option<(&'a Arg, Option<&'w str>)> {
    let takes_value = |arg: &&Arg| arg.get_action().takes_values();
    if let Some(flag) = word.strip_prefix("--") {
        let (flag, value) = flag
            .split_once('=')
            .map_or((flag, None), |(flag, value)| (flag, Some(value)));
        let arg = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(flag));
        return arg.filter(takes_value).map(|arg| (arg, value));
    }
    let mut flags = word.strip_prefix('-')?.chars();
    loop {
        let flag = flags.next()?;
        let arg = command
            .get_arguments()
            .find(|arg| arg.get_short() == Some(flag))?;
        if takes_value(&arg) {
            let rest = flags.as_str();
            let value = rest.strip_prefix('=').unwrap_or(rest);
            return Some((arg, (!rest.is_empty()).then_some(value)));
        }
    }
}

fn flags(command: &Command) -> Answer {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let flags = shown.filter_map(|arg| {
        Some(candidate(
            &format!("--{}", arg.get_long()?),
            arg.get_help().map(ToString::to_string),
        ))
    });
    Answer::Candidates(flags.collect())
}

fn subcommands(command: &Command) -> Answer {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let names =
        shown.map(|sub| candidate(sub.get_name(), sub.get_about().map(ToString::to_string)));
    Answer::Candidates(names.collect())
}

fn targets(loaded: &LoadedProject) -> Vec<Candidate> {
    let project = &loaded.project;
    let pipelines = project.pipelines.iter().map(|(name, pipeline)| {
        let about = pipeline
            .about
            .clone()
            .unwrap_or_else(|| "pipeline".to_owned());
        candidate(name.as_str(), Some(about))
    });
    let steps = project.steps.iter().map(|(name, step)| {
        let about = step.about.clone().unwrap_or_else(|| "step".to_owned());
        candidate(name.as_str(), Some(about))
    });
    pipelines.chain(steps).collect()
}

/// The name in front of the brackets of a cell.
fn base(word: &str) -> &str {
    word.split_once('[').map_or(word, |(name, _)| name)
}

/// The cells of a pipeline, else of a step.
fn target_cells(loaded: &LoadedProject, name: &str) -> Vec<Candidate> {
    let project = &loaded.project;
    let of_pipeline = project.pipelines.get(name).map(|own| own.matrix.as_ref());
    let of_step = || project.steps.get(name).and_then(|own| own.matrix.as_ref());
    let cells = |matrix: &Matrix| cells(matrix).unwrap_or_default();
    let cells = of_pipeline.unwrap_or_else(of_step).map(cells);
    let label = |cell| candidate(&format!("{name}[{}]", cell_text(cell)), None);
    cells.unwrap_or_default().iter().map(label).collect()
}

fn environments(loaded: &LoadedProject) -> Vec<Candidate> {
    let builtin = [
        ("local", "in the checkout"),
        ("clean", "in a fresh copy of HEAD"),
    ];
    let builtin = builtin.map(|(name, about)| candidate(name, Some(about.to_owned())));
    let declared = loaded.project.environments.keys();
    let declared = declared.filter(|name| !["local", "clean"].contains(&name.as_str()));
    builtin
        .into_iter()
        .chain(declared.map(|name| candidate(name.as_str(), None)))
        .collect()
}

/// The steps of a target, and their cells.
fn steps(loaded: &LoadedProject, target: Option<&str>) -> Vec<Candidate> {
    let project = &loaded.project;
    let about = |name: &str| project.steps.get(name).and_then(|step| step.about.clone());
    let Ok(plan) = structure(project, target, &loaded.name) else {
        return project
            .steps
            .keys()
            .map(|name| candidate(name.as_str(), about(name.as_str())))
            .collect();
    };
    let labels = plan.steps.iter().map(|step| step.label.as_str());
    with_names(labels, about)
}

/// The steps of a build of the past, and their cells.
fn recorded(labels: Vec<String>) -> Vec<Candidate> {
    with_names(labels.iter().map(String::as_str), |_| None)
}

/// Labels, and before the cells of a step its name, which stands for all of them.
fn with_names<'a>(
    labels: impl Iterator<Item = &'a str>,
    about: impl Fn(&str) -> Option<String>,
) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for label in labels {
        let name = label.split_once('[').map_or(label, |(name, _)| name);
        let is_first = |last: &Candidate| !last.value.starts_with(&format!("{name}["));
        if label != name && found.last().is_none_or(is_first) {
            found.push(candidate(name, about(name)));
        }
        found.push(candidate(label, about(name)));
    }
    found
}

fn builds(loaded: &LoadedProject, world: &World<'_>) -> Vec<Candidate> {
    let recent = (world.builds)(&loaded.root);
    let mut found = vec![candidate("@", Some("the newest build here".to_owned()))];
    found.push(candidate(
        "@failed",
        Some("the newest build here that failed".to_owned()),
    ));
    // `@failed` is taken.
    let pipelines = loaded.project.pipelines.keys();
    found.extend(
        pipelines
            .filter(|name| name.as_str() != "failed")
            .map(|name| {
                let about = format!("the newest build of {name} here");
                candidate(&format!("@{name}"), Some(about))
            }),
    );
    found.extend(
        recent
            .into_iter()
            .map(|(id, about)| candidate(&id, Some(about))),
    );
    found
}

/// What the shell's script reads: a line for each candidate, with what it is after a tab where the shell shows it.
///
/// `current` is the last word as the shell has it; `breaks` are the characters at which `bash` begins a new word.
pub fn render(shell: Shell, candidates: &[Candidate], current: &str, breaks: &str) -> String {
    let mut text = String::new();
    for Candidate { value, about } in candidates {
        match shell {
            Shell::Bash => text.push_str(&bash::insertion(value, current, breaks)),
            Shell::Zsh | Shell::Fish => {
                text.push_str(value);
                text.push('\t');
                text.push_str(about);
            }
        }
        text.push('\n');
    }
    text
}

/// The word at the cursor that was meant: `bash` and `fish` hand it over as it was typed, with its quotes.
pub fn meant(shell: Shell, word: &str) -> String {
    match shell {
        Shell::Bash => Typed::read(word, Quoting::Posix).text,
        Shell::Fish => Typed::read(word, Quoting::Fish).text,
        Shell::Zsh => word.to_owned(),
    }
}

/// A word before the cursor that was meant: of these, `fish` removes the quotes itself.
pub fn meant_before(shell: Shell, word: &str) -> String {
    match shell {
        Shell::Bash => meant(shell, word),
        Shell::Zsh | Shell::Fish => word.to_owned(),
    }
}
