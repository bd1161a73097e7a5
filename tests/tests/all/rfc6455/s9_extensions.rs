//! RFC 6455 §9: negotiating extensions.

use crate::support::{answers, responses};
use lws_proto::ws::{Accept, Agreement, Connect, ExtensionOffer, Negotiate, Parameters, ReservedBits};
use lws_proto::{Cause, Event, HandshakeFailure, Violation};
use std::sync::Arc;
use tests::application::Silent;
use tests::endpoint::{ACCEPTED, Buffer, OPENING};
use tests::{Endpoint, Seen, deliver};
