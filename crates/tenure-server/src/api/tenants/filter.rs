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
        name_prefix: name_prefix(params)?,
        selector: selector.and(&principal.scope)?,
        conditions: params.list("condition")?.into_iter().collect(),
        created: between(params, "created_from", "created_until")?,
        updated: between(params, "updated_from", "updated_until")?,
        state_since: between(params, "state_since_from", "state_since_until")?,
        deleted: between(params, "deleted_from", "deleted_until")?,
        include_deleted: params.flag("include_deleted")?,
    })
}

/// The beginning of a name, which must be one that a name can have: a misspelt one must not find nothing
/// in silence.
fn name_prefix(params: &mut Params) -> Result<String, Problem> {
    let prefix = params.text("name_prefix")?.unwrap_or_default();
    let fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if prefix.len() <= 63 && prefix.bytes().all(fit) {
        Ok(prefix)
    } else {
        let rule = "must be the beginning of a name: at most 63 of a-z, 0-9 and hyphens";
        Err(Problem::invalid("name_prefix", rule))
    }
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
