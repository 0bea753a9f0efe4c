//! Alerts of other tools, in the form they lie on disk.

use super::*;
use event::Severity;

fn shown(line: &str) -> String {
    let e = one(line);
    let t = |f| e.text(f).into_owned();
    format!(
        "{} {} {} {} | {} | {} {} | {} -> {} | {} {}",
        e.kind.name(),
        e.source,
        e.severity,
        e.time,
        t(field::FINDING_TITLE),
        t(field::FINDING_RULE),
        t(field::ALERT_CATEGORY),
        t(field::SRC_IP),
        t(field::DST_IP),
        t(field::ALERT_HOST),
        t(field::ALERT_TECHNIQUES),
    )
}

#[test]
fn suricata_alerts() {
    let line = r#"{"timestamp":"2026-11-23T19:00:00.250000+0800","flow_id":7,"in_iface":"eth0","event_type":"alert","src_ip":"192.0.2.9","src_port":4000,"dest_ip":"198.51.100.2","dest_port":80,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":2024364,"rev":4,"signature":"ET SCAN Possible Nmap User-Agent Observed","category":"Web Application Attack","severity":1,"metadata":{"mitre_technique_id":["T1595"]}},"http":{"hostname":"h","url":"\/a?\"signature\":\"x","http_user_agent":"Nmap"},"app_proto":"http"}"#;
    assert_eq!(
        shown(line),
        "detection_finding suricata/alert/* high 2026-11-23T11:00:00.250Z | ET SCAN Possible Nmap User-Agent Observed | 2024364 Web Application Attack | 192.0.2.9 -> 198.51.100.2 | 198.51.100.2 T1595"
    );
    let e = one(line);
    assert_eq!(
        (e.text(field::HTTP_URL), e.text(field::PROTOCOL), e.text(field::SRC_PORT)),
        ("/a?\"signature\":\"x".into(), "tcp".into(), "4000".into())
    );
    // On an answer the ends stand the other way round; who is the target may be said.
    let answer = line.replace("\"proto\"", "\"direction\":\"to_client\",\"proto\"");
    assert!(shown(&answer).contains("| 198.51.100.2 -> 192.0.2.9 | 192.0.2.9"), "{}", shown(&answer));
    let target = line.replace("\"rev\":4", "\"target\":{\"ip\":\"192.0.2.9\"}");
    assert!(shown(&target).contains("| 192.0.2.9 -> 198.51.100.2 | 192.0.2.9"), "{}", shown(&target));
    // Relayed by syslog; without a signature it is no alert; cut it is a plain line.
    assert!(shown(&format!("Nov 23 11:00:00 gw suricata[7]: @cee:{line}")).contains("suricata/alert/* high 2026-11-23T11:00:00.250Z"));
    assert_eq!(one(&line.replace("\"signature\":\"ET", "\"sig\":\"ET")).kind, Kind::LogActivity);
    assert_eq!(one(&line[..line.len() - 1]).kind, Kind::LogActivity);
    let flow =
        one(r#"{"timestamp":"2026-11-23T11:00:00.1+0000","event_type":"flow","src_ip":"192.0.2.9","dest_ip":"192.0.2.1","proto":"UDP"}"#);
    assert_eq!((flow.source.to_string().as_str(), flow.text(field::DST_IP)), ("suricata/flow/*", "192.0.2.1".into()));
}

#[test]
fn wazuh_alerts() {
    let line = r#"{"timestamp":"2026-11-23T11:00:00.125+0000","rule":{"level":12,"description":"A \"hostile\" page","id":"31151","mitre":{"id":["T1595.002"],"tactic":["Reconnaissance"]},"groups":["web","recon"]},"agent":{"id":"003","name":"shop","ip":"10.0.0.5"},"manager":{"name":"hids"},"id":"1.2","full_log":"GET \"agent\":{\"ip\":\"6.6.6.6\"}","data":{"srcip":"192.0.2.9","dstuser":"root","srcuser":"bob","url":"/x"},"location":"/var/log/access.log"}"#;
    assert_eq!(
        shown(line),
        "detection_finding wazuh/alert/* high 2026-11-23T11:00:00.125Z | A \"hostile\" page | 31151 web, recon | 192.0.2.9 ->  | 10.0.0.5 T1595.002"
    );
    let e = one(line);
    assert_eq!(
        (e.text(field::USER_NAME), e.text(field::ACTOR_USER), e.text(field::DST_HOSTNAME)),
        ("root".into(), "bob".into(), "shop".into())
    );
    assert_eq!((e.text(field::LOG_NAME), e.severity), ("/var/log/access.log".into(), Severity::High));
    for own in ["127.0.0.1", "any", "0.0.0.0"] {
        assert!(shown(&line.replace("10.0.0.5", own)).contains("| shop T1595.002"), "{own}");
    }
    // A relayed Suricata alert is Suricata's, at Wazuh's host.
    let relayed = line.replace(
        "\"srcip\":\"192.0.2.9\"",
        "\"src_ip\":\"192.0.2.9\",\"alert\":{\"signature\":\"ET X\",\"signature_id\":\"9\",\"severity\":\"3\"}",
    );
    assert!(
        shown(&relayed).starts_with("detection_finding suricata/alert/* low 2026-11-23T11:00:00.125Z | ET X | 9 "),
        "{}",
        shown(&relayed)
    );
    assert!(shown(&relayed).contains("| 10.0.0.5"));
    assert_eq!(one(&line.replace("\"description\"", "\"text\"")).kind, Kind::LogActivity);
}

#[test]
fn aminer_anomalies() {
    let line = r#"{"AnalysisComponent":{"AnalysisComponentIdentifier":1,"AnalysisComponentType":"EntropyDetector","AnalysisComponentName":"AMiner: High entropy in Apache Access request.","Message":"Value entropy anomaly"},"LogData":{"RawLogData":["GET /x"],"Timestamps":[1795431600.25],"DetectionTimestamp":1,"LogResources":["/var/log/apache2/access.log"]},"AMiner":{"ID":"10.0.0.5"}}"#;
    assert_eq!(
        shown(line),
        "detection_finding aminer/alert/* informational 2026-11-23T11:00:00.250Z | High entropy in Apache Access request. |  EntropyDetector |  ->  | 10.0.0.5 "
    );
    for bad in ["-5", "1e300", "[]", "\"x\""] {
        let e = one(&line.replace("[1795431600.25]", bad).replace("\"DetectionTimestamp\":1,", ""));
        assert_eq!(
            (e.source.to_string().as_str(), e.time),
            ("aminer/alert/*", Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").unwrap()),
            "{bad}"
        );
    }
}

#[test]
fn what_looks_like_a_record() {
    for (line, want) in [
        (r#"{"timestamp":"t","event_type":"alert"}"#, true),
        (r#"{"timestamp":"t","rule":{"id":1},"agent":{}}"#, true),
        (r#"{"AnalysisComponent":{}}"#, true),
        (r#"{"time":1,"class_uid":2004,"timestamp":1,"event_type":"x"}"#, false),
        (r#"{"time":1,"rule":"x","agent":"y"}"#, false),
    ] {
        assert_eq!(is_partner_record(line), want, "{line}");
    }
}
