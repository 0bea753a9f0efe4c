//! Many alerts at once: preview, scope, skipping, undo; and how alerts like this one were judged before.

use super::*;

async fn bulk(house: &House, token: &str, body: Value) -> Answer {
    house.call("POST", "/api/v1/alerts/triage", &[("authorization", token)], body).await
}

async fn states(house: &House, token: &str) -> Vec<(String, String)> {
    let list = house.get("/api/v1/alerts?state=all&limit=100", token).await.json();
    let mut all: Vec<(String, String)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["id"].as_str().unwrap().to_owned(), a["state"].as_str().unwrap().to_owned()))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn many_are_previewed_judged_and_taken_back() {
    let house = House::new(12);
    let city = house.token(Role::Operator, None);
    let start = states(&house, &city).await;
    let open = start.iter().filter(|(_, s)| s != "closed").count() as u64;
    let preview = bulk(&house, &city, json!({"action": "close", "reason": "duplicate", "dry_run": true})).await.json();
    assert_eq!((preview["matched"].as_u64(), preview["changed"].as_u64()), (Some(open), Some(open)), "{preview}");
    assert_eq!((states(&house, &city).await, preview["undo"].clone()), (start.clone(), Value::Null), "a preview does nothing");
    for bad in [json!({"action": "close"}), json!({"action": "close", "reason": "whim"}), json!({"action": "note"})] {
        assert_eq!(bulk(&house, &city, bad.clone()).await.status, 422, "{bad}");
    }
    assert_eq!(bulk(&house, &house.token(Role::Viewer, None), json!({"action": "acknowledge"})).await.status, 403);

    let done = bulk(&house, &city, json!({"action": "close", "reason": "duplicate", "note": "same scan"})).await.json();
    assert_eq!((done["changed"].as_u64(), done["skipped"].clone()), (Some(open), json!([])), "{done}");
    assert!(states(&house, &city).await.iter().all(|(_, s)| s == "closed"));
    // Somebody reopens one meanwhile: the undo leaves that one as it is and says so.
    let one = done["sample"][0]["id"].as_str().unwrap().to_owned();
    let other = house.token(Role::ShiftLead, None);
    let path = format!("/api/v1/alerts/{one}/triage");
    assert_eq!(
        house.call("POST", &path, &[("authorization", &other), ("if-match", "*")], json!({"action": "investigate"})).await.status,
        200
    );
    let wish = json!({"undo": done["undo"]});
    let made_up = json!({"undo": "0123456789abcdef01234567"});
    assert_eq!(house.call("POST", "/api/v1/alerts/undo", &[("authorization", &city)], made_up).await.status, 404);
    let back = house.call("POST", "/api/v1/alerts/undo", &[("authorization", &city)], wish.clone()).await.json();
    assert_eq!((back["changed"].as_u64(), back["skipped"][0]["id"].as_str()), (Some(open - 1), Some(one.as_str())), "{back}");
    let expected: Vec<(String, String)> =
        start.into_iter().map(|(id, s)| if id == one { (id, "investigating".to_owned()) } else { (id, s) }).collect();
    assert_eq!(states(&house, &city).await, expected);
    assert_eq!(house.call("POST", "/api/v1/alerts/undo", &[("authorization", &city)], wish).await.status, 404, "once");
}

#[tokio::test]
async fn a_unit_judges_its_own_and_learns_of_nobody_elses() {
    let house = House::new(12);
    let bank = house.token(Role::SectorLead, Some(&["bank-1"]));
    let own = states(&house, &bank).await;
    let preview = bulk(&house, &bank, json!({"action": "acknowledge", "dry_run": true})).await.json();
    let open = own.iter().filter(|(_, s)| s != "closed").count() as u64;
    assert_eq!(preview["matched"].as_u64(), Some(open), "what it sees in the list, and nothing else");
    let (id, _) = own.first().unwrap();
    let before = house.get(&format!("/api/v1/alerts/{id}/before"), &bank).await;
    assert_eq!(before.status, 200);
    let city = house.token(Role::Operator, None);
    let foreign = states(&house, &city).await.into_iter().map(|(id, _)| id).find(|id| own.iter().all(|(o, _)| o != id));
    if let Some(foreign) = foreign {
        let (there, nowhere) = (
            house.get(&format!("/api/v1/alerts/{foreign}/before"), &bank).await,
            house.get("/api/v1/alerts/A0000000000000000/before", &bank).await,
        );
        assert_eq!((there.status, there.json()["code"].clone()), (nowhere.status, nowhere.json()["code"].clone()));
    }
}
