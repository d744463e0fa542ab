//! How work is handed out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::data::{Data, Life};
use crate::{
    Attempt, ClassName, LEASES_MAX, Lease, ROUTINE_PATIENCE, Room, TenantId, Timestamp, Wake,
};

/// Takes a place in a room, if there is one; how long its lease runs.
fn take(room: &mut Room, routine: bool) -> Option<Duration> {
    let limit = room.limit.checked_sub(1)?;
    if routine {
        room.routine = room.routine.checked_sub(1)?;
    }
    room.limit = limit;
    Some(room.lease)
}

impl Data {
    pub(super) fn claim(&mut self, holder: &str, rooms: Vec<Room>, now: Timestamp) -> Vec<Lease> {
        let mut due: Vec<(Timestamp, TenantId)> = self
            .tenants
            .iter()
            .filter_map(|(id, life)| {
                let at = life.work.due_at.filter(|at| *at <= now)?;
                let patience = if life.work.routine {
                    ROUTINE_PATIENCE
                } else {
                    Duration::ZERO
                };
                Some((at.plus(patience), *id))
            })
            .collect();
        due.sort_unstable();
        let mut rooms: BTreeMap<ClassName, Room> = rooms
            .into_iter()
            .map(|room| (room.class.clone(), room))
            .collect();
        let mut leases = Vec::new();
        for (_, id) in due {
            let Some(life) = self.tenants.get_mut(&id) else {
                continue;
            };
            let class = life.tenant().class.clone();
            let Some(length) = rooms
                .get_mut(&class)
                .and_then(|room| take(room, life.work.routine))
            else {
                continue;
            };
            if leases.len() == usize::from(LEASES_MAX) {
                break;
            }
            let taken_over = life.work.holder.is_some();
            life.work.holder = Some(holder.to_owned());
            life.work.fence = life.work.fence.next();
            life.work.attempts += 1;
            life.dirty = false;
            leases.push(Lease {
                tenant: id,
                class,
                routine: life.work.routine,
                fence: life.work.fence,
                attempt: life.work.attempts,
                until: life.extend_lease(length, now),
                taken_over,
            });
        }
        leases
    }

    /// The tenant's life, if this lease on it runs.
    fn held(&mut self, lease: &Lease, now: Timestamp) -> Option<&mut Life> {
        self.tenants
            .get_mut(&lease.tenant)
            .filter(|life| life.is_held_under(lease.fence, now))
    }

    pub(super) fn renew(
        &mut self,
        lease: &Lease,
        length: Duration,
        now: Timestamp,
    ) -> Option<Lease> {
        let life = self.held(lease, now)?;
        let until = life.extend_lease(length, now);
        Some(Lease {
            until,
            ..lease.clone()
        })
    }

    pub(super) fn release(
        &mut self,
        lease: &Lease,
        attempt: &Attempt,
        next: Wake,
        now: Timestamp,
    ) -> bool {
        let Some(life) = self.held(lease, now) else {
            return false;
        };
        life.end_lease(next, now);
        let work = &mut life.work;
        match attempt {
            Attempt::Clean => {
                work.checked_at = Some(now);
                work.attempts = 0;
                work.last_error = None;
            }
            Attempt::Failed { error } => work.last_error = Some(error.clone()),
            Attempt::Returned => work.attempts = work.attempts.saturating_sub(1),
        }
        true
    }

    /// How long until the next work of these classes is due, if any is planned.
    pub(super) fn due_in(&self, classes: &[ClassName], now: Timestamp) -> Option<Duration> {
        self.tenants
            .values()
            .filter(|life| classes.contains(&life.tenant().class))
            .filter_map(|life| life.work.due_at)
            .min()
            .map(|at| at.since(now))
    }
}
