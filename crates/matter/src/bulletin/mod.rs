//! Bulletins (通报): the figures of a day, a week, a month, counted by one rule, with the period before beside them.
//!
//! * `drafted → counted → issued | withdrawn`. The figures come from the desk itself ([`count::Facts::figures`]) and are counted anew as long as the
//!   bulletin is not issued; a person adds the summary and issues it.
//! * An issued bulletin never changes: hash and signature cover figures, title and summary. An error is withdrawn with a reason, and another is
//!   drafted for the same period; both stay.
//! * The city's own: what members get is printed or exported and sent by people.

pub mod count;
mod facts;
pub mod period;
pub mod table;
#[cfg(test)]
mod tests;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ties::{self, LINE_MAX, TEXT_MAX};
use crate::{ActRow, Book, Both, Card, Desk, Effects, Input, Matter, Permission, Refusal, field, id_of};
use count::Figures;
use period::{Every, Period, day_start};

/// Of one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bulletin {
    pub id: String,
    pub period: Period,
    pub title: Both,
    /// What a person says of it (综述).
    #[serde(default)]
    pub summary: Both,
    pub issuer: Both,
    pub drafted_by: String,
    #[serde(with = "crate::when")]
    pub drafted: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Box<Figures>>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Issued>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawn>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issued {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    /// BLAKE3 of the bulletin without `issued` and `withdrawn`, as JSON with sorted keys, hex.
    pub hash: String,
    /// Key and its signature of the hash.
    pub key: String,
    pub signature: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    Draft {
        every: Every,
        /// A local day of the period; empty: the last period that is over.
        #[serde(default)]
        day: String,
    },
    Counted {
        figures: Box<Figures>,
    },
    Edit {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<Both>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<Both>,
    },
    Issue {},
    Withdraw {
        reason: String,
    },
}

const fn row(word: &'static str, about: &'static str, about_zh: &'static str, fields: &'static [crate::FieldRow]) -> ActRow {
    ActRow { word, opens: false, right: Some(Permission::BulletinsWrite), about, about_zh, fields }
}

pub const ACTS: &[ActRow] = &[
    ActRow {
        opens: true,
        ..row(
            "draft",
            "Draft a bulletin",
            "编制通报",
            &[
                field("every", true, Input::Choice(&["daily", "weekly", "monthly"]), "Daily, weekly, monthly", "日报、周报、月报"),
                field(
                    "day",
                    false,
                    Input::Line,
                    "A day of the period, 2026-11-23; empty: the last one that is over",
                    "期内任一日，如 2026-11-23，留空为上一期",
                ),
            ],
        )
    },
    row(
        "edit",
        "Edit",
        "修改",
        &[field("title", false, Input::Both, "Title", "标题"), field("summary", false, Input::Both, "Summary", "综述")],
    ),
    row("issue", "Issue", "发布", &[]),
    row("withdraw", "Withdraw", "撤回", &[field("reason", true, Input::Text, "What is wrong with it", "理由")]),
    ActRow {
        right: None, ..row("counted", "The figures", "统计结果", &[field("figures", true, Input::Json, "Figures", "统计结果")])
    },
];

impl Matter for Bulletin {
    const KIND: &'static str = "bulletin";
    type Act = Act;

    /// One a period; another only after all before it were withdrawn.
    fn name(act: &Act, desk: &Desk, key: Option<&str>) -> String {
        let Act::Draft { every, day } = act else { return crate::fresh_id(Self::KIND, act, desk, key) };
        let Ok(period) = period_of(*every, day, desk) else { return crate::fresh_id(Self::KIND, act, desk, key) };
        let before = desk.linked(Self::KIND, &period.key()).unwrap_or_default();
        for id in &before {
            if let Ok(Some(there)) = desk.get::<Self>(id)
                && there.withdrawn.is_none()
            {
                return id.clone();
            }
        }
        id_of(Self::KIND, &[&period.key(), &before.len().to_string()])
    }

    fn open(id: &str, act: Act, desk: &Desk, _: &mut Effects) -> Result<Self, Refusal> {
        let Act::Draft { every, day } = act else {
            return Err(Refusal::because("only 'draft' opens a bulletin", "只有“编制”可新建通报"));
        };
        let period = period_of(every, &day, desk)?;
        if period.from > desk.now {
            return Err(Refusal::because("the period has not begun yet", "该期尚未开始"));
        }
        let (first, last) = (period.day(), period.last_day());
        let days = if first == last { first } else { format!("{first} – {last}") };
        Ok(Self {
            id: id.to_owned(),
            period,
            title: Both::new(
                format!("网络安全监测预警{} {days}", every.name_zh()),
                format!("Security monitoring and warning: {} bulletin {days}", every.name()),
            ),
            summary: Both::default(),
            issuer: desk.book.tables.desk.issuer.clone(),
            drafted_by: desk.by.name.clone(),
            drafted: desk.now,
            figures: None,
            counted: None,
            issued: None,
            withdrawn: None,
        })
    }

    fn act(&mut self, act: Act, desk: &Desk, _: &mut Effects) -> Result<(), Refusal> {
        if self.withdrawn.is_some() {
            return Err(Refusal::because("it was withdrawn; draft another one", "已撤回，请另行编制"));
        }
        if self.issued.is_some() && !matches!(act, Act::Withdraw { .. }) {
            return Err(Refusal::because(
                "an issued bulletin never changes; withdraw it with a reason and draft another",
                "已发布的通报不可更改，请说明理由撤回后另行编制",
            ));
        }
        match act {
            Act::Draft { .. } => Err(Refusal::because("it is drafted already", "已编制")),
            Act::Counted { figures } => {
                self.figures = Some(figures);
                self.counted = Some(desk.now);
                Ok(())
            }
            Act::Edit { title, summary } => {
                if let Some(title) = title.filter(|t| !t.is_empty()) {
                    self.title = ties::both(&title, LINE_MAX, "title", "标题")?;
                }
                if let Some(summary) = summary.filter(|s| !s.is_empty()) {
                    self.summary = ties::both(&summary, TEXT_MAX, "summary", "综述")?;
                }
                Ok(())
            }
            Act::Issue {} => {
                if self.period.to > desk.now {
                    return Err(Refusal::because(
                        format!("the period lasts until {}", self.period.to),
                        format!("该期至 {} 结束", self.period.to),
                    ));
                }
                if self.counted.is_none_or(|at| at < self.period.to) {
                    return Err(Refusal::because(
                        "the figures of the whole period are not counted yet; wait a moment",
                        "本期数据尚未统计完毕，请稍候",
                    ));
                }
                let hash = self.hash_now();
                let signer = &desk.book.signer;
                self.issued = Some(Issued {
                    by: desk.by.name.clone(),
                    at: desk.now,
                    hash: blake3::Hash::from_bytes(hash).to_hex().to_string(),
                    key: signer.key(),
                    signature: signer.sign(&hash),
                });
                Ok(())
            }
            Act::Withdraw { reason } => {
                let reason = ties::text(&reason, TEXT_MAX, "reason", "理由")?;
                self.withdrawn = Some(Withdrawn { by: desk.by.name.clone(), at: desk.now, reason });
                Ok(())
            }
        }
    }

    fn card(&self) -> Card {
        let state = match (&self.withdrawn, &self.issued, &self.figures) {
            (Some(_), ..) => "withdrawn",
            (None, Some(_), _) => "issued",
            (None, None, Some(_)) => "counted",
            (None, None, None) => "drafted",
        };
        Card {
            state,
            closed: matches!(state, "issued" | "withdrawn"),
            level: None,
            title: self.title.clone(),
            units: Vec::new(),
            exercise: false,
            due: None,
            links: vec![self.period.key()],
        }
    }
}

impl Bulletin {
    /// Whether its figures are to be counted (again) now: not issued, and counted before the period was over.
    pub fn wants_figures(&self) -> bool {
        self.issued.is_none() && self.withdrawn.is_none() && self.counted.is_none_or(|at| at < self.period.to)
    }

    fn hash_now(&self) -> [u8; 32] {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.remove("issued");
            object.remove("withdrawn");
        }
        *blake3::hash(&serde_json::to_vec(&value).unwrap_or_default()).as_bytes()
    }

    /// Whether it is what was signed; true for one that is not issued.
    pub fn holds(&self, book: &Book) -> bool {
        let Some(issued) = &self.issued else { return true };
        let hash = self.hash_now();
        blake3::Hash::from_bytes(hash).to_hex().as_str() == issued.hash && book.signer.verify(&issued.key, &hash, &issued.signature)
    }
}

fn period_of(every: Every, day: &str, desk: &Desk) -> Result<Period, Refusal> {
    let offset = desk.book.tables.desk.utc_offset_min;
    match day.trim() {
        "" => Ok(Period::last(every, desk.now, offset)),
        day => match day_start(day, offset) {
            Some(at) => Ok(Period::of(every, at, offset)),
            None => {
                Err(Refusal::because(format!("'{day}' is no day; write e.g. 2026-11-23"), format!("“{day}”不是日期，请写作 2026-11-23")))
            }
        },
    }
}
