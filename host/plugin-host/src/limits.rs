//! What a plugin may use up: each limit with its default, its ceiling and the attack that it stops.
//!
//! Only the limits that hold inside the sandbox, at its wall and on the wire. What else an effect may use up (state, rates) belongs to
//! the effect; what an operator wrote belongs to [`policy`](crate::policy), and none of it exceeds a ceiling here.

use crate::{crash::Overrun, policy::grant};
use std::time::Duration;
use wasmtime::ResourceLimiter;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The largest component that is looked at, unless the operator raises it: stops files that cost minutes to compile. A component
/// with a whole Python in it has 18 MiB.
pub const COMPONENT_BYTES: usize = 32 * MIB;
/// The most that the operator may raise [`COMPONENT_BYTES`] to.
pub const COMPONENT_BYTES_CEILING: usize = 128 * MIB;
/// The most that the operator may raise [`Limits::memory`] to.
pub const MEMORY_CEILING: usize = 1024 * MIB;
/// The most that the operator may raise [`Limits::cpu`] to.
pub const CPU_CEILING: Duration = Duration::from_secs(60);
/// The most that the operator may raise [`Limits::wall`] to; a step's own timeout is not bound by it.
pub const WALL_CEILING: Duration = Duration::from_secs(600);
/// The most that the operator may raise [`Limits::host_data`] to.
pub const HOST_DATA_CEILING: usize = 64 * MIB;
/// The most that [`Limits::held`] can be.
pub const HELD_CEILING: usize = 256 * MIB;

/// The most that the operator may raise [`Limits::http_concurrent`] to.
pub const HTTP_CONCURRENT_CEILING: usize = 64;
/// The most that the operator may raise [`Limits::http_total`] to.
pub const HTTP_TOTAL_CEILING: Duration = Duration::from_secs(600);

/// Memories in one instance: stops a bomb in many small pieces. A component that `wasm32-wasip2` builds has adapters with their own.
pub(crate) const MEMORIES: usize = 4;
/// Tables in one instance; as with memories.
pub(crate) const TABLES: usize = 16;
/// Elements of all tables together, 8 bytes each: stops `table.grow` in a loop.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
/// Core instances in one instance: stops a component that is made of thousands of modules. JavaScript needs a dozen.
pub(crate) const INSTANCES: usize = 64;
/// Handles that one instance holds of the host's resources: stops a loop that makes requests and never drops them.
pub(crate) const HANDLES: usize = 1_000;
/// Random bytes in one request: stops `random(2^64)`, which the host would have to hold.
pub(crate) const RANDOM_BYTES: u64 = 1024 * 1024;
/// Headers of one message in wasi:http, as they lie in memory (some four times what they take on the wire).
pub(crate) const HEADER_BYTES: usize = 64 * KIB;
/// The stack of the guest: stops recursion without end.
pub(crate) const STACK_BYTES: usize = 512 * KIB;
/// How often a running guest is interrupted to look at its limits and to let others run.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// What one call, or one long-lived instance, may use up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories together, in bytes: stops memory bombs, whether in one memory or in four.
    pub memory: usize,
    /// Time on the processor in one call: stops loops. Waiting is free.
    pub cpu: Duration,
    /// Time from beginning to end of one call, the grace period included: stops waiting for ever.
    pub wall: Duration,
    /// What is left of `wall` for cleaning up once a call is stopped.
    pub grace: Duration,
    /// What one call of the host may carry out of the sandbox, in bytes: stops strings of 4 GiB and lists with lying lengths.
    pub host_data: usize,
    /// What the host holds for one instance besides the guest's own memory, in bytes: requests and commands being put together, and
    /// answers that the guest did not take yet (`limit.held`). Stops a guest that fills the host's memory handle by handle.
    pub held: usize,
    /// HTTP requests under way at once, those included whose answer was not taken yet: stops a plugin from being used as a flood, and
    /// answers from piling up.
    pub http_concurrent: usize,
    /// HTTP requests in one call; likewise.
    pub http_requests: usize,
    /// Until there is a connection: stops waiting for an address that does not answer.
    pub http_connect: Duration,
    /// From the last byte that a server took to the first that it sends; and
    pub http_first_byte: Duration,
    /// from one piece of its answer to the next: stop servers that say nothing, whatever the size of a body.
    pub http_between_bytes: Duration,
    /// A whole exchange, but for bodies from and to files: stops servers that say little and never end.
    pub http_total: Duration,
    /// The body of a request, in bytes, unless it comes from a file.
    pub http_request: usize,
    /// The body of an answer, in bytes, unless it goes to a file: it is held in memory twice.
    pub http_response: usize,
    /// Processes in one call: stops fork bombs by way of the host.
    pub processes: usize,
    /// Outputs that one step may set: stops a step from filling the record of its build.
    pub outputs: usize,
    /// The longest output, in bytes.
    pub output_bytes: usize,
    /// Annotations that one step may report: they are shown to people, on every page of the build.
    pub annotations: usize,
    /// Items of any other kind, tests for instance, that one step may report.
    pub reports: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 * MIB,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            // The largest body and some room for what is around it: too long a body is a failure, not a trap.
            host_data: 17 * MIB,
            // A few of the largest bodies.
            held: 64 * MIB,
            http_concurrent: 8,
            http_requests: 256,
            http_connect: Duration::from_secs(10),
            http_first_byte: Duration::from_secs(30),
            http_between_bytes: Duration::from_secs(30),
            http_total: Duration::from_secs(60),
            http_request: 16 * MIB,
            http_response: 16 * MIB,
            processes: 16,
            outputs: 64,
            output_bytes: 4 * KIB,
            annotations: 200,
            reports: 10_000,
        }
    }
}

impl Limits {
    /// For planners and checks of configurations: pure and short. A machine that does ten other things takes ten times as long over it.
    pub fn of_planner() -> Self {
        Self {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(10),
            ..Self::default()
        }
    }

    /// For webhooks: somebody waits for the answer.
    pub fn of_webhook() -> Self {
        Self {
            cpu: Duration::from_secs(2),
            wall: Duration::from_secs(10),
            ..Self::default()
        }
    }

    /// For runners: as long as the step may take.
    pub fn of_runner(timeout: Duration) -> Self {
        Self {
            wall: timeout,
            http_requests: 10_000,
            ..Self::default()
        }
    }

    /// These limits as the operator set them for one plugin.
    #[must_use]
    pub fn set(self, operator: &grant::Limits) -> Self {
        let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            memory: operator.memory.map_or(self.memory, bytes),
            cpu: operator.cpu.unwrap_or(self.cpu),
            wall: operator
                .wall
                .map_or(self.wall, |wall| wall.min(WALL_CEILING)),
            http_concurrent: operator
                .http_concurrent
                .map_or(self.http_concurrent, |count| bytes(count.into())),
            http_total: operator.http_total.unwrap_or(self.http_total),
            ..self
        }
        .capped()
    }

    /// These limits, none of them above its ceiling, wherever they come from. The wall time is not bound here: it may be a step's own.
    #[must_use]
    pub(crate) fn capped(self) -> Self {
        Self {
            memory: self.memory.min(MEMORY_CEILING),
            cpu: self.cpu.min(CPU_CEILING),
            host_data: self.host_data.min(HOST_DATA_CEILING),
            held: self.held.min(HELD_CEILING),
            http_concurrent: self.http_concurrent.min(HTTP_CONCURRENT_CEILING),
            http_total: self.http_total.min(HTTP_TOTAL_CEILING),
            ..self
        }
    }

    /// How long before the end of `wall` a call is asked to stop, and how long it may go on when it is cancelled: the grace period, but
    /// never most of a short call.
    pub fn warning(&self) -> Duration {
        self.grace.min(self.wall / 4)
    }
}

/// A size in the larger of KiB and MiB in which it is whole, rounded up: the number and the unit.
pub fn in_units(bytes: usize) -> (usize, &'static str) {
    match bytes % MIB {
        0 => (bytes / MIB, "MiB"),
        _ => (bytes.div_ceil(KIB), "KiB"),
    }
}

/// Counts what the memories and tables of one store take together.
#[derive(Debug)]
pub(crate) struct Space {
    limit: usize,
    memory: usize,
    elements: usize,
}

impl Space {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.memory,
            memory: 0,
            elements: 0,
        }
    }
}

impl ResourceLimiter for Space {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A guest whose own declared maximum is reached is told so in the usual way; ours ends the call, because most guests
        // answer a failed allocation with a trap that says nothing.
        let after = self.memory.saturating_add(desired.saturating_sub(current));
        if after > self.limit {
            return Err(Overrun::Memory { limit: self.limit }.into());
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = after;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = desired.saturating_sub(current);
        let after = self.elements.saturating_add(grown);
        if after > TABLE_ELEMENTS {
            return Err(Overrun::Table.into());
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.elements = after;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together() {
        let mut space = Space::new(&Limits {
            memory: 10 * MIB,
            ..Limits::default()
        });
        assert!(space.memory_growing(0, 4 * MIB, None).unwrap());
        assert!(space.memory_growing(0, 4 * MIB, None).unwrap());
        assert!(space.memory_growing(4 * MIB, 6 * MIB, None).unwrap());
        let error = space.memory_growing(0, 64 * KIB, None).unwrap_err();
        assert!(error.is::<Overrun>());
    }

    #[test]
    fn a_guests_own_maximum_is_no_crash_and_costs_nothing() {
        let mut space = Space::new(&Limits::default());
        assert!(!space.memory_growing(0, 2 * MIB, Some(MIB)).unwrap());
        assert_eq!(space.memory, 0);
    }

    #[test]
    fn the_elements_of_tables_count_together() {
        let mut space = Space::new(&Limits::default());
        assert!(space.table_growing(0, TABLE_ELEMENTS, None).unwrap());
        assert!(space.table_growing(0, 1, None).is_err());
    }

    #[test]
    fn an_operator_raises_a_limit_to_its_ceiling_and_no_further() {
        let operator = grant::Limits {
            memory: Some(u64::MAX),
            cpu: Some(Duration::MAX),
            wall: Some(Duration::MAX),
            http_concurrent: Some(u32::MAX),
            http_total: Some(Duration::MAX),
            ..grant::Limits::default()
        };
        let limits = Limits::default().set(&operator);
        assert_eq!(limits.memory, MEMORY_CEILING);
        assert_eq!((limits.cpu, limits.wall), (CPU_CEILING, WALL_CEILING));
        assert_eq!(limits.http_concurrent, HTTP_CONCURRENT_CEILING);
        assert_eq!(limits.http_total, HTTP_TOTAL_CEILING);
        let untouched = Limits::of_webhook().set(&grant::Limits::default());
        assert_eq!(untouched, Limits::of_webhook());
    }

    #[test]
    fn a_short_call_keeps_most_of_its_time() {
        assert_eq!(Limits::of_planner().warning(), Duration::from_millis(2500));
        assert_eq!(Limits::default().warning(), Duration::from_secs(5));
    }
}
