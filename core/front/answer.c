#include "front/answer.h"

#include "base/utf8.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>

static const struct {
	unsigned status;
	const char *phrase;
} phrases[] = {
	{ 200, "OK" }, { 202, "Accepted" }, { 204, "No Content" }, { 206, "Partial Content" },
	{ 301, "Moved Permanently" }, { 304, "Not Modified" },
	{ 400, "Bad Request" }, { 403, "Forbidden" }, { 404, "Not Found" },
	{ 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 409, "Conflict" },
	{ 410, "Gone" }, { 411, "Length Required" }, { 413, "Content Too Large" },
	{ 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" }, { 417, "Expectation Failed" },
	{ 426, "Upgrade Required" }, { 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
	{ 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
};

const char *zg_request_phrase(unsigned status)
{
	for (size_t i = 0; i < ZG_COUNT_OF(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Unknown";
}

int zg_refuse(zg_refusal_t *no, unsigned status, const char *format, ...)
{
	va_list ap;

	*no = (zg_refusal_t){ .status = status };
	va_start(ap, format);
	vsnprintf(no->detail, sizeof no->detail, format, ap);
	va_end(ap);
	return -1;
}

bool zg_answer_retry_after(unsigned status)
{
	return status == 503 || status == 429;
}

int zg_answer_problem(zg_buf_t *out, unsigned status, const char *detail, zg_str_t request_id)
{
	int rc = zg_buf_printf(out, "{\"status\":%u,\"title\":\"%s\",\"detail\":", status,
	                       zg_request_phrase(status));
	/* it may quote what a client or a worker sent */
	rc |= zg_utf8_add_json(out, zg_str(detail));
	rc |= zg_buf_printf(out, ",\"request_id\":\"%.*s\"}\n", ZG_STR_ARG(request_id));
	return rc;
}

size_t zg_answer_send(int fd, const zg_refusal_t *no, zg_str_t request_id)
{
	zg_buf_t body = ZG_BUF(ZG_ANSWER_MAX), out = ZG_BUF(2 * ZG_ANSWER_MAX);
	size_t sent = 0;

	if (zg_answer_problem(&body, no->status, no->detail, request_id) == 0 &&
	    zg_buf_printf(&out,
	                  "HTTP/1.1 %u %s\r\nContent-Type: application/problem+json\r\n"
	                  "Content-Length: %zu\r\nX-Request-ID: %.*s\r\nConnection: close\r\n",
	                  no->status, zg_request_phrase(no->status), body.len,
	                  ZG_STR_ARG(request_id)) == 0 &&
	    (!no->header || zg_buf_printf(&out, "%s: %s\r\n", no->header, no->value) == 0) &&
	    (!zg_answer_retry_after(no->status) || zg_buf_printf(&out, "Retry-After: 1\r\n") == 0) &&
	    zg_buf_printf(&out, "\r\n%.*s", ZG_STR_ARG(zg_buf_str(&body))) == 0) {
		/* a new connection's send buffer takes it whole; a client that does
		 * not read loses the explanation, not we our time */
		if (send(fd, out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)out.len)
			sent = body.len;
	}
	zg_buf_free(&body);
	zg_buf_free(&out);
	return sent;
}

void zg_answer_request_id(char out[25])
{
	static const char hex[] = "0123456789abcdef";
	static atomic_ullong serial;
	static _Thread_local unsigned char start[4];
	static _Thread_local bool started;
	unsigned long long n = atomic_fetch_add_explicit(&serial, 1, memory_order_relaxed);

	if (!started) {
		if (getrandom(start, sizeof start, 0) != sizeof start)
			start[0] = 0; /* ids stay unique in this process */
		started = true;
	}
	for (size_t i = 0; i < 4; i++) {
		out[2 * i] = hex[start[i] >> 4];
		out[2 * i + 1] = hex[start[i] & 15];
	}
	for (size_t i = 0; i < 16; i++)
		out[8 + i] = hex[n >> (60 - 4 * i) & 15];
	out[24] = '\0';
}
