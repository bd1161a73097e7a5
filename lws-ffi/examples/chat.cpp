// The chat in C++17: rooms, names, and a clock; a page that another server is asked for, and a room that is the end of another one's. What a callback throws ends the stream that it is about, and nothing else.
#include <lwx.hpp>

#include <functional>
#include <iostream>
#include <thread>

namespace {

/** What is known of each who is connected. */
struct member {
  std::string room;
  unsigned said = 0;
};

} // namespace

int main(int argc, char **argv) {
  lwx::service server;
  server.listen(argc > 1 ? argv[1] : "127.0.0.1:7681");
  server.websocket("/chat/{room}", lwx::handler()
                                       .on_accept([](lwx::stream stream) {
                                         stream.keep(member{"room/" + std::string(stream.parameter("room"))});
                                         return 0;
                                       })
                                       .on_open([](lwx::stream stream) {
                                         lwx::check(stream.subscribe(stream.kept<member>()->room));
                                       })
                                       .on_message([&server](lwx::stream stream, lwx::bytes text, std::uint32_t) {
                                         auto &own = *stream.kept<member>();
                                         if (text == "throw")
                                           throw std::runtime_error("as it was asked to");
                                         server.publish(own.room, std::to_string(++own.said) + ": " + std::string(text));
                                       }));
  server.http("/", lwx::handler().on_request([](lwx::stream stream, std::uint32_t) {
    stream.respond(200, "a chat in C++\n", "text/plain");
  }));
  // What the answer of a server is made of goes to the room "log", piece by piece.
  server.http("/ask/{port}", lwx::handler().on_request([&server](lwx::stream stream, std::uint32_t) {
    auto url = "http://127.0.0.1:" + std::string(stream.parameter("port")) + "/";
    server.fetch(url, lwx::handler()
                          .on_response([&server](lwx::stream, const lwx_response &response) {
                            server.publish("room/log", "status " + std::to_string(response.status));
                          })
                          .on_message([&server](lwx::stream, lwx::bytes content, std::uint32_t) {
                            if (!content.empty())
                              server.publish("room/log", content);
                          })
                          .on_closed([&server](lwx::stream, const lwx_closed &closed) {
                            server.publish("room/log", "closed " + std::to_string(closed.cause));
                          }));
    stream.respond(202, {});
  }));
  server.http("/join/{port}", lwx::handler().on_request([&server](lwx::stream stream, std::uint32_t) {
    auto url = "ws://127.0.0.1:" + std::string(stream.parameter("port")) + "/";
    server.connect(url, lwx::handler()
                            .on_open([](lwx::stream stream) { lwx::check(stream.text("hello from C++")); })
                            .on_message([&server](lwx::stream stream, lwx::bytes text, std::uint32_t) {
                              server.publish("room/log", text);
                              stream.close();
                            }));
    stream.respond(202, {});
  }));
  server.http("/stop", lwx::handler().on_request([&server](lwx::stream stream, std::uint32_t) {
    stream.respond(202, {});
    server.drain();
  }));
  server.listen_raw("127.0.0.1:0", lwx::handler()
                                       .on_open([](lwx::stream stream) { lwx::check(stream.write("raw\n", 0)); })
                                       .on_message([](lwx::stream stream, lwx::bytes content, std::uint32_t flags) {
                                         lwx::check(stream.write(content, flags));
                                       }));
  server.start();
  std::cout << "listening on " << server.address() << std::endl;
  std::cout << "raw streams at " << server.address(1) << std::endl;
  std::cout << "datagrams at " << server.udp("127.0.0.1:0", [](lwx::stream socket, std::string_view, lwx::bytes content) {
    lwx::check(lwx_udp_send(socket.service(), socket.key(), nullptr, content.data(), content.size()));
  }) << std::endl;
  lwx::poster poster(server);
  std::thread([&] { lwx::check(poster.post([] { std::cout << "from another thread" << std::endl; })); }).join();
  server.at(lwx_now_us() + 1000, [] { std::cout << "a timer" << std::endl; });
  server.run();
  return 0;
}
