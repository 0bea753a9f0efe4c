//! Rules on trial (`shadow: true`): what they find is counted and kept as events that can be searched, and never becomes an alert.
//!
//! Each finding becomes an event `vedette/finding/shadow` (OCSF detection finding) with the rule, the parties and the id of the event
//! behind it, stored like any other and never stepped. A rule that finds too much keeps `KEPT_A_MINUTE` of them a minute; the next one kept
//! says in `count` how many it stands for, so the sum stays right. Ids are made of rule and event, so a finding made again after a crash is
//! the same event.

use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::Arc;

use event::{AgentId, Class, Epoch, Event, EventId, Field, Finding, Kind, LogSource, Name, Severity, Timestamp, field};

/// Events one rule leaves in a minute.
pub const KEPT_A_MINUTE: u32 = 30;
/// Rules told apart; findings of further ones are counted by the metrics only.
const RULES_MAX: usize = 10_000;

/// Where an event came from and whom it concerns, taken over from the deciding event.
const CARRIED: [Field; 11] = [
    field::SRC_IP,
    field::SRC_PORT,
    field::DST_IP,
    field::DST_PORT,
    field::USER_NAME,
    field::DEVICE_HOSTNAME,
    field::UNIT_ID,
    field::UNIT_NAME,
    field::UNIT_SECTOR,
    field::OBJECT_IMPORTANCE,
    field::ASSET_ID,
];

/// How much each rule has left this minute.
#[derive(Debug, Default)]
pub struct Shadow {
    rules: HashMap<String, Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    minute: i64,
    made: u32,
    held_back: u64,
}

impl Shadow {
    /// Appends an event for each finding of a rule on trial. `now` is the time of the step.
    pub fn keep(&mut self, findings: &[Finding], now: Timestamp, out: &mut Vec<Arc<Event>>) {
        let minute = now.secs().div_euclid(60);
        for finding in findings.iter().filter(|f| f.rule.shadow) {
            if !self.rules.contains_key(&finding.rule.id) && self.rules.len() >= RULES_MAX {
                continue;
            }
            let kept = self.rules.entry(finding.rule.id.clone()).or_default();
            if kept.minute != minute {
                (kept.minute, kept.made) = (minute, 0);
            }
            if kept.made >= KEPT_A_MINUTE {
                kept.held_back += 1;
                continue;
            }
            kept.made += 1;
            let stands_for = std::mem::take(&mut kept.held_back) + 1;
            out.push(Arc::new(event(finding, now, stands_for)));
        }
    }
}

fn event(finding: &Finding, now: Timestamp, stands_for: u64) -> Event {
    let rule = &finding.rule;
    let behind = finding.evidence.last().map_or(EventId::NONE, |e| e.id);
    let mut event = Event::new(finding.time, Kind::DetectionFinding, 1, LogSource::new("vedette", "finding", "shadow"))
        .with(field::FINDING_RULE, rule.id.as_str())
        .with(field::FINDING_TITLE, rule.title.as_str())
        .with(field::MESSAGE, said(finding))
        .with(field::COUNT, stands_for);
    event.observed = now;
    event.severity = Severity::Informational;
    let mut hash = std::collections::hash_map::DefaultHasher::new();
    hash.write(rule.id.as_bytes());
    hash.write(behind.to_string().as_bytes());
    event.id = EventId {
        agent: AgentId(0),
        epoch: Epoch(u64::try_from(finding.time.secs()).unwrap_or(0)),
        class: Class::Bulk,
        seq: (hash.finish() >> 1).max(1),
    };
    event.body.set(Name::from("finding_info.level"), rule.severity.name());
    event.body.set(Name::from("finding_info.event"), behind.to_string());
    for carried in CARRIED {
        event.body.set_some(carried, finding.get(carried).cloned());
    }
    for (name, value) in finding.facts.iter() {
        event.body.set(name.clone(), value.clone());
    }
    event
}

/// The rule's title and the first condition that held.
fn said(finding: &Finding) -> String {
    match finding.matches.first() {
        Some(one) => format!("{}: {} is {} ({})", finding.rule.title, one.field, one.value.to_text(), one.pattern),
        None => format!("{} ({} events)", finding.rule.title, finding.count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rule::{Mappings, Options, RuleSet, Source};

    fn findings(shadow: bool, events: i64) -> Vec<Finding> {
        let text = format!(
            "title: t\nid: 5c0d62a5-6a0e-4f4c-8a43-2f3b7a3d6a01\nshadow: {shadow}\nlogsource:\n  category: x\ndetection:\n  s:\n    a: b\n  condition: s\n"
        );
        let (rules, errors) = RuleSet::from_sources(&[Source { path: "r.yml".into(), text }], &Mappings::none(), &Options::default());
        assert_eq!(errors, []);
        let mut out = Vec::new();
        for n in 0..events {
            let mut event = Event::new(Timestamp::from_secs(n), Kind::Base, 0, LogSource::new("", "x", "")).with(field::UNIT_ID, "bank-1");
            event.body.set("a", "b");
            event.id = EventId { agent: AgentId(7), epoch: Epoch(1), class: Class::Normal, seq: n as u64 + 1 };
            rules.detect(&Arc::new(event), &mut out);
        }
        out
    }

    #[test]
    fn a_finding_on_trial_is_an_event_and_the_same_one_when_made_again() {
        let found = findings(true, 2);
        let (mut one, mut again) = (Vec::new(), Vec::new());
        Shadow::default().keep(&found, Timestamp::from_secs(100), &mut one);
        Shadow::default().keep(&found, Timestamp::from_secs(100), &mut again);
        assert_eq!(one, again);
        assert_eq!(one.len(), 2);
        assert_ne!(one[0].id, one[1].id);
        assert_eq!(one[0].text(field::UNIT_ID), "bank-1", "the unit's people may see it");
        assert_eq!(one[0].text(field::MESSAGE), "t: a is b (is 'b')");
        let mut none = Vec::new();
        Shadow::default().keep(&findings(false, 2), Timestamp::from_secs(100), &mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn a_flood_is_thinned_and_the_sum_stays_right() {
        let (mut shadow, mut out) = (Shadow::default(), Vec::new());
        let found = findings(true, 100);
        shadow.keep(&found, Timestamp::from_secs(60), &mut out);
        assert_eq!(out.len(), KEPT_A_MINUTE as usize);
        shadow.keep(&found[..1], Timestamp::from_secs(120), &mut out);
        let sum: i64 = out.iter().filter_map(|e| e.get(field::COUNT)?.as_int()).sum();
        assert_eq!(sum, 101);
    }
}
