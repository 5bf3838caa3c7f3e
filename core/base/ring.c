#include "base/ring.h"
#include <errno.h>
#include <stdlib.h>

#define SIZE_MIN 8

void zg_ring_init(zg_ring_t *r, size_t max_bytes, uint32_t max_count, zg_ring_policy_t policy)
{
	*r = (zg_ring_t){ .max_bytes = max_bytes, .max_count = max_count, .policy = policy };
}

static uint32_t slot_at(const zg_ring_t *r, uint32_t i)
{
	return (uint32_t)(((uint64_t)r->head + i) % r->size);
}

/* Doubles the array and unrolls what is in it to the front. */
static int grow(zg_ring_t *r)
{
	uint32_t size = r->size > r->max_count / 2 ? r->max_count : r->size * 2;
	zg_msg_t **slot;

	if (size < SIZE_MIN)
		size = SIZE_MIN < r->max_count ? SIZE_MIN : r->max_count;
	slot = reallocarray(NULL, size, sizeof(*slot));
	if (!slot) {
		errno = ENOMEM;
		return -1;
	}
	for (uint32_t i = 0; i < r->count; i++)
		slot[i] = r->slot[slot_at(r, i)];
	free(r->slot);
	r->slot = slot;
	r->size = size;
	r->head = 0;
	return 0;
}

static zg_msg_t *take(zg_ring_t *r)
{
	zg_msg_t *m = r->slot[r->head];

	r->head = slot_at(r, 1);
	r->count--;
	r->bytes -= m->len;
	return m;
}

static bool fits(const zg_ring_t *r, const zg_msg_t *m)
{
	return r->count < r->max_count && r->bytes <= r->max_bytes &&
	       m->len <= r->max_bytes - r->bytes;
}

int zg_ring_push(zg_ring_t *r, zg_msg_t *m, uint64_t *dropped)
{
	uint64_t units = 0;

	if (dropped)
		*dropped = 0;
	if (m->len > r->max_bytes || !r->max_count) {
		errno = EMSGSIZE;
		return -1;
	}
	if (r->policy == ZG_RING_REFUSE && !fits(r, m)) {
		errno = EAGAIN;
		return -1;
	}
	/* before anything is dropped, so that a failure changes nothing */
	if (r->count == r->size && r->size < r->max_count && grow(r) < 0)
		return -1;
	while (!fits(r, m)) {
		zg_msg_t *oldest = take(r);

		units += oldest->units;
		zg_msg_unref(&oldest);
	}
	r->slot[slot_at(r, r->count)] = m;
	r->count++;
	r->bytes += m->len;
	if (dropped)
		*dropped = units;
	return 0;
}

zg_msg_t *zg_ring_peek(const zg_ring_t *r)
{
	return r->count ? r->slot[r->head] : NULL;
}

zg_msg_t *zg_ring_pop(zg_ring_t *r)
{
	zg_msg_t *m;

	if (!r->count)
		return NULL;
	m = take(r);
	if (!r->count) {
		free(r->slot);
		r->slot = NULL;
		r->size = r->head = 0;
	}
	return m;
}

uint64_t zg_ring_clear(zg_ring_t *r)
{
	uint64_t units = 0;
	zg_msg_t *m;

	while ((m = zg_ring_pop(r))) {
		units += m->units;
		zg_msg_unref(&m);
	}
	return units;
}
