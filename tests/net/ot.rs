//! DNP3, IEC 60870-5-104, S7comm, EtherNet/IP, OPC UA, BACnet and GOOSE of public captures against tshark's counts, function by function.

use std::collections::BTreeMap;
use std::path::Path;

use event::{Event, Field, Value, field};

use crate::sigma::corpus;

type Counts = BTreeMap<String, i64>;

/// One protocol, and how its events count as tshark counts messages.
struct Subject {
    name: &'static str,
    /// Key in the truth, and what of it is compared.
    truth: &'static str,
    compared: fn(&str) -> bool,
    services: &'static [&'static str],
    /// Keys of one message; an answer joined with its request is two.
    keys: fn(&Event) -> Vec<String>,
    files: usize,
    /// Files whose counts differ, and why.
    differ: &'static [(&'static str, &'static str)],
}

fn number(event: &Event, field: Field) -> Option<i64> {
    event.get(field).and_then(Value::as_int)
}

fn is(event: &Event, field: Field, text: &str) -> bool {
    event.get(field).and_then(Value::as_str) == Some(text)
}

/// The same key again for the answer.
fn twice(event: &Event, key: String) -> Vec<String> {
    if is(event, field::OT_DIRECTION, "both") { vec![key.clone(), key] } else { vec![key] }
}

static SUBJECTS: &[Subject] = &[
    Subject {
        name: "DNP3 functions",
        truth: "dnp3_func",
        compared: |_| true,
        services: &["dnp3"],
        keys: |event| {
            let Some(function) = number(event, field::OT_FUNCTION) else { return Vec::new() };
            let answer = is(event, field::OT_DIRECTION, "both").then(|| "129".to_owned());
            std::iter::once(function.to_string()).chain(answer).collect()
        },
        files: 100,
        differ: &[(
            "attack-ics/qut_dnp3_training_frequent_cut.pcap",
            "man in the middle: both versions of a segment are on the link, of other lengths; a stream has one, tshark reads each frame",
        )],
    },
    Subject {
        name: "IEC 60870-5-104 type identifications",
        truth: "iec104_typeid",
        compared: |_| true,
        services: &["iec104"],
        keys: |event| {
            // A frame whose octets do not hold the type that it names is an anomaly which names it; tshark counts it as that type.
            let odd = event.text(field::ANOMALY_DETAIL).strip_prefix("type ").and_then(|t| Some(t.split_once(' ')?.0.to_owned()));
            number(event, field::OT_FUNCTION).map(|f| f.to_string()).or(odd).into_iter().collect()
        },
        files: 11,
        differ: &[],
    },
    Subject {
        name: "S7comm functions and groups of user data",
        truth: "s7comm",
        compared: |key| key.starts_with("func:") || key.starts_with("ud:"),
        services: &["s7comm"],
        keys: |event| {
            if is(event, field::OT_PROTOCOL, "s7comm_plus") {
                return Vec::new();
            }
            let groups = ["mode", "programmer", "cyclic", "block", "cpu", "security", "pbc", "time"];
            let name = event.text(field::OT_FUNCTION_NAME);
            let key = match name.strip_prefix("userdata_") {
                Some(group) => format!("ud:{}", groups.iter().position(|g| *g == group).unwrap_or(99)),
                None => format!("func:0x{:02x}", number(event, field::OT_FUNCTION).unwrap_or(-1)),
            };
            // A refusal by the header (class and code) names no function.
            if number(event, field::OT_EXCEPTION).is_some_and(|code| code > 0xff) && key.starts_with("func") {
                vec![key]
            } else {
                twice(event, key)
            }
        },
        files: 85,
        differ: &[],
    },
    Subject {
        name: "CIP services",
        truth: "cip_service",
        compared: |_| true,
        services: &["cip"],
        keys: |event| number(event, field::OT_FUNCTION).map_or_else(Vec::new, |f| twice(event, format!("0x{f:02x}"))),
        files: 7,
        differ: &[(
            "ics-enip/emre__specialCIP.pcap",
            "the file holds 232 messages of this service; tshark leaves out the first two behind gaps",
        )],
    },
    Subject {
        name: "OPC UA messages by type",
        truth: "opcua_service",
        compared: |_| true,
        services: &["opcua"],
        keys: |event| {
            let Some(request) = number(event, field::OT_FUNCTION) else { return Vec::new() };
            let answer = match request {
                _ if event.get(field::OT_EXCEPTION).is_some() => 397,
                12_208 | 12_211 => request + 1,
                _ => request + 3,
            };
            let answer = is(event, field::OT_DIRECTION, "both").then(|| answer.to_string());
            std::iter::once(request.to_string()).chain(answer).collect()
        },
        files: 25,
        differ: &[],
    },
    Subject {
        name: "BACnet services",
        truth: "bacnet_service",
        compared: |_| true,
        services: &["bacnet"],
        keys: |event| {
            const UNCONFIRMED: &[&str] = &[
                "i_am",
                "i_have",
                "unconfirmed_cov_notification",
                "unconfirmed_event_notification",
                "unconfirmed_private_transfer",
                "unconfirmed_text_message",
                "time_synchronization",
                "who_has",
                "who_is",
                "utc_time_synchronization",
            ];
            let (name, refusal) = (event.text(field::OT_FUNCTION_NAME), event.text(field::OT_EXCEPTION_NAME));
            match number(event, field::OT_FUNCTION) {
                // Functions of the link layer are no services.
                Some(_) if name.contains("_table") || name.contains("foreign_device") => Vec::new(),
                Some(service) if UNCONFIRMED.contains(&&*name) => vec![format!("u{service}")],
                // Rejections name no service.
                Some(service) if matches!(&*refusal, "reject" | "abort") => vec![format!("c{service}")],
                Some(service) => twice(event, format!("c{service}")),
                None => Vec::new(),
            }
        },
        files: 13,
        differ: &[
            ("ics-bacnet/arkime__bacnet-stack-services.pcap", TWICE),
            ("ics-bacnet/emre__bacnet-ip.pcap", TWICE),
            ("ics-bacnet/emre__bacnet-ethernet-device.pcap", NOT_IP),
            ("ics-bacnet/emre__bacnet-ethernet.pcap", NOT_IP),
            ("ics-bacnet/libpcap__bacnet-arcnet-linux.pcap", NOT_IP),
            ("pcapformat/libpcap__mstp_20140225214217.pcap", NOT_IP),
        ],
    },
    Subject {
        name: "GOOSE messages by control block",
        truth: "goose_gocbref",
        compared: |_| true,
        services: &["goose"],
        keys: |event| event.get(field::OT_OBJECTS).map(|v| v.to_text().into_owned()).into_iter().collect(),
        files: 10,
        differ: &[],
    },
];

const TWICE: &str =
    "tshark's field stands twice in unconfirmed messages, and it reads a datagram without a network layer: these are the file's";
const NOT_IP: &str = "BACnet straight on Ethernet (802.2), ARCNET or MS/TP is not read";

/// What the sensor told of a capture: counts by key, and anomalies by name.
fn seen(path: &Path, subject: &Subject) -> (Counts, Counts) {
    let (mut counts, mut anomalies) = (Counts::new(), Counts::new());
    let result = agent::sensor::net::replay::replay(path, &mut |_, event| {
        if let Some(name) = event.get(field::ANOMALY_NAME).and_then(Value::as_str) {
            *anomalies.entry(name.to_owned()).or_insert(0) += number(&event, field::COUNT).unwrap_or(1);
        }
        if is(&event, field::ANOMALY_NAME, "iec104_malformed") && subject.services.contains(&"iec104") {
            (subject.keys)(&event).into_iter().for_each(|key| *counts.entry(key).or_insert(0) += 1);
        }
        if event.source.category.as_deref() != Some("ot")
            || !subject.services.contains(&event.source.service.as_deref().unwrap_or_default())
        {
            return;
        }
        assert!(event.get(field::SRC_IP).or(event.get(field::SRC_MAC)).is_some() && event.get(field::OT_ACCESS).is_some(), "{event:?}");
        for key in (subject.keys)(&event) {
            *counts.entry(key).or_insert(0) += number(&event, field::COUNT).unwrap_or(1);
        }
    });
    result.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    anomalies.retain(|name, _| subject.services.iter().any(|s| name.starts_with(s)) || name.starts_with("enip"));
    (counts, anomalies)
}

/// Counts that are not the same: key, tshark's, ours.
fn differences(wanted: &Counts, met: &Counts) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = wanted.keys().chain(met.keys()).collect();
    let of = |counts: &Counts, key: &String| counts.get(key).copied().unwrap_or(0);
    let odd = keys.into_iter().filter(|k| of(wanted, k) != of(met, k));
    odd.map(|k| format!("{k}: {} / {}", of(wanted, k), of(met, k))).collect()
}

#[test]
fn control_protocols_are_read_as_tshark_reads_them() {
    let Some(truth) = corpus::lines("pcap/truth/tshark.jsonl.gz") else { return };
    let mut wrong = Vec::new();
    for subject in SUBJECTS {
        println!("\n{} (tshark / ours where they differ)", subject.name);
        let (mut files, mut same, mut all, mut met_all) = (0, 0, 0, 0);
        for row in &truth {
            let Some(counted) = row[subject.truth].as_object() else { continue };
            let file = row["file"].as_str().unwrap_or_default();
            let Some(path) = tests::data(&format!("pcap/{file}")) else { return };
            let wanted: Counts =
                counted.iter().filter(|(k, _)| (subject.compared)(k)).map(|(k, n)| (k.clone(), n.as_i64().unwrap_or(0))).collect();
            let (met, anomalies) = seen(&path, subject);
            let odd = differences(&wanted, &met);
            let why = subject.differ.iter().find(|(f, _)| *f == file).map(|(_, why)| *why);
            files += 1;
            same += usize::from(odd.is_empty());
            all += wanted.values().sum::<i64>();
            met_all += wanted.iter().map(|(k, n)| *n.min(met.get(k).unwrap_or(&0))).sum::<i64>();
            if !odd.is_empty() || !anomalies.is_empty() {
                println!("  {file:70} {} {anomalies:?} {}", odd.join(", "), why.unwrap_or_default());
            }
            // Whatever the counts, the functions met are the same.
            if !matches!(why, Some(NOT_IP | TWICE)) {
                assert_eq!(wanted.keys().collect::<Vec<_>>(), met.keys().collect::<Vec<_>>(), "{file}");
            }
            if odd.is_empty() == why.is_some() {
                wrong.push(format!("{file}: {}", odd.join(", ")));
            }
        }
        println!("  {same} of {files} files the same, {met_all} of {all} messages met");
        assert!(files >= subject.files, "{files} files");
    }
    assert!(wrong.is_empty(), "differences without a reason, or reasons without a difference:\n{}", wrong.join("\n"));
}
