//! Parses the command line, starts the runtime, makes one run, and turns its outcome into an exit code.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::{Context as _, Error, Result, bail};
use ganeti_watcher::armed::Armed;
use ganeti_watcher::cli::{self, Request};
use ganeti_watcher::clock::{Clock, SystemClock, file_stamp};
use ganeti_watcher::layout::Layout;
use ganeti_watcher::logging::{self, Trouble};
use ganeti_watcher::luxi::UnixSocket;
use ganeti_watcher::node::Duties;
use ganeti_watcher::node::cron::{self, Caller};
use ganeti_watcher::node::mond::Mond;
use ganeti_watcher::options::{Options, Refusal};
use ganeti_watcher::simulate;
use ganeti_watcher::tell;
use ganeti_watcher::watch::retry::Whose;
use ganeti_watcher::watch::{self, Context, Ended};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code for a wrong command line, as in optparse.
const USAGE: u8 = 2;

/// How many files a process can usually open.
const USUAL_FILES: rlim_t = 1024;
/// How many files are open while a daemon is started.
const FEWEST_FILES: usize = 16;

fn main() -> ExitCode {
    let trouble = Trouble::default();
    match logging::contain(&trouble, || answer(&trouble)) {
        Some(code) if !trouble.occurred() => ExitCode::from(code),
        _ => ExitCode::from(Ended::Failed.exit_code()),
    }
}

fn answer(trouble: &Trouble) -> u8 {
    match cli::parse(std::env::args_os()) {
        Ok(request) => match carry_out(&request, trouble) {
            Ok(ended) => ended.exit_code(),
            Err(error) => {
                say(&format!("ganeti-watcher: error: {error:#}{}", advice(&error)));
                Ended::Failed.exit_code()
            }
        },
        Err(Refusal::Answer(text)) => {
            print(text.trim_end(), trouble);
            Ended::Done.exit_code()
        }
        Err(Refusal::Usage(text)) => {
            say(&text);
            USAGE
        }
        Err(Refusal::BadValue(text)) => {
            say(&text);
            Ended::Failed.exit_code()
        }
    }
}

fn carry_out(request: &Request, trouble: &Trouble) -> Result<Ended> {
    make_room_for_files()?;
    match request {
        Request::Watch(options) => run(options, trouble),
        Request::Simulate(options) => simulate::simulate(options).map(|()| Ended::Done),
        Request::Retry(whose) => retry(whose, trouble),
    }
}

fn retry(whose: &Whose, trouble: &Trouble) -> Result<Ended> {
    let layout = Layout::from_environment()?;
    let runtime = runtime()?;
    logging::start_on_stdout(false, trouble);
    let armed = Armed::for_retry();
    let stamp = file_stamp(SystemClock.since_epoch());
    let given_back = runtime.block_on(watch::retry::retry(&armed, &layout, whose, &stamp))?;
    tell::retry::given_back(&given_back).iter().for_each(|line| print(line, trouble));
    Ok(Ended::Done)
}

/// An error here came too early for the log, or concerns the caller, and belongs on stderr.
fn run(options: &Options, trouble: &Trouble) -> Result<Ended> {
    let layout = Layout::from_environment()?;
    let runtime = runtime()?;
    if options.dry_run {
        logging::start_on_stdout(options.is_debug(), trouble);
    } else {
        open_log(&layout, options.is_debug(), trouble)?;
    }
    if options.timer {
        leave_it_to_cron(&layout)?;
    }
    let armed = Armed::for_run(options.dry_run);
    let luxid = UnixSocket(layout.luxi_socket());
    let daemons = Duties {
        layout: &layout,
        clock: &SystemClock,
        rapi_ip: &options.rapi_ip,
        hook_limit: options.kill_hooks_after,
        supervision: tokio::sync::OnceCell::new(),
    };
    let context = Context {
        options,
        layout: &layout,
        clock: &SystemClock,
        luxid: &luxid,
        daemons: &daemons,
        monitor: &Mond::new(&layout),
        armed: armed.as_ref(),
    };
    Ok(runtime.block_on(watch::run(&context)))
}

fn runtime() -> Result<Runtime> {
    // tokio creates a pair for signals, and panics if it cannot.
    drop(
        UnixStream::pair()
            .context("cannot create a pair of sockets, without which no program can be waited for")?,
    );
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    // A write to a file that has reached its size limit (RLIMIT_FSIZE) then fails and can be reported,
    // instead of killing the process. Handled, not ignored or blocked: the daemons that are started would
    // inherit that.
    let guard = runtime.enter();
    let too_large = SignalKind::from_raw(Signal::SIGXFSZ as i32);
    drop(signal(too_large).context("cannot handle SIGXFSZ")?);
    drop(guard);
    Ok(runtime)
}

/// The usual number of open files, if permitted. With almost none, no daemon could be started, and tokio
/// panics.
fn make_room_for_files() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read RLIMIT_NOFILE")?;
    // No more than usual: the daemons that are started inherit it.
    let wanted = USUAL_FILES.min(hard);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).context("cannot raise RLIMIT_NOFILE")?;
    }
    // Counted by opening them: the caller may have left files open.
    let stderr = io::stderr();
    let room: Result<Vec<_>, _> = (0..FEWEST_FILES).map(|_| stderr.as_fd().try_clone_to_owned()).collect();
    room.map(drop).with_context(|| {
        format!(
            "at least {FEWEST_FILES} more files have to be opened at once, which the limit of this \
             process does not allow (RLIMIT_NOFILE is {}): raise the limit of what calls it, with 'ulimit \
             -n' or LimitNOFILE= of systemd",
            soft.max(wanted)
        )
    })
}

/// A log that cannot be opened keeps nothing from being repaired.
///
/// # Errors
/// For a user other than root who cannot write it: nothing else would succeed, and files that root's runs
/// need would get the wrong owner.
fn open_log(layout: &Layout, debug: bool, trouble: &Trouble) -> Result<()> {
    let log_dir = layout.log_dir();
    let file = log_dir.join(logging::LOG_FILE);
    let problem = logging::start(&log_dir, debug, SystemClock, std::process::id(), trouble);
    let Some(problem) = problem else { return Ok(()) };
    trouble.note();
    if problem.kind() == io::ErrorKind::PermissionDenied && !geteuid().is_root() {
        return Err(problem).with_context(|| format!("cannot open the log file '{}'", file.display()));
    }
    logging::log(tell::begin::no_log_file(&file, &problem));
    Ok(())
}

/// Two callers would be one too many: cron's line came with Ganeti, so the timer gives way. If it is unclear
/// whether cron calls, it does not: two callers do no harm, and none would leave the cluster unattended.
///
/// # Errors
/// When cron calls the watcher. It is logged, and also goes to systemd's journal.
fn leave_it_to_cron(layout: &Layout) -> Result<()> {
    let file = match cron::caller(layout) {
        Caller::Cron(file) => file,
        Caller::Nobody => return Ok(()),
        Caller::Unknown(why) => {
            logging::log(tell::begin::cron_is_unclear(&why));
            return Ok(());
        }
    };
    let conflict = tell::begin::left_to_cron(&file);
    logging::log(&conflict);
    bail!(conflict.text)
}

/// Advice for an error.
fn advice(error: &Error) -> &'static str {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    let is_denied = causes.any(|cause| cause.kind() == io::ErrorKind::PermissionDenied);
    if is_denied && !geteuid().is_root() { "; run it as root" } else { "" }
}

fn print(text: &str, trouble: &Trouble) {
    match writeln!(io::stdout(), "{text}") {
        // A reader that closed its end has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            trouble.note();
            say(&format!("ganeti-watcher: error: cannot write to the standard output: {error}"));
        }
        _ => {}
    }
}

/// Writes to stderr; if that is closed or full, nobody can be told.
fn say(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
