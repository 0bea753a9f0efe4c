//! Traffic Light Protocol 2.0 (FIRST, August 2022): how far an indicator may travel.

use serde::{Deserialize, Serialize};

/// Ordered from the most open to the most closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tlp {
    Clear,
    Green,
    /// What says nothing is taken as this: those concerned and those who serve them.
    #[default]
    Amber,
    #[serde(rename = "amber+strict")]
    AmberStrict,
    Red,
}

/// Identifiers of the marking definitions of STIX 2.1: TLP 1 (section 7.2.1.4) and TLP 2.0 (extension of OASIS).
const MARKINGS: [(&str, Tlp); 9] = [
    ("marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
    ("marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
    ("marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
    ("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
    ("marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
    ("marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
    ("marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
    ("marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::AmberStrict),
    ("marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
];

impl Tlp {
    pub const ALL: [Self; 5] = [Self::Clear, Self::Green, Self::Amber, Self::AmberStrict, Self::Red];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::AmberStrict => "amber+strict",
            Self::Red => "red",
        }
    }

    /// A word with or without `TLP:`; `white` is the old name of clear.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let word = text.strip_prefix("tlp:").unwrap_or(&text).trim();
        match word {
            "white" => Some(Self::Clear),
            "amber-strict" | "amber_strict" | "amber strict" => Some(Self::AmberStrict),
            _ => Self::ALL.into_iter().find(|t| t.name() == word),
        }
    }

    /// The level of a marking definition of the standard, by its identifier.
    pub fn of_marking(id: &str) -> Option<Self> {
        MARKINGS.iter().find(|(m, _)| *m == id).map(|(_, t)| *t)
    }

    /// May it leave the centre for the units it watches over (agents' edges, people of one unit)?
    pub const fn reaches_units(self) -> bool {
        matches!(self, Self::Clear | Self::Green | Self::Amber)
    }
}
