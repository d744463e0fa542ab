//! Query parameters: each is asked for by name, and what nobody asked for is refused by name.

use std::str::FromStr;

use tenure::{Direction, Invalid, PageSize};

use super::problem::Problem;

/// The query parameters of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    left: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Params {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let left = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        Self {
            left,
            known: Vec::new(),
        }
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (taken, left) = std::mem::take(&mut self.left)
            .into_iter()
            .partition(|(key, _)| key == name);
        self.left = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// All values of a parameter that may be repeated, or be a list with commas.
    pub(crate) fn list<T: FromStr<Err = Invalid>>(
        &mut self,
        name: &'static str,
    ) -> Result<Vec<T>, Problem> {
        let values = self.all(name);
        let words = values.iter().flat_map(|value| value.split(','));
        words.map(|word| read(name, word.trim())).collect()
    }

    /// The value of a parameter that may stand once.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(Problem::invalid(name, "must stand once"));
        }
        Ok(values.pop())
    }

    /// The same, parsed.
    pub(crate) fn one<T: FromStr<Err = Invalid>>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, Problem> {
        self.text(name)?.map(|text| read(name, &text)).transpose()
    }

    /// Whether a parameter is `true`; `false` if it is not there.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        match self.text(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::invalid(name, "must be true or false")),
        }
    }

    /// A whole number that JSON and every store can hold.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        // A sign would be one too many spellings.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && number < 1 << 53 => Ok(Some(number)),
            _ => Err(Problem::invalid(name, "must be a whole number below 2^53")),
        }
    }

    /// `page_size`, or the default.
    pub(crate) fn page_size(&mut self) -> Result<PageSize, Problem> {
        match self.number("page_size")? {
            None => Ok(PageSize::default()),
            Some(size) => Ok(PageSize::new(size)?),
        }
    }

    /// `order`: `asc` or `desc`, or the default.
    pub(crate) fn order(&mut self, default: Direction) -> Result<Direction, Problem> {
        match self.text("order")?.as_deref() {
            None => Ok(default),
            Some("asc") => Ok(Direction::Ascending),
            Some("desc") => Ok(Direction::Descending),
            Some(_) => Err(Problem::invalid("order", "must be asc or desc")),
        }
    }

    /// Refuses what nobody asked for: a misspelt filter must not select everything.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        let Some((name, _)) = self.left.first() else {
            return Ok(());
        };
        self.known.sort_unstable();
        let known = match self.known.as_slice() {
            [] => "none".to_owned(),
            known => known.join(", "),
        };
        Err(Problem::invalid(
            format!("query parameter {name:?}"),
            format!("is unknown here; known are: {known}"),
        ))
    }
}

/// Parses a value, and names the parameter if it breaks a rule.
fn read<T: FromStr<Err = Invalid>>(name: &'static str, text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|invalid: Invalid| Problem::invalid(name, invalid.rule()))
}

#[cfg(test)]
mod tests {
    use tenure::State;

    use super::*;

    #[test]
    fn a_list_may_repeat_or_have_commas() {
        let mut params = Params::parse(Some("state=ready,updating&state=deleted"));
        let states: Vec<State> = params.list("state").unwrap();
        assert_eq!(states, [State::Ready, State::Updating, State::Deleted]);
        assert!(params.finish().is_ok());
    }

    #[test]
    fn what_nobody_asked_for_is_refused_by_name() {
        let mut params = Params::parse(Some("stat=ready"));
        assert!(params.list::<State>("state").unwrap().is_empty());
        let problem = params.finish().unwrap_err();
        let text = serde_json::to_string(&problem).unwrap();
        assert!(
            text.contains("stat") && text.contains("known are: state"),
            "{text}"
        );
    }

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        let number = |text| Params::parse(Some(text)).number("n");
        assert_eq!(number("n=9007199254740991").unwrap(), Some((1 << 53) - 1));
        for bad in [
            "n=%2B1",
            "n=-1",
            "n=",
            "n=1.0",
            "n=%201",
            "n=9007199254740992",
        ] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_stand_once_is_refused_twice() {
        let mut params = Params::parse(Some("dry_run=true&dry_run=false"));
        assert!(params.flag("dry_run").is_err());
    }
}
