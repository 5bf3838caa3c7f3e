#include "front/fanout.h"

#include "engine/worker.h"

#define BURST_START 4096
#define BURST_BYTES (64u << 10) /* a burst that has grown to this is sent at once */

static void flush(void *ctx)
{
	zg_fanout_t *f = ctx;
	zg_msg_t *m = f->burst;

	f->burst = NULL;
	zg_defer_cancel(&f->flush);
	if (!m)
		return;
	ZG_LIST_EACH(l, &f->members)
		zg_ws_send(ZG_CONTAINER(l, zg_ws_t, link), m);
	zg_msg_unref(&m);
}

void zg_fanout_init(zg_fanout_t *f, zg_loop_t *loop)
{
	*f = (zg_fanout_t){ .loop = loop };
	zg_list_init(&f->members);
	zg_defer_init(&f->flush, flush, f);
}

void zg_fanout_free(zg_fanout_t *f)
{
	flush(f);
	while (!zg_list_empty(&f->members))
		zg_list_remove(f->members.next);
	f->count = 0;
}

void zg_fanout_join(zg_fanout_t *f, zg_ws_t *ws)
{
	flush(f);
	zg_list_append(&f->members, &ws->link);
	f->count++;
}

void zg_fanout_leave(zg_fanout_t *f, zg_ws_t *ws)
{
	flush(f);
	zg_list_remove(&ws->link);
	f->count--;
}

/* Room for n more bytes in the burst; moves it into a larger one if needed. */
static int reserve(zg_fanout_t *f, size_t n)
{
	size_t used = f->burst ? f->burst->len : 0;
	size_t room = f->burst ? f->room : BURST_START;
	zg_msg_t *m;

	while (room < used + n)
		room *= 2;
	if (f->burst && room == f->room)
		return 0;
	if (!(m = zg_msg_new(room)))
		return -1;
	m->len = used;
	m->units = f->burst ? f->burst->units : 0;
	if (used)
		memcpy(m->data, f->burst->data, used);
	zg_msg_unref(&f->burst);
	f->burst = m;
	f->room = room;
	return 0;
}

int zg_fanout_append(zg_fanout_t *f, zg_ws_type_t type, const zg_str_t *parts, size_t n)
{
	size_t len = 0, size;
	unsigned char *at;

	if (f->count == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		len += parts[i].n;
	size = zg_ws_head_size(len) + len;
	if (f->burst && f->burst->len + size > BURST_BYTES)
		flush(f);
	if (reserve(f, size) != 0) {
		ZG_LIST_EACH(l, &f->members)
			ZG_CONTAINER(l, zg_ws_t, link)->to->common->ws_dropped++;
		return -1;
	}
	at = f->burst->data + f->burst->len;
	at += zg_ws_head(at, type, len);
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	f->burst->len += size;
	f->burst->units++;
	zg_defer(f->loop, &f->flush);
	return 0;
}
