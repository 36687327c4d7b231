use std::time::Duration;

use super::*;
use crate::files::read_text;

#[derive(Debug, Clone)]
struct FixedClock;

impl Clock for FixedClock {
    fn since_epoch(&self) -> Duration {
        Duration::from_millis(1_795_342_592_028)
    }
}

fn logged(with_location: bool, events: impl FnOnce()) -> String {
    let directory = tempfile::tempdir().unwrap();
    let layer = subscriber_fmt::layer()
        .event_format(LineLayout { clock: FixedClock, pid: 1, with_location })
        .with_writer(sink::open(&directory.path().join(LOG_FILE)).unwrap());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
    let text = read_text(&directory.path().join(LOG_FILE), 1 << 20).unwrap();
    text.replace(&log_stamp(FixedClock.since_epoch()), "TIME")
}

#[test]
fn lines_have_the_original_s_layout() {
    let text = logged(false, || {
        info!("Restarting instance '{}' (attempt #{})", "i1", 1);
        warn!("w");
        error!(target: CRITICAL, "c");
        error!("two\nlines\u{1b}[0m é");
    });
    assert_eq!(
        text,
        concat!(
            "TIME: ganeti-watcher pid=1 INFO Restarting instance 'i1' (attempt #1)\n",
            "TIME: ganeti-watcher pid=1 WARNING w\n",
            "TIME: ganeti-watcher pid=1 CRITICAL c\n",
            "TIME: ganeti-watcher pid=1 ERROR two\\nlines\\u{1b}[0m é\n",
        )
    );
}

#[test]
fn a_line_is_cut_whoever_made_it_so_long() {
    let text = logged(false, || info!("begins {} ends", "x".repeat(1 << 20)));
    assert!(text.len() < LONGEST_MESSAGE + 100 && text.ends_with("x ends\n"), "{}", text.len());
}

#[test]
fn debug_lines_name_their_place() {
    let line = line!() + 1;
    let text = logged(true, || debug!("d"));
    assert_eq!(text, format!("TIME: ganeti-watcher pid=1 tests:{line} DEBUG d\n"));
    let line = line!() + 1;
    let text = logged(true, || log_all([crate::tell::begin::dry_run()]));
    assert!(text.starts_with(&format!("TIME: ganeti-watcher pid=1 tests:{line} INFO ")), "{text}");
}

#[test]
fn the_time_stamp_has_milliseconds_after_a_comma() {
    let stamp = log_stamp(FixedClock.since_epoch());
    assert_eq!(stamp.len(), "2026-11-22 10:16:32,028".len());
    assert!(stamp.ends_with(":32,028"), "{stamp}");
}
