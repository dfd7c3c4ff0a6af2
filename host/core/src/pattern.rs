//! Patterns of names with slashes, as `when.branch` and `when.paths` have them.
//!
//! The one place that says what a star means, so that what the loader accepts is what a build can judge.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// Patterns, of which a name has to match one.
#[derive(Debug)]
pub struct Patterns(GlobSet);

impl Patterns {
    /// Reads the patterns.
    ///
    /// # Errors
    ///
    /// When a text is not a pattern, or all together are too large to be matched.
    pub fn parse(texts: &[String]) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for text in texts {
            set.add(glob(text)?);
        }
        set.build().map(Self)
    }

    /// Whether one of them matches all of `name`.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

fn glob(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("src/**", "src/a/b.rs", true)]
    #[test_case("src/*", "src/a/b.rs", false; "a star stays in its folder")]
    #[test_case("release/*", "release/1.2", true)]
    #[test_case("main", "main2", false)]
    fn patterns_match_whole_paths(pattern: &str, path: &str, matches: bool) {
        let patterns = Patterns::parse(&[pattern.to_owned()]).unwrap();
        assert_eq!(patterns.is_match(path), matches);
    }
}
