//! luxid's methods: from a request to an answer, over the engine. No stream, no clock.
//!
//! Source: `Luxi.hs`, `Query/Server.hs`.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::engine::Engine;
use super::failure::Failure;
use super::filter::Filter;
use super::opcodes::{self, Opcode};
use super::query::{self, What};

/// A parsed request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Its arguments.
    pub arguments: Value,
}

/// What luxid answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// This result.
    Success(Value),
    /// An exception.
    Failure(Failure),
    /// The request makes no sense; the connection is closed after this.
    Refusal(String),
}

impl Answer {
    /// The answer as it crosses the wire, without the end byte.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Success(result) => json!({"success": true, "result": result}),
            Self::Failure(failure) => json!({"success": false, "result": failure.encode()}),
            Self::Refusal(text) => {
                json!({"success": false, "result": format!("Failed to parse request: {text}")})
            }
        }
        .to_string()
    }
}

enum Problem {
    Refusal(String),
    Failure(Failure),
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::Refusal(text)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Request {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(frame: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(frame).map_err(|error| error.to_string())?;
        let method = value.get("method").and_then(Value::as_str).map(str::to_owned);
        let (Some(method), Some(arguments)) = (method, value.get("args").cloned()) else {
            return Err("key 'method' or 'args' not found".to_owned());
        };
        Ok(Self { method, arguments })
    }

    /// What a query asks for.
    #[must_use]
    pub fn what(&self) -> Option<&str> {
        (self.method == "Query").then(|| self.arguments.get(0)?.as_str()).flatten()
    }

    /// The arguments of a `WaitForJobChange`.
    #[must_use]
    pub fn wait(&self) -> Option<Wait> {
        if self.method != "WaitForJobChange" {
            return None;
        }
        let (job, fields, previous, log_serial, seconds): (u64, Vec<String>, Value, Option<u64>, f64) =
            serde_json::from_value(self.arguments.clone()).ok()?;
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(LONGEST_WAIT);
        Some(Wait { job, fields, previous, log_serial, timeout })
    }
}

/// luxid's own limit for waiting (`luxiWfjcTimeout`).
const LONGEST_WAIT: Duration = Duration::from_secs(89);

/// What a client waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    job: u64,
    fields: Vec<String>,
    previous: Value,
    log_serial: Option<u64>,
    /// For how long.
    pub timeout: Duration,
}

impl Wait {
    /// The answer, if it is due. With `timed_out` it always is.
    #[must_use]
    pub fn poll(&self, engine: &Engine, timed_out: bool) -> Option<Answer> {
        let Some(job) = engine.jobs().get(&self.job).filter(|job| !job.archived) else {
            return Some(Answer::Failure(Failure::new("JobLost", "Can't load job file")));
        };
        let values: Value = self.fields.iter().map(|field| json!(job.field(field, engine.epoch()))).collect();
        let log = job.log_after(self.log_serial, engine.epoch());
        if job.is_final() || values != self.previous || !log.is_empty() {
            return Some(Answer::Success(json!([values, log])));
        }
        timed_out.then(|| Answer::Success(json!([self.previous, []])))
    }
}

/// How long luxid takes for the request. `number` is the call's, so that not all calls take the same time.
#[must_use]
pub fn cost(engine: &Engine, request: &Request, number: u64) -> Duration {
    let timing = &engine.model.timing;
    let draw = |span| engine.model.seed.duration(span, &format!("call {number}"));
    let args = &request.arguments;
    match request.method.as_str() {
        // The job's file, and the serial number, go to all master candidates.
        "SubmitJob" => draw(timing.submit) + engine.model.wait_for_candidates() * 2,
        "SubmitManyJobs" => {
            let jobs = args.get(0).and_then(Value::as_array).map_or(0, Vec::len);
            let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
            draw(timing.submit) * jobs + engine.model.wait_for_candidates() * jobs.saturating_add(1)
        }
        "Query" => {
            match parse_query(args)
                .ok()
                .and_then(|(what, fields, filter)| query::delay(engine, what, &fields, &filter))
            {
                Some(delay) => draw(timing.live_query) + delay,
                None => draw(timing.answer),
            }
        }
        _ => draw(timing.answer),
    }
}

/// Carries a request out.
pub fn answer(engine: &mut Engine, request: &Request) -> Answer {
    match carry_out(engine, request) {
        Ok(result) => Answer::Success(result),
        Err(Problem::Failure(failure)) => Answer::Failure(failure),
        Err(Problem::Refusal(text)) => Answer::Refusal(text),
    }
}

fn arguments<T: DeserializeOwned>(request: &Request) -> Result<T, String> {
    serde_json::from_value(request.arguments.clone()).map_err(|error| format!("{}: {error}", request.method))
}

fn parse_query(arguments: &Value) -> Result<(What, Vec<String>, Filter), String> {
    let (what, fields, filter): (String, Vec<String>, Value) =
        serde_json::from_value(arguments.clone()).map_err(|error| format!("Query: {error}"))?;
    Ok((What::parse(&what)?, fields, Filter::parse(&filter)?))
}

fn carry_out(engine: &mut Engine, request: &Request) -> Result<Value, Problem> {
    match request.method.as_str() {
        "Query" => {
            let (what, fields, filter) = parse_query(&request.arguments)?;
            Ok(query::answer(engine, what, &fields, &filter)?)
        }
        "QueryGroups" => query_groups(engine, request),
        "QueryConfigValues" => {
            let (names,): (Vec<String>,) = arguments(request)?;
            Ok(names.iter().map(|name| config_value(engine, name)).collect())
        }
        "QueryClusterInfo" => Ok(cluster_info(engine)),
        "SubmitJob" => {
            let (opcodes,): (Vec<Value>,) = arguments(request)?;
            check_drained(engine)?;
            Ok(json!(submit(engine, request, &opcodes)?))
        }
        "SubmitManyJobs" => {
            let (jobs,): (Vec<Vec<Value>>,) = arguments(request)?;
            check_drained(engine)?;
            let parsed: Vec<Vec<Opcode>> =
                jobs.iter().map(|job| parse_opcodes(engine, request, job)).collect::<Result<_, _>>()?;
            let submitted: Value =
                parsed.into_iter().map(|opcodes| json!([true, engine.submit(opcodes)])).collect();
            engine.settle();
            Ok(submitted)
        }
        "QueryJobs" => {
            let (ids, fields): (Vec<u64>, Vec<String>) = arguments(request)?;
            Ok(query_jobs(engine, &ids, &fields))
        }
        "ArchiveJob" => {
            let (id,): (u64,) = arguments(request)?;
            let job = engine.jobs.get_mut(&id).filter(|job| job.is_final() && !job.archived);
            Ok(json!(job.map(|job| job.archived = true).is_some()))
        }
        "AutoArchiveJobs" => {
            let (age, _timeout): (i64, i64) = arguments(request)?;
            Ok(json!([auto_archive(engine, age), 0]))
        }
        method => Err(format!("Unknown method {method:?}").into()),
    }
}

fn query_groups(engine: &Engine, request: &Request) -> Result<Value, Problem> {
    let (names, fields, use_locking): (Vec<String>, Vec<String>, bool) = arguments(request)?;
    if use_locking {
        return Err(Failure::prerequisite("Sync queries are not allowed", "wrong_input").into());
    }
    Ok(query::groups(engine, &names, &fields)?)
}

fn config_value(engine: &Engine, name: &str) -> Value {
    match name {
        "cluster_name" => json!(engine.model.name),
        "master_node" => json!(engine.model.master),
        "drain_flag" => json!(engine.model.drained),
        "watcher_pause" => {
            let now = (engine.epoch + engine.now).as_secs();
            json!(engine.model.paused_until.filter(|until| *until > now))
        }
        _ => Value::Null,
    }
}

fn cluster_info(engine: &Engine) -> Value {
    let model = &engine.model;
    let version = model.version();
    let config = version.map_or(0, |version| version.major * 1_000_000 + version.minor * 10_000);
    json!({
        "software_version": model.software_version,
        "config_version": config,
        "name": model.name,
        "master": model.master,
        "max_running_jobs": model.max_running_jobs,
        "max_tracked_jobs": model.max_tracked_jobs,
        "enabled_user_shutdown": model.user_shutdown,
        "maintain_node_health": false,
        "volume_group_name": "xenvg",
        "tags": model.tags,
    })
}

fn check_drained(engine: &Engine) -> Result<(), Failure> {
    if engine.model.drained { Err(Failure::new("GenericError", "Queue drained")) } else { Ok(()) }
}

fn parse_opcodes(engine: &Engine, request: &Request, opcodes: &[Value]) -> Result<Vec<Opcode>, String> {
    let parse = |opcode| opcodes::parse(opcode, engine.model.version());
    let parsed: Result<Vec<_>, _> = opcodes.iter().map(parse).collect();
    parsed.map_err(|problem| format!("{}: {problem}", request.method))
}

fn submit(engine: &mut Engine, request: &Request, opcodes: &[Value]) -> Result<u64, Problem> {
    let opcodes = parse_opcodes(engine, request, opcodes)?;
    let id = engine.submit(opcodes);
    engine.settle();
    Ok(id)
}

fn query_jobs(engine: &Engine, ids: &[u64], fields: &[String]) -> Value {
    let mut seen = Vec::new();
    let ids: Vec<u64> = if ids.is_empty() {
        engine.jobs.values().filter(|job| !job.archived).map(|job| job.id).collect()
    } else {
        ids.iter()
            .copied()
            .filter(|id| {
                let is_new = !seen.contains(id);
                seen.push(*id);
                is_new
            })
            .collect()
    };
    let row = |id: u64| -> Value {
        let job = engine.jobs.get(&id);
        fields.iter().map(|field| json!(job.and_then(|job| job.field(field, engine.epoch)))).collect()
    };
    ids.into_iter().map(row).collect()
}

/// Puts this JSON text, or any other text as a string, into the answer to `QueryJobs` as the first field of
/// this job, or of every job.
pub(super) fn misstate(answer: &mut Answer, request: &Request, job: Option<u64>, text: &str) {
    let Answer::Success(Value::Array(rows)) = answer else { return };
    let ids = request.arguments[0].as_array().into_iter().flatten();
    for (row, id) in rows.iter_mut().zip(ids) {
        if let Some(cell) = row.get_mut(0)
            && job.is_none_or(|job| id.as_u64() == Some(job))
        {
            *cell = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        }
    }
}

fn auto_archive(engine: &mut Engine, age: i64) -> usize {
    let age = Duration::from_secs(u64::try_from(age).unwrap_or(0));
    let now = engine.now;
    let is_old = |at: Option<Duration>| at.is_some_and(|at| at + age < now);
    let old = engine
        .jobs
        .values_mut()
        .filter(|job| job.is_final() && !job.archived && is_old(job.ended.or(job.started)));
    old.map(|job| job.archived = true).count()
}
