// The chat in C++17: rooms, names, and a clock. What a callback throws ends the stream that it is about, and nothing else.
#include <lwx.hpp>

#include <functional>
#include <iostream>

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
  server.http("/stop", lwx::handler().on_request([&server](lwx::stream stream, std::uint32_t) {
    stream.respond(202, {});
    server.drain();
  }));
  server.start();
  std::cout << "listening on " << server.address() << std::endl;
  server.at(lwx_now_us() + 1000, [] { std::cout << "a timer" << std::endl; });
  server.run();
  return 0;
}
