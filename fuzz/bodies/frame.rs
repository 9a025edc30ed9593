//! What must hold for any bytes that arrive on a guest channel: the decoder never panics, never holds more than one
//! frame, says the same however the bytes were cut, and what it accepts means the same when it is sent again.
//! It must not depend on a fuzzer: tests run it on the seeds.

use pyro_proto::Decoder;
use pyro_proto::Frame;
use pyro_proto::FrameError;
use pyro_proto::Item;
use pyro_proto::Kind;
use pyro_proto::SYNC;
use pyro_proto::frame::HEADER_BYTES;
use pyro_proto::frame::encode;
use pyro_proto::limits::FRAME_PAYLOAD_BYTES_MAX;
use pyro_proto::message;
use pyro_proto::message::Incoming;

/// The first byte says how the rest is cut; an odd one starts the decoder in step.
pub(crate) fn body(input: &[u8]) {
    let Some((&how, bytes)) = input.split_first() else { return };
    let mut wire = Vec::new();
    if how % 2 == 1 {
        wire.extend_from_slice(&SYNC);
    }
    wire.extend_from_slice(bytes);
    let items = decode(&wire, wire.len().max(1));
    assert_eq!(items, decode(&wire, usize::from(how / 2) + 1), "the cut of the stream changed what it says");
    for item in items.into_iter().flatten() {
        if let Item::Frame(frame) = item {
            survives_the_wire(&frame);
            check_message(&frame);
        }
    }
}

fn decode(wire: &[u8], cut: usize) -> Vec<Result<Item, FrameError>> {
    let mut decoder = Decoder::new();
    let mut items = Vec::new();
    for piece in wire.chunks(cut) {
        decoder.push(piece);
        while let Some(item) = decoder.next_item().transpose() {
            items.push(item);
        }
        assert!(
            decoder.pending_bytes() < HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX,
            "more than one frame is held"
        );
    }
    items
}

fn survives_the_wire(frame: &Frame) {
    let mut wire = SYNC.to_vec();
    encode(&mut wire, frame.stream, frame.kind, &frame.payload);
    let expected = [Ok(Item::Sync), Ok(Item::Frame(frame.clone()))];
    assert_eq!(decode(&wire, wire.len()), expected, "a frame changed on its way");
}

/// A message that is understood is understood the same after it was encoded again.
fn check_message(frame: &Frame) {
    if frame.kind != Kind::Control {
        return;
    }
    if let Ok(reply) = message::reply_from_payload(&frame.payload)
        && let Ok(payload) = message::to_payload(&reply)
    {
        assert_eq!(message::reply_from_payload(&payload).ok().as_ref(), Some(&reply), "a reply changed");
    }
    if let Ok(Incoming::Request(request)) = message::request_from_payload(&frame.payload)
        && let Ok(payload) = message::to_payload(&request)
    {
        let again = message::request_from_payload(&payload);
        assert!(matches!(again, Ok(Incoming::Request(back)) if back == request), "a request changed");
    }
}
