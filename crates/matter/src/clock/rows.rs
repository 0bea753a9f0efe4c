//! What can be done to a file of clocks, with the fields of its forms.

use crate::{ActRow, FieldRow, Input, Permission, field};

const GRADE: Input = Input::Choice(&["1", "2", "3", "4"]);
const START: &[FieldRow] = &[
    field("unit", true, Input::Line, "Unit the incident is at", "发生单位"),
    field("aware_at", true, Input::Time, "When somebody became aware of it; the clocks run from here", "发现或获知时间，时限由此起算"),
    field("why", true, Input::Text, "Who became aware, and how", "由何人、以何种方式发现或获知"),
    field("grade", false, GRADE, "Grade 1 to 4; empty: as the impact says", "事件级别（1 特别重大至 4 一般），留空则按影响判定"),
    field(
        "impact",
        false,
        Input::Json,
        "How far it reached, by measure of the grading guide: {\"cii_main_function_min\": 1500}",
        "影响程度，按定级指南的指标填写，JSON",
    ),
    field(
        "operator",
        false,
        Input::Line,
        "Kind of operator: cii, government, other; empty: from the register",
        "运营者类别，留空则按台账判断",
    ),
    field("object", false, Input::Line, "Protected object concerned", "涉及的保护对象"),
    field("title", false, Input::Both, "Title; empty: the unit's name", "标题，留空则用单位名称"),
    field("event_time", false, Input::Time, "When it happened; no clock counts from it", "事件发生时间（不作起算依据）"),
    field("suspected_crime", false, Input::Yes, "A crime is suspected", "涉嫌犯罪"),
    field("product_flaw", false, Input::Yes, "A product's flaw endangers national security", "产品缺陷危害国家安全"),
    field("links", false, Input::Words, "Incident, warning or alerts it is about", "关联的安全事件、预警、告警"),
    field("exercise", false, Input::Yes, "It is a drill's", "演练"),
];
const REGRADE: &[FieldRow] = &[
    field("grade", false, GRADE, "New grade; empty: as it is", "新级别，留空不变"),
    field("suspected_crime", false, Input::Yes, "A crime is suspected", "涉嫌犯罪"),
    field("product_flaw", false, Input::Yes, "A product's flaw endangers national security", "产品缺陷危害国家安全"),
    field(
        "aware_at",
        false,
        Input::Time,
        "When that was known; empty: now. Clocks that come with it run from here",
        "获知时间，留空为现在；新增时限由此起算",
    ),
    field("why", true, Input::Text, "What it follows from", "依据"),
];
const CORRECT: &[FieldRow] = &[
    field("aware_at", true, Input::Time, "When it was really known; only earlier than what is there", "实际获知时间，只能更早"),
    field("why", true, Input::Text, "How that was found out", "依据"),
];
const EDIT: &[FieldRow] = &[
    field("unit_and_system", false, Input::Text, "1. Unit and system", "一、单位名称及发生事件的系统"),
    field("found_at", false, Input::Time, "2. Time it was found", "二、发现时间"),
    field("category", false, Input::Line, "Type of incident", "事件类型"),
    field("impact", false, Input::Text, "Impact and harm so far", "已造成的影响和危害"),
    field("measures", false, Input::Text, "Measures taken and their effect", "已采取的措施及效果"),
    field("cause", false, Input::Text, "Supplement: first judgement of the cause", "补充：初步原因"),
    field("trend", false, Input::Text, "Supplement: where it is going", "补充：发展趋势"),
    field("further", false, Input::Text, "Supplement: further measures, help wanted", "补充：拟采取的措施、请求支援"),
];
const REPORT: &[FieldRow] = &[
    field("clocks", false, Input::Words, "Clocks it answers; empty: all that run since awareness", "所对应的时限，留空为全部已起算的"),
    field("reported_at", false, Input::Time, "When it was reported; empty: now", "报告时间，留空为现在"),
    field("received_at", false, Input::Time, "When they received it; empty: as reported", "对方收到时间，留空同报告时间"),
    field("channel", true, Input::Line, "By which way: hotline, site, document", "报告渠道"),
    field("reference", false, Input::Line, "Their reference number", "受理编号"),
    field("complete", false, Input::Yes, "Cause, impact and trend are all known: nothing to supplement", "内容完整，无须补充"),
];
const SUPPLEMENT: &[FieldRow] = &[
    field("text", true, Input::Text, "What is new", "补充内容"),
    field("reported_at", false, Input::Time, "When it was reported; empty: now", "报告时间，留空为现在"),
    field("channel", true, Input::Line, "By which way", "报告渠道"),
    field("complete", false, Input::Yes, "Nothing is left to supplement", "补充完毕"),
];
const HANDLED: &[FieldRow] = &[
    field("at", false, Input::Time, "When handling ended; empty: now", "处置结束时间，留空为现在"),
    field("why", true, Input::Text, "What shows it", "依据"),
];
const FINAL: &[FieldRow] = &[
    field("cause", true, Input::Text, "Cause", "原因"),
    field("measures", true, Input::Text, "Emergency measures", "应急处置措施"),
    field("harm", true, Input::Text, "Harm", "危害"),
    field("responsibility", true, Input::Text, "Responsibility", "责任"),
    field("rectification", true, Input::Text, "Rectification", "整改情况"),
    field("lessons", true, Input::Text, "Lessons", "教训"),
    field("reported_at", false, Input::Time, "When it was reported; empty: now", "报告时间，留空为现在"),
    field("channel", true, Input::Line, "By which way (that of the first report)", "报告渠道（原渠道）"),
    field("reference", false, Input::Line, "Their reference number", "受理编号"),
];
const WAIVE: &[FieldRow] = &[
    field("clock", true, Input::Line, "Clock, e.g. CN-CII-2", "时限编号"),
    field("reason", true, Input::Text, "Why it does not bind", "不适用的理由"),
];
const REASON: &[FieldRow] = &[field("reason", true, Input::Text, "Why", "理由")];

const fn row(word: &'static str, about: &'static str, about_zh: &'static str, fields: &'static [FieldRow]) -> ActRow {
    ActRow { word, opens: false, right: Some(Permission::ClocksWrite), about, about_zh, fields }
}

pub const ACTS: &[ActRow] = &[
    ActRow { opens: true, ..row("start", "Start the clocks", "起算报告时限", START) },
    row("report", "First report made", "已作首次报告", REPORT),
    row("edit", "Fill in the report", "填写报告", EDIT),
    row("supplement", "Supplement made", "已作补充报告", SUPPLEMENT),
    row("regrade", "Change the grade", "调整级别", REGRADE),
    row("correct", "Correct the time of awareness", "更正获知时间", CORRECT),
    row("handled", "Handling ended", "处置结束", HANDLED),
    row("final_report", "Final report made", "已作总结报告", FINAL),
    row("waive", "Clock does not bind", "时限不适用", WAIVE),
    row("close", "Close", "办结", &[]),
    row("withdraw", "Take back", "撤销", REASON),
];
