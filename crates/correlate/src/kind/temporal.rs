//! `temporal`: all the rules within one window, in any order.

use event::{Reason, Value};
use rule::Correlation;

use super::{Distinct, Full, Kind, Refusal, Tally, Telling};

pub(super) struct Temporal;

impl Kind for Temporal {
    fn word(&self) -> &'static str {
        "temporal"
    }
    fn about(&self) -> &'static str {
        "all the rules within a window, in any order"
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        several(rule)
    }
    fn default_threshold(&self, rule: &Correlation) -> Option<f64> {
        Some(rule.rules.len() as f64)
    }
    fn full(&self) -> Full {
        Full::OnePerValue
    }
    fn fixed(&self, slots: u32) -> Option<u64> {
        Some(u64::from(slots))
    }
    fn reversible(&self) -> bool {
        true
    }
    fn tally(&self, _rule: &Correlation) -> Box<dyn Tally> {
        Box::new(Distinct::default())
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("rules_together").arg("rules", names(t.titles)).arg("window_s", t.window_s())
    }
}

pub(super) fn several(rule: &Correlation) -> Result<(), Refusal> {
    match rule.rules.len() {
        2..=32 => Ok(()),
        n => Err((format!("a temporal correlation over {n} rules"), "name 2 to 32 rules".into())),
    }
}

pub(super) fn names(titles: &[String]) -> Vec<Value> {
    titles.iter().map(|t| Value::text(t)).collect()
}
