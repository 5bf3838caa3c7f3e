#include "base/slots.h"
#include <stdlib.h>

/* An id is the generation in the upper half and the slot's number in the
 * lower. Generations begin at 1, so no id is 0, and move on when the slot is
 * freed; only after 2^32 uses of one slot does an id come again. */

#define NO_SLOT  UINT32_MAX
#define SIZE_MIN 16

void zg_slots_init(zg_slots_t *s, uint32_t max)
{
	*s = (zg_slots_t){ .first_free = NO_SLOT, .max = max < NO_SLOT ? max : NO_SLOT - 1 };
}

static int grow(zg_slots_t *s)
{
	uint32_t size = s->size > s->max / 2 ? s->max : s->size * 2;
	struct zg_slot *slot;

	if (size < SIZE_MIN)
		size = SIZE_MIN < s->max ? SIZE_MIN : s->max;
	if (size <= s->size)
		return -1;
	slot = reallocarray(s->slot, size, sizeof(*slot));
	if (!slot)
		return -1;
	for (uint32_t i = s->size; i < size; i++)
		slot[i] = (struct zg_slot){ NULL, 1, i + 1 < size ? i + 1 : NO_SLOT };
	s->first_free = s->size;
	s->slot = slot;
	s->size = size;
	return 0;
}

uint64_t zg_slots_put(zg_slots_t *s, void *value)
{
	struct zg_slot *slot;
	uint32_t i;

	if (s->first_free == NO_SLOT && grow(s) < 0)
		return 0;
	i = s->first_free;
	slot = &s->slot[i];
	s->first_free = slot->next_free;
	slot->value = value;
	s->used++;
	return (uint64_t)slot->generation << 32 | i;
}

static struct zg_slot *find(const zg_slots_t *s, uint64_t id)
{
	uint32_t i = (uint32_t)id;

	if (i >= s->size || s->slot[i].generation != id >> 32)
		return NULL;
	return s->slot[i].value ? &s->slot[i] : NULL;
}

void *zg_slots_get(const zg_slots_t *s, uint64_t id)
{
	struct zg_slot *slot = find(s, id);

	return slot ? slot->value : NULL;
}

void *zg_slots_take(zg_slots_t *s, uint64_t id)
{
	struct zg_slot *slot = find(s, id);
	void *value;

	if (!slot)
		return NULL;
	value = slot->value;
	slot->value = NULL;
	if (++slot->generation == 0)
		slot->generation = 1;
	slot->next_free = s->first_free;
	s->first_free = (uint32_t)id;
	s->used--;
	return value;
}

void zg_slots_free(zg_slots_t *s)
{
	free(s->slot);
	zg_slots_init(s, s->max);
}
