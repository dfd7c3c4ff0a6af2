//! Files below real folders, with everything in them that leads out.

use super::*;
use std::{ffi::CString, os::unix::fs::symlink, thread};
use test_case::test_case;

/// A workspace, and beside it what nobody may reach.
pub(crate) struct Place {
    root: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["workspace", "out", "cache", "outside"] {
            fs_create(&root.path().join(folder));
        }
        std::fs::write(root.path().join("outside/secret"), "secret").unwrap();
        Self { root }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(crate) fn put(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs_create(path.parent().unwrap());
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn text(&self, below: &str) -> String {
        std::fs::read_to_string(self.path(below)).unwrap()
    }

    fn folders(&self, workspace: Access) -> Folders {
        self.folders_with(workspace, &Quotas::default())
    }

    fn folders_with(&self, workspace: Access, quotas: &Quotas) -> Folders {
        let granted = FilesRule {
            workspace,
            out: true,
            cache: true,
        };
        let places = Places {
            workspace: Some(self.path("workspace")),
            out: Some(self.path("out")),
            cache: Some(Cache {
                path: self.path("cache"),
                quota: 10 * ENTRY,
            }),
        };
        Folders::open(&places, granted, quotas).unwrap().unwrap()
    }
}

fn fs_create(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
}

async fn glob(
    folders: &Folders,
    patterns: &[&str],
    after: Option<&str>,
    limit: u32,
) -> Vec<String> {
    let patterns = patterns.iter().map(|&text| text.to_owned()).collect();
    let after = after.map(str::to_owned);
    folders.glob(patterns, after, limit).await.unwrap()
}

#[tokio::test]
async fn a_file_is_written_in_parts_and_read_in_parts() {
    let place = Place::new();
    let folders = place.folders(Access::Write);
    folders
        .write("a/b/c".into(), 0, b"hello ".to_vec())
        .await
        .unwrap();
    folders
        .write("a/b/c".into(), 6, b"world".to_vec())
        .await
        .unwrap();
    assert_eq!(place.text("workspace/a/b/c"), "hello world");
    assert_eq!(
        folders.read("a/b/c".into(), 6, 100).await.unwrap(),
        b"world"
    );
    assert_eq!(folders.read("./a//b/c".into(), 4, 3).await.unwrap(), b"o w");
    assert_eq!(folders.read("a/b/c".into(), 99, 3).await.unwrap(), b"");
    let beyond = folders
        .write("a/b/c".into(), 12, b"x".to_vec())
        .await
        .unwrap_err();
    assert_eq!(beyond.code, "fs.offset");
    folders
        .write("a/b/c".into(), 0, b"new".to_vec())
        .await
        .unwrap();
    assert_eq!(place.text("workspace/a/b/c"), "new");
    let missing = folders
        .write("no".into(), 1, b"x".to_vec())
        .await
        .unwrap_err();
    assert_eq!(missing.code, "fs.not-found");
    assert_eq!(
        folders.read("a".into(), 0, 1).await.unwrap_err().code,
        "fs.wrong-kind"
    );
    assert_eq!(
        folders.read("".into(), 0, 1).await.unwrap_err().code,
        "fs.wrong-kind"
    );
    let over = u32::try_from(MOST_READ + 1).unwrap();
    assert_eq!(
        folders
            .read("a/b/c".into(), 0, over)
            .await
            .unwrap_err()
            .code,
        "limit.body"
    );
    let through = folders
        .write("a/b/c/d".into(), 0, b"x".to_vec())
        .await
        .unwrap_err();
    assert_eq!(through.code, "fs.wrong-kind");
}

#[tokio::test]
async fn each_folder_has_its_own_name_and_its_own_grant() {
    let place = Place::new();
    let folders = place.folders(Access::Read);
    folders
        .write("/out/report".into(), 0, b"r".to_vec())
        .await
        .unwrap();
    folders
        .write("/cache/index".into(), 0, b"i".to_vec())
        .await
        .unwrap();
    assert_eq!(
        (place.text("out/report"), place.text("cache/index")),
        ("r".into(), "i".into())
    );
    place.put("workspace/a", "a");
    assert_eq!(
        folders.read("/workspace/a".into(), 0, 1).await.unwrap(),
        b"a"
    );
    for path in ["a", "/workspace/a", "new"] {
        let denied = folders.write(path.into(), 0, Vec::new()).await.unwrap_err();
        assert_eq!(
            (denied.kind, denied.code.as_str()),
            (FailureKind::Denied, FILES)
        );
    }
    let only = FilesRule {
        workspace: Access::None,
        out: true,
        cache: false,
    };
    let places = Places {
        workspace: Some(place.path("workspace")),
        out: Some(place.path("out")),
        cache: None,
    };
    let only = Folders::open(&places, only, &Quotas::default())
        .unwrap()
        .unwrap();
    for path in [
        "a",
        "/cache/index",
        "/workspace/a",
        "/outside",
        "/etc/passwd",
    ] {
        assert_eq!(
            only.read(path.into(), 0, 1).await.unwrap_err().code,
            FILES,
            "{path}"
        );
    }
    assert!(
        Folders::open(&places, FilesRule::default(), &Quotas::default())
            .unwrap()
            .is_none()
    );
}

#[test_case("../outside/secret"; "a way up")]
#[test_case("a/../../outside/secret"; "a way down and up")]
#[test_case("/etc/passwd"; "from the root")]
#[test_case("/out/../outside/secret"; "up from another folder")]
#[test_case("absolute"; "an absolute link")]
#[test_case("relative"; "a link upwards")]
#[test_case("folder/secret"; "a link to a folder outside")]
#[test_case("chain"; "a link to a link")]
#[test_case("proc"; "a magic link")]
#[tokio::test]
async fn nothing_leads_out(path: &str) {
    let place = Place::new();
    let link =
        |target: &str, name: &str| symlink(target, place.path("workspace").join(name)).unwrap();
    fs_create(&place.path("workspace/a"));
    link(place.path("outside/secret").to_str().unwrap(), "absolute");
    link("../outside/secret", "relative");
    link("../outside", "folder");
    link("relative", "chain");
    link("/proc/self/root/etc/passwd", "proc");
    let folders = place.folders(Access::Write);
    let path = || path.to_owned();
    let codes = [
        folders.read(path(), 0, 10).await.unwrap_err().code,
        folders
            .write(path(), 0, b"x".to_vec())
            .await
            .unwrap_err()
            .code,
        folders
            .digest(path(), 0, None, "sha256".into())
            .await
            .unwrap_err()
            .code,
        folders
            .begin(&(path() + "/new"))
            .map(drop)
            .unwrap_err()
            .code,
    ];
    assert!(codes[..3].iter().all(|code| code == FILES), "{codes:?}");
    assert!(codes[3] != "fs.not-found", "{codes:?}");
    assert_eq!(place.text("outside/secret"), "secret");
}

#[tokio::test]
async fn links_inside_are_followed_and_told_as_links() {
    let place = Place::new();
    place.put("workspace/a/file", "text");
    symlink("a/file", place.path("workspace/link")).unwrap();
    symlink("missing", place.path("workspace/dangling")).unwrap();
    symlink("loop", place.path("workspace/loop")).unwrap();
    let folders = place.folders(Access::Read);
    assert_eq!(folders.read("link".into(), 0, 9).await.unwrap(), b"text");
    let info = folders.stat("link".into()).await.unwrap();
    assert_eq!((info.kind, info.size), ("link", 0));
    let info = folders.stat("a/file".into()).await.unwrap();
    assert_eq!((info.kind, info.size), ("file", 4));
    assert!(info.modified > 1_600_000_000_000_000 && info.mode & 0o600 == 0o600);
    assert_eq!(folders.stat("".into()).await.unwrap().kind, "directory");
    assert_eq!(
        folders
            .read("dangling".into(), 0, 1)
            .await
            .unwrap_err()
            .code,
        "fs.not-found"
    );
    assert_eq!(
        folders.read("loop".into(), 0, 1).await.unwrap_err().code,
        "fs.wrong-kind"
    );
    assert_eq!(
        folders.stat("no".into()).await.unwrap_err().code,
        "fs.not-found"
    );
}

#[test_case(".git/config"; "by its name")]
#[test_case("/workspace/./.git/config"; "by all of its name")]
#[test_case("vendor/.git/config"; "of a repository inside")]
#[test_case("link/config"; "by a link to the folder")]
#[test_case("file"; "by a link to the file")]
#[tokio::test]
async fn what_is_gits_own_is_no_part_of_the_workspace(path: &str) {
    let place = Place::new();
    for config in ["workspace/.git/config", "workspace/vendor/.git/config"] {
        place.put(config, "password");
    }
    symlink(".git", place.path("workspace/link")).unwrap();
    symlink(".git/config", place.path("workspace/file")).unwrap();
    let folders = place.folders(Access::Write);
    let read = folders.read(path.to_owned(), 0, 100).await.unwrap_err();
    assert_eq!(
        (read.kind, read.code.as_str()),
        (FailureKind::Denied, FILES)
    );
    let written = folders.write(path.to_owned(), 0, b"x".to_vec()).await;
    assert_eq!(written.unwrap_err().code, FILES);
    assert!(folders.begin(path).is_err() || path == "file");
    assert_eq!(place.text("workspace/.git/config"), "password");
    assert_eq!(
        glob(&folders, &["**/config", ".git/*"], None, 10).await,
        [""; 0]
    );
    let hook = folders
        .write("link/hook".to_owned(), 0, b"x".to_vec())
        .await;
    assert_eq!(hook.unwrap_err().code, FILES);
}

#[tokio::test]
async fn what_is_no_file_keeps_nobody_waiting() {
    let place = Place::new();
    let fifo = std::ffi::CString::new(place.path("workspace/fifo").to_str().unwrap()).unwrap();
    // SAFETY: the call takes a text and a number.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let folders = place.folders(Access::Write);
    assert_eq!(
        folders.read("fifo".into(), 0, 1).await.unwrap_err().code,
        "fs.wrong-kind"
    );
    assert_eq!(
        folders
            .write("fifo".into(), 0, b"x".to_vec())
            .await
            .unwrap_err()
            .code,
        "fs.wrong-kind"
    );
    assert_eq!(folders.stat("fifo".into()).await.unwrap().kind, "other");
    assert_eq!(glob(&folders, &["**"], None, 10).await, [""; 0]);
}

/// Exchanges two folders, links or files, as fast as it can.
pub(crate) struct Race {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<u32>,
}

impl Race {
    pub(crate) fn start(one: PathBuf, other: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            let paths = [one, other].map(|path| CString::new(path.to_str().unwrap()).unwrap());
            move || {
                let [one, other] = paths.each_ref().map(|path| path.as_ptr());
                let (here, exchange) = (libc::AT_FDCWD, libc::RENAME_EXCHANGE);
                let mut turns = 0;
                while !stop.load(Ordering::Relaxed) {
                    // SAFETY: the call takes two texts, which live in `paths`, and numbers.
                    let done = unsafe { libc::renameat2(here, one, here, other, exchange) };
                    assert_eq!(done, 0);
                    turns += 1;
                }
                turns
            }
        });
        Self { stop, thread }
    }

    /// How often they were exchanged.
    pub(crate) fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Exchanges a folder for a link that leads out while files in it are read and written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_race_leads_out() {
    let place = Place::new();
    place.put("workspace/a/secret", "inside");
    symlink("../outside", place.path("workspace/b")).unwrap();
    let race = Race::start(place.path("workspace/a"), place.path("workspace/b"));
    let folders = place.folders(Access::Write);
    let mut read = 0;
    for _ in 0..2_000 {
        match folders.read("a/secret".into(), 0, 10).await {
            Ok(text) => {
                assert_eq!(text, b"inside");
                read += 1;
            }
            Err(failure) => assert!(
                [FILES, "fs.not-found", "fs.failed"].contains(&failure.code.as_str()),
                "{failure}"
            ),
        }
        // Whatever becomes of it, it is not written outside.
        let _ = folders.write("a/new".into(), 0, b"inside".to_vec()).await;
        let found = glob(&folders, &["a/*"], None, 10).await;
        assert!(
            found
                .iter()
                .all(|path| path == "a/new" || path == "a/secret"),
            "{found:?}"
        );
    }
    assert!(race.end() > 10, "there was a race");
    assert!(read > 0);
    assert_eq!(place.text("outside/secret"), "secret");
    assert!(!place.path("outside/new").exists());
}

#[tokio::test]
async fn paths_come_in_the_order_of_their_bytes_page_by_page() {
    let place = Place::new();
    for path in [
        "a-b", "a/b", "a/b.d/x", "a0", "B", "a/c", "é", ".hidden", "a.d/x",
    ] {
        place.put(&format!("workspace/{path}"), "");
    }
    symlink("a/b", place.path("workspace/link")).unwrap();
    symlink("../outside/secret", place.path("workspace/out")).unwrap();
    symlink("..", place.path("workspace/up")).unwrap();
    let folders = place.folders(Access::Read);
    let mut all = vec![
        ".hidden", "B", "a-b", "a.d/x", "a/b", "a/b.d/x", "a/c", "a0", "link", "é",
    ];
    assert_eq!(glob(&folders, &["**"], None, u32::MAX).await, all);
    all.sort_unstable();
    let mut pages = Vec::new();
    while pages.len() < 99 {
        let after = pages.last().cloned();
        let page = glob(&folders, &["**"], after.as_deref(), 3).await;
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    assert_eq!(pages, all);
    assert_eq!(
        glob(&folders, &["a/*", "B"], None, 99).await,
        ["B", "a/b", "a/c"]
    );
    assert_eq!(
        glob(&folders, &["a/b.d/*"], Some("a/b"), 99).await,
        ["a/b.d/x"]
    );
    assert_eq!(
        glob(&folders, &["**"], Some("a/b.d"), 2).await,
        ["a/b.d/x", "a/c"]
    );
    assert_eq!(glob(&folders, &["nowhere/*.xml"], None, 99).await, [""; 0]);
    assert_eq!(glob(&folders, &["**"], None, 0).await, [""; 0]);
    let bad = folders
        .glob(vec!["../*".into()], None, 1)
        .await
        .unwrap_err();
    assert_eq!(
        (bad.kind, bad.code.as_str()),
        (FailureKind::Invalid, "fs.pattern")
    );
}

#[test_case(
    "sha256",
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
)]
#[test_case(
    "sha512",
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
)]
#[test_case("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d")]
#[test_case("md5", "900150983cd24fb0d6963f7d28e17f72")]
#[test_case("crc32c", "364b3fb7")]
#[tokio::test]
async fn a_digest_is_of_a_part(algorithm: &str, expected: &str) {
    let place = Place::new();
    place.put("workspace/file", "xxabcyy");
    let folders = place.folders(Access::Read);
    let digest = |offset, length| folders.digest("file".into(), offset, length, algorithm.into());
    assert_eq!(
        crate::plugin::hex(&digest(2, Some(3)).await.unwrap()),
        expected
    );
    assert_eq!(digest(2, Some(6)).await.unwrap_err().code, "fs.offset");
    assert_ne!(
        digest(2, None).await.unwrap(),
        digest(2, Some(3)).await.unwrap()
    );
}

#[tokio::test]
async fn an_unknown_digest_is_none() {
    let place = Place::new();
    let folders = place.folders(Access::Read);
    let unknown = folders
        .digest("a".into(), 0, None, "md4".into())
        .await
        .unwrap_err();
    assert_eq!(unknown.code, "fs.algorithm");
}

#[tokio::test]
async fn a_cache_has_a_quota() {
    let place = Place::new();
    let entry = ENTRY as usize;
    place.put("cache/old/file", &"x".repeat(entry));
    let folders = place.folders(Access::None);
    let write =
        |path: &str, offset, bytes: usize| folders.write(path.into(), offset, vec![b'y'; bytes]);
    write("/cache/new", 0, 3 * entry).await.unwrap();
    let full = write("/cache/other", 0, 2 * entry + 1).await.unwrap_err();
    assert_eq!(
        (full.kind, full.code.as_str()),
        (FailureKind::Permanent, "fs.full")
    );
    let at = 2 * ENTRY;
    assert!(write("/cache/new", at, 3 * entry + 1).await.is_err());
    write("/cache/new", at, 3 * entry).await.unwrap();
    // Begun anew, a file gives back what it had.
    write("/cache/new", 0, 4 * entry).await.unwrap();
    let draft = folders.begin("/cache/saved").unwrap();
    assert_eq!(draft.write(b"z").map(drop).unwrap_err().code, "fs.full");
    let mut names: Vec<_> = std::fs::read_dir(place.path("cache"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["new", "old", "other"], "no draft is left");
}

#[tokio::test]
async fn what_finds_no_room_leaves_the_file_as_it_was() {
    let place = Place::new();
    let folders = place.folders(Access::None);
    let write = |bytes: &[u8]| folders.write("/cache/a".into(), 0, bytes.to_vec());
    write(b"old").await.unwrap();
    let full = write(&vec![b'y'; 10 * ENTRY as usize]).await.unwrap_err();
    assert_eq!(full.code, "fs.full");
    assert_eq!(place.text("cache/a"), "old");
}

#[tokio::test]
async fn nothing_in_a_cache_is_too_deep_to_be_counted() {
    let place = Place::new();
    let folders = place.folders(Access::None);
    let deep = |depth: usize| format!("/cache/{}f", "d/".repeat(depth));
    let refused = folders.write(deep(200), 0, Vec::new()).await.unwrap_err();
    assert_eq!(refused.code, "fs.path");
    // Somebody else makes one.
    std::fs::create_dir_all(place.path("cache").join("d/".repeat(202))).unwrap();
    let full = folders.write(deep(0), 0, Vec::new()).await.unwrap_err();
    assert!(full.message.contains("more than 200 deep"), "{full}");
}

#[tokio::test]
async fn what_a_cache_loses_can_be_used_again() {
    let place = Place::new();
    let folders = place.folders(Access::None);
    let begun = |entries: usize| {
        let draft = folders.begin("/cache/a").unwrap();
        draft.write(&vec![b'x'; entries * ENTRY as usize])
    };
    for _ in 0..9 {
        drop(begun(9).unwrap());
    }
    for _ in 0..9 {
        begun(4).unwrap().finish().unwrap();
    }
    assert_eq!(place.text("cache/a").len(), 4 * ENTRY as usize);
    let begun = begun(4).unwrap();
    assert_eq!(begun.write(b"x").map(drop).unwrap_err().code, "fs.full");
}

#[tokio::test]
async fn empty_files_and_folders_are_not_free() {
    let place = Place::new();
    let folders = place.folders(Access::None);
    let write = async |path: &str| {
        let written = folders.write(path.into(), 0, Vec::new()).await;
        written.map_err(|failure| failure.code)
    };
    write("/cache/a/b/c/d").await.unwrap();
    write("/cache/a/b/c/d").await.unwrap();
    write("/cache/a/f/g/h").await.unwrap();
    let full = Err("fs.full".to_owned());
    assert_eq!(write("/cache/i/j/k/l").await, full);
    assert!(!place.path("cache/i").exists());
    write("/cache/i/j/k").await.unwrap();
    assert_eq!(write("/cache/l").await, full);
    folders.count_anew();
    assert_eq!(write("/cache/l").await, full, "as the disk has it");
    assert!(folders.begin("/cache/l").is_err());
}

#[tokio::test]
async fn a_link_that_stays_inside_is_found_whichever_way_it_takes() {
    let place = Place::new();
    place.put("workspace/real/r.xml", "<r/>");
    place.put("workspace/reports/deep/own.xml", "<r/>");
    let link = |target: &str, name: &str| {
        symlink(target, place.path("workspace/reports").join(name)).unwrap();
    };
    link("../real/r.xml", "link.xml");
    link("../../real/r.xml", "deep/link.xml");
    link("../../outside/secret", "out.xml");
    link("../../../outside/secret", "deep/out.xml");
    link("../real/../../workspace/real/r.xml", "round.xml");
    let folders = place.folders(Access::Read);
    assert_eq!(
        glob(&folders, &["reports/**/*.xml"], None, 99).await,
        [
            "reports/deep/link.xml",
            "reports/deep/own.xml",
            "reports/link.xml"
        ]
    );
}

#[tokio::test]
async fn two_instances_of_a_plugin_have_one_quota() {
    let place = Place::new();
    let quotas = Quotas::default();
    let [one, other] = [&quotas, &quotas].map(|quotas| place.folders_with(Access::Read, quotas));
    // Both have counted what is there before either writes much.
    one.write("/cache/a".into(), 0, b"x".to_vec())
        .await
        .unwrap();
    other
        .write("/cache/b".into(), 0, b"x".to_vec())
        .await
        .unwrap();
    one.write("/cache/a".into(), 1, vec![b'x'; 6 * ENTRY as usize])
        .await
        .unwrap();
    let more = vec![b'x'; 6 * ENTRY as usize];
    let full = other.write("/cache/b".into(), 1, more).await;
    let full = full.unwrap_err();
    assert_eq!(full.code, "fs.full");
    assert!(full.message.ends_with("(cache: 40 KiB)"), "{full}");
}
