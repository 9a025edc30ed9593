//! Having the guest take back what receives that were killed had put in place. This file must not decide when.

use crate::code::chain;
use crate::guest::GuestClient;
use pyro_proto::tool::Tool;
use serde_json::Value;
use std::time::Duration;

/// How long it may take. There is a lock in it that a program of the guest can hold.
const RECOVER_MAX: Duration = Duration::from_secs(60);

/// How much later than the guest itself the host gives it up.
const HANG_GRACE: Duration = Duration::from_secs(15);

/// Waits until it is done, or until its time is over; why it is not, for people.
pub(super) async fn recover(guest: &GuestClient) -> Result<(), String> {
    recover_within(guest, RECOVER_MAX, HANG_GRACE).await
}

async fn recover_within(guest: &GuestClient, time: Duration, grace: Duration) -> Result<(), String> {
    let run = guest.tool(Tool::Recover, false, Some(time)).map_err(|error| chain(&error))?;
    match tokio::time::timeout(time + grace, run.done::<Value>()).await {
        Ok(done) => done.map(drop).map_err(|error| chain(&error)),
        Err(_) => Err("the guest does not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::FakeGuest;
    use super::*;
    use pyro_proto::message::RequestBody;

    #[tokio::test]
    async fn a_guest_that_does_not_answer_is_not_waited_for_without_end() {
        let (mut guest, client) = FakeGuest::new();
        let time = Duration::from_millis(20);
        let (recovered, asked) = tokio::join!(recover_within(&client, time, time), guest.request());
        assert_eq!(recovered, Err("the guest does not answer".to_owned()));
        // The guest was told how long it has.
        let (_, RequestBody::Tool(spec)) = asked else { panic!("{asked:?}") };
        assert_eq!((spec.tool, spec.timeout_ms), (Tool::Recover, Some(20)));
    }

    #[tokio::test]
    async fn how_it_went_is_told() {
        let (mut guest, client) = FakeGuest::new();
        let (recovered, ()) = tokio::join!(recover(&client), async { guest.tool().await.done().await });
        assert_eq!(recovered, Ok(()));
        let (recovered, ()) = tokio::join!(recover(&client), async { guest.tool().await.killed().await });
        assert!(recovered.unwrap_err().contains("signal 9"));
    }
}
