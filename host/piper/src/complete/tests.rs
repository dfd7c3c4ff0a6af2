//! What is offered, and what real shells make of it.

use super::*;
use crate::{cli::sample, tools::have};
use test_case::test_case;

fn loaded() -> LoadedProject {
    LoadedProject {
        project: sample::project(),
        root: "/x".into(),
        name: "x".into(),
        source: sample::source(),
        origin: None,
    }
}

/// The real command line.
fn cli() -> Command {
    let mut cli = crate::cli::description();
    cli.build();
    cli
}

fn offered(line: &str) -> String {
    offered_of(&loaded(), line)
}

fn offered_of(loaded: &LoadedProject, line: &str) -> String {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let world = World {
        project: &|folder| (folder != Some(Path::new("/empty"))).then(|| loaded.clone()),
        builds: &|_| vec![("bcdfghj".to_owned(), "build, failed".to_owned())],
        recorded: &|_, build| match build {
            "@" => vec!["fmt".to_owned()],
            "bcdfghj" | "bcdfghj/lint" => ["unit", "lint[os=a/b]", "lint[os=c]"]
                .map(str::to_owned)
                .into(),
            _ => Vec::new(),
        },
        plugins: &|_| vec![("es".to_owned(), "project".to_owned())],
    };
    match answer(&cli(), &words, &world) {
        Answer::Files => "(files)".to_owned(),
        Answer::Candidates(found) => {
            let values: Vec<&str> = found
                .iter()
                .map(|candidate| candidate.value.as_str())
                .collect();
            values.join(" ")
        }
    }
}

#[test_case("pl", "plan plugin"; "a command")]
#[test_case("-C /tmp pl", "plan plugin"; "a command after a flag")]
#[test_case("completions z", "zsh"; "a fixed value")]
#[test_case("plugin insp", "inspect"; "a command of a command")]
#[test_case("plugin inspect ", "es"; "a plugin")]
#[test_case("plugin grant e", "es"; "a plugin to grant something")]
#[test_case("plugin inspect ./", "(files)"; "a file of a plugin")]
#[test_case("plugin grant ./", ""; "a file is granted nothing")]
#[test_case("plugin call es trigger-p", "trigger-poll"; "a kind")]
#[test_case("plugin new ", ""; "a name that nothing has yet")]
#[test_case("plugin add ", "(files)"; "a source")]
#[test_case("plan ", "build cross fmt compile unit lint report _x= profile="; "names and parameters of the default")]
#[test_case("plan cross ", "local clean _x="; "environments and parameters of the one named")]
#[test_case("plan _x=1 b", "build"; "a name after a parameter")]
#[test_case("plan build clean ", "_x= profile="; "parameters only")]
#[test_case("plan build profile=debug ", "local clean _x="; "a parameter is offered once")]
#[test_case("plan profile=", "profile=debug profile=release"; "choices")]
#[test_case("plan profile=r", "profile=release"; "choices that fit")]
#[test_case("plan nothing=", ""; "values of an unknown parameter")]
#[test_case("plan --step un", "unit unit[rust=1.80] unit[rust=1.95]"; "steps and cells")]
#[test_case("plan cross --from-step ", "fmt"; "steps of the one named")]
#[test_case("plan --step=l", "--step=lint"; "a value behind an equals sign")]
#[test_case("plan --fr", "--from-step"; "flags")]
#[test_case("--color ", "auto always never"; "the value of a flag of all")]
#[test_case("graph --format d", "dot"; "the value of a flag")]
#[test_case("builds --pipeline c", "cross compile"; "a target behind a flag")]
#[test_case("exec --secrets ", "(files)"; "a file behind a flag")]
#[test_case("explain P000", "P0001 P0002 P0003 P0004 P0005 P0006 P0007 P0008 P0009"; "codes")]
#[test_case("graph c", "cross compile"; "a target")]
#[test_case("plan cross[", "cross[target=x86%2064] cross[target=arm]"; "cells of a pipeline")]
#[test_case("exec unit[rust=1.9", "unit[rust=1.95]"; "cells of a step")]
#[test_case("exec fmt[", ""; "cells of what has none")]
#[test_case("plan cross[target=arm] ", "local clean _x="; "environments and parameters of the one whose cell is named")]
#[test_case("plan -- ", "(files)"; "after the dashes")]
#[test_case("-C ", "(files)"; "a folder")]
#[test_case("-C /empty graph c", ""; "the names of another folder")]
#[test_case("-C/empty graph c", ""; "a folder in the same word")]
#[test_case("-C=/empty graph c", ""; "a folder behind an equals sign")]
#[test_case("-vC/empty graph c", ""; "a folder behind another flag")]
#[test_case("-C/ta", "(files)"; "a folder that begins in the same word")]
#[test_case("builds -pc", "-pcross -pcompile"; "a value in the same word")]
#[test_case("-vq pl", "plan plugin"; "flags without values")]
#[test_case("show ", "@ @failed @build @cross bcdfghj"; "builds")]
#[test_case("show @c", "@cross"; "the newest of a pipeline")]
#[test_case("logs bcdfghj --step ", "unit lint lint[os=a/b] lint[os=c]"; "steps of a build")]
#[test_case("logs --step ", "fmt"; "steps of the newest build")]
#[test_case("logs bcdfghj --step=u", "--step=unit"; "a step of a build behind an equals sign")]
#[test_case("logs bcdfghj/lint --step u", "unit"; "steps of a build beside one of its steps")]
#[test_case("show bcdfghj/l", "bcdfghj/lint bcdfghj/lint[os=a/b] bcdfghj/lint[os=c]"; "a step in an address")]
#[test_case("list x", ""; "where nothing can stand")]
fn what_is_offered_fits_the_place(line: &str, expected: &str) {
    assert_eq!(offered(line), expected);
}

#[test]
fn a_value_that_would_change_the_terminal_is_not_offered() {
    let mut loaded = loaded();
    loaded.project.pipelines[0].params[0].choices = ["plain", "a\nb", "\x1b[2J", "\u{202e}turned"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(offered_of(&loaded, "plan profile="), "profile=plain");
}

#[test_case(r"unit\[os", "unit[os"; "escaped")]
#[test_case("'a b", "a b"; "open quote")]
#[test_case(r#"a"b'c"'d"e'"#, "ab'cd\"e"; "mixed")]
#[test_case(r"a\", "a"; "escape at the end")]
#[test_case(r#""a\b\$"#, r"a\b$"; "escapes in double quotes")]
fn bash_words_lose_their_quotes(typed: &str, expected: &str) {
    assert_eq!(meant(Shell::Bash, typed), expected);
}

#[test_case(r"'a b", "a b"; "open quote")]
#[test_case(r"'it\'s", "it's"; "a quote in single quotes")]
#[test_case(r"with\ s", "with s"; "escaped")]
fn fish_words_lose_their_quotes(typed: &str, expected: &str) {
    assert_eq!(meant(Shell::Fish, typed), expected);
    assert_eq!(meant_before(Shell::Fish, typed), typed);
}

#[test_case("profile=release", "profile=re", "release"; "after a break")]
#[test_case("profile=", "pro", "profile="; "before a break")]
#[test_case("@failed", "@fa", "@failed"; "at sign, which bash leaves to the word behind it")]
#[test_case("@build/unit", "@build/u", "@build/unit"; "a step of the newest build of a pipeline")]
#[test_case("x=a=b", r"x=a\=", r"a=b"; "an escaped break is none")]
#[test_case("x=a b", "x='a ", "a b"; "a quote in the middle")]
#[test_case("x=a b", "'x='a", r"x=a\ b"; "a break in quotes is none")]
#[test_case("x=$(rm -rf ~)", "x=", r"\$\(rm\ -rf\ \~\)"; "nothing is run")]
#[test_case("x=$(a)", "\"x=", r"x=\$(a)"; "nor in double quotes")]
#[test_case("x=it's", "'x=", r"x=it'\''s"; "nor in single quotes")]
#[test_case("unit[rust=1.80]", "unit[rust=", "1.80]"; "cell")]
fn what_bash_inserts_is_quoted(value: &str, typed: &str, expected: &str) {
    let candidate = Candidate {
        value: value.to_owned(),
        about: String::new(),
    };
    assert_eq!(
        render(Shell::Bash, &[candidate], typed, " \t\n\"'@><=;|&(:"),
        format!("{expected}\n")
    );
}

/// Puts a `piper` on the path that answers with its own arguments, and lets bash complete `line`.
fn bash_completes(line: &str, answer: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let piper = folder.path().join("piper");
    let script = format!(
        "#!/bin/sh\nshift 4\nprintf '<%s>' \"$@\" >{0}/asked\nprintf '%s\\n' {answer}\n",
        folder.path().display()
    );
    std::fs::write(&piper, script).unwrap();
    std::fs::set_permissions(&piper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("script"), Shell::Bash.script()).unwrap();
    // `bind` needs line editing, so readline's own splitting is done by `bash -i` over a pipe.
    let test = format!(
        "PS1=; source {0}/script; COMP_LINE={1}; COMP_POINT=${{#COMP_LINE}}\n\
         COMP_WORDS=($(printf %s \"$COMP_LINE\" | sed 's/[=@:]/ & /g')); [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')\n\
         COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _piper {0}/piper; printf '%s ' \"${{COMPREPLY[@]}}\"\n",
        folder.path().display(),
        crate::cli::quote::quoted(line),
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "the test runs the script in its shell"
    )]
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", &test])
        .output()
        .unwrap();
    let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap_or_default();
    (asked, String::from_utf8(output.stdout).unwrap())
}

#[test_case("piper plan profile=re", "<plan><profile=re>"; "a word in the middle of a parameter")]
#[test_case("piper plan profile=", "<plan><profile=>"; "at the equals sign")]
#[test_case("piper plan ", "<plan><>"; "a new word")]
#[test_case("piper show @fa", "<show><@fa>"; "at sign")]
#[test_case("piper plan --step unit[rust=1.80] a=b:c=d x", "<plan><--step><unit[rust=1.80]><a=b:c=d><x>"; "many breaks")]
fn bash_hands_over_whole_words(line: &str, expected: &str) {
    if !have(&["bash"]) {
        return;
    }
    let (asked, replies) = bash_completes(line, "one 'two*'");
    assert_eq!(asked, expected);
    assert_eq!(replies, "one two* ");
}

#[test_case("bash", Shell::Bash)]
#[test_case("zsh", Shell::Zsh)]
#[test_case("fish", Shell::Fish)]
fn each_shell_accepts_its_script(program: &str, shell: Shell) {
    if !have(&[program]) {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), shell.script()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the shell itself is asked")]
    let output = std::process::Command::new(program)
        .arg("-n")
        .arg(file.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
