//! A campaign (攻击活动): alerts that are one thing to the desk, what they add up to, and which warning that recommends.
//!
//! * **Group**: technique, indicator or source address (else rule), direction. `place.rs` chooses it and keeps the number of open groups
//!   small whatever comes in. A group that heard nothing for the window closes by itself.
//! * **Grading**: each change that matters is graded by `book.tables.grading` with everything other open groups hold of the same source
//!   (`grade.rs`). A level opens a draft warning at once, or tells the open one; a person assesses it.
//! * **Judgement**: an alert dismissed by a person is evidence no more; one confirmed, or a confirmed incident, counts as a person's word.
//! * **City's own**: a campaign is about several units by nature, so no unit sees it (`Card::units` is empty). What a unit may learn goes into
//!   a receipt through [`crate::disclose`].
//! * Bounded: members, traces, addresses, units, rules, notes; what is beyond is counted.

mod draft;
mod follow;
mod grade;
mod place;
mod sighting;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::grade::{Admiralty, Recommendation};

pub use draft::notice;
pub use follow::{Followed, News, follow};
pub use place::{Group, Width};
pub use sighting::{Direction, Intake, Judged, Sighting, Spot, normal, unknown_object};
pub use table::{CampaignTable, Playbook, SeverityGrades, playbook};

use crate::book::Flaw;
use crate::{ActRow, Both, Card, Desk, Effects, Input, Matter, Permission, Refusal, field, id_of};

pub const MEMBERS_MAX: usize = 100;
pub const TRACES_MAX: usize = 256;
/// Traces that say the same of the same object.
pub const TRACES_SAME_MAX: usize = 3;
pub const UNITS_MAX: usize = 512;
pub const WORDS_MAX: usize = 64;
pub const NOTES_MAX: usize = 200;
pub const NOTE_CHARS_MAX: usize = 4_000;
pub const INCIDENTS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    pub id: String,
    pub state: State,
    pub group: Group,
    pub title: Both,
    #[serde(default)]
    pub exercise: bool,
    /// Event time of the first and the newest alert.
    #[serde(with = "crate::when")]
    pub first: Timestamp,
    #[serde(with = "crate::when")]
    pub last: Timestamp,
    /// When an alert last reached it, and when it was last graded.
    #[serde(with = "crate::when")]
    pub heard: Timestamp,
    #[serde(with = "crate::when")]
    pub graded: Timestamp,
    /// When time alone looks at it again.
    #[serde(with = "crate::when")]
    pub next_look: Timestamp,
    /// Distinct alerts; of those not in `members`; of those dismissed or about what everybody uses.
    pub alerts: u64,
    pub beyond: u64,
    /// The newest, at most 100.
    pub members: Vec<Member>,
    pub traces: Vec<Trace>,
    pub traces_beyond: u64,
    pub units: BTreeMap<String, UnitSeen>,
    pub units_beyond: u64,
    /// Source addresses and indicators; each list the first 64.
    pub from: Vec<String>,
    pub indicators: Vec<String>,
    pub techniques: Vec<String>,
    pub tactics: Vec<String>,
    pub rules: BTreeMap<String, Both>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Said>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast_grade: Option<u8>,
    /// Confirmed incidents by id: grade 1 to 4.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub incidents: BTreeMap<String, u8>,
    pub recommended: Option<Recommendation>,
    /// Level of the newest draft it caused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafted: Option<warning::grade::Level>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Said>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Said>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    /// Nothing came for the whole window.
    Quiet,
    /// A person closed it.
    Closed,
}

/// An alert of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub alert: String,
    pub rule: String,
    pub severity: u8,
    pub units: Vec<String>,
    pub judged: Judged,
    #[serde(with = "crate::when")]
    pub last: Timestamp,
}

/// What an alert shows on one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub alert: String,
    pub object: String,
    pub unit: String,
    pub sector: String,
    pub techniques: Vec<String>,
    pub tactics: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attempt: bool,
    /// Rule and unit: two of them are two that say so.
    pub source: String,
    pub grade: Admiralty,
    /// Address or indicator it is grouped by in a coarse group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
    /// Flaws it names that are known to be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaws: Vec<Flaw>,
    /// When it reached the desk.
    #[serde(with = "crate::when")]
    pub heard: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitSeen {
    pub sector: String,
    pub alerts: u64,
    #[serde(with = "crate::when")]
    pub first: Timestamp,
    #[serde(with = "crate::when")]
    pub last: Timestamp,
}

/// What somebody said, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub who: String,
    #[serde(with = "crate::when")]
    pub time: Timestamp,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum CampaignAct {
    Open {
        group: Group,
        new: Vec<Sighting>,
    },
    /// Alerts new to it, and alerts of it as they are now.
    Take {
        #[serde(default)]
        new: Vec<Sighting>,
        #[serde(default)]
        again: Vec<Sighting>,
    },
    /// An incident of it was confirmed, regraded, or (no grade) is none after all.
    Incident {
        incident: String,
        #[serde(default)]
        grade: Option<u8>,
    },
    Confirm {
        #[serde(default = "yes")]
        confirmed: bool,
        note: String,
    },
    Forecast {
        #[serde(default)]
        grade: Option<u8>,
        note: String,
    },
    Draft {},
    Note {
        text: String,
    },
    Close {
        reason: String,
    },
}

const fn yes() -> bool {
    true
}

const fn act(
    word: &'static str,
    right: Option<Permission>,
    about: &'static str,
    about_zh: &'static str,
    fields: &'static [crate::FieldRow],
) -> ActRow {
    ActRow { word, opens: false, right, about, about_zh, fields }
}

pub const ACTS: &[ActRow] = &[
    ActRow { opens: true, ..act("open", None, "Open", "新建", &[]) },
    act("take", None, "Take alerts in", "归入告警", &[]),
    act("incident", None, "Note an incident", "关联安全事件", &[]),
    act(
        "confirm",
        Some(Permission::WarningsDraft),
        "Confirm",
        "人工确认",
        &[
            field(
                "confirmed",
                false,
                Input::Yes,
                "it is so; false takes the word back (default: true)",
                "确认属实；false 表示撤回确认（默认 true）",
            ),
            field("note", true, Input::Text, "what was looked at", "依据"),
        ],
    ),
    act(
        "forecast",
        Some(Permission::WarningsDraft),
        "Forecast",
        "预计影响",
        &[
            field(
                "grade",
                false,
                Input::Number,
                "grade an incident is expected to reach, 1 to 4; none takes it back",
                "预计可能达到的安全事件级别（1–4）；不填表示撤回",
            ),
            field("note", true, Input::Text, "why", "理由"),
        ],
    ),
    act("draft", Some(Permission::WarningsDraft), "Draft a warning", "拟制预警", &[]),
    act("note", Some(Permission::WarningsDraft), "Note", "备注", &[field("text", true, Input::Text, "the note", "备注内容")]),
    act(
        "close",
        Some(Permission::WarningsDraft),
        "Close",
        "关闭",
        &[field("reason", true, Input::Text, "why nothing more is expected of it", "关闭理由")],
    ),
];

impl Matter for Campaign {
    const KIND: &'static str = "campaign";
    type Act = CampaignAct;

    fn name(act: &CampaignAct, desk: &Desk, key: Option<&str>) -> String {
        match act {
            CampaignAct::Open { group, new } => {
                let first = new.first().map(|s| format!("{} {}", s.alert, s.last.ns())).unwrap_or_default();
                id_of(Self::KIND, &[&group.key(), &first])
            }
            other => crate::fresh_id(Self::KIND, other, desk, key),
        }
    }

    fn open(id: &str, act: CampaignAct, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        let CampaignAct::Open { group, new } = act else {
            return Err(Refusal::because("a campaign is opened by its first alert", "攻击活动由首条告警建立"));
        };
        let Some(first) = new.first() else { return Err(Refusal::because("a campaign without an alert", "缺少告警")) };
        let mut campaign = Self {
            id: id.to_owned(),
            state: State::Open,
            title: group.title(first),
            exercise: group.exercise,
            group,
            first: first.first,
            last: first.last,
            heard: desk.now,
            graded: desk.now,
            next_look: desk.now,
            alerts: 0,
            beyond: 0,
            members: Vec::new(),
            traces: Vec::new(),
            traces_beyond: 0,
            units: BTreeMap::new(),
            units_beyond: 0,
            from: Vec::new(),
            indicators: Vec::new(),
            techniques: Vec::new(),
            tactics: Vec::new(),
            rules: BTreeMap::new(),
            confirmed: None,
            forecast_grade: None,
            incidents: BTreeMap::new(),
            recommended: None,
            drafted: None,
            notes: Vec::new(),
            closed: None,
        };
        new.iter().for_each(|s| campaign.take(s, true, desk));
        campaign.regrade(desk, out, false)?;
        Ok(campaign)
    }

    fn act(&mut self, act: CampaignAct, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if self.state != State::Open && !matches!(act, CampaignAct::Note { .. } | CampaignAct::Incident { .. }) {
            return Err(Refusal::because("it is closed; new alerts open another campaign", "该攻击活动已关闭，新告警将另行建立攻击活动"));
        }
        match act {
            CampaignAct::Open { .. } => return Err(Refusal::because("it is open already", "已建立")),
            CampaignAct::Take { new, again } => {
                new.iter().for_each(|s| self.take(s, true, desk));
                again.iter().for_each(|s| self.take(s, false, desk));
                return self.regrade(desk, out, false);
            }
            CampaignAct::Incident { incident, grade } => {
                match grade.filter(|g| (1..=4).contains(g)) {
                    Some(grade) if self.incidents.len() < INCIDENTS_MAX || self.incidents.contains_key(&incident) => {
                        self.incidents.insert(incident, grade);
                    }
                    Some(_) => {
                        return Err(Refusal::because(
                            format!("at most {INCIDENTS_MAX} incidents"),
                            format!("最多关联 {INCIDENTS_MAX} 起安全事件"),
                        ));
                    }
                    None => {
                        self.incidents.remove(&incident);
                    }
                }
                if self.state != State::Open {
                    return Ok(());
                }
                return self.regrade(desk, out, false);
            }
            CampaignAct::Confirm { confirmed, note } => {
                let said = say(desk, &note)?;
                self.confirmed = confirmed.then(|| said.clone());
                self.remember(said)?;
                return self.regrade(desk, out, false);
            }
            CampaignAct::Forecast { grade, note } => {
                if grade.is_some_and(|g| !(1..=4).contains(&g)) {
                    return Err(Refusal::because("a grade is 1 (most serious) to 4", "级别为 1（特别重大）至 4（一般）"));
                }
                self.remember(say(desk, &note)?)?;
                self.forecast_grade = grade;
                return self.regrade(desk, out, false);
            }
            CampaignAct::Draft {} => return self.regrade(desk, out, true),
            CampaignAct::Note { text } => self.remember(say(desk, &text)?)?,
            CampaignAct::Close { reason } => {
                self.closed = Some(say(desk, &reason)?);
                self.state = State::Closed;
            }
        }
        Ok(())
    }

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.regrade(desk, out, false)?;
        if desk.now >= self.quiet_at(desk) {
            self.state = State::Quiet;
        }
        Ok(())
    }

    fn card(&self) -> Card {
        let open = self.state == State::Open;
        let mut links: Vec<String> = self.units.keys().chain(self.incidents.keys()).cloned().collect();
        if open {
            links.push(place::open_link(self.exercise).to_owned());
            links.push(self.group.key());
            links.extend(self.shared());
        }
        links.extend(self.drill().map(str::to_owned));
        Card {
            state: match self.state {
                State::Open => "open",
                State::Quiet => "quiet",
                State::Closed => "closed",
            },
            closed: !open,
            level: self.recommended.as_ref().and_then(|r| r.level),
            title: self.title.clone(),
            units: Vec::new(),
            exercise: self.exercise,
            due: open.then_some(self.next_look),
            links,
        }
    }
}

/// What a person wrote, checked.
pub(crate) fn say(desk: &Desk, text: &str) -> Result<Said, Refusal> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > NOTE_CHARS_MAX {
        return Err(Refusal::because(
            format!("a text of 1 to {NOTE_CHARS_MAX} characters"),
            format!("请填写 1 至 {NOTE_CHARS_MAX} 个字符"),
        ));
    }
    Ok(Said { who: desk.by.name.clone(), time: desk.now, text: text.to_owned() })
}

impl Campaign {
    /// The drill it belongs to.
    pub fn drill(&self) -> Option<&str> {
        Some(self.group.drill.as_str()).filter(|d| !d.is_empty())
    }

    fn remember(&mut self, said: Said) -> Result<(), Refusal> {
        if self.notes.len() >= NOTES_MAX {
            return Err(Refusal::because(format!("at most {NOTES_MAX} notes"), format!("备注最多 {NOTES_MAX} 条")));
        }
        self.notes.push(said);
        Ok(())
    }

    /// Counts an alert in; `new`: it was never here before.
    fn take(&mut self, s: &Sighting, new: bool, desk: &Desk) {
        self.heard = self.heard.max(desk.now);
        self.first = self.first.min(s.first);
        self.last = self.last.max(s.last);
        let units: Vec<String> = {
            let mut units: Vec<String> = s.spots.iter().map(|p| p.unit.clone()).filter(|u| !u.is_empty()).collect();
            units.sort();
            units.dedup();
            units
        };
        for unit in &units {
            let sector = || s.spots.iter().find(|p| p.unit == *unit).map_or_else(String::new, |p| p.sector.clone());
            if let Some(seen) = self.units.get_mut(unit) {
                seen.alerts += u64::from(new);
                seen.first = seen.first.min(s.first);
                seen.last = seen.last.max(s.last);
            } else if self.units.len() < UNITS_MAX {
                self.units.insert(unit.clone(), UnitSeen { sector: sector(), alerts: 1, first: s.first, last: s.last });
            } else {
                self.units_beyond += u64::from(new);
            }
        }
        self.member(s, new, units);
        if self.rules.len() < WORDS_MAX || self.rules.contains_key(&s.rule) {
            self.rules.insert(s.rule.clone(), s.title.clone());
        }
        self.traces.retain(|t| t.alert != s.alert);
        if s.judged == Judged::Dismissed || s.ignored {
            return;
        }
        let words = [(&mut self.from, &s.from), (&mut self.techniques, &s.techniques), (&mut self.tactics, &s.tactics)];
        for (into, from) in words {
            for word in from {
                if into.len() < WORDS_MAX && !into.contains(word) {
                    into.push(word.clone());
                }
            }
        }
        if let Some(value) = s.indicator.as_ref().filter(|v| self.indicators.len() < WORDS_MAX && !self.indicators.contains(v)) {
            self.indicators.push(value.clone());
        }
        let grade = desk.book.tables.desk.campaign.grades.of(s.severity);
        for spot in &s.spots {
            self.trace(Trace {
                alert: s.alert.clone(),
                object: spot.object.clone(),
                unit: spot.unit.clone(),
                sector: spot.sector.clone(),
                techniques: s.techniques.clone(),
                tactics: s.tactics.clone(),
                attempt: s.attempt,
                source: format!("{}@{}", s.rule, spot.unit),
                grade,
                by: s.indicator.clone().or_else(|| s.from.first().cloned()).unwrap_or_default(),
                confirmed: s.judged == Judged::Confirmed,
                flaws: s.flaws.clone(),
                heard: desk.now,
            });
        }
    }

    /// The newest 100, each once.
    fn member(&mut self, s: &Sighting, new: bool, units: Vec<String>) {
        let member = Member { alert: s.alert.clone(), rule: s.rule.clone(), severity: s.severity, units, judged: s.judged, last: s.last };
        if let Some(at) = self.members.iter().position(|m| m.alert == s.alert) {
            self.members[at] = member;
            return;
        }
        self.alerts += u64::from(new);
        if !new {
            return;
        }
        self.members.push(member);
        if self.members.len() > MEMBERS_MAX {
            self.members.remove(0);
            self.beyond += 1;
        }
    }

    /// What adds nothing to the grade is left out first: the fourth that says the same of the same object; then attempts; then the oldest.
    fn trace(&mut self, trace: Trace) {
        let same = |t: &Trace| {
            t.object == trace.object
                && t.source == trace.source
                && t.attempt == trace.attempt
                && t.techniques == trace.techniques
                && t.by == trace.by
                && t.flaws == trace.flaws
        };
        let alike: Vec<usize> = self.traces.iter().enumerate().filter(|(_, t)| same(t)).map(|(at, _)| at).collect();
        let victim = if alike.len() >= TRACES_SAME_MAX {
            alike.into_iter().find(|at| !self.traces[*at].confirmed)
        } else if self.traces.len() >= TRACES_MAX {
            let attempt = self.traces.iter().position(|t| t.attempt);
            if trace.attempt && attempt.is_none() {
                self.traces_beyond += 1;
                return;
            }
            attempt.or_else(|| self.traces.iter().position(|t| !t.confirmed))
        } else {
            None
        };
        if let Some(at) = victim {
            self.traces.remove(at);
            self.traces_beyond += 1;
        }
        if self.traces.len() < TRACES_MAX {
            self.traces.push(trace);
        } else {
            self.traces_beyond += 1;
        }
    }
}
