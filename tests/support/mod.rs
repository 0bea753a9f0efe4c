//! What the cases share: where the real data lies, how a skip is said.

pub mod bench;
pub mod http;
pub mod programs;

use std::path::{Path, PathBuf};

/// The folder of real inputs with known truth, if this machine has it: `$VEDETTE_DATA`, else `../shared/data` beside the clone.
/// A test without it prints a loud SKIPPED line (counted by `cargo xtask test`) and returns.
pub fn data(path: &str) -> Option<PathBuf> {
    let base = std::env::var_os("VEDETTE_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    let full = base.join(path);
    if full.exists() {
        return Some(full);
    }
    skip(&format!("no {} (set VEDETTE_DATA to the data folder)", full.display()));
    None
}

/// Says loudly that a test did not run, and why.
pub fn skip(why: &str) {
    println!("SKIPPED: {why}");
}
