-- What a call truly used: buckets corrected, leases ended, sums raised.
--
-- KEYS: the buckets; of each quota its sum and its leases.
-- ARGV[1], MessagePack: {call id, {{capacity, refill, back}, ...}, {{reserved, spent, counted}, ...}}
local given = cmsgpack.unpack(ARGV[1])
local call, buckets, quotas = given[1], given[2], given[3]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local nb = #buckets

for i = 1, nb do
  local b = buckets[i]
  local kept = redis.call('GET', KEYS[i])
  local has = b[1]
  if kept then
    local was, at = struct.unpack('<dd', kept)
    has = was
    if now > at then has = was + (now - at) * b[2] / 1000000 end
  end
  has = has + b[3]
  if has >= b[1] then
    redis.call('DEL', KEYS[i])
  else
    local packed = struct.pack('<dd', has, now)
    if b[2] > 0 then
      redis.call('SET', KEYS[i], packed, 'PX', math.ceil((b[1] - has) / b[2] * 1000) + 1000)
    else
      redis.call('SET', KEYS[i], packed)
    end
  end
end

for j = 1, #quotas do
  local q = quotas[j]
  local sum, leases = KEYS[nb + 2 * j - 1], KEYS[nb + 2 * j]
  local held = redis.call('ZREM', leases, call .. ':' .. string.format('%.0f', q[1]))
  if q[3] then
    if held == 1 then redis.call('HINCRBY', sum, 'r', 0 - q[1]) end
    -- A sum that is lost is recounted from the ledger, which knows of this call by itself.
    if q[2] ~= 0 and redis.call('HEXISTS', sum, 's') == 1 then redis.call('HINCRBY', sum, 's', q[2]) end
  end
end
return 1
