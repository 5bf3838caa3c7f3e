#include "front/fanout.h"

#include "front/ws_client.h"

#define BURST_START 4096
#define BURST_BYTES (64u << 10) /* a burst that would grow over this is sent before */

/* ---- bursts ---- */

/* Room for n more bytes; moves it into a larger message if needed. */
static int reserve(zg_burst_t *b, size_t n)
{
	size_t used = b->msg ? b->msg->len : 0;
	size_t room = b->msg ? b->room : BURST_START;
	zg_msg_t *m;

	while (room < used + n)
		room *= 2;
	if (b->msg && room == b->room)
		return 0;
	if (!(m = zg_msg_new(room)))
		return -1;
	m->len = used;
	m->units = b->msg ? b->msg->units : 0;
	if (used)
		memcpy(m->data, b->msg->data, used);
	zg_msg_unref(&b->msg);
	b->msg = m;
	b->room = room;
	return 0;
}

int zg_burst_append(zg_burst_t *b, zg_ws_type_t type, const zg_str_t *parts, size_t n)
{
	size_t len = 0, size;
	unsigned char *at;

	for (size_t i = 0; i < n; i++)
		len += parts[i].n;
	size = zg_ws_head_size(type, len) + len;
	if (reserve(b, size) != 0)
		return -1;
	at = b->msg->data + b->msg->len;
	at += zg_ws_head(at, type, len);
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	b->msg->len += size;
	b->msg->units++;
	return 0;
}

zg_msg_t *zg_burst_take(zg_burst_t *b)
{
	zg_msg_t *m = b->msg;

	b->msg = NULL;
	return m;
}

/* ---- fan-outs ---- */

void zg_fanout_flush(zg_fanout_t *f)
{
	zg_msg_t *m = zg_burst_take(&f->burst);

	zg_defer_cancel(&f->flush);
	if (!m)
		return;
	ZG_LIST_EACH(l, &f->members)
		zg_ws_fan(ZG_CONTAINER(l, zg_ws_t, link), m);
	zg_msg_unref(&m);
}

static void on_turn(void *ctx)
{
	zg_fanout_flush(ctx);
}

void zg_fanout_init(zg_fanout_t *f, zg_loop_t *loop)
{
	*f = (zg_fanout_t){ .loop = loop };
	zg_list_init(&f->members);
	zg_defer_init(&f->flush, on_turn, f);
}

void zg_fanout_free(zg_fanout_t *f)
{
	zg_fanout_flush(f);
	while (!zg_list_empty(&f->members))
		zg_list_remove(f->members.next);
	f->count = 0;
}

void zg_fanout_join(zg_fanout_t *f, zg_ws_t *ws)
{
	zg_fanout_flush(f);
	zg_list_append(&f->members, &ws->link);
	f->count++;
}

void zg_fanout_leave(zg_fanout_t *f, zg_ws_t *ws)
{
	zg_fanout_flush(f);
	zg_list_remove(&ws->link);
	f->count--;
}

static void drop_for_memory(zg_ws_t *ws)
{
	zg_ws_client(ws)->dropped++;
	ws->to->common->ws_dropped_memory++;
}

int zg_fanout_append(zg_fanout_t *f, zg_ws_type_t type, const zg_str_t *parts, size_t n)
{
	size_t len = 0;

	if (f->count == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		len += parts[i].n;
	if (f->burst.msg && f->burst.msg->len + zg_ws_head_size(type, len) + len > BURST_BYTES)
		zg_fanout_flush(f);
	if (zg_burst_append(&f->burst, type, parts, n) != 0) {
		ZG_LIST_EACH(l, &f->members)
			drop_for_memory(ZG_CONTAINER(l, zg_ws_t, link));
		return -1;
	}
	zg_defer(f->loop, &f->flush);
	return 0;
}
