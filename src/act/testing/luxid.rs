//! A small luxid. It answers at once; jobs take the time of tokio's clock.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::EPOCH;
use crate::cluster::{AdminState, Instance, Node};
use crate::luxi::client::{Connector, LocalFuture, Stream};
use crate::luxi::wire::END_OF_MESSAGE;

/// One job.
#[derive(Debug)]
pub(in crate::act) struct Job {
    pub(in crate::act) id: u64,
    pub(in crate::act) summary: String,
    opcode: Value,
    pub(in crate::act) begun: Instant,
    pub(in crate::act) ended: Instant,
    failure: Option<Value>,
}

impl Job {
    /// Whether a runner has submitted it.
    pub(in crate::act) fn is_ours(&self) -> bool {
        self.opcode.get("reason").is_some()
    }
}

/// What goes wrong with a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::act) enum Fault {
    /// The job exists, and the connection breaks before luxid says so.
    AnswerIsLost,
    /// luxid is gone, for good.
    Dies,
}

/// The cluster, with luxid.
#[derive(Debug)]
pub(in crate::act) struct World {
    /// When the test began.
    pub(in crate::act) start: Instant,
    pub(in crate::act) instances: Vec<Instance>,
    pub(in crate::act) nodes: Vec<Node>,
    pub(in crate::act) jobs: Vec<Job>,
    /// How long a job takes.
    pub(in crate::act) takes: Duration,
    /// Results of jobs that fail, by the name of their instance.
    pub(in crate::act) failures: BTreeMap<String, Value>,
    /// What happens to the first submission about this instance.
    pub(in crate::act) fault: Option<(&'static str, Fault)>,
    /// Seconds after the start at which the queue is drained.
    pub(in crate::act) drained_after: Option<u64>,
    /// Seconds after the start at which luxid goes away.
    pub(in crate::act) away_after: Option<u64>,
}

impl World {
    fn has_passed(&self, seconds: Option<u64>) -> bool {
        seconds.is_some_and(|seconds| self.start.elapsed() >= Duration::from_secs(seconds))
    }

    /// Somebody else's job, which runs longer than any test.
    pub(in crate::act) fn add_foreign_job(&mut self, summary: &str) {
        self.add_job(json!({}), summary.to_owned(), Duration::from_secs(1_000_000));
    }

    fn add_job(&mut self, opcode: Value, summary: String, takes: Duration) -> u64 {
        let id = self.jobs.len() as u64 + 1;
        let failure = opcode["instance_name"].as_str().and_then(|name| self.failures.get(name)).cloned();
        let begun = Instant::now();
        self.jobs.push(Job { id, summary, opcode, begun, ended: begun + takes, failure });
        id
    }

    fn submit(&mut self, opcode: &Value) -> u64 {
        let name = opcode["instance_name"].as_str().unwrap();
        let kind = opcode["OP_ID"].as_str().unwrap().strip_prefix("OP_").unwrap();
        self.add_job(opcode.clone(), format!("{kind}({name})"), self.takes)
    }

    /// The answer; `None` breaks the connection.
    fn answer(&mut self, request: &Value) -> Option<Value> {
        if self.has_passed(self.away_after) {
            return None;
        }
        let args = &request["args"];
        match request["method"].as_str().unwrap() {
            "Query" => Some(self.query(args)),
            "QueryJobs" => {
                let ids = args[0].as_array().unwrap();
                Some(ids.iter().map(|id| self.status(id.as_u64().unwrap())).collect())
            }
            "ArchiveJob" => Some(json!(true)),
            "SubmitJob" => self.submissions(&[&args[0][0]]).map(|ids| json!(ids[0])),
            "SubmitManyJobs" => {
                let opcodes: Vec<&Value> = args[0].as_array().unwrap().iter().map(|job| &job[0]).collect();
                self.submissions(&opcodes).map(|ids| ids.iter().map(|id| json!([true, id])).collect())
            }
            other => panic!("{other} is not for a runner to call"),
        }
    }

    fn submissions(&mut self, opcodes: &[&Value]) -> Option<Vec<u64>> {
        let is_about = |name: &str| opcodes.iter().any(|opcode| opcode["instance_name"] == name);
        match self.fault.take_if(|(name, _)| is_about(name)) {
            Some((_, Fault::Dies)) => {
                self.away_after = Some(0);
                return None;
            }
            Some((_, Fault::AnswerIsLost)) => {
                for opcode in opcodes {
                    self.submit(opcode);
                }
                return None;
            }
            None => {}
        }
        Some(opcodes.iter().map(|opcode| self.submit(opcode)).collect())
    }

    /// As [`World::answer`], with its envelope.
    fn frame(&mut self, request: &Value) -> Option<Vec<u8>> {
        let is_submission = request["method"].as_str().unwrap().starts_with("Submit");
        let answer = match is_submission && self.has_passed(self.drained_after) {
            true => json!({"success": false, "result": ["GenericError", ["Queue drained"]]}),
            false => json!({"success": true, "result": self.answer(request)?}),
        };
        let mut frame = answer.to_string().into_bytes();
        frame.push(END_OF_MESSAGE);
        Some(frame)
    }

    fn query(&self, args: &Value) -> Value {
        let (fields, filter) = (args[1].as_array().unwrap(), &args[2]);
        let cell = |row: &Value, field: &Value| match row.get(field.as_str().unwrap()) {
            Some(value) => json!([0, value]),
            None => panic!("{field} is not for a runner to ask for"),
        };
        let rows: Vec<Value> = match args[0].as_str().unwrap() {
            "instance" => self.instances.iter().map(|instance| self.instance_row(instance)).collect(),
            "node" => self.nodes.iter().map(node_row).collect(),
            "job" => self.jobs.iter().map(job_row).collect(),
            _ => Vec::new(),
        };
        // Knows only the filters that matter here: the group, and a job's summary or that it has not ended.
        let is_wanted = |row: &&Value| match (args[0].as_str(), filter[0].as_str()) {
            (Some("instance" | "node"), Some("==")) => row["group"] == filter[2],
            (Some("job"), Some("=[]")) => row["summary"][0] == filter[2],
            (Some("job"), _) => row["status"] == "running",
            _ => true,
        };
        let cells = |row: &Value| fields.iter().map(|field| cell(row, field)).collect();
        let data: Vec<Value> = rows.iter().filter(is_wanted).map(cells).collect();
        json!({"fields": [], "data": data})
    }

    fn instance_row(&self, instance: &Instance) -> Value {
        let startup = format!("INSTANCE_STARTUP({})", instance.name);
        let runs = |job: &Job| job.summary == startup && job.failure.is_none() && job.ended <= Instant::now();
        let status = match self.jobs.iter().any(runs) {
            true => "running".to_owned(),
            false => instance.status.to_string(),
        };
        let admin_state = if instance.admin_state == AdminState::Up { "up" } else { "down" };
        let group = &instance.primary[..1];
        json!({
            "name": instance.name, "status": status, "admin_state": admin_state, "group": group,
            "disks_active": instance.disks_active, "snodes": instance.secondaries, "pnode.group.uuid": group,
            "snodes.group.uuid": [], "disk_template": instance.disk_template, "pnode": instance.primary,
            "tags": instance.tags, "be/minmem": instance.memory,
        })
    }

    fn status(&self, id: u64) -> Value {
        let job = self.jobs.iter().find(|job| job.id == id).unwrap();
        let stamp = |moment: Instant| {
            let since_epoch = Duration::from_secs(EPOCH.into()) + (moment - self.start);
            json!([[since_epoch.as_secs(), since_epoch.subsec_micros()]])
        };
        let status = word(job);
        let ended = if status == "running" { json!([null]) } else { stamp(job.ended) };
        json!([status, [status], [job.failure], stamp(job.begun), ended])
    }
}

fn word(job: &Job) -> &'static str {
    match &job.failure {
        _ if job.ended > Instant::now() => "running",
        None => "success",
        Some(_) => "error",
    }
}

fn job_row(job: &Job) -> Value {
    json!({"id": job.id, "summary": [job.summary], "status": word(job), "ops": [job.opcode]})
}

fn node_row(node: &Node) -> Value {
    json!({
        "name": node.name, "bootid": node.boot_id, "offline": false, "vm_capable": true, "pip": node.address,
        "uuid": node.uuid, "group": node.name[..1],
    })
}

/// How the world's luxid is reached.
#[derive(Debug)]
pub(in crate::act) struct Luxid(pub(in crate::act) Rc<RefCell<World>>);

impl Connector for Luxid {
    fn connect(&self) -> LocalFuture<'_, io::Result<Box<dyn Stream>>> {
        let world = self.0.borrow();
        let connected = match world.has_passed(world.away_after) {
            true => Err(io::ErrorKind::ConnectionRefused.into()),
            false => Ok(Box::new(Connection::to(&self.0)) as Box<dyn Stream>),
        };
        Box::pin(std::future::ready(connected))
    }

    fn address(&self) -> String {
        "the test".to_owned()
    }
}

/// One connection. A request is answered while it is written.
struct Connection {
    world: Rc<RefCell<World>>,
    asked: Vec<u8>,
    answers: VecDeque<u8>,
    is_broken: bool,
}

impl Connection {
    fn to(world: &Rc<RefCell<World>>) -> Self {
        let world = Rc::clone(world);
        Self { world, asked: Vec::new(), answers: VecDeque::new(), is_broken: false }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.asked.extend_from_slice(bytes);
        while let Some(end) = self.asked.iter().position(|byte| *byte == END_OF_MESSAGE) {
            let request: Vec<u8> = self.asked.drain(..=end).collect();
            let request = serde_json::from_slice(&request[..end]).unwrap();
            let frame = self.world.borrow_mut().frame(&request);
            match frame {
                Some(frame) => self.answers.extend(frame),
                None => self.is_broken = true,
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Nobody waits here for something not asked for: a client reads after it has written.
        if self.answers.is_empty() && !self.is_broken {
            return Poll::Pending;
        }
        let length = self.answers.len().min(buffer.remaining());
        let bytes: Vec<u8> = self.answers.drain(..length).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}
