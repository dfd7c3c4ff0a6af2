//! The environment of a step: built, not inherited, so that the same file and the same commit give the same one in any terminal.
//!
//! What passes from the caller stands in one table here. Everything else must be named by the project file.

use piper_core::{
    id::AxisName,
    plan::{Plan, PlannedStep},
    project::EnvPattern,
};
use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

/// An environment by name.
pub type Vars = BTreeMap<OsString, OsString>;

/// What passes from the caller to every step: who and where the user is, the language, where temporary files go, how to reach
/// the network, and where the user's toolchains live. `*` at the end stands for anything. What names a session, a seat or a terminal
/// (`XDG_SESSION_ID`, `LC_TERMINAL`) would differ from one to the next, which is why these two families are named one by one.
const PASSED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_ADDRESS",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_IDENTIFICATION",
    "LC_MEASUREMENT",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NAME",
    "LC_NUMERIC",
    "LC_PAPER",
    "LC_TELEPHONE",
    "LC_TIME",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    // The network.
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    // Folders.
    "XDG_BIN_HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_DIRS",
    "XDG_RUNTIME_DIR",
    "NIX_*",
    "LOCALE_ARCHIVE",
    "LD_LIBRARY_PATH",
    "PKG_CONFIG_PATH",
    // Toolchains' homes.
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "GOROOT",
    "GOBIN",
    "GOPROXY",
    "GOMODCACHE",
    "GOCACHE",
    "GOFLAGS",
    "JAVA_HOME",
    "M2_HOME",
    "MAVEN_HOME",
    "GRADLE_HOME",
    "GRADLE_USER_HOME",
    "ANDROID_HOME",
    "ANDROID_SDK_ROOT",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "PIPX_HOME",
    "POETRY_HOME",
    "UV_CACHE_DIR",
    "PIP_CACHE_DIR",
    "PIP_INDEX_URL",
    "NVM_DIR",
    "NVM_BIN",
    "NODE_HOME",
    "VOLTA_HOME",
    "FNM_DIR",
    "PNPM_HOME",
    "BUN_INSTALL",
    "DENO_DIR",
    "NPM_CONFIG_CACHE",
    "npm_config_cache",
    "npm_config_registry",
    "RBENV_ROOT",
    "GEM_HOME",
    "GEM_PATH",
    "BUNDLE_PATH",
    "RVM_HOME",
    "DOTNET_ROOT",
    "NUGET_PACKAGES",
    "GHCUP_INSTALL_BASE_PREFIX",
    "STACK_ROOT",
    "OPAMROOT",
    "OPAM_SWITCH_PREFIX",
    "ASDF_DIR",
    "ASDF_DATA_DIR",
    "MISE_DATA_DIR",
    "SDKMAN_DIR",
    "ZIG_GLOBAL_CACHE_DIR",
    "CCACHE_DIR",
    "SCCACHE_DIR",
    "DEVELOPER_DIR",
    "SDKROOT",
];

/// The PATH where the caller has none, as login gives it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn passes(name: &str) -> bool {
    PASSED.iter().any(|own| match own.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => *own == name,
    })
}

/// The part of the environment that all steps of a build share.
#[derive(Debug, Clone)]
pub struct Environment {
    caller: Vars,
    shared: Vars,
}

impl Environment {
    /// Takes from the caller's environment what passes; all of it with `pass_all`.
    pub fn new(caller: Vars, pass_all: bool) -> Self {
        let mut shared: Vars = caller
            .iter()
            .filter(|(name, _)| pass_all || name.to_str().is_some_and(passes))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // Another piper's build is not this one.
        shared.retain(|name, _| !name.as_bytes().starts_with(b"PIPER_"));
        shared
            .entry("PATH".into())
            .or_insert_with(|| DEFAULT_PATH.into());
        shared.insert("CI".into(), "true".into());
        Self { caller, shared }
    }

    /// Adds a variable for all steps.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.shared.insert(name.into(), value.into());
    }

    /// Adds the variables that carry a build's parameters and its cell.
    pub fn set_params(&mut self, plan: &Plan) {
        for (name, value) in &plan.params {
            self.set(&name.variable(), value);
        }
        for (axis, value) in &plan.cell {
            self.set(&AxisName::variable(axis), value);
        }
    }

    /// The variables of one step, without those that are new with each try.
    pub fn of(&self, step: &PlannedStep) -> Vars {
        let mut vars = self.shared.clone();
        let mut pass = |wanted: &dyn Fn(&str) -> bool| {
            for (name, value) in &self.caller {
                if name.to_str().is_some_and(wanted) {
                    vars.insert(name.clone(), value.clone());
                }
            }
        };
        if !step.pass_env.is_empty() {
            pass(&|name| {
                step.pass_env
                    .iter()
                    .any(|pattern: &EnvPattern| pattern.matches(name))
            });
        }
        if step.tty {
            pass(&|name| matches!(name, "TERM" | "COLORTERM"));
        }
        if step.color {
            for (name, value) in [
                ("FORCE_COLOR", "1"),
                ("CLICOLOR_FORCE", "1"),
                ("CARGO_TERM_COLOR", "always"),
            ] {
                vars.insert(name.into(), value.into());
            }
        }
        vars.extend(
            step.env
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        vars
    }

    /// The variables that `script` mentions, the caller has, and the step was not given.
    pub fn withheld(&self, step: &PlannedStep, script: &str) -> Vec<String> {
        let given = self.of(step);
        let mut names: Vec<String> = mentioned(script)
            .filter(|name| {
                self.caller.contains_key(OsStr::new(name)) && !given.contains_key(OsStr::new(name))
            })
            // These are of no use outside of a terminal or a shell, and no script means the caller's.
            .filter(|name| {
                !matches!(
                    *name,
                    "_" | "PWD" | "OLDPWD" | "SHLVL" | "COLUMNS" | "LINES" | "TERM"
                )
            })
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The names after a `$` or a `${`.
fn mentioned(script: &str) -> impl Iterator<Item = &str> {
    script.split('$').skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let name = &rest[..end];
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            .then_some(name)
    })
}

/// The form in which a program gets it. A value with a NUL byte cannot be passed on and is left out.
pub fn to_block(vars: &Vars) -> Vec<CString> {
    let entry = |(name, value): (&OsString, &OsString)| {
        let mut entry = Vec::with_capacity(name.len() + value.len() + 2);
        entry.extend_from_slice(name.as_bytes());
        entry.push(b'=');
        entry.extend_from_slice(value.as_bytes());
        CString::new(entry).ok()
    };
    vars.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn caller(names: &[&str]) -> Vars {
        names.iter().map(|name| (name.into(), "x".into())).collect()
    }

    #[test_case("PATH", true)]
    #[test_case("LC_ALL", true)]
    #[test_case("LC_TIME", true)]
    #[test_case("LC_TERMINAL", false)]
    #[test_case("LC_TERMINAL_VERSION", false)]
    #[test_case("XDG_CACHE_HOME", true)]
    #[test_case("XDG_DATA_DIRS", true)]
    #[test_case("XDG_RUNTIME_DIR", true)]
    #[test_case("XDG_SESSION_ID", false)]
    #[test_case("XDG_SEAT", false)]
    #[test_case("XDG_VTNR", false)]
    #[test_case("XDG_CURRENT_DESKTOP", false)]
    #[test_case("CARGO_HOME", true)]
    #[test_case("TERM", false)]
    #[test_case("AWS_SECRET_ACCESS_KEY", false)]
    #[test_case("PIPER_BUILD", false)]
    #[test_case("DISPLAY", false)]
    fn only_what_the_table_names_passes(name: &str, passed: bool) {
        let environment = Environment::new(caller(&[name]), false);
        assert_eq!(environment.shared.contains_key(OsStr::new(name)), passed);
    }

    #[test]
    fn everything_passes_if_asked_for_but_another_build() {
        let environment = Environment::new(caller(&["DISPLAY", "PIPER_BUILD"]), true);
        assert!(environment.shared.contains_key(OsStr::new("DISPLAY")));
        assert!(!environment.shared.contains_key(OsStr::new("PIPER_BUILD")));
    }

    #[test]
    fn there_is_always_a_path_and_ci() {
        let environment = Environment::new(Vars::new(), false);
        assert_eq!(environment.shared[OsStr::new("PATH")], DEFAULT_PATH);
        assert_eq!(environment.shared[OsStr::new("CI")], "true");
    }

    #[test]
    fn names_after_a_dollar_are_found() {
        let found: Vec<&str> = mentioned(r#"echo $A "${B_1:-x}" $1 $$ ${} $"#).collect();
        assert_eq!(found, ["A", "B_1"]);
    }
}
