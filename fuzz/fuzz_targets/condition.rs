//! Any text as a condition over four searches: refused or evaluated, the same by index, plain scan and explanation.
#![no_main]
use std::sync::Arc;

use event::{Event, Kind, LogSource, Name, Timestamp};
use rule::{Mappings, Options, RuleSet, Source};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if text.contains(['\n', '\r', '\'']) {
        return;
    }
    let text = format!(
        "title: T\nid: t\nlogsource: {{product: p}}\ndetection:\n  sel_a: {{A: 1}}\n  sel_b: {{B: 1}}\n  _c: {{C: 1}}\n  filter: {{D: 1}}\n  condition: '{text}'\n"
    );
    let (set, errors) = RuleSet::from_sources(&[Source { path: "c.yml".into(), text }], &Mappings::none(), &Options::default());
    assert_eq!(set.rules().len() + errors.len(), 1, "{errors:?}");
    for bits in 0..16u8 {
        let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::new("p", "", ""));
        for (n, name) in ["A", "B", "C", "D"].into_iter().enumerate() {
            event.body.set(Name::from(name), u32::from(bits >> n & 1));
        }
        let event = Arc::new(event);
        let (mut fast, mut plain) = (Vec::new(), Vec::new());
        set.detect(&event, &mut fast);
        set.scan(&event, &mut plain);
        assert_eq!(fast.len(), plain.len());
        assert_eq!(set.explain(&event, "t").is_some_and(|e| e.matched), !fast.is_empty());
    }
});
