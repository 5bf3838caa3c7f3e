/* list: an intrusive doubly linked list. The owner embeds a zg_link_t; the
 * list never allocates. A link that is in no list points to itself. */
#ifndef ZG_BASE_LIST_H
#define ZG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct zg_link {
	struct zg_link *prev, *next;
} zg_link_t;

#define ZG_CONTAINER(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline void zg_list_init(zg_link_t *l) { l->prev = l->next = l; }
static inline bool zg_list_empty(const zg_link_t *l) { return l->next == l; }

static inline void zg_list_append(zg_link_t *list, zg_link_t *l)
{
	l->prev = list->prev;
	l->next = list;
	list->prev->next = l;
	list->prev = l;
}

/* Safe on a link that is in no list. */
static inline void zg_list_remove(zg_link_t *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	zg_list_init(l);
}

/* All of `from` to the list `to`, which holds nothing yet; `from` is empty then. */
static inline void zg_list_move(zg_link_t *to, zg_link_t *from)
{
	zg_list_init(to);
	if (zg_list_empty(from))
		return;
	*to = *from;
	to->next->prev = to->prev->next = to;
	zg_list_init(from);
}

/* `it` may be removed in the body. */
#define ZG_LIST_EACH(it, list)                                                            \
	for (zg_link_t *it = (list)->next, *it##_next = it->next; it != (list);           \
	     it = it##_next, it##_next = it->next)

#endif
