//! `pyro workspace connect`.

use super::block_on;
use super::failed;
use super::find;
use crate::exit;
use crate::failure::Failure;
use crate::signals;
use pyro::guest::Endpoint;
use pyro::workspace::Workspace;
use pyro::workspace::WorkspaceError;
use pyro::workspace::files::GuestPath;
use pyro_ssh::Keys;

/// Connect standard input and output to a port of the guest, or to an SSH server for the workspace.
#[derive(Debug, clap::Args)]
pub struct Connect {
    /// Workspace, by id or name.
    workspace: String,

    /// Port of the guest, or the absolute path of a unix socket in it.
    #[arg(value_name = "PORT|PATH", value_parser = target)]
    to: Option<Target>,

    /// Address in the guest: 127.0.0.1 is tried, then ::1, unless it is given.
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    host: Option<String>,
}

#[derive(Clone, Debug)]
enum Target {
    Port(u16),
    Path(String),
}

fn target(text: &str) -> Result<Target, String> {
    if text.starts_with('/') {
        return Ok(Target::Path(text.to_owned()));
    }
    match text.parse::<u16>() {
        Ok(port @ 1..) => Ok(Target::Port(port)),
        _ => Err("it must be a port, 1 to 65535, or an absolute path".to_owned()),
    }
}

impl Connect {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let to = match self.to {
            Some(Target::Port(port)) => Endpoint::Tcp { host: self.host, port },
            Some(Target::Path(path)) => Endpoint::Unix { path: path.as_str().into() },
            None => return serve(workspace),
        };
        let copied = block_on(async {
            let mut interrupts = signals::listen();
            let copying = async {
                let connection = workspace.connect(to).await?;
                connection.copy(&mut tokio::io::stdin(), &mut tokio::io::stdout()).await
            };
            tokio::select! {
                copied = copying => copied,
                Some(signal) = interrupts.recv() => Err(WorkspaceError::Interrupted { signal }),
            }
        })?;
        match copied {
            Ok(()) => Ok(exit::OK),
            Err(error @ WorkspaceError::Interrupted { .. }) => Err(Failure::new(&error, error.exit_code())),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Speaks SSH on standard input and output.
fn serve(workspace: Workspace) -> Result<i32, Failure> {
    // Before the client is greeted, so that the reason is the last thing that it shows.
    block_on(workspace.look_at(&GuestPath::workspace(), true))?.map_err(|error| failed(&error))?;
    let keys = Keys::of(&workspace).map_err(|error| failed(&error))?;
    let stream = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
    block_on(pyro_ssh::serve(workspace, &keys, stream))?.map_err(|error| failed(&error))?;
    Ok(exit::OK)
}
