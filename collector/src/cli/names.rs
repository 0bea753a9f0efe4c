//! Names of units in the reader's language. The register holds a Chinese name and, where somebody wrote one, an English one; tables and
//! texts for an English reader show that. Machine formats show what the API gives, untouched.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::Client;
use super::output::{Format, Language, Printer};

/// English names by unit id; empty where nobody reads English, or the caller may not read the register.
#[derive(Debug, Default)]
pub struct UnitNames(BTreeMap<String, String>);

impl UnitNames {
    pub async fn of(client: &Client, printer: &Printer) -> Self {
        if printer.lang != Language::En || printer.format != Format::Table {
            return Self::default();
        }
        let units = client.pages("/api/v1/units", &[], usize::MAX).await.unwrap_or_default();
        let name = |u: &Value| Some((u["id"].as_str()?.to_owned(), u["name_en"].as_str().filter(|n| !n.is_empty())?.to_owned()));
        Self(units.iter().filter_map(name).collect())
    }

    /// Puts the names into alerts, agents, units and whys.
    pub fn put(&self, item: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        for (id, name) in [("unit_id", "unit"), ("id", "name")] {
            self.swap(item, id, name);
        }
        for list in ["units", "register"] {
            for unit in item.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                self.swap(unit, if list == "units" { "id" } else { "unit" }, "name");
            }
        }
        if let Some(alert) = item.get_mut("alert").filter(|a| a.is_object()) {
            self.put(alert);
        }
    }

    fn swap(&self, item: &mut Value, id: &str, name: &str) {
        let Some(english) = item.get(id).and_then(Value::as_str).and_then(|id| self.0.get(id)) else { return };
        if let Some(slot) = item.get_mut(name).filter(|n| n.is_string()) {
            *slot = Value::from(english.as_str());
        }
    }

    pub fn all(&self, mut items: Vec<Value>) -> Vec<Value> {
        items.iter_mut().for_each(|item| self.put(item));
        items
    }
    pub fn one(&self, mut item: Value) -> Value {
        self.put(&mut item);
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_swapped_where_the_register_has_one() {
        let names = UnitNames([("grid".to_owned(), "Grid".to_owned())].into());
        let alert = json!({"id": "grid", "title": "x", "units": [{"id": "grid", "name": "电网"}, {"id": "gas", "name": "燃气"}]});
        assert_eq!(names.one(alert)["units"], json!([{"id": "grid", "name": "Grid"}, {"id": "gas", "name": "燃气"}]));
        assert_eq!(names.one(json!({"unit_id": "grid", "unit": "电网"}))["unit"], "Grid");
        assert_eq!(names.one(json!({"id": "grid", "name": "电网"}))["name"], "Grid");
        let why = names.one(json!({"alert": {"units": [{"id": "grid", "name": "电网"}]}, "register": [{"unit": "grid", "name": "电网"}]}));
        assert_eq!((&why["alert"]["units"][0]["name"], &why["register"][0]["name"]), (&json!("Grid"), &json!("Grid")));
        for odd in [json!(null), json!([1]), json!({"units": 7, "id": {"a": 1}, "name": 3}), json!({"id": "grid", "name": null})] {
            assert_eq!(names.one(odd.clone()), odd);
        }
    }
}
