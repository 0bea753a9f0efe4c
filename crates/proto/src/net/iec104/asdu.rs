//! The application service data unit (IEC 60870-5-101 clause 7 in the sizes 60870-5-104 fixes: cause two octets, common address two,
//! information object address three).

use super::super::ot::{NAMED_MAX, le16, le24, le32};

/// What an ASDU says, the first of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asdu {
    /// Type identification.
    pub kind: u8,
    pub cause: u8,
    pub negative: bool,
    pub originator: u8,
    pub station: u16,
    pub count: u8,
    /// The select bit of a command's qualifier.
    pub select: bool,
    /// Whether the objects fill the frame to the byte.
    pub fits: bool,
    /// Object addresses, the first `NAMED_MAX`.
    pub addresses: Vec<u32>,
    /// What commands want to set.
    pub values: Vec<f64>,
}

impl Asdu {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[kind, structure, cause, originator, a, b, ref objects @ ..] = bytes else { return None };
        let (sequence, count) = (structure & 0x80 != 0, structure & 0x7f);
        let first = le24(objects, 0)?;
        let size = size(kind);
        let n = usize::from(count);
        let fits = n > 0
            && kind > 0
            && matches!(cause & 0x3f, 1..=13 | 20..=41 | 44..=47)
            && size.is_some_and(|size| objects.len() == if sequence { 3 + n * size } else { n * (3 + size) });
        let mut asdu = Self {
            kind,
            cause: cause & 0x3f,
            negative: cause & 0x40 != 0,
            originator,
            station: u16::from_le_bytes([a, b]),
            count,
            select: false,
            // Segments of files have a length of their own.
            fits: fits || kind == 125 && objects.len() > 7,
            addresses: Vec::new(),
            values: Vec::new(),
        };
        let size = size.unwrap_or(objects.len().saturating_sub(3));
        for n in 0..n.min(NAMED_MAX) {
            let (address, at) = if sequence {
                (first.saturating_add(n as u32), 3 + n * size)
            } else {
                let at = n * (3 + size);
                let Some(address) = le24(objects, at) else { break };
                (address, at + 3)
            };
            asdu.addresses.push(address);
            let Some(element) = objects.get(at..at + size) else { break };
            if let Some((value, select)) = command(kind, element) {
                asdu.values.push(value);
                asdu.select |= select;
            }
        }
        Some(asdu)
    }

    pub(super) fn command(&self) -> (u8, u16, u32) {
        (self.kind, self.station, self.addresses.first().copied().unwrap_or(0))
    }
}

/// What a command wants to set, and whether it only selects (the qualifier's highest bit).
fn command(kind: u8, element: &[u8]) -> Option<(f64, bool)> {
    let first = *element.first()?;
    let word = le16(element, 0).map(|v| f64::from(v.cast_signed()));
    let qualifier = |at: usize| element.get(at).is_some_and(|q| q & 0x80 != 0);
    Some(match kind {
        45 | 58 => (f64::from(first & 1), first & 0x80 != 0),
        46 | 47 | 59 | 60 => (f64::from(first & 3), first & 0x80 != 0),
        48 | 61 => (word? / 32_768.0, qualifier(2)),
        49 | 62 => (word?, qualifier(2)),
        50 | 63 => (f64::from(f32::from_bits(le32(element, 0)?)), qualifier(4)),
        51 | 64 => (f64::from(le32(element, 0)?), false),
        100 | 101 | 105 | 113 => (f64::from(first), false),
        110 => (word? / 32_768.0, false),
        111 => (word?, false),
        112 => (f64::from(f32::from_bits(le32(element, 0)?)), false),
        _ => return None,
    })
}

/// Octets of an information element, where the type fixes them (60870-5-101 clause 7.3).
const fn size(kind: u8) -> Option<usize> {
    Some(match kind {
        102 => 0,
        1 | 3 | 45 | 46 | 47 | 70 | 100 | 101 | 105 | 113 => 1,
        5 | 21 | 104 | 106 => 2,
        9 | 11 | 48 | 49 | 110 | 111 => 3,
        2 | 4 | 51 | 122 | 124 => 4,
        6 | 7 | 13 | 15 | 20 | 50 | 112 | 123 => 5,
        10 | 12 | 17 | 120 => 6,
        18 | 19 | 103 | 121 => 7,
        8 | 14 | 16 | 30 | 31 | 58 | 59 | 60 => 8,
        32 | 107 => 9,
        34 | 35 | 38 | 61 | 62 => 10,
        39 | 40 | 64 => 11,
        33 | 36 | 37 | 63 => 12,
        126 => 13,
        127 => 16,
        _ => return None,
    })
}

/// What a type is for, and whether it is meant to change the process or the station when it is activated.
pub(super) const fn purpose(kind: u8, cause: u8) -> (&'static str, bool) {
    match kind {
        45..=69 => ("control", true),
        100..=102 => ("read", false),
        103 | 106 => ("time", false),
        104 | 107 => ("diagnose", false),
        105 => ("restart", true),
        110..=113 => ("configure", matches!(cause, 6 | 8)),
        120..=127 => ("file", matches!(kind, 120 | 125)),
        _ => ("read", false),
    }
}

pub(super) const fn object_type(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 | 2 | 30 => "single_point",
        3 | 4 | 31 => "double_point",
        5 | 6 | 32 => "step_position",
        7 | 8 | 33 => "bitstring",
        9..=14 | 21 | 34..=36 => "measured_value",
        15 | 16 | 37 => "integrated_total",
        45 | 58 => "single_command",
        46 | 59 => "double_command",
        47 | 60 => "regulating_step",
        48..=50 | 61..=63 => "set_point",
        51 | 64 => "bitstring_command",
        110..=113 => "parameter",
        120..=127 => "file",
        _ => return None,
    })
}

pub(super) const fn cause_name(cause: u8) -> &'static str {
    match cause {
        1 => "periodic",
        2 => "background",
        3 => "spontaneous",
        4 => "initialized",
        5 => "requested",
        6 => "activation",
        7 => "activation_confirmation",
        8 => "deactivation",
        9 => "deactivation_confirmation",
        10 => "activation_termination",
        11 => "return_info_remote",
        12 => "return_info_local",
        13 => "file_transfer",
        20..=36 => "interrogated",
        37..=41 => "counter_requested",
        44 => "unknown_type",
        45 => "unknown_cause",
        46 => "unknown_common_address",
        47 => "unknown_object_address",
        _ => "other",
    }
}

/// The standard's label of a type, in words.
pub(super) const fn type_name(kind: u8) -> &'static str {
    match kind {
        1 => "single_point",
        2 => "single_point_time24",
        3 => "double_point",
        4 => "double_point_time24",
        5 => "step_position",
        6 => "step_position_time24",
        7 => "bitstring",
        8 => "bitstring_time24",
        9 => "measured_normalized",
        10 => "measured_normalized_time24",
        11 => "measured_scaled",
        12 => "measured_scaled_time24",
        13 => "measured_float",
        14 => "measured_float_time24",
        15 => "integrated_totals",
        16 => "integrated_totals_time24",
        17 => "protection_event_time24",
        18 => "protection_start_time24",
        19 => "protection_output_time24",
        20 => "packed_single_points",
        21 => "measured_normalized_no_quality",
        30 => "single_point_time56",
        31 => "double_point_time56",
        32 => "step_position_time56",
        33 => "bitstring_time56",
        34 => "measured_normalized_time56",
        35 => "measured_scaled_time56",
        36 => "measured_float_time56",
        37 => "integrated_totals_time56",
        38 => "protection_event_time56",
        39 => "protection_start_time56",
        40 => "protection_output_time56",
        45 => "single_command",
        46 => "double_command",
        47 => "regulating_step_command",
        48 => "set_point_normalized",
        49 => "set_point_scaled",
        50 => "set_point_float",
        51 => "bitstring_command",
        58 => "single_command_time56",
        59 => "double_command_time56",
        60 => "regulating_step_command_time56",
        61 => "set_point_normalized_time56",
        62 => "set_point_scaled_time56",
        63 => "set_point_float_time56",
        64 => "bitstring_command_time56",
        70 => "end_of_initialization",
        100 => "interrogation",
        101 => "counter_interrogation",
        102 => "read",
        103 => "clock_synchronization",
        104 => "test",
        105 => "reset_process",
        106 => "delay_acquisition",
        107 => "test_time56",
        110 => "parameter_normalized",
        111 => "parameter_scaled",
        112 => "parameter_float",
        113 => "parameter_activation",
        120 => "file_ready",
        121 => "section_ready",
        122 => "call_directory",
        123 => "last_section",
        124 => "file_acknowledge",
        125 => "segment",
        126 => "directory",
        127 => "query_log",
        _ => "other",
    }
}
