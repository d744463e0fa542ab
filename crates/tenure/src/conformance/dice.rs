//! Random commands, reports and filters: the same for the same seed, on every store.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{
    Between, ClassName, Command, ConditionKind, Document, Filter, LEASES_MAX, Labels, Message,
    Operation, Outcome, Report, RetryPolicy, Room, Selector, State, Tenant, TenantId, Timestamp,
    Wake, Wanted,
};

/// A source of numbers that look random and follow from a seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, but without, this one.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.number() % bound).unwrap_or(0)
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(super) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.once_in(2).then(|| make(self))
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }

    fn pair(&mut self) -> (String, String) {
        let key = *self.pick(&["tier", "zone", "x.io/tier", "Tier"]);
        let value = *self.pick(&["", "gold", "Gold", "a_b", "a.b", "aXb"]);
        (key.to_owned(), value.to_owned())
    }

    pub(super) fn labels(&mut self) -> Labels {
        let pairs = (0..self.below(4)).map(|_| self.pair()).collect();
        Labels::parse(pairs).expect("these labels keep the rules")
    }

    pub(super) fn document(&mut self) -> Document {
        let plan = *self.pick(&["gold", "silver", "'; --", "50%", "{\"a\":[1]}"]);
        let value = serde_json::json!({"plan": plan, "seats": self.below(4)});
        Document::from_value(&value).expect("this is a document")
    }

    pub(super) fn wanted(&mut self, id: TenantId, name: &str) -> Wanted {
        Wanted {
            id,
            name: name.parse().expect("a good name"),
            class: self.maybe(Self::class),
            labels: self.maybe(Self::labels),
            annotations: None,
            desired: self.document(),
            running: self.maybe(|dice| !dice.once_in(3)),
        }
    }

    fn class(&mut self) -> ClassName {
        self.pick(&["default", "vip"])
            .parse()
            .expect("a good class")
    }

    /// Room for all that is due, of some of the classes, with what is routine or without.
    pub(super) fn rooms(&mut self, lease: Duration) -> Vec<Room> {
        let mut rooms = Vec::new();
        for class in ["default", "vip"] {
            if !self.once_in(4) {
                rooms.push(Room {
                    class: class.parse().expect("a good class"),
                    lease,
                    limit: LEASES_MAX,
                    routine: if self.once_in(3) { 0 } else { LEASES_MAX },
                });
            }
        }
        rooms
    }

    /// When work may be due next: at once, never, or later.
    pub(super) fn wake(&mut self, later: Duration) -> Wake {
        *self.pick(&[
            Wake::Now,
            Wake::Never,
            Wake::After(later),
            Wake::Check(Duration::ZERO),
            Wake::Check(later),
            Wake::Unchanged,
        ])
    }

    /// Something that someone may ask of a tenant; often what can't be or is so already.
    pub(super) fn command(&mut self, id: TenantId, name: &str) -> Command {
        match self.below(16) {
            0 => Command::Create(self.wanted(id, name)),
            1 | 2 => Command::Apply(Wanted {
                class: None,
                ..self.wanted(id, name)
            }),
            3..=5 => {
                let seats = self.below(4);
                Command::Patch([("seats".to_owned(), seats.into())].into_iter().collect())
            }
            6 | 7 => {
                let (key, value) = self.pair();
                let value = self.maybe(|_| value);
                Command::Annotate {
                    labels: [(key, value.clone())].into(),
                    annotations: [("note".to_owned(), value)].into(),
                }
            }
            8 | 9 => Command::Suspend,
            10 | 11 => Command::Resume,
            12 => Command::Delete,
            13 => Command::Retry,
            14 => Command::Hold,
            _ => Command::Release,
        }
    }

    /// What a worker may say of a tenant, mostly fitting and mostly good.
    pub(super) fn report(&mut self, tenant: &Tenant, attempt: u32) -> Report {
        let operation = match tenant.state {
            State::Deleting => Operation::Destroy,
            _ if self.once_in(6) => Operation::Observe,
            _ => Operation::Apply,
        };
        let said = *self.pick(&["", "as asked", "'; DROP TABLE tenants; --"]);
        let message = Message::lossy(said);
        let outcome = match self.below(8) {
            0 => Outcome::Progressed { message },
            1 => Outcome::Failed {
                reason: self
                    .pick(&["Timeout", "Quota"])
                    .parse()
                    .expect("a good reason"),
                message,
                permanent: self.once_in(4),
                retry_after: None,
                attempt,
            },
            _ if tenant.state == State::Requested => Outcome::Started,
            _ => Outcome::Succeeded {
                observed: self.maybe(Self::document),
                resources: self.maybe(|dice| vec![format!("db-{}", dice.below(3))]),
                message,
            },
        };
        Report {
            operation,
            generation: tenant.generation,
            running: tenant.running,
            outcome,
            steps: Vec::new(),
            policy: crate::Policy {
                retry: RetryPolicy {
                    base: Duration::ZERO,
                    ..RetryPolicy::default()
                },
                ..crate::Policy::default()
            },
            correction: crate::Correction::None,
        }
    }

    /// What someone may list, of tenants like these.
    pub(super) fn filter(&mut self, tenants: &[Tenant]) -> Filter {
        let mut filter = Filter {
            include_deleted: self.once_in(2),
            ..Filter::default()
        };
        if self.once_in(3) {
            let many = 1 + self.below(3);
            filter.states = (0..many).map(|_| *self.pick(&State::ALL)).collect();
        }
        if self.once_in(4) {
            filter.class = Some(self.class());
        }
        if self.once_in(2) {
            filter.selector = self.selector();
        }
        if self.once_in(4) {
            let kinds = [
                ConditionKind::Failing,
                ConditionKind::Held,
                ConditionKind::Drifted,
            ];
            let many = 1 + self.below(2);
            filter.conditions = (0..many).map(|_| *self.pick(&kinds)).collect();
        }
        filter.created = self.between(tenants, |tenant| Some(tenant.created_at));
        filter.updated = self.between(tenants, |tenant| Some(tenant.updated_at));
        filter.state_since = self.between(tenants, |tenant| Some(tenant.state_since));
        filter.deleted = self.between(tenants, |tenant| tenant.deleted_at);
        filter
    }

    fn selector(&mut self) -> Selector {
        let parts: BTreeSet<String> = (0..=self.below(2))
            .map(|_| {
                let (key, value) = self.pair();
                let (_, other) = self.pair();
                match self.below(5) {
                    0 => format!("{key}={value}"),
                    1 => format!("{key}!={value}"),
                    2 => format!("{key} in ({value},{other})"),
                    3 => key,
                    _ => format!("!{key}"),
                }
            })
            .collect();
        let text = parts.into_iter().collect::<Vec<_>>().join(",");
        text.parse().expect("a good selector")
    }

    /// Bounds that lie on the times of these tenants, where an error by one would show.
    fn between(
        &mut self,
        tenants: &[Tenant],
        time: impl Fn(&Tenant) -> Option<Timestamp>,
    ) -> Between {
        let bound = |dice: &mut Self| {
            let at = time(dice.pick(tenants)).filter(|_| dice.once_in(6))?;
            Timestamp::from_micros(at.as_micros() + *dice.pick(&[-1, 0, 0, 1])).ok()
        };
        Between {
            from: bound(self),
            until: bound(self),
        }
    }
}
