/* config_fixture: a prefix of its own, files in it, and modules to configure:
 * asks (needs a socket), news (needs a list), calm (nothing), and the service
 * ticker, whose check hook refuses seven seconds. */
#ifndef ZG_TESTS_CONFIG_FIXTURE_H
#define ZG_TESTS_CONFIG_FIXTURE_H

#include "engine/conf.h"
#include <stdio.h>

struct asks {
	zg_endpoints_t req;
	uint64_t timeout, limit;
	int64_t queue;
	bool loud;
	const char *greeting, *root;
	int mood;
};
struct news {
	zg_list_t topics;
};
struct ticker {
	uint64_t step;
};

typedef struct fixture {
	char prefix[64];
	char errors[8192]; /* of the last load, one a line */
} fixture_t;

fixture_t fixture_new(void);
void fixture_free(fixture_t *f);
void fixture_write(const fixture_t *f, const char *name, const char *text);
void fixture_write_n(const fixture_t *f, const char *name, const char *text, size_t n);
/* file NULL: none; set: of -g, NULL-terminated, or NULL. */
zg_conf_t *fixture_load(fixture_t *f, const char *file, const char *const *set);
/* The items, parted by blanks, in a buffer that the next call uses again. */
const char *fixture_list(const zg_list_t *list);

#endif
