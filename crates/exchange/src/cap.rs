//! A revision as a CAP 1.2 alert (OASIS Common Alerting Protocol 1.2, 1 July 2010; ITU-T X.1303).
//!
//! | of the revision | in the alert |
//! |---|---|
//! | issue; update, upgrade, downgrade, extend; lift, cancel, expire | `msgType` Alert; Update; Cancel, with `references` to every earlier revision told |
//! | lift | `responseType` AllClear |
//! | red, orange, yellow, blue, none | `severity` Extreme, Severe, Moderate, Minor, Unknown |
//! | the same | `urgency` Immediate, Expected, Expected, Future, Unknown; Past once it is over |
//! | certainty | `certainty` |
//! | exercise | `status` Exercise |
//! | TLP, PAP, level, time limits, issuer, hash and signature | `parameter` |
//!
//! Two `info` blocks, zh-CN and en-US, say the same. Times have no fraction and never `Z` (CAP 1.2, 3.3.2).

use std::fmt::Write;

use event::Timestamp;
use matter::notice::{Certainty, Step};
use warning::grade::Level;

use crate::{Told, category};

/// Bytes of one text of the alert; a longer one is cut.
const TEXT_MAX: usize = 16 * 1024;

/// The document, with its declaration.
pub fn write(told: &Told) -> String {
    let revision = told.revision;
    let time = |t: Timestamp| local(t, told.sender.offset_s);
    let mut out = Xml(String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
    out.open("alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\"");
    out.leaf("identifier", &told.identifier(revision.number));
    out.leaf("sender", &token(&told.sender.name));
    out.leaf("sent", &time(revision.issued));
    out.leaf("status", if revision.exercise { "Exercise" } else { "Actual" });
    out.leaf(
        "msgType",
        match revision.step {
            Step::Issue => "Alert",
            Step::Update | Step::Upgrade | Step::Downgrade | Step::Extend => "Update",
            Step::Lift | Step::Cancel | Step::Expire => "Cancel",
        },
    );
    out.leaf("scope", "Restricted");
    out.leaf("restriction", &format!("TLP:{}; 仅限通报单位 for the units addressed only", revision.tlp.name().to_uppercase()));
    if !revision.units.is_empty() {
        let quoted = |unit: &String| if unit.contains(char::is_whitespace) { format!("\"{unit}\"") } else { unit.clone() };
        out.leaf("addresses", &revision.units.iter().map(quoted).collect::<Vec<_>>().join(" "));
    }
    if revision.exercise {
        out.leaf("note", "演练，并非真实预警 This is an exercise, not a real warning");
    } else if revision.step == Step::Cancel {
        out.leaf("note", "误发撤销 Issued in error and withdrawn");
    } else if revision.step == Step::Expire {
        out.leaf("note", "预警到期 The warning has expired");
    }
    let references: Vec<String> = told
        .earlier
        .iter()
        .filter(|(number, _)| *number < revision.number)
        .map(|(number, sent)| format!("{},{},{}", token(&told.sender.name), told.identifier(*number), time(*sent)))
        .collect();
    if !references.is_empty() {
        out.leaf("references", &references.join(" "));
    }
    info(&mut out, told, true);
    info(&mut out, told, false);
    out.close("alert");
    out.0
}

fn info(out: &mut Xml, told: &Told, zh: bool) {
    let revision = told.revision;
    let notice = &revision.notice;
    let time = |t: Timestamp| local(t, told.sender.offset_s);
    out.open("info");
    out.leaf("language", if zh { "zh-CN" } else { "en-US" });
    out.leaf("category", "Infra");
    out.leaf("category", "Security");
    out.leaf("event", category(&notice.category).pick(zh));
    out.leaf(
        "responseType",
        match (revision.step, revision.level) {
            (Step::Lift, _) => "AllClear",
            (Step::Cancel | Step::Expire, _) => "None",
            (_, Some(Level::Red | Level::Orange)) => "Execute",
            (_, Some(Level::Yellow)) => "Prepare",
            (_, Some(Level::Blue)) => "Monitor",
            (_, None) => "Assess",
        },
    );
    out.leaf(
        "urgency",
        match (revision.step.ends(), revision.level) {
            (true, _) => "Past",
            (_, Some(Level::Red)) => "Immediate",
            (_, Some(Level::Orange | Level::Yellow)) => "Expected",
            (_, Some(Level::Blue)) => "Future",
            (_, None) => "Unknown",
        },
    );
    out.leaf(
        "severity",
        match revision.level {
            Some(Level::Red) => "Extreme",
            Some(Level::Orange) => "Severe",
            Some(Level::Yellow) => "Moderate",
            Some(Level::Blue) => "Minor",
            None => "Unknown",
        },
    );
    out.leaf(
        "certainty",
        match revision.certainty {
            Certainty::Observed => "Observed",
            Certainty::Likely => "Likely",
            Certainty::Possible => "Possible",
        },
    );
    if !notice.category.is_empty() {
        out.pair("eventCode", "GB/T 20986-2023", &notice.category);
    }
    out.leaf("effective", &time(revision.issued));
    if !revision.step.ends() {
        out.leaf("expires", &time(revision.expires));
    }
    out.leaf("senderName", revision.issuer.pick(zh));
    out.leaf("headline", &told.title(zh));
    let description = told.description(zh);
    if !description.is_empty() {
        out.leaf("description", &description);
    }
    if let Some(instruction) = told.instruction(zh) {
        out.leaf("instruction", &instruction);
    }
    out.pair("parameter", "cn-level", told.level());
    out.pair("parameter", "tlp", revision.tlp.name());
    out.pair("parameter", "pap", revision.pap.name());
    out.pair("parameter", "step", revision.step.name());
    if !revision.step.ends() {
        out.pair("parameter", "deadline-ack", &time(revision.issued.plus_secs(i64::from(revision.receipt_s))));
        out.pair("parameter", "deadline-feedback", &time(revision.issued.plus_secs(i64::from(revision.feedback_s))));
        out.pair("parameter", "review", &time(revision.review));
    }
    out.pair("parameter", "issuer-authority", revision.issuer.pick(zh));
    for technique in &notice.techniques {
        out.pair("parameter", "attack-technique", technique);
    }
    for indicator in &notice.indicators {
        out.pair("parameter", &format!("indicator:{}", indicator.r#type), &indicator.value);
    }
    if told.signed() {
        out.pair("parameter", "revision-hash", &revision.hash);
        out.pair("parameter", "signature-key", &revision.key);
        out.pair("parameter", "signature", &revision.signature);
    }
    let place = notice.scope.pick(zh);
    out.open("area");
    out.leaf(
        "areaDesc",
        match (place.is_empty(), zh) {
            (false, _) => place,
            (true, true) => "所通报单位的网络",
            (true, false) => "networks of the units addressed",
        },
    );
    out.close("area");
    out.close("info");
}

/// `2026-11-23T20:00:00+08:00`.
pub(crate) fn local(time: Timestamp, offset_s: i32) -> String {
    let shifted = Timestamp::from_secs(time.secs().saturating_add(i64::from(offset_s))).to_string();
    let minutes = offset_s.abs() / 60;
    format!("{}{}{:02}:{:02}", shifted.trim_end_matches('Z'), if offset_s < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

/// Without what a name may not hold here.
fn token(name: &str) -> String {
    name.chars().map(|c| if c.is_whitespace() || matches!(c, ',' | '<' | '&') { '_' } else { c }).collect()
}

struct Xml(String);

impl Xml {
    fn open(&mut self, name: &str) {
        let _ = writeln!(self.0, "<{name}>");
    }
    fn close(&mut self, name: &str) {
        let _ = writeln!(self.0, "</{name}>");
    }
    fn leaf(&mut self, name: &str, text: &str) {
        let _ = write!(self.0, "<{name}>");
        self.text(text);
        self.close(name);
    }
    fn pair(&mut self, name: &str, value_name: &str, value: &str) {
        self.open(name);
        self.leaf("valueName", value_name);
        self.leaf("value", value);
        self.close(name);
    }
    /// What XML 1.0 cannot hold is left out, and a text that is too long ends.
    fn text(&mut self, text: &str) {
        let begin = self.0.len();
        for c in text.chars() {
            if self.0.len() - begin >= TEXT_MAX {
                break;
            }
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '\t' | '\n' => self.0.push(c),
                '\u{fffe}' | '\u{ffff}' => {}
                c if c.is_control() => {}
                c => self.0.push(c),
            }
        }
    }
}
