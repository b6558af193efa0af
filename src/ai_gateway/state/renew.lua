-- Calls still in flight keep what they hold: KEYS are lease sets, ARGV[1] is MessagePack of
-- {lease in microseconds, {member, ...}}, one member a key.
local given = cmsgpack.unpack(ARGV[1])
local time = redis.call('TIME')
local ends = time[1] * 1000000 + time[2] + given[1]
for i = 1, #KEYS do redis.call('ZADD', KEYS[i], 'XX', ends, given[2][i]) end
return 1
