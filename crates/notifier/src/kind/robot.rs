//! What the group robots have in common: they answer HTTP 200 whatever happened, and say what in a JSON number.

use serde_json::Value;

use crate::{Answer, Verdict};

/// The number in the answer's body under the first of `keys` that is there, and the text under `text`. Err: the verdict where there is none.
pub(super) fn code(answer: &Answer, keys: &[&str], texts: &[&str]) -> Result<(i64, String), Verdict> {
    let Answer::Http { status, body, .. } = answer else { return Err(super::by_status(answer)) };
    let body = body.get(..crate::ANSWER_BYTES_MAX.min(body.len())).unwrap_or_default();
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let found = parsed.as_ref().and_then(|v| keys.iter().find_map(|k| v.get(k).and_then(Value::as_i64)));
    match (found, status) {
        (Some(code), _) => {
            let text = parsed.as_ref().and_then(|v| texts.iter().find_map(|k| v.get(k).and_then(Value::as_str))).unwrap_or_default();
            Ok((code, text.to_owned()))
        }
        // An answer without the robot's number is somebody else's (a proxy, a login page): not delivered, and not for good.
        (None, 200..=299) => Err(Verdict::retry("the answer is not a robot's: a proxy in between?")),
        (None, _) => Err(super::by_status(answer)),
    }
}
