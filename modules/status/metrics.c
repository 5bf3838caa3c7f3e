/* Prometheus' text format 0.0.4. All samples of one name stand together, so
 * the outer loops go over names and the inner ones over instances. */
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- lines ---- */

/* Says what a name means; writes the name to be used into `name`. */
static int family(zg_buf_t *out, char name[160], const char *prefix, const char *row,
                  zg_counter_kind_t kind, const char *doc)
{
	size_t n = strlen(row);
	bool says = n >= 6 && strcmp(row + n - 6, "_total") == 0;
	int rc = 0;

	snprintf(name, 160, "zgate_%s%s%s%s", prefix, *prefix ? "_" : "", row,
	         kind == ZG_KIND_COUNTER && !says ? "_total" : "");
	rc |= zg_buf_printf(out, "# HELP %s ", name);
	for (; doc && *doc; doc++)
		rc |= *doc == '\\' ? zg_buf_add(out, "\\\\", 2) :
		      *doc == '\n' ? zg_buf_add(out, "\\n", 2) : zg_buf_add(out, doc, 1);
	rc |= zg_buf_printf(out, "\n# TYPE %s %s\n", name,
	                    kind == ZG_KIND_COUNTER ? "counter" : "gauge");
	return rc;
}

static int label(zg_buf_t *out, const char *name, const char *value)
{
	bool utf8 = zg_utf8_valid(zg_str(value));
	int rc = zg_buf_printf(out, "%s=\"", name);

	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			rc |= zg_buf_printf(out, "\\%c", *value);
		else if (*value == '\n')
			rc |= zg_buf_add(out, "\\n", 2);
		else
			rc |= zg_buf_add(out, utf8 || !(*value & 0x80) ? value : "?", 1);
	}
	return rc | zg_buf_add(out, "\"", 1);
}

/* Which instance a sample is of. The location is named as in gateway.ini, so
 * that "/x" and "= /x" are two. */
static int labels_of(zg_buf_t *out, const zg_instance_t *in)
{
	int rc;

	if (!in->location)
		return label(out, "service", in->module->name);
	rc = label(out, "location", in->location->name);
	rc |= zg_buf_add(out, ",", 1);
	return rc | label(out, "bridge", in->module->name);
}

static int sample(zg_buf_t *out, const char *name, const zg_instance_t *in, uint64_t value)
{
	int rc = zg_buf_printf(out, "%s{", name);

	rc |= labels_of(out, in);
	return rc | zg_buf_printf(out, "} %" PRIu64 "\n", value);
}

/* ---- the parts ---- */

static int write_process(const zg_worker_t *w, zg_buf_t *out)
{
	status_process_t p = status_process_read(w);
	char name[160];
	int rc = family(out, name, "", "build_info", ZG_KIND_GAUGE, "Always 1; the version is a label.");

	rc |= zg_buf_printf(out, "%s{", name);
	rc |= label(out, "version", zg_worker_version());
	rc |= zg_buf_add(out, "} 1\n", 4);
	rc |= family(out, name, "", "uptime_seconds", ZG_KIND_GAUGE, "Time since the gateway started.");
	rc |= zg_buf_printf(out, "%s %" PRIu64 ".%03u\n", name, p.uptime_ms / 1000,
	                    (unsigned)(p.uptime_ms % 1000));
	rc |= family(out, name, "", "memory_bytes", ZG_KIND_GAUGE, "Resident memory.");
	rc |= zg_buf_printf(out, "%s %" PRIu64 "\n", name, p.memory_bytes);
	rc |= family(out, name, "", "descriptors", ZG_KIND_GAUGE, "File descriptors open now.");
	rc |= zg_buf_printf(out, "%s %" PRIu64 "\n", name, p.descriptors);
	rc |= family(out, name, "", "descriptors_max", ZG_KIND_GAUGE, "File descriptors that may be open.");
	rc |= zg_buf_printf(out, "%s %" PRIu64 "\n", name, p.descriptors_max);
	rc |= family(out, name, "", "draining", ZG_KIND_GAUGE, "1 while the gateway shuts down.");
	return rc | zg_buf_printf(out, "%s %d\n", name, w->draining);
}

static int write_worker(const zg_worker_t *w, zg_buf_t *out)
{
	char name[160];
	int rc = 0;

	for (const zg_counter_t *row = zg_worker_counter_rows; row->name; row++) {
		rc |= family(out, name, "", row->name, row->kind, row->doc);
		rc |= zg_buf_printf(out, "%s %" PRIu64 "\n", name, zg_counter_value(row, &w->counts));
	}
	return rc;
}

static int write_locations(const zg_worker_t *w, zg_buf_t *out)
{
	char name[160];
	int rc = 0;

	for (const zg_counter_t *row = zg_location_counter_rows; row->name; row++) {
		if (row->kind == ZG_KIND_HISTOGRAM)
			continue;
		rc |= family(out, name, "", row->name, row->kind, row->doc);
		for (size_t i = 0; i < w->conf->locations; i++)
			if (w->location[i])
				rc |= sample(out, name, w->location[i],
				             zg_counter_value(row, w->location[i]->common));
	}
	return rc;
}

static bool in_use(const zg_worker_t *w, const zg_module_t *module)
{
	const zg_instance_t *in;

	for (size_t i = 0; (in = status_instance(w, i)); i++)
		if (in->module == module)
			return true;
	return false;
}

static int write_module(const zg_worker_t *w, const zg_module_t *module, zg_buf_t *out)
{
	const zg_instance_t *in;
	char name[160];
	int rc = 0;

	for (const zg_counter_t *row = module->counters; row && row->name; row++) {
		rc |= family(out, name, module->name, row->name, row->kind, row->doc);
		for (size_t i = 0; (in = status_instance(w, i)); i++)
			if (in->module == module)
				rc |= sample(out, name, in, zg_counter_value(row, in->counts));
	}
	return rc;
}

/* ---- sockets ---- */

static const struct field {
	const char *name;
	zg_counter_kind_t kind;
	const char *doc;
} fields[] = {
	{ "peers", ZG_KIND_GAUGE, "ZeroMQ peers connected now." },
	{ "sent", ZG_KIND_COUNTER, "ZeroMQ messages handed to the socket." },
	{ "received", ZG_KIND_COUNTER, "ZeroMQ messages received." },
	{ "discarded", ZG_KIND_COUNTER, "ZeroMQ messages discarded because they had too many frames." },
	{ "disconnects", ZG_KIND_COUNTER, "ZeroMQ peers lost." },
	{ "handshakes_failed", ZG_KIND_COUNTER, "ZeroMQ peers refused, for instance of a wrong type." },
};

/* All sockets of one directive: an instance may open one for each endpoint,
 * and two samples with equal labels would spoil the whole document. */
typedef struct tally {
	const zg_instance_t *in;
	const char *directive, *type;
	uint64_t value[ZG_COUNT_OF(fields)];
} tally_t;

typedef struct tallies {
	tally_t *item;
	size_t count, room;
} tallies_t;

/* The sockets of an instance stand together, at the end. */
static tally_t *tally_for(tallies_t *t, const zg_instance_t *in, const zg_socket_info_t *info)
{
	for (size_t i = t->count; i > 0 && t->item[i - 1].in == in; i--)
		if (strcmp(t->item[i - 1].directive, info->name) == 0 &&
		    strcmp(t->item[i - 1].type, info->type) == 0)
			return &t->item[i - 1];
	if (t->count == t->room) {
		size_t room = t->room ? t->room * 2 : 16;
		tally_t *item = reallocarray(t->item, room, sizeof *item);

		if (!item)
			return NULL;
		t->item = item;
		t->room = room;
	}
	t->item[t->count] = (tally_t){ .in = in, .directive = info->name, .type = info->type };
	return &t->item[t->count++];
}

static int tally_sockets(tallies_t *t, const zg_instance_t *in)
{
	for (zg_socket_t *s = NULL; (s = zg_socket_next(in, s));) {
		zg_socket_info_t info;
		tally_t *tally;

		zg_socket_describe(s, &info);
		tally = tally_for(t, in, &info);
		if (!tally)
			return -1;
		tally->value[0] += info.peers;
		tally->value[1] += info.sent;
		tally->value[2] += info.received;
		tally->value[3] += info.discarded;
		tally->value[4] += info.disconnects;
		tally->value[5] += info.handshakes_failed;
	}
	return 0;
}

static int write_tallies(const tallies_t *t, zg_buf_t *out)
{
	char name[160];
	int rc = 0;

	for (size_t f = 0; t->count && f < ZG_COUNT_OF(fields); f++) {
		rc |= family(out, name, "socket", fields[f].name, fields[f].kind, fields[f].doc);
		for (size_t i = 0; i < t->count; i++) {
			const tally_t *tally = &t->item[i];

			rc |= zg_buf_printf(out, "%s{", name);
			rc |= labels_of(out, tally->in);
			rc |= zg_buf_add(out, ",", 1);
			rc |= label(out, "socket", tally->directive);
			rc |= zg_buf_add(out, ",", 1);
			rc |= label(out, "type", tally->type);
			rc |= zg_buf_printf(out, "} %" PRIu64 "\n", tally->value[f]);
		}
	}
	return rc;
}

static int write_sockets(const zg_worker_t *w, zg_buf_t *out)
{
	const zg_instance_t *in;
	tallies_t t = { 0 };
	int rc = 0;

	for (size_t i = 0; (in = status_instance(w, i)); i++)
		rc |= tally_sockets(&t, in);
	rc |= write_tallies(&t, out);
	free(t.item);
	return rc;
}

int status_metrics_write(const zg_worker_t *w, zg_buf_t *out)
{
	const zg_modules_t *modules = w->conf->modules;
	int rc = write_process(w, out);

	rc |= write_worker(w, out);
	rc |= write_locations(w, out);
	for (size_t i = 0; i < modules->count; i++)
		if (in_use(w, modules->item[i]))
			rc |= write_module(w, modules->item[i], out);
	return rc | write_sockets(w, out);
}
