//! Steps that are carried out in this process, through a whole build: a host whose tasks are threads stands in for plugins.
//!
//! A program of its own, because a build ends whatever children its process has: beside other tests it would end theirs.

#![expect(
    clippy::unwrap_used,
    reason = "the lint knows test functions, but not the functions that they share"
)]

use piper_core::{
    build::Fault,
    id::BuildId,
    log::mask::Masker,
    pipeline,
    plan::{Plan, Request, resolve},
    problem::Source,
    time::Now,
    wire::v1::{Event, Exit, Outcome},
};
use piper_engine::{
    clock::Clock,
    environment::Environment,
    logs::{self, LogOptions, PlogReader, Selection},
    runner::{self, Listener, Order},
    signals::Signals,
    task::{Job, NotStarted, Task, TaskEnd, TaskHost, ThreadTask},
};
use std::{
    fs,
    fs::File,
    io::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};
use test_case::test_case;

/// Does what the option `do` says.
#[derive(Debug, Default)]
struct Fake {
    /// How many tasks were asked to end.
    asked: Arc<AtomicU32>,
}

impl TaskHost for Fake {
    fn start(&self, job: Job<'_>) -> Result<Box<dyn Task>, NotStarted> {
        let what = job.call.with["do"].as_str().unwrap_or_default().to_owned();
        if what == "refuse" {
            return Err(NotStarted {
                why: "it was not granted".to_owned(),
                fault: Fault::User,
            });
        }
        let (mut out, mut err) = (File::from(job.stdout), File::from(job.stderr));
        let (outputs, r#try) = (job.outputs, job.r#try);
        let said = format!(
            "{} in {}",
            job.vars["PIPER_STEP".as_ref() as &std::ffi::OsStr].display(),
            job.cwd.display()
        );
        let asked = Arc::new(AtomicBool::new(false));
        let (count, ask) = (Arc::clone(&self.asked), Arc::clone(&asked));
        let ask = move || {
            if !ask.swap(true, Ordering::SeqCst) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let work = move || {
            let wait = |patience: &dyn Fn() -> bool| {
                while !patience() {
                    thread::sleep(Duration::from_millis(2));
                }
            };
            match what.as_str() {
                "pass" => writeln!(out, "{said}").unwrap(),
                "fail" => {
                    writeln!(err, "looking").unwrap();
                    return TaskEnd::Failed("3 tests failed".to_owned());
                }
                "telling failure" => {
                    return TaskEnd::Failed("hunter22hunter22 is wrong".to_owned());
                }
                "silent failure" => return TaskEnd::Failed(String::new()),
                "skip" => return TaskEnd::Skipped("no reports".to_owned()),
                "secret" => writeln!(out, "the secret is hunter22hunter22").unwrap(),
                "flood" => {
                    for line in 0..50_000 {
                        writeln!(out, "line {line}").unwrap();
                    }
                }
                "output" => fs::write(outputs.join("answer"), "42").unwrap(),
                "too large an output" => fs::write(outputs.join("big"), vec![b'x'; 5000]).unwrap(),
                "second try" if r#try < 2 => {
                    return TaskEnd::Errored {
                        why: "503".to_owned(),
                        passing: true,
                    };
                }
                "break" => {
                    return TaskEnd::Errored {
                        why: "trap".to_owned(),
                        passing: false,
                    };
                }
                "panic" => panic!("on purpose"),
                "until asked" => wait(&|| asked.load(Ordering::SeqCst)),
                // Writes on and on, asked or not, until nobody reads any more.
                "never" => while writeln!(out, "still here").is_ok() {},
                "second try" => {}
                other => unreachable!("the fake cannot {other}"),
            }
            TaskEnd::Passed
        };
        match ThreadTask::start("fake", ask, work) {
            Ok(task) => Ok(Box::new(task)),
            Err(error) => Err(NotStarted {
                why: error.to_string(),
                fault: Fault::Machine,
            }),
        }
    }
}

/// What was told of a build.
#[derive(Default)]
struct Told {
    events: Vec<Event>,
    long: bool,
}

impl Listener for Told {
    fn tell(&mut self, _now: Now, event: Event) {
        self.events.push(event);
    }

    fn became_long(&mut self) {
        self.long = true;
    }

    fn about_to_stop(&mut self) {}
}

/// A build that is over.
struct Done {
    outcome: Outcome,
    told: Vec<Event>,
    /// It became a long one.
    long: bool,
    log: Vec<String>,
    asked: u32,
    took: Duration,
}

impl Done {
    fn exits(&self) -> Vec<&Exit> {
        let exits = self.told.iter().filter_map(|event| match event {
            Event::TryFinished { exit, .. } => Some(exit),
            _ => None,
        });
        exits.collect()
    }

    fn ends(&self) -> Vec<String> {
        let ends = self.told.iter().filter_map(|event| match event {
            Event::StepFinished { step, outcome, .. } => Some(format!("{step} {outcome:?}")),
            _ => None,
        });
        ends.collect()
    }
}

fn plan(text: &str) -> Plan {
    let loaded = pipeline::load(Arc::new(Source {
        path: "piper.toml".into(),
        text: text.to_owned(),
    }));
    assert_eq!(loaded.problems, []);
    let project = loaded.project.unwrap();
    resolve(&project, &Request::default(), "p")
        .unwrap()
        .remove(0)
}

/// One at a time: each takes the ends of all children of this process for its own.
static ONE: Mutex<()> = Mutex::new(());

/// Runs the steps, each `name = { … }`, one after another.
fn build_of(steps: &[(&str, &str)]) -> Done {
    let names: Vec<&str> = steps.iter().map(|(name, _)| *name).collect();
    let steps: String = steps
        .iter()
        .map(|(name, step)| format!("{name} = {step}\n"))
        .collect();
    build(&format!(
        "[steps]\n{steps}[pipelines]\nbuild = {{ steps = {names:?} }}\n"
    ))
}

fn build(text: &str) -> Done {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(text);
    let host = Arc::new(Fake::default());
    let asked = Arc::clone(&host.asked);
    let mut environment = Environment::new(std::env::vars_os().collect(), false);
    environment.set_params(&plan);
    let order = Order {
        plan: Arc::new(plan),
        id: BuildId::from_random(1),
        attempt: 1,
        workspace: folder.path().to_owned(),
        copy: None,
        invoked_from: folder.path().to_owned(),
        environment,
        jobs: 1,
        unmet: Vec::new(),
        version: None,
        revision: None,
        secrets: Default::default(),
        artifacts: folder.path().to_owned(),
        cache: folder.path().to_owned(),
        tasks: Some(host),
        trace: format!("{:032x}", 1),
    };
    let clock = Clock::start();
    let (masker, _) = Masker::new(&[("TOKEN", b"hunter22hunter22")]);
    let file = folder.path().join("build.plog");
    let (writer, log) = logs::start(LogOptions {
        file: Some(file.clone()),
        build: order.id,
        attempt: 1,
        masker: Some(masker),
        warn: Arc::new(|warning| panic!("{warning}")),
    });
    let signals = Signals::block().unwrap();
    // What is prepared for a build may take longer than a short one.
    thread::sleep(Duration::from_millis(30));
    let mut told = Told::default();
    let report = runner::run(&order, writer, clock, &signals, &mut told).unwrap();
    log.finish();
    let reader = PlogReader::open(&file).unwrap();
    let batches: Vec<_> = reader
        .select(Selection::default())
        .map(Result::unwrap)
        .collect();
    let records = batches.iter().flat_map(|batch| batch.records());
    Done {
        outcome: report.outcome,
        told: told.events,
        long: told.long,
        log: records
            .map(|record| String::from_utf8_lossy(record.text).into_owned())
            .collect(),
        asked: asked.load(Ordering::SeqCst),
        took: report.duration,
    }
}

#[test]
fn a_build_is_a_short_one_however_long_was_prepared_for_it() {
    let is_short = |_| !build_of(&[("s", "{ uses = 'fake', with = { do = 'pass' } }")]).long;
    assert!((0..20).any(is_short), "however busy the machine is");
}

#[test_case("pass", Exit::Status(0), Outcome::Succeeded; "passes")]
#[test_case("fail", Exit::Failed("3 tests failed".into()), Outcome::Failed; "fails")]
#[test_case("telling failure", Exit::Failed("*** is wrong".into()), Outcome::Failed; "fails and tells a secret")]
#[test_case("silent failure", Exit::Failed("it does not say why".into()), Outcome::Failed; "fails and does not say why")]
#[test_case("skip", Exit::Skipped("no reports".into()), Outcome::Succeeded; "has nothing to do")]
#[test_case("break", Exit::Errored("trap".into()), Outcome::Errored; "breaks")]
#[test_case("panic", Exit::Errored("a bug in piper: it panicked".into()), Outcome::Errored; "panics")]
#[test_case("refuse", Exit::NotStarted("it was not granted".into()), Outcome::Failed; "does not begin")]
#[test_case("too large an output", Exit::Rejected("left an output \"big\" of 5000 bytes, and 4096 are the most".into()), Outcome::Failed; "leaves what cannot be used")]
fn the_end_of_a_task_is_that_of_its_step(what: &str, exit: Exit, outcome: Outcome) {
    let step = format!("{{ uses = 'fake', with = {{ do = {what:?} }} }}");
    let done = build_of(&[("a", &step)]);
    assert_eq!(done.exits(), [&exit]);
    assert_eq!(done.outcome, outcome);
}

#[test]
fn a_task_prints_into_the_log_and_runs_where_its_step_says() {
    let done = build_of(&[("a", "{ uses = 'fake', with = { do = 'pass' } }")]);
    assert_eq!(done.log.len(), 1);
    assert!(done.log[0].starts_with("a in /"), "{:?}", done.log);
    let done = build_of(&[(
        "a",
        "{ uses = 'fake', with = { do = 'pass' }, cwd = 'none' }",
    )]);
    let [Exit::NotStarted(why)] = done.exits()[..] else {
        panic!("{:?}", done.exits())
    };
    assert!(why.starts_with("there is no folder /"), "{why}");
}

#[test]
fn a_flood_is_recorded_to_its_last_line_before_the_end_is_told() {
    let done = build_of(&[("a", "{ uses = 'fake', with = { do = 'flood' } }")]);
    assert_eq!(done.log.len(), 50_000);
    assert_eq!(done.log[49_999].trim_end(), "line 49999");
    let told = done.told.iter().find_map(|event| match event {
        Event::TryFinished {
            log_end,
            left_running,
            ..
        } => Some((*log_end, *left_running)),
        _ => None,
    });
    assert_eq!(told, Some((50_000, false)));
}

#[test]
fn a_secret_in_what_a_task_prints_is_hidden() {
    let done = build_of(&[("a", "{ uses = 'fake', with = { do = 'secret' } }")]);
    assert!(!done.log[0].contains("hunter22"), "{:?}", done.log);
}

#[test]
fn an_output_of_a_task_reaches_the_steps_after_it() {
    let done = build_of(&[
        ("a", "{ uses = 'fake', with = { do = 'output' } }"),
        ("b", "'cat $PIPER_NEEDS/a/answer'"),
    ]);
    assert_eq!(done.log, ["42"]);
    assert_eq!(done.outcome, Outcome::Succeeded);
}

#[test]
fn a_task_is_tried_again_as_its_retry_says() {
    let done = build_of(&[(
        "a",
        "{ uses = 'fake', with = { do = 'second try' }, retry = 2 }",
    )]);
    assert_eq!(
        done.exits(),
        [&Exit::Errored("503".into()), &Exit::Status(0)]
    );
    let done = build_of(&[("a", "{ uses = 'fake', with = { do = 'break' }, retry = 2 }")]);
    assert_eq!(done.exits().len(), 1, "another try would break as well");
}

#[test]
fn a_task_that_takes_too_long_is_asked_to_end() {
    let step = "{ uses = 'fake', with = { do = 'until asked' }, timeout = '50ms' }";
    let done = build_of(&[("a", step)]);
    assert_eq!(done.exits(), [&Exit::Timeout]);
    assert_eq!(done.asked, 1);
    assert!(done.took < Duration::from_secs(5), "{:?}", done.took);
}

#[test]
fn a_silent_task_runs_into_its_idle_timeout_and_one_that_prints_does_not() {
    let step = "{ uses = 'fake', with = { do = 'until asked' }, idle-timeout = '50ms' }";
    assert_eq!(build_of(&[("a", step)]).exits(), [&Exit::IdleTimeout]);
    let step = "{ uses = 'fake', with = { do = 'never' }, idle-timeout = '200ms', timeout = '400ms', grace = '0s' }";
    assert_eq!(build_of(&[("a", step)]).exits(), [&Exit::Timeout]);
}

#[test]
fn a_task_that_does_not_end_is_let_go_of_and_what_it_prints_then_is_lost() {
    let step = "{ uses = 'fake', with = { do = 'never' }, timeout = '50ms', grace = '50ms' }";
    let done = build_of(&[
        ("a", step),
        ("b", "{ run = 'echo after', when = 'always' }"),
    ]);
    assert_eq!(done.exits(), [&Exit::Timeout, &Exit::Status(0)]);
    assert_eq!(done.ends(), ["a Failed", "b Succeeded"]);
    assert_eq!(done.log.last().map(|line| line.trim_end()), Some("after"));
    assert!(done.took < Duration::from_secs(5), "{:?}", done.took);
    let left = done.told.iter().any(|event| {
        matches!(
            event,
            Event::TryFinished {
                left_running: true,
                ..
            }
        )
    });
    assert!(!left, "nobody reads what it prints any more");
}

#[test]
fn processes_and_tasks_run_beside_each_other() {
    let done = build_of(&[
        ("a", "'echo one'"),
        (
            "b",
            "{ uses = 'fake', with = { do = 'fail' }, allow-failure = true }",
        ),
        ("c", "'echo three'"),
    ]);
    assert_eq!(done.ends(), ["a Succeeded", "b Failed", "c Succeeded"]);
    assert_eq!(done.outcome, Outcome::Succeeded);
    let lines: Vec<&str> = done.log.iter().map(|line| line.trim_end()).collect();
    assert_eq!(lines, ["one", "looking", "three"]);
}
