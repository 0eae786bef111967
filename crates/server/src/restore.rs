//! `wharfinger restore DIR`: an empty data directory and an empty database become what a backup has.
//!
//! While it runs, and after it was cut off, the data directory has a mark that `serve` refuses. Objects come first;
//! the database is filled in one transaction; then the mark goes.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use wharfinger_metastore::{Location, Store};
use wharfinger_registry::backup;

use crate::data_dir::{DataDir, RESTORING};
use crate::serve::location;
use crate::settings::Settings;
use crate::{Output, upkeep};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The directory that `wharfinger admin backup` wrote.
    #[arg(value_name = "DIR")]
    backup: std::path::PathBuf,
    /// Read all of the backup, say what is wrong with it, and restore nothing.
    #[arg(long)]
    check: bool,
    /// Restore although objects of the backup are damaged: their blobs are absent until they are pushed again.
    #[arg(long)]
    allow_damaged: bool,
}

pub(crate) fn run(
    data_dir: &Path,
    settings: &Settings,
    arguments: &Arguments,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let report = runtime.block_on(async {
        if arguments.check {
            return Ok(backup::check(&arguments.backup, upkeep::teller("check")).await?);
        }
        restore(data_dir, settings, arguments).await
    })?;
    let is_refused = !report.is_whole() && !arguments.check && !arguments.allow_damaged;
    let code = upkeep::report(&serde_json::to_value(&report)?, output);
    if is_refused {
        bail!(
            "the backup is damaged, and nothing was restored: --allow-damaged restores all but those blobs"
        );
    }
    Ok(if arguments.allow_damaged { ExitCode::SUCCESS } else { code })
}

async fn restore(
    data_dir: &Path,
    settings: &Settings,
    arguments: &Arguments,
) -> anyhow::Result<backup::RestoreReport> {
    let data_dir = DataDir::open(data_dir)?;
    data_dir.require_empty()?;
    let location = location(&data_dir, settings);
    if let Location::Postgres(_) = &location
        && !Store::is_empty(&location).await.context("cannot look into the database of database.url")?
    {
        bail!("the database of database.url is not empty: create another one, and restore into that");
    }
    let mark = "A restore is under way, or was cut off: run it again.\n";
    data_dir.write_private(RESTORING, mark).context("cannot write to the data directory")?;
    for name in ["wharfinger.db", "wharfinger.db-wal", "wharfinger.db-shm"] {
        // Left by a restore that was cut off.
        data_dir.remove(name);
    }
    let objects = data_dir.join("objects");
    let allow_damaged = arguments.allow_damaged;
    let report =
        backup::restore(&arguments.backup, &objects, &location, allow_damaged, upkeep::teller("restore"))
            .await?;
    if report.is_whole() || allow_damaged {
        // Brings the schema up to date: whatever fails at that is seen now.
        Store::open(&location).await.context("cannot open the restored database")?.close().await;
        data_dir.remove_durably(RESTORING).context("cannot take the mark of the restore away")?;
    }
    Ok(report)
}
