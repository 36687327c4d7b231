//! The steps of a scenario file.

use std::time::Duration;

use serde_json::{Value, json};
use toml::Spanned;

use super::misfit::{Misfit, full_name};
use super::step_spec::{Names, StepSpec};
use crate::options::{self, CommandLine, Options, Refusal, Retry};
use crate::sim::events::{Event, Trigger};
use crate::sim::failure::Failure;
use crate::sim::faults::{Fault, FaultKind};
use crate::sim::model::{Link, Model, Tagged};
use crate::sim::names::Name;
use crate::sim::opcodes;
use crate::watch::retry::Whose;

/// One step of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScenarioStep {
    /// The watcher is run.
    Run(Run),
    /// Time passes.
    Wait(Duration),
    /// Something happens, at once.
    Happen(Vec<Event>),
    /// A file below the node's root is written, or removed when there is no content. `GROUP` in the path and
    /// in the content stands for the UUID of the first group, `NOW` in the content for the time in seconds
    /// since the epoch, and `BOOT1`, `BOOT2` and so on for the boot ids of the nodes.
    Write {
        /// The path below the root.
        path: String,
        /// Its intended content.
        content: Option<String>,
    },
    /// Somebody holds the lock of a file below the node's root from now on, or releases it.
    Lock {
        /// The path below the root.
        path: String,
        /// Whether it is held.
        held: bool,
    },
}

impl ScenarioStep {
    /// Multiplies all durations by `factor`.
    pub(super) fn scale(&mut self, factor: f64) {
        let shorten = |event: &mut Event| match event {
            Event::Occupy(_, duration) | Event::Fault(Fault { kind: FaultKind::Slow(duration), .. }) => {
                *duration = duration.mul_f64(factor);
            }
            _ => {}
        };
        match self {
            Self::Wait(length) => *length = length.mul_f64(factor),
            Self::Happen(events) => events.iter_mut().for_each(shorten),
            Self::Run(run) => {
                run.kill_after = run.kill_after.map(|after| after.mul_f64(factor));
                for (trigger, event) in &mut run.during {
                    if let Trigger::At(after) = trigger {
                        *after = after.mul_f64(factor);
                    }
                    shorten(event);
                }
            }
            Self::Write { .. } | Self::Lock { .. } => {}
        }
    }
}

/// A run of the watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The command line, without the program's name. `GROUP` stands for the UUID of the first group.
    pub arguments: Vec<String>,
    /// Name of the node on which it runs; the master when not given.
    pub node: Option<String>,
    /// How it must end.
    pub exit: u8,
    /// It is killed if it takes longer.
    pub kill_after: Option<Duration>,
    /// What happens while it runs.
    pub during: Vec<(Trigger, Event)>,
}

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum WatcherCommand {
    /// A run.
    Watch(Options),
    /// `retry`: budgets are reset.
    Retry(Whose),
}

/// What a run may do instead.
#[derive(clap::Subcommand)]
enum Subcommand {
    Retry(Retry),
}

impl Run {
    /// What its command line means, with `group` for `GROUP`.
    ///
    /// # Errors
    /// When the watcher refuses the command line.
    pub fn command(&self, group: &str) -> Result<WatcherCommand, String> {
        if self.arguments.first().is_some_and(|argument| argument == "simulate") {
            return Err("a scenario cannot run 'simulate'".to_owned());
        }
        let arguments = self.arguments.iter().map(|argument| argument.replace("GROUP", group));
        let words = std::iter::once("ganeti-watcher".to_owned()).chain(arguments);
        match options::parse::<Subcommand>(words.map(Into::into)) {
            Ok(CommandLine { options, command: None, .. }) => Ok(WatcherCommand::Watch(options)),
            Ok(CommandLine { command: Some(Subcommand::Retry(retry)), .. }) => {
                Ok(WatcherCommand::Retry(retry.into()))
            }
            Err(Refusal::Answer(text) | Refusal::Usage(text) | Refusal::BadValue(text)) => Err(text),
        }
    }
}

/// A key, the names given with it, and what happens to each.
type OfNames<'a> = (&'static str, &'a Names, &'a dyn Fn(String) -> Event);

struct Reader<'a> {
    model: &'a Model,
    domain: &'a str,
}

pub(super) fn build(
    specs: &[Spanned<StepSpec>],
    model: &Model,
    domain: &str,
) -> Result<Vec<ScenarioStep>, Misfit> {
    let reader = Reader { model, domain };
    specs.iter().map(|spec| reader.step(spec)).collect()
}

fn misfit(spec: &Spanned<StepSpec>, problem: String) -> Misfit {
    Misfit { at: spec.span().start, key: None, problem }
}

impl Reader<'_> {
    fn step(&self, spanned: &Spanned<StepSpec>) -> Result<ScenarioStep, Misfit> {
        let spec = spanned.get_ref();
        if trigger(spec).is_some() {
            let text = "'after' and the 'on-' keys are for what happens during a run".to_owned();
            return Err(misfit(spanned, text));
        }
        let mut steps: Vec<(&str, ScenarioStep)> = Vec::new();
        if let Some(run) = &spec.run {
            steps.push(("run", ScenarioStep::Run(self.run(spec, run)?)));
        }
        if let Some(wait) = spec.wait {
            steps.push(("wait", ScenarioStep::Wait(wait)));
        }
        for (key, path, content) in
            [("write", &spec.write, &spec.content), ("remove-file", &spec.remove_file, &None)]
        {
            if let Some(path) = path {
                steps.push((key, ScenarioStep::Write { path: path.clone(), content: content.clone() }));
            }
        }
        for (key, path, held) in
            [("hold-lock", &spec.hold_lock, true), ("release-lock", &spec.release_lock, false)]
        {
            if let Some(path) = path {
                steps.push((key, ScenarioStep::Lock { path: path.clone(), held }));
            }
        }
        for (key, events) in self.events(spec)? {
            steps.push((key, ScenarioStep::Happen(events)));
        }
        only(spanned, steps)
    }

    fn run(&self, spec: &StepSpec, command_line: &Spanned<Vec<String>>) -> Result<Run, Misfit> {
        let mut during = Vec::new();
        for spanned in &spec.during {
            let Some(trigger) = trigger(spanned.get_ref()) else {
                let text =
                    "what happens during a run needs one of: after, on-start, on-end, on-submit".to_owned();
                return Err(misfit(spanned, text));
            };
            let trigger = match trigger {
                Trigger::At(after) => Trigger::At(after),
                Trigger::OnStart(summary) => Trigger::OnStart(self.summary(&summary)),
                Trigger::OnEnd(summary) => Trigger::OnEnd(self.summary(&summary)),
                Trigger::OnSubmit(summary) => Trigger::OnSubmit(self.summary(&summary)),
            };
            let events = only(spanned, self.events(spanned.get_ref())?)?;
            during.extend(events.into_iter().map(|event| (trigger.clone(), event)));
        }
        let node = spec.node.as_ref().map(|node| self.node(node, "node")).transpose()?;
        let (arguments, exit, kill_after) = (command_line.get_ref().clone(), spec.exit, spec.kill_after);
        let run = Run { arguments, node, exit, kill_after, during };
        let group = "00000000-0000-0000-0000-000000000000";
        run.command(group).map_err(|problem| Misfit::at(command_line, "run", problem))?;
        Ok(run)
    }

    /// What happens, by the key that says so.
    fn events(&self, spec: &StepSpec) -> Result<Vec<(&'static str, Vec<Event>)>, Misfit> {
        let mut found = Vec::new();
        let of_nodes: [OfNames<'_>; 7] = [
            ("power-off", &spec.power_off, &Event::PowerOff),
            ("power-on", &spec.power_on, &Event::PowerOn),
            ("cut", &spec.cut, &|node| Event::Link(node, Link::Cut)),
            ("silence", &spec.silence, &|node| Event::Link(node, Link::Silent)),
            ("restore", &spec.restore, &|node| Event::Link(node, Link::Up)),
            ("offline", &spec.offline, &|node| Event::Offline(node, true)),
            ("online", &spec.online, &|node| Event::Offline(node, false)),
        ];
        for (key, names, event) in of_nodes {
            if let Some(names) = names {
                let all = || self.model.nodes.keys().map(Name::to_string).collect();
                let names = expand(names, all, |name| self.node(name, key))?;
                found.push((key, names.into_iter().map(event).collect()));
            }
        }
        let length = spec.duration.unwrap_or(Duration::from_secs(600));
        let lost_on = spec.on.as_ref().map(|node| self.node(node, "on")).transpose()?.unwrap_or_default();
        let of_instances: [OfNames<'_>; 12] = [
            ("crash", &spec.crash, &Event::Crash),
            ("user-shutdown", &spec.user_shutdown, &Event::UserShutdown),
            ("stop", &spec.stop, &Event::Stop),
            ("start", &spec.start, &Event::Start),
            ("take-out", &spec.take_out, &Event::TakeOut),
            ("move", &spec.r#move, &Event::Move),
            ("remove", &spec.remove, &Event::Remove),
            ("repair", &spec.repair, &Event::Repair),
            ("occupy", &spec.occupy, &|name| Event::Occupy(name, length)),
            ("stand-alone", &spec.stand_alone, &Event::StandAlone),
            ("split-brain", &spec.split_brain, &Event::SplitBrain),
            ("lose-disk", &spec.lose_disk, &|name| Event::LoseDisk(name, lost_on.clone())),
        ];
        for (key, names, event) in of_instances {
            if let Some(names) = names {
                let all = || self.model.instances.keys().map(Name::to_string).collect();
                let names = expand(names, all, |name| self.instance(name, key))?;
                found.push((key, names.into_iter().map(event).collect()));
            }
        }
        let single = [
            ("drain", spec.drain.map(Event::Drain)),
            ("pause", spec.pause.map(|length| Event::Pause(Some(length)))),
            ("resume", spec.resume.map(|_| Event::Pause(None))),
            ("cancel", spec.cancel.as_ref().map(|summary| Event::Cancel(self.summary(summary)))),
            ("archive", spec.archive.as_ref().map(|summary| Event::Archive(self.summary(summary)))),
            ("kill-watcher", spec.kill_watcher.map(|_| Event::KillWatcher)),
            ("crash-master", spec.crash_master.map(|_| Event::CrashMaster)),
            ("luxid", spec.luxid.as_ref().map(|kind| luxid_event(spec, kind)).transpose()?),
            ("add-tag", self.tag(spec, spec.add_tag.as_ref(), true)?),
            ("remove-tag", self.tag(spec, spec.remove_tag.as_ref(), false)?),
            ("submit", self.opcode(spec.submit.as_ref(), "submit")?.map(Event::Submit)),
            (
                "failed-job",
                self.opcode(spec.failed_job.as_ref(), "failed-job")?
                    .map(|opcode| Event::EndedJob(opcode, Some(failure(spec)))),
            ),
            (
                "succeeded-job",
                self.opcode(spec.succeeded_job.as_ref(), "succeeded-job")?
                    .map(|opcode| Event::EndedJob(opcode, None)),
            ),
            (
                "master-failover",
                match &spec.master_failover {
                    Some(node) => Some(Event::MasterFailover(self.node(node, "master-failover")?)),
                    None => None,
                },
            ),
        ];
        found.extend(single.into_iter().filter_map(|(key, event)| Some((key, vec![event?]))));
        Ok(found)
    }

    /// A tag of the cluster, of a node group or of an instance.
    fn tag(&self, spec: &StepSpec, tag: Option<&String>, present: bool) -> Result<Option<Event>, Misfit> {
        let Some(tag) = tag else { return Ok(None) };
        let object = match &spec.of {
            Some(of) if self.model.groups.contains_key(&Name::from(of.get_ref().as_str())) => {
                Tagged::Group(of.get_ref().clone())
            }
            Some(of) if of.get_ref() != "cluster" => Tagged::Instance(self.instance(of, "of")?),
            _ => Tagged::Cluster,
        };
        Ok(Some(Event::Tag { object, tag: tag.clone(), present }))
    }

    fn node(&self, name: &Spanned<String>, key: &'static str) -> Result<String, Misfit> {
        let full = full_name(name.get_ref(), self.domain);
        match self.model.node(&full) {
            Some(_) => Ok(full),
            None => Err(Misfit::at(name, key, format!("there is no node '{full}'"))),
        }
    }

    fn instance(&self, name: &Spanned<String>, key: &'static str) -> Result<String, Misfit> {
        let full = full_name(name.get_ref(), self.domain);
        match self.model.instance(&full) {
            Some(_) => Ok(full),
            None => Err(Misfit::at(name, key, format!("there is no instance '{full}'"))),
        }
    }

    /// The opcode with that summary, as an administrator's tool would submit it.
    fn opcode(&self, summary: Option<&Spanned<String>>, key: &'static str) -> Result<Option<Value>, Misfit> {
        let Some(summary) = summary else { return Ok(None) };
        let full = self.summary(summary.get_ref());
        let (name, subject) = full.split_once('(').unwrap_or((&full, ""));
        let field = if name.starts_with("GROUP") { "group_name" } else { "instance_name" };
        let reason = json!([["gnt:user", "by hand", 0]]);
        let opcode =
            json!({"OP_ID": format!("OP_{name}"), field: subject.trim_end_matches(')'), "reason": reason});
        match opcodes::parse(&opcode, self.model.version()) {
            Ok(_) => Ok(Some(opcode)),
            Err(problem) => Err(Misfit::at(summary, key, problem)),
        }
    }

    /// A job's summary, in which names may be short and `GROUP` stands for the UUID of the first group.
    fn summary(&self, summary: &str) -> String {
        let Some((opcode, name)) = summary.split_once('(') else { return summary.to_owned() };
        let name = name.trim_end_matches(')');
        let subject = match name {
            "GROUP" => self.model.groups.values().next().map(|group| group.uuid.clone()).unwrap_or_default(),
            name if opcode.starts_with("GROUP") => name.to_owned(),
            name => full_name(name, self.domain),
        };
        format!("{opcode}({subject})")
    }
}

fn trigger(spec: &StepSpec) -> Option<Trigger> {
    let after = spec.after.map(Trigger::At);
    let start = spec.on_start.clone().map(Trigger::OnStart);
    let end = spec.on_end.clone().map(Trigger::OnEnd);
    after.or(start).or(end).or_else(|| spec.on_submit.clone().map(Trigger::OnSubmit))
}

fn only<T>(spec: &Spanned<StepSpec>, mut found: Vec<(&str, T)>) -> Result<T, Misfit> {
    match (found.len(), found.pop()) {
        (1, Some((_, one))) => Ok(one),
        (0, _) | (_, None) => Err(misfit(spec, "this step does nothing".to_owned())),
        (_, Some((last, _))) => {
            let keys: Vec<&str> = found.iter().map(|(key, _)| *key).chain([last]).collect();
            let text = format!("a step does one thing, this one has: {}", keys.join(", "));
            Err(misfit(spec, text))
        }
    }
}

fn expand(
    names: &[Spanned<String>],
    all: impl FnOnce() -> Vec<String>,
    one: impl Fn(&Spanned<String>) -> Result<String, Misfit>,
) -> Result<Vec<String>, Misfit> {
    match names {
        [name] if name.get_ref() == "all" => Ok(all()),
        names => names.iter().map(one).collect(),
    }
}

/// The error with which a job failed.
fn failure(spec: &StepSpec) -> Failure {
    let text = spec.message.as_deref().unwrap_or("it did not work");
    let mut failure = Failure::new(spec.class.as_deref().unwrap_or("OpExecError"), text);
    failure.arguments.extend(spec.code.as_ref().map(|code| json!(code)));
    failure
}

fn luxid_event(spec: &StepSpec, kind: &Spanned<String>) -> Result<Event, Misfit> {
    let text = || spec.text.clone().unwrap_or_default();
    let kind = match kind.get_ref().as_str() {
        "stop" => return Ok(Event::StopLuxid { can_start: true }),
        "break" => return Ok(Event::StopLuxid { can_start: false }),
        "start" => return Ok(Event::StartLuxid),
        "slow" => FaultKind::Slow(spec.delay.unwrap_or(Duration::from_secs(30))),
        "silent" => FaultKind::Silent,
        "close-before" => FaultKind::CloseBefore,
        "close-after" => FaultKind::CloseAfter,
        "close-within" => FaultKind::CloseWithin,
        "answer" => FaultKind::Answer(text()),
        "status" => FaultKind::Status(spec.job, text()),
        "error" => FaultKind::Error(spec.class.clone().unwrap_or_else(|| "GenericError".to_owned()), text()),
        other => {
            let known = "stop, break, start, slow, silent, close-before, close-after, close-within, answer, \
                         status, error";
            return Err(Misfit::at(kind, "luxid", format!("'{other}' is not one of {known}")));
        }
    };
    let times = spec.times.or(Some(1)).filter(|times| *times > 0);
    Ok(Event::Fault(Fault {
        kind,
        method: spec.method.clone(),
        what: spec.what.clone(),
        after: spec.calls_before,
        times,
    }))
}
