//! Local time compared with Python's.

use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::local::LocalTime;
use super::{file_stamp_of, log_stamp_of};

/// Forms of `TZ`: files, rules, near misses, and nonsense. `@` is a directory of the test's.
const ZONES: [&str; 86] = [
    "",
    ":",
    "UTC",
    "Universal",
    "Europe/Berlin",
    ":Europe/Berlin",
    "posix/Europe/Berlin",
    "right/Europe/Berlin",
    "right/UTC",
    "right/America/New_York",
    "/usr/share/zoneinfo/Europe/Berlin",
    ":/usr/share/zoneinfo/Asia/Tokyo",
    "../zoneinfo/Asia/Tokyo",
    "/etc/localtime",
    "US/Pacific",
    "EST5EDT",
    "PST8PDT",
    "CET",
    "EST",
    "GMT0",
    "GMT+0",
    "Etc/GMT+5",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Marquesas",
    "America/St_Johns",
    "America/Santiago",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Antarctica/Troll",
    "America/Godthab",
    "Asia/Tehran",
    "Factory",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "CET-1CEST-2,M3.5.0/2,M10.5.0/3",
    "<+03>-3",
    "<-03>3",
    "<+0545>-5:45",
    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "JST-9",
    "EST+5",
    "XYZ3:30:15",
    "NZST-12NZDT,M9.5.0,M4.1.0/3",
    "AAA0BBB,J60,J300",
    "AAA0BBB,59/0,299/26",
    "IST-2IDT,M3.4.4/26,M10.5.0",
    "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
    "AAA-14",
    "AAA25",
    "AAA99999",
    "AAA65541",
    "AAA3:99",
    "CET-1CEST,M3.5.0",
    "CET-1CEST,nonsense",
    "CET-1CEST,M3.5.0,nonsense",
    "CET-1CEST,M3.5.0,M10.5.0/3,more",
    "EST5,M3.2.0,M11.1.0",
    "EST5 EDT",
    "EST5:",
    "AAA5:30:",
    "CET-1CEST,M3.5.0/,M10.5.0",
    "CET-1CEST,M3.5.0/x,M10.5.0",
    "CET-1CESTM3.5.0,M10.5.0",
    "<+3>-3",
    "<+03-3",
    "AB3",
    "EST+",
    "EST-",
    "CET-1CEST+,M3.5.0,M10.5.0/3",
    "Europe",
    "Europe/Nowhere",
    "nonsense",
    "no such zone",
    "Foo/Bar5",
    "-3",
    "/",
    "@/empty",
    "@/text",
    "@/longer",
    "\u{e9}t\u{e9}",
    "CET-1CEST,M3.5.0/2x,M10.5.0",
    "NZST-12NZDT,M9.5.0,M4.1.0/x",
];

/// Without rules, glibc follows the United States' law; or a file `posixrules`, if the database has one, with
/// which it is hours off on the day of a change. So these are compared in a database without that file, and
/// hence without any other.
const WITHOUT_RULES: [&str; 6] =
    ["CET-1CEST", "CET-1CEST,", "EST5EDT4", "<+0330>-3:30<+0430>", "Europe/Berlin", "XYZ3ABC2:30"];

/// Days of 2026 on which clocks change somewhere, as days of the year.
const CHANGES: [u64; 12] = [45, 46, 66, 67, 80, 81, 87, 88, 94, 248, 269, 297];
const NEW_YEAR_2026: u64 = 1_767_225_600;
const DAY: u64 = 86_400;

/// Some of every month from 2010 to 2036, and every half hour of 2026 near a change, with the second before
/// it.
fn instants() -> Vec<u64> {
    let daily = (1_262_347_200..2_114_380_800).step_by(8 * 86_400 + 19 * 3600);
    let near = CHANGES.into_iter().chain([0, 276, 303, 304, 364]).flat_map(|day| {
        let midnight = NEW_YEAR_2026 + day * DAY;
        (midnight - DAY / 2..midnight + DAY).step_by(1800).flat_map(|time| [time - 1, time])
    });
    daily.chain(near).collect()
}

/// Given a file of instants and the zones as arguments, it prints a line for each pair.
const PROGRAM: &str = "
import os, sys, time
instants = [int(word) for word in open(sys.argv[1]).read().split()]
for zone in [None] + sys.argv[2:]:
    os.environ.pop('TZ', None)
    if zone is not None:
        os.environ['TZ'] = zone
    time.tzset()
    for instant in instants:
        print(time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(instant)))
";

/// Compares all instants in all zones, and with no zone at all if there is no directory for `TZDIR`.
fn compare(zones: &[String], directory: Option<&Path>) {
    let instants = instants();
    let words: Vec<String> = instants.iter().map(u64::to_string).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    crate::files::replace(file.path(), words.join(" ").as_bytes(), |_| Ok(())).map(drop).unwrap();
    let mut python = Command::new("python3");
    python.args(["-c", PROGRAM]).arg(file.path()).args(zones).env_remove("TZDIR");
    python.envs(directory.map(|directory| ("TZDIR", directory)));
    let python = match python.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Not with the macro: the test's own output is shown only when it fails.
            let told = "left out: there is no python3 to compare local time with\n";
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            return;
        }
        python => python.unwrap(),
    };
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let printed = String::from_utf8(python.stdout).unwrap();
    let mut printed = printed.lines();
    let mut wrong = Vec::new();
    for zone in std::iter::once(None).chain(zones.iter().map(Some)) {
        let local = LocalTime::new(zone.map(OsStr::new), directory.map(Path::as_os_str));
        let stamps = instants.iter().map(|instant| {
            let time = local.at(Duration::from_millis(instant * 1000 + 28));
            (instant, log_stamp_of(time), printed.next().unwrap())
        });
        let stamps: Vec<_> = stamps.collect();
        if let Some((instant, found, expected)) =
            stamps.iter().find(|(_, found, expected)| *found != format!("{expected},028"))
        {
            wrong.push(format!("TZ={zone:?}, {instant}: {found}, Python has {expected}"));
        }
    }
    assert!(printed.next().is_none());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn local_time_is_python_s_for_every_form_of_tz() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, content: &[u8]| {
        crate::files::replace(&directory.path().join(name), content, |_| Ok(())).map(drop).unwrap();
    };
    put("empty", b"");
    put("text", b"Europe/Berlin\n");
    put("longer", &[b'T'; 1 << 19]);
    let here = directory.path().to_str().unwrap();
    let zones: Vec<String> = ZONES.iter().map(|zone| zone.replace('@', here)).collect();
    compare(&zones, None);
}

#[test]
fn summer_time_without_rules_and_names_without_a_database_are_python_s() {
    let empty = tempfile::tempdir().unwrap();
    compare(&WITHOUT_RULES.map(str::to_owned), Some(empty.path()));
}

#[test]
fn a_time_zone_that_is_a_device_a_fifo_or_not_text_is_utc_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let not_text = OsStr::from_bytes(b"\xff/\xfe");
    for zone in [OsStr::new("/dev/zero"), OsStr::new("/dev/urandom"), fifo.as_os_str(), not_text] {
        let time = LocalTime::new(Some(zone), None).at(Duration::from_secs(1_795_342_592));
        assert_eq!(log_stamp_of(time), "2026-11-22 10:16:32,000", "{}", zone.display());
    }
}

#[test]
fn the_time_in_a_file_s_name_is_local_too() {
    let time = LocalTime::new(Some(OsStr::new("CET-1")), None).at(Duration::from_secs(1_795_342_592));
    assert_eq!(file_stamp_of(time), "20261122-111632");
    let never = LocalTime::new(Some(OsStr::new("CET-1")), None).at(Duration::MAX);
    assert_eq!(file_stamp_of(never), "19700101-010000", "no time that anybody will see");
}
