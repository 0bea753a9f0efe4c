use super::*;
use crate::serve::Board;
use event::AgentId;

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn five_thousand_agents_in_forty_units_stay_within_the_budget_of_series() {
    let metrics = Metrics::new("vedette");
    let (serve, _pipeline, _stages) = (ServeMetrics::new(&metrics), PipelineMetrics::new(&metrics), StageMetrics::new(&metrics));
    let board = Board::default();
    for n in 0..5_000u64 {
        let unit = format!("unit-{}", n % 40);
        board.enrolled(AgentId(n + 1), &format!("host-{n}"), Some((&unit, &unit, "power")), false);
    }
    serve.fleet(&board.list(&Scope::CITY, Timestamp::from_secs(1)), &mut BTreeSet::new());
    let text = metrics.render();
    println!("{} series for 5,000 agents in 40 units", series(&text));
    assert!(series(&text) < 1_000, "{text}");
    assert!(text.contains("vedette_unit_agents{unit=\"unit-7\"} 125\n"), "{text}");
    assert!(!text.contains("host-"), "a host name is nobody's label");
}

#[test]
fn a_unit_whose_ledger_does_not_add_up_shows_by_how_much_and_one_that_is_gone_shows_zero() {
    let metrics = Metrics::new("vedette");
    let serve = ServeMetrics::new(&metrics);
    let row = |produced, lost| api::LedgerRow { class: "bulk".into(), produced, acknowledged: 90, spooled: 10, lost };
    let board = Board::default();
    board.enrolled(AgentId(1), "a", Some(("grid", "grid", "power")), false);
    let mut agents = board.list(&Scope::CITY, Timestamp::from_secs(1));
    agents[0].ledger = vec![row(100, 0), row(140, 3)];
    let mut shown = BTreeSet::new();
    serve.fleet(&agents, &mut shown);
    let text = metrics.render();
    assert!(text.contains("vedette_unit_ledger_difference_events{unit=\"grid\"} 37\n"), "{text}");
    assert!(text.contains("vedette_unit_declared_lost_events{unit=\"grid\"} 3\n"), "{text}");
    serve.fleet(&[], &mut shown);
    assert!(metrics.render().contains("vedette_unit_agents{unit=\"grid\"} 0\n"));
}
