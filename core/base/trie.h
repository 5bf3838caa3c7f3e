/* trie: topic prefixes to sets of subscribers. A radix trie over bytes: a
 * subscription to "A" matches every topic that begins with "A", and the empty
 * one matches everything, as in ZeroMQ. Holds (prefix, subscriber) pairs,
 * each once; borrows subscribers, which are not NULL. One thread.
 * Work per match grows with the topic's length and with the matches, not with
 * the subscriptions; adding and removing a pair cost the prefix's length and
 * O(1) expected for the subscriber, however many share the prefix. */
#ifndef ZG_BASE_TRIE_H
#define ZG_BASE_TRIE_H

#include "base/str.h"
#include <stdint.h>

typedef struct zg_trie zg_trie_t;

zg_trie_t *zg_trie_new(size_t max_prefixes);
void zg_trie_free(zg_trie_t **t);
/* 1: the prefix is new in the trie, 0: added to one that was there, or the
 * pair existed; -1: max_prefixes reached (errno ENOSPC) or ENOMEM. */
int zg_trie_add(zg_trie_t *t, zg_str_t prefix, void *subscriber);
/* 1: that was the prefix's last subscriber, 0: others remain, -1: no such pair. */
int zg_trie_remove(zg_trie_t *t, zg_str_t prefix, void *subscriber);
/* Calls fn once for every (prefix, subscriber) pair whose prefix begins
 * `topic`: a subscriber with two matching prefixes is called twice. fn must
 * not change the trie. */
void zg_trie_match(const zg_trie_t *t, zg_str_t topic, void (*fn)(void *ctx, void *subscriber),
                   void *ctx);
/* Every distinct prefix, in byte order; the string is valid during the call. */
void zg_trie_each(const zg_trie_t *t, void (*fn)(void *ctx, zg_str_t prefix, size_t subscribers),
                  void *ctx);
size_t zg_trie_prefixes(const zg_trie_t *t);

#endif
