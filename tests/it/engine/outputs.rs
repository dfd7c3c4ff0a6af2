//! What steps hand on to later ones.

use crate::support::TestEnv;
use test_case::test_case;

#[test]
fn a_file_in_outputs_is_read_by_later_steps() {
    let env = TestEnv::sequence(&[
        (
            "make",
            "printf 'a\\nb' > \"$PIPER_OUTPUTS/text\"; echo 1 > $PIPER_OUTPUTS/n",
        ),
        (
            "use",
            "cat \"$PIPER_NEEDS/make/text\" $PIPER_NEEDS/make/n; ls $PIPER_OUTPUTS",
        ),
    ]);
    env.piper(&["exec"]).succeeds().says("a\nb1\n");
}

#[test]
fn only_the_last_try_hands_something_on() {
    let env = TestEnv::new(
        "[steps]\nmake = { run = 'if [ ! -e again ]; then : > again; : > $PIPER_OUTPUTS/first; exit 1; fi; : > $PIPER_OUTPUTS/second', retry = 1 }\n\
         use = 'ls $PIPER_NEEDS/make'\n[pipelines]\nbuild = { steps = ['make', 'use'] }\n",
    );
    env.piper(&["exec"]).succeeds().says("second\n");
}

#[test]
fn outputs_of_cells_do_not_mix() {
    let env = TestEnv::new(
        "[steps]\nmake = { run = 'echo $PIPER_MATRIX_N > $PIPER_OUTPUTS/n', matrix = { n = [1, 2] } }\n\
         use = 'cat $PIPER_NEEDS/make*/n > all'\n[pipelines]\nbuild = { steps = ['make', 'use'] }\n",
    );
    env.piper(&["exec"]).succeeds();
    assert_eq!(env.words("all"), ["1", "2"]);
}

#[test_case("i=0; while [ $i -lt 65 ]; do : > $PIPER_OUTPUTS/f$i; i=$((i+1)); done", "s left more than 64 outputs"; "too many")]
#[test_case("head -c 4097 /dev/zero > $PIPER_OUTPUTS/large", "s left an output \"large\" of 4097 bytes"; "too large")]
#[test_case("mkdir $PIPER_OUTPUTS/folder", "s left an output \"folder\" that is not a plain file"; "a folder")]
#[test_case("ln -s /etc/passwd $PIPER_OUTPUTS/link", "s left an output \"link\" that is not a plain file"; "a link")]
#[test_case(": > \"$PIPER_OUTPUTS/a b\"", "s left an output \"a b\", which is no name"; "no name")]
#[test_case("rmdir $PIPER_OUTPUTS; : > $PIPER_OUTPUTS", "s put something else in the place"; "no folder")]
fn outputs_that_cannot_be_used_fail_their_step(script: &str, said: &str) {
    let env = TestEnv::sequence(&[("s", script), ("after", "echo after")]);
    env.piper(&["exec"]).exits(1).says("").complains(said);
}

#[test]
fn just_as_many_and_just_as_large_as_allowed_is_fine() {
    let env = TestEnv::sequence(&[
        (
            "s",
            "i=0; while [ $i -lt 64 ]; do head -c 4096 /dev/zero > $PIPER_OUTPUTS/f$i; i=$((i+1)); done",
        ),
        ("after", "cat $PIPER_NEEDS/s/* | wc -c | tr -d ' '"),
    ]);
    env.piper(&["exec"]).succeeds().says("262144\n");
}

#[test]
fn a_build_leaves_nothing_in_the_temporary_folder_and_artifacts_stay() {
    let env = TestEnv::sequence(&[
        (
            "s",
            "echo x > $PIPER_OUTPUTS/x; cat $PIPER_PARAMS/* 2> /dev/null || :",
        ),
        (
            "keep",
            "echo kept > $PIPER_ARTIFACTS/file; echo $PIPER_ARTIFACTS",
        ),
    ]);
    let done = env.piper(&["exec"]).succeeds();
    assert_eq!(std::fs::read_dir(env.beside("tmp")).unwrap().count(), 0);
    let kept = std::path::Path::new(done.out().trim_end()).join("file");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "kept\n");
}
