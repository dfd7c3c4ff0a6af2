//! A loaded plugin: what it is, and one function for each thing that it can be asked.
//!
//! Each call gets a fresh instance, so that nothing of one event can leak into the next; only a log sink lives longer. Nothing here
//! retries: what to do about a [`CallError`] is for whoever calls.

use crate::{
    call::Brake,
    crash::{Crash, Overrun},
    engine::Running,
    failure::CallError,
    instance::{Invocation, Sandbox, World},
    kind::{
        Batch, Call, ConfigProblem, Delivery, EntryRef, Event, Found, Kind, Page, Polled, Receipt,
        Received, Undelivered, Verdict,
    },
    limits::Limits,
    load::Description,
    mask::Mask,
    policy::{
        limit::{Limit, Reached},
        source::PluginDigest,
    },
    service::Exec,
    wit::v0_1::{
        config_check, log_reader, log_sink, notifier, step_planner, step_runner, trigger_poll,
        trigger_webhook, types,
    },
};
use sha2::{Digest, Sha256};
use std::{pin::pin, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

/// What is known of a component without running it.
pub(crate) struct Facts {
    pub(crate) digest: PluginDigest,
    pub(crate) size: usize,
    pub(crate) description: Description,
    /// What its largest memory and its largest table begin with.
    pub(crate) begins_with: [Reached; 2],
    pub(crate) stubs: Vec<String>,
    pub(crate) not_kept: Option<String>,
}

/// A component that is linked, and where in it the kinds are.
pub(crate) struct Template {
    pre: InstancePre<Sandbox>,
    planner: Option<step_planner::GuestIndices>,
    runner: Option<step_runner::GuestIndices>,
    poll: Option<trigger_poll::GuestIndices>,
    webhook: Option<trigger_webhook::GuestIndices>,
    sink: Option<log_sink::GuestIndices>,
    reader: Option<log_reader::GuestIndices>,
    notifier: Option<notifier::GuestIndices>,
    config_check: Option<config_check::GuestIndices>,
}

impl Template {
    /// Finds the kinds; fails if one has another type than the contract says.
    pub(crate) fn new(pre: InstancePre<Sandbox>, kinds: &[Kind]) -> wasmtime::Result<Self> {
        let has = |kind: Kind| kinds.contains(&kind).then_some(&pre);
        Ok(Self {
            planner: has(Kind::StepPlanner)
                .map(step_planner::GuestIndices::new)
                .transpose()?,
            runner: has(Kind::StepRunner)
                .map(step_runner::GuestIndices::new)
                .transpose()?,
            poll: has(Kind::TriggerPoll)
                .map(trigger_poll::GuestIndices::new)
                .transpose()?,
            webhook: has(Kind::TriggerWebhook)
                .map(trigger_webhook::GuestIndices::new)
                .transpose()?,
            sink: has(Kind::LogSink)
                .map(log_sink::GuestIndices::new)
                .transpose()?,
            reader: has(Kind::LogReader)
                .map(log_reader::GuestIndices::new)
                .transpose()?,
            notifier: has(Kind::Notifier)
                .map(notifier::GuestIndices::new)
                .transpose()?,
            config_check: has(Kind::ConfigCheck)
                .map(config_check::GuestIndices::new)
                .transpose()?,
            pre,
        })
    }
}

/// The largest plan, in bytes: the contract's number, which no limit of a plugin changes.
const LARGEST_PLAN: usize = 1 << 20;

/// A loaded plugin. Cheap to clone.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    running: Arc<Running>,
    template: Template,
    facts: Facts,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("digest", &self.digest().to_string())
            .field("kinds", &self.kinds())
            .finish_non_exhaustive()
    }
}

impl Plugin {
    pub(crate) fn new(running: Arc<Running>, template: Template, facts: Facts) -> Self {
        Self(Arc::new(Inner {
            running,
            template,
            facts,
        }))
    }

    /// The SHA-256 of its component, in hexadecimal.
    pub fn digest(&self) -> PluginDigest {
        self.0.facts.digest
    }

    /// How large its component is, in bytes.
    pub fn size(&self) -> usize {
        self.0.facts.size
    }

    /// Its manifest, as its author wrote it.
    pub fn manifest(&self) -> Option<&str> {
        self.0.facts.description.manifest.as_deref()
    }

    /// The JSON schema of its configuration.
    pub fn config_schema(&self) -> Option<&str> {
        self.0.facts.description.config_schema.as_deref()
    }

    /// The JSON schemas of its options, by kind and name.
    pub fn options_schema(&self) -> Option<&str> {
        self.0.facts.description.options_schema.as_deref()
    }

    /// What it can be; at least one, in the order of [`Kind::ALL`].
    pub fn kinds(&self) -> &[Kind] {
        &self.0.facts.description.kinds
    }

    /// What it imports, as a hint at what it may want to do.
    pub fn imports(&self) -> &[String] {
        &self.0.facts.description.imports
    }

    /// The functions of the contract that it imports and this host lacks, as `INTERFACE#FUNCTION`: it is told so when it calls one.
    pub fn stubs(&self) -> &[String] {
        &self.0.facts.stubs
    }

    /// What it exports that this host does not know.
    pub fn unknown_exports(&self) -> &[String] {
        &self.0.facts.description.unknown_exports
    }

    /// Why its compiled form cannot be kept for the next time, if it cannot.
    pub fn not_kept(&self) -> Option<&str> {
        self.0.facts.not_kept.as_deref()
    }

    /// Whether an instance of it can begin within these limits; `call` is what it would be begun for.
    ///
    /// # Errors
    ///
    /// When a memory or a table of it begins with more than it may have: no call of it would do anything but crash.
    pub fn fits(&self, limits: &Limits, call: &'static str) -> Result<(), Box<Crash>> {
        for Reached { limit, value, .. } in self.0.facts.begins_with {
            let reached = limits.reached(limit).wanting(value);
            if value > reached.value {
                let [wanted, most] = [value, reached.value].map(|n| limit.row().unit.shown(n));
                let what = match limit {
                    Limit::Memory => "its memory",
                    _ => "one of its tables",
                };
                let message = format!("{what} begins with {wanted}, and it may have {most}");
                return Err(Crash::limited(reached, call, message).into());
            }
        }
        Ok(())
    }

    /// Asks a planner which steps stand for one; the answer is JSON. The instance sees neither time nor chance nor any service.
    ///
    /// # Errors
    ///
    /// When the plugin fails or crashes, or is no planner; likewise for every other call.
    pub async fn plan(&self, invocation: &Invocation, call: Call) -> Result<String, CallError> {
        let pure = without_services(invocation);
        let world = World::Frozen(seed(&call));
        let plan = self
            .once("plan", &pure, &world, async |store, instance| {
                let guest =
                    known(self.0.template.planner.as_ref())?.load(&mut *store, &instance)?;
                guest.call_plan(store, &call.into()).await
            })
            .await?;
        if plan.len() > LARGEST_PLAN {
            let message = format!(
                "its plan has {} bytes, and {LARGEST_PLAN} (1 MiB) are the most: plan fewer or shorter steps",
                plan.len()
            );
            return Err(lie("plan", &message).into());
        }
        Ok(plan)
    }

    /// Runs one attempt of a step.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub async fn run(&self, invocation: &Invocation, call: Call) -> Result<Verdict, CallError> {
        self.once("run", invocation, &World::Real, async |store, instance| {
            let guest = known(self.0.template.runner.as_ref())?.load(&mut *store, &instance)?;
            let mask = store.data().mask.clone();
            let ran = guest.call_run(store, &call.into()).await?;
            Ok(ran.map(|verdict| mask.verdict(verdict)))
        })
        .await
    }

    /// Tells a notifier about events; what comes back was not delivered.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub async fn notify(
        &self,
        invocation: &Invocation,
        call: Call,
        events: Vec<Event>,
    ) -> Result<Vec<Undelivered>, CallError> {
        let count = events.len();
        let events: Vec<_> = events.into_iter().map(Into::into).collect();
        let undelivered = self
            .once(
                "notify",
                invocation,
                &World::Real,
                async |store, instance| {
                    let guest =
                        known(self.0.template.notifier.as_ref())?.load(&mut *store, &instance)?;
                    let (mask, told) = (store.data().mask.clone(), store.data().told.clone());
                    let undelivered = guest.call_notify(store, &call.into(), &events).await?;
                    Ok(undelivered.map(|undelivered| {
                        let failed = undelivered.into_iter().map(|one| Undelivered {
                            index: one.index,
                            why: told.named(mask.failure(one.why)),
                        });
                        failed.collect::<Vec<_>>()
                    }))
                },
            )
            .await?;
        if undelivered.iter().any(|one| one.index as usize >= count) {
            return Err(lie("notify", "it named an event that it was not told about").into());
        }
        Ok(undelivered)
    }

    /// Asks what a schema cannot say about a configuration. The instance sees neither time nor chance nor any service.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub async fn check_config(
        &self,
        invocation: &Invocation,
        call: Call,
    ) -> Result<Vec<ConfigProblem>, CallError> {
        let pure = without_services(invocation);
        let world = World::Frozen(seed(&call));
        let problems = self
            .once("check", &pure, &world, async |store, instance| {
                let guest =
                    known(self.0.template.config_check.as_ref())?.load(&mut *store, &instance)?;
                guest.call_check(store, &call.into()).await.map(Ok)
            })
            .await?;
        Ok(problems.into_iter().map(Into::into).collect())
    }

    /// Polls once.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub async fn poll(
        &self,
        invocation: &Invocation,
        call: Call,
        cursor: Option<String>,
    ) -> Result<Polled, CallError> {
        self.once("poll", invocation, &World::Real, async |store, instance| {
            let guest = known(self.0.template.poll.as_ref())?.load(&mut *store, &instance)?;
            guest
                .call_poll(store, &call.into(), cursor.as_deref())
                .await
        })
        .await
        .map(|polled| mask_of(invocation).polled(polled.into()))
    }

    /// Hands over one verified delivery.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub async fn receive(
        &self,
        invocation: &Invocation,
        call: Call,
        delivery: Delivery,
    ) -> Result<Received, CallError> {
        let delivery = delivery.into();
        self.once(
            "receive",
            invocation,
            &World::Real,
            async |store, instance| {
                let guest =
                    known(self.0.template.webhook.as_ref())?.load(&mut *store, &instance)?;
                guest.call_receive(store, &call.into(), &delivery).await
            },
        )
        .await
        .map(|received| mask_of(invocation).received(received.into()))
    }

    /// Reads a part of a log back; `range` is JSON.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub async fn read_logs(
        &self,
        invocation: &Invocation,
        call: Call,
        range: String,
        cursor: Option<String>,
        max: (u32, u32),
    ) -> Result<Page, CallError> {
        let (entries, bytes) = max;
        let page = self
            .once("read", invocation, &World::Real, async |store, instance| {
                let guest = known(self.0.template.reader.as_ref())?.load(&mut *store, &instance)?;
                guest
                    .call_read(
                        store,
                        &call.into(),
                        &range,
                        cursor.as_deref(),
                        entries,
                        bytes,
                    )
                    .await
            })
            .await?;
        let page = Page::from(page);
        if !page.batches.iter().all(Batch::is_consistent) {
            return Err(lie(
                "read",
                "it returned a batch whose columns do not fit together",
            )
            .into());
        }
        Ok(mask_of(invocation).page(page))
    }

    /// Searches shipped logs; `query` is JSON.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub async fn search_logs(
        &self,
        invocation: &Invocation,
        call: Call,
        query: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Found, CallError> {
        self.once(
            "search",
            invocation,
            &World::Real,
            async |store, instance| {
                let guest = known(self.0.template.reader.as_ref())?.load(&mut *store, &instance)?;
                guest
                    .call_search(store, &call.into(), &query, cursor.as_deref(), limit)
                    .await
            },
        )
        .await
        .map(|found| mask_of(invocation).found(found.into()))
    }

    /// Begins a log sink: one long-lived instance, opened.
    ///
    /// # Errors
    ///
    /// See [`Self::plan`].
    pub async fn open_sink(&self, invocation: Invocation, call: Call) -> Result<Sink, CallError> {
        self.fits(&invocation.limits, "open")?;
        let slot = slot(&self.0.running, &invocation, "open").await?;
        let mut store = Sandbox::store(&self.0.running, &invocation, &World::Real);
        let template = &self.0.template;
        let open = async |store: &mut Store<Sandbox>| {
            let instance = template.pre.instantiate_async(&mut *store).await?;
            let guest = known(template.sink.as_ref())?.load(&mut *store, &instance)?;
            let opened = guest.call_open(&mut *store, &call.into()).await?;
            Ok(opened.map(|()| guest))
        };
        let guest = drive(&self.0.running, &invocation, &mut store, "open", open).await?;
        Ok(Sink {
            plugin: self.clone(),
            invocation,
            live: Some((store, guest)),
            _slot: slot,
        })
    }

    /// One call in an instance of its own.
    async fn once<T>(
        &self,
        name: &'static str,
        invocation: &Invocation,
        world: &World,
        call: impl AsyncFnOnce(&mut Store<Sandbox>, Instance) -> Answer<T>,
    ) -> Result<T, CallError> {
        let Inner {
            running, template, ..
        } = &*self.0;
        self.fits(&invocation.limits, name)?;
        let _slot = slot(running, invocation, name).await?;
        let mut store = Sandbox::store(running, invocation, world);
        drive(running, invocation, &mut store, name, async |store| {
            let instance = template.pre.instantiate_async(&mut *store).await?;
            call(store, instance).await
        })
        .await
    }
}

/// What a call of a guest comes to: the host's trouble, or the guest's answer.
type Answer<T> = wasmtime::Result<Result<T, types::Failure>>;

/// Carries out a call within its limits, and says what became of it.
async fn drive<T>(
    running: &Running,
    invocation: &Invocation,
    store: &mut Store<Sandbox>,
    name: &'static str,
    call: impl AsyncFnOnce(&mut Store<Sandbox>) -> Answer<T>,
) -> Result<T, CallError> {
    let _ticking = running.pulse.run();
    store.set_epoch_deadline(1);
    let sandbox = store.data();
    let (brake, meter, log) = (
        sandbox.brake.clone(),
        Arc::clone(&sandbox.meter),
        Arc::clone(&sandbox.log),
    );
    let commands = invocation.services.exec.clone();
    let work = meter.count(call(store));
    let work = brake.drive(&invocation.cancel, work);
    let ended = with_its_commands(work, commands.as_deref(), &brake).await;
    log.flush();
    store.data_mut().end_prints();
    let mut crash = match ended {
        Ok(Ok(Ok(answer))) => return Ok(answer),
        Ok(Ok(Err(failure))) => {
            let Sandbox { mask, told, .. } = store.data();
            return Err(CallError::Failed(told.explain(mask.failure(failure))));
        }
        Ok(Err(error)) => Crash::classify(&error, name, &store.data().limits),
        Err(overrun) => Crash::overrun(overrun, name),
    };
    crash.log = log.tail();
    Err(crash.into())
}

/// A call, and the end of the commands that it started: they are asked when it is, and have as long, or when it leaves them behind.
async fn with_its_commands<T>(
    call: impl Future<Output = T>,
    commands: Option<&dyn Exec>,
    brake: &Brake,
) -> T {
    let Some(commands) = commands else {
        return call.await;
    };
    let end = || commands.end(brake.is_stopped().then(|| brake.end()));
    let mut call = pin!(call);
    let ended = tokio::select! {
        biased;
        ended = &mut call => ended,
        () = brake.stopped() => {
            end();
            call.await
        }
    };
    end();
    // It has no other answer than that they ended.
    let _ = commands.ended().await;
    ended
}

/// One long-lived instance of a log sink. After a crash, every further call fails: open another.
pub struct Sink {
    plugin: Plugin,
    invocation: Invocation,
    live: Option<(Store<Sandbox>, log_sink::Guest)>,
    _slot: OwnedSemaphorePermit,
}

impl Sink {
    /// Ships batches. What the receipt does not name is durable.
    ///
    /// # Errors
    ///
    /// When the plugin fails, which leaves it alive, or crashes, which does not.
    pub async fn write(&mut self, batches: Vec<Batch>) -> Result<Receipt, CallError> {
        let lengths: Vec<usize> = batches.iter().map(|batch| batch.ends.len()).collect();
        let batches: Vec<_> = batches.into_iter().map(Into::into).collect();
        let receipt = self
            .call("write", async |store, guest| {
                guest.call_write(store, &batches).await
            })
            .await;
        let mask = mask_of(&self.invocation);
        let receipt = mask.receipt(receipt?);
        let is_known = |entry: &EntryRef| {
            let length = lengths.get(entry.batch as usize);
            length.is_some_and(|length| (entry.index as usize) < *length)
        };
        let rejected = receipt.rejected.iter().map(|rejection| &rejection.entry);
        if !receipt.again.iter().chain(rejected).all(is_known) {
            // Whatever it meant, nothing of this receipt can be believed, and its state is as doubtful.
            self.live = None;
            return Err(lie("write", "its receipt names entries that it was not given").into());
        }
        Ok(receipt)
    }

    /// Whether it can still be called.
    pub fn is_alive(&self) -> bool {
        self.live.is_some()
    }

    /// Tells it that nothing follows, and drops it.
    ///
    /// # Errors
    ///
    /// When the plugin fails or crashes.
    pub async fn close(mut self) -> Result<(), CallError> {
        self.call("close", async |store, guest| guest.call_close(store).await)
            .await
    }

    async fn call<T>(
        &mut self,
        name: &'static str,
        call: impl AsyncFnOnce(&mut Store<Sandbox>, &log_sink::Guest) -> Answer<T>,
    ) -> Result<T, CallError> {
        // Taken out, so that a call that is dropped half-way leaves a dead sink and not a broken instance.
        let Some((mut store, guest)) = self.live.take() else {
            return Err(Crash::new("plugin.gone", name, "it crashed before").into());
        };
        store.data_mut().begin_call();
        let running = &self.plugin.0.running;
        let ended = drive(running, &self.invocation, &mut store, name, async |store| {
            call(store, &guest).await
        })
        .await;
        if !matches!(ended, Err(CallError::Crashed(_))) {
            self.live = Some((store, guest));
        }
        ended
    }
}

/// The right to one more instance; waits for it as long as the call is wanted.
async fn slot(
    running: &Running,
    invocation: &Invocation,
    name: &'static str,
) -> Result<OwnedSemaphorePermit, CallError> {
    tokio::select! {
        biased;
        slot = Arc::clone(&running.slots).acquire_owned() => {
            Ok(slot.expect("the slots are never closed"))
        }
        () = invocation.cancel.cancelled() => Err(Crash::overrun(Overrun::Cancelled, name).into()),
    }
}

/// The indices of a kind, if the plugin is one.
fn known<T>(indices: Option<&T>) -> wasmtime::Result<&T> {
    indices.ok_or_else(|| wasmtime::format_err!("it is not of the kind that was asked"))
}

/// Hides the secrets of a call in what it returned.
fn mask_of(invocation: &Invocation) -> Mask {
    Mask::new(invocation.services.secrets.clone())
}

fn lie(call: &'static str, message: &str) -> Crash {
    Crash::new("plugin.broken", call, message)
}

/// What a pure call may do: nothing.
fn without_services(invocation: &Invocation) -> Invocation {
    Invocation {
        services: crate::service::Services::default(),
        ..invocation.clone()
    }
}

/// What the chance of a pure call follows from: its arguments, so that the same arguments give the same answer.
fn seed(call: &Call) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [&call.name, &call.config, &call.options, &call.facts] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
