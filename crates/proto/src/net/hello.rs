//! The hellos of a TLS handshake, whatever carries them (TCP records, QUIC CRYPTO frames): what they say and the client's fingerprints.
//!
//! JA3 (MD5 of the versions, ciphers, extensions, groups and point formats as sent), JA4 and JA4_o (FoxIO, BSD-3-Clause) name the
//! client's software. JA4's siblings (JA4S, JA4H, JA4X, JA4SSH and so on) are under another licence and are left out on purpose.
//! Limits: a hello comes whole and bounded from its carrier; extensions past `EXTENSIONS_MAX` are not looked at; names are cut at
//! `NAME_BYTES_MAX`.

use event::{Event, Field, Value, field};
use sha2::{Digest, Sha256};
use tls_parser::{TlsCipherSuite, parse_tls_handshake_client_hello, parse_tls_handshake_server_hello};

use super::certificate::Certificate;
use super::md5::{hex, md5_hex};
use super::{be16, be24, wording};

const EXTENSIONS_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 255;
/// Hellos remembered besides the last.
const EARLIER_MAX: usize = 2;
/// Random of a ServerHello that asks for another ClientHello (RFC 8446, 4.1.3).
pub(super) const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
    0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What carries the hello: the first letter of JA4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Tcp,
    Quic,
}

/// What a ClientHello says.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub sni: Option<String>,
    pub alpn: Option<String>,
    /// Newest version offered.
    pub version: u16,
    pub ja3: String,
    pub ja4: String,
    pub ja4_original: String,
}

/// What a ServerHello chose.
#[derive(Debug)]
pub(super) struct Server {
    pub version: u16,
    pub cipher: u16,
    pub alpn: Option<String>,
}

/// What has been read of one handshake.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    pub client: Option<Client>,
    /// ClientHellos before the one that counted: the server asked for another, or the client repeated itself.
    earlier: Vec<Client>,
    pub server: Option<Server>,
    pub certificate: Option<Certificate>,
}

/// Fields that `Handshake::tell` sets.
pub(super) const FIELDS: [Field; 20] = [
    field::STATUS_ID,
    field::STATUS_DETAIL,
    field::TLS_SNI,
    field::TLS_VERSION,
    field::TLS_CIPHER,
    field::TLS_ALPN,
    field::TLS_ALPN_CHOSEN,
    field::TLS_JA3,
    field::TLS_JA4,
    field::TLS_JA4_O,
    field::TLS_CERT_SUBJECT,
    field::TLS_CERT_ISSUER,
    field::TLS_CERT_BEGINS,
    field::TLS_CERT_EXPIRES,
    field::TLS_CERT_SANS,
    field::TLS_CERT_SERIAL,
    field::TLS_CERT_SHA256,
    field::TLS_CERT_SELF_SIGNED,
    field::TLS_CERT_CHAIN,
    field::TLS_CERT_KEY,
];

impl Handshake {
    pub(super) const fn is_empty(&self) -> bool {
        self.client.is_none() && self.server.is_none()
    }

    /// Takes one handshake message; says what of it cannot be read.
    pub(super) fn message(&mut self, kind: u8, body: &[u8], over: Over) -> Result<(), &'static str> {
        let whole = match kind {
            1 if self.earlier.len() < EARLIER_MAX => {
                let read = client_hello(body, over);
                let whole = read.is_some();
                if whole {
                    self.earlier.extend(std::mem::replace(&mut self.client, read));
                }
                whole
            }
            2 => match server_hello(body) {
                Some(server) => {
                    self.server = server.or(self.server.take());
                    true
                }
                None => false,
            },
            11 if self.certificate.is_none() => {
                self.certificate = Certificate::first_of(body);
                // A list without any is allowed.
                return if self.certificate.is_some() || be24(body, 0) == Some(0) { Ok(()) } else { Err("a certificate cannot be read") };
            }
            _ => true,
        };
        if whole { Ok(()) } else { Err("a hello cannot be read") }
    }

    /// Tells what is known: hellos that had to be said again each as an event, then the handshake.
    pub(super) fn tell(&mut self, blank: &Event, out: &mut dyn FnMut(Event)) {
        for mut earlier in std::mem::take(&mut self.earlier) {
            let mut event = blank.clone();
            earlier.describe(&mut event);
            event.body.set(field::TLS_VERSION, version_name(earlier.version));
            event.body.set(field::STATUS_ID, 2u8);
            event.body.set(field::STATUS_DETAIL, "client_hello_repeated");
            out(event);
        }
        let mut event = blank.clone();
        let mut version = None;
        if let Some(client) = &mut self.client {
            client.describe(&mut event);
            version = Some(client.version);
        }
        let body = &mut event.body;
        if let Some(server) = &mut self.server {
            let name = TlsCipherSuite::from_id(server.cipher).map(|c| c.name);
            body.set(field::TLS_CIPHER, name.map_or_else(|| Value::from(format!("0x{:04x}", server.cipher)), Value::from));
            body.set_some(field::TLS_ALPN_CHOSEN, server.alpn.take());
            version = Some(server.version);
        }
        body.set_some(field::TLS_VERSION, version.map(version_name));
        body.set(field::STATUS_ID, if self.server.is_some() { 1u8 } else { 2 });
        if let Some(certificate) = self.certificate.take() {
            certificate.describe(&mut event);
        }
        out(event);
    }
}

impl Client {
    fn describe(&mut self, event: &mut Event) {
        let body = &mut event.body;
        body.set_some(field::TLS_SNI, self.sni.take());
        body.set_some(field::TLS_ALPN, self.alpn.take());
        body.set(field::TLS_JA3, std::mem::take(&mut self.ja3));
        body.set(field::TLS_JA4, std::mem::take(&mut self.ja4));
        body.set(field::TLS_JA4_O, std::mem::take(&mut self.ja4_original));
    }
}

/// (type, body, length with its head) of the handshake message at the front, if it is whole.
pub(super) fn first_message(b: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (kind, len) = (*b.first()?, be24(b, 1)?);
    Some((kind, b.get(4..4 + len)?, 4 + len))
}

fn version_name(version: u16) -> Value {
    match version {
        0x0002 => Value::from("SSLv2"),
        0x0300 => Value::from("SSLv3"),
        0x0301 => Value::from("TLS 1.0"),
        0x0302 => Value::from("TLS 1.1"),
        0x0303 => Value::from("TLS 1.2"),
        0x0304 => Value::from("TLS 1.3"),
        0x7f00..=0x7fff => Value::from(format!("TLS 1.3 draft-{}", version & 0xff)),
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

fn client_hello(body: &[u8], over: Over) -> Option<Client> {
    let (_, hello) = parse_tls_handshake_client_hello(body).ok()?;
    let ciphers: Vec<u16> = hello.ciphers.iter().map(|c| c.0).filter(|c| !grease(*c)).collect();
    let mut client = Client { version: hello.version.0, ..Client::default() };
    let mut kinds = Vec::new();
    let (mut groups, mut points, mut algorithms) = (Vec::new(), Vec::new(), Vec::new());
    let mut alpn_raw: &[u8] = &[];
    let mut newest = None;
    for (kind, b) in extensions(hello.ext.unwrap_or_default()).take(EXTENSIONS_MAX) {
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
                    client.sni = Some(String::from_utf8_lossy(&name[..name.len().min(NAME_BYTES_MAX)]).to_ascii_lowercase());
                }
            }
            10 => groups = words(b.get(2..).unwrap_or_default()).filter(|g| !grease(*g)).collect(),
            11 => points = b.get(1..).unwrap_or_default().to_vec(),
            13 => algorithms = words(b.get(2..).unwrap_or_default()).filter(|a| !grease(*a)).collect(),
            16 => {
                if let Some(name) = first_alpn(b) {
                    alpn_raw = name;
                    client.alpn = Some(String::from_utf8_lossy(name).into_owned());
                }
            }
            43 => newest = words(b.get(1..).unwrap_or_default()).filter(|v| !grease(*v)).max(),
            _ => {}
        }
    }
    let join = |list: &mut dyn Iterator<Item = u64>| {
        let mut text = String::new();
        for n in list {
            if !text.is_empty() {
                text.push('-');
            }
            wording::push_number(&mut text, n);
        }
        text
    };
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
    [client.ja4, client.ja4_original] = ja4(over, client.version, client.sni.is_some(), &ciphers, &kinds, alpn_raw, &algorithms);
    Some(client)
}

/// JA4 and JA4_o (FoxIO, BSD-3-Clause): the same of what was sent, sorted and as it was.
fn ja4(over: Over, version: u16, sni: bool, ciphers: &[u16], kinds: &[u16], alpn: &[u8], algorithms: &[u16]) -> [String; 2] {
    let version = match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    };
    // Beyond ASCII both of FoxIO's programs write a nine, where the text of the specification asks for digits of the value.
    let mark = |byte: u8, digit: u8| match byte {
        0x80.. => '9',
        _ if byte.is_ascii_alphanumeric() => char::from(byte),
        _ => char::from_digit(u32::from(digit), 16).unwrap_or('0'),
    };
    let (first, last) = match alpn {
        [] => ('0', '0'),
        [f, .., l] | [f @ l] => (mark(*f, f >> 4), mark(*l, l & 15)),
    };
    let list = |items: &[u16]| {
        let mut text = String::with_capacity(5 * items.len());
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                text.push(',');
            }
            let digit = |shift: u16| char::from_digit(u32::from(item >> shift & 15), 16).unwrap_or('0');
            text.extend([digit(12), digit(8), digit(4), digit(0)]);
        }
        text
    };
    let short = |text: &str| if text.is_empty() { "000000000000".to_owned() } else { hex(&Sha256::digest(text)[..6]) };
    let head = format!(
        "{}{version}{}{:02}{:02}{first}{last}",
        if over == Over::Tcp { 't' } else { 'q' },
        if sni { 'd' } else { 'i' },
        ciphers.len().min(99),
        kinds.len().min(99),
    );
    let mut rest: Vec<u16> = kinds.iter().copied().filter(|k| !matches!(k, 0 | 16)).collect();
    let named_only = rest.is_empty();
    let print = |ciphers: &[u16], kinds: &[u16]| {
        // Where nothing but names was sent, both are empty.
        let mut tail = if named_only { String::new() } else { list(kinds) };
        if !algorithms.is_empty() && !tail.is_empty() {
            tail = format!("{tail}_{}", list(algorithms));
        }
        format!("{head}_{}_{}", short(&list(ciphers)), short(&tail))
    };
    let mut sorted = ciphers.to_vec();
    sorted.sort_unstable();
    rest.sort_unstable();
    [print(&sorted, &rest), print(ciphers, kinds)]
}

/// `Some(None)` for a hello that only asks for another one.
#[expect(clippy::option_option, reason = "unreadable, readable and without a choice, and a choice are three things")]
fn server_hello(body: &[u8]) -> Option<Option<Server>> {
    let (_, hello) = parse_tls_handshake_server_hello(body).ok()?;
    if hello.random == RETRY_RANDOM {
        return Some(None);
    }
    let mut server = Server { version: hello.version.0, cipher: hello.cipher.0, alpn: None };
    for (kind, b) in extensions(hello.ext.unwrap_or_default()).take(EXTENSIONS_MAX) {
        match kind {
            16 => server.alpn = first_alpn(b).map(|name| String::from_utf8_lossy(name).into_owned()),
            43 => server.version = be16(b, 0).unwrap_or(server.version),
            _ => {}
        }
    }
    Some(Some(server))
}

/// First name of an ALPN extension: list length, then (length, name).
fn first_alpn(b: &[u8]) -> Option<&[u8]> {
    b.get(3..3 + usize::from(*b.get(2)?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn ext(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat()
    }

    /// A hello message: 1 of a client, 2 of a server.
    pub(in super::super) fn message(kind: u8, ciphers: &[u8], exts: &[Vec<u8>]) -> Vec<u8> {
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

    pub(in super::super) fn client_hello_message() -> Vec<u8> {
        message(
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

    pub(in super::super) fn server_hello_message(cipher: u16, chosen: Option<u16>) -> Vec<u8> {
        let version = chosen.map(|v| ext(43, &v.to_be_bytes()));
        message(2, &cipher.to_be_bytes(), &version.into_iter().collect::<Vec<_>>())
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
        assert_eq!(ja4(Over::Tcp, 0x0304, true, &ciphers, &kinds, b"h2", &algorithms)[0], "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(ja4(Over::Quic, 0x0304, true, &ciphers, &kinds, b"h3", &algorithms)[0], "q13d1516h3_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn a_name_that_is_not_text_is_a_nine() {
        let first = |alpn: &[u8]| ja4(Over::Tcp, 0x0303, false, &[], &[], alpn, &[])[0][8..10].to_owned();
        assert_eq!(
            [first(b""), first(b"h"), first(b"http/1.1"), first(&[0xab]), first(&[0x30, 0x31, 0xab, 0xcd])],
            ["00", "hh", "h1", "99", "09"]
        );
    }
}
