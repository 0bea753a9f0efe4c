//! `cargo xtask bench [NAME]`: the promised figures, each beside its floor or its peer, from release builds.

use anyhow::{Result, bail};

use crate::shell;

/// (name, what it prints, package, example or bench).
const BENCHES: &[(&str, &str, &str, &str)] =
    &[("store", "ingest per CPU-second, bytes an event, the eight queries, an absent indicator", "collector", "bench_store")];

pub fn bench(args: &[String]) -> Result<()> {
    let Some(name) = args.first() else {
        for (name, about, ..) in BENCHES {
            println!("{name:<10} {about}");
        }
        return Ok(());
    };
    let Some((_, _, package, example)) = BENCHES.iter().find(|(n, ..)| n == name) else {
        bail!("there is no bench '{name}'; `cargo xtask bench` lists them");
    };
    shell::sh("cargo", &["run", "--release", "--locked", "-p", package, "--example", example])
}
