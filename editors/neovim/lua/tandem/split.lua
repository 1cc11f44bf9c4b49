--- A split beside your code into which an answer is written while it comes.

local M = {}

---@class tandem.Split
---@field buf integer
local Split = {}
Split.__index = Split

--- Open one, or use that of the last answer of this kind again; the cursor stays where it was.
---@param kind string
---@param filetype string
---@return tandem.Split
function M.open(kind, filetype)
  local name = 'tandem://' .. kind
  local buf = vim.fn.bufnr('^' .. name .. '$')
  if buf < 0 then
    buf = vim.api.nvim_create_buf(false, true)
    vim.api.nvim_buf_set_name(buf, name)
    vim.bo[buf].bufhidden = 'hide'
    vim.keymap.set('n', 'q', '<Cmd>Tandem stop<CR><Cmd>close<CR>', {
      buffer = buf,
      desc = 'Tandem: end the answer and close',
    })
  end
  local split = setmetatable({ buf = buf }, Split)
  split:set({})
  vim.bo[buf].filetype = filetype
  if vim.fn.bufwinid(buf) < 0 then
    local win = vim.api.nvim_open_win(buf, false, { split = 'right', win = 0 })
    vim.wo[win][0].wrap = true
    vim.wo[win][0].linebreak = true
    vim.wo[win][0].number = false
  end
  return split
end

function Split:_write(first, lines)
  if not vim.api.nvim_buf_is_valid(self.buf) then
    return
  end
  vim.bo[self.buf].modifiable = true
  vim.api.nvim_buf_set_lines(self.buf, first, -1, false, lines)
  vim.bo[self.buf].modifiable = false
  -- Follow the answer, unless you are reading in it.
  local win = vim.fn.bufwinid(self.buf)
  if win > 0 and win ~= vim.api.nvim_get_current_win() then
    vim.api.nvim_win_set_cursor(win, { vim.api.nvim_buf_line_count(self.buf), 0 })
  end
end

---@param lines string[]
function Split:set(lines)
  self:_write(0, lines)
end

--- Write on where the text ends.
---@param text string
function Split:append(text)
  if not vim.api.nvim_buf_is_valid(self.buf) then
    return
  end
  local last = vim.api.nvim_buf_get_lines(self.buf, -2, -1, false)[1] or ''
  self:_write(-2, vim.split(last .. text, '\n', { plain = true }))
end

function Split:close()
  local win = vim.fn.bufwinid(self.buf)
  if win > 0 and #vim.api.nvim_list_wins() > 1 then
    vim.api.nvim_win_close(win, true)
  end
end

return M
