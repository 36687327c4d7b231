//! Where log lines go, and what becomes of a line that cannot go there.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Level, Metadata};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::fmt::MakeWriter;

use crate::files;

/// Where the kernel lists this process's descriptors.
const OPEN_FILES: &str = "/proc/self/fd";

/// Whether something went wrong that a run's outcome does not show: a log line was lost, or part of the
/// program panicked. All clones share it.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<AtomicBool>);

impl Trouble {
    /// Remembers that there was trouble.
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether there was any.
    #[must_use]
    pub fn occurred(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Opens the log for appending, with writes that involve no other thread: nothing is lost however the process
/// ends.
///
/// The appender opens by name, follows links, waits for a FIFO's reader and creates directories. So the file
/// is opened and checked here, and the appender gets the kernel's name for that very descriptor: nobody with
/// write access to the directory can put something else in its place.
pub(super) fn open(path: &Path) -> io::Result<RollingFileAppender> {
    let checked = files::open_to_append(path)?;
    let name = checked.as_raw_fd().to_string();
    let (named, file) = (fs::metadata(Path::new(OPEN_FILES).join(&name))?, checked.metadata()?);
    if (named.dev(), named.ino()) != (file.dev(), file.ino()) {
        return Err(io::Error::other(format!("{OPEN_FILES} does not show the files of this process")));
    }
    let appender = RollingFileAppender::builder().rotation(Rotation::NEVER).filename_prefix(name);
    // Its error's text includes the cause's, which must not appear twice.
    appender.build(OPEN_FILES).map_err(|error| io::Error::other(error.to_string()))
}

/// Takes whole lines, and never fails: what cannot be written is reported on stderr, and the run goes on.
#[derive(Debug)]
pub(super) struct Sink<W> {
    writer: W,
    /// What messages call it, such as `the log file '/var/log/ganeti/watcher.log'`.
    name: String,
    /// Every line also goes to stderr.
    echo: bool,
    trouble: Trouble,
    is_told: AtomicBool,
    /// The last line was only partly written.
    is_torn: AtomicBool,
}

impl<W> Sink<W> {
    pub(super) fn new(writer: W, name: String, echo: bool, trouble: Trouble) -> Self {
        let (is_told, is_torn) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { writer, name, echo, trouble, is_told, is_torn }
    }

    /// Writes a line, and returns what must go to stderr. The reason is given once; after that only errors
    /// are worth a mail from cron.
    fn put<'a>(&'a self, line: &[u8], is_error: bool) -> String
    where
        W: MakeWriter<'a>,
    {
        let text = || String::from_utf8_lossy(line).into_owned();
        let Err(error) = self.write_whole(line) else {
            return if self.echo { text() } else { String::new() };
        };
        // The reader of a pipe has seen enough.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return if self.echo { text() } else { String::new() };
        }
        self.trouble.note();
        if self.is_told.swap(true, Ordering::Relaxed) {
            return if self.echo || is_error { text() } else { String::new() };
        }
        let name = &self.name;
        format!(
            "ganeti-watcher: error: cannot write to {name}: {error}; the run goes on, and this line and every later \
             error that cannot be written are here instead:\n{}",
            text()
        )
    }

    fn write_whole<'a>(&'a self, line: &[u8]) -> io::Result<()>
    where
        W: MakeWriter<'a>,
    {
        let mut writer = self.writer.make_writer();
        if self.is_torn.load(Ordering::Relaxed) {
            writer.write_all(b"\n")?;
            self.is_torn.store(false, Ordering::Relaxed);
        }
        let mut rest = line;
        while !rest.is_empty() {
            let written = match writer.write(rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written,
            };
            match written {
                Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                Err(error) => {
                    self.is_torn.store(rest.len() < line.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        writer.flush()
    }
}

impl<'a, W: MakeWriter<'a> + 'a> MakeWriter<'a> for Sink<W> {
    type Writer = LineOf<'a, W>;

    fn make_writer(&'a self) -> Self::Writer {
        LineOf { sink: self, is_error: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        LineOf { sink: self, is_error: *metadata.level() == Level::ERROR }
    }
}

/// The writer for one event, which arrives in one call.
#[derive(Debug)]
pub(super) struct LineOf<'a, W> {
    sink: &'a Sink<W>,
    is_error: bool,
}

impl<'a, W: MakeWriter<'a>> io::Write for LineOf<'a, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        to_stderr(&self.sink.put(line, self.is_error));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing can be reported when stderr itself is closed or full, and that does not stop a run.
pub(super) fn to_stderr(text: &str) {
    if !text.is_empty() {
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard};

    use super::*;

    /// A disk with room for this many bytes.
    struct Disk(Mutex<(usize, Vec<u8>)>);

    struct OnDisk<'a>(MutexGuard<'a, (usize, Vec<u8>)>);

    impl io::Write for OnDisk<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, content) = &mut *self.0;
            if *room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let length = bytes.len().min(*room);
            *room -= length;
            content.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Disk {
        type Writer = OnDisk<'a>;

        fn make_writer(&'a self) -> OnDisk<'a> {
            OnDisk(self.0.lock().unwrap())
        }
    }

    fn sink(room: usize, echo: bool) -> Sink<Disk> {
        let disk = Disk(Mutex::new((room, Vec::new())));
        Sink::new(disk, "the log file 'x'".to_owned(), echo, Trouble::default())
    }

    #[test]
    fn the_first_line_that_cannot_be_written_is_told_with_the_reason_and_later_only_errors() {
        let sink = sink(4, false);
        assert_eq!(sink.put(b"one\n", false), "");
        assert!(!sink.trouble.occurred());
        let told = sink.put(b"two\n", false);
        assert!(told.starts_with("ganeti-watcher: error: cannot write to the log file 'x': "), "{told}");
        assert!(told.ends_with(":\ntwo\n"), "{told}");
        assert!(sink.trouble.occurred());
        assert_eq!(sink.put(b"three\n", false), "");
        assert_eq!(sink.put(b"four\n", true), "four\n");
    }

    #[test]
    fn when_there_is_room_again_a_torn_line_does_not_spoil_the_next() {
        let sink = sink(6, false);
        sink.put(b"one\n", false);
        assert!(sink.put(b"two\n", false).ends_with("two\n"));
        sink.writer.0.lock().unwrap().0 = 100;
        assert_eq!(sink.put(b"three\n", true), "");
        assert_eq!(sink.writer.0.lock().unwrap().1, b"one\ntw\nthree\n");
        assert!(sink.trouble.occurred(), "a line is still missing");
    }

    #[test]
    fn with_debug_stderr_has_every_line_once() {
        let sink = sink(4, true);
        assert_eq!(sink.put(b"one\n", false), "one\n");
        assert!(sink.put(b"two\n", false).ends_with(":\ntwo\n"));
        assert_eq!(sink.put(b"three\n", true), "three\n");
    }
}
