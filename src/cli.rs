//! The command line: the original's options with the habits of Python's optparse.
//!
//! Source: `watcher/__init__.py: ParseOptions`, `cli.py: ParseTimespec`, `cli_opts.py`.

use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, Parser, Subcommand};

use crate::decide::tags::parse_timespec;
use crate::watch::retry::Whose;
use crate::{simulate, watch};

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
    override_usage = "ganeti-watcher [-d]",
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
    #[arg(long, value_name = "N", default_value_t = 4, hide_default_value = true, value_parser = parse_count)]
    starts_per_node: usize,

    /// At most so many jobs at once in the whole cluster, always fewer than its max_running_jobs (default 16)
    #[arg(long, value_name = "N", default_value_t = 16, hide_default_value = true, value_parser = parse_count)]
    parallel_jobs: usize,

    /// Start nothing on a node with so many busy processors or more, as ganeti-mond tells
    #[arg(long, value_name = "LOAD", value_parser = parse_load)]
    load_limit: Option<f64>,

    /// Start an instance on its primary node alone when its secondary has been silent for so long (default never;
    /// suffixes s, m, h, d, w)
    #[arg(long, value_name = "TIME")]
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
        Some(Command::Simulate(options)) => return Ok(Request::Simulate(options)),
        Some(Command::Retry(Retry { all: true, .. })) => return Ok(Request::Retry(Whose::All)),
        Some(Command::Retry(Retry { instances, .. })) => return Ok(Request::Retry(Whose::Of(instances))),
        None => {}
    }
    let bad_value = |option: &str, problem: String| {
        Refusal::BadValue(format!("ganeti-watcher: error: option --{option}: {problem}"))
    };
    let job_age = parse_timespec(&arguments.job_age).map_err(|problem| bad_value("job-age", problem))?;
    let hook_limit =
        parse_limit(&arguments.kill_hooks_after).map_err(|problem| bad_value("kill-hooks-after", problem))?;
    let start_degraded = arguments.start_degraded.as_deref().map(parse_limit).transpose();
    let start_degraded = start_degraded.map_err(|problem| bad_value("start-degraded", problem))?;
    Ok(Request::Watch(watch::Options {
        node_group: arguments.node_group,
        job_age,
        ignore_pause: arguments.ignore_pause,
        wait_children: !arguments.no_wait_children,
        no_verify_disks: arguments.no_verify_disks,
        no_strict: arguments.no_strict,
        debug: arguments.debug > 0,
        rapi_ip: arguments.rapi_ip,
        hook_limit,
        starts_per_node: arguments.starts_per_node,
        parallel_jobs: arguments.parallel_jobs,
        load_limit: arguments.load_limit,
        start_degraded,
        timer: arguments.timer,
        dry_run: arguments.dry_run,
    }))
}

fn refusal(error: &clap::Error) -> Refusal {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Answer(error.to_string()),
        _ => {
            let text = error.to_string();
            // What is wrong comes first, on one line or more, then an empty line; somewhere below is the usage.
            let message: Vec<&str> =
                text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
            let message = message.join(" ");
            let message = message.strip_prefix("error: ").unwrap_or(&message);
            let usage = text.lines().find(|line| line.starts_with("Usage: "));
            let usage = usage.unwrap_or("Usage: ganeti-watcher [-d]");
            Refusal::Usage(format!("{usage}\n\nganeti-watcher: error: {message}"))
        }
    }
}

/// At least one.
fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a number from 1".to_owned()),
    }
}

fn parse_load(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(load) if load > 0.0 && f64::is_finite(load) => Ok(load),
        _ => Err("expected a number of processors above 0, such as 3.5".to_owned()),
    }
}

/// A time specification that leaves something time to do its work.
fn parse_limit(text: &str) -> Result<Duration, String> {
    let seconds = u64::try_from(parse_timespec(text)?).unwrap_or_default();
    if seconds == 0 {
        Err(format!("'{text}' leaves no time at all"))
    } else {
        Ok(Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<watch::Options, Refusal> {
        match parse(["ganeti-watcher"].iter().chain(arguments).map(Into::into))? {
            Request::Watch(options) => Ok(options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_options_the_defaults_are_the_original_s() {
        assert_eq!(
            options(&[]).unwrap(),
            watch::Options {
                node_group: None,
                job_age: 21_600,
                ignore_pause: false,
                wait_children: true,
                no_verify_disks: false,
                no_strict: false,
                debug: false,
                rapi_ip: "127.0.0.1".into(),
                hook_limit: Duration::from_secs(600),
                starts_per_node: 4,
                parallel_jobs: 16,
                load_limit: None,
                start_degraded: None,
                timer: false,
                dry_run: false,
            }
        );
    }

    #[test]
    fn options_may_be_shortened_joined_and_repeated_as_with_optparse() {
        let given = options(&["-ddA1h", "--ign", "--job=2", "--no-v", "--no-s", "-g", "U"]).unwrap();
        assert!(given.debug && given.ignore_pause && given.no_verify_disks && given.no_strict);
        assert_eq!(given.job_age, 2);
        assert_eq!(given.node_group.as_deref(), Some("U"));
        assert_eq!(options(&["-A", "-5"]).unwrap().job_age, -5);
        assert!(options(&["--d"]).unwrap().debug, "the original has no other option with a d");
        assert!(options(&["--dry"]).unwrap().dry_run);
    }

    #[test]
    fn the_last_word_about_waiting_counts() {
        assert!(!options(&["--no-wait-children"]).unwrap().wait_children);
        assert!(!options(&["--wait-children", "--no-wait-children"]).unwrap().wait_children);
        assert!(options(&["--no-wait-children", "--wait-children"]).unwrap().wait_children);
    }

    #[test]
    fn a_wrong_command_line_is_answered_as_optparse_does() {
        for arguments in
            [&["--no"][..], &["--nonsense"], &["argument"], &["--job-age"], &["-x"], &["--debug=1"]]
        {
            let Err(Refusal::Usage(text)) = options(arguments) else {
                panic!("{arguments:?} was not refused");
            };
            assert!(text.starts_with("Usage: ganeti-watcher [-d]\n\nganeti-watcher: error: "), "{text}");
            assert!(!text.ends_with(": "), "{text}");
        }
    }

    #[test]
    fn help_and_version_are_answers() {
        let Err(Refusal::Answer(version)) = options(&["--version"]) else { panic!() };
        assert!(version.starts_with("ganeti-watcher (ganeti) "), "{version}");
        let Err(Refusal::Answer(help)) = options(&["-h"]) else { panic!() };
        assert!(help.contains("Usage: ganeti-watcher [-d]") && help.contains("--no-strict"), "{help}");
    }

    #[test]
    fn limits_are_numbers_from_one() {
        let given =
            options(&["--starts", "2", "--parallel-jobs=8", "--load=3.5", "--start-d", "1h"]).unwrap();
        assert_eq!((given.starts_per_node, given.parallel_jobs, given.load_limit), (2, 8, Some(3.5)));
        assert_eq!(given.start_degraded, Some(Duration::from_secs(3600)));
        for wrong in ["--starts-per-node=0", "--parallel-jobs=-1", "--load-limit=0", "--load-limit=nan"] {
            assert!(matches!(options(&[wrong]), Err(Refusal::Usage(_))), "{wrong}");
        }
        assert!(matches!(options(&["--start-degraded=0"]), Err(Refusal::BadValue(_))));
    }

    #[test]
    fn retry_needs_names_or_all() {
        let request = |arguments: &[&str]| parse(["ganeti-watcher"].iter().chain(arguments).map(Into::into));
        assert_eq!(request(&["retry", "--all"]), Ok(Request::Retry(Whose::All)));
        assert_eq!(
            request(&["retry", "i1", "i2"]),
            Ok(Request::Retry(Whose::Of(vec!["i1".into(), "i2".into()])))
        );
        for wrong in [&["retry"][..], &["retry", "--all", "i1"]] {
            assert!(matches!(request(wrong), Err(Refusal::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn time_specifications_are_ganeti_s() {
        for (text, seconds) in
            [("30", 30), ("30s", 30), ("5m", 300), ("6h", 21_600), ("1d", 86_400), ("2w", 1_209_600)]
        {
            assert_eq!(parse_timespec(text), Ok(seconds));
        }
        for text in ["", "h", "1.5h", "1h30m", "1y", "99999999999999999999", "9223372036854775807w"] {
            assert!(parse_timespec(text).is_err(), "{text}");
        }
        assert!(matches!(options(&["-A", "soon"]), Err(Refusal::BadValue(_))));
        assert_eq!(options(&["--kill-hooks-after=20m"]).unwrap().hook_limit, Duration::from_secs(1200));
        for text in ["0", "-5", "soon"] {
            assert!(matches!(options(&["--kill", text]), Err(Refusal::BadValue(_))), "{text}");
        }
    }
}
