//! SSH: the software both sides name in their first line (RFC 4253, 4.2). What follows is encrypted and left alone.

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};

use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want};

pub static SSH: Protocol = Protocol {
    name: "ssh",
    about: "software versions of client and server",
    fields: &[field::SSH_CLIENT, field::SSH_SERVER],
    anomalies: &[],
    probe,
    open: |_| Box::new(Ssh::default()),
};

/// RFC 4253: 255 bytes with line end; a server may send lines before it.
const LINE_BYTES_MAX: usize = 255;
const PREFACE_BYTES_MAX: usize = 1024;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes.len()) {
        (Carrier::Udp, _) => Probe::No,
        (_, 0..4) if b"SSH-".starts_with(bytes) => Probe::Maybe,
        _ if bytes.starts_with(b"SSH-") => Probe::Yes,
        _ => Probe::No,
    }
}

#[derive(Default)]
struct Ssh {
    held: [Held; 2],
    names: [Option<Box<str>>; 2],
    done: bool,
}

impl Parser for Ssh {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if self.names[at].is_none() {
            if piece.gap || !self.held[at].add(piece.bytes, PREFACE_BYTES_MAX) {
                self.names[at] = Some("".into());
            }
            while let Some(end) = memchr::memchr(b'\n', self.held[at].bytes()) {
                let line = &self.held[at].bytes()[..end.min(LINE_BYTES_MAX)];
                let name = line.starts_with(b"SSH-").then(|| String::from_utf8_lossy(line.trim_ascii_end()).into());
                self.held[at].eat(end + 1);
                if name.is_some() {
                    self.names[at] = name;
                    break;
                }
            }
        }
        if self.names.iter().all(Option::is_some) {
            self.end(piece.time, out);
            return Want::Stop;
        }
        Want::More
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        let text = |n: &Option<Box<str>>| n.as_deref().filter(|n| !n.is_empty()).map(Value::from);
        let [client, server] = [text(&self.names[0]), text(&self.names[1])];
        if std::mem::replace(&mut self.done, true) || (client.is_none() && server.is_none()) {
            return;
        }
        let mut event = Event::new(now, Kind::SshActivity, 1, LogSource::new("", "network_connection", "ssh"));
        event.body.set_some(field::SSH_CLIENT, client);
        event.body.set_some(field::SSH_SERVER, server);
        out.event(Class::Normal, event);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::talk;
    use super::*;

    #[test]
    fn both_banners_make_one_event_however_they_are_cut() {
        for step in [1, 3, 100] {
            let said = talk(
                Carrier::Tcp,
                step,
                &[(Side::Responder, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\0\0\x01"), (Side::Originator, b"SSH-2.0-libssh2_1.10\n\0\0\0")],
            );
            assert_eq!(said, ["ssh/1 ssh.client_software=SSH-2.0-libssh2_1.10 ssh.server_software=SSH-2.0-OpenSSH_9.2p1 Debian-2"]);
        }
    }

    #[test]
    fn one_side_alone_is_told_at_the_end() {
        assert_eq!(talk(Carrier::Tcp, 9, &[(Side::Responder, b"SSH-2.0-x\r\n")]), ["ssh/1 ssh.server_software=SSH-2.0-x"]);
    }
}
