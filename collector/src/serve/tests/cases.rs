//! Pages of campaigns, incidents and silences, what an alert belongs to, and judging many, all by forms alone.

use super::*;

struct Browser<'h> {
    house: &'h House,
    cookie: String,
    csrf: String,
}

impl<'h> Browser<'h> {
    async fn new(house: &'h House) -> Self {
        let (cookie, csrf) = house.log_in().await;
        Self { house, cookie, csrf }
    }
    async fn page(&self, path: &str, lang: &str) -> String {
        let request = Request::get(path)
            .header(header::COOKIE, format!("{}; vedette_lang={lang}", self.cookie))
            .header(header::ACCEPT, "text/html")
            .body(Body::empty())
            .unwrap();
        let answer = self.house.send(request).await;
        assert!(answer.status == 200 && !answer.body.contains('⟦'), "{path}: {} {}", answer.status, answer.body);
        answer.body
    }
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let enc = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let mut form = format!("csrf={}", self.csrf);
        fields.iter().for_each(|(name, value)| form.push_str(&format!("&{name}={}", enc(value))));
        let request = Request::post(path)
            .header(header::COOKIE, format!("{}; vedette_lang=en", self.cookie))
            .header(header::ACCEPT, "text/html")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap();
        self.house.send(request).await
    }
}

#[tokio::test]
async fn a_campaign_and_an_incident_are_worked_on_by_forms_alone() {
    let house = House::new(12);
    while house.shared.office.follow(house.shared.now()) > 0 {}
    let city = house.token(Role::ShiftLead, None);
    let browser = Browser::new(&house).await;
    let alert = sample::alert(0, house.shared.now());
    let shown = browser.page(&format!("/alerts/{}", alert.id.0), "en").await;
    let at = shown.find("href=\"/campaigns/").expect("an alert names the campaign it is part of") + 6;
    let campaign = shown[at..].split('"').next().unwrap().to_owned();
    for (lang, words) in [("en", ["What was seen", "Draft a warning"]), ("zh", ["观测内容", "拟制预警"])] {
        let page = browser.page(&campaign, lang).await;
        assert!(words.iter().all(|w| page.contains(w)) && page.contains("/alerts/"), "{page}");
    }

    // From the campaign's page an incident of it, and through its states; the page offers what makes sense, the next step first.
    let id = campaign.rsplit('/').next().unwrap();
    let opened = browser.post("/incidents/new/open", &[("title", "核心系统入侵"), ("campaign", id), ("alerts", &alert.id.0)]).await;
    assert_eq!(opened.status, 303, "{}", opened.body);
    let place = opened.header("location").to_owned();
    let page = browser.page(&place, "en").await;
    assert!(page.contains("核心系统入侵") && page.contains(&campaign) && page.contains(&format!("/alerts/{}", alert.id.0)), "{page}");
    assert!(page.contains(&format!("{place}/confirm")) && !page.contains(&format!("{place}/recover")), "{page}");
    let early = browser.post(&format!("{place}/recover"), &[("note", "早了")]).await;
    assert!(early.status == 409 || early.status == 422, "{}", early.status);
    let fields = [("category", "01007"), ("grade", "2"), ("note", "勒索")];
    assert_eq!(browser.post(&format!("{place}/confirm"), &fields).await.status, 303);
    assert_eq!(browser.post(&format!("{place}/recover"), &[("note", "恢复业务")]).await.status, 303);
    // Somebody who read an older page does not overwrite what was done since.
    let stale = browser.post(&format!("{place}/close"), &[("reason", "resolved"), ("summary", "结束"), ("revision", "1")]).await;
    assert_eq!(stale.status, 409, "{}", stale.body);
    assert_eq!(browser.post(&format!("{place}/close"), &[("reason", "resolved"), ("summary", "已修复")]).await.status, 303);
    let page = browser.page(&place, "zh").await;
    assert!(["已修复", "已解决", "重大（II 级）", "恢复业务", "重新打开"].iter().all(|w| page.contains(w)), "{page}");
    assert!(browser.page(&campaign, "zh").await.contains(&place), "the campaign names its incidents");

    // A unit's people see their incident's page if it is theirs, never the campaign, and the alert's page tells them of neither.
    let bank = house.token(Role::SectorLead, Some(&["bank-1"]));
    let html = async |path: &str, token: &str| {
        let request = Request::get(path).header(header::AUTHORIZATION, token).header(header::ACCEPT, "text/html");
        house.send(request.body(Body::empty()).unwrap()).await
    };
    assert_eq!((html(&campaign, &bank).await.status, html(&place, &bank).await.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    let theirs = html(&format!("/alerts/{}", alert.id.0), &bank).await;
    assert!(theirs.status == 200 && !theirs.body.contains(id) && !theirs.body.contains(&place), "{}", theirs.body);
    assert_eq!(html(&campaign, &city).await.status, 200);
}

#[tokio::test]
async fn a_silence_made_from_an_alert_shows_what_it_covers() {
    let house = House::new(3);
    let browser = Browser::new(&house).await;
    let alert = sample::alert(0, house.shared.now());
    let shown = browser.page(&format!("/alerts/{}", alert.id.0), "zh").await;
    assert!(shown.contains("/silences/new/open") && shown.contains(&format!("value=\"{}\"", alert.rule_id)), "{shown}");
    let made = browser.post("/silences/new/open", &[("rule", &alert.rule_id), ("hours", "2"), ("reason", "计划内扫描")]).await;
    assert_eq!(made.status, 303, "{}", made.body);
    let place = made.header("location").to_owned();
    for (lang, words) in [("zh", ["静默范围", "计划内扫描", "立即结束"]), ("en", ["What is silenced", "计划内扫描", "End now"])]
    {
        let page = browser.page(&place, lang).await;
        assert!(words.iter().all(|w| page.contains(w)) && page.contains(&alert.rule_id), "{page}");
    }
    assert_eq!(browser.post(&format!("{place}/end"), &[("reason", "完成")]).await.status, 303);
    assert!(!browser.page(&place, "en").await.contains(&format!("{place}/extend")), "what is over is not extended");
}

#[tokio::test]
async fn many_alerts_are_previewed_judged_and_taken_back_by_forms() {
    let house = House::new(12);
    let browser = Browser::new(&house).await;
    assert!(browser.page("/?severity=high", "en").await.contains("action=\"/alerts/bulk\""));
    let open = async || browser.page("/?state=open", "en").await.matches("role=\"row\"").count();
    let before = open().await;
    assert!(before > 0);
    let wish = [("q", ""), ("state", "open"), ("severity", ""), ("action", "close"), ("reason", "duplicate"), ("note", "同一扫描")];
    let preview = browser.post("/alerts/bulk", &wish).await;
    assert!(
        preview.status == 200 && preview.body.contains("This would change") && preview.body.contains("name=\"sure\""),
        "{}",
        preview.body
    );
    assert_eq!(open().await, before, "a preview does nothing");
    assert_eq!(browser.post("/alerts/bulk", &[("action", "close")]).await.status, 422, "closing needs its reason");
    let done = browser.post("/alerts/bulk", &[wish.as_slice(), &[("sure", "yes")]].concat()).await;
    assert!(done.status == 200 && !done.body.contains('⟦'), "{}", done.body);
    assert_eq!(open().await, 0);
    let token = done.body.split("name=\"undo\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let back = browser.post("/alerts/undo", &[("undo", &token)]).await;
    assert!(back.status == 200 && back.body.contains("Undone"), "{}", back.body);
    assert_eq!(open().await, before);
}

#[test]
fn every_choice_a_form_offers_has_a_word_in_both_languages() {
    let words = matter::KINDS.iter().flat_map(|k| k.acts).flat_map(|a| a.fields).filter_map(|f| match f.input {
        matter::Input::Choice(words) => Some(words),
        _ => None,
    });
    // TLP's words stay as the standard has them, and so do numbers.
    let own = |w: &&str| w.parse::<u8>().is_ok() || ["clear", "green", "amber", "amber+strict", "red"].contains(w);
    let known = super::super::i18n::table();
    let missing: std::collections::BTreeSet<&str> =
        words.flatten().copied().filter(|w| !own(w) && !known.contains_key(&format!("word.{w}"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
