//! Hosts in the one spelling by which they are compared.
//!
//! An address has many spellings (`127.1`, `0x7f000001`, `①②⑦.0.0.1`, `[::ffff:7f00:1]`), and a rule that compared texts could be
//! walked around with any of them. So a host is read as browsers read it (the URL standard, with IDNA), and what cannot be read so
//! is refused. Whether an address may be reached is not said here.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A host, canonical.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name in ASCII and lower case, without a dot at its end; never the spelling of an address.
    Name(String),
    /// An address of IPv4, also if it was written as the IPv6 address that maps it.
    V4(Ipv4Addr),
    /// Any other address of IPv6.
    V6(Ipv6Addr),
}

/// A text that is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host: use a name, an IPv4 address or an IPv6 address in brackets")]
pub struct InvalidHost;

/// The longest name and the longest label that the domain name system knows.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

impl Host {
    /// Reads a host as it stands in a URL, an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// When it is no host, or one whose meaning depends on who reads it: an empty label, a zone of an IPv6 address.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        // Some readers cut a host off at these, others do not.
        if text
            .bytes()
            .any(|byte| byte <= b' ' || byte == 0x7f || b"/\\?#@".contains(&byte))
        {
            return Err(InvalidHost);
        }
        match url::Host::parse(text).map_err(|_| InvalidHost)? {
            url::Host::Domain(name) => Self::name(&name),
            url::Host::Ipv4(address) => Ok(Self::V4(address)),
            url::Host::Ipv6(address) => Ok(IpAddr::V6(address).into()),
        }
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some((*address).into()),
            Self::V6(address) => Some((*address).into()),
        }
    }

    fn name(name: &str) -> Result<Self, InvalidHost> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        };
        if name.len() <= MAX_NAME && name.split('.').all(label) {
            Ok(Self::Name(name.to_owned()))
        } else {
            Err(InvalidHost)
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// Reads a scheme, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
    }

    /// How it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where none is written.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a connection goes: what secrets are bound to, and what a pool of connections is keyed by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// With or without TLS.
    pub scheme: Scheme,
    /// To which host.
    pub host: Host,
    /// To which port.
    pub port: u16,
}

/// A text that is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an origin: write `https://host` or `https://host:port`, without a path")]
pub struct InvalidOrigin;

impl Origin {
    /// Reads `scheme://host[:port]`; a `/` may follow.
    ///
    /// # Errors
    ///
    /// When it is something else: an origin has neither user, path, query nor fragment.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin)?;
        let scheme = Scheme::parse(scheme).ok_or(InvalidOrigin)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        Self::of(scheme, authority).ok_or(InvalidOrigin)
    }

    /// The origin of a scheme and an authority `host[:port]`.
    pub(super) fn of(scheme: Scheme, authority: &str) -> Option<Self> {
        let (host, port) = split_port(authority);
        Some(Self {
            scheme,
            host: Host::parse(host).ok()?,
            port: match port {
                Some(port) => parse_port(port)?,
                None => scheme.default_port(),
            },
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// Parts `host[:port]`; the colons of an IPv6 address stand in brackets.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A port in plain digits; 0 means "any" to systems, so it is none.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    #[test_case("Example.COM", "example.com"; "capitals")]
    #[test_case("example.com.", "example.com"; "a dot at the end")]
    #[test_case("b\u{fc}cher.example", "xn--bcher-kva.example"; "an international name")]
    #[test_case("my_host", "my_host"; "an underscore")]
    #[test_case("%65xample.com", "example.com"; "percent encoded")]
    #[test_case("example。com", "example.com"; "an ideographic full stop")]
    #[test_case("10.1", "10.0.0.1"; "a short address")]
    #[test_case("[::FFFF:10.0.0.1]", "10.0.0.1"; "a mapped address")]
    #[test_case("[2001:DB8:0::1]", "[2001:db8::1]"; "an address of IPv6")]
    fn a_host_has_one_spelling(text: &str, expected: &str) {
        assert_eq!(Host::parse(text).unwrap().to_string(), expected);
    }

    #[test_case(""; "nothing")]
    #[test_case("."; "a dot")]
    #[test_case("a..b"; "an empty label")]
    #[test_case("example.com.."; "two dots at the end")]
    #[test_case("a b"; "a space")]
    #[test_case("a%20b"; "an encoded space")]
    #[test_case("a%2fb"; "an encoded slash")]
    #[test_case("user@host"; "a user")]
    #[test_case("host\\evil"; "a backslash")]
    #[test_case("[fe80::1%eth0]"; "a zone")]
    #[test_case("::1"; "no brackets")]
    #[test_case("1.2.3.256"; "not an address")]
    #[test_case("1.2.3.4.5"; "too many numbers")]
    #[test_case("*.example.com"; "a pattern")]
    fn what_is_no_host_is_refused(text: &str) {
        assert_eq!(Host::parse(text), Err(InvalidHost));
    }

    #[test]
    fn a_label_has_at_most_63_letters() {
        assert!(Host::parse(&"a".repeat(63)).is_ok());
        assert!(Host::parse(&"a".repeat(64)).is_err());
    }

    #[test_case("https://example.com", "https://example.com")]
    #[test_case("HTTPS://example.com:443/", "https://example.com")]
    #[test_case("http://[::1]:8080", "http://[::1]:8080")]
    fn an_origin_has_one_spelling(text: &str, expected: &str) {
        assert_eq!(Origin::parse(text).unwrap().to_string(), expected);
    }

    #[test_case("example.com")]
    #[test_case("ftp://example.com")]
    #[test_case("https://example.com/path")]
    #[test_case("https://example.com?query")]
    #[test_case("https://user@example.com")]
    #[test_case("https://example.com:0")]
    #[test_case("https://example.com:")]
    #[test_case("https://example.com:65536")]
    #[test_case("https://*.example.com")]
    fn what_is_no_origin_is_refused(text: &str) {
        assert_eq!(Origin::parse(text), Err(InvalidOrigin));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(text in any::<String>()) {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
        }

        #[test]
        fn every_address_reads_back(address in any::<IpAddr>()) {
            let host = Host::from(address);
            prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
        }
    }
}
