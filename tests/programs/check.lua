-- For wrk: look at every answer, and print what was counted as JSON.

-- What wsgi_app.py answers; the file by its length.
local right = { ["slept"] = true, ["sum 49800"] = true }
local file = 102400
local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   answers = 0
   wrong = 0
end

function response(status, headers, body)
   answers = answers + 1
   if status ~= 200 or not (right[body] or #body == file) then
      wrong = wrong + 1
   end
end

function done(summary, latency, requests)
   local answers, wrong, e = 0, 0, summary.errors
   for _, thread in ipairs(threads) do
      answers = answers + thread:get("answers")
      wrong = wrong + thread:get("wrong")
   end
   io.stderr:write(string.format(
      '{"requests": %d, "answers": %d, "wrong": %d, "connect": %d, "read": %d, ' ..
      '"write": %d, "status": %d, "timeout": %d, "seconds": %.6f, ' ..
      '"p50_us": %d, "p90_us": %d, "p99_us": %d, "max_us": %d}\n',
      summary.requests, answers, wrong, e.connect, e.read, e.write, e.status,
      e.timeout, summary.duration / 1e6, latency:percentile(50),
      latency:percentile(90), latency:percentile(99), latency.max))
end
