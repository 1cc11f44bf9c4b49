--- The language server: found, started for buffers, started again when it dies.

local config = require('tandem.config')

local M = {}

M.enabled = false
--- Why no server runs, in one line; nil if nothing is in the way.
---@type string?
M.trouble = nil
--- What hears of a server's notifications, by method. Set by tandem.init.
---@type table<string, function>
M.handlers = {}
--- Called with the id of a server that has ended: nothing it was asked is answered any more.
---@type fun(id: integer)
M.on_gone = function() end

-- A server that died is started again so often within so much time, and then no more.
local MOST_RESTARTS, WITHIN_S, FIRST_WAIT_MS = 3, 300, 500
-- When a repository's server was started again, in ms; false once it is given up.
local restarts = {} ---@type table<string, integer[]|false>
local stopping = {} ---@type table<integer, boolean>

---@param text string
---@param level integer?
function M.say(text, level)
  vim.notify('Tandem: ' .. text, level or vim.log.levels.INFO)
end

--- The command to run, or nil and what to do.
---@return string[]?, string?
function M.command()
  local cmd = config.current.cmd
  if vim.fn.executable(cmd[1]) == 1 then
    return cmd
  end
  return nil,
    ("%q is not there or not on PATH: name it, require('tandem').setup { cmd = { '/…/bin/tandem', 'lsp' } }"):format(
      cmd[1]
    )
end

--- Whether a buffer is one to serve: a named file that is edited.
---@param buf integer
---@return boolean
function M.wants(buf)
  if not vim.api.nvim_buf_is_loaded(buf) or vim.bo[buf].buftype ~= '' then
    return false
  end
  local kind = vim.bo[buf].filetype
  if kind == '' or vim.api.nvim_buf_get_name(buf) == '' then
    return false
  end
  local only = config.current.filetypes
  return not only or vim.list_contains(only, kind)
end

--- The server of a buffer, if one serves it.
---@param buf integer
---@return vim.lsp.Client?
function M.of(buf)
  return vim.lsp.get_clients({ name = 'tandem', bufnr = buf })[1]
end

local function capabilities()
  local able = vim.lsp.protocol.make_client_capabilities()
  return vim.tbl_deep_extend('force', able, {
    textDocument = { inlineCompletion = { dynamicRegistration = false } },
    workspace = {
      executeCommand = { dynamicRegistration = false },
      workspaceEdit = { documentChanges = true },
    },
    experimental = { tandem = { partial = true } },
  })
end

local function start_all()
  for _, buf in ipairs(vim.api.nvim_list_bufs()) do
    M.attach(buf)
  end
end

---@param id integer
---@param root string of its repository
---@param code integer
local function ended(id, root, code)
  if stopping[id] or not M.enabled or vim.v.exiting ~= vim.NIL then
    stopping[id] = nil
    return
  end
  local now = vim.uv.now()
  local recent = vim.tbl_filter(function(at)
    return now - at < WITHIN_S * 1000
  end, restarts[root] or {})
  if #recent >= MOST_RESTARTS then
    restarts[root] = false
    M.trouble = ('the server ended again and again (exit code %d): run `tandem doctor`, then :Tandem enable'):format(
      code
    )
    M.say(M.trouble, vim.log.levels.ERROR)
    return
  end
  M.trouble = ('the server ended (exit code %d) and is started again'):format(code)
  local wait_ms = FIRST_WAIT_MS * 2 ^ #recent
  recent[#recent + 1] = now
  restarts[root] = recent
  vim.defer_fn(start_all, wait_ms)
end

--- Serve a buffer, if it is one to serve.
---@param buf integer
function M.attach(buf)
  if not M.enabled or not M.wants(buf) or M.of(buf) then
    return
  end
  local cmd, why = M.command()
  if not cmd then
    if M.trouble ~= why then
      M.say(why --[[@as string]], vim.log.levels.WARN)
    end
    M.trouble = why
    return
  end
  local root = vim.fs.root(buf, '.git')
  if restarts[root or ''] == false then
    return
  end
  local id = vim.lsp.start({
    name = 'tandem',
    cmd = cmd,
    root_dir = root,
    init_options = config.current.settings,
    capabilities = capabilities(),
    handlers = M.handlers,
    on_attach = function(client)
      M.trouble = nil
      require('tandem.builtin').set(client.id, config.current.ghost == 'neovim')
    end,
    on_exit = function(code, _, client_id)
      vim.schedule(function()
        M.on_gone(client_id)
        ended(client_id, root or '', code)
      end)
    end,
  }, { bufnr = buf, silent = true })
  if not id then
    M.trouble = ('%s does not start: run `%s doctor`'):format(table.concat(cmd, ' '), cmd[1])
    M.say(M.trouble, vim.log.levels.ERROR)
  end
end

function M.enable()
  M.enabled, M.trouble, restarts = true, nil, {}
  start_all()
end

function M.disable()
  M.enabled, M.trouble = false, nil
  for _, client in ipairs(vim.lsp.get_clients({ name = 'tandem' })) do
    stopping[client.id] = true
    client:stop()
  end
end

return M
