//! The table of loads that a release is measured with, and the share of the ceiling each must reach.

use crate::ceiling;
use crate::client::{Plan, Traffic, ws};

/// One load and its target.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// What `--cells` calls it.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// What the connections speak, and so which ceiling stands beside it.
    pub kind: Kind,
    /// Payload bytes.
    pub size: usize,
    /// Requests in flight on each connection.
    pub depth: usize,
    /// The least share of the ceiling, in percent.
    pub target: u32,
    /// Whether it belongs to the quick selection.
    quick: bool,
}

/// What a cell's connections speak to the server under test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// WebSocket echo, beside a raw echo of the same payload.
    Echo,
    /// HTTP/1.1 keep-alive requests, beside a fixed reply.
    Hello,
}

/// Connections of every cell.
pub const CONNECTIONS: usize = 100;

/// All cells.
#[rustfmt::skip]
pub const CELLS: [Cell; 9] = [
    Cell { name: "20", title: "echo 20 B", kind: Kind::Echo, size: 20, depth: 1, target: 96, quick: false },
    Cell { name: "128", title: "echo 128 B", kind: Kind::Echo, size: 128, depth: 1, target: 96, quick: true },
    Cell { name: "1k", title: "echo 1 KiB", kind: Kind::Echo, size: 1 << 10, depth: 1, target: 96, quick: false },
    Cell { name: "16k", title: "echo 16 KiB", kind: Kind::Echo, size: 16 << 10, depth: 1, target: 88, quick: false },
    Cell { name: "1m", title: "echo 1 MiB", kind: Kind::Echo, size: 1 << 20, depth: 1, target: 85, quick: false },
    Cell { name: "128x16", title: "echo 128 B, depth 16", kind: Kind::Echo, size: 128, depth: 16, target: 85, quick: true },
    Cell { name: "1kx16", title: "echo 1 KiB, depth 16", kind: Kind::Echo, size: 1 << 10, depth: 16, target: 75, quick: false },
    Cell { name: "hello", title: "hello, keep-alive", kind: Kind::Hello, size: 1, depth: 1, target: 93, quick: true },
    Cell { name: "hellox16", title: "hello, pipelined 16", kind: Kind::Hello, size: 1, depth: 16, target: 60, quick: true },
];

impl Cell {
    /// The bare server that shows what the machine allows for this load.
    pub fn ceiling(&self) -> ceiling::Kind {
        match self.kind {
            Kind::Echo => ceiling::Kind::Raw,
            Kind::Hello => ceiling::Kind::Http,
        }
    }

    /// The load for a server under test.
    pub fn plan(&self, port: u16) -> Plan {
        let traffic = match self.kind {
            Kind::Echo => Traffic::WebSocket { path: "/echo".into() },
            Kind::Hello => Traffic::Http { path: "/hello".into(), content: "Hello, world!".into() },
        };
        Plan { port, traffic, connections: CONNECTIONS, size: self.size, depth: self.depth, sources: 1 }
    }

    /// The same load for the ceiling. It echoes as many bytes as a WebSocket server writes, and not the bare
    /// payload: some machines copy whole pages so much slower that the frame header decides.
    pub fn ceiling_plan(&self, port: u16) -> Plan {
        let plan = self.plan(port);
        match self.kind {
            Kind::Echo => Plan { traffic: Traffic::Raw, size: self.size + ws::header_len(self.size), ..plan },
            Kind::Hello => plan,
        }
    }
}

/// The cells that `selection` names: `all`, `quick`, or names with commas between.
///
/// # Errors
/// With the known names when one is unknown.
pub fn select(selection: &str) -> Result<Vec<Cell>, String> {
    match selection {
        "all" => Ok(CELLS.to_vec()),
        "quick" => Ok(CELLS.into_iter().filter(|cell| cell.quick).collect()),
        names => names.split(',').map(named).collect(),
    }
}

fn named(name: &str) -> Result<Cell, String> {
    CELLS.into_iter().find(|cell| cell.name == name).ok_or_else(|| {
        let known: Vec<_> = CELLS.iter().map(|cell| cell.name).collect();
        format!("no cell is called {name:?}; there are all, quick, {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_selected_by_name_and_unknown_names_are_reported() {
        let names =
            |selection| select(selection).map(|cells| cells.iter().map(|cell| cell.name).collect::<Vec<_>>());
        assert_eq!(names("all").map(|names| names.len()), Ok(CELLS.len()));
        assert_eq!(names("quick"), Ok(vec!["128", "128x16", "hello", "hellox16"]));
        assert_eq!(names("1m,20"), Ok(vec!["1m", "20"]));
        assert!(names("2").is_err_and(|error| error.contains("hellox16")));
    }
}
