//! What is shown during a story: on a terminal a bar and what each node is doing, otherwise one line a
//! minute.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::options::Speed;
use crate::sim::ClusterInABox;
use crate::sim::events::Event;
use crate::sim::model::{Link, Power};
use crate::sim::stage::Stage;
use crate::sim::view::{NodeView, View, view};
use crate::tell::story::clock;

/// Time between two pictures: real time when the story has a speed, otherwise simulated time.
const REAL_TICK: Duration = Duration::from_millis(100);
const TERMINAL_TICK: Duration = Duration::from_secs(10);
const LINE_TICK: Duration = Duration::from_secs(60);
const BAR_WIDTH: usize = 40;
/// With more nodes than this, only those that are doing something, or should be, are shown.
const MOST_NODES: usize = 20;

pub(super) struct Progress<W> {
    out: W,
    terminal: bool,
    speed: Speed,
    /// How many lines the picture on the terminal has.
    drawn: usize,
    last_line: String,
}

impl<W: Write> Progress<W> {
    pub(super) fn new(out: W, terminal: bool, speed: Speed) -> Self {
        Self { out, terminal, speed, drawn: 0, last_line: String::new() }
    }

    /// How much simulated time passes between two pictures.
    pub(super) fn tick(&self) -> Duration {
        match self.speed {
            _ if !self.terminal => LINE_TICK,
            Speed::Max => TERMINAL_TICK,
            Speed::Times(times) => REAL_TICK.mul_f64(times),
        }
    }

    /// Shows the cluster as it is now.
    pub(super) fn show(&mut self, cluster: &ClusterInABox) -> io::Result<()> {
        let view = cluster.look(view);
        if self.terminal { self.draw(&view) } else { self.line(&view) }
    }

    /// Reports what happens to the cluster.
    pub(super) fn tell_events(&mut self, events: &[Event], stage: &Stage) -> io::Result<()> {
        let mut texts: Vec<String> = Vec::new();
        for event in events {
            let text = words(event);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let time = clock(stage.cluster.clock().elapsed());
        self.say(&format!("{time}  {}\n", texts.join("; ")))
    }

    /// Reports that cron starts the watcher.
    pub(super) fn tell_run(&mut self, number: usize, stage: &Stage) -> io::Result<()> {
        let time = clock(stage.cluster.clock().elapsed());
        self.say(&format!("{time}  run {number} of the watcher begins\n"))
    }

    /// Prints text that stays.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        self.last_line.clear();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn clear(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            write!(self.out, "\x1b[{}A\x1b[J", self.drawn)?;
            self.drawn = 0;
        }
        Ok(())
    }

    fn draw(&mut self, view: &View) -> io::Result<()> {
        self.clear()?;
        let picture = picture(view);
        self.drawn = picture.lines().count();
        self.out.write_all(picture.as_bytes())?;
        self.out.flush()
    }

    fn line(&mut self, view: &View) -> io::Result<()> {
        let nodes: Vec<String> = shown(view).map(short).collect();
        let line = format!("{} of {} instances run; {}", view.running, view.wanted, nodes.join(", "));
        if line != self.last_line {
            writeln!(self.out, "{}  {line}", clock(view.elapsed))?;
            self.last_line = line;
        }
        Ok(())
    }
}

fn shown(view: &View) -> impl Iterator<Item = &NodeView> {
    let all = view.nodes.len() <= MOST_NODES;
    view.nodes.iter().filter(move |node| all || node.running < node.wanted || !node.doing.is_empty())
}

fn picture(view: &View) -> String {
    let filled = (view.running * BAR_WIDTH).checked_div(view.wanted).unwrap_or(BAR_WIDTH).min(BAR_WIDTH);
    let bar = format!("{}{}", "#".repeat(filled), ".".repeat(BAR_WIDTH - filled));
    let mut picture = format!(
        "{}  [{bar}] {} of {} instances run, jobs in flight: {}\n",
        clock(view.elapsed),
        view.running,
        view.wanted,
        view.jobs.len()
    );
    let width = view.nodes.iter().map(|node| node.name.len()).max().unwrap_or_default();
    for node in shown(view).take(MOST_NODES) {
        // Writing to a String does not fail.
        let _written = writeln!(
            picture,
            "  {:width$}  {:>4} of {:<4} {:12} {}",
            node.name,
            node.running,
            node.wanted,
            state(node),
            node.doing.join(" ")
        );
    }
    picture
}

fn short(node: &NodeView) -> String {
    let name = node.name.split('.').next().unwrap_or(&node.name);
    match state(node) {
        "" => format!("{name} {}/{}", node.running, node.wanted),
        state => format!("{name} {}/{} {state}", node.running, node.wanted),
    }
}

fn state(node: &NodeView) -> &'static str {
    match (node.power, node.link) {
        (Power::Off, _) => "no power",
        (Power::Booting(_), _) => "booting",
        (Power::On, Link::Cut) => "unreachable",
        (Power::On, Link::Silent) => "silent",
        (Power::On, Link::Up) if node.offline => "offline",
        (Power::On, Link::Up) => "",
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::PowerOff(node) => format!("{node} loses its power"),
        Event::PowerOn(node) => format!("{node} has power again and boots"),
        Event::Link(node, Link::Cut) => format!("{node} can no longer be reached"),
        Event::Link(node, Link::Silent) => format!("the node daemon of {node} falls silent"),
        Event::Link(node, Link::Up) => format!("{node} can be reached again"),
        Event::Offline(node, true) => format!("an administrator marks {node} offline"),
        Event::Offline(node, false) => format!("an administrator marks {node} online"),
        Event::Crash(instance) => format!("{instance} dies"),
        Event::UserShutdown(instance) => format!("{instance} is shut down by its user"),
        Event::Stop(instance) => format!("an administrator stops {instance}"),
        Event::Start(instance) => format!("an administrator starts {instance}"),
        Event::Remove(instance) => format!("an administrator removes {instance}"),
        Event::Repair(instance) => format!("an administrator repairs {instance}"),
        Event::Move(instance) => format!("{instance} moves to its secondary node"),
        Event::Drain(true) => "the job queue is drained".to_owned(),
        Event::Drain(false) => "the job queue takes jobs again".to_owned(),
        Event::Pause(Some(_)) => "an administrator pauses the watcher".to_owned(),
        Event::Pause(None) => "the watcher is no longer paused".to_owned(),
        Event::StopLuxid { .. } => "luxid dies".to_owned(),
        Event::StartLuxid => "luxid starts".to_owned(),
        Event::MasterFailover(node) => format!("{node} becomes the master"),
        other => format!("{other:?}"),
    }
}
