//! File integrity: what changed in the files an intruder changes, with how they were before and are after.
//!
//! `notify` says where something happened; `integrity` decides what. The layer's inotify mask includes "opened", so the sensor's own hashing
//! rings its own bell: notices of opening and reading are dropped at the door. What is not watched (no watch left, an overflow) is found by
//! looking at everything, every `rescan`, and said.
//!
//! The baseline lies in the state folder, so that changes while the agent was down are found. It is written only a while after the last
//! report, when that is durable; what was reported since the writing is kept as a checkpoint beside the reports, so that a restart neither
//! misses a change nor tells one twice.

pub mod baseline;
pub mod integrity;
pub mod scan;
#[cfg(test)]
mod tests;

use event::{Class, Event, Field, Kind, LogSource, Timestamp, Value, field};
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use self::baseline::{Baseline, Entry, FileType, hex};
use self::integrity::{Change, Integrity, Limits, REPORTED_MAX};
use self::scan::Scope;
use super::log::glob;
use super::{Coverage, CoverageState, HostFacts, Output, Sensor, SensorError, SensorKind};

/// `[sensor.file]`.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub paths: Vec<String>,
    pub exclude: Vec<String>,
    pub files_max: usize,
    pub hash_bytes_max: settings::Bytes,
    pub bytes_per_second: settings::Bytes,
    pub quiet: settings::Duration,
    pub rescan: settings::Duration,
}

const PATHS: &[&str] = &[
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers*",
    "/etc/ssh",
    "/etc/cron*",
    "/etc/systemd/system",
    "/etc/pam.d",
    "/etc/security",
    "/etc/ld.so.preload",
    "/etc/ld.so.conf*",
    "/etc/profile*",
    "/etc/rc.local",
    "/etc/hosts",
    "/root/.ssh",
    "/home/*/.ssh",
    "/usr/lib/systemd/system",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/var/spool/cron",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            paths: PATHS.iter().map(|p| (*p).to_owned()).collect(),
            exclude: ["*.swp", "*.swx", "*~", "*.dpkg-new", "*.dpkg-tmp"].iter().map(|p| (*p).to_owned()).collect(),
            files_max: 5_000,
            hash_bytes_max: settings::Bytes::mib(16),
            bytes_per_second: settings::Bytes::mib(8),
            quiet: settings::Duration::millis(250),
            rescan: settings::Duration::secs(900),
        }
    }
}

const SAMPLE: &str = r#"# Files and folders to watch; a folder stands for all below it, `*`, `?` and `[0-9]` work within a part of a path. What is missing is waited for.
paths = [
    "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/sudoers*", "/etc/ssh", "/etc/cron*", "/etc/systemd/system",
    "/etc/pam.d", "/etc/security", "/etc/ld.so.preload", "/etc/ld.so.conf*", "/etc/profile*", "/etc/rc.local", "/etc/hosts",
    "/root/.ssh", "/home/*/.ssh", "/usr/lib/systemd/system", "/usr/local/bin", "/usr/local/sbin", "/var/spool/cron",
]
exclude = ["*.swp", "*.swx", "*~", "*.dpkg-new", "*.dpkg-tmp"]
# Files known at once, from 1 to 10000.
files_max = 5000
# Of a longer file, size and time stand for the content.
hash_bytes_max = "16 MiB"
# Reading for hashes, at most.
bytes_per_second = "8 MiB"
# A changed file is looked at when it was left alone for so long.
quiet = "250 ms"
# How often everything is looked at, whatever the notices say.
rescan = "15 min"
"#;

const FIELDS: &[Field] = &[
    field::FILE_PATH,
    field::FILE_NAME,
    field::FILE_TYPE,
    field::FILE_SIZE,
    field::FILE_MODE,
    field::FILE_OWNER,
    field::FILE_SHA256,
    field::FILE_MODIFIED,
    field::RESULT_SIZE,
    field::RESULT_MODE,
    field::RESULT_OWNER,
    field::RESULT_SHA256,
    field::RESULT_MODIFIED,
    field::FILE_CHANGES,
    field::FILE_TARGET,
    field::DEVICE_HOSTNAME,
    field::MESSAGE,
];

/// Name of the baseline in the state folder.
const BASELINE_FILE: &str = "integrity.baseline";
const REPORTED_KEY: &str = "reported";
/// Reports older than this are durable (the spool commits every 50 ms).
const DURABLE_NS: i64 = 2 * event::SECOND_NS;
const NOTICES_MAX: usize = 8192;

pub static FILE: FileKind = FileKind;
pub struct FileKind;

impl FileKind {
    fn config(section: &toml::Table) -> Result<Config, String> {
        let config: Config = settings::section(section)?;
        let mut problems = Vec::new();
        for pattern in &config.paths {
            if let Some(why) = glob::refuse(pattern) {
                problems.push(format!("key 'paths': value \"{pattern}\": {why}"));
            }
        }
        if !(1..=10_000).contains(&config.files_max) {
            problems.push(format!("key 'files_max': value {}: from 1 to 10000", config.files_max));
        }
        if config.quiet.0 > Duration::from_secs(5) {
            problems.push(format!("key 'quiet': value {}: at most 5 s", config.quiet));
        }
        if config.bytes_per_second.0 < 64 * 1024 {
            problems.push(format!("key 'bytes_per_second': value {}: at least 64 KiB", config.bytes_per_second));
        }
        if config.rescan.0 < Duration::from_secs(10) {
            problems.push(format!("key 'rescan': value {}: at least 10 s", config.rescan));
        }
        if problems.is_empty() { Ok(config) } else { Err(problems.join("\n")) }
    }
}

impl SensorKind for FileKind {
    fn name(&self) -> &'static str {
        "file"
    }
    fn about(&self) -> &'static str {
        "watches the files an intruder changes; how they were and are"
    }
    fn fields(&self) -> &'static [Field] {
        FIELDS
    }
    fn sample(&self) -> &'static str {
        SAMPLE
    }
    fn check(&self, section: &toml::Table) -> Result<(), String> {
        Self::config(section).map(|_| ())
    }
    fn open(&self, section: &toml::Table, host: &HostFacts) -> Result<Box<dyn Sensor>, SensorError> {
        let config = Self::config(section).map_err(SensorError::new)?;
        Ok(Box::new(FileSensor::open(config, host)))
    }
}

pub(crate) struct FileSensor {
    integrity: Integrity,
    watch: Watch,
    rescan_ns: i64,
    hostname: String,
    /// Where the baseline lies; without a state folder it is kept in memory only.
    store: Option<PathBuf>,
    note: String,
    scanned_at: Option<Timestamp>,
    reported_at: Timestamp,
    /// The baseline on disk is not the one in memory.
    unsaved: bool,
    first_lost: bool,
}

impl FileSensor {
    pub(crate) fn open(config: Config, host: &HostFacts) -> Self {
        let scope = Scope { paths: config.paths.clone(), exclude: config.exclude.clone(), own: host.own_paths.clone() };
        let limits = Limits {
            files_max: config.files_max,
            hash_bytes_max: config.hash_bytes_max.0,
            bytes_per_second: config.bytes_per_second.0,
            quiet_ns: config.quiet.as_ns(),
        };
        // The first of the agent's own paths is its state folder.
        let store = host.own_paths.first().filter(|p| p.is_dir()).map(|p| p.join(BASELINE_FILE));
        let mut note = String::new();
        let mut first_lost = false;
        let baseline = match store.as_deref().map(Baseline::load) {
            Some(Ok(found)) => found,
            Some(Err(damaged)) => {
                note = format!("the stored baseline cannot be used ({}); what changed while the agent was away is not known", damaged.0);
                first_lost = true;
                None
            }
            None => None,
        };
        let known = baseline.as_ref().map(|b| known(b.generation, &host.checkpoints)).unwrap_or_default();
        let watch = Watch::begin(&config.paths);
        Self {
            integrity: Integrity::new(scope, limits, baseline, known),
            watch,
            rescan_ns: config.rescan.as_ns(),
            hostname: host.hostname.clone(),
            store,
            note,
            scanned_at: None,
            reported_at: Timestamp::MIN,
            unsaved: true,
            first_lost,
        }
    }

    fn look(&mut self, now: Timestamp, out: &mut dyn Output) {
        if std::mem::take(&mut self.first_lost) {
            out.lost(Class::Critical, 1, "baseline_damaged");
        }
        let mut fits = true;
        while let Some(path) = self.watch.next() {
            fits &= self.integrity.notice(path, now);
        }
        let overflow = self.watch.overflow.swap(false, Ordering::Relaxed) || !fits;
        if overflow {
            out.lost(Class::Critical, 1, "watch_overflow");
            self.note = "notices were lost; everything was looked at again".to_owned();
        }
        let due = self.scanned_at.is_none_or(|at| now.since(at) >= self.rescan_ns || now < at);
        if due || overflow {
            self.integrity.rescan(now);
            self.scanned_at = Some(now);
            self.watch.again();
        }
        let mut changes = Vec::new();
        self.integrity.examine(now, &mut changes);
        for folder in std::mem::take(&mut self.integrity.new_folders) {
            self.watch.folder(&folder);
        }
        if !changes.is_empty() {
            for change in &changes {
                out.event(Class::Critical, event(change, &self.hostname, now));
            }
            self.reported_at = now;
            out.checkpoint(REPORTED_KEY, &encode_known(self.integrity.baseline.generation, &self.integrity.reported));
            self.unsaved = true;
        }
        self.save(now, out);
    }

    /// Writes the baseline once what was reported is surely durable.
    fn save(&mut self, now: Timestamp, out: &mut dyn Output) {
        let settled = self.reported_at == Timestamp::MIN || now.since(self.reported_at) >= DURABLE_NS;
        if !self.unsaved || self.integrity.is_learning() || !settled {
            return;
        }
        let before = self.integrity.baseline.generation;
        self.integrity.baseline.generation = before + 1;
        let Some(store) = &self.store else {
            self.integrity.reported.clear();
            self.unsaved = false;
            return;
        };
        match self.integrity.baseline.save(store) {
            Ok(()) => {
                self.unsaved = false;
                self.integrity.reported.clear();
                out.checkpoint(REPORTED_KEY, &encode_known(before + 1, &[]));
            }
            Err(error) => {
                self.integrity.baseline.generation = before;
                self.note = format!("the baseline cannot be written to {}: {error}", store.display());
                // Tried again with the next change or rescan; the reports stay noted meanwhile.
                self.unsaved = self.integrity.reported.len() >= REPORTED_MAX / 2;
            }
        }
    }
}

impl Sensor for FileSensor {
    fn poll(&mut self, now: Timestamp, wait: Duration, out: &mut dyn Output) -> Result<(), SensorError> {
        self.look(now, out);
        // Not past the time when the next path is quiet, nor past the time to write the baseline.
        let mut until = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
        if let Some(due) = self.integrity.due() {
            until = until.min(due.since(now).max(10_000_000));
        }
        self.watch.wait(Duration::from_nanos(until.unsigned_abs()));
        Ok(())
    }

    fn coverage(&self, out: &mut Vec<Coverage>) {
        let mut say = |subject: &str, state, reason: &str| {
            out.push(Coverage { sensor: "file", subject: subject.to_owned(), state, reason: reason.to_owned() })
        };
        for pattern in &self.integrity.scope.paths {
            let here = self.integrity.baseline.entries.keys().any(|p| glob::path_matches(pattern, p));
            match self.watch.problem(pattern) {
                Some(problem) => say(pattern, CoverageState::Partial, problem),
                None if here => say(pattern, CoverageState::Seeing, ""),
                None if self.integrity.is_learning() => say(pattern, CoverageState::Partial, "first look is under way"),
                None => say(pattern, CoverageState::Off, "nothing of this name; it is waited for"),
            }
        }
        for (path, why) in &self.integrity.refused {
            say(&path.to_string_lossy(), CoverageState::Partial, &format!("content not read: {why}; give the agent CAP_DAC_READ_SEARCH"));
        }
        if let Some(note) = &self.integrity.walk_note {
            say("paths", CoverageState::Partial, note);
        }
        if !self.note.is_empty() {
            say("baseline", CoverageState::Partial, &self.note);
        }
    }

    fn close(&mut self, now: Timestamp, out: &mut dyn Output) {
        self.look(now, out);
    }
}

/// A change as an event: before in `file.*`, after in `file_result.*`.
fn event(change: &Change, hostname: &str, now: Timestamp) -> Event {
    let what = change.what();
    let activity = match what.first() {
        Some(&"created") => 1,
        Some(&"deleted") => 4,
        Some(&"renamed") => 5,
        Some(&"content") => 3,
        _ => 6,
    };
    let path = change.path.to_string_lossy();
    let kind = change.after.or(change.before).map_or(FileType::Other, |e| e.kind);
    let mut event = Event::new(now, Kind::FileActivity, activity, LogSource::new("linux", "file_event", "fim"))
        .with(field::FILE_PATH, path.as_ref())
        .with(field::FILE_NAME, change.path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default())
        .with(field::FILE_TYPE, kind.name())
        .with(field::FILE_CHANGES, what.iter().map(|w| Value::text(w)).collect::<Vec<_>>())
        .with(field::DEVICE_HOSTNAME, hostname)
        .with(field::MESSAGE, format!("{} {path}: {}", kind.name(), what.join(", ")));
    event.body.set_some(field::FILE_TARGET, change.target.as_ref().map(|t| t.to_string_lossy().into_owned()));
    if let Some(e) = &change.before {
        set(&mut event, e, [field::FILE_SIZE, field::FILE_MODE, field::FILE_OWNER, field::FILE_SHA256, field::FILE_MODIFIED]);
    }
    if let Some(e) = &change.after {
        set(&mut event, e, [field::RESULT_SIZE, field::RESULT_MODE, field::RESULT_OWNER, field::RESULT_SHA256, field::RESULT_MODIFIED]);
    }
    event
}

fn set(event: &mut Event, entry: &Entry, [size, mode, owner, sha256, modified]: [Field; 5]) {
    if entry.kind != FileType::Folder {
        event.body.set(size, entry.size);
        event.body.set(modified, Timestamp::from_ns(entry.modified_ns).ms());
    }
    event.body.set(mode, format!("{:04o}", entry.mode));
    event.body.set(owner, format!("{}:{}", entry.uid, entry.gid));
    if entry.sha256.is_some() {
        event.body.set(sha256, hex(&entry.sha256));
    }
}

/// Generation and pairs, eight bytes each.
fn encode_known(generation: u64, pairs: &[(u64, u64)]) -> Vec<u8> {
    let mut out = generation.to_le_bytes().to_vec();
    for (path, digest) in pairs.iter().take(REPORTED_MAX) {
        out.extend_from_slice(&path.to_le_bytes());
        out.extend_from_slice(&digest.to_le_bytes());
    }
    out
}

/// What was reported after the baseline of this generation was written.
fn known(generation: u64, checkpoints: &[(String, Vec<u8>)]) -> BTreeSet<(u64, u64)> {
    let Some((_, value)) = checkpoints.iter().find(|(key, _)| key == REPORTED_KEY) else { return BTreeSet::new() };
    let words: Vec<u64> = value.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
    match words.split_first() {
        Some((g, pairs)) if *g == generation => pairs.as_chunks::<2>().0.iter().map(|[path, digest]| (*path, *digest)).collect(),
        _ => BTreeSet::new(),
    }
}

/// The watches and what they say.
struct Watch {
    watcher: Option<notify::RecommendedWatcher>,
    notices: Receiver<PathBuf>,
    /// Held so that a wait never ends for want of a sender.
    _sender: SyncSender<PathBuf>,
    waiting: Option<PathBuf>,
    overflow: Arc<AtomicBool>,
    patterns: Vec<String>,
    watched: BTreeSet<PathBuf>,
    problems: BTreeMap<String, String>,
}

impl Watch {
    fn begin(patterns: &[String]) -> Self {
        let (sender, notices) = sync_channel(NOTICES_MAX);
        let overflow = Arc::new(AtomicBool::new(false));
        let (tell, flag) = (sender.clone(), overflow.clone());
        let handler = move |result: notify::Result<notify::Event>| match result {
            Ok(event) => {
                if event.need_rescan() {
                    flag.store(true, Ordering::Relaxed);
                }
                if !says_change(&event.kind) {
                    return;
                }
                for path in event.paths {
                    if let Err(TrySendError::Full(_)) = tell.try_send(path) {
                        flag.store(true, Ordering::Relaxed);
                    }
                }
            }
            Err(_) => flag.store(true, Ordering::Relaxed),
        };
        let mut watch = Self {
            watcher: None,
            notices,
            _sender: sender,
            waiting: None,
            overflow,
            patterns: patterns.to_vec(),
            watched: BTreeSet::new(),
            problems: BTreeMap::new(),
        };
        match notify::recommended_watcher(handler) {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => {
                for pattern in patterns {
                    watch.problems.insert(pattern.clone(), explain(&error));
                }
            }
        }
        watch.again();
        watch
    }

    /// Adds the watches that are missing: the folder each name stands in, and each folder that is named.
    fn again(&mut self) {
        for pattern in self.patterns.clone() {
            let Some((folder, _)) = pattern.rsplit_once('/') else { continue };
            let (folders, _) = if folder.is_empty() { (vec![PathBuf::from("/")], true) } else { glob::expand(folder, 256) };
            let mut fine = true;
            for folder in folders {
                fine &= self.add(&pattern, &folder, RecursiveMode::NonRecursive);
            }
            for named in glob::expand(&pattern, 256).0 {
                if std::fs::symlink_metadata(&named).is_ok_and(|m| m.is_dir()) {
                    fine &= self.add(&pattern, &named, RecursiveMode::Recursive);
                }
            }
            if fine {
                self.problems.remove(&pattern);
            }
        }
    }

    fn folder(&mut self, path: &Path) {
        let pattern = self.patterns.iter().find(|p| glob::path_matches(p, path)).cloned().unwrap_or_default();
        // It may have been watched before it was removed; that watch is gone.
        self.watched.remove(path);
        self.add(&pattern, path, RecursiveMode::Recursive);
    }

    fn add(&mut self, pattern: &str, path: &Path, mode: RecursiveMode) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        if !path.is_dir() {
            self.watched.remove(path);
            return true;
        }
        if mode == RecursiveMode::NonRecursive && self.watched.contains(path) {
            return true;
        }
        if mode == RecursiveMode::Recursive && !self.watched.insert(path.to_owned()) {
            return true;
        }
        match watcher.watch(path, mode) {
            Ok(()) => {
                self.watched.insert(path.to_owned());
                true
            }
            Err(error) => {
                self.watched.remove(path);
                self.problems.insert(pattern.to_owned(), explain(&error));
                false
            }
        }
    }

    fn problem(&self, pattern: &str) -> Option<&str> {
        self.problems.get(pattern).map(String::as_str)
    }

    fn next(&mut self) -> Option<PathBuf> {
        self.waiting.take().or_else(|| self.notices.try_recv().ok())
    }

    fn wait(&mut self, wait: Duration) {
        match self.notices.recv_timeout(wait) {
            Ok(path) => self.waiting = Some(path),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

/// Opening and reading is no change, and our own hashing does both; closing after writing is one.
fn says_change(kind: &EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

fn explain(error: &notify::Error) -> String {
    let limit = |key: &str, value: &str| {
        format!("inotify has no room left; raise it: sysctl -w {key}={value}; until then found by looking every rescan")
    };
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => limit("fs.inotify.max_user_watches", "524288"),
        notify::ErrorKind::Io(error) if error.raw_os_error() == Some(libc::EMFILE) => limit("fs.inotify.max_user_instances", "512"),
        notify::ErrorKind::Io(error) if error.raw_os_error() == Some(libc::ENOSPC) => limit("fs.inotify.max_user_watches", "524288"),
        _ => format!("cannot be watched ({error}); found by looking every rescan"),
    }
}
