//! Documents → rule set: names registered, filters applied, correlations resolved, ordered and freed of circles.
//!
//! A rule that only feeds correlations raises no alert of its own (the specification's default for `generate`), unless a
//! correlation says `generate: true` or the rule says `alerts: true`.

use std::collections::HashMap;
use std::sync::Arc;

use event::{LogSource, Name, RuleMeta, Severity};

use crate::code::Code;
use crate::compile::{Builder, Expr, Logic};
use crate::correlation::{Bound, Correlation, GroupKey, RuleRef};
use crate::document::{Body, Detections, Document, Head, Place, RawCorrelation, Targets};
use crate::error::{Notice, RuleError};
use crate::mapping::Mappings;
use crate::set::{Options, Rule, RuleSet};

/// Taxonomies the shipped mappings know.
const TAXONOMIES: &[&str] = &["sigma", "ecs", "zeek", "suricata", "ocsf"];

/// A document by the names it can be referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Rule(usize),
    Correlation(usize),
}

pub(crate) struct Loader<'a> {
    mappings: &'a Mappings,
    builder: Builder<'a>,
    errors: Vec<RuleError>,
    notices: Vec<Notice>,
    /// Ids and names, with the path that gave them.
    known: HashMap<String, (Known, String)>,
}

/// A rule before its metadata is fixed.
struct Draft {
    place: Place,
    head: Head,
    source: LogSource,
    logic: Logic,
}

struct RawRule {
    place: Place,
    head: Head,
    raw: RawCorrelation,
}

impl<'a> Loader<'a> {
    pub fn new(mappings: &'a Mappings, options: &'a Options) -> Self {
        Self { mappings, builder: Builder::new(mappings, options), errors: Vec::new(), notices: Vec::new(), known: HashMap::new() }
    }

    pub fn load(mut self, documents: Vec<Document>) -> (RuleSet, Vec<RuleError>) {
        let mut drafts: Vec<Draft> = Vec::new();
        let mut filters = Vec::new();
        let mut raws = Vec::new();
        for document in documents {
            let Document { place, head, body } = document;
            match body {
                Body::Rule { source, detections } => {
                    if let Some(word) = head.taxonomy.as_deref().filter(|t| !TAXONOMIES.contains(t)) {
                        let what = format!("taxonomy '{word}' is not known: its field names are taken as they are");
                        self.notices.push(place.notice(&["taxonomy"], what, "add a mapping file for it"));
                    }
                    let mut logic = Logic::default();
                    let known = Known::Rule(drafts.len());
                    let added = self.builder.add(&place, &source, &detections, "", &mut logic);
                    match added.and_then(|()| self.register(&place, &head, known)) {
                        Ok(()) => drafts.push(Draft { place, head, source, logic }),
                        Err(error) => self.errors.push(error),
                    }
                }
                Body::Filter { source, targets, detections } => filters.push((place, head, source, targets, detections)),
                Body::Correlation(raw) => match self.register(&place, &head, Known::Correlation(raws.len())) {
                    Ok(()) => raws.push(RawRule { place, head, raw }),
                    Err(error) => self.errors.push(error),
                },
            }
        }
        for (place, head, source, targets, detections) in filters {
            self.filter(&place, &head, &source, &targets, &detections, &mut drafts);
        }
        let (correlations, spoken) = self.correlations(&raws, &drafts);
        let mut set = RuleSet::default();
        for (at, draft) in drafts.into_iter().enumerate() {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            let fed = spoken.get(&Known::Rule(at).key()).copied();
            let meta = Arc::new(self.meta(&draft.place, &draft.head, &draft.source, fed));
            let sources = self.mappings.sources(&draft.source);
            let silent = (!draft.logic.missing.is_empty()).then(|| {
                let mut names = draft.logic.missing.clone();
                names.sort();
                names.dedup();
                format!("placeholders without values: {}", names.join(", "))
            });
            if let Some(why) = &silent {
                self.notices.push(draft.place.notice(
                    &["detection"],
                    format!("the rule stays silent: {why}"),
                    "give them values in the settings",
                ));
            } else {
                for source in &sources {
                    set.router.add(source, number);
                }
            }
            set.metas.push(Arc::clone(&meta));
            let condition = draft.logic.condition.unwrap_or(Expr::Or(Vec::new()));
            let code = Code::new(&condition, &draft.logic.selections);
            set.rules.push(Rule { meta, sources, selections: draft.logic.selections, condition, code, silent });
        }
        set.program = std::mem::take(&mut self.builder.program);
        set.correlations = correlations;
        set.notices = std::mem::take(&mut self.notices);
        (set, self.errors)
    }

    /// Ids and names are unique over all rules and correlations.
    fn register(&mut self, place: &Place, head: &Head, known: Known) -> Result<(), RuleError> {
        for (key, word) in [("id", &head.id), ("name", &head.name)] {
            if let Some(word) = word {
                if word.is_empty() {
                    return Err(place.error(&[key], format!("the {key} is empty"), "leave it out or fill it"));
                }
                if let Some((_, path)) = self.known.get(word) {
                    return Err(place.error(&[key], format!("{key} '{word}' is taken by a rule of {path}"), "ids and names are unique"));
                }
            }
        }
        if head.id.is_none() && head.name.is_none() && self.known.contains_key(&head.title) {
            return Err(place.error(&["title"], "a rule without id and name needs a title of its own", "add 'id:'"));
        }
        for word in [&head.id, &head.name].into_iter().flatten() {
            self.known.insert(word.clone(), (known, place.path.clone()));
        }
        if head.id.is_none() && head.name.is_none() {
            self.known.insert(head.title.clone(), (known, place.path.clone()));
        }
        Ok(())
    }

    /// Links the filter's condition to each rule it is for by AND (`not selection` excludes, `selection` narrows).
    fn filter(&mut self, place: &Place, head: &Head, source: &LogSource, targets: &Targets, detections: &Detections, drafts: &mut [Draft]) {
        let mut alone = Logic::default();
        if let Err(error) = self.builder.add(place, source, detections, "", &mut alone) {
            self.errors.push(error);
            return;
        }
        if !alone.missing.is_empty() {
            self.notices.push(place.notice(
                &["filter"],
                format!("the filter is not applied: no value for {}", alone.missing.join(", ")),
                "give it in the settings",
            ));
            return;
        }
        let mut chosen = Vec::new();
        match targets {
            Targets::Any => chosen.extend((0..drafts.len()).filter(|at| drafts.get(*at).is_some_and(|d| source.covers(&d.source)))),
            Targets::Named(list) => {
                for word in list {
                    match self.known.get(word) {
                        Some((Known::Rule(at), _)) if drafts.get(*at).is_some_and(|d| source.covers(&d.source)) => chosen.push(*at),
                        Some((Known::Rule(_), _)) => {
                            self.errors.push(place.error(
                                &["filter", "rules", word],
                                format!("'{word}' has another log source than the filter"),
                                "widen the filter's log source",
                            ));
                        }
                        Some((Known::Correlation(_), _)) => {
                            self.errors.push(place.error(
                                &["filter", "rules", word],
                                format!("'{word}' is a correlation"),
                                "filter the rules it refers to",
                            ));
                        }
                        None => self.errors.push(place.error(
                            &["filter", "rules", word],
                            format!("the filter names '{word}', which is not loaded"),
                            "use the rule's id or name",
                        )),
                    }
                }
            }
        }
        chosen.sort_unstable();
        chosen.dedup();
        for at in chosen {
            if let Some(draft) = drafts.get_mut(at) {
                let source = draft.source.clone();
                // It compiled once; another log source only changes names.
                if let Err(error) = self.builder.add(place, &source, detections, &format!("{}: ", head.title), &mut draft.logic) {
                    self.errors.push(error);
                }
            }
        }
    }

    /// Resolves references, refuses circles, orders. Also says of each rule referred to whether it still speaks for itself.
    fn correlations(&mut self, raws: &[RawRule], drafts: &[Draft]) -> (Vec<Correlation>, HashMap<(u8, usize), bool>) {
        let mut resolved: Vec<Option<Vec<Known>>> = Vec::new();
        for raw in raws {
            let mut all = Some(Vec::new());
            for word in &raw.raw.rules {
                match self.known.get(word) {
                    Some((known, _)) => {
                        if let Some(list) = &mut all {
                            list.push(*known);
                        }
                    }
                    None => {
                        self.errors.push(raw.place.error(
                            &["correlation", "rules", word],
                            format!("refers to '{word}', which is not loaded"),
                            "use the rule's id or name",
                        ));
                        all = None;
                    }
                }
            }
            resolved.push(all);
        }
        // Take those whose references are all taken, until nothing moves; what is left stands in a circle or behind a refused one.
        let mut order: Vec<usize> = Vec::new();
        let mut taken = vec![false; raws.len()];
        loop {
            let before = order.len();
            for (at, list) in resolved.iter().enumerate() {
                let ready = |k: &Known| if let Known::Correlation(n) = k { taken.get(*n).copied().unwrap_or(false) } else { true };
                if taken.get(at) == Some(&false) && list.as_ref().is_some_and(|l| l.iter().all(ready)) {
                    order.push(at);
                    if let Some(t) = taken.get_mut(at) {
                        *t = true;
                    }
                }
            }
            if order.len() == before {
                break;
            }
        }
        for ((raw, list), _) in raws.iter().zip(&resolved).zip(&taken).filter(|((_, l), t)| l.is_some() && !**t) {
            let refused =
                list.iter().flatten().any(|k| matches!(k, Known::Correlation(n) if resolved.get(*n).is_some_and(Option::is_none)));
            let what = if refused { "refers to a correlation that was refused" } else { "refers to itself, directly or in a circle" };
            self.errors.push(raw.place.error(
                &["correlation", "rules"],
                what,
                "correlations may only refer to rules before them in a chain",
            ));
        }
        let mut spoken: HashMap<(u8, usize), bool> = HashMap::new();
        for at in &order {
            if let (Some(raw), Some(Some(list))) = (raws.get(*at), resolved.get(*at)) {
                for known in list {
                    *spoken.entry(known.key()).or_insert(false) |= raw.raw.generate;
                }
            }
        }
        let mut done: Vec<Correlation> = Vec::new();
        let mut place_of: HashMap<usize, usize> = HashMap::new();
        for at in order {
            let (Some(raw), Some(Some(list))) = (raws.get(at), resolved.get(at)) else { continue };
            let rules = list
                .iter()
                .map(|k| match k {
                    Known::Rule(n) => RuleRef { id: drafts.get(*n).map(|d| id(&d.head)).unwrap_or_default(), correlation: false },
                    Known::Correlation(n) => RuleRef { id: raws.get(*n).map(|r| id(&r.head)).unwrap_or_default(), correlation: true },
                })
                .collect();
            let key = |name: &String| {
                let names = list.iter().zip(&raw.raw.rules).map(|(known, word)| {
                    let head = match known {
                        Known::Rule(n) => drafts.get(*n).map(|d| &d.head),
                        Known::Correlation(n) => raws.get(*n).map(|r| &r.head),
                    };
                    let alias = raw.raw.aliases.get(name);
                    let words = [Some(word), head.and_then(|h| h.id.as_ref()), head.and_then(|h| h.name.as_ref())];
                    let field = words.into_iter().flatten().find_map(|w| alias?.get(w)).unwrap_or(name);
                    match known {
                        Known::Rule(n) => drafts.get(*n).map(|d| self.mappings.names(&d.source, field)).unwrap_or_default(),
                        // A correlation carries what it grouped by as facts under the name it was grouped by.
                        Known::Correlation(n) => {
                            let mut all = vec![Name::from(field.as_str())];
                            let inner = place_of.get(n).and_then(|d| done.get(*d));
                            let same = inner
                                .iter()
                                .flat_map(|c| &c.group_by)
                                .filter(|k| k.name == *field)
                                .flat_map(|k| k.names.iter().flatten().cloned());
                            for name in same.chain(self.mappings.names(&LogSource::default(), field)) {
                                if !all.contains(&name) {
                                    all.push(name);
                                }
                            }
                            all
                        }
                    }
                });
                GroupKey { name: name.clone(), names: names.collect() }
            };
            let correlation = Correlation {
                meta: Arc::new(self.meta(&raw.place, &raw.head, &LogSource::default(), spoken.get(&Known::Correlation(at).key()).copied())),
                kind: raw.raw.kind.clone(),
                rules,
                timespan_ns: raw.raw.timespan_ns,
                group_by: raw.raw.group_by.iter().map(key).collect(),
                condition: raw.raw.condition.iter().map(|(operator, value)| Bound { operator: *operator, value: *value }).collect(),
                fields: raw.raw.fields.iter().map(key).collect(),
                parameters: raw.raw.parameters.clone(),
                generate: raw.raw.generate,
                path: raw.place.path.clone(),
                line: raw.place.line(),
            };
            place_of.insert(at, done.len());
            done.push(correlation);
        }
        (done, spoken)
    }

    /// `fed`: a correlation refers to it, and whether it still raises alerts of its own (`generate`). An explicit
    /// `alerts:` wins, and a rule on trial (`shadow`) raises none.
    fn meta(&self, place: &Place, head: &Head, source: &LogSource, fed: Option<bool>) -> RuleMeta {
        let mut techniques = Vec::new();
        let mut tactics = Vec::new();
        for tag in &head.tags {
            if let Some(word) = tag.strip_prefix("attack.") {
                let numbered = |c: char| word.strip_prefix(c).is_some_and(|r| r.starts_with(|d: char| d.is_ascii_digit()));
                if numbered('t') || numbered('T') {
                    techniques.push(word.to_ascii_uppercase());
                } else if !['g', 's', 'm', 'c', 'G', 'S', 'M', 'C'].into_iter().any(numbered) {
                    tactics.push(word.to_owned());
                }
            }
        }
        let group_by = head.group_by.iter().map(|name| {
            let names = self.mappings.names(source, name);
            let ours = names.iter().find(|n| matches!(n, Name::Known(_)));
            ours.map_or_else(|| name.clone(), |n| n.as_str().to_owned())
        });
        let shadow = head.shadow.unwrap_or(head.experimental && self.builder.options.shadow_experimental);
        RuleMeta {
            id: id(head),
            name: head.name.clone(),
            title: head.title.clone(),
            title_zh: head.title_zh.clone(),
            description: head.description.trim().to_owned(),
            // A rule whose author states no level is worth a look.
            severity: head.level.unwrap_or(Severity::Medium),
            techniques,
            tactics,
            tags: head.tags.clone(),
            author: head.author.clone(),
            path: place.path.clone(),
            alerts: !shadow && head.alerts.unwrap_or(fed.unwrap_or(true)),
            shadow,
            group_by: group_by.collect(),
        }
    }
}

impl Known {
    fn key(self) -> (u8, usize) {
        match self {
            Self::Rule(n) => (0, n),
            Self::Correlation(n) => (1, n),
        }
    }
}

fn id(head: &Head) -> String {
    head.id.clone().or_else(|| head.name.clone()).unwrap_or_else(|| head.title.clone())
}

#[cfg(test)]
mod tests {
    use crate::{Mappings, Options, RuleSet, Source};

    #[test]
    fn a_rule_on_trial_says_so_and_raises_no_alert() {
        let rule = |status: &str, more: &str| {
            let text = format!(
                "title: t\nid: 5c0d62a5-6a0e-4f4c-8a43-2f3b7a3d6a01\nstatus: {status}\nlogsource:\n  category: x\ndetection:\n  s:\n    a: b\n  condition: s\n{more}"
            );
            let source = Source { path: "r.yml".into(), text };
            move |options: &Options| {
                let (set, errors) = RuleSet::from_sources(std::slice::from_ref(&source), &Mappings::none(), options);
                assert_eq!(errors, []);
                set.rules().first().map(|m| (m.shadow, m.alerts))
            }
        };
        let (plain, trial) = (Options::default(), Options { shadow_experimental: true, ..Options::default() });
        assert_eq!(rule("test", "shadow: true\nalerts: true\n")(&plain), Some((true, false)));
        assert_eq!(rule("experimental", "")(&plain), Some((false, true)));
        assert_eq!(rule("experimental", "")(&trial), Some((true, false)));
        assert_eq!(rule("experimental", "shadow: false\n")(&trial), Some((false, true)));
        assert_eq!(rule("test", "")(&trial), Some((false, true)));
    }
}
