-- Unit tests of what is pure: `nvim -u NONE --headless -l editors/neovim/tests/units.lua`.
-- Each line printed is a test that passed; the first that fails ends it with exit code 1.

local root = vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p:h:h')
vim.opt.runtimepath:prepend(root)
local config = require('tandem.config')
local review = require('tandem.review')
local status = require('tandem.status')
local suggestion = require('tandem.suggestion')

local function test(name, check)
  local passed, why = pcall(check)
  if not passed then
    io.stderr:write(name, ': ', tostring(why), '\n')
    os.exit(1)
  end
  print(name)
end

local function same(got, wanted)
  if not vim.deep_equal(got, wanted) then
    error(('got %s, not %s'):format(vim.inspect(got), vim.inspect(wanted)), 2)
  end
end

test('what is left is what follows the typed part', function()
  same(suggestion.rest('a + b', ''), 'a + b')
  same(suggestion.rest('a + b', 'a +'), ' b')
  same(suggestion.rest('a + b', 'a + b'), '')
  same(suggestion.rest('a + b', 'b'), nil)
  same(suggestion.rest('a', 'a + b'), nil)
  same(suggestion.rest('x\n  y', 'x\n  '), 'y')
end)

test('a word takes the blanks before it', function()
  same(suggestion.word('first + b'), 'first')
  same(suggestion.word(' + b'), ' +')
  same(suggestion.word('(a, b)'), '(')
  same(suggestion.word('x_1.y'), 'x_1')
  same(suggestion.word('\n    return n'), '\n    return')
  same(suggestion.word('   '), '   ')
end)

test('a word is not torn apart inside a letter', function()
  same(suggestion.word('größe = 1'), 'größe')
  same(suggestion.word('名前 = 1'), '名前')
end)

test('words put together are the text', function()
  for _, text in ipairs({ 'if n < 2:\n\treturn n\n', '  "ä" + (b)  ', '😀!' }) do
    local rest, made = text, ''
    while rest ~= '' do
      local word = suggestion.word(rest)
      assert(word ~= '', rest)
      made, rest = made .. word, rest:sub(#word + 1)
    end
    same(made, text)
  end
end)

test('a line ends before its line end, and one after it goes with the next', function()
  same(suggestion.line('a\nb'), 'a')
  same(suggestion.line('\n  b\nc'), '\n  b')
  same(suggestion.line('a'), 'a')
end)

test('at the end of a line all is drawn as it is', function()
  same(suggestion.layout('a\n  b', '', 0), { overlay = false, first = 'a', below = { '  b' } })
end)

test('a bracket that is replaced is not drawn twice', function()
  same(suggestion.layout('a, b)', ')', 1), { overlay = false, first = 'a, b', below = {} })
  same(suggestion.layout('a', ' # x', 0), { overlay = false, first = 'a', below = {} })
end)

test('what stands behind moves to the end of several lines', function()
  same(
    suggestion.layout('[\n  1\n', ']', 0),
    { overlay = true, first = '[', below = { '  1', ']' } }
  )
  -- The rest of the line is covered by blanks.
  same(
    suggestion.layout('a\nb', ' long', 0),
    { overlay = true, first = 'a    ', below = { 'b long' } }
  )
  same(suggestion.layout('x', '()', 2), { overlay = true, first = 'x ', below = {} })
end)

test('tabs are blanks up to the next stop', function()
  same(suggestion.untabbed('\tx', 0, 4), '    x')
  same(suggestion.untabbed('a\tx', 2, 4), 'a x')
  same(suggestion.untabbed('plain', 3, 8), 'plain')
end)

test('wrong options are named', function()
  same(config.wrong({}), nil)
  same(config.wrong({ keys = false, cmd = { 'x', 'lsp' } }), nil)
  same(config.wrong({ keys = { word = false } }), nil)
  for options, told in pairs({
    [{ nothing = 1 }] = 'nothing',
    [{ cmd = 'tandem lsp' }] = 'cmd',
    [{ settings = false }] = 'settings',
    [{ keys = { wrod = 'x' } }] = 'wrod',
    [{ keys = { word = 1 } }] = 'keys.word',
  }) do
    assert(config.wrong(options):find(told, 1, true), config.wrong(options))
  end
end)

test("Neovim's own ghost text is an option where Neovim has it", function()
  assert(config.wrong({ ghost = 'mine' }):find("'tandem' or 'neovim'", 1, true))
  local has = vim.lsp.inline_completion
  vim.lsp.inline_completion = nil
  assert(config.wrong({ ghost = 'neovim' }):find('0.12', 1, true))
  same(config.wrong({ ghost = 'tandem' }), nil)
  require('tandem.builtin').set(1, true) -- nothing to set, and no error
  vim.lsp.inline_completion = has or {}
  same(config.wrong({ ghost = 'neovim' }), nil)
  vim.lsp.inline_completion = has
end)

test('the option says which of the two draws and takes', function()
  local calls = {}
  local has = vim.lsp.inline_completion
  vim.lsp.inline_completion = {
    enable = function(on, filter)
      calls[#calls + 1] = { on, filter }
    end,
    get = function()
      calls[#calls + 1] = 'get'
    end,
    select = function(options)
      calls[#calls + 1] = options
    end,
  }
  local builtin, keys = require('tandem.builtin'), require('tandem.keys')
  builtin.set(7, false)
  config.take({ ghost = 'neovim' })
  assert(keys.ghost() == builtin)
  same(builtin.is_visible(), false)
  keys.ghost().accept('whole')
  keys.ghost().turn(-1)
  same(calls, { { false, { client_id = 7 } }, 'get', { count = -1 } })
  config.take({})
  assert(keys.ghost() == require('tandem.ghost'))
  vim.lsp.inline_completion = has
end)

test('options are laid over the defaults', function()
  config.take({ keys = { word = '<C-l>', line = false } })
  same(config.current.keys.accept, '<Tab>')
  same(config.current.keys.word, '<C-l>')
  same(config.named, { word = true, line = false })
  same(config.current.cmd, { 'tandem', 'lsp' })
end)

test('a workspace edit is a list of files, new ones marked', function()
  local edits = { { newText = 'x' } }
  same(review.files({ changes = { ['file:///a'] = edits } }), {
    { uri = 'file:///a', edits = edits, new = false },
  })
  same(
    review.files({
      documentChanges = {
        { kind = 'create', uri = 'file:///b' },
        { textDocument = { uri = 'file:///b' }, edits = edits },
        { textDocument = { uri = 'file:///a', version = 3 }, edits = edits },
      },
    }),
    {
      { uri = 'file:///a', edits = edits, new = false },
      { uri = 'file:///b', edits = edits, new = true },
    }
  )
end)

test('a review of several files says which one is shown', function()
  same(review.heading(1, 1), 'Tandem: y accepts, n rejects')
  same(review.heading(2, 3), 'Tandem, file 2 of 3: y accepts all, n rejects')
end)

test('the status tells why nothing was shown', function()
  local told = { version = '1', enabled = true, snoozedSeconds = 0, model = 'm', failure = '' }
  told.last = { file = '/x/a.py', line = 3, shown = false, reason = 'in a string', ms = 1.2 }
  same(status.lines(told, 12.3), {
    'Tandem 1 is running',
    'Model: m',
    'Last answer: nothing: in a string, at /x/a.py:3, 1 ms in the server, 12 ms as seen here',
  })
  told.model, told.failure, told.snoozedSeconds, told.last = '', 'no server', 61, vim.NIL
  same(status.lines(told), {
    'Tandem 1 is running',
    'Model: no server',
    'Snoozed for 2 minutes more',
    'Last answer: none yet',
  })
end)
