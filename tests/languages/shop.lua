local json = require("json")
local store = require "store.line"

local LIMIT = 10

-- What a customer bought. Once.
local Order = {}
Order.__index = Order

--- Make one.
function Order.new(name)
  local self = setmetatable({}, Order)
  self.log = Logger.new(name)
  return self
end

function Order:total(currency)
  return self.log:sum(currency)
end

local function twice(n)
  return n * 2
end

function load(path)
  return json.decode(path)
end

Order.late = function(a)
  return a
end

return Order
