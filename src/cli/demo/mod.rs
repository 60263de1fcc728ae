//! `strongroom demo`: all of it on a temporary database.
//!
//! The steps are those that an operator and an officer take, through the same verbs. At the end the
//! restored database is compared with one in which PostgreSQL itself deleted the person.

mod compare;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::context::{Context, places};
use super::error::CliError;
use super::exit::Exit;
use super::output::{Report, bytes, count, counted};
use crate::base::progress::ProgressSink;
use crate::base::{durable, random};
use crate::catalog::backups::BackupClass;
use crate::cli::config::Config;
use crate::container::manifest::Contents;
use crate::crypto::SecretText;
use crate::keys::master::{Credentials, Protection};
use crate::ops::backup::{BackupRequest, LockRules, backup};
use crate::ops::erase::{Asked, EraseRequest, erase};
use crate::ops::restore::{RestoreReport, RestoreRequest, restore};
use crate::ops::sources::{self, NewUrl};
use crate::ops::subject_maps::{self, MapAction};
use crate::ops::{audit_log, init};
use crate::policy::subject_map::Decisions;
use crate::postgres::temporary::{
    TemporaryCluster, TemporaryError, TemporaryOptions, find_server, install_debian_postgresql,
};
use crate::postgres::{ConnectionSettings, Session};
use crate::vault::OpsError;
use crate::vault::handle::Vault;
use crate::vault::reader::select::Choice;
use crate::vault::reasons::Reason;

const SOURCE: &str = "finance";
/// The customer who asks to be forgotten: the third.
const SUBJECT_NUMBER: u32 = 3;

/// What `demo` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom demo
  strongroom demo --keep /tmp/strongroom-demo

Starts a PostgreSQL of its own in a temporary folder, fills it, backs it up, forgets one customer,
restores, compares, and removes everything again.")]
pub struct Args {
    /// How many customers the database has
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(5..=100_000))]
    pub customers: u32,

    /// Keep the vault in this folder, to look around in it
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Shows all of it on a temporary database.
///
/// # Errors
/// See [`super::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let begun = Instant::now();
    let cluster = start_server(context)?;
    let temporary =
        tempfile::tempdir().map_err(|source| cannot_keep("a temporary folder", source))?;
    let folder = match &args.keep {
        Some(folder) => {
            std::path::absolute(folder).map_err(|source| cannot_keep("the folder", source))?
        }
        None => temporary.path().join("vault"),
    };
    let demo = Demo { context, cluster, folder, customers: args.customers };
    let text = demo.run().await?;
    let mut said = String::new();
    if let Some(peak) = peak_memory_bytes() {
        said = format!("\nThis process never held more than {} of memory.\n", bytes(peak));
    }
    if args.keep.is_some() {
        said.push_str(&format!(
            "The vault is kept in {}: try `strongroom --config {}/strongroom.toml list`.\n",
            demo.folder.display(),
            demo.folder.display()
        ));
    }
    let document = json!({
        "customers": args.customers,
        "forgotten_rows": text.restored.rows_forgotten,
        "restored_rows": text.restored.rows,
        "tables_compared": text.tables,
        "equal": true,
        "kept": args.keep.as_ref().map(|_| demo.folder.display().to_string()),
        "seconds": begun.elapsed().as_secs_f64(),
        "peak_memory_bytes": peak_memory_bytes(),
    });
    Report::new(&document, said)
}

/// The most memory that this process ever held, as Linux counts it (`VmHWM`, proc(5)).
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Finds PostgreSQL, or installs Debian's, and starts a server.
fn start_server(context: &Context) -> Result<TemporaryCluster, CliError> {
    if find_server().is_none() {
        context.output.note("PostgreSQL's server is not on this machine; installing Debian's.");
        install_debian_postgresql(|step| context.output.note(step))
            .map_err(|error| server_error(&error))?;
    }
    context.output.note("Starting a PostgreSQL of its own, in a temporary folder.");
    let password = hex::encode(random::bytes::<16>(&mut random::system()));
    TemporaryCluster::start(&TemporaryOptions::new(password)).map_err(|error| server_error(&error))
}

fn server_error(error: &TemporaryError) -> CliError {
    CliError::from_error(Exit::Source, error)
        .hint("install PostgreSQL's server, on Debian and Ubuntu with `apt-get install postgresql`")
}

fn cannot_keep(what: &str, source: std::io::Error) -> CliError {
    OpsError::File { what: format!("making {what} for the demo's vault"), source }.into()
}

/// What the demo ends with.
struct Ended {
    restored: RestoreReport,
    tables: u64,
}

struct Demo<'a> {
    context: &'a Context,
    cluster: TemporaryCluster,
    folder: PathBuf,
    customers: u32,
}

impl Demo<'_> {
    async fn run(&self) -> Result<Ended, CliError> {
        self.say(&format!("\n1. A personal-finance database with {} customers.", self.customers));
        self.fill().await?;

        self.say("\n2. A new vault: a catalog, an encrypted master secret, an epoch secret.");
        let (vault, credentials) = self.make_vault().await?;
        let url = NewUrl::Sealed(SecretText::new(self.cluster.url(SOURCE)));
        sources::add(&vault, &credentials, SOURCE, url).await?;
        self.map(&vault, &credentials).await?;

        self.say("\n3. A backup, every person's rows sealed under her own key.");
        self.back_up(&vault, &credentials).await?;

        let subject = self.text("SELECT id::text FROM users ORDER BY created_at OFFSET 2").await?;
        let email = self.text("SELECT email FROM users ORDER BY created_at OFFSET 2").await?;
        self.say(&format!(
            "\n4. Customer {SUBJECT_NUMBER} ({email}) asks to be forgotten.\n   One key is destroyed."
        ));
        self.forget(&vault, &credentials, &subject).await?;

        self.say("\n5. The backup from before is restored into a new database.");
        let restored = self.restore(&vault, &credentials).await?;

        self.say("\n6. Compared with a copy in which PostgreSQL itself deleted her:");
        let tables = self.compare(&subject).await?;
        self.say("\n7. What the audit log says:");
        self.show_log(&vault, &credentials)?;
        Ok(Ended { restored, tables })
    }

    async fn fill(&self) -> Result<(), CliError> {
        self.cluster.create_database(SOURCE).map_err(|error| server_error(&error))?;
        let session = self.session(SOURCE).await?;
        let script = include_str!("finance.sql").replace(":customers", &self.customers.to_string());
        session
            .batch("the demo's tables", &format!("SET search_path = public; {script}"))
            .await
            .map_err(OpsError::from)?;
        Ok(())
    }

    async fn make_vault(&self) -> Result<(Vault, Credentials), CliError> {
        let file = self.folder.join("strongroom.toml");
        let (identity, recipient) = Protection::new_identity();
        let store = self.folder.join("store").display().to_string();
        let mut config = Config::new(&file, store, self.folder.join("custodian"));
        let identity_file = self.folder.join("identity.txt");
        config.identity_file = Some(identity_file.clone());
        let protection = Protection::recipients(&[recipient]).map_err(OpsError::from)?;
        let (places, environment) = (places(&config), self.context.environment());
        init::init(places.clone(), environment.clone(), &protection).await?;
        durable::create_file(&identity_file, format!("{}\n", identity.expose()).as_bytes())
            .and_then(|()| durable::create_file(&file, config.to_toml().as_bytes()))
            .map_err(|source| cannot_keep("the files", source))?;
        let identities = SecretText::new(identity.expose().to_owned());
        let path = identity_file.display().to_string();
        let credentials = Credentials { passphrase: None, identities: Some((identities, path)) };
        Ok((Vault::open(places, environment)?, credentials))
    }

    async fn map(&self, vault: &Vault, credentials: &Credentials) -> Result<(), CliError> {
        let root = ["public.users".to_owned()];
        // A referral names two people; it belongs to the one who made it.
        let owners = ["public.referrals=user_id".to_owned()];
        let shared = ["public.categories".to_owned()];
        let decisions =
            Decisions::parse(&root, &owners, &shared, &[], &[]).map_err(OpsError::from)?;
        let report =
            subject_maps::map(vault, credentials, SOURCE, &decisions, MapAction::Write, true)
                .await?;
        self.say(&format!(
            "   The subject map says whose each row is, in {}: directly (accounts),\n   \
             through a parent (ingestion_items), or nobody's (categories, rules without an\n   \
             owner).",
            counted(report.proposal.map.tables.len() as u64, "table", "tables")
        ));
        Ok(())
    }

    async fn back_up(&self, vault: &Vault, credentials: &Credentials) -> Result<(), CliError> {
        let request = BackupRequest {
            full: false,
            source: SOURCE.to_owned(),
            class: BackupClass::Manual,
            note: Some("demo".to_owned()),
            contents: Contents::Full,
            jobs: 2,
            memory_bytes: 64 << 20,
            strict: false,
            locks: LockRules::default(),
        };
        let progress = self.context.progress();
        let outcome = backup(vault, credentials, &request, &progress).await;
        progress.finish();
        let report = outcome?;
        self.say(&format!(
            "   {}: {} of {} in {:.1} s,\n   {} stored for {} of rows.",
            report.backup,
            counted(report.rows, "row", "rows"),
            counted(report.subjects, "person", "people"),
            report.seconds,
            bytes(report.stored_bytes),
            bytes(report.raw_bytes)
        ));
        Ok(())
    }

    async fn forget(
        &self,
        vault: &Vault,
        credentials: &Credentials,
        subject: &str,
    ) -> Result<(), CliError> {
        let request = EraseRequest {
            source: SOURCE.to_owned(),
            class: None,
            subjects: vec![Asked { key: SecretText::new(subject.to_owned()), line: None }],
            skip_unknown: false,
            reason: Reason { case: Some("1".to_owned()), text: "request by letter".to_owned() },
            dry_run: false,
        };
        let begun = Instant::now();
        let report = erase(vault, credentials, &request, |_| true).await?;
        // Two tables a line: a terminal has 80 columns.
        let shares = report.subjects.first().and_then(|subject| subject.backups.first());
        let tables = shares.map(|share| {
            let tables: Vec<_> =
                share.tables.iter().map(|(table, rows)| format!("{table} {rows}")).collect();
            tables.chunks(2).map(|line| line.join(", ")).collect::<Vec<_>>().join(",\n   ")
        });
        self.say(&format!(
            "   {} in {} can never be opened again ({:.2} s):\n   {}.",
            counted(report.rows, "row", "rows"),
            counted(report.backups, "backup", "backups"),
            begun.elapsed().as_secs_f64(),
            tables.unwrap_or_default()
        ));
        Ok(())
    }

    async fn restore(
        &self,
        vault: &Vault,
        credentials: &Credentials,
    ) -> Result<RestoreReport, CliError> {
        let request = RestoreRequest {
            backup: Choice::LATEST,
            target: self.settings("restored")?,
            create: true,
            tables: Vec::new(),
            contents: Contents::Full,
            no_owner: false,
            no_privileges: false,
            jobs: 2,
            on_gone: std::collections::BTreeMap::new(),
            into_non_empty: false,
            salvage: false,
            no_tablespaces: false,
            open: false,
        };
        let progress: Arc<dyn ProgressSink> = self.context.progress();
        let outcome = restore(vault, credentials, &request, &progress).await;
        progress.finish();
        let report = outcome?;
        self.say(&format!(
            "   {} are back in {:.1} s; {} of hers are not.",
            counted(report.rows, "row", "rows"),
            report.seconds,
            counted(report.rows_forgotten, "row", "rows"),
        ));
        for mended in &report.mended {
            self.say(&format!(
                "   {}: {} referred to her and no longer do.",
                mended.table,
                counted(mended.rows, "row", "rows")
            ));
        }
        Ok(report)
    }

    async fn compare(&self, subject: &str) -> Result<u64, CliError> {
        let maintenance = self.session("postgres").await?;
        let copy = format!("CREATE DATABASE expected TEMPLATE {SOURCE}");
        maintenance.batch("a copy of the source", &copy).await.map_err(OpsError::from)?;
        let expected = self.session("expected").await?;
        expected
            .execute("DELETE FROM public.users WHERE id = $1::text::uuid", &[&subject])
            .await
            .map_err(OpsError::from)?;
        let restored = self.session("restored").await?;
        let tables = compare::tables(&expected, &restored).await?;
        for table in &tables {
            self.say(&format!(
                "   {:24} {:>8} rows   {}",
                table.name,
                count(table.rows),
                if table.equal { "equal, byte for byte" } else { "DIFFERENT" }
            ));
        }
        if tables.iter().all(|table| table.equal) {
            Ok(tables.len() as u64)
        } else {
            Err(CliError::new(Exit::Internal, "the restored database is not what it should be"))
        }
    }

    fn show_log(&self, vault: &Vault, credentials: &Credentials) -> Result<(), CliError> {
        let filter = crate::audit::Filter::default();
        for entry in audit_log::list(vault, &filter)? {
            let object = entry.object.get(..24).unwrap_or(&entry.object);
            self.say(&format!(
                "   {:>2}  {}  {}  {:12} {:24} {}",
                entry.seq,
                entry.at.get(11..19).unwrap_or_default(),
                entry.actor,
                entry.action,
                object,
                entry.outcome
            ));
        }
        let report = audit_log::verify(vault, Some(credentials), &[])?;
        if !report.intact {
            return Err(CliError::new(Exit::Integrity, "the audit log is not intact"));
        }
        self.say("   The log is intact: every entry follows from the one before.");
        Ok(())
    }

    fn say(&self, text: &str) {
        self.context.output.note(text);
    }

    fn settings(&self, database: &str) -> Result<ConnectionSettings, CliError> {
        Ok(ConnectionSettings::parse(&self.cluster.url(database)).map_err(OpsError::from)?)
    }

    async fn session(&self, database: &str) -> Result<Session, CliError> {
        let settings = self.settings(database)?;
        Ok(Session::connect(&settings).await.map_err(OpsError::from)?)
    }

    async fn text(&self, query: &str) -> Result<String, CliError> {
        let session = self.session(SOURCE).await?;
        let query = query.replace("FROM users", "FROM public.users");
        let row = session.query_one(&format!("{query} LIMIT 1"), &[]).await;
        let row = row.map_err(OpsError::from)?;
        row.try_get(0).map_err(|error| CliError::from_error(Exit::Internal, &error))
    }
}
