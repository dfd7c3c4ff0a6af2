use super::*;
use crate::{
    history::sample::{self, Running},
    ui::{Face, OutputFormat},
};
use piper_core::wire::v1::Outcome;
use std::fs;
use tempfile::TempDir;
use test_case::test_case;

const SILENT: Ui = Ui {
    format: OutputFormat::Text,
    quiet: true,
    live: false,
    verbose: false,
    out: FACE,
    err: FACE,
};

const FACE: Face = Face {
    terminal: false,
    color: false,
};

/// A finished build that the index knows, and what then became of its file.
fn kept(wound: impl Fn(&mut Vec<u8>)) -> (TempDir, Kept) {
    let (folder, place) = sample::place();
    let build = Running::begin(&place, &sample::build(1, "/a"), 3).finish(Outcome::Succeeded);
    let history = LocalHistory::open(place.clone(), build.created).unwrap();
    let path = place.file(build.id);
    let mut bytes = fs::read(&path).unwrap();
    wound(&mut bytes);
    fs::write(&path, bytes).unwrap();
    let kept = Kept::open(&history, build, &SILENT).unwrap();
    (folder, kept)
}

/// Damages the first frame of events.
fn lose_beginning(bytes: &mut [u8]) {
    let magic = bytes[..8].to_vec();
    let mut frames = memchr::memmem::find_iter(bytes, &magic);
    let events = frames.find(|&at| bytes[at + 9] == 2).unwrap();
    bytes[events + 80] ^= 1;
}

#[test]
fn a_whole_file_lacks_nothing() {
    let (_folder, kept) = kept(|_| {});
    assert!(kept.is_whole);
    assert_eq!(kept.lack(), None);
    assert_eq!(kept.labels(), ["unit", "lint[os=a/b]"]);
}

#[test]
fn a_lost_beginning_is_told_as_far_as_the_index_knows_it() {
    let (_folder, kept) = kept(|bytes| lose_beginning(bytes));
    let Some((at, Event::BuildStarted(about))) = kept.story().next() else {
        panic!("a story begins with its beginning")
    };
    assert_eq!(at, kept.build.created);
    assert_eq!(
        (&*about.project, &*about.target, &*about.environment),
        ("hello", "build", "local")
    );
    assert!(!kept.is_whole);
    assert!(kept.lack().unwrap().contains("lost its beginning"));
    assert_eq!(kept.matching("lint").unwrap(), ["lint"], "nobody knows");
}

#[test_case(|bytes| bytes.clear(), "is empty"; "emptied")]
#[test_case(|bytes| bytes.truncate(500), "was cut off: 500 of its "; "cut off")]
#[test_case(|bytes| bytes[500..].fill(0), "does not say how the build ended"; "overwritten")]
fn a_lost_end_is_named(wound: fn(&mut Vec<u8>), lack: &str) {
    let (_folder, kept) = kept(wound);
    let said = kept.lack().unwrap();
    let path = kept.path.display().to_string();
    assert!(said.contains(lack) && said.contains(&path), "{said}");
    assert!(!kept.is_whole);
}

#[test]
fn the_file_of_another_build_is_refused() {
    let (_folder, place) = sample::place();
    let [one, other] = [1, 2]
        .map(|n| Running::begin(&place, &sample::build(n, "/a"), 3).finish(Outcome::Succeeded));
    let history = LocalHistory::open(place.clone(), one.created).unwrap();
    fs::copy(place.file(other.id), place.file(one.id)).unwrap();
    let Err(CliError::Failed(error)) = Kept::open(&history, one, &SILENT) else {
        panic!("it is another build's")
    };
    assert!(error.to_string().contains(other.id.as_str()), "{error}");
}

#[test]
fn a_cell_of_the_index_is_told_as_it_is() {
    let build = BuildSummary {
        cell: "os=a,b,rust=1".to_owned(),
        ..sample::build(1, "/a")
    };
    let Event::BuildStarted(about) = beginning(&build, &[]) else {
        panic!("not a beginning")
    };
    let cell: Vec<_> = about.cell.into_iter().collect();
    assert_eq!(cell, [("os".to_owned(), "a,b,rust=1".to_owned())]);
}

#[test]
fn a_step_is_named_by_its_label_or_with_all_that_it_stands_for() {
    let build = sample::build(1, "/a");
    let labels = vec![
        "unit",
        "lint[os=a/b]",
        "lint[os=c]",
        "report/x",
        "report/y[n=1]",
    ];
    let found = |wanted: &str| matching(&build, labels.clone(), wanted);
    assert_eq!(found("unit").unwrap(), ["unit"]);
    assert_eq!(found("lint").unwrap(), ["lint[os=a/b]", "lint[os=c]"]);
    assert_eq!(found("lint[os=c]").unwrap(), ["lint[os=c]"]);
    assert_eq!(found("report").unwrap(), ["report/x", "report/y[n=1]"]);
    assert_eq!(found("report/y").unwrap(), ["report/y[n=1]"]);
    for slip in ["unti", "UNIT"] {
        let Err(CliError::Problems(problems)) = found(slip) else {
            panic!("there is no such step")
        };
        assert_eq!(problems[0].help, ["did you mean `unit`?"]);
    }
}
