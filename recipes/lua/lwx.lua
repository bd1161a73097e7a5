-- The library for LuaJIT, on a loop of luv: one descriptor and one timer (level A), so that `uv.walk` finds handles of luv's only.
local ffi = require 'ffi'

ffi.cdef [[
typedef struct lwx_service lwx_service;
typedef struct lwx_handler {
  size_t size;
  uint32_t flags, reserved;
  const char *protocols;
  void *user;
  void (*drop)(void *);
  int32_t (*accept)(lwx_service *, uint64_t, void *);
  void (*request)(lwx_service *, uint64_t, uint32_t, void *);
  void (*open)(lwx_service *, uint64_t, void *);
  void (*data)(lwx_service *, uint64_t, const uint8_t *, size_t, uint32_t, void *);
  void (*writable)(lwx_service *, uint64_t, void *);
  void (*timer)(lwx_service *, uint64_t, void *);
  void (*wake)(lwx_service *, uint64_t, void *);
  void (*control)(void);
  void (*closed)(void);
} lwx_handler;
const char *lwx_strerror(int32_t);
int32_t lwx_service_new(const void *, lwx_service **);
void lwx_service_free(lwx_service *);
int32_t lwx_listen(lwx_service *, const char *, const void *, size_t *);
int32_t lwx_route(lwx_service *, int32_t, const char *, const lwx_handler *);
int32_t lwx_service_start(lwx_service *);
int32_t lwx_service_address(lwx_service *, size_t, char *, size_t);
int32_t lwx_service_fd(lwx_service *);
int32_t lwx_service_timeout_ms(lwx_service *);
int32_t lwx_service_dispatch(lwx_service *);
int32_t lwx_service_drain(lwx_service *);
int32_t lwx_respond(lwx_service *, uint64_t, uint32_t, const void *, size_t, const char *, size_t, uint32_t);
int32_t lwx_write(lwx_service *, uint64_t, const char *, size_t, uint32_t);
int32_t lwx_want_write(lwx_service *, uint64_t);
int32_t lwx_pause(lwx_service *, uint64_t);
int32_t lwx_resume(lwx_service *, uint64_t);
]]

local C = ffi.load(os.getenv 'LWX_LIBRARY' or 'lwx')
local HTTP, WEBSOCKET, END, TEXT, AGAIN = 0, 1, 1, 4, -5

local function check(code)
  if code < 0 then error(ffi.string(C.lwx_strerror(code)), 2) end
  return code
end

-- What is called from a loop that LuaJIT has compiled must not call back into it: these functions are interpreted.
local function dispatched(service) return check(C.lwx_service_dispatch(service)) end
jit.off(dispatched)

local Server = {}
Server.__index = Server

-- A server of a loop, `require 'luv'` or `vim.loop`.
function Server.new(uv)
  local out = ffi.new 'lwx_service *[1]'
  check(C.lwx_service_new(nil, out))
  return setmetatable({ uv = uv, service = out[0], kept = {} }, Server)
end

function Server:listen(address) check(C.lwx_listen(self.service, address, nil, nil)) end

local function route(self, kind, path, handler)
  handler.size = ffi.sizeof 'lwx_handler'
  check(C.lwx_route(self.service, kind, path, handler))
  -- Callbacks are kept for as long as the service may call them.
  self.kept[#self.kept + 1] = handler
end

-- `respond(status, text)` answers; what `call` raises is answered with 500.
function Server:http(path, call)
  local handler = ffi.new 'lwx_handler'
  handler.request = function(service, key)
    local ok, status, text = pcall(call)
    if not ok then status, text = 500, '' end
    C.lwx_respond(service, key, status, nil, 0, text, #text, END)
  end
  route(self, HTTP, path, handler)
end

-- Each message is sent back as `call` answers. A peer that does not take it waits until it has.
function Server:websocket(path, call)
  local handler, waiting = ffi.new 'lwx_handler', {}
  handler.data = function(service, key, bytes, size, flags)
    local ok, reply = pcall(call, ffi.string(bytes, size))
    flags = bit.band(flags, END + TEXT)
    if ok and C.lwx_write(service, key, reply, #reply, flags) == AGAIN then
      waiting[tostring(key)] = { reply, flags }
      C.lwx_pause(service, key)
      C.lwx_want_write(service, key)
    end
  end
  handler.writable = function(service, key)
    local name = tostring(key)
    local reply, flags = unpack(waiting[name] or {})
    waiting[name] = nil
    if reply then
      C.lwx_write(service, key, reply, #reply, flags)
      C.lwx_resume(service, key)
    end
  end
  route(self, WEBSOCKET, path, handler)
end

function Server:drain() check(C.lwx_service_drain(self.service)) end

-- Begins to serve, and answers where. `done` is called when the service has ended and the loop has let go of it.
function Server:start(done)
  local uv, service = self.uv, self.service
  check(C.lwx_service_start(service))
  local room = ffi.new 'char[128]'
  check(C.lwx_service_address(service, 0, room, 128))
  local poll, timer = uv.new_poll(check(C.lwx_service_fd(service))), uv.new_timer()
  local dispatch
  local at_work, silent = false, false
  local function finish()
    timer:stop()
    timer:close()
    -- The descriptor is closed when libuv has let go of it.
    poll:stop()
    poll:close(function()
      C.lwx_service_free(service)
      done()
    end)
  end
  local function arm()
    timer:stop()
    local timeout = C.lwx_service_timeout_ms(service)
    if timeout >= 0 then timer:start(timeout, 0, dispatch) end
  end
  function dispatch()
    if at_work then
      -- A handler has run the loop: nothing can be done for the service, and its watchers are silent until the handler returns.
      silent = true
      timer:stop()
      return poll:stop()
    end
    at_work = true
    local alive = dispatched(service)
    at_work = false
    if alive == 0 then return finish() end
    if silent then
      silent = false
      poll:start('r', dispatch)
    end
    arm()
  end
  poll:start('r', dispatch)
  dispatch()
  return ffi.string(room)
end

return Server
