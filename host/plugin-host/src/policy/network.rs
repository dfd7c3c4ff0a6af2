//! Networks of addresses, and which of them no plugin reaches unless the operator names them.
//!
//! Only what the registries call globally reachable is left open, so a range that somebody reserves tomorrow is closed today. An
//! address that carries an IPv4 address in itself is judged by both, and the worse one decides: a gateway or the system may send to
//! the inner one. What cannot be seen is a gateway with a prefix of its own among the world's addresses (RFC 6052 allows that).

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

/// Why an address is not reached, the worst at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blocked {
    /// Not in use, or in use for documents, tests and protocols only.
    Reserved,
    /// A network inside: of a house, a company, a carrier, a virtual machine.
    Private,
    /// The cable.
    LinkLocal,
    /// This machine.
    Loopback,
    /// Where clouds hand out the credentials of the machine. Named by a network of its own or not at all: a wide network that
    /// happens to hold it does not mean it.
    Metadata,
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
///
/// An inner address that is worse than what is around it is not allowed by naming the outside: a network that means it goes on into
/// the bits of the inner address.
pub fn blocked(address: IpAddr, granted: &[Network]) -> Option<Blocked> {
    let address = address.to_canonical();
    let outer = match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    };
    let inner = match address {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(address) => inner_addresses(address),
    };
    let worse = inner.into_iter().filter_map(|(at, inner)| {
        let class = class_v4(inner).filter(|class| Some(*class) > outer)?;
        Some((class, at + 1))
    });
    let is_named = |class: Blocked, bits: u8| {
        class.can_be_allowed()
            && granted.iter().any(|network| {
                network.contains(address)
                    && network.bits >= bits
                    && (class != Blocked::Metadata || network.is_single())
            })
    };
    let all = outer.map(|class| (class, 0)).into_iter().chain(worse);
    all.filter(|(class, bits)| !is_named(*class, *bits))
        .map(|(class, _)| class)
        .max()
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

/// What an IPv4 address is for, if it is not the whole world's.
fn class_v4(address: Ipv4Addr) -> Option<Blocked> {
    let found = RANGES_V4.iter().find(|(first, bits, _)| {
        Network::of(Ipv4Addr::from(*first).into(), *bits).contains(address.into())
    });
    found.map(|(_, _, class)| *class)
}

/// Likewise for IPv6, whatever it carries.
fn class_v6(address: Ipv6Addr) -> Option<Blocked> {
    let is_in = |(first, bits, _): &RangeV6| {
        Network::of(Ipv6Addr::from(*first).into(), *bits).contains(address.into())
    };
    let found = RANGES_V6.iter().find(|range| is_in(range));
    found
        .map(|(_, _, class)| *class)
        .or_else(|| (!is_in(&GLOBAL) && !is_in(&TRANSLATED)).then_some(Blocked::Reserved))
}

/// The IPv4 addresses to which an IPv6 address may lead, and behind how many bits each begins: compatible, SIIT, NAT64, 6to4, Teredo
/// (server and client), ISATAP.
fn inner_addresses(address: Ipv6Addr) -> Vec<(u8, Ipv4Addr)> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match s {
        // Nobody's and this machine's, which carry nothing.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => vec![(96, v4(high, low))],
        [0x64, 0xff9b, 1, ..] => locally_translated(address),
        [0x2001, 0, server_high, server_low, .., high, low] => {
            vec![(32, v4(server_high, server_low)), (96, v4(!high, !low))]
        }
        [0x2002, high, low, ..] => vec![(16, v4(high, low))],
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => vec![(96, v4(high, low))],
        _ => Vec::new(),
    }
}

/// NAT64 inside a network (RFC 8215): how long the gateway's prefix is cannot be seen, so every length counts that fits (RFC 6052).
/// A reading with a zero in front is none: no gateway sends there, and it is what the wrong lengths give.
fn locally_translated(address: Ipv6Addr) -> Vec<(u8, Ipv4Addr)> {
    let octets = address.octets();
    // Octet 8 is left out by all of them.
    let readings = [
        (48, [6, 7, 9, 10]),
        (56, [7, 9, 10, 11]),
        (64, [9, 10, 11, 12]),
        (96, [12, 13, 14, 15]),
    ];
    let readings = readings.map(|(at, places)| (at, Ipv4Addr::from(places.map(|at| octets[at]))));
    let is_real = |(_, inner): &(u8, Ipv4Addr)| inner.octets()[0] != 0;
    readings.into_iter().filter(is_real).collect()
}

#[cfg(test)]
mod tests;
