--- Insert-mode keys: `<Plug>` maps, and keys that do what they did where no ghost text is.
---
--- A key that you have mapped is left alone, unless you name it in `keys`. Neovim's own mapping of
--- <Tab> (it jumps in snippets) is not yours: it stays as what Tab does without ghost text.

local config = require('tandem.config')

local M = {}

local CALLS = {
  accept = "accept('whole')",
  word = "accept('word')",
  line = "accept('line')",
  next = 'turn(1)',
  previous = 'turn(-1)',
  dismiss = 'dismiss()',
  trigger = 'trigger()',
}
local ORDER = { 'accept', 'word', 'line', 'next', 'previous', 'dismiss', 'trigger' }

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
local function keep(action, key)
  local map = vim.fn.maparg(key, 'i', false, true)
  if vim.tbl_isempty(map) or map.buffer == 1 then
    vim.keymap.set('i', was(action), key)
  elseif not is_ours(map) then
    map.lhs, map.lhsraw, map.lhsrawalt = was(action), nil, nil
    map.lhsraw = vim.keycode(map.lhs)
    vim.fn.mapset('i', false, map)
  end
end

local function set(action, key)
  local map = vim.fn.maparg(key, 'i', false, true)
  local mapped = not vim.tbl_isempty(map) and map.buffer ~= 1
  if mapped and not is_default(map) and not is_ours(map) and not config.named[action] then
    M.left_alone[action] = key
    return
  end
  keep(action, key)
  if action == 'trigger' then
    vim.keymap.set('i', key, plug(action), { remap = true, desc = 'Tandem: trigger' })
    return
  end
  vim.keymap.set('i', key, function()
    return require('tandem.ghost').is_visible() and plug(action) or was(action)
  end, { expr = true, remap = true, desc = 'Tandem: ' .. action })
end

function M.map()
  M.left_alone = {}
  for _, action in ipairs(ORDER) do
    -- A suggestion that was taken is one step of undo.
    local undo = action == 'accept' and '<C-g>u' or ''
    local call = ("%s<Cmd>lua require('tandem.ghost').%s<CR>"):format(undo, CALLS[action])
    vim.keymap.set('i', plug(action), call)
  end
  if config.current.keys then
    for _, action in ipairs(ORDER) do
      local key = config.current.keys[action]
      if key then
        set(action, key)
      end
    end
  end
end

return M
