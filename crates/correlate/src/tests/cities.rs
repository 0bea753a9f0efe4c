//! Kinds the specification does not have: spread, stages, reach, first sights, rare values, baselines, silence.

use event::Value;

use super::*;

/// A city rule with its parameters.
fn city(kind: &str, group_by: &[&str], timespan_s: i64, gte: Option<f64>, field: Option<&str>, more: &[(&str, &str)]) -> Correlation {
    let condition: Vec<(Operator, f64)> = gte.map(|n| (Operator::Gte, n)).into_iter().collect();
    let fields: Vec<&str> = field.into_iter().collect();
    let mut rule = correlation(kind, &RULES, group_by, timespan_s, &condition, &fields);
    rule.parameters = more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    rule
}

fn at(time_s: f64, seq: u64, facts: &[(event::Field, Value)], tactics: &[&str]) -> Finding {
    let mut event = Event::new(Timestamp::from_ms((time_s * 1000.0) as i64), Kind::NetworkActivity, 1, LogSource::default());
    facts.iter().for_each(|(f, v)| event.body.set(*f, v.clone()));
    event.id = EventId { agent: AgentId(1), epoch: Epoch(1), class: Class::Normal, seq };
    let mut rule = RuleMeta::clone(&meta("a"));
    rule.tactics = tactics.iter().map(|t| (*t).to_owned()).collect();
    let evidence = vec![event::Evidence { id: event.id, time: event.time }];
    let (time, event) = (event.time, Some(Arc::new(event)));
    Finding { rule: Arc::new(rule), time, event, facts: Fields::new(), span: None, matches: vec![], reasons: vec![], evidence, count: 1 }
}

/// Findings in order of arrival; `None` is a tick. Nothing is closed at the end.
fn run(windows: &mut Windows, all: Vec<(f64, Option<Finding>)>) -> Vec<Finding> {
    let mut told = Vec::new();
    for (now, finding) in all {
        let now = Timestamp::from_ms((now * 1000.0) as i64);
        let mut findings: Vec<Finding> = finding.into_iter().collect();
        if let Some(event) = findings.first().and_then(|f| f.event.as_ref()) {
            windows.saw(event, now);
        }
        windows.correlate(now, &mut findings);
        told.extend(findings.into_iter().filter(|f| f.span.is_some()));
    }
    told
}

fn live(all: Vec<Finding>) -> Vec<(f64, Option<Finding>)> {
    all.into_iter().map(|f| (f.time.ms() as f64 / 1000.0, Some(f))).collect()
}

fn ip(n: u8) -> Value {
    Value::Ip([10, 0, 0, n].into())
}

fn edge(time_s: f64, seq: u64, from: u8, to: u8, tactics: &[&str]) -> Finding {
    at(time_s, seq, &[(field::SRC_IP, ip(from)), (field::DST_IP, ip(to))], tactics)
}

fn arg(f: &Finding, name: &str) -> String {
    f.reasons[0].args.iter().find(|(n, _)| n == name).map_or_else(String::new, |(_, v)| v.to_text().into_owned())
}

#[test]
fn spread_needs_hosts_that_reach_on_in_order_of_time_and_names_patient_zero() {
    let rule = || city("spread", &[], 3_600, Some(4.0), None, &[("spreaders", "1")]);
    let told = run(
        &mut windows(&[rule()]),
        live(vec![edge(10.0, 1, 1, 2, &[]), edge(20.0, 2, 2, 3, &[]), edge(30.0, 3, 9, 8, &[]), edge(40.0, 4, 3, 4, &[])]),
    );
    assert_eq!(told.len(), 1);
    assert_eq!(arg(&told[0], "patient_zero"), "10.0.0.1");
    assert_eq!((arg(&told[0], "count").as_str(), arg(&told[0], "spreaders").as_str()), ("4", "2"));
    let star = (0..20u8).map(|n| edge(f64::from(n), u64::from(n) + 1, 1, 2 + n, &[])).collect();
    assert!(run(&mut windows(&[rule()]), live(star)).is_empty(), "one host that reaches many is no spread");
    let backwards = vec![edge(10.0, 1, 3, 4, &[]), edge(20.0, 2, 2, 3, &[]), edge(30.0, 3, 1, 2, &[])];
    assert!(run(&mut windows(&[rule()]), live(backwards)).is_empty(), "against time nothing spreads");
    let late = vec![edge(10.0, 1, 1, 2, &[]), edge(18.0, 3, 3, 4, &[]), edge(14.0, 2, 2, 3, &[])];
    let told = run(&mut windows(&[rule()]), live(late).into_iter().map(|(_, f)| (18.0, f)).collect());
    assert_eq!(told.len(), 1, "the middle came late");
    let same = vec![edge(10.0, 1, 3, 4, &[]), edge(10.0, 2, 2, 3, &[]), edge(10.0, 3, 1, 2, &[])];
    assert_eq!(run(&mut windows(&[rule()]), live(same)).len(), 1, "equal times are in order");
}

#[test]
fn stages_are_joined_over_the_hosts_an_origin_reached_and_see_the_jump_into_control() {
    let rule = || city("stages", &[], 86_400, Some(3.0), None, &[("domains", "2")]);
    let path = || {
        vec![
            edge(10.0, 1, 1, 2, &["initial-access"]),
            edge(20.0, 2, 2, 3, &["lateral-movement"]),
            edge(30.0, 3, 3, 4, &["impair-process-control"]),
        ]
    };
    let told = run(&mut windows(&[rule()]), live(path()));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].reasons[0].id, "stages_into_control");
    assert_eq!(arg(&told[0], "origin"), "10.0.0.1");
    assert_eq!(arg(&told[0], "stages"), "initial-access, lateral-movement, impair-process-control");
    let apart = vec![
        edge(10.0, 1, 1, 2, &["initial-access"]),
        edge(20.0, 2, 5, 6, &["lateral-movement"]),
        edge(30.0, 3, 7, 8, &["impair-process-control"]),
    ];
    assert!(run(&mut windows(&[rule()]), live(apart)).is_empty(), "three strangers are no campaign");
    let office =
        vec![edge(10.0, 1, 1, 2, &["initial-access"]), edge(20.0, 2, 2, 3, &["lateral-movement"]), edge(30.0, 3, 3, 4, &["exfiltration"])];
    assert!(run(&mut windows(&[rule()]), live(office)).is_empty(), "it never came to the controllers");
}

#[test]
fn reach_asks_for_units_and_for_sectors() {
    let rule = city("reach", &["src_endpoint.ip"], 3_600, Some(3.0), Some("unit.id"), &[("across_gte", "2")]);
    let seen = |seq: u64, unit: &str, sector: &str| {
        at(seq as f64, seq, &[(field::SRC_IP, ip(9)), (field::UNIT_ID, unit.into()), (field::UNIT_SECTOR, sector.into())], &[])
    };
    let mut w = windows(&[rule]);
    let banks = live(vec![seen(1, "a", "finance"), seen(2, "b", "finance"), seen(3, "c", "finance"), seen(4, "d", "finance")]);
    assert!(run(&mut w, banks).is_empty(), "one sector only");
    let told = run(&mut w, live(vec![seen(5, "grid", "power")]));
    assert_eq!(told.len(), 1);
    assert_eq!((arg(&told[0], "count").as_str(), arg(&told[0], "across_count").as_str()), ("5", "2"));
    assert_eq!(told[0].get(field::UNIT_ID).unwrap().to_text(), "a, b, c, d, grid");
}

#[test]
fn a_value_is_new_once_and_only_after_the_time_of_learning() {
    let rule = || city("first_seen", &["device.hostname"], 30 * 86_400, None, Some("user.name"), &[("learn", "1h")]);
    let logon =
        |time: f64, seq: u64, user: &str| at(time, seq, &[(field::DEVICE_HOSTNAME, "h".into()), (field::USER_NAME, user.into())], &[]);
    let mut w = windows(&[rule()]);
    let told = run(
        &mut w,
        live(vec![
            logon(0.0, 1, "li"),
            logon(100.0, 2, "wang"),
            logon(4_000.0, 3, "li"),
            logon(4_010.0, 4, "eve"),
            logon(4_100.0, 5, "eve"),
        ]),
    );
    assert_eq!(told.len(), 1);
    assert_eq!((arg(&told[0], "values").as_str(), arg(&told[0], "known").as_str(), told[0].evidence[0].id.seq), ("eve", "2", 4));
    let saved = w.save();
    let mut w = windows(&[rule()]);
    w.load(&saved, Timestamp::from_secs(4_200)).unwrap();
    let told = run(&mut w, live(vec![logon(8_000.0, 6, "eve"), logon(8_010.0, 7, "mallory"), logon(8_100.0, 8, "li")]));
    assert_eq!(told.iter().map(|f| arg(f, "values")).collect::<Vec<_>>(), ["mallory"], "a restart forgets nobody");
    assert_eq!(w.counters().evicted_entries, 0);
}

#[test]
fn a_flood_of_new_values_is_told_in_doublings_and_stays_bounded() {
    let mut w = windows(&[city("first_seen", &[], 86_400, None, Some("user.name"), &[("learn", "1s")])]);
    let all = (0..5_000u64).map(|n| at(n as f64 * 0.01, n + 1, &[(field::USER_NAME, Value::from(format!("u{n}")))], &[])).collect();
    let told = run(&mut w, live(all));
    assert!(told.len() < 16, "{}", told.len());
    assert!(w.counters().evicted_entries > 2_000);
    assert!(w.bytes() < 1_000_000, "{}", w.bytes());
}

#[test]
fn a_rare_value_is_told_when_there_is_enough_to_compare_with() {
    let mut rule = city("rare", &["device.hostname"], 86_400, None, Some("process.name"), &[("minimum", "200")]);
    rule.condition = vec![Bound { operator: Operator::Lte, value: 1.0 }];
    let run_of = |n: u64, name: &str| at(n as f64, n + 1, &[(field::DEVICE_HOSTNAME, "h".into()), (field::PROCESS_NAME, name.into())], &[]);
    let mut all: Vec<Finding> = (0..150).map(|n| run_of(n, if n == 50 { "odd" } else { "cron" })).collect();
    all.extend((150..400).map(|n| run_of(n, if n == 300 { "nc" } else { "cron" })));
    let told = run(&mut windows(&[rule]), live(all));
    assert_eq!(told.iter().map(|f| arg(f, "values")).collect::<Vec<_>>(), ["nc"], "the first odd one came before there was enough");
    assert_eq!(told[0].get(field::FACT_COUNT).unwrap().as_f64(), Some(0.33));
}

/// All orders of ten different periods: exactly one in ten has the greatest last, and exactly those alarm.
#[test]
fn the_stated_false_alarm_rate_is_exact_whatever_the_numbers_are() {
    let rule = || city("deviation", &[], 60, Some(0.0), Some("traffic.bytes"), &[("one_in", "10")]);
    let numbers = [1.0, 2.0, 4.0, 9.0, 10.0, 50.0, 51.0, 900.0, 1_000.0, 1e6];
    let mut alarms = 0;
    // Rotations and their mirrors: each number is last equally often.
    for turn in 0..20usize {
        let order = (0..10).map(|n| if turn < 10 { (n + turn) % 10 } else { (30 - n - turn) % 10 });
        let all =
            order.enumerate().map(|(n, at_)| at(n as f64 * 60.0, n as u64 + 1, &[(field::BYTES, numbers[at_].into())], &[])).collect();
        let mut w = windows(&[rule()]);
        let mut told = run(&mut w, live(all));
        w.finish(Timestamp::from_secs(600), &mut told);
        alarms += told.len();
    }
    assert_eq!(alarms, 2);
}

#[test]
fn a_deviation_is_told_in_the_middle_of_its_period_and_quiet_periods_count() {
    let rule = city("deviation", &["device.hostname"], 60, Some(20.0), None, &[("one_in", "20"), ("factor", "2")]);
    let one = |time: f64, seq: u64| at(time, seq, &[(field::DEVICE_HOSTNAME, "h".into())], &[]);
    let mut all = Vec::new();
    for minute in 0..25u64 {
        for n in 0..(minute % 3) * 5 {
            all.push(one(minute as f64 * 60.0 + n as f64, minute * 100 + n));
        }
    }
    all.extend((0..40).map(|n| one(1_500.0 + n as f64, 9_000 + n)));
    let told = run(&mut windows(&[rule]), live(all));
    assert_eq!(told.len(), 1, "once a period");
    assert_eq!((arg(&told[0], "measured").as_str(), arg(&told[0], "most").as_str(), arg(&told[0], "one_in").as_str()), ("20", "10", "20"));
}

fn beat(time: f64, agent: u64) -> Finding {
    at(
        time,
        (time * 10.0) as u64 * 100 + agent,
        &[(field::UNIT_ID, "grid".into()), (field::AGENT_ID, Value::from(format!("a{agent}")))],
        &[],
    )
}

/// Ten agents every five seconds; those in `gone` stop at the time given. Ticks every second.
fn site(gone: &[(u64, f64)]) -> Vec<(f64, Option<Finding>)> {
    let mut all = Vec::new();
    for s in 0..300 {
        let now = f64::from(s);
        all.push((now, None));
        for agent in 0..10u64 {
            if s % 5 == agent as i32 % 5 && gone.iter().all(|(a, t)| *a != agent || now < *t) {
                all.push((now, Some(beat(now, agent))));
            }
        }
    }
    all
}

#[test]
fn one_silent_agent_and_a_silent_site_are_told_apart() {
    let rule = |scope: &str| city("silence", &["unit.id"], 30, None, Some("agent.id"), &[("scope", scope), ("share", "80")]);
    let told = |scope: &str, gone: &[(u64, f64)]| run(&mut windows(&[rule(scope)]), site(gone));
    assert!(told("one", &[]).is_empty() && told("site", &[]).is_empty());
    let one = told("one", &[(3, 100.0)]);
    assert_eq!((one.len(), arg(&one[0], "values")), (1, "a3".to_owned()));
    assert!(told("site", &[(3, 100.0)]).is_empty());
    let all: Vec<(u64, f64)> = (0..10).map(|a| (a, 100.0 + a as f64)).collect();
    let site = told("site", &all);
    assert_eq!(site.len(), 1, "the site once, not ten times");
    assert_eq!((arg(&site[0], "silent").as_str(), arg(&site[0], "members").as_str()), ("10", "10"));
    assert!(told("one", &all).is_empty(), "nobody is told one by one of a site that is down");
}

#[test]
fn after_a_restart_nobody_is_silent_for_what_was_not_heard() {
    let rule = || city("silence", &["unit.id"], 30, None, Some("agent.id"), &[("scope", "site")]);
    let mut w = windows(&[rule()]);
    run(&mut w, site(&[]));
    let saved = w.save();
    let mut w = windows(&[rule()]);
    w.load(&saved, Timestamp::from_secs(5_000)).unwrap();
    let ticks = |from: i32, to: i32| (from..to).map(|s| (f64::from(s), None)).collect::<Vec<_>>();
    assert!(run(&mut w, ticks(5_000, 5_030)).is_empty());
    assert!(!run(&mut w, ticks(5_030, 5_100)).is_empty(), "but later it is");
}

/// When names nobody bears any more fill the room, those of the finding that opens a group at that moment are not among them.
#[test]
fn making_room_among_the_names_takes_none_from_the_present_finding() {
    let rule = city("event_count", &["user.name"], 2, Some(2.0), None, &[]);
    let mut w = limited(&[rule], Limits { bytes_max: 100_000, lateness_s: 1, ..Limits::default() });
    let user = |n: u64| Value::from(format!("user{}", n / 2));
    let all = (0..12_000u64).map(|n| at(n as f64 * 0.5, n + 1, &[(field::USER_NAME, user(n))], &[])).collect();
    let told = run(&mut w, live(all));
    let names: Vec<String> = told.iter().map(|f| f.get(field::USER_NAME).unwrap().to_text().into_owned()).collect();
    assert_eq!(names, (0..6_000).map(|n| format!("user{n}")).collect::<Vec<_>>());
    assert_eq!(w.counters().evicted_groups, 0);
    assert!(w.bytes() < 100_000, "{}", w.bytes());
}

#[test]
fn an_unknown_parameter_is_named() {
    let rule = city("spread", &[], 60, Some(3.0), None, &[("hop", "2")]);
    let (_, errors) = Windows::new(&[rule], &[], Limits::default());
    assert_eq!(errors[0].to_string(), "t.yml:1: 'hop' means nothing to spread (it knows spreaders, from, to)");
}

/// Time and how late, from, to, tactic.
type Raw = (i64, i64, u8, u8, u8);

fn mixed() -> impl Strategy<Value = Vec<Raw>> {
    prop::collection::vec((0..200_000i64, 0..10_000i64, 1..6u8, 1..6u8, 0..4u8), 1..50)
}

/// Edges, tactics, users and bytes from one stream, so that every kind has something to do; each with its time of arrival.
fn findings(all: &[Raw]) -> Vec<(f64, Finding)> {
    let tactics = ["initial-access", "lateral-movement", "exfiltration", "impair-process-control"];
    let list = all.iter().copied().enumerate().map(|(n, (time, late, from, to, stage))| {
        let facts = [
            (field::SRC_IP, ip(from)),
            (field::DST_IP, ip(to)),
            (field::USER_NAME, Value::from(format!("u{from}"))),
            (field::UNIT_ID, Value::from(format!("unit{to}"))),
            (field::UNIT_SECTOR, Value::from(format!("sector{}", to % 3))),
            (field::BYTES, Value::from(u64::from(from) * 100)),
        ];
        let finding = at(time as f64 / 1000.0, n as u64 + 1, &facts, &[tactics[usize::from(stage)]]);
        ((time + late) as f64 / 1000.0, finding)
    });
    list.collect()
}

fn all_kinds() -> Vec<Correlation> {
    let mut rare = city("rare", &[], 60, None, Some("user.name"), &[("minimum", "10")]);
    rare.condition = vec![Bound { operator: Operator::Lte, value: 20.0 }];
    let mut rules = vec![
        rare,
        city("spread", &[], 30, Some(3.0), None, &[("spreaders", "1")]),
        city("stages", &[], 30, Some(3.0), None, &[]),
        city("reach", &["src_endpoint.ip"], 60, Some(2.0), Some("unit.id"), &[("across_gte", "2")]),
        city("first_seen", &["dst_endpoint.ip"], 100, None, Some("src_endpoint.ip"), &[("learn", "20s")]),
        city("deviation", &[], 10, Some(100.0), Some("traffic.bytes"), &[("one_in", "10")]),
        city("silence", &["unit.id"], 20, None, Some("user.name"), &[("minimum", "1"), ("hold", "5s")]),
    ];
    for (n, rule) in rules.iter_mut().enumerate() {
        rule.meta = meta(&format!("r{n}"));
    }
    rules
}

fn last_of_each(told: &[Finding]) -> BTreeSet<String> {
    let mut last = BTreeMap::new();
    for f in told {
        let mut group = f.facts.clone();
        group.remove(&Name::Known(field::FACT_COUNT));
        let key = (f.rule.id.clone(), f.span.unwrap().from, f.get(field::SRC_IP).map(|v| v.to_text().into_owned()));
        let ids: Vec<u64> = f.evidence.iter().map(|e| e.id.seq).collect();
        last.insert(key, format!("{} {:?} {:?} {ids:?}", f.rule.id, f.span.unwrap(), f.get(field::FACT_COUNT)));
    }
    last.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is told in the end is the same for every order of arrival within the lateness. (The kinds that tell one by one are compared
    /// as they are told; the clock of arrival is the same for both, so that time passes alike.)
    #[test]
    fn order_of_arrival_changes_nothing(all in mixed()) {
        let all = findings(&all);
        for rule in all_kinds().into_iter().filter(|r| !matches!(r.kind.as_str(), "stages" | "spread" | "reach")) {
            let told = |by_arrival: bool| {
                let mut order = all.clone();
                order.sort_by(|a, b| if by_arrival { a.0.total_cmp(&b.0) } else { a.1.time.cmp(&b.1.time) });
                let mut w = windows(std::slice::from_ref(&rule));
                let mut now = 0.0f64;
                let list = order.into_iter().map(|(arrival, f)| {
                    now = now.max(if by_arrival { arrival } else { f.time.ms() as f64 / 1000.0 });
                    (now, Some(f))
                });
                let mut told = run(&mut w, list.collect());
                w.correlate(Timestamp::from_secs(600), &mut told);
                w.finish(Timestamp::from_secs(600), &mut told);
                last_of_each(&told)
            };
            prop_assert_eq!(told(true), told(false), "{}", rule.kind);
        }
    }

    #[test]
    fn windows_of_edges_are_as_good_as_trying_everything(all in mixed()) {
        let all = findings(&all);
        let mut order = all.clone();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        for rule in all_kinds().into_iter().filter(|r| matches!(r.kind.as_str(), "stages" | "spread")) {
            let mut w = windows(std::slice::from_ref(&rule));
            let mut now = 0.0f64;
            let list = order.iter().map(|(arrival, f)| { now = now.max(*arrival); (now, Some(f.clone())) });
            let mut told = run(&mut w, list.collect());
            w.finish(Timestamp::from_secs(600), &mut told);
            let most = told.iter().filter_map(|f| f.get(field::FACT_COUNT)?.as_int()).max().unwrap_or(0);
            prop_assert_eq!(most, by_force(&rule.kind, &all), "{}", rule.kind);
        }
    }

    #[test]
    fn every_kind_saved_at_any_point_goes_on_as_before(all in mixed(), cut in 0..50usize) {
        let all = findings(&all);
        let mut order = live(all.iter().map(|(_, f)| f.clone()).collect());
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let cut = cut.min(order.len());
        let rules = all_kinds();
        let end = |w: &mut Windows, told: &mut Vec<Finding>| {
            w.correlate(Timestamp::from_secs(600), told);
            w.finish(Timestamp::from_secs(600), told);
        };
        let mut w = windows(&rules);
        let mut whole = run(&mut w, order.clone());
        end(&mut w, &mut whole);
        let mut w = windows(&rules);
        let mut told = run(&mut w, order[..cut].to_vec());
        let saved = w.save();
        let mut w = windows(&rules);
        prop_assert_eq!(w.load(&saved, Timestamp::MIN), Ok(0));
        prop_assert_eq!(w.save(), saved);
        w.sweep();
        told.extend(run(&mut w, order[cut..].to_vec()));
        end(&mut w, &mut told);
        prop_assert_eq!(told_text(&told), told_text(&whole));
    }
}

/// Greatest measure of any window of 30 s that reaches 3, by walking every path.
fn by_force(kind: &str, all: &[(f64, Finding)]) -> i64 {
    let host = |f: &Finding, side| f.get(side).and_then(Value::as_ip).unwrap();
    let edges: Vec<_> =
        all.iter().map(|(_, f)| (f.time.ms(), host(f, field::SRC_IP), host(f, field::DST_IP), f.rule.tactics[0].clone())).collect();
    let edges: Vec<_> = if kind == "spread" { edges.into_iter().filter(|e| e.1 != e.2).collect() } else { edges };
    let mut best = 0;
    for end in &edges {
        let window: Vec<_> = edges.iter().filter(|e| e.0 <= end.0 && end.0 - e.0 <= 30_000).collect();
        for origin in &window {
            // Host → earliest time it is reached; as long as anything gets better.
            let mut reached = BTreeMap::from([(origin.1, (i64::MIN, 0u32))]);
            loop {
                let mut grown = false;
                for e in &window {
                    if let Some((since, _)) = reached.get(&e.1).copied()
                        && since <= e.0
                        && reached.get(&e.2).is_none_or(|(t, _)| *t > e.0)
                    {
                        reached.insert(e.2, (e.0, 1));
                        grown = true;
                    }
                }
                if !grown {
                    break;
                }
            }
            let along = window.iter().filter(|e| reached.get(&e.1).is_some_and(|(since, _)| *since <= e.0));
            let along: Vec<_> = along.collect();
            let measured = if kind == "stages" {
                along.iter().map(|e| &e.3).collect::<BTreeSet<_>>().len()
            } else {
                let far = along.iter().any(|e| e.1 != origin.1 && e.2 != origin.1);
                if far { reached.len() } else { 0 }
            };
            best = best.max(measured as i64);
        }
    }
    if best >= 3 { best } else { 0 }
}
