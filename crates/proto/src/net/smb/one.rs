//! SMB 1: a header of 32 bytes, words and bytes, commands chained by AndX.

use event::Timestamp;

use super::super::ot::{le16, le32};
use super::super::wording;
use super::{Asked, Core, Emit, Opening, Side, names};

const HEADER_BYTES: usize = 32;
/// Commands of one chain that are read.
const CHAIN_MAX: usize = 32;

/// One command of a message: its words and bytes.
struct Part<'b> {
    command: u8,
    words: &'b [u8],
    bytes: &'b [u8],
    /// Where the bytes begin, from the header: texts in UTF-16 lie at even places.
    bytes_at: usize,
    wide: bool,
}

struct Head {
    status: u32,
    tree: u32,
    id: u64,
}

impl Part<'_> {
    /// The text at a place in the bytes, and the place behind it.
    fn text(&self, at: usize) -> (String, usize) {
        if self.wide {
            let at = at + (self.bytes_at + at) % 2;
            let bytes = self.bytes.get(at..).unwrap_or_default();
            let units = bytes.chunks_exact(2).position(|u| u == [0, 0]).unwrap_or(bytes.len() / 2);
            (wording::utf16(bytes.get(..units * 2).unwrap_or_default()), at + units * 2 + 2)
        } else {
            let bytes = wording::until_zero(self.bytes.get(at..).unwrap_or_default());
            (wording::text(bytes), at + bytes.len() + 1)
        }
    }
}

pub(super) fn message(core: &mut Core, side: Side, message: &[u8], time: Timestamp, out: &mut dyn Emit) {
    let _ = read(core, side, message, time, out);
}

fn read(core: &mut Core, side: Side, message: &[u8], time: Timestamp, out: &mut dyn Emit) -> Option<()> {
    let (mut command, flags, flags2) = (*message.get(4)?, *message.get(9)?, le16(message, 10)?);
    let is_answer = flags & 0x80 != 0;
    core.client = Some(if is_answer { side.other() } else { side });
    let raw = le32(message, 5)?;
    // Without the bit the status is a class and a code of DOS: any of them is a refusal.
    let status = if flags2 & 0x4000 != 0 { raw } else { raw & 0xffff_00ff };
    let id = u64::from(le16(message, 30)?) | u64::from(le16(message, 26)?) << 16;
    let head = Head { status, tree: u32::from(le16(message, 24)?), id };
    let mut at = HEADER_BYTES;
    for nth in 0..CHAIN_MAX as u64 {
        core.tally.say(names::command_name(1, u16::from(command)));
        let Some(words_end) = message.get(at).map(|n| at + 1 + 2 * usize::from(*n)) else { break };
        let Some(words) = message.get(at + 1..words_end) else { break };
        let length = le16(message, words_end).map_or(0, usize::from);
        let bytes_at = words_end + 2;
        let bytes = message.get(bytes_at..bytes_at.saturating_add(length).min(message.len())).unwrap_or_default();
        let part = Part { command, words, bytes, bytes_at, wide: flags2 & 0x8000 != 0 };
        let head = Head { id: head.id | nth << 32, ..head };
        let _ = if is_answer { answer(core, message, &part, &head, time, out) } else { request(core, message, &part, &head, time, out) };
        // AndX commands name the next one and where it stands.
        let chained = matches!(command, 0x24 | 0x2d | 0x2e | 0x2f | 0x73 | 0x74 | 0x75 | 0xa2);
        match (words.first(), le16(words, 2)) {
            (Some(next), Some(offset)) if chained && *next != 0xff && usize::from(offset) > at => {
                (command, at) = (*next, usize::from(offset));
            }
            _ => break,
        }
    }
    Some(())
}

fn request(core: &mut Core, message: &[u8], part: &Part<'_>, head: &Head, time: Timestamp, out: &mut dyn Emit) -> Option<()> {
    let words = part.words;
    match part.command {
        0x73 if words.len() == 24 => {
            let length = usize::from(le16(words, 14)?);
            core.setup(head.id, part.bytes.get(..length.min(part.bytes.len()))?);
            software(core, part, length, 0);
        }
        0x73 if words.len() == 26 => {
            let secrets = usize::from(le16(words, 14)?) + usize::from(le16(words, 16)?);
            let (user, next) = part.text(secrets);
            let (domain, next) = part.text(next);
            core.setup(head.id, &[]);
            let login = &mut core.talk.login;
            let nobody = user.is_empty();
            (login.user, login.domain) = (Some(if nobody { super::ntlm::NOBODY.to_owned() } else { user }), Some(domain));
            // A response to a challenge has 24 bytes or more; what is shorter is the password itself.
            login.cleartext = !nobody && (2..24).contains(&secrets);
            login.scheme = Some(if login.cleartext { "password" } else { "NTLM" });
            software(core, part, next, 0);
        }
        0x75 => {
            let (share, _) = part.text(usize::from(le16(words, 6)?));
            core.wait(head.id, Asked::Tree { share });
        }
        0xa2 => {
            let (name, _) = part.text(0);
            let removes = le32(words, 39)? & 0x1000 != 0;
            core.wait(head.id, Asked::Open(Opening { name, share: Some(head.tree), removes }));
        }
        0x2d => {
            let (name, _) = part.text(0);
            core.wait(head.id, Asked::Open(Opening { name, share: Some(head.tree), removes: false }));
        }
        0x04 => core.wait(head.id, Asked::Close { fid: u128::from(le16(words, 0)?) }),
        0x2e => core.wait(head.id, Asked::Read { fid: u128::from(le16(words, 4)?) }),
        0x2f => {
            let length = usize::from(le16(words, 20)?);
            let data = slice(message, le16(words, 22)?, length);
            core.data(u128::from(le16(words, 4)?), true, length as u64, data, time, out);
        }
        // The texts of old commands stand behind a byte that says what they are.
        0x06 => core.wait(head.id, Asked::Remove { name: part.text(1).0, share: Some(head.tree) }),
        0x07 => {
            let (name, next) = part.text(1);
            core.wait(head.id, Asked::Rename { name, target: part.text(next + 1).0, share: Some(head.tree) });
        }
        // A call over a pipe in one go.
        0x25 if words.len() >= 32 && le16(words, 28)? == 0x26 => {
            let length = usize::from(le16(words, 22)?);
            let fid = u128::from(le16(words, 30)?);
            core.data(fid, true, length as u64, slice(message, le16(words, 24)?, length), time, out);
            core.wait(head.id, Asked::Pipe { fid });
        }
        _ => {}
    }
    Some(())
}

fn answer(core: &mut Core, message: &[u8], part: &Part<'_>, head: &Head, time: Timestamp, out: &mut dyn Emit) -> Option<()> {
    let (words, status) = (part.words, head.status);
    match part.command {
        0x72 => core.dialect = Some(if words.len() == 34 { "NT LM 0.12" } else { "LANMAN" }),
        0x73 => {
            core.answered(head.id);
            let blob = if words.len() == 8 { le16(words, 6).map_or(0, usize::from) } else { 0 };
            let guest = status == 0 && le16(words, 4).is_some_and(|action| action & 1 == 1);
            core.set_up(status, part.bytes.get(..blob.min(part.bytes.len())).unwrap_or_default(), guest, time, out);
            software(core, part, blob, 1);
            return Some(());
        }
        _ => {}
    }
    match core.answered(head.id)? {
        Asked::Tree { share } => {
            let kind = match wording::until_zero(part.bytes) {
                _ if status != 0 => None,
                b"A:" => Some("disk"),
                b"IPC" => Some("pipe"),
                b"LPT1:" => Some("printer"),
                _ => None,
            };
            core.connected(head.tree, share, kind, status, time, out);
        }
        Asked::Open(opening) => {
            let new = part.command == 0xa2 && status == 0 && matches!(le32(words, 7), Some(0 | 2 | 3));
            let fid = if part.command == 0xa2 { le16(words, 5) } else { le16(words, 4) };
            core.opened(opening, u128::from(fid.unwrap_or(0)), if new { "create" } else { "open" }, status, time, out);
        }
        Asked::Close { fid } => core.close(fid, time, out),
        Asked::Read { fid } if status == 0 => {
            let length = usize::from(le16(words, 10)?);
            core.data(fid, false, length as u64, slice(message, le16(words, 12)?, length), time, out);
        }
        Asked::Pipe { fid } => {
            let length = usize::from(le16(words, 12)?);
            core.data(fid, false, length as u64, slice(message, le16(words, 14)?, length), time, out);
        }
        asked => core.changed(asked, status, time, out),
    }
    Some(())
}

fn slice(message: &[u8], offset: u16, length: usize) -> &[u8] {
    let begin = usize::from(offset);
    message.get(begin..begin.saturating_add(length).min(message.len())).unwrap_or_default()
}

/// What the host says it runs: two texts behind the secrets.
fn software(core: &mut Core, part: &Part<'_>, at: usize, side: usize) {
    let (system, _) = part.text(at);
    if let (Some(slot), false) = (core.software.get_mut(side), system.is_empty()) {
        *slot = Some(system);
    }
}
