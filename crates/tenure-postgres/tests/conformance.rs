//! The conformance suite on PostgreSQL: with named and unnamed statements, and behind a pooler.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use fleet::Way;

mod named {
    tenure::store_conformance!(super::Way::Named);
}

mod unnamed {
    tenure::store_conformance!(super::Way::Unnamed);
}

mod behind_pgbouncer {
    tenure::store_conformance!(super::Way::PgBouncer);
}
