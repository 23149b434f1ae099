-- One call against a sliding window of two cells, by the rules of gateway/limits.py, to which a test holds it.
--
-- KEYS[1]  a caller's window       ARGV[1]  how many calls it admits       ARGV[2]  its length in seconds
-- Returns  admitted (1 or 0), how many more would be admitted now, and seconds: until the window ends, or, of a call
--          that is refused, until one would be admitted.
--
-- The time is this server's, in microseconds: clocks of gateways do not matter. A script runs alone, so that what is
-- decided and what is counted cannot come apart.

local limit, length_us = tonumber(ARGV[1]), tonumber(ARGV[2]) * 1000000
local TOLERANCE = 1e-9 -- for sums of fractions that should be whole

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]

local kept = redis.call('HMGET', KEYS[1], 'start', 'current', 'previous')
local start_us = tonumber(kept[1]) or now_us
local current, previous = tonumber(kept[2]) or 0, tonumber(kept[3]) or 0

if now_us < start_us then -- the clock was put back: nobody has to wait until it is where it was
    start_us = now_us
    redis.call('HSET', KEYS[1], 'start', string.format('%.0f', start_us))
end
local passed = math.floor((now_us - start_us) / length_us)
if passed > 0 then
    previous = passed == 1 and current or 0
    current = 0
    start_us = start_us + passed * length_us
end

local used = current
if previous > 0 then
    used = current + previous * (1 - (now_us - start_us) / length_us)
end
local left_us = start_us + length_us - now_us

if used + 1 > limit + TOLERANCE then
    local room, wait_us = limit - 1, nil
    if current <= room then -- within this window: the one before has to slide out far enough
        local share = previous > 0 and (room - current) / previous or 1
        wait_us = math.max(left_us - share * length_us, 0)
    else
        wait_us = left_us + (1 - room / current) * length_us
    end
    return {0, 0, math.max(math.ceil(wait_us / 1000000 - TOLERANCE), 1)}
end

-- %.0f: as text a large number would lose its last digits.
redis.call('HSET', KEYS[1], 'start', string.format('%.0f', start_us), 'current', current + 1, 'previous', previous)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil((left_us + length_us) / 1000)))
return {1, math.floor(limit - used - 1 + TOLERANCE), math.max(math.ceil(left_us / 1000000), 1)}
