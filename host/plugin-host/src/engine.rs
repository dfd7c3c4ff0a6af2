//! The one engine of a process: made when the first plugin is loaded, never by a pipeline without plugins.
//!
//! Nothing here knows what a plugin does; [`Plugin`](crate::Plugin) calls, and [`load`](crate::load) makes it.

use crate::{
    limits::{self, TICK},
    linker::Links,
    load::{self, Cache},
    policy::{limit::Limit, source::PluginDigest},
};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};
use tokio::sync::Semaphore;
use wasmparser::WasmFeatures;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    component::Component,
};
use wasmtime_wasi::WasiCtx;

/// How many instances may live at once, sinks included. More calls wait: each instance reserves address space and may take up to its
/// limit of memory.
const SLOTS: u32 = 64;

/// What a host is made with.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The folder of compiled components; without one, each is compiled whenever it is loaded.
    pub cache: Option<PathBuf>,
    /// The largest component that is looked at, in bytes.
    pub component_bytes: usize,
    /// Whether room for instances is made once for all of them, which pays off with some hundred calls.
    pub has_pool: bool,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            cache: None,
            component_bytes: limits::Limits::default().component_size,
            has_pool: true,
        }
    }
}

/// Loads plugins and runs them. Cheap to clone; costs nothing until the first plugin is loaded.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    options: HostOptions,
    running: OnceLock<Result<Arc<Running>, String>>,
    /// What is being looked for in the cache for whoever loads it next.
    sought: Mutex<Sought>,
}

/// Components by digest, each with a place for what is found.
type Sought = BTreeMap<PluginDigest, Arc<OnceLock<Option<Component>>>>;

impl Host {
    /// A host that has done nothing yet.
    pub fn new(options: HostOptions) -> Self {
        Self(Arc::new(Inner {
            options,
            running: OnceLock::new(),
            sought: Mutex::default(),
        }))
    }

    /// The folder of compiled components, if there is to be one.
    pub(crate) fn cache(&self) -> Result<Option<Cache>, load::Error> {
        let folder = self.0.options.cache.as_deref();
        folder.map(Cache::open).transpose()
    }

    pub(crate) fn options(&self) -> &HostOptions {
        &self.0.options
    }

    /// The engine and what goes with it, made now if need be.
    pub(crate) fn running(&self) -> Result<&Arc<Running>, String> {
        let make = || {
            Running::start(self.0.options.has_pool)
                .map(Arc::new)
                .map_err(|e| format!("{e:#}"))
        };
        self.0
            .running
            .get_or_init(make)
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Begins to make the engine beside whatever the caller does next, and to look for what was compiled of these components; for when it
    /// is known that a plugin will be loaded, and probably which.
    pub fn warm(&self, digests: impl IntoIterator<Item = PluginDigest>) {
        let sought: Vec<_> = digests
            .into_iter()
            .map(|digest| (digest, Arc::clone(self.sought().entry(digest).or_default())))
            .collect();
        let host = self.clone();
        // Nobody waits for it: whoever needs something of it makes it, or gets what was made. Without a thread, it is made then.
        let _ = thread::Builder::new()
            .name("plugin-warm".into())
            .spawn(move || {
                let Ok(running) = host.running() else { return };
                let Ok(Some(cache)) = host.cache() else {
                    return;
                };
                for (digest, place) in sought {
                    place.get_or_init(|| cache.find(&running.engine, digest));
                }
                // What is left is not waited for until the first call. If it fails, whoever loads a plugin is told.
                let _ = running.pulse.begin();
                // The first of a process asks the processor what it can do, which takes long on a virtual machine.
                drop(WasiCtx::builder());
            });
    }

    /// What was compiled of a component before.
    pub(crate) fn kept(
        &self,
        running: &Running,
        cache: &Cache,
        digest: PluginDigest,
    ) -> Option<Component> {
        let find = || cache.find(&running.engine, digest);
        // Taken: whoever loads it again, perhaps compiled by then, looks anew.
        let sought = self.sought().remove(&digest);
        sought.map_or_else(find, |place| place.get_or_init(find).clone())
    }

    fn sought(&self) -> MutexGuard<'_, Sought> {
        self.0.sought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a plugin was loaded yet.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.0.running.get().is_none()
    }
}

/// The engine, its linker and its clock.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) links: Mutex<Links>,
    pub(crate) pulse: Pulse,
    pub(crate) slots: Arc<Semaphore>,
}

impl Running {
    fn start(has_pool: bool) -> wasmtime::Result<Self> {
        let plain = || Engine::new(&config(None));
        let engine = match has_pool {
            // It reserves address space for all slots, which `ulimit -v` or a small machine may refuse.
            true => Engine::new(&config(Some(pool()))).or_else(|_| plain())?,
            false => plain()?,
        };
        Ok(Self {
            links: Mutex::new(Links::new(&engine)),
            pulse: Pulse::new(engine.clone()),
            slots: Arc::new(Semaphore::new(SLOTS as usize)),
            engine,
        })
    }
}

/// The wasm that a plugin may be made of: 2.0 with SIMD but without `externref`, which only a garbage collector can hold; several
/// memories, tail calls and extended constant expressions. Part of the contract, whatever a later wasmtime can do.
pub(crate) fn accepted() -> WasmFeatures {
    (WasmFeatures::WASM2 - WasmFeatures::GC_TYPES)
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

fn config(pool: Option<PoolingAllocationConfig>) -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all() - accepted(), false)
        .wasm_features(accepted(), true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(limits::STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed);
    match pool {
        Some(pool) => config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)),
        None => config.allocation_strategy(InstanceAllocationStrategy::OnDemand),
    };
    config
}

/// What of an instance's memory and tables is wiped and kept for the next one, in bytes, instead of being given back to the system and
/// faulted in again, which costs as much as all else of an instance: what a small plugin touches.
const RESIDENT: usize = 128 * 1024;

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let each = |limit: usize| u32::try_from(limit).expect("limits of instances are small numbers");
    // What all slots may hold on average is less than what one may hold at most: an ordinary component has two memories and a handful
    // of instances. When the pool is empty a call fails as `host.busy`, which is tried again.
    pool.total_component_instances(SLOTS)
        .total_stacks(SLOTS)
        .total_core_instances(SLOTS * 16)
        .total_memories(SLOTS * 2)
        .total_tables(SLOTS * 8)
        .max_core_instances_per_component(each(limits::INSTANCES))
        .max_memories_per_component(each(limits::MEMORIES))
        .max_memories_per_module(each(limits::MEMORIES))
        .max_tables_per_component(each(limits::TABLES))
        .max_tables_per_module(each(limits::TABLES))
        .table_elements(Limit::TableElements.row().most())
        .max_memory_size(Limit::Memory.row().most())
        .linear_memory_keep_resident(RESIDENT)
        .table_keep_resident(RESIDENT)
        // Wipes what was touched, not the lowest addresses: a stack ends at 1 MiB. Linux has it since 6.7; before, it is as if not set.
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Advances the engine's epoch while calls run, and sleeps when none does.
pub(crate) struct Pulse {
    engine: Engine,
    beat: Arc<Beat>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Beat {
    /// Calls under way.
    calls: AtomicUsize,
    /// The thread waits for a call.
    is_asleep: AtomicBool,
    is_over: AtomicBool,
}

/// How many ticks without a call it takes to fall asleep: waking a thread costs more than a few ticks too many.
const DROWSY: u32 = 100;

impl Pulse {
    fn new(engine: Engine) -> Self {
        Self {
            engine,
            beat: Arc::default(),
            thread: Mutex::default(),
        }
    }

    /// Starts the thread, if that was not done yet; before the first call.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (beat, engine) = (Arc::clone(&self.beat), self.engine.clone());
            let builder = thread::Builder::new().name("plugin-epoch".into());
            *thread = Some(builder.spawn(move || tick(&beat, &engine))?);
        }
        Ok(())
    }

    /// Keeps the epoch going until the guard is dropped.
    pub(crate) fn run(&self) -> impl Drop + use<'_> {
        self.beat.calls.fetch_add(1, Ordering::SeqCst);
        if self.beat.is_asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Calling(&self.beat)
    }

    fn wake(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = &*thread {
            thread.thread().unpark();
        }
    }
}

struct Calling<'a>(&'a Beat);

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(beat: &Beat, engine: &Engine) {
    let mut idle = 0;
    while !beat.is_over.load(Ordering::SeqCst) {
        let calls = beat.calls.load(Ordering::SeqCst);
        idle = if calls == 0 { idle + 1 } else { 0 };
        if idle > DROWSY {
            beat.is_asleep.store(true, Ordering::SeqCst);
            // Whoever begins a call after this line sees that we sleep; whoever did before it is seen here.
            if beat.calls.load(Ordering::SeqCst) == 0 && !beat.is_over.load(Ordering::SeqCst) {
                thread::park();
            }
            beat.is_asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
        thread::park_timeout(TICK);
        engine.increment_epoch();
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.beat.is_over.store(true, Ordering::SeqCst);
        self.wake();
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // The thread cannot panic; if it did, there would be nobody left to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

    fn wait_until(condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "it never happens"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_epoch_rests_when_nothing_runs_and_goes_on_with_the_next_call() {
        let engine = Engine::new(&config(None)).unwrap();
        let pulse = Pulse::new(engine);
        pulse.begin().unwrap();
        let is_asleep = || pulse.beat.is_asleep.load(Ordering::SeqCst);
        wait_until(is_asleep);
        let call = pulse.run();
        wait_until(|| !is_asleep());
        drop(call);
        // Ends, asleep or not.
        wait_until(is_asleep);
        drop(pulse);
    }

    #[test]
    fn an_engine_without_a_pool_accepts_the_same() {
        Engine::new(&config(None)).expect("the fallback works");
        Engine::new(&config(Some(pool()))).expect("the pool works");
    }
}
