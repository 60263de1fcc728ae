//! Which call goes wrong, and how: told one by one, or drawn from a seed.

use std::collections::BTreeMap;

crate::words! {
    /// What goes wrong with a call.
    Fault, "fault",
    /// HTTP 500: nothing is done, and an error is reported.
    ServerError = "server-error",
    /// HTTP 503, "slow down": nothing is done, and an error is reported.
    SlowDown = "slow-down",
    /// No answer comes. Every other time the work was done nevertheless.
    TimeOut = "time-out",
    /// The connection breaks while bytes cross it: some of them were taken, or came.
    Reset = "reset",
    /// The work is done, and an error is reported.
    ErrorAfter = "error-after",
    /// Nothing is done: the store is full (`ENOSPC`).
    Full = "full",
    /// The write fails for good, and what was sent so far stays behind unfinished.
    Abandoned = "abandoned",
    /// A list shows the state before the last few changes, as a success.
    Stale = "stale",
    /// A read returns the first half of its bytes, as a success.
    ShortRead = "short-read",
    /// A read returns its bytes with one bit flipped, as a success.
    FlippedBit = "flipped-bit",
    /// This write and every later one to that object are dropped and reported as done; finishing
    /// tells the length and digest of all bytes that were handed over. A lie: what such a store
    /// called complete does not restore.
    Torn = "torn",
    /// A write stores its bytes with one bit flipped, as a success. A lie.
    Altered = "altered",
    /// Finishing is a success, and the object is not there: it was lost after it. A lie.
    Vanished = "vanished",
}

crate::words! {
    /// Where a fault can be injected.
    Operation, "operation of a store",
    /// [`crate::store::Store::create`] and `create_locked`.
    Create = "create",
    /// [`crate::store::ObjectWriter::write`].
    Write = "write",
    /// [`crate::store::ObjectWriter::finish`].
    Finish = "finish",
    /// [`crate::store::Store::read_range`].
    ReadRange = "read-range",
    /// [`crate::store::Store::size`].
    Size = "size",
    /// [`crate::store::Store::list`].
    List = "list",
    /// [`crate::store::Store::delete`].
    Delete = "delete",
    /// [`crate::store::Store::leftovers`] and `remove_leftovers`.
    Leftovers = "leftovers",
    /// [`crate::store::Store::old_versions`] and `bring_back`.
    Versions = "versions",
    /// [`crate::store::Store::lock`] and `lock_of`.
    Lock = "lock",
}

impl Fault {
    /// Whether the store says something was done that was not.
    #[must_use]
    pub fn is_lie(self) -> bool {
        matches!(self, Self::Torn | Self::Altered | Self::Vanished)
    }
}

impl Operation {
    /// The faults that this operation can have.
    #[must_use]
    pub fn faults(self) -> &'static [Fault] {
        use Fault::{
            Abandoned, Altered, ErrorAfter, FlippedBit, Full, Reset, ServerError, ShortRead,
            SlowDown, Stale, TimeOut, Torn, Vanished,
        };
        match self {
            Self::Create => &[ServerError, SlowDown, TimeOut, Full],
            Self::Write => {
                &[ServerError, SlowDown, TimeOut, Reset, ErrorAfter, Full, Abandoned, Torn, Altered]
            }
            Self::Finish => {
                &[ServerError, SlowDown, TimeOut, ErrorAfter, Full, Abandoned, Vanished]
            }
            Self::ReadRange => {
                &[ServerError, SlowDown, TimeOut, Reset, ErrorAfter, ShortRead, FlippedBit]
            }
            Self::Size => &[ServerError, SlowDown, TimeOut],
            Self::List => &[ServerError, SlowDown, TimeOut, Stale],
            Self::Delete | Self::Leftovers | Self::Versions | Self::Lock => {
                &[ServerError, SlowDown, TimeOut, ErrorAfter]
            }
        }
    }
}

/// What goes wrong, as a text says it:
/// `seed=7,per_mille=20,lies=true,only=list+delete,at=finish:3:error-after`.
///
/// `at` may stand several times; `only` and `lies` concern what is drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// The seed of what is drawn.
    pub seed: u64,
    /// How many calls of a thousand fail.
    pub per_mille: u64,
    /// Whether lies are drawn too ([`Fault::is_lie`]).
    pub lies: bool,
    /// The operations in which faults are drawn; all, if empty.
    pub only: Vec<Operation>,
    /// Faults by operation and by the number of the call, from 1.
    pub given: BTreeMap<(Operation, u64), Fault>,
}

impl std::str::FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let wrong = || format!("`{pair}` is not understood");
            let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
            match name {
                "seed" => faults.seed = value.parse().map_err(|_| wrong())?,
                "per_mille" => faults.per_mille = value.parse().map_err(|_| wrong())?,
                "lies" => faults.lies = value.parse().map_err(|_| wrong())?,
                "only" => {
                    let operations = value.split('+').map(str::parse);
                    faults.only = operations.collect::<Result<_, _>>().map_err(|_| wrong())?;
                }
                "at" => {
                    let mut parts = value.splitn(3, ':');
                    let mut part = || parts.next().ok_or_else(wrong);
                    let operation: Operation = part()?.parse().map_err(|_| wrong())?;
                    let call = part()?.parse().map_err(|_| wrong())?;
                    let fault: Fault = part()?.parse().map_err(|_| wrong())?;
                    if !operation.faults().contains(&fault) {
                        return Err(format!("`{operation}` cannot have the fault `{fault}`"));
                    }
                    faults.given.insert((operation, call), fault);
                }
                _ => return Err(wrong()),
            }
        }
        Ok(faults)
    }
}

/// The faults to come, and those that came.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) faults: Faults,
    pub(super) calls: BTreeMap<Operation, u64>,
    pub(super) injected: Vec<(Operation, u64, Fault)>,
    /// Calls by kind of object, of which faults are drawn.
    drawn: BTreeMap<(Operation, String), u64>,
}

impl Plan {
    pub(super) fn new(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Counts a call and says what goes wrong with it, and whether the number by which that was
    /// chosen is even.
    pub(super) fn next(&mut self, operation: Operation, name: &str) -> Option<(Fault, bool)> {
        let calls = self.calls.entry(operation).or_default();
        *calls += 1;
        let call = *calls;
        let kind = kind(name);
        let number = self.drawn.entry((operation, kind.clone())).or_default();
        *number += 1;
        let number = *number;
        let given = self.given(operation, call).map(|fault| (fault, call));
        let drawn = || self.draw(operation, &kind, number).map(|fault| (fault, number));
        let (fault, chosen_by) = given.or_else(drawn)?;
        self.injected.push((operation, call, fault));
        Some((fault, chosen_by % 2 == 0))
    }

    fn given(&self, operation: Operation, call: u64) -> Option<Fault> {
        let given = self.faults.given.get(&(operation, call)).copied();
        given.filter(|fault| operation.faults().contains(fault))
    }

    fn draw(&self, operation: Operation, kind: &str, number: u64) -> Option<Fault> {
        let Faults { seed, per_mille, lies, only, .. } = &self.faults;
        if !only.is_empty() && !only.contains(&operation) {
            return None;
        }
        let possible = operation.faults().iter().copied();
        let possible: Vec<_> = possible.filter(|fault| *lies || !fault.is_lie()).collect();
        let kind = kind.bytes().fold(operation as u64, |kind, byte| mix(kind ^ u64::from(byte)));
        let draw = mix(seed ^ mix(number ^ mix(kind)));
        let chosen = usize::try_from((draw >> 32) % possible.len() as u64).ok()?;
        (draw % 1000 < *per_mille).then(|| possible[chosen])
    }
}

/// A name without its numbers and ids. Calls are counted by that, so that what is drawn does not
/// hang on the order in which the calls of several tasks happen to come, nor on random ids.
fn kind(name: &str) -> String {
    let letter = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'-');
    let is_word = |part: &&str| part.len() > 2 && part.bytes().all(letter);
    name.split('/').filter(is_word).collect::<Vec<_>>().join("/")
}

/// `SplitMix64`'s output function: a different number for every number.
pub(super) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_a_text() {
        let read: Faults = "seed=7,per_mille=20,lies=true,only=list+delete,at=finish:3:error-after"
            .parse()
            .unwrap();
        assert_eq!((read.seed, read.per_mille, read.lies), (7, 20, true));
        assert_eq!(read.only, [Operation::List, Operation::Delete]);
        assert_eq!(read.given[&(Operation::Finish, 3)], Fault::ErrorAfter);
        for wrong in ["seed", "seed=x", "speed=1", "at=list:1", "at=list:1:torn", "only=lists"] {
            assert!(wrong.parse::<Faults>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn lies_are_drawn_only_where_they_are_asked_for() {
        for lies in [false, true] {
            let faults = Faults { per_mille: 1000, lies, ..Faults::default() };
            let mut plan = Plan::new(faults);
            let drawn: Vec<_> = (0..500).filter_map(|_| plan.next(Operation::Write, "a")).collect();
            assert_eq!(drawn.len(), 500);
            assert_eq!(drawn.iter().any(|(fault, _)| fault.is_lie()), lies);
        }
    }

    #[test]
    fn what_is_drawn_hangs_neither_on_ids_nor_on_the_order_of_tasks() {
        let names = ["backups/20261124T1/index", "packs/a7/a7e1.pack", "backups/20261125T9/index"];
        assert_eq!(names.map(kind), ["backups/index", "packs", "backups/index"]);
        let drawn = |order: [&str; 2]| {
            let faults = Faults { seed: 3, per_mille: 300, ..Faults::default() };
            let mut plan = Plan::new(faults);
            let mut of_packs = Vec::new();
            for name in order.repeat(100) {
                let fault = plan.next(Operation::Finish, name);
                if name.starts_with("packs") {
                    of_packs.push(fault);
                }
            }
            of_packs
        };
        assert_eq!(drawn([names[0], names[1]]), drawn(["packs/b1/b1.pack", names[2]]));
    }
}
