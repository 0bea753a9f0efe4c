//! Rule text and events made to hurt: nothing panics, nothing runs away, index and plain scan agree on whatever loads.
//!
//! The seeds of the fuzz targets, bent by a small generator with a fixed seed (`SEED=n` for another run).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use event::{Event, Kind, LogSource, Name, TEXT_BYTES_MAX, Timestamp, Value};
use rule::{Mappings, Options, RuleSet, Source};

fn load(text: &str) -> (RuleSet, Vec<rule::RuleError>) {
    RuleSet::from_sources(&[Source { path: "h.yml".into(), text: text.into() }], &Mappings::none(), &Options::default())
}

fn agree(set: &RuleSet, event: &Arc<Event>, what: &str) {
    let (mut fast, mut plain) = (Vec::new(), Vec::new());
    set.detect(event, &mut fast);
    set.scan(event, &mut plain);
    assert_eq!(format!("{fast:?}"), format!("{plain:?}"), "{what}");
    for meta in set.rules() {
        let _ = set.explain(event, &meta.id).unwrap().to_string();
    }
}

/// xorshift64*: enough to bend seeds, the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n.max(1)
    }

    fn bend(&mut self, seed: &str) -> String {
        const WORDS: &[&str] = &[
            "|contains",
            "|re",
            "|all",
            "|base64offset",
            "|windash",
            "|expand",
            "|cidr",
            "|fieldref",
            "|exists",
            "|neq",
            "null",
            "''",
            "'*'",
            "[]",
            "{}",
            "- ",
            ": ",
            "\n",
            "\n---\n",
            "%a%",
            "1 of ",
            "all of them",
            " and ",
            " not ",
            "(",
            ")",
            "\\",
            "\\*",
            "?",
            "é",
            "\u{ffff}",
            "999999999999999999999",
            "-1",
            "1.5",
            "&a",
            "*a",
            "!x ",
            "\t",
            "|",
            "#",
            "condition: ",
            "filter:\n",
            "correlation:\n",
            "rules: any\n",
            "timespan: 1s",
            "true",
        ];
        let mut chars: Vec<char> = seed.chars().collect();
        for _ in 0..=self.below(4) {
            let at = self.below(chars.len() + 1);
            let end = (at + self.below(12)).min(chars.len());
            match self.below(4) {
                0 => drop(chars.drain(at..end)),
                1 => {
                    let copy: Vec<char> = chars[at..end].to_vec();
                    let to = self.below(chars.len() + 1);
                    chars.splice(to..to, copy);
                }
                _ => {
                    let word = WORDS[self.below(WORDS.len())];
                    chars.splice(at..at, word.chars());
                }
            }
        }
        chars.into_iter().collect()
    }
}

#[test]
fn bent_seeds_are_refused_or_answer_consistently() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let read = |folder: &str| {
        let mut all: Vec<String> =
            std::fs::read_dir(corpus.join(folder)).unwrap().map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()).collect();
        all.sort();
        all
    };
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_123);
    println!("SEED={seed}");
    let mut chance = Chance(seed);
    let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::new("linux", "process_creation", ""));
    for (name, value) in [
        ("A", Value::text("xy")),
        ("B", Value::Int(7)),
        ("C", Value::from(vec![Value::Null, Value::text("iex")])),
        ("message", Value::text("the needle")),
    ] {
        event.body.set(Name::from(name), value);
    }
    let event = Arc::new(event);
    let (mut loaded, mut refused) = (0, 0);
    let rules = read("rule_yaml");
    for _ in 0..600 {
        let text = chance.bend(&rules[chance.0 as usize % rules.len()]);
        let (set, errors) = load(&text);
        assert!(
            errors.iter().all(|e| e.path == "h.yml" && !e.what.is_empty() && e.line as usize <= text.lines().count() + 1),
            "{errors:?}"
        );
        agree(&set, &event, &text);
        loaded += set.rules().len() + set.correlations().len();
        refused += errors.len();
    }
    let conditions = read("condition");
    for _ in 0..600 {
        let condition = chance.bend(&conditions[chance.0 as usize % conditions.len()]).replace('\'', "").replace(['\n', '\r'], " ");
        let text = format!(
            "title: T\nid: t\nlogsource: {{product: linux}}\ndetection:\n  sel_a: {{A: xy}}\n  sel_b: {{B: 1}}\n  _c: {{C: iex}}\n  filter: {{B: 7}}\n  condition: '{condition}'\n"
        );
        let (set, errors) = load(&text);
        assert_eq!(set.rules().len() + errors.len(), 1, "{condition}: {errors:?}");
        agree(&set, &event, &condition);
        loaded += set.rules().len();
        refused += errors.len();
    }
    println!("{loaded} loaded, {refused} refused");
    assert!(loaded > 500 && refused > 200, "{loaded} loaded, {refused} refused: the bending is too weak or too strong");
}

#[test]
fn depth_and_length_end_in_a_refusal() {
    let with = |condition: &str| format!("title: T\nlogsource: {{product: p}}\ndetection:\n  a: {{A: 1}}\n  condition: '{condition}'\n");
    for condition in
        ["(".repeat(50_000), "not ".repeat(50_000) + "a", "a or ".repeat(20_000) + "a", "(".repeat(60_000) + "a" + &")".repeat(60_000)]
    {
        let (set, errors) = load(&with(&condition));
        assert!(set.rules().is_empty() && errors[0].what.contains("too long or too deep"), "{errors:?}");
    }
    let folded =
        format!("title: T\nlogsource: {{product: p}}\ndetection:\n  a: {{A: 1}}\n  condition: >\n{}    a\n", "    (\n".repeat(5_000));
    assert!(load(&folded).1[0].what.contains("too long or too deep"));
    let nested =
        format!("title: T\nlogsource: {{product: p}}\ndetection:\n  a: {}1{}\n  condition: a\n", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(load(&nested).1.len(), 1);
    let mut bomb = "title: T\nlogsource: {product: p}\ndetection:\n  a: {A: 1}\n  condition: a\nx0: &x0 [1,1,1,1,1,1,1,1,1]\n".to_owned();
    for n in 1..30 {
        bomb.push_str(&format!("x{n}: &x{n} [{}]\n", vec![format!("*x{}", n - 1); 9].join(",")));
    }
    assert_eq!(load(&bomb).1.len(), 1, "a YAML alias bomb");
}

#[test]
fn an_event_at_every_limit_is_answered() {
    let (set, errors) = load(
        "title: T\nid: t\nlogsource: {product: p}\ndetection:\n  s: {A|contains: zz, B: 'x*y?z*q', C|re: '(a+)+$', L|contains|all: [p, q]}\n  k: ['never there', 'a*b*c*d']\n  condition: 1 of them\n",
    );
    assert_eq!(errors, []);
    let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::new("p", "", ""));
    let long = "xa".repeat(TEXT_BYTES_MAX / 2);
    for name in ["A", "B", "C"] {
        event.body.set(Name::from(name), long.as_str());
    }
    event.body.set(Name::from("L"), Value::from(vec![Value::from(vec![Value::text("p"), Value::text("q")]); 2_000]));
    for n in 0..event::FIELDS_MAX + 10 {
        event.body.set(Name::from(format!("f{n}").as_str()), f64::from(n as u32) / 3.0);
    }
    event.body.set(Name::from("A"), Value::Bytes(vec![0xff; 1_000].into()));
    let event = Arc::new(event);
    agree(&set, &event, "limits");
    // The room used for the large event serves a small one right.
    let mut small = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::new("p", "", ""));
    small.body.set(Name::from("m"), "it was NEVER THERE");
    let mut out = Vec::new();
    set.detect(&Arc::new(small), &mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn one_set_serves_many_threads() {
    let (set, errors) =
        load("title: T\nid: t\nlogsource: {product: p}\ndetection: {s: {A|contains: [aaa, bbb], N|gte: 5}, condition: s}\n");
    assert_eq!(errors, []);
    let hits: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4u32)
            .map(|t| {
                let set = &set;
                scope.spawn(move || {
                    let mut out = Vec::new();
                    for n in 0..100u32 {
                        let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::new("p", "", ""));
                        event.body.set(Name::from("A"), if (n + t) % 2 == 0 { "xAAAx" } else { "xABAx" });
                        event.body.set(Name::from("N"), n % 10);
                        set.detect(&Arc::new(event), &mut out);
                    }
                    out.len()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    // Of 100 numbers half are even (or odd), and N >= 5 holds for 20 of the even and 30 of the odd ones.
    assert_eq!(hits, 2 * 20 + 2 * 30);
}
