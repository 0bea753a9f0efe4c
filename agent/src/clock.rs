//! The one place in the agent that reads a clock; everything below takes time as an argument.

use event::Timestamp;

/// Wall-clock time, UTC.
#[expect(clippy::disallowed_methods, reason = "this is the rim")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ns(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// A clock that never goes back, for waiting and back-off.
#[expect(clippy::disallowed_methods, reason = "this is the rim")]
pub fn instant() -> std::time::Instant {
    std::time::Instant::now()
}
