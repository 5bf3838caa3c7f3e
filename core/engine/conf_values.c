/* What a row's type cannot say of single values. */
#include "engine/conf_load.h"
#include "engine/endpoint.h"
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

static void check_listen(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *e, zg_list_t *list,
                         size_t at)
{
	const char *word = list->item[at];
	zg_err_t err;

	if (!strcmp(word, "tls"))
		zg_conf_error_at(l, part, e, "TLS is not in this version; remove \"tls\"");
	else if (zg_endpoint_check_listen(zg_str(word), &err) < 0)
		zg_conf_error_at(l, part, e, "%s", err.text);
	else
		for (size_t i = 0; i < at; i++)
			if (!strcmp(list->item[i], word) && !strstr(word, ":0"))
				zg_conf_error_at(l, part, e, "%s is given twice; remove one", word);
}

static void check_load_module(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *e,
                              zg_list_t *list, size_t at)
{
	size_t size = strlen(l->options->prefix) + strlen(list->item[at]) + 2;
	zg_err_t err;

	if (list->item[at][0] != '/') {
		char *path = zg_pool_alloc(l->conf->pool, size);

		if (!path) {
			zg_conf_no_memory(l);
			return;
		}
		snprintf(path, size, "%s/%s", l->options->prefix, list->item[at]);
		list->item[at] = path;
	}
	if (zg_modules_load(l->conf->modules, list->item[at], &err) < 0)
		zg_conf_error_at(l, part, e, "%s", err.text);
}

static void check_method(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *e, zg_list_t *list,
                         size_t at)
{
	static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" };
	zg_suggest_t near = { .word = zg_str(list->item[at]) };
	char text[256];

	if (zg_method_bit(near.word))
		return;
	for (size_t i = 0; i < ZG_COUNT_OF(known); i++)
		zg_suggest_add(&near, known[i]);
	zg_conf_error_at(l, part, e, "\"%s\" is no method%s", list->item[at],
	                 zg_suggest_text(&near, "; write GET, HEAD, POST, PUT, DELETE, PATCH or "
	                                 "OPTIONS", text));
}

/* RFC 6454, 6.2: an origin is scheme, host and port, or "null", which pages
 * send that come from a file. */
static const char *wrong_origin(const char *s)
{
	static const char form[] = "write https://HOST[:PORT], or * for all";
	size_t scheme = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
	const char *host = s + scheme + 3;
	size_t n;

	if (!strcmp(s, "*") || !strcmp(s, "null"))
		return NULL;
	if (!scheme || strncmp(s + scheme, "://", 3))
		return form;
	n = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":/?#@*]");
	if (host[0] == '[')
		n += host[n] == ']';
	if (n && host[n] == '/')
		return "an origin ends after host and port; remove what begins with \"/\"";
	if (n && host[n] == ':' && host[n + 1])
		n += 1 + strspn(host + n + 1, "0123456789");
	return n && !host[n] ? NULL : form;
}

static void check_origin(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *e, zg_list_t *list,
                         size_t at)
{
	const char *wrong = wrong_origin(list->item[at]);

	if (wrong)
		zg_conf_error_at(l, part, e, "\"%s\" is no origin; %s", list->item[at], wrong);
}

/* Two sockets cannot bind one endpoint: say so here, where both places are
 * known, and not when the second fails to open. */
static void check_bound(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *e,
                        const zg_endpoint_t *endpoint)
{
	zg_bound_t *b;
	char place[512];

	if (!endpoint->bind || zg_endpoint_is_wildcard(zg_str(endpoint->address)))
		return;
	for (b = l->bound; b; b = b->next)
		if (!strcmp(b->address, endpoint->address)) {
			zg_conf_error_at(l, part, e, "%s is bound twice; the first is `%s` of [%s] at %s",
			                 endpoint->address, b->entry->name, b->part->raw->name,
			                 zg_conf_place(b->entry->file, b->entry->line, place));
			return;
		}
	b = zg_pool_alloc(l->conf->pool, sizeof(*b));
	if (!b) {
		zg_conf_no_memory(l);
		return;
	}
	*b = (zg_bound_t){ l->bound, endpoint->address, part, e };
	l->bound = b;
}

static const struct {
	const zg_directive_t *rows;
	const char *name;
	void (*check)(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *e, zg_list_t *list,
	              size_t at);
} checks[] = {
	{ zg_conf_gateway_rows, "listen", check_listen },
	{ zg_conf_gateway_rows, "load_module", check_load_module },
	{ zg_conf_location_rows, "methods", check_method },
	{ zg_conf_location_rows, "origins", check_origin },
};

/* Whether there is such a user or group. */
static void check_name(zg_load_t *l, const zg_part_t *part, const zg_ini_entry_t *e,
                       const zg_directive_t *row, const zg_gateway_t *conf)
{
	if (row == zg_conf_find_row(zg_conf_gateway_rows, "user") && !getpwnam(conf->user))
		zg_conf_error_at(l, part, e, "there is no user \"%s\"", conf->user);
	if (row == zg_conf_find_row(zg_conf_gateway_rows, "group") && !getgrnam(conf->group))
		zg_conf_error_at(l, part, e, "there is no group \"%s\"", conf->group);
}

void zg_conf_check_value(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *entry,
                         const zg_directive_t *row, void *conf, size_t from)
{
	void *at = (char *)conf + row->offset;

	if (row->type == ZG_TYPE_SOCKET) {
		zg_endpoints_t *list = at;

		for (size_t i = from; i < list->count; i++)
			check_bound(l, part, entry, &list->item[i]);
	}
	if (row->type == ZG_TYPE_STRING)
		check_name(l, part, entry, row, conf);
	if (row->type != ZG_TYPE_LIST)
		return;
	for (size_t k = 0; k < ZG_COUNT_OF(checks); k++)
		if (zg_conf_find_row(checks[k].rows, row->name) == row)
			if (!strcmp(checks[k].name, row->name))
				for (size_t i = from; i < ((zg_list_t *)at)->count; i++)
					checks[k].check(l, part, entry, at, i);
}
