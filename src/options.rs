//! The options of a run, as on the command line: the original's, with the habits of Python's optparse.
//!
//! Source: `watcher/__init__.py: ParseOptions`, `cli_opts.py`. An option's comment here is its `--help` text.

mod refusal;
mod values;

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{ArgAction, Command, CommandFactory, Parser, Subcommand};

use refusal::LATE;
pub(crate) use refusal::USAGE;
pub use refusal::{Refusal, with_usage};
pub(crate) use values::whole_number;
use values::{parse_address, parse_age, parse_count, parse_limit, parse_load};

/// What a run is asked to do.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Options {
    /// Increase debugging level
    #[arg(short, long, alias = "d", action = ArgAction::Count)]
    pub debug: u8,

    /// Run only for this node group (a UUID)
    #[arg(short = 'g', long, value_name = "NODEGROUP", allow_hyphen_values = true)]
    pub node_group: Option<String>,

    /// Autoarchive jobs older than this age (default 6 hours; suffixes s, m, h, d, w)
    #[arg(
        short = 'A',
        long,
        value_name = "JOB_AGE",
        default_value = "6h",
        hide_default_value = true,
        value_parser = parse_age,
        allow_hyphen_values = true
    )]
    pub job_age: i64,

    /// Ignore cluster pause setting
    #[arg(long)]
    pub ignore_pause: bool,

    /// Wait for child processes (the default)
    #[arg(long, overrides_with = "no_wait_children")]
    pub wait_children: bool,

    /// Don't wait for child processes
    #[arg(long)]
    pub no_wait_children: bool,

    /// Do not verify disk status
    #[arg(long)]
    pub no_verify_disks: bool,

    /// Verify disks without waiting for locks (Ganeti 3.1 and later)
    #[arg(long)]
    pub no_strict: bool,

    /// Use this IP to talk to RAPI
    #[arg(
        long,
        value_name = "RAPI_IP",
        default_value = "127.0.0.1",
        hide_default_value = true,
        value_parser = parse_address,
        allow_hyphen_values = true
    )]
    pub rapi_ip: String,

    /// Kill a watcher hook that runs longer than this (default 10 minutes; suffixes s, m, h, d, w)
    #[arg(
        long,
        value_name = "TIME",
        default_value = "10m",
        hide_default_value = true,
        value_parser = parse_limit,
        allow_hyphen_values = true
    )]
    pub kill_hooks_after: Duration,

    /// Start at most this many instances at once on a node (default 4)
    #[arg(long, value_name = "N", default_value_t = 4, hide_default_value = true, value_parser = parse_count, allow_hyphen_values = true)]
    pub starts_per_node: usize,

    /// Run at most this many jobs at once in the whole cluster, always fewer than its max_running_jobs
    /// (default 16)
    #[arg(long, value_name = "N", default_value_t = 16, hide_default_value = true, value_parser = parse_count, allow_hyphen_values = true)]
    pub parallel_jobs: usize,

    /// Start nothing on a node with at least this many busy processors, as reported by ganeti-mond
    #[arg(long, value_name = "LOAD", value_parser = parse_load, allow_hyphen_values = true)]
    pub load_limit: Option<f64>,

    /// Start an instance on its primary node alone when its secondary has been silent for this long
    /// (default never; suffixes s, m, h, d, w)
    #[arg(long, value_name = "TIME", value_parser = parse_limit, allow_hyphen_values = true)]
    pub start_degraded: Option<Duration>,

    /// For ganeti-watcher.timer: if cron calls the watcher as well, do nothing, say so and fail
    #[arg(long)]
    pub timer: bool,

    /// Print what would be done and why, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A command line: a run's options, or one of the subcommands `C`.
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
pub struct CommandLine<C: Subcommand> {
    /// Those of the run, if there is no subcommand.
    #[command(flatten)]
    pub options: Options,

    /// Show program's version number and exit
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,

    /// What to do instead of a run.
    #[command(subcommand)]
    pub command: Option<C>,
}

/// The options of `retry`: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(override_usage = "ganeti-watcher retry <INSTANCE...|--all>")]
#[group(required = true, multiple = false)]
pub struct Retry {
    /// Names of the instances
    #[arg(value_name = "INSTANCE")]
    pub instances: Vec<String>,

    /// All instances that have something on record
    #[arg(long)]
    pub all: bool,
}

impl Options {
    /// Whether more is logged, and to stderr too.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.debug > 0
    }
}

/// The program with the subcommands `C` as clap knows it.
#[must_use]
pub fn command<C: Subcommand>() -> Command {
    CommandLine::<C>::command()
}

/// Reads a command line; the first argument is the program's name.
///
/// # Errors
/// See [`Refusal`].
pub fn parse<C: Subcommand>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<CommandLine<C>, Refusal> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = command::<C>();
    let refused = |error: clap::Error| refusal::refusal(&error, &command);
    let is_late = |argument: &clap::Arg| argument.get_long().is_some_and(|name| LATE.contains(&name));
    let without_values = command.clone().mut_args(|argument| match is_late(&argument) {
        true => argument.value_parser(ValueParser::string()),
        false => argument,
    });
    without_values.try_get_matches_from(&arguments).map_err(refused)?;
    CommandLine::try_parse_from(arguments).map_err(refused)
}
