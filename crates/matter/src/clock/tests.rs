use serde_json::{Value, json};

use super::table::{GradeGuide, problems};
use crate::stage::{Stage, lead, of, operator};

fn start(unit: &str, grade: u8) -> Value {
    json!({"act": "start", "unit": unit, "aware_at": "2026-11-23T00:00:00Z", "why": "值班员电话", "grade": grade})
}

fn fill(stage: &Stage, id: &str) {
    stage.does(
        &operator(),
        "clock",
        id,
        json!({"act": "edit", "category": "01007 勒索软件", "impact": "主要功能中断", "measures": "隔离"}),
    );
}

/// Clocks of a file: `CN-CII-1 running 60` (limit in minutes from T).
fn runs(stage: &Stage, id: &str) -> Vec<String> {
    let body = stage.body("clock", id);
    let run = |r: &Value| {
        let left = r["deadline"].as_str().map_or("-".to_owned(), |d| {
            (event::Timestamp::parse_rfc3339(d).unwrap().since(crate::stage::T) / 60 / event::SECOND_NS).to_string()
        });
        format!("{} {} {left}", r["row"]["id"].as_str().unwrap(), r["state"].as_str().unwrap())
    };
    body["runs"].as_array().unwrap().iter().map(run).collect()
}

#[test]
fn which_clocks_bind() {
    // Unit, grade, operator given, flags: clocks that run, and those that wait.
    let table: &[(&str, u8, &str, &str, &[&str])] = &[
        ("bank", 1, "", "", &["CN-CII-1 running 60", "CN-CII-2 waiting -", "CN-SUP waiting -", "CN-FIN waiting -"]),
        ("grid", 2, "", "", &["CN-CII-1 running 60", "CN-CII-2 waiting -", "CN-SUP waiting -", "CN-FIN waiting -"]),
        ("grid", 3, "", "", &["CN-CII-1 running 60", "CN-SUP waiting -", "CN-FIN waiting -"]),
        ("grid", 4, "", "", &[]),
        ("office", 3, "", "", &["CN-GOV-1 running 120", "CN-SUP waiting -", "CN-FIN waiting -"]),
        ("office", 1, "", "", &["CN-GOV-1 running 120", "CN-GOV-2 waiting -", "CN-SUP waiting -", "CN-FIN waiting -"]),
        ("clinic", 3, "", "", &["CN-GEN-1 running 240", "CN-SUP waiting -", "CN-FIN waiting -"]),
        ("clinic", 2, "", "", &["CN-GEN-1 running 240", "CN-GEN-2 waiting -", "CN-SUP waiting -", "CN-FIN waiting -"]),
        ("clinic", 4, "", "suspected_crime", &["CN-CRIME running -"]),
        ("clinic", 4, "", "product_flaw", &["CN-VULN running 1440"]),
        ("bank", 4, "securities", "", &["CN-SEC-CSRC-1 running 60", "CN-SEC-CSRC-2 waiting -"]),
        ("bank", 3, "nis2", "", &["EU-NIS2-EARLY running 1440", "EU-NIS2-NOTE running 4320", "EU-NIS2-FINAL waiting -"]),
        ("bank", 4, "sg_cii", "", &["SG-CII-1 running 120", "SG-CII-2 waiting -"]),
        ("office", 1, "tw_agency", "", &["TW-1 running 60", "TW-2 waiting -", "TW-4 waiting -"]),
        ("office", 4, "tw_agency", "", &["TW-1 running 60", "TW-3 waiting -"]),
    ];
    for (unit, grade, operator_kind, flag, expect) in table {
        let stage = Stage::new();
        let mut act = start(unit, *grade);
        if !operator_kind.is_empty() {
            act["operator"] = json!(operator_kind);
        }
        if !flag.is_empty() {
            act[*flag] = json!(true);
        }
        let id = stage.open(&operator(), "clock", act);
        assert_eq!(&runs(&stage, &id), expect, "{unit} {grade} {operator_kind} {flag}");
    }
}

/// The golden case: CII main function down 25 h is grade I; clocks CN-CII-1 and CN-CII-2.
#[test]
fn a_main_function_down_25_hours() {
    let mut stage = Stage::new();
    let mut act = start("grid", 1);
    act.as_object_mut().unwrap().remove("grade");
    act["impact"] = json!({"cii_main_function_min": 1500});
    act["object"] = json!("dispatch");
    let id = stage.open(&of("grid"), "clock", act);
    let body = stage.body("clock", &id);
    assert_eq!((body["grade"].as_u64(), body["graded"]["from"].as_f64()), (Some(1), Some(1440.0)));
    assert!(runs(&stage, &id).contains(&"CN-CII-1 running 60".to_owned()) && runs(&stage, &id).contains(&"CN-CII-2 waiting -".to_owned()));
    assert_eq!(body["form"]["unit_and_system"], "grid 单位；dispatch（等级保护第 4 级）（关键信息基础设施）");
    assert!(body["hint"]["en"].as_str().unwrap().contains("art. 11"));
    stage.pass(40 * 60);
    let lacking = stage.refused(&of("grid"), "clock", Some(&id), json!({"act": "report", "channel": "12387"}));
    assert_eq!(lacking, "the first report lacks: category, impact, measures; fill in the report ('edit')");
    fill(&stage, &id);
    stage.does(&of("grid"), "clock", &id, json!({"act": "report", "channel": "12387", "reference": "2026-1"}));
    assert_eq!(runs(&stage, &id), ["CN-CII-1 met 60", "CN-CII-2 running 70", "CN-SUP running -", "CN-FIN waiting -"]);
    stage.pass(20 * 60);
    stage.does(&lead(), "clock", &id, json!({"act": "report", "clocks": ["CN-CII-2"], "channel": "专线"}));
    stage.does(&of("grid"), "clock", &id, json!({"act": "supplement", "text": "原因查明", "channel": "12387", "complete": true}));
    assert!(
        stage
            .refused(
                &of("grid"),
                "clock",
                Some(&id),
                json!({"act": "final_report", "cause": "a", "measures": "b", "harm": "c",
        "responsibility": "d", "rectification": "e", "lessons": "f", "channel": "12387"})
            )
            .starts_with("handling has not ended")
    );
    stage.does(&of("grid"), "clock", &id, json!({"act": "handled", "why": "恢复运行"}));
    assert_eq!(runs(&stage, &id)[3], format!("CN-FIN running {}", 60 + 43_200));
    stage.pass(20 * 86_400);
    let all = json!({"act": "final_report", "cause": "a", "measures": "b", "harm": "c", "responsibility": "d", "rectification": "e",
        "lessons": "f", "channel": "12387"});
    assert_eq!(stage.does(&of("grid"), "clock", &id, all).card.state, "finished");
    assert!(stage.body("clock", &id)["runs"].as_array().unwrap().iter().all(|r| r["state"] == "met" && r["late"] == false));
    assert_eq!(stage.does(&of("grid"), "clock", &id, json!({"act": "close"})).card.state, "closed");
    assert_eq!(stage.body("clock", &id)["reports"].as_array().unwrap().len(), 4);
}

#[test]
fn people_are_paged_before_it_runs_out() {
    let mut stage = Stage::new();
    let id = stage.open(&operator(), "clock", start("grid", 3));
    stage.pass(3 * 3600);
    let title = "CN-CII-1, Reporting clocks of grid 单位";
    assert_eq!(
        stage.told(0),
        [
            "0 grid/duty: Reporting clocks started: Reporting clocks of grid 单位".to_owned(),
            "0 city: Reporting clocks started: Reporting clocks of grid 单位".to_owned(),
            format!("30 grid/duty: 30 min left to report: {title}"),
            format!("30 city: 30 min left to report: {title}"),
            format!("50 grid/duty: 10 min left to report: {title}"),
            format!("50 city: 10 min left to report: {title}"),
            format!("50 grid/substitute: 10 min left to report: {title}"),
            format!("50 grid/leader: 10 min left to report: {title}"),
            format!("60 grid/duty: Report overdue: {title}"),
            format!("60 city: Report overdue: {title}"),
            format!("60 grid/substitute: Report overdue: {title}"),
            format!("60 grid/leader: Report overdue: {title}"),
        ]
    );
    assert_eq!(stage.state("clock", &id), "overdue");
    fill(&stage, &id);
    assert_eq!(
        stage.does(&operator(), "clock", &id, json!({"act": "report", "channel": "12387", "complete": true})).card.state,
        "reported"
    );
    assert_eq!(stage.body("clock", &id)["runs"][0]["late"], true);
}

#[test]
fn awareness_long_ago_pages_once_and_says_overdue() {
    let mut stage = Stage::new();
    stage.now = stage.now.plus_secs(5 * 3600);
    let id = stage.open(&operator(), "clock", start("grid", 3));
    assert_eq!(stage.state("clock", &id), "overdue");
    assert_eq!(stage.told(0).iter().filter(|l| l.contains("overdue")).count(), 4);
    assert_eq!(stage.told(0).len(), 6);
}

#[test]
fn a_new_grade_restarts_nothing_and_may_start_more() {
    let mut stage = Stage::new();
    let id = stage.open(&operator(), "clock", start("grid", 4));
    assert_eq!(stage.state("clock", &id), "noted");
    stage.pass(3600);
    stage.does(&operator(), "clock", &id, json!({"act": "regrade", "grade": "3", "why": "中断 2 小时"}));
    assert_eq!(runs(&stage, &id)[0], "CN-CII-1 running 120", "from when the grade was known");
    stage.pass(600);
    stage.does(&operator(), "clock", &id, json!({"act": "regrade", "grade": 2, "why": "中断 6 小时", "suspected_crime": true}));
    assert_eq!(
        runs(&stage, &id),
        ["CN-CII-1 running 120", "CN-SUP waiting -", "CN-FIN waiting -", "CN-CII-2 waiting -", "CN-CRIME running -"]
    );
    stage.does(&operator(), "clock", &id, json!({"act": "regrade", "grade": 4, "why": "影响比预想小"}));
    assert_eq!(runs(&stage, &id)[0], "CN-CII-1 running 120", "nothing pauses it");
    assert!(
        stage
            .refused(&of("grid"), "clock", Some(&id), json!({"act": "waive", "clock": "CN-CII-1", "reason": "x"}))
            .starts_with("only the city")
    );
    stage.does(&lead(), "clock", &id, json!({"act": "waive", "clock": "CN-CII-1", "reason": "一般事件"}));
    assert_eq!(runs(&stage, &id)[0], "CN-CII-1 waived 120");
}

#[test]
fn a_higher_grade_after_the_first_report_starts_the_next_step() {
    let mut stage = Stage::new();
    let id = stage.open(&operator(), "clock", start("grid", 3));
    fill(&stage, &id);
    stage.pass(600);
    stage.does(&operator(), "clock", &id, json!({"act": "report", "channel": "12387", "complete": true}));
    stage.pass(3600);
    stage.does(&operator(), "clock", &id, json!({"act": "regrade", "grade": 1, "why": "中断 24 小时"}));
    assert_eq!(runs(&stage, &id), ["CN-CII-1 met 60", "CN-SUP met -", "CN-FIN waiting -", "CN-CII-2 running 100"]);
}

#[test]
fn awareness_is_corrected_to_an_earlier_time_only() {
    let mut stage = Stage::new();
    stage.now = stage.now.plus_secs(1800);
    let id = stage.open(&operator(), "clock", start("grid", 3));
    let correct = |at: &str| json!({"act": "correct", "aware_at": at, "why": "通话记录"});
    assert!(
        stage.refused(&operator(), "clock", Some(&id), correct("2026-11-23T00:10:00Z")).starts_with("awareness is only ever corrected")
    );
    stage.does(&operator(), "clock", &id, correct("2026-11-22T23:40:00Z"));
    assert_eq!(runs(&stage, &id)[0], "CN-CII-1 running 40");
    stage.pass(15 * 60);
    assert_eq!(stage.state("clock", &id), "overdue");
    assert_eq!(stage.body("clock", &id)["awareness"].as_array().unwrap().len(), 2);
}

#[test]
fn hourly_updates_go_on_until_handled() {
    let mut stage = Stage::new();
    let mut act = start("bank", 3);
    act["operator"] = json!("securities");
    let id = stage.open(&operator(), "clock", act);
    fill(&stage, &id);
    for hour in 1..4 {
        stage.pass(1800);
        stage.does(&operator(), "clock", &id, json!({"act": "report", "channel": "专线"}));
        assert_eq!(runs(&stage, &id)[0], format!("CN-SEC-CSRC-1 running {}", 30 * hour + 60));
    }
    stage.does(&operator(), "clock", &id, json!({"act": "handled", "why": "恢复"}));
    assert_eq!(runs(&stage, &id)[0], "CN-SEC-CSRC-1 met 150");
    assert_eq!(stage.state("clock", &id), "running", "the report within 5 days");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let stage = Stage::new();
    let table: &[(&str, Value, &str)] = &[
        ("unit", json!("nowhere"), "there is no unit"),
        ("aware_at", json!("2026-11-24T00:00:00Z"), "'aware_at' lies in the future"),
        ("grade", json!(5), "grade 5"),
        ("grade", json!("often"), "clock: 'often' is no number"),
        ("grade", Value::Null, "give the 'grade'"),
        ("impact", json!({"moons": 3}), "'moons' is no measure"),
        ("operator", json!("circus"), "no clock binds an operator 'circus'"),
        ("object", json!("core"), "the unit has no object 'core'"),
        ("why", json!(" "), "'why' is missing"),
        ("links", json!(["W0"]), "there is no 'W0'"),
    ];
    for (key, value, says) in table {
        let mut act = start("grid", 3);
        act[*key] = value.clone();
        let got = stage.refused(&operator(), "clock", None, act);
        assert!(got.starts_with(says), "{key} {value}: {got}");
    }
    let says = stage.refused(&of("bank"), "clock", None, start("grid", 3));
    assert_eq!(says, "that is outside your scope");
}

#[test]
fn one_incident_has_one_file_at_a_unit() {
    let stage = Stage::new();
    let mut act = start("grid", 3);
    act["links"] = json!(["A0123456789abcdef"]);
    let id = stage.open(&operator(), "clock", act.clone());
    assert!(stage.refused(&of("grid"), "clock", None, act.clone()).contains(&format!("run already, in '{id}'")));
    stage.does(&lead(), "clock", &id, json!({"act": "withdraw", "reason": "时间填错"}));
    assert_eq!(stage.state("clock", &id), "withdrawn");
    act["why"] = json!("重填");
    stage.open(&of("grid"), "clock", act);
}

#[test]
fn grades_by_the_guide() {
    let guide = Stage::new().book.tables.desk.grade_guide.clone();
    let table: &[(&str, f64, u8)] = &[
        ("cii_main_function_min", 1500.0, 1),
        ("cii_main_function_min", 1440.0, 1),
        ("cii_main_function_min", 1439.0, 2),
        ("cii_main_function_min", 120.0, 3),
        ("cii_main_function_min", 119.0, 4),
        ("cii_whole_min", 360.0, 1),
        ("cii_whole_min", 29.0, 4),
        ("personal_records", 1e8, 1),
        ("personal_records", 999_999.0, 4),
        ("provincial_portal_min", 1440.0, 1),
        ("prefecture_portal_min", 9999.0, 2),
        ("prefecture_people_percent", 10.0, 3),
        ("province_people_percent", 50.0, 1),
        ("service_people", 99_999.0, 4),
        ("loss_cny", 2e7, 2),
        ("loss_cny", f64::NAN, 4),
    ];
    for (measure, value, grade) in table {
        assert_eq!(guide.grade(&[((*measure).to_owned(), *value)].into()).grade, *grade, "{measure} {value}");
    }
    let two = [("loss_cny".to_owned(), 5e6), ("personal_records".to_owned(), 2e7)];
    assert_eq!(guide.grade(&two.into()).measure.as_deref(), Some("personal_records"), "the more serious one wins");
}

#[test]
fn a_table_that_makes_no_sense_is_named() {
    let tables = Stage::new().book.tables;
    assert_eq!(tables.desk.problems(), [], "what ships is sound");
    let mut rows = tables.desk.clock.clone();
    rows[1].id = rows[0].id.clone();
    rows[2].grades = vec![7];
    rows[3].after = "nowhere".into();
    rows[4].limit_min = Some(0);
    rows[5].operator.clear();
    rows[6].page = "everybody".into();
    rows[7].effective_from = "soon".into();
    let said: Vec<String> = problems(&rows, &GradeGuide::default()).into_iter().map(|(_, what)| what).collect();
    for part in ["same id", "grade 7", "'nowhere'", "limit_min = 0", "binds nobody", "'everybody'", "'source' and the day"] {
        assert!(said.iter().any(|s| s.contains(part)), "{part}: {said:?}");
    }
}
