//! NetBIOS datagrams (RFC 1002, 4.4) with SMB in them: hosts announce themselves to their segment (MS-BRWS), name and version of Windows included.

use event::{Event, Kind, LogSource, Timestamp, field};

use super::super::ot::{Teller, le16};
use super::super::wording::{self, Tally};
use super::{Emit, Parser, Piece, Side, Want, names};

/// Header, and two names of 34 bytes each.
const SMB_AT: usize = 82;

/// The SMB message of a datagram.
pub(super) fn inner(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(SMB_AT..).filter(|b| b.starts_with(b"\xffSMB"))
}

#[derive(Default)]
pub(super) struct Datagrams {
    tally: Tally,
    teller: Teller<8>,
    last: Option<Side>,
}

impl Parser for Datagrams {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let Some(message) = inner(piece.bytes) else { return Want::Whole };
        self.last = Some(piece.side);
        if let Some(command) = message.get(4) {
            self.tally.say(names::command_name(1, u16::from(*command)));
        }
        if let Some((event, key)) = announcement(message, piece.time) {
            self.teller.poll(key, piece.side, event, out);
        }
        Want::Whole
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        self.teller.end(out);
        let event = Event::new(now, Kind::SmbActivity, 99, LogSource::new("", "smb", "smb")).with(field::COMMAND, "session");
        wording::summary(&mut self.tally, self.last.unwrap_or(Side::Originator), event, now, out);
    }
}

/// What a host says of itself to the mailslot of the browsers.
fn announcement(message: &[u8], time: Timestamp) -> Option<(Event, [u32; 4])> {
    let (length, offset) = (usize::from(le16(message, 55)?), usize::from(le16(message, 57)?));
    let data = message.get(offset..offset.checked_add(length)?)?;
    let command = match data.first()? {
        1 => "host_announcement",
        12 => "domain_announcement",
        15 => "local_master_announcement",
        _ => return None,
    };
    let name = wording::text(wording::until_zero(data.get(6..22)?));
    let version = format!("Windows {}.{}", data.get(22)?, data.get(23)?);
    let key = [u32::from(*data.first()?), wording::key(name.as_bytes()), 0, 0];
    let mut event = Event::new(time, Kind::SmbActivity, 99, LogSource::new("", "smb", "smb")).with(field::COMMAND, command);
    event.body.set(field::SRC_HOSTNAME, name);
    event.body.set(field::CLIENT_SOFTWARE, version);
    Some((event, key))
}
