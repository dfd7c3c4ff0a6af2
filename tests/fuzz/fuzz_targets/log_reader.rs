//! No file makes the reader panic, allocate much or hand out what its own records contradict.
//!
//! Half of the inputs get right checksums after each mutation: few others would come past them.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use piper_core::{id::BuildId, log::Stream, time::Timestamp};
use piper_engine::logs::{Followed, PlogReader, ReadError, Selection, State};
use std::{fs, path::PathBuf, sync::LazyLock, time::Duration};

const HEADER: usize = 80;
const MAGIC: &[u8] = b"\x89plog\r\n\x1a";

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("piper-fuzz-{}.plog", std::process::id())));

fuzz_target!(|bytes: &[u8]| {
    fs::write(&*FILE, bytes).expect("the folder for temporary files can be written to");
    let selections = [
        Selection::default(),
        Selection {
            steps: vec!["step".to_owned()],
            ..Selection::default()
        },
        Selection {
            stream: Some(Stream::Stderr),
            since: Some(Timestamp(3)),
            ..Selection::default()
        },
        Selection {
            lines: Some(2..=5),
            ..Selection::default()
        },
    ];
    for selection in selections {
        read(selection);
    }
    follow();
    // Last, since it may close the file.
    if let Some(dead) = PlogReader::dead(&FILE).expect("the file can be locked") {
        dead.reader().events().for_each(drop);
        let records = read(Selection::default());
        dead.close(BuildId::from_random(1), &[])
            .expect("the file can be written to");
        let reader = PlogReader::open(&FILE).expect("the file can be read");
        assert_eq!(reader.state(), State::Finished);
        assert_eq!(read(Selection::default()), records);
    }
});

/// Reads everything, and returns the numbers of the selected records.
fn read(selection: Selection) -> Vec<u64> {
    let reader = PlogReader::open(&FILE).expect("damage is no error");
    reader.events().for_each(|event| drop(readable(event)));
    let mut numbers = Vec::new();
    for batch in reader.select(selection).filter_map(readable) {
        let before = numbers.len();
        numbers.extend(batch.records().map(|record| record.seq));
        let count: u64 = batch.runs().map(|(run, _)| u64::from(run.count)).sum();
        assert_eq!((numbers.len() - before) as u64, count);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b));
    numbers
}

fn readable<T>(read: Result<T, ReadError>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(ReadError::Damage(damage)) => {
            assert!(!damage.to_string().is_empty());
            None
        }
        Err(ReadError::Io(error)) => panic!("{error}"),
    }
}

fn follow() {
    let reader = PlogReader::open(&FILE).expect("damage is no error");
    let mut follow = reader.follow(Selection::default());
    while !matches!(
        follow.next(Duration::ZERO).expect("the file stays"),
        Followed::End | Followed::Idle
    ) {}
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if seed.is_multiple_of(2) {
        mend_checksums(&mut data[..size]);
    }
    size
});

/// Gives each header and the payload behind it the checksums that they should have.
fn mend_checksums(file: &mut [u8]) {
    let begins: Vec<usize> = (0..file.len().saturating_sub(HEADER - 1))
        .filter(|&at| file[at..].starts_with(MAGIC))
        .collect();
    for begin in begins {
        let (header, rest) = file[begin..].split_at_mut(HEADER);
        let length = u32::from_le_bytes(header[68..72].try_into().expect("four bytes"));
        if let Some(payload) = rest.get(..length as usize) {
            header[72..76].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        }
        let crc = crc32fast::hash(&header[..76]);
        header[76..].copy_from_slice(&crc.to_le_bytes());
    }
}
