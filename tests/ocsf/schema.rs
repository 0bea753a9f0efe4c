//! A small validator over the flattened OCSF schema.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

/// Attributes at the top of a detection finding that OCSF has elsewhere, and why they stand there.
const ASKED_FOR: &[(u64, &str)] = &[
    // Every reader of an alert line looks for the two sides at the top; OCSF 1.8 has them only below `evidences`.
    (2004, "src_endpoint"),
    (2004, "dst_endpoint"),
];

/// `observable` numbers of dictionary types: host name, IP address, MAC, user name, mail address, URL, file name, hash.
const OBSERVABLES: std::ops::RangeInclusive<u64> = 1..=8;

pub struct Schema {
    /// By `class_uid`: the class, and the number of its category.
    classes: BTreeMap<u64, (Value, u64)>,
    objects: Map<String, Value>,
}

impl Schema {
    pub fn read(flat: &Path, table: &Path) -> Result<Self> {
        let mut all: Value = serde_json::from_reader(flate2::read::GzDecoder::new(std::fs::File::open(flat)?))?;
        // The flat file holds extensions and parents too; the table names the classes proper.
        let mut known = BTreeSet::new();
        for row in std::fs::read_to_string(table)?.lines().skip(1) {
            let mut cells = row.split('\t');
            let (uid, name) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
            let extension = cells.nth(1).unwrap_or_default();
            // A class without a number is only a parent of others.
            if let (true, Ok(uid)) = (extension.is_empty(), uid.parse::<u64>()) {
                known.insert((uid, name.to_owned()));
            }
        }
        let categories = all["categories"].take();
        let Value::Object(raw) = all["classes"].take() else { anyhow::bail!("no classes") };
        let mut classes = BTreeMap::new();
        for (name, class) in raw {
            let Some(uid) = class["uid"].as_u64().filter(|uid| known.contains(&(*uid, name.clone()))) else { continue };
            let category = class["category_uid"].as_u64().or_else(|| categories[class["category"].as_str()?]["uid"].as_u64()).unwrap_or(0);
            classes.insert(uid, (class, category));
        }
        let Value::Object(objects) = all["objects"].take() else { anyhow::bail!("no objects") };
        Ok(Self { classes, objects })
    }

    pub fn has_class(&self, uid: u64) -> bool {
        self.classes.contains_key(&uid)
    }

    /// Whether an attribute path exists in a class.
    pub fn has_path(&self, uid: u64, path: &str) -> bool {
        let Some((class, _)) = self.classes.get(&uid) else { return false };
        let mut attributes = &class["attributes"];
        let mut segments = path.split('.').peekable();
        while let Some(segment) = segments.next() {
            let attribute = &attributes[segment];
            if attribute.is_null() {
                return false;
            }
            if segments.peek().is_some() {
                let Some(object) = attribute["object_type"].as_str().and_then(|o| self.objects.get(o)) else { return false };
                attributes = &object["attributes"];
            }
        }
        true
    }

    /// Everything that is wrong with an event, in words without the event's own values where those vary.
    pub fn faults(&self, event: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let (Some(map), Some(uid)) = (event.as_object(), event["class_uid"].as_u64()) else {
            return vec!["no class_uid".to_owned()];
        };
        let Some((class, category)) = self.classes.get(&uid) else { return vec![format!("no class {uid}")] };
        if event["category_uid"].as_u64() != Some(*category) {
            faults.push(format!("category_uid {} is not {category}", event["category_uid"]));
        }
        let activity = event["activity_id"].as_u64().unwrap_or(u64::MAX);
        if event["type_uid"].as_u64() != uid.checked_mul(100).and_then(|n| n.checked_add(activity)) {
            faults.push(format!("type_uid {} is not class and activity", event["type_uid"]));
        }
        let profiles: BTreeSet<&str> = event["metadata"]["profiles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for profile in &profiles {
            let attributes = class["attributes"].as_object();
            if !attributes.is_some_and(|all| all.values().any(|a| a["profile"] == *profile)) {
                faults.push(format!("the class has no profile {profile}"));
            }
        }
        self.object(class, map, "", &profiles, Some(uid), &mut faults);
        faults
    }

    fn object(
        &self,
        shape: &Value,
        map: &Map<String, Value>,
        at: &str,
        profiles: &BTreeSet<&str>,
        class: Option<u64>,
        faults: &mut Vec<String>,
    ) {
        let empty = Map::new();
        let attributes = shape["attributes"].as_object().unwrap_or(&empty);
        let in_force = |attribute: &Value| attribute["profile"].as_str().is_none_or(|p| profiles.contains(p));
        for (name, value) in map {
            let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match attributes.get(name) {
                None if class.is_some_and(|class| ASKED_FOR.contains(&(class, name.as_str()))) => {}
                None => faults.push(format!("{path} is unknown here")),
                Some(attribute) if !in_force(attribute) => {
                    faults.push(format!("{path} belongs to profile {}, which is not named", attribute["profile"]))
                }
                Some(attribute) => self.attribute(attribute, value, &path, profiles, faults),
            }
        }
        for (name, attribute) in attributes {
            if attribute["requirement"] == "required" && in_force(attribute) && !map.contains_key(name) {
                faults.push(format!("{at}.{name} is required"));
            }
        }
        let names =
            |rule: &str| -> Vec<&str> { shape["constraints"][rule].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
        let (any, one) = (names("at_least_one"), names("just_one"));
        if !any.is_empty() && !any.iter().any(|n| map.contains_key(*n)) {
            faults.push(format!("{at}: none of {any:?}"));
        }
        if !one.is_empty() && one.iter().filter(|n| map.contains_key(**n)).count() != 1 {
            faults.push(format!("{at}: not exactly one of {one:?}"));
        }
    }

    fn attribute(&self, attribute: &Value, value: &Value, path: &str, profiles: &BTreeSet<&str>, faults: &mut Vec<String>) {
        if attribute["is_array"] == true {
            let Some(list) = value.as_array() else { return faults.push(format!("{path} is no list")) };
            let mut single = attribute.clone();
            single["is_array"] = Value::Bool(false);
            return list.iter().for_each(|item| self.attribute(&single, item, path, profiles, faults));
        }
        let kind = attribute["type"].as_str().unwrap_or_default();
        let text = value.as_str();
        let fits = match kind {
            "object" => {
                let Some(map) = value.as_object() else { return faults.push(format!("{path} is no object")) };
                // `unmapped` is an open object: what OCSF does not have.
                if let Some(shape) = attribute["object_type"].as_str().filter(|o| *o != "object").and_then(|o| self.objects.get(o)) {
                    self.object(shape, map, path, profiles, None, faults);
                }
                true
            }
            "integer_t" | "long_t" | "timestamp_t" => value.is_i64() || value.is_u64(),
            "port_t" => value.as_u64().is_some_and(|n| n <= 65_535),
            "float_t" => value.is_number(),
            "boolean_t" => value.is_boolean(),
            "json_t" => true,
            "ip_t" => text.is_some_and(|t| t.parse::<IpAddr>().is_ok()),
            "mac_t" => {
                text.is_some_and(|t| t.len() == 17 && t.split([':', '-']).all(|p| p.len() == 2 && u8::from_str_radix(p, 16).is_ok()))
            }
            "email_t" => text.is_some_and(|t| t.split_once('@').is_some_and(|(a, b)| !a.is_empty() && b.contains('.'))),
            _ => text.is_some(),
        };
        if !fits {
            faults.push(format!("{path} is no {kind}"));
        }
        // The flat schema has these two lists from the base class only; they were checked above.
        let listed = !matches!(path, "class_uid" | "category_uid");
        if let Some(allowed) = attribute["enum"].as_object().filter(|e| listed && !e.is_empty()) {
            let key = text.map_or_else(|| value.to_string(), str::to_owned);
            // OCSF adds these to the list from the types of its dictionary, which the flat file does not say of them.
            let observable = path.ends_with("observables.type_id") && OBSERVABLES.contains(&value.as_u64().unwrap_or(0));
            if !allowed.contains_key(&key) && !observable {
                faults.push(format!("{path} {key} is not among its values"));
            }
        }
    }
}
