//! City-like streams through four correlations: what is missed, how much memory, how much processor time an event.
//!
//! `cargo run --release -p correlate --example city` runs every stream in a process of its own (so that memory is measured alone)
//! and prints a line of JSON and some `FIGURE` lines for each; `-- pairs`, `-- scanners`, `-- flood` runs one. `-- pairs --write FOLDER` writes the stream
//! as JSON lines and the rules as YAML instead, for another engine to be measured on the same input.
//!
//! * `pairs`: 500,000 logons in an hour, 20,000 sources × 2,000 hosts at random, one in ten succeeds; two in a hundred come late.
//! * `scanners`: 200,000 logons, 50 scanners make six of ten of them.
//! * `flood`: 300,000 spoofed sources at one host within five minutes, and 50 patient attackers at others.
//!
//! The truth is worked out afterwards from the same stream, by sorting it and trying every window.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use correlate::{Limits, Windows};
use event::{
    AgentId, Class, Epoch, Event, EventId, Evidence, Fields, Finding, Kind, LogSource, Name, RuleMeta, SECOND_NS, Severity, Timestamp,
    field,
};
use rule::{Bound, Correlation, GroupKey, Operator, RuleRef};

const FAILED: &str = "logon_failed";
const ACCEPTED: &str = "logon_accepted";
const HOSTS: u64 = 2_000;
/// A stream that is written begins here: a number of this size is read as milliseconds by everybody.
const WRITTEN_FROM_MS: i64 = 1_750_000_000_000;

#[derive(Clone, Copy)]
struct Logon {
    time_ms: i64,
    arrival_ms: i64,
    source: u32,
    host: u16,
    accepted: bool,
    bytes: u32,
    seq: u64,
}

/// SplitMix64: the same stream everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// The events of a stream in order of arrival, made as they are asked for.
fn stream(name: &str) -> impl Iterator<Item = Logon> {
    let name = name.to_owned();
    let (count, span_ms) = match name.as_str() {
        "pairs" => (500_000u64, 3_600_000i64),
        "scanners" => (200_000, 3_600_000),
        _ => (300_000 + 50 * 8, 300_000),
    };
    let mut chance = Chance(42);
    let mut held: BTreeMap<(i64, u64), Logon> = BTreeMap::new();
    let mut made = 0u64;
    std::iter::from_fn(move || {
        loop {
            let now = made as i64 * span_ms / count as i64;
            if let Some(first) = held.first_entry().filter(|e| e.key().0 <= now || made >= count) {
                return Some(first.remove());
            }
            if made >= count {
                return None;
            }
            made += 1;
            let mut one = Logon {
                time_ms: now,
                arrival_ms: now,
                source: 1_000 + chance.below(20_000) as u32,
                host: chance.below(HOSTS) as u16,
                accepted: chance.below(10) == 0,
                bytes: 200 + chance.below(4_000) as u32,
                seq: made,
            };
            match name.as_str() {
                "scanners" if chance.below(10) < 6 => one.source = chance.below(50) as u32,
                "flood" if made % 751 == 7 => {
                    // Fifty attackers, each at a host of its own, eight attempts spread over the five minutes.
                    one.source = ((made / 751) % 50) as u32;
                    one.host = 100 + one.source as u16;
                    one.accepted = false;
                }
                "flood" => {
                    one.source = 100_000 + made as u32;
                    one.host = 7;
                    one.accepted = false;
                }
                _ => {}
            }
            if chance.below(50) == 0 {
                one.arrival_ms += chance.below(8_000) as i64;
            }
            held.insert((one.arrival_ms, made), one);
        }
    })
}

fn meta(id: &str) -> Arc<RuleMeta> {
    Arc::new(RuleMeta {
        id: id.into(),
        name: Some(id.into()),
        title: id.into(),
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

/// Type, rules, group-by, seconds, bound, field.
type Row = (&'static str, &'static [&'static str], &'static [&'static str], i64, Option<f64>, Option<&'static str>);

const SOURCE: &str = "src_endpoint.ip";
const HOST: &str = "device.hostname";

const ROWS: [Row; 4] = [
    ("event_count", &[FAILED], &[SOURCE], 300, Some(7.0), None),
    ("value_count", &[FAILED], &[SOURCE], 300, Some(8.0), Some(HOST)),
    ("temporal_ordered", &[FAILED, ACCEPTED], &[SOURCE, HOST], 600, None, None),
    ("value_sum", &[FAILED, ACCEPTED], &[SOURCE], 300, Some(20_000.0), Some("traffic.bytes_out")),
];

fn rules() -> Vec<Correlation> {
    let build = |(kind, rules, group_by, timespan_s, bound, counted): Row| {
        let key = |name: &&str| GroupKey { name: (*name).into(), names: vec![vec![Name::from(*name)]; rules.len()] };
        Correlation {
            meta: meta(kind),
            kind: kind.into(),
            rules: rules.iter().map(|r| RuleRef { id: (*r).into(), correlation: false }).collect(),
            timespan_ns: timespan_s * SECOND_NS,
            group_by: group_by.iter().map(key).collect(),
            condition: bound.map(|value| Bound { operator: Operator::Gte, value }).into_iter().collect(),
            fields: counted.iter().map(key).collect(),
            parameters: BTreeMap::new(),
            generate: false,
            path: String::new(),
            line: 1,
        }
    };
    ROWS.into_iter().map(build).collect()
}

fn address(source: u32) -> std::net::IpAddr {
    std::net::Ipv4Addr::from(0x0a00_0000 | source).into()
}

fn important(host: u16) -> bool {
    host.is_multiple_of(20) || (100..150).contains(&host)
}

fn finding(one: &Logon, failed: &Arc<RuleMeta>, accepted: &Arc<RuleMeta>) -> Finding {
    let mut event = Event::new(Timestamp::from_ms(one.time_ms), Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
        .with(field::SRC_IP, address(one.source))
        .with(field::DEVICE_HOSTNAME, format!("host{}", one.host))
        .with(field::AGENT_ID, AgentId(u64::from(one.host) + 1).to_string())
        .with(field::USER_NAME, "root")
        .with(field::BYTES_OUT, one.bytes)
        .with(field::UNIT_ID, format!("unit{}", one.host / 40))
        .with(field::UNIT_SECTOR, ["power", "finance", "telecom", "transport", "energy"][usize::from(one.host) % 5])
        .with(field::OBJECT_IMPORTANCE, if important(one.host) { 3 } else { 1 });
    event.id = EventId { agent: AgentId(u64::from(one.host) + 1), epoch: Epoch(1), class: Class::Normal, seq: one.seq };
    Finding {
        rule: Arc::clone(if one.accepted { accepted } else { failed }),
        time: event.time,
        evidence: vec![Evidence { id: event.id, time: event.time }],
        event: Some(Arc::new(event)),
        facts: Fields::new(),
        span: None,
        matches: vec![],
        reasons: vec![],
        count: 1,
    }
}

/// Rule, source, host where the group has one.
type Group = (&'static str, u32, Option<u16>);

fn group_of(f: &Finding) -> Option<Group> {
    let row = ROWS.iter().find(|r| r.0 == f.rule.id)?;
    let std::net::IpAddr::V4(ip) = f.facts.get(field::SRC_IP)?.as_ip()? else { return None };
    let host = f.facts.get(field::DEVICE_HOSTNAME).filter(|_| row.2.len() > 1);
    let host = host.and_then(|h| h.as_str()?.strip_prefix("host")?.parse().ok());
    Some((row.0, u32::from(ip) & 0x00ff_ffff, host))
}

/// Every group that some window of the sorted stream fulfils, and whether an important host was in it.
fn truth(name: &str) -> BTreeMap<Group, bool> {
    let mut all: Vec<Logon> = stream(name).collect();
    all.sort_by_key(|l| (l.time_ms, l.seq));
    let mut found = BTreeMap::new();
    for (kind, rules, group_by, timespan_s, bound, _) in ROWS {
        let mut groups: BTreeMap<(u32, Option<u16>), Vec<Logon>> = BTreeMap::new();
        for one in all.iter().filter(|l| rules.len() > 1 || !l.accepted) {
            groups.entry((one.source, (group_by.len() > 1).then_some(one.host))).or_default().push(*one);
        }
        for ((source, host), list) in groups {
            for end in 0..list.len() {
                let from = list.partition_point(|l| l.time_ms < list[end].time_ms - timespan_s * 1_000);
                let window = &list[from..=end];
                let fulfilled = match kind {
                    "event_count" => window.len() as f64 >= bound.unwrap_or(0.0),
                    "value_count" => window.iter().map(|l| l.host).collect::<BTreeSet<_>>().len() as f64 >= bound.unwrap_or(0.0),
                    "value_sum" => window.iter().map(|l| f64::from(l.bytes)).sum::<f64>() >= bound.unwrap_or(0.0),
                    _ => list[end].accepted && window.iter().any(|l| !l.accepted),
                };
                if fulfilled {
                    *found.entry((kind, source, host)).or_insert(false) |= window.iter().any(|l| important(l.host));
                }
            }
        }
    }
    found
}

/// Processor time of this thread in nanoseconds.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn memory_mb() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// One stream, measured; a line of JSON, then what is promised about it as `FIGURE` lines.
fn measure(name: &str) -> String {
    let (failed, accepted) = (meta(FAILED), meta(ACCEPTED));
    let (mut windows, errors) = Windows::new(&rules(), &[], Limits::default());
    assert!(errors.is_empty(), "{errors:?}");
    let started = cpu_ns();
    let mut count = 0u64;
    for one in stream(name) {
        std::hint::black_box(finding(&one, &failed, &accepted));
        count += 1;
    }
    let base = cpu_ns() - started;
    let mut told: BTreeSet<Group> = BTreeSet::new();
    let mut findings = Vec::new();
    let started = cpu_ns();
    let mut now = Timestamp::ZERO;
    // As `vedette match` does it: some findings at once, so that what they need is fetched together.
    let mut coming = Vec::new();
    let mut all = stream(name).peekable();
    while all.peek().is_some() {
        coming.extend(all.by_ref().take(16).map(|one| (one.arrival_ms, finding(&one, &failed, &accepted))));
        windows.foresee(coming.iter().map(|(_, f)| f));
        for (arrival_ms, one) in coming.drain(..) {
            now = now.max(Timestamp::from_ms(arrival_ms));
            if let Some(event) = &one.event {
                windows.saw(event, now);
            }
            windows.hear(&one, now, &mut findings);
            told.extend(findings.drain(..).filter_map(|f| group_of(&f)));
        }
    }
    let spent = cpu_ns() - started;
    let (groups, entries) = windows.held();
    let bytes = windows.bytes();
    windows.finish(now, &mut findings);
    told.extend(findings.drain(..).filter_map(|f| group_of(&f)));
    let memory = memory_mb();
    let c = windows.counters();
    let truth = truth(name);
    let missed = truth.keys().filter(|g| !told.contains(g)).count();
    let missed_important = truth.iter().filter(|(g, important)| **important && !told.contains(g)).count();
    let invented = told.iter().filter(|g| !truth.contains_key(g)).count();
    let mut line = format!(
        "{{\"stream\":\"{name}\",\"events\":{count},\"groups_true\":{},\"missed\":{missed},\"missed_high_risk\":{missed_important},\"false\":{invented}",
        truth.len()
    );
    for (kind, ..) in ROWS {
        let of = |set: &mut dyn Iterator<Item = &Group>| set.filter(|g| g.0 == kind).count();
        let _ = write!(line, ",\"{kind}\":[{},{}]", of(&mut truth.keys()), of(&mut truth.keys().filter(|g| !told.contains(g))));
    }
    let _ = write!(
        line,
        ",\"memory_mb\":{memory:.1},\"ns_per_event\":{},\"groups_held\":{groups},\"entries_held\":{entries},\"bytes_estimated\":{bytes},\"forgotten\":{},\"forgotten_flood\":{},\"forgotten_suspicious\":{},\"findings\":{}}}",
        spent.saturating_sub(base) / count.max(1),
        c.evicted_groups,
        c.evicted_flood,
        c.evicted_suspicious,
        c.told + c.retold
    );
    let _ = write!(
        line,
        "\nFIGURE missed_percent {}\nFIGURE missed_high_risk {missed_important}\nFIGURE false {invented}\nFIGURE memory_mb {memory:.1}",
        100.0 * missed as f64 / truth.len().max(1) as f64
    );
    line
}

/// The stream and the rules as files.
fn write(name: &str, folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut events = std::io::BufWriter::new(std::fs::File::create(folder.join(format!("{name}.jsonl")))?);
    for one in stream(name) {
        writeln!(
            events,
            "{{\"time\":{},\"product\":\"linux\",\"service\":\"sshd\",\"kind\":\"{}\",\"src_endpoint.ip\":\"{}\",\"device.hostname\":\"host{}\",\"user.name\":\"root\",\"traffic.bytes_out\":{}}}",
            WRITTEN_FROM_MS + one.time_ms,
            if one.accepted { ACCEPTED } else { FAILED },
            address(one.source),
            one.host,
            one.bytes
        )?;
    }
    let mut yaml = String::new();
    for (n, kind) in [FAILED, ACCEPTED].into_iter().enumerate() {
        let _ = write!(
            yaml,
            "title: {kind}\nid: 00000000-0000-4000-8000-00000000000{n}\nname: {kind}\nlogsource:\n  product: linux\n  service: sshd\ndetection:\n  selection:\n    kind: {kind}\n  condition: selection\nlevel: low\n---\n"
        );
    }
    for (n, (kind, rules, group_by, timespan_s, bound, counted)) in ROWS.into_iter().enumerate() {
        let list = |l: &[&str]| l.iter().map(|r| format!("    - {r}\n")).collect::<String>();
        let _ = write!(
            yaml,
            "title: {kind}\nid: 00000000-0000-4000-8000-00000000001{n}\nname: {kind}_rule\ncorrelation:\n  type: {kind}\n  rules:\n{}  group-by:\n{}  timespan: {timespan_s}s\n",
            list(rules),
            list(group_by)
        );
        if let Some(bound) = bound {
            let field = counted.map_or_else(String::new, |f| format!("    field: {f}\n"));
            let _ = write!(yaml, "  condition:\n{field}    gte: {bound}\n");
        }
        yaml.push_str("level: medium\n---\n");
    }
    std::fs::write(folder.join("rules.yml"), yaml.trim_end_matches("---\n"))
}

#[expect(clippy::disallowed_methods, reason = "each stream is measured in a process of its own")]
fn every_stream() -> std::io::Result<()> {
    let own = std::env::current_exe()?;
    for name in ["pairs", "scanners", "flood"] {
        std::process::Command::new(&own).arg(name).status()?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => every_stream(),
        [name @ ("pairs" | "scanners" | "flood")] => {
            println!("{}", measure(name));
            Ok(())
        }
        [name @ ("pairs" | "scanners" | "flood"), "--write", folder] => write(name, std::path::Path::new(folder)),
        _ => Err(std::io::Error::other("usage: city [pairs|scanners|flood [--write FOLDER]]")),
    }
}
