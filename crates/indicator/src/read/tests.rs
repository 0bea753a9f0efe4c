use super::*;
use crate::{Set, SetBuilder, mark};
use event::{Event, Kind, LogSource, field};

fn load(bytes: &[u8], options: &ReadOptions) -> (Set, Reading) {
    let mut builder = SetBuilder::new();
    let reading = read(bytes, options, &mut |entry| builder.add(entry));
    (builder.build(), reading)
}

fn shown(set: &Set) -> Vec<String> {
    let mut all: Vec<_> = set
        .iter()
        .map(|f| format!("{} {} {} {} {}", f.kind.name(), f.value, f.meta.source, f.meta.tlp.name(), f.meta.confidence))
        .collect();
    all.sort();
    all
}

fn event(fields: &[(event::Field, &str)]) -> Event {
    let event = Event::new(Timestamp::from_secs(1_790_000_000), Kind::NetworkActivity, 1, LogSource::new("", "network_connection", "flow"));
    fields.iter().fold(event, |e, (f, v)| match v.parse::<std::net::IpAddr>() {
        Ok(ip) => e.with(*f, ip),
        Err(_) => e.with(*f, *v),
    })
}

#[test]
fn a_list_gives_its_values_and_names_what_is_none() {
    let text = b"# feed\n; other\n192[.]0[.]2[.]1\nhxxp://evil[.]example/a # c2\n0.0.0.0 ads.example\n127.0.0.1 localhost\nnonsense\n198.51.100.0/24\n\n10.0.0.0/2\n";
    let (set, reading) = load(text, &ReadOptions { source: "feed".into(), ..ReadOptions::default() });
    assert_eq!(reading.format, Format::List);
    assert_eq!((reading.taken, set.len()), (4, 4));
    assert_eq!(reading.problems.iter().map(|p| p.line).collect::<Vec<_>>(), [7, 10]);
    assert!(shown(&set).contains(&"url evil.example/a feed amber 50".to_owned()), "{:?}", shown(&set));
}

#[test]
fn a_csv_is_read_by_its_names_or_by_stated_columns() {
    let text = b"\"indicator\",type,tlp,confidence,valid_until,tags,description\n\"evil.example\",domain,TLP:GREEN,90,2030-01-01,\"c2;rat\",\"say \"\"hi\"\", ok\"\n192.0.2.9,ip,purple,1,,,\n192.0.2.10,ip,,high,2020-01-01 10:00:00,,\n";
    let (set, reading) = load(text, &ReadOptions { source: "s".into(), ..ReadOptions::default() });
    assert_eq!(reading.format, Format::Csv);
    assert_eq!(shown(&set), ["domain-name evil.example s green 90", "ipv4-addr 192.0.2.10 s amber 85"]);
    assert_eq!(reading.problems.len(), 1);
    assert_eq!((reading.problems[0].line, reading.problems[0].value.as_str()), (3, "purple"));
    let found = set.about(&Observable::parse("evil.example").unwrap());
    assert_eq!((found[0].meta.description.as_str(), found[0].meta.labels.len()), ("say \"hi\", ok", 2));
    let columns = vec!["first_seen".to_owned(), "value".to_owned()];
    let (set, reading) =
        load(b"2026-01-01;192.0.2.1\nyesterday;192.0.2.2\n", &ReadOptions { format: Format::Csv, columns, ..ReadOptions::default() });
    assert_eq!((set.len(), reading.problems[0].line), (1, 2));
}

const BUNDLE: &str = r#"{"type":"bundle","id":"bundle--1","objects":[
{"type":"identity","id":"identity--7","name":"City CERT"},
{"type":"indicator","id":"indicator--1","created_by_ref":"identity--7","pattern":"[ipv4-addr:value = '192.0.2.5'] OR [domain-name:value IN ('a.example','b.example')]","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z","valid_until":"2027-01-01T00:00:00Z","confidence":80,"labels":["x"],"object_marking_refs":["marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"]},
{"type":"indicator","id":"indicator--2","pattern":"[file:hashes.'SHA-256' = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' AND url:value = 'http://x.example/p']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"},
{"type":"indicator","id":"indicator--3","pattern":"[ipv4-addr:value = '192.0.2.5'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.6']","pattern_type":"stix"},
{"type":"indicator","id":"indicator--4","pattern":"rule x {}","pattern_type":"yara"},
{"type":"indicator","id":"indicator--5","pattern":"[process:name LIKE 'x%']","pattern_type":"stix"},
{"type":"malware","id":"malware--1","name":"m"},
{"type":"indicator","id":"indicator--6","revoked":true,"pattern":"[ipv4-addr:value = '192.0.2.7']","pattern_type":"stix"},
{"type":"indicator","id":"indicator--8","pattern":[1],"pattern_type":"stix"}
]}"#;

#[test]
fn a_bundle_gives_its_simple_patterns_and_names_the_others() {
    let (set, reading) = load(BUNDLE.as_bytes(), &ReadOptions::default());
    assert_eq!(reading.format, Format::Stix);
    assert_eq!((reading.taken, reading.passed_over), (4, 2));
    let lines: Vec<_> = reading.problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [5, 6, 7, 10], "{:?}", reading.problems);
    assert!(reading.problems[0].reason.contains("FOLLOWEDBY relates several events"), "{}", reading.problems[0]);
    assert!(shown(&set).contains(&"domain-name a.example City CERT amber+strict 80".to_owned()), "{:?}", shown(&set));
}

#[test]
fn both_values_of_an_and_must_be_in_the_event() {
    let (set, _) = load(BUNDLE.as_bytes(), &ReadOptions::default());
    let hash = "a".repeat(64);
    let mut half = event(&[(field::RESULT_SHA256, hash.as_str())]);
    assert_eq!(mark(&set, &mut half).count, 0);
    let mut whole = event(&[(field::RESULT_SHA256, hash.as_str()), (field::HTTP_HOST, "X.example"), (field::HTTP_URL, "/p")]);
    assert_eq!(mark(&set, &mut whole).count, 1);
}

#[test]
fn what_the_marking_keeps_is_not_on_the_event() {
    let (set, _) = load(BUNDLE.as_bytes(), &ReadOptions::default());
    let mut e = event(&[(field::DNS_QUERY, "deep.A.example.")]);
    let marks = mark(&set, &mut e);
    assert_eq!(marks.best.map(|f| f.meta.source.clone()), Some("City CERT".to_owned()));
    assert_eq!((e.text(field::INDICATOR_VALUE).as_ref(), e.text(field::INDICATOR_TLP).as_ref()), ("a.example", "amber+strict"));
    assert_eq!((e.get(field::INDICATOR_SOURCE), e.get(field::INDICATOR_LABELS)), (None, None));
    assert_eq!(e.text(field::INDICATOR_FIELD), "query.hostname");
    let mut late = event(&[(field::SRC_IP, "192.0.2.5")]);
    late.time = Timestamp::parse_rfc3339("2027-01-01T00:00:00Z").unwrap();
    assert_eq!(mark(&set, &mut late).count, 0, "it has run out by the event's own time");
}

#[test]
fn misp_events_and_feeds_give_their_attributes() {
    let text = r#"{"response":[{"Event":{"info":"Campaign","Orgc":{"name":"CIRCL"},"Tag":[{"name":"tlp:green"},{"name":"apt"}],
"Attribute":[{"type":"ip-dst|port","value":"192.0.2.1|443","to_ids":true},
{"type":"comment","value":"hello","to_ids":false},
{"type":"domain|ip","value":"evil.example|192.0.2.3","to_ids":true},
{"type":"md5","value":"zz","to_ids":true}],
"Object":[{"name":"file","Attribute":[{"type":"filename|sha1","value":"a|aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","to_ids":true,"Tag":[{"name":"tlp:red"}]}]}]}}]}"#;
    let (set, reading) = load(text.as_bytes(), &ReadOptions::default());
    assert_eq!(reading.format, Format::Misp);
    assert_eq!((reading.taken, reading.passed_over, reading.problems.len()), (4, 1, 1));
    assert_eq!((reading.problems[0].line, reading.problems[0].value.as_str()), (5, "zz"));
    let all = shown(&set);
    assert!(all.contains(&"ipv4-addr 192.0.2.1 CIRCL green 50".to_owned()), "{all:?}");
    assert!(all.contains(&format!("sha1 {} CIRCL red 50", "a".repeat(40))), "{all:?}");
}

#[test]
fn a_misp_file_without_attributes_says_so_and_a_single_object_is_read() {
    for text in ["{}", "[]", r#"{"Event": {"info": "x"}}"#] {
        let (_, reading) = load(text.as_bytes(), &ReadOptions { format: Format::Misp, ..ReadOptions::default() });
        assert_eq!((reading.taken, reading.refused()), (0, 1), "{text}");
    }
    let one = r#"{"Object": {"name": "domain-ip", "Attribute": [{"type": "domain", "value": "evil.example", "to_ids": true}]}}"#;
    assert_eq!(load(one.as_bytes(), &ReadOptions::default()).1.taken, 1);
}

#[test]
fn domains_match_at_label_borders_only_and_networks_their_members_only() {
    let (set, _) = load(b"evil.example\n198.51.100.0/24\n2001:db8::/32\n", &ReadOptions::default());
    let count = |f: event::Field, v: &str| mark(&set, &mut event(&[(f, v)])).count;
    for (f, v, want) in [
        (field::DNS_QUERY, "evil.example", 1),
        (field::DNS_QUERY, "a.b.evil.example", 1),
        (field::DNS_QUERY, "notevil.example", 0),
        (field::DNS_QUERY, "evil.example.net", 0),
        (field::HTTP_HOST, "EVIL.example:8080", 1),
        (field::DST_IP, "198.51.100.255", 1),
        (field::DST_IP, "198.51.101.0", 0),
        (field::DST_IP, "2001:db8:ffff::1", 1),
        (field::DST_IP, "2001:db9::1", 0),
        (field::DEVICE_IP, "198.51.100.7", 0),
    ] {
        assert_eq!(count(f, v), want, "{f:?} {v}");
    }
}

#[test]
fn a_packed_layer_comes_back_without_what_stays_at_the_centre() {
    let (set, _) = load(BUNDLE.as_bytes(), &ReadOptions::default());
    let layer = crate::pack(&set);
    assert_eq!((layer.entries, layer.kept_back), (1, 3));
    let mut builder = SetBuilder::new();
    assert_eq!(crate::unpack(&layer.bytes, &mut builder), Ok(1));
    let hash = "a".repeat(64);
    let mut whole = event(&[(field::RESULT_SHA256, hash.as_str()), (field::HTTP_HOST, "x.example"), (field::HTTP_URL, "/p")]);
    assert_eq!(mark(&builder.build(), &mut whole).count, 1, "both needs travelled");
    for cut in 0..layer.bytes.len() {
        assert!(crate::unpack(&layer.bytes[..cut], &mut SetBuilder::new()).is_err() || cut == layer.bytes.len(), "{cut}");
    }
}

#[test]
fn the_same_value_of_one_source_counts_once_and_of_many_sources_up_to_the_bound() {
    let mut builder = SetBuilder::new();
    for n in 0..20 {
        let options = ReadOptions { source: format!("s{}", n % 10), confidence: Some(n), ..ReadOptions::default() };
        read(b"192.0.2.1", &options, &mut |e| builder.add(e));
    }
    let set = builder.build();
    let counts = set.counts();
    assert_eq!((counts.entries, counts.replaced, counts.refused), (8, 8, 4));
    let mut e = event(&[(field::SRC_IP, "192.0.2.1")]);
    let marks = mark(&set, &mut e);
    assert_eq!((marks.count, marks.best.map(|f| f.meta.confidence)), (8, Some(17)), "the surest is shown, as last said");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes: Vec<u8>, text in "[\\[\\]{}()',:.a-z0-9= \"ANDOR\\n-]{0,200}") {
        for format in [Format::Auto, Format::Stix, Format::Misp, Format::Csv, Format::List] {
            let options = ReadOptions { format, ..ReadOptions::default() };
            let _ = load(&bytes, &options);
            let _ = load(text.as_bytes(), &options);
        }
        let _ = pattern::read(&text);
        let _ = crate::unpack(&bytes, &mut SetBuilder::new());
    }

    /// The table against a plain list.
    #[test]
    fn the_set_holds_exactly_what_was_put_in(inside in proptest::collection::btree_set(0u32..5_000, 0..400), asked in proptest::collection::vec(0u32..5_000, 0..200)) {
        let ip = |n: u32| std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(0xc000_0000 + n * 7));
        let mut builder = SetBuilder::new();
        let meta = Meta::default();
        for n in &inside {
            builder.add(Entry { needs: &[Observable::ip(ip(*n)).unwrap()], meta: &meta, valid: Validity::default() });
        }
        let set = builder.build();
        for n in asked {
            proptest::prop_assert_eq!(set.about(&Observable::ip(ip(n)).unwrap()).len(), usize::from(inside.contains(&n)));
        }
    }
}

#[test]
fn an_event_of_intelmq_or_n6_gives_attackers_and_never_victims() {
    let intelmq = r#"{"classification.type": "c2-server", "source.ip": "203.0.113.7", "feed.name": "f", "feed.accuracy": 80.0, "malware.name": "x"}
{"classification.type": "infected-system", "source.ip": "203.0.113.8", "destination.ip": "203.0.113.9"}
{"classification.type": "phishing", "source.url": "http://evil.example/a", "source.ip": "203.0.113.10", "tlp": "RED"}
{"source.ip": "203.0.113.11"}
nonsense
"#;
    let (set, reading) = load(intelmq.as_bytes(), &ReadOptions::default());
    assert_eq!(
        (reading.format, reading.taken, reading.passed_over, reading.refused()),
        (Format::Events, 2, 1, 2),
        "{:?}",
        reading.problems
    );
    assert_eq!(set.len(), 2);
    let n6 = r#"[{"category": "cnc", "confidence": "high", "restriction": "public", "address": [{"ip": "203.0.113.7"}, {"ip": "0.0.0.1/"}], "fqdn": "evil.example"},
{"category": "bots", "confidence": "low", "restriction": "public", "address": [{"ip": "203.0.113.8"}]}]"#;
    let (set, reading) = load(n6.as_bytes(), &ReadOptions::default());
    assert_eq!(
        (reading.format, reading.taken, reading.passed_over, reading.refused()),
        (Format::Events, 2, 1, 1),
        "{:?}",
        reading.problems
    );
    assert_eq!(set.len(), 2);
}
