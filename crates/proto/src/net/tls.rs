//! TLS handshakes (RFC 8446, 5246): what the client asked for and the server chose, as one event a handshake.
//!
//! Records and handshake messages are put together across TCP segments and across records. The event goes out when the
//! server has chosen (TLS 1.3), has shown its certificate (earlier), or has said nothing for two seconds. JA3 and JA4 name
//! the client's software; JA4's siblings (JA4S and so on) are under another licence and are left out on purpose.
//! Limits: `HANDSHAKE_BYTES_MAX` a side; a longer handshake is told as far as it was read.

use event::{Class, Event, Kind, LogSource, SECOND_NS, Timestamp, Value, field};
use sha2::{Digest, Sha256};
use tls_parser::{TlsCipherSuite, parse_tls_handshake_client_hello, parse_tls_handshake_server_hello};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::md5::{hex, md5_hex};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want, be16, be24};

pub static TLS: Protocol = Protocol {
    name: "tls",
    about: "server name, versions, cipher, client fingerprints, certificate",
    fields: &[
        field::STATUS_ID,
        field::TLS_SNI,
        field::TLS_VERSION,
        field::TLS_CIPHER,
        field::TLS_ALPN,
        field::TLS_JA3,
        field::TLS_JA4,
        field::TLS_CERT_SUBJECT,
        field::TLS_CERT_ISSUER,
        field::TLS_CERT_EXPIRES,
    ],
    anomalies: &["tls_malformed", "tls_handshake_too_long"],
    probe,
    open: |_| Box::new(Tls::default()),
};

const HANDSHAKE_BYTES_MAX: usize = 64 << 10;
const RECORD_BYTES_MAX: usize = 16_384 + 2_048;
const ANSWER_WAIT_NS: i64 = 2 * SECOND_NS;
const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;
/// Random of a ServerHello that asks for another ClientHello (RFC 8446, 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
    0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

fn probe(carrier: Carrier, _: Side, b: &[u8]) -> Probe {
    if carrier == Carrier::Udp {
        return Probe::No;
    }
    let fits = [
        |b: u8| b == HANDSHAKE,
        |b: u8| b == 3,
        |b: u8| b <= 4,
        |b: u8| usize::from(b) <= RECORD_BYTES_MAX >> 8,
        |_| true,
        |b: u8| matches!(b, 1 | 2),
    ];
    if !b.iter().zip(fits).all(|(b, fit)| fit(*b)) {
        Probe::No
    } else if b.len() < fits.len() {
        Probe::Maybe
    } else {
        Probe::Yes
    }
}

#[derive(Default)]
struct Tls {
    records: [Held; 2],
    messages: [Held; 2],
    client: Option<Client>,
    server: Option<Server>,
    certificate: Option<Certificate>,
    first: Option<Timestamp>,
    told: bool,
    /// Sides that speak in a cipher now.
    ciphered: [bool; 2],
}

/// What a ClientHello says.
#[derive(Debug, Default)]
struct Client {
    sni: Option<String>,
    alpn: Option<String>,
    version: u16,
    ja3: String,
    ja4: String,
}

struct Server {
    version: u16,
    cipher: u16,
}

struct Certificate {
    subject: String,
    issuer: String,
    not_after: i64,
}

impl Parser for Tls {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        self.first.get_or_insert(piece.time);
        if piece.gap || !self.records[at].add(piece.bytes, RECORD_BYTES_MAX * 4) {
            // Where the next record starts is no longer known on this side.
            if !piece.gap {
                out.anomaly("tls_handshake_too_long", "records do not end", piece.time);
            }
            self.ciphered[at] = true;
            self.records[at].clear();
        }
        let mut held = std::mem::take(&mut self.records[at]);
        while !self.ciphered[at] {
            let b = held.bytes();
            let (Some(kind), Some(major), Some(len)) = (b.first().copied(), b.get(1).copied(), be16(b, 3).map(usize::from)) else { break };
            if !matches!(kind, CHANGE_CIPHER..=24) || major != 3 || len > RECORD_BYTES_MAX {
                out.anomaly("tls_malformed", "a record header makes no sense", piece.time);
                self.ciphered[at] = true;
                break;
            }
            let Some(body) = b.get(5..5 + len) else { break };
            match kind {
                HANDSHAKE => {
                    if !self.messages[at].add(body, HANDSHAKE_BYTES_MAX) {
                        out.anomaly("tls_handshake_too_long", "handshake messages do not end", piece.time);
                        self.ciphered[at] = true;
                    }
                    self.read_messages(at, piece.time, out);
                }
                ALERT => {}
                // From here on it is encrypted (in TLS 1.3 the server's certificate is, too).
                CHANGE_CIPHER | APPLICATION => self.ciphered[at] = true,
                _ => {}
            }
            held.eat(5 + len);
        }
        if !self.ciphered[at] {
            self.records[at] = held;
        }
        let chosen = self.server.is_some();
        let modern = self.server.as_ref().is_some_and(|s| s.version >= 0x0304);
        if (chosen && (modern || self.certificate.is_some() || self.ciphered.iter().any(|c| *c))) || self.ciphered == [true; 2] {
            self.tell(piece.time, out);
        }
        match (self.told, self.client.is_some()) {
            (true, _) => Want::Stop,
            (false, true) => Want::Wake,
            (false, false) => Want::More,
        }
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        // A clock that was set back is no reason to wait longer.
        if self.first.is_some_and(|first| !(0..ANSWER_WAIT_NS).contains(&now.since(first))) {
            self.tell(now, out);
        }
        if self.told { Want::Stop } else { Want::Wake }
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        self.tell(now, out);
    }
}

impl Tls {
    fn read_messages(&mut self, at: usize, time: Timestamp, out: &mut dyn Emit) {
        let mut held = std::mem::take(&mut self.messages[at]);
        while let (Some(kind), Some(len)) = (held.bytes().first().copied(), be24(held.bytes(), 1)) {
            if len > HANDSHAKE_BYTES_MAX {
                out.anomaly("tls_malformed", "a handshake message claims more than 64 KiB", time);
                self.ciphered[at] = true;
                return;
            }
            let Some(body) = held.bytes().get(4..4 + len) else { break };
            let read = match kind {
                1 if self.client.is_none() => client_hello(body).map(|c| self.client = Some(c)),
                2 => server_hello(body).map(|s| {
                    if let Some(server) = s {
                        self.server = Some(server);
                    }
                }),
                11 if self.certificate.is_none() => {
                    self.certificate = first_certificate(body);
                    Some(())
                }
                _ => Some(()),
            };
            if read.is_none() {
                out.anomaly("tls_malformed", "a hello cannot be read", time);
            }
            held.eat(4 + len);
        }
        self.messages[at] = held;
    }

    /// Says what is known, once.
    fn tell(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.told || (self.client.is_none() && self.server.is_none()) {
            return;
        }
        self.told = true;
        let mut event = Event::new(now, Kind::NetworkActivity, 6, LogSource::new("", "tls", "tls"));
        let body = &mut event.body;
        let mut version = None;
        if let Some(client) = &mut self.client {
            body.set_some(field::TLS_SNI, client.sni.take());
            body.set_some(field::TLS_ALPN, client.alpn.take());
            body.set(field::TLS_JA3, std::mem::take(&mut client.ja3));
            body.set(field::TLS_JA4, std::mem::take(&mut client.ja4));
            version = Some(client.version);
        }
        if let Some(server) = &self.server {
            let name = TlsCipherSuite::from_id(server.cipher).map(|c| c.name);
            body.set(field::TLS_CIPHER, name.map_or_else(|| Value::from(format!("0x{:04x}", server.cipher)), Value::from));
            version = Some(server.version);
        }
        body.set_some(field::TLS_VERSION, version.map(version_name));
        body.set(field::STATUS_ID, if self.server.is_some() { 1u8 } else { 2 });
        if let Some(certificate) = self.certificate.take() {
            body.set(field::TLS_CERT_SUBJECT, certificate.subject);
            body.set(field::TLS_CERT_ISSUER, certificate.issuer);
            body.set(field::TLS_CERT_EXPIRES, certificate.not_after);
        }
        out.event(Class::Normal, event);
    }
}

fn version_name(version: u16) -> Value {
    match version {
        0x0300 => Value::from("SSLv3"),
        0x0301 => Value::from("TLS 1.0"),
        0x0302 => Value::from("TLS 1.1"),
        0x0303 => Value::from("TLS 1.2"),
        0x0304 => Value::from("TLS 1.3"),
        other => Value::from(format!("0x{other:04x}")),
    }
}

/// Values that clients send only to keep servers tolerant (RFC 8701).
const fn grease(v: u16) -> bool {
    v & 0x0f0f == 0x0a0a && v >> 8 == v & 0xff
}

/// (type, body) of each extension that is whole.
fn extensions(mut b: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, len) = (be16(b, 0)?, usize::from(be16(b, 2)?));
        let body = b.get(4..4 + len)?;
        b = &b[4 + len..];
        Some((kind, body))
    })
}

fn words(b: &[u8]) -> impl Iterator<Item = u16> + '_ {
    b.chunks_exact(2).map(|w| u16::from_be_bytes([w[0], w[1]]))
}

fn client_hello(body: &[u8]) -> Option<Client> {
    let (_, hello) = parse_tls_handshake_client_hello(body).ok()?;
    let ciphers: Vec<u16> = hello.ciphers.iter().map(|c| c.0).filter(|c| !grease(*c)).collect();
    let mut client = Client { version: hello.version.0, ..Client::default() };
    let mut kinds = Vec::new();
    let (mut groups, mut points, mut algorithms) = (Vec::new(), Vec::new(), Vec::new());
    let mut alpn_raw: &[u8] = &[];
    let mut newest = None;
    for (kind, b) in extensions(hello.ext.unwrap_or_default()).take(256) {
        if grease(kind) {
            continue;
        }
        kinds.push(kind);
        match kind {
            0 => {
                // server_name_list: length, then (type, length, name); type 0 is a host name
                if b.get(2) == Some(&0)
                    && let Some(len) = be16(b, 3)
                    && let Some(name) = b.get(5..5 + usize::from(len))
                {
                    client.sni = Some(String::from_utf8_lossy(name).to_ascii_lowercase());
                }
            }
            10 => groups = words(b.get(2..).unwrap_or_default()).filter(|g| !grease(*g)).collect(),
            11 => points = b.get(1..).unwrap_or_default().to_vec(),
            13 => algorithms = words(b.get(2..).unwrap_or_default()).filter(|a| !grease(*a)).collect(),
            16 => {
                if let Some(len) = b.get(2)
                    && let Some(name) = b.get(3..3 + usize::from(*len))
                {
                    alpn_raw = name;
                    client.alpn = Some(String::from_utf8_lossy(name).into_owned());
                }
            }
            43 => newest = words(b.get(1..).unwrap_or_default()).filter(|v| !grease(*v)).max(),
            _ => {}
        }
    }
    let join = |list: &mut dyn Iterator<Item = u64>| list.map(|n| n.to_string()).collect::<Vec<_>>().join("-");
    let ja3 = format!(
        "{},{},{},{},{}",
        hello.version.0,
        join(&mut ciphers.iter().map(|c| u64::from(*c))),
        join(&mut kinds.iter().map(|k| u64::from(*k))),
        join(&mut groups.iter().map(|g| u64::from(*g))),
        join(&mut points.iter().map(|p| u64::from(*p))),
    );
    client.ja3 = md5_hex(ja3.as_bytes());
    client.version = newest.unwrap_or(hello.version.0);
    client.ja4 = ja4(client.version, client.sni.is_some(), &ciphers, &kinds, alpn_raw, &algorithms);
    Some(client)
}

/// JA4 over TCP (FoxIO, BSD-3-Clause).
fn ja4(version: u16, sni: bool, ciphers: &[u16], kinds: &[u16], alpn: &[u8], algorithms: &[u16]) -> String {
    let version = match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    };
    let (first, last) = match alpn {
        [] => ('0', '0'),
        [f, .., l] | [f @ l] if f.is_ascii_alphanumeric() && l.is_ascii_alphanumeric() => (char::from(*f), char::from(*l)),
        [f, .., l] | [f @ l] => {
            let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
            (digit(f >> 4), digit(l & 15))
        }
    };
    let list = |items: &[u16]| items.iter().map(|c| format!("{c:04x}")).collect::<Vec<_>>().join(",");
    let short = |text: &str| if text.is_empty() { "000000000000".to_owned() } else { hex(&Sha256::digest(text)[..6]) };
    let mut sorted = ciphers.to_vec();
    sorted.sort_unstable();
    let mut rest: Vec<u16> = kinds.iter().copied().filter(|k| !matches!(k, 0 | 16)).collect();
    rest.sort_unstable();
    let mut tail = list(&rest);
    if !algorithms.is_empty() && !tail.is_empty() {
        tail = format!("{tail}_{}", list(algorithms));
    }
    format!(
        "t{version}{}{:02}{:02}{first}{last}_{}_{}",
        if sni { 'd' } else { 'i' },
        ciphers.len().min(99),
        kinds.len().min(99),
        short(&list(&sorted)),
        short(&tail)
    )
}

/// `Some(None)` for a hello that only asks for another one.
fn server_hello(body: &[u8]) -> Option<Option<Server>> {
    let (_, hello) = parse_tls_handshake_server_hello(body).ok()?;
    if hello.random == RETRY_RANDOM {
        return Some(None);
    }
    let chosen = extensions(hello.ext.unwrap_or_default()).find(|(kind, _)| *kind == 43).and_then(|(_, b)| be16(b, 0));
    Some(Some(Server { version: chosen.unwrap_or(hello.version.0), cipher: hello.cipher.0 }))
}

/// The server's own certificate: the first of the list (TLS 1.2 and earlier).
fn first_certificate(body: &[u8]) -> Option<Certificate> {
    let len = be24(body, 3)?;
    let (_, certificate) = X509Certificate::from_der(body.get(6..6 + len)?).ok()?;
    Some(Certificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_after: certificate.validity().not_after.timestamp().saturating_mul(1000),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Seen, piece, talk};
    use super::*;

    fn ext(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat()
    }

    fn hello(kind: u8, ciphers: &[u8], exts: &[Vec<u8>]) -> Vec<u8> {
        let exts = exts.concat();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        if kind == 1 {
            body.extend((ciphers.len() as u16).to_be_bytes());
        }
        body.extend_from_slice(ciphers);
        body.extend(if kind == 1 { &[1u8, 0][..] } else { &[0] });
        body.extend((exts.len() as u16).to_be_bytes());
        body.extend(exts);
        let mut message = vec![kind, 0];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        message
    }

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 1][..], &(body.len() as u16).to_be_bytes(), body].concat()
    }

    fn client() -> Vec<u8> {
        hello(
            1,
            &[0x0a, 0x0a, 0x13, 0x01, 0xc0, 0x2f],
            &[
                ext(0x1a1a, &[]),
                ext(0, &[0, 14, 0, 0, 11, b'E', b'x', b'a', b'm', b'p', b'l', b'e', b'.', b'o', b'r', b'g']),
                ext(10, &[0, 4, 0x2a, 0x2a, 0, 29]),
                ext(11, &[1, 0]),
                ext(13, &[0, 4, 4, 3, 8, 4]),
                ext(16, &[0, 12, 2, b'h', b'2', 8, b'h', b't', b't', b'p', b'/', b'1', b'.', b'1']),
                ext(43, &[4, 3, 4, 3, 3]),
            ],
        )
    }

    #[test]
    fn a_modern_handshake_across_records_and_segments() {
        let message = client();
        let split = [record(HANDSHAKE, &message[..50]), record(HANDSHAKE, &message[50..])].concat();
        let server = record(HANDSHAKE, &hello(2, &[0x13, 0x01], &[ext(43, &[3, 4])]));
        let ja3 = md5_hex(b"771,4865-49199,0-10-11-13-16-43,29,0");
        for step in [1, 5, 6, 51, 9000] {
            let said = talk(Carrier::Tcp, step, &[(Side::Originator, &split), (Side::Responder, &server)]);
            assert_eq!(said.len(), 1, "{step} {said:?}");
            assert!(said[0].starts_with(&format!("tls/6 tls.sni=example.org tls.alpn=h2 tls.ja3_hash.value={ja3} tls.ja4=t13d0206h2_")));
            assert!(said[0].ends_with("tls.cipher=TLS_AES_128_GCM_SHA256 tls.version=TLS 1.3 status_id=1"), "{}", said[0]);
        }
    }

    /// The worked example of the JA4 specification.
    #[test]
    fn ja4_of_the_specification() {
        let ciphers =
            [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035];
        let kinds = [
            0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
        ];
        let algorithms = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];
        assert_eq!(ja4(0x0304, true, &ciphers, &kinds, b"h2", &algorithms), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn an_unanswered_hello_is_told_after_two_seconds() {
        let (mut tls, mut seen) = (Tls::default(), Seen::default());
        let bytes = record(HANDSHAKE, &client());
        assert_eq!(tls.feed(piece(Side::Originator, &bytes, 0), &mut seen), Want::Wake);
        assert_eq!(tls.wake(Timestamp::from_ms(1000), &mut seen), Want::Wake);
        assert!(seen.0.is_empty());
        assert_eq!(tls.wake(Timestamp::from_ms(2000), &mut seen), Want::Stop);
        assert!(seen.0[0].ends_with("tls.version=TLS 1.3 status_id=2"), "{:?}", seen.0);
    }

    #[test]
    fn an_earlier_version_waits_for_the_certificate_or_its_end() {
        let server = record(HANDSHAKE, &hello(2, &[0xc0, 0x2f], &[]));
        let done = record(CHANGE_CIPHER, &[1]);
        let said =
            talk(Carrier::Tcp, 11, &[(Side::Originator, &record(HANDSHAKE, &client())), (Side::Responder, &[server, done].concat())]);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("tls.cipher=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 tls.version=TLS 1.2"), "{}", said[0]);
    }

    #[test]
    fn nonsense_after_the_first_record_is_named() {
        let bytes = [record(HANDSHAKE, &client()), vec![99; 40]].concat();
        let said = talk(Carrier::Tcp, 1000, &[(Side::Originator, &bytes)]);
        assert!(said[0].starts_with("anomaly tls_malformed") && said[1].starts_with("tls/6"), "{said:?}");
    }
}
