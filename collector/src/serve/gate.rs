//! The one authorisation gate. Every request passes `guard`: who is it, which row of which table is asked for, does the role
//! allow it, has a password that somebody else set been changed, did a write made with a cookie really come from our own pages. Deny by
//! default: no row, no entry.
//!
//! Errors are the same bytes for "does not exist" and "outside your scope".

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{Code, Permission, Problem, Role};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::people::{csrf_of, random_hex, same, token_hash};
use super::reply::Fail;
use super::{REQUEST_SECONDS_MAX, Shared, page};
use crate::store::Scope;

/// Nothing from elsewhere, nothing inline, no frames. Data only from this server.
pub const CSP: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Who is asking.
#[derive(Debug, Clone)]
pub struct Caller {
    pub name: String,
    pub role: Role,
    pub scope: Scope,
    /// The CSRF word, for a caller with a session cookie; none for a token, which no browser sends by itself.
    pub csrf: Option<String>,
    /// Hash of the session or token, for logging out.
    pub credential: String,
    /// Change the password first.
    pub must_change: bool,
}

impl Caller {
    pub fn may(&self, permission: Permission) -> bool {
        self.role.may(permission)
    }
}

/// Address the request came from; loopback in tests that call the router directly.
#[derive(Debug, Clone, Copy)]
pub struct Remote(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Fail;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fail> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Fail::code(Code::NotLoggedIn))
    }
}

/// What the tables say about a request.
fn permission_of(method: &str, path: &str) -> Option<(Permission, &'static str)> {
    api::find(method, path)
        .map(|r| (r.permission, r.name))
        .or_else(|| api::find_matter(method, path))
        .or_else(|| super::taxii::find(path))
        .or_else(|| page::find(method, path))
}

/// The middleware around every route.
pub async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    if super::taxii::is_path(request.uri().path()) {
        super::taxii::token_of_basic(request.headers_mut());
    }
    let wants_page = wants_page(&request);
    let shown = wants_page.then(|| page::Page::of(&shared, &request));
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let headers = if wants_page { request.headers().clone() } else { HeaderMap::new() };
    let matched = request.extensions().get::<MatchedPath>().map(|m| m.as_str().to_owned());
    let row = matched.as_deref().and_then(|p| permission_of(method.as_str(), p));
    let page_form = matched.as_deref().is_some_and(|p| page::find(method.as_str(), p).is_some());
    let operation = row.map_or("none", |(_, name)| name);
    // Which addresses there are is in the printed contract, so that another method may be told from another address.
    let other_method = row.is_none() && matched.as_deref().is_some_and(|p| api::ROUTES.iter().any(|r| r.path == p));
    let mut response = match admit(&shared, row.map(|(p, _)| p), page_form, request).await {
        Err(_) if other_method => Fail::code(Code::WrongMethod).into_response(),
        // These answer for as long as there is something to say.
        Ok(request) if matches!(operation, "openFeed" | "tryRules") => next.run(request).await,
        Ok(request) => match tokio::time::timeout(Duration::from_secs(REQUEST_SECONDS_MAX), next.run(request)).await {
            Ok(response) => response,
            Err(_) => Fail::code(Code::Timeout).into_response(),
        },
        Err(fail) => fail.into_response(),
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && response.extensions().get::<Problem>().is_none() {
        response = Fail::code(Code::WrongMethod).into_response();
    }
    let status = response.status();
    let number = random_hex(8).unwrap_or_default();
    if status.is_server_error() {
        // The fault itself stands just above in the log; this line ties it to what the caller was told.
        tracing::error!(request = number, operation, status = status.as_u16(), "request failed");
    }
    shared.counts.requests.with(&[operation, status_class(status)]).inc();
    if let Some(mut shown) = shown
        && let Some(problem) = response.extensions().get::<Problem>().cloned()
    {
        response = if problem.code == Code::PasswordFirst.row().name && method == Method::GET {
            Redirect::to("/password").into_response()
        } else if problem.status == 401 && method == Method::GET {
            let next: String = path.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_')).take(200).collect();
            Redirect::to(&format!("/login?next={next}")).into_response()
        } else {
            // With the way to the other pages for those who are logged in.
            shown.caller = identify(&shared, &headers).await.unwrap_or_default();
            page::error_page(&shown, &problem, &number)
        };
    }
    finish(&shared, &mut response, &number);
    response
}

async fn admit(shared: &Arc<Shared>, permission: Option<Permission>, page_form: bool, mut request: Request) -> Result<Request, Fail> {
    let Some(permission) = permission else {
        // Matched by the router but in no table, or not matched at all.
        return Err(Fail::not_found());
    };
    let headers = request.headers().clone();
    let caller = identify(shared, &headers).await?;
    let open = permission == Permission::Public || (permission == Permission::MetricsRead && shared.config.open_metrics);
    match &caller {
        Some(caller) if !open && !caller.may(permission) => return Err(Fail::code(Code::Denied)),
        Some(caller) if !open && caller.must_change && permission != Permission::Own => return Err(Fail::code(Code::PasswordFirst)),
        None if !open => return Err(Fail::code(Code::NotLoggedIn)),
        _ => {}
    }
    let write = !matches!(*request.method(), Method::GET | Method::HEAD);
    if write {
        let cookie_caller = caller.as_ref().is_none_or(|c| c.csrf.is_some());
        if cookie_caller && !same_origin(&headers, request.uri()) {
            return Err(Fail::code(Code::CrossSite));
        }
        // Pages bring the word in the form and check it when they read the form (`page::SafeForm`).
        if let Some(csrf) = caller.as_ref().and_then(|c| c.csrf.as_deref())
            && !(page_form && is_form(&headers))
        {
            let sent = headers.get("x-csrf-token").and_then(|v| v.to_str().ok()).unwrap_or("");
            if !same(sent, csrf) {
                return Err(Fail::code(Code::CrossSite));
            }
        }
    }
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    Ok(request)
}

/// Who the headers say it is: a bearer token, else a session cookie. A bad token is an error; a bad cookie is nobody.
async fn identify(shared: &Arc<Shared>, headers: &HeaderMap) -> Result<Option<Caller>, Fail> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|v| v.strip_prefix("Bearer ")).ok_or_else(|| Fail::code(Code::NotLoggedIn))?;
        let hash = token_hash(token.trim());
        return shared
            .work(move |s| {
                let row = s.desk.token(&hash, s.now())?.ok_or_else(|| Fail::code(Code::NotLoggedIn))?;
                let role = Role::from_name(&row.role).ok_or_else(|| Fail::code(Code::Denied))?;
                let scope = row.scope();
                // Whoever may no longer come in person does not come by token either.
                if s.desk.person(&row.created_by)?.is_some_and(|p| p.disabled) {
                    return Err(Fail::code(Code::NotLoggedIn));
                }
                Ok(Some(Caller { name: row.created_by, role, scope, csrf: None, credential: hash, must_change: false }))
            })
            .await;
    }
    let Some(token) = cookie(headers, "vedette_session").filter(|t| !t.is_empty()) else { return Ok(None) };
    let (hash, csrf) = (token_hash(token), csrf_of(token));
    shared
        .work(move |s| {
            let Some(session) = s.desk.session(&hash, s.now())? else { return Ok(None) };
            let Some(person) = s.desk.person(&session.person)?.filter(|p| !p.disabled) else { return Ok(None) };
            let role = Role::from_name(&person.role).ok_or_else(|| Fail::code(Code::Denied))?;
            let scope = person.scope();
            Ok(Some(Caller { name: person.name, role, scope, csrf: Some(csrf), credential: hash, must_change: person.must_change }))
        })
        .await
}

/// A cookie by name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// True unless the browser says the request came from another site. Old browsers without either header are held by the token alone.
fn same_origin(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(origin) = text("origin") {
        // HTTP/2 says the host in the address.
        let host = uri.authority().map(|a| a.as_str()).or_else(|| text("host")).unwrap_or("");
        return origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    }
    matches!(text("sec-fetch-site"), None | Some("same-origin" | "none"))
}

pub fn is_form(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|v| v.starts_with("application/x-www-form-urlencoded"))
}

fn wants_page(request: &Request) -> bool {
    let path = request.uri().path();
    !path.starts_with("/api/")
        && !path.starts_with("/-/")
        && path != "/metrics"
        && !super::taxii::is_path(path)
        && request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("text/html"))
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

fn finish(shared: &Shared, response: &mut Response, number: &str) {
    let headers = response.headers_mut();
    let fixed = [
        ("content-security-policy", CSP),
        ("x-content-type-options", "nosniff"),
        // Not `no-referrer`: with it a browser sends `Origin: null` even to its own server, and our own forms would be refused.
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "geolocation=(), microphone=(), camera=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if shared.config.secure {
        headers.insert("strict-transport-security", HeaderValue::from_static("max-age=31536000"));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Ok(value) = HeaderValue::from_str(number) {
        headers.insert("x-request-id", value);
    }
}

/// At most the caller's own: a wish for units narrows the caller's scope, and is refused where it reaches outside.
pub fn narrowed(scope: &Scope, wish: Option<&[String]>) -> Option<Option<Vec<String>>> {
    match (&scope.units, wish) {
        (None, None) => Some(None),
        (None, Some(units)) => Some(Some(units.to_vec())),
        (Some(mine), None) => Some(Some(mine.iter().cloned().collect())),
        (Some(mine), Some(units)) => units.iter().collect::<BTreeSet<_>>().iter().all(|u| mine.contains(*u)).then(|| Some(units.to_vec())),
    }
}
