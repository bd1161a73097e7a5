-- The echo server on luv's loop: `luajit echo.lua ADDRESS`, or in Neovim `nvim --headless -u NONE -l echo.lua` (see `neovim.lua`).
local uv = vim and vim.loop or require 'luv'
local Server = require 'lwx'

local function echo(address, done)
  local ticks, own = 0, uv.new_timer()
  own:start(10, 10, function() ticks = ticks + 1 end)
  local server = Server.new(uv)
  server:listen(address)
  server:http('/', function() return 200, 'WebSockets at /echo send back what they receive.\n' end)
  server:http('/stop', function()
    server:drain()
    return 202, ''
  end)
  -- A loop inside a handler, which luv allows: it sleeps. Neovim ends if one is run there.
  if not vim then
    server:http('/dialog', function()
      local turns, until_ = 0, uv.hrtime() + 200e6
      while uv.hrtime() < until_ do
        uv.run 'once'
        turns = turns + 1
      end
      return 200, turns < 200 and 'asleep\n' or 'busy\n'
    end)
  end
  server:websocket('/echo', function(message) return message end)
  local at = server:start(function()
    own:close()
    io.stdout:write('ticks ' .. ticks .. '\n')
    io.stdout:flush()
    if done then done() end
  end)
  io.stdout:write('listening on ' .. at .. '\n')
  io.stdout:flush()
  -- Every handle of the loop is luv's own. In Neovim nothing may walk the loop, whoever is in it: the editor has handles that are not luv's.
  if not vim then uv.walk(function(handle) assert(handle) end) end
end

if vim then return echo end
echo(arg[1] or '127.0.0.1:7681')
uv.run()
