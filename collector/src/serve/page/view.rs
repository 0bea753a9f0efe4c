//! How values are written for people: times in the console's zone, sizes, stretches of time.

use std::borrow::Borrow;

use event::Timestamp;
use jiff::tz::TimeZone;

/// Writes times in one zone.
pub struct Times {
    zone: TimeZone,
}

impl Times {
    /// A zone this machine does not know is UTC, and says so by its label.
    pub fn new(zone: &str) -> Self {
        Self { zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC) }
    }

    fn format(&self, text: &str, format: &str) -> String {
        let Some(time) = Timestamp::parse_rfc3339(text) else { return String::new() };
        let Ok(stamp) = jiff::Timestamp::from_millisecond(time.ms()) else { return text.to_owned() };
        stamp.to_zoned(self.zone.clone()).strftime(format).to_string()
    }
    /// `11-23 16:00:05`.
    pub fn short(&self, text: &str) -> String {
        self.format(text, "%m-%d %H:%M:%S")
    }
    /// `16:00:05`.
    pub fn clock(&self, text: &str) -> String {
        self.format(text, "%H:%M:%S")
    }
    /// `2026-11-23 16:00:05.123 CST`.
    pub fn full(&self, text: &str) -> String {
        self.format(text, "%Y-%m-%d %H:%M:%S%.3f %Z")
    }
    /// `16:00:05.123`.
    pub fn fine(&self, text: &str) -> String {
        self.format(text, "%H:%M:%S%.3f")
    }
}

/// `12.3 MiB`.
pub fn bytes_text(bytes: impl Borrow<i64>) -> String {
    let bytes = *bytes.borrow();
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes.max(0) as f64;
    let mut at = 0;
    while value >= 1024.0 && at + 1 < units.len() {
        value /= 1024.0;
        at += 1;
    }
    if at == 0 { format!("{value} {}", units[at]) } else { format!("{value:.1} {}", units[at]) }
}

/// `3 d 4 h`, `5 h 12 min`, `2 min`, `8 s`: the two largest parts.
pub fn duration_text(seconds: impl Borrow<i64>) -> String {
    let s = (*seconds.borrow()).max(0);
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// The same in Chinese: `3 天 4 小时`, `5 小时 12 分`, `2 分钟`, `8 秒`.
pub fn duration_text_zh(seconds: impl Borrow<i64>) -> String {
    let s = (*seconds.borrow()).max(0);
    match s {
        0..60 => format!("{s} 秒"),
        60..3600 => format!("{} 分钟", s / 60),
        3600..86_400 => format!("{} 小时 {} 分", s / 3600, s / 60 % 60),
        _ => format!("{} 天 {} 小时", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_stretches() {
        let utc = Times::new("UTC");
        assert_eq!(utc.full("2026-11-23T08:00:05.12Z"), "2026-11-23 08:00:05.120 UTC");
        assert_eq!(utc.short("no time"), "");
        assert_eq!((bytes_text(512), bytes_text(12_900_000)), ("512 B".into(), "12.3 MiB".into()));
        assert_eq!((duration_text(8), duration_text(90_061)), ("8 s".into(), "1 d 1 h".into()));
        assert_eq!((duration_text_zh(8), duration_text_zh(90_061)), ("8 秒".into(), "1 天 1 小时".into()));
    }
}
