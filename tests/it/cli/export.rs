//! `export`: a plain script that does the same without piper.

use crate::support::{Call, Finished, TestEnv};
use test_case::test_case;

fn script(env: &TestEnv, args: &[&str]) -> Finished {
    let script = env.piper(&[&["export"], args].concat()).succeeds();
    env.write("exported.sh", &script.stdout);
    Call::of(env, "/bin/sh".as_ref())
        .args(&["exported.sh"])
        .finish()
}

const SHOP: &str = "[steps]
make = 'printf \"made %s\" \"$PIPER_PARAM_WHAT\" > $PIPER_OUTPUTS/text; echo making'
use = 'cat $PIPER_NEEDS/make/text; echo'
flaky = { run = 'if [ ! -e again ]; then : > again; echo first; exit 7; fi; echo second; rm again', retry = 2 }
off = { run = 'echo off', when = { param = { what = 'that' } } }
allowed = { run = 'echo allowed; exit 1', allow-failure = true }
bad = 'test \"$PIPER_PARAM_WHAT\" != broken'
rescue = { run = 'echo rescue', when = 'failure' }
tidy = { run = 'echo tidy', when = 'always' }
[pipelines.build]
steps = ['make', 'use', 'flaky', 'off', 'allowed', 'bad', 'rescue', 'tidy']
params.what = { default = \"it's $HOME\" }
";

#[test_case(&["build"]; "with defaults")]
#[test_case(&["build", "what=that"]; "with a parameter")]
#[test_case(&["build", "what=broken"]; "with a failure")]
#[test_case(&["build", "what=`touch pwned`"]; "with a value that looks like code")]
fn the_script_says_and_ends_as_the_build_does(args: &[&str]) {
    let env = TestEnv::new(SHOP);
    let by_piper = env.piper(&[&["exec"], args].concat());
    let by_script = script(&env, args);
    assert_eq!(by_script.out(), by_piper.out(), "{}", by_script.err());
    assert_eq!(by_script.code, by_piper.code);
    assert!(!env.path("pwned").exists());
}

#[test]
fn the_script_passes_arguments_on_as_they_are() {
    let env = TestEnv::new(
        "[steps]\ns = 'printf \"<%s>\\n\" \"$@\"'\na = { argv = ['printf', '<%s>\\n'] }\n",
    );
    for step in ["s", "a"] {
        let args = [step, "--", "a b", "$HOME", "'", ""];
        let said = env
            .piper(&[&["exec"], args.as_slice()].concat())
            .succeeds()
            .out();
        script(&env, &args).succeeds().says(&said);
    }
}
