--- Progress of the server's work: for the statusline, and for the answer that waits for it.

local M = {}

--- The work that goes on, by token.
---@type table<string|integer, { title: string, message: string, client: integer }>
M.going_on = {}
--- Who wants the pieces that come for a token of ours.
---@type table<string|integer, fun(value: table)>
M.waiting = {}
--- Who wants the steps of work by its title.
---@type table<string, fun(message: string)>
M.steps = {}

--- Called when work has ended: a model may be there now.
M.on_end = function() end

---@param value table
---@param token string|integer
---@param client integer
local function follow(value, token, client)
  if value.kind == 'begin' then
    M.going_on[token] = { title = value.title, message = value.message or '', client = client }
  elseif value.kind == 'end' then
    M.going_on[token] = nil
    M.on_end()
  elseif M.going_on[token] then
    M.going_on[token].message = value.message or ''
  end
  local work = M.going_on[token]
  local listener = work and M.steps[work.title]
  if listener and work.message ~= '' then
    listener(work.message)
  end
  vim.cmd.redrawstatus()
end

--- A `$/progress` notification. Neovim hears of all that is not ours alone.
---@param error any
---@param params lsp.ProgressParams
---@param context lsp.HandlerContext
function M.heard(error, params, context)
  local listener = M.waiting[params.token]
  if listener then
    listener(params.value)
    return
  end
  if type(params.value) == 'table' then
    follow(params.value, params.token, context.client_id)
  end
  vim.lsp.handlers['$/progress'](error, params, context)
end

--- In one line what goes on; nil if nothing does.
---@return string?
function M.line()
  local _, work = next(M.going_on)
  if not work then
    return nil
  end
  return work.message ~= '' and ('%s (%s)'):format(work.title, work.message) or work.title
end

--- A server has gone: so has its work.
---@param client integer
function M.forget(client)
  for token, work in pairs(M.going_on) do
    if work.client == client then
      M.going_on[token] = nil
    end
  end
end

return M
