//! Sizes, times and secrets as they are written in a configuration.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A size: `"64 MiB"`, `"1.5 GB"`, or a bare number of bytes. KiB, MiB, GiB, TiB are powers of 1024; kB, MB, GB, TB of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u64);

impl Bytes {
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }
    pub const fn gib(n: u64) -> Self {
        Self(n * 1024 * 1024 * 1024)
    }
    /// As a length in memory; held at `usize::MAX` where that is smaller.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZES: [(&str, u64); 10] = [
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
    ("", 1),
];

impl FromStr for Bytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "not a size; write for example \"64 MiB\", \"500 kB\" or a number of bytes".to_owned();
        let (number, unit) = split(text).ok_or_else(bad)?;
        let unit = unit.to_ascii_lowercase();
        let factor = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, f)| *f).ok_or_else(bad)?;
        scale(number, factor).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, factor) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{} {name}", self.0 / factor);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// A length of time: `"250 ms"`, `"5s"`, `"10 min"`, `"1h 30m"`, `"7d"`. A bare number is refused: its unit would be a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    pub const fn secs(n: u64) -> Self {
        Self(std::time::Duration::from_secs(n))
    }
    pub const fn millis(n: u64) -> Self {
        Self(std::time::Duration::from_millis(n))
    }
    /// Nanoseconds, held at `i64::MAX` (292 years).
    pub fn as_ns(self) -> i64 {
        i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)
    }
}

fn time_unit(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" | "sec" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        "w" | "week" | "weeks" => 604_800_000_000_000,
        _ => return None,
    })
}

impl FromStr for Duration {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "not a length of time; write for example \"250 ms\", \"5 s\", \"10 min\", \"1h 30m\" or \"7 d\"".to_owned();
        let mut rest = text.trim();
        let mut total = 0u64;
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let (number, tail) = rest.split_at(digits);
            let tail = tail.trim_start();
            let end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            let factor = time_unit(unit).ok_or_else(bad)?;
            total = total.checked_add(scale(number, factor).ok_or_else(bad)?).ok_or_else(bad)?;
            parts += 1;
            rest = tail.trim_start();
        }
        if parts == 0 { Err(bad()) } else { Ok(Self(std::time::Duration::from_nanos(total))) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        let units: [(&str, u128); 6] = [
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("min", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
        ];
        for (name, factor) in units {
            if ns >= factor && ns.is_multiple_of(factor) {
                return write!(f, "{} {name}", ns / factor);
            }
        }
        if ns == 0 { f.write_str("0 s") } else { write!(f, "{ns} ns") }
    }
}

/// Number and unit of `"1.5 GB"`.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() { None } else { Some((number, unit.trim())) }
}

/// Decimal number times factor, exact (no floating point), `None` on overflow or nonsense.
fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && part.is_empty()) || part.len() > 9 || part.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = u128::from(whole) * u128::from(factor);
    if !part.is_empty() {
        let digits: u128 = part.parse().ok()?;
        total += digits * u128::from(factor) / 10u128.pow(u32::try_from(part.len()).ok()?);
    }
    u64::try_from(total).ok()
}

macro_rules! text_serde {
    ($type:ident, $expecting:literal, $($number:tt)?) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
                struct V;
                impl Visitor<'_> for V {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                    $(fn visit_i64<E: Error>(self, n: i64) -> Result<$type, E> {
                        u64::try_from(n).map($number).map_err(|_| E::custom("a size is not negative"))
                    }
                    fn visit_u64<E: Error>(self, n: u64) -> Result<$type, E> {
                        Ok($number(n))
                    })?
                }
                de.deserialize_any(V)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
                ser.collect_str(self)
            }
        }
    };
}
text_serde!(Bytes, "a size such as \"64 MiB\"", Bytes);
text_serde!(Duration, "a length of time such as \"5 s\"",);

/// Text that never prints: not in `Debug`, not in `Display`, not when serialised, not in an error about it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text itself; call it where it is used, never where it might be kept or shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const HIDDEN: &str = "(hidden)";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.serialize_str(HIDDEN)
    }
}
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct V;
        const WRONG: &str = "a secret is text in quotes";
        impl<'de> Visitor<'de> for V {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret as text in quotes")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }
            // Each own, so that serde's message, which shows the value, is never made.
            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom(WRONG))
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom(WRONG))
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom(WRONG))
            }
            fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
                Err(E::custom(WRONG))
            }
        }
        de.deserialize_any(V)
    }
}
