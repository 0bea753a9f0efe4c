//! Silences (静默) and exceptions (例外): what the desk does not want to hear of, by whom, why, and until when.
//!
//! * Applied where alerts reach campaigns and thereby messages; never where alerts are stored: what was hidden is in the alert list as ever.
//! * Every one has an owner, a reason and an end. More than a shift's few hours (`[silence] lead_h`), an exception, or one that hides critical
//!   alerts needs a shift lead. It ends by itself and says what it hid; a long one reminds every week.
//! * It hides an alert only where everything of the alert lies inside it: all units, all hosts, all sources. One that grows beyond, and every one
//!   that is still growing when it ends, reaches the desk as new.
//! * What it hid is counted, the last 50 are listed.

use std::collections::BTreeMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::Alert;

use crate::campaign::{Said, normal, say};
use crate::lookup::Net;
use crate::{ActRow, Both, Card, Desk, Effects, FieldRow, Input, Matter, Message, Permission, Recipient, Refusal, field};

/// Link of all that are in force.
pub const ACTIVE: &str = "active";
pub const HIDDEN_MAX: usize = 50;
pub const ACTIVE_MAX: usize = 500;
const WORD_CHARS_MAX: usize = 200;
const WEEK_S: i64 = 7 * 24 * 3600;

/// `[silence]` of `config/desk.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceTable {
    pub source: String,
    pub effective_from: String,
    /// Hours from which on a shift lead is needed.
    pub lead_h: u32,
    /// Hours a silence, and an exception, lasts at most.
    pub silence_max_h: u32,
    pub exception_max_h: u32,
}

impl Default for SilenceTable {
    fn default() -> Self {
        Self {
            source: "default".to_owned(),
            effective_from: "2026-11-01".to_owned(),
            lead_h: 4,
            silence_max_h: 168,
            exception_max_h: 8_760,
        }
    }
}

impl SilenceTable {
    pub fn problems(&self) -> Vec<(String, String)> {
        let fits = self.lead_h >= 1 && self.lead_h <= self.silence_max_h && self.silence_max_h <= self.exception_max_h;
        let what = "1 ≤ lead_h ≤ silence_max_h ≤ exception_max_h".to_owned();
        if fits { Vec::new() } else { vec![("silence".to_owned(), what)] }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    pub id: String,
    pub state: State,
    /// An exception says: this is no alert at all. It may last longer.
    #[serde(default)]
    pub exception: bool,
    pub matcher: Matcher,
    pub owner: String,
    pub reason: String,
    #[serde(with = "crate::when")]
    pub from: Timestamp,
    #[serde(with = "crate::when")]
    pub until: Timestamp,
    /// Alerts kept from the desk, each once.
    pub hidden: u64,
    /// The last of them.
    pub last: Vec<Hidden>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub remind: Option<Timestamp>,
    #[serde(default)]
    pub history: Vec<Said>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Active,
    /// Its time came.
    Expired,
    /// Somebody ended it.
    Ended,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hidden {
    pub alert: String,
    pub title: String,
    pub severity: u8,
    #[serde(with = "crate::when")]
    pub time: Timestamp,
}

/// What it covers; each part given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matcher {
    /// Id of the rule.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// ATT&CK technique; one stands for its sub-techniques.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub technique: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Address or network; all sources of the alert lie in it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Hides critical alerts too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
}

impl Matcher {
    fn parts(&self) -> [&str; 7] {
        [&self.rule, &self.technique, &self.unit, &self.source, &self.target, &self.host, &self.user]
    }

    /// Whether the alert lies wholly inside.
    pub fn covers(&self, alert: &Alert) -> bool {
        if alert.severity_id >= 5 && !self.critical {
            return false;
        }
        let all = |wanted: &str, list: &mut dyn Iterator<Item = &str>, same: &dyn Fn(&str, &str) -> bool| -> bool {
            if wanted.is_empty() {
                return true;
            }
            let mut any = false;
            for value in list {
                any = true;
                if !same(wanted, value) {
                    return false;
                }
            }
            any
        };
        let plain = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        let inside = |net: &str, ip: &str| match (Net::parse(net), ip.parse()) {
            (Some(net), Ok(ip)) => net.contains(Net::of(ip)),
            _ => normal(net) == normal(ip),
        };
        let technique = |wanted: &str, have: &str| plain(wanted, have) || plain(wanted, crate::attack::parent(have));
        self.parts().iter().any(|p| !p.is_empty())
            && (self.rule.is_empty() || self.rule == alert.rule_id)
            && all(&self.technique, &mut alert.techniques.iter().map(String::as_str), &technique)
            && all(&self.unit, &mut alert.units.iter().map(|u| u.id.as_str()), &|a, b| a == b)
            && all(&self.source, &mut alert.source_ips.iter().map(String::as_str), &inside)
            && all(&self.target, &mut alert.target_ips.iter().map(String::as_str), &inside)
            && all(&self.host, &mut alert.hosts.iter().map(String::as_str), &plain)
            && all(&self.user, &mut alert.users.iter().map(String::as_str), &plain)
    }

    fn checked(&self, desk: &Desk) -> Result<(), Refusal> {
        if self.parts().iter().all(|p| p.is_empty()) {
            return Err(Refusal::because(
                "say what to silence: rule, technique, unit, source, target, host or user",
                "请填写静默条件：rule、technique、unit、source、target、host 或 user",
            ));
        }
        if self.parts().iter().any(|p| p.chars().count() > WORD_CHARS_MAX) {
            return Err(Refusal::because(
                format!("a part has at most {WORD_CHARS_MAX} characters"),
                format!("每项最多 {WORD_CHARS_MAX} 个字符"),
            ));
        }
        if !self.unit.is_empty() && !desk.book.units.contains_key(&self.unit) {
            return Err(Refusal::because(format!("there is no unit '{}'", self.unit), format!("没有单位“{}”", self.unit)));
        }
        if let Some(net) = [&self.source, &self.target].into_iter().find(|n| n.contains('/') && Net::parse(n).is_none()) {
            return Err(Refusal::because(
                format!("'{net}' is no network; write e.g. 10.1.0.0/16"),
                format!("“{net}”不是网段，应形如 10.1.0.0/16"),
            ));
        }
        Ok(())
    }

    fn title(&self) -> String {
        let names = ["rule", "technique", "unit", "source", "target", "host", "user"];
        let parts = names.iter().zip(self.parts()).filter(|(_, p)| !p.is_empty()).map(|(n, p)| format!("{n}={p}"));
        parts.collect::<Vec<_>>().join(" ")
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum SilenceAct {
    Open {
        #[serde(default)]
        rule: String,
        #[serde(default)]
        technique: String,
        #[serde(default)]
        unit: String,
        #[serde(default)]
        source: String,
        #[serde(default)]
        target: String,
        #[serde(default)]
        host: String,
        #[serde(default)]
        user: String,
        #[serde(default)]
        critical: bool,
        #[serde(default)]
        exception: bool,
        hours: u32,
        reason: String,
    },
    Extend {
        hours: u32,
        reason: String,
    },
    End {
        reason: String,
    },
    /// Alerts it kept away.
    Hid {
        alerts: Vec<Hidden>,
    },
}

const fn act(
    word: &'static str,
    right: Option<Permission>,
    about: &'static str,
    about_zh: &'static str,
    fields: &'static [FieldRow],
) -> ActRow {
    ActRow { word, opens: false, right, about, about_zh, fields }
}

const WRITE: Option<Permission> = Some(Permission::SilencesWrite);
const REASON: FieldRow = field("reason", true, Input::Text, "why", "理由");

pub const ACTS: &[ActRow] = &[
    ActRow {
        opens: true,
        ..act(
            "open",
            WRITE,
            "Silence",
            "设置静默",
            &[
                field("rule", false, Input::Line, "id of the rule", "规则编号"),
                field("technique", false, Input::Line, "ATT&CK technique, e.g. T1046", "ATT&CK 技术编号，如 T1046"),
                field("unit", false, Input::Line, "id of the unit", "单位编号"),
                field("source", false, Input::Line, "source address or network", "源地址或网段"),
                field("target", false, Input::Line, "target address or network", "目标地址或网段"),
                field("host", false, Input::Line, "host name or address", "主机名或地址"),
                field("user", false, Input::Line, "account", "账号"),
                field("critical", false, Input::Yes, "critical alerts too (shift lead)", "同时静默“严重”告警（需值班长）"),
                field(
                    "exception",
                    false,
                    Input::Yes,
                    "this is no alert at all: may last longer (shift lead)",
                    "例外：不视为告警，可长期有效（需值班长）",
                ),
                field(
                    "hours",
                    true,
                    Input::Number,
                    "for how many hours; more than 4 needs a shift lead",
                    "时长（小时）；超过 4 小时需值班长",
                ),
                REASON,
            ],
        )
    },
    act(
        "extend",
        WRITE,
        "Extend",
        "延长",
        &[field("hours", true, Input::Number, "for how many hours from now", "自现在起的小时数"), REASON],
    ),
    act("end", WRITE, "End now", "立即结束", &[REASON]),
    act("hid", None, "Count what it hid", "计入被静默的告警", &[]),
];

impl Matter for Silence {
    const KIND: &'static str = "silence";
    type Act = SilenceAct;

    fn open(id: &str, act: SilenceAct, desk: &Desk, _: &mut Effects) -> Result<Self, Refusal> {
        let SilenceAct::Open { rule, technique, unit, source, target, host, user, critical, exception, hours, reason } = act else {
            return Err(Refusal::because("a silence is opened with 'open'", "请使用“设置静默”"));
        };
        let trim = |s: String| s.trim().to_owned();
        let matcher = Matcher {
            rule: trim(rule),
            technique: trim(technique).to_ascii_uppercase(),
            unit: trim(unit),
            source: trim(source),
            target: trim(target),
            host: trim(host),
            user: trim(user),
            critical,
        };
        matcher.checked(desk)?;
        let said = say(desk, &reason)?;
        if desk.linked(Self::KIND, ACTIVE)?.len() >= ACTIVE_MAX {
            return Err(Refusal::because(
                format!("{ACTIVE_MAX} silences are in force; end some first"),
                format!("生效中的静默已达 {ACTIVE_MAX} 条，请先结束部分静默"),
            ));
        }
        let until = ends(desk, hours, exception, critical)?;
        let mut silence = Self {
            id: id.to_owned(),
            state: State::Active,
            exception,
            matcher,
            owner: desk.by.name.clone(),
            reason: said.text.clone(),
            from: desk.now,
            until,
            hidden: 0,
            last: Vec::new(),
            remind: None,
            history: vec![said],
        };
        silence.remind_next(desk.now);
        Ok(silence)
    }

    fn act(&mut self, act: SilenceAct, desk: &Desk, _: &mut Effects) -> Result<(), Refusal> {
        if self.state != State::Active {
            return match act {
                // What was hidden before it ended is still counted.
                SilenceAct::Hid { alerts } => {
                    self.count(alerts);
                    Ok(())
                }
                _ => Err(Refusal::because("it has ended; open a new one", "该静默已结束，请新建")),
            };
        }
        match act {
            SilenceAct::Open { .. } => return Err(Refusal::because("it is open already", "已建立")),
            SilenceAct::Extend { hours, reason } => {
                let said = say(desk, &reason)?;
                self.until = ends(desk, hours, self.exception, self.matcher.critical)?;
                self.remind_next(desk.now);
                self.note(said);
            }
            SilenceAct::End { reason } => {
                let said = say(desk, &reason)?;
                self.note(said);
                self.state = State::Ended;
                self.until = desk.now;
            }
            SilenceAct::Hid { alerts } => self.count(alerts),
        }
        Ok(())
    }

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if desk.now >= self.until {
            self.state = State::Expired;
            self.tell(desk, out, "静默到期", "A silence ended");
        } else if self.remind.is_some_and(|at| at <= desk.now) {
            self.remind_next(desk.now);
            self.tell(desk, out, "静默仍在生效", "A silence is still in force");
        }
        Ok(())
    }

    fn card(&self) -> Card {
        let active = self.state == State::Active;
        Card {
            state: match self.state {
                State::Active => "active",
                State::Expired => "expired",
                State::Ended => "ended",
            },
            closed: !active,
            level: None,
            title: Both::new(
                format!("{}：{}", if self.exception { "例外" } else { "静默" }, self.matcher.title()),
                format!("{} {}", if self.exception { "exception" } else { "silence" }, self.matcher.title()),
            ),
            // A unit may see what of its own alerts is not listened to; everything hidden then is its own.
            units: Some(self.matcher.unit.clone()).filter(|u| !u.is_empty()).into_iter().collect(),
            exercise: false,
            due: active.then(|| self.remind.map_or(self.until, |r| r.min(self.until))),
            links: if active { vec![ACTIVE.to_owned()] } else { Vec::new() },
        }
    }
}

/// When it ends, if this person may make it last so long.
fn ends(desk: &Desk, hours: u32, exception: bool, critical: bool) -> Result<Timestamp, Refusal> {
    let table = &desk.book.tables.desk.silence;
    let most = if exception { table.exception_max_h } else { table.silence_max_h };
    if hours == 0 || hours > most {
        return Err(Refusal::because(format!("from 1 to {most} hours"), format!("时长为 1 至 {most} 小时")));
    }
    // The right to release a warning is the shift lead's.
    if (hours > table.lead_h || exception || critical) && !desk.by.may(Permission::WarningsRelease) {
        return Err(Refusal::denied(
            format!("more than {} hours, an exception, or critical alerts need a shift lead", table.lead_h),
            format!("超过 {} 小时、例外或静默“严重”告警须由值班长设置", table.lead_h),
        ));
    }
    Ok(desk.now.plus_secs(i64::from(hours) * 3600))
}

impl Silence {
    fn note(&mut self, said: Said) {
        self.history.push(said);
        if self.history.len() > HIDDEN_MAX {
            self.history.remove(1);
        }
    }

    fn remind_next(&mut self, now: Timestamp) {
        let next = now.plus_secs(WEEK_S);
        self.remind = (next < self.until).then_some(next);
    }

    fn count(&mut self, alerts: Vec<Hidden>) {
        self.hidden += alerts.len() as u64;
        self.last.extend(alerts);
        let over = self.last.len().saturating_sub(HIDDEN_MAX);
        self.last.drain(..over);
    }

    fn tell(&self, desk: &Desk, out: &mut Effects, zh: &str, en: &str) {
        let last: Vec<&str> = self.last.iter().rev().take(5).map(|h| h.title.as_str()).collect();
        out.tell(Message {
            key: format!("silence {} {}", self.id, desk.now.ns()),
            recipient: Recipient::City { right: Permission::SilencesWrite },
            level: None,
            kind: Self::KIND.to_owned(),
            id: self.id.clone(),
            thread: self.id.clone(),
            title: Both::new(format!("{zh}：{}", self.matcher.title()), format!("{en}: {}", self.matcher.title())),
            text: Both::new(
                format!(
                    "设置人 {}，理由：{}；共静默 {} 条告警。最近：{}",
                    self.owner,
                    self.reason,
                    self.hidden,
                    if last.is_empty() { "无".to_owned() } else { last.join("；") }
                ),
                format!(
                    "By {}: {}. It hid {} alerts. Last: {}",
                    self.owner,
                    self.reason,
                    self.hidden,
                    if last.is_empty() { "none".to_owned() } else { last.join("; ") }
                ),
            ),
            revision: None,
            exercise: false,
            time: desk.now,
        });
    }
}

/// Those in force, read once for a batch.
pub struct Silences(BTreeMap<String, Silence>);

impl Silences {
    pub fn in_force(desk: &Desk) -> Result<Self, Refusal> {
        let mut all = BTreeMap::new();
        for id in desk.linked(Silence::KIND, ACTIVE)?.into_iter().take(ACTIVE_MAX) {
            if let Some(silence) = desk.get::<Silence>(&id)?.filter(|s| s.state == State::Active && s.until > desk.now) {
                all.insert(id, silence);
            }
        }
        Ok(Self(all))
    }
    /// The one that covers an alert.
    pub fn over(&self, alert: &Alert) -> Option<&str> {
        self.0.iter().find(|(_, s)| s.matcher.covers(alert)).map(|(id, _)| id.as_str())
    }
}

impl From<&Alert> for Hidden {
    fn from(alert: &Alert) -> Self {
        let title = if alert.title_zh.is_empty() { &alert.title } else { &alert.title_zh };
        Self {
            alert: alert.id.0.clone(),
            title: title.chars().take(WORD_CHARS_MAX).collect(),
            severity: alert.severity_id,
            time: Timestamp::from_ns(alert.last_time),
        }
    }
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
