/* The metrics of ZeroMQ sockets and their endpoints. Two samples with equal
 * labels would spoil the whole document, so what has equal ones is added up. */
#include "status.h"

#include <inttypes.h>

/* ---- sockets, by directive and type ---- */

typedef uint64_t (*socket_value)(const zg_socket_info_t *i);

static uint64_t peers(const zg_socket_info_t *i) { return i->peers; }
static uint64_t sent(const zg_socket_info_t *i) { return i->sent; }
static uint64_t received(const zg_socket_info_t *i) { return i->received; }
static uint64_t discarded(const zg_socket_info_t *i) { return i->discarded; }
static uint64_t disconnects(const zg_socket_info_t *i) { return i->disconnects; }
static uint64_t failed(const zg_socket_info_t *i) { return i->handshakes_failed; }

static const struct field {
	const char *name;
	zg_counter_kind_t kind;
	socket_value value;
	const char *doc;
} fields[] = {
	{ "peers", ZG_KIND_GAUGE, peers, "ZeroMQ peers connected now." },
	{ "sent", ZG_KIND_COUNTER, sent, "ZeroMQ messages handed to the socket." },
	{ "received", ZG_KIND_COUNTER, received, "ZeroMQ messages received." },
	{ "discarded", ZG_KIND_COUNTER, discarded,
	  "ZeroMQ messages discarded because they had too many frames." },
	{ "disconnects", ZG_KIND_COUNTER, disconnects, "ZeroMQ peers lost." },
	{ "handshakes_failed", ZG_KIND_COUNTER, failed,
	  "ZeroMQ peers refused, for instance of a wrong type." },
};

static bool alike(const status_socket_t *a, const status_socket_t *b)
{
	return strcmp(a->directive, b->directive) == 0 && strcmp(a->type, b->type) == 0;
}

static bool first_alike(const status_section_t *at, const status_socket_t *s)
{
	const status_socket_t *e = at->socket;

	while (!alike(e, s))
		e = e->next;
	return e == s;
}

static int write_socket(const struct field *f, const char *name, const status_section_t *at,
                        const status_socket_t *s, zg_buf_t *out)
{
	uint64_t sum = 0;
	int rc = zg_buf_printf(out, "%s{", name);

	for (const status_socket_t *e = s; e; e = e->next)
		if (alike(e, s))
			sum += f->value(&e->info);
	rc |= status_line_section(out, at);
	rc |= zg_buf_add(out, ",", 1);
	rc |= status_line_label(out, "socket", s->directive);
	rc |= zg_buf_add(out, ",", 1);
	rc |= status_line_label(out, "type", s->type);
	return rc | zg_buf_printf(out, "} %" PRIu64 "\n", sum);
}

static int write_sockets(const status_snapshot_t *s, zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = 0;

	for (size_t f = 0; f < ZG_COUNT_OF(fields); f++) {
		rc |= status_line_family(out, name, "socket", fields[f].name, fields[f].kind, fields[f].doc);
		for (const status_section_t *at = s->first; at; at = at->next)
			for (const status_socket_t *one = at->socket; one && !at->leaving; one = one->next)
				if (first_alike(at, one))
					rc |= write_socket(&fields[f], name, at, one, out);
	}
	return rc;
}

/* ---- endpoints ---- */

static uint64_t e_peers(const zg_endpoint_info_t *i) { return i->peers; }
static uint64_t e_attempts(const zg_endpoint_info_t *i) { return i->attempts; }
static uint64_t e_disconnects(const zg_endpoint_info_t *i) { return i->disconnects; }
static uint64_t e_failed(const zg_endpoint_info_t *i) { return i->handshakes_failed; }

static const struct endpoint_field {
	const char *name;
	zg_counter_kind_t kind;
	uint64_t (*value)(const zg_endpoint_info_t *i);
	const char *doc;
} endpoint_fields[] = {
	{ "peers", ZG_KIND_GAUGE, e_peers, "ZeroMQ peers connected at this endpoint now." },
	{ "attempts", ZG_KIND_GAUGE, e_attempts,
	  "Attempts to connect that failed in a row; 0 once a peer is there." },
	{ "disconnects", ZG_KIND_COUNTER, e_disconnects, "ZeroMQ peers lost at this endpoint." },
	{ "handshakes_failed", ZG_KIND_COUNTER, e_failed, "ZeroMQ peers refused at this endpoint." },
};

typedef struct spot {
	const status_section_t *section;
	const status_socket_t *socket;
	const status_endpoint_t *endpoint;
} spot_t;

/* The next endpoint of all; false: it was the last. */
static bool step(const status_snapshot_t *s, spot_t *at)
{
	if (at->endpoint)
		at->endpoint = at->endpoint->next;
	while (!at->endpoint) {
		if (at->socket)
			at->socket = at->socket->next;
		while (!at->socket) {
			at->section = at->section ? at->section->next : s->first;
			if (!at->section)
				return false;
			if (!at->section->leaving)
				at->socket = at->section->socket;
		}
		at->endpoint = at->socket->endpoint;
	}
	return true;
}

static bool same_labels(const spot_t *a, const spot_t *b)
{
	return a->section == b->section && alike(a->socket, b->socket) &&
	       strcmp(a->endpoint->info.address, b->endpoint->info.address) == 0;
}

/* One directive may name an endpoint twice: the first is told. */
static bool told_before(const spot_t *at)
{
	for (spot_t e = { at->section, at->section->socket, NULL }; e.socket != at->socket->next;
	     e.socket = e.socket->next)
		for (e.endpoint = e.socket->endpoint; e.endpoint; e.endpoint = e.endpoint->next) {
			if (e.endpoint == at->endpoint)
				return false;
			if (same_labels(&e, at))
				return true;
		}
	return false;
}

static int open_labels(const char *name, const spot_t *at, zg_buf_t *out)
{
	int rc = zg_buf_printf(out, "%s{", name);

	rc |= status_line_section(out, at->section);
	rc |= zg_buf_add(out, ",", 1);
	rc |= status_line_label(out, "socket", at->socket->directive);
	rc |= zg_buf_add(out, ",", 1);
	rc |= status_line_label(out, "type", at->socket->type);
	rc |= zg_buf_add(out, ",", 1);
	return rc | status_line_label(out, "endpoint", at->endpoint->info.address);
}

static int write_states(const status_snapshot_t *s, zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = status_line_family(out, name, "endpoint", "state", ZG_KIND_GAUGE,
	                            "1 for the state that the endpoint is in, 0 for the others.");

	for (spot_t at = { 0 }; step(s, &at);) {
		if (told_before(&at))
			continue;
		for (int i = 0; i < ZG_ENDPOINT_STATES; i++) {
			rc |= open_labels(name, &at, out);
			rc |= zg_buf_printf(out, ",state=\"%s\"} %d\n",
			                    zg_endpoint_state_name((zg_endpoint_state_t)i),
			                    (int)at.endpoint->info.state == i);
		}
	}
	return rc;
}

static int write_ages(const status_snapshot_t *s, uint64_t now, zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = status_line_family(out, name, "endpoint", "state_seconds", ZG_KIND_GAUGE,
	                            "How long the endpoint has been in its state.");

	for (spot_t at = { 0 }; step(s, &at);) {
		uint64_t ms = now > at.endpoint->info.since ? now - at.endpoint->info.since : 0;

		if (told_before(&at))
			continue;
		rc |= open_labels(name, &at, out);
		rc |= zg_buf_printf(out, "} %" PRIu64 ".%03u\n", ms / 1000, (unsigned)(ms % 1000));
	}
	return rc;
}

static int write_endpoints(const status_snapshot_t *s, zg_buf_t *out)
{
	char name[STATUS_NAME_MAX];
	int rc = 0;

	for (size_t f = 0; f < ZG_COUNT_OF(endpoint_fields); f++) {
		const struct endpoint_field *field = &endpoint_fields[f];

		rc |= status_line_family(out, name, "endpoint", field->name, field->kind, field->doc);
		for (spot_t at = { 0 }; step(s, &at);) {
			if (told_before(&at))
				continue;
			rc |= open_labels(name, &at, out);
			rc |= zg_buf_printf(out, "} %" PRIu64 "\n", field->value(&at.endpoint->info));
		}
	}
	return rc;
}

int status_metrics_sockets(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out)
{
	spot_t any = { 0 };
	int rc = 0;

	if (!step(s, &any))
		return 0;
	rc |= write_sockets(s, out);
	rc |= write_states(s, out);
	rc |= write_ages(s, zg_loop_now(w->loop), out);
	return rc | write_endpoints(s, out);
}
