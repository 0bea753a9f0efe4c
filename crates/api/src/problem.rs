//! Errors as `application/problem+json` (RFC 9457) with a stable `code` and the text in both languages.
//!
//! A code is a row of `CODES`; texts never contain data of other units, so that an error tells a caller nothing about what
//! lies outside the scope: what is outside looks exactly like what does not exist.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! codes {
    ($($variant:ident $code:literal $status:literal $en:literal $zh:literal;)*) => {
        /// A stable word for what went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($variant),* }
        /// A row of the code table.
        pub struct ProblemCode { pub code: Code, pub name: &'static str, pub status: u16, pub title: &'static str, pub title_zh: &'static str }
        pub static CODES: &[ProblemCode] = &[$(ProblemCode { code: Code::$variant, name: $code, status: $status, title: $en, title_zh: $zh }),*];
    };
}

codes! {
    BadRequest "bad_request" 400 "the request cannot be understood" "请求无法理解";
    BadQuery "bad_query" 400 "the query cannot be understood" "查询语句无法理解";
    BadCursor "bad_cursor" 400 "the cursor is not one this server gave" "游标无效";
    NotLoggedIn "not_logged_in" 401 "log in first" "请先登录";
    BadLogin "bad_login" 401 "name or password is wrong" "用户名或密码错误";
    Denied "denied" 403 "your role does not allow this" "您的角色无权执行此操作";
    PasswordFirst "password_first" 403 "somebody else set your password; set your own first" "当前密码由他人设置，请先设置自己的密码";
    CrossSite "cross_site" 403 "the request did not come from this console" "请求并非来自本控制台";
    NotFound "not_found" 404 "no such thing, or it is outside your scope" "不存在，或不在您的权限范围内";
    WrongMethod "wrong_method" 405 "this address does not take that method" "该地址不支持此方法";
    Conflict "conflict" 409 "somebody else changed it first" "已被他人先行修改";
    Exists "exists" 409 "it exists already" "已存在";
    TooLarge "too_large" 413 "the body is too large" "请求体过大";
    Unprocessable "unprocessable" 422 "a value is not acceptable" "取值不可接受";
    RevisionNeeded "revision_needed" 428 "say which revision you saw in If-Match" "请在 If-Match 中给出所见版本";
    TooMany "too_many" 429 "too many attempts; wait" "尝试过于频繁，请稍候";
    Internal "internal" 500 "something failed here; the request id is in the log" "服务内部错误，日志中可按请求编号查到";
    Unavailable "unavailable" 503 "not ready" "尚未就绪";
    Timeout "timeout" 504 "it took too long" "处理超时";
}

impl Code {
    pub fn row(self) -> &'static ProblemCode {
        // The macro writes the rows in the order of the variants.
        CODES.get(self as usize).unwrap_or(&CODES[0])
    }
}

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:vedette:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    pub status: u16,
    /// Stable word for programs.
    pub code: String,
    pub title: String,
    pub title_zh: String,
    /// What exactly, where there is more to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail_zh: String,
    /// For a query: the column the error is at, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// For a conflict: the thing as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub current: Option<serde_json::Value>,
}

impl Problem {
    pub fn new(code: Code) -> Self {
        let row = code.row();
        Self {
            kind: format!("urn:vedette:problem:{}", row.name),
            status: row.status,
            code: row.name.to_owned(),
            title: row.title.to_owned(),
            title_zh: row.title_zh.to_owned(),
            detail: String::new(),
            detail_zh: String::new(),
            column: None,
            current: None,
        }
    }
    #[must_use]
    pub fn detail(mut self, en: impl Into<String>, zh: impl Into<String>) -> Self {
        self.detail = en.into();
        self.detail_zh = zh.into();
        self
    }
    #[must_use]
    pub fn current(mut self, value: &impl Serialize) -> Self {
        self.current = serde_json::to_value(value).ok();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_finds_its_row_and_names_are_unique() {
        let mut names: Vec<_> = CODES.iter().map(|r| r.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CODES.len());
        for row in CODES {
            assert_eq!(row.code.row().name, row.name);
            assert!(!row.title.is_empty() && !row.title_zh.is_ascii());
        }
    }
}
