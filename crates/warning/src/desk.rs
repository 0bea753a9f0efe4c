//! Findings → alerts: which findings are one thing to a person, what that thing has grown to, and when to say so.
//!
//! * A finding joins the open alert of the same rule and group key if its time lies within the quiet time of what the alert
//!   covers; else it opens a new one. The group key is what the rule says (`group_by`), else source and destination address, else the host.
//! * What a correlation tells again of the same run joins its alert for as long as the run can go on, its window past the quiet time: the
//!   last word on a day-long attack is no new alert.
//! * `Opened` goes out at once. `Updated` goes out at once when somebody new is concerned, a new reason appears, the severity
//!   rises or the count has doubled; else at most once a second, and the last state always goes out (`tick`).
//! * An alert that a person closed takes in only evidence from before it was closed; later findings open a new one.
//! * The same findings at the same times give the same alerts, ids included, on any machine.
//! * Bounded: alerts held open, parties, reasons and evidence of each. What is past a bound is left out of the list and still counted.

use std::collections::BTreeMap;

use event::{EventId, Field, Finding, Reason, RuleMeta, SECOND_NS, Timestamp, Value, field};
use serde::{Deserialize, Serialize};

use crate::alert::{FLAWS_MAX, flaws_in};
use crate::{Alert, AlertId, AlertReason, AlertState, CloseReason, UnitRef};

/// Entries of each party list of an alert.
pub const PARTIES_MAX: usize = 32;
/// Reasons of an alert.
pub const REASONS_MAX: usize = 16;

/// What happened to an alert. The alert inside is complete; `state`, `owner` and `close_reason` are as the desk last heard
/// from `apply`, so a store keeps its own words for those three and takes the rest.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Opened(Alert),
    Updated(Alert),
}

impl Change {
    pub fn alert(&self) -> &Alert {
        match self {
            Self::Opened(a) | Self::Updated(a) => a,
        }
    }
}

/// A person's word on an alert, told to the desk after the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    pub alert: AlertId,
    pub state: AlertState,
    pub owner: Option<String>,
    pub close_reason: Option<CloseReason>,
    /// Revision the store gave the alert with this judgement.
    pub revision: u64,
    pub time: Timestamp,
}

#[derive(Debug, Clone, Copy)]
pub struct DeskLimits {
    /// An alert takes in findings until this much time has passed without one.
    pub quiet_s: u32,
    /// Alerts held open at once; past it the one quiet for longest is let go (it stays in the store; findings to come open a new one).
    pub open_max: usize,
}

impl Default for DeskLimits {
    fn default() -> Self {
        Self { quiet_s: 3600, open_max: 50_000 }
    }
}

/// Numbers that only rise: `findings = opened + joined`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeskCounters {
    pub findings: u64,
    /// Findings of rules that raise no alert of their own.
    pub silent: u64,
    pub opened: u64,
    pub joined: u64,
    pub updated: u64,
    /// Alerts let go because the limit was reached, not because they were quiet.
    pub let_go: u64,
}

/// Bytes that are no saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read the saved state of the desk: {0}")]
pub struct StateError(pub &'static str);

/// All open alerts.
pub struct Desk {
    limits: DeskLimits,
    /// By rule id and group key; usually one each, more only where a backlog brings old findings beside new ones.
    open: BTreeMap<String, Vec<Open>>,
    /// When to look at an alert again: a held-back update, or the end of its quiet time.
    due: BTreeMap<(i64, u64), String>,
    serial: u64,
    held: usize,
    counters: DeskCounters,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    alert: Alert,
    serial: u64,
    /// Arrival time of the newest finding.
    touched: i64,
    /// When and with how many events it was last told.
    told: i64,
    told_count: u64,
    dirty: bool,
    closed: Option<i64>,
    evidence: Vec<(i64, String)>,
    /// Where it stands in `due`.
    due: i64,
    /// How much longer than the quiet time it is held for what is told again: the window of its rule, nanoseconds.
    #[serde(default)]
    window: i64,
}

const SAME_KEY_MAX: usize = 4;
const HOLD_NS: i64 = SECOND_NS;
/// The longest window an alert is held for.
const WINDOW_MAX_S: i64 = 48 * 3600;

impl Desk {
    pub fn new(limits: DeskLimits) -> Self {
        Self { limits, open: BTreeMap::new(), due: BTreeMap::new(), serial: 0, held: 0, counters: DeskCounters::default() }
    }

    /// Groups findings; appends what changed. `now` is the time of arrival and never goes back.
    pub fn assess(&mut self, now: Timestamp, findings: &[Finding], changes: &mut Vec<Change>) {
        for finding in findings {
            if !finding.rule.alerts {
                self.counters.silent += 1;
                continue;
            }
            self.counters.findings += 1;
            self.take(now.ns(), finding, changes);
        }
    }

    fn take(&mut self, now: i64, finding: &Finding, changes: &mut Vec<Change>) {
        let (from, to) = finding.span.map_or((finding.time.ns(), finding.time.ns()), |s| (s.from.ns(), s.to.ns()));
        let quiet = self.quiet_ns();
        let key = group_key(finding);
        let name = format!("{}\u{1f}{}", finding.rule.id, key_text(&key));
        let slot = self.open.entry(name.clone()).or_default();
        let again = told_again(finding);
        let joins = |o: &Open| {
            from <= o.alert.last_time.saturating_add(if again { quiet + o.window } else { quiet })
                && to >= o.alert.first_time.saturating_sub(quiet)
                && o.closed.is_none_or(|closed| to <= closed)
        };
        let place = if again { slot.iter().rposition(joins) } else { slot.iter().position(joins) };
        if let Some(at) = place {
            let open = &mut slot[at];
            self.counters.joined += 1;
            let old = open.due;
            if open.grow(now, finding, from, to) || now.saturating_sub(open.told) >= HOLD_NS {
                open.tell(now, quiet);
                self.counters.updated += 1;
                changes.push(Change::Updated(open.alert.clone()));
            } else {
                open.dirty = true;
                open.due = open.told.saturating_add(HOLD_NS);
            }
            if open.due != old {
                self.due.remove(&(old, open.serial));
                self.due.insert((open.due, open.serial), name);
            }
            return;
        }
        self.serial += 1;
        let mut open = Open::new(self.serial, now, finding, key, from);
        open.grow(now, finding, from, to);
        open.tell(now, quiet);
        self.counters.opened += 1;
        changes.push(Change::Opened(open.alert.clone()));
        self.due.insert((open.due, open.serial), name.clone());
        if slot.len() >= SAME_KEY_MAX {
            let gone = slot.remove(0);
            self.due.remove(&(gone.due, gone.serial));
            self.held -= 1;
        }
        slot.push(open);
        self.held += 1;
        self.make_room();
    }

    /// Time passes: held-back updates that are due go out, quiet alerts are let go.
    pub fn tick(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        while let Some(entry) = self.due.first_entry().filter(|e| e.key().0 <= now.ns()) {
            let serial = entry.key().1;
            let name = entry.remove();
            self.look(now.ns(), serial, &name, false, changes);
        }
    }

    /// Says whatever is held back, as at the end of a file.
    pub fn finish(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        let all: Vec<(u64, String)> = std::mem::take(&mut self.due).into_iter().map(|((_, serial), name)| (serial, name)).collect();
        for (serial, name) in all {
            self.look(now.ns(), serial, &name, true, changes);
        }
    }

    fn look(&mut self, now: i64, serial: u64, name: &str, at_once: bool, changes: &mut Vec<Change>) {
        let quiet = self.quiet_ns();
        let Some(slot) = self.open.get_mut(name) else { return };
        let Some(at) = slot.iter().position(|o| o.serial == serial) else { return };
        let open = &mut slot[at];
        if open.dirty && (at_once || now.saturating_sub(open.told) >= HOLD_NS) {
            open.tell(now, quiet);
            self.counters.updated += 1;
            changes.push(Change::Updated(open.alert.clone()));
        }
        if now >= open.over(quiet) && !open.dirty {
            slot.remove(at);
            self.held -= 1;
            if slot.is_empty() {
                self.open.remove(name);
            }
        } else {
            open.due = if open.dirty { open.told.saturating_add(HOLD_NS) } else { open.over(quiet) };
            self.due.insert((open.due, serial), name.to_owned());
        }
    }

    /// A person judged an alert. One the desk no longer holds needs nothing.
    pub fn apply(&mut self, judgement: &Judgement) {
        let Some(open) = self.open.values_mut().flatten().find(|o| o.alert.id == judgement.alert) else { return };
        open.alert.state = judgement.state;
        open.alert.owner.clone_from(&judgement.owner);
        open.alert.close_reason = judgement.close_reason;
        open.alert.revision = open.alert.revision.max(judgement.revision);
        open.closed = (judgement.state == AlertState::Closed).then_some(judgement.time.ns());
    }

    pub fn open_count(&self) -> usize {
        self.held
    }
    pub fn counters(&self) -> DeskCounters {
        self.counters
    }

    fn quiet_ns(&self) -> i64 {
        i64::from(self.limits.quiet_s) * SECOND_NS
    }

    /// Lets the alert quiet for longest go where too many are open. Nothing is lost but the chance to add to it.
    fn make_room(&mut self) {
        if self.held <= self.limits.open_max {
            return;
        }
        let mut all: Vec<(i64, u64, String)> = self
            .open
            .iter()
            .flat_map(|(name, slot)| slot.iter().filter(|o| !o.dirty).map(|o| (o.touched, o.serial, name.clone())))
            .collect();
        all.sort_unstable();
        for (_, serial, name) in all.into_iter().take((self.limits.open_max / 16).max(1)) {
            let Some(slot) = self.open.get_mut(&name) else { continue };
            let Some(at) = slot.iter().position(|o| o.serial == serial) else { continue };
            let gone = slot.remove(at);
            self.due.remove(&(gone.due, gone.serial));
            self.held -= 1;
            self.counters.let_go += 1;
            if slot.is_empty() {
                self.open.remove(&name);
            }
        }
    }

    /// The open alerts as bytes: a checksum, then JSON.
    pub fn save(&self) -> Vec<u8> {
        let saved = Saved { version: VERSION, serial: self.serial, open: self.open.clone() };
        let json = serde_json::to_vec(&saved).unwrap_or_default();
        let mut out = blake3::hash(&json).as_bytes().to_vec();
        out.extend_from_slice(&json);
        out
    }

    pub fn load(limits: DeskLimits, bytes: &[u8]) -> Result<Self, StateError> {
        let (sum, json) = bytes.split_first_chunk::<32>().ok_or(StateError("too short"))?;
        if blake3::hash(json).as_bytes() != sum {
            return Err(StateError("the checksum does not fit"));
        }
        let saved: Saved = serde_json::from_slice(json).map_err(|_| StateError("not a state of this version"))?;
        if saved.version != VERSION {
            return Err(StateError("not a state of this version"));
        }
        let mut desk = Self::new(limits);
        desk.serial = saved.serial;
        for (name, slot) in &saved.open {
            desk.held += slot.len();
            desk.due.extend(slot.iter().map(|o| ((o.due, o.serial), name.clone())));
        }
        desk.open = saved.open;
        Ok(desk)
    }
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    serial: u64,
    open: BTreeMap<String, Vec<Open>>,
}

const VERSION: u32 = 1;

/// Flaws a rule names, and those among the values it groups by.
fn flaws_of(rule: &RuleMeta, key: &BTreeMap<String, String>) -> Vec<String> {
    let mut flaws: Vec<String> = Vec::new();
    let texts = rule.tags.iter().chain([&rule.title, &rule.description]).chain(key.values());
    for flaw in texts.flat_map(|text| flaws_in(text)) {
        if flaws.len() < FLAWS_MAX && !flaws.contains(&flaw) {
            flaws.push(flaw);
        }
    }
    flaws
}

impl Open {
    fn new(serial: u64, now: i64, finding: &Finding, key: BTreeMap<String, String>, from: i64) -> Self {
        let rule = &finding.rule;
        let id = alert_id(&rule.id, &key, from);
        let alert = Alert {
            id,
            rule_id: rule.id.clone(),
            title: rule.title.clone(),
            title_zh: rule.title_zh.clone(),
            description: rule.description.clone(),
            severity_id: rule.severity as u8,
            state: AlertState::New,
            owner: None,
            close_reason: None,
            first_time: from,
            last_time: from,
            opened_time: now,
            updated_time: now,
            finding_count: 0,
            event_count: 0,
            techniques: rule.techniques.clone(),
            tactics: rule.tactics.clone(),
            flaws: flaws_of(rule, &key),
            source_ips: Vec::new(),
            target_ips: Vec::new(),
            users: Vec::new(),
            hosts: Vec::new(),
            units: Vec::new(),
            reasons: Vec::new(),
            evidence: Vec::new(),
            group_key: key,
            revision: 0,
        };
        let window = argument(finding, "window_s").and_then(Value::as_int).unwrap_or(0).clamp(0, WINDOW_MAX_S) * SECOND_NS;
        Self { alert, serial, touched: now, told: now, told_count: 0, dirty: false, closed: None, evidence: Vec::new(), due: now, window }
    }

    /// When it takes in nothing any more.
    fn over(&self, quiet: i64) -> i64 {
        self.touched.saturating_add(quiet).saturating_add(self.window)
    }

    /// Counts a finding in; true if it is worth saying at once.
    fn grow(&mut self, now: i64, finding: &Finding, from: i64, to: i64) -> bool {
        let a = &mut self.alert;
        self.touched = self.touched.max(now);
        a.first_time = a.first_time.min(from);
        a.last_time = a.last_time.max(to);
        a.updated_time = now;
        a.finding_count += 1;
        a.event_count = a.event_count.saturating_add(finding.count);
        let mut notable = self.told_count > 0 && a.event_count >= self.told_count.saturating_mul(2);
        let severity = finding.rule.severity as u8;
        if severity > a.severity_id {
            a.severity_id = severity;
            notable = true;
        }
        notable |= gather(finding, &[field::SRC_IP, field::ARP_SENDER_IP], &mut a.source_ips);
        notable |= gather(finding, &[field::DST_IP], &mut a.target_ips);
        notable |= gather(finding, &[field::USER_NAME], &mut a.users);
        notable |= gather(finding, &[field::ACTOR_USER], &mut a.users);
        notable |= gather(finding, &[field::ALERT_HOST, field::DEVICE_HOSTNAME, field::AGENT_ID], &mut a.hosts);
        notable |= add_units(finding, &mut a.units);
        notable |= add_reasons(finding, &mut a.reasons);
        for e in &finding.evidence {
            self.add_evidence(e.time.ns(), e.id);
        }
        notable
    }

    /// Keeps the first and the newest.
    fn add_evidence(&mut self, time: i64, id: EventId) {
        let entry = (time, id.to_string());
        let at = self.evidence.partition_point(|e| *e < entry);
        if self.evidence.get(at) == Some(&entry) {
            return;
        }
        self.evidence.insert(at, entry);
        if self.evidence.len() > event::EVIDENCE_MAX {
            self.evidence.remove(event::EVIDENCE_MAX / 2);
        }
    }

    fn tell(&mut self, now: i64, quiet: i64) {
        self.alert.revision += 1;
        self.alert.evidence = self.evidence.iter().map(|(_, id)| id.clone()).collect();
        self.told = now;
        self.told_count = self.alert.event_count;
        self.dirty = false;
        self.due = self.over(quiet);
    }
}

fn argument<'a>(finding: &'a Finding, name: &str) -> Option<&'a Value> {
    finding.reasons.iter().flat_map(|r| &r.args).find(|(n, _)| n == name).map(|(_, v)| v)
}

/// Whether a correlation has told of the same run before.
fn told_again(finding: &Finding) -> bool {
    finding.span.is_some() && argument(finding, "again").is_some()
}

/// The values that make findings one alert.
fn group_key(finding: &Finding) -> BTreeMap<String, String> {
    let mut key = BTreeMap::new();
    for name in &finding.rule.group_by {
        put(&mut key, name, finding.get_name(&event::Name::from(name.as_str())));
    }
    if key.is_empty() && finding.span.is_none() {
        for field in [field::SRC_IP, field::DST_IP] {
            put(&mut key, field.name(), finding.get(field));
        }
    }
    if key.is_empty() && finding.span.is_none() {
        let host = [field::DEVICE_HOSTNAME, field::AGENT_ID].into_iter().find(|f| finding.get(*f).is_some());
        if let Some(host) = host {
            put(&mut key, host.name(), finding.get(host));
        }
    }
    key
}

fn put(key: &mut BTreeMap<String, String>, name: &str, value: Option<&Value>) {
    if let Some(value) = value.filter(|v| !matches!(v, Value::Null)) {
        key.insert(name.to_owned(), value.to_text().chars().take(256).collect());
    }
}

fn key_text(key: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in key {
        text.push_str(&format!("{}:{name}{}:{value}", name.len(), value.len()));
    }
    text
}

fn alert_id(rule: &str, key: &BTreeMap<String, String>, from: i64) -> AlertId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(rule.as_bytes());
    hasher.update(&[0]);
    hasher.update(key_text(key).as_bytes());
    hasher.update(&from.to_le_bytes());
    AlertId(format!("A{}", &hasher.finalize().to_hex()[..16]))
}

/// Adds the values of the first field that is present; true if one is new.
fn gather(finding: &Finding, fields: &[Field], into: &mut Vec<String>) -> bool {
    let Some(value) = fields.iter().find_map(|f| finding.get(*f)) else { return false };
    let mut news = false;
    let mut add = |value: &Value| {
        let text = value.to_text();
        if !text.is_empty() && into.len() < PARTIES_MAX && !into.iter().any(|held| *held == *text) {
            into.push(text.into_owned());
            news = true;
        }
    };
    match value {
        Value::List(list) => list.iter().for_each(&mut add),
        one => add(one),
    }
    news
}

fn add_units(finding: &Finding, into: &mut Vec<UnitRef>) -> bool {
    let nth = |field: Field, n: usize| match finding.get(field) {
        Some(Value::List(list)) => list.get(n).map(|v| v.to_text().into_owned()).unwrap_or_default(),
        Some(value) => value.to_text().into_owned(),
        None => String::new(),
    };
    let count = match finding.get(field::UNIT_ID) {
        Some(Value::List(list)) => list.len(),
        Some(_) => 1,
        None => 0,
    };
    let mut news = false;
    for n in 0..count {
        let id = nth(field::UNIT_ID, n);
        if !id.is_empty() && into.len() < PARTIES_MAX && !into.iter().any(|u| u.id == id) {
            into.push(UnitRef { id, name: nth(field::UNIT_NAME, n), sector: nth(field::UNIT_SECTOR, n) });
            news = true;
        }
    }
    news
}

/// Takes over the newest state of each reason; true if one is new in kind. A plain rule's matches become reasons.
fn add_reasons(finding: &Finding, into: &mut Vec<AlertReason>) -> bool {
    let mut news = false;
    let mut add = |reason: &Reason| {
        let stored = AlertReason {
            id: reason.id.to_string(),
            args: reason.args.iter().filter(|(n, _)| n != "again").map(|(n, v)| (n.to_string(), json(v))).collect(),
        };
        let same = |r: &AlertReason| r.id == stored.id && r.args.get("field") == stored.args.get("field");
        match into.iter().position(same) {
            Some(at) => into[at] = stored,
            None if into.len() < REASONS_MAX => {
                into.push(stored);
                news = true;
            }
            None => {}
        }
    };
    finding.reasons.iter().for_each(&mut add);
    if !finding.reasons.iter().any(|r| r.id == "matched") {
        for m in finding.matches.iter().take(REASONS_MAX / 2) {
            let value: String = m.value.to_text().chars().take(256).collect();
            add(&Reason::new("matched").arg("field", m.field.as_str()).arg("value", value).arg("pattern", m.pattern.as_str()));
        }
    }
    if let Some(importance) = finding.get(field::OBJECT_IMPORTANCE).and_then(Value::as_int).filter(|n| *n >= 2) {
        add(&Reason::new("important_object").arg("importance", importance));
    }
    news
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(n) => (*n).into(),
        Value::Float(x) => (*x).into(),
        Value::Bool(b) => (*b).into(),
        Value::List(list) => list.iter().map(json).collect::<Vec<_>>().into(),
        Value::Text(_) | Value::Ip(_) | Value::Bytes(_) => value.to_text().into_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use event::{AgentId, Class, Epoch, Event, Evidence, Fields, Kind, LogSource, RuleMeta, Severity};

    use super::*;

    fn rule(alerts: bool, group_by: &[&str]) -> Arc<RuleMeta> {
        Arc::new(RuleMeta {
            id: "r".into(),
            name: None,
            title: "t".into(),
            title_zh: "题".into(),
            description: "d".into(),
            severity: Severity::High,
            techniques: vec!["T1110".into()],
            tactics: vec![],
            tags: vec![],
            author: String::new(),
            path: String::new(),
            alerts,
            shadow: false,
            group_by: group_by.iter().map(|g| (*g).into()).collect(),
        })
    }

    fn finding(rule: &Arc<RuleMeta>, ms: i64, source: u8, user: &str) -> Finding {
        let mut event = Event::new(Timestamp::from_ms(ms), Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
            .with(field::SRC_IP, std::net::IpAddr::from([10, 0, 0, source]))
            .with(field::USER_NAME, user);
        event.id = EventId { agent: AgentId(1), epoch: Epoch(1), class: Class::Critical, seq: ms as u64 };
        Finding {
            rule: Arc::clone(rule),
            time: event.time,
            evidence: vec![Evidence { id: event.id, time: event.time }],
            event: Some(Arc::new(event)),
            facts: Fields::new(),
            span: None,
            matches: vec![],
            reasons: vec![],
            count: 1,
        }
    }

    fn run(desk: &mut Desk, findings: &[Finding]) -> Vec<Change> {
        let mut changes = Vec::new();
        for f in findings {
            desk.tick(f.time, &mut changes);
            desk.assess(f.time, std::slice::from_ref(f), &mut changes);
        }
        changes
    }

    #[test]
    fn findings_about_the_same_parties_are_one_alert_until_it_is_quiet() {
        let rule = rule(true, &["src_endpoint.ip"]);
        let mut desk = Desk::new(DeskLimits::default());
        let far = 3_600_000 + 10_000;
        let all = [
            finding(&rule, 1_000, 1, "a"),
            finding(&rule, 9_000, 1, "b"),
            finding(&rule, 9_100, 2, "a"),
            finding(&rule, 9_000 + far, 1, "a"),
        ];
        let changes = run(&mut desk, &all);
        let ids: Vec<&AlertId> = changes.iter().filter(|c| matches!(c, Change::Opened(_))).map(|c| &c.alert().id).collect();
        assert_eq!(ids.len(), 3);
        assert_ne!(ids[0], ids[2], "after the quiet time it is a new alert");
        let joined = changes.iter().find(|c| matches!(c, Change::Updated(_))).unwrap().alert();
        assert_eq!((joined.event_count, joined.users.as_slice()), (2, ["a".to_owned(), "b".to_owned()].as_slice()));
        assert_eq!(joined.revision, 2);
        assert_eq!(desk.counters().opened + desk.counters().joined, desk.counters().findings);
    }

    #[test]
    fn what_is_told_again_joins_its_alert_for_as_long_as_the_window_lasts() {
        let rule = rule(true, &["src_endpoint.ip"]);
        let hour = 3_600_000;
        let telling = |ms: i64, again: bool| {
            let mut f = finding(&rule, ms, 1, "a");
            f.span = Some(event::Span { from: Timestamp::from_ms(ms), to: Timestamp::from_ms(ms) });
            let reason = Reason::new("stages_reached").arg("window_s", 24 * 3600);
            f.reasons = vec![if again { reason.arg("again", true) } else { reason }];
            f
        };
        let told = |all: &[Finding]| -> (usize, u64, usize) {
            let mut desk = Desk::new(DeskLimits::default());
            let changes = run(&mut desk, all);
            let opened = changes.iter().filter(|c| matches!(c, Change::Opened(_))).count();
            let mut rest = Vec::new();
            desk.tick(Timestamp::from_ms(51 * hour), &mut rest);
            (opened, desk.counters().joined, desk.open_count())
        };
        assert_eq!(told(&[telling(hour, false), telling(20 * hour, true)]), (1, 1, 0), "the end of the same run");
        assert_eq!(told(&[telling(hour, false), telling(27 * hour, true)]), (2, 0, 1), "past the window and the quiet time");
        assert_eq!(told(&[telling(hour, false), telling(20 * hour, false)]), (2, 0, 0), "another run");
        assert_eq!(told(&[telling(hour, false), telling(20 * hour, false), telling(22 * hour, true)]), (2, 1, 0));
    }

    #[test]
    fn a_storm_is_told_once_a_second_and_its_last_state_always() {
        let rule = rule(true, &[]);
        let mut desk = Desk::new(DeskLimits::default());
        let storm: Vec<Finding> = (0..10_000).map(|n| finding(&rule, 1_000 + n, 1, "a")).collect();
        let mut changes = run(&mut desk, &storm);
        assert!(changes.len() < 30, "{}", changes.len());
        desk.finish(Timestamp::from_secs(12), &mut changes);
        let last = changes.last().unwrap().alert();
        assert_eq!((last.event_count, last.finding_count, last.evidence.len()), (10_000, 10_000, event::EVIDENCE_MAX));
        assert!(last.evidence[0].ends_with("-1000") && last.evidence[31].ends_with("-10999"), "{:?}", last.evidence);
    }

    #[test]
    fn a_rule_that_only_feeds_others_raises_no_alert() {
        let mut desk = Desk::new(DeskLimits::default());
        assert!(run(&mut desk, &[finding(&rule(false, &[]), 1, 1, "a")]).is_empty());
        assert_eq!(desk.counters().silent, 1);
    }

    #[test]
    fn after_a_person_closed_it_only_what_is_new_opens_another() {
        let rule = rule(true, &["src_endpoint.ip"]);
        let mut desk = Desk::new(DeskLimits::default());
        let first = run(&mut desk, &[finding(&rule, 10_000, 1, "a")]);
        let id = first[0].alert().id.clone();
        desk.apply(&Judgement {
            alert: id.clone(),
            state: AlertState::Closed,
            owner: Some("li".into()),
            close_reason: Some(CloseReason::FalsePositive),
            revision: 2,
            time: Timestamp::from_secs(20),
        });
        let late = run(&mut desk, &[finding(&rule, 12_000, 1, "b")]);
        assert!(matches!(&late[0], Change::Updated(a) if a.id == id && a.revision == 3 && a.owner.as_deref() == Some("li")));
        let relapse = run(&mut desk, &[finding(&rule, 30_000, 1, "a")]);
        assert!(matches!(&relapse[0], Change::Opened(a) if a.id != id && a.state == AlertState::New));
    }

    #[test]
    fn saved_and_loaded_it_goes_on_as_before() {
        let rule = rule(true, &[]);
        let all: Vec<Finding> = (0..40).map(|n| finding(&rule, 1_000 + n * 300, (n % 3) as u8, "a")).collect();
        let whole = run(&mut Desk::new(DeskLimits::default()), &all);
        let mut desk = Desk::new(DeskLimits::default());
        let mut parts = run(&mut desk, &all[..17]);
        let saved = desk.save();
        let mut desk = Desk::load(DeskLimits::default(), &saved).unwrap();
        assert_eq!(desk.save(), saved);
        parts.extend(run(&mut desk, &all[17..]));
        assert_eq!(parts, whole);
        assert!(Desk::load(DeskLimits::default(), &saved[..saved.len() - 1]).is_err());
    }

    #[test]
    fn too_many_open_alerts_push_out_the_quietest() {
        let rule = rule(true, &["src_endpoint.ip", "user.name"]);
        let mut desk = Desk::new(DeskLimits { open_max: 32, ..DeskLimits::default() });
        run(&mut desk, &(0..100).map(|n| finding(&rule, n, 1, &format!("u{n}"))).collect::<Vec<_>>());
        assert!(desk.open_count() <= 32);
        assert_eq!(desk.counters().let_go as usize + desk.open_count(), 100);
    }
}
