//! Reasons in words. A reason is stored as an id with arguments and becomes a sentence only when somebody reads it, in their
//! language. `REASONS` lists every id this house emits; an id that is not in it is shown as it is with its arguments.

use std::fmt::Write;

use crate::AlertReason;

/// Language of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    #[default]
    En,
    Zh,
}

/// A reason id, its arguments and its sentences; `{name}` is replaced by the argument.
pub struct ReasonText {
    pub id: &'static str,
    pub args: &'static [&'static str],
    pub en: &'static str,
    pub zh: &'static str,
}

/// Every reason there is.
pub static REASONS: &[ReasonText] = &[
    ReasonText {
        id: "matched",
        args: &["field", "value", "pattern", "conditions"],
        en: "{field} is {value} ({pattern})",
        zh: "{field} 为 {value}（{pattern}）",
    },
    ReasonText {
        id: "count_reached",
        args: &["count", "threshold", "window_s"],
        en: "{count} events within {window_s} s (threshold {threshold})",
        zh: "{window_s} 秒内 {count} 次（阈值 {threshold}）",
    },
    ReasonText {
        id: "values_reached",
        args: &["count", "threshold", "window_s", "field"],
        en: "{count} different values of {field} within {window_s} s (threshold {threshold})",
        zh: "{window_s} 秒内 {field} 出现 {count} 个不同取值（阈值 {threshold}）",
    },
    ReasonText {
        id: "rules_together",
        args: &["rules", "window_s"],
        en: "{rules} within {window_s} s",
        zh: "{window_s} 秒内同时出现：{rules}",
    },
    ReasonText {
        id: "sequence_complete",
        args: &["rules", "window_s"],
        en: "one after another within {window_s} s: {rules}",
        zh: "{window_s} 秒内依次出现：{rules}",
    },
    ReasonText {
        id: "important_object",
        args: &["importance"],
        en: "concerns a protected object of importance {importance}",
        zh: "涉及重要程度为 {importance} 的保护对象",
    },
    ReasonText {
        id: "clock_ahead",
        args: &["seconds"],
        en: "an event's clock was {seconds} s ahead; its time was held at arrival",
        zh: "事件时间超前 {seconds} 秒，已按到达时间计",
    },
];

/// A sentence for a reason. Unknown ids and missing arguments are shown, not hidden.
pub fn render(reason: &AlertReason, lang: Lang) -> String {
    let show = |value: &serde_json::Value| match value {
        serde_json::Value::String(s) => s.clone(),
        serde_json::Value::Array(list) => {
            let comma = if lang == Lang::Zh { "、" } else { ", " };
            list.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(comma)
        }
        other => other.to_string(),
    };
    let Some(row) = REASONS.iter().find(|r| r.id == reason.id) else {
        let mut text = reason.id.clone();
        for (name, value) in &reason.args {
            let _ = write!(text, " {name}={}", show(value));
        }
        return text;
    };
    let template = if lang == Lang::Zh { row.zh } else { row.en };
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('}') else { break };
        let name = &rest[open + 1..open + close];
        text.push_str(&reason.args.get(name).map_or_else(|| "?".to_owned(), show));
        rest = &rest[open + close + 1..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_names_only_its_arguments_and_both_languages_name_the_same() {
        let names = |t: &str| {
            let mut all: Vec<String> = t.split('{').skip(1).filter_map(|p| p.split('}').next()).map(str::to_owned).collect();
            all.sort();
            all
        };
        for row in REASONS {
            assert!(names(row.en).iter().all(|n| row.args.contains(&n.as_str())), "{}", row.id);
            assert_eq!(names(row.zh), names(row.en), "{}", row.id);
        }
    }

    #[test]
    fn a_reason_is_a_sentence_in_either_language_and_an_unknown_one_is_not_hidden() {
        let args = [("count", 12.into()), ("threshold", 10.into()), ("window_s", 60.into())];
        let reason = AlertReason { id: "count_reached".into(), args: args.into_iter().map(|(n, v)| (n.to_owned(), v)).collect() };
        assert_eq!(render(&reason, Lang::En), "12 events within 60 s (threshold 10)");
        assert_eq!(render(&reason, Lang::Zh), "60 秒内 12 次（阈值 10）");
        let other = AlertReason { id: "moon".into(), args: [("phase".to_owned(), "full".into())].into() };
        assert_eq!(render(&other, Lang::En), "moon phase=full");
        let bare = AlertReason { id: "important_object".into(), args: Default::default() };
        assert_eq!(render(&bare, Lang::En), "concerns a protected object of importance ?");
    }
}
