/* static: files of one folder. Opening and reading may wait for the disk, so
 * a job on the thread pool does it; the answer is given back on the loop. */
#include "static.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOBS_MAX   256        /* at the thread pool at once */
#define MEMORY_MAX 262144     /* larger files are sent from the disk */

struct static_conf {
	const char *root, *index;
};

struct static_counts {
	uint64_t busy, outside_root, reading;
};

/* Shared by the instance and its jobs, which may outlive it: the last one to
 * go frees it. The pool reads root and index only, which never change. */
struct static_site {
	unsigned refs, jobs;
	int root;
	struct static_counts *counts; /* NULL once the instance has stopped */
	char index[];
};

/* One file to be found. The request is the loop's and may go while the pool
 * is at work, so what the pool needs of it is copied to text. */
struct static_job {
	struct static_site *site;
	zg_request_t *req; /* NULL: cancelled */
	bool wants_body;
	const char *path;
	static_asked_t asked;
	static_found_t found;
	static_file_t file;
	static_answer_t answer;
	bool read_failed;
	zg_buf_t body;
	char text[];
};

static const zg_directive_t static_directives[] = {
	ZG_PATH(struct static_conf, root, .required = true,
	        .doc = "Folder whose files are served; nothing outside it is."),
	ZG_STRING(struct static_conf, index, .def = "index.html",
	          .doc = "File that is served for a path that ends in a slash."),
	ZG_DIRECTIVE_END,
};

static const zg_counter_t static_counters[] = {
	ZG_COUNTER(struct static_counts, busy, "Requests answered 503 because too many files were being read."),
	ZG_COUNTER(struct static_counts, outside_root, "Requests answered 404 because a symbolic link leads out of root."),
	ZG_GAUGE(struct static_counts, reading, "Files being opened and read now."),
	ZG_COUNTER_END,
};

static void static_check(zg_check_t *check, void *ctx)
{
	const struct static_conf *conf = ctx;
	struct stat st;

	if (stat(conf->root, &st) != 0)
		zg_check_error(check, "root", "cannot use %s: %s", conf->root, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		zg_check_error(check, "root", "%s is no folder", conf->root);
	if (conf->index[0] == '.' || strchr(conf->index, '/'))
		zg_check_error(check, "index",
		               "\"%s\" is no file name without slashes and a leading dot", conf->index);
}

static int static_start(zg_instance_t *in, zg_err_t *err)
{
	const struct static_conf *conf = in->conf;
	size_t n = strlen(conf->index) + 1;
	struct static_site *site = calloc(1, sizeof *site + n);

	if (!site)
		return zg_err(err, "out of memory");
	site->root = static_find_root(conf->root, err);
	if (site->root < 0) {
		free(site);
		return -1;
	}
	site->refs = 1;
	site->counts = in->counts;
	memcpy(site->index, conf->index, n);
	in->state = site;
	return 0;
}

static void static_unref(struct static_site *site)
{
	if (--site->refs > 0)
		return;
	close(site->root);
	free(site);
}

static void static_stop(zg_instance_t *in)
{
	struct static_site *site = in->state;

	site->counts = NULL;
	static_unref(site);
}

/* ---- jobs ---- */

static void static_job_free(struct static_job *job)
{
	struct static_site *site = job->site;

	site->jobs--;
	if (site->counts)
		site->counts->reading = site->jobs;
	if (job->file.fd >= 0)
		close(job->file.fd);
	zg_buf_free(&job->body);
	free(job);
	static_unref(site);
}

static const char *static_copy(char **at, zg_str_t s)
{
	char *copy = *at;

	if (s.n)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	*at += s.n + 1;
	return copy;
}

static struct static_job *static_job_new(struct static_site *site, zg_request_t *req)
{
	static const char *const names[] = { "If-None-Match", "If-Modified-Since", "Range", "If-Range" };
	bool folder = req->path.p[req->path.n - 1] == '/', get = req->method == ZG_GET;
	size_t room = req->below.n + strlen(site->index) + 2;
	zg_str_t field[ZG_COUNT_OF(names)];
	struct static_job *job;
	char *at;

	for (size_t i = 0; i < ZG_COUNT_OF(names); i++) {
		field[i] = zg_request_header(req, names[i]);
		room += field[i].n + 1;
	}
	job = calloc(1, sizeof *job + room);
	if (!job)
		return NULL;
	*job = (struct static_job){ .site = site, .req = req, .wants_body = get, .file.fd = -1 };
	at = job->text;
	job->path = static_copy(&at, req->below);
	if (folder) {
		at--;
		static_copy(&at, zg_str(site->index));
	} else if (req->below.n == 0) {
		job->path = "."; /* the location's own path: answered by a redirect */
	}
	job->asked = (static_asked_t){
		.none_match = field[0].n ? static_copy(&at, field[0]) : NULL,
		.modified_since = field[1].n ? static_copy(&at, field[1]) : NULL,
		/* a range has a meaning for GET only: RFC 9110, 14.2 */
		.range = get && field[2].n ? static_copy(&at, field[2]) : NULL,
		.if_range = field[3].n ? static_copy(&at, field[3]) : NULL,
	};
	site->refs++;
	site->jobs++;
	return job;
}

/* On the thread pool. */
static void static_work(void *ctx)
{
	struct static_job *job = ctx;

	job->found = static_find_open(job->site->root, job->path, &job->file);
	if (job->found != STATIC_FOUND)
		return;
	job->answer = static_condition_answer(&job->file, &job->asked);
	if (!job->wants_body || job->answer.status > 206 || job->answer.size > MEMORY_MAX)
		return;
	job->body = ZG_BUF(MEMORY_MAX);
	job->read_failed = static_find_read(job->file.fd, job->answer.offset,
	                                    (size_t)job->answer.size, &job->body) != 0;
}

/* ---- answers ---- */

static void static_not_found(zg_request_t *req)
{
	zg_request_problem(req, 404, "There is no such file here.");
}

/* Sends the client to the same path with a slash. Exactly one slash begins
 * it: with two, a browser would go to another host. */
static void static_redirect(zg_request_t *req)
{
	zg_buf_t to = ZG_BUF(1 << 20);
	zg_str_t path = req->path;
	int failed = zg_buf_add(&to, "/", 1);

	while (path.n && path.p[0] == '/')
		path = zg_str_n(path.p + 1, path.n - 1);
	for (size_t i = 0; i < path.n && !failed; i++) {
		unsigned char c = (unsigned char)path.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		             strchr("/-._~!$&'()*+,;=:@", c);

		failed = c && plain ? zg_buf_add(&to, &c, 1) : zg_buf_printf(&to, "%%%02X", c);
	}
	if (!failed)
		failed = zg_buf_printf(&to, "/%s%.*s", req->query.n ? "?" : "", ZG_STR_ARG(req->query));
	if (!failed)
		failed = zg_buf_add(&to, "", 1) || zg_request_add_header(req, "Location", to.data) ||
		         zg_request_add_header(req, "Cache-Control", "no-cache");
	zg_buf_free(&to);
	if (failed)
		zg_request_problem(req, 503, "Memory has run out; try again later.");
	else
		zg_request_reply(req, 301, "text/plain; charset=utf-8", "", 0);
}

static int static_headers(const struct static_job *job)
{
	const static_file_t *file = &job->file;
	const static_answer_t *a = &job->answer;
	char range[80];
	int rc = 0;

	if (a->status == 416) {
		snprintf(range, sizeof range, "bytes */%" PRIu64, file->size);
		return zg_request_add_header(job->req, "Content-Range", range);
	}
	if (a->status == 206) {
		snprintf(range, sizeof range, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, a->offset,
		         a->offset + a->size - 1, file->size);
		rc |= zg_request_add_header(job->req, "Content-Range", range);
	}
	rc |= zg_request_add_header(job->req, "ETag", file->etag);
	rc |= zg_request_add_header(job->req, "Last-Modified", file->date);
	rc |= zg_request_add_header(job->req, "Cache-Control", "no-cache");
	rc |= zg_request_add_header(job->req, "Accept-Ranges", "bytes");
	rc |= zg_request_add_header(job->req, "X-Content-Type-Options", "nosniff");
	return rc;
}

static void static_reply_file(struct static_job *job)
{
	zg_request_t *req = job->req;
	const static_answer_t *a = &job->answer;
	const char *type = static_type_of(job->path);

	if (job->read_failed) {
		zg_request_problem(req, 503, "The file changed while it was read; try again.");
	} else if (static_headers(job) != 0) {
		zg_request_problem(req, 503, "Memory has run out; try again later.");
	} else if (a->status == 416) {
		zg_request_problem(req, 416, "The file has %" PRIu64 " bytes, and none of them is in "
		                   "the range.", job->file.size);
	} else if (job->wants_body && a->status != 304 && a->size <= MEMORY_MAX) {
		zg_request_reply_buf(req, a->status, type, &job->body);
	} else { /* without a body, too: Content-Length has to be that of the file */
		zg_request_reply_file(req, a->status, type, job->file.fd, a->offset, a->size);
		job->file.fd = -1;
	}
}

static void static_reply(struct static_job *job)
{
	zg_request_t *req = job->req;
	zg_instance_t *in = req->to;

	switch (job->found) {
	case STATIC_FOUND:
		static_reply_file(job);
		break;
	case STATIC_FOLDER:
		if (req->path.p[req->path.n - 1] == '/')
			static_not_found(req); /* the index is a folder */
		else
			static_redirect(req);
		break;
	case STATIC_OUTSIDE:
		job->site->counts->outside_root++;
		zg_debug("%s: %.*s leads out of root through a symbolic link", in->name,
		         ZG_STR_ARG(req->path));
		static_not_found(req);
		break;
	case STATIC_NOTHING:
		static_not_found(req);
		break;
	case STATIC_FORBIDDEN:
		zg_request_problem(req, 403, "The gateway's user may not read this file.");
		break;
	case STATIC_BUSY:
		zg_request_problem(req, 503, "The gateway is out of descriptors or memory.");
		break;
	case STATIC_BROKEN:
		zg_error("%s: cannot read %.*s: the disk failed", in->name, ZG_STR_ARG(req->path));
		zg_request_problem(req, 500, "The file cannot be read.");
		break;
	}
}

/* Back on the loop. */
static void static_done(void *ctx)
{
	struct static_job *job = ctx;

	if (job->req)
		static_reply(job);
	static_job_free(job);
}

static void static_request(zg_instance_t *in, zg_request_t *req)
{
	struct static_site *site = in->state;
	struct static_job *job;

	if (static_find_hidden(req->below)) {
		static_not_found(req);
		return;
	}
	if (site->jobs >= JOBS_MAX) {
		site->counts->busy++;
		zg_request_problem(req, 503, "Too many files are being read; try again.");
		return;
	}
	job = static_job_new(site, req);
	if (!job || zg_loop_work(in->loop, static_work, static_done, job) != 0) {
		if (job)
			static_job_free(job);
		zg_request_problem(req, 503, "Memory has run out; try again later.");
		return;
	}
	req->ctx = job;
	site->counts->reading = site->jobs;
}

static void static_cancel(zg_instance_t *in, zg_request_t *req)
{
	struct static_job *job = req->ctx;

	(void)in;
	job->req = NULL; /* static_done will find nobody to answer */
}

const zg_module_t ZG_MODULE(static) = {
	.abi = ZG_MODULE_ABI,
	.name = "static",
	.doc = "serves files",
	.kind = ZG_BRIDGE,
	.directives = static_directives,
	.conf_size = sizeof(struct static_conf),
	.counters = static_counters,
	.counts_size = sizeof(struct static_counts),
	.methods = "GET",
	.check = static_check,
	.start = static_start,
	.request = static_request,
	.cancel = static_cancel,
	.stop = static_stop,
};
