//! What every error of a store says of itself.

use std::collections::BTreeSet;

use tenure::{Advice, Readiness, Source, StoreError, Written};

fn secret() -> Source {
    "password=hunter2 host=db.internal SELECT * FROM tenants".into()
}

#[test]
fn every_error_says_what_it_did_and_what_to_do_and_no_secret() {
    use Advice::{Backoff, GiveUp, Resolve, Restart};
    let errors = [
        (StoreError::Unavailable(secret()), Written::No, Backoff),
        (
            StoreError::OutcomeUnknown(secret()),
            Written::Unknown,
            Resolve,
        ),
        (StoreError::Overloaded, Written::No, Backoff),
        (StoreError::ReadOnly, Written::No, Backoff),
        (StoreError::Full, Written::No, Backoff),
        (
            StoreError::NotReady(Readiness::NotMigrated),
            Written::No,
            Backoff,
        ),
        (StoreError::CursorInvalid, Written::No, Restart),
        (StoreError::CursorExpired, Written::No, Restart),
        (
            StoreError::Corrupt {
                what: "documents".into(),
            },
            Written::No,
            GiveUp,
        ),
        (
            StoreError::Rejected {
                rule: "state_edge".into(),
            },
            Written::No,
            GiveUp,
        ),
        (StoreError::Closed, Written::No, GiveUp),
        (StoreError::Backend(secret()), Written::No, GiveUp),
    ];
    let mut codes = BTreeSet::new();
    for (error, effect, advice) in &errors {
        assert_eq!(
            (error.effect(), error.advice()),
            (*effect, *advice),
            "{error}"
        );
        assert!(
            codes.insert(error.code()),
            "{} stands for two errors",
            error.code()
        );
        let shown = error.to_string();
        assert!(
            !shown.contains("hunter2") && !shown.contains("SELECT"),
            "{shown}"
        );
    }
}
