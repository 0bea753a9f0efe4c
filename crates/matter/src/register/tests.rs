use super::*;

fn unit(id: &str) -> Unit {
    Unit { id: id.into(), name: "单位".into(), sector: "power".into(), ..Unit::default() }
}
fn object(id: &str, of: &str, needs: &[&str]) -> Object {
    Object {
        id: id.into(),
        unit: of.into(),
        name: "对象".into(),
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        ..Object::default()
    }
}
fn asset(id: &str, of: &str) -> Asset {
    Asset { id: id.into(), unit: of.into(), importance: 1, ..Asset::default() }
}
fn declared(rows: Vec<Row>) -> Declared {
    let mut all = Declared::default();
    rows.into_iter().for_each(|row| all.put(row));
    all
}

#[test]
fn a_row_that_makes_no_sense_names_the_key_the_value_and_the_way_out() {
    let contact = |role: &str, mail: &str, lang: &str| Contact {
        name: "张".into(),
        role: role.into(),
        mail: mail.into(),
        lang: lang.into(),
        ..Contact::default()
    };
    let with = |contact| Row::Unit(Unit { contacts: vec![contact], ..unit("a") });
    let many = || vec!["10.0.0.1".to_owned(); LIST_MAX + 1];
    let cases = [
        (Row::Unit(unit("")), "id", "1 to 64 letters"),
        (Row::Unit(unit("a/b")), "id", "'a/b'"),
        (Row::Unit(Unit { name: " ".into(), ..unit("a") }), "name", "takes 1 to 100"),
        (Row::Unit(Unit { name: "x\u{7}".into(), ..unit("a") }), "name", "control"),
        (Row::Unit(Unit { sector: String::new(), ..unit("a") }), "sector", "finance, energy"),
        (Row::Unit(Unit { networks: vec!["10.1/16".into()], ..unit("a") }), "networks", "'10.1/16' is no address"),
        (Row::Unit(Unit { networks: many(), ..unit("a") }), "networks", "it takes 64"),
        (Row::Unit(Unit { domains: vec!["bank".into()], ..unit("a") }), "domains", "'bank' is no domain"),
        (with(contact("boss", "", "")), "contacts", "duty, substitute, leader or protection"),
        (with(contact("duty", "x", "")), "contacts", "mail 'x'"),
        (with(contact("duty", "", "fr")), "contacts", "not zh or en"),
        (Row::Object(Object { mlps: Some(6), ..object("o", "a", &[]) }), "mlps", "6 is not 1 to 5"),
        (Row::Object(Object { name: String::new(), ..object("o", "a", &[]) }), "name", "takes 1"),
        (Row::Asset(Asset { importance: 0, ..asset("x", "a") }), "importance", "0 is not 1 (ordinary)"),
        (Row::Asset(Asset { agent: Some("12".into()), ..asset("x", "a") }), "agent", "16 hex digits"),
        (Row::Asset(Asset { networks: vec!["x".into()], ..asset("x", "a") }), "networks", "'x' is no address"),
    ];
    for (row, key, words) in cases {
        let fault = row.check().expect_err(words);
        assert_eq!(fault.key, key);
        assert!(fault.text.en.contains(words) && !fault.text.zh.is_empty(), "{}", fault.text.en);
    }
    let whole = Unit { contacts: vec![contact("leader", "a@b.example", "zh")], domains: vec!["bank.example".into()], ..unit("a") };
    assert_eq!(Row::Unit(whole).check(), Ok(()));
}

#[test]
fn references_lead_somewhere_and_keep_what_they_lead_to() {
    let agent = Some("00000000000000aa".to_owned());
    let mut all = declared(vec![
        Row::Unit(unit("grid")),
        Row::Unit(unit("bank")),
        Row::Object(object("power", "grid", &[])),
        Row::Object(object("core", "bank", &["power", "gone"])),
        Row::Object(object("lost", "nobody", &[])),
        Row::Asset(Asset { object: "power".into(), agent: agent.clone(), ..asset("scada", "grid") }),
        Row::Asset(Asset { object: "power".into(), agent, ..asset("web", "bank") }),
        Row::Asset(Asset { hostname: Some("h1".into()), ..asset("h1", "bank") }),
        Row::Asset(Asset { hostname: Some("H1".into()), ..asset("h2", "bank") }),
        Row::Asset(Asset { hostname: Some("h1".into()), ..asset("h3", "grid") }),
    ]);
    let found: Vec<String> = all.faults().into_iter().map(|(kind, id, f)| format!("{} {id} {}", kind.name(), f.key)).collect();
    assert_eq!(found, ["object core needs", "object lost unit", "asset h2 hostname", "asset web object", "asset web agent"]);
    assert_eq!(
        all.referrers(RowKind::Object, "power"),
        [(RowKind::Object, "core".into()), (RowKind::Asset, "scada".into()), (RowKind::Asset, "web".into())]
    );
    assert_eq!(all.referrers(RowKind::Unit, "grid").len(), 3);
    assert!(all.referrers(RowKind::Asset, "scada").is_empty());
    all.remove(RowKind::Object, "lost");
    let mine = all.within(Some(&["bank".to_owned()].into()));
    assert_eq!((mine.units.len(), mine.objects.len(), mine.assets.len()), (1, 1, 3));
}

#[test]
fn circles_are_allowed_and_named() {
    let all = declared(vec![
        Row::Object(object("power", "a", &["telecom"])),
        Row::Object(object("telecom", "b", &["power"])),
        Row::Object(object("bank", "c", &["power", "telecom"])),
        Row::Object(object("self", "d", &["self"])),
        Row::Object(object("x", "d", &["y"])),
        Row::Object(object("y", "d", &["z"])),
        Row::Object(object("z", "d", &["x", "bank"])),
    ]);
    assert_eq!(all.circles(), [vec!["power", "telecom"], vec!["self"], vec!["x", "y", "z"]]);
    assert!(declared(vec![Row::Object(object("a", "u", &["b"])), Row::Object(object("b", "u", &[]))]).circles().is_empty());
}

#[test]
fn a_range_is_as_many_assets_as_it_counts() {
    let range = Asset {
        name: "终端 [1-12]".into(),
        hostname: Some("rtu[01-12]".into()),
        networks: vec!["10.30.4.[1-12]".into()],
        ..asset("rtu-[01-12]", "grid")
    };
    let made = range.expand().unwrap();
    let last = made.last().unwrap();
    assert_eq!((made.len(), made[0].id.as_str()), (12, "rtu-01"));
    assert_eq!(
        (last.id.as_str(), last.name.as_str(), last.hostname.as_deref(), last.networks[0].as_str()),
        ("rtu-12", "终端 12", Some("rtu12"), "10.30.4.12")
    );
    assert!(made.into_iter().all(|a| Row::Asset(a).check().is_ok()));
    assert_eq!(asset("plain", "grid").expand().unwrap().len(), 1);
    for (id, net) in [("a-[5-1]", "10.0.0.1"), ("a-[0-9999]", "10.0.0.1"), ("a-[1-2]", "10.0.0.[1-3]")] {
        let bad = Asset { networks: vec![net.into()], ..asset(id, "grid") };
        assert_eq!(bad.expand().unwrap_err().key, "id", "{id}");
    }
    // What only looks like a range is refused as an id.
    assert!(Row::Asset(asset("a-[x-y]", "grid").expand().unwrap().remove(0)).check().is_err());
}

#[test]
fn rows_are_tagged_and_old_rows_without_the_new_keys_are_read() {
    let row: Row = serde_json::from_str(r#"{"kind":"asset","id":"a","unit":"u","importance":2}"#).unwrap();
    assert_eq!((row.kind(), row.id(), row.unit()), (RowKind::Asset, "a", "u"));
    assert_eq!(serde_json::from_str::<Row>(&serde_json::to_string(&row).unwrap()).unwrap(), row);
    assert!(serde_json::from_str::<Row>(r#"{"kind":"asset","id":"a","unit":"u","colour":2}"#).is_err());
}
