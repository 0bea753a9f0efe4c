//! Segments: sealed events as plain Parquet files, zstd, sorted by class, host and time.
//!
//! A file holds one delivery class and (strays aside) one UTC day. The columns below exist where at least one event of the file has the
//! field in the type of the column; everything else an event carries lies in `extra` (see `codec`), so nothing is lost. A row group in
//! which some value of a column field had another type and went to `extra` is marked `odd`: there, columns alone cannot decide.
//! Header columns: `time` (ms) and `time_rest` (ns within it), `observed_lag` (ns), `class_uid`, `activity_id`, `severity_id`,
//! `product`, `category`, `service`, and the id: `agent`, `epoch`, `seq` (bits of u64), the lane being the file's.

pub(crate) mod bloom;
pub(crate) mod eval;
pub(crate) mod read;
pub(crate) mod write;

use std::collections::BTreeMap;

use event::{Class, Field, Timestamp, field};

/// How a column field is laid down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Text with few values: dictionary.
    Word,
    /// Text with many values.
    Text,
    /// Address as text, dictionary.
    Ip,
    Int,
    /// Integer that rises slowly.
    Rising,
    Bool,
}

/// Fields with a column of their own, at most 128; a field is never removed or moved (bits in the manifest count on the order).
pub(crate) const COLUMNS: &[(Field, Layout)] = &[
    (field::UNIT_ID, Layout::Word),
    (field::UNIT_NAME, Layout::Word),
    (field::UNIT_SECTOR, Layout::Word),
    (field::OBJECT_ID, Layout::Word),
    (field::OBJECT_IMPORTANCE, Layout::Int),
    (field::ASSET_ID, Layout::Word),
    (field::AGENT_ID, Layout::Word),
    (field::RECEIVED_TIME, Layout::Rising),
    (field::DEVICE_HOSTNAME, Layout::Word),
    (field::DEVICE_IP, Layout::Ip),
    (field::DEVICE_OS, Layout::Word),
    (field::DEVICE_INTERFACE, Layout::Word),
    (field::MESSAGE, Layout::Text),
    (field::RAW_DATA, Layout::Text),
    (field::STATUS_ID, Layout::Int),
    (field::STATUS_DETAIL, Layout::Word),
    (field::LOG_NAME, Layout::Word),
    (field::PRODUCT_NAME, Layout::Word),
    (field::COUNT, Layout::Int),
    (field::DURATION_MS, Layout::Int),
    (field::START_TIME, Layout::Rising),
    (field::END_TIME, Layout::Rising),
    (field::EVENT_CODE, Layout::Word),
    (field::DISPOSITION, Layout::Word),
    (field::SRC_IP, Layout::Ip),
    (field::SRC_PORT, Layout::Int),
    (field::SRC_MAC, Layout::Word),
    (field::DST_IP, Layout::Ip),
    (field::DST_PORT, Layout::Int),
    (field::DST_MAC, Layout::Word),
    (field::DST_HOSTNAME, Layout::Word),
    (field::PROTOCOL, Layout::Word),
    (field::DIRECTION_ID, Layout::Int),
    (field::FLAG_HISTORY, Layout::Word),
    (field::COMMUNITY_ID, Layout::Text),
    (field::CONN_STATE, Layout::Word),
    (field::CONN_CLOSE, Layout::Word),
    (field::APP_NAME, Layout::Word),
    (field::BYTES, Layout::Int),
    (field::BYTES_IN, Layout::Int),
    (field::BYTES_OUT, Layout::Int),
    (field::PACKETS, Layout::Int),
    (field::PACKETS_IN, Layout::Int),
    (field::PACKETS_OUT, Layout::Int),
    (field::DNS_QUERY, Layout::Word),
    (field::DNS_TYPE, Layout::Word),
    (field::DNS_RCODE, Layout::Word),
    (field::DNS_DOMAIN, Layout::Word),
    (field::TLS_SNI, Layout::Word),
    (field::TLS_VERSION, Layout::Word),
    (field::TLS_JA3, Layout::Word),
    (field::TLS_JA4, Layout::Word),
    (field::HTTP_METHOD, Layout::Word),
    (field::HTTP_HOST, Layout::Word),
    (field::HTTP_PATH, Layout::Text),
    (field::HTTP_QUERY, Layout::Text),
    (field::HTTP_URL, Layout::Text),
    (field::HTTP_USER_AGENT, Layout::Word),
    (field::HTTP_STATUS, Layout::Int),
    (field::USER_NAME, Layout::Word),
    (field::ACTOR_USER, Layout::Word),
    (field::GROUP_NAME, Layout::Word),
    (field::AUTH_PROTOCOL, Layout::Word),
    (field::IS_REMOTE, Layout::Bool),
    (field::SERVICE_NAME, Layout::Word),
    (field::PROCESS_PID, Layout::Int),
    (field::PROCESS_NAME, Layout::Word),
    (field::PROCESS_CMD_LINE, Layout::Text),
    (field::PROCESS_PATH, Layout::Word),
    (field::PROCESS_USER, Layout::Word),
    (field::PARENT_PID, Layout::Int),
    (field::PARENT_NAME, Layout::Word),
    (field::PARENT_CMD_LINE, Layout::Text),
    (field::FILE_PATH, Layout::Text),
    (field::FILE_NAME, Layout::Word),
    (field::FILE_SIZE, Layout::Int),
    (field::FILE_SHA256, Layout::Text),
    (field::RESULT_SIZE, Layout::Int),
    (field::RESULT_SHA256, Layout::Text),
    (field::ARP_SENDER_IP, Layout::Ip),
    (field::ARP_SENDER_MAC, Layout::Word),
    (field::ANOMALY_NAME, Layout::Word),
    (field::LOG_PATH, Layout::Word),
    (field::LOG_OFFSET, Layout::Rising),
    (field::LOG_PROGRAM, Layout::Word),
];

pub(crate) const TIME: &str = "time";
pub(crate) const TIME_REST: &str = "time_rest";
pub(crate) const OBSERVED_LAG: &str = "observed_lag";
pub(crate) const CLASS_UID: &str = "class_uid";
pub(crate) const ACTIVITY: &str = "activity_id";
pub(crate) const SEVERITY: &str = "severity_id";
pub(crate) const PRODUCT: &str = "product";
pub(crate) const CATEGORY: &str = "category";
pub(crate) const SERVICE: &str = "service";
pub(crate) const AGENT: &str = "agent";
pub(crate) const EPOCH: &str = "epoch";
pub(crate) const SEQ: &str = "seq";
pub(crate) const EXTRA: &str = "extra";

/// Rows of a row group.
pub(crate) const GROUP_ROWS: usize = 65_536;

/// Index into `COLUMNS` of a field.
pub(crate) fn column_of(field: Field) -> Option<usize> {
    const NONE: u8 = u8::MAX;
    static AT: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let table = AT.get_or_init(|| {
        let mut table = Vec::new();
        for (at, (field, _)) in COLUMNS.iter().enumerate() {
            let number = usize::from(field.number());
            if table.len() <= number {
                table.resize(number + 1, NONE);
            }
            if let Some(slot) = table.get_mut(number) {
                *slot = u8::try_from(at).unwrap_or(NONE);
            }
        }
        table
    });
    table.get(usize::from(field.number())).filter(|at| **at != NONE).map(|at| usize::from(*at))
}

/// What the manifest knows of a segment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Meta {
    pub(crate) id: i64,
    pub(crate) file: String,
    pub(crate) class: Class,
    /// UTC day of its events; of strays the day of the oldest.
    pub(crate) day: i64,
    pub(crate) min: Timestamp,
    pub(crate) max: Timestamp,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// BLAKE3 of the file, hex.
    pub(crate) hash: String,
    /// 0 as sealed, 1 compacted.
    pub(crate) tier: u8,
    pub(crate) hold: bool,
    pub(crate) groups: Vec<Group>,
    /// Rows and time range by unit; the empty name: no unit.
    pub(crate) units: BTreeMap<String, (u64, i64, i64)>,
}

/// What the manifest knows of a row group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Group {
    pub(crate) rows: usize,
    pub(crate) min: Timestamp,
    pub(crate) max: Timestamp,
    /// Rows with a column field of another type, kept in `extra`.
    pub(crate) odd: usize,
    /// Which `COLUMNS` have a value here, one bit each.
    pub(crate) present: u128,
}

/// Reads a segment file by itself, without the manifest: how many of its events a query wants, and how many its footer says it holds. For
/// checks of files and for fuzzing.
pub fn segment_rows(path: &std::path::Path, class: Class, query: &super::Query) -> Result<(u64, u64), String> {
    let footer = read::footer(path).map_err(|e| e.to_string())?;
    let group = |rows: i64| Group {
        rows: usize::try_from(rows).unwrap_or(0),
        min: Timestamp::MIN,
        max: Timestamp::MAX,
        odd: 0,
        present: u128::MAX,
    };
    let groups: Vec<Group> = footer.metadata().row_groups().iter().take(GROUPS_LOOKED_MAX).map(|g| group(g.num_rows())).collect();
    let rows = groups.iter().map(|g| g.rows as u64).fold(0, u64::saturating_add);
    let all: Vec<usize> = (0..groups.len()).collect();
    let meta = Meta {
        id: 0,
        file: String::new(),
        class,
        day: 0,
        min: Timestamp::MIN,
        max: Timestamp::MAX,
        rows,
        bytes: 0,
        hash: String::new(),
        tier: 0,
        hold: false,
        groups,
        units: BTreeMap::new(),
    };
    let opened = read::Opened::new(path, footer, class).map_err(|e| e.to_string())?;
    let mut newest = super::scan::Newest::new(query.limit);
    opened.search(&meta, &all, &super::Scope::CITY, query, &mut newest).map_err(|e| e.to_string())?;
    Ok((newest.page(super::Searched::default()).events.len() as u64, rows))
}

const GROUPS_LOOKED_MAX: usize = 64;

/// Writes events of one class as a segment file of its own.
pub fn write_segment(path: &std::path::Path, class: Class, events: &[std::sync::Arc<event::Event>]) -> std::io::Result<()> {
    let mut events = events.to_vec();
    write::sort(&mut events);
    write::write(path, class, &events, 1, 0).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Filter, Query};
    use event::{AgentId, Epoch, Event, EventId, Kind, LogSource};
    use std::sync::Arc;

    #[test]
    fn bytes_a_disk_has_changed_are_an_error_or_other_rows_and_never_the_end_of_a_thread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.parquet");
        let events: Vec<_> = (1..=40u64)
            .map(|n| {
                let mut event = Event::new(Timestamp::from_secs(n as i64), Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
                    .with(field::USER_NAME, "root")
                    .with(field::STATUS_ID, 2);
                event.id = EventId { agent: AgentId(7), epoch: Epoch(1), class: Class::Normal, seq: n };
                Arc::new(event)
            })
            .collect();
        write_segment(&path, Class::Normal, &events).unwrap();
        let query = Query::new(Timestamp::MIN, Timestamp::MAX, Filter::eq(field::USER_NAME, "root"), 100);
        assert_eq!(segment_rows(&path, Class::Normal, &query), Ok((40, 40)));
        let good = std::fs::read(&path).unwrap();
        let mut refused = 0;
        for at in (0..good.len()).rev().step_by(3).take(700) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, bytes).unwrap();
            refused += usize::from(segment_rows(&path, Class::Normal, &query).is_err());
        }
        assert!(refused > 50, "{refused} of 700 changes refused");
    }
}
