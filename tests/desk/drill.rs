//! A technical drill in a city that is watched: marked events go into the drill's own engine, its alerts become marked campaigns, a marked warning,
//! receipts and messages, and a score; and what is real stays the same to the byte.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use collector::demo::story::{self, Day};
use collector::engine::{Engine, EngineOptions, Outcome};
use collector::office::drills::Drills;
use collector::office::{self, Office, SigningKey};
use collector::register::Register;
use collector::serve::Feed;
use collector::store::desk::{AlertQuery, MatterQuery, MatterRow, Step};
use collector::store::{DeskStore, Offset, Scope, SqliteDesk};
use event::{AgentId, Epoch, EventId, Timestamp, field};
use matter::{Actor, Order, Recipient, Role};
use serde_json::{Value, json};
use tests::programs::root;

const BEGIN: &str = "2026-11-23T00:00:00Z";
/// Seconds of the city's attack day that are played, and when the drill begins.
const PLAYED_S: i64 = 480;
const DRILL_AT_S: i64 = 30;

struct Town {
    desk: Arc<SqliteDesk>,
    office: Arc<Office>,
    engine: Engine,
    drills: Drills,
    now: Timestamp,
    /// The drill, where there is one.
    drill: Option<String>,
}

fn person(name: &str, role: Role, units: Option<&[&str]>) -> Actor {
    Actor { name: name.into(), role: Some(role), units: units.map(|u| u.iter().map(|s| (*s).to_owned()).collect()) }
}

impl Town {
    fn new(key: &std::path::Path) -> Result<(Self, Register)> {
        let register = Register::load(&root().join("config/register.toml"))?;
        let options = EngineOptions { rules: vec![root().join("config/rules")], mappings: Some(root().join("config/mappings")) };
        let (engine, faults) = Engine::load(&options)?;
        ensure!(faults.is_empty(), "{faults:?}");
        let desk = Arc::new(SqliteDesk::in_memory()?);
        let book = office::book(&register, Arc::new(office::tables(None, None)?), Arc::new(SigningKey::open(key)?), [3; 32]);
        let office = Arc::new(Office::new(desk.clone(), Arc::new(Feed::new(1, 4096)), book));
        let drills = drills(&office, &desk, &engine);
        let now = Timestamp::parse_rfc3339(BEGIN).context("a time")?;
        Ok((Self { desk, office, engine, drills, now, drill: None }, register))
    }

    /// Plays the attack day; with a drill that begins in the middle of it.
    fn play(key: &std::path::Path, with: bool) -> Result<Self> {
        let (mut town, register) = Self::new(key)?;
        let begin = town.now;
        let mut units: Vec<_> =
            register.units().map(|u| (u.sector.clone(), u.id.clone(), u.networks.first().cloned().unwrap_or_default())).collect();
        units.sort();
        let hosts = collector::demo::hosts(units.iter().map(|(sector, id, network)| (id.as_str(), sector.as_str(), network.as_str())));
        let mut seq = 0;
        for at in 0..PLAYED_S {
            town.now = begin.plus_secs(at);
            let mut batch = Vec::new();
            for (n, host) in hosts.iter().enumerate() {
                for (class, mut event) in story::second(&hosts, n, at, town.now, Day::Attack) {
                    seq += 1;
                    let unit = register.unit(&host.unit).context("a unit")?;
                    event.id = EventId { agent: AgentId(n as u64 + 1), epoch: Epoch(1), class, seq };
                    event.body.set(field::UNIT_ID, unit.id.as_str());
                    event.body.set(field::UNIT_NAME, unit.name.as_str());
                    event.body.set(field::UNIT_SECTOR, unit.sector.as_str());
                    batch.push(Arc::new(event));
                }
            }
            let mut outcome = Outcome::default();
            town.engine.step(&batch, town.now, &mut outcome);
            let alerts: Vec<_> = outcome.changes.iter().map(|c| c.alert().clone()).collect();
            town.desk.save(&Step { alerts: &alerts, evidence: &[], position: Offset(at.cast_unsigned() + 1), snapshot: None })?;
            if with && at == DRILL_AT_S {
                town.begin()?;
            }
            while town.office.follow(town.now) > 0 {}
            while town.office.tick(town.now) > 0 {}
            if at == 300 {
                // A restart: the drill's engine begins anew.
                town.drills = drills(&town.office, &town.desk, &town.engine);
            }
            town.drills.run(town.now);
        }
        Ok(town)
    }

    fn begin(&mut self) -> Result<()> {
        let scenario: Value = toml::from_str(&std::fs::read_to_string(root().join("config/drills/guessed-password.toml"))?)?;
        let lead = person("wang", Role::ShiftLead, None);
        let plan = json!({"act": "plan", "scenario": scenario, "cast": {"bank": "bank-city"}});
        let order = Order { kind: "drill".into(), id: None, expected: None, act: plan, key: None };
        let made = self.office.act(&lead, self.now, order).map_err(|why| anyhow::anyhow!("{why}"))?;
        let id = made.changes.first().context("a drill")?.id.clone();
        self.act(&lead, "drill", &id, json!({"act": "run"}))?;
        self.drill = Some(id);
        Ok(())
    }

    fn act(&self, who: &Actor, kind: &str, id: &str, act: Value) -> Result<()> {
        let order = Order { kind: kind.into(), id: Some(id.to_owned()), expected: None, act: act.clone(), key: None };
        self.office.act(who, self.now, order).map(|_| ()).map_err(|why| anyhow::anyhow!("{kind} {id} {act}: {why}"))
    }

    fn all(&self, kind: &str, exercise: bool) -> Result<Vec<MatterRow>> {
        let query = MatterQuery { kind: kind.into(), exercise, limit: 1_000, ..MatterQuery::default() };
        let mut found = self.desk.matters(&Scope::CITY, &query)?.matters;
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    fn messages(&self, exercise: bool) -> Result<Vec<matter::Message>> {
        Ok(self.desk.messages(0, 10_000)?.into_iter().map(|(_, m)| m).filter(|m| m.exercise == exercise).collect())
    }

    /// Everything real: alerts and their counts, matters with their history and counts, messages, what the engine counts and holds.
    fn real(&self) -> Result<Vec<(String, String)>> {
        let alerts = self.desk.alerts(&Scope::CITY, &AlertQuery { limit: 1_000, ..AlertQuery::default() })?.alerts;
        let mut out = vec![
            ("alerts".to_owned(), serde_json::to_string(&alerts)?),
            ("alert counts".to_owned(), format!("{:?}", self.desk.alert_counts(&Scope::CITY)?)),
            ("engine counters".to_owned(), format!("{:?} {:?}", self.engine.counters(), self.engine.held())),
            ("engine state".to_owned(), hash_of(&self.engine.save())),
            ("messages".to_owned(), serde_json::to_string(&self.messages(false)?)?),
        ];
        for kind in matter::KINDS {
            let mut text = format!("{:?}\n", self.desk.matter_counts(&Scope::CITY, kind.word, false)?);
            for row in self.all(kind.word, false)? {
                text.push_str(&format!("{} {} {}\n", row.id, row.revision, row.body));
                for entry in self.desk.matter_history(kind.word, &row.id)? {
                    text.push_str(&format!("  {}\n", serde_json::to_string(&entry)?));
                }
            }
            out.push((kind.word.to_owned(), text));
        }
        Ok(out)
    }
}

fn drills(office: &Arc<Office>, desk: &Arc<SqliteDesk>, engine: &Engine) -> Drills {
    let rules = engine.shared_rules();
    Drills::new(office.clone(), desk.clone(), Box::new(move || Some(rules.clone())))
}

fn hash_of(bytes: &[u8]) -> String {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)).to_string()
}

#[test]
fn a_drill_is_detected_judged_and_signed_for_and_the_real_stays_the_same_to_the_byte() -> Result<()> {
    let key = tempfile::tempdir()?;
    let without = Town::play(key.path(), false)?;
    let mut town = Town::play(key.path(), true)?;
    for ((what, alone), (_, beside)) in without.real()?.iter().zip(&town.real()?) {
        ensure!(alone == beside, "{what} differ with a drill beside them:\n{alone}\n{beside}");
        ensure!(what != "alerts" || alone.len() > 1_000, "the city has alerts of its own");
    }
    for kind in matter::KINDS {
        ensure!(without.all(kind.word, true)?.is_empty(), "{}", kind.word);
    }

    // Found by the rules, within the minute; the doctor's slip is not.
    let id = town.drill.clone().context("a drill")?;
    let drill = town.desk.matter(&Scope::CITY, "drill", &id)?.context("the drill")?.body;
    let found = drill["put"][0]["found"].as_array().context("something is found")?;
    for alert in found {
        println!("  {} at {} on {}", alert["title"]["en"], alert["at"], alert["hosts"]);
        ensure!(town.desk.alert(&Scope::CITY, &warning::AlertId(alert["alert"].as_str().unwrap_or("").into()))?.is_none());
    }
    let titles: Vec<&str> = found.iter().filter_map(|a| a["title"]["en"].as_str()).collect();
    ensure!(titles.contains(&"SSH password guessing") && titles.contains(&"SSH password guessed: failures, then success"), "{titles:?}");
    ensure!(drill["put"][1].get("found").is_none() && drill["put"][0].get("unread").is_none(), "{:#}", drill["put"]);

    // Marked campaigns, one marked warning of the drill with the level its part deserves, to the unit that plays.
    let campaigns = town.all("campaign", true)?;
    ensure!(!campaigns.is_empty() && campaigns.iter().all(|c| c.body["group"]["drill"] == id.as_str()), "{campaigns:#?}");
    let warnings = town.all("warning", true)?;
    let top = warnings.first().context("a marked warning")?;
    ensure!(warnings.len() == 1 && top.body["drill"] == id.as_str() && top.body["exercise"] == true, "{:#}", top.body);
    println!("  recommended {}: {}", top.body["recommended"]["level"], top.body["draft"]["notice"]["title"]["en"]);
    ensure!(top.body["recommended"]["level"] == "yellow" && top.body["draft"]["units"] == json!(["bank-city"]), "{:#}", top.body);
    let lin = person("lin", Role::Operator, None);
    town.act(&lin, "warning", &top.id, json!({"act": "assess", "level": "yellow"}))?;
    town.act(&lin, "warning", &top.id, json!({"act": "issue"}))?;
    let receipts = town.all("receipt", true)?;
    ensure!(receipts.len() == 1 && receipts[0].body["unit"] == "bank-city" && receipts[0].body["exercise"] == true);
    town.now = town.now.plus_secs(60);
    town.act(&person("duty", Role::SectorLead, Some(&["bank-city"])), "receipt", &receipts[0].id, json!({"act": "sign"}))?;
    for message in town.messages(true)? {
        let to_player = matches!(&message.recipient, Recipient::Unit { unit, .. } if unit == "bank-city");
        ensure!(to_player || matches!(message.recipient, Recipient::City { .. }), "{message:#?}");
    }

    // The score, and an end to its groups.
    town.act(&person("wang", Role::ShiftLead, None), "drill", &id, json!({"act": "finish"}))?;
    let score = town.desk.matter(&Scope::CITY, "drill", &id)?.context("the drill")?.body["score"].clone();
    println!("  score {} of {}: {}", score["points"], score["of"], score["results"]);
    ensure!(score["points"] == 60 && score["of"] == 60, "{score:#}");
    ensure!(score["results"][0]["took_s"].as_i64().is_some_and(|s| (1..=40).contains(&s)), "detection is timed from the inject: {score:#}");
    ensure!(town.all("campaign", true)?.iter().all(|c| c.body["state"] == "closed"));
    ensure!(town.drills.run(town.now) == 0);
    Ok(())
}
