-- wrk's script for the workloads post and post1
wrk.method = "POST"
wrk.body = "Hello"
wrk.headers["Content-Type"] = "text/plain"
