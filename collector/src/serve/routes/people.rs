//! Logging in and out, accounts, API tokens.

use std::net::IpAddr;

use api::{Code, Me, NewPassword, NewPerson, NewToken, Permission, PersonPage, Role, Token, TokenMade, TokenPage};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::register::check_key;
use super::{App, Json, PathId};
use crate::serve::Shared;
use crate::serve::gate::{Caller, Remote, narrowed};
use crate::serve::people::{self, hash_password, random_hex, session_cookie, token_hash};
use crate::serve::reply::{self, Fail};
use crate::store::desk::{Person, TokenRow};

pub fn address(remote: Option<Extension<Remote>>) -> String {
    remote.map_or(IpAddr::from([127, 0, 0, 1]), |Extension(r)| r.0).to_string()
}

pub fn with_cookie(shared: &Shared, mut response: Response, token: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(&session_cookie(token, shared.config.session_hours, shared.config.secure)) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

pub async fn login(State(shared): State<App>, remote: Option<Extension<Remote>>, Json(login): Json<api::Login>) -> Result<Response, Fail> {
    let opened = people::log_in(&shared, login, address(remote)).await?;
    Ok(with_cookie(&shared, reply::json(&opened.session), &opened.token))
}

pub async fn logout(State(shared): State<App>, caller: Caller) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            s.desk.end_session(&caller.credential)?;
            s.audit(&caller.name, "logout", &caller.name, None, "");
            Ok(())
        })
        .await?;
    Ok(with_cookie(&shared, StatusCode::NO_CONTENT.into_response(), ""))
}

pub async fn me(caller: Caller) -> Response {
    use Permission as P;
    const ALL: [Permission; 14] = [
        P::Own,
        P::AlertsRead,
        P::AlertsTriage,
        P::EventsRead,
        P::AgentsRead,
        P::RegisterRead,
        P::RegisterWrite,
        P::Enrol,
        P::RulesRead,
        P::Reload,
        P::AuditRead,
        P::PeopleManage,
        P::TokensOwn,
        P::StatsRead,
    ];
    reply::json(&Me {
        role: caller.role,
        units: caller.scope.units.as_ref().map(|u| u.iter().cloned().collect()),
        permissions: ALL.into_iter().filter(|p| caller.may(*p)).collect(),
        must_change_password: caller.must_change,
        name: caller.name,
    })
}

fn show(person: Person) -> api::Person {
    api::Person { name: person.name, role: person.role, units: person.units, active: !person.disabled }
}

pub async fn list(State(shared): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Fail> {
    city_only(&caller)?;
    let people = shared.work(|s| Ok(s.desk.people()?)).await?;
    Ok(reply::list(&headers, &PersonPage { items: people.into_iter().map(show).collect() }))
}

/// Accounts are the city's: a scoped administrator would hand out what he does not have.
fn city_only(caller: &Caller) -> Result<(), Fail> {
    if caller.scope.is_city() { Ok(()) } else { Err(Fail::code(Code::Denied)) }
}

pub async fn put(State(shared): State<App>, caller: Caller, Json(wish): Json<NewPerson>) -> Result<Response, Fail> {
    city_only(&caller)?;
    let person = shared
        .work(move |s| {
            check_key(&wish.name)?;
            let known = s.desk.person(&wish.name)?;
            let person = Person {
                name: wish.name.clone(),
                password_hash: hash_password(&wish.password)?,
                role: wish.role.name().to_owned(),
                units: wish.units,
                disabled: false,
                must_change: wish.name != caller.name,
                created: known.as_ref().map_or(s.now().ns(), |k| k.created),
                last_login: known.as_ref().and_then(|k| k.last_login),
            };
            s.desk.put_person(&person)?;
            if known.is_some() {
                s.desk.end_sessions_of(&person.name)?;
            }
            s.audit(&caller.name, "person.put", &person.name, None, &format!("role {}", person.role));
            Ok(show(person))
        })
        .await?;
    Ok(reply::json(&person))
}

pub async fn password(State(shared): State<App>, caller: Caller, Json(wish): Json<NewPassword>) -> Result<Response, Fail> {
    shared.work(move |s| change_password(s, &caller, &wish)).await?;
    Ok(with_cookie(&shared, StatusCode::NO_CONTENT.into_response(), ""))
}

/// Sets one's own password; all sessions of the person end.
pub fn change_password(shared: &Shared, caller: &Caller, wish: &NewPassword) -> Result<(), Fail> {
    if caller.csrf.is_none() {
        return Err(Fail::code(Code::Denied));
    }
    let mut person = shared.desk.person(&caller.name)?.ok_or_else(Fail::not_found)?;
    let keys = [format!("n:{}", caller.name)];
    if !shared.logins.allows(&keys, shared.now()) {
        return Err(Fail::code(Code::TooMany));
    }
    if !people::verify(Some(&person), &wish.old) {
        shared.logins.failed(&keys, shared.now());
        return Err(Fail::code(Code::BadLogin));
    }
    if wish.new == wish.old {
        return Err(Fail::because(Code::Unprocessable, "the new password is the old one", "新密码与当前密码相同"));
    }
    person.password_hash = hash_password(&wish.new)?;
    person.must_change = false;
    shared.desk.put_person(&person)?;
    shared.desk.end_sessions_of(&person.name)?;
    shared.audit(&caller.name, "person.password", &caller.name, None, "");
    Ok(())
}

fn show_token(row: TokenRow) -> Token {
    Token {
        id: row.id,
        name: row.label,
        owner: row.created_by,
        role: row.role,
        units: row.units,
        created: api::time_text(row.created),
        expires: api::time_text(row.expires.unwrap_or(0)),
    }
}

fn mine(caller: &Caller, row: &TokenRow) -> bool {
    !row.revoked && (row.created_by == caller.name || (caller.may(Permission::PeopleManage) && caller.scope.is_city()))
}

pub async fn tokens(State(shared): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Fail> {
    let rows = shared.work(|s| Ok(s.desk.tokens()?)).await?;
    let items = rows.into_iter().filter(|r| mine(&caller, r)).map(show_token).collect();
    Ok(reply::list(&headers, &TokenPage { items }))
}

pub async fn create_token(State(shared): State<App>, caller: Caller, Json(wish): Json<NewToken>) -> Result<Response, Fail> {
    let made = shared
        .work(move |s| {
            check_key(&wish.name)?;
            if !(1..=3650).contains(&wish.days) {
                return Err(Fail::because(Code::Unprocessable, "days is 1 to 3650", "有效期应为 1 至 3650 天"));
            }
            let units = narrowed(&caller.scope, wish.units.as_deref()).ok_or_else(|| Fail::code(Code::Denied))?;
            if !within(caller.role, wish.role) {
                return Err(Fail::code(Code::Denied));
            }
            let token = format!("vdt_{}", random_hex(32)?);
            let now = s.now();
            let expires = now.plus_secs(i64::from(wish.days) * 86_400);
            let row = TokenRow {
                id: random_hex(8)?,
                hash: token_hash(&token),
                label: wish.name,
                role: wish.role.name().to_owned(),
                units,
                created_by: caller.name.clone(),
                created: now.ns(),
                expires: Some(expires.ns()),
                last_used: None,
                revoked: false,
            };
            s.desk.put_token(&row)?;
            s.audit(&caller.name, "token.create", &row.id, None, &format!("{} role {}", row.label, row.role));
            Ok(TokenMade { id: row.id, token, expires: expires.to_string() })
        })
        .await?;
    Ok(reply::json(&made))
}

/// True if `wish` allows nothing that `mine` does not.
fn within(mine: Role, wish: Role) -> bool {
    use Permission as P;
    [
        P::AlertsRead,
        P::AlertsTriage,
        P::EventsRead,
        P::AgentsRead,
        P::RegisterRead,
        P::RegisterWrite,
        P::Enrol,
        P::RulesRead,
        P::Reload,
        P::AuditRead,
        P::PeopleManage,
        P::TokensOwn,
        P::StatsRead,
        P::MetricsRead,
    ]
    .into_iter()
    .all(|p| !wish.may(p) || mine.may(p))
}

pub async fn delete_token(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            if !s.desk.tokens()?.iter().any(|r| r.id == id && mine(&caller, r)) {
                return Err(Fail::not_found());
            }
            s.desk.revoke_token(&id)?;
            s.audit(&caller.name, "token.revoke", &id, None, "");
            Ok(())
        })
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
