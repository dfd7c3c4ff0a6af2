//! Files: a step's workspace as its commands see it; for other kinds, what the operator granted.
//!
//! ```
//! use piper_plugin::{files, testing::Fake};
//! use std::io::{BufRead, BufReader};
//!
//! # let fake = Fake::new();
//! # fake.file("target/junit/a.xml", "<a/>\n<b/>\n");
//! for path in files::glob(["target/junit/*.xml"]) {
//!     let path = path?;
//!     for line in BufReader::new(files::open(&path)?).lines() {
//!         piper_plugin::debug!("{path}: {}", line?);
//!     }
//! }
//! files::write("target/summary.txt", "two lines")?;
//! # Ok::<(), piper_plugin::Failure>(())
//! ```
//!
//! Paths are relative to the workspace and separated by `/`; none leaves it, neither by `..` nor by a link. `/out/…` and `/cache/…` are the
//! plugin's own folders, if they were granted.

use crate::{
    failure::{Carried, Failure, Result},
    host,
    time::Timestamp,
};
use std::{
    io::{self, Read, Write},
    vec,
};

/// How much is read or written in one call of the host.
const PIECE: u32 = 1 << 20;
/// How many paths are asked for at once.
const PAGE: u32 = 1_000;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Directory,
    /// A link, whatever it points to.
    Link,
    /// Something else.
    Other,
}

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// What is there.
    pub kind: Kind,
    /// In bytes; 0 unless it is a file.
    pub size: u64,
    /// When its content last changed.
    pub modified: Timestamp,
    /// The permission bits of POSIX.
    pub mode: u32,
}

/// How a digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// SHA-1, for services that still want it.
    Sha1,
    /// MD5, for services that still want it.
    Md5,
    /// CRC-32C (Castagnoli).
    Crc32c,
}

impl Digest {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
            Self::Crc32c => "crc32c",
        }
    }
}

/// The paths of all files that match one of the patterns (`*`, `**`, `?`, `[a-z]`, `{a,b}`), in byte order.
pub fn glob<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Paths {
    Paths {
        patterns: patterns.into_iter().map(Into::into).collect(),
        page: Vec::new().into_iter(),
        last: None,
        is_done: false,
    }
}

/// Paths that match, a page at a time.
#[derive(Debug)]
pub struct Paths {
    patterns: Vec<String>,
    page: vec::IntoIter<String>,
    last: Option<String>,
    is_done: bool,
}

impl Iterator for Paths {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 && !self.is_done {
            match host::files_glob(&self.patterns, self.last.as_deref(), PAGE) {
                Ok(page) => {
                    self.is_done = page.is_empty();
                    self.last = page.last().cloned();
                    self.page = page.into_iter();
                }
                Err(failure) => {
                    self.is_done = true;
                    return Some(Err(failure));
                }
            }
        }
        self.page.next().map(Ok)
    }
}

/// What is at a path.
///
/// # Errors
///
/// `fs.not-found`, or the path is not granted.
pub fn stat(path: &str) -> Result<Info> {
    let raw = host::files_stat(path)?;
    let kind = match raw.kind.as_str() {
        "file" => Kind::File,
        "directory" => Kind::Directory,
        "link" => Kind::Link,
        _ => Kind::Other,
    };
    Ok(Info {
        kind,
        size: raw.size,
        modified: Timestamp(raw.modified),
        mode: raw.mode,
    })
}

/// A whole file.
///
/// # Errors
///
/// When it is not there or not granted.
pub fn read(path: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let piece = host::files_read(path, bytes.len() as u64, PIECE)?;
        let is_last = piece.len() < PIECE as usize;
        if bytes.is_empty() {
            bytes = piece;
        } else {
            bytes.extend_from_slice(&piece);
        }
        if is_last {
            return Ok(bytes);
        }
    }
}

/// A whole file that is a text.
///
/// # Errors
///
/// When it is not there, not granted or not UTF-8.
pub fn read_text(path: &str) -> Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|error| Failure::from(error).while_doing(format_args!("{path} is no text")))
}

/// A part of a file: fewer bytes only at its end.
///
/// # Errors
///
/// When it is not there or not granted, or the part is longer than 16 MiB.
pub fn read_part(path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
    host::files_read(path, offset, length)
}

/// Writes a whole file, and the folders above it.
///
/// # Errors
///
/// When it may not be written.
pub fn write(path: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
    let mut offset = 0;
    let bytes = bytes.as_ref();
    loop {
        let end = bytes.len().min(offset + PIECE as usize);
        host::files_write(path, offset as u64, &bytes[offset..end])?;
        offset = end;
        if offset == bytes.len() {
            return Ok(());
        }
    }
}

/// Adds to the end of a file, which is begun if it is not there. For one writer at a time.
///
/// # Errors
///
/// When it may not be written.
pub fn append(path: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
    let mut offset = match stat(path) {
        Ok(info) => info.size,
        Err(failure) if failure.code == "fs.not-found" => 0,
        Err(failure) => return Err(failure),
    };
    if offset == 0 {
        return write(path, bytes);
    }
    for piece in bytes.as_ref().chunks(PIECE as usize) {
        host::files_write(path, offset, piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

/// The digest of a whole file, made by the host.
///
/// # Errors
///
/// When it is not there or not granted.
pub fn digest(path: &str, how: Digest) -> Result<Vec<u8>> {
    host::files_digest(path, 0, None, how.name())
}

/// The digest of a part of a file, made by the host.
///
/// # Errors
///
/// When it is not there or not granted.
pub fn digest_part(path: &str, offset: u64, length: u64, how: Digest) -> Result<Vec<u8>> {
    host::files_digest(path, offset, Some(length), how.name())
}

/// Opens a file to read it piece by piece.
///
/// # Errors
///
/// When it is not there or not granted.
pub fn open(path: &str) -> Result<Reader> {
    let mut reader = Reader {
        path: path.to_owned(),
        offset: 0,
        piece: Vec::new(),
        used: 0,
        is_done: false,
    };
    reader.fill()?;
    Ok(reader)
}

/// A file being read, a mebibyte at a time.
#[derive(Debug)]
pub struct Reader {
    path: String,
    offset: u64,
    piece: Vec<u8>,
    used: usize,
    is_done: bool,
}

impl Reader {
    fn fill(&mut self) -> Result<()> {
        self.piece = host::files_read(&self.path, self.offset, PIECE)?;
        self.offset += self.piece.len() as u64;
        self.used = 0;
        self.is_done = self.piece.len() < PIECE as usize;
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used == self.piece.len() && !self.is_done {
            self.fill().map_err(as_io)?;
        }
        let count = into.len().min(self.piece.len() - self.used);
        into[..count].copy_from_slice(&self.piece[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}

/// Begins a file to write it piece by piece. [`Writer::finish`] says whether all of it is there.
pub fn create(path: &str) -> Writer {
    Writer {
        path: path.to_owned(),
        offset: 0,
        piece: Vec::new(),
    }
}

/// A file being written, a mebibyte at a time.
#[derive(Debug)]
#[must_use = "what is not finished is not written"]
pub struct Writer {
    path: String,
    offset: u64,
    piece: Vec<u8>,
}

impl Writer {
    /// Writes what is left. Without it, the end of the file is missing.
    ///
    /// # Errors
    ///
    /// When it may not be written.
    pub fn finish(mut self) -> Result<()> {
        // An empty file is begun by nothing else.
        if self.offset == 0 || !self.piece.is_empty() {
            self.put()
        } else {
            Ok(())
        }
    }

    fn put(&mut self) -> Result<()> {
        host::files_write(&self.path, self.offset, &self.piece)?;
        self.offset += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE as usize - self.piece.len();
        let count = bytes.len().min(room);
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE as usize {
            self.put().map_err(as_io)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            Ok(())
        } else {
            self.put().map_err(as_io)
        }
    }
}

/// A failure inside an error of input and output; `?` takes it out again.
fn as_io(failure: Failure) -> io::Error {
    io::Error::other(Carried(failure))
}
