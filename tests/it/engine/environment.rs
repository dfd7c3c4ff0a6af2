//! What a step sees: variables, parameters, its folder, its shell, its version.

use crate::support::{Call, Terminal, TestEnv, have};
use std::{collections::BTreeSet, os::unix::fs::symlink};
use test_case::test_case;

const PARAMS: &str = "[steps]
show = '''printf '%s\\n' \"$PIPER_PARAM_PROFILE\"; cat \"$PIPER_PARAMS/profile\"'''
argv = { argv = ['printf', '[%s]', { param = 'profile' }] }
[pipelines.build]
steps = ['show']
params.profile = { default = 'debug', choices = ['debug', 'release'] }
[pipelines.free]
steps = ['argv']
params.profile = {}
";

#[test]
fn a_parameter_reaches_a_step_as_a_variable_and_as_a_file() {
    let env = TestEnv::new(PARAMS);
    let both = |value: &str| format!("{value}\n{value}");
    let said = |args: &[&str]| env.piper(args).succeeds().out().trim_end().to_owned();
    assert_eq!(said(&["exec"]), both("debug"));
    assert_eq!(said(&["exec", "profile=release"]), both("release"));
}

#[test]
fn a_value_outside_of_the_choices_is_refused_before_anything_runs() {
    let env = TestEnv::new(PARAMS);
    env.piper(&["exec", "profile=relase"])
        .exits(2)
        .says("")
        .complains("`release`");
    env.piper(&["exec", "profil=debug"])
        .exits(2)
        .says("")
        .complains("`profile`");
    env.piper(&["exec", "free"])
        .exits(2)
        .says("")
        .complains("profile");
}

#[test_case("$(touch pwned)`touch pwned`; touch pwned")]
#[test_case("a 'b' \"c\" \\ * ~ %s\n\nend")]
#[test_case("-n"; "what looks like a flag")]
#[test_case(""; "nothing")]
fn no_value_can_become_code(value: &str) {
    let env = TestEnv::new(PARAMS);
    let done = env
        .piper(&["exec", "free", &format!("profile={value}")])
        .succeeds();
    assert_eq!(done.out().trim_end_matches('\n'), format!("[{value}]"));
    assert!(!env.path("pwned").exists());
}

#[test]
fn a_parameter_can_be_read_from_a_file() {
    let env = TestEnv::new(PARAMS);
    env.write("value", "from\na file");
    env.piper(&["exec", "free", "profile=@value"])
        .succeeds()
        .says("[from\na file]\n".trim_end_matches('\n'));
    env.piper(&["exec", "free", "profile=@nowhere"])
        .exits(2)
        .says("")
        .complains("nowhere");
}

/// The step's whole environment, but for what is meant to differ between two builds.
const SHOW: &str =
    "[steps]\nshow = { argv = ['env'] }\n[pipelines]\nbuild = { steps = ['show'] }\n";

fn environment(out: &str) -> Vec<String> {
    let differs = [
        "PIPER_BUILD",
        "PIPER_ARTIFACTS",
        "PIPER_PARAMS",
        "PIPER_OUTPUTS",
        "PIPER_NEEDS",
        "TRACEPARENT",
    ];
    let mut lines: Vec<String> = out
        .lines()
        .filter(|line| {
            !differs
                .iter()
                .any(|name| line.starts_with(&format!("{name}=")))
        })
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn two_terminals_give_a_step_the_same_environment() {
    let env = TestEnv::new(SHOW);
    let one = env
        .call(&["exec"])
        .env("TERM", "xterm")
        .env("EDITOR", "vi")
        .env("CI", "no")
        .env("XDG_SESSION_ID", "1")
        .env("LC_TERMINAL", "iTerm2")
        .finish();
    let two = env
        .call(&["exec"])
        .env("TERM", "dumb")
        .env("DISPLAY", ":0")
        .env("PIPER_BUILD", "x")
        .env("COLUMNS", "9");
    let two = two
        .env("FORCE_COLOR", "0")
        .env("SHLVL", "7")
        .env("OLDPWD", "/")
        .env("XDG_SEAT", "seat0")
        .env("XDG_VTNR", "7")
        .finish();
    let (one, two) = (one.succeeds(), two.succeeds());
    assert_eq!(environment(&one.out()), environment(&two.out()));
    let has = |line: &str| one.lines().iter().any(|own| own == line);
    assert!(
        has("CI=true") && has("FORCE_COLOR=1") && has("PIPER_STEP=show"),
        "{}",
        one.out()
    );
    assert!(
        has(&format!("PWD={}", env.root().display())),
        "{}",
        one.out()
    );
    one.never_says("EDITOR").never_says("TERM=");
}

#[test_case(""; "with pipes")]
#[test_case("tty = true, "; "with the keyboard")]
fn a_step_has_no_file_open_but_the_standard_ones(kind: &str) {
    let env = TestEnv::new(&format!(
        "[steps]\nfds = {{ {kind}run = 'ls /proc/$$/fd' }}\n"
    ));
    let piper = env!("CARGO_BIN_EXE_piper");
    let script = format!("{piper} exec fds 3</etc/passwd 77<piper.toml");
    let shell = Call::of(&env, "/bin/bash".as_ref()).args(&["-c", &script]);
    let mut terminal = Terminal::start(shell);
    assert!(terminal.finish().success(), "{}", terminal.sent());
    let log = env.piper(&["logs", "@", "--raw"]).succeeds();
    assert_eq!(
        log.out().split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2"]
    );
}

#[test]
fn variables_pass_if_the_file_names_them_and_all_of_them_on_demand() {
    let env = TestEnv::new(
        "[project]\npass-env = ['P_*']\n[steps]\n\
         show = { run = 'echo \"${P_ONE-} ${S_ONE-} ${OTHER-} ${FIXED-}\"', pass-env = ['S_ONE'], env = { FIXED = 'fix' } }\n",
    );
    let call = |args: &[&str]| {
        env.call(args)
            .env("P_ONE", "p")
            .env("S_ONE", "s")
            .env("OTHER", "o")
            .env("FIXED", "no")
            .finish()
            .succeeds()
    };
    call(&["exec", "show"]).says("p s  fix\n");
    call(&["exec", "show", "--pass-env-all"]).says("p s o fix\n");
    let shown = env.piper(&["show", "@"]).succeeds();
    assert!(shown.out().contains("environment"), "{}", shown.out());
    let started = call(&["exec", "show", "--pass-env-all", "--output", "json"]);
    assert_eq!(
        started.events().of("build.started")[0]["pass_env_all"],
        true
    );
}

#[test]
fn a_failed_step_names_the_variables_that_were_withheld_from_it() {
    let env = TestEnv::sequence(&[("s", "test -n \"$API_TOKEN\"")]);
    let done = env
        .call(&["exec"])
        .env("API_TOKEN", "hunter2")
        .finish()
        .exits(1);
    done.complains("$API_TOKEN")
        .complains("pass-env = [\"API_TOKEN\"]")
        .never_says("hunter2");
}

#[test]
fn env_of_the_step_wins_over_the_pipelines_and_that_over_the_projects() {
    let env = TestEnv::new(
        "[project]\nenv = { A = 'project', B = 'project', C = 'project' }\n\
         [steps]\ns = { run = 'echo $A $B $C', env = { A = 'step' } }\n\
         [pipelines]\nbuild = { steps = ['s'], env = { A = 'pipeline', B = 'pipeline' } }\n",
    );
    env.piper(&["exec"])
        .succeeds()
        .says("step pipeline project\n");
}

#[test]
fn every_step_starts_in_the_root_or_in_its_own_folder_and_knows_where_it_was_called() {
    let env = TestEnv::new(
        "[steps]\nroot = 'pwd; cd /'\nbelow = { run = 'pwd', cwd = 'a/b' }\nfrom = 'echo $PIPER_INVOKED_FROM $PIPER_WORKSPACE'\n\
         [pipelines]\nbuild = { steps = ['root', 'below', 'from'] }\n",
    );
    env.write("a/b/file", "");
    let root = env.root();
    let said = format!("{0}\n{0}/a/b\n{0}/a {0}\n", root.display());
    env.call(&["exec"])
        .cwd(root.join("a"))
        .finish()
        .succeeds()
        .says(&said);
}

#[test_case("{ run = 'pwd', cwd = 'lnk' }"; "the link itself")]
#[test_case("{ run = 'pwd', cwd = 'a/lnk/ssl' }"; "a folder below a link")]
fn a_step_does_not_start_outside_of_the_workspace_by_a_link(step: &str) {
    let env = TestEnv::new(&format!("[steps]\ns = {step}\n"));
    env.write("a/file", "");
    for link in ["lnk", "a/lnk"] {
        symlink("/etc", env.path(link)).unwrap();
    }
    env.piper(&["exec", "s"])
        .exits(1)
        .says("")
        .complains("leads out of the workspace, to /etc");
}

#[test]
fn a_link_inside_of_the_workspace_is_a_folder_like_others() {
    let env = TestEnv::new("[steps]\ns = { run = 'pwd', cwd = 'lnk' }\n");
    env.write("a/file", "");
    symlink("a", env.path("lnk")).unwrap();
    let said = format!("{}\n", env.path("lnk").display());
    env.piper(&["exec", "s"]).succeeds().says(&said);
}

#[test]
fn the_shell_can_be_another_one() {
    if !have(&["bash", "python3"]) {
        return;
    }
    let env = TestEnv::new(
        "[project]\nshell = ['bash', '-euo', 'pipefail', '-c']\n[steps]\n\
         a = 'false | true'\nb = { run = 'print(1 + 1)', shell = ['python3', '-c'] }\n",
    );
    env.piper(&["exec", "a"]).exits(1);
    env.piper(&["exec", "b"]).succeeds().says("2\n");
}

#[test]
fn a_script_of_several_lines_stops_at_its_first_failed_command() {
    let env = TestEnv::sequence(&[("s", "echo one\nfalse\necho two\n")]);
    env.piper(&["exec"]).exits(1).says("one\n");
    let env = TestEnv::sequence(&[("s", "echo \"$NOT_SET\"")]);
    env.piper(&["exec"]).exits(1).complains("NOT_SET");
}

#[test]
fn the_version_is_what_the_file_says_or_what_git_describes() {
    let file = |version: &str| {
        format!(
            "[project]\nname = 'thing'\nversion = {version}\n[steps]\nversion = 'echo $PIPER_VERSION'\n[pipelines]\nbuild = {{ steps = ['version'] }}\n"
        )
    };
    let env = TestEnv::new(&file("'1.2.0'"));
    env.piper(&["exec"])
        .succeeds()
        .says("1.2.0\n")
        .complains("1.2.0");
    env.write("piper.toml", file("{ git-describe = '--tags' }"));
    env.piper(&["exec"])
        .exits(2)
        .says("")
        .complains("repository");
    env.commit_all();
    env.git(&["tag", "v3"]);
    env.piper(&["exec"])
        .succeeds()
        .says("v3\n")
        .complains("finished successfully");
}

#[test]
fn a_caller_without_any_variable_is_served() {
    let env = TestEnv::sequence(&[("s", "command -v ls > /dev/null && echo fine")]);
    let call = env
        .call(&["exec"])
        .without_env("PATH")
        .without_env("HOME")
        .without_env("TMPDIR");
    call.finish().succeeds().says("fine\n");
}

#[test]
fn the_project_is_found_from_below_and_named_from_elsewhere() {
    let env = TestEnv::sequence(&[("s", "pwd")]);
    env.write("deep/er/file", "");
    let root = env.root();
    let said = format!("{}\n", root.display());
    env.call(&["exec"])
        .cwd(root.join("deep/er"))
        .finish()
        .succeeds()
        .says(&said);
    env.call(&["exec", "-C", root.to_str().unwrap()])
        .cwd("/")
        .finish()
        .succeeds()
        .says(&said);
    env.call(&["exec"])
        .cwd(env.beside("home"))
        .finish()
        .exits(2)
        .complains("piper.toml");
}

#[test]
fn every_try_is_a_span_of_its_own_in_the_build_s_trace() {
    let env = TestEnv::new(
        "[steps]\na = 'echo $TRACEPARENT'\nb = { run = 'echo $TRACEPARENT; [ -e again ] || { touch again; exit 1; }', retry = 1 }\n\
         [pipelines]\nbuild = { steps = ['a', 'b'] }\n",
    );
    let lines = env.piper(&["exec"]).succeeds().lines();
    let parts: Vec<Vec<&str>> = lines.iter().map(|line| line.split('-').collect()).collect();
    let spans: BTreeSet<&str> = parts.iter().map(|parts| parts[2]).collect();
    assert_eq!(spans.len(), 3, "{lines:?}");
    assert!(parts.iter().all(|p| p[1] == parts[0][1]), "{lines:?}");
}
