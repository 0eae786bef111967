//! The program. Everything that runs is wired here: settings, listeners, telemetry, subcommands.
//!
//! No rule of the product lives in this crate.

mod admin;
mod collected;
mod data_dir;
mod explained;
mod incoming;
mod listener;
mod output;
mod policy;
mod restore;
mod serve;
mod settings;
mod telemetry;
mod upkeep;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// A self-hosted container registry with a cloud's governance in one binary.
#[derive(Debug, Parser)]
#[command(name = "wharfinger", version)]
struct Arguments {
    /// Directory that holds everything the server keeps.
    #[arg(long, global = true, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
    /// Settings file (TOML).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How commands print what they got.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Columns for people.
    Table,
    /// The object as its REST API shows it.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the registry.
    #[command(after_long_help = settings::reference())]
    Serve {
        /// Address to listen on; port 0 takes a free one. Overrides `server.listen`.
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
    },
    /// Administer a running server through its control socket.
    #[command(subcommand_required = true)]
    Admin(admin::Arguments),
    /// Make an empty data directory and database what a backup has; the server must be stopped.
    Restore(restore::Arguments),
    /// Check and explain policies in files; needs no server.
    #[command(subcommand)]
    Policy(policy::Command),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Command::Serve { listen } => {
            let settings = settings::load(arguments.config.as_deref(), listen.as_deref());
            let served = settings.and_then(|settings| serve::run(&arguments.data_dir, settings));
            served.map(|()| ExitCode::SUCCESS)
        }
        Command::Admin(command) => admin::run(&arguments.data_dir, command, arguments.output),
        Command::Restore(command) => {
            let settings = settings::load(arguments.config.as_deref(), None);
            settings
                .and_then(|settings| restore::run(&arguments.data_dir, &settings, command, arguments.output))
        }
        Command::Policy(command) => policy::run(command, arguments.output),
    };
    outcome.unwrap_or_else(|error| {
        output::complain(&error);
        ExitCode::FAILURE
    })
}
