/* The worker at the end of a pipeline: what comes in is hashed, and a line
 * about it goes back. Nothing is lost while it runs: when results cannot
 * leave or too much is at work, it stops receiving, and ZeroMQ holds the
 * gateway back. */
#include "demo.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define UPLOADS_MAX 1000
#define BYTES_MAX   DEMO_MESSAGE_MAX

/* Shared with the uploads at the thread pool, which may outlive it. */
struct demo_worker {
	unsigned refs;
	zg_instance_t *in; /* NULL once closed */
	struct demo_counts *counts;
	zg_socket_t *pull, *push;
	zg_link_t results; /* hashed, and waiting for push to take them */
	size_t uploads, bytes;
	bool paused;
};

struct upload {
	zg_link_t link; /* worker->results */
	demo_worker_t *worker;
	zg_str_t id, body; /* point into text */
	bool has_id;
	char summary[128];
	char text[];
};

/* Once something came in or went out. */
static void balance(demo_worker_t *w)
{
	bool full = w->uploads >= UPLOADS_MAX || w->bytes >= BYTES_MAX;

	w->counts->holding = w->uploads;
	if (full == w->paused)
		return;
	w->paused = full;
	if (full)
		zg_socket_pause(w->pull);
	else
		zg_socket_resume(w->pull);
}

static void upload_free(struct upload *u)
{
	demo_worker_t *w = u->worker;

	zg_list_remove(&u->link);
	w->uploads--;
	w->bytes -= u->body.n;
	free(u);
	if (w->in)
		balance(w);
	if (--w->refs == 0)
		free(w);
}

/* ---- results ---- */

static int send_result(demo_worker_t *w, const struct upload *u)
{
	zg_str_t frame[2] = { u->id, zg_str(u->summary) };

	return zg_socket_send(w->push, u->has_id ? frame : frame + 1, u->has_id ? 2 : 1);
}

static void send_results(demo_worker_t *w)
{
	ZG_LIST_EACH(link, &w->results) {
		struct upload *u = ZG_CONTAINER(link, struct upload, link);

		if (send_result(w, u) != 0)
			return; /* on_writable goes on */
		w->counts->results++;
		upload_free(u);
	}
}

static void on_writable(void *ctx, zg_socket_t *s)
{
	(void)s;
	send_results(ctx);
}

/* ---- uploads ---- */

/* On the thread pool: hashing a large upload takes long. */
static void hash(void *ctx)
{
	struct upload *u = ctx;
	unsigned char digest[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1] = "not available";
	unsigned n = 0;

	if (EVP_Digest(u->body.p, u->body.n, digest, &n, EVP_sha256(), NULL) != 1)
		n = 0;
	for (unsigned i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	snprintf(u->summary, sizeof u->summary, "%zu byte%s, sha256 %.64s", u->body.n,
	         u->body.n == 1 ? "" : "s", hex);
}

static void on_hashed(void *ctx)
{
	struct upload *u = ctx;
	demo_worker_t *w = u->worker;

	if (!w->in || !w->push) {
		upload_free(u);
		return;
	}
	zg_list_append(&w->results, &u->link);
	send_results(w);
}

/* The first frame is the id, or JSON that holds it (framing = meta). */
static zg_str_t id_of(zg_str_t first, json_t **meta)
{
	const char *id;

	*meta = first.n && first.p[0] == '{' ? json_loadb(first.p, first.n, 0, NULL) : NULL;
	id = json_string_value(json_object_get(*meta, "id"));
	return id ? zg_str(id) : first;
}

static struct upload *upload_new(demo_worker_t *w, zg_str_t id, const zg_str_t *part, size_t parts)
{
	struct upload *u;
	size_t n = 0;
	char *at;

	for (size_t i = 0; i < parts; i++)
		n += part[i].n;
	u = malloc(sizeof *u + id.n + n);
	if (!u)
		return NULL;
	zg_list_init(&u->link);
	u->worker = w;
	u->has_id = id.p != NULL;
	at = u->text;
	u->id = zg_str_n(at, id.n);
	u->body = zg_str_n(at + id.n, n);
	if (id.n)
		memcpy(at, id.p, id.n);
	at += id.n;
	for (size_t i = 0; i < parts; i++) {
		if (part[i].n)
			memcpy(at, part[i].p, part[i].n);
		at += part[i].n;
	}
	w->refs++;
	w->uploads++;
	w->bytes += n;
	return u;
}

static void on_upload(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	demo_worker_t *w = ctx;
	json_t *meta = NULL;
	zg_str_t id = frames > 1 ? id_of(frame[0], &meta) : ZG_STR_NONE;
	size_t skip = frames > 1;
	struct upload *u = upload_new(w, id, frame + skip, frames - skip);

	(void)s;
	json_decref(meta);
	w->counts->uploads++;
	if (u && zg_loop_work(w->in->loop, hash, on_hashed, u) == 0) {
		balance(w);
		return;
	}
	if (u)
		upload_free(u);
	w->counts->dropped++;
	zg_error("%s: an upload was dropped: out of memory", w->in->name);
}

/* ---- opening and closing ---- */

demo_worker_t *demo_worker_open(zg_instance_t *in, const zg_endpoints_t *pull,
                                const zg_endpoints_t *push, zg_err_t *err)
{
	demo_worker_t *w = calloc(1, sizeof *w);

	if (!w) {
		zg_err(err, "out of memory");
		return NULL;
	}
	w->refs = 1;
	w->in = in;
	w->counts = in->counts;
	zg_list_init(&w->results);
	if (push->count > 0) {
		w->push = zg_socket_open(in, &(zg_socket_options_t){
			.name = "push", .type = ZG_SOCKET_PUSH, .writable = on_writable, .ctx = w,
			.endpoint = push->item, .endpoints = push->count }, err);
		if (!w->push)
			goto fail;
	}
	w->pull = zg_socket_open(in, &(zg_socket_options_t){
		.name = "pull", .type = ZG_SOCKET_PULL, .message = on_upload, .ctx = w,
		.max_message = DEMO_MESSAGE_MAX,
		.endpoint = pull->item, .endpoints = pull->count }, err);
	if (w->pull)
		return w;
fail:
	demo_worker_close(&w);
	return NULL;
}

void demo_worker_close(demo_worker_t **worker)
{
	demo_worker_t *w = *worker;

	if (!w)
		return;
	*worker = NULL;
	if (w->uploads > 0)
		zg_info("%s: stopping with %zu uploads unanswered", w->in->name, w->uploads);
	w->in = NULL;
	zg_socket_close(&w->pull, 0);
	zg_socket_close(&w->push, 0);
	ZG_LIST_EACH(link, &w->results)
		upload_free(ZG_CONTAINER(link, struct upload, link));
	if (--w->refs == 0)
		free(w);
}
