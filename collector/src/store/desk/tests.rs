//! Exactly once, nobody overwrites anybody, nobody sees too much, and the audit chain tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use event::{AgentId, Class, Epoch, Event, EventId, Kind, LogSource, Timestamp, field};
use warning::{Alert, AlertId, AlertReason, AlertState, CloseReason, UnitRef};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn evidence(n: u64, unit: &str) -> Arc<Event> {
    let mut e = Event::new(Timestamp::from_secs(n as i64), Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
        .with(field::UNIT_ID, unit)
        .with(field::DST_IP, format!("10.0.0.{n}").parse::<std::net::IpAddr>().unwrap())
        .with(field::USER_NAME, format!("user-{unit}"));
    e.id = EventId { agent: AgentId(n), epoch: Epoch(1), class: Class::Critical, seq: n };
    Arc::new(e)
}

fn alert(id: &str, events: &[Arc<Event>]) -> Alert {
    let unit = |u: &str| UnitRef { id: u.to_owned(), name: format!("{u} name"), sector: "finance".into() };
    let mut units: Vec<UnitRef> = events.iter().map(|e| unit(&e.text(field::UNIT_ID))).collect();
    units.dedup();
    Alert {
        id: AlertId(id.to_owned()),
        rule_id: "rule".into(),
        title: "Guessing".into(),
        title_zh: "口令猜测".into(),
        description: String::new(),
        severity_id: 4,
        state: AlertState::New,
        owner: None,
        close_reason: None,
        first_time: 1,
        last_time: events.len() as i64,
        opened_time: 1,
        updated_time: 1,
        finding_count: 1,
        event_count: events.len() as u64,
        techniques: vec!["T1110".into()],
        tactics: vec![],
        flaws: Vec::new(),
        source_ips: vec!["203.0.113.9".into()],
        target_ips: events.iter().map(|e| e.text(field::DST_IP).into_owned()).collect(),
        users: events.iter().map(|e| e.text(field::USER_NAME).into_owned()).collect(),
        hosts: vec![],
        units,
        reasons: vec![AlertReason {
            id: "values_reached".into(),
            args: BTreeMap::from([("values".to_owned(), serde_json::json!("bank, grid")), ("count".to_owned(), 3.into())]),
        }],
        evidence: events.iter().map(|e| e.id.to_string()).collect(),
        group_key: BTreeMap::new(),
        revision: 1,
    }
}

fn save(desk: &SqliteDesk, position: u64, alerts: &[Alert], events: &[Arc<Event>]) -> Vec<Alert> {
    desk.save(&Step { alerts, evidence: events, position: Offset(position), snapshot: None }).unwrap()
}

fn judge(id: &str, revision: u64, state: AlertState, reason: Option<CloseReason>) -> Triage {
    Triage {
        alert: AlertId(id.into()),
        expected_revision: revision,
        state,
        reason,
        owner: Some(Some("li".into())),
        note: Some("looked".into()),
        who: "li".into(),
        now: NOW,
    }
}

#[test]
fn position_snapshot_and_alerts_change_together_and_a_replay_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desk.db");
    let events = [evidence(1, "bank"), evidence(2, "bank")];
    let desk = SqliteDesk::open(&path).unwrap();
    let opened = save(&desk, 10, &[alert("A1", &events[..1])], &events[..1]);
    desk.save(&Step { alerts: &[alert("A1", &events)], evidence: &events, position: Offset(20), snapshot: Some(b"state at 20") }).unwrap();
    drop(desk);
    let desk = SqliteDesk::open(&path).unwrap();
    let state = desk.engine().unwrap();
    assert_eq!(state, EngineState { position: Offset(20), snapshot: Some((Offset(20), b"state at 20".to_vec())) });
    let id = AlertId("A1".into());
    let now = desk.alert(&Scope::CITY, &id).unwrap().unwrap();
    assert_eq!((opened[0].revision, now.revision, now.event_count), (1, 2, 2));
    // The same steps again, as after a kill.
    assert!(save(&desk, 10, &[alert("A1", &events[..1])], &events[..1]).is_empty());
    assert_eq!(save(&desk, 20, &[alert("A1", &events)], &events)[0].revision, 2);
    assert_eq!(desk.alert(&Scope::CITY, &id).unwrap().unwrap(), now);
    assert_eq!(desk.evidence(&Scope::CITY, &id).unwrap(), events);
}

#[test]
fn a_fault_within_a_step_leaves_nothing_of_it() {
    let desk = SqliteDesk::in_memory().unwrap();
    save(&desk, 10, &[], &[]);
    let e = [evidence(1, "bank")];
    desk.write(|tx| Ok(tx.execute_batch("CREATE TRIGGER full BEFORE INSERT ON evidence BEGIN SELECT RAISE(ABORT, 'disk full'); END")?))
        .unwrap();
    assert!(desk.save(&Step { alerts: &[alert("A1", &e)], evidence: &e, position: Offset(20), snapshot: None }).is_err());
    assert_eq!(desk.engine().unwrap().position, Offset(10));
    assert_eq!(desk.alert(&Scope::CITY, &AlertId("A1".into())).unwrap(), None);
}

#[test]
fn a_judgement_names_what_it_saw_and_the_engine_never_overwrites_it() {
    let desk = SqliteDesk::in_memory().unwrap();
    let events = [evidence(1, "bank"), evidence(2, "bank")];
    save(&desk, 1, &[alert("A1", &events[..1])], &events);
    let taken = desk.triage(&Scope::CITY, &judge("A1", 1, AlertState::Acknowledged, None)).unwrap();
    assert_eq!((taken.state, taken.owner.as_deref(), taken.revision), (AlertState::Acknowledged, Some("li"), 2));
    // Somebody else still looks at revision 1.
    let late = desk.triage(&Scope::CITY, &judge("A1", 1, AlertState::Closed, Some(CloseReason::FalsePositive)));
    assert!(matches!(late, Err(DeskError::Conflict(now)) if now.revision == 2 && now.state == AlertState::Acknowledged));
    let grown = &save(&desk, 2, &[alert("A1", &events)], &events)[0];
    assert_eq!((grown.state, grown.owner.as_deref(), grown.revision, grown.event_count), (AlertState::Acknowledged, Some("li"), 3, 2));
    for (state, reason) in [(AlertState::Closed, None), (AlertState::New, Some(CloseReason::Duplicate))] {
        assert!(matches!(desk.triage(&Scope::CITY, &judge("A1", 3, state, reason)), Err(DeskError::Refused(_))));
    }
    desk.triage(&Scope::CITY, &judge("A1", 3, AlertState::Closed, Some(CloseReason::Confirmed))).unwrap();
    let log = desk.audit_log(&Scope::CITY, None, 10).unwrap();
    assert_eq!(
        log.iter().map(|r| r.entry.detail.as_str()).collect::<Vec<_>>(),
        ["acknowledged -> closed confirmed", "new -> acknowledged"]
    );
    assert_eq!(desk.notes(&Scope::CITY, &AlertId("A1".into())).unwrap().len(), 2);
    assert_eq!(desk.alert_counts(&Scope::CITY).unwrap().by_state, BTreeMap::from([("closed".to_owned(), 1)]));
}

#[test]
fn a_scope_sees_its_own_part_and_nothing_of_the_rest() {
    let desk = SqliteDesk::in_memory().unwrap();
    let both = [evidence(1, "bank"), evidence(2, "grid")];
    save(&desk, 1, &[alert("A1", &both), alert("A2", &both[1..])], &both);
    let bank = Scope::units(["bank"]);
    let seen = desk.alerts(&bank, &AlertQuery::default()).unwrap().alerts;
    assert_eq!(seen.iter().map(|a| a.id.0.as_str()).collect::<Vec<_>>(), ["A1"]);
    let text = serde_json::to_string(&seen[0]).unwrap();
    for secret in ["grid", "10.0.0.2", &both[1].id.to_string()] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains("10.0.0.1") && text.contains("user-bank") && text.contains("203.0.113.9") && text.contains("\"count\":3"));
    assert_eq!(desk.evidence(&bank, &AlertId("A1".into())).unwrap(), both[..1]);
    // Not even by asking.
    for query in [
        AlertQuery { ip: Some("10.0.0.2".into()), ..AlertQuery::default() },
        AlertQuery { text: Some("user-grid".into()), ..AlertQuery::default() },
        AlertQuery { unit: Some("grid".into()), ..AlertQuery::default() },
    ] {
        assert!(desk.alerts(&bank, &query).unwrap().alerts.is_empty(), "{query:?}");
        assert!(!desk.alerts(&Scope::CITY, &query).unwrap().alerts.is_empty(), "{query:?}");
    }
    let a2 = AlertId("A2".into());
    assert!(desk.alert(&bank, &a2).unwrap().is_none() && desk.evidence(&bank, &a2).unwrap().is_empty());
    assert!(matches!(desk.triage(&bank, &judge("A2", 1, AlertState::Acknowledged, None)), Err(DeskError::Missing { .. })));
    assert_eq!(desk.alert_counts(&bank).unwrap().open_by_severity, BTreeMap::from([(4, 1)]));
    for (id, unit) in [("0000000000000001", Some("bank")), ("0000000000000002", Some("grid")), ("0000000000000003", None)] {
        desk.put_agents(&[AgentRow { id: id.into(), unit: unit.map(str::to_owned), ..AgentRow::default() }]).unwrap();
    }
    assert_eq!(desk.agents(&bank).unwrap().len(), 1);
    assert!(desk.agent(&bank, AgentId(2)).unwrap().is_none() && desk.agent(&Scope::CITY, AgentId(3)).unwrap().is_some());
}

#[test]
fn pages_follow_each_other_without_a_hole() {
    let desk = SqliteDesk::in_memory().unwrap();
    let e = [evidence(1, "bank")];
    let all: Vec<Alert> = (0..25).map(|n| Alert { last_time: n / 3, ..alert(&format!("A{n:02}"), &e) }).collect();
    save(&desk, 1, &all, &e);
    let mut query = AlertQuery { limit: 7, ..AlertQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = desk.alerts(&Scope::CITY, &query).unwrap();
        seen.extend(page.alerts.iter().map(|a| (a.last_time, a.id.clone())));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    let mut want: Vec<_> = all.iter().map(|a| (a.last_time, a.id.clone())).collect();
    want.sort_by(|a, b| b.cmp(a));
    assert_eq!(seen, want);
}

#[test]
fn any_change_to_the_audit_chain_is_found_and_named() {
    let entry = |n: i64| AuditEntry {
        time: n,
        who: "li".into(),
        action: "person.create".into(),
        subject: format!("p{n}"),
        unit: None,
        detail: String::new(),
    };
    let desk = || {
        let desk = SqliteDesk::in_memory().unwrap();
        for n in 1..=5 {
            desk.audit(&entry(n)).unwrap();
        }
        desk
    };
    let whole = desk().audit_verify().unwrap();
    assert_eq!((whole.rows, whole.broken), (5, None));
    for (sql, at) in [
        ("UPDATE audit SET who = 'wang' WHERE number = 3", 3),
        ("UPDATE audit SET unit = '' WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("UPDATE audit SET hash = zeroblob(32) WHERE number = 4", 4),
        ("UPDATE audit SET hash = 'x' WHERE number = 4", 4),
        ("UPDATE audit SET subject = 'p1p', action = 'person.create' WHERE number = 5", 5),
    ] {
        let desk = desk();
        desk.write(|tx| Ok(tx.execute_batch(sql)?)).unwrap();
        let report = desk.audit_verify().unwrap();
        assert_eq!(report.broken.map(|b| b.0), Some(at), "{sql}");
    }
    let cut = desk();
    cut.write(|tx| Ok(tx.execute_batch("DELETE FROM audit WHERE number = 5")?)).unwrap();
    assert_ne!(cut.audit_verify().unwrap().head, whole.head, "a cut tail changes the head");
}

#[test]
fn tokens_and_enrolments_are_used_as_they_may_be() {
    let desk = SqliteDesk::in_memory().unwrap();
    let later = |s: i64| NOW.plus_secs(s);
    desk.put_enrolment(&EnrolmentRow { hash: "h".into(), expires: later(100).ns(), ..EnrolmentRow::default() }).unwrap();
    assert_eq!(desk.take_enrolment("h", "key1", AgentId(1), NOW).unwrap().used_by.as_deref(), Some("0000000000000001"));
    assert_eq!(
        desk.take_enrolment("h", "key1", AgentId(2), NOW).unwrap().used_by.as_deref(),
        Some("0000000000000001"),
        "the same key asks again"
    );
    for (hash, pin, now) in [("h", "key2", NOW), ("h", "key1", later(100)), ("x", "key1", NOW)] {
        assert!(desk.take_enrolment(hash, pin, AgentId(3), now).is_err());
    }
    desk.put_token(&TokenRow { id: "t".into(), hash: "th".into(), expires: Some(later(100).ns()), ..TokenRow::default() }).unwrap();
    assert_eq!(desk.token("th", NOW).unwrap().unwrap().last_used, Some(NOW.ns()));
    assert!(desk.token("th", later(100)).unwrap().is_none());
    assert!(desk.revoke_token("t").unwrap() && desk.token("th", NOW).unwrap().is_none());
    let session = |hash: &str, created: Timestamp| SessionRow {
        hash: hash.into(),
        person: "li".into(),
        created: created.ns(),
        expires: later(100).ns(),
        ..SessionRow::default()
    };
    desk.put_session(&session("s1", NOW)).unwrap();
    assert!(desk.session("s1", NOW).unwrap().is_some() && desk.session("s1", later(100)).unwrap().is_none());
    desk.put_session(&session("s2", later(100))).unwrap();
    assert!(desk.session("s1", NOW).unwrap().is_none(), "what has expired goes with the next log-in");
    desk.put_certificate(&CertificateRow { serial: "1".into(), agent: AgentId(1).to_string(), ..CertificateRow::default() }).unwrap();
    assert_eq!(
        (desk.revoke(AgentId(1), "lost", NOW).unwrap(), desk.revoke(AgentId(1), "lost", NOW).unwrap()),
        (vec!["1".to_owned()], vec![])
    );
}

#[test]
fn the_register_is_written_whole_with_its_audit_and_older_rows_are_read() {
    use matter::register::{Asset, Object, Row, RowKind, Unit};
    let desk = SqliteDesk::in_memory().unwrap();
    let old = [
        ("unit", r#"{"id":"bank","name":"银行","sector":"finance","contact":"值班 0000-1"}"#),
        ("unit", r#"{"id":"gas","name":"燃气","sector":"energy"}"#),
        ("asset", r#"{"id":"web","unit":"bank","name":"网站","importance":2,"addresses":["10.1.1.1"]}"#),
    ];
    desk.write(|tx| {
        for (n, (table, body)) in old.iter().enumerate() {
            let id = ["bank", "gas", "web"][n];
            tx.execute(&format!("INSERT INTO {table}(id, link, body) VALUES (?1, ?2, ?3)"), (id, "bank", body))?;
        }
        Ok(())
    })
    .unwrap();
    let rows = desk.register_rows().unwrap();
    assert!(rows.iter().all(|r| r.old) && rows.iter().map(|r| r.id.as_str()).eq(["bank", "gas", "web"]));
    let Some(Row::Unit(bank)) = &rows[0].row else { panic!("a unit") };
    assert_eq!((bank.contacts[0].name.as_str(), bank.contacts[0].role.as_str()), ("值班 0000-1", "duty"));
    assert!(matches!(&rows[2].row, Some(Row::Asset(Asset { importance: 2, networks, .. })) if networks == &["10.1.1.1"]));

    let row = |row: Row| RegisterRow { kind: row.kind(), id: row.id().into(), unit: Some(row.unit().into()), row: Some(row), old: false };
    let unit = Unit { id: "bank".into(), name: "新名".into(), sector: "finance".into(), ..Unit::default() };
    let object = Object { id: "core".into(), unit: "bank".into(), name: "核心".into(), ..Object::default() };
    let gone = RegisterRow { kind: RowKind::Asset, id: "web".into(), unit: Some("bank".into()), row: None, old: false };
    let written = [row(Row::Unit(unit)), row(Row::Object(object)), gone];
    let entry = AuditEntry { action: "unit.put".into(), subject: "bank".into(), unit: Some("bank".into()), ..AuditEntry::default() };
    desk.put_register(&written, &[entry.clone(), entry]).unwrap();
    let now: Vec<RegisterRow> = desk.register_rows().unwrap().into_iter().filter(|r| !r.old).collect();
    assert_eq!(now, written);
    assert_eq!((desk.audit_verify().unwrap().rows, desk.audit_verify().unwrap().broken), (2, None));
}

/// Which alerts a batch holds: number, id, revision, where it went before.
type Taken = Vec<(String, u64, Option<String>)>;

fn take(desk: &SqliteDesk, limit: usize, refuse: bool) -> Result<Taken, matter::Refusal> {
    let mut seen = Vec::new();
    desk.follow(limit, &mut |_, changed| {
        seen = changed.iter().map(|c| (c.alert.id.0.clone(), c.alert.revision, c.place.clone())).collect();
        if refuse {
            return Err(matter::Refusal::because("no", "不"));
        }
        Ok(changed.iter().map(|c| (c.alert.id.0.clone(), format!("C-{}", c.alert.id.0))).collect())
    })
    .map(|_| seen)
}

#[test]
fn changed_alerts_are_taken_once_in_order_and_a_refusal_or_a_crash_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desk.db");
    let events = [evidence(1, "bank")];
    let desk = SqliteDesk::open(&path).unwrap();
    save(&desk, 10, &[alert("A1", &events), alert("A2", &events), alert("A3", &events)], &events);
    assert_eq!(desk.waiting().unwrap(), 3);
    assert!(take(&desk, 10, true).is_err());
    assert_eq!(desk.waiting().unwrap(), 3, "a refused batch is as if it had not been");
    assert_eq!(take(&desk, 2, false).unwrap(), [("A1".to_owned(), 1, None), ("A2".to_owned(), 1, None)]);
    // Changed by a person and by the engine before the next look: taken once, as it is now, after what waited before.
    desk.triage(&Scope::CITY, &judge("A1", 1, AlertState::Acknowledged, None)).unwrap();
    let grown = Alert { event_count: 99, ..alert("A1", &events) };
    save(&desk, 20, std::slice::from_ref(&grown), &events);
    drop(desk);
    let desk = SqliteDesk::open(&path).unwrap();
    assert_eq!(take(&desk, 10, false).unwrap(), [("A3".to_owned(), 1, None), ("A1".to_owned(), 3, Some("C-A1".to_owned()))]);
    // The same step again, as after a crash of the engine: nothing changed, nothing to take.
    save(&desk, 20, &[grown], &events);
    assert_eq!(take(&desk, 10, false).unwrap(), []);
    assert_eq!(desk.place(&AlertId("A3".into())).unwrap().as_deref(), Some("C-A3"));
}

#[test]
fn an_acknowledged_alert_that_grows_comes_back_only_graver_or_further() {
    let bank = [evidence(1, "bank")];
    let both = [evidence(1, "bank"), evidence(2, "grid")];
    let base = alert("A1", &bank);
    for (what, state, grown, wanted) in [
        ("more events", AlertState::Acknowledged, Alert { event_count: 500, ..base.clone() }, AlertState::Acknowledged),
        ("graver", AlertState::Acknowledged, Alert { severity_id: 5, ..base.clone() }, AlertState::New),
        ("less grave", AlertState::Acknowledged, Alert { severity_id: 1, ..base.clone() }, AlertState::Acknowledged),
        ("another unit", AlertState::Acknowledged, alert("A1", &both), AlertState::New),
        ("graver, investigated", AlertState::Investigating, Alert { severity_id: 5, ..base.clone() }, AlertState::Investigating),
    ] {
        let desk = SqliteDesk::in_memory().unwrap();
        save(&desk, 10, std::slice::from_ref(&base), &bank);
        desk.triage(&Scope::CITY, &judge("A1", 1, state, None)).unwrap();
        let stored = save(&desk, 20, &[grown], &both);
        assert_eq!((stored[0].state, stored[0].owner.as_deref()), (wanted, Some("li")), "{what}");
        let log = desk.audit_log(&Scope::CITY, None, 10).unwrap();
        assert_eq!(log.iter().any(|r| r.entry.action == "alert.again"), wanted == AlertState::New, "{what}");
    }
}

#[test]
fn what_was_judged_before_is_of_the_same_rule_and_values_and_in_scope() {
    let (bank, grid) = ([evidence(1, "bank")], [evidence(2, "grid")]);
    let with = |id: &str, events: &[Arc<Event>], rule: &str, value: &str| Alert {
        rule_id: rule.into(),
        group_key: BTreeMap::from([("user.name".to_owned(), value.to_owned())]),
        ..alert(id, events)
    };
    let desk = SqliteDesk::in_memory().unwrap();
    let all = [
        with("A1", &bank, "r", "x"),
        with("A2", &bank, "r", "y"),
        with("A3", &bank, "q", "x"),
        with("A4", &grid, "r", "x"),
        with("A5", &bank, "r", "x"),
    ];
    save(&desk, 10, &all, &[bank[0].clone(), grid[0].clone()]);
    for id in ["A1", "A2", "A3", "A4"] {
        desk.triage(&Scope::CITY, &judge(id, 1, AlertState::Closed, Some(CloseReason::FalsePositive))).unwrap();
    }
    let before = |scope: &Scope| -> Vec<String> {
        let mut ids: Vec<String> = desk.judged_before(scope, &all[4], 10).unwrap().into_iter().map(|a| a.id.0).collect();
        ids.sort();
        ids
    };
    assert_eq!(before(&Scope::CITY), ["A1", "A4"]);
    assert_eq!(before(&Scope { units: Some(["bank".to_owned()].into()) }), ["A1"]);
    assert!(before(&Scope { units: Some(["nobody".to_owned()].into()) }).is_empty());
}

#[test]
fn an_undo_is_used_once_by_the_same_person_in_time() {
    let desk = SqliteDesk::in_memory().unwrap();
    let (then, late) = (NOW, NOW.plus_secs(7200));
    for token in ["t1", "t2", "t3"] {
        desk.put_undo(token, "li", then, then.plus_secs(-3600), "[]").unwrap();
    }
    assert!(desk.take_undo("t1", "wang", then.plus_secs(-3600)).is_err());
    assert_eq!(desk.take_undo("t1", "li", then.plus_secs(-3600)).unwrap(), "[]");
    assert!(desk.take_undo("t1", "li", then.plus_secs(-3600)).is_err(), "once");
    assert!(desk.take_undo("t2", "li", late.plus_secs(-3600)).is_err(), "too late");
}
