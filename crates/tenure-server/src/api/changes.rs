//! The change feed: pages, pages that wait for something to happen, and events.

use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tenure::{Changes, Cursor, Line, PageSize};
use tokio::time::{Instant, sleep_until};

use super::access::Pass;
use super::headers;
use super::problem::Problem;
use super::pulse::Pulse;
use super::request::Call;
use super::state::ApiState;
use super::stream::{self, Output, Place};
use super::tenants::json_answer;

/// The longest that a page waits.
const WAIT_MAX: u64 = 60;

/// How often a client is told that there is nothing new, so that it and all between know it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A stretch of the change feed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct ChangesPage {
    /// The changes of all tenants, in the order of their commits.
    pub items: Vec<Line>,
    /// Where to read on: send it as `after`. It is given also when there is nothing new yet.
    pub next: String,
}

/// Lists the changes of all tenants in the order in which they were committed, after a cursor.
///
/// Without `after` it starts at the oldest change that is kept, with `after=now` at the next one.
/// Send `next` as `after` to read on; nothing is ever skipped. `wait=SECONDS`, at most 60, lets an
/// empty page wait so long for a change. With `Accept: text/event-stream` the answer goes on for
/// ever, as server-sent events: `change` is a line, `problem` the reason why it ends, such as that the
/// token is no good any more; `Last-Event-ID`
/// goes before `after`. What was sent since the last `id` may be sent again: its `tenant` and
/// `revision` tell. 410 `cursor_expired` means that the feed no longer reaches back so far: list the
/// tenants, then follow anew.
pub(super) async fn changes(
    State(api): State<ApiState>,
    mut call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let given = call.params.text("after")?;
    let limit = call.params.page_size()?;
    let streams = wants_events(&call.headers);
    let last = if streams {
        headers::last_event_id(&call.headers)?
    } else {
        None
    };
    let wait = if streams { None } else { wait(&mut call)? };
    std::mem::take(&mut call.params).finish()?;
    let store = api.engine().store();
    let after = match last.or(given).as_deref() {
        None => None,
        Some("now") => Some(api.read(deadline, store.changes_end()).await?),
        Some(text) => Some(cursor(text)?),
    };
    let page = api
        .read(deadline, store.changes(after.as_ref(), limit))
        .await?;
    let mut tail = Tail {
        pass: Pass::new(&api, &call.principal),
        api: api.clone(),
        limit,
    };
    if streams {
        let place = Place::take(&api, &call.principal)?;
        let signed = move |problem| call.signed(problem);
        return Ok(stream::answer(&api, place, stream::EVENTS, |output| {
            tail.write(page, output, signed)
        }));
    }
    let page = match wait {
        Some(wait) if page.lines.is_empty() => {
            let _place = Place::take(&api, &call.principal)?;
            tail.next(page.next, Instant::now() + wait).await?
        }
        _ => page,
    };
    Ok(json_answer(&ChangesPage {
        items: page.lines,
        next: page.next.to_string(),
    }))
}

fn wait(call: &mut Call) -> Result<Option<Duration>, Problem> {
    match call.params.number("wait")? {
        None | Some(0) => Ok(None),
        Some(seconds @ 1..=WAIT_MAX) => Ok(Some(Duration::from_secs(seconds))),
        Some(_) => Err(Problem::invalid(
            "wait",
            format!("must be 0 to {WAIT_MAX} seconds; ask again to wait longer"),
        )),
    }
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter();
    let mut words = accepts.filter_map(|value| value.to_str().ok());
    words.any(|words| words.to_ascii_lowercase().contains(stream::EVENTS))
}

/// Whoever has read all that there is, and waits for more.
struct Tail {
    pass: Pass,
    api: ApiState,
    limit: PageSize,
}

impl Tail {
    /// The next page that has lines, or an empty one when the time is over or the server stops.
    async fn next(&mut self, mut after: Cursor, until: Instant) -> Result<Changes, Problem> {
        let mut pulse = Pulse::listen(&self.api);
        loop {
            self.pass.check().await?;
            let deadline = Instant::now() + self.api.options().limits.request;
            let store = self.api.engine().store();
            let read = store.changes(Some(&after), self.limit);
            let page = self.api.read(deadline, read).await?;
            let over = Instant::now() >= until || self.api.is_stopping();
            if over || !page.lines.is_empty() {
                return Ok(page);
            }
            after = page.next;
            loop {
                tokio::select! {
                    _ = pulse.changed() => break,
                    () = sleep_until(until) => break,
                    () = self.api.stopped() => break,
                    () = self.pass.due() => self.pass.check().await?,
                }
            }
        }
    }

    async fn write(
        mut self,
        mut page: Changes,
        mut output: Output,
        signed: impl FnOnce(Problem) -> Problem + Send,
    ) {
        loop {
            if !output.send(events(&page)).await || self.api.is_stopping() {
                return;
            }
            let heartbeat = Instant::now() + HEARTBEAT;
            match self.next(page.next, heartbeat).await {
                Ok(next) => page = next,
                Err(problem) => {
                    let told = format!("event: problem\ndata: {}\n\n", text(&signed(problem)));
                    output.send(told).await;
                    return;
                }
            }
        }
    }
}

/// An event for each line, and with the last one where to go on.
fn events(page: &Changes) -> String {
    let mut events = String::new();
    let last = page.lines.len().saturating_sub(1);
    for (place, line) in page.lines.iter().enumerate() {
        if place == last {
            let _ = writeln!(events, "id: {}", page.next);
        }
        let _ = write!(events, "event: change\ndata: {}\n\n", text(line));
    }
    if page.lines.is_empty() {
        // No event, but the client notes the id.
        let _ = write!(events, ": nothing new\nid: {}\n\n", page.next);
    }
    events
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A cursor, which must be as it was given.
pub(super) fn cursor(text: &str) -> Result<Cursor, Problem> {
    text.parse()
        .map_err(|_: tenure::Invalid| tenure::StoreError::CursorInvalid.into())
}
