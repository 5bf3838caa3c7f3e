#include "base/msg.h"
#include <errno.h>
#include <stdlib.h>

zg_msg_t *zg_msg_new(size_t len)
{
	zg_msg_t *m = len <= SIZE_MAX - sizeof(*m) ? malloc(sizeof(*m) + len) : NULL;

	if (!m) {
		errno = ENOMEM;
		return NULL;
	}
	m->refs = 1;
	m->units = 1;
	m->len = len;
	return m;
}

zg_msg_t *zg_msg_copy(const void *p, size_t n)
{
	zg_msg_t *m = zg_msg_new(n);

	if (m && n)
		memcpy(m->data, p, n);
	return m;
}

void zg_msg_unref(zg_msg_t **m)
{
	if (*m && --(*m)->refs == 0)
		free(*m);
	*m = NULL;
}
