//! Operator pages: complete HTML from the server, so that reading and judging work without JavaScript; scripts make them live.
//!
//! Every page is a row of `PAGES` with its permission, which the gate reads like the API's table. Forms carry the CSRF word, and
//! `SafeForm` is the only way to read one.

mod agents;
mod alerts;
mod bulk;
mod bulletin;
mod cases;
mod clock;
mod deliveries;
mod login;
pub mod matters;
mod portal;
mod register;
mod view;
mod warnings;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Code, Permission, Problem};
use askama::Template;
use axum::Router;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::gate::{Caller, cookie};
use super::people::same;
use super::reply::{Fail, typed};
use super::routes::App;
use super::{Shared, assets, i18n};

pub use super::i18n::Lang;
pub use view::{Times, bytes_text, duration_text, duration_text_zh};

struct PageRow {
    method: &'static str,
    path: &'static str,
    permission: Permission,
    name: &'static str,
    handler: fn() -> MethodRouter<App>,
}

static PAGES: &[PageRow] = &[
    PageRow { method: "GET", path: "/", permission: Permission::AlertsRead, name: "pageAlerts", handler: || get(alerts::list) },
    PageRow { method: "GET", path: "/alerts/{id}", permission: Permission::AlertsRead, name: "pageAlert", handler: || get(alerts::one) },
    PageRow {
        method: "POST",
        path: "/alerts/{id}/triage",
        permission: Permission::AlertsTriage,
        name: "pageTriage",
        handler: || post(alerts::triage),
    },
    PageRow {
        method: "POST",
        path: "/alerts/bulk",
        permission: Permission::AlertsTriage,
        name: "pageBulk",
        handler: || post(bulk::triage),
    },
    PageRow {
        method: "POST",
        path: "/alerts/undo",
        permission: Permission::AlertsTriage,
        name: "pageBulkUndo",
        handler: || post(bulk::undo),
    },
    PageRow { method: "GET", path: "/agents", permission: Permission::AgentsRead, name: "pageAgents", handler: || get(agents::list) },
    PageRow { method: "GET", path: "/agents/{id}", permission: Permission::AgentsRead, name: "pageAgent", handler: || get(agents::one) },
    PageRow {
        method: "POST",
        path: "/agents/{id}/revoke",
        permission: Permission::Enrol,
        name: "pageRevoke",
        handler: || post(agents::revoke),
    },
    PageRow { method: "GET", path: "/units", permission: Permission::RegisterRead, name: "pageUnits", handler: || get(register::units) },
    PageRow {
        method: "POST",
        path: "/units",
        permission: Permission::RegisterWrite,
        name: "pageUnitPut",
        handler: || post(register::put_unit),
    },
    PageRow { method: "GET", path: "/units/{id}", permission: Permission::RegisterRead, name: "pageUnit", handler: || get(register::unit) },
    PageRow {
        method: "POST",
        path: "/units/{id}/contacts",
        permission: Permission::ContactsWrite,
        name: "pageContactsPut",
        handler: || post(register::put_contacts),
    },
    PageRow {
        method: "GET",
        path: "/objects",
        permission: Permission::RegisterRead,
        name: "pageObjects",
        handler: || get(register::objects),
    },
    PageRow {
        method: "POST",
        path: "/objects",
        permission: Permission::RegisterWrite,
        name: "pageObjectPut",
        handler: || post(register::put_object),
    },
    PageRow {
        method: "GET",
        path: "/register/differences",
        permission: Permission::RegisterRead,
        name: "pageDifferences",
        handler: || get(register::differences),
    },
    PageRow {
        method: "POST",
        path: "/register/differences/{id}",
        permission: Permission::RegisterWrite,
        name: "pageDecide",
        handler: || post(register::decide),
    },
    PageRow {
        method: "GET",
        path: "/register/import",
        permission: Permission::RegisterWrite,
        name: "pageImport",
        handler: || get(register::import_form),
    },
    PageRow {
        method: "POST",
        path: "/register/import",
        permission: Permission::RegisterWrite,
        name: "pageImportPost",
        handler: || post(register::import),
    },
    PageRow { method: "GET", path: "/enrol", permission: Permission::Enrol, name: "pageEnrol", handler: || get(register::enrol) },
    PageRow { method: "POST", path: "/enrol", permission: Permission::Enrol, name: "pageEnrolMake", handler: || post(register::invite) },
    PageRow { method: "GET", path: "/desk", permission: Permission::MattersRead, name: "pageDesk", handler: || get(matters::desk) },
    PageRow {
        method: "GET",
        path: "/deliveries",
        permission: Permission::DeliveriesRead,
        name: "pageDeliveries",
        handler: || get(deliveries::list),
    },
    PageRow {
        method: "GET",
        path: "/deliveries/{id}",
        permission: Permission::DeliveriesRead,
        name: "pageDelivery",
        handler: || get(deliveries::one),
    },
    PageRow {
        method: "POST",
        path: "/deliveries/{id}/retry",
        permission: Permission::NotifyTest,
        name: "pageDeliveryRetry",
        handler: || post(deliveries::retry),
    },
    PageRow {
        method: "POST",
        path: "/deliveries/test",
        permission: Permission::NotifyTest,
        name: "pageChannelTest",
        handler: || post(deliveries::test),
    },
    PageRow {
        method: "GET",
        path: "/bulletins/{id}/print",
        permission: Permission::MattersRead,
        name: "pageBulletinPrint",
        handler: || get(bulletin::print),
    },
    PageRow {
        method: "GET",
        path: "/bulletins/{id}/csv",
        permission: Permission::MattersRead,
        name: "pageBulletinCsv",
        handler: || get(bulletin::csv),
    },
    PageRow {
        method: "GET",
        path: "/clocks/{id}/print",
        permission: Permission::MattersRead,
        name: "pageClockPrint",
        handler: || get(clock::print),
    },
    PageRow { method: "GET", path: "/portal", permission: Permission::MattersRead, name: "pagePortal", handler: || get(portal::all) },
    PageRow { method: "GET", path: "/login", permission: Permission::Public, name: "pageLogin", handler: || get(login::show) },
    PageRow { method: "POST", path: "/login", permission: Permission::Public, name: "pageLoginPost", handler: || post(login::enter) },
    PageRow { method: "POST", path: "/logout", permission: Permission::Own, name: "pageLogout", handler: || post(login::leave) },
    PageRow { method: "GET", path: "/password", permission: Permission::Own, name: "pagePassword", handler: || get(login::password) },
    PageRow {
        method: "POST",
        path: "/password",
        permission: Permission::Own,
        name: "pagePasswordPost",
        handler: || post(login::set_password),
    },
    PageRow {
        method: "GET",
        path: "/assets/{version}/{*path}",
        permission: Permission::Public,
        name: "asset",
        handler: || get(assets::serve),
    },
];

/// Permission and name of a page as matched.
pub fn find(method: &str, path: &str) -> Option<(Permission, &'static str)> {
    let method = if method == "HEAD" { "GET" } else { method };
    let own = PAGES.iter().find(|p| p.method == method && p.path == path).map(|p| (p.permission, p.name));
    own.or_else(|| matters::find(method, path))
}

/// Every page's method and path, for tests.
pub fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGES.iter().map(|p| (p.method, p.path))
}

pub fn mount(mut router: Router<App>) -> Router<App> {
    for page in PAGES {
        router = router.route(page.path, (page.handler)());
    }
    matters::mount(router)
}

impl Lang {
    /// `?lang=`, then the cookie, then the browser's wish.
    pub fn of(request: &Request) -> Self {
        Self::chosen(request.uri().query())
            .or_else(|| cookie(request.headers(), "vedette_lang").and_then(Self::from_code))
            .unwrap_or_else(|| Self::accepted(request.headers()))
    }
    fn chosen(query: Option<&str>) -> Option<Self> {
        query?.split('&').find_map(|pair| pair.strip_prefix("lang=")).and_then(Self::from_code)
    }
}

/// What every page needs: language, theme, who is looking, where.
pub struct Page {
    pub lang: Lang,
    pub theme: &'static str,
    pub path: String,
    pub caller: Option<Caller>,
    pub zone: String,
    pub times: Times,
    /// English names of the units in the caller's scope, on an English page.
    unit_names: BTreeMap<String, String>,
    /// `?lang=` or `?theme=` was given: remember it.
    remember: Vec<String>,
}

impl axum::extract::FromRequestParts<App> for Page {
    type Rejection = Fail;
    async fn from_request_parts(parts: &mut axum::http::request::Parts, shared: &App) -> Result<Self, Fail> {
        let mut request = Request::new(axum::body::Body::empty());
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        if let Some(caller) = parts.extensions.get::<Caller>() {
            request.extensions_mut().insert(caller.clone());
        }
        Ok(Self::of(shared, &request))
    }
}

impl Page {
    pub(super) fn of(shared: &Arc<Shared>, request: &Request) -> Self {
        let query = request.uri().query();
        let theme_word = |word: &str| match word {
            "dark" => Some("dark"),
            "light" => Some("light"),
            "auto" => Some("auto"),
            _ => None,
        };
        let chosen_theme = query.and_then(|q| q.split('&').find_map(|p| p.strip_prefix("theme="))).and_then(theme_word);
        let theme = chosen_theme.or_else(|| cookie(request.headers(), "vedette_theme").and_then(theme_word)).unwrap_or("auto");
        let secure = if shared.config.secure { "; Secure" } else { "" };
        let mut remember = Vec::new();
        if let Some(lang) = Lang::chosen(query) {
            remember.push(format!("vedette_lang={}; Path=/; SameSite=Lax; Max-Age=31536000{secure}", lang.code()));
        }
        if let Some(theme) = chosen_theme {
            remember.push(format!("vedette_theme={theme}; Path=/; SameSite=Lax; Max-Age=31536000{secure}"));
        }
        let lang = Lang::of(request);
        let caller = request.extensions().get::<Caller>().cloned();
        let mut unit_names = BTreeMap::new();
        if let Some(caller) = caller.as_ref().filter(|_| lang == Lang::En) {
            unit_names = shared.backstage.unit_names_en();
            unit_names.retain(|id, _| caller.scope.allows(Some(id)));
        }
        Self {
            lang,
            theme,
            unit_names,
            path: request.uri().path().to_owned(),
            caller,
            zone: shared.config.time_zone.clone(),
            times: Times::new(&shared.config.time_zone),
            remember,
        }
    }

    pub fn say(&self, id: &str) -> String {
        i18n::say(self.lang, id)
    }
    /// A word made of a prefix and a code: `page.word("state.", "new")`.
    pub fn word(&self, prefix: &str, code: &str) -> String {
        i18n::say(self.lang, &format!("{prefix}{code}"))
    }
    pub fn with(&self, id: &str, name: &str, value: impl std::fmt::Display) -> String {
        i18n::say_with(self.lang, id, &[(name, &value.to_string())])
    }
    /// A stretch of time in seconds.
    pub fn span(&self, seconds: impl std::borrow::Borrow<i64>) -> String {
        if self.lang == Lang::Zh { duration_text_zh(seconds) } else { duration_text(seconds) }
    }
    pub fn sector(&self, id: &str) -> String {
        i18n::sector(self.lang, id)
    }
    /// A unit's name in the reader's language, where the register has one.
    pub fn unit<'a>(&'a self, id: &str, name: &'a str) -> &'a str {
        self.unit_names.get(id).map_or(name, String::as_str)
    }
    /// The English name where there is one and English is read.
    pub fn named<'a>(&self, name: &'a str, name_en: &'a str) -> &'a str {
        if self.lang == Lang::En && !name_en.is_empty() { name_en } else { name }
    }
    pub fn technique(&self, uid: &str) -> String {
        i18n::technique(self.lang, uid)
    }
    pub fn asset(&self, name: &str) -> String {
        format!("/assets/{}/{name}", assets::version())
    }
    pub fn other_lang(&self) -> &'static str {
        if self.lang == Lang::Zh { "en" } else { "zh" }
    }
    pub fn messages(&self) -> String {
        i18n::for_scripts(self.lang, &self.unit_names)
    }
    pub fn csrf(&self) -> &str {
        self.caller.as_ref().and_then(|c| c.csrf.as_deref()).unwrap_or("")
    }
    pub fn may(&self, word: &str) -> bool {
        let permission = match word {
            "triage" => Permission::AlertsTriage,
            "enrol" => Permission::Enrol,
            "register" => Permission::RegisterRead,
            "register_write" => Permission::RegisterWrite,
            "contacts" => Permission::ContactsWrite,
            "events" => Permission::EventsRead,
            "matters" => Permission::MattersRead,
            "deliveries" => Permission::DeliveriesRead,
            "sign" => Permission::ReceiptsSign,
            _ => return false,
        };
        self.caller.as_ref().is_some_and(|c| c.may(permission))
    }
    /// A delivery class; an unknown word is shown as it came.
    pub fn ledger_class(&self, class: &str) -> String {
        let id = format!("agents.class.{class}");
        if i18n::table().contains_key(&id) { self.say(&id) } else { class.to_owned() }
    }
    /// Title of an alert in the reader's language.
    pub fn title<'a>(&self, alert: &'a api::Alert) -> &'a str {
        if self.lang == Lang::Zh { &alert.title_zh } else { &alert.title }
    }
    pub fn reason<'a>(&self, reason: &'a api::Reason) -> &'a str {
        if self.lang == Lang::Zh { &reason.text.zh } else { &reason.text.en }
    }
    pub fn is_zh(&self) -> bool {
        self.lang == Lang::Zh
    }
    /// What is wrong, in one sentence that is never empty.
    pub fn problem(&self, problem: &Problem) -> String {
        let (title, detail) = if self.is_zh() { (&problem.title_zh, &problem.detail_zh) } else { (&problem.title, &problem.detail) };
        if detail.is_empty() { title.clone() } else { detail.clone() }
    }
    /// `aria-current` for the navigation.
    pub fn here(&self, path: &str) -> &'static str {
        let at = self.path == path || (path == "/" && self.path.starts_with("/alerts")) || (path != "/" && self.path.starts_with(path));
        if at { "page" } else { "false" }
    }

    /// The finished page.
    pub fn answer(self, status: StatusCode, template: &impl Template) -> Response {
        self.answer_ref(status, template)
    }
    pub fn answer_ref(&self, status: StatusCode, template: &impl Template) -> Response {
        match template.render() {
            Err(error) => {
                tracing::error!(%error, "page not rendered");
                Fail::code(Code::Internal).into_response()
            }
            Ok(html) => {
                let mut response = typed("text/html; charset=utf-8", html);
                *response.status_mut() = status;
                for cookie in &self.remember {
                    if let Ok(value) = HeaderValue::from_str(cookie) {
                        response.headers_mut().append(header::SET_COOKIE, value);
                    }
                }
                response
            }
        }
    }
}

/// A form of our own page: read only if it brings the CSRF word of the session (the login form has none yet).
pub struct SafeForm<T>(pub T);

#[derive(Deserialize)]
struct Guarded {
    #[serde(default)]
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<App> for SafeForm<T> {
    type Rejection = Fail;
    async fn from_request(request: Request, state: &App) -> Result<Self, Fail> {
        let csrf = request.extensions().get::<Caller>().and_then(|c| c.csrf.clone());
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|_| Fail::code(Code::TooLarge))?;
        let bad = |e: serde::de::value::Error| Fail::because(Code::BadRequest, e.to_string(), format!("表单内容有误（{e}）"));
        if let Some(csrf) = csrf {
            let guarded: Guarded = read_form(&bytes).map_err(bad)?;
            if !same(&guarded.csrf, &csrf) {
                return Err(Fail::code(Code::CrossSite));
            }
        }
        read_form(&bytes).map(Self).map_err(bad)
    }
}

/// A form's body as a value; through axum's own reader of query strings.
fn read_form<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde::de::value::Error> {
    use serde::de::Error;
    let text = std::str::from_utf8(bytes).map_err(|e| serde::de::value::Error::custom(e.to_string()))?;
    let uri: axum::http::Uri =
        format!("/?{text}").parse().map_err(|e: axum::http::uri::InvalidUri| serde::de::value::Error::custom(e.to_string()))?;
    axum::extract::Query::<T>::try_from_uri(&uri).map(|q| q.0).map_err(|e| serde::de::value::Error::custom(e.body_text()))
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: &'a Page,
    title: &'a str,
    detail: &'a str,
    way: String,
    status: u16,
    number: &'a str,
}

/// A problem as a page, for a browser, in its reader's language and with the way out; `number` is the request's, as the log has
/// it, and shown where the fault is ours: what is not there must look the same each time.
pub fn error_page(page: &Page, problem: &Problem, number: &str) -> Response {
    let (title, detail) = if page.is_zh() { (&problem.title_zh, &problem.detail_zh) } else { (&problem.title, &problem.detail) };
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let way = page.word("way.", &problem.code);
    page.answer_ref(status, &ErrorPage { page, title, detail, way, status: problem.status, number })
}
