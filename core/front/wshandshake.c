/* A WebSocket's handshake, which the gate has found correct: it is routed, the
 * module is asked, and only then libwebsockets performs it. */
#include "base/net.h"
#include "front/access.h"
#include "front/answer.h"
#include "front/deflate.h"
#include "front/route.h"
#include "front/ws_client.h"
#include "front/wsfront.h"
#include <stdio.h>
#include <stdlib.h>

#define OFFERS_MAX 16

struct handshake {
	zg_request_t req;
	zg_str_t lines; /* the head's field lines */
	zg_str_t offer[OFFERS_MAX];
	unsigned offers;
	bool deflates;
};

/* The gate's parser has accepted the lines: every one is "name: value" CR LF. */
static void each_line(const zg_request_t *req,
                      void (*fn)(void *ctx, zg_str_t name, zg_str_t value), void *ctx)
{
	zg_str_t rest = ZG_CONTAINER(req, const struct handshake, req)->lines, line, name;

	while (zg_str_cut(&rest, '\n', &line))
		if (line.n > 1 && zg_str_cut(&line, ':', &name))
			fn(ctx, name, zg_str_trim(zg_str_n(line.p, line.n ? line.n - 1 : 0)));
}

static void collect_offers(void *ctx, zg_str_t name, zg_str_t value)
{
	struct handshake *h = ctx;
	zg_str_t piece;

	if (zg_str_ieq(name, ZG_STR("Sec-WebSocket-Extensions")))
		h->deflates |= zg_deflate_offered(value);
	if (!zg_str_ieq(name, ZG_STR("Sec-WebSocket-Protocol")))
		return;
	while (h->offers < OFFERS_MAX && zg_str_cut(&value, ',', &piece))
		/* a token has no blank (RFC 6455, 4.1); names of the front's own have */
		if ((piece = zg_str_trim(piece)).n && !memchr(piece.p, ' ', piece.n))
			h->offer[h->offers++] = piece;
}

/* Asks the module: for the first subprotocol offered that it takes. */
static int negotiate(struct handshake *h, zg_refusal_t *no)
{
	zg_instance_t *in = h->req.to;
	zg_refusal_t last;

	if (!in->module->handshake)
		return zg_refuse(no, 400, "%s does not speak WebSocket", in->name);
	if (h->offers == 0)
		return in->module->handshake(in, &h->req, no);
	for (unsigned i = 0; i < h->offers; i++) {
		h->req.protocol = h->offer[i];
		last = (zg_refusal_t){ 0 };
		if (h->offer[i].n < sizeof ((zg_ws_t *)0)->protocol &&
		    in->module->handshake(in, &h->req, &last) == 0)
			return 0;
		/* a reason other than the subprotocol is worth more */
		if (i == 0 || (no->status == 400 && last.status != 400))
			*no = last;
	}
	if (no->status == 0)
		zg_refuse(no, 400, "no offered subprotocol is known");
	return -1;
}

zg_ws_adoption_t zg_wsfront_adopt(zg_worker_t *w, zg_conn_t *conn, const zg_head_t *head,
                                  const char *bytes, zg_instance_t **in, zg_refusal_t *no)
{
	struct handshake h = { .req = { .each_header = each_line } };
	const char *line = memchr(bytes, '\n', head->size);
	char remote[64], id[65];
	char *copy = malloc(head->size + 1), *store = malloc(head->target.n + 2);
	zg_ws_client_t *c = NULL;
	zg_ws_adoption_t result = ZG_WS_REFUSED;
	int rc;

	if (!copy || !store) {
		zg_refuse(no, 503, "out of memory");
		goto out;
	}
	h.lines = zg_str_n(line + 1, head->size - (size_t)(line + 1 - bytes));
	h.req.remote = zg_str(zg_net_host(&conn->from.any, remote));
	if (zg_head_request_id_ok(head->request_id))
		snprintf(id, sizeof id, "%.*s", ZG_STR_ARG(head->request_id));
	else
		zg_answer_request_id(id);
	h.req.id = zg_str(id);
	rc = zg_route(w, head, &conn->from.any, store, &h.req, no);
	*in = h.req.to;
	if (rc == 0 && w->draining)
		rc = zg_refuse(no, 503, "the gateway is stopping");
	if (rc == 0 && h.req.to->family->placement == ZG_AT_HOME && !zg_instance_is_home(h.req.to) &&
	    conn->moves < ZG_CONN_MOVES) {
		result = ZG_WS_ELSEWHERE;
		goto out;
	}
	if (rc == 0 && !h.req.to->started) /* reloads moved its home again and again */
		rc = zg_refuse(no, 503, "the gateway is being reconfigured, try again");
	if (rc == 0) {
		each_line(&h.req, collect_offers, &h);
		rc = negotiate(&h, no);
	}
	if (rc == 0 && !(c = zg_ws_client_new(w->ws, &zg_wsfront_carrier, &h.req)))
		rc = zg_refuse(no, 503, "out of memory");
	if (rc == 0) {
		c->pub.deflates = h.deflates;
		c->session = zg_access_session(conn, head, bytes, &h.req);
		zg_wsfront_perform(c, conn, head, copy, &h.req);
		result = ZG_WS_ADOPTED;
	}
out:
	free(copy);
	free(store);
	return result;
}
