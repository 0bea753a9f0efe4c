//! Rules other engines never find: keywords that all have to be in the message, and Base64 at any offset. And the lanes of the benches:
//! the fast way finds what the plain scan finds.

use std::collections::BTreeSet;

use rule::Routing;
use serde_json::Value as Json;

use super::corpus::Corpus;

/// Every public rule with keywords under `|all`, and every one with `base64offset`, fires on an event written for it (Base64: in each
/// of the three positions, whatever follows).
#[test]
fn keyword_all_and_base64offset_rules_fire() {
    let Some(corpus) = Corpus::read() else { return };
    let mut scratch = corpus.set.scratch();
    let (mut hits, mut plain) = (Vec::new(), Vec::new());
    let mut fired = BTreeSet::new();
    for line in include_str!("proof.jsonl").lines() {
        let case: Json = serde_json::from_str(line).expect("a case");
        let name = case["rule"].as_str().expect("a rule");
        let event = case["event"].to_string();
        corpus.set.matches_json(event.as_bytes(), &Routing::default(), &mut scratch, &mut hits).expect("an event");
        corpus.set.scan_json(event.as_bytes(), &Routing::default(), &mut plain).expect("an event");
        assert_eq!(hits, plain, "{event}");
        let paths = hits.iter().filter_map(|n| corpus.set.rules().get(*n as usize)).map(|m| m.path.as_str());
        let path = paths.into_iter().find(|p| p.ends_with(&format!("/{name}"))).unwrap_or_else(|| panic!("{name} is silent on {event}"));
        fired.insert(path.to_owned());
    }
    let of =
        |word: &str| corpus.entries.iter().filter(|e| e.active() && e.yaml.contains(word)).map(|e| e.path.clone()).collect::<BTreeSet<_>>();
    let (keywords, encoded) = (of("'|all'"), of("base64offset"));
    println!("{} rules with keywords under '|all', {} with base64offset: all fire", keywords.len(), encoded.len());
    assert_eq!((keywords.len(), encoded.len()), (17, 8));
    assert_eq!(fired, keywords.union(&encoded).cloned().collect());
}

/// Every hundredth event of each lane (the bench asks more of them).
#[test]
fn lines_of_the_lanes_match_as_the_plain_scan_says() {
    let Some(corpus) = Corpus::read() else { return };
    let mut scratch = corpus.set.scratch();
    for name in ["linux", "windows"] {
        let Some(path) = tests::data(&format!("bench/sigma-lanes/{name}.jsonl.zst")) else { return };
        let text = zstd::decode_all(std::fs::File::open(path).expect("the lane")).expect("zstd");
        let (mut hits, mut plain) = (Vec::new(), Vec::new());
        let (mut events, mut matches) = (0, 0);
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).step_by(100) {
            corpus.set.matches_json(line, &Routing::default(), &mut scratch, &mut hits).expect("an event");
            corpus.set.scan_json(line, &Routing::default(), &mut plain).expect("an event");
            assert_eq!(hits, plain, "{}", String::from_utf8_lossy(line));
            events += 1;
            matches += hits.len();
        }
        println!("{name}: {events} events, {matches} matches, the same by the plain scan");
        assert!(events > 500);
    }
}
