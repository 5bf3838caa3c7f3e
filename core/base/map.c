#include "base/map.h"
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define BUCKETS_MIN 16

static uint64_t key0, key1;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void key_make(void)
{
	uint64_t key[2];
	ssize_t n;

	do
		n = getrandom(key, sizeof(key), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(key)) {
		/* no such call here (seccomp): at least not the same each time */
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		key[0] = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 32;
		key[1] = (uint64_t)(uintptr_t)&now ^ (uint64_t)(uintptr_t)key_make << 20;
	}
	key0 = key[0];
	key1 = key[1];
}

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"). */
uint64_t zg_map_hash(const void *p, size_t n)
{
	const unsigned char *in = p;
	uint64_t word, last = (uint64_t)n << 56;
	struct sip s;

	pthread_once(&key_once, key_make);
	s = (struct sip){ key0 ^ 0x736f6d6570736575, key1 ^ 0x646f72616e646f6d,
	                  key0 ^ 0x6c7967656e657261, key1 ^ 0x7465646279746573 };
	for (; n >= 8; n -= 8, in += 8) {
		memcpy(&word, in, 8);
		word = le64toh(word);
		s.v3 ^= word;
		sip_round(&s);
		s.v0 ^= word;
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)in[i] << (8 * i);
	s.v3 ^= last;
	sip_round(&s);
	s.v0 ^= last;
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* buckets is a power of two */
static size_t bucket_of(const zg_map_t *m, uint64_t hash)
{
	return hash & (m->buckets - 1);
}

/* The link that points to key's entry, or to the NULL where it would go. */
static zg_map_entry_t **find(const zg_map_t *m, zg_str_t key, uint64_t hash)
{
	zg_map_entry_t **link = &m->bucket[bucket_of(m, hash)];

	while (*link && ((*link)->hash != hash ||
	                 !zg_str_eq(zg_str_n((*link)->key, (*link)->len), key)))
		link = &(*link)->next;
	return link;
}

static int grow(zg_map_t *m)
{
	zg_map_t wide = *m;

	if (m->buckets > SIZE_MAX / 2)
		return -1;
	wide.buckets = m->buckets ? m->buckets * 2 : BUCKETS_MIN;
	wide.bucket = calloc(wide.buckets, sizeof(*wide.bucket));
	if (!wide.bucket)
		return -1;
	for (size_t i = 0; i < m->buckets; i++) {
		for (zg_map_entry_t *e = m->bucket[i], *next; e; e = next) {
			zg_map_entry_t **link = &wide.bucket[bucket_of(&wide, e->hash)];

			next = e->next;
			e->next = *link;
			*link = e;
		}
	}
	free(m->bucket);
	*m = wide;
	return 0;
}

static int insert(zg_map_t *m, zg_str_t key, uint64_t hash, void *value)
{
	zg_map_entry_t *e, **link;

	if (m->count >= m->max) {
		errno = ENOSPC;
		return -1;
	}
	e = key.n <= SIZE_MAX - sizeof(*e) ? malloc(sizeof(*e) + key.n) : NULL;
	/* a full table that cannot grow still works, with longer chains */
	if (!e || (m->count >= m->buckets && grow(m) < 0 && !m->buckets)) {
		free(e);
		errno = ENOMEM;
		return -1;
	}
	link = &m->bucket[bucket_of(m, hash)];
	e->next = *link;
	e->hash = hash;
	e->value = value;
	e->len = key.n;
	if (key.n)
		memcpy(e->key, key.p, key.n);
	*link = e;
	m->count++;
	return 0;
}

void *zg_map_get(const zg_map_t *m, zg_str_t key)
{
	zg_map_entry_t *e = m->count ? *find(m, key, zg_map_hash(key.p, key.n)) : NULL;

	return e ? e->value : NULL;
}

int zg_map_put(zg_map_t *m, zg_str_t key, void *value, void **old)
{
	uint64_t hash = zg_map_hash(key.p, key.n);
	zg_map_entry_t *e = m->count ? *find(m, key, hash) : NULL;

	if (!e) {
		if (insert(m, key, hash, value) < 0)
			return -1;
		if (old)
			*old = NULL;
		return 0;
	}
	if (old)
		*old = e->value;
	e->value = value;
	return 0;
}

void *zg_map_del(zg_map_t *m, zg_str_t key)
{
	zg_map_entry_t **link = m->count ? find(m, key, zg_map_hash(key.p, key.n)) : NULL;
	zg_map_entry_t *e = link ? *link : NULL;
	void *value;

	if (!e)
		return NULL;
	value = e->value;
	*link = e->next;
	free(e);
	m->count--;
	return value;
}

zg_map_entry_t *zg_map_next(const zg_map_t *m, zg_map_entry_t *at)
{
	size_t i = 0;

	if (at && at->next)
		return at->next;
	if (at)
		i = bucket_of(m, at->hash) + 1;
	for (; i < m->buckets; i++)
		if (m->bucket[i])
			return m->bucket[i];
	return NULL;
}

void zg_map_free(zg_map_t *m)
{
	for (size_t i = 0; i < m->buckets; i++) {
		for (zg_map_entry_t *e = m->bucket[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
	}
	free(m->bucket);
	*m = (zg_map_t){ .max = m->max };
}
