//! Frames: how records and events lie in a file.
//!
//! This is only the codec. It opens no file and trusts no byte: each length has a limit and is checked before it is used, so that
//! a hostile file costs an error and never a panic or a large allocation.
//!
//! A frame is a header of 80 bytes and a payload. Numbers are little endian.
//!
//! | at | bytes | what |
//! |---:|---:|---|
//! | 0 | 8 | magic: `89 70 6c 6f 67 0d 0a 1a` |
//! | 8 | 1 | version: 1 |
//! | 9 | 1 | kind: 1 log, 2 events, 3 footer |
//! | 10 | 1 | codec of the payload: 0 as it is, 1 zstd |
//! | 11 | 1 | 0 |
//! | 12 | 4 | attempt |
//! | 16 | 16 | build id, in ASCII |
//! | 32 | 8 | first: number of the first record, of the first event, or in a footer 0 |
//! | 40 | 4 | count: of records, of events, or in a footer of frames |
//! | 44 | 4 | lines that end in this frame; 0 but in a log frame |
//! | 48 | 8 | time of the first record, in microseconds since 1970; 0 but in a log frame |
//! | 56 | 8 | time of the last record |
//! | 64 | 4 | length of the payload once decoded |
//! | 68 | 4 | length of the payload as it is stored |
//! | 72 | 4 | CRC-32 of the payload as it is stored |
//! | 76 | 4 | CRC-32 of bytes 0 to 75 |
//!
//! A log payload, where `v` is a LEB128 number: `v` sources, each as step `v`, try `v`, label `v` and bytes; `v` runs, then their
//! columns: records `v`, bytes `v`, microseconds after the run before (zigzag `v`), source `v`, marks 1 byte; then the text with its
//! line ends. In a run whose marks end lines, each record ends at a line feed; any other run is one record.
//!
//! An events payload is lines of JSON. A footer's payload is described in [`index`](super::index).

use super::batch::{Batch, Run, Source};
use memchr::memchr_iter;
use piper_core::{
    id::{BuildId, StepIx},
    log::Marks,
    time::Timestamp,
};
use std::{collections::HashMap, io, sync::Arc};

/// How long a header is.
pub(super) const HEADER: usize = 80;

/// What each frame begins with: a byte that no UTF-8 text begins with, a word, and what a file transfer in text mode would damage.
pub(super) const MAGIC: [u8; 8] = *b"\x89plog\r\n\x1a";

const VERSION: u8 = 1;

/// The largest decoded payload that a reader takes: the first event of a build of 100,000 steps may have some ten megabytes.
pub(super) const MAX_PAYLOAD: usize = 64 * 1024 * 1024;

/// The largest decoded log payload: 256 KiB and one batch.
const MAX_LOG_PAYLOAD: usize = 2 * 1024 * 1024;

/// The largest decoded footer: 100,000 steps and 10,000 frames take some five megabytes.
const MAX_FOOTER_PAYLOAD: usize = 16 * 1024 * 1024;

/// The most runs in a log frame that a reader takes; a writer closes a frame long before.
const MAX_RUNS: usize = 64 * 1024;

/// The longest label of a source: a step's name with the cell of its matrix.
pub(super) const MAX_LABEL: usize = 64 * 1024;

/// Payloads shorter than this are stored as they are: a small build need not set up a compressor.
const WORTH_COMPRESSING: usize = 1024;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    Events,
    Footer,
}

impl Kind {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Events => 2,
            Self::Footer => 3,
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Log => MAX_LOG_PAYLOAD,
            Self::Events => MAX_PAYLOAD,
            Self::Footer => MAX_FOOTER_PAYLOAD,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::Log, Self::Events, Self::Footer]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// The bytes are not the start of a frame.
    #[error("no frame begins here")]
    NoMagic,
    /// The header's checksum is wrong.
    #[error("its header is damaged")]
    Header,
    /// A newer piper wrote it.
    #[error("a newer piper wrote it: read it with that one")]
    Newer,
    /// The payload's checksum is wrong.
    #[error("its payload is damaged")]
    Payload,
    /// The file ends before it does.
    #[error("its end is missing")]
    Cut,
    /// The checksums are right, but the content makes no sense.
    #[error("its content makes no sense")]
    Content,
    /// It belongs to another build or attempt, or repeats what was there before.
    #[error("it does not belong here")]
    Foreign,
}

/// A frame's header, but for its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) compressed: bool,
    pub(super) build: BuildId,
    pub(super) attempt: u32,
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) lines: u32,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
    pub(super) raw_len: u32,
    pub(super) stored_len: u32,
    pub(super) payload_crc: u32,
}

impl Header {
    /// The number after that of the last record or event.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// How long the whole frame is.
    pub(super) fn frame_len(&self) -> u64 {
        HEADER as u64 + u64::from(self.stored_len)
    }

    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&[VERSION, self.kind.code(), u8::from(self.compressed), 0]);
        put(&self.attempt.to_le_bytes());
        put(self.build.as_str().as_bytes());
        put(&self.first.to_le_bytes());
        put(&self.count.to_le_bytes());
        put(&self.lines.to_le_bytes());
        put(&self.first_at.0.to_le_bytes());
        put(&self.last_at.0.to_le_bytes());
        put(&self.raw_len.to_le_bytes());
        put(&self.stored_len.to_le_bytes());
        put(&self.payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER]) -> Result<Self, BadFrame> {
        if !bytes.starts_with(&MAGIC) {
            return Err(BadFrame::NoMagic);
        }
        let u32_at =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if u32_at(HEADER - 4) != crc32fast::hash(&bytes[..HEADER - 4]) {
            return Err(BadFrame::Header);
        }
        if bytes[8] != VERSION || bytes[10] > 1 {
            return Err(BadFrame::Newer);
        }
        let header = Self {
            kind: Kind::from_code(bytes[9]).ok_or(BadFrame::Newer)?,
            compressed: bytes[10] == 1,
            attempt: u32_at(12),
            build: str::from_utf8(&bytes[16..32])
                .ok()
                .and_then(BuildId::parse)
                .ok_or(BadFrame::Content)?,
            first: u64_at(32),
            count: u32_at(40),
            lines: u32_at(44),
            first_at: Timestamp(u64_at(48)),
            last_at: Timestamp(u64_at(56)),
            raw_len: u32_at(64),
            stored_len: u32_at(68),
            payload_crc: u32_at(72),
        };
        // A compressed payload that is no shorter would have been stored as it is.
        if header.raw_len as usize > header.kind.limit()
            || header.stored_len > header.raw_len
            || header.first.checked_add(u64::from(header.count)).is_none()
        {
            return Err(BadFrame::Content);
        }
        Ok(header)
    }
}

/// Appends frames to a buffer. Sets its compressor up when it first needs one and keeps it.
#[derive(Default)]
pub(super) struct Encoder {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    compressed: Vec<u8>,
}

impl Encoder {
    /// Appends the frame of `payload` to `out`; the lengths, the codec and the checksum of `header` are filled in here.
    pub(super) fn append(
        &mut self,
        mut header: Header,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<Header> {
        if payload.len() > header.kind.limit() {
            return Err(io::Error::other("a frame that no reader would take"));
        }
        let mut stored = payload;
        if payload.len() >= WORTH_COMPRESSING {
            let compressor = match &mut self.compressor {
                Some(compressor) => compressor,
                none => none.insert(zstd::bulk::Compressor::new(1)?),
            };
            self.compressed.clear();
            let bound = zstd::zstd_safe::compress_bound(payload.len());
            self.compressed.reserve(bound);
            compressor.compress_to_buffer(payload, &mut self.compressed)?;
            if self.compressed.len() < payload.len() {
                stored = &self.compressed;
                header.compressed = true;
            }
        }
        header.raw_len = payload.len() as u32;
        header.stored_len = stored.len() as u32;
        header.payload_crc = crc32fast::hash(stored);
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(stored);
        Ok(header)
    }
}

/// Checks a stored payload and decodes it.
pub(super) fn decode_payload(header: &Header, stored: &[u8]) -> Result<Vec<u8>, BadFrame> {
    if stored.len() != header.stored_len as usize || crc32fast::hash(stored) != header.payload_crc {
        return Err(BadFrame::Payload);
    }
    let raw = if header.compressed {
        zstd::bulk::decompress(stored, header.raw_len as usize).map_err(|_| BadFrame::Content)?
    } else {
        stored.to_vec()
    };
    if raw.len() == header.raw_len as usize {
        Ok(raw)
    } else {
        Err(BadFrame::Content)
    }
}

/// Writes the payload of a log frame that holds these batches.
pub(super) fn encode_records(batches: &[Arc<Batch>], out: &mut Vec<u8>) {
    let mut places: HashMap<*const Source, u64> = HashMap::new();
    let mut sources: Vec<&Source> = Vec::new();
    let runs = || batches.iter().flat_map(|batch| &batch.runs);
    let of_run: Vec<u64> = runs()
        .map(|run| {
            *places.entry(Arc::as_ptr(&run.source)).or_insert_with(|| {
                sources.push(&run.source);
                sources.len() as u64 - 1
            })
        })
        .collect();
    put_number(out, sources.len() as u64);
    for source in sources {
        put_source(out, source);
    }
    put_number(out, of_run.len() as u64);
    runs().for_each(|run| put_number(out, u64::from(run.count)));
    runs().for_each(|run| put_number(out, u64::from(run.end - run.start)));
    let mut before = runs().next().map_or(0, |run| run.at.0);
    for run in runs() {
        put_signed(out, run.at.0.wrapping_sub(before).cast_signed());
        before = run.at.0;
    }
    of_run.iter().for_each(|&place| put_number(out, place));
    out.extend(runs().map(|run| run.marks.0));
    for (_, bytes) in batches.iter().flat_map(|batch| batch.runs()) {
        out.extend_from_slice(bytes);
    }
}

/// Reads the payload of a log frame.
pub(super) fn decode_records(header: &Header, payload: Vec<u8>) -> Result<Batch, BadFrame> {
    let mut input = Input(&payload);
    let sources = input.list(|input| Ok(Arc::new(input.source()?)))?;
    let runs = input.count()?;
    if runs > MAX_RUNS {
        return Err(BadFrame::Content);
    }
    let column = |input: &mut Input<'_>| -> Result<Vec<u64>, BadFrame> {
        (0..runs).map(|_| input.number()).collect()
    };
    let counts = column(&mut input)?;
    let lengths = column(&mut input)?;
    let times = column(&mut input)?;
    let of_run = column(&mut input)?;
    let marks = input.bytes(runs)?;
    let text = payload.len() - input.0.len();

    let mut batch = Batch {
        runs: Vec::with_capacity(runs),
        text: Vec::new(),
    };
    let (mut start, mut at, mut first_seq) = (text, header.first_at.0, header.first);
    for i in 0..runs {
        let length = usize::try_from(lengths[i]).map_err(|_| BadFrame::Content)?;
        let end = start.checked_add(length).ok_or(BadFrame::Content)?;
        let bytes = payload.get(start..end).ok_or(BadFrame::Content)?;
        at = at.wrapping_add(unzigzag(times[i]).cast_unsigned());
        let place = usize::try_from(of_run[i]).map_err(|_| BadFrame::Content)?;
        let run = Run {
            source: Arc::clone(sources.get(place).ok_or(BadFrame::Content)?),
            at: Timestamp(at),
            marks: Marks(marks[i]),
            first_seq,
            count: u32::try_from(counts[i]).map_err(|_| BadFrame::Content)?,
            start: start as u32,
            end: end as u32,
        };
        let whole = if run.marks.ends_line() {
            bytes.ends_with(b"\n") && memchr_iter(b'\n', bytes).count() == run.count as usize
        } else {
            run.count == 1
        };
        if !whole {
            return Err(BadFrame::Content);
        }
        first_seq = first_seq
            .checked_add(u64::from(run.count))
            .ok_or(BadFrame::Content)?;
        batch.runs.push(run);
        start = end;
    }
    if start != payload.len() || first_seq != header.end() {
        return Err(BadFrame::Content);
    }
    batch.text = payload;
    Ok(batch)
}

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

pub(super) fn put_source(out: &mut Vec<u8>, source: &Source) {
    put_number(out, u64::from(source.step.0));
    put_number(out, u64::from(source.r#try));
    put_number(out, source.label.len() as u64);
    out.extend_from_slice(source.label.as_bytes());
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// What is still to be decoded.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], BadFrame> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(BadFrame::Content)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn number(&mut self) -> Result<u64, BadFrame> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(BadFrame::Content)
    }

    pub(super) fn number_u32(&mut self) -> Result<u32, BadFrame> {
        u32::try_from(self.number()?).map_err(|_| BadFrame::Content)
    }

    pub(super) fn signed(&mut self) -> Result<i64, BadFrame> {
        self.number().map(unzigzag)
    }

    /// The length of a list. Its entries take a byte or more each, so that it cannot be longer than what is left.
    pub(super) fn count(&mut self) -> Result<usize, BadFrame> {
        let count = usize::try_from(self.number()?).map_err(|_| BadFrame::Content)?;
        if count > self.0.len() {
            return Err(BadFrame::Content);
        }
        Ok(count)
    }

    pub(super) fn list<T>(
        &mut self,
        mut entry: impl FnMut(&mut Self) -> Result<T, BadFrame>,
    ) -> Result<Vec<T>, BadFrame> {
        let count = self.count()?;
        (0..count).map(|_| entry(self)).collect()
    }

    pub(super) fn source(&mut self) -> Result<Source, BadFrame> {
        let step = StepIx(self.number_u32()?);
        let r#try = self.number_u32()?;
        let label = self.count()?;
        if label > MAX_LABEL {
            return Err(BadFrame::Content);
        }
        let label = str::from_utf8(self.bytes(label)?).map_err(|_| BadFrame::Content)?;
        Ok(Source {
            step,
            r#try,
            label: label.into(),
        })
    }
}
