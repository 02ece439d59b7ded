-- The requests that wrk sends. Arguments, as key=value: kind, token (a file), posts (how many there are), cursor, seed.
-- Most requests are built before the measurement starts, because the load generator shares the processors with the server.

local arguments, requests, next_request, sent = {}, {}, 0, 0
-- Accept-Encoding as browsers and HTTP libraries send it; nil sends no such header.
local codings

local function read(file)
    local handle = assert(io.open(file))
    local text = handle:read("*a")
    handle:close()
    return (text:gsub("%s+$", ""))
end

local function get(path, token)
    local headers = token and { ["Authorization"] = "Bearer " .. token } or {}
    headers["Accept-Encoding"] = codings
    return wrk.format("GET", path, headers)
end

local function post(token, number)
    local words = {}
    for i = 1, 90 do words[i] = string.char(97 + (number * 7 + i * 3) % 26, 97 + (number + i) % 26, 97 + (i * 5) % 26) .. "e" end
    local body = string.format('{"title":"Written under load, %d","content":"%s"}', number, table.concat(words, " "))
    local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
    return wrk.format("POST", "/v1/posts", headers, body)
end

local function two_words(n)
    local words = { "certificate", "sourdough", "garden", "rust", "lamp", "bicycle", "night", "coffee" }
    return words[n % #words + 1] .. "+" .. words[(n * 3 + 1) % #words + 1]
end

local makers = {
    any = function() return get("/") end,
    live = function() return get("/health/live") end,
    ready = function() return get("/health/ready") end,
    by_id = function(a) return get("/v1/posts/" .. math.random(1, a.posts), a.token) end,
    list = function(a) return get("/v1/posts?limit=20", a.token) end,
    by_cursor = function(a) return get("/v1/posts?limit=20&after=" .. a.cursor, a.token) end,
    by_skip = function(a) return get("/v1/posts?limit=20&skip=" .. math.floor(a.posts * 0.9), a.token) end,
    search = function(a, n) return get("/v1/posts?limit=20&q=" .. two_words(n), a.token) end,
    -- Different letters in upper case each time: the same posts match, but the API has no cached response.
    search_new = function(a, n)
        local typed = two_words(n):gsub("%a", function(letter) return math.random(2) == 1 and letter:upper() or letter end)
        return get("/v1/posts?limit=20&q=" .. typed, a.token)
    end,
    write = function(a, n) return post(a.token, n) end,
    mixed = function(a, n)
        if n % 10 == 0 then return post(a.token, n) end
        return get("/v1/posts/" .. math.random(1, a.posts), a.token)
    end,
    forged = function(a) return get("/v1/posts/1", a.token) end,
}

function init(args)
    for _, argument in ipairs(args) do
        local key, value = argument:match("^(%w+)=(.*)$")
        arguments[key] = value
    end
    if arguments.token then arguments.token = read(arguments.token) end
    -- The suffix _gzip means a client that accepts gzip, and _alone means one connection.
    arguments.kind = arguments.kind:gsub("_alone$", "")
    if arguments.kind:match("_gzip$") then
        codings = "gzip, deflate"
        arguments.kind = arguments.kind:gsub("_gzip$", "")
    end
    arguments.posts = tonumber(arguments.posts or "1")
    math.randomseed(tonumber(arguments.seed or "1"))
    if arguments.kind == "forged_new" then
        -- Replaces the last 20 characters of the signature, differently each time.
        arguments.head = arguments.token:sub(1, -21)
        arguments.start = string.format("%04d", os.time() % 10000) .. string.format("%04d", tonumber(arguments.seed))
        return
    end
    local many = ({ any = 1, live = 1, ready = 1, list = 1, by_cursor = 1, by_skip = 1, forged = 1 })[arguments.kind]
    for n = 1, many or 20000 do requests[n] = makers[arguments.kind](arguments, n) end
end

function request()
    if arguments.kind == "forged_new" then
        sent = sent + 1
        return get("/v1/posts/1", arguments.head .. arguments.start .. string.format("%011dA", sent))
    end
    if arguments.kind == "search_new" then
        sent = sent + 1
        return makers.search_new(arguments, sent)
    end
    next_request = next_request % #requests + 1
    return requests[next_request]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "max": %d, "not_2xx": %d, "broken": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
