//! The filters that lists and counts take.

use tenure::{Between, Filter, Selector};

use super::super::access::Principal;
use super::super::params::Params;
use super::super::problem::Problem;

/// Reads the filters from the query; the scope of who asks always counts.
pub(in super::super) fn filter(
    params: &mut Params,
    principal: &Principal,
) -> Result<Filter, Problem> {
    let selector: Selector = params.one("selector")?.unwrap_or_default();
    Ok(Filter {
        states: params.list("state")?.into_iter().collect(),
        class: params.one("class")?,
        selector: selector.and(&principal.scope)?,
        conditions: params.list("condition")?.into_iter().collect(),
        created: between(params, "created_from", "created_until")?,
        updated: between(params, "updated_from", "updated_until")?,
        state_since: between(params, "state_since_from", "state_since_until")?,
        deleted: between(params, "deleted_from", "deleted_until")?,
        include_deleted: params.flag("include_deleted")?,
    })
}

fn between(
    params: &mut Params,
    from: &'static str,
    until: &'static str,
) -> Result<Between, Problem> {
    Ok(Between {
        from: params.one(from)?,
        until: params.one(until)?,
    })
}
