//! One class's JSON Schema, compiled once, and what it finds worded without any value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonschema::draft202012;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use tenure::Pointer;

use super::secret_named;

/// The only dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Most places that are named.
const FOUND_MAX: usize = 10;

/// Most characters of a place, or of a rule: keys and patterns may be long.
const SHOWN_MAX: usize = 120;

/// A JSON Schema 2020-12 that `desired` must satisfy. Cloning it is cheap.
#[derive(Clone)]
pub struct Schema {
    path: PathBuf,
    validator: Arc<Validator>,
}

/// Why a file is no schema, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("names {path}, which can't be used: {why}")]
pub struct SchemaError {
    path: PathBuf,
    why: String,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Schema {
    /// Reads a file and compiles it. Nothing else is read, from disk or from anywhere.
    ///
    /// # Errors
    ///
    /// The file can't be read, is no JSON Schema 2020-12, or refers to what is not in it.
    pub fn read(path: &Path) -> Result<Self, SchemaError> {
        let failed = |why: String| SchemaError {
            path: path.to_owned(),
            why,
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let schema: Value = serde_json::from_str(&text)
            .map_err(|error| failed(format!("it must be JSON: {error}")))?;
        let validator = compile(&schema).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            validator: Arc::new(validator),
        })
    }

    /// What does not satisfy it: each place with the rule that it breaks, sorted by place; the first
    /// ten, and how many more there are.
    pub fn check(&self, desired: &Value) -> Vec<String> {
        // A schema may ask for the reference itself, so that nobody writes the secret there.
        if self.validator.is_valid(desired) {
            return Vec::new();
        }
        let mut secrets = BTreeSet::new();
        let mut known = desired.clone();
        stand_in(&mut known, &Pointer::root(), &mut secrets);
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for error in self.validator.iter_errors(&known) {
            if !is_excused(&error, &secrets) {
                for (place, rule) in worded(&error) {
                    found.entry(place).or_default().insert(rule);
                }
            }
        }
        let mut lines: Vec<String> = found
            .iter()
            .flat_map(|(place, rules)| rules.iter().map(move |rule| line(place, rule)))
            .collect();
        if lines.len() > FOUND_MAX {
            let more = lines.len() - FOUND_MAX;
            lines.truncate(FOUND_MAX);
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

fn compile(schema: &Value) -> Result<Validator, String> {
    let Some(object) = schema.as_object() else {
        return Err("it must be a JSON object".to_owned());
    };
    match object.get("$schema").map(Value::as_str) {
        None => {}
        Some(Some(dialect)) if dialect.trim_end_matches('#') == DIALECT => {}
        Some(_) => return Err(format!("its $schema must be {DIALECT}, or absent")),
    }
    if let Err(error) = draft202012::meta::validate(schema) {
        let place = error.instance_path().as_str();
        return Err(format!(
            "it is no JSON Schema 2020-12: {place} breaks the rule {}: {}",
            error.kind().keyword(),
            shown(&error.to_string())
        ));
    }
    draft202012::options()
        .offline()
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| match error.kind() {
            Kind::Referencing(cause) => format!(
                "{}; a $ref must lead to a place in the same file: copy what it names under $defs",
                shown(&cause.to_string())
            ),
            _ => format!(
                "it is no JSON Schema 2020-12: {}",
                shown(&error.to_string())
            ),
        })
}

/// Puts in the place of each secret its reference, which is a string as the secret is one.
fn stand_in(value: &mut Value, at: &Pointer, secrets: &mut BTreeSet<String>) {
    if let Some(reference) = secret_named(value) {
        *value = reference.into();
        secrets.insert(at.as_str().to_owned());
        return;
    }
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                stand_in(value, &at.child(key), secrets);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                stand_in(value, &at.child(&index.to_string()), secrets);
            }
        }
        _ => {}
    }
}

/// Whether it is about what a secret holds, which is not known here.
fn is_excused(error: &ValidationError<'_>, secrets: &BTreeSet<String>) -> bool {
    match error.kind() {
        // One way to satisfy it may be open to the secret.
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => context
            .iter()
            .any(|errors| errors.iter().all(|error| is_excused(error, secrets))),
        Kind::Pattern { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::Format { .. }
        | Kind::MinLength { .. }
        | Kind::MaxLength { .. }
        | Kind::Enum { .. }
        | Kind::Constant { .. }
        | Kind::ContentEncoding { .. }
        | Kind::ContentMediaType { .. }
        | Kind::FromUtf8 { .. }
        | Kind::Not { .. }
        | Kind::OneOfMultipleValid { .. } => secrets.contains(error.instance_path().as_str()),
        // Such as its type: a secret is a string.
        _ => false,
    }
}

/// Each place that an error is about, with the rule.
fn worded(error: &ValidationError<'_>) -> Vec<(String, String)> {
    let at = error.instance_path().as_str();
    let child = |key: &str| format!("{at}{}", Pointer::root().child(key));
    let each = |keys: &[String], rule: &str| {
        let line = |key: &String| (child(key), rule.to_owned());
        keys.iter().map(line).collect()
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            each(unexpected, "is not a property of this class")
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![(child(name), "is missing".to_owned())]
        }
        Kind::PropertyNames { error } => {
            let rule = format!("has a key that {}", rule_of(error.kind()));
            vec![(at.to_owned(), rule)]
        }
        kind => vec![(at.to_owned(), rule_of(kind))],
    }
}

/// The rule, in the words of the schema and never of the value.
fn rule_of(kind: &Kind) -> String {
    match kind {
        Kind::Type { kind } => format!("must be of type {}", types(kind)),
        Kind::Enum { options } => format!("must be one of {}", shown(&options.to_string())),
        Kind::Constant { expected_value } => {
            format!("must be {}", shown(&expected_value.to_string()))
        }
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::Pattern { pattern } => format!("must match the pattern {}", shown(pattern)),
        Kind::Format { format } => format!("must be of the format {}", shown(format)),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::AdditionalItems { limit } => format!("must have no more than {limit} items"),
        Kind::MinProperties { limit } => format!("must have at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} properties"),
        Kind::UniqueItems => "must not have two items that are equal".to_owned(),
        Kind::FalseSchema => "is not allowed here".to_owned(),
        Kind::AnyOf { .. } => "satisfies none of anyOf".to_owned(),
        Kind::OneOfNotValid { .. } => "satisfies none of oneOf".to_owned(),
        Kind::OneOfMultipleValid { .. } => "satisfies more than one of oneOf".to_owned(),
        other => format!("breaks the rule {}", other.keyword()),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(several) => {
            let several: Vec<String> = several.iter().map(|one| one.to_string()).collect();
            several.join(" or ")
        }
    }
}

fn line(place: &str, rule: &str) -> String {
    match place {
        "" => format!("the whole {rule}"),
        place => format!("{} {rule}", shown(place)),
    }
}

/// A text, cut short.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
