//! TLS handshakes (RFC 8446, 5246): what the client asked for and the server chose, as one event a handshake.
//!
//! Records and handshake messages are put together across TCP segments and across records. The event goes out when the
//! server has chosen (TLS 1.3), has shown its certificate (earlier), or has said nothing for two seconds. What the hellos say
//! is read in `hello`, the certificate in `certificate`.
//! Limits: `HANDSHAKE_BYTES_MAX` a side; a longer handshake is told as far as it was read.

use event::{Class, Event, Kind, LogSource, SECOND_NS, Timestamp};

use super::hello::{self, Handshake, Over, first_message};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want, be16, be24};

pub static TLS: Protocol = Protocol {
    name: "tls",
    about: "server name, versions, cipher, client fingerprints, certificate",
    fields: &hello::FIELDS,
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
/// Type of the handshake message.
const CERTIFICATE: u8 = 11;
const APPLICATION: u8 = 23;
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
        if joined_later(b) { Probe::Yes } else { Probe::No }
    } else if b.len() < fits.len() {
        Probe::Maybe
    } else {
        Probe::Yes
    }
}

/// A connection that was there already: records of any kind that fill the piece to its last byte. Nothing of it can be read, but it
/// has a name.
fn joined_later(mut b: &[u8]) -> bool {
    while let ([CHANGE_CIPHER..=APPLICATION, 3, 0..=4, ..], Some(len)) = (b, be16(b, 3).map(usize::from)) {
        match b.get(5 + len..) {
            Some([]) => return len > 0,
            Some(rest) if (1..=RECORD_BYTES_MAX).contains(&len) => b = rest,
            _ => return false,
        }
    }
    false
}

#[derive(Default)]
struct Tls {
    records: [Held; 2],
    messages: [Held; 2],
    read: Handshake,
    first: Option<Timestamp>,
    told: bool,
    /// Sides that speak in a cipher now.
    ciphered: [bool; 2],
    /// Sides that said they would, before it was known whether they do.
    changed: [bool; 2],
    /// The side that sent a ClientHello, if one was seen.
    client: Option<Side>,
}

/// A hello in the clear that fills its record.
fn whole_hello(record: &[u8]) -> bool {
    first_message(record).is_some_and(|(kind, _, len)| matches!(kind, 1 | 2) && len == record.len())
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
                HANDSHAKE if self.changed[at] && !whole_hello(body) => self.ciphered[at] = true,
                HANDSHAKE => {
                    if !self.messages[at].add(body, HANDSHAKE_BYTES_MAX) {
                        out.anomaly("tls_handshake_too_long", "handshake messages do not end", piece.time);
                        self.ciphered[at] = true;
                    }
                    self.read_messages(at, piece.side, piece.time, out);
                }
                ALERT => {}
                // Around a hello that is asked for again it means nothing (RFC 8446, D.4).
                CHANGE_CIPHER if self.read.server.is_none() => self.changed[at] = true,
                // From here on it is encrypted (in TLS 1.3 the server's certificate is, too).
                CHANGE_CIPHER | APPLICATION => self.ciphered[at] = true,
                _ => {}
            }
            held.eat(5 + len);
        }
        if !self.ciphered[at] {
            self.records[at] = held;
        }
        let chosen = self.read.server.is_some();
        let modern = self.read.server.as_ref().is_some_and(|s| s.version >= 0x0304);
        if (chosen && (modern || self.read.certificate.is_some() || self.ciphered.iter().any(|c| *c))) || self.ciphered == [true; 2] {
            self.tell(piece.time, out);
        }
        match (self.told, self.read.client.is_some()) {
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
    fn read_messages(&mut self, at: usize, side: Side, time: Timestamp, out: &mut dyn Emit) {
        let mut held = std::mem::take(&mut self.messages[at]);
        if be24(held.bytes(), 1).is_some_and(|len| len > HANDSHAKE_BYTES_MAX) {
            out.anomaly("tls_malformed", "a handshake message claims more than 64 KiB", time);
            self.ciphered[at] = true;
            return;
        }
        while let Some((kind, body, len)) = first_message(held.bytes()) {
            match kind {
                1 => self.client = self.client.or(Some(side)),
                2 => self.client = self.client.or(Some(side.other())),
                _ => {}
            }
            // A client's own certificate is not the server's.
            if (kind, self.client) != (CERTIFICATE, Some(side))
                && let Err(why) = self.read.message(kind, body, Over::Tcp)
            {
                out.anomaly("tls_malformed", why, time);
            }
            held.eat(len);
        }
        self.messages[at] = held;
    }

    /// Says what is known, once.
    fn tell(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.told || self.read.is_empty() {
            return;
        }
        self.told = true;
        let blank = Event::new(now, Kind::NetworkActivity, 6, LogSource::new("", "tls", "tls"));
        let client = self.client.unwrap_or(Side::Originator);
        self.read.tell(&blank, &mut |event| out.asked(client, Class::Normal, event));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::hello::tests::{client_hello_message, server_hello_message};
    use super::super::md5::md5_hex;
    use super::super::testing::{Seen, piece, talk};
    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 1][..], &(body.len() as u16).to_be_bytes(), body].concat()
    }

    pub(in super::super) fn client_record() -> Vec<u8> {
        record(HANDSHAKE, &client_hello_message())
    }

    #[test]
    fn a_modern_handshake_across_records_and_segments() {
        let message = client_hello_message();
        let split = [record(HANDSHAKE, &message[..50]), record(HANDSHAKE, &message[50..])].concat();
        let server = record(HANDSHAKE, &server_hello_message(0x1301, Some(0x0304)));
        let ja3 = md5_hex(b"771,4865-49199,0-10-11-13-16-43,29,0");
        for step in [1, 5, 6, 51, 9000] {
            let said = talk(Carrier::Tcp, step, &[(Side::Originator, &split), (Side::Responder, &server)]);
            assert_eq!(said.len(), 1, "{step} {said:?}");
            assert!(said[0].starts_with(&format!("tls/6 tls.sni=example.org tls.alpn=h2 tls.ja3_hash.value={ja3} tls.ja4=t13d0206h2_")));
            assert!(said[0].ends_with("tls.cipher=TLS_AES_128_GCM_SHA256 tls.version=TLS 1.3 status_id=1"), "{}", said[0]);
        }
    }

    #[test]
    fn an_unanswered_hello_is_told_after_two_seconds() {
        let (mut tls, mut seen) = (Tls::default(), Seen::default());
        let bytes = record(HANDSHAKE, &client_hello_message());
        assert_eq!(tls.feed(piece(Side::Originator, &bytes, 0), &mut seen), Want::Wake);
        assert_eq!(tls.wake(Timestamp::from_ms(1000), &mut seen), Want::Wake);
        assert!(seen.0.is_empty());
        assert_eq!(tls.wake(Timestamp::from_ms(2000), &mut seen), Want::Stop);
        assert!(seen.0[0].ends_with("tls.version=TLS 1.3 status_id=2"), "{:?}", seen.0);
    }

    #[test]
    fn an_earlier_version_waits_for_the_certificate_or_its_end() {
        let server = record(HANDSHAKE, &server_hello_message(0xc02f, None));
        let done = record(CHANGE_CIPHER, &[1]);
        let said = talk(
            Carrier::Tcp,
            11,
            &[(Side::Originator, &record(HANDSHAKE, &client_hello_message())), (Side::Responder, &[server, done].concat())],
        );
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("tls.cipher=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 tls.version=TLS 1.2"), "{}", said[0]);
    }

    #[test]
    fn a_hello_that_had_to_be_said_again_is_told_too() {
        let mut retry = server_hello_message(0x1301, Some(0x0304));
        retry[6..38].copy_from_slice(&super::super::hello::RETRY_RANDOM);
        let (hello, retry) = (client_record(), record(HANDSHAKE, &retry));
        let server = record(HANDSHAKE, &server_hello_message(0x1301, Some(0x0304)));
        let again = [record(CHANGE_CIPHER, &[1]), hello.clone()].concat();
        let said = talk(
            Carrier::Tcp,
            1000,
            &[(Side::Originator, &hello), (Side::Responder, &retry), (Side::Originator, &again), (Side::Responder, &server)],
        );
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].ends_with("status_id=2 status_detail=client_hello_repeated") && said[1].ends_with("version=TLS 1.3 status_id=1"));
    }

    #[test]
    fn a_connection_that_was_there_already_has_a_name() {
        let mut session = super::super::Session::default();
        let (mut seen, mut bytes) = (Seen::default(), [record(APPLICATION, &[7; 300]), record(ALERT, &[8; 26])].concat());
        session.feed(Carrier::Tcp, super::super::Enabled::ALL, piece(Side::Responder, &bytes, 0), &mut seen);
        assert_eq!((session.protocol(), seen.0.len()), (Some("tls"), 0));
        bytes.push(0);
        assert_eq!(probe(Carrier::Tcp, Side::Responder, &bytes), Probe::No);
        assert_eq!(probe(Carrier::Tcp, Side::Responder, &[APPLICATION, 3, 3, 0, 0]), Probe::No);
    }

    #[test]
    fn nonsense_after_the_first_record_is_named() {
        let bytes = [record(HANDSHAKE, &client_hello_message()), vec![99; 40]].concat();
        let said = talk(Carrier::Tcp, 1000, &[(Side::Originator, &bytes)]);
        assert!(said[0].starts_with("anomaly tls_malformed") && said[1].starts_with("tls/6"), "{said:?}");
    }
}
