//! Which role may use which route: one table. A route without a row is used by nobody.

use std::fmt::Write as _;

use axum::http::Method;
use tenure::Role;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Permission {
    /// Nothing: it tells nothing of any tenant.
    Open,
    /// To be known.
    Known,
    /// To read tenants, those of the scope.
    Read,
    /// To read what is of the whole fleet.
    ReadFleet,
    /// To change tenants, those of the scope.
    Write,
    /// To do the work of classes.
    Work,
    /// To see who has tokens.
    ReadTokens,
    /// To make and end tokens.
    ManageTokens,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Known,
        Self::Read,
        Self::ReadFleet,
        Self::Write,
        Self::Work,
        Self::ReadTokens,
        Self::ManageTokens,
    ];

    /// The roles that have it.
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::Open | Self::Known => &Role::ALL,
            Self::Read | Self::ReadFleet => {
                &[Role::Viewer, Role::Operator, Role::Admin, Role::Auditor]
            }
            Self::Write => &[Role::Operator, Role::Admin],
            Self::Work => &[Role::Provisioner],
            Self::ReadTokens => &[Role::Admin, Role::Auditor],
            Self::ManageTokens => &[Role::Admin],
        }
    }

    /// Whether only those have it who see all tenants.
    pub const fn is_of_the_fleet(self) -> bool {
        matches!(
            self,
            Self::ReadFleet | Self::ReadTokens | Self::ManageTokens
        )
    }

    /// What it is for, in refusals and in the reference.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "ask what tells nothing of any tenant",
            Self::Known => "ask who one is",
            Self::Read => "read tenants",
            Self::ReadFleet => "read what is of the whole fleet",
            Self::Write => "change tenants",
            Self::Work => "claim and report work",
            Self::ReadTokens => "read the list of tokens",
            Self::ManageTokens => "make and end tokens",
        }
    }
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row of a table")]
pub struct Rule {
    /// Its method. `GET` is `HEAD` too.
    pub method: &'static str,
    /// Its path, as the router has it.
    pub path: &'static str,
    /// What it asks for.
    pub permission: Permission,
}

const fn row(method: &'static str, path: &'static str, permission: Permission) -> Rule {
    Rule {
        method,
        path,
        permission,
    }
}

/// The rule of every route.
pub const RULES: &[Rule] = &[
    row("GET", "/livez", Permission::Open),
    row("GET", "/readyz", Permission::Open),
    row("GET", "/metrics", Permission::ReadFleet),
    row("GET", "/problems/{code}", Permission::Open),
    row("GET", "/openapi.json", Permission::Open),
    row("GET", "/docs", Permission::Open),
    row("GET", "/v1/whoami", Permission::Known),
    row("GET", "/v1/tenants", Permission::Read),
    row("GET", "/v1/tenants/{tenant}", Permission::Read),
    row("GET", "/v1/tenants/{tenant}/history", Permission::Read),
    row("GET", "/v1/tenants/{tenant}/explain", Permission::Read),
    row("GET", "/v1/counts", Permission::Read),
    row("GET", "/v1/drift", Permission::Read),
    row("GET", "/v1/changes", Permission::ReadFleet),
    row("GET", "/v1/export", Permission::Read),
    row("POST", "/v1/import", Permission::Write),
    row("POST", "/v1/tenants", Permission::Write),
    row("PUT", "/v1/tenants/{tenant}", Permission::Write),
    row("PATCH", "/v1/tenants/{tenant}", Permission::Write),
    row("DELETE", "/v1/tenants/{tenant}", Permission::Write),
    row("POST", "/v1/tenants/{tenant}/suspend", Permission::Write),
    row("POST", "/v1/tenants/{tenant}/resume", Permission::Write),
    row("POST", "/v1/tenants/{tenant}/retry", Permission::Write),
    row("POST", "/v1/tenants/{tenant}/hold", Permission::Write),
    row("POST", "/v1/tenants/{tenant}/release", Permission::Write),
    row("POST", "/v1/tenants/{tenant}/accept", Permission::Write),
    row("POST", "/v1/tenants/{tenant}/waive", Permission::Write),
    row("POST", "/v1/work/claim", Permission::Work),
    row("POST", "/v1/work/renew", Permission::Work),
    row("POST", "/v1/work/report", Permission::Work),
    row("GET", "/v1/tokens", Permission::ReadTokens),
    row("GET", "/v1/tokens/{name}", Permission::ReadTokens),
    row("POST", "/v1/tokens", Permission::ManageTokens),
    row("POST", "/v1/tokens/{name}/rotate", Permission::ManageTokens),
    row("POST", "/v1/tokens/{name}/revoke", Permission::ManageTokens),
];

/// The rule of a route, if it has one.
pub(crate) fn rule(method: &Method, path: &str) -> Option<Permission> {
    let method = if method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    let found = RULES
        .iter()
        .find(|rule| rule.method == method && rule.path == path);
    found.map(|rule| rule.permission)
}

/// The table of the reference, in Markdown.
pub fn reference() -> String {
    let mut text = String::from("| to |");
    for role in Role::ALL {
        // Writing to a string can't fail.
        let _written = write!(text, " {role} |");
    }
    text.push_str(" with a scope | routes |\n|---|");
    text.push_str(&"---|".repeat(Role::ALL.len() + 2));
    for permission in Permission::ALL {
        let _written = write!(text, "\n| {} |", permission.as_str());
        for role in Role::ALL {
            let mark = if permission.roles().contains(&role) {
                "yes"
            } else {
                ""
            };
            let _written = write!(text, " {mark} |");
        }
        let scoped = match permission {
            Permission::Read | Permission::Write => "its tenants",
            permission if permission.is_of_the_fleet() => "no",
            Permission::Work => "has none",
            _ => "yes",
        };
        let routes: Vec<String> = RULES
            .iter()
            .filter(|rule| rule.permission == permission)
            .map(|rule| format!("`{} {}`", rule.method, rule.path))
            .collect();
        let _written = write!(text, " {scoped} | {} |", routes.join(", "));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_reference_has_the_table() {
        let page =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/authentication.md");
        let text = fs::read_to_string(&page).unwrap();
        let (before, rest) = text.split_once("| to | viewer |").unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        let made = format!("{before}{}\n{after}", reference());
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&page, &made).unwrap();
        } else {
            assert!(
                text == made,
                "UPDATE_SNAPSHOTS=1 writes authentication.md anew"
            );
        }
    }

    #[test]
    fn every_route_has_one_rule() {
        for (n, rule) in RULES.iter().enumerate() {
            let others = RULES.iter().skip(n + 1);
            let twice = others
                .clone()
                .any(|o| (o.method, o.path) == (rule.method, rule.path));
            assert!(!twice, "{rule:?}");
        }
        assert_eq!(rule(&Method::HEAD, "/v1/tenants"), Some(Permission::Read));
        assert_eq!(rule(&Method::PUT, "/v1/tenants"), None);
    }
}
