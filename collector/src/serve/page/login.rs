//! Coming in, going out, and one's own password.

use api::{Code, NewPassword};
use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{Page, SafeForm};
use crate::serve::gate::{Caller, Remote};
use crate::serve::people;
use crate::serve::reply::Fail;
use crate::serve::routes::people::{address, change_password, with_cookie};
use crate::serve::routes::{App, Params};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginView<'a> {
    page: &'a Page,
    name: String,
    next: String,
    problem: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NextParam {
    next: String,
}

/// Only a path of this server: anything else would send the person elsewhere.
fn safe_next(next: &str) -> &str {
    let plain = next.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'/' | b'-' | b'_'));
    if plain && next.starts_with('/') && !next.starts_with("//") { next } else { "/" }
}

pub async fn show(page: Page, Params(params): Params<NextParam>) -> Response {
    let next = safe_next(&params.next).to_owned();
    page.answer_ref(StatusCode::OK, &LoginView { page: &page, name: String::new(), next, problem: String::new() })
}

#[derive(Deserialize)]
pub struct LoginForm {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// A form from somebody who is not in yet has no session to take a CSRF word from; the gate has checked its origin.
pub async fn enter(State(shared): State<App>, page: Page, remote: Option<Extension<Remote>>, form: LoginBody) -> Result<Response, Fail> {
    let LoginForm { name, password, next } = form.0;
    let next = safe_next(&next).to_owned();
    match people::log_in(&shared, api::Login { name: name.clone(), password }, address(remote)).await {
        Ok(opened) => Ok(with_cookie(&shared, Redirect::to(&next).into_response(), &opened.token)),
        Err(fail) if matches!(fail.0.status, 401 | 429) => {
            let problem = if page.is_zh() { fail.0.title_zh.clone() } else { fail.0.title.clone() };
            let status = StatusCode::from_u16(fail.0.status).unwrap_or(StatusCode::UNAUTHORIZED);
            Ok(page.answer_ref(status, &LoginView { page: &page, name, next, problem }))
        }
        Err(fail) => Err(fail),
    }
}

/// The login form; read without a CSRF word even where an old session's cookie is still sent.
pub struct LoginBody(LoginForm);

impl axum::extract::FromRequest<App> for LoginBody {
    type Rejection = Fail;
    async fn from_request(request: axum::extract::Request, state: &App) -> Result<Self, Fail> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|_| Fail::code(Code::TooLarge))?;
        super::read_form(&bytes).map(Self).map_err(|_| Fail::code(Code::BadRequest))
    }
}

#[derive(Deserialize)]
pub struct Nothing {}

pub async fn leave(State(shared): State<App>, caller: Caller, SafeForm(_): SafeForm<Nothing>) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            s.desk.end_session(&caller.credential)?;
            s.audit(&caller.name, "logout", &caller.name, None, "");
            Ok(())
        })
        .await?;
    Ok(with_cookie(&shared, Redirect::to("/login").into_response(), ""))
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordView<'a> {
    page: &'a Page,
    must: bool,
    problem: String,
}

pub async fn password(caller: Caller, page: Page) -> Response {
    page.answer_ref(StatusCode::OK, &PasswordView { page: &page, must: caller.must_change, problem: String::new() })
}

pub async fn set_password(
    State(shared): State<App>,
    caller: Caller,
    page: Page,
    SafeForm(form): SafeForm<PasswordForm>,
) -> Result<Response, Fail> {
    shared
        .clone()
        .work(move |s| {
            let must = caller.must_change;
            match change_password(s, &caller, &NewPassword { old: form.old, new: form.new }) {
                Ok(()) => Ok(with_cookie(s, Redirect::to("/login").into_response(), "")),
                Err(fail) if matches!(fail.0.status, 401 | 422 | 429) => {
                    let problem = match (page.is_zh(), fail.0.detail.is_empty()) {
                        (true, true) => fail.0.title_zh.clone(),
                        (true, false) => fail.0.detail_zh.clone(),
                        (false, true) => fail.0.title.clone(),
                        (false, false) => fail.0.detail.clone(),
                    };
                    let status = StatusCode::from_u16(fail.0.status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
                    Ok(page.answer_ref(status, &PasswordView { page: &page, must, problem }))
                }
                Err(fail) => Err(fail),
            }
        })
        .await
}

#[derive(Deserialize)]
pub struct PasswordForm {
    old: String,
    new: String,
}

#[cfg(test)]
mod tests {
    use super::safe_next;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for bad in ["//evil.example", "https://evil.example", "/\\evil", "", "javascript:1", "/a?b=//c", "/%2f"] {
            assert_eq!(safe_next(bad), "/", "{bad}");
        }
        assert_eq!(safe_next("/alerts/A01"), "/alerts/A01");
    }
}
