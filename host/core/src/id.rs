//! The names and numbers by which things are called.
//!
//! A name never needs quoting in an address, a file name or a shell; whoever holds one of these types knows it was checked.

use std::{borrow::Borrow, fmt};

/// The longest name, in bytes.
pub const MAX_NAME: usize = 64;

/// A text that is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a name: use up to 64 letters, digits, `_` and `-`, beginning with a letter or a digit"
)]
pub struct InvalidName {
    /// The text as it was given.
    pub text: String,
}

fn is_name(text: &str, may_start_with_underscore: bool) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX_NAME
        && bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric() || (may_start_with_underscore && b == b'_'))
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $underscore:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and keeps it.
            ///
            /// # Errors
            ///
            /// When `text` does not match `[A-Za-z0-9][A-Za-z0-9_-]{0,63}` (parameters may begin with `_`).
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                if is_name(text, $underscore) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { text: text.to_owned() })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// The name of a step, the key of its table in `[steps]`.
    StepName, false;
    /// The name of a pipeline, the key of its table in `[pipelines]`.
    PipelineName, false;
    /// The name of an environment: `local`, `clean`, or a key of `[environments]`.
    EnvironmentName, false;
    /// The name of a parameter. One that begins with `_` does not enter a build's identity (M-12).
    ParamName, true;
    /// The name of an axis of a matrix.
    AxisName, false;
    /// The name of a plugin: a key of `[plugins]`, one of the operator's (who may call it otherwise than its manifest), or a built-in one.
    PluginName, false;
    /// The name of one of the step types that a plugin has.
    StepType, false;
    /// The name of a rule, the key of its table in `[notify]`.
    RuleName, false;
}

impl ParamName {
    /// The environment variable that carries this parameter: `PIPER_PARAM_` and the name in capitals, `-` as `_`.
    pub fn variable(&self) -> String {
        variable("PIPER_PARAM_", &self.0)
    }
}

impl AxisName {
    /// The environment variable that carries this axis's value: `PIPER_MATRIX_` and the name in capitals, `-` as `_`.
    pub fn variable(&self) -> String {
        variable("PIPER_MATRIX_", &self.0)
    }
}

fn variable(prefix: &str, name: &str) -> String {
    let mut variable = prefix.to_owned();
    variable.extend(name.chars().map(|c| {
        if c == '-' {
            '_'
        } else {
            c.to_ascii_uppercase()
        }
    }));
    variable
}

/// Twenty consonants: no vowels, so that no id spells a word, and no `y`, which some read as one.
const LETTERS: &[u8; 20] = b"bcdfghjklmnpqrstvwxz";

/// The id of a build: 16 lower-case letters without vowels, some 69 random bits.
///
/// Ids carry no order; that comes from the time at which a build was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuildId([u8; 16]);

impl BuildId {
    /// How many letters are shown where a prefix is enough.
    pub const SHORT: usize = 7;

    /// Makes an id of 128 random bits.
    pub fn from_random(mut bits: u128) -> Self {
        Self(std::array::from_fn(|_| {
            let letter = LETTERS[(bits % 20) as usize];
            bits /= 20;
            letter
        }))
    }

    /// Reads a full id; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(|b| LETTERS.contains(b))
            .then_some(Self(bytes))
    }

    /// Whether an id could begin with `text`, which is not empty.
    pub fn is_prefix(text: &str) -> bool {
        (1..=16).contains(&text.len()) && text.bytes().all(|b| LETTERS.contains(&b))
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("an id is made of ASCII letters")
    }

    /// The first seven letters, for people.
    pub fn short(&self) -> &str {
        &self.as_str()[..Self::SHORT]
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which step of a [`Plan`](crate::plan::Plan): its place in the plan's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepIx(pub u32);

impl StepIx {
    /// The place as an index into the plan's list.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("a", true; "one letter")]
    #[test_case("9-_", true; "digit first")]
    #[test_case("", false; "empty")]
    #[test_case("_a", false; "underscore first")]
    #[test_case("-a", false; "hyphen first")]
    #[test_case("a b", false; "space")]
    #[test_case("é", false; "not ascii")]
    fn a_step_name_is_letters_digits_underscores_and_hyphens(text: &str, valid: bool) {
        assert_eq!(StepName::parse(text).is_ok(), valid);
    }

    #[test]
    fn a_name_has_at_most_64_bytes() {
        assert!(StepName::parse(&"a".repeat(64)).is_ok());
        assert!(StepName::parse(&"a".repeat(65)).is_err());
    }

    #[test]
    fn a_parameter_may_begin_with_an_underscore() {
        let name = ParamName::parse("_trace-id").unwrap();
        assert_eq!(name.variable(), "PIPER_PARAM__TRACE_ID");
    }

    #[test]
    fn a_build_id_is_16_consonants_and_reads_back() {
        let id = BuildId::from_random(u128::MAX);
        assert_eq!(BuildId::parse(id.as_str()), Some(id));
        assert_eq!(BuildId::parse("aaaaaaaaaaaaaaaa"), None);
        assert_eq!(id.short().len(), 7);
    }
}
