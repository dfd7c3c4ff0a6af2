//! Which files a plugin may name: paths below the workspace, and patterns of them.
//!
//! Only the text of a path is judged. That no link leads out of the workspace is for whoever opens the file, relative to a folder that
//! is open already.

use super::fault::{Fault, shown};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use piper_core::codes;
use std::fmt;

/// The code of a path or of an access that is not granted.
pub const FILES: &str = "policy.fs";

/// What a plugin may do with the files of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Access {
    /// Nothing.
    #[default]
    None,
    /// Look and read.
    Read,
    /// Also write, make and replace.
    Write,
}

impl Access {
    /// What [`Self::parse`] takes.
    pub const WORDS: [&str; 2] = ["read", "write"];

    /// Reads the word of a file.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            _ => None,
        }
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The files that are asked for or granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FilesRule {
    /// The step's workspace.
    pub workspace: Access,
    /// A private folder whose files become artifacts.
    pub out: bool,
    /// A folder of the plugin's own that stays from run to run.
    pub cache: bool,
}

impl FilesRule {
    /// What is in both.
    pub fn intersection(self, other: Self) -> Self {
        Self {
            workspace: self.workspace.min(other.workspace),
            out: self.out && other.out,
            cache: self.cache && other.cache,
        }
    }

    /// What is in one or the other.
    pub fn union(self, other: Self) -> Self {
        Self {
            workspace: self.workspace.max(other.workspace),
            out: self.out || other.out,
            cache: self.cache || other.cache,
        }
    }

    /// Whether all of `other` is in it.
    pub fn covers(self, other: Self) -> bool {
        self.intersection(other) == other
    }

    /// Its parts as the command line takes them: `workspace=read`, `out`, `cache`.
    pub fn parts(self) -> Vec<String> {
        let workspace = (self.workspace > Access::None)
            .then(|| format!("workspace={}", self.workspace.as_str()));
        let out = self.out.then(|| "out".to_owned());
        let cache = self.cache.then(|| "cache".to_owned());
        [workspace, out, cache].into_iter().flatten().collect()
    }
}

/// The longest path, in bytes; what systems take.
pub const MAX_PATH: usize = 4096;

/// How many names a path has at most, and how deep folders are looked into: each level holds a descriptor.
pub(crate) const DEEPEST: usize = 200;

/// The longest name of a file, in bytes.
const MAX_COMPONENT: usize = 255;

/// A path below the workspace: names separated by `/`, none of them `.` or `..`; empty for the workspace itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkspacePath(String);

/// A text that is no path below the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It begins with `/`.
    #[error("it is not relative to the workspace")]
    Absolute,
    /// It has a `..`. One that comes back is refused too: a link may have led away before it.
    #[error("it leaves the workspace")]
    Leaves,
    /// It is longer than systems take.
    #[error("it is too long")]
    TooLong,
    /// It leads deeper than anything is looked for.
    #[error("it leads more than {DEEPEST} folders deep")]
    TooDeep,
    /// It has a NUL byte.
    #[error("it holds a NUL byte")]
    Nul,
}

impl WorkspacePath {
    /// Reads a path; `.` and empty names fall away.
    ///
    /// # Errors
    ///
    /// When it is not below the workspace.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        if text.starts_with('/') {
            return Err(InvalidPath::Absolute);
        }
        if text.contains('\0') {
            return Err(InvalidPath::Nul);
        }
        if text.len() > MAX_PATH || text.split('/').any(|name| name.len() > MAX_COMPONENT) {
            return Err(InvalidPath::TooLong);
        }
        if text.split('/').any(|name| name == "..") {
            return Err(InvalidPath::Leaves);
        }
        let names: Vec<&str> = text
            .split('/')
            .filter(|name| !matches!(*name, "" | "."))
            .collect();
        if names.len() > DEEPEST {
            return Err(InvalidPath::TooDeep);
        }
        Ok(Self(names.join("/")))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its names, from the workspace on.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }
}

impl fmt::Display for WorkspacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

/// Patterns of paths: `*`, `**`, `?`, `[a-z]`, `{a,b}`.
#[derive(Debug, Clone)]
pub struct Patterns {
    texts: Vec<String>,
    areas: Vec<Area>,
    set: GlobSet,
}

/// Where all that matches a pattern is.
#[derive(Debug, Clone)]
struct Area {
    /// The folder that its beginning names, with a `/`; empty for the workspace.
    folder: String,
    /// How many folders may be above a match, if that is known.
    depth: Option<usize>,
}

impl Area {
    fn of(pattern: &str) -> Self {
        let plain = pattern
            .find(['*', '?', '[', '{', '\\'])
            .unwrap_or(pattern.len());
        let end = pattern[..plain].rfind('/').map_or(0, |slash| slash + 1);
        // A class may stand for a `/` too.
        let is_deep = pattern.contains("**") || pattern.contains('[');
        Self {
            folder: pattern[..end].to_owned(),
            depth: (!is_deep).then(|| pattern.matches('/').count()),
        }
    }

    fn may_be_below(&self, folder: &str) -> bool {
        let is_deeper = |depth| folder.matches('/').count() > depth;
        (self.folder.starts_with(folder) || folder.starts_with(&self.folder))
            && !self.depth.is_some_and(is_deeper)
    }
}

/// How many patterns there may be, and how long each: compiling them takes time and memory that a plugin could ask for.
const MOST_PATTERNS: usize = 256;
const LONGEST_PATTERN: usize = 512;

impl Patterns {
    /// Reads patterns.
    ///
    /// # Errors
    ///
    /// When one of them is none or leaves the workspace; with its number.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Self, (usize, Fault)> {
        let mut set = GlobSetBuilder::new();
        let mut texts = Vec::with_capacity(patterns.len());
        for (at, text) in patterns.iter().map(AsRef::as_ref).enumerate() {
            let fault = |message: String, label: &str| {
                (
                    at,
                    Fault::new(codes::BAD_PATH, message, 0..text.len(), label),
                )
            };
            if at >= MOST_PATTERNS || text.len() > LONGEST_PATTERN {
                let message = format!(
                    "more than {MOST_PATTERNS} patterns, or one of more than {LONGEST_PATTERN} bytes"
                );
                return Err(fault(message, "too much"));
            }
            let path = WorkspacePath::parse(text).map_err(|error| {
                fault(
                    format!("{}: {error}", shown(text)),
                    "not inside the workspace",
                )
            })?;
            let glob = GlobBuilder::new(path.as_str())
                .literal_separator(true)
                .build()
                .map_err(|error| {
                    fault(
                        format!("{} is not a pattern: {}", shown(text), error.kind()),
                        "not a pattern",
                    )
                })?;
            set.add(glob);
            texts.push(path.0);
        }
        // Each alone was fine, so together they are only too much.
        let set = set.build().map_err(|_| {
            let message = "the patterns are too complicated".to_owned();
            (0, Fault::new(codes::BAD_PATH, message, 0..0, "too much"))
        })?;
        let areas = texts.iter().map(|text| Area::of(text)).collect();
        Ok(Self { texts, areas, set })
    }

    /// Whether something below this folder, which is given with a `/` at its end, may be meant: so that others need not be looked into.
    pub fn may_be_below(&self, folder: &str) -> bool {
        self.areas.iter().any(|area| area.may_be_below(folder))
    }

    /// Whether the path is meant by one of them.
    pub fn matches(&self, path: &WorkspacePath) -> bool {
        self.set.is_match(path.as_str())
    }

    /// The patterns as texts.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for Patterns {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    #[test_case("a/b", "a/b")]
    #[test_case("./a//b/.", "a/b")]
    #[test_case("", ".")]
    #[test_case("...", "..."; "three dots are a name")]
    #[test_case("a\\..\\b", "a\\..\\b"; "a backslash is a letter")]
    fn a_path_has_one_spelling(text: &str, expected: &str) {
        assert_eq!(WorkspacePath::parse(text).unwrap().to_string(), expected);
    }

    #[test_case("src/**/*.rs", "src/", true)]
    #[test_case("src/**/*.rs", "src/a/b/", true)]
    #[test_case("src/**/*.rs", "srcs/", false)]
    #[test_case("target/junit/*.xml", "target/", true)]
    #[test_case("target/junit/*.xml", "target/junit/", true)]
    #[test_case("target/junit/*.xml", "target/junit/a/", false)]
    #[test_case("target/junit/*.xml", "target/debug/", false)]
    #[test_case("package.json", "node_modules/", false)]
    #[test_case("*/package.json", "node_modules/", true)]
    #[test_case("*/package.json", "node_modules/a/", false)]
    #[test_case("{a,b/c}/d", "b/c/", true)]
    #[test_case("**/x", "a/b/c/d/", true)]
    #[test_case("a[!b]c", "a/", true; "a class may stand for a slash")]
    fn a_pattern_says_where_to_look(pattern: &str, folder: &str, expected: bool) {
        let patterns = Patterns::parse(&[pattern]).unwrap();
        assert_eq!(patterns.may_be_below(folder), expected);
    }

    #[test_case("/etc/passwd", InvalidPath::Absolute)]
    #[test_case("..", InvalidPath::Leaves)]
    #[test_case("a/../b", InvalidPath::Leaves; "comes back")]
    #[test_case("a/..", InvalidPath::Leaves; "at the end")]
    #[test_case("a\0b", InvalidPath::Nul)]
    fn what_is_not_below_the_workspace_is_refused(text: &str, why: InvalidPath) {
        assert_eq!(WorkspacePath::parse(text), Err(why));
    }

    #[test]
    fn a_path_is_as_long_as_systems_take() {
        assert!(WorkspacePath::parse(&"a".repeat(255)).is_ok());
        assert_eq!(
            WorkspacePath::parse(&"a".repeat(256)),
            Err(InvalidPath::TooLong)
        );
        assert_eq!(
            WorkspacePath::parse(&"a/".repeat(2049)),
            Err(InvalidPath::TooLong)
        );
    }

    #[test]
    fn a_path_is_as_deep_as_is_looked_for() {
        assert!(WorkspacePath::parse(&"a/".repeat(200)).is_ok());
        let deeper = WorkspacePath::parse(&"a/".repeat(201));
        assert_eq!(deeper, Err(InvalidPath::TooDeep));
    }

    #[test_case("**/*.xml", "a/b/c.xml", true)]
    #[test_case("**/*.xml", "c.xml", true; "no folder")]
    #[test_case("*.xml", "a/c.xml", false; "a star stays in its folder")]
    #[test_case("./{a,b}/[0-9]?", "b/7x", true; "all signs")]
    #[test_case("a", "a/b", false; "a folder is not its files")]
    fn a_pattern_means_paths(pattern: &str, path: &str, expected: bool) {
        let path = WorkspacePath::parse(path).unwrap();
        assert_eq!(
            Patterns::parse(&[pattern]).unwrap().matches(&path),
            expected
        );
    }

    #[test_case(&["*.xml", "../*"], 1; "leaves")]
    #[test_case(&["/etc/*"], 0; "absolute")]
    #[test_case(&["[a"], 0; "not closed")]
    #[test_case(&["{a,{b}"], 0; "not closed inside")]
    fn what_is_no_pattern_is_refused(patterns: &[&str], at: usize) {
        let (number, fault) = Patterns::parse(patterns).unwrap_err();
        assert_eq!((number, fault.code), (at, codes::BAD_PATH));
    }

    #[test]
    fn a_plugin_cannot_have_patterns_without_end() {
        assert!(Patterns::parse(&vec!["a"; MOST_PATTERNS + 1]).is_err());
        assert!(Patterns::parse(&["*".repeat(LONGEST_PATTERN + 1)]).is_err());
        assert!(Patterns::parse(&vec!["**/{a,b}*/[a-z]*/**"; MOST_PATTERNS]).is_ok());
    }

    fn files() -> impl Strategy<Value = FilesRule> {
        let access = proptest::sample::select(vec![Access::None, Access::Read, Access::Write]);
        (access, any::<bool>(), any::<bool>()).prop_map(|(workspace, out, cache)| FilesRule {
            workspace,
            out,
            cache,
        })
    }

    proptest! {
        #[test]
        fn a_path_below_the_workspace_has_no_way_out(text in "[a./]{0,12}|\\PC{0,12}") {
            if let Ok(path) = WorkspacePath::parse(&text) {
                prop_assert!(!path.as_str().starts_with('/'));
                prop_assert!(path.names().all(|name| !matches!(name, "" | "." | "..")));
                prop_assert_eq!(WorkspacePath::parse(path.as_str()), Ok(path));
            }
        }

        #[test]
        fn any_pattern_is_read_or_refused(text in "[a*?{},!\\[\\]./-]{0,20}") {
            if let Ok(patterns) = Patterns::parse(&[&text]) {
                prop_assert!(Patterns::parse(patterns.texts()).is_ok());
            }
        }

        #[test]
        fn the_intersection_is_in_both_and_the_union_covers_both(one in files(), two in files()) {
            let common = one.intersection(two);
            prop_assert!(one.covers(common) && two.covers(common));
            prop_assert!(one.union(two).covers(one) && one.union(two).covers(two));
        }
    }
}
