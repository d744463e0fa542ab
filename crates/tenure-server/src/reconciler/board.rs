//! The board: how each class stands on this server, for those who explain.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tenure::{ClassName, ClassStatus, ClassView};

use crate::config::{Config, Transport};

/// How each class stands on this server. Cloning it is cheap and shares it.
///
/// The reconciler writes it as it goes; who reads sees each class as it was at one time.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<RwLock<BTreeMap<ClassName, ClassView>>>);

impl Board {
    /// Puts a class on the board, or replaces it.
    pub fn set(&self, class: ClassName, view: ClassView) {
        let mut classes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        classes.insert(class, view);
    }

    /// Changes how a class stands, all at once; nothing if it is not on the board.
    pub fn update(&self, class: &ClassName, change: impl FnOnce(&mut ClassStatus)) {
        let mut classes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = classes.get_mut(class) {
            change(&mut view.status);
        }
    }

    /// How a class stands; `None` if it is not configured here.
    pub fn of(&self, class: &ClassName) -> Option<ClassView> {
        let classes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        classes.get(class).cloned()
    }

    /// How all classes stand.
    pub fn all(&self) -> BTreeMap<ClassName, ClassView> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl From<&Config> for Board {
    /// All classes of the configuration, with nothing at work yet.
    fn from(config: &Config) -> Self {
        let board = Self::default();
        for (name, class) in &config.classes {
            let at_once = class.concurrency.unwrap_or(config.concurrency);
            let view = ClassView {
                policy: class.policy.clone(),
                status: ClassStatus {
                    concurrency: u32::try_from(at_once).unwrap_or(u32::MAX),
                    pull: class.transport == Transport::Pull,
                    ..ClassStatus::default()
                },
            };
            board.set(name.clone(), view);
        }
        board
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_seen_by_all_who_share_the_board() {
        let (board, class) = (Board::default(), ClassName::default());
        let reader = board.clone();
        board.update(&class, |status| status.running = 1);
        assert_eq!(reader.of(&class), None);
        board.set(class.clone(), ClassView::default());
        board.update(&class, |status| status.running += 1);
        assert_eq!(reader.of(&class).unwrap().status.running, 1);
        assert_eq!(reader.all().len(), 1);
    }
}
