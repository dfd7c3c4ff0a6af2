//! Plays a build that is not one, to look at what a person sees of it: `cargo run --example replay -- [SCENE] [COUNT]`.
//!
//! Scenes: `parallel`, `alone`, `hostile`, `prompt`, `flood` (COUNT lines as fast as they are taken), `labelled-flood`.

use piper::ui::{
    ColorChoice, OutputFormat, Ui,
    lines::Sharing,
    reporter::{Reporter, Setup, StepSetup},
};
use piper_core::{
    id::BuildId,
    log::{Marks, Record},
    time::{Monotonic, Now, Timestamp},
    wire::v1::{BuildStarted, Counts, Event, Exit, Outcome, PlannedStep, StepOutcome},
};
use std::{
    thread,
    time::{Duration, Instant},
};

struct Player {
    reporter: Reporter,
    start: Instant,
    seq: u64,
    labels: Vec<String>,
    counts: Counts,
}

impl Player {
    fn now(&self) -> Now {
        let elapsed = self.start.elapsed();
        Now {
            wall: Timestamp(1_767_323_045_000_000) + elapsed,
            mono: Monotonic(elapsed),
        }
    }

    fn tell(&mut self, event: &Event) {
        let now = self.now();
        self.reporter.event(now, event);
    }

    fn sleep(&mut self, millis: u64) {
        let end = Monotonic(self.start.elapsed() + Duration::from_millis(millis));
        loop {
            let now = self.now().mono;
            let next = self
                .reporter
                .next_tick(now)
                .map_or(end, |next| next.min(end));
            thread::sleep(next.since(now));
            if next >= end {
                return;
            }
            self.reporter.tick(self.now().mono);
        }
    }

    fn print(&mut self, step: u32, marks: Marks, text: &[u8]) {
        let now = self.now();
        let record = Record {
            seq: self.seq,
            at: now.wall,
            step,
            r#try: 1,
            marks,
            text,
        };
        self.seq += 1;
        self.reporter.records(now.mono, [record]);
    }

    fn begin(&mut self) {
        let steps = self.labels.iter().map(|label| PlannedStep {
            step: label.clone(),
            command: format!("make {label}"),
            waits_for: Vec::new(),
        });
        let about = BuildStarted {
            piper: "0.1.0".to_owned(),
            project: "hello".to_owned(),
            root: "/src/hello".to_owned(),
            target: "build".to_owned(),
            target_is_step: false,
            cell: [].into(),
            environment: "local".to_owned(),
            revision: None,
            version: Some("1.2.0".to_owned()),
            params: [].into(),
            steps: steps.collect(),
            jobs: 4,
            pass_env_all: false,
        };
        self.tell(&Event::BuildStarted(Box::new(about)));
    }

    fn start(&mut self, step: u32) {
        let step = self.labels[step as usize].clone();
        self.tell(&Event::StepStarted { step, r#try: 1 });
    }

    fn end(&mut self, step: u32, status: i32) {
        let outcome = if status == 0 {
            StepOutcome::Succeeded
        } else {
            StepOutcome::Failed
        };
        *(if status == 0 {
            &mut self.counts.succeeded
        } else {
            &mut self.counts.failed
        }) += 1;
        self.tell(&Event::StepFinished {
            step: self.labels[step as usize].clone(),
            outcome,
            reason: None,
            exit: Some(Exit::Status(status)),
            tries: 1,
            flaky: false,
            allowed: false,
            duration_us: 1_500_000,
        });
    }

    fn finish(mut self) {
        let failed = self.counts.failed > 0;
        let finished = Event::BuildFinished {
            outcome: if failed {
                Outcome::Failed
            } else {
                Outcome::Succeeded
            },
            reason: None,
            duration_us: self.start.elapsed().as_micros() as u64,
            counts: self.counts,
            log_end: self.seq,
        };
        self.tell(&finished);
        let now = self.now().mono;
        self.reporter.finish(now);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an example is its own composition root and has a real clock"
)]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let scene = arguments.next().unwrap_or_else(|| "parallel".to_owned());
    let count = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(8);
    let alone = matches!(scene.as_str(), "alone" | "prompt" | "flood");
    let flood = scene.ends_with("flood");
    let json = std::env::var_os("REPLAY_JSON").is_some();
    let format = if json {
        OutputFormat::Json
    } else {
        OutputFormat::Text
    };
    let ui = Ui::new(ColorChoice::Auto, format, false, false);
    let labels: Vec<_> = (0..if flood { 2 } else { count })
        .map(|n| format!("step-{n}"))
        .collect();
    let setup = Setup {
        build: BuildId::from_random(42),
        attempt: 1,
        sharing: if alone {
            Sharing::Alone
        } else {
            Sharing::Labelled
        },
        piper: "0.1.0".to_owned(),
        steps: vec![StepSetup::default(); labels.len()],
    };
    let reporter = Reporter::of_process(&ui, setup, Timestamp(0)).expect("there are descriptors");
    let mut player = Player {
        reporter,
        start: Instant::now(),
        seq: 0,
        labels,
        counts: Counts::default(),
    };
    player.begin();
    match scene.as_str() {
        "flood" | "labelled-flood" => play_flood(&mut player, count),
        "alone" => play_alone(&mut player),
        "prompt" => play_prompt(&mut player),
        "hostile" => play_parallel(&mut player, true),
        _ => play_parallel(&mut player, false),
    }
    player.finish();
}

fn play_parallel(player: &mut Player, hostile: bool) {
    let steps = player.labels.len() as u32;
    for step in 0..steps {
        player.start(step);
    }
    for round in 0..30_u32 {
        player.sleep(200);
        let step = round % steps;
        player.print(
            step,
            Marks::default(),
            format!("\x1b[3{}mround {round}", round % 8).as_bytes(),
        );
        if hostile {
            player.print(
                step,
                Marks::STDERR,
                b"\x1b[2J\x1b[Hattack \x1b[?1049h\x1b[6n\x1b]0;title\x07\x1b[9999A\x07",
            );
        }
    }
    player.sleep(11_000);
    for step in 0..steps {
        player.end(step, i32::from(step == 1));
        player.sleep(50);
    }
}

fn play_alone(player: &mut Player) {
    for step in 0..player.labels.len() as u32 {
        player.start(step);
        for percent in 0..=10 {
            player.sleep(100);
            player.print(
                step,
                Marks::CONTINUES,
                format!("\r{}%", percent * 10).as_bytes(),
            );
        }
        player.print(step, Marks::default(), b"");
        player.sleep(1500);
        player.end(step, 0);
    }
}

fn play_prompt(player: &mut Player) {
    player.start(0);
    player.print(0, Marks::CONTINUES, b"Sure? ");
    player.sleep(5000);
    player.print(0, Marks::default(), b"yes");
    player.sleep(3000);
    player.end(0, 0);
}

fn play_flood(player: &mut Player, lines: usize) {
    let text = [b'x'; 99];
    player.start(0);
    let now = player.now();
    for first in (0..lines).step_by(1000) {
        let batch = (first..lines.min(first + 1000)).map(|seq| Record {
            seq: seq as u64,
            at: now.wall,
            step: 0,
            r#try: 1,
            marks: Marks::default(),
            text: &text,
        });
        player.reporter.records(now.mono, batch);
    }
    player.end(0, 0);
}
