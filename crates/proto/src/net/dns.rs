//! DNS (RFC 1035) over UDP and TCP, and multicast DNS (RFC 6762): one event a question asked, one a response.
//!
//! The reader is our own: it walks names and records in place, gives what stands before a defect, never follows more
//! than `JUMPS_MAX` compression pointers, and allocates nothing by a count that the message states about itself.
//! A query event carries the shape of the name (length, longest label, entropy); a response repeats the question and says how long it
//! took, and carries the shape only if its query was not seen, so that a rule about names does not count twice.

use std::net::{Ipv4Addr, Ipv6Addr};

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};

use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want, be16};

pub static DNS: Protocol = Protocol {
    name: "dns",
    about: "questions and answers, with the shape of the names",
    fields: &FIELDS,
    anomalies: &["dns_malformed", "dns_invalid_opcode"],
    probe,
    open: |carrier| Box::new(Dns { carrier, ..Dns::default() }),
};

/// Fields of its events.
pub(super) const FIELDS: [event::Field; 14] = [
    field::DURATION_MS,
    field::STATUS_ID,
    field::DNS_QUERY,
    field::DNS_TYPE,
    field::DNS_CLASS,
    field::DNS_ID,
    field::DNS_RCODE,
    field::DNS_RCODE_ID,
    field::DNS_ANSWERS,
    field::DNS_ANSWER_LEN,
    field::DNS_QUERY_LEN,
    field::DNS_LABEL_MAX,
    field::DNS_ENTROPY,
    field::DNS_DOMAIN,
];

const HEADER_BYTES: usize = 12;
const JUMPS_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 255;
const QUESTIONS_MAX: usize = 16;
const ANSWERS_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 65_535 + 2;
/// Query ids remembered to tell an answer from an answer alone.
const ASKED_MAX: usize = 32;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match carrier {
        Carrier::Udp => plausible(bytes, true),
        Carrier::Tcp => match be16(bytes, 0) {
            Some(len) if usize::from(len) > HEADER_BYTES => {
                let body = bytes.get(2..).unwrap_or_default();
                if body.len() < HEADER_BYTES {
                    // Enough for a first look keeps other protocols from being held back.
                    if body.len() >= 6 && plausible_head(body).is_none() { Probe::No } else { Probe::Maybe }
                } else {
                    plausible(body.get(..usize::from(len)).unwrap_or(body), body.len() >= usize::from(len))
                }
            }
            None => Probe::Maybe,
            Some(_) => Probe::No,
        },
    }
}

/// Opcodes that were ever given out (RFC 6895).
const fn known_opcode(flags: u16) -> bool {
    matches!(flags >> 11 & 15, 0 | 1 | 2 | 4 | 5 | 6)
}

/// (is a response, questions) if flags and count can be DNS's.
fn plausible_head(b: &[u8]) -> Option<(bool, u16)> {
    let (flags, questions) = (be16(b, 2)?, be16(b, 4)?);
    let response = flags & 0x8000 != 0;
    // An opcode that does not exist is taken for DNS only where all else is as plain as can be.
    let fits = if known_opcode(flags) { usize::from(questions) <= QUESTIONS_MAX } else { questions == 1 && flags & 0x0070 == 0 };
    (fits && (questions > 0 || response)).then_some((response, questions))
}

/// Looks like a DNS message whose first question (or first record) can be read.
fn plausible(b: &[u8], whole: bool) -> Probe {
    let Some((response, questions)) = plausible_head(b) else { return Probe::No };
    let (Some(answers), Some(authority), Some(additional)) = (be16(b, 6), be16(b, 8), be16(b, 10)) else {
        return if whole { Probe::No } else { Probe::Maybe };
    };
    let records = usize::from(answers) + usize::from(authority) + usize::from(additional);
    if whole && HEADER_BYTES + usize::from(questions) * 5 > b.len() {
        return Probe::No;
    }
    if (!response && usize::from(answers) + usize::from(authority) > 256) || records > 8192 {
        return Probe::No;
    }
    if whole && records == 0 && questions == 0 {
        // A refusal that repeats nothing of what was asked: its head, an error, and that is all.
        let refusal = b.len() == HEADER_BYTES && be16(b, 2).is_some_and(|flags| known_opcode(flags) && matches!(flags & 15, 1..=5));
        return if refusal { Probe::Yes } else { Probe::No };
    }
    let mut name = Name::default();
    let Some(at) = name.read(b, HEADER_BYTES) else { return if whole { Probe::No } else { Probe::Maybe } };
    let (Some(kind), Some(class)) = (be16(b, at), be16(b, at + 2)) else { return if whole { Probe::No } else { Probe::Maybe } };
    // NetBIOS names (RFC 1002) share the format: 32 letters A to P, type NB or NBSTAT.
    let netbios = matches!(kind, 0x20 | 0x21)
        && name.labels.first().is_some_and(|l| *l == 32)
        && name.text.bytes().take(32).all(|c| matches!(c, b'a'..=b'p'));
    let class_fits = matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255) || kind == 41;
    if be16(b, 2).is_some_and(|flags| !known_opcode(flags)) {
        let plain =
            name.text.contains(['.', '-']) && name.text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
        let whole = whole && records <= 4 && (records > 0 || b.len() == at + 4);
        return if plain && whole && class == 1 && kind != 0 { Probe::Yes } else { Probe::No };
    }
    if class_fits && kind != 0 && !netbios { Probe::Yes } else { Probe::No }
}

/// Reads messages one after another, and remembers what was asked.
pub(super) struct Dns {
    carrier: Carrier,
    held: [Held; 2],
    /// Bytes were missed.
    lost: [bool; 2],
    /// Id and time of what was asked last, at most `ASKED_MAX`; most flows ask once or twice.
    asked: Vec<(u16, Timestamp)>,
    asked_len: usize,
}

impl Default for Dns {
    fn default() -> Self {
        Self { carrier: Carrier::Udp, held: Default::default(), lost: [false; 2], asked: Vec::new(), asked_len: 0 }
    }
}

impl Parser for Dns {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        if self.carrier == Carrier::Udp {
            self.message(piece.bytes, piece.time, out);
            return Want::More;
        }
        let at = piece.side as usize;
        if piece.gap {
            self.held[at].clear();
            self.lost[at] = true;
        }
        // Where the next message starts is known again at a piece that begins with a whole one.
        if self.lost[at] && probe(Carrier::Tcp, piece.side, piece.bytes) != Probe::Yes {
            return Want::More;
        }
        self.lost[at] = false;
        if !self.held[at].add(piece.bytes, MESSAGE_BYTES_MAX) {
            return Want::Stop;
        }
        let mut held = std::mem::take(&mut self.held[at]);
        while let Some(len) = be16(held.bytes(), 0).map(usize::from) {
            let Some(message) = held.bytes().get(2..2 + len) else { break };
            self.message(message, piece.time, out);
            held.eat(2 + len);
        }
        self.held[at] = held;
        Want::More
    }

    fn end(&mut self, _: Timestamp, _: &mut dyn Emit) {}
}

/// A name being read: text as people write it, and the length of each label.
#[derive(Default)]
struct Name {
    text: String,
    labels: Vec<u8>,
    wire_bytes: usize,
}

/// Room for most names, so that it need not grow letter by letter.
const USUAL_BYTES: usize = 48;
const USUAL_LABELS: usize = 8;

impl Name {
    /// Reads the name at `at`; returns where it ends in the message. Text is lower case; a byte that is no printable
    /// ASCII becomes `\DDD`, a dot within a label `\.`.
    fn read(&mut self, message: &[u8], mut at: usize) -> Option<usize> {
        self.text.clear();
        self.labels.clear();
        self.text.reserve(USUAL_BYTES);
        self.labels.reserve(USUAL_LABELS);
        self.wire_bytes = 1;
        let mut end = None;
        let mut jumps = 0;
        loop {
            match *message.get(at)? {
                0 => return Some(end.unwrap_or(at + 1)),
                len @ 1..=63 => {
                    let label = message.get(at + 1..at + 1 + usize::from(len))?;
                    self.wire_bytes += label.len() + 1;
                    if self.wire_bytes > NAME_BYTES_MAX {
                        return None;
                    }
                    if !self.labels.is_empty() {
                        self.text.push('.');
                    }
                    self.labels.push(len);
                    let plain = label.iter().fold(true, |plain, b| plain & matches!(b, 0x20..=0x7e) & (*b != b'.'));
                    if let (true, Ok(plain)) = (plain, std::str::from_utf8(label)) {
                        let from = self.text.len();
                        self.text.push_str(plain);
                        if let Some(label) = self.text.get_mut(from..) {
                            label.make_ascii_lowercase();
                        }
                        at += 1 + usize::from(len);
                        continue;
                    }
                    for byte in label {
                        match byte {
                            b'.' => self.text.push_str("\\."),
                            0x20..=0x7e => self.text.push(char::from(byte.to_ascii_lowercase())),
                            _ => {
                                self.text.push('\\');
                                self.text.extend([byte / 100, byte / 10 % 10, byte % 10].map(|d| char::from(b'0' + d)));
                            }
                        }
                    }
                    at += 1 + usize::from(len);
                }
                0xc0.. => {
                    jumps += 1;
                    if jumps > JUMPS_MAX {
                        return None;
                    }
                    let target = usize::from(be16(message, at)? & 0x3fff);
                    end = end.or(Some(at + 2));
                    at = target;
                }
                _ => return None,
            }
        }
    }
}

impl Dns {
    /// One whole message.
    pub(super) fn message(&mut self, b: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let Some(head) = b.get(..HEADER_BYTES) else {
            return out.anomaly("dns_malformed", "shorter than its header", time);
        };
        let id = u16::from_be_bytes([head[0], head[1]]);
        let flags = u16::from_be_bytes([head[2], head[3]]);
        let response = flags & 0x8000 != 0;
        if !known_opcode(flags) {
            out.anomaly("dns_invalid_opcode", "an operation that does not exist", time);
        }
        let questions = usize::from(be16(head, 4).unwrap_or(0));
        let answers = usize::from(be16(head, 6).unwrap_or(0));
        let mut name = Name::default();
        let mut at = HEADER_BYTES;
        let mut defect = questions > QUESTIONS_MAX;
        let mut first = None;
        for n in 0..questions.min(QUESTIONS_MAX) {
            let read = name.read(b, at).and_then(|end| Some((end + 4, be16(b, end)?, be16(b, end + 2)?)));
            let Some((end, kind, class)) = read else {
                defect = true;
                break;
            };
            at = end;
            if !response {
                let mut event = new_event(time, 1, id);
                question(&mut event, &name, kind, class);
                shape(&mut event, &name);
                out.event(Class::Normal, event);
            } else if n == 0 {
                let mut event = new_event(time, 2, id);
                question(&mut event, &name, kind, class);
                if self.was_asked(id).is_none() {
                    shape(&mut event, &name);
                }
                first = Some(event);
            }
        }
        if response {
            let mut event = first.unwrap_or_else(|| new_event(time, 2, id));
            let rcode = (flags & 15) as u8;
            event.body.set(field::DNS_RCODE_ID, rcode);
            event.body.set(field::DNS_RCODE, rcode_name(rcode));
            event.body.set(field::STATUS_ID, if rcode == 0 { 1u8 } else { 2 });
            event.body.set_some(field::DURATION_MS, self.was_asked(id).map(|asked| time.since(asked).max(0) / 1_000_000));
            if !defect {
                defect = answer_section(b, at, answers, &mut event);
            }
            out.event(Class::Normal, event);
        } else {
            self.remember(id, time);
        }
        if defect {
            out.anomaly("dns_malformed", "a name or record cannot be read", time);
        }
    }

    fn remember(&mut self, id: u16, time: Timestamp) {
        match self.asked.get_mut(self.asked_len % ASKED_MAX) {
            Some(oldest) => *oldest = (id, time),
            None => self.asked.push((id, time)),
        }
        self.asked_len += 1;
    }

    /// When the question with this id was asked last.
    fn was_asked(&self, id: u16) -> Option<Timestamp> {
        self.asked.iter().filter(|(asked, _)| *asked == id).map(|(_, time)| *time).max()
    }
}

fn new_event(time: Timestamp, activity: u8, id: u16) -> Event {
    Event::new(time, Kind::DnsActivity, activity, LogSource::new("", "dns", "dns")).with(field::DNS_ID, id)
}

fn question(event: &mut Event, name: &Name, kind: u16, class: u16) {
    event.body.set(field::DNS_QUERY, name.text.as_str());
    event.body.set(field::DNS_TYPE, type_name(kind));
    // The top bit asks for a unicast answer (multicast DNS).
    event.body.set(field::DNS_CLASS, class_name(class & 0x7fff));
    event.body.set(field::DNS_DOMAIN, registered_domain(&name.text));
}

fn shape(event: &mut Event, name: &Name) {
    event.body.set(field::DNS_QUERY_LEN, name.text.len());
    event.body.set(field::DNS_LABEL_MAX, name.labels.iter().copied().max().unwrap_or(0));
    event.body.set(field::DNS_ENTROPY, entropy(name.text.as_bytes(), registered_domain(&name.text).len()));
}

/// Reads the answers into the event; true if the section has a defect.
fn answer_section(b: &[u8], mut at: usize, answers: usize, event: &mut Event) -> bool {
    let mut list = Vec::new();
    let mut total = 0u64;
    let mut name = Name::default();
    let mut defect = false;
    for n in 0..answers {
        let record = name.read(b, at).and_then(|end| Some((end + 10, be16(b, end)?, usize::from(be16(b, end + 8)?))));
        let Some((start, kind, len)) = record else {
            defect = true;
            break;
        };
        let Some(data) = b.get(start..start + len) else {
            defect = true;
            break;
        };
        if n == 0 && event.get(field::DNS_QUERY).is_none() {
            // Multicast DNS answers without a question: the record's owner is what it is about.
            event.body.set(field::DNS_QUERY, name.text.as_str());
            event.body.set(field::DNS_TYPE, type_name(kind));
            event.body.set(field::DNS_DOMAIN, registered_domain(&name.text));
        }
        total += len as u64;
        if list.len() < ANSWERS_MAX {
            list.push(rdata(b, start, data, kind, &mut name));
        }
        at = start + len;
    }
    if !list.is_empty() {
        event.body.set(field::DNS_ANSWERS, list);
        event.body.set(field::DNS_ANSWER_LEN, total);
    }
    defect
}

/// Record data as text; what is not known is `TYPE length`.
fn rdata(b: &[u8], start: usize, data: &[u8], kind: u16, name: &mut Name) -> Value {
    let mut host = |at: usize| name.read(b, at).map(|_| name.text.clone());
    let text = match kind {
        1 => <[u8; 4]>::try_from(data).ok().map(|a| Ipv4Addr::from(a).to_string()),
        28 => <[u8; 16]>::try_from(data).ok().map(|a| Ipv6Addr::from(a).to_string()),
        2 | 5 | 12 | 39 => host(start),
        15 => be16(data, 0).and_then(|p| Some(format!("{p} {}", host(start + 2)?))),
        33 => be16(data, 4).and_then(|port| Some(format!("{}:{port}", host(start + 6)?))),
        6 => host(start),
        16 => Some(strings(data)),
        _ => None,
    };
    Value::from(text.unwrap_or_else(|| format!("{} {} bytes", type_name(kind).to_text(), data.len())))
}

/// Character strings of a TXT record, joined.
fn strings(mut data: &[u8]) -> String {
    let mut out = String::new();
    while let [len, rest @ ..] = data {
        let (part, tail) = rest.split_at(usize::from(*len).min(rest.len()));
        out.push_str(&String::from_utf8_lossy(part));
        data = tail;
    }
    out
}

/// The last two labels of a name, three where the last is a country's and the one before it is short (`co.uk`,
/// `com.cn`): close to the registered domain without a list that ages.
pub fn registered_domain(name: &str) -> &str {
    let mut dots = memchr::memrchr_iter(b'.', name.as_bytes());
    let (Some(last), Some(second)) = (dots.next(), dots.next()) else { return name };
    let country = name.len() - last - 1 == 2 && !name.ends_with(".0");
    if country && last - second - 1 <= 3 {
        return dots.next().map_or(name, |third| &name[third + 1..]);
    }
    &name[second + 1..]
}

/// Shannon entropy, bits a byte, of a name without its last `tail` bytes and without dots.
fn entropy(name: &[u8], tail: usize) -> f64 {
    let head = &name[..name.len().saturating_sub(tail)];
    let mut counts = [0u32; 256];
    let mut total = 0u32;
    for byte in head.iter().filter(|b| **b != b'.') {
        counts[usize::from(*byte)] += 1;
        total += 1;
    }
    if total == 0 {
        return 0.0;
    }
    let sum: f64 = counts.iter().filter(|c| **c > 0).map(|c| f64::from(*c) / f64::from(total)).map(|p| -p * p.log2()).sum();
    // Three digits say enough, and the same everywhere.
    (sum * 1000.0).round() / 1000.0 + 0.0
}

/// Record types by number (IANA's registry), those met in practice.
const TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (10, "NULL"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (24, "SIG"),
    (25, "KEY"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (37, "CERT"),
    (39, "DNAME"),
    (41, "OPT"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
];

fn type_name(kind: u16) -> Value {
    match TYPES.iter().find(|(n, _)| *n == kind) {
        Some((_, name)) => Value::from(*name),
        None => Value::from(format!("TYPE{kind}")),
    }
}

/// Number of a record type as `dns.question.type` names it; `TYPE65399` for those without a name.
pub fn type_number(name: &str) -> Option<u16> {
    let known = TYPES.iter().find(|(_, n)| *n == name).map(|(number, _)| *number);
    known.or_else(|| name.strip_prefix("TYPE")?.parse().ok())
}

fn class_name(class: u16) -> Value {
    Value::from(match class {
        1 => "IN",
        3 => "CH",
        4 => "HS",
        254 => "NONE",
        255 => "ANY",
        other => return Value::from(format!("CLASS{other}")),
    })
}

fn rcode_name(rcode: u8) -> &'static str {
    match rcode {
        0 => "NoError",
        1 => "FormError",
        2 => "ServError",
        3 => "NXDomain",
        4 => "NotImp",
        5 => "Refused",
        6 => "YXDomain",
        7 => "YXRRSet",
        8 => "NXRRSet",
        9 => "NotAuth",
        10 => "NotZone",
        _ => "Reserved",
    }
}

#[cfg(test)]
mod tests;
