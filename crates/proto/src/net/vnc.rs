//! VNC, the remote frame buffer protocol (RFC 6143): versions, how the viewer proves itself, and whether it was let in.
//!
//! The log-in of a viewer has no user. Reading stops once the outcome is known. Limits: `HELD_BYTES_MAX` bytes a side are held.

use event::{Timestamp, field};

use super::login::{self, Login, Outcome};
use super::wording;
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want};

pub static VNC: Protocol = Protocol {
    name: "vnc",
    about: "versions, security type and outcome of a viewer's log-in",
    fields: login::fields![field::VNC_SECURITY, field::SERVER_SOFTWARE, field::CLIENT_SOFTWARE],
    anomalies: &["vnc_malformed"],
    probe,
    open: |_| Box::new(Vnc::default()),
};

const HELD_BYTES_MAX: usize = 2048;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match carrier {
        Carrier::Udp => Probe::No,
        Carrier::Tcp if version(bytes).is_some() => Probe::Yes,
        Carrier::Tcp if bytes.len() < 12 && !bytes.is_empty() && (b"RFB 0".starts_with(bytes) || bytes.starts_with(b"RFB 0")) => {
            Probe::Maybe
        }
        Carrier::Tcp => Probe::No,
    }
}

/// Minor version of `RFB 003.008\n`.
fn version(bytes: &[u8]) -> Option<u16> {
    let line = bytes.get(..12)?;
    if !line.starts_with(b"RFB 0") || line.get(7) != Some(&b'.') || line.get(11) != Some(&b'\n') {
        return None;
    }
    std::str::from_utf8(line.get(8..11)?).ok()?.parse().ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Step {
    #[default]
    Versions,
    /// The server offers types, or names the one.
    Offer,
    /// The viewer chooses.
    Choice,
    /// VNC's own challenge and response.
    Challenge,
    Response,
    Result,
    /// Why it was refused, in words.
    Reason,
    Done,
}

#[derive(Default)]
struct Vnc {
    held: [Held; 2],
    versions: [Option<u16>; 2],
    server: Option<Side>,
    step: Step,
    security: Option<u8>,
    told: bool,
}

impl Parser for Vnc {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap || !self.held[at].add(piece.bytes, HELD_BYTES_MAX) {
            self.step = Step::Done;
        }
        // The server speaks first.
        let server = *self.server.get_or_insert(piece.side);
        while self.step(server, piece.time, out).is_some() {}
        login::more(self.step != Step::Done)
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.security.is_some() && !self.told {
            self.tell(Outcome::Unknown, None, now, out);
        }
    }
}

impl Vnc {
    /// Takes one step if there are the bytes for it.
    fn step(&mut self, server: Side, time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        let (s, c) = (server as usize, server.other() as usize);
        let minor = self.versions[0].unwrap_or(0).min(self.versions[1].unwrap_or(0));
        match self.step {
            Step::Versions => {
                let at = [s, c].into_iter().find(|at| self.versions[*at].is_none() && self.held[*at].bytes().len() >= 12)?;
                self.versions[at] = version(self.held[at].bytes());
                self.held[at].eat(12);
                if self.versions[at].is_none() {
                    out.anomaly("vnc_malformed", "no version where one belongs", time);
                    self.step = Step::Done;
                    return None;
                }
                if self.versions.iter().all(Option::is_some) {
                    self.step = Step::Offer;
                }
            }
            // Up to 3.3 (and 3.5, which never was) the server names the type.
            Step::Offer if minor < 7 => {
                let kind = super::ot::le32(self.held[s].bytes(), 0)?.swap_bytes();
                self.held[s].eat(4);
                self.chosen(kind.min(255) as u8, minor, time, out);
            }
            Step::Offer => {
                let count = usize::from(*self.held[s].bytes().first()?);
                if self.held[s].bytes().len() <= count {
                    return None;
                }
                self.held[s].eat(1 + count);
                self.step = if count == 0 { Step::Reason } else { Step::Choice };
            }
            Step::Choice => {
                let kind = *self.held[c].bytes().first()?;
                self.held[c].eat(1);
                self.chosen(kind, minor, time, out);
            }
            Step::Challenge | Step::Response => {
                let (at, next) = if self.step == Step::Challenge { (s, Step::Response) } else { (c, Step::Result) };
                if self.held[at].bytes().len() < 16 {
                    return None;
                }
                self.held[at].eat(16);
                self.step = next;
            }
            Step::Result => {
                let result = super::ot::le32(self.held[s].bytes(), 0)?.swap_bytes();
                self.held[s].eat(4);
                if result == 0 {
                    self.tell(Outcome::Success, None, time, out);
                    self.step = Step::Done;
                } else if minor >= 8 && result == 1 {
                    self.step = Step::Reason;
                } else {
                    self.tell(Outcome::Failure, None, time, out);
                    self.step = Step::Done;
                }
            }
            Step::Reason => {
                let length = super::ot::le32(self.held[s].bytes(), 0)?.swap_bytes() as usize;
                let reason = self.held[s].bytes().get(4..4usize.saturating_add(length).min(HELD_BYTES_MAX))?.to_vec();
                self.tell(Outcome::Failure, Some(&reason), time, out);
                self.step = Step::Done;
            }
            Step::Done => return None,
        }
        Some(())
    }

    fn chosen(&mut self, kind: u8, minor: u16, time: Timestamp, out: &mut dyn Emit) {
        self.security = Some(kind);
        self.step = match kind {
            // A refusal, with its reason.
            0 => Step::Reason,
            // Only 3.8 says of no proof that it is enough.
            1 if minor >= 8 => Step::Result,
            1 => {
                self.tell(Outcome::Success, None, time, out);
                Step::Done
            }
            2 => Step::Challenge,
            // Others go on in ways of their own.
            _ => {
                self.tell(Outcome::Unknown, None, time, out);
                Step::Done
            }
        };
    }

    fn tell(&mut self, outcome: Outcome, reason: Option<&[u8]>, time: Timestamp, out: &mut dyn Emit) {
        self.told = true;
        let security = self.security.map(name);
        let mut event = Login { scheme: security, ..Login::default() }.event("vnc", outcome, time);
        event.body.set_some(field::VNC_SECURITY, security);
        let server = self.server.unwrap_or(Side::Responder);
        let software = |side: Side| self.versions[side as usize].map(|minor| format!("RFB 3.{minor}"));
        event.body.set_some(field::SERVER_SOFTWARE, software(server));
        event.body.set_some(field::CLIENT_SOFTWARE, software(server.other()));
        login::tell(server.other(), event, reason.map(wording::until_zero), out);
    }
}

/// Names of security types, as IANA's registry has them.
const fn name(kind: u8) -> &'static str {
    match kind {
        0 => "invalid",
        1 => "none",
        2 => "vnc",
        5 | 6 => "ra2",
        16 => "tight",
        17 => "ultra",
        18 => "tls",
        19 => "vencrypt",
        20 => "sasl",
        22 => "xvp",
        30..=36 => "apple",
        113 | 114 | 129 | 130 | 133 => "realvnc",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, talk};
    use super::*;

    const O: Side = Side::Originator;
    const R: Side = Side::Responder;

    #[test]
    fn a_refused_viewer_of_each_version() {
        let (challenge, response) = ([1u8; 16], [2u8; 16]);
        let said = |minor: &'static [u8], offer: &'static [u8], choice: &'static [u8], result: &'static [u8], step| {
            let said =
                talk(Carrier::Tcp, step, &[(R, minor), (O, minor), (R, offer), (O, choice), (R, &challenge), (O, &response), (R, result)]);
            brief(&said, &["vnc.security_type", "status_id", "status_detail", "app.server_software"])
        };
        for step in [1, 50] {
            assert_eq!(said(b"RFB 003.008\n", b"\x02\x02\x10", b"\x02", b"\0\0\0\x01\0\0\0\x02no", step), ["vnc 2 no RFB"]);
            assert_eq!(said(b"RFB 003.003\n", b"\0\0\0\x02", b"", b"\0\0\0\x01", step), ["vnc 2 - RFB"]);
            assert_eq!(said(b"RFB 003.007\n", b"\x01\x02", b"\x02", b"\0\0\0\0", step), ["vnc 1 - RFB"]);
        }
    }

    #[test]
    fn a_screen_without_a_lock() {
        let said = talk(Carrier::Tcp, 3, &[(R, b"RFB 003.007\n"), (O, b"RFB 003.007\n"), (R, b"\x01\x01"), (O, b"\x01")]);
        assert_eq!(brief(&said, &["vnc.security_type", "status_id"]), ["none 1"]);
    }
}
