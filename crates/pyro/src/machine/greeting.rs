//! From an engine that runs to an open attachment: the hello, the identity, the deadline. This file must not know whether
//! the guest was booted or restored.

use super::MachineError;
use crate::guest::GuestClient;
use crate::guest::GuestError;
use pyro_engine::EngineError;
use pyro_engine::Guest;
use pyro_proto::hello::Attach;
use std::time::Duration;
use std::time::Instant;

/// An open attachment.
#[derive(Debug)]
pub(super) struct Greeted {
    pub(super) client: GuestClient,
    /// From the call until the agent began to apply the identity.
    pub(super) hello: Duration,
    /// From there to the open attachment.
    pub(super) attach: Duration,
}

/// Attaches to a guest that has just been started. Where that fails the guest is killed and reaped.
pub(super) async fn greet(
    guest: &mut dyn Guest,
    attach: Attach,
    deadline: Duration,
) -> Result<Greeted, MachineError> {
    let began = Instant::now();
    let Some(channel) = guest.take_channel() else {
        let operation = "give a channel to the guest";
        return Err(MachineError::Engine(EngineError::Unsupported { engine: "chosen", operation }));
    };
    let mut client = GuestClient::connect(channel);
    // Sent before the guest is up: it finds the request waiting, and no round trip is lost.
    let attached = client.attach(attach);
    let greeting = async {
        let _hello = client.hello().await?;
        // The hello and its answer come in one piece, because the request was there already; only the guest knows when it
        // began to work on it.
        let setup = Duration::from_micros(attached.await?.setup_us);
        Ok::<_, GuestError>(began.elapsed().saturating_sub(setup))
    };
    let result = tokio::time::timeout(deadline, greeting).await;
    match result {
        Ok(Ok(hello)) => Ok(Greeted { client, hello, attach: began.elapsed().saturating_sub(hello) }),
        Ok(Err(source)) => {
            guest.kill();
            let exit = guest.wait().await;
            let said = console_text(guest);
            let console = if said.is_empty() { format!("(the engine ended: {exit})") } else { said };
            Err(MachineError::Greeting { console, source })
        }
        Err(_) => {
            let console = console_text(guest);
            guest.kill();
            guest.wait().await;
            Err(MachineError::Deadline { deadline, console })
        }
    }
}

/// The last few lines of a console, as one line of printable text.
pub fn console_text(guest: &dyn Guest) -> String {
    const LINES: usize = 3;
    const CHARS: usize = 400;
    let tail = guest.console_tail();
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join(" / ");
    last.chars().filter(|c| !c.is_control()).take(CHARS).collect()
}
