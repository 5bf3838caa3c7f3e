#include "front/wsfront.h"

#include "base/utf8.h"
#include "engine/log.h"
#include "front/access.h"
#include "front/gate.h"
#include "front/linger.h"
#include "front/ws_client.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RX_CHUNK     1024      /* allocated per client by libwebsockets */
#define TX_CHUNK     (4 << 20) /* it would cut one write into pieces of RX_CHUNK */
#define HANDSHAKE    512
#define CLOSE_MS     5000      /* for a client to take what is queued and the close */
#define LEAVE_MS     10
#define LIMIT_MS     20

struct zg_wsfront {
	zg_worker_t *w;
	struct lws_context *lws;
	struct lws_vhost *vhost;
	zg_linger_t *linger;
	zg_ws_client_t *adopting; /* during the synchronous handshake */
	const char *adopting_id;
	zg_timeq_t ends;          /* of closing handshakes */
	zg_timeq_t limits;        /* of those that max_rate holds back */
	zg_timer_t *timer;
	uint64_t timer_due;
	zg_timer_t *leave;        /* while clients are being closed one after the other */
};

/* ---- a WebSocket carries ---- */

static bool carry_blocked(const zg_ws_client_t *c)
{
	return lws_partial_buffered(c->wsi);
}

/* The bytes are frames already, and nothing waits before them: they need nothing
 * of libwebsockets but to keep what the socket does not take. */
static void carry_send(zg_ws_client_t *c, const unsigned char *bytes, size_t n)
{
	ssize_t sent = send(c->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0)
		sent = 0; /* it is full; or broken, which lws_write finds out too */
	if ((size_t)sent == n)
		return;
	/* RAW leaves the bytes as they are, although lws_write takes no const */
	if (lws_write(c->wsi, (unsigned char *)(uintptr_t)bytes + sent, n - (size_t)sent,
	              LWS_WRITE_RAW) < 0)
		zg_ws_client_kill(c);
}

static void carry_want_writable(zg_ws_client_t *c)
{
	lws_callback_on_writable(c->wsi);
}

static void carry_read(zg_ws_client_t *c, bool on)
{
	lws_rx_flow_control(c->wsi, on);
}

static void carry_ping(zg_ws_client_t *c)
{
	/* with a payload: libwebsockets tells of no empty pong */
	static const unsigned char frame[] = { 0x89, 0x01, '.' };

	if (c->waits_pong && !c->paused) {
		c->pub.to->common->ws_slow_closed++;
		zg_ws_client_kill(c);
		return;
	}
	c->waits_pong = true;
	/* one whose socket is full has to make room before the next time */
	if (!c->closing && !c->dead && !carry_blocked(c))
		carry_send(c, frame, sizeof frame);
}

static void carry_kill(zg_ws_client_t *c)
{
	/* under a foreign loop, lws_set_timeout works from lws's own callbacks only;
	 * this it notices wherever it comes from */
	if (c->paused) /* or lws would not look */
		lws_rx_flow_control(c->wsi, 1);
	shutdown(lws_get_socket_fd(c->wsi), SHUT_RDWR);
}

static void carry_detach(zg_ws_client_t *c)
{
	lws_set_opaque_user_data(c->wsi, NULL);
}

const zg_carrier_t zg_wsfront_carrier = {
	.blocked = carry_blocked, .write = carry_send, .want_writable = carry_want_writable,
	.read = carry_read, .ping = carry_ping, .kill = carry_kill, .detach = carry_detach,
};

/* ---- receiving ---- */

static int fail(struct lws *wsi, unsigned code, const char *reason)
{
	lws_close_reason(wsi, (enum lws_close_status)code, (unsigned char *)(uintptr_t)reason,
	                 strlen(reason));
	return -1;
}

static int on_receive(zg_ws_client_t *c, struct lws *wsi, const char *data, size_t n)
{
	zg_instance_t *in = c->pub.to;
	size_t rest = lws_remaining_packet_payload(wsi); /* of this frame */
	bool whole = lws_is_final_fragment(wsi) && rest == 0;
	zg_str_t message = zg_str_n(data, n);

	c->waits_pong = false;
	if (c->closing || c->dead)
		return 0;
	if (lws_is_first_fragment(wsi)) {
		zg_buf_clear(&c->rx);
		c->rx_text = !lws_frame_is_binary(wsi);
	}
	if (rest > in->location->max_body || c->rx.len + n + rest > in->location->max_body)
		return fail(wsi, 1009, "the message is larger than max_body");
	if (!whole || c->rx.len > 0) {
		if (zg_buf_add(&c->rx, data, n) != 0)
			return fail(wsi, 1011, "out of memory");
		message = zg_buf_str(&c->rx);
	}
	/* 4.1.6 under libuv forgets what is inflated and not handed out yet, until
	 * something happens on the socket */
	if (!whole && rest == 0 && c->pub.deflates)
		lws_callback_on_writable(wsi);
	if (!whole)
		return 0;
	if (c->rx_text && !zg_utf8_valid(message))
		return fail(wsi, 1007, "the text is not UTF-8");
	in->common->ws_received++;
	c->received++;
	in->module->ws_message(in, &c->pub, message, c->rx_text);
	zg_buf_free(&c->rx);
	return 0;
}

static int on_writable(zg_ws_client_t *c, struct lws *wsi)
{
	if (zg_ws_client_writable(c))
		return fail(wsi, c->close_code, c->close_reason ? c->close_reason : "");
	return c->dead ? -1 : 0;
}

/* The first two bytes of a close frame (RFC 6455, 7.1.5). */
static void note_code(zg_ws_client_t *c, const unsigned char *payload)
{
	if (!c->close_code)
		c->close_code = (uint16_t)(payload[0] << 8 | payload[1]);
}

static void on_client_closes(zg_ws_client_t *c, const unsigned char *payload, size_t n)
{
	static const unsigned char none[] = { 1005 >> 8, 1005 & 255 };

	note_code(c, n >= 2 ? payload : none);
}

/* libwebsockets is about to close. Debian's 4.1.6 closes twice in a row under
 * libuv (a self-test left in), so its own close frame never leaves: it is sent
 * here, with the reason given to lws_close_reason, and the connection lingers so
 * that it arrives. */
static void on_drop(zg_ws_client_t *c, struct lws *wsi)
{
	size_t n = (size_t)lws_get_close_length(wsi);
	unsigned char frame[2 + 125];
	int twin;

	if (n >= 2)
		note_code(c, lws_get_close_payload(wsi));
	if (c->dead || n < 2 || n > 125 || lws_partial_buffered(wsi))
		return;
	c->dead = true;
	frame[0] = 0x88;
	frame[1] = (unsigned char)n;
	memcpy(frame + 2, lws_get_close_payload(wsi), n);
	if (lws_write(wsi, frame, n + 2, LWS_WRITE_RAW) < 0)
		return;
	if ((twin = fcntl(lws_get_socket_fd(wsi), F_DUPFD_CLOEXEC, 0)) >= 0)
		zg_linger_close(c->front->linger, twin);
}

/* Headers of the 101 that libwebsockets does not know of. */
static int on_add_headers(zg_wsfront_t *f, struct lws_process_html_args *args)
{
	const char *protocol = f->adopting->pub.protocol;
	int n = snprintf(args->p, (size_t)args->max_len, "X-Request-ID: %s\x0d\x0a%s%s%s",
	                 f->adopting_id, *protocol ? "Sec-WebSocket-Protocol: " : "", protocol,
	                 *protocol ? "\x0d\x0a" : "");

	if (n >= args->max_len)
		return -1;
	args->p += n;
	args->max_len -= n;
	return 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *data,
                    size_t n)
{
	zg_wsfront_t *f = lws_context_user(lws_get_context(wsi));
	zg_ws_client_t *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;

	(void)user;
	switch (why) {
	case LWS_CALLBACK_ADD_HEADERS:
		return f->adopting ? on_add_headers(f, data) : 0;
	case LWS_CALLBACK_ESTABLISHED:
		if (!f->adopting)
			return -1;
		lws_set_opaque_user_data(wsi, f->adopting);
		f->adopting->wsi = wsi;
		f->adopting->fd = lws_get_socket_fd(wsi);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return c ? on_receive(c, wsi, data, n) : -1;
	case LWS_CALLBACK_RECEIVE_PONG:
		if (c)
			c->waits_pong = false;
		return 0;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		if (c)
			on_client_closes(c, data, n);
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return c ? on_writable(c, wsi) : -1;
	case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
		if (c)
			on_drop(c, wsi);
		return 0;
	case LWS_CALLBACK_CLOSED:
		if (c)
			zg_ws_client_closed(c);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		zg_gate_closed(f->w);
		return 0;
	default:
		return 0;
	}
}

/* ---- pings and ends ---- */

static void arm(zg_wsfront_t *f, zg_timeq_t *q, zg_timeq_entry_t *e)
{
	uint64_t now = zg_loop_now(f->w->loop);

	zg_timeq_arm(q, e, now);
	if (e->due < f->timer_due) {
		f->timer_due = e->due;
		zg_timer_set(f->timer, f->timer_due - now);
	}
}

void zg_wsfront_arm_ping(zg_ws_client_t *c)
{
	arm(c->front, &c->pub.to->pings, &c->ping);
}

void zg_wsfront_arm_end(zg_ws_client_t *c)
{
	arm(c->front, &c->front->ends, &c->end);
}

void zg_wsfront_arm_limit(zg_ws_client_t *c)
{
	arm(c->front, &c->front->limits, &c->limit);
}

static void ping(zg_ws_client_t *c)
{
	c->carrier->ping(c);
	if (!c->dead)
		zg_wsfront_arm_ping(c);
}

static void on_timer(void *ctx)
{
	zg_wsfront_t *f = ctx;
	uint64_t now = zg_loop_now(f->w->loop);
	zg_timeq_entry_t *e;

	ZG_LIST_EACH(l, &f->w->instances)
		while ((e = zg_timeq_pop(&ZG_CONTAINER(l, zg_instance_t, link)->pings, now)))
			ping(ZG_CONTAINER(e, zg_ws_client_t, ping));
	while ((e = zg_timeq_pop(&f->ends, now)))
		zg_ws_client_kill(ZG_CONTAINER(e, zg_ws_client_t, end));
	while ((e = zg_timeq_pop(&f->limits, now)))
		zg_ws_client_unlimit(ZG_CONTAINER(e, zg_ws_client_t, limit));
	f->timer_due = UINT64_MAX;
	if ((e = zg_timeq_first(&f->ends)))
		f->timer_due = e->due;
	if ((e = zg_timeq_first(&f->limits)) && e->due < f->timer_due)
		f->timer_due = e->due;
	ZG_LIST_EACH(l, &f->w->instances)
		if ((e = zg_timeq_first(&ZG_CONTAINER(l, zg_instance_t, link)->pings)) &&
		    e->due < f->timer_due)
			f->timer_due = e->due;
	if (f->timer_due != UINT64_MAX)
		zg_timer_set(f->timer, f->timer_due > now ? f->timer_due - now : 0);
}

/* ---- the handshake ---- */

/* Has libwebsockets perform the handshake, from a head of our own making. */
void zg_wsfront_perform(zg_ws_client_t *c, zg_conn_t *conn, const zg_head_t *head, char *bytes,
                        const zg_request_t *req)
{
	zg_wsfront_t *f = c->front;
	char own[HANDSHAKE];
	int n = snprintf(own, sizeof own,
	                 "GET / HTTP/1.1\r\nHost: zgate\r\nUpgrade: websocket\r\n"
	                 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	                 "Sec-WebSocket-Key: %.*s\r\n%s\r\n",
	                 ZG_STR_ARG(head->ws_key),
	                 /* libwebsockets answers with what it is offered */
	                 c->pub.deflates ? "Sec-WebSocket-Extensions: permessage-deflate; "
	                                   "server_no_context_takeover; client_no_context_takeover\r\n"
	                                 : "");

	/* the head has only been peeked at: take it off */
	if (recv(conn->fd, bytes, head->size, MSG_DONTWAIT) != (ssize_t)head->size) {
		close(conn->fd); /* reset in between */
		zg_gate_closed(f->w);
		zg_access_session_failed(c, &c->session);
		free(c);
		return;
	}
	f->adopting = c;
	f->adopting_id = req->id.p;
	lws_adopt_socket_vhost_readbuf(f->vhost, conn->fd, own, (size_t)n);
	f->adopting = NULL;
	if (!c->wsi) { /* the client is gone already */
		zg_access_session_failed(c, &c->session);
		free(c);
		return;
	}
	zg_ws_client_opened(c, req);
}

/* ---- closing many ---- */

/* Closes whose moment has come; sets the timer for those to come. */
static void on_leave(void *ctx)
{
	zg_wsfront_t *f = ctx;
	uint64_t now = zg_loop_now(f->w->loop);
	bool more = false;

	ZG_LIST_EACH(i, &f->w->instances) {
		zg_instance_t *in = ZG_CONTAINER(i, zg_instance_t, link);

		ZG_LIST_EACH(l, &in->clients) {
			zg_ws_client_t *c = ZG_CONTAINER(l, zg_ws_client_t, member);

			if (c->leave_at && now >= c->leave_at)
				zg_ws_close(&c->pub, 1001, c->leave_reason);
			else
				more |= c->leave_at != 0;
		}
	}
	if (more)
		zg_timer_set(f->leave, LEAVE_MS);
}

static void close_within(zg_instance_t *in, const char *reason, uint64_t within_ms)
{
	uint64_t now = zg_loop_now(in->loop);
	uint64_t ms = in->common->ws_open < within_ms ? in->common->ws_open : within_ms;

	ZG_LIST_EACH(l, &in->clients) {
		zg_ws_client_t *c = ZG_CONTAINER(l, zg_ws_client_t, member);

		c->leave_at = now + (ms ? (uint64_t)random() % ms : 0);
		c->leave_reason = reason;
	}
}

void zg_wsfront_close(zg_wsfront_t *f, zg_instance_t *in, const char *reason, uint64_t within_ms)
{
	ZG_LIST_EACH(i, &f->w->instances)
		if (!in || ZG_CONTAINER(i, zg_instance_t, link) == in)
			close_within(ZG_CONTAINER(i, zg_instance_t, link), reason, within_ms);
	on_leave(f);
}

void zg_wsfront_forget(zg_wsfront_t *f, zg_instance_t *in)
{
	ZG_LIST_EACH(i, &f->w->instances) {
		if (in && ZG_CONTAINER(i, zg_instance_t, link) != in)
			continue;
		ZG_LIST_EACH(l, &ZG_CONTAINER(i, zg_instance_t, link)->clients) {
			zg_ws_client_t *c = ZG_CONTAINER(l, zg_ws_client_t, member);

			zg_ws_client_kill(c);
			zg_ws_client_closed(c);
		}
	}
}

void zg_wsfront_reload(zg_wsfront_t *f)
{
	ZG_LIST_EACH(i, &f->w->instances) {
		zg_instance_t *in = ZG_CONTAINER(i, zg_instance_t, link);

		ZG_LIST_EACH(l, &in->clients)
			zg_ws_client_limit(ZG_CONTAINER(l, zg_ws_client_t, member));
	}
	f->timer_due = 0;
	zg_timer_set(f->timer, 0);
}

bool zg_wsfront_lingers(const zg_wsfront_t *f)
{
	return zg_linger_count(f->linger) > 0;
}

/* ---- making and ending ---- */

static void on_lws_log(int level, const char *line)
{
	(void)level;
	/* its errors are about clients' mistakes, or about nothing at all */
	zg_debug("libwebsockets: %.*s", (int)strcspn(line, "\n"), line);
}

static void set_lws_log(void)
{
	lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
}

int zg_wsfront_open(zg_worker_t *w, zg_err_t *err)
{
	static const struct lws_protocols protocols[] = {
		/* a session of at least a byte, or DROP_PROTOCOL is not called */
		{ .name = "zgate", .callback = callback, .per_session_data_size = 1,
		  .rx_buffer_size = RX_CHUNK,
		  .tx_packet_size = TX_CHUNK },
		{ .name = NULL },
	};
	static const struct lws_extension extensions[] = {
		{ "permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate" },
		{ NULL, NULL, NULL },
	};
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	zg_wsfront_t *f = calloc(1, sizeof *f);
	/* no pings of its own: after 300 s, and a hang-up 10 s later, whatever `ping` says */
	static const lws_retry_bo_t no_pings = { .secs_since_valid_ping = 0 };
	void *loops[1] = { zg_loop_uv(w->loop) };
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.extensions = extensions,
		.options = LWS_SERVER_OPTION_LIBUV,
		.foreign_loops = loops,
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
		.user = f,
		.max_http_header_data = 1024,
		.timeout_secs = CLOSE_MS / 1000,
		.vhost_name = "zgate",
		.retry_and_idle_policy = &no_pings,
	};

	pthread_once(&once, set_lws_log);
	if (!f)
		return zg_err(err, "out of memory");
	w->ws = f;
	f->w = w;
	f->timer_due = UINT64_MAX;
	zg_timeq_init(&f->ends, CLOSE_MS);
	zg_timeq_init(&f->limits, LIMIT_MS);
	f->lws = lws_create_context(&info);
	f->vhost = f->lws ? lws_get_vhost_by_name(f->lws, "zgate") : NULL;
	if (!f->vhost || !(f->timer = zg_timer_add(w->loop, on_timer, f)) ||
	    !(f->leave = zg_timer_add(w->loop, on_leave, f)) ||
	    !(f->linger = zg_linger_new(w->loop))) {
		return zg_err(err, "libwebsockets does not start; is libwebsockets-evlib-uv installed?");
	}
	return 0;
}

void zg_wsfront_stop(zg_wsfront_t *f)
{
	zg_timer_remove(&f->timer);
	zg_timer_remove(&f->leave);
	if (f->lws)
		lws_context_destroy(f->lws);
	zg_linger_free(&f->linger);
}

void zg_wsfront_free(zg_wsfront_t **f)
{
	if (!*f)
		return;
	/* with a foreign loop the second call frees what the first has closed */
	if ((*f)->lws)
		lws_context_destroy((*f)->lws);
	free(*f);
	*f = NULL;
}
