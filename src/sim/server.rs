//! The box behind a stream: luxid's framing, its waiting, and its misbehaviour. Runs on any tokio runtime,
//! with real, accelerated or virtual time.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use tracing::trace;

use super::clock::BoxClock;
use super::engine::Engine;
use super::events::{Event, Trigger};
use super::faults::FaultKind;
use super::luxid::{self, Answer, Request};
use crate::luxi::wire::{END_OF_MESSAGE, FrameDecoder};

/// luxid closes a connection that has been idle for this long (`luxiDefRwto`).
const IDLE: Duration = Duration::from_secs(180);
const PIPE_SIZE: usize = 64 << 10;
const LONGEST_REQUEST: usize = 64 << 20;

/// A running cluster in a box. Clones are the same box.
#[derive(Clone)]
pub struct ClusterInABox(Arc<Inner>);

struct Inner {
    engine: Mutex<Engine>,
    clock: Mutex<BoxClock>,
    /// Counts changes, so that waiters check again.
    changes: watch::Sender<u64>,
}

impl Inner {
    /// The engine, moved up to the present.
    fn engine(&self) -> MutexGuard<'_, Engine> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if engine.advance(self.clock().elapsed()) {
            self.tell();
        }
        engine
    }

    fn clock(&self) -> BoxClock {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl fmt::Debug for ClusterInABox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClusterInABox").finish_non_exhaustive()
    }
}

impl ClusterInABox {
    /// Starts the box; needs a runtime, on which it runs until the last clone is dropped.
    #[must_use]
    pub fn start(engine: Engine) -> Self {
        let clock = BoxClock::starting_at(engine.epoch());
        let inner =
            Inner { engine: Mutex::new(engine), clock: Mutex::new(clock), changes: watch::Sender::new(0) };
        let inner = Arc::new(inner);
        tokio::spawn(drive(Arc::downgrade(&inner)));
        Self(inner)
    }

    /// The box's clock.
    #[must_use]
    pub fn clock(&self) -> BoxClock {
        self.0.clock()
    }

    /// Lets time pass in the box alone, instantly, with everything that happens in between.
    pub fn skip(&self, length: Duration) {
        {
            let mut engine = self.0.engine();
            let mut clock = self.0.clock.lock().unwrap_or_else(PoisonError::into_inner);
            *clock = clock.skip(length);
            engine.epoch = engine.epoch.saturating_sub(length);
        }
        drop(self.0.engine());
        self.0.tell();
    }

    /// Looks into the box in its present state.
    pub fn look<T>(&self, look: impl FnOnce(&Engine) -> T) -> T {
        look(&self.0.engine())
    }

    /// Changes something in the box, now.
    pub fn change<T>(&self, change: impl FnOnce(&mut Engine) -> T) -> T {
        let result = change(&mut self.0.engine());
        self.0.tell();
        result
    }

    /// Makes something happen now.
    pub fn apply(&self, event: &Event) {
        self.change(|engine| engine.apply(event));
    }

    /// Waits until something holds in the box.
    pub async fn until(&self, is_so: impl Fn(&Engine) -> bool) {
        let mut changes = self.0.changes.subscribe();
        while !self.look(&is_so) && changes.changed().await.is_ok() {}
    }

    /// Makes something happen later; unlike with [`Engine::plan`], times count from now.
    pub fn plan(&self, trigger: Trigger, event: Event) {
        let trigger = match trigger {
            Trigger::At(after) => Trigger::At(self.0.clock().elapsed() + after),
            trigger => trigger,
        };
        self.change(|engine| engine.plan(trigger, event));
    }

    /// Serves one client until it leaves or luxid closes the connection.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) {
        let life = self.look(|engine| engine.luxid.life);
        let mut changes = self.0.changes.subscribe();
        let end_of_life = async {
            while changes.changed().await.is_ok() && self.look(|engine| engine.luxid.life == life) {}
        };
        select(pin!(converse(&self, &mut stream)), pin!(end_of_life)).await;
    }

    /// Opens a connection within the process.
    ///
    /// # Errors
    /// When luxid does not run.
    pub fn connect(&self) -> io::Result<DuplexStream> {
        if !self.look(|engine| engine.luxid.runs) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = duplex(PIPE_SIZE);
        tokio::spawn(self.clone().serve(ours));
        Ok(theirs)
    }

    /// Whether luxid listens.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.look(|engine| engine.luxid.runs)
    }

    /// Starts luxid, unless it cannot be started; returns whether it then runs.
    #[must_use]
    pub fn start_luxid(&self) -> bool {
        if self.look(|engine| engine.luxid.can_start) {
            self.apply(&Event::StartLuxid);
        }
        self.listens()
    }
}

/// Moves the box on whenever something is due, until nobody holds it any longer.
async fn drive(inner: Weak<Inner>) {
    let Some(mut changes) = inner.upgrade().map(|inner| inner.changes.subscribe()) else { return };
    loop {
        let Some(strong) = inner.upgrade() else { return };
        changes.mark_unchanged();
        let next = strong.engine().next();
        let clock = strong.clock();
        drop(strong);
        let until_next = async {
            match next {
                Some(next) => sleep_until(clock.instant(next)).await,
                None => std::future::pending().await,
            }
        };
        select(pin!(changes.changed()), pin!(until_next)).await;
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(cluster: &ClusterInABox, stream: &mut S) {
    let mut decoder = FrameDecoder::new(LONGEST_REQUEST);
    let mut buffer = vec![0; 4096];
    loop {
        let frame = loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => break frame,
                Ok(None) => {}
                Err(_) => return,
            }
            match tokio::time::timeout(IDLE, stream.read(&mut buffer)).await {
                Ok(Ok(length)) if length > 0 => decoder.push(&buffer[..length]),
                _ => return,
            }
        };
        if !exchange(cluster, stream, &frame).await {
            return;
        }
    }
}

/// Answers one message; returns whether the connection stays open.
async fn exchange<S: AsyncWrite + Unpin>(cluster: &ClusterInABox, stream: &mut S, frame: &[u8]) -> bool {
    let request = match Request::parse(frame) {
        Ok(request) => request,
        Err(problem) => {
            send(stream, &Answer::Refusal(problem).encode()).await;
            return false;
        }
    };
    let fault = cluster.0.engine().faults.strike(&request.method, request.what());
    trace!("luxid of the box: {} {fault:?}", request.method);
    match &fault {
        Some(FaultKind::CloseBefore) => return false,
        Some(FaultKind::Silent) => std::future::pending().await,
        Some(FaultKind::Slow(delay)) => sleep(*delay).await,
        Some(FaultKind::Error(class, text)) => {
            return send(stream, &Answer::Failure(super::failure::Failure::new(class, text)).encode()).await;
        }
        _ => {}
    }
    let mut answer = carry_out(cluster, &request).await;
    if let Some(FaultKind::Status(job, text)) = &fault {
        luxid::misstate(&mut answer, &request, *job, text);
    }
    let stays = !matches!(answer, Answer::Refusal(_));
    let text = answer.encode();
    match fault {
        Some(FaultKind::CloseAfter) => false,
        Some(FaultKind::CloseWithin) => {
            let half = text.len() / 2;
            drop(stream.write_all(&text.as_bytes()[..half]).await);
            false
        }
        Some(FaultKind::Answer(text)) => send(stream, &text).await && stays,
        _ => send(stream, &text).await && stays,
    }
}

async fn carry_out(cluster: &ClusterInABox, request: &Request) -> Answer {
    let Some(wait) = request.wait() else {
        let cost = cluster.change(|engine| {
            engine.calls += 1;
            luxid::cost(engine, request, engine.calls)
        });
        sleep(cost).await;
        return cluster.change(|engine| luxid::answer(engine, request));
    };
    let mut changes = cluster.0.changes.subscribe();
    let mut deadline = pin!(sleep(wait.timeout));
    let mut timed_out = false;
    loop {
        if let Some(answer) = cluster.look(|engine| wait.poll(engine, timed_out)) {
            return answer;
        }
        timed_out = match select(deadline.as_mut(), pin!(changes.changed())).await {
            Either::Left(_) => true,
            Either::Right((changed, _)) => changed.is_err(),
        };
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, text: &str) -> bool {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(END_OF_MESSAGE);
    stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok()
}
