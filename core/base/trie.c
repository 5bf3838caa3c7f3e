#include "base/trie.h"
#include <errno.h>
#include <stdlib.h>

/* A node stands for the bytes on the way to it. All but the root have
 * subscribers or at least two children, so there are at most twice as many
 * nodes as prefixes (one more only while memory is too short to merge). */

/* A set of pointers: open addressing, linear probing, a power of two in size.
 * Adding and removing cost O(1) expected however many there are, and a walk
 * is in proportion to what is in it, since it shrinks as it empties. */
struct set {
	void **slot;
	size_t count, size;
};

struct edge {
	unsigned char byte; /* the first of to's label: the search stays in one array */
	struct node *to;
};

struct node {
	struct node *parent;
	struct edge *edge; /* sorted by byte */
	unsigned edges, edge_room;
	struct set subscribers;
	size_t len;
	char label[];
};

struct zg_trie {
	struct node *root;
	size_t prefixes, max;
	char *path; /* room for the longest prefix, so that a walk cannot fail */
	size_t path_room;
};

#define SET_MIN 4

static size_t set_home(const struct set *s, const void *p)
{
	/* Fibonacci hashing; the low bits of a pointer say nothing */
	uint64_t h = (uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15u;

	return (size_t)(h >> 32) & (s->size - 1);
}

/* The slot that holds p, or the free one where it would go. */
static size_t set_find(const struct set *s, const void *p)
{
	size_t i = set_home(s, p);

	while (s->slot[i] && s->slot[i] != p)
		i = (i + 1) & (s->size - 1);
	return i;
}

static int set_resize(struct set *s, size_t size)
{
	struct set to = { calloc(size, sizeof(*to.slot)), s->count, size };

	if (!to.slot)
		return -1;
	for (size_t i = 0; i < s->size; i++)
		if (s->slot[i])
			to.slot[set_find(&to, s->slot[i])] = s->slot[i];
	free(s->slot);
	*s = to;
	return 0;
}

static int set_add(struct set *s, void *p)
{
	size_t i;

	if (s->size && s->slot[set_find(s, p)] == p)
		return 0;
	/* at most three quarters full */
	if (s->count + 1 > s->size / 4 * 3 &&
	    (s->size > SIZE_MAX / 2 || set_resize(s, s->size ? s->size * 2 : SET_MIN) < 0))
		return -1;
	i = set_find(s, p);
	s->slot[i] = p;
	s->count++;
	return 0;
}

static void set_free(struct set *s)
{
	free(s->slot);
	*s = (struct set){ 0 };
}

static int set_remove(struct set *s, const void *p)
{
	size_t mask = s->size - 1, hole, i;

	if (!s->size || !s->slot[hole = set_find(s, p)])
		return -1;
	/* close the gap, so that no probe stops early: move back every later
	 * entry of the run whose home is not after the hole (Knuth 6.4, R) */
	for (i = (hole + 1) & mask; s->slot[i]; i = (i + 1) & mask) {
		if (((i - set_home(s, s->slot[i])) & mask) >= ((i - hole) & mask)) {
			s->slot[hole] = s->slot[i];
			hole = i;
		}
	}
	s->slot[hole] = NULL;
	if (--s->count == 0)
		set_free(s);
	else if (s->size > SET_MIN && s->count < s->size / 8)
		set_resize(s, s->size / 2); /* if not, it is only wider than need be */
	return 0;
}

/* A node whose label is `front` and `back`. */
static struct node *node_new(struct node *parent, zg_str_t front, zg_str_t back)
{
	struct node *n;
	size_t len, size;

	if (__builtin_add_overflow(front.n, back.n, &len) ||
	    __builtin_add_overflow(sizeof(*n), len, &size) || !(n = malloc(size)))
		return NULL;
	*n = (struct node){ .parent = parent, .len = len };
	if (front.n)
		memcpy(n->label, front.p, front.n);
	if (back.n)
		memcpy(n->label + front.n, back.p, back.n);
	return n;
}

static void node_free(struct node *n)
{
	set_free(&n->subscribers);
	free(n->edge);
	free(n);
}

/* The first edge whose byte is not below `byte`. */
static unsigned edge_at(const struct node *n, unsigned char byte)
{
	unsigned low = 0, high = n->edges;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (n->edge[middle].byte < byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct edge *edge_find(const struct node *n, char byte)
{
	unsigned i = edge_at(n, (unsigned char)byte);

	return i < n->edges && n->edge[i].byte == (unsigned char)byte ? &n->edge[i] : NULL;
}

static int edge_add(struct node *n, char byte, struct node *to)
{
	unsigned i = edge_at(n, (unsigned char)byte);

	if (n->edges == n->edge_room) { /* at most 256 ever: the byte is unique */
		unsigned room = n->edge_room ? n->edge_room * 2 : 2;
		struct edge *edge = reallocarray(n->edge, room, sizeof(*edge));

		if (!edge)
			return -1;
		n->edge = edge;
		n->edge_room = room;
	}
	memmove(n->edge + i + 1, n->edge + i, (n->edges - i) * sizeof(*n->edge));
	n->edge[i] = (struct edge){ (unsigned char)byte, to };
	n->edges++;
	return 0;
}

static void edge_remove(struct node *n, char byte)
{
	unsigned i = edge_at(n, (unsigned char)byte);

	n->edges--;
	memmove(n->edge + i, n->edge + i + 1, (n->edges - i) * sizeof(*n->edge));
	if (!n->edges) {
		free(n->edge);
		n->edge = NULL;
		n->edge_room = 0;
	}
}

/* Puts a node in the place of n and of its only child, whose label is both. */
static void merge(struct node *n)
{
	struct node *child = n->edge[0].to;
	struct node *both = node_new(n->parent, zg_str_n(n->label, n->len),
	                             zg_str_n(child->label, child->len));

	if (!both)
		return; /* the two serve as well as the one */
	both->edge = child->edge;
	both->edges = child->edges;
	both->edge_room = child->edge_room;
	both->subscribers = child->subscribers;
	for (unsigned i = 0; i < both->edges; i++)
		both->edge[i].to->parent = both;
	edge_find(n->parent, n->label[0])->to = both;
	free(n->edge);
	free(n);
	free(child);
}

/* Removes n if nothing needs it any more, and so on towards the root. */
static void prune(struct node *n)
{
	while (n->parent && !n->subscribers.count && !n->edges) {
		struct node *parent = n->parent;

		edge_remove(parent, n->label[0]);
		node_free(n);
		n = parent;
	}
	if (n->parent && !n->subscribers.count && n->edges == 1)
		merge(n);
}

/* Cuts n's label after `at` bytes; the node made for the front is returned. */
static struct node *split(struct node *n, size_t at)
{
	struct node *front = node_new(n->parent, zg_str_n(n->label, at), ZG_STR_NONE);

	if (!front || edge_add(front, n->label[at], n) < 0) {
		free(front);
		return NULL;
	}
	edge_find(n->parent, n->label[0])->to = front;
	n->parent = front;
	n->len -= at;
	memmove(n->label, n->label + at, n->len);
	return front;
}

/* The child whose whole label begins *rest, NULL if none; takes that off *rest. */
static struct node *step(const struct node *n, zg_str_t *rest)
{
	struct edge *edge = rest->n ? edge_find(n, rest->p[0]) : NULL;

	if (!edge || edge->to->len > rest->n ||
	    memcmp(edge->to->label, rest->p, edge->to->len) != 0)
		return NULL;
	*rest = zg_str_n(rest->p + edge->to->len, rest->n - edge->to->len);
	return edge->to;
}

/* The last node on the way of *rest, which keeps what leads no further. */
static struct node *descend(struct node *n, zg_str_t *rest)
{
	for (struct node *to; (to = step(n, rest)); n = to)
		;
	return n;
}

/* The node for the prefix `rest` below n, made where there is none. */
static struct node *node_for(struct node *n, zg_str_t rest)
{
	struct edge *edge;
	struct node *leaf;
	size_t common = 0;

	n = descend(n, &rest);
	if (!rest.n)
		return n;
	edge = edge_find(n, rest.p[0]);
	if (edge) {
		const struct node *to = edge->to;

		while (common < rest.n && common < to->len && to->label[common] == rest.p[common])
			common++;
		n = split(edge->to, common);
		if (!n || common == rest.n)
			return n;
		rest = zg_str_n(rest.p + common, rest.n - common);
	}
	leaf = node_new(n, rest, ZG_STR_NONE);
	if (leaf && edge_add(n, rest.p[0], leaf) == 0)
		return leaf;
	free(leaf);
	prune(n);
	return NULL;
}

static int reserve_path(zg_trie_t *t, size_t n)
{
	char *path;

	if (n <= t->path_room)
		return 0;
	path = realloc(t->path, n);
	if (!path)
		return -1;
	t->path = path;
	t->path_room = n;
	return 0;
}

static struct node *lookup(const zg_trie_t *t, zg_str_t prefix)
{
	struct node *n = descend(t->root, &prefix);

	return prefix.n || !n->subscribers.count ? NULL : n;
}

zg_trie_t *zg_trie_new(size_t max_prefixes)
{
	zg_trie_t *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->max = max_prefixes;
	t->root = node_new(NULL, ZG_STR_NONE, ZG_STR_NONE);
	if (!t->root) {
		free(t);
		return NULL;
	}
	return t;
}

void zg_trie_free(zg_trie_t **t)
{
	struct node *n = *t ? (*t)->root : NULL;

	while (n) {
		struct node *parent = n->parent;

		if (n->edges) {
			n = n->edge[--n->edges].to;
			continue;
		}
		node_free(n);
		n = parent;
	}
	if (*t)
		free((*t)->path);
	free(*t);
	*t = NULL;
}

int zg_trie_add(zg_trie_t *t, zg_str_t prefix, void *subscriber)
{
	struct node *n = lookup(t, prefix);
	bool fresh = !n;

	if (fresh && t->prefixes >= t->max) {
		errno = ENOSPC;
		return -1;
	}
	if (fresh)
		n = reserve_path(t, prefix.n) == 0 ? node_for(t->root, prefix) : NULL;
	if (!n || set_add(&n->subscribers, subscriber) < 0) {
		if (n)
			prune(n);
		errno = ENOMEM;
		return -1;
	}
	t->prefixes += fresh;
	return fresh;
}

int zg_trie_remove(zg_trie_t *t, zg_str_t prefix, void *subscriber)
{
	struct node *n = lookup(t, prefix);

	if (!n || set_remove(&n->subscribers, subscriber) < 0)
		return -1;
	if (n->subscribers.count)
		return 0;
	t->prefixes--;
	prune(n);
	return 1;
}

void zg_trie_match(const zg_trie_t *t, zg_str_t topic, void (*fn)(void *ctx, void *subscriber),
                   void *ctx)
{
	for (const struct node *n = t->root; n; n = step(n, &topic)) {
		const struct set *s = &n->subscribers;

		for (size_t i = 0; i < s->size; i++)
			if (s->slot[i])
				fn(ctx, s->slot[i]);
	}
}

/* The node after n in byte order; *len, the length of n's path, follows. */
static const struct node *next(const struct node *n, size_t *len)
{
	if (n->edges)
		return n->edge[0].to;
	while (n->parent) {
		const struct node *parent = n->parent;
		unsigned i = edge_at(parent, (unsigned char)n->label[0]) + 1;

		*len -= n->len;
		if (i < parent->edges)
			return parent->edge[i].to;
		n = parent;
	}
	return NULL;
}

void zg_trie_each(const zg_trie_t *t, void (*fn)(void *ctx, zg_str_t prefix, size_t subscribers),
                  void *ctx)
{
	size_t len = 0;

	for (const struct node *n = t->root; n; n = next(n, &len)) {
		if (n->len)
			memcpy(t->path + len, n->label, n->len);
		len += n->len;
		if (n->subscribers.count)
			fn(ctx, zg_str_n(t->path, len), n->subscribers.count);
	}
}

size_t zg_trie_prefixes(const zg_trie_t *t)
{
	return t->prefixes;
}
