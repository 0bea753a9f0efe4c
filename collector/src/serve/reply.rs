//! How answers leave: JSON, lists as JSON, CSV or JSON lines, and errors as problem+json.

use api::{Code, Problem};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use crate::store::StoreError;
use crate::store::desk::DeskError;

/// An error on its way out. The problem also travels in the response's extensions, so that the gate can show a page to a browser.
#[derive(Debug)]
pub struct Fail(pub Box<Problem>);

impl Fail {
    pub fn code(code: Code) -> Self {
        Self(Box::new(Problem::new(code)))
    }
    pub fn because(code: Code, en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code).detail(en, zh)))
    }
    pub fn not_found() -> Self {
        Self::code(Code::NotFound)
    }
}

impl IntoResponse for Fail {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, serde_json::to_vec(&*self.0).unwrap_or_default()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.0.status == 401 {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(*self.0);
        response
    }
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(why) => {
                let zh = format!("事件存储未能完成查询（{why}）");
                Self::because(Code::Unprocessable, why, zh)
            }
            other => {
                tracing::error!(error = %other, "event store failed");
                Self::code(Code::Internal)
            }
        }
    }
}

impl From<DeskError> for Fail {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Conflict(alert) => {
                let shown = super::Shared::show(&alert);
                Self(Box::new(
                    Problem::new(Code::Conflict)
                        .detail(
                            format!(
                                "now at revision {}, state {}, owner {}",
                                shown.revision,
                                shown.state,
                                shown.owner.as_deref().unwrap_or("-")
                            ),
                            format!("现为第 {} 版，状态 {}，负责人 {}", shown.revision, shown.state, shown.owner.as_deref().unwrap_or("-")),
                        )
                        .current(&shown),
                ))
            }
            DeskError::Missing { .. } => Self::not_found(),
            DeskError::Refused(why) => {
                let zh = refused_zh(&why);
                Self::because(Code::Unprocessable, why, zh)
            }
            other => {
                tracing::error!(error = %other, "desk store failed");
                Self::code(Code::Internal)
            }
        }
    }
}

/// A body that is no JSON, or no such JSON.
impl From<axum::extract::rejection::JsonRejection> for Fail {
    fn from(rejection: axum::extract::rejection::JsonRejection) -> Self {
        let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { Code::TooLarge } else { Code::BadRequest };
        let text = rejection.body_text();
        let zh = format!("请求体不是所需的 JSON（{text}）");
        Self::because(code, text, zh)
    }
}

/// What the desk says in English, in Chinese: the sentences people meet in the console word by word, others with their English behind.
fn refused_zh(why: &str) -> String {
    match why {
        crate::store::desk::CLOSE_NEEDS_REASON => "关闭告警须说明原因（确认、授权活动、误报等）".to_owned(),
        crate::store::desk::REASON_ONLY_CLOSING => "只有关闭告警时才填写原因".to_owned(),
        other => format!("未被接受（{other}）"),
    }
}

pub fn json(value: &impl Serialize) -> Response {
    typed("application/json", serde_json::to_vec(value).unwrap_or_default())
}

/// 204.
pub fn empty() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

pub fn typed(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A page as JSON, or its `items` alone as CSV or JSON lines, as the caller asks.
pub fn list(headers: &HeaderMap, page: &impl Serialize) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let csv = accept.contains("text/csv");
    if !csv && !accept.contains("application/x-ndjson") {
        return json(page);
    }
    let page = serde_json::to_value(page).unwrap_or_default();
    let next = page.get("next").and_then(Value::as_str).and_then(|n| HeaderValue::from_str(n).ok());
    let empty = Vec::new();
    let items = page.get("items").and_then(Value::as_array).unwrap_or(&empty);
    let mut response = if csv {
        typed("text/csv; charset=utf-8", to_csv(items))
    } else {
        let mut text = String::new();
        for item in items {
            text.push_str(&item.to_string());
            text.push('\n');
        }
        typed("application/x-ndjson", text)
    };
    if let Some(next) = next {
        response.headers_mut().insert("x-next-cursor", next);
    }
    response
}

/// Items as CSV (RFC 4180): the columns of all items in order of first appearance; what is not a plain value is written as JSON,
/// lists of plain values joined by `; `. A cell that a spreadsheet would take for a formula is led by an apostrophe.
pub fn to_csv(items: &[Value]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for item in items {
        for key in item.as_object().into_iter().flat_map(|o| o.keys()) {
            if !columns.contains(&key.as_str()) {
                columns.push(key);
            }
        }
    }
    let mut out = columns.iter().map(|c| cell(c)).collect::<Vec<_>>().join(",");
    out.push_str("\r\n");
    for item in items {
        let row: Vec<String> = columns.iter().map(|c| cell(&flat(item.get(*c).unwrap_or(&Value::Null)))).collect();
        out.push_str(&row.join(","));
        out.push_str("\r\n");
    }
    out
}

/// A value in one cell.
pub fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(list) if list.iter().all(|v| !v.is_object() && !v.is_array()) => list.iter().map(flat).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

pub fn cell(text: &str) -> String {
    let danger = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let text = if danger { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn csv_is_quoted_and_formulas_are_defused() {
        let items = [json!({"a": "x,\"y\"", "b": [1, 2]}), json!({"a": "=cmd()", "c": {"k": 1}}), json!({"a": "-5"})];
        assert_eq!(to_csv(&items), "a,b,c\r\n\"x,\"\"y\"\"\",1; 2,\r\n'=cmd(),,\"{\"\"k\"\":1}\"\r\n-5,,\r\n");
    }
}
