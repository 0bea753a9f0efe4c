//! What the documents of a rule file are called and what they refer to, without understanding the rest: for tools that put rule sets
//! together out of single documents (`vedette rules diff`).

use serde_yaml_ng::Value as Yaml;

use crate::error::RuleError;
use crate::files::read_sources;
use crate::read;
use crate::set::Source;

/// One document of a rule file.
#[derive(Debug, Clone)]
pub struct Outline {
    /// The document alone; what stood before it is blank, so that line numbers hold.
    pub source: Source,
    pub id: Option<String>,
    pub name: Option<String>,
    pub title: String,
    /// A correlation's or filter's own references, by id or name.
    pub refers: Vec<String>,
    pub kind: DocumentKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    Detection,
    Correlation,
    Filter,
}

impl Outline {
    /// The word `RuleMeta::id` will hold.
    pub fn key(&self) -> &str {
        self.id.as_deref().or(self.name.as_deref()).unwrap_or(&self.title)
    }

    /// True if this id, name or title is the document's.
    pub fn is_called(&self, word: &str) -> bool {
        self.id.as_deref() == Some(word) || self.name.as_deref() == Some(word) || (self.id.is_none() && self.title == word)
    }
}

impl Source {
    /// Reads rule files and folders (`*.yml`, `*.yaml`, sorted by path). What cannot be read is listed.
    pub fn read<P: AsRef<std::path::Path>>(paths: &[P]) -> (Vec<Self>, Vec<RuleError>) {
        read_sources(paths)
    }

    /// The documents in it. One that is no YAML has a title only, so that loading it can say what is wrong.
    pub fn documents(&self) -> Vec<Outline> {
        read::split(&self.path, &self.text)
            .into_iter()
            .map(|place| {
                let before = "\n".repeat(usize::try_from(place.first_line.saturating_sub(1)).unwrap_or(0));
                let top: Yaml = serde_yaml_ng::from_str(&place.text).unwrap_or(Yaml::Null);
                let text = |key: &str| top.get(key).and_then(Yaml::as_str).map(str::to_owned);
                let (kind, section) = match (top.get("correlation"), top.get("filter")) {
                    (Some(section), _) => (DocumentKind::Correlation, Some(section)),
                    (None, Some(section)) => (DocumentKind::Filter, Some(section)),
                    (None, None) => (DocumentKind::Detection, None),
                };
                let refers = match section.and_then(|s| s.get("rules")) {
                    Some(Yaml::Sequence(list)) => list.iter().filter_map(Yaml::as_str).map(str::to_owned).collect(),
                    Some(Yaml::String(one)) => vec![one.clone()],
                    _ => Vec::new(),
                };
                Outline {
                    source: Self { path: place.path, text: before + &place.text },
                    id: text("id"),
                    name: text("name"),
                    title: text("title").unwrap_or_default(),
                    refers,
                    kind,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_lines_and_say_what_they_refer_to() {
        let text = "title: a\nid: x\n---\n\ntitle: b\ncorrelation:\n  rules: [x]\n---\n: not yaml: [\n";
        let all = Source { path: "r.yml".into(), text: text.into() }.documents();
        let shown: Vec<_> = all.iter().map(|d| (d.key().to_owned(), d.kind, d.refers.clone())).collect();
        assert_eq!(
            shown,
            [
                ("x".to_owned(), DocumentKind::Detection, vec![]),
                ("b".to_owned(), DocumentKind::Correlation, vec!["x".to_owned()]),
                (String::new(), DocumentKind::Detection, vec![]),
            ]
        );
        assert_eq!(all[1].source.text.lines().position(|l| l == "title: b"), text.lines().position(|l| l == "title: b"));
        assert!(all[0].is_called("x") && !all[0].is_called("a") && all[1].is_called("b"));
    }
}
