//! watcher.log: one line per event, in the original's layout, written immediately: `YYYY-MM-DD HH:MM:SS,mmm:
//! ganeti-watcher pid=PID LEVEL MESSAGE`, with `MODULE:LINE` before the level under `--debug`.
//!
//! Source: `utils/log.py: SetupLogging, _GetLogFormatter`.

mod panics;
mod sink;

use std::borrow::Borrow;
use std::fmt::{self, Write as _};
use std::io;
use std::panic::Location;
use std::path::Path;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber, debug, error, info, warn};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt as subscriber_fmt};

pub use panics::contain;
use sink::Sink;
pub use sink::Trouble;

use crate::clock::{Clock, log_stamp};
use crate::cluster::excerpt;
use crate::tell::{LogLine, Severity};

/// Name of the log file in Ganeti's log directory.
pub const LOG_FILE: &str = "watcher.log";
const PROGRAM: &str = "ganeti-watcher";

/// Sends every event to the log file, and with `debug` to stderr too. `pid` is the process that the lines
/// name. Lines that cannot be written are noted as trouble.
///
/// Returns the reason when the file cannot be opened. The events then go to stderr alone.
pub fn start<C>(directory: &Path, debug: bool, clock: C, pid: u32, trouble: &Trouble) -> Option<io::Error>
where
    C: Clock + Send + Sync + 'static,
{
    let path = directory.join(LOG_FILE);
    let (writer, problem) = match sink::open(&path) {
        // One formatted line for both, so that the terminal shows what is in the file.
        Ok(file) => (BoxMakeWriter::new(Sink::new(file, name(&path), debug, trouble.clone())), None),
        Err(error) => {
            let stderr = "the standard error".to_owned();
            (BoxMakeWriter::new(Sink::new(io::stderr, stderr, false, trouble.clone())), Some(error))
        }
    };
    let layer = subscriber_fmt::layer()
        .event_format(LineLayout { clock, pid, with_location: debug })
        .with_writer(writer)
        .with_filter(level(debug));
    let subscriber = tracing_subscriber::registry().with(layer);
    // Set once, by main; a second call in a test process changes nothing.
    drop(tracing::subscriber::set_global_default(subscriber));
    problem
}

/// For a dry run: every event goes to stdout as a line with just its message, and no file is touched.
pub fn start_on_stdout(debug: bool, trouble: &Trouble) {
    let level = level(debug);
    let stdout = Sink::new(io::stdout, "the standard output".to_owned(), false, trouble.clone());
    let to_stdout = subscriber_fmt::layer().event_format(PlainLayout).with_writer(stdout);
    let subscriber = tracing_subscriber::registry().with(to_stdout.with_filter(level));
    drop(tracing::subscriber::set_global_default(subscriber));
}

/// Sends the events of this thread to the log file, until the guard is dropped. For a simulation, whose runs
/// follow one another in one process.
///
/// # Errors
/// When the file cannot be opened.
pub fn scoped<C>(directory: &Path, debug: bool, clock: C, pid: u32) -> Result<DefaultGuard, io::Error>
where
    C: Clock + Send + Sync + 'static,
{
    let path = directory.join(LOG_FILE);
    let file = Sink::new(sink::open(&path)?, name(&path), false, Trouble::default());
    let layer = subscriber_fmt::layer()
        .event_format(LineLayout { clock, pid, with_location: debug })
        .with_writer(file)
        .with_filter(level(debug));
    Ok(tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)))
}

fn name(path: &Path) -> String {
    format!("the log file '{}'", path.display())
}

fn level(debug: bool) -> LevelFilter {
    if debug { LevelFilter::DEBUG } else { LevelFilter::INFO }
}

/// Logs a line, which is the caller's under `--debug`.
#[track_caller]
pub fn log(line: impl Borrow<LogLine>) {
    log_of(line.borrow(), Location::caller());
}

/// Logs lines.
#[track_caller]
pub fn log_all(lines: impl IntoIterator<Item: Borrow<LogLine>>) {
    let caller = Location::caller();
    lines.into_iter().for_each(|line| log_of(line.borrow(), caller));
}

fn log_of(logged: &LogLine, caller: &Location<'_>) {
    let (file, line, text) = (caller.file(), caller.line(), &logged.text);
    match logged.severity {
        Severity::Debug => debug!(file, line, "{text}"),
        Severity::Info => info!(file, line, "{text}"),
        Severity::Warning => warn!(file, line, "{text}"),
        Severity::Error => error!(file, line, "{text}"),
    }
}

/// `TIMESTAMP: PROGRAM pid=PID[ MODULE:LINE] LEVEL MESSAGE`.
struct LineLayout<C> {
    clock: C,
    pid: u32,
    with_location: bool,
}

impl<S, N, C> FormatEvent<S, N> for LineLayout<C>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    C: Clock,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{}: {PROGRAM} pid={} ", log_stamp(self.clock.since_epoch()), self.pid)?;
        let metadata = event.metadata();
        if self.with_location {
            let mut place = Place { file: metadata.file().map(str::to_owned), line: metadata.line() };
            event.record(&mut place);
            write!(writer, "{place} ")?;
        }
        let message = message_of(event);
        writeln!(writer, "{} {}", python_level(metadata), OneLine(&message))
    }
}

/// The message alone, with its level unless that is INFO: for a person at a terminal.
struct PlainLayout;

impl<S, N> FormatEvent<S, N> for PlainLayout
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let message = message_of(event);
        if *event.metadata().level() != Level::INFO {
            write!(writer, "{}: ", python_level(event.metadata()))?;
        }
        writeln!(writer, "{}", OneLine(&message))
    }
}

/// An error with this target is CRITICAL, a level that tracing does not have.
pub const CRITICAL: &str = "critical";

fn python_level(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        Level::ERROR if metadata.target() == CRITICAL => "CRITICAL",
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

/// The longest text that belongs in a log line, whoever wrote it; in bytes.
const LONGEST_MESSAGE: usize = 16 << 10;

fn message_of(event: &Event<'_>) -> String {
    let mut message = Message(String::new());
    event.record(&mut message);
    excerpt(&message.0, LONGEST_MESSAGE)
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a String does not fail.
            let _written = write!(self.0, "{value:?}");
        }
    }
}

/// Where a line was logged.
struct Place {
    file: Option<String>,
    line: Option<u32>,
}

impl Visit for Place {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "file" {
            self.file = Some(value.to_owned());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "line" {
            self.line = u32::try_from(value).ok();
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

impl fmt::Display for Place {
    /// `MODULE:LINE`, as Python has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = self.file.as_ref().and_then(|file| Path::new(file).file_stem());
        let module = module.map_or("unknown".into(), |module| module.to_string_lossy());
        write!(formatter, "{module}:{}", self.line.unwrap_or(0))
    }
}

/// Text that stays on its line: what Ganeti or a daemon printed may contain line feeds, and it must be
/// impossible to fake a log line through the name of something.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(formatter, "{}", character.escape_default())?;
            } else {
                formatter.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct TestLayout;

    impl<S, N> FormatEvent<S, N> for TestLayout
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        N: for<'a> FormatFields<'a> + 'static,
    {
        fn format_event(
            &self,
            _context: &FmtContext<'_, S, N>,
            mut writer: Writer<'_>,
            event: &Event<'_>,
        ) -> fmt::Result {
            let message = message_of(event);
            writeln!(writer, "{} {}", python_level(event.metadata()), OneLine(&message))
        }
    }

    /// What is logged while `work` is done: `LEVEL MESSAGE` lines.
    pub(crate) fn logged(work: impl Future<Output = ()>) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = subscriber_fmt::layer().event_format(TestLayout).with_writer(move || writer.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            runtime.block_on(work);
        });
        String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
mod tests;
