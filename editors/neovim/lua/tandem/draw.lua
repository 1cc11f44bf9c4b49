--- Ghost text on the screen: one extmark, inline or over the rest of the line, with lines below.

local suggestion = require('tandem.suggestion')

local M = {}
local space = vim.api.nvim_create_namespace('tandem')
local drawn ---@type integer? the buffer

function M.clear()
  if drawn and vim.api.nvim_buf_is_valid(drawn) then
    vim.api.nvim_buf_clear_namespace(drawn, space, 0, -1)
  end
  drawn = nil
end

---@return boolean
function M.is_drawn()
  return drawn ~= nil
end

--- Draw a text at a place of a buffer, in place of the `covered` bytes behind it.
---@param buf integer
---@param row integer from 0
---@param col integer in bytes
---@param text string
---@param covered integer
function M.text(buf, row, col, text, covered)
  M.clear()
  local line = vim.api.nvim_buf_get_lines(buf, row, row + 1, false)[1] or ''
  local layout = suggestion.layout(text, line:sub(col + 1), covered)
  local tab = vim.bo[buf].tabstop
  local at = vim.fn.strdisplaywidth(line:sub(1, col))
  local below = {}
  for _, one in ipairs(layout.below) do
    below[#below + 1] = { { suggestion.untabbed(one, 0, tab), 'TandemGhost' } }
  end
  vim.api.nvim_buf_set_extmark(buf, space, row, col, {
    virt_text = { { suggestion.untabbed(layout.first, at, tab), 'TandemGhost' } },
    virt_text_pos = layout.overlay and 'overlay' or 'inline',
    virt_lines = #below > 0 and below or nil,
    hl_mode = 'combine',
    -- The cursor stands before it, as where the next key goes.
    right_gravity = true,
  })
  drawn = buf
end

return M
