//! The register in force: units (单位), protected objects and declared assets of `config/register.toml`, over them what people wrote through the
//! API, which wins; and the unit each agent was enrolled for.
//!
//! A snapshot never changes under its readers; a change makes a new one. Which unit an agent belongs to is decided by its
//! enrolment; only an agent without that is placed by its declared asset, and an asset of another unit is never believed on a
//! host name alone, because a host name is the agent's own claim.
//!
//! A row of the database that no longer fits the file (its unit is gone from it) is left out and named in `remarks`: a slip of the pen in the
//! file must not keep the collector from starting.

mod csv;
pub mod table;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use event::AgentId;
use matter::Both;
use matter::lookup::{Index, Net, Owner};
pub use matter::register::{Asset, Contact, Declared, Object, Row, RowKind, Unit};

use crate::store::desk::RegisterRow;

/// A register that cannot be used: one line a problem, each with file, line, value and way out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RegisterError(pub String);

/// What the register says about one host.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostFacts<'a> {
    pub unit: Option<&'a Unit>,
    pub asset: Option<&'a Asset>,
}

/// A read-only snapshot.
#[derive(Debug, Clone, Default)]
pub struct Register {
    known: Arc<Known>,
    enrolled: HashMap<AgentId, String>,
}

#[derive(Debug, Default)]
struct Known {
    /// What the file says.
    file: Declared,
    /// What holds.
    all: Declared,
    index: Index,
    by_agent: HashMap<AgentId, String>,
    written: BTreeSet<(RowKind, String)>,
    remarks: Vec<Both>,
}

impl Register {
    pub fn load(path: &Path) -> Result<Self, RegisterError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| RegisterError(format!("{origin}: cannot be read: {e}; copy config/register.toml there or name another file")))?;
        Self::parse(&text, &origin)
    }

    /// `origin` is the file name used in messages.
    pub fn parse(text: &str, origin: &str) -> Result<Self, RegisterError> {
        let told = |problems: Vec<table::Problem>| RegisterError(problems.iter().map(|p| p.told(origin)).collect::<Vec<_>>().join("\n"));
        let read = table::read_toml(text).map_err(told)?;
        let mut file = Declared::default();
        read.rows.iter().for_each(|(_, row)| file.put(row.clone()));
        let problems = read.misfits(&file);
        if problems.is_empty() { Ok(Self::of(file, &[])) } else { Err(told(problems)) }
    }

    /// A file's rows with those of the database over them.
    pub fn of(file: Declared, rows: &[RegisterRow]) -> Self {
        let mut remarks = Vec::new();
        let (mut all, mut written) = (file.clone(), BTreeSet::new());
        for row in rows {
            // A row of an older schema holds a part of what the file says.
            if row.old && file.row(row.kind, &row.id).is_some() {
                continue;
            }
            match &row.row {
                Some(body) => all.put(body.clone()),
                None => drop(all.remove(row.kind, &row.id)),
            }
            written.insert((row.kind, row.id.clone()));
        }
        settle(&mut all, &mut remarks);
        for circle in all.circles() {
            let list = circle.join(" → ");
            remarks.push(Both::new(format!("保护对象相互依赖：{list}"), format!("objects need each other in a circle: {list}")));
        }
        let by_agent = |a: &Asset| Some((a.agent.as_deref()?.parse().ok()?, a.id.clone()));
        let known = Known {
            index: Index::of(&all.units, &all.objects, &all.assets),
            by_agent: all.assets.values().filter_map(by_agent).collect(),
            file,
            all,
            written,
            remarks,
        };
        Self { known: Arc::new(known), enrolled: HashMap::new() }
    }

    /// The same file and enrolments with these rows of the database.
    #[must_use]
    pub fn renewed(&self, rows: &[RegisterRow]) -> Self {
        Self { enrolled: self.enrolled.clone(), ..Self::of(self.known.file.clone(), rows) }
    }

    /// Says which unit an agent was enrolled for.
    pub fn assign(&mut self, agent: AgentId, unit: &str) {
        self.enrolled.insert(agent, unit.to_owned());
    }

    /// Everything that holds.
    pub fn all(&self) -> &Declared {
        &self.known.all
    }
    /// Whether the file declares a row; such a row comes back only if it is not removed through the API.
    pub fn in_file(&self, kind: RowKind, id: &str) -> bool {
        self.known.file.row(kind, id).is_some()
    }
    /// Whether a row was written through the API.
    pub fn is_written(&self, kind: RowKind, id: &str) -> bool {
        self.known.written.contains(&(kind, id.to_owned()))
    }
    /// Rows left out, circles of dependencies.
    pub fn remarks(&self) -> &[Both] {
        &self.known.remarks
    }
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.known.all.units.values()
    }
    pub fn assets(&self) -> impl ExactSizeIterator<Item = &Asset> {
        self.known.all.assets.values()
    }
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.known.all.units.get(id)
    }

    /// What is known of an agent's host. `hostname` is the agent's claim.
    pub fn host(&self, agent: AgentId, hostname: Option<&str>) -> HostFacts<'_> {
        let all = &self.known.all;
        let enrolled = self.enrolled.get(&agent).and_then(|id| all.units.get(id));
        let fits = |a: &&Asset| enrolled.is_none_or(|u| u.id == a.unit);
        let declared = self.known.by_agent.get(&agent).and_then(|id| all.assets.get(id));
        // A name is believed only where nothing better is known, nothing better speaks against it, and it means one asset.
        let named = || {
            let mut found = self.known.index.host(hostname?).filter_map(|id| all.assets.get(id)).filter(|a| a.agent.is_none()).filter(fits);
            let first = found.next()?;
            found.next().is_none().then_some(first)
        };
        let asset = declared.filter(fits).or_else(|| if declared.is_some() { None } else { named() });
        HostFacts { unit: enrolled.or_else(|| all.units.get(&asset?.unit)), asset }
    }

    /// What is known of an address, the narrowest network first, and any asset before a unit.
    pub fn address(&self, ip: IpAddr) -> HostFacts<'_> {
        let all = &self.known.all;
        let owners = || self.known.index.nets.around(Net::of(ip)).flat_map(|(_, owners)| owners);
        let asset = owners().find_map(|o| if let Owner::Asset(id) = o { all.assets.get(id) } else { None });
        let by_network = || owners().find_map(|o| if let Owner::Unit(id) = o { all.units.get(id) } else { None });
        HostFacts { unit: asset.and_then(|a| all.units.get(&a.unit)).or_else(by_network), asset }
    }
}

/// Takes out what does not fit, as little as possible, until the rest does.
fn settle(all: &mut Declared, remarks: &mut Vec<Both>) {
    loop {
        let faults: Vec<_> = all.faults().into_iter().filter(|(_, id, _)| !id.is_empty()).collect();
        if faults.is_empty() {
            return;
        }
        for (kind, id, fault) in faults {
            let (what, what_zh) = (kind.name(), kind.zh());
            remarks.push(Both::new(
                format!("{what_zh} {id} 的 {} 未采用：{}", fault.key, fault.text.zh),
                format!("{what} {id}: {} not taken: {}", fault.key, fault.text.en),
            ));
            let objects: BTreeSet<String> = all.objects.keys().cloned().collect();
            match (kind, fault.key) {
                (RowKind::Object, "needs") => {
                    if let Some(object) = all.objects.get_mut(&id) {
                        object.needs.retain(|need| objects.contains(need));
                    }
                }
                (RowKind::Asset, key @ ("object" | "agent" | "hostname")) => {
                    if let Some(asset) = all.assets.get_mut(&id) {
                        match key {
                            "object" => asset.object.clear(),
                            "agent" => asset.agent = None,
                            _ => asset.hostname = None,
                        }
                    }
                }
                _ => drop(all.remove(kind, &id)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
