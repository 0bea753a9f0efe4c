//! CrowdSec's parser tests: source address, service, outcome, user and the parts of a web request, on the log types we claim.
//!
//! Goal: 95 % of the addresses on claimed log types. Years and hosts are as in the line; the time is not compared (the asserted years are
//! the year the assert was written). What differs on claimed types: an nginx log format of somebody's own (date first), JSON behind a
//! syslog header, GitLab's refused second factor (its record only says "200"), Zimbra's nested SMTP error; their nginx grammar cuts the
//! scheme off an absolute target.

use std::collections::BTreeSet;

use event::{Kind, field};

use super::{Tally, bytes, canonical, event, rows, source, verbose};

/// Log types of CrowdSec that these parsers are for.
const CLAIMED: &[&str] = &[
    "syslog",
    "nginx",
    "apache2",
    "nginx-proxy-manager",
    "haproxy",
    "Vaultwarden",
    "bitwarden",
    "gitea",
    "baikal",
    "bookstack",
    "dropbear",
    "vsftpd",
    "proftpd",
    "proxmox-backup-auth",
    "pve-firewall",
    "postgres",
    "jellyfin",
    "jellyseerr",
    "overseerr",
    "keycloak",
    "Paperless-ngx",
    "Sonarr",
    "Radarr",
    "uptime-kuma",
    "ts3",
    "technitium",
    "stirling-pdf",
    "mailu-admin",
    "mikrotik",
    "apache-guacamole",
    "cas",
    "meshcentral",
    "zimbra",
    "authelia",
    "bunkerweb",
    "sshesame",
    "webmin",
    "thehive",
    "lemonldap-ng",
    "authentik",
    "teleport",
    "ntfy",
    "gitlab",
];

#[test]
fn crowdsec_parsers() {
    let Some(path) = tests::data("peers/crowdsec/parser-tests.jsonl.gz") else { return };
    let (mut claimed, mut addresses, mut parts) = (Tally::default(), Tally::default(), Tally::default());
    let (mut unclaimed, mut other) = (BTreeSet::new(), Tally::default());
    for row in rows(&path) {
        let meta = &row["meta"];
        let kind = row["log_type"].as_str().unwrap_or_default();
        let line = row["input"].as_str().unwrap_or_default();
        let event = event(&bytes(&row), 1_767_225_600);
        let mine = CLAIMED.contains(&kind);
        if let Some(want) = meta["source_ip"].as_str() {
            let right = source(&event) == canonical(want);
            if mine {
                claimed.count(kind, right);
                addresses.count("source_ip, claimed", right);
            } else {
                unclaimed.insert(kind.to_owned());
                other.count("source_ip, not claimed", right);
            }
            if !right && mine && verbose() {
                println!("crowdsec {kind}: want {want} got {:?}: {line}", source(&event));
            }
        }
        if !mine {
            continue;
        }
        for (key, fields) in [
            ("http_verb", &[field::HTTP_METHOD][..]),
            ("http_path", &[field::HTTP_URL, field::HTTP_PATH]),
            ("http_status", &[field::HTTP_STATUS]),
            ("http_user_agent", &[field::HTTP_USER_AGENT]),
        ] {
            if let Some(want) = meta[key].as_str().filter(|w| !w.is_empty() && *w != "-") {
                parts.field(key, &event, fields, want, line);
            }
        }
        let log_type = meta["log_type"].as_str().unwrap_or_default();
        if let Some(want) = meta["target_user"].as_str().or_else(|| meta["username"].as_str()).filter(|w| !w.is_empty()) {
            parts.field("target_user", &event, &[field::USER_NAME], want.trim_matches('\''), line);
        }
        if (log_type.contains("fail") || log_type == "LOGIN_ERROR") && !log_type.contains("wireguard") {
            let right = matches!(event.kind, Kind::Authentication | Kind::SshActivity) && event.text(field::STATUS_ID) == "2";
            parts.count("a failed log-on is one", right);
            if !right && verbose() {
                println!("crowdsec {log_type} is {} {}: {line}", event.kind.name(), event.text(field::STATUS_ID));
            }
        }
        if let Some(want @ ("ssh" | "http" | "postfix" | "vaultwarden" | "bitwarden" | "gitea" | "keycloak")) = meta["service"].as_str() {
            let service = event.text(field::SERVICE_NAME);
            let by_source = event.source.service.as_deref() == Some(want);
            let web = want == "http" && (event.kind == Kind::HttpActivity || event.source.category.as_deref() == Some("proxy"));
            parts.count("service", service == want || web || by_source);
        }
    }
    claimed.print("crowdsec source_ip by log type");
    addresses.print("crowdsec (goal 95)");
    parts.print("crowdsec, other fields");
    other.print("crowdsec, log types not claimed");
    println!("  not claimed (cloud, JSON and appliance formats): {}", unclaimed.into_iter().collect::<Vec<_>>().join(", "));
    assert!(addresses.percent() >= 98.0, "addresses fell");
    assert!(parts.percent() >= 96.0, "other fields fell");
}
