//! Signature Version 4 in the query of a URL, as in presigned URLs.
//!
//! Not in the `authorization` header, for which a plugin would have to be trusted with credentials that it knows. The content is not
//! signed, because that would need its SHA-256 before the first byte is sent; its MD5 is, which the server compares.

use crate::Config;
use piper_plugin::{
    prelude::*,
    secrets::Hmac,
    time::{self, Timestamp},
};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The name of the secret.
const KEY: &str = "secret-key";
/// For how many seconds a signature holds. The server looks when a request begins; clocks may differ.
const VALID: &str = "3600";

/// A request that is to be signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unsigned<'a> {
    pub(crate) method: &'a str,
    /// The object; empty for the bucket.
    pub(crate) key: &'a str,
    /// The names are as they stand in URLs already.
    pub(crate) query: &'a [(&'a str, &'a str)],
    /// The MD5 of the content, in base64.
    pub(crate) content_md5: Option<&'a str>,
}

/// The URL with its signature.
pub(crate) fn url(config: &Config, request: &Unsigned<'_>) -> Result<String> {
    signed(config, request, time::now())
}

fn signed(config: &Config, request: &Unsigned<'_>, now: Timestamp) -> Result<String> {
    let place = Place::of(&config.url)?;
    let now = compact(now);
    let date = &now[..8];
    let scope = format!("{date}/{}/s3/aws4_request", config.region);
    let (names, headers) = match request.content_md5 {
        Some(md5) => (
            "content-md5;host",
            format!("content-md5:{md5}\nhost:{}\n", place.host),
        ),
        None => ("host", format!("host:{}\n", place.host)),
    };
    let credential = format!("{}/{scope}", config.access_key);
    let ours = [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", credential.as_str()),
        ("X-Amz-Date", now.as_str()),
        ("X-Amz-Expires", VALID),
        ("X-Amz-SignedHeaders", names),
    ];
    let mut query: Vec<String> = request
        .query
        .iter()
        .chain(&ours)
        .map(|(name, value)| format!("{name}={}", encode::percent(value)))
        .collect();
    query.sort_unstable();
    let query = query.join("&");
    let path = path(&place, request.key);
    let canonical = format!(
        "{}\n{path}\n{query}\n{headers}\n{names}\nUNSIGNED-PAYLOAD",
        request.method
    );
    let digest = encode::hex(Sha256::digest(canonical));
    let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}");
    let chain = [date, &config.region, "s3", "aws4_request", &text];
    let signature = secrets::hmac_chain(KEY, Hmac::Sha256, "AWS4", chain)?;
    let signature = encode::hex(signature);
    Ok(format!(
        "{}{path}?{query}&X-Amz-Signature={signature}",
        place.origin
    ))
}

/// Where a bucket is.
struct Place<'a> {
    origin: &'a str,
    /// As it stands in the `host` header: without a port that goes without saying.
    host: String,
    /// Without a `/` at its end.
    path: &'a str,
}

impl<'a> Place<'a> {
    fn of(url: &'a str) -> Result<Self> {
        let wrong = || {
            Failure::invalid("s3.url", "`url` is no address of a bucket")
                .at("/config/url")
                .help("for instance `https://s3.eu-central-1.amazonaws.com/results`")
        };
        let url = url.trim_end_matches('/');
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let usual = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains('@') || url.contains(['?', '#']) {
            return Err(wrong());
        }
        let host = authority.strip_suffix(usual).unwrap_or(authority);
        Ok(Self {
            origin: &url[..url.len() - path.len()],
            host: host.to_ascii_lowercase(),
            path,
        })
    }
}

/// The path of an object, each part encoded once.
fn path(place: &Place<'_>, key: &str) -> String {
    let mut path = place.path.to_owned();
    for part in key.split('/') {
        let _ = write!(path, "/{}", encode::percent(part));
    }
    path
}

/// `20260301T120000Z`.
fn compact(time: Timestamp) -> String {
    let text = time.to_string().replace(['-', ':'], "");
    format!("{}Z", &text[..15])
}

#[cfg(test)]
mod tests;
