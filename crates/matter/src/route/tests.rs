use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::register::{Asset, Declared, Object, Unit};

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

/// A book of nobody; the tables are read once.
fn empty() -> Book {
    static SHIPPED: LazyLock<Book> = LazyLock::new(crate::tests::book);
    let (tables, signer) = (SHIPPED.tables.clone(), SHIPPED.signer.clone());
    let (units, objects, assets) = Default::default();
    Book { tables, units, objects, assets, places: Default::default(), signer, flaws: std::sync::Arc::new(()), pseudonyms: [7; 32] }
}

/// power → data centre → bank core → bank app; telecom in a circle with power.
fn city() -> Book {
    let mut book = empty();
    for (id, sector, net, domain) in [
        ("grid", "power", "10.30.0.0/16", "grid.example"),
        ("idc", "telecom", "10.43.0.0/16", "idc.example"),
        ("telecom", "telecom", "10.40.0.0/16", "telecom.example"),
        ("bank", "finance", "10.10.0.0/16", "bank.example"),
        ("gas", "energy", "2001:db8:20::/48", "gas.example"),
    ] {
        let unit = Unit {
            id: id.into(),
            name: id.into(),
            sector: sector.into(),
            networks: strings(&[net]),
            domains: strings(&[domain]),
            ..Unit::default()
        };
        book.units.insert(id.into(), unit);
    }
    for (id, unit, needs) in [
        ("dispatch", "grid", &["backbone"][..]),
        ("hosting", "idc", &["dispatch"]),
        ("backbone", "telecom", &["dispatch"]),
        ("core", "bank", &["hosting"]),
        ("mobile-pay", "bank", &["core"]),
        ("gas-scada", "gas", &[]),
    ] {
        book.objects
            .insert(id.into(), Object { id: id.into(), unit: unit.into(), name: id.into(), needs: strings(needs), ..Object::default() });
    }
    for (id, unit, object, net, host) in [
        ("scada", "grid", "dispatch", "10.30.2.0/24", None),
        ("web", "bank", "", "10.10.1.5", Some("bank-web01")),
        ("guest", "gas", "", "10.30.2.128/25", None),
    ] {
        let asset = Asset {
            id: id.into(),
            unit: unit.into(),
            object: object.into(),
            importance: 1,
            networks: strings(&[net]),
            hostname: host.map(str::to_owned),
            ..Asset::default()
        };
        book.assets.insert(id.into(), asset);
    }
    book
}

/// `unit: rule@distance path` of every reason.
fn told(concern: &Concern) -> Vec<String> {
    let mut out = Vec::new();
    for routed in concerned(&city(), concern) {
        for why in &routed.why {
            assert!(RULES.contains(&why.rule.as_str()) && !why.text.zh.is_empty() && !why.text.en.is_empty());
            out.push(format!("{}: {}@{} {}", routed.unit, why.rule, why.distance, why.path.join(">")));
        }
    }
    out
}

#[test]
fn each_kind_of_relation_finds_its_units_and_says_why() {
    let indicator = |t: &str, v: &str| Concern { indicators: vec![Indicator { r#type: t.into(), value: v.into() }], ..Concern::default() };
    let address = |a: &str| Concern { addresses: strings(&[a]), ..Concern::default() };
    let domain = |d: &str| Concern { domains: strings(&[d]), ..Concern::default() };
    let cases: Vec<(&str, Concern, Vec<&str>)> = vec![
        ("nothing", Concern::default(), vec![]),
        ("a unit", Concern { units: strings(&["gas", "nobody"]), ..Concern::default() }, vec!["gas: named@0 gas"]),
        (
            "a sector",
            Concern { sectors: strings(&["telecom"]), ..Concern::default() },
            vec!["idc: sector@0 telecom>idc", "telecom: sector@0 telecom>telecom"],
        ),
        ("an address of a unit", address("10.10.9.9"), vec!["bank: network@0 10.10.9.9>bank"]),
        ("an address as IPv6", address("2001:db8:20::7"), vec!["gas: network@0 2001:db8:20::7>gas"]),
        ("an address of nobody", address("203.0.113.9"), vec![]),
        ("an asset without an object", address("10.10.1.5"), vec!["bank: address@0 10.10.1.5>web"]),
        ("the narrowest network decides", address("10.30.2.200"), vec!["gas: address@0 10.30.2.200>guest"]),
        (
            "an asset of an object others need",
            address("10.30.2.7"),
            vec![
                "bank: dependency@2 dispatch>hosting>core",
                "bank: dependency@3 dispatch>hosting>core>mobile-pay",
                "grid: address@0 10.30.2.7>scada",
                "grid: object@0 10.30.2.7>scada>dispatch",
                "idc: dependency@1 dispatch>hosting",
                "telecom: dependency@1 dispatch>backbone",
            ],
        ),
        (
            "a network holds what lies inside it",
            address("10.10.0.0/15"),
            vec!["bank: address@0 10.10.0.0/15>web", "bank: network@0 10.10.0.0/15>bank"],
        ),
        ("a network inside a unit's", address("10.40.1.0/24"), vec!["telecom: network@0 10.40.1.0/24>telecom"]),
        ("a domain", domain("www.bank.example"), vec!["bank: domain@0 www.bank.example>bank.example>bank"]),
        ("a domain that ends alike", domain("notbank.example"), vec![]),
        ("an indicator address", indicator("ipv4-addr", "10.10.9.9"), vec!["bank: network@0 10.10.9.9>bank"]),
        ("an indicator name", indicator("domain-name", "x.gas.example"), vec!["gas: domain@0 x.gas.example>gas.example>gas"]),
        (
            "an indicator URL",
            indicator("url", "https://u:p@mail.bank.example:8443/a?b@gas.example"),
            vec!["bank: domain@0 https://u:p@mail.bank.example:8443/a?b@gas.example>bank.example>bank"],
        ),
        (
            "an indicator URL with an address",
            indicator("url", "http://[2001:db8:20::1]:80/"),
            vec!["gas: network@0 http://[2001:db8:20::1]:80/>gas"],
        ),
        ("an indicator mailbox", indicator("email-addr", "x@bank.example"), vec!["bank: domain@0 x@bank.example>bank.example>bank"]),
        ("a hash touches nobody", indicator("file:hashes.SHA-256", "bank.example"), vec![]),
        ("a host", Concern { hosts: strings(&["BANK-WEB01"]), ..Concern::default() }, vec!["bank: asset@0 BANK-WEB01>web"]),
        ("an asset", Concern { assets: strings(&["guest", "none"]), ..Concern::default() }, vec!["gas: asset@0 guest"]),
        (
            "an object at the end",
            Concern { objects: strings(&["core"]), ..Concern::default() },
            vec!["bank: object@0 core", "bank: dependency@1 core>mobile-pay"],
        ),
        (
            "only who needs it directly",
            Concern { objects: strings(&["backbone"]), hops: Some(1), ..Concern::default() },
            vec!["grid: dependency@1 backbone>dispatch", "telecom: object@0 backbone"],
        ),
        (
            "nobody who needs it",
            Concern { objects: strings(&["backbone"]), hops: Some(0), ..Concern::default() },
            vec!["telecom: object@0 backbone"],
        ),
        (
            "a circle ends",
            Concern { objects: strings(&["backbone"]), ..Concern::default() },
            vec![
                "bank: dependency@3 backbone>dispatch>hosting>core",
                "bank: dependency@4 backbone>dispatch>hosting>core>mobile-pay",
                "grid: dependency@1 backbone>dispatch",
                "idc: dependency@2 backbone>dispatch>hosting",
                "telecom: object@0 backbone",
            ],
        ),
    ];
    for (name, concern, expected) in cases {
        assert_eq!(told(&concern), expected, "{name}");
    }
}

#[test]
fn a_question_that_asks_too_much_or_nonsense_is_refused() {
    assert_eq!(Concern { addresses: strings(&["10.0.0.1", "::1", "10.0.0.0/8"]), ..Concern::default() }.check(), Ok(()));
    let bad = Concern { addresses: strings(&["10.0.0"]), ..Concern::default() }.check().unwrap_err();
    assert!(bad.to_string().contains("'10.0.0' is no address"), "{bad}");
    assert!(concerned(&city(), &Concern { addresses: strings(&["10.0.0"]), ..Concern::default() }).is_empty());
    let many = Concern { units: vec!["x".into(); TERMS_MAX + 1], ..Concern::default() };
    assert!(many.check().is_err());
}

#[test]
fn reasons_beyond_the_limit_are_counted_and_far_dependents_are_left_out() {
    let mut book = city();
    for n in 0..WHY_MAX + 5 {
        let id = format!("dep-{n:03}");
        book.objects.insert(id.clone(), Object { id, unit: "gas".into(), needs: strings(&["hosting"]), ..Object::default() });
    }
    for n in 0..20 {
        let need = if n == 0 { "core".to_owned() } else { format!("far-{:02}", n - 1) };
        let id = format!("far-{n:02}");
        book.objects.insert(id.clone(), Object { id, unit: "telecom".into(), needs: vec![need], ..Object::default() });
    }
    let found = concerned(&book, &Concern { objects: strings(&["hosting", "core"]), ..Concern::default() });
    let gas = found.iter().find(|r| r.unit == "gas").unwrap();
    assert_eq!((gas.why.len(), gas.more), (WHY_MAX, 5));
    let telecom = found.iter().find(|r| r.unit == "telecom").unwrap();
    assert_eq!(telecom.why.iter().map(|w| w.distance).max(), Some(HOPS_MAX));
}

/// The same question answered by looking at everything, without an index.
fn plain(book: &Book, concern: &Concern) -> BTreeSet<String> {
    let mut units = BTreeSet::new();
    let mut objects: BTreeSet<String> = concern.objects.iter().filter(|o| book.objects.contains_key(*o)).cloned().collect();
    let mut assets: BTreeSet<String> = concern.assets.iter().cloned().collect();
    for address in &concern.addresses {
        let one: std::net::Ipv4Addr = address.parse().unwrap();
        let holds = |text: &String| {
            let (base, bits) = text.split_once('/').unwrap();
            let (base, bits): (std::net::Ipv4Addr, u32) = (base.parse().unwrap(), bits.parse().unwrap());
            let shift = 32 - bits;
            (u64::from(base.to_bits()) >> shift == u64::from(one.to_bits()) >> shift).then_some(bits)
        };
        let of_assets = book.assets.values().flat_map(|a| a.networks.iter().filter_map(holds).map(|b| (b, Some(&a.id), &a.unit)));
        let of_units = book.units.values().flat_map(|u| u.networks.iter().filter_map(holds).map(|b| (b, None, &u.id)));
        let all: Vec<_> = of_assets.chain(of_units).collect();
        let best = all.iter().map(|(bits, ..)| *bits).max();
        for (_, asset, unit) in all.iter().filter(|(bits, ..)| Some(*bits) == best) {
            units.insert((*unit).clone());
            assets.extend(asset.iter().map(|a| (*a).clone()));
        }
    }
    for domain in &concern.domains {
        let owned = |d: &String| *domain == *d || domain.ends_with(&format!(".{d}"));
        let best = book.units.values().flat_map(|u| &u.domains).filter(|d| owned(d)).max_by_key(|d| d.len()).cloned();
        units.extend(book.units.values().filter(|u| best.as_ref().is_some_and(|b| u.domains.contains(b))).map(|u| u.id.clone()));
    }
    for asset in book.assets.values().filter(|a| assets.contains(&a.id)) {
        units.insert(asset.unit.clone());
        objects.extend(book.objects.contains_key(&asset.object).then(|| asset.object.clone()));
    }
    units
        .extend(book.units.values().filter(|u| concern.sectors.contains(&u.sector) || concern.units.contains(&u.id)).map(|u| u.id.clone()));
    for _ in 0..HOPS_MAX {
        let more: Vec<String> =
            book.objects.values().filter(|o| o.needs.iter().any(|n| objects.contains(n))).map(|o| o.id.clone()).collect();
        objects.extend(more);
    }
    units.extend(book.objects.values().filter(|o| objects.contains(&o.id)).map(|o| o.unit.clone()));
    units.retain(|u| book.units.contains_key(u));
    units
}

fn pick(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(names).prop_map(str::to_owned)
}
const UNITS: &[&str] = &["u0", "u1", "u2", "u3", "u4"];
const OBJECTS: &[&str] = &["o0", "o1", "o2", "o3", "o4", "o5"];
const NETS: &[&str] = &["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.2.0.0/16", "192.168.0.0/16", "0.0.0.0/0"];
const DOMAINS: &[&str] = &["a.example", "b.a.example", "c.example"];

prop_compose! {
    fn a_register()(
        units in proptest::collection::vec((proptest::sample::select(&["s0", "s1", "s2"][..]), proptest::collection::vec(pick(NETS), 0..2), proptest::collection::vec(pick(DOMAINS), 0..2)), 5),
        objects in proptest::collection::vec((pick(UNITS), proptest::collection::vec(pick(OBJECTS), 0..3)), 6),
        assets in proptest::collection::vec((pick(UNITS), pick(OBJECTS), any::<bool>(), proptest::collection::vec(pick(NETS), 0..2)), 0..5),
    ) -> Declared {
        let mut book = Declared::default();
        for (n, (sector, networks, domains)) in units.into_iter().enumerate() {
            book.units.insert(format!("u{n}"), Unit { id: format!("u{n}"), sector: sector.into(), networks, domains, ..Unit::default() });
        }
        for (n, (unit, needs)) in objects.into_iter().enumerate() {
            book.objects.insert(format!("o{n}"), Object { id: format!("o{n}"), unit, needs, ..Object::default() });
        }
        for (n, (unit, object, bound, networks)) in assets.into_iter().enumerate() {
            let object = if bound { object } else { String::new() };
            book.assets.insert(format!("a{n}"), Asset { id: format!("a{n}"), unit, object, importance: 1, networks, ..Asset::default() });
        }
        book
    }
}

proptest! {
    #[test]
    fn a_unit_is_told_exactly_if_something_relates_to_it(
        register in a_register(),
        addresses in proptest::collection::vec(proptest::sample::select(&["10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "192.168.1.1", "203.0.113.1"][..]), 0..2),
        domains in proptest::collection::vec(proptest::sample::select(&["a.example", "x.b.a.example", "example", "za.example", "c.example"][..]), 0..2),
        objects in proptest::collection::vec(proptest::sample::select(&["o0", "o3", "none"][..]), 0..2),
        assets in proptest::collection::vec(proptest::sample::select(&["a0", "a3", "none"][..]), 0..2),
        sectors in proptest::collection::vec(proptest::sample::select(&["s0", "none"][..]), 0..1),
    ) {
        let book = Book { units: register.units, objects: register.objects, assets: register.assets, ..empty() };
        let own = |list: Vec<&str>| strings(&list);
        let concern = Concern { addresses: own(addresses), domains: own(domains), objects: own(objects), assets: own(assets), sectors: own(sectors), ..Concern::default() };
        let found = concerned(&book, &concern);
        let units: BTreeSet<String> = found.iter().map(|r| r.unit.clone()).collect();
        prop_assert_eq!(&units, &plain(&book, &concern));
        prop_assert!(found.iter().all(|r| !r.why.is_empty()));
        prop_assert_eq!(concerned(&book, &concern), found);
    }
}
