// The echo server in a Qt application: a socket notifier for the descriptor, and a timer for the deadline.
//
// GET /dialog runs a modal loop inside a handler for 200 ms, as QMessageBox::exec() does, and says how often the service was dispatched
// meanwhile: not once, and the loop sleeps.
#include "recipe.h"

#include <QAbstractEventDispatcher>
#include <QApplication>
#include <QEventLoop>
#include <QSocketNotifier>
#include <QTimer>

#include <cstdio>

namespace {

// A service that is served as long as this lives, on the thread that runs the event loop.
class Hosted {
public:
  explicit Hosted(lwx_service *service) : service_(service), notifier_(check(lwx_service_fd(service), "descriptor"), QSocketNotifier::Read) {
    deadline_.setSingleShot(true);
    deadline_.setTimerType(Qt::PreciseTimer);
    QObject::connect(&notifier_, &QSocketNotifier::activated, [this] { dispatch(); });
    QObject::connect(&deadline_, &QTimer::timeout, [this] { dispatch(); });
    // Not before the loop runs: what ends the service ends the loop.
    QTimer::singleShot(0, [this] { dispatch(); });
  }

  int calls() const { return calls_; }

private:
  void dispatch() {
    calls_++;
    // A handler may run a loop inside this one. Its notifications could only be refused, again and again.
    notifier_.setEnabled(false);
    deadline_.stop();
    if (check(lwx_service_dispatch(service_), "dispatch") == 0) {
      QCoreApplication::quit();
      return;
    }
    notifier_.setEnabled(true);
    int timeout = lwx_service_timeout_ms(service_);
    if (timeout >= 0)
      deadline_.start(timeout);
  }

  lwx_service *service_;
  QSocketNotifier notifier_;
  QTimer deadline_;
  int calls_ = 0;
};

Hosted *hosted;
int turns;

void on_dialog(lwx_service *service, lwx_key key, std::uint32_t, void *) {
  int calls = hosted->calls(), turns_before = turns;
  QEventLoop dialog;
  QTimer::singleShot(200, &dialog, &QEventLoop::quit);
  dialog.exec();
  char text[80];
  int size = std::snprintf(text, sizeof text, "%d dispatches, %s\n", hosted->calls() - calls, turns - turns_before < 200 ? "asleep" : "busy");
  lwx_respond(service, key, 200, nullptr, 0, text, static_cast<size_t>(size), LWX_END);
}

} // namespace

int main(int argc, char **argv) {
  QApplication application(argc, argv);
  lwx_service *service;
  lwx_handler echo, page, dialog;

  LWX_INIT(&echo);
  echo.data = on_message;
  echo.writable = on_writable;
  LWX_INIT(&page);
  page.request = on_page;
  LWX_INIT(&dialog);
  dialog.request = on_dialog;
  check(lwx_service_new(nullptr, &service), "service");
  check(lwx_listen(service, argc > 1 ? argv[1] : "127.0.0.1:7681", nullptr, nullptr), "listen");
  check(lwx_route(service, LWX_ROUTE_WEBSOCKET, "/echo", &echo), "/echo");
  check(lwx_route(service, LWX_ROUTE_HTTP, "/", &page), "/");
  check(lwx_route(service, LWX_ROUTE_HTTP, "/dialog", &dialog), "/dialog");
  serve_stop(service);
  start(service);

  QTimer own;
  QObject::connect(&own, &QTimer::timeout, [] { recipe_ticks++; });
  own.start(TICK_MS);
  QObject::connect(QAbstractEventDispatcher::instance(), &QAbstractEventDispatcher::awake, [] { turns++; });
  {
    Hosted here(service);
    hosted = &here;
    QApplication::exec();
  }
  recipe_end();
  lwx_service_free(service);
  return 0;
}
