/*
 * lwx.hpp: the service and the client of lwx.h for C++17. Header only.
 *
 *   lwx::service server;
 *   server.listen("127.0.0.1:7681");
 *   server.websocket("/echo", lwx::handler().on_message([](lwx::stream s, lwx::bytes b, std::uint32_t flags) { s.write(b, flags); }));
 *   server.start();
 *   server.run();
 *
 * What fails outside of callbacks throws lwx::error. Calls on a stream answer a code instead, as LWX_E_AGAIN is no exception. An exception
 * that leaves a callback is stopped there and ends its stream: a WebSocket with close code 1011, everything else at once.
 */
#ifndef LWX_HPP
#define LWX_HPP

#include "lwx.h"

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace lwx {

/** What a call answered, with its text. */
class error : public std::runtime_error {
public:
  explicit error(std::int32_t code) : std::runtime_error(text(code)), code_(code) {}
  std::int32_t code() const noexcept { return code_; }

private:
  static std::string text(std::int32_t code) {
    std::string text = lwx_strerror(code);
    const char *detail = lwx_last_error();
    return code == LWX_E_SYSTEM && *detail ? text + ": " + detail : text;
  }
  std::int32_t code_;
};

inline std::int32_t check(std::int32_t code) {
  if (code < 0)
    throw error(code);
  return code;
}

/** Bytes, as a text: what they are is for the application to know. */
using bytes = std::string_view;

inline std::string_view view(lwx_str text) noexcept { return {text.data, text.size}; }

class stream;

namespace detail {

/** What is called about the streams of a route. */
struct calls {
  std::function<std::int32_t(stream)> accept;
  std::function<void(stream, std::uint32_t)> request;
  std::function<void(stream)> open, writable;
  std::function<void(stream, bytes, std::uint32_t)> data;
  std::function<void(stream, const lwx_closed &)> closed, lost;
  std::function<void(stream, const lwx_response &)> response;
  std::string protocols;
};

/** What is kept of a stream: its own pointer, from its first callback on. */
struct state {
  std::shared_ptr<calls> route;
  std::shared_ptr<void> kept;
};

} // namespace detail

/** A stream, in a callback or later: a key does no harm when what it names has gone. */
class stream {
public:
  stream(lwx_service *service, lwx_key key) noexcept : service_(service), key_(key) {}

  lwx_key key() const noexcept { return key_; }
  lwx_service *service() const noexcept { return service_; }

  std::int32_t write(bytes content, std::uint32_t flags = LWX_END) const noexcept {
    return lwx_write(service_, key_, content.data(), content.size(), flags & (LWX_END | LWX_TEXT | LWX_PING));
  }
  std::int32_t text(std::string_view message) const noexcept { return write(message, LWX_TEXT | LWX_END); }
  std::int32_t respond(std::uint32_t status, bytes content, std::string_view type = {}) const noexcept {
    lwx_field field;
    field.name = lwx_text("Content-Type");
    field.value = {type.data(), type.size()};
    return lwx_respond(service_, key_, status, &field, type.empty() ? 0 : 1, content.data(), content.size(), LWX_END);
  }
  std::size_t budget() const noexcept {
    std::size_t budget = 0;
    lwx_budget(service_, key_, &budget);
    return budget;
  }
  std::int32_t want_write() const noexcept { return lwx_want_write(service_, key_); }
  std::int32_t pause() const noexcept { return lwx_pause(service_, key_); }
  std::int32_t resume() const noexcept { return lwx_resume(service_, key_); }
  std::int32_t close(std::uint32_t code = 1000, std::string_view reason = {}) const noexcept {
    return lwx_close(service_, key_, code, reason.data(), reason.size());
  }
  std::int32_t abort() const noexcept { return lwx_abort(service_, key_); }
  std::int32_t subscribe(const std::string &topic) const noexcept { return lwx_subscribe(service_, key_, topic.c_str()); }

  /** In `accept` and `request` only; empty elsewhere. */
  std::string_view field(const char *name, std::size_t nth = 0) const noexcept {
    lwx_str value = {"", 0};
    lwx_get_field(service_, key_, name, nth, &value);
    return view(value);
  }
  std::string_view parameter(const char *name) const noexcept {
    lwx_str value = {"", 0};
    lwx_get_parameter(service_, key_, name, &value);
    return view(value);
  }

  /** Keeps a value for the stream, until that is over. In its callbacks, or later. */
  template <typename T> void keep(T value) const {
    void *user = nullptr;
    check(lwx_get_user(service_, key_, &user));
    if (user == nullptr)
      throw error(LWX_E_STATE);
    static_cast<detail::state *>(user)->kept = std::make_shared<T>(std::move(value));
  }
  /** What was kept, which is of this type; null if nothing was. */
  template <typename T> T *kept() const noexcept {
    void *user = nullptr;
    lwx_get_user(service_, key_, &user);
    return user == nullptr ? nullptr : static_cast<T *>(static_cast<detail::state *>(user)->kept.get());
  }

private:
  lwx_service *service_;
  lwx_key key_;
};

/** What is called about the streams of a route. */
class handler {
public:
  /** 0 accepts an opening handshake, a status refuses. */
  handler &&on_accept(std::function<std::int32_t(stream)> call) && { return set(calls_->accept, std::move(call)); }
  handler &&on_request(std::function<void(stream, std::uint32_t)> call) && { return set(calls_->request, std::move(call)); }
  handler &&on_open(std::function<void(stream)> call) && { return set(calls_->open, std::move(call)); }
  /** Content, messages, bytes. */
  handler &&on_message(std::function<void(stream, bytes, std::uint32_t)> call) && { return set(calls_->data, std::move(call)); }
  handler &&on_writable(std::function<void(stream)> call) && { return set(calls_->writable, std::move(call)); }
  handler &&on_closed(std::function<void(stream, const lwx_closed &)> call) && { return set(calls_->closed, std::move(call)); }
  /** Of fetch() and connect(): the server has answered. */
  handler &&on_response(std::function<void(stream, const lwx_response &)> call) && { return set(calls_->response, std::move(call)); }
  /** Of connect() with LWX_CONNECT_RECONNECT: it is lost, and comes back. */
  handler &&on_lost(std::function<void(stream, const lwx_closed &)> call) && { return set(calls_->lost, std::move(call)); }
  handler &&protocols(std::string names) && { return set(calls_->protocols, std::move(names)); }

private:
  friend class service;

  template <typename T> handler &&set(T &place, T value) {
    place = std::move(value);
    return std::move(*this);
  }

  std::shared_ptr<detail::calls> calls_ = std::make_shared<detail::calls>();
};

/** A service of this thread. It can be moved, and is freed with its owner. */
class service {
public:
  service() { check(lwx_service_new(nullptr, &raw_)); }
  explicit service(const lwx_service_options &options) { check(lwx_service_new(&options, &raw_)); }
  service(service &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  service &operator=(service &&other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~service() { lwx_service_free(raw_); }

  lwx_service *raw() const noexcept { return raw_; }

  std::size_t listen(const std::string &address) {
    std::size_t listener = 0;
    check(lwx_listen(raw_, address.c_str(), nullptr, &listener));
    return listener;
  }
  std::size_t listen_tls(const std::string &address, const std::string &certificate, const std::string &key) {
    lwx_listen_options options;
    std::size_t listener = 0;
    LWX_INIT(&options);
    options.tls_certificate = certificate.c_str();
    options.tls_key = key.c_str();
    check(lwx_listen(raw_, address.c_str(), &options, &listener));
    return listener;
  }
  void http(const std::string &path, handler &&handler) { route(LWX_ROUTE_HTTP, path, std::move(handler)); }
  void websocket(const std::string &path, handler &&handler) { route(LWX_ROUTE_WEBSOCKET, path, std::move(handler)); }
  void files(const std::string &path, const std::string &directory) {
    check(lwx_files(raw_, path.c_str(), directory.c_str(), nullptr));
  }
  /** Each connection at an address is a raw stream, from its first byte. */
  std::size_t listen_raw(const std::string &address, handler &&handler) {
    lwx_handler raw = described_raw(std::move(handler));
    lwx_listen_options options;
    std::size_t listener = 0;
    LWX_INIT(&options);
    options.raw = &raw;
    check(lwx_listen(raw_, address.c_str(), &options, &listener));
    return listener;
  }
  /** What is no HTTP is a raw stream. */
  void raw_fallback(handler &&handler) {
    lwx_handler raw = described_raw(std::move(handler));
    check(lwx_raw_fallback(raw_, &raw));
  }
  /** Names a handler for the sites of a configuration. */
  void protocol(const std::string &name, handler &&handler) {
    lwx_handler raw = described({});
    own_route(raw, std::move(handler));
    check(lwx_protocol(raw_, name.c_str(), &raw));
  }
  void sites(const std::string &json) { check(lwx_sites(raw_, json.c_str())); }
  void start() { check(lwx_service_start(raw_)); }
  void reload(std::size_t listener) { check(lwx_tls_reload(raw_, listener)); }
  std::string address(std::size_t listener = 0) const {
    char address[256];
    check(lwx_service_address(raw_, listener, address, sizeof address));
    return address;
  }
  void publish(const std::string &topic, bytes message, std::uint32_t flags = LWX_TEXT) {
    check(lwx_publish(raw_, topic.c_str(), message.data(), message.size(), flags));
  }

  /** Takes over a descriptor that carries a stream. It belongs to the library, also if this throws. */
  stream adopt(int fd, handler &&handler) {
    lwx_handler raw = described_raw(std::move(handler));
    lwx_key key = 0;
    check(lwx_adopt(raw_, fd, &raw, &key));
    return {raw_, key};
  }

  /** Watches a descriptor that the program reads: the call gets LWX_READ and the like. stream::abort() ends it. */
  stream watch(int fd, std::function<void(stream, std::uint32_t)> call) {
    using kept = std::function<void(stream, std::uint32_t)>;
    auto own = std::make_unique<kept>(std::move(call));
    lwx_key key = 0;
    check(lwx_watch(
        raw_, fd,
        [](lwx_service *service, lwx_key key, std::uint32_t events, void *user) noexcept {
          guarded({service, key}, [&] { (*static_cast<kept *>(user))({service, key}, events); });
        },
        own.release(), [](void *user) { delete static_cast<kept *>(user); }, &key));
    return {raw_, key};
  }

  /** Opens a UDP socket: the call gets who has sent what, and lwx_udp_send() in it answers. Says where the socket is. */
  std::string udp(const std::string &address, std::function<void(stream, std::string_view, bytes)> call) {
    using kept = std::function<void(stream, std::string_view, bytes)>;
    lwx_udp_handler raw;
    lwx_key key = 0;
    char bound[64] = "";
    LWX_INIT(&raw);
    raw.user = new kept(std::move(call));
    raw.drop = [](void *user) { delete static_cast<kept *>(user); };
    raw.datagram = [](lwx_service *service, lwx_key key, lwx_str from, const std::uint8_t *data, std::size_t size,
                      void *user) noexcept {
      guarded({service, key}, [&] {
        (*static_cast<kept *>(user))({service, key}, view(from), {reinterpret_cast<const char *>(data), size});
      });
    };
    check(lwx_udp_bind(raw_, address.c_str(), &raw, &key, bound, sizeof bound));
    return bound;
  }

  /** Calls once, at a moment of lwx_now_us(). */
  lwx_key at(std::uint64_t moment, std::function<void()> call) {
    auto kept = std::make_unique<std::function<void()>>(std::move(call));
    lwx_key timer = 0;
    check(lwx_timer_set(
        raw_, moment,
        [](lwx_service *, lwx_key, void *user) noexcept {
          try {
            (*static_cast<std::function<void()> *>(user))();
          } catch (...) {
            /* There is no stream that it could end. */
          }
        },
        kept.release(), [](void *user) { delete static_cast<std::function<void()> *>(user); }, &timer));
    return timer;
  }

  /** Asks another server, after the start. */
  stream fetch(const std::string &url, handler &&handler, const lwx_connect_options *options = nullptr) {
    return begin_outgoing(lwx_fetch, url, std::move(handler), options);
  }
  /** Opens a WebSocket to another server, after the start. The subprotocols of the handler are offered. */
  stream connect(const std::string &url, handler &&handler, const lwx_connect_options *options = nullptr) {
    return begin_outgoing(lwx_connect_websocket, url, std::move(handler), options);
  }

  int fd() const { return check(lwx_service_fd(raw_)); }
  int timeout_ms() const noexcept { return lwx_service_timeout_ms(raw_); }
  bool dispatch() { return check(lwx_service_dispatch(raw_)) > 0; }
  /** The same for at most about so many microseconds. */
  bool dispatch_within(uint64_t time_us) { return check(lwx_service_dispatch_within(raw_, time_us)) > 0; }
  void run() { check(lwx_service_run(raw_)); }
  void drain() { check(lwx_service_drain(raw_)); }

private:
  using calls = detail::calls;
  using state = detail::state;

  /** Nothing that a callback throws goes into the library. */
  template <typename F> static void guarded(stream at, F call) noexcept {
    try {
      call();
    } catch (...) {
      if (at.close(1011) < 0)
        at.abort();
    }
  }

  /** The first callback of a stream: it gets what all of the route share, and makes what is the stream's own. */
  static calls &begin(lwx_service *service, lwx_key key, void *user) {
    auto &route = *static_cast<std::shared_ptr<calls> *>(user);
    auto own = std::make_unique<state>(state{route, nullptr});
    check(lwx_set_user(service, key, own.release(), [](void *own) { delete static_cast<state *>(own); }));
    return *route;
  }
  static calls &of(void *user) { return *static_cast<state *>(user)->route; }

  static std::int32_t on_accept(lwx_service *service, lwx_key key, void *user) noexcept {
    try {
      calls &route = begin(service, key, user);
      return route.accept ? route.accept({service, key}) : 0;
    } catch (...) {
      return 500;
    }
  }
  static void on_request(lwx_service *service, lwx_key key, std::uint32_t flags, void *user) noexcept {
    guarded({service, key}, [&] {
      calls &route = begin(service, key, user);
      if (route.request)
        route.request({service, key}, flags);
      else
        stream(service, key).respond(404, {});
    });
  }
  static void on_raw_open(lwx_service *service, lwx_key key, void *user) noexcept {
    guarded({service, key}, [&] {
      calls &route = begin(service, key, user);
      if (route.open)
        route.open({service, key});
    });
  }
  static void on_open(lwx_service *service, lwx_key key, void *user) noexcept {
    guarded({service, key}, [&] {
      if (of(user).open)
        of(user).open({service, key});
    });
  }
  static void on_data(lwx_service *service, lwx_key key, const std::uint8_t *data, std::size_t size, std::uint32_t flags,
                      void *user) noexcept {
    guarded({service, key}, [&] {
      if (of(user).data)
        of(user).data({service, key}, {reinterpret_cast<const char *>(data), size}, flags);
    });
  }
  static void on_writable(lwx_service *service, lwx_key key, void *user) noexcept {
    guarded({service, key}, [&] {
      if (of(user).writable)
        of(user).writable({service, key});
    });
  }
  static void on_response(lwx_service *service, lwx_key key, const lwx_response *response, void *user) noexcept {
    guarded({service, key}, [&] {
      if (of(user).response)
        of(user).response({service, key}, *response);
    });
  }
  static void on_lost(lwx_service *service, lwx_key key, const lwx_closed *why, void *user) noexcept {
    guarded({service, key}, [&] {
      if (of(user).lost)
        of(user).lost({service, key}, *why);
    });
  }
  static void on_closed(lwx_service *service, lwx_key key, const lwx_closed *closed, void *user) noexcept {
    guarded({service, key}, [&] {
      if (of(user).closed)
        of(user).closed({service, key}, *closed);
    });
  }

  /** The callbacks as C has them. */
  static lwx_handler described(const std::string &protocols) {
    lwx_handler raw;
    LWX_INIT(&raw);
    raw.protocols = protocols.empty() ? nullptr : protocols.c_str();
    raw.accept = on_accept;
    raw.request = on_request;
    raw.open = on_open;
    raw.data = on_data;
    raw.writable = on_writable;
    raw.closed = on_closed;
    raw.response = on_response;
    raw.lost = on_lost;
    return raw;
  }

  void route(std::int32_t kind, const std::string &path, handler &&handler) {
    auto protocols = handler.calls_->protocols;
    lwx_handler raw = described(protocols);
    own_route(raw, std::move(handler));
    check(lwx_route(raw_, kind, path.c_str(), &raw));
  }

  /** The callbacks belong to the library from here on. */
  static void own_route(lwx_handler &raw, handler &&handler) {
    raw.user = new std::shared_ptr<calls>(std::move(handler.calls_));
    raw.drop = [](void *user) { delete static_cast<std::shared_ptr<calls> *>(user); };
  }

  /** A raw stream begins with `open`. */
  static lwx_handler described_raw(handler &&handler) {
    lwx_handler raw = described({});
    raw.open = on_raw_open;
    own_route(raw, std::move(handler));
    return raw;
  }

  /** None of the callbacks is called inside of `begin`: until it returns the stream has no pointer of its own. */
  template <typename Begin>
  stream begin_outgoing(Begin begin, const std::string &url, handler &&handler, const lwx_connect_options *given) {
    lwx_connect_options options;
    LWX_INIT(&options);
    if (given != nullptr)
      options = *given;
    if (!handler.calls_->protocols.empty())
      options.protocols = handler.calls_->protocols.c_str();
    auto own = std::make_unique<state>(state{std::move(handler.calls_), nullptr});
    lwx_handler raw = described({});
    lwx_key key = 0;
    check(begin(raw_, url.c_str(), &options, &raw, &key));
    check(lwx_set_user(raw_, key, own.release(), [](void *user) { delete static_cast<state *>(user); }));
    return {raw_, key};
  }

  lwx_service *raw_ = nullptr;
};

/** What other threads may hold of a service: it may outlive that. */
class poster {
public:
  explicit poster(const service &service) { check(lwx_poster_new(service.raw(), &raw_)); }
  poster(poster &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  poster &operator=(poster &&other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~poster() { lwx_poster_free(raw_); }

  /** Has something called on the thread of the service. What it throws is stopped there. LWX_E_GONE if the service has ended. */
  std::int32_t post(std::function<void()> call) const {
    using kept = std::function<void()>;
    auto own = std::make_unique<kept>(std::move(call));
    return lwx_poster_post(
        raw_,
        [](lwx_service *, void *user) noexcept {
          try {
            (*static_cast<kept *>(user))();
          } catch (...) {
            /* There is no stream that it could end. */
          }
        },
        own.release(), [](void *user) { delete static_cast<kept *>(user); });
  }
  std::int32_t publish(const std::string &topic, bytes message, std::uint32_t flags = LWX_TEXT) const noexcept {
    return lwx_poster_publish(raw_, topic.c_str(), message.data(), message.size(), flags);
  }
  std::int32_t stop() const noexcept { return lwx_poster_stop(raw_); }

private:
  lwx_poster *raw_ = nullptr;
};

} // namespace lwx

#endif
