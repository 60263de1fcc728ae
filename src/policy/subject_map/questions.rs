//! Questions to a person about one table: the likeliest answer first, with what speaks for each.

use super::candidates::{Basis, Candidate};
use super::choice::OwnerChoice;
use super::decisions::{flag_text, identifiers};
use super::infer::{Inference, Undecided};
use super::leftovers;
use super::names::Role;
use crate::base::schema::Table;

impl Inference<'_> {
    /// Asks what decides the table that this one belongs to.
    pub(super) fn wait_for(&mut self, table: &Table, candidate: &Candidate) {
        let reason = format!(
            "its rows belong to the owner of `{}`, which is not decided yet",
            candidate.toward
        );
        let deciding =
            self.undecided.iter().find(|other| other.table.as_ref() == Some(&candidate.toward));
        let (flags, why) =
            deciding.map(|other| (other.flags.clone(), other.why.clone())).unwrap_or_default();
        self.undecided.push(Undecided { table: Some(table.name.clone()), reason, flags, why });
    }

    /// Asks a person, the likeliest answer first.
    pub(super) fn leave_open(&mut self, table: &Table, candidates: &[Candidate]) {
        let known: Vec<&Candidate> =
            candidates.iter().filter(|candidate| candidate.class.is_some()).collect();
        let steps = known.first().map_or(usize::MAX, |way| way.steps);
        self.place(&table.name, steps, None);
        let mut answers: Vec<(String, String)> = Vec::new();
        if let Some((best, others)) = known.split_first() {
            let further = others.iter().filter(|other| {
                !other.role.is_doubtful()
                    && (other.is_foreign_key() || matches!(other.basis, Basis::Guess(Some(_))))
                    && other.columns() != best.columns()
            });
            let further: Vec<&&Candidate> = further.collect();
            if best.nullable && !best.role.is_doubtful() && !further.is_empty() {
                let mut choice = Self::choice(best, &known);
                choice
                    .ways
                    .extend(further.iter().flat_map(|other| Self::choice(other, &known).ways));
                let why = "the first that is not NULL gives the owner".to_owned();
                answers.push((choice.flag(&table.name), why));
            }
        }
        let mut ways: Vec<String> = Vec::new();
        for candidate in &known {
            let flag = Self::choice(candidate, &known).flag(&table.name);
            if !answers.iter().any(|(other, _)| *other == flag) {
                ways.push(format!(
                    "by `{}` to `{}`",
                    identifiers(candidate.columns()),
                    candidate.toward
                ));
                answers.push((flag, candidate.why()));
            }
        }
        let is_unseen = |one: &&Candidate| match one.basis {
            Basis::Guess(seen) => seen.is_none_or(|seen| seen.known == 0),
            Basis::Chosen | Basis::ForeignKey(_) | Basis::Reverse => false,
        };
        if leftovers::looks_like_a_root(table) && known.iter().all(is_unseen) {
            let why = "named for people, and nothing shows whose they are".to_owned();
            answers.insert(0, (flag_text("--root", &table.name.to_string()), why));
        }
        let shared = (leftovers::shared_flag(self, table), String::new());
        let best = known.first().map(|best| best.role);
        if best.is_some_and(|role| role >= Role::Recorded) && self.holds_rows_of_others(table) {
            let why = "rows of several people hang on it".to_owned();
            answers.insert(0, (shared.0, why));
        } else {
            answers.push(shared);
        }
        let nobody = known.first().is_some_and(|best| best.nullable);
        let reason = match ways.as_slice() {
            [] => "nothing leads from it to a data subject that is decided".to_owned(),
            [_] if nobody && best.is_some_and(|role| !role.is_doubtful()) => format!(
                "its only way to an owner may not be one, or leaves rows nobody's: {}",
                ways.join(", or ")
            ),
            [only] => format!("only a person can say whether its rows have this owner: {only}"),
            _ => format!("its rows have several possible owners: {}", ways.join(", or ")),
        };
        self.ask(&table.name, reason, answers);
    }

    /// What a person says to choose the candidate: its columns alone where they can only mean this.
    fn choice(candidate: &Candidate, all: &[&Candidate]) -> OwnerChoice {
        let is_alone =
            all.iter().filter(|other| other.columns() == candidate.columns()).count() == 1;
        OwnerChoice::of(candidate, !(is_alone && candidate.is_foreign_key()))
    }

    /// Whether rows that name people of their own refer to the table: it is theirs together.
    fn holds_rows_of_others(&self, table: &Table) -> bool {
        self.index.foreign_keys_to(&table.name).iter().any(|key| {
            key.table != table.name
                && self
                    .index
                    .foreign_keys_of(&key.table)
                    .iter()
                    .any(|own| self.classes.iter().any(|class| class.root == own.referenced_table))
        })
    }
}
