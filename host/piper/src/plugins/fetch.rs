//! Fetches a component from a server. Only for what is pinned or about to be: who asks compares the digest.
//!
//! `curl` does it, as other tools do: it has the machine's proxies and certificates, and piper need not carry a second TLS. Nothing
//! of a response but its body is looked at.

use super::{Error, component::if_too_large};
use piper_engine::process::tool;
use piper_plugin_host::policy::limit::{Limit, Reached};
use std::{ffi::OsStr, io, path::Path};

/// How long it may take in all, in seconds: a slow line, not a server that never ends.
const PATIENCE: &str = "600";

/// The body at an `https` URL, of at most `limit` bytes.
///
/// The limit is ours to hold and not `--max-filesize`'s: where a server does not say how much it sends, many a curl does not stop.
pub(crate) fn fetch(url: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let failed = |message: String| Error::Fetch {
        url: url.to_owned(),
        message,
    };
    let args = [
        // Nobody's ~/.curlrc changes what is pinned.
        "--disable",
        "--silent",
        "--show-error",
        "--fail",
        "--location",
        "--proto",
        "=https",
        "--max-redirs",
        "10",
        "--connect-timeout",
        "30",
        "--max-time",
        PATIENCE,
        "--",
        url,
    ];
    let args = args.map(OsStr::new);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let output = tool::run("curl", &args, Path::new("/"), &[], most).map_err(|error| {
        failed(match error.kind() {
            io::ErrorKind::NotFound => "`curl` is not on the PATH: install it, or download the file yourself and name its path".to_owned(),
            io::ErrorKind::FileTooLarge => {
                let reached = Reached::new(Limit::ComponentSize, limit);
                format!("it is larger than {} MiB: {}", limit >> 20, if_too_large(reached))
            }
            _ => format!("`curl` cannot be run: {error}"),
        })
    })?;
    if !output.success {
        return Err(failed(output.stderr));
    }
    Ok(output.stdout)
}
