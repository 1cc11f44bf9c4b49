--- The next edit: what a change of yours implies elsewhere, shown at its place and made with a key.
---
--- It is asked for after a pause of typing (`tandem/nextEdit`, docs/next-edit.md). The key makes an
--- edit that is to be seen; to one that is not it goes first, and makes it when pressed again.

local clients = require('tandem.client')

local M = {}
local PAUSE_MS = 400
local space = vim.api.nvim_create_namespace('tandem-next-edit')
local timer = assert(vim.uv.new_timer())

---@class tandem.NextEdit
---@field id string
---@field title string
---@field edit lsp.TextEdit
---@field encoding string
---@field buf integer
---@field tick integer? the state of the buffer that it is for; nil until the file is loaded

local found ---@type tandem.NextEdit?
local pending ---@type { client: vim.lsp.Client, id: integer? }?
local asked_at = '' -- for which text was asked last
local declined = {} ---@type table<string, boolean> ids

local function clear()
  for _, buf in ipairs(vim.api.nvim_list_bufs()) do
    vim.api.nvim_buf_clear_namespace(buf, space, 0, -1)
  end
end

--- An LSP position of a loaded buffer as row and byte, both from 0, and within its text.
local function place(buf, position, encoding)
  local row = math.min(position.line, vim.api.nvim_buf_line_count(buf) - 1)
  local line = vim.api.nvim_buf_get_lines(buf, row, row + 1, false)[1] or ''
  local column = row == position.line and position.character or #line
  return row, vim.str_byteindex(line, encoding, column, false)
end

--- Whether its text is still the one that it is for.
local function is_current(one)
  return one.tick == vim.api.nvim_buf_get_changedtick(one.buf)
end

--- Whether the place is on the screen, in the current window.
local function is_seen(one)
  local line = one.edit.range.start.line + 1
  return one.buf == vim.api.nvim_get_current_buf()
    and vim.fn.line('w0') <= line
    and line <= vim.fn.line('w$')
    and vim.fn.foldclosed(line) < 0
end

--- The edit as it would be: the old text marked, the new one behind it.
local function preview(one)
  local range = one.edit.range
  local row, col = place(one.buf, range.start, one.encoding)
  local last_row, last_col = place(one.buf, range['end'], one.encoding)
  local lines = vim.split(one.edit.newText:gsub('\r\n?', '\n'), '\n', { plain = true })
  local first, below = table.remove(lines, 1), {}
  for _, line in ipairs(lines) do
    below[#below + 1] = { { line, 'TandemNextEdit' } }
  end
  vim.api.nvim_buf_set_extmark(one.buf, space, row, col, {
    end_row = last_row,
    end_col = last_col,
    hl_group = 'TandemReplaced',
  })
  vim.api.nvim_buf_set_extmark(one.buf, space, last_row, last_col, {
    virt_text = { { first, 'TandemNextEdit' } },
    virt_text_pos = 'inline',
    virt_lines = #below > 0 and below or nil,
  })
  vim.api.nvim_buf_set_extmark(one.buf, space, last_row, 0, {
    virt_text = { { ' ' .. one.title, 'TandemGhost' } },
    virt_text_pos = 'eol',
  })
end

--- Where to find it, at the end of the cursor's line.
local function point(one)
  local line = one.edit.range.start.line + 1
  local where = ('line %d'):format(line)
  if one.buf ~= vim.api.nvim_get_current_buf() then
    where = ('%s:%d'):format(vim.fn.fnamemodify(vim.api.nvim_buf_get_name(one.buf), ':~:.'), line)
  end
  vim.api.nvim_buf_set_extmark(0, space, vim.api.nvim_win_get_cursor(0)[1] - 1, 0, {
    virt_text = { { (' %s: %s'):format(where, one.title), 'TandemGhost' } },
    virt_text_pos = 'eol',
  })
end

local function show()
  clear()
  if not found then
    return
  end
  if vim.api.nvim_buf_is_loaded(found.buf) then
    preview(found)
  end
  if not is_seen(found) then
    point(found)
  end
end

--- Take it away.
function M.forget()
  if found then
    found = nil
    clear()
  end
end

local function cancel()
  timer:stop()
  if pending and pending.id then
    pending.client:cancel_request(pending.id)
  end
  pending = nil
end

--- Forget all, as when the server has gone.
function M.stop()
  cancel()
  M.forget()
  asked_at = ''
end

---@param told table the server's answer
---@param encoding string
local function take(told, encoding)
  local buf = vim.uri_to_bufnr(told.uri)
  local is_loaded = vim.api.nvim_buf_is_loaded(buf)
  local version = told.version ~= vim.NIL and told.version or nil
  if declined[told.id] or version and vim.lsp.util.buf_versions[buf] ~= version then
    return
  end
  found = {
    id = told.id,
    title = told.title,
    edit = told.edit,
    encoding = encoding,
    buf = buf,
    tick = is_loaded and vim.api.nvim_buf_get_changedtick(buf) or nil,
  }
  show()
end

local function now()
  local buf = vim.api.nvim_get_current_buf()
  return ('%d:%d'):format(buf, vim.api.nvim_buf_get_changedtick(buf))
end

local function ask()
  cancel()
  local buf = vim.api.nvim_get_current_buf()
  local client = clients.of(buf)
  if not client then
    return
  end
  asked_at = now()
  local mine = { client = client }
  local encoding = client.offset_encoding
  local params = vim.lsp.util.make_position_params(0, encoding)
  pending = mine
  local sent, id = client:request('tandem/nextEdit', params, function(error, told)
    if pending ~= mine then
      return
    end
    pending = nil
    if not error and type(told) == 'table' and now() == asked_at then
      take(told, encoding)
    end
  end, buf)
  if sent then
    mine.id = id
  else
    pending = nil
  end
end

--- A text may have changed: what was found is for the one before, and after a pause it is asked
--- again.
function M.changed()
  if now() == asked_at then
    return
  end
  cancel()
  M.forget()
  timer:start(PAUSE_MS, 0, vim.schedule_wrap(ask))
end

--- Whether there is one to make or to go to.
---@return boolean
function M.is_there()
  if not found or not vim.api.nvim_buf_is_valid(found.buf) then
    return false
  end
  return not found.tick or is_current(found)
end

--- Say no: this one is not shown again.
function M.dismiss()
  if found then
    declined[found.id] = true
    M.forget()
  end
end

local function go_to(one)
  if one.buf ~= vim.api.nvim_get_current_buf() then
    vim.cmd.stopinsert()
  end
  vim.cmd("mark '") -- so that `` comes back
  vim.bo[one.buf].buflisted = true
  vim.api.nvim_win_set_buf(0, one.buf)
  one.tick = one.tick or vim.api.nvim_buf_get_changedtick(one.buf)
  local row, col = place(one.buf, one.edit.range.start, one.encoding)
  vim.api.nvim_win_set_cursor(0, { row + 1, col })
  vim.cmd('normal! zv')
end

local function make(one)
  local row, col = place(one.buf, one.edit.range.start, one.encoding)
  M.forget()
  vim.cmd("mark '")
  vim.lsp.util.apply_text_edits({ one.edit }, one.buf, one.encoding)
  vim.api.nvim_win_set_cursor(0, { row + 1, col })
  ask()
end

--- Make the edit if it is to be seen, else go there.
function M.go()
  local one = found
  if not one or not M.is_there() then
    return
  end
  if is_seen(one) then
    make(one)
  else
    go_to(one)
    show()
  end
end

return M
