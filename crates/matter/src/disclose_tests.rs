//! The rules as tables, and non-interference as a property.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::register::Unit;
use crate::tests::book;

fn city() -> Book {
    let mut book = book();
    for (id, sector, net, named) in [
        ("bank-a", "finance", "10.1.0.0/16", false),
        ("bank-b", "finance", "10.2.0.0/16", false),
        ("bank-c", "finance", "10.3.0.0/16", false),
        ("grid", "power", "10.4.0.0/16", false),
        ("metro", "transport", "10.5.0.0/16", true),
        ("telco", "telecom", "10.6.0.0/16", false),
    ] {
        let unit =
            Unit {
                id: id.into(), name: format!("单位 {id}"), sector: sector.into(), networks: vec![net.into()], named, ..Unit::default()
            };
        book.units.insert(id.into(), unit);
    }
    book
}

/// Read once for the many cases of a property.
static CITY: LazyLock<Book> = LazyLock::new(city);

fn set(units: &[&str]) -> BTreeSet<String> {
    units.iter().map(|u| (*u).to_owned()).collect()
}

const T: Timestamp = Timestamp::from_secs(1_800_000_000);

#[test]
fn tlp_decides_first() {
    use Need::{Concerned, Matching, None};
    // TLP, need, addressed: may learn.
    for (tlp, need, addressed, may) in [
        (Tlp::Clear, None, false, true),
        (Tlp::Green, None, false, true),
        (Tlp::Amber, None, false, false),
        (Tlp::Amber, Matching, false, true),
        (Tlp::Amber, Concerned, false, true),
        (Tlp::Amber, None, true, true),
        (Tlp::AmberStrict, Matching, false, false),
        (Tlp::AmberStrict, Matching, true, true),
        (Tlp::AmberStrict, Concerned, false, true),
        (Tlp::AmberStrict, None, true, false),
        (Tlp::Red, Concerned, false, false),
        (Tlp::Red, Matching, false, false),
        (Tlp::Red, None, true, true),
    ] {
        assert_eq!(may_learn(tlp, need, addressed), may, "{tlp:?} {need:?} {addressed}");
    }
}

#[test]
fn a_sector_is_named_from_three_units_on_or_with_consent() {
    let book = city();
    for (victims, named) in [
        (&["bank-a"][..], &[][..]),
        (&["bank-a", "bank-b"], &[]),
        (&["bank-a", "bank-b", "bank-c"], &["finance"]),
        (&["bank-a", "bank-b", "grid"], &[]),
        (&["metro"], &["transport"]),
        (&["bank-a", "bank-b", "bank-c", "grid", "metro"], &["finance", "transport"]),
        (&["nobody-knows"], &[]),
        (&["bank-a", "bank-a", "bank-a"], &[]),
    ] {
        assert_eq!(sectors_named(&book, victims), named, "{victims:?}");
    }
}

#[test]
fn pseudonyms_hold_within_a_campaign_and_nowhere_else() {
    let (key, other) = ([7; 32], [8; 32]);
    let one = pseudonym(&key, "C1", "bank-a");
    assert_eq!(one, pseudonym(&key, "C1", "bank-a"));
    assert_ne!(one, pseudonym(&key, "C2", "bank-a"), "rotated by campaign");
    assert_ne!(one, pseudonym(&key, "C1", "bank-b"));
    assert_ne!(one, pseudonym(&other, "C1", "bank-a"), "nobody without the key can try names");
    assert_ne!(pseudonym(&key, "C", "1bank"), pseudonym(&key, "C1", "bank"));
    assert!(!one.contains("bank"));
}

#[test]
fn victims_addresses_are_masked_and_attackers_are_not() {
    let book = city();
    for (text, want) in [
        ("10.1.2.3 talks to 203.0.113.9", "10.1.2.x talks to 203.0.113.9"),
        ("seen on 10.4.9.9.", "seen on 10.4.9.x."),
        ("主机10.5.1.1，来源198.51.100.7", "主机10.5.1.x，来源198.51.100.7"),
        ("no address, only words: dead.beef", "no address, only words: dead.beef"),
        ("", ""),
    ] {
        assert_eq!(mask_text(&book, "telco", text), want);
        assert_eq!(mask_all(text), mask_all(want), "which addresses are masked changes nothing of what two texts share");
    }
    assert_eq!(mask_text(&book, "bank-a", "10.1.2.3 and 10.2.2.3"), "10.1.2.3 and 10.2.2.x", "a unit reads its own whole");
    assert_eq!((masked("2001:db8:1:2::9").as_str(), masked("host").as_str()), ("2001:db8:1::x", "x"));
}

#[test]
fn own_hosts_match_by_address_network_name_and_hash() {
    let indicator = |t: &str, v: &str| Indicator { r#type: t.into(), value: v.into() };
    let all = [
        indicator("ipv4-addr", "203.0.113.9"),
        indicator("ipv4-addr", "198.51.100.0/24"),
        indicator("domain-name", "evil.example"),
        indicator("file:hashes.SHA-256", "ABCD"),
    ];
    for (value, hit) in [
        ("203.0.113.9", Some("203.0.113.9")),
        ("203.0.113.10", None),
        ("198.51.100.77", Some("198.51.100.0/24")),
        ("c2.evil.example", Some("evil.example")),
        ("EVIL.example.", Some("evil.example")),
        ("notevil.example", None),
        ("abcd", Some("ABCD")),
        ("", None),
    ] {
        let own = [Own { host: "pc-1".into(), alert: "A1".into(), values: vec![value.into()], time: None }];
        let (found, beyond) = matching(&all, &own);
        assert_eq!((found.first().map(|m| m.indicator.as_str()), beyond), (hit, 0), "{value}");
    }
}

#[test]
fn a_unit_learns_when_and_which_of_its_own_hosts() {
    let book = city();
    let indicators = [Indicator { r#type: "ipv4-addr".into(), value: "203.0.113.9".into() }];
    let known = Known {
        case: "C1",
        tlp: Tlp::Amber,
        victims: set(&["bank-a", "grid"]),
        recipients: BTreeSet::new(),
        indicators: &indicators,
        first: Some(T.plus_secs(-42 * 60)),
    };
    let own = [Own { host: "pay-7".into(), alert: "A9".into(), values: vec!["203.0.113.9".into()], time: Some(T) }];
    let told = for_unit(&book, &known, "telco", &own, T).unwrap();
    assert_eq!((told.elsewhere_min, told.hosts.len(), told.sectors.len(), told.others.len()), (Some(42), 1, 0, 2));
    let text = serde_json::to_string(&told).unwrap();
    assert!(!text.contains("bank-a") && !text.contains("grid") && !text.contains("finance") && !text.contains("power"), "{text}");
    assert_eq!(told.text.en, "first seen in another unit 42 minutes ago; 1 of your own hosts match the indicators");
    assert_eq!(for_unit(&book, &known, "telco", &[], T), None, "amber without a need to know");
    let green = Known { tlp: Tlp::Green, ..known };
    let calm = for_unit(&book, &green, "telco", &[], T).unwrap();
    assert_eq!((calm.elsewhere_min, calm.others.len(), calm.hosts.len()), (None, 0, 0));
}

proptest! {
    /// Whoever else was hit, whatever was seen there: a unit that is neither concerned nor matching gets the same bytes.
    #[test]
    fn others_data_changes_no_byte_for_a_unit_that_is_not_concerned(
        victims in proptest::collection::btree_set("(bank-[abc]|grid|metro)", 0..5),
        minutes in 0i64..10_000,
        tlp in 0usize..5,
    ) {
        let book = &*CITY;
        let indicators = [Indicator { r#type: "ipv4-addr".into(), value: "203.0.113.9".into() }];
        let tlp = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red][tlp];
        let own = [Own { host: "pc".into(), alert: "A1".into(), values: vec!["192.0.2.1".into()], time: Some(T) }];
        let known = |victims: BTreeSet<String>, minutes: i64| {
            let known = Known { case: "C1", tlp, victims, recipients: BTreeSet::new(), indicators: &indicators, first: Some(T.plus_secs(-60 * minutes)) };
            serde_json::to_vec(&for_unit(book, &known, "telco", &own, T)).unwrap()
        };
        prop_assert_eq!(known(victims, minutes), known(BTreeSet::new(), 0));
    }

    /// No name of a unit that did not agree ever stands in what another is given.
    #[test]
    fn no_name_gets_out(victims in proptest::collection::btree_set("(bank-[abc]|grid|metro)", 1..5)) {
        let book = &*CITY;
        let indicators = [Indicator { r#type: "domain-name".into(), value: "evil.example".into() }];
        let own = [Own { host: "pc".into(), alert: "A1".into(), values: vec!["evil.example".into()], time: Some(T) }];
        let known = Known { case: "C1", tlp: Tlp::Green, victims: victims.clone(), recipients: BTreeSet::new(), indicators: &indicators, first: Some(T) };
        let told = serde_json::to_string(&for_unit(book, &known, "telco", &own, T)).unwrap();
        for victim in victims.iter().filter(|v| *v != "metro") {
            prop_assert!(!told.contains(victim.as_str()), "{} in {}", victim, told);
        }
    }

    /// Any text at all: never a panic, and never an address of a victim left whole.
    #[test]
    fn any_text_can_be_masked(text in "\\PC{0,80}", last in 0u8..=255) {
        let out = mask_text(&CITY, "telco", &format!("{text} 10.1.77.{last} {text}"));
        let whole = format!(" 10.1.77.{last} ");
        prop_assert!(!out.contains(&whole), "{}", out);
    }
}
