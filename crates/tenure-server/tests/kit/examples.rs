//! The provisioners that are shipped as examples keep the contract.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tenure_server::manifest::Manifest;

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
