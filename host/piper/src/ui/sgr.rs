//! What a step has switched on with "select graphic rendition" sequences: its colours.
//!
//! Knows which parameters exist and how to write them again; where sequences begin and end is [`sanitize`](super::sanitize)'s.
//! Parameters that no terminal uses for the look of text are dropped: on the Linux console 11 remaps the character set.

use std::io::Write;

/// The longest colour that is kept: `58:2:255:255:255:255` and some air.
const SLOT: usize = 23;

/// Parameters that are switched on and off by themselves.
const FLAGS: [u16; 9] = [1, 2, 3, 5, 6, 7, 8, 9, 53];

/// A parameter with what belongs to it, such as `38;5;208` or `4:3`; empty if it is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Slot {
    len: u8,
    bytes: [u8; SLOT],
}

impl Slot {
    fn new(text: &[u8]) -> Self {
        let mut slot = Self::default();
        if text.len() <= SLOT {
            slot.len = text.len() as u8;
            slot.bytes[..text.len()].copy_from_slice(text);
        }
        slot
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The look of the text that comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// One bit for each of [`FLAGS`].
    flags: u16,
    underline: Slot,
    foreground: Slot,
    background: Slot,
    underline_color: Slot,
}

impl Look {
    /// Whether nothing is switched on.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Applies the parameters of one sequence: what stands between `ESC [` and `m`.
    pub fn apply(&mut self, params: &[u8]) {
        let mut rest = Some(params);
        while let Some(params) = rest {
            let (param, mut after) = split(params);
            if param.contains(&b':') {
                self.apply_colons(param);
            } else {
                match number(param) {
                    code @ (38 | 48 | 58) => {
                        let Some(taken) = color_len(params) else {
                            return;
                        };
                        self.color(code, &params[..taken]);
                        after = params.get(taken + 1..);
                    }
                    code => self.apply_code(code, param),
                }
            }
            rest = after;
        }
    }

    /// Writes the sequence that switches from `current` to this look.
    pub fn write_from(&self, current: &Self, out: &mut Vec<u8>) {
        if self == current {
            return;
        }
        if self.is_default() {
            out.extend_from_slice(b"\x1b[0m");
            return;
        }
        out.extend_from_slice(if current.is_default() {
            b"\x1b["
        } else {
            b"\x1b[0;"
        });
        for (bit, code) in FLAGS.iter().enumerate() {
            if self.flags & 1 << bit != 0 {
                // Writing to memory cannot fail.
                let _ = write!(out, "{code};");
            }
        }
        for slot in [
            &self.underline,
            &self.foreground,
            &self.background,
            &self.underline_color,
        ] {
            if slot.len > 0 {
                out.extend_from_slice(slot.text());
                out.push(b';');
            }
        }
        let last = out.len() - 1;
        out[last] = b'm';
    }

    fn apply_colons(&mut self, param: &[u8]) {
        let head = param.split(|&b| b == b':').next().unwrap_or_default();
        match number(head) {
            4 if param == b"4:0" => self.underline = Slot::default(),
            4 => self.underline = Slot::new(param),
            code @ (38 | 48 | 58) => self.color(code, param),
            _ => {}
        }
    }

    fn apply_code(&mut self, code: u16, param: &[u8]) {
        match code {
            0 => *self = Self::default(),
            4 | 21 => self.underline = Slot::new(code.to_string().as_bytes()),
            22 => self.clear(&[1, 2]),
            23 => self.clear(&[3]),
            24 => self.underline = Slot::default(),
            25 => self.clear(&[5, 6]),
            27 => self.clear(&[7]),
            28 => self.clear(&[8]),
            29 => self.clear(&[9]),
            30..=37 | 90..=97 => self.foreground = Slot::new(param),
            39 => self.foreground = Slot::default(),
            40..=47 | 100..=107 => self.background = Slot::new(param),
            49 => self.background = Slot::default(),
            55 => self.clear(&[53]),
            59 => self.underline_color = Slot::default(),
            _ => {
                if let Some(bit) = FLAGS.iter().position(|&flag| flag == code) {
                    self.flags |= 1 << bit;
                }
            }
        }
    }

    fn clear(&mut self, codes: &[u16]) {
        for (bit, flag) in FLAGS.iter().enumerate() {
            if codes.contains(flag) {
                self.flags &= !(1 << bit);
            }
        }
    }

    fn color(&mut self, code: u16, text: &[u8]) {
        let slot = Slot::new(text);
        match code {
            38 => self.foreground = slot,
            48 => self.background = slot,
            _ => self.underline_color = slot,
        }
    }
}

/// The first parameter, and what follows its semicolon.
fn split(params: &[u8]) -> (&[u8], Option<&[u8]>) {
    match params.iter().position(|&b| b == b';') {
        Some(at) => (&params[..at], Some(&params[at + 1..])),
        None => (params, None),
    }
}

/// A parameter's number; nothing means 0, and what is no number is one that nobody uses.
fn number(param: &[u8]) -> u16 {
    param.iter().fold(0, |number: u16, &b| match b {
        b'0'..=b'9' => number.saturating_mul(10).saturating_add((b - b'0').into()),
        _ => u16::MAX,
    })
}

/// How long `38;5;N` or `38;2;R;G;B` at the beginning of `params` is; `None` if it is neither.
fn color_len(params: &[u8]) -> Option<usize> {
    let (code, rest) = split(params);
    let (kind, mut rest) = split(rest?);
    let values = match number(kind) {
        5 => 1,
        2 => 3,
        _ => return None,
    };
    let mut len = code.len() + 1 + kind.len();
    for _ in 0..values {
        let (value, after) = split(rest?);
        if value.contains(&b':') || number(value) > 255 {
            return None;
        }
        len += 1 + value.len();
        rest = after;
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("", "\x1b[0m"; "nothing is reset")]
    #[test_case("31", "\x1b[31m"; "colour")]
    #[test_case("1;31", "\x1b[1;31m"; "bold and colour")]
    #[test_case("31;0;1", "\x1b[1m"; "reset between")]
    #[test_case("38;5;208", "\x1b[38;5;208m"; "256 colours")]
    #[test_case("38;2;1;2;3;48;5;9;4", "\x1b[4;38;2;1;2;3;48;5;9m"; "true colour and more")]
    #[test_case("38:2::1:2:3", "\x1b[38:2::1:2:3m"; "colons")]
    #[test_case("4:3;58:5:1", "\x1b[4:3;58:5:1m"; "curly underline in red")]
    #[test_case("31;39", "\x1b[0m"; "on and off")]
    #[test_case("11", "\x1b[0m"; "another character set is not taken")]
    #[test_case("38;9;1", "\x1b[0m"; "no such colour")]
    #[test_case("38;5", "\x1b[0m"; "half a colour")]
    #[test_case("38;5;1;;1", "\x1b[1m"; "an empty parameter resets")]
    #[test_case("99999999999;31", "\x1b[31m"; "a huge number")]
    #[test_case("1;2;22;3;23;5;25;7;27;8;28;9;29;53;55;4;24;41;49;58;5;1;59", "\x1b[0m"; "everything on and off")]
    fn parameters_are_understood(params: &str, written: &str) {
        let mut look = Look::default();
        look.apply(params.as_bytes());
        let mut out = Vec::new();
        let mut other = Look::default();
        other.apply(b"9");
        if look.is_default() {
            look.write_from(&other, &mut out);
        } else {
            look.write_from(&Look::default(), &mut out);
        }
        assert_eq!(String::from_utf8(out).unwrap(), written);
    }

    #[test]
    fn a_change_starts_from_nothing() {
        let (mut red, mut bold) = (Look::default(), Look::default());
        red.apply(b"31");
        bold.apply(b"1");
        let mut out = Vec::new();
        bold.write_from(&red, &mut out);
        assert_eq!(out, b"\x1b[0;1m");
    }
}
