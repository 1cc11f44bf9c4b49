--- A suggestion's text: what of it is left, its first word and line, and how it lies on the screen.
---
--- Pure functions of texts with "\n" line ends; columns and lengths are bytes.

local M = {}

--- What is left of `text` where `typed` has been typed of it; nil if something else was.
---@param text string
---@param typed string
---@return string?
function M.rest(text, typed)
  if text:sub(1, #typed) ~= typed then
    return nil
  end
  return text:sub(#typed + 1)
end

--- The first word with the blanks before it: a name or number, or else one run of signs.
---@param text string
---@return string
function M.word(text)
  local blank = text:match('^%s*')
  local after = text:sub(#blank + 1)
  -- Bytes from 128 on belong to letters of other scripts, and must not be torn apart.
  local word = after:match('^[%w_\128-\255]+') or after:match('^[^%w%s_\128-\255]+') or ''
  return blank .. word
end

--- Up to the end of the first line that says something, without its line end.
---@param text string
---@return string
function M.line(text)
  return text:match('^%s*[^\n]*')
end

---@class tandem.Layout
---@field overlay boolean whether it is drawn over what stands behind the cursor
---@field first string the part on the cursor's line
---@field below string[] the lines below

--- How a text is drawn before `behind`, the rest of the cursor's line, of which it takes the place
--- of the first `covered` bytes.
---@param text string
---@param behind string
---@param covered integer
---@return tandem.Layout
function M.layout(text, behind, covered)
  local lines = vim.split(text, '\n', { plain = true })
  local first = table.remove(lines, 1)
  local replaced, stays = behind:sub(1, covered), behind:sub(covered + 1)
  if #lines == 0 and vim.endswith(first, replaced) then
    return { overlay = false, first = first:sub(1, #first - #replaced), below = {} }
  end
  if behind == '' then
    return { overlay = false, first = first, below = lines }
  end
  -- What stands behind moves to the suggestion's end: all is drawn as it will be.
  if #lines == 0 then
    first = first .. stays
  else
    lines[#lines] = lines[#lines] .. stays
  end
  local short = vim.fn.strdisplaywidth(behind) - vim.fn.strdisplaywidth(first)
  return { overlay = true, first = first .. (' '):rep(short), below = lines }
end

--- Tabs as blanks, for a text that begins in a column of the screen.
---@param text string
---@param column integer
---@param width integer of a tab
---@return string
function M.untabbed(text, column, width)
  local parts = vim.split(text, '\t', { plain = true })
  local made = ''
  for number, part in ipairs(parts) do
    made = made .. part
    if number < #parts then
      local at = column + vim.fn.strdisplaywidth(made)
      made = made .. (' '):rep(width - at % width)
    end
  end
  return made
end

return M
