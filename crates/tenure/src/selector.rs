//! Label selectors, in the grammar of Kubernetes.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::labels::{is_key, is_value};
use crate::{Invalid, Labels};

/// What must hold of one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// The label is there, with one of these values.
    In(String, BTreeSet<String>),
    /// The label is absent, or has none of these values.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    Absent(String),
}

/// Requirements on labels, all of which must hold. The empty selector matches everything.
///
/// Grammar: `key=value`, `key==value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key`,
/// `!key`, joined by commas. As in Kubernetes, `!=` and `notin` also match where the key is absent.
///
/// ```
/// use tenure::{Labels, Selector};
/// let selector: Selector = "tier in (gold, silver), !legacy".parse()?;
/// let labels = Labels::parse([("tier".into(), "gold".into())].into())?;
/// assert!(selector.matches(&labels));
/// # Ok::<(), tenure::Invalid>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

impl Selector {
    /// The requirements, in the order given.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// Whether it asks for nothing, and so matches everything.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What meets both: the requirements of this selector, then those of the other that it lacks.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if they are more than 16 together.
    pub fn and(&self, other: &Self) -> Result<Self, Invalid> {
        let mut both = self.0.clone();
        both.extend(other.0.iter().filter(|r| !self.0.contains(r)).cloned());
        if both.len() > REQUIREMENTS_MAX {
            let rule = format!(
                "must have at most {REQUIREMENTS_MAX} requirements together with those that always \
                 count here, which are {}",
                other.0.len()
            );
            return Err(Invalid::new("selector", rule));
        }
        Ok(Self(both))
    }

    /// Whether labels meet all requirements.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Requirement::Exists(key) => labels.get(key).is_some(),
            Requirement::Absent(key) => labels.get(key).is_none(),
        })
    }
}

/// Most requirements that a selector can have; each costs a probe for every row that is looked at.
const REQUIREMENTS_MAX: usize = 16;

impl FromStr for Selector {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let requirements = split(text)
            .into_iter()
            .map(requirement)
            .collect::<Result<Vec<_>, _>>()?;
        if requirements.len() > REQUIREMENTS_MAX {
            let rule = format!("must have at most {REQUIREMENTS_MAX} requirements");
            return Err(Invalid::new("selector", rule));
        }
        Ok(Self(requirements))
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn bad(part: &str) -> Invalid {
    Invalid::new(
        "selector",
        format!(
            "must consist of key=value, key!=value, key in (a,b), key notin (a,b), key or !key, \
             joined by commas; {:?} is none of them",
            part.trim()
        ),
    )
}

fn requirement(part: &str) -> Result<Requirement, Invalid> {
    let text = part.trim();
    let key = |key: &str| {
        let key = key.trim();
        if is_key(key) {
            Ok(key.to_owned())
        } else {
            Err(bad(part))
        }
    };
    let value = |value: &str| {
        let value = value.trim();
        if is_value(value) {
            Ok(value.to_owned())
        } else {
            Err(bad(part))
        }
    };
    if let Some(name) = text.strip_prefix('!') {
        return Ok(Requirement::Absent(key(name)?));
    }
    if let Some((name, only)) = text.split_once("!=") {
        return Ok(Requirement::NotIn(key(name)?, [value(only)?].into()));
    }
    if let Some((name, only)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Requirement::In(key(name)?, [value(only)?].into()));
    }
    let Some((head, list)) = text.split_once('(') else {
        return Ok(Requirement::Exists(key(text)?));
    };
    let list = list.strip_suffix(')').ok_or_else(|| bad(part))?;
    let values = list
        .split(',')
        .map(value)
        .collect::<Result<BTreeSet<_>, _>>()?;
    match head.split_whitespace().collect::<Vec<_>>().as_slice() {
        [name, "in"] => Ok(Requirement::In(key(name)?, values)),
        [name, "notin"] => Ok(Requirement::NotIn(key(name)?, values)),
        _ => Err(bad(part)),
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, requirement) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            let list = |values: &BTreeSet<String>| {
                values
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(",")
            };
            match requirement {
                Requirement::In(key, values) => write!(f, "{key} in ({})", list(values))?,
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", list(values))?,
                Requirement::Exists(key) => write!(f, "{key}")?,
                Requirement::Absent(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for (text, canonical) in [
            ("a=b", "a in (b)"),
            ("a == b", "a in (b)"),
            ("a=", "a in ()"),
            ("a!=b", "a notin (b)"),
            ("x.io/a in (c, b)", "x.io/a in (b,c)"),
            ("a notin (b)", "a notin (b)"),
            ("a , !b", "a,!b"),
            ("", ""),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.to_string(), canonical);
            assert_eq!(canonical.parse::<Selector>().unwrap(), selector);
        }
    }

    #[test]
    fn two_selectors_are_one_that_asks_for_both() {
        let selector = |text: &str| text.parse::<Selector>().unwrap();
        let both = selector("a=b,!c").and(&selector("d,a=b")).unwrap();
        assert_eq!(both.to_string(), "a in (b),!c,d");
        let many = |from: usize| {
            let keys: Vec<String> = (from..from + 16).map(|n| format!("k{n}")).collect();
            selector(&keys.join(","))
        };
        assert_eq!(many(0).and(&many(0)).unwrap(), many(0));
        let error = many(0).and(&selector("k16,k1")).unwrap_err().to_string();
        assert!(error.contains("which are 2"), "{error}");
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for bad in [
            "a=b=c",
            "a in b",
            "a in (b",
            "a like (b)",
            "=b",
            "a,,b",
            "a b",
            "!",
            "a=(b)",
        ] {
            let error = bad.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains("is none of them"), "{bad}: {error}");
        }
    }
}
