use super::{
    super::{
        Place,
        sample::{self, Running},
    },
    *,
};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _};
use tempfile::TempDir;

/// A build that ended well, in a file of its own.
fn finished() -> (TempDir, Place, BuildSummary) {
    let (folder, place) = sample::place();
    let build = Running::begin(&place, &sample::build(1, "/a"), 3).finish(Outcome::Succeeded);
    (folder, place, build)
}

/// Where the frames of events begin.
fn frames_of_events(bytes: &[u8]) -> Vec<usize> {
    let frames = memchr::memmem::find_iter(bytes, &bytes[..8]);
    frames.filter(|&at| bytes[at + 9] == 2).collect()
}

/// Damages a frame of events.
fn damage(path: &Path, which: impl Fn(&[usize]) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let place = which(&frames_of_events(&bytes));
    bytes[place + 80] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn error(path: &Path) -> String {
    settle(path).unwrap_err().to_string()
}

#[test]
fn a_root_that_is_no_utf_8_is_read_back() {
    let (_folder, place) = sample::place();
    let build = BuildSummary {
        root: OsStr::from_bytes(b"/\xff1").into(),
        ..sample::build(1, "")
    };
    Running::begin(&place, &build, 1).finish(Outcome::Succeeded);
    let settled = settle(&place.file(build.id)).unwrap().unwrap();
    assert_eq!(settled.root, build.root);
}

#[test]
fn a_build_whose_end_is_damaged_was_not_killed() {
    let (_folder, place, build) = finished();
    let path = place.file(build.id);
    damage(&path, |events| events[events.len() - 1]);
    let whole = fs::read(&path).unwrap();
    let end = settle(&path).unwrap().unwrap().end.unwrap();
    assert_eq!(
        (end.outcome, end.reason.as_deref()),
        (Outcome::Errored, Some(LOST))
    );
    assert!(is_end_unknown(end.outcome, end.reason.as_deref()));
    assert_eq!(fs::read(&path).unwrap(), whole, "nobody writes to it");
}

#[test]
fn a_killed_build_took_at_least_as_long_as_its_file_says_whatever_its_age() {
    let (_folder, place) = sample::place();
    let build = sample::build(1, "/a");
    Running::begin(&place, &build, 3).kill(&place);
    let end = settle(&place.file(build.id)).unwrap().unwrap().end.unwrap();
    // All that the sample tells and prints, it does in its first moment; the file was written just now.
    assert_eq!(end.duration, Duration::ZERO);
    assert_eq!(end.reason.as_deref(), Some(KILLED));
}

#[test]
fn a_file_without_its_beginning_can_still_be_read_by_its_id() {
    let (_folder, place, build) = finished();
    let path = place.file(build.id);
    damage(&path, |events| events[0]);
    assert!(error(&path).contains(&format!("`piper logs {}`", build.id)));
    let left = remains(&path).unwrap();
    assert_eq!(left.id, build.id);
    assert_eq!(left.end.unwrap().outcome, Outcome::Succeeded);
}

#[test]
fn a_file_says_what_is_the_matter_with_it() {
    let (_folder, place, build) = finished();
    let path = place.file(build.id);
    let other = place.file(sample::build(2, "/a").id);
    fs::copy(&path, &other).unwrap();
    assert!(error(&other).contains(&format!("is of build `{0}`: call it `{0}.plog`", build.id)));
    assert!(remains(&other).is_none());
    fs::write(&other, "something else").unwrap();
    assert!(error(&other).contains("no log of piper's"));
    let mut newer = fs::read(&path).unwrap();
    for at in memchr::memmem::find_iter(&newer.clone(), &newer[..8].to_vec()) {
        let header = &mut newer[at..at + 80];
        header[8] = 2;
        let crc = crc32fast::hash(&header[..76]);
        header[76..].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(&path, &newer).unwrap();
    assert!(error(&path).contains("newer piper"));
    assert_eq!(fs::read(&path).unwrap(), newer);
    let made = fs::metadata(&path).unwrap().created();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    file.set_modified(made.unwrap_or(std::time::UNIX_EPOCH) + Duration::from_micros(1))
        .unwrap();
    assert!(error(&path).contains("is empty"));
    assert!(path.exists());
    fs::remove_file(&path).unwrap();
    assert_eq!(settle(&path).unwrap(), None);
}
