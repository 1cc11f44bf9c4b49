-- luacheck 1.1 (Debian: lua-check)
std = 'luajit'
globals = { 'vim' }
max_line_length = 120
