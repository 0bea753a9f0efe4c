//! What an act brings for a warning's text and audience, and its limits. A person's mistake is refused with the way out; what the desk itself
//! brings is cut to fit, since a recommendation must never get lost over a long title.

use std::collections::BTreeSet;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::grade::{Case, Recommendation};

use super::{Authority, CASE_BYTES_MAX, Draft, NOTICE_BYTES_MAX, Recommended, Reminder, State, UNITS_MAX, Verdict, Warning};
use crate::notice::{Certainty, Indicator, Step};
use crate::{Both, Desk, Matter, Notice, Pap, Refusal, Tlp};

/// Entries of one list in a notice; characters of one of its texts as the desk itself writes them.
const LIST_MAX: usize = 64;
const DESK_LIST_MAX: usize = 12;
const DESK_TEXT_MAX: usize = 300;
const SECTORS_MAX: usize = 40;

/// Everything `draft`, `edit`, `update`, `upgrade`, `downgrade` and `recommend` may bring; each says which of it makes sense there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// The whole text; its parts below overlay it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Both>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Both>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threat: Option<Both>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Both>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact: Option<Both>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measures: Option<Vec<Both>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indicators: Option<Vec<Indicator>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub techniques: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tlp: Option<Tlp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pap: Option<Pap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sectors: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Verdict>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exercise: bool,
    /// The desk's own; a person gives a `case`, and the tables say what they recommend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended: Option<Recommendation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<Box<Case>>,
}

/// A campaign has one open warning: drafting it again finds that. When it is over, the next has a name of its own.
pub(super) fn name(wish: &Wish, desk: &Desk, act: &super::Act, key: Option<&str>) -> String {
    let Some(campaign) = &wish.campaign else { return crate::fresh_id(Warning::KIND, act, desk, key) };
    let ids = desk.linked(Warning::KIND, campaign).unwrap_or_default();
    for id in &ids {
        if let Ok(Some(there)) = desk.get::<Warning>(id)
            && !there.state.closed()
        {
            return id.clone();
        }
    }
    crate::id_of(Warning::KIND, &["campaign", campaign, &ids.len().to_string()])
}

/// A text a person must give.
pub(super) fn said(text: &str, what: (&str, &str)) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::because(format!("'{}' is empty; say it in a sentence", what.0), format!("“{}”不能为空", what.1)));
    }
    short(text, what)?;
    Ok(text.to_owned())
}

/// A text a person may give.
pub(super) fn short(text: &str, what: (&str, &str)) -> Result<(), Refusal> {
    let n = text.chars().count();
    if n > super::TEXT_MAX {
        return Err(Refusal::because(
            format!("'{}' has {n} characters; at most {}", what.0, super::TEXT_MAX),
            format!("“{}”共 {n} 字，最多 {} 字", what.1, super::TEXT_MAX),
        ));
    }
    Ok(())
}

impl Warning {
    /// A warning of its first act.
    pub(super) fn begin(id: &str, mut wish: Wish, desk: &Desk, out: &mut crate::Effects) -> Result<Self, Refusal> {
        if wish.level.is_some() || !wish.reason.is_empty() {
            return Err(Refusal::because("a draft has no level yet; 'assess' gives it one", "草稿尚无级别，请用“研判”确定"));
        }
        if wish.drill.is_some() && !wish.exercise {
            return Err(Refusal::because(
                "a drill's warning must be marked 'exercise'; a real one belongs to no drill",
                "演练预警须标记为演练，真实预警不得关联演练",
            ));
        }
        let by_desk = desk.by.role.is_none();
        if wish.recommended.is_some() && !by_desk {
            return Err(Refusal::because(
                "what the tables recommend is not for a person to say; give the 'case' instead",
                "推荐级别由定级表得出，请提供案例（case）",
            ));
        }
        for (name, value) in [("campaign", &wish.campaign), ("drill", &wish.drill)] {
            if value.as_ref().is_some_and(|v| v.is_empty() || v.len() > 64) {
                return Err(Refusal::because(format!("'{name}' is no id"), format!("“{name}”不是有效编号")));
            }
        }
        let recommended = recommended_of(&mut wish, desk)?;
        let verdict = recommended.as_ref().map(Recommended::verdict);
        let mut draft = Draft {
            step: Step::Issue,
            stage: State::Draft,
            notice: Notice::default(),
            certainty: Certainty::default(),
            tlp: Tlp::default(),
            pap: Pap::default(),
            units: Vec::new(),
            sectors: Vec::new(),
            level: None,
            reason: String::new(),
            drafted_by: desk.by.name.clone(),
            drafted_at: desk.now,
            hands: if by_desk { BTreeSet::new() } else { [desk.by.name.clone()].into() },
            approved: None,
            returned: None,
            reminder: first_reminder(verdict, desk),
        };
        fill(&mut draft, &wish, desk, false)?;
        let mut warning = Self {
            id: id.to_owned(),
            state: State::Draft,
            authority: wish.authority.unwrap_or_default(),
            campaign: wish.campaign,
            drill: wish.drill,
            exercise: wish.exercise,
            recommendations: Vec::new(),
            recommended,
            assessed: None,
            issued_level: None,
            draft: Some(draft),
            revisions: Vec::new(),
            judged: verdict,
            lower: None,
            quiet: None,
            settled: None,
            declined: BTreeSet::new(),
            review_due: None,
            told_due: None,
            overdue: None,
            proposal: None,
            notes: Vec::new(),
            ended: None,
        };
        warning.mark(desk.now);
        if by_desk {
            warning.tell_drafted(desk, out);
        }
        Ok(warning)
    }
}

/// When the people a draft waits for are reminded first: after one receipt period of its level.
pub(super) fn first_reminder(level: Option<Verdict>, desk: &Desk) -> Reminder {
    let service = desk.book.tables.desk.service.of(level.and_then(Verdict::level));
    Reminder { next: after(desk.now, service.receipt_min.max(1)), sent: 0 }
}

/// So many minutes later.
pub(super) const fn after(time: Timestamp, minutes: u32) -> Timestamp {
    time.plus_secs(minutes as i64 * 60)
}

/// The recommendation of an act: as the desk says, or as the tables say of the case it brings.
pub(super) fn recommended_of(wish: &mut Wish, desk: &Desk) -> Result<Option<Recommended>, Refusal> {
    let case = wish.case.take();
    let recommendation = match (wish.recommended.take(), &case) {
        (Some(given), _) => given,
        (None, Some(case)) => {
            if let Some((key, what)) = case.problems().into_iter().next() {
                return Err(Refusal::because(format!("case: {key}: {what}"), format!("案例有误：{key}：{what}")));
            }
            desk.book.tables.grading.recommend(case)
        }
        (None, None) => return Ok(None),
    };
    let written = case.as_ref().and_then(|c| serde_json::to_vec(c).ok());
    let case_hash = written.as_ref().map(|w| blake3::hash(w).to_hex().to_string()).unwrap_or_default();
    let mut concerned: Vec<String> = wish.units.clone().unwrap_or_default();
    concerned.extend(case.iter().flat_map(|c| c.object.iter().map(|o| o.unit.clone())));
    concerned.sort();
    concerned.dedup();
    concerned.truncate(UNITS_MAX);
    Ok(Some(Recommended {
        at: desk.now,
        recommendation,
        concerned,
        case: case.filter(|_| written.is_some_and(|w| w.len() <= CASE_BYTES_MAX)),
        case_hash,
    }))
}

/// Puts what an act brings into a draft. `add`: units come on top of those told already.
pub(super) fn fill(draft: &mut Draft, wish: &Wish, desk: &Desk, add: bool) -> Result<(), Refusal> {
    let mut next = draft.clone();
    let notice = &mut next.notice;
    if let Some(whole) = &wish.notice {
        notice.clone_from(whole);
    }
    let texts = [
        (&mut notice.title, &wish.title),
        (&mut notice.event, &wish.event),
        (&mut notice.threat, &wish.threat),
        (&mut notice.scope, &wish.scope),
        (&mut notice.impact, &wish.impact),
    ];
    for (into, from) in texts {
        if let Some(text) = from {
            into.clone_from(text);
        }
    }
    set(&mut notice.category, &wish.category);
    set(&mut notice.measures, &wish.measures);
    set(&mut notice.indicators, &wish.indicators);
    set(&mut notice.techniques, &wish.techniques);
    set(&mut next.certainty, &wish.certainty);
    set(&mut next.tlp, &wish.tlp);
    set(&mut next.pap, &wish.pap);
    if let Some(units) = &wish.units {
        let mut units = units.clone();
        if add {
            units.extend(draft.units.iter().cloned());
        }
        if desk.by.role.is_none() {
            units.retain(|u| desk.book.units.contains_key(u));
        }
        units.sort();
        units.dedup();
        next.units = units;
    }
    if let Some(sectors) = &wish.sectors {
        next.sectors.clone_from(sectors);
        next.sectors.sort();
        next.sectors.dedup();
    }
    if desk.by.role.is_none() {
        cut(&mut next);
    }
    check(&next, desk)?;
    *draft = next;
    Ok(())
}

fn set<T: Clone>(into: &mut T, from: &Option<T>) {
    if let Some(value) = from {
        into.clone_from(value);
    }
}

/// What the desk writes fits the limits.
fn cut(draft: &mut Draft) {
    let clip = |text: &mut String| {
        if text.chars().count() > DESK_TEXT_MAX {
            *text = text.chars().take(DESK_TEXT_MAX - 1).chain(['…']).collect();
        }
    };
    let notice = &mut draft.notice;
    notice.measures.truncate(DESK_LIST_MAX);
    notice.indicators.truncate(DESK_LIST_MAX);
    notice.indicators.retain(|i| i.r#type.len() <= 64 && i.value.len() <= 512);
    notice.techniques.truncate(DESK_LIST_MAX);
    notice.techniques.retain(|t| t.len() <= 16);
    if !is_category(&notice.category) {
        notice.category.clear();
    }
    let both = [&mut notice.title, &mut notice.event, &mut notice.threat, &mut notice.scope, &mut notice.impact];
    for text in both.into_iter().chain(&mut notice.measures) {
        clip(&mut text.zh);
        clip(&mut text.en);
    }
    if notice.title.is_empty() {
        notice.title = Both::new("网络安全风险", "A cybersecurity risk");
    }
    if notice.event.is_empty() {
        notice.event = notice.title.clone();
    }
    draft.units.truncate(UNITS_MAX);
    draft.sectors.truncate(SECTORS_MAX);
}

fn is_category(code: &str) -> bool {
    code.is_empty() || code.len() == 5 && code.bytes().all(|b| b.is_ascii_digit())
}

/// The limits of a draft.
fn check(draft: &Draft, desk: &Desk) -> Result<(), Refusal> {
    let notice = &draft.notice;
    if notice.title.is_empty() || notice.event.is_empty() {
        return Err(Refusal::because("a warning needs a 'title' and an 'event': what happens", "预警须有标题和事件性质"));
    }
    if !is_category(&notice.category) {
        return Err(Refusal::because(
            format!("category '{}': five digits of GB/T 20986-2023, e.g. 01007, or nothing", notice.category),
            format!("事件分类代码“{}”有误：GB/T 20986-2023 为五位数字，如 01007，也可留空", notice.category),
        ));
    }
    let lists = [
        ("measures", notice.measures.len(), LIST_MAX),
        ("indicators", notice.indicators.len(), LIST_MAX),
        ("techniques", notice.techniques.len(), LIST_MAX),
        ("sectors", draft.sectors.len(), SECTORS_MAX),
        ("units", draft.units.len(), UNITS_MAX),
    ];
    for (name, n, max) in lists {
        if n > max {
            return Err(Refusal::because(format!("'{name}' has {n} entries; at most {max}"), format!("“{name}”共 {n} 项，最多 {max} 项")));
        }
    }
    if draft.sectors.iter().any(|s| s.len() > 64) {
        return Err(Refusal::because("a sector's name has at most 64 bytes", "行业名称最长 64 字节"));
    }
    let size = serde_json::to_vec(notice).map_or(usize::MAX, |bytes| bytes.len());
    if size > NOTICE_BYTES_MAX {
        return Err(Refusal::because(
            format!("the text has {size} bytes; at most {NOTICE_BYTES_MAX}: shorten it, or send the long part another way"),
            format!("预警内容共 {size} 字节，最多 {NOTICE_BYTES_MAX} 字节，请精简"),
        ));
    }
    if let Some(unknown) = draft.units.iter().find(|u| !desk.book.units.contains_key(*u)) {
        return Err(Refusal::because(
            format!("unit '{unknown}' is not in the register; register it or leave it out"),
            format!("单位“{unknown}”不在台账中，请先登记或去掉"),
        ));
    }
    Ok(())
}
