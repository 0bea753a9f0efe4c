//! Matters through the door: acts with revisions, previews, repeated wishes, scope, forms without scripts.

use super::*;

fn issue(units: &[&str]) -> Value {
    json!({"units": units, "title": {"zh": "关闭端口", "en": "close the port"}, "todo": [{"zh": "关闭 6379 端口", "en": "close port 6379"}]})
}

async fn issued(house: &House, token: &str, units: &[&str]) -> String {
    let answer = house.call("POST", "/api/v1/orders/issue", &[("authorization", token)], issue(units)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["matter"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_order_is_issued_previewed_signed_for_and_never_overwritten() {
    let house = House::new(0);
    let city = house.token(Role::Operator, None);
    let bank = house.token(Role::SectorLead, Some(&["bank-1"]));
    let preview =
        house.call("POST", "/api/v1/orders/issue?dry_run=true", &[("authorization", &city)], issue(&["bank-1", "grid-1"])).await.json();
    assert!(preview["dry_run"] == true && preview["changed"].as_u64() >= Some(2), "one for each unit: {preview}");
    assert_eq!(house.get("/api/v1/orders", &city).await.json()["items"], json!([]), "a preview is never kept");

    let key = [("authorization", city.as_str()), ("idempotency-key", "wish-1")];
    let first = house.call("POST", "/api/v1/orders/issue", &key, issue(&["bank-1"])).await;
    let again = house.call("POST", "/api/v1/orders/issue", &key, issue(&["bank-1"])).await;
    assert_eq!((first.status, again.status), (StatusCode::OK, StatusCode::OK), "{}", again.body);
    assert_eq!(first.json()["matter"]["id"], again.json()["matter"]["id"]);
    assert_eq!((first.json()["opened"].clone(), again.json()["opened"].clone()), (json!(true), json!(false)));
    let id = first.json()["matter"]["id"].as_str().unwrap().to_owned();

    let one = house.get(&format!("/api/v1/orders/{id}"), &bank).await;
    assert_eq!(one.header("etag"), "\"1\"");
    assert!(one.json()["acts"].as_array().unwrap().contains(&json!("acknowledge")));
    let path = format!("/api/v1/orders/{id}/acknowledge");
    assert_eq!(house.call("POST", &path, &[("authorization", &bank)], json!({})).await.status, 428, "say what you saw");
    let seen = [("authorization", bank.as_str()), ("if-match", "\"1\"")];
    assert_eq!(house.call("POST", &path, &seen, json!({})).await.status, 200);
    let late = house.call("POST", &path, &seen, json!({})).await;
    assert_eq!((late.status, late.json()["current"]["revision"].clone()), (StatusCode::CONFLICT, json!(2)));
    let refused = house.call("POST", &format!("/api/v1/orders/{id}/verify"), &seen, json!({})).await;
    assert_eq!(refused.status, 403, "who is told does not verify: {}", refused.body);

    let history = house.get(&format!("/api/v1/orders/{id}/history"), &bank).await.json();
    let acts: Vec<&str> = history["items"].as_array().unwrap().iter().map(|e| e["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["issue", "acknowledge"]);
    let audit = house.get("/api/v1/audit", &house.token(Role::Admin, None)).await.body;
    assert!(audit.contains("order.issue") && audit.contains("order.acknowledge"));
    assert_eq!(house.shared.desk.audit_verify().unwrap().broken, None);
}

#[tokio::test]
async fn unknown_fields_words_and_kinds_are_refused() {
    let house = House::new(0);
    let city = house.token(Role::Operator, None);
    let auth = [("authorization", city.as_str()), ("if-match", "*")];
    let mut more = issue(&["bank-1"]);
    more["colour"] = json!("red");
    let answer = house.call("POST", "/api/v1/orders/issue", &auth, more).await;
    assert!(answer.status == 422 && answer.body.contains("colour"), "{}", answer.body);
    assert_eq!(house.call("POST", "/api/v1/orders/issue", &auth, json!([1])).await.status, 400);
    let id = issued(&house, &city, &["bank-1"]).await;
    assert_eq!(
        house.call("POST", &format!("/api/v1/orders/{id}/delivered"), &auth, json!({})).await.status,
        404,
        "the desk's own act has no address"
    );
    assert_eq!(house.call("POST", "/api/v1/orders/O0123456789abcdef/acknowledge", &auth, json!({})).await.status, 404);
    assert_eq!(house.get("/api/v1/orders?state=open&colour=red", &city).await.status, 400);
    assert_eq!(house.get("/api/v1/orders?cursor=broken", &city).await.status, 400);
}

#[tokio::test]
async fn lists_are_paged_without_a_hole() {
    let house = House::new(0);
    let city = house.token(Role::Operator, None);
    let mut made = std::collections::BTreeSet::new();
    for n in 0..7 {
        let mut body = issue(&["bank-1"]);
        body["title"]["zh"] = json!(format!("第 {n} 件"));
        made.insert(house.call("POST", "/api/v1/orders/issue", &[("authorization", &city)], body).await.json()["matter"]["id"].to_string());
    }
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let page = house.get(&format!("/api/v1/orders?limit=2&cursor={cursor}"), &city).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|m| m["id"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = next.to_owned();
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn forms_work_without_scripts_in_both_languages() {
    let house = House::new(0);
    let (cookie, csrf) = house.log_in().await;
    let page = |path: String, lang: &'static str| {
        let request =
            Request::get(path).header(header::COOKIE, format!("{cookie}; vedette_lang={lang}")).header(header::ACCEPT, "text/html");
        request.body(Body::empty()).unwrap()
    };
    let post = |path: String, form: String| {
        Request::post(path)
            .header(header::COOKIE, format!("{cookie}; vedette_lang=zh"))
            .header(header::ACCEPT, "text/html")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap()
    };
    let enc = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let form = format!(
        "csrf={csrf}&units=bank-1&title.zh={}&title.en=patch&todo={}",
        enc("打补丁"),
        enc("升级 openssl | upgrade openssl\n重启 | restart")
    );
    let made = house.send(post("/orders/new/issue".into(), form)).await;
    assert_eq!(made.status, 303, "{}", made.body);
    let place = made.header("location").to_owned();
    let shown = house.send(page(place.clone(), "zh")).await.body;
    assert!(shown.contains("打补丁") && shown.contains("重启") && shown.contains("处置任务") && !shown.contains("⟦"), "{shown}");
    let shown = house.send(page(place.clone(), "en")).await.body;
    assert!(shown.contains("patch") && shown.contains("restart") && !shown.contains("⟦"));
    for (lang, word) in [("zh", "处置任务"), ("en", "Orders")] {
        let list = house.send(page("/orders".into(), lang)).await.body;
        assert!(list.contains(word) && list.contains(&place) && !list.contains("⟦"), "{list}");
        let desk = house.send(page("/desk".into(), lang)).await.body;
        assert!(desk.contains(word) && !desk.contains("⟦"), "{desk}");
    }
    let wrong = house.send(post("/orders/new/issue".into(), format!("csrf={csrf}&units=bank-1"))).await;
    assert!(wrong.status == 422 && wrong.body.contains("role=\"alert\"") && wrong.body.contains("必填"), "{}", wrong.body);
    let forged = house.send(post(format!("{place}/close"), "csrf=0000".into())).await;
    assert_eq!(forged.status, 403);
}

/// Signs alike in every house: two of them are compared byte by byte.
struct Alike;
impl matter::Signer for Alike {
    fn key(&self) -> String {
        "alike".into()
    }
    fn sign(&self, hash: &[u8; 32]) -> String {
        format!("{hash:02x?}")
    }
    fn verify(&self, key: &str, hash: &[u8; 32], signature: &str) -> bool {
        key == self.key() && signature == self.sign(hash)
    }
}

/// A house whose keys are those of every other.
fn house_alike() -> House {
    let house = House::new(0);
    let book = house.shared.office.book();
    let (tables, units, objects, assets) = (book.tables.clone(), book.units.clone(), book.objects.clone(), book.assets.clone());
    let signer = std::sync::Arc::new(Alike);
    let flaws = book.flaws.clone();
    let places = matter::lookup::Places::default();
    house.shared.office.exchange(matter::Book { tables, units, objects, assets, places, signer, flaws, pseudonyms: [5; 32] });
    house
}

/// An alert of one unit about the address that warnings here name, stored as the engine stores it.
fn alert_at(house: &House, n: usize, unit: &str) {
    let mut alert = crate::serve::sample::alert(n, house.shared.now());
    alert.units.retain(|_| false);
    alert.units.push(warning::UnitRef { id: unit.into(), name: unit.into(), sector: String::new() });
    (alert.hosts, alert.source_ips) = (vec![format!("{unit}-db7")], vec!["203.0.113.99".into()]);
    (alert.target_ips, alert.evidence) = (Vec::new(), Vec::new());
    let position = crate::store::Offset(n as u64);
    house.shared.desk.save(&crate::store::desk::Step { alerts: &[alert], evidence: &[], position, snapshot: None }).unwrap();
}

/// A blue warning about that address, issued; the id of a unit's receipt of it.
async fn warned(house: &House, token: &str, units: &[&str], title: &str) -> String {
    let draft = json!({"title": {"zh": title, "en": title}, "event": {"zh": "外联", "en": "beacons"}, "units": units,
        "measures": [{"zh": "排查", "en": "look"}], "indicators": [{"type": "ipv4-addr", "value": "203.0.113.99"}]});
    let auth = [("authorization", token), ("if-match", "*")];
    let made = house.call("POST", "/api/v1/warnings/draft", &auth, draft).await;
    let id = made.json()["matter"]["id"].as_str().unwrap().to_owned();
    for (word, body) in [("assess", json!({"level": "blue", "reason": "seen"})), ("issue", json!({}))] {
        let done = house.call("POST", &format!("/api/v1/warnings/{id}/{word}"), &auth, body).await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
    matter::receipt::Receipt::id(&id, units[0])
}

/// What a bank's people get of every address of matters, with or without a grid company's.
async fn seen(others: bool) -> Vec<(String, StatusCode, String)> {
    let house = house_alike();
    let city = house.token(Role::Operator, None);
    let bank = house.token(Role::SectorLead, Some(&["bank-1"]));
    alert_at(&house, 1, "bank-1");
    if others {
        (2..9).for_each(|n| alert_at(&house, n, "grid-1"));
    }
    let mine = issued(&house, &city, &["bank-1"]).await;
    let theirs = if others { issued(&house, &city, &["grid-1"]).await } else { "O0123456789abcdef".to_owned() };
    let my_receipt = warned(&house, &city, &["bank-1"], "to the bank").await;
    let their_receipt = if others { warned(&house, &city, &["grid-1"], "to the grid").await } else { "R0123456789abcdef".to_owned() };
    let mut out = Vec::new();
    for route in api::matter_routes() {
        for id in [&mine, &theirs, &my_receipt, &their_receipt] {
            let path = route.path.replace("{id}", id);
            let answer = match route.method {
                api::Method::Get => house.get(&path, &bank).await,
                _ => house.call("POST", &format!("{path}?dry_run=true"), &[("authorization", &bank), ("if-match", "*")], json!({})).await,
            };
            out.push((route.path.clone(), answer.status, answer.body));
        }
    }
    let of = |kind: &str, id: &String| format!("/{kind}/{id}");
    let pages = ["/desk", "/orders", "/portal", "/receipts", "/alerts", "/api/v1/audit", "/api/v1/alerts"].map(str::to_owned);
    let ones = [of("orders", &mine), of("orders", &theirs), of("receipts", &my_receipt), of("receipts", &their_receipt)];
    for path in pages.into_iter().chain(ones) {
        for lang in ["zh", "en"] {
            let request = Request::get(&path)
                .header(header::AUTHORIZATION, &bank)
                .header(header::ACCEPT, "text/html")
                .header("accept-language", lang);
            let answer = house.send(request.body(Body::empty()).unwrap()).await;
            out.push((path.clone(), answer.status, answer.body.replace(&theirs, "O").replace(&their_receipt, "R")));
        }
    }
    let to_bank = |m: &matter::Message| matches!(&m.recipient, matter::Recipient::Unit { unit, .. } if unit == "bank-1");
    let messages = house.shared.desk.messages(0, 100).unwrap();
    let told: Vec<_> = messages.into_iter().map(|(_, m)| m).filter(to_bank).collect();
    out.push(("messages".to_owned(), StatusCode::OK, serde_json::to_string(&told).unwrap()));
    out
}

#[tokio::test]
async fn one_units_matters_are_the_same_bytes_whether_or_not_others_have_any() {
    let (alone, among) = (seen(false).await, seen(true).await);
    assert_eq!(alone.len(), among.len());
    for (a, b) in alone.iter().zip(&among) {
        assert!(a.1 == b.1 && a.2 == b.2, "{}: {} {} / {} {}", a.0, a.1, a.2, b.1, b.2);
    }
    assert!(among.iter().any(|(_, status, body)| *status == 200 && body.contains("bank-1")));
    // And what is its own it is told: its host, in the receipt, on the page, in the message.
    let told = |path: &str| among.iter().any(|(p, status, body)| p.starts_with(path) && *status == 200 && body.contains("bank-1-db7"));
    assert!(told("/api/v1/receipts/{id}") && told("/receipts/") && told("messages"));
}
