//! The limits of a plugin that the operator can set: one table, by which everything goes that knows them.
//!
//! The decoder of the operator's file, the limits of a call, what is said when one is reached, what `piper plugin check` lists and the
//! table in the SDK's README all read [`TABLE`]. Where a limit holds is not said here, and nothing is measured.

use std::{fmt, num::NonZeroU64, time::Duration};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1_000;

/// A limit by name; its row in [`TABLE`] has the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// `component-size`.
    ComponentSize,
    /// `memory`.
    Memory,
    /// `cpu`.
    Cpu,
    /// `wall`.
    Wall,
    /// `host-data`.
    HostData,
    /// `held`.
    Held,
    /// `table-elements`.
    TableElements,
    /// `handles`.
    Handles,
    /// `http-concurrent`.
    HttpConcurrent,
    /// `http-requests`.
    HttpRequests,
    /// `http-connect`.
    HttpConnect,
    /// `http-first-byte`.
    HttpFirstByte,
    /// `http-between-bytes`.
    HttpBetweenBytes,
    /// `http-total`.
    HttpTotal,
    /// `http-request`.
    HttpRequest,
    /// `http-response`.
    HttpResponse,
    /// `processes`.
    Processes,
    /// `outputs`.
    Outputs,
    /// `output-size`.
    OutputSize,
    /// `annotations`.
    Annotations,
    /// `reports`.
    Reports,
    /// `state`.
    State,
    /// `state-keys`.
    StateKeys,
    /// `state-value`.
    StateValue,
    /// `state-writes`.
    StateWrites,
    /// `cache`.
    Cache,
    /// `log-rate`.
    LogRate,
}

/// In what a limit is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Size,
    /// Milliseconds.
    Time,
    /// Things.
    Count,
    /// Things in a second.
    Rate,
}

/// For which calls a default holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sinks, readers, polls.
    Usual,
    /// Planners and checks of configurations: pure and short. A machine that does ten other things takes ten times as long over it.
    Planner,
    /// Webhooks: somebody waits for the answer.
    Webhook,
    /// Notifiers: whoever ran the build sits before it.
    Notifier,
    /// Steps: as long as the step may take.
    Runner,
}

/// All that is to be known of a limit.
#[derive(Debug)]
pub struct Row {
    /// Which one.
    pub limit: Limit,
    /// How the operator's file calls it, below `limits`.
    pub key: &'static str,
    /// In what it is counted.
    pub unit: Unit,
    /// What holds if the operator says nothing.
    pub usual: u64,
    /// For which calls something else does.
    pub others: &'static [(Role, u64)],
    /// The most that the operator may set.
    pub ceiling: u64,
    /// The code of the failure or the crash when it is reached; none where nothing fails.
    pub code: Option<&'static str>,
    /// What it bounds, and the attack that it stops.
    pub what: &'static str,
}

const fn row(
    limit: Limit,
    key: &'static str,
    unit: Unit,
    (usual, ceiling): (u64, u64),
    code: &'static str,
    what: &'static str,
) -> Row {
    Row {
        limit,
        key,
        unit,
        usual,
        others: &[],
        ceiling,
        code: Some(code),
        what,
    }
}

/// Every limit that can be set, in the order of [`Limit`].
pub static TABLE: [Row; 27] = {
    use Limit as L;
    use Unit::{Count, Rate, Size, Time};
    [
        // A component with a whole Python in it has 18 MiB.
        Row {
            code: None,
            ..row(
                L::ComponentSize,
                "component-size",
                Size,
                (32 * MIB, 128 * MIB),
                "",
                "the component itself: one that takes minutes to compile",
            )
        },
        row(
            L::Memory,
            "memory",
            Size,
            (128 * MIB, GIB),
            "limit.memory",
            "all linear memories together: memory bombs, in one memory or in four",
        ),
        Row {
            others: &[(Role::Planner, SECOND), (Role::Webhook, 2 * SECOND)],
            ..row(
                L::Cpu,
                "cpu",
                Time,
                (5 * SECOND, 60 * SECOND),
                "limit.cpu",
                "time on the processor in one call; waiting is free: loops",
            )
        },
        Row {
            others: &[
                (Role::Planner, 10 * SECOND),
                (Role::Webhook, 10 * SECOND),
                (Role::Notifier, 10 * SECOND),
            ],
            ..row(
                L::Wall,
                "wall",
                Time,
                (30 * SECOND, 600 * SECOND),
                "limit.time",
                "one call from its beginning to its end, but a step's, which has its `timeout`: waiting for ever",
            )
        },
        // The largest body and some room for what is around it: too long a body is a failure, not a crash.
        row(
            L::HostData,
            "host-data",
            Size,
            (17 * MIB, 64 * MIB),
            "limit.host-data",
            "what one call of the host carries out of the sandbox: texts of 4 GiB, lists with lying lengths",
        ),
        // A few of the largest bodies.
        row(
            L::Held,
            "held",
            Size,
            (64 * MIB, 256 * MIB),
            "limit.held",
            "what the host holds for one instance: requests, commands and answers that pile up",
        ),
        row(
            L::TableElements,
            "table-elements",
            Count,
            (100_000, 1_000_000),
            "limit.table",
            "elements of all tables together, 8 bytes each: tables that grow in a loop",
        ),
        row(
            L::Handles,
            "handles",
            Count,
            (1_000, 10_000),
            "limit.handles",
            "handles of the host's resources: requests that are made and never dropped",
        ),
        row(
            L::HttpConcurrent,
            "http-concurrent",
            Count,
            (8, 64),
            "quota.http-concurrency",
            "requests under way, answers included that were not taken yet: a plugin as a flood",
        ),
        Row {
            others: &[(Role::Runner, 10_000)],
            ..row(
                L::HttpRequests,
                "http-requests",
                Count,
                (256, 100_000),
                "quota.http-requests",
                "requests in one call, by `http` and `wasi:http` together: likewise",
            )
        },
        row(
            L::HttpConnect,
            "http-connect",
            Time,
            (10 * SECOND, 600 * SECOND),
            "http.timeout",
            "until there is a connection: addresses that do not answer",
        ),
        row(
            L::HttpFirstByte,
            "http-first-byte",
            Time,
            (30 * SECOND, 600 * SECOND),
            "http.timeout",
            "from the last byte that a server took to the first that it sends: servers that say nothing",
        ),
        row(
            L::HttpBetweenBytes,
            "http-between-bytes",
            Time,
            (30 * SECOND, 600 * SECOND),
            "http.timeout",
            "from one piece of an answer to the next: servers that fall silent",
        ),
        row(
            L::HttpTotal,
            "http-total",
            Time,
            (60 * SECOND, 600 * SECOND),
            "http.timeout",
            "a whole exchange, but with bodies from and to files: servers that drip",
        ),
        // One call of the host carries it: see `host-data`, whose ceiling leaves it room.
        row(
            L::HttpRequest,
            "http-request",
            Size,
            (16 * MIB, 63 * MIB),
            "limit.body",
            "the body of a request, unless it is a file: what is held of it",
        ),
        row(
            L::HttpResponse,
            "http-response",
            Size,
            (16 * MIB, 64 * MIB),
            "limit.body",
            "the body of an answer, unless it goes to a file: answers without end",
        ),
        row(
            L::Processes,
            "processes",
            Count,
            (16, 1_000),
            "quota.exec",
            "commands in one call: fork bombs by way of the host",
        ),
        row(
            L::Outputs,
            "outputs",
            Count,
            (64, 64),
            "limit.outputs",
            "outputs of one step, whoever runs it: a step that fills the record of its build",
        ),
        row(
            L::OutputSize,
            "output-size",
            Size,
            (4 * KIB, 4 * KIB),
            "limit.outputs",
            "one output: likewise",
        ),
        row(
            L::Annotations,
            "annotations",
            Count,
            (200, 10_000),
            "limit.reports",
            "annotations of one step, which people see on every page of the build",
        ),
        row(
            L::Reports,
            "reports",
            Count,
            (10_000, 1_000_000),
            "limit.reports",
            "items of any other kind, tests for instance, that one step reports",
        ),
        row(
            L::State,
            "state",
            Size,
            (16 * MIB, 256 * MIB),
            "quota.state",
            "all keys and values that the plugin keeps: a full disk",
        ),
        row(
            L::StateKeys,
            "state-keys",
            Count,
            (100_000, 1_000_000),
            "quota.state",
            "keys that the plugin keeps: a store that is slow for all",
        ),
        row(
            L::StateValue,
            "state-value",
            Size,
            (64 * KIB, MIB),
            "quota.state",
            "one value: likewise",
        ),
        row(
            L::StateWrites,
            "state-writes",
            Rate,
            (10, 1_000),
            "quota.state",
            "writes a second, of all its calls together, and ten times as many at once: a disk that does nothing else",
        ),
        // What large tools keep, and no disk is full of it.
        row(
            L::Cache,
            "cache",
            Size,
            (GIB, 64 * GIB),
            "fs.full",
            "the files in `/cache`, of all its calls together, and 4 KiB for each of them and of its folders: a full disk",
        ),
        Row {
            code: None,
            ..row(
                L::LogRate,
                "log-rate",
                Rate,
                (200, 10_000),
                "",
                "lines of its own log a second, and five times as many at once; more are dropped and counted: floods of lines",
            )
        },
    ]
};

impl Limit {
    /// All that is to be known of it.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

impl Row {
    /// What holds for such calls if the operator says nothing.
    pub fn default(&self, role: Role) -> u64 {
        let other = self.others.iter().find(|(its, _)| *its == role);
        other.map_or(self.usual, |(_, value)| *value)
    }

    /// The code of the failure or the crash when it is reached; where nothing fails, what is said of all limits.
    pub fn code(&self) -> &'static str {
        self.code.unwrap_or("limit")
    }

    /// The most that the operator may set, as a number of bytes or of things in memory.
    pub fn most(&self) -> usize {
        usize::try_from(self.ceiling).unwrap_or(usize::MAX)
    }
}

/// The units of sizes, largest first.
const UNITS: [(u64, &str); 4] = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"), (1, "B")];

/// The largest unit for which this holds.
fn unit_of(size: u64, fits: impl Fn(u64) -> bool) -> (u64, &'static str) {
    let fitting = UNITS.into_iter().find(|(unit, _)| size > 0 && fits(*unit));
    fitting.unwrap_or((1, "B"))
}

impl Unit {
    /// A value as the operator's file has it: `"16MiB"`, `"30s"`, `8`. Nothing of it is lost.
    pub fn written(self, value: u64) -> String {
        match self {
            Self::Size => {
                let (unit, name) = unit_of(value, |unit| value.is_multiple_of(unit));
                format!("\"{}{name}\"", value / unit)
            }
            Self::Time => format!("\"{}\"", self.shown(value).replace(' ', "")),
            Self::Count | Self::Rate => value.to_string(),
        }
    }

    /// At least this much, in whole units, so that it is short to write: 2.4 GiB become 3.
    fn rounded_up(self, value: u64) -> u64 {
        let unit = match self {
            Self::Size => unit_of(value, |unit| value >= unit).0,
            Self::Time if value > SECOND => SECOND,
            Self::Time | Self::Count | Self::Rate => 1,
        };
        value.checked_next_multiple_of(unit).unwrap_or(value)
    }

    /// A value for people: `16 MiB`, `30 s`, `8`, `10 a second`. Sizes are rounded up to a tenth of their unit.
    pub fn shown(self, value: u64) -> String {
        match self {
            Self::Size => {
                let (unit, name) = unit_of(value, |unit| value >= unit);
                let tenths = (u128::from(value) * 10).div_ceil(unit.into());
                match tenths % 10 {
                    0 => format!("{} {name}", tenths / 10),
                    tenth => format!("{}.{tenth} {name}", tenths / 10),
                }
            }
            Self::Time if value.is_multiple_of(SECOND) => format!("{} s", value / SECOND),
            Self::Time => format!("{value} ms"),
            Self::Count => value.to_string(),
            Self::Rate => format!("{value} a second"),
        }
    }
}

/// A limit and what it allows: what a call came up against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Which one.
    pub limit: Limit,
    /// What it allows, in its unit.
    pub value: u64,
    /// What was wanted, if that is known: small, because each failure has room for it.
    wanted: Option<NonZeroU64>,
}

impl Reached {
    /// A limit with what it allows, in its unit.
    pub fn new(limit: Limit, value: u64) -> Self {
        Self {
            limit,
            value,
            wanted: None,
        }
    }

    /// A limit of bytes or of things.
    pub fn of(limit: Limit, value: usize) -> Self {
        Self::new(limit, value as u64)
    }

    /// A limit of time.
    pub fn after(limit: Limit, time: Duration) -> Self {
        Self::new(limit, u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// What was wanted, if that is known.
    pub fn wanted(&self) -> Option<u64> {
        self.wanted.map(NonZeroU64::get)
    }

    /// The same with what was wanted, if that is known.
    #[must_use]
    pub fn wanting(self, wanted: impl Into<Option<u64>>) -> Self {
        Self {
            wanted: wanted.into().and_then(NonZeroU64::new),
            ..self
        }
    }

    /// The line that allows twice as much, or what was wanted if that is more; none if no line does.
    pub fn line(&self) -> Option<String> {
        let row = self.limit.row();
        let wanted = self.wanted().unwrap_or(0);
        let more = self.value.saturating_mul(2).min(row.ceiling).max(wanted);
        let more = row.unit.rounded_up(more);
        let line = || format!("limits.{} = {}", row.key, row.unit.written(more));
        (more > self.value && more <= row.ceiling).then(line)
    }
}

/// `http-response: 16 MiB`.
impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.limit.row();
        write!(f, "{}: {}", row.key, row.unit.shown(self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use test_case::test_case;

    #[test]
    fn every_limit_has_its_row_and_every_row_a_key_of_its_own() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.limit as usize, at, "{}", row.key);
            let defaults = row.others.iter().map(|(_, value)| *value);
            for value in defaults.chain([row.usual]) {
                assert!((1..=row.ceiling).contains(&value), "{}", row.key);
            }
        }
        let keys: BTreeSet<_> = TABLE.iter().map(|row| row.key).collect();
        assert_eq!(keys.len(), TABLE.len());
        assert_eq!(Limit::LogRate as usize + 1, TABLE.len(), "the last one");
    }

    #[test]
    fn the_largest_request_fits_into_a_call_of_the_host() {
        let ceiling = |limit: Limit| limit.row().ceiling;
        assert!(ceiling(Limit::HttpRequest) < ceiling(Limit::HostData));
    }

    #[test_case(Limit::HttpResponse, 16 << 20, "http-response: 16 MiB", Some("limits.http-response = \"32MiB\""))]
    #[test_case(Limit::HttpResponse, 40 << 20, "http-response: 40 MiB", Some("limits.http-response = \"64MiB\""); "no more than there can be")]
    #[test_case(Limit::Memory, 1 << 30, "memory: 1 GiB", None; "as high as it can be")]
    #[test_case(Limit::Wall, 30_000, "wall: 30 s", Some("limits.wall = \"60s\""))]
    #[test_case(Limit::Cpu, 250, "cpu: 250 ms", Some("limits.cpu = \"500ms\""))]
    #[test_case(Limit::State, 100, "state: 100 B", Some("limits.state = \"200B\""))]
    #[test_case(Limit::State, 1536 << 10, "state: 1.5 MiB", Some("limits.state = \"3MiB\""))]
    #[test_case(Limit::State, 41_234_567, "state: 39.4 MiB", Some("limits.state = \"79MiB\""); "nothing round")]
    #[test_case(Limit::Processes, 64, "processes: 64", Some("limits.processes = 128"))]
    #[test_case(
        Limit::StateWrites,
        10,
        "state-writes: 10 a second",
        Some("limits.state-writes = 20")
    )]
    fn a_limit_is_told_with_its_number_and_its_line(
        limit: Limit,
        value: u64,
        shown: &str,
        line: Option<&str>,
    ) {
        let reached = Reached::new(limit, value);
        assert_eq!(reached.to_string(), shown);
        assert_eq!(reached.line().as_deref(), line);
    }

    #[test_case(100, Some("limits.processes = 128"); "less than twice as much")]
    #[test_case(700, Some("limits.processes = 700"); "more")]
    #[test_case(1_001, None; "more than there can be")]
    fn a_line_allows_what_was_wanted(wanted: u64, line: Option<&str>) {
        let reached = Reached::new(Limit::Processes, 64).wanting(wanted);
        assert_eq!(reached.line().as_deref(), line);
    }

    #[test]
    fn what_is_wanted_is_rounded_up_and_never_above_the_ceiling() {
        let reached = Reached::new(Limit::Cache, GIB).wanting(2_576_980_378);
        assert_eq!(reached.line().as_deref(), Some("limits.cache = \"3GiB\""));
        for row in &TABLE {
            let reached = Reached::new(row.limit, 1).wanting(row.ceiling - 1);
            assert!(row.unit.rounded_up(row.ceiling - 1) <= row.ceiling);
            assert!(reached.line().is_some(), "{}", row.key);
        }
    }

    #[test]
    fn what_is_written_is_what_was_meant() {
        assert_eq!(Unit::Size.written(41_234_567), "\"41234567B\"");
        assert_eq!(Unit::Size.written(1536 << 10), "\"1536KiB\"");
        assert_eq!(Unit::Size.written(0), "\"0B\"");
        assert_eq!(Unit::Size.shown(u64::MAX), "17179869184 GiB");
    }

    #[test]
    fn the_docs_have_every_limit_with_its_numbers() {
        let readme = include_str!("../../../../plugin-sdk/README.md");
        for row in &TABLE {
            let shown = |value| row.unit.shown(value);
            let others: String = row
                .others
                .iter()
                .map(|(role, value)| {
                    format!(", {} {}", format!("{role:?}").to_lowercase(), shown(*value))
                })
                .collect();
            let code = row
                .code
                .map_or_else(|| "–".to_owned(), |code| format!("`{code}`"));
            let line = format!(
                "| `{}` | {}{others} | {} | {code} | {} |",
                row.key,
                shown(row.usual),
                shown(row.ceiling),
                row.what
            );
            assert!(readme.contains(&line), "the README has no line\n{line}");
        }
    }
}
