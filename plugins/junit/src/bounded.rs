//! XML of any size in pieces of bounded size: what a parser that holds one token at a time may be fed.
//!
//! Texts, CDATA sections, comments and instructions are cut; a tag that is too long, a document type (which is what entity bombs are made
//! of) and UTF-16 are refused. Bytes that are no UTF-8 become U+FFFD. Whether it is XML at all is not asked here.

use memchr::{memchr, memchr3};
use std::io::{self, Read};

/// How much of a text is kept. A failure's is shorter; what a test printed may have gigabytes.
const KEPT: usize = 64 << 10;
/// How long a tag may be, with its attributes. Some tools put a failure's whole text there.
const LONGEST_TAG: usize = 1 << 20;
/// How much is read at once.
const PIECE: usize = 256 << 10;

/// XML being read from somewhere.
pub(crate) struct Bounded<R> {
    input: R,
    state: State,
    encoding: Option<Encoding>,
    /// What the parser gets next: UTF-8, of which `given` bytes were given already.
    ready: Vec<u8>,
    given: usize,
    /// The beginning of a character whose end is in the next piece.
    partial: Vec<u8>,
    piece: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    /// One byte, one character.
    Latin1,
}

/// What the next byte is a part of.
enum State {
    Text {
        kept: usize,
    },
    /// `<` and what follows it, until it is clear what begins.
    Opening(Vec<u8>),
    Tag {
        quote: Option<u8>,
        length: usize,
    },
    Long(Long),
}

/// Something that ends with a fixed text.
struct Long {
    end: &'static [u8],
    /// How much of `end` the last bytes are.
    matched: usize,
    kept: usize,
    /// From when on nothing is kept: how much of `end` was kept by then.
    cut_at: Option<usize>,
}

const CDATA: &[u8] = b"<![CDATA[";
const COMMENT: &[u8] = b"<!--";

impl<R: Read> Bounded<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            state: State::Text { kept: 0 },
            encoding: None,
            ready: Vec::new(),
            given: 0,
            partial: Vec::new(),
            piece: vec![0; PIECE],
        }
    }

    /// Makes something ready, unless the input is at its end.
    fn fill(&mut self) -> io::Result<()> {
        while self.given == self.ready.len() {
            let count = self.input.read(&mut self.piece)?;
            if count == 0 {
                return Ok(());
            }
            let piece = &self.piece[..count];
            let encoding = match self.encoding {
                Some(encoding) => encoding,
                None => *self.encoding.insert(encoding(piece)?),
            };
            let mut kept = std::mem::take(&mut self.partial);
            self.state.cut(piece, &mut kept)?;
            self.ready.clear();
            self.given = 0;
            match encoding {
                Encoding::Utf8 => self.partial = decode(&kept, &mut self.ready),
                Encoding::Latin1 => {
                    let text: String = kept.into_iter().map(char::from).collect();
                    self.ready = text.into_bytes();
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let count = into.len().min(self.ready.len() - self.given);
        into[..count].copy_from_slice(&self.ready[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

fn refused<T>(why: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// How the document is written, by its first bytes.
fn encoding(start: &[u8]) -> io::Result<Encoding> {
    let marks: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
    let is_marked = marks.iter().any(|mark| start.starts_with(mark));
    if is_marked || start[..start.len().min(4)].contains(&0) {
        return refused("it is UTF-16: let the tool write UTF-8");
    }
    let end = memchr(b'>', start).unwrap_or(start.len()).min(200);
    let declaration = start[..end].to_ascii_lowercase();
    let says = |name: &[u8]| declaration.windows(name.len()).any(|window| window == name);
    let is_latin1 =
        declaration.starts_with(b"<?xml") && (says(b"iso-8859-1") || says(b"windows-1252"));
    Ok(if is_latin1 {
        Encoding::Latin1
    } else {
        Encoding::Utf8
    })
}

/// Appends bytes as UTF-8, and returns the beginning of a character at their end.
fn decode(bytes: &[u8], into: &mut Vec<u8>) -> Vec<u8> {
    let mut rest = bytes;
    loop {
        match str::from_utf8(rest) {
            Ok(_) => {
                into.extend_from_slice(rest);
                return Vec::new();
            }
            Err(error) => {
                let (good, bad) = rest.split_at(error.valid_up_to());
                into.extend_from_slice(good);
                let Some(length) = error.error_len() else {
                    return bad.to_vec();
                };
                into.extend_from_slice("\u{fffd}".as_bytes());
                rest = &bad[length..];
            }
        }
    }
}

impl State {
    /// Appends what is kept of the bytes.
    fn cut(&mut self, mut bytes: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
        while !bytes.is_empty() {
            let (used, next) = match self {
                Self::Text { kept } => text(bytes, kept, into),
                Self::Opening(seen) => {
                    seen.push(bytes[0]);
                    (1, opened(seen, into)?)
                }
                Self::Tag { quote, length } => tag(bytes, quote, length, into)?,
                Self::Long(long) => long.cut(bytes, into),
            };
            if let Some(next) = next {
                *self = next;
            }
            bytes = &bytes[used..];
        }
        Ok(())
    }
}

fn text(bytes: &[u8], kept: &mut usize, into: &mut Vec<u8>) -> (usize, Option<State>) {
    let end = memchr(b'<', bytes);
    let run = &bytes[..end.unwrap_or(bytes.len())];
    let keep = run.len().min(KEPT - *kept);
    into.extend_from_slice(&run[..keep]);
    *kept += keep;
    match end {
        Some(at) => (at + 1, Some(State::Opening(vec![b'<']))),
        None => (bytes.len(), None),
    }
}

/// What begins, if that is clear.
fn opened(seen: &[u8], into: &mut Vec<u8>) -> io::Result<Option<State>> {
    let long = |end| {
        State::Long(Long {
            end,
            matched: 0,
            kept: 0,
            cut_at: None,
        })
    };
    let state = match seen {
        b"<?" => long(b"?>"),
        _ if seen == COMMENT => long(b"-->"),
        _ if seen == CDATA => long(b"]]>"),
        _ if COMMENT.starts_with(seen) || CDATA.starts_with(seen) => return Ok(None),
        [b'<', b'!', ..] => return refused("it has a document type, which no test report needs"),
        [.., b'>'] => State::Text { kept: 0 },
        [.., last] => State::Tag {
            quote: Some(*last).filter(|byte| matches!(byte, b'"' | b'\'')),
            length: seen.len(),
        },
        [] => return Ok(None),
    };
    into.extend_from_slice(seen);
    Ok(Some(state))
}

fn tag(
    bytes: &[u8],
    quote: &mut Option<u8>,
    length: &mut usize,
    into: &mut Vec<u8>,
) -> io::Result<(usize, Option<State>)> {
    let found = match *quote {
        Some(quote) => memchr(quote, bytes),
        None => memchr3(b'>', b'"', b'\'', bytes),
    };
    let used = found.map_or(bytes.len(), |at| at + 1);
    into.extend_from_slice(&bytes[..used]);
    *length += used;
    if *length > LONGEST_TAG {
        return refused("it has a tag of more than a mebibyte");
    }
    match found.map(|at| bytes[at]) {
        None => {}
        Some(b'>') if quote.is_none() => return Ok((used, Some(State::Text { kept: 0 }))),
        Some(mark) => *quote = if quote.is_some() { None } else { Some(mark) },
    }
    Ok((used, None))
}

impl Long {
    fn cut(&mut self, bytes: &[u8], into: &mut Vec<u8>) -> (usize, Option<State>) {
        let mut at = 0;
        while at < bytes.len() {
            if self.matched == 0 && self.cut_at.is_some() {
                match memchr(self.end[0], &bytes[at..]) {
                    Some(found) => at += found,
                    None => return (bytes.len(), None),
                }
            }
            let byte = bytes[at];
            at += 1;
            if self.cut_at.is_none() {
                into.push(byte);
                self.kept += 1;
            }
            if byte == self.end[self.matched] {
                self.matched += 1;
            } else if byte != self.end[0] {
                self.matched = 0;
            }
            if self.matched == self.end.len() {
                if let Some(kept) = self.cut_at {
                    // What was kept ends with the first bytes of the end already.
                    into.extend_from_slice(&self.end[kept..]);
                }
                return (at, Some(State::Text { kept: 0 }));
            }
            if self.kept == KEPT && self.cut_at.is_none() {
                self.cut_at = Some(self.matched);
            }
        }
        (bytes.len(), None)
    }
}

#[cfg(test)]
mod tests;
