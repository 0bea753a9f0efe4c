//! Owns rules, windows and alerts. Pure: no clock, no I/O after loading. Live traffic, replay and simulation all come through `step`.
//!
//! Events are taken one by one, each at the time it was received (`metadata.logged_time`, else `observed`, never past the step's `now`),
//! so how a stream is cut into batches changes nothing: the same events give byte-identical alerts with batches of 1 or 1,000.

use std::path::PathBuf;
use std::sync::Arc;

use correlate::{Limits, Windows};
use event::{AgentId, Event, Finding, Timestamp, field};
use rule::{Mappings, Options, RuleError, RuleSet};
use warning::{Change, Desk, DeskLimits, Judgement};

use crate::baseline::Baselines;
use crate::watch::{Liveness, Watch};

/// What one step gave. Reuse it: `clear` keeps the memory.
#[derive(Default)]
pub struct Outcome {
    pub findings: Vec<Finding>,
    pub changes: Vec<Change>,
    /// Events the engine itself made (an agent fell silent, a ledger does not add up); to be stored like any other, and not to
    /// be stepped again.
    pub events: Vec<Arc<Event>>,
}

impl Outcome {
    pub fn clear(&mut self) {
        self.findings.clear();
        self.changes.clear();
        self.events.clear();
    }
}

/// Where the rules lie.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Files or folders of Sigma YAML.
    pub rules: Vec<PathBuf>,
    /// Folder of field mappings.
    pub mappings: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub String);

/// How far the stages have come, in numbers that only rise, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineCounters {
    pub events: u64,
    pub findings: u64,
    pub windows: correlate::Counters,
    pub desk: warning::DeskCounters,
    /// Messages of control protocols that no baseline had room for.
    pub unlearned: u64,
}

pub struct Engine {
    rules: Arc<RuleSet>,
    windows: Windows,
    desk: Desk,
    watch: Watch,
    baselines: Baselines,
    now: Timestamp,
    events: u64,
    findings: u64,
    scratch: Vec<Finding>,
    own: Vec<Arc<Event>>,
}

impl Engine {
    /// Loads the rules. A bad rule is named in the second value (file, line, what, way out) and left out; the others run.
    pub fn load(options: &EngineOptions) -> Result<(Self, Vec<String>), EngineError> {
        Self::load_with(options, &Options::default())
    }

    /// The same with what rules leave open: placeholders, whether experimental ones are on trial.
    pub fn load_with(options: &EngineOptions, open: &Options) -> Result<(Self, Vec<String>), EngineError> {
        let rules = options.rules.iter().map(|path| (path, "rules"));
        for (path, what) in rules.chain(options.mappings.iter().map(|path| (path, "mappings"))) {
            if !path.exists() {
                return Err(EngineError(format!("{}: there is no such file or folder of {what}; name one with --{what}", path.display())));
            }
        }
        let mut problems: Vec<RuleError> = Vec::new();
        let mappings = match &options.mappings {
            Some(path) => {
                let (mappings, errors) = Mappings::load(std::slice::from_ref(path));
                problems.extend(errors);
                mappings
            }
            None => Mappings::none(),
        };
        let (rules, errors) = RuleSet::load(&options.rules, &mappings, open);
        problems.extend(errors);
        let (engine, errors) = Self::with_rules(rules);
        problems.extend(errors);
        Ok((engine, problems.iter().map(ToString::to_string).collect()))
    }

    /// An engine over rules already loaded; correlations that cannot be given meaning are named.
    pub fn with_rules(rules: impl Into<Arc<RuleSet>>) -> (Self, Vec<RuleError>) {
        let rules = rules.into();
        let (windows, errors) = Windows::new(rules.correlations(), rules.rules(), Limits::default());
        let engine = Self {
            rules,
            windows,
            desk: Desk::new(DeskLimits::default()),
            watch: Watch::default(),
            baselines: Baselines::default(),
            now: Timestamp::MIN,
            events: 0,
            findings: 0,
            scratch: Vec::new(),
            own: Vec::new(),
        };
        (engine, errors)
    }

    /// One step: events in the order they were received; `now` is when (the newest `received` of the batch, or the wall clock on an
    /// idle tick with an empty batch; tick at least once a second so that silence is seen). Never earlier than the last `now`.
    pub fn step(&mut self, batch: &[Arc<Event>], now: Timestamp, out: &mut Outcome) {
        for event in batch {
            self.pass(received(event, now), out);
            self.watch.observe(event, self.now, &mut self.own);
            self.baselines.observe(event, self.now, &mut self.own);
            self.judge(event, out);
            self.judge_own(out);
        }
        if now > self.now {
            self.pass(now, out);
            self.close(out);
        }
    }

    /// The end of a file: windows close, held-back updates go out.
    pub fn finish(&mut self, out: &mut Outcome) {
        self.scratch.clear();
        self.windows.finish(self.now, &mut self.scratch);
        self.assess(out);
        self.desk.finish(self.now, &mut out.changes);
    }

    /// Stored events that turn out to hold an indicator: only what the indicator's facts make match becomes an alert, at the event's
    /// own time. Windows are left alone: what they counted then stays counted.
    pub fn hindsight(&mut self, events: &[Arc<Event>], now: Timestamp, out: &mut Outcome) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for event in events {
            let mut bare = (**event).clone();
            for fact in indicator::FACTS {
                bare.body.remove(&fact.into());
            }
            before.clear();
            after.clear();
            self.rules.detect(&Arc::new(bare), &mut before);
            self.rules.detect(event, &mut after);
            after.retain(|late| !before.iter().any(|f: &Finding| f.rule.id == late.rule.id));
            self.scratch.append(&mut after);
        }
        self.now = self.now.max(now);
        self.assess(out);
        self.scratch.clear();
    }

    /// A person judged an alert.
    pub fn apply(&mut self, judgement: &Judgement) {
        self.desk.apply(judgement);
    }
    /// What is usual on control networks.
    pub fn baselines(&mut self) -> &mut Baselines {
        &mut self.baselines
    }
    pub fn agents(&self) -> impl Iterator<Item = Liveness> {
        self.watch.agents()
    }
    pub fn forget(&mut self, agent: AgentId) {
        self.watch.forget(agent);
    }
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }
    /// The same, to be kept by those who explain.
    pub fn shared_rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.rules)
    }
    pub fn counters(&self) -> EngineCounters {
        EngineCounters {
            events: self.events,
            findings: self.findings,
            windows: self.windows.counters(),
            desk: self.desk.counters(),
            unlearned: self.baselines.unlearned(),
        }
    }
    /// Stations of control protocols, frozen ones of them, deviations that nobody allowed.
    pub fn baselines_held(&self) -> [usize; 3] {
        self.baselines.held()
    }
    /// About how many bytes the windows take.
    pub fn window_bytes(&self) -> usize {
        self.windows.bytes()
    }
    /// Groups and entries in windows, and open alerts.
    pub fn held(&self) -> (usize, usize, usize) {
        let (groups, entries) = self.windows.held();
        (groups, entries, self.desk.open_count())
    }

    /// Everything a restart needs besides the rules: windows, open alerts, liveness, baselines. Stored together with the offset it stands for.
    pub fn save(&self) -> Vec<u8> {
        let watch = serde_json::to_vec(&self.watch).unwrap_or_default();
        let baselines = serde_json::to_vec(&self.baselines).unwrap_or_default();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.now.ns().to_le_bytes());
        for part in [self.windows.save(), self.desk.save(), watch, baselines] {
            out.extend_from_slice(&(part.len() as u64).to_le_bytes());
            out.extend_from_slice(&part);
        }
        let sum = blake3::hash(&out);
        out.extend_from_slice(sum.as_bytes());
        out
    }

    /// Takes a saved state back; windows of rules that mean something else now are left out. `now` is the time of the restart:
    /// what passed in between is nobody's silence. On an error the engine is as it was.
    pub fn restore(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), EngineError> {
        let bad = |what: &str| EngineError(format!("read the engine's saved state: {what}"));
        let (body, sum) = bytes.split_last_chunk::<32>().ok_or_else(|| bad("too short"))?;
        if blake3::hash(body).as_bytes() != sum {
            return Err(bad("the checksum does not fit"));
        }
        let rest = body.strip_prefix(MAGIC).ok_or_else(|| bad("not a state of this version"))?;
        let (time, mut rest) = rest.split_first_chunk::<8>().ok_or_else(|| bad("ends early"))?;
        let mut part = || {
            let (len, after) = rest.split_first_chunk::<8>()?;
            let (head, tail) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
            rest = tail;
            Some(head)
        };
        let (windows, desk, watch) = part().and_then(|w| Some((w, part()?, part()?))).ok_or_else(|| bad("ends early"))?;
        // States saved before there were baselines have three parts.
        let baselines: Baselines = match part() {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|_| bad("the baselines are unreadable"))?,
            None => Baselines::default(),
        };
        let desk = Desk::load(DeskLimits::default(), desk).map_err(|e| EngineError(e.to_string()))?;
        let mut watch: Watch = serde_json::from_slice(watch).map_err(|_| bad("the watch is unreadable"))?;
        self.windows.load(windows, now).map_err(|e| EngineError(e.to_string()))?;
        watch.resumed(now);
        self.desk = desk;
        self.watch = watch;
        self.baselines = baselines;
        self.now = Timestamp::from_ns(i64::from_le_bytes(*time));
        Ok(())
    }

    /// Takes over from an engine with other rules, between two steps: windows of rules that mean the same, open alerts, who was heard
    /// when, and the numbers counted. Returns how many groups were left out. On an error nothing of the old is changed.
    pub fn inherit(&mut self, old: &Self) -> Result<usize, EngineError> {
        let desk = Desk::load(DeskLimits::default(), &old.desk.save()).map_err(|e| EngineError(e.to_string()))?;
        let left_out = self.windows.inherit(&old.windows).map_err(|e| EngineError(e.to_string()))?;
        self.desk = desk;
        self.watch = old.watch.clone();
        self.baselines = old.baselines.inherited();
        (self.now, self.events, self.findings) = (old.now, old.events, old.findings);
        Ok(left_out)
    }

    /// Time moves to `now`: who fell silent, which alert has something held back.
    fn pass(&mut self, now: Timestamp, out: &mut Outcome) {
        self.now = self.now.max(now);
        self.watch.tick(self.now, &mut self.own);
        self.judge_own(out);
        self.desk.tick(self.now, &mut out.changes);
    }

    /// Event → Finding → Finding → Alert.
    fn judge(&mut self, event: &Arc<Event>, out: &mut Outcome) {
        self.events += 1;
        self.scratch.clear();
        self.rules.detect(event, &mut self.scratch);
        self.windows.saw(event, self.now);
        self.windows.correlate(self.now, &mut self.scratch);
        self.assess(out);
    }

    fn judge_own(&mut self, out: &mut Outcome) {
        let mut own = std::mem::take(&mut self.own);
        for event in &own {
            self.judge(event, out);
        }
        out.events.append(&mut own);
        self.own = own;
    }

    /// Windows close although nothing arrived.
    fn close(&mut self, out: &mut Outcome) {
        self.scratch.clear();
        self.windows.correlate(self.now, &mut self.scratch);
        self.assess(out);
    }

    fn assess(&mut self, out: &mut Outcome) {
        self.desk.assess(self.now, &self.scratch, &mut out.changes);
        self.findings += self.scratch.len() as u64;
        out.findings.append(&mut self.scratch);
    }
}

const MAGIC: &[u8] = b"VENG\x01\x00";

/// When an event arrived.
fn received(event: &Event, now: Timestamp) -> Timestamp {
    let stated = event.get(field::RECEIVED_TIME).and_then(event::Value::as_int).map_or(event.observed, Timestamp::from_ms);
    stated.min(now)
}
