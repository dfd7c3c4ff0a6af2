//! Which frames a file has, and what can be known of each without reading it.
//!
//! A finished file carries its index in its footer. That of any other file is built by hopping from header to header; where
//! something is damaged, the file is searched for the next frame that belongs to it. Nothing here decodes records.
//!
//! The footer's payload, in the numbers of [`frame`](super::frame): `v` sources; `v` frames, each as kind 1 byte, bytes since the
//! end of the frame before `v`, length `v`, first number after the last one of its kind `v`, count `v`, lines `v`, and for a log
//! frame: first time after that of the log frame before (zigzag `v`), microseconds that it spans `v`, and its `v` shares, each as
//! source `v`, stream 1 byte, records `v`, lines `v`. Behind the footer's frame, a file ends with 16 bytes: the offset of that
//! frame and `plog-end`.

use super::{
    batch::{Batch, Source},
    frame::{self, BadFrame, HEADER, Header, Input, Kind, MAGIC},
};
use piper_core::{
    id::BuildId,
    log::{Marks, Stream},
    time::Timestamp,
};
use std::{collections::HashMap, fmt, fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

/// How long the end of a finished file is: the footer's offset and [`TRAILER_MAGIC`].
pub(super) const TRAILER: u64 = 16;

const TRAILER_MAGIC: [u8; 8] = *b"plog-end";

/// How much of a damaged file is read at once in search of the next frame.
const SEARCH: usize = 256 * 1024;

/// A part of a file that cannot be read, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where in the file; empty if the file never had it.
    pub bytes: Range<u64>,
    /// The records that are known to be missing.
    pub records: Range<u64>,
    /// The events that are known to be missing.
    pub events: Range<u64>,
    /// Whether more may be missing: nothing tells where the build ended.
    pub more: bool,
    /// What is wrong.
    pub why: BadFrame,
}

impl std::error::Error for Damage {}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes.is_empty() {
            true => f.write_str("the log file is not complete: ")?,
            false => write!(
                f,
                "bytes {} to {} of the log file cannot be read ({}): ",
                self.bytes.start, self.bytes.end, self.why
            )?,
        }
        let mut costs = [("record", &self.records), ("event", &self.events)]
            .into_iter()
            .filter(|(_, lost)| !lost.is_empty())
            .peekable();
        if costs.peek().is_none() {
            return f.write_str(match self.more {
                true => "nobody knows what they held",
                false => "no record is lost",
            });
        }
        while let Some((what, lost)) = costs.next() {
            match lost.end - lost.start {
                1 => write!(f, "{what} {} is lost", lost.start)?,
                count => write!(
                    f,
                    "{count} {what}s are lost ({} to {})",
                    lost.start,
                    lost.end - 1
                )?,
            }
            f.write_str(if costs.peek().is_some() { ", " } else { "" })?;
        }
        f.write_str(match self.more {
            true => ", and perhaps more",
            false => "",
        })
    }
}

/// What one stream of one source has in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// The source's place in the index.
    pub(super) source: u32,
    pub(super) stream: Stream,
    pub(super) records: u32,
    pub(super) lines: u32,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) lines: u32,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
    /// Whose records a log frame has; `None` if only the frame itself could tell.
    pub(super) shares: Option<Vec<Share>>,
}

impl Entry {
    pub(super) fn new(header: &Header, offset: u64) -> Self {
        Self {
            kind: header.kind,
            offset,
            len: header.frame_len(),
            first: header.first,
            count: header.count,
            lines: header.lines,
            first_at: header.first_at,
            last_at: header.last_at,
            shares: None,
        }
    }

    /// The number after that of the last record or event.
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    fn file_range(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }

    /// Reads the frame's header and its decoded payload.
    pub(super) fn read(&self, file: &File) -> Result<(Header, Vec<u8>), ReadError> {
        let damage = |why| ReadError::Damage(self.damage(why));
        let mut bytes = vec![0; self.len as usize];
        match file.read_exact_at(&mut bytes, self.offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damage(BadFrame::Cut));
            }
            read => read?,
        }
        let (header, stored) = bytes
            .split_first_chunk()
            .ok_or_else(|| damage(BadFrame::Header))?;
        let header = Header::decode(header).map_err(damage)?;
        if header.frame_len() != self.len
            || (header.kind, header.first, header.count) != (self.kind, self.first, self.count)
        {
            return Err(damage(BadFrame::Foreign));
        }
        let payload = frame::decode_payload(&header, stored).map_err(damage)?;
        Ok((header, payload))
    }

    /// What to say of a frame whose checksums are right and whose content makes no sense.
    pub(super) fn senseless(&self) -> Damage {
        self.damage(BadFrame::Content)
    }

    fn damage(&self, why: BadFrame) -> Damage {
        Damage {
            why,
            ..lost(self.kind, self.first..self.end(), self.file_range())
        }
    }

    /// Reads the records of a log frame.
    pub(super) fn read_records(&self, file: &File) -> Result<Batch, ReadError> {
        let (header, payload) = self.read(file)?;
        frame::decode_records(&header, payload).map_err(|why| self.damage(why).into())
    }
}

/// Numbers of one kind that are missing where these bytes are.
fn lost(kind: Kind, numbers: Range<u64>, bytes: Range<u64>) -> Damage {
    let of = |own| if kind == own { numbers.clone() } else { 0..0 };
    Damage {
        bytes,
        records: of(Kind::Log),
        events: of(Kind::Events),
        more: false,
        why: BadFrame::Header,
    }
}

/// Why something could not be read from a build's file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A part of the file is damaged; reading can go on behind it.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The system refused.
    #[error("could not read the log file")]
    Io(#[from] io::Error),
}

/// The frames of a file, in order, without its footer.
#[derive(Debug, Default, Clone)]
pub(super) struct Index {
    pub(super) entries: Vec<Entry>,
    /// What the shares refer to.
    pub(super) sources: Vec<Arc<Source>>,
    places: HashMap<Source, u32>,
}

impl Index {
    /// Where the last frame ends.
    pub(super) fn end(&self) -> u64 {
        self.entries
            .last()
            .map_or(0, |entry| entry.file_range().end)
    }

    /// What these batches have of each source, for the entry of the frame that holds them.
    pub(super) fn shares(&mut self, batches: &[Arc<Batch>]) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        let mut of_source: HashMap<(u32, Stream), usize> = HashMap::new();
        for run in batches.iter().flat_map(|batch| &batch.runs) {
            let source = match self.places.get(&*run.source) {
                Some(&place) => place,
                None => {
                    let place = self.sources.len() as u32;
                    self.sources.push(Arc::clone(&run.source));
                    self.places.insert(Source::clone(&run.source), place);
                    place
                }
            };
            let stream = run.marks.stream();
            let at = *of_source.entry((source, stream)).or_insert_with(|| {
                shares.push(Share {
                    source,
                    stream,
                    records: 0,
                    lines: 0,
                });
                shares.len() - 1
            });
            shares[at].records += run.count;
            shares[at].lines += run.lines();
        }
        shares
    }

    /// Writes a footer's payload.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        frame::put_number(out, self.sources.len() as u64);
        self.sources
            .iter()
            .for_each(|source| frame::put_source(out, source));
        frame::put_number(out, self.entries.len() as u64);
        let mut before = Before::default();
        for entry in &self.entries {
            out.push(entry.kind.code());
            frame::put_number(out, entry.offset - before.file_end);
            frame::put_number(out, entry.len);
            frame::put_number(out, entry.first - before.end_of(entry.kind));
            frame::put_number(out, u64::from(entry.count));
            frame::put_number(out, u64::from(entry.lines));
            if entry.kind == Kind::Log {
                frame::put_signed(out, entry.first_at.0.wrapping_sub(before.at).cast_signed());
                frame::put_number(out, entry.last_at.0.wrapping_sub(entry.first_at.0));
                let shares = entry.shares.as_deref().unwrap_or_default();
                frame::put_number(out, shares.len() as u64);
                for share in shares {
                    frame::put_number(out, u64::from(share.source));
                    out.push(Marks::from(share.stream).0);
                    frame::put_number(out, u64::from(share.records));
                    frame::put_number(out, u64::from(share.lines));
                }
            }
            before.advance(entry);
        }
    }

    /// Reads a footer's payload; `end` is where the frames end.
    fn decode(payload: &[u8], end: u64) -> Result<Self, BadFrame> {
        let mut input = Input(payload);
        let sources = input.list(|input| Ok(Arc::new(input.source()?)))?;
        let mut before = Before::default();
        let entries = input.list(|input| {
            let kind = Kind::from_code(input.bytes(1)?[0]).ok_or(BadFrame::Content)?;
            let later = |base: u64, by: u64| base.checked_add(by).ok_or(BadFrame::Content);
            let mut entry = Entry {
                kind,
                offset: later(before.file_end, input.number()?)?,
                len: input.number()?,
                first: later(before.end_of(kind), input.number()?)?,
                count: input.number_u32()?,
                lines: input.number_u32()?,
                first_at: Timestamp::default(),
                last_at: Timestamp::default(),
                shares: None,
            };
            later(entry.first, u64::from(entry.count))?;
            // So there are no more entries than the file has room for.
            if entry.len < HEADER as u64
                || entry.len > (frame::MAX_PAYLOAD + HEADER) as u64
                || later(entry.offset, entry.len)? > end
            {
                return Err(BadFrame::Content);
            }
            if kind == Kind::Log {
                entry.first_at = Timestamp(before.at.wrapping_add(input.signed()?.cast_unsigned()));
                entry.last_at = Timestamp(entry.first_at.0.wrapping_add(input.number()?));
                let shares = input.list(|input| read_share(input, sources.len()))?;
                // A file that was mended after its writer's death has frames whose shares nobody knows.
                entry.shares = (entry.count == 0 || !shares.is_empty()).then_some(shares);
            }
            before.advance(&entry);
            Ok(entry)
        })?;
        Ok(Self {
            entries,
            sources,
            places: HashMap::new(),
        })
    }

    /// Reads the index from the footer, if the file has a whole one.
    pub(super) fn from_footer(file: &File, len: u64) -> io::Result<Option<(Self, BuildId, u32)>> {
        let Some(trailer_at) = len.checked_sub(TRAILER) else {
            return Ok(None);
        };
        let mut trailer = [0; TRAILER as usize];
        file.read_exact_at(&mut trailer, trailer_at)?;
        let (offset, magic) = trailer.split_at(8);
        let offset = u64::from_le_bytes(offset.try_into().expect("eight bytes"));
        if magic != TRAILER_MAGIC || offset > trailer_at {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        if offset + HEADER as u64 > trailer_at {
            return Ok(None);
        }
        file.read_exact_at(&mut header, offset)?;
        let Ok(header) = Header::decode(&header) else {
            return Ok(None);
        };
        let entry = Entry::new(&header, offset);
        if header.kind != Kind::Footer || entry.file_range().end != trailer_at {
            return Ok(None);
        }
        match entry.read(file) {
            Ok((header, payload)) => Ok(Self::decode(&payload, offset)
                .ok()
                .map(|index| (index, header.build, header.attempt))),
            Err(ReadError::Damage(_)) => Ok(None),
            Err(ReadError::Io(error)) => Err(error),
        }
    }
}

fn read_share(input: &mut Input<'_>, sources: usize) -> Result<Share, BadFrame> {
    let share = Share {
        source: input.number_u32()?,
        stream: Marks(input.bytes(1)?[0]).stream(),
        records: input.number_u32()?,
        lines: input.number_u32()?,
    };
    if share.source as usize >= sources {
        return Err(BadFrame::Content);
    }
    Ok(share)
}

/// The end of a finished file.
pub(super) fn trailer(footer_offset: u64) -> [u8; TRAILER as usize] {
    let mut trailer = [0; TRAILER as usize];
    trailer[..8].copy_from_slice(&footer_offset.to_le_bytes());
    trailer[8..].copy_from_slice(&TRAILER_MAGIC);
    trailer
}

/// What the frames so far have reached.
#[derive(Debug, Default)]
struct Before {
    file_end: u64,
    records: u64,
    events: u64,
    at: u64,
}

impl Before {
    fn end_of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Log => self.records,
            Kind::Events => self.events,
            Kind::Footer => 0,
        }
    }

    fn advance(&mut self, entry: &Entry) {
        self.file_end = entry.offset + entry.len;
        match entry.kind {
            Kind::Log => {
                self.records = entry.end();
                self.at = entry.first_at.0;
            }
            Kind::Events => self.events = entry.end(),
            Kind::Footer => {}
        }
    }
}

/// Hops through a file from header to header, again and again while the file grows.
#[derive(Debug, Default)]
pub(super) struct Hopper {
    before: Before,
    /// Whose frames these must be, if that is known beforehand.
    build: Option<BuildId>,
    identity: Option<(BuildId, u32)>,
    pub(super) footer_seen: bool,
    /// Whether a frame was seen that only a newer piper can read.
    pub(super) newer_seen: bool,
}

impl Hopper {
    pub(super) fn new(build: Option<BuildId>) -> Self {
        Self {
            build,
            ..Self::default()
        }
    }

    /// The build and the attempt that the frames belong to, once one was seen.
    pub(super) fn identity(&self) -> Option<(BuildId, u32)> {
        self.identity
    }

    /// The next whole frame that ends by `len`, be it behind something damaged. `None`: no more for now.
    pub(super) fn next(&mut self, file: &File, len: u64) -> io::Result<Option<Entry>> {
        let mut offset = self.before.file_end;
        while !self.footer_seen && offset + HEADER as u64 <= len {
            let mut bytes = [0; HEADER];
            file.read_exact_at(&mut bytes, offset)?;
            match Header::decode(&bytes) {
                Ok(header) if self.fits(&header) => {
                    let entry = Entry::new(&header, offset);
                    if entry.file_range().end > len {
                        // Its writer is not done with it, or never will be.
                        return Ok(None);
                    }
                    self.identity = Some((header.build, header.attempt));
                    self.footer_seen = entry.kind == Kind::Footer;
                    self.before.advance(&entry);
                    return Ok((!self.footer_seen).then_some(entry));
                }
                other => {
                    self.newer_seen |= other == Err(BadFrame::Newer);
                    match find_magic(file, offset + 1, len)? {
                        Some(at) => offset = at,
                        None => return Ok(None),
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether a frame may come next: a step may have printed a piper log file, which is no part of this one.
    fn fits(&self, header: &Header) -> bool {
        self.build.is_none_or(|build| build == header.build)
            && self
                .identity
                .is_none_or(|identity| identity == (header.build, header.attempt))
            && (header.kind == Kind::Footer || header.first >= self.before.end_of(header.kind))
    }
}

/// What the events say of the log that precedes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// There were at least so many records.
    pub(super) records: u64,
    /// And no more: the build was finished.
    pub(super) finished: bool,
}

/// Finds what is missing of one kind between the entries of an index.
#[derive(Debug)]
pub(super) struct Gaps {
    kind: Kind,
    before: Before,
    /// Bytes that no frame was found in, not reported yet: the next frame of the kind will tell what they held.
    bytes: Option<Range<u64>>,
}

impl Gaps {
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            before: Before::default(),
            bytes: None,
        }
    }

    /// What is missing before this entry, which comes next.
    pub(super) fn before(&mut self, file: &File, entry: &Entry) -> Option<Damage> {
        if entry.offset > self.before.file_end {
            let start = self.start();
            self.bytes = Some(start..entry.offset);
        }
        let mut damage = None;
        if entry.kind == self.kind {
            let bytes = self.bytes.take().unwrap_or(entry.offset..entry.offset);
            let numbers = self.before.end_of(self.kind)..entry.first;
            // Bytes that cost nothing of this kind cost something of the other.
            damage = (!numbers.is_empty()).then(|| Damage {
                why: why(file, &bytes),
                ..lost(self.kind, numbers, bytes)
            });
        }
        self.before.advance(entry);
        damage
    }

    /// What is missing of the log between the last entry and the end of the frames.
    pub(super) fn at_end(&mut self, file: &File, end: u64, told: Told) -> Option<Damage> {
        let bytes = self.start()..end.max(self.before.file_end);
        self.bytes = None;
        self.before.file_end = bytes.end;
        // The header of a frame whose end is missing says what it held.
        let cut = match header_at(file, bytes.start) {
            Some(Ok(header))
                if header.kind == Kind::Log && bytes.start + header.frame_len() > bytes.end =>
            {
                header.end()
            }
            Some(_) | None => 0,
        };
        let first = self.before.records;
        let last = match told.finished {
            true => told.records,
            false => told.records.max(cut),
        };
        let records = first..last.max(first);
        self.before.records = records.end;
        (!bytes.is_empty() || !records.is_empty()).then(|| Damage {
            more: !told.finished,
            why: why(file, &bytes),
            ..lost(Kind::Log, records, bytes)
        })
    }

    fn start(&self) -> u64 {
        self.bytes
            .as_ref()
            .map_or(self.before.file_end, |bytes| bytes.start)
    }
}

/// What is wrong with the frame that should begin where these bytes do.
fn why(file: &File, bytes: &Range<u64>) -> BadFrame {
    match header_at(file, bytes.start) {
        None => BadFrame::Cut,
        Some(Err(why)) => why,
        Some(Ok(header)) => {
            let (trailer, why) = match header.kind {
                Kind::Footer => (TRAILER, BadFrame::Payload),
                Kind::Log | Kind::Events => (0, BadFrame::Foreign),
            };
            match bytes.start + header.frame_len() + trailer > bytes.end {
                true => BadFrame::Cut,
                false => why,
            }
        }
    }
}

/// `None` where the file has no room for a header.
fn header_at(file: &File, offset: u64) -> Option<Result<Header, BadFrame>> {
    let mut bytes = [0; HEADER];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(Header::decode(&bytes))
}

/// Where the next frame may begin.
fn find_magic(file: &File, mut from: u64, len: u64) -> io::Result<Option<u64>> {
    let finder = memchr::memmem::Finder::new(&MAGIC);
    let mut bytes = vec![0; SEARCH.min(len.saturating_sub(from) as usize)];
    while from + (HEADER as u64) <= len {
        let wanted = bytes.len().min((len - from) as usize);
        file.read_exact_at(&mut bytes[..wanted], from)?;
        if let Some(at) = finder.find(&bytes[..wanted]) {
            return Ok(Some(from + at as u64));
        }
        // The magic may lie across the border.
        from += wanted.saturating_sub(MAGIC.len() - 1).max(1) as u64;
    }
    Ok(None)
}
