//! History: a stream for each topic, written and published by one script, so that both have one order.
//!
//! A hash holds the epoch and the newest offset. If it is gone, so is the meaning of the stream, which begins anew with another
//! epoch: the time of the server in microseconds. So it does where another [`lineage`](super::lineage) is found. The identifier of an entry
//! is its offset.

use crate::{History, Position, Topic};
use bytes::Bytes;

use super::value::RespValue;

/// Begins a stream if there is none, or one of a primary before this: the first lines of both scripts. KEYS are the stream and the hash;
/// the first of ARGV is the lineage, where an empty one is any.
macro_rules! script {
    ($rest:literal) => {
        concat!(
            "local epoch, lineage = unpack(redis.call('HMGET', KEYS[2], 'epoch', 'lineage'))\n",
            "if not epoch or ARGV[1] ~= '' and ARGV[1] ~= lineage then\n",
            "  local time = redis.call('TIME')\n",
            "  epoch = time[1] .. string.format('%06d', time[2])\n",
            "  redis.call('HSET', KEYS[2], 'epoch', epoch, 'offset', 0, 'lineage', ARGV[1])\n",
            "  redis.call('DEL', KEYS[1])\n",
            "end\n",
            $rest
        )
    };
}

/// ARGV, behind the lineage: the command that publishes, the channel, the payload, how many entries are kept, and for how many seconds they and
/// the epoch are.
pub(super) const PUBLISH: &str = script!(
    "local offset = string.format('%.0f', redis.call('HINCRBY', KEYS[2], 'offset', 1))
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[5], offset .. '-0', 'd', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('EXPIRE', KEYS[2], ARGV[7])
redis.call(ARGV[2], ARGV[3], 'lws1:' .. epoch .. ':' .. offset .. ':' .. ARGV[4])
return offset"
);

/// ARGV, behind the lineage: the epoch and the offset after which entries are wanted, or two empty strings; how many entries and octets may come; for how many
/// seconds a stream that begins is kept; and how many octets one entry may have. Without entries if there are more, or a longer one.
pub(super) const HISTORY: &str = script!(
    "local newest = redis.call('HGET', KEYS[2], 'offset')
redis.call('EXPIRE', KEYS[2], ARGV[6])
local found = {}
if ARGV[2] == epoch then
  local missing = newest - ARGV[3]
  if missing > 0 and missing <= tonumber(ARGV[4]) then
    local bytes = 0
    for _, entry in ipairs(redis.call('XRANGE', KEYS[1], string.format('%.0f', ARGV[3] + 1), '+')) do
      bytes = bytes + #entry[2][2]
      if bytes > tonumber(ARGV[5]) or #entry[2][2] > tonumber(ARGV[7]) then return {epoch, newest, {}} end
      table.insert(found, entry[1])
      table.insert(found, entry[2][2])
    end
  end
end
return {epoch, newest, found}"
);

fn number(octets: &[u8]) -> Option<u64> {
    if octets.is_empty() || octets.len() > 20 {
        return None;
    }
    octets.iter().try_fold(0_u64, |value, octet| {
        let digit = char::from(*octet).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Takes the frame of the script off a message. One that was published without it has no position.
pub(super) fn unframe(message: &Bytes) -> (Bytes, Option<Position>) {
    let framed = || {
        let rest = message.strip_prefix(b"lws1:")?;
        let mut parts = rest.splitn(3, |octet| *octet == b':');
        let position = Position { epoch: number(parts.next()?)?, offset: number(parts.next()?)? };
        Some((message.slice_ref(parts.next()?), position))
    };
    match framed() {
        Some((payload, position)) => (payload, Some(position)),
        None => (message.clone(), None),
    }
}

/// The answer to [`HISTORY`]. `None` if it is none.
pub(super) fn history(topic: Topic, answer: &RespValue) -> Option<History> {
    let RespValue::Array(parts) = answer else { return None };
    let [epoch, offset, RespValue::Array(found)] = &parts[..] else { return None };
    let newest = Position { epoch: number(epoch.octets()?)?, offset: number(offset.octets()?)? };
    let entry = |pair: &[RespValue]| {
        let [id, payload] = pair else { return None };
        let offset = number(id.octets()?.strip_suffix(b"-0")?)?;
        Some((offset, payload.octets()?.clone()))
    };
    let entries = found.chunks(2).map(entry).collect::<Option<_>>()?;
    Some(History { topic, newest: Some(newest), entries, whole_after: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_of_a_message_has_both_numbers_or_there_is_none() {
        let position = |epoch, offset| Some(Position { epoch, offset });
        for (message, payload, expected) in [
            ("lws1:7:3:x", "x", position(7, 3)),
            ("lws1:7:3:", "", position(7, 3)),
            ("lws1:7:3:a:b", "a:b", position(7, 3)),
            ("lws1:18446744073709551615:1:x", "x", position(u64::MAX, 1)),
            ("lws1:18446744073709551616:1:x", "lws1:18446744073709551616:1:x", None),
            ("lws1:7:x", "lws1:7:x", None),
            ("lws1:7::x", "lws1:7::x", None),
            ("lws1:+7:3:x", "lws1:+7:3:x", None),
            ("hello", "hello", None),
            ("", "", None),
        ] {
            let (found, at) = unframe(&Bytes::from(message));
            assert_eq!((&found[..], at), (payload.as_bytes(), expected), "{message}");
        }
    }
}
