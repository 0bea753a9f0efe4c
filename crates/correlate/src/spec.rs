//! A correlation rule given meaning: its kind, when it holds, and how what it found is told.

use std::sync::Arc;

use ahash::AHashMap;
use event::{Event, Evidence, Finding, Name, Reason, RuleMeta, Span, Timestamp, Value, field};
use rule::{Correlation, GroupKey, Operator};

use crate::episode::{PARTIES_MAX, SAMPLE, Told, named, party, tell_tags};
use crate::group::Group;
use crate::kind::{self, Hit, Judged, Kind, Tally, Telling};
use crate::names::{Lanes, Names};
use crate::windows::Limits;

/// Parts of a group's key; further ones are joined into the last.
pub(crate) const KEY_PARTS: usize = 4;
/// Greatest count that can be waited for.
const COUNT_MAX: f64 = 1_000_000.0;

pub(crate) struct Spec {
    pub rule: Correlation,
    pub kind: &'static dyn Kind,
    pub judged: Judged,
    /// See `Kind::rescans`, `Kind::reversible`.
    pub rescans: bool,
    pub reversible: bool,
    /// Place in `PARTIES` of the one field that is counted: its names are the samples too, and are kept once.
    pub counted_party: Option<usize>,
    meta: Arc<RuleMeta>,
    titles: Vec<String>,
    facts: Vec<Name>,
    counted: Option<Name>,
    /// More can only help: told as soon as it holds.
    pub rising: bool,
    /// What the measure has to come to, for people and for admission.
    pub threshold: f64,
    pub entries_max: usize,
    /// For measuring a few entries; holds nothing between two uses.
    pub scratch: Box<dyn Tally>,
}

impl Spec {
    pub(crate) fn new(rule: &Correlation, titles: &AHashMap<&str, &str>, limits: &Limits) -> Result<Self, kind::Refusal> {
        let Some(kind) = kind::find(&rule.kind) else {
            let known: Vec<&str> = kind::KINDS.iter().map(|k| k.word()).collect();
            return Err((format!("correlation type '{}' is not known here", rule.kind), format!("one of {}", known.join(", "))));
        };
        kind.check(rule)?;
        if rule.timespan_ns <= 0 {
            return Err(("a timespan of nothing".into(), "write e.g. `timespan: 5m`".into()));
        }
        if let Some(key) = rule.parameters.keys().find(|k| !kind.parameters().contains(&k.as_str())) {
            let known = kind.parameters();
            let way = if known.is_empty() { "leave it out".to_owned() } else { format!("it knows {}", known.join(", ")) };
            return Err((format!("'{key}' means nothing to {}", kind.word()), way));
        }
        if rule.rules.len() > 32 {
            return Err((format!("{} rules", rule.rules.len()), "name at most 32, or chain correlations".into()));
        }
        let whole = kind.is_count();
        let rising = kind.judged() == Judged::AtOnce && rule.condition.iter().all(|b| matches!(b.operator, Operator::Gte | Operator::Gt));
        let of = |b: &rule::Bound| if whole && b.operator == Operator::Gt { b.value.floor() + 1.0 } else { b.value };
        let threshold = rule.condition.iter().map(of).reduce(f64::max).or_else(|| kind.default_threshold(rule)).unwrap_or(0.0);
        if whole && threshold > COUNT_MAX {
            return Err((format!("a threshold above {COUNT_MAX}"), "count over a shorter timespan".into()));
        }
        let mut meta = RuleMeta::clone(&rule.meta);
        if meta.group_by.is_empty() {
            meta.group_by = rule.group_by.iter().map(|k| k.name.clone()).collect();
        }
        let named = |keys: &[GroupKey]| keys.iter().map(|k| Name::from(k.name.as_str())).collect::<Vec<_>>();
        let least = if whole && rising { threshold as usize * 2 } else { 0 };
        Ok(Self {
            judged: kind.judged(),
            rescans: kind.rescans(),
            reversible: kind.reversible(),
            counted_party: if kind.labels_field() { counted_party(rule) } else { None },
            meta: Arc::new(meta),
            titles: rule.rules.iter().map(|r| titles.get(r.id.as_str()).map_or_else(|| r.id.clone(), |t| (*t).to_owned())).collect(),
            facts: named(&rule.group_by),
            counted: <[Name; 1]>::try_from(named(&rule.fields)).ok().map(|[n]| n),
            rising,
            threshold,
            entries_max: kind.entries_max(limits.entries_max.max(least)).max(8),
            scratch: kind.tally(rule),
            kind,
            rule: rule.clone(),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.rule.meta.id
    }

    pub(crate) fn holds(&self, measured: f64) -> bool {
        if self.rule.condition.is_empty() {
            return measured >= self.threshold;
        }
        self.rule.condition.iter().all(|b| b.holds(measured))
    }

    /// Changes when saved groups would no longer mean the same; title, description and level are not in it.
    pub(crate) fn fingerprint(&self) -> u64 {
        let r = &self.rule;
        crate::bytes::fnv(
            format!("{} {:?} {} {:?} {:?} {:?} {:?}", r.kind, r.rules, r.timespan_ns, r.group_by, r.condition, r.fields, r.parameters)
                .as_bytes(),
        )
    }

    /// Makes the finding of an episode; true if the episode was told before.
    pub(crate) fn tell(
        &self,
        group: &mut Group,
        at: usize,
        event: Option<Arc<Event>>,
        names: &Names,
        lanes: &Lanes,
    ) -> Option<(Finding, bool)> {
        let episode = group.episodes.get_mut(at)?;
        let again = episode.told();
        let mut reason = self.kind.reason(&Telling {
            rule: &self.rule,
            titles: &self.titles,
            measured: episode.peak,
            threshold: self.threshold,
            notes: episode.notes(),
            names,
        });
        if again.is_some() {
            reason = reason.arg("again", true);
        }
        let mut reasons = vec![reason];
        if episode.ahead_s > 0 {
            reasons.push(Reason::new("clock_ahead").arg("seconds", episode.ahead_s));
        }
        let mut samples: Vec<u32> = named(episode.tags.as_slice(), SAMPLE).collect();
        for name in self.counted_party.into_iter().flat_map(|n| named(episode.tags.as_slice(), n as u32)) {
            if samples.len() < PARTIES_MAX && !samples.contains(&name) {
                samples.push(name);
            }
        }
        let facts = self.tell_facts(&group.key, &samples, episode.tags.as_slice(), episode.peak, names);
        let (from, to) = (group.ring.lower(episode.first), group.ring.upper(episode.last));
        let evidence = episode.evidence(group.ring.entries.between(from, to).iter(), lanes);
        let time = event.as_ref().map_or(episode.last, |e| e.time.ns().min(episode.last));
        let finding = Finding {
            rule: Arc::clone(&self.meta),
            time: Timestamp::from_ns(time),
            event,
            facts,
            span: Some(Span { from: Timestamp::from_ns(episode.first), to: Timestamp::from_ns(episode.last) }),
            matches: Vec::new(),
            reasons,
            evidence,
            count: episode.weight - again.map_or(0, |t| t.weight).min(episode.weight),
        };
        let told = Told { total: episode.total, weight: episode.weight, peak: episode.peak, last: episode.last };
        episode.more().told = Some(told);
        Some((finding, again.is_some()))
    }

    /// Makes the finding of what a memory noticed.
    pub(crate) fn tell_hit(&self, key: &[u32; KEY_PARTS], hit: &Hit, again: bool, names: &Names, lanes: &Lanes) -> Finding {
        let telling =
            Telling { rule: &self.rule, titles: &self.titles, measured: hit.measured, threshold: self.threshold, notes: &hit.notes, names };
        let mut reason = self.kind.reason(&telling);
        let values: Vec<Value> = hit.labels.iter().map(|n| names.get(*n)).collect();
        if !values.is_empty() {
            reason = reason.arg("values", values);
        }
        if again {
            reason = reason.arg("again", true);
        }
        let one = |e: &(i64, u32, u64)| Evidence { id: lanes.id(e.1, e.2), time: Timestamp::from_ns(e.0) };
        Finding {
            rule: Arc::clone(&self.meta),
            time: Timestamp::from_ns(hit.time),
            event: None,
            facts: self.tell_facts(key, &hit.labels, &hit.tags, hit.measured, names),
            span: Some(Span { from: Timestamp::from_ns(hit.from.min(hit.time)), to: Timestamp::from_ns(hit.time) }),
            matches: Vec::new(),
            reasons: vec![reason],
            evidence: hit.evidence.iter().map(one).collect(),
            count: hit.count,
        }
    }

    /// What the group is, what was counted, who is concerned.
    fn tell_facts(&self, key: &[u32; KEY_PARTS], samples: &[u32], tags: &[u32], measured: f64, names: &Names) -> event::Fields {
        let mut facts = event::Fields::new();
        for (n, name) in self.facts.iter().enumerate() {
            let last = n + 1 == KEY_PARTS && self.facts.len() > KEY_PARTS;
            let part = key.get(n.min(KEY_PARTS - 1)).copied().unwrap_or(kind::NO_NAME);
            if n < KEY_PARTS && !last {
                facts.set(name.clone(), names.get(part));
            } else if let Some(text) = names.get(part).to_text().split('\u{1f}').nth(n + 1 - KEY_PARTS) {
                facts.set(name.clone(), text);
            }
        }
        facts.set(field::FACT_COUNT, kind::shown(measured));
        let mut some = |name: Name, values: Vec<Value>| {
            if facts.get_name(&name).is_none() && !values.is_empty() {
                match <[Value; 1]>::try_from(values) {
                    Ok([one]) => facts.set(name, one),
                    Err(many) => facts.set(name, many),
                }
            }
        };
        tell_tags(tags, names, &mut some);
        let samples: Vec<Value> = samples.iter().map(|n| Value::text(&names.get(*n).to_text())).collect();
        if let Some(counted) = &self.counted {
            some(counted.clone(), samples.clone());
        }
        if !samples.is_empty() {
            facts.set(field::FACT_VALUES, samples);
        }
        facts
    }
}

/// The party whose value is counted, where that is the same for every rule it listens to and no rule is grouped by it.
fn counted_party(rule: &Correlation) -> Option<usize> {
    let [counted] = rule.fields.as_slice() else { return None };
    let of = |key: &GroupKey, slot: usize| key.names_for(slot).first().and_then(party);
    let one = of(counted, 0)?;
    let grouped = |slot: usize| rule.group_by.iter().any(|key| of(key, slot) == Some(one));
    (0..rule.rules.len()).all(|slot| of(counted, slot) == Some(one) && !grouped(slot)).then_some(one)
}
