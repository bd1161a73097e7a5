//! What other threads may hold of a server.

use crate::id::{SiteId, StreamId};
use crate::publish::topics::Publication;
use crate::publish::{Missed, PublishError};
use crate::server::group::{Group, PostError};
use crate::site::Site;
use crate::site::changes::SiteChanges;
use crate::site::transition::Transition;
use crate::thread::command::{Command, SitesCommand, StreamCommand};
use crate::ws::Broadcast;
use crate::{Context, Stream};
use lws_loop_external::{GlobalId, ListeningSocket};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What other threads may hold of a server: to wake its handlers, to publish, to run something on its threads, to add and remove
/// sites, and to end it.
///
/// Every call takes effect soon, and none waits. After the server has gone they do nothing and answer `false`.
#[doc(alias = "lws_cancel_service")]
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Group<Command>>);

impl Handle {
    /// Ends the server in an orderly way: listeners close, WebSockets get close code 1001, exchanges that run are the last
    /// of their connections, and what is left after [`Builder::drain_timeout`](crate::Builder::drain_timeout) is cut off.
    pub fn drain(&self) -> bool {
        // Asked before: a server with nothing to do can be gone at once.
        let there = self.0.is_there();
        self.0.drain();
        there
    }

    /// Ends the server when its connections have ended by themselves, as another process listens in its place from now on, with
    /// descriptors of [`duplicate_listeners`](Self::duplicate_listeners). Listeners close, and what waits in their queues is the other's;
    /// WebSockets, streams of events and downloads go on, and a connection of HTTP ends with the exchange that runs, or the next.
    /// What is left after `patience` ends as [`drain`](Self::drain) ends it.
    pub fn retire(&self, patience: Duration) -> bool {
        let there = self.0.is_there();
        self.0.retire(patience);
        there
    }

    /// Ends the server at once: connections are cut off.
    pub fn stop(&self) -> bool {
        let there = self.0.is_there();
        self.0.stop();
        there
    }

    fn send_to(&self, id: StreamId, command: StreamCommand) -> bool {
        let there = GlobalId { shard: id.shard, connection: id.connection };
        self.0.send_to(there, Command::ToStream(id.key, command))
    }

    /// Has the `wake` of one handler called.
    pub fn wake(&self, id: StreamId) -> bool {
        self.send_to(id, StreamCommand::Wake)
    }

    /// Has the `wake` of every WebSocket of the route called `path` called. False if there is no such route, or a
    /// thread of the server has too many messages waiting.
    pub fn wake_all(&self, path: &str) -> bool {
        // Every thread, also after one that has not got it.
        let woken = |route| {
            let got = self.0.others(None).filter(|shard| self.0.send(*shard, Command::WakeAll(route)));
            got.count() == self.threads()
        };
        self.0.route_named(path).is_some_and(woken)
    }

    /// Asks for a permit for every open WebSocket of the route called `path`. False if there is no such route.
    #[doc(alias = "lws_callback_on_writable_all_protocol")]
    pub fn want_write_all(&self, path: &str) -> bool {
        let route = self.0.route_named(path);
        route.iter().for_each(|route| self.0.want_write_all(*route, None));
        route.is_some() && self.0.is_there()
    }

    /// Sends a message to every open WebSocket of the route called `path`, on all threads. It is made once for all, and
    /// once compressed for all that agreed on the same parameters. What waits for slow ones has the bounds of
    /// [`RouteOptions::backlog`](crate::RouteOptions::backlog). Where several sites have the path it is the route of the oldest.
    ///
    /// # Errors
    /// There is no such route, the server has gone, or a thread of the server has 64 MiB or
    /// [`DriverOptions::mailbox_messages_max`](lws_loop_external::DriverOptions::mailbox_messages_max) messages on their
    /// way already: the error says which.
    #[doc(alias = "lws_callback_on_writable_all_protocol")]
    pub fn publish(&self, path: &str, message: &Broadcast) -> Result<(), PublishError> {
        let route = self.0.route_named(path).ok_or(PublishError::NoRoute)?;
        self.0.publish(Publication::to_route(route, message), None)
    }

    /// Sends a message to every subscriber of the topic of this name, on all threads: see
    /// [`Context::subscribe`]. It is encoded once for all, and compressed once for all that agreed on the same parameters.
    ///
    /// # Errors
    /// No message can be published to a topic of this name; otherwise as [`publish`](Self::publish).
    pub fn publish_topic(&self, topic: &str, message: &Broadcast) -> Result<(), PublishError> {
        self.0.publish_everywhere(Publication::to_topic(topic, message, None, None)?)
    }

    /// Sends a message to every subscriber of a topic, in place of an earlier one with the same `key`: see
    /// [`Context::publish_latest`].
    ///
    /// # Errors
    /// As [`publish_topic`](Self::publish_topic).
    pub fn publish_latest(&self, topic: &str, key: &str, message: &Broadcast) -> Result<(), PublishError> {
        self.0.publish_everywhere(Publication::to_topic(topic, message, None, Some(key))?)
    }

    /// Sends a message on the threads that have missed it when it was published.
    ///
    /// # Errors
    /// As [`publish`](Self::publish): some may have missed it again.
    pub fn publish_again(&self, missed: &Missed) -> Result<(), PublishError> {
        self.0.publish_again(missed)
    }

    /// Calls `call` on the first thread of the server. Its context belongs to no stream. False if it will not be called:
    /// [`try_post`](Self::try_post) says why.
    pub fn post(&self, call: impl FnOnce(&mut Context<'_>) + Send + 'static) -> bool {
        self.try_post(call).is_ok()
    }

    /// Calls `call` on the first thread of the server: see [`post`](Self::post).
    ///
    /// # Errors
    /// The server has gone, or too many messages wait there already. `call` is dropped then.
    pub fn try_post(&self, call: impl FnOnce(&mut Context<'_>) + Send + 'static) -> Result<(), PostError> {
        self.0.try_send(0, Command::Call(Box::new(call)))
    }

    /// Calls `call` with a WebSocket or raw stream, on the thread that it belongs to. Nothing is called if the stream has
    /// gone by then.
    pub fn post_to(
        &self,
        id: StreamId,
        call: impl FnOnce(&mut Context<'_>, Stream<'_>) + Send + 'static,
    ) -> bool {
        self.send_to(id, StreamCommand::Call(Box::new(call)))
    }

    /// Adds a site to all threads of the server. `describe` is called on each of them, as what a site calls belongs to one thread, and
    /// what it describes must be the same each time.
    ///
    /// `then` is called when every thread has the site, with its name; or with the first thing that was wrong, and then no thread has
    /// it. It is called on one of the server's threads, with a context that belongs to no stream.
    ///
    /// ```no_run
    /// # use lws_server::{Route, Server, Site, http::Response};
    /// # let server = Server::builder().listen("127.0.0.1:0").build()?;
    /// let describe = || {
    ///     let mut site = Site::new();
    ///     site.settings.names = ["wiki.example"].into();
    ///     site.routes.push(Route::get("/", |_| Response::text("the wiki")));
    ///     site
    /// };
    /// server.handle().add_site(describe, |_, added| match added {
    ///     Ok(id) => println!("{id:?} is served"),
    ///     Err(error) => eprintln!("{error}"),
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "lws_create_vhost")]
    pub fn add_site(
        &self,
        describe: impl Fn() -> Site + Send + Sync + 'static,
        then: impl FnOnce(&mut Context<'_>, io::Result<SiteId>) + Send + 'static,
    ) -> bool {
        self.change_sites(SiteChanges::new().add_site(describe), |cx, changed| {
            then(
                cx,
                changed.and_then(|ids| ids.first().copied().ok_or_else(|| io::ErrorKind::NotFound.into())),
            );
        })
    }

    /// Adds, replaces and removes sites, all together: every thread prepares the changes, and only when all are ready the first request
    /// meets them. What stays goes on undisturbed, with its connections.
    ///
    /// `then` is called on the first thread when every thread has changed, with the names of the sites that were added, in their
    /// order; or with the first thing that was wrong, and then nothing has changed anywhere. Changes that are asked for meanwhile wait.
    /// A site that is removed before the first thread has changed is replaced no more, and refuses the changes; one that is removed later goes.
    /// A thread that cannot follow the first, as the server is ending, is named by the error: then the others have changed.
    /// Addresses are bound on the threads of the server, and one that is a name is looked up there, which takes the time that it takes.
    pub fn change_sites(
        &self,
        changes: SiteChanges,
        then: impl FnOnce(&mut Context<'_>, io::Result<Vec<SiteId>>) + Send + 'static,
    ) -> bool {
        let transition = Arc::new(Transition::new(changes, Box::new(then)));
        self.0.send(0, Command::Sites(SitesCommand::Change(transition)))
    }

    /// Other descriptors of the sockets that the server listens on, for a process that is to take its place: those of each thread come
    /// to `then`, on that thread. What waits in their queues is lost to neither process. They are not passed on to programs that
    /// this one starts, unless it says otherwise.
    pub fn duplicate_listeners(
        &self,
        then: impl Fn(io::Result<Vec<ListeningSocket>>) + Send + Sync + 'static,
    ) -> bool {
        self.post_everywhere(move |cx| then(cx.duplicate_listeners()))
    }

    /// Leaves the files of Unix sockets where they are when their listeners close: another process listens there now.
    pub fn leave_listener_files(&self) -> bool {
        self.post_everywhere(|cx| cx.driver.leave_listener_files())
    }

    /// Takes over for good from the process that has handed out the [listening sockets](crate::Builder::listening_sockets): the files of Unix
    /// sockets go with their listeners from now on, and sockets that no site has asked for by the time when every thread serves are
    /// closed.
    pub fn take_over_listeners(&self) -> bool {
        let waiting = Arc::new(AtomicUsize::new(self.threads()));
        self.post_everywhere(move |cx| {
            cx.driver.take_listener_files();
            if waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
                cx.state.inherited.close_left();
            }
        })
    }

    /// Calls `call` on every thread of the server. Its context belongs to no stream. False if a thread has ended.
    pub fn post_everywhere(&self, call: impl Fn(&mut Context<'_>) + Send + Sync + 'static) -> bool {
        let call = Arc::new(call);
        let send = |shard| {
            let call = Arc::clone(&call);
            self.0.send_surely(shard, Command::Call(Box::new(move |cx| call(cx))))
        };
        self.0.others(None).map(send).fold(true, |all, sent| all & sent)
    }

    /// Removes a site on all threads: see [`Context::remove_site`].
    #[doc(alias = "lws_vhost_destroy")]
    pub fn remove_site(&self, id: SiteId) -> bool {
        let was_there = self.0.unregister(id);
        if was_there {
            self.0.remove_site(id, None);
        }
        was_there
    }

    /// How many threads the server has.
    #[must_use]
    #[doc(alias = "lws_get_count_threads")]
    pub fn threads(&self) -> usize {
        self.0.shards.count().into()
    }

    /// How many connections a thread of the server has: those of all are within one of each other after a rush, unless
    /// connections ended or each thread has a listener of its own.
    #[must_use]
    pub fn thread_connections(&self, thread: usize) -> usize {
        u16::try_from(thread).map_or(0, |thread| self.0.shards.connections(thread))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// What other threads may hold.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.state.group))
    }

    /// Other descriptors of the listeners that this thread has opened.
    fn duplicate_listeners(&mut self) -> io::Result<Vec<ListeningSocket>> {
        let ids: Vec<_> = self.state.sites.own_listeners().map(|(id, _)| id).collect();
        let duplicate = |id| ListeningSocket::adopt(self.driver.duplicate_listener(id)?);
        ids.into_iter().map(duplicate).collect()
    }
}
