/* Every builder returns NULL when memory has run out; jansson passes that on. */
#include "status.h"

#include <jansson.h>
#include <stdlib.h>

/* Configuration may hold any bytes; JSON is UTF-8. */
static json_t *string_of(zg_str_t s)
{
	json_t *string;
	char *copy;

	if (zg_utf8_valid(s))
		return json_stringn(s.p ? s.p : "", s.n);
	copy = strndup(s.p, s.n);
	if (!copy)
		return NULL;
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	string = json_string(copy);
	free(copy);
	return string;
}

/* The words between separators, as a list of strings. */
static json_t *words(const char *list)
{
	json_t *array = json_array();
	zg_str_t rest = zg_str(list), one;

	while (array && zg_str_cut(&rest, ',', &one)) {
		if (json_array_append_new(array, string_of(zg_str_trim(one))) != 0) {
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

static json_t *listen_list(const zg_list_t *list)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < list->count; i++) {
		if (json_array_append_new(array, string_of(zg_str(list->item[i]))) != 0) {
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

static int add_counters(json_t *to, const zg_counter_t *row, const void *counts)
{
	int rc = 0;

	for (; row && counts && row->name; row++) {
		if (row->kind == ZG_KIND_HISTOGRAM)
			continue;
		rc |= json_object_set_new(to, row->name,
		                          json_integer((json_int_t)zg_counter_value(row, counts)));
	}
	return rc;
}

/* NULL when rc tells of a failure. */
static json_t *unless(int rc, json_t *object)
{
	if (rc == 0)
		return object;
	json_decref(object);
	return NULL;
}

/* The core's counters of a location, then the module's. */
static json_t *counters(const status_section_t *at)
{
	json_t *object = json_object();
	int rc = object ? 0 : -1;

	if (!at->service)
		rc |= add_counters(object, zg_location_counter_rows, &at->common);
	rc |= add_counters(object, at->rows, at->counts);
	return unless(rc, object);
}

/* ---- times ---- */

/* The bound that so many percent do not exceed; null: it is over all bounds. */
static json_t *at_most(const zg_hist_t *h, uint64_t count, unsigned percent)
{
	uint64_t need = (count * percent + 99) / 100, n = 0;

	for (unsigned i = 0; i < ZG_HIST_BOUNDS; i++)
		if ((n += h->bucket[i]) >= need)
			return json_integer((json_int_t)zg_hist_bounds_us[i]);
	return json_null();
}

/* Only what happened: bounds without any are left out. */
static json_t *buckets(const zg_hist_t *h)
{
	json_t *array = json_array();
	int rc = array ? 0 : -1;

	for (unsigned i = 0; i <= ZG_HIST_BOUNDS; i++)
		if (h->bucket[i])
			rc |= json_array_append_new(array, json_pack("{s:o, s:I}",
				"up_to_us", i < ZG_HIST_BOUNDS ? json_integer((json_int_t)zg_hist_bounds_us[i])
				                               : json_null(),
				"count", (json_int_t)h->bucket[i]));
	return unless(rc, array);
}

static json_t *histogram(const zg_hist_t *h)
{
	uint64_t n = zg_hist_count(h);

	if (n == 0)
		return json_pack("{s:i, s:i, s:[]}", "count", 0, "sum_us", 0, "buckets");
	return json_pack("{s:I, s:I, s:o, s:{s:o, s:o, s:o}}", "count", (json_int_t)n,
	                 "sum_us", (json_int_t)h->sum_us, "buckets", buckets(h),
	                 "at_most_us", "p50", at_most(h, n, 50), "p90", at_most(h, n, 90),
	                 "p99", at_most(h, n, 99));
}

static int add_times(json_t *to, const zg_counter_t *row, const void *counts)
{
	int rc = 0;

	for (; row && counts && row->name; row++)
		if (row->kind == ZG_KIND_HISTOGRAM)
			rc |= json_object_set_new(to, row->name, histogram(zg_counter_hist(row, counts)));
	return rc;
}

static json_t *times(const status_section_t *at)
{
	json_t *object = json_object();
	int rc = object ? 0 : -1;

	rc |= add_times(object, zg_location_counter_rows, &at->common);
	rc |= add_times(object, at->rows, at->counts);
	return unless(rc, object);
}

/* ---- sockets ---- */

/* The core writes "bind tcp://…, bind tcp://…". `bound` says that already,
 * unless the socket does both. */
static json_t *endpoints(const char *opened)
{
	bool both = strstr(opened, "bind ") && strstr(opened, "connect ");
	zg_buf_t plain = ZG_BUF(4096);
	zg_str_t rest = zg_str(opened), one;
	json_t *string;
	int rc = 0;

	while (zg_str_cut(&rest, ',', &one)) {
		const char *blank;

		one = zg_str_trim(one);
		blank = memchr(one.p, ' ', one.n);
		if (blank && !both)
			one = zg_str_n(blank + 1, one.n - (size_t)(blank + 1 - one.p));
		rc |= zg_buf_printf(&plain, "%s%.*s", plain.len ? ", " : "", ZG_STR_ARG(one));
	}
	string = rc == 0 ? string_of(zg_buf_str(&plain)) : NULL;
	zg_buf_free(&plain);
	return string;
}

static json_t *endpoint_list(const status_socket_t *s, uint64_t now)
{
	json_t *array = json_array();
	int rc = array ? 0 : -1;

	for (const status_endpoint_t *e = s->endpoint; e; e = e->next) {
		const zg_endpoint_info_t *i = &e->info;

		rc |= json_array_append_new(array, json_pack("{s:o, s:b, s:s, s:I, s:s, s:I, s:I, s:I, s:I}",
			"endpoint", string_of(zg_str(i->address)), "bound", (int)i->bound,
			"state", zg_endpoint_state_name(i->state),
			"since_ms", (json_int_t)(now > i->since ? now - i->since : 0), "detail", i->text,
			"peers", (json_int_t)i->peers, "attempts", (json_int_t)i->attempts,
			"disconnects", (json_int_t)i->disconnects,
			"handshakes_failed", (json_int_t)i->handshakes_failed));
	}
	return unless(rc, array);
}

static json_t *sockets(const status_section_t *at, uint64_t now)
{
	json_t *array = json_array();
	int rc = array ? 0 : -1;

	for (const status_socket_t *s = at->socket; s; s = s->next) {
		const zg_socket_info_t *i = &s->info;

		rc |= json_array_append_new(array, json_pack(
			"{s:s, s:s, s:o, s:o, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:o}",
			"directive", s->directive, "type", s->type, "endpoints", endpoints(i->endpoints),
			"state", string_of(zg_str(i->state)), "peers", (json_int_t)i->peers,
			"bound", (int)i->bound, "sent", (json_int_t)i->sent,
			"received", (json_int_t)i->received, "discarded", (json_int_t)i->discarded,
			"disconnects", (json_int_t)i->disconnects,
			"handshakes_failed", (json_int_t)i->handshakes_failed,
			"states", endpoint_list(s, now)));
	}
	return unless(rc, array);
}

/* ---- the document ---- */

static json_t *describe(const status_section_t *at, uint64_t now)
{
	char methods[64];

	if (at->service)
		return json_pack("{s:s, s:o, s:o}", "name", at->name, "counters", counters(at),
		                 "sockets", sockets(at, now));
	return json_pack("{s:o, s:b, s:s, s:o, s:o*, s:o, s:o, s:o}",
	                 "path", string_of(zg_str(at->path)), "exact", (int)at->exact,
	                 "bridge", at->module, "methods", words(zg_method_list(at->method_bits, methods)),
	                 "client_queue", at->websocket ? json_integer((json_int_t)at->client_queue) : NULL,
	                 "counters", counters(at), "times", times(at), "sockets", sockets(at, now));
}

enum which { LOCATIONS, SERVICES, LEAVING };

static enum which which(const status_section_t *at)
{
	return at->leaving ? LEAVING : at->service ? SERVICES : LOCATIONS;
}

static json_t *sections(const status_snapshot_t *s, enum which wanted, uint64_t now)
{
	json_t *array = json_array();
	int rc = array ? 0 : -1;

	for (const status_section_t *at = s->first; at; at = at->next)
		if (which(at) == wanted)
			rc |= json_array_append_new(array, describe(at, now));
	return unless(rc, array);
}

static json_t *worker_counters(const zg_worker_counts_t *counts)
{
	json_t *object = json_object();

	return unless(object ? add_counters(object, zg_worker_counter_rows, counts) : -1, object);
}

static json_t *workers(const status_snapshot_t *s)
{
	json_t *array = json_array();
	int rc = array ? 0 : -1;

	for (unsigned i = 0; i < s->workers; i++)
		rc |= json_array_append_new(array, worker_counters(&s->worker[i]));
	return unless(rc, array);
}

static json_t *process(const zg_worker_t *w)
{
	status_process_t p = status_process_read(w);

	return json_pack("{s:s, s:{s:s, s:s}, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o}",
	                 "version", zg_worker_version(),
	                 "build", "compiler", zg_worker_compiler(), "libraries", zg_worker_libraries(),
	                 "pid", p.pid, "uptime_ms", (json_int_t)p.uptime_ms,
	                 "configured_ms", (json_int_t)p.configured_ms,
	                 "reloads", (json_int_t)p.reloads,
	                 "reloads_failed", (json_int_t)p.reloads_failed,
	                 "memory_bytes", (json_int_t)p.memory_bytes,
	                 "descriptors", (json_int_t)p.descriptors,
	                 "descriptors_max", (json_int_t)p.descriptors_max,
	                 "draining", (int)p.draining,
	                 "listen", listen_list(&w->conf->gateway.listen));
}

static int append(const char *text, size_t n, void *out)
{
	return zg_buf_add(out, text, n);
}

int status_json_write(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out)
{
	uint64_t now = zg_loop_now(w->loop);
	json_t *all = process(w);
	int rc = all ? 0 : -1;

	rc |= json_object_set_new(all, "worker", worker_counters(&s->all));
	rc |= json_object_set_new(all, "workers", json_integer(s->workers));
	rc |= json_object_set_new(all, "per_worker", workers(s));
	rc |= json_object_set_new(all, "locations", sections(s, LOCATIONS, now));
	rc |= json_object_set_new(all, "services", sections(s, SERVICES, now));
	rc |= json_object_set_new(all, "leaving", sections(s, LEAVING, now));
	if (rc == 0)
		rc = json_dump_callback(all, append, out, JSON_INDENT(2));
	json_decref(all);
	return rc | zg_buf_add(out, "\n", 1);
}
