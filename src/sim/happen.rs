//! What events do to the box.

use std::time::Duration;

use serde_json::{Map, json};
use tracing::trace;

use super::engine::Engine;
use super::events::Event;
use super::jobs::Status;
use super::model::{Instance, Live, Power};
use super::names::Name;
use super::opcodes::{self, Opcode, Work};
use crate::cluster::AdminState;
use crate::files;

impl Engine {
    /// Makes something happen now.
    pub fn apply(&mut self, event: &Event) {
        self.change(event);
        self.settle();
    }

    fn change(&mut self, event: &Event) {
        match event {
            Event::PowerOff(name) => self.model.power_off(name),
            Event::PowerOn(name) => {
                let boot = self.model.seed.duration(self.model.timing.boot, &format!("boot of {name}"));
                self.model.power_on(name, self.now + boot);
            }
            Event::Link(name, link) => self.change_node(name, |node| node.link = *link),
            Event::Offline(name, offline) => self.change_node(name, |node| node.offline = *offline),
            Event::Crash(name) => self.change_instance(name, |instance| instance.live = Live::Absent),
            Event::UserShutdown(name) => self.change_instance(name, |instance| {
                if let Live::Running(node) = &instance.live {
                    instance.live = Live::Stopped(node.clone());
                }
            }),
            Event::Stop(name) => self.change_instance(name, |instance| {
                instance.admin_state = AdminState::Down;
                instance.set_by_user = false;
                instance.live = Live::Absent;
                instance.detach_disks();
            }),
            Event::TakeOut(name) => self.change_instance(name, |instance| {
                instance.admin_state = AdminState::Offline;
                instance.live = Live::Absent;
                instance.detach_disks();
            }),
            Event::Start(name) => self.start_by_hand(name),
            Event::Move(name) => self.change_instance(name, |instance| {
                let Some(target) = instance.secondaries().first().map(|node| (*node).to_owned()) else {
                    return;
                };
                if instance.is_running() {
                    instance.live = Live::Running(target.clone());
                }
                instance.primary = target;
            }),
            Event::Remove(name) => {
                self.model.instances.remove(&Name::from(name.as_str()));
            }
            Event::Repair(name) => self.change_instance(name, |instance| {
                instance.habits.start = None;
                instance.habits.activate = None;
                instance.habits.shutdown = None;
                instance.habits.dies_after = None;
                instance.disks.iter_mut().for_each(|disk| disk.missing_on.clear());
            }),
            Event::Occupy(name, duration) => self.occupy(name, *duration),
            Event::Submit(opcode) => match opcodes::parse(opcode, self.model.version()) {
                Ok(opcode) => drop(self.submit(vec![opcode])),
                Err(problem) => trace!("The box does not take {opcode}: {problem}"),
            },
            Event::EndedJob(opcode, failure) => match opcodes::parse(opcode, self.model.version()) {
                Ok(opcode) => self.put_ended(opcode, failure.as_ref()),
                Err(problem) => trace!("The box does not take {opcode}: {problem}"),
            },
            Event::StandAlone(name) => self.change_sides(name, |side| side.stand_alone = side.attached),
            Event::LoseDisk(name, node) => {
                self.change_sides(name, |side| side.diskless |= side.node == *node);
            }
            Event::SplitBrain(name) => self.change_sides(name, |side| side.behind = true),
            Event::Tag { object, tag, present } => {
                let Some(tags) = self.model.tags_mut(object) else { return };
                let _changed = if *present { tags.insert(tag.clone()) } else { tags.remove(tag) };
            }
            Event::Drain(drained) => self.model.drained = *drained,
            Event::Pause(duration) => self.pause(*duration),
            Event::Cancel(summary) => self.cancel_all(summary),
            Event::Archive(summary) => self.archive_all(summary),
            Event::Fault(fault) => self.faults.add(fault.clone()),
            Event::StopLuxid { can_start } => {
                self.luxid.runs = false;
                self.luxid.can_start = *can_start;
                self.luxid.life += 1;
            }
            Event::StartLuxid => self.luxid.runs = true,
            Event::MasterFailover(name) => {
                self.model.master.clone_from(name);
                self.model.luxid_on.clone_from(name);
            }
            Event::KillWatcher => self.watcher_is_killed = true,
            Event::CrashMaster => self.crash_master(),
        }
    }

    fn change_node(&mut self, name: &str, change: impl FnOnce(&mut super::model::Node)) {
        if let Some(node) = self.model.nodes.get_mut(&Name::from(name)) {
            change(node);
        }
    }

    fn change_instance(&mut self, name: &str, change: impl FnOnce(&mut Instance)) {
        if let Some(instance) = self.model.instance_mut(name) {
            change(instance);
        }
    }

    fn change_sides(&mut self, name: &str, change: impl Fn(&mut super::drbd::Side)) {
        self.change_instance(name, |instance| {
            let mirrors = instance.disks.iter_mut().filter_map(|disk| disk.mirror.as_mut());
            mirrors.flat_map(|mirror| &mut mirror.sides).for_each(change);
        });
    }

    fn start_by_hand(&mut self, name: &str) {
        let Some(primary) = self.model.instance(name).map(|instance| instance.primary.clone()) else {
            return;
        };
        let up = self.model.node(&primary).is_some_and(|node| node.power == Power::On);
        self.change_instance(name, |instance| {
            instance.admin_state = AdminState::Up;
            instance.set_by_user = false;
            if up {
                instance.live = Live::Running(primary.clone());
                instance.disks_active = true;
                let mirrors = instance.disks.iter_mut().filter_map(|disk| disk.mirror.as_mut());
                mirrors.for_each(|mirror| {
                    mirror.sides.iter_mut().for_each(|side| {
                        side.attached = true;
                        side.stand_alone = false;
                    });
                });
            }
        });
    }

    /// luxid is back at once; the node answers when it has booted.
    fn crash_master(&mut self) {
        self.watcher_is_killed = true;
        for id in self.at_work.clone() {
            // `JQScheduler.hs: checkForDeath`.
            self.end_job(id, Status::Error, &json!(format!("detected death of job {id}")));
        }
        self.model.forget_starts();
        let master = self.model.master.clone();
        self.change(&Event::PowerOff(master.clone()));
        self.change(&Event::PowerOn(master));
        self.luxid.life += 1;
    }

    /// Submits a job that only holds locks.
    fn occupy(&mut self, name: &str, duration: Duration) {
        let reason = json!([["gnt:client:gnt-instance", "replace-disks", 0]]);
        let input = [
            ("OP_ID", json!("OP_INSTANCE_REPLACE_DISKS")),
            ("instance_name", json!(name)),
            ("priority", json!(0)),
            ("reason", reason),
        ];
        let opcode = Opcode {
            work: Work::Occupy { instance: name.to_owned(), duration },
            summary: format!("INSTANCE_REPLACE_DISKS({name})"),
            priority: 0,
            depends: Vec::new(),
            input: Map::from_iter(input.map(|(key, value)| (key.to_owned(), value))),
        };
        self.submit(vec![opcode]);
    }

    /// Writes the pause file as the node daemon does.
    pub(super) fn pause(&mut self, duration: Option<Duration>) {
        let until = duration.map(|duration| (self.epoch + self.now + duration).as_secs());
        self.model.paused_until = until;
        let Some(path) = &self.pause_file else { return };
        let written = match until {
            Some(until) => files::replace(path, format!("{until}\n").as_bytes(), |_| Ok(())).map(drop),
            None => match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
        };
        if let Err(error) = written {
            trace!("The box cannot write the pause file: {error:#}");
        }
    }

    fn archive_all(&mut self, summary: &str) {
        let fits = |job: &&mut super::jobs::Job| job.is_final() && job.summaries().contains(&summary);
        self.jobs.values_mut().filter(fits).for_each(|job| job.archived = true);
    }

    fn cancel_all(&mut self, summary: &str) {
        let fits = |job: &&super::jobs::Job| job.summaries().contains(&summary);
        let ids: Vec<u64> = self.jobs.values().filter(fits).map(|job| job.id).collect();
        for id in ids {
            self.cancel(id);
        }
    }
}
