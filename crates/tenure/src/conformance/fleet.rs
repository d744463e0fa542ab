//! Many tenants at once, and walks over them.

use super::dice::Dice;
use super::{Setup, applied, change};
use crate::{
    Command, Decision, Query, Store, Summary, Tenant, TenantId, Wanted, decide, decide_report,
};

/// Most pages that a walk may take: more means that it does not end.
const PAGES_MAX: usize = 10_000;

/// Walks a list to its end, page by page. Pages may come short, but never too large.
pub(super) async fn walk(store: &dyn Store, query: &Query) -> Vec<Summary> {
    let mut query = query.clone();
    let mut walked = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = store.list(&query).await.expect("listing works");
        assert!(
            page.items.len() <= usize::from(query.limit.get()),
            "a page beyond its limit"
        );
        walked.extend(page.items);
        match page.next {
            Some(next) => {
                assert_ne!(
                    Some(&next),
                    query.after.as_ref(),
                    "a page that leads to itself"
                );
                query.after = Some(next);
            }
            None => return walked,
        }
    }
    panic!("a walk that does not end: {query:?}");
}

/// Creates this many tenants and leads each through a random life of a few steps.
pub(super) async fn fleet(setup: &Setup, dice: &mut Dice, many: usize) -> Vec<Tenant> {
    let mut tenants = Vec::new();
    for n in 0..many {
        let name = format!("t{n}");
        let wanted: Wanted = dice.wanted(setup.id(), &name);
        let mut tenant = setup.write(&setup.creation(wanted)).await;
        for _ in 0..dice.below(8) {
            let decision = if dice.once_in(3) {
                decide(
                    Some(&tenant),
                    &dice.command(tenant.id, &name),
                    &setup.context(),
                )
            } else {
                decide_report(&tenant, &dice.report(&tenant, 1), &setup.context())
            };
            if let Decision::Change(change) = decision {
                tenant = setup.write(&change).await;
            }
        }
        tenants.push(tenant);
    }
    tenants
}

/// Creates this many tenants, all within one microsecond, in an order that is not that of their ids.
pub(super) async fn crowd(setup: &Setup, many: usize) -> Vec<TenantId> {
    let context = setup.context();
    let mut wanted: Vec<Wanted> = (0..many).map(|n| setup.wanted(&format!("t{n}"))).collect();
    let ids = wanted.iter().map(|wanted| wanted.id).collect();
    Dice::new(7).shuffle(&mut wanted);
    let changes: Vec<_> = wanted
        .into_iter()
        .map(|wanted| change(decide(None, &Command::Create(wanted), &context)))
        .collect();
    for answer in setup.store.commit_many(&changes).await {
        applied(answer);
    }
    ids
}

pub(super) fn ids(tenants: &[Summary]) -> Vec<TenantId> {
    tenants.iter().map(|tenant| tenant.id).collect()
}
