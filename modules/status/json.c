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

/* The core's counters of a location, then the module's. */
static json_t *counters(const zg_instance_t *in)
{
	json_t *object = json_object();
	int rc = 0;

	if (!object)
		return NULL;
	if (in->location)
		rc |= add_counters(object, zg_location_counter_rows, in->common);
	rc |= add_counters(object, in->module->counters, in->counts);
	if (rc == 0)
		return object;
	json_decref(object);
	return NULL;
}

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

static json_t *sockets(const zg_instance_t *in)
{
	json_t *array = json_array();

	for (zg_socket_t *s = NULL; array && (s = zg_socket_next(in, s));) {
		zg_socket_info_t info;
		json_t *object;

		zg_socket_describe(s, &info);
		object = json_pack("{s:s, s:s, s:o, s:o, s:I, s:b, s:I, s:I, s:I, s:I, s:I}",
		                   "directive", info.name, "type", info.type,
		                   "endpoints", endpoints(info.endpoints),
		                   "state", string_of(zg_str(info.state)), "peers", (json_int_t)info.peers,
		                   "bound", (int)info.bound, "sent", (json_int_t)info.sent,
		                   "received", (json_int_t)info.received,
		                   "discarded", (json_int_t)info.discarded,
		                   "disconnects", (json_int_t)info.disconnects,
		                   "handshakes_failed", (json_int_t)info.handshakes_failed);
		if (json_array_append_new(array, object) != 0) {
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

static json_t *describe(const zg_instance_t *in)
{
	const zg_location_t *l = in->location;
	char methods[64];

	if (!l)
		return json_pack("{s:s, s:o, s:o}", "name", in->module->name,
		                 "counters", counters(in), "sockets", sockets(in));
	return json_pack("{s:o, s:b, s:s, s:o, s:o, s:o}", "path", string_of(l->path),
	                 "exact", (int)l->exact, "bridge", in->module->name,
	                 "methods", words(zg_method_list(l->method_bits, methods)),
	                 "counters", counters(in), "sockets", sockets(in));
}

static json_t *instances(zg_instance_t *const *list, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < n; i++) {
		if (list[i] && json_array_append_new(array, describe(list[i])) != 0) {
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

static json_t *worker_counters(const zg_worker_t *w)
{
	json_t *object = json_object();

	if (object && add_counters(object, zg_worker_counter_rows, &w->counts) != 0) {
		json_decref(object);
		object = NULL;
	}
	return object;
}

static int append(const char *text, size_t n, void *out)
{
	return zg_buf_add(out, text, n);
}

int status_json_write(const zg_worker_t *w, zg_buf_t *out)
{
	status_process_t p = status_process_read(w);
	json_t *all = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:b, s:o, s:o, s:o, s:o}",
	                        "version", zg_worker_version(), "pid", p.pid,
	                        "uptime_ms", (json_int_t)p.uptime_ms,
	                        "memory_bytes", (json_int_t)p.memory_bytes,
	                        "descriptors", (json_int_t)p.descriptors,
	                        "descriptors_max", (json_int_t)p.descriptors_max,
	                        "draining", (int)w->draining,
	                        "listen", listen_list(&w->conf->gateway.listen),
	                        "worker", worker_counters(w),
	                        "locations", instances(w->location, w->conf->locations),
	                        "services", instances(w->service, w->conf->services));
	int rc = all ? json_dump_callback(all, append, out, JSON_INDENT(2)) : -1;

	json_decref(all);
	return rc | zg_buf_add(out, "\n", 1);
}
