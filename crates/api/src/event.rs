//! Events as the API shows them: the header, the record as received, and every field by its name.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventRecord {
    /// `<agent>-<epoch>-<c|n|b>-<number>`.
    pub id: String,
    pub time: String,
    /// When the agent saw it, by the agent's clock.
    pub observed: String,
    /// OCSF class name.
    pub class: String,
    pub activity_id: u8,
    /// product/category/service.
    pub log_source: String,
    pub severity: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sector: String,
    /// The line or record as received, where there was one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub raw: String,
    pub fields: Vec<EventField>,
}

/// A field by its OCSF path, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventField {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    pub items: Vec<EventRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl From<&::event::Event> for EventRecord {
    fn from(event: &::event::Event) -> Self {
        use ::event::field;
        Self {
            id: event.id.to_string(),
            time: event.time.to_string(),
            observed: event.observed.to_string(),
            class: event.kind.name().to_owned(),
            activity_id: event.activity,
            log_source: event.source.to_string(),
            severity: event.severity.name().to_owned(),
            host: event.text(field::DEVICE_HOSTNAME).into_owned(),
            unit: event.text(field::UNIT_ID).into_owned(),
            sector: event.text(field::UNIT_SECTOR).into_owned(),
            raw: event.text(field::RAW_DATA).into_owned(),
            fields: event
                .body
                .iter()
                .filter(|(name, _)| !matches!(name, ::event::Name::Known(f) if *f == field::RAW_DATA))
                .map(|(name, value)| EventField { name: name.as_str().to_owned(), value: value.to_text().into_owned() })
                .collect(),
        }
    }
}
