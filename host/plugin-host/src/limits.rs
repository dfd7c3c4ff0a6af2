//! What a plugin may use up: the limits of its calls as they hold, and those that nobody can set, with why.
//!
//! What can be set stands in one [table](crate::policy::limit::TABLE), with each limit's default, its ceiling and the attack that it
//! stops; here it becomes the [`Limits`] of one call. Where they hold is for the sandbox, its wall and the effects.

use crate::{
    crash::Overrun,
    policy::{
        grant,
        limit::{Limit, Reached, Role, TABLE},
        state::StateLimits,
    },
};
use std::time::Duration;
use wasmtime::ResourceLimiter;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// Fixed, because the engine's pool is laid out for them once in a process, before any plugin is known: memories, tables, instances and
// the stack. No ordinary component comes near them.

/// Memories in one instance: stops a bomb in many small pieces. A component that `wasm32-wasip2` builds has adapters with their own.
pub(crate) const MEMORIES: usize = 4;
/// Tables in one instance; as with memories.
pub(crate) const TABLES: usize = 16;
/// Core instances in one instance: stops a component that is made of thousands of modules. JavaScript needs a dozen.
pub(crate) const INSTANCES: usize = 64;
/// Random bytes in one request: stops `random(2^64)`, which the host would have to hold.
pub(crate) const RANDOM_BYTES: u64 = 1024 * 1024;
/// Headers of one message in wasi:http, as they lie in memory (some four times what they take on the wire).
pub(crate) const HEADER_BYTES: usize = 64 * KIB;
/// The stack of the guest: stops recursion without end.
pub(crate) const STACK_BYTES: usize = 512 * KIB;
/// How often a running guest is interrupted to look at its limits and to let others run.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// What one call, or one long-lived instance, may use up. What each field bounds and which attack it stops is said in the
/// [table](TABLE), in the row of the same name.
#[expect(missing_docs, reason = "each is said in its row of the table")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub component_size: usize,
    pub memory: usize,
    pub cpu: Duration,
    pub wall: Duration,
    /// What is left of `wall` for cleaning up once a call is stopped; a step has its own.
    pub grace: Duration,
    pub host_data: usize,
    pub held: usize,
    pub table_elements: usize,
    pub handles: usize,
    pub http_concurrent: usize,
    pub http_requests: usize,
    pub http_connect: Duration,
    pub http_first_byte: Duration,
    pub http_between_bytes: Duration,
    pub http_total: Duration,
    pub http_request: usize,
    pub http_response: usize,
    pub processes: usize,
    pub outputs: usize,
    pub output_size: usize,
    pub annotations: usize,
    pub reports: usize,
    pub state: usize,
    pub state_keys: usize,
    pub state_value: usize,
    pub state_writes: usize,
    pub cache: usize,
    pub log_rate: usize,
}

/// Where a limit is kept.
enum Field<'a> {
    Number(&'a mut usize),
    Time(&'a mut Duration),
}

impl Field<'_> {
    fn value(self) -> u64 {
        match self {
            Self::Number(number) => *number as u64,
            Self::Time(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn set(self, value: u64) {
        match self {
            Self::Number(number) => *number = usize::try_from(value).unwrap_or(usize::MAX),
            Self::Time(time) => *time = Duration::from_millis(value),
        }
    }

    fn cap(self, most: u64) {
        match self {
            Self::Number(number) => {
                *number = (*number).min(usize::try_from(most).unwrap_or(usize::MAX));
            }
            Self::Time(time) => *time = (*time).min(Duration::from_millis(most)),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of_role(Role::Usual)
    }
}

impl Limits {
    /// What holds for such calls if the operator says nothing.
    fn of_role(role: Role) -> Self {
        let mut limits = Self {
            component_size: 0,
            memory: 0,
            cpu: Duration::ZERO,
            wall: Duration::ZERO,
            grace: Duration::from_secs(5),
            host_data: 0,
            held: 0,
            table_elements: 0,
            handles: 0,
            http_concurrent: 0,
            http_requests: 0,
            http_connect: Duration::ZERO,
            http_first_byte: Duration::ZERO,
            http_between_bytes: Duration::ZERO,
            http_total: Duration::ZERO,
            http_request: 0,
            http_response: 0,
            processes: 0,
            outputs: 0,
            output_size: 0,
            annotations: 0,
            reports: 0,
            state: 0,
            state_keys: 0,
            state_value: 0,
            state_writes: 0,
            cache: 0,
            log_rate: 0,
        };
        for row in &TABLE {
            limits.field(row.limit).set(row.default(role));
        }
        limits
    }

    /// For planners and checks of configurations.
    pub fn of_planner() -> Self {
        Self::of_role(Role::Planner)
    }

    /// For webhooks.
    pub fn of_webhook() -> Self {
        Self::of_role(Role::Webhook)
    }

    /// For notifiers.
    pub fn of_notifier() -> Self {
        Self::of_role(Role::Notifier)
    }

    /// For runners: as long as the step may take.
    pub fn of_runner(timeout: Duration) -> Self {
        Self {
            wall: timeout,
            ..Self::of_role(Role::Runner)
        }
    }

    fn field(&mut self, limit: Limit) -> Field<'_> {
        use Field::{Number, Time};
        match limit {
            Limit::ComponentSize => Number(&mut self.component_size),
            Limit::Memory => Number(&mut self.memory),
            Limit::Cpu => Time(&mut self.cpu),
            Limit::Wall => Time(&mut self.wall),
            Limit::HostData => Number(&mut self.host_data),
            Limit::Held => Number(&mut self.held),
            Limit::TableElements => Number(&mut self.table_elements),
            Limit::Handles => Number(&mut self.handles),
            Limit::HttpConcurrent => Number(&mut self.http_concurrent),
            Limit::HttpRequests => Number(&mut self.http_requests),
            Limit::HttpConnect => Time(&mut self.http_connect),
            Limit::HttpFirstByte => Time(&mut self.http_first_byte),
            Limit::HttpBetweenBytes => Time(&mut self.http_between_bytes),
            Limit::HttpTotal => Time(&mut self.http_total),
            Limit::HttpRequest => Number(&mut self.http_request),
            Limit::HttpResponse => Number(&mut self.http_response),
            Limit::Processes => Number(&mut self.processes),
            Limit::Outputs => Number(&mut self.outputs),
            Limit::OutputSize => Number(&mut self.output_size),
            Limit::Annotations => Number(&mut self.annotations),
            Limit::Reports => Number(&mut self.reports),
            Limit::State => Number(&mut self.state),
            Limit::StateKeys => Number(&mut self.state_keys),
            Limit::StateValue => Number(&mut self.state_value),
            Limit::StateWrites => Number(&mut self.state_writes),
            Limit::Cache => Number(&mut self.cache),
            Limit::LogRate => Number(&mut self.log_rate),
        }
    }

    /// What a limit allows, in its unit.
    pub fn value(&self, limit: Limit) -> u64 {
        self.clone().field(limit).value()
    }

    /// A limit with what it allows, to be told when it is reached.
    pub(crate) fn reached(&self, limit: Limit) -> Reached {
        Reached::new(limit, self.value(limit))
    }

    /// These limits as the operator set them for one plugin.
    #[must_use]
    pub fn set(mut self, operator: &grant::Limits) -> Self {
        for row in &TABLE {
            if let Some(value) = operator.get(row.limit) {
                self.field(row.limit).set(value.min(row.ceiling));
            }
        }
        if operator.get(Limit::HostData).is_none() {
            // Too long a body is a failure, not a crash: one that is not too long must get through.
            self.host_data = self.host_data.max(self.http_request.saturating_add(MIB));
        }
        self
    }

    /// These limits, none of them above its ceiling, wherever they come from. The wall time is not bound here: it may be a step's own.
    #[must_use]
    pub(crate) fn capped(mut self) -> Self {
        for row in TABLE.iter().filter(|row| row.limit != Limit::Wall) {
            self.field(row.limit).cap(row.ceiling);
        }
        self
    }

    /// What of them a store of plugins' state keeps to.
    pub fn of_state(&self) -> StateLimits {
        let writes = u32::try_from(self.state_writes).unwrap_or(u32::MAX);
        StateLimits {
            keys: self.state_keys,
            value: self.state_value,
            total: self.state,
            writes_per_second: writes,
            write_burst: writes.saturating_mul(10),
            ..StateLimits::default()
        }
    }

    /// How long before the end of `wall` a call is asked to stop: the grace period, but never most of a short call.
    pub fn warning(&self) -> Duration {
        self.grace.min(self.wall / 4)
    }
}

/// Counts what the memories and tables of one store take together.
#[derive(Debug)]
pub(crate) struct Space {
    memory_limit: usize,
    memory: usize,
    element_limit: usize,
    elements: usize,
}

impl Space {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory,
            memory: 0,
            element_limit: limits.table_elements,
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
        let limit = self.memory_limit;
        if after > limit {
            return Err(Overrun::Memory {
                limit,
                wanted: after,
            }
            .into());
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
        let limit = self.element_limit;
        if after > limit {
            return Err(Overrun::Table {
                limit,
                wanted: after,
            }
            .into());
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
    use crate::crash::Crash;

    #[test]
    fn memories_count_together() {
        let mut space = Space::new(&Limits {
            memory: 10 * MIB,
            ..Limits::default()
        });
        assert!(space.memory_growing(0, 4 * MIB, None).unwrap());
        assert!(space.memory_growing(0, 4 * MIB, None).unwrap());
        assert!(space.memory_growing(4 * MIB, 6 * MIB, None).unwrap());
        let error = space.memory_growing(0, 20 * MIB, None).unwrap_err();
        let crash = Crash::overrun(*error.downcast_ref().unwrap(), "run");
        assert_eq!(
            crash.limit.unwrap().line().unwrap(),
            "limits.memory = \"30MiB\""
        );
    }

    #[test]
    fn a_guests_own_maximum_is_no_crash_and_costs_nothing() {
        let mut space = Space::new(&Limits::default());
        assert!(!space.memory_growing(0, 2 * MIB, Some(MIB)).unwrap());
        assert_eq!(space.memory, 0);
    }

    #[test]
    fn the_elements_of_tables_count_together() {
        let limits = Limits::default();
        let mut space = Space::new(&limits);
        assert!(space.table_growing(0, limits.table_elements, None).unwrap());
        let error = space.table_growing(0, 200_000, None).unwrap_err();
        let crash = Crash::overrun(*error.downcast_ref().unwrap(), "run");
        assert_eq!(crash.limit.unwrap().wanted(), Some(300_000));
    }

    #[test]
    fn an_operator_raises_each_limit_to_its_ceiling_and_no_further() {
        for row in &TABLE {
            let operator = |value| grant::Limits::default().with(row.limit, value);
            let set = |value| Limits::default().set(&operator(value)).value(row.limit);
            assert_eq!((set(1), set(u64::MAX)), (1, row.ceiling), "{}", row.key);
            assert_eq!(Limits::default().value(row.limit), row.usual);
        }
        let untouched = Limits::of_webhook().set(&grant::Limits::default());
        assert_eq!(untouched, Limits::of_webhook());
    }

    #[test]
    fn nothing_is_above_its_ceiling_but_the_time_of_a_step() {
        let mut limits = Limits::of_runner(Duration::MAX);
        for row in &TABLE {
            limits.field(row.limit).set(u64::MAX);
        }
        let capped = limits.capped();
        for row in &TABLE {
            let is_capped = capped.value(row.limit) == row.ceiling;
            assert_eq!(is_capped, row.limit != Limit::Wall, "{}", row.key);
        }
    }

    #[test]
    fn a_longer_body_gets_through_unless_the_operator_says_otherwise() {
        let longer = grant::Limits::default().with(Limit::HttpRequest, 32 << 20);
        assert_eq!(Limits::default().set(&longer).host_data, 33 * MIB);
        let tight = longer.with(Limit::HostData, 1 << 20);
        assert_eq!(Limits::default().set(&tight).host_data, MIB);
    }

    #[test]
    fn a_short_call_keeps_most_of_its_time() {
        assert_eq!(Limits::of_planner().warning(), Duration::from_millis(2500));
        assert_eq!(Limits::default().warning(), Duration::from_secs(5));
    }
}
