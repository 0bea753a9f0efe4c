//! The report as a form: filled in from the register when the clocks start, corrected by people, kept with every report as it was then.

use event::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::table::Impact;
use super::{Awareness, Clock, GradeStep};
use crate::ties::{self, LINE_MAX, TEXT_MAX};
use crate::{Both, Desk, Matter, Refusal};

/// What a report says. The first five make the first report (art. 7: the two items that may be reported first).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Form {
    pub unit_and_system: String,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub found_at: Option<Timestamp>,
    pub category: String,
    pub grade: u8,
    pub impact: String,
    pub measures: String,
    #[serde(default)]
    pub cause: String,
    #[serde(default)]
    pub trend: String,
    #[serde(default)]
    pub further: String,
}

/// One report made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub kind: ReportKind,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    #[serde(with = "crate::when")]
    pub received: Timestamp,
    pub by: String,
    pub channel: String,
    #[serde(default)]
    pub reference: String,
    /// Clocks it answered.
    #[serde(default)]
    pub clocks: Vec<String>,
    /// The form as it was.
    pub form: Form,
    /// What a supplement adds.
    #[serde(default)]
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    First,
    Supplement,
    Final,
}

/// What a final report adds (art. 8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub cause: String,
    pub measures: String,
    pub harm: String,
    pub responsibility: String,
    pub rectification: String,
    pub lessons: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    Start(Box<Start>),
    Report(Reported),
    Edit(Box<Edit>),
    Supplement {
        text: String,
        #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
        reported_at: Option<Timestamp>,
        channel: String,
        #[serde(default)]
        complete: bool,
    },
    Regrade {
        #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
        grade: Option<u8>,
        #[serde(default)]
        suspected_crime: bool,
        #[serde(default)]
        product_flaw: bool,
        #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
        aware_at: Option<Timestamp>,
        why: String,
    },
    Correct {
        #[serde(with = "crate::when")]
        aware_at: Timestamp,
        why: String,
    },
    Handled {
        #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
        why: String,
    },
    FinalReport(Box<FinalReport>),
    Waive {
        clock: String,
        reason: String,
    },
    Close {},
    Withdraw {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    pub unit: String,
    #[serde(with = "crate::when")]
    pub aware_at: Timestamp,
    pub why: String,
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub grade: Option<u8>,
    #[serde(default, skip_serializing_if = "Impact::is_empty")]
    pub impact: Impact,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    #[serde(default, skip_serializing_if = "Both::is_empty")]
    pub title: Both,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<Timestamp>,
    #[serde(default)]
    pub suspected_crime: bool,
    #[serde(default)]
    pub product_flaw: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    #[serde(default)]
    pub exercise: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<String>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<Timestamp>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    pub channel: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    #[serde(default)]
    pub complete: bool,
}

/// None: leave it as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edit {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_and_system: Option<String>,
    #[serde(with = "crate::when::option", skip_serializing_if = "Option::is_none")]
    pub found_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measures: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub further: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalReport {
    pub cause: String,
    pub measures: String,
    pub harm: String,
    pub responsibility: String,
    pub rectification: String,
    pub lessons: String,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<Timestamp>,
    pub channel: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
}

impl Report {
    pub(super) fn new(form: &Form) -> Self {
        Self {
            kind: ReportKind::First,
            at: Timestamp::ZERO,
            received: Timestamp::ZERO,
            by: String::new(),
            channel: String::new(),
            reference: String::new(),
            clocks: Vec::new(),
            form: form.clone(),
            text: String::new(),
            summary: None,
        }
    }
}

impl FinalReport {
    pub(super) fn check(&self, form: &Form, at: Timestamp, by: &str) -> Result<Report, Refusal> {
        let item = |value: &str, en: &str, zh: &str| ties::text(value, TEXT_MAX, en, zh);
        let summary = Summary {
            cause: item(&self.cause, "cause", "原因")?,
            measures: item(&self.measures, "measures", "应急处置措施")?,
            harm: item(&self.harm, "harm", "危害")?,
            responsibility: item(&self.responsibility, "responsibility", "责任")?,
            rectification: item(&self.rectification, "rectification", "整改情况")?,
            lessons: item(&self.lessons, "lessons", "教训")?,
        };
        Ok(Report {
            kind: ReportKind::Final,
            at,
            received: at,
            by: by.to_owned(),
            channel: ties::text(&self.channel, LINE_MAX, "channel", "报告渠道")?,
            reference: ties::optional(&self.reference, LINE_MAX, "reference", "受理编号")?,
            summary: Some(summary),
            ..Report::new(form)
        })
    }
}

impl Form {
    pub(super) fn edit(&mut self, edit: Edit) -> Result<(), Refusal> {
        let fields = [
            (&mut self.unit_and_system, edit.unit_and_system, "unit_and_system", "单位和系统"),
            (&mut self.category, edit.category, "category", "事件类型"),
            (&mut self.impact, edit.impact, "impact", "影响"),
            (&mut self.measures, edit.measures, "measures", "措施"),
            (&mut self.cause, edit.cause, "cause", "原因"),
            (&mut self.trend, edit.trend, "trend", "趋势"),
            (&mut self.further, edit.further, "further", "后续措施"),
        ];
        for (place, value, en, zh) in fields {
            if let Some(value) = value {
                *place = ties::optional(&value, TEXT_MAX, en, zh)?;
            }
        }
        self.found_at = edit.found_at.or(self.found_at);
        Ok(())
    }

    /// The two items are there.
    pub(super) fn is_first_report(&self) -> Result<(), Refusal> {
        let empty = [
            (&self.unit_and_system, "unit_and_system", "单位和系统"),
            (&self.category, "category", "事件类型"),
            (&self.impact, "impact", "影响"),
            (&self.measures, "measures", "措施"),
        ];
        let missing: Vec<_> = empty.iter().filter(|(value, ..)| value.is_empty()).collect();
        if missing.is_empty() && self.found_at.is_some() {
            return Ok(());
        }
        let en: Vec<&str> = missing.iter().map(|(_, en, _)| *en).collect();
        let zh: Vec<&str> = missing.iter().map(|(.., zh)| *zh).collect();
        Err(Refusal::because(
            format!("the first report lacks: {}; fill in the report ('edit')", en.join(", ")),
            format!("首次报告缺少：{}；请先填写报告", zh.join("、")),
        ))
    }
}

impl Clock {
    pub(super) fn started(id: &str, start: Start, desk: &Desk) -> Result<Self, Refusal> {
        ties::known_unit(desk, &start.unit)?;
        if start.aware_at > desk.now {
            return Err(Refusal::because("'aware_at' lies in the future", "获知时间晚于当前时间"));
        }
        let (exercise, _) = ties::tie(desk, &start.links, start.exercise)?;
        for link in &start.links {
            for other in desk.linked(Self::KIND, link)? {
                if desk.get::<Self>(&other)?.is_some_and(|c| c.unit == start.unit && c.closed.is_none()) {
                    return Err(Refusal::because(
                        format!("the clocks of '{link}' run already, in '{other}'; change the grade there"),
                        format!("“{link}”的报告时限已在“{other}”中起算，可在其中调整级别"),
                    ));
                }
            }
        }
        let tables = &desk.book.tables.desk;
        for measure in start.impact.keys() {
            if !tables.grade_guide.measures().any(|m| m == measure) {
                let known: Vec<&str> = tables.grade_guide.measures().collect();
                let known = known.join(", ");
                return Err(Refusal::because(
                    format!("'{measure}' is no measure of the grading guide: {known}"),
                    format!("定级指南没有指标“{measure}”，可用：{known}"),
                ));
            }
        }
        let graded = (!start.impact.is_empty()).then(|| tables.grade_guide.grade(&start.impact));
        let grade = grade(start.grade)?.or(graded.as_ref().map(|g| g.grade)).ok_or_else(|| {
            Refusal::because("give the 'grade' 1 to 4, or the 'impact' it follows from", "请填写事件级别，或填写影响程度由系统判定")
        })?;
        let operator = operator_of(&start, desk)?;
        let why = ties::text(&start.why, TEXT_MAX, "why", "发现方式")?;
        let unit = desk.book.units.get(&start.unit);
        let name = unit.map_or(start.unit.as_str(), |u| u.name.as_str());
        let name_en = unit.map(|u| u.name_en.as_str()).filter(|n| !n.is_empty()).unwrap_or(name);
        let title = match start.title.is_empty() {
            true => Both::new(format!("{name}的报告时限"), format!("Reporting clocks of {name_en}")),
            false => ties::both(&start.title, LINE_MAX, "title", "标题")?,
        };
        let form = Form {
            unit_and_system: system_of(desk, name, &start.object),
            found_at: Some(start.aware_at),
            category: category_of(desk, &start.links)?,
            grade,
            ..Form::default()
        };
        let by = desk.by.name.clone();
        Ok(Self {
            id: id.to_owned(),
            unit: start.unit,
            object: start.object,
            title,
            operator,
            grade,
            graded,
            grades: vec![GradeStep { grade, by: by.clone(), at: desk.now, why: why.clone() }],
            suspected_crime: start.suspected_crime,
            product_flaw: start.product_flaw,
            awareness: vec![Awareness { aware_at: start.aware_at, set_by: by, set_at: desk.now, why }],
            event_time: start.event_time,
            runs: Vec::new(),
            form,
            reports: Vec::new(),
            handled: None,
            closed: None,
            withdrawn: false,
            links: start.links,
            exercise,
            hint: tables.reporting.hint.clone(),
            hotline: tables.reporting.hotline.clone(),
        })
    }
}

pub(super) fn grade(grade: Option<u8>) -> Result<Option<u8>, Refusal> {
    match grade {
        Some(n) if !(1..=4).contains(&n) => {
            Err(Refusal::because(format!("grade {n}: 1 (特别重大), 2 (重大), 3 (较大) or 4 (一般)"), format!("级别 {n} 无效，应为 1 至 4")))
        }
        other => Ok(other),
    }
}

/// As given, or from the register: CII, then government, else other.
fn operator_of(start: &Start, desk: &Desk) -> Result<String, Refusal> {
    let objects = &desk.book.objects;
    if !start.object.is_empty() && objects.get(&start.object).is_none_or(|o| o.unit != start.unit) {
        return Err(Refusal::because(
            format!("the unit has no object '{}' in the register", start.object),
            format!("该单位没有登记保护对象“{}”", start.object),
        ));
    }
    let mut known: Vec<&str> = desk.book.tables.desk.clock.iter().flat_map(|r| r.operator.iter().map(String::as_str)).collect();
    known.sort_unstable();
    known.dedup();
    if !start.operator.is_empty() {
        return match known.contains(&start.operator.as_str()) {
            true => Ok(start.operator.clone()),
            false => Err(Refusal::because(
                format!("no clock binds an operator '{}'; there are: {}", start.operator, known.join(", ")),
                format!("时限表中没有运营者类别“{}”，可用：{}", start.operator, known.join("、")),
            )),
        };
    }
    let cii = match objects.get(&start.object) {
        Some(object) => object.cii,
        None => objects.values().any(|o| o.unit == start.unit && o.cii),
    };
    Ok(match desk.book.sector_of(&start.unit) {
        _ if cii => "cii",
        "government" => "government",
        _ => "other",
    }
    .to_owned())
}

fn system_of(desk: &Desk, unit: &str, object: &str) -> String {
    let Some(object) = desk.book.objects.get(object) else { return unit.to_owned() };
    let mut text = format!("{unit}；{}", object.name);
    if let Some(level) = object.mlps {
        text.push_str(&format!("（等级保护第 {level} 级）"));
    }
    if object.cii {
        text.push_str("（关键信息基础设施）");
    }
    if !object.filing.is_empty() {
        text.push_str(&format!("，备案编号 {}", object.filing));
    }
    text
}

/// Of the incident it is about, where that has one.
fn category_of(desk: &Desk, links: &[String]) -> Result<String, Refusal> {
    for link in links {
        if let Some((kind, _, body)) = ties::find(desk, link)?
            && kind.word == "incident"
            && let Some(category) = body.get("category").and_then(serde_json::Value::as_str)
        {
            return Ok(category.to_owned());
        }
    }
    Ok(String::new())
}

/// A number, or its text from a form.
fn number<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u8>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u8),
        Text(String),
        None(()),
    }
    match Either::deserialize(d)? {
        Either::Number(n) => Ok(Some(n)),
        Either::Text(text) if text.is_empty() => Ok(None),
        Either::Text(text) => text.parse().map(Some).map_err(|_| serde::de::Error::custom(format!("'{text}' is no number"))),
        Either::None(()) => Ok(None),
    }
}
