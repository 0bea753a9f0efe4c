//! What a caller may rely on: the contract, the gate, isolation between units, login, triage, headers.

mod bulk;
mod cases;
mod matters;
mod warnings;

mod register;

use std::sync::Arc;

use api::{ROUTES, Role};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Shared, page, router, sample};

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }
}

struct House {
    shared: Arc<Shared>,
    router: Router,
}

impl House {
    fn new(count: usize) -> Self {
        let shared = sample::city(sample::clock, count).unwrap();
        let router = router(shared.clone());
        Self { shared, router }
    }
    fn token(&self, role: Role, units: Option<&[&str]>) -> String {
        format!("Bearer {}", sample::token(&self.shared, role, units).unwrap())
    }
    async fn raw(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.raw(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned();
        Answer { status, headers, body }
    }
    async fn get(&self, path: &str, token: &str) -> Answer {
        let mut request = Request::get(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, token);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }
    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
    /// Logs in and gives (cookie, csrf).
    async fn log_in(&self) -> (String, String) {
        self.log_in_with(sample::PASSWORD).await
    }

    async fn log_in_with(&self, password: &str) -> (String, String) {
        let answer = self.call("POST", "/api/v1/login", &[], json!({"name": "duty", "password": password})).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        (cookie, answer.json()["csrf"].as_str().unwrap().to_owned())
    }
}

/// A path with something in its holes.
fn filled(path: &str, house: &House) -> String {
    let id = sample::alert(0, house.shared.now()).id.0;
    let id = match path {
        _ if path.contains("agents") => "0000000000000001",
        _ if path.contains("weaknesses") => "CVE-2024-3400",
        _ => &id,
    };
    let query = match path {
        _ if !path.ends_with("/{id}/export") => "",
        _ if path.contains("incidents") => "?format=ocsf",
        _ => "?format=cap",
    };
    path.replace("{version}", "x").replace("{*path}", "console.css").replace("{id}", id) + query
}

#[tokio::test]
async fn every_route_and_page_stands_and_asks_who_it_is() {
    let house = House::new(3);
    let all = ROUTES
        .iter()
        .map(|r| (r.method.name(), r.path, r.permission))
        .chain(page::paths().map(|(m, p)| (m, p, page::find(m, p).unwrap().0)));
    let mut seen = 0;
    for (method, path, permission) in all {
        let answer = house.call(method, &filled(path, &house), &[], json!({})).await;
        if permission == api::Permission::Public {
            assert!(![401, 403, 405].contains(&answer.status.as_u16()) || path.ends_with("login"), "{method} {path}: {}", answer.status);
        } else {
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
            assert_eq!(answer.json()["code"], "not_logged_in");
        }
        seen += 1;
    }
    assert!(seen > 45);
    assert_eq!(house.get("/api/v1/nothing", &house.token(Role::Admin, None)).await.status, 404);
    assert_eq!(house.call("DELETE", "/api/v1/alerts", &[("authorization", &house.token(Role::Admin, None))], json!({})).await.status, 405);
    assert_eq!(house.get("/api/v1/alerts", "Bearer nonsense").await.status, 401);
    assert_eq!(house.get("/api/v1/alerts", "Basic xyz").await.status, 401);
}

#[tokio::test]
async fn a_role_that_may_not_is_refused_whatever_it_sends() {
    let house = House::new(3);
    for role in Role::ALL {
        let token = house.token(role, None);
        for route in ROUTES.iter().filter(|r| r.permission != api::Permission::Public && r.op != api::Op::FeedGet) {
            let answer = house
                .call(
                    route.method.name(),
                    &filled(route.path, &house),
                    &[("authorization", &token), ("if-match", "*")],
                    json!({"no": "such body"}),
                )
                .await;
            let denied = answer.status == 403 && answer.json()["code"] == "denied";
            if !role.may(route.permission) {
                assert!(denied, "{role:?} {} {}: {}", route.method.name(), route.path, answer.status);
            } else if route.method == api::Method::Get {
                assert!(answer.status == 200 || answer.status == 404, "{role:?} {}: {} {}", route.path, answer.status, answer.body);
            }
        }
    }
}

/// The city as the bank's people see it, with or without everybody else in it.
async fn seen_by_bank(others: bool) -> Vec<(String, StatusCode, String)> {
    let house = House { shared: sample::empty(sample::clock).unwrap(), router: Router::new() };
    let house = House { router: router(house.shared.clone()), shared: house.shared };
    let token = house.token(Role::SectorLead, Some(&["bank-1"]));
    sample::agents(&house.shared.board, house.shared.now(), (!others).then_some("bank-1"));
    let start = house.shared.feed.position(&crate::store::Scope::units(["bank-1"])).unwrap();
    // Every fifth alert is the bank's; the fourth kind is the city's with the bank in it.
    let kept: Vec<usize> = (0..60).rev().filter(|n| others || (n % 5 == 0 && n % 8 != 4)).collect();
    sample::fill(&house.shared, kept.iter().copied()).unwrap();
    for n in &kept {
        let id = sample::alert(*n, house.shared.now()).id;
        let alert = house.shared.desk.alert(&crate::store::Scope::CITY, &id).unwrap().unwrap();
        house.shared.feed.publish(crate::outbox::alert_item(&alert));
    }
    let other = sample::alert(1, house.shared.now()).id.0;
    let mine = sample::alert(0, house.shared.now()).id.0;
    let mut paths: Vec<String> = Vec::new();
    for route in ROUTES.iter().filter(|r| r.method == api::Method::Get && !matches!(r.op, api::Op::FeedGet | api::Op::MetricsGet)) {
        for id in [&other, &mine, "0000000000000001", "0000000000000002", "bank-1", "grid-1"] {
            paths.push(route.path.replace("{id}", id));
            if !route.path.contains("{id}") {
                break;
            }
        }
    }
    for extra in [
        "?q=src:203.0.113.11",
        "?q=nonsense((",
        "?limit=2",
        "?cursor=broken",
        "?sector=power",
        "?unit=grid-1",
        "?state=all&limit=5",
        "?severity=high",
    ] {
        paths.push(format!("/api/v1/alerts{extra}"));
    }
    paths.push("/api/v1/events?q=host:grid*".into());
    paths.push("/".into());
    paths.push(format!("/alerts/{other}"));
    paths.push("/agents".into());
    paths.push("/units".into());
    paths.push("/enrol".into());
    let mut out = Vec::new();
    for path in paths {
        for accept in ["application/json", "text/csv", "text/html"] {
            let request =
                Request::get(&path).header(header::AUTHORIZATION, &token).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
            let answer = house.send(request).await;
            out.push((format!("{path} {accept}"), answer.status, answer.body));
        }
    }
    for (path, body) in [
        (format!("/api/v1/alerts/{other}/triage"), json!({"action": "acknowledge"})),
        ("/api/v1/enrolment-tokens".into(), json!({"unit_id": "grid-1"})),
    ] {
        let answer = house.call("POST", &path, &[("authorization", &token), ("if-match", "*")], body).await;
        out.push((path, answer.status, answer.body));
    }
    // The feed from before everything: headers, ids and data of what was told.
    let request = Request::get("/api/v1/feed")
        .header(header::AUTHORIZATION, &token)
        .header("last-event-id", start.to_string())
        .body(Body::empty())
        .unwrap();
    let mut body = house.raw(request).await.into_body();
    let mut text = String::new();
    let mine_told = kept.iter().filter(|n| *n % 5 == 0 && *n % 8 != 4).count();
    while text.matches("\nid: ").count() + usize::from(text.starts_with("id: ")) < mine_told {
        text.push_str(&String::from_utf8_lossy(&body.frame().await.unwrap().unwrap().into_data().unwrap()));
    }
    out.push(("feed".into(), StatusCode::OK, text));
    out
}

#[tokio::test]
async fn one_units_answers_are_the_same_bytes_whether_or_not_others_exist() {
    let (alone, among) = (seen_by_bank(false).await, seen_by_bank(true).await);
    assert_eq!(alone.len(), among.len());
    assert!(alone.iter().any(|(p, s, b)| p.starts_with("/api/v1/alerts ") && *s == 200 && b.contains("bank-1")), "the bank sees its own");
    for (a, b) in alone.iter().zip(&among) {
        assert!(a == b, "{} {} differs: {} and {} bytes", a.0, b.1, a.2.len(), b.2.len());
        assert!(!b.2.contains("江城供电公司") && !b.2.contains("grid-1-srv"), "{}", b.0);
    }
}

#[tokio::test]
async fn the_list_is_paged_without_a_hole_and_filters_agree_with_a_plain_scan() {
    let house = House::new(230);
    let token = house.token(Role::Viewer, None);
    let mut cursor = String::new();
    let mut ids = Vec::new();
    loop {
        let page = house.get(&format!("/api/v1/alerts?limit=50&cursor={cursor}"), &token).await.json();
        ids.extend(page["items"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((ids.len(), unique.len()), (230, 230));
    let count = async |query: &str| {
        house.get(&format!("/api/v1/alerts?limit=1000&{query}"), &token).await.json()["items"].as_array().unwrap().len()
    };
    let scan = |keep: fn(&warning::Alert) -> bool| (0..230).map(|n| sample::alert(n, house.shared.now())).filter(keep).count();
    assert_eq!(count("sector=power").await, scan(|a| a.units.iter().any(|u| u.sector == "power")));
    assert_eq!(
        count("q=sector:power%20severity%3E%3Dhigh").await,
        scan(|a| a.severity_id >= 4 && a.units.iter().any(|u| u.sector == "power"))
    );
    assert_eq!(count("severity=critical").await, scan(|a| a.severity_id == 5));
    assert_eq!(count("q=src:203.0.113.17").await, scan(|a| a.source_ips == ["203.0.113.17"]));
    assert_eq!(count("unit=metro-1&q=not%20user:root").await, scan(|a| a.units.iter().any(|u| u.id == "metro-1") && a.users.is_empty()));
    // A filtered list is paged without a hole too.
    let first = house.get("/api/v1/alerts?limit=7&sector=power", &token).await.json();
    let second =
        house.get(&format!("/api/v1/alerts?limit=1000&sector=power&cursor={}", first["next"].as_str().unwrap()), &token).await.json();
    assert_eq!(7 + second["items"].as_array().unwrap().len(), count("sector=power").await);
    let bad = house.get("/api/v1/alerts?q=sector%3A((", &token).await;
    assert_eq!((bad.status.as_u16(), bad.json()["code"].as_str()), (400, Some("bad_query")));
    assert!(bad.json()["column"].as_u64().is_some());
}

#[tokio::test]
async fn two_people_one_alert_the_second_is_shown_the_first() {
    let house = House::new(2);
    let id = sample::alert(0, house.shared.now()).id.0;
    let path = format!("/api/v1/alerts/{id}/triage");
    let token = house.token(Role::Operator, None);
    let send =
        async |revision: &str, body: Value| house.call("POST", &path, &[("authorization", &token), ("if-match", revision)], body).await;
    let none = house.call("POST", &path, &[("authorization", &token)], json!({"action": "acknowledge"})).await;
    assert_eq!(none.status, 428);
    let first = send("\"1\"", json!({"action": "acknowledge"})).await;
    assert_eq!((first.status.as_u16(), first.header("etag"), first.json()["changed"].as_bool()), (200, "\"2\"", Some(true)));
    let again = send("\"1\"", json!({"action": "acknowledge"})).await;
    assert_eq!((again.status.as_u16(), again.json()["changed"].as_bool()), (200, Some(false)), "the same word twice is harmless");
    let late = send("\"1\"", json!({"action": "close", "reason": "false_positive"})).await;
    assert_eq!((late.status.as_u16(), late.json()["code"].as_str()), (409, Some("conflict")));
    assert_eq!((late.json()["current"]["state"].as_str(), late.json()["current"]["revision"].as_u64()), (Some("acknowledged"), Some(2)));
    assert_eq!(send("\"2\"", json!({"action": "close"})).await.status, 422, "closing needs a reason");
    assert_eq!(send("\"2\"", json!({"action": "close", "reason": "because"})).await.status, 422);
    assert_eq!(send("\"2\"", json!({"action": "close", "reason": "false_positive", "note": "backup job"})).await.status, 200);
    let history = house.get(&format!("/api/v1/alerts/{id}/history"), &token).await.json();
    assert!(history["items"].as_array().unwrap().iter().any(|n| n["text"].as_str().unwrap().contains("backup job")), "{history}");
    let audit = house.get("/api/v1/audit", &house.token(Role::Auditor, None)).await.json();
    assert!(audit["items"].as_array().unwrap().iter().any(|r| r["object"] == id.as_str()), "{audit}");
    assert_eq!(house.get("/api/v1/audit/verify", &house.token(Role::Auditor, None)).await.json()["intact"], true);
    let told = house.shared.feed.counts().0;
    assert_eq!(told, 2, "both changes were told on the feed");
}

#[tokio::test]
async fn a_cookie_writes_only_from_our_own_pages() {
    let house = House::new(2);
    let (cookie, csrf) = house.log_in().await;
    let id = sample::alert(0, house.shared.now()).id.0;
    let path = format!("/api/v1/alerts/{id}/triage");
    let body = || json!({"action": "acknowledge"});
    let base = [("cookie", cookie.as_str()), ("if-match", "*"), ("host", "console.example")];
    let with = |extra: &[(&'static str, &'static str)]| base.iter().copied().chain(extra.iter().copied()).collect::<Vec<_>>();
    assert_eq!(house.call("POST", &path, &with(&[]), body()).await.json()["code"], "cross_site", "no word");
    assert_eq!(house.call("POST", &path, &with(&[("x-csrf-token", "0123")]), body()).await.json()["code"], "cross_site", "a wrong word");
    let mut right = base.to_vec();
    right.push(("x-csrf-token", &csrf));
    let mut elsewhere = right.clone();
    elsewhere.push(("origin", "https://evil.example"));
    assert_eq!(house.call("POST", &path, &elsewhere, body()).await.json()["code"], "cross_site", "the right word from elsewhere");
    let mut fetched = right.clone();
    fetched.push(("sec-fetch-site", "cross-site"));
    assert_eq!(house.call("POST", &path, &fetched, body()).await.json()["code"], "cross_site");
    // A form content type must not slip past the check on an API route.
    let form = Request::post("/api/v1/logout")
        .header("cookie", &cookie)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::empty())
        .unwrap();
    assert_eq!(house.send(form).await.json()["code"], "cross_site");
    right.push(("origin", "https://console.example"));
    assert_eq!(house.call("POST", &path, &right, body()).await.status, 200);
    let form = async |text: String| {
        let request = Request::post(format!("/alerts/{id}/triage"))
            .header("cookie", &cookie)
            .header("host", "console.example")
            .header("origin", "https://console.example")
            .header("accept", "text/html")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(text))
            .unwrap();
        house.send(request).await
    };
    assert_eq!(form("action=note&note=x&revision=2&csrf=wrong".into()).await.status, 403);
    assert_eq!(form(format!("action=note&note=%E5%A4%87%E6%B3%A8+1&revision=2&csrf={csrf}")).await.status, 303, "works without scripts");
    let conflict = form(format!("action=investigate&revision=1&csrf={csrf}")).await;
    assert!(conflict.status == 409 && conflict.body.contains("已被他人先行修改"), "{}", conflict.status);
}

#[tokio::test]
async fn a_password_somebody_else_set_opens_nothing_but_its_own_change() {
    let house = House::new(2);
    let mut person = house.shared.desk.person("duty").unwrap().unwrap();
    person.must_change = true;
    house.shared.desk.put_person(&person).unwrap();
    let (cookie, csrf) = house.log_in().await;
    let page = |path: &'static str| Request::get(path).header("cookie", &cookie).header("accept", "text/html").body(Body::empty()).unwrap();
    for path in ["/", "/agents", "/units", "/enrol", "/alerts/A0"] {
        let answer = house.send(page(path)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/password"), "{path}");
    }
    assert_eq!(house.send(page("/password")).await.status, 200);
    for path in ["/api/v1/alerts", "/api/v1/events", "/api/v1/feed", "/api/v1/agents"] {
        let answer = house.send(Request::get(path).header("cookie", &cookie).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (403, Some("password_first")), "{path}");
    }
    let own = [("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str())];
    let change = |new: &str| house.call("POST", "/api/v1/me/password", &own, json!({"old": sample::PASSWORD, "new": new}));
    assert_eq!(change(sample::PASSWORD).await.status, 422, "the same again is no change");
    assert_eq!(change("wall-of-lamps-2026").await.status, 204);
    let (cookie, _) = house.log_in_with("wall-of-lamps-2026").await;
    let open =
        house.send(Request::get("/agents").header("cookie", &cookie).header("accept", "text/html").body(Body::empty()).unwrap()).await;
    assert_eq!(open.status, 200);
}

#[tokio::test]
async fn a_question_with_a_word_nobody_knows_is_refused_and_not_answered_in_part() {
    let house = House::new(2);
    let (cookie, _) = house.log_in().await;
    for path in ["alerts", "events", "agents", "baselines"] {
        let ask = |query: &str| Request::get(format!("/api/v1/{path}{query}")).header("cookie", &cookie).body(Body::empty()).unwrap();
        assert_eq!(house.send(ask("")).await.status, 200, "{path}");
        let refused = house.send(ask("?unti=bank")).await;
        assert!(refused.status.is_client_error() && refused.body.contains("unti"), "{path}: {} {}", refused.status, refused.body);
    }
}

#[tokio::test]
async fn logging_in_and_out_and_being_slowed_down() {
    let house = House::new(2);
    let refused = house.call("POST", "/api/v1/login", &[], json!({"name": "duty", "password": "wrong wrong wrong"})).await;
    let nobody = house.call("POST", "/api/v1/login", &[], json!({"name": "nobody", "password": "wrong wrong wrong"})).await;
    assert_eq!((refused.status, &refused.body), (nobody.status, &nobody.body), "an unknown name looks like a wrong password");
    let (cookie, csrf) = house.log_in().await;
    assert!(cookie.starts_with("vedette_session=") && cookie.len() > 70);
    let me = house.send(Request::get("/api/v1/me").header("cookie", &cookie).body(Body::empty()).unwrap()).await;
    assert_eq!((me.json()["name"].as_str(), me.json()["role"].as_str()), (Some("duty"), Some("shift_lead")));
    let page = house.send(Request::get("/").header("cookie", &cookie).header("accept", "text/html").body(Body::empty()).unwrap()).await;
    assert_eq!(page.status, 200);
    let out = house.call("POST", "/api/v1/logout", &[("cookie", &cookie), ("x-csrf-token", &csrf)], json!({})).await;
    assert_eq!(out.status, 204);
    let gone = house.send(Request::get("/").header("cookie", &cookie).header("accept", "text/html").body(Body::empty()).unwrap()).await;
    assert_eq!((gone.status.as_u16(), gone.header("location")), (303, "/login?next=/"));
    for _ in 0..6 {
        house.call("POST", "/api/v1/login", &[], json!({"name": "duty", "password": "wrong wrong wrong"})).await;
    }
    let paused = house.call("POST", "/api/v1/login", &[], json!({"name": "duty", "password": sample::PASSWORD})).await;
    assert_eq!((paused.status.as_u16(), paused.json()["code"].as_str()), (429, Some("too_many")));
    let answer = house
        .call(
            "POST",
            "/api/v1/login",
            &[("origin", "https://evil.example"), ("host", "console.example")],
            json!({"name": "x", "password": "y"}),
        )
        .await;
    assert_eq!(answer.json()["code"], "cross_site");
}

#[tokio::test]
async fn every_answer_carries_the_guards_and_pages_hold_nothing_inline() {
    let house = House::new(20);
    let token = house.token(Role::Admin, None);
    let id = sample::alert(0, house.shared.now()).id.0;
    for path in [
        "/",
        &format!("/alerts/{id}"),
        "/agents",
        "/agents/0000000000000002",
        "/units",
        "/enrol",
        "/login",
        "/password",
        "/alerts/A0",
        "/-/healthy",
        "/api/v1/alerts",
    ] {
        for lang in ["zh", "en"] {
            let request = Request::get(path)
                .header("authorization", &token)
                .header("accept", "text/html")
                .header("accept-language", lang)
                .body(Body::empty())
                .unwrap();
            let answer = house.send(request).await;
            assert_eq!(answer.header("content-security-policy"), super::gate::CSP, "{path}");
            assert_eq!((answer.header("x-content-type-options"), answer.header("x-frame-options")), ("nosniff", "DENY"));
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("x-request-id").len(), 16);
            if !answer.header("content-type").starts_with("text/html") {
                continue;
            }
            assert!(!answer.body.contains('⟦'), "{path}: a word is missing");
            let lower = answer.body.to_ascii_lowercase();
            assert!(
                !lower.contains(" style=") && !lower.contains("<style") && !lower.contains(" onclick=") && !lower.contains("javascript:"),
                "{path}"
            );
            for script in lower.split("<script").skip(1) {
                let head = script.split('>').next().unwrap();
                assert!(head.contains("src=\"/assets/") || head.contains("application/json"), "{path}: {head}");
            }
            assert!(!lower.contains("http://") && !lower.contains("https://"), "{path}: names another host");
        }
    }
    let style = house.get(&format!("/assets/{}/console.css", super::assets::version()), "").await;
    assert!(style.status == 200 && style.header("cache-control").contains("immutable"));
    assert_eq!(house.get("/assets/x/../mod.rs", "").await.status, 404);
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let house = House::new(0);
    let mut alert = sample::alert(0, house.shared.now());
    alert.title = "</script><script>alert(1)</script>".into();
    alert.title_zh = "<img src=x onerror=alert(1)>".into();
    alert.hosts = vec!["\"><svg onload=alert(1)>".into()];
    let id = alert.id.0.clone();
    sample::store(&house.shared, &[alert], &[]).unwrap();
    let token = house.token(Role::Admin, None);
    for path in ["/", &format!("/alerts/{id}")] {
        for lang in ["en", "zh"] {
            let request = Request::get(path).header("authorization", &token).header("accept-language", lang).body(Body::empty()).unwrap();
            let body = house.send(request).await.body;
            assert!(body.contains("alert(1)"));
            assert!(
                !body.contains("<script>alert")
                    && !body.contains("<img src=x")
                    && !body.contains("<svg onload")
                    && !body.contains("</script><script>"),
                "{path} {lang}"
            );
        }
    }
}

#[tokio::test]
async fn lists_also_leave_as_csv_and_json_lines() {
    let house = House::new(30);
    let token = house.token(Role::Viewer, None);
    let get = async |accept: &str| {
        house
            .send(
                Request::get("/api/v1/alerts?limit=10")
                    .header("authorization", &token)
                    .header("accept", accept)
                    .body(Body::empty())
                    .unwrap(),
            )
            .await
    };
    let csv = get("text/csv").await;
    assert_eq!(csv.body.lines().count(), 11);
    assert!(csv.body.starts_with("close_reason,") || csv.body.contains("severity"), "{}", csv.body.lines().next().unwrap());
    assert!(!csv.header("x-next-cursor").is_empty());
    let lines = get("application/x-ndjson").await;
    assert_eq!(lines.body.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["id"].clone()).filter(Value::is_string).count(), 10);
}

#[tokio::test]
async fn an_alert_shows_its_why_in_both_languages() {
    let house = House::new(9);
    let token = house.token(Role::Operator, None);
    let alert = sample::alert(0, house.shared.now());
    let shown = house.get(&format!("/api/v1/alerts/{}", alert.id.0), &token).await.json();
    assert_eq!(shown["reasons"][0]["text"]["en"], "24 different values of dst_endpoint.port within 60 s (threshold 20)");
    assert!(shown["reasons"][0]["text"]["zh"].as_str().unwrap().contains("阈值 20"));
    let page = house
        .send(Request::get(format!("/alerts/{}?lang=en", alert.id.0)).header("authorization", &token).body(Body::empty()).unwrap())
        .await;
    for part in [
        "24 different values",
        "24 seen, threshold 20",
        "config/rules/network/scan_vertical.yml",
        "203.0.113.10",
        "Network Service Discovery",
        "value_count",
        "REJ",
    ] {
        assert!(page.body.contains(part), "{part}");
    }
    assert!(page.header("set-cookie").starts_with("vedette_lang=en"));
    let evidence = house.get(&format!("/api/v1/alerts/{}/events", alert.id.0), &token).await.json();
    assert_eq!(evidence["items"].as_array().unwrap().len(), 12);
    let silent = house.get("/api/v1/agents?liveness=silent", &token).await.json();
    assert_eq!(silent["total"], 1);
    assert_eq!(silent["items"][0]["id"], "0000000000000004");
}

#[tokio::test]
async fn health_and_readiness_and_metrics() {
    let house = House::new(3);
    assert_eq!(house.get("/-/healthy", "").await.status, 200);
    let waiting = house.get("/-/ready", "").await;
    assert_eq!((waiting.status.as_u16(), waiting.json()["waiting_for"].clone()), (503, json!(["listener"])));
    super::Ready::set(&house.shared.ready.listener_bound);
    assert_eq!(house.get("/-/ready", "").await.status, 200);
    assert_eq!(house.get("/metrics", "").await.status, 401);
    house.call("POST", "/-/reload", &[("authorization", &house.token(Role::ShiftLead, None))], json!({})).await;
    let text = house.get("/metrics", &house.token(Role::Metrics, None)).await.body;
    for name in [
        "vedette_serve_requests_total",
        "vedette_feed_readers",
        "vedette_agents_known{liveness=\"silent\"} 1",
        "vedette_config_last_reload_successful 1",
        "vedette_agents_last_seen_timestamp_seconds",
    ] {
        assert!(text.contains(name), "{name}\n{text}");
    }
    assert!(!text.contains("203.0.113") && !text.contains("/api/v1"), "no address and no path in a label");
}

#[tokio::test]
async fn what_a_person_makes_is_never_more_than_what_they_have() {
    let house = House::new(2);
    let lead = house.token(Role::SectorLead, Some(&["bank-1"]));
    let make = async |body: Value| house.call("POST", "/api/v1/tokens", &[("authorization", &lead)], body).await;
    assert_eq!(make(json!({"name": "x", "role": "admin"})).await.status, 403);
    assert_eq!(make(json!({"name": "x", "role": "viewer", "units": ["grid-1"]})).await.status, 403);
    let made = make(json!({"name": "x", "role": "viewer"})).await.json();
    let token = format!("Bearer {}", made["token"].as_str().unwrap());
    let me = house.get("/api/v1/me", &token).await.json();
    assert_eq!((me["role"].as_str(), me["units"].clone()), (Some("viewer"), json!(["bank-1"])));
    let gone =
        house.call("DELETE", &format!("/api/v1/tokens/{}", made["id"].as_str().unwrap()), &[("authorization", &lead)], json!({})).await;
    assert_eq!(gone.status, 204);
    assert_eq!(house.get("/api/v1/me", &token).await.status, 401);
    let enrol =
        house.call("POST", "/api/v1/enrolment-tokens", &[("authorization", &lead)], json!({"unit_id": "bank-1", "minutes": 5})).await;
    assert!(enrol.json()["enrolment"].as_str().unwrap().starts_with("vedette1:"));
}

#[tokio::test]
async fn bodies_are_bounded_and_unknown_keys_are_errors() {
    let house = House::new(2);
    let token = house.token(Role::Operator, None);
    let id = sample::alert(0, house.shared.now()).id.0;
    let path = format!("/api/v1/alerts/{id}/triage");
    let headers = [("authorization", token.as_str()), ("if-match", "*")];
    assert_eq!(house.call("POST", &path, &headers, json!({"action": "note", "note": "x".repeat(70_000)})).await.status, 413);
    assert_eq!(house.call("POST", &path, &headers, json!({"action": "note", "note": "x".repeat(4_001)})).await.status, 422);
    assert_eq!(house.call("POST", &path, &headers, json!({"action": "acknowledge", "reson": 1})).await.status, 400);
    assert_eq!(house.get("/api/v1/alerts?limt=5", &token).await.status, 400);
    assert_eq!(house.get("/api/v1/alerts?limit=5000", &token).await.status, 400);
}

#[tokio::test]
async fn an_agent_is_revoked_by_its_own_people_with_a_reason_and_by_nobody_else() {
    let house = House::new(3);
    let agent = house.shared.board.list(&crate::store::Scope::units(["bank-1"]), house.shared.now()).remove(0);
    let path = format!("/api/v1/agents/{}/revoke", agent.id);
    let lead = house.token(Role::SectorLead, Some(&["bank-1"]));
    let stranger = house.token(Role::SectorLead, Some(&["grid-1"]));
    let post = async |token: &str, body: Value| house.call("POST", &path, &[("authorization", token)], body).await;
    assert_eq!(post(&stranger, json!({"reason": "mine now"})).await.status, 404);
    assert_eq!(post(&lead, json!({"reason": "  "})).await.status, 422);
    let done = post(&lead, json!({"reason": "stolen laptop"})).await;
    assert_eq!((done.status.as_u16(), done.json()["liveness"].as_str().unwrap()), (200, "revoked"), "{}", done.body);
    let audit = house.get("/api/v1/audit", &house.token(Role::Auditor, None)).await.json();
    assert_eq!(audit["items"][0]["action"], "agent.revoke");
    assert_eq!(audit["items"][0]["object"], agent.id.as_str());
}

/// The number on the page is the one the log and the answer's head have.
#[tokio::test]
async fn a_fault_of_ours_names_the_requests_number() {
    let house = House::new(1);
    for (lang, words) in
        [("en", ["Error 500", "Request number", "give the request number"]), ("zh", ["错误 500", "请求编号", "告知采集中心管理员"])]
    {
        let request = Request::get(format!("/?lang={lang}")).body(Body::empty()).unwrap();
        let shown = page::Page::of(&house.shared, &request);
        let answer = page::error_page(&shown, &api::Problem::new(api::Code::Internal), "0123456789abcdef");
        assert_eq!(answer.status(), 500);
        let body = String::from_utf8_lossy(&answer.into_body().collect().await.unwrap().to_bytes()).into_owned();
        assert!(words.iter().all(|w| body.contains(w)) && body.contains("<code>0123456789abcdef</code>"), "{body}");
    }
}

/// What a person reads where something does not work: in the page's language, with the way out, inside the console.
#[tokio::test]
async fn errors_are_pages_in_the_readers_language_with_the_way_out() {
    let house = House::new(5);
    let (cookie, _) = house.log_in().await;
    let see = |path: &'static str, lang: &'static str, token: Option<String>| {
        let mut request = Request::get(path)
            .header("accept", "text/html")
            .header("cookie", format!("{cookie}; vedette_lang={lang}; vedette_theme=light"));
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token);
        }
        house.send(request.body(Body::empty()).unwrap())
    };
    let viewer = || Some(house.token(Role::Viewer, None));
    let cases = [
        ("/nowhere", None, 404_u16, ["no such thing", "Check the address"], ["不存在", "请核对地址"]),
        ("/alerts/A0000000000000000", None, 404, ["no such thing", "Check the address"], ["不存在", "请核对地址"]),
        ("/enrol", viewer(), 403, ["your role does not allow this", "Ask an administrator"], ["您的角色无权", "请联系管理员"]),
        ("/?cursor=nonsense", None, 200, ["not one this server gave", "Clear"], ["游标无效", "清除"]),
        ("/?q=src%3A1.2.3.4+((", None, 200, ["column", "is not closed"], ["第", "没有闭合"]),
    ];
    for (path, token, status, english, chinese) in cases {
        for (lang, tag, words) in [("en", "en", english), ("zh", "zh-CN", chinese)] {
            let answer = see(path, lang, token.clone()).await;
            assert_eq!(answer.status, status, "{path}");
            for word in words.into_iter().chain([format!("<html lang=\"{tag}\" data-theme=\"light\"").as_str()]) {
                assert!(answer.body.contains(word), "{lang} {path}: no '{word}' in {}", answer.body);
            }
            let main = answer.body.split("<main").nth(1).unwrap_or_default();
            if status != 200 {
                assert!(
                    answer.body.contains("aria-label") && answer.body.contains("href=\"/agents\""),
                    "{path}: the way to the other pages"
                );
                let wrong: Vec<char> =
                    main.split("</main").next().unwrap_or_default().chars().filter(|c| ('\u{4e00}'..='\u{9fff}').contains(c)).collect();
                assert_eq!(wrong.is_empty(), lang == "en", "{lang} {path}: {wrong:?}");
            }
        }
    }
}
