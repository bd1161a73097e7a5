//! The same input to the engine and to a parser that others wrote: heads and chunks to `httparse`, frames to `tungstenite`.

mod heads;
mod websocket;
