//! Plugins that attack: for each attack that the project promises to stand, real guests that try it.
//!
//! The functions here are tests of their own; [`ATTACKS`] says which of them stand for which attack. All of them together are run
//! once more in a process of its own, one after another in one host, which must then be as small as before.

mod files;
mod hoards;
mod network;
mod sandbox;
mod sinks;
mod texts;

use super::guests::{NO_POOL, call, crash, invocation, plugin};
use crate::{Crash, Invocation};
use std::{env, fs, process::Command};
use test_case::test_case;

/// Tests.
type Tries = &'static [fn()];

/// Each attack, and what tries it.
const ATTACKS: &[(&str, Tries)] = &[
    ("loop", &[sandbox::a_loop_ends]),
    ("loop in realloc", &[sandbox::a_loop_in_realloc_ends]),
    ("recursion", &[sandbox::recursion_ends_on_either_stack]),
    (
        "memory bomb in one memory",
        &[sandbox::a_bomb_in_one_memory_ends],
    ),
    (
        "memory bomb in many memories",
        &[sandbox::a_bomb_in_many_memories_ends],
    ),
    ("table bomb", &[sandbox::a_bomb_in_tables_ends]),
    ("bomb of instances", &[sandbox::a_bomb_of_instances_ends]),
    ("handle bomb", &[sandbox::a_bomb_of_handles_ends]),
    (
        "requests and commands that are never sent",
        &[
            hoards::requests_that_are_never_sent_cost_no_more_than_their_share,
            hoards::commands_that_are_never_started_cost_no_more_than_their_share,
        ],
    ),
    (
        "more requests than are counted in one way",
        &[hoards::both_ways_to_send_a_request_have_one_count],
    ),
    (
        "answers that are never taken",
        &[
            hoards::an_answer_that_is_not_taken_keeps_its_place,
            hoards::answers_that_are_not_taken_cost_no_more_than_their_share,
        ],
    ),
    (
        "huge strings",
        &[sandbox::a_huge_string_does_not_cross_the_wall],
    ),
    ("lying lengths", &[sandbox::a_length_that_lies_is_a_trap]),
    ("bad UTF-8", &[sandbox::bytes_that_are_no_text_are_a_trap]),
    (
        "endless body",
        &[
            network::an_answer_without_end_is_cut_off,
            network::a_request_without_end_is_cut_off,
        ],
    ),
    (
        "slow server both ways",
        &[
            network::a_server_that_answers_slowly_costs_no_more_than_patience,
            network::a_server_that_reads_slowly_costs_no_more_than_patience,
        ],
    ),
    (
        "redirects into private networks",
        &[network::a_redirect_leads_nowhere],
    ),
    (
        "DNS answers into private networks",
        &[
            network::a_name_leads_nowhere_inside,
            network::a_name_that_moves_inside_leads_nowhere,
        ],
    ),
    (
        "every spelling of 127.0.0.1",
        &[network::no_spelling_of_this_machine_reaches_it],
    ),
    ("header forging", &[network::no_header_is_forged]),
    (
        "symlink and rename races out of the workspace",
        &[files::no_race_leads_out_of_the_workspace],
    ),
    (
        "escape sequences",
        &[texts::nothing_that_is_said_moves_a_cursor],
    ),
    ("log floods", &[texts::a_flood_in_a_log_is_bounded]),
    (
        "secrets echoed",
        &[
            texts::a_secret_is_hidden_wherever_it_is_said,
            sinks::a_secret_is_hidden_in_a_receipt,
            network::a_secret_is_sent_nowhere_else,
        ],
    ),
    (
        "trap on call 1, 2 and 1,000",
        &[
            sinks::a_sink_may_trap_whenever_it_likes,
            sinks::a_supervised_sink_that_traps_loses_nothing,
        ],
    ),
    (
        "going backwards in receipts",
        &[
            sinks::a_receipt_about_something_else_is_not_believed,
            sinks::a_receipt_that_says_things_twice_counts_them_once,
        ],
    ),
];

/// All attacks in this process; the test below starts it.
#[test]
#[ignore = "takes a process of its own"]
fn all_attacks_one_after_another() {
    sandbox::what_is_written_by_hand_works_without_an_attack();
    // Before: the guest is compiled, which needs more than any attack may.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let before = peak();
    for (attack, tests) in ATTACKS {
        for test in *tests {
            test();
        }
        let cost = peak() - before;
        assert!(cost < MOST, "{attack}: {cost} KiB");
    }
}

/// What all plugins of these tests may use at a time, in KiB: a memory of 128 MiB, and what they hand to the host three times over.
const MOST: u64 = (128 + 3 * 17) * 1024;

#[test_case(true; "with a pool")]
#[test_case(false; "without a pool")]
fn the_host_outlives_all_attacks_and_stays_small(has_pool: bool) {
    #[expect(
        clippy::disallowed_methods,
        reason = "no step of a build; the test waits for it"
    )]
    let mut attacked = Command::new(env::current_exe().expect("a test has a file"));
    attacked.args(["--ignored", "--exact"]);
    attacked.arg("tests::hostile::all_attacks_one_after_another");
    if !has_pool {
        attacked.env(NO_POOL, "1");
    }
    let ended = attacked.output().expect("a test can be run");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// The most memory that this process had at a time, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.trim().strip_suffix(" kB"));
    peak.and_then(|kib| kib.parse().ok())
        .expect("a number of KiB")
}

/// The same of the guest that is every kind.
async fn odd_crash(invocation: &Invocation, name: &str) -> Crash {
    let crash = crash(&plugin(), invocation, name).await;
    next_is_unaffected().await;
    crash
}

/// Another plugin of the same host does what it did before.
async fn next_is_unaffected() {
    let verdict = plugin().run(&invocation(), call("echo")).await;
    assert_eq!(verdict.expect("the next plugin works").message, "{} {} {}");
}
