//! The two streams as places to write to: buffered, never failing, never losing a byte that somebody still wants.
//!
//! What is written is not this module's business; [`sanitize`](super::sanitize) has seen it before.

use super::Face;
use piper_core::log::Stream;
use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd},
    os::unix::fs::MetadataExt,
};

/// How much is collected before it is written: large enough that the system calls do not show, small enough to stay in the cache.
const BUFFER: usize = 128 * 1024;

/// The same for a terminal, which takes a few KiB at a time anyway: what stands here can not be left out any more when it falls behind.
const TERMINAL_BUFFER: usize = 16 * 1024;

/// The size of a terminal, in columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How many columns.
    pub columns: usize,
    /// How many rows.
    pub rows: usize,
}

/// Something that takes bytes.
pub trait Target: Write {
    /// Waits until it takes more, after it said [`io::ErrorKind::WouldBlock`].
    fn wait_for_room(&mut self);

    /// Its size, if it is a terminal that knows.
    fn size(&self) -> Option<Size>;
}

/// A file descriptor.
struct Descriptor(File);

impl Descriptor {
    /// The same open file as `of`, whose buffers are passed by.
    fn of(of: impl AsFd) -> io::Result<Self> {
        Ok(Self(File::from(of.as_fd().try_clone_to_owned()?)))
    }
}

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a stream takes more without waiting.
pub fn has_room(stream: impl AsFd) -> bool {
    poll_for_room(stream, 0)
}

/// Waits until a stream takes more, for so many milliseconds, or for ever if there are fewer than 0; whether it does.
fn poll_for_room(stream: impl AsFd, wait: i32) -> bool {
    let mut poll = libc::pollfd {
        fd: stream.as_fd().as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: `poll` is one valid pollfd, and the descriptor in it is open as long as `stream`.
    unsafe { libc::poll(&raw mut poll, 1, wait) == 1 }
}

impl Target for Descriptor {
    fn wait_for_room(&mut self) {
        // The next write says what there is to say.
        poll_for_room(&self.0, -1);
    }

    fn size(&self) -> Option<Size> {
        let mut size = libc::winsize {
            ws_row: 0,
            ws_col: 0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: TIOCGWINSZ writes one `winsize`, which is what it is given.
        let answer = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
        (answer == 0 && size.ws_row > 0 && size.ws_col > 0).then(|| Size {
            columns: size.ws_col.into(),
            rows: size.ws_row.into(),
        })
    }
}

/// Writes all of `bytes`, however long it takes.
fn write_whole(target: &mut dyn Target, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match target.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                // Somebody who shares the terminal or the pipe, node for one, made it non-blocking.
                io::ErrorKind::WouldBlock => target.wait_for_room(),
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

/// Writes a text and a line end to a stream of the process.
///
/// # Errors
///
/// When it takes no more, or was closed.
pub(super) fn write_line(stream: impl AsFd, text: &str) -> io::Result<()> {
    let mut target = Descriptor::of(stream)?;
    // Two writes could be parted by those of another process, but what is long would be copied for it.
    if text.len() <= BUFFER {
        return write_whole(&mut target, format!("{text}\n").as_bytes());
    }
    write_whole(&mut target, text.as_bytes())?;
    write_whole(&mut target, b"\n")
}

/// One stream: a buffer before a [`Target`].
///
/// Writing never fails: whoever closed the stream does not want to read it, and a build must not end for that.
pub struct Sink {
    target: Box<dyn Target>,
    /// What waits to be written.
    pub buffer: Vec<u8>,
    /// Whether the last line has no end yet.
    pub open: bool,
    /// What the stream is like.
    pub face: Face,
    dead: Option<io::Error>,
}

impl Sink {
    /// A sink before `target`.
    pub fn new(target: Box<dyn Target>, face: Face) -> Self {
        Self {
            target,
            buffer: Vec::with_capacity(BUFFER + 4096),
            open: false,
            face,
            dead: None,
        }
    }

    /// Whether enough has been collected to be worth writing.
    pub fn is_full(&self) -> bool {
        let most = match self.face.terminal {
            true => TERMINAL_BUFFER,
            false => BUFFER,
        };
        self.buffer.len() >= most
    }

    /// Adds a line of piper's own words, and ends the line that is open, if there is one.
    pub fn line(&mut self, text: &str) {
        self.end_line();
        self.buffer.extend_from_slice(text.as_bytes());
        self.buffer.push(b'\n');
    }

    /// Ends the line that is open, if there is one, and its colours.
    pub fn end_line(&mut self) {
        if self.open {
            if self.face.color {
                self.buffer.extend_from_slice(b"\x1b[0m");
            }
            self.buffer.push(b'\n');
            self.open = false;
        }
    }

    /// Writes all that was collected.
    pub fn flush(&mut self) {
        if self.dead.is_none() {
            self.dead = write_whole(&mut *self.target, &self.buffer).err();
        }
        self.buffer.clear();
    }

    /// The size of the terminal; 80x24 where it does not know.
    pub fn size(&self) -> Size {
        self.target.size().unwrap_or(Size {
            columns: 80,
            rows: 24,
        })
    }

    /// Whether nothing is written here any more, for whatever reason.
    pub fn is_dead(&self) -> bool {
        self.dead.is_some()
    }

    /// Why nothing is written here any more, unless the reader just went away.
    pub fn trouble(&self) -> Option<&io::Error> {
        self.dead
            .as_ref()
            .filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }
}

/// Both streams of the program.
pub struct Outputs {
    out: Sink,
    /// `None` where both are the same terminal, pipe or file: then one buffer serves both, and their order is kept.
    err: Option<Sink>,
}

impl Outputs {
    /// The streams of this process.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn of_process(out: Face, err: Face) -> io::Result<Self> {
        let stdout = Descriptor::of(io::stdout())?;
        let stderr = Descriptor::of(io::stderr())?;
        let same = match (stdout.0.metadata(), stderr.0.metadata()) {
            (Ok(a), Ok(b)) => {
                // `/dev/tty` is the same terminal under another name.
                let alias = libc::makedev(5, 0);
                let aliased = [a.rdev(), b.rdev()].contains(&alias);
                (a.dev(), a.ino(), a.rdev()) == (b.dev(), b.ino(), b.rdev())
                    || (out.terminal && err.terminal && aliased)
            }
            _ => false,
        };
        Ok(Self::new(
            Sink::new(Box::new(stdout), out),
            (!same).then(|| Sink::new(Box::new(stderr), err)),
        ))
    }

    /// Standard output for everything: what is asked for is data, whichever stream it once came from.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn of_stdout(out: Face) -> io::Result<Self> {
        let stdout = Descriptor::of(io::stdout())?;
        Ok(Self::new(Sink::new(Box::new(stdout), out), None))
    }

    /// These sinks; `err` is `None` if both streams go to the same place.
    pub fn new(out: Sink, err: Option<Sink>) -> Self {
        Self { out, err }
    }

    /// Where a stream of a step goes.
    pub fn sink(&mut self, stream: Stream) -> &mut Sink {
        match (stream, &mut self.err) {
            (Stream::Stderr, Some(err)) => err,
            (Stream::Stdout | Stream::Stderr, _) => &mut self.out,
        }
    }

    /// Where piper's own words go.
    pub fn talk(&mut self) -> &mut Sink {
        self.sink(Stream::Stderr)
    }

    /// Standard output, if it does not go where the words go.
    pub fn data(&mut self) -> Option<&mut Sink> {
        self.err.is_some().then_some(&mut self.out)
    }

    /// How wide the terminal is, if one of them is a terminal.
    pub fn columns(&self) -> Option<usize> {
        let mut sinks = [Some(&self.out), self.err.as_ref()].into_iter().flatten();
        let terminal = sinks.find(|sink| sink.face.terminal)?;
        Some(terminal.size().columns)
    }

    /// Writes what both have collected.
    pub fn flush(&mut self) {
        self.out.flush();
        if let Some(err) = &mut self.err {
            err.flush();
        }
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A target in memory that misbehaves on demand.

    use super::{Size, Target};
    use std::{
        cell::{Cell, RefCell},
        io::{self, Write},
        rc::Rc,
    };

    /// What was written, shared with the test, and how to behave.
    #[derive(Clone, Default)]
    pub(crate) struct Fake {
        pub(crate) bytes: Rc<RefCell<Vec<u8>>>,
        pub(crate) size: Rc<Cell<Option<Size>>>,
        pub(crate) fail: Rc<Cell<Option<io::ErrorKind>>>,
        /// Takes at most so many bytes between two waits.
        pub(crate) room: Rc<Cell<Option<usize>>>,
        pub(crate) writes: Rc<Cell<usize>>,
    }

    impl Fake {
        pub(crate) fn text(&self) -> String {
            String::from_utf8_lossy(&self.bytes.borrow()).into_owned()
        }
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes.set(self.writes.get() + 1);
            if let Some(kind) = self.fail.get() {
                return Err(kind.into());
            }
            let taken = match self.room.get() {
                Some(0) => return Err(io::ErrorKind::WouldBlock.into()),
                Some(room) => {
                    let taken = room.min(bytes.len());
                    self.room.set(Some(room - taken));
                    taken
                }
                None => bytes.len(),
            };
            self.bytes.borrow_mut().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Target for Fake {
        fn wait_for_room(&mut self) {
            self.room.set(Some(7));
        }

        fn size(&self) -> Option<Size> {
            self.size.get()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{fake::Fake, *};

    const PLAIN: Face = Face {
        terminal: false,
        color: false,
    };

    #[test]
    fn a_full_pipe_loses_nothing() {
        let fake = Fake::default();
        fake.room.set(Some(3));
        let mut sink = Sink::new(Box::new(fake.clone()), PLAIN);
        let text = "a line that is longer than the room there is\n".repeat(20);
        sink.buffer.extend_from_slice(text.as_bytes());
        sink.flush();
        assert_eq!(fake.text(), text);
        assert!(sink.trouble().is_none());
    }

    #[test]
    fn a_closed_stream_is_left_alone_and_is_no_trouble() {
        let fake = Fake::default();
        fake.fail.set(Some(io::ErrorKind::BrokenPipe));
        let mut sink = Sink::new(Box::new(fake.clone()), PLAIN);
        for _ in 0..3 {
            sink.line("words");
            sink.flush();
        }
        assert_eq!(fake.writes.get(), 1);
        assert!(sink.trouble().is_none());
    }

    #[test]
    fn a_full_disk_is_trouble() {
        let fake = Fake::default();
        fake.fail.set(Some(io::ErrorKind::StorageFull));
        let mut sink = Sink::new(Box::new(fake), PLAIN);
        sink.line("words");
        sink.flush();
        assert!(sink.trouble().is_some());
    }

    #[test]
    fn words_do_not_stick_to_an_open_line() {
        let fake = Fake::default();
        let mut sink = Sink::new(Box::new(fake.clone()), PLAIN);
        sink.buffer.extend_from_slice(b"prompt: ");
        sink.open = true;
        sink.line("words");
        sink.flush();
        assert_eq!(fake.text(), "prompt: \nwords\n");
    }
}
