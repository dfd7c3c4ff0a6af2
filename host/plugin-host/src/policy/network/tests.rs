use super::*;
use proptest::prelude::*;
use test_case::test_case;

fn network(text: &str) -> Network {
    Network::parse(text).unwrap()
}

#[test_case("10.2.0.0/16", "10.2.0.0/16"; "a network")]
#[test_case("10.2.3.4", "10.2.3.4/32"; "an address")]
#[test_case("fd00::/8", "fd00::/8"; "a network of IPv6")]
#[test_case("0.0.0.0/0", "0.0.0.0/0"; "everything")]
#[test_case("::ffff:10.2.0.0/112", "10.2.0.0/16"; "a mapped network")]
#[test_case("::/0", "::/0"; "everything of IPv6")]
fn a_network_is_read(text: &str, expected: &str) {
    assert_eq!(network(text).to_string(), expected);
}

#[test_case("", "not a network"; "nothing")]
#[test_case("10.2", "not a network"; "a short address")]
#[test_case("10.2.0.0/33", "not a network"; "too many bits")]
#[test_case("10.2.0.0/016", "not a network"; "a leading zero")]
#[test_case("10.2.0.0/+8", "not a network"; "a sign")]
#[test_case("10.2.0.0/", "not a network"; "no bits")]
#[test_case("010.2.0.0/16", "not a network"; "perhaps octal")]
#[test_case("localhost", "not a network"; "a name")]
#[test_case("10.2.3.4/16", "the address of a host in a network"; "set bits")]
fn what_is_no_network_is_refused(text: &str, message: &str) {
    let fault = Network::parse(text).unwrap_err();
    assert!(fault.message.contains(message), "{fault:?}");
}

#[test]
fn a_slip_gets_a_suggestion() {
    let fault = Network::parse("10.2.3.4/16").unwrap_err();
    assert_eq!(fault.help, ["did you mean `10.2.0.0/16` or `10.2.3.4`?"]);
}

#[test_case("8.8.8.8", None)]
#[test_case("1.1.1.1", None)]
#[test_case("2606:4700::1111", None)]
#[test_case("172.32.0.1", None; "behind the private network")]
#[test_case("100.128.0.1", None; "behind the carriers")]
#[test_case("64:ff9b::8.8.8.8", None; "a public address, translated")]
#[test_case("2002:808:808::1", None; "a public address in 6to4")]
#[test_case("0.0.0.0", Some(Blocked::NoHost))]
#[test_case("0.1.2.3", Some(Blocked::NoHost))]
#[test_case("10.255.0.1", Some(Blocked::Private))]
#[test_case("100.64.0.1", Some(Blocked::Private))]
#[test_case("127.255.255.254", Some(Blocked::Loopback))]
#[test_case("169.254.1.1", Some(Blocked::LinkLocal))]
#[test_case("169.254.169.254", Some(Blocked::Metadata))]
#[test_case("168.63.129.16", Some(Blocked::Metadata))]
#[test_case("172.31.255.255", Some(Blocked::Private))]
#[test_case("192.168.1.1", Some(Blocked::Private))]
#[test_case("198.19.0.1", Some(Blocked::Reserved))]
#[test_case("203.0.113.7", Some(Blocked::Reserved))]
#[test_case("224.0.0.1", Some(Blocked::NoHost))]
#[test_case("240.0.0.1", Some(Blocked::Reserved))]
#[test_case("255.255.255.255", Some(Blocked::NoHost))]
#[test_case("::", Some(Blocked::NoHost))]
#[test_case("::1", Some(Blocked::Loopback))]
#[test_case("::127.0.0.1", Some(Blocked::Loopback); "compatible")]
#[test_case("::8.8.8.8", Some(Blocked::Reserved); "compatible and public")]
#[test_case("::ffff:169.254.169.254", Some(Blocked::Metadata); "mapped")]
#[test_case("::ffff:0:127.0.0.1", Some(Blocked::Loopback); "translated by SIIT")]
#[test_case("fd00::5efe:169.254.169.254", Some(Blocked::Metadata); "ISATAP in a private network")]
#[test_case("64:ff9b:1::169.254.169.254", Some(Blocked::Metadata); "local NAT64 of metadata")]
#[test_case("64:ff9b:1:a9fe:a9:fe00::", Some(Blocked::Metadata); "local NAT64 with 48 bits")]
#[test_case("64:ff9b:1:00a9:fe:a9fe::", Some(Blocked::Metadata); "local NAT64 with 56 bits")]
#[test_case("64:ff9b:1:0:a9:fea9:fe00::", Some(Blocked::Metadata); "local NAT64 with 64 bits")]
#[test_case("64:ff9b::10.0.0.1", Some(Blocked::Private); "NAT64")]
#[test_case("64:ff9b:1::8.8.8.8", Some(Blocked::Private); "local NAT64")]
#[test_case("2002:7f00:1::", Some(Blocked::Loopback); "6to4")]
#[test_case("2001:0:808:808::80ff:fffe", Some(Blocked::Loopback); "Teredo client")]
#[test_case("2001:0:a00:1::f7f7:f7f7", Some(Blocked::Private); "Teredo server")]
#[test_case("2606:4700::5efe:127.0.0.1", Some(Blocked::Loopback); "ISATAP")]
#[test_case("fe80::1", Some(Blocked::LinkLocal))]
#[test_case("fec0::1", Some(Blocked::Private))]
#[test_case("fd00::1", Some(Blocked::Private))]
#[test_case("fd00:ec2::254", Some(Blocked::Metadata))]
#[test_case("ff02::1", Some(Blocked::NoHost))]
#[test_case("2001:db8::1", Some(Blocked::Reserved))]
#[test_case("100::1", Some(Blocked::Reserved); "discarded")]
#[test_case("5f00::1", Some(Blocked::Reserved); "segment routing")]
fn an_address_is_for_the_world_or_blocked(address: &str, expected: Option<Blocked>) {
    assert_eq!(blocked(address.parse().unwrap(), &[]), expected);
}

#[test_case("10.2.3.4", "10.2.0.0/16", true; "covered")]
#[test_case("10.3.3.4", "10.2.0.0/16", false; "beside")]
#[test_case("::ffff:10.2.3.4", "10.2.0.0/16", true; "mapped is the same")]
#[test_case("64:ff9b::10.2.3.4", "10.2.0.0/16", false; "translated is another")]
#[test_case("64:ff9b::10.2.3.4", "64:ff9b::a02:0/112", true; "translated and named")]
#[test_case("127.0.0.1", "127.0.0.1", true; "this machine can be named")]
#[test_case("169.254.169.254", "169.254.0.0/16", false; "metadata in a wide network")]
#[test_case("169.254.169.254", "0.0.0.0/0", false; "metadata in everything")]
#[test_case("169.254.169.254", "169.254.169.254", true; "metadata alone")]
#[test_case("64:ff9b::169.254.169.254", "64:ff9b::/96", false; "metadata translated")]
#[test_case("0.0.0.0", "0.0.0.0", false; "nobody")]
#[test_case("224.0.0.1", "224.0.0.0/4", false; "many")]
#[test_case("::", "::/0", false; "nobody of IPv6")]
#[test_case("10.2.3.4", "::/0", false; "the other family")]
#[test_case("fd00::5efe:8.8.8.8", "fd00::/8", true; "a public address inside")]
#[test_case("fd00::5efe:10.2.3.4", "fd00::/8", true; "one that is no worse inside")]
#[test_case("fd00::5efe:169.254.169.254", "fd00::/8", false; "metadata inside")]
#[test_case("fd00::5efe:169.254.169.254", "fd00::5efe:169.254.169.0/120", false; "metadata inside a narrow network")]
#[test_case("fd00::5efe:169.254.169.254", "fd00::5efe:169.254.169.254", true; "metadata inside, alone")]
#[test_case("fd00::5efe:127.0.0.1", "fd00::/8", false; "this machine inside")]
#[test_case("fd00::5efe:127.0.0.1", "fd00::5efe:0:0/96", false; "this machine inside a narrow network")]
#[test_case("fd00::5efe:127.0.0.1", "fd00::5efe:127.0.0.0/104", true; "this machine inside, named")]
#[test_case("fd00::5efe:224.0.0.1", "fd00::5efe:224.0.0.1", false; "many inside")]
#[test_case("64:ff9b::10.2.3.4", "64:ff9b::/96", false; "private translated, not named")]
#[test_case("64:ff9b:1::10.2.3.4", "64:ff9b:1::/48", true; "private in local NAT64")]
#[test_case("64:ff9b:1::127.0.0.1", "64:ff9b:1::/48", false; "this machine in local NAT64")]
#[test_case("64:ff9b:1::169.254.169.254", "64:ff9b:1::/48", false; "metadata in local NAT64")]
#[test_case("64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1::/48", false; "metadata in local NAT64 with 48 bits")]
#[test_case("2001:0:808:808::f5ff:fffe", "2001::/32", false; "a private Teredo client")]
#[test_case("::127.0.0.1", "::/8", false; "this machine, compatible")]
fn only_a_named_network_is_reached(address: &str, granted: &str, reached: bool) {
    assert_eq!(
        blocked(address.parse().unwrap(), &[network(granted)]).is_none(),
        reached
    );
}

/// What the standard library and the RFCs say, by other means than the tables.
fn is_special(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_unspecified()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || address == Ipv4Addr::new(168, 63, 129, 16)
}

/// Addresses of which many are special.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let first = prop_oneof![
        proptest::sample::select(vec![
            0, 10, 100, 127, 169, 172, 192, 198, 203, 224, 240, 255
        ]),
        any::<u8>(),
    ];
    let second = prop_oneof![
        proptest::sample::select(vec![0, 16, 18, 31, 51, 64, 88, 127, 168, 254]),
        any::<u8>(),
    ];
    let third = prop_oneof![
        Just(0),
        Just(2),
        Just(99),
        Just(100),
        Just(113),
        any::<u8>()
    ];
    (first, second, third, any::<u8>()).prop_map(|(a, b, c, d)| Ipv4Addr::new(a, b, c, d))
}

fn networks() -> impl Strategy<Value = Network> {
    (any::<IpAddr>(), any::<u8>())
        .prop_map(|(address, bits)| Network::of(address, bits % (width(address) + 1)))
}

proptest! {
    #[test]
    fn an_address_of_ipv4_is_open_exactly_if_it_is_not_special(address in v4()) {
        prop_assert_eq!(blocked(address.into(), &[]).is_some(), is_special(address), "{}", address);
    }

    #[test]
    fn an_address_is_blocked_in_every_shape(address in v4(), prefix in any::<[u16; 4]>(), other in any::<Ipv4Addr>()) {
        let inner = address.to_bits();
        let (high, low) = ((inner >> 16) as u16, inner as u16);
        let (server, client) = (other.to_bits(), !inner);
        let [p0, p1, p2, p3] = prefix;
        let shapes = [
            address.to_ipv6_mapped(),
            address.to_ipv6_compatible(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, p0, p1, p2, high, low),
            Ipv6Addr::new(0x2002, high, low, p0, p1, p2, p3, 1),
            Ipv6Addr::new(0x2001, 0, high, low, p0, p1, p2, p3),
            Ipv6Addr::new(0x2001, 0, (server >> 16) as u16, server as u16, p0, p1, (client >> 16) as u16, client as u16),
            Ipv6Addr::new(p0, p1, p2, p3, 0x200, 0x5efe, high, low),
        ];
        for shape in shapes {
            prop_assert!(blocked(shape.into(), &[]).is_some() || !is_special(address), "{} in {}", address, shape);
        }
    }

    #[test]
    fn a_wide_grant_opens_nothing_worse_inside(address in v4(), prefix in any::<[u16; 2]>()) {
        let inner = address.to_bits();
        let (high, low) = ((inner >> 16) as u16, inner as u16);
        let [p0, p1] = prefix;
        let granted = ["fc00::/7", "64:ff9b:1::/48"].map(network);
        let carriers = [
            Ipv6Addr::new(0xfd00, p0, p1, 0, 0, 0x5efe, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        ];
        let worse = class_v4(address).filter(|class| *class > Blocked::Private);
        // What begins with a zero is not taken for an address in local NAT64.
        prop_assert_eq!(blocked(carriers[0].into(), &granted), worse);
        if address.octets()[0] != 0 {
            prop_assert_eq!(blocked(carriers[1].into(), &granted), worse);
        }
    }

    #[test]
    fn what_ipv6_leaves_open_is_global_unicast_or_translated(address in any::<Ipv6Addr>()) {
        if blocked(address.into(), &[]).is_none() {
            let first = address.segments()[0];
            prop_assert!(address.to_canonical().is_ipv4() || (0x2000..0x4000).contains(&first) || first == 0x64);
            prop_assert!(!address.is_loopback() && !address.is_unicast_link_local() && !address.is_unique_local());
        }
    }

    #[test]
    fn a_grant_opens_nothing_outside_of_its_networks(address in any::<IpAddr>(), granted in proptest::collection::vec(networks(), 0..4)) {
        if blocked(address, &granted).is_none() && blocked(address, &[]).is_some() {
            prop_assert!(granted.iter().any(|network| network.contains(address)));
        }
    }

    #[test]
    fn what_is_printed_reads_back(network in networks()) {
        let read = Network::parse(&network.to_string()).unwrap();
        prop_assert!(read == network || network.first.to_canonical() != network.first);
        prop_assert!(read.contains(network.first));
    }
}
