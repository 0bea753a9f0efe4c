//! SMB, NTLM, Kerberos, FTP, MQTT and DHCP of public captures against tshark's counts, and log-ins, mails, searches and calls against the logs
//! that Zeek's own tests expect.
//!
//! Each table says how many values the truth has and how many of them were met; a file that differs stands there with the reason, and one
//! without a reason fails. Files that agree are not printed.

use std::collections::BTreeMap;
use std::path::Path;

use event::{Event, Field, Kind, Value, field};

use crate::sigma::corpus;

type Counts = BTreeMap<String, i64>;

fn number(event: &Event, field: Field) -> Option<i64> {
    event.get(field).and_then(Value::as_int)
}

fn text(event: &Event, field: Field) -> String {
    event.text(field).into_owned()
}

fn is(event: &Event, service: &str, command: &str) -> bool {
    event.source.service.as_deref() == Some(service) && event.text(field::COMMAND) == command
}

/// Words and counts of a session: `create 12`.
fn words(event: &Event) -> Vec<(String, i64)> {
    let Some(Value::List(list)) = event.get(field::COMMANDS) else { return Vec::new() };
    let pairs = list.iter().filter_map(|v| v.as_str()?.rsplit_once(' '));
    pairs.map(|(word, n)| (word.to_owned(), n.parse().unwrap_or(0))).collect()
}

/// One field of tshark's truth.
struct Counted {
    name: &'static str,
    truth: &'static str,
    /// Key of the truth as ours is written; nothing if it is not compared.
    rename: fn(&str) -> Option<String>,
    ours: fn(&Event) -> Vec<(String, i64)>,
    files: usize,
    /// Least share of values met.
    floor: f64,
    differ: &'static [(&'static str, &'static str)],
}

static COUNTED: &[Counted] = &[
    Counted {
        name: "SMB commands",
        truth: "smb_cmd",
        rename: |key| {
            let (version, code) = key.split_once(':')?;
            // The mark of an AndX chain's end is no command.
            if key == "1:0xff" {
                return None;
            }
            let code = code.strip_prefix("0x").map_or_else(|| code.parse().ok(), |hex| u16::from_str_radix(hex, 16).ok())?;
            Some(proto::net::smb::command_name(version.parse().ok()?, code).to_owned())
        },
        ours: |event| if is(event, "smb", "session") { words(event) } else { Vec::new() },
        files: 60,
        floor: 0.994,
        differ: &[
            ("ics-61850/iti__Sample_File_MMS_and_GOOSE.pcap", NOT_IP),
            ("robust/tcpdump__ipx.pcap", NOT_IP),
            (
                "attack-exploit/malcolm__eternalblue-success-unpatched-win7.pcap",
                "41 connections of the exploit open with a negotiation of SMB 2 that is cut short, which tshark calls data; one part more behind a gap",
            ),
            ("attack-exploit/pcapattack__CVE-2020-0796_SMBGhost_PrivEsc_Loopback_traffic.pcapng", MORE),
            ("proto-smb-ad/ws__smb311-aes-128-ccm.pcap", MORE),
            ("proto-smb-ad/ws__smb311-aes-128-gcm.pcap", MORE),
            ("proto-smb-ad/ws__smb311-aes-256-gcm.pcap", MORE),
            ("pcapformat/ws__smb311-chained-patternv1-lznt1.pcapng", "compressed messages are not unpacked"),
            ("proto-smb-ad/zeek__smb1-logoff-andx-no-advance.pcap", "a chain that names itself as its next command is followed once"),
        ],
    },
    Counted {
        name: "NTLM users",
        truth: "ntlm_users",
        rename: |key| Some(if key == "NULL" { "ANONYMOUS LOGON".to_owned() } else { key.to_owned() }),
        ours: |event| {
            let ntlm = event.source.category.as_deref() == Some("authentication") && event.text(field::AUTH_PROTOCOL) == "NTLM";
            if ntlm && event.get(field::USER_NAME).is_some() { vec![(text(event, field::USER_NAME), 1)] } else { Vec::new() }
        },
        files: 29,
        floor: 0.98,
        differ: &[
            (
                "attack-exploit/malcolm__doublepulsar-backdoor-connect-win7.pcap",
                "a session set-up of old, without NTLMSSP, names nobody: a log-in here",
            ),
            ("encap/zeek__erspan.pcap", TUNNEL),
        ],
    },
    Counted {
        name: "Kerberos messages",
        truth: "krb_msg",
        rename: |key| matches!(key, "10" | "11" | "12" | "13" | "30").then(|| key.to_owned()),
        ours: |event| {
            let command = text(event, field::COMMAND);
            if event.source.service.as_deref() != Some("kerberos") {
                return Vec::new();
            }
            let refused = event.get(field::KRB_ERROR).is_some();
            let keys: &[&str] = match command.as_str() {
                "as" if refused => &["10", "30"],
                "as" => &["10", "11"],
                "tgs" if refused => &["12", "30"],
                "tgs" => &["12", "13"],
                "as_req" => &["10"],
                "tgs_req" => &["12"],
                "as_rep" => &["11"],
                "tgs_rep" => &["13"],
                _ => &["30"],
            };
            keys.iter().map(|k| ((*k).to_owned(), 1)).collect()
        },
        files: 22,
        floor: 0.99,
        differ: &[],
    },
    Counted {
        name: "FTP commands",
        truth: "ftp_cmd",
        rename: |key| Some(key.to_ascii_uppercase().chars().take(8).collect()),
        ours: |event| if is(event, "ftp", "session") { words(event) } else { Vec::new() },
        files: 24,
        floor: 0.99,
        differ: &[
            ("proto-other/sv__ftp-quit__input.pcap", "one word by which no protocol can be told"),
            ("proto-other/sv__bug-8489-01.pcap", "a command repeated in a segment that overlaps: tshark reads it once"),
        ],
    },
    Counted {
        name: "MQTT messages",
        truth: "mqtt_msgtype",
        rename: |key| Some(proto::net::mqtt::name(key.parse().ok()?).to_owned()),
        ours: |event| if is(event, "mqtt", "session") { words(event) } else { Vec::new() },
        files: 23,
        floor: 0.978,
        differ: &[("iot-mqtt/sv__mqtt-midstream-split.pcap", MIDSTREAM), ("iot-mqtt/sv__mqtt-ping__input.pcap", MIDSTREAM)],
    },
    Counted {
        name: "DHCP messages",
        truth: "dhcp_type",
        rename: |key| {
            const NAMES: [&str; 14] = [
                "",
                "discover",
                "offer",
                "request",
                "decline",
                "ack",
                "nak",
                "release",
                "inform",
                "force_renew",
                "lease_query",
                "lease_unassigned",
                "lease_unknown",
                "lease_active",
            ];
            Some(key.parse().ok().and_then(|n: usize| NAMES.get(n)).copied().unwrap_or("other").to_owned())
        },
        ours: |event| {
            if event.source.service.as_deref() != Some("dhcp") {
                return Vec::new();
            }
            vec![(text(event, field::COMMAND), number(event, field::COUNT).unwrap_or(1))]
        },
        files: 37,
        floor: 0.99,
        differ: &[
            ("pcapformat/gopacket__test012.pcapng", "frames cut behind the message type: tshark leaves them out"),
            ("pcapformat/gopacket__test901.pcapng", "a damaged file, of which more is read here"),
            ("attack-lab/lab_dev.pcap", "the file holds both; tshark takes the second for the scan it is"),
        ],
    },
];

const NOT_IP: &str = "NetBIOS without IP (IPX, LLC) is not read";
const MORE: &str = "nothing is missing: what is encrypted or compressed is counted as such besides";
const TUNNEL: &str = "inside a tunnel";
const OPENED: &str = "Zeek logs a file once; here each opening counts";
const MIDSTREAM: &str = "joined in the middle of a connection: no message there says that it is MQTT; tshark goes by the port";

/// Everything the sensor says of a capture.
fn heard(path: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    let result = agent::sensor::net::replay::replay(path, &mut |_, event| events.push(event));
    result.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    events
}

/// Compares two counts and writes down what differs: (truths, met, differences as key: truth / ours).
fn compare(wanted: &Counts, met: &Counts) -> (i64, i64, Vec<String>) {
    let of = |counts: &Counts, key: &String| counts.get(key).copied().unwrap_or(0);
    let keys: std::collections::BTreeSet<&String> = wanted.keys().chain(met.keys()).collect();
    let odd = keys.iter().filter(|k| of(wanted, k) != of(met, k)).map(|k| format!("{k}: {} / {}", of(wanted, k), of(met, k))).collect();
    (wanted.values().sum(), wanted.iter().map(|(k, n)| *n.min(&of(met, k))).sum(), odd)
}

/// Adds a file to a table; what differs without a reason, or has a reason without a difference, is wrong.
struct Table {
    name: &'static str,
    differ: &'static [(&'static str, &'static str)],
    files: usize,
    truths: i64,
    met: i64,
    wrong: Vec<String>,
}

impl Table {
    fn new(name: &'static str, differ: &'static [(&'static str, &'static str)]) -> Self {
        println!("\n{name} (truth / ours where they differ)");
        Self { name, differ, files: 0, truths: 0, met: 0, wrong: Vec::new() }
    }

    fn file(&mut self, file: &str, wanted: &Counts, met: &Counts) {
        let (truths, same, odd) = compare(wanted, met);
        self.files += 1;
        self.truths += truths;
        self.met += same;
        let why = self.differ.iter().find(|(f, _)| *f == file).map(|(_, why)| *why);
        if !odd.is_empty() {
            println!("  {file:60} {} {}", odd.join(", "), why.unwrap_or("(no reason known)"));
        }
        // What is inside a tunnel may be read one day.
        if odd.is_empty() == why.is_some() && why != Some(TUNNEL) {
            self.wrong.push(format!("{}: {file}: {}", self.name, odd.join(", ")));
        }
    }

    fn end(self, files: usize, floor: f64, wrong: &mut Vec<String>) {
        let share = self.met as f64 / self.truths.max(1) as f64;
        println!("  {} of {} values met in {} files, {:.2} %", self.met, self.truths, self.files, share * 100.0);
        wrong.extend(self.wrong);
        if share < floor || self.files < files {
            wrong.push(format!("{}: {share:.4} of {} files, floor {floor} of {files}", self.name, self.files));
        }
    }
}

#[test]
fn log_ins_and_sessions_are_read_as_tshark_reads_them() {
    let Some(truth) = corpus::lines("pcap/truth/tshark.jsonl.gz") else { return };
    let mut wrong = Vec::new();
    for subject in COUNTED {
        let mut table = Table::new(subject.name, subject.differ);
        for row in &truth {
            let Some(counted) = row[subject.truth].as_object() else { continue };
            let file = row["file"].as_str().unwrap_or_default();
            let Some(path) = tests::data(&format!("pcap/{file}")) else { return };
            let (mut wanted, mut met) = (Counts::new(), Counts::new());
            for (key, n) in counted {
                if let Some(key) = (subject.rename)(key) {
                    *wanted.entry(key).or_default() += n.as_i64().unwrap_or(0);
                }
            }
            heard(&path).iter().flat_map(subject.ours).for_each(|(key, n)| *met.entry(key).or_default() += n);
            table.file(file, &wanted, &met);
        }
        table.end(subject.files, subject.floor, &mut wrong);
    }
    assert!(wrong.is_empty(), "differences without a reason, reasons without a difference, or ground lost:\n{}", wrong.join("\n"));
}

/// The cell of a row of a log, by its column.
type Cell<'a> = dyn Fn(&str) -> String + 'a;

/// One log of Zeek.
struct Logged {
    name: &'static str,
    log: &'static str,
    /// Key of a row; nothing if the row is not compared.
    theirs: fn(&Cell<'_>) -> Option<String>,
    ours: fn(&Event) -> Vec<String>,
    files: usize,
    floor: f64,
    differ: &'static [(&'static str, &'static str)],
}

fn outcome(event: &Event) -> &'static str {
    match number(event, field::STATUS_ID) {
        Some(1) => "T",
        Some(2) => "F",
        _ => "-",
    }
}

/// A value as Zeek writes it: `-` where there is none.
fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn is_login(event: &Event, service: &str) -> bool {
    event.kind == Kind::Authentication && event.source.service.as_deref() == Some(service)
}

static LOGGED: &[Logged] = &[
    Logged {
        name: "Zeek ftp.log: log-ins",
        log: "ftp.log",
        theirs: |row| (row("command") == "PASS").then(|| format!("{} {}", row("user"), row("reply_code"))),
        ours: |event| {
            let told = is_login(event, "ftp") && event.get(field::IS_CLEARTEXT).is_some();
            told.then(|| format!("{} {}", text(event, field::USER_NAME), text(event, field::REPLY_CODE))).into_iter().collect()
        },
        files: 5,
        floor: 1.0,
        differ: &[("proto-other/zeek__ipv4.pcap", "a log-in that succeeds is not in the log unless Zeek is told to log PASS")],
    },
    Logged {
        name: "Zeek smtp.log: greeting, sender, first receiver, last reply",
        log: "smtp.log",
        theirs: |row| Some(format!("{} {} {} {}", row("helo"), row("mailfrom"), row("rcptto"), row("last_reply"))),
        ours: |event| {
            if !is(event, "smtp", "message") {
                return Vec::new();
            }
            let reply = format!("{} {}", text(event, field::REPLY_CODE), text(event, field::STATUS_DETAIL));
            let f = |f| or_dash(text(event, f));
            vec![format!("{} {} {} {}", f(field::MAIL_HELO), f(field::MAIL_FROM), f(field::MAIL_TO), or_dash(reply.trim().to_owned()))]
        },
        files: 7,
        floor: 0.92,
        differ: &[(
            "proto-other/zeek__smtp-bdat-gap.pcap",
            "bytes of the message are missing: where it ends, and which reply is about it, cannot be seen",
        )],
    },
    Logged {
        name: "Zeek mysql.log: log-ins",
        log: "mysql.log",
        theirs: |row| (row("cmd") == "login").then(|| format!("{} {}", row("arg"), row("success"))),
        ours: |event| {
            let told = is_login(event, "mysql") && event.get(field::USER_NAME).is_some();
            told.then(|| format!("{} {}", text(event, field::USER_NAME), outcome(event))).into_iter().collect()
        },
        files: 9,
        floor: 1.0,
        differ: &[],
    },
    Logged {
        name: "Zeek rdp.log: cookie, security, client",
        log: "rdp.log",
        theirs: |row| {
            let cookie = row("cookie").replace("\\\\", "\\").replace("(empty)", "-");
            Some(format!("{} {} {}", cookie.trim(), row("security_protocol"), row("client_name")))
        },
        ours: |event| {
            if event.source.service.as_deref() != Some("rdp") {
                return Vec::new();
            }
            let security = match &*event.text(field::RDP_SECURITY) {
                "rdp" => "RDP",
                "tls" => "SSL",
                "nla" => "HYBRID",
                "nla_early" => "HYBRID_EX",
                _ => "-",
            };
            let f = |f| or_dash(text(event, f));
            vec![format!("{} {security} {}", f(field::RDP_COOKIE), f(field::SRC_HOSTNAME))]
        },
        files: 4,
        floor: 1.0,
        differ: &[],
    },
    Logged {
        name: "Zeek ntlm.log: user, domain, server, outcome",
        log: "ntlm.log",
        theirs: |row| {
            (row("username") != "-").then(|| format!("{} {} {}", row("username"), row("domainname"), row("server_dns_computer_name")))
        },
        ours: |event| {
            if event.kind != Kind::Authentication || event.text(field::AUTH_PROTOCOL) != "NTLM" {
                return Vec::new();
            }
            let f = |f| or_dash(text(event, f));
            vec![format!("{} {} {}", f(field::USER_NAME), f(field::USER_DOMAIN), f(field::NTLM_SERVER))]
        },
        files: 3,
        floor: 0.0,
        differ: &[("pcapformat/zeek__dce_rpc_ntlm.pcapng", "Zeek reads the server only; the user is in the binding that is altered")],
    },
    Logged {
        name: "Zeek kerberos.log: request, client, service, outcome, error, cipher",
        log: "kerberos.log",
        theirs: |row| {
            let f = |name: &str| row(name);
            Some(format!("{} {} {} {} {} {}", f("request_type"), f("client"), f("service"), f("success"), f("error_msg"), f("cipher")))
        },
        ours: |event| {
            let request = match &*event.text(field::COMMAND) {
                "as" => "AS",
                "tgs" => "TGS",
                _ => return Vec::new(),
            };
            let f = |f| or_dash(text(event, f));
            let client = format!("{}/{}", text(event, field::USER_NAME), text(event, field::USER_DOMAIN));
            vec![format!(
                "{request} {client} {} {} {} {}",
                f(field::KRB_SERVICE),
                outcome(event),
                f(field::STATUS_DETAIL),
                f(field::KRB_ETYPE)
            )]
        },
        files: 2,
        floor: 1.0,
        differ: &[],
    },
    Logged {
        name: "Zeek ldap_search.log: base, filter",
        log: "ldap_search.log",
        theirs: |row| Some(format!("{} {}", row("base_object"), row("filter"))),
        ours: |event| {
            if !is(event, "ldap", "search") {
                return Vec::new();
            }
            let key = format!("{} {}", or_dash(text(event, field::LDAP_BASE)), text(event, field::LDAP_FILTER));
            vec![key; usize::try_from(number(event, field::COUNT).unwrap_or(1)).unwrap_or(1)]
        },
        files: 3,
        floor: 1.0,
        differ: &[],
    },
    Logged {
        name: "Zeek ldap.log: log-ins and their results",
        log: "ldap.log",
        theirs: |row| row("opcode").starts_with("bind").then(|| row("result")).filter(|r| !r.contains("in progress")),
        ours: |event| {
            if !is_login(event, "ldap") {
                return Vec::new();
            }
            // One that ends in the middle is told here with an outcome nobody knows.
            let code = number(event, field::REPLY_CODE);
            code.map(|c| if c == 0 { "success".to_owned() } else { text(event, field::STATUS_DETAIL) }).into_iter().collect()
        },
        files: 7,
        floor: 1.0,
        differ: &[],
    },
    Logged {
        name: "Zeek redis.log: commands",
        log: "redis.log",
        theirs: |row| Some(row("cmd.name").to_ascii_uppercase()),
        ours: |event| {
            if !is(event, "redis", "session") {
                return Vec::new();
            }
            words(event).into_iter().flat_map(|(word, n)| vec![word; usize::try_from(n).unwrap_or(0)]).collect()
        },
        files: 7,
        floor: 0.73,
        differ: &[
            ("proto-db/zeek__attr.pcap", "commands typed without RESP: too like anything to be told by"),
            ("proto-db/zeek__pipeline-quotes.pcap", "commands typed without RESP: too like anything to be told by"),
        ],
    },
    Logged {
        name: "Zeek rfb.log: security, outcome",
        log: "rfb.log",
        theirs: |row| Some(format!("{} {}", row("authentication_method").to_lowercase(), row("auth"))),
        ours: |event| {
            if !is_login(event, "vnc") {
                return Vec::new();
            }
            vec![format!("{} {}", text(event, field::VNC_SECURITY), outcome(event))]
        },
        files: 2,
        floor: 1.0,
        differ: &[],
    },
    Logged {
        name: "Zeek smb_files.log: files opened, written, deleted, renamed",
        log: "smb_files.log",
        theirs: |row| {
            let action = row("action");
            let action = action.strip_prefix("SMB::FILE_").filter(|a| matches!(*a, "OPEN" | "DELETE" | "RENAME"))?;
            Some(format!("{} {}", action.to_lowercase(), row("name").replace("\\\\", "\\").replace("<share_root>", "-")))
        },
        ours: |event| {
            let command = match &*event.text(field::COMMAND) {
                "open" | "create" => "open",
                "delete" => "delete",
                "rename" => "rename",
                _ => return Vec::new(),
            };
            if event.source.service.as_deref() != Some("smb") || number(event, field::STATUS_ID) != Some(1) {
                return Vec::new();
            }
            let key = format!("{command} {}", or_dash(text(event, field::FILE_PATH)));
            vec![key; usize::try_from(number(event, field::COUNT).unwrap_or(1)).unwrap_or(1)]
        },
        files: 3,
        floor: 1.0,
        differ: &[
            ("proto-smb-ad/zeek__smb1.pcap", OPENED),
            ("proto-smb-ad/zeek__smb2.delete-on-close-perms-delete-existing.pcap", OPENED),
            ("proto-smb-ad/zeek__smb2readwrite.pcap", OPENED),
        ],
    },
    Logged {
        name: "Zeek dce_rpc.log: operations",
        log: "dce_rpc.log",
        theirs: |row| Some(format!("{} {}", row("endpoint"), row("operation"))),
        ours: |event| {
            if !is(event, "dce_rpc", "call") {
                return Vec::new();
            }
            let key = format!("{} {}", text(event, field::RPC_INTERFACE), text(event, field::RPC_OPERATION));
            vec![key; usize::try_from(number(event, field::COUNT).unwrap_or(1)).unwrap_or(1)]
        },
        files: 1,
        floor: 1.0,
        differ: &[],
    },
    Logged {
        name: "Zeek dhcp.log: client, host name, address given",
        log: "dhcp.log",
        theirs: |row| {
            let types = row("msg_types");
            Some(format!(
                "{} {} {}",
                row("mac"),
                row("host_name"),
                if types.contains("ACK") && !types.contains("INFORM") { row("assigned_addr") } else { "-".to_owned() }
            ))
        },
        ours: |event| {
            if event.source.service.as_deref() != Some("dhcp") || !matches!(&*event.text(field::COMMAND), "discover" | "ack") {
                return Vec::new();
            }
            let given = if is(event, "dhcp", "ack") { or_dash(text(event, field::DHCP_ADDRESS)) } else { "-".to_owned() };
            let key = format!("{} {} {given}", text(event, field::DHCP_MAC), or_dash(text(event, field::SRC_HOSTNAME)));
            vec![key; usize::try_from(number(event, field::COUNT).unwrap_or(1)).unwrap_or(1)]
        },
        files: 3,
        floor: 1.0,
        differ: &[],
    },
    Logged {
        name: "Zeek snmp.log: version, questions",
        log: "snmp.log",
        theirs: |row| {
            Some(format!(
                "{} {}",
                row("version"),
                row("get_requests").parse::<i64>().unwrap_or(0) + row("get_bulk_requests").parse::<i64>().unwrap_or(0)
            ))
        },
        ours: |event| {
            if event.source.service.as_deref() != Some("snmp") || !event.text(field::COMMAND).contains("get_") {
                return Vec::new();
            }
            vec![format!("{} {}", text(event, field::SNMP_VERSION), number(event, field::COUNT).unwrap_or(1))]
        },
        files: 1,
        floor: 1.0,
        differ: &[("proto-other/zeek__snmpv3_get_next.pcap", "the question by which the engine is found is one too")],
    },
];

/// Rows of a log of Zeek: each a look-up by column.
fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut columns: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty()) {
        if let Some(names) = line.strip_prefix("#fields\t") {
            columns = names.split('\t').collect();
        } else if !line.starts_with('#') {
            if columns.is_empty() {
                columns = line.split('\t').collect();
                continue;
            }
            rows.push(columns.iter().map(|c| (*c).to_owned()).zip(line.split('\t').map(str::to_owned)).collect());
        }
    }
    rows
}

#[test]
fn log_ins_and_sessions_are_told_as_zeek_logs_them() {
    let Some(truth) = corpus::lines("pcap/truth/repo_truth.jsonl.gz") else { return };
    let mut wrong = Vec::new();
    for subject in LOGGED {
        let mut table = Table::new(subject.name, subject.differ);
        let mut done: Vec<&str> = Vec::new();
        for row in &truth {
            let (file, source) = (row["file"].as_str().unwrap_or_default(), row["source"].as_str().unwrap_or_default());
            let log = source.rsplit('/').next().unwrap_or_default();
            // Some baselines show what limits leave of a log; the first whole one of a capture is compared.
            let limited = ["-max-", "prevent-large", "disable-analyzer"].iter().any(|w| source.contains(w));
            if row["kind"].as_str() != Some("zeek") || log != subject.log || limited || done.contains(&file) {
                continue;
            }
            done.push(file);
            let Some(path) = tests::data(&format!("pcap/{file}")) else { return };
            let (mut wanted, mut met) = (Counts::new(), Counts::new());
            for row in rows(row["text"].as_str().unwrap_or_default()) {
                let column = |name: &str| row.get(name).cloned().unwrap_or_else(|| "-".to_owned());
                if let Some(key) = (subject.theirs)(&column) {
                    *wanted.entry(key).or_default() += 1;
                }
            }
            heard(&path).iter().flat_map(subject.ours).for_each(|key| *met.entry(key).or_default() += 1);
            table.file(file, &wanted, &met);
        }
        table.end(subject.files, subject.floor, &mut wrong);
    }
    assert!(wrong.is_empty(), "differences without a reason, reasons without a difference, or ground lost:\n{}", wrong.join("\n"));
}
