//! The register (单位台账) as data: units with whom to call, protected objects, declared assets, and who depends on whom.
//!
//! One shape for the file, the API, import and export. What is refused names the key at fault, the value and the way out, in both languages.
//! Circles of `needs` are allowed (a power plant needs telecom, telecom needs power) and named.
//!
//! Limits: the constants below; a longer list is refused, never cut.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Both;
use crate::lookup::Net;

/// Units, objects and assets together.
pub const ROWS_MAX: usize = 100_000;
/// Contacts, channels of one, networks, domains, needs, ports of one row.
pub const LIST_MAX: usize = 64;
/// Assets one row with a range stands for.
pub const RANGE_MAX: usize = 1_000;
/// Characters of a name.
pub const NAME_MAX: usize = 100;
/// Places in the line of contacts.
pub const ROLES: [&str; 4] = ["duty", "substitute", "leader", "protection"];

/// A unit (单位): a tenant of the city.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RegisterUnit)]
pub struct Unit {
    pub id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_en: String,
    /// finance, energy, power, telecom, transport, …
    pub sector: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// Networks of the unit in CIDR form, to name the unit of an address nobody watches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Domain names of the unit; one stands for those below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Lets the city name it as a source when it warns others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
}

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    pub name: String,
    /// Place in the line: `duty`, `substitute`, `leader`, `protection`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phone: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mail: String,
    /// Names of configured channels that reach this contact, besides mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// `zh` or `en`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lang: String,
}

/// A protected object (保护对象): what the law grades.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RegisterObject)]
pub struct Object {
    pub id: String,
    pub unit: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_en: String,
    /// MLPS level (等级保护) 1 to 5; none: nobody declared it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlps: Option<u8>,
    /// Critical information infrastructure (关键信息基础设施).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cii: bool,
    /// Protection department (保护工作部门).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub protection: String,
    /// Filing number (备案编号).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filing: String,
    /// Objects it cannot work without: the power of a data centre, the telecom of a bank.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

/// A declared asset: found by agent id, host name or address, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RegisterAsset)]
pub struct Asset {
    pub id: String,
    pub unit: String,
    #[serde(default)]
    pub name: String,
    /// Protected object it belongs to.
    #[serde(default)]
    pub object: String,
    /// 1 ordinary, 2 important, 3 especially important.
    #[serde(default = "ordinary")]
    pub importance: u8,
    /// Agent id, 16 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Addresses or networks in CIDR form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Operating system as the agent names it; empty: not declared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// Ports that may be open; empty: not declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

const fn ordinary() -> u8 {
    1
}

/// Why a row is refused: the key at fault, and the value with the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub key: &'static str,
    pub text: Both,
}

fn fault(key: &'static str, en: impl Into<String>, zh: impl Into<String>) -> Fault {
    Fault { key, text: Both::new(zh, en) }
}

/// What a row is; the order in which references point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    Unit,
    Object,
    Asset,
}

impl RowKind {
    pub const ALL: [Self; 3] = [Self::Unit, Self::Object, Self::Asset];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Object => "object",
            Self::Asset => "asset",
        }
    }
    pub const fn zh(self) -> &'static str {
        match self {
            Self::Unit => "单位",
            Self::Object => "保护对象",
            Self::Asset => "资产",
        }
    }
}

/// One row of the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Row {
    Unit(Unit),
    Object(Object),
    Asset(Asset),
}

impl Row {
    pub const fn kind(&self) -> RowKind {
        match self {
            Self::Unit(_) => RowKind::Unit,
            Self::Object(_) => RowKind::Object,
            Self::Asset(_) => RowKind::Asset,
        }
    }
    pub fn id(&self) -> &str {
        match self {
            Self::Unit(unit) => &unit.id,
            Self::Object(object) => &object.id,
            Self::Asset(asset) => &asset.id,
        }
    }
    /// The unit it belongs to; a unit belongs to itself.
    pub fn unit(&self) -> &str {
        match self {
            Self::Unit(unit) => &unit.id,
            Self::Object(object) => &object.unit,
            Self::Asset(asset) => &asset.unit,
        }
    }
    /// Whether it makes sense by itself.
    pub fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Unit(unit) => check_unit(unit),
            Self::Object(object) => check_object(object),
            Self::Asset(asset) => check_asset(asset),
        }
    }
}

/// Everything declared, by id. A row of one kind may have the id of a row of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    pub units: BTreeMap<String, Unit>,
    pub objects: BTreeMap<String, Object>,
    pub assets: BTreeMap<String, Asset>,
}

impl Declared {
    pub fn len(&self) -> usize {
        self.units.len() + self.objects.len() + self.assets.len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn row(&self, kind: RowKind, id: &str) -> Option<Row> {
        match kind {
            RowKind::Unit => self.units.get(id).cloned().map(Row::Unit),
            RowKind::Object => self.objects.get(id).cloned().map(Row::Object),
            RowKind::Asset => self.assets.get(id).cloned().map(Row::Asset),
        }
    }
    /// Every row, units first.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let units = self.units.values().cloned().map(Row::Unit);
        let objects = self.objects.values().cloned().map(Row::Object);
        units.chain(objects).chain(self.assets.values().cloned().map(Row::Asset))
    }
    /// Puts a row in the place of the one with its id, or adds it; nothing is checked.
    pub fn put(&mut self, row: Row) {
        match row {
            Row::Unit(unit) => drop(self.units.insert(unit.id.clone(), unit)),
            Row::Object(object) => drop(self.objects.insert(object.id.clone(), object)),
            Row::Asset(asset) => drop(self.assets.insert(asset.id.clone(), asset)),
        }
    }
    pub fn remove(&mut self, kind: RowKind, id: &str) -> Option<Row> {
        match kind {
            RowKind::Unit => self.units.remove(id).map(Row::Unit),
            RowKind::Object => self.objects.remove(id).map(Row::Object),
            RowKind::Asset => self.assets.remove(id).map(Row::Asset),
        }
    }
    /// What of it lies within these units; none: everything.
    #[must_use]
    pub fn within(&self, units: Option<&BTreeSet<String>>) -> Self {
        let Some(mine) = units else { return self.clone() };
        let keep = |unit: &str| mine.contains(unit);
        Self {
            units: self.units.iter().filter(|(id, _)| keep(id)).map(|(k, v)| (k.clone(), v.clone())).collect(),
            objects: self.objects.iter().filter(|(_, o)| keep(&o.unit)).map(|(k, v)| (k.clone(), v.clone())).collect(),
            assets: self.assets.iter().filter(|(_, a)| keep(&a.unit)).map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }

    /// Rows that do not fit to the others: a unit, object or need that is not there, an agent or host name declared twice.
    pub fn faults(&self) -> Vec<(RowKind, String, Fault)> {
        let mut out = Vec::new();
        if self.len() > ROWS_MAX {
            let (en, zh) = (
                format!("the register has {} rows; it takes {ROWS_MAX}", self.len()),
                format!("登记表有 {} 行，上限 {ROWS_MAX}", self.len()),
            );
            out.push((RowKind::Unit, String::new(), fault("id", en, zh)));
        }
        for object in self.objects.values() {
            let mut refuse = |fault| out.push((RowKind::Object, object.id.clone(), fault));
            if !self.units.contains_key(&object.unit) {
                refuse(self.no_unit(&object.unit));
            }
            for need in object.needs.iter().filter(|n| !self.objects.contains_key(*n)) {
                refuse(fault(
                    "needs",
                    format!("'{need}' is no object of the register; declare it, or take it out of needs{}", known(&self.objects)),
                    format!("登记表中没有保护对象“{need}”，请先登记或从 needs 中去掉{}", known_zh(&self.objects)),
                ));
            }
        }
        let mut agents: BTreeMap<&str, &str> = BTreeMap::new();
        let mut hosts: BTreeMap<(String, &str), &str> = BTreeMap::new();
        for asset in self.assets.values() {
            let mut refuse = |fault| out.push((RowKind::Asset, asset.id.clone(), fault));
            if !self.units.contains_key(&asset.unit) {
                refuse(self.no_unit(&asset.unit));
            }
            match self.objects.get(&asset.object) {
                _ if asset.object.is_empty() => {}
                Some(object) if object.unit == asset.unit => {}
                Some(object) => refuse(fault(
                    "object",
                    format!("'{}' belongs to unit '{}', the asset to '{}'; both have one unit", asset.object, object.unit, asset.unit),
                    format!("“{}”属于单位“{}”，而资产属于“{}”，两者须为同一单位", asset.object, object.unit, asset.unit),
                )),
                None => refuse(fault(
                    "object",
                    format!("'{}' is no object of the register; declare it under [[object]]{}", asset.object, known(&self.objects)),
                    format!("登记表中没有保护对象“{}”，请在 [[object]] 下登记{}", asset.object, known_zh(&self.objects)),
                )),
            }
            if let Some(agent) = &asset.agent
                && let Some(other) = agents.insert(agent, &asset.id)
            {
                refuse(fault(
                    "agent",
                    format!("'{agent}' is declared for '{other}' as well; remove one"),
                    format!("探针“{agent}”已登记给“{other}”，请去掉一处"),
                ));
            }
            if let Some(name) = &asset.hostname
                && let Some(other) = hosts.insert((name.to_lowercase(), &asset.unit), &asset.id)
            {
                refuse(fault(
                    "hostname",
                    format!("'{name}' is declared for '{other}' as well; remove one"),
                    format!("主机名“{name}”已登记给“{other}”，请去掉一处"),
                ));
            }
        }
        out
    }

    fn no_unit(&self, unit: &str) -> Fault {
        fault(
            "unit",
            format!("'{unit}' is no unit of the register; register it first{}", known(&self.units)),
            format!("登记表中没有单位“{unit}”，请先登记{}", known_zh(&self.units)),
        )
    }

    /// What refers to a row and keeps it from being removed, in order: `object core-banking`, `asset grid-scada`.
    pub fn referrers(&self, kind: RowKind, id: &str) -> Vec<(RowKind, String)> {
        let objects = self.objects.values().filter(|o| match kind {
            RowKind::Unit => o.unit == id,
            RowKind::Object => o.id != id && o.needs.iter().any(|n| n == id),
            RowKind::Asset => false,
        });
        let assets = self.assets.values().filter(|a| match kind {
            RowKind::Unit => a.unit == id,
            RowKind::Object => a.object == id,
            RowKind::Asset => false,
        });
        let objects = objects.map(|o| (RowKind::Object, o.id.clone()));
        objects.chain(assets.map(|a| (RowKind::Asset, a.id.clone()))).collect()
    }

    /// Sets of objects that need each other in a circle, each in order of ids. Allowed, and worth knowing.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let needs = |id: &str| self.objects.get(id).into_iter().flat_map(|o| o.needs.iter().map(String::as_str));
        components(self.objects.keys().map(String::as_str), needs)
    }
}

fn known<T>(rows: &BTreeMap<String, T>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let more = if rows.len() > 10 { ", …" } else { "" };
    format!("; there are {}{more}", rows.keys().take(10).map(String::as_str).collect::<Vec<_>>().join(", "))
}

fn known_zh<T>(rows: &BTreeMap<String, T>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let more = if rows.len() > 10 { "……" } else { "" };
    format!("；已有 {}{more}", rows.keys().take(10).map(String::as_str).collect::<Vec<_>>().join("、"))
}

/// Strongly connected components of more than one member, or of one that points to itself (Kosaraju, without recursion).
fn components<'a, I: Iterator<Item = &'a str>>(ids: impl Iterator<Item = &'a str> + Clone, needs: impl Fn(&str) -> I) -> Vec<Vec<String>> {
    let mut back: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for id in ids {
        // Post-order: a node is done when all it needs is done.
        let mut stack = vec![(id, false)];
        while let Some((at, done)) = stack.pop() {
            if done {
                order.push(at);
            } else if seen.insert(at) {
                stack.push((at, true));
                for next in needs(at) {
                    back.entry(next).or_default().push(at);
                    stack.push((next, false));
                }
            }
        }
    }
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut out = Vec::new();
    for id in order.into_iter().rev() {
        let mut group = BTreeSet::new();
        let mut stack = vec![id];
        while let Some(at) = stack.pop() {
            if taken.insert(at) {
                group.insert(at);
                stack.extend(back.get(at).into_iter().flatten());
            }
        }
        if group.len() > 1 || group.iter().any(|one| needs(one).any(|n| n == *one)) {
            out.push(group.into_iter().map(str::to_owned).collect());
        }
    }
    out.sort();
    out
}

/// A word used as a key: letters, digits, `.`, `-`, `_`, 1 to 64.
pub fn good_key(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'))
}

fn check_key(key: &'static str, id: &str) -> Result<(), Fault> {
    if good_key(id) {
        return Ok(());
    }
    let shown: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    Err(fault(
        key,
        format!("'{shown}' is not 1 to 64 letters, digits, '.', '-' or '_'; write e.g. grid-east"),
        format!("“{shown}”应为 1 至 64 个字母、数字、“.”、“-”或“_”，例如 grid-east"),
    ))
}

fn check_text(key: &'static str, text: &str, min: usize, max: usize) -> Result<(), Fault> {
    let count = text.trim().chars().count();
    if (min..=max).contains(&count) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(fault(
        key,
        format!("has {count} characters; it takes {min} to {max}, without control characters"),
        format!("有 {count} 个字符，应为 {min} 至 {max} 个，且不含控制字符"),
    ))
}

fn check_list<T>(key: &'static str, list: &[T]) -> Result<(), Fault> {
    if list.len() <= LIST_MAX {
        return Ok(());
    }
    Err(fault(key, format!("has {} entries; it takes {LIST_MAX}", list.len()), format!("有 {} 项，上限 {LIST_MAX}", list.len())))
}

fn check_networks(networks: &[String]) -> Result<(), Fault> {
    check_list("networks", networks)?;
    match networks.iter().find(|text| Net::parse(text).is_none()) {
        None => Ok(()),
        Some(text) => Err(fault(
            "networks",
            format!("'{text}' is no address or network; write e.g. 10.1.0.0/16"),
            format!("“{text}”不是地址或网段，请写成例如 10.1.0.0/16"),
        )),
    }
}

/// A domain name without a dot at either end.
pub fn good_domain(name: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label)
}

fn check_unit(unit: &Unit) -> Result<(), Fault> {
    check_key("id", &unit.id)?;
    check_text("name", &unit.name, 1, NAME_MAX)?;
    check_text("name_en", &unit.name_en, 0, NAME_MAX)?;
    if unit.sector.trim().is_empty() {
        return Err(fault(
            "sector",
            "is empty; one word such as finance, energy, power, telecom or transport",
            "为空，请填一个词，例如 finance、energy、power、telecom 或 transport",
        ));
    }
    check_key("sector", &unit.sector)?;
    check_contacts(&unit.contacts)?;
    check_networks(&unit.networks)?;
    check_list("domains", &unit.domains)?;
    match unit.domains.iter().find(|name| !good_domain(name)) {
        None => Ok(()),
        Some(name) => Err(fault(
            "domains",
            format!("'{name}' is no domain name; write e.g. bank.example, which stands for all names below it"),
            format!("“{name}”不是域名，请写成例如 bank.example（包含其下所有名称）"),
        )),
    }
}

/// Whom to call: names, places in the line, and ways to reach them.
pub fn check_contacts(contacts: &[Contact]) -> Result<(), Fault> {
    check_list("contacts", contacts)?;
    for contact in contacts {
        check_text("contacts", &contact.name, 1, 2 * NAME_MAX)?;
        for text in [&contact.phone, &contact.mail] {
            check_text("contacts", text, 0, NAME_MAX)?;
        }
        if !contact.role.is_empty() && !ROLES.contains(&contact.role.as_str()) {
            return Err(fault(
                "contacts",
                format!("role '{}' is not duty, substitute, leader or protection", contact.role),
                format!("角色“{}”应为 duty（值班）、substitute（替补）、leader（负责人）或 protection（保护部门）", contact.role),
            ));
        }
        if !contact.mail.is_empty()
            && !contact.mail.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty() && !b.contains('@'))
        {
            return Err(fault(
                "contacts",
                format!("mail '{}' is no address; write e.g. duty@bank.example", contact.mail),
                format!("邮箱“{}”有误，请写成例如 duty@bank.example", contact.mail),
            ));
        }
        if !matches!(contact.lang.as_str(), "" | "zh" | "en") {
            return Err(fault(
                "contacts",
                format!("lang '{}' is not zh or en", contact.lang),
                format!("语言“{}”应为 zh 或 en", contact.lang),
            ));
        }
        check_list("contacts", &contact.channels)?;
        for channel in &contact.channels {
            check_key("contacts", channel)?;
        }
    }
    Ok(())
}

fn check_object(object: &Object) -> Result<(), Fault> {
    check_key("id", &object.id)?;
    check_text("name", &object.name, 1, NAME_MAX)?;
    for (key, text) in [("name_en", &object.name_en), ("protection", &object.protection), ("filing", &object.filing)] {
        check_text(key, text, 0, NAME_MAX)?;
    }
    if let Some(level) = object.mlps.filter(|level| !(1..=5).contains(level)) {
        return Err(fault(
            "mlps",
            format!("{level} is not 1 to 5; leave it away where nobody graded the object"),
            format!("{level} 应为 1 至 5；未定级则不填"),
        ));
    }
    check_list("needs", &object.needs)
}

fn check_asset(asset: &Asset) -> Result<(), Fault> {
    check_key("id", &asset.id)?;
    for (key, text) in [("name", &asset.name), ("os", &asset.os)] {
        check_text(key, text, 0, NAME_MAX)?;
    }
    if !(1..=3).contains(&asset.importance) {
        return Err(fault(
            "importance",
            format!("{} is not 1 (ordinary), 2 (important) or 3 (especially important)", asset.importance),
            format!("{} 应为 1（一般）、2（重要）或 3（特别重要）", asset.importance),
        ));
    }
    if let Some(agent) = asset.agent.as_deref().filter(|a| a.len() != 16 || !a.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))) {
        return Err(fault(
            "agent",
            format!("'{agent}' is no agent id; 16 hex digits as `vedette agents` lists them"),
            format!("“{agent}”不是探针标识，应为 16 位十六进制数（见 `vedette agents`）"),
        ));
    }
    if let Some(name) = &asset.hostname {
        check_text("hostname", name, 1, 253)?;
    }
    check_list("ports", &asset.ports)?;
    check_networks(&asset.networks)
}

impl Asset {
    /// The assets a row stands for: `id = "grid-rtu-[01-12]"` is twelve, and `[01-12]` counts in `name`, `hostname` and `networks` alike. A row
    /// without a range is itself.
    pub fn expand(self) -> Result<Vec<Self>, Fault> {
        let Some((first, last, _)) = range(&self.id) else { return Ok(vec![self]) };
        if last < first || (last - first) as usize >= RANGE_MAX {
            return Err(fault(
                "id",
                format!("'{}' counts from {first} to {last}; a range rises and has at most {RANGE_MAX}", self.id),
                format!("“{}”由 {first} 至 {last}；范围应递增且不超过 {RANGE_MAX} 个", self.id),
            ));
        }
        let count = last - first;
        let texts = [&self.name].into_iter().chain(&self.hostname).chain(&self.networks);
        if let Some(text) = texts.into_iter().find(|t| range(t).is_some_and(|(a, b, _)| b < a || b - a != count)) {
            return Err(fault(
                "id",
                format!("'{}' and '{text}' count differently; ranges of one row have the same length", self.id),
                format!("“{}”与“{text}”范围长度不同，同一行的范围须等长", self.id),
            ));
        }
        let made = (0..=count).map(|n| Self {
            id: nth(&self.id, n),
            name: nth(&self.name, n),
            hostname: self.hostname.as_deref().map(|h| nth(h, n)),
            networks: self.networks.iter().map(|net| nth(net, n)).collect(),
            ..self.clone()
        });
        Ok(made.collect())
    }
}

/// First `[a-b]` in a text: both numbers and how many digits the first has.
fn range(text: &str) -> Option<(u32, u32, usize)> {
    let (_, rest) = text.split_once('[')?;
    let (inside, _) = rest.split_once(']')?;
    let (first, last) = inside.split_once('-')?;
    let number = |t: &str| (!t.is_empty() && t.len() <= 6 && t.bytes().all(|c| c.is_ascii_digit())).then(|| t.parse().ok()).flatten();
    Some((number(first)?, number(last)?, first.len()))
}

fn nth(text: &str, n: u32) -> String {
    let Some((first, _, digits)) = range(text) else { return text.to_owned() };
    let Some((head, rest)) = text.split_once('[') else { return text.to_owned() };
    let tail = rest.split_once(']').map_or("", |(_, tail)| tail);
    format!("{head}{:0digits$}{tail}", first + n)
}

#[cfg(test)]
mod tests;
