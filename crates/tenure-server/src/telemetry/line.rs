//! One line of the log as one JSON object: what is said, with what it is said about.
//!
//! The fields of the event and of all spans around it stand side by side, so that a line about a
//! request has its `request_id`, wherever in the server it was written. Nearer ones win.

use std::fmt;

use serde_json::{Map, Value};
use tenure::{Clock as _, SystemClock};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope, SpanRef};

/// Writes lines.
#[derive(Debug)]
pub(super) struct Lines;

impl<S> FormatEvent<S, JsonFields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut all = Map::new();
        let mut put = |name: &str, value: String| all.insert(name.to_owned(), value.into());
        put("time", SystemClock.now().to_string());
        put("level", event.metadata().level().as_str().to_lowercase());
        put("target", event.metadata().target().to_owned());
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(Value::Object(fields)) = fields_of(&span) {
                // Those that only a collector cares for.
                let fields = fields.into_iter();
                all.extend(fields.filter(|(name, _)| !name.starts_with("otel.")));
            }
        }
        event.record(&mut Fields(&mut all));
        writeln!(writer, "{}", Value::Object(all))
    }
}

/// What was noted of a span.
fn fields_of<S>(span: &SpanRef<'_, S>) -> Option<Value>
where
    S: for<'a> LookupSpan<'a>,
{
    let extensions = span.extensions();
    let fields = extensions.get::<FormattedFields<JsonFields>>()?;
    let fields = serde_json::from_str(fields.fields.as_str()).ok();
    drop(extensions);
    fields
}

/// Fields as JSON values.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}
