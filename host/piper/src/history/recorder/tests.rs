use super::{super::sample, *};
use piper_core::{record::Filter, wire::v1::Outcome};
use std::{fs, path::Path, time::Instant};

fn indexed(place: &Place) -> Vec<BuildSummary> {
    Index::open(&place.index())
        .unwrap()
        .list(&Filter::default())
        .unwrap()
}

#[test]
fn a_build_is_noted_when_it_begins_and_when_it_ends() {
    let (_folder, place) = sample::place();
    let mut recorder = LocalRecorder::in_place(place.clone());
    let build = sample::build(1, "/a");
    assert_eq!(recorder.begin(&build), Some(place.file(build.id)));
    while indexed(&place).is_empty() {
        thread::yield_now();
    }
    assert_eq!(indexed(&place), std::slice::from_ref(&build));
    let end = sample::end(Outcome::Succeeded);
    assert_eq!(recorder.end(build.id, end.clone()), [""; 0]);
    assert_eq!(
        indexed(&place),
        [BuildSummary {
            end: Some(end),
            ..build
        }]
    );
}

#[test]
fn one_recorder_keeps_many_builds_one_after_another_and_side_by_side() {
    let (_folder, place) = sample::place();
    let mut recorder = LocalRecorder::in_place(place.clone());
    for n in 0..20 {
        let (one, two) = (sample::build(2 * n, "/a"), sample::build(2 * n + 1, "/a"));
        recorder.begin(&one);
        recorder.begin(&two);
        for build in [one, two] {
            assert_eq!(
                recorder.end(build.id, sample::end(Outcome::Failed)),
                [""; 0]
            );
        }
    }
    assert_eq!(
        indexed(&place)
            .iter()
            .filter(|build| build.end.is_some())
            .count(),
        40
    );
}

#[test]
fn fifty_recorders_at_once_lose_nothing() {
    let (_folder, place) = sample::place();
    thread::scope(|scope| {
        for n in 0..50 {
            let place = place.clone();
            scope.spawn(move || {
                let mut recorder = LocalRecorder::in_place(place);
                let build = sample::build(n, "/a");
                recorder.begin(&build);
                assert_eq!(
                    recorder.end(build.id, sample::end(Outcome::Failed)),
                    [""; 0]
                );
            });
        }
    });
    assert_eq!(indexed(&place).len(), 50);
}

#[test]
fn a_file_where_the_folder_should_be_is_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("piper"), "").unwrap();
    let mut recorder = LocalRecorder::in_place(Place::below(folder.path()));
    let build = sample::build(1, "/a");
    assert_eq!(recorder.begin(&build), None);
    let warnings = recorder.end(build.id, sample::end(Outcome::Failed));
    assert!(
        warnings.len() == 1 && warnings[0].contains("nothing is kept"),
        "{warnings:?}"
    );
}

#[test]
fn a_locked_index_is_one_warning_in_time_and_the_build_is_found_later() {
    let (_folder, place) = sample::place();
    drop(Index::open(&place.index()).unwrap());
    // Holds SQLite's write lock, as another process would.
    let holder = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(wal_index(&place))
        .unwrap();
    lock_writer(&holder);
    let mut recorder = LocalRecorder::in_place(place.clone());
    let build = sample::build(1, "/a");
    let file = recorder.begin(&build);
    let asked = now();
    let warnings = recorder.end(build.id, sample::end(Outcome::Failed));
    assert!(asked.elapsed() < 2 * PATIENCE);
    assert!(file.is_some() && warnings.len() == 1, "{warnings:?}");
    assert!(warnings[0].contains("not in the index yet"), "{warnings:?}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is about how long something takes"
)]
fn now() -> Instant {
    Instant::now()
}

fn wal_index(place: &Place) -> PathBuf {
    let _ = Index::open(&place.index())
        .unwrap()
        .list(&Filter::default());
    Path::new(&format!("{}-shm", place.index().display())).to_owned()
}

/// SQLite's write lock is byte 120 of the shared memory file; an open file description's own lock counts against ours too.
fn lock_writer(file: &fs::File) {
    use std::os::fd::AsRawFd;
    // SAFETY: `flock` is numbers, for which all zeroes are valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as _;
    lock.l_whence = libc::SEEK_SET as _;
    lock.l_start = 120;
    lock.l_len = 1;
    // SAFETY: `lock` is a valid `flock` and the descriptor is open.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    assert_eq!(result, 0);
}

#[test]
fn a_damaged_index_is_put_aside_and_the_build_is_noted() {
    let (_folder, place) = sample::place();
    fs::write(place.index(), b"rubbish".repeat(1000)).unwrap();
    let mut recorder = LocalRecorder::in_place(place.clone());
    let build = sample::build(1, "/a");
    recorder.begin(&build);
    let warnings = recorder.end(build.id, sample::end(Outcome::Failed));
    assert!(
        warnings.len() == 1 && warnings[0].contains("damaged"),
        "{warnings:?}"
    );
    assert_eq!(indexed(&place).len(), 1);
}

#[test]
fn a_build_whose_piper_was_killed_is_closed_by_the_next_one() {
    let (_folder, place) = sample::place();
    let dead = sample::build(1, "/a");
    Index::open(&place.index())
        .unwrap()
        .put(std::slice::from_ref(&dead))
        .unwrap();
    sample::Running::begin(&place, &dead, 3).kill(&place);
    let mut recorder = LocalRecorder::in_place(place.clone());
    let build = sample::build(2, "/a");
    recorder.begin(&build);
    assert_eq!(
        recorder.end(build.id, sample::end(Outcome::Succeeded)),
        [""; 0]
    );
    let outcomes: Vec<_> = indexed(&place)
        .iter()
        .map(|build| build.end.as_ref().unwrap().outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Succeeded, Outcome::Errored]);
}
