--- Tandem in Neovim: `require('tandem').setup {}`, and `:Tandem` (see `:help tandem`).

local clients = require('tandem.client')
local config = require('tandem.config')

local M = {}

local function follow_ghost(on)
  local ghost = require('tandem.ghost')
  on({ 'InsertEnter', 'TextChangedI', 'CursorMovedI', 'CompleteDone' }, function()
    -- After the event: mode and popup menu are then as the user sees them.
    vim.schedule(ghost.refresh)
  end)
  on({ 'CompleteChanged', 'TextChangedP' }, function()
    ghost.hide()
  end)
  on({ 'InsertLeave', 'BufLeave', 'WinLeave' }, function()
    ghost.stop()
  end)
end

local function follow_typing(group)
  local on = function(events, act)
    vim.api.nvim_create_autocmd(events, { group = group, callback = act })
  end
  if config.current.ghost == 'tandem' then
    follow_ghost(on)
  end
  on({ 'TextChanged', 'TextChangedI' }, function()
    require('tandem.next_edit').changed()
  end)
  on('FileType', function(event)
    clients.attach(event.buf)
  end)
  on({ 'BufEnter', 'BufFilePost' }, function(event)
    clients.attach(event.buf)
  end)
end

local function highlight()
  vim.api.nvim_set_hl(0, 'TandemGhost', { link = 'Comment', default = true })
  vim.api.nvim_set_hl(0, 'TandemNextEdit', { link = 'DiffAdd', default = true })
  vim.api.nvim_set_hl(0, 'TandemReplaced', { link = 'DiffDelete', default = true })
end

--- Take the options, map the keys and serve the buffers. Errors with one line for a wrong option.
---@param options table? see |tandem-setup|
function M.setup(options)
  config.take(options)
  clients.handlers = {
    ['tandem/partial'] = function(_, params)
      require('tandem.ghost').first_line(params)
    end,
    ['window/showMessage'] = function(_, params)
      -- The server says "Tandem: …" itself; LSP's error and warning are the log's 4 and 3.
      local level = math.max(vim.log.levels.ERROR + 1 - params.type, vim.log.levels.INFO)
      vim.notify(params.message, level)
    end,
    ['$/progress'] = function(error, params, context)
      require('tandem.progress').heard(error, params, context)
    end,
  }
  require('tandem.progress').on_end = function()
    if config.current.ghost == 'tandem' then
      require('tandem.ghost').again()
    end
  end
  clients.on_gone = function(id)
    require('tandem.ghost').stop()
    require('tandem.next_edit').stop()
    require('tandem.progress').forget(id)
    require('tandem.chat').gone(id)
  end
  local group = vim.api.nvim_create_augroup('tandem', { clear = true })
  highlight()
  vim.api.nvim_create_autocmd('ColorScheme', { group = group, callback = highlight })
  follow_typing(group)
  require('tandem.keys').map()
  clients.enable()
end

function M.enable()
  clients.enable()
end

function M.disable()
  require('tandem.ghost').stop()
  require('tandem.next_edit').stop()
  clients.disable()
end

--- For a statusline: "Tandem", with what is going on; "" where Tandem serves nothing.
---@return string
function M.statusline()
  return require('tandem.status').line()
end

return M
