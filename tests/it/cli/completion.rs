//! Completion as real shells do it, at a terminal: what becomes of a line, and how the shell then reads it.

use crate::support::{Call, Terminal, TestEnv, have, wait_for};
use std::{fs, os::unix::fs::symlink};
use test_case::test_case;

const PROJECT: &str = r#"
[steps]
fmt = "true"
[steps.unit]
run = "true"
matrix = { rust = ["1.80"], os = ["mac os"] }
[pipelines.build]
steps = ["fmt", "unit"]
[pipelines.cross]
steps = ["fmt"]
matrix = { target = ["arm"] }
[params]
profile = { default = "debug", choices = ["debug", "with space", "a=b", "it's", "$(id)", "x:y"] }
"#;

/// Writes the words of a line into a file, each in brackets; a prompt to wait for.
const BASH: &str = r#"PS1='ready> '; eval "$(piper completions bash)"; show() { printf '<%s>' "$@" >said; echo >>said; }"#;
const ZSH: &str = r#"PS1='ready> '; autoload -Uz compinit; compinit -u -D; eval "$(piper completions zsh)"; show() { printf '<%s>' "$@" >said; echo >>said }"#;
const FISH: &str = r#"function fish_prompt; echo -n 'ready> '; end; piper completions fish | source; function show; printf '<%s>' $argv >said; echo >>said; end"#;

/// What a line says after it was completed once.
fn completed(shell: &str, line: &str) -> Option<String> {
    if !have(&[shell]) {
        return None;
    }
    let env = TestEnv::new(PROJECT);
    let bin = env.beside("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_piper"), bin.join("piper")).unwrap();
    env.piper(&["exec"]).succeeds();
    env.write("bashrc", BASH);
    env.write(".zshrc", ZSH);
    let call = Call::of(&env, shell.as_ref()).args(match shell {
        "bash" => &["--noprofile", "--rcfile", "bashrc", "-i"][..],
        "zsh" => &["-i"],
        _ => &["--no-config", "-i", "-C", FISH],
    });
    let path = std::env::var("PATH").unwrap();
    let call = call
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("ZDOTDIR", env.root())
        .env("TERM", "xterm");
    let mut terminal = Terminal::start(call);
    terminal.wait_for("ready> ");
    // Completes, puts `show ` in front, and runs that.
    terminal.press(&format!("{line}\t\x01show \x05\r"));
    let said = wait_for(&format!("what {shell} makes of {line}"), || {
        env.read("said").strip_suffix('\n').map(str::to_owned)
    });
    terminal.press("\rexit\r");
    terminal.finish();
    Some(said)
}

#[test_case("piper exec cro", "cross"; "a pipeline")]
#[test_case(r"piper exec cross\[", "cross[target=arm]"; "a cell of a pipeline")]
#[test_case(r"piper plan --step unit\[", "unit[rust=1.80,os=mac%20os]"; "a cell of a step")]
#[test_case("piper show @f", "@failed"; "the newest build that failed")]
#[test_case("piper logs @cr", "@cross"; "the newest build of a pipeline")]
#[test_case("piper logs @build/f", "@build/fmt"; "a step of the newest build of a pipeline")]
#[test_case("piper plan profile=w", "profile=with space"; "a value with a space")]
#[test_case("piper plan profile=a=", "profile=a=b"; "a value with an equals sign")]
#[test_case("piper plan profile=x:", "profile=x:y"; "a value with a colon")]
#[test_case("piper plan 'profile=w", "profile=with space"; "a word in quotes")]
#[test_case("piper plan profile='w", "profile=with space"; "a value in quotes")]
#[test_case("piper plan profile=\"w", "profile=with space"; "a value in double quotes")]
#[test_case(r"piper plan profile=with\ s", "profile=with space"; "an escaped space")]
#[test_case("piper plan profile=i", "profile=it's"; "a value with a quote")]
fn the_last_word_becomes_what_was_meant(line: &str, expected: &str) {
    for shell in ["bash", "zsh", "fish"] {
        let Some(said) = completed(shell, line) else {
            continue;
        };
        assert!(said.ends_with(&format!("<{expected}>")), "{shell}: {said}");
    }
}

#[test]
fn a_value_is_never_run_by_the_shell() {
    if let Some(said) = completed("bash", "piper plan \"profile=$") {
        assert_eq!(said, "<piper><plan><profile=$(id)>");
    }
}
