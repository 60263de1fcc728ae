//! What holds for the whole process: secrets must not leave it in a core dump, the swap space or a
//! panic's message.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use crate::base::memory;

/// Whether the memory test looks into this process, which it could not otherwise. In debug builds.
fn is_examined() -> bool {
    cfg!(debug_assertions) && std::env::var_os("STRONGROOM_EXAMINED").is_some()
}

/// Turns core dumps off, keeps secrets out of the swap space as far as the system allows, and makes
/// a defect end like every other failure.
pub(super) fn guard(json: bool) {
    // Refused only where they are off already or the system has none; a person could do nothing.
    let _ =
        rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if !is_examined() {
        let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    memory::lock_what_is_allowed();
    std::panic::set_hook(Box::new(move |panic| {
        // The panic's own message is left out: it may hold a row's value or a key.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = format!("strongroom has a defect, at {place}");
        let error = CliError::new(Exit::Internal, message)
            .hint("please report this with the command that you ran");
        Output::new(json, false).error(&error);
        std::process::exit(Exit::Internal.number().into());
    }));
}
