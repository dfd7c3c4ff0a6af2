//! The user's own settings of the history: `$XDG_CONFIG_HOME/piper/config.toml`, table `[history]`.
//!
//! Read at the end of each build, and when old ones are removed. All that is wrong is reported at once; there is no setting that is guessed.

use super::{place::base, retention::Limits};
use crate::find;
use piper_core::{
    codes::{BAD_VALUE, SYNTAX, UNKNOWN_KEY, UNREADABLE},
    problem::{Problem, Source, Span},
    suggest::closest,
};
use std::{env, io, ops::Range, path::PathBuf, sync::Arc, time::Duration};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The keys of `[history]`.
const KEYS: [&str; 3] = ["keep-builds", "keep-days", "keep-size"];

/// What is to be kept, by the user's file; without one, the defaults.
///
/// # Errors
///
/// All that is wrong with the file.
pub fn limits() -> Result<Limits, Vec<Problem>> {
    let config = base(env::var_os("XDG_CONFIG_HOME"), env::home_dir(), ".config");
    let Some(path) = config.map(|config| config.join("piper").join("config.toml")) else {
        return Ok(Limits::default());
    };
    // Read by every build, which must not wait for whoever may write to a FIFO.
    match find::open(&path).and_then(io::read_to_string) {
        Ok(text) => parse(path, text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Limits::default()),
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", path.display());
            Err(vec![Problem::error(UNREADABLE, message)])
        }
    }
}

fn parse(path: PathBuf, text: String) -> Result<Limits, Vec<Problem>> {
    let source = Arc::new(Source { path, text });
    let mut file = File {
        source: &source,
        problems: Vec::new(),
    };
    let mut limits = Limits::default();
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let at = error.span().unwrap_or(0..0);
        file.problem(
            Problem::error(SYNTAX, "the file is not TOML"),
            at,
            error.message(),
        );
    }
    for (key, value) in table.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("history", DeValue::Table(history)) => file.history(history, &mut limits),
            ("history", _) => file.bad(value, "`history` is a table: write `[history]`"),
            (name, _) => file.unknown(name, key.span(), &["history"]),
        }
    }
    if file.problems.is_empty() {
        Ok(limits)
    } else {
        Err(file.problems)
    }
}

struct File<'a> {
    source: &'a Arc<Source>,
    problems: Vec<Problem>,
}

impl File<'_> {
    fn history(&mut self, table: &DeTable<'_>, limits: &mut Limits) {
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "keep-builds" => match whole(value) {
                    Some(builds) => limits.builds = builds,
                    None => self.bad(value, "`keep-builds` is a number of builds, such as 100"),
                },
                "keep-days" => match whole(value) {
                    Some(days) => {
                        limits.age = Duration::from_secs(days.saturating_mul(24 * 60 * 60));
                    }
                    None => self.bad(value, "`keep-days` is a number of days, such as 30"),
                },
                "keep-size" => match value.get_ref().as_str().and_then(bytes) {
                    Some(bytes) => limits.bytes = bytes,
                    None => self.bad(
                        value,
                        "`keep-size` is a size with its unit, such as \"1GiB\" or \"500MiB\"",
                    ),
                },
                name => self.unknown(name, key.span(), &KEYS),
            }
        }
    }

    fn bad(&mut self, value: &Spanned<DeValue<'_>>, message: &str) {
        self.problem(Problem::error(BAD_VALUE, message), value.span(), "");
    }

    fn unknown(&mut self, name: &str, at: Range<usize>, known: &[&str]) {
        let near = closest(name, known.iter().copied());
        let label = near.map_or_else(String::new, |known| format!("did you mean `{known}`?"));
        let problem = Problem::error(UNKNOWN_KEY, format!("unknown key `{name}`"))
            .help(format!("known here: {}", known.join(", ")));
        self.problem(problem, at, &label);
    }

    fn problem(&mut self, problem: Problem, bytes: Range<usize>, label: &str) {
        let source = Arc::clone(self.source);
        self.problems
            .push(problem.at(Span { source, bytes }, label));
    }
}

/// A whole number from 0.
fn whole(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let number = value.get_ref().as_integer()?;
    u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

/// A size with its unit: `500MiB`, `1 GiB`, `2GB`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim_start() {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn read(text: &str) -> Result<Limits, Vec<Problem>> {
        parse("config.toml".into(), text.to_owned())
    }

    #[test]
    fn all_settings_are_read_and_the_rest_stays() {
        let all = "[history]\nkeep-builds = 1_000\nkeep-days = 7\nkeep-size = \"500 MiB\"\n";
        let limits = Limits {
            age: Duration::from_secs(7 * 86_400),
            builds: 1000,
            bytes: 500 << 20,
        };
        assert_eq!(read(all), Ok(limits));
        assert_eq!(read(""), Ok(Limits::default()));
        let one = Limits {
            builds: 3,
            ..Limits::default()
        };
        assert_eq!(read("history.keep-builds = 3"), Ok(one));
    }

    #[test_case("[history]\nkeep-bulids = 1", UNKNOWN_KEY, "did you mean `keep-builds`?", "keep-bulids"; "a slip")]
    #[test_case("[history]\nKEEP_DAYS = 1", UNKNOWN_KEY, "did you mean `keep-days`?", "KEEP_DAYS"; "another way to write it")]
    #[test_case("[histroy]", UNKNOWN_KEY, "did you mean `history`?", "histroy"; "a slip in the table")]
    #[test_case("[history]\nkeep-builds = -1", BAD_VALUE, "", "-1"; "negative")]
    #[test_case("[history]\nkeep-days = 1.5", BAD_VALUE, "", "1.5"; "a fraction")]
    #[test_case("[history]\nkeep-size = 5", BAD_VALUE, "", "5"; "a size without a unit")]
    #[test_case("[history]\nkeep-size = '99999999999TiB'", BAD_VALUE, "", "'99999999999TiB'"; "too large a size")]
    #[test_case("history = 1", BAD_VALUE, "", "1"; "no table")]
    fn what_is_wrong_is_named_with_its_place(
        text: &str,
        code: piper_core::problem::Code,
        label: &str,
        place: &str,
    ) {
        let problems = read(text).unwrap_err();
        let [problem] = &problems[..] else {
            panic!("{problems:?}")
        };
        let span = problem.at.as_ref().unwrap();
        assert_eq!(
            (problem.code, problem.label.as_deref().unwrap_or("")),
            (code, label)
        );
        assert_eq!(&span.source.text[span.bytes.clone()], place);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        assert_eq!(
            read("[history]\na = 1\nb = 2\nkeep-days = 'x'")
                .unwrap_err()
                .len(),
            3
        );
    }
}
