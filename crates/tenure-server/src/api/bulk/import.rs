//! Imports tenants.

use std::collections::{BTreeMap, VecDeque};

use axum::extract::State;
use axum::http::header;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use tenure::{Answer, Command, Hash, IdempotencyKey, Request, TenantId, TenantName, TenantRef};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::access::Pass;
use super::super::body::{self, Lines};
use super::super::code::Code;
use super::super::headers;
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::super::stream::{self, Output};
use super::super::tenants::{check_class_of, effect_word, fingerprint};
use super::line::{ImportLine, ImportResult, ImportSummary};

/// How many lines are at work at once: enough to fill a commit of many.
const AT_ONCE: usize = 16;

/// Makes each tenant what its line says, and answers with a line for each.
///
/// Each line is as the body of `PUT /v1/tenants/NAME` with its `name`, and is carried out by itself:
/// one that is refused keeps none from being done. `if_revision` makes a line conditional on the
/// tenant's revision, or, as 0, on there being none of the name. What an export writes under `status`
/// is not written. The answer is 200 once the lines are read; each of its lines says what became of
/// one, with `problem` if it was refused, and the last, `{"summary": …}`, how many there were of each
/// kind. An answer without it broke off: send the same again. Its last line may say why, as
/// `{"problem": …}` without a number: the token is no good any more. With an `Idempotency-Key` what
/// was done is not done twice.
pub(in super::super) async fn import(
    State(api): State<ApiState>,
    mut call: Call,
    Lines { text, place }: Lines,
) -> Result<Response, Problem> {
    let dry_run = call.params.flag("dry_run")?;
    std::mem::take(&mut call.params).finish()?;
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        if call.headers.contains_key(&name) {
            let rule = "must be absent: a line says which revision it saw, as if_revision";
            return Err(Problem::invalid(format!("header {name}"), rule));
        }
    }
    let key = headers::idempotency_key(&call.headers)?;
    let import = Import {
        pass: Pass::new(&api, &call.principal),
        api: api.clone(),
        call,
        key,
        dry_run,
    };
    Ok(stream::answer(&api, place, stream::LINES, |output| {
        import.run(text, output)
    }))
}

struct Import {
    pass: Pass,
    api: ApiState,
    call: Call,
    key: Option<String>,
    dry_run: bool,
}

/// A line at work: its number, its name, and what becomes of it.
struct Begun {
    line: usize,
    name: Option<TenantName>,
    done: Done,
}

enum Done {
    Refused(Problem),
    Working(JoinHandle<Result<Answer, Problem>>),
}

impl Import {
    async fn run(mut self, text: Bytes, mut output: Output) {
        let mut ended = None;
        let mut names = BTreeMap::new();
        let mut summary = ImportSummary::default();
        let mut queue = VecDeque::new();
        let lines = text.split(|byte| *byte == b'\n').zip(1..);
        for (line, number) in lines.filter(|(line, _)| !line.trim_ascii().is_empty()) {
            if self.api.is_stopping() {
                return output.cut();
            }
            if let Err(problem) = self.pass.check().await {
                ended = Some(problem);
                break;
            }
            queue.push_back(self.begin(number, line, &mut names));
            if queue.len() >= AT_ONCE
                && let Some(first) = queue.pop_front()
                && !self.tell(first, &mut summary, &mut output).await
            {
                return;
            }
        }
        for begun in queue {
            if !self.tell(begun, &mut summary, &mut output).await {
                return;
            }
        }
        let last = match ended {
            None => json!({"summary": summary}),
            Some(problem) => json!({"problem": self.call.signed(problem)}),
        };
        output.send(format!("{last}\n")).await;
    }

    fn begin(&self, number: usize, line: &[u8], names: &mut BTreeMap<TenantName, usize>) -> Begun {
        let parsed: Result<ImportLine, Problem> = body::parse_line(line, number);
        let name = parsed.as_ref().ok().map(|line| line.name.clone());
        let request = parsed.and_then(|parsed| {
            let name = parsed.name.clone();
            if let Some(before) = names.get(&name) {
                let rule = format!("must stand once; it stands in line {before} already");
                return Err(Problem::invalid("name", rule));
            }
            let request = self.request(number, line, parsed)?;
            // A line that asks for nothing keeps no other from asking.
            names.insert(name, number);
            Ok(request)
        });
        let done = match request {
            Err(problem) => Done::Refused(problem),
            Ok(request) => {
                let api = self.api.clone();
                Done::Working(tokio::spawn(async move { carry_out(&api, request).await }))
            }
        };
        Begun {
            line: number,
            name,
            done,
        }
    }

    fn request(&self, number: usize, text: &[u8], line: ImportLine) -> Result<Request, Problem> {
        let if_revision = line.if_revision;
        if self.api.options().require_if_match && if_revision.is_none() {
            let detail = "this server takes no change of a tenant whose revision was not seen: give \
                          the line its if_revision, 0 for a tenant that is new";
            return Err(Problem::new(Code::PreconditionRequired, detail));
        }
        let (wanted, message) = line.wanted(TenantId::new(self.api.options().ids.fresh()))?;
        let context = self.call.context(&self.api, message);
        let key = match &self.key {
            None => None,
            Some(key) => Some(IdempotencyKey::new(
                context.actor.as_str(),
                key_of_line(key, number),
                fingerprint(&self.call, text)?,
                self.api.options().limits.key_ttl,
            )?),
        };
        Ok(Request {
            who: TenantRef::Name(wanted.name.clone()),
            command: Command::Apply(wanted),
            context,
            if_revision,
            if_id: None,
            scope: self.call.principal.scope.clone(),
            key,
            dry_run: self.dry_run,
        })
    }

    /// Waits for a line and tells what became of it; `false` if nobody listens.
    async fn tell(&self, begun: Begun, summary: &mut ImportSummary, output: &mut Output) -> bool {
        let Begun { line, name, done } = begun;
        let done = match done {
            Done::Refused(problem) => Err(problem),
            Done::Working(task) => task.await.unwrap_or_else(|crash| {
                let detail = "the server failed; get the tenant to see what was written";
                Err(Problem::new(Code::Internal, detail).caused_by(crash.to_string()))
            }),
        };
        let mut result = ImportResult {
            line,
            name,
            id: None,
            effect: None,
            revision: None,
            problem: None,
        };
        match done {
            Ok(answer) => {
                result.id = Some(answer.tenant.id);
                result.effect = Some(effect_word(&answer));
                result.revision = Some(answer.tenant.revision);
            }
            Err(problem) => result.problem = Some(self.call.signed(problem)),
        }
        summary.note(&result);
        let text = serde_json::to_string(&result).unwrap_or_default();
        output.send(format!("{text}\n")).await
    }
}

/// The key of one line: of a length of its own, and none that a request of another kind would have.
fn key_of_line(key: &str, number: usize) -> String {
    let hash = Hash::of(format!("import:{number}:{key}").as_bytes());
    format!("import:{hash}")
}

/// Does what a line asks for; an import waits for its turn where a request would be turned away.
async fn carry_out(api: &ApiState, request: Request) -> Result<Answer, Problem> {
    let deadline = Instant::now() + api.options().limits.request;
    if let Command::Apply(wanted) = &request.command {
        check_class_of(api, deadline, &wanted.name, wanted.class.as_ref()).await?;
    }
    let engine = api.engine().clone();
    api.write_in_turn(deadline, async move { engine.execute(&request).await })
        .await
}
