//! SMB 2 and 3: a header of 64 bytes, requests chained by offsets.

use event::Timestamp;

use super::super::ot::{le16, le32};
use super::super::wording;
use super::{Asked, Core, Emit, Opening, Side, names};

const HEADER_BYTES: usize = 64;
/// Messages of one chain that are read.
const CHAIN_MAX: usize = 32;
const PENDING: u32 = 0x103;

fn le64(b: &[u8], at: usize) -> Option<u64> {
    b.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

fn fid(b: &[u8], at: usize) -> Option<u128> {
    b.get(at..at.checked_add(16)?)?.try_into().ok().map(u128::from_le_bytes)
}

/// A part of a message that begins at an offset from its header, as far as it is there.
fn part(message: &[u8], offset: Option<u16>, length: u32) -> &[u8] {
    let begin = usize::from(offset.unwrap_or(0));
    let end = begin.saturating_add(length as usize).min(message.len());
    if begin < HEADER_BYTES { &[] } else { message.get(begin..end).unwrap_or_default() }
}

pub(super) fn messages(core: &mut Core, side: Side, mut bytes: &[u8], time: Timestamp, out: &mut dyn Emit) {
    for _ in 0..CHAIN_MAX {
        if !bytes.starts_with(b"\xfeSMB") {
            return;
        }
        let Some(next) = le32(bytes, 20).and_then(|n| usize::try_from(n).ok()) else { return };
        let message = if next >= HEADER_BYTES { bytes.get(..next).unwrap_or(bytes) } else { bytes };
        let _ = one(core, side, message, time, out);
        match bytes.get(next..) {
            Some(rest) if next >= HEADER_BYTES => bytes = rest,
            _ => return,
        }
    }
}

fn one(core: &mut Core, side: Side, message: &[u8], time: Timestamp, out: &mut dyn Emit) -> Option<()> {
    let (status, command, flags) = (le32(message, 8)?, le16(message, 12)?, le32(message, 16)?);
    let (id, tree) = (le64(message, 24)?, le32(message, 36)?);
    core.tally.say(names::command_name(2, command));
    let is_answer = flags & 1 == 1;
    core.client = Some(if is_answer { side.other() } else { side });
    let body = message.get(HEADER_BYTES..)?;
    if is_answer {
        answer(core, message, body, Head { command, status, id, tree }, time, out)
    } else {
        request(core, message, body, command, id, tree, time, out)
    }
}

fn request(
    core: &mut Core,
    message: &[u8],
    body: &[u8],
    command: u16,
    id: u64,
    tree: u32,
    time: Timestamp,
    out: &mut dyn Emit,
) -> Option<()> {
    match command {
        1 => {
            let blob = part(message, le16(body, 12), u32::from(le16(body, 14)?));
            core.setup(id, blob);
        }
        3 => {
            let share = wording::utf16(part(message, le16(body, 4), u32::from(le16(body, 6)?)));
            core.wait(id, Asked::Tree { share });
        }
        5 => {
            let name = wording::utf16(part(message, le16(body, 44), u32::from(le16(body, 46)?)));
            let removes = le32(body, 40)? & 0x1000 != 0;
            core.wait(id, Asked::Open(Opening { name, share: Some(tree), removes }));
        }
        6 => core.wait(id, Asked::Close { fid: fid(body, 8)? }),
        8 => core.wait(id, Asked::Read { fid: fid(body, 16)? }),
        9 => {
            let length = le32(body, 4)?;
            core.data(fid(body, 16)?, true, u64::from(length), part(message, le16(body, 2), length), time, out);
        }
        // A call over a pipe in one go.
        11 if le32(body, 4)? == 0x0011_c017 => {
            let (fid, offset, length) = (fid(body, 8)?, le32(body, 24)?, le32(body, 28)?);
            core.data(fid, true, u64::from(length), part(message, u16::try_from(offset).ok(), length), time, out);
            core.wait(id, Asked::Pipe { fid });
        }
        17 => {
            let (kind, class) = (*body.get(2)?, *body.get(3)?);
            let data = part(message, le16(body, 8), le32(body, 4)?);
            let name = core.path(fid(body, 16)?);
            match (kind, class) {
                (1, 13 | 64) if data.first().is_some_and(|b| b & 1 == 1) => core.wait(id, Asked::Remove { name, share: Some(tree) }),
                (1, 10) => {
                    let length = le32(data, 16)? as usize;
                    let target = wording::utf16(data.get(20..20usize.saturating_add(length).min(data.len()))?);
                    core.wait(id, Asked::Rename { name, target, share: Some(tree) });
                }
                _ => {}
            }
        }
        _ => {}
    }
    Some(())
}

struct Head {
    command: u16,
    status: u32,
    id: u64,
    tree: u32,
}

fn answer(core: &mut Core, message: &[u8], body: &[u8], head: Head, time: Timestamp, out: &mut dyn Emit) -> Option<()> {
    let status = head.status;
    if status == PENDING {
        return None;
    }
    match head.command {
        0 => core.dialect = Some(names::dialect(le16(body, 4)?)),
        1 => {
            core.answered(head.id);
            let blob = part(message, le16(body, 4), u32::from(le16(body, 6).unwrap_or(0)));
            core.set_up(status, blob, status == 0 && le16(body, 2)? & 1 == 1, time, out);
        }
        _ => {}
    }
    match core.answered(head.id)? {
        Asked::Tree { share } => {
            let kind = body
                .get(2)
                .filter(|_| status == 0)
                .and_then(|k| [None, Some("disk"), Some("pipe"), Some("printer")].get(usize::from(*k)).copied()?);
            core.connected(head.tree, share, kind, status, time, out);
        }
        Asked::Open(opening) => {
            let command = match le32(body, 4) {
                Some(0 | 2 | 3) if status == 0 => "create",
                _ => "open",
            };
            let fid = if status == 0 { fid(body, 64)? } else { 0 };
            core.opened(opening, fid, command, status, time, out);
        }
        Asked::Close { fid } => core.close(fid, time, out),
        Asked::Read { fid } if status == 0 => {
            let length = le32(body, 4)?;
            core.data(fid, false, u64::from(length), part(message, body.get(2).copied().map(u16::from), length), time, out);
        }
        Asked::Pipe { fid } => {
            let (offset, length) = (le32(body, 32)?, le32(body, 36)?);
            core.data(fid, false, u64::from(length), part(message, u16::try_from(offset).ok(), length), time, out);
        }
        asked => core.changed(asked, status, time, out),
    }
    Some(())
}
