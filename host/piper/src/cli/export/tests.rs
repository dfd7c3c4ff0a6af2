//! The script is run by real shells: what it does is all that counts.

use super::script;
use crate::{cli::sample, tools::have};
use piper_core::{
    id::{ParamName, PipelineName},
    plan::{Request, resolve},
    project::{Action, Param, Project, Retry, RetryOn, Step, Value, VersionSource, WhenStatus},
};
use proptest::prelude::*;
use std::{
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Output},
    time::Duration,
};
use test_case::test_case;

#[expect(
    clippy::disallowed_methods,
    reason = "the test runs the script as a user would"
)]
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PIPER_") {
            command.env_remove(name);
        }
    }
    // A suite that was started in the background passes on that interrupts are ignored.
    // SAFETY: the call is allowed between fork and exec, and installs no code.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
    command
}

fn export(project: &Project, request: &Request) -> String {
    let plans =
        resolve(project, request, "folder").unwrap_or_else(|problems| panic!("{problems:?}"));
    script::write(&plans)
}

fn run_in(folder: &Path, shell: &str, script: &str) -> Output {
    let file = folder.join("build.sh");
    fs::write(&file, script).unwrap();
    command(shell)
        .arg(&file)
        .current_dir(folder)
        .env("TMPDIR", folder)
        .output()
        .unwrap()
}

/// What the script printed on its standard output, and whether it succeeded.
fn run(project: &Project, request: &Request) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    let output = run_in(folder.path(), "sh", &export(project, request));
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["build.sh"], "nothing may be left behind");
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.success(),
    )
}

/// A project of one pipeline, `build`, with its steps in a row.
fn row(steps: Vec<(&str, Step)>) -> Project {
    let mut project = Project::default();
    let names: Vec<[&str; 1]> = steps.iter().map(|(name, _)| [*name]).collect();
    let names: Vec<&[&str]> = names.iter().map(|name| name.as_slice()).collect();
    project.pipelines.insert(
        PipelineName::parse("build").unwrap(),
        sample::pipeline(&names),
    );
    project.steps.extend(
        steps
            .into_iter()
            .map(|(name, step)| (sample::step_name(name), step)),
    );
    project
}

fn with(mut step: Step, change: impl FnOnce(&mut Step)) -> Step {
    change(&mut step);
    step
}

fn when(script: &str, status: WhenStatus) -> Step {
    with(sample::run(script), |step| step.when.status = status)
}

#[test]
fn the_sample_project_becomes_this_script() {
    insta::assert_snapshot!(
        export(&sample::project(), &Request::default()).replace(script_frame(), "[the frame]\n")
    );
}

fn script_frame() -> &'static str {
    include_str!("frame.sh")
}

#[test]
fn shellcheck_has_nothing_to_say() {
    if !have(&["shellcheck"]) {
        return;
    }
    let mut project = sample::project();
    project.version = Some(VersionSource::GitDescribe(vec!["--tags".into()]));
    project.steps["lint"].when.branch = vec!["release/*".into()];
    project.steps["lint"]
        .settings
        .env
        .insert("odd.name".into(), Value::Text("x".into()));
    for words in [&[][..], &["build", "clean"], &["cross"]] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("build.sh");
        fs::write(&file, export(&project, &sample::request(words))).unwrap();
        let output = command("shellcheck").arg(&file).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[test_case("sh"; "sh")]
#[test_case("dash"; "dash")]
#[test_case("bash"; "bash")]
fn a_row_of_steps_runs_in_order(shell: &str) {
    if !have(&[shell]) {
        return;
    }
    let project = row(vec![
        ("a", sample::run("echo a")),
        ("b", sample::run("echo b; echo err >&2")),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let output = run_in(folder.path(), shell, &export(&project, &Request::default()));
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\nb\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "piper: 1/2: a\npiper: 2/2: b\nerr\npiper: build finished\n"
    );
}

#[test]
fn a_failure_skips_what_follows_but_failure_and_always_steps() {
    let project = row(vec![
        ("none", when("echo none", WhenStatus::Failure)),
        (
            "may",
            with(sample::run("echo may; exit 3"), |step| {
                step.allow_failure = true
            }),
        ),
        ("fails", sample::run("echo fails; exit 7")),
        ("on-fail", when("echo on-fail", WhenStatus::Failure)),
        ("skipped", sample::run("echo skipped")),
        (
            "free",
            with(sample::run("echo free"), |step| step.needs = Some(vec![])),
        ),
        ("always", when("echo always", WhenStatus::Always)),
    ]);
    let (out, success) = run(&project, &Request::default());
    assert_eq!(
        (out.as_str(), success),
        ("may\nfails\non-fail\nalways\n", false)
    );
    let keep_going = Request {
        keep_going: true,
        ..Request::default()
    };
    let (out, success) = run(&project, &keep_going);
    assert_eq!(
        (out.as_str(), success),
        ("may\nfails\non-fail\nfree\nalways\n", false)
    );
}

#[test]
fn a_step_that_was_skipped_for_a_failure_spoils_what_needs_it() {
    let needs = |name: &str| Some(vec![sample::step_name(name)]);
    let project = row(vec![
        ("a", sample::run("exit 1")),
        (
            "b",
            with(sample::run("echo b"), |step| step.needs = needs("a")),
        ),
        (
            "c",
            with(when("echo c", WhenStatus::Failure), |step| {
                step.needs = needs("b")
            }),
        ),
        (
            "d",
            with(sample::run("echo d"), |step| step.needs = needs("b")),
        ),
    ]);
    let keep_going = Request {
        keep_going: true,
        ..Request::default()
    };
    assert_eq!(run(&project, &keep_going), ("c\n".to_owned(), false));
}

#[test_case(&[], 2, "1 2 3 "; "any failure")]
#[test_case(&[RetryOn::Status(5)], 2, "1 2 3 "; "this status")]
#[test_case(&[RetryOn::Status(6), RetryOn::Signal], 2, "1 "; "another status")]
#[test_case(&[RetryOn::Exit], 1, "1 2 "; "at most")]
fn a_step_is_tried_again_as_the_file_says(on: &[RetryOn], max: u32, expected: &str) {
    let script = "n=$(cat n 2>/dev/null || echo 0); n=$((n + 1)); echo $n >n; printf '%s ' $n; [ $n = 3 ] && rm n || exit 5";
    let step = with(sample::run(script), |step| {
        step.retry = Retry {
            max,
            on: on.to_vec(),
            delay: Duration::ZERO,
        };
    });
    let last = when("rm -f n", WhenStatus::Always);
    let (out, success) = run(&row(vec![("a", step), ("z", last)]), &Request::default());
    assert_eq!((out.as_str(), success), (expected, expected.contains('3')));
}

#[test]
fn a_signal_and_a_timeout_are_worth_another_try() {
    let again = |script: &str, on: RetryOn| {
        with(
            sample::run(&format!("[ -e n ] && rm n && exit 0; touch n; {script}")),
            |step| {
                step.retry = Retry {
                    max: 1,
                    on: vec![on],
                    delay: Duration::ZERO,
                };
                step.timeout = Some(Duration::from_millis(900));
            },
        )
    };
    let project = row(vec![
        ("signal", again("kill -9 $$", RetryOn::Timeout)),
        ("timeout", again("sleep 30", RetryOn::Timeout)),
    ]);
    assert!(run(&project, &Request::default()).1);
}

#[test]
fn parameters_outputs_and_the_matrix_reach_the_steps() {
    let mut project = row(vec![
        (
            "make",
            sample::run("printf %s \"$PIPER_PARAM_TEXT\" >\"$PIPER_OUTPUTS/text\""),
        ),
        (
            "show",
            with(
                sample::run(
                    "cat \"$PIPER_NEEDS/make/text\" \"$PIPER_PARAMS/text\"; printf '|%s|%s|%s|%s' \"$PIPER_MATRIX_X\" \"$PIPER_STEP\" \"$PIPER_VERSION\" \"$PIPER_PIPELINE\"",
                ),
                |step| step.matrix = Some(sample::matrix("x", &["a/b"])),
            ),
        ),
    ]);
    project.version = Some(VersionSource::Static("1.2".into()));
    let text = ParamName::parse("text").unwrap();
    project.params.insert(
        text,
        Param {
            default: Some("it's\n$(x)\n".into()),
            ..Param::default()
        },
    );
    let (out, success) = run(&project, &Request::default());
    assert!(success);
    assert_eq!(out, "it's\n$(x)\nit's\n$(x)\n|a/b|show[x=a/b]|1.2|build");
}

#[test]
fn every_build_of_a_matrix_runs_and_one_failure_counts() {
    let mut project = row(vec![(
        "a",
        sample::run("echo $PIPER_MATRIX_X; [ $PIPER_MATRIX_X != 1 ]"),
    )]);
    project.pipelines[0].matrix = Some(sample::matrix("x", &["1", "2"]));
    assert_eq!(
        run(&project, &Request::default()),
        ("1\n2\n".to_owned(), false)
    );
}

#[test_case("sub", true; "a folder")]
#[test_case("inner", true; "a link inside")]
#[test_case("outer", false; "a link that leads out")]
#[test_case("beside", false; "a link to a folder whose name begins the same")]
fn a_step_starts_in_no_folder_that_is_not_the_workspaces(cwd: &str, may: bool) {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("w");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::create_dir(above.path().join("w2")).unwrap();
    for (name, to) in [("inner", "sub"), ("outer", "/"), ("beside", "../w2")] {
        std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
    }
    let step = with(Step::new(Action::Run("echo here".into())), |step| {
        step.cwd = Some(Value::Text(cwd.into()));
    });
    let output = run_in(
        &folder,
        "sh",
        &export(&row(vec![("a", step)]), &Request::default()),
    );
    assert_eq!(output.status.success(), may, "{output:?}");
    assert_eq!(output.stdout, if may { &b"here\n"[..] } else { b"" });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.contains("leads out of the workspace"), !may, "{said}");
}

#[test]
fn a_secret_that_is_missing_is_said_before_anything_runs() {
    let secret = with(sample::run("echo $TOKEN_X"), |step| {
        step.secrets = vec!["TOKEN_X".into()]
    });
    let project = row(vec![("a", sample::run("echo a")), ("b", secret)]);
    let folder = tempfile::tempdir().unwrap();
    let output = run_in(folder.path(), "sh", &export(&project, &Request::default()));
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("TOKEN_X"));
}

#[test]
fn a_clean_build_sees_what_was_committed_and_nothing_else() {
    let project = row(vec![(
        "a",
        sample::run("cat file; ls untracked 2>&1 >/dev/null | wc -l; pwd"),
    )]);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
        assert!(
            command("git")
                .args(who)
                .args(args)
                .current_dir(folder.path())
                .output()
                .unwrap()
                .status
                .success()
        );
    };
    fs::write(folder.path().join("below/file"), "committed\n").unwrap();
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    fs::write(folder.path().join("below/file"), "changed\n").unwrap();
    fs::write(folder.path().join("below/untracked"), "").unwrap();
    let script = export(&project, &sample::request(&["build", "clean"]));
    let output = run_in(&folder.path().join("below"), "sh", &script);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        out.starts_with("committed\n1\n") && out.trim_end().ends_with("/copy/below"),
        "{out}"
    );
}

#[test]
fn an_interrupt_ends_a_step_that_timeout_moved_out_of_its_reach() {
    let step = with(
        sample::run("trap 'touch ended; exit' TERM; touch started; while :; do sleep 0.1; done"),
        |step| {
            step.timeout = Some(Duration::from_secs(30));
        },
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("build.sh");
    fs::write(&file, export(&row(vec![("a", step)]), &Request::default())).unwrap();
    let mut script = command("sh");
    script
        .arg(&file)
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .process_group(0);
    let mut script = script.spawn().unwrap();
    let appears = |name: &str| {
        let there = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            folder.path().join(name).exists()
        });
        assert!(there, "{name}");
    };
    appears("started");
    let group = i32::try_from(script.id()).unwrap();
    // SAFETY: the call takes two numbers; the group is that of the script, which was not waited for yet.
    assert_eq!(unsafe { libc::kill(-group, libc::SIGINT) }, 0);
    assert_eq!(script.wait().unwrap().code(), Some(130));
    appears("ended");
}

#[test]
fn artifacts_outlive_the_script() {
    let project = row(vec![("a", sample::run("echo x >\"$PIPER_ARTIFACTS/x\""))]);
    let folder = tempfile::tempdir().unwrap();
    let output = run_in(folder.path(), "sh", &export(&project, &Request::default()));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let place = stderr
        .lines()
        .find_map(|line| line.strip_prefix("piper: artifacts are in "))
        .unwrap();
    assert_eq!(
        fs::read_to_string(Path::new(place).join("x")).unwrap(),
        "x\n"
    );
}

#[test]
fn arguments_are_the_scripts_own() {
    let project = row(vec![("a", sample::run("printf '<%s>' \"$0\" \"$@\""))]);
    let request = Request {
        args: vec!["a b".into(), "$(c)".into(), "'".into()],
        ..Request::default()
    };
    assert_eq!(
        run(&project, &request),
        ("<sh><a b><$(c)><'>".to_owned(), true)
    );
}

fn any_word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\\x00]{0,12}",
        "[ -~\n\r\t]{0,20}",
        "['\"\\\\$`!~*?\\[\\](){};&|<>#\n -]{0,12}",
    ]
}

proptest! {
    // Each case starts a shell and some programs.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_words_and_values_survive_the_shell(words in proptest::collection::vec(any_word(), 0..8), value in any_word()) {
        let mut argv = vec![Value::Text("printf".into()), Value::Text("%s\\0".into())];
        argv.extend(words.iter().cloned().map(Value::Text));
        argv.push(Value::Param(ParamName::parse("p").unwrap()));
        let mut step = Step::new(Action::Argv(argv));
        step.settings.env.insert("VALUE".into(), Value::Text(value.clone()));
        let script = "printf '%s\\0' \"$VALUE\" \"$PIPER_PARAM_P\"";
        let shown = with(sample::run(script), |own| own.settings = step.settings.clone());
        let mut project = row(vec![("a", step), ("b", shown)]);
        project.name = Some(value.clone());
        project.params.insert(ParamName::parse("p").unwrap(), Param { default: Some(value.clone()), ..Param::default() });
        let (out, success) = run(&project, &Request::default());
        prop_assert!(success);
        let mut expected = words;
        expected.extend([value.clone(), value.clone(), value]);
        let expected: String = expected.iter().map(|word| format!("{word}\0")).collect();
        prop_assert_eq!(out, expected);
    }
}

#[test]
fn a_plugin_fails_in_a_script_and_says_why() {
    let project = sample::loaded(
        "[steps]\nfirst = 'echo first'\nreport = { uses = 'junit', with = { files = [\"it's\"] }, timeout = '5s' }\nlast = 'echo last'\n[pipelines.build]\nsteps = ['first', 'report', 'last']\n",
    );
    let script = export(&project, &Request::default());
    assert!(
        script.contains("#  * report: is a plugin, which only piper can run: here it fails\n"),
        "{script}"
    );
    let folder = tempfile::tempdir().unwrap();
    let output = run_in(folder.path(), "sh", &script);
    assert_eq!(output.stdout, b"first\n");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("report is the plugin junit, which only piper can run"),
        "{said}"
    );
}
