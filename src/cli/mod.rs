//! What people touch: one file per command.
//!
//! A command reads its arguments, calls a verb of [`crate::ops`], and makes a [`output::Report`]
//! of the outcome. Errors become sentences, hints and exit codes in [`error`]; nothing below this
//! layer prints.

use self::commands::{
    audit, backup, completions, custody, doctor, erase, erasure, expire, export, init, keys, kit,
    list, man, map, prune, recover, restore, show, source, store, subject, verify,
};
use clap::CommandFactory as _;
use std::ffi::OsString;
use std::process::ExitCode;

pub mod args;
pub mod commands;
pub mod config;
pub mod context;
pub mod demo;
pub mod error;
pub mod exit;
mod failure;
pub mod global_args;
pub mod kit_files;
pub mod output;
pub mod part_args;
mod process;
pub mod progress;
pub mod prompt;
pub mod subject_list;
pub mod values;

use args::{Command, Parsed};
use context::Context;
use error::CliError;
use exit::Exit;
use output::{Output, Report};

use crate::base::{durable, memory};

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let ended = ended();
    memory::scrub_stack();
    // Everything that the command held is dropped: the memory test looks here.
    durable::mark("end");
    ended
}

/// A frame of its own, so that all of it is off the stack when it has returned.
#[inline(never)]
fn ended() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    process::guard(wants_json(&arguments));
    let json = wants_json(&arguments);
    let cli = match args::parse(arguments) {
        Ok(Parsed::Run(cli)) => cli,
        Ok(Parsed::Print(text)) => {
            // A reader that has gone (`--help | head`) is no failure.
            let _ = text.print();
            return Exit::Done.into();
        }
        Err(error) => return failed(&Output::new(json, false), &error),
    };
    let context = Context::new(cli.global);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_stop(memory::scrub_stack)
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(&context, &cli.command)),
        Err(error) => Err(CliError::from_error(Exit::Internal, &error)),
    };
    match ended.and_then(|report| print(&context.output, &report)) {
        Ok(exit) => exit.into(),
        Err(error) => failed(&context.output, &error),
    }
}

async fn run(context: &Context, command: &Command) -> Result<Report, CliError> {
    match command {
        Command::Init(args) => init::run(context, args).await,
        Command::Source(args) => source::run(context, args).await,
        Command::Map(args) => map::run(context, args).await,
        Command::Backup(args) => backup::run(context, args).await,
        Command::List(args) => list::run(context, args).await,
        Command::Show(args) => show::run(context, args).await,
        Command::Verify(args) => verify::run(context, args).await,
        Command::Restore(args) => restore::run(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Erase(args) => erase::run(context, args).await,
        Command::Erasure(args) => erasure::run(context, args).await,
        Command::Subject(args) => subject::run(context, args).await,
        Command::Expire(args) => expire::run(context, args).await,
        Command::Custody(args) => custody::run(context, args).await,
        Command::Keys(args) => keys::run(context, args).await,
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Store(args) => store::run(context, args).await,
        Command::Prune(args) => prune::run(context, args).await,
        Command::Recover(args) => recover::run(context, args).await,
        Command::Kit(args) => kit::run(context, args).await,
        Command::Audit(args) => audit::run(context, args).await,
        Command::Demo(args) => demo::run(context, args).await,
        Command::Completions(args) => completions::run(args, args::Cli::command()),
        Command::Man(args) => man::run(args, args::Cli::command()),
    }
}

fn print(output: &Output, report: &Report) -> Result<Exit, CliError> {
    match output.report(report) {
        Ok(()) if report.exit() == Exit::Done && output.needs_attention() => Ok(Exit::Attention),
        Ok(()) => Ok(report.exit()),
        Err(error) => {
            let message = format!("the report could not be written to standard output: {error}");
            Err(CliError::new(Exit::Internal, message)
                .hint("the command itself was carried out; `strongroom audit list` tells"))
        }
    }
}

fn failed(output: &Output, error: &CliError) -> ExitCode {
    output.error(error);
    error.exit().into()
}

/// Whether `--json` was given, for complaints about arguments that cannot be read.
fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).take_while(|argument| *argument != "--").any(|word| word == "--json")
}
