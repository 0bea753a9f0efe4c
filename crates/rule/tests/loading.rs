//! Files, references, filters, correlations and what is said when they are wrong.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use event::{Event, Field, Finding, Kind, LogSource, Name, Severity, Timestamp, field};
use rule::{Mappings, Operator, Options, RuleError, RuleSet, Source};

fn load(text: &str) -> (RuleSet, Vec<RuleError>) {
    load_with(text, &Mappings::none())
}

fn load_with(text: &str, mappings: &Mappings) -> (RuleSet, Vec<RuleError>) {
    RuleSet::from_sources(&[Source { path: "r.yml".into(), text: text.into() }], mappings, &Options::default())
}

fn good(text: &str) -> RuleSet {
    let (set, errors) = load(text);
    assert_eq!(errors, []);
    set
}

fn only_error(text: &str) -> String {
    let (_, errors) = load(text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].to_string()
}

fn event(source: LogSource, fields: &[(&str, &str)]) -> Arc<Event> {
    let mut event = Event::new(Timestamp::from_secs(7), Kind::Base, 0, source);
    for (name, value) in fields {
        event.body.set(Name::from(*name), *value);
    }
    Arc::new(event)
}

fn detect(set: &RuleSet, event: &Arc<Event>) -> Vec<Finding> {
    let mut out = Vec::new();
    set.detect(event, &mut out);
    out
}

fn ids(set: &RuleSet, event: &Arc<Event>) -> Vec<String> {
    detect(set, event).iter().map(|f| f.rule.id.clone()).collect()
}

const A: &str = "title: A\nid: a\nname: first\nlogsource: {product: linux}\ndetection:\n    selection:\n        F|contains: x\n    condition: selection\n";
const B: &str = "title: B\nid: b\nlogsource: {product: linux, service: sshd}\ndetection:\n    selection:\n        F|contains: x\n    condition: selection\n";

#[test]
fn a_bad_rule_never_stops_the_others() {
    let bad =
        "title: Bad\nid: bad\nlogsource: {product: linux}\ndetection:\n    selection:\n        F|contians: x\n    condition: selection\n";
    let (set, errors) = load(&format!("{A}---\n{bad}---\n{B}"));
    assert_eq!(set.rules().iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to_string(), "r.yml:15:10: unknown modifier 'contians' (did you mean 'contains'?)");
}

#[test]
fn a_yaml_slip_is_named_by_its_line_in_the_file() {
    let (set, errors) = load(&format!("{A}---\ntitle: Bad\nlogsource:\n  product: linux\n detection: [\n---\n{B}"));
    assert_eq!(set.rules().len(), 2);
    assert_eq!((errors.len(), errors[0].line), (1, 13), "{errors:?}");
}

#[test]
fn places_of_mistakes() {
    let with = |from: &str, to: &str| A.replace(from, to);
    for (text, want) in [
        (
            with("condition: selection", "condition: selektion"),
            "r.yml:8:5: the condition names 'selektion', which is no search of this rule (did you mean 'selection'?)",
        ),
        (
            with("contains: x", "re: '(?=x)'"),
            "r.yml:7:9: 'F': look-around is not supported (supported are classes, alternation, groups, quantifiers and anchors)",
        ),
        (with("product: linux", "product: Linux"), "r.yml:4:22: 'Linux' is no log source word (lower case, '_' for a space)"),
        (
            with("{product: linux}", "{definition: x}"),
            "r.yml:4:1: no log source (name a category, a product or a service under 'logsource:')",
        ),
        (with("title: A\n", ""), "r.yml:4:1: no 'title' (add 'title:')"),
        (format!("{A}level: hihg\n"), "r.yml:9:1: unknown level 'hihg' (informational, low, medium, high or critical)"),
        (format!("{A}alerts: maybe\n"), "r.yml:9:1: 'alerts' is neither true nor false (write 'alerts: false')"),
        (format!("{A}sigma-version: 3\n"), "r.yml:9:1: written for a later version of Sigma (this program reads Sigma 2.1)"),
        (
            format!("action: global\n{A}"),
            "r.yml:1:1: collection actions are not part of Sigma 2.1 (write each rule as a document of its own)",
        ),
        ("# only\n- a\n- list\n".to_owned(), "r.yml:2:0"),
        ("title: nothing\n".to_owned(), "r.yml:1:1: neither a detection, a correlation nor a filter (add a section 'detection:')"),
    ] {
        let error = only_error(&text);
        let want = want.strip_suffix(":0").unwrap_or(want);
        assert!(error.starts_with(want), "\n{error}\n{want}");
    }
}

#[test]
fn ids_and_names_are_unique() {
    assert!(only_error(&format!("{A}---\n{A}")).contains("id 'a' is taken by a rule of r.yml"));
    let same_name = B.replace("id: b", "id: b\nname: first");
    assert!(only_error(&format!("{A}---\n{same_name}")).contains("name 'first' is taken"));
}

#[test]
fn what_a_rule_says_about_itself() {
    let set = good(
        "title: T\nid: x\ntitle_zh: 标题\ndescription: d\nauthor: me\nlevel: high\nalerts: false\ngroup_by: [SourceIp, user.name]\ntags: [attack.t1046, attack.t1110.001, attack.lateral-movement, attack.g0016, cve.2024-1]\nlogsource: {category: c}\ndetection: {s: {A: 1}, condition: s}\n",
    );
    let meta = &set.rules()[0];
    assert_eq!((meta.title_zh.as_str(), meta.severity, meta.alerts, meta.author.as_str()), ("标题", Severity::High, false, "me"));
    assert_eq!((meta.techniques.join(" "), meta.tactics.join(" ")), ("T1046 T1110.001".to_owned(), "lateral-movement".to_owned()));
    assert_eq!(meta.group_by, ["SourceIp", "user.name"]);
    assert_eq!(good(A).rules()[0].severity, Severity::Medium, "no level");
}

#[test]
fn only_rules_whose_log_source_fits_are_asked() {
    let set = good(&format!("{A}---\n{B}"));
    let hit = |product, category, service| ids(&set, &event(LogSource::new(product, category, service), &[("F", "axb")]));
    assert_eq!(hit("linux", "", "sshd"), ["a", "b"]);
    assert_eq!(hit("linux", "auth", "sshd"), ["a", "b"]);
    assert_eq!(hit("linux", "", "cron"), ["a"]);
    assert_eq!(hit("", "", "sshd"), [""; 0]);
    assert_eq!(hit("windows", "", "sshd"), [""; 0]);
}

#[test]
fn mapped_names_and_log_sources_and_the_events_own_name_wins() {
    let (mappings, errors) = Mappings::from_sources(&[Source {
        path: "m.yml".into(),
        text: "fields: {SourceIp: [src_endpoint.ip, device.ip]}\nsources:\n  - rule: {category: firewall}\n    events: [{category: network_connection, service: flow}]\n".into(),
    }]);
    assert_eq!(errors, []);
    let (set, errors) = load_with(
        "title: T\nid: x\ngroup_by: [SourceIp]\nlogsource: {category: firewall}\ndetection: {s: {SourceIp|cidr: 10.0.0.0/8}, condition: s}\n",
        &mappings,
    );
    assert_eq!(errors, []);
    let flow = LogSource::new("", "network_connection", "flow");
    let with = |fields: &[(Field, &str)]| {
        let mut event = Event::new(Timestamp::ZERO, Kind::NetworkActivity, 6, flow.clone());
        fields.iter().for_each(|(f, ip)| event.body.set(*f, ip.parse::<std::net::IpAddr>().unwrap()));
        event
    };
    let found = detect(&set, &Arc::new(with(&[(field::SRC_IP, "10.1.1.1")])));
    assert_eq!((found[0].matches[0].field.as_str(), found[0].matches[0].pattern.as_str()), ("SourceIp", "cidr '10.0.0.0/8'"));
    assert_eq!(found[0].matches[0].value.to_text(), "10.1.1.1");
    assert!(detect(&set, &Arc::new(with(&[(field::DEVICE_IP, "10.1.1.1")]))).len() == 1, "second name");
    assert!(
        detect(&set, &Arc::new(with(&[(field::SRC_IP, "8.8.8.8"), (field::DEVICE_IP, "10.1.1.1")]))).is_empty(),
        "the first that is there counts"
    );
    let mut own = with(&[(field::SRC_IP, "10.1.1.1")]);
    own.body.set(Name::from("SourceIp"), "8.8.8.8");
    assert!(detect(&set, &Arc::new(own)).is_empty());
    assert_eq!(set.rules()[0].group_by, ["src_endpoint.ip"]);
}

#[test]
fn a_finding_carries_its_reasons() {
    let set = good(
        "title: T\nid: x\nlogsource: {product: p}\ndetection:\n  sel: {Cmd|contains: [aaa, bbb], Port: 22}\n  words: [needle]\n  no: {User: root}\n  condition: sel and words and not no\n",
    );
    let event = event(LogSource::new("p", "", ""), &[("Cmd", "x BBB y"), ("Port", "22"), ("M", "the Needle")]);
    let finding = detect(&set, &event).remove(0);
    let mut shown: Vec<_> = finding.matches.iter().map(|m| format!("{}={} {}", m.field, m.value.to_text(), m.pattern)).collect();
    shown.sort();
    assert_eq!(shown, ["=the Needle contains 'needle'", "Cmd=x BBB y contains 'bbb'", "Port=22 is '22'"]);
    assert_eq!((finding.reasons[0].id.as_ref(), finding.evidence[0].time, finding.count), ("matched", Timestamp::from_secs(7), 1));
    assert!(Arc::ptr_eq(finding.event.as_ref().unwrap(), &event));
}

#[test]
fn why_and_why_not() {
    let set = good(
        "title: T\nid: x\nlogsource: {product: p}\ndetection:\n  sel: {Port: [22, 23], User|startswith: ad}\n  no: {Net: lan}\n  condition: sel and not no\n",
    );
    let why = |fields: &[(&str, &str)]| set.explain(&event(LogSource::new("p", "", ""), fields), "x").unwrap();
    assert!(why(&[("Port", "22"), ("User", "admin")]).matched);
    let not = why(&[("Port", "80"), ("User", "admin")]);
    assert!(!not.matched && not.source_fits);
    assert_eq!(
        not.to_string(),
        "no match T (x)\n  - and\n    - sel\n      - and\n        - Port is '22' or is '23'   [80]\n        + User startswith 'ad'   [admin]\n    + not\n      - no\n        - Net is 'lan'   [no such field]\n"
    );
    let other = set.explain(&event(LogSource::new("q", "", ""), &[]), "x").unwrap();
    assert!(!other.source_fits && other.to_string().contains("the rule is about p/*/*"));
    assert!(set.explain(&event(LogSource::default(), &[]), "nobody").is_none());
}

#[test]
fn filters_narrow_or_exclude_the_rules_they_name() {
    let filter = |rules: &str, condition: &str| {
        format!(
            "{A}---\n{B}---\ntitle: Fi\nlogsource: {{product: linux}}\nfilter:\n  rules: {rules}\n  selection: {{User: adm}}\n  condition: {condition}\n"
        )
    };
    let found = |text: &str, user: &str| ids(&good(text), &event(LogSource::new("linux", "", "sshd"), &[("F", "x"), ("User", user)]));
    assert_eq!(found(&filter("[a]", "not selection"), "adm"), ["b"]);
    assert_eq!(found(&filter("[first]", "not selection"), "bob"), ["a", "b"]);
    assert_eq!(found(&filter("any", "not selection"), "adm"), [""; 0]);
    assert_eq!(found(&filter("any", "selection"), "adm"), ["a", "b"]);
    assert_eq!(found(&filter("any", "selection"), "bob"), [""; 0]);
    assert!(only_error(&filter("[nobody]", "selection")).contains("'nobody', which is not loaded"));
    assert!(only_error(&filter("[]", "selection")).contains("names no rules"));
    assert!(only_error(&filter("[a]", "not selektion")).contains("'selektion', which is no search"));
    let narrow =
        filter("[a]", "selection").replace("logsource: {product: linux}\nfilter", "logsource: {product: linux, service: sshd}\nfilter");
    assert!(only_error(&narrow).contains("'a' has another log source than the filter"));
}

fn correlation(id: &str, rules: &str, more: &str) -> String {
    format!(
        "title: {id}\nid: {id}\ncorrelation:\n  type: event_count\n  rules: {rules}\n  timespan: 5m\n  group-by: [who]\n  condition: {{gte: 3, lt: 10}}\n{more}"
    )
}

#[test]
fn correlations_are_resolved_by_id_or_name_and_ordered() {
    let set = good(
        &[correlation("top", "[mid, a]", ""), correlation("mid", "[low]", ""), correlation("low", "[first, b]", ""), A.into(), B.into()]
            .join("---\n"),
    );
    let order: Vec<_> = set.correlations().iter().map(|c| c.meta.id.as_str()).collect();
    assert_eq!(order, ["low", "mid", "top"]);
    let low = &set.correlations()[0];
    assert_eq!(low.rules.iter().map(|r| (r.id.as_str(), r.correlation)).collect::<Vec<_>>(), [("a", false), ("b", false)]);
    assert_eq!((low.kind.as_str(), low.timespan_ns, low.line), ("event_count", 300_000_000_000, 19));
    assert_eq!(low.condition.iter().map(|b| (b.operator, b.value)).collect::<Vec<_>>(), [(Operator::Gte, 3.0), (Operator::Lt, 10.0)]);
    assert!(low.condition.iter().all(|b| b.holds(3.0)) && !low.condition.iter().all(|b| b.holds(10.0)));
    assert!(set.correlations()[2].rules[0].correlation);
}

#[test]
fn a_rule_that_only_feeds_correlations_raises_no_alert_unless_told() {
    let alerts = |text: &str| good(text).rules()[0].alerts;
    assert!(alerts(A));
    assert!(!alerts(&format!("{A}---\n{}", correlation("c", "[a]", ""))));
    assert!(alerts(&format!("{A}---\n{}", correlation("c", "[a]", "generate: true\n"))));
    assert!(alerts(&format!("{A}alerts: true\n---\n{}", correlation("c", "[a]", ""))));
    let set = good(&[A.into(), correlation("low", "[a]", ""), correlation("top", "[low]", "")].join("---\n"));
    assert_eq!(set.correlations().iter().map(|c| c.meta.alerts).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn circles_and_lost_references_are_refused() {
    let (set, errors) = load(
        &[correlation("x", "[y]", ""), correlation("y", "[x]", ""), correlation("z", "[z]", ""), correlation("ok", "[a]", ""), A.into()]
            .join("---\n"),
    );
    assert_eq!((set.correlations().len(), errors.len()), (1, 3));
    assert!(errors.iter().all(|e| e.what.contains("in a circle") && e.line > 0), "{errors:?}");
    let (_, errors) = load(&[correlation("x", "[gone]", ""), correlation("y", "[x]", "")].join("---\n"));
    assert_eq!(
        errors.iter().map(|e| e.what.as_str()).collect::<Vec<_>>(),
        ["refers to 'gone', which is not loaded", "refers to a correlation that was refused"]
    );
}

#[test]
fn aliases_and_mappings_give_each_rule_its_own_names() {
    let (mappings, _) = Mappings::from_sources(&[Source { path: "m.yml".into(), text: "fields: {ip: dst_endpoint.ip}\n".into() }]);
    let text = [
        A.into(),
        B.into(),
        "title: C\nid: c\ncorrelation:\n  type: value_count\n  rules: [first, b]\n  timespan: 1d\n  group-by: [internal, user.name]\n  aliases:\n    internal: {first: ip, b: other}\n  condition: {field: [port, ip], gt: 2.5}\n  percentile: 95\n".to_owned(),
        "title: D\nid: d\ncorrelation:\n  type: temporal\n  rules: [c, a]\n  timespan: 90s\n  group-by: internal\n".to_owned(),
    ];
    let (set, errors) = load_with(&text.join("---\n"), &mappings);
    assert_eq!(errors, []);
    let names = |c: usize, key: usize, rule: usize| {
        set.correlations()[c].group_by[key].names_for(rule).iter().map(|n| n.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names(0, 0, 0), names(0, 0, 1)), (vec!["ip".to_owned(), "dst_endpoint.ip".to_owned()], vec!["other".to_owned()]));
    assert_eq!(names(0, 1, 1), ["user.name"]);
    assert_eq!(names(1, 0, 0), ["internal", "ip", "dst_endpoint.ip", "other"]);
    let c = &set.correlations()[0];
    assert_eq!(c.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["port", "ip"]);
    assert_eq!((c.condition[0].value, c.parameters.get("percentile").map(String::as_str)), (2.5, Some("95")));
    assert!(set.correlations()[1].condition.is_empty());
}

#[test]
fn mistakes_in_correlations_are_named() {
    let with = |from: &str, to: &str| format!("{}---\n{A}", correlation("c", "[a]", "").replace(from, to));
    for (from, to, want) in [
        ("timespan: 5m", "timespan: 5x", "r.yml:6:3: '5x' is no timespan"),
        ("timespan: 5m", "timespan: 0s", "'0s' is no timespan"),
        ("timespan: 5m", "timespan: 99999999999999999999d", "is no timespan"),
        ("gte: 3", "gte: many", "'gte' needs a number"),
        ("gte: 3", "get: 3", "unknown key 'get' in the condition (did you mean 'gt'?)"),
        ("group-by", "group_by", "unknown key 'group_by' in the correlation (did you mean 'group-by'?)"),
        ("  type: event_count\n", "", "no 'type'"),
        ("rules: [a]", "rules: []", "names no rules"),
        ("{gte: 3, lt: 10}", "a and b", "the condition of a correlation is not a map"),
        ("title: c\n", "", "no 'title'"),
    ] {
        let error = only_error(&with(from, to));
        assert!(error.contains(want), "{error}\n{want}");
    }
}

#[test]
fn folders_are_read_in_order_and_what_cannot_be_read_is_named() {
    let folder = std::env::temp_dir().join(format!("vedette-rule-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(folder.join("b.yml"), B).unwrap();
    std::fs::write(folder.join("sub/a.yaml"), A).unwrap();
    std::fs::write(folder.join("bad.yml"), [0xff, 0xfe, 0x00]).unwrap();
    std::fs::write(folder.join("notes.txt"), "no rule").unwrap();
    let (set, errors) = RuleSet::load(&[folder.as_path(), std::path::Path::new("/nowhere.yml")], &Mappings::none(), &Options::default());
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(set.rules().iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    let whats: Vec<_> = errors.iter().map(|e| e.what.as_str()).collect();
    assert!(
        whats.len() == 2 && whats.contains(&"the file is not UTF-8") && whats.iter().any(|w| w.starts_with("cannot be read")),
        "{errors:?}"
    );
}
