use super::table::{changes, read_csv, read_toml, write_csv, write_toml};
use super::*;

const CITY: &str = r#"
[[unit]]
id = "grid"
name = "市电网公司"
sector = "power"
networks = ["10.1.0.0/16"]

[[unit]]
id = "bank"
name = "市商业银行"
sector = "finance"

[[object]]
id = "dispatch"
unit = "grid"
name = "调度自动化"
mlps = 4
cii = true

[[object]]
id = "core"
unit = "bank"
name = "核心系统"
needs = ["dispatch"]

[[asset]]
id = "grid-scada"
unit = "grid"
importance = 3
object = "dispatch"
agent = "00000000000000aa"
networks = ["10.1.2.0/24"]

[[asset]]
id = "bank-web"
unit = "bank"
hostname = "web1"
"#;

fn row(row: Option<Row>, kind: RowKind, id: &str) -> RegisterRow {
    RegisterRow { kind, id: id.into(), unit: None, row, old: false }
}

#[test]
fn a_host_is_found_by_agent_then_by_name_and_enrolment_decides_the_unit() {
    let mut register = Register::parse(CITY, "register.toml").unwrap();
    let facts = register.host(AgentId(0xaa), None);
    assert_eq!((facts.unit.unwrap().id.as_str(), facts.asset.unwrap().importance), ("grid", 3));
    assert_eq!(register.host(AgentId(1), Some("WEB1")).asset.unwrap().id, "bank-web");
    register.assign(AgentId(2), "grid");
    let liar = register.host(AgentId(2), Some("web1"));
    assert_eq!((liar.unit.unwrap().id.as_str(), liar.asset), ("grid", None), "a host name does not move an agent to another unit");
    assert_eq!(register.host(AgentId(3), Some("other")), HostFacts::default());
    register.assign(AgentId(0xaa), "bank");
    assert_eq!(register.host(AgentId(0xaa), Some("web1")).asset, None, "an agent declared elsewhere is no other asset by its name");
    assert_eq!(register.host(AgentId(4), Some("00000000000000aa")).asset, None, "an agent's id is no host name");
}

#[test]
fn an_address_is_found_by_its_narrowest_network() {
    let register = Register::parse(CITY, "register.toml").unwrap();
    assert_eq!(register.address("10.1.2.9".parse().unwrap()).asset.unwrap().id, "grid-scada");
    let wide = register.address("10.1.9.9".parse().unwrap());
    assert_eq!((wide.unit.unwrap().id.as_str(), wide.asset), ("grid", None));
    assert_eq!(register.address("192.0.2.1".parse().unwrap()), HostFacts::default());
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let say = |text: &str| Register::parse(text, "register.toml").unwrap_err().to_string();
    let error = say(&CITY.replace("importance = 3", "importance = 9"));
    assert!(error.contains("register.toml:29: key 'importance': 9 is not 1 (ordinary)"), "{error}");
    let error = say(&CITY.replace("unit = \"bank\"\nhostname", "unit = \"bnak\"\nhostname").replace("\"dispatch\"]", "\"dispach\"]"));
    assert!(
        error.contains("register.toml:36: key 'unit': 'bnak' is no unit of the register; register it first; there are bank, grid"),
        "{error}"
    );
    assert!(error.contains("register.toml:24: key 'needs': 'dispach' is no object"), "{error}");
    let error = say(&CITY.replace("id = \"bank-web\"", "id = \"grid-scada\""));
    assert!(error.contains("register.toml:35: key 'id': 'grid-scada' is there twice, first in line 26"), "{error}");
    let error = say("[[unit]]\nid = \"a\"\nname = \"a\"\nsecter = \"x\"\n");
    assert!(error.contains("register.toml:") && error.contains("secter"), "{error}");
}

#[test]
fn what_people_wrote_wins_over_the_file_and_what_they_removed_stays_removed() {
    let file = Register::parse(CITY, "r.toml").unwrap();
    let grid = Unit { name: "新名".into(), ..file.unit("grid").unwrap().clone() };
    let rows = [
        row(Some(Row::Unit(grid)), RowKind::Unit, "grid"),
        row(None, RowKind::Asset, "bank-web"),
        row(Some(Row::Asset(Asset { id: "new".into(), unit: "bank".into(), importance: 1, ..Asset::default() })), RowKind::Asset, "new"),
    ];
    let mut before = file.clone();
    before.assign(AgentId(7), "bank");
    let now = before.renewed(&rows);
    assert_eq!(now.unit("grid").unwrap().name, "新名");
    assert_eq!(now.assets().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["grid-scada", "new"]);
    assert_eq!(now.host(AgentId(7), None).unit.unwrap().id, "bank", "enrolments stay");
    assert!(now.is_written(RowKind::Unit, "grid") && !now.is_written(RowKind::Unit, "bank") && now.in_file(RowKind::Asset, "bank-web"));
    assert_eq!(now.renewed(&[]).all(), file.all());
    // A row of an older schema says less than the file.
    let old = RegisterRow {
        old: true,
        ..row(Some(Row::Unit(Unit { id: "grid".into(), name: "x".into(), sector: "y".into(), ..Unit::default() })), RowKind::Unit, "grid")
    };
    assert_eq!(file.renewed(&[old]).unit("grid").unwrap().networks, ["10.1.0.0/16"]);
}

#[test]
fn rows_that_no_longer_fit_the_file_are_left_out_and_named() {
    let rows = [
        row(None, RowKind::Unit, "grid"),
        row(Some(Row::Asset(Asset { id: "x".into(), unit: "gone".into(), importance: 1, ..Asset::default() })), RowKind::Asset, "x"),
    ];
    let now = Register::parse(CITY, "r.toml").unwrap().renewed(&rows);
    assert_eq!(now.all().units.keys().collect::<Vec<_>>(), ["bank"]);
    assert_eq!((now.all().objects.len(), now.all().objects["core"].needs.len(), now.assets().len()), (1, 0, 1));
    assert!(
        now.remarks().iter().any(|r| r.en.starts_with("asset x: unit not taken: 'gone'") && r.zh.contains("资产 x")),
        "{:?}",
        now.remarks()
    );
    let circle = CITY.replace("cii = true", "needs = [\"core\"]");
    assert!(Register::parse(&circle, "r.toml").unwrap().remarks()[0].en.contains("circle: core → dispatch"));
}

#[test]
fn what_is_written_out_reads_back_as_it_was() {
    let mut all = Register::parse(CITY, "r.toml").unwrap().all().clone();
    let unit = all.units.get_mut("bank").unwrap();
    unit.contacts = vec![
        Contact {
            name: "=张,\"三\"".into(),
            role: "duty".into(),
            phone: "+86 10 5550".into(),
            channels: vec!["wecom".into(), "sms".into()],
            ..Contact::default()
        },
        Contact { name: "-李".into(), role: "leader".into(), mail: "li@bank.example".into(), lang: "en".into(), ..Contact::default() },
    ];
    unit.domains = vec!["bank.example".into(), "银行.example".into()];
    unit.named = true;
    let asset = all.assets.get_mut("bank-web").unwrap();
    (asset.os, asset.ports) = ("Debian GNU/Linux 13".into(), vec![22, 443]);
    for read in [read_toml(&write_toml(&all, None)).unwrap(), read_csv(&write_csv(&all, None), &Declared::default()).unwrap()] {
        let mut back = Declared::default();
        read.rows.iter().for_each(|(_, row)| back.put(row.clone()));
        assert_eq!(back, all);
        assert_eq!(read.misfits(&back), []);
        assert!(changes(&all, &read.rows).is_empty());
    }
    assert!(write_csv(&all, Some(RowKind::Object)).lines().count() == 3 && write_toml(&all, Some(RowKind::Asset)).contains("[[asset]]"));
}

#[test]
fn a_csv_changes_the_columns_it_has_and_every_problem_has_its_line() {
    let known = Register::parse(CITY, "r.toml").unwrap().all().clone();
    let csv = "kind,id,unit,name,importance,role,phone\r\nasset,grid-scada,grid,\"调度\n主站\",2,,\nasset,rtu-[1-3],grid,终端,,,\ncontact,,bank,值班室,,duty,0000-1\n";
    let csv = csv.replace("\"调度\n主站\"", "调度主站");
    let read = read_csv(&csv, &known).unwrap();
    let mut all = known.clone();
    read.rows.iter().for_each(|(_, row)| all.put(row.clone()));
    let scada = &all.assets["grid-scada"];
    assert_eq!(
        (scada.name.as_str(), scada.importance, scada.networks[0].as_str(), scada.object.as_str()),
        ("调度主站", 2, "10.1.2.0/24", "dispatch")
    );
    assert_eq!((all.assets.len(), all.units["bank"].contacts[0].phone.as_str()), (5, "0000-1"));
    let told = changes(&known, &read.rows);
    assert_eq!(
        told.iter().find(|(_, id, _)| id == "grid-scada").unwrap().2.as_deref(),
        Some(&["importance".to_owned(), "name".to_owned()][..])
    );
    assert_eq!(told.iter().filter(|(.., keys)| keys.is_none()).count(), 3);

    let bad = "kind,id,unit,importance,mlps,cii\nasset,a,bank,x,,\nserver,b,,,,\nasset,,bank,,,\nobject,o,bank,,7,\nobject,p,bank,,,maybe\ncontact,,nobody,,,\nasset,c,bank,1,,,,\n";
    let problems = read_csv(bad, &known).unwrap_err();
    let lines: Vec<(usize, &str)> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    assert_eq!(lines, [(2, "importance"), (3, "kind"), (4, "id"), (5, "name"), (6, "cii"), (7, "unit"), (8, "")]);
    assert!(problems.iter().all(|p| !p.text.zh.is_empty() && p.told("r.csv").starts_with("r.csv:") && p.told_zh("r.csv").contains("行")));
    for (text, line, words) in [
        ("id,name\nx,y\n", 1, "no column 'kind'"),
        ("kind,colour\n", 1, "column 'colour'"),
        ("kind,id\nunit,\"a\nb\n", 2, "no end"),
        ("kind,id\nasset,a\nasset,a\n", 3, "there twice, first in line 2"),
    ] {
        let problem = read_csv(text, &known).unwrap_err().remove(0);
        assert!(problem.line == line && problem.text.en.contains(words), "{problem:?}");
    }
    assert!(read_csv("", &known).unwrap().rows.is_empty());
}

#[test]
fn the_shipped_register_holds_a_city() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/register.toml");
    let register = Register::load(&path).unwrap();
    let sectors: std::collections::BTreeSet<&str> = register.units().map(|u| u.sector.as_str()).collect();
    assert_eq!((sectors.len(), register.units().count()), (5, 30));
    assert!(register.assets().len() >= 300, "{}", register.assets().len());
    let all = register.all();
    assert!(all.objects.len() >= 30 && all.objects.values().filter(|o| o.cii).count() >= 10);
    for unit in register.units() {
        let has = |role: &str| unit.contacts.iter().any(|c| c.role == role);
        assert!(has("duty") && has("substitute") && has("leader") && !unit.domains.is_empty(), "{}", unit.id);
    }
}
