//! What the host itself costs: a row for each promise, as medians over turns.
//!
//! ```sh
//! cargo bench -p piper-plugin-host [load | calls | lines]
//! ```
//!
//! Nothing is asserted: whoever reads judges, and knows what else the machine does. All is measured with `tests/guests/idle`, a
//! component in Rust that does nothing. A turn is so many calls in a row, and those that are compared take turns. Times are of this
//! thread on its processor: whatever else runs meanwhile is left out, and so would be waiting, of which there is none here.

#[path = "../src/tests/build.rs"]
mod build;

use piper_plugin_host::{
    Host, HostOptions, Invocation, Plugin,
    kind::{Batch, Call, StepRef},
};
use std::{env, fs, hint::black_box, mem::MaybeUninit, time::Duration};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{Component, InstancePre, Linker},
};

mod wit {
    wasmtime::component::bindgen!({
        path: "../../plugin-sdk/wit/v0.1",
        world: "piper:step/step-runner-plugin",
    });
}

use wit::exports::piper::step::step_runner;

const TURNS: usize = 20;

fn main() {
    let component = fs::read(build::guest("piper-idle-guest")).expect("the guest was built");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be had");
    let folder = tempfile::tempdir().expect("a folder can be had");
    let host = Host::new(HostOptions {
        cache: Some(folder.path().join("cache")),
        ..HostOptions::default()
    });
    let plugin = host.load(&component).expect("the guest is a plugin");

    row("work", "measured", "bar");
    row("---", "---", "---");
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|arg| arg == name);
    if is_wanted("load") {
        load(&host, &component);
    }
    runtime.block_on(async {
        if is_wanted("calls") {
            calls(&plugin, &component).await;
        }
        if is_wanted("lines") {
            lines(&plugin).await;
        }
    });
}

fn load(host: &Host, component: &[u8]) {
    let size = component.len() / 1000;
    let load = median(50, || {
        black_box(host.load(component)).expect("it is in the cache");
    });
    row(
        &format!("load a cached component of {size} kB"),
        &micros(load),
        "1,000 µs for 100 kB",
    );
}

#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn row(work: &str, measured: &str, bar: &str) {
    println!("| {work} | {measured} | {bar} |");
}

fn micros(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}

/// How long this thread has run.
fn spent() -> Duration {
    let mut spent = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call writes a whole `timespec` where it is told to, unless it fails.
    let spent = unsafe {
        let ended = libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, spent.as_mut_ptr());
        assert_eq!(ended, 0, "every thread has such a clock");
        spent.assume_init()
    };
    let seconds = u64::try_from(spent.tv_sec).expect("time does not run backwards");
    Duration::from_secs(seconds) + Duration::from_nanos(spent.tv_nsec.unsigned_abs())
}

/// How long one of so many calls in a row takes.
fn turn(calls: u32, mut call: impl FnMut()) -> Duration {
    let began = spent();
    for _ in 0..calls {
        call();
    }
    (spent() - began) / calls
}

fn median(calls: u32, mut call: impl FnMut()) -> Duration {
    middle((0..TURNS).map(|_| turn(calls, &mut call)).collect())
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// An empty call of a runner: in a fresh instance, as each call is, and by wasmtime alone.
async fn calls(plugin: &Plugin, component: &[u8]) {
    const CALLS: u32 = 500;
    let invocation = Invocation::default();
    let bare = Bare::new(component);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let began = spent();
        for _ in 0..CALLS {
            let verdict = plugin.run(&invocation, Call::default()).await;
            black_box(verdict).expect("it passes");
        }
        ours.push((spent() - began) / CALLS);
        theirs.push(turn(CALLS, || bare.run()));
    }
    let (ours, theirs) = (middle(ours), middle(theirs));
    row(
        "a fresh instance, with its empty call",
        &micros(ours),
        "25 µs",
    );
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    row(
        "an empty call, of the same by wasmtime alone",
        &format!("{ratio:.2} x {}", micros(theirs)),
        "2 x",
    );
}

/// The same component without any host around it: no limits, no epochs, no effects, and not asynchronous.
struct Bare {
    engine: Engine,
    pre: InstancePre<()>,
    runner: step_runner::GuestIndices,
}

impl Bare {
    fn new(component: &[u8]) -> Self {
        let mut config = Config::new();
        let mut pool = PoolingAllocationConfig::new();
        // As the host's, which would win by it otherwise.
        pool.linear_memory_keep_resident(128 * 1024)
            .table_keep_resident(128 * 1024)
            .pagemap_scan(Enabled::Auto);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("this machine can do it");
        let component = Component::new(&engine, component).expect("it is a component");
        let mut linker = Linker::new(&engine);
        linker
            .define_unknown_imports_as_traps(&component)
            .expect("nothing is defined twice");
        let pre = linker.instantiate_pre(&component).expect("all is defined");
        let runner = step_runner::GuestIndices::new(&pre).expect("it is a runner");
        Self {
            engine,
            pre,
            runner,
        }
    }

    fn run(&self) {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store);
        let instance = instance.expect("there is room for one");
        let runner = self.runner.load(&mut store, &instance);
        let call = step_runner::Call {
            name: String::new(),
            config: "{}".into(),
            options: "{}".into(),
            facts: "{}".into(),
        };
        let verdict = runner.expect("it is a runner").call_run(&mut store, &call);
        let _ = black_box(verdict.expect("it does not trap"));
    }
}

/// Batches into a sink that drops them: of a thousand lines, and of one, which is what the call itself costs.
async fn lines(plugin: &Plugin) {
    // As many as stay in the processor's cache: what was just read from a log is there as well.
    const CALLS: usize = 8;
    let opened = plugin.open_sink(Invocation::default(), Call::default());
    let mut sink = opened.await.expect("it opens");
    let (mut many, mut one) = (Vec::new(), Vec::new());
    for _ in 0..10 * TURNS {
        for (entries, times) in [(1_000, &mut many), (1, &mut one)] {
            let batches: Vec<_> = (0..CALLS).map(|_| vec![batch(entries)]).collect();
            // Lies behind them: else the heap would end with them, and giving its end back to the system would be measured.
            let behind = batch(entries);
            let began = spent();
            for batches in batches {
                black_box(sink.write(batches).await).expect("it takes all");
            }
            times.push((spent() - began) / CALLS as u32);
            drop(behind);
        }
    }
    let (many, one) = (middle(many), middle(one));
    row(
        "1,000 log lines of 100 bytes into a sink, with the call",
        &format!("{} (a call with one line: {})", micros(many), micros(one)),
        "10 µs",
    );
}

fn batch(entries: u32) -> Batch {
    let count = entries as usize;
    Batch {
        build: "b".into(),
        attempt: 1,
        facts: "{}".into(),
        text: vec![b'x'; 100 * count],
        ends: (1..=entries).map(|at| 100 * at).collect(),
        times: vec![1; count],
        step_of: vec![0; count],
        marks: vec![0; count],
        steps: vec![StepRef {
            path: "a".into(),
            r#try: 1,
            more: "{}".into(),
        }],
        ..Batch::default()
    }
}
