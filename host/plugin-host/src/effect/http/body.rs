//! Bodies on their way: what is sent is watched, what is received is bounded.
//!
//! Nothing here knows what a body means.

use super::connect::{Connection, Pool};
use crate::{
    effect::secrets::Held,
    failure::{Failure, FailureKind},
    policy::{
        host::Origin,
        limit::{Limit, Reached},
    },
    service::StreamBody,
};
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    fs::File,
    future::Future,
    io::Write,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, Sleep, sleep_until},
};

/// How much of a file is read at once.
const PIECE: u64 = 256 * 1024;

/// How much of what was sent a placeholder may reach back into, in every encoding in which one is looked for.
const OVERLAP: usize = 512;

/// How far a request was sent. Cheap to clone.
#[derive(Clone)]
pub(super) struct Progress(Arc<Sending>);

struct Sending {
    last: Mutex<Instant>,
    is_whole: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(Sending {
            last: Mutex::new(Instant::now()),
            is_whole: AtomicBool::new(false),
        }))
    }

    /// When something was last sent.
    pub(super) fn last(&self) -> Instant {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn finish(&self) {
        self.0.is_whole.store(true, Ordering::Relaxed);
    }

    /// Whether all of the body was sent: a server may answer before that, and never take the rest.
    fn is_whole(&self) -> bool {
        self.0.is_whole.load(Ordering::Relaxed)
    }
}

/// A body that is being sent.
pub(super) struct Outbound {
    body: StreamBody,
    /// What is still to come, if that is known.
    left: Option<u64>,
    /// What may come in all.
    most: u64,
    /// What of it did not yet.
    room: u64,
    scan: Option<Scan>,
    progress: Progress,
}

/// Looks for placeholders in what a guest streams.
struct Scan {
    secrets: Arc<Held>,
    /// The end of what was seen.
    seen: Vec<u8>,
}

impl Outbound {
    /// `length` is what the body must have, `most` what it may have.
    pub(super) fn new(
        body: StreamBody,
        length: Option<u64>,
        most: u64,
        scan: Option<Arc<Held>>,
        progress: Progress,
    ) -> Self {
        let scan = scan.map(|secrets| Scan {
            secrets,
            seen: Vec::new(),
        });
        if length == Some(0) {
            progress.finish();
        }
        Self {
            body,
            left: length,
            most,
            room: most,
            scan,
            progress,
        }
    }

    fn check(&mut self, data: &Bytes) -> Result<(), Failure> {
        self.progress.advance();
        let length = data.len() as u64;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(length).ok_or_else(|| {
                Failure::invalid("http.body", "the body is longer than its `content-length`")
            })?;
            if *left == 0 {
                self.progress.finish();
            }
        }
        self.room = self
            .room
            .checked_sub(length)
            .ok_or_else(|| too_long_a_request(self.most, None))?;
        match &mut self.scan {
            Some(scan) => scan.look_at(data),
            None => Ok(()),
        }
    }
}

impl Scan {
    fn look_at(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.seen.extend_from_slice(data);
        if self.secrets.has_trace(&self.seen) {
            let message =
                "a placeholder of a secret, or a part of one, stands in a body that is streamed";
            return Err(Failure::denied(crate::policy::secrets::SECRET_USE, message));
        }
        let old = self.seen.len().saturating_sub(OVERLAP);
        self.seen.drain(..old);
        Ok(())
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(match frame {
            None if self.left.is_some_and(|left| left > 0) => Some(Err(Failure::invalid(
                "http.body",
                "the body is shorter than its `content-length`",
            ))),
            None => {
                self.progress.finish();
                None
            }
            Some(Err(failure)) => Some(Err(failure)),
            Some(Ok(frame)) => Some(match frame.into_data() {
                Ok(data) => self.check(&data).map(|()| Frame::data(data)),
                // They would be headers that nobody looked at.
                Err(_) => Err(Failure::denied(
                    crate::policy::egress::HTTP_HEADER,
                    "a plugin's request has no trailers",
                )),
            }),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none_or(|left| left == 0) && self.body.is_end_stream()
    }
}

/// `length` is what the whole body has, if that is known.
pub(super) fn too_long_a_request(most: u64, length: Option<u64>) -> Failure {
    let reached = Reached::new(Limit::HttpRequest, most).wanting(length);
    let message = "the request's body is longer than this plugin may send; a body from a file may be of any size";
    Failure::limited(FailureKind::Permanent, reached, message)
}

/// A part of a file as a body, read by threads that may block.
pub(super) struct FileBody {
    state: Reading,
    /// How long what is sent will be, if that is known.
    left: Option<u64>,
}

enum Reading {
    Between(Box<Part>),
    Under(JoinHandle<(Box<Part>, Result<Bytes, Failure>)>),
    Over,
}

struct Part {
    file: File,
    at: u64,
    end: u64,
    gzip: Option<flate2::write::GzEncoder<Vec<u8>>>,
}

impl FileBody {
    pub(super) fn new(file: File, offset: u64, length: u64, gzip: bool) -> Self {
        let part = Part {
            file,
            at: offset,
            end: offset.saturating_add(length),
            gzip: gzip.then(encoder),
        };
        Self {
            state: Reading::Between(Box::new(part)),
            left: (!gzip).then_some(length),
        }
    }
}

impl Part {
    /// The next piece; empty at the end.
    fn next(&mut self) -> Result<Bytes, Failure> {
        while self.at < self.end {
            let mut piece = vec![0; PIECE.min(self.end - self.at) as usize];
            let read = self.file.read_at(&mut piece, self.at);
            let read = read.map_err(|error| crate::effect::files::failure("the file", &error))?;
            if read == 0 {
                let message = "the file became shorter while it was sent";
                return Err(Failure::transient("fs.changed", message));
            }
            piece.truncate(read);
            self.at += read as u64;
            let Some(gzip) = &mut self.gzip else {
                return Ok(piece.into());
            };
            gzip.write_all(&piece).expect("memory takes everything");
            if !gzip.get_ref().is_empty() {
                return Ok(std::mem::take(gzip.get_mut()).into());
            }
        }
        match self.gzip.take() {
            Some(gzip) => Ok(gzip.finish().expect("memory takes everything").into()),
            None => Ok(Bytes::new()),
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            match std::mem::replace(&mut self.state, Reading::Over) {
                Reading::Over => return Poll::Ready(None),
                Reading::Between(mut part) => {
                    self.state = Reading::Under(tokio::task::spawn_blocking(move || {
                        let piece = part.next();
                        (part, piece)
                    }));
                }
                Reading::Under(mut task) => {
                    let Poll::Ready(read) = Pin::new(&mut task).poll(context) else {
                        self.state = Reading::Under(task);
                        return Poll::Pending;
                    };
                    let (part, piece) = read.map_err(|error| crate::effect::broken(&error))?;
                    let piece = piece?;
                    if !piece.has_remaining() {
                        return Poll::Ready(None);
                    }
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(piece.len() as u64);
                    }
                    self.state = Reading::Between(part);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn encoder() -> flate2::write::GzEncoder<Vec<u8>> {
    // The fastest level: logs shrink to a tenth with it, and higher ones cost ten times as much for little more.
    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast())
}

/// Compresses a body that is in memory.
pub(super) fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = encoder();
    encoder.write_all(body).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// The body of an answer. When it was read to its end, and the request was sent to its own, the connection is free for the next one.
pub(super) struct Received {
    body: Incoming,
    source: Option<Source>,
    /// How much more of it is taken.
    room: u64,
    silent_until: Pin<Box<Sleep>>,
    deadline: Option<Pin<Box<Sleep>>>,
    allowance: Allowance,
    origin: Origin,
}

/// Where an answer comes from.
pub(super) struct Source {
    pub(super) connection: Connection,
    pub(super) pool: Arc<Pool>,
    /// Of the request.
    pub(super) progress: Progress,
}

/// What a body may cost.
#[derive(Clone, Copy)]
pub(super) struct Allowance {
    /// Bytes.
    pub(super) bytes: u64,
    /// From one piece to the next.
    pub(super) between: Patience,
    /// The end of the exchange.
    pub(super) deadline: Option<Deadline>,
}

/// How long is waited, and the limit that says so; none if it is the guest's own wish.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) time: Duration,
    pub(super) limit: Option<Reached>,
}

/// Until when, likewise.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) limit: Option<Reached>,
}

impl Patience {
    /// As long as the guest asked for, but no longer than its limit.
    pub(super) fn new(asked: Option<Duration>, limit: Limit, most: Duration) -> Self {
        match asked {
            Some(time) if time < most => Self { time, limit: None },
            Some(_) | None => Self {
                time: most,
                limit: Some(Reached::after(limit, most)),
            },
        }
    }

    /// From now on.
    pub(super) fn begin(self) -> Deadline {
        Deadline {
            at: Instant::now() + self.time,
            limit: self.limit,
        }
    }
}

impl Received {
    pub(super) fn new(
        body: Incoming,
        origin: Origin,
        source: Source,
        allowance: Allowance,
    ) -> Self {
        let mut received = Self {
            body,
            source: Some(source),
            room: allowance.bytes,
            silent_until: Box::pin(sleep_until(allowance.between.begin().at)),
            deadline: allowance.deadline.map(|end| Box::pin(sleep_until(end.at))),
            allowance,
            origin,
        };
        if received.body.is_end_stream() {
            received.finish();
        }
        received
    }

    /// Lets it have any length and take any time, as long as something comes.
    pub(super) fn without_end(mut self, deadline: Option<Deadline>) -> Self {
        self.room = u64::MAX;
        self.allowance.deadline = deadline;
        self.deadline = deadline.map(|end| Box::pin(sleep_until(end.at)));
        self
    }

    fn finish(&mut self) {
        if let Some(source) = self.source.take()
            && source.progress.is_whole()
        {
            source.pool.give_back(&self.origin, source.connection);
        }
    }

    /// Ends the answer here: what is left of it is not read, so nobody else can use the connection.
    fn abandon(&mut self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        self.source = None;
        Poll::Ready(Some(Err(failure)))
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let deadline = self.deadline.as_mut();
        if deadline.is_some_and(|at| at.as_mut().poll(context).is_ready()) {
            let limit = self.allowance.deadline.and_then(|end| end.limit);
            let late = super::late(&self.origin, "the end of the answer", limit);
            return self.abandon(late);
        }
        // A declared length says at once that it is too much.
        let follows = self.body.size_hint().lower();
        if follows > self.room {
            let most = self.allowance.bytes;
            let length = most.saturating_sub(self.room).saturating_add(follows);
            let failure = too_long_an_answer(&self.origin, most, Some(length));
            return self.abandon(failure);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.silent_until.as_mut().poll(context));
            let limit = self.allowance.between.limit;
            let late = super::late(&self.origin, "the next piece of the answer", limit);
            return self.abandon(late);
        };
        let until = self.allowance.between.begin().at;
        self.silent_until.as_mut().reset(until);
        match frame {
            None => {
                self.finish();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                let broken = super::broken(&self.origin, &error);
                self.abandon(broken)
            }
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(left) = self.room.checked_sub(length) else {
                    let failure = too_long_an_answer(&self.origin, self.allowance.bytes, None);
                    return self.abandon(failure);
                };
                self.room = left;
                if self.body.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// `length` is what the whole answer has, if the server said so.
fn too_long_an_answer(origin: &Origin, most: u64, length: Option<u64>) -> Failure {
    let reached = Reached::new(Limit::HttpResponse, most).wanting(length);
    let message = format!(
        "the answer of {origin} is longer than this plugin may receive; an answer that goes to a file may be of any size"
    );
    Failure::limited(FailureKind::Permanent, reached, &message)
}
