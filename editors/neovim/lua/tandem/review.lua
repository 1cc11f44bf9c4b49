--- A change that waits for your yes: each file beside itself as it would be, in `:diffthis`.
---
--- One review is open at a time, with a tab for each file. `y` accepts all of it and `n` rejects
--- all, in any right-hand window, `:Tandem accept` and `:Tandem reject` anywhere. Accepting is one
--- step of undo in each file.

local M = {}

---@class tandem.Review
---@field edit lsp.WorkspaceEdit
---@field encoding string
---@field ticks table<integer, integer> the buffers' states that the change is for
---@field tabs integer[]
---@field made integer[] scratch buffers
---@field save boolean whether to write the files, once accepted
---@field on_end fun(accepted: boolean)

local open ---@type tandem.Review?

---@param text string
---@param level integer
local function say(text, level)
  vim.notify('Tandem: ' .. text, level)
end

--- The text edits of each file, and whether it is a new one.
---@param edit lsp.WorkspaceEdit
---@return { uri: string, edits: lsp.TextEdit[], new: boolean }[]
function M.files(edit)
  local files, new = {}, {}
  for uri, edits in pairs(edit.changes or {}) do
    files[#files + 1] = { uri = uri, edits = edits, new = false }
  end
  for _, change in ipairs(edit.documentChanges or {}) do
    if change.kind == 'create' then
      new[change.uri] = true
    elseif change.textDocument then
      local uri = change.textDocument.uri
      files[#files + 1] = { uri = uri, edits = change.edits, new = new[uri] or false }
    end
  end
  table.sort(files, function(one, other)
    return one.uri < other.uri
  end)
  return files
end

---@param review tandem.Review
---@param lines string[]
---@param kind string
---@param name string
local function scratch(review, lines, kind, name)
  local buf = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(buf, 0, -1, false, lines)
  vim.api.nvim_buf_set_name(buf, ('tandem://%s/%d'):format(name, buf))
  vim.bo[buf].filetype = kind
  review.made[#review.made + 1] = buf
  return buf
end

--- A buffer's last line has an end by itself; a text for an empty one that ends its last line, too,
--- leaves an empty line.
---@param buf integer
local function without_empty_end(buf)
  local count = vim.api.nvim_buf_line_count(buf)
  if count > 1 and vim.api.nvim_buf_get_lines(buf, -2, -1, false)[1] == '' then
    vim.api.nvim_buf_set_lines(buf, -2, -1, false, {})
  end
end

--- What a proposal's window says above it; the tabs have the names.
---@param number integer of the file, from 1
---@param count integer of files
---@return string
function M.heading(number, count)
  if count == 1 then
    return 'Tandem: y accepts, n rejects'
  end
  return ('Tandem, file %d of %d: y accepts all, n rejects'):format(number, count)
end

---@param review tandem.Review
---@param file { uri: string, edits: lsp.TextEdit[], new: boolean }
---@param number integer of the file, from 1
---@param count integer of files
local function show(review, file, number, count)
  local before
  if file.new then
    before = scratch(review, {}, '', 'none')
  else
    before = vim.uri_to_bufnr(file.uri)
    vim.fn.bufload(before)
    vim.bo[before].buflisted = true
    review.ticks[before] = vim.api.nvim_buf_get_changedtick(before)
  end
  local path = vim.uri_to_fname(file.uri)
  local kind = vim.filetype.match({ filename = path }) or ''
  local lines = vim.api.nvim_buf_get_lines(before, 0, -1, false)
  local after = scratch(review, lines, kind, 'proposal/' .. vim.fn.fnamemodify(path, ':t'))
  vim.lsp.util.apply_text_edits(file.edits, after, review.encoding)
  if file.new then
    without_empty_end(after)
  end
  vim.bo[after].modifiable = false
  vim.keymap.set('n', 'y', M.accept, { buffer = after, nowait = true, desc = 'Tandem: accept' })
  vim.keymap.set('n', 'n', M.reject, { buffer = after, nowait = true, desc = 'Tandem: reject' })
  vim.cmd('tab split')
  review.tabs[#review.tabs + 1] = vim.api.nvim_get_current_tabpage()
  vim.api.nvim_win_set_buf(0, before)
  vim.cmd('diffthis')
  local win = vim.api.nvim_open_win(after, true, { split = 'right', win = 0 })
  vim.wo[win].winbar = M.heading(number, count)
  vim.cmd('diffthis')
end

local function close()
  local review = open
  open = nil
  if not review then
    return
  end
  for _, tab in ipairs(review.tabs) do
    if vim.api.nvim_tabpage_is_valid(tab) then
      for _, win in ipairs(vim.api.nvim_tabpage_list_wins(tab)) do
        vim.api.nvim_win_call(win, function()
          vim.cmd('diffoff')
        end)
      end
      if #vim.api.nvim_list_tabpages() > 1 then
        vim.cmd.tabclose(vim.api.nvim_tabpage_get_number(tab))
      end
    end
  end
  for _, buf in ipairs(review.made) do
    if vim.api.nvim_buf_is_valid(buf) then
      vim.api.nvim_buf_delete(buf, { force = true })
    end
  end
end

--- Show a change and wait for the answer.
---@param edit lsp.WorkspaceEdit
---@param encoding string
---@param save boolean
---@param on_end fun(accepted: boolean)?
function M.open(edit, encoding, save, on_end)
  M.reject()
  open = {
    edit = edit,
    encoding = encoding,
    ticks = {},
    tabs = {},
    made = {},
    save = save,
    on_end = on_end or function() end,
  }
  local files = M.files(edit)
  for number, file in ipairs(files) do
    show(open, file, number, #files)
  end
  if open.tabs[1] then
    vim.api.nvim_set_current_tabpage(open.tabs[1])
  end
end

--- Whether a change waits.
---@return boolean
function M.is_open()
  return open ~= nil
end

--- Write a buffer; one that cannot be written stays changed, and that is told.
---@param buf integer
local function save(buf)
  local done, why = pcall(vim.api.nvim_buf_call, buf, function()
    vim.cmd('silent write! ++p')
  end)
  if not done then
    say(('changed, but not saved: %s'):format(why), vim.log.levels.ERROR)
  end
end

--- Make the change, if the texts are still those that it is for.
function M.accept()
  local review = open
  if not review then
    say('no change waits for a yes', vim.log.levels.WARN)
    return
  end
  close()
  for buf, tick in pairs(review.ticks) do
    if vim.api.nvim_buf_get_changedtick(buf) ~= tick then
      say('the text has changed meanwhile: ask again', vim.log.levels.ERROR)
      review.on_end(false)
      return
    end
  end
  local edit = vim.deepcopy(review.edit)
  for _, change in ipairs(edit.documentChanges or {}) do
    if change.textDocument then
      -- Looked at above, by the buffer's own count.
      change.textDocument.version = nil
    end
  end
  vim.lsp.util.apply_workspace_edit(edit, review.encoding)
  for _, file in ipairs(M.files(edit)) do
    local buf = vim.uri_to_bufnr(file.uri)
    if file.new then
      without_empty_end(buf)
    end
    if review.save then
      save(buf)
    end
  end
  review.on_end(true)
end

--- Leave all as it is.
function M.reject()
  local review = open
  if review then
    close()
    review.on_end(false)
  end
end

return M
