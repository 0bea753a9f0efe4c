//! Log lines to events: a header reader (syslog, or none), then the format that knows the program.

use event::{Class, Event, Timestamp};

/// One line as it was read, without its line end.
pub struct Line<'a> {
    pub bytes: &'a [u8],
    /// When it was read; gives the year where the line has none.
    pub received: Timestamp,
    /// Seconds east of UTC of the host's local time, for lines that carry local time without a zone.
    pub utc_offset_secs: i32,
    /// Format to assume, from the configuration: `syslog`, `access`, …; `None` finds out by content.
    pub format: Option<&'a str>,
}

/// Reads one line: always exactly one event, typed where a format knows the line, else a plain `LogActivity` with its text.
/// Never panics, whatever the bytes. The class says how precious it is.
pub fn read(line: &Line<'_>) -> (Class, Event) {
    let text = event::Value::lossy(line.bytes);
    let event =
        Event::new(line.received, event::Kind::LogActivity, 1, event::LogSource::new("", "", "")).with(event::field::RAW_DATA, text);
    (Class::Bulk, event)
}
