//! Debian's original as a watcher: unpacked, not installed, and unmodified.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ganeti_watcher::luxi::client::LocalFuture;
use ganeti_watcher::sim::scenario::Run;
use ganeti_watcher::sim::socket;
use ganeti_watcher::sim::stage::Stage;
use ganeti_watcher::sim::story::Watcher;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::{sleep, timeout};

/// No run of the original takes longer.
const LIMIT: Duration = Duration::from_secs(120);
const RAPI_PORT: &str = "5080";
const END_OF_MESSAGE: u8 = 3;

/// The original, unpacked below a directory.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    unpacked: PathBuf,
}

impl Original {
    pub(crate) fn below(cache: &Path) -> Self {
        Self { unpacked: cache.join("root") }
    }

    fn command(&self, stage: &Stage, node: &str, run: &Run) -> Command {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
        let share = self.unpacked.join("usr/share/ganeti/3.0");
        let modules =
            [here.join("python"), share.clone(), self.unpacked.join("usr/lib/python3/dist-packages")];
        let modules: Vec<String> = modules.iter().map(|path| path.display().to_string()).collect();
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg("-B")
            .arg(share.join("ganeti-watcher"))
            .args(run.arguments.iter().map(|argument| stage.with_group(argument)))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("PYTHONPATH", modules.join(":"))
            .env("LD_LIBRARY_PATH", self.unpacked.join("usr/lib/x86_64-linux-gnu"))
            .env("GANETI_ROOTDIR", stage.directory(node))
            .env("GANETI_HOSTNAME", node)
            .env("ORACLE_DAEMON_UTIL", here.join("daemon-util"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }
}

impl Watcher for Original {
    fn run<'a>(&'a self, stage: &'a Stage, node: &'a str, run: &'a Run) -> LocalFuture<'a, Result<u8>> {
        Box::pin(async move {
            let sockets = stage.directory(node).join("var/run/ganeti/socket");
            let luxid_is_here = stage.cluster.look(|engine| engine.model.luxid_on == node);
            let luxid = sockets.join("ganeti-query");
            let serving = async {
                if luxid_is_here {
                    socket::serve(stage.cluster.clone(), &luxid).await
                } else {
                    std::future::pending().await
                }
            };
            let wconfd = sockets.join("ganeti-wconfd");
            let running = async {
                // The sockets must exist first.
                sleep(Duration::from_millis(30)).await;
                let mut command: tokio::process::Command = self.command(stage, node, run).into();
                let output = timeout(LIMIT, command.kill_on_drop(true).output());
                let output = output.await.context("the original takes too long")??;
                let code = output.status.code().context("the original was killed")?;
                if code == 2 {
                    bail!(
                        "the original refuses its command line: {}",
                        String::from_utf8_lossy(&output.stderr)
                    );
                }
                Ok(u8::try_from(code)?)
            };
            let result = tokio::select! {
                served = serving => bail!("luxid's socket: {:?}", served.err()),
                echoed = echo(&wconfd) => bail!("wconfd's socket: {:?}", echoed.err()),
                result = running => result,
            };
            for path in [luxid, wconfd] {
                drop(std::fs::remove_file(path));
            }
            result
        })
    }
}

/// wconfd, as far as the watcher's probe goes.
async fn echo(path: &Path) -> Result<()> {
    let listener = UnixListener::bind(path)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut request = Vec::new();
        while let Ok(byte) = stream.read_u8().await
            && byte != END_OF_MESSAGE
        {
            request.push(byte);
        }
        let request: Value = serde_json::from_slice(&request).unwrap_or_default();
        let mut answer = json!({"success": true, "result": request["args"][0]}).to_string().into_bytes();
        answer.push(END_OF_MESSAGE);
        stream.write_all(&answer).await?;
    }
}

/// A remote API for the duration of the comparison.
#[derive(Debug)]
pub(crate) struct Rapi(Child);

impl Rapi {
    pub(crate) fn start(cache: &Path) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/rapi.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args([RAPI_PORT.as_ref(), cache.join("rapi.pem").as_os_str()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the remote API")?;
        let mut ready = [0; 5];
        let output = child.stdout.as_mut().context("no output")?;
        std::io::Read::read_exact(output, &mut ready).context("port 5080 is taken, or python3 has no ssl")?;
        Ok(Self(child))
    }
}

impl Drop for Rapi {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
