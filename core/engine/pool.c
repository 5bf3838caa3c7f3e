#include "engine/directive.h"
#include <stdlib.h>

/* Every piece is an allocation of its own: a configuration is small, and a
 * sanitizer then sees an overrun of any of them. */
struct piece {
	struct piece *next;
	_Alignas(max_align_t) char bytes[];
};

struct zg_pool {
	struct piece *first;
};

zg_pool_t *zg_pool_new(void)
{
	return calloc(1, sizeof(zg_pool_t));
}

void zg_pool_free(zg_pool_t **pool)
{
	if (!*pool)
		return;
	for (struct piece *p = (*pool)->first, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	free(*pool);
	*pool = NULL;
}

void *zg_pool_alloc(zg_pool_t *pool, size_t n)
{
	struct piece *p;

	if (n > SIZE_MAX - sizeof(*p))
		return NULL;
	p = calloc(1, sizeof(*p) + n);
	if (!p)
		return NULL;
	p->next = pool->first;
	pool->first = p;
	return p->bytes;
}

char *zg_pool_strdup(zg_pool_t *pool, zg_str_t s)
{
	char *copy = zg_pool_alloc(pool, s.n + 1);

	if (copy && s.n)
		memcpy(copy, s.p, s.n);
	return copy;
}
