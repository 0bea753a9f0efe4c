//! Thins what the sensors saw, by configuration only: rules by log source (drop, or keep one in n) and a rate a class.
//!
//! Critical events always pass. Everything that does not pass is counted with its reason; a drop here is the operator's will, not a loss, so
//! it is not in the ledger.

use event::{Class, Event, LogSource, Timestamp};
use serde::Deserialize;
use telemetry::{Counter, Metrics};

/// `[edge]`.
#[derive(Debug, Clone, Deserialize, PartialEq, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Events of the class let through each second; 0 lets all through.
    pub normal_per_second: u32,
    pub bulk_per_second: u32,
    pub rule: Vec<RuleConfig>,
}

/// `[[edge.rule]]`: the first that covers an event decides. A word that is not given covers all.
#[derive(Debug, Clone, Deserialize, PartialEq, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RuleConfig {
    pub product: String,
    pub category: String,
    pub service: String,
    /// 0 drops all, 1 keeps all, n keeps the first of each n.
    pub one_in: u32,
}

pub const SAMPLE: &str = r#"# Events of a class let through each second; 0 lets all through. Critical events (authentication, integrity, heartbeats) always pass.
normal_per_second = 0
bulk_per_second = 0
# Rules by log source; the first that covers an event decides. one_in = 0 drops, one_in = 10 keeps the first of each ten:
# [[edge.rule]]
# category = "webserver"
# one_in = 10
"#;

/// Events a second that an indicator makes critical.
const PROMOTIONS_PER_SECOND: u32 = 200;

struct Rule {
    source: LogSource,
    one_in: u32,
    seen: u32,
}

/// A bucket that holds one second's worth.
struct Bucket {
    per_second: u32,
    /// Billionths of an event.
    level: u128,
    at: Option<Timestamp>,
}

impl Bucket {
    fn take(&mut self, now: Timestamp) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let full = u128::from(self.per_second) * 1_000_000_000;
        let passed = self.at.map_or(event::SECOND_NS, |at| now.since(at)).clamp(0, event::SECOND_NS);
        self.level = (self.level + u128::from(passed.unsigned_abs()) * u128::from(self.per_second)).min(full);
        self.at = Some(now);
        let enough = self.level >= 1_000_000_000;
        if enough {
            self.level -= 1_000_000_000;
        }
        enough
    }
}

/// One for the whole agent, so that a rate is the agent's and not a sensor's.
pub struct Edge {
    rules: Vec<Rule>,
    normal: Bucket,
    bulk: Bucket,
    passed: Counter,
    by_rule: Counter,
    by_sample: Counter,
    by_rate: Counter,
    armed: Counter,
    promotions: Bucket,
}

impl Edge {
    pub fn new(config: &Config, metrics: &Metrics) -> Self {
        let dropped = metrics.counters("edge", "events_dropped", "events the configuration keeps from being sent", &["reason"]);
        let source = |r: &RuleConfig| LogSource::owned(Some(&r.product), Some(&r.category), Some(&r.service));
        let bucket = |per_second| Bucket { per_second, level: 0, at: None };
        Self {
            rules: config.rule.iter().map(|r| Rule { source: source(r), one_in: r.one_in, seen: 0 }).collect(),
            normal: bucket(config.normal_per_second),
            bulk: bucket(config.bulk_per_second),
            armed: metrics.counter("edge", "indicator_events", "events that hold an indicator of compromise"),
            promotions: bucket(PROMOTIONS_PER_SECOND),
            passed: metrics.counter("edge", "events_passed", "events let through"),
            by_rule: dropped.with(&["rule"]),
            by_sample: dropped.with(&["sample"]),
            by_rate: dropped.with(&["rate"]),
        }
    }

    /// The same with indicators: an event that holds one carries the facts and is critical, so that no thinning and no backlog keeps it back.
    /// Past `PROMOTIONS_PER_SECOND` the facts are put on all the same and the class stays: an indicator that half the traffic meets must not
    /// push out the rest.
    pub fn mark_and_pass(&mut self, set: &indicator::Set, class: Class, mut event: Event, now: Timestamp) -> Option<(Class, Event)> {
        let mut class = class;
        if indicator::mark(set, &mut event).best.is_some() {
            self.armed.inc();
            if self.promotions.take(now) {
                class = Class::Critical;
            }
        }
        self.pass(class, event, now).map(|event| (class, event))
    }

    /// The event, if it is to be kept.
    pub fn pass(&mut self, class: Class, event: Event, now: Timestamp) -> Option<Event> {
        if class != Class::Critical {
            if let Some(rule) = self.rules.iter_mut().find(|r| r.source.covers(&event.source)) {
                let first = rule.seen == 0;
                rule.seen = (rule.seen + 1) % rule.one_in.max(1);
                if rule.one_in == 0 {
                    self.by_rule.inc();
                    return None;
                }
                if !first {
                    self.by_sample.inc();
                    return None;
                }
            }
            let bucket = if class == Class::Bulk { &mut self.bulk } else { &mut self.normal };
            if !bucket.take(now) {
                self.by_rate.inc();
                return None;
            }
        }
        self.passed.inc();
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Kind;

    fn event(category: &'static str) -> Event {
        Event::new(Timestamp::ZERO, Kind::LogActivity, 1, LogSource::new("", category, "x"))
    }

    fn edge(config: &Config) -> (Edge, Metrics) {
        let metrics = Metrics::new("p");
        (Edge::new(config, &metrics), metrics)
    }

    #[test]
    fn what_comes_in_goes_out_or_is_counted_with_its_reason() {
        let rule = |category: &str, one_in| RuleConfig { category: category.into(), one_in, ..RuleConfig::default() };
        let (mut edge, metrics) =
            edge(&Config { bulk_per_second: 100, rule: vec![rule("noise", 0), rule("web", 10)], ..Config::default() });
        let mut out = 0u64;
        for n in 0..6_000u64 {
            let category = ["noise", "web", "flow"][(n % 3) as usize];
            // One simulated second in all.
            let now = Timestamp::from_us(i64::try_from(n).unwrap() * 166);
            let class = if n % 7 == 0 { Class::Critical } else { Class::Bulk };
            out += u64::from(edge.pass(class, event(category), now).is_some());
        }
        let text = metrics.render();
        let count = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok()).unwrap();
        let dropped = |reason: &str| count(&format!("p_edge_events_dropped_total{{reason=\"{reason}\"}}"));
        assert_eq!(count("p_edge_events_passed_total"), out);
        assert_eq!(out + dropped("rule") + dropped("sample") + dropped("rate"), 6_000);
        let critical = 6_000u64.div_ceil(7);
        assert!(out >= critical && out <= critical + 200, "{out}: all critical, at most two seconds' worth of the rest");
        assert_eq!(dropped("rule"), (0..6_000u64).filter(|n| n % 3 == 0 && n % 7 != 0).count() as u64);
    }

    #[test]
    fn an_indicator_makes_its_events_critical_and_a_flood_of_them_keeps_its_class() {
        let (mut edge, metrics) = edge(&Config { rule: vec![RuleConfig::default()], ..Config::default() });
        let mut builder = indicator::SetBuilder::new();
        indicator::read(b"evil.example", &indicator::ReadOptions::default(), &mut |e| builder.add(e));
        let set = builder.build();
        let dns = |name: &str| event("dns").with(event::field::DNS_QUERY, name);
        assert_eq!(edge.mark_and_pass(&set, Class::Bulk, dns("good.example"), Timestamp::ZERO), None, "the rule drops everything");
        let (class, marked) = edge.mark_and_pass(&set, Class::Bulk, dns("a.evil.example"), Timestamp::ZERO).expect("it is critical now");
        assert_eq!((class, marked.text(event::field::INDICATOR_VALUE).as_ref()), (Class::Critical, "evil.example"));
        let kept = (0..1_000).filter(|_| edge.mark_and_pass(&set, Class::Bulk, dns("evil.example"), Timestamp::ZERO).is_some()).count();
        assert_eq!(kept, PROMOTIONS_PER_SECOND as usize - 1);
        assert!(metrics.render().contains("p_edge_indicator_events_total 1001"));
    }

    #[test]
    fn one_in_n_keeps_the_first_of_each_n() {
        let (mut edge, _) = edge(&Config { rule: vec![RuleConfig { one_in: 3, ..RuleConfig::default() }], ..Config::default() });
        let kept: Vec<bool> = (0..7).map(|_| edge.pass(Class::Normal, event("a"), Timestamp::ZERO).is_some()).collect();
        assert_eq!(kept, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn a_clock_that_jumps_neither_opens_the_gate_nor_shuts_it() {
        let (mut edge, _) = edge(&Config { normal_per_second: 10, ..Config::default() });
        let mut pass =
            |secs: i64, n: usize| (0..n).filter(|_| edge.pass(Class::Normal, event("a"), Timestamp::from_secs(secs)).is_some()).count();
        assert_eq!((pass(1_000_000, 50), pass(0, 50), pass(1, 50), pass(2_000_000, 50)), (10, 0, 10, 10));
    }
}
