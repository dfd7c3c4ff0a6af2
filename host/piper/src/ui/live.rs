//! The lines at the bottom of a terminal that say what runs at this moment.
//!
//! They are drawn below everything else and erased before anything else is written, in one write. The cursor is never hidden
//! and never moved above them, so there is nothing to restore, however the program ends.

use super::{
    lines::Sharing,
    output::{Sink, Size},
    progress::{Progress, State, Step},
    quit,
    style::{Paint, Style, width},
    text::Text,
};
use piper_core::time::Monotonic;
use std::{fmt::Write, time::Duration};

/// Output that comes more often than this is collected, so that a talkative step does not redraw the lines for each line.
const FRAME: Duration = Duration::from_millis(40);

/// After so long without output a step is called quiet.
const QUIET: Duration = Duration::from_secs(10);

/// Terminals that know these show everything between them at once; the others ignore them.
const SYNCHRONIZED: &[u8] = b"\x1b[?2026h";
const END_SYNCHRONIZED: &[u8] = b"\x1b[?2026l";

/// The lines at the bottom.
#[derive(Debug)]
pub struct Live {
    text: Text,
    sharing: Sharing,
    /// What stands on the screen.
    drawn: Vec<Row>,
    size: Option<Size>,
    last_frame: Option<Monotonic>,
    /// Something waits for the next frame.
    due: bool,
    /// The build was stopped by Ctrl-Z, or is done.
    pub away: bool,
}

/// One line: parts, each in its colour.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row(Vec<(Paint, String)>);

impl Row {
    fn add(&mut self, paint: Paint, text: impl Into<String>) {
        self.0.push((paint, text.into()));
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    /// Cuts it to `columns`.
    fn fit(&mut self, style: Style, columns: usize) {
        let mut room = columns;
        for (_, text) in &mut self.0 {
            let own = width(text);
            if own > room {
                *text = style.cut(text, room).into_owned();
                room = 0;
            } else {
                room -= own;
            }
        }
    }
}

impl Live {
    /// Nothing is drawn before the first frame.
    pub fn new(text: Text, sharing: Sharing) -> Self {
        Self {
            text,
            sharing,
            drawn: Vec::new(),
            size: None,
            last_frame: None,
            due: false,
            away: false,
        }
    }

    /// Writes what `talk` has collected, and the lines below it, unless the last frame is too young.
    pub fn frame(&mut self, talk: &mut Sink, progress: &Progress, suspended: bool, now: Monotonic) {
        let young = self.last_frame.is_some_and(|last| now.since(last) < FRAME);
        if young && !talk.is_full() {
            self.due = true;
        } else {
            self.frame_now(talk, progress, suspended, now);
        }
    }

    /// Writes what `talk` has collected, and the lines below it.
    pub fn frame_now(
        &mut self,
        talk: &mut Sink,
        progress: &Progress,
        suspended: bool,
        now: Monotonic,
    ) {
        self.due = false;
        // Where the cursor stands in a line that is open nobody knows; there the step's own words have to do.
        let hidden = self.away || suspended || talk.open;
        let size = talk.size();
        let rows = if hidden {
            Vec::new()
        } else {
            self.rows(progress, size, now)
        };
        if talk.buffer.is_empty() && rows == self.drawn && self.size == Some(size) {
            return;
        }
        let body = std::mem::take(&mut talk.buffer);
        if self.drawn.is_empty() && rows.is_empty() {
            talk.buffer = body;
        } else {
            talk.buffer.reserve(body.len() + 1024);
            talk.buffer.extend_from_slice(SYNCHRONIZED);
            self.erase(&mut talk.buffer, size);
            talk.buffer.extend_from_slice(&body);
            self.draw(&mut talk.buffer, &rows);
            talk.buffer.extend_from_slice(END_SYNCHRONIZED);
        }
        talk.flush();
        quit::note_drawn(rows.len());
        self.drawn = rows;
        self.size = Some(size);
        self.last_frame = Some(now);
    }

    /// When the next frame is worth drawing: at once if something waits, else when a second of the build is full.
    pub fn next_frame(&self, progress: &Progress, now: Monotonic) -> Option<Monotonic> {
        if self.due {
            return self.last_frame.map(|last| last + FRAME);
        }
        let began = progress.started.mono;
        let seconds = now.since(began).as_secs() + 1;
        (!self.drawn.is_empty()).then(|| began + Duration::from_secs(seconds))
    }

    /// Removes what is drawn. The cursor stands at the beginning of the last row.
    fn erase(&self, out: &mut Vec<u8>, size: Size) {
        let Some((_, above)) = self.drawn.split_last() else {
            return;
        };
        // A terminal that was made narrower has wrapped the rows that were drawn before.
        let up: usize = above
            .iter()
            .map(|row| row.width().div_ceil(size.columns).max(1))
            .sum();
        out.push(b'\r');
        if up > 0 {
            out.extend_from_slice(format!("\x1b[{up}A").as_bytes());
        }
        out.extend_from_slice(b"\x1b[J");
    }

    /// Draws rows from the beginning of a line on.
    fn draw(&self, out: &mut Vec<u8>, rows: &[Row]) {
        for (n, row) in rows.iter().enumerate() {
            if n > 0 {
                out.push(b'\n');
            }
            for (paint, text) in &row.0 {
                out.extend_from_slice(self.text.style.paint(*paint, text.as_str()).as_bytes());
            }
        }
        if !rows.is_empty() {
            out.push(b'\r');
        }
    }

    fn rows(&self, progress: &Progress, size: Size, now: Monotonic) -> Vec<Row> {
        if progress.steps.is_empty() {
            return Vec::new();
        }
        let mut rows = match self.sharing {
            Sharing::Alone => vec![self.only_row(progress, now)],
            Sharing::Labelled => self.many_rows(progress, size, now),
        };
        for row in &mut rows {
            // The last column stays free: a cursor behind it is in two places at once.
            row.fit(self.text.style, size.columns.saturating_sub(1));
        }
        rows
    }

    /// `[2/7] unit 0:34 · quiet 0:12`.
    fn only_row(&self, progress: &Progress, now: Monotonic) -> Row {
        let mut row = Row::default();
        let active = progress
            .active
            .last()
            .and_then(|&place| Some((place, progress.step(place)?)));
        match active {
            Some((place, step)) => {
                let number = self.text.number(place, progress.steps.len());
                row.add(Paint::Dim, number);
                row.add(Paint::of_step(&step.label), format!(" {} ", step.label));
                row.add(Paint::Plain, self.state(step, now));
            }
            None => {
                let number = format!("[{}/{}] ", progress.done(), progress.steps.len());
                row.add(Paint::Dim, number);
                row.add(Paint::Plain, clock(now.since(progress.started.mono)));
            }
        }
        row
    }

    /// A row for each step that runs, as far as there is room, and the progress over all.
    fn many_rows(&self, progress: &Progress, size: Size, now: Monotonic) -> Vec<Row> {
        // Half of the screen belongs to what the steps print.
        let room = (size.rows / 2).saturating_sub(1);
        let active = &progress.active;
        let shown = if active.len() > room {
            room.saturating_sub(1)
        } else {
            active.len()
        };
        let steps: Vec<&Step> = active[..shown]
            .iter()
            .filter_map(|&place| progress.step(place))
            .collect();
        let widest = steps
            .iter()
            .map(|step| width(&step.label))
            .max()
            .unwrap_or(0);
        let pad = widest.min(size.columns / 2);
        let mut rows: Vec<Row> = steps
            .into_iter()
            .map(|step| {
                let mut row = Row::default();
                let label = self.text.style.cut_label(&step.label, pad);
                let spaces = " ".repeat(pad.saturating_sub(width(&label)));
                row.add(Paint::of_step(&step.label), format!("  {label}{spaces}  "));
                row.add(Paint::Plain, self.state(step, now));
                row
            })
            .collect();
        if shown < active.len() && room > 0 {
            let mut row = Row::default();
            let more = self.text.style.symbols.more;
            row.add(
                Paint::Dim,
                format!("  {more} and {} more", active.len() - shown),
            );
            rows.push(row);
        }
        rows.push(self.status_row(progress, now));
        rows
    }

    /// `[12/37] 3 running · 4 passed · 0 failed · 0:12`.
    fn status_row(&self, progress: &Progress, now: Monotonic) -> Row {
        let dot = self.text.style.symbols.dot;
        let failed = progress.counts.failed + progress.counts.errored;
        let mut row = Row::default();
        row.add(
            Paint::Strong,
            format!("[{}/{}]", progress.done(), progress.steps.len()),
        );
        row.add(
            Paint::Plain,
            format!(
                " {} running {dot} {} passed {dot} ",
                progress.active.len(),
                progress.counts.succeeded
            ),
        );
        let paint = if failed > 0 { Paint::Bad } else { Paint::Plain };
        row.add(paint, format!("{failed} failed"));
        row.add(
            Paint::Plain,
            format!(" {dot} {}", clock(now.since(progress.started.mono))),
        );
        row
    }

    /// How long a step runs, and what else there is to say.
    fn state(&self, step: &Step, now: Monotonic) -> String {
        let dot = self.text.style.symbols.dot;
        match &step.state {
            State::Running {
                r#try,
                since,
                stopping,
            } => {
                let mut text = clock(now.since(*since));
                if *r#try > 1 {
                    let _ = write!(text, " {dot} try {try}");
                }
                if let Some(signal) = stopping {
                    let _ = write!(text, " {dot} stopping ({signal})");
                } else if now.since(step.heard) >= QUIET {
                    let _ = write!(text, " {dot} quiet {}", clock(now.since(step.heard)));
                }
                text
            }
            State::BackingOff { r#try, until } => {
                // Rounded up: at "0:00" it should have begun.
                let wait = until.since(now) + Duration::from_millis(999);
                format!("try {try} in {}", clock(wait))
            }
            State::Waiting | State::Done(_) => String::new(),
        }
    }
}

/// `0:12`, `12:05`, `1:02:03`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests;
