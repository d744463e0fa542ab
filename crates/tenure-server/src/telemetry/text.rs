//! Prometheus's text format, for what is not counted but looked up when it is asked for.

use std::fmt::Write as _;

use super::table::metric;

/// An answer that grows.
#[derive(Debug)]
pub(super) struct Text {
    all: String,
    last: &'static str,
}

impl Text {
    /// Goes on after what the recorder has.
    pub(super) const fn new(all: String) -> Self {
        Self { all, last: "" }
    }

    /// One gauge of the table, with the values of its labels in their order. All of one name must
    /// come one after the other. One that the table does not have is left out.
    pub(super) fn gauge(&mut self, name: &'static str, values: &[&str], value: f64) {
        let Some(metric) = metric(name) else { return };
        // Writing to a string can't fail.
        if self.last != name {
            let help = metric.help.replace('\\', "\\\\");
            let _written = write!(self.all, "# HELP {name} {help}\n# TYPE {name} gauge\n");
            self.last = name;
        }
        let mut labels = String::new();
        for (label, value) in metric.labels.iter().zip(values) {
            let comma = if labels.is_empty() { "" } else { "," };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _written = write!(labels, "{comma}{label}=\"{value}\"");
        }
        let _written = if labels.is_empty() {
            writeln!(self.all, "{name} {value}")
        } else {
            writeln!(self.all, "{name}{{{labels}}} {value}")
        };
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_in_the_format() {
        let mut text = Text::new("a 1\n".to_owned());
        text.gauge("tenure_build_info", &["1\"\n\\"], 1.0);
        text.gauge("tenure_work_due", &["shared", "check"], 2.0);
        text.gauge("tenure_work_due", &["shared", "change"], 0.5);
        text.gauge("unheard_of", &[], 1.0);
        let text = String::from(text);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("# HELP"))
            .collect();
        assert_eq!(
            lines,
            [
                "a 1",
                "# TYPE tenure_build_info gauge",
                r#"tenure_build_info{version="1\"\n\\"} 1"#,
                "# TYPE tenure_work_due gauge",
                r#"tenure_work_due{class="shared",kind="check"} 2"#,
                r#"tenure_work_due{class="shared",kind="change"} 0.5"#,
            ]
        );
    }
}
