//! The log plane as its users see it: bytes in at one end, the same bytes out at every other.

use super::*;
use piper_core::{
    id::StepIx,
    log::{MAX_RECORD, Marks, Stream},
    time::Timestamp,
    wire::v1,
};
use proptest::prelude::*;
use std::{collections::HashMap, ops::RangeInclusive, path::Path, sync::mpsc, time::Duration};
use tempfile::TempDir;
use test_case::test_case;

mod damage;
mod processes;
mod throughput;

const SECOND: Duration = Duration::from_secs(1);

fn build() -> BuildId {
    BuildId::from_random(7)
}

fn options(file: Option<PathBuf>) -> (LogOptions, mpsc::Receiver<String>) {
    let (warn, warnings) = mpsc::channel();
    let options = LogOptions {
        file,
        build: build(),
        attempt: 1,
        masker: None,
        warn: Arc::new(move |message| {
            let _ = warn.send(message);
        }),
    };
    (options, warnings)
}

/// A log that is written while it comes, as that of any build that is not over at once.
fn start(options: LogOptions) -> (LogWriter, LogHandle) {
    let (writer, handle) = super::start(options);
    handle.keep_up();
    (writer, handle)
}

fn start_in(folder: &TempDir) -> (LogWriter, LogHandle, PathBuf) {
    let path = folder.path().join("build.plog");
    let (options, _) = options(Some(path.clone()));
    let (writer, handle) = start(options);
    (writer, handle, path)
}

fn event(event: v1::Event) -> Vec<u8> {
    let line = v1::Line {
        v: 1,
        seq: 0,
        at: Timestamp(0).to_string(),
        build: build().to_string(),
        attempt: 1,
        event,
    };
    serde_json::to_vec(&line).unwrap()
}

fn warning(message: &str) -> Vec<u8> {
    event(v1::Event::Warning {
        message: message.to_owned(),
    })
}

fn build_finished() -> Vec<u8> {
    event(v1::Event::BuildFinished {
        outcome: v1::Outcome::Succeeded,
        reason: None,
        duration_us: 1,
        counts: v1::Counts::default(),
        log_end: 0,
    })
}

/// A record that owns what it says.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    seq: u64,
    at: u64,
    source: (u32, u32, String),
    marks: Marks,
    text: Vec<u8>,
}

fn owned(batch: &Batch) -> Vec<Owned> {
    let records = batch.records().map(|record| Owned {
        seq: record.seq,
        at: record.at.0,
        source: (
            record.source.step.0,
            record.source.r#try,
            record.source.label.to_string(),
        ),
        marks: record.marks,
        text: record.text.to_vec(),
    });
    records.collect()
}

fn read_all(path: &Path, selection: Selection) -> Vec<Owned> {
    let reader = PlogReader::open(path).unwrap();
    reader
        .select(selection)
        .flat_map(|batch| owned(&batch.unwrap()))
        .collect()
}

fn read_live(mut reader: LiveReader) -> Vec<Owned> {
    let mut records = Vec::new();
    loop {
        match reader.next(SECOND) {
            Next::Batch(batch) => records.extend(owned(&batch)),
            Next::Idle => {}
            Next::Missed(missed) => panic!("missed {missed:?}"),
            Next::End => return records,
        }
    }
}

type Bytes = HashMap<(u32, u32, Stream), Vec<u8>>;

/// What each stream carried.
fn bytes_of(records: &[Owned]) -> Bytes {
    let mut bytes = Bytes::new();
    for record in records {
        let key = (record.source.0, record.source.1, record.marks.stream());
        let stream = bytes.entry(key).or_default();
        stream.extend_from_slice(&record.text);
        if record.marks.ends_line() {
            stream.push(b'\n');
        }
    }
    bytes
}

#[derive(Debug, Clone)]
enum Op {
    Append {
        source: u32,
        stream: Stream,
        bytes: Vec<u8>,
    },
    Flush,
    Publish,
}

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)]
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'a'), 2 => Just(b'\n'), 1 => any::<u8>()];
    prop_oneof![
        20 => proptest::collection::vec(byte, 0..40),
        1 => (MAX_RECORD - 2..2 * MAX_RECORD + 2).prop_map(|length| vec![b'x'; length]),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..3_u32, stream(), some_bytes())
            .prop_map(|(source, stream, bytes)| Op::Append { source, stream, bytes }),
        1 => Just(Op::Flush),
        2 => Just(Op::Publish),
    ];
    proptest::collection::vec(op, 0..60)
}

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// Does what the operations say, a millisecond each, and returns what each stream was given.
fn write(writer: &mut LogWriter, ops: &[Op]) -> Bytes {
    let mut given = Bytes::new();
    let sources: Vec<SourceId> = (0..3)
        .map(|i| writer.register(StepIx(i), i + 1, &format!("step-{i}")))
        .collect();
    let mut now = Timestamp(1_000_000);
    for op in ops {
        now = now + Duration::from_millis(1);
        match op {
            Op::Append {
                source,
                stream,
                bytes,
            } => {
                writer.append(sources[*source as usize], *stream, bytes, now);
                if !bytes.is_empty() {
                    given
                        .entry((*source, source + 1, *stream))
                        .or_default()
                        .extend_from_slice(bytes);
                }
            }
            Op::Flush => {
                now = now + PARTIAL_AFTER;
                writer.flush_partial(now);
                assert_eq!(writer.next_partial_deadline(), None);
            }
            Op::Publish => writer.publish(),
        }
    }
    for source in sources {
        for stream in STREAMS {
            writer.close(source, stream, now);
        }
    }
    writer.publish();
    given
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_reader_gets_the_bytes_that_were_written_in_their_order(ops in ops()) {
        let folder = TempDir::new().unwrap();
        let (mut writer, handle, path) = start_in(&folder);
        let reader = handle.reader(Need::Optional);
        let given = write(&mut writer, &ops);
        drop(writer);
        let live = read_live(reader);
        let end = handle.finish();
        prop_assert_eq!(&bytes_of(&live), &given);
        prop_assert!(live.iter().map(|record| record.seq).eq(0..end.records));
        prop_assert!(live.is_sorted_by_key(|record| record.at));
        prop_assert!(live.iter().all(|record| record.text.len() <= MAX_RECORD));
        prop_assert_eq!(end.lost, None);
        prop_assert_eq!(&read_all(&path, Selection::default()), &live);
        prop_assert_eq!(&read_live(handle.reader(Need::Optional)), &live);
    }

    #[test]
    fn a_selection_gives_what_a_filter_over_all_records_gives(
        ops in ops(),
        steps in proptest::sample::subsequence(vec!["step-0", "step-1", "other"], 0..3),
        only in proptest::option::of(stream()),
        (first, count) in (0..20_u64, 0..20_u64),
        by_footer in any::<bool>(),
    ) {
        let folder = TempDir::new().unwrap();
        let (mut writer, handle, path) = start_in(&folder);
        write(&mut writer, &ops);
        drop(writer);
        let bytes = handle.finish().bytes;
        if !by_footer {
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(bytes - 1).unwrap();
        }
        let selection = Selection {
            steps: steps.iter().map(ToString::to_string).collect(),
            stream: only,
            lines: Some(first..=first + count),
            ..Selection::default()
        };
        let mut line = 1;
        let mut expected = read_records(&path);
        expected.retain(|record| {
            let takes = (steps.is_empty() || steps.contains(&record.source.2.as_str()))
                && only.is_none_or(|only| record.marks.stream() == only);
            let this = line;
            if takes && !record.marks.contains(Marks::CONTINUES) {
                line += 1;
            }
            takes && (first..=first + count).contains(&this)
        });
        let reader = PlogReader::open(&path).unwrap();
        let selected = reader.select(selection).filter_map(Result::ok);
        let selected: Vec<Owned> = selected.flat_map(|batch| owned(&batch)).collect();
        prop_assert_eq!(selected, expected);
    }
}

fn read_records(path: &Path) -> Vec<Owned> {
    let reader = PlogReader::open(path).unwrap();
    let batches = reader.select(Selection::default()).filter_map(Result::ok);
    batches.flat_map(|batch| owned(&batch)).collect()
}

fn texts(records: &[Owned]) -> Vec<String> {
    let text = |record: &Owned| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&record.text),
            match record.marks.0 & !1 {
                0 => "$",
                4 => "…",
                8 => "",
                other => panic!("marks {other}"),
            }
        )
    };
    records.iter().map(text).collect()
}

#[test_case(&[b"a\nb\n"], &["a$", "b$"]; "lines")]
#[test_case(&[b"a", b"b\nc"], &["ab$", "c"]; "a line in pieces")]
#[test_case(&[b"\n\n"], &["$", "$"]; "empty lines")]
#[test_case(&[b"a\r\n"], &["a\r$"]; "a carriage return stays")]
#[test_case(&[b""], &[]; "nothing")]
fn bytes_become_records(chunks: &[&[u8]], expected: &[&str]) {
    let (options, _) = options(None);
    let (mut writer, handle) = start(options);
    let reader = handle.reader(Need::Required);
    let source = writer.register(StepIx(0), 1, "a");
    for chunk in chunks {
        writer.append(source, Stream::Stdout, chunk, Timestamp(1));
    }
    writer.close(source, Stream::Stdout, Timestamp(1));
    drop(writer);
    assert_eq!(texts(&read_live(reader)), expected);
}

#[test]
fn an_unfinished_line_is_shown_after_50_ms_and_ends_later() {
    let (options, _) = options(None);
    let (mut writer, handle) = start(options);
    let reader = handle.reader(Need::Required);
    let source = writer.register(StepIx(0), 1, "a");
    writer.append(source, Stream::Stdout, b"Password: ", Timestamp(1000));
    writer.flush_partial(Timestamp(50_999));
    assert_eq!(writer.next_partial_deadline(), Some(Timestamp(51_000)));
    writer.flush_partial(Timestamp(51_000));
    assert_eq!(writer.next_partial_deadline(), None);
    writer.append(source, Stream::Stdout, b"\nname: ", Timestamp(60_000));
    writer.flush_partial(Timestamp(999_000));
    writer.close(source, Stream::Stdout, Timestamp(999_000));
    drop(writer);
    let records = read_live(reader);
    assert_eq!(texts(&records), ["Password: …", "$", "name: …", ""]);
    assert_eq!(records[0].at, 1000);
}

#[test]
fn a_line_is_cut_at_64_kib_wherever_its_bytes_came_apart() {
    for chunk in [7_919, 65_536, 65_537, 200_000] {
        let (options, _) = options(None);
        let (mut writer, handle) = start(options);
        let source = writer.register(StepIx(0), 1, "a");
        let mut line = vec![b'x'; MAX_RECORD];
        line.push(b'\n');
        line.extend(vec![b'y'; MAX_RECORD + 1]);
        line.push(b'\n');
        let reader = handle.reader(Need::Required);
        for bytes in line.chunks(chunk) {
            writer.append(source, Stream::Stdout, bytes, Timestamp(1));
        }
        drop(writer);
        let lengths: Vec<_> = read_live(reader)
            .iter()
            .map(|r| (r.text.len(), r.marks))
            .collect();
        let expected = [
            (MAX_RECORD, Marks::default()),
            (MAX_RECORD, Marks::CONTINUES),
            (1, Marks::default()),
        ];
        assert_eq!(lengths, expected, "in chunks of {chunk}");
    }
}

#[test]
fn secrets_are_masked_before_records_are_cut() {
    let (mut options, _) = options(None);
    options.masker = Some(Masker::new(&[("TOKEN", "hunter2!")]).0);
    let (mut writer, handle) = start(options);
    let reader = handle.reader(Need::Required);
    let source = writer.register(StepIx(0), 1, "a");
    for byte in b"a hunter2! b\nhunter" {
        writer.append(source, Stream::Stdout, &[*byte], Timestamp(1));
    }
    writer.close(source, Stream::Stdout, Timestamp(1));
    drop(writer);
    assert_eq!(texts(&read_live(reader)), ["a *** b$", "hunter"]);
}

#[test]
fn reads_go_straight_into_the_log() {
    use std::{io::Write, os::fd::AsFd};
    let (options, _) = options(None);
    let (mut writer, handle) = start(options);
    let reader = handle.reader(Need::Required);
    let (pipe, mut end) = std::io::pipe().unwrap();
    end.write_all(b"one\ntw").unwrap();
    let source = writer.register(StepIx(0), 1, "a");
    let mut read = || {
        writer
            .read_from(source, Stream::Stderr, pipe.as_fd(), || Timestamp(1))
            .unwrap()
    };
    assert_eq!(read(), 6);
    end.write_all(b"o\n").unwrap();
    drop(end);
    assert_eq!((read(), read()), (2, 0));
    writer.close(source, Stream::Stderr, Timestamp(2));
    drop(writer);
    assert_eq!(texts(&read_live(reader)), ["one$", "two$"]);
}

#[test]
fn a_line_without_end_takes_bounded_memory() {
    let folder = TempDir::new().unwrap();
    let (mut writer, handle, path) = start_in(&folder);
    let source = writer.register(StepIx(0), 1, "a");
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..64 {
        writer.append(source, Stream::Stdout, &piece, Timestamp(1));
        writer.publish();
        assert!(writer.memory() < 1024 * 1024, "{}", writer.memory());
    }
    writer.close(source, Stream::Stdout, Timestamp(1));
    drop(writer);
    assert_eq!(handle.finish().records, 1024);
    let reader = PlogReader::open(&path).unwrap();
    let lengths = reader.select(Selection::default()).map(|batch| {
        let batch = batch.unwrap();
        batch
            .records()
            .map(|record| record.text.len())
            .sum::<usize>()
    });
    assert_eq!(lengths.sum::<usize>(), 64 * piece.len());
}

/// Writes so many numbered lines, published one hundred at a time.
fn write_lines(writer: &mut LogWriter, lines: u64) {
    let source = writer.register(StepIx(0), 1, "many");
    for line in 1..=lines {
        let text = format!("this is line {line} of many, and some more words to make it longer\n");
        writer.append(source, Stream::Stdout, text.as_bytes(), Timestamp(line));
        if line % 100 == 0 {
            writer.publish();
        }
    }
    writer.close(source, Stream::Stdout, Timestamp(lines));
}

#[test]
fn a_reader_that_fell_behind_goes_on_from_the_file() {
    let folder = TempDir::new().unwrap();
    let (mut writer, handle, _) = start_in(&folder);
    let reader = handle.reader(Need::Optional);
    write_lines(&mut writer, 200_000);
    drop(writer);
    let records = read_live(reader);
    assert!(records.iter().map(|record| record.seq).eq(0..200_000));
    assert_eq!(handle.finish().lost, None);
}

#[test]
fn without_a_file_the_writer_waits_for_readers_that_need_all() {
    let folder = TempDir::new().unwrap();
    let (options, warnings) = options(Some(folder.path().join("missing").join("b.plog")));
    let (mut writer, handle) = start(options);
    assert!(warnings.recv().unwrap().contains("could not create"));
    let required = handle.reader(Need::Required);
    let writing = thread::spawn(move || write_lines(&mut writer, 200_000));
    thread::sleep(Duration::from_millis(100));
    assert!(!writing.is_finished(), "the writer does not wait");
    assert_eq!(read_live(required).len(), 200_000);
    writing.join().unwrap();
    let end = handle.finish();
    assert_eq!(
        (end.records, end.lost.map(|lost| lost.first)),
        (200_000, Some(0))
    );
}

#[test]
fn without_a_file_a_reader_that_needs_not_all_is_told_what_it_missed() {
    let (options, _) = options(None);
    let (mut writer, handle) = start(options);
    let mut reader = handle.reader(Need::Optional);
    write_lines(&mut writer, 200_000);
    drop(writer);
    let Next::Missed(missed) = reader.next(SECOND) else {
        panic!("nothing is missing")
    };
    assert_eq!(missed.start, 0);
    assert_eq!(read_live(reader).len() as u64, 200_000 - missed.end);
}

#[test]
fn a_reader_that_is_dropped_sets_the_writer_free() {
    let (options, _) = options(None);
    let (mut writer, handle) = start(options);
    let reader = handle.reader(Need::Required);
    let writing = thread::spawn(move || write_lines(&mut writer, 200_000));
    thread::sleep(Duration::from_millis(50));
    drop(reader);
    writing.join().unwrap();
}

#[test_case(900_000..=900_002, 900_000, 3; "in the middle")]
#[test_case(1_000_000..=2_000_000, 1_000_000, 1; "at the end")]
#[test_case(0..=1, 1, 1; "at the start")]
#[test_case(1_000_001..=1_000_009, 0, 0; "behind the end")]
fn lines_of_a_million_are_found_without_reading_the_others(
    lines: RangeInclusive<u64>,
    first: u64,
    count: usize,
) {
    static LOG: std::sync::OnceLock<(TempDir, PathBuf)> = std::sync::OnceLock::new();
    let (_, path) = LOG.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let (mut writer, handle, path) = start_in(&folder);
        write_lines(&mut writer, 1_000_000);
        drop(writer);
        handle.finish();
        (folder, path)
    });
    for steps in [vec![], vec!["many".to_owned()]] {
        let selection = Selection {
            steps,
            lines: Some(lines.clone()),
            ..Selection::default()
        };
        let records = read_all(path, selection);
        assert_eq!(records.len(), count);
        assert_eq!(records.first().map_or(0, |record| record.at), first);
    }
    let since = Selection {
        since: Some(Timestamp(999_990)),
        ..Selection::default()
    };
    assert_eq!(read_all(path, since).len(), 11);
}

#[test]
fn events_are_kept_in_order_with_lines_of_any_length() {
    let folder = TempDir::new().unwrap();
    let (writer, handle, path) = start_in(&folder);
    let long = "x".repeat(3_000_000);
    for message in ["first", &long, "last"] {
        handle.event(&warning(message));
    }
    drop(writer);
    handle.finish();
    let reader = PlogReader::open(&path).unwrap();
    assert_eq!(
        (reader.state(), reader.identity()),
        (State::Finished, Some((build(), 1)))
    );
    let messages: Vec<String> = reader
        .events()
        .map(|line| match line.unwrap().event {
            v1::Event::Warning { message } => message,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(messages, ["first", &long, "last"]);
}

#[test]
fn a_thousand_short_steps_are_few_writes() {
    let folder = TempDir::new().unwrap();
    let (mut writer, handle, path) = start_in(&folder);
    for step in 0..1000 {
        let source = writer.register(StepIx(step), 1, &format!("step-{step}"));
        handle.event(&warning("started"));
        writer.append(
            source,
            Stream::Stdout,
            b"done\n",
            Timestamp(u64::from(step)),
        );
        for stream in STREAMS {
            writer.close(source, stream, Timestamp(u64::from(step)));
        }
        writer.publish();
        handle.event(&warning("finished"));
    }
    drop(writer);
    let bytes = handle.finish().bytes;
    assert!(bytes < 40_000, "{bytes} bytes for a thousand steps");
    let selection = Selection {
        steps: vec!["step-998".to_owned()],
        ..Selection::default()
    };
    assert_eq!(read_all(&path, selection).len(), 1);
    assert_eq!(PlogReader::open(&path).unwrap().events().count(), 2000);
}

#[test]
fn finishing_twice_says_the_same() {
    let folder = TempDir::new().unwrap();
    let (writer, handle, path) = start_in(&folder);
    drop(writer);
    let end = handle.finish();
    assert_eq!(handle.clone().finish(), end);
    assert_eq!(end.bytes, path.metadata().unwrap().len());
}

#[test]
fn a_file_that_exists_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("build.plog");
    std::fs::write(&path, "precious").unwrap();
    let (options, warnings) = options(Some(path.clone()));
    let (writer, handle) = start(options);
    drop(writer);
    assert!(handle.finish().lost.is_some());
    assert!(warnings.recv().unwrap().contains("exists"));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_short_log_is_in_the_file_at_its_end_and_its_first_event_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("build.plog");
    let (options, _) = options(Some(path.clone()));
    let (mut writer, handle) = super::start(options);
    handle.event(&warning("first"));
    let begun = path.metadata().unwrap().len();
    assert!(begun > 0);
    let source = writer.register(StepIx(0), 1, "s");
    writer.append(source, Stream::Stdout, b"line\n", Timestamp(1));
    writer.publish();
    handle.event(&build_finished());
    assert_eq!(path.metadata().unwrap().len(), begun);
    drop(writer);
    let end = handle.finish();
    assert_eq!((end.records, end.lost), (1, None));
    let reader = PlogReader::open(&path).unwrap();
    assert_eq!(reader.events().count(), 2);
    assert_eq!(reader.records(), 1);
}

/// How many records the file has within a second.
fn records_soon(path: &Path, wanted: u64) -> u64 {
    let mut found = 0;
    for _ in 0..100 {
        found = PlogReader::open(path).map_or(0, |reader| reader.records());
        if found >= wanted {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    found
}

#[test_case(100 * 1024, 0; "a little waits for the end")]
#[test_case(128 * 1024, 1; "as much as wakes the recorder")]
#[test_case(200 * 1024, 1; "less than a frame")]
#[test_case(9 * 1024 * 1024, 1; "more than memory may hold")]
fn a_log_that_grows_is_written_while_the_build_is_silent(bytes: usize, records: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("build.plog");
    let (options, _) = options(Some(path.clone()));
    let (mut writer, handle) = super::start(options);
    let source = writer.register(StepIx(0), 1, "s");
    for line in vec![b'x'; bytes].chunks_mut(64 * 1024) {
        *line.last_mut().expect("chunks are not empty") = b'\n';
        writer.append(source, Stream::Stdout, line, Timestamp(1));
        writer.publish();
    }
    let all = if records == 0 {
        0
    } else {
        bytes.div_ceil(64 * 1024) as u64
    };
    assert_eq!(records_soon(&path, all), all);
    drop(writer);
    assert_eq!(handle.finish().lost, None);
}

#[test]
fn without_a_thread_everything_is_written_by_whoever_brings_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("build.plog");
    let (options, _) = options(Some(path.clone()));
    let (mut writer, handle) = super::start(options);
    if let Recording::Inline { threadless, .. } = &mut *handle.0.recording() {
        *threadless = true;
    }
    handle.keep_up();
    let source = writer.register(StepIx(0), 1, "s");
    for n in 1..=100 {
        let mut line = vec![b'x'; 100 * 1024];
        line.push(b'\n');
        writer.append(source, Stream::Stdout, &line, Timestamp(n));
        writer.publish();
        assert_eq!(PlogReader::open(&path).unwrap().records(), n * 2);
    }
    drop(writer);
    assert_eq!(handle.finish().lost, None);
}
