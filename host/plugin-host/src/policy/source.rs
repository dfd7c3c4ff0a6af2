//! Where a plugin comes from, and which one it is.

use super::fault::{Fault, shown};
use crate::policy::host::{Host, split_port};
use piper_core::codes;
use std::fmt;

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginSource {
    /// A file.
    Path(String),
    /// A server, over TLS.
    Https(String),
    /// A registry: `oci://registry/name[:tag][@sha256:…]`.
    Oci(String),
}

impl PluginSource {
    /// Reads a source.
    ///
    /// # Errors
    ///
    /// When it is none, or one that anybody on the way can change.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let bad = |message: &str, label: &str| {
            let message = format!("{} {message}", shown(text));
            Err(Fault::new(codes::BAD_SOURCE, message, 0..text.len(), label).help(
                "a source is a path, `https://…/plugin.wasm`, or `oci://registry/name@sha256:…`",
            ))
        };
        if text.trim() != text || text.is_empty() || text.chars().any(char::is_control) {
            return bad("is not a source of a plugin", "");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Path(text.to_owned()));
        };
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let has_path = rest.len() > authority.len() + 1;
        match scheme {
            "http" => bad("can be changed on its way", "not over TLS"),
            "https" | "oci" if authority.contains('@') => {
                bad("names a user", "a user or a password does not belong here")
            }
            "https" | "oci" if Host::parse(split_port(authority).0).is_err() || !has_path => {
                bad("names no file of a server", "no host, or nothing behind it")
            }
            "https" if rest.contains('#') => bad("has a fragment", ""),
            "https" => Ok(Self::Https(text.to_owned())),
            "oci" => Ok(Self::Oci(text.to_owned())),
            _ => bad("is not a source of a plugin", "not a known scheme"),
        }
    }

    /// The digest that is a part of it, if one is.
    pub fn digest(&self) -> Option<PluginDigest> {
        match self {
            Self::Oci(text) => {
                let (_, digest) = text.rsplit_once('@')?;
                PluginDigest::parse(digest).ok()
            }
            Self::Path(_) | Self::Https(_) => None,
        }
    }
}

impl fmt::Display for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(text) | Self::Https(text) | Self::Oci(text) => f.write_str(text),
        }
    }
}

/// The SHA-256 of a component's bytes, or of the manifest that a registry keeps of it: which plugin it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginDigest(pub [u8; 32]);

impl PluginDigest {
    /// Reads `sha256:` and 64 digits in small letters.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let bytes = text.strip_prefix("sha256:").and_then(from_hex);
        bytes.map(Self).ok_or_else(|| {
            let message = format!("{} is not a digest", shown(text));
            Fault::new(codes::BAD_DIGEST, message, 0..text.len(), "not a digest")
                .help("a digest is `sha256:` and 64 hexadecimal digits in small letters")
        })
    }
}

fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let small = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 2 * bytes.len() || !digits.bytes().all(small) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for PluginDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    #[test_case("plugins/es.wasm")]
    #[test_case("/opt/es.wasm")]
    #[test_case("https://example.com:8443/es.wasm?v=1")]
    #[test_case("oci://ghcr.io/acme/es:1.4")]
    fn a_source_reads_back(text: &str) {
        let source = PluginSource::parse(text).unwrap();
        assert_eq!((source.to_string().as_str(), source.digest()), (text, None));
    }

    #[test_case(""; "nothing")]
    #[test_case(" es.wasm"; "a space before it")]
    #[test_case("http://example.com/es.wasm"; "in the clear")]
    #[test_case("ftp://example.com/es.wasm"; "another scheme")]
    #[test_case("https://example.com"; "no file")]
    #[test_case("https://user:word@example.com/es.wasm"; "a user")]
    #[test_case("https:///es.wasm"; "no host")]
    #[test_case("https://example.com/es.wasm#x"; "a fragment")]
    #[test_case("es\n.wasm"; "a line end")]
    fn what_is_no_source_is_refused(text: &str) {
        assert_eq!(
            PluginSource::parse(text).unwrap_err().code,
            codes::BAD_SOURCE
        );
    }

    proptest! {
        #[test]
        fn a_digest_reads_back(bytes in any::<[u8; 32]>()) {
            let digest = PluginDigest(bytes);
            let text = digest.to_string();
            prop_assert_eq!(PluginDigest::parse(&text), Ok(digest));
            let source = PluginSource::parse(&format!("oci://ghcr.io/a/b@{text}")).unwrap();
            prop_assert_eq!(source.digest(), Some(digest));
            prop_assert!(PluginDigest::parse(&text.replace("sha256", "sha512")).is_err());
            prop_assert!(PluginDigest::parse(&text[..text.len() - 1]).is_err());
        }
    }
}
