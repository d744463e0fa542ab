//! Names and ids, parsed once: whoever holds a `TenantName` holds a good one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

use crate::Invalid;

/// A tenant's id: a `UUIDv7`, so ids sort in the order of creation. Shown as a `TypeID`, `tnt_…`.
///
/// Never reused, and still valid after the tenant is deleted.
///
/// ```
/// use tenure::TenantId;
/// let id: TenantId = "tnt_01h455vb4pex5vsknk084sn02q".parse()?;
/// assert_eq!(id.to_string(), "tnt_01h455vb4pex5vsknk084sn02q");
/// # Ok::<(), tenure::Invalid>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Uuid);

#[derive(Clone, Copy, Debug, Default)]
struct Tnt;

impl StaticType for Tnt {
    const TYPE: &'static str = "tnt";
}

impl TenantId {
    /// Takes a UUID.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TypeSafeId::<Tnt>::from_uuid(self.0).fmt(f)
    }
}

impl FromStr for TenantId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id: TypeSafeId<Tnt> = text
            .parse()
            .map_err(|_| Invalid::new("id", "must be tnt_ and 26 characters, as Tenure gave it"))?;
        Ok(Self(id.uuid()))
    }
}

impl TryFrom<String> for TenantId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.to_string()
    }
}

/// Whether `text` is a DNS label (RFC 1123): 1–63 of `a-z`, `0-9`, `-`, none of them `-` at an end.
fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
}

const DNS_LABEL: &str =
    "must be 1 to 63 characters of a-z, 0-9 and '-', starting and ending with a letter or digit";

/// Declares a text that is parsed once and keeps its rule from then on.
macro_rules! parsed_text {
    ($(#[$doc:meta])* $name:ident, $field:literal, $rule:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(Invalid::new($field, $rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

parsed_text! {
    /// A tenant's name: a DNS label, unique among the living, free again after deletion.
    ///
    /// ```
    /// use tenure::TenantName;
    /// assert!("acme".parse::<TenantName>().is_ok());
    /// assert!("Acme Inc".parse::<TenantName>().is_err());
    /// ```
    TenantName, "name", DNS_LABEL, is_dns_label
}

parsed_text! {
    /// A class: names the provisioner and the defaults its tenants use. A DNS label.
    ClassName, "class", DNS_LABEL, is_dns_label
}

impl Default for ClassName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

parsed_text! {
    /// Why something is so, in one `CamelCase` word that programs may compare; at most 64 bytes.
    Reason, "reason", "must be one CamelCase word of at most 64 ASCII letters and digits",
    |text| text.len() <= 64
        && text.bytes().next().is_some_and(|b| b.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl Reason {
    /// Takes a word that is known to be good. Used for the words in this library.
    pub(crate) fn of(word: &'static str) -> Self {
        debug_assert!(word.parse::<Self>().is_ok(), "{word} is no reason");
        Self(word.to_owned())
    }
}

parsed_text! {
    /// A sentence for people, beside a [`Reason`]: at most 2,000 bytes, no control characters but
    /// line feed and tab. May be empty.
    Message, "message", "must be at most 2,000 bytes without control characters",
    |text| text.len() <= 2_000 && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

impl Message {
    /// The empty message.
    pub const fn none() -> Self {
        Self(String::new())
    }

    /// Whether it says nothing.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes a message of any text: control characters become spaces, what is too long is cut.
    ///
    /// For text that comes from elsewhere, such as a program's error output, and must not be lost.
    pub fn lossy(text: &str) -> Self {
        let mut out = String::new();
        for c in text.trim().chars() {
            let c = if c.is_control() && c != '\n' && c != '\t' {
                ' '
            } else {
                c
            };
            if out.len() + c.len_utf8() > 2_000 {
                break;
            }
            out.push(c);
        }
        Self(out)
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::none()
    }
}

parsed_text! {
    /// Who did it: `user:…`, `token:…`, `worker:…` or `system:…`, at most 255 bytes.
    ///
    /// ```
    /// use tenure::Actor;
    /// assert!("user:maria".parse::<Actor>().is_ok());
    /// assert!("maria".parse::<Actor>().is_err());
    /// ```
    Actor, "actor",
    "must be user:, token:, worker: or system: and a name, at most 255 bytes, no control characters",
    |text| {
        let known = ["user:", "token:", "worker:", "system:"];
        text.len() <= 255
            && known.iter().any(|kind| text.strip_prefix(kind).is_some_and(|name| !name.is_empty()))
            && !text.chars().any(char::is_control)
    }
}

impl Actor {
    /// A person who did not say who they are.
    pub fn anonymous() -> Self {
        Self("user:anonymous".to_owned())
    }
}

/// Declares a number that counts from 0 or 1 and fits a 64-bit column.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Takes a number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// Counts every change of one tenant from 1, without a gap: the history's sequence and the `ETag`.
    Revision
}

counter! {
    /// Counts the changes of what is *wanted* of a tenant, from 1.
    Generation
}

counter! {
    /// Grows by one with each claim of a tenant's work and is never reused: a worker that shows an
    /// older one is stale.
    Fence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "0", "acme", "a-b", &"a".repeat(63)] {
            assert!(good.parse::<TenantName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "ä",
            "a b",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<TenantName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lossy_message_is_a_message() {
        let long = "é\u{0}\u{1b}[31m".repeat(2_000);
        assert!(Message::lossy(&long).as_str().parse::<Message>().is_ok());
    }
}
