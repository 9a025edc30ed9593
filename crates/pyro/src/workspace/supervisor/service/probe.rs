//! Whether a service is ready: one try of its probe, in the guest. This file must not decide what follows from it.

use crate::guest::Connection;
use crate::guest::Endpoint;
use crate::guest::ExecStreams;
use crate::guest::GuestClient;
use crate::workspace::service::HTTP_HEAD_BYTES_MAX;
use crate::workspace::service::HttpUrl;
use crate::workspace::service::Probe;
use crate::workspace::service::ServiceSpec;
use crate::workspace::service::http_status;
use pyro_proto::ByteString;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecSpec;
use pyro_proto::tool::Tool;
use std::time::Duration;

/// How long looking for a file may take.
const FILE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long opening a connection may take, and an HTTP answer from the beginning to its first line.
const NET_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a command may take; then all its processes are ended.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Tries a probe once, a command with the variables that the service has secrets in. May be given up.
pub(super) async fn is_ready(
    guest: &GuestClient,
    spec: &ServiceSpec,
    secrets: &[(ByteString, ByteString)],
    probe: &Probe,
) -> bool {
    match probe {
        Probe::File { path } => {
            let Ok(run) = guest.tool(Tool::Stat { path: spec.path(path) }, false, Some(FILE_TIMEOUT)) else {
                return false;
            };
            let found = run.done::<serde_json::Value>();
            tokio::time::timeout(FILE_TIMEOUT, found).await.is_ok_and(|found| found.is_ok())
        }
        Probe::Tcp { address } => open(guest, address.endpoint()).await.is_some(),
        Probe::Http { url } => {
            let answer = tokio::time::timeout(NET_TIMEOUT, status(guest, url)).await;
            answer.ok().flatten().is_some_and(|status| (200..400).contains(&status))
        }
        Probe::Command { command } => succeeds(guest, spec, secrets, command).await,
    }
}

async fn open(guest: &GuestClient, to: Endpoint) -> Option<Connection> {
    tokio::time::timeout(NET_TIMEOUT, guest.open(to)).await.ok()?.ok()
}

async fn status(guest: &GuestClient, url: &HttpUrl) -> Option<u16> {
    let Connection { mut reader, mut writer } = open(guest, url.endpoint()).await?;
    writer.write_all(url.request().as_bytes()).await.ok()?;
    let mut head = Vec::new();
    loop {
        if let Some(status) = http_status(&head) {
            return status;
        }
        let bytes = reader.read().await.ok()??;
        let room = HTTP_HEAD_BYTES_MAX - head.len();
        head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Ends the probe's command when the probe is given up.
struct Ends(crate::guest::Exec);

impl Drop for Ends {
    fn drop(&mut self) {
        // One that has ended needs no end.
        self.0.end();
    }
}

async fn succeeds(
    guest: &GuestClient,
    spec: &ServiceSpec,
    secrets: &[(ByteString, ByteString)],
    command: &str,
) -> bool {
    let mut spec = ExecSpec {
        argv: vec!["/bin/sh".into(), "-lc".into(), command.into()],
        timeout_ms: u64::try_from(COMMAND_TIMEOUT.as_millis()).ok(),
        ..spec.exec()
    };
    spec.env.extend_from_slice(secrets);
    let Ok(exec) = guest.exec(spec, ExecStreams::default()) else { return false };
    let mut exec = Ends(exec);
    // What it prints is nobody's.
    drop(exec.0.stdout.take());
    let ended = exec.0.exited().await;
    ended.is_ok_and(|exit| exit.ending == Ending::Code(0) && !exit.timed_out)
}
