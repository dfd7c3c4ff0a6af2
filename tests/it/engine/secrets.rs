//! Secrets: where they come from, who gets them, and that nobody sees them.

use crate::support::{Finished, TestEnv};
use std::{fs, os::unix::fs::PermissionsExt as _};
use test_case::test_case;

const SECRET: &str = "correct-horse-battery";

fn env(script: &str) -> TestEnv {
    TestEnv::new(&format!(
        "[steps]\ns = {{ run = '''{script}''', secrets = ['TOKEN'] }}\nother = 'echo ${{TOKEN-unset}}'\n"
    ))
}

fn with_secret(env: &TestEnv, args: &[&str]) -> Finished {
    env.call(args).env("TOKEN", SECRET).finish()
}

#[test]
fn a_missing_secret_is_said_before_anything_runs() {
    let env = env("touch ran");
    env.piper(&["exec", "s"])
        .exits(2)
        .complains("TOKEN")
        .complains("--secrets");
    assert!(!env.path("ran").exists());
}

#[test]
fn only_steps_that_list_a_secret_get_it() {
    let env = env("[ ${#TOKEN} = 21 ] && echo has it");
    with_secret(&env, &["exec", "s"])
        .succeeds()
        .says("has it\n");
    with_secret(&env, &["exec", "other"])
        .succeeds()
        .says("unset\n");
}

#[test]
fn a_file_of_secrets_must_be_its_owners_alone() {
    let env = env("[ $TOKEN = from-a-file ] && echo has it");
    env.write("secrets", "# mine\nTOKEN=from-a-file\n");
    let mode =
        |mode| fs::set_permissions(env.path("secrets"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    env.piper(&["exec", "s", "--secrets", "secrets"])
        .succeeds()
        .says("has it\n");
    mode(0o644);
    let refused = env.piper(&["exec", "s", "--secrets", "secrets"]).exits(2);
    refused.complains("chmod 600").never_says("from-a-file");
}

#[test_case("echo <$TOKEN>"; "on stdout")]
#[test_case("echo <$TOKEN> >&2"; "on stderr")]
#[test_case("printf <correct-horse; sleep 0.1; echo -battery>"; "split over two writes")]
#[test_case("printf <%s> $TOKEN | base64"; "in base64")]
#[test_case("printf <$TOKEN"; "without a line end")]
fn a_secret_is_masked_wherever_it_is_printed(script: &str) {
    let script = script
        .replace('<', "\"<\"")
        .replace('>', "\">\"")
        .replace("\">\"&2", ">&2");
    let env = env(&script);
    for output in ["text", "json"] {
        let done = with_secret(&env, &["exec", "s", "--output", output]).succeeds();
        done.never_says(SECRET)
            .never_says("PGNvcnJlY3QtaG9yc2UtYmF0dGVyeT4");
    }
    env.piper(&["logs", "@"]).succeeds().never_says(SECRET);
    env.piper(&["logs", "@", "--raw"])
        .succeeds()
        .never_says(SECRET);
    for record in env.records() {
        let bytes = fs::read(record).unwrap();
        assert!(
            !bytes
                .windows(SECRET.len())
                .any(|part| part == SECRET.as_bytes())
        );
    }
}

#[test]
fn a_masked_line_says_that_something_was_hidden_and_keeps_the_rest() {
    let env = env("echo \"before $TOKEN after\"");
    let done = with_secret(&env, &["exec", "s"]).succeeds();
    let line = done.out();
    assert!(
        line.starts_with("before ") && line.ends_with(" after\n") && line.len() > 14,
        "{line:?}"
    );
}
