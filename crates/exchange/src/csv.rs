//! Indicators of a revision as a table (RFC 4180) that this house and others read back: one row a value.

use crate::{Told, cap};

/// The columns; the names are those `indicator::read` knows.
pub const COLUMNS: &str = "value,type,tlp,confidence,valid_from,valid_until,description,warning,revision,level";

/// A table with a line of names; only the names where there is no indicator, or the warning was withdrawn.
pub fn write(told: &Told) -> String {
    let revision = told.revision;
    let mut out = format!("{COLUMNS}\r\n");
    if told.withdrawn() {
        return out;
    }
    for indicator in &revision.notice.indicators {
        let cells = [
            indicator.value.as_str(),
            &indicator.r#type,
            revision.tlp.name(),
            confidence(told),
            &cap::local(told.begun(), 0).replace("+00:00", "Z"),
            &cap::local(revision.expires, 0).replace("+00:00", "Z"),
            &told.title(false),
            &revision.warning,
            &revision.number.to_string(),
            told.level(),
        ]
        .map(cell);
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

const fn confidence(told: &Told) -> &'static str {
    match told.revision.certainty {
        matter::notice::Certainty::Observed => "90",
        matter::notice::Certainty::Likely => "70",
        matter::notice::Certainty::Possible => "40",
    }
}

/// Quoted where it must be. A cell that a spreadsheet would take for a formula is made text.
fn cell(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
