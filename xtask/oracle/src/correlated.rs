//! Correlations, ours or rsigma's, in a process of its own: neither's memory is in the other's way. Called in turn on the same file.
//!
//! Two figures, both sides measured alike, CPU time of the thread, medians of slices: the line parsed and the detection rules asked
//! (`base`), and the same with the correlations fed and their findings made (`whole`, end to end). State lives on from slice to slice;
//! the first slice, which fills windows and caches, is left out.

use std::collections::BTreeSet;

use correlate::{Limits, Windows};
use event::{AgentId, Class, Epoch, EventId, Fields, Finding, Name, Timestamp};
use rsigma_eval::{CorrelationConfig, CorrelationEngine, Engine, EvaluationResult, JsonEvent, LogSourceExtractor};
use rule::{Feed, Mappings, Options, Routing, RuleSet, Scratch, Source};

use crate::{cpu, median};

const SLICE: usize = 40_000;
/// Lines whose findings go to the correlations together, as `vedette match` does it.
const AHEAD: usize = 32;

pub fn correlate(who: &str, events: &str, rules: &str) {
    let text = std::fs::read(events).unwrap_or_else(|e| panic!("{events}: {e}"));
    let yaml = std::fs::read_to_string(rules).unwrap_or_else(|e| panic!("{rules}: {e}"));
    let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
    let mut side: Box<dyn Side> = if who == "ours" { Box::new(Ours::new(&yaml)) } else { Box::new(Peer::new(&yaml)) };
    let mut rows: Vec<[f64; 2]> = Vec::new();
    for (n, slice) in lines.chunks(SLICE).enumerate() {
        let us = |spent: std::time::Duration| spent.as_secs_f64() / slice.len() as f64 * 1e6;
        let start = cpu();
        side.base(slice);
        let base = us(cpu() - start);
        let start = cpu();
        side.whole(slice, (n * SLICE) as u64 + 1);
        let whole = us(cpu() - start);
        side.note();
        if n > 0 {
            rows.push([base, whole]);
        }
    }
    let of = |what: fn(&[f64; 2]) -> f64| median(rows.iter().map(what).collect());
    println!(
        "{who}: {} events, us/event of CPU: base {:.2} (line parsed, detection rules asked), whole {:.2} (correlations fed, findings made); {} groups told",
        lines.len(),
        of(|r| r[0]),
        of(|r| r[1]),
        side.told().len()
    );
    println!("FIGURE whole_us {:.4}", of(|r| r[1]));
    println!("FIGURE alone_us {:.4}", of(|r| r[1] - r[0]));
    println!("FIGURE groups {}", side.told().len());
}

/// An engine with correlations.
trait Side {
    fn base(&mut self, lines: &[&[u8]]);
    /// `first` is the number of the first line.
    fn whole(&mut self, lines: &[&[u8]], first: u64);
    /// Which groups were told; outside the measured time.
    fn note(&mut self);
    fn told(&self) -> &BTreeSet<Group>;
}

/// Correlation and the values it grouped by.
type Group = (String, Vec<String>);

struct Ours {
    set: RuleSet,
    windows: Windows,
    feed: Feed,
    fed: Vec<Finding>,
    scratch: Scratch,
    routing: Routing,
    hits: Vec<u32>,
    made: Vec<Finding>,
    now: Timestamp,
    told: BTreeSet<Group>,
}

impl Ours {
    fn new(yaml: &str) -> Self {
        let source = Source { path: "rules.yml".into(), text: yaml.into() };
        let (set, errors) = RuleSet::from_sources(&[source], &Mappings::none(), &Options::default());
        assert_eq!(errors, [], "rules that do not load");
        let (windows, errors) = Windows::new(set.correlations(), set.rules(), Limits::default());
        assert_eq!(errors, [], "correlations without meaning");
        let feed = Feed::new(vec![true; set.rules().len()], windows.reads().chain([Name::from("time")]));
        let scratch = set.scratch();
        Self {
            feed,
            fed: Vec::new(),
            set,
            windows,
            scratch,
            routing: Routing::default(),
            hits: Vec::new(),
            made: Vec::new(),
            now: Timestamp::MIN,
            told: BTreeSet::new(),
        }
    }

    /// As `vedette match` does it.
    fn some(&mut self, lines: &[&[u8]], first: u64) {
        let mut fed = std::mem::take(&mut self.fed);
        for (line, number) in lines.iter().zip(first..) {
            let event =
                self.set.matches_json_feeding(line, &self.routing, &self.feed, &mut self.scratch, &mut self.hits).expect("an event");
            let Some(mut event) = event else { continue };
            event.time = event.get_named("time").and_then(event::Value::as_int).map(Timestamp::from_ms).expect("a time");
            event.id = EventId { agent: AgentId(1), epoch: Epoch(1), class: Class::Normal, seq: number };
            let event = std::sync::Arc::new(event);
            for meta in self.hits.iter().filter_map(|hit| self.set.rules().get(*hit as usize)) {
                fed.push(Finding {
                    rule: meta.clone(),
                    time: event.time,
                    event: Some(event.clone()),
                    facts: Fields::new(),
                    span: None,
                    matches: Vec::new(),
                    reasons: Vec::new(),
                    evidence: Vec::new(),
                    count: 1,
                });
            }
        }
        self.windows.foresee(fed.iter());
        for finding in fed.drain(..) {
            self.now = self.now.max(finding.time);
            if let Some(event) = &finding.event {
                self.windows.saw(event, self.now);
            }
            self.windows.hear(&finding, self.now, &mut self.made);
        }
        self.fed = fed;
    }
}

impl Side for Ours {
    fn base(&mut self, lines: &[&[u8]]) {
        for line in lines {
            self.set.matches_json(line, &self.routing, &mut self.scratch, &mut self.hits).expect("an event");
        }
    }

    fn whole(&mut self, lines: &[&[u8]], first: u64) {
        lines.chunks(AHEAD).enumerate().for_each(|(at, lines)| self.some(lines, first + (at * AHEAD) as u64));
    }

    fn note(&mut self) {
        for finding in self.made.drain(..) {
            let rule = self.set.correlations().iter().find(|c| c.meta.id == finding.rule.id).expect("its rule");
            let value = |k: &rule::GroupKey| finding.facts.get_named(&k.name).map_or_else(String::new, |v| v.to_text().into_owned());
            self.told.insert((rule.meta.title.clone(), rule.group_by.iter().map(value).collect()));
        }
    }

    fn told(&self) -> &BTreeSet<Group> {
        &self.told
    }
}

/// Set up as its documents say, log source routing on, everything else as it comes.
struct Peer {
    base: Engine,
    whole: CorrelationEngine,
    made: Vec<EvaluationResult>,
    told: BTreeSet<Group>,
}

impl Peer {
    fn new(yaml: &str) -> Self {
        let collection = rsigma_parser::parse_sigma_yaml(yaml).expect("YAML");
        let mut base = Engine::new();
        assert!(base.add_rules(collection.rules.iter()).is_empty());
        base.set_logsource_extractor(Some(LogSourceExtractor::new()));
        let mut whole = CorrelationEngine::new(CorrelationConfig { timestamp_fields: vec!["time".into()], ..CorrelationConfig::default() });
        whole.add_collection(&collection).expect("rules and correlations");
        whole.set_logsource_extractor(Some(LogSourceExtractor::new()));
        Self { base, whole, made: Vec::new(), told: BTreeSet::new() }
    }
}

impl Side for Peer {
    fn base(&mut self, lines: &[&[u8]]) {
        for line in lines {
            let json: serde_json::Value = serde_json::from_slice(line).expect("an event");
            std::hint::black_box(self.base.evaluate(&JsonEvent::borrow(&json)));
        }
    }

    fn whole(&mut self, lines: &[&[u8]], _: u64) {
        for line in lines {
            let json: serde_json::Value = serde_json::from_slice(line).expect("an event");
            self.made.extend(self.whole.process_event(&JsonEvent::borrow(&json)).into_iter().filter(EvaluationResult::is_correlation));
        }
    }

    fn note(&mut self) {
        for result in self.made.drain(..) {
            if let Some(body) = result.as_correlation() {
                let group = body.group_key.iter().map(|(_, v)| v.clone()).collect();
                self.told.insert((result.header.rule_title.clone(), group));
            }
        }
    }

    fn told(&self) -> &BTreeSet<Group> {
        &self.told
    }
}
