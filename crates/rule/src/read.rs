//! Text → documents. The only module that knows `rsigma-parser` (=0.23.0) and YAML; everything after it sees `document`.
//!
//! Detection rules and filters are read by `rsigma-parser`. Stricter than it: a list or map as a value, an empty list, a
//! selector with a count, Sigma 3 brackets, conditions nested deeper than 64 (its grammar recurses) and an unknown level are
//! refused. Correlation sections are read here, because 0.23.0 refuses fractions (`value_avg` needs them), wraps negative
//! numbers, drops unknown keys and knows a closed list of types, while our types are a table in `crates/correlate`.

use std::collections::BTreeMap;

use event::{LogSource, Severity};
use rsigma_parser::{ConditionExpr, Detection, Quantifier, SelectorPattern, SigmaValue, parse_sigma_yaml};
use serde_yaml_ng::Value as Yaml;

use crate::correlation::Operator;
use crate::document::{
    Body, Condition, Detections, Document, Head, Item, Literal, MODIFIERS, Modifier, Place, RawCorrelation, Search, Targets,
};
use crate::error::{RuleError, nearest};

/// Limits: a file, a document's conditions. Past them the document is refused.
pub(crate) const FILE_BYTES_MAX: usize = 8 << 20;
const CONDITION_BYTES_MAX: usize = 8 * 1024;
const CONDITION_DEPTH_MAX: usize = 64;
const NOTS_MAX: usize = 256;
const LABEL_CHARS_MAX: usize = 80;

/// Every document of a file, each read or refused by itself.
pub(crate) fn read(path: &str, text: &str) -> Vec<Result<Document, RuleError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    split(path, text).into_iter().map(document).collect()
}

/// Cuts a file at its `---` lines; documents that say nothing are left out.
pub(crate) fn split(path: &str, text: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut current = String::new();
    let mut first_line = 1u32;
    let mut flush = |current: &mut String, first_line: u32| {
        let says = current.lines().any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#') && l.trim() != "...");
        let text = std::mem::take(current);
        if says {
            places.push(Place { path: path.to_owned(), first_line, text });
        }
    };
    for (n, line) in text.lines().enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line == "---" || line.starts_with("--- ") {
            flush(&mut current, first_line);
            first_line = u32::try_from(n).unwrap_or(u32::MAX).saturating_add(2);
            continue;
        }
        current.push_str(line);
        current.push('\n');
    }
    flush(&mut current, first_line);
    places
}

fn document(place: Place) -> Result<Document, RuleError> {
    if place.text.len() > FILE_BYTES_MAX {
        return Err(place.error(&[], format!("the document has more than {FILE_BYTES_MAX} bytes"), "split it"));
    }
    let top = |key: &str| place.text.lines().any(|l| l.strip_prefix(key).is_some_and(|r| r.trim_start().starts_with(':')));
    if top("action") {
        return Err(place.error(&["action"], "collection actions are not part of Sigma 2.1", "write each rule as a document of its own"));
    }
    if top("correlation") {
        return correlation(place);
    }
    guard_conditions(&place)?;
    let mut read = parse_sigma_yaml(&place.text).map_err(|e| parser_error(&place, &e.to_string()))?;
    if let Some(error) =
        read.errors.iter().find(|e| !e.starts_with("related[") && !e.starts_with("'related'") && !e.starts_with("invalid status"))
    {
        return Err(parser_error(&place, error));
    }
    if let Some(rule) = read.rules.pop() {
        if rule.sigma_version.is_some_and(|v| v > 2) {
            return Err(place.error(&["sigma-version"], "written for a later version of Sigma", "this program reads Sigma 2.1"));
        }
        let custom = |key: &str| rule.custom_attributes.get(key);
        let head = Head {
            id: rule.id.clone(),
            name: rule.name.clone(),
            title: rule.title.clone(),
            title_zh: custom("title_zh").and_then(|v| v.as_str()).unwrap_or_default().to_owned(),
            description: rule.description.clone().unwrap_or_default(),
            author: rule.author.clone().unwrap_or_default(),
            taxonomy: rule.taxonomy.clone(),
            level: rule.level.and_then(|l| l.as_str().parse().ok()),
            tags: rule.tags.clone(),
            alerts: match custom("alerts") {
                None => None,
                Some(v) => Some(
                    v.as_bool().ok_or_else(|| place.error(&["alerts"], "'alerts' is neither true nor false", "write 'alerts: false'"))?,
                ),
            },
            shadow: match custom("shadow") {
                None => None,
                Some(v) => Some(
                    v.as_bool().ok_or_else(|| place.error(&["shadow"], "'shadow' is neither true nor false", "write 'shadow: true'"))?,
                ),
            },
            experimental: rule.status == Some(rsigma_parser::Status::Experimental),
            group_by: match custom("group_by") {
                None => Vec::new(),
                Some(v) => {
                    let list = v.as_sequence().and_then(|s| s.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
                    list.ok_or_else(|| {
                        place.error(&["group_by"], "'group_by' is not a list of field names", "write 'group_by: [src_endpoint.ip]'")
                    })?
                }
            },
        };
        // A rule about facts that are put on events of every kind (`threat.indicator.*`) says so in words; to say nothing stays an error.
        let any = rule.logsource.category.as_deref() == Some(ANY_SOURCE);
        let category = rule.logsource.category.as_deref().filter(|_| !any);
        let source = source(&place, category, rule.logsource.product.as_deref(), rule.logsource.service.as_deref())?;
        if source == LogSource::default() && !any {
            return Err(place.error(&["logsource"], "no log source", "name a category, a product or a service under 'logsource:'"));
        }
        let detections = detections(&place, rule.detection)?;
        return Ok(Document { head, body: Body::Rule { source, detections }, place });
    }
    if let Some(filter) = read.filters.pop() {
        let from = filter.logsource.as_ref();
        let word = |f: fn(&rsigma_parser::LogSource) -> Option<&String>| from.and_then(f).map(String::as_str);
        let source = source(&place, word(|l| l.category.as_ref()), word(|l| l.product.as_ref()), word(|l| l.service.as_ref()))?;
        let head = Head { id: filter.id.clone(), name: filter.name.clone(), title: filter.title.clone(), ..Head::default() };
        let targets = match filter.rules {
            // An empty or missing list is read as "any" by the parser; a filter for everything has to say so.
            rsigma_parser::FilterRuleTarget::Any if !says_any(&place) => {
                return Err(place.error(
                    &["filter", "rules"],
                    "the filter names no rules",
                    "list ids or names under 'rules:', or write 'rules: any'",
                ));
            }
            rsigma_parser::FilterRuleTarget::Any => Targets::Any,
            rsigma_parser::FilterRuleTarget::Specific(list) => Targets::Named(list),
        };
        let detections = detections(&place, filter.detection)?;
        return Ok(Document { head, body: Body::Filter { source, targets, detections }, place });
    }
    Err(place.error(&[], "not a Sigma document", "a rule has 'title', 'logsource' and 'detection'"))
}

/// `category: any`: ours, for Sigma has no word for every log source.
const ANY_SOURCE: &str = "any";

fn says_any(place: &Place) -> bool {
    place
        .text
        .lines()
        .any(|l| l.trim().strip_prefix("rules:").is_some_and(|r| r.trim().trim_matches(['\'', '"']).eq_ignore_ascii_case("any")))
}

fn source(place: &Place, category: Option<&str>, product: Option<&str>, service: Option<&str>) -> Result<LogSource, RuleError> {
    for word in [category, product, service].into_iter().flatten() {
        if word.chars().any(|c| c.is_uppercase() || c.is_whitespace()) || word.is_empty() {
            return Err(place.error(&["logsource", word], format!("'{word}' is no log source word"), "lower case, '_' for a space"));
        }
    }
    Ok(LogSource::owned(product, category, service))
}

/// The parser's grammar recurses over brackets and our tree over `not`: bounded before it sees them. What the text as a whole
/// holds bounds what a condition in it can hold, unless characters are written as escapes; only then YAML is read for it.
fn guard_conditions(place: &Place) -> Result<(), RuleError> {
    let count = |text: &str, word: &str| text.match_indices(word).take(CONDITION_BYTES_MAX).count();
    let text = place.text.as_str();
    let escaped = ["\\x", "\\u", "\\U"].iter().any(|e| text.contains(e));
    if !escaped && count(text, "(") <= CONDITION_DEPTH_MAX && count(text, "not") <= NOTS_MAX && text.len() <= CONDITION_BYTES_MAX {
        return Ok(());
    }
    // Not YAML: the parser says so with a better place.
    let Ok(top) = serde_yaml_ng::from_str::<Yaml>(text) else { return Ok(()) };
    let conditions = ["detection", "filter"].iter().filter_map(|k| top.get(k)?.get("condition"));
    let texts = conditions.flat_map(|c| match c {
        Yaml::Sequence(list) => list.iter().filter_map(Yaml::as_str).collect::<Vec<_>>(),
        other => other.as_str().into_iter().collect(),
    });
    for condition in texts {
        let mut depth = 0usize;
        let deep = condition.bytes().any(|b| {
            depth = match b {
                b'(' => depth + 1,
                b')' => depth.saturating_sub(1),
                _ => depth,
            };
            depth > CONDITION_DEPTH_MAX
        });
        if deep || condition.len() > CONDITION_BYTES_MAX || count(condition, "not") > NOTS_MAX {
            return Err(place.error(&["detection", "condition"], "the condition is too long or too deep", "split the rule"));
        }
    }
    Ok(())
}

/// The parser's message with a place and a way out.
fn parser_error(place: &Place, message: &str) -> RuleError {
    if let Some(rest) = message.strip_prefix("Unknown modifier '") {
        let word = rest.trim_end_matches('\'');
        let way = match nearest(word, MODIFIERS.iter().map(|(w, _)| *w)) {
            Some(known) => format!("did you mean '{known}'?"),
            None => "modifiers are listed in the Sigma specification's appendix".to_owned(),
        };
        return place.error(&["detection", &format!("|{word}")], format!("unknown modifier '{word}'"), way);
    }
    if message.contains("`not` is not a value modifier") {
        return place.error(
            &["detection", "|not"],
            "'not' is not a modifier",
            "put the search under a name of its own and write 'not' in the condition",
        );
    }
    if message.starts_with("Condition parse error") || message.contains("ondition") && message.contains("-->") {
        let old = place.text.lines().any(|l| l.trim_start().starts_with("condition:") && l.contains('|'));
        let way = if old {
            "aggregations ('| count() …') were removed with Sigma 2; write a correlation rule"
        } else {
            "'and', 'or', 'not', '1 of x*', 'all of x*', brackets and names of searches"
        };
        return place.error(&["detection", "condition"], "the condition cannot be read", way);
    }
    if let Some(word) = message.strip_prefix("Missing required field '") {
        let word = word.trim_end_matches('\'');
        if word == "detection" {
            return place.error(&["title"], "neither a detection, a correlation nor a filter", "add a section 'detection:'");
        }
        return place.error(&["detection"], format!("no '{word}'"), format!("add '{word}:'"));
    }
    if let Some(word) = message.strip_prefix("invalid level: '") {
        let word = word.trim_end_matches('\'');
        return place.error(&["level"], format!("unknown level '{word}'"), "informational, low, medium, high or critical");
    }
    // YAML errors say "at line N column M", counted within the document.
    let number = |after: &str| -> Option<u32> {
        let rest = message.rsplit_once(after)?.1;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    let mut error = place.error(&[], message.chars().take(300).collect::<String>().replace('\n', " "), "");
    if let Some(line) = number(" line ") {
        error.line = place.first_line.saturating_add(line.saturating_sub(1));
        error.column = number(" column ").unwrap_or(0);
    }
    error
}

fn detections(place: &Place, read: rsigma_parser::Detections) -> Result<Detections, RuleError> {
    let mut named = Vec::with_capacity(read.named.len());
    for (name, search) in read.named {
        if name.is_empty() {
            return Err(place.error(&["detection"], "a search without a name", "names are texts"));
        }
        let content = search_of(place, &name, search, 0)?;
        named.push((name, content));
    }
    // The parser keeps them in a hash map: put them back in the order of the file, names that cannot be found last.
    let lines: Vec<&str> = place.text.lines().map(|l| l.trim_start().trim_start_matches(['\'', '"'])).collect();
    let from = lines.iter().position(|l| l.starts_with("detection") || l.starts_with("filter")).unwrap_or(0);
    named.sort_by_cached_key(|(name, _)| {
        let line = lines
            .iter()
            .skip(from)
            .position(|l| l.strip_prefix(name.as_str()).is_some_and(|r| r.trim_start_matches(['\'', '"']).trim_start().starts_with(':')));
        (line.unwrap_or(usize::MAX), name.clone())
    });
    let mut conditions = Vec::new();
    for expression in read.conditions {
        conditions.push(condition_of(place, expression)?);
    }
    if conditions.is_empty() {
        return Err(place.error(&["detection", "condition"], "the condition is empty", "name a search"));
    }
    Ok(Detections { named, conditions })
}

fn search_of(place: &Place, name: &str, search: Detection, depth: usize) -> Result<Search, RuleError> {
    let here = |what: &str, way: &str| place.error(&["detection", name], what, way);
    if depth > 16 {
        return Err(here("the search is nested too deeply", "split it"));
    }
    match search {
        Detection::AllOf(items) => {
            if items.is_empty() {
                return Err(here("the search is empty", "name a field and a value"));
            }
            let items = items.into_iter().map(|i| item_of(place, name, i.field.name, &i.field.modifiers, i.values));
            Ok(Search::All(items.collect::<Result<_, _>>()?))
        }
        Detection::Keywords(values) => Ok(Search::All(vec![item_of(place, name, None, &[], values)?])),
        Detection::AnyOf(list) => {
            Ok(Search::Any(list.into_iter().map(|s| search_of(place, name, s, depth + 1)).collect::<Result<_, _>>()?))
        }
        Detection::And(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => {
            Err(here("array selectors are not part of Sigma 2.1", "name the field without brackets; a list matches if any element does"))
        }
    }
}

fn item_of(
    place: &Place,
    search: &str,
    field: Option<String>,
    modifiers: &[rsigma_parser::Modifier],
    values: Vec<SigmaValue>,
) -> Result<Item, RuleError> {
    // The parser escapes brackets of field names.
    let field = field.map(|f| f.replace("\\[", "[").replace("\\]", "]"));
    let label: String = field.as_deref().unwrap_or("|").chars().take(LABEL_CHARS_MAX).collect();
    let here = |what: String, way: &str| place.error(&["detection", search, &label], what, way);
    if values.is_empty() {
        return Err(here(format!("'{label}' has an empty list of values"), "give at least one value"));
    }
    let mut literals = Vec::with_capacity(values.len());
    for value in values {
        literals.push(match value {
            SigmaValue::String(text) => {
                let text = text.original;
                // What the parser makes of a list or map in the place of a value: its Rust debug form.
                if ["Sequence [", "Mapping {", "Tagged(", "TaggedValue {"].iter().any(|p| text.starts_with(p))
                    && !place.text.contains(&text)
                {
                    return Err(here(format!("'{label}' has a list or map as a value"), "values are texts, numbers, true, false or null"));
                }
                Literal::Text(text)
            }
            SigmaValue::Integer(n) => Literal::Int(n),
            SigmaValue::Float(x) => Literal::Float(x),
            SigmaValue::Bool(b) => Literal::Bool(b),
            SigmaValue::Null => Literal::Null,
        });
    }
    Ok(Item { field, modifiers: modifiers.iter().map(|m| modifier_of(*m)).collect(), values: literals })
}

fn modifier_of(modifier: rsigma_parser::Modifier) -> Modifier {
    use crate::document::TimePart;
    use rsigma_parser::Modifier as M;
    match modifier {
        M::Contains => Modifier::Contains,
        M::StartsWith => Modifier::StartsWith,
        M::EndsWith => Modifier::EndsWith,
        M::All => Modifier::All,
        M::Base64 => Modifier::Base64,
        M::Base64Offset => Modifier::Base64Offset,
        M::Wide => Modifier::Utf16Le,
        M::Utf16be => Modifier::Utf16Be,
        M::Utf16 => Modifier::Utf16,
        M::WindAsh => Modifier::WinDash,
        M::Re => Modifier::Re,
        M::Cidr => Modifier::Cidr,
        M::Cased => Modifier::Cased,
        M::Exists => Modifier::Exists,
        M::Expand => Modifier::Expand,
        M::FieldRef => Modifier::FieldRef,
        M::Gt => Modifier::Compare(Operator::Gt),
        M::Gte => Modifier::Compare(Operator::Gte),
        M::Lt => Modifier::Compare(Operator::Lt),
        M::Lte => Modifier::Compare(Operator::Lte),
        M::Neq => Modifier::Neq,
        M::IgnoreCase => Modifier::IgnoreCase,
        M::Multiline => Modifier::MultiLine,
        M::DotAll => Modifier::DotAll,
        M::Minute => Modifier::Time(TimePart::Minute),
        M::Hour => Modifier::Time(TimePart::Hour),
        M::Day => Modifier::Time(TimePart::Day),
        M::Week => Modifier::Time(TimePart::Week),
        M::Month => Modifier::Time(TimePart::Month),
        M::Year => Modifier::Time(TimePart::Year),
    }
}

fn condition_of(place: &Place, expression: ConditionExpr) -> Result<Condition, RuleError> {
    let list = |l: Vec<ConditionExpr>| l.into_iter().map(|e| condition_of(place, e)).collect::<Result<Vec<_>, _>>();
    Ok(match expression {
        ConditionExpr::And(l) => Condition::And(list(l)?),
        ConditionExpr::Or(l) => Condition::Or(list(l)?),
        ConditionExpr::Not(e) => Condition::Not(Box::new(condition_of(place, *e)?)),
        ConditionExpr::Identifier(name) => Condition::Name(name),
        ConditionExpr::Selector { quantifier, pattern } => {
            let all = match quantifier {
                Quantifier::Any => false,
                Quantifier::All => true,
                Quantifier::Count(n) => {
                    return Err(place.error(
                        &["detection", "condition"],
                        format!("'{n} of' is not part of Sigma 2.1"),
                        "'1 of' or 'all of'",
                    ));
                }
            };
            let pattern = match pattern {
                SelectorPattern::Them => None,
                SelectorPattern::Pattern(p) => Some(p),
            };
            Condition::Of { all, pattern }
        }
    })
}

fn correlation(place: Place) -> Result<Document, RuleError> {
    let top: Yaml = serde_yaml_ng::from_str(&place.text).map_err(|e| {
        let mut error = place.error(&[], e.to_string().chars().take(300).collect::<String>(), "");
        if let Some(at) = e.location() {
            error.line = place.first_line.saturating_add(u32::try_from(at.line()).unwrap_or(1).saturating_sub(1));
            error.column = u32::try_from(at.column()).unwrap_or(0);
        }
        error
    })?;
    let bad = |key: &str, what: &str, way: &str| place.error(&["correlation", key], what, way);
    let section = top
        .get("correlation")
        .and_then(Yaml::as_mapping)
        .ok_or_else(|| bad("", "'correlation' is not a map", "it holds 'type', 'rules', 'timespan', …"))?;
    let texts = |key: &str, value: Option<&Yaml>| -> Result<Vec<String>, RuleError> {
        match value {
            None | Some(Yaml::Null) => Ok(Vec::new()),
            Some(Yaml::String(s)) => Ok(vec![s.clone()]),
            Some(Yaml::Sequence(list)) => list
                .iter()
                .map(|v| {
                    v.as_str()
                        .map(str::to_owned)
                        .ok_or_else(|| bad(key, &format!("'{key}' holds something that is no text"), "a list of texts"))
                })
                .collect(),
            Some(_) => Err(bad(key, &format!("'{key}' is not a list"), "a list of texts")),
        }
    };
    let head_text = |key: &str| top.get(key).and_then(Yaml::as_str).map(str::to_owned);
    let custom = |key: &str| top.get("custom_attributes").and_then(|c| c.get(key)).or_else(|| top.get(key));
    let level = match head_text("level") {
        None => None,
        Some(word) => Some(
            word.parse::<Severity>()
                .map_err(|()| place.error(&["level"], format!("unknown level '{word}'"), "informational, low, medium, high or critical"))?,
        ),
    };
    let flag = |key: &str, value: Option<&Yaml>| match value {
        None => Ok(None),
        Some(Yaml::Bool(b)) => Ok(Some(*b)),
        Some(_) => Err(place.error(&[key], format!("'{key}' is neither true nor false"), format!("write '{key}: true'"))),
    };
    let head = Head {
        id: head_text("id"),
        name: head_text("name"),
        title: head_text("title").ok_or_else(|| place.error(&[], "no 'title'", "add 'title:'"))?,
        title_zh: custom("title_zh").and_then(Yaml::as_str).unwrap_or_default().to_owned(),
        description: head_text("description").unwrap_or_default(),
        author: head_text("author").unwrap_or_default(),
        taxonomy: head_text("taxonomy"),
        level,
        tags: texts("tags", top.get("tags"))?,
        alerts: flag("alerts", custom("alerts"))?,
        shadow: flag("shadow", custom("shadow"))?,
        experimental: head_text("status").as_deref() == Some("experimental"),
        group_by: texts("group_by", custom("group_by"))?,
    };
    let word = |key: &str| section.get(key).and_then(Yaml::as_str);
    let kind = word("type").ok_or_else(|| bad("", "the correlation has no 'type'", "e.g. 'type: event_count'"))?.to_owned();
    let rules = texts("rules", section.get("rules"))?;
    if rules.is_empty() {
        return Err(bad("rules", "the correlation names no rules", "list ids or names of rules under 'rules:'"));
    }
    let span = word("timespan")
        .or_else(|| word("timeframe"))
        .ok_or_else(|| bad("", "the correlation has no 'timespan'", "e.g. 'timespan: 5m'"))?;
    let timespan_ns =
        timespan(span).ok_or_else(|| bad("timespan", &format!("'{span}' is no timespan"), "a number and one of s, m, h, d, e.g. '90m'"))?;
    let mut condition = Vec::new();
    let mut fields = Vec::new();
    let mut parameters = BTreeMap::new();
    let parameter = |key: &str, value: &Yaml| match value {
        Yaml::String(s) => Ok(s.clone()),
        Yaml::Number(n) => Ok(n.to_string()),
        Yaml::Bool(b) => Ok(b.to_string()),
        _ => Err(bad(key, &format!("'{key}' is not a single value"), "a text or a number")),
    };
    match section.get("condition") {
        None => {}
        Some(Yaml::Mapping(map)) => {
            for (key, value) in map {
                let key = key.as_str().unwrap_or_default();
                if key == "field" {
                    fields = texts("field", Some(value))?;
                } else if let Some(operator) = Operator::from_word(key) {
                    let number = value.as_f64().filter(|x| x.is_finite());
                    let number = number.ok_or_else(|| bad(key, &format!("'{key}' needs a number"), &format!("e.g. '{key}: 10'")))?;
                    condition.push((operator, number));
                } else if let Some(near) = nearest(key, ["lt", "lte", "gt", "gte", "eq", "neq", "field"]) {
                    return Err(bad(key, &format!("unknown key '{key}' in the condition"), &format!("did you mean '{near}'?")));
                } else {
                    parameters.insert(key.to_owned(), parameter(key, value)?);
                }
            }
        }
        Some(_) => return Err(bad("condition", "the condition of a correlation is not a map", "e.g. 'condition: {gte: 10}'")),
    }
    let mut aliases = BTreeMap::new();
    match section.get("aliases") {
        None => {}
        Some(Yaml::Mapping(map)) => {
            for (alias, value) in map {
                let (Some(alias), Some(value)) = (alias.as_str(), value.as_mapping()) else {
                    return Err(bad("aliases", "an alias is not a map", "alias: {rule name: field}"));
                };
                let pairs =
                    value.iter().map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned()))).collect::<Option<BTreeMap<_, _>>>();
                let pairs =
                    pairs.ok_or_else(|| bad(alias, &format!("alias '{alias}' is not a map of texts"), "alias: {rule name: field}"))?;
                aliases.insert(alias.to_owned(), pairs);
            }
        }
        Some(_) => return Err(bad("aliases", "'aliases' is not a map", "alias: {rule name: field}")),
    }
    const KNOWN: [&str; 8] = ["type", "rules", "timespan", "timeframe", "group-by", "condition", "aliases", "generate"];
    for (key, value) in section {
        let key = key.as_str().unwrap_or_default();
        if KNOWN.contains(&key) {
            continue;
        }
        if let Some(near) = nearest(key, KNOWN).or((key == "group_by").then_some("group-by")) {
            return Err(bad(key, &format!("unknown key '{key}' in the correlation"), &format!("did you mean '{near}'?")));
        }
        parameters.insert(key.to_owned(), parameter(key, value)?);
    }
    let generate = flag("generate", top.get("generate").or_else(|| section.get("generate")))?.unwrap_or(false);
    let group_by = texts("group-by", section.get("group-by"))?;
    let body = RawCorrelation { kind, rules, timespan_ns, group_by, fields, condition, aliases, parameters, generate };
    Ok(Document { head, body: Body::Correlation(body), place })
}

/// `Ns`, `Nm`, `Nh`, `Nd` in nanoseconds; more than nothing, at most about 290 years.
fn timespan(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1i64,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let count: i64 = digits.parse().ok()?;
    count.checked_mul(unit)?.checked_mul(event::SECOND_NS).filter(|n| *n > 0)
}
