//! The contract of `policy::state` on files, several processes at them, and crashes in the middle.

use super::*;
use crate::policy::limit::{Limit, Reached};
use piper_core::time::Monotonic;
use proptest::prelude::*;
use std::thread;

fn name() -> PluginName {
    PluginName::parse("es").unwrap()
}

fn at(millis: u64) -> Now {
    Now {
        wall: Timestamp(millis * 1_000),
        mono: Monotonic(Duration::from_millis(millis)),
    }
}

fn put<'a>(key: &'a str, value: &'a [u8], expect: Option<u64>) -> Put<'a> {
    Put {
        key,
        value,
        expect,
        ttl: None,
    }
}

fn roomy() -> StateLimits {
    StateLimits {
        writes_per_second: 1_000_000,
        write_burst: 1_000_000,
        ..StateLimits::default()
    }
}

fn open(folder: &Path) -> FileState {
    FileState::open(folder.join("state"), roomy()).unwrap()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("state/es.state")
}

#[test]
fn what_was_written_is_there_after_a_restart_and_for_others_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    assert_eq!(one.get(&name(), "a", at(0)).unwrap(), None);
    let first = one.put(&name(), put("a", b"1", Some(0)), at(0)).unwrap();
    assert_eq!(
        other.get(&name(), "a", at(0)).unwrap().unwrap().version,
        first
    );
    let conflict = other.put(&name(), put("a", b"2", Some(0)), at(0));
    assert!(matches!(conflict, Err(StateError::Conflict { found }) if found == first));
    let second = other
        .put(&name(), put("a", b"2", Some(first)), at(0))
        .unwrap();
    one.delete(&name(), "a", Some(second), at(0)).unwrap();
    let third = open(folder.path())
        .put(&name(), put("a", b"3", Some(0)), at(0))
        .unwrap();
    assert!(third > second && second > first, "also across a deletion");
    assert_eq!(one.keys(&name(), "", None, 9, at(0)).unwrap(), ["a"]);
    let stranger = PluginName::parse("other").unwrap();
    assert_eq!(one.get(&stranger, "a", at(0)).unwrap(), None);
}

#[test]
fn a_key_ends_with_its_time_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let short = Put {
        ttl: Some(Duration::from_secs(10)),
        ..put("a", b"1", None)
    };
    let first = open(folder.path()).put(&name(), short, at(0)).unwrap();
    let state = open(folder.path());
    assert!(state.get(&name(), "a", at(9_999)).unwrap().is_some());
    assert_eq!(state.get(&name(), "a", at(10_000)).unwrap(), None);
    let second = state
        .put(&name(), put("a", b"2", Some(0)), at(10_000))
        .unwrap();
    assert!(second > first);
}

#[test]
fn of_many_who_count_at_once_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let count = |state: FileState| {
        for _ in 0..50 {
            loop {
                let old = state.get(&name(), "n", at(0)).unwrap();
                let (value, expect) = match &old {
                    Some(entry) => (entry.value[0] + 1, entry.version),
                    None => (1, 0),
                };
                match state.put(&name(), put("n", &[value], Some(expect)), at(0)) {
                    Ok(_) => break,
                    Err(StateError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            // Each with files of its own, as another process has.
            let state = open(folder.path());
            scope.spawn(move || count(state));
        }
    });
    let counted = open(folder.path())
        .get(&name(), "n", at(0))
        .unwrap()
        .unwrap();
    assert_eq!(counted.value, [200]);
}

/// A file system gives the number of a file that is gone to the next one.
#[test]
fn a_file_in_the_place_of_the_one_that_was_read_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    one.put(&name(), put("a", b"1", None), at(0)).unwrap();
    for turn in 2..9_u8 {
        fs::remove_file(file(folder.path())).unwrap();
        other
            .put(&name(), put("a", &[turn], Some(0)), at(0))
            .unwrap();
        let got = one.get(&name(), "a", at(0)).unwrap().unwrap();
        assert_eq!(got.value, [turn]);
    }
}

#[test]
fn a_long_history_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (state, other) = (open(folder.path()), open(folder.path()));
    let value = vec![7; 1_000];
    let mut version = 0;
    for at_ms in 0..1_000 {
        let key = format!("k{}", at_ms % 10);
        version = state
            .put(&name(), put(&key, &value, None), at(at_ms))
            .unwrap();
    }
    state.delete(&name(), "k9", None, at(1_000)).unwrap();
    let size = fs::metadata(file(folder.path())).unwrap().len();
    assert!(size < SLACK + 40_000, "{size}");
    assert_eq!(
        other.keys(&name(), "", None, 99, at(1_000)).unwrap().len(),
        9
    );
    let next = other
        .put(&name(), put("k9", b"x", Some(0)), at(1_000))
        .unwrap();
    assert!(next > version, "versions go on after the history is gone");
}

#[test]
fn a_file_of_somebody_else_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    fs::write(file(folder.path()), "something else altogether").unwrap();
    let got = state.put(&name(), put("a", b"1", None), at(0));
    assert!(matches!(got, Err(StateError::Unavailable(_))));
    let left = fs::read_to_string(file(folder.path())).unwrap();
    assert_eq!(left, "something else altogether");
}

#[test]
fn limits_hold() {
    let folder = tempfile::tempdir().unwrap();
    let limits = StateLimits {
        keys: 2,
        total: 20,
        ..roomy()
    };
    let state = FileState::open(folder.path().join("state"), limits).unwrap();
    let write = |key, value| state.put(&name(), put(key, value, None), at(0));
    write("a", b"1").unwrap();
    write("b", b"2").unwrap();
    assert!(matches!(
        write("c", b"3"),
        Err(StateError::Full {
            limit: Reached {
                limit: Limit::StateKeys,
                ..
            }
        })
    ));
    assert!(matches!(
        write("b", &[0; 18]),
        Err(StateError::Full {
            limit: Reached {
                limit: Limit::State,
                ..
            }
        })
    ));
    write("b", &[0; 17]).unwrap();
    let slow = StateLimits {
        writes_per_second: 1,
        write_burst: 1,
        ..limits
    };
    let slow = FileState::open(folder.path().join("state"), slow).unwrap();
    slow.put(&name(), put("a", b"1", None), at(0)).unwrap();
    let too_often = slow.put(&name(), put("a", b"1", None), at(1)).unwrap_err();
    let failure = Failure::from(too_often);
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::Transient, "quota.state")
    );
    assert_eq!(failure.retry_after, Some(Duration::from_millis(999)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever a crash cut the file off or tore it, all up to there is read, and what is written then stays.
    #[test]
    fn a_crash_loses_at_most_what_was_not_answered(cut in 0_usize..400, garbage in proptest::collection::vec(any::<u8>(), 0..40)) {
        let folder = tempfile::tempdir().unwrap();
        let state = open(folder.path());
        let mut ends = vec![MAGIC.len() as u64];
        for key in ["a", "b", "c", "d"] {
            state.put(&name(), put(key, key.repeat(40).as_bytes(), None), at(0)).unwrap();
            ends.push(fs::metadata(file(folder.path())).unwrap().len());
        }
        let mut bytes = fs::read(file(folder.path())).unwrap();
        let cut = cut.min(bytes.len());
        bytes.truncate(cut);
        let whole = ends.iter().filter(|end| **end <= cut as u64).count().saturating_sub(1);
        // A head that is not whole is followed by nothing: nobody writes behind it.
        if cut >= MAGIC.len() {
            bytes.extend(garbage);
        }
        fs::write(file(folder.path()), &bytes).unwrap();
        let state = open(folder.path());
        let kept = state.keys(&name(), "", None, 9, at(0)).unwrap();
        prop_assert_eq!(kept.len(), whole);
        state.put(&name(), put("new", b"n", Some(0)), at(0)).unwrap();
        let again = open(folder.path());
        prop_assert_eq!(again.keys(&name(), "", None, 9, at(0)).unwrap().len(), whole + 1);
        prop_assert_eq!(again.get(&name(), "new", at(0)).unwrap().unwrap().value, b"n");
    }
}
