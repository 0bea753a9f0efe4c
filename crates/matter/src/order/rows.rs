//! What can be done to an order, with the fields of its forms.

use crate::{ActRow, FieldRow, Input, Permission, field};

const LEVELS: Input = Input::Choice(&["red", "orange", "yellow", "blue"]);
const AFFECTED: Input = Input::Choice(&["no", "exposed", "attacked", "damaged"]);

const ISSUE: &[FieldRow] = &[
    field("units", true, Input::Words, "Units it goes to; each gets an order of its own", "下达单位，每个单位各立一单"),
    field("title", true, Input::Both, "What it is about, in one line", "标题"),
    field("todo", true, Input::Boths, "What to do, one entry a measure", "处置要求，每条一项"),
    field(
        "deadline",
        false,
        Input::Time,
        "Until when there must be feedback; empty: as the level's first feedback",
        "反馈期限，留空则按级别的首次反馈时限",
    ),
    field("level", false, LEVELS, "Level whose limits count; empty: that of the linked warning", "按哪一级别计时限，留空则随所关联的预警"),
    field("links", false, Input::Words, "Ids it belongs to: a warning, an incident, alerts", "关联的预警、安全事件、告警编号"),
    field(
        "checks",
        false,
        Input::Json,
        "What agents verify: [{\"check\":\"port_closed\",\"address\":\"db-1\",\"port\":6379}, {\"check\":\"file_restored\",\"host\":…,\"path\":…,\"hash\":…}, {\"check\":\"package_updated\",\"host\":…,\"name\":…,\"version\":…}]",
        "由探针核查的事项（端口关闭、文件恢复、软件升级），JSON 列表",
    ),
    field("exercise", false, Input::Yes, "It is a drill's", "演练"),
];
const FEEDBACK: &[FieldRow] = &[
    field(
        "affected",
        true,
        AFFECTED,
        "Is the unit affected: no, exposed, attacked, damaged",
        "受影响情况：否、存在风险、受到攻击、造成损害",
    ),
    field("objects", false, Input::Number, "How many objects", "涉及对象数"),
    field("measures", false, Input::Words, "Measures taken, one entry each", "已采取的措施，每条一项"),
    field("done_at", false, Input::Time, "When they were done", "完成时间"),
    field("evidence", false, Input::Text, "Evidence: what shows it", "佐证"),
    field("help", false, Input::Text, "Help wanted; empty: none", "需要的支援，留空为无"),
];
const NOTE: &[FieldRow] = &[field("note", false, Input::Text, "Note", "备注")];
const REASON: &[FieldRow] = &[field("reason", true, Input::Text, "Why", "理由")];

const fn row(
    word: &'static str,
    right: Option<Permission>,
    about: &'static str,
    about_zh: &'static str,
    fields: &'static [FieldRow],
) -> ActRow {
    ActRow { word, opens: false, right, about, about_zh, fields }
}

const WRITE: Option<Permission> = Some(Permission::OrdersWrite);
const ANSWER: Option<Permission> = Some(Permission::OrdersFeedback);

pub const ACTS: &[ActRow] = &[
    ActRow { opens: true, ..row("issue", WRITE, "Issue an order", "下达处置任务", ISSUE) },
    row("acknowledge", ANSWER, "Sign for it", "签收", &[]),
    row("feed_back", ANSWER, "Feed back", "反馈", FEEDBACK),
    row("verify", WRITE, "Verify", "核实", NOTE),
    row(
        "extend",
        WRITE,
        "Extend the deadline",
        "延长期限",
        &[
            field("deadline", true, Input::Time, "New deadline, later than the old one", "新期限，须晚于原期限"),
            field("reason", true, Input::Text, "Why", "理由"),
        ],
    ),
    row(
        "reopen",
        WRITE,
        "Open again",
        "重新处置",
        &[
            field("reason", true, Input::Text, "What is not done yet", "尚未完成的事项"),
            field("deadline", false, Input::Time, "New deadline; empty: as the level's", "新期限，留空则按级别时限"),
        ],
    ),
    row("close", WRITE, "Close", "办结", NOTE),
    row("withdraw", WRITE, "Take back", "撤回", REASON),
    row(
        "delivered",
        None,
        "A channel got through",
        "已送达",
        &[field("channel", false, Input::Line, "Channel", "通道"), field("unit", false, Input::Line, "Unit it reached", "送达单位")],
    ),
    row("checked", None, "What agents' facts say", "探针核查结果", &[field("results", true, Input::Json, "Results by check", "逐项结果")]),
    row(
        "member",
        None,
        "An order of the set was closed or opened again",
        "子任务状态变化",
        &[field("order", true, Input::Line, "Order", "任务编号"), field("closed", true, Input::Yes, "Closed", "已办结")],
    ),
];
