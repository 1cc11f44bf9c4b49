--- Settings of `require('tandem').setup{}`.

local M = {}

---@class tandem.Config
---@field cmd string[] how the language server is started
---@field filetypes string[]? only these; nil: the server says what it serves
---@field settings table for the server: docs/settings.md, nested
---@field ghost 'tandem'|'neovim' who asks for ghost text and draws it
---@field keys table<string, string|false>|false keys by action

---@type tandem.Config
M.defaults = {
  cmd = { 'tandem', 'lsp' },
  filetypes = nil,
  settings = {},
  ghost = 'tandem',
  keys = {
    accept = '<Tab>',
    word = '<M-Right>',
    line = '<M-C-Right>',
    next = '<M-]>',
    previous = '<M-[>',
    dismiss = '<C-]>',
    trigger = '<M-\\>',
    edit = '<M-n>',
  },
}

---@type tandem.Config
M.current = vim.deepcopy(M.defaults)
--- Keys that the user has named, and that may therefore take the place of a mapping.
---@type table<string, boolean>
M.named = {}

--- What is wrong with options, in one line; nil if nothing is.
---@param options any
---@return string?
function M.wrong(options)
  if type(options) ~= 'table' then
    return 'setup takes a table'
  end
  local kinds = {
    cmd = 'table',
    filetypes = 'table',
    settings = 'table',
    ghost = 'string',
    keys = 'table',
  }
  for name, value in pairs(options) do
    local kind = kinds[name]
    if not kind then
      return ('there is no option %q'):format(tostring(name))
    end
    if type(value) ~= kind and not (name == 'keys' and value == false) then
      return ('%s must be a %s'):format(name, kind)
    end
  end
  if options.cmd and type(options.cmd[1]) ~= 'string' then
    return "cmd must be a list such as { 'tandem', 'lsp' }"
  end
  local ghost = options.ghost or M.defaults.ghost
  if ghost ~= 'tandem' and ghost ~= 'neovim' then
    return "ghost must be 'tandem' or 'neovim'"
  end
  if ghost == 'neovim' and not require('tandem.builtin').is_there() then
    return "ghost = 'neovim' needs Neovim 0.12"
  end
  for action, key in pairs(options.keys or {}) do
    if M.defaults.keys[action] == nil then
      return ('there is no key for %q'):format(tostring(action))
    end
    if type(key) ~= 'string' and key ~= false then
      return ('keys.%s must be a key or false'):format(action)
    end
  end
  return nil
end

--- Take options; errors with one line that says which one is wrong.
---@param options table?
function M.take(options)
  options = options or {}
  local wrong = M.wrong(options)
  if wrong then
    error(('tandem: %s (:help tandem-setup)'):format(wrong), 0)
  end
  M.current = vim.tbl_deep_extend('force', vim.deepcopy(M.defaults), options)
  M.named = {}
  for action, key in pairs(options.keys or {}) do
    M.named[action] = key ~= false
  end
end

return M
