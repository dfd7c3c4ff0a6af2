//! What belongs to one instance of a plugin: its context, its limits, and what it was granted.
//!
//! Everything is denied here unless [`Services`] say otherwise: no folders, no addresses, no names, an empty environment, a closed
//! stdin. Nothing here calls the plugin.

use crate::{
    call::{Brake, Cancel, Meter},
    crash::Overrun,
    engine::Running,
    imports::{held::Budget, requests::Requests, told::Told, wasi_http::Hooks},
    limits::{self, Limits, Space},
    log::{PluginLog, Receiver, Silence, Stream},
    mask::{Mask, MaskedStream},
    service::Services,
};
use bytes::Bytes;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::AsyncWrite;
use wasmtime::{Store, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView,
    WasiView, async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// With what a plugin is called.
#[derive(Clone)]
pub struct Invocation {
    /// What it may use up.
    pub limits: Limits,
    /// What it was granted.
    pub services: Services,
    /// Who gets its log.
    pub log: Arc<dyn Receiver>,
    /// Stops the call.
    pub cancel: Cancel,
}

impl Default for Invocation {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            services: Services::default(),
            log: Arc::new(Silence),
            cancel: Cancel::new(),
        }
    }
}

/// Whether an instance sees the world's time and chance.
pub(crate) enum World {
    /// The clock goes on and random is random.
    Real,
    /// The clock stands at 0 and random follows from this seed.
    Frozen([u8; 32]),
}

/// What has been used of the limits that are counted and not measured.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub(crate) processes: usize,
    pub(crate) outputs: std::collections::BTreeSet<String>,
    pub(crate) reports: std::collections::BTreeMap<String, usize>,
}

/// The data of one instance's store.
pub(crate) struct Sandbox {
    wasi: WasiCtx,
    wasi_http: WasiHttpCtx,
    hooks: Hooks,
    pub(crate) table: ResourceTable,
    space: Space,
    pub(crate) limits: Limits,
    pub(crate) meter: Arc<Meter>,
    pub(crate) brake: Brake,
    pub(crate) log: Arc<PluginLog>,
    pub(crate) services: Services,
    pub(crate) mask: Mask,
    /// What a step prints, by stream.
    pub(crate) printed: [MaskedStream; 2],
    pub(crate) used: Used,
    /// What is held for the guest outside of its memory.
    pub(crate) held: Budget,
    pub(crate) requests: Requests,
    pub(crate) told: Told,
}

impl Sandbox {
    /// A store with nothing in it yet.
    pub(crate) fn store(running: &Running, invocation: &Invocation, world: &World) -> Store<Self> {
        let limits = invocation.limits.clone().capped();
        let mask = Mask::new(invocation.services.secrets.clone());
        let receiver = Arc::clone(&invocation.log);
        let log = Arc::new(PluginLog::new(receiver, mask.clone(), limits.log_rate));
        let brake = Brake::new(&limits);
        let (requests, told) = (Requests::new(&limits), Told::default());
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let mut wasi_http = WasiHttpCtx::new();
        wasi_http.set_field_size_limit(limits::HEADER_BYTES);
        let gate = invocation.services.http.as_ref().map(|http| http.gate());
        let (host_data, handles) = (limits.host_data, limits.handles);
        let mut store = Store::new(
            &running.engine,
            Self {
                wasi: wasi(&log, world),
                wasi_http,
                hooks: Hooks::new(gate, brake.clone(), requests.clone(), told.clone()),
                table,
                space: Space::new(&limits),
                meter: Arc::default(),
                brake,
                log,
                services: invocation.services.clone(),
                mask,
                printed: Default::default(),
                used: Used::default(),
                held: Budget::new(limits.held),
                requests,
                told,
                limits,
            },
        );
        store.limiter(|sandbox| &mut sandbox.space);
        store.set_hostcall_fuel(host_data);
        store.set_max_component_handles(handles);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            let sandbox = store.data();
            let limit = sandbox.limits.cpu;
            if sandbox.meter.spent() > limit {
                return Err(Overrun::Cpu { limit }.into());
            }
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ))
        });
        store
    }

    /// Begins the next call of a long-lived instance: its time and its counts begin anew, its memory does not.
    pub(crate) fn begin_call(&mut self) {
        self.brake = Brake::new(&self.limits);
        self.hooks.begin_call(self.brake.clone());
        self.requests.begin_call();
        self.told.begin_call();
        self.meter.reset();
        self.used = Used::default();
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Sandbox {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.wasi_http,
        }
    }
}

fn wasi(log: &Arc<PluginLog>, world: &World) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    wasi.allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(limits::RANDOM_BYTES)
        .stdout(Printer(Arc::clone(log), Stream::Stdout))
        .stderr(Printer(Arc::clone(log), Stream::Stderr));
    if let World::Frozen(seed) = world {
        let [low, high] = [&seed[..16], &seed[16..]];
        let number = low
            .iter()
            .fold(0, |number, byte| number << 8 | u128::from(*byte));
        wasi.wall_clock(Stopped)
            .monotonic_clock(Stopped)
            .secure_random(Deterministic::new(seed.to_vec()))
            .insecure_random(Deterministic::new(high.to_vec()))
            .insecure_random_seed(number);
    }
    wasi.build()
}

/// A clock that stands at 0.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// What a runtime prints goes into the plugin's log at once: the text of a panic must be there before its trap is.
#[derive(Clone)]
struct Printer(Arc<PluginLog>, Stream);

impl IsTerminal for Printer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printer {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

/// How many bytes are taken at once.
const PRINT: usize = 64 * 1024;

#[async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}

impl OutputStream for Printer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > PRINT {
            return Err(StreamError::trap(
                "more bytes were written than were allowed",
            ));
        }
        self.0.print(self.1, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PRINT)
    }
}

impl AsyncWrite for Printer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.print(self.1, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
