//! What can be done to a warning: the acts as data, and their rows, of which forms, help and contract are made.

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::content::Wish;
use crate::notice::Certainty;
use crate::{ActRow, FieldRow, Input, Permission, field};

/// One act; as JSON an object tagged with `act`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    Draft(Box<Wish>),
    Recommend(Box<Wish>),
    Edit(Box<Wish>),
    Assess {
        level: Verdict,
        #[serde(default)]
        reason: String,
        #[serde(default)]
        certainty: Option<Certainty>,
    },
    Submit {},
    Approve {
        #[serde(default)]
        note: String,
        #[serde(default)]
        issue: bool,
    },
    Return {
        reason: String,
    },
    Issue {},
    Discard {
        reason: String,
    },
    Propose {
        reason: String,
        #[serde(default)]
        no_advisory: bool,
    },
    Answer {
        #[serde(default)]
        accepted: bool,
        #[serde(default)]
        level: Option<Verdict>,
        reference: String,
    },
    Update(Box<Wish>),
    Upgrade(Box<Wish>),
    Downgrade(Box<Wish>),
    Extend {
        reason: String,
    },
    Lift {
        reason: String,
        #[serde(default)]
        override_reason: String,
    },
    Cancel {
        reason: String,
    },
    Expire {
        reason: String,
    },
    Note {
        text: String,
    },
}

const VERDICTS: Input = Input::Choice(&["none", "advisory", "blue", "yellow", "orange", "red"]);
const COLOURS: Input = Input::Choice(&["blue", "yellow", "orange", "red"]);
const CERTAINTIES: Input = Input::Choice(&["observed", "likely", "possible"]);

const REASON: FieldRow = field("reason", true, Input::Text, "Why", "理由");
const TITLE: FieldRow = field("title", false, Input::Both, "Title", "标题");
const CATEGORY: FieldRow = field(
    "category",
    false,
    Input::Line,
    "Category: five digits of GB/T 20986-2023, e.g. 01007",
    "事件分类代码（GB/T 20986-2023，五位，如 01007）",
);
const EVENT: FieldRow = field("event", false, Input::Both, "What happens", "事件性质");
const THREAT: FieldRow = field("threat", false, Input::Both, "How it works", "威胁方式");
const SCOPE: FieldRow = field("scope", false, Input::Both, "Where; never a victim's name", "影响范围（不得点名受害单位）");
const IMPACT: FieldRow = field("impact", false, Input::Both, "Possible impact", "可能的影响程度");
const MEASURES: FieldRow = field("measures", false, Input::Boths, "What to do, one entry a measure", "防范措施（每条一项）");
const INDICATORS: FieldRow = field(
    "indicators",
    false,
    Input::Json,
    "Indicators: list of {type, value}, e.g. [{\"type\":\"ipv4-addr\",\"value\":\"203.0.113.9\"}]",
    "威胁指标：{type, value} 列表，如 [{\"type\":\"ipv4-addr\",\"value\":\"203.0.113.9\"}]",
);
const TECHNIQUES: FieldRow = field("techniques", false, Input::Words, "ATT&CK techniques, e.g. T1486", "ATT&CK 技术编号，如 T1486");
const CERTAINTY: FieldRow = field("certainty", false, CERTAINTIES, "How sure", "确定程度");
const TLP: FieldRow = field(
    "tlp",
    false,
    Input::Choice(&["clear", "green", "amber", "amber+strict", "red"]),
    "Who may be told (TLP 2.0)",
    "知悉范围（TLP 2.0）",
);
const PAP: FieldRow =
    field("pap", false, Input::Choice(&["clear", "green", "amber", "red"]), "What may be done with it (PAP)", "允许的使用方式（PAP）");
const UNITS: FieldRow = field("units", false, Input::Words, "Ids of the units it goes to", "发送单位（编号）");
const MORE_UNITS: FieldRow = field("units", false, Input::Words, "Units to add; those told already stay", "增加的发送单位（已发送的保留）");
const SECTORS: FieldRow = field("sectors", false, Input::Words, "Sectors it names", "点名的行业");
const NOTICE: FieldRow =
    field("notice", false, Input::Json, "The whole text at once, instead of its parts", "整份预警内容（代替以上各项）");

const ROWS_DRAFT: &[FieldRow] = &[
    TITLE,
    CATEGORY,
    EVENT,
    THREAT,
    SCOPE,
    IMPACT,
    MEASURES,
    INDICATORS,
    TECHNIQUES,
    CERTAINTY,
    TLP,
    PAP,
    UNITS,
    SECTORS,
    field("authority", false, Input::Choice(&["city", "power"]), "By whose right", "发布权限"),
    field("case", false, Input::Json, "A case to grade, as in `vedette grade`", "待定级的案例（同 vedette grade）"),
    field("campaign", false, Input::Line, "Campaign it is about", "关联的攻击活动"),
    field("exercise", false, Input::Yes, "A drill's", "属于演练"),
    field("drill", false, Input::Line, "Id of the drill", "演练编号"),
    NOTICE,
];
const ROWS_EDIT: &[FieldRow] =
    &[TITLE, CATEGORY, EVENT, THREAT, SCOPE, IMPACT, MEASURES, INDICATORS, TECHNIQUES, CERTAINTY, TLP, PAP, UNITS, SECTORS, NOTICE];
const ROWS_UPDATE: &[FieldRow] = &[
    REASON, TITLE, CATEGORY, EVENT, THREAT, SCOPE, IMPACT, MEASURES, INDICATORS, TECHNIQUES, CERTAINTY, TLP, PAP, MORE_UNITS, SECTORS,
    NOTICE,
];
const ROWS_UPGRADE: &[FieldRow] = &[
    field("level", true, COLOURS, "New level, higher than now", "新级别（须高于现级别）"),
    REASON,
    TITLE,
    EVENT,
    THREAT,
    SCOPE,
    IMPACT,
    MEASURES,
    INDICATORS,
    TECHNIQUES,
    CERTAINTY,
    MORE_UNITS,
    SECTORS,
    NOTICE,
];
const ROWS_DOWNGRADE: &[FieldRow] = &[REASON, TITLE, EVENT, SCOPE, IMPACT, MEASURES, CERTAINTY, NOTICE];
const ROWS_REASON: &[FieldRow] = &[REASON];

const fn row(
    word: &'static str,
    right: Option<Permission>,
    about: &'static str,
    about_zh: &'static str,
    fields: &'static [FieldRow],
) -> ActRow {
    ActRow { word, opens: false, right, about, about_zh, fields }
}

const DRAFT: Option<Permission> = Some(Permission::WarningsDraft);
const RELEASE: Option<Permission> = Some(Permission::WarningsRelease);

/// Rows of the acts.
pub const ACTS: &[ActRow] = &[
    ActRow { word: "draft", opens: true, right: DRAFT, about: "Draft", about_zh: "草拟", fields: ROWS_DRAFT },
    row("edit", DRAFT, "Edit", "修改", ROWS_EDIT),
    row(
        "assess",
        DRAFT,
        "Assess",
        "研判",
        &[
            field("level", true, VERDICTS, "Level you find right", "研判级别"),
            field(
                "reason",
                false,
                Input::Text,
                "Why; required where it differs from the recommended level",
                "理由（与推荐级别不同时必填）",
            ),
            CERTAINTY,
        ],
    ),
    row("submit", DRAFT, "Submit for approval", "提交审批", &[]),
    row(
        "approve",
        RELEASE,
        "Approve",
        "批准",
        &[field("note", false, Input::Text, "Remark", "备注"), field("issue", false, Input::Yes, "Issue at once", "批准后立即发布")],
    ),
    row("return", RELEASE, "Send back", "退回", ROWS_REASON),
    row("issue", DRAFT, "Issue", "发布", &[]),
    row("discard", DRAFT, "Discard the draft", "放弃草稿", ROWS_REASON),
    row(
        "propose",
        DRAFT,
        "Propose upward",
        "建议上报",
        &[REASON, field("no_advisory", false, Input::Yes, "Send members no advisory meanwhile", "暂不向成员单位发风险提示")],
    ),
    row(
        "answer",
        RELEASE,
        "Record the superior's answer",
        "登记上级批复",
        &[
            field("accepted", false, Input::Yes, "Accepted", "同意"),
            field("level", false, COLOURS, "Highest level granted for this warning", "批准本预警可发布的最高级别"),
            field("reference", true, Input::Line, "Document number or call", "批复文号或来电"),
        ],
    ),
    row("update", DRAFT, "Update", "更新", ROWS_UPDATE),
    row("upgrade", DRAFT, "Upgrade", "升级", ROWS_UPGRADE),
    row("downgrade", DRAFT, "Downgrade one step", "降一级", ROWS_DOWNGRADE),
    row("extend", DRAFT, "Extend", "延期", ROWS_REASON),
    row(
        "lift",
        RELEASE,
        "Lift",
        "解除",
        &[
            REASON,
            field("override_reason", false, Input::Text, "Why all the same, where a condition is not met", "条件未满足时仍予解除的理由"),
        ],
    ),
    row("cancel", RELEASE, "Cancel: it was an error", "撤销（误发）", ROWS_REASON),
    row("expire", RELEASE, "Let it end: its validity is over", "到期终止", ROWS_REASON),
    row("note", DRAFT, "Note", "备注", &[field("text", true, Input::Text, "Text", "内容")]),
    row("recommend", None, "Recommend", "推荐", &[]),
];
