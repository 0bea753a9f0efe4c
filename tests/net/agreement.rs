//! Every real capture through the pipeline, compared with tshark's reading and with the flow table of the data set.
//!
//! The table that is printed says, a field: how many truths there are, how many were met exactly, and why the others were
//! not. Each floor below is what was reached when it was written, rounded down; a change that loses ground fails here.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;

use agent::sensor::net::{PipelineConfig, replay_with};
use event::{Event, Value, field};
use flate2::read::GzDecoder;
use proto::net::dns::type_number;
use serde_json::Value as Json;

use super::explained::{named, shown};

pub(super) type Counter = BTreeMap<String, i64>;
/// Lower end first; ports 0 where there are none.
type Ends = (IpAddr, u16, IpAddr, u16);

/// What the pipeline says of one capture.
#[derive(Default)]
struct Heard {
    /// (protocol, ends) → packets and bytes from the lower end, packets and bytes from the upper end, Community IDs.
    flows: HashMap<(String, Ends), ([i64; 4], Vec<String>)>,
    dns: Counter,
    dns_answers: Counter,
    sni: Counter,
    ja3: Counter,
    http: Counter,
    http_answers: Counter,
    ssh: Counter,
    /// Packets found inside tunnels, by kind.
    tunnels: Counter,
    frames: u64,
    other: u64,
}

fn int(event: &Event, f: event::Field) -> i64 {
    event.get(f).and_then(Value::as_int).unwrap_or(0)
}

fn ends(a: (IpAddr, u16), b: (IpAddr, u16)) -> (Ends, bool) {
    if a <= b { ((a.0, a.1, b.0, b.1), false) } else { ((b.0, b.1, a.0, a.1), true) }
}

fn listen(path: &Path) -> Result<Heard, String> {
    let mut heard = Heard::default();
    // No sampling here: floods must be compared whole.
    let config = PipelineConfig { records_per_second: u32::MAX, ..PipelineConfig::default() };
    let stats = replay_with(path, config, &mut |_, event| heard.take(&event)).map_err(|e| e.to_string())?;
    (heard.frames, heard.other) = (stats.pipeline.frames, stats.pipeline.other);
    Ok(heard)
}

impl Heard {
    fn take(&mut self, event: &Event) {
        match event.source.service.as_deref() {
            Some("flow") => self.flow(event),
            Some("dns") if event.activity == 1 => {
                let name = shown(&event.text(field::DNS_QUERY));
                *self.dns.entry(format!("{}|{}", root(&name), type_number(&event.text(field::DNS_TYPE)).unwrap_or(0))).or_default() += 1;
            }
            Some("dns") => *self.dns_answers.entry(int(event, field::DNS_RCODE_ID).to_string()).or_default() += 1,
            Some("tls" | "quic") => {
                for (counts, field) in [(&mut self.sni, field::TLS_SNI), (&mut self.ja3, field::TLS_JA3)] {
                    if let Some(value) = event.get(field) {
                        *counts.entry(value.to_text().into_owned()).or_default() += 1;
                    }
                }
            }
            Some("ssh") if event.get(field::SERVICE_NAME).is_none() => {
                for value in [field::SSH_CLIENT, field::SSH_SERVER].into_iter().filter_map(|f| event.get(f)) {
                    *self.ssh.entry(value.to_text().into_owned()).or_default() += 1;
                }
            }
            // The truth knows no HTTP/2 requests: those are compared with its own reading beside this test.
            Some("http") if event.text(field::HTTP_VERSION) == "2" => {}
            Some("http") if event.get(field::HTTP_METHOD).is_some() => {
                let text = |f| event.text(f).into_owned();
                let url: String = text(field::HTTP_URL).chars().take(URL_CHARS).collect();
                let key = format!("{} {} {url}", text(field::HTTP_METHOD), text(field::HTTP_HOST));
                *self.http.entry(key).or_default() += 1;
                if event.get(field::HTTP_STATUS).is_some() {
                    *self.http_answers.entry(int(event, field::HTTP_STATUS).to_string()).or_default() += 1;
                }
            }
            Some("http") => *self.http_answers.entry(int(event, field::HTTP_STATUS).to_string()).or_default() += 1,
            _ => {}
        }
    }

    fn flow(&mut self, event: &Event) {
        // The truth knows the outermost packets only.
        if event.get(field::TUNNEL_TYPE).is_some() {
            *self.tunnels.entry(event.text(field::TUNNEL_TYPE).into_owned()).or_default() += int(event, field::PACKETS);
            return;
        }
        let ip = |f| event.get(f).and_then(Value::as_ip);
        let (Some(src), Some(dst)) = (ip(field::SRC_IP), ip(field::DST_IP)) else { return };
        let (sp, dp) = (int(event, field::SRC_PORT) as u16, int(event, field::DST_PORT) as u16);
        let number = int(event, field::PROTOCOL_NUM);
        let ports = event.get(field::SRC_PORT).is_some();
        let name = match (number, ports) {
            (6, true) => "tcp".to_owned(),
            (17, true) => "udp".to_owned(),
            (132, true) => "sctp".to_owned(),
            (1, false) if event.get(field::ICMP_TYPE).is_some() => "icmp".to_owned(),
            (58, false) if event.get(field::ICMP_TYPE).is_some() => "icmpv6".to_owned(),
            (n, _) => format!("ip{n}"),
        };
        // DCCP and UDP-Lite have ports here and none in the truth.
        let (sp, dp) = if matches!(name.as_str(), "tcp" | "udp" | "sctp") { (sp, dp) } else { (0, 0) };
        let (key, swapped) = ends((src, sp), (dst, dp));
        let out = [int(event, field::PACKETS_OUT), int(event, field::BYTES_OUT)];
        let back = [int(event, field::PACKETS_IN), int(event, field::BYTES_IN)];
        let counts = if swapped { [back[0], back[1], out[0], out[1]] } else { [out[0], out[1], back[0], back[1]] };
        let (sums, ids) = self.flows.entry((name, key)).or_default();
        for (sum, n) in sums.iter_mut().zip(counts) {
            *sum += n;
        }
        let id = event.text(field::COMMUNITY_ID).into_owned();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
}

/// The truth writes the root's empty name so.
fn root(name: &str) -> &str {
    if name.is_empty() { "<root>" } else { name }
}

/// One line of the printed table.
#[derive(Default)]
pub(super) struct Row {
    pub(super) truths: i64,
    pub(super) met: i64,
    /// Why a truth was not met → how many.
    misses: BTreeMap<&'static str, i64>,
    /// Said by the pipeline and not by the truth.
    extra: i64,
    examples: Vec<String>,
}

impl Row {
    pub(super) fn share(&self) -> f64 {
        if self.truths == 0 { 1.0 } else { self.met as f64 / self.truths as f64 }
    }

    /// Share of the truths met, without those a named reason explains.
    pub(super) fn own_share(&self) -> f64 {
        let other = self.misses.get("other").copied().unwrap_or(0);
        if self.met + other == 0 { 1.0 } else { self.met as f64 / (self.met + other) as f64 }
    }

    pub(super) fn miss(&mut self, why: &'static str, n: i64, example: impl FnOnce() -> String) {
        let count = self.misses.entry(why).or_default();
        *count += n;
        if *count <= 400 && std::env::var_os("VEDETTE_AGREEMENT_EXAMPLES").is_some() {
            self.examples.push(format!("{why}: {}", example()));
        }
    }

    pub(super) fn compare(&mut self, file: &str, truth: &Counter, heard: &Counter, why: impl Fn(&str) -> &'static str) {
        for (key, n) in truth {
            let met = (*n).min(heard.get(key).copied().unwrap_or(0));
            self.truths += n;
            self.met += met;
            if met < *n {
                self.miss(why(key), n - met, || format!("{file} {key} {met}/{n}"));
            }
        }
        for (key, n) in heard {
            let over = n - truth.get(key).copied().unwrap_or(0);
            if over > 0 {
                self.extra += over;
                if std::env::var_os("VEDETTE_AGREEMENT_EXAMPLES").is_some() {
                    self.examples.push(format!("extra: {file} {key} +{over}"));
                }
            }
        }
    }
}

fn counter(json: &Json, key: &str, fold: impl Fn(&str) -> Option<String>) -> Counter {
    let mut out = Counter::new();
    for (name, n) in json.get(key).and_then(Json::as_object).into_iter().flatten() {
        if let Some(name) = fold(name) {
            *out.entry(name).or_default() += n.as_i64().unwrap_or(0);
        }
    }
    out
}

pub(super) fn lines(path: &Path) -> impl Iterator<Item = String> {
    BufReader::new(GzDecoder::new(std::fs::File::open(path).expect("the truth opens"))).lines().map_while(Result::ok)
}

/// Truth of the flow table: file → (protocol, ends) → counts and Community ID.
type FlowTruth = HashMap<String, HashMap<(String, Ends), ([i64; 4], String)>>;

fn flow_truth(path: &Path) -> FlowTruth {
    let mut out = FlowTruth::new();
    for line in lines(path).skip(1) {
        let c: Vec<&str> = line.split('\t').collect();
        let [file, proto, ip_a, port_a, ip_b, port_b, pa, ba, pb, bb, rest @ ..] = c.as_slice() else { continue };
        let (Ok(a), Ok(b)) = (ip_a.parse::<IpAddr>(), ip_b.parse::<IpAddr>()) else { continue };
        let port = |p: &str| p.parse().unwrap_or(0);
        let n = |p: &str| p.parse().unwrap_or(0);
        let (key, swapped) = ends((a, port(port_a)), (b, port(port_b)));
        let counts = if swapped { [n(pb), n(bb), n(pa), n(ba)] } else { [n(pa), n(ba), n(pb), n(bb)] };
        let id = rest.first().copied().unwrap_or("").to_owned();
        out.entry((*file).to_owned()).or_default().insert(((*proto).to_owned(), key), (counts, id));
    }
    out
}

/// The truth cuts a target here.
const URL_CHARS: usize = 200;

/// `METHOD host target` as the truth counts them. Several requests in one frame are one entry there, joined by `;`.
fn web_requests(json: &Json) -> Counter {
    let mut out = Counter::new();
    for (key, n) in counter(json, "http_requests", |s| Some(s.to_owned())) {
        let parts: Vec<Vec<&str>> = key.splitn(3, ' ').map(|p| p.split(';').collect()).collect();
        let count = parts.first().map_or(1, Vec::len);
        if let [methods, hosts, targets] = &parts[..]
            && count > 1
            && parts.iter().all(|p| p.len() == count)
        {
            for ((method, host), target) in methods.iter().zip(hosts).zip(targets) {
                *out.entry(format!("{method} {host} {target}")).or_default() += n;
            }
        } else if !key.starts_with("M-SEARCH ") && !key.starts_with("NOTIFY ") {
            // SSDP is HTTP over UDP and multicast: not a web request.
            *out.entry(key).or_default() += n;
        }
    }
    out
}

/// Status codes as the truth counts them, several in one frame taken apart. SSDP's are HTTP over UDP, and not web answers.
fn web_answers(json: &Json) -> Counter {
    let mut out = Counter::new();
    for (key, n) in counter(json, "http_status", |s| Some(s.to_owned())) {
        for status in key.split(';') {
            *out.entry(status.to_owned()).or_default() += n;
        }
    }
    out
}

/// What tshark reads within an ICMP error is not counted here: it was said once already.
const QUOTED: &str = "quoted in an ICMP error (the truth takes the quote for a packet)";

const TUNNELS: &[&str] = &["gre", "vxlan", "gtp", "teredo", "erspan", "geneve", "etherip", "l2tp", "6in4", "ipip"];

/// Why tshark may know what the pipeline does not, by what else it saw in the file.
fn reason(file: &str, json: &Json, heard: &Heard) -> &'static str {
    let leaf = |names: &[&str]| {
        json.get("leaf_protocols").and_then(Json::as_object).is_some_and(|o| o.keys().any(|k| names.contains(&k.as_str())))
    };
    if heard.frames > 0 && heard.other == heard.frames {
        "a link type that is not read (ARCnet, nflog, frame relay, …)"
    } else if file.contains("tracepcap__week") {
        "synthetic frames whose sequence numbers no stack would accept"
    } else if file.starts_with("encap/") || json.get("gre_proto").is_some() || json.get("vxlan_vni").is_some() || leaf(TUNNELS) {
        "inside a tunnel (the truth writes ports of the inside under addresses of the outside)"
    } else if file.starts_with("frag-") {
        "in fragments (the truth counts the last one, not the first, under the packet put together)"
    } else if json.get("malformed_frames").and_then(Json::as_i64).unwrap_or(0) > 0 {
        "tshark itself calls frames of the file malformed"
    } else {
        "other"
    }
}

/// The table, and with `VEDETTE_AGREEMENT_EXAMPLES` what was missed.
pub(super) fn print(rows: &BTreeMap<&str, Row>) {
    println!("{:<28} {:>8} {:>8} {:>9} {:>11} {:>7}", "field", "truths", "met", "share", "unexplained", "extra");
    for (name, row) in rows {
        let unexplained = (1.0 - row.own_share()) * 100.0;
        println!("{name:<28} {:>8} {:>8} {:>8.3}% {unexplained:>10.3}% {:>7}", row.truths, row.met, row.share() * 100.0, row.extra);
        for (why, n) in &row.misses {
            println!("    {n:>6} {why}");
        }
        for example in &row.examples {
            println!("        {example}");
        }
    }
}

#[test]
fn every_capture_agrees_with_tshark_as_far_as_it_did() {
    let (Some(root), Some(tshark), Some(flows)) =
        (tests::data("pcap"), tests::data("pcap/truth/tshark.jsonl.gz"), tests::data("pcap/truth/flows.tsv.gz"))
    else {
        return;
    };
    let flow_truth = flow_truth(&flows);
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut captures = 0;
    let mut tunnels = Counter::new();
    for line in lines(&tshark) {
        let json: Json = serde_json::from_str(&line).expect("the truth is JSON");
        let file = json["file"].as_str().expect("a file name").to_owned();
        captures += 1;
        let heard = match listen(&root.join(&file)) {
            Ok(heard) => heard,
            Err(e) => {
                let n = json["packets"].as_i64().unwrap_or(0);
                let row = rows.entry("frames").or_default();
                row.truths += n;
                row.miss("the file cannot be opened", n, || e);
                continue;
            }
        };
        for (kind, n) in &heard.tunnels {
            *tunnels.entry(kind.clone()).or_default() += n;
        }
        let why = reason(&file, &json, &heard);
        let frames = rows.entry("frames").or_default();
        let truth = json["packets"].as_i64().unwrap_or(0);
        frames.truths += truth;
        frames.met += truth.min(heard.frames as i64);
        if truth > heard.frames as i64 {
            frames.miss("behind a defect of the file", truth - heard.frames as i64, || file.clone());
        }

        let quotes = json.get("icmp_types").and_then(Json::as_object).is_some_and(|o| {
            o.keys().any(|k| {
                ["4:3:", "4:4:", "4:5:", "4:11:", "4:12:", "6:1:", "6:2:", "6:3:", "6:4:"].iter().any(|e| format!("{k}:").starts_with(e))
            })
        });
        let empty = HashMap::new();
        let truth = flow_truth.get(&file).unwrap_or(&empty);
        for ((proto, key), (counts, id)) in truth {
            let (packets, bytes) = ([counts[0], counts[2]], [counts[1], counts[3]]);
            let found = heard.flows.get(&(proto.clone(), *key));
            let row = rows.entry("flow packets").or_default();
            row.truths += 1;
            let met = found.is_some_and(|(c, _)| [c[0], c[2]] == packets);
            row.met += i64::from(met);
            let flow_why = || match proto.as_str() {
                _ if found.is_none() && quotes => QUOTED,
                "ip51" => "under an authentication header (here under the protocol it carries)",
                "ip44" => "IPv6 fragments (here under the protocol they carry)",
                _ if bytes.iter().zip(packets).any(|(b, p)| *b > p * 70_000) => "lengths on the wire that are lies (clamped here)",
                _ => why,
            };
            if !met {
                row.miss(flow_why(), 1, || format!("{file} {proto} {key:?} truth {counts:?} heard {found:?}"));
            }
            let row = rows.entry("flow bytes").or_default();
            row.truths += 1;
            let met = found.is_some_and(|(c, _)| [c[1], c[3]] == bytes);
            row.met += i64::from(met);
            if !met {
                row.miss(flow_why(), 1, || format!("{file} {proto} {key:?} truth {counts:?} heard {found:?}"));
            }
            if !id.is_empty() {
                let row = rows.entry("community id").or_default();
                row.truths += 1;
                let met = found.is_some_and(|(_, ids)| ids.contains(id));
                row.met += i64::from(met);
                if !met {
                    row.miss(flow_why(), 1, || format!("{file} {proto} {key:?} {id} heard {found:?}"));
                }
            }
        }
        rows.entry("flow packets").or_default().extra += heard.flows.keys().filter(|k| !truth.contains_key(*k)).count() as i64;

        let lower = |s: &str| Some(s.to_ascii_lowercase());
        let trimmed = |s: &str| Some(s.trim_end().to_owned());
        let name = |s: &str| Some(shown(&s.to_ascii_lowercase()));
        let mut compare = |row: &'static str, truth: Counter, heard: &Counter| {
            let whys = |key: &str| named(row, &file, key).unwrap_or(if quotes && why == "other" { QUOTED } else { why });
            rows.entry(row).or_default().compare(&file, &truth, heard, whys);
        };
        compare("dns queries", counter(&json, "dns_queries", name), &heard.dns);
        compare("dns answers", counter(&json, "dns_rcodes", lower), &heard.dns_answers);
        compare("tls sni", counter(&json, "tls_sni", lower), &heard.sni);
        compare("tls ja3", counter(&json, "ja3", lower), &heard.ja3);
        compare("ssh banners", counter(&json, "ssh_banners", trimmed), &heard.ssh);
        if json.get("http_requests_distinct").is_none() {
            compare("http requests", web_requests(&json), &heard.http);
            compare("http answers", web_answers(&json), &heard.http_answers);
        }
    }
    println!("{captures} captures; packets inside tunnels: {tunnels:?}");
    print(&rows);
    for (name, floor, own_floor) in FLOORS {
        let (share, own) = rows.get(name).map_or((0.0, 0.0), |r| (r.share(), r.own_share()));
        assert!(share >= *floor, "{name}: {share:.5} of all truths met is below the floor {floor}");
        assert!(own >= *own_floor, "{name}: {own:.5} of the truths without a named reason is below the floor {own_floor}");
    }
}

/// (field, least share of all truths, least share of those that no named reason explains). What "other" holds at the time
/// of writing: packets the truth takes from quotes or source routes, first fragments that tshark books under the packet it put together.
const FLOORS: &[(&str, f64, f64)] = &[
    ("frames", 0.9999, 1.0),
    ("flow packets", 0.992, 0.999),
    ("flow bytes", 0.991, 0.999),
    ("community id", 0.993, 0.999),
    ("dns queries", 0.984, 1.0),
    ("dns answers", 0.982, 1.0),
    ("tls sni", 0.996, 1.0),
    ("tls ja3", 0.991, 1.0),
    ("http requests", 0.761, 1.0),
    ("http answers", 0.966, 1.0),
    ("ssh banners", 1.0, 1.0),
];
