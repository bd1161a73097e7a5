//! The same input to the engine and to a parser that others wrote: heads and chunks to `httparse`, frames to `tungstenite`,
//! whole connections of HTTP/2 to `h2`.

mod heads;
mod http2;
mod websocket;
