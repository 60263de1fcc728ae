//! The subject map of a source: its file, its history in the catalog, its comparison with the live
//! database.

use std::path::PathBuf;
use std::time::Duration;

use crate::audit::Action;
use crate::base::durable;
use crate::base::schema::{DatabaseSchema, QualifiedName};
use crate::keys::master::Credentials;
use crate::policy::subject_map::{
    self, Decisions, Drift, Evidence, FirstLook, Proposal, Seen, SubjectClass, SubjectMap, Way,
};
use crate::postgres::rows::probe::{Probe, Question};
use crate::postgres::{Session, describe};
use crate::vault::OpsError;
use crate::vault::access::access;
use crate::vault::handle::Vault;
use crate::vault::sources;
use crate::vault::subject_maps::{self, LoadedMap, load, remember};

/// What `map` found.
pub struct MapReport {
    /// The live database.
    pub schema: DatabaseSchema,
    /// The map that is proposed (or the one that was checked).
    pub proposal: Proposal,
    /// The proposed file.
    pub toml: String,
    /// Where the source's map is kept.
    pub path: PathBuf,
    /// Where the file and the database differ; only when a check was asked for.
    pub drift: Vec<Drift>,
}

/// What `map` shall do besides showing its proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapAction {
    /// Nothing.
    Show,
    /// Write the file, unless something is undecided.
    Write,
    /// Compare the file with the live database.
    Check,
}

/// How long the look at the data takes, at the most.
const PROBE_LASTS: Duration = Duration::from_secs(6);
/// How long one question to the data takes, at the most.
const QUESTION_LASTS: Duration = Duration::from_secs(1);

/// Infers, writes or checks the map of a source. `probes` says whether samples of rows may be counted.
pub async fn map(
    vault: &Vault,
    credentials: &Credentials,
    source: &str,
    decisions: &Decisions,
    action: MapAction,
    probes: bool,
) -> Result<MapReport, OpsError> {
    let probes = probes && action != MapAction::Check;
    let detail = if probes { "rows=counted-in-samples" } else { "rows=none" };
    let row = sources::find(vault, source)?;
    let recorded_as = match action {
        MapAction::Write => Action::MapWrite,
        MapAction::Show | MapAction::Check => Action::Show,
    };
    access(vault, recorded_as, source)
        .detail(detail)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            let settings = sources::settings(vault, &unlocked, &row)?;
            let session = Session::connect(&settings).await?;
            session.begin_snapshot().await?;
            let schema = describe(&session).await?;
            let path = subject_maps::path(vault, &row.name);
            let existing = match load(vault, &row) {
                Ok(loaded) => Some(loaded.map),
                Err(OpsError::NoMap { .. }) if action != MapAction::Check => None,
                Err(error) => return Err(error),
            };
            if let (MapAction::Check, Some(map)) = (action, &existing) {
                let drift = subject_map::check(map, &schema);
                let toml = map.to_toml(&schema);
                let proposal =
                    Proposal { map: map.clone(), undecided: Vec::new(), notes: Vec::new() };
                return Ok(MapReport { schema, proposal, toml, path, drift });
            }
            let mut proposal =
                propose(&session, &schema, decisions, existing.as_ref(), probes).await?;
            proposal.map.source.clone_from(&row.name);
            let toml = proposal.map.to_toml(&schema);
            if action == MapAction::Write {
                if !proposal.undecided.is_empty() {
                    return Err(OpsError::MapUndecided(proposal.undecided));
                }
                write(vault, &path, &toml)?;
                remember(
                    vault,
                    &row,
                    &LoadedMap { map: proposal.map.clone(), toml: toml.clone() },
                )?;
            }
            Ok(MapReport { schema, proposal, toml, path, drift: Vec::new() })
        })
        .await
}

/// Infers a map from the schema, and from counts in the data where they are allowed.
async fn propose(
    session: &Session,
    schema: &DatabaseSchema,
    decisions: &Decisions,
    existing: Option<&SubjectMap>,
    probes: bool,
) -> Result<Proposal, OpsError> {
    let mut evidence = Evidence::default();
    let first = subject_map::infer(schema, decisions, existing, &evidence);
    if !probes || first.map.classes.is_empty() {
        return Ok(first);
    }
    let classes = &first.map.classes;
    let probe = Probe::new(session, schema, PROBE_LASTS, QUESTION_LASTS);
    for look in subject_map::first_looks(schema) {
        match look {
            FirstLook::Document(table, column) => {
                let mut paths = probe.document_paths(&table, &column).await?;
                paths.retain(|path| subject_map::is_named_for_a_person(path, classes));
                if !paths.is_empty() {
                    evidence.documents.insert((table, column), paths);
                }
            }
            FirstLook::Kinds(table, column) => {
                if let Some(kinds) = probe.kinds(&table, &column).await? {
                    evidence.kinds.insert((table, column), kinds);
                }
            }
        }
    }
    // What is open comes first: time may end.
    let open = |table: &QualifiedName| {
        first.undecided.iter().any(|undecided| undecided.table.as_ref() == Some(table))
    };
    let (ways, others): (Vec<(QualifiedName, Way)>, Vec<_>) =
        subject_map::guesses(schema, classes, &evidence)
            .into_iter()
            .map(|guess| (guess.table, guess.way))
            .partition(|(table, _)| open(table));
    count(&probe, classes, &mut evidence, ways).await?;
    let proposal = subject_map::infer(schema, decisions, existing, &evidence);
    // What was chosen is checked the same way.
    let mut ways = Vec::new();
    for (table, ownership) in &proposal.map.tables {
        ways.extend(ownership.ways().into_iter().map(|way| (table.clone(), way)));
    }
    ways.extend(others);
    count(&probe, classes, &mut evidence, ways).await?;
    Ok(subject_map::infer(schema, decisions, existing, &evidence))
}

async fn count(
    probe: &Probe<'_>,
    classes: &[SubjectClass],
    evidence: &mut Evidence,
    ways: Vec<(QualifiedName, Way)>,
) -> Result<(), OpsError> {
    for at in ways {
        if evidence.seen.contains_key(&at) {
            continue;
        }
        let (table, way) = &at;
        let key: Vec<String>;
        let (target, target_columns) = if let Some(parent) = &way.via {
            (&parent.table, &parent.columns)
        } else {
            let Some(class) = classes.iter().find(|class| class.name == way.class) else {
                continue;
            };
            key = class.key.iter().map(|column| column.name.clone()).collect();
            (&class.root, if way.by.is_empty() { &key } else { &way.by })
        };
        let question = Question {
            table,
            columns: &way.columns,
            reading: &way.reading,
            when: &way.when,
            target,
            target_columns,
        };
        if let Some(counts) = probe.count(&question).await? {
            let seen = Seen { rows: counts.rows, null: counts.null, known: counts.known };
            evidence.seen.insert(at, seen);
        }
    }
    Ok(())
}

fn write(vault: &Vault, path: &std::path::Path, toml: &str) -> Result<(), OpsError> {
    durable::create_folder(&vault.places().maps)
        .and_then(|()| durable::replace_file(path, toml.as_bytes()))
        .map_err(|source| OpsError::File {
            what: format!("writing the subject map {}", path.display()),
            source,
        })
}
