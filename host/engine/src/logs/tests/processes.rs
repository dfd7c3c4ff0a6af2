//! A build's file as other processes see it: while it grows, after its writer was killed, and when the disk is full.

use super::*;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

const FILE: &str = "PIPER_TEST_LOG_FILE";

/// Runs one of the tests below in a process of its own, told which file to write.
#[expect(
    clippy::disallowed_methods,
    reason = "the test is about processes, and this one ends by itself or is killed here"
)]
fn run_as_process(test: &str, file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            &format!("logs::tests::processes::{test}"),
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn file() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

#[test]
fn a_follower_sees_what_another_thread_writes_until_the_build_ends() {
    let folder = TempDir::new().unwrap();
    let (mut writer, handle, path) = start_in(&folder);
    let mut follow = PlogReader::open(&path)
        .unwrap()
        .follow(Selection::default());
    assert!(matches!(
        follow.next(Duration::ZERO).unwrap(),
        Followed::Idle
    ));
    let source = writer.register(StepIx(0), 1, "a");
    let writing = thread::spawn(move || {
        for line in 0..50_u64 {
            writer.append(
                source,
                Stream::Stdout,
                format!("{line}\n").as_bytes(),
                Timestamp(line),
            );
            writer.publish();
            thread::sleep(Duration::from_millis(10));
        }
        drop(writer);
        handle.event(&build_finished());
        handle.finish();
    });
    let mut batches = 0;
    let mut records = Vec::new();
    loop {
        match follow.next(SECOND).unwrap() {
            Followed::Batch(batch) => {
                batches += 1;
                records.extend(owned(&batch));
            }
            Followed::Idle => {}
            Followed::Damage(damage) => panic!("{damage}"),
            Followed::End => break,
        }
    }
    writing.join().unwrap();
    assert!(records.iter().map(|record| record.seq).eq(0..50));
    assert!(batches >= 2, "a follower sees lines before the build ends");
}

#[test]
#[ignore = "run by the test below"]
fn writes_until_killed() {
    let Some(path) = file() else { return };
    let (options, _) = options(Some(path));
    let (mut writer, handle) = start(options);
    let source = writer.register(StepIx(0), 1, "a");
    handle.event(&warning("began"));
    for line in 0.. {
        writer.append(
            source,
            Stream::Stdout,
            format!("{line}\n").as_bytes(),
            Timestamp(line),
        );
        writer.publish();
        if line % 100 == 0 {
            println!("line {line}");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_build_loses_at_most_its_last_200_ms_and_can_be_closed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("build.plog");
    let mut child = run_as_process("writes_until_killed", &path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("line 500") {}
    assert_eq!(PlogReader::open(&path).unwrap().state(), State::Running);
    assert!(PlogReader::dead(&path).unwrap().is_none());
    let follow = PlogReader::open(&path)
        .unwrap()
        .follow(Selection::default());
    child.kill().unwrap();
    child.wait().unwrap();

    let reader = PlogReader::open(&path).unwrap();
    assert_eq!(reader.state(), State::Dead);
    let records = reader.records();
    // 200 ms are at most 200 lines; the rest is for a slow machine.
    assert!(records >= 200, "only {records} of 500 lines were kept");
    assert_eq!(reader.events().count(), 1);
    assert_eq!(follow_to_end(follow), records);

    // As if it had been killed in the middle of a write.
    let length = path.metadata().unwrap().len();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_within(..60);
    std::fs::write(&path, bytes).unwrap();
    let dead = PlogReader::dead(&path).unwrap().expect("the build is dead");
    assert_eq!(dead.reader().records(), records);
    dead.close(build(), &[&build_finished()]).unwrap();
    assert!(path.metadata().unwrap().len() > length);
    let reader = PlogReader::open(&path).unwrap();
    assert_eq!(
        (reader.state(), reader.records(), reader.events().count()),
        (State::Finished, records, 2)
    );
    assert_eq!(read_all(&path, Selection::default()).len() as u64, records);
    assert!(PlogReader::dead(&path).unwrap().is_none());
}

fn follow_to_end(mut follow: Follow) -> u64 {
    let mut records = 0;
    loop {
        match follow.next(SECOND).unwrap() {
            Followed::Batch(batch) => records += batch.records().count() as u64,
            Followed::Idle => {}
            Followed::Damage(damage) => panic!("{damage}"),
            Followed::End => return records,
        }
    }
}

#[test]
#[ignore = "run by the test below"]
fn fills_a_disk_of_one_megabyte() {
    let Some(path) = file() else { return };
    let limit = libc::rlimit {
        rlim_cur: 1_000_000,
        rlim_max: 1_000_000,
    };
    // SAFETY: sets a limit of this process and the answer to a signal, with pointers to live values only.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
    let (options, warnings) = options(Some(path.clone()));
    let (mut writer, handle) = start(options);
    let required = handle.reader(Need::Required);
    handle.event(&warning("began"));
    let reading = thread::spawn(move || read_live(required).len());
    let source = writer.register(StepIx(0), 1, "noise");
    let mut random = 1_u64;
    for line in 0..600_000_u64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        writer.append(
            source,
            Stream::Stdout,
            format!("{random:x}\n").as_bytes(),
            Timestamp(line),
        );
    }
    drop(writer);
    assert_eq!(
        reading.join().unwrap(),
        600_000,
        "a reader that needs all gets all"
    );
    handle.event(&build_finished());
    let end = handle.finish();
    let lost = end.lost.expect("the disk was full");
    assert!(lost.first > 0 && lost.first < 600_000);
    assert_eq!(warnings.try_iter().count(), 1, "one warning");
    assert_eq!(PlogReader::open(&path).unwrap().records(), lost.first);
}

#[test]
fn a_full_disk_costs_only_what_does_not_fit() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("build.plog");
    let child = run_as_process("fills_a_disk_of_one_megabyte", &path);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let records = read_all(&path, Selection::default());
    assert!(
        records
            .iter()
            .map(|record| record.seq)
            .eq(0..records.len() as u64)
    );
    assert!(!records.is_empty());
    let reader = PlogReader::open(&path).unwrap();
    assert_eq!(
        (reader.state(), reader.events().count()),
        (State::Finished, 2)
    );
}
