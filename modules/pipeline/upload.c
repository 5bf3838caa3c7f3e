#include "pipeline.h"
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#define HEAD_MAX 65536 /* bytes before the body in a message */
#define FILE_MAX 1024  /* bytes of ?filename= */

struct upload {
	zg_link_t link; /* pipeline.queue, or a batch */
	size_t head, body;
	char id[ZG_JOB_ID + 1];
	char data[]; /* the head, then the body */
};

/* What one request brings: everything is made ready here first, so that all
 * of it is queued or nothing. */
struct batch {
	zg_link_t uploads;
	uint64_t count, bytes;
	unsigned status; /* why it is refused */
	zg_err_t err;
};

#define refuse(b, code, ...) ((b)->status = (code), zg_err(&(b)->err, __VA_ARGS__))

/* ---- one upload ---- */

/* What of other requests waits already is in p->shared, and so is this batch. */
static int full(struct pipeline *p, struct batch *b)
{
	p->counts->refused_full++;
	return refuse(b, 503, "the queue is full: %" PRIu64 " uploads of %" PRIu64 " bytes wait for "
	              "a worker; nothing was kept, send it again later",
	              p->shared->uploads - b->count, p->shared->bytes - b->bytes);
}

static int check_room(struct pipeline *p, struct batch *b, uint64_t size)
{
	uint64_t count = b->count + 1, bytes = b->bytes + size;
	uint64_t max_count = (uint64_t)p->conf->queue, max_bytes = p->conf->queue_size;

	if (count > max_count || bytes > max_bytes)
		return refuse(b, 413, "%" PRIu64 " files of %" PRIu64 " bytes together fit into no "
		              "queue here: queue is %" PRIu64 ", queue_size %" PRIu64 " bytes",
		              count, bytes, max_count, max_bytes);
	if (p->shared->uploads < max_count && p->shared->bytes + size <= max_bytes)
		return 0;
	return full(p, b);
}

static void leave_room(struct pipeline *p, uint64_t size)
{
	p->shared->uploads--;
	p->shared->bytes -= size;
}

/* Other workers may be taking room as well. */
static int take_room(struct pipeline *p, struct batch *b, uint64_t size)
{
	uint64_t count, bytes;

	if (check_room(p, b, size) < 0)
		return -1;
	count = ++p->shared->uploads;
	bytes = atomic_fetch_add(&p->shared->bytes, size) + size;
	if (count <= (uint64_t)p->conf->queue && bytes <= p->conf->queue_size)
		return 0;
	leave_room(p, size);
	return full(p, b);
}

static int out_of_memory(struct batch *b)
{
	return refuse(b, 503, "out of memory; nothing was kept, send it again later");
}

/* What stands before the body in the message. */
static int make_head(const struct pipeline *p, struct batch *b, zg_buf_t *head, const char *id,
                     const struct pipeline_file *file)
{
	int rc = 0;

	if (p->conf->framing == PIPELINE_ID)
		rc = zg_buf_add(head, id, ZG_JOB_ID);
	else if (p->conf->framing == PIPELINE_META)
		rc = zg_meta_add(head, id, file);
	if (rc == 0)
		return 0;
	return errno == EMSGSIZE ? refuse(b, 400, "the file's name or Content-Type is too long")
	                         : out_of_memory(b);
}

static int remember(struct pipeline *p, struct batch *b, const char *id)
{
	if (!p->by_id || zg_job_add(&p->jobs, id) == 0)
		return 0;
	if (errno != ENOSPC)
		return out_of_memory(b);
	p->counts->refused_full++;
	return refuse(b, 503, "%d uploads are without a result; nothing was kept, send it again "
	              "when workers have caught up", ZG_JOB_MAX);
}

static int add_upload(struct pipeline *p, struct batch *b, const struct pipeline_file *file)
{
	zg_buf_t head = ZG_BUF(HEAD_MAX);
	struct upload *u = NULL;
	char id[ZG_JOB_ID + 1];
	int rc = -1;

	zg_job_id(&p->jobs, id);
	/* twice: before the body is hashed, and when the head is known */
	if (check_room(p, b, file->body.n) < 0 || make_head(p, b, &head, id, file) < 0 ||
	    take_room(p, b, head.len + file->body.n) < 0)
		goto out;
	if (!(u = malloc(sizeof *u + head.len + file->body.n)))
		out_of_memory(b);
	else
		rc = remember(p, b, id);
	if (rc < 0) {
		leave_room(p, head.len + file->body.n);
		free(u);
		goto out;
	}
	u->head = head.len;
	u->body = file->body.n;
	memcpy(u->id, id, sizeof id);
	if (head.len)
		memcpy(u->data, head.data, head.len);
	if (file->body.n)
		memcpy(u->data + head.len, file->body.p, file->body.n);
	zg_list_append(&b->uploads, &u->link);
	b->count++;
	b->bytes += u->head + u->body;
out:
	zg_buf_free(&head);
	return rc;
}

static void drop_batch(struct pipeline *p, struct batch *b)
{
	ZG_LIST_EACH(it, &b->uploads) {
		struct upload *u = ZG_CONTAINER(it, struct upload, link);

		zg_job_remove(&p->jobs, u->id);
		leave_room(p, u->head + u->body);
		free(u);
	}
}

/* ---- requests ---- */

static int add_form(struct pipeline *p, struct batch *b, const zg_request_t *req)
{
	zg_form_t form;
	zg_form_part_t part;
	zg_err_t why;
	int more = -1;

	if (zg_form_begin(&form, req->content_type, req->body, &why) < 0)
		return refuse(b, 400, "%s", why.text);
	while ((more = zg_form_next(&form, &part, &why)) > 0) {
		struct pipeline_file file = { part.body, part.filename, part.content_type };

		/* a file field left empty is sent as a nameless empty file (HTML, "constructing
		 * the entry list") */
		if (!part.filename.p || (!part.filename.n && !part.body.n))
			continue;
		if (add_upload(p, b, &file) < 0)
			return -1;
	}
	if (more < 0)
		return refuse(b, 400, "%s", why.text);
	return b->count ? 0 : refuse(b, 400, "the form holds no file; send one, or the bare body "
	                             "with another Content-Type");
}

static int add_body(struct pipeline *p, struct batch *b, const zg_request_t *req)
{
	char name[FILE_MAX + 1];
	struct pipeline_file file = { .body = req->body };
	long n = zg_request_param(req, "filename", 0, name, sizeof name);

	if (n == -2)
		return refuse(b, 400, "filename is longer than %d bytes", FILE_MAX);
	if (n < 0 && zg_request_params(req, "filename"))
		return refuse(b, 400, "filename holds a bad percent escape");
	if (n >= 0)
		file.filename = zg_str_n(name, (size_t)n);
	else if (req->below.n)
		file.filename = req->below;
	if (req->content_type.n)
		file.content_type = req->content_type;
	return add_upload(p, b, &file);
}

static int collect(struct pipeline *p, struct batch *b, const zg_request_t *req)
{
	char at[256];

	/* `curl -T FILE URL/` puts to URL/FILE */
	if (req->below.n && (req->method != ZG_PUT || memchr(req->below.p, '/', req->below.n)))
		return refuse(b, 404, "uploads go to %.*s", ZG_STR_ARG(p->in->location->path));
	if (zg_socket_peers(p->push) == 0 && !zg_socket_settling(p->push)) {
		p->counts->refused_no_worker++;
		return refuse(b, 503, "no worker is connected to push (%s); nothing was kept, send it "
		              "again when one runs", zg_socket_nobody(p->push, at, sizeof at));
	}
	return zg_form_is(req->content_type) ? add_form(p, b, req) : add_body(p, b, req);
}

static int make_answer(struct batch *b, zg_buf_t *out)
{
	bool list = b->count > 1;

	*out = ZG_BUF(128 * (b->count + 1));
	if (list && zg_buf_add_str(out, ZG_STR("[")) < 0)
		return out_of_memory(b);
	ZG_LIST_EACH(it, &b->uploads) {
		const struct upload *u = ZG_CONTAINER(it, struct upload, link);

		if (zg_buf_printf(out, "%s{\"id\":\"%s\",\"bytes\":%zu,\"status\":\"queued\"}",
		                  it->prev == &b->uploads ? "" : ",", u->id, u->body) < 0)
			return out_of_memory(b);
	}
	return zg_buf_add(out, list ? "]\n" : "\n", list ? 2 : 1) < 0 ? out_of_memory(b) : 0;
}

/* Location: PATH/ID, the path encoded again (RFC 3986, 3.3). */
static int add_location(const struct pipeline *p, struct batch *b, zg_request_t *req)
{
	zg_str_t path = p->in->location->path;
	zg_buf_t value = ZG_BUF(path.n * 3 + 1 + ZG_JOB_ID + 1);
	int rc = 0;

	if (!p->by_id || b->count != 1)
		return 0;
	for (size_t i = 0; rc == 0 && i < path.n && path.n > 1; i++) {
		unsigned char c = (unsigned char)path.p[i];
		bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
		             (c && strchr("/-._~!$&'()*+,;=:@", c));

		rc = zg_buf_printf(&value, plain ? "%c" : "%%%02X", c);
	}
	if (rc == 0)
		rc = zg_buf_add_str(&value, ZG_STR("/"));
	if (rc == 0) /* with its NUL */
		rc = zg_buf_add(&value, ZG_CONTAINER(b->uploads.next, struct upload, link)->id,
		                ZG_JOB_ID + 1);
	if (rc == 0)
		rc = zg_request_add_header(req, "Location", value.data);
	zg_buf_free(&value);
	return rc < 0 ? out_of_memory(b) : 0;
}

static void commit(struct pipeline *p, struct batch *b)
{
	ZG_LIST_EACH(it, &b->uploads) {
		zg_list_remove(it);
		zg_list_append(&p->queue, it);
	}
	p->counts->uploads += b->count;
	p->counts->queued += b->count;
	p->counts->queued_bytes += b->bytes;
}

void zg_upload_take(struct pipeline *p, zg_request_t *req)
{
	struct batch b = { .status = 500 };
	zg_buf_t answer = { 0 };

	zg_list_init(&b.uploads);
	if (collect(p, &b, req) < 0 || make_answer(&b, &answer) < 0 ||
	    add_location(p, &b, req) < 0) {
		drop_batch(p, &b);
		zg_buf_free(&answer);
		zg_request_problem(req, b.status, "%s", b.err.text);
		return;
	}
	commit(p, &b);
	zg_upload_flush(p);
	zg_request_reply_buf(req, 202, "application/json", &answer);
}

/* ---- the queue ---- */

static void take_off(struct pipeline *p, struct upload *u)
{
	zg_list_remove(&u->link);
	p->counts->queued--;
	p->counts->queued_bytes -= u->head + u->body;
	leave_room(p, u->head + u->body);
	free(u);
}

void zg_upload_flush(struct pipeline *p)
{
	ZG_LIST_EACH(it, &p->queue) {
		struct upload *u = ZG_CONTAINER(it, struct upload, link);
		zg_str_t frame[2] = { zg_str_n(u->data, u->head),
		                      zg_str_n(u->data + u->head, u->body) };
		bool bare = p->conf->framing == PIPELINE_BODY;

		/* fails while workers have enough: `writable` or the next peer goes on */
		if (zg_socket_send(p->push, frame + bare, bare ? 1 : 2) < 0)
			return;
		p->counts->handed_over++;
		take_off(p, u);
	}
}

uint64_t zg_upload_discard(struct pipeline *p)
{
	uint64_t n = p->counts->queued;

	ZG_LIST_EACH(it, &p->queue)
		take_off(p, ZG_CONTAINER(it, struct upload, link));
	return n;
}
