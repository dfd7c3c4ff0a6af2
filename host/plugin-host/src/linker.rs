//! One linker for all plugins: every interface that a plugin may import, whatever it was granted.
//!
//! Interpreters import everything, so a missing import would refuse plugins that never call it. What a plugin may do is decided
//! when it does it, by the context of its instance.

use crate::{instance::Sandbox, wit::v0_1};
use wasmtime::{
    Engine, Result,
    component::{HasSelf, Linker},
};

/// The interfaces of WASI that are linked, by package; each in all versions of 0.2.
const WASI: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

pub(crate) fn linker(engine: &Engine) -> Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    v0_1::Everything::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |store| store)?;
    Ok(linker)
}

/// Whether an interface of WASI is one that we link.
pub(crate) fn has_wasi(name: &str) -> bool {
    let is_known = WASI.iter().any(|package| name.starts_with(package))
        || name.starts_with("wasi:http/types@")
        || name.starts_with("wasi:http/outgoing-handler@");
    is_known && name.contains("@0.2.")
}

/// The interfaces of the contract that plugins import, with the versions that this host has.
const IMPORTS: [&str; 12] = [
    "piper:base/types@0.1.0",
    "piper:base/log@0.1.0",
    "piper:base/control@0.1.0",
    "piper:base/http@0.1.0",
    "piper:base/files@0.1.0",
    "piper:base/secrets@0.1.0",
    "piper:base/state@0.1.0",
    "piper:base/exec@0.1.0",
    "piper:step/step-context@0.1.0",
    "piper:trigger/vcs@0.1.0-draft.1",
    "piper:notify/mail@0.1.0-draft.1",
    "piper:notify/builds@0.1.0-draft.1",
];

/// Our version of an imported interface of the contract, if we have one of its track.
pub(crate) fn ours(name: &str) -> Option<&'static str> {
    IMPORTS.into_iter().find(|ours| track(ours) == track(name))
}

/// What an interface's name and version are compatible with: a released version with its whole track, a draft with itself only.
pub(crate) fn track(interface: &str) -> (&str, String) {
    let Some((name, version)) = interface.split_once('@') else {
        return (interface, String::new());
    };
    if version.contains('-') {
        return (name, version.to_owned());
    }
    let mut parts = version.split('.');
    let track = match (parts.next(), parts.next(), parts.next()) {
        (Some("0"), Some("0"), _) | (Some(_), None, _) => version.to_owned(),
        (Some("0"), Some(minor), Some(_)) => format!("0.{minor}"),
        (Some(major), _, _) => major.to_owned(),
        (None, _, _) => String::new(),
    };
    (name, track)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("a:b/c@0.1.0", "a:b/c@0.1.7", true; "a later one of the track")]
    #[test_case("a:b/c@0.1.0", "a:b/c@0.2.0", false; "another track")]
    #[test_case("a:b/c@1.1.0", "a:b/c@1.2.0", true; "after the first release")]
    #[test_case("a:b/c@0.1.0", "a:b/d@0.1.0", false; "another name")]
    #[test_case("a:b/c@0.1.0-draft.1", "a:b/c@0.1.0-draft.2", false; "another draft")]
    #[test_case("a:b/c@0.1.0-draft.1", "a:b/c@0.1.0", false; "a draft and its release")]
    #[test_case("a:b/c@0.1.0-draft.1", "a:b/c@0.1.0-draft.1", true; "the same draft")]
    #[test_case("a:b/c@0.0.1", "a:b/c@0.0.2", false; "before the first release")]
    fn an_interface_fits_its_track(ours: &str, theirs: &str, expected: bool) {
        assert_eq!(track(ours) == track(theirs), expected);
    }
}
