//! Items, blocks and names of S7comm.
//!
//! An item is `12 0a 10`, transport size, count, data block, area, address in bits (24); symbolic ones of the S7-1200 (`b2`) are counted and not named.

use event::{Event, field};

use super::super::be16;
use super::super::ot::{self, NAMED_MAX};

/// Items of a read or write.
#[derive(Debug, Default)]
pub(super) struct Items {
    count: u8,
    area: Option<&'static str>,
    address: Option<u32>,
    names: Vec<String>,
    values: Vec<f64>,
    data_block: Option<u16>,
    /// Equal items, equal number.
    pub number: u32,
}

impl Items {
    /// Reads the items behind the function, and what a write puts there.
    pub(super) fn read(parameters: &[u8], mut data: &[u8]) -> Self {
        let Some((count, mut rest)) = parameters.split_first() else { return Self::default() };
        let number = rest.iter().fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193));
        let mut items = Self { count: *count, number, ..Self::default() };
        for n in 0..*count {
            let &[0x12, length, ref item @ ..] = rest else { break };
            let Some(item) = item.get(..usize::from(length)) else { break };
            items.item(item, n == 0);
            // Items begin at even places but the last.
            rest = rest.get(2 + usize::from(length) + usize::from(length % 2)..).unwrap_or_default();
        }
        // Return code (reserved), transport size, length in bits or bytes, content, filled up to an even length.
        while let &[_, size, a, b, ref content @ ..] = data {
            let length = usize::from(u16::from_be_bytes([a, b]));
            let bytes = if matches!(size, 3..=5) { length.div_ceil(8) } else { length };
            let Some(value) = content.get(..bytes) else { break };
            if items.values.len() >= NAMED_MAX {
                break;
            }
            items.values.extend(number_of(size, value));
            data = content.get(bytes + bytes % 2..).unwrap_or_default();
        }
        items
    }

    fn item(&mut self, item: &[u8], first: bool) {
        let &[0x10, size, _, _, d0, d1, area, a0, a1, a2] = item else { return };
        let block = u16::from_be_bytes([d0, d1]);
        let bits = u32::from_be_bytes([0, a0, a1, a2]);
        // Timers and counters are numbered, the rest is addressed by the bit.
        let numbered = matches!(area, 0x1c..=0x1f);
        let (byte, bit) = if numbered { (bits, 0) } else { (bits / 8, bits % 8) };
        let letter = match size {
            1 => 'X',
            2 | 3 => 'B',
            4 | 5 => 'W',
            _ => 'D',
        };
        let dot = if letter == 'X' { format!(".{bit}") } else { String::new() };
        let width = if letter == 'X' { String::new() } else { letter.to_string() };
        let (kind, name) = match area {
            0x80 => ("peripheral", format!("P{width}{byte}{dot}")),
            0x81 => ("input", format!("I{width}{byte}{dot}")),
            0x82 => ("output", format!("Q{width}{byte}{dot}")),
            0x83 => ("merker", format!("M{width}{byte}{dot}")),
            0x84 => ("data_block", format!("DB{block}.DB{letter}{byte}{dot}")),
            0x85 => ("instance_data_block", format!("DI{block}.DI{letter}{byte}{dot}")),
            0x86 | 0x87 => ("local_data", format!("L{width}{byte}{dot}")),
            0x1c | 0x1e => ("counter", format!("C{byte}")),
            0x1d | 0x1f => ("timer", format!("T{byte}")),
            0x03 => ("system_info", format!("SYS{byte}")),
            _ => ("other", format!("{area:02x}:{byte}")),
        };
        if first {
            (self.area, self.address) = (Some(kind), Some(byte));
            self.data_block = matches!(area, 0x84 | 0x85).then_some(block);
        }
        if self.names.len() < NAMED_MAX {
            self.names.push(name);
        }
    }

    pub(super) fn put(self, event: &mut Event) {
        event.body.set_some(field::OT_OBJECT_TYPE, self.area);
        event.body.set_some(field::OT_OBJECT_ADDRESS, self.address);
        event.body.set(field::OT_OBJECT_COUNT, self.count);
        event.body.set_some(field::OT_PROGRAM, self.data_block.map(|n| format!("DB{n}")));
        ot::objects(event, self.names);
        ot::values(event, &self.values);
    }
}

/// A value by its transport size, where it is one number.
fn number_of(size: u8, bytes: &[u8]) -> Option<f64> {
    Some(match (size, bytes) {
        (3, [bit]) => f64::from(*bit),
        (7, bytes) => f64::from(f32::from_be_bytes(bytes.try_into().ok()?)),
        (_, [a]) => f64::from(*a),
        (_, &[a, b]) => f64::from(u16::from_be_bytes([a, b])),
        (_, &[a, b, c, d]) => f64::from(u32::from_be_bytes([a, b, c, d])),
        _ => return None,
    })
}

/// The first item that was refused: its return code. A read's answer carries sizes and values, a write's only codes.
pub(super) fn refusal(count: u8, mut data: &[u8], read: bool) -> Option<(u32, &'static str)> {
    for _ in 0..count {
        let (&code, rest) = data.split_first()?;
        if code != 0xff {
            return Some((u32::from(code), item_error(code)));
        }
        if !read {
            data = rest;
            continue;
        }
        let (size, length) = (*rest.first()?, usize::from(be16(rest, 1)?));
        let bytes = if matches!(size, 3..=5) { length.div_ceil(8) } else { length };
        data = rest.get(3 + bytes + bytes % 2..)?;
    }
    None
}

const fn item_error(code: u8) -> &'static str {
    match code {
        0x01 => "hardware_error",
        0x03 => "access_denied",
        0x05 => "address_out_of_range",
        0x06 => "data_type_not_supported",
        0x07 => "data_type_inconsistent",
        0x0a => "object_does_not_exist",
        _ => "other",
    }
}

/// Name of an error class and code.
pub(super) const fn error_name(error: u16) -> &'static str {
    match error {
        0xd041 | 0xd042 | 0xd043 | 0xd044 | 0xd0a0..=0xd0a5 => "block_error",
        0xd240 | 0xd241 => "protection",
        0xd401..=0xd409 => "information_not_available",
        0xd601..=0xd604 => "password_error",
        _ => match error >> 8 {
            0x81 => "application_error",
            0x82 => "object_definition_error",
            0x83 => "no_resources",
            0x84 => "service_error",
            0x85 => "supplies_error",
            0x87 => "access_error",
            _ => "other",
        },
    }
}

/// A block as programmers name it, from `_0800001P` or the eight bytes of it: kind, number, place.
pub(super) fn block_name(name: &[u8]) -> String {
    let whole = String::from_utf8_lossy(name).into_owned();
    let name = whole.strip_prefix('_').unwrap_or(&whole);
    let kind = match name.get(..2) {
        Some("08") => "OB",
        Some("0A") => "DB",
        Some("0B") => "SDB",
        Some("0C") => "FC",
        Some("0D") => "SFC",
        Some("0E") => "FB",
        Some("0F") => "SFB",
        _ => return whole,
    };
    match name.get(2..7).and_then(|n| n.parse::<u32>().ok()) {
        Some(number) => format!("{kind}{number}"),
        None => whole,
    }
}

/// Groups of user data.
pub(super) const fn group_name(group: u8) -> &'static str {
    match group {
        0 => "userdata_mode",
        1 => "userdata_programmer",
        2 => "userdata_cyclic",
        3 => "userdata_block",
        4 => "userdata_cpu",
        5 => "userdata_security",
        6 => "userdata_pbc",
        7 => "userdata_time",
        _ => "userdata_other",
    }
}

pub(super) const fn sub_name(group: u8, sub: u8) -> &'static str {
    match (group, sub) {
        (1, 1 | 19) => "block_status",
        (1, 2) => "variable_status",
        (1, 7) => "force_select",
        (1, 8) => "modify_variable",
        (1, 9) => "force",
        (1, 10) => "breakpoint",
        (1, 12) => "memory_reset",
        (1, 13) => "disable_job",
        (1, 14) => "enable_job",
        (1, 15) => "delete_job",
        (1, 16) => "read_job_list",
        (1, 17) => "read_job",
        (1, 18) => "replace_job",
        (1, 22) => "flash_led",
        (2, 1 | 5) => "cyclic_transfer",
        (2, 4) => "cyclic_end",
        (3, 1) => "list_blocks",
        (3, 2) => "list_blocks_of_type",
        (3, 3) => "block_info",
        (4, 1) => "read_szl",
        (4, 2) => "message_service",
        (4, 3) => "diagnostic_message",
        (4, 5) => "alarm_indication",
        (4, 6) => "alarm_notify",
        (4, 7) => "alarm_lock",
        (4, 8) => "alarm_unlock",
        (4, 11) => "alarm_acknowledge",
        (4, 19) => "alarm_query",
        (5, 1) => "plc_password",
        (5, 2) => "plc_password_removed",
        (6, _) => "bsend",
        (7, 1 | 3) => "read_clock",
        (7, 2 | 4) => "set_clock",
        _ => "other",
    }
}

pub(super) const fn purpose(group: u8, sub: u8) -> (&'static str, bool) {
    match (group, sub) {
        (1, 8 | 9 | 18) => ("control", true),
        (1, 12) => ("mode", true),
        (1, _) => ("diagnose", false),
        (3, _) | (4, 1) => ("identify", false),
        (5, _) => ("session", false),
        (7, 2 | 4) => ("time", true),
        _ => ("read", false),
    }
}

pub(super) const fn plus_name(function: u16) -> &'static str {
    match function {
        0x04b1 => "error",
        0x04bb => "explore",
        0x04ca => "create_object",
        0x04d4 => "delete_object",
        0x04f2 => "set_variable",
        0x0524 => "get_link",
        0x0542 => "set_multi_variables",
        0x054c => "get_multi_variables",
        0x0556 => "begin_sequence",
        0x0560 => "end_sequence",
        0x056b => "invoke",
        0x057c => "set_var_sub_streamed",
        0x0586 => "get_var_sub_streamed",
        _ => "other",
    }
}

pub(super) const fn plus_purpose(function: u16) -> (&'static str, bool) {
    match function {
        0x04f2 | 0x0542 | 0x057c => ("write", true),
        0x04d4 | 0x056b => ("configure", true),
        0x04bb => ("identify", false),
        0x04ca | 0x0556 | 0x0560 => ("session", false),
        _ => ("read", false),
    }
}
