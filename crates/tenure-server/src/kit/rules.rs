//! What the contract says, as the kit holds a provisioner to it: each a sentence of the reference.

use super::bench::Ended;
use super::report::Breach;

/// A sentence of the contract, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    says: &'static str,
    section: &'static str,
}

impl Rule {
    pub(super) fn broken(self, did: String, came: String) -> Breach {
        Breach {
            did,
            came,
            contract: self.says,
            section: self.section,
        }
    }

    /// Ends a case.
    pub(super) fn breach(self, did: impl Into<String>, came: impl Into<String>) -> Ended {
        Ended::Broke(Box::new(self.broken(did.into(), came.into())))
    }
}

const BEAR: &str = "What it must bear";
const DO: &str = "What it must do";

pub(super) const MADE: Rule = Rule {
    says: "apply ends with done once the tenant is as desired and running say, from whatever it is now.",
    section: DO,
};
pub(super) const TOLD: Rule = Rule {
    says: "The first apply of a tenant reports observed and resources: what is left out stays as it was \
           known, and of a new tenant nothing is known.",
    section: DO,
};
pub(super) const TRUE: Rule = Rule {
    says: "observed is what is in force, at the paths of desired: after an apply that is done, no path \
           that is reported contradicts desired.",
    section: DO,
};
pub(super) const AGAIN: Rule = Rule {
    says: "It may be run again for what it has done already, at any time: it is done once more, and \
           nothing is different.",
    section: BEAR,
};
pub(super) const LOOKS: Rule = Rule {
    says: "observe looks and changes nothing; two in a row say the same, and what an apply before them \
           said at the paths of desired.",
    section: DO,
};
pub(super) const SEES: Rule = Rule {
    says: "observe reports what it finds, not what was asked for, or drift stays hidden; the next apply \
           puts it right.",
    section: DO,
};
pub(super) const KILLED: Rule = Rule {
    says: "It may be killed, or left by its client, at any instant: the next apply ends with done, and \
           the tenant is as if nothing had happened.",
    section: BEAR,
};
pub(super) const FENCED: Rule = Rule {
    says: "An apply or destroy under a lower fence than an earlier one's is refused: failed, not \
           permanent, and nothing is changed. The reason should be StaleFence.",
    section: BEAR,
};
pub(super) const OUTLIVES: Rule = Rule {
    says: "The highest fence outlives the tenant: an apply under a lower one, late, is refused and does \
           not bring a destroyed tenant back.",
    section: BEAR,
};
pub(super) const PAUSES: Rule = Rule {
    says: "apply with running false suspends the tenant, with running true it goes on as it was; an \
           observed.running says what is so.",
    section: DO,
};
pub(super) const ENDS: Rule = Rule {
    says: "destroy ends with done if nothing is left of the tenant, also if nothing was there.",
    section: DO,
};
pub(super) const PASSES_OVER: Rule = Rule {
    says: "Fields that the contract does not name are passed over, on both sides: later versions may \
           add some.",
    section: "The answer",
};
pub(super) const KNOWS: Rule = Rule {
    says: "A request of a contract that it does not know is refused: failed and permanent, or an error \
           exit or status.",
    section: "The request",
};
pub(super) const TURNS: Rule = Rule {
    says: "Two may run for one tenant at once: in the end the tenant is as the one with the higher fence \
           wants it.",
    section: BEAR,
};
pub(super) const TAMPERED: Rule = Rule {
    says: "This is not about the contract: correct --tamper.",
    section: "Prove yours",
};
