--- What Tandem is doing: `:Tandem status`, and a part of the statusline.

local clients = require('tandem.client')
local progress = require('tandem.progress')

local M = {}

--- See |tandem.statusline()|.
---@return string
function M.line()
  local buf = vim.api.nvim_get_current_buf()
  if not clients.wants(buf) then
    return ''
  end
  if not clients.enabled then
    return 'Tandem: off'
  end
  if not clients.of(buf) then
    return 'Tandem: not running'
  end
  return progress.line() or 'Tandem'
end

--- The server's answer to `tandem/status` as lines.
---@param told table
---@param last_ms number? how long the last answer took, seen from here
---@return string[]
function M.lines(told, last_ms)
  local function given(value)
    return value ~= vim.NIL and value or nil
  end
  local model = 'not ready'
  if told.model ~= '' then
    model = told.model
  elseif told.failure ~= '' then
    model = told.failure
  end
  local lines = {
    ('Tandem %s is running'):format(told.version),
    'Model: ' .. model,
  }
  if not told.enabled then
    lines[#lines + 1] = 'Suggestions are off: completion.enabled = false'
  elseif told.snoozedSeconds > 0 then
    lines[#lines + 1] = ('Snoozed for %d minutes more'):format(math.ceil(told.snoozedSeconds / 60))
  end
  local last = given(told.last)
  if last then
    local what = last.shown and 'a suggestion' or ('nothing: ' .. last.reason)
    local where = ('%s:%d'):format(vim.fn.fnamemodify(last.file, ':~:.'), last.line)
    local ms = given(last.ms)
    local took = ms and (', %.0f ms in the server'):format(ms) or ''
    local seen = last_ms and (', %.0f ms as seen here'):format(last_ms) or ''
    lines[#lines + 1] = ('Last answer: %s, at %s%s%s'):format(what, where, took, seen)
  else
    lines[#lines + 1] = 'Last answer: none yet'
  end
  return lines
end

local function tell(lines)
  vim.api.nvim_echo({ { table.concat(lines, '\n') } }, true, {})
end

--- Why no server serves a buffer, in one line.
---@param buf integer
---@return string
function M.absent(buf)
  if not clients.enabled then
    return 'Tandem is off: :Tandem enable'
  elseif clients.trouble then
    return 'Tandem: ' .. clients.trouble
  elseif not clients.wants(buf) then
    return 'Tandem does not serve this buffer: it has no name or no filetype, or is no file'
  end
  return 'Tandem is starting'
end

--- Show the state, the last answer and the reason where it was silence.
function M.show()
  local buf = vim.api.nvim_get_current_buf()
  local client = clients.of(buf)
  if not client then
    tell({ M.absent(buf) })
    return
  end
  local place = { textDocument = vim.lsp.util.make_text_document_params(buf) }
  client:request('tandem/status', place, function(error, result)
    if error then
      tell({ 'Tandem: ' .. error.message })
      return
    end
    local lines = M.lines(result, require('tandem.ghost').last_ms)
    local work = progress.line()
    if work then
      table.insert(lines, 3, 'At work: ' .. work)
    end
    tell(lines)
  end, buf)
end

return M
