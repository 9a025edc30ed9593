//! A forwarded connection: from a channel to something that listens in the guest. This file must not listen to anything.

use crate::channel;
use pyro::guest::Endpoint;
use pyro::workspace::Workspace;
use russh::Channel;
use russh::ChannelOpenFailure;
use russh::server::ChannelOpenHandle;
use russh::server::Msg;

/// Connects, answers the client, and passes bytes to and fro until the guest's side has ended or the client is gone.
pub(crate) async fn run(workspace: Workspace, to: Endpoint, channel: Channel<Msg>, reply: ChannelOpenHandle) {
    let Ok(connection) = workspace.connect(to).await else {
        return reply.reject(ChannelOpenFailure::ConnectFailed).await;
    };
    reply.accept().await;
    let (read, write) = channel.split();
    let mut incoming = channel::take(read, workspace.folder().path());
    let mut output = write.make_writer();
    let copied = {
        let copy = connection.copy(&mut incoming.input, &mut output);
        tokio::pin!(copy);
        loop {
            tokio::select! {
                copied = &mut copy => break copied,
                // A client that closes resets the connection; anything else it says is not for us.
                control = incoming.controls.recv() => if control.is_none() { return },
            }
        }
    };
    // A connection that was reset has no end, and the client must not take it for one.
    if copied.is_ok() {
        let _ = write.eof().await;
    }
    let _ = write.close().await;
}
