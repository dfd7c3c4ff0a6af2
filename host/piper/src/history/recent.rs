//! A short list of the builds since old ones were last removed: how a build knows, without the index, that it is time again.
//!
//! One line a build, `TIME SIZE`: when it ended, in microseconds since the epoch, and the bytes of its file. A line that makes no
//! sense is left out: the worst that follows is a sweep too late.

use super::{Place, retention::Limits};
use piper_core::time::Timestamp;
use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    time::Duration,
};

/// How often builds are looked at that became too old.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The list.
#[derive(Debug)]
pub(super) struct Recent {
    path: PathBuf,
}

impl Recent {
    pub(super) fn in_place(place: &Place) -> Self {
        Self {
            path: place.recent(),
        }
    }

    /// Notes a build. `true`: enough has gathered, and this caller, out of all that note one now, is to remove what is old.
    pub(super) fn note(&self, now: Timestamp, size: u64, limits: Limits) -> io::Result<bool> {
        let mut file = File::options()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        // Somebody may have been stopped while he held it, and a line that is missing is no harm.
        if file.try_lock().is_err() {
            return Ok(false);
        }
        file.write_all(format!("{} {size}\n", now.0).as_bytes())?;
        file.rewind()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let due = is_due(&String::from_utf8_lossy(&text), now, limits);
        if due {
            file.set_len(0)?;
        }
        Ok(due)
    }
}

fn is_due(text: &str, now: Timestamp, limits: Limits) -> bool {
    let noted: Vec<(u64, u64)> = text
        .lines()
        .filter_map(|line| {
            let (time, size) = line.split_once(' ')?;
            Some((time.parse().ok()?, size.parse().ok()?))
        })
        .collect();
    let bytes = noted
        .iter()
        .fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
    noted.len() as u64 > limits.slack()
        || bytes > limits.bytes / 16
        || noted
            .first()
            .is_some_and(|(first, _)| now.since(Timestamp(*first)) > SWEEP_EVERY)
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};
    use test_case::test_case;

    const LIMITS: Limits = Limits {
        age: SWEEP_EVERY,
        builds: 10,
        bytes: 1600,
    };
    const NOW: Timestamp = Timestamp(200_000_000_000);

    #[test_case("", false; "nothing")]
    #[test_case("200000000000 1\n199999999999 1\n", false; "within the slack")]
    #[test_case("200000000000 1\n199999999999 1\n199999999999 1\n", true; "too many")]
    #[test_case("200000000000 101\n", true; "too large")]
    #[test_case("200000000000 18446744073709551615\n200000000000 9\n", true; "absurdly large")]
    #[test_case("100000000000 1\n", true; "a day went by")]
    #[test_case("210000000000 1\n", false; "a clock that was set back")]
    #[test_case("x\n\n-1 5\n7\n", false; "rubbish")]
    fn old_builds_are_removed_when_enough_has_gathered(text: &str, due: bool) {
        assert_eq!(is_due(text, NOW, LIMITS), due);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_it() {
        let (_folder, place) = sample::place();
        std::fs::write(place.recent(), b"\xff\xfe\n").unwrap();
        let recent = Recent::in_place(&place);
        let due: Vec<bool> = (0..3)
            .map(|_| recent.note(NOW, 1, LIMITS).unwrap())
            .collect();
        assert_eq!(due, [false, false, true]);
    }

    #[test]
    fn the_list_begins_anew_when_it_was_due() {
        let (_folder, place) = sample::place();
        let recent = Recent::in_place(&place);
        let due: Vec<bool> = (0..6)
            .map(|_| recent.note(NOW, 1, LIMITS).unwrap())
            .collect();
        assert_eq!(due, [false, false, true, false, false, true]);
    }
}
