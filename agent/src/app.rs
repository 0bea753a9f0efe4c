//! The wiring, tail first: spool, uplink, edge, sensors. Each sensor has a thread of its own; one thread commits; one task sends.
//!
//! A sensor that fails or panics ends alone: its coverage says blind, the others go on. Stopping goes the other way round: sensors hand over
//! what they hold, the host sensor says `stopping` last, a last commit makes it durable, and the uplink gets a moment to send it.

use anyhow::Context as _;
use event::{Class, Timestamp};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use telemetry::{Counters, Gauges, Metrics};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Listen};
use crate::edge::Edge;
use crate::identity::{Identity, IdentityError, Invitation};
use crate::ledger::{Group, SpoolHandle};
use crate::metrics::{self, Page};
use crate::privilege::Rights;
use crate::sensor::{AgentView, Coverage, CoverageState, HostFacts, LedgerRow, Output, SENSORS, Sensor, SensorError, SensorKind};
use crate::uplink::{self, UplinkConfig, UplinkStatus};
use crate::{clock, identity};

/// Longest one poll of a sensor may wait: also how long stopping may take.
const POLL_WAIT: Duration = Duration::from_millis(500);
/// How often a sensor's coverage is asked for.
const COVERAGE_NS: i64 = 2 * event::SECOND_NS;
/// What a sensor may hold between two checkpoints before it is appended all the same.
const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Time for the uplink to send the last words.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often an agent that is not enrolled looks for an identity.
const ENROLMENT_LOOK: Duration = Duration::from_secs(2);
/// Without an acknowledgement for so long an enrolled agent is not ready.
const ACK_AGE_MAX_NS: i64 = 120 * event::SECOND_NS;
const THREAD_STACK: usize = 512 * 1024;

/// Runs until SIGTERM or SIGINT. `reload` reads the configuration anew on SIGHUP.
pub fn run(config: Config, reload: impl Fn() -> Result<Config, settings::Errors>) -> anyhow::Result<()> {
    let now = clock::now();
    let metrics = Metrics::new("vedette_agent");
    make_folder(&config.state)
        .with_context(|| format!("cannot make {}; create it and give it to the agent's user", config.state.display()))?;

    let folder = config.spool_folder();
    let (spool, recovery) = SpoolHandle::open(&folder, config.spool.bytes_max.0, now, &metrics)
        .with_context(|| format!("cannot open the spool in {}", folder.display()))?;
    tracing::info!(
        epoch = recovery.epoch,
        waiting = recovery.records,
        torn_bytes = recovery.torn_bytes,
        damaged = recovery.damaged.len(),
        "spool is open"
    );
    let committing = spawn("commit", {
        let spool = spool.clone();
        move || spool.commit_loop()
    })?;

    let hub = Arc::new(Hub::new(&config, spool.clone(), metrics));
    tracing::info!(rights = %Rights::read().summary(), "rights of the process");
    let mut sensors = Sensors::new(hub.clone());
    sensors.apply(&config);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (farewell, leaving) = tokio::sync::watch::channel(false);
        let mut linked = tokio::spawn(link(config.clone(), hub.clone(), spool.clone(), leaving));
        let page = tokio::spawn(serve_page(Listen::parse(&config.metrics.listen).unwrap_or(Listen::Off), hub.clone()));
        let (mut terminate, mut interrupt, mut hangup) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => match reload() {
                    Ok(fresh) => {
                        hub.take_edge(&fresh);
                        sensors.apply(&fresh);
                        match config.fixed_keys_that_differ(&fresh).as_slice() {
                            [] => tracing::info!("configuration is reloaded"),
                            keys => tracing::warn!(keys = keys.join(", "), "configuration is reloaded, but these take a restart"),
                        }
                    }
                    Err(errors) => errors.problems.iter().for_each(|problem| tracing::error!(%problem, "configuration is refused, the old one stays")),
                },
            }
        }
        tracing::info!("stopping");
        // Sensors first, the host's last word after them; then the disk; then a moment for the link.
        let stopped = tokio::task::spawn_blocking(move || {
            sensors.stop();
            spool.stop();
            committing.join()
        });
        let _ = stopped.await;
        let _ = farewell.send(true);
        let _ = tokio::time::timeout(FAREWELL, &mut linked).await;
        page.abort();
        anyhow::Ok(())
    })
}

/// The uplink: waits for an identity, then sends until told to leave.
async fn link(config: Config, hub: Arc<Hub>, spool: SpoolHandle, mut leaving: tokio::sync::watch::Receiver<bool>) {
    let state = config.state.clone();
    let mut told = false;
    let identity = loop {
        match Identity::load(&state) {
            Ok(identity) => break identity,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "not linked to a collector; what is seen waits in the spool");
                }
                hub.lock_link(|l| *l = LinkState::NotEnrolled(error.to_string()));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(ENROLMENT_LOOK) => {}
            _ = leaving.wait_for(|l| *l) => return,
        }
    };
    tracing::info!(agent = %identity.agent, collector = %identity.collector, "enrolled");
    hub.lock_link(|l| *l = LinkState::Enrolled);
    let config = UplinkConfig { collector: config.collector.address, state_dir: state, ..UplinkConfig::default() };
    let gone = async move {
        let _ = leaving.wait_for(|l| *l).await;
    };
    uplink::run(config, identity, spool, hub.link_status.clone(), gone).await;
}

async fn serve_page(listen: Listen, hub: Arc<Hub>) {
    if let Err(error) = metrics::serve(listen, hub).await {
        tracing::warn!(%error, "metrics are not served; the agent goes on without");
    }
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(THREAD_STACK)
        .spawn(body)
        .with_context(|| format!("cannot start thread {name}"))
}

enum LinkState {
    NotEnrolled(String),
    Enrolled,
}

/// What all threads share: where sensors' observations go, and what is known of the agent as a whole.
pub struct Hub {
    spool: SpoolHandle,
    edge: Mutex<Edge>,
    coverage: Mutex<BTreeMap<&'static str, Vec<Coverage>>>,
    link: Mutex<LinkState>,
    link_status: Arc<UplinkStatus>,
    metrics: Metrics,
    seen: Counters,
    lost: Counters,
    counts: Counters,
    faults: Counters,
    states: Gauges,
    hostname: String,
    own_paths: Vec<PathBuf>,
    collector: String,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    fn new(config: &Config, spool: SpoolHandle, metrics: Metrics) -> Self {
        let hostname = match config.hostname.as_str() {
            "" => std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            name => name.to_owned(),
        };
        let collector = match (config.collector.address.as_str(), Identity::load(&config.state)) {
            ("", Ok(identity)) => identity.collector,
            (address, _) => address.to_owned(),
        };
        Self {
            spool,
            edge: Mutex::new(Edge::new(&config.edge, &metrics)),
            coverage: Mutex::default(),
            link: Mutex::new(LinkState::NotEnrolled("not enrolled".to_owned())),
            link_status: Arc::default(),
            seen: metrics.counters("sensor", "events", "events the sensors saw", &["sensor", "class"]),
            lost: metrics.counters(
                "sensor",
                "observations_lost",
                "observations that are gone; declared to the collector",
                &["sensor", "reason"],
            ),
            counts: metrics.counters("sensor", "notes", "what a sensor counts of its own, by word", &["sensor", "what"]),
            faults: metrics.counters("sensor", "faults", "sensors that ended by an error or a panic", &["sensor"]),
            states: metrics.gauges("sensor", "subjects", "interfaces, files and folders by what is seen of them", &["sensor", "state"]),
            metrics,
            hostname,
            own_paths: vec![config.state.clone()],
            collector,
        }
    }

    fn take_edge(&self, config: &Config) {
        *locked(&self.edge) = Edge::new(&config.edge, &self.metrics);
    }

    fn lock_link(&self, change: impl FnOnce(&mut LinkState)) {
        change(&mut locked(&self.link));
    }

    fn facts(&self, sensor: &str, now: Timestamp) -> HostFacts {
        // A name is looked up once, at the start of a sensor: if it moves, the capture sees the uplink's own packets, no worse.
        let own_uplink = std::net::ToSocketAddrs::to_socket_addrs(&self.collector.as_str()).ok().and_then(|mut all| all.next());
        HostFacts {
            hostname: self.hostname.clone(),
            checkpoints: self.spool.checkpoints(sensor),
            own_paths: self.own_paths.clone(),
            own_uplink,
            now,
        }
    }

    fn state(&self, sensor: &'static str, rows: Vec<Coverage>) {
        for state in [CoverageState::Seeing, CoverageState::Partial, CoverageState::Blind, CoverageState::Off] {
            let count = rows.iter().filter(|r| r.state == state).count();
            self.states.with(&[sensor, state.name()]).set_int(count as u64);
        }
        locked(&self.coverage).insert(sensor, rows);
    }

    fn blind(&self, sensor: &'static str, state: CoverageState, reason: String) {
        self.state(sensor, vec![Coverage { sensor, subject: sensor.to_owned(), state, reason }]);
    }
}

impl AgentView for Hub {
    fn ledger(&self, class: Class) -> LedgerRow {
        self.spool.ledger(class)
    }
    fn coverage(&self) -> Vec<Coverage> {
        locked(&self.coverage).values().flatten().cloned().collect()
    }
    fn link(&self) -> String {
        match &*locked(&self.link) {
            LinkState::NotEnrolled(_) => return "not enrolled".to_owned(),
            LinkState::Enrolled => {}
        }
        let link = self.link_status.snapshot();
        if link.connected_since.is_some() { "connected".to_owned() } else { "not connected".to_owned() }
    }
    fn indicators(&self) -> (u64, u64) {
        let link = self.link_status.snapshot();
        (link.indicators_revision, link.indicators)
    }
}

impl Page for Hub {
    fn metrics(&self) -> String {
        self.spool.measure();
        let usage = crate::sensor::host::facts::Usage::read();
        self.metrics.gauge("process", "memory_bytes", "resident memory").set_int(usage.memory_bytes);
        self.metrics.counter("process", "cpu_milliseconds", "processor time used").raise_to(usage.cpu_ms);
        let link = self.link_status.snapshot();
        let now = clock::now();
        let age = |ns: i64| std::time::Duration::from_nanos(ns.max(0).unsigned_abs()).as_secs_f64();
        self.metrics.gauge("uplink", "connected", "1 while connected to the collector").set_int(u64::from(link.connected_since.is_some()));
        self.metrics.counter("uplink", "connects", "connections made").raise_to(link.connects);
        self.metrics.counter("uplink", "failures", "connections that failed or broke").raise_to(link.failures);
        self.metrics.counter("uplink", "batches", "batches sent").raise_to(link.batches_sent);
        self.metrics.counter("uplink", "bytes", "compressed bytes sent").raise_to(link.bytes_sent);
        if let Some(ns) = self.link_status.last_ack_age_ns(now) {
            self.metrics.gauge("uplink", "last_ack_age_seconds", "since the collector last acknowledged anything").set(age(ns));
        }
        if let Some(until) = link.certificate_not_after {
            self.metrics.gauge("uplink", "certificate_remaining_seconds", "until the certificate runs out").set(age(until.since(now)));
        }
        self.metrics.render()
    }

    fn healthy(&self) -> Result<String, String> {
        match self.spool.trouble() {
            None => Ok("healthy".to_owned()),
            Some(trouble) => Err(format!("spool cannot be written: {trouble}")),
        }
    }

    fn ready(&self) -> Result<String, String> {
        self.healthy()?;
        if let LinkState::NotEnrolled(why) = &*locked(&self.link) {
            return Err(why.clone());
        }
        let now = clock::now();
        match self.link_status.last_ack_age_ns(now) {
            Some(age) if age <= ACK_AGE_MAX_NS => Ok("ready".to_owned()),
            Some(age) => Err(format!("the collector has acknowledged nothing for {} s", age / event::SECOND_NS)),
            None => Err("the collector has acknowledged nothing yet".to_owned()),
        }
    }
}

/// The sensors that run, each with the section it was opened with.
struct Sensors {
    hub: Arc<Hub>,
    running: Vec<Running>,
}

struct Running {
    kind: &'static dyn SensorKind,
    section: toml::Table,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sensors {
    fn new(hub: Arc<Hub>) -> Self {
        Self { hub, running: Vec::new() }
    }

    /// Opens, closes and reopens, so that what runs is what the configuration says. A sensor whose section did not change runs on.
    fn apply(&mut self, config: &Config) {
        for kind in SENSORS {
            let name = kind.name();
            let wanted = config.section(*kind).ok().flatten();
            if let Some(at) = self.running.iter().position(|r| r.kind.name() == name) {
                if wanted.as_ref() == self.running.get(at).map(|r| &r.section)
                    && !self.running.get(at).is_some_and(|r| r.thread.is_finished())
                {
                    continue;
                }
                self.running.swap_remove(at).stop();
            }
            let Some(section) = wanted else {
                self.hub.blind(name, CoverageState::Off, "switched off in the configuration".to_owned());
                continue;
            };
            match start(self.hub.clone(), *kind, &section) {
                Ok((stop, thread)) => self.running.push(Running { kind: *kind, section, stop, thread }),
                Err(error) => self.hub.fault(name, &error.to_string()),
            }
        }
    }

    /// All but the host sensor at once, then that one: its word is the last.
    fn stop(&mut self) {
        for running in &self.running {
            if running.kind.name() != "host" {
                running.stop.store(true, Ordering::Relaxed);
            }
        }
        self.running.sort_by_key(|r| r.kind.name() == "host");
        self.running.drain(..).for_each(Running::stop);
    }
}

impl Running {
    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic was already caught and told inside the thread.
        let _ = self.thread.join();
    }
}

impl Hub {
    fn fault(&self, sensor: &'static str, reason: &str) {
        tracing::error!(sensor, reason, "sensor ended");
        self.faults.with(&[sensor]).inc();
        self.blind(sensor, CoverageState::Blind, reason.to_owned());
    }
}

/// Opens a sensor and gives it a thread. What can be seen of it is stated from the first moment.
fn start(hub: Arc<Hub>, kind: &'static dyn SensorKind, section: &toml::Table) -> Result<(Arc<AtomicBool>, JoinHandle<()>), SensorError> {
    let sensor = kind.open(section, &hub.facts(kind.name(), clock::now()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let body = move || {
        let mut intake = Intake::new(hub.clone(), kind.name());
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| watch(sensor, &mut intake, &asked)));
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => hub.fault(kind.name(), &chain(&error)),
            Err(panic) => {
                let what =
                    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("");
                // What it held without its position would come twice: a log is read again from there, other things are gone, and that is said.
                intake.group = Group::default();
                intake.lost(Class::Critical, 1, "sensor_fault");
                intake.flush();
                hub.fault(kind.name(), &format!("fault in the program: {what}; reload or restart the agent, and report this"));
            }
        }
    };
    let thread = spawn(kind.name(), body).map_err(|error| SensorError::new(error.to_string()))?;
    Ok((stop, thread))
}

fn chain(error: &SensorError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// One sensor's life.
fn watch(mut sensor: Box<dyn Sensor>, intake: &mut Intake, stop: &AtomicBool) -> Result<(), SensorError> {
    let mut stated: Option<Timestamp> = None;
    while !stop.load(Ordering::Relaxed) {
        intake.now = clock::now();
        let polled = sensor.poll(intake.now, POLL_WAIT, intake);
        intake.flush();
        polled?;
        let now = clock::now();
        if stated.is_none_or(|at| now.since(at) >= COVERAGE_NS || now < at) {
            let mut rows = Vec::new();
            sensor.coverage(&mut rows);
            intake.hub.state(intake.sensor, rows);
            stated = Some(now);
        }
    }
    intake.now = clock::now();
    sensor.close(intake.now, intake);
    intake.flush();
    Ok(())
}

/// A sensor's way to the spool: through the edge, encoded, in groups that end with a checkpoint.
struct Intake {
    hub: Arc<Hub>,
    sensor: &'static str,
    group: Group,
    now: Timestamp,
    seen: [telemetry::Counter; 3],
}

impl Intake {
    fn new(hub: Arc<Hub>, sensor: &'static str) -> Self {
        let seen = Class::ALL.map(|class| hub.seen.with(&[sensor, class.name()]));
        Self { hub, sensor, group: Group::default(), now: clock::now(), seen }
    }

    fn flush(&mut self) {
        self.hub.spool.append(&mut self.group, self.now);
    }
}

impl Output for Intake {
    fn event(&mut self, class: Class, event: event::Event) {
        if let Some(counter) = self.seen.get(class as usize) {
            counter.inc();
        }
        let set = self.hub.link_status.indicators();
        let passed = locked(&self.hub.edge).mark_and_pass(&set, class, event, self.now);
        if let Some((class, event)) = passed {
            self.group.event(class, &event);
        }
        if self.group.bytes() >= GROUP_BYTES_MAX {
            self.flush();
        }
    }

    fn checkpoint(&mut self, key: &str, value: &[u8]) {
        self.group.checkpoint(format!("{}/{key}", self.sensor), value);
        self.flush();
    }

    fn lost(&mut self, class: Class, count: u64, reason: &'static str) {
        self.hub.lost.with(&[self.sensor, reason]).add(count);
        self.group.lost(class, count, reason);
    }

    fn count(&mut self, what: &'static str, count: u64) {
        self.hub.counts.with(&[self.sensor, what]).add(count);
    }

    fn agent(&self) -> Option<&dyn AgentView> {
        Some(self.hub.as_ref())
    }
}

/// Enrols this host with what the collector gave.
pub fn enrol(state: &Path, invitation: &Invitation, replace: bool) -> Result<Identity, IdentityError> {
    make_folder(state).map_err(|source| IdentityError::File { what: "make", path: state.to_owned(), source })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| IdentityError::File { what: "start the runtime for", path: state.to_owned(), source })?;
    runtime.block_on(identity::enrol(state, invitation, replace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Event, Kind, LogSource};

    /// A sensor that gives one event with a checkpoint and then does as its name says.
    struct Odd(&'static str);
    static PANICS: Odd = Odd("panics");
    static FAILS: Odd = Odd("fails");
    static GOES_ON: Odd = Odd("goes_on");

    struct OddSensor(&'static str, u32);

    impl SensorKind for Odd {
        fn name(&self) -> &'static str {
            self.0
        }
        fn about(&self) -> &'static str {
            ""
        }
        fn fields(&self) -> &'static [event::Field] {
            &[]
        }
        fn sample(&self) -> &'static str {
            ""
        }
        fn check(&self, _section: &toml::Table) -> Result<(), String> {
            Ok(())
        }
        fn open(&self, _section: &toml::Table, host: &HostFacts) -> Result<Box<dyn Sensor>, SensorError> {
            Ok(Box::new(OddSensor(self.0, u32::try_from(host.checkpoints.len()).unwrap_or(0))))
        }
    }

    impl Sensor for OddSensor {
        fn poll(&mut self, now: Timestamp, _wait: Duration, out: &mut dyn Output) -> Result<(), SensorError> {
            self.1 += 1;
            if self.1 == 1 {
                out.event(Class::Normal, Event::new(now, Kind::LogActivity, 1, LogSource::new("", "", "odd")));
                out.checkpoint("at", b"1");
            }
            match self.0 {
                "panics" if self.1 > 1 => panic!("on purpose"),
                "fails" if self.1 > 1 => Err(SensorError::because("failed to look", std::io::Error::other("no eyes"))),
                _ => Ok(()),
            }
        }
        fn coverage(&self, out: &mut Vec<Coverage>) {
            out.push(Coverage { sensor: self.0, subject: "x".into(), state: CoverageState::Seeing, reason: String::new() });
        }
        fn close(&mut self, now: Timestamp, out: &mut dyn Output) {
            out.event(Class::Critical, Event::new(now, Kind::LogActivity, 1, LogSource::new("", "", "bye")));
        }
    }

    fn hub(dir: &Path) -> (Arc<Hub>, SpoolHandle) {
        let config = Config { state: dir.to_owned(), ..Config::default() };
        let metrics = Metrics::new("vedette_agent");
        let (spool, _) = SpoolHandle::open(&config.spool_folder(), 8 << 20, Timestamp::from_secs(1_000), &metrics).unwrap();
        (Arc::new(Hub::new(&config, spool.clone(), metrics)), spool)
    }

    #[test]
    fn a_sensor_that_ends_ends_alone_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let (hub, spool) = hub(dir.path());
        let table = toml::Table::new();
        let (stop, goes_on) = start(hub.clone(), &GOES_ON, &table).unwrap();
        for kind in [&PANICS, &FAILS] {
            start(hub.clone(), kind, &table).unwrap().1.join().unwrap();
        }
        assert!(!goes_on.is_finished());
        stop.store(true, Ordering::Relaxed);
        goes_on.join().unwrap();
        let reasons: Vec<(String, &str)> = hub.coverage().into_iter().map(|c| (c.reason, c.state.name())).collect();
        assert!(reasons.contains(&("failed to look: no eyes".to_owned(), "blind")), "{reasons:?}");
        assert!(reasons.iter().any(|(r, s)| r.starts_with("fault in the program: on purpose; ") && *s == "blind"), "{reasons:?}");
        assert!(reasons.contains(&(String::new(), "seeing")), "{reasons:?}");
        // The panic cost an unknown number of observations: declared as one gap. Each gave its event, the orderly one its last word.
        let (critical, normal) = (spool.ledger(Class::Critical), spool.ledger(Class::Normal));
        assert_eq!((critical.produced, critical.lost, critical.spooled), (2, 1, 1));
        assert_eq!((normal.produced, normal.spooled), (3, 3));
        let text = Page::metrics(hub.as_ref());
        assert!(text.contains("vedette_agent_sensor_faults_total{sensor=\"panics\"} 1\n"), "{text}");
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(
                name.starts_with("vedette_agent_") && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_'),
                "{name}"
            );
        }
        for line in text.lines().filter_map(|l| l.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        }
    }

    #[test]
    fn a_position_is_durable_with_the_events_before_it() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (hub, spool) = hub(dir.path());
            let mut intake = Intake::new(hub, "log");
            let event = || Event::new(Timestamp::ZERO, Kind::LogActivity, 1, LogSource::default());
            intake.event(Class::Normal, event());
            intake.checkpoint("/a", b"one");
            spool.commit().unwrap();
            intake.event(Class::Normal, event());
            intake.checkpoint("/a", b"two");
            intake.checkpoint("/b", b"x");
            // Dies here: the second event and its position were never committed.
        }
        let (hub, spool) = hub(dir.path());
        assert_eq!(hub.facts("log", Timestamp::ZERO).checkpoints, [("/a".to_owned(), b"one".to_vec())]);
        assert_eq!(hub.facts("lo", Timestamp::ZERO).checkpoints, []);
        let row = spool.ledger(Class::Normal);
        assert_eq!((row.produced, row.spooled, row.lost), (1, 1, 0));
    }

    #[test]
    fn two_agents_with_one_state_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (_hub, _spool) = hub(dir.path());
        let again = SpoolHandle::open(&dir.path().join("spool"), 8 << 20, Timestamp::ZERO, &Metrics::new("p"));
        assert!(matches!(again, Err(spool::OpenError::Locked)));
    }

    #[test]
    fn not_enrolled_is_not_ready_but_healthy() {
        let dir = tempfile::tempdir().unwrap();
        let (hub, _spool) = hub(dir.path());
        assert_eq!(hub.healthy(), Ok("healthy".to_owned()));
        assert_eq!(hub.ready(), Err("not enrolled".to_owned()));
        assert_eq!(hub.link(), "not enrolled");
    }
}
