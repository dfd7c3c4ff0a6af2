//! The one table of keys of the project file: names, types, descriptions, defaults.
//!
//! Decoder, JSON schema, suggestions and the reference page are made from it, so a key that is not here does not exist. What a
//! key *means* is not said here: that is the decoder's work.

/// One key of one table of the file.
#[derive(Debug)]
pub(super) struct Key {
    /// How it is written.
    pub(super) name: &'static str,
    /// What its value looks like.
    pub(super) kind: Kind,
    /// What it is for, in a sentence for people who read completions and the reference page.
    pub(super) doc: &'static str,
    /// What holds where it is missing, as it would be written.
    pub(super) default: Option<&'static str>,
    /// Whether its table means nothing without it.
    pub(super) required: bool,
    /// The first version that implements it; `None` while none does.
    pub(super) since: Option<&'static str>,
    /// What other tools call it, for suggestions.
    pub(super) elsewhere: &'static [&'static str],
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text that is not empty.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number in these bounds.
    Count { min: u32, max: u32 },
    /// A text such as `"1h30m"`.
    Duration { zero: bool },
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One text or a list of them.
    Patterns,
    /// A program and its arguments, as texts.
    Argv,
    /// A program and its arguments, as values.
    Values,
    /// A text, a number, a boolean or a reference.
    Value,
    /// A folder below the project's root, or a reference.
    Folder,
    /// A text, a number or a boolean.
    Scalar,
    /// A list of scalars.
    Choices,
    /// Environment variables and their values.
    Env,
    /// Names of environment variables, or prefixes of them.
    EnvPatterns,
    /// Names of secrets.
    Secrets,
    /// Names of steps.
    StepNames,
    /// Names of steps, and lists of them.
    Slots,
    /// The name of an environment.
    EnvironmentName,
    /// `[steps]`.
    Steps,
    /// `[pipelines]`.
    Pipelines,
    /// `[environments]`.
    Environments,
    /// `[plugins]`.
    Plugins,
    /// `[notify]`.
    Notify,
    /// A plugin.
    Uses,
    /// Where a plugin is to be had.
    PluginSource,
    /// The options of a plugin: a table of anything, in which whole values may be references.
    Options,
    /// The configuration of a plugin: a table of anything.
    Config,
    /// When somebody is told of a build.
    Occasions,
    /// Names of pipelines.
    PipelineNames,
    /// Declarations of parameters.
    Params,
    /// Axes, and what to leave out.
    Matrix,
    /// A number of tries, or a table.
    Retry,
    /// What is worth another try.
    RetryOn,
    /// A status, or a table.
    When,
    /// Parameters and the values that they must have.
    WhenParam,
    /// A version, or where to find it.
    Version,
    /// `[project]`.
    Project,
    /// The name of a parameter.
    ParamName,
    /// The name of an axis.
    AxisName,
    /// The value of a key that is not implemented.
    Unknown,
}

impl Kind {
    /// How an error message says what was expected.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text
            | Self::ParamName
            | Self::AxisName
            | Self::EnvironmentName
            | Self::Uses
            | Self::PluginSource
            | Self::OneOf(_) => "a string",
            Self::Flag => "`true` or `false`",
            Self::Count { .. } => "a whole number",
            Self::Duration { .. } => "a duration such as \"10m\"",
            Self::Patterns => "a string or a list of strings",
            Self::Argv | Self::EnvPatterns | Self::Secrets | Self::RetryOn | Self::Occasions => {
                "a list of strings"
            }
            Self::Values => "a list of strings and references",
            Self::Value | Self::Folder => "a string or a reference such as { param = \"name\" }",
            Self::Scalar => "a string, a whole number, `true` or `false`",
            Self::Choices => "a list of strings, whole numbers or booleans",
            Self::Env => "a table of variables",
            Self::StepNames => "a list of step names",
            Self::PipelineNames => "a list of pipeline names",
            Self::Options | Self::Config => "a table of options",
            Self::Slots => "a list of step names and of lists of them",
            Self::Retry => "a whole number or a table",
            Self::When | Self::Version => "a string or a table",
            Self::Steps
            | Self::Pipelines
            | Self::Environments
            | Self::Plugins
            | Self::Notify
            | Self::Params
            | Self::Matrix
            | Self::WhenParam
            | Self::Project => "a table",
            Self::Unknown => "nothing",
        }
    }
}

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        doc,
        default: None,
        required: false,
        since: Some("0.1.0"),
        elsewhere: &[],
    }
}

const fn planned(name: &'static str, doc: &'static str) -> Key {
    Key {
        since: None,
        ..key(name, Kind::Unknown, doc)
    }
}

impl Key {
    const fn default(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }

    const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    const fn elsewhere(self, elsewhere: &'static [&'static str]) -> Self {
        Self { elsewhere, ..self }
    }
}

/// A table of the file with a fixed set of keys.
#[derive(Debug)]
pub(super) struct Table {
    /// How it is called in `$defs` of the schema.
    pub(super) id: &'static str,
    /// How a person calls it.
    pub(super) title: &'static str,
    /// Its keys.
    pub(super) keys: &'static [Key],
}

impl Table {
    /// The key with this name.
    pub(super) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// Every table with a fixed set of keys.
pub(super) static TABLES: [&Table; 12] = [
    &FILE,
    &PROJECT,
    &VERSION,
    &STEP,
    &RETRY,
    &WHEN,
    &PIPELINE,
    &PARAM,
    &ENVIRONMENT,
    &PLUGIN,
    &NOTIFY,
    &REFERENCE,
];

/// The file itself.
pub(super) static FILE: Table = Table {
    id: "file",
    title: "the project file",
    keys: &[
        key(
            "project",
            Kind::Project,
            "The project's name, its version, and what holds for every step.",
        ),
        key(
            "params",
            Kind::Params,
            "Parameters shared by all pipelines and by steps run by name.",
        )
        .elsewhere(&["parameters", "vars", "variables", "inputs"]),
        key(
            "steps",
            Kind::Steps,
            "The steps: each one command, usable in several pipelines.",
        )
        .elsewhere(&["jobs", "tasks", "scripts", "commands", "recipes", "step"]),
        key(
            "pipelines",
            Kind::Pipelines,
            "The pipelines: lists of steps with parameters and an environment.",
        )
        .elsewhere(&["workflows", "workflow", "stages", "pipeline"]),
        key(
            "environments",
            Kind::Environments,
            "Places where steps run, beside `local` and `clean`.",
        )
        .elsewhere(&["envs", "environment"]),
        key(
            "plugins",
            Kind::Plugins,
            "Names for plugins of the project: files and URLs.",
        )
        .elsewhere(&["plugin"]),
        key("notify", Kind::Notify, "Who is told of builds, and when.")
            .elsewhere(&["notifications", "notifiers"]),
    ],
};

/// `[project]`.
pub(super) static PROJECT: Table = Table {
    id: "project",
    title: "`[project]`",
    keys: &[
        key(
            "name",
            Kind::Text,
            "The project's name; the folder's name, if it is missing.",
        ),
        key(
            "version",
            Kind::Version,
            "The version of what is built: a text, or { git-describe = \"--tags\" }.",
        ),
        ENV,
        PASS_ENV,
        SHELL,
        COLOR,
    ],
};

/// `version = { … }`.
pub(super) static VERSION: Table = Table {
    id: "version",
    title: "`version`",
    keys: &[key(
        "git-describe",
        Kind::Text,
        "The arguments of `git describe`, separated by spaces.",
    )
    .required()],
};

const ENV: Key = key(
    "env",
    Kind::Env,
    "Environment variables that the steps get; values may be references.",
)
.elsewhere(&["variables", "vars"]);
const PASS_ENV: Key = key(
    "pass-env",
    Kind::EnvPatterns,
    "Variables of the caller's environment that the steps get: \"NAME\" or \"PREFIX_*\".",
)
.elsewhere(&["passenv", "globalPassThroughEnv", "inherit"]);
const SHELL: Key = key(
    "shell",
    Kind::Argv,
    "The program and arguments to which a `run` script is appended.",
)
.default("[\"sh\", \"-euc\"]");
const COLOR: Key = key(
    "color",
    Kind::Flag,
    "Whether tools are told to print colours.",
)
.default("true")
.elsewhere(&["colour", "colors"]);

const USES: Key = key(
    "uses",
    Kind::Uses,
    "A plugin: a name, \"name/type\", \"./file.wasm\" or an https:// URL.",
)
.elsewhere(&["plugin", "use", "component"]);
const WITH: Key = key(
    "with",
    Kind::Options,
    "The options of the plugin; whole values may be references.",
)
.elsewhere(&["options", "config", "configuration"]);

/// A table in `[steps]`.
pub(super) static STEP: Table = Table {
    id: "step",
    title: "a step",
    keys: &[
        key("about", Kind::Text, "What the step does, for people.")
            .elsewhere(&["description", "desc", "help", "summary", "doc"]),
        key("run", Kind::Text, "A script for the shell; excludes `argv` and `uses`.")
            .elsewhere(&["command", "cmd", "script", "commands", "cmds", "exec", "sh"]),
        key("argv", Kind::Values, "A program and its arguments, started without a shell; excludes `run` and `uses`.")
            .elsewhere(&["args", "arguments"]),
        USES,
        WITH,
        planned("inputs", "Files that the step reads, for the cache."),
        planned("outputs", "Files that the step makes, for the cache."),
        planned("reads", "Facts of the build that the step depends on, for the cache."),
        key("needs", Kind::StepNames, "The steps to wait for; all that are listed before it, if missing; [] starts at once.")
            .elsewhere(&["depends", "depends_on", "depends-on", "deps", "dependencies", "dependsOn", "requires", "after"]),
        ENV.elsewhere(&["environment", "variables", "vars"]),
        PASS_ENV,
        key("cwd", Kind::Folder, "Where the step runs, below the project's root.")
            .default("\".\"")
            .elsewhere(&["dir", "directory", "workdir", "working-directory", "working_directory", "working_dir"]),
        SHELL,
        COLOR,
        key("timeout", Kind::Duration { zero: false }, "How long one try may take.")
            .elsewhere(&["timeout-minutes", "timeout_in_minutes", "time-limit"]),
        key("idle-timeout", Kind::Duration { zero: false }, "How long one try may print nothing."),
        key("retry", Kind::Retry, "How many further tries a failed step gets, or { max, on, delay }.")
            .default("0")
            .elsewhere(&["retries", "attempts"]),
        key("allow-failure", Kind::Flag, "Whether the build may succeed although this step failed.")
            .default("false")
            .elsewhere(&["continue-on-error", "ignore-errors", "ignore_error", "soft_fail", "optional"]),
        key("when", Kind::When, "Whether the step runs: \"success\", \"failure\", \"always\", or a table of conditions.")
            .default("\"success\"")
            .elsewhere(&["if", "only", "rules", "condition"]),
        key("matrix", Kind::Matrix, "Axes and their values: the step runs once for each combination."),
        key("tty", Kind::Flag, "Whether the step gets the keyboard and a terminal.")
            .default("false")
            .elsewhere(&["interactive"]),
        key("stop-signal", Kind::OneOf(&["TERM", "HUP", "INT", "QUIT", "USR1", "USR2"]), "The signal that asks the step to end.")
            .default("\"TERM\""),
        key("grace", Kind::Duration { zero: true }, "How long the step may take to end after it was asked.")
            .default("\"10s\"")
            .elsewhere(&["grace-period", "stop-timeout", "kill-after"]),
        key("cpus", Kind::Count { min: 1, max: 65_536 }, "How many of the `-j` cores the step takes.")
            .default("1")
            .elsewhere(&["cores", "cpu", "slots", "weight"]),
        key("survivors", Kind::OneOf(&["stop", "keep"]), "What happens to processes that outlive the step: they end with the build, or are kept.")
            .default("\"stop\""),
        key("secrets", Kind::Secrets, "The secrets that the step gets, as environment variables."),
    ],
};

/// `retry = { … }`.
pub(super) static RETRY: Table = Table {
    id: "retry",
    title: "`retry`",
    keys: &[
        key(
            "max",
            RETRY_MAX,
            "How many further tries there are at most.",
        )
        .required(),
        key(
            "on",
            Kind::RetryOn,
            "What is worth another try: \"exit\", \"exit:N\", \"signal\", \"timeout\"; any failure, if missing.",
        ),
        key(
            "delay",
            Kind::Duration { zero: true },
            "How long to wait before the next try.",
        )
        .default("\"0s\""),
    ],
};

/// How many further tries may be asked for; a mistyped number must not keep a machine busy for weeks.
pub(super) const RETRY_MAX: Kind = Kind::Count { min: 0, max: 1000 };

/// `when = { … }`.
pub(super) static WHEN: Table = Table {
    id: "when",
    title: "`when`",
    keys: &[
        key(
            "status",
            Kind::OneOf(WHEN_STATUS),
            "What became of the steps that it waits for.",
        )
        .default("\"success\""),
        key(
            "branch",
            Kind::Patterns,
            "The branch matches one of these patterns.",
        ),
        key(
            "event",
            Kind::Patterns,
            "The build was asked for by one of these, such as \"manual\" or \"push\".",
        ),
        key(
            "paths",
            Kind::Patterns,
            "A changed file matches one of these patterns.",
        ),
        key(
            "param",
            Kind::WhenParam,
            "Each of these parameters has one of the values given for it.",
        ),
    ],
};

/// What `when` may say in one word.
pub(super) const WHEN_STATUS: &[&str] = &["success", "failure", "always"];

/// A table in `[pipelines]`.
pub(super) static PIPELINE: Table = Table {
    id: "pipeline",
    title: "a pipeline",
    keys: &[
        key("about", Kind::Text, "What the pipeline does, for people.").elsewhere(&[
            "description",
            "desc",
            "help",
            "summary",
            "doc",
        ]),
        key(
            "steps",
            Kind::Slots,
            "The steps in their order; an inner list runs side by side.",
        )
        .required()
        .elsewhere(&["jobs", "tasks", "stages", "run"]),
        key(
            "environment",
            Kind::EnvironmentName,
            "Where the steps run: `local`, `clean`, or a name from `[environments]`.",
        )
        .default("\"local\""),
        key(
            "params",
            Kind::Params,
            "Parameters of this pipeline, beside those of the project.",
        )
        .elsewhere(&["parameters", "inputs"]),
        ENV,
        PASS_ENV,
        SHELL,
        COLOR,
        key(
            "timeout",
            Kind::Duration { zero: false },
            "How long a build may take.",
        ),
        key(
            "keep-going",
            Kind::Flag,
            "Whether steps that do not depend on a failed one still run.",
        )
        .default("false")
        .elsewhere(&["fail-fast", "continue-on-error"]),
        key(
            "matrix",
            Kind::Matrix,
            "Axes and their values: one build for each combination.",
        ),
        planned("requires", "What an agent must have to run this pipeline."),
        planned("artifacts", "Files that are kept of a build."),
        planned(
            "reuse",
            "Whether a finished identical build answers a request.",
        ),
        planned("after", "Pipelines whose success starts this one."),
        planned("coalesce", "Whether identical builds in flight become one."),
    ],
};

/// A table in `[params]`.
pub(super) static PARAM: Table = Table {
    id: "param",
    title: "a parameter",
    keys: &[
        key(
            "default",
            Kind::Scalar,
            "The value where the caller gives none; without it the parameter is required.",
        )
        .elsewhere(&["value"]),
        key(
            "choices",
            Kind::Choices,
            "The values that it may have; any, if missing.",
        )
        .elsewhere(&["options", "enum", "values", "allowed"]),
        key("about", Kind::Text, "What the parameter is for.").elsewhere(&[
            "description",
            "desc",
            "help",
            "doc",
        ]),
    ],
};

/// A table in `[environments]`.
pub(super) static ENVIRONMENT: Table = Table {
    id: "environment",
    title: "an environment",
    keys: &[
        key(
            "kind",
            Kind::OneOf(&["local", "clean"]),
            "`local` is the checkout itself, `clean` a fresh copy of HEAD in a temporary place.",
        )
        .required()
        .elsewhere(&["type", "class"]),
        planned("image", "The image of a container."),
    ],
};

/// A table in `[plugins]`.
pub(super) static PLUGIN: Table = Table {
    id: "plugin",
    title: "a plugin",
    keys: &[
        key(
            "use",
            Kind::PluginSource,
            "\"./file.wasm\" or an https:// URL, of which piper.lock has the digest; without it, the plugin of that very name.",
        )
        .elsewhere(&["uses", "source", "path", "url", "from"]),
        key(
            "config",
            Kind::Config,
            "The plugin's own configuration; what it may do is only ever said by the operator.",
        )
        .elsewhere(&["with", "options", "configuration"]),
    ],
};

/// What people try to grant a plugin in the project file, where nothing can be granted.
pub(super) const GRANTS: [&str; 9] = [
    "allow",
    "grant",
    "grants",
    "permission",
    "permissions",
    "secrets",
    "env",
    "http",
    "limits",
];

/// A table in `[notify]`.
pub(super) static NOTIFY: Table = Table {
    id: "notify",
    title: "a rule of `[notify]`",
    keys: &[
        USES.required(),
        WITH,
        key(
            "on",
            Kind::Occasions,
            "When: \"started\", \"failed\", \"recovered\", \"changed\" (against the build before; at first all is well), \"always\".",
        )
        .default("[\"failed\", \"recovered\"]")
        .elsewhere(&["when", "events", "if"]),
        key(
            "pipelines",
            Kind::PipelineNames,
            "Of which pipelines it is told; of all, if missing.",
        )
        .elsewhere(&["pipeline", "of", "for"]),
    ],
};

/// Kinds of environments that a later version brings.
pub(super) const PLANNED_ENVIRONMENTS: [&str; 2] = ["container", "sandbox"];

/// A table where a value is wanted.
pub(super) static REFERENCE: Table = Table {
    id: "reference",
    title: "a reference",
    keys: &[
        key("param", Kind::ParamName, "The value of this parameter.").elsewhere(&["parameter"]),
        key(
            "matrix",
            Kind::AxisName,
            "The value of this axis of the matrix.",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_name_stands_once_in_each_table_and_every_key_is_described() {
        for table in TABLES {
            let mut seen = HashSet::new();
            for key in table.keys {
                assert!(
                    seen.insert(key.name),
                    "`{}` twice in {}",
                    key.name,
                    table.title
                );
                assert!(key.doc.ends_with('.') && key.doc.len() < 120, "{}", key.doc);
            }
        }
    }

    #[test]
    fn what_other_tools_call_a_key_means_one_key_only_and_is_none_itself() {
        for table in TABLES {
            let mut seen = HashSet::new();
            for key in table.keys {
                for other in key.elsewhere {
                    assert!(
                        table.find(other).is_none(),
                        "`{other}` is a key of {}",
                        table.title
                    );
                    assert!(seen.insert(other), "`{other}` twice in {}", table.title);
                }
            }
        }
    }
}
