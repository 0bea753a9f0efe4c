use event::Timestamp;
use serde_json::json;

use super::count::{
    AlertFact, Blind, CampaignFact, ClockFact, DrillFact, Facts, IncidentFact, OrderFact, Owed, ReceiptFact, Times, WarningFact,
};
use super::period::{Every, Period};
use super::{Act, Bulletin};
use crate::Both;
use crate::stage::{Stage, T, lead, of, operator, order};

fn t(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

#[test]
fn periods_begin_with_the_local_day() {
    for (every, at, from, to) in [
        (Every::Daily, "2026-11-23T00:30:00Z", "2026-11-22T16:00:00Z", "2026-11-23T16:00:00Z"),
        (Every::Daily, "2026-11-23T16:00:00Z", "2026-11-23T16:00:00Z", "2026-11-24T16:00:00Z"),
        (Every::Weekly, "2026-11-22T15:59:59Z", "2026-11-15T16:00:00Z", "2026-11-22T16:00:00Z"),
        (Every::Weekly, "2026-11-23T01:00:00Z", "2026-11-22T16:00:00Z", "2026-11-29T16:00:00Z"),
        (Every::Monthly, "2026-11-30T15:59:59Z", "2026-10-31T16:00:00Z", "2026-11-30T16:00:00Z"),
        (Every::Monthly, "2026-11-30T16:00:00Z", "2026-11-30T16:00:00Z", "2026-12-31T16:00:00Z"),
        (Every::Monthly, "2028-02-29T00:00:00Z", "2028-01-31T16:00:00Z", "2028-02-29T16:00:00Z"),
        (Every::Daily, "1969-12-31T10:00:00Z", "1969-12-30T16:00:00Z", "1969-12-31T16:00:00Z"),
    ] {
        let period = Period::of(every, t(at), 480);
        assert_eq!((period.from, period.to), (t(from), t(to)), "{every:?} {at}");
        assert_eq!(period.before().to, period.from, "{every:?} {at}: no moment is in two or in none");
    }
    let november = Period::of(Every::Monthly, t("2026-11-23T00:00:00Z"), 480);
    assert_eq!(
        (november.day(), november.last_day(), november.key()),
        ("2026-11-01".into(), "2026-11-30".into(), "monthly:2026-11-01".into())
    );
}

/// A day with one of everything, a drill's twin of each, and one outside.
fn facts() -> (Facts, Period) {
    let day = Period::of(Every::Daily, t("2026-11-23T00:00:00Z"), 480);
    let at = |minute: i64| day.from.plus_secs(60 * minute);
    let mut facts = Facts::default();
    for (exercise, shift) in [(false, 0), (true, 0), (false, 1440)] {
        let at = |minute: i64| at(minute + shift);
        facts.alerts.extend((0..3).map(|n| AlertFact {
            opened: at(n),
            exercise,
            close_reason: if n == 0 { "false_positive".into() } else { String::new() },
        }));
        facts.campaigns.push(CampaignFact {
            first: at(0),
            exercise,
            sectors: vec!["finance".into(), "finance".into(), "power".into()],
            units: 3,
            techniques: vec!["T1071".into()],
        });
        facts.incidents.push(IncidentFact { confirmed: Some(at(50)), closed: None, exercise, grade: 2, category: "01007".into() });
        facts.warnings.push(WarningFact {
            id: "W1".into(),
            exercise,
            first_evidence: Some(at(0)),
            steps: vec![(at(6), "issue".into(), "yellow".into()), (at(60), "upgrade".into(), "orange".into())],
        });
        facts.receipts.push(ReceiptFact {
            exercise,
            unit: "bank".into(),
            sent: at(6),
            delivered: Some(at(7)),
            sign_by: Some(at(21)),
            signed: Some(at(20)),
            feedback_by: Some(at(126)),
            fed_back: Some(at(130)),
        });
        facts.receipts.push(ReceiptFact { exercise, unit: "grid".into(), sent: at(6), sign_by: Some(at(21)), ..ReceiptFact::default() });
        facts.orders.push(OrderFact { exercise, issued: at(70), deadline: at(200), fed_back: Some(at(100)), closed: None });
        facts.clocks.push(ClockFact { exercise, id: "CN-CII-1".into(), deadline: Some(at(60)), met: Some(at(59)) });
    }
    facts.drills.push(DrillFact { ended: at(900), points: 30, of: 45 });
    facts.blind.push(Blind { unit: "clinic".into(), why: Both::new("无探针", "no agent"), since: None });
    (facts, day)
}

#[test]
fn everything_is_counted_once_and_drills_apart() {
    let (facts, day) = facts();
    let c = facts.counts(&day);
    assert_eq!((c.alerts, c.attacks, c.attacks_across_units, c.incidents, c.warnings), (3, 1, 1, 1, 1));
    assert_eq!(json!(c.attacks_by_sector), json!({"finance": 1, "power": 1}), "once in every sector it reached");
    assert_eq!(json!(c.alerts_closed), json!({"false_positive": 1}));
    assert_eq!(c.incidents_by_grade, [0, 1, 0, 0]);
    assert_eq!(json!(c.warnings_by_level), json!({"yellow": 1}), "under the level it was first issued as");
    assert_eq!(json!(c.steps), json!({"issue": 1, "upgrade": 1}));
    assert_eq!(c.sign, Owed { due: 2, in_time: 1, late: 0, missing: 1 });
    assert_eq!(c.feedback, Owed { due: 1, in_time: 0, late: 1, missing: 0 });
    assert_eq!((c.order_feedback.in_time, c.clocks.in_time, c.drills, c.drill_points), (1, 1, 1, 30));
    assert_eq!((c.to_warn.p50_s, c.to_notice.p50_s, c.to_sign.p90_s, c.to_feed_back.p90_s), (Some(360), Some(60), Some(840), Some(7440)));
    assert_eq!(c.sign.rate_permille(), Some(500));
    assert_eq!(facts.counts(&day.before()), super::count::Counts::default(), "nothing happened the day before");
    let next = Period::of(Every::Daily, day.to, 480);
    assert_eq!(facts.figures(next).before, c, "the trend compares with the same figures");
    let month = facts.counts(&Period::of(Every::Monthly, day.from, 480));
    assert_eq!(month.attacks, 2, "days add up");
}

#[test]
fn ranks_are_values_that_occurred() {
    let of = |values: &[i64]| {
        let facts = Facts {
            receipts: values.iter().map(|v| ReceiptFact { sent: T, signed: Some(T.plus_secs(*v)), ..ReceiptFact::default() }).collect(),
            ..Facts::default()
        };
        facts.counts(&Period::of(Every::Monthly, T, 480)).to_sign
    };
    assert_eq!(of(&[]), Times { n: 0, p50_s: None, p90_s: None });
    assert_eq!(of(&[5]), Times { n: 1, p50_s: Some(5), p90_s: Some(5) });
    assert_eq!(of(&[4, 1, 3, 2]), Times { n: 4, p50_s: Some(2), p90_s: Some(4) });
    assert_eq!(of(&(1..=100).collect::<Vec<_>>()), Times { n: 100, p50_s: Some(50), p90_s: Some(90) });
}

#[test]
fn a_table_of_too_many_keys_counts_the_rest_as_other() {
    let day = Period::of(Every::Daily, T, 480);
    let campaign = |n: usize| CampaignFact { first: T, techniques: vec![format!("T{n:04}")], ..CampaignFact::default() };
    let facts = Facts { campaigns: (0..100).map(campaign).collect(), ..Facts::default() };
    let by = facts.counts(&day).attacks_by_technique;
    assert_eq!((by.len(), by["other"], by.values().sum::<u64>()), (65, 36, 100));
}

#[test]
fn a_bulletin_is_counted_issued_and_never_changes() {
    let mut stage = Stage::new();
    let draft = json!({"act": "draft", "every": "daily", "day": "2026-11-23"});
    let id = stage.open(&operator(), "bulletin", draft.clone());
    assert_eq!(stage.act(&lead(), "bulletin", None, draft.clone()).unwrap().changes[0].id, id, "one a period");
    assert!(stage.refused(&operator(), "bulletin", Some(&id), json!({"act": "issue"})).starts_with("the period lasts until"));
    let count = |stage: &Stage| {
        let (facts, day) = facts();
        let figures = Box::new(facts.figures(day));
        stage.does(&crate::Actor::desk(), "bulletin", &id, serde_json::to_value(Act::Counted { figures }).unwrap())
    };
    assert_eq!(count(&stage).card.state, "counted");
    stage.pass(86_400);
    assert!(stage.refused(&operator(), "bulletin", Some(&id), json!({"act": "issue"})).starts_with("the figures of the whole period"));
    count(&stage);
    stage.does(&operator(), "bulletin", &id, json!({"act": "edit", "summary": {"zh": "总体平稳", "en": "quiet"}}));
    assert_eq!(stage.does(&operator(), "bulletin", &id, json!({"act": "issue"})).card.state, "issued");
    for act in [json!({"act": "edit", "summary": {"zh": "x"}}), json!({"act": "issue"})] {
        assert!(stage.refused(&lead(), "bulletin", Some(&id), act).starts_with("an issued bulletin never changes"));
    }
    let mut bulletin: Bulletin = serde_json::from_value(stage.body("bulletin", &id)).unwrap();
    assert!(bulletin.holds(&stage.book));
    bulletin.summary.zh = "形势严峻".into();
    assert!(!bulletin.holds(&stage.book), "a changed one is found");
    stage.does(&lead(), "bulletin", &id, json!({"act": "withdraw", "reason": "漏计"}));
    assert_ne!(stage.open(&operator(), "bulletin", draft), id);
    assert!(
        stage
            .refused(&operator(), "bulletin", None, json!({"act": "draft", "every": "daily", "day": "soon"}))
            .starts_with("'soon' is no day")
    );
    assert!(stage.refused(&of("bank"), "bulletin", None, json!({"act": "draft", "every": "daily"})).starts_with("your role may not"));
}

#[test]
fn rows_and_csv() {
    let (facts, day) = facts();
    let mut bulletin = Bulletin {
        id: "B1".into(),
        period: day,
        title: Both::default(),
        summary: Both::default(),
        issuer: Both::default(),
        drafted_by: "ma".into(),
        drafted: T,
        figures: Some(Box::new(facts.figures(day))),
        counted: None,
        issued: None,
        withdrawn: None,
    };
    if let Some(figures) = &mut bulletin.figures {
        figures.blind[0].unit = "=cmd()".into();
        figures.blind[0].why.en = "no agent, \"none\"".into();
    }
    let csv = bulletin.csv();
    for line in [
        "section,item,value,before",
        "Attacks,campaigns (each counts once),1,0",
        "Warnings,level yellow,1,0",
        "Times,to warn p50,6 min,–",
        "On time,signed for in time,50.0 % (1/2),–",
        "blind unit,'=cmd(),\"no agent, \"\"none\"\"\",",
    ] {
        assert!(csv.lines().any(|l| l == line), "{line}\n{csv}");
    }
    assert!(csv.lines().skip(1).all(|l| l.split(',').count() >= 4));
    let sections = bulletin.sections();
    assert!(sections.iter().flat_map(|s| &s.rows).all(|r| !r.name.zh.is_empty() && !r.name.en.is_empty()));
    assert_eq!(sections[2].rows[2].name, Both::new("级别 黄色", "level yellow"));
}

#[test]
fn facts_of_the_desks_own_matters() {
    let mut stage = Stage::new();
    let one = stage.open(&operator(), "order", order());
    let clock = stage.open(
        &operator(),
        "clock",
        json!({"act": "start", "unit": "grid", "aware_at": "2026-11-23T00:00:00Z", "why": "x", "grade": 3}),
    );
    stage.pass(600);
    stage.does(&of("clinic"), "order", &one, json!({"act": "feed_back", "affected": "no"}));
    stage.pass(7200);
    let mut facts = Facts::default();
    for (kind, id) in [("order", &one), ("clock", &clock)] {
        assert!(facts.add(kind, id, &stage.body(kind, id)), "{kind}");
    }
    assert!(!facts.add("order", "O1", &json!({"what": 1})));
    let c = facts.counts(&Period::of(Every::Daily, T, 480));
    assert_eq!((c.orders, c.order_feedback.in_time, c.clocks), (1, 1, Owed { due: 1, in_time: 0, late: 0, missing: 1 }));
}

/// What is read of other kinds is what those kinds write.
#[test]
fn facts_of_a_warning_its_receipts_and_an_incident() {
    let mut stage = Stage::new();
    let draft = json!({"act": "draft", "title": {"zh": "预警", "en": "Warning"}, "event": {"zh": "外联", "en": "beacon"},
        "measures": [{"zh": "封堵", "en": "block"}], "units": ["bank", "grid"]});
    let id = stage.open(&operator(), "warning", draft);
    stage.does(&operator(), "warning", &id, json!({"act": "assess", "level": "yellow", "reason": "两处外联"}));
    stage.does(&operator(), "warning", &id, json!({"act": "issue"}));
    let receipt = crate::id_of("receipt", &[&id, "bank"]);
    stage.pass(60);
    stage.does(&crate::Actor::desk(), "receipt", &receipt, json!({"act": "delivered", "channel": "mail"}));
    stage.pass(540);
    stage.does(&of("bank"), "receipt", &receipt, json!({"act": "sign"}));
    stage.pass(600);
    stage.does(&of("bank"), "receipt", &receipt, json!({"act": "feed_back", "affected": "no"}));
    let incident = stage.open(&operator(), "incident", json!({"act": "open", "title": "勒索"}));
    stage.does(&operator(), "incident", &incident, json!({"act": "confirm", "category": "01007", "grade": 3, "note": "已核实"}));
    stage.pass(3 * 3600);
    let mut facts = Facts::default();
    for kind in ["campaign", "incident", "warning", "receipt"] {
        for (id, body) in stage.shelf.all(kind) {
            assert!(facts.add(kind, &id, &body), "{kind}: {body}");
        }
    }
    let c = facts.counts(&Period::of(Every::Daily, T, 480));
    assert_eq!((c.warnings, json!(c.warnings_by_level), json!(c.steps)), (1, json!({"yellow": 1}), json!({"issue": 1})));
    assert_eq!(c.sign, Owed { due: 2, in_time: 1, late: 0, missing: 1 });
    assert_eq!((c.to_notice.p50_s, c.to_sign.p50_s, c.to_feed_back.p50_s), (Some(60), Some(600), Some(1200)));
    assert_eq!((c.incidents, c.incidents_by_grade), (1, [0, 0, 1, 0]));
}
