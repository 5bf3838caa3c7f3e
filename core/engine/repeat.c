#include "engine/repeat.h"

#include <stdio.h>

#define WAYS 4 /* slots that a key may have */

uint64_t zg_repeat_key(zg_str_t s)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
	return h ? h : 1;
}

static bool is_over(const zg_repeat_slot_t *s, uint64_t now)
{
	return now >= s->since + ZG_REPEAT_MS;
}

/* The key's slot; if it has none, the one of its ways that is missed least. */
static zg_repeat_slot_t *slot_of(zg_repeat_t *t, uint64_t key)
{
	zg_repeat_slot_t *way = &t->slot[key % (ZG_REPEAT_SLOTS / WAYS) * WAYS], *best = way;

	for (zg_repeat_slot_t *s = way; s < way + WAYS; s++) {
		if (s->key == key)
			return s;
		if (!s->key != !best->key ? !s->key
		                          : s->hidden < best->hidden ||
		                            (s->hidden == best->hidden && s->since < best->since))
			best = s;
	}
	return best;
}

bool zg_repeat_shows(zg_repeat_t *t, uint64_t key, unsigned limit, int level, const char *text,
                     uint64_t now, zg_repeat_slot_t *over)
{
	zg_repeat_slot_t *s = slot_of(t, key);

	over->hidden = 0;
	if (s->key != key || is_over(s, now)) {
		*over = *s;
		t->hiding -= s->hidden > 0;
		*s = (zg_repeat_slot_t){ .key = key, .since = now };
	}
	if (s->shown < limit) {
		s->shown++;
		return true;
	}
	t->hiding += s->hidden++ == 0;
	s->level = level;
	snprintf(s->text, sizeof s->text, "%s", text);
	return false;
}

bool zg_repeat_take(zg_repeat_t *t, uint64_t now, zg_repeat_slot_t *over)
{
	for (size_t i = 0; i < ZG_REPEAT_SLOTS && t->hiding; i++) {
		zg_repeat_slot_t *s = &t->slot[i];

		if (s->hidden == 0 || !is_over(s, now))
			continue;
		*over = *s;
		s->hidden = 0;
		s->key = 0;
		t->hiding--;
		return true;
	}
	return false;
}
