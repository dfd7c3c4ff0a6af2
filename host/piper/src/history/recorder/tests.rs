use super::{
    super::{
        LocalHistory,
        sample::{self, Running},
    },
    *,
};
use piper_core::{
    record::{Filter, History as _},
    wire::v1::Outcome,
};
use std::{fs, thread, time::Duration};

#[test]
fn a_build_writes_only_its_own_file_until_somebody_looks() {
    let (_folder, place) = sample::place();
    let mut recorder = LocalRecorder::in_place(place.clone());
    let build = sample::build(1, "/a");
    assert_eq!(recorder.begin(&build), Some(place.file(build.id)));
    let done = Running::begin(&place, &build, 1).finish(Outcome::Succeeded);
    assert_eq!(recorder.end(build.id, build.created), [""; 0]);
    assert!(!place.index().exists());
    let history = LocalHistory::open(place, build.created).unwrap();
    assert_eq!(history.list(&Filter::default()).unwrap(), [done]);
}

#[test]
fn a_file_where_the_folder_should_be_is_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("piper"), "").unwrap();
    let mut recorder = LocalRecorder::in_place(Place::below(folder.path()));
    let build = sample::build(1, "/a");
    assert_eq!(recorder.begin(&build), None);
    let warnings = recorder.end(build.id, build.created);
    assert!(
        warnings.len() == 1 && warnings[0].contains("nothing is kept"),
        "{warnings:?}"
    );
}

#[test]
fn old_builds_go_while_new_ones_come_and_of_many_at_once_one_removes_them() {
    let (_folder, place) = sample::place();
    let day = Duration::from_secs(24 * 60 * 60);
    thread::scope(|scope| {
        for worker in 0..4 {
            let place = place.clone();
            scope.spawn(move || {
                let mut recorder = LocalRecorder::in_place(place.clone());
                for n in 0..20 {
                    let mut build = sample::build(worker * 20 + n, "/a");
                    // Half of them are older than anything is kept.
                    build.created = Timestamp(0) + day * if n % 2 == 0 { 1 } else { 100 };
                    recorder.begin(&build);
                    Running::begin(&place, &build, 1).finish(Outcome::Failed);
                    assert_eq!(recorder.end(build.id, build.created), [""; 0]);
                }
            });
        }
    });
    let left = fs::read_dir(place.builds()).unwrap().count();
    assert!((40..60).contains(&left), "{left}");
}

#[test]
fn a_build_that_was_stopped_for_days_ends_when_it_ends() {
    let (_folder, place) = sample::place();
    let mut recorder = LocalRecorder::in_place(place.clone());
    let day = Duration::from_secs(24 * 60 * 60);
    let build = sample::build(1, "/a");
    recorder.begin(&build);
    Running::begin(&place, &build, 1).finish(Outcome::Succeeded);
    let now = build.created + 3 * day;
    assert_eq!(recorder.end(build.id, now), [""; 0]);
    let noted = fs::read_to_string(place.recent()).unwrap();
    assert!(noted.starts_with(&format!("{} ", now.0)), "{noted}");
}
