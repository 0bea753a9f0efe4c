//! `/taxii2/`: the TAXII 2.1 server of `exchange::taxii` over what the caller may see.
//!
//! | collection | what is in it | who has it |
//! |---|---|---|
//! | `city` | every revision of every warning | callers of the whole city |
//! | `unit-ID` | what that unit was told | callers whose scope holds the unit |
//! | `sector-ID` | TLP clear and green of what was told to units of that sector in the caller's scope | callers with a unit of it |
//!
//! So a unit's bytes are made of its own receipts alone. Drills are never in it. A client may bring its token as the password of HTTP Basic, for
//! most TAXII clients know nothing else.
//!
//! Limits: `MATTERS_MAX` warnings or receipts a collection, the newest; `exchange::taxii` bounds objects and pages.

use api::Permission;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine as _;
use exchange::Told;
use exchange::taxii::{Answer, Collection, MEDIA_TYPE, Record, Shelf, records, serve};
use matter::{Revision, Tlp};

use super::Shared;
use super::gate::Caller;
use super::reply::Fail;
use super::routes::App;
use super::routes::export::{revisions, sender};
use crate::store::desk::MatterQuery;

/// Warnings or receipts looked at of one collection, the newest first.
const MATTERS_MAX: usize = 5_000;
/// Collections of a caller.
const COLLECTIONS_MAX: usize = 5_000;
const PATHS: [&str; 2] = ["/taxii2/", "/taxii2/{*path}"];

pub fn mount(mut router: Router<App>) -> Router<App> {
    for path in PATHS {
        router = router.route(path, any(answer));
    }
    router
}

/// Permission and name of a path as matched; every method comes to the handler, which refuses in TAXII's own words.
pub fn find(path: &str) -> Option<(Permission, &'static str)> {
    PATHS.contains(&path).then_some((Permission::MattersRead, "taxii"))
}

pub fn is_path(path: &str) -> bool {
    path.starts_with("/taxii2/")
}

/// A token that came as the password of HTTP Basic is a token; the name beside it means nothing.
pub fn token_of_basic(headers: &mut HeaderMap) {
    let Some(basic) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Basic ")) else {
        return;
    };
    let decoded = base64::engine::general_purpose::STANDARD.decode(basic.trim()).ok().and_then(|b| String::from_utf8(b).ok());
    let token = decoded.as_deref().and_then(|t| t.split_once(':')).map(|(_, token)| format!("Bearer {token}"));
    if let Some(value) = token.and_then(|t| HeaderValue::from_str(&t).ok()) {
        headers.insert(header::AUTHORIZATION, value);
    }
}

async fn answer(State(shared): State<App>, caller: Caller, request: Request) -> Result<Response, Fail> {
    let method = request.method().as_str().to_owned();
    let path = request.uri().path().strip_prefix("/taxii2/").unwrap_or_default().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let said = shared
        .work(move |s| {
            let shown = Shown { shared: s, caller: &caller };
            let method = if method == "HEAD" { "GET" } else { &method };
            Ok(serve(&exchange::taxii::Request { method, path: &path, query: &query, accept: accept.as_deref() }, &shown))
        })
        .await?;
    Ok(response(said))
}

fn response(said: Answer) -> Response {
    let status = StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, said.body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    for (name, value) in said.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// What one caller may see of it.
struct Shown<'a> {
    shared: &'a Shared,
    caller: &'a Caller,
}

impl Shown<'_> {
    /// Units of the register in the caller's scope: id, name, sector.
    fn units(&self) -> Vec<(String, String, String)> {
        let book = self.shared.office.book();
        let mine = |id: &String| self.caller.scope.units.as_ref().is_none_or(|units| units.contains(id));
        let row = |u: &matter::register::Unit| (u.id.clone(), u.name.clone(), u.sector.clone());
        book.units.values().filter(|u| mine(&u.id)).map(row).take(COLLECTIONS_MAX).collect()
    }

    /// Revisions of the matters of a kind, with what came before each.
    fn told(&self, kind: &str, unit: Option<&str>, keep: impl Fn(&Revision) -> bool) -> Vec<Record> {
        let mut query = MatterQuery {
            kind: kind.to_owned(),
            unit: unit.map(str::to_owned),
            limit: crate::store::desk::ROWS_MAX,
            ..MatterQuery::default()
        };
        let (mut out, mut seen) = (Vec::new(), 0);
        while seen < MATTERS_MAX {
            let page = match self.shared.desk.matters(&self.caller.scope, &query) {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, kind, "a collection cannot be read");
                    break;
                }
            };
            seen += page.matters.len();
            for row in &page.matters {
                let all = revisions(&row.body);
                for (n, revision) in all.iter().enumerate().filter(|(_, r)| keep(r)) {
                    let earlier: Vec<_> = all.iter().take(n).map(|r| (r.number, r.issued)).collect();
                    let sender = sender(self.shared, revision.issued);
                    out.extend(records(revision.issued, exchange::stix::objects(&Told { revision, earlier: &earlier, sender: &sender })));
                }
            }
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        out
    }
}

fn collection(alias: String, title: String, description: &str) -> Collection {
    Collection { id: exchange::uuid5(&["collection", &alias]), alias, title, description: description.to_owned() }
}

impl Shelf for Shown<'_> {
    fn title(&self) -> String {
        let book = self.shared.office.book();
        let issuer = &book.tables.desk.issuer;
        format!("{} {}", issuer.zh, issuer.en).trim().to_owned()
    }

    fn collections(&self) -> Vec<Collection> {
        let mut out = Vec::new();
        if self.caller.scope.is_city() {
            out.push(collection("city".to_owned(), "全市预警 Warnings of the city".to_owned(), "every revision of every warning"));
        }
        let units = self.units();
        let sectors: std::collections::BTreeSet<&String> = units.iter().map(|(.., sector)| sector).collect();
        for sector in sectors {
            out.push(collection(
                format!("sector-{sector}"),
                format!("行业 Sector {sector}"),
                "TLP clear and green of what units of this sector were told",
            ));
        }
        for (id, name, _) in &units {
            out.push(collection(format!("unit-{id}"), format!("单位 Unit {name}"), "what this unit was told"));
        }
        out
    }

    fn records(&self, id: &str) -> Vec<Record> {
        let Some(found) = self.collections().into_iter().find(|c| c.id == id) else { return Vec::new() };
        if found.alias == "city" {
            return self.told("warning", None, |_| true);
        }
        if let Some(unit) = found.alias.strip_prefix("unit-") {
            return self.told("receipt", Some(unit), |_| true);
        }
        let Some(sector) = found.alias.strip_prefix("sector-") else { return Vec::new() };
        let open = |r: &Revision| matches!(r.tlp, Tlp::Clear | Tlp::Green);
        let units = self.units();
        if self.caller.scope.is_city() {
            let of_sector = |r: &Revision| open(r) && units.iter().any(|(id, _, s)| s == sector && r.units.contains(id));
            return self.told("warning", None, of_sector);
        }
        let mine = units.iter().filter(|(.., s)| s == sector);
        mine.flat_map(|(id, ..)| self.told("receipt", Some(id), open)).collect()
    }
}
