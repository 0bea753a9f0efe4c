//! `cargo xtask test`: all tests, and a last line with how many ran, passed and were skipped.
//!
//! A test that this machine refuses prints a line `SKIPPED: why`; those lines are counted and repeated at the end, so that
//! a green run never hides what it did not look at. Tables that tests print (agreement with recorded truth, scores) come through too.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{fuzz, packages, shell};

#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: Vec<String>,
}

pub fn test(args: &[String]) -> Result<()> {
    packages::install()?;
    // The whole-system cases start the real programs, which cargo builds only when asked to.
    shell::sh("cargo", &["build", "--workspace", "--bins", "--locked"])?;
    let mut totals = Totals::default();
    let nextest = shell::command("cargo").args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    let mut cargo_args: Vec<&str> = if nextest {
        vec![
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--success-output",
            "immediate",
            "--failure-output",
            "immediate",
            "--color",
            "never",
        ]
    } else {
        vec!["test", "--workspace", "--locked", "--no-fail-fast", "--color", "never"]
    };
    cargo_args.extend(args.iter().map(String::as_str));
    if !nextest {
        cargo_args.extend(["--", "--nocapture"]);
    }
    let ok = stream(&cargo_args, nextest, &mut totals)?;
    let mut fuzz_line = String::from("not run with a filter");
    let mut fuzz_ok = true;
    if args.is_empty() {
        match fuzz::all(3) {
            Ok(count) => fuzz_line = format!("{count} targets, 3 s each, no crash"),
            Err(error) => {
                fuzz_ok = false;
                fuzz_line = format!("{error:#}");
            }
        }
    }
    println!("\n──────── summary ────────");
    for why in &totals.skipped {
        println!("{why}");
    }
    println!("fuzz: {fuzz_line}");
    println!(
        "tests: {} ran, {} passed, {} failed, {} skipped",
        totals.passed + totals.failed,
        totals.passed,
        totals.failed,
        totals.skipped.len()
    );
    if !ok || totals.failed > 0 || !fuzz_ok {
        bail!("not green");
    }
    if totals.passed == 0 {
        bail!("no test ran: that is not green either");
    }
    Ok(())
}

/// Runs cargo, passes its output on without the test harness's own noise, and counts.
fn stream(args: &[&str], nextest: bool, totals: &mut Totals) -> Result<bool> {
    println!("$ cargo {}", args.join(" "));
    // One stream for both outputs keeps their order, which two pipes would not.
    let line = format!("exec cargo {} 2>&1", args.join(" "));
    let mut child =
        shell::command("sh").args(["-c", &line]).env("RUST_BACKTRACE", "1").stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let reader = BufReader::new(child.stdout.take().context("the child has an output")?);
    let stdout = std::io::stdout();
    for line in reader.split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        let text = line.trim();
        if let Some(at) = text.find("SKIPPED: ") {
            totals.skipped.push(text[at..].to_owned());
        }
        if nextest {
            if text.starts_with("PASS [") {
                totals.passed += 1;
                continue;
            } else if text.starts_with("Summary [") {
                totals.failed = number_before(text, " failed") + number_before(text, " timed out");
            }
        } else if let Some(rest) = text.strip_prefix("test result: ") {
            totals.passed += number_before(rest, " passed");
            totals.failed += number_before(rest, " failed");
        }
        if noise(text) {
            continue;
        }
        let _ = writeln!(stdout.lock(), "{line}");
    }
    Ok(child.wait()?.success())
}

fn noise(text: &str) -> bool {
    text.is_empty()
        || text.starts_with("running ")
        || text.starts_with("stdout ───")
        || text.starts_with("stderr ───")
        || (text.starts_with("test ") && text.ends_with("... ok"))
        || text.starts_with("test result: ok.")
        || text.starts_with("Doc-tests ")
}

/// The number that stands before `word`, or 0.
fn number_before(text: &str, word: &str) -> u64 {
    let Some(at) = text.find(word) else { return 0 };
    text[..at].rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
