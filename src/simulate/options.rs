//! The options of `simulate`, and the scenario that they stand for.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::options::whole_number;
use crate::sim::span::parse_span;

const MOST_INSTANCES: u16 = 20_000;
const LONGEST_START: Duration = Duration::from_secs(86_400);

const EXAMPLES: &str = "\
Without options: the outage that the watcher became known for. Four nodes with 62 instances lose
their power at once; every start takes about 29 s, and three instances cannot boot.

Examples:
  ganeti-watcher simulate
  ganeti-watcher simulate --nodes 12 --instances 200 --start 5s..8s
  ganeti-watcher simulate --outage node --speed 600
  ganeti-watcher simulate --seed 7 --speed max > story.txt
  ganeti-watcher simulate --scenario /usr/share/doc/ganeti-watcher/examples/power-cut.toml
The package has more scenario files there, and scenarios.md, which explains what is in them.";

/// What the story is about.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(after_help = EXAMPLES, override_usage = "ganeti-watcher simulate [OPTIONS]")]
pub struct Options {
    /// Number of nodes
    #[arg(long, default_value_t = 4, allow_hyphen_values = true, value_parser = |text: &str| whole_number::<u16>(text, 1, 1000))]
    nodes: u16,

    /// Number of instances, with DRBD disks where there are two nodes
    #[arg(long, default_value_t = 62, allow_hyphen_values = true, value_parser = |text: &str| whole_number::<u16>(text, 1, MOST_INSTANCES))]
    instances: u16,

    /// Number of instances that cannot boot (default 3, or all where there are fewer)
    #[arg(long, allow_hyphen_values = true, value_parser = |text: &str| whole_number::<u16>(text, 0, MOST_INSTANCES))]
    broken: Option<u16>,

    /// What fails
    #[arg(long, value_enum, default_value_t = Outage::All)]
    outage: Outage,

    /// How long a start takes, such as 29s, or 20s..40s
    #[arg(long, default_value = "27s..31s", allow_hyphen_values = true, value_parser = parse_start)]
    start: String,

    /// Seed of all random choices: the same seed gives the same story
    #[arg(long, default_value_t = 1, allow_hyphen_values = true, value_parser = |text: &str| whole_number::<u32>(text, 0, u32::MAX))]
    seed: u32,

    /// Simulated seconds per real second, or 'max' (default 240 on a terminal, otherwise 'max')
    #[arg(long, allow_hyphen_values = true, value_parser = parse_speed)]
    speed: Option<Speed>,

    /// Play this scenario file instead, then go on until nothing more can be done
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "instances", "broken", "outage", "start", "seed"])]
    pub(super) scenario: Option<PathBuf>,

    /// Create this directory for the story's files, instead of a temporary one
    #[arg(long)]
    pub(super) directory: Option<PathBuf>,
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outage {
    /// All nodes lose their power
    All,
    /// The last node loses its power, and comes back after the first run
    Node,
    /// Half of the nodes lose their power, and come back after the first run
    Rack,
    /// The last node cannot be reached, until after the first run
    Network,
}

/// How fast a story is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Speed {
    /// As fast as it can be computed.
    Max,
    /// This many simulated seconds per real second.
    Times(f64),
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    match text.parse() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(times) if (0.01..=1e9).contains(&times) => Ok(Speed::Times(times)),
        _ => Err("expected a number from 0.01 to 1000000000, such as 240, or 'max'".to_owned()),
    }
}

/// How long a start takes, as written in the scenario.
fn parse_start(text: &str) -> Result<String, String> {
    match parse_span(text) {
        Ok(span) if span.to <= LONGEST_START => Ok(text.to_owned()),
        _ => Err("expected a duration of at most 1d, such as 29s, or a range such as 20s..40s".to_owned()),
    }
}

impl Options {
    /// Whether the options fit together.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), String> {
        match self.broken {
            Some(broken) if broken > self.instances => Err(format!(
                "option --broken: invalid value '{broken}': expected a whole number up to {}, the number of \
                 instances",
                self.instances
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn speed(&self, terminal: bool) -> Speed {
        let default = if terminal { Speed::Times(240.0) } else { Speed::Max };
        self.speed.unwrap_or(default)
    }

    /// The scenario as the text of a file.
    pub(super) fn to_scenario(&self) -> String {
        let Self { nodes, instances, start, seed, .. } = self;
        let node = |number: u16| format!("\"node{number}\"");
        let last = node(*nodes);
        let half: Vec<String> = ((*nodes / 2 + 1)..=*nodes).map(node).collect();
        let (hit, mend, who, first_run) = match self.outage {
            Outage::All => ("power-off", "power-on", "\"all\"".to_owned(), false),
            Outage::Node => ("power-off", "power-on", last, true),
            Outage::Rack => ("power-off", "power-on", half.join(", "), true),
            Outage::Network => ("cut", "restore", last, true),
        };
        let mut text = format!(
            "seed = {seed}\n\n[fill]\nnodes = {nodes}\ninstances = {instances}\n\n[timing]\nstartup = \"{start}\"\n\
             boot = \"60s..90s\"\n"
        );
        for number in self.broken_instances() {
            let primary = (number - 1) % nodes + 1;
            let secondary = number % nodes + 1;
            // Writing to a String does not fail.
            let _written =
                write!(text, "\n[[instance]]\nname = \"inst{number}\"\nprimary = \"node{primary}\"\n");
            if secondary != primary {
                let _written = writeln!(text, "secondary = \"node{secondary}\"");
            }
            text.push_str(BROKEN);
        }
        let mut step = |key: &str, value: &str| {
            let _written = write!(text, "\n[[step]]\n{key} = {value}\n");
        };
        step("wait", "\"10m\"");
        step(hit, &format!("[{who}]"));
        step("wait", "\"2m\"");
        if first_run {
            step("run", "[]");
            step("wait", "\"1m\"");
        }
        step(mend, &format!("[{who}]"));
        step("wait", "\"2m\"");
        text
    }

    /// The numbers of instances that cannot boot, spread evenly.
    fn broken_instances(&self) -> impl Iterator<Item = u16> + use<> {
        let broken = self.broken.unwrap_or(3).min(self.instances);
        let distance = f64::from(self.instances) / f64::from(broken.max(1));
        (0..broken).map(move |index| truncated((f64::from(index) + 0.5) * distance) + 1)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "less than the number of instances"
)]
fn truncated(number: f64) -> u16 {
    number as u16
}

const BROKEN: &str = "\
fails-to-start = { class = \"OpExecError\", message = \"Could not start instance: hypervisor error: cannot find the kernel\" }
";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::sim::scenario::Scenario;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        Command::parse_from(["simulate"].iter().chain(arguments)).options
    }

    #[test]
    fn every_kind_of_outage_is_a_scenario() {
        for arguments in [
            &[][..],
            &["--outage", "node"],
            &["--outage", "rack", "--nodes", "5"],
            &["--outage", "network", "--instances", "1", "--broken", "9"],
            &["--nodes", "1", "--broken", "0"],
        ] {
            let options = options(arguments);
            let scenario = Scenario::parse("simulate", &options.to_scenario());
            let model = scenario.unwrap_or_else(|error| panic!("{error}\n{}", options.to_scenario())).model;
            assert_eq!(model.instances.len(), usize::from(options.instances));
            let broken = model.instances.values().filter(|instance| instance.habits.start.is_some()).count();
            assert_eq!(broken, usize::from(options.broken.unwrap_or(3).min(options.instances)));
        }
    }

    #[test]
    fn speeds_are_numbers_or_the_greatest() {
        assert_eq!(parse_speed("max"), Ok(Speed::Max));
        assert_eq!(parse_speed("0.5"), Ok(Speed::Times(0.5)));
        for text in ["0", "-1", "fast", "inf", "NaN"] {
            assert!(parse_speed(text).is_err(), "{text}");
        }
    }
}
