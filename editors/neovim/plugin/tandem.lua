-- `:Tandem` loads the rest when it is first used; `require('tandem').setup {}` starts it.
if vim.g.loaded_tandem then
  return
end
vim.g.loaded_tandem = true

if vim.fn.has('nvim-0.11') == 0 then
  vim.notify('Tandem needs Neovim 0.11 or newer', vim.log.levels.ERROR)
  return
end

vim.api.nvim_create_user_command('Tandem', function(command)
  require('tandem.command').run(command)
end, {
  nargs = '+',
  range = true,
  desc = 'Tandem: see :help tandem-commands',
  complete = function(...)
    return require('tandem.command').complete(...)
  end,
})
