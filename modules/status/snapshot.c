#include "status.h"

#include <stdlib.h>

status_snapshot_t *status_snapshot_new(const zg_worker_t *w)
{
	status_snapshot_t *s = calloc(1, sizeof *s);

	if (s && (s->pool = zg_pool_new()) &&
	    (s->worker = zg_pool_alloc(s->pool, w->mates * sizeof *s->worker)))
		return s;
	status_snapshot_free(&s);
	return NULL;
}

void status_snapshot_free(status_snapshot_t **handle)
{
	status_snapshot_t *s = *handle;

	*handle = NULL;
	if (!s)
		return;
	zg_pool_free(&s->pool);
	free(s);
}

/* ---- memory: what fails once makes the whole snapshot fail ---- */

static void *room(status_snapshot_t *s, size_t n)
{
	void *p = zg_pool_alloc(s->pool, n);

	s->failed |= !p;
	return p;
}

static const char *copy(status_snapshot_t *s, zg_str_t text)
{
	const char *p = zg_pool_strdup(s->pool, text);

	s->failed |= !p;
	return p ? p : "";
}

/* ---- the rows of modules ---- */

static size_t rows_count(const zg_counter_t *rows)
{
	size_t n = 0;

	while (rows && rows[n].name)
		n++;
	return n;
}

static size_t limit_offset(const zg_module_t *m, size_t i)
{
	return (m->counts_size + 7) / 8 * 8 + i * sizeof(uint64_t);
}

/* A module that was loaded for a configuration goes with it, and so do its rows. */
static const zg_counter_t *copy_rows(status_snapshot_t *s, const zg_module_t *m)
{
	size_t n = rows_count(m->counters);
	zg_counter_t *to = room(s, (n + 1) * sizeof *to);

	for (size_t i = 0; to && i < n; i++) {
		to[i] = m->counters[i];
		to[i].name = copy(s, zg_str(m->counters[i].name));
		to[i].doc = copy(s, zg_str(m->counters[i].doc));
		if (to[i].kind == ZG_KIND_LIMIT)
			to[i].offset = limit_offset(m, i);
	}
	return to;
}

static const zg_counter_t *rows_of(status_snapshot_t *s, const zg_module_t *m)
{
	for (const status_section_t *at = s->first; at; at = at->next)
		if (at->rows_from == m->counters && at->counts_size == m->counts_size &&
		    strcmp(at->module, m->name) == 0)
			return at->rows;
	return copy_rows(s, m);
}

static void add_counts(status_section_t *at, const zg_instance_t *in)
{
	const zg_counter_t *rows = in->module->counters;

	zg_counters_add(at->counts, in->counts, in->module->counts_size);
	for (size_t i = 0; rows && rows[i].name; i++)
		if (rows[i].kind == ZG_KIND_LIMIT)
			*(uint64_t *)((char *)at->counts + limit_offset(in->module, i)) =
				zg_counter_value(&rows[i], in->conf);
}

/* ---- sockets ---- */

static status_socket_t *socket_at(status_snapshot_t *s, status_section_t *at,
                                  const zg_socket_info_t *info)
{
	status_socket_t **end = &at->socket, *socket;

	for (; *end; end = &(*end)->next)
		if (strcmp((*end)->directive, info->name) == 0 && strcmp((*end)->type, info->type) == 0 &&
		    strcmp((*end)->info.endpoints, info->endpoints) == 0)
			return *end;
	if (!(socket = room(s, sizeof *socket)))
		return NULL;
	socket->directive = copy(s, zg_str(info->name));
	socket->type = copy(s, zg_str(info->type));
	socket->info = *info;
	socket->info.peers = 0;
	socket->info.sent = socket->info.received = socket->info.discarded = 0;
	socket->info.disconnects = socket->info.handshakes_failed = 0;
	return *end = socket;
}

/* Each worker has a connection of its own: the worst state is told. */
static void merge_endpoint(zg_endpoint_info_t *to, const zg_endpoint_info_t *info)
{
	to->peers += info->peers;
	to->attempts += info->attempts;
	to->disconnects += info->disconnects;
	to->handshakes_failed += info->handshakes_failed;
	if (info->state < to->state || (info->state == to->state && info->since >= to->since))
		return;
	to->state = info->state;
	to->since = info->since;
	memcpy(to->text, info->text, sizeof to->text);
}

static void add_endpoints(status_snapshot_t *s, status_socket_t *socket, const zg_socket_t *from)
{
	status_endpoint_t **at = &socket->endpoint;

	for (size_t i = 0; i < zg_socket_endpoints(from); i++, at = &(*at)->next) {
		zg_endpoint_info_t info;

		zg_socket_describe_endpoint(from, i, &info);
		if (*at) {
			merge_endpoint(&(*at)->info, &info);
			continue;
		}
		if (!(*at = room(s, sizeof **at)))
			return;
		(*at)->info = info;
	}
}

static void add_sockets(status_snapshot_t *s, status_section_t *at, const zg_instance_t *in)
{
	for (zg_socket_t *from = NULL; (from = zg_socket_next(in, from));) {
		zg_socket_info_t info;
		status_socket_t *to;

		zg_socket_describe(from, &info);
		if (!(to = socket_at(s, at, &info)))
			return;
		if (*info.trouble)
			memcpy(to->info.trouble, info.trouble, sizeof info.trouble);
		to->lacking |= info.peers == 0;
		to->info.peers += info.peers;
		if (info.peers == 0) /* what is wrong is worth more than that others are well */
			memcpy(to->info.state, info.state, sizeof info.state);
		else if (!to->lacking)
			zg_socket_say_peers(&to->info);
		to->info.sent += info.sent;
		to->info.received += info.received;
		to->info.discarded += info.discarded;
		to->info.disconnects += info.disconnects;
		to->info.handshakes_failed += info.handshakes_failed;
		add_endpoints(s, to, from);
	}
}

/* ---- sections ---- */

static void fill(status_snapshot_t *s, status_section_t *at, const zg_instance_t *in)
{
	const zg_location_t *l = in->location;

	at->family = in->family->serial;
	at->module = copy(s, zg_str(in->module->name));
	at->service = !l;
	at->name = copy(s, zg_str(in->name));
	at->path = l ? copy(s, l->path) : at->name;
	at->websocket = in->module->handshake != NULL;
	at->rows = rows_of(s, in->module);
	at->rows_from = in->module->counters;
	at->counts_size = in->module->counts_size;
	at->counts = room(s, limit_offset(in->module, rows_count(at->rows) + 1));
}

/* The section of a family. Workers have them in the same order, so that it is
 * the one behind the last, or a new one; if not, all are looked at. */
static status_section_t *section_at(status_snapshot_t *s, const zg_instance_t *in)
{
	status_section_t *next = s->at ? s->at->next : s->first, *at = NULL;

	if (next && next->family == in->family->serial)
		at = next;
	for (status_section_t *any = s->first; !at && any; any = any->next)
		if (any->family == in->family->serial)
			at = any;
	if (!at && (at = room(s, sizeof *at))) {
		fill(s, at, in);
		if (s->last)
			s->last->next = at;
		else
			s->first = at;
		s->last = at;
	}
	return s->at = at;
}

static void add_instance(status_snapshot_t *s, const zg_instance_t *in)
{
	status_section_t *at = section_at(s, in);

	if (!at || s->failed)
		return;
	at->leaving |= in->dropped_until > 0;
	if (in->location) {
		at->exact = in->location->exact;
		at->method_bits = in->location->method_bits;
		at->client_queue = in->location->client_queue;
	}
	zg_counters_add(&at->common, in->common, sizeof at->common);
	add_counts(at, in);
	add_sockets(s, at, in);
}

void status_snapshot_add(status_snapshot_t *s, const zg_worker_t *w)
{
	s->workers++;
	s->worker[w->index] = w->counts;
	zg_counters_add(&s->all, &w->counts, sizeof s->all);
	s->at = NULL;
	if (!w->location)
		return; /* others have started sooner */
	for (size_t i = 0; i < w->conf->locations && !s->failed; i++)
		add_instance(s, w->location[i]);
	for (size_t i = 0; i < w->conf->services && !s->failed; i++)
		add_instance(s, w->service[i]);
	ZG_LIST_EACH(l, &w->instances) {
		const zg_instance_t *in = ZG_CONTAINER(l, zg_instance_t, link);

		if (in->dropped_until && !s->failed)
			add_instance(s, in);
	}
}
