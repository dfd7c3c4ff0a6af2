//! What `builds`, `show`, `logs` and `gc` share: the history, the project at hand, the build that is meant, and times for people.

use super::{CliError, GlobalArgs};
use crate::{
    find,
    history::{LocalHistory, Place, remains},
    ui::{
        Face, Ui,
        output::Outputs,
        style::{Style, is_unicode_locale},
    },
};
use piper_core::{
    address::{Address, BuildRef},
    codes::UNKNOWN_BUILD,
    id::BuildId,
    problem::Problem,
    record::{BuildSummary, FindError, History},
    time::Timestamp,
    wire::{path::to_text, v1::Listed},
};
use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

/// Opens this machine's history, and says what is the matter with it.
pub(super) fn open(ui: &Ui, now: Timestamp) -> Result<LocalHistory, CliError> {
    let place = Place::find().map_err(|error| CliError::Failed(error.into()))?;
    let history = LocalHistory::open(place, now).map_err(|error| CliError::Failed(error.into()))?;
    for warning in history.warnings() {
        ui.warn(warning);
    }
    Ok(history)
}

/// The canonical root of the project at hand; `None` outside of any. The file is not read: a broken one has builds too.
///
/// # Errors
///
/// When a folder was named that is not there: the builds of other projects are no answer to that.
pub(super) fn root(global: &GlobalArgs) -> Result<Option<PathBuf>, CliError> {
    let directory = global.directory.as_deref();
    if directory.is_some() {
        find::start(directory)?;
    }
    Ok(find::root(directory))
}

/// Reads an address; without one, the newest build here.
pub(super) fn address(text: Option<&str>) -> Result<Address, CliError> {
    match text {
        None => Ok(Address::NEWEST),
        Some(text) => Address::parse(text).map_err(|problem| CliError::from(*problem)),
    }
}

/// The build that an address means. A whole id finds a file that the index cannot list, because its beginning is lost.
pub(super) fn find(
    history: &LocalHistory,
    address: &Address,
    root: Option<&Path>,
) -> Result<BuildSummary, CliError> {
    let unlisted = || match &address.build {
        BuildRef::Prefix(id) => remains(&history.file(BuildId::parse(id)?)),
        BuildRef::Newest | BuildRef::NewestOf(_) | BuildRef::NewestFailed => None,
    };
    let build = match history.find(&address.build, root) {
        Ok(build) => build,
        Err(FindError::Problem(problem)) => unlisted().ok_or_else(|| CliError::from(*problem))?,
        Err(FindError::History(error)) => return Err(CliError::Failed(error.into())),
    };
    match address.attempt {
        None | Some(1) => Ok(build),
        Some(attempt) => Err(Problem::error(
            UNKNOWN_BUILD,
            format!("build `{}` has no attempt {attempt}", build.id.short()),
        )
        .help("a build of this machine has one attempt")
        .into()),
    }
}

/// How wide a list may be: one line for each name where lines would be broken, all of it where a program may read it.
pub(super) fn columns(ui: &Ui) -> Result<usize, CliError> {
    Ok(match ui.out.terminal {
        true => Outputs::of_stdout(ui.out)?.talk().size().columns,
        false => usize::MAX,
    })
}

/// How things look on a stream.
pub(super) fn style(face: Face) -> Style {
    Style::new(face.color, is_unicode_locale(|name| env::var_os(name)))
}

/// How long ago something was: `just now`, `5 min ago`, `3 days ago`.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.since(then).as_secs();
    let (count, unit) = match seconds {
        0..10 => return "just now".to_owned(),
        10..60 => (seconds, "s"),
        60..3_600 => (seconds / 60, "min"),
        3_600..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit} ago")
}

/// A number of bytes for people: `0 B`, `12.3 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", bytes as f64 / size as f64),
        None => format!("{bytes} B"),
    }
}

/// A build as a line of a list.
pub(super) fn listed(build: &BuildSummary, seq: u64, kind: &str) -> Listed {
    let end = build.end.as_ref();
    Listed {
        v: 1,
        seq,
        at: build.created.to_string(),
        build: build.id.to_string(),
        r#type: kind.to_owned(),
        root: to_text(&build.root).into_owned(),
        project: build.project.clone(),
        target: build.target.clone(),
        cell: build.cell.clone(),
        environment: build.environment.clone(),
        revision: build.revision.clone(),
        version: build.version.clone(),
        outcome: end.map(|end| end.outcome),
        reason: end.and_then(|end| end.reason.clone()),
        duration_us: end.map(|end| end.duration.as_micros() as u64),
        size: end.map(|end| end.size),
    }
}

/// Local times of day. Reading the time zone costs, so one second is asked for once.
#[derive(Debug, Default)]
pub(super) struct LocalTime {
    second: u64,
    text: String,
}

impl LocalTime {
    /// `14:03:59.123`.
    pub(super) fn stamp(&mut self, at: Timestamp) -> String {
        let second = at.0 / 1_000_000;
        if self.second != second || self.text.is_empty() {
            let time = local(second as libc::time_t);
            self.second = second;
            self.text = format!("{:02}:{:02}:{:02}", time.tm_hour, time.tm_min, time.tm_sec);
        }
        format!("{}.{:03}", self.text, at.0 / 1_000 % 1_000)
    }
}

/// `2026-01-31 14:03:59`, local.
pub(super) fn moment(at: Timestamp) -> String {
    let time = local((at.0 / 1_000_000) as libc::time_t);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        time.tm_year + 1900,
        time.tm_mon + 1,
        time.tm_mday,
        time.tm_hour,
        time.tm_min,
        time.tm_sec
    )
}

fn local(second: libc::time_t) -> libc::tm {
    // SAFETY: `tm` is numbers and a pointer, for which all zeroes are valid.
    let mut time: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call. It reads TZ from the environment, which nobody here changes.
    // If it fails (a year beyond its numbers), all stays zero.
    unsafe { libc::localtime_r(&raw const second, &raw mut time) };
    time
}

/// A duration as on the command line: `90s`, `10m`, `1h30m`, `2d`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = match rest[digits..].chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then_some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(0, "just now")]
    #[test_case(59, "59 s ago")]
    #[test_case(300, "5 min ago")]
    #[test_case(86_400, "24 h ago")]
    #[test_case(172_800, "2 days ago")]
    fn a_time_is_shown_by_how_long_ago_it_was(seconds: u64, text: &str) {
        assert_eq!(ago(Timestamp(seconds * 1_000_000), Timestamp(0)), text);
    }

    #[test_case(1023, "1023 B")]
    #[test_case(1536, "1.5 KiB")]
    #[test_case(1 << 30, "1.0 GiB")]
    fn a_size_is_shown_for_people(size: u64, text: &str) {
        assert_eq!(bytes(size), text);
    }

    #[test_case("90s", Some(90))]
    #[test_case("1h30m", Some(5_400))]
    #[test_case("2d", Some(172_800))]
    #[test_case("", None; "nothing")]
    #[test_case("5", None; "no unit")]
    #[test_case("h", None; "no number")]
    #[test_case("5é", None; "no ascii")]
    #[test_case("99999999999999999999s", None; "too large")]
    fn a_duration_is_read(text: &str, seconds: Option<u64>) {
        assert_eq!(duration(text), seconds.map(Duration::from_secs));
    }

    #[test]
    fn a_time_of_day_has_milliseconds() {
        let stamp = LocalTime::default().stamp(Timestamp(1_767_323_045_123_456));
        assert!(stamp.ends_with(":05.123") && stamp.len() == 12, "{stamp}");
    }
}
