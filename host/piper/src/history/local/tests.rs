use super::{
    super::sample::{self, Running},
    *,
};
use piper_core::wire::v1::Outcome;

const NOW: Timestamp = Timestamp(100_000_000);

fn open(place: &Place) -> LocalHistory {
    LocalHistory::open(place.clone(), NOW).unwrap()
}

fn all(history: &LocalHistory) -> Vec<BuildSummary> {
    history.list(&Filter::default()).unwrap()
}

#[test]
fn where_nothing_was_kept_there_is_nothing_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let history = open(&Place::below(folder.path()));
    assert_eq!(all(&history), []);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn builds_that_the_index_does_not_know_are_found_by_their_files() {
    let (_folder, place) = sample::place();
    let finished = Running::begin(&place, &sample::build(1, "/a"), 3).finish(Outcome::Failed);
    let running = Running::begin(&place, &sample::build(2, "/b"), 3);
    let history = open(&place);
    assert_eq!(all(&history), [sample::build(2, "/b"), finished]);
    assert!(history.warnings().is_empty(), "{:?}", history.warnings());
    drop(running);
}

#[test]
fn a_build_that_ran_when_it_was_last_looked_at_is_looked_at_again() {
    let (_folder, place) = sample::place();
    let running = Running::begin(&place, &sample::build(1, "/a"), 3);
    assert_eq!(all(&open(&place)), [sample::build(1, "/a")]);
    let finished = running.finish(Outcome::Succeeded);
    assert_eq!(all(&open(&place)), [finished]);
}

#[test]
fn a_build_whose_piper_was_killed_is_closed_once_and_for_all() {
    let (_folder, place) = sample::place();
    Running::begin(&place, &sample::build(1, "/a"), 3).kill(&place);
    let builds = all(&open(&place));
    let end = builds[0].end.clone().unwrap();
    assert_eq!(
        (end.outcome, end.reason.as_deref()),
        (Outcome::Errored, Some(file::KILLED))
    );
    // The file says so too: the same without the index.
    fs::remove_file(place.index()).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", place.index().display()));
    }
    assert_eq!(all(&open(&place)), builds);
}

#[test]
fn a_build_without_a_file_is_forgotten() {
    let (_folder, place) = sample::place();
    let finished = Running::begin(&place, &sample::build(1, "/a"), 3).finish(Outcome::Failed);
    assert_eq!(all(&open(&place)), [finished]);
    fs::remove_file(place.file(sample::build(1, "/a").id)).unwrap();
    assert_eq!(all(&open(&place)), []);
}

#[test]
fn a_damaged_index_is_made_again_from_the_files() {
    let (_folder, place) = sample::place();
    let finished = Running::begin(&place, &sample::build(1, "/a"), 3).finish(Outcome::Failed);
    drop(open(&place));
    fs::write(place.index(), b"rubbish".repeat(1000)).unwrap();
    let history = open(&place);
    assert_eq!(all(&history), std::slice::from_ref(&finished));
    assert!(
        history.warnings()[0].contains("damaged"),
        "{:?}",
        history.warnings()
    );
    let again = open(&place);
    assert_eq!(all(&again), [finished]);
    assert!(again.warnings().is_empty());
}

#[test]
fn damage_that_shows_only_inside_is_mended_too() {
    let (_folder, place) = sample::place();
    let finished = Running::begin(&place, &sample::build(1, "/a"), 3).finish(Outcome::Failed);
    drop(open(&place));
    // The first page is in the write-ahead log, and whole.
    fs::write(place.index(), [0xa5; 40_960]).unwrap();
    let history = open(&place);
    assert_eq!(all(&history), [finished]);
    assert!(open(&place).warnings().is_empty());
}

#[test]
fn without_a_usable_index_the_files_are_read() {
    let (_folder, place) = sample::place();
    let finished = Running::begin(&place, &sample::build(1, "/a"), 3).finish(Outcome::Failed);
    fs::create_dir(place.index()).unwrap();
    let history = open(&place);
    assert_eq!(all(&history), [finished]);
    assert!(history.warnings()[0].contains("reading the builds' files instead"));
}

#[test]
fn a_file_that_is_no_build_is_named_and_harms_no_other() {
    let (_folder, place) = sample::place();
    let finished = Running::begin(&place, &sample::build(1, "/a"), 3).finish(Outcome::Failed);
    let rubbish = place.file(sample::build(2, "/a").id);
    fs::write(&rubbish, b"rubbish".repeat(1000)).unwrap();
    fs::write(place.builds().join("notes.txt"), "mine").unwrap();
    let history = open(&place);
    assert_eq!(all(&history), [finished]);
    assert!(
        history.warnings()[0].contains(rubbish.to_str().unwrap()),
        "{:?}",
        history.warnings()
    );
    assert!(rubbish.exists());
}

#[test]
fn what_is_removed_is_gone_with_its_file_and_what_its_steps_left() {
    let (_folder, place) = sample::place();
    let builds =
        [1, 2].map(|n| Running::begin(&place, &sample::build(n, "/a"), 3).finish(Outcome::Failed));
    let left = builds.each_ref().map(|build| {
        let folder = Place::artifacts(&place.file(build.id)).join("deep");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.bin"), [0; 5000]).unwrap();
        folder
    });
    let mut history = open(&place);
    let size = all(&history)[0].end.as_ref().unwrap().size;
    assert!((5000..9000).contains(&size), "{size}");
    history.remove(&[builds[0].id]).unwrap();
    assert!(!place.file(builds[0].id).exists() && place.file(builds[1].id).exists());
    assert!(!left[0].parent().unwrap().exists() && left[1].exists());
    assert_eq!(all(&open(&place)).len(), 1);
}
