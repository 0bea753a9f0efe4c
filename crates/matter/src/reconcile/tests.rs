use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn agent(n: u64, unit: &str, host: &str, addresses: &[&str]) -> Heard {
    Heard {
        agent: format!("{n:016x}"),
        unit: unit.into(),
        host: host.into(),
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        first_seen: Some(NOW.minus_ns(86_400 * event::SECOND_NS)),
        last_seen: Some(NOW.minus_ns(event::SECOND_NS)),
        ..Heard::default()
    }
}

fn asset(id: &str, unit: &str) -> Asset {
    Asset { id: id.into(), unit: unit.into(), importance: 1, ..Asset::default() }
}

fn assets(list: Vec<Asset>) -> BTreeMap<String, Asset> {
    list.into_iter().map(|a| (a.id.clone(), a)).collect()
}

fn said(found: &[Difference]) -> Vec<String> {
    let line = |d: &Difference| {
        let keys: Vec<String> = d.changes.iter().map(|c| format!(" {}:{}→{}", c.key, c.declared, c.heard)).collect();
        format!("{} {} {}{}", d.what.name(), d.unit, d.asset.as_deref().unwrap_or(&d.host), keys.concat())
    };
    found.iter().map(line).collect()
}

#[test]
fn an_agent_is_recognised_by_id_then_name_then_address_within_its_unit() {
    let declared = || {
        vec![
            Asset { agent: Some(format!("{:016x}", 1)), ..asset("by-id", "bank") },
            Asset { hostname: Some("Web1".into()), ..asset("by-name", "bank") },
            Asset { networks: vec!["10.1.2.0/24".into()], ..asset("by-net", "bank") },
            Asset { networks: vec!["10.1.2.9".into()], ..asset("by-address", "bank") },
        ]
    };
    let all = [
        agent(1, "bank", "x", &[]),
        agent(2, "bank", "WEB1", &[]),
        agent(3, "bank", "y", &["10.1.2.7"]),
        agent(4, "bank", "z", &["::1", "10.1.2.9"]),
    ];
    assert_eq!(differences(&assets(declared()), &all, NOW), []);
    let names = assets(declared());
    let units = ByUnit::of(&names);
    let found: Vec<&str> = all.iter().map(|h| units.asset_of(h).unwrap().id.as_str()).collect();
    assert_eq!(found, ["by-id", "by-name", "by-net", "by-address"]);
    // The same hosts enrolled for another unit are that unit's and declared nowhere.
    let strangers: Vec<Heard> = all.iter().map(|h| Heard { unit: "grid".into(), ..h.clone() }).collect();
    let found = differences(&assets(declared()), &strangers, NOW);
    assert_eq!(
        said(&found),
        ["silent bank by-id", "silent bank by-name", "unknown grid x", "unknown grid WEB1", "unknown grid y", "unknown grid z"]
    );
}

#[test]
fn what_is_heard_no_more_is_silent_since_then() {
    let declared = assets(vec![
        Asset { hostname: Some("a".into()), ..asset("a", "bank") },
        Asset { hostname: Some("b".into()), ..asset("b", "bank") },
        Asset { hostname: Some("c".into()), ..asset("c", "bank") },
        Asset { networks: vec!["10.9.0.0/16".into()], ..asset("plc-net", "bank") },
    ]);
    let last = NOW.minus_ns((SILENT_AFTER_S + 1) * event::SECOND_NS);
    let edge = NOW.minus_ns(SILENT_AFTER_S * event::SECOND_NS);
    let heard = [
        Heard { last_seen: Some(last), ..agent(1, "bank", "a", &[]) },
        Heard { last_seen: Some(edge), ..agent(2, "bank", "b", &[]) },
        Heard { revoked: true, ..agent(3, "bank", "c", &[]) },
        Heard { last_seen: None, first_seen: None, ..agent(4, "bank", "", &[]) },
    ];
    let found = differences(&declared, &heard, NOW);
    assert_eq!(said(&found), ["silent bank a", "silent bank c"]);
    assert_eq!((found[0].since, found[1].since), (Some(last), None));
    // Two agents of one asset: one that speaks is enough.
    let again = [heard[0].clone(), agent(9, "bank", "A", &[]), heard[1].clone(), agent(3, "bank", "c", &[])];
    assert_eq!(said(&differences(&declared, &again, NOW)), [] as [&str; 0]);
}

#[test]
fn a_host_that_is_not_as_declared_has_drifted() {
    let declared = Asset {
        agent: Some(format!("{:016x}", 1)),
        hostname: Some("db1".into()),
        networks: vec!["10.1.0.0/16".into(), "192.0.2.5".into()],
        os: "Debian GNU/Linux 12".into(),
        ports: vec![22, 5432],
        ..asset("db", "bank")
    };
    let list = assets(vec![declared.clone()]);
    let as_it_was =
        Heard { os: "debian gnu/linux 12".into(), ports: Some(vec![5432]), ..agent(1, "bank", "DB1", &["10.1.7.7", "172.17.0.1"]) };
    assert_eq!(differences(&list, std::slice::from_ref(&as_it_was), NOW), []);
    let since = NOW.minus_ns(600 * event::SECOND_NS);
    let changed = Heard {
        os: "Debian GNU/Linux 13".into(),
        ports: Some(vec![4444, 22]),
        addresses: vec!["10.2.7.7".into(), "not one".into()],
        host: "db2".into(),
        changed: Some(since),
        ..as_it_was.clone()
    };
    let found = differences(&list, std::slice::from_ref(&changed), NOW);
    assert_eq!(
        said(&found),
        [
            "drifted bank db hostname:db1→db2 networks:10.1.0.0/16, 192.0.2.5→10.2.7.7 os:Debian GNU/Linux 12→Debian GNU/Linux 13 ports:22, 5432→4444"
        ]
    );
    assert_eq!(found[0].since, Some(since));
    let taken = accepted(&found[0], Some(&declared), &changed, |_| false).unwrap();
    assert_eq!(taken.networks, ["10.1.0.0/16", "10.2.7.7"]);
    assert_eq!(differences(&assets(vec![taken]), &[changed], NOW), [], "what was accepted is gone");
}

#[test]
fn an_id_stays_while_the_difference_stays_and_changes_with_it() {
    let list = assets(vec![Asset { agent: Some(format!("{:016x}", 1)), hostname: Some("db1".into()), ..asset("db", "bank") }]);
    let id = |host: &str, last: Timestamp| {
        differences(&list, &[Heard { last_seen: Some(last), ..agent(1, "bank", host, &[]) }], NOW)[0].id.clone()
    };
    assert_eq!(id("db2", NOW), id("db2", NOW.minus_ns(5)));
    assert_ne!(id("db2", NOW), id("db3", NOW));
    let old = NOW.minus_ns(2 * SILENT_AFTER_S * event::SECOND_NS);
    assert_ne!(id("db1", old), id("db2", NOW));
    assert!(id("db2", NOW).starts_with('D') && id("db2", NOW).len() == 17);
}

#[test]
fn accepting_an_unknown_host_declares_it_under_a_free_name() {
    let heard = Heard { os: "Debian 13".into(), ..agent(0xaa, "bank", "web1.bank.example", &["10.1.1.1", "10.1.1.1", "bad"]) };
    let found = differences(&BTreeMap::new(), std::slice::from_ref(&heard), NOW);
    assert_eq!((found.len(), found[0].what, found[0].since), (1, What::Unknown, heard.first_seen));
    let made = accepted(&found[0], None, &heard, |_| false).unwrap();
    assert_eq!(
        (made.id.as_str(), made.hostname.as_deref(), made.networks.as_slice()),
        ("web1", Some("web1.bank.example"), &["10.1.1.1".to_owned()][..])
    );
    assert_eq!(crate::register::Row::Asset(made.clone()).check(), Ok(()));
    assert_eq!(differences(&assets(vec![made]), std::slice::from_ref(&heard), NOW), []);
    assert_eq!(accepted(&found[0], None, &heard, |id| id == "web1").unwrap().id, "web1.bank.example");
    assert_eq!(accepted(&found[0], None, &heard, |id| id.starts_with("web1")).unwrap().id, "agent-00000000000000aa");
    let odd = Heard { host: "主机 \u{7}\"<x>".into(), ..heard };
    let found = differences(&BTreeMap::new(), std::slice::from_ref(&odd), NOW);
    assert_eq!(crate::register::Row::Asset(accepted(&found[0], None, &odd, |_| false).unwrap()).check(), Ok(()));
    let silent = differences(&assets(vec![Asset { hostname: Some("h".into()), ..asset("h", "bank") }]), &[], NOW);
    assert_eq!(accepted(&silent[0], None, &odd, |_| false), None);
}
