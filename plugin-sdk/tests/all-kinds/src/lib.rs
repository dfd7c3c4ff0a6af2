//! Every kind in one component, each saying back what it was told: what the SDK's macro makes of them is called through a real host.

use piper_plugin::{
    exec::Command, log_sink::Place, prelude::*, secrets::Hmac, state::Expect, time::Timestamp,
    trigger,
};

#[settings]
struct Config {
    #[setting(default = "nowhere")]
    place: String,
}

#[settings]
struct Options {
    #[setting(default)]
    text: String,
}

#[settings]
struct Effects {}

#[settings]
struct Crash {}

impl StepPlanner<Config> for Options {
    fn plan(&self, planning: &Planning<Config>) -> Result<Plan> {
        let mut plan = Plan::new();
        plan.step("z", PlannedStep::run(&self.text))
            .step("a", PlannedStep::argv([&planning.config.place]));
        Ok(plan)
    }
}

impl StepRunner<Config> for Options {
    fn run(&self, step: &Step<Config>) -> Result<Verdict> {
        let (place, path) = (&step.config.place, &step.step.path);
        Ok(Verdict::skipped(format_args!(
            "{} {place} {path} {}",
            self.text, step.r#try
        )))
    }
}

/// Everything that is imported, once; what is not granted is refused, and says so.
impl StepRunner<Config> for Effects {
    fn run(&self, step: &Step<Config>) -> Result<Verdict> {
        let mut codes = Vec::new();
        let mut note = |result: Result<()>| {
            codes.push(result.err().map_or("ok".into(), |failure| failure.code))
        };
        note(
            http::get("https://example.com")
                .header("a", "b")
                .gzip()
                .text("c")
                .send()
                .map(drop),
        );
        note(
            http::get("https://example.com")
                .start()
                .and_then(|exchange| exchange.wait())
                .map(drop),
        );
        note(files::glob(["*"]).try_for_each(|path| path.map(drop)));
        note(files::stat("a").map(drop));
        note(files::read("a").map(drop));
        note(files::write("a", "b"));
        note(files::digest("a", files::Digest::Sha256).map(drop));
        note(secrets::basic("a", "b").map(drop));
        note(secrets::adopt("a", "https://example.com").map(drop));
        note(secrets::hmac("a", Hmac::Sha1, "b").map(drop));
        note(secrets::equals("a", "b").map(drop));
        note(state::put("a", "b", Expect::Absent, None).map(drop));
        note(state::keys("a").map(drop));
        note(Command::new("true").quiet().run().map(drop));
        note(piper_plugin::control::sleep(
            std::time::Duration::from_millis(1),
        ));
        note(step.output("a", "b"));
        note(trigger::heads("a").map(drop));
        note(piper_plugin::notifier::build("a").map(drop));
        Ok(Verdict::passed().because(codes.join(" ")))
    }
}

impl StepRunner<Config> for Crash {
    fn run(&self, _: &Step<Config>) -> Result<Verdict> {
        panic!("on purpose");
    }
}

impl Notifier<Config> for Options {
    fn tell(&self, event: &Event, rule: &Rule<Config>) -> Result<()> {
        info!("{} {} {}", event.build(), event.at, rule.rule.name; seq = event.seq);
        let wait = std::time::Duration::from_secs(7);
        let failure = Failure::transient("chat.busy", &self.text)
            .retry_after(wait)
            .at("/options/text");
        if event.seq == 2 {
            Err(failure.help("wait"))
        } else {
            Ok(())
        }
    }
}

impl TriggerPoll<Config> for Options {
    fn poll(&self, poll: &Poll<Config>) -> Result<Polled> {
        let count: u32 = poll.cursor()?.unwrap_or_default();
        let ask =
            Ask::build(format!("{count}"), &self.text).source(&poll.config.place, "main", "c0ffee");
        let polled = Polled {
            asks: vec![ask],
            next_poll_at: Some(Timestamp(7)),
            ..Polled::default()
        };
        polled.set_cursor(&(count + 1))
    }
}

impl TriggerWebhook<Config> for Options {
    fn receive(&self, delivery: &Delivery<Config>) -> Result<Received> {
        let body: Value = delivery.json()?;
        let verified = delivery.verified;
        Ok(Received::answer(
            200,
            format_args!("{} {verified} {body}", delivery.request.method),
        ))
    }
}

struct Sink {
    place: String,
    lines: usize,
}

impl LogSink<Config> for Sink {
    type Options = Options;

    fn open(opening: Opening<Config, Options>) -> Result<Self> {
        Ok(Self {
            place: opening.config.place,
            lines: 0,
        })
    }

    fn write(&mut self, batches: &[Batch]) -> Result<Receipt> {
        let mut receipt = Receipt::all();
        for (batch, at) in batches.iter().zip(0..) {
            for entry in batch.entries() {
                self.lines += 1;
                if entry.text() == "again" {
                    receipt.again.push(Place {
                        batch: at,
                        index: entry.index,
                    });
                }
            }
        }
        Ok(receipt)
    }

    fn close(self) -> Result<()> {
        info!("{} lines to {}", self.lines, self.place);
        Ok(())
    }
}

impl LogReader<Config> for Options {
    fn read(&self, request: &ReadRequest<Config>) -> Result<Page> {
        let mut page = Page {
            next: request.cursor.clone(),
            ..Page::default()
        };
        page.push(&request.range, 3, "a", "three");
        page.push(&request.range, 4, "b", "four");
        page.push(&request.range, 9, "a", "nine");
        Ok(page)
    }

    fn search(&self, request: &SearchRequest<Config>) -> Result<Found> {
        let hit = Hit {
            build: "b".into(),
            attempt: 1,
            seq: 2,
            time: Timestamp(3),
            step: "a".into(),
            line: request.query.to_string().into_bytes(),
            highlights: vec![(0, 1)],
            more: Default::default(),
        };
        Ok(Found {
            hits: vec![hit],
            next: None,
            total: Some(request.limit.into()),
        })
    }
}

impl ConfigCheck for Config {
    fn check(&self, options: &Value) -> Vec<Problem> {
        vec![
            Problem::at("/config/place", format_args!("{} {options}", self.place)).help("go there"),
        ]
    }
}

piper_plugin::plugin! {
    config: Config,
    step_planner: Options,
    step_runner: { "say" => Options, "effects" => Effects, "crash" => Crash },
    notifier: Options,
    log_sink: Sink,
    log_reader: Options,
    trigger_poll: Options,
    trigger_webhook: Options,
    config_check: Config,
}
