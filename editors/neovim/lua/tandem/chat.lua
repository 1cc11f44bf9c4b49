--- The chat commands: a question to the server, the pieces of its answer into a split, and a change
--- that it makes into a review.

local clients = require('tandem.client')
local progress = require('tandem.progress')

local M = {}

---@class tandem.Run
---@field client vim.lsp.Client
---@field id integer
---@field split tandem.Split

local running = {} ---@type table<string, tandem.Run>
local tokens = 0

-- What the server titles its progress (lsp/chat/commands.py).
local TITLES = { fix = 'Tandem: fixing', tests = 'Tandem: writing tests' }
local CHANGES = { edit = true, document = true, fix = true, tests = true }
-- Made for the files on disk, on which tests were run: they are saved with the yes.
local SAVED = { fix = true, tests = true }
local PROMPTS = { ask = 'Ask: ', edit = 'Change: ' }

local function say(text, level)
  clients.say(text, level)
end

--- The lines of a command, or the cursor, as LSP's range.
---@param client vim.lsp.Client
---@param command table of nvim_create_user_command
local function range(client, command)
  if command.range > 0 then
    return {
      start = { line = command.line1 - 1, character = 0 },
      ['end'] = { line = command.line2, character = 0 },
    }
  end
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local line = vim.api.nvim_get_current_line()
  local at = {
    line = row - 1,
    character = vim.str_utfindex(line, client.offset_encoding, math.min(col, #line), false),
  }
  return { start = at, ['end'] = at }
end

local function diagnostics(command)
  local first, last = command.line1 - 1, command.line2 - 1
  local found = {}
  for _, one in ipairs(vim.diagnostic.get(0)) do
    if command.range > 0 and one.lnum >= first and one.lnum <= last then
      found[#found + 1] = one.message
    end
  end
  return found
end

--- The arguments of a kind of command; see lsp/chat/asked.py.
local function arguments(kind, words, command, client)
  local given = { uri = vim.uri_from_bufnr(0), apply = false }
  if kind == 'review' or kind == 'commitMessage' then
    return given
  end
  if kind == 'fix' then
    local told = diagnostics(command)
    if #told > 0 and words == '' then
      given.diagnostics, given.range = told, range(client, command)
    else
      given.test = words ~= '' and words or nil
    end
    return given
  end
  given.instruction = words
  -- A question without a selection is about the file; all else is about what the cursor is in.
  if kind ~= 'ask' or command.range > 0 then
    given.range = range(client, command)
  end
  return given
end

local function note(split, lines)
  if #lines > 0 then
    split:append('\n\n' .. table.concat(lines, '\n'))
  end
end

--- What an answer says beside its text.
---@param answer table
---@return string[]
local function remarks(answer)
  local lines = {}
  for _, one in ipairs(answer.leftOut or {}) do
    lines[#lines + 1] = '- Left out: ' .. one
  end
  for _, one in ipairs(answer.warnings or {}) do
    lines[#lines + 1] = '- Warning: ' .. one
  end
  for _, one in ipairs(answer.notes or {}) do
    lines[#lines + 1] = '- ' .. one
  end
  local tests = answer.tests
  if tests then
    lines[#lines + 1] = ('- In the sandbox: %d passed, %d failed'):format(
      #tests.passed,
      #tests.failed
    )
  end
  return lines
end

local function finish(kind, split, client, answer)
  if kind == 'fix' and answer.run then
    note(split, { answer.text })
  end
  note(split, remarks(answer))
  local edit = answer.edit
  if not CHANGES[kind] then
    return
  end
  if not edit or edit == vim.NIL then
    say(answer.why or 'no change', vim.log.levels.WARN)
    return
  end
  local saved = SAVED[kind] and (answer.run or answer.tests) ~= nil
  require('tandem.review').open(edit, client.offset_encoding, saved, function(accepted)
    if accepted then
      split:close()
      say(saved and 'applied and saved' or 'applied')
    else
      say('not applied')
    end
  end)
end

local function send(kind, words, command, client)
  M.stop(kind)
  tokens = tokens + 1
  local given = arguments(kind, words, command, client)
  given.token = 'tandem-nvim-' .. tokens
  local split = require('tandem.split').open(kind, CHANGES[kind] and 'diff' or 'markdown')
  local title = TITLES[kind]
  progress.waiting[given.token] = function(value)
    if CHANGES[kind] then
      if type(value.diff) == 'string' and value.diff ~= '' then
        split:set(vim.split(value.diff, '\n', { plain = true }))
      end
    else
      split:append(value.text)
    end
  end
  if title then
    progress.steps[title] = function(message)
      split:append(message .. '\n')
    end
  end
  local run = { client = client, split = split }
  local sent, id = client:request('workspace/executeCommand', {
    command = 'tandem.' .. kind,
    arguments = { given },
  }, function(error, answer)
    progress.waiting[given.token] = nil
    if running[kind] ~= run then
      return
    end
    running[kind] = nil
    if title then
      progress.steps[title] = nil
    end
    if error then
      local line = vim.split(error.message, '\n', { plain = true })[1]
      note(split, { line })
      say(line, vim.log.levels.ERROR)
      return
    end
    finish(kind, split, client, answer)
  end, vim.api.nvim_get_current_buf())
  if sent and id then
    run.id = id
    running[kind] = run
  else
    say('the server has gone', vim.log.levels.ERROR)
  end
end

--- Run a chat command for the current buffer.
---@param kind string as in lsp/chat/names.py
---@param words string the question or instruction, the test command for "fix"
---@param command table of nvim_create_user_command
function M.run(kind, words, command)
  local buf = vim.api.nvim_get_current_buf()
  local client = clients.of(buf)
  if not client then
    say((require('tandem.status').absent(buf):gsub('^Tandem:? ', '')), vim.log.levels.WARN)
    return
  end
  if words == '' and PROMPTS[kind] then
    vim.ui.input({ prompt = PROMPTS[kind] }, function(typed)
      if typed and typed:find('%S') then
        send(kind, typed, command, client)
      end
    end)
    return
  end
  send(kind, words, command, client)
end

--- A server has ended: what it was asked is over.
---@param client integer
function M.gone(client)
  for kind, run in pairs(running) do
    if run.client.id == client then
      running[kind] = nil
      progress.steps[TITLES[kind] or ''] = nil
      note(run.split, { 'The server ended.' })
      say('the server ended before it answered', vim.log.levels.ERROR)
    end
  end
end

--- End the answer of one kind, or all that are under way.
---@param only string?
function M.stop(only)
  for kind, run in pairs(running) do
    if not only or kind == only then
      running[kind] = nil
      run.client:cancel_request(run.id)
      progress.steps[TITLES[kind] or ''] = nil
      note(run.split, { 'Stopped.' })
    end
  end
end

return M
