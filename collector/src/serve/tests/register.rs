//! The register through its door: written whole or not at all, its references kept, each unit sees its own, every write audited.

use super::*;

const FILE: &str = r#"
[[object]]
id = "dispatch"
unit = "grid-1"
name = "调度自动化"
mlps = 4
cii = true
[[object]]
id = "core"
unit = "bank-1"
name = "核心账务"
needs = ["dispatch"]
[[asset]]
id = "grid-rtu-[1-3]"
unit = "grid-1"
object = "dispatch"
networks = ["10.30.4.[11-13]"]
[[asset]]
id = "bank-db"
unit = "bank-1"
object = "core"
hostname = "bank-1-db-01"
"#;

impl House {
    async fn import(&self, token: &str, query: &str, text: &str) -> Answer {
        let request = Request::post(format!("/api/v1/register/import{query}")).header(header::AUTHORIZATION, token);
        self.send(request.body(Body::from(text.to_owned())).unwrap()).await
    }
    async fn put(&self, token: &str, path: &str, body: Value) -> Answer {
        self.call("PUT", path, &[("authorization", token)], body).await
    }
    async fn remove(&self, token: &str, path: &str) -> Answer {
        self.call("DELETE", path, &[("authorization", token)], Value::Null).await
    }
}

#[tokio::test]
async fn an_import_is_tried_then_taken_whole_and_a_bad_one_changes_nothing() {
    let house = House::new(0);
    let lead = house.token(Role::ShiftLead, None);
    let tried = house.import(&lead, "?dry_run=true", FILE).await;
    assert_eq!((tried.status.as_u16(), tried.json()["added"].as_u64()), (200, Some(6)), "{}", tried.body);
    assert!(house.get("/api/v1/assets", &lead).await.json()["items"].as_array().unwrap().is_empty());
    let bad = house.import(&lead, "", &FILE.replace("\"dispatch\"]", "\"nothing\"]").replace("mlps = 4", "mlps = 9")).await;
    assert_eq!(bad.status, 422);
    let said = bad.json();
    assert!(said["detail"].as_str().unwrap().contains("register:6: key 'mlps': 9 is not 1 to 5"), "{said}");
    assert!(said["detail_zh"].as_str().unwrap().contains("第 6 行"), "{said}");
    let bad = house.import(&lead, "", &FILE.replace("needs = [\"dispatch\"]", "needs = [\"nothing\"]")).await.json();
    assert!(bad["detail"].as_str().unwrap().contains("register:12: key 'needs': 'nothing' is no object"), "{bad}");
    assert!(house.get("/api/v1/objects", &lead).await.json()["items"].as_array().unwrap().is_empty(), "nothing of a bad one");
    let done = house.import(&lead, "", FILE).await.json();
    assert_eq!((done["added"].as_u64(), done["changed"].as_u64(), done["dry_run"].as_bool()), (Some(6), Some(0), Some(false)));
    assert_eq!(house.get("/api/v1/assets?unit=grid-1", &lead).await.json()["items"].as_array().unwrap().len(), 3);
    // What goes out comes in again and changes nothing, in both forms.
    for format in ["csv", "toml"] {
        let out = house.get(&format!("/api/v1/register/export?format={format}"), &lead).await;
        assert_eq!(out.status, 200);
        let back = house.import(&lead, "", &out.body).await.json();
        assert_eq!(
            (back["added"].as_u64(), back["changed"].as_u64(), back["unchanged"].as_u64()),
            (Some(0), Some(0), Some(11)),
            "{format} {back}"
        );
    }
    let changed = house.import(&lead, "", "kind,id,importance\nasset,bank-db,3\n").await.json();
    assert_eq!(changed["items"], json!([{"kind": "asset", "id": "bank-db", "change": "changed", "keys": ["importance"]}]));
    let audit = house.get("/api/v1/audit?limit=20", &house.token(Role::Auditor, None)).await.json();
    let actions: Vec<&str> = audit["items"].as_array().unwrap().iter().filter_map(|r| r["action"].as_str()).collect();
    assert_eq!(actions.iter().filter(|a| a.ends_with(".import")).count(), 7, "{actions:?}");
}

#[tokio::test]
async fn what_others_refer_to_is_not_removed_and_the_refusal_says_what() {
    let house = House::new(0);
    let lead = house.token(Role::ShiftLead, None);
    house.import(&lead, "", FILE).await;
    let refused = house.remove(&lead, "/api/v1/objects/dispatch").await;
    let said = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(refused.status == 422 && said.contains("object core, asset grid-rtu-1"), "{said}");
    let said = house.remove(&lead, "/api/v1/units/bank-1").await.json();
    assert!(
        said["detail"].as_str().unwrap().contains("object core, asset bank-db")
            && said["detail_zh"].as_str().unwrap().contains("保护对象 core"),
        "{said}"
    );
    assert_eq!(house.remove(&lead, "/api/v1/dependencies/core:dispatch").await.status, 204);
    assert_eq!(house.remove(&lead, "/api/v1/dependencies/core:dispatch").await.status, 404);
    assert_eq!(house.put(&lead, "/api/v1/dependencies/dispatch:core", Value::Null).await.json()["needs"], json!(["core"]));
    assert_eq!(house.put(&lead, "/api/v1/dependencies/core:dispatch", Value::Null).await.status, 200);
    let page = house.get("/api/v1/dependencies", &lead).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), page["circles"].clone()), (2, json!([["core", "dispatch"]])));
    assert_eq!(house.remove(&lead, "/api/v1/assets/bank-db").await.status, 204);
    assert_eq!(house.remove(&lead, "/api/v1/assets/bank-db").await.status, 404);
    // A unit with agents stays; one without anything goes.
    assert!(house.remove(&lead, "/api/v1/units/gas-1").await.json()["detail"].as_str().unwrap().contains("agents are enrolled"));
    let made =
        house.put(&lead, "/api/v1/units/empty", json!({"name": "空单位", "sector": "energy", "domains": ["empty.example"]})).await.json();
    assert_eq!((made["origin"].as_str(), made["domains"].clone()), (Some("desk"), json!(["empty.example"])));
    assert_eq!(house.remove(&lead, "/api/v1/units/empty").await.status, 204);
    for (path, body, key) in [
        ("/api/v1/assets/x", json!({"name": "x", "unit_id": "nobody"}), "no unit of the register"),
        ("/api/v1/assets/x", json!({"name": "x", "unit_id": "bank-1", "object": "dispatch"}), "belongs to unit 'grid-1'"),
        ("/api/v1/objects/o", json!({"name": "o", "unit_id": "bank-1", "mlps": 7}), "7 is not 1 to 5"),
        ("/api/v1/units/u", json!({"name": "u", "sector": "x", "networks": ["10/8"]}), "'10/8' is no address"),
    ] {
        let refused = house.put(&lead, path, body).await;
        assert!(refused.status == 422 && refused.json()["detail"].as_str().unwrap().contains(key), "{}", refused.body);
    }
}

#[tokio::test]
async fn a_units_people_keep_their_contacts_and_nothing_else() {
    let house = House::new(0);
    let (bank, user) = (house.token(Role::SectorLead, Some(&["bank-1"])), house.token(Role::SectorUser, Some(&["bank-1"])));
    let contacts = json!({"contacts": [{"name": "值班室", "role": "duty", "phone": "0000-9"}, {"name": "李", "role": "leader"}]});
    let done = house.put(&bank, "/api/v1/units/bank-1/contacts", contacts.clone()).await;
    assert_eq!((done.status.as_u16(), done.json()["contacts"][1]["name"].as_str()), (200, Some("李")), "{}", done.body);
    assert_eq!(house.put(&bank, "/api/v1/units/grid-1/contacts", contacts.clone()).await.status, 404);
    assert_eq!(house.put(&bank, "/api/v1/units/nobody/contacts", contacts.clone()).await.status, 404);
    assert_eq!(house.put(&user, "/api/v1/units/bank-1/contacts", contacts).await.status, 403);
    let bad = house.put(&bank, "/api/v1/units/bank-1/contacts", json!({"contacts": [{"name": "x", "role": "boss"}]})).await;
    assert!(bad.status == 422 && bad.body.contains("duty, substitute, leader or protection"), "{}", bad.body);
    // Even who may write the register does so only for the whole city: a name that is taken elsewhere would tell.
    let scoped = house.token(Role::ShiftLead, Some(&["bank-1"]));
    for id in ["bank-1", "grid-1", "free"] {
        let refused = house.put(&scoped, &format!("/api/v1/units/{id}"), json!({"name": "x", "sector": "finance"})).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["detail"].clone()),
            (403, json!("the register is kept by the city; your own unit's contacts you may change"))
        );
    }
}

#[tokio::test]
async fn a_unit_sees_the_same_bytes_whatever_others_registered() {
    let (alone, among) = (House::new(0), House::new(0));
    let own = "[[object]]\nid = \"core\"\nunit = \"bank-1\"\nname = \"核心\"\n[[object]]\nid = \"pay\"\nunit = \"bank-1\"\nname = \"支付\"\nneeds = [\"core\"]\n[[asset]]\nid = \"bank-db\"\nunit = \"bank-1\"\nobject = \"core\"\nhostname = \"none\"\nnetworks = [\"10.0.0.0/8\"]\n";
    let others = "[[object]]\nid = \"grid\"\nunit = \"grid-1\"\nname = \"电\"\nneeds = [\"core\"]\n[[asset]]\nid = \"grid-x\"\nunit = \"grid-1\"\nobject = \"grid\"\nnetworks = [\"10.1.0.0/16\"]\n";
    for house in [&alone, &among] {
        let city = house.token(Role::ShiftLead, None);
        assert_eq!(house.import(&city, "", own).await.status, 200);
    }
    assert_eq!(among.import(&among.token(Role::ShiftLead, None), "", others).await.status, 200);
    let question = json!({"addresses": ["10.1.2.3"], "objects": ["core", "grid"], "units": ["grid-1", "bank-1"], "sectors": ["power"]});
    let mut bytes = Vec::new();
    for house in [&alone, &among] {
        let bank = house.token(Role::SectorLead, Some(&["bank-1"]));
        let mut seen = Vec::new();
        for path in [
            "units",
            "units/bank-1",
            "units/grid-1",
            "objects",
            "assets",
            "dependencies",
            "sectors",
            "register/export?format=toml",
            "register/export",
            "register/differences",
        ] {
            let answer = house.get(&format!("/api/v1/{path}"), &bank).await;
            seen.push((path.to_owned(), answer.status.as_u16(), answer.body));
        }
        let routed = house.call("POST", "/api/v1/route", &[("authorization", &bank)], question.clone()).await;
        assert!(routed.status == 200 && !routed.body.contains("grid"), "{}", routed.body);
        seen.push(("route".into(), 200, routed.body));
        bytes.push(seen);
    }
    assert_eq!(bytes[0], bytes[1]);
}

#[tokio::test]
async fn whom_something_concerns_is_answered_with_the_path() {
    let house = House::new(0);
    let lead = house.token(Role::ShiftLead, None);
    house.import(&lead, "", FILE).await;
    let ask = async |body: Value| house.call("POST", "/api/v1/route", &[("authorization", &lead)], body).await;
    let answer = ask(json!({"addresses": ["10.30.4.12"]})).await.json();
    let items = answer["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|u| u["unit_id"].as_str().unwrap()).collect::<Vec<_>>(), ["bank-1", "grid-1"]);
    assert_eq!(
        items[0]["why"],
        json!([{"rule": "dependency", "distance": 1, "path": ["dispatch", "core"], "text": {"en": "its object core needs dispatch", "zh": "保护对象 core 依赖 dispatch"}}])
    );
    assert_eq!(items[1]["why"][0]["path"], json!(["10.30.4.12", "grid-rtu-2"]));
    let refused = ask(json!({"addresses": ["10.30.4"]})).await;
    assert!(refused.status == 422 && refused.body.contains("no address or network"));
    assert_eq!(ask(json!({"colour": []})).await.status, 400);
}

#[tokio::test]
async fn a_difference_is_taken_over_or_let_stand_for_a_reason_and_a_time() {
    let house = House::new(0);
    let lead = house.token(Role::ShiftLead, None);
    house.import(&lead, "", FILE).await;
    let found = async |query: &str| {
        house.get(&format!("/api/v1/register/differences{query}"), &lead).await.json()["items"].as_array().unwrap().clone()
    };
    // Five agents were heard and nobody declared them; one declared host was never heard.
    let all = found("").await;
    let count = |what: &str| all.iter().filter(|d| d["what"] == what).count();
    assert_eq!((count("unknown"), count("silent")), (5, 1), "{all:?}");
    let decide = async |id: &str, body: Value| {
        house.call("POST", &format!("/api/v1/register/differences/{id}"), &[("authorization", &lead)], body).await
    };
    let unknown = all.iter().find(|d| d["what"] == "unknown" && d["unit_id"] == "gas-1").unwrap();
    let id = unknown["id"].as_str().unwrap();
    let taken = decide(id, json!({"decision": "accept", "asset": "gas-host", "importance": 2})).await;
    assert_eq!(taken.status, 200, "{}", taken.body);
    assert_eq!((found("").await.len(), decide(id, json!({"decision": "accept"})).await.status.as_u16()), (5, 404));
    let asset = house.get("/api/v1/assets?unit=gas-1", &lead).await.json()["items"][0].clone();
    assert_eq!(
        (asset["id"].as_str(), asset["importance"].as_u64(), asset["agent"].as_str()),
        (Some("gas-host"), Some(2), Some("0000000000000003"))
    );
    let silent = found("?what=silent").await[0]["id"].as_str().unwrap().to_owned();
    assert!(decide(&silent, json!({"decision": "accept"})).await.body.contains("nothing is heard"));
    let until = house.shared.now().plus_secs(86_400).to_string();
    let far = house.shared.now().plus_secs(400 * 86_400).to_string();
    for body in [
        json!({"decision": "ignore", "until": until}),
        json!({"decision": "ignore", "reason": "x"}),
        json!({"decision": "ignore", "reason": "x", "until": far}),
    ] {
        assert_eq!(decide(&silent, body).await.status, 422);
    }
    assert_eq!(decide(&silent, json!({"decision": "burn"})).await.status, 400);
    assert_eq!(decide(&silent, json!({"decision": "ignore", "reason": "检修", "until": until})).await.json()["ignored"]["by"], "test");
    assert_eq!((found("?what=silent").await.len(), found("?what=silent&ignored=true").await.len()), (0, 1));
    let bank = house.token(Role::SectorLead, Some(&["bank-1"]));
    assert_eq!(
        house
            .call("POST", &format!("/api/v1/register/differences/{silent}"), &[("authorization", &bank)], json!({"decision": "accept"}))
            .await
            .status,
        403
    );
    let mine = house.get("/api/v1/register/differences?ignored=true", &bank).await.json();
    assert!(mine["items"].as_array().unwrap().iter().all(|d| d["unit_id"] == "bank-1"));
}

#[tokio::test]
async fn the_pages_work_by_forms_alone() {
    let house = House::new(0);
    let lead = house.token(Role::ShiftLead, None);
    house.import(&lead, "", FILE).await;
    let (cookie, csrf) = house.log_in().await;
    let page = async |path: &str| {
        let request = Request::get(path).header("accept", "text/html").header("cookie", &cookie).header("accept-language", "en");
        house.send(request.body(Body::empty()).unwrap()).await
    };
    let post = async |path: &str, form: &str| {
        let request = Request::post(path)
            .header("accept", "text/html")
            .header("accept-language", "en")
            .header("cookie", &cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        house.send(request.body(Body::from(format!("csrf={csrf}&{form}"))).unwrap()).await
    };
    for (path, words) in [
        ("/units", "href=\"/units/grid-1\""),
        ("/units/bank-1", "<code>core</code> needs <code>dispatch</code> (<a href=\"/units/grid-1\">"),
        ("/units/grid-1", "<code>dispatch</code> is needed by <code>core</code>"),
        ("/objects", "调度自动化"),
        ("/register/differences", "host gas-1-srv-03 is declared nowhere"),
        ("/register/import", "textarea"),
    ] {
        let answer = page(path).await;
        assert!(answer.status == 200 && answer.body.contains(words), "{path}: {} {}", answer.status, answer.body);
        assert!(!answer.body.contains("register."), "{path}: a word without a text");
    }
    assert_eq!(page("/units/nobody").await.status, 404);
    let saved = post("/units/bank-1/contacts", "contacts=duty%3B+%E5%BC%A0%3B+0000-7%3B+z%40bank.example%0D%0Aleader%3B+%E6%9D%8E").await;
    assert_eq!((saved.status.as_u16(), saved.header("location")), (303, "/units/bank-1"), "{}", saved.body);
    let unit = house.get("/api/v1/units/bank-1", &lead).await.json();
    assert_eq!(
        unit["contacts"],
        json!([{"name": "张", "role": "duty", "phone": "0000-7", "mail": "z@bank.example"}, {"name": "李", "role": "leader"}])
    );
    let wrong = post("/units/bank-1/contacts", "contacts=boss%3B+x").await;
    assert!(wrong.status == 422 && wrong.body.contains("boss"), "{}", wrong.status);
    assert_eq!(post("/objects", "id=pay&unit_id=bank-1&name=%E6%94%AF%E4%BB%98&mlps=3&cii=yes&needs=core%2C+dispatch").await.status, 303);
    let tried = post("/register/import", "what=try&text=kind%2Cid%2Cunit%0Aasset%2Cnew-1%2Cbank-1").await;
    assert!(tried.status == 200 && tried.body.contains("<code>new-1</code>") && tried.body.contains("would"), "{}", tried.body);
    assert!(
        post("/register/import", "what=import&text=kind%2Cid%0Aserver%2Cx").await.body.contains("register:2: key &#39;kind&#39;"),
        "lines are named"
    );
    let all = house.get("/api/v1/register/differences", &lead).await.json();
    let id = all["items"].as_array().unwrap().iter().find(|d| d["what"] == "unknown").unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(post(&format!("/register/differences/{id}"), "decision=accept").await.status, 303);
    assert_eq!(post(&format!("/register/differences/{id}"), "decision=accept").await.status, 404);
}
