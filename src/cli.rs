//! The command line: the original's options with the habits of Python's optparse.
//!
//! Source: `watcher/__init__.py: ParseOptions`, `cli.py: ParseTimespec`, `cli_opts.py`.

use clap::{ArgAction, Parser, Subcommand};

use crate::watch::retry::Whose;
use crate::{simulate, watch};

mod refusal;
mod values;

use refusal::refusal;
use values::{parse_address, parse_age, parse_count, parse_limit, parse_load};

const USAGE: &str = "\
ganeti-watcher [OPTIONS]
       ganeti-watcher retry <INSTANCE...|--all>
       ganeti-watcher simulate [OPTIONS]";

/// What was asked for on the command line.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// A run.
    Watch(watch::Options),
    /// A story of a simulated cluster.
    Simulate(simulate::Options),
    /// All tries for instances that have none left.
    Retry(Whose),
}

#[derive(Debug, Parser)]
#[command(
    name = "ganeti-watcher",
    version = concat!("(ganeti) ", env!("CARGO_PKG_VERSION"), " (Rust)"),
    about = "Ganeti cluster watcher: keeps instances running and DRBD disks connected",
    override_usage = USAGE,
    infer_long_args = true,
    args_override_self = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    disable_version_flag = true
)]
struct Arguments {
    /// Increase debugging level
    #[arg(short, long, alias = "d", action = ArgAction::Count)]
    debug: u8,

    /// Run only for this node group (a UUID)
    #[arg(short = 'g', long, value_name = "NODEGROUP", allow_hyphen_values = true)]
    node_group: Option<String>,

    /// Autoarchive jobs older than this age (default 6 hours; suffixes s, m, h, d, w)
    #[arg(
        short = 'A',
        long,
        value_name = "JOB_AGE",
        default_value = "6h",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    job_age: String,

    /// Ignore cluster pause setting
    #[arg(long)]
    ignore_pause: bool,

    /// Wait for child processes (the default)
    #[arg(long, overrides_with = "no_wait_children")]
    wait_children: bool,

    /// Don't wait for child processes
    #[arg(long)]
    no_wait_children: bool,

    /// Do not verify disk status
    #[arg(long)]
    no_verify_disks: bool,

    /// Verify disks without waiting for locks (Ganeti 3.1 and later)
    #[arg(long)]
    no_strict: bool,

    /// Use this IP to talk to RAPI
    #[arg(
        long,
        value_name = "RAPI_IP",
        default_value = "127.0.0.1",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    rapi_ip: String,

    /// Kill a watcher hook that runs longer than this (default 10 minutes; suffixes s, m, h, d, w)
    #[arg(
        long,
        value_name = "TIME",
        default_value = "10m",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    kill_hooks_after: String,

    /// At most so many instances are started at once on a node (default 4)
    #[arg(long, value_name = "N", default_value_t = 4, hide_default_value = true, value_parser = parse_count, allow_hyphen_values = true)]
    starts_per_node: usize,

    /// At most so many jobs at once in the whole cluster, always fewer than its max_running_jobs (default 16)
    #[arg(long, value_name = "N", default_value_t = 16, hide_default_value = true, value_parser = parse_count, allow_hyphen_values = true)]
    parallel_jobs: usize,

    /// Start nothing on a node with so many busy processors or more, as ganeti-mond tells
    #[arg(long, value_name = "LOAD", value_parser = parse_load, allow_hyphen_values = true)]
    load_limit: Option<f64>,

    /// Start an instance on its primary node alone when its secondary has been silent for so long (default never;
    /// suffixes s, m, h, d, w)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    start_degraded: Option<String>,

    /// For ganeti-watcher.timer: do nothing but say so and fail when cron calls the watcher as well
    #[arg(long)]
    timer: bool,

    /// Look and decide, print what would be done and why, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Show program's version number and exit
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how a simulated cluster comes back after an outage; needs no Ganeti and changes nothing
    Simulate(simulate::Options),
    /// Give instances all their tries back, and let none of them wait any more
    Retry(Retry),
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "ganeti-watcher retry <INSTANCE...|--all>")]
#[group(required = true, multiple = false)]
struct Retry {
    /// Names of the instances
    #[arg(value_name = "INSTANCE")]
    instances: Vec<String>,

    /// Every instance that has something on record
    #[arg(long)]
    all: bool,
}

/// What to do instead of a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Print this to stdout and exit with 0: help or version.
    Answer(String),
    /// Print this to stderr and exit with 2: the command line is wrong.
    Usage(String),
    /// Print this to stderr and exit with 1: an option's value is wrong, which the original finds out later.
    BadValue(String),
}

/// The command line as clap knows it, for the shells' completions and to compare the man page with.
#[must_use]
pub fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// Reads the command line; the first argument is the program's name.
///
/// # Errors
/// See [`Refusal`].
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Request, Refusal> {
    let arguments = Arguments::try_parse_from(arguments).map_err(|error| refusal(&error))?;
    match arguments.command {
        Some(Command::Simulate(options)) => {
            return match options.check() {
                Ok(()) => Ok(Request::Simulate(options)),
                Err(problem) => Err(Refusal::Usage(refusal::with_usage(
                    "Usage: ganeti-watcher simulate [OPTIONS]",
                    &problem,
                ))),
            };
        }
        Some(Command::Retry(Retry { all: true, .. })) => return Ok(Request::Retry(Whose::All)),
        Some(Command::Retry(Retry { instances, .. })) => return Ok(Request::Retry(Whose::Of(instances))),
        None => {}
    }
    let bad_value = |option: &str, problem: String| {
        Refusal::BadValue(format!("ganeti-watcher: error: option --{option}: {problem}"))
    };
    let job_age = parse_age(&arguments.job_age).map_err(|problem| bad_value("job-age", problem))?;
    let hook_limit =
        parse_limit(&arguments.kill_hooks_after).map_err(|problem| bad_value("kill-hooks-after", problem))?;
    let start_degraded = arguments.start_degraded.as_deref().map(parse_limit).transpose();
    let start_degraded = start_degraded.map_err(|problem| bad_value("start-degraded", problem))?;
    let rapi_ip = parse_address(&arguments.rapi_ip).map_err(|problem| bad_value("rapi-ip", problem))?;
    Ok(Request::Watch(watch::Options {
        node_group: arguments.node_group,
        job_age,
        ignore_pause: arguments.ignore_pause,
        wait_children: !arguments.no_wait_children,
        no_verify_disks: arguments.no_verify_disks,
        no_strict: arguments.no_strict,
        debug: arguments.debug > 0,
        rapi_ip,
        hook_limit,
        starts_per_node: arguments.starts_per_node,
        parallel_jobs: arguments.parallel_jobs,
        load_limit: arguments.load_limit,
        start_degraded,
        timer: arguments.timer,
        dry_run: arguments.dry_run,
    }))
}

#[cfg(test)]
mod tests;
