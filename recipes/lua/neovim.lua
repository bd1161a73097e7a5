-- The echo server in Neovim: `nvim --headless -u NONE -c 'luafile neovim.lua'`, with LUA_PATH as for `echo.lua`, and the address in the
-- variable ADDRESS. The editor goes on, and ends with the server.
local echo = require 'echo'
echo(os.getenv 'ADDRESS' or '127.0.0.1:7681', vim.schedule_wrap(function() vim.cmd 'qall!' end))
