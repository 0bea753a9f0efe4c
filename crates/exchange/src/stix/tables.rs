//! Tables of STIX 2.1: its types and what they must have, what references may name, which objects may stand in which relationship.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Domain,
    Relationship,
    Observable,
    Meta,
    Marking,
    /// Not of the standard: only what holds for all is asked of it.
    Custom,
}

pub(super) struct Type {
    pub name: &'static str,
    pub class: Class,
    /// Besides what its class must have.
    pub required: &'static [&'static str],
}

const fn t(name: &'static str, class: Class, required: &'static [&'static str]) -> Type {
    Type { name, class, required }
}

use Class::{Domain, Marking, Meta, Observable, Relationship};

/// Sections 4 to 7.
pub(super) const TYPES: &[Type] = &[
    t("attack-pattern", Domain, &["name"]),
    t("campaign", Domain, &["name"]),
    t("course-of-action", Domain, &["name"]),
    t("grouping", Domain, &["context", "object_refs"]),
    t("identity", Domain, &["name"]),
    t("incident", Domain, &["name"]),
    t("indicator", Domain, &["pattern", "pattern_type", "valid_from"]),
    t("infrastructure", Domain, &["name"]),
    t("intrusion-set", Domain, &["name"]),
    t("location", Domain, &[]),
    t("malware", Domain, &["is_family"]),
    t("malware-analysis", Domain, &["product"]),
    t("note", Domain, &["content", "object_refs"]),
    t("observed-data", Domain, &["first_observed", "last_observed", "number_observed"]),
    t("opinion", Domain, &["opinion", "object_refs"]),
    t("report", Domain, &["name", "published", "object_refs"]),
    t("threat-actor", Domain, &["name"]),
    t("tool", Domain, &["name"]),
    t("vulnerability", Domain, &["name"]),
    t("relationship", Relationship, &["relationship_type", "source_ref", "target_ref"]),
    t("sighting", Relationship, &["sighting_of_ref"]),
    t("artifact", Observable, &[]),
    t("autonomous-system", Observable, &["number"]),
    t("directory", Observable, &["path"]),
    t("domain-name", Observable, &["value"]),
    t("email-addr", Observable, &["value"]),
    t("email-message", Observable, &["is_multipart"]),
    t("file", Observable, &[]),
    t("ipv4-addr", Observable, &["value"]),
    t("ipv6-addr", Observable, &["value"]),
    t("mac-addr", Observable, &["value"]),
    t("mutex", Observable, &["name"]),
    t("network-traffic", Observable, &[]),
    t("process", Observable, &[]),
    t("software", Observable, &["name"]),
    t("url", Observable, &["value"]),
    t("user-account", Observable, &[]),
    t("windows-registry-key", Observable, &[]),
    t("x509-certificate", Observable, &[]),
    t("language-content", Meta, &["object_ref", "contents"]),
    t("extension-definition", Meta, &["name", "schema", "version", "extension_types", "created_by_ref"]),
    t("marking-definition", Marking, &[]),
];

/// Properties that are times.
pub(super) const TIMES: &[&str] = &[
    "created",
    "modified",
    "valid_from",
    "valid_until",
    "first_seen",
    "last_seen",
    "first_observed",
    "last_observed",
    "published",
    "submitted",
    "analysis_started",
    "analysis_ended",
    "object_modified",
];

/// (type, property, types it may name).
pub(super) const REFERENCES: &[(&str, &str, &[&str])] = &[
    ("directory", "contains_refs", &["file", "directory"]),
    ("domain-name", "resolves_to_refs", &["ipv4-addr", "ipv6-addr", "domain-name"]),
    ("email-addr", "belongs_to_ref", &["user-account"]),
    ("email-message", "from_ref", &["email-addr"]),
    ("email-message", "sender_ref", &["email-addr"]),
    ("email-message", "to_refs", &["email-addr"]),
    ("email-message", "cc_refs", &["email-addr"]),
    ("email-message", "bcc_refs", &["email-addr"]),
    ("file", "parent_directory_ref", &["directory"]),
    ("ipv4-addr", "resolves_to_refs", &["mac-addr"]),
    ("ipv6-addr", "resolves_to_refs", &["mac-addr"]),
    ("network-traffic", "src_ref", &["ipv4-addr", "ipv6-addr", "mac-addr", "domain-name"]),
    ("network-traffic", "dst_ref", &["ipv4-addr", "ipv6-addr", "mac-addr", "domain-name"]),
    ("process", "creator_user_ref", &["user-account"]),
    ("process", "image_ref", &["file"]),
    ("process", "parent_ref", &["process"]),
];

const ACTORS: &[&str] = &["campaign", "intrusion-set", "threat-actor", "malware", "attack-pattern", "infrastructure", "tool"];

/// (relationship, from, to); appendix B in short. What is not here may stand between any two.
pub(super) const MATRIX: &[(&str, &[&str], &[&str])] = &[
    (
        "uses",
        &["attack-pattern", "campaign", "infrastructure", "intrusion-set", "malware", "threat-actor", "tool"],
        &["attack-pattern", "infrastructure", "malware", "tool"],
    ),
    ("indicates", &["indicator"], &["attack-pattern", "campaign", "infrastructure", "intrusion-set", "malware", "threat-actor", "tool"]),
    ("targets", ACTORS, &["identity", "location", "vulnerability", "infrastructure"]),
    ("mitigates", &["course-of-action"], &["attack-pattern", "indicator", "malware", "tool", "vulnerability"]),
    ("attributed-to", &["campaign", "incident", "intrusion-set", "threat-actor"], &["intrusion-set", "threat-actor", "identity"]),
    ("impersonates", &["threat-actor"], &["identity"]),
    ("based-on", &["indicator"], &["observed-data"]),
    ("located-at", &["identity", "infrastructure", "threat-actor"], &["location"]),
];

/// ISO 3166-1 alpha-2.
pub(super) const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";
