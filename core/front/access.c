#include "front/access.h"

#include "base/clock.h"
#include "base/net.h"
#include "engine/logfile.h"
#include "front/http_request.h"
#include "front/ws_client.h"
#include <stdlib.h>
#include <unistd.h>

struct zg_access_out {
	zg_logring_t *ring;
	int64_t pid;
	char line[ZG_FORMAT_LINE];
};

zg_outcome_t zg_access_outcome(unsigned status)
{
	if (status == 408 || status == 504)
		return ZG_TIMED_OUT;
	return status < 500 || status == 503 ? ZG_REFUSED : ZG_FAILED;
}

/* As the counters are named. */
static zg_str_t outcome_name(zg_outcome_t outcome)
{
	static const char *const names[] = {
		[ZG_ANSWERED] = "answered", [ZG_REFUSED] = "refused", [ZG_FAILED] = "failed",
		[ZG_TIMED_OUT] = "timed_out", [ZG_CANCELLED] = "cancelled",
	};

	return zg_str(names[outcome]);
}

/* ---- lines ---- */

static bool on(const zg_worker_t *w)
{
	return w->access && w->conf->gateway.access_log && w->conf->gateway.format;
}

static void write_line(zg_worker_t *w, zg_access_t *a)
{
	size_t n;

	a->worker = w->index;
	a->pid = w->access->pid;
	clock_gettime(CLOCK_REALTIME, &a->at);
	n = zg_format_write(w->conf->gateway.format, a, w->access->line);
	if (zg_logring_add(w->access->ring, w->access->line, n) != 0)
		w->counts.access_lines_dropped++;
}

static void set_location(zg_access_t *a, const zg_instance_t *in)
{
	if (!in)
		return;
	a->location = zg_str(in->location->name);
	a->bridge = zg_str(in->module->name);
}

static int64_t port_of(const zg_conn_t *c)
{
	if (c->from.any.sa_family == AF_INET)
		return ntohs(c->from.in.sin_port);
	return c->from.any.sa_family == AF_INET6 ? ntohs(c->from.in6.sin6_port) : -1;
}

static void set_request(zg_access_t *a, const zg_http_request_t *r, char remote[64])
{
	a->remote_addr = r->pub.remote.n ? r->pub.remote
	                                 : zg_str(zg_net_host(&r->conn->from.any, remote));
	a->remote_port = port_of(r->conn);
	a->request_id = zg_str(r->id);
	a->method = r->pub.method_name;
	a->uri = zg_str(r->target);
	a->protocol = zg_str(r->version);
	if (!zg_format_has_fields(r->http->w->conf->gateway.format))
		return;
	a->host = zg_request_header(&r->pub, "Host");
	a->referer = zg_request_header(&r->pub, "Referer");
	a->user_agent = zg_request_header(&r->pub, "User-Agent");
}

void zg_access_request(const zg_http_request_t *r, zg_outcome_t outcome, unsigned status,
                       uint64_t bytes, uint64_t now)
{
	zg_worker_t *w = r->http->w;
	zg_access_t a = zg_access_none;
	uint64_t handed = r->away ? 0 : r->handed; /* else the home may be writing it */
	char remote[64];

	if (!on(w) || r->streams)
		return;
	set_request(&a, r, remote);
	set_location(&a, r->to);
	a.outcome = outcome_name(outcome);
	a.status = outcome == ZG_CANCELLED ? ZG_CLIENT_GONE : status;
	a.bytes = r->pub.method == ZG_HEAD || status == 304 ? 0 : (int64_t)bytes;
	a.request_length = (int64_t)(r->body.len + r->swallowed);
	a.request_time = (int64_t)(now - r->arrived);
	if (handed)
		a.waiting_time = (int64_t)(handed - r->arrived);
	if (handed && outcome == ZG_ANSWERED)
		a.worker_time = (int64_t)(now - handed);
	write_line(w, &a);
}

/* ---- heads that only the gate has seen ---- */

/* The first field of that name among a head's lines, each of which ends in CR LF. */
static zg_str_t field(const zg_head_t *head, const char *bytes, zg_str_t wanted)
{
	zg_str_t rest = zg_str_n(bytes, head->size), line, name;

	zg_str_cut(&rest, '\n', &line); /* the request line */
	while (zg_str_cut(&rest, '\n', &line))
		if (zg_str_cut(&line, ':', &name) && zg_str_ieq(name, wanted))
			return zg_str_trim(zg_str_n(line.p, line.n ? line.n - 1 : 0));
	return ZG_STR_NONE;
}

static void set_head(zg_access_t *a, const zg_head_t *head, const char *bytes)
{
	if (!head)
		return;
	a->method = head->method;
	a->uri = head->target;
	a->protocol = head->minor ? ZG_STR("HTTP/1.1") : ZG_STR("HTTP/1.0");
	a->host = head->host;
	a->referer = field(head, bytes, ZG_STR("Referer"));
	a->user_agent = field(head, bytes, ZG_STR("User-Agent"));
}

void zg_access_refused(zg_worker_t *w, const zg_conn_t *c, const zg_head_t *head,
                       const char *bytes, const zg_instance_t *in, zg_str_t id, unsigned status,
                       size_t body)
{
	zg_access_t a = zg_access_none;
	char remote[64];

	if (!on(w))
		return;
	a.remote_addr = zg_str(zg_net_host(&c->from.any, remote));
	a.remote_port = port_of(c);
	a.request_id = id;
	set_head(&a, head, bytes);
	set_location(&a, in);
	a.outcome = outcome_name(zg_access_outcome(status));
	a.status = status;
	a.bytes = (int64_t)body;
	write_line(w, &a);
}

/* ---- WebSockets and streams ---- */

struct zg_session {
	zg_access_t a;
	uint64_t opened; /* us */
	char text[];
};

static zg_session_t *session_new(const zg_access_t *a, unsigned status, uint64_t opened)
{
	const size_t texts[] = {
		offsetof(zg_access_t, method), offsetof(zg_access_t, uri), offsetof(zg_access_t, protocol),
		offsetof(zg_access_t, host), offsetof(zg_access_t, referer),
		offsetof(zg_access_t, user_agent), offsetof(zg_access_t, remote_addr),
		offsetof(zg_access_t, request_id),
	};
	size_t size = sizeof(zg_session_t);
	zg_session_t *s;
	char *at;

	for (size_t i = 0; i < ZG_COUNT_OF(texts); i++)
		size += ((const zg_str_t *)((const char *)a + texts[i]))->n;
	if (!(s = malloc(size)))
		return NULL;
	s->a = *a;
	s->a.status = status;
	s->opened = opened;
	at = s->text;
	for (size_t i = 0; i < ZG_COUNT_OF(texts); i++) {
		zg_str_t *text = (zg_str_t *)((char *)&s->a + texts[i]);

		if (text->n)
			memcpy(at, text->p, text->n);
		text->p = at;
		at += text->n;
	}
	return s;
}

zg_session_t *zg_access_session(const zg_conn_t *c, const zg_head_t *head, const char *bytes,
                                const zg_request_t *req)
{
	zg_access_t a = zg_access_none;

	if (!on(req->to->worker))
		return NULL;
	set_head(&a, head, bytes);
	a.remote_addr = req->remote;
	a.remote_port = port_of(c);
	a.request_id = req->id;
	return session_new(&a, 101, zg_clock_us());
}

zg_session_t *zg_access_stream(const zg_request_t *req)
{
	const zg_http_request_t *r = ZG_CONTAINER(req, const zg_http_request_t, pub);
	zg_access_t a = zg_access_none;
	char remote[64];

	if (!on(r->http->w))
		return NULL;
	set_request(&a, r, remote);
	return session_new(&a, 200, r->arrived);
}

static void end(const zg_ws_client_t *c, zg_session_t **session, zg_outcome_t outcome)
{
	zg_session_t *s = *session;
	zg_worker_t *w = c->pub.to->worker;

	*session = NULL;
	if (s && on(w)) {
		set_location(&s->a, c->pub.to);
		s->a.outcome = outcome_name(outcome);
		s->a.request_time = (int64_t)(zg_clock_us() - s->opened);
		write_line(w, &s->a);
	}
	free(s);
}

void zg_access_session_end(const zg_ws_client_t *c, zg_session_t **session)
{
	zg_session_t *s = *session;

	if (s) {
		s->a.ws_protocol = zg_str(c->pub.protocol);
		s->a.ws_received = (int64_t)c->received;
		s->a.ws_sent = (int64_t)c->sent;
		s->a.ws_dropped = (int64_t)c->dropped;
		if (c->close_code || s->a.status == 101)
			s->a.ws_close_code = c->close_code ? c->close_code : 1006;
	}
	end(c, session, ZG_ANSWERED);
}

void zg_access_session_failed(const zg_ws_client_t *c, zg_session_t **session)
{
	if (*session)
		(*session)->a.status = ZG_CLIENT_GONE;
	end(c, session, ZG_CANCELLED);
}

/* ---- making and ending ---- */

int zg_access_open(zg_worker_t *w, const zg_conf_t *conf, zg_err_t *err)
{
	if (!conf->gateway.access_log || w->access)
		return 0;
	if (!(w->access = malloc(sizeof *w->access)) ||
	    !(w->access->ring = zg_logring_new(ZG_LOGFILE_ACCESS))) {
		free(w->access);
		w->access = NULL;
		return zg_err(err, "out of memory");
	}
	w->access->pid = getpid();
	return 0;
}

void zg_access_close(zg_worker_t *w)
{
	if (w->access)
		zg_logring_end(&w->access->ring);
	free(w->access);
	w->access = NULL;
}
