--- Ghost text by Neovim 0.12's own `vim.lsp.inline_completion`, for who sets `ghost = 'neovim'`.
---
--- It asks and draws by itself. It takes no words or lines, and shows no first line early; the
--- server learns from what is typed next what became of a suggestion. All else is as with ours.

local M = {}

local NAMESPACE = 'nvim.lsp.inline_completion'

--- Whether this Neovim has it.
---@return boolean
function M.is_there()
  return vim.lsp.inline_completion ~= nil
end

--- Let it serve a client or not: where both drew, all would be seen twice.
---@param client integer
---@param on boolean
function M.set(client, on)
  if M.is_there() then
    vim.lsp.inline_completion.enable(on, { client_id = client })
  end
end

--- Whether there is one to take.
---@return boolean
function M.is_visible()
  local space = vim.api.nvim_get_namespaces()[NAMESPACE]
  return space ~= nil and #vim.api.nvim_buf_get_extmarks(0, space, 0, -1, { limit = 1 }) > 0
end

--- Insert all of it.
function M.accept()
  vim.lsp.inline_completion.get()
end

--- Show another candidate, by so many further on.
---@param step integer
function M.turn(step)
  vim.lsp.inline_completion.select({ count = step })
end

return M
