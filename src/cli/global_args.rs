//! What every command takes.

use std::path::PathBuf;

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Options for every command")]
pub struct GlobalArgs {
    /// The vault's configuration [default: ./strongroom.toml, then
    /// ~/.config/strongroom/strongroom.toml, then /etc/strongroom/strongroom.toml]
    #[arg(long, global = true, value_name = "FILE", env = "STRONGROOM_CONFIG")]
    pub config: Option<PathBuf>,

    /// A file with age identities that open the vault
    #[arg(long, global = true, value_name = "FILE", env = "STRONGROOM_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,

    /// A file whose first line is the vault's passphrase
    #[arg(long, global = true, value_name = "FILE", env = "STRONGROOM_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    pub json: bool,

    /// Print what was asked for, warnings and errors, and neither progress nor a summary
    #[arg(long, short, global = true)]
    pub quiet: bool,
}
