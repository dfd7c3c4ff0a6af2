//! A host that is not there: `cargo test` of a plugin runs its code natively, against answers that the test has written down.
//!
//! ```
//! use piper_plugin::{prelude::*, testing::Fake};
//!
//! #[settings]
//! struct Fetch {
//!     url: String,
//!     into: String,
//! }
//!
//! impl StepRunner for Fetch {
//!     fn run(&self, step: &Step) -> Result<Verdict> {
//!         http::get(&self.url).bearer("token").save_to(&self.into).send()?.ok()?;
//!         step.output("size", files::stat(&self.into)?.size)?;
//!         info!("fetched"; url = self.url);
//!         Ok(Verdict::passed())
//!     }
//! }
//!
//! let fake = Fake::new();
//! fake.secret("token", "hunter2");
//! fake.answer("GET https://example.com/a", 200, "12345");
//! let verdict = fake.run::<Fetch, _>(json!({"url": "https://example.com/a", "into": "out/a"})).unwrap();
//! assert_eq!(verdict.status, Status::Passed);
//! assert_eq!(fake.requests()[0].header("authorization"), Some("Bearer hunter2"));
//! assert_eq!(fake.content("out/a").as_deref(), Some(&b"12345"[..]));
//! assert_eq!(fake.output("size").as_deref(), Some("5"));
//! assert_eq!(fake.logged()[0].message, "fetched");
//! ```
//!
//! What a test has not written down is refused, as it is by a host that was not told to grant it. Options and configuration are checked
//! against their schemas and defaults are filled in, as the host does. Where the two differ, the fake is the stricter: it has no retries, no
//! patience, and answers every mistake that it can see. Of the host's limits it knows those that a plugin's code must know; sizes in
//! all, rates and time it does not count. A secret's signature is made up: it says which key signed what, and nothing can verify it.
//! Requests are judged with the codes that the host answers; what a real grant allows is not looked at, so a test says what it stands for
//! with [`Fake::answer`] and [`Fake::secret_for`].
//!
//! One fake at a time in each thread, which is what tests have.

mod digest;
mod effects;
pub(crate) mod imports;
mod placeholders;
mod requests;
mod schema;
mod world;

use crate::{
    config_check::{self, ConfigCheck, Problem},
    failure::{Failure, Result},
    host::RawCall,
    log::Level,
    log_reader::{self, Found, LogReader, Page, RawRead, RawSearch},
    log_sink::{self, LogSink, Receipt},
    logs::{Batch, StepRef},
    notifier::{self, Event, Notifier, Undelivered},
    settings::{Setting, Settings},
    step_planner::{self, Plan, StepPlanner},
    step_runner::{self, StepRunner, Verdict},
    time::Timestamp,
    trigger_poll::{self, Polled, TriggerPoll},
    trigger_webhook::{self, Received, TriggerWebhook},
};
use serde_json::{Map, Value};
use std::{cell::RefCell, marker::PhantomData, rc::Rc};
use world::World;

pub use placeholders::SecretUse;
pub use world::{Answer, Line, Mail, Ran, Request};

thread_local! {
    static WORLD: RefCell<Option<Rc<RefCell<World>>>> = const { RefCell::new(None) };
}

/// Does something with the fake of this thread.
fn with<T>(act: impl FnOnce(&mut World) -> T) -> T {
    let world = WORLD.with_borrow(Option::clone);
    let world =
        world.expect("make a `piper_plugin::testing::Fake` before calling what needs a host");
    let mut world = world.borrow_mut();
    act(&mut world)
}

/// A fake host for this thread, until it is dropped.
#[derive(Debug)]
pub struct Fake {
    world: Rc<RefCell<World>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        WORLD.set(None);
    }
}

/// What is there to begin with.
impl Fake {
    /// A host that grants nothing and has nothing.
    ///
    /// # Panics
    ///
    /// When there is one in this thread.
    pub fn new() -> Self {
        let world = Rc::new(RefCell::new(World::default()));
        let before = WORLD.replace(Some(world.clone()));
        assert!(
            before.is_none(),
            "one `Fake` at a time: drop the other one first"
        );
        Self { world }
    }

    fn change<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.borrow_mut())
    }

    /// The plugin's configuration for the calls that follow.
    pub fn config(&self, config: Value) {
        self.change(|world| world.config = config);
    }

    /// What the host says in the calls that follow, an object; see [`facts`](crate::facts).
    pub fn facts(&self, facts: Value) {
        self.change(|world| world.facts = facts);
    }

    /// The name that the calls that follow are for.
    pub fn name(&self, name: &str) {
        self.change(|world| world.name = name.to_owned());
    }

    /// Grants requests like `POST https://example.com/a` and answers them. Several answers to one request come in their order, and the last
    /// one for ever. Without a query here, any will do.
    pub fn answer(&self, request: &str, status: u16, body: impl Into<Vec<u8>>) {
        self.reply(
            request,
            Answer {
                status,
                headers: Vec::new(),
                body: body.into(),
            },
        );
    }

    /// The same with headers.
    pub fn reply(&self, request: &str, answer: Answer) {
        self.change(|world| {
            world
                .answers
                .entry(request.to_owned())
                .or_default()
                .push_back(Ok(answer))
        });
    }

    /// Lets a request fail.
    pub fn fail(&self, request: &str, failure: Failure) {
        self.change(|world| {
            world
                .answers
                .entry(request.to_owned())
                .or_default()
                .push_back(Err(failure))
        });
    }

    /// Puts a file there.
    pub fn file(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.change(|world| world.files.insert(path.to_owned(), content.into()));
    }

    /// Grants a secret for headers and for all that is computed with it, but for no path and no body.
    pub fn secret(&self, name: &str, value: &str) {
        use SecretUse::{AnyHeader, Hmac, Reveal, Sign, Verify};
        self.secret_for(name, value, &[AnyHeader, Hmac, Sign, Verify, Reveal]);
    }

    /// Grants a secret for these uses alone, as the manifest asks for them. Answers name the URL with the value in it.
    pub fn secret_for(&self, name: &str, value: &str, uses: &[SecretUse]) {
        let (value, uses) = (value.to_owned(), uses.to_vec());
        let secret = placeholders::Secret { value, uses };
        self.change(|world| world.secrets.insert(name.to_owned(), secret));
    }

    /// Grants a command and says how it ends.
    pub fn command<A: Into<String>>(
        &self,
        argv: impl IntoIterator<Item = A>,
        status: i32,
        stdout: impl Into<Vec<u8>>,
    ) {
        let argv: Vec<String> = argv.into_iter().map(Into::into).collect();
        self.change(|world| world.commands.insert(argv, (status, stdout.into())));
    }

    /// Puts something into the state, as another agent might.
    pub fn state(&self, key: &str, value: impl Into<Vec<u8>>) {
        self.change(|world| world.write_state(key, Some(value.into())));
    }

    /// Grants mails through an account.
    pub fn mail_account(&self, account: &str) {
        self.change(|world| world.accounts.push(account.to_owned()));
    }

    /// A build that can be looked at.
    pub fn build(&self, id: &str, build: Value) {
        self.change(|world| world.builds.insert(id.to_owned(), build));
    }

    /// The log of a build, or of one of its steps.
    pub fn build_log(&self, build: &str, step: Option<&str>, log: impl Into<Vec<u8>>) {
        let key = (build.to_owned(), step.map(str::to_owned));
        self.change(|world| world.logs.insert(key, log.into()));
    }

    /// The heads of a repository, `[{ref, revision}]`.
    pub fn heads(&self, source: &str, heads: Value) {
        self.change(|world| world.heads.insert(source.to_owned(), heads));
    }

    /// The changes of a repository, newest first, `[{revision, author, at, message, paths}]`.
    pub fn changes(&self, source: &str, changes: Vec<Value>) {
        self.change(|world| world.changes.insert(source.to_owned(), changes));
    }

    /// What time it is. Until this is called it is the beginning of 1970.
    pub fn now(&self, now: Timestamp) {
        self.change(|world| world.now = now);
    }

    /// Stops the call: whatever waits ends with `cancelled`.
    pub fn cancel(&self) {
        self.change(|world| world.is_cancelled = true);
    }
}

/// What became of it.
impl Fake {
    /// The requests that were sent, as their servers saw them.
    pub fn requests(&self) -> Vec<Request> {
        self.change(|world| world.requests.clone())
    }

    /// The commands that were started.
    pub fn commands_run(&self) -> Vec<Ran> {
        self.change(|world| world.started.clone())
    }

    /// The content of a file.
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        self.change(|world| world.files.get(path).cloned())
    }

    /// The value of a key in the state.
    pub fn state_value(&self, key: &str) -> Option<Vec<u8>> {
        self.change(|world| world.state.get(key).and_then(|entry| entry.0.clone()))
    }

    /// The plugin's log.
    pub fn logged(&self) -> Vec<Line> {
        self.change(|world| world.lines.clone())
    }

    /// What the step printed to stdout.
    pub fn stdout(&self) -> String {
        self.change(|world| String::from_utf8_lossy(&world.stdout).into_owned())
    }

    /// What the step printed to stderr.
    pub fn stderr(&self) -> String {
        self.change(|world| String::from_utf8_lossy(&world.stderr).into_owned())
    }

    /// An output of the step.
    pub fn output(&self, name: &str) -> Option<String> {
        self.change(|world| world.outputs.get(name).cloned())
    }

    /// What the step reported of a kind.
    pub fn reports(&self, kind: &str) -> Vec<Value> {
        self.change(|world| world.reports.get(kind).cloned().unwrap_or_default())
    }

    /// The annotations of the step.
    pub fn annotations(&self) -> Vec<Value> {
        self.reports("annotation")
    }

    /// The mails that were sent.
    pub fn mails(&self) -> Vec<Mail> {
        self.change(|world| world.mails.clone())
    }
}

/// Calls, as the host makes them.
impl Fake {
    /// Checks settings against their schemas, fills defaults in, and makes a call of them.
    fn call<O: Setting, C: Setting>(&self, options: Value) -> Result<RawCall> {
        let (name, config, facts) = self.change(|world| {
            (
                world.name.clone(),
                world.config.clone(),
                world.facts.clone(),
            )
        });
        Ok(RawCall {
            name,
            config: schema::checked::<C>(config, "/config")?.to_string(),
            options: schema::checked::<O>(options, "/options")?.to_string(),
            facts: facts.to_string(),
        })
    }

    /// Plans a step.
    ///
    /// # Errors
    ///
    /// What the plugin answers, or `invalid` if the options do not fit their schema; likewise for all that follow.
    pub fn plan<T: StepPlanner<C>, C: Settings>(&self, options: Value) -> Result<Plan> {
        step_planner::enter::<T, C>(self.call::<T, C>(options)?)
    }

    /// Runs a step.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub fn run<T: StepRunner<C>, C: Settings>(&self, options: Value) -> Result<Verdict> {
        step_runner::enter::<T, C>(self.call::<T, C>(options)?)
    }

    /// Tells events.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    ///
    /// # Panics
    ///
    /// When the plugin names an event that there is not.
    pub fn notify<T: Notifier<C>, C: Settings>(
        &self,
        options: Value,
        events: Vec<Event>,
    ) -> Result<Vec<Undelivered>> {
        let count = events.len();
        let undelivered = notifier::enter::<T, C>(self.call::<T, C>(options)?, events)?;
        for one in &undelivered {
            assert!(
                one.index < count,
                "there is no event {}, only {count}",
                one.index
            );
        }
        Ok(undelivered)
    }

    /// Opens a sink.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub fn open_sink<T: LogSink<C>, C: Settings>(&self, options: Value) -> Result<FakeSink<T, C>> {
        let sink = log_sink::open::<T, C>(self.call::<T::Options, C>(options)?)?;
        Ok(FakeSink {
            sink,
            config: PhantomData,
        })
    }

    /// Writes to a sink.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    ///
    /// # Panics
    ///
    /// When the receipt names an entry that there is not, or one twice.
    pub fn write<T: LogSink<C>, C: Settings>(
        &self,
        sink: &mut FakeSink<T, C>,
        batches: Vec<Batch>,
    ) -> Result<Receipt> {
        let receipt = sink.sink.write(&batches)?;
        let rejected = receipt.rejected.iter().map(|one| one.entry);
        let mut named: Vec<_> = receipt.again.iter().copied().chain(rejected).collect();
        for place in &named {
            let batch = batches.get(place.batch as usize);
            let is_there = batch.is_some_and(|batch| (place.index as usize) < batch.len());
            assert!(is_there, "there is no entry {place:?}");
        }
        let count = named.len();
        named.sort_unstable_by_key(|place| (place.batch, place.index));
        named.dedup();
        assert_eq!(named.len(), count, "the receipt names an entry twice");
        Ok(receipt)
    }

    /// Reads a log; `range` is an object as in [`Range`](log_reader::Range).
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub fn read_log<T: LogReader<C>, C: Settings>(
        &self,
        range: Value,
        cursor: Option<&str>,
    ) -> Result<Page> {
        let call = self.call::<T, C>(Value::Object(Map::new()))?;
        let cursor = cursor.map(str::to_owned);
        let request = RawRead {
            range: range.to_string(),
            cursor,
            max_entries: 10_000,
            max_bytes: 4 << 20,
        };
        log_reader::enter_read::<T, C>(call, request)
    }

    /// Searches logs.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub fn search_logs<T: LogReader<C>, C: Settings>(
        &self,
        query: Value,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Found> {
        let call = self.call::<T, C>(Value::Object(Map::new()))?;
        let cursor = cursor.map(str::to_owned);
        let request = RawSearch {
            query: query.to_string(),
            cursor,
            limit,
        };
        log_reader::enter_search::<T, C>(call, request)
    }

    /// Polls.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub fn poll<T: TriggerPoll<C>, C: Settings>(
        &self,
        options: Value,
        cursor: Option<String>,
    ) -> Result<Polled> {
        trigger_poll::enter::<T, C>(self.call::<T, C>(options)?, cursor)
    }

    /// Delivers a request.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub fn receive<T: TriggerWebhook<C>, C: Settings>(
        &self,
        options: Value,
        request: trigger_webhook::Request,
    ) -> Result<Received> {
        trigger_webhook::enter::<T, C>(self.call::<T, C>(options)?, request)
    }

    /// Checks a configuration that fits its schema.
    pub fn check<C: ConfigCheck>(&self, config: Value, options: Value) -> Vec<Problem> {
        let config = match schema::checked::<C>(config, "/config") {
            Ok(config) => config,
            Err(failure) => return vec![Problem::at("/config", failure.message)],
        };
        config_check::enter::<C>(&RawCall {
            name: String::new(),
            config: config.to_string(),
            options: options.to_string(),
            facts: "{}".into(),
        })
    }
}

/// A sink that was opened.
#[derive(Debug)]
pub struct FakeSink<T, C> {
    sink: T,
    config: PhantomData<C>,
}

impl<T: LogSink<C>, C: Settings> FakeSink<T, C> {
    /// Closes it, as the host does before it drops an instance.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    pub fn close(self) -> Result<()> {
        self.sink.close()
    }
}

/// An event for a notifier; `body` is an object with `build`, `project`, `target`, `end` and the like.
pub fn event(kind: &str, body: Value) -> Event {
    let subject = body["build"].as_str().unwrap_or("b").to_owned();
    Event {
        id: format!("{kind}/{subject}"),
        kind: kind.to_owned(),
        subject,
        seq: 1,
        at: Timestamp(0),
        body,
    }
}

/// A batch of lines of a step named `build`, a second apart.
pub fn batch(build: &str, first_seq: u64, lines: &[&str]) -> Batch {
    let mut batch = Batch {
        build: build.to_owned(),
        attempt: 1,
        facts: "{}".into(),
        first_seq,
        steps: vec![StepRef {
            path: "build".into(),
            r#try: 1,
            more: "{}".into(),
        }],
        ..Batch::default()
    };
    for (line, seq) in lines.iter().zip(first_seq..) {
        batch.text.extend_from_slice(line.as_bytes());
        batch
            .ends
            .push(u32::try_from(batch.text.len()).expect("a test's lines are short"));
        batch.times.push(seq * 1_000_000);
        batch.step_of.push(0);
        batch.marks.push(0);
    }
    batch
}

/// A request for a webhook.
pub fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> trigger_webhook::Request {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), (*value).to_owned()));
    trigger_webhook::Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.collect(),
        body: body.into(),
    }
}

/// Levels that tests see: all of them.
fn is_kept(_: Level) -> bool {
    true
}

#[cfg(test)]
mod tests;
