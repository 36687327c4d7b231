//! Submissions on their way: several at once, each over its own connection.
//!
//! luxid numbers jobs and writes them to every master candidate before it answers, and enqueues them only
//! then (`Query/Server.hs: SubmitManyJobs`, `JQueue.hs: allocateJobIds, replicateManyJobs`). A candidate that
//! is dead and not marked offline costs three seconds each time. Measured on such a cluster, until 32
//! instances ran: 211 s with one submission after another, 146 s with all jobs in one, 88 s with four
//! connections and two jobs per submission. On a healthy cluster there is no difference.
//!
//! Every start is a job of its own, although a job with several opcodes costs fewer processes (62 starts on a
//! machine with two cores: 65 s with four in a job, 89 to 97 s with one): it ends with the first opcode that
//! fails, says nothing before its end, and holds a node's turn that a later start may need more.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::armed::Armed;
use crate::cluster::GanetiVersion;
use crate::decide::{Action, ActionKind};
use crate::luxi::Client;
use crate::luxi::client::LocalFuture;
use crate::luxi::jobs::{self, SubmitError, Submitted};
use crate::luxi::opcodes::OpCode;

/// luxid lets few connections wait to be accepted (a backlog of 5).
const AT_ONCE: usize = 4;
/// This many jobs go into one submission: the first waits until the last is written.
pub(super) const LARGEST: usize = 2;

/// A submission that has been answered, or failed.
pub(super) struct Answered {
    pub(super) actions: Vec<Action>,
    pub(super) result: Result<Submitted, SubmitError>,
}

/// Submissions on their way, and those answered while nobody was asking.
pub(super) struct Submissions<'a> {
    armed: &'a Armed,
    version: Option<GanetiVersion>,
    on_their_way: FuturesUnordered<LocalFuture<'a, Answered>>,
    answered: VecDeque<Answered>,
}

impl<'a> Submissions<'a> {
    pub(super) fn new(armed: &'a Armed, version: Option<GanetiVersion>) -> Self {
        Self { armed, version, on_their_way: FuturesUnordered::new(), answered: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.on_their_way.is_empty() && self.answered.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.on_their_way.len() >= AT_ONCE
    }

    /// Sends these off, each as its own job: a job with several opcodes would end with the first that fails.
    pub(super) fn add(&mut self, actions: Vec<Action>, client: &Client<'a>, now_ns: u64) {
        let (armed, version) = (self.armed, self.version);
        // Not kept for the next one: luxid closes idle connections.
        let mut client = client.another();
        self.on_their_way.push(Box::pin(async move {
            let opcodes: Vec<_> = actions.iter().map(opcode).collect();
            let result = jobs::submit(&mut client, armed, &opcodes, version, now_ns).await;
            Answered { actions, result }
        }));
    }

    /// The next one to be answered; never completes if there is none.
    pub(super) async fn next(&mut self) -> Answered {
        if let Some(answered) = self.answered.pop_front() {
            return answered;
        }
        match self.on_their_way.next().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }

    /// Does something else in the meantime. Nothing here proceeds while nobody waits for it.
    pub(super) async fn during<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return done,
                Some(answered) = self.on_their_way.next() => self.answered.push_back(answered),
            }
        }
    }
}

fn opcode(action: &Action) -> OpCode {
    let instance = action.instance.clone();
    match action.kind {
        ActionKind::Restart { .. } => OpCode::InstanceStartup { instance, force: false },
        ActionKind::StartDegraded => OpCode::InstanceStartup { instance, force: true },
        ActionKind::CleanUp => OpCode::InstanceShutdownByUser { instance },
        ActionKind::ActivateDisks { .. } => OpCode::InstanceActivateDisks { instance },
    }
}
