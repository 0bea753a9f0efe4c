//! Drills (演练): a scenario that puts marked alerts, news and questions in at set times, and a score of how fast and how rightly it was answered.
//!
//! * Everything a drill makes carries `exercise`, from the first message to the last receipt, and the wall of `crate::ties` keeps it apart from the
//!   real. A unit takes part only where it was cast by name; a part nobody plays is told to the city.
//! * Technical: an `event` inject holds lines of events. They go, marked, into an engine of the drill's own with the rules in force
//!   (`collector::office::drills`), never into the one that watches the city; what it finds comes back as marked alerts (`found`), is grouped,
//!   graded and drafted like the real with the drill's parts as objects, and counts as detection.
//! * Tabletop: needs no agent. Alerts are graded by the tables in force with all the drill's alerts before them; a level drafts a marked warning,
//!   which people assess, approve and issue as they would a real one.
//! * There is no pause: time in a drill is time. It is aborted, or ends by itself after its length, or is finished; then it is scored, once.
//! * Limits of a scenario are in `scenario.rs`; 20 answers and 20 notes an inject, `FOUND_MAX` alerts a drill.

mod marked;
pub mod scenario;
mod score;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use warning::grade::{Case, Evidence, Object};

use crate::ties::{self, Caller, LINE_MAX, TEXT_MAX, at_most};
use crate::{ActRow, Both, Card, Desk, Effects, FieldRow, Input, Kind, Matter, Permission, Recipient, Refusal, Then, field};
pub use marked::Marked;
use scenario::{Inject, Scenario, What};
pub use score::{PartScore, Score, Scored};

pub const ANSWERS_MAX: usize = 20;
/// Alerts of all injects that are kept; more are counted.
pub const FOUND_MAX: usize = 300;

/// A drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    pub id: String,
    pub scenario: Scenario,
    /// Part → unit.
    pub cast: BTreeMap<String, String>,
    pub state: State,
    pub planned_by: String,
    #[serde(with = "crate::when")]
    pub planned: Timestamp,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Why it was aborted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Injects that were put in, in order.
    #[serde(default)]
    pub put: Vec<Put>,
    /// What the alerts so far add up to.
    #[serde(default)]
    pub case: Case,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Planned,
    Running,
    Finished,
    Aborted,
}

/// An inject that was put in, and what players did about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Put {
    pub inject: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    /// What the tables recommend since then; none: nothing to warn of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<warning::grade::Level>,
    #[serde(default)]
    pub noticed: Vec<Word>,
    #[serde(default)]
    pub answers: Vec<Word>,
    /// What the drill's engine made of its events, how many more, and how many of its lines are no event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub found_beyond: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A marked alert. It is in no list of alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub alert: String,
    pub rule: String,
    pub title: Both,
    pub severity: u8,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// When the engine opened it.
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    /// The marked campaign it went to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub campaign: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    pub by: String,
    /// For whom, where somebody wrote it down for another.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    #[serde(default)]
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    Plan {
        scenario: Box<Scenario>,
        #[serde(default)]
        cast: BTreeMap<String, String>,
    },
    Run {},
    Noticed {
        inject: String,
        #[serde(default)]
        note: String,
        #[serde(default)]
        who: String,
    },
    Answer {
        inject: String,
        text: String,
        #[serde(default)]
        who: String,
    },
    /// The desk's own: what the drill's engine found of an inject's events.
    Found {
        inject: String,
        #[serde(default)]
        alerts: Vec<Found>,
        #[serde(default)]
        unread: u32,
    },
    Finish {},
    Abort {
        reason: String,
    },
}

const WHO: FieldRow = field("who", false, Input::Line, "Who did, where you write it down for somebody", "代他人记录时填写");
const INJECT: FieldRow = field("inject", true, Input::Line, "Inject, by its id", "注入事项编号");

const fn row(word: &'static str, right: Permission, about: &'static str, about_zh: &'static str, fields: &'static [FieldRow]) -> ActRow {
    ActRow { word, opens: false, right: Some(right), about, about_zh, fields }
}

pub const ACTS: &[ActRow] = &[
    ActRow {
        opens: true,
        ..row(
            "plan",
            Permission::DrillsWrite,
            "Plan a drill",
            "制定演练",
            &[
                field(
                    "scenario",
                    true,
                    Input::Json,
                    "Scenario, as in config/drills (vedette drills plan --scenario @FILE)",
                    "演练脚本（JSON）",
                ),
                field(
                    "cast",
                    false,
                    Input::Json,
                    "Which unit plays which part: {\"bank\": \"unit id\"}",
                    "参演单位：{\"角色\": \"单位编号\"}",
                ),
            ],
        )
    },
    row("run", Permission::DrillsWrite, "Start", "开始", &[]),
    row(
        "noticed",
        Permission::AlertsTriage,
        "Seen",
        "已发现",
        &[INJECT, field("note", false, Input::Text, "What you make of it", "判断"), WHO],
    ),
    row("answer", Permission::AlertsTriage, "Answer", "回答", &[INJECT, field("text", true, Input::Text, "Answer", "回答"), WHO]),
    ActRow { word: "found", opens: false, right: None, about: "Alerts found", about_zh: "检出告警", fields: &[] },
    row("finish", Permission::DrillsWrite, "Finish and score", "结束并评分", &[]),
    row("abort", Permission::DrillsWrite, "Abort", "中止", &[field("reason", true, Input::Text, "Why", "理由")]),
];

impl Matter for Drill {
    const KIND: &'static str = "drill";
    type Act = Act;

    fn open(id: &str, act: Act, desk: &Desk, _: &mut Effects) -> Result<Self, Refusal> {
        let Act::Plan { scenario, cast } = act else {
            return Err(Refusal::because("only 'plan' opens a drill", "只有“制定演练”可新建演练"));
        };
        if let Some((key, what)) = scenario.problems().into_iter().next() {
            return Err(Refusal::because(format!("scenario, '{key}': {what}"), format!("脚本“{key}”有误：{what}")));
        }
        for (role, unit) in &cast {
            if scenario.role(role).is_none() {
                return Err(Refusal::because(format!("the scenario has no role '{role}'"), format!("脚本中没有角色“{role}”")));
            }
            ties::known_unit(desk, unit)?;
        }
        Ok(Self {
            id: id.to_owned(),
            scenario: *scenario,
            cast,
            state: State::Planned,
            planned_by: desk.by.name.clone(),
            planned: desk.now,
            started: None,
            ended: None,
            why: String::new(),
            put: Vec::new(),
            case: Case::default(),
            score: None,
        })
    }

    fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        match act {
            Act::Plan { .. } => Err(Refusal::because("it is planned already", "已制定")),
            Act::Run {} => {
                if self.state != State::Planned {
                    return Err(Refusal::because("a drill is run once; plan it again", "演练只能开始一次，请重新制定"));
                }
                self.state = State::Running;
                self.started = Some(desk.now);
                self.tell_all("begin", "演练开始", "Drill begins", desk, out);
                self.advance(desk, out)
            }
            Act::Noticed { inject, note, who } => {
                let word = self.word(&note, who, desk)?;
                let put = self.put_mut(&inject)?;
                at_most(&put.noticed, ANSWERS_MAX - 1, "noticed", "发现记录")?;
                put.noticed.push(word);
                Ok(())
            }
            Act::Answer { inject, text, who } => {
                let text = ties::text(&text, TEXT_MAX, "text", "回答")?;
                let word = self.word(&text, who, desk)?;
                if !self.scenario.inject(&inject).is_some_and(|i| matches!(i.what, What::Question { .. })) {
                    return Err(Refusal::because(
                        format!("'{inject}' is no question of this drill"),
                        format!("“{inject}”不是本次演练的提问"),
                    ));
                }
                let put = self.put_mut(&inject)?;
                at_most(&put.answers, ANSWERS_MAX - 1, "answers", "回答")?;
                put.answers.push(word);
                Ok(())
            }
            Act::Found { inject, alerts, unread } => {
                if self.state == State::Running {
                    self.found(&inject, alerts, unread, desk, out)
                } else {
                    Ok(())
                }
            }
            Act::Finish {} => {
                self.is_running()?;
                self.end(desk, out)
            }
            Act::Abort { reason } => {
                if matches!(self.state, State::Finished | State::Aborted) {
                    return Err(Refusal::because("the drill is over", "演练已结束"));
                }
                self.why = ties::text(&reason, TEXT_MAX, "reason", "理由")?;
                let ran = self.state == State::Running;
                self.state = State::Aborted;
                self.ended = Some(desk.now);
                if ran {
                    self.close_groups(desk, out)?;
                    self.tell_all("abort", "演练中止", "Drill aborted", desk, out);
                }
                Ok(())
            }
        }
    }

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.advance(desk, out)
    }

    fn card(&self) -> Card {
        Card {
            state: match self.state {
                State::Planned => "planned",
                State::Running => "running",
                State::Finished => "finished",
                State::Aborted => "aborted",
            },
            closed: matches!(self.state, State::Finished | State::Aborted),
            level: None,
            title: self.scenario.title.clone(),
            units: Vec::new(),
            exercise: true,
            due: self.due(),
            links: Vec::new(),
        }
    }
}

impl Drill {
    fn is_running(&self) -> Result<(), Refusal> {
        if self.state == State::Running {
            return Ok(());
        }
        Err(Refusal::because("the drill is not running", "演练未在进行"))
    }

    fn word(&self, text: &str, who: String, desk: &Desk) -> Result<Word, Refusal> {
        self.is_running()?;
        let text = ties::optional(text, TEXT_MAX, "note", "判断")?;
        Ok(Word { by: desk.by.name.clone(), who: ties::optional(&who, LINE_MAX, "who", "何人")?, at: desk.now, text })
    }

    fn put_mut(&mut self, inject: &str) -> Result<&mut Put, Refusal> {
        self.put
            .iter_mut()
            .find(|p| p.inject == inject)
            .ok_or_else(|| Refusal::because(format!("no inject '{inject}' has come yet"), format!("尚无注入事项“{inject}”")))
    }

    /// The next inject by time, the first in the file where two come together.
    fn next(&self) -> Option<&Inject> {
        self.scenario.inject.iter().filter(|i| !self.put.iter().any(|p| p.inject == i.id)).min_by_key(|i| i.at_min)
    }

    fn due(&self) -> Option<Timestamp> {
        if self.state != State::Running {
            return None;
        }
        let minute = self.next().map_or(self.scenario.length_min, |i| i.at_min);
        self.started.map(|t| t.plus_secs(60 * i64::from(minute)))
    }

    /// Puts in what is due, and ends when the time is over.
    fn advance(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        while self.due().is_some_and(|due| due <= desk.now) {
            let Some(inject) = self.next().cloned() else { return self.end(desk, out) };
            let mut put = Put {
                inject: inject.id.clone(),
                at: desk.now,
                level: None,
                noticed: Vec::new(),
                answers: Vec::new(),
                found: Vec::new(),
                found_beyond: 0,
                unread: 0,
            };
            put.level = self.inject(&inject, desk, out)?;
            self.put.push(put);
        }
        Ok(())
    }

    fn inject(&mut self, inject: &Inject, desk: &Desk, out: &mut Effects) -> Result<Option<warning::grade::Level>, Refusal> {
        let (to, title) = match &inject.what {
            What::Alert { role, .. } => (role, Both::new("演练告警", "Drill: alert")),
            What::Notice { to, .. } => (to, Both::new("演练情况通报", "Drill: news")),
            What::Question { to, .. } => (to, Both::new(format!("演练提问 {}", inject.id), format!("Drill: question {}", inject.id))),
            What::Event { role, .. } => (role, Both::new("演练事件", "Drill: events")),
        };
        // What an agent sees reaches the city first; what is said reaches whom it is said to.
        let seen = matches!(inject.what, What::Alert { .. } | What::Event { .. });
        let recipient = match self.cast.get(to) {
            Some(unit) if !seen => ties::unit(unit, "duty"),
            _ => city(),
        };
        let text = inject.what.text();
        let text = match self.scenario.role(to) {
            Some(role) => Both::new(
                format!("{}：{}", role.name.pick(true), text.pick(true)),
                format!("{}: {}", role.name.pick(false), text.pick(false)),
            ),
            None => text.clone(),
        };
        // Events speak for themselves: whoever is told of them has nothing left to detect.
        if !matches!(&inject.what, What::Event { lines, .. } if !lines.is_empty()) {
            self.caller().tell(out, desk, recipient, &format!("inject:{}", inject.id), title, text);
        }
        let What::Alert { role, tactics, techniques, outcome, source, grade, .. } = &inject.what else { return Ok(None) };
        let object = format!("drill-{role}");
        if let Some(part) = self.scenario.role(role).filter(|_| !self.case.object.iter().any(|o| o.id == object)) {
            let unit = self.cast.get(role).cloned().unwrap_or_else(|| object.clone());
            self.case.object.push(Object {
                id: object.clone(),
                unit,
                sector: part.sector.clone(),
                mlps: part.mlps,
                cii: part.cii,
                serves_cii: 0,
            });
        }
        self.case.title = self.scenario.title.pick(true).to_owned();
        self.case.evidence.push(Evidence {
            id: inject.id.clone(),
            object,
            tactics: tactics.clone(),
            techniques: techniques.clone(),
            outcome: *outcome,
            source: source.clone(),
            grade: *grade,
        });
        let level = desk.book.tables.grading.recommend(&self.case).level;
        self.warn(level.is_some(), inject, desk, out)?;
        Ok(level)
    }

    /// Drafts the drill's warning, or tells the one there is what is recommended now.
    fn warn(&self, worth: bool, inject: &Inject, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let Some(kind) = Kind::find("warning") else { return Ok(()) };
        let open = desk.linked(kind.word, &self.id)?.into_iter().next();
        let case = json!(self.case);
        let act = match &open {
            Some(_) => json!({"act": "recommend", "case": case, "exercise": true}),
            None if !worth => return Ok(()),
            None => {
                let units: Vec<&String> = self.case.object.iter().map(|o| &o.unit).filter(|u| desk.book.units.contains_key(*u)).collect();
                let title = &self.scenario.title;
                let title = Both::new(format!("演练：{}", title.pick(true)), format!("EXERCISE: {}", title.pick(false)));
                json!({"act": "draft", "title": title, "event": inject.what.text(), "units": units, "case": case, "exercise": true, "drill": self.id})
            }
        };
        out.acts.push(Then { kind: kind.word, id: open, act });
        Ok(())
    }

    fn end(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.score = Some(self.scored(desk)?);
        self.state = State::Finished;
        self.ended = Some(desk.now);
        self.close_groups(desk, out)?;
        self.tell_all("end", "演练结束", "Drill is over", desk, out);
        Ok(())
    }

    /// Where its alerts went.
    pub fn placed(&self) -> BTreeMap<&str, &str> {
        let found = self.put.iter().flat_map(|p| &p.found).filter(|f| !f.campaign.is_empty());
        found.map(|f| (f.alert.as_str(), f.campaign.as_str())).collect()
    }

    fn found(&mut self, inject: &str, alerts: Vec<Found>, unread: u32, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let mut room = FOUND_MAX.saturating_sub(self.put.iter().map(|p| p.found.len()).sum());
        let mut new = Vec::new();
        let put = self.put_mut(inject)?;
        put.unread = put.unread.saturating_add(unread);
        for alert in alerts {
            if let Some(known) = put.found.iter_mut().find(|f| f.alert == alert.alert) {
                *known = alert;
            } else if room > 0 {
                room -= 1;
                new.push(alert.clone());
                put.found.push(alert);
            } else {
                put.found_beyond = put.found_beyond.saturating_add(1);
            }
        }
        for alert in new {
            let text = Both::new(alert.hosts.join("、"), alert.hosts.join(", "));
            let title = Both::new(format!("演练告警：{}", alert.title.pick(true)), format!("Drill: alert: {}", alert.title.pick(false)));
            self.caller().tell(out, desk, city(), &format!("found:{}", alert.alert), title, text);
        }
        Ok(())
    }

    /// Its groups go on grading nothing.
    fn close_groups(&self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let Some(kind) = Kind::find("campaign") else { return Ok(()) };
        for id in desk.linked(kind.word, &self.id)? {
            let open = desk.shelf.get(kind.word, &id)?.and_then(|stored| (kind.card)(&stored.body)).is_some_and(|card| !card.closed);
            if open {
                out.act_value(kind.word, &id, json!({"act": "close", "reason": "演练结束 / the drill is over"}));
            }
        }
        Ok(())
    }

    fn tell_all(&self, what: &str, zh: &str, en: &str, desk: &Desk, out: &mut Effects) {
        let title = &self.scenario.title;
        let title = Both::new(format!("{zh}：{}", title.pick(true)), format!("{en}: {}", title.pick(false)));
        let mut to: Vec<Recipient> = self.cast.values().map(|u| ties::unit(u, "duty")).collect();
        to.dedup();
        to.push(city());
        for recipient in to {
            self.caller().tell(out, desk, recipient, what, title.clone(), self.scenario.about.clone());
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller { kind: Self::KIND, id: &self.id, thread: &self.id, level: None, exercise: true }
    }
}

fn city() -> Recipient {
    Recipient::City { right: Permission::AlertsTriage }
}
