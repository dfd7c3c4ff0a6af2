//! What users write for a plugin: its configuration and the options of each use, as types with a JSON schema.
//!
//! ```
//! use piper_plugin::settings;
//!
//! /// Where results go.
//! #[settings]
//! struct Upload {
//!     /// The bucket.
//!     bucket: String,
//!     /// How many files are under way at once.
//!     #[setting(default = 4, min = 1, max = 8)]
//!     in_flight: u32,
//!     /// Who may read them.
//!     #[setting(default)]
//!     access: Access,
//!     /// Only these, if given.
//!     only: Option<Vec<String>>,
//! }
//!
//! #[settings]
//! #[derive(Default)]
//! enum Access {
//!     #[default]
//!     Private,
//!     PublicRead,
//! }
//!
//! let upload: Upload = piper_plugin::settings::read(r#"{"bucket": "b", "access": "public-read"}"#, "/options")?;
//! assert_eq!(upload.in_flight, 4);
//! # Ok::<(), piper_plugin::Failure>(())
//! ```
//!
//! `#[settings]` derives `Debug`, `Clone` and serde's traits and makes the schema, which [`plugin!`](crate::plugin!) puts into the compiled
//! component: the host checks what users wrote, points at the place of a mistake and fills defaults in before any code of the plugin runs.
//! Doc comments become descriptions, `in_flight` is written `in-flight`, an `Option` may be left out, and keys that no field has are
//! refused. `#[setting(…)]` at a field knows `default`, `default = literal`, `name = "…"`, `min`, `max` and `pattern`.
//!
//! The schema is not made by `schemars`: that makes it while a program runs, and a plugin's must be in the component before it does.

use crate::{
    debug,
    failure::{Failure, Result},
    files,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// See the [module](self).
pub use piper_plugin_macros::settings;

/// A JSON schema in pieces, joined while the plugin is compiled. Each is the members of an object, without its braces.
#[derive(Debug, Clone, Copy)]
pub enum Schema {
    /// JSON text.
    Text(&'static str),
    /// One after another.
    Join(&'static [Schema]),
    /// `,"required":[…]`: these properties, unless their type may be left out.
    Required(&'static [(&'static str, bool)]),
    /// Members that are schemas.
    Object(&'static [(&'static str, Schema)]),
}

/// A type that can stand in settings.
pub trait Setting: DeserializeOwned {
    /// What it looks like.
    const SCHEMA: Schema;
    /// The least that it can be: `,"minimum":…`. Apart from the rest, because a field may say otherwise.
    const MINIMUM: Schema = Schema::Text("");
    /// The most that it can be.
    const MAXIMUM: Schema = Schema::Text("");
    /// Whether it may be left out.
    const OPTIONAL: bool = false;
}

/// A type that can be all of a plugin's configuration or options: a struct with `#[settings]`, or `()` for none.
pub trait Settings: Setting {}

/// Reads settings; a mistake is `invalid`, at `at`.
///
/// # Errors
///
/// When the text is not what the type wants.
pub fn read<T: Settings>(json: &str, at: &str) -> Result<T> {
    // Settings are an object, and serde's `()` is not; an empty `T` may come as null from it and from nothing else.
    let read = match std::mem::size_of::<T>() {
        0 => serde_json::from_str(json).or_else(|error| match json.trim() {
            "{}" => serde_json::from_str("null"),
            _ => Err(error),
        }),
        _ => serde_json::from_str(json),
    };
    read.map_err(|error| Failure::invalid("settings", error).at(at))
}

/// The schema as text.
pub fn schema<T: Setting>() -> String {
    let mut text = vec![0; length(&T::SCHEMA)];
    write(&T::SCHEMA, &mut text, 0);
    format!(
        "{{{}}}",
        String::from_utf8(text).expect("pieces of text are text")
    )
}

/// How many bytes a schema has, without its braces.
#[doc(hidden)]
pub const fn length(schema: &Schema) -> usize {
    let mut total = 0;
    match schema {
        Schema::Text(text) => total += text.len(),
        Schema::Join(pieces) => {
            let mut at = 0;
            while at < pieces.len() {
                total += length(&pieces[at]);
                at += 1;
            }
        }
        Schema::Required(names) => {
            let mut at = 0;
            while at < names.len() {
                if !names[at].1 {
                    // The quotes, and a comma or the last bracket.
                    total += names[at].0.len() + 3;
                }
                at += 1;
            }
            if total > 0 {
                total += REQUIRED.len();
            }
        }
        Schema::Object(members) => {
            let mut at = 0;
            while at < members.len() {
                // Quotes, colon and braces; a comma before all but the first.
                total += members[at].0.len() + length(&members[at].1) + 5 + (at > 0) as usize;
                at += 1;
            }
        }
    }
    total
}

const REQUIRED: &str = ",\"required\":[";

/// Writes a schema into `into` from `at`, and returns where it ends.
#[doc(hidden)]
pub const fn write(schema: &Schema, into: &mut [u8], mut at: usize) -> usize {
    match schema {
        Schema::Text(text) => at = put(text, into, at),
        Schema::Join(pieces) => {
            let mut piece = 0;
            while piece < pieces.len() {
                at = write(&pieces[piece], into, at);
                piece += 1;
            }
        }
        Schema::Required(names) => {
            let mut name = 0;
            let mut before = REQUIRED;
            while name < names.len() {
                if !names[name].1 {
                    at = put(before, into, at);
                    at = put("\"", into, at);
                    at = put(names[name].0, into, at);
                    at = put("\"", into, at);
                    before = ",";
                }
                name += 1;
            }
            if before.len() == 1 {
                at = put("]", into, at);
            }
        }
        Schema::Object(members) => {
            let mut member = 0;
            while member < members.len() {
                at = put(if member > 0 { ",\"" } else { "\"" }, into, at);
                at = put(members[member].0, into, at);
                at = put("\":{", into, at);
                at = write(&members[member].1, into, at);
                at = put("}", into, at);
                member += 1;
            }
        }
    }
    at
}

/// A schema as the bytes of a section.
#[doc(hidden)]
pub const fn render<const N: usize>(schema: &Schema) -> [u8; N] {
    let mut bytes = [0; N];
    write(schema, &mut bytes, 0);
    bytes
}

const fn put(text: &str, into: &mut [u8], at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut offset = 0;
    while offset < bytes.len() {
        into[at + offset] = bytes[offset];
        offset += 1;
    }
    at + offset
}

macro_rules! plain {
    ($($ty:ty => $schema:expr $(, $minimum:expr $(, $maximum:expr)?)?;)*) => {
        $(impl Setting for $ty {
            const SCHEMA: Schema = Schema::Text($schema);
            $(const MINIMUM: Schema = Schema::Text(concat!(",\"minimum\":", $minimum));
            $(const MAXIMUM: Schema = Schema::Text(concat!(",\"maximum\":", $maximum));)?)?
        })*
    };
}

plain! {
    bool => r#""type":"boolean""#;
    u8 => r#""type":"integer""#, 0, 255;
    u16 => r#""type":"integer""#, 0, 65_535;
    u32 => r#""type":"integer""#, 0, 4_294_967_295u32;
    u64 => r#""type":"integer""#, 0;
    i32 => r#""type":"integer""#, -2_147_483_648i32, 2_147_483_647;
    i64 => r#""type":"integer""#;
    f64 => r#""type":"number""#;
    String => r#""type":"string""#;
    Value => r#""type":["array","boolean","null","number","object","string"]"#;
    Map<String, Value> => r#""type":"object""#;
    () => r#""type":"object","additionalProperties":false"#;
}

impl Settings for () {}
impl Settings for Map<String, Value> {}

impl<T: Setting> Setting for Option<T> {
    const SCHEMA: Schema = T::SCHEMA;
    const MINIMUM: Schema = T::MINIMUM;
    const MAXIMUM: Schema = T::MAXIMUM;
    const OPTIONAL: bool = true;
}

impl<T: Setting> Setting for Vec<T> {
    const SCHEMA: Schema = Schema::Join(&[
        Schema::Text(r#""type":"array","items":{"#),
        T::SCHEMA,
        T::MINIMUM,
        T::MAXIMUM,
        Schema::Text("}"),
    ]);
}

/// One text or several: users write `files = "a"` or `files = ["a", "b"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Texts", into = "Vec<String>")]
pub struct OneOrMore(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    More(Vec<String>),
}

impl From<Texts> for OneOrMore {
    fn from(texts: Texts) -> Self {
        Self(match texts {
            Texts::One(text) => vec![text],
            Texts::More(texts) => texts,
        })
    }
}

impl From<OneOrMore> for Vec<String> {
    fn from(texts: OneOrMore) -> Self {
        texts.0
    }
}

impl OneOrMore {
    /// The files of the workspace that match one of the patterns, each once, in byte order. `option` is what the patterns are called in
    /// `with`; `missing` says what becomes of a pattern that matches none, and is given the mistake that this is unless it may be.
    ///
    /// ```
    /// # use piper_plugin::{settings::OneOrMore, testing::Fake};
    /// # let fake = Fake::new();
    /// # fake.file("target/a.xml", "");
    /// # let (patterns, may_be_missing) = (OneOrMore(vec!["target/*.xml".into()]), false);
    /// let paths = patterns.paths("files", |mistake| match may_be_missing {
    ///     true => Ok(()),
    ///     false => Err(mistake.help("if it may be missing: `allow-missing = true`")),
    /// })?;
    /// # assert_eq!(paths.len(), 1);
    /// # Ok::<(), piper_plugin::Failure>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `missing` says, and when the workspace is not granted or a pattern is none.
    pub fn paths(
        &self,
        option: &str,
        missing: impl Fn(Failure) -> Result<()>,
    ) -> Result<BTreeSet<String>> {
        let mut paths = BTreeSet::new();
        for (at, pattern) in self.0.iter().enumerate() {
            let before = paths.len();
            let mut has_matched = false;
            for path in files::glob([pattern]) {
                has_matched = true;
                paths.insert(path?);
            }
            debug!("{pattern} added {} files", paths.len() - before);
            if !has_matched {
                let message = format_args!("no file matches `{pattern}`");
                missing(
                    Failure::invalid("settings.no-files", message).at(match self.0.len() {
                        1 => format!("/options/{option}"),
                        _ => format!("/options/{option}/{at}"),
                    }),
                )?;
            }
        }
        Ok(paths)
    }
}

impl Setting for OneOrMore {
    const SCHEMA: Schema = Schema::Text(r#""type":["array","string"],"items":{"type":"string"}"#);
}

macro_rules! maps {
    ($($map:ident),*) => {
        $(impl<T: Setting> Setting for $map<String, T> {
            const SCHEMA: Schema = Schema::Join(&[
                Schema::Text(r#""type":"object","additionalProperties":{"#),
                T::SCHEMA,
                T::MINIMUM,
                T::MAXIMUM,
                Schema::Text("}"),
            ]);
        })*
    };
}

maps!(BTreeMap, HashMap);

#[cfg(test)]
mod tests;
