//! Correlations over a stream: event time drives the clock, as in a replay.
//!
//! The clock follows the records' own time and never goes back. A record from the future does not drag it along: a jump of more than
//! `JUMP_S` is believed only if the next one is past it too (or there is none). Only records that some correlation listens to are looked
//! at, so a quiet stretch costs nothing; windows still open at the end are closed then.

use event::{Finding, Timestamp};
use rule::{Correlation, RuleError, RuleSet};

use correlate::{Limits, Windows};

const JUMP_S: i64 = 3600;

/// Windows and their clock.
pub struct Correlating {
    windows: Windows,
    clock: Timestamp,
    findings: Vec<Finding>,
}

impl Correlating {
    /// None where there is nothing to correlate. Rules that cannot be given meaning are named.
    pub fn new(rules: &RuleSet, lateness_s: u32) -> (Option<Self>, Vec<RuleError>) {
        if rules.correlations().is_empty() {
            return (None, Vec::new());
        }
        let limits = Limits { lateness_s, ..Limits::default() };
        let (windows, errors) = Windows::new(rules.correlations(), rules.rules(), limits);
        (Some(Self { windows, clock: Timestamp::MIN, findings: Vec::new() }), errors)
    }

    /// Takes a detection's finding in; gives what the correlations make of it. `next` is the time of the one after it.
    pub fn take(&mut self, finding: &Finding, next: Option<Timestamp>) -> &[Finding] {
        let time = finding.time;
        let far = self.clock.plus_secs(JUMP_S);
        if self.clock == Timestamp::MIN || time <= far || next.is_none_or(|t| t > far) {
            self.clock = self.clock.max(time);
        }
        if let Some(event) = &finding.event {
            self.windows.saw(event, self.clock);
        }
        self.findings.clear();
        self.windows.hear(finding, self.clock, &mut self.findings);
        self.spoken()
    }

    /// Says what will be taken next; see `Windows::foresee`.
    pub fn foresee<'f>(&mut self, coming: impl Iterator<Item = &'f Finding> + Clone) {
        self.windows.foresee(coming);
    }

    /// The end: every window closes.
    pub fn finish(&mut self) -> &[Finding] {
        self.findings.clear();
        self.windows.finish(self.clock, &mut self.findings);
        self.spoken()
    }

    /// Every field that is read from an event.
    pub fn reads(&self) -> impl Iterator<Item = event::Name> {
        self.windows.reads()
    }

    pub fn counters(&self) -> correlate::Counters {
        self.windows.counters()
    }

    /// What raises its voice: findings of correlations that do not only feed others.
    fn spoken(&mut self) -> &[Finding] {
        self.findings.retain(|f| f.span.is_some() && (f.rule.alerts || f.rule.shadow));
        &self.findings
    }
}

/// The correlation a finding is of.
pub fn rule_of<'r>(correlations: &'r [Correlation], id: &str) -> Option<&'r Correlation> {
    correlations.iter().find(|c| c.meta.id == id)
}
