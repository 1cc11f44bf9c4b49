--- `:checkhealth tandem`.

local clients = require('tandem.client')
local config = require('tandem.config')

local M = {}

local function check_command()
  local cmd, why = clients.command()
  if not cmd then
    vim.health.error(why --[[@as string]])
    return
  end
  local words = vim.list_extend(vim.list_slice(cmd, 1, #cmd - 1), { '--version' })
  local ran = vim.system(words, { text = true }):wait(30000)
  if ran.code == 0 then
    vim.health.ok(('`%s` is %s'):format(cmd[1], vim.trim(ran.stdout)))
  else
    vim.health.error(('`%s` ends with code %d'):format(table.concat(words, ' '), ran.code), {
      vim.trim(ran.stderr or ''),
    })
  end
end

local function check_server()
  if not clients.enabled then
    vim.health.warn("off: call require('tandem').setup {}, or :Tandem enable")
    return
  end
  if clients.trouble then
    vim.health.error(clients.trouble)
  end
  local client = vim.lsp.get_clients({ name = 'tandem' })[1]
  if not client then
    vim.health.info('no server runs: it starts with the first file')
    return
  end
  local answer = client:request_sync('tandem/status', vim.empty_dict(), 5000, 0)
  if not answer or answer.err then
    vim.health.error('the server does not answer', { ':Tandem disable', ':Tandem enable' })
    return
  end
  for _, line in ipairs(require('tandem.status').lines(answer.result)) do
    vim.health.info(line)
  end
end

local function check_keys()
  local left_alone = require('tandem.keys').left_alone
  for action, key in pairs(config.current.keys or {}) do
    if left_alone[action] then
      vim.health.warn(('%s is yours, so it does not %s'):format(key, action), {
        ('name it: keys = { %s = %q }; it then does what it did where no ghost text is'):format(
          action,
          key
        ),
        ('or map another key to <Plug>(tandem-%s)'):format(action),
      })
    elseif key then
      vim.health.ok(('%s: %s'):format(key, action))
    end
  end
end

function M.check()
  vim.health.start('tandem: command')
  if vim.fn.has('nvim-0.11') == 0 then
    vim.health.error('Neovim 0.11 or newer is needed')
    return
  end
  check_command()
  vim.health.start('tandem: server')
  check_server()
  vim.health.start('tandem: keys')
  check_keys()
end

return M
