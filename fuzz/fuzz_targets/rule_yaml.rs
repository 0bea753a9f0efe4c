//! Any text as a rule file and as a mapping file: refused or loaded, never a crash, and what is loaded answers the same by
//! index and by plain scan.
#![no_main]
use std::sync::Arc;

use event::{Event, Kind, LogSource, Name, Timestamp};
use rule::{Mappings, Options, RuleSet, Source};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let source = [Source { path: "f.yml".into(), text: text.into() }];
    let (mappings, _) = Mappings::from_sources(&source);
    let options = Options { placeholders: [("a".to_owned(), vec!["x*".to_owned(), "y".to_owned()])].into(), ..Options::default() };
    let (set, errors) = RuleSet::from_sources(&source, &mappings, &options);
    assert!(errors.iter().all(|e| e.path == "f.yml" && !e.what.is_empty()));
    let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::new("linux", "process_creation", "sshd"));
    for (name, value) in
        [("Image", "/usr/bin/curl"), ("CommandLine", "curl -x | bash"), ("A", "1"), ("message", "Failed password for root")]
    {
        event.body.set(Name::from(name), value);
    }
    let event = Arc::new(event);
    let (mut fast, mut plain) = (Vec::new(), Vec::new());
    set.detect(&event, &mut fast);
    set.scan(&event, &mut plain);
    assert_eq!(format!("{fast:?}"), format!("{plain:?}"));
    for meta in set.rules() {
        let why = set.explain(&event, &meta.id);
        assert!(why.is_some_and(|w| !w.to_string().is_empty()));
    }
});
