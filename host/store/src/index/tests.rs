use super::*;
use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt as _, thread};
use tempfile::TempDir;

fn number(n: u64) -> BuildId {
    BuildId::from_random(u128::from(n))
}

fn build(n: u64, root: &str, target: &str, outcome: Option<Outcome>) -> BuildSummary {
    BuildSummary {
        id: number(n),
        root: root.into(),
        project: "hello".to_owned(),
        target: target.to_owned(),
        cell: "rust=1.80".to_owned(),
        environment: "local".to_owned(),
        revision: Some("0123456".to_owned()),
        version: None,
        created: Timestamp(1_000_000 + n),
        end: outcome.map(|outcome| BuildEnd {
            outcome,
            reason: Some("step `unit` failed".to_owned()),
            duration: Duration::from_micros(7),
            size: 100,
        }),
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    (folder, path)
}

fn ids(builds: &[BuildSummary]) -> Vec<BuildId> {
    builds.iter().map(|build| build.id).collect()
}

#[test]
fn what_is_put_in_comes_out_newest_first() {
    let (_folder, path) = place();
    let builds = [
        build(2, "/a", "build", Some(Outcome::Failed)),
        build(1, "/a", "build", None),
    ];
    Index::open(&path).unwrap().put(&builds).unwrap();
    let index = Index::open(&path).unwrap();
    assert_eq!(index.list(&Filter::default()).unwrap(), builds);
    assert_eq!(ids(&index.unfinished().unwrap()), [number(1)]);
    assert_eq!(index.ids().unwrap().len(), 2);
}

#[test]
fn a_filter_selects_by_each_of_its_parts_and_by_all_together() {
    let mut index = Index::in_memory().unwrap();
    let builds = [
        build(1, "/a", "build", Some(Outcome::Succeeded)),
        build(2, "/a", "deploy", Some(Outcome::Failed)),
        build(3, "/b", "build", Some(Outcome::Failed)),
        build(4, "/a", "build", None),
    ];
    index.put(&builds).unwrap();
    let found = |filter: Filter| -> Vec<u64> {
        let found = index.list(&filter).unwrap();
        found
            .iter()
            .map(|build| build.created.0 - 1_000_000)
            .collect()
    };
    let all = Filter::default;
    assert_eq!(
        found(Filter {
            root: Some("/a".into()),
            ..all()
        }),
        [4, 2, 1]
    );
    assert_eq!(
        found(Filter {
            target: Some("build".into()),
            ..all()
        }),
        [4, 3, 1]
    );
    assert_eq!(
        found(Filter {
            outcome: Some(Outcome::Failed),
            ..all()
        }),
        [3, 2]
    );
    assert_eq!(
        found(Filter {
            limit: Some(1),
            ..all()
        }),
        [4]
    );
    let prefix = number(3).as_str()[..2].to_owned();
    assert_eq!(
        found(Filter {
            id_prefix: Some(prefix),
            ..all()
        }),
        [3]
    );
    let together = Filter {
        root: Some("/a".into()),
        target: Some("build".into()),
        outcome: Some(Outcome::Succeeded),
        id_prefix: Some(number(1).to_string()),
        limit: Some(9),
    };
    assert_eq!(found(together), [1]);
}

#[test]
fn projects_whose_roots_are_no_utf_8_are_told_apart() {
    let mut index = Index::in_memory().unwrap();
    let roots: [&[u8]; 3] = [b"/\xff1", b"/\xfe1", "/\u{fffd}1".as_bytes()];
    let roots = roots.map(|root| PathBuf::from(OsStr::from_bytes(root)));
    for (n, root) in (1..).zip(&roots) {
        let build = BuildSummary {
            root: root.clone(),
            ..build(n, "", "build", None)
        };
        index.put(&[build]).unwrap();
    }
    for (n, root) in (1..).zip(&roots) {
        let here = Filter {
            root: Some(root.clone()),
            ..Filter::default()
        };
        let found = index.list(&here).unwrap();
        assert_eq!(ids(&found), [number(n)]);
        assert_eq!(&found[0].root, root);
    }
}

#[test]
fn a_build_that_ended_does_not_run_again() {
    let mut index = Index::in_memory().unwrap();
    let running = build(1, "/a", "build", None);
    let ended = build(1, "/a", "build", Some(Outcome::Succeeded));
    for build in [&running, &ended, &running] {
        index.put(std::slice::from_ref(build)).unwrap();
    }
    assert_eq!(index.list(&Filter::default()).unwrap(), [ended]);
}

#[test]
fn removed_builds_are_gone_and_unknown_ones_no_error() {
    let mut index = Index::in_memory().unwrap();
    index
        .put(&[build(1, "/a", "build", None), build(2, "/a", "build", None)])
        .unwrap();
    index.remove(&[number(1), number(9)]).unwrap();
    assert_eq!(index.ids().unwrap(), [number(2)]);
}

#[test]
fn a_file_that_is_no_index_is_put_aside_with_its_log() {
    for rubbish in [
        b"".to_vec(),
        b"not a database, but long enough to be looked at".repeat(100),
    ] {
        let (folder, path) = place();
        fs::write(&path, rubbish).unwrap();
        fs::write(suffixed(&path, "-wal"), b"stale").unwrap();
        assert!(matches!(Index::open(&path), Err(Error::Damaged { .. })));

        let aside = Index::put_aside(&path, Timestamp(7)).unwrap().unwrap();
        assert_eq!(aside, folder.path().join("index.db.damaged-7"));
        assert!(!suffixed(&path, "-wal").exists());
        Index::open(&path)
            .unwrap()
            .put(&[build(1, "/a", "build", None)])
            .unwrap();
        assert_eq!(
            Index::put_aside(&path, Timestamp(8)).unwrap(),
            None,
            "it is sound now"
        );
    }
}

#[test]
fn an_index_with_a_torn_page_is_damaged() {
    let (_folder, path) = place();
    let builds: Vec<_> = (0..500).map(|n| build(n, "/a", "build", None)).collect();
    let mut index = Index::open(&path).unwrap();
    index.put(&builds).unwrap();
    index
        .connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    drop(index);
    let mut bytes = fs::read(&path).unwrap();
    // Behind the header and the schema's page, which are read first.
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let listed = Index::open(&path).and_then(|index| index.list(&Filter::default()));
    assert!(matches!(listed, Err(Error::Damaged { .. })), "{listed:?}");
    assert!(Index::put_aside(&path, Timestamp(7)).unwrap().is_some());
    assert_eq!(Index::open(&path).unwrap().ids().unwrap(), []);
}

#[test]
fn a_locked_index_is_given_up_soon() {
    let (_folder, path) = place();
    drop(Index::open(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut index = Index::open(&path).unwrap();
    let put = index.put(&[build(1, "/a", "build", None)]);
    assert!(matches!(put, Err(Error::Locked { .. })), "{put:?}");
    assert_eq!(
        index.list(&Filter::default()).unwrap(),
        [],
        "readers are not held up"
    );
    other.execute_batch("COMMIT").unwrap();
    index.put(&[build(1, "/a", "build", None)]).unwrap();
}

#[test]
fn an_index_of_a_newer_piper_is_written_unless_it_forbids_it() {
    let (_folder, path) = place();
    drop(Index::open(&path).unwrap());
    let newer = Connection::open(&path).unwrap();
    newer
        .execute_batch("ALTER TABLE builds ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")
        .unwrap();
    newer
        .pragma_update(None, "user_version", 1 << 16 | 9)
        .unwrap();
    let kept = build(1, "/a", "build", Some(Outcome::Succeeded));
    let mut index = Index::open(&path).unwrap();
    index.put(std::slice::from_ref(&kept)).unwrap();
    assert_eq!(index.list(&Filter::default()).unwrap(), [kept]);

    newer
        .pragma_update(None, "user_version", 9 << 16 | 9)
        .unwrap();
    assert!(matches!(Index::open(&path), Err(Error::Newer { .. })));
}

#[test]
fn where_no_index_can_be_it_says_so() {
    let (folder, path) = place();
    fs::create_dir(&path).unwrap();
    assert!(matches!(Index::open(&path), Err(Error::Unusable { .. })));
    let nowhere = folder.path().join("missing/index.db");
    assert!(matches!(Index::open(&nowhere), Err(Error::File { .. })));
}

/// Set for the processes that [`fifty_processes_lose_no_record`] starts.
const CHILD: &str = "PIPER_TEST_INDEX";

#[test]
fn fifty_processes_lose_no_record() {
    if let Some(path) = std::env::var_os(CHILD) {
        let n = u64::from(std::process::id()) << 32;
        for n in n..n + 4 {
            let mut index = Index::open(Path::new(&path)).unwrap();
            index.put(&[build(n, "/a", "build", None)]).unwrap();
            index
                .put(&[build(n, "/a", "build", Some(Outcome::Succeeded))])
                .unwrap();
        }
        return;
    }
    let (_folder, path) = place();
    let children: Vec<_> = (0..50)
        .map(|_| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the engine knows nothing of tests; the child is this test"
            )]
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            command
                .args([
                    "--exact",
                    "index::tests::fifty_processes_lose_no_record",
                    "--quiet",
                ])
                .env(CHILD, &path)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let index = Index::open(&path).unwrap();
    assert_eq!(
        index
            .list(&Filter {
                outcome: Some(Outcome::Succeeded),
                ..Filter::default()
            })
            .unwrap()
            .len(),
        200
    );
}

#[test]
fn fifty_threads_that_find_it_damaged_make_one_new_index() {
    let (_folder, path) = place();
    fs::write(&path, b"rubbish".repeat(999)).unwrap();
    thread::scope(|scope| {
        for n in 0..50 {
            let path = &path;
            scope.spawn(move || {
                let mut index = Index::open(path).or_else(|_| {
                    Index::put_aside(path, Timestamp(n))?;
                    Index::open(path)
                });
                index
                    .as_mut()
                    .unwrap()
                    .put(&[build(n, "/a", "build", None)])
                    .unwrap();
            });
        }
    });
    let found: BTreeSet<_> = Index::open(&path)
        .unwrap()
        .ids()
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(found.len(), 50);
}

#[test]
fn who_holds_the_lock_for_ever_keeps_nobody_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let held = super::lock(&path).unwrap();
    let error = Index::open(&path).unwrap_err();
    assert!(
        matches!(error, Error::File { doing: "lock", .. }),
        "{error:?}"
    );
    drop(held);
    Index::open(&path).unwrap();
}
