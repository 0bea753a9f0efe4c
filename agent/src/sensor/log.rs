//! Follows log files and gives one event a line. What a line means is `proto::log`'s; what a file is, is the follower's.
//!
//! The journal is not read: on a host that logs only there the coverage statement says so, loudly, and names the way out.

mod doubles;
pub mod files;
pub mod follower;
pub mod glob;
pub mod tail;
#[cfg(test)]
mod tests;

use event::{Class, Field, Timestamp, Value, field};
use notify::event::ModifyKind;
use notify::{EventKind, RecursiveMode, Watcher};
use proto::log::{Reader, Sessions};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use self::doubles::Doubles;
use self::files::HostFiles;
use self::follower::{Follower, Rules, Sink};
use self::tail::LineAt;
use super::{Coverage, CoverageState, HostFacts, Output, Sensor, SensorError, SensorKind};

/// `[sensor.log]`.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub paths: Vec<String>,
    pub exclude: Vec<String>,
    pub from: From,
    pub line_bytes_max: settings::Bytes,
    pub files_max: usize,
    pub rescan: settings::Duration,
    pub format: Vec<FormatRule>,
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum From {
    Start,
    End,
}

/// `[[sensor.log.format]]`: for files that do not say by their content what they are.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct FormatRule {
    pub path: String,
    pub name: String,
}

/// Where Debian, Red Hat and the usual services write. Left out: what Debian's rsyslog writes a second time (`kern.log`, `daemon.log`,
/// `user.log` are parts of `syslog`).
const PATHS: &[&str] = &[
    "/var/log/auth.log",
    "/var/log/secure",
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/audit/audit.log",
    "/var/log/cron.log",
    "/var/log/cron",
    "/var/log/dpkg.log",
    "/var/log/dnf.rpm.log",
    "/var/log/mail.log",
    "/var/log/maillog",
    "/var/log/exim4/*log",
    "/var/log/exim/*log",
    "/var/log/dovecot.log",
    "/var/log/nginx/*.log",
    "/var/log/apache2/*.log",
    "/var/log/httpd/*log",
    "/var/log/lighttpd/*.log",
    "/var/log/squid/access.log",
    "/var/log/haproxy.log",
    "/var/log/vsftpd.log",
    "/var/log/proftpd/*.log",
    "/var/log/pure-ftpd/*.log",
    "/var/log/fail2ban.log",
    "/var/log/mysql/error.log",
    "/var/log/mariadb/*.log",
    "/var/log/postgresql/*.log",
    "/var/log/named/*.log",
    "/var/log/asterisk/messages*",
];
/// Where the system's own log-ons stand, as syslog daemons of the families have it.
const AUTH: [&str; 2] = ["/var/log/auth.log", "/var/log/secure"];
/// There while systemd's journal takes in messages.
const JOURNAL: &str = "/run/systemd/journal";

impl Default for Config {
    fn default() -> Self {
        let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
        Self {
            paths: list(PATHS),
            exclude: list(&["*.gz", "*.xz", "*.bz2", "*.zst", "*.[0-9]", "*.[0-9][0-9]", "*-20[0-9][0-9]*"]),
            from: From::End,
            line_bytes_max: settings::Bytes::kib(64),
            files_max: 64,
            rescan: settings::Duration::secs(10),
            format: Vec::new(),
        }
    }
}

const SAMPLE: &str = r#"# Files to follow; `*`, `?` and `[0-9]` work within a part of a path. Files that are missing are waited for.
# These are what Debian, Red Hat and the usual services write; `vedette-agent doctor` names those that are there.
paths = [
    "/var/log/auth.log", "/var/log/secure", "/var/log/syslog", "/var/log/messages", "/var/log/audit/audit.log", "/var/log/cron.log", "/var/log/cron",
    "/var/log/dpkg.log", "/var/log/dnf.rpm.log", "/var/log/mail.log", "/var/log/maillog", "/var/log/exim4/*log", "/var/log/exim/*log", "/var/log/dovecot.log",
    "/var/log/nginx/*.log", "/var/log/apache2/*.log", "/var/log/httpd/*log", "/var/log/lighttpd/*.log", "/var/log/squid/access.log", "/var/log/haproxy.log",
    "/var/log/vsftpd.log", "/var/log/proftpd/*.log", "/var/log/pure-ftpd/*.log", "/var/log/fail2ban.log",
    "/var/log/mysql/error.log", "/var/log/mariadb/*.log", "/var/log/postgresql/*.log", "/var/log/named/*.log", "/var/log/asterisk/messages*",
]
# Never followed, though matched: rotated files. What is rotated is read to its end without this.
exclude = ["*.gz", "*.xz", "*.bz2", "*.zst", "*.[0-9]", "*.[0-9][0-9]", "*-20[0-9][0-9]*"]
# Where to begin in files that are there when the agent first sees them: "end" or "start". Files that appear later are read from their start.
from = "end"
# Of a longer line the head is kept, and the cut is counted.
line_bytes_max = "64 KiB"
# Files followed at once; more are named in the coverage statement.
files_max = 64
# How often the patterns are looked up again.
rescan = "10 s"
# For files that do not say by their content what they are:
# [[sensor.log.format]]
# path = "/srv/shop/log/access*.log"
# name = "access"
"#;

const FIELDS: &[Field] = &[field::RAW_DATA, field::LOG_PATH, field::LOG_OFFSET, field::DEVICE_HOSTNAME, field::MESSAGE, field::LOG_PROGRAM];
/// Time a rotated file is read on at least: writers reopen after it.
const LINGER_NS: i64 = 15 * event::SECOND_NS;
/// Least time between two looks while lines keep coming, and while many do: each look ends in a commit and a batch to the collector, so
/// that ten looks a second cost a host with thousands of lines a fraction of what fifty do.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_BUSY: Duration = Duration::from_millis(100);
/// Lines in one look that are many: some two hundred a second.
const BUSY_LINES: u64 = 20;

pub static LOG: LogKind = LogKind;
pub struct LogKind;

impl LogKind {
    fn config(section: &toml::Table) -> Result<Config, String> {
        let config: Config = settings::section(section)?;
        let mut problems = Vec::new();
        for (key, patterns) in [("paths", &config.paths)] {
            for pattern in patterns {
                if let Some(why) = glob::refuse(pattern) {
                    problems.push(format!("key '{key}': value \"{pattern}\": {why}"));
                }
            }
        }
        if !(256..=1024 * 1024).contains(&config.line_bytes_max.0) {
            problems.push(format!("key 'line_bytes_max': value {}: from 256 B to 1 MiB", config.line_bytes_max));
        }
        if !(1..=1024).contains(&config.files_max) {
            problems.push(format!("key 'files_max': value {}: from 1 to 1024", config.files_max));
        }
        if config.rescan.0 < Duration::from_secs(1) || config.rescan.0 > Duration::from_secs(3600) {
            problems.push(format!("key 'rescan': value {}: from 1 s to 1 h", config.rescan));
        }
        if problems.is_empty() { Ok(config) } else { Err(problems.join("\n")) }
    }
}

impl SensorKind for LogKind {
    fn name(&self) -> &'static str {
        "log"
    }
    fn about(&self) -> &'static str {
        "follows log files; one event a line"
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
        Ok(Box::new(LogSensor::open(config, host)))
    }
}

struct LogSensor {
    config: Config,
    follower: Follower<HostFiles>,
    hostname: String,
    bell: Bell,
    /// What the sessions of all files said before; a key holds host, program and process, so files do not mix.
    reader: Reader,
    doubles: Doubles,
    told: Told,
    lines: u64,
    eager_at: Option<Timestamp>,
}

impl LogSensor {
    fn open(config: Config, host: &HostFacts) -> Self {
        let rules = Rules {
            paths: config.paths.clone(),
            exclude: config.exclude.clone(),
            from_start: config.from == From::Start,
            line_max: config.line_bytes_max.as_usize(),
            files_max: config.files_max,
            rescan_ns: config.rescan.as_ns(),
            linger_ns: LINGER_NS,
            own: host.own_paths.clone(),
        };
        let bell = Bell::hang(&config.paths);
        Self {
            follower: Follower::new(HostFiles, rules, &host.checkpoints),
            hostname: host.hostname.clone(),
            bell,
            reader: Reader::new(),
            doubles: Doubles::default(),
            told: Told::default(),
            config,
            lines: 0,
            eager_at: None,
        }
    }
}

impl Sensor for LogSensor {
    fn poll(&mut self, now: Timestamp, wait: Duration, out: &mut dyn Output) -> Result<(), SensorError> {
        let before = self.lines;
        // A name that came or went may be one we wait for; but not oftener than once a second.
        let eager = self.eager_at.is_none_or(|at| now.since(at) >= event::SECOND_NS || now < at);
        if eager && self.bell.names_changed.swap(false, Ordering::Relaxed) {
            self.eager_at = Some(now);
            self.follower.rescan_soon();
        }
        let mut sink = Lines {
            out,
            now,
            utc_offset_secs: utc_offset(now),
            hostname: &self.hostname,
            formats: &self.config.format,
            reader: &mut self.reader,
            doubles: &mut self.doubles,
            lines: &mut self.lines,
        };
        let more = self.follower.step(now, &mut sink);
        self.told.tell(self.reader.sessions(), self.doubles.dropped(), out);
        if more {
            return Ok(());
        }
        let came = self.lines.wrapping_sub(before);
        if came > 0 {
            self.bell.pause(if came < BUSY_LINES { PAUSE } else { PAUSE_BUSY }.min(wait))
        } else {
            self.bell.wait(wait)
        }
        Ok(())
    }

    fn coverage(&self, out: &mut Vec<Coverage>) {
        let mut say = |subject: String, state, reason: String| out.push(Coverage { sensor: "log", subject, state, reason });
        for state in self.follower.states() {
            let subject = state.path.display().to_string();
            match (state.open, state.trouble.is_empty()) {
                (true, true) => say(subject, CoverageState::Seeing, state.note.to_owned()),
                (true, false) => say(subject, CoverageState::Partial, state.trouble.to_owned()),
                (false, false) => say(subject, CoverageState::Blind, state.trouble.to_owned()),
                (false, true) => say(subject, CoverageState::Off, "no file of this name now; it is waited for".to_owned()),
            }
        }
        for (path, why) in self.follower.aside() {
            say(path.display().to_string(), CoverageState::Off, why.to_owned());
        }
        // A literal path that is followed but gone is told above.
        let missing = self.follower.unmatched().filter(|p| !self.follower.states().any(|s| s.path == Path::new(p)));
        if self.config.paths.iter().eq(PATHS) {
            // Nobody asked for these: one word for all that this host does not have.
            let missing: Vec<&str> = missing.map(AsRef::as_ref).collect();
            if !missing.is_empty() {
                say("usual logs".to_owned(), CoverageState::Off, format!("not here, waited for: {}", missing.join(", ")));
            }
        } else {
            missing.for_each(|p| say(p.to_owned(), CoverageState::Off, "no such file; it is waited for".to_owned()));
        }
        if self.follower.too_many {
            say(
                "paths".to_owned(),
                CoverageState::Partial,
                format!("more than {} files match; raise sensor.log.files_max", self.config.files_max),
            );
        }
        let open = |name: &str| self.follower.states().any(|s| s.open && s.path == Path::new(name));
        if let Some(reason) = unseen_logons(&self.config.paths, open, Path::new(JOURNAL).exists()) {
            say("authentication log".to_owned(), CoverageState::Blind, reason.to_owned());
        }
    }

    fn close(&mut self, now: Timestamp, out: &mut dyn Output) {
        // One last look, so that what was written before the stop is sent before it; unfinished lines wait in their files.
        let mut sink = Lines {
            out,
            now,
            utc_offset_secs: utc_offset(now),
            hostname: &self.hostname,
            formats: &self.config.format,
            reader: &mut self.reader,
            doubles: &mut self.doubles,
            lines: &mut self.lines,
        };
        self.follower.step(now, &mut sink);
        self.told.tell(self.reader.sessions(), self.doubles.dropped(), out);
    }
}

/// Why log-ons cannot be seen on a host that logs only to the journal, where they are looked for at all; and the way out.
fn unseen_logons(paths: &[String], open: impl Fn(&str) -> bool, journal: bool) -> Option<&'static str> {
    let wanted = paths.iter().any(|p| AUTH.contains(&p.as_str()));
    let seen = AUTH.into_iter().any(open);
    (wanted && !seen && journal).then_some(
        "SSH LOG-ONS, SUDO AND SU CANNOT BE SEEN: this host logs only to the systemd journal, which is not read, and has neither /var/log/auth.log \
         nor /var/log/secure. Way out: apt install rsyslog (dnf install rsyslog), which writes them from then on; or, with another syslog \
         daemon, ForwardToSyslog=yes in /etc/systemd/journald.conf and systemctl restart systemd-journald. The agent follows the file as soon \
         as it is there",
    )
}

/// What of the sessions' counts was handed on already.
#[derive(Default)]
struct Told {
    filled: u64,
    forgotten: u64,
    doubled: u64,
}

impl Told {
    fn tell(&mut self, sessions: &Sessions, doubled: u64, out: &mut dyn Output) {
        let (filled, forgotten) = (sessions.filled(), sessions.evicted());
        for (what, now, before) in [
            ("session_completed", filled, self.filled),
            ("session_forgotten", forgotten, self.forgotten),
            ("doubled_line", doubled, self.doubled),
        ] {
            if now > before {
                out.count(what, now - before);
            }
        }
        *self = Self { filled, forgotten, doubled };
    }
}

/// Lines to events.
struct Lines<'a> {
    out: &'a mut dyn Output,
    now: Timestamp,
    utc_offset_secs: i32,
    hostname: &'a str,
    formats: &'a [FormatRule],
    reader: &'a mut Reader,
    doubles: &'a mut Doubles,
    lines: &'a mut u64,
}

impl Sink for Lines<'_> {
    fn line(&mut self, path: &Path, line: &LineAt<'_>) {
        *self.lines = self.lines.wrapping_add(1);
        // Before it is read: what the sessions know must not count it twice either.
        if self.doubles.is_double(path, line.bytes, self.now) {
            return;
        }
        let format = self.formats.iter().find(|f| glob::path_matches(&f.path, path)).map(|f| f.name.as_str());
        let (class, mut event) =
            self.reader.read(&proto::log::Line { bytes: line.bytes, received: self.now, utc_offset_secs: self.utc_offset_secs, format });
        event.observed = self.now;
        if event.get(field::RAW_DATA).is_none() {
            event.body.set(field::RAW_DATA, Value::lossy(line.bytes));
        }
        event.body.set(field::LOG_PATH, path.to_string_lossy());
        event.body.set(field::LOG_OFFSET, line.offset);
        event.body.set(field::DEVICE_HOSTNAME, self.hostname);
        self.out.event(class, event);
    }

    fn checkpoint(&mut self, path: &Path, value: &[u8]) {
        // A path that is no text cannot be a key; such a file is followed, but from the rule for first sight after a restart.
        if let Some(key) = path.to_str() {
            self.out.checkpoint(key, value);
        }
    }

    fn lost(&mut self, _path: &Path, count: u64, reason: &'static str) {
        self.out.lost(Class::Normal, count, reason);
    }
}

/// Seconds east of UTC of the host's local time at an instant.
fn utc_offset(now: Timestamp) -> i32 {
    let zone = jiff::tz::TimeZone::system();
    jiff::Timestamp::from_second(now.secs()).map_or(0, |at| zone.to_offset(at).seconds())
}

/// Rings when something changes in a followed folder, so that an idle host costs nothing and a line is seen at once. Without inotify the
/// looks come by time alone.
struct Bell {
    rings: Receiver<()>,
    /// A file was made, renamed or removed in a followed folder.
    names_changed: Arc<AtomicBool>,
    /// Held so that waiting on `rings` never ends early for want of a sender.
    _sender: SyncSender<()>,
    never: Receiver<()>,
    _never: Sender<()>,
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Bell {
    fn hang(patterns: &[String]) -> Self {
        let (sender, rings) = sync_channel(1);
        let (never_sender, never) = channel();
        let ring = sender.clone();
        let names_changed = Arc::new(AtomicBool::new(false));
        let flag = names_changed.clone();
        let handler = move |result: notify::Result<notify::Event>| {
            let named =
                |kind: &EventKind| matches!(kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
            if result.as_ref().is_ok_and(|e| named(&e.kind) || e.need_rescan()) {
                flag.store(true, Ordering::Relaxed);
            }
            // Opening and reading, which others do all the time, is no change.
            if !result.as_ref().is_ok_and(|e| matches!(e.kind, EventKind::Access(_))) {
                let _ = ring.try_send(());
            }
        };
        let mut watcher = notify::recommended_watcher(handler).ok();
        for folder in folders(patterns) {
            if let Some(watcher) = &mut watcher {
                // A folder that is missing or cannot be watched is still looked at by time.
                let _ = watcher.watch(&folder, RecursiveMode::NonRecursive);
            }
        }
        Self { rings, names_changed, _sender: sender, never, _never: never_sender, _watcher: watcher }
    }

    fn wait(&self, wait: Duration) {
        let _ = self.rings.recv_timeout(wait);
    }

    fn pause(&self, wait: Duration) {
        let _ = self.never.recv_timeout(wait);
    }
}

/// The folders in which files of these patterns appear, as far as they are named without wildcards, and those that match now.
fn folders(patterns: &[String]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for pattern in patterns {
        let Some((folder, _)) = pattern.rsplit_once('/') else { continue };
        if glob::is_pattern(folder) {
            found.extend(glob::expand(folder, 64).0);
        } else {
            found.insert(PathBuf::from(if folder.is_empty() { "/" } else { folder }));
        }
    }
    found
}

#[cfg(test)]
mod journal {
    use super::*;

    #[test]
    fn a_host_that_logs_only_to_the_journal_says_so_and_names_the_way_out() {
        let usual: Vec<String> = PATHS.iter().map(|p| (*p).to_owned()).collect();
        let said = unseen_logons(&usual, |_| false, true).expect("it is said");
        for word in ["LOG-ONS", "SUDO", "apt install rsyslog", "ForwardToSyslog=yes"] {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert_eq!(unseen_logons(&usual, |p| p == "/var/log/secure", true), None);
        assert_eq!(unseen_logons(&usual, |_| false, false), None, "no journal: the files are simply not there yet");
        assert_eq!(unseen_logons(&["/srv/app.log".to_owned()], |_| false, true), None, "nobody looks for log-ons here");
    }
}

#[cfg(test)]
mod doubled {
    use super::*;

    #[derive(Default)]
    struct Out {
        events: Vec<(String, String)>,
        counts: std::collections::BTreeMap<&'static str, u64>,
    }
    impl Output for Out {
        fn event(&mut self, _: Class, event: event::Event) {
            self.events.push((event.text(field::LOG_PATH).into_owned(), event.text(field::EVENT_CODE).into_owned()));
        }
        fn checkpoint(&mut self, _: &str, _: &[u8]) {}
        fn lost(&mut self, _: Class, _: u64, _: &'static str) {}
        fn count(&mut self, what: &'static str, count: u64) {
            *self.counts.entry(what).or_default() += count;
        }
    }

    #[test]
    fn a_line_that_syslog_writes_into_two_files_is_one_event() {
        let dir = tempfile::tempdir().expect("a folder");
        let failed = "Nov 23 11:00:01 h sshd[7]: Failed password for root from 192.0.2.9 port 4711 ssh2\n";
        std::fs::write(dir.path().join("auth.log"), failed.repeat(3)).expect("written");
        std::fs::write(dir.path().join("syslog"), format!("{}plain\n", failed.repeat(3))).expect("written");
        let paths = ["auth.log", "syslog"].map(|n| dir.path().join(n).display().to_string());
        let host = HostFacts {
            hostname: "h".into(),
            checkpoints: Vec::new(),
            own_paths: Vec::new(),
            own_uplink: None,
            now: Timestamp::from_secs(1_700_000_000),
        };
        let config = Config { paths: paths.to_vec(), from: From::Start, ..Config::default() };
        let mut sensor = LogSensor::open(config, &host);
        let mut out = Out::default();
        for n in 0..4 {
            sensor.poll(host.now.plus_secs(n), Duration::ZERO, &mut out).expect("it reads");
        }
        let failures = out.events.iter().filter(|(_, code)| code == "failed").count();
        assert_eq!((failures, out.events.len()), (3, 4), "{:?}", out.events);
        assert_eq!(out.counts.get("doubled_line"), Some(&3));
    }
}
