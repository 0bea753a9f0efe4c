//! Limits of an event. Past them the value is cut and the cut is visible: nothing is lost without a trace.

/// Fields in one event; further ones are refused and counted by `Fields::refused`.
pub const FIELDS_MAX: usize = 256;
/// Bytes of one text value; longer text is cut at a character border.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Elements of one list value.
pub const LIST_MAX: usize = 1024;
/// Bytes of a field name that is not in the table.
pub const NAME_BYTES_MAX: usize = 256;
/// Event ids that one finding or alert carries as evidence: the first and the newest ones.
pub const EVIDENCE_MAX: usize = 32;
