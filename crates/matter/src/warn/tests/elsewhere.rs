//! What a unit reads beside its warning: fixed with each revision, of its own data, and never a name of another.

use serde_json::{Value, json};

use crate::campaign::tests::{Play, T, alert, at, city};
use crate::disclose::{Disclosed, Own};
use crate::receipt::Receipt;
use crate::warn::Warning;
use crate::{Actor, Book, Memory, Order, Role, Shelf, carry_out};

const C2: &str = "198.51.100.7";

fn act(shelf: &Memory, book: &Book, minutes: i64, kind: &str, id: &str, act: Value) {
    let wang = Actor { name: "wang".into(), role: Some(Role::ShiftLead), units: None };
    let order = Order { kind: kind.into(), id: Some(id.into()), expected: None, act, key: None };
    shelf.transaction(|s| carry_out(s, book, &wang, T.plus_secs(minutes * 60), order)).unwrap();
}

fn own(host: &str, alert: &str) -> Own {
    Own { host: host.into(), alert: alert.into(), values: vec![C2.into()], time: Some(T) }
}

/// A beacon at one unit; the warning goes to it, to a telecom that has an alert of its own, and to a grid company that has none.
struct Beacon {
    play: Play,
    book: Book,
    warning: String,
}

impl Beacon {
    fn at(victim: &str) -> Self {
        let (book, mut play) = (city(), Play::default());
        let mut one = at(alert("A0", "c2", 4, "command-and-control", "T1071.001"), victim, "");
        one.target_ips = vec![C2.into()];
        play.take(&book, T, &[one]);
        let (warning, body) = play.shelf.all("warning").remove(0);
        assert_eq!(body["draft"]["units"], json!([victim]));
        play.shelf.see("telco", own("telco-db7", "A00000000000000t7"));
        play.shelf.see("telco", Own { values: vec!["192.0.2.1".into()], ..own("telco-pc1", "A00000000000000t1") });
        let edit = json!({"act": "edit", "units": [victim, "telco", "grid"], "scope": {"zh": "见于 10.1.1.5", "en": "seen on 10.1.1.5"}});
        act(&play.shelf, &book, 40, "warning", &warning, edit);
        act(&play.shelf, &book, 41, "warning", &warning, json!({"act": "assess", "level": "yellow", "reason": "x"}));
        act(&play.shelf, &book, 42, "warning", &warning, json!({"act": "issue"}));
        Self { play, book, warning }
    }
    fn receipt(&self, unit: &str) -> Receipt {
        let stored = self.play.shelf.get(Receipt::KIND_WORD, &Receipt::id(&self.warning, unit)).unwrap().unwrap();
        serde_json::from_value(stored.body).unwrap()
    }
    fn told(&self, unit: &str) -> Disclosed {
        *self.receipt(unit).last().unwrap().disclosed.clone().unwrap()
    }
}

impl Receipt {
    const KIND_WORD: &'static str = <Self as crate::Matter>::KIND;
}

#[test]
fn a_unit_reads_when_it_was_seen_elsewhere_and_which_of_its_own_hosts_match() {
    let beacon = Beacon::at("bank");
    let told = beacon.told("telco");
    assert_eq!((told.elsewhere_min, told.others.len(), told.sectors.len()), (Some(42), 1, 0));
    assert_eq!((told.hosts.len(), told.hosts[0].host.as_str(), told.hosts[0].indicator.as_str()), (1, "telco-db7", C2));
    assert_eq!(told.hosts[0].alerts, ["A00000000000000t7"]);
    let messages = beacon.play.shelf.messages();
    let message = messages.iter().find(|m| m.id == Receipt::id(&beacon.warning, "telco")).unwrap();
    let line = "Elsewhere and here: first seen in another unit 42 minutes ago; 1 of your own hosts match the indicators (telco-db7)";
    assert!(message.text.en.contains(line), "{}", message.text.en);
    assert!(message.text.zh.contains("42 分钟前首次出现于其他单位；贵单位有 1 台主机命中所列指标 (telco-db7)"), "{}", message.text.zh);
    let whole = format!("{}{}", serde_json::to_string(&beacon.receipt("telco")).unwrap(), serde_json::to_string(message).unwrap());
    for secret in ["bank", "BANK", "finance", "10.1.1.5"] {
        assert!(!whole.contains(secret), "{secret}: {whole}");
    }
    assert!(whole.contains("seen on 10.1.1.x"), "the address of another unit is masked in the text");
    // The bank itself is hit: nothing elsewhere, its own address whole.
    assert_eq!(beacon.told("bank").others, Vec::<String>::new());
    assert!(serde_json::to_string(&beacon.receipt("bank")).unwrap().contains("seen on 10.1.1.5"));
    let warning: Warning = serde_json::from_value(beacon.play.shelf.get("warning", &beacon.warning).unwrap().unwrap().body).unwrap();
    for unit in ["bank", "telco", "grid"] {
        assert_eq!(beacon.receipt(unit).verify(&beacon.book), Ok(()));
        assert_eq!(super::super::accord(&warning, &beacon.receipt(unit)), Ok(()), "{unit}");
    }
}

#[test]
fn who_was_hit_changes_nothing_for_a_unit_where_nothing_matches() {
    let (one, other) = (Beacon::at("bank").told("grid"), Beacon::at("clinic").told("grid"));
    assert_eq!(one, other);
    assert_eq!((one.elsewhere_min, one.others.len(), one.text.en.as_str()), (None, 0, "nothing of yours matches so far"));
}

#[test]
fn it_stands_as_it_was_told_and_is_told_anew_with_the_next_revision() {
    let beacon = Beacon::at("bank");
    let (shelf, book) = (&beacon.play.shelf, &beacon.book);
    let before = serde_json::to_string(&beacon.receipt("telco")).unwrap();
    shelf.see("telco", own("telco-db8", "A00000000000000t8"));
    assert_eq!(serde_json::to_string(&beacon.receipt("telco")).unwrap(), before);
    act(shelf, book, 60, "warning", &beacon.warning, json!({"act": "update", "reason": "新情况"}));
    let receipt = beacon.receipt("telco");
    let hosts = |n: usize| receipt.copies[n].disclosed.as_ref().unwrap().hosts.len();
    assert_eq!((hosts(0), hosts(1), beacon.told("telco").elsewhere_min), (1, 2, Some(60)));
    assert_eq!(receipt.verify(book), Ok(()));
    let mut changed = receipt.clone();
    changed.copies[0].disclosed.as_mut().unwrap().hosts.clear();
    assert_eq!(changed.verify(book).unwrap_err().number, 1, "it is signed with the copy");
    act(shelf, book, 90, "warning", &beacon.warning, json!({"act": "lift", "reason": "误判", "override_reason": "误判"}));
    assert_eq!(beacon.receipt("telco").last().unwrap().disclosed, None, "an end tells nothing new");
}

#[test]
fn a_declared_host_matches_by_its_network_and_what_no_indicator_names_is_not_looked_for() {
    let (mut book, play) = (city(), Play::default());
    book.places = Default::default();
    let lin = Actor { name: "lin".into(), role: Some(Role::ShiftLead), units: None };
    let draft = |indicators: Value| {
        json!({"act": "draft", "title": {"zh": "测试", "en": "a test"}, "event": {"zh": "x", "en": "x"}, "measures": [{"zh": "y", "en": "y"}],
            "units": ["telco", "shop"], "indicators": indicators})
    };
    let issue = |indicators: Value| {
        let order = Order { kind: "warning".into(), id: None, expected: None, act: draft(indicators), key: None };
        let made = play.shelf.transaction(|s| carry_out(s, &book, &lin, T, order)).unwrap();
        let id = made.changes[0].id.clone();
        act(&play.shelf, &book, 1, "warning", &id, json!({"act": "assess", "level": "blue", "reason": "x"}));
        act(&play.shelf, &book, 1, "warning", &id, json!({"act": "issue"}));
        let of = |unit: &str| play.shelf.get("receipt", &Receipt::id(&id, unit)).unwrap().unwrap().body["copies"][0]["disclosed"].clone();
        (of("telco"), of("shop"))
    };
    // 10.2.1.0/24 is the telecom's declared application server.
    let (telco, shop) = issue(json!([{"type": "ipv4-addr", "value": "10.2.1.9"}]));
    assert_eq!((telco["hosts"][0]["host"].as_str(), telco["hosts"][0].get("alerts")), (Some("telco-app01"), None));
    assert_eq!(shop.get("hosts"), None);
    let (telco, _) = issue(json!([]));
    assert_eq!(telco["text"]["en"], "nothing of yours matches so far");
}
