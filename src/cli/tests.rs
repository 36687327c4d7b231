use std::time::Duration;

use super::*;
use crate::options::USAGE;

fn options(arguments: &[&str]) -> Result<Options, Refusal> {
    match parse(["ganeti-watcher"].iter().chain(arguments).map(Into::into))? {
        Request::Watch(options) => Ok(options),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_options_the_defaults_are_the_original_s() {
    assert_eq!(
        options(&[]).unwrap(),
        Options {
            node_group: None,
            job_age: 21_600,
            ignore_pause: false,
            wait_children: false,
            no_wait_children: false,
            no_verify_disks: false,
            no_strict: false,
            debug: 0,
            rapi_ip: "127.0.0.1".into(),
            kill_hooks_after: Duration::from_secs(600),
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
    assert!(given.is_debug() && given.ignore_pause && given.no_verify_disks && given.no_strict);
    assert_eq!(given.job_age, 2);
    assert_eq!(given.node_group.as_deref(), Some("U"));
    assert_eq!(options(&["-A", "-5"]).unwrap().job_age, -5);
    assert!(options(&["--d"]).unwrap().is_debug(), "the original has no other option with a d");
    assert!(options(&["--dry"]).unwrap().dry_run);
}

#[test]
fn the_last_word_about_waiting_counts() {
    assert!(options(&["--no-wait-children"]).unwrap().no_wait_children);
    assert!(options(&["--wait-children", "--no-wait-children"]).unwrap().no_wait_children);
    assert!(!options(&["--no-wait-children", "--wait-children"]).unwrap().no_wait_children);
}

#[test]
fn a_wrong_command_line_is_answered_as_optparse_does() {
    for arguments in [&["--no"][..], &["--nonsense"], &["argument"], &["--job-age"], &["-x"], &["--debug=1"]]
    {
        let Err(Refusal::Usage(text)) = options(arguments) else {
            panic!("{arguments:?} was not refused");
        };
        assert!(text.starts_with(&format!("Usage: {USAGE}\n\nganeti-watcher: error: ")), "{text}");
        assert!(!text.ends_with(": "), "{text}");
    }
}

#[test]
fn help_and_version_are_answers() {
    let Err(Refusal::Answer(version)) = options(&["--version"]) else { panic!() };
    assert!(version.starts_with("ganeti-watcher (ganeti) "), "{version}");
    let Err(Refusal::Answer(help)) = options(&["-h"]) else { panic!() };
    assert!(help.contains(&format!("Usage: {USAGE}\n")) && help.contains("--no-strict"), "{help}");
}

#[test]
fn limits_are_numbers_from_one() {
    let given = options(&["--starts", "2", "--parallel-jobs=8", "--load=3.5", "--start-d", "1h"]).unwrap();
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
        assert_eq!(options(&["-A", text]).unwrap().job_age, seconds);
    }
    for text in ["", "h", "1.5h", "1h30m", "1y", "99999999999999999999", "9223372036854775807w"] {
        assert!(matches!(options(&["-A", text]), Err(Refusal::BadValue(_))), "{text}");
    }
    assert_eq!(options(&["--kill-hooks-after=20m"]).unwrap().kill_hooks_after, Duration::from_secs(1200));
    for text in ["0", "-5", "soon"] {
        assert!(matches!(options(&["--kill", text]), Err(Refusal::BadValue(_))), "{text}");
    }
}

#[test]
fn usage_and_help_come_before_values_that_the_original_looks_at_late() {
    for value in ["--job-age=soon", "--kill-hooks-after=0", "--start-degraded=0", "--rapi-ip=x y"] {
        assert!(matches!(options(&[value]), Err(Refusal::BadValue(_))), "{value}");
        assert!(matches!(options(&[value, "--nonsense"]), Err(Refusal::Usage(_))), "{value}");
        assert!(matches!(options(&[value, "--help"]), Err(Refusal::Answer(_))), "{value}");
    }
}

fn refused(arguments: &[&str]) -> String {
    match parse(["ganeti-watcher"].iter().chain(arguments).map(Into::into)) {
        Err(Refusal::Usage(text) | Refusal::BadValue(text)) => {
            text.rsplit_once("ganeti-watcher: error: ").map_or_else(String::new, |(_, text)| text.to_owned())
        }
        other => panic!("{arguments:?} was not refused: {other:?}"),
    }
}

#[test]
fn what_is_nearly_right_gets_a_suggestion() {
    for (arguments, expected) in [
        (&["restry"][..], "no such subcommand: 'restry'; did you mean 'retry'?"),
        (&["simulat"], "no such subcommand: 'simulat'; did you mean 'simulate'?"),
        (&["positional"], "no such subcommand: 'positional'; there are: simulate, retry"),
        (&["--dry-runn"], "no such option: '--dry-runn'; did you mean '--dry-run'?"),
        (&["--nonsense"], "no such option: '--nonsense'"),
        (
            &["--no"],
            "ambiguous option: '--no'; it could be --node-group, --no-wait-children, --no-verify-disks, \
             --no-strict",
        ),
        (&["simulate", "--nods=3"], "no such option: '--nods'; did you mean '--nodes'?"),
        (&["simulate", "x"], "unexpected argument: 'x'"),
        (
            &["simulate", "--outage", "nod"],
            "option --outage: invalid value 'nod': expected one of all, node, rack, network; did you mean 'node'?",
        ),
        (&["--debug=1"], "option --debug takes no value, and '1' was given"),
        (&["--job-age"], "option --job-age needs a value"),
        (&["simulate", "--outage"], "option --outage needs a value: one of all, node, rack, network"),
    ] {
        assert_eq!(refused(arguments), expected, "{arguments:?}");
    }
}

#[test]
fn every_bad_value_is_told_with_its_option_and_what_is_expected() {
    let time = "an integer, optionally followed by s, m, h, d or w";
    let limit = format!("a time from 1s to 1000w: {time}");
    let count = "a whole number from 1 to 100000";
    let load = "a number of processors above 0, such as 3.5";
    let start = "a duration of at most 1d, such as 29s, or a range such as 20s..40s";
    let nul_and_lines = "a\n\nUsage: b\u{1b}[2J";
    for (command, option, values, expected) in [
        (None, "job-age", &["", "soon", "1.5h", "99999999999999999999", nul_and_lines][..], time),
        (None, "kill-hooks-after", &["0", "-5", "soon", "99999999999999w", "9999999999999w"], limit.as_str()),
        (None, "start-degraded", &["0", "-5", "soon", "99999999999999w", "9999999999999w"], &limit),
        (None, "starts-per-node", &["0", "-1", "x", "1.5", "18446744073709551615", "1e3"], count),
        (None, "parallel-jobs", &["0", "-1", "x", "99999999999999999999999", nul_and_lines], count),
        (None, "load-limit", &["nan", "inf", "0", "-1", "1e999", "much", "-inf"], load),
        (
            None,
            "rapi-ip",
            &["10.0.0", "1.2.3.4.5", "", "::1::", "a b", "[x]", "-x", "http://x/"],
            "an IP address or a host name",
        ),
        (
            Some("simulate"),
            "nodes",
            &["0", "1001", "-1", "x", "99999999999"],
            "a whole number from 1 to 1000",
        ),
        (Some("simulate"), "instances", &["0", "20001", "-1", "x"], "a whole number from 1 to 20000"),
        (Some("simulate"), "broken", &["20001", "-1", "x"], "a whole number from 0 to 20000"),
        (Some("simulate"), "seed", &["-1", "x", "4294967296"], "a whole number from 0 to 4294967295"),
        (
            Some("simulate"),
            "start",
            &["-5s", "yesterday", "5", "6s..4s", "2d", "99999999999999d", "1s\""],
            start,
        ),
        (
            Some("simulate"),
            "speed",
            &["0", "-1", "fast", "inf", "NaN"],
            "a number from 0.01 to 1000000000, such as 240, or 'max'",
        ),
    ] {
        let long = "9".repeat(100_000);
        for value in values.iter().copied().chain([long.as_str()]) {
            let word = format!("--{option}={value}");
            let words: Vec<&str> = command.into_iter().chain([word.as_str()]).collect();
            let text = refused(&words);
            assert!(text.starts_with(&format!("option --{option}: invalid ")), "{text}");
            assert!(text.ends_with(&format!(": expected {expected}")), "{text}");
            assert!(text.len() < 250 && !text.contains(char::is_control), "{text}");
            let begin: String = value.chars().take_while(|c| !c.is_control()).take(20).collect();
            assert!(text.contains(&format!("'{begin}")), "{text}");
        }
    }
}

#[test]
fn an_address_for_rapi_may_be_what_the_original_takes() {
    for (given, taken) in [
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("node1.example.com", "node1.example.com"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(options(&["--rapi-ip", given]).unwrap().rapi_ip, taken);
    }
}

#[test]
fn more_broken_instances_than_there_are_is_an_error() {
    assert_eq!(
        refused(&["simulate", "--broken", "100"]),
        "option --broken: invalid value '100': expected a whole number up to 62, the number of instances"
    );
    let request = parse(["ganeti-watcher", "simulate", "--instances=2"].iter().map(Into::into));
    assert!(matches!(request, Ok(Request::Simulate(_))), "the default is fewer where there are fewer");
}
