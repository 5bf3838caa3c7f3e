/* Prometheus' text format 0.0.4. All samples of one name stand together, so
 * the outer loops go over names and the inner ones over sections. */
#include "status.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- lines ---- */

static const char *suffix(const char *row, zg_counter_kind_t kind)
{
	size_t n = strlen(row);

	if (kind == ZG_KIND_HISTOGRAM)
		return "_seconds";
	if (kind == ZG_KIND_COUNTER && (n < 6 || strcmp(row + n - 6, "_total") != 0))
		return "_total";
	return "";
}

int status_line_family(zg_buf_t *out, char name[STATUS_NAME_MAX], const char *prefix,
                       const char *row, zg_counter_kind_t kind, const char *doc)
{
	static const char *const types[] = {
		[ZG_KIND_COUNTER] = "counter", [ZG_KIND_GAUGE] = "gauge", [ZG_KIND_HISTOGRAM] = "histogram",
		[ZG_KIND_LIMIT] = "gauge",
	};
	int rc;

	snprintf(name, STATUS_NAME_MAX, "zgate_%s%s%s%s", prefix, *prefix ? "_" : "", row,
	         suffix(row, kind));
	rc = zg_buf_printf(out, "# HELP %s ", name);
	for (; doc && *doc; doc++)
		rc |= *doc == '\\' ? zg_buf_add(out, "\\\\", 2) :
		      *doc == '\n' ? zg_buf_add(out, "\\n", 2) : zg_buf_add(out, doc, 1);
	return rc | zg_buf_printf(out, "\n# TYPE %s %s\n", name, types[kind]);
}

int status_line_label(zg_buf_t *out, const char *name, const char *value)
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

/* The location is named as in gateway.ini, so that "/x" and "= /x" are two. */
int status_line_section(zg_buf_t *out, const status_section_t *at)
{
	int rc;

	if (at->service)
		return status_line_label(out, "service", at->name);
	rc = status_line_label(out, "location", at->name);
	rc |= zg_buf_add(out, ",", 1);
	return rc | status_line_label(out, "bridge", at->module);
}

static int sample(zg_buf_t *out, const char *name, const status_section_t *at, uint64_t value)
{
	int rc = zg_buf_printf(out, "%s{", name);

	rc |= status_line_section(out, at);
	return rc | zg_buf_printf(out, "} %" PRIu64 "\n", value);
}

static int part(zg_buf_t *out, const char *name, const char *what, const status_section_t *at)
{
	int rc = zg_buf_printf(out, "%s%s{", name, what);

	return rc | status_line_section(out, at);
}

static int histogram(zg_buf_t *out, const char *name, const status_section_t *at,
                     const zg_hist_t *h)
{
	uint64_t n = 0;
	int rc = 0;

	for (unsigned i = 0; i < ZG_HIST_BOUNDS; i++) {
		n += h->bucket[i];
		rc |= part(out, name, "_bucket", at);
		rc |= zg_buf_printf(out, ",le=\"%g\"} %" PRIu64 "\n", (double)zg_hist_bounds_us[i] / 1e6, n);
	}
	n += h->bucket[ZG_HIST_BOUNDS];
	rc |= part(out, name, "_bucket", at);
	rc |= zg_buf_printf(out, ",le=\"+Inf\"} %" PRIu64 "\n", n);
	rc |= part(out, name, "_sum", at);
	rc |= zg_buf_printf(out, "} %" PRIu64 ".%06u\n", h->sum_us / 1000000,
	                    (unsigned)(h->sum_us % 1000000));
	rc |= part(out, name, "_count", at);
	return rc | zg_buf_printf(out, "} %" PRIu64 "\n", n);
}

static int value(zg_buf_t *out, const char *name, const status_section_t *at,
                 const zg_counter_t *row, const void *counts)
{
	if (row->kind == ZG_KIND_HISTOGRAM)
		return histogram(out, name, at, zg_counter_hist(row, counts));
	return sample(out, name, at, zg_counter_value(row, counts));
}

/* ---- the process ---- */

static int write_build(zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = status_line_family(out, name, "", "build_info", ZG_KIND_GAUGE,
	                            "Always 1; what was built, and with what, is in the labels.");

	rc |= zg_buf_printf(out, "%s{", name);
	rc |= status_line_label(out, "version", zg_worker_version());
	rc |= zg_buf_add(out, ",", 1);
	rc |= status_line_label(out, "compiler", zg_worker_compiler());
	rc |= zg_buf_add(out, ",", 1);
	rc |= status_line_label(out, "libraries", zg_worker_libraries());
	return rc | zg_buf_add(out, "} 1\n", 4);
}

static int write_process(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out)
{
	status_process_t p = status_process_read(w);
	const struct {
		const char *name;
		zg_counter_kind_t kind;
		uint64_t value;
		bool ms; /* to be shown in seconds */
		const char *doc;
	} rows[] = {
		{ "uptime_seconds", ZG_KIND_GAUGE, p.uptime_ms, true, "Time since the gateway started." },
		{ "configured_seconds", ZG_KIND_GAUGE, p.configured_ms, true,
		  "Time since the configuration at work was loaded." },
		{ "reloads", ZG_KIND_COUNTER, p.reloads, false, "Reloads of the configuration." },
		{ "reloads_failed", ZG_KIND_COUNTER, p.reloads_failed, false,
		  "Reloads that changed nothing because of an error." },
		{ "workers", ZG_KIND_GAUGE, s->workers, false, "Worker threads." },
		{ "memory_bytes", ZG_KIND_GAUGE, p.memory_bytes, false, "Resident memory." },
		{ "descriptors", ZG_KIND_GAUGE, p.descriptors, false, "File descriptors open now." },
		{ "descriptors_max", ZG_KIND_GAUGE, p.descriptors_max, false,
		  "File descriptors that may be open." },
		{ "draining", ZG_KIND_GAUGE, p.draining, false, "1 while the gateway shuts down." },
	};
	char name[STATUS_NAME_MAX];
	int rc = write_build(out);

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		rc |= status_line_family(out, name, "", rows[i].name, rows[i].kind, rows[i].doc);
		rc |= zg_buf_printf(out, rows[i].ms ? "%s %" PRIu64 ".%03u\n" : "%s %" PRIu64 "\n", name,
		                    rows[i].ms ? rows[i].value / 1000 : rows[i].value,
		                    (unsigned)(rows[i].value % 1000));
	}
	return rc;
}

static int write_workers(const status_snapshot_t *s, zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = 0;

	for (const zg_counter_t *row = zg_worker_counter_rows; row->name; row++) {
		rc |= status_line_family(out, name, "", row->name, row->kind, row->doc);
		for (unsigned i = 0; i < s->workers; i++)
			rc |= zg_buf_printf(out, "%s{worker=\"%u\"} %" PRIu64 "\n", name, i,
			                    zg_counter_value(row, &s->worker[i]));
	}
	return rc;
}

/* ---- locations and modules ---- */

static int write_locations(const status_snapshot_t *s, zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = 0;

	for (const zg_counter_t *row = zg_location_counter_rows; row->name; row++) {
		rc |= status_line_family(out, name, "", row->name, row->kind, row->doc);
		for (const status_section_t *at = s->first; at; at = at->next)
			if (!at->service && !at->leaving)
				rc |= value(out, name, at, row, &at->common);
	}
	return rc;
}

static int write_queues(const status_snapshot_t *s, zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = 0;
	bool said = false;

	for (const status_section_t *at = s->first; at; at = at->next) {
		if (!at->websocket || at->leaving)
			continue;
		if (!said)
			rc |= status_line_family(out, name, "", "client_queue_bytes", ZG_KIND_GAUGE,
			                         "Bytes that may be queued for each WebSocket client.");
		said = true;
		rc |= sample(out, name, at, at->client_queue);
	}
	return rc;
}

/* Whether an earlier one that leaves too has the same labels. */
static bool is_first(const status_snapshot_t *s, const status_section_t *at)
{
	for (const status_section_t *e = s->first; e != at; e = e->next)
		if (e->leaving && !e->service && strcmp(e->name, at->name) == 0 &&
		    strcmp(e->module, at->module) == 0)
			return false;
	return true;
}

static uint64_t sum_leaving(const status_section_t *at, const zg_counter_t *row)
{
	uint64_t sum = 0;

	for (const status_section_t *e = at; e; e = e->next)
		if (e->leaving && !e->service && strcmp(e->name, at->name) == 0 &&
		    strcmp(e->module, at->module) == 0)
			sum += zg_counter_value(row, &e->common);
	return sum;
}

/* What reloads gave up: its counters end with it, so only what it still has. */
static int write_leaving(const status_snapshot_t *s, zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = 0;

	for (const zg_counter_t *row = zg_location_counter_rows; row->name; row++) {
		bool said = false;

		for (const status_section_t *at = s->first; at; at = at->next) {
			if (row->kind != ZG_KIND_GAUGE || !at->leaving || at->service || !is_first(s, at))
				continue;
			if (!said)
				rc |= status_line_family(out, name, "leaving", row->name, row->kind,
				                         "The same of locations that a reload changed or removed.");
			said = true;
			rc |= sample(out, name, at, sum_leaving(at, row));
		}
	}
	return rc;
}

/* The rows of the module of `first`, for all its sections. */
static int write_module(const status_section_t *first, zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = 0;

	for (const zg_counter_t *row = first->rows; row && row->name; row++) {
		rc |= status_line_family(out, name, first->module, row->name, row->kind, row->doc);
		for (const status_section_t *at = first; at; at = at->next)
			if (!at->leaving && at->rows == first->rows)
				rc |= value(out, name, at, row, at->counts);
	}
	return rc;
}

static bool module_seen(const status_snapshot_t *s, const status_section_t *at)
{
	for (const status_section_t *e = s->first; e != at; e = e->next)
		if (!e->leaving && strcmp(e->module, at->module) == 0)
			return true;
	return false;
}

int status_metrics_write(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out)
{
	int rc = write_process(s, w, out);

	rc |= write_workers(s, out);
	rc |= write_locations(s, out);
	rc |= write_queues(s, out);
	rc |= write_leaving(s, out);
	for (const status_section_t *at = s->first; at; at = at->next)
		if (!at->leaving && !module_seen(s, at))
			rc |= write_module(at, out);
	return rc | status_metrics_sockets(s, w, out);
}
