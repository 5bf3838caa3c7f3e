#include "engine/directive.h"
#include "engine/endpoint.h"
#include "base/unit.h"
#include <stdio.h>

static void *field(const zg_directive_t *row, void *conf)
{
	return (char *)conf + row->offset;
}

/* Lists are separated by blanks and commas. */
static bool next_word(zg_str_t *rest, zg_str_t *word)
{
	size_t i = 0;

	while (rest->n && strchr(" \t,", rest->p[0]))
		*rest = zg_str_n(rest->p + 1, rest->n - 1);
	while (i < rest->n && !strchr(" \t,", rest->p[i]))
		i++;
	*word = zg_str_n(rest->p, i);
	*rest = zg_str_n(rest->p + i, rest->n - i);
	return i > 0;
}

/* A copy of the array with room for one more; what was there stays valid. */
static void *grown(const void *items, size_t count, size_t size, zg_pool_t *pool)
{
	void *more = zg_pool_alloc(pool, (count + 1) * size);

	if (more && count)
		memcpy(more, items, count * size);
	return more;
}

static int no_memory(zg_err_t *err)
{
	return zg_err(err, "out of memory");
}

/* Compares in the row's own notation, so that the sentence does too. */
static int check_bounds(const zg_directive_t *row, zg_str_t text, zg_err_t *err,
                        int (*compare)(zg_str_t a, const char *b))
{
	if (row->min && compare(text, row->min) < 0)
		return zg_err(err, "%.*s is under the minimum of %s", ZG_STR_ARG(text), row->min);
	if (row->max && compare(text, row->max) > 0)
		return zg_err(err, "%.*s is over the maximum of %s", ZG_STR_ARG(text), row->max);
	return 0;
}

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

static int compare_msec(zg_str_t a, const char *b)
{
	uint64_t x = 0, y = 0;

	zg_unit_msec(a, &x, NULL);
	zg_unit_msec(zg_str(b), &y, NULL);
	return ORDER(x, y);
}

static int compare_size(zg_str_t a, const char *b)
{
	uint64_t x = 0, y = 0;

	zg_unit_size(a, &x, NULL);
	zg_unit_size(zg_str(b), &y, NULL);
	return ORDER(x, y);
}

static int compare_int(zg_str_t a, const char *b)
{
	int64_t x = 0, y = 0;

	zg_unit_int(a, &x, NULL);
	zg_unit_int(zg_str(b), &y, NULL);
	return ORDER(x, y);
}

static int set_msec(const zg_directive_t *row, uint64_t *to, zg_str_t text, zg_err_t *err)
{
	uint64_t value;

	if (zg_unit_msec(text, &value, NULL) < 0)
		return zg_err(err, "\"%.*s\" is no time; write 250ms, 5s, 2m or 1h", ZG_STR_ARG(text));
	if (check_bounds(row, text, err, compare_msec) < 0)
		return -1;
	*to = value;
	return 0;
}

static int set_size(const zg_directive_t *row, uint64_t *to, zg_str_t text, zg_err_t *err)
{
	uint64_t value;

	if (zg_unit_size(text, &value, NULL) < 0)
		return zg_err(err, "\"%.*s\" is no size; write 512, 64k, 10m or 1g", ZG_STR_ARG(text));
	if (check_bounds(row, text, err, compare_size) < 0)
		return -1;
	*to = value;
	return 0;
}

static int set_int(const zg_directive_t *row, int64_t *to, zg_str_t text, zg_err_t *err)
{
	const char *word = row->choices ? row->choices[0] : NULL;
	int64_t value;

	if (word && zg_str_eq(text, zg_str(word))) {
		*to = 0;
		return 0;
	}
	if (zg_unit_int(text, &value, NULL) < 0)
		return zg_err(err, "\"%.*s\" is no whole number%s%s", ZG_STR_ARG(text),
		              word ? ", nor " : "", word ? word : "");
	if (check_bounds(row, text, err, compare_int) < 0)
		return -1;
	*to = value;
	return 0;
}

static int set_enum(const zg_directive_t *row, int *to, zg_str_t text, zg_err_t *err)
{
	zg_buf_t all = ZG_BUF(256);

	for (int i = 0; row->choices[i]; i++)
		if (zg_str_eq(text, zg_str(row->choices[i]))) {
			*to = i;
			zg_buf_free(&all);
			return 0;
		} else {
			zg_buf_printf(&all, "%s%s", !i ? "" : row->choices[i + 1] ? ", " : " or ",
			              row->choices[i]);
		}
	zg_err(err, "\"%.*s\" is none of its values; write %.*s", ZG_STR_ARG(text),
	       ZG_STR_ARG(zg_buf_str(&all)));
	zg_buf_free(&all);
	return -1;
}

/* Without a prefix (no configuration at hand) a path stays as it is. */
static const char *absolute(zg_str_t path, const char *prefix, zg_pool_t *pool)
{
	zg_str_t base = zg_str(prefix);
	char *whole;

	if (!prefix || (path.n && path.p[0] == '/'))
		return zg_pool_strdup(pool, path);
	whole = zg_pool_alloc(pool, base.n + 1 + path.n + 1);
	if (!whole)
		return NULL;
	memcpy(whole, base.p, base.n);
	whole[base.n] = '/';
	memcpy(whole + base.n + 1, path.p, path.n);
	return whole;
}

static const char *path(const zg_directive_t *row, zg_str_t text, const char *prefix,
                        zg_pool_t *pool)
{
	for (size_t i = 0; row->choices && row->choices[i]; i++)
		if (zg_str_eq(text, zg_str(row->choices[i])))
			return row->choices[i];
	return absolute(text, prefix, pool);
}

static int set_string(const char **to, const char *value, zg_err_t *err)
{
	if (!value)
		return no_memory(err);
	*to = value;
	return 0;
}

static int add_word(zg_list_t *list, zg_str_t word, zg_pool_t *pool, zg_err_t *err)
{
	const char **item = grown(list->item, list->count, sizeof(*item), pool);

	if (!item || !(item[list->count] = zg_pool_strdup(pool, word)))
		return no_memory(err);
	list->item = item;
	list->count++;
	return 0;
}

static int set_list(zg_list_t *list, zg_str_t text, zg_pool_t *pool, zg_err_t *err)
{
	zg_str_t word;
	size_t before = list->count;

	while (next_word(&text, &word))
		if (add_word(list, word, pool, err) < 0)
			return -1;
	return list->count > before ? 0 : zg_err(err, "has no value");
}

static int add_net(zg_nets_t *nets, zg_str_t word, zg_pool_t *pool, zg_err_t *err)
{
	zg_net_t *item = grown(nets->item, nets->count, sizeof(*item), pool);

	if (!item)
		return no_memory(err);
	if (zg_net_parse(word, &item[nets->count], NULL) < 0)
		return zg_err(err, "\"%.*s\" is no address block; write 10.0.0.0/8, ::1, unix: or all",
		              ZG_STR_ARG(word));
	nets->item = item;
	nets->count++;
	return 0;
}

static int set_nets(zg_nets_t *nets, zg_str_t text, zg_pool_t *pool, zg_err_t *err)
{
	zg_str_t word;
	size_t before = nets->count;

	while (next_word(&text, &word))
		if (add_net(nets, word, pool, err) < 0)
			return -1;
	return nets->count > before ? 0 : zg_err(err, "has no value");
}

/* ipc://x.sock lies under the prefix as every relative path does; @ is
 * Linux's abstract name space, * a name that libzmq makes. */
static const char *endpoint_address(zg_str_t word, const char *prefix, zg_pool_t *pool)
{
	zg_str_t path = zg_str_n(word.p + 6, word.n > 6 ? word.n - 6 : 0);
	char *whole;

	if (!prefix || !path.n || !zg_str_starts(word, ZG_STR("ipc://")) || strchr("/@*", path.p[0]))
		return zg_pool_strdup(pool, word);
	whole = zg_pool_alloc(pool, word.n + strlen(prefix) + 2);
	if (!whole)
		return NULL;
	sprintf(whole, "ipc://%s/%.*s", prefix, ZG_STR_ARG(path));
	return whole;
}

static int add_endpoint(zg_endpoints_t *list, zg_endpoint_use_t use, zg_str_t word,
                        const char *prefix, zg_pool_t *pool, zg_err_t *err)
{
	zg_endpoint_t *item = grown(list->item, list->count, sizeof(*item), pool);
	const char *address = endpoint_address(word, prefix, pool);

	if (!item || !address)
		return no_memory(err);
	if (zg_endpoint_check(zg_str(address), use, err) < 0)
		return -1;
	item[list->count] = (zg_endpoint_t){ .bind = use == ZG_ENDPOINT_BIND, .address = address };
	list->item = item;
	list->count++;
	return 0;
}

static bool is_verb(zg_str_t word)
{
	return zg_str_eq(word, ZG_STR("connect")) || zg_str_eq(word, ZG_STR("bind"));
}

static int set_endpoints(zg_endpoints_t *list, zg_str_t text, const char *prefix, zg_pool_t *pool,
                         zg_err_t *err)
{
	zg_endpoint_use_t use;
	zg_str_t whole = text, word;
	size_t before = list->count;

	if (!next_word(&text, &word) || !is_verb(word))
		return zg_err(err, "\"%.*s\" does not begin with connect or bind; write e.g. `connect "
		              "tcp://127.0.0.1:5555`", ZG_STR_ARG(whole));
	use = zg_str_eq(word, ZG_STR("bind")) ? ZG_ENDPOINT_BIND : ZG_ENDPOINT_CONNECT;
	while (next_word(&text, &word)) {
		if (is_verb(word))
			return zg_err(err, "connect and bind stand on one line; repeat the directive for "
			              "the second");
		if (add_endpoint(list, use, word, prefix, pool, err) < 0)
			return -1;
	}
	if (list->count == before)
		return zg_err(err, "names no endpoint; write e.g. `%s tcp://127.0.0.1:5555`",
		              use == ZG_ENDPOINT_BIND ? "bind" : "connect");
	return 0;
}

int zg_directive_set(const zg_directive_t *row, void *conf, zg_str_t text, const char *prefix,
                     zg_pool_t *pool, zg_err_t *err)
{
	void *to = field(row, conf);

	text = zg_str_trim(text);
	if (!text.n)
		return zg_err(err, "has no value");
	switch (row->type) {
	case ZG_TYPE_MSEC:   return set_msec(row, to, text, err);
	case ZG_TYPE_SIZE:   return set_size(row, to, text, err);
	case ZG_TYPE_INT:    return set_int(row, to, text, err);
	case ZG_TYPE_BOOL:
		return zg_unit_bool(text, to, NULL) < 0
		               ? zg_err(err, "\"%.*s\" is neither yes nor no", ZG_STR_ARG(text)) : 0;
	case ZG_TYPE_STRING: return set_string(to, zg_pool_strdup(pool, text), err);
	case ZG_TYPE_PATH:   return set_string(to, path(row, text, prefix, pool), err);
	case ZG_TYPE_ENUM:   return set_enum(row, to, text, err);
	case ZG_TYPE_LIST:   return set_list(to, text, pool, err);
	case ZG_TYPE_SOCKET: return set_endpoints(to, text, prefix, pool, err);
	case ZG_TYPE_NETS:   return set_nets(to, text, pool, err);
	}
	return zg_err(err, "has a type that this zgate does not know");
}

bool zg_directive_repeats(const zg_directive_t *row)
{
	return row->type == ZG_TYPE_LIST || row->type == ZG_TYPE_SOCKET || row->type == ZG_TYPE_NETS;
}
