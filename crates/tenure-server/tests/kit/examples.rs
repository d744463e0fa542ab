//! The provisioners that are shipped as examples keep the contract.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tenure_server::manifest::Manifest;

use crate::postgres::{Cluster, ClusterOptions};
use crate::support::Proof;

/// A copy of an example's folder.
fn copy(name: &str) -> TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    let folder = TempDir::new().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    folder
}

/// What the example's manifest wants of the first tenant of a class.
fn desired(folder: &Path, class: &str) -> Value {
    let manifest = Manifest::read(&folder.join("tenants.yaml")).unwrap();
    let of_class = |class_name: &str| class_name == class;
    let entry = manifest
        .entries
        .into_iter()
        .find(|entry| entry.class.as_ref().is_some_and(|c| of_class(c.as_str())));
    entry.unwrap().desired.to_value()
}

/// The desired state with some of its values changed.
fn with(mut desired: Value, changes: &Value) -> Value {
    let changes = changes.as_object().unwrap().clone();
    desired.as_object_mut().unwrap().extend(changes);
    desired
}

/// Puts an example to the proof, in a copy of its folder.
#[track_caller]
fn passes(
    (name, class): (&str, &str),
    command: &[&str],
    env: &[(&str, &str)],
    changes: &Value,
    tamper: &str,
) {
    let folder = copy(name);
    let desired = desired(folder.path(), class);
    Proof {
        folder: folder.path(),
        command,
        class,
        env,
        changed: Some(with(desired.clone(), changes)),
        desired,
        tamper: Some(tamper),
        options: &[],
    }
    .passes();
}

#[test]
fn sqlite_per_tenant() {
    let tamper = r#"python3 -c 'import os, sqlite3
db = sqlite3.connect("tenants/{TENURE_TENANT_NAME}-{TENURE_TENANT_ID}.db".format_map(os.environ))
db.execute("UPDATE settings SET value = 500 WHERE key = ?", ("/seats",))
db.commit()'"#;
    let command = ["python3", "provision.py"];
    let changes = json!({"plan": "team", "seats": 7});
    let example = ("sqlite-per-tenant", "shared");
    passes(example, &command, &[], &changes, tamper);
}

#[test]
fn pull_worker() {
    let tamper = r#"python3 -c 'import os, pathlib
path = pathlib.Path("mail/boxes", os.environ["TENURE_TENANT_NAME"], "aliases")
path.write_text("thief\n")'"#;
    let command = ["python3", "provision.py"];
    let changes = json!({"quota_mb": 7, "aliases": ["new", "names"]});
    let example = ("pull-worker", "mailbox");
    passes(example, &command, &[], &changes, tamper);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_per_tenant() {
    let cluster = Cluster::start(&ClusterOptions::default()).await;
    let host = cluster.folder().to_str().unwrap().to_owned();
    let port = cluster.port().to_string();
    let proof = tokio::task::spawn_blocking(move || {
        let env = [
            ("PGHOST", host.as_str()),
            ("PGPORT", port.as_str()),
            ("PGUSER", "postgres"),
        ];
        let tamper = r#"sh -c 'role=$(psql -XAtc "select rolname from pg_roles where rolname like replace(\$\$t_$TENURE_TENANT_NAME\$\$, \$\$-\$\$, \$\$_\$\$) || \$\$%\$\$" postgres) && psql -Xqc "alter role $role connection limit 99" postgres'"#;
        let command = ["python3", "provision.py"];
        let changes = json!({"connections": 7, "extensions": ["citext", "hstore"]});
        let example = ("postgres-per-tenant", "database");
        passes(example, &command, &env, &changes, tamper);
    });
    proof.await.unwrap();
}

/// The example's server, until it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn http_provisioner() {
    let folder = copy("http-provisioner");
    let secret = folder.path().join("signing.secret");
    std::fs::write(&secret, "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n").unwrap();
    let mut node = Command::new("node")
        .arg("server.js")
        .current_dir(folder.path())
        .env("PORT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut says = String::new();
    let out = node.stdout.take().unwrap();
    let _server = Server(node);
    BufReader::new(out).read_line(&mut says).unwrap();
    let port: String = says
        .rsplit(':')
        .next()
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let url = format!("http://127.0.0.1:{port}/provision");
    let desired = desired(folder.path(), "site");
    let secret = secret.to_str().unwrap();
    Proof {
        folder: folder.path(),
        command: &[],
        class: "site",
        env: &[],
        changed: Some(with(
            desired.clone(),
            &json!({"title": "Another", "theme": "forest"}),
        )),
        desired,
        tamper: Some(r#"sh -c 'echo "{" > "data/sites/$TENURE_TENANT_NAME/config.json"'"#),
        options: &["--http", &url, "--signing-secret-file", secret],
    }
    .passes();
}
