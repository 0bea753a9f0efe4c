//! rsigma-eval 0.23.0, set up as its documents say for speed: log source routing on, rules added in one batch.

use rsigma_eval::{Engine, JsonEvent, LogSourceExtractor};

use crate::RuleText;

pub fn engine(rules: &[RuleText]) -> Engine {
    let mut parsed = Vec::new();
    for rule in rules {
        parsed.extend(rsigma_parser::parse_sigma_yaml(&rule.yaml).expect("YAML").rules);
    }
    let mut engine = Engine::new();
    let refused = engine.add_rules(parsed.iter());
    assert!(refused.is_empty(), "{refused:?}");
    engine.set_logsource_extractor(Some(LogSourceExtractor::new()));
    engine
}

/// Ids of the rules that match a line, parse included.
pub fn matches(engine: &Engine, line: &[u8]) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_slice(line).expect("an event");
    engine.evaluate(&JsonEvent::borrow(&json)).into_iter().map(|r| r.header.rule_id.unwrap_or_default()).collect()
}
