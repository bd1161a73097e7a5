//! The faults of a run and their rates. Each seed draws its own rates (swarm testing): some runs have none of a fault,
//! and others little else.

use crate::random::Random;

/// The rates of faults, and the shape of the network. A rate is in permille of the calls it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// A read returns less than there is; the rest arrives a little later.
    pub short_reads: u16,
    /// A write takes less than there is room for; there is room again a little later.
    pub short_writes: u16,
    /// A call fails with EAGAIN although the host has just reported readiness.
    pub would_block: u16,
    /// A call is interrupted: EINTR.
    pub interrupts: u16,
    /// accept(2) fails because descriptors or memory ran out: EMFILE, ENFILE, ENOBUFS or ENOMEM.
    pub exhausted: u16,
    /// A connection is reset while it waits to be accepted: ECONNABORTED.
    pub aborted: u16,
    /// socket(2) or connect(2) of a client fails at once, or is refused.
    pub unreachable: u16,
    /// A reset of the connection takes the place of a segment.
    pub resets: u16,
    /// A ready descriptor is reported in a later turn.
    pub late: u16,
    /// A descriptor is reported that is not ready, or has ended.
    pub spurious: u16,
    /// The descriptors that the services may have open together. Past it: EMFILE.
    pub descriptors_max: u32,
    /// The octets of a socket's send buffer. At least 1.
    pub send_bytes: u32,
    /// The octets of a socket's receive buffer. At least 1.
    pub receive_bytes: u32,
    /// The octets of a segment. At least 1.
    pub segment_bytes: u32,
    /// The microseconds that a segment takes.
    pub latency: u32,
    /// The octets per second of a connection in one direction; 0 is no limit.
    pub rate: u32,
    /// The most microseconds that a host sleeps too long.
    pub oversleep: u32,
}

impl Weather {
    /// No faults, on a network like the loopback interface.
    pub const CALM: Self = Self {
        short_reads: 0,
        short_writes: 0,
        would_block: 0,
        interrupts: 0,
        exhausted: 0,
        aborted: 0,
        unreachable: 0,
        resets: 0,
        late: 0,
        spurious: 0,
        descriptors_max: 10_000,
        send_bytes: 256 << 10,
        receive_bytes: 256 << 10,
        segment_bytes: 64 << 10,
        latency: 50,
        rate: 0,
        oversleep: 0,
    };

    /// Draws the rates of a run.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        // Each fault is absent in half of the runs.
        let mut rate = |most: u64| match random.chance(500) {
            true => 0,
            // At most 1,000, which fits a u16.
            false => random.magnitude(1, most) as u16,
        };
        let faults = Self {
            short_reads: rate(400),
            short_writes: rate(400),
            would_block: rate(200),
            interrupts: rate(100),
            exhausted: rate(300),
            aborted: rate(100),
            unreachable: rate(100),
            resets: rate(30),
            late: rate(500),
            spurious: rate(200),
            ..Self::CALM
        };
        let tight = random.chance(300);
        let floor = if tight { 1 } else { 2_048 };
        let mut size = |high: u64| random.magnitude(floor, high) as u32;
        Self {
            send_bytes: size(256 << 10),
            receive_bytes: size(256 << 10),
            segment_bytes: size(64 << 10),
            descriptors_max: if random.chance(100) { random.between(6, 40) as u32 } else { 10_000 },
            latency: random.magnitude(1, 80_000) as u32,
            rate: if random.chance(300) { random.magnitude(20_000, 50_000_000) as u32 } else { 0 },
            oversleep: if random.chance(300) { random.magnitude(1, 200_000) as u32 } else { 0 },
            ..faults
        }
    }

    /// The same network without faults, and with buffers so large that small work does not take many steps.
    #[must_use]
    pub fn calmed(self) -> Self {
        let floor = 16 << 10;
        Self {
            send_bytes: self.send_bytes.max(floor),
            receive_bytes: self.receive_bytes.max(floor),
            segment_bytes: self.segment_bytes.max(1_460),
            latency: self.latency,
            rate: if self.rate == 0 { 0 } else { self.rate.max(1_000_000) },
            ..Self::CALM
        }
    }
}
