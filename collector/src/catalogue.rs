//! What is loaded, as the console lists it: rules and register, joined from their files and from what people changed since.

use anyhow::{Context, Result, anyhow};
use event::{RuleMeta, Timestamp};
use tracing::warn;

use crate::authority::Authority;
use crate::config::Config;
use crate::engine::Engine;
use crate::register::Register;
use crate::store::DeskStore;

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

/// The register: the file, what was written through the API over it, and every agent in its unit.
pub fn register(config: &Config, authority: &Authority, desk: &dyn DeskStore) -> Result<Register> {
    let file = if config.register.exists() {
        Register::load(&config.register).map_err(|e| anyhow!("{e}")).context("the register")?
    } else {
        warn!(path = %config.register.display(), "no register: events will carry no unit");
        Register::default()
    };
    let mut register = file.renewed(&desk.register_rows()?);
    for remark in register.remarks() {
        warn!(remark = remark.en, "register");
    }
    for agent in authority.agents() {
        if let Some(unit) = &agent.unit {
            register.assign(agent.agent, unit);
        }
    }
    Ok(register)
}
