//! `cargo xtask ci`: everything that is checked before a change lands, in the order in which it fails fastest.

use anyhow::{Result, bail};

use crate::{generate, shell, test};

pub fn ci() -> Result<()> {
    shell::sh("cargo", &["fmt", "--all", "--check"])?;
    licences()?;
    shell::sh("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    generate::generate(&["--check".to_owned()])?;
    test::test(&[])
}

/// The licence and ban lists of `deny.toml` against what cargo resolved. `cargo deny` reads the same file where it is installed.
fn licences() -> Result<()> {
    if shell::command("cargo").args(["deny", "--version"]).output().is_ok_and(|o| o.status.success()) {
        return shell::sh("cargo", &["deny", "check", "licenses", "bans", "sources"]);
    }
    let deny: toml::Table = std::fs::read_to_string(shell::root().join("deny.toml"))?.parse()?;
    let list =
        |table: &str, key: &str| deny.get(table).and_then(|t| t.get(key)).and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let allowed: Vec<String> = list("licenses", "allow").iter().filter_map(|l| l.as_str().map(str::to_owned)).collect();
    let banned: Vec<String> = list("bans", "deny").iter().filter_map(|b| b.get("crate")?.as_str().map(str::to_owned)).collect();
    let metadata: serde_json::Value = serde_json::from_str(&shell::output("cargo", &["metadata", "--format-version", "1", "--locked"])?)?;
    let mut bad = Vec::new();
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    for package in &packages {
        let (name, version) = (package["name"].as_str().unwrap_or(""), package["version"].as_str().unwrap_or(""));
        let licence = package["license"].as_str().unwrap_or("");
        if banned.iter().any(|b| b == name) {
            bad.push(format!("{name} {version} is banned by deny.toml"));
        }
        if !fits(licence, &allowed) {
            bad.push(format!("{name} {version} has licence '{licence}', which deny.toml does not allow"));
        }
        let source = package["source"].as_str();
        if source.is_some_and(|s| !s.starts_with("registry+https://github.com/rust-lang/crates.io-index")) {
            bad.push(format!("{name} {version} comes from {}", source.unwrap_or("")));
        }
    }
    if !bad.is_empty() {
        bail!("{}", bad.join("\n"));
    }
    println!("licences: {} packages, all allowed", packages.len());
    Ok(())
}

/// An SPDX expression of `OR`, `AND`, `/` and brackets, read loosely: some alternative must have all its parts allowed.
fn fits(expression: &str, allowed: &[String]) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    flat.split(" OR ").any(|side| side.split(" AND ").map(str::trim).all(|part| !part.is_empty() && allowed.iter().any(|a| a == part)))
}
