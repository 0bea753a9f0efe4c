//! Lines of JSON: how members become fields, what refuses a line, and that the three ways to ask agree.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use event::{LogSource, Name, Timestamp};
use rule::{Feed, Mappings, Options, Routing, RuleSet, Source, json_event};

fn load(detection: &str) -> RuleSet {
    rules(&format!("title: T\nid: t\nlogsource: {{product: p}}\ndetection: {detection}\n"))
}

fn rules(text: &str) -> RuleSet {
    let (set, errors) =
        RuleSet::from_sources(&[Source { path: "l.yml".into(), text: text.into() }], &Mappings::none(), &Options::default());
    assert_eq!(errors, []);
    set
}

/// Whether the rules match, by the fast way, the plain scan, and the line as a typed event.
fn numbers(set: &RuleSet, line: &str) -> Vec<u32> {
    let (mut scratch, mut fast, mut plain, mut typed) = (set.scratch(), Vec::new(), Vec::new(), Vec::new());
    let routing = Routing::default();
    set.matches_json(line.as_bytes(), &routing, &mut scratch, &mut fast).unwrap();
    set.scan_json(line.as_bytes(), &routing, &mut plain).unwrap();
    assert_eq!(fast, plain, "fast and plain on {line}");
    let event = json_event(line.as_bytes(), &routing, Timestamp::ZERO).unwrap();
    set.detect(&Arc::new(event), &mut typed);
    let ids: Vec<&str> = fast.iter().map(|n| set.rules()[*n as usize].id.as_str()).collect();
    assert_eq!(ids, typed.iter().map(|f| f.rule.id.as_str()).collect::<Vec<_>>(), "line and event: {line}");
    fast
}

fn hit(set: &RuleSet, members: &str) -> bool {
    !numbers(set, &format!("{{\"product\":\"p\",{members}}}")).is_empty()
}

#[test]
fn members_are_fields_nested_or_dotted() {
    let set = load("{s: {a.b|contains: needle}, condition: s}");
    for good in [
        r#""a.b":"a needle""#,
        r#""a":{"b":"NEEDLE"}"#,
        r#""a":[{"c":1},{"b":"x"},{"b":"the needle"}]"#,
        r#""a":{"b":["x",["needle"],{"z":1}]}"#,
        r#""a":{"\u0062":"nee\u0064le"}"#,
        r#""a.b":"x","a":{"b":"needle"}"#,
    ] {
        assert!(hit(&set, good), "{good}");
    }
    for bad in [r#""a":"needle""#, r#""b":"needle""#, r#""a":{"b":{"c":"needle"}}"#, r#""a.b":"needle","a":{"b":"x"}"#, r#""a":{"b":null}"#]
    {
        assert!(!hit(&set, bad), "{bad}");
    }
}

#[test]
fn values_keep_their_types() {
    for (detection, members, want) in [
        ("{s: {N: 22}, condition: s}", r#""N":22"#, true),
        ("{s: {N: 22}, condition: s}", r#""N":22.0"#, true),
        ("{s: {N: 22}, condition: s}", r#""N":"22""#, true),
        ("{s: {N: 22}, condition: s}", r#""N":220e-1"#, true),
        ("{s: {N: 0}, condition: s}", r#""N":-0"#, true),
        ("{s: {N|gt: 5}, condition: s}", r#""N":18446744073709551616"#, true),
        ("{s: {N|gt: 5}, condition: s}", r#""N":[1,9]"#, true),
        ("{s: {N|lte: 5}, condition: s}", r#""N":6"#, false),
        ("{s: {N: null}, condition: s}", r#""N":null"#, true),
        ("{s: {N: null}, condition: s}", r#""M":1"#, true),
        ("{s: {N|exists: true}, condition: s}", r#""N":{}"#, true),
        ("{s: {N|exists: true}, condition: s}", r#""N":[]"#, true),
        ("{s: {N|exists: false}, condition: s}", r#""N":null"#, false),
        ("{s: {N: true}, condition: s}", r#""N":true"#, true),
        ("{s: {N|cidr: 10.0.0.0/8}, condition: s}", r#""N":["x","10.9.8.7"]"#, true),
        ("{s: {N|endswith: '\\cmd.exe'}, condition: s}", r#""N":"C:\\Windows\\CMD.exe""#, true),
        ("{s: {N: \"a\\tb\"}, condition: s}", r#""N":"a\tb""#, true),
        ("{s: {N: '😀'}, condition: s}", r#""N":"\ud83d\ude00""#, true),
        ("{s: {N|re: '^x+y$'}, condition: s}", r#""N":"xxy""#, true),
        ("{s: {N|contains: a}, f: {M: 1}, condition: s and not f}", r#""N":"a","M":1"#, false),
        ("{f: {M: 1}, condition: not f}", r#""N":"a""#, true),
    ] {
        assert_eq!(hit(&load(detection), members), want, "{detection} {members}");
    }
}

#[test]
fn keywords_are_sought_in_every_value_but_not_in_names_or_log_source() {
    let set = load("{k: ['needle', 'x'], condition: k}");
    assert!(hit(&set, r#""x":{"y":["a","in a Needle"]}"#));
    assert!(!hit(&set, r#""needle":"y""#) && hit(&set, r#""y":"x""#));
    assert!(!hit(&set, r#""log.path":"/p/needle""#), "what the agent added");
    // The words of the log source are a label here; a typed event keeps them as fields like any other.
    let label = load("{k: ['p'], condition: k}");
    let mut out = Vec::new();
    label.matches_json(br#"{"product":"p"}"#, &Routing::default(), &mut label.scratch(), &mut out).unwrap();
    assert!(out.is_empty());
    let all = load("{k: {'|all': ['one', 2]}, condition: k}");
    assert!(hit(&all, r#""x":"ONE","y":{"z":123}"#) && !hit(&all, r#""x":"one""#));
}

#[test]
fn an_event_for_a_feed_has_the_fields_it_would_have_and_no_others() {
    let set = rules(
        "title: T\nid: t\nlogsource: {product: p}\ndetection: {s: {A: x}, condition: s}\n---\ntitle: U\nid: u\nlogsource: {product: p}\ndetection: {s: {B|contains: y}, condition: s}\n",
    );
    let wanted = ["A", "c.d", "src_endpoint.ip", "absent", "L", "c.d", "E"];
    let feed = Feed::new(vec![true, false], wanted.iter().map(|n| Name::from(*n)));
    let (mut scratch, mut out, routing) = (set.scratch(), Vec::new(), Routing::default());
    for line in [
        r#"{"product":"p","A":"x","c":{"d":7},"src_endpoint.ip":"10.0.0.1","other":"y"}"#,
        r#"{"product":"p","A":["q","x"],"L":[{"M":1},"a\u0041",[true,null]],"c.d":1.5,"c":{"d":"later"},"B":"y"}"#,
        r#"{"product":"p","A":"\u0078","E":{},"L":[]}"#,
    ] {
        let whole = json_event(line.as_bytes(), &routing, Timestamp::ZERO).unwrap();
        // Asked twice: the room of the line before must not show.
        for _ in 0..2 {
            let event = set.matches_json_feeding(line.as_bytes(), &routing, &feed, &mut scratch, &mut out).unwrap().unwrap();
            for name in &wanted {
                assert_eq!(event.body.get_named(name), whole.body.get_named(name), "{name} of {line}");
            }
            assert!(event.body.iter().all(|(n, _)| wanted.contains(&n.as_str())));
        }
    }
    let only_other = r#"{"product":"p","B":"y"}"#;
    assert_eq!(set.matches_json_feeding(only_other.as_bytes(), &routing, &feed, &mut scratch, &mut out), Ok(None));
    assert_eq!(out, [1], "a rule nobody listens to matches all the same");
}

#[test]
fn the_log_source_comes_from_the_event_or_from_the_caller() {
    let set = load("{s: {A: 1}, condition: s}");
    let mut out = Vec::new();
    let mut ask = |routing: &Routing, line: &str| {
        set.matches_json(line.as_bytes(), routing, &mut set.scratch(), &mut out).unwrap();
        !out.is_empty()
    };
    let event = Routing::default();
    assert!(ask(&event, r#"{"product":"p","A":1}"#) && ask(&event, r#"{"A":1,"logsource":{"product":"p"}}"#));
    assert!(!ask(&event, r#"{"A":1}"#) && !ask(&event, r#"{"product":"q","A":1}"#) && !ask(&event, r#"{"product":1,"A":1}"#));
    let given = Routing { given: LogSource::new("p", "", ""), from_event: true };
    assert!(ask(&given, r#"{"A":1}"#) && ask(&given, r#"{"product":"q","A":1}"#), "what is given holds");
    assert!(!ask(&Routing { from_event: false, ..Routing::default() }, r#"{"product":"p","A":1}"#));
}

#[test]
fn what_is_no_event_is_refused_with_its_column() {
    let set = load("{s: {A: 1}, condition: s}");
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(80), "]".repeat(80));
    for (line, column, what) in [
        ("", 1, "not a JSON object"),
        ("[1]", 1, "not a JSON object"),
        ("{\"a\":1", 7, "',' or '}' was expected"),
        ("{\"a\" 1}", 6, "':' was expected"),
        ("{\"a\":\"x}", 6, "a text does not end"),
        ("{\"a\":01}", 8, "not a number"),
        ("{\"a\":tru}", 6, "a value was expected"),
        ("{\"a\":1}x", 8, "something follows the object"),
        ("{a:1}", 2, "a name was expected"),
        (deep.as_str(), 69, "nested too deeply"),
    ] {
        let error = set.matches_json(line.as_bytes(), &Routing::default(), &mut set.scratch(), &mut Vec::new()).unwrap_err();
        assert_eq!((error.column, error.what), (column, what), "{line}");
        assert_eq!(set.scan_json(line.as_bytes(), &Routing::default(), &mut Vec::new()), Err(error.clone()));
        assert_eq!(json_event(line.as_bytes(), &Routing::default(), Timestamp::ZERO), Err(error));
    }
    // Bytes that are not UTF-8 become U+FFFD and cost no event.
    let set = load("{s: {A|contains: needle}, condition: s}");
    let mut out = Vec::new();
    set.matches_json(b"{\"product\":\"p\",\"A\":\"\xff needle\"}", &Routing::default(), &mut set.scratch(), &mut out).unwrap();
    assert_eq!(out, [0]);
}

#[test]
fn reasons_name_the_field_and_room_of_another_set_will_do() {
    let set = load("{s: {Cmd|contains: [aaa, bbb], N|gte: 5}, condition: s}");
    let other = load("{s: {X: 1}, condition: s}");
    let mut scratch = other.scratch();
    let line = br#"{"product":"p","Cmd":"x BBB","N":7}"#;
    let reasons = set.reasons_json(line, &Routing::default(), 0, &mut scratch).unwrap();
    let mut shown: Vec<String> = reasons.iter().map(|m| format!("{}={} {}", m.field, m.value.to_text(), m.pattern)).collect();
    shown.sort();
    assert_eq!(shown, ["Cmd=x BBB contains 'bbb'", "N=7 gte '5'"]);
    assert!(other.reasons_json(line, &Routing::default(), 0, &mut scratch).unwrap().is_empty());
}

/// Who writes events chooses the words of the log source: plans stay bounded, answers stay right.
#[test]
fn a_flood_of_log_sources_changes_no_answer() {
    let mut text = String::new();
    for n in 0..40 {
        text.push_str(&format!(
            "title: A{n}\nid: a{n}\nlogsource: {{product: p{n}}}\ndetection: {{s: {{F|contains: needle}}, condition: s}}\n---\n\
             title: C{n}\nid: c{n}\nlogsource: {{category: c{n}}}\ndetection: {{s: {{F|contains: needle}}, condition: s}}\n---\n\
             title: S{n}\nid: s{n}\nlogsource: {{service: s{n}}}\ndetection: {{s: {{F|contains: needle}}, condition: s}}\n---\n"
        ));
    }
    let set = rules(&text);
    let (mut scratch, mut out) = (set.scratch(), Vec::new());
    for p in 0..40 {
        for c in 0..40 {
            let s = (p * 7 + c * 3) % 40;
            let line = format!("{{\"product\":\"p{p}\",\"category\":\"c{c}\",\"service\":\"s{s}\",\"F\":\"a needle\"}}");
            set.matches_json(line.as_bytes(), &Routing::default(), &mut scratch, &mut out).unwrap();
            let mut ids: Vec<String> = out.iter().map(|n| set.rules()[*n as usize].id.clone()).collect();
            ids.sort();
            assert_eq!(ids, [format!("a{p}"), format!("c{c}"), format!("s{s}")]);
        }
    }
    assert!(set.unplanned() > 0, "the flood was too small to meet the bound");
}

/// Patterns that would take other engines exponential time end at once, whatever their size is refused by name.
#[test]
fn hostile_expressions_are_bounded() {
    let set = load(r"{s: {A|re: '(a+)+$'}, t: {A|re: '^(([a-z])+.)+[A-Z]([a-z])+$'}, u: {A|re: '(x*)*y'}, condition: 1 of them}");
    assert!(!hit(&set, &format!("\"A\":\"{}!\"", "a".repeat(50_000))));
    for (pattern, word) in
        [("(?:a{1000}){1000}", "MiB when compiled"), ("((((a{20}){20}){20}){20})", "MiB when compiled"), ("(?=x)", "look-around")]
    {
        let text = format!("title: T\nid: t\nlogsource: {{product: p}}\ndetection: {{s: {{A|re: '{pattern}'}}, condition: s}}\n");
        let (set, errors) = RuleSet::from_sources(&[Source { path: "h.yml".into(), text }], &Mappings::none(), &Options::default());
        assert!(set.rules().is_empty() && errors[0].to_string().contains(word) && errors[0].line > 0, "{errors:?}");
    }
}
