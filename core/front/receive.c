#include "base/net.h"
#include "front/answer.h"
#include "front/http.h"
#include "front/http_request.h"
#include "front/route.h"
#include "front/stream.h"
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BODY_RATE   1024        /* least bytes a second of a body, on average */
#define STREAM_HEAD_MAX 2048
#define SWALLOW_MAX (64u << 10) /* of an unwanted body, to keep the connection */

struct judging {
	zg_head_t *head;
	size_t size; /* of the head, as sent but for blanks */
};

static void judge_field(void *ctx, zg_str_t name, zg_str_t value)
{
	struct judging *j = ctx;

	j->size += name.n + value.n + sizeof ": \r\n" - 1;
	zg_head_field(j->head, name, value);
}

static bool has_body(const zg_head_t *head)
{
	return head->chunked || (head->has_length && head->content_length > 0);
}

/* Whether the head had bytes that libmicrohttpd 0.9.75 did not show: what
 * followed a NUL, a fold, blanks of a request line. Where a body follows,
 * another party may have read its framing differently. */
static bool hides_bytes(zg_http_request_t *r, size_t shown)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	return info && info->header_size > shown;
}

/* The head of a request that came after the connection's first has only been
 * read by libmicrohttpd: hold it to the same rules. Returns whether it may pass;
 * if not, the connection cannot go on, as its framing is in doubt. */
static bool judge(zg_http_request_t *r, const char *method, const char *version, zg_head_t *head)
{
	size_t max = r->http->w->conf->gateway.max_header, line = strlen(r->target) + strlen(method) +
	                                                          sizeof " HTTP/1.1\r\n";
	struct judging j = { head, line };
	zg_head_verdict_t v = zg_head_begin(head, zg_str(method), zg_str(r->target), zg_str(version));

	if (v == ZG_HEAD_OK) {
		zg_request_headers(&r->pub, judge_field, &j);
		v = zg_head_end(head);
	}
	if (line > max)
		zg_refuse(&r->no, 414, "the request line is longer than max_header");
	else if (j.size > max)
		zg_refuse(&r->no, 431, "the request head is larger than max_header");
	else if (v == ZG_HEAD_OK && has_body(head) && hides_bytes(r, j.size + sizeof "\r\n" - 1))
		zg_refuse(&r->no, 400, "the request head has bytes that could be read in two ways");
	else if (v == ZG_HEAD_OK && !head->wants_websocket)
		return true;
	else if (v == ZG_HEAD_OK)
		zg_refuse(&r->no, 400, "a WebSocket handshake must be the first request on its connection");
	else
		zg_refuse(&r->no, head->status, "%s", head->reason);
	return false;
}

/* Decides about the request from its head. MHD_NO: cut off. */
static enum MHD_Result on_head(zg_http_t *h, zg_http_request_t *r, const char *method,
                               const char *version)
{
	zg_head_t head;
	uint64_t max;
	bool refused;

	r->version = version;
	r->pub.method_name = zg_str(method);
	r->pub.remote = zg_str(zg_net_host(&r->conn->from.any, r->remote));
	if (!judge(r, method, version, &head)) {
		h->w->counts.heads_refused++;
		zg_http_fill_id(r, head.request_id);
		zg_http_doom(h, r->conn, &r->no);
		return MHD_NO;
	}
	zg_http_fill_id(r, head.request_id);
	r->origin = head.origin;
	refused = zg_route(h->w, &head, &r->conn->from.any, r->path, &r->pub, &r->no) != 0;
	r->to = r->pub.to;
	max = r->to ? r->to->location->max_body : 0;
	if (r->to) {
		r->to->common->requests++;
		r->to->common->in_flight++;
	}
	if (!refused && !r->to && has_body(&head))
		refused = zg_refuse(&r->no, 400, "OPTIONS * takes no body") != 0;
	else if (!refused && head.has_length && head.content_length > max)
		refused = zg_refuse(&r->no, 413, "the body has %llu bytes; %s takes %llu",
		                    (unsigned long long)head.content_length, r->to->name,
		                    (unsigned long long)max) != 0;
	if (refused && has_body(&head) &&
	    (head.expect.p || (head.has_length && head.content_length > SWALLOW_MAX))) {
		zg_http_doom(h, r->conn, &r->no);
		return MHD_NO;
	}
	r->state = refused ? ZG_HTTP_SWALLOW : ZG_HTTP_BODY;
	r->body_started = zg_loop_now(h->w->loop);
	r->body.cap = max + 1; /* and a NUL */
	if (!has_body(&head))
		return MHD_YES;
	if (!refused && head.has_length)
		zg_buf_reserve(&r->body, head.content_length + 1); /* or as it comes */
	zg_http_arm(h, &h->body, r->conn);
	return MHD_YES;
}

static enum MHD_Result on_body(zg_http_t *h, zg_http_request_t *r, const char *data, size_t n)
{
	uint64_t elapsed = zg_loop_now(h->w->loop) - r->body_started;
	uint64_t allowed = h->w->conf->gateway.body_timeout;
	size_t got;

	if (r->state == ZG_HTTP_SWALLOW) {
		got = r->swallowed += n;
		if (r->swallowed > SWALLOW_MAX) {
			zg_http_doom(h, r->conn, &r->no);
			return MHD_NO;
		}
	} else if (r->body.len + n > r->body.cap - 1) {
		zg_refuse(&r->no, 413, "the body is larger than the %zu bytes that %s takes",
		          r->body.cap - 1, r->to->name);
		zg_http_doom(h, r->conn, &r->no);
		return MHD_NO;
	} else if (zg_buf_add(&r->body, data, n) != 0) {
		zg_refuse(&r->no, 503, "out of memory");
		zg_http_doom(h, r->conn, &r->no);
		return MHD_NO;
	} else {
		got = r->body.len;
	}
	if (elapsed > allowed && got < (elapsed - allowed) * BODY_RATE / 1000) {
		h->w->counts.timeouts_body++;
		zg_refuse(&r->no, 408, "the request body came at less than %d bytes a second", BODY_RATE);
		zg_http_doom(h, r->conn, &r->no);
		return MHD_NO;
	}
	zg_http_arm(h, &h->body, r->conn);
	return MHD_YES;
}

/* HEAD and OPTIONS where the module does not serve them. */
static bool answer_for_module(zg_http_request_t *r)
{
	const zg_location_t *loc = r->to->location;
	char allow[64];

	if (r->pub.method == ZG_OPTIONS && !(loc->method_bits & ZG_OPTIONS)) {
		zg_method_list(loc->method_bits | ZG_HEAD | ZG_OPTIONS, allow);
		zg_request_add_header(&r->pub, "Allow", allow);
		if (zg_route_origin_listed(loc, r->origin)) {
			zg_request_add_header(&r->pub, "Access-Control-Allow-Methods", allow);
			zg_request_add_header(&r->pub, "Access-Control-Allow-Headers",
			                      "Content-Type, Last-Event-ID, X-Request-ID");
			zg_request_add_header(&r->pub, "Access-Control-Max-Age", "600");
		}
		zg_request_reply(&r->pub, 204, NULL, NULL, 0);
		return true;
	}
	if (r->pub.method == ZG_HEAD && !(loc->method_bits & (ZG_GET | ZG_HEAD))) {
		zg_method_list(loc->method_bits | ZG_HEAD | ZG_OPTIONS, allow);
		zg_request_add_header(&r->pub, "Allow", allow);
		zg_request_reply(&r->pub, 200, NULL, NULL, 0);
		return true;
	}
	return false;
}

/* The head of an answer that ends with its connection. */
static int stream_head(const zg_http_request_t *r, zg_buf_t *out)
{
	time_t now = time(NULL);
	struct tm tm;
	char date[32];
	int rc;

	gmtime_r(&now, &tm);
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	rc = zg_buf_printf(out,
		"HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
		"Cache-Control: no-store\r\nX-Accel-Buffering: no\r\nX-Request-ID: %s\r\n"
		"Connection: close\r\n", date, r->id);

	if (r->origin.p && zg_route_origin_listed(r->to->location, r->origin))
		rc |= zg_buf_printf(out, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n",
		                    ZG_STR_ARG(r->origin));
	/* browsers come back by themselves: not all in the same moment */
	return rc | zg_buf_printf(out, "\r\nretry: %ld\n\n", 1000 + random() % 2000);
}

/* Takes the connection from libmicrohttpd, which closes its descriptor, and goes
 * on with a duplicate. */
static void open_stream(zg_http_request_t *r)
{
	zg_buf_t head = ZG_BUF(STREAM_HEAD_MAX);
	int twin = fcntl(r->conn->fd, F_DUPFD_CLOEXEC, 0);

	if (twin < 0 || stream_head(r, &head) != 0 ||
	    zg_stream_open(r->http->w->streams, &r->pub, twin, zg_buf_str(&head)) != 0) {
		if (twin >= 0)
			close(twin);
		zg_request_problem(&r->pub, 503, "The gateway is out of memory or descriptors.");
	} else {
		r->streams = true;
		zg_http_settle(r, ZG_ANSWERED, 200, 0);
		r->state = ZG_HTTP_DOOMED;
	}
	zg_buf_free(&head);
}

/* Whether the module wants to answer with a stream, or refuses to. */
static bool is_stream(zg_http_request_t *r)
{
	zg_instance_t *in = r->to;
	zg_refusal_t no = { 0 };
	const char *speaks;

	if (!in->module->stream || !in->started || r->pub.method != ZG_GET ||
	    !(speaks = in->module->stream(in, &r->pub)))
		return false;
	r->pub.protocol = zg_str(speaks);
	if (r->http->w->draining)
		zg_request_problem(&r->pub, 503, "The gateway is stopping.");
	else if (in->module->handshake(in, &r->pub, &no) != 0)
		zg_request_problem(&r->pub, no.status, "%s", no.detail);
	else
		open_stream(r);
	return true;
}

static void dispatch(zg_http_request_t *r)
{
	zg_instance_t *in = r->to;
	bool refused = r->state == ZG_HTTP_SWALLOW;
	char allow[64];

	if (!r->conn->half_closed)
		zg_timeq_disarm(&r->conn->deadline);
	r->state = ZG_HTTP_WAITING;
	if (refused) {
		if (r->no.header)
			zg_request_add_header(&r->pub, r->no.header, r->no.value);
		zg_request_problem(&r->pub, r->no.status, "%s", r->no.detail);
		return;
	}
	if (!in) { /* OPTIONS * */
		zg_request_add_header(&r->pub, "Allow", zg_method_list(~0u, allow));
		zg_request_reply(&r->pub, 204, NULL, NULL, 0);
		return;
	}
	in->common->bytes_in += r->body.len;
	if (zg_buf_reserve(&r->body, 1) != 0) {
		zg_request_problem(&r->pub, 503, "The gateway is out of memory.");
		return;
	}
	r->body.data[r->body.len] = '\0';
	r->pub.body = zg_buf_str(&r->body);
	if (answer_for_module(r) || is_stream(r))
		return;
	if (zg_instance_serves_requests(in))
		in->module->request(in, &r->pub);
	else
		zg_forward(r);
}

static enum MHD_Result queue(zg_http_request_t *r)
{
	enum MHD_Result rc = MHD_queue_response(r->mhd, r->status, r->response);

	MHD_destroy_response(r->response);
	r->response = NULL;
	r->state = ZG_HTTP_QUEUED;
	r->http->leaving++;
	r->conn->acked = UINT64_MAX;
	zg_http_arm(r->http, &r->http->idle, r->conn);
	return rc;
}

/* The module has not answered yet: be asked again, or after a while not. */
static void wait_on(zg_http_t *h, zg_http_request_t *r)
{
	uint64_t now = zg_loop_now(h->w->loop);

	if (!r->parked) {
		r->parked = true;
		r->parked_at = now;
		h->parked++;
	} else if (now - r->parked_at >= ZG_HTTP_PATIENCE_MS) {
		zg_http_wake(r);
		r->suspended = true;
		MHD_suspend_connection(r->mhd);
	}
}

enum MHD_Result zg_receive(void *cls, struct MHD_Connection *mhd, const char *url,
                           const char *method, const char *version, const char *data,
                           size_t *data_n, void **con_cls)
{
	zg_http_t *h = cls;
	zg_http_request_t *r = *con_cls;
	size_t n = *data_n;

	(void)url;
	(void)mhd;
	if (!r || r->state == ZG_HTTP_DOOMED || (h->stopping && r->state < ZG_HTTP_WAITING))
		return MHD_NO;
	*data_n = 0;
	if (r->state != ZG_HTTP_WAITING)
		h->progress = true;
	switch (r->state) {
	case ZG_HTTP_HEAD:
		return on_head(h, r, method, version);
	case ZG_HTTP_BODY:
	case ZG_HTTP_SWALLOW:
		if (n > 0)
			return on_body(h, r, data, n);
		r->in_handler = true;
		dispatch(r);
		r->in_handler = false;
		break;
	default:
		break;
	}
	if (r->state == ZG_HTTP_REPLIED)
		return queue(r);
	if (r->state != ZG_HTTP_WAITING)
		return MHD_NO;
	wait_on(h, r);
	return MHD_YES;
}
