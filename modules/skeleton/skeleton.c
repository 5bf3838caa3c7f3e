/* skeleton: a complete module to copy. It answers GET /hello/Ann with
 * "Hello, Ann! You are visitor 1." README.md tells how to build and load it. */
#include "zgate.h"

#include <stdlib.h>

/* What the operator configures. The core allocates and fills it from the rows
 * below; a reload makes a new one. */
struct skeleton_conf {
	const char *greeting;
};

/* Each row names a field of the struct; its type is checked when compiling. */
static const zg_directive_t skeleton_directives[] = {
	ZG_STRING(struct skeleton_conf, greeting, .def = "Hello", .doc = "What visitors are greeted with."),
	ZG_DIRECTIVE_END,
};

/* What is counted; each row appears in /status and /status/metrics. */
struct skeleton_counts {
	uint64_t greeted;
};

static const zg_counter_t skeleton_counters[] = {
	ZG_COUNTER(struct skeleton_counts, greeted, "Visitors greeted."),
	ZG_COUNTER_END,
};

/* What a location needs while it runs. Every worker thread has its own, so
 * there are no locks, and no global variables either. */
struct skeleton_state {
	unsigned long visitors;
};

/* Says what is wrong with the configuration; the core adds file and line. */
static void skeleton_check(zg_check_t *check, void *ctx)
{
	const struct skeleton_conf *conf = ctx;

	if (strlen(conf->greeting) > 100)
		zg_check_error(check, "greeting", "is longer than 100 bytes; write a word, such as Hello");
}

static int skeleton_start(zg_instance_t *in, zg_err_t *err)
{
	in->state = calloc(1, sizeof(struct skeleton_state));
	return in->state ? 0 : zg_err(err, "out of memory");
}

/* The request is ours until we reply: exactly once, here or later, from this
 * thread. We must not block, so whoever has to wait replies later. */
static void skeleton_request(zg_instance_t *in, zg_request_t *req)
{
	const struct skeleton_conf *conf = in->conf;
	struct skeleton_counts *counts = in->counts;
	struct skeleton_state *state = in->state;
	zg_str_t who = req->below.n ? req->below : ZG_STR("stranger"); /* "Ann" of /hello/Ann */
	zg_buf_t text = ZG_BUF(65536); /* everything that grows has a limit */

	if (zg_buf_printf(&text, "%s, %.*s! You are visitor %lu.\n", conf->greeting, ZG_STR_ARG(who),
	                  state->visitors + 1) != 0) {
		zg_buf_free(&text);
		zg_request_problem(req, 414, "Your name is too long for us.");
		return;
	}
	state->visitors++;
	counts->greeted++;
	zg_request_reply_buf(req, 200, "text/plain; charset=utf-8", &text);
}

/* A request we have not answered yet has lost its client: forget it. We always
 * answer at once, so there is nothing to forget. */
static void skeleton_cancel(zg_instance_t *in, zg_request_t *req)
{
	(void)in;
	(void)req;
}

/* The operator has changed `greeting`: in->conf is new, and of the old one we keep
 * nothing. Without this hook the location would start anew, with no visitors. */
static void skeleton_reload(zg_instance_t *in)
{
	(void)in;
}

static void skeleton_stop(zg_instance_t *in)
{
	free(in->state);
}

/* The only name that the core looks for. Change "skeleton" in both places. */
const zg_module_t ZG_MODULE(skeleton) = {
	.abi = ZG_MODULE_ABI,
	.name = "skeleton",
	.doc = "greets visitors; a module to copy",
	.kind = ZG_BRIDGE, /* serves locations that say `bridge = skeleton` */
	.directives = skeleton_directives,
	.conf_size = sizeof(struct skeleton_conf),
	.counters = skeleton_counters,
	.counts_size = sizeof(struct skeleton_counts),
	.methods = "GET",
	.check = skeleton_check,
	.start = skeleton_start,
	.request = skeleton_request,
	.cancel = skeleton_cancel,
	.reload = skeleton_reload,
	.stop = skeleton_stop,
};
