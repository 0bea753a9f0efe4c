//! What the desk knows besides its matters: the register, the tables, the key it signs with. A snapshot that is exchanged whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use warning::grade;
use warning::grade::Level;

use crate::campaign::{CampaignTable, Playbook};
use crate::clock::table::{ClockRow, GradeGuide, Reporting};
use crate::disclose::DisclosureTable;
use crate::incident::IncidentTable;
use crate::lookup::Places;
use crate::register::{Asset, Contact, Object, Unit};
use crate::silence::SilenceTable;
use crate::{Both, Revision};

/// A snapshot.
pub struct Book {
    pub tables: Arc<Tables>,
    pub units: BTreeMap<String, Unit>,
    pub objects: BTreeMap<String, Object>,
    pub assets: BTreeMap<String, Asset>,
    /// Made of those three when first asked; `Default::default()`, anew where one of them changes.
    pub places: Places,
    pub signer: Arc<dyn Signer>,
    /// Which flaws are known to be used; `Arc::new(())` knows none.
    pub flaws: Arc<dyn Flaws>,
    /// Secret the pseudonyms of a campaign are made with.
    pub pseudonyms: [u8; 32],
}

/// Signs what is issued. The same bytes give the same signature (Ed25519, RFC 8032).
pub trait Signer: Send + Sync {
    /// Id of the key: first 16 hex digits of the BLAKE3 of the public key.
    fn key(&self) -> String;
    /// Base64.
    fn sign(&self, hash: &[u8; 32]) -> String;
    fn verify(&self, key: &str, hash: &[u8; 32], signature: &str) -> bool;
}

/// What lists of exploited flaws say (CISA's KEV, FIRST's EPSS).
pub trait Flaws: Send + Sync {
    /// Of a CVE; none: no list names it.
    fn known(&self, cve: &str) -> Option<Flaw>;
}

impl Flaws for () {
    fn known(&self, _: &str) -> Option<Flaw> {
        None
    }
}

/// A flaw that a list names, as it stood when it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flaw {
    /// `CVE-2024-3400`.
    pub cve: String,
    /// In CISA's list of known exploited vulnerabilities.
    pub kev: bool,
    /// Chance that it is exploited within 30 days, 0 to 1.
    pub epss: f64,
}

/// Tables a person may edit: `config/grading.toml` and `config/desk.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    pub grading: grade::Tables,
    pub desk: DeskTables,
}

/// `config/desk.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeskTables {
    /// Name of the body that issues warnings here.
    pub issuer: Both,
    /// What the house's local time is ahead of UTC: days, weeks and months of bulletins begin by it.
    pub utc_offset_min: i32,
    pub service: ServiceLevels,
    #[serde(default)]
    pub release: Release,
    #[serde(default)]
    pub campaign: CampaignTable,
    #[serde(default)]
    pub incident: IncidentTable,
    #[serde(default)]
    pub silence: SilenceTable,
    #[serde(default)]
    pub disclosure: DisclosureTable,
    /// What a draft says about a technique or tactic.
    #[serde(default)]
    pub playbook: Vec<Playbook>,
    pub reporting: Reporting,
    pub grade_guide: GradeGuide,
    pub clock: Vec<ClockRow>,
}

/// Who must agree before a warning goes out, and when one may be lifted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub source: String,
    pub effective_from: String,
    /// From this level on a second person must approve.
    pub second_person_from: Level,
    /// Whom a warning above one's own right is proposed to (建议上报).
    pub superior: Both,
    /// How long nothing worth a warning must have been recommended before it is lifted, in minutes.
    pub quiet_min: u32,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            source: "default".to_owned(),
            effective_from: "2026-11-01".to_owned(),
            second_person_from: Level::Orange,
            superior: Both::new("省级网络安全应急办公室", "Provincial cybersecurity emergency office"),
            quiet_min: 72 * 60,
        }
    }
}

impl DeskTables {
    /// What the types cannot say: key and what is wrong with it.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut out = crate::clock::table::problems(&self.clock, &self.grade_guide);
        out.extend(self.campaign.problems());
        out.extend(self.disclosure.problems());
        out.extend(self.incident.problems());
        out.extend(self.silence.problems());
        out.extend(Playbook::problems(&self.playbook));
        if !(-14 * 60..=14 * 60).contains(&self.utc_offset_min) {
            out.push(("utc_offset_min".to_owned(), format!("{}: from -840 to 840 minutes", self.utc_offset_min)));
        }
        out
    }
}

/// Time limits of a notice by level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceLevels {
    pub source: String,
    pub effective_from: String,
    pub red: Service,
    pub orange: Service,
    pub yellow: Service,
    pub blue: Service,
    pub advisory: Service,
}

/// Time limits of one level, in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// To sign for it (签收).
    pub receipt_min: u32,
    /// To the first feedback.
    pub feedback_min: u32,
    /// From one feedback to the next; 0: one is enough.
    pub again_min: u32,
    /// Until the issuer looks at it again.
    pub review_min: u32,
    /// Until it ends unless extended.
    pub expires_min: u32,
    /// How long a lower recommendation must last before the level may go down.
    pub dwell_min: u32,
}

impl ServiceLevels {
    /// None: an advisory.
    pub const fn of(&self, level: Option<Level>) -> &Service {
        match level {
            Some(Level::Red) => &self.red,
            Some(Level::Orange) => &self.orange,
            Some(Level::Yellow) => &self.yellow,
            Some(Level::Blue) => &self.blue,
            None => &self.advisory,
        }
    }
}

impl Book {
    pub fn sector_of(&self, unit: &str) -> &str {
        self.units.get(unit).map_or("", |u| u.sector.as_str())
    }
    pub fn units_of_sector<'a>(&'a self, sector: &'a str) -> impl Iterator<Item = &'a Unit> {
        self.units.values().filter(move |u| u.sector == sector)
    }
    /// Contacts of a unit in this place of the line.
    pub fn contacts(&self, unit: &str, role: &str) -> Vec<&Contact> {
        self.units.get(unit).map(|u| u.contacts.iter().filter(|c| c.role == role).collect()).unwrap_or_default()
    }
    /// CII objects that cannot work without this one, directly or through others.
    pub fn serves_cii(&self, object: &str) -> BTreeSet<&str> {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut front = vec![object];
        while let Some(at) = front.pop() {
            for other in self.places().needed_by(at) {
                if other != object && reached.insert(other) {
                    front.push(other);
                }
            }
        }
        reached.into_iter().filter(|id| self.objects.get(*id).is_some_and(|o| o.cii)).collect()
    }
    /// An object as grading wants it.
    pub fn graded(&self, object: &str) -> Option<grade::Object> {
        let declared = self.objects.get(object)?;
        Some(grade::Object {
            id: declared.id.clone(),
            unit: declared.unit.clone(),
            sector: self.sector_of(&declared.unit).to_owned(),
            mlps: declared.mlps,
            cii: declared.cii,
            serves_cii: u32::try_from(self.serves_cii(object).len()).unwrap_or(u32::MAX),
        })
    }
    /// Whether a revision is what its key signed.
    pub fn holds(&self, revision: &Revision) -> bool {
        let hash = revision.hash_now();
        let written = blake3::Hash::from_bytes(hash).to_hex();
        written.as_str() == revision.hash && self.signer.verify(&revision.key, &hash, &revision.signature)
    }
}
