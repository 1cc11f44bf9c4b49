--- Keys: `<Plug>` maps, and keys that do what they did where there is nothing to take.
---
--- A key that you have mapped is left alone, unless you name it in `keys`. Neovim's own mapping of
--- <Tab> (it jumps in snippets) is not yours: it stays as what Tab does without ghost text.

local config = require('tandem.config')

local M = {}

local function is_ours_to_draw()
  return config.current.ghost == 'tandem'
end

--- What holds the ghost text.
function M.ghost()
  return require(is_ours_to_draw() and 'tandem.ghost' or 'tandem.builtin')
end

local function has_ghost()
  return M.ghost().is_visible()
end

-- What Neovim's own does not know.
local function has_our_ghost()
  return is_ours_to_draw() and has_ghost()
end

local function has_edit()
  return require('tandem.next_edit').is_there()
end

---@class tandem.Action
---@field call string Lua, run by the `<Plug>` map
---@field modes string[]
---@field is_on (fun(): boolean)? whether there is something for it to do; nil: always
---@field undo boolean? whether it begins a step of undo

local GHOST = "require('tandem.keys').ghost()."
local OURS = "require('tandem.ghost')."
---@type table<string, tandem.Action>
local ACTIONS = {
  accept = { call = GHOST .. "accept('whole')", modes = { 'i' }, is_on = has_ghost, undo = true },
  word = { call = OURS .. "accept('word')", modes = { 'i' }, is_on = has_our_ghost },
  line = { call = OURS .. "accept('line')", modes = { 'i' }, is_on = has_our_ghost },
  next = { call = GHOST .. 'turn(1)', modes = { 'i' }, is_on = has_ghost },
  previous = { call = GHOST .. 'turn(-1)', modes = { 'i' }, is_on = has_ghost },
  dismiss = {
    call = OURS .. "dismiss() require('tandem.next_edit').dismiss()",
    modes = { 'i' },
    is_on = function()
      return has_our_ghost() or has_edit()
    end,
  },
  trigger = { call = OURS .. 'trigger()', modes = { 'i' }, is_on = is_ours_to_draw },
  edit = {
    call = "require('tandem.next_edit').go()",
    modes = { 'n', 'i' },
    is_on = has_edit,
    undo = true,
  },
}
local ORDER = { 'accept', 'word', 'line', 'next', 'previous', 'dismiss', 'trigger', 'edit' }

--- Keys that were left alone, by action, for :checkhealth.
---@type table<string, string>
M.left_alone = {}

local function plug(action)
  return ('<Plug>(tandem-%s)'):format(action)
end

local function was(action)
  return ('<Plug>(tandem-was-%s)'):format(action)
end

--- Whether a mapping is one of those that Neovim makes by itself.
local function is_default(map)
  if type(map.callback) ~= 'function' then
    return false
  end
  return vim.endswith(debug.getinfo(map.callback, 'S').source, 'vim/_defaults.lua')
end

local function is_ours(map)
  return vim.startswith(map.desc or '', 'Tandem: ')
end

--- Keep what a key does now under another name.
local function keep(action, mode, key)
  local map = vim.fn.maparg(key, mode, false, true)
  if vim.tbl_isempty(map) or map.buffer == 1 then
    vim.keymap.set(mode, was(action), key)
  elseif not is_ours(map) then
    map.lhs, map.lhsraw, map.lhsrawalt = was(action), nil, nil
    map.lhsraw = vim.keycode(map.lhs)
    vim.fn.mapset(mode, false, map)
  end
end

local function set(action, mode, key)
  local map = vim.fn.maparg(key, mode, false, true)
  local mapped = not vim.tbl_isempty(map) and map.buffer ~= 1
  if mapped and not is_default(map) and not is_ours(map) and not config.named[action] then
    M.left_alone[action] = key
    return
  end
  keep(action, mode, key)
  local is_on = ACTIONS[action].is_on
  if not is_on then
    vim.keymap.set(mode, key, plug(action), { remap = true, desc = 'Tandem: ' .. action })
    return
  end
  vim.keymap.set(mode, key, function()
    return is_on() and plug(action) or was(action)
  end, { expr = true, remap = true, desc = 'Tandem: ' .. action })
end

function M.map()
  M.left_alone = {}
  for _, action in ipairs(ORDER) do
    local one = ACTIONS[action]
    for _, mode in ipairs(one.modes) do
      local undo = one.undo and mode == 'i' and '<C-g>u' or ''
      vim.keymap.set(mode, plug(action), ('%s<Cmd>lua %s<CR>'):format(undo, one.call))
      local key = config.current.keys and config.current.keys[action]
      if key then
        set(action, mode, key)
      end
    end
  end
end

return M
