//! A city's bad day, from the first scan to the lifted warning, and its benign twin: 30 units in five sectors, an attack from a bank to the grid
//! with control commands. The rules, tables and register that ship; time is an argument, so the same day gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use collector::demo::story::{self, Day, Host, STORY_SECS};
use collector::engine::{Engine, EngineOptions, Outcome};
use collector::office::{self, Office, SigningKey};
use collector::register::Register;
use collector::serve::Feed;
use collector::store::desk::{MatterQuery, MatterRow, Step};
use collector::store::{DeskStore, Offset, Scope, SqliteDesk};
use event::{AgentId, Epoch, EventId, Timestamp, field};
use matter::{Actor, Order, Role};
use serde_json::{Value, json};
use tests::programs::root;

/// A desk with its city, and the clock in hand.
struct Town {
    desk: Arc<SqliteDesk>,
    office: Office,
    engine: Engine,
    hosts: Vec<Host>,
    register: Register,
    now: Timestamp,
    seq: u64,
    steps: u64,
    /// When a warning's draft first recommended each level, seconds into the day.
    risen: BTreeMap<String, i64>,
}

const BEGIN: &str = "2026-11-23T00:00:00Z";

impl Town {
    fn new(key: &std::path::Path) -> Result<Self> {
        let register = Register::load(&root().join("config/register.toml"))?;
        let mut units: Vec<_> =
            register.units().map(|u| (u.sector.clone(), u.id.clone(), u.networks.first().cloned().unwrap_or_default())).collect();
        units.sort();
        let hosts = collector::demo::hosts(units.iter().map(|(sector, id, network)| (id.as_str(), sector.as_str(), network.as_str())));
        let options = EngineOptions { rules: vec![root().join("config/rules")], mappings: Some(root().join("config/mappings")) };
        let (engine, faults) = Engine::load(&options)?;
        ensure!(faults.is_empty(), "{faults:?}");
        let desk = Arc::new(SqliteDesk::in_memory()?);
        let tables = Arc::new(office::tables(None, None)?);
        let book = office::book(&register, tables, Arc::new(SigningKey::open(key)?), [3; 32]);
        let office = Office::new(desk.clone(), Arc::new(Feed::new(1, 4096)), book);
        let now = Timestamp::parse_rfc3339(BEGIN).context("a time")?;
        Ok(Self { desk, office, engine, hosts, register, now, seq: 0, steps: 0, risen: BTreeMap::new() })
    }

    fn since_begin(&self) -> i64 {
        self.now.since(Timestamp::parse_rfc3339(BEGIN).unwrap_or(self.now)) / event::SECOND_NS
    }

    /// Plays these seconds of a day: hosts, engine, desk, office.
    fn play(&mut self, day: Day, seconds: std::ops::Range<i64>) -> Result<()> {
        let begin = Timestamp::parse_rfc3339(BEGIN).context("a time")?;
        for at in seconds {
            self.now = begin.plus_secs(at);
            let mut batch = Vec::new();
            for n in 0..self.hosts.len() {
                let host = &self.hosts[n];
                let mut said = story::second(&self.hosts, n, at, self.now, day);
                if at % 60 == 0 && !(day == Day::Attack && story::mute(host, at)) {
                    said.extend(collector::demo::coverage(host, self.now));
                }
                for (class, mut event) in said {
                    self.seq += 1;
                    let unit = self.register.unit(&host.unit).context("a unit")?;
                    event.id = EventId { agent: AgentId(n as u64 + 1), epoch: Epoch(1), class, seq: self.seq };
                    event.body.set(field::UNIT_ID, unit.id.as_str());
                    event.body.set(field::UNIT_NAME, unit.name.as_str());
                    event.body.set(field::UNIT_SECTOR, unit.sector.as_str());
                    batch.push(Arc::new(event));
                }
            }
            let mut outcome = Outcome::default();
            self.engine.step(&batch, self.now, &mut outcome);
            self.keep(&outcome)?;
        }
        Ok(())
    }

    fn keep(&mut self, outcome: &Outcome) -> Result<()> {
        let alerts: Vec<_> = outcome.changes.iter().map(|c| c.alert().clone()).collect();
        self.steps += 1;
        self.desk.save(&Step { alerts: &alerts, evidence: &[], position: Offset(self.steps), snapshot: None })?;
        while self.office.follow(self.now) > 0 {}
        while self.office.tick(self.now) > 0 {}
        for warning in self.all("warning")? {
            if let Some(level) = warning.body["recommended"]["level"].as_str() {
                let at = self.since_begin();
                self.risen.entry(level.to_owned()).or_insert(at);
            }
        }
        Ok(())
    }

    /// Lets time pass without an event: the desk's clock looks at each moment something falls due.
    fn wait(&mut self, minutes: i64) -> Result<()> {
        let end = self.now.plus_secs(minutes * 60);
        while let Some(due) = self.desk.next_due()?.filter(|due| *due <= end) {
            self.now = self.now.max(due);
            while self.office.tick(self.now) > 0 {}
        }
        self.now = end;
        Ok(())
    }

    fn act(&self, who: &Actor, kind: &str, id: &str, act: Value) -> Result<()> {
        let order = Order { kind: kind.to_owned(), id: Some(id.to_owned()), expected: None, act: act.clone(), key: None };
        self.office.act(who, self.now, order).map(|_| ()).map_err(|why| anyhow::anyhow!("{kind} {id} {act}: {why}"))
    }

    fn all(&self, kind: &str) -> Result<Vec<MatterRow>> {
        let query = MatterQuery { kind: kind.to_owned(), limit: 1_000, ..MatterQuery::default() };
        let mut found = self.desk.matters(&Scope::CITY, &query)?.matters;
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    fn one(&self, kind: &str, id: &str) -> Result<Value> {
        Ok(self.desk.matter(&Scope::CITY, kind, id)?.with_context(|| format!("no {kind} {id}"))?.body)
    }

    /// Every matter there is with its history, and every message: the whole day in bytes.
    fn bytes(&self) -> Result<String> {
        let mut out = String::new();
        for kind in matter::KINDS {
            for row in self.all(kind.word)? {
                out.push_str(&format!("{} {} {}\n{}\n", row.kind, row.id, row.revision, row.body));
                for entry in self.desk.matter_history(&row.kind, &row.id)? {
                    out.push_str(&format!("  {}\n", serde_json::to_string(&entry)?));
                }
            }
        }
        for (number, message) in self.messages()? {
            out.push_str(&format!("{number} {}\n", serde_json::to_string(&message)?));
        }
        Ok(out)
    }

    fn messages(&self) -> Result<Vec<(u64, matter::Message)>> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self.desk.messages(after, 1_000)?;
            let Some(last) = page.last() else { return Ok(all) };
            after = last.0;
            all.extend(page);
        }
    }
}

fn person(name: &str, role: Role, units: Option<&[&str]>) -> Actor {
    Actor { name: name.into(), role: Some(role), units: units.map(|u| u.iter().map(|s| (*s).to_owned()).collect()) }
}

/// To whom of which unit something was sent, in order.
fn told(town: &Town, thread: &str) -> Result<Vec<(String, String, i64)>> {
    let begin = Timestamp::parse_rfc3339(BEGIN).context("a time")?;
    Ok(town
        .messages()?
        .into_iter()
        .filter(|(_, m)| m.thread == thread)
        .filter_map(|(_, m)| match m.recipient {
            matter::Recipient::Unit { unit, role } => Some((unit, role, m.time.since(begin) / event::SECOND_NS)),
            matter::Recipient::City { .. } => None,
        })
        .collect())
}

/// The bad day: gives its bytes.
fn bad_day(key: &std::path::Path, print: bool) -> Result<String> {
    let mut town = Town::new(key)?;
    town.play(Day::Attack, 0..STORY_SECS)?;
    let campaigns = town.all("campaign")?;
    let open = campaigns.iter().filter(|c| c.body["state"] == "open").count();
    let top = town
        .all("warning")?
        .into_iter()
        .max_by_key(|w| {
            let level = w.body["recommended"]["level"].as_str().unwrap_or("");
            (["", "blue", "yellow", "orange", "red"].iter().position(|l| *l == level), w.id.clone())
        })
        .context("the bad day drafts no warning")?;
    let id = top.id.clone();
    if print {
        println!("the bad day: {} alerts in {open} open campaigns, {} drafts", alerts(&town)?, town.all("warning")?.len());
        println!("  level first recommended, seconds into the day: {:?}", town.risen);
        println!("  the gravest: {} {}", top.body["recommended"]["level"], top.body["draft"]["notice"]["title"]["en"]);
        for reason in top.body["recommended"]["reasons"].as_array().context("reasons")? {
            let reason: warning::AlertReason = serde_json::from_value(reason.clone())?;
            println!("    {}", warning::render(&reason, warning::Lang::En));
        }
        println!("  to {}", top.body["draft"]["units"]);
    }
    ensure!(top.body["recommended"]["level"] == "red", "control commands on critical infrastructure: {:#}", top.body["recommended"]);
    ensure!(open < 50, "{open} open campaigns");
    let (lin, wang) = (person("lin", Role::Operator, None), person("wang", Role::ShiftLead, None));

    // A city may issue up to yellow: red is proposed upward, and members get an advisory at once.
    town.wait(3)?;
    town.act(&lin, "warning", &id, json!({"act": "assess", "level": "red", "reason": "电网主站下发遥控命令，来源为银行失陷主机"}))?;
    town.act(&lin, "warning", &id, json!({"act": "propose", "reason": "超出本级发布权限"}))?;
    let advised: BTreeSet<String> = told(&town, &id)?.into_iter().map(|(unit, ..)| unit).collect();
    ensure!(advised.contains("grid-city"), "members are advised at once: {advised:?}");
    town.wait(20)?;
    town.act(&wang, "warning", &id, json!({"act": "answer", "accepted": true, "level": "red", "reference": "省网应急〔2026〕17号"}))?;
    town.act(&lin, "warning", &id, json!({"act": "submit"}))?;
    ensure!(town.act(&lin, "warning", &id, json!({"act": "approve", "issue": true})).is_err(), "who assessed does not approve");
    town.act(&wang, "warning", &id, json!({"act": "approve", "issue": true}))?;
    let warning = town.one("warning", &id)?;
    ensure!(warning["state"] == "issued", "{:#}", warning["state"]);
    let units: BTreeSet<String> =
        newest(&warning)["units"].as_array().context("units")?.iter().filter_map(|u| u.as_str().map(str::to_owned)).collect();
    ensure!(units.contains("grid-city") && units.len() < 30, "to those concerned and not to all: {units:?}");
    let issued_at = town.since_begin();

    // The right units only: each sees its own receipt and no other's, and no warning.
    for unit in town.register.units() {
        let scope = Scope::units([unit.id.as_str()]);
        let query = |kind: &str| MatterQuery { kind: kind.into(), limit: 1_000, ..MatterQuery::default() };
        let receipts = town.desk.matters(&scope, &query("receipt"))?.matters;
        let about = receipts.iter().filter(|r| r.body["warning"] == id.as_str()).count();
        ensure!(about == usize::from(units.contains(&unit.id)), "{}: {about} receipts", unit.id);
        ensure!(
            town.desk.matters(&scope, &query("warning"))?.matters.is_empty()
                && town.desk.matters(&scope, &query("campaign"))?.matters.is_empty()
        );
        for receipt in receipts {
            for other in town.register.units().filter(|o| o.id != unit.id) {
                let body = receipt.body.to_string();
                ensure!(!body.contains(&format!("\"{}\"", other.id)) && !body.contains(&other.name), "{} reads of {}", unit.id, other.id);
            }
        }
    }

    // The bank signs and feeds back; the grid says nothing: substitute, leader, protection department, each a receipt period later.
    let receipt = |town: &Town, unit: &str| -> Result<String> {
        let found = town.all("receipt")?.into_iter().find(|r| r.body["unit"] == unit && r.body["warning"] == id.as_str());
        Ok(found.with_context(|| format!("no receipt of {unit}"))?.id)
    };
    let grid = receipt(&town, "grid-city")?;
    let quick: Vec<String> = units.iter().filter(|u| *u != "grid-city").cloned().collect();
    town.wait(4)?;
    for unit in &quick {
        let who = person(&format!("{unit}-duty"), Role::SectorLead, Some(&[unit.as_str()]));
        let rid = receipt(&town, unit)?;
        town.act(&who, "receipt", &rid, json!({"act": "see"}))?;
        town.act(&who, "receipt", &rid, json!({"act": "sign"}))?;
        town.act(&who, "receipt", &rid, json!({"act": "feed_back", "affected": "no", "measures": "核查完毕"}))?;
    }
    town.wait(50)?;
    let climbed: Vec<(String, i64)> = told(&town, &id)?
        .into_iter()
        .filter(|(unit, _, at)| unit == "grid-city" && *at >= issued_at)
        .map(|(_, role, at)| (role, (at - issued_at) / 60))
        .collect();
    if print {
        println!("  the grid does not sign; told, minutes after the issue: {climbed:?}");
    }
    let first = |role: &str| climbed.iter().find(|(r, _)| r == role).map(|(_, at)| *at);
    ensure!(
        (first("duty"), first("substitute"), first("leader"), first("protection")) == (Some(0), Some(15), Some(30), Some(45)),
        "{climbed:?}"
    );
    let dispatcher = person("dispatcher", Role::SectorLead, Some(&["grid-city"]));
    town.act(&dispatcher, "receipt", &grid, json!({"act": "sign"}))?;
    town.act(&dispatcher, "receipt", &grid, json!({"act": "act_on"}))?;
    let feedback = json!({"act": "feed_back", "affected": "attacked", "objects": 1, "measures": "断开失陷主机，恢复断路器状态"});
    town.act(&dispatcher, "receipt", &grid, feedback)?;

    // Down one step at a time, and only after the recommendation has stayed lower; then lifted by who issued it.
    ensure!(town.act(&lin, "warning", &id, json!({"act": "downgrade", "reason": "太早"})).is_err(), "not before the dwell time");
    let mut steps = Vec::new();
    for hour in (6..24 * 14).step_by(6) {
        town.wait(6 * 60)?;
        let warning = town.one("warning", &id)?;
        if warning["state"] != "issued" {
            break;
        }
        for unit in ["grid-city", "bank-city"] {
            // Feedback as often as the notice asks for it.
            let who = person(&format!("{unit}-duty"), Role::SectorLead, Some(&[unit]));
            let again = json!({"act": "feed_back", "affected": "no", "measures": "复查无异常"});
            let _ = town.act(&who, "receipt", &receipt(&town, unit)?, again);
        }
        // Red and orange go down with a second person, as they came up.
        let level = newest(&warning)["level"].as_str().unwrap_or("").to_owned();
        let down = json!({"act": "downgrade", "reason": "持续无新证据"});
        let next = match town.act(&lin, "warning", &id, down) {
            Ok(()) => {
                if town.one("warning", &id)?["draft"].is_object() {
                    town.act(&wang, "warning", &id, json!({"act": "approve", "issue": true}))?;
                }
                newest(&town.one("warning", &id)?)["level"].as_str().unwrap_or("").to_owned()
            }
            Err(_) => match town.act(&wang, "warning", &id, json!({"act": "lift", "reason": "威胁消除"})) {
                Ok(()) => "lifted".to_owned(),
                Err(_) => {
                    // Where the evidence alone does not bring it down, people who looked do.
                    let below = ["none", "blue", "yellow", "orange", "red"];
                    let at = below.iter().position(|l| *l == level).context("a level")?;
                    if warning["assessed"]["level"] != below[at - 1] {
                        town.act(&lin, "warning", &id, json!({"act": "assess", "level": below[at - 1], "reason": "各单位复查无异常"}))?;
                    }
                    let _ = town.act(&lin, "warning", &id, json!({"act": "extend", "reason": "继续观察"}));
                    continue;
                }
            },
        };
        steps.push((hour, level, next));
    }
    if print {
        println!("  hours after, from, to: {steps:?}");
    }
    let path: Vec<(&str, &str)> = steps.iter().map(|(_, from, to)| (from.as_str(), to.as_str())).collect();
    ensure!(path == [("red", "orange"), ("orange", "yellow"), ("yellow", "blue"), ("blue", "lifted")], "{steps:?}");
    let warning: matter::warn::Warning = serde_json::from_value(town.one("warning", &id)?)?;
    matter::warn::verify(&warning, &town.office.book()).map_err(|broken| anyhow::anyhow!("{broken:?}"))?;
    ensure!(town.desk.audit_verify()?.broken.is_none());
    town.bytes()
}

/// The newest revision of an issued warning.
fn newest(warning: &Value) -> Value {
    warning["revisions"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default()
}

fn alerts(town: &Town) -> Result<usize> {
    Ok(town.desk.alerts(&Scope::CITY, &collector::store::desk::AlertQuery { limit: 1_000, ..Default::default() })?.alerts.len())
}

#[test]
fn a_bad_day_is_warned_of_signed_for_climbed_and_lifted_the_same_each_time() -> Result<()> {
    let key = tempfile::tempdir()?;
    let first = bad_day(key.path(), true)?;
    let again = bad_day(key.path(), false)?;
    ensure!(first == again, "the same day gives the same bytes");
    println!("  the whole day again: {} bytes, the same", first.len());
    Ok(())
}

#[test]
fn its_benign_twin_raises_nothing_above_blue() -> Result<()> {
    let key = tempfile::tempdir()?;
    let mut town = Town::new(key.path())?;
    town.play(Day::Quiet, 0..STORY_SECS)?;
    println!("the quiet day: {} alerts, levels {:?}", alerts(&town)?, town.risen);
    ensure!(town.risen.keys().all(|level| level == "blue"), "{:?}", town.risen);
    Ok(())
}
