//! What the tests use of Debian, by package name. Nothing else is installed, and nothing is downloaded by other means.

use anyhow::Result;

use crate::shell;

/// (program that proves it is there, Debian package).
const PACKAGES: &[(&str, &str)] = &[
    ("cc", "gcc"),
    ("g++", "g++"),
    ("ip", "iproute2"),
    ("ping", "iputils-ping"),
    ("nmap", "nmap"),
    ("hydra", "hydra"),
    ("sshd", "openssh-server"),
    ("tcpreplay", "tcpreplay"),
    ("promtool", "prometheus"),
    ("chromium", "chromium"),
    ("npm", "npm"),
];
/// A font, which no program proves: without it Chinese in a screenshot is boxes.
const FONT: (&str, &str) = ("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", "fonts-wqy-microhei");

/// Installs what is missing where this user may; says in one line what stays missing otherwise. Never fails: a test
/// whose tool is missing says SKIPPED.
pub fn install() -> Result<()> {
    let mut missing: Vec<&str> = PACKAGES.iter().filter(|(program, _)| !shell::has(program)).map(|(_, package)| *package).collect();
    if !std::path::Path::new(FONT.0).exists() {
        missing.push(FONT.1);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let is_root = shell::output("id", &["-u"]).is_ok_and(|id| id.trim() == "0");
    let prefix: &[&str] = if is_root {
        &[]
    } else if shell::command("sudo").args(["-n", "true"]).output().is_ok_and(|o| o.status.success()) {
        &["sudo", "-n"]
    } else {
        println!(
            "missing, and not installed because this user is not root: {}; the tests that need them will say SKIPPED",
            missing.join(" ")
        );
        return Ok(());
    };
    let apt = |args: &[&str]| {
        let all: Vec<&str> =
            prefix.iter().copied().chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).chain(args.iter().copied()).collect();
        shell::sh(all[0], &all[1..])
    };
    let done = apt(&["update"]).and_then(|()| {
        let mut args = vec!["install", "-y", "--no-install-recommends"];
        args.extend(&missing);
        apt(&args)
    });
    if let Err(error) = done {
        println!("some packages could not be installed ({error}); the tests that need them will say SKIPPED");
    }
    Ok(())
}
