"""Room fleet: what Redis does in one step, in its own Lua. Each is safe to be run again; none sees content of calls.

The server's clock is the fleet's: it is the only one that all hosts have in common. Every key ends by itself some time
after the last process that used it (`KEPT`).
"""

from typing import Final

KEPT: Final = 31 * 86_400_000
"""How long keys without an end of their own outlive their last use [ms]."""

MOST_MEMBERS: Final = 50_000
"""Slots in the index, and messages that are known to have been told."""

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

JOIN: Final = (
    _NOW
    + f"""
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', {KEPT})
redis.call('PEXPIRE', KEYS[1], {KEPT})
return {{time[1], time[2], redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2]) or '0',
         redis.call('GET', KEYS[3]) or '0'}}
"""
)
"""KEYS id, version, adopted. ARGV a new id. Gives time [s], [us], the id, version, adopted. Fails on a replica."""

SHARE: Final = (
    _NOW
    + f"""
local puts = tonumber(ARGV[2])
for i = 1, puts do redis.call('SET', KEYS[7 + i], ARGV[2 + 2 * i], 'PX', ARGV[1 + 2 * i]) end
local base = 3 + 2 * puts
local members = tonumber(ARGV[base])
if members > 0 then
  local mark = redis.call('INCR', KEYS[4])
  for i = 1, members do
    local member = ARGV[base - 1 + 2 * i]
    redis.call('ZADD', KEYS[2], mark, member)
    redis.call('ZADD', KEYS[3], now + ARGV[base + 2 * i], member)
  end
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 500)) do
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZREM', KEYS[3], member)
end
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -{MOST_MEMBERS + 1})) do
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZREM', KEYS[3], member)
end
redis.call('ZADD', KEYS[5], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now - 60000)
for i = 1, 7 do redis.call('PEXPIRE', KEYS[i], {KEPT}) end
return {{time[1], time[2], redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[6]) or '0',
         redis.call('GET', KEYS[7]) or '0'}}
"""
)
"""KEYS id, marks, ends, mark, workers, version, adopted, then one a value. ARGV who, number of values, each one's end
[ms] and itself, number of slots, each one's name and end [ms]. Gives what `JOIN` gives."""

LEASE: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
local epoch = redis.call('GET', KEYS[2])
if not holder or not epoch then epoch = redis.call('INCR', KEYS[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return tonumber(epoch)
"""
"""KEYS lease, epoch. ARGV who, for how long [ms]. Gives the epoch, 0 while another one holds it."""

RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
"""KEYS lease. ARGV who."""

_QUEUE: Final = """
local function queue(identity, row)
  redis.call('HSET', KEYS[4], identity, row)
  redis.call('ZADD', KEYS[5], redis.call('INCR', KEYS[8]), identity)
end
"""

COMMIT: Final = (
    _NOW
    + _QUEUE
    + f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then return {{-1, {{}}}} end
local at = 4
for _ = 1, tonumber(ARGV[3]) do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
if at > 4 then redis.call('INCR', KEYS[7]) end
local rows, most = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
at = at + 2
local dropped, queued = 0, {{}}
for i = 1, rows do
  local identity, beginning, waits, row = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  if redis.call('ZSCORE', KEYS[6], identity) then
    redis.call('ZADD', KEYS[6], now, identity)
  elseif redis.call('HEXISTS', KEYS[4], identity) == 0 then
    local wanted = true
    if beginning ~= '' then
      wanted = redis.call('ZSCORE', KEYS[6], beginning) or redis.call('HEXISTS', KEYS[4], beginning) == 1
    elseif waits ~= '' then
      for _, other in ipairs(redis.call('HKEYS', KEYS[4])) do
        if string.sub(other, 1, #waits) == waits then wanted = false end
      end
    end
    if wanted then
      queue(identity, row)
      queued[#queued + 1] = i
    end
  end
end
local over = redis.call('HLEN', KEYS[4]) - most
for turn = 1, 2 do
  if over > 0 then
    for _, other in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
      if over > 0 and (turn == 2 or string.find(other, ':firing:%d+$')) then
        redis.call('HDEL', KEYS[4], other)
        redis.call('ZREM', KEYS[5], other)
        over, dropped = over - 1, dropped + 1
      end
    end
  end
end
for i = 2, 8 do redis.call('PEXPIRE', KEYS[i], {KEPT}) end
return {{dropped, queued}}
"""
)
"""KEYS lease, epoch, kept, rows, order, told, version, turn. ARGV who, epoch, number of alerts, each one's fingerprint
and itself, number of messages, the most that may wait, and of each message: identity, that of its beginning where it
must be known, the beginning of identities that must not wait, itself. Gives how many had to go, and which were queued;
-1 where the epoch is over."""

DUE: Final = """
local found = {}
for _, identity in ipairs(redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1)) do
  local row = redis.call('HGET', KEYS[1], identity)
  if row then found[#found + 1] = row end
end
return found
"""
"""KEYS rows, order. ARGV how many at most. Gives messages, the oldest first."""

CLAIM: Final = (
    _NOW
    + f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then return {{}} end
local found = {{}}
for i = 4, #ARGV do
  local identity = ARGV[i]
  local by, till = string.match(redis.call('HGET', KEYS[4], identity) or '', '^(%d+) (%d+)$')
  if redis.call('HEXISTS', KEYS[3], identity) == 1 and (not by or by == ARGV[2] or tonumber(till) <= now) then
    redis.call('HSET', KEYS[4], identity, ARGV[2] .. ' ' .. string.format('%d', now + ARGV[3]))
    found[#found + 1] = i - 3
  end
end
redis.call('PEXPIRE', KEYS[4], {KEPT})
return found
"""
)
"""KEYS lease, epoch, rows, claims. ARGV who, epoch, for how long [ms], identities. Gives which of these are his."""

SETTLE: Final = (
    _NOW
    + f"""
local waits = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
redis.call('HDEL', KEYS[4], ARGV[1])
if ARGV[2] == 'again' then
  if waits then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
  return 1
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] ~= 'withdrawn' then
  redis.call('ZADD', KEYS[3], now, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - {KEPT})
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -{MOST_MEMBERS + 1})
  redis.call('PEXPIRE', KEYS[3], {KEPT})
end
return 1
"""
)
"""KEYS rows, order, told, claims. ARGV identity, outcome, the message as it is to be tried again."""

ADOPT: Final = (
    _NOW
    + _QUEUE
    + f"""
if ARGV[1] ~= '' and (redis.call('GET', KEYS[7]) or '0') ~= ARGV[1] then return 0 end
local at = 3
for _ = 1, tonumber(ARGV[2]) do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
if at > 3 then
  redis.call('INCR', KEYS[7])
  redis.call('INCR', KEYS[9])
end
local told = tonumber(ARGV[at])
for i = 1, told do
  local identity = ARGV[at + i]
  redis.call('ZADD', KEYS[6], 'NX', now, identity)
  redis.call('HDEL', KEYS[4], identity)
  redis.call('ZREM', KEYS[5], identity)
end
at = at + told + 1
for _ = 1, tonumber(ARGV[at]) do
  local identity, row = ARGV[at + 1], ARGV[at + 2]
  at = at + 2
  if not redis.call('ZSCORE', KEYS[6], identity) and redis.call('HEXISTS', KEYS[4], identity) == 0 then
    queue(identity, row)
  end
end
for i = 3, 9 do redis.call('PEXPIRE', KEYS[i], {KEPT}) end
return 1
"""
)
"""KEYS lease, epoch, kept, rows, order, told, version, turn, adopted. ARGV the version that was seen or nothing, number
of alerts, each one's fingerprint and itself, number of messages told, their identities, number of messages that wait,
each one's identity and itself. Gives 0 where the version is another one by now."""
