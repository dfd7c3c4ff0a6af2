//! Reads a build's file, from any process, while it is written or years later.
//!
//! Nothing here writes to it, but [`PlogReader::dead`], which closes the file of a build that died. Damage costs the frames that it is in and is
//! reported in its place; it ends no reading.

use super::{
    batch::{Batch, Run},
    frame::Kind,
    index::{Damage, Entry, Gaps, Hopper, Index, ReadError, Share, Told},
    plog::PlogWriter,
};
use piper_core::{id::BuildId, log::Stream, time::Timestamp, wire::v1};
use std::{
    ffi::OsStr,
    fs::{File, Metadata, OpenOptions, TryLockError},
    io,
    ops::RangeInclusive,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

/// How often a file is looked at for growth.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A file that is empty, not locked and younger than this may be about to be locked by the build that made it.
const NEWBORN: Duration = Duration::from_secs(2);

/// What can be said of a build by its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its writer lives.
    Running,
    /// It was finished.
    Finished,
    /// Its writer died before it was done.
    Dead,
}

/// Which records to read. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only of steps with these labels; empty for all.
    pub steps: Vec<String>,
    /// Only of these tries, from 1; empty for all.
    pub tries: Vec<u32>,
    /// Only of this stream.
    pub stream: Option<Stream>,
    /// Only from this time on.
    pub since: Option<Timestamp>,
    /// Only these lines, from 1, counted over what the members above but `since` select. A piece of a line that another line
    /// overtakes counts with that line.
    pub lines: Option<RangeInclusive<u64>>,
}

impl Selection {
    fn takes(&self, label: &str, r#try: u32, stream: Stream) -> bool {
        (self.steps.is_empty() || self.steps.iter().any(|step| step == label))
            && (self.tries.is_empty() || self.tries.contains(&r#try))
            && self.stream.is_none_or(|only| only == stream)
    }

    fn takes_all_sources(&self) -> bool {
        self.steps.is_empty() && self.tries.is_empty() && self.stream.is_none()
    }

    /// Keeps what is selected. `lines` is how many selected lines came before, and is moved on.
    fn filter(&self, batch: &mut Batch, lines: &mut u64) {
        batch.retain(|run: &Run| {
            if !self.takes(&run.source.label, run.source.r#try, run.marks.stream()) {
                return 0..0;
            }
            let before = *lines;
            *lines += u64::from(run.lines());
            if self.since.is_some_and(|since| run.at < since) {
                return 0..0;
            }
            let Some(range) = &self.lines else {
                return 0..run.count;
            };
            // Record i of the run is part of line `before + i + 1`.
            let place = |line: u64| line.saturating_sub(before).min(u64::from(run.count)) as u32;
            place(range.start().saturating_sub(1))..place(*range.end())
        });
    }
}

/// A build's file, open for reading.
#[derive(Debug)]
pub struct PlogReader {
    file: Arc<File>,
    state: State,
    index: Arc<Index>,
    /// Where the frames end, whole or not.
    end: u64,
    /// How long the file was when it was opened.
    len: u64,
    /// Finds what was written after the index was made.
    hopper: Hopper,
    identity: Option<(BuildId, u32)>,
}

impl PlogReader {
    /// Opens a build's file and finds its frames: by its footer, or by hopping through it. If the file's name is a build's id,
    /// frames of other builds, which a step may have printed, are not taken for its own.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or read, or is no file. Damage is no error.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open_file(OpenOptions::new().read(true), path)?;
        // In this order: what a writer has written before it let go of the lock is seen.
        let locked = is_locked(&file)?;
        let metadata = file.metadata()?;
        let len = metadata.len();
        let build = path
            .file_stem()
            .and_then(OsStr::to_str)
            .and_then(BuildId::parse);
        let mut hopper = Hopper::new(build);
        if let Some((index, build, attempt)) = Index::from_footer(&file, len)? {
            hopper.footer_seen = true;
            let end = index.end();
            return Ok(Self {
                file: Arc::new(file),
                state: State::Finished,
                index: Arc::new(index),
                end,
                len,
                hopper,
                identity: Some((build, attempt)),
            });
        }
        let mut index = Index::default();
        while let Some(entry) = hopper.next(&file, len)? {
            index.entries.push(entry);
        }
        let newborn = is_newborn(&metadata);
        let state = if locked || newborn {
            State::Running
        } else if told(&file, &index).finished {
            State::Finished
        } else {
            State::Dead
        };
        Ok(Self {
            file: Arc::new(file),
            state,
            index: Arc::new(index),
            end: len,
            len,
            identity: hopper.identity(),
            hopper,
        })
    }

    /// Whether the build runs, is finished, or died, as it was when the file was opened.
    pub fn state(&self) -> State {
        self.state
    }

    /// The build and the attempt that the file belongs to; `None` if it has no readable frame.
    pub fn identity(&self) -> Option<(BuildId, u32)> {
        self.identity
    }

    /// How long the file was when it was opened.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// Whether a newer piper wrote parts of it that this one cannot read.
    pub fn is_newer(&self) -> bool {
        self.hopper.newer_seen
    }

    /// How many records the file has, lost ones included.
    pub fn records(&self) -> u64 {
        self.logs().next_back().map_or(0, Entry::end)
    }

    /// When the last record came; `None` if there is none.
    pub fn last_record_at(&self) -> Option<Timestamp> {
        self.logs().next_back().map(|entry| entry.last_at)
    }

    fn logs(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        let entries = self.index.entries.iter();
        entries.filter(|entry| entry.kind == Kind::Log)
    }

    /// The build's events, in order, with what is damaged between them. A line that is no event of this version is
    /// [`v1::Event::Unknown`] or, if it is not even JSON, damage.
    pub fn events(&self) -> impl Iterator<Item = Result<v1::Line, ReadError>> {
        let mut gaps = Gaps::of(Kind::Events);
        self.index.entries.iter().flat_map(move |entry| {
            let gap = gaps.before(&self.file, entry);
            let events = match entry.kind {
                Kind::Events => read_events(&self.file, entry),
                Kind::Log | Kind::Footer => Vec::new(),
            };
            gap.map(|gap| Err(gap.into())).into_iter().chain(events)
        })
    }

    /// The selected records, in order, with what is damaged between them.
    pub fn select(&self, selection: Selection) -> Select {
        // What a running build has not finished writing is not damage.
        let end = (self.state != State::Running).then_some(self.end);
        Select {
            file: Arc::clone(&self.file),
            index: Arc::clone(&self.index),
            at: 0,
            selection,
            lines: 0,
            gaps: Gaps::of(Kind::Log),
            waiting: None,
            end,
        }
    }

    /// The selected records that are there, then those that come, until the build ends.
    pub fn follow(self, selection: Selection) -> Follow {
        Follow {
            select: Select {
                end: None,
                ..self.select(selection)
            },
            hopper: self.hopper,
            over: self.state != State::Running,
            end: self.end,
        }
    }

    /// Takes hold of the file of a build that died, so that it can be closed; `None` if the build runs, is finished, somebody else
    /// closes it, or only a newer piper can.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened for writing.
    pub fn dead(path: &Path) -> io::Result<Option<Dead>> {
        let file = open_file(OpenOptions::new().read(true).append(true), path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut reader = Self::open(path)?;
        // Its own handle has seen the lock that was just taken here.
        reader.state = State::Dead;
        let newborn = is_newborn(&file.metadata()?);
        let finished = reader.hopper.footer_seen || told(&file, &reader.index).finished;
        if finished || newborn || reader.is_newer() {
            return Ok(None);
        }
        Ok(Some(Dead { file, reader }))
    }
}

/// Whether some process holds the lock.
fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the build that made the file is about to lock it: nobody has written to it, and not because somebody emptied it.
#[expect(
    clippy::disallowed_methods,
    reason = "compared with a file's own time, which comes from this clock"
)]
fn is_newborn(metadata: &Metadata) -> bool {
    let Ok(modified) = metadata.modified() else {
        return false;
    };
    let is_untouched = metadata.created().is_ok_and(|created| created >= modified);
    let is_young = SystemTime::now()
        .duration_since(modified)
        .is_ok_and(|age| age < NEWBORN);
    // Not every file system knows when a file was made.
    metadata.len() == 0 && is_young && (is_untouched || metadata.created().is_err())
}

/// Opens a file, and nothing else that may have its name: a pipe would be waited for, and a folder read.
fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a file")),
    }
}

/// What the last events say. If the build is finished, only the footer is missing.
fn told(file: &File, index: &Index) -> Told {
    let mut told = Told::default();
    let mut events = index
        .entries
        .iter()
        .filter(|entry| entry.kind == Kind::Events);
    for line in events
        .next_back()
        .into_iter()
        .flat_map(|entry| read_events(file, entry))
    {
        match line.map(|line| line.event) {
            Ok(v1::Event::BuildFinished { log_end, .. }) => {
                told = Told {
                    records: log_end,
                    finished: true,
                };
            }
            Ok(v1::Event::TryFinished { log_end, .. }) => {
                told.records = told.records.max(log_end);
            }
            Ok(_) | Err(_) => {}
        }
    }
    told
}

fn read_events(file: &File, entry: &Entry) -> Vec<Result<v1::Line, ReadError>> {
    let (_, payload) = match entry.read(file) {
        Ok(read) => read,
        Err(error) => return vec![Err(error)],
    };
    let lines = payload
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).map_err(|_| ReadError::Damage(entry.senseless())))
        .collect()
}

/// Reads selected records frame by frame; skips frames that it can tell have none.
#[derive(Debug)]
pub struct Select {
    file: Arc<File>,
    index: Arc<Index>,
    /// The next entry of the index.
    at: usize,
    selection: Selection,
    /// How many selected lines ended before that entry.
    lines: u64,
    gaps: Gaps,
    /// The entry before which a gap was reported.
    waiting: Option<usize>,
    /// Where the file ends; `None` while it may grow.
    end: Option<u64>,
}

impl Select {
    /// How many records and lines of a frame are selected, if that can be told without reading it.
    fn share(&self, entry: &Entry) -> Option<(u64, u64)> {
        if self.selection.takes_all_sources() {
            return Some((u64::from(entry.count), u64::from(entry.lines)));
        }
        let selected = |share: &&Share| {
            let source = &self.index.sources[share.source as usize];
            self.selection
                .takes(&source.label, source.r#try, share.stream)
        };
        let shares = entry.shares.as_ref()?.iter().filter(selected);
        Some(shares.fold((0, 0), |(records, lines), share| {
            (
                records + u64::from(share.records),
                lines + u64::from(share.lines),
            )
        }))
    }

    /// Whether the frame has nothing that is wanted; counts its lines if so.
    fn skips(&mut self, entry: &Entry) -> bool {
        let Some((records, lines)) = self.share(entry) else {
            return false;
        };
        let too_old = self
            .selection
            .since
            .is_some_and(|since| entry.last_at < since);
        // The last lines of the frame may be followed by a piece of the next one.
        let too_early = self
            .selection
            .lines
            .as_ref()
            .is_some_and(|range| self.lines + lines + 1 < *range.start());
        let skips = records == 0 || too_old || too_early;
        if skips {
            self.lines += lines;
        }
        skips
    }

    /// How many selected lines there were up to here.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    fn is_past_range(&self) -> bool {
        let range = self.selection.lines.as_ref();
        range.is_some_and(|range| self.lines >= *range.end() || range.is_empty())
    }
}

impl Iterator for Select {
    type Item = Result<Batch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_past_range() {
            let index = Arc::clone(&self.index);
            let Some(entry) = index.entries.get(self.at) else {
                let end = self.end.take()?;
                let damage = self.gaps.at_end(&self.file, end, told(&self.file, &index));
                return damage.map(|damage| Err(damage.into()));
            };
            if self.waiting != Some(self.at) {
                self.waiting = Some(self.at);
                if let Some(damage) = self.gaps.before(&self.file, entry) {
                    return Some(Err(damage.into()));
                }
            }
            self.at += 1;
            if entry.kind != Kind::Log || self.skips(entry) {
                continue;
            }
            match entry.read_records(&self.file) {
                Ok(mut batch) => {
                    self.selection.filter(&mut batch, &mut self.lines);
                    if !batch.is_empty() {
                        return Some(Ok(batch));
                    }
                }
                Err(error) => {
                    // The lines of a lost frame keep their numbers.
                    self.lines += self.share(entry).map_or(0, |(_, lines)| lines);
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// What a follower gets.
#[derive(Debug)]
pub enum Followed {
    /// The next selected records.
    Batch(Batch),
    /// A part of the file cannot be read.
    Damage(Damage),
    /// Nothing came in the given time.
    Idle,
    /// The build has ended, well or not, and everything was handed out.
    End,
}

/// Reads the selected records of a build that another process runs.
#[derive(Debug)]
pub struct Follow {
    select: Select,
    hopper: Hopper,
    /// Nobody writes to the file any more.
    over: bool,
    end: u64,
}

impl Follow {
    /// How many selected lines there were up to here.
    pub fn lines(&self) -> u64 {
        self.select.lines()
    }

    /// The next records; waits at most so long for them.
    ///
    /// # Errors
    ///
    /// When the file cannot be read any more.
    pub fn next(&mut self, wait: Duration) -> io::Result<Followed> {
        let mut left = wait;
        loop {
            match self.select.next() {
                Some(Ok(batch)) => return Ok(Followed::Batch(batch)),
                Some(Err(ReadError::Damage(damage))) => return Ok(Followed::Damage(damage)),
                Some(Err(ReadError::Io(error))) => return Err(error),
                None => {}
            }
            if self.over || self.select.is_past_range() {
                return Ok(Followed::End);
            }
            if self.look()? {
                continue;
            }
            if left.is_zero() {
                return Ok(Followed::Idle);
            }
            let pause = left.min(LOOK_EVERY);
            thread::sleep(pause);
            left -= pause;
        }
    }

    /// Looks for new frames, and for the end; whether there is something new.
    fn look(&mut self) -> io::Result<bool> {
        let file = Arc::clone(&self.select.file);
        // The lock first: what was written before it was let go is then seen.
        let locked = is_locked(&file)?;
        let metadata = file.metadata()?;
        let len = metadata.len();
        let mut found = Vec::new();
        if len > self.end || !locked {
            while let Some(entry) = self.hopper.next(&file, len)? {
                found.push(entry);
            }
            self.end = len;
        }
        let newborn = is_newborn(&metadata);
        self.over = self.hopper.footer_seen || !locked && !newborn;
        if self.over && !self.hopper.footer_seen {
            self.select.end = Some(len);
        }
        let news = self.over || !found.is_empty();
        Arc::make_mut(&mut self.select.index).entries.extend(found);
        Ok(news)
    }
}

/// The file of a build that died, locked for closing it.
#[derive(Debug)]
pub struct Dead {
    file: File,
    reader: PlogReader,
}

impl Dead {
    /// What the file has.
    pub fn reader(&self) -> &PlogReader {
        &self.reader
    }

    /// Cuts off what the writer left half-written, adds these events (lines of `wire::v1` without line ends) and the footer. If
    /// the file has no readable frame, `build` says whose it is.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; it is then as dead as before.
    pub fn close(self, build: BuildId, events: &[&[u8]]) -> io::Result<()> {
        let end = self.reader.index.end();
        self.file.set_len(end)?;
        let (build, attempt) = self.reader.identity.unwrap_or((build, 1));
        let index = Index::clone(&self.reader.index);
        let mut plog = PlogWriter::resume(Arc::new(self.file), build, attempt, index, end);
        for event in events {
            plog.add_events(event);
            plog.add_events(b"\n");
        }
        plog.finish().map(|_| ())
    }
}
