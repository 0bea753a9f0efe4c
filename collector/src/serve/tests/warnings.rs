//! Warnings and receipts through the door: drafted, approved by a second person, signed for by a unit in its portal, proved.

use super::*;
use crate::store::Scope;

fn draft(units: &[&str]) -> Value {
    json!({"title": {"zh": "勒索软件", "en": "Ransomware"}, "event": {"zh": "加密文件", "en": "files are encrypted"},
           "measures": [{"zh": "断网", "en": "unplug it"}], "units": units})
}

async fn act(house: &House, token: &str, path: &str, body: Value) -> Answer {
    house.call("POST", path, &[("authorization", token), ("if-match", "*")], body).await
}

/// A yellow warning to these units, issued.
async fn issued(house: &House, token: &str, units: &[&str]) -> String {
    let made = act(house, token, "/api/v1/warnings/draft", draft(units)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let id = made.json()["matter"]["id"].as_str().unwrap().to_owned();
    for (word, body) in [("assess", json!({"level": "yellow", "reason": "seen"})), ("issue", json!({}))] {
        let done = act(house, token, &format!("/api/v1/warnings/{id}/{word}"), body).await;
        assert_eq!(done.status, 200, "{word}: {}", done.body);
    }
    id
}

#[tokio::test]
async fn a_unit_sees_its_own_receipt_and_nothing_of_the_warning_or_of_others() {
    let house = House::new(0);
    let city = house.token(Role::Operator, None);
    let bank = house.token(Role::SectorUser, Some(&["bank-1"]));
    let id = issued(&house, &city, &["bank-1", "grid-1"]).await;
    assert_eq!(house.get(&format!("/api/v1/warnings/{id}"), &bank).await.status, 404);
    assert_eq!(house.get("/api/v1/warnings", &bank).await.json()["items"], json!([]));
    let mine = house.get("/api/v1/receipts", &bank).await;
    let items = mine.json()["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 1);
    assert!(!mine.body.contains("grid-1"));
    let receipt = items[0]["id"].as_str().unwrap();
    let one = house.get(&format!("/api/v1/receipts/{receipt}"), &bank).await;
    assert!(one.status == 200 && !one.body.contains("grid-1"), "{}", one.body);
    let history = house.get(&format!("/api/v1/receipts/{receipt}/history"), &bank).await;
    assert!(!history.body.contains("grid-1"), "{}", history.body);
    let signed = act(&house, &bank, &format!("/api/v1/receipts/{receipt}/sign"), json!({"who": "wang"})).await;
    assert_eq!((signed.status, signed.json()["matter"]["state"].clone()), (StatusCode::OK, json!("signed")), "{}", signed.body);
    let fed = json!({"affected": "attacked", "objects": 2, "measures": "unplugged", "help": "an expert"});
    let fed = act(&house, &bank, &format!("/api/v1/receipts/{receipt}/feed_back"), fed).await;
    assert!(fed.status == 200 && fed.json()["messages"] == 1, "the city hears of it: {}", fed.body);
}

#[tokio::test]
async fn the_pages_show_levels_side_by_side_and_the_portal_takes_a_signature_without_scripts() {
    let house = House::new(0);
    let (cookie, csrf) = house.log_in().await;
    let city = house.token(Role::Operator, None);
    let id = issued(&house, &city, &["bank-1"]).await;
    let page = |path: String, lang: &'static str| {
        let request =
            Request::get(path).header(header::COOKIE, format!("{cookie}; vedette_lang={lang}")).header(header::ACCEPT, "text/html");
        request.body(Body::empty()).unwrap()
    };
    let found = house.get(&format!("/api/v1/receipts?link={id}"), &city).await.json();
    let receipt = found["items"][0]["id"].as_str().unwrap().to_owned();
    for (lang, words) in [("zh", ["研判级别", "黄色", "断网", "签收"]), ("en", ["Assessed", "YELLOW", "unplug it", "Signed"])] {
        let list = house.send(page("/warnings".into(), lang)).await;
        assert!(list.status == 200 && list.body.contains(&id) && !list.body.contains("⟦"), "{}", list.body);
        let one = house.send(page(format!("/warnings/{id}"), lang)).await.body;
        assert!(words.iter().all(|w| one.contains(w)) && one.contains(&receipt) && !one.contains("⟦"), "{one}");
        let portal = house.send(page("/portal".into(), lang)).await.body;
        assert!(portal.contains(&receipt) && !portal.contains("⟦"), "{portal}");
        let mine = house.send(page(format!("/receipts/{receipt}"), lang)).await.body;
        assert!(mine.contains("name=\"affected\"") && mine.contains(words[2]) && !mine.contains("⟦"), "{mine}");
    }
    let post = |path: String, form: String| {
        Request::post(path)
            .header(header::COOKIE, format!("{cookie}; vedette_lang=zh"))
            .header(header::ACCEPT, "text/html")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap()
    };
    let nobody = house.send(post(format!("/receipts/{receipt}/sign"), format!("csrf={csrf}"))).await;
    assert!(nobody.status == 422 && nobody.body.contains("role=\"alert\""), "the city names the person: {}", nobody.body);
    let signed = house.send(post(format!("/receipts/{receipt}/sign"), format!("csrf={csrf}&who=wang"))).await;
    assert_eq!(signed.status, 303, "{}", signed.body);
    let early = house.send(post(format!("/warnings/{id}/lift"), format!("csrf={csrf}&reason=over"))).await;
    assert!(early.status == 422 && early.body.contains("尚不能解除") && early.body.contains("研判级别"), "{}", early.body);
}

#[tokio::test]
async fn what_was_changed_behind_the_desks_back_is_named() {
    let house = House::new(0);
    let city = house.token(Role::Operator, None);
    let id = issued(&house, &city, &["bank-1", "grid-1"]).await;
    let proof = house.get("/api/v1/warnings/verify", &city).await.json();
    assert_eq!((proof["intact"].clone(), proof["revisions"].clone(), proof["copies"].clone()), (json!(true), json!(1), json!(2)));
    let bank = house.token(Role::SectorUser, Some(&["bank-1"]));
    let own = house.get("/api/v1/warnings/verify", &bank).await.json();
    assert_eq!((own["warnings"].clone(), own["receipts"].clone()), (json!(0), json!(1)), "a unit proves its own");
    let stored = house.shared.desk.matter(&Scope::CITY, "warning", &id).unwrap().unwrap();
    let mut body = stored.body;
    body["revisions"][0]["level"] = json!("blue");
    body["issued_level"] = json!("blue");
    let kind = matter::Kind::find("warning").unwrap();
    let entry = matter::Entry {
        kind: "warning".into(),
        id: id.clone(),
        revision: stored.revision + 1,
        time: house.shared.now(),
        who: "nobody".into(),
        act: "lapse".into(),
        body: Value::Null,
    };
    let card = (kind.card)(&body).unwrap();
    house.shared.desk.transact(&mut |shelf| shelf.put(&card, &body, &entry)).unwrap();
    let proof = house.get("/api/v1/warnings/verify", &city).await.json();
    assert_eq!(proof["intact"], false);
    let named: Vec<&str> = proof["broken"].as_array().unwrap().iter().map(|b| b["id"].as_str().unwrap()).collect();
    assert!(named.contains(&id.as_str()) && proof["broken"][0]["number"] == 1, "{proof}");
}
