//! Commands that end, that do not, and that leave something behind.

use super::*;
use crate::effect::{
    Surroundings,
    files::{Cache, Places},
    secrets::Values,
    tests::{Names, Said, bind, effective, effects_with_path},
};
use std::os::unix::fs::symlink;
use test_case::test_case;
use tokio::time::sleep;

struct Shell {
    workspace: tempfile::TempDir,
    /// The project, whose workspace may be a copy.
    project: tempfile::TempDir,
    /// In the operator's `PATH`, after what repositories have there.
    tools: tempfile::TempDir,
    cache: tempfile::TempDir,
    said: Arc<Said>,
    exec: Arc<dyn Exec>,
    files: Arc<dyn crate::service::Files>,
}

const ASKS: &str = r#"
[[permission.exec]]
argv = ["sh", "-c"]
why = "test"
[[permission.exec]]
argv = ["applet", "-c"]
why = "test"
[[permission.files]]
workspace = "write"
cache = true
why = "test"
"#;

const GRANTED: &str = r#"
allow.exec = [["sh", "-c"], ["applet", "-c"]]
allow.files = { workspace = "write", cache = true }
"#;

impl Shell {
    fn new() -> Self {
        let workspace = tempfile::tempdir().unwrap();
        let project = tempfile::tempdir().unwrap();
        let tools = tempfile::tempdir().unwrap();
        let cache = tempfile::tempdir().unwrap();
        let said = Arc::new(Said::default());
        let path = format!(
            "{}/bin:{}/bin:{tools}/linked:{tools}:/usr/local/bin:/usr/bin:/bin",
            workspace.path().display(),
            project.path().display(),
            tools = tools.path().display()
        );
        let effects = effects_with_path(Names::of(&[]), Vec::new(), &path);
        let binding = bind(&effects, effective(ASKS, GRANTED), Default::default(), &[]);
        let services = binding.services(Surroundings {
            places: Places {
                workspace: Some(workspace.path().to_owned()),
                cache: Some(Cache {
                    path: cache.path().to_owned(),
                    // Bytes, and what three files cost besides.
                    quota: 1_000 + 3 * 4_096,
                }),
                ..Places::default()
            },
            repository: vec![project.path().to_owned()],
            environment: vec![
                ("PATH".into(), "/nowhere".into()),
                ("GIVEN".into(), "given".into()),
            ],
            step: Some(said.clone()),
            children: None,
            grace: None,
        });
        let services = services.unwrap();
        Self {
            workspace,
            project,
            tools,
            cache,
            said,
            exec: services.exec.unwrap(),
            files: services.files.unwrap(),
        }
    }

    async fn start(&self, script: &str) -> Arc<dyn Process> {
        self.exec.start(shell(script)).await.unwrap()
    }

    async fn refused(&self, command: Command) -> Failure {
        self.exec.start(command).await.map(drop).unwrap_err()
    }
}

/// A program in this folder.
fn put_program(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

fn shell(script: &str) -> Command {
    Command {
        argv: ["sh", "-c", script].map(str::to_owned).into(),
        ..Command::default()
    }
}

async fn all(process: &Arc<dyn Process>) -> String {
    let mut text = Vec::new();
    loop {
        let output = process.stdout(1_000).await.unwrap();
        text.extend(output.bytes);
        if output.closed {
            return String::from_utf8_lossy(&text).into_owned();
        }
    }
}

fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

async fn until_gone(pid: &str) {
    for _ in 0..500 {
        if !lives(pid) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{pid} lives");
}

#[tokio::test]
async fn a_granted_command_runs_with_what_it_was_given() {
    let shell_of = Shell::new();
    let command = Command {
        env: vec![("OWN".into(), "own".into())],
        stdin: CommandInput::Bytes(b"input".to_vec()),
        ..shell("cat; echo \" $GIVEN $OWN ${HOME-none} $0 $PWD\"; echo trouble >&2; exit 3")
    };
    let process = shell_of.exec.start(command).await.unwrap();
    let folder = fs::canonicalize(shell_of.workspace.path()).unwrap();
    assert_eq!(
        all(&process).await,
        format!("input given own none sh {}\n", folder.display())
    );
    assert_eq!(process.stderr(99).await.unwrap().bytes, b"trouble\n");
    let exit = process.wait().await.unwrap();
    assert_eq!((exit.status, exit.reason), (Some(3), "exited"));
    let said = shell_of.said.0.lock().unwrap();
    assert!(said.contains(&(true, "trouble\n".into())), "{said:?}");
}

/// In piper's session it could ask for a password on the user's terminal.
#[tokio::test]
async fn a_command_leads_a_session_and_a_group() {
    let shell_of = Shell::new();
    let process = shell_of
        .start("read -r stat < /proc/$$/stat; set -- $stat; echo $1 $5 $6 $7")
        .await;
    let numbers = all(&process).await;
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    let [pid, group, session, terminal] = numbers[..] else {
        panic!("{numbers:?}");
    };
    assert_eq!((group, session, terminal), (pid, pid, "0"));
}

#[tokio::test]
async fn a_quiet_command_says_nothing_in_the_log() {
    let shell_of = Shell::new();
    let command = Command {
        quiet: true,
        ..shell("echo hello")
    };
    let process = shell_of.exec.start(command).await.unwrap();
    assert_eq!(all(&process).await, "hello\n");
    assert!(shell_of.said.0.lock().unwrap().is_empty());
}

#[test_case(&["sh"]; "no arguments")]
#[test_case(&["sh", "-x", "-c", "true"]; "an argument before it")]
#[test_case(&["git", "push"]; "another program")]
#[test_case(&["bin/sh", "-c", "true"]; "a program of the workspace by its path")]
#[tokio::test]
async fn what_is_not_granted_is_refused(argv: &[&str]) {
    let shell_of = Shell::new();
    let command = Command {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        ..Command::default()
    };
    let refused = shell_of.refused(command).await;
    assert_eq!(
        (refused.kind, refused.code.as_str()),
        (FailureKind::Denied, EXEC)
    );
    assert!(
        refused.message.contains("piper plugin grant test --exec"),
        "{refused}"
    );
}

fn put_forged(folder: &Path) {
    put_program(folder, "sh", "#!/bin/sh\necho forged\n");
}

#[test_case(|of| put_forged(&of.workspace.path().join("bin")); "in the workspace")]
#[test_case(|of| put_forged(&of.project.path().join("bin")); "in the project, of which the workspace is a part or a copy")]
#[test_case(|of| {
    put_forged(&of.project.path().join("programs"));
    symlink(of.project.path().join("programs"), of.tools.path().join("linked")).unwrap();
}; "behind a link to a folder of the project")]
#[test_case(|of| {
    put_forged(of.cache.path());
    fs::create_dir(of.project.path().join("bin")).unwrap();
    symlink(of.cache.path().join("sh"), of.project.path().join("bin/sh")).unwrap();
}; "behind a link of the project to a program")]
#[test_case(|of| {
    put_forged(of.cache.path());
    symlink(of.cache.path(), of.project.path().join("bin")).unwrap();
}; "behind a link of the project to a folder")]
#[tokio::test]
async fn a_repository_cannot_bring_its_own_shell_along(put: fn(&Shell)) {
    let shell_of = Shell::new();
    put(&shell_of);
    let process = shell_of.start("echo real").await;
    assert_eq!(all(&process).await, "real\n");
}

/// The step's `PATH` of these tests has no programs at all.
#[tokio::test]
async fn a_granted_name_is_found_in_the_operators_path_not_in_the_steps() {
    let shell_of = Shell::new();
    put_program(
        shell_of.tools.path(),
        "applet",
        "#!/bin/sh\necho the operators\n",
    );
    let command = Command {
        argv: ["applet", "-c"].map(str::to_owned).into(),
        ..Command::default()
    };
    let process = shell_of.exec.start(command).await.unwrap();
    assert_eq!(all(&process).await, "the operators\n");
    let process = shell_of.start("command -v applet").await;
    let found = shell_of.tools.path().join("applet");
    assert_eq!(all(&process).await, format!("{}\n", found.display()));
}

#[tokio::test]
async fn a_granted_program_that_is_not_there_is_missed_and_not_refused() {
    let shell_of = Shell::new();
    let command = Command {
        argv: ["applet", "-c"].map(str::to_owned).into(),
        ..Command::default()
    };
    let missed = shell_of.refused(command).await;
    assert_eq!(
        (missed.kind, missed.code.as_str()),
        (FailureKind::Permanent, "exec.not-found")
    );
}

/// As with busybox and the proxies of rustup, where the name says what the file is to do.
#[tokio::test]
async fn of_a_file_that_is_many_programs_only_the_granted_one_is_started() {
    let shell_of = Shell::new();
    let tools = shell_of.tools.path();
    for name in ["applet", "other"] {
        symlink("/bin/sh", tools.join(name)).unwrap();
    }
    let command = |program: &str| Command {
        argv: [program, "-c", "echo $0"].map(str::to_owned).into(),
        ..Command::default()
    };
    for program in ["other", "/bin/sh/../sh", "-applet"] {
        let refused = shell_of.refused(command(program)).await;
        assert_eq!(refused.code, EXEC, "{program}");
    }
    let other = tools.join("other");
    let refused = shell_of.refused(command(other.to_str().unwrap())).await;
    assert_eq!(refused.code, EXEC);
    let whole = tools.join("applet");
    for program in ["applet", whole.to_str().unwrap()] {
        let process = shell_of.exec.start(command(program)).await.unwrap();
        assert_eq!(all(&process).await, "applet\n", "the rule's word");
    }
}

#[test_case("LD_PRELOAD", "/tmp/x.so", EXEC; "another program")]
#[test_case("PIPER_COMMAND", "x", EXEC; "the mark")]
#[test_case("A=B", "x", "exec.command"; "no name")]
#[test_case("", "x", "exec.command"; "nothing")]
#[test_case("A", "x\0y", "exec.command"; "a NUL")]
#[tokio::test]
async fn no_variable_makes_another_program_of_it(name: &str, value: &str, expected: &str) {
    let command = Command {
        env: vec![(name.into(), value.into())],
        ..shell("true")
    };
    assert_eq!(Shell::new().refused(command).await.code, expected);
}

#[tokio::test]
async fn files_and_folders_are_those_of_the_plugin() {
    let shell_of = Shell::new();
    let workspace = shell_of.workspace.path();
    fs::create_dir(workspace.join("sub")).unwrap();
    fs::write(workspace.join("in"), "from a file").unwrap();
    let command = Command {
        cwd: Some("sub".into()),
        stdin: CommandInput::File("in".into()),
        stdout_file: Some("new/out".into()),
        ..shell("cat; pwd")
    };
    let process = shell_of.exec.start(command).await.unwrap();
    process.wait().await.unwrap();
    assert_eq!(all(&process).await, "", "it went to the file");
    let written = fs::read_to_string(workspace.join("new/out")).unwrap();
    let sub = fs::canonicalize(workspace.join("sub")).unwrap();
    assert_eq!(written, format!("from a file{}\n", sub.display()));
    let outside = [
        Command {
            cwd: Some("..".into()),
            ..shell("true")
        },
        Command {
            stdin: CommandInput::File("/etc/passwd".into()),
            ..shell("true")
        },
        Command {
            stdout_file: Some("../out".into()),
            ..shell("true")
        },
    ];
    for command in outside {
        assert_eq!(shell_of.refused(command).await.code, "policy.fs");
    }
}

#[tokio::test]
async fn what_a_command_wrote_counts_in_the_cache() {
    let shell_of = Shell::new();
    let write = |path: &str, bytes: usize| shell_of.files.write(path.into(), 0, vec![b'x'; bytes]);
    write("/cache/a", 100).await.unwrap();
    let command = Command {
        stdout_file: Some("/cache/b".into()),
        ..shell("head -c 600 /dev/zero")
    };
    let process = shell_of.exec.start(command).await.unwrap();
    process.wait().await.unwrap();
    assert_eq!(write("/cache/c", 301).await.unwrap_err().code, "fs.full");
    write("/cache/c", 300).await.unwrap();
    let command = Command {
        cwd: Some("/cache".into()),
        ..shell("rm b")
    };
    let process = shell_of.exec.start(command).await.unwrap();
    process.wait().await.unwrap();
    write("/cache/c", 900).await.unwrap();
    assert_eq!(
        fs::metadata(shell_of.cache.path().join("c")).unwrap().len(),
        900
    );
}

#[tokio::test]
async fn time_ends_a_command_and_all_that_it_started() {
    let shell_of = Shell::new();
    let command = Command {
        timeout: Some(Duration::from_millis(500)),
        ..shell(
            "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; trap '' TERM; sleep 1000; sleep 1000",
        )
    };
    let process = shell_of.exec.start(command).await.unwrap();
    let exit = process.wait().await.unwrap();
    assert_eq!((exit.status, exit.reason), (None, "timeout"));
    assert!(exit.duration >= Duration::from_millis(500) + GRACE);
    let children = all(&process).await;
    assert_eq!(children.lines().count(), 2);
    for child in children.lines() {
        until_gone(child).await;
    }
}

#[tokio::test]
async fn dropping_a_command_ends_it_and_all_that_it_started() {
    let shell_of = Shell::new();
    let process = shell_of
        .start("echo $$; (setsid sleep 1000 & echo $!); sleep 1000")
        .await;
    let mut text = String::new();
    while text.lines().count() < 2 {
        text += &String::from_utf8(process.stdout(99).await.unwrap().bytes).unwrap();
    }
    assert!(text.lines().all(lives));
    drop(process);
    for child in text.lines() {
        until_gone(child).await;
    }
}

#[tokio::test]
async fn what_a_command_left_behind_goes_with_it() {
    let shell_of = Shell::new();
    let process = shell_of
        .start("setsid sleep 1000 >/dev/null 2>&1 & echo $!")
        .await;
    let child = all(&process).await;
    process.wait().await.unwrap();
    assert!(lives(&child), "it may outlive its parent");
    drop(process);
    until_gone(&child).await;
}

#[tokio::test]
async fn a_command_can_be_ended() {
    let shell_of = Shell::new();
    let process = shell_of.start("sleep 1000").await;
    process.kill().await.unwrap();
    let exit = process.wait().await.unwrap();
    assert_eq!((exit.status, exit.reason), (None, "killed"));
    process.kill().await.unwrap();
    let process = shell_of.start("kill -9 $$").await;
    assert_eq!(process.wait().await.unwrap().reason, "signalled");
}

/// Every thread of `piper exec` blocks the signals that it reads from a descriptor, and it ignores the one of files that are too large.
#[tokio::test]
async fn a_command_has_its_signals_as_at_login_whatever_piper_blocks_and_ignores() {
    // The thread that starts commands begins later, and inherits what this one blocks.
    // SAFETY: the set is filled in before it is read. Both calls change this thread and what nobody else here depends on.
    unsafe {
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGWINCH] {
            libc::sigaddset(&raw mut blocked, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut());
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    let shell_of = Shell::new();
    let process = shell_of
        .start("while read -r name value; do case $name in SigBlk:|SigIgn:) echo $name $value;; esac; done < /proc/$$/status")
        .await;
    let said = all(&process).await;
    let sets: Vec<u64> = said
        .lines()
        .map(|line| u64::from_str_radix(line.split(' ').nth(1).unwrap(), 16).unwrap())
        // Two are the C library's own: it lets nobody change them, whatever this process was started with.
        .map(|set| set & !(0b11 << 31))
        .collect();
    assert_eq!(sets, [0, 0], "{said}");
    let process = shell_of.start("sleep 30").await;
    let asked = Instant::now();
    process.kill().await.unwrap();
    assert!(asked.elapsed() < GRACE, "it did not hear that it was asked");
}

/// A command that cleans up when it is asked to end, in a child that left its group too.
const TIDY: &str = "trap 'sleep 0.2; echo tidy > leader; exit' TERM
    setsid sh -c 'trap \"sleep 0.2; echo tidy > child; exit\" TERM; echo ready; while :; do sleep 0.05; done' &
    while :; do sleep 0.05; done";

#[test_case("timeout")]
#[test_case("kill")]
#[test_case("drop")]
#[test_case("end of the call")]
#[tokio::test]
async fn a_command_is_ended_as_a_step_is(how: &str) {
    let shell_of = Shell::new();
    let command = Command {
        timeout: (how == "timeout").then_some(Duration::from_secs(1)),
        ..shell(TIDY)
    };
    let process = shell_of.exec.start(command).await.unwrap();
    assert_eq!(process.stdout(99).await.unwrap().bytes, b"ready\n");
    let mut held = Some(process);
    match how {
        "timeout" => drop(held.as_ref().unwrap().wait().await.unwrap()),
        "kill" => held.as_ref().unwrap().kill().await.unwrap(),
        "drop" => drop(held.take()),
        _ => shell_of.exec.end(None),
    }
    if matches!(how, "drop" | "end of the call") {
        shell_of.exec.ended().await.unwrap();
    }
    for name in ["leader", "child"] {
        let file = shell_of.workspace.path().join(name);
        assert_eq!(
            fs::read_to_string(file).unwrap_or_default(),
            "tidy\n",
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_command_that_does_not_listen_is_killed_by_the_end_of_its_call() {
    let shell_of = Shell::new();
    let process = shell_of
        .start("trap '' TERM; echo $$; while :; do sleep 0.05; done")
        .await;
    let pid = String::from_utf8(process.stdout(99).await.unwrap().bytes).unwrap();
    let began = Instant::now();
    shell_of.exec.end(Some(began + Duration::from_millis(200)));
    shell_of.exec.ended().await.unwrap();
    assert!(!lives(&pid));
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert!(began.elapsed() < GRACE, "not its own grace period");
    assert_eq!(process.wait().await.unwrap().reason, "killed");
    // Another call of the same instance is not ended by the end of this one.
    let process = shell_of.start("sleep 0.3; exit 3").await;
    assert_eq!(process.wait().await.unwrap().status, Some(3));
}

#[tokio::test]
async fn of_an_endless_output_the_end_is_kept_and_the_rest_counted() {
    let shell_of = Shell::new();
    let process = shell_of
        .start("head -c 3000000 /dev/zero; printf end")
        .await;
    process.wait().await.unwrap();
    let none = process.stdout(0).await.unwrap();
    assert_eq!((none.bytes.len(), none.closed, none.dropped), (0, false, 0));
    let (mut lost, mut read) = (0, Vec::new());
    loop {
        let part = process.stdout(u32::MAX).await.unwrap();
        assert!(part.bytes.len() <= KEPT, "{}", part.bytes.len());
        lost += part.dropped;
        read.extend(part.bytes);
        if part.closed {
            break;
        }
    }
    assert!(read.ends_with(b"end") && lost > 0);
    assert_eq!(lost + read.len() as u64, 3_000_003);
}

#[tokio::test]
async fn without_a_workspace_a_command_begins_in_an_empty_folder() {
    let effective = effective(ASKS, "allow.exec = [[\"sh\", \"-c\"]]");
    let commands = Commands {
        plugin: crate::effect::tests::name(),
        effective: Arc::new(effective),
        files: None,
        workspace: None,
        repository: Vec::new(),
        environment: Vec::new(),
        path: "/usr/bin:/bin".into(),
        step: None,
        secrets: Arc::new(Held::new(&Values::default())),
        children: None,
        grace: GRACE,
        attending: Attending::default(),
    };
    let process = commands.start(shell("ls -A; pwd")).await.unwrap();
    let folder = all(&process).await;
    let folder = Path::new(folder.trim());
    assert!(folder.is_dir(), "{}", folder.display());
    drop(process);
    commands.ended().await.unwrap();
    assert!(!folder.exists());
    let command = Command {
        cwd: Some("a".into()),
        ..shell("true")
    };
    assert_eq!(
        commands.start(command).await.map(drop).unwrap_err().code,
        "policy.fs"
    );
}

#[tokio::test]
async fn what_a_command_prints_is_masked_in_the_log() {
    let said = Arc::new(Said::default());
    let secrets = Arc::new(Held::new(&Values::default()));
    let commands = Commands {
        plugin: crate::effect::tests::name(),
        effective: Arc::new(effective(ASKS, "allow.exec = [[\"sh\", \"-c\"]]")),
        files: None,
        workspace: None,
        repository: Vec::new(),
        environment: Vec::new(),
        path: "/usr/bin:/bin".into(),
        step: Some(said.clone()),
        secrets: Arc::clone(&secrets),
        children: None,
        grace: GRACE,
        attending: Attending::default(),
    };
    secrets
        .adopt("token-of-mine".into(), "https://a.test".into())
        .await
        .unwrap();
    let process = commands
        .start(shell("printf token-; sleep 0.1; echo of-mine"))
        .await
        .unwrap();
    all(&process).await;
    let said: String = said
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(said, "***\n");
}
