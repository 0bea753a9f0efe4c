//! What can be done to an incident.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{CloseReason, Closed, Incident, MERGED_MAX, State, checked_title};
use crate::campaign::say;
use crate::clock::table::Impact;
use crate::{ActRow, Both, Desk, Effects, FieldRow, Input, Permission, Refusal, field};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum IncidentAct {
    Open {
        title: String,
        #[serde(default)]
        units: Vec<String>,
        #[serde(default)]
        category: Option<String>,
        #[serde(default)]
        grade: Option<u8>,
        #[serde(default)]
        impact: Option<Impact>,
        #[serde(default)]
        alerts: Vec<String>,
        #[serde(default)]
        campaign: Option<String>,
        #[serde(default)]
        split_from: Option<String>,
        #[serde(default)]
        exercise: bool,
        #[serde(default)]
        note: Option<String>,
    },
    Edit {
        #[serde(default)]
        title: Option<String>,
        #[serde(default)]
        category: Option<String>,
        #[serde(default)]
        campaign: Option<String>,
    },
    Assign {
        #[serde(default)]
        owner: Option<String>,
    },
    Link {
        alerts: Vec<String>,
    },
    Unlink {
        alerts: Vec<String>,
    },
    Confirm {
        #[serde(default)]
        category: Option<String>,
        #[serde(default)]
        grade: Option<u8>,
        #[serde(default)]
        impact: Option<Impact>,
        note: String,
    },
    Regrade {
        #[serde(default)]
        grade: Option<u8>,
        #[serde(default)]
        impact: Option<Impact>,
        reason: String,
    },
    Handle {
        #[serde(default)]
        note: Option<String>,
    },
    Recover {
        note: String,
    },
    Close {
        reason: CloseReason,
        summary: String,
    },
    Reopen {
        reason: String,
    },
    Note {
        text: String,
    },
    Merge {
        other: String,
    },
    Unmerge {
        other: String,
    },
    Split {
        alerts: Vec<String>,
        title: String,
    },
    Absorbed {
        into: String,
    },
    Released {},
}

const fn act(word: &'static str, about: &'static str, about_zh: &'static str, fields: &'static [FieldRow]) -> ActRow {
    ActRow { word, opens: false, right: Some(Permission::IncidentsWrite), about, about_zh, fields }
}

const CATEGORY: FieldRow = field(
    "category",
    false,
    Input::Line,
    "GB/T 20986-2023 code, e.g. 01007 (ransomware)",
    "分类代码（GB/T 20986-2023），如 01007 勒索软件",
);
const GRADE: FieldRow = field(
    "grade",
    false,
    Input::Number,
    "1 (especially serious) to 4; what the figures give wins if graver",
    "级别 1（特别重大）至 4（一般）；按损害数据得出更高级别时从高",
);
const IMPACT: FieldRow = field(
    "impact",
    false,
    Input::Json,
    "how far it reached, by measure of the grading guide: {\"cii_main_function_min\": 1500}",
    "影响数据，按定级指南的指标填写，如 {\"cii_main_function_min\": 1500}",
);
const ALERTS: FieldRow = field("alerts", true, Input::Words, "ids of alerts", "告警编号");
const CAMPAIGN: FieldRow = field("campaign", false, Input::Line, "campaign it belongs to (the city's)", "所属攻击活动（市级）");
const REASONS: Input = Input::Choice(&["resolved", "false_alarm", "authorised", "duplicate", "no_harm"]);

pub const ACTS: &[ActRow] = &[
    ActRow {
        opens: true,
        ..act(
            "open",
            "Open an incident",
            "新建安全事件",
            &[
                field("title", true, Input::Line, "what happened, in a line", "事件标题"),
                field("units", false, Input::Words, "units it is about; empty: the city's own", "涉及单位；留空为全市事件"),
                CATEGORY,
                GRADE,
                IMPACT,
                field("alerts", false, Input::Words, "ids of alerts", "关联告警编号"),
                CAMPAIGN,
                field("exercise", false, Input::Yes, "part of a drill", "属于演练"),
                field("note", false, Input::Text, "what is known", "情况说明"),
            ],
        )
    },
    act("confirm", "Confirm", "确认", &[CATEGORY, GRADE, IMPACT, field("note", true, Input::Text, "what was found", "确认依据")]),
    act("regrade", "Grade again", "重新定级", &[GRADE, IMPACT, field("reason", true, Input::Text, "why", "理由")]),
    act("handle", "Start handling", "开始处置", &[field("note", false, Input::Text, "what is done", "处置措施")]),
    act("recover", "Recovered", "已恢复", &[field("note", true, Input::Text, "what works again, since when", "恢复情况")]),
    act(
        "close",
        "Close",
        "关闭",
        &[
            field("reason", true, REASONS, "how it ended", "关闭原因"),
            field("summary", true, Input::Text, "cause, measures, impact, lessons", "总结：原因、措施、损害、教训"),
        ],
    ),
    act("reopen", "Reopen", "重新打开", &[field("reason", true, Input::Text, "why", "理由")]),
    act("assign", "Assign", "指派负责人", &[field("owner", false, Input::Line, "who; empty: yourself", "负责人；留空为本人")]),
    act("edit", "Edit", "修改", &[field("title", false, Input::Line, "what happened, in a line", "事件标题"), CATEGORY, CAMPAIGN]),
    act("link", "Link alerts", "关联告警", &[ALERTS]),
    act("unlink", "Unlink alerts", "取消关联", &[ALERTS]),
    act("note", "Note", "备注", &[field("text", true, Input::Text, "the note", "备注内容")]),
    act("merge", "Merge another in", "并入另一事件", &[field("other", true, Input::Line, "incident to take in", "被并入的安全事件编号")]),
    act("unmerge", "Undo a merge", "撤销合并", &[field("other", true, Input::Line, "incident to let go", "要恢复的安全事件编号")]),
    act("split", "Split alerts off", "拆分", &[ALERTS, field("title", true, Input::Line, "title of the new incident", "新事件标题")]),
    ActRow { right: None, ..act("absorbed", "Merged into another", "已并入", &[]) },
    ActRow { right: None, ..act("released", "Merge undone", "合并已撤销", &[]) },
];

impl Incident {
    pub(super) fn carry(&mut self, act: IncidentAct, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        match act {
            IncidentAct::Open { .. } => Err(Refusal::because("it is open already", "已建立")),
            IncidentAct::Edit { title, category, campaign } => {
                if let Some(title) = title {
                    self.title = checked_title(&title)?;
                }
                self.classify(category, None)?;
                if campaign.as_ref().is_some_and(|c| !c.is_empty() && Some(c) != self.campaign.as_ref()) {
                    // The floor moves with it.
                    if let Some(old) = self.campaign.take() {
                        let gone = crate::campaign::CampaignAct::Incident { incident: self.id.clone(), grade: None };
                        out.act::<crate::campaign::Campaign>(&old, &gone);
                    }
                    self.belong(desk, campaign)?;
                    self.feed(out);
                }
                Ok(())
            }
            IncidentAct::Assign { owner } => {
                let owner = owner.filter(|o| !o.trim().is_empty()).unwrap_or_else(|| desk.by.name.clone());
                self.owner = Some(owner.trim().chars().take(64).collect());
                self.run_timers(desk);
                Ok(())
            }
            IncidentAct::Link { alerts } => self.link(alerts),
            IncidentAct::Unlink { alerts } => {
                self.alerts.retain(|a| !alerts.contains(a));
                Ok(())
            }
            IncidentAct::Confirm { category, grade, impact, note } => {
                self.must_be(&[State::Suspected], "'confirm'", "“确认”")?;
                let said = say(desk, &note)?;
                self.classify(category, None)?;
                if self.category.is_empty() {
                    return Err(Refusal::because(
                        "to confirm it, give its category (GB/T 20986-2023)",
                        "确认前请填写分类代码（GB/T 20986-2023）",
                    ));
                }
                self.grade_by(desk, grade, impact)?;
                self.enter(State::Confirmed, desk, said.text);
                self.feed(out);
                Ok(())
            }
            IncidentAct::Regrade { grade, impact, reason } => {
                self.must_be(&[State::Confirmed, State::Handling, State::Recovered], "'regrade'", "“重新定级”")?;
                let said = say(desk, &reason)?;
                self.grade_by(desk, grade, impact)?;
                self.remember(said)?;
                self.run_timers(desk);
                self.feed(out);
                Ok(())
            }
            IncidentAct::Handle { note } => {
                self.must_be(&[State::Confirmed], "'handle'", "“开始处置”")?;
                let text = note.map(|n| say(desk, &n)).transpose()?.map(|s| s.text).unwrap_or_default();
                self.enter(State::Handling, desk, text);
                Ok(())
            }
            IncidentAct::Recover { note } => {
                self.must_be(&[State::Confirmed, State::Handling], "'recover'", "“已恢复”")?;
                let said = say(desk, &note)?;
                self.enter(State::Recovered, desk, said.text);
                Ok(())
            }
            IncidentAct::Close { reason, summary } => self.close(reason, &summary, desk, out),
            IncidentAct::Reopen { reason } => {
                self.must_be(&[State::Closed, State::Recovered], "'reopen'", "“重新打开”")?;
                let said = say(desk, &reason)?;
                let text = said.text.clone();
                self.remember(said)?;
                self.closed = None;
                // What was confirmed once goes on from there.
                let state = if self.reached.contains_key("confirmed") { State::Handling } else { State::Suspected };
                self.enter(state, desk, text);
                self.feed(out);
                Ok(())
            }
            IncidentAct::Note { text } => {
                let said = say(desk, &text)?;
                self.remember(said)
            }
            IncidentAct::Merge { other } => self.merge(other, desk, out),
            IncidentAct::Unmerge { other } => {
                let Some(taken) = self.merged.remove(&other) else {
                    return Err(Refusal::because(format!("'{other}' is not merged into this one"), format!("“{other}”未并入本事件")));
                };
                self.alerts.retain(|a| !taken.contains(a));
                out.act::<Self>(&other, &IncidentAct::Released {});
                Ok(())
            }
            IncidentAct::Split { alerts, title } => self.split(alerts, &title, desk, out),
            IncidentAct::Absorbed { into } => {
                self.merged_into = Some(into);
                self.timers.clear();
                self.feed(out);
                Ok(())
            }
            IncidentAct::Released {} => {
                self.merged_into = None;
                self.run_timers(desk);
                self.feed(out);
                Ok(())
            }
        }
    }

    /// Takes the figures over; measures nobody knows are refused.
    pub(super) fn reached_by(&mut self, desk: &Desk, impact: Option<Impact>) -> Result<(), Refusal> {
        let Some(impact) = impact else { return Ok(()) };
        let guide = &desk.book.tables.desk.grade_guide;
        if let Some(unknown) = impact.keys().find(|m| !guide.measures().any(|known| known == m.as_str())) {
            let known: Vec<&str> = guide.measures().collect();
            return Err(Refusal::because(
                format!("'{unknown}' is no measure of the grading guide; these are: {}", known.join(", ")),
                format!("“{unknown}”不是定级指南的指标，可用：{}", known.join("、")),
            ));
        }
        self.impact = impact;
        Ok(())
    }

    /// The graver of what a person says and what the figures give.
    fn grade_by(&mut self, desk: &Desk, grade: Option<u8>, impact: Option<Impact>) -> Result<(), Refusal> {
        self.reached_by(desk, impact)?;
        self.classify(None, grade)?;
        let guide = &desk.book.tables.desk.grade_guide;
        let found = guide.grade(&self.impact);
        let row = guide.row.iter().find(|r| Some(&r.measure) == found.measure.as_ref());
        match (self.grade, row) {
            (said, Some(row)) if said.is_none_or(|said| found.grade < said) => {
                self.grade = Some(found.grade);
                let (value, from) = (found.value, found.from);
                self.grade_why = Some(Both::new(
                    format!("{}：{value} ≥ {from}（{}）", row.about.zh, found.source),
                    format!("{}: {value} ≥ {from} ({})", row.about.en, found.source),
                ));
            }
            (Some(_), _) => self.grade_why = None,
            (None, _) => return Err(Refusal::because("give its grade (1 to 4), or figures of its impact", "请填写级别（1–4）或影响数据")),
        }
        Ok(())
    }

    fn close(&mut self, reason: CloseReason, summary: &str, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if self.state == State::Closed {
            return Err(Refusal::because("it is closed already", "已关闭"));
        }
        if reason.real() && self.state != State::Recovered {
            return Err(Refusal::because(
                "an incident is resolved after it has recovered; say 'recover' first, or close it as what it was",
                "恢复后方可按“已解决”关闭；请先“已恢复”，或选择其他关闭原因",
            ));
        }
        let said = say(desk, summary)?;
        self.closed = Some(Closed { reason, summary: said.text.clone() });
        self.enter(State::Closed, desk, said.text);
        self.feed(out);
        Ok(())
    }

    fn merge(&mut self, id: String, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let missing = || Refusal::because(format!("there is no incident '{id}'"), format!("没有安全事件“{id}”"));
        let other = desk.get::<Self>(&id)?.filter(|o| desk.by.sees(&o.units)).ok_or_else(missing)?;
        if id == self.id || other.merged_into.is_some() || other.state == State::Closed || self.state == State::Closed {
            return Err(Refusal::because("only two open incidents are merged", "只能合并两起未关闭的安全事件"));
        }
        if other.units != self.units || other.exercise != self.exercise {
            return Err(Refusal::because(
                "they are not of the same units: a unit would see from it who else is hit. Open one of the city's and note both there",
                "涉及单位不同，合并会让单位看到他人情况；请另建全市事件并备注关联",
            ));
        }
        if self.merged.len() >= MERGED_MAX {
            return Err(Refusal::because(format!("at most {MERGED_MAX} merged incidents"), format!("最多并入 {MERGED_MAX} 起")));
        }
        let new: BTreeSet<String> = other.alerts.difference(&self.alerts).cloned().collect();
        self.link(new.iter().cloned().collect())?;
        out.act::<Self>(&id, &IncidentAct::Absorbed { into: self.id.clone() });
        self.merged.insert(id, new);
        Ok(())
    }

    fn split(&mut self, alerts: Vec<String>, title: &str, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let wanted: BTreeSet<String> = alerts.into_iter().collect();
        if wanted.is_empty() || !wanted.is_subset(&self.alerts) {
            return Err(Refusal::because("name alerts that are linked to this incident", "请填写已关联到本事件的告警"));
        }
        let open = IncidentAct::Open {
            title: checked_title(title)?,
            units: self.units.clone(),
            category: Some(self.category.clone()).filter(|c| !c.is_empty()),
            grade: None,
            impact: None,
            alerts: wanted.iter().cloned().collect(),
            campaign: self.campaign.clone(),
            split_from: Some(self.id.clone()),
            exercise: self.exercise,
            note: None,
        };
        self.alerts.retain(|a| !wanted.contains(a));
        self.remember(crate::campaign::Said {
            who: desk.by.name.clone(),
            time: desk.now,
            text: format!("split / 拆分：{}", wanted.into_iter().take(50).collect::<Vec<_>>().join(", ")),
        })?;
        out.open::<Self>(&open);
        Ok(())
    }
}
