//! Sends back every datagram, from the address that it was sent to. Prints its address, and each error.
//!
//! `udp_echo [ADDRESS] [GROUP]`: default `[::]:7681`, IPv6 and IPv4; GROUP is a multicast address to join. A datagram that
//! says `quit` ends it.

mod polled;

use lws_loop_external::{
    Accepted, Application, Driver, DriverContext, ListenerId, Peer, UdpEvent, UdpOptions,
};
use lws_proto::{Event, Time};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

struct Echo {
    group: Option<IpAddr>,
}

impl Application for Echo {
    type State = ();
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), _: Event<'_>) {}

    fn udp(&mut self, cx: &mut DriverContext<'_, Self>, (): &mut (), event: UdpEvent<'_>) {
        match event {
            UdpEvent::Opened(socket) => {
                if let Some(Err(error)) = self.group.map(|group| socket.join(group, None)) {
                    eprintln!("no member of the group: {error}");
                }
            }
            UdpEvent::Datagram { datagram, .. } if datagram.bytes == b"quit" => {
                cx.drain(Duration::from_secs(1));
            }
            UdpEvent::Datagram { socket, datagram } => {
                let route = datagram.reply_to();
                // Without a permit the datagram is dropped, which UDP allows.
                if let Ok(permit) = socket.permit()
                    && let Err(error) = permit.send(route, datagram.bytes)
                {
                    eprintln!("{error}");
                }
            }
            UdpEvent::Unsent { route, length, error, .. } => {
                eprintln!("{length} bytes to {} were not sent: {error}", route.to);
            }
            UdpEvent::Failed { error, .. } => eprintln!("something has not arrived: {error}"),
            _ => {}
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().as_deref().unwrap_or("[::]:7681").parse()?;
    let group = arguments.next().map(|group| group.parse()).transpose()?;
    let mut service = Driver::new(Echo { group }, Default::default())?;
    let (_, address) = service.with(Time::ZERO, |_, cx| cx.bind_udp(address, &UdpOptions::default(), ()))?;
    println!("{address}");
    polled::run(&mut service, |_| {})?;
    let stats = service.stats();
    println!("received {}, sent {}", stats.datagrams_received_total, stats.datagrams_sent_total);
    Ok(())
}
