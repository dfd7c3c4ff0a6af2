use super::*;
use crate::{
    id::{EnvironmentName, PipelineName, StepIx, StepName},
    plan::{Command, Order, Plan, PlannedStep, Target},
    project::{EnvironmentKind, Retry, RetryOn, StopSignal, Survivors, When, WhenStatus},
    time::{Monotonic, Now, Timestamp},
    wire::v1::Outcome,
};
use indexmap::IndexMap;
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use test_case::test_case;

fn step(label: &str) -> PlannedStep {
    PlannedStep {
        label: label.to_owned(),
        step: StepName::parse(label).unwrap(),
        cell: Vec::new(),
        command: Command::Argv(vec!["true".to_owned()]),
        waits_for: Vec::new(),
        waits_for_all_before: None,
        order: Order::Listed,
        env: Vec::new(),
        pass_env: Vec::new(),
        cwd: None,
        timeout: None,
        idle_timeout: None,
        retry: Retry::default(),
        allow_failure: false,
        when: When::default(),
        tty: false,
        stop_signal: StopSignal::Term,
        grace: Duration::from_secs(10),
        cpus: 1,
        survivors: Survivors::Stop,
        secrets: Vec::new(),
        color: true,
    }
}

/// A plain list: each step waits for all before it.
fn list(labels: &[&str]) -> Plan {
    let steps = labels.iter().enumerate().map(|(place, label)| PlannedStep {
        waits_for_all_before: Some(StepIx(place as u32)),
        ..step(label)
    });
    plan(steps.collect())
}

fn plan(steps: Vec<PlannedStep>) -> Plan {
    Plan {
        project: "p".to_owned(),
        target: Target::Pipeline(PipelineName::parse("build").unwrap()),
        cell: Vec::new(),
        environment: (
            EnvironmentName::parse("local").unwrap(),
            EnvironmentKind::Local,
        ),
        version: None,
        params: IndexMap::new(),
        steps,
        timeout: None,
        keep_going: false,
    }
}

/// Runs a build in virtual time: tries take a second each and end as `ends` says, 0 where it says nothing.
struct World {
    build: Build,
    now: Duration,
    running: Vec<(StepIx, u32)>,
    told: Vec<String>,
}

impl World {
    fn new(plan: Plan, jobs: u32) -> Self {
        let build = Build::new(
            Arc::new(plan),
            Setup {
                jobs,
                unmet: Vec::new(),
            },
        );
        let mut world = Self {
            build,
            now: Duration::ZERO,
            running: Vec::new(),
            told: Vec::new(),
        };
        world.send(Event::Begin);
        world
    }

    fn now(&self) -> Now {
        Now {
            wall: Timestamp(self.now.as_micros() as u64),
            mono: Monotonic(self.now),
        }
    }

    fn send(&mut self, event: Event) {
        let now = self.now();
        let actions = apply(&mut self.build, event, now).unwrap();
        if let Some(failed) = self.build.failing {
            let ordinary = |step| self.build.planned(step).when.status == WhenStatus::Success;
            let new =
                |action: &&Action| matches!(action, Action::Start { step, .. } if ordinary(*step));
            let started = actions.iter().find(new);
            assert_eq!(started, None, "after the failure of {failed:?}");
        }
        for action in actions {
            let label = |step: StepIx| self.build.plan().steps[step.index()].label.clone();
            match action {
                Action::Start { step, r#try } => self.running.push((step, r#try)),
                Action::Push { step, how } => self.told.push(format!("{how:?} {}", label(step))),
                Action::Tell(Notice::StepStarted { step, r#try }) => {
                    self.told.push(format!("{} #{try}", label(step)))
                }
                Action::Tell(Notice::StepFinished { step, outcome, .. }) => {
                    let outcome = match outcome {
                        StepOutcome::Skipped(Skip::NeedFailed(by)) => {
                            format!("needs {}", label(by))
                        }
                        StepOutcome::Skipped(Skip::FailFast(by)) => {
                            format!("not started after {}", label(by))
                        }
                        StepOutcome::Skipped(Skip::When(_)) => "skipped".to_owned(),
                        StepOutcome::Failed { allowed, result } => match result {
                            TryResult::Ended(_) => {
                                format!("failed{}", if allowed { ", allowed" } else { "" })
                            }
                            TryResult::Stopped(why) => format!("failed: {why:?}"),
                        },
                        other => format!("{other:?}"),
                    };
                    self.told.push(format!("{} {outcome}", label(step)));
                }
                Action::Tell(Notice::Finished { outcome, .. }) => {
                    self.told.push(format!("= {outcome:?}"))
                }
                Action::Tell(_) => {}
            }
        }
    }

    fn end(&mut self, label: &str, how: Ended) {
        let place = self
            .running
            .iter()
            .position(|(step, _)| self.build.plan().steps[step.index()].label == label)
            .unwrap_or_else(|| panic!("{label} is not running"));
        let (step, r#try) = self.running.remove(place);
        self.send(Event::Ended {
            step,
            r#try,
            how,
            log_end: 0,
            left_running: false,
        });
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.send(Event::Tick);
    }

    fn exit(&mut self, label: &str, status: i32) {
        self.end(label, Ended::Status(status));
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

#[test]
fn a_plain_list_runs_one_after_another() {
    let mut world = World::new(list(&["a", "b"]), 8);
    assert_eq!(world.told(), ["a #1"]);
    world.exit("a", 0);
    assert_eq!(world.told(), ["a Succeeded", "b #1"]);
    world.exit("b", 0);
    assert_eq!(world.told(), ["b Succeeded", "= Succeeded"]);
    assert!(world.build.is_finished());
}

#[test]
fn an_empty_plan_succeeds_at_once() {
    assert_eq!(World::new(list(&[]), 1).told(), ["= Succeeded"]);
}

#[test]
fn after_a_failure_nothing_new_starts_and_what_runs_is_let_finish() {
    let mut world = World::new(plan(vec![step("a"), step("b"), step("c")]), 2);
    world.exit("a", 1);
    assert_eq!(
        world.told(),
        ["a #1", "b #1", "a failed", "c not started after a"]
    );
    world.exit("b", 0);
    assert_eq!(world.told(), ["b Succeeded", "= Failed"]);
}

#[test]
fn keep_going_runs_what_does_not_depend_on_the_failure() {
    let mut steps = vec![step("a"), step("b"), step("c"), step("d")];
    steps[1].waits_for = vec![StepIx(0)];
    steps[2].waits_for = vec![StepIx(1)];
    let mut world = World::new(
        Plan {
            keep_going: true,
            ..plan(steps)
        },
        1,
    );
    world.exit("a", 1);
    assert_eq!(
        world.told(),
        ["a #1", "a failed", "b needs a", "c needs a", "d #1"]
    );
    world.exit("d", 0);
    assert_eq!(world.told(), ["d Succeeded", "= Failed"]);
}

#[test]
fn a_failure_step_runs_for_a_failure_before_skipped_ones_and_does_not_heal_it() {
    let mut fixed = list(&["a", "b", "rescue", "after", "cleanup"]);
    fixed.steps[2].when.status = WhenStatus::Failure;
    fixed.steps[4].when.status = WhenStatus::Always;
    let mut world = World::new(fixed, 1);
    world.exit("a", 1);
    assert_eq!(world.told(), ["a #1", "a failed", "b needs a", "rescue #1"]);
    world.exit("rescue", 0);
    assert_eq!(
        world.told(),
        ["rescue Succeeded", "after needs a", "cleanup #1"]
    );
    world.exit("cleanup", 0);
    assert_eq!(world.told(), ["cleanup Succeeded", "= Failed"]);
}

#[test]
fn a_failure_step_is_skipped_where_nothing_failed_and_what_follows_runs() {
    let mut fixed = list(&["a", "rescue", "b"]);
    fixed.steps[1].when.status = WhenStatus::Failure;
    let mut world = World::new(fixed, 1);
    world.exit("a", 0);
    assert_eq!(
        world.told(),
        ["a #1", "a Succeeded", "rescue skipped", "b #1"]
    );
}

#[test]
fn an_allowed_failure_counts_as_success() {
    let mut fixed = list(&["a", "b"]);
    fixed.steps[0].allow_failure = true;
    let mut world = World::new(fixed, 1);
    world.exit("a", 1);
    world.exit("b", 0);
    assert_eq!(
        world.told(),
        [
            "a #1",
            "a failed, allowed",
            "b #1",
            "b Succeeded",
            "= Succeeded"
        ]
    );
}

#[test]
fn a_condition_that_does_not_hold_skips_the_step_and_not_what_follows() {
    let plan = Arc::new(list(&["a", "b"]));
    let setup = Setup {
        jobs: 1,
        unmet: vec![(StepIx(0), "not on this branch".to_owned())],
    };
    let mut build = Build::new(plan, setup);
    let actions = apply(&mut build, Event::Begin, Now::default()).unwrap();
    assert!(
        actions.contains(&Action::Start {
            step: StepIx(1),
            r#try: 1
        }),
        "{actions:?}"
    );
}

#[test_case(&[], Ended::Status(1), true; "anything")]
#[test_case(&[RetryOn::Exit], Ended::Status(1), true; "any status")]
#[test_case(&[RetryOn::Status(2)], Ended::Status(1), false; "another status")]
#[test_case(&[RetryOn::Status(101)], Ended::Status(101), true; "this status")]
#[test_case(&[RetryOn::Signal], Ended::Signal(9), true; "a signal")]
#[test_case(&[RetryOn::Signal], Ended::Status(137), true; "a status that tells of a signal")]
#[test_case(&[RetryOn::Signal], Ended::Status(128), false; "128 tells of no signal")]
#[test_case(&[RetryOn::Signal], Ended::Status(193), false; "193 tells of no signal")]
#[test_case(&[RetryOn::Exit], Ended::Signal(9), false; "a signal is no status")]
#[test_case(&[], Ended::NotStarted { why: String::new(), fault: Fault::User }, false; "no such program")]
#[test_case(&[], Ended::NotStarted { why: String::new(), fault: Fault::Machine }, true; "no memory")]
fn what_is_worth_another_try(on: &[RetryOn], how: Ended, again: bool) {
    let mut fixed = list(&["a"]);
    fixed.steps[0].retry = Retry {
        max: 1,
        on: on.to_vec(),
        delay: Duration::ZERO,
    };
    let mut world = World::new(fixed, 1);
    world.end("a", how);
    assert_eq!(world.running.len() == 1, again);
}

#[test]
fn a_step_is_tried_again_after_its_delay_and_passes_as_flaky() {
    let mut fixed = list(&["a"]);
    fixed.steps[0].retry = Retry {
        max: 2,
        on: Vec::new(),
        delay: Duration::from_secs(2),
    };
    let mut world = World::new(fixed, 1);
    world.exit("a", 1);
    assert_eq!(
        world.build.next_deadline(),
        Some(Monotonic(Duration::from_secs(2)))
    );
    world.pass(1);
    assert_eq!(world.told(), ["a #1"]);
    world.pass(1);
    assert_eq!(world.told(), ["a #2"]);
    world.exit("a", 0);
    assert_eq!(world.told(), ["a Succeeded", "= Succeeded"]);
    assert_eq!(world.build.counts.flaky, 1);
}

#[test]
fn a_step_that_waits_for_a_core_for_its_next_try_is_not_started_after_a_failure() {
    let mut steps = vec![step("b"), step("c")];
    steps[0].retry = Retry {
        max: 2,
        on: Vec::new(),
        delay: Duration::from_secs(1),
    };
    let mut world = World::new(plan(steps), 1);
    world.exit("b", 1);
    world.pass(1);
    assert_eq!(world.told(), ["b #1", "c #1"]);
    world.exit("c", 1);
    assert_eq!(world.told(), ["c failed", "b failed", "= Failed"]);
}

#[test]
fn a_step_that_waits_for_a_core_for_its_next_try_ends_by_its_last_one_when_cancelled() {
    let mut steps = vec![step("b"), step("c")];
    steps[0].retry = Retry {
        max: 2,
        on: Vec::new(),
        delay: Duration::from_secs(1),
    };
    let mut world = World::new(plan(steps), 1);
    world.exit("b", 1);
    world.pass(1);
    world.send(Event::Cancel(CancelReason::Signal(2)));
    assert_eq!(world.told(), ["b #1", "c #1", "Ask c", "b failed"]);
}

#[test]
fn retries_are_used_up() {
    let mut fixed = list(&["a"]);
    fixed.steps[0].retry.max = 1;
    let mut world = World::new(fixed, 1);
    world.exit("a", 1);
    world.exit("a", 1);
    assert_eq!(world.told(), ["a #1", "a #2", "a failed", "= Failed"]);
}

#[test]
fn a_timeout_asks_then_kills_and_fails_the_step_whatever_it_exits_with() {
    let mut fixed = list(&["a"]);
    fixed.steps[0].timeout = Some(Duration::from_secs(5));
    let mut world = World::new(fixed, 1);
    world.pass(4);
    assert_eq!(world.told(), ["a #1"]);
    world.pass(1);
    assert_eq!(world.told(), ["Ask a"]);
    world.pass(9);
    assert_eq!(world.told(), [""; 0]);
    world.pass(1);
    assert_eq!(world.told(), ["Kill a"]);
    assert_eq!(world.build.next_deadline(), None);
    world.exit("a", 0);
    assert_eq!(world.told(), ["a failed: Timeout", "= Failed"]);
}

#[test]
fn a_silent_step_is_ended_and_one_that_speaks_is_not() {
    let mut fixed = list(&["a"]);
    fixed.steps[0].idle_timeout = Some(Duration::from_secs(5));
    let mut world = World::new(fixed, 1);
    assert_eq!(world.build.listened_to().collect::<Vec<_>>(), [StepIx(0)]);
    world.now = Duration::from_secs(5);
    world.send(Event::Heard {
        step: StepIx(0),
        at: Monotonic(Duration::from_secs(3)),
    });
    world.send(Event::Tick);
    assert_eq!(world.told(), ["a #1"]);
    world.pass(3);
    assert_eq!(world.told(), ["Ask a"]);
}

#[test]
fn a_cancel_asks_what_runs_runs_always_steps_and_a_second_one_kills() {
    let mut fixed = list(&["a", "b", "cleanup"]);
    fixed.steps[2].when.status = WhenStatus::Always;
    let mut world = World::new(fixed, 1);
    world.send(Event::Cancel(CancelReason::Signal(2)));
    assert_eq!(world.told(), ["a #1", "Ask a"]);
    world.end("a", Ended::Signal(15));
    assert_eq!(world.told(), ["a Cancelled", "b Cancelled", "cleanup #1"]);
    assert_eq!(world.build.next_deadline(), Some(Monotonic(ALWAYS_LIMIT)));
    world.send(Event::Cancel(CancelReason::Signal(2)));
    assert_eq!(world.told(), ["Kill cleanup"]);
    world.end("cleanup", Ended::Signal(9));
    assert_eq!(world.told(), ["cleanup Cancelled", "= Cancelled"]);
}

#[test]
fn a_build_that_took_too_long_names_the_setting() {
    let mut world = World::new(
        Plan {
            timeout: Some(Duration::from_secs(5)),
            ..list(&["a"])
        },
        1,
    );
    world.pass(5);
    world.end("a", Ended::Signal(15));
    let (_, why) = world.build.verdict(Some(CancelReason::Timeout));
    assert_eq!(
        why.as_deref(),
        Some("took longer than 5.0s, the `timeout` of pipeline `build`")
    );
}

#[test]
fn a_build_that_takes_too_long_fails() {
    let mut world = World::new(
        Plan {
            timeout: Some(Duration::from_secs(5)),
            ..list(&["a", "b"])
        },
        1,
    );
    world.pass(5);
    world.end("a", Ended::Signal(15));
    assert_eq!(
        world.told(),
        ["a #1", "Ask a", "a Cancelled", "b Cancelled", "= Failed"]
    );
}

#[test]
fn the_first_signal_after_the_build_s_timeout_asks_and_the_second_one_kills() {
    let mut world = World::new(
        Plan {
            timeout: Some(Duration::from_secs(5)),
            ..list(&["a"])
        },
        1,
    );
    world.pass(5);
    assert_eq!(world.told(), ["a #1", "Ask a"]);
    world.send(Event::Cancel(CancelReason::Signal(2)));
    assert_eq!(world.told(), [""; 0]);
    world.send(Event::Cancel(CancelReason::Signal(2)));
    assert_eq!(world.told(), ["Kill a"]);
    world.end("a", Ended::Signal(9));
    assert_eq!(world.told(), ["a Cancelled", "= Cancelled"]);
}

#[test]
fn a_cancel_that_makes_a_queued_step_s_last_try_its_end_ends_each_other_one_once() {
    let mut steps = vec![step("a"), step("b"), step("c")];
    steps[0].retry.max = 1;
    steps[0].retry.delay = Duration::from_secs(1);
    let mut world = World::new(plan(steps), 1);
    world.exit("a", 1);
    world.pass(2);
    assert_eq!(world.told(), ["a #1", "b #1"]);
    world.send(Event::Cancel(CancelReason::Signal(2)));
    world.exit("b", 1);
    assert_eq!(
        world.told(),
        [
            "Ask b",
            "a failed",
            "c not started after a",
            "b Cancelled",
            "= Cancelled"
        ]
    );
}

#[test]
fn a_machine_without_memory_is_no_failure_of_the_user() {
    let mut world = World::new(list(&["a"]), 1);
    world.end(
        "a",
        Ended::NotStarted {
            why: "no memory".to_owned(),
            fault: Fault::Machine,
        },
    );
    assert_eq!(
        world.told(),
        [
            "a #1",
            r#"a Errored { why: "no memory", ran: false }"#,
            "= Errored"
        ]
    );
}

#[test_case(Ended::Failed { why: "red".into() }, "= Failed"; "a verdict")]
#[test_case(Ended::Errored { why: "trap".into(), passing: false }, "= Errored"; "a trap")]
#[test_case(Ended::Skipped { why: "no files".into() }, "= Succeeded"; "nothing to do")]
fn what_a_plugin_says_is_how_its_step_ended(how: Ended, outcome: &str) {
    let mut world = World::new(list(&["a"]), 1);
    world.end("a", how);
    assert_eq!(world.told().last().map(String::as_str), Some(outcome));
}

#[test]
fn a_plugin_that_breaks_may_fail_as_a_command_may() {
    let mut plan = list(&["a", "b"]);
    plan.steps[0].allow_failure = true;
    let mut world = World::new(plan, 1);
    let why = "trap".to_owned();
    world.end(
        "a",
        Ended::Errored {
            why,
            passing: false,
        },
    );
    world.end("b", Ended::Status(0));
    assert_eq!(world.told().last().map(String::as_str), Some("= Succeeded"));
}

#[test_case(&[], Ended::Failed { why: "red".into() }, 2; "a verdict")]
#[test_case(&[RetryOn::Exit], Ended::Failed { why: "red".into() }, 2; "a verdict is an exit")]
#[test_case(&[RetryOn::Signal], Ended::Failed { why: "red".into() }, 1; "a verdict is no signal")]
#[test_case(&[], Ended::Errored { why: "503".into(), passing: true }, 2; "trouble that passes")]
#[test_case(&[], Ended::Errored { why: "trap".into(), passing: false }, 1; "trouble that does not")]
#[test_case(&[RetryOn::Exit], Ended::Errored { why: "503".into(), passing: true }, 1; "trouble is no exit")]
#[test_case(&[], Ended::Skipped { why: "no files".into() }, 1; "nothing to do")]
fn a_plugin_is_tried_again_as_its_retry_says(on: &[RetryOn], how: Ended, tries: usize) {
    let mut plan = list(&["a"]);
    plan.steps[0].retry.max = 1;
    plan.steps[0].retry.on = on.to_vec();
    let mut world = World::new(plan, 1);
    world.end("a", how);
    let starts = world.told();
    let starts = starts.iter().filter(|told| told.starts_with("a #"));
    assert_eq!(starts.count(), tries);
}

#[test]
fn time_that_passes_while_stopped_does_not_count() {
    let mut fixed = list(&["a"]);
    fixed.steps[0].timeout = Some(Duration::from_secs(5));
    let mut world = World::new(fixed, 1);
    world.send(Event::Pause);
    world.now = Duration::from_secs(100);
    world.send(Event::Resume(Duration::from_secs(100)));
    world.send(Event::Tick);
    assert_eq!(world.told(), ["a #1"]);
    world.pass(5);
    assert_eq!(world.told(), ["Ask a"]);
}

#[test]
fn durations_leave_out_the_time_that_passed_while_stopped() {
    let mut fixed = list(&["a"]);
    fixed.steps[0].retry.max = 1;
    let mut world = World::new(fixed, 1);
    let stop = |world: &mut World| {
        world.pass(1);
        world.send(Event::Pause);
        world.now += Duration::from_secs(100);
        world.send(Event::Resume(Duration::from_secs(100)));
        world.pass(1);
    };
    stop(&mut world);
    world.exit("a", 1);
    stop(&mut world);
    let now = world.now();
    let last = Event::Ended {
        step: StepIx(0),
        r#try: 2,
        how: Ended::Status(0),
        log_end: 0,
        left_running: false,
    };
    let mut durations = Vec::new();
    for action in apply(&mut world.build, last, now).unwrap() {
        match action {
            Action::Tell(
                Notice::TryFinished { duration, .. }
                | Notice::StepFinished { duration, .. }
                | Notice::Finished { duration, .. },
            ) => durations.push(duration.as_secs()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(durations, [2, 4, 4], "of the try, the step and the build");
}

#[test]
fn a_step_with_the_keyboard_runs_alone() {
    let mut steps = vec![step("a"), step("shell"), step("b")];
    steps[1].tty = true;
    let mut world = World::new(plan(steps), 4);
    assert_eq!(world.told(), ["a #1"]);
    world.exit("a", 0);
    assert_eq!(world.told(), ["a Succeeded", "shell #1"]);
    world.exit("shell", 0);
    assert_eq!(world.told(), ["shell Succeeded", "b #1"]);
}

#[test]
fn a_large_step_waits_for_its_cores_and_is_not_starved() {
    let mut steps = vec![step("a"), step("large"), step("b")];
    steps[1].cpus = 99;
    let mut world = World::new(plan(steps), 2);
    assert_eq!(world.told(), ["a #1"]);
    world.exit("a", 0);
    assert_eq!(world.told(), ["a Succeeded", "large #1"]);
    world.exit("large", 0);
    assert_eq!(world.told(), ["large Succeeded", "b #1"]);
}

#[test]
fn an_event_of_an_earlier_try_is_refused() {
    let mut world = World::new(list(&["a"]), 1);
    let event = Event::Ended {
        step: StepIx(0),
        r#try: 2,
        how: Ended::Status(0),
        log_end: 0,
        left_running: false,
    };
    let now = world.now();
    assert!(apply(&mut world.build, event, now).is_err());
    assert!(apply(&mut world.build, Event::Begin, now).is_err());
}

#[test]
fn a_hundred_thousand_skipped_steps_are_passed_over_in_linear_time_and_without_recursion() {
    let labels: Vec<String> = (0..100_000).map(|n| format!("s{n}")).collect();
    let mut world = World::new(
        list(&labels.iter().map(String::as_str).collect::<Vec<_>>()),
        1,
    );
    world.exit("s0", 1);
    assert_eq!(world.build.counts.skipped, 99_999);
}

fn any_step(place: usize) -> impl Strategy<Value = PlannedStep> {
    let needs = prop::collection::btree_set(0..place.max(1) as u32, 0..3);
    let when = prop_oneof![
        Just(WhenStatus::Success),
        Just(WhenStatus::Failure),
        Just(WhenStatus::Always)
    ];
    let limits = (
        prop::option::of(1..20_u64),
        prop::option::of(1..20_u64),
        0..3_u32,
        0..5_u64,
    );
    (
        needs,
        prop::option::of(0..=place as u32),
        when,
        limits,
        any::<bool>(),
        prop::bool::weighted(0.1),
        0..4_u32,
    )
        .prop_map(
            move |(
                needs,
                before,
                status,
                (timeout, idle, max, delay),
                allow_failure,
                tty,
                cpus,
            )| PlannedStep {
                waits_for: needs
                    .into_iter()
                    .filter(|n| (*n as usize) < place)
                    .map(StepIx)
                    .collect(),
                waits_for_all_before: before.map(StepIx),
                when: When {
                    status,
                    ..When::default()
                },
                timeout: timeout.map(Duration::from_secs),
                idle_timeout: idle.map(Duration::from_secs),
                retry: Retry {
                    max,
                    on: Vec::new(),
                    delay: Duration::from_secs(delay),
                },
                allow_failure,
                tty,
                cpus,
                ..step(&format!("s{place}"))
            },
        )
}

fn any_plan() -> impl Strategy<Value = Plan> {
    (0..12_usize, any::<bool>(), prop::option::of(1..60_u64)).prop_flat_map(
        |(size, keep_going, timeout)| {
            (0..size)
                .map(any_step)
                .collect::<Vec<_>>()
                .prop_map(move |steps| Plan {
                    keep_going,
                    timeout: timeout.map(Duration::from_secs),
                    ..plan(steps)
                })
        },
    )
}

/// What the world does next: end a running try, let time pass, or cancel.
#[derive(Debug, Clone)]
enum Move {
    End(usize, i32),
    Pass(u64),
    Cancel,
    Resume(u64),
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => (any::<usize>(), prop_oneof![3 => Just(0), 1 => 1..3]).prop_map(|(i, s)| Move::End(i, s)),
        4 => (0..15_u64).prop_map(Move::Pass),
        1 => Just(Move::Cancel),
        1 => (0..100_u64).prop_map(Move::Resume),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_build_ends_once_and_every_step_has_one_end(
        plan in any_plan(),
        jobs in 1..5_u32,
        moves in prop::collection::vec(any_move(), 0..60),
    ) {
        let mut world = World::new(plan, jobs);
        let mut started = BTreeSet::new();
        let mut check = |world: &World| {
            let cores: u32 = world.running.iter().map(|(step, _)| world.build.cpus(*step)).sum();
            prop_assert!(cores <= jobs, "{cores} cores are used of {jobs}");
            prop_assert_eq!(world.build.free, jobs - cores);
            for &(step, r#try) in &world.running {
                if started.insert((step, r#try)) {
                    let planned = world.build.planned(step);
                    let before = planned.waits_for_all_before.unwrap_or(StepIx(0)).0;
                    for other in planned.waits_for.iter().copied().chain((0..before).map(StepIx)) {
                        let done = matches!(world.build.state(other), StepState::Done(_));
                        prop_assert!(done, "{step:?} began before {other:?} was done");
                    }
                }
            }
            Ok(())
        };
        check(&world)?;
        let rest = std::iter::repeat_with(|| Move::End(0, 0)).take(200);
        for next in moves.into_iter().chain(rest) {
            if world.build.is_finished() {
                break;
            }
            match next {
                Move::End(which, status) if !world.running.is_empty() => {
                    let (step, r#try) = world.running.remove(which % world.running.len());
                    world.send(Event::Ended { step, r#try, how: Ended::Status(status), log_end: 0, left_running: false });
                }
                // Nothing runs, so a delay must be what it waits for.
                Move::End(..) => {
                    let next = world.build.next_deadline();
                    prop_assert!(next.is_some(), "nothing runs and nothing will happen: {:?}", world.build);
                    world.now = next.unwrap_or_default().0.max(world.now);
                    world.send(Event::Tick);
                }
                Move::Pass(seconds) => world.pass(seconds),
                Move::Cancel => world.send(Event::Cancel(CancelReason::Signal(2))),
                Move::Resume(seconds) => {
                    world.now += Duration::from_secs(seconds);
                    world.send(Event::Resume(Duration::from_secs(seconds)));
                }
            }
            check(&world)?;
        }
        prop_assert!(world.build.is_finished());
        prop_assert!(world.running.is_empty());
        let told = world.told();
        let ends = told.iter().filter(|line| line.starts_with("= ")).count();
        prop_assert_eq!(ends, 1);
        prop_assert!(told.last().is_some_and(|line| line.starts_with("= ")), "something was told after the end: {:?}", told);
        let counts = world.build.counts;
        let all = counts.succeeded + counts.failed + counts.allowed + counts.errored + counts.skipped + counts.cancelled;
        prop_assert_eq!(all as usize, world.build.plan().steps.len());
        prop_assert_eq!(world.build.counts.failed == 0 || world.build.verdict(None).0 != Outcome::Succeeded, true);
    }
}
