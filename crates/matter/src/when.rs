//! Times in matters are RFC 3339 text in UTC, the one form the API has.

use event::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub fn serialize<S: Serializer>(time: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(time)
}

pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(d)?;
    Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom(format!("'{text}' is no time; write e.g. 2026-11-23T08:00:00Z")))
}

/// For times that may not be there: `#[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]`.
pub mod option {
    use event::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => s.collect_str(time),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(d)? else { return Ok(None) };
        let time = Timestamp::parse_rfc3339(&text);
        time.map(Some).ok_or_else(|| D::Error::custom(format!("'{text}' is no time; write e.g. 2026-11-23T08:00:00Z")))
    }
}
