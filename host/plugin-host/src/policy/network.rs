//! Networks of addresses, and which of them no plugin reaches unless the operator names them.
//!
//! Only what the registries call globally reachable is left open, so a range that somebody reserves tomorrow is closed today. An
//! address that carries an IPv4 address in itself is judged by both: a gateway or the system may send to the inner one.

use super::fault::{Fault, shown};
use piper_core::codes;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// All addresses with the same beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    /// The first address: all bits behind the prefix are zero.
    first: IpAddr,
    /// How many bits they have in common.
    bits: u8,
}

impl Network {
    /// Reads `10.2.0.0/16`, `fd00::/8`, or an address alone.
    ///
    /// # Errors
    ///
    /// When it is none, or when bits behind the prefix are set, which is mostly a slip.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |message: String, label: &str| {
            Fault::new(codes::BAD_NETWORK, message, 0..text.len(), label)
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(fault(
                format!("{} is not a network", shown(text)),
                "not an address",
            )
            .help("a network is `10.2.0.0/16` or `fd00::/8`; an address alone is one too"));
        };
        let width = width(address);
        let bits = match bits {
            None => Some(width),
            // Other readers take a leading zero or a sign for something else.
            Some(bits)
                if bits.len() > 1
                    && !bits.starts_with(|c: char| c.is_ascii_digit() && c != '0') =>
            {
                None
            }
            Some(bits) => bits.parse::<u8>().ok().filter(|bits| *bits <= width),
        };
        let Some(bits) = bits else {
            return Err(fault(
                format!("{} is not a network", shown(text)),
                "the number behind the slash is wrong",
            )
            .help(format!("it is from 0 to {width}")));
        };
        let network = Self::of(address, bits);
        if network.first != address {
            return Err(fault(
                format!("{} is the address of a host in a network", shown(text)),
                "bits behind the prefix are set",
            )
            .help(format!("did you mean `{network}` or `{address}`?")));
        }
        // The mapped address is the inner one to every system, and is compared as it.
        Ok(match (address, address.to_canonical()) {
            (IpAddr::V6(_), inner @ IpAddr::V4(_)) if bits >= 96 => Self::of(inner, bits - 96),
            _ => network,
        })
    }

    /// The network of this address alone.
    pub fn only(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self::of(address, width(address))
    }

    /// Whether it is one address.
    pub fn is_single(&self) -> bool {
        self.bits == width(self.first)
    }

    /// Whether the address is in it. A mapped address is in the networks of the address that it maps.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.first) && Self::of(address, self.bits) == *self
    }

    fn of(address: IpAddr, bits: u8) -> Self {
        let first = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Self { first, bits }
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Why an address is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blocked {
    /// This machine.
    Loopback,
    /// Where clouds hand out the credentials of the machine. Named by a network of its own or not at all: a wide network that
    /// happens to hold it does not mean it.
    Metadata,
    /// The cable.
    LinkLocal,
    /// A network inside: of a house, a company, a carrier, a virtual machine.
    Private,
    /// Not in use, or in use for documents, tests and protocols only.
    Reserved,
    /// Many at once, or nobody. Never reached.
    NoHost,
}

impl Blocked {
    /// Whether an operator can allow it by naming it.
    pub fn can_be_allowed(self) -> bool {
        self != Self::NoHost
    }

    fn words(self) -> &'static str {
        match self {
            Self::Loopback => "this machine itself",
            Self::Metadata => "a cloud's metadata service",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
            Self::Reserved => "reserved",
            Self::NoHost => "not the address of one host",
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Why the address is not reached by a plugin to which these networks were granted; nothing if it is.
pub fn blocked(address: IpAddr, granted: &[Network]) -> Option<Blocked> {
    let class = class(address)?;
    let named = granted.iter().any(|network| {
        network.contains(address) && (class != Blocked::Metadata || network.is_single())
    });
    (!(named && class.can_be_allowed())).then_some(class)
}

/// What an address is for, if it is not the whole world's.
fn class(address: IpAddr) -> Option<Blocked> {
    match address.to_canonical() {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    }
}

type RangeV4 = ([u8; 4], u8, Blocked);
type RangeV6 = ([u16; 8], u8, Blocked);

/// By the registry of special-purpose IPv4 addresses; the first that fits.
const RANGES_V4: &[RangeV4] = &[
    ([169, 254, 169, 254], 32, Blocked::Metadata), // AWS, Google, Azure and most others
    ([169, 254, 170, 2], 32, Blocked::Metadata),   // AWS, tasks
    ([169, 254, 170, 23], 32, Blocked::Metadata),  // AWS, pods
    ([100, 100, 100, 200], 32, Blocked::Metadata), // Alibaba
    ([192, 0, 0, 192], 32, Blocked::Metadata),     // Oracle
    ([168, 63, 129, 16], 32, Blocked::Metadata),   // Azure's host, of a public network
    ([0, 0, 0, 0], 8, Blocked::NoHost),            // Linux takes it for itself
    ([10, 0, 0, 0], 8, Blocked::Private),
    ([100, 64, 0, 0], 10, Blocked::Private), // carriers
    ([127, 0, 0, 0], 8, Blocked::Loopback),
    ([169, 254, 0, 0], 16, Blocked::LinkLocal),
    ([172, 16, 0, 0], 12, Blocked::Private),
    ([192, 0, 0, 0], 24, Blocked::Reserved),
    ([192, 0, 2, 0], 24, Blocked::Reserved),   // documents
    ([192, 88, 99, 0], 24, Blocked::Reserved), // relays of 6to4
    ([192, 168, 0, 0], 16, Blocked::Private),
    ([198, 18, 0, 0], 15, Blocked::Reserved),   // benchmarks
    ([198, 51, 100, 0], 24, Blocked::Reserved), // documents
    ([203, 0, 113, 0], 24, Blocked::Reserved),  // documents
    ([224, 0, 0, 0], 4, Blocked::NoHost),       // multicast
    ([255, 255, 255, 255], 32, Blocked::NoHost), // broadcast
    ([240, 0, 0, 0], 4, Blocked::Reserved),
];

/// By the registry of special-purpose IPv6 addresses; the first that fits. What fits none and is not `2000::/3` is reserved.
const RANGES_V6: &[RangeV6] = &[
    (
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
        128,
        Blocked::Metadata,
    ), // AWS
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128, Blocked::Metadata), // AWS, pods
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, Blocked::Metadata), // Google
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, Blocked::NoHost),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Blocked::Loopback),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Blocked::LinkLocal),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Blocked::Private), // site-local, given up but still routed by some
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Blocked::Private),  // unique local
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Blocked::NoHost),   // multicast
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Blocked::Private), // translation inside a network
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Blocked::Reserved), // protocols, Teredo, ORCHID
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Blocked::Reserved), // documents
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Blocked::Reserved), // documents
];

const GLOBAL: RangeV6 = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, Blocked::Reserved);

/// NAT64: the gateway sends to the inner address.
const TRANSLATED: RangeV6 = ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Blocked::Reserved);

fn class_v4(address: Ipv4Addr) -> Option<Blocked> {
    let found = RANGES_V4.iter().find(|(first, bits, _)| {
        Network::of(Ipv4Addr::from(*first).into(), *bits).contains(address.into())
    });
    found.map(|(_, _, class)| *class)
}

fn class_v6(address: Ipv6Addr) -> Option<Blocked> {
    let is_in = |(first, bits, _): &RangeV6| {
        Network::of(Ipv6Addr::from(*first).into(), *bits).contains(address.into())
    };
    let outer = RANGES_V6
        .iter()
        .find(|range| is_in(range))
        .map(|(_, _, class)| *class);
    // The outer class first: it says more of an address that is both.
    let outer =
        outer.or_else(|| (!is_in(&GLOBAL) && !is_in(&TRANSLATED)).then_some(Blocked::Reserved));
    let inner = inner_addresses(address)
        .into_iter()
        .flatten()
        .find_map(class_v4);
    match (outer, inner) {
        // An inner address that is worse than what is around it must not be allowed by naming the outside.
        (Some(Blocked::Reserved) | None, Some(inner)) => Some(inner),
        (outer, _) => outer,
    }
}

/// The IPv4 addresses to which an IPv6 address may lead: compatible, NAT64, 6to4, Teredo (server and client), ISATAP.
fn inner_addresses(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            [Some(v4(high, low)), None]
        }
        [0x2001, 0, server_high, server_low, .., high, low] => {
            [Some(v4(server_high, server_low)), Some(v4(!high, !low))]
        }
        [0x2002, high, low, ..] => [Some(v4(high, low)), None],
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => [Some(v4(high, low)), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests;
