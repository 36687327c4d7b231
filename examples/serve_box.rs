//! Serves a cluster in a box on a real UNIX socket, in real time, for a watcher in another process:
//!
//!     cargo run --example serve_box -- tests/scenarios/instance-restarts/power-cut/cluster.toml /tmp/box
//!
//! A third argument such as `0.1` makes everything take that fraction of its time. Steps that happen at once are taken
//! first; runs and waits are left out. It prints the environment in which a watcher finds the box, and serves until
//! it is interrupted.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use ganeti_watcher::sim::scenario::{Scenario, ScenarioStep};
use ganeti_watcher::sim::socket;
use ganeti_watcher::sim::stage::Stage;

#[allow(clippy::print_stdout, reason = "it tells its user how to continue")]
fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(file), Some(directory)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!(
            "arguments: a scenario file, a directory for the nodes' files, and optionally a time factor"
        );
    };
    let factor = match arguments.next() {
        Some(factor) => factor.to_string_lossy().parse().context("the third argument is not a number")?,
        None => 1.0,
    };
    anyhow::ensure!((0.0..=1.0).contains(&factor), "the third argument is not between 0 and 1");
    std::fs::create_dir_all(&directory).with_context(|| format!("{}", directory.display()))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let scenario = Scenario::load(&file)?.scaled(factor, now);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stage = Stage::set_up(&scenario, &directory)?;
        for step in &scenario.steps {
            if let ScenarioStep::Happen(events) = step {
                events.iter().for_each(|event| stage.cluster.apply(event));
            }
        }
        let master = stage.master();
        let root = stage.directory(&master);
        println!("GANETI_ROOTDIR={} GANETI_HOSTNAME={master}", root.display());
        println!("GROUP={}", stage.with_group("GROUP"));
        let path = root.join("var/run/ganeti/socket/ganeti-query");
        drop(std::fs::remove_file(&path));
        socket::serve(stage.cluster.clone(), &path).await.context("cannot serve")
    })
}
