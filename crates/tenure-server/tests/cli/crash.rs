//! `kill -9` at random moments: whatever was being done, starting again ends in order.

use crate::dice::Dice;
use crate::support::{Background, Project, tenure};

/// How often it is killed.
const KILLS: u64 = 6;

#[test]
fn p2_p8_up_survives_being_killed_at_any_moment() {
    let mut dice = Dice::cast();
    println!("seed {0}: repeat with TENURE_TEST_SEED={0}", dice.seed);
    let project = Project::example();
    let manifest = project.read("tenants.yaml");
    for round in 1..=KILLS {
        let seats = format!("seats: {}\n", 100 + round);
        project.write("tenants.yaml", &manifest.replace("seats: 3\n", &seats));
        let arguments = ["up", ".", "--listen", "127.0.0.1:0"];
        let mut up = Background::start(tenure(project.path(), &arguments));
        // The first line comes before anything is applied; each further one tells of a change.
        let moment = 1 + dice.below(if round == 1 { 30 } else { 6 });
        for _ in 0..moment {
            if up.line().is_none() {
                break;
            }
        }
        println!("killed after {:?}", up.said.last());
        up.kill();
        let doctor = project.run(&["doctor", "--store", &project.store()]);
        doctor.with(0).saying(&[" 0 findings"]);
    }
    project.up().with(0).saying(&["20 tenants:"]);
    let seats = u64::from(u32::try_from(100 + KILLS).unwrap());
    for name in ["alder-bakery", "kelp-kitchen"] {
        let tenant = project
            .run(&["get", name, "-o", "json", "--store", &project.store()])
            .with(0);
        assert_eq!(tenant.json()["observed"]["seats"], seats, "{name}");
    }
    let unsettled: Vec<_> = project
        .tenants()
        .into_iter()
        .filter(|tenant| tenant["observed_generation"] != tenant["generation"])
        .collect();
    assert!(unsettled.is_empty(), "{unsettled:?}");
    project
        .run(&["doctor", "--store", &project.store()])
        .with(0);
    project.up().with(0).saying(&["20 unchanged"]);
}
