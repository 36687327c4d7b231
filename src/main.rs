//! Parses, starts the runtime, makes one run, and turns how it ended into an exit code.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use ganeti_watcher::armed::Armed;
use ganeti_watcher::cli::{self, Refusal, Request};
use ganeti_watcher::clock::{Clock, SystemClock, file_stamp};
use ganeti_watcher::layout::Layout;
use ganeti_watcher::logging;
use ganeti_watcher::luxi::UnixSocket;
use ganeti_watcher::node::mond::Mond;
use ganeti_watcher::node::{Duties, cron};
use ganeti_watcher::simulate;
use ganeti_watcher::watch::retry::Whose;
use ganeti_watcher::watch::{self, Context, Ended, Options};

/// `constants.EXIT_SUCCESS`, `EXIT_FAILURE`, `EXIT_NOTMASTER`; 2 is optparse's.
const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const NOT_MASTER: u8 = 11;

fn main() -> ExitCode {
    let code = match cli::parse(std::env::args_os()) {
        Ok(request) => match carry_out(&request) {
            Ok(Ended::Done) => SUCCESS,
            Ok(Ended::Failed) => FAILURE,
            Ok(Ended::NotMaster) => NOT_MASTER,
            Err(error) => {
                say(&mut std::io::stderr(), &format!("ganeti-watcher: error: {error:#}"));
                FAILURE
            }
        },
        Err(Refusal::Answer(text)) => {
            say(&mut std::io::stdout(), text.trim_end());
            SUCCESS
        }
        Err(Refusal::Usage(text)) => {
            say(&mut std::io::stderr(), &text);
            USAGE
        }
        Err(Refusal::BadValue(text)) => {
            say(&mut std::io::stderr(), &text);
            FAILURE
        }
    };
    ExitCode::from(code)
}

fn carry_out(request: &Request) -> Result<Ended> {
    match request {
        Request::Watch(options) => run(options),
        Request::Simulate(options) => simulate::tell(options).map(|()| Ended::Done),
        Request::Retry(whose) => retry(whose),
    }
}

fn retry(whose: &Whose) -> Result<Ended> {
    let layout = Layout::from_environment()?;
    logging::start_on_stdout(false);
    let armed = Armed::unless(false).context("resetting tries changes files")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stamp = file_stamp(SystemClock.since_epoch());
    let lines = runtime.block_on(watch::retry::retry(&armed, &layout, whose, &stamp))?;
    lines.iter().for_each(|line| say(&mut std::io::stdout(), line));
    Ok(Ended::Done)
}

/// An error here came too early for the log, and belongs on stderr.
fn run(options: &Options) -> Result<Ended> {
    let layout = Layout::from_environment()?;
    let log_dir = layout.log_dir();
    let problem = if options.dry_run {
        logging::start_on_stdout(options.debug);
        None
    } else {
        logging::start(&log_dir, options.debug, SystemClock, std::process::id())
            .with_context(|| format!("cannot open the log file in '{}'", log_dir.display()))?
    };
    if let Some(problem) = problem {
        tracing::error!(
            "Cannot open the log file in '{}', logging to stderr only: {problem}",
            log_dir.display()
        );
    }
    if options.timer {
        leave_it_to_cron(&layout)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let armed = Armed::unless(options.dry_run);
    let luxid = UnixSocket(layout.luxi_socket());
    let daemons = Duties {
        layout: &layout,
        clock: &SystemClock,
        rapi_ip: &options.rapi_ip,
        hook_limit: options.hook_limit,
        supervision: tokio::sync::OnceCell::new(),
    };
    let context = Context {
        options,
        layout: &layout,
        clock: &SystemClock,
        luxid: &luxid,
        daemons: &daemons,
        monitor: &Mond { layout: &layout },
        armed: armed.as_ref(),
    };
    Ok(runtime.block_on(watch::run(&context)))
}

/// Two callers would be one too many: cron's line came with Ganeti, so the timer is the one that gives way.
///
/// # Errors
/// When cron calls the watcher. It is logged, and goes to systemd's journal as well.
fn leave_it_to_cron(layout: &Layout) -> Result<()> {
    let Some(file) = cron::caller(layout) else { return Ok(()) };
    let conflict = format!(
        "'{}' has cron call the watcher, so the timer does nothing: comment out every line that does, or disable \
         ganeti-watcher.timer",
        file.display()
    );
    tracing::error!("{conflict}");
    bail!(conflict)
}

fn say(stream: &mut dyn Write, text: &str) {
    // A reader that closed its end has heard enough.
    drop(writeln!(stream, "{text}"));
}
