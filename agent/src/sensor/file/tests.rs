//! On real folders. The core is driven with time as an argument; the sensor itself waits on notify's channel, not on time.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn secs(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}

/// A folder, the core on it, and a clock that only the test moves.
struct Bench {
    dir: tempfile::TempDir,
    core: Integrity,
    now: i64,
}

fn limits() -> Limits {
    Limits { files_max: 100, hash_bytes_max: 1 << 20, bytes_per_second: 1 << 30, quiet_ns: 250_000_000 }
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let watched = dir.path().join("etc");
        std::fs::create_dir(&watched).unwrap();
        for (name, text) in files {
            std::fs::write(watched.join(name), text).unwrap();
        }
        let scope = Scope { paths: vec![watched.to_str().unwrap().to_owned()], ..Scope::default() };
        let mut bench = Self { core: Integrity::new(scope, limits(), None, BTreeSet::new()), dir, now: 1_000 };
        bench.core.rescan(secs(bench.now));
        assert_eq!(bench.changes(), Vec::<String>::new());
        assert!(!bench.core.is_learning());
        bench
    }
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("etc").join(name)
    }
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }
    fn notice(&mut self, name: &str) {
        let path = self.path(name);
        assert!(self.core.notice(path, secs(self.now)));
    }
    /// What there is to tell after everything was quiet.
    fn changes(&mut self) -> Vec<String> {
        self.now += 10;
        let mut changes = Vec::new();
        for _ in 0..4 {
            self.core.examine(secs(self.now), &mut changes);
            self.now += 1;
        }
        changes.iter().map(|c| self.say(c)).collect()
    }
    fn say(&self, change: &Change) -> String {
        let name = |p: &Path| p.strip_prefix(self.dir.path()).unwrap().to_str().unwrap().to_owned();
        let target = change.target.as_deref().map(|t| format!(" -> {}", name(t))).unwrap_or_default();
        format!("{}{target}: {}", name(&change.path), change.what().join(","))
    }
}

#[test]
fn content_mode_creation_and_deletion_are_told_with_before_and_after() {
    let mut b = Bench::new(&[("passwd", "root\n"), ("old", "x")]);
    b.write("passwd", "root\neve\n");
    b.write("new", "y");
    std::fs::remove_file(b.path("old")).unwrap();
    for name in ["passwd", "new", "old"] {
        b.notice(name);
    }
    assert_eq!(b.changes(), ["etc/passwd: content", "etc/new: created", "etc/old: deleted"]);
    std::fs::set_permissions(b.path("passwd"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    b.notice("passwd");
    assert_eq!(b.changes(), ["etc/passwd: mode"]);
}

#[test]
fn nothing_is_told_of_a_file_that_is_rewritten_as_it_was() {
    let mut b = Bench::new(&[("passwd", "root\n")]);
    b.write("passwd", "root\n");
    b.notice("passwd");
    assert_eq!(b.changes(), Vec::<String>::new());
}

#[test]
fn a_file_replaced_by_rename_is_a_change_of_content_and_its_helper_is_not_seen() {
    let mut b = Bench::new(&[("passwd", "root\n")]);
    b.write("passwd+", "root\neve\n");
    b.notice("passwd+");
    std::fs::rename(b.path("passwd+"), b.path("passwd")).unwrap();
    b.notice("passwd+");
    b.notice("passwd");
    assert_eq!(b.changes(), ["etc/passwd: content"]);
}

#[test]
fn a_rename_is_one_change_with_both_names() {
    let mut b = Bench::new(&[("a", "x")]);
    std::fs::rename(b.path("a"), b.path("b")).unwrap();
    b.notice("a");
    b.notice("b");
    assert_eq!(b.changes(), ["etc/a -> etc/b: renamed"]);
    assert!(b.core.baseline.entries[&b.path("b")].sha256.is_some());
}

#[test]
fn a_folder_that_comes_or_goes_brings_what_is_in_it() {
    let mut b = Bench::new(&[]);
    std::fs::create_dir_all(b.path("cron.d/deep")).unwrap();
    b.write("cron.d/deep/job", "* * * * *");
    b.notice("cron.d");
    assert_eq!(b.changes(), ["etc/cron.d: created", "etc/cron.d/deep: created", "etc/cron.d/deep/job: created"]);
    std::fs::remove_dir_all(b.path("cron.d")).unwrap();
    b.notice("cron.d");
    assert_eq!(b.changes(), ["etc/cron.d: deleted", "etc/cron.d/deep: deleted", "etc/cron.d/deep/job: deleted"]);
}

#[test]
fn a_busy_file_is_looked_at_when_it_is_quiet_or_patience_ends() {
    let mut b = Bench::new(&[("busy", "0")]);
    b.write("busy", "1");
    let start = secs(b.now);
    let path = b.path("busy");
    let mut changes = Vec::new();
    for n in 0..30 {
        let at = start.plus_ns(n * 200_000_000);
        b.core.notice(path.clone(), at);
        b.core.examine(at, &mut changes);
        assert_eq!(changes.is_empty(), n < 25, "at {n}");
    }
    assert_eq!(changes.len(), 1);
}

#[test]
fn the_byte_budget_spreads_hashing_over_time() {
    let mut b = Bench::new(&[]);
    for n in 0..5 {
        b.write(&format!("{n}"), &"x".repeat(1000));
    }
    b.core =
        Integrity::new(b.core.scope.clone(), Limits { bytes_per_second: 2000, ..limits() }, Some(Baseline::default()), BTreeSet::new());
    b.core.rescan(secs(b.now));
    let mut per_second = Vec::new();
    for _ in 0..5 {
        let mut changes = Vec::new();
        b.core.examine(secs(b.now), &mut changes);
        per_second.push(changes.iter().filter(|c| c.after.is_some_and(|a| a.kind == FileType::File)).count());
        b.now += 1;
    }
    assert_eq!(per_second, [2, 2, 1, 0, 0]);
}

#[test]
fn too_many_waiting_asks_for_a_rescan_and_the_rescan_finds_it_all() {
    let mut b = Bench::new(&[("a", "x")]);
    b.write("a", "changed");
    let mut fits = true;
    for n in 0..20_000 {
        let path = b.path(&format!("f{n}"));
        fits &= b.core.notice(path, secs(b.now));
    }
    assert!(!fits);
    b.core.rescan(secs(b.now));
    assert_eq!(b.changes(), ["etc/a: content"]);
}

#[test]
fn a_long_file_is_judged_by_size_and_time_and_special_files_are_never_opened() {
    let mut b = Bench::new(&[]);
    std::fs::File::create(b.path("big")).unwrap().set_len(10 << 20).unwrap();
    b.notice("big");
    assert_eq!(b.changes(), ["etc/big: created"]);
    std::fs::OpenOptions::new().write(true).open(b.path("big")).unwrap().set_len(11 << 20).unwrap();
    b.notice("big");
    assert_eq!(b.changes(), ["etc/big: content"]);
    std::os::unix::fs::symlink("/etc/shadow", b.path("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(b.path("socket")).unwrap();
    b.notice("link");
    b.notice("socket");
    assert_eq!(b.changes(), ["etc/link: created", "etc/socket: created"]);
    std::fs::remove_file(b.path("link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", b.path("link")).unwrap();
    b.notice("link");
    assert_eq!(b.changes(), ["etc/link: content"]);
}

#[test]
fn more_files_than_the_limit_is_said() {
    let mut b = Bench::new(&[]);
    for n in 0..120 {
        b.write(&format!("{n}"), "x");
    }
    b.core.rescan(secs(b.now));
    b.changes();
    assert!(b.core.baseline.entries.len() <= 100);
    assert!(b.core.walk_note.as_ref().unwrap().starts_with("more than 100 files; "));
}

/// What a sensor hands over, in order; what was not committed is forgotten when it dies.
#[derive(Default, Clone)]
struct Kept {
    events: Vec<String>,
    checkpoints: BTreeMap<String, Vec<u8>>,
    lost: Vec<&'static str>,
}

impl Output for Kept {
    fn event(&mut self, class: Class, event: Event) {
        assert_eq!(class, Class::Critical);
        self.events.push(format!("{} {}", event.text(field::FILE_NAME), event.text(field::FILE_CHANGES)));
    }
    fn checkpoint(&mut self, key: &str, value: &[u8]) {
        self.checkpoints.insert(key.to_owned(), value.to_vec());
    }
    fn lost(&mut self, _class: Class, _count: u64, reason: &'static str) {
        self.lost.push(reason);
    }
}

struct Host {
    dir: tempfile::TempDir,
    kept: Kept,
    now: i64,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        Self { dir, kept: Kept::default(), now: 1_000 }
    }
    fn sensor(&self) -> FileSensor {
        let config = Config {
            paths: vec![self.dir.path().join("etc").to_str().unwrap().to_owned()],
            quiet: settings::Duration::millis(0),
            ..Config::default()
        };
        let facts = HostFacts {
            hostname: "h".into(),
            checkpoints: self.kept.checkpoints.clone().into_iter().collect(),
            own_paths: vec![self.dir.path().join("state")],
            own_uplink: None,
            now: secs(self.now),
        };
        FileSensor::open(config, &facts)
    }
    fn look(&mut self, sensor: &mut FileSensor) {
        for _ in 0..4 {
            self.now += 3;
            sensor.look(secs(self.now), &mut self.kept);
        }
    }
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join("etc").join(name), text).unwrap();
    }
}

#[test]
fn changes_while_the_agent_was_down_are_told_once() {
    let mut host = Host::new();
    host.write("passwd", "root");
    let mut sensor = host.sensor();
    host.look(&mut sensor);
    drop(sensor);
    host.write("passwd", "eve");
    for _ in 0..3 {
        let mut sensor = host.sensor();
        host.look(&mut sensor);
    }
    assert_eq!(host.kept.events, ["passwd content"]);
    assert!(host.kept.lost.is_empty());
}

#[test]
fn a_kill_between_report_and_baseline_tells_neither_twice_nor_never() {
    let mut host = Host::new();
    host.write("passwd", "root");
    let mut sensor = host.sensor();
    host.look(&mut sensor);
    host.write("passwd", "eve");
    // One look: the change is reported and durable, the baseline on disk is still the old one.
    host.now += 1;
    sensor.integrity.rescan(secs(host.now));
    let before = host.kept.clone();
    sensor.look(secs(host.now), &mut host.kept);
    assert_eq!(host.kept.events, ["passwd content"]);
    drop(sensor);
    let mut sensor = host.sensor();
    host.look(&mut sensor);
    assert_eq!(host.kept.events, ["passwd content"], "durable: not told again");
    drop(sensor);
    // The same, but the report did not become durable: told by the next life.
    host.write("passwd", "mallory");
    let mut sensor = host.sensor();
    host.now += 1;
    let undone = host.kept.clone();
    sensor.look(secs(host.now), &mut host.kept);
    assert_eq!(host.kept.events.len(), 2);
    host.kept = undone;
    drop(sensor);
    let mut sensor = host.sensor();
    host.look(&mut sensor);
    assert_eq!(host.kept.events, ["passwd content", "passwd content"]);
    assert!(before.events.is_empty());
}

#[test]
fn a_damaged_baseline_is_declared_and_taken_anew() {
    let mut host = Host::new();
    host.write("passwd", "root");
    let mut sensor = host.sensor();
    host.look(&mut sensor);
    drop(sensor);
    std::fs::write(host.dir.path().join("state").join(BASELINE_FILE), "garbage").unwrap();
    let mut sensor = host.sensor();
    host.look(&mut sensor);
    assert_eq!(host.kept.lost, ["baseline_damaged"]);
    let mut coverage = Vec::new();
    sensor.coverage(&mut coverage);
    assert!(coverage.iter().any(|c| c.subject == "baseline" && c.reason.contains("cannot be used")));
}

#[test]
fn notices_come_through_notify_and_our_own_reading_makes_none() {
    let mut host = Host::new();
    host.write("passwd", "root");
    let mut sensor = host.sensor();
    host.look(&mut sensor);
    // The first look opened and read everything; none of that may have come back as a notice.
    assert!(sensor.watch.next().is_none());
    host.write("passwd", "eve");
    // Waits for the notice itself; the limit only keeps a broken build from hanging.
    sensor.watch.wait(Duration::from_secs(30));
    host.look(&mut sensor);
    assert_eq!(host.kept.events, ["passwd content"]);
}

#[test]
fn the_event_says_before_and_after() {
    let entry = Entry {
        kind: FileType::File,
        mode: 0o644,
        uid: 0,
        gid: 42,
        size: 10,
        modified_ns: 1_000_000_000,
        changed_ns: 0,
        device: 0,
        inode: 0,
        sha256: Some([1; 32]),
    };
    let after = Entry { mode: 0o666, size: 11, sha256: Some([2; 32]), ..entry };
    let e = event(&Change { path: "/etc/shadow".into(), target: None, before: Some(entry), after: Some(after) }, "h", secs(5));
    assert_eq!((e.kind, e.activity, e.text(field::FILE_CHANGES).as_ref()), (Kind::FileActivity, 3, "content, mode"));
    assert_eq!((e.text(field::FILE_MODE).as_ref(), e.text(field::RESULT_MODE).as_ref()), ("0644", "0666"));
    assert_eq!((e.text(field::FILE_OWNER).as_ref(), e.text(field::RESULT_SIZE).as_ref()), ("0:42", "11"));
    assert_ne!(e.text(field::FILE_SHA256), e.text(field::RESULT_SHA256));
    assert_eq!(e.text(field::FILE_NAME), "shadow");
}
