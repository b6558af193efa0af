-- One call's claim: every bucket and quota at once, all or nothing, on Redis's clock.
--
-- KEYS: the buckets; of each quota its sum and its leases; the key to look up, if any.
-- ARGV[1], MessagePack: {call id, lease in microseconds, {{capacity, refill, take}, ...},
--   {{limit, reserve, hard, counted, expires}, ...}, look up?}
-- Gives {1 admitted | 0 refused | 2 a sum is unknown, index of what refused, wait in ms (-1: for ever),
--   levels in thousandths ..., used ... (-1: unknown), the looked-up value}
--
-- A bucket is a string of two doubles: level, and microseconds at which it was so.
-- A quota's sum is a hash {s: spent, r: reserved}; its leases are a sorted set of
-- 'call id:amount' by the microsecond at which each ends.
local given = cmsgpack.unpack(ARGV[1])
local call, lease, buckets, quotas = given[1], given[2], given[3], given[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local nb, nq = #buckets, #quotas
local answer = {1, 0, 0}
local level = {}
local longest = 0

for i = 1, nb do
  local b = buckets[i]
  local has = b[1]
  local kept = redis.call('GET', KEYS[i])
  if kept then
    local was, at = struct.unpack('<dd', kept)
    has = was
    if now > at then
      has = was + (now - at) * b[2] / 1000000
    elseif now < at and b[2] > 0 then
      -- The clock was set back: it refills from now on, not from a time to come.
      local expires = math.ceil((b[1] - was) / b[2] * 1000) + 1000
      redis.call('SET', KEYS[i], struct.pack('<dd', was, now), 'PX', expires)
    end
    if has > b[1] then has = b[1] end
  end
  level[i] = has
  if has < b[3] then
    local wait = math.huge
    if b[2] > 0 then wait = (b[3] - has) / b[2] end
    if wait >= longest then
      longest = wait
      answer[1], answer[2] = 0, i
      answer[3] = wait == math.huge and -1 or math.ceil(wait * 1000)
    end
  end
end

local unknown = false
for j = 1, nq do
  local q = quotas[j]
  local sum, leases = KEYS[nb + 2 * j - 1], KEYS[nb + 2 * j]
  for _, over in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do
    redis.call('ZREM', leases, over)
    if q[4] then redis.call('HINCRBY', sum, 'r', 0 - tonumber(string.match(over, '%d+$'))) end
  end
  local used
  if q[4] then
    local parts = redis.call('HMGET', sum, 's', 'r')
    if parts[1] then
      used = tonumber(parts[1]) + tonumber(parts[2] or 0)
    else
      unknown = true
      used = -1
    end
  else
    used = redis.call('ZCARD', leases)
  end
  if used >= 0 and q[3] and used + q[2] > q[1] then
    answer[1], answer[2], answer[3] = 0, nb + j, 0
  end
  answer[3 + nb + j] = used
end
if unknown then answer[1] = 2 end

if answer[1] == 1 then
  for i = 1, nb do
    local b = buckets[i]
    level[i] = level[i] - b[3]
    local packed = struct.pack('<dd', level[i], now)
    if b[2] > 0 then
      -- Once it is full again there is nothing to remember.
      redis.call('SET', KEYS[i], packed, 'PX', math.ceil((b[1] - level[i]) / b[2] * 1000) + 1000)
    else
      redis.call('SET', KEYS[i], packed)
    end
  end
  for j = 1, nq do
    local q = quotas[j]
    local sum, leases = KEYS[nb + 2 * j - 1], KEYS[nb + 2 * j]
    if q[4] then redis.call('HINCRBY', sum, 'r', q[2]) end
    redis.call('ZADD', leases, now + lease, call .. ':' .. string.format('%.0f', q[2]))
    redis.call('PEXPIRE', leases, math.ceil(lease / 1000) + 86400000)
    answer[3 + nb + j] = answer[3 + nb + j] + q[2]
  end
end
for i = 1, nb do answer[3 + i] = math.floor(level[i] * 1000) end
if given[5] then answer[4 + nb + nq] = redis.call('GET', KEYS[#KEYS]) end
return answer
