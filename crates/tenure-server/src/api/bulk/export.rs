//! Exports tenants.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use tenure::{PageSize, Query};
use tokio::time::Instant;

use super::super::access::Pass;
use super::super::code::Code;
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::super::stream::{self, Output, Place};
use super::super::tenants::{filter, full};
use super::line::ExportLine;

/// Writes tenants down, each as a line of JSON, in the order of their creation.
///
/// A line has what is wanted of a tenant, as an import takes it, and under `status` all else that the
/// record holds. The filters are those of the list. Each tenant is as it was when its page was read,
/// which may be later than the one before. An export that can't go on, for its token is no good any
/// more or the store is in trouble, tells so in a last line, `{"problem": …}`, and cuts the connection:
/// what ends in order is whole.
pub(in super::super) async fn export(
    State(api): State<ApiState>,
    mut call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let filter = filter(&mut call.params, &call.principal)?;
    std::mem::take(&mut call.params).finish()?;
    let place = Place::take(&api, &call.principal)?;
    let mut export = Export {
        query: Query {
            filter,
            limit: PageSize::default(),
            ..Query::default()
        },
        pass: Pass::new(&api, &call.principal),
        api: api.clone(),
        call,
    };
    let first = export.page(export.query.clone(), deadline).await?;
    Ok(stream::answer(&api, place, stream::LINES, |output| {
        export.write(first, output)
    }))
}

struct Export {
    api: ApiState,
    query: Query,
    call: Call,
    pass: Pass,
}

/// The lines of a page, and what to ask for the next.
type Page = (String, Option<Query>);

impl Export {
    async fn page(&mut self, query: Query, deadline: Instant) -> Result<Page, Problem> {
        self.pass.check().await?;
        let listed = self.api.engine().store().list(&query);
        let listed = self.api.read(deadline, listed).await?;
        let mut lines = String::new();
        for record in full(&self.api, deadline, &listed.items, &self.call.principal).await? {
            let line = ExportLine::of(&record.tenant)
                .and_then(|line| serde_json::to_string(&line))
                .map_err(|error| {
                    let detail = "the server failed; find this request in its log";
                    Problem::new(Code::Internal, detail).caused_by(error.to_string())
                })?;
            lines.push_str(&line);
            lines.push('\n');
        }
        let next = listed.next.map(|cursor| Query {
            after: Some(cursor),
            ..self.query.clone()
        });
        Ok((lines, next))
    }

    async fn write(mut self, first: Page, mut output: Output) {
        let (mut lines, mut next) = first;
        loop {
            if !output.send(lines).await {
                return;
            }
            let Some(query) = next else {
                return;
            };
            if self.api.is_stopping() {
                return output.cut();
            }
            let deadline = Instant::now() + self.api.options().limits.request;
            match self.page(query, deadline).await {
                Ok(page) => (lines, next) = page,
                Err(problem) => {
                    let (code, cause) = (problem.code().as_str(), problem.cause());
                    // Of tokens that end, who watches over them tells.
                    if problem.code() != Code::Unauthorized {
                        tracing::error!(code, cause, "an export was cut off");
                    }
                    let last = json!({"problem": self.call.signed(problem)});
                    output.send(format!("{last}\n")).await;
                    return output.cut();
                }
            }
        }
    }
}
