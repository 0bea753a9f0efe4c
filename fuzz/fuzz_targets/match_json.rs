//! Any flat JSON object as an event against rules that use every modifier: no crash, index and plain scan agree.
#![no_main]
use std::sync::{Arc, OnceLock};

use event::{Event, Kind, LogSource, Name, Timestamp, Value};
use rule::{Mappings, Options, Routing, RuleSet, Scratch, Source};

const RULES: &str = include_str!("../corpus/rule_yaml/every_modifier.yml");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static SET: OnceLock<RuleSet> = OnceLock::new();
    let set = SET.get_or_init(|| {
        let source = [Source { path: "r.yml".into(), text: RULES.into() }];
        let (set, errors) = RuleSet::from_sources(
            &source,
            &Mappings::none(),
            &Options { placeholders: [("a".to_owned(), vec!["x*".to_owned()])].into(), ..Options::default() },
        );
        assert_eq!(errors, []);
        set
    });
    // The one-pass reader of lines meets every byte, JSON or not.
    let (routing, mut scratch, mut numbers) = (Routing::default(), Scratch::default(), Vec::new());
    if set.matches_json(bytes, &routing, &mut scratch, &mut numbers).is_ok() {
        let whole = rule::json_event(bytes, &routing, Timestamp::ZERO).expect("what is matched is read");
        let names: Vec<Name> = whole.body.iter().map(|(n, _)| n.clone()).take(40).collect();
        let feed = rule::Feed::new(vec![true; set.rules().len()], names.clone());
        let fed = set.matches_json_feeding(bytes, &routing, &feed, &mut scratch, &mut numbers).expect("what is matched is fed");
        assert_eq!(fed.is_some(), !numbers.is_empty());
        if let Some(event) = fed {
            names.iter().for_each(|n| assert_eq!(format!("{:?}", event.body.get_name(n)), format!("{:?}", whole.body.get_name(n))));
        }
        for number in numbers {
            set.reasons_json(bytes, &routing, number, &mut scratch).expect("what is matched is explained");
        }
    }
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(bytes) else { return };
    let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::new("linux", "", ""));
    for (name, value) in &fields {
        event.body.set(Name::from(name.as_str()), convert(value));
    }
    let event = Arc::new(event);
    let (mut fast, mut plain) = (Vec::new(), Vec::new());
    set.detect(&event, &mut fast);
    set.scan(&event, &mut plain);
    assert_eq!(format!("{fast:?}"), format!("{plain:?}"));
});

fn convert(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Int),
        // A text that is an address becomes one, so that both forms are met.
        Json::String(s) => s.parse::<std::net::IpAddr>().map_or_else(|_| Value::text(s), Value::Ip),
        Json::Array(list) => Value::from(list.iter().map(convert).collect::<Vec<_>>()),
        Json::Object(_) => Value::Bytes(value.to_string().into_bytes().into()),
    }
}
