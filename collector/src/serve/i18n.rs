//! Words of the console in Chinese and English: one table, `i18n.toml`, for templates and scripts alike.
//!
//! A missing id shows itself (`⟦id⟧`) instead of hiding; tests hold that every id is in both languages with the same
//! placeholders, that templates and scripts use no id that is not there, and that templates hold no word outside the table.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::http::{HeaderMap, header};
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    En,
    #[default]
    Zh,
}

impl Lang {
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
    /// For `<html lang>`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "en" => Some(Self::En),
            "zh" => Some(Self::Zh),
            _ => None,
        }
    }
    pub const fn of_warning(self) -> warning::text::Lang {
        match self {
            Self::En => warning::text::Lang::En,
            Self::Zh => warning::text::Lang::Zh,
        }
    }

    /// The first of Chinese and English that `Accept-Language` names; Chinese if it names neither.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let text = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).unwrap_or("");
        text.split(',')
            .filter_map(|part| {
                let word = part.trim().to_ascii_lowercase();
                if word.starts_with("zh") {
                    Some(Self::Zh)
                } else if word.starts_with("en") {
                    Some(Self::En)
                } else {
                    None
                }
            })
            .next()
            .unwrap_or_default()
    }
}

/// One row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    pub en: String,
    pub zh: String,
}

pub const TABLE: &str = include_str!("i18n.toml");

/// The table; empty if the text in the binary were broken, which a test rules out.
pub fn table() -> &'static BTreeMap<String, Words> {
    static WORDS: OnceLock<BTreeMap<String, Words>> = OnceLock::new();
    WORDS.get_or_init(|| toml::from_str(TABLE).unwrap_or_default())
}

pub fn say(lang: Lang, id: &str) -> String {
    match table().get(id) {
        None => format!("⟦{id}⟧"),
        Some(words) => match lang {
            Lang::En => words.en.clone(),
            Lang::Zh => words.zh.clone(),
        },
    }
}

/// `say` with `{name}` replaced.
pub fn say_with(lang: Lang, id: &str, args: &[(&str, &str)]) -> String {
    args.iter().fold(say(lang, id), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// A sector's name; an unknown one is shown as its id.
pub fn sector(lang: Lang, id: &str) -> String {
    let key = format!("sector.{id}");
    if table().contains_key(&key) { say(lang, &key) } else { id.to_owned() }
}

/// A technique's name, where the table has it.
pub fn technique(lang: Lang, uid: &str) -> String {
    let key = format!("technique.{uid}");
    if table().contains_key(&key) { say(lang, &key) } else { String::new() }
}

/// What scripts need: the ids that begin with `js.`, `severity.`, `state.`, `sector.`, and names of units as `unit.<id>`, as one JSON object.
pub fn for_scripts(lang: Lang, units: &BTreeMap<String, String>) -> String {
    let units: Vec<(String, &str)> = units.iter().map(|(id, name)| (format!("unit.{id}"), name.as_str())).collect();
    let mut words: BTreeMap<&str, &str> = table()
        .iter()
        .filter(|(id, _)| ["js.", "severity.", "state.", "sector.", "reason."].iter().any(|p| id.starts_with(p)))
        .map(|(id, w)| (id.as_str(), if lang == Lang::En { w.en.as_str() } else { w.zh.as_str() }))
        .collect();
    words.extend(units.iter().map(|(id, name)| (id.as_str(), *name)));
    // Inside a script element: nothing may look like its end.
    serde_json::to_string(&words).unwrap_or_default().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders(text: &str) -> Vec<String> {
        let mut list: Vec<String> = text.split('{').skip(1).filter_map(|p| p.split('}').next().map(str::to_owned)).collect();
        list.sort();
        list
    }

    #[test]
    fn every_id_has_both_languages_and_the_same_placeholders() {
        let words: BTreeMap<String, Words> = toml::from_str(TABLE).expect("the table is TOML");
        assert!(words.len() > 100);
        for (id, w) in &words {
            assert!(!w.en.trim().is_empty() && !w.zh.trim().is_empty(), "{id}");
            assert_eq!(placeholders(&w.en), placeholders(&w.zh), "{id}");
            assert!(
                !w.en.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)) || ["lang.other", "page.product"].contains(&id.as_str()),
                "{id}: Chinese in the English text"
            );
            let same_on_purpose = ["page.product", "lang.other", "word.attack", "js.more.units"].contains(&id.as_str()) || w.en.len() <= 4;
            assert!(
                same_on_purpose || w.zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)),
                "{id}: no Chinese in the Chinese text"
            );
        }
    }

    fn sources() -> Vec<(String, String)> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve");
        let mut out = Vec::new();
        for folder in ["templates", "assets/js"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                out.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
        out
    }

    #[test]
    fn templates_and_scripts_use_only_ids_that_are_there() {
        let mut seen = 0;
        for (name, text) in sources() {
            for part in text.split("say(\"").skip(1).chain(text.split("with(\"").skip(1)) {
                let id = part.split('"').next().unwrap();
                if id.ends_with('.') {
                    assert!(table().keys().any(|k| k.starts_with(id)), "{name}: {id}*");
                } else {
                    assert!(table().contains_key(id), "{name}: {id}");
                }
                seen += 1;
            }
        }
        assert!(seen > 80, "{seen}");
    }

    /// Text between tags, placeholders and the like aside, must have no letters of its own.
    /// Techniques the rules that ship name; a tag that is new to a rule needs its words here.
    #[test]
    fn every_technique_of_the_rules_that_ship_has_a_name() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/rules");
        let (mut seen, mut missing) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for folder in std::fs::read_dir(root).unwrap().flatten().filter(|e| e.path().is_dir()) {
            for rule in std::fs::read_dir(folder.path()).unwrap().flatten() {
                let text = std::fs::read_to_string(rule.path()).unwrap();
                for tag in
                    text.lines().filter_map(|l| l.trim().strip_prefix("- attack.t")).filter(|t| t.starts_with(|c: char| c.is_ascii_digit()))
                {
                    let uid = format!("T{}", tag.trim());
                    if technique(Lang::Zh, &uid).is_empty() {
                        missing.insert(uid.clone());
                    }
                    seen.insert(uid);
                }
            }
        }
        assert!(seen.len() > 100 && missing.is_empty(), "{} seen; without a name: {missing:?}", seen.len());
    }

    #[test]
    fn every_problem_has_a_way_out() {
        for row in api::CODES {
            assert!(table().contains_key(&format!("way.{}", row.name)), "way.{}", row.name);
        }
    }

    #[test]
    fn templates_hold_no_word_of_their_own() {
        for (name, text) in sources().into_iter().filter(|(n, _)| n.ends_with(".html")) {
            let mut plain = String::new();
            let mut rest = text.as_str();
            while let Some(at) = rest.find(['{', '<']) {
                plain.push_str(&rest[..at]);
                let (close, skip) = match &rest[at..] {
                    r if r.starts_with("{{") => ("}}", 2),
                    r if r.starts_with("{%") => ("%}", 2),
                    r if r.starts_with("{#") => ("#}", 2),
                    r if r.starts_with("<code class=\"fixed\">") => ("</code>", 7),
                    r if r.starts_with('<') => (">", 1),
                    _ => ("", 0),
                };
                let end = if close.is_empty() { at + 1 } else { at + rest[at..].find(close).map_or(rest.len() - at, |e| e + skip) };
                plain.push(' ');
                rest = &rest[end.min(rest.len())..];
            }
            plain.push_str(rest);
            let words: Vec<&str> = plain.split(|c: char| !c.is_alphabetic()).filter(|w| w.chars().count() > 1).collect();
            assert!(words.is_empty(), "{name}: {words:?} (put it into i18n.toml)");
            for attribute in ["title=\"", "placeholder=\"", "aria-label=\"", "alt=\""] {
                for part in text.split(attribute).skip(1) {
                    let value = part.split('"').next().unwrap();
                    assert!(value.is_empty() || value.starts_with("{{"), "{name}: {attribute}{value}");
                }
            }
        }
    }

    #[test]
    fn accept_language_is_followed_in_its_order() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, text.parse().unwrap());
            Lang::accepted(&headers)
        };
        assert_eq!(of("fr, en-GB;q=0.8, zh;q=0.5"), Lang::En);
        assert_eq!(of("zh-CN,zh;q=0.9,en;q=0.8"), Lang::Zh);
        assert_eq!(of("fr"), Lang::Zh);
    }
}
