//! What a damaged or hostile file costs: an error that names what is missing, and nothing else.

use super::*;

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
            .flat_map(|damage| damage.records.clone().unwrap_or(0..0))
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

#[test]
fn damage_says_where_and_what_is_lost() {
    let damage = Damage {
        bytes: 80..120,
        records: Some(7..9),
        why: BadFrame::Payload,
    };
    assert_eq!(
        damage.to_string(),
        "bytes 80 to 120 of the log file cannot be read (its payload is damaged): records 7 to 8 are lost"
    );
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
