/* Long polling: GET ?wait=20s&cursor=… is answered as soon as there are messages,
 * or with 204. What came since the cursor is given first, so that between two
 * answers nothing is missed unnoticed. Requests are served at the location's
 * home. */
#include "pubsub.h"
#include <stdlib.h>

#define WAIT_MAX_MS 300000

struct poll {
	struct pubsub_waiting waiting;
	struct pubsub *p;
	zg_request_t *req;
	zg_ws_t *ws;      /* gathers the answer */
	zg_timer_t *timer;
};

static void poll_free(struct poll *poll)
{
	zg_ws_t *ws = poll->ws;

	zg_timer_remove(&poll->timer);
	free(poll);
	if (!ws)
		return;
	if (ws->ctx)
		((struct pubsub_client *)ws->ctx)->poll = NULL;
	zg_collect_close(ws);
}

static void cancel(struct pubsub_waiting *w)
{
	poll_free((struct poll *)w);
}

void pubsub_poll_lost(struct poll *poll)
{
	/* the location is being closed: its request is cancelled next, or answered */
	poll->ws = NULL;
	zg_timer_set(poll->timer, 0);
}

/* The cursor of the last message gathered: what came after it in this turn may
 * not have fitted. */
static bool last_cursor(const zg_buf_t *got, char cursor[PUBSUB_CURSOR_SIZE])
{
	static const char mark[] = "\"cursor\":\"";
	const char *at = NULL;
	size_t n;

	for (size_t from = got->len; from-- > 0 && !at;)
		if (got->len - from > sizeof mark && memcmp(got->data + from, mark, sizeof mark - 1) == 0)
			at = got->data + from + sizeof mark - 1;
	if (!at)
		return false; /* a gap alone */
	n = strcspn(at, "\"");
	memcpy(cursor, at, n);
	cursor[n] = '\0';
	return true;
}

/* Where the next poll goes on. */
static void add_cursor(struct poll *poll, const zg_buf_t *got, char cursor[PUBSUB_CURSOR_SIZE])
{
	const struct pubsub_client *c = poll->ws->ctx;

	if (!last_cursor(got, cursor))
		pubsub_cursor_text(poll->p->in, c && c->joining ? c->since : poll->p->at, cursor);
	zg_request_add_header(poll->req, "Cursor", cursor);
	zg_request_add_header(poll->req, "Cache-Control", "no-store");
}

static int make_answer(const zg_buf_t *got, const char *cursor, zg_buf_t *out)
{
	size_t n = got->len - sizeof ",\n" + 1; /* every message is followed by that */
	int rc = zg_buf_printf(out, "{\"cursor\":\"%s\",\"messages\":[\n", cursor);

	rc |= zg_buf_add(out, got->data, n);
	return rc | zg_buf_add_str(out, ZG_STR("\n]}\n"));
}

/* Something has come, or nothing will. */
static void finish(void *ctx)
{
	struct poll *poll = ctx;
	const struct pubsub_client *c = poll->ws ? poll->ws->ctx : NULL;
	zg_buf_t *got = poll->ws ? zg_collect_buf(poll->ws) : NULL;
	zg_buf_t out;
	zg_request_t *req = poll->req;
	char cursor[PUBSUB_CURSOR_SIZE];

	if (c && c->group) /* what this turn has brought belongs to it */
		zg_fanout_flush(&c->group->fanout);
	out = ZG_BUF(got ? got->len + 256 : 0);
	if (got)
		add_cursor(poll, got, cursor);
	if (!got)
		zg_request_problem(req, 503, "This location is being closed.");
	else if (got->len == 0)
		zg_request_reply(req, 204, NULL, NULL, 0);
	else if (make_answer(got, cursor, &out) == 0)
		zg_request_reply_buf(req, 200, "application/json", &out);
	else
		zg_request_problem(req, 503, "The gateway is out of memory.");
	zg_buf_free(&out);
	poll_free(poll);
}

/* `wait` as a time, or as a number of seconds. */
static int wait_of(const zg_request_t *req, uint64_t *ms)
{
	char text[16];
	long n = zg_request_param(req, "wait", 0, text, sizeof text);
	int64_t seconds;
	zg_err_t err;

	if (n < 0)
		return -1;
	if (zg_unit_int(zg_str(text), &seconds, &err) == 0 && seconds >= 0)
		*ms = (uint64_t)seconds * 1000;
	else if (zg_unit_msec(zg_str(text), ms, &err) != 0)
		return -1;
	return *ms <= WAIT_MAX_MS ? 0 : -1;
}

static void refuse(zg_request_t *req, unsigned status, const char *why)
{
	zg_request_problem(req, status, "%s", why);
}

void pubsub_poll(struct pubsub *p, zg_request_t *req)
{
	struct poll *poll;
	zg_refusal_t no = { 0 };
	uint64_t ms;

	if (wait_of(req, &ms) != 0) {
		refuse(req, 400, "wait is no time up to 5m; write ?wait=20s");
		return;
	}
	if (pubsub_check_query(p, req, &no) != 0) {
		refuse(req, no.status, no.detail);
		return;
	}
	if (!(poll = calloc(1, sizeof *poll)) ||
	    !(poll->timer = zg_timer_add(p->in->loop, finish, poll))) {
		free(poll);
		refuse(req, 503, "The gateway is out of memory.");
		return;
	}
	poll->waiting.cancel = cancel;
	poll->p = p;
	poll->req = req;
	req->ctx = poll;
	req->protocol = ZG_STR(PUBSUB_ANSWER);
	if (!(poll->ws = zg_collect_open(p->in, req, finish, poll))) {
		poll_free(poll);
		refuse(req, 503, "The gateway is out of memory.");
		return;
	}
	if (poll->ws->ctx)
		((struct pubsub_client *)poll->ws->ctx)->poll = poll;
	zg_timer_set(poll->timer, ms);
}
