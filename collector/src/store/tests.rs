//! The same question to memory, memtable and segments gives the same rows; scopes do not interfere; nothing is lost or doubled by a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use event::{AgentId, Class, Epoch, Event, EventId, Field, Kind, LogSource, Name, Severity, Timestamp, Value, field};
use proptest::prelude::*;

use super::*;

const DAY_NS: i64 = 86_400 * event::SECOND_NS;

fn config(path: &Path) -> DiskConfig {
    DiskConfig { thread: false, seal_rows: usize::MAX, grace_s: 0, ..DiskConfig::new(path) }
}

/// A folder in memory where there is one: these tests are about content, not about the speed of a disk.
fn temporary() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// An event with its fields in the order of their names: order is no part of what an event says.
fn canonical(e: &Event) -> Event {
    let mut fields: Vec<(Name, Value)> = e.body.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    fields.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    let mut e = e.clone();
    e.body = event::Fields::new();
    fields.into_iter().for_each(|(n, v)| e.body.set(n, v));
    e
}

/// Few in every run, as many as wanted on request: `VEDETTE_CASES=1000`.
fn cases(few: u32) -> u32 {
    std::env::var("VEDETTE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

fn event() -> impl Strategy<Value = Event> {
    let word = prop::sample::select(vec!["a", "B", "ab", "Root", "host-1", "10.0.0.1", "中文", "", "A*b", "7"]);
    let value = prop_oneof![
        4 => word.clone().prop_map(Value::from),
        3 => (0i64..30).prop_map(Value::Int),
        3 => (0u8..6).prop_map(|n| Value::Ip([10, 0, 0, n].into())),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => (0i32..9).prop_map(|n| Value::Float(f64::from(n) / 2.0)),
        1 => prop::collection::vec(word.clone().prop_map(Value::from), 0..3).prop_map(Value::from),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(|b| Value::Bytes(b.into())),
    ];
    let fields = [
        field::SRC_IP,
        field::DST_PORT,
        field::USER_NAME,
        field::PROCESS_CMD_LINE,
        field::UNIT_SECTOR,
        field::DNS_ANSWERS,
        field::IS_REMOTE,
        field::GAP_COUNT,
    ];
    let name = prop_oneof![6 => prop::sample::select(fields.to_vec()).prop_map(Name::Known), 1 => Just(Name::from("CommandLine"))];
    let unit = prop::option::of(prop::sample::select(vec!["bank", "grid", "Bank"]));
    let proper = (0u8..6, 0i64..30, word);
    (0i64..40, any::<bool>(), 0usize..3, prop::collection::vec((name, value), 0..6), unit, proper, 0u8..3, any::<bool>()).prop_map(
        |(t, far, class, odd_fields, unit, (ip, port, user), severity, typed)| {
            let kind = [Kind::NetworkActivity, Kind::Authentication, Kind::ProcessActivity][usize::from(severity) % 3];
            let time = Timestamp::from_ns(t * 700_000_001 - 5_000_000_000 + if far { DAY_NS } else { 0 });
            let mut e = Event::new(time, kind, severity, LogSource::new(if typed { "linux" } else { "" }, "", "sshd"));
            e.severity = Severity::ALL[usize::from(severity)];
            e.id.class = Class::ALL[class];
            e.observed = time.plus_ns(t * 3);
            if typed {
                e.body.set(field::SRC_IP, Value::Ip([10, 0, 0, ip].into()));
                e.body.set(field::DST_PORT, port);
                e.body.set(field::USER_NAME, user);
            } else {
                odd_fields.into_iter().for_each(|(n, v)| e.body.set(n, v));
            }
            e.body.set_some(field::UNIT_ID, unit);
            e
        },
    )
}

fn filter() -> impl Strategy<Value = Filter> {
    let keys: Vec<Key> = [
        field::SRC_IP,
        field::DST_PORT,
        field::USER_NAME,
        field::PROCESS_CMD_LINE,
        field::DNS_ANSWERS,
        field::IS_REMOTE,
        field::GAP_COUNT,
        field::UNIT_ID,
    ]
    .into_iter()
    .map(Key::from)
    .chain(Header::ALL.map(Key::from))
    .chain([Key::from("CommandLine")])
    .collect();
    let word =
        prop::sample::select(vec!["a", "root", "10.0.0.1", "7", "07", "true", "linux", "authentication", "bulk", "3", "中", "", "bank"]);
    let test = prop_oneof![
        Just(Test::Exists),
        word.clone().prop_map(|w| Test::Eq(w.into())),
        prop::collection::btree_set(word.clone().prop_map(str::to_owned), 0..4).prop_map(Test::In),
        word.clone().prop_map(|w| Test::Prefix(w.into())),
        word.clone().prop_map(|w| Test::Suffix(w.into())),
        word.clone().prop_map(|w| Test::Contains(w.into())),
        Just(Test::Glob("*o?t".into())),
        (0i32..20, 0i32..20).prop_map(|(a, b)| Test::Range { min: Some(a.into()), max: (b > 9).then_some(f64::from(b)) }),
        Just(Test::Net(Network::parse("10.0.0.0/30").unwrap())),
    ];
    let id = (0u64..3, 0usize..3, 1u64..40).prop_map(|(agent, class, seq)| EventId {
        agent: AgentId(agent),
        epoch: Epoch(1),
        class: Class::ALL[class],
        seq,
    });
    let ids = prop::collection::vec(id, 0..5).prop_map(Filter::ids);
    let leaf = prop_oneof![
        1 => Just(Filter::All),
        9 => (prop::sample::select(keys), test).prop_map(|(k, t)| Filter::Is(k, t)),
        1 => word.prop_map(|w| Filter::Text(w.into())),
        1 => ids,
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.prop_map(|f| Filter::Not(Box::new(f))),
        ]
    })
}

/// Gives ids as the spool would.
fn number(mut events: Vec<Event>) -> Vec<Arc<Event>> {
    let mut next: BTreeMap<(u64, Class), u64> = BTreeMap::new();
    for (n, e) in events.iter_mut().enumerate() {
        let agent = n as u64 % 3;
        let seq = next.entry((agent, e.id.class)).or_insert(0);
        *seq += 1;
        e.id = EventId { agent: AgentId(agent), epoch: Epoch(1), class: e.id.class, seq: *seq };
    }
    events.into_iter().map(Arc::new).collect()
}

/// All pages of a search, from the first to the last.
fn pages(store: &dyn EventStore, scope: &Scope, query: &Query) -> Vec<Event> {
    let mut query = query.clone();
    let mut all = Vec::new();
    loop {
        let page = store.search(scope, &query).unwrap();
        assert!(page.searched.failed.is_empty(), "{:?}", page.searched.failed);
        assert!(page.events.len() <= query.limit);
        all.extend(page.events.iter().map(|e| canonical(e)));
        query.cursor = page.next;
        if query.cursor.is_none() {
            return all;
        }
    }
}

fn naive(events: &[Arc<Event>], scope: &Scope, query: &Query) -> Vec<Event> {
    let mut rows: Vec<Event> = events.iter().filter(|e| query.matches(e) && scope.allows_event(e)).map(|e| canonical(e)).collect();
    rows.sort_by_key(|e| std::cmp::Reverse((e.time, e.id)));
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(6), max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_question_gives_the_same_rows_wherever_the_data_lies(
        events in prop::collection::vec(event(), 1..120),
        filters in prop::collection::vec(filter(), 4),
        cut in 0usize..120, limit in 4usize..40, from in -6i64..30, length in 1i64..40, scoped in any::<bool>(),
    ) {
        let events = number(events);
        let folder = temporary();
        let memory = MemoryStore::new(1_000);
        let disk = DiskStore::open(config(folder.path())).unwrap();
        let scope = if scoped { Scope::units(["bank", "grid"]) } else { Scope::CITY };
        for (n, part) in events.chunks(40).enumerate() {
            for store in [&memory as &dyn EventStore, &disk] {
                store.append(Offset(n as u64 + 1), part).unwrap();
            }
            // Some frames sealed, one by one, the last ones in memory.
            if n * 40 < cut {
                disk.seal().unwrap();
            }
        }
        let narrow = (Timestamp::from_secs(from), Timestamp::from_secs(from + length));
        let wide = (Timestamp::MIN, Timestamp::MAX);
        let by = CountBy { keys: vec![field::USER_NAME.into(), Header::ClassName.into()], bucket_ns: Some(2_000_000_000), top: None };
        let odd = CountBy { keys: vec![field::DNS_ANSWERS.into()], bucket_ns: None, top: Some(3) };
        let counts = |store: &dyn EventStore, q: &Query| [&by, &odd, &CountBy::default()].map(|b| {
            let c = store.count_by(&scope, q, b).unwrap();
            (c.groups, c.total, c.beyond, c.left_off)
        });
        let queries: Vec<Query> = filters.iter().flat_map(|f| [narrow, wide].map(|(a, b)| Query::new(a, b, f.clone(), limit))).collect();
        for q in &queries {
            let want = naive(&events, &scope, q);
            prop_assert_eq!(&pages(&memory, &scope, q), &want);
            prop_assert_eq!(&pages(&disk, &scope, q), &want, "{:?}", q);
            prop_assert_eq!(counts(&memory, q), counts(&disk, q), "{:?}", q);
        }
        for e in &events {
            let want = Some(canonical(e)).filter(|e| scope.allows_event(e));
            prop_assert_eq!(disk.get(&scope, e.id).unwrap().map(|e| canonical(&e)), want);
        }
        let held = disk.held(&scope).unwrap().classes;
        prop_assert_eq!(&held, &memory.held(&scope).unwrap().classes);
        // All of it sealed, joined and opened again: still the same.
        disk.seal().unwrap();
        while disk.compact(Timestamp::ZERO).unwrap() {}
        drop(disk);
        let disk = DiskStore::open(config(folder.path())).unwrap();
        prop_assert_eq!(disk.durable(), Offset(events.chunks(40).count() as u64));
        prop_assert_eq!(disk.verify(), Vec::<String>::new());
        for q in &queries {
            prop_assert_eq!(&pages(&disk, &scope, q), &naive(&events, &scope, q), "{:?}", q);
            prop_assert_eq!(counts(&memory, q), counts(&disk, q), "{:?}", q);
        }
        prop_assert_eq!(held, disk.held(&scope).unwrap().classes);
    }

    #[test]
    fn a_scope_learns_nothing_of_what_it_may_not_see(
        own in prop::collection::vec(event(), 0..40), foreign in prop::collection::vec(event(), 0..40), f in filter(), limit in 1usize..20,
    ) {
        let mine: Vec<Event> = own.into_iter().map(|e| e.with(field::UNIT_ID, "bank")).collect();
        let theirs: Vec<Event> = foreign.into_iter().map(|e| e.with(field::UNIT_ID, "grid")).collect();
        let all = number(mine.iter().cloned().chain(theirs).collect());
        let alone = &all[..mine.len()];
        let scope = Scope::units(["bank"]);
        let q = Query { filter: f, limit, ..Query::default() };
        let by = CountBy { keys: vec![field::USER_NAME.into()], bucket_ns: None, top: None };
        let answers = [alone, &all[..]].map(|events| {
            let folder = temporary();
            let disk = DiskStore::open(config(folder.path())).unwrap();
            disk.append(Offset(1), events).unwrap();
            disk.seal().unwrap();
            let counts = disk.count_by(&scope, &q, &by).unwrap();
            (pages(&disk, &scope, &q), counts.groups, counts.total, disk.held(&scope).unwrap())
        });
        prop_assert_eq!(&answers[0], &answers[1]);
    }
}

fn simple(n: u64) -> Arc<Event> {
    let mut e = Event::new(Timestamp::from_secs(n as i64 * 3_600), Kind::Base, 0, LogSource::new("", "", "")).with(field::COUNT, n);
    e.id = EventId { agent: AgentId(1), epoch: Epoch(1), class: Class::Normal, seq: n };
    Arc::new(e)
}

#[test]
fn a_frame_taken_twice_counts_once_and_a_crash_between_seal_and_append_loses_nothing() {
    let folder = temporary();
    let disk = DiskStore::open(config(folder.path())).unwrap();
    for n in 1..=10 {
        disk.append(Offset(n), &[simple(n)]).unwrap();
        if n == 6 {
            disk.seal().unwrap();
        }
    }
    assert_eq!((disk.durable(), disk.taken()), (Offset(6), Offset(10)));
    // Gone without a word: the memtable is lost, the log would give frames from 6 on, and some from before.
    drop(disk);
    let disk = DiskStore::open(config(folder.path())).unwrap();
    assert_eq!(disk.taken(), Offset(6));
    for n in 3..=10 {
        disk.append(Offset(n), &[simple(n)]).unwrap();
    }
    let total = disk.count_by(&Scope::CITY, &Query::default(), &CountBy::default()).unwrap().total;
    assert_eq!(total, 10);
}

#[test]
fn a_crash_at_any_step_of_a_seal_leaves_a_store_that_is_whole() {
    let folder = temporary();
    let before = temporary();
    let disk = DiskStore::open(config(folder.path())).unwrap();
    disk.append(Offset(1), &(1..=5).map(simple).collect::<Vec<_>>()).unwrap();
    disk.seal().unwrap();
    drop(disk);
    copy(folder.path(), before.path());
    let disk = DiskStore::open(config(folder.path())).unwrap();
    disk.append(Offset(2), &(6..=9).map(simple).collect::<Vec<_>>()).unwrap();
    disk.seal().unwrap();
    drop(disk);
    // Files of the second seal, manifest of before: what a crash before the commit leaves; also with a torn file.
    for torn in [false, true] {
        let mixed = temporary();
        copy(before.path(), mixed.path());
        for entry in std::fs::read_dir(folder.path().join("segments")).unwrap() {
            let from = entry.unwrap().path();
            let to = mixed.path().join("segments").join(from.file_name().unwrap());
            if !to.exists() {
                let bytes = std::fs::read(&from).unwrap();
                std::fs::write(&to, if torn { &bytes[..bytes.len() / 2] } else { &bytes[..] }).unwrap();
            }
        }
        let disk = DiskStore::open(config(mixed.path())).unwrap();
        assert_eq!(disk.taken(), Offset(1));
        assert_eq!(pages(&disk, &Scope::CITY, &Query::default()).len(), 5);
        disk.append(Offset(2), &(6..=9).map(simple).collect::<Vec<_>>()).unwrap();
        disk.seal().unwrap();
        assert_eq!(pages(&disk, &Scope::CITY, &Query::default()).len(), 9);
        assert_eq!(disk.verify(), Vec::<String>::new());
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn retention_lets_go_by_class_passes_over_a_hold_and_waits_for_readers() {
    let folder = temporary();
    let mut c = config(folder.path());
    c.retention_days.insert(Class::Normal, 2);
    let disk = DiskStore::open(c).unwrap();
    let kept = Arc::new({
        let mut e = Event::clone(&simple(1));
        e.id.class = Class::Critical;
        e
    });
    let days: Vec<Arc<Event>> = [1, 30, 60, 120].into_iter().map(simple).chain([kept]).collect();
    disk.append(Offset(1), &days).unwrap();
    disk.seal().unwrap();
    let files = || std::fs::read_dir(folder.path().join("segments")).unwrap().count();
    assert_eq!(files(), 5);
    disk.hold(Timestamp::from_secs(60 * 3_600), Timestamp::from_secs(61 * 3_600), true).unwrap();
    let reader = disk.inner_snapshot_for_test();
    assert_eq!(disk.retain(Timestamp::from_secs(120 * 3_600)).unwrap(), 2);
    assert_eq!(files(), 5, "a reader still has them");
    drop(reader);
    disk.retain(Timestamp::from_secs(120 * 3_600)).unwrap();
    assert_eq!(files(), 3);
    let held = disk.held(&Scope::CITY).unwrap();
    let normal = &held.classes[1];
    assert_eq!((normal.events, normal.missing_days.clone(), normal.retention_days), (2, vec![3, 4], Some(2)));
}

#[test]
fn a_damaged_segment_is_named_and_the_rest_is_answered() {
    let folder = temporary();
    let disk = DiskStore::open(config(folder.path())).unwrap();
    for n in 1..=2 {
        disk.append(Offset(n), &[simple(n)]).unwrap();
        disk.seal().unwrap();
    }
    drop(disk);
    let victim = std::fs::read_dir(folder.path().join("segments")).unwrap().next().unwrap().unwrap();
    std::fs::write(victim.path(), b"PAR1 no more").unwrap();
    let disk = DiskStore::open(config(folder.path())).unwrap();
    let page = disk.search(&Scope::CITY, &Query::default()).unwrap();
    let name = victim.file_name().to_string_lossy().into_owned();
    assert_eq!((page.events.len(), page.searched.failed.len()), (1, 1));
    assert!(page.searched.failed[0].starts_with(&name));
    assert_eq!(disk.held(&Scope::CITY).unwrap().damaged, vec![name.clone()]);
    assert_eq!(disk.verify(), vec![name]);
}

#[test]
fn a_disk_that_refuses_stops_nothing_that_is_seen() {
    let folder = temporary();
    let disk = DiskStore::open(DiskConfig { memory_rows_max: 3, ..config(folder.path()) }).unwrap();
    let segments = folder.path().join("segments");
    std::fs::remove_dir(&segments).unwrap();
    disk.append(Offset(1), &[simple(1), simple(2)]).unwrap();
    assert!(disk.seal().is_err());
    disk.append(Offset(2), &[simple(3)]).unwrap();
    assert!(matches!(disk.append(Offset(3), &[simple(4)]), Err(StoreError::Behind)));
    assert_eq!((pages(&disk, &Scope::CITY, &Query::default()).len(), disk.taken()), (3, Offset(2)));
    assert!(disk.stats().last_failure.is_some());
    std::fs::create_dir(&segments).unwrap();
    disk.seal().unwrap();
    disk.append(Offset(3), &[simple(4)]).unwrap();
    assert_eq!((pages(&disk, &Scope::CITY, &Query::default()).len(), disk.durable()), (4, Offset(2)));
}

#[test]
fn every_column_is_of_its_fields_shape() {
    use event::Shape;
    use segment::Layout;
    for (f, layout) in segment::COLUMNS {
        let fits = match f.shape() {
            Shape::Text => matches!(layout, Layout::Word | Layout::Text),
            Shape::Int => matches!(layout, Layout::Int | Layout::Rising),
            Shape::Ip => *layout == Layout::Ip,
            Shape::Bool => *layout == Layout::Bool,
            Shape::Float | Shape::List => false,
        };
        assert!(fits, "{f:?}");
    }
    let fields: std::collections::BTreeSet<Field> = segment::COLUMNS.iter().map(|c| c.0).collect();
    assert_eq!(fields.len(), segment::COLUMNS.len());
}
