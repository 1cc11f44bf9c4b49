--- `:Tandem WORD …`: its words, and what each does.

local clients = require('tandem.client')

local M = {}

--- Run `tandem …` in a terminal below; its output stays there.
---@param words string[]
local function in_terminal(words)
  local cmd, why = clients.command()
  if not cmd then
    clients.say(why --[[@as string]], vim.log.levels.ERROR)
    return
  end
  -- The command of the server without its last word, `lsp`.
  local program = vim.list_slice(cmd, 1, #cmd - 1)
  vim.cmd('botright 12new')
  vim.fn.jobstart(vim.list_extend(program, words), { term = true })
end

local function chat(kind)
  return function(words, command)
    require('tandem.chat').run(kind, table.concat(words, ' '), command)
  end
end

--- `tandem tune` learns a repository: that of the buffer, if none is named.
local function tune(words)
  if words[1] and not vim.startswith(words[1], '-') then
    in_terminal({ 'tune', unpack(words) })
    return
  end
  local root = vim.fs.root(0, '.git')
  if not root then
    clients.say('this buffer is in no repository: name one', vim.log.levels.ERROR)
    return
  end
  in_terminal({ 'tune', root, unpack(words) })
end

local function snooze(words)
  local client = clients.of(0)
  if not client then
    clients.say(require('tandem.status').absent(0), vim.log.levels.WARN)
    return
  end
  local minutes = tonumber(words[1] or '30')
  local off = words[1] == 'off'
  if not minutes and not off then
    clients.say('snooze takes minutes, or off', vim.log.levels.ERROR)
    return
  end
  client:exec_cmd({
    title = 'snooze',
    command = off and 'tandem.unsnooze' or 'tandem.snooze',
    arguments = off and {} or { minutes },
  }, { bufnr = 0 }, function(error, quiet_until)
    if error then
      clients.say(error.message, vim.log.levels.ERROR)
    elseif off then
      clients.say('suggests again')
    elseif quiet_until and quiet_until ~= vim.NIL then
      clients.say(('quiet for %g minutes'):format(minutes))
    end -- else the server has told why not
  end)
end

---@type table<string, fun(words: string[], command: table)>
M.words = {
  enable = function()
    require('tandem').enable()
  end,
  disable = function()
    require('tandem').disable()
  end,
  status = function()
    require('tandem.status').show()
  end,
  snooze = snooze,
  ask = chat('ask'),
  explain = chat('explain'),
  edit = chat('edit'),
  doc = chat('document'),
  tests = chat('tests'),
  fix = chat('fix'),
  review = chat('review'),
  commit = chat('commitMessage'),
  stop = function()
    require('tandem.chat').stop()
  end,
  accept = function()
    require('tandem.review').accept()
  end,
  reject = function()
    require('tandem.review').reject()
  end,
  tune = tune,
  trace = function(words)
    in_terminal({ 'trace', unpack(words) })
  end,
}

---@param command table as of nvim_create_user_command
function M.run(command)
  local words = vim.deepcopy(command.fargs)
  local word = table.remove(words, 1)
  local act = M.words[word]
  if not act then
    local known = table.concat(vim.fn.sort(vim.tbl_keys(M.words)), ', ')
    clients.say(('there is no %q; there are %s'):format(word, known), vim.log.levels.ERROR)
    return
  end
  act(words, command)
end

---@param start string
---@param line string
---@return string[]
function M.complete(start, line)
  if line:match('^%S*Tandem%s+%S+%s') then
    return {}
  end
  local found = vim.tbl_filter(function(word)
    return vim.startswith(word, start)
  end, vim.tbl_keys(M.words))
  table.sort(found)
  return found
end

return M
