wrk.method = "POST"
wrk.body = "0123456789abcdef"
