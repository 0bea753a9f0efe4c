//! Bytes to events: network protocols in `net`, log formats in `log`, a module and a table row for each. Knows no packet and no file.

pub mod log;
pub mod net;
