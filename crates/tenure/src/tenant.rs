//! A tenant: what it should be, what it is, and where it stands.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Actor, Annotations, ClassName, Conditions, Document, Generation, Hash, Invalid, Labels,
    Message, Pointer, Reason, Revision, State, Step, TenantId, TenantName, Timestamp,
};

/// The record of one tenant at one revision: exactly what folding its history gives.
///
/// What is counted rather than recorded (attempts, due times, when it was last looked at) stands
/// beside it in [`WorkFacts`](crate::WorkFacts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id, for ever.
    pub id: TenantId,
    /// Its name, unique among the living.
    pub name: TenantName,
    /// Names the provisioner and the defaults that it uses; fixed at creation.
    pub class: ClassName,
    /// What lists select by.
    pub labels: Labels,
    /// What people and programs noted.
    pub annotations: Annotations,
    /// What was asked for.
    pub desired: Document,
    /// Whether it should run; `false` asks for suspension.
    pub running: bool,
    /// Counts the changes of what is wanted: `desired`, `running`, and the wish to delete.
    pub generation: Generation,
    /// What was last seen, if anything was.
    pub observed: Option<Document>,
    /// The generation that was last reached; 0 before the first.
    pub observed_generation: Generation,
    /// What the provisioner made, by its own names, in its own order.
    pub resources: Vec<String>,
    /// Where it stands.
    pub state: State,
    /// Since when it stands there.
    pub state_since: Timestamp,
    /// Why it stands there, in a word.
    pub reason: Reason,
    /// Why it stands there, in a sentence.
    pub message: Message,
    /// What is the matter with it.
    pub conditions: Conditions,
    /// How far its last operation came, if the provisioner told of steps. They stay when it ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The paths whose drift does not count for a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// Counts all changes.
    pub revision: Revision,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was gone, if it is.
    pub deleted_at: Option<Timestamp>,
    /// The hash of its newest line of history, which every earlier line stands behind.
    pub hash: Hash,
}

impl Tenant {
    /// Whether it is still there, or still to be taken down.
    pub fn is_living(&self) -> bool {
        self.state != State::Deleted
    }

    /// Whether what was asked for last is reached and nothing is left to do.
    pub fn is_at_rest(&self) -> bool {
        self.state.is_resting()
            && (self.state == State::Deleted || self.observed_generation == self.generation)
    }

    /// Labels and annotations as one document, or `None` if there are neither.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if together they are larger than a document may be.
    pub fn metadata(&self) -> Result<Option<Document>, Invalid> {
        if self.labels.is_empty() && self.annotations.is_empty() {
            return Ok(None);
        }
        let value = json!({"annotations": self.annotations, "labels": self.labels});
        Document::from_value(&value).map(Some)
    }

    /// Conditions, resources, steps and waivers as one document, or `None` if there are none.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if together they are larger than a document may be.
    pub fn details(&self) -> Result<Option<Document>, Invalid> {
        let mut value = Map::new();
        let mut put = |key: &str, part: Value| value.insert(key.to_owned(), part);
        if !(self.conditions.is_empty() && self.resources.is_empty()) {
            put("conditions", json!(self.conditions));
            put("resources", json!(self.resources));
        }
        if !self.steps.is_empty() {
            put("steps", json!(self.steps));
        }
        if !self.waivers.is_empty() {
            put("waivers", json!(self.waivers));
        }
        if value.is_empty() {
            return Ok(None);
        }
        Document::from_value(&Value::Object(value)).map(Some)
    }
}

/// A path whose drift does not count for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The place in `desired`, with all below it.
    pub path: Pointer,
    /// Until when.
    pub until: Timestamp,
    /// Who waived it.
    pub by: Actor,
    /// Why, in their words.
    pub message: Message,
}

/// The inside of the document that [`Tenant::metadata`] writes, for stores to read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Annotations,
}

/// The inside of the document that [`Tenant::details`] writes, for stores to read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// Conditions.
    #[serde(default)]
    pub conditions: Conditions,
    /// Resources.
    #[serde(default)]
    pub resources: Vec<String>,
    /// Steps.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Waivers.
    #[serde(default)]
    pub waivers: Vec<Waiver>,
}

/// A tenant without its documents, as lists give it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: TenantName,
    /// Its class.
    pub class: ClassName,
    /// Whether it should run.
    pub running: bool,
    /// Counts the changes of what is wanted.
    pub generation: Generation,
    /// The generation that was last reached.
    pub observed_generation: Generation,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub state_since: Timestamp,
    /// Why, in a word.
    pub reason: Reason,
    /// Why, in a sentence.
    pub message: Message,
    /// The kinds of condition that are present, in their fixed order.
    pub conditions: Vec<crate::ConditionKind>,
    /// Counts all changes.
    pub revision: Revision,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was gone, if it is.
    pub deleted_at: Option<Timestamp>,
}

impl From<&Tenant> for Summary {
    fn from(tenant: &Tenant) -> Self {
        Self {
            id: tenant.id,
            name: tenant.name.clone(),
            class: tenant.class.clone(),
            running: tenant.running,
            generation: tenant.generation,
            observed_generation: tenant.observed_generation,
            state: tenant.state,
            state_since: tenant.state_since,
            reason: tenant.reason.clone(),
            message: tenant.message.clone(),
            conditions: tenant.conditions.kinds(),
            revision: tenant.revision,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
            deleted_at: tenant.deleted_at,
        }
    }
}
