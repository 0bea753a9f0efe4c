//! Statutory clocks (报告时限): by when an incident must be reported to whom, started by awareness, and the reports themselves.
//!
//! * One file for an incident at a unit, with every clock of the table that binds it. Clocks start when somebody became aware (发现或获知), which
//!   is recorded with who set it and why; never with the time of the event, and nothing pauses them. A mistake in that time is corrected to an
//!   earlier one only; a later one would be a pause by another name: withdraw the file with a reason and start another.
//! * A new grade restarts nothing. It may start clocks that did not bind before, from when the new grade was known. A clock that binds no longer
//!   runs on until the city waives it with a reason.
//! * People are paged at half of the limit, a day before (long limits), ten minutes before, and when it has run out.
//! * A running clock carries the row it was started by: editing the table changes no clock that runs.
//! * The first report needs its two items (unit and system; time found, type, grade, impact, measures); the rest is supplemented. Every report
//!   keeps the form as it was. Limits: 64 reports, 40 clocks, 64 changes of grade.

mod form;
mod rows;
pub mod table;
#[cfg(test)]
mod tests;

use event::{SECOND_NS, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ties::{self, Caller, LINE_MAX, TEXT_MAX, span};
use crate::{Both, Card, Desk, Effects, Matter, Permission, Refusal};

pub use form::{Act, Edit, FinalReport, Form, Report, ReportKind, Reported, Start};
pub use rows::ACTS;
use table::{ClockRow, From, Graded};

pub const REPORTS_MAX: usize = 64;
pub const RUNS_MAX: usize = 40;
const GRADES_MAX: usize = 64;
const DAY_S: i64 = 86_400;

/// The clocks of one incident at one unit, and what was reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    pub id: String,
    pub unit: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    pub title: Both,
    pub operator: String,
    /// 1 特别重大 to 4 一般.
    pub grade: u8,
    /// What the guide says of the impact, where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graded: Option<Graded>,
    #[serde(default)]
    pub grades: Vec<GradeStep>,
    #[serde(default)]
    pub suspected_crime: bool,
    #[serde(default)]
    pub product_flaw: bool,
    /// The last one counts.
    pub awareness: Vec<Awareness>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<Timestamp>,
    pub runs: Vec<Run>,
    pub form: Form,
    #[serde(default)]
    pub reports: Vec<Report>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled: Option<Said>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Said>,
    #[serde(default)]
    pub withdrawn: bool,
    #[serde(default)]
    pub links: Vec<String>,
    #[serde(default)]
    pub exercise: bool,
    pub hint: Both,
    pub hotline: String,
}

/// When somebody knew, who says so, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Awareness {
    #[serde(with = "crate::when")]
    pub aware_at: Timestamp,
    pub set_by: String,
    #[serde(with = "crate::when")]
    pub set_at: Timestamp,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GradeStep {
    pub grade: u8,
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub why: String,
}

/// Something a person said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    #[serde(default)]
    pub why: String,
}

/// One clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The row as it was when the clock was noted.
    pub row: ClockRow,
    pub state: RunState,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// None: not started, or "promptly" without a number.
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub met: Option<Timestamp>,
    #[serde(default)]
    pub late: bool,
    /// Pages sent of this limit.
    #[serde(default)]
    pub paged: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<Said>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// What starts it has not happened.
    Waiting,
    Running,
    Overdue,
    Met,
    Waived,
}

impl Run {
    fn new(row: &ClockRow) -> Self {
        Self { row: row.clone(), state: RunState::Waiting, started: None, deadline: None, met: None, late: false, paged: 0, waived: None }
    }

    pub const fn is_open(&self) -> bool {
        matches!(self.state, RunState::Running | RunState::Overdue)
    }

    fn start(&mut self, at: Timestamp, now: Timestamp) {
        self.started = Some(at);
        self.deadline = self.row.limit_min.map(|m| at.plus_secs(60 * i64::from(m)));
        self.paged = 0;
        self.state = if self.deadline.is_some_and(|d| d <= now) { RunState::Overdue } else { RunState::Running };
    }

    /// Moments people are paged at, in order; the last is the end.
    fn pages(&self) -> Vec<Timestamp> {
        let (Some(started), Some(deadline)) = (self.started, self.deadline) else { return Vec::new() };
        let limit = deadline.since(started);
        let mut at = vec![started.plus_ns(limit / 2), deadline.plus_secs(-600), deadline];
        if limit > 2 * DAY_S * SECOND_NS {
            at.push(deadline.plus_secs(-DAY_S));
        }
        at.retain(|t| *t > started);
        at.sort();
        at.dedup();
        at
    }

    fn next_page(&self) -> Option<Timestamp> {
        if !self.is_open() { None } else { self.pages().get(self.paged).copied() }
    }

    fn meet(&mut self, at: Timestamp, handled: bool, now: Timestamp) {
        self.met = Some(at);
        self.late |= self.deadline.is_some_and(|d| at > d);
        self.state = RunState::Met;
        if self.row.again_min > 0 && !handled {
            self.row.limit_min = Some(self.row.again_min);
            self.start(at, now);
        }
    }
}

impl Matter for Clock {
    const KIND: &'static str = "clock";
    type Act = Act;

    fn open(id: &str, act: Act, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        let Act::Start(start) = act else {
            return Err(Refusal::because("only 'start' opens a file of clocks", "只有“起算”可新建报告时限"));
        };
        let mut clock = Self::started(id, *start, desk)?;
        clock.bind(clock.aware_at(), desk, out)?;
        Ok(clock)
    }

    fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if self.closed.is_some() {
            return Err(Refusal::because("the file is closed; start another one", "已办结，请另行起算"));
        }
        match act {
            Act::Start(_) => Err(Refusal::because("it is started already", "已起算")),
            Act::Report(report) => self.report(report, desk, out),
            Act::Edit(edit) => self.form.edit(*edit),
            Act::Supplement { text, reported_at, channel, complete } => {
                if !self.reports.iter().any(|r| r.kind == ReportKind::First) {
                    return Err(Refusal::because("there is no first report to supplement yet", "尚未作首次报告，无从补充"));
                }
                let at = self.reported_at(reported_at, desk)?;
                let text = ties::text(&text, TEXT_MAX, "text", "补充内容")?;
                let channel = ties::text(&channel, LINE_MAX, "channel", "报告渠道")?;
                self.keep(Report {
                    kind: ReportKind::Supplement,
                    at,
                    received: at,
                    by: desk.by.name.clone(),
                    channel,
                    text,
                    ..Report::new(&self.form)
                })?;
                if complete {
                    self.meet_all(at, desk, |row| row.from == From::Reported);
                }
                Ok(())
            }
            Act::Regrade { grade, suspected_crime, product_flaw, aware_at, why } => {
                let why = ties::text(&why, TEXT_MAX, "why", "依据")?;
                let at = aware_at.unwrap_or(desk.now);
                if at > desk.now || at < self.aware_at() {
                    return Err(Refusal::because(
                        "the time lies in the future or before the first awareness",
                        "时间晚于当前时间或早于首次获知时间",
                    ));
                }
                ties::at_most(&self.grades, GRADES_MAX - 1, "grades", "级别调整")?;
                self.grade = form::grade(grade)?.unwrap_or(self.grade);
                self.suspected_crime |= suspected_crime;
                self.product_flaw |= product_flaw;
                self.form.grade = self.grade;
                self.grades.push(GradeStep { grade: self.grade, by: desk.by.name.clone(), at: desk.now, why });
                self.bind(at, desk, out)
            }
            Act::Correct { aware_at, why } => {
                let before = self.aware_at();
                if aware_at >= before {
                    return Err(Refusal::because(
                        "awareness is only ever corrected to an earlier time; if it was started in error, withdraw it with a reason",
                        "获知时间只能更正为更早的时间；如属误起算，请撤销并说明理由",
                    ));
                }
                let why = ties::text(&why, TEXT_MAX, "why", "依据")?;
                ties::at_most(&self.awareness, GRADES_MAX - 1, "awareness", "获知记录")?;
                self.awareness.push(Awareness { aware_at, set_by: desk.by.name.clone(), set_at: desk.now, why });
                for run in self.runs.iter_mut().filter(|r| r.row.from == From::Awareness && r.started == Some(before)) {
                    let met = run.met;
                    let open = run.is_open();
                    if open {
                        run.start(aware_at, desk.now);
                    } else {
                        run.started = Some(aware_at);
                        run.deadline = run.row.limit_min.map(|m| aware_at.plus_secs(60 * i64::from(m)));
                        run.late = met.zip(run.deadline).is_some_and(|(met, deadline)| met > deadline);
                    }
                }
                self.page(desk, out);
                Ok(())
            }
            Act::Handled { at, why } => {
                if self.handled.is_some() {
                    return Err(Refusal::because("handling has ended already", "处置已结束"));
                }
                let at = at.unwrap_or(desk.now);
                if at > desk.now || at < self.aware_at() {
                    return Err(Refusal::because("the time lies in the future or before awareness", "时间晚于当前时间或早于获知时间"));
                }
                let why = ties::text(&why, TEXT_MAX, "why", "依据")?;
                self.handled = Some(Said { by: desk.by.name.clone(), at, why });
                for run in self.runs.iter_mut().filter(|r| r.row.again_min > 0 && r.is_open() && r.met.is_some()) {
                    run.state = RunState::Met;
                }
                self.start_all(at, desk, out, |row| row.from == From::Handled);
                Ok(())
            }
            Act::FinalReport(report) => {
                if self.handled.is_none() {
                    return Err(Refusal::because("handling has not ended; say so first ('handled')", "处置尚未结束，请先登记处置结束"));
                }
                let at = self.reported_at(report.reported_at, desk)?;
                let kept = report.check(&self.form, at, &desk.by.name)?;
                self.keep(kept)?;
                self.meet_all(at, desk, |row| row.from == From::Handled);
                Ok(())
            }
            Act::Waive { clock, reason } => self.waive(&clock, &reason, desk),
            Act::Close {} => {
                if let Some(run) = self.runs.iter().find(|r| r.is_open()) {
                    let id = &run.row.id;
                    return Err(Refusal::because(
                        format!("'{id}' still runs; report, or have the city waive it with a reason"),
                        format!("“{id}”尚未了结，请报告，或由市级说明理由后不适用"),
                    ));
                }
                self.closed = Some(Said { by: desk.by.name.clone(), at: desk.now, why: String::new() });
                Ok(())
            }
            Act::Withdraw { reason } => {
                city_only(desk)?;
                let why = ties::text(&reason, TEXT_MAX, "reason", "理由")?;
                self.withdrawn = true;
                self.closed = Some(Said { by: desk.by.name.clone(), at: desk.now, why });
                Ok(())
            }
        }
    }

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.page(desk, out);
        Ok(())
    }

    fn card(&self) -> Card {
        let open = self.runs.iter().any(Run::is_open);
        let state = match self {
            _ if self.withdrawn => "withdrawn",
            _ if self.closed.is_some() => "closed",
            _ if self.runs.iter().any(|r| r.state == RunState::Overdue) => "overdue",
            _ if open => "running",
            _ if self.reports.iter().any(|r| r.kind == ReportKind::Final) => "finished",
            _ if self.runs.iter().any(|r| r.state == RunState::Met) => "reported",
            _ => "noted",
        };
        Card {
            state,
            closed: self.closed.is_some(),
            level: None,
            title: self.title.clone(),
            units: vec![self.unit.clone()],
            exercise: self.exercise,
            due: self.closed.is_none().then(|| self.runs.iter().filter_map(Run::next_page).min()).flatten(),
            links: self.links.clone(),
        }
    }
}

impl Clock {
    pub fn aware_at(&self) -> Timestamp {
        self.awareness.last().map_or(Timestamp::MAX, |a| a.aware_at)
    }

    /// Notes every clock that binds now and was not noted; those of awareness start at `at`.
    fn bind(&mut self, at: Timestamp, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let mut fresh = Vec::new();
        for row in &desk.book.tables.desk.clock {
            let known = self.runs.iter().any(|r| r.row.id == row.id);
            if known || !row.applies(&self.operator, self.grade, self.suspected_crime, self.product_flaw) {
                continue;
            }
            if self.runs.len() >= RUNS_MAX {
                return Err(Refusal::because(
                    format!("more than {RUNS_MAX} clocks bind; check the table"),
                    format!("适用时限超过 {RUNS_MAX} 项，请检查时限表"),
                ));
            }
            let mut run = Run::new(row);
            match row.from {
                From::Awareness => run.start(at, desk.now),
                From::Handled => {
                    if let Some(handled) = &self.handled {
                        run.start(handled.at.max(at), desk.now);
                    }
                }
                From::Received => {
                    // The first report may be there already when a higher grade brings the next step: it counts from now on.
                    if self.runs.iter().any(|r| r.row.id == row.after && r.met.is_some()) {
                        run.start(at, desk.now);
                    }
                }
                From::Reported => {}
            }
            if run.is_open() {
                fresh.push(run.row.id.clone());
            }
            self.runs.push(run);
        }
        self.tell_started(&fresh, desk, out);
        self.page(desk, out);
        Ok(())
    }

    fn start_all(&mut self, at: Timestamp, desk: &Desk, out: &mut Effects, which: impl Fn(&ClockRow) -> bool) {
        let mut fresh = Vec::new();
        for run in self.runs.iter_mut().filter(|r| r.state == RunState::Waiting && which(&r.row)) {
            run.start(at, desk.now);
            fresh.push(run.row.id.clone());
        }
        self.tell_started(&fresh, desk, out);
        self.page(desk, out);
    }

    fn meet_all(&mut self, at: Timestamp, desk: &Desk, which: impl Fn(&ClockRow) -> bool) -> Vec<String> {
        let handled = self.handled.is_some();
        let mut met = Vec::new();
        for run in self.runs.iter_mut().filter(|r| r.is_open() && which(&r.row)) {
            run.meet(at, handled, desk.now);
            met.push(run.row.id.clone());
        }
        met
    }

    fn reported_at(&self, at: Option<Timestamp>, desk: &Desk) -> Result<Timestamp, Refusal> {
        let at = at.unwrap_or(desk.now);
        if at > desk.now || at < self.aware_at() {
            return Err(Refusal::because("'reported_at' lies in the future or before awareness", "报告时间晚于当前时间或早于获知时间"));
        }
        Ok(at)
    }

    fn keep(&mut self, report: Report) -> Result<(), Refusal> {
        if self.reports.len() >= REPORTS_MAX {
            return Err(Refusal::because(format!("there are {REPORTS_MAX} reports already"), format!("报告已达 {REPORTS_MAX} 份")));
        }
        self.reports.push(report);
        Ok(())
    }

    fn report(&mut self, report: Reported, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.form.is_first_report()?;
        let at = self.reported_at(report.reported_at, desk)?;
        let received = report.received_at.unwrap_or(at);
        if received < at || received > desk.now {
            return Err(Refusal::because("'received_at' lies before the report or in the future", "收到时间早于报告时间或晚于当前时间"));
        }
        for id in &report.clocks {
            if !self.runs.iter().any(|r| r.row.id == *id && r.is_open()) {
                return Err(Refusal::because(format!("no clock '{id}' runs here"), format!("此处没有正在计时的“{id}”")));
            }
        }
        let channel = ties::text(&report.channel, LINE_MAX, "channel", "报告渠道")?;
        let reference = ties::optional(&report.reference, LINE_MAX, "reference", "受理编号")?;
        let asked = report.clocks;
        let met = self.meet_all(at, desk, |row| if asked.is_empty() { row.from == From::Awareness } else { asked.contains(&row.id) });
        if met.is_empty() && !self.runs.is_empty() {
            return Err(Refusal::because(
                "no clock is open that this answers; supplement what was reported",
                "没有待报告的时限，可作补充报告",
            ));
        }
        self.keep(Report { at, received, by: desk.by.name.clone(), channel, reference, clocks: met.clone(), ..Report::new(&self.form) })?;
        self.start_all(received, desk, out, |row| row.from == From::Received && met.contains(&row.after));
        if report.complete {
            for run in self.runs.iter_mut().filter(|r| r.row.from == From::Reported && r.state == RunState::Waiting) {
                run.state = RunState::Met;
                run.met = Some(at);
            }
        } else {
            self.start_all(at, desk, out, |row| row.from == From::Reported);
        }
        Ok(())
    }

    fn waive(&mut self, clock: &str, reason: &str, desk: &Desk) -> Result<(), Refusal> {
        city_only(desk)?;
        let why = ties::text(reason, TEXT_MAX, "reason", "理由")?;
        let (operator, grade, crime, flaw) = (self.operator.clone(), self.grade, self.suspected_crime, self.product_flaw);
        let Some(run) = self.runs.iter_mut().find(|r| r.row.id == clock && !matches!(r.state, RunState::Met | RunState::Waived)) else {
            return Err(Refusal::because(format!("no clock '{clock}' is open here"), format!("此处没有未了结的“{clock}”")));
        };
        if run.row.limit_min.is_some() && run.is_open() && run.row.applies(&operator, grade, crime, flaw) {
            return Err(Refusal::because(
                format!("'{clock}' binds at this grade; report, or change the grade first"),
                format!("按当前级别“{clock}”适用，请报告，或先调整级别"),
            ));
        }
        run.state = RunState::Waived;
        run.waived = Some(Said { by: desk.by.name.clone(), at: desk.now, why });
        Ok(())
    }

    fn tell_started(&self, fresh: &[String], desk: &Desk, out: &mut Effects) {
        let runs: Vec<&Run> = self.runs.iter().filter(|r| fresh.contains(&r.row.id)).collect();
        for page in ["duty", "protection"] {
            let mine: Vec<&Run> = runs.iter().copied().filter(|r| r.row.page == page).collect();
            let Some(first) = mine.first() else { continue };
            let what = format!("started:{}", first.row.id);
            let title = Both::new(
                format!("报告时限起算：{}", self.title.pick(true)),
                format!("Reporting clocks started: {}", self.title.pick(false)),
            );
            let text = self.text_of(&mine, desk.now);
            self.caller().tell(out, desk, ties::unit(&self.unit, page), &what, title.clone(), text.clone());
            self.caller().tell(out, desk, city(), &what, title, text);
        }
    }

    /// Sends what is due, and names what ran out.
    fn page(&mut self, desk: &Desk, out: &mut Effects) {
        let mut runs = std::mem::take(&mut self.runs);
        for run in &mut runs {
            while let Some(at) = run.next_page().filter(|at| *at <= desk.now) {
                run.paged += 1;
                let (Some(deadline), Some(started)) = (run.deadline, run.started) else { break };
                let over = at >= deadline;
                if over {
                    run.state = RunState::Overdue;
                    run.late = true;
                }
                // What was missed while nobody could be told is not told now: only the newest page.
                if run.next_page().is_some_and(|next| next <= desk.now) {
                    continue;
                }
                let left = span(deadline.since(desk.now) / SECOND_NS);
                let id = &run.row.id;
                let title = match over {
                    true => Both::new(
                        format!("报告超时：{id}，{}", self.title.pick(true)),
                        format!("Report overdue: {id}, {}", self.title.pick(false)),
                    ),
                    false => Both::new(
                        format!("报告时限还有 {}：{id}，{}", left.zh, self.title.pick(true)),
                        format!("{} left to report: {id}, {}", left.en, self.title.pick(false)),
                    ),
                };
                let what = format!("page:{id}:{started}:{}", run.paged);
                let text = self.text_of(&[run], desk.now);
                let near = deadline.since(at) <= 600 * SECOND_NS;
                let mut to = vec![ties::unit(&self.unit, &run.row.page), city()];
                if near && run.row.page == "duty" {
                    to.push(ties::unit(&self.unit, "substitute"));
                    to.push(ties::unit(&self.unit, "leader"));
                }
                for recipient in to {
                    self.caller().tell(out, desk, recipient, &what, title.clone(), text.clone());
                }
            }
        }
        self.runs = runs;
    }

    fn text_of(&self, runs: &[&Run], now: Timestamp) -> Both {
        let line = |run: &&Run, zh: bool| {
            let to: Vec<&str> = run.row.to.iter().map(|t| t.pick(zh)).collect();
            let by = run.row.by.pick(zh);
            match (run.deadline, zh) {
                (Some(at), true) => {
                    format!("{}：{by}向{}报告，截止 {at}（剩余 {}）", run.row.id, to.join("、"), span(at.since(now) / SECOND_NS).zh)
                }
                (Some(at), false) => {
                    format!("{}: {by} reports to {} until {at} ({} left)", run.row.id, to.join(", "), span(at.since(now) / SECOND_NS).en)
                }
                (None, true) => format!("{}：{by}须及时向{}报告", run.row.id, to.join("、")),
                (None, false) => format!("{}: {by} reports to {} promptly", run.row.id, to.join(", ")),
            }
        };
        let all = |zh: bool| {
            let mut lines: Vec<String> = runs.iter().map(|r| line(r, zh)).collect();
            lines.push(self.hint.pick(zh).to_owned());
            lines.push(if zh { format!("报告电话：{}", self.hotline) } else { format!("Hotline: {}", self.hotline) });
            lines.join("\n")
        };
        Both::new(all(true), all(false))
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            kind: Self::KIND,
            id: &self.id,
            thread: self.links.first().unwrap_or(&self.id),
            level: Some(self.level()),
            exercise: self.exercise,
        }
    }

    /// How urgent its pages are: a clock that runs is never blue.
    fn level(&self) -> warning::grade::Level {
        use warning::grade::Level;
        match self.grade {
            1 => Level::Red,
            2 => Level::Orange,
            _ => Level::Yellow,
        }
    }
}

fn city_only(desk: &Desk) -> Result<(), Refusal> {
    if desk.by.units.is_some() {
        return Err(Refusal::denied("only the city may do that; ask the duty desk", "仅市级可执行，请联系值班台"));
    }
    Ok(())
}

fn city() -> crate::Recipient {
    crate::Recipient::City { right: Permission::ClocksWrite }
}
