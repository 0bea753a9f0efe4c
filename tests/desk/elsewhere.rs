//! What the units of the shipped city read with one warning: a beacon at a bank, a telecom whose own alerts show the same address, a grid company
//! that was told and has nothing, and everybody else. Alerts come through the desk store, the warning through the office, as in a live collector.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use collector::office::{self, Office, SigningKey};
use collector::register::Register;
use collector::serve::Feed;
use collector::store::desk::{MatterQuery, Step};
use collector::store::{DeskStore, Offset, Scope, SqliteDesk};
use event::Timestamp;
use matter::receipt::Receipt;
use matter::{Actor, Order, Recipient, Role};
use serde_json::{Value, json};
use tests::programs::root;
use warning::{Alert, UnitRef};

const C2: &str = "203.0.113.66";
const BEGIN: &str = "2026-11-23T02:00:00Z";

struct Town {
    desk: Arc<SqliteDesk>,
    office: Office,
    register: Register,
    now: Timestamp,
    steps: u64,
}

impl Town {
    fn new(key: &std::path::Path) -> Result<Self> {
        let register = Register::load(&root().join("config/register.toml"))?;
        let desk = Arc::new(SqliteDesk::in_memory()?);
        let tables = Arc::new(office::tables(None, None)?);
        let book = office::book(&register, tables, Arc::new(SigningKey::open(key)?), [3; 32]);
        let office = Office::new(desk.clone(), Arc::new(Feed::new(1, 4096)), book);
        let now = Timestamp::parse_rfc3339(BEGIN).context("a time")?;
        Ok(Self { desk, office, register, now, steps: 0 })
    }

    /// A host of a unit talks to the controller.
    fn beacon(&mut self, unit: &str, host: &str) -> Result<String> {
        self.steps += 1;
        let mut alert: Alert = collector::serve::sample::alert(usize::try_from(self.steps)?, self.now);
        alert.rule_id = "beacon".into();
        (alert.techniques, alert.tactics) = (vec!["T1071.001".into()], vec!["command-and-control".into()]);
        (alert.severity_id, alert.evidence, alert.source_ips) = (4, Vec::new(), Vec::new());
        (alert.hosts, alert.target_ips) = (vec![host.to_owned()], vec![C2.to_owned()]);
        alert.group_key = [("dst_endpoint.ip".to_owned(), C2.to_owned())].into();
        let known = self.register.unit(unit).context("a unit")?;
        alert.units = vec![UnitRef { id: unit.into(), name: known.name.clone(), sector: known.sector.clone() }];
        self.desk.save(&Step { alerts: std::slice::from_ref(&alert), evidence: &[], position: Offset(self.steps), snapshot: None })?;
        Ok(alert.id.0)
    }

    fn follow(&self) {
        while self.office.follow(self.now) > 0 {}
    }

    fn act(&self, id: &str, act: Value) -> Result<()> {
        let lin = Actor { name: "lin".into(), role: Some(Role::ShiftLead), units: None };
        let order = Order { kind: "warning".into(), id: Some(id.to_owned()), expected: None, act: act.clone(), key: None };
        self.office.act(&lin, self.now, order).map(|_| ()).map_err(|why| anyhow::anyhow!("{act}: {why}"))
    }

    fn body(&self, kind: &str, id: &str) -> Result<Value> {
        Ok(self.desk.matter(&Scope::CITY, kind, id)?.with_context(|| format!("no {kind} {id}"))?.body)
    }

    /// Everything a unit's people can read, and every message to it.
    fn reads(&self, unit: &str) -> Result<String> {
        let mut out = String::new();
        for kind in matter::KINDS {
            let query = MatterQuery { kind: kind.word.into(), limit: 100, ..MatterQuery::default() };
            for row in self.desk.matters(&Scope::units([unit]), &query)?.matters {
                out.push_str(&format!("{} {} {}\n", row.kind, row.id, row.body));
            }
        }
        for (_, message) in self.desk.messages(0, 1_000)? {
            if matches!(&message.recipient, Recipient::Unit { unit: to, .. } if to == unit) {
                out.push_str(&serde_json::to_string(&message)?);
            }
        }
        Ok(out)
    }
}

/// The day: the bank at once, the telecom half an hour later (`telecom`), then a warning to these three; gives the town and the warning.
fn day(key: &std::path::Path, telecom: bool) -> Result<(Town, String)> {
    let mut town = Town::new(key)?;
    town.beacon("bank-city", "bank-city-app01")?;
    town.follow();
    let query = MatterQuery { kind: "warning".into(), limit: 10, ..MatterQuery::default() };
    let drafted = town.desk.matters(&Scope::CITY, &query)?.matters;
    let warning = drafted.first().context("a draft")?.id.clone();
    town.now = town.now.plus_secs(30 * 60);
    if telecom {
        // Its alert is there; the desk has not followed it yet, so the telecom is no victim of the case and still reads of its own host.
        town.beacon("telecom-city", "telecom-city-ops01")?;
    }
    town.now = town.now.plus_secs(12 * 60);
    let scope = json!({"zh": "10.10.4.11 等主机", "en": "hosts such as 10.10.4.11"});
    town.act(&warning, json!({"act": "edit", "units": ["bank-city", "telecom-city", "grid-city"], "scope": scope}))?;
    town.act(&warning, json!({"act": "assess", "level": "yellow", "reason": "外联已证实"}))?;
    town.act(&warning, json!({"act": "issue"}))?;
    Ok((town, warning))
}

#[test]
fn each_unit_reads_of_its_own_hosts_and_when_it_was_seen_elsewhere() -> Result<()> {
    let key = tempfile::tempdir()?;
    let (mut town, warning) = day(key.path(), true)?;
    let told = |town: &Town, unit: &str, n: usize| -> Result<Value> {
        Ok(town.body("receipt", &Receipt::id(&warning, unit))?["copies"][n]["disclosed"].clone())
    };
    let telecom = told(&town, "telecom-city", 0)?;
    println!("the telecom reads: {}", telecom["text"]["zh"]);
    ensure!(telecom["elsewhere_min"] == 42 && telecom["hosts"][0]["host"] == "telecom-city-ops01", "{telecom:#}");
    ensure!(telecom["hosts"][0]["indicator"] == C2 && telecom["hosts"][0]["alerts"][0].is_string(), "{telecom:#}");
    let (bank, grid) = (told(&town, "bank-city", 0)?, told(&town, "grid-city", 0)?);
    println!("the bank reads:    {}\nthe grid reads:    {}", bank["text"]["zh"], grid["text"]["zh"]);
    ensure!(bank["hosts"][0]["host"] == "bank-city-app01" && bank.get("others").is_none(), "{bank:#}");
    ensure!(grid.get("elsewhere_min").is_none() && grid.get("hosts").is_none() && grid.get("others").is_none(), "{grid:#}");

    // No unit reads another's name, id, host or address; the bank alone reads its own address whole.
    for unit in town.register.units() {
        let text = town.reads(&unit.id)?;
        for other in town.register.units().filter(|o| o.id != unit.id) {
            for secret in [format!("\"{}\"", other.id), other.name.clone(), format!("{}-app01", other.id), format!("{}-ops01", other.id)] {
                ensure!(!text.contains(&secret), "{} reads '{secret}'", unit.id);
            }
        }
        ensure!(text.contains("10.10.4.11") == (unit.id == "bank-city"), "{}: {text}", unit.id);
    }
    let messages = town.desk.messages(0, 1_000)?;
    let to_telecom = messages.iter().find(|(_, m)| matches!(&m.recipient, Recipient::Unit { unit, .. } if unit == "telecom-city"));
    let text = &to_telecom.context("a message")?.1.text;
    ensure!(text.zh.contains("42 分钟前首次出现于其他单位；贵单位有 1 台主机命中所列指标 (telecom-city-ops01)"), "{}", text.zh);

    // The next revision tells how it stands then; the first stays as it was signed.
    town.follow();
    town.now = town.now.plus_secs(60 * 60);
    town.beacon("telecom-city", "telecom-city-web01")?;
    town.act(&warning, json!({"act": "update", "reason": "补充"}))?;
    ensure!(told(&town, "telecom-city", 0)? == telecom);
    let hosts: BTreeSet<String> = told(&town, "telecom-city", 1)?["hosts"]
        .as_array()
        .context("hosts")?
        .iter()
        .filter_map(|h| h["host"].as_str().map(str::to_owned))
        .collect();
    ensure!(hosts == ["telecom-city-ops01", "telecom-city-web01"].map(str::to_owned).into(), "{hosts:?}");
    let whole: matter::warn::Warning = serde_json::from_value(town.body("warning", &warning)?)?;
    matter::warn::verify(&whole, &town.office.book()).map_err(|broken| anyhow::anyhow!("{broken:?}"))?;
    for unit in ["bank-city", "telecom-city", "grid-city"] {
        let receipt: Receipt = serde_json::from_value(town.body("receipt", &Receipt::id(&warning, unit))?)?;
        receipt.verify(&town.office.book()).map_err(|broken| anyhow::anyhow!("{broken:?}"))?;
        matter::warn::accord(&whole, &receipt).map_err(|broken| anyhow::anyhow!("{unit}: {broken:?}"))?;
    }
    Ok(())
}

#[test]
fn what_the_telecom_has_changes_no_byte_for_the_others_and_the_same_day_gives_the_same() -> Result<()> {
    let key = tempfile::tempdir()?;
    let (with, warning) = day(key.path(), true)?;
    let (again, _) = day(key.path(), true)?;
    let (without, same) = day(key.path(), false)?;
    ensure!(warning == same);
    for unit in with.register.units().filter(|u| u.id != "telecom-city") {
        ensure!(with.reads(&unit.id)? == without.reads(&unit.id)?, "{} reads of the telecom", unit.id);
    }
    ensure!(with.reads("telecom-city")? == again.reads("telecom-city")? && with.reads("telecom-city")? != without.reads("telecom-city")?);
    Ok(())
}
