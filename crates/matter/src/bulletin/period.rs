//! Days, weeks and months of the house's local time.

use event::Timestamp;
use serde::{Deserialize, Serialize};

const DAY_S: i64 = 86_400;

/// How long a bulletin looks back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    Daily,
    Weekly,
    Monthly,
}

impl Every {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::Daily => "日报",
            Self::Weekly => "周报",
            Self::Monthly => "月报",
        }
    }
}

/// From (included) to (excluded); whole local days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    pub every: Every,
    #[serde(with = "crate::when")]
    pub from: Timestamp,
    #[serde(with = "crate::when")]
    pub to: Timestamp,
    /// Minutes local time is ahead of UTC.
    pub utc_offset_min: i32,
}

impl Period {
    /// The day, week (from Monday) or month this moment lies in.
    pub fn of(every: Every, at: Timestamp, utc_offset_min: i32) -> Self {
        let offset = i64::from(utc_offset_min) * 60;
        let day = (at.secs() + offset).div_euclid(DAY_S);
        let (first, last) = match every {
            Every::Daily => (day, day + 1),
            // Day 0 was a Thursday.
            Every::Weekly => {
                let monday = day - (day + 3).rem_euclid(7);
                (monday, monday + 7)
            }
            Every::Monthly => {
                let (year, month) = month_of(day);
                let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                (first_of(year, month).unwrap_or(day), first_of(next_year, next_month).unwrap_or(day + 1))
            }
        };
        let at = |day: i64| Timestamp::from_secs(day * DAY_S - offset);
        Self { every, from: at(first), to: at(last), utc_offset_min }
    }
    /// The one before.
    pub fn before(self) -> Self {
        Self::of(self.every, self.from.minus_ns(1), self.utc_offset_min)
    }
    /// The last one that is over at this moment.
    pub fn last(every: Every, now: Timestamp, utc_offset_min: i32) -> Self {
        Self::of(every, now, utc_offset_min).before()
    }
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
    /// First day, `2026-11-23`.
    pub fn day(&self) -> String {
        day_text((self.from.secs() + i64::from(self.utc_offset_min) * 60).div_euclid(DAY_S))
    }
    /// Last day.
    pub fn last_day(&self) -> String {
        day_text((self.to.secs() + i64::from(self.utc_offset_min) * 60).div_euclid(DAY_S) - 1)
    }
    /// `daily:2026-11-23`.
    pub fn key(&self) -> String {
        format!("{}:{}", self.every.name(), self.day())
    }
}

/// The moment a local day begins; none for what is no day.
pub fn day_start(day: &str, utc_offset_min: i32) -> Option<Timestamp> {
    let utc = Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z"))?;
    Some(utc.plus_secs(-60 * i64::from(utc_offset_min)))
}

fn day_text(day: i64) -> String {
    let mut text = Timestamp::from_secs(day * DAY_S).to_string();
    text.truncate(10);
    text
}

fn month_of(day: i64) -> (i64, i64) {
    let text = day_text(day);
    let mut parts = text.split('-').map(|p| p.parse().unwrap_or(1));
    (parts.next().unwrap_or(1970), parts.next().unwrap_or(1))
}

fn first_of(year: i64, month: i64) -> Option<i64> {
    Some(Timestamp::parse_rfc3339(&format!("{year:04}-{month:02}-01T00:00:00Z"))?.secs().div_euclid(DAY_S))
}
