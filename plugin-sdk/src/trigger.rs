//! What triggers of both kinds share: what they ask of the farm, and the host's mirrors of repositories.

use crate::{failure::Result, host};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One request to the farm. Delivery is at least once: two asks of one plugin with one key are one.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// `build`, `cancel` or `retry`.
    pub kind: String,
    /// What makes it the same ask, at most 256 bytes.
    pub dedup_key: String,
    /// The rest, an object.
    pub body: Map<String, Value>,
}

impl Ask {
    fn new(kind: &str, dedup_key: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            dedup_key: dedup_key.into(),
            body: Map::new(),
        }
    }

    /// Asks for a build of a pipeline.
    ///
    /// ```
    /// # use piper_plugin::trigger::Ask;
    /// let ask = Ask::build("push/main/c0ffee", "test")
    ///     .source("https://git.example/hello.git", "refs/heads/main", "c0ffee")
    ///     .set("reason", "a push to main");
    /// assert_eq!(ask.body["source"]["ref"], "refs/heads/main");
    /// ```
    pub fn build(dedup_key: impl Into<String>, pipeline: impl Into<String>) -> Self {
        Self::new("build", dedup_key).set("pipeline", pipeline.into())
    }

    /// Asks to cancel a build.
    pub fn cancel(dedup_key: impl Into<String>, build: impl Into<String>) -> Self {
        Self::new("cancel", dedup_key).set("build", build.into())
    }

    /// Asks for a build again.
    pub fn retry(dedup_key: impl Into<String>, build: impl Into<String>) -> Self {
        Self::new("retry", dedup_key).set("build", build.into())
    }

    /// What to build: a repository, a ref in it, and the revision that it is at.
    #[must_use]
    pub fn source(self, url: &str, r#ref: &str, revision: &str) -> Self {
        self.set(
            "source",
            json!({"url": url, "ref": r#ref, "revision": revision}),
        )
    }

    /// Any other member: `project`, `params`, `group`, `priority`, `requester`, `reason`, `link`, `changes`, `origin`.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.body.insert(name.into(), value.into());
        self
    }
}

/// A head of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// Its name, such as `refs/heads/main`.
    pub r#ref: String,
    /// Where it is.
    pub revision: String,
}

/// A change in a repository.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Change {
    /// Its revision.
    pub revision: String,
    /// Whose it is.
    #[serde(default)]
    pub author: Value,
    /// When it was made.
    #[serde(default)]
    pub at: Value,
    /// What it says.
    #[serde(default)]
    pub message: String,
    /// The files that it touches.
    #[serde(default)]
    pub paths: Vec<String>,
}

/// The heads of a repository, after a fetch by the host.
///
/// # Errors
///
/// When the source is not granted or not within reach.
pub fn heads(source: &str) -> Result<Vec<Head>> {
    #[derive(Deserialize)]
    struct Heads {
        heads: Vec<Head>,
    }
    Ok(serde_json::from_str::<Heads>(&host::vcs_heads(source)?)?.heads)
}

/// The changes that are in `until` and not in `since`, newest first, at most `limit`.
///
/// # Errors
///
/// When the source is not granted or not within reach, or a revision is unknown.
pub fn changes(source: &str, since: Option<&str>, until: &str, limit: u32) -> Result<Vec<Change>> {
    #[derive(Deserialize)]
    struct Changes {
        changes: Vec<Change>,
    }
    let json = host::vcs_changes(source, since, until, limit)?;
    Ok(serde_json::from_str::<Changes>(&json)?.changes)
}
