//! What is loaded, as the console lists it: rules and register, joined from their files and from what people changed since.

use anyhow::{Context, Result, anyhow};
use event::{RuleMeta, Timestamp};
use tracing::warn;

use crate::authority::Authority;
use crate::config::Config;
use crate::engine::Engine;
use crate::register::{Asset, Register, Unit};
use crate::store::desk::{AssetRow, UnitRow};
use crate::store::{DeskStore, Scope};

/// Bytes of a rule file shown with its rules; a longer one is not shown.
const RULE_TEXT_MAX: u64 = 64 * 1024;

/// Rules in force and rules refused.
pub fn rule_page(engine: &Engine, faults: &[String], now: Timestamp) -> api::RulePage {
    let rules = engine.rules();
    let items = rules.rules().iter().map(|meta| (meta, "detection")).chain(rules.correlations().iter().map(|c| (&c.meta, "correlation")));
    api::RulePage {
        items: items.map(|(meta, kind)| rule(meta, kind)).collect(),
        faults: faults.iter().map(|text| fault(text)).collect(),
        loaded: now.to_string(),
    }
}

fn rule(meta: &RuleMeta, kind: &str) -> api::Rule {
    let small = std::fs::metadata(&meta.path).is_ok_and(|m| m.len() <= RULE_TEXT_MAX);
    api::Rule {
        id: meta.id.clone(),
        title: meta.title.clone(),
        title_zh: meta.title_zh.clone(),
        description: meta.description.clone(),
        severity: meta.severity.name().to_owned(),
        kind: kind.to_owned(),
        log_source: String::new(),
        techniques: meta.techniques.clone(),
        tags: meta.tags.clone(),
        author: meta.author.clone(),
        path: meta.path.clone(),
        alerts: meta.alerts,
        shadow: meta.shadow,
        source: if small { std::fs::read_to_string(&meta.path).unwrap_or_default() } else { String::new() },
    }
}

/// `path:line:column: message`.
fn fault(text: &str) -> api::RuleFault {
    let mut parts = text.splitn(4, ':');
    let (path, line, column, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    match (path, line.and_then(|l| l.parse().ok()), column.and_then(|c| c.parse().ok()), rest) {
        (Some(path), Some(line), Some(column), Some(rest)) => {
            api::RuleFault { path: path.to_owned(), line, column, message: rest.trim().to_owned() }
        }
        _ => api::RuleFault { path: String::new(), line: 0, column: 0, message: text.to_owned() },
    }
}

/// The register: the file, what was changed through the API since the file last changed, and every agent in its unit.
///
/// The desk holds the list people see. When the file's content changes, its entries are written into the desk once, so
/// the later of a file edit and an API change wins.
pub fn register(config: &Config, authority: &Authority, desk: &dyn DeskStore) -> Result<Register> {
    let mut register = if config.register.exists() {
        Register::load(&config.register).map_err(|e| anyhow!("{e}")).context("the register")?
    } else {
        warn!(path = %config.register.display(), "no register: events will carry no unit");
        Register::default()
    };
    seed(config, &register, desk)?;
    let refused = |kind: &str, id: &str, (key, why): (&str, String)| anyhow!("{kind} '{id}' of the database: {key} {why}");
    for row in desk.units(&Scope::CITY)? {
        let known = register.unit(&row.id).cloned();
        let unit = Unit {
            id: row.id.clone(),
            name: row.name,
            sector: row.sector,
            name_en: known.as_ref().map(|u| u.name_en.clone()).unwrap_or_default(),
            contacts: known.as_ref().map(|u| u.contacts.clone()).unwrap_or_default(),
            networks: known.map(|u| u.networks).unwrap_or_default(),
        };
        register.replace_unit(unit).map_err(|why| refused("unit", &row.id, why))?;
    }
    for row in desk.assets(&Scope::CITY)? {
        if register.assets().iter().any(|a| a.id == row.id) {
            continue;
        }
        let Some(unit) = row.unit else { continue };
        let asset = Asset {
            id: row.id.clone(),
            unit,
            name: row.name,
            object: String::new(),
            importance: row.importance.clamp(1, 3),
            agent: None,
            hostname: None,
            networks: row.addresses,
        };
        register.put_asset(asset).map_err(|why| refused("asset", &row.id, why))?;
    }
    for agent in authority.agents() {
        if let Some(unit) = &agent.unit {
            register.assign(agent.agent, unit);
        }
    }
    Ok(register)
}

/// Writes the file's entries into the desk if the file is not the one last written.
fn seed(config: &Config, register: &Register, desk: &dyn DeskStore) -> Result<()> {
    const KEY: &str = "register_file";
    let bytes = std::fs::read(&config.register).unwrap_or_default();
    let hash = blake3::hash(&bytes).to_hex().to_string();
    if desk.setting(KEY)?.as_deref() == Some(&hash) {
        return Ok(());
    }
    for unit in register.units() {
        let contact = unit
            .contacts
            .first()
            .map(|c| [c.name.as_str(), c.role.as_str(), c.phone.as_str(), c.mail.as_str()].join(" ").trim().to_owned());
        desk.put_unit(&UnitRow {
            id: unit.id.clone(),
            name: unit.name.clone(),
            sector: unit.sector.clone(),
            contact: contact.unwrap_or_default(),
        })?;
    }
    for asset in register.assets() {
        desk.put_asset(&AssetRow {
            id: asset.id.clone(),
            unit: Some(asset.unit.clone()),
            name: asset.name.clone(),
            importance: asset.importance,
            addresses: asset.networks.clone(),
        })?;
    }
    desk.put_setting(KEY, &hash)?;
    Ok(())
}
