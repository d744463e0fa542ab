//! Explanations, as clients get them.

use serde_json::json;
use tenure::{Breaker, ClassName, ClassView, Correction, DriftMode, SystemClock};
use tenure_server::api::ApiOptions;
use tenure_server::reconciler::Board;
use tenure_server::server::ConnectionLimits;

use super::stores::each_store;
use super::support::{Reply, Server, memory};

async fn explain(server: &Server, who: &str) -> Reply {
    let path = format!("/v1/tenants/{who}/explain");
    server.get(&path).await.expect(200)
}

/// One member of each thing that stands in the way, or of each command.
fn each(reply: &Reply, list: &str, member: &str) -> Vec<String> {
    let items = reply.body[list].as_array().unwrap().iter();
    items
        .map(|item| item[member].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn p8_a_tenant_is_explained_wherever_it_stands() {
    each_store(async |server| {
        let id = server.create("acme").await.id();
        let new = explain(server, "acme").await;
        assert_eq!((new.text("state"), new.text("name")), ("requested", "acme"));
        assert_eq!(new.body["last"], json!({"result": "none"}));
        assert_eq!(each(&new, "blocked_by", "kind"), ["no_class"]);
        assert_eq!(new.body["next"]["operation"], "apply");
        assert!(new.text("summary").contains("class default"), "{new:?}");

        let held = json!({"message": "migration"});
        server.post("/v1/tenants/acme/hold", held).await.expect(200);
        let held = explain(server, "acme").await;
        assert_eq!(each(&held, "blocked_by", "kind"), ["hold"]);
        assert_eq!(held.body["blocked_by"][0]["by"], "user:anonymous");
        assert_eq!(each(&held, "commands", "command"), ["tenure release acme"]);
        assert_eq!(held.body["conditions"], json!(["held"]));
        let release = server.ask("POST", "/v1/tenants/acme/release");
        release.send().await.expect(200);

        server.work_off(id).await;
        let seen = json!({"plan": "silver"});
        server.look(id, seen, Correction::Spent).await;
        let drifted = explain(server, "acme").await;
        assert_eq!(each(&drifted, "blocked_by", "kind"), ["budget", "no_class"]);
        assert_eq!(
            each(&drifted, "commands", "command"),
            [
                "tenure retry acme",
                "tenure accept acme",
                "tenure waive acme '/plan' --until 7d"
            ]
        );
        assert_eq!(drifted.body["next"]["operation"], "observe");
        assert_eq!(drifted.body["last"]["result"], "done");

        server
            .ask("DELETE", "/v1/tenants/acme")
            .send()
            .await
            .expect(200);
        server.work_off(id).await;
        server
            .get("/v1/tenants/acme/explain")
            .await
            .refused(404, "tenant_not_found");
        let gone = explain(server, &id.to_string()).await;
        assert!(
            gone.text("summary").ends_with("its name is free."),
            "{gone:?}"
        );
        assert_eq!(each(&gone, "commands", "command"), ["tenure apply -f FILE"]);
    })
    .await;
}

#[tokio::test]
async fn p8_what_lies_in_the_class_is_said_as_the_board_has_it() {
    let board = Board::default();
    let options = ApiOptions {
        board: board.clone(),
        ..ApiOptions::default()
    };
    let server = Server::start(memory(), options, ConnectionLimits::default()).await;
    server.create("acme").await;
    let class = ClassName::default();
    board.set(class.clone(), ClassView::default());
    assert_eq!(
        each(&explain(&server, "acme").await, "blocked_by", "kind"),
        ["queue"]
    );
    board.update(&class, |status| {
        (status.running, status.concurrency) = (4, 4);
    });
    assert_eq!(
        each(&explain(&server, "acme").await, "blocked_by", "kind"),
        ["concurrency"]
    );
    let now = tenure::Clock::now(&SystemClock);
    let until = now.plus(std::time::Duration::from_hours(1));
    board.update(&class, |status| {
        status.running = 0;
        status.breaker = Breaker::Open {
            since: now,
            until,
            reason: "QuotaExceeded".parse().unwrap(),
            message: "no room".parse().unwrap(),
        };
    });
    let broken = explain(&server, "acme").await;
    assert_eq!(each(&broken, "blocked_by", "kind"), ["breaker"]);
    assert_eq!(broken.body["next"]["at"], until.to_string());
    let detail = &each(&broken, "blocked_by", "detail")[0];
    assert!(detail.contains("QuotaExceeded (no room)"), "{detail}");

    let id = server.get("/v1/tenants/acme").await.id();
    server.work_off(id).await;
    let mut off = ClassView::default();
    off.policy.drift.mode = DriftMode::Off;
    board.set(class, off);
    let rests = explain(&server, "acme").await;
    assert_eq!(rests.body["blocked_by"], json!([]));
    assert!(
        rests
            .text("summary")
            .contains("until something else is asked for"),
        "{rests:?}"
    );
    server
        .get("/v1/tenants/acme/explain?at=now")
        .await
        .refused(422, "invalid");
    server.stop().await;
}
