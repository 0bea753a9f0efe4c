//! What goes out passes other people's validators; what other people publish is read, or refused with a reason; both ends of TAXII 2.1 speak
//! with OASIS's own client and with each other.
//!
//! The validators are on PyPI; `cargo xtask test` puts them into `target/validators`. A case whose tools or data are missing says SKIPPED.

mod inputs;
mod taxii;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use event::Timestamp;
use exchange::ocsf::Incident;
use exchange::{Format, Sender, Told};
use matter::notice::{Certainty, Indicator, Notice, Step};
use matter::{Both, Pap, Revision, Tlp};
use warning::grade::Level;

/// 2026-11-23 20:00 in the city.
pub(super) const T: Timestamp = Timestamp::from_secs(1_795_435_200);

/// Python with the validators, or a loud skip.
pub(super) fn python() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../validators/bin/python");
    if path.exists() {
        return Some(path);
    }
    tests::skip(&format!("{} is not there (cargo xtask test installs the validators from PyPI)", path.display()));
    None
}

#[expect(clippy::disallowed_methods, reason = "a case starts other people's programs")]
fn run(python: &Path, script: &str, arguments: &[&str]) -> Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("desk").join(script);
    let out = Command::new(python).arg(&script).args(arguments).output().with_context(|| format!("cannot start {}", python.display()))?;
    let (said, problems) = (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned());
    ensure!(out.status.success(), "{}: {problems}\n{said}", script.display());
    Ok(said)
}

/// The steps of a warning's life with their colours; the third is a drill's.
const LIFE: [(Step, Option<Level>, Tlp, Certainty, bool); 9] = [
    (Step::Issue, Some(Level::Yellow), Tlp::Amber, Certainty::Possible, false),
    (Step::Update, Some(Level::Yellow), Tlp::Amber, Certainty::Likely, false),
    (Step::Upgrade, Some(Level::Red), Tlp::Red, Certainty::Observed, true),
    (Step::Downgrade, Some(Level::Orange), Tlp::AmberStrict, Certainty::Observed, false),
    (Step::Extend, Some(Level::Blue), Tlp::Green, Certainty::Observed, false),
    (Step::Lift, Some(Level::Blue), Tlp::Clear, Certainty::Observed, false),
    (Step::Cancel, None, Tlp::Green, Certainty::Possible, false),
    (Step::Expire, None, Tlp::Green, Certainty::Possible, false),
    (Step::Issue, None, Tlp::Clear, Certainty::Possible, false),
];

/// One revision; `bare` says as little as a notice may.
pub(super) fn revision(warning: &str, number: u32, bare: bool) -> Revision {
    let (step, level, tlp, certainty, exercise) = LIFE[(number as usize - 1) % LIFE.len()];
    let both = |zh: &str, en: &str| if bare { Both::default() } else { Both::new(zh, en) };
    let indicators = [
        ("ipv4-addr", "203.0.113.9".to_owned()),
        ("ipv6-addr", "2001:db8::9".to_owned()),
        ("ipv4-addr", "198.51.100.0/24".to_owned()),
        ("domain-name", "evil.example".to_owned()),
        ("url", "http://evil.example/a?b='c'&d=<e>\\f".to_owned()),
        ("email-addr", "x@evil.example".to_owned()),
        ("file:hashes.SHA-256", "ab".repeat(32)),
        ("file:hashes.SHA-1", "ab".repeat(20)),
        ("file:hashes.MD5", "ab".repeat(16)),
        ("mutex", "Global\\evil".to_owned()),
        ("bitcoin-address", "1abc".to_owned()),
    ];
    let mut revision = Revision {
        warning: warning.to_owned(),
        number,
        step,
        level,
        notice: Notice {
            title: Both::new("勒索软件 <扩散> & “处置”\u{7}", if bare { "" } else { "Ransomware <spreads> & must be \"handled\"" }),
            category: if bare { "" } else { "01007" }.to_owned(),
            event: both("多家单位主机遭加密", "hosts of several units are encrypted"),
            threat: both("远程桌面口令爆破", "brute force on remote desktops"),
            scope: both("金融行业", "finance sector"),
            impact: both("核心业务可能中断", "core business may stop"),
            measures: if bare {
                vec![]
            } else {
                vec![both("关闭对外远程桌面", "close remote desktop"), both("核对离线备份", "check offline backups")]
            },
            indicators: if bare { vec![] } else { indicators.map(|(kind, value)| Indicator { r#type: kind.into(), value }).into() },
            techniques: if bare { vec![] } else { vec!["T1486".into(), "T1021.001".into(), "T0855".into()] },
        },
        certainty,
        issuer: Both::new("江城网络安全中心", if bare { "" } else { "Jiangcheng Cyber Centre" }),
        drafted_by: "lin".into(),
        approved_by: Some("wang".into()),
        issued: T.plus_secs(3_600 * i64::from(number)),
        review: T.plus_secs(86_400),
        expires: T.plus_secs(7 * 86_400),
        receipt_s: 1_800,
        feedback_s: 14_400,
        units: vec!["bank-1".into(), "grid-1".into()],
        sectors: vec![],
        tlp,
        pap: Pap::Amber,
        reasons: vec![],
        disclosed: None,
        exercise,
        previous: String::new(),
        hash: String::new(),
        key: "0011223344556677".into(),
        signature: "c2lnbmF0dXJl".into(),
    };
    revision.hash = revision.hash_now().iter().map(|b| format!("{b:02x}")).collect();
    revision
}

#[test]
fn what_goes_out_passes_independent_validators() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sender = Sender { name: "desk.jiangcheng.example".into(), ..Sender::default() };
    let mut findings = Vec::new();
    for bare in [false, true] {
        let mut earlier = Vec::new();
        for number in 1..=LIFE.len() as u32 {
            let revision = revision(if bare { "W00000000000bare" } else { "W0123456789abcdef" }, number, bare);
            let told = Told { revision: &revision, earlier: &earlier, sender: &sender };
            for format in Format::ALL {
                let name = format!("{}-{number}.{}", revision.warning, format.ending());
                std::fs::write(folder.path().join(name), format.write(&told))?;
            }
            findings.push(exchange::ocsf::warning(&told));
            earlier.push((number, revision.issued));
        }
    }
    let (alerts, techniques) = (["A0123456789abcdef".to_owned()], ["T1486".to_owned()]);
    for (state, grade) in [("suspected", None), ("confirmed", Some(4)), ("handling", Some(3)), ("recovered", Some(2)), ("closed", Some(1))]
    {
        let incident = Incident {
            id: "I0123456789abcdef",
            title: "ransomware",
            description: "",
            state,
            grade,
            opened: T,
            changed: T.plus_secs(60),
            owner: if grade == Some(3) { "lin" } else { "" },
            alerts: if grade.is_some() { &alerts } else { &[] },
            techniques: &techniques,
            exercise: state == "closed",
        };
        findings.push(exchange::ocsf::incident(&incident));
    }
    // OCSF: against the published schema of 1.8.
    let mut faulty = 0;
    match crate::ocsf::schema()? {
        None => tests::skip("no OCSF schema"),
        Some(schema) => {
            for finding in &findings {
                for fault in schema.faults(finding) {
                    println!("OCSF: {fault}\n  {finding}");
                    faulty += 1;
                }
            }
            println!("{:<16} {:>6} files, {faulty} faults", "OCSF schema 1.8", findings.len());
        }
    }
    ensure!(faulty == 0, "{faulty} faults");
    let Some(python) = python() else { return Ok(()) };
    let text = folder.path().display().to_string();
    let schema = tests::data("intel/misp/schema.json").map(|p| p.display().to_string());
    let mut arguments = vec![text.as_str()];
    arguments.extend(schema.as_deref());
    let said = run(&python, "validate.py", &arguments)?;
    let mut tally: std::collections::BTreeMap<&str, (usize, usize)> = Default::default();
    for line in said.lines() {
        let mut cells = line.split('\t');
        let (tool, file, verdict, why) =
            (cells.next().unwrap_or(""), cells.next().unwrap_or(""), cells.next().unwrap_or(""), cells.next().unwrap_or(""));
        let row = tally.entry(tool).or_default();
        row.0 += 1;
        if verdict != "ok" {
            row.1 += 1;
            println!("{tool}: {file}: {why}");
        }
    }
    for (tool, (files, bad)) in &tally {
        println!("{tool:<16} {files:>6} files, {bad} refused");
    }
    ensure!(tally.len() >= 3 && tally.values().all(|(files, bad)| *files == 2 * LIFE.len() && *bad == 0), "{tally:?}");
    Ok(())
}

/// A validator that lets everything through proves nothing.
#[test]
fn the_validators_refuse_what_is_wrong() -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let revision = revision("W0123456789abcdef", 1, false);
    let sender = Sender::default();
    let told = Told { revision: &revision, earlier: &[], sender: &sender };
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
    write("zulu.cap.xml", Format::Cap.write(&told).replacen("+08:00</sent>", "Z</sent>", 1))?;
    write("word.cap.xml", Format::Cap.write(&told).replace("<severity>Moderate<", "<severity>Yellow<"))?;
    write("missing.stix.json", Format::Stix.write(&told).replace("\"pattern\":", "\"patern\":"))?;
    let said = run(&python, "validate.py", &[&folder.path().display().to_string()])?;
    ensure!(said.lines().count() == 5 && said.lines().all(|l| l.split('\t').nth(2) == Some("bad")), "{said}");
    Ok(())
}
