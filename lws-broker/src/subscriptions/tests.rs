//! Subscriptions, call by call.
