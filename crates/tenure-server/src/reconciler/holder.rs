//! Who holds a lease: a name that no other process has, and that tells people where to look.

use tenure::Actor;

use crate::ids::IdSource;

/// The longest part of a host's name that is used: a holder must fit into an actor.
const HOST_MAX: usize = 100;

/// Host, process and a random part: `web-1-4711-9f3c02d1`.
pub(super) fn name(ids: &dyn IdSource) -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host: String = host.chars().filter(fit).take(HOST_MAX).collect();
    let id = ids.fresh().simple().to_string();
    let random = id.get(24..).unwrap_or_default();
    format!("{host}-{}-{random}", std::process::id())
}

/// The same as it stands in the history.
pub(super) fn actor(holder: &str) -> Actor {
    format!("worker:{holder}")
        .parse()
        .unwrap_or_else(|_| unreachable!("a holder has a plain name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SystemIds;

    #[test]
    fn every_reconciler_has_a_name_of_its_own() {
        let (one, other) = (name(&SystemIds), name(&SystemIds));
        assert_ne!(one, other);
        assert_eq!(actor(&one).as_str(), format!("worker:{one}"));
    }
}
