//! What a damaged or hostile file costs: an error that names what is missing, and nothing else.

use super::*;
use std::ops::Range;
use test_case::test_case;

/// A file with three log frames and two event frames, and the records in it.
fn file_with_frames(folder: &TempDir) -> (PathBuf, Vec<Owned>) {
    let (mut writer, handle, path) = start_in(folder);
    let source = writer.register(StepIx(0), 1, "noise");
    handle.event(&warning("one"));
    let mut random = 1_u64;
    for line in 0..800_u64 {
        let text: String = (0..800)
            .map(|_| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                char::from(b'!' + (random >> 33) as u8 % 90)
            })
            .collect();
        writer.append(
            source,
            Stream::Stdout,
            format!("{line} {text}\n").as_bytes(),
            Timestamp(line),
        );
    }
    writer.publish();
    handle.event(&warning("two"));
    drop(writer);
    handle.finish();
    let records = read_all(&path, Selection::default());
    (path, records)
}

fn read_damaged(path: &Path) -> (Vec<Owned>, Vec<Damage>) {
    let mut damages = Vec::new();
    let mut records = Vec::new();
    let reader = PlogReader::open(path).unwrap();
    for batch in reader.select(Selection::default()) {
        match batch {
            Ok(batch) => records.extend(owned(&batch)),
            Err(ReadError::Damage(damage)) => damages.push(damage),
            Err(ReadError::Io(error)) => panic!("{error}"),
        }
    }
    reader.events().for_each(drop);
    (records, damages)
}

#[test]
fn a_flipped_byte_costs_at_most_its_frame_and_is_named() {
    let folder = TempDir::new().unwrap();
    let (path, all) = file_with_frames(&folder);
    let bytes = std::fs::read(&path).unwrap();
    let magics = memchr::memmem::find_iter(&bytes, &frame::MAGIC).collect::<Vec<_>>();
    // Every byte of each header and the start of its payload, of the end, and some between.
    let near = magics.iter().flat_map(|&at| at..(at + 90).min(bytes.len()));
    let places = near
        .chain((0..bytes.len()).step_by(9973))
        .chain(bytes.len() - 60..bytes.len());
    let damaged = folder.path().join("damaged.plog");
    for place in places {
        let mut copy = bytes.clone();
        copy[place] ^= 0x41;
        std::fs::write(&damaged, &copy).unwrap();
        let (records, damages) = read_damaged(&damaged);
        let lost: Vec<u64> = damages
            .iter()
            .flat_map(|damage| damage.records.clone())
            .collect();
        let mut rest = all.clone();
        rest.retain(|record| !lost.contains(&record.seq));
        assert!(records == rest, "byte {place}: {damages:?}");
        assert!(
            lost.len() <= 400,
            "byte {place} costs {} records",
            lost.len()
        );
        let named = damages
            .iter()
            .all(|damage| damage.bytes.contains(&(place as u64)));
        assert!(named, "byte {place}: {damages:?}");
    }
}

#[test]
fn a_truncated_file_is_read_up_to_its_last_whole_frame() {
    let folder = TempDir::new().unwrap();
    let (path, all) = file_with_frames(&folder);
    let bytes = std::fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.plog");
    for length in (0..bytes.len())
        .step_by(4999)
        .chain(bytes.len() - 100..bytes.len())
    {
        std::fs::write(&damaged, &bytes[..length]).unwrap();
        let (records, _) = read_damaged(&damaged);
        assert!(all.starts_with(&records), "cut at {length}");
    }
}

#[test]
fn a_step_that_prints_a_log_file_adds_no_frames() {
    let folder = TempDir::new().unwrap();
    let (other, _) = file_with_frames(&folder);
    let printed = std::fs::read(other).unwrap();
    let path = folder
        .path()
        .join(format!("{}.plog", BuildId::from_random(8)));
    let (mut options, _) = options(Some(path.clone()));
    options.build = BuildId::from_random(8);
    let (mut writer, handle) = start(options);
    let source = writer.register(StepIx(0), 1, "cat");
    handle.event(&warning("one"));
    writer.append(source, Stream::Stdout, &printed, Timestamp(1));
    writer.close(source, Stream::Stdout, Timestamp(1));
    drop(writer);
    let end = handle.finish();
    // Without the footer, and with the header of the first log frame damaged: the search goes through the printed frames.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(end.bytes as usize - 1);
    let event = PlogReader::open(&path).unwrap().events().count();
    assert_eq!(event, 1);
    let first_log = memchr::memmem::find_iter(&bytes, &frame::MAGIC)
        .find(|&at| {
            bytes[at + 9] == 1
                && bytes[at + 16..at + 32] == *BuildId::from_random(8).as_str().as_bytes()
        })
        .unwrap();
    bytes[first_log + 40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (records, _) = read_damaged(&path);
    assert!(records.iter().all(|record| record.source.2 == "cat"));
}

/// Three lines, as the recorder gets them.
fn three_lines(first: u64) -> Arc<Batch> {
    let text: String = (first..first + 3).map(|n| format!("line {n}\n")).collect();
    let run = Run {
        source: Arc::new(Source {
            step: StepIx(0),
            r#try: 1,
            label: "a".into(),
        }),
        at: Timestamp(first),
        marks: Marks::default(),
        first_seq: first,
        count: 3,
        start: 0,
        end: text.len() as u32,
    };
    Arc::new(Batch {
        runs: vec![run],
        text: text.into(),
    })
}

/// Four log frames of three records, each followed by a frame of one event, the last of which tells the build's end.
fn small_file(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    let mut plog = plog::PlogWriter::new(plog::create(&path).unwrap(), build(), 1);
    for frame in 0..4 {
        plog.add_records(three_lines(3 * frame)).unwrap();
        let finished = event(v1::Event::BuildFinished {
            outcome: v1::Outcome::Succeeded,
            reason: None,
            duration_us: 1,
            counts: v1::Counts::default(),
            log_end: 12,
        });
        plog.add_events(&if frame == 3 {
            finished
        } else {
            warning("more")
        });
        plog.add_events(b"\n");
        plog.flush().unwrap();
    }
    plog.finish().unwrap();
    path
}

/// What is left of a file.
#[derive(Debug, PartialEq)]
struct Left {
    records: Vec<u64>,
    events: usize,
    damages: Vec<Damage>,
}

fn left(path: &Path) -> Left {
    let (records, mut damages) = read_damaged(path);
    let mut events = 0;
    for event in PlogReader::open(path).unwrap().events() {
        match event {
            Ok(_) => events += 1,
            Err(ReadError::Damage(damage)) => damages.push(damage),
            Err(ReadError::Io(error)) => panic!("{error}"),
        }
    }
    Left {
        records: records.iter().map(|record| record.seq).collect(),
        events,
        damages,
    }
}

#[test_case(true; "with its index")]
#[test_case(false; "without its index")]
fn each_damaged_byte_costs_at_most_its_frame_and_is_named(has_footer: bool) {
    let folder = TempDir::new().unwrap();
    let path = small_file(&folder, "whole.plog");
    let mut bytes = std::fs::read(&path).unwrap();
    let frames: Vec<_> = memchr::memmem::find_iter(&bytes, &frame::MAGIC).collect();
    assert_eq!(frames.len(), 9);
    bytes.truncate(if has_footer { bytes.len() } else { frames[8] });
    let damaged = folder.path().join("damaged.plog");
    for place in 0..bytes.len() {
        for flip in [1, 0x20, 0x80, 0xff] {
            let mut copy = bytes.clone();
            copy[place] ^= flip;
            std::fs::write(&damaged, &copy).unwrap();
            let left = left(&damaged);
            let at = frames.iter().rposition(|&at| at <= place).unwrap();
            // Log frames and events take turns.
            let (of_log, of_events) = match at {
                8 => (None, None),
                at if at % 2 == 0 => (Some(at as u64 / 2), None),
                at => (None, Some(at as u64 / 2)),
            };
            let lost = of_log.map_or(0..0, |frame| 3 * frame..3 * frame + 3);
            let kept: Vec<_> = (0..12).filter(|seq| !lost.contains(seq)).collect();
            let what = format!("byte {place} of frame {at}: {left:?}");
            assert_eq!(left.records, kept, "{what}");
            assert_eq!(left.events, 4 - usize::from(of_events.is_some()), "{what}");
            let [damage] = &left.damages[..] else {
                panic!("named once: {what}");
            };
            assert!(damage.bytes.contains(&(place as u64)), "{what}");
            assert!(damage.records.clone().eq(lost), "{what}");
            // Without the last event and the index behind it, nobody knows what came last.
            let end_is_lost = !has_footer && damage.more;
            let events = of_events.map_or(0..0, |frame| frame..frame + 1);
            assert!(damage.events == events || end_is_lost && at == 7, "{what}");
            assert!(!damage.more || at == 7, "{what}");
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_read_up_to_there_and_what_is_known_to_be_missing_is_named() {
    let folder = TempDir::new().unwrap();
    let path = small_file(&folder, "whole.plog");
    let bytes = std::fs::read(&path).unwrap();
    let frames: Vec<_> = memchr::memmem::find_iter(&bytes, &frame::MAGIC).collect();
    let damaged = folder.path().join("damaged.plog");
    for length in 0..bytes.len() {
        std::fs::write(&damaged, &bytes[..length]).unwrap();
        let left = left(&damaged);
        let whole = frames.iter().filter(|&&at| at > 0 && at <= length).count();
        let records = 3 * (whole as u64).div_ceil(2).min(4);
        let what = format!("{length} bytes, {whole} frames: {left:?}");
        assert!(left.records.iter().copied().eq(0..records), "{what}");
        assert_eq!(left.events, (whole / 2).min(4), "{what}");
        if [0].iter().chain(&frames).any(|&at| at == length) {
            assert_eq!(left.damages, [], "nothing tells: {what}");
            continue;
        }
        let [damage] = &left.damages[..] else {
            panic!("named once: {what}");
        };
        let of_log = whole < 8 && whole % 2 == 0;
        let header_is_whole = length >= frames[whole] + frame::HEADER;
        let lost = if of_log && header_is_whole { 3 } else { 0 };
        assert!(damage.records.clone().eq(records..records + lost), "{what}");
        assert_eq!(damage.more, whole < 8, "{what}");
        assert_eq!(damage.why, BadFrame::Cut, "{what}");
    }
}

#[test]
fn records_that_the_disk_had_no_room_for_are_named_by_the_last_event() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("full.plog");
    let mut plog = plog::PlogWriter::new(plog::create(&path).unwrap(), build(), 1);
    plog.add_records(three_lines(0)).unwrap();
    plog.flush().unwrap();
    plog.add_records(three_lines(3)).unwrap();
    plog.forget_records();
    plog.add_events(&event(v1::Event::BuildFinished {
        outcome: v1::Outcome::Succeeded,
        reason: None,
        duration_us: 1,
        counts: v1::Counts::default(),
        log_end: 6,
    }));
    plog.add_events(b"\n");
    plog.finish().unwrap();
    let damages: Vec<String> = left(&path).damages.iter().map(Damage::to_string).collect();
    assert_eq!(
        damages,
        ["the log file is not complete: 3 records are lost (3 to 5)"]
    );
}

#[test_case(0..0, 0..0, false, "no record is lost")]
#[test_case(0..0, 0..0, true, "nobody knows what they held")]
#[test_case(7..8, 0..0, false, "record 7 is lost")]
#[test_case(7..9, 0..0, true, "2 records are lost (7 to 8), and perhaps more")]
#[test_case(0..0, 1..2, false, "event 1 is lost")]
#[test_case(7..9, 1..4, false, "2 records are lost (7 to 8), 3 events are lost (1 to 3)")]
fn damage_says_where_and_what_is_lost(
    records: Range<u64>,
    events: Range<u64>,
    more: bool,
    cost: &str,
) {
    let damage = Damage {
        bytes: 80..120,
        records,
        events,
        more,
        why: BadFrame::Payload,
    };
    assert_eq!(
        damage.to_string(),
        format!("bytes 80 to 120 of the log file cannot be read (its payload is damaged): {cost}")
    );
}

/// A file as it may come back from a bad disk or a bad hand.
fn maim(bytes: &mut Vec<u8>, place: prop::sample::Index, with: &[u8], how: u8) {
    let from = place.index(bytes.len() + 1);
    let to = (from + with.len()).min(bytes.len());
    match how {
        0 => drop(bytes.splice(from..to, with.iter().copied())),
        1 => drop(bytes.splice(from..from, with.iter().copied())),
        2 => drop(bytes.drain(from..to)),
        _ => {
            let copy = bytes[from..to].to_vec();
            bytes.extend(copy);
        }
    }
}

proptest! {
    #[test]
    fn whatever_became_of_a_file_what_is_read_is_what_was_written(
        wounds in proptest::collection::vec(
            (any::<prop::sample::Index>(), proptest::collection::vec(any::<u8>(), 0..600), 0..4_u8),
            1..4,
        ),
    ) {
        let folder = TempDir::new().unwrap();
        let path = small_file(&folder, "whole.plog");
        let mut bytes = std::fs::read(&path).unwrap();
        for (place, with, how) in wounds {
            maim(&mut bytes, place, &with, how);
        }
        std::fs::write(&path, &bytes).unwrap();
        let (records, _) = read_damaged(&path);
        prop_assert!(records.is_sorted_by(|a, b| a.seq < b.seq));
        for record in &records {
            let written = format!("line {}", record.seq);
            prop_assert_eq!(&record.text, written.as_bytes());
        }
        if let Some(dead) = PlogReader::dead(&path).unwrap() {
            dead.close(build(), &[&build_finished()]).unwrap();
            prop_assert_eq!(PlogReader::open(&path).unwrap().state(), State::Finished);
            prop_assert_eq!(read_damaged(&path).0, records);
        }
    }
}

#[test]
fn a_file_of_a_newer_piper_is_not_closed_by_this_one() {
    let folder = TempDir::new().unwrap();
    let path = small_file(&folder, "newer.plog");
    let mut bytes = std::fs::read(&path).unwrap();
    let frames: Vec<_> = memchr::memmem::find_iter(&bytes, &frame::MAGIC).collect();
    bytes.truncate(frames[3]);
    let last = &mut bytes[frames[2]..];
    last[8] = 2;
    let crc = crc32fast::hash(&last[..76]);
    last[76..80].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert!(PlogReader::dead(&path).unwrap().is_none());
    assert!(PlogReader::open(&path).unwrap().is_newer());
    assert_eq!(left(&path).damages[0].why, BadFrame::Newer);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_file_that_was_just_made_is_of_a_build_that_runs_and_one_that_was_emptied_of_a_dead_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new.plog");
    File::create(&path).unwrap();
    assert_eq!(PlogReader::open(&path).unwrap().state(), State::Running);
    assert!(PlogReader::dead(&path).unwrap().is_none());
    let path = small_file(&folder, "emptied.plog");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    // The clock of the file system may not have moved on since the file was made.
    let Ok(made) = file.metadata().unwrap().created() else {
        return;
    };
    file.set_modified(made + Duration::from_micros(1)).unwrap();
    assert_eq!(PlogReader::open(&path).unwrap().state(), State::Dead);
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    let (directory, pipe) = (folder.path().join("a.plog"), folder.path().join("b.plog"));
    std::fs::create_dir(&directory).unwrap();
    let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
    // SAFETY: the name is a string that lives as long as the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    for path in [directory, pipe] {
        let error = PlogReader::open(&path).unwrap_err();
        assert_eq!(error.to_string(), "it is not a file");
    }
}

fn any_header() -> impl Strategy<Value = (u8, [u8; frame::HEADER])> {
    (
        any::<u8>(),
        proptest::array::uniform32(any::<u8>()),
        proptest::array::uniform32(any::<u8>()),
    )
        .prop_map(|(kind, a, b)| {
            let mut bytes = [0; frame::HEADER];
            bytes[..8].copy_from_slice(&frame::MAGIC);
            bytes[8..12].copy_from_slice(&[1, kind % 4, kind / 4 % 2, 0]);
            bytes[12..16].copy_from_slice(&a[..4]);
            bytes[16..32].copy_from_slice(build().as_str().as_bytes());
            bytes[32..64].copy_from_slice(&b);
            bytes[64..76].copy_from_slice(&a[4..16]);
            let crc = crc32fast::hash(&bytes[..76]);
            bytes[76..].copy_from_slice(&crc.to_le_bytes());
            (kind, bytes)
        })
}

proptest! {
    #[test]
    fn a_header_that_was_read_is_written_the_same((_, bytes) in any_header()) {
        if let Ok(header) = frame::Header::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn no_payload_makes_the_reader_panic(
        payload in proptest::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..200),
        kind in prop_oneof![Just(frame::Kind::Log), Just(frame::Kind::Footer), Just(frame::Kind::Events)],
        count in 0..4_u32,
    ) {
        let header = frame::Header {
            kind,
            compressed: false,
            build: build(),
            attempt: 1,
            first: 0,
            count,
            lines: 0,
            first_at: Timestamp(0),
            last_at: Timestamp(0),
            raw_len: 0,
            stored_len: 0,
            payload_crc: 0,
        };
        let mut file = Vec::new();
        frame::Encoder::default().append(header, &payload, &mut file).unwrap();
        file.extend_from_slice(&index::trailer(0));
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("hostile.plog");
        std::fs::write(&path, file).unwrap();
        read_damaged(&path);
    }
}
