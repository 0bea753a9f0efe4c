use super::*;
use crate::store::{EventStore, MemoryStore, Offset};
use event::{Class, Epoch, EventId, Kind, LogSource, field};
use std::sync::atomic::AtomicBool;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

fn upload(source: &str) -> Upload {
    Upload { source: source.into(), added_ns: NOW.ns(), by: "duty".into(), ..Upload::default() }
}

fn event(seq: u64, name: &str, dst: &str) -> Event {
    let mut event = Event::new(NOW.plus_secs(-3_600), Kind::DnsActivity, 6, LogSource::new("", "dns", "dns"))
        .with(field::DNS_QUERY, name)
        .with(field::DST_IP, dst.parse::<std::net::IpAddr>().unwrap());
    event.id = EventId { agent: AgentId(7), epoch: Epoch(1), class: Class::Normal, seq };
    event
}

#[test]
fn an_upload_is_in_force_after_a_restart_and_gone_after_its_removal() {
    let dir = tempfile::tempdir().unwrap();
    let configured = dir.path().join("own.txt");
    std::fs::write(&configured, "198.51.100.1\nbad line here\n").unwrap();
    let folder = dir.path().join("indicators");
    let all = Indicators::open(&folder, std::slice::from_ref(&configured));
    assert_eq!((all.book().set.len(), all.book().sources[0].refused), (1, 1));
    let source = all.add(&Upload { confidence: Some(90), ..upload("feed") }, b"evil.example\n0.0.0.0/0\n").unwrap();
    assert_eq!((source.entries, source.refused, source.problems[0].line), (1, 1, 2));
    assert!(all.add(&upload("own"), b"evil.example").is_err(), "a configured source keeps its name");
    assert!(all.add(&upload("../x"), b"evil.example").is_err());
    assert!(all.add(&upload("empty"), b"# nothing\n").is_err());
    let before = all.book();
    drop(all);
    let all = Indicators::open(&folder, &[configured]);
    assert_eq!(all.book().set.len(), 2);
    assert_eq!(all.unsearched(), ["feed"]);
    all.end_search("feed");
    all.reload();
    assert!(all.unsearched().is_empty());
    all.add(&upload("feed"), b"evil.example\nother.example\n").unwrap();
    assert_eq!(all.book().set.len(), 3, "a source of the same name is replaced");
    assert_eq!(all.unsearched(), ["feed"], "and searched again");
    assert_eq!(all.remove("feed"), Ok(true));
    assert_eq!((all.remove("feed"), all.book().set.len(), before.set.len()), (Ok(false), 1, 2));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn events_are_marked_before_anybody_else_sees_them() {
    let dir = tempfile::tempdir().unwrap();
    let all = Indicators::open(dir.path(), &[]);
    all.add(&upload("feed"), b"evil.example\n203.0.113.0/24\n").unwrap();
    let mut events = vec![Arc::new(event(1, "a.evil.example", "203.0.113.9")), Arc::new(event(2, "good.example", "192.0.2.1"))];
    all.mark(&mut events);
    assert_eq!(events[0].get(field::INDICATOR_COUNT).and_then(event::Value::as_int), Some(2));
    assert_eq!(events[1].get(field::INDICATOR_VALUE), None);
    assert_eq!(all.counts(), (1, 2));
}

#[test]
fn history_gives_exactly_the_events_that_hold_a_new_indicator() {
    let dir = tempfile::tempdir().unwrap();
    let store = MemoryStore::new(10_000);
    let mut stored: Vec<Arc<Event>> = (0..2_500).map(|n| Arc::new(event(n + 1, &format!("h{n}.shop.example"), "192.0.2.1"))).collect();
    stored.push(Arc::new(event(9_001, "deep.evil.example", "192.0.2.1")));
    stored.push(Arc::new(event(9_002, "notevil.example", "203.0.113.7")));
    stored.push(Arc::new(event(9_003, "known.evil.example", "192.0.2.1").with(field::INDICATOR_VALUE, "evil.example")));
    store.append(Offset(1), &stored).unwrap();
    let all = Indicators::open(dir.path(), &[]);
    all.add(&upload("feed"), b"evil.example\n203.0.113.0/24\n198.51.100.7\n").unwrap();
    let set = all.alone("feed").unwrap();
    let go = |bounds, found: &mut Vec<Arc<Event>>| {
        let search = Search::new("feed");
        let state = hunt(&store, &set, Timestamp::MAX, bounds, &search, &AtomicBool::new(false), &mut |f| found.extend(f)).unwrap();
        let (asked, to_ask) = search.progress();
        assert!(state == SearchState::Bounded || asked == to_ask);
        state
    };
    for bounds in [Bounds::default(), Bounds { values_max: 1, ..Bounds::default() }] {
        let mut found = Vec::new();
        let state = go(bounds, &mut found);
        assert_eq!(state, if bounds.values_max == 1 { SearchState::Bounded } else { SearchState::Complete });
        let mut ids: Vec<u64> = found.iter().map(|e| e.id.seq).collect();
        ids.sort_unstable();
        assert_eq!(ids, [9_001, 9_002], "each once, by name below and by network, and not what was known then");
        assert!(found.iter().all(|e| e.time == NOW.plus_secs(-3_600) && e.get(field::INDICATOR_IN_HISTORY).is_some()));
    }
    let mut found = Vec::new();
    assert_eq!(go(Bounds { found_max: 1, ..Bounds::default() }, &mut found), SearchState::Bounded);
}
