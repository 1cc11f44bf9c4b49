--- Ghost text: asked for while you type, kept in step with what you type, taken with a key.
---
--- One suggestion is there at a time, of the buffer in which you insert. `shown` is that
--- suggestion, also while the popup menu hides it; `pending` is the request under way.

local clients = require('tandem.client')
local draw = require('tandem.draw')
local suggestion = require('tandem.suggestion')

local M = {}
local INVOKED, AUTOMATIC = 1, 2

---@class tandem.Item
---@field text string
---@field id string? by which the server knows it; a first line that came early has none
---@field command lsp.Command? to run when all of it was taken

---@class tandem.Shown
---@field buf integer
---@field row integer where the text begins, from 0
---@field before string the line before it
---@field behind string the line behind it, of which `covered` bytes are replaced
---@field covered integer
---@field items tandem.Item[]
---@field index integer
---@field told table<string, boolean> ids that the server knows to be seen
---@field parts integer how often a part was taken

local shown ---@type tandem.Shown?
local pending ---@type { client: vim.lsp.Client, id: integer, place: table, version: integer }?
local asked_at = '' -- for which text and cursor was asked last

M.last_ms = nil ---@type number? how long the last answer took

local function inserting()
  return vim.api.nvim_get_mode().mode:sub(1, 1) == 'i'
end

---@return table place of the cursor: buf, row, col, before, behind
local function here()
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local line = vim.api.nvim_get_current_line()
  return {
    buf = vim.api.nvim_get_current_buf(),
    row = row - 1,
    col = col,
    before = line:sub(1, col),
    behind = line:sub(col + 1),
  }
end

--- What is left of the current item at the cursor; nil if the text is not the one it is for.
local function left()
  local place = here()
  if
    not shown
    or shown.buf ~= place.buf
    or place.row < shown.row
    or place.behind ~= shown.behind
  then
    return nil
  end
  local lines = vim.api.nvim_buf_get_lines(place.buf, shown.row, place.row + 1, false)
  lines[#lines] = place.before
  local text = table.concat(lines, '\n')
  if text:sub(1, #shown.before) ~= shown.before then
    return nil
  end
  return suggestion.rest(shown.items[shown.index].text, text:sub(#shown.before + 1))
end

local function tell(method, params)
  local client = shown and clients.of(shown.buf)
  if client and params.id then
    client:notify(method, params)
  end
end

local function show()
  local rest = left()
  if not rest or rest == '' or vim.fn.pumvisible() == 1 or not inserting() then
    draw.clear()
    return
  end
  local place = here()
  draw.text(place.buf, place.row, place.col, rest, shown.covered)
  local id = shown.items[shown.index].id
  if id and not shown.told[id] then
    shown.told[id] = true
    tell('tandem/shown', { id = id })
  end
end

--- Take the suggestion away; the server sees by itself what was typed instead.
function M.forget()
  shown = nil
  draw.clear()
end

--- End the request under way.
function M.cancel()
  if pending then
    pending.client:cancel_request(pending.id)
    pending = nil
  end
end

--- Forget all, as when insert mode ends.
function M.stop()
  M.cancel()
  M.forget()
  asked_at = ''
end

local function plain(text)
  return (text:gsub('\r\n', '\n'):gsub('\r', '\n'))
end

---@param place table
---@param found lsp.InlineCompletionItem[]
---@param encoding string
local function take(place, found, encoding)
  local items, covered = {}, 0
  for _, one in ipairs(found) do
    local text = type(one.insertText) == 'table' and one.insertText.value or one.insertText
    local arguments = one.command and one.command.arguments
    items[#items + 1] =
      { text = plain(text), id = arguments and arguments[1], command = one.command }
    if one.range and one.range['end'].line == place.row then
      local line = place.before .. place.behind
      local last = vim.str_byteindex(line, encoding, one.range['end'].character, false)
      covered = math.max(last - place.col, 0)
    end
  end
  if #items == 0 then
    M.forget()
    return
  end
  shown = {
    buf = place.buf,
    row = place.row,
    before = place.before,
    behind = place.behind,
    covered = covered,
    items = items,
    index = 1,
    told = {},
    parts = 0,
  }
  show()
end

---@param kind integer
local function ask(kind)
  M.cancel()
  local place = here()
  local client = clients.of(place.buf)
  if not client then
    return
  end
  local encoding = client.offset_encoding
  local line = place.before .. place.behind
  local params = {
    textDocument = { uri = vim.uri_from_bufnr(place.buf) },
    position = {
      line = place.row,
      character = vim.str_utfindex(line, encoding, place.col, false),
    },
    context = { triggerKind = kind },
  }
  local mine = { client = client, place = place }
  local since = vim.uv.hrtime()
  local sent, id = client:request('textDocument/inlineCompletion', params, function(error, result)
    if pending ~= mine then
      return
    end
    pending = nil
    M.last_ms = (vim.uv.hrtime() - since) / 1e6
    if not error and inserting() then
      take(place, result and (result.items or result) or {}, encoding)
    end
  end, place.buf)
  if sent and id then
    mine.id, mine.version = id, vim.lsp.util.buf_versions[place.buf]
    pending = mine
  end
end

--- The first line of the answer under way (`tandem/partial`).
---@param params table
function M.first_line(params)
  local mine = pending
  if not mine or params.textDocument.version ~= mine.version or not inserting() then
    return
  end
  if params.textDocument.uri == vim.uri_from_bufnr(mine.place.buf) then
    take(mine.place, { { insertText = params.text } }, mine.client.offset_encoding)
  end
end

--- The text, the cursor or the popup menu has changed.
function M.refresh()
  if not inserting() then
    return
  end
  local place = here()
  local now = ('%d:%d:%d:%d'):format(
    place.buf,
    vim.api.nvim_buf_get_changedtick(place.buf),
    place.row,
    place.col
  )
  local rest = left()
  if rest and rest ~= '' then
    asked_at = now
    show()
    return
  end
  M.forget()
  if now ~= asked_at and vim.fn.pumvisible() == 0 then
    asked_at = now
    ask(AUTOMATIC)
  end
end

--- Ask again for the same place: there was no model to answer before.
function M.again()
  if not shown and not pending then
    asked_at = ''
    M.refresh()
  end
end

--- Hide it while the popup menu is open.
M.hide = draw.clear

--- Whether there is one to take.
---@return boolean
function M.is_visible()
  return draw.is_drawn() and (left() or '') ~= ''
end

--- Insert what is left, or its first word or line.
---@param how 'whole'|'word'|'line'
function M.accept(how)
  local rest = left()
  if not shown or not rest or rest == '' then
    return
  end
  local piece = rest
  if how ~= 'whole' then
    piece = suggestion[how](rest)
  end
  local place, item = here(), shown.items[shown.index]
  local is_all = piece == rest
  local last = place.col + (is_all and shown.covered or 0)
  local lines = vim.split(piece, '\n', { plain = true })
  draw.clear()
  vim.api.nvim_buf_set_text(place.buf, place.row, place.col, place.row, last, lines)
  local column = #lines[#lines] + (#lines == 1 and place.col or 0)
  vim.api.nvim_win_set_cursor(0, { place.row + #lines, column })
  if is_all and how == 'whole' and shown.parts == 0 and item.command then
    local client = clients.of(place.buf)
    if client then
      client:exec_cmd(item.command, { bufnr = place.buf }, function() end)
    end
  else
    local count = vim.fn.strchars(piece)
    tell('tandem/accepted', { id = item.id, how = how, characters = count })
    shown.parts = shown.parts + 1
  end
  if is_all then
    M.forget()
  end
end

--- Say no: it goes away until the text changes, and the server hears of it.
function M.dismiss()
  if shown then
    tell('tandem/rejected', { id = shown.items[shown.index].id })
  end
  M.cancel()
  M.forget()
end

--- Ask now, also where nothing would be shown unasked.
function M.trigger()
  M.forget()
  ask(INVOKED)
end

--- Show another candidate, by so many further on, where there are several.
---@param step integer
function M.turn(step)
  if not shown or #shown.items < 2 then
    return
  end
  local was, count = shown.index, #shown.items
  repeat
    shown.index = (shown.index - 1 + step) % count + 1
  -- One that does not begin with what is typed by now is passed over.
  until shown.index == was or (left() or '') ~= ''
  show()
end

return M
