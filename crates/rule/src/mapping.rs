//! Mappings: names of Sigma's taxonomy, ECS, Zeek and Suricata → our field names, and log source aliases.
//!
//! A file under `config/mappings/`:
//! ```yaml
//! about: one line for people
//! fields:                              # for every rule
//!   SourceIp: src_endpoint.ip          # or a list, tried in order
//! sections:
//!   - for: {category: webserver}       # only for rules whose log source names these words
//!     fields: {cs-uri-query: http_request.url.url_string}
//! sources:
//!   - rule: {category: webserver}      # a rule that names these words is also about events of these sources
//!     events: [{category: http, service: http}]
//! ```
//! An event's own field name always wins over a mapped one, so flat JSON events in Sigma's words need no mapping. Targets
//! must be fields of the table or words of the header: a slip is an error with its line, not a rule that never matches.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use event::{Field, LogSource, Name};
use serde::Deserialize;

use crate::document::Place;
use crate::error::{RuleError, nearest};
use crate::files::read_sources;
use crate::read;
use crate::scalar::{HEADER, Header};
use crate::set::Source;

/// What `config/mappings/*.yml` say. An event's own field name always wins over a mapped one.
#[derive(Debug, Clone, Default)]
pub struct Mappings {
    fields: BTreeMap<String, Vec<Name>>,
    sections: Vec<(LogSource, BTreeMap<String, Vec<Name>>)>,
    sources: Vec<(LogSource, Vec<LogSource>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "about")]
    _about: String,
    #[serde(default)]
    fields: BTreeMap<String, OneOrMore>,
    #[serde(default)]
    sections: Vec<Section>,
    #[serde(default)]
    sources: Vec<Alias>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    r#for: Words,
    fields: BTreeMap<String, OneOrMore>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alias {
    rule: Words,
    events: Vec<Words>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    product: Option<String>,
    category: Option<String>,
    service: Option<String>,
}

impl Words {
    fn source(&self) -> LogSource {
        LogSource::owned(self.product.as_deref(), self.category.as_deref(), self.service.as_deref())
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn list(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

impl Mappings {
    /// No mapping at all: rules speak the events' own names.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads mapping files and folders (`*.yml`, `*.yaml`, sorted by path).
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> (Self, Vec<RuleError>) {
        Self::read(paths, false)
    }

    /// The same for events of any shape: targets may be any names.
    pub fn load_open<P: AsRef<Path>>(paths: &[P]) -> (Self, Vec<RuleError>) {
        Self::read(paths, true)
    }

    fn read<P: AsRef<Path>>(paths: &[P], open: bool) -> (Self, Vec<RuleError>) {
        let (sources, mut errors) = read_sources(paths);
        let (mappings, more) = Self::parse(&sources, open);
        errors.extend(more);
        (mappings, errors)
    }

    /// The same from texts already read. A file with a mistake is left out whole.
    pub fn from_sources(sources: &[Source]) -> (Self, Vec<RuleError>) {
        Self::parse(sources, false)
    }

    fn parse(sources: &[Source], open: bool) -> (Self, Vec<RuleError>) {
        let mut all = Self::default();
        let mut errors = Vec::new();
        for source in sources {
            for place in read::split(&source.path, &source.text) {
                if let Err(error) = all.add(&place, open) {
                    errors.push(error);
                }
            }
        }
        (all, errors)
    }

    fn add(&mut self, place: &Place, open: bool) -> Result<(), RuleError> {
        let file: File = serde_yaml_ng::from_str(&place.text).map_err(|e| {
            let mut error = place.error(&[], e.to_string().chars().take(300).collect::<String>(), "");
            if let Some(at) = e.location() {
                error.line = place.first_line.saturating_add(u32::try_from(at.line()).unwrap_or(1).saturating_sub(1));
                error.column = u32::try_from(at.column()).unwrap_or(0);
            }
            error
        })?;
        let names = |fields: &BTreeMap<String, OneOrMore>| -> Result<BTreeMap<String, Vec<Name>>, RuleError> {
            fields
                .iter()
                .map(|(from, to)| {
                    Ok((
                        from.clone(),
                        to.list()
                            .iter()
                            .map(|t| if open { Ok(Name::from(t.as_str())) } else { target(place, from, t) })
                            .collect::<Result<_, _>>()?,
                    ))
                })
                .collect()
        };
        let fields = names(&file.fields)?;
        let mut sections = Vec::new();
        for section in &file.sections {
            sections.push((section.r#for.source(), names(&section.fields)?));
        }
        for (from, to) in fields {
            merge(self.fields.entry(from).or_default(), to);
        }
        self.sections.extend(sections);
        self.sources.extend(file.sources.iter().map(|a| (a.rule.source(), a.events.iter().map(Words::source).collect())));
        Ok(())
    }

    /// Names to try, in order, for the field `name` in a rule for `source`; the name itself comes first, then what the
    /// sections for this source say, then what holds for every rule.
    pub fn names(&self, source: &LogSource, name: &str) -> Vec<Name> {
        let mut names = vec![Name::from(name)];
        for (_, fields) in self.sections.iter().filter(|(of, _)| of.covers(source)) {
            if let Some(to) = fields.get(name) {
                merge(&mut names, to.clone());
            }
        }
        if let Some(to) = self.fields.get(name) {
            merge(&mut names, to.clone());
        }
        names
    }

    /// Log sources of events that a rule for `source` is about: itself first, then what aliases add. An alias replaces the
    /// words it names and keeps the rule's others.
    pub fn sources(&self, source: &LogSource) -> Vec<LogSource> {
        let mut all = vec![source.clone()];
        for (rule, events) in self.sources.iter().filter(|(rule, _)| rule.covers(source)) {
            for event in events {
                let word = |had: &Option<Cow<'static, str>>, named: &Option<Cow<'static, str>>, new: &Option<Cow<'static, str>>| match (
                    new, named,
                ) {
                    (Some(word), _) => Some(word.clone()),
                    (None, Some(_)) => None,
                    (None, None) => had.clone(),
                };
                let new = LogSource {
                    product: word(&source.product, &rule.product, &event.product),
                    category: word(&source.category, &rule.category, &event.category),
                    service: word(&source.service, &rule.service, &event.service),
                };
                if !all.contains(&new) && new != LogSource::default() {
                    all.push(new);
                }
            }
        }
        all
    }

    /// Every name some mapping knows, with its first target: for the reference.
    pub fn known(&self) -> impl Iterator<Item = (&str, &Name)> {
        self.fields.iter().chain(self.sections.iter().flat_map(|(_, f)| f)).filter_map(|(from, to)| Some((from.as_str(), to.first()?)))
    }
}

fn merge(names: &mut Vec<Name>, more: Vec<Name>) {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

fn target(place: &Place, from: &str, to: &str) -> Result<Name, RuleError> {
    if Field::from_name(to).is_some() || Header::from_name(to).is_some() {
        return Ok(Name::from(to));
    }
    let known = Field::all().map(Field::name).chain(HEADER.iter().map(|(n, _)| *n));
    let way =
        nearest(to, known).map_or_else(|| "targets are field names of the event table".to_owned(), |n| format!("did you mean '{n}'?"));
    Err(place.error(&[from], format!("'{from}' is mapped to '{to}', which is no field"), way))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Mappings, Vec<RuleError>) {
        Mappings::from_sources(&[Source { path: "m.yml".into(), text: text.into() }])
    }

    #[test]
    fn own_name_then_section_then_global() {
        let (m, errors) = of("fields: {Ip: src_endpoint.ip}\nsections:\n  - for: {category: dns}\n    fields: {Ip: [dst_endpoint.ip]}\n");
        assert_eq!(errors, []);
        let texts = |s: LogSource| m.names(&s, "Ip").iter().map(|n| n.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(texts(LogSource::new("", "dns", "")), ["Ip", "dst_endpoint.ip", "src_endpoint.ip"]);
        assert_eq!(texts(LogSource::new("linux", "", "")), ["Ip", "src_endpoint.ip"]);
    }

    #[test]
    fn an_alias_replaces_its_words_and_keeps_the_others() {
        let (m, errors) = of("sources:\n  - rule: {category: webserver}\n    events: [{category: http, service: http}]\n");
        assert_eq!(errors, []);
        let texts = |s: LogSource| m.sources(&s).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(LogSource::new("", "webserver", "")), ["*/webserver/*", "*/http/http"]);
        assert_eq!(texts(LogSource::new("nginx", "webserver", "")), ["nginx/webserver/*", "nginx/http/http"]);
        assert_eq!(texts(LogSource::new("linux", "", "")), ["linux/*/*"]);
    }

    #[test]
    fn a_slip_in_a_target_is_an_error_with_its_line() {
        let (_, errors) = of("fields:\n  A: src_endpoint.ip\n  B: src_endpoint.prot\n");
        assert_eq!(
            errors[0].to_string(),
            "m.yml:3:3: 'B' is mapped to 'src_endpoint.prot', which is no field (did you mean 'src_endpoint.port'?)"
        );
        let (_, errors) = of("feilds: {}\n");
        assert!(errors[0].what.contains("feilds"), "{errors:?}");
    }
}
