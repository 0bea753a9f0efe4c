//! The correlation engine against a brute-force oracle under any order of arrival, and single cases others get wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use event::{
    AgentId, Class, Epoch, Event, EventId, Fields, Finding, Kind, LogSource, Name, RuleMeta, SECOND_NS, Severity, Timestamp, field,
};
use proptest::prelude::*;
use rule::{Bound, Correlation, GroupKey, Operator, RuleRef};

use crate::{Limits, Windows};

mod cities;

fn meta(id: &str) -> Arc<RuleMeta> {
    Arc::new(RuleMeta {
        id: id.into(),
        name: None,
        title: format!("title of {id}"),
        title_zh: String::new(),
        description: String::new(),
        severity: Severity::Medium,
        techniques: vec![],
        tactics: vec![],
        tags: vec![],
        author: String::new(),
        path: String::new(),
        alerts: true,
        shadow: false,
        group_by: vec![],
    })
}

fn key(name: &str, rules: usize) -> GroupKey {
    GroupKey { name: name.into(), names: vec![vec![Name::from(name)]; rules] }
}

fn correlation(
    kind: &str,
    rules: &[&str],
    group_by: &[&str],
    timespan_s: i64,
    condition: &[(Operator, f64)],
    fields: &[&str],
) -> Correlation {
    Correlation {
        meta: meta(kind),
        kind: kind.into(),
        rules: rules.iter().map(|r| RuleRef { id: (*r).into(), correlation: false }).collect(),
        timespan_ns: timespan_s * SECOND_NS,
        group_by: group_by.iter().map(|g| key(g, rules.len())).collect(),
        condition: condition.iter().map(|(operator, value)| Bound { operator: *operator, value: *value }).collect(),
        fields: fields.iter().map(|f| key(f, rules.len())).collect(),
        parameters: BTreeMap::new(),
        generate: false,
        path: "t.yml".into(),
        line: 1,
    }
}

fn windows(rules: &[Correlation]) -> Windows {
    limited(rules, Limits::default())
}

fn limited(rules: &[Correlation], limits: Limits) -> Windows {
    let (windows, errors) = Windows::new(rules, &[], limits);
    assert!(errors.is_empty(), "{errors:?}");
    windows
}

/// A finding of `rule` at `time_s` about `source`, with the port as a value to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    time_ms: i64,
    seq: u64,
    rule: usize,
    source: u8,
    port: u16,
}

const RULES: [&str; 3] = ["a", "b", "c"];

fn seen(rule: usize, time_s: f64, seq: u64) -> Seen {
    Seen { time_ms: (time_s * 1000.0) as i64, seq, rule, source: 1, port: seq as u16 }
}

fn finding(seen: &Seen) -> Finding {
    let mut event = Event::new(Timestamp::from_ms(seen.time_ms), Kind::NetworkActivity, 1, LogSource::new("", "network_connection", ""))
        .with(field::SRC_IP, std::net::IpAddr::from([10, 0, 0, seen.source]))
        .with(field::DST_PORT, seen.port)
        .with(field::DST_IP, std::net::IpAddr::from([10, 0, 0, 1 + (seen.port % 6) as u8]));
    event.id = EventId { agent: AgentId(1), epoch: Epoch(1), class: Class::Normal, seq: seen.seq };
    let evidence = vec![event::Evidence { id: event.id, time: event.time }];
    Finding {
        rule: meta(RULES[seen.rule]),
        time: event.time,
        event: Some(Arc::new(event)),
        facts: Fields::new(),
        span: None,
        matches: vec![],
        reasons: vec![],
        evidence,
        count: 1,
    }
}

/// Feeds in the order given; arrival time is the newest event time so far. Returns the correlation findings.
fn feed(windows: &mut Windows, all: &[Seen]) -> Vec<Finding> {
    let mut told = Vec::new();
    let mut now = Timestamp::MIN;
    for s in all {
        let mut findings = vec![finding(s)];
        now = now.max(Timestamp::from_ms(s.time_ms));
        windows.saw(findings[0].event.as_ref().unwrap(), now);
        windows.correlate(now, &mut findings);
        told.extend(findings.into_iter().filter(|f| f.span.is_some()));
    }
    let mut findings = Vec::new();
    windows.finish(now, &mut findings);
    told.extend(findings);
    told
}

/// What stands in the end: per group the newest telling of each episode: (source, from, to, measure, first evidence).
type Settled = BTreeSet<(String, i64, i64, i64, String)>;

fn settled(told: &[Finding]) -> Settled {
    let mut all: Vec<&Finding> = Vec::new();
    for f in told {
        let span = f.span.unwrap();
        all.retain(|old| {
            let o = old.span.unwrap();
            old.get(field::SRC_IP) != f.get(field::SRC_IP) || o.to < span.from || o.from > span.to
        });
        all.push(f);
    }
    all.iter()
        .map(|f| {
            let span = f.span.unwrap();
            let ids: Vec<String> = f.evidence.iter().map(|e| e.id.seq.to_string()).collect();
            let count = (f.get(field::FACT_COUNT).unwrap().as_f64().unwrap() * 100.0).round() as i64;
            (f.get(field::SRC_IP).unwrap().to_text().into_owned(), span.from.ms(), span.to.ms(), count, ids.join(" "))
        })
        .collect()
}

/// What a kind measures in a window, worked out the slow way; the newest instant is the window's last.
fn measured(kind: &str, window: &[Seen], steps: usize) -> f64 {
    let mut ports: Vec<f64> = window.iter().map(|s| f64::from(s.port)).collect();
    ports.sort_by(f64::total_cmp);
    let last = window.last().unwrap().time_ms;
    match kind {
        "event_count" => window.len() as f64,
        "value_count" => window.iter().map(|s| s.port).collect::<BTreeSet<_>>().len() as f64,
        "temporal" => window.iter().map(|s| s.rule).collect::<BTreeSet<_>>().len() as f64,
        "value_sum" => ports.iter().sum(),
        "value_avg" => ports.iter().sum::<f64>() / ports.len() as f64,
        "value_percentile" => ports[(ports.len() * 60).div_ceil(100) - 1],
        "share" => {
            let share = |p: u16| window.iter().filter(|s| s.port == p).count() as f64 * 100.0 / window.len() as f64;
            window.iter().filter(|s| s.time_ms == last).map(|s| share(s.port)).fold(f64::MAX, f64::min)
        }
        _ => longest(window, steps) as f64,
    }
}

/// The truth by trying every window: sort by time, cut where a pause exceeds the timespan, measure each window that ends
/// with an entry, keep the greatest that holds.
fn oracle(kind: &str, timespan_s: i64, holds: &dyn Fn(f64) -> bool, steps: usize, all: &[Seen]) -> Settled {
    let span = timespan_s * 1000;
    let mut out = BTreeSet::new();
    let sources: BTreeSet<u8> = all.iter().map(|s| s.source).collect();
    for source in sources {
        let mut mine: Vec<Seen> = all.iter().filter(|s| s.source == source && s.rule < steps).copied().collect();
        mine.sort();
        mine.dedup();
        let mut episodes: Vec<Vec<Seen>> = Vec::new();
        for s in mine {
            match episodes.last_mut() {
                Some(e) if s.time_ms - e.last().unwrap().time_ms <= span => e.push(s),
                _ => episodes.push(vec![s]),
            }
        }
        for e in episodes {
            let ends = (0..e.len()).filter(|n| e.get(n + 1).is_none_or(|next| next.time_ms > e[*n].time_ms));
            let windows = ends.map(|end| {
                let window: Vec<Seen> =
                    e.iter().filter(|s| s.time_ms <= e[end].time_ms && e[end].time_ms - s.time_ms <= span).copied().collect();
                measured(kind, &window, steps)
            });
            let held: Vec<f64> = windows.filter(|m| holds(*m)).collect();
            let peak = if kind == "share" { held.iter().copied().reduce(f64::min) } else { held.iter().copied().reduce(f64::max) };
            if let Some(peak) = peak {
                let head = e.iter().take(16);
                let tail = e.iter().skip(16.max(e.len().saturating_sub(16)));
                let ids: Vec<String> = head.chain(tail).map(|s| s.seq.to_string()).collect();
                let ip = format!("10.0.0.{source}");
                out.insert((ip, e[0].time_ms, e.last().unwrap().time_ms, (peak * 100.0).round() as i64, ids.join(" ")));
            }
        }
    }
    out
}

/// Longest run of first steps with rising or equal times, by trying all.
fn longest(window: &[Seen], steps: usize) -> u64 {
    fn from(window: &[Seen], step: usize, steps: usize, time: i64) -> u64 {
        if step == steps {
            return 0;
        }
        window
            .iter()
            .filter(|s| s.rule == step && s.time_ms >= time)
            .map(|s| 1 + from(window, step + 1, steps, s.time_ms))
            .max()
            .unwrap_or(0)
    }
    from(window, 0, steps, i64::MIN)
}

const KINDS: [&str; 8] =
    ["event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile", "share"];

type Case = (Correlation, i64, Box<dyn Fn(f64) -> bool>, usize);

fn case(kind: &str) -> Case {
    let (timespan, bound, steps) = match kind {
        "event_count" => (20, (Operator::Gte, 4.0), 1),
        "value_count" => (20, (Operator::Gte, 3.0), 1),
        "value_sum" => (20, (Operator::Gt, 9.0), 1),
        "value_avg" => (20, (Operator::Gt, 3.0), 1),
        "value_percentile" => (20, (Operator::Gte, 4.0), 1),
        "share" => (20, (Operator::Lte, 25.0), 1),
        _ => (15, (Operator::Gte, 3.0), 3),
    };
    let condition: &[(Operator, f64)] = if steps == 1 { &[bound] } else { &[] };
    let fields: &[&str] = if matches!(kind, "event_count" | "temporal" | "temporal_ordered") { &[] } else { &["dst_endpoint.port"] };
    let word = if kind == "share" { "value_percentile" } else { kind };
    let mut rule = correlation(word, &RULES[..steps], &["src_endpoint.ip"], timespan, condition, fields);
    if kind == "value_percentile" {
        rule.parameters.insert("percentile".into(), "60".into());
    }
    let bound = Bound { operator: bound.0, value: bound.1 };
    (rule, timespan, Box::new(move |m| bound.holds(m)), steps)
}

/// Events, and for each how late it arrives, within the lateness of 10 s.
fn streams() -> impl Strategy<Value = Vec<(Seen, i64)>> {
    let one = (0..120_000i64, 0..3usize, 1..3u8, 0..6u16, 0..10_000i64, any::<bool>());
    prop::collection::vec(one, 1..60).prop_map(|all| {
        all.into_iter()
            .enumerate()
            // Half the times are whole seconds: equal times and exact borders must occur.
            .map(|(n, (time, rule, source, port, late, whole))| {
                let time_ms = if whole { time / 1000 * 1000 } else { time };
                (Seen { time_ms, seq: n as u64 + 1, rule, source, port }, late)
            })
            .collect()
    })
}

/// One source, up to 120 events within 80 s, up to 5 s late.
fn dense() -> impl Strategy<Value = Vec<(Seen, i64)>> {
    let one = (0..80_000i64, 0..40u16, 0..5_000i64, any::<bool>());
    prop::collection::vec(one, 40..120).prop_map(|all| {
        let all = all.into_iter().zip(1u64..);
        all.map(|((time, port, late, whole), seq)| {
            let time_ms = if whole { time / 1000 * 1000 } else { time };
            (Seen { time_ms, seq, rule: 0, source: 1, port }, if late < 3_000 { 0 } else { late })
        })
        .collect()
    })
}

fn in_order_of_arrival(all: &[(Seen, i64)]) -> Vec<Seen> {
    let mut all = all.to_vec();
    all.sort_by_key(|(s, late)| (s.time_ms + late, s.seq));
    all.into_iter().map(|(s, _)| s).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_order_within_the_lateness_gives_the_truth(all in streams()) {
        let arrival = in_order_of_arrival(&all);
        for kind in KINDS {
            let (rule, timespan, holds, steps) = case(kind);
            let told = feed(&mut windows(&[rule]), &arrival);
            let truth = oracle(kind, timespan, &holds, steps, &arrival);
            prop_assert_eq!(settled(&told), truth, "{}", kind);
            let counted: u64 = told.iter().map(|f| f.count).sum();
            let behind: usize = told.len();
            prop_assert!(counted as usize >= behind || told.is_empty());
        }
    }

    /// Many entries in one window, some a little late: measured by sliding the window back, never by less than the whole.
    #[test]
    fn a_little_late_in_a_dense_group_gives_the_truth(all in dense()) {
        let arrival = in_order_of_arrival(&all);
        for kind in ["event_count", "value_count", "value_sum"] {
            let (rule, timespan, holds, steps) = case(kind);
            let told = feed(&mut windows(&[rule]), &arrival);
            prop_assert_eq!(settled(&told), oracle(kind, timespan, &holds, steps, &arrival), "{}", kind);
        }
    }

    #[test]
    fn looking_ahead_changes_nothing(all in streams(), looks in proptest::collection::vec((0..60usize, 0..20usize), 0..12)) {
        let arrival = in_order_of_arrival(&all);
        for kind in KINDS {
            let (rule, ..) = case(kind);
            let whole = told_text(&feed(&mut windows(std::slice::from_ref(&rule)), &arrival));
            let mut w = windows(std::slice::from_ref(&rule));
            let coming: Vec<Finding> = arrival.iter().map(finding).collect();
            let (mut told, mut now) = (Vec::new(), Timestamp::MIN);
            for (n, one) in coming.iter().enumerate() {
                // Now and then it is said what comes, and it is not always true.
                for (_, from) in looks.iter().filter(|(at, _)| *at == n) {
                    w.foresee(coming.iter().skip(n + from / 4).take(1 + from % 5));
                }
                now = now.max(one.time);
                w.saw(one.event.as_ref().unwrap(), now);
                // Heard where it stands, or handed over: the same.
                if n % 2 == 0 {
                    w.hear(one, now, &mut told);
                    continue;
                }
                let mut findings = vec![one.clone()];
                w.correlate(now, &mut findings);
                told.extend(findings.into_iter().filter(|f| f.span.is_some()));
            }
            let mut rest = Vec::new();
            w.finish(now, &mut rest);
            told.extend(rest);
            prop_assert_eq!(told_text(&told), whole, "{}", kind);
        }
    }

    #[test]
    fn saved_at_any_point_nothing_changes(all in streams(), cut in 0..60usize) {
        let arrival = in_order_of_arrival(&all);
        let cut = cut.min(arrival.len());
        for kind in KINDS {
            let (rule, ..) = case(kind);
            let whole = told_text(&feed(&mut windows(std::slice::from_ref(&rule)), &arrival));
            let mut first = windows(std::slice::from_ref(&rule));
            let mut told = Vec::new();
            let mut now = Timestamp::MIN;
            let mut step = |w: &mut Windows, s: &Seen, told: &mut Vec<Finding>| {
                let mut findings = vec![finding(s)];
                now = now.max(Timestamp::from_ms(s.time_ms));
                w.saw(findings[0].event.as_ref().unwrap(), now);
                w.correlate(now, &mut findings);
                told.extend(findings.into_iter().filter(|f| f.span.is_some()));
            };
            arrival[..cut].iter().for_each(|s| step(&mut first, s, &mut told));
            let saved = first.save();
            let mut second = windows(std::slice::from_ref(&rule));
            prop_assert_eq!(second.load(&saved, Timestamp::ZERO), Ok(0));
            prop_assert_eq!(second.save(), saved);
            arrival[cut..].iter().for_each(|s| step(&mut second, s, &mut told));
            let mut rest = Vec::new();
            second.finish(now, &mut rest);
            told.extend(rest);
            prop_assert_eq!(told_text(&told), whole);
        }
    }
}

fn told_text(told: &[Finding]) -> Vec<String> {
    told.iter().map(|f| format!("{} {:?} {:?} {:?} {}", f.time, f.span, f.reasons, f.facts, f.count)).collect()
}

fn count_rule(n: f64, timespan_s: i64) -> Correlation {
    correlation("event_count", &["a"], &["src_endpoint.ip"], timespan_s, &[(Operator::Gte, n)], &[])
}

#[test]
fn the_border_is_inclusive_and_the_telling_is_at_once() {
    let mut w = windows(&[count_rule(3.0, 60)]);
    let told = feed(&mut w, &[seen(0, 100.0, 1), seen(0, 130.0, 2), seen(0, 160.0, 3)]);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event.as_ref().unwrap().id.seq, 3, "told with the event that reached it, not at the end");
    assert!(feed(&mut windows(&[count_rule(3.0, 60)]), &[seen(0, 100.0, 1), seen(0, 130.0, 2), seen(0, 160.001, 3)]).is_empty());
}

#[test]
fn a_late_event_outside_the_window_is_not_counted() {
    assert!(feed(&mut windows(&[count_rule(3.0, 60)]), &[seen(0, 100.0, 1), seen(0, 110.0, 2), seen(0, 0.0, 3)]).is_empty());
}

#[test]
fn one_clock_a_day_ahead_does_not_wipe_the_window() {
    let mut w = windows(&[count_rule(3.0, 60)]);
    let mut told = Vec::new();
    for (s, now) in [(seen(0, 100.0, 1), 100), (seen(0, 86_400.0, 9), 105), (seen(0, 120.0, 2), 120), (seen(0, 150.0, 3), 150)] {
        let mut findings = vec![finding(&s)];
        let now = Timestamp::from_secs(now);
        w.saw(findings[0].event.as_ref().unwrap(), now);
        w.correlate(now, &mut findings);
        told.extend(findings.into_iter().filter(|f| f.span.is_some()));
    }
    assert_eq!(told.len(), 1);
    assert!(told[0].reasons.iter().any(|r| r.id == "clock_ahead"));
    assert_eq!(w.counters().clock_ahead, 1);
}

#[test]
fn a_sequence_in_the_wrong_order_is_none_and_equal_times_are_in_order() {
    let rule = || correlation("temporal_ordered", &["a", "b"], &["src_endpoint.ip"], 60, &[], &[]);
    assert!(feed(&mut windows(&[rule()]), &[seen(1, 100.0, 1), seen(0, 100.5, 2)]).is_empty());
    assert_eq!(feed(&mut windows(&[rule()]), &[seen(0, 100.5, 2), seen(1, 100.5, 1)]).len(), 1);
    assert!(feed(&mut windows(&[rule()]), &[seen(0, 100.0, 1), seen(1, 100.0, 1)]).is_empty(), "one event is no sequence");
    let late = feed(&mut windows(&[rule()]), &[seen(1, 101.0, 2), seen(0, 100.0, 1)]);
    assert_eq!(late.len(), 1, "the first step came late");
}

#[test]
fn one_event_of_two_rules_that_come_in_another_order_than_foreseen_is_each_of_its_own() {
    let mut w = windows(&[
        correlation("event_count", &["a"], &["src_endpoint.ip"], 60, &[(Operator::Gte, 9.0)], &[]),
        correlation("event_count", &["b"], &["dst_endpoint.port"], 60, &[(Operator::Gte, 2.0)], &[]),
    ]);
    let of = |rule: usize, seq: u64| finding(&Seen { port: 7, ..seen(rule, seq as f64, seq) });
    let a = of(0, 1);
    let b = Finding { rule: of(1, 1).rule, ..a.clone() };
    w.foresee([&a, &b].into_iter());
    w.correlate(Timestamp::from_secs(1), &mut vec![b]);
    w.correlate(Timestamp::from_secs(2), &mut vec![of(1, 2)]);
    assert_eq!((w.counters().entries, w.counters().told), (2, 1), "both are of rule b and of one port");
}

#[test]
fn a_flood_of_strangers_does_not_push_out_the_slow_one() {
    let limits = Limits { groups_max: 1_000, ..Limits::default() };
    let mut w = limited(&[count_rule(3.0, 600)], limits);
    let mut all = vec![seen(0, 0.0, 1), seen(0, 1.0, 2)];
    all.extend((0..20_000u64).map(|n| Seen { time_ms: 2_000 + n as i64, seq: 10 + n, rule: 0, source: 0, port: 0 }));
    all.push(seen(0, 30.0, 3));
    let mut told = Vec::new();
    for (n, s) in all.iter().enumerate() {
        let mut f = finding(s);
        if s.source == 0 {
            let mut event = Event::clone(f.event.as_ref().unwrap());
            event.body.set(field::SRC_IP, std::net::IpAddr::from([11, (n >> 16) as u8, (n >> 8) as u8, n as u8]));
            f.event = Some(Arc::new(event));
        }
        let mut findings = vec![f];
        w.correlate(Timestamp::from_ms(s.time_ms), &mut findings);
        told.extend(findings.into_iter().filter(|f| f.span.is_some()));
    }
    assert_eq!(told.len(), 1);
    assert!(w.held().0 <= 1_000);
    assert_eq!(w.counters().evicted_groups as usize + w.held().0, 20_001);
}

#[test]
fn a_flood_of_one_value_does_not_push_out_the_others() {
    let rule = correlation("value_count", &["a"], &["src_endpoint.ip"], 3_600, &[(Operator::Gte, 5.0)], &["dst_endpoint.port"]);
    let limits = Limits { entries_max: 64, ..Limits::default() };
    let mut w = limited(&[rule], limits);
    let mut all = Vec::new();
    for slow in 0..5u64 {
        all.push(Seen { time_ms: slow as i64 * 600_000, seq: slow * 1_000 + 1, rule: 0, source: 1, port: 1 + slow as u16 });
        all.extend((0..200u64).map(|n| Seen {
            time_ms: (slow * 600_000 + n * 2_000) as i64,
            seq: slow * 1_000 + 2 + n,
            rule: 0,
            source: 1,
            port: 443,
        }));
    }
    assert_eq!(
        feed(&mut w, &all[..all.len() - 200]).first().and_then(|f| f.get(field::FACT_COUNT)).and_then(event::Value::as_int),
        Some(5)
    );
}

#[test]
fn a_finding_without_the_group_field_and_a_duplicate_do_not_count() {
    let mut w = windows(&[count_rule(3.0, 60)]);
    let bare = |seq| {
        let mut f = finding(&seen(0, 100.0 + seq as f64, seq));
        let mut event = Event::clone(f.event.as_ref().unwrap());
        event.body.remove(&Name::Known(field::SRC_IP));
        f.event = Some(Arc::new(event));
        f
    };
    let mut findings: Vec<Finding> = (1..=3).map(bare).collect();
    findings.extend((0..3).map(|_| finding(&seen(0, 100.0, 7))));
    w.correlate(Timestamp::from_secs(110), &mut findings);
    assert!(findings.iter().all(|f| f.span.is_none()));
    let c = w.counters();
    assert_eq!((c.ungrouped, c.duplicates, c.entries), (3, 2, 1));
}

#[test]
fn one_burst_is_told_once_then_when_it_doubles_then_when_it_closes() {
    let mut w = windows(&[count_rule(3.0, 60)]);
    let told = feed(&mut w, &(0..50).map(|n| seen(0, 100.0 + n as f64 * 0.1, n + 1)).collect::<Vec<_>>());
    let counts: Vec<i64> = told.iter().map(|f| f.get(field::FACT_COUNT).unwrap().as_int().unwrap()).collect();
    assert_eq!(counts, [3, 6, 12, 24, 48, 50]);
    assert_eq!(told.iter().map(|f| f.count).sum::<u64>(), 50, "each event is told of once");
    assert_eq!((w.counters().told, w.counters().retold), (1, 5));
    assert_eq!(w.held(), (0, 0), "nothing is kept of what has closed");
}

#[test]
fn less_than_is_judged_when_the_episode_closes() {
    let rule = correlation("event_count", &["a"], &["src_endpoint.ip"], 60, &[(Operator::Lt, 3.0)], &[]);
    let mut w = windows(&[rule]);
    let mut findings = vec![finding(&seen(0, 100.0, 1))];
    w.saw(findings[0].event.as_ref().unwrap(), Timestamp::from_secs(100));
    w.correlate(Timestamp::from_secs(100), &mut findings);
    assert_eq!(findings.len(), 1);
    w.correlate(Timestamp::from_secs(165), &mut findings);
    assert_eq!(findings.len(), 1, "an event may still come");
    findings.clear();
    w.correlate(Timestamp::from_secs(400), &mut findings);
    assert_eq!(findings.len(), 1, "closes although nothing arrives");
}

#[test]
fn a_correlation_over_a_correlation_counts_episodes_not_tellings() {
    let mut outer = correlation("event_count", &["event_count"], &["src_endpoint.ip"], 3_600, &[(Operator::Gte, 2.0)], &[]);
    outer.meta = meta("outer");
    let rules = [count_rule(3.0, 60), outer];
    let burst = |from: f64, seq: u64| (0..20).map(move |n| seen(0, from + n as f64, seq + n));
    let one = feed(&mut windows(&rules), &burst(0.0, 1).collect::<Vec<_>>());
    assert!(one.iter().all(|f| f.rule.id != "outer"));
    let two = feed(&mut windows(&rules), &burst(0.0, 1).chain(burst(500.0, 100)).collect::<Vec<_>>());
    let outer: Vec<&Finding> = two.iter().filter(|f| f.rule.id == "outer").collect();
    assert_eq!(outer.len(), 1);
    assert_eq!(outer[0].get(field::SRC_IP).unwrap().to_text(), "10.0.0.1");
}

#[test]
fn a_backlog_hours_behind_is_still_correlated() {
    let mut w = windows(&[count_rule(3.0, 60)]);
    let mut told = 0;
    for n in 0..3u64 {
        let mut findings = vec![finding(&seen(0, 1_000.0 + n as f64 * 20.0, n + 1))];
        let now = Timestamp::from_secs(50_000 + n as i64);
        let mut live = Event::clone(findings[0].event.as_ref().unwrap());
        live.id.agent = AgentId(2);
        live.time = now;
        w.saw(&live, now);
        w.saw(findings[0].event.as_ref().unwrap(), now);
        w.correlate(now, &mut findings);
        told += findings.len() - 1;
    }
    assert_eq!(told, 1);
}

#[test]
fn what_cannot_be_given_meaning_is_named_with_its_place() {
    let rules = [
        correlation("value_median", &["a"], &[], 60, &[(Operator::Gte, 1.0)], &[]),
        correlation("event_count", &["a"], &[], 60, &[], &[]),
        correlation("value_count", &["a"], &[], 60, &[(Operator::Gte, 1.0)], &[]),
        correlation("temporal", &["a"], &[], 60, &[], &[]),
    ];
    let (windows, errors) = Windows::new(&rules, &[], Limits::default());
    assert!(windows.is_empty());
    assert_eq!(errors.len(), 4);
    let known: Vec<&str> = crate::kinds().map(|(word, _)| word).collect();
    assert_eq!(known.len(), 14);
    assert_eq!(errors[0].to_string(), format!("t.yml:1: correlation type 'value_median' is not known here (one of {})", known.join(", ")));
}

#[test]
fn damaged_state_is_refused() {
    let mut w = windows(&[count_rule(3.0, 60)]);
    let mut findings = vec![finding(&seen(0, 1.0, 1))];
    w.correlate(Timestamp::from_secs(1), &mut findings);
    let saved = w.save();
    for n in 0..saved.len() {
        assert!(w.load(&saved[..n], Timestamp::ZERO).is_err());
        let mut flipped = saved.clone();
        flipped[n] ^= 0x10;
        assert!(w.load(&flipped, Timestamp::ZERO).is_err(), "byte {n}");
    }
    assert_eq!(w.held(), (1, 1), "a refused state changes nothing");
    let mut other = windows(&[count_rule(4.0, 60)]);
    assert_eq!(other.load(&saved, Timestamp::ZERO), Ok(1), "another threshold is another rule");
}
