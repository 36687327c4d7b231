//! The box on a real UNIX socket, for programs that know nothing about it.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::time::{sleep, timeout};

use super::ClusterInABox;

/// How often to check whether luxid died or was started.
const INTERVAL: Duration = Duration::from_millis(20);

/// Listens at `path` whenever luxid runs; the path is gone when it does not. A file next to it with the
/// suffix `.start` asks for luxid to be started, and is then removed.
///
/// # Errors
/// When the socket cannot be created.
pub async fn serve(cluster: ClusterInABox, path: &Path) -> io::Result<()> {
    let wish = path.with_extension("start");
    loop {
        let listener = UnixListener::bind(path)?;
        while cluster.listens() {
            if let Ok(accepted) = timeout(INTERVAL, listener.accept()).await {
                let (stream, _) = accepted?;
                tokio::spawn(cluster.clone().serve(stream));
            }
        }
        drop(listener);
        std::fs::remove_file(path)?;
        while !cluster.listens() {
            sleep(INTERVAL).await;
            if std::fs::remove_file(&wish).is_ok() {
                let _runs = cluster.start_luxid();
            }
        }
    }
}
