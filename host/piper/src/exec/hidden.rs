//! The secrets of a build's plugins, which are hidden in all that it prints: a plugin can leave one where another step finds it.
//!
//! Nothing is read here, and nothing is passed on but to the build's masker.

use piper_core::{id::PluginName, log::mask::MIN_SECRET};
use std::fmt;

/// What is to be hidden beside the secrets of the steps.
#[derive(Clone, Default)]
pub struct Hidden(Vec<(String, Vec<u8>)>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(title, _)| title);
        f.debug_set().entries(names).finish()
    }
}

impl Hidden {
    /// Adds the secrets of a plugin, each a name and a value. One that is there already is not added again: many steps may use one plugin,
    /// and to hide a value costs some fifty times its length.
    pub fn add<'a>(
        &mut self,
        plugin: &PluginName,
        secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) {
        for (name, value) in secrets {
            self.insert(format!("`{name}` of plugin `{plugin}`"), value);
        }
    }

    /// Adds all that others hide.
    pub fn extend(&mut self, others: &Self) {
        for (title, value) in &others.0 {
            self.insert(title.clone(), value);
        }
    }

    fn insert(&mut self, title: String, value: &[u8]) {
        // Of each that is too short its owner is told.
        let is_known = |(known, same): &(String, Vec<u8>)| {
            same == value && (value.len() >= MIN_SECRET || *known == title)
        };
        if !self.0.iter().any(is_known) {
            self.0.push((title, value.to_owned()));
        }
    }

    /// Each with what messages call it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let secrets = self.0.iter();
        secrets.map(|(title, value)| (title.as_str(), value.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_hidden_once_and_one_that_is_too_short_is_told_of_to_each() {
        let [one, two] = ["one", "two"].map(|name| PluginName::parse(name).unwrap());
        let mut hidden = Hidden::default();
        let secrets: [(&str, &[u8]); 2] = [("key", b"long enough"), ("pin", b"1234")];
        hidden.add(&one, secrets);
        hidden.add(&one, secrets);
        hidden.add(&two, secrets);
        let all = hidden.clone();
        hidden.extend(&all);
        let titles: Vec<&str> = hidden.iter().map(|(title, _)| title).collect();
        assert_eq!(
            titles,
            [
                "`key` of plugin `one`",
                "`pin` of plugin `one`",
                "`pin` of plugin `two`"
            ]
        );
        assert!(!format!("{hidden:?}").contains("1234"));
    }
}
