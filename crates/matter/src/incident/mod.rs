//! An incident (安全事件): judged harm with an owner, a category and a grade, from suspicion to a closing summary.
//!
//! * suspected → confirmed → handling → recovered → closed. Confirming needs a category (GB/T 20986-2023) and a grade, given or found from the
//!   figures of its impact by `[grade_guide]`; the higher grade wins and is shown with its figure. Closing needs a summary and a reason.
//! * A confirmed grade is the floor of the recommended level: it is told to the campaign it belongs to, with each change, and taken back when
//!   the incident turns out to be none.
//! * Merge and split are reversible: what was taken is remembered. Only incidents of the same units are merged, since a unit sees its own
//!   incident and must not learn from it who else is hit; the city keeps a wider one of its own and links them.
//! * Timers fire: no owner, no judgement, no handling, no recovery, no summary in time each tell people, later ones the shift lead, each after
//!   twice the time of the one before, six times at most.
//! * A unit's own people open and work incidents of their unit; the city's have no unit.

mod acts;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use event::Timestamp;
use serde::{Deserialize, Serialize};

pub use acts::{ACTS, IncidentAct};
pub use table::{CATEGORIES, IncidentTable, category, grade_name};

use crate::campaign::{Campaign, CampaignAct, Said};
use crate::clock::table::Impact;
use crate::{Both, Card, Desk, Effects, Matter, Message, Permission, Recipient, Refusal};

pub const ALERTS_MAX: usize = 500;
pub const UNITS_MAX: usize = 64;
pub const NOTES_MAX: usize = 500;
pub const MERGED_MAX: usize = 32;
pub const TITLE_CHARS_MAX: usize = 200;
/// Times one limit is called out.
const CALLS_MAX: u32 = 6;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: String,
    pub state: State,
    pub title: String,
    /// Units it is about; empty: the city's own.
    pub units: Vec<String>,
    /// GB/T 20986-2023, two or five digits.
    #[serde(default)]
    pub category: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<u8>,
    /// Which figure gave the grade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade_why: Option<Both>,
    /// How far it reached, by measure of the grading guide.
    #[serde(default, skip_serializing_if = "Impact::is_empty")]
    pub impact: Impact,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default)]
    pub alerts: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    #[serde(default)]
    pub exercise: bool,
    pub opened: Said,
    /// When each state was reached, by its word; the newest time.
    pub reached: BTreeMap<String, Said>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// Incidents taken in, and what came with them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub merged: BTreeMap<String, BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_from: Option<String>,
    #[serde(default)]
    pub notes: Vec<Said>,
    /// The running limits: word, since when, how often called out.
    #[serde(default)]
    pub timers: Vec<Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Suspected,
    Confirmed,
    Handling,
    Recovered,
    Closed,
}

impl State {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Confirmed => "confirmed",
            Self::Handling => "handling",
            Self::Recovered => "recovered",
            Self::Closed => "closed",
        }
    }
    const fn zh(self) -> &'static str {
        match self {
            Self::Suspected => "疑似",
            Self::Confirmed => "已确认",
            Self::Handling => "处置中",
            Self::Recovered => "已恢复",
            Self::Closed => "已关闭",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub reason: CloseReason,
    pub summary: String,
}

/// Why an incident was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// Handled and over.
    Resolved,
    /// Nothing happened.
    FalseAlarm,
    Authorised,
    /// Told twice.
    Duplicate,
    /// An attack without harm, actual or likely (GB/T 37027): counted as an attack.
    NoHarm,
}

impl CloseReason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::FalseAlarm => "false_alarm",
            Self::Authorised => "authorised",
            Self::Duplicate => "duplicate",
            Self::NoHarm => "no_harm",
        }
    }
    /// It was an incident.
    pub const fn real(self) -> bool {
        matches!(self, Self::Resolved)
    }
}

/// One limit that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timer {
    /// `owner`, `judge`, `handle`, `recover`, `summary`.
    pub word: String,
    #[serde(with = "crate::when")]
    pub since: Timestamp,
    pub limit_min: u32,
    #[serde(with = "crate::when")]
    pub next: Timestamp,
    /// Times called out; above 0: the limit has passed.
    pub calls: u32,
}

impl Matter for Incident {
    const KIND: &'static str = "incident";
    type Act = IncidentAct;

    fn open(id: &str, act: IncidentAct, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        let IncidentAct::Open { title, units, category, grade, impact, alerts, campaign, split_from, exercise, note } = act else {
            return Err(Refusal::because("an incident is opened with 'open'", "请使用“新建”"));
        };
        // Only the desk itself says where one was split from.
        if split_from.is_some() && desk.by.role.is_some() {
            return Err(Refusal::because("use 'split' on the incident it comes from", "请在原安全事件上使用“拆分”"));
        }
        let units = match (&desk.by.units, units.is_empty()) {
            (Some(own), true) if own.len() == 1 => own.clone(),
            (Some(_), true) => return Err(Refusal::because("name the unit it is about ('units')", "请填写涉及的单位（units）")),
            _ => units,
        };
        let mut incident = Self {
            id: id.to_owned(),
            state: State::Suspected,
            title: checked_title(&title)?,
            units: checked_units(desk, units)?,
            category: String::new(),
            grade: None,
            grade_why: None,
            impact: Impact::new(),
            owner: desk.by.role.map(|_| desk.by.name.clone()),
            alerts: BTreeSet::new(),
            campaign: None,
            exercise,
            opened: Said {
                who: desk.by.name.clone(),
                time: desk.now,
                text: note.unwrap_or_default().chars().take(crate::campaign::NOTE_CHARS_MAX).collect(),
            },
            reached: BTreeMap::new(),
            closed: None,
            merged: BTreeMap::new(),
            merged_into: None,
            split_from,
            notes: Vec::new(),
            timers: Vec::new(),
        };
        incident.classify(category, grade)?;
        incident.reached_by(desk, impact)?;
        incident.link(alerts)?;
        incident.belong(desk, campaign)?;
        incident.enter(State::Suspected, desk, String::new());
        let _ = out;
        Ok(incident)
    }

    fn act(&mut self, act: IncidentAct, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if let Some(into) = self.merged_into.clone()
            && !matches!(act, IncidentAct::Released {} | IncidentAct::Note { .. })
        {
            return Err(Refusal::because(
                format!("it was merged into {into}: work there, or undo it there with 'unmerge'"),
                format!("已合并至 {into}：请在该事件上处理，或在该事件上“撤销合并”"),
            ));
        }
        self.carry(act, desk, out)
    }

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let due: Vec<usize> =
            self.timers.iter().enumerate().filter(|(_, t)| t.calls < CALLS_MAX && t.next <= desk.now).map(|(n, _)| n).collect();
        for at in due {
            let Some(timer) = self.timers.get_mut(at) else { continue };
            timer.calls += 1;
            let wait = i64::from(timer.limit_min) * 60 * (1 << timer.calls);
            timer.next = desk.now.plus_secs(wait);
            let timer = timer.clone();
            self.call_out(&timer, desk, out);
        }
        Ok(())
    }

    fn card(&self) -> Card {
        let mut links: Vec<String> = self.campaign.iter().chain(&self.merged_into).chain(&self.split_from).cloned().collect();
        links.extend(self.merged.keys().cloned());
        links.extend(self.alerts.iter().cloned());
        Card {
            state: if self.merged_into.is_some() { "merged" } else { self.state.name() },
            closed: self.state == State::Closed || self.merged_into.is_some(),
            level: None,
            title: Both::new(self.title.clone(), self.title.clone()),
            units: self.units.clone(),
            exercise: self.exercise,
            due: self.timers.iter().filter(|t| t.calls < CALLS_MAX).map(|t| t.next).min(),
            links,
        }
    }
}

impl Incident {
    /// Acts that make sense now, the next step first.
    pub fn sensible(&self) -> Vec<&'static str> {
        if self.merged_into.is_some() {
            return vec!["note"];
        }
        let mut words = match self.state {
            State::Suspected => vec!["confirm"],
            State::Confirmed => vec!["handle", "recover", "regrade"],
            State::Handling => vec!["recover", "regrade"],
            State::Recovered => vec!["close", "regrade", "reopen"],
            State::Closed => return vec!["reopen", "note"],
        };
        words.extend(["assign", "note", "link"]);
        if !self.alerts.is_empty() {
            words.extend(["unlink", "split"]);
        }
        words.extend(["edit", "merge"]);
        if !self.merged.is_empty() {
            words.push("unmerge");
        }
        if self.state != State::Recovered {
            words.push("close");
        }
        words
    }

    /// Enters a state: notes who and when, and sets the limits that run in it.
    fn enter(&mut self, state: State, desk: &Desk, text: String) {
        self.state = state;
        self.reached.insert(state.name().to_owned(), Said { who: desk.by.name.clone(), time: desk.now, text });
        self.timers.retain(|t| t.word == "owner");
        self.run_timers(desk);
    }

    fn run_timers(&mut self, desk: &Desk) {
        let table = &desk.book.tables.desk.incident;
        let of = |row: &[u32; 4]| row.get(usize::from(self.grade.unwrap_or(4)).saturating_sub(1)).copied().unwrap_or(row[3]);
        let wanted = match self.state {
            State::Suspected => Some(("judge", table.judge_min)),
            State::Confirmed => Some(("handle", of(&table.handle_min))),
            State::Handling => Some(("recover", of(&table.recover_min))),
            State::Recovered => Some(("summary", table.summary_min)),
            State::Closed => None,
        };
        let owner = (self.owner.is_none() && self.state != State::Closed).then_some(("owner", table.owner_min));
        let wanted: Vec<(&str, u32)> = wanted.into_iter().chain(owner).collect();
        self.timers.retain(|t| wanted.iter().any(|(word, _)| *word == t.word));
        for (word, limit_min) in wanted {
            let since = match self.timers.iter().find(|t| t.word == word) {
                Some(same) if same.limit_min == limit_min => continue,
                // The grade changed: the limit is another, the time it runs from is not.
                Some(other) => other.since,
                None => desk.now,
            };
            self.timers.retain(|t| t.word != word);
            let end = since.plus_secs(i64::from(limit_min) * 60);
            let next = if end > desk.now { end } else { desk.now.plus_secs(1) };
            self.timers.push(Timer { word: word.to_owned(), since, limit_min, next, calls: 0 });
        }
    }

    fn call_out(&self, timer: &Timer, desk: &Desk, out: &mut Effects) {
        let (zh, en) = match timer.word.as_str() {
            "owner" => ("尚无负责人", "has no owner"),
            "judge" => ("尚未研判", "is not judged"),
            "handle" => ("尚未开始处置", "is not being handled"),
            "recover" => ("尚未恢复", "has not recovered"),
            _ => ("尚未提交总结", "lacks its summary"),
        };
        let minutes = desk.now.since(timer.since) / (60 * event::SECOND_NS);
        let text = Both::new(
            format!("“{}”已 {minutes} 分钟{zh}（时限 {} 分钟，第 {} 次提醒）", self.title, timer.limit_min, timer.calls),
            format!("'{}' {en} after {minutes} minutes (limit {}, call {})", self.title, timer.limit_min, timer.calls),
        );
        let city = if timer.calls > 1 { Permission::WarningsRelease } else { Permission::IncidentsWrite };
        let units = self
            .units
            .iter()
            .map(|u| Recipient::Unit { unit: u.clone(), role: if timer.calls > 2 { "leader" } else { "duty" }.to_owned() });
        for recipient in std::iter::once(Recipient::City { right: city }).chain(units) {
            let whom = serde_json::to_string(&recipient).unwrap_or_default();
            out.tell(Message {
                key: format!("incident {} {} {} {} {whom}", self.id, timer.word, timer.since.ns(), timer.calls),
                recipient,
                level: None,
                kind: Self::KIND.to_owned(),
                id: self.id.clone(),
                thread: self.id.clone(),
                title: Both::new(format!("安全事件超时：{}", self.title), format!("Incident overdue: {}", self.title)),
                text: text.clone(),
                revision: None,
                exercise: self.exercise,
                time: desk.now,
            });
        }
    }

    /// Tells the campaign what floor this incident sets: its grade while it is confirmed, nothing otherwise.
    fn feed(&self, out: &mut Effects) {
        let Some(campaign) = &self.campaign else { return };
        let real = match self.state {
            State::Suspected => false,
            State::Closed => self.closed.as_ref().is_some_and(|c| c.reason.real()),
            _ => true,
        };
        let grade = self.grade.filter(|_| real && self.merged_into.is_none());
        out.act::<Campaign>(campaign, &CampaignAct::Incident { incident: self.id.clone(), grade });
    }

    fn classify(&mut self, code: Option<String>, grade: Option<u8>) -> Result<(), Refusal> {
        if let Some(code) = code.filter(|c| !c.is_empty()) {
            if category(&code).is_none() {
                return Err(Refusal::because(
                    format!("'{code}' is no category handled here; two or five digits of GB/T 20986-2023, e.g. 01007 (ransomware)"),
                    format!("“{code}”不是可用的分类代码；请填写 GB/T 20986-2023 的 2 位或 5 位代码，如 01007（勒索软件）"),
                ));
            }
            self.category = code;
        }
        match grade {
            Some(g) if !(1..=4).contains(&g) => {
                Err(Refusal::because("a grade is 1 (most serious) to 4", "级别为 1（特别重大）至 4（一般）"))
            }
            Some(g) => {
                self.grade = Some(g);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn link(&mut self, alerts: Vec<String>) -> Result<(), Refusal> {
        if let Some(bad) = alerts.iter().find(|a| !is_alert(a)) {
            return Err(Refusal::because(
                format!("'{bad}' is no alert; write e.g. A0123456789abcdef"),
                format!("“{bad}”不是告警编号，应形如 A0123456789abcdef"),
            ));
        }
        self.alerts.extend(alerts);
        if self.alerts.len() > ALERTS_MAX {
            return Err(Refusal::because(
                format!("at most {ALERTS_MAX} alerts; the campaign holds the rest"),
                format!("最多关联 {ALERTS_MAX} 条告警，其余见攻击活动"),
            ));
        }
        Ok(())
    }

    fn belong(&mut self, desk: &Desk, campaign: Option<String>) -> Result<(), Refusal> {
        let Some(id) = campaign.filter(|c| !c.is_empty()) else { return Ok(()) };
        // A campaign is the city's: whether there is one must not be told to a unit.
        let there = desk.by.units.is_none() && desk.get::<Campaign>(&id)?.is_some_and(|c| c.exercise == self.exercise);
        if !there {
            return Err(Refusal::because(format!("there is no campaign '{id}' to link"), format!("没有可关联的攻击活动“{id}”")));
        }
        self.campaign = Some(id);
        Ok(())
    }

    fn remember(&mut self, said: Said) -> Result<(), Refusal> {
        if self.notes.len() >= NOTES_MAX {
            return Err(Refusal::because(format!("at most {NOTES_MAX} notes"), format!("备注最多 {NOTES_MAX} 条")));
        }
        self.notes.push(said);
        Ok(())
    }

    fn must_be(&self, states: &[State], what: &str, zh: &str) -> Result<(), Refusal> {
        if states.contains(&self.state) {
            return Ok(());
        }
        let en: Vec<&str> = states.iter().map(|s| s.name()).collect();
        let names: Vec<&str> = states.iter().map(|s| s.zh()).collect();
        Err(Refusal::because(
            format!("it is {}; {what} is for one that is {}", self.state.name(), en.join(" or ")),
            format!("当前为“{}”，{zh}仅适用于“{}”", self.state.zh(), names.join("”“")),
        ))
    }
}

fn is_alert(id: &str) -> bool {
    id.strip_prefix('A').is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn checked_title(title: &str) -> Result<String, Refusal> {
    let title = title.trim();
    if title.is_empty() || title.chars().count() > TITLE_CHARS_MAX || title.contains(['\n', '\r']) {
        return Err(Refusal::because(
            format!("a title of one line, 1 to {TITLE_CHARS_MAX} characters"),
            format!("标题为一行，1 至 {TITLE_CHARS_MAX} 个字符"),
        ));
    }
    Ok(title.to_owned())
}

fn checked_units(desk: &Desk, mut units: Vec<String>) -> Result<Vec<String>, Refusal> {
    units.sort();
    units.dedup();
    if units.len() > UNITS_MAX {
        return Err(Refusal::because(
            format!("at most {UNITS_MAX} units; leave 'units' empty for the city's own"),
            format!("最多 {UNITS_MAX} 个单位；全市性事件请留空"),
        ));
    }
    // Of a unit outside the scope it is not said whether it exists.
    let unknown = units.iter().find(|u| !desk.book.units.contains_key(*u) && desk.by.units.as_ref().is_none_or(|own| own.contains(u)));
    match unknown {
        Some(u) => Err(Refusal::because(
            format!("there is no unit '{u}'; `vedette units` lists them"),
            format!("没有单位“{u}”，可用 `vedette units` 查看"),
        )),
        None => Ok(units),
    }
}
