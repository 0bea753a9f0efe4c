//! Objects of DNP3 messages (IEEE 1815-2012, clause 4.2.2.7 and annex A): headers, ranges, points, and what a command wants of them.
//!
//! Where a message carries data the next header stands behind it, so the size of each object must be known; reading ends at the first
//! unknown one. At most `HEADERS_MAX` headers and `NAMED_MAX` points of a message are kept.

use super::super::ot::{NAMED_MAX, le16, le32};
use super::super::wording::push_number;

const HEADERS_MAX: usize = 16;
/// Room for nearly every name.
const NAME_BYTES: usize = 24;

/// What a message holds, the first of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Objects {
    /// Group and variation of the first header.
    pub first: Option<(u8, u8)>,
    /// First point, where one is named.
    pub address: Option<u32>,
    /// Points in all, where they are counted.
    pub count: u64,
    /// `g12v1:3`, `g30v0:0-9`, `g60v2`.
    pub names: Vec<String>,
    /// Control codes and set values.
    pub values: Vec<f64>,
    /// First control code of a relay block.
    pub control: Option<u8>,
    /// First status of a command that is not "done".
    pub refusal: Option<u8>,
    /// Name in a file command, and whether the file is opened to be changed.
    pub file: Option<(String, bool)>,
    /// A clock is among them.
    pub time: bool,
    /// Nobody asks for `names`.
    unnamed: bool,
}

impl Objects {
    /// Reads the objects of a message; `with_data` where each header is followed by its objects.
    pub(super) fn read(bytes: &[u8], with_data: bool) -> Self {
        Self::default().read_on(bytes, with_data)
    }

    /// As `read`, without the names: of an answer to a request that is known.
    pub(super) fn read_unnamed(bytes: &[u8], with_data: bool) -> Self {
        Self { unnamed: true, ..Self::default() }.read_on(bytes, with_data)
    }

    fn read_on(self, mut bytes: &[u8], with_data: bool) -> Self {
        let mut objects = self;
        for _ in 0..HEADERS_MAX {
            let Some(rest) = objects.header(bytes, with_data) else { break };
            bytes = rest;
        }
        objects
    }

    fn header<'b>(&mut self, bytes: &'b [u8], with_data: bool) -> Option<&'b [u8]> {
        let [group, variation, qualifier, rest @ ..] = bytes else { return None };
        let (group, variation) = (*group, *variation);
        let name = || type_name(group, variation);
        self.time |= matches!(group, 50 | 51);
        let (start, count, mut data) = range(qualifier & 0x0f, rest)?;
        if self.first.is_none() {
            self.first = Some((group, variation));
            self.address = start;
        }
        self.count += u64::from(count.unwrap_or(0));
        let prefix = match qualifier >> 4 & 7 {
            0 => 0,
            1 | 4 => 1,
            2 | 5 => 2,
            3 | 6 => 4,
            _ => return None,
        };
        let sized = qualifier >> 4 & 7 >= 4;
        if prefix == 0 || !with_data && !sized && data.is_empty() {
            self.name(|| {
                let mut points = name();
                if let (Some(start), Some(n)) = (start, count) {
                    points.push(':');
                    push_number(&mut points, start.into());
                    if n != 1 {
                        points.push('-');
                        push_number(&mut points, start.saturating_add(n - 1).into());
                    }
                }
                points
            });
        }
        if prefix == 0 && !with_data {
            return Some(data);
        }
        if prefix == 0 {
            let size = if packed(group, variation) {
                usize::try_from(count?).ok()?.div_ceil(if group == 3 { 4 } else { 8 })
            } else {
                let one = size(group, variation)?;
                for n in 0..usize::try_from(count?).ok()?.min(NAMED_MAX) {
                    self.point(group, data.get(n * one..(n + 1) * one)?);
                }
                one.checked_mul(usize::try_from(count?).ok()?)?
            };
            return data.get(size..);
        }
        for n in 0..count? {
            let number = match prefix {
                1 => u32::from(*data.first()?),
                2 => u32::from(le16(data, 0)?),
                _ => le32(data, 0)?,
            };
            data = data.get(prefix..)?;
            let one = if sized {
                usize::try_from(number).ok()?
            } else {
                self.name(|| {
                    let mut point = name();
                    point.push(':');
                    push_number(&mut point, number.into());
                    point
                });
                if n == 0 && self.address.is_none() && self.first == Some((group, variation)) {
                    self.address = Some(number);
                }
                if with_data { size(group, variation)? } else { 0 }
            };
            let object = data.get(..one)?;
            if sized && n == 0 {
                self.name(name);
                self.file(group, variation, object);
            }
            self.point(group, object);
            data = data.get(one..)?;
        }
        Some(data)
    }

    fn name(&mut self, name: impl FnOnce() -> String) {
        if !self.unnamed && self.names.len() < NAMED_MAX {
            self.names.push(name());
        }
    }

    /// What a command wants of a point, and what became of it.
    fn point(&mut self, group: u8, object: &[u8]) {
        let mut told = None;
        match (group, object) {
            (12, [code, .., status]) if object.len() == 11 => {
                self.control.get_or_insert(*code);
                told = Some((f64::from(*code), *status));
            }
            (41, [value @ .., status]) => {
                let number = match value.len() {
                    2 => le16(value, 0).map(|v| f64::from(v.cast_signed())),
                    4 if self.first == Some((41, 3)) => le32(value, 0).map(|v| f64::from(f32::from_bits(v))),
                    4 => le32(value, 0).map(|v| f64::from(v.cast_signed())),
                    8 => value.try_into().ok().map(f64::from_le_bytes),
                    _ => None,
                };
                told = number.map(|n| (n, *status));
            }
            _ => {}
        }
        if let Some((value, status)) = told {
            // Bit 7 of the status is reserved.
            let status = status & 0x7f;
            if status != 0 {
                self.refusal.get_or_insert(status);
            }
            if self.values.len() < NAMED_MAX {
                self.values.push(value);
            }
        }
    }

    /// File commands of group 70: variation 3 opens or deletes by name, 7 is the information of a file.
    fn file(&mut self, group: u8, variation: u8, object: &[u8]) {
        let (at, length, mode) = match (group, variation) {
            (70, 3) => (le16(object, 0), le16(object, 2), le16(object, 20)),
            (70, 7) => (le16(object, 0), le16(object, 2), Some(1)),
            _ => return,
        };
        if let (Some(at), Some(length)) = (at, length)
            && let Some(name) = object.get(usize::from(at)..).map(|rest| rest.get(..usize::from(length)).unwrap_or(rest))
            && self.file.is_none()
        {
            self.file = Some((String::from_utf8_lossy(name).into_owned(), mode.is_some_and(|m| m != 1)));
        }
    }
}

/// Start, count and the rest behind the range field.
fn range(code: u8, b: &[u8]) -> Option<(Option<u32>, Option<u32>, &[u8])> {
    let byte = |at: usize| b.get(at).map(|v| u32::from(*v));
    let word = |at| le16(b, at).map(u32::from);
    let (start, count, length) = match code {
        0 => (byte(0), span(byte(0)?, byte(1)?), 2),
        1 => (word(0), span(word(0)?, word(2)?), 4),
        2 => (le32(b, 0), span(le32(b, 0)?, le32(b, 4)?), 8),
        6 => (None, None, 0),
        7 | 11 => (None, Some(byte(0)?), 1),
        8 => (None, Some(word(0)?), 2),
        9 => (None, Some(le32(b, 0)?), 4),
        _ => return None,
    };
    Some((start, count, b.get(length..)?))
}

fn span(start: u32, stop: u32) -> Option<u32> {
    stop.checked_sub(start)?.checked_add(1)
}

/// `g30v1`.
pub(super) fn type_name(group: u8, variation: u8) -> String {
    let mut name = String::with_capacity(NAME_BYTES);
    for (letter, n) in [('g', group), ('v', variation)] {
        name.push(letter);
        push_number(&mut name, n.into());
    }
    name
}

const fn packed(group: u8, variation: u8) -> bool {
    matches!((group, variation), (1 | 3 | 10, 1) | (12, 3) | (80, 1))
}

/// Bytes of one object.
const fn size(group: u8, variation: u8) -> Option<usize> {
    Some(match (group, variation) {
        (1 | 3 | 10, 2) | (2 | 4 | 11 | 13, 1) => 1,
        (2 | 4 | 11 | 13, 2) => 7,
        (2 | 4, 3) => 3,
        (12, 1 | 2) => 11,
        (20..=23, 1) | (30..=33 | 40..=43, 1) => 5,
        (20..=23, 2) | (30..=33 | 40..=43, 2) => 3,
        (20, 5) | (21, 9) | (30, 3) | (31, 5) | (34, 2 | 3) => 4,
        (20, 6) | (21, 10) | (30, 4) | (31, 6) | (34, 1) | (52, 1 | 2) => 2,
        (21..=23, 5) | (31..=33 | 42 | 43, 3) | (32 | 33 | 42 | 43, 7) | (50, 4) => 11,
        (21..=23, 6) | (31..=33 | 42 | 43, 4) | (30, 6) | (31, 8) | (32 | 33 | 42 | 43, 6) | (40 | 41, 4) => 9,
        (30, 5) | (31, 7) | (32 | 33 | 42 | 43, 5) | (40 | 41, 3) => 5,
        (32 | 33 | 42 | 43, 8) => 15,
        (50, 1 | 3) | (51, 1 | 2) => 6,
        (50, 2) => 10,
        (110 | 111, size) => size as usize,
        _ => return None,
    })
}

/// Name of a control code of a relay block: what it does, and to which of a pair.
pub(super) const fn control_name(code: u8) -> &'static str {
    match (code & 0x0f, code >> 6) {
        (1, 1) => "close_pulse_on",
        (1, 2) => "trip_pulse_on",
        (1, _) => "pulse_on",
        (2, _) => "pulse_off",
        (3, _) => "latch_on",
        (4, _) => "latch_off",
        (0, _) => "nul",
        _ => "other",
    }
}

/// Name of the status a station puts into the echo of a command.
pub(super) const fn status_name(status: u8) -> &'static str {
    match status {
        1 => "timeout",
        2 => "no_select",
        3 => "format_error",
        4 => "not_supported",
        5 => "already_active",
        6 => "hardware_error",
        7 => "local",
        8 => "too_many_operations",
        9 => "not_authorized",
        10 => "automation_inhibit",
        11 => "processing_limited",
        12 => "out_of_range",
        13 => "downstream_local",
        14 => "already_complete",
        15 => "blocked",
        16 => "canceled",
        17 => "blocked_other_master",
        18 => "downstream_fail",
        126 => "non_participating",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A relay block, a range and set values, cut everywhere: without names everything else is the same.
    #[test]
    fn what_is_read_without_names_differs_by_the_names_alone() {
        let relay =
            [&[12u8, 1, 0x28, 1, 0, 3, 0, 0x41, 1, 100, 0, 0, 0, 100, 0, 0, 0, 4][..], &[30, 3, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0]].concat();
        assert_eq!(Objects::read(&relay, true).names, ["g12v1:3", "g30v3:0-1"]);
        for upto in 0..=relay.len() {
            for with_data in [true, false] {
                let named = Objects::read(&relay[..upto], with_data);
                let unnamed = Objects::read_unnamed(&relay[..upto], with_data);
                assert_eq!(unnamed, Objects { names: Vec::new(), unnamed: true, ..named });
            }
        }
    }
}
