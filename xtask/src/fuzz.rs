//! Fuzz targets on the stable toolchain: libFuzzer with coverage counters, no sanitizer (safe Rust has little for one to find).

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

pub fn fuzz(args: &[String]) -> Result<()> {
    let seconds = match args.iter().position(|a| a == "--seconds") {
        Some(at) => args.get(at + 1).and_then(|n| n.parse().ok()).context("--seconds takes a whole number")?,
        None => 5,
    };
    match args.first().filter(|a| !a.starts_with("--")) {
        Some(target) => {
            build()?;
            one(target, seconds)
        }
        None => all(seconds).map(|count| println!("{count} targets, {seconds} s each, no crash")),
    }
}

/// Builds and runs every target; gives their number.
pub fn all(seconds: u32) -> Result<usize> {
    let names = targets()?;
    if names.is_empty() {
        return Ok(0);
    }
    build()?;
    for name in &names {
        one(name, seconds)?;
    }
    Ok(names.len())
}

fn targets() -> Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string(shell::root().join("fuzz/Cargo.toml"))?.parse()?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    Ok(bins.iter().filter_map(|b| b.get("name")?.as_str().map(str::to_owned)).collect())
}

fn build() -> Result<()> {
    let flags = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1";
    println!("$ cargo build --manifest-path fuzz/Cargo.toml --release (with coverage counters)");
    let status = shell::command("cargo")
        .args(["build", "--manifest-path", "fuzz/Cargo.toml", "--release", "--target", TRIPLE])
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", shell::target_dir().join("fuzz"))
        .status()?;
    if !status.success() {
        bail!("the fuzz targets do not build");
    }
    Ok(())
}

/// Runs one target from `fuzz/corpus/<target>` (seeds, checked in); new inputs go to a scratch folder, crashes to `fuzz/artifacts`.
fn one(target: &str, seconds: u32) -> Result<()> {
    let root = shell::root();
    let binary = shell::target_dir().join("fuzz").join(TRIPLE).join("release").join(target);
    let seeds = root.join("fuzz/corpus").join(target);
    let scratch = shell::target_dir().join("fuzz/found").join(target);
    let artifacts = root.join("fuzz/artifacts").join(target);
    fs::create_dir_all(&scratch)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = shell::command(&binary.display().to_string());
    command.arg(&scratch);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", artifacts.display())).args([
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]);
    let out = command.output().with_context(|| format!("cannot start {}", binary.display()))?;
    let log = String::from_utf8_lossy(&out.stderr);
    let runs = log.lines().find_map(|l| l.strip_prefix("stat::number_of_executed_units:")).map_or("?", str::trim);
    if !out.status.success() {
        eprintln!("{}", log.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"));
        bail!("fuzz target '{target}' failed; its input is in fuzz/artifacts/{target}");
    }
    println!("fuzz {target}: {runs} inputs, no crash");
    Ok(())
}
