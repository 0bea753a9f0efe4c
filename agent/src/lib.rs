//! The program on a watched host: sensors see, the edge thins, the spool keeps, the uplink sends. It only reads the host; it
//! listens on nothing but a local metrics address, starts no program and takes no command.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod edge;
pub mod identity;
pub mod ledger;
pub mod metrics;
pub mod privilege;
pub mod sensor;
pub mod uplink;
