//! Fuzz targets on the stable toolchain: libFuzzer with coverage counters, no sanitizer (safe Rust has little for one to find).
//! Overflow checks and debug assertions are on (the profile in `fuzz/Cargo.toml`); memory is held by a limit on the address space, so that
//! a length believed is an allocation that fails. As many targets run at once as there are cores.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

use crate::shell;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Address space of a target, KiB: the program, its threads and what one input may ask for.
const SPACE_KIB: u32 = 1024 * 1024;

pub fn fuzz(args: &[String]) -> Result<()> {
    let seconds = match args.iter().position(|a| a == "--seconds") {
        Some(at) => args.get(at + 1).and_then(|n| n.parse().ok()).context("--seconds takes a whole number")?,
        None => 5,
    };
    if let Some(at) = args.iter().position(|a| a == "--captures") {
        let rounds = args.get(at + 1).and_then(|n| n.parse().ok()).context("--captures takes a whole number: mutations of each capture")?;
        return captures(rounds);
    }
    match args.first().filter(|a| !a.starts_with("--")) {
        Some(target) => {
            build()?;
            println!("{}", one(target, seconds, &found(target))?);
            Ok(())
        }
        None => all(seconds).map(|count| println!("{count} targets, {seconds} s each, no crash")),
    }
}

/// Every capture of the data set in so many broken forms, whole, in a release build (`tests/net/mutation.rs`).
fn captures(rounds: u32) -> Result<()> {
    let status = shell::command("cargo")
        .args(["test", "--release", "--locked", "-p", "tests", "--test", "it", "net::mutation", "--", "--nocapture"])
        .env("VEDETTE_MUTATIONS", rounds.to_string())
        .env("VEDETTE_MUTATION_FRAMES", "1000000")
        .status()
        .context("run cargo")?;
    if status.success() { Ok(()) } else { bail!("the mutated captures failed") }
}

/// Builds and runs every target from its seeds alone; gives their number. All are run, and all that failed are named.
pub fn all(seconds: u32) -> Result<usize> {
    let names = targets()?;
    if names.is_empty() {
        return Ok(0);
    }
    build()?;
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // What earlier runs found would make this one longer than it says.
                    let _ = fs::remove_dir_all(found(name));
                    match one(name, seconds, &found(name)) {
                        Ok(line) => println!("{line}"),
                        Err(error) => failed.lock().expect("no one panics with it").push(format!("{error:#}")),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no one panics with it");
    if failed.is_empty() { Ok(names.len()) } else { bail!("{}", failed.join("\n")) }
}

/// Where the inputs go that a target finds worth keeping.
fn found(target: &str) -> PathBuf {
    shell::target_dir().join("fuzz/found").join(target)
}

fn targets() -> Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string(shell::root().join("fuzz/Cargo.toml"))?.parse()?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    Ok(bins.iter().filter_map(|b| b.get("name")?.as_str().map(str::to_owned)).collect())
}

fn build() -> Result<()> {
    let flags = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table";
    println!("$ cargo build --manifest-path fuzz/Cargo.toml --release --locked (with coverage counters)");
    let status = shell::command("cargo")
        .args(["build", "--manifest-path", "fuzz/Cargo.toml", "--release", "--locked", "--target", TRIPLE])
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", shell::target_dir().join("fuzz"))
        .status()?;
    if !status.success() {
        bail!(
            "the fuzz targets do not build; where only their lock file is behind, `cargo metadata --manifest-path fuzz/Cargo.toml` renews it"
        );
    }
    Ok(())
}

/// Runs one target from `fuzz/corpus/<target>` (seeds, checked in); new inputs go to `found`, crashes to `fuzz/artifacts`.
fn one(target: &str, seconds: u32, found: &std::path::Path) -> Result<String> {
    let root = shell::root();
    let binary = shell::target_dir().join("fuzz").join(TRIPLE).join("release").join(target);
    let seeds = root.join("fuzz/corpus").join(target);
    let artifacts = root.join("fuzz/artifacts").join(target);
    fs::create_dir_all(found)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = shell::command("sh");
    command.args(["-c", &format!("ulimit -v {SPACE_KIB}; exec \"$0\" \"$@\"")]).arg(&binary).arg(found);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", artifacts.display())).args([
        "-timeout=10",
        "-rss_limit_mb=768",
        "-print_final_stats=1",
    ]);
    let out = command.output().with_context(|| format!("cannot start {}", binary.display()))?;
    let log = String::from_utf8_lossy(&out.stderr);
    let value = |head: &str| log.lines().find_map(|l| l.strip_prefix(head)).map_or("?", str::trim).to_owned();
    if !out.status.success() {
        eprintln!("{}", log.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"));
        bail!("fuzz target '{target}' failed; its input is in fuzz/artifacts/{target}");
    }
    Ok(format!("fuzz {target}: {} inputs, seed {}, no crash", value("stat::number_of_executed_units:"), value("INFO: Seed:")))
}
