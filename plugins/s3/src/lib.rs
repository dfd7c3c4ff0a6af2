//! Uploads files of the workspace to a bucket of any S3 store, and downloads what is in one.
//!
//! Contents never pass through here: the host streams them from and to files, and makes their digests. Neither does the key: the host
//! makes the signatures. `sign` knows how requests are signed, `store` how they are sent and judged, `upload` and `download` what
//! to send.

mod download;
mod sign;
mod store;
mod upload;

use download::Download;
use piper_plugin::prelude::*;
use upload::Upload;

/// The bucket.
#[settings]
struct Config {
    /// The bucket's address: `https://s3.eu-central-1.amazonaws.com/results`, or `https://results.s3.eu-central-1.amazonaws.com`.
    url: String,
    /// The region that requests are signed for. Most stores but AWS do not care.
    #[setting(default = "us-east-1")]
    region: String,
    /// The id of the access key, which is no secret.
    access_key: String,
}

/// A prefix of keys, as a folder: empty, or with a `/` at its end.
fn folder(prefix: &str) -> Result<String> {
    let prefix = prefix.trim_end_matches('/');
    match prefix {
        "" => Ok(String::new()),
        _ if is_path(prefix) => Ok(format!("{prefix}/")),
        _ => Err(Failure::invalid(
            "s3.prefix",
            format_args!("`{prefix}` is no prefix of keys that are paths"),
        )
        .at("/options/prefix")
        .help("write it like a folder: `builds/main`")),
    }
}

/// Whether a text is a path below some folder, on this side and on the other. Proxies and servers tidy up what is not.
fn is_path(text: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    text.split('/').all(is_plain) && !text.contains('\\') && !text.chars().any(char::is_control)
}

piper_plugin::plugin! {
    config: Config,
    step_runner: { "upload" => Upload, "download" => Download },
}

#[cfg(test)]
mod tests;
