//! `cargo xtask gen`: contracts are files in the tree, printed from code, so that a change shows in review.

use std::fs;

use anyhow::{Result, bail};

use crate::shell;

/// (file, package, binary, arguments): the file is what the program prints.
const CONTRACTS: &[(&str, &str, &[&str])] = &[
    ("config/agent.toml", "vedette-agent", &["print", "config"]),
    ("config/fields.md", "vedette-agent", &["print", "fields"]),
    ("config/collector.toml", "vedette", &["print", "config"]),
    ("crates/api/openapi.json", "vedette", &["print", "openapi"]),
];

pub fn generate(args: &[String]) -> Result<()> {
    let check = args.iter().any(|a| a == "--check");
    shell::sh("cargo", &["build", "--bins", "--locked", "-p", "agent", "-p", "collector"])?;
    let mut stale = Vec::new();
    for (file, binary, arguments) in CONTRACTS {
        let program = shell::target_dir().join("debug").join(binary);
        let text = shell::output(&program.display().to_string(), arguments)?;
        let path = shell::root().join(file);
        let current = fs::read_to_string(&path).unwrap_or_default();
        if current == text {
            continue;
        }
        if check {
            stale.push(*file);
        } else {
            fs::write(&path, text)?;
            println!("wrote {file}");
        }
    }
    if !stale.is_empty() {
        bail!("{} differ from what the programs print; run `cargo xtask gen` and commit", stale.join(", "));
    }
    Ok(())
}
